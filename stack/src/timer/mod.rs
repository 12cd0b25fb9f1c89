//! Timers: callbacks that come once, each at its time, unless they are cancelled before.
//!
//! [`TimerHeap`] knows which timer is due when. It is sans-IO: it is given the time. [`Timers`] is what calls back, from a thread of
//! its own or from a task, and makes the same promises on both.
//!
//! ```
//! use stack::timer::{Cancelled, TimerConfig, Timers};
//! use std::time::Duration;
//!
//! let timers = Timers::on_thread(TimerConfig::default())?;
//! let (sent, received) = std::sync::mpsc::channel();
//! let retransmits = timers.schedule_after(Duration::from_secs(10), |_, _| unreachable!("an answer comes first"))?;
//! timers.schedule_after(Duration::from_millis(1), move |timers, _| {
//!     // The answer has come.
//!     sent.send(timers.cancel_and_wait(retransmits)).expect("the test waits for it");
//! })?;
//! assert_eq!(received.recv()?, Ok(Cancelled::Prevented));
//! timers.close()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod heap;
pub mod properties;
mod state;
mod task;
mod thread;
mod timers;

pub use heap::{Entry, Full, TimerHeap, TimerId};
pub use timers::Timers;

use std::time::Duration;

/// How a timer heap runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerConfig {
    /// How many timers may wait at once. One whose callback goes on does not wait any more.
    pub timers_max: usize,
    /// How long who waits for a callback to return does so.
    pub wait_deadline: Duration,
    /// How many callbacks come in a row before others are let run; 0 counts as 1.
    pub burst_max: u32,
    /// From which lateness on a callback counts as late.
    pub late_after: Duration,
}

impl Default for TimerConfig {
    /// 65,536 timers; two seconds for a callback to return; 32 callbacks in a row; late from 10 ms on.
    fn default() -> Self {
        TimerConfig {
            timers_max: 65_536,
            wait_deadline: Duration::from_secs(2),
            burst_max: 32,
            late_after: Duration::from_millis(10),
        }
    }
}

/// What cancelling a timer found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cancelled {
    /// Its callback will not run, and was dropped.
    Prevented,
    /// Its callback runs on another thread, or did when it was cancelled: who was to wait has waited until it returned.
    Running,
    /// It was cancelled from its own callback, which goes on until it returns.
    FromCallback,
    /// Its callback has returned, or it was cancelled before, or the heap was closed first.
    Ended,
}

/// What closing a heap found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Closed {
    /// It was open. No callback goes on any more, and none will come.
    Closed,
    /// It had ended before. No callback goes on any more.
    Already,
    /// It was closed from a callback: no other will come, and this one goes on until it returns.
    FromCallback,
}

/// Why a timer heap did not do as it was told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TimerError {
    /// As many timers wait as may.
    #[error("expected fewer than {timers_max} timers, got one more")]
    Full {
        /// How many may wait.
        timers_max: usize,
    },
    /// The heap was closed.
    #[error("expected an open timer heap, got one that was closed")]
    Closed,
    /// The heap has ended, as the runtime of its task has.
    #[error("expected a timer heap whose worker runs, got one whose runtime has ended")]
    WorkerLost,
    /// The callback had not returned by the deadline.
    #[error("expected the callback to return within {deadline:?}, and it goes on")]
    CallbackGoesOn {
        /// How long was waited.
        deadline: Duration,
    },
    /// No thread or task could be made.
    #[error("the worker of a timer heap could not be made: {why}")]
    Worker {
        /// The system's reason, the engine's, or the runtime's.
        why: String,
    },
}

/// What has happened so far. Every timer that was scheduled and waits no more has fired, was prevented, or was dropped at close.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimerCounters {
    /// Timers taken.
    pub scheduled: u64,
    /// Callbacks begun.
    pub fired: u64,
    /// Timers cancelled before their callbacks began.
    pub prevented: u64,
    /// Timers that still waited when the heap ended.
    pub dropped_at_close: u64,
    /// Timers refused, by the limit or after the end.
    pub refused: u64,
    /// Callbacks that came later than [`TimerConfig::late_after`].
    pub late: u64,
    /// The latest callback.
    pub lateness_max: Duration,
    /// Callbacks that panicked, when they ran or when they were dropped.
    pub panicked: u64,
    /// Waits for a callback that ended at their deadline.
    pub given_up: u64,
}
