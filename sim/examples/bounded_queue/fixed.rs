//! A condition for those who wait for an item, and another for those who wait for room.

use crate::BoundedQueue;
use sim::sync::{Condvar, Mutex};
use std::collections::VecDeque;

/// The queue without the bug: whoever is woken waits for what has happened.
pub(crate) struct Queue {
    state: Mutex<State>,
    capacity: usize,
    /// Consumers wait here.
    filled: Condvar,
    /// Producers wait here.
    drained: Condvar,
}

struct State {
    items: VecDeque<u64>,
    is_closed: bool,
}

impl BoundedQueue for Queue {
    fn new(capacity: usize) -> Self {
        let state = State { items: VecDeque::new(), is_closed: false };
        Queue { state: Mutex::new(state), capacity, filled: Condvar::new(), drained: Condvar::new() }
    }

    fn push(&self, item: u64) -> Result<(), u64> {
        let mut state = self.state.lock();
        while state.items.len() == self.capacity && !state.is_closed {
            self.drained.wait(&mut state);
        }
        if state.is_closed {
            return Err(item);
        }
        state.items.push_back(item);
        self.filled.notify_one();
        Ok(())
    }

    fn pop(&self) -> Option<u64> {
        let mut state = self.state.lock();
        while state.items.is_empty() && !state.is_closed {
            self.filled.wait(&mut state);
        }
        let item = state.items.pop_front();
        self.drained.notify_one();
        item
    }

    fn close(&self) {
        self.state.lock().is_closed = true;
        self.filled.notify_all();
        self.drained.notify_all();
    }
}
