//! What a clock is, whatever drives it: its runs, from start to stop, and what each leaves.
//!
//! The shells hold the [`State`] behind one lock, and wait and wake around it. Their *worker*, a thread or a task, asks
//! [`State::step`] what to do next; who stops asks [`State::outcome`] whether that is over.

use super::{ClockConfig, ClockCore, ClockCounters, ClockPoll, ConfigError, Tick};
use crate::buffer::pool::{Block, Pool, PoolError};
use sim::thread::{self, ThreadId};
use sim::time::Instant;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

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
    /// Nothing runs the clock's task: there are no tasks here, or their runtime has ended.
    #[error("a clock task could not be made: {why}")]
    Task {
        /// The engine's reason, or the runtime's.
        why: String,
    },
}

/// What a clock of type `C` calls.
pub(super) type Callback<C> = Box<dyn FnMut(&C, Tick) + Send>;

/// What a run takes from the pool: the lateness of its last ticks.
const RECORD_BYTES: usize = RECORD_TICKS * 8;
const RECORD_TICKS: usize = 64;

/// A clock of type `C`. Nothing here waits or calls the application, so all of it may happen under the clock's lock.
pub(super) struct State<C> {
    /// Counts starts. The worker works for the newest.
    run: u64,
    running: bool,
    /// From before the worker is made to its last look at this state.
    has_worker: bool,
    /// The newest run ended because its worker was dropped.
    lost: bool,
    calling: Option<Calling>,
    /// Not there while it goes on.
    callback: Option<Callback<C>>,
    core: Option<ClockCore>,
    /// The newest run's, from its start until its worker has ended.
    record: Option<Block>,
    /// Until destroy has taken effect.
    pool: Option<Pool>,
    destroyed: bool,
    panicked: bool,
}

/// A callback that goes on.
#[derive(Clone, Copy)]
struct Calling {
    run: u64,
    /// The thread that carries it, from its beginning to its end.
    on: ThreadId,
}

/// What a start found.
pub(super) enum Begun {
    /// The clock runs as it did.
    AlreadyRuns,
    /// The last run's worker was woken to see its end, and goes on with the new run instead. Who waits for the old one need not.
    WorkerKept,
    /// A worker is to be made. If that fails, [`State::undo`] wants the core of the run before.
    WorkerNeeded(Option<ClockCore>),
}

/// What the worker does next.
pub(super) enum Step<C> {
    /// Nothing before this moment, or an end of the run.
    Wait(Instant),
    /// It calls back, without the lock, and says so to [`State::called`].
    Call(Callback<C>, Tick),
    /// It ends: the state does not know it any more.
    End(Remains<C>),
}

/// A stop, and what it found.
#[derive(Clone, Copy)]
pub(super) struct Ending {
    run: u64,
    pub(super) was_running: bool,
}

/// What a stop comes to.
pub(super) struct Outcome<C> {
    result: Result<Stopped, ClockError>,
    remains: Remains<C>,
}

/// What a destroyed clock leaves, to be let go without its lock: the callback's own drop is the application's code.
pub(super) struct Remains<C> {
    callback: Option<Callback<C>>,
    pool: Option<Pool>,
}

impl<C> State<C> {
    /// A clock that does not run yet.
    pub(super) fn new(config: ClockConfig, pool: Pool, callback: Callback<C>) -> Result<Self, ClockError> {
        ClockCore::new(config, Instant::from_origin(Duration::ZERO))?;
        Ok(State {
            run: 0,
            running: false,
            has_worker: false,
            lost: false,
            calling: None,
            callback: Some(callback),
            core: None,
            record: None,
            pool: Some(pool),
            destroyed: false,
            panicked: false,
        })
    }

    /// Begins a run, unless one goes on. After an error the clock is as it was.
    pub(super) fn begin(&mut self, config: ClockConfig) -> Result<Begun, ClockError> {
        if self.destroyed {
            return Err(ClockError::Destroyed);
        }
        if self.panicked {
            return Err(ClockError::CallbackPanicked);
        }
        if self.running {
            return Ok(Begun::AlreadyRuns);
        }
        if self.record.is_none() {
            let pool = self.pool.as_ref().ok_or(ClockError::Destroyed)?;
            self.record = Some(pool.allocate(RECORD_BYTES)?);
        }
        let before = self.core.replace(ClockCore::new(config, Instant::now())?);
        self.run += 1;
        self.running = true;
        self.lost = false;
        if std::mem::replace(&mut self.has_worker, true) {
            return Ok(Begun::WorkerKept);
        }
        Ok(Begun::WorkerNeeded(before))
    }

    /// The worker could not be made, and nobody has looked at the clock since: it is as it was.
    pub(super) fn undo(&mut self, before: Option<ClockCore>) {
        self.run -= 1;
        self.running = false;
        self.has_worker = false;
        self.record = None;
        self.core = before;
    }

    /// Ends the run, for good if it `destroys`. The worker is to be woken if it was running.
    pub(super) fn end(&mut self, destroys: bool) -> Ending {
        let was_running = std::mem::replace(&mut self.running, false);
        self.destroyed |= destroys;
        Ending { run: self.run, was_running }
    }

    /// What a stop comes to, if it need not wait; `None` only while there is time left. A start that crosses makes a run of its own,
    /// whose callbacks are not waited for. A stop that is carried by the callback does not wait for itself.
    pub(super) fn outcome(&mut self, ending: Ending, deadline: Duration, is_time_left: bool) -> Option<Outcome<C>> {
        let told = |result| Some(Outcome { result, remains: Remains::NONE });
        if self.calling.is_some_and(|calling| calling.on == thread::id()) {
            return told(Ok(Stopped::FromCallback));
        }
        let is_called = self.calling.is_some_and(|calling| calling.run <= ending.run);
        if is_called || (self.has_worker && self.run == ending.run) {
            if is_time_left {
                return None;
            }
            if is_called {
                return told(Err(ClockError::CallbackGoesOn { deadline }));
            }
            // The worker has not had the processor to end. It will not call back any more, which is what was promised.
        }
        let result = match (self.panicked, ending.was_running) {
            (true, _) => Err(ClockError::CallbackPanicked),
            (_, true) => Ok(Stopped::Stopped),
            (_, false) => Ok(Stopped::NotRunning),
        };
        Some(Outcome { result, remains: self.remains() })
    }

    /// What the worker does next.
    pub(super) fn step(&mut self) -> Step<C> {
        let Some(core) = self.core.as_mut().filter(|_| self.running) else { return Step::End(self.leave()) };
        let tick = match core.poll(Instant::now()) {
            ClockPoll::Wait(until) => return Step::Wait(until),
            ClockPoll::Tick(tick) => tick,
        };
        // A clock that runs has it, as one worker takes it and gives it back.
        let Some(callback) = self.callback.take() else { return Step::End(self.leave()) };
        self.note(tick);
        self.calling = Some(Calling { run: self.run, on: thread::id() });
        Step::Call(callback, tick)
    }

    /// The callback has returned, or panicked.
    pub(super) fn called(&mut self, callback: Callback<C>, returned: bool) {
        self.callback = Some(callback);
        self.calling = None;
        if !returned {
            self.panicked = true;
            self.running = false;
        }
    }

    /// The worker was dropped before its end, and its run ends with it.
    pub(super) fn lose_worker(&mut self) -> Remains<C> {
        self.lost = true;
        self.leave()
    }

    /// Whether the newest run ended because its worker was dropped.
    pub(super) fn has_lost_worker(&self) -> bool {
        self.lost
    }

    /// The worker's last look.
    fn leave(&mut self) -> Remains<C> {
        self.running = false;
        self.record = None;
        if let Some(pool) = &self.pool {
            // It is this clock's alone, and is released only by `remains`, under the clock's lock: it is live, and empty by now.
            let _ = pool.reset();
        }
        self.has_worker = false;
        self.remains()
    }

    /// What is left of a clock, once it is destroyed and its worker has ended. The pool ends here and now.
    pub(super) fn remains(&mut self) -> Remains<C> {
        if !self.destroyed || self.has_worker {
            return Remains::NONE;
        }
        let pool = self.pool.take();
        if let Some(pool) = &pool {
            pool.release();
        }
        Remains { callback: self.callback.take(), pool }
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

    /// How late the last ticks of the newest run came.
    pub(super) fn recent_lateness(&self) -> Vec<Duration> {
        let lateness = |bytes: &[u8]| Duration::from_nanos(bytes.iter().rev().fold(0, |ns, byte| ns << 8 | u64::from(*byte)));
        let record = self.record.as_ref().map_or(&[][..], Block::bytes);
        let ticks = usize::try_from(self.counters().ticks).unwrap_or(usize::MAX);
        record.chunks_exact(8).take(ticks).map(lateness).collect()
    }

    /// What the newest run has counted.
    pub(super) fn counters(&self) -> ClockCounters {
        self.core.as_ref().map(ClockCore::counters).unwrap_or_default()
    }

    /// Whether the clock runs.
    pub(super) fn is_running(&self) -> bool {
        self.running
    }

    /// The clock, told as one of the type `name`.
    pub(super) fn tell(&self, name: &str, config: ClockConfig, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name)
            .field("config", &config)
            .field("running", &self.running)
            .field("destroyed", &self.destroyed)
            .finish_non_exhaustive()
    }
}

/// Calls the application. False if it panicked. The panic's value is the application's, whose drop may do anything; it goes here,
/// without a lock, and a value that panics again is left where it is.
pub(super) fn call<C>(callback: &mut Callback<C>, clock: &C, tick: Tick) -> bool {
    let _operation = sim::operation("clock.callback", None);
    let Err(value) = catch_unwind(AssertUnwindSafe(|| callback(clock, tick))) else { return true };
    if let Err(again) = catch_unwind(AssertUnwindSafe(move || drop(value))) {
        std::mem::forget(again);
    }
    false
}

impl<C> Remains<C> {
    const NONE: Remains<C> = Remains { callback: None, pool: None };

    /// Lets it go; call it without the clock's lock.
    pub(super) fn drop_unlocked(self) {
        drop(self.callback);
        drop(self.pool);
    }
}

impl<C> Outcome<C> {
    /// What to tell who stopped; call it without the clock's lock.
    pub(super) fn tell_unlocked(self) -> Result<Stopped, ClockError> {
        self.remains.drop_unlocked();
        self.result
    }
}

#[cfg(test)]
mod tests {
    use super::super::CatchUp;
    use super::*;
    use sim::sync::Arc;

    /// A tick each nanosecond, and all of them are given: there is always one that is due, each a little later than the one before.
    const ALWAYS_DUE: ClockConfig = ClockConfig {
        rate_hz: 1_000_000_000,
        samples_per_tick: 1,
        catch_up: CatchUp::Burst { ticks_max: u32::MAX },
        stop_deadline: Duration::ZERO,
    };

    fn state(pool: &Pool) -> State<()> {
        State::new(ALWAYS_DUE, pool.clone(), Box::new(|_, _| {})).unwrap_or_else(|error| panic!("{error}"))
    }

    fn begin(state: &mut State<()>) -> Begun {
        state.begin(ALWAYS_DUE).unwrap_or_else(|error| panic!("{error}"))
    }

    fn tick(state: &mut State<()>) -> Tick {
        loop {
            match state.step() {
                Step::Call(callback, tick) => {
                    state.called(callback, true);
                    return tick;
                }
                Step::Wait(_) => {}
                Step::End(_) => panic!("it runs"),
            }
        }
    }

    fn stop(state: &mut State<()>) {
        assert!(state.end(false).was_running);
        assert!(matches!(state.step(), Step::End(_)));
    }

    #[test]
    fn the_lateness_of_the_last_64_ticks_is_remembered_until_the_worker_ends() {
        let pool = Pool::new("clock", 512);
        let mut state = state(&pool);
        for ticks in 0..150 {
            assert!(matches!(begin(&mut state), Begun::WorkerNeeded(_)));
            assert_eq!(pool.used_bytes(), Ok(512));
            let lateness: Vec<Duration> = (0..ticks).map(|_| tick(&mut state).lateness).collect();
            let (mut remembered, mut expected) =
                (state.recent_lateness(), lateness[lateness.len().saturating_sub(64)..].to_vec());
            remembered.sort();
            expected.sort();
            assert_eq!(remembered, expected);
            stop(&mut state);
            assert_eq!((state.recent_lateness(), state.counters().ticks, pool.used_bytes()), (Vec::new(), ticks, Ok(0)));
        }
    }

    #[test]
    fn a_run_whose_worker_could_not_be_made_has_never_been() {
        for runs in 0..5 {
            let pool = Pool::new("clock", 512);
            let mut state = state(&pool);
            for _ in 0..runs {
                assert!(matches!(begin(&mut state), Begun::WorkerNeeded(_)));
                tick(&mut state);
                stop(&mut state);
            }
            let counters = state.counters();
            for _ in 0..3 {
                let Begun::WorkerNeeded(before) = begin(&mut state) else { panic!("there is no worker") };
                assert!(state.is_running() && state.counters() == ClockCounters::default());
                state.undo(before);
                assert_eq!((state.is_running(), state.counters(), state.run), (false, counters, runs));
                assert_eq!(pool.used_bytes(), Ok(0));
            }
        }
    }

    /// A clock as its promises have it.
    #[derive(Default)]
    struct Model {
        run: u64,
        runs: bool,
        has_worker: bool,
        has_lost_worker: bool,
        /// The run whose callback goes on.
        calling: Option<u64>,
        ticks: u64,
        destroyed: bool,
        panicked: bool,
    }

    impl Model {
        fn begin(&mut self) -> &'static str {
            if self.destroyed || self.panicked {
                return if self.destroyed { "destroyed" } else { "panicked" };
            }
            if self.runs {
                return "runs";
            }
            let kept = self.has_worker;
            *self = Model { run: self.run + 1, runs: true, has_worker: true, has_lost_worker: false, ticks: 0, ..*self };
            if kept { "kept" } else { "needed" }
        }

        fn outcome(
            &self,
            (run, was_running): (u64, bool),
            is_here: bool,
            is_time_left: bool,
        ) -> Option<Result<Stopped, ClockError>> {
            let is_called = self.calling.is_some_and(|calling| calling <= run);
            if self.calling.is_some() && is_here {
                Some(Ok(Stopped::FromCallback))
            } else if is_time_left && (is_called || self.has_worker && self.run == run) {
                None
            } else if is_called {
                Some(Err(ClockError::CallbackGoesOn { deadline: Duration::ZERO }))
            } else if self.panicked {
                Some(Err(ClockError::CallbackPanicked))
            } else {
                Some(Ok(if was_running { Stopped::Stopped } else { Stopped::NotRunning }))
            }
        }

        /// The worker's last look.
        fn leave(&mut self) {
            (self.runs, self.has_worker) = (false, false);
        }
    }

    /// Each two bytes are what a user or the worker does.
    #[expect(clippy::disallowed_methods, reason = "there is no run here: another thread is only somewhere else")]
    fn against_the_model(bytes: &[u8]) {
        let (pool, captured) = (Pool::new("clock", 512), Arc::new(()));
        let theirs = Arc::clone(&captured);
        let callback: Callback<()> = Box::new(move |_, _| _ = &theirs);
        let mut state = State::new(ALWAYS_DUE, pool.clone(), callback).unwrap_or_else(|error| panic!("{error}"));
        let (mut model, mut called, mut endings) = (Model::default(), None, Vec::new());
        for operation in bytes.chunks_exact(2) {
            let [what, how] = [operation[0] % 16, operation[1]];
            match what {
                0..=3 => {
                    let before = (model.run, model.runs, model.has_worker, model.has_lost_worker, model.ticks);
                    let begun = match state.begin(ALWAYS_DUE) {
                        Ok(Begun::AlreadyRuns) => "runs",
                        Ok(Begun::WorkerKept) => "kept",
                        Ok(Begun::WorkerNeeded(core)) => {
                            if how % 4 == 0 && !model.has_worker {
                                state.undo(core);
                            }
                            "needed"
                        }
                        Err(ClockError::Destroyed) => "destroyed",
                        Err(ClockError::CallbackPanicked) => "panicked",
                        Err(error) => panic!("{error}"),
                    };
                    assert_eq!(begun, model.begin());
                    if begun == "needed" && how % 4 == 0 {
                        // No worker could be made. That an earlier one was lost is forgotten all the same.
                        (model.run, model.runs, model.has_worker, _, model.ticks) = before;
                    }
                }
                4 | 5 => {
                    let destroys = what == 5 && how % 4 == 0;
                    let ending = state.end(destroys);
                    assert_eq!(ending.was_running, model.runs);
                    endings.push((ending, (model.run, model.runs)));
                    (model.runs, model.destroyed) = (false, model.destroyed || destroys);
                    state.remains().drop_unlocked();
                }
                6..=9 if !endings.is_empty() => {
                    // Often one of the last.
                    let (ending, known) = endings[endings.len() - 1 - usize::from(how / 4) % endings.len().min(5)];
                    let [is_here, is_time_left] = [how & 1 > 0, how & 2 > 0];
                    let mut look = || state.outcome(ending, Duration::ZERO, is_time_left).map(Outcome::tell_unlocked);
                    let outcome = match is_here {
                        true => look(),
                        false => std::thread::scope(|scope| scope.spawn(look).join().expect("it looks")),
                    };
                    assert_eq!(outcome, model.outcome(known, is_here, is_time_left));
                }
                10..=12 if model.has_worker && called.is_none() => match state.step() {
                    Step::Call(callback, _) if model.runs => {
                        (called, model.calling, model.ticks) = (Some(callback), Some(model.run), model.ticks + 1);
                    }
                    Step::Wait(_) if model.runs => {}
                    Step::End(remains) if !model.runs => {
                        remains.drop_unlocked();
                        model.leave();
                    }
                    _ => panic!("the worker goes on as long as the clock runs"),
                },
                13 | 14 => {
                    if let Some(callback) = called.take() {
                        let returned = how % 8 != 0;
                        state.called(callback, returned);
                        model.calling = None;
                        (model.runs, model.panicked) = (model.runs && returned, model.panicked || !returned);
                    }
                }
                15 if model.has_worker && called.is_none() => {
                    state.lose_worker().drop_unlocked();
                    model.leave();
                    model.has_lost_worker = true;
                }
                _ => {}
            }
            assert_eq!((state.is_running(), state.has_lost_worker()), (model.runs, model.has_lost_worker));
            assert_eq!(state.counters().ticks, model.ticks);
            let is_over = model.destroyed && !model.has_worker;
            assert_eq!(pool.used_bytes().ok(), (!is_over).then_some(if model.has_worker { 512 } else { 0 }));
            assert_eq!(Arc::strong_count(&captured), if is_over { 1 } else { 2 });
        }
    }

    proptest::proptest! {
        #[test]
        fn any_order_of_starts_stops_and_steps(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            against_the_model(&bytes);
        }
    }
}
