//! A loop thread with a recursive lock whose guard is the proof.
//!
//! The objects of a loop (devices, streams, an application's own [`LoopCell`]s) are touched by the loop's thread and by the threads of
//! the application. One recursive lock guards them all, and there is no other way to it than [`ThreadLoop::lock`] and
//! [`LoopHandle::lock`]: every call on an object takes the [`LoopGuard`] by reference, so that a call without the lock does not
//! compile. A guard of another loop is [`LoopError::WrongLoop`].
//!
//! **Who holds the lock must not stop the loop**, as stopping waits for the loop thread and that one needs the lock. The owner's
//! [`ThreadLoop::stop`] and [`ThreadLoop::destroy`] take the owner mutably and a guard borrows it, so the compiler refuses. What it
//! cannot see, a [`LoopHandle`] on a thread that holds the lock, is [`LoopError::LockHeld`], with nothing changed. From a callback or a
//! process they are requests, served when it returns ([`Stopped::Requested`]).
//!
//! **Callbacks run on the loop thread with the lock held**, and are given the guard. Nowhere else does this crate call an application
//! with a lock held. It does so here because the lock is not this crate's but the application's: whatever a callback is told (a device
//! has come, a stream has failed) is still so while it runs, it may call any object of the loop, and what it changes nobody sees half
//! done. The price is the application's to pay: a callback must not wait for anything that waits for the lock.
//!
//! **Real-time processes run without the lock**, on the data path, and never wait for it: [`LoopHandle::lock`] panics there, what waits
//! is [`LoopError::OnDataPath`], and [`LoopHandle::try_lock`] and [`LoopHandle::post`] are what they have.
//!
//! What the application hands over (callbacks, processes, tasks) is dropped without the lock: what is let go under it waits until the
//! lock is given back, and is dropped by whoever gives it back.
//!
//! The rules are those of PipeWire's `thread-loop.h` and `loop.c`, except where those leave a hole: a wait has a predicate and a
//! deadline, a nested wait is refused and does not hang, an accept that pairs with no signal is refused and does not make a counter
//! negative, and what waits is told when the run ends.

mod acceptance;
mod call;
mod cell;
mod data_path;
mod error;
mod guard;
mod handle;
mod listeners;
mod owner;
pub mod properties;
mod shared;
mod source;
mod state;
mod worker;

pub use call::LoopCallback;
pub use cell::LoopCell;
pub use error::LoopError;
pub use guard::LoopGuard;
pub use handle::LoopHandle;
pub use owner::ThreadLoop;
pub use source::{Source, Wake};

pub(super) use call::{forget_panic, let_go};
pub(super) use data_path::DataPath;
pub(super) use listeners::{LISTENERS_MAX, Listeners, deliver};
pub(super) use shared::{Duty, Ends, Shared};

use std::time::Duration;

/// How a loop runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoopConfig {
    /// What errors and the thread are called.
    pub name: String,
    /// How many tasks may wait for the loop thread.
    pub queue_capacity: usize,
    /// How long stop and destroy wait for a callback to return.
    pub stop_deadline: Duration,
}

impl Default for LoopConfig {
    /// "audio loop"; 64 tasks; two seconds for a callback to return.
    fn default() -> Self {
        LoopConfig { name: "audio loop".to_owned(), queue_capacity: 64, stop_deadline: Duration::from_secs(2) }
    }
}

/// What stop or destroy found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stopped {
    /// The loop ran. No callback of that run goes on any more.
    Stopped,
    /// It was not running, and no callback goes on.
    NotRunning,
    /// It was called from a callback or a process, or did not wait: no other callback will come, and one may go on until it returns.
    Requested,
}

/// What a loop has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoopCounters {
    /// Tasks that were queued.
    pub posted: u64,
    /// Tasks that ran.
    pub ran: u64,
    /// Tasks that were refused as the queue was full.
    pub refused: u64,
    /// Tasks that were queued when their run ended: they are dropped, and never run.
    pub discarded: u64,
    /// Tasks, callbacks and drops of the application's that panicked.
    pub panics: u64,
}
