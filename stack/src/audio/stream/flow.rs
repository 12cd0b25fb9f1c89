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
const FAILED: u32 = 128;

/// One word, changed in single steps, so that a close and the beginning of a call are in one order for both: a call that begins after
/// the close does not begin.
#[derive(Debug)]
pub(super) struct Flow(AtomicU32);

/// What a close found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The process is being called.
    pub(super) calls: bool,
    /// It was closing before.
    pub(super) was_closing: bool,
    /// The stream has ended.
    pub(super) has_ended: bool,
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

    /// The data path is about to call the process. False if it may not any more.
    pub(super) fn begin_call(&self) -> bool {
        let mut bits = self.0.load(Acquire);
        while bits & (CLOSING | ENDED) == 0 {
            match self.0.compare_exchange(bits, bits | CALLING | BEGAN, AcqRel, Acquire) {
                Ok(_) => return true,
                Err(now) => bits = now,
            }
        }
        false
    }

    /// The process has returned. True if the stream is to end.
    pub(super) fn end_call(&self) -> bool {
        self.0.fetch_and(!CALLING, AcqRel) & CLOSING != 0
    }

    /// No call begins any more.
    pub(super) fn close(&self) -> Found {
        let old = self.0.fetch_or(CLOSING, AcqRel);
        Found { calls: old & CALLING != 0, was_closing: old & CLOSING != 0, has_ended: old & ENDED != 0 }
    }

    pub(super) fn is_closing(&self) -> bool {
        self.0.load(Acquire) & CLOSING != 0
    }

    /// The process has been dropped.
    pub(super) fn end(&self, why: End) {
        let why = match why {
            End::Closed => 0,
            End::Panicked => PANICKED,
            End::Removed => REMOVED,
            End::Destroyed => DESTROYED,
            End::Failed => FAILED,
        };
        self.0.fetch_or(ENDED | CLOSING | why, AcqRel);
    }

    pub(super) fn has_begun(&self) -> bool {
        self.0.load(Acquire) & BEGAN != 0
    }

    /// How the stream ended, if it has.
    pub(super) fn ended(&self) -> Option<Result<(), StreamFailure>> {
        let bits = self.0.load(Acquire);
        (bits & ENDED != 0).then_some(match bits {
            _ if bits & PANICKED != 0 => Err(StreamFailure::ProcessPanicked),
            _ if bits & REMOVED != 0 => Err(StreamFailure::DeviceRemoved),
            _ if bits & DESTROYED != 0 => Err(StreamFailure::LoopDestroyed),
            // The stream knows why.
            _ if bits & FAILED != 0 => Err(StreamFailure::Backend { why: String::new() }),
            _ => Ok(()),
        })
    }
}
