use super::raw::{Mode, RawGuard, RawLock};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::panic::Location;

/// Many readers or one writer. New readers wait behind a waiting writer, as parking_lot's do, so a read within a read can hang.
pub struct RwLock<T: ?Sized> {
    raw: RawLock,
    data: parking_lot::RwLock<T>,
}

impl<T> RwLock<T> {
    /// A free lock around `value`.
    #[track_caller]
    #[inline]
    pub fn new(value: T) -> Self {
        RwLock { raw: RawLock::read_write(Location::caller()), data: parking_lot::RwLock::new(value) }
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.data.into_inner()
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Waits until no writer has or awaits the lock, and shares it.
    #[track_caller]
    #[inline]
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        let raw = self.raw.lock(Mode::Shared, Location::caller());
        RwLockReadGuard { data: self.data.read(), _raw: raw }
    }

    /// Waits until nobody has the lock, and takes it alone.
    #[track_caller]
    #[inline]
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        let raw = self.raw.lock(Mode::Exclusive, Location::caller());
        RwLockWriteGuard { data: self.data.write(), _raw: raw }
    }

    /// Shares the lock if no writer has or awaits it.
    #[track_caller]
    #[inline]
    pub fn try_read(&self) -> Option<RwLockReadGuard<'_, T>> {
        let raw = self.raw.try_lock(Mode::Shared, Location::caller())?;
        Some(RwLockReadGuard { data: self.data.try_read()?, _raw: raw })
    }

    /// Takes the lock if nobody has it.
    #[track_caller]
    #[inline]
    pub fn try_write(&self) -> Option<RwLockWriteGuard<'_, T>> {
        let raw = self.raw.try_lock(Mode::Exclusive, Location::caller())?;
        Some(RwLockWriteGuard { data: self.data.try_write()?, _raw: raw })
    }
}

impl<T> From<T> for RwLock<T> {
    #[track_caller]
    fn from(value: T) -> Self {
        RwLock::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.data.fmt(f)
    }
}

/// Shares a [`RwLock`] until it is dropped.
#[must_use = "the lock is given back at once"]
pub struct RwLockReadGuard<'a, T: ?Sized> {
    data: parking_lot::RwLockReadGuard<'a, T>,
    _raw: RawGuard<'a>,
}

impl<T: ?Sized> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.data
    }
}

/// Holds a [`RwLock`] alone until it is dropped.
#[must_use = "the lock is given back at once"]
pub struct RwLockWriteGuard<'a, T: ?Sized> {
    data: parking_lot::RwLockWriteGuard<'a, T>,
    _raw: RawGuard<'a>,
}

impl<T: ?Sized> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.data
    }
}

impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.data
    }
}
