//! Calling the application, and letting go of what is its own.

use super::LoopGuard;
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
