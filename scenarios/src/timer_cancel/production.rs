//! Our timers under the exhibit's driver: the production code itself.

use super::{DELAY, Heap, Probe, Who};
use crate::timer_oracle::CLOSES_MAX;
use sim::sync::Arc;
use sim::time;
use stack::timer::{Cancelled, TimerConfig, TimerError, TimerId, Timers};

/// One timer on a heap with a thread of its own.
pub(super) struct Production {
    timers: Timers,
    id: TimerId,
}

impl Heap for Production {
    fn open(probe: Probe) -> Arc<Self> {
        let timers = Timers::on_thread(TimerConfig::default()).expect("the engine makes threads");
        let id = timers.schedule_after(DELAY, move |_, _| probe.called()).expect("the heap is open and empty");
        Arc::new(Production { timers, id })
    }

    fn cancel(&self, _who: Who) -> bool {
        match self.timers.cancel_and_wait(self.id) {
            Ok(cancelled) => cancelled == Cancelled::Prevented,
            // The callback is slower than the deadline, and may be in its middle still.
            Err(TimerError::CallbackGoesOn { .. }) => false,
            Err(error) => sim::violated(format!("the heap says: {error}")),
        }
    }

    /// Its own thread does that, when the time has come.
    fn poll(&self) {
        time::sleep(DELAY);
    }

    fn end(&self) {
        // Loom's timers come as early as they like, so a deadline may pass while the callback is in its middle.
        let ended = (0..CLOSES_MAX).any(|_| self.timers.close().is_ok());
        sim::invariant!(ended, "the heap was not closed in {CLOSES_MAX} times the deadline");
        let counters = self.timers.counters();
        sim::invariant!(
            counters.fired + counters.prevented + counters.dropped_at_close == 1,
            "one timer was scheduled, and it did not end once: {counters:?}"
        );
    }
}
