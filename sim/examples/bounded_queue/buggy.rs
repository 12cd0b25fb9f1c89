//! One condition for everybody who waits, and one of them woken for each change.

use crate::BoundedQueue;
use sim::sync::{Condvar, Mutex};
use std::collections::VecDeque;

/// The queue with the bug: a consumer that has made room may wake another consumer, who finds nothing and waits again. The producer
/// that waits for the room is never told.
pub(crate) struct Queue {
    state: Mutex<State>,
    capacity: usize,
    /// Producers and consumers wait here.
    changed: Condvar,
}

struct State {
    items: VecDeque<u64>,
    is_closed: bool,
}

impl BoundedQueue for Queue {
    fn new(capacity: usize) -> Self {
        let state = State { items: VecDeque::new(), is_closed: false };
        Queue { state: Mutex::new(state), capacity, changed: Condvar::new() }
    }

    fn push(&self, item: u64) -> Result<(), u64> {
        let mut state = self.state.lock();
        while state.items.len() == self.capacity && !state.is_closed {
            self.changed.wait(&mut state);
        }
        if state.is_closed {
            return Err(item);
        }
        state.items.push_back(item);
        self.changed.notify_one();
        Ok(())
    }

    fn pop(&self) -> Option<u64> {
        let mut state = self.state.lock();
        while state.items.is_empty() && !state.is_closed {
            self.changed.wait(&mut state);
        }
        let item = state.items.pop_front();
        self.changed.notify_one();
        item
    }

    fn close(&self) {
        self.state.lock().is_closed = true;
        self.changed.notify_all();
    }
}
