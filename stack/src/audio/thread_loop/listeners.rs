//! Who is told of events, and of which.

use super::call::call;
use super::{LoopCallback, LoopCell, LoopGuard, Shared};
use sim::sync::Arc;
use std::collections::VecDeque;

/// How many listen at the most.
pub(crate) const LISTENERS_MAX: usize = 64;
/// How many events wait for the loop thread at the most; the oldest make room.
const EVENTS_MAX: usize = 64;

/// The listeners of an object, and the events that they are still to be told of. A listener is told of what happens after it came.
pub(crate) struct Listeners<E: 'static> {
    of: Arc<Shared>,
    next_id: u64,
    listed: Vec<Listener<E>>,
    next_event: u64,
    events: VecDeque<(u64, E)>,
    /// The last listener that was told of the first event.
    told: u64,
    missed: u64,
}

struct Listener<E> {
    id: u64,
    /// The first event that it is told of.
    from: u64,
    /// Not there while it goes on.
    callback: Option<LoopCallback<E>>,
}

/// What the loop thread does next.
enum Telling<E> {
    Call { listener: u64, callback: LoopCallback<E>, event: E },
    Done,
}

impl<E: Clone + 'static> Listeners<E> {
    pub(crate) fn new(of: &Arc<Shared>) -> Self {
        let of = Arc::clone(of);
        Listeners { of, next_id: 0, listed: Vec::new(), next_event: 0, events: VecDeque::new(), told: 0, missed: 0 }
    }

    /// Adds a listener, unless there are as many as may be; then it is left where it is.
    pub(crate) fn add(&mut self, callback: &mut Option<LoopCallback<E>>) -> Option<u64> {
        let callback = callback.take_if(|_| self.listed.len() < LISTENERS_MAX)?;
        self.next_id += 1;
        self.listed.push(Listener { id: self.next_id, from: self.next_event, callback: Some(callback) });
        Some(self.next_id)
    }

    /// The callback is called no more. What is returned is to be let go: nothing while the callback goes on.
    pub(crate) fn remove(&mut self, id: u64) -> Option<Option<LoopCallback<E>>> {
        let position = self.listed.iter().position(|listener| listener.id == id)?;
        Some(self.listed.remove(position).callback)
    }

    /// Something has happened. False if nobody is to be told.
    pub(crate) fn tell(&mut self, event: E) -> bool {
        if self.listed.is_empty() {
            return false;
        }
        if self.events.len() >= EVENTS_MAX {
            self.events.pop_front();
            self.told = 0;
            self.missed += 1;
        }
        self.events.push_back((self.next_event, event));
        self.next_event += 1;
        true
    }

    /// Whether there may be something to tell.
    fn has_next(&self) -> bool {
        !self.events.is_empty() || self.missed > 0
    }

    fn next(&mut self, missed: Option<fn(u64) -> E>) -> Telling<E> {
        if let (Some(event), 1..) = (missed, self.missed) {
            // In the place of those that it stands for.
            let number = self.events.front().map_or(self.next_event, |(number, _)| *number);
            self.events.push_front((number, event(std::mem::take(&mut self.missed))));
        }
        while let Some((number, event)) = self.events.front() {
            let told = self.told;
            let next = self.listed.iter_mut().find(|listener| listener.id > told && listener.from <= *number);
            match next {
                None => {
                    self.events.pop_front();
                    self.told = 0;
                }
                Some(listener) => {
                    self.told = listener.id;
                    // One that is in its middle, and waits there, is told by nobody else.
                    if let Some(callback) = listener.callback.take() {
                        return Telling::Call { listener: listener.id, callback, event: event.clone() };
                    }
                }
            }
        }
        Telling::Done
    }

    /// The callback has returned. What is returned is to be let go.
    fn called(&mut self, id: u64, callback: LoopCallback<E>, has_returned: bool) -> Option<LoopCallback<E>> {
        if !has_returned {
            self.remove(id);
        }
        match self.listed.iter_mut().find(|listener| listener.id == id) {
            Some(listener) => {
                listener.callback = Some(callback);
                None
            }
            None => Some(callback),
        }
    }
}

/// They go with their object, wherever that goes: one by one, as each may panic, and without the lock.
impl<E: 'static> Drop for Listeners<E> {
    fn drop(&mut self) {
        let callbacks = self.listed.drain(..).filter_map(|listener| listener.callback);
        callbacks.for_each(|callback| self.of.let_go_unlocked(Box::new(callback)));
    }
}

/// Tells the listeners in `cell` what they are to be told, on the loop thread. A callback is not in its place while it goes on, so it may
/// add listeners and remove any, itself too. One that panics is removed. False if the run ended first, and there may be more to tell.
pub(crate) fn deliver<T, E: Clone + 'static>(
    guard: &mut LoopGuard<'_>,
    cell: &LoopCell<T>,
    listeners: fn(&mut T) -> &mut Listeners<E>,
    missed: Option<fn(u64) -> E>,
) -> bool {
    // The cell is of the guard's loop, and in no call, so that it is had.
    while cell.with(guard, |held| listeners(held).has_next()) == Ok(true) {
        if !guard.run_goes_on() {
            return false;
        }
        let Ok(Telling::Call { listener, mut callback, event }) = cell.with(guard, |held| listeners(held).next(missed)) else {
            return true;
        };
        let has_returned = call(guard, |guard| callback(guard, &event)).is_some();
        let unwanted = cell.with(guard, |held| listeners(held).called(listener, callback, has_returned));
        guard.let_go_later(unwanted);
    }
    true
}
