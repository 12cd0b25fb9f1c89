//! The order of the locks, as types: dialog, then user agent, then endpoint, then application.
//!
//! A [`Permit`] says which locks its thread may still take. Each lock takes a permit by mutable reference and gives one of its own level
//! back, so that while the lock is held only locks further down can be had; another order does not compile. The relation is
//! `lock_ordering`'s. The permits are ours, as that crate's root can be made anywhere and defeats the order; here the only root is
//! what [`Endpoint::enter`](super::Endpoint::enter) gives, once a thread.
//!
//! What types cannot see: two locks of one level on two threads, and locks of the application that are not an
//! [`ApplicationMutex`]. No lock of ours is held while the application is called, so neither deadlocks with us: what may come of it
//! is an acquisition that ends at its deadline.

use lock_ordering::impl_transitive_lock_order;
use lock_ordering::relation::LockAfter;
pub use lock_ordering::relation::LockBefore;
use sim::sync::{Mutex, MutexGuard};
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

/// The levels of the order, uppermost first. They are types only.
pub mod level {
    /// Nothing is held.
    #[derive(Debug)]
    pub enum Root {}
    /// A dialog: its state and what is plugged into it.
    #[derive(Debug)]
    pub enum Dialog {}
    /// The user agent: the set of dialogs.
    #[derive(Debug)]
    pub enum UserAgent {}
    /// The endpoint: the call slots.
    #[derive(Debug)]
    pub enum Endpoint {}
    /// The application's own locks. Nothing comes after one.
    #[derive(Debug)]
    pub enum Application {}
}

impl LockAfter<level::Root> for level::Dialog {}
impl LockAfter<level::Dialog> for level::UserAgent {}
impl LockAfter<level::UserAgent> for level::Endpoint {}
impl LockAfter<level::Endpoint> for level::Application {}
impl_transitive_lock_order!(level::Dialog => level::UserAgent);
impl_transitive_lock_order!(level::UserAgent => level::Endpoint);
impl_transitive_lock_order!(level::Endpoint => level::Application);

/// What a thread may lock: levels after `L`. It stays on its thread.
pub struct Permit<'a, L> {
    /// Borrowed from the permit above, which cannot be used meanwhile.
    borrowed: PhantomData<&'a mut L>,
    /// A raw pointer is neither `Send` nor `Sync`, and so neither is this.
    on_this_thread: PhantomData<*const ()>,
}

impl Permit<'_, level::Root> {
    pub(super) const fn root() -> Self {
        Permit { borrowed: PhantomData, on_this_thread: PhantomData }
    }
}

impl<L> Permit<'_, L> {
    /// What may be locked while a lock of level `M` is held.
    pub(super) fn below<M>(&mut self) -> Permit<'_, M>
    where
        L: LockBefore<M>,
    {
        Permit { borrowed: PhantomData, on_this_thread: PhantomData }
    }
}

impl<L> fmt::Debug for Permit<'_, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Permit<{}>", std::any::type_name::<L>())
    }
}

/// A mutex of the application's own, at the end of the order: while it is held nothing of the stack can be called that locks.
///
/// Callbacks are given a permit that ends here. Code that enters the stack locks it between its calls, not around them.
#[derive(Debug, Default)]
pub struct ApplicationMutex<T> {
    mutex: Mutex<T>,
}

impl<T> ApplicationMutex<T> {
    /// A free lock around `value`.
    #[track_caller]
    pub fn new(value: T) -> Self {
        ApplicationMutex { mutex: Mutex::new(value) }
    }

    /// Waits until the lock is free, and takes it. The permit is lent to the guard.
    #[track_caller]
    pub fn lock<'a, L>(&'a self, permit: &'a mut Permit<'_, L>) -> ApplicationGuard<'a, T>
    where
        L: LockBefore<level::Application>,
    {
        ApplicationGuard { guard: self.mutex.lock(), permit: permit.below() }
    }
}

/// Holds an [`ApplicationMutex`] until it is dropped.
#[must_use = "the lock is given back at once"]
#[derive(Debug)]
pub struct ApplicationGuard<'a, T> {
    guard: MutexGuard<'a, T>,
    #[expect(dead_code, reason = "it is held so that no other permit is had meanwhile")]
    permit: Permit<'a, level::Application>,
}

impl<T> Deref for ApplicationGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for ApplicationGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}
