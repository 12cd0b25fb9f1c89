use super::raw::{Mode, RawGuard, RawLock};
use std::fmt;
use std::ops::Deref;
use std::panic::Location;
use std::time::Duration;

/// A mutex that its owner may take again; it is free when every guard is gone. It gives shared access only.
pub struct ReentrantMutex<T: ?Sized> {
    raw: RawLock,
    data: parking_lot::ReentrantMutex<T>,
}

impl<T> ReentrantMutex<T> {
    /// A free lock around `value`.
    #[track_caller]
    #[inline]
    pub fn new(value: T) -> Self {
        ReentrantMutex { raw: RawLock::reentrant(Location::caller()), data: parking_lot::ReentrantMutex::new(value) }
    }
}

impl<T: ?Sized> ReentrantMutex<T> {
    /// Waits until the lock is free, or one's own, and takes it.
    #[track_caller]
    #[inline]
    pub fn lock(&self) -> ReentrantMutexGuard<'_, T> {
        let raw = self.raw.lock(Mode::Exclusive, Location::caller());
        ReentrantMutexGuard { data: self.data.lock(), _raw: raw }
    }

    /// Takes the lock if it is free or one's own.
    #[track_caller]
    #[inline]
    pub fn try_lock(&self) -> Option<ReentrantMutexGuard<'_, T>> {
        let raw = self.raw.try_lock(Mode::Exclusive, Location::caller())?;
        Some(ReentrantMutexGuard { data: self.data.try_lock()?, _raw: raw })
    }

    /// Waits for the lock, for `timeout` at most.
    #[track_caller]
    #[inline]
    pub fn try_lock_for(&self, timeout: Duration) -> Option<ReentrantMutexGuard<'_, T>> {
        let raw = self.raw.try_lock_for(Mode::Exclusive, timeout, Location::caller())?;
        Some(ReentrantMutexGuard { data: self.data.try_lock_for(timeout)?, _raw: raw })
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for ReentrantMutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.data.fmt(f)
    }
}

/// Holds a [`ReentrantMutex`] until it is dropped.
#[must_use = "the lock is given back at once"]
pub struct ReentrantMutexGuard<'a, T: ?Sized> {
    data: parking_lot::ReentrantMutexGuard<'a, T>,
    _raw: RawGuard<'a>,
}

impl<T: ?Sized> Deref for ReentrantMutexGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.data
    }
}
