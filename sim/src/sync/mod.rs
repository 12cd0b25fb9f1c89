//! Locks, conditions, channels and atomics that look like parking_lot's and std's.
//!
//! Locks do not poison. A primitive belongs to the engine that was current on its thread when it was made. `Arc` is std's, so a
//! leaked reference count is not seen; register what must be released with [`crate::ledger`].

pub mod asynchronous;
pub mod atomic;
pub mod channel;
mod condvar;
mod mutex;
mod once;
mod raw;
mod reentrant;
mod rwlock;

pub use condvar::{Condvar, HeldAgain, ReentrantCondvar, WaitTimeoutResult};
pub use mutex::{Mutex, MutexGuard};
pub use once::{Once, OnceLock};
pub use reentrant::{ReentrantMutex, ReentrantMutexGuard};
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use std::sync::{Arc, Weak};
