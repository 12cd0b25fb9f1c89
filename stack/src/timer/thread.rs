//! The worker on a thread.

use super::TimerError;
use super::state::Step;
use super::timers::{Due, Shared, Timers};
use sim::sync::{Arc, Condvar};
use sim::thread;
use sim::time::Instant;

/// Starts the thread of a heap.
pub(super) fn start(shared: Arc<Shared>) -> Result<(), TimerError> {
    let work = move || {
        if let Due::Thread(due) = &shared.due {
            work(&shared, due);
        }
    };
    let made = thread::Builder::new().name("timers").spawn(work);
    made.map(drop).map_err(|error| TimerError::Worker { why: error.to_string() })
}

fn work(shared: &Arc<Shared>, due: &Condvar) {
    let own = Timers::of_worker(Arc::clone(shared));
    let mut state = shared.state.lock();
    loop {
        match state.step(&shared.config, Instant::now()) {
            Step::Sleep(None) => due.wait(&mut state),
            Step::Sleep(Some(until)) => {
                let left = until.saturating_duration_since(Instant::now());
                due.wait_for(&mut state, left);
            }
            Step::Yield => {
                drop(state);
                thread::yield_now();
                state = shared.state.lock();
            }
            Step::Call(id, timer) => {
                drop(state);
                shared.call(&own, id, timer);
                state = shared.state.lock();
            }
            Step::End => return,
        }
    }
}
