use super::Mutex;
use super::atomic::AtomicBool;
#[cfg(feature = "model")]
use super::atomic::Ordering;
use std::sync::OnceLock as StdOnceLock;

/// A cell that is filled once. Who comes while it is being filled waits.
#[derive(Debug)]
pub struct OnceLock<T> {
    value: StdOnceLock<T>,
    #[cfg_attr(not(feature = "model"), expect(dead_code, reason = "std's cell waits by itself where there is no engine"))]
    filling: Filling,
}

#[derive(Debug)]
enum Filling {
    /// std's own cell waits by itself.
    Real,
    #[cfg_attr(not(feature = "model"), expect(dead_code, reason = "only engines make it"))]
    Modelled { gate: Mutex<()>, is_full: AtomicBool },
}

impl<T> OnceLock<T> {
    /// An empty cell.
    #[track_caller]
    pub fn new() -> Self {
        let filling = match crate::engine::current() {
            crate::engine::Engine::Real => Filling::Real,
            #[allow(unreachable_patterns, reason = "a build without engines has no other")]
            _ => Filling::Modelled { gate: Mutex::ordering(()), is_full: AtomicBool::new(false) },
        };
        OnceLock { value: StdOnceLock::new(), filling }
    }

    /// The value, if the cell is full. Does not wait for one who fills it.
    #[track_caller]
    pub fn get(&self) -> Option<&T> {
        #[cfg(feature = "model")]
        if let Filling::Modelled { is_full, .. } = &self.filling
            && !is_full.load(Ordering::Acquire)
        {
            return None;
        }
        self.value.get()
    }

    /// Fills the cell, or gives the value back if it is full.
    ///
    /// # Errors
    /// The value, if there was one already.
    #[track_caller]
    pub fn set(&self, value: T) -> Result<(), T> {
        #[cfg(feature = "model")]
        if let Filling::Modelled { gate, is_full } = &self.filling {
            let _gate = gate.lock();
            let result = self.value.set(value);
            is_full.store(true, Ordering::Release);
            return result;
        }
        self.value.set(value)
    }

    /// The value; the first caller makes it. `init` must not use this cell.
    #[track_caller]
    pub fn get_or_init(&self, init: impl FnOnce() -> T) -> &T {
        #[cfg(feature = "model")]
        if let Filling::Modelled { gate, is_full } = &self.filling {
            if is_full.load(Ordering::Acquire)
                && let Some(value) = self.value.get()
            {
                return value;
            }
            let _gate = gate.lock();
            let value = self.value.get_or_init(init);
            is_full.store(true, Ordering::Release);
            return value;
        }
        self.value.get_or_init(init)
    }
}

impl<T> Default for OnceLock<T> {
    #[track_caller]
    fn default() -> Self {
        OnceLock::new()
    }
}

/// Runs something once. Who comes meanwhile waits until it is done.
#[derive(Debug, Default)]
pub struct Once(OnceLock<()>);

impl Once {
    /// Nothing was run yet.
    #[track_caller]
    pub fn new() -> Self {
        Once(OnceLock::new())
    }

    /// Runs `f` unless something was run already. `f` must not use this `Once`.
    #[track_caller]
    pub fn call_once(&self, f: impl FnOnce()) {
        self.0.get_or_init(f);
    }

    /// Whether something was run to its end.
    #[track_caller]
    pub fn is_completed(&self) -> bool {
        self.0.get().is_some()
    }
}
