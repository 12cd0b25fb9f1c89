//! What a stream's two sides tell each other without a lock.

use super::StreamFailure;
use sim::sync::atomic::{AtomicU32, Ordering::AcqRel, Ordering::Acquire};

const CALLING: u32 = 1;
const CLOSING: u32 = 2;
const BEGAN: u32 = 4;
const ENDED: u32 = 8;
const PANICKED: u32 = 16;
const REMOVED: u32 = 32;
const DESTROYED: u32 = 64;
const WATCHED: u32 = 128;
const FAILED: u32 = 256;

/// One word, changed in single steps, so that a close and the beginning of a call are in one order for both: a call that begins after
/// the close does not begin.
#[derive(Debug)]
pub(super) struct Flow(AtomicU32);

/// What a close found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The process is being called.
    pub(super) calls: bool,
    /// It was closing before, or has ended.
    pub(super) was_closing: bool,
}

/// What the data path has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// Nothing yet.
    Nothing,
    /// It has called the process.
    Began,
    /// It has dropped the process, for this reason; whether it has called it before.
    Ended { has_begun: bool, failure: Option<StreamFailure> },
}

/// Why a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum End {
    /// It was closed.
    Closed,
    /// Its process panicked.
    Panicked,
    /// Its device has gone.
    Removed,
    /// Its loop was destroyed.
    Destroyed,
    /// The backend cannot go on with it, and [has said why](super::StreamShared::fails_because).
    #[cfg_attr(not(feature = "pipewire"), expect(dead_code, reason = "the null devices never fail"))]
    Failed,
}

impl Flow {
    pub(super) fn new() -> Self {
        Flow(AtomicU32::new(0))
    }

    /// The data path is about to call the process. Nothing if it may not any more; else whether somebody is to be told that it began.
    pub(super) fn begin_call(&self) -> Option<bool> {
        let mut bits = self.0.load(Acquire);
        while bits & (CLOSING | ENDED) == 0 {
            match self.0.compare_exchange(bits, bits | CALLING | BEGAN, AcqRel, Acquire) {
                Ok(_) => return Some(bits & BEGAN == 0 && bits & WATCHED != 0),
                Err(now) => bits = now,
            }
        }
        None
    }

    /// The process has returned. True if the stream is to end.
    pub(super) fn end_call(&self) -> bool {
        self.0.fetch_and(!CALLING, AcqRel) & CLOSING != 0
    }

    /// No call begins any more.
    pub(super) fn close(&self) -> Found {
        let old = self.0.fetch_or(CLOSING, AcqRel);
        Found { calls: old & CALLING != 0, was_closing: old & (CLOSING | ENDED) != 0 }
    }

    pub(super) fn is_closing(&self) -> bool {
        self.0.load(Acquire) & CLOSING != 0
    }

    /// The process has been dropped. True if somebody is to be told.
    pub(super) fn end(&self, why: End) -> bool {
        let why = match why {
            End::Closed => 0,
            End::Panicked => PANICKED,
            End::Removed => REMOVED,
            End::Destroyed => DESTROYED,
            End::Failed => FAILED,
        };
        self.0.fetch_or(ENDED | CLOSING | why, AcqRel) & WATCHED != 0
    }

    /// What the data path has done; what it does from here on is told.
    pub(super) fn watch(&self) -> Done {
        let bits = self.0.fetch_or(WATCHED, AcqRel);
        let has_begun = bits & BEGAN != 0;
        match bits {
            _ if bits & ENDED == 0 && has_begun => Done::Began,
            _ if bits & ENDED == 0 => Done::Nothing,
            _ if bits & PANICKED != 0 => Done::Ended { has_begun, failure: Some(StreamFailure::ProcessPanicked) },
            _ if bits & REMOVED != 0 => Done::Ended { has_begun, failure: Some(StreamFailure::DeviceRemoved) },
            _ if bits & DESTROYED != 0 => Done::Ended { has_begun, failure: Some(StreamFailure::LoopDestroyed) },
            // The stream knows why.
            _ if bits & FAILED != 0 => Done::Ended { has_begun, failure: Some(StreamFailure::Backend { why: String::new() }) },
            _ => Done::Ended { has_begun, failure: None },
        }
    }
}
