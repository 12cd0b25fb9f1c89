//! The timer heap of pjproject, rewritten small.

use super::{Heap, Probe, Who};
use sim::ledger::{self, ResourceId};
use sim::sync::{Arc, Mutex};

/// A heap with one entry. `LOOKS_AT_COUNT` is the mended version.
pub(super) struct TimerHeap<const LOOKS_AT_COUNT: bool> {
    entry: Mutex<Entry>,
    probe: Probe,
}

struct Entry {
    is_in_heap: bool,
    /// `_grp_lock`: the reference to what the callback uses. The ledger has an entry for each reference.
    reference: Option<ResourceId>,
}

impl<const LOOKS_AT_COUNT: bool> Heap for TimerHeap<LOOKS_AT_COUNT> {
    fn open(probe: Probe) -> Arc<Self> {
        let entry = Entry { is_in_heap: true, reference: Some(ledger::register("reference of a timer")) };
        Arc::new(TimerHeap { entry: Mutex::new(entry), probe })
    }

    /// `cancel_timer`.
    fn cancel(&self, _who: Who) -> bool {
        let mut entry = self.entry.lock();
        let count = usize::from(std::mem::replace(&mut entry.is_in_heap, false));
        if count > 0 || !LOOKS_AT_COUNT {
            let reference = entry.reference.take();
            reference.into_iter().for_each(ledger::release);
        }
        count > 0
    }

    /// `pj_timer_heap_poll`, when the entry is due.
    fn poll(&self) {
        let reference = {
            let mut entry = self.entry.lock();
            if !std::mem::replace(&mut entry.is_in_heap, false) {
                return;
            }
            entry.reference
        };
        self.probe.called();
        reference.into_iter().for_each(ledger::release);
        self.entry.lock().reference = None;
    }

    fn end(&self) {
        self.cancel(Who::Main);
    }
}
