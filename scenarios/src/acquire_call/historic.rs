//! The versions as upstream had them.

use super::{ACQUIRE_DEADLINE, CALLBACK, CALLBACK_STEPS, Calls};
use sim::invariant;
use sim::sync::{Arc, Condvar, Mutex, ReentrantMutex};
use sim::time::{self, Duration, Instant};

/// `acquire_call`; mended, it measures its time on the monotonic clock.
pub(super) struct Backoff<const MENDED: bool> {
    pjsua: Mutex<()>,
    dialog: ReentrantMutex<()>,
}

/// What upstream allows itself.
const TIMEOUT: Duration = Duration::from_millis(2_000);

impl<const MENDED: bool> Calls for Backoff<MENDED> {
    fn open(_in_sequence: bool) -> Arc<Self> {
        Arc::new(Backoff { pjsua: Mutex::new(()), dialog: ReentrantMutex::new(()) })
    }

    fn main(&self) {
        let _operation = sim::operation("acquire_call", ACQUIRE_DEADLINE);
        let (began, began_wall) = (Instant::now(), time::wall_clock());
        for tries in 0u64.. {
            let tenth = tries % 10 == 0;
            let passed = if MENDED { began.elapsed() } else { time::wall_clock().saturating_sub(began_wall) };
            if tenth && passed >= TIMEOUT {
                return;
            }
            if let Some(_pjsua) = self.pjsua.try_lock()
                && self.dialog.try_lock().is_some()
            {
                return;
            }
            // Longer with each try, and for nobody in particular.
            time::sleep(Duration::from_millis(tries / 10));
        }
    }

    /// A callback of the application, with the dialog, that takes its time.
    fn other(&self) {
        let _dialog = self.dialog.lock();
        for _ in 0..CALLBACK_STEPS {
            time::sleep(CALLBACK / CALLBACK_STEPS);
        }
    }

    fn operator(&self) {
        time::step_wall_clock(-3_600_000_000_000);
    }
}

/// `mod_ua_on_rx_request`; mended, it gives up after a time.
pub(super) struct Retry<const MENDED: bool> {
    user_agent: Mutex<()>,
    dialog: ReentrantMutex<()>,
    answered: Mutex<bool>,
    came: Condvar,
    in_sequence: bool,
}

impl<const MENDED: bool> Calls for Retry<MENDED> {
    fn open(in_sequence: bool) -> Arc<Self> {
        Arc::new(Retry {
            user_agent: Mutex::new(()),
            dialog: ReentrantMutex::new(()),
            answered: Mutex::new(false),
            came: Condvar::new(),
            in_sequence,
        })
    }

    /// Has the dialog and waits for the peer's answer. Without worker threads the application polls for itself.
    fn other(&self) {
        let _dialog = self.dialog.lock();
        if self.in_sequence {
            return self.main();
        }
        let mut answered = self.answered.lock();
        self.came.wait_while(&mut answered, |answered| !*answered);
    }

    /// Two messages have come: a request within the dialog, and the answer.
    fn main(&self) {
        let began = Instant::now();
        loop {
            {
                let _user_agent = self.user_agent.lock();
                if self.dialog.try_lock().is_some() {
                    break;
                }
            }
            if MENDED && began.elapsed() >= TIMEOUT {
                break;
            }
            time::sleep(Duration::ZERO);
        }
        *self.answered.lock() = true;
        self.came.notify_one();
    }
}

/// Call slots; mended, each has a generation.
pub(super) struct Slots<const MENDED: bool> {
    slots: Mutex<[Slot; 2]>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    generation: u32,
    /// The dialog of the call that is in it.
    dialog: Option<u32>,
    /// The dialog whose media runs.
    media: Option<u32>,
}

/// A slot, and which of its calls.
#[derive(Clone, Copy, Debug)]
pub(super) struct CallId {
    slot: usize,
    generation: u32,
}

impl<const MENDED: bool> Slots<MENDED> {
    /// The slot of this dialog's call.
    pub(super) fn find(&self, dialog: u32) -> Option<CallId> {
        let slots = self.slots.lock();
        let slot = slots.iter().position(|slot| slot.dialog == Some(dialog))?;
        Some(CallId { slot, generation: slots[slot].generation })
    }

    /// The callback: the call was disconnected, so its media ends.
    pub(super) fn on_disconnected(&self, call: CallId) {
        let slot = &mut self.slots.lock()[call.slot];
        if !MENDED || slot.generation == call.generation {
            slot.media = None;
            slot.dialog = None;
        }
    }

    /// Ends a call, if it goes on.
    pub(super) fn hang_up(&self, dialog: u32) {
        if let Some(slot) = self.slots.lock().iter_mut().find(|slot| slot.dialog == Some(dialog)) {
            (slot.dialog, slot.media) = (None, None);
        }
    }

    /// Makes one in the first free slot.
    pub(super) fn make_call(&self, dialog: u32) {
        if let Some(slot) = self.slots.lock().iter_mut().find(|slot| slot.dialog.is_none()) {
            *slot = Slot { generation: slot.generation + 1, dialog: Some(dialog), media: Some(dialog) };
        }
    }
}

/// The call that goes on, and the one that follows it.
pub(super) const FIRST: u32 = 1;
pub(super) const SECOND: u32 = 2;

impl<const MENDED: bool> Calls for Slots<MENDED> {
    fn open(_in_sequence: bool) -> Arc<Self> {
        let slots = Slots { slots: Mutex::new([Slot::default(); 2]) };
        slots.make_call(FIRST);
        Arc::new(slots)
    }

    fn main(&self) {
        self.hang_up(FIRST);
        self.make_call(SECOND);
    }

    /// The peer's BYE.
    fn other(&self) {
        if let Some(call) = self.find(FIRST) {
            self.on_disconnected(call);
        }
    }

    fn close(&self) {
        let slots = self.slots.lock();
        let second = slots.iter().find(|slot| slot.dialog == Some(SECOND));
        invariant!(
            second.is_some_and(|slot| slot.media == Some(SECOND)),
            "the next call was ended by what was for the one before"
        );
    }
}
