//! Calling the application, and letting go of what is its own.

use super::{LoopCell, LoopError, LoopGuard};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A callback of the application's: called on the loop thread with the lock held.
pub type LoopCallback<E> = Box<dyn FnMut(&mut LoopGuard<'_>, &E) + Send>;

/// Something of the application's that is to be dropped.
pub(crate) type LetGo = Box<dyn Send>;

/// Drops what is the application's. False if that panicked.
pub(crate) fn let_go<T>(value: T) -> bool {
    let Err(payload) = catch_unwind(AssertUnwindSafe(move || drop(value))) else { return true };
    forget_panic(payload);
    false
}

/// Calls the application on the loop thread; `None` if it panicked.
pub(super) fn call<R>(guard: &mut LoopGuard<'_>, f: impl FnOnce(&mut LoopGuard<'_>) -> R) -> Option<R> {
    let _operation = sim::operation("loop.callback", None);
    match catch_unwind(AssertUnwindSafe(|| f(guard))) {
        Ok(result) => Some(result),
        Err(payload) => {
            guard.count_panic();
            // The panic's value is the application's, and this is under the lock.
            guard.let_go_later(payload);
            None
        }
    }
}

/// The value of a panic, whose drop may panic again; one that does is left where it is.
pub(crate) fn forget_panic(payload: Box<dyn std::any::Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(move || drop(payload))) {
        std::mem::forget(again);
    }
}

/// Who is told of events of one kind.
pub(crate) struct Listeners<E> {
    next: u64,
    listed: Vec<(u64, Option<LoopCallback<E>>)>,
}

impl<E> Listeners<E> {
    pub(crate) fn new() -> Self {
        Listeners { next: 0, listed: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.listed.len()
    }

    pub(crate) fn add(&mut self, callback: LoopCallback<E>) -> u64 {
        self.next += 1;
        self.listed.push((self.next, Some(callback)));
        self.next
    }

    /// The callback is called no more. What is returned is to be let go: nothing while the callback goes on.
    pub(crate) fn remove(&mut self, id: u64) -> Option<Option<LoopCallback<E>>> {
        let position = self.listed.iter().position(|(listed, _)| *listed == id)?;
        Some(self.listed.remove(position).1)
    }

    fn next_after(&self, id: u64) -> Option<u64> {
        self.listed.iter().map(|(listed, _)| *listed).find(|listed| *listed > id)
    }

    fn slot(&mut self, id: u64) -> Option<&mut Option<LoopCallback<E>>> {
        self.listed.iter_mut().find(|(listed, _)| *listed == id).map(|(_, slot)| slot)
    }
}

/// Tells each listener in `cell` of `event`, in the order in which they came. A callback is not in its place while it goes on, so it may
/// add listeners and remove any, itself too. One that panics is removed.
pub(crate) fn deliver<T: Send, E>(
    guard: &mut LoopGuard<'_>,
    cell: &LoopCell<T>,
    listeners: impl Fn(&mut T) -> &mut Listeners<E>,
    event: &E,
) -> Result<(), LoopError>
where
    E: 'static,
{
    let mut told = 0;
    while let Some(id) = cell.with(guard, |held| listeners(held).next_after(told))? {
        told = id;
        let Some(mut callback) = cell.with(guard, |held| listeners(held).slot(id).and_then(Option::take))? else { continue };
        let has_returned = call(guard, |guard| callback(guard, event)).is_some();
        let unwanted = cell.with(guard, |held| {
            let listeners = listeners(held);
            if !has_returned {
                listeners.remove(id);
            }
            match listeners.slot(id) {
                Some(slot) => {
                    *slot = Some(callback);
                    None
                }
                None => Some(callback),
            }
        })?;
        if let Some(callback) = unwanted {
            guard.let_go_later(callback);
        }
    }
    Ok(())
}
