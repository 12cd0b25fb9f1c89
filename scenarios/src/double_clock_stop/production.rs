//! Our clock under the exhibit's driver: the production code itself.

use super::{Probe, Transport};
use sim::sync::Arc;
use sim::time::{self, Instant};
use stack::buffer::pool::Pool;
use stack::media::clock::{ClockConfig, ClockError, Stopped, ThreadClock};
use std::cell::Cell;

/// What the callback does to its own clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InCallback {
    Nothing,
    Stop,
    /// Stops and starts again.
    Restart,
    Destroy,
}

impl InCallback {
    pub(super) const ALL: [InCallback; 4] = [InCallback::Nothing, InCallback::Stop, InCallback::Restart, InCallback::Destroy];
}

thread_local! {
    static PLAN: Cell<InCallback> = const { Cell::new(InCallback::Nothing) };
}

/// What the next transport's callback does.
pub(super) fn choose(plan: InCallback) {
    PLAN.set(plan);
}

pub(super) struct Production {
    clock: ThreadClock,
}

impl Transport for Production {
    fn open(probe: Probe) -> Arc<Self> {
        let plan = PLAN.get();
        let pool = Pool::new("clock pool", 4096);
        let clock = ThreadClock::new(ClockConfig::default(), pool, move |clock, _tick| {
            probe.ticked();
            match plan {
                InCallback::Nothing => {}
                InCallback::Stop => accept_at_once(clock.stop()),
                InCallback::Restart => {
                    accept_at_once(clock.stop());
                    accept(clock.start());
                }
                InCallback::Destroy => accept_at_once(clock.destroy()),
            }
        });
        Arc::new(Production { clock: clock.expect("the default configuration is one that a clock can run") })
    }

    fn start(&self) {
        accept(self.clock.start());
    }

    fn stop(&self) {
        accept(promptly(|| self.clock.stop()));
    }

    fn destroy(&self) -> bool {
        let result = promptly(|| self.clock.destroy());
        let ended = !matches!(result, Err(ClockError::CallbackGoesOn { .. }));
        accept(result);
        ended
    }

    fn on_datagram(&self) {
        accept(promptly(|| self.clock.stop()));
    }
}

/// The callbacks here take no time, so neither does waiting for one: a stop that took time was not woken when it could go on, and
/// was saved by its deadline or by the next tick.
fn promptly<T>(stop: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let result = stop();
    expect_prompt(began);
    result
}

/// A stop that began then has ended now.
pub(super) fn expect_prompt(began: Instant) {
    let took = began.elapsed();
    sim::invariant!(took.is_zero() || time::has_run_ahead(), "a stop took {took:?} though nothing was slow");
}

/// The callback does not wait for itself.
pub(super) fn accept_at_once(result: Result<Stopped, ClockError>) {
    sim::invariant!(result == Ok(Stopped::FromCallback), "a stop from the callback says {result:?}");
}

/// A clock that was destroyed says so, and one whose callback is slower than the deadline too: both are answers. Nothing else is.
pub(super) fn accept<T>(result: Result<T, ClockError>) {
    match result {
        Ok(_) | Err(ClockError::Destroyed | ClockError::CallbackGoesOn { .. }) => {}
        Err(error) => sim::violated(format!("the clock says: {error}")),
    }
}
