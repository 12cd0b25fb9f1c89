//! What can go wrong at the endpoint.

use super::calls::CallHandle;
use super::dialog::{CallState, DialogId};
use std::time::Duration;

/// A handle whose call is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a call that goes on, got {call}, whose slot is at generation {generation:?}")]
pub struct StaleCall {
    /// The handle.
    pub call: CallHandle,
    /// The generation of its slot now: that of the handle where no other call is in it yet. `None`: there never was such a slot
    /// here, as where the handle is of another endpoint.
    pub generation: Option<u32>,
}

/// Why a thread may not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnterError {
    /// This thread is inside of an endpoint already: in a callback, or with a dialog's lock.
    #[error("expected a thread outside of the endpoint, got one that is inside; a callback has its own permit")]
    Inside,
}

/// Why a dialog was not had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AcquireError {
    /// The call is over.
    #[error(transparent)]
    Stale(#[from] StaleCall),
    /// No dialog has this id.
    #[error("expected a dialog, got {id}, which is none")]
    NoSuchDialog {
        /// The id.
        id: DialogId,
    },
    /// Others had the dialog until the deadline.
    #[error("expected the dialog within {deadline:?}, and others had it")]
    TimedOut {
        /// How long was waited.
        deadline: Duration,
    },
    /// As many as may wait for one dialog do.
    #[error("expected at most {waiters_max} who have or want the dialog, and there are as many")]
    Crowded {
        /// The limit.
        waiters_max: usize,
    },
}

/// Why a call was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// A dialog has this id already.
    #[error("expected a dialog id that is not used, got {id}")]
    Exists {
        /// The id.
        id: DialogId,
    },
    /// Every slot has a call.
    #[error("expected a free call slot, and all {calls_max} are taken")]
    Full {
        /// The limit.
        calls_max: usize,
    },
    /// The endpoint was closed.
    #[error("expected an open endpoint, got one that was closed")]
    Closed,
}

/// What a dialog does not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DialogError {
    /// A call only goes forward.
    #[error("expected a state after {from:?}, got {to:?}")]
    Backward {
        /// Where it is.
        from: CallState,
        /// Where it was to go.
        to: CallState,
    },
    /// The dialog is over, and takes no usages.
    #[error("expected a dialog that goes on, got one that has ended")]
    Ended,
    /// The dialog has as many usages as it may.
    #[error("expected at most {usages_max} usages, and there are as many")]
    UsagesFull {
        /// The limit.
        usages_max: usize,
    },
    /// The usage has ended, or was never there.
    #[error("expected a usage of this dialog, got one that has ended")]
    NoSuchUsage,
    /// The usage panicked. It has ended, and the call with it.
    #[error("the usage panicked")]
    UsagePanicked,
    /// The application and the transport have not done what was there before.
    #[error("expected at most {entries_max} messages and events that wait, and there are as many")]
    OutboxFull {
        /// The limit.
        entries_max: usize,
    },
}

/// What a callback may not ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected at most {requests_max} requests that wait on one thread, and there are as many")]
pub struct RequestsFull {
    /// The limit.
    pub requests_max: usize,
}
