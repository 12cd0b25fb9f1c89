//! The timer lists of re, rewritten small: each thread has one, and a timer is in the list of the thread that started it.

use super::{Heap, Probe, Who};
use sim::cell::CheckedCell;
use sim::sync::atomic::{AtomicBool, Ordering};
use sim::sync::{Arc, Mutex};

/// The lists of two threads, and a timer in the first. `HAS_FLAG` is what ba844d9 brought, `IS_MENDED` what it takes.
pub(super) struct TimerLists<const HAS_FLAG: bool, const IS_MENDED: bool> {
    lists: [Mutex<()>; 2],
    timer: Timer,
    probe: Probe,
}

/// `struct tmr`: plain fields.
struct Timer {
    /// `le.list`: whether it is in a list.
    is_linked: CheckedCell<bool>,
    /// `lock`: that of the list which it is in.
    lock: CheckedCell<Option<usize>>,
    /// `th`: whether it has a callback.
    has_callback: CheckedCell<bool>,
    /// `active`.
    is_active: AtomicBool,
}

impl<const HAS_FLAG: bool, const IS_MENDED: bool> Heap for TimerLists<HAS_FLAG, IS_MENDED> {
    fn open(probe: Probe) -> Arc<Self> {
        let timer = Timer {
            is_linked: CheckedCell::new(true),
            lock: CheckedCell::new(Some(0)),
            has_callback: CheckedCell::new(true),
            is_active: AtomicBool::new(true),
        };
        Arc::new(TimerLists { lists: [Mutex::new(()), Mutex::new(())], timer, probe })
    }

    /// `tmr_cancel`: a start without a callback.
    fn cancel(&self, who: Who) -> bool {
        let timer = &self.timer;
        if HAS_FLAG {
            let was_active = match IS_MENDED {
                true => timer.is_active.swap(false, Ordering::AcqRel),
                false => timer.is_active.load(Ordering::Acquire),
            };
            if !was_active {
                return false;
            }
            if !IS_MENDED {
                timer.is_active.store(false, Ordering::Release);
            }
        } else if IS_MENDED {
            // The lock of its list, found without a look at the timer, for all of it.
            let _list = self.lists[0].lock();
            timer.is_linked.set(false);
            return timer.has_callback.with_mut(std::mem::take);
        }
        // `re_tmrl_get`.
        let own = &self.lists[who as usize];
        let lock = if timer.is_linked.get() { timer.lock.get() } else { None };
        let was_started = {
            let _list = lock.map_or_else(|| own.lock(), |list| self.lists[list].lock());
            let was_started = timer.has_callback.get();
            if was_started {
                timer.is_linked.set(false);
            }
            was_started
        };
        let _list = own.lock();
        timer.has_callback.set(false);
        timer.lock.set(None);
        was_started
    }

    /// `tmr_poll`, when the timer is due: by the thread whose list it is.
    fn poll(&self) {
        let had_callback = {
            let _list = self.lists[0].lock();
            self.timer.is_linked.set(false);
            self.timer.has_callback.with_mut(std::mem::take)
        };
        if had_callback {
            self.probe.called();
        }
    }

    fn end(&self) {
        self.cancel(Who::Main);
    }
}
