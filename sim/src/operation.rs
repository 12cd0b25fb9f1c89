//! Operations: what a run's coverage counts, and what states a deadline.

use std::time::Duration;

/// Says that an operation goes on until the value returned is dropped, and how long it may take.
///
/// Under an engine the `hang` detector watches the deadline on virtual time, and the coverage of a check counts which operations
/// overlapped. In production it does nothing.
#[track_caller]
#[inline]
#[must_use = "the operation ends at once"]
pub fn operation(name: &'static str, deadline: impl Into<Option<Duration>>) -> Operation {
    #[cfg(feature = "model")]
    if crate::engine::current() != crate::engine::Engine::Real {
        let (me, site) = (crate::run::me(), std::panic::Location::caller());
        crate::run::with(|run| run.enter_operation(me, name, deadline.into(), site));
        return Operation { entered: Some((me, name)) };
    }
    let _ = (name, deadline);
    Operation {
        #[cfg(feature = "model")]
        entered: None,
    }
}

/// An operation that goes on.
#[derive(Debug)]
pub struct Operation {
    #[cfg(feature = "model")]
    entered: Option<(u32, &'static str)>,
}

#[cfg(feature = "model")]
impl Drop for Operation {
    fn drop(&mut self) {
        if let Some((thread, name)) = self.entered.take() {
            crate::run::try_with(|run| run.leave_operation(thread, name));
        }
    }
}
