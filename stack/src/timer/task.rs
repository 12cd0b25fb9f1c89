//! The worker on a task.

use super::TimerError;
use super::state::Step;
use super::timers::{Due, Shared, Timers};
use sim::sync::Arc;
use sim::sync::asynchronous::Notify;
use sim::task;
use sim::time::{self, Instant};

/// Starts the task of a heap.
pub(super) fn start(shared: Arc<Shared>) -> Result<(), TimerError> {
    let worker = Worker { shared, has_ended: false };
    let work = async move {
        let mut worker = worker;
        let shared = Arc::clone(&worker.shared);
        if let Due::Task(due) = &shared.due {
            work(&shared, due).await;
        }
        worker.has_ended = true;
    };
    // Where no task can be made the worker is dropped here.
    task::try_spawn("timers", work).map(drop).map_err(|error| TimerError::Worker { why: error.to_string() })
}

/// The task, from before it is made. Dropped at a wait, or before its first step, it ends the heap.
struct Worker {
    shared: Arc<Shared>,
    has_ended: bool,
}

async fn work(shared: &Arc<Shared>, due: &Notify) {
    let own = Timers::of_worker(Arc::clone(shared));
    loop {
        let step = shared.state.lock().step(&shared.config, Instant::now());
        match step {
            Step::Sleep(None) => due.notified().await,
            Step::Sleep(Some(until)) => sim::select! {
                () = due.notified() => {}
                () = time::sleep_until(until) => {}
            },
            Step::Yield => task::yield_now().await,
            Step::Call(id, timer) => shared.call(&own, id, timer),
            Step::End => return,
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if !self.has_ended {
            self.shared.state.lock().lose_worker();
            self.shared.drop_left();
        }
    }
}
