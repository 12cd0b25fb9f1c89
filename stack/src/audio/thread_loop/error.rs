use std::time::Duration;

/// Why a loop did not do as it was told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoopError {
    /// The loop is not started, or was stopped.
    #[error("expected a loop that runs, got one that does not")]
    NotRunning,
    /// The loop was destroyed.
    #[error("expected a live loop, got one that was destroyed")]
    Destroyed,
    /// Stop or destroy were called by a thread that holds the lock: they wait for the loop thread, which needs it. Nothing was changed.
    #[error("expected a caller without the loop's lock, got one that holds it")]
    LockHeld,
    /// A wait was called by a thread that holds the lock more than once. It would give back what the frames below it rely on. Nothing
    /// was waited for.
    #[error("expected the loop's lock held once, got it held {depth} times")]
    Nested {
        /// How often it is held.
        depth: u32,
    },
    /// A wait was called on the loop thread, which is the one to make it end. Nothing was waited for.
    #[error("expected a wait on another thread, got one on the loop's own")]
    OnLoopThread,
    /// What waits was called on the data path. Nothing was waited for.
    #[error("expected a call that does not wait, got one that does on the data path")]
    OnDataPath,
    /// The guard is of another loop.
    #[error("expected a guard of {expected}, got one of {got}")]
    WrongLoop {
        /// The object's loop.
        expected: String,
        /// The guard's loop.
        got: String,
    },
    /// The object was used from a call that goes on with it.
    #[error("expected an object that nothing is done with, got one from within a call on it")]
    Reentered,
    /// As many tasks wait for the loop thread as may.
    #[error("expected fewer than {capacity} tasks to wait for the loop thread, got {capacity}")]
    QueueFull {
        /// [`super::LoopConfig::queue_capacity`].
        capacity: usize,
    },
    /// The time was up before what was waited for.
    #[error("expected the wait to end within {within:?}, and it did not")]
    DeadlinePassed {
        /// How long was waited.
        within: Duration,
    },
    /// The run ended before what was waited for.
    #[error("expected the loop to run until the wait ends, and it was stopped")]
    Stopped,
    /// No signal waits to be accepted.
    #[error("expected a signal that waits to be accepted, got none")]
    NothingToAccept,
    /// What was invoked panicked on the loop thread.
    #[error("what was invoked panicked")]
    Panicked,
    /// A callback, or a process when the loop is destroyed, had not returned by the deadline. No other will come.
    #[error("expected what the loop calls to return within {deadline:?}, and it goes on")]
    CallbackGoesOn {
        /// How long was waited.
        deadline: Duration,
    },
    /// The system made no thread.
    #[error("a loop thread could not be made: {why}")]
    Thread {
        /// The system's reason.
        why: String,
    },
}
