use super::shared::Shared;
use super::{LoopError, LoopGuard, LoopHandle};
use sim::cell::CheckedCell;
use sim::sync::Arc;
use std::fmt;

/// An object of a loop: data that the loop's lock guards.
///
/// The guard is the proof. The engines check that every access is ordered by the lock all the same.
pub struct LoopCell<T> {
    shared: Arc<Shared>,
    /// Not there while a call goes on with it.
    value: CheckedCell<Option<T>>,
}

impl<T> LoopCell<T> {
    /// An object of the loop of `handle`.
    #[track_caller]
    pub fn new(handle: &LoopHandle, value: T) -> Self {
        LoopCell::of(handle.shared(), value)
    }

    #[track_caller]
    pub(crate) fn of(shared: &Arc<Shared>, value: T) -> Self {
        LoopCell { shared: Arc::clone(shared), value: CheckedCell::new(Some(value)) }
    }

    /// Does `f` with the object. `f` may use other objects of the loop, with the guard that the caller has. If it panics the object
    /// stays as it was left.
    ///
    /// # Errors
    /// [`LoopError::WrongLoop`]; [`LoopError::Reentered`] from within a call on this object.
    #[track_caller]
    pub fn with<R>(&self, guard: &LoopGuard<'_>, f: impl FnOnce(&mut T) -> R) -> Result<R, LoopError> {
        guard.expect_of(&self.shared)?;
        let taken = self.value.with_mut(Option::take).ok_or(LoopError::Reentered)?;
        let mut lent = Lent { cell: self, value: Some(taken) };
        // It was put there in the line above, and only the drop takes it.
        Ok(f(lent.value.as_mut().expect("a value that is lent is there")))
    }

    /// The object, as nobody else has it.
    pub fn into_inner(self) -> Option<T> {
        self.value.with_mut(Option::take)
    }
}

/// Puts the value back, whatever happens.
struct Lent<'a, T> {
    cell: &'a LoopCell<T>,
    value: Option<T>,
}

impl<T> Drop for Lent<'_, T> {
    fn drop(&mut self) {
        let value = self.value.take();
        self.cell.value.with_mut(|place| *place = value);
    }
}

impl<T> fmt::Debug for LoopCell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoopCell").field("of", &self.shared.name()).finish_non_exhaustive()
    }
}
