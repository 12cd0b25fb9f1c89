//! Locks, notifications, channels and permits that are awaited: tokio's, seen by the engines.
//!
//! tokio's own primitives run under every engine that has tasks, as they need no runtime. What is added is what the engines and
//! detectors must know: a point before each step, who holds a lock and who waits for it, and what orders what.

#[cfg(feature = "model")]
use crate::{
    awaiting::{Awaited, Awaiting},
    engine::{Engine, current},
    kernel,
    run::{Nature, Obj, Site, me, with},
    trace::Op,
};
use std::fmt;
use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::panic::Location;

/// What the engines know of a primitive. Nothing, in production.
#[derive(Clone, Copy, Debug)]
struct Seen {
    #[cfg(feature = "model")]
    obj: Option<Obj>,
}

impl Seen {
    #[track_caller]
    fn new(kind: &'static str, is_lock: bool) -> Self {
        #[cfg(feature = "model")]
        if current() != Engine::Real {
            let nature = if is_lock { Nature::AsyncLock } else { Nature::Primitive };
            let site = Location::caller();
            return Seen { obj: Some(with(|run| run.create(kind, nature, site))) };
        }
        let _ = (kind, is_lock, Location::caller());
        Seen {
            #[cfg(feature = "model")]
            obj: None,
        }
    }

    /// What it is to the engine, if one is there; a run has no use for what it cannot see.
    #[cfg(feature = "model")]
    fn asked(self, site: Site) -> Option<Obj> {
        if self.obj.is_none() {
            super::refuse_if_in_a_run("a primitive for tasks", site);
        }
        self.obj
    }

    /// A step that others may come before, and that hands over or takes over what they know.
    #[cfg(feature = "model")]
    fn point(self, op: Op, site: Site) {
        if let Some(obj) = self.asked(site) {
            kernel::point(op, Some(obj), site);
            with(|run| run.release(me(), obj, true));
        }
    }

    #[cfg(feature = "model")]
    fn acquire(self) {
        if let Some(obj) = self.obj {
            with(|run| run.acquire(me(), obj, true));
        }
    }
}

macro_rules! point {
    ($seen:expr, $op:ident, $site:expr) => {{
        #[cfg(feature = "model")]
        $seen.point(Op::$op, $site);
        let _ = ($seen, $site);
    }};
}

/// Awaits `future`, and then knows what went before it.
async fn after<T>(seen: Seen, site: &'static Location<'static>, future: impl Future<Output = T>) -> T {
    #[cfg(feature = "model")]
    if let Some(obj) = seen.obj {
        let value = awaiting(obj, site, future).await;
        seen.acquire();
        return value;
    }
    let _ = (seen, site);
    future.await
}

/// Awaits `future`, and while it is not ready says so.
#[cfg(feature = "model")]
async fn awaiting<T>(obj: Obj, site: Site, future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut waiting = None;
    std::future::poll_fn(|context| {
        let polled = future.as_mut().poll(context);
        if polled.is_pending() {
            waiting.get_or_insert_with(|| Awaiting::new(Awaited::Object(obj), site));
        }
        polled
    })
    .await
}

/// A mutex whose lock is awaited and may be held while its task waits for something else. Who waits longest is next.
pub struct Mutex<T: ?Sized> {
    seen: Seen,
    inner: tokio::sync::Mutex<T>,
}

impl<T> Mutex<T> {
    /// A free lock around `value`.
    #[track_caller]
    pub fn new(value: T) -> Self {
        Mutex { seen: Seen::new("async Mutex", true), inner: tokio::sync::Mutex::new(value) }
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits until the lock is free and takes it. Dropped while it waits, it leaves the line.
    #[track_caller]
    pub fn lock(&self) -> impl Future<Output = MutexGuard<'_, T>> {
        let site = Location::caller();
        async move {
            #[cfg(feature = "model")]
            if let Some(obj) = self.seen.asked(site) {
                kernel::point(Op::Lock, Some(obj), site);
                with(|run| run.ask_lock(me(), obj, false, site));
                let inner = awaiting(obj, site, self.inner.lock()).await;
                with(|run| run.locked(me(), obj, false, site));
                return MutexGuard { inner, seen: self.seen, holder: me() };
            }
            let _ = site;
            MutexGuard {
                inner: self.inner.lock().await,
                seen: self.seen,
                #[cfg(feature = "model")]
                holder: 0,
            }
        }
    }

    /// Takes the lock if it is free.
    #[track_caller]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let site = Location::caller();
        #[cfg(feature = "model")]
        if let Some(obj) = self.seen.asked(site) {
            kernel::point(Op::TryLock, Some(obj), site);
        }
        let inner = self.inner.try_lock().ok()?;
        #[cfg(feature = "model")]
        if let Some(obj) = self.seen.obj {
            with(|run| run.locked(me(), obj, false, site));
        }
        let _ = site;
        Some(MutexGuard {
            inner,
            seen: self.seen,
            #[cfg(feature = "model")]
            holder: crate::run::me(),
        })
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

/// Holds a [`Mutex`] until it is dropped.
#[must_use = "the lock is given back at once"]
pub struct MutexGuard<'a, T: ?Sized> {
    inner: tokio::sync::MutexGuard<'a, T>,
    #[cfg_attr(not(feature = "model"), expect(dead_code, reason = "only engines look at it"))]
    seen: Seen,
    /// The thread of the task that took it.
    #[cfg(feature = "model")]
    holder: u32,
}

#[cfg(feature = "model")]
impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        // Before tokio's own guard goes, which wakes who is next.
        if let Some(obj) = self.seen.obj {
            crate::run::try_with(|run| run.unlocked(self.holder, obj, false));
        }
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

/// Wakes tasks. A notification that nobody waits for is kept for the next; a second one is not.
#[derive(Debug)]
pub struct Notify {
    seen: Seen,
    inner: tokio::sync::Notify,
}

impl Notify {
    /// Nobody was notified yet.
    #[track_caller]
    pub fn new() -> Self {
        Notify { seen: Seen::new("Notify", false), inner: tokio::sync::Notify::new() }
    }

    /// Waits for a notification.
    #[track_caller]
    pub fn notified(&self) -> impl Future<Output = ()> {
        let site = Location::caller();
        // From here on it hears of every `notify_waiters`, as tokio's does.
        let notified = self.inner.notified();
        async move {
            point!(self.seen, Wait, site);
            after(self.seen, site, notified).await;
        }
    }

    /// Wakes the task that has waited longest, or lets the next wait pass.
    #[track_caller]
    pub fn notify_one(&self) {
        point!(self.seen, Notify, Location::caller());
        self.inner.notify_one();
    }

    /// Wakes every task that waits now, and lets none pass later.
    #[track_caller]
    pub fn notify_waiters(&self) {
        point!(self.seen, Notify, Location::caller());
        self.inner.notify_waiters();
    }
}

impl Default for Notify {
    #[track_caller]
    fn default() -> Self {
        Notify::new()
    }
}

/// Permits that tasks wait for.
#[derive(Debug)]
pub struct Semaphore {
    seen: Seen,
    inner: tokio::sync::Semaphore,
}

/// A permit, given back when it is dropped.
#[must_use = "the permit is given back at once"]
#[derive(Debug)]
pub struct SemaphorePermit<'a> {
    _inner: tokio::sync::SemaphorePermit<'a>,
}

/// The semaphore was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the semaphore was closed")]
pub struct Closed;

impl Semaphore {
    /// So many permits.
    #[track_caller]
    pub fn new(permits: usize) -> Self {
        Semaphore { seen: Seen::new("Semaphore", false), inner: tokio::sync::Semaphore::new(permits) }
    }

    /// Waits for a permit.
    ///
    /// # Errors
    /// [`Closed`].
    #[track_caller]
    pub fn acquire(&self) -> impl Future<Output = Result<SemaphorePermit<'_>, Closed>> {
        let site = Location::caller();
        async move {
            point!(self.seen, Wait, site);
            let permit = after(self.seen, site, self.inner.acquire()).await;
            permit.map(|inner| SemaphorePermit { _inner: inner }).map_err(|_| Closed)
        }
    }

    /// A permit, if one is there.
    #[track_caller]
    pub fn try_acquire(&self) -> Option<SemaphorePermit<'_>> {
        point!(self.seen, TryLock, Location::caller());
        self.inner.try_acquire().ok().map(|inner| SemaphorePermit { _inner: inner })
    }

    /// How many permits are there now.
    #[track_caller]
    pub fn available_permits(&self) -> usize {
        point!(self.seen, Load, Location::caller());
        self.inner.available_permits()
    }

    /// Ends it: who waits, and who comes, is told.
    #[track_caller]
    pub fn close(&self) {
        point!(self.seen, Store, Location::caller());
        self.inner.close();
    }
}

/// A bounded channel from many tasks to one.
pub mod mpsc {
    use super::{Seen, after};
    #[cfg(feature = "model")]
    use crate::trace::Op;
    use std::future::Future;
    use std::panic::Location;
    pub use tokio::sync::mpsc::error::{SendError, TryRecvError, TrySendError};

    /// A channel of `capacity` messages.
    ///
    /// # Panics
    /// If the capacity is 0.
    #[track_caller]
    pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
        let seen = Seen::new("mpsc channel", false);
        let (sender, receiver) = tokio::sync::mpsc::channel(capacity);
        (Sender { seen, inner: sender }, Receiver { seen, inner: receiver })
    }

    /// Sends. Clones send into the same channel.
    #[derive(Debug)]
    pub struct Sender<T> {
        seen: Seen,
        inner: tokio::sync::mpsc::Sender<T>,
    }

    impl<T> Clone for Sender<T> {
        fn clone(&self) -> Self {
            Sender { seen: self.seen, inner: self.inner.clone() }
        }
    }

    impl<T> Sender<T> {
        /// Waits for room and sends.
        ///
        /// # Errors
        /// Gives the message back if the receiver has gone.
        #[track_caller]
        pub fn send(&self, message: T) -> impl Future<Output = Result<(), SendError<T>>> {
            let site = Location::caller();
            async move {
                point!(self.seen, Send, site);
                after(self.seen, site, self.inner.send(message)).await
            }
        }

        /// Sends if there is room.
        ///
        /// # Errors
        /// Gives the message back if there is none, or the receiver has gone.
        #[track_caller]
        pub fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
            point!(self.seen, Send, Location::caller());
            self.inner.try_send(message)
        }
    }

    /// Receives.
    #[derive(Debug)]
    pub struct Receiver<T> {
        seen: Seen,
        inner: tokio::sync::mpsc::Receiver<T>,
    }

    impl<T> Receiver<T> {
        /// Waits for a message. `None` if nobody is left to send.
        #[track_caller]
        pub fn recv(&mut self) -> impl Future<Output = Option<T>> {
            let site = Location::caller();
            async move {
                point!(self.seen, Recv, site);
                after(self.seen, site, self.inner.recv()).await
            }
        }

        /// A message, if one is there.
        ///
        /// # Errors
        /// If none is there, or nobody is left to send.
        #[track_caller]
        pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
            point!(self.seen, Recv, Location::caller());
            self.inner.try_recv()
        }
    }
}

/// One message from one task to another.
pub mod oneshot {
    use super::{Seen, after};
    #[cfg(feature = "model")]
    use crate::trace::Op;
    use std::future::Future;
    use std::panic::Location;
    pub use tokio::sync::oneshot::error::RecvError;

    /// A channel for one message.
    #[track_caller]
    pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
        let seen = Seen::new("oneshot channel", false);
        let (sender, receiver) = tokio::sync::oneshot::channel();
        (Sender { seen, inner: sender }, Receiver { seen, inner: receiver })
    }

    /// Sends once.
    #[derive(Debug)]
    pub struct Sender<T> {
        seen: Seen,
        inner: tokio::sync::oneshot::Sender<T>,
    }

    impl<T> Sender<T> {
        /// Sends.
        ///
        /// # Errors
        /// Gives the message back if the receiver has gone.
        #[track_caller]
        pub fn send(self, message: T) -> Result<(), T> {
            point!(self.seen, Send, Location::caller());
            self.inner.send(message)
        }
    }

    /// Receives once.
    #[derive(Debug)]
    pub struct Receiver<T> {
        seen: Seen,
        inner: tokio::sync::oneshot::Receiver<T>,
    }

    impl<T> Receiver<T> {
        /// Waits for the message. Dropped while it waits, it has lost nothing.
        ///
        /// # Errors
        /// If the sender has gone without one.
        ///
        /// # Panics
        /// If the message was had before.
        #[track_caller]
        pub fn recv(&mut self) -> impl Future<Output = Result<T, RecvError>> {
            let site = Location::caller();
            async move {
                point!(self.seen, Recv, site);
                after(self.seen, site, &mut self.inner).await
            }
        }
    }
}
