use super::shared::Shared;
use super::{LoopCounters, LoopError, LoopGuard, Stopped};
use sim::sync::Arc;
use std::fmt;
use std::time::Duration;

/// A loop, for any number of threads: clones are of the same one. It does not keep the loop running; when the owner has gone the loop is
/// destroyed, and a handle says so.
#[derive(Clone)]
pub struct LoopHandle {
    shared: Arc<Shared>,
}

impl LoopHandle {
    pub(super) fn of(shared: &Arc<Shared>) -> Self {
        LoopHandle { shared: Arc::clone(shared) }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Waits for the loop's lock, and takes it. Who has it may take it again. It is there whether the loop runs or not.
    ///
    /// # Panics
    /// On the data path, which must never wait for it: use [`LoopHandle::try_lock`] or [`LoopHandle::post`]. A process that does so ends
    /// its stream, and no other.
    #[track_caller]
    pub fn lock(&self) -> LoopGuard<'_> {
        self.shared.lock()
    }

    /// Takes the lock if that needs no waiting.
    #[track_caller]
    pub fn try_lock(&self) -> Option<LoopGuard<'_>> {
        self.shared.try_lock()
    }

    /// Starts the loop; see [`super::ThreadLoop::start`].
    ///
    /// # Errors
    /// As [`super::ThreadLoop::start`].
    pub fn start(&self) -> Result<(), LoopError> {
        self.shared.start()
    }

    /// Stops the loop; see [`super::ThreadLoop::stop`].
    ///
    /// # Errors
    /// As [`super::ThreadLoop::stop`], and [`LoopError::LockHeld`].
    pub fn stop(&self) -> Result<Stopped, LoopError> {
        self.shared.stop(false)
    }

    /// Destroys the loop; see [`super::ThreadLoop::destroy`].
    ///
    /// # Errors
    /// As [`super::ThreadLoop::destroy`], and [`LoopError::LockHeld`].
    pub fn destroy(&self) -> Result<Stopped, LoopError> {
        self.shared.stop(true)
    }

    /// Stops the loop and does not wait: for code that holds the lock, or must not wait. [`Stopped::Requested`] if the loop ran.
    pub fn request_stop(&self) -> Stopped {
        self.shared.request(false)
    }

    /// Destroys the loop and does not wait, as [`LoopHandle::request_stop`].
    pub fn request_destroy(&self) -> Stopped {
        self.shared.request(true)
    }

    /// Has `f` run on the loop thread, with the lock, and does not wait for it. It takes no lock that is ever held for long, and may be
    /// called on the data path.
    ///
    /// # Errors
    /// [`LoopError::QueueFull`], [`LoopError::NotRunning`], [`LoopError::Destroyed`]: `f` is dropped.
    pub fn post(&self, f: impl FnOnce(&mut LoopGuard<'_>) + Send + 'static) -> Result<(), LoopError> {
        self.shared.post(Box::new(f)).map(drop)
    }

    /// Takes the lock and [invokes](LoopGuard::invoke) `f` on the loop thread.
    ///
    /// # Errors
    /// As [`LoopGuard::invoke`].
    ///
    /// # Panics
    /// As [`LoopHandle::lock`].
    #[track_caller]
    pub fn invoke<R: Send + 'static>(
        &self,
        within: Duration,
        f: impl FnOnce(&mut LoopGuard<'_>) -> R + Send + 'static,
    ) -> Result<R, LoopError> {
        self.lock().invoke(within, f)
    }

    /// What the loop has counted.
    pub fn counters(&self) -> LoopCounters {
        self.shared.life.lock().state.counters()
    }

    /// Whether the loop runs.
    pub fn is_running(&self) -> bool {
        self.shared.life.lock().state.running_run().is_ok()
    }
}

impl fmt::Debug for LoopHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoopHandle").field("of", &self.shared.name()).finish_non_exhaustive()
    }
}
