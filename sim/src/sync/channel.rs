//! Bounded and rendezvous channels, many senders to many receivers.

use super::{Arc, Condvar, Mutex};
use crate::time::Instant;
use std::collections::VecDeque;
use std::time::Duration;

/// A channel of `capacity` messages. With a capacity of 0 it is a rendezvous: a send returns when a receiver has taken the message.
#[track_caller]
pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared {
        state: Mutex::ordering(State { queue: VecDeque::new(), taken: 0, put: 0, senders: 1, receivers: 1, receiving: 0 }),
        capacity,
        filled: Condvar::new(),
        drained: Condvar::new(),
    });
    (Sender { shared: Arc::clone(&shared) }, Receiver { shared })
}

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
    capacity: usize,
    /// Receivers wait here.
    filled: Condvar,
    /// Senders wait here.
    drained: Condvar,
}

#[derive(Debug)]
struct State<T> {
    queue: VecDeque<T>,
    /// How many messages were ever put and taken.
    put: u64,
    taken: u64,
    senders: usize,
    receivers: usize,
    /// How many receivers wait, for the rendezvous' `try_send`.
    receiving: usize,
}

/// The message could not be sent as nobody is left to receive it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody is left to receive")]
pub struct SendError<T>(pub T);

/// The message could not be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrySendError<T> {
    /// The channel is full (or, at a rendezvous, nobody waits), or the time was up.
    #[error("there is no room for a message")]
    Full(T),
    /// Nobody is left to receive.
    #[error("nobody is left to receive")]
    Disconnected(T),
}

/// Nobody is left to send, and nothing is left to receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody is left to send")]
pub struct RecvError;

/// Nothing could be received now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TryRecvError {
    /// Nothing has come, or not in time.
    #[error("no message has come")]
    Empty,
    /// Nobody is left to send.
    #[error("nobody is left to send")]
    Disconnected,
}

/// Sends. Clones send into the same channel.
#[derive(Debug)]
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Sender<T> {
    /// Waits for room and sends; at a rendezvous, waits until the message was taken.
    ///
    /// # Errors
    /// Gives the message back if nobody is left to receive it.
    #[track_caller]
    pub fn send(&self, message: T) -> Result<(), SendError<T>> {
        self.send_until(message, None).map_err(|error| match error {
            TrySendError::Full(message) | TrySendError::Disconnected(message) => SendError(message),
        })
    }

    /// Like [`Sender::send`], for `timeout` at most.
    ///
    /// # Errors
    /// Gives the message back if there was no room in time, or nobody is left.
    #[track_caller]
    pub fn send_timeout(&self, message: T, timeout: Duration) -> Result<(), TrySendError<T>> {
        self.send_until(message, Some(Instant::now() + timeout))
    }

    /// Sends if that needs no waiting.
    ///
    /// # Errors
    /// Gives the message back if there is no room, or nobody is left.
    #[track_caller]
    pub fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        let shared = &*self.shared;
        let mut state = shared.state.lock();
        if state.receivers == 0 {
            return Err(TrySendError::Disconnected(message));
        }
        // A rendezvous has one place: who waits to be met and who only tries must not stand there together.
        let room = if shared.capacity == 0 { state.receiving.min(1) } else { shared.capacity };
        if state.queue.len() >= room {
            return Err(TrySendError::Full(message));
        }
        state.queue.push_back(message);
        state.put += 1;
        drop(state);
        shared.filled.notify_one();
        Ok(())
    }

    #[track_caller]
    fn send_until(&self, message: T, deadline: Option<Instant>) -> Result<(), TrySendError<T>> {
        let shared = &*self.shared;
        let mut state = shared.state.lock();
        while state.receivers > 0 && state.queue.len() >= shared.capacity.max(1) {
            if !wait(&shared.drained, &mut state, deadline) {
                return Err(TrySendError::Full(message));
            }
        }
        if state.receivers == 0 {
            return Err(TrySendError::Disconnected(message));
        }
        state.queue.push_back(message);
        state.put += 1;
        let ticket = state.put;
        shared.filled.notify_one();
        if shared.capacity > 0 {
            return Ok(());
        }
        while state.taken < ticket && state.receivers > 0 {
            if !wait(&shared.drained, &mut state, deadline) && state.taken < ticket {
                break;
            }
        }
        if state.taken >= ticket {
            return Ok(());
        }
        let gone = state.receivers == 0;
        state.put -= 1;
        // Only this sender's message can be in a rendezvous' queue while it waits: the queue has one place.
        match state.queue.pop_back() {
            Some(message) if gone => Err(TrySendError::Disconnected(message)),
            Some(message) => {
                shared.drained.notify_all();
                Err(TrySendError::Full(message))
            }
            None => Ok(()),
        }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.state.lock().senders += 1;
        Sender { shared: Arc::clone(&self.shared) }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.senders -= 1;
        if state.senders == 0 {
            drop(state);
            self.shared.filled.notify_all();
        }
    }
}

/// Receives. Clones share the messages.
#[derive(Debug)]
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Receiver<T> {
    /// Waits for a message.
    ///
    /// # Errors
    /// If nobody is left to send and nothing is left to receive.
    #[track_caller]
    pub fn recv(&self) -> Result<T, RecvError> {
        self.recv_until(None).map_err(|_| RecvError)
    }

    /// Waits for a message, for `timeout` at most.
    ///
    /// # Errors
    /// If nothing came in time, or nobody is left to send.
    #[track_caller]
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, TryRecvError> {
        self.recv_until(Some(Instant::now() + timeout))
    }

    /// A message, if one is there.
    ///
    /// # Errors
    /// If none is there, or nobody is left to send.
    #[track_caller]
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        let mut state = self.shared.state.lock();
        self.take(&mut state).ok_or(if state.senders == 0 { TryRecvError::Disconnected } else { TryRecvError::Empty })
    }

    /// Every message until nobody is left to send. Each is waited for.
    pub fn iter(&self) -> Iter<'_, T> {
        Iter(self)
    }

    fn take(&self, state: &mut State<T>) -> Option<T> {
        let message = state.queue.pop_front()?;
        state.taken += 1;
        if self.shared.capacity == 0 {
            self.shared.drained.notify_all();
        } else {
            self.shared.drained.notify_one();
        }
        Some(message)
    }

    #[track_caller]
    fn recv_until(&self, deadline: Option<Instant>) -> Result<T, TryRecvError> {
        let shared = &*self.shared;
        let mut state = shared.state.lock();
        state.receiving += 1;
        let mut in_time = true;
        while state.queue.is_empty() && state.senders > 0 && in_time {
            in_time = wait(&shared.filled, &mut state, deadline);
        }
        state.receiving -= 1;
        match self.take(&mut state) {
            Some(message) => Ok(message),
            None if state.senders == 0 => Err(TryRecvError::Disconnected),
            None => Err(TryRecvError::Empty),
        }
    }
}

/// Every message until nobody is left to send.
#[derive(Debug)]
pub struct Iter<'a, T>(&'a Receiver<T>);

impl<T> Iterator for Iter<'_, T> {
    type Item = T;

    #[track_caller]
    fn next(&mut self) -> Option<T> {
        self.0.recv().ok()
    }
}

impl<'a, T> IntoIterator for &'a Receiver<T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

/// As [`Iter`], with the receiver its own.
#[derive(Debug)]
pub struct IntoIter<T>(Receiver<T>);

impl<T> Iterator for IntoIter<T> {
    type Item = T;

    #[track_caller]
    fn next(&mut self) -> Option<T> {
        self.0.recv().ok()
    }
}

impl<T> IntoIterator for Receiver<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    fn into_iter(self) -> IntoIter<T> {
        IntoIter(self)
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.shared.state.lock().receivers += 1;
        Receiver { shared: Arc::clone(&self.shared) }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.receivers -= 1;
        if state.receivers == 0 {
            drop(state);
            self.shared.drained.notify_all();
        }
    }
}

/// Waits for a change. False if the time is up.
#[track_caller]
fn wait<T>(condvar: &Condvar, state: &mut super::MutexGuard<'_, State<T>>, deadline: Option<Instant>) -> bool {
    match deadline {
        None => {
            condvar.wait(state);
            true
        }
        Some(deadline) => {
            let left = deadline.saturating_duration_since(Instant::now());
            !left.is_zero() && !condvar.wait_for(state, left).timed_out()
        }
    }
}
