use super::raw::{Mode, RawGuard, RawLock};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::panic::Location;
use std::time::Duration;

/// Mutual exclusion, as parking_lot's: no poisoning, and its owner must not take it again.
pub struct Mutex<T: ?Sized> {
    pub(super) raw: RawLock,
    data: parking_lot::Mutex<T>,
}

impl<T> Mutex<T> {
    /// A free lock around `value`.
    #[track_caller]
    #[inline]
    pub fn new(value: T) -> Self {
        Mutex { raw: RawLock::mutex(Location::caller()), data: parking_lot::Mutex::new(value) }
    }

    /// A mutex under a primitive of ours that hands things over: whoever takes it is after whoever had it.
    #[track_caller]
    pub(super) fn ordering(value: T) -> Self {
        let mutex = Mutex::new(value);
        #[cfg(feature = "model")]
        if let Some(obj) = mutex.raw.obj() {
            crate::run::with(|run| run.guards_condition(obj));
        }
        mutex
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.data.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits until the lock is free and takes it.
    #[track_caller]
    #[inline]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        let raw = self.raw.lock(Mode::Exclusive, Location::caller());
        MutexGuard { data: self.data.lock(), raw }
    }

    /// Takes the lock if it is free.
    #[track_caller]
    #[inline]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let raw = self.raw.try_lock(Mode::Exclusive, Location::caller())?;
        Some(MutexGuard { data: self.data.try_lock()?, raw })
    }

    /// Waits for the lock, for `timeout` at most.
    #[track_caller]
    #[inline]
    pub fn try_lock_for(&self, timeout: Duration) -> Option<MutexGuard<'_, T>> {
        let raw = self.raw.try_lock_for(Mode::Exclusive, timeout, Location::caller())?;
        Some(MutexGuard { data: self.data.try_lock_for(timeout)?, raw })
    }

    /// The value, as nobody else has the lock.
    pub fn get_mut(&mut self) -> &mut T {
        self.data.get_mut()
    }
}

impl<T: Default> Default for Mutex<T> {
    #[track_caller]
    fn default() -> Self {
        Mutex::new(T::default())
    }
}

impl<T> From<T> for Mutex<T> {
    #[track_caller]
    fn from(value: T) -> Self {
        Mutex::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.data.fmt(f)
    }
}

/// Holds a [`Mutex`] until it is dropped.
#[must_use = "the lock is given back at once"]
pub struct MutexGuard<'a, T: ?Sized> {
    // Dropped in this order: the data's lock is free before another thread may run.
    pub(super) data: parking_lot::MutexGuard<'a, T>,
    #[cfg_attr(not(feature = "model"), expect(dead_code, reason = "it is held for its drop, which the engines need"))]
    pub(super) raw: RawGuard<'a>,
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.data
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.data
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(feature = "model")]
impl Mutex<bool> {
    /// The token of a thread's park.
    #[track_caller]
    pub(crate) fn ordering_for_park() -> Self {
        Mutex::ordering(false)
    }
}
