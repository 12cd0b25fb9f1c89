//! The clock on a thread of its own.

use super::{ClockConfig, ClockCore, ClockCounters, ClockPoll, ConfigError, Tick};
use crate::buffer::pool::{Block, Pool, PoolError};
use sim::sync::{Arc, Condvar, Mutex, MutexGuard};
use sim::thread::{self, ThreadId};
use sim::time::Instant;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// What a clock calls.
type Callback = Box<dyn FnMut(&ThreadClock, Tick) + Send>;

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
    state: Mutex<State>,
    /// The clock thread waits here for its next tick, or its end.
    due: Condvar,
    /// Who stops waits here for the callback to return and the thread to end.
    quiet: Condvar,
}

struct State {
    /// Counts starts. The thread works for the newest.
    run: u64,
    running: bool,
    /// The clock thread, from before its spawn to its last look at this state.
    thread: ThreadState,
    /// The run whose callback goes on now.
    calling: Option<u64>,
    callback: Option<Callback>,
    core: Option<ClockCore>,
    /// The newest run's, from its start until its thread has ended.
    record: Option<Block>,
    /// Until destroy has taken effect.
    pool: Option<Pool>,
    destroyed: bool,
    panicked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ThreadState {
    None,
    /// Made, and not yet arrived at its loop.
    Starting,
    Alive(ThreadId),
}

/// What stop or destroy found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stopped {
    /// The clock ran. No callback of that run goes on any more.
    Stopped,
    /// It was not running, and no callback goes on.
    NotRunning,
    /// It was called from the callback: no other will come, and this one goes on until it returns.
    FromCallback,
}

/// Why a clock did not do as it was told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClockError {
    /// The configuration is one that no clock can run.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The clock was destroyed.
    #[error("expected a live clock, got one that was destroyed")]
    Destroyed,
    /// The callback had not returned by the deadline. No other will come.
    #[error("expected the callback to return within {deadline:?}, and it goes on")]
    CallbackGoesOn {
        /// How long was waited.
        deadline: Duration,
    },
    /// The callback panicked. The clock has stopped and does not start again.
    #[error("the callback panicked")]
    CallbackPanicked,
    /// The clock's pool could not give what a run needs.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The system made no thread.
    #[error("a clock thread could not be made: {why}")]
    Thread {
        /// The system's reason.
        why: String,
    },
}

/// What a run takes from the pool: the lateness of its last ticks.
const RECORD_BYTES: usize = RECORD_TICKS * 8;
const RECORD_TICKS: usize = 64;

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
        ClockCore::new(config, Instant::from_origin(Duration::ZERO))?;
        let state = State {
            run: 0,
            running: false,
            thread: ThreadState::None,
            calling: None,
            callback: Some(Box::new(callback)),
            core: None,
            record: None,
            pool: Some(pool),
            destroyed: false,
            panicked: false,
        };
        let shared = Shared { config, state: Mutex::new(state), due: Condvar::new(), quiet: Condvar::new() };
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
        if state.destroyed {
            return Err(ClockError::Destroyed);
        }
        if state.panicked {
            return Err(ClockError::CallbackPanicked);
        }
        if state.running {
            return Ok(());
        }
        if state.record.is_none() {
            let pool = state.pool.as_ref().ok_or(ClockError::Destroyed)?;
            state.record = Some(pool.allocate(RECORD_BYTES)?);
        }
        let before = state.core.replace(ClockCore::new(shared.config, Instant::now())?);
        state.run += 1;
        state.running = true;
        if state.thread != ThreadState::None {
            // It was woken to see its end, and goes on with the new run instead. Who waits for the old one need not.
            shared.quiet.notify_all();
            return Ok(());
        }
        let worker = Arc::clone(shared);
        match thread::Builder::new().name("clock").spawn(move || worker.work()) {
            Ok(_) => {
                // The thread waits for this lock before it looks, so it has not arrived yet.
                state.thread = ThreadState::Starting;
                Ok(())
            }
            Err(error) => {
                state.run -= 1;
                state.running = false;
                state.record = None;
                state.core = before;
                Err(ClockError::Thread { why: error.to_string() })
            }
        }
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
        self.handle.shared.state.lock().core.as_ref().map(ClockCore::counters).unwrap_or_default()
    }

    /// How late the last ticks of the newest run came, 64 at the most, in no order; nothing once it was stopped.
    pub fn recent_lateness(&self) -> Vec<Duration> {
        let state = self.handle.shared.state.lock();
        let ticks = state.core.as_ref().map_or(0, |core| core.counters().ticks);
        let lateness = |bytes: &[u8]| Duration::from_nanos(bytes.iter().rev().fold(0, |ns, byte| ns << 8 | u64::from(*byte)));
        let record = state.record.as_ref().map_or(&[][..], Block::bytes);
        record.chunks_exact(8).take(usize::try_from(ticks).unwrap_or(usize::MAX)).map(lateness).collect()
    }

    /// Whether the clock runs.
    pub fn is_running(&self) -> bool {
        self.handle.shared.state.lock().running
    }

    fn end_run(&self, destroys: bool) -> Result<Stopped, ClockError> {
        let shared = &self.handle.shared;
        let deadline = Instant::now() + shared.config.stop_deadline;
        let mut state = shared.state.lock();
        let was_running = shared.end(&mut state, destroys);
        if state.calling.is_some() && state.thread == ThreadState::Alive(thread::id()) {
            return Ok(Stopped::FromCallback);
        }
        let mine = state.run;
        // A start that crosses makes a run of its own, and its callbacks are not waited for.
        while state.thread != ThreadState::None && (state.run == mine || state.is_calling_until(mine)) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                if state.is_calling_until(mine) {
                    return Err(ClockError::CallbackGoesOn { deadline: shared.config.stop_deadline });
                }
                // The thread has not had the processor to end. It will not call back any more, which is what was promised.
                break;
            }
            shared.quiet.wait_for(&mut state, left);
        }
        let remains = if state.thread == ThreadState::None { Remains::take(&mut state) } else { Remains::default() };
        let panicked = state.panicked;
        drop(state);
        remains.drop_unlocked();
        match (panicked, was_running) {
            (true, _) => Err(ClockError::CallbackPanicked),
            (_, true) => Ok(Stopped::Stopped),
            (_, false) => Ok(Stopped::NotRunning),
        }
    }
}

impl Shared {
    /// Tells the thread to end its run. True if there was one.
    fn end(&self, state: &mut MutexGuard<'_, State>, destroys: bool) -> bool {
        let was_running = std::mem::replace(&mut state.running, false);
        state.destroyed |= destroys;
        if was_running {
            self.due.notify_one();
        }
        was_running
    }

    /// The clock thread.
    fn work(self: Arc<Self>) {
        // Its own handle for the callback: it must not keep the clock from ending when the users' last one goes.
        let own = ThreadClock { handle: Arc::new(Handle { shared: Arc::clone(&self), keeps_alive: false }) };
        let mut state = self.state.lock();
        state.thread = ThreadState::Alive(thread::id());
        let mut callback = state.callback.take();
        while state.running {
            let (Some(call), Some(core)) = (&mut callback, &mut state.core) else { break };
            match core.poll(Instant::now()) {
                ClockPoll::Wait(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    self.due.wait_for(&mut state, left);
                }
                ClockPoll::Tick(tick) => {
                    state.note(tick);
                    state.calling = Some(state.run);
                    drop(state);
                    let returned = {
                        let _operation = sim::operation("clock.callback", None);
                        returns(|| call(&own, tick))
                    };
                    state = self.state.lock();
                    state.calling = None;
                    if !returned {
                        state.panicked = true;
                        state.running = false;
                    }
                    // Who stopped a run that was started again since waits for this callback alone.
                    self.quiet.notify_all();
                }
            }
        }
        state.callback = callback;
        state.record = None;
        if let Some(pool) = &state.pool {
            // It is this clock's alone, and is released only by `Remains::take`, under this lock: it is live, and empty by now.
            let _ = pool.reset();
        }
        state.thread = ThreadState::None;
        let remains = Remains::take(&mut state);
        self.quiet.notify_all();
        drop(state);
        remains.drop_unlocked();
    }
}

/// Whether `call` returns, and does not panic. The panic's value is the application's, whose drop may do anything; it goes here,
/// without a lock, and a value that panics again is left where it is.
fn returns(call: impl FnOnce()) -> bool {
    let Err(value) = catch_unwind(AssertUnwindSafe(call)) else { return true };
    if let Err(again) = catch_unwind(AssertUnwindSafe(move || drop(value))) {
        std::mem::forget(again);
    }
    false
}

impl State {
    /// Whether a callback of this run or an earlier one goes on.
    fn is_calling_until(&self, run: u64) -> bool {
        self.calling.is_some_and(|calling| calling <= run)
    }

    /// Keeps the lateness of the last ticks in the run's record.
    fn note(&mut self, tick: Tick) {
        if let Some(record) = &mut self.record {
            let ticks = self.core.as_ref().map_or(1, |core| core.counters().ticks);
            let at = (ticks.saturating_sub(1) as usize % RECORD_TICKS) * 8;
            let lateness_ns = u64::try_from(tick.lateness.as_nanos()).unwrap_or(u64::MAX);
            record.bytes_mut()[at..at + 8].copy_from_slice(&lateness_ns.to_le_bytes());
        }
    }
}

/// What a destroyed clock leaves, to be let go without its lock: the callback's own drop is the application's code.
#[derive(Default)]
struct Remains {
    callback: Option<Callback>,
    pool: Option<Pool>,
}

impl Remains {
    /// Takes what is left of a destroyed clock whose thread has ended. The pool ends here and now.
    fn take(state: &mut MutexGuard<'_, State>) -> Remains {
        if !state.destroyed {
            return Remains::default();
        }
        let pool = state.pool.take();
        if let Some(pool) = &pool {
            pool.release();
        }
        Remains { callback: state.callback.take(), pool }
    }

    fn drop_unlocked(self) {
        drop(self.callback);
        drop(self.pool);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if !self.keeps_alive {
            return;
        }
        let mut state = self.shared.state.lock();
        self.shared.end(&mut state, true);
        let remains = if state.thread == ThreadState::None { Remains::take(&mut state) } else { Remains::default() };
        drop(state);
        remains.drop_unlocked();
    }
}

impl fmt::Debug for ThreadClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.handle.shared.state.lock();
        f.debug_struct("ThreadClock")
            .field("config", &self.handle.shared.config)
            .field("running", &state.running)
            .field("destroyed", &state.destroyed)
            .finish_non_exhaustive()
    }
}
