//! The clock on a thread of its own.

use super::state::{Begun, State, Step, call};
use super::{ClockConfig, ClockCounters, ClockError, Stopped, Tick};
use crate::buffer::pool::Pool;
use sim::sync::{Arc, Condvar, Mutex};
use sim::thread;
use sim::time::Instant;
use std::fmt;
use std::time::Duration;

/// A media clock that calls back on a thread of its own.
///
/// Clones are the same clock. Start, stop and destroy may be called from any thread, the callback included, any number of times,
/// crossed; each returns at once if there is nothing to do. The clock's one lock is held for moments and never across a callback,
/// so the caller may hold any lock of its own, with one rule: **who stops or destroys while holding a lock must not have a callback
/// that waits for that lock**; the callback would never return. Then the stop gives up at its deadline.
///
/// A clock that was started holds a thread until it is stopped or destroyed, or its last clone is dropped. The clock that the callback
/// is given, and clones made of that one, do not count; a clone that the callback was made with counts, and keeps the clock for ever.
#[derive(Clone)]
pub struct ThreadClock {
    handle: Arc<Handle>,
}

/// The users' side: when it goes, the clock ends.
struct Handle {
    shared: Arc<Shared>,
    /// The clock thread's own handle does not keep the clock alive.
    keeps_alive: bool,
}

struct Shared {
    config: ClockConfig,
    state: Mutex<State<ThreadClock>>,
    /// The clock thread waits here for its next tick, or its end.
    due: Condvar,
    /// Who stops waits here for the callback to return and the thread to end.
    quiet: Condvar,
}

impl ThreadClock {
    /// A clock that does not run yet. It owns `pool` from here on: a run takes its record from it, the end of a run resets it, and
    /// destroy releases it. `callback` is given the clock itself and the tick.
    ///
    /// # Errors
    /// [`ClockError::Config`].
    pub fn new(
        config: ClockConfig,
        pool: Pool,
        callback: impl FnMut(&ThreadClock, Tick) + Send + 'static,
    ) -> Result<Self, ClockError> {
        let state = Mutex::new(State::new(config, pool, Box::new(callback))?);
        let shared = Shared { config, state, due: Condvar::new(), quiet: Condvar::new() };
        Ok(ThreadClock { handle: Arc::new(Handle { shared: Arc::new(shared), keeps_alive: true }) })
    }

    /// Starts the clock: its first tick comes an interval from now. A clock that runs goes on as it does. One that was stopped
    /// and whose thread has not ended yet keeps that thread: there is never a second.
    ///
    /// # Errors
    /// [`ClockError::Destroyed`], [`ClockError::CallbackPanicked`], [`ClockError::Pool`], [`ClockError::Thread`]. The clock is as
    /// it was before.
    pub fn start(&self) -> Result<(), ClockError> {
        let _operation = sim::operation("clock.start", None);
        let shared = &self.handle.shared;
        let mut state = shared.state.lock();
        let before = match state.begin(shared.config)? {
            Begun::AlreadyRuns => return Ok(()),
            Begun::WorkerKept => {
                shared.quiet.notify_all();
                return Ok(());
            }
            Begun::WorkerNeeded(before) => before,
        };
        let worker = Arc::clone(shared);
        // The thread waits for this lock before it looks.
        if let Err(error) = thread::Builder::new().name("clock").spawn(move || worker.work()) {
            state.undo(before);
            return Err(ClockError::Thread { why: error.to_string() });
        }
        Ok(())
    }

    /// Stops the clock. When it returns, no callback of the run that it stopped goes on, unless it is called from that callback. It
    /// waits, up to [`ClockConfig::stop_deadline`], for a callback to return and for the thread to end and give the run's memory
    /// back; a thread that gets no processor for so long gives it back later.
    ///
    /// # Errors
    /// [`ClockError::CallbackGoesOn`]: the clock has stopped all the same. [`ClockError::CallbackPanicked`].
    pub fn stop(&self) -> Result<Stopped, ClockError> {
        let _operation = sim::operation("clock.stop", self.handle.shared.config.stop_deadline);
        self.end_run(false)
    }

    /// Stops the clock for good and releases its pool and its callback. Otherwise as [`ThreadClock::stop`].
    ///
    /// # Errors
    /// As [`ThreadClock::stop`]. The pool is released when the callback returns.
    pub fn destroy(&self) -> Result<Stopped, ClockError> {
        let _operation = sim::operation("clock.destroy", self.handle.shared.config.stop_deadline);
        self.end_run(true)
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

    fn end_run(&self, destroys: bool) -> Result<Stopped, ClockError> {
        let shared = &self.handle.shared;
        let allowed = shared.config.stop_deadline;
        let deadline = Instant::now() + allowed;
        let mut state = shared.state.lock();
        let ending = state.end(destroys);
        if ending.was_running {
            shared.due.notify_one();
        }
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if let Some(outcome) = state.outcome(ending, allowed, !left.is_zero()) {
                drop(state);
                return outcome.tell_unlocked();
            }
            shared.quiet.wait_for(&mut state, left);
        }
    }
}

impl Shared {
    /// The clock thread.
    fn work(self: Arc<Self>) {
        // Its own handle for the callback: it must not keep the clock from ending when the users' last one goes.
        let own = ThreadClock { handle: Arc::new(Handle { shared: Arc::clone(&self), keeps_alive: false }) };
        let mut state = self.state.lock();
        loop {
            match state.step() {
                Step::Wait(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    self.due.wait_for(&mut state, left);
                }
                Step::Call(mut callback, tick) => {
                    drop(state);
                    let returned = call(&mut callback, &own, tick);
                    state = self.state.lock();
                    state.called(callback, returned);
                    // Who stopped a run that was started again since waits for this callback alone.
                    self.quiet.notify_all();
                }
                Step::End(remains) => {
                    self.quiet.notify_all();
                    drop(state);
                    return remains.drop_unlocked();
                }
            }
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if !self.keeps_alive {
            return;
        }
        let mut state = self.shared.state.lock();
        if state.end(true).was_running {
            self.shared.due.notify_one();
        }
        let remains = state.remains();
        drop(state);
        remains.drop_unlocked();
    }
}

impl fmt::Debug for ThreadClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.handle.shared.state.lock().tell("ThreadClock", self.handle.shared.config, f)
    }
}
