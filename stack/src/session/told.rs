//! A word that is given once, and that threads and tasks wait for.

use sim::sync::asynchronous::Notify;
use sim::sync::{Condvar, Mutex, MutexGuard};
use sim::time::{self, Instant};
use std::future::poll_fn;
use std::task::Poll;

/// Its lock is held for moments.
#[derive(Debug)]
pub(super) struct Told<T> {
    word: Mutex<Option<T>>,
    threads: Condvar,
    /// All that wait are notified, and nothing is kept: each looks once it is in the line.
    tasks: Notify,
}

impl<T> Told<T> {
    pub(super) fn new() -> Self {
        Told { word: Mutex::new(None), threads: Condvar::new(), tasks: Notify::new() }
    }

    pub(super) fn tell(&self, word: T) {
        self.set(word);
        self.wake();
    }

    /// Gives the word, which is there from now on. Who waits for it is to be woken.
    pub(super) fn set(&self, word: T) {
        *self.word.lock() = Some(word);
    }

    /// Wakes who waits. Not under a lock: a task's waker is its runtime's.
    pub(super) fn wake(&self) {
        self.threads.notify_all();
        self.tasks.notify_waiters();
    }

    /// The word, if it was given.
    pub(super) fn look(&self) -> MutexGuard<'_, Option<T>> {
        self.word.lock()
    }

    /// Blocks until `take` finds what it looks for, or the time is up.
    pub(super) fn wait<R>(&self, until: Instant, mut take: impl FnMut(&mut Option<T>) -> Option<R>) -> Option<R> {
        let mut word = self.word.lock();
        loop {
            if let Some(found) = take(&mut word) {
                return Some(found);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            self.threads.wait_for(&mut word, left);
        }
    }

    /// As [`Told::wait`], for tasks.
    pub(super) async fn waited<R>(&self, until: Instant, mut take: impl FnMut(&mut Option<T>) -> Option<R>) -> Option<R> {
        let mut look = || match take(&mut self.word.lock()) {
            Some(found) => Poll::Ready(Some(found)),
            None if Instant::now() >= until => Poll::Ready(None),
            None => Poll::Pending,
        };
        loop {
            // In this order: what comes before the look is seen by it, and what comes after finds this one in the line.
            sim::select! {
                () = self.tasks.notified() => {}
                found = poll_fn(|_| look()) => return found,
                () = async { time::sleep_until(until).await } => {}
            }
        }
    }
}
