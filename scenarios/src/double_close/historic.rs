//! The close as it was, rewritten small.

use super::expect_once;
use sim::ledger::{self, ResourceId};
use sim::sync::Arc;
use sim::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// `EXCHANGES` is the mended version.
pub(super) struct Historic<const EXCHANGES: bool> {
    is_closed: AtomicBool,
    connection: ResourceId,
}

impl<const EXCHANGES: bool> super::Connection for Historic<EXCHANGES> {
    type Words = &'static str;

    fn open() -> Arc<Self> {
        Arc::new(Historic { is_closed: AtomicBool::new(false), connection: ledger::register("connection") })
    }

    fn close(&self) -> Vec<&'static str> {
        let was_closed = match EXCHANGES {
            true => self.is_closed.swap(true, SeqCst),
            false => self.is_closed.load(SeqCst),
        };
        if was_closed {
            return Vec::new();
        }
        self.is_closed.store(true, SeqCst);
        ledger::release(self.connection);
        vec!["close_notify"]
    }

    fn end(&self, words: Vec<&'static str>) {
        expect_once("close_notify", words.len());
    }
}
