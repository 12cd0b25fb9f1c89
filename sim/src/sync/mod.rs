//! Locks, conditions, channels and atomics that look like parking_lot's and std's.
//!
//! Locks do not poison. A primitive belongs to the engine that was current on its thread when it was made. `Arc` is std's, so a
//! leaked reference count is not seen; register what must be released with [`crate::ledger`]. A lock, an atomic or what tasks wait
//! for that was made outside of a run and is used in it is a failure of that run, as no engine would see it; a cell or a `OnceLock`
//! from there is only not looked at.

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

/// A real primitive in a run would work, and nothing of it would be explored: a check that finds nothing, and says nothing.
#[cfg(feature = "model")]
#[inline]
fn refuse_if_in_a_run(what: &str, site: crate::run::Site) {
    if crate::engine::current() != crate::engine::Engine::Real {
        let told =
            format!("{what} that was made outside of the run was used in it, where no engine sees it: make it in the body");
        let finding = crate::verdict::Finding::new(crate::verdict::Detector::Panic, told);
        crate::run::fail(finding.with(format!("used at {}", crate::trace::place(site))));
    }
}
