//! What a timer heap is, whatever drives it: its timers, the one whose callback goes on, and its end.
//!
//! [`State`] stands behind one lock. The *worker*, a thread or a task, asks [`State::step`] what to do next. Nothing here waits, calls
//! the application or drops what is the application's.

use super::heap::{Full, TimerHeap, TimerId};
use super::{Cancelled, TimerConfig, TimerCounters, TimerError, Timers};
use sim::ledger::{self, ResourceId};
use sim::thread::{self, ThreadId};
use sim::time::Instant;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a timer calls.
pub(super) type Callback = Box<dyn FnOnce(&Timers, TimerId) + Send>;

/// What is called when the heap ends before its timer has.
pub(super) type Lost = Box<dyn FnOnce() + Send>;

/// A timer that has not ended. Whoever has it calls it or lets it go, once, without the lock.
pub(super) struct Timer {
    callback: Callback,
    lost: Option<Lost>,
    resource: ResourceId,
}

/// The heap's state.
pub(super) struct State {
    heap: TimerHeap<Timer>,
    running: Option<Running>,
    end: Option<End>,
    /// What the worker waits for, once it has said so and until it is woken.
    asleep: Option<Asleep>,
    /// How many callbacks came since the worker has let others run.
    in_a_row: u32,
    /// Who waits for a callback to return: threads, and tasks.
    pub(super) waiting_threads: usize,
    pub(super) waiting_tasks: usize,
    counters: TimerCounters,
}

/// A callback that goes on.
#[derive(Clone, Copy)]
struct Running {
    id: TimerId,
    /// The thread that carries it, from its beginning to its end.
    on: ThreadId,
}

/// Why no timer will run any more.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Closed,
    /// The worker was dropped: its runtime has ended.
    WorkerLost,
}

/// Until when the worker sleeps, if nobody wakes it.
#[derive(Clone, Copy)]
struct Asleep(Option<Instant>);

/// What the worker does next.
pub(super) enum Step {
    /// Nothing before this moment, or before somebody wakes it.
    Sleep(Option<Instant>),
    /// It lets others run.
    Yield,
    /// It calls back, without the lock, and says so to [`State::called`].
    Call(TimerId, Timer),
    /// It ends.
    End,
}

/// Whose return is waited for.
#[derive(Clone, Copy)]
pub(super) enum Awaited {
    This(TimerId),
    Any,
}

/// Whether a callback goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GoesOn {
    No,
    /// It is who asks, or what carries who asks.
    Here,
    Elsewhere,
}

/// Who is to be told that a callback has returned.
#[derive(Clone, Copy)]
pub(super) struct Waiting {
    pub(super) threads: bool,
    pub(super) tasks: bool,
}

impl State {
    pub(super) fn new(config: &TimerConfig) -> Self {
        State {
            heap: TimerHeap::new(config.timers_max),
            running: None,
            end: None,
            asleep: None,
            in_a_row: 0,
            waiting_threads: 0,
            waiting_tasks: 0,
            counters: TimerCounters::default(),
        }
    }

    /// Takes a timer, and says whether the worker is to be woken. A callback that is refused is given back.
    pub(super) fn schedule(
        &mut self,
        at: Instant,
        now: Instant,
        callback: Callback,
        lost: Option<Lost>,
    ) -> Result<(TimerId, bool), (TimerError, Callback)> {
        let timers_max = self.heap.timers_max();
        let refused = match self.end {
            Some(End::Closed) => TimerError::Closed,
            Some(End::WorkerLost) => TimerError::WorkerLost,
            None => {
                let timer = Timer { callback, lost, resource: ledger::register("timer") };
                match self.heap.schedule(at, now, timer) {
                    Ok(id) => {
                        self.counters.scheduled += 1;
                        return Ok((id, self.wakes_for_first()));
                    }
                    Err(Full { value }) => {
                        self.counters.refused += 1;
                        ledger::release(value.resource);
                        return Err((TimerError::Full { timers_max }, value.callback));
                    }
                }
            }
        };
        self.counters.refused += 1;
        Err((refused, callback))
    }

    /// Whether the worker sleeps past the first timer. It is told so once.
    fn wakes_for_first(&mut self) -> bool {
        let sleeps_past = match (self.asleep, self.heap.next_due()) {
            (Some(Asleep(Some(until))), Some(due)) => due < until,
            (Some(Asleep(None)), Some(_)) => true,
            _ => false,
        };
        sleeps_past && self.asleep.take().is_some()
    }

    /// Takes a timer out, if it is there still, and says what becomes of it.
    pub(super) fn cancel(&mut self, id: TimerId) -> (Cancelled, Option<Timer>) {
        if let Some(entry) = self.heap.cancel(id) {
            self.counters.prevented += 1;
            return (Cancelled::Prevented, Some(entry.value));
        }
        let cancelled = match self.goes_on(Awaited::This(id)) {
            GoesOn::No => Cancelled::Ended,
            GoesOn::Here => Cancelled::FromCallback,
            GoesOn::Elsewhere => Cancelled::Running,
        };
        (cancelled, None)
    }

    /// Whether this callback, or any, goes on.
    pub(super) fn goes_on(&self, awaited: Awaited) -> GoesOn {
        match (self.running, awaited) {
            (Some(running), Awaited::This(id)) if running.id != id => GoesOn::No,
            (Some(running), _) if running.on == thread::id() => GoesOn::Here,
            (Some(_), _) => GoesOn::Elsewhere,
            (None, _) => GoesOn::No,
        }
    }

    /// Ends the heap for good. False if it had ended. No callback begins any more; [`State::next_left`] has the timers that are left.
    pub(super) fn close(&mut self) -> bool {
        let was_open = self.end.is_none();
        self.end.get_or_insert(End::Closed);
        was_open
    }

    /// The worker was dropped before its end, and the heap ends with it.
    pub(super) fn lose_worker(&mut self) {
        self.end.get_or_insert(End::WorkerLost);
    }

    /// One of the timers that the end of the heap prevents.
    pub(super) fn next_left(&mut self) -> Option<Timer> {
        self.end?;
        let entry = self.heap.pop()?;
        self.counters.dropped_at_close += 1;
        Some(entry.value)
    }

    /// Whether the worker sleeps. It is told so once.
    pub(super) fn wakes(&mut self) -> bool {
        self.asleep.take().is_some()
    }

    /// What the worker does next.
    pub(super) fn step(&mut self, config: &TimerConfig, now: Instant) -> Step {
        self.asleep = None;
        if self.end.is_some() {
            return Step::End;
        }
        if self.in_a_row >= config.burst_max.max(1) {
            self.in_a_row = 0;
            return Step::Yield;
        }
        let Some(entry) = self.heap.pop_due(now) else {
            self.in_a_row = 0;
            let until = self.heap.next_due();
            self.asleep = Some(Asleep(until));
            return Step::Sleep(until);
        };
        let lateness = now.saturating_duration_since(entry.due);
        self.counters.fired += 1;
        self.counters.late += u64::from(lateness > config.late_after);
        self.counters.lateness_max = self.counters.lateness_max.max(lateness);
        self.in_a_row += 1;
        self.running = Some(Running { id: entry.id, on: thread::id() });
        Step::Call(entry.id, entry.value)
    }

    /// The callback has returned, or panicked.
    pub(super) fn called(&mut self, returned: bool) -> Waiting {
        self.running = None;
        self.counters.panicked += u64::from(!returned);
        Waiting { threads: self.waiting_threads > 0, tasks: self.waiting_tasks > 0 }
    }

    /// A callback panicked when it was let go.
    pub(super) fn count_panic(&mut self) {
        self.counters.panicked += 1;
    }

    /// Somebody does not wait any longer for a callback.
    pub(super) fn count_given_up(&mut self) {
        self.counters.given_up += 1;
    }

    pub(super) fn counters(&self) -> TimerCounters {
        self.counters
    }

    pub(super) fn pending(&self) -> usize {
        self.heap.len()
    }

    pub(super) fn has_ended(&self) -> bool {
        self.end.is_some()
    }
}

impl Timer {
    /// Calls the application. When it returns the callback and what it captured are gone. False if it panicked.
    pub(super) fn call(self, timers: &Timers, id: TimerId) -> bool {
        let _operation = sim::operation("timer.callback", None);
        ledger::touch(self.resource);
        let returned = caught(|| (self.callback)(timers, id));
        ledger::release(self.resource);
        returned
    }

    /// Lets the callback go without a call. False if what it captured panicked at that.
    pub(super) fn let_go(self) -> bool {
        let went = caught(|| drop(self.callback));
        ledger::release(self.resource);
        went
    }

    /// As [`Timer::let_go`], as the heap has ended, which is told to who wants to know.
    pub(super) fn lose(mut self) -> bool {
        let lost = self.lost.take();
        let went = self.let_go();
        lost.is_none_or(caught) && went
    }
}

/// Runs the application's code. False if it panicked. The panic's value is the application's too, whose drop may do anything; it goes
/// here, without a lock, and a value that panics again is left where it is.
pub(super) fn caught(code: impl FnOnce()) -> bool {
    let Err(value) = catch_unwind(AssertUnwindSafe(code)) else { return true };
    if let Err(again) = catch_unwind(AssertUnwindSafe(move || drop(value))) {
        std::mem::forget(again);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use sim::sync::Arc;
    use std::time::Duration;

    fn at(millis: u64) -> Instant {
        Instant::from_origin(Duration::from_millis(millis))
    }

    fn schedule(state: &mut State, due: u64, now: u64) -> (TimerId, bool) {
        state.schedule(at(due), at(now), Box::new(|_, _| {}), None).unwrap_or_else(|(error, _)| panic!("{error}"))
    }

    /// Steps, and lets what is to be called go.
    fn step(state: &mut State, config: &TimerConfig, now: u64) -> &'static str {
        match state.step(config, at(now)) {
            Step::Sleep(None) => "sleep",
            Step::Sleep(Some(_)) => "sleep until",
            Step::Yield => "yield",
            Step::Call(_, timer) => {
                assert!(timer.let_go());
                state.called(true);
                "call"
            }
            Step::End => "end",
        }
    }

    #[test]
    fn after_so_many_callbacks_in_a_row_others_are_let_run() {
        for burst_max in [0, 1, 2, 5] {
            let config = TimerConfig { burst_max, ..TimerConfig::default() };
            let mut state = State::new(&config);
            (0..12).for_each(|_| _ = schedule(&mut state, 0, 0));
            for _ in 0..12 / burst_max.max(1) {
                (0..burst_max.max(1)).for_each(|_| assert_eq!(step(&mut state, &config, 0), "call"));
                assert_eq!(step(&mut state, &config, 0), "yield");
            }
            // A sleep lets others run as well, and begins anew.
            (0..12 % burst_max.max(1)).for_each(|_| assert_eq!(step(&mut state, &config, 0), "call"));
            assert_eq!(step(&mut state, &config, 0), "sleep");
            (0..burst_max.max(1)).for_each(|_| _ = schedule(&mut state, 0, 0));
            (0..burst_max.max(1)).for_each(|_| assert_eq!(step(&mut state, &config, 0), "call"));
        }
    }

    #[test]
    fn the_worker_is_woken_once_and_only_where_it_would_sleep_too_long() {
        let config = TimerConfig::default();
        let mut state = State::new(&config);
        assert!(!schedule(&mut state, 9, 0).1 && !state.wakes(), "it is awake, and will look");
        state.heap.pop();
        assert_eq!(step(&mut state, &config, 0), "sleep");
        assert!(schedule(&mut state, 9, 0).1, "it would sleep for ever");
        assert!(!schedule(&mut state, 8, 0).1 && !state.wakes(), "it was woken, and will look");
        assert_eq!(step(&mut state, &config, 0), "sleep until");
        assert!(!schedule(&mut state, 8, 0).1 && !schedule(&mut state, 20, 0).1, "it wakes before that");
        assert!(schedule(&mut state, 7, 0).1);
        assert_eq!(step(&mut state, &config, 0), "sleep until");
        assert!(state.wakes() && !state.wakes());
        assert_eq!(step(&mut state, &config, 0), "sleep until");
        assert_eq!(step(&mut state, &config, 7), "call");
        assert!(!schedule(&mut state, 7, 7).1 && !state.wakes(), "it woke by itself, and will look");
    }

    #[test]
    fn an_ended_heap_steps_to_its_end_whatever_is_due() {
        for is_lost in [false, true] {
            let config = TimerConfig::default();
            let mut state = State::new(&config);
            (0..3).for_each(|_| _ = schedule(&mut state, 0, 0));
            assert!(state.next_left().is_none(), "a heap that is open keeps its timers");
            if is_lost {
                state.lose_worker();
            } else {
                assert!(state.close());
            }
            assert!(!state.close());
            assert_eq!(step(&mut state, &config, 5), "end");
            let left: Vec<_> = std::iter::from_fn(|| state.next_left()).collect();
            assert_eq!((left.len(), state.counters().dropped_at_close, state.pending()), (3, 3, 0));
            let refused = state.schedule(at(0), at(0), Box::new(|_, _| {}), None).map(|_| ()).map_err(|(error, _)| error);
            assert_eq!(refused, Err(if is_lost { TimerError::WorkerLost } else { TimerError::Closed }));
        }
    }

    #[test]
    fn a_callback_that_goes_on_is_known_here_and_elsewhere_until_it_has_returned() {
        let config = TimerConfig::default();
        let mut state = State::new(&config);
        let ids: Vec<TimerId> = (0..4).map(|due| schedule(&mut state, due, 0).0).collect();
        #[expect(clippy::disallowed_methods, reason = "there is no run here: another thread is only somewhere else")]
        let seen = |state: &mut State, awaited| {
            let here = state.goes_on(awaited);
            let elsewhere = std::thread::scope(|scope| scope.spawn(move || state.goes_on(awaited)).join());
            (here, elsewhere.expect("it looks"))
        };
        for (now, running) in ids.iter().enumerate() {
            assert_eq!(seen(&mut state, Awaited::Any), (GoesOn::No, GoesOn::No));
            let Step::Call(id, timer) = state.step(&config, at(now as u64)) else { panic!("timer {now} is due") };
            assert_eq!(id, *running);
            assert!(timer.let_go());
            assert_eq!(seen(&mut state, Awaited::Any), (GoesOn::Here, GoesOn::Elsewhere));
            for id in &ids[..=now] {
                let is_it = id == running;
                let expected = if is_it { (GoesOn::Here, GoesOn::Elsewhere) } else { (GoesOn::No, GoesOn::No) };
                assert_eq!(seen(&mut state, Awaited::This(*id)), expected);
                assert_eq!(state.cancel(*id).0, if is_it { Cancelled::FromCallback } else { Cancelled::Ended });
            }
            state.called(true);
            assert_eq!(state.cancel(*running).0, Cancelled::Ended);
        }
    }

    #[test]
    fn what_is_refused_is_counted_and_given_back() {
        let config = TimerConfig { timers_max: 3, ..TimerConfig::default() };
        let mut state = State::new(&config);
        let refuse = |state: &mut State, expected: TimerError| {
            let told = Arc::new(());
            let theirs = Arc::clone(&told);
            let refused = state.schedule(at(0), at(0), Box::new(move |_, _| drop(theirs)), None);
            let Err((error, callback)) = refused else { panic!("expected {expected}, got a timer") };
            assert_eq!((error, Arc::strong_count(&told)), (expected, 2), "the callback is the caller's to drop");
            drop(callback);
            assert_eq!(Arc::strong_count(&told), 1);
        };
        (0..3).for_each(|due| _ = schedule(&mut state, due, 0));
        for refused in 1..5 {
            refuse(&mut state, TimerError::Full { timers_max: 3 });
            assert_eq!((state.counters().refused, state.counters().scheduled, state.pending()), (refused, 3, 3));
        }
        state.close();
        for refused in 5..9 {
            refuse(&mut state, TimerError::Closed);
            assert_eq!(state.counters().refused, refused);
        }
    }

    #[test]
    fn whoever_waits_is_told_of_a_return_and_nobody_else() {
        for (waiting_threads, waiting_tasks) in (0..3).flat_map(|threads| (0..3).map(move |tasks| (threads, tasks))) {
            for returned in [false, true] {
                let mut state = State { waiting_threads, waiting_tasks, ..State::new(&TimerConfig::default()) };
                let waiting = state.called(returned);
                assert_eq!((waiting.threads, waiting.tasks), (waiting_threads > 0, waiting_tasks > 0));
                assert_eq!(state.counters().panicked, u64::from(!returned));
            }
        }
    }

    /// Panics when it is dropped, if it is to.
    struct Captured(bool);

    impl Drop for Captured {
        fn drop(&mut self) {
            assert!(!self.0, "as it was told");
        }
    }

    #[test]
    fn a_timer_that_is_lost_says_so_whatever_panics_at_that() {
        for (drop_panics, lost_panics) in [(false, false), (false, true), (true, false), (true, true)] {
            let told = Arc::new(());
            let tells = Arc::clone(&told);
            let captured = Captured(drop_panics);
            let callback: Callback = Box::new(move |_, _| drop(captured));
            let lost: Lost = Box::new(move || {
                drop(tells);
                assert!(!lost_panics, "as it was told");
            });
            let mut state = State::new(&TimerConfig::default());
            assert!(state.schedule(at(0), at(0), callback, Some(lost)).is_ok() && state.close());
            let timer = state.next_left().expect("it is left");
            assert_eq!(timer.lose(), !drop_panics && !lost_panics);
            assert_eq!(Arc::strong_count(&told), 1, "who wants to know is told");
        }
    }

    #[test]
    fn lateness_is_counted_from_when_a_timer_was_due() {
        let config = TimerConfig { late_after: Duration::from_millis(10), ..TimerConfig::default() };
        let mut state = State::new(&config);
        for (due, now, late, lateness_max) in [(5, 5, 0, 0), (10, 20, 0, 10), (30, 41, 1, 11), (50, 51, 1, 11)] {
            schedule(&mut state, due, 0);
            assert_eq!(step(&mut state, &config, now), "call");
            let counters = state.counters();
            assert_eq!((counters.late, counters.lateness_max), (late, Duration::from_millis(lateness_max)));
        }
        assert_eq!((state.counters().scheduled, state.counters().fired), (4, 4));
    }
}
