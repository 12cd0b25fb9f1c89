//! The clock on a task.

use super::state::{Begun, Ending, Outcome, State, Step, call};
use super::{ClockConfig, ClockCounters, ClockError, Stopped, Tick};
use crate::buffer::pool::Pool;
use sim::sync::asynchronous::Notify;
use sim::sync::{Arc, Mutex};
use sim::task;
use sim::time::{self, Instant};
use std::fmt;
use std::future::{Future, poll_fn};
use std::task::Poll;
use std::time::Duration;

/// A media clock that calls back from a task.
///
/// Clones are the same clock. Start, stop and destroy may be called from anywhere, the callback included, any number of times,
/// crossed; each does what it does when it is called, and what [`TaskClock::stop`] and [`TaskClock::destroy`] return only waits.
/// The clock's one lock is held for moments, and never while something is awaited or a callback goes on, so the caller may hold
/// any lock of its own, with one rule: **who awaits a stop or destroy while holding a lock must not have a callback that waits for
/// that lock**; the callback would never return. Then the stop gives up at its deadline.
///
/// The callback is called from the clock's task, and is to return soon: until it does it keeps one of the runtime's threads, which
/// may be the one that all of the runtime's timers wait for, the deadline of a stop among them. Who must not wait for a callback that
/// may block stops from another runtime, or takes a [`ThreadClock`](super::ThreadClock). Between callbacks that are late the task
/// lets others run. Ticks are as exact as the runtime's timers: tokio's round up to a millisecond.
///
/// A clock that was started has a task until it is stopped or destroyed, or its last clone is dropped. The clock that the callback
/// is given, and clones made of that one, do not count; a clone that the callback was made with counts, and keeps the clock until
/// it is destroyed. A runtime that ends ends the run of each clock that it carries; such a clock may be started again, in another.
#[derive(Clone)]
pub struct TaskClock {
    handle: Arc<Handle>,
}

/// The users' side: when it goes, the clock ends.
struct Handle {
    shared: Arc<Shared>,
    /// The clock task's own handle does not keep the clock alive.
    keeps_alive: bool,
}

struct Shared {
    config: ClockConfig,
    state: Mutex<State<TaskClock>>,
    /// The clock task waits here for its next tick, or its end. It alone does, so a notification that comes before it waits is kept.
    due: Notify,
    /// Who stops waits here for the callback to return and the task to end. There may be many, so all are notified and nothing is
    /// kept: each looks at the state once it is in the line, and not before.
    quiet: Notify,
}

impl TaskClock {
    /// A clock that does not run yet. It owns `pool` from here on: a run takes its record from it, the end of a run resets it, and
    /// destroy releases it. `callback` is given the clock itself and the tick.
    ///
    /// # Errors
    /// [`ClockError::Config`].
    pub fn new(
        config: ClockConfig,
        pool: Pool,
        callback: impl FnMut(&TaskClock, Tick) + Send + 'static,
    ) -> Result<Self, ClockError> {
        let state = Mutex::new(State::new(config, pool, Box::new(callback))?);
        let shared = Shared { config, state, due: Notify::new(), quiet: Notify::new() };
        Ok(TaskClock { handle: Arc::new(Handle { shared: Arc::new(shared), keeps_alive: true }) })
    }

    /// Starts the clock: its first tick comes an interval from now. A clock that runs goes on as it does. One that was stopped
    /// and whose task has not ended yet keeps that task: there is never a second.
    ///
    /// # Errors
    /// [`ClockError::Destroyed`], [`ClockError::CallbackPanicked`], [`ClockError::Pool`]: the clock is as it was before.
    /// [`ClockError::Task`]: the clock is stopped.
    ///
    /// # Panics
    /// In production, where a task is to be made outside of a runtime. The clock is stopped then, and starts inside of one. In a
    /// runtime without timers the task panics at its first wait, which stops the clock.
    pub fn start(&self) -> Result<(), ClockError> {
        let _operation = sim::operation("clock.start", None);
        let shared = &self.handle.shared;
        let begun = shared.state.lock().begin(shared.config)?;
        match begun {
            Begun::AlreadyRuns => Ok(()),
            Begun::WorkerKept => {
                shared.quiet.notify_waiters();
                Ok(())
            }
            Begun::WorkerNeeded(_) => {
                let worker = Worker { shared: Arc::clone(shared), has_ended: false };
                // Not under the lock: where no task can be made the worker is dropped here.
                task::try_spawn("clock", worker.work()).map_err(|error| ClockError::Task { why: error.to_string() })?;
                match shared.state.lock().has_lost_worker() {
                    true => Err(ClockError::Task { why: "the runtime has ended".to_owned() }),
                    false => Ok(()),
                }
            }
        }
    }

    /// Stops the clock. The run ends with the call: no callback comes after one that goes on now. When the future is ready that one
    /// has returned too, unless the future is polled from it. It waits, up to [`ClockConfig::stop_deadline`] from the call, for the
    /// callback to return and for the task to end and give the run's memory back; a task that gets no processor for so long gives it
    /// back later.
    ///
    /// A future that is dropped before it is ready has stopped the clock all the same. What is lost is the wait: a callback may go
    /// on still, and the run's memory is given back when the task has ended. Another stop waits for that. The future is no user of
    /// the clock: it keeps nothing running, and may be awaited on another task, or after the last clone is dropped.
    ///
    /// # Errors
    /// [`ClockError::CallbackGoesOn`]: the clock has stopped all the same. [`ClockError::CallbackPanicked`].
    ///
    /// # Panics
    /// In production, where it is to wait outside of a runtime with timers.
    pub fn stop(&self) -> impl Future<Output = Result<Stopped, ClockError>> + Send + use<> {
        self.end_run("clock.stop", false)
    }

    /// Stops the clock for good and releases its pool and its callback. Otherwise as [`TaskClock::stop`].
    ///
    /// # Errors
    /// As [`TaskClock::stop`]. The pool is released when the callback returns.
    ///
    /// # Panics
    /// As [`TaskClock::stop`].
    pub fn destroy(&self) -> impl Future<Output = Result<Stopped, ClockError>> + Send + use<> {
        self.end_run("clock.destroy", true)
    }

    /// Stops the clock and does not wait: no callback comes after one that goes on now. For the callback, and for code that cannot
    /// await. True if the clock ran.
    pub fn request_stop(&self) -> bool {
        self.handle.shared.end(false).was_running
    }

    /// Stops the clock for good and does not wait, as [`TaskClock::request_stop`]. Its pool and callback are released by the task's
    /// end, or here if it has none.
    pub fn request_destroy(&self) -> bool {
        self.handle.shared.end(true).was_running
    }

    /// What the newest run has counted.
    pub fn counters(&self) -> ClockCounters {
        self.handle.shared.state.lock().counters()
    }

    /// How late the last ticks of the newest run came, 64 at the most, in no order; nothing once it was stopped.
    pub fn recent_lateness(&self) -> Vec<Duration> {
        self.handle.shared.state.lock().recent_lateness()
    }

    /// Whether the clock runs.
    pub fn is_running(&self) -> bool {
        self.handle.shared.state.lock().is_running()
    }

    fn end_run(&self, name: &'static str, destroys: bool) -> impl Future<Output = Result<Stopped, ClockError>> + Send + use<> {
        let shared = Arc::clone(&self.handle.shared);
        let deadline = Instant::now() + shared.config.stop_deadline;
        let ending = shared.end(destroys);
        async move {
            let _operation = sim::operation(name, shared.config.stop_deadline);
            shared.quiet(ending, deadline).await.tell_unlocked()
        }
    }
}

impl Shared {
    /// Ends the run at once, and tells the task.
    fn end(&self, destroys: bool) -> Ending {
        let (ending, remains) = {
            let mut state = self.state.lock();
            (state.end(destroys), state.remains())
        };
        if ending.was_running {
            self.due.notify_one();
        }
        remains.drop_unlocked();
        ending
    }

    /// Waits until nothing is left of the run that was ended, or the deadline has come.
    async fn quiet(&self, ending: Ending, deadline: Instant) -> Outcome<TaskClock> {
        let allowed = self.config.stop_deadline;
        let look = || {
            let is_time_left = Instant::now() < deadline;
            self.state.lock().outcome(ending, allowed, is_time_left).map_or(Poll::Pending, Poll::Ready)
        };
        loop {
            // In this order: what comes before the look is seen by it, and what comes after finds this one in the line.
            sim::select! {
                () = self.quiet.notified() => {}
                outcome = poll_fn(|_| look()) => return outcome,
                () = async { time::sleep_until(deadline).await } => {}
            }
        }
    }
}

/// The clock task, from before it is made. Dropped at a wait, or before its first step, it leaves the clock without a task.
struct Worker {
    shared: Arc<Shared>,
    has_ended: bool,
}

impl Worker {
    async fn work(mut self) {
        let shared = Arc::clone(&self.shared);
        // Its own handle for the callback: it must not keep the clock from ending when the users' last one goes.
        let own = TaskClock { handle: Arc::new(Handle { shared: Arc::clone(&shared), keeps_alive: false }) };
        let mut has_waited = false;
        loop {
            let step = shared.state.lock().step();
            match step {
                Step::Wait(until) => {
                    sim::select! {
                        () = shared.due.notified() => {}
                        () = time::sleep_until(until) => {}
                    }
                    has_waited = true;
                }
                Step::Call(mut callback, tick) => {
                    let returned = call(&mut callback, &own, tick);
                    shared.state.lock().called(callback, returned);
                    // Who stopped a run that was started again since waits for this callback alone.
                    shared.quiet.notify_waiters();
                    // A callback that is slower than its clock would never let the runtime go on.
                    if !std::mem::take(&mut has_waited) {
                        task::yield_now().await;
                    }
                }
                Step::End(remains) => {
                    self.has_ended = true;
                    shared.quiet.notify_waiters();
                    return remains.drop_unlocked();
                }
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if self.has_ended {
            return;
        }
        let remains = self.shared.state.lock().lose_worker();
        self.shared.quiet.notify_waiters();
        remains.drop_unlocked();
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.keeps_alive {
            self.shared.end(true);
        }
    }
}

impl fmt::Debug for TaskClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.handle.shared.state.lock().tell("TaskClock", self.handle.shared.config, f)
    }
}
