use super::raw::{Mode, RawGuard, RawLock};
use std::cell::Cell;
use std::fmt;
use std::ops::Deref;
use std::panic::Location;
use std::time::Duration;

/// A mutex that its owner may take again; it is free when every guard is gone. It gives shared access only.
pub struct ReentrantMutex<T: ?Sized> {
    raw: RawLock,
    data: parking_lot::ReentrantMutex<Counted<T>>,
}

/// How often the owner holds the lock lies under it.
struct Counted<T: ?Sized> {
    depth: Cell<u32>,
    value: T,
}

impl<T> ReentrantMutex<T> {
    /// A free lock around `value`.
    #[track_caller]
    #[inline]
    pub fn new(value: T) -> Self {
        let data = parking_lot::ReentrantMutex::new(Counted { depth: Cell::new(0), value });
        ReentrantMutex { raw: RawLock::reentrant(Location::caller()), data }
    }
}

impl<T: ?Sized> ReentrantMutex<T> {
    /// Waits until the lock is free, or one's own, and takes it.
    #[track_caller]
    #[inline]
    pub fn lock(&self) -> ReentrantMutexGuard<'_, T> {
        let raw = self.raw.lock(Mode::Exclusive, Location::caller());
        ReentrantMutexGuard::new(self.data.lock(), raw)
    }

    /// Takes the lock if it is free or one's own.
    #[track_caller]
    #[inline]
    pub fn try_lock(&self) -> Option<ReentrantMutexGuard<'_, T>> {
        let raw = self.raw.try_lock(Mode::Exclusive, Location::caller())?;
        Some(ReentrantMutexGuard::new(self.data.try_lock()?, raw))
    }

    /// Waits for the lock, for `timeout` at most.
    #[track_caller]
    #[inline]
    pub fn try_lock_for(&self, timeout: Duration) -> Option<ReentrantMutexGuard<'_, T>> {
        let raw = self.raw.try_lock_for(Mode::Exclusive, timeout, Location::caller())?;
        Some(ReentrantMutexGuard::new(self.data.try_lock_for(timeout)?, raw))
    }

    /// Whether the current thread holds the lock.
    #[inline]
    pub fn is_held(&self) -> bool {
        #[cfg(feature = "model")]
        if let Some(obj) = self.raw.obj() {
            return crate::run::with(|run| run.holds(crate::run::me(), obj));
        }
        self.data.is_owned_by_current_thread()
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for ReentrantMutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.data.try_lock() {
            Some(data) => f.debug_struct("ReentrantMutex").field("data", &&data.value).finish(),
            None => f.debug_struct("ReentrantMutex").field("data", &format_args!("<locked>")).finish(),
        }
    }
}

/// Holds a [`ReentrantMutex`] until it is dropped.
#[must_use = "the lock is given back at once"]
pub struct ReentrantMutexGuard<'a, T: ?Sized> {
    // Dropped in this order: the data's lock is free before another thread may run.
    data: parking_lot::ReentrantMutexGuard<'a, Counted<T>>,
    raw: RawGuard<'a>,
}

impl<'a, T: ?Sized> ReentrantMutexGuard<'a, T> {
    #[inline]
    fn new(data: parking_lot::ReentrantMutexGuard<'a, Counted<T>>, raw: RawGuard<'a>) -> Self {
        data.depth.set(data.depth.get() + 1);
        ReentrantMutexGuard { data, raw }
    }

    /// How often its owner holds the lock now, this guard included.
    #[inline]
    pub fn depth(this: &Self) -> u32 {
        this.data.depth.get()
    }

    /// Gives the lock back, which is held once, does `f`, and has it again. `f` is given the engine's lock.
    pub(super) fn unlocked<R>(this: &mut Self, f: impl FnOnce(&mut RawGuard<'a>) -> R) -> R {
        this.data.depth.set(0);
        let raw = &mut this.raw;
        let result = parking_lot::ReentrantMutexGuard::unlocked(&mut this.data, || f(raw));
        this.data.depth.set(1);
        result
    }
}

impl<T: ?Sized> Deref for ReentrantMutexGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.data.value
    }
}

impl<T: ?Sized> Drop for ReentrantMutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.data.depth.set(self.data.depth.get() - 1);
    }
}
