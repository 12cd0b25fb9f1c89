use super::shared::Shared;
use super::source::Served;
use super::{LoopConfig, LoopError, LoopGuard, LoopHandle, Source, Stopped, Wake};
use sim::sync::{Arc, Mutex};
use std::fmt;

/// A loop, for the one who owns it: when it is dropped the loop is destroyed, without waiting.
///
/// Start, stop and destroy may come any number of times, crossed and late, here and through [handles](LoopHandle); each returns at once
/// if there is nothing to do.
pub struct ThreadLoop {
    shared: Arc<Shared>,
}

impl ThreadLoop {
    /// A loop that does not run yet, and serves its own tasks and objects.
    pub fn new(config: LoopConfig) -> Self {
        ThreadLoop { shared: Shared::new(config, None) }
    }

    /// A loop that serves somebody else's event loop as well: `make` is called on the loop thread at the beginning of each run.
    pub fn serving(
        config: LoopConfig,
        wake: impl Wake + 'static,
        make: impl FnMut() -> Box<dyn Source> + Send + 'static,
    ) -> Self {
        let served = Served { wake: Box::new(wake), make: Mutex::new(Some(Box::new(make))) };
        ThreadLoop { shared: Shared::new(config, Some(served)) }
    }

    /// A handle for other threads, and for callbacks.
    pub fn handle(&self) -> LoopHandle {
        LoopHandle::of(&self.shared)
    }

    /// Waits for the loop's lock, and takes it; see [`LoopHandle::lock`].
    ///
    /// # Panics
    /// As [`LoopHandle::lock`].
    #[track_caller]
    pub fn lock(&self) -> LoopGuard<'_> {
        self.shared.lock()
    }

    /// Takes the lock if that needs no waiting.
    #[track_caller]
    pub fn try_lock(&self) -> Option<LoopGuard<'_>> {
        self.shared.try_lock()
    }

    /// Starts the loop's thread. A loop that runs goes on as it does. With the lock or without.
    ///
    /// # Errors
    /// [`LoopError::Destroyed`], [`LoopError::Thread`]. The loop is as it was before.
    pub fn start(&self) -> Result<(), LoopError> {
        self.shared.start()
    }

    /// Stops the loop. The run ends with the call: no task or callback begins after it, and tasks that wait are dropped. When it
    /// returns, none goes on, unless it is [`Stopped::Requested`]. It waits for that, and for the thread to end, up to
    /// [`LoopConfig::stop_deadline`]; a thread that gets no processor for so long, or not the lock, ends later. The objects of the loop
    /// are as they were, and it may be started again.
    ///
    /// # Errors
    /// [`LoopError::CallbackGoesOn`]: the loop has stopped all the same. [`LoopError::LockHeld`], if this thread holds the lock through
    /// a handle: nothing has changed.
    pub fn stop(&mut self) -> Result<Stopped, LoopError> {
        self.shared.stop(false)
    }

    /// Stops the loop for good, and has its streams end: no process begins after it, and when it returns none goes on, unless it is
    /// [`Stopped::Requested`]. Otherwise as [`ThreadLoop::stop`].
    ///
    /// # Errors
    /// As [`ThreadLoop::stop`].
    pub fn destroy(&mut self) -> Result<Stopped, LoopError> {
        self.shared.stop(true)
    }
}

impl Drop for ThreadLoop {
    fn drop(&mut self) {
        self.shared.request(true);
    }
}

impl fmt::Debug for ThreadLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadLoop").field("config", &self.shared.config).finish_non_exhaustive()
    }
}
