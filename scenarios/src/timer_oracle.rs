//! What a heap of timers may do, for the exhibits that drive `stack::timer`: each call goes by an oracle that knows every timer.
//!
//! It knows no order of what runs at once, so it says only what holds in any: a callback comes once or is prevented; nothing comes after
//! what promised that nothing would; what a callback captured goes once, in time, and not under the heap's lock; and in the end
//! the heap's own counts are what was seen.

use crate::inputs::one_of;
use sim::invariant;
use sim::sync::{Arc, Mutex};
use sim::time::{self, Duration, Instant};
use stack::timer::{Cancelled, Closed, TimerConfig, TimerError, TimerId, Timers};

/// How often a heap is closed whose callback does not return.
pub(crate) const CLOSES_MAX: u32 = 8;

/// What is done to a heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// A timer is scheduled so long from now, whose callback does this.
    Schedule(Duration, Plan),
    /// A timer is cancelled: the first, or where there is a choice any, but in a callback not its own.
    Cancel,
    /// The same, and its callback is waited for.
    CancelAndWait,
    /// The heap is closed.
    Close,
    /// Nothing, for so long.
    Pause(Duration),
}

/// What a callback does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    Nothing,
    /// It schedules another timer at once.
    Reschedule,
    CancelItself,
    CancelItselfAndWait,
    Panic,
    /// It does what a thread may do.
    Do(Within),
}

/// What a callback does to the heap that calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Within {
    Cancel,
    CancelAndWait,
    Close,
}

/// A user's handle of a heap, by way of the oracle.
#[derive(Clone)]
pub(crate) struct Heap {
    timers: Timers,
    oracle: Oracle,
    /// The timer whose callback this is in.
    inside: Option<usize>,
}

/// What is known of a heap.
#[derive(Clone)]
struct Oracle(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    timers: Vec<Watched>,
    running: Option<usize>,
    closes_begun: u32,
    drops_begun: u32,
    /// A close has returned: nothing runs any more.
    closed: bool,
    /// Some callback captured a handle.
    is_captured: bool,
    refused: u64,
    panicked: u64,
}

/// What is known of a timer.
#[derive(Clone, Copy, Default)]
struct Watched {
    number: usize,
    /// Once it has one.
    id: Option<TimerId>,
    refused: bool,
    called: bool,
    returned: bool,
    /// What its callback captured is gone.
    dropped: bool,
    cancels_begun: u32,
    prevented: bool,
    /// It was said that its callback does not go on, nor will come.
    silent: bool,
}

/// What a callback captures.
struct Captured {
    oracle: Oracle,
    number: usize,
    /// Its drop calls back in.
    calls_in: Option<Timers>,
}

impl Heap {
    pub(crate) fn on_thread(config: TimerConfig) -> Self {
        Heap::of(Timers::on_thread(config).expect("the engine makes threads"))
    }

    pub(crate) fn on_task(config: TimerConfig) -> Self {
        Heap::of(Timers::on_task(config).expect("the engine has tasks"))
    }

    fn of(timers: Timers) -> Self {
        Heap { timers, oracle: Oracle(Arc::new(Mutex::new(Known::default()))), inside: None }
    }

    /// Does it, and blocks where it waits.
    pub(crate) fn perform(&self, operation: Operation) {
        match operation {
            Operation::Schedule(delay, plan) => self.schedule(delay, plan),
            Operation::Cancel => {
                let Some((number, id)) = self.oracle.begin_cancel(self.inside) else { return };
                let cancelled = self.timers.cancel(id);
                self.oracle.cancelled(number, cancelled, self.inside);
            }
            Operation::CancelAndWait => {
                let Some((number, id)) = self.oracle.begin_cancel(self.inside) else { return };
                let result = promptly(|| self.timers.cancel_and_wait(id));
                self.oracle.cancelled_and_waited(number, result, self.inside);
            }
            Operation::Close => {
                self.close();
            }
            Operation::Pause(duration) => time::sleep(duration),
        }
    }

    /// Does it, and awaits where it waits.
    pub(crate) async fn perform_awaited(&self, operation: Operation) {
        match operation {
            Operation::CancelAndWait => {
                let Some((number, id)) = self.oracle.begin_cancel(self.inside) else { return };
                let began = Instant::now();
                let result = self.timers.cancelled(id).await;
                expect_prompt(began);
                self.oracle.cancelled_and_waited(number, result, self.inside);
            }
            Operation::Close => {
                self.close_awaited().await;
            }
            Operation::Pause(duration) => time::sleep_for(duration).await,
            Operation::Schedule(..) | Operation::Cancel => self.perform(operation),
        }
    }

    fn schedule(&self, delay: Duration, plan: Plan) {
        let number = self.oracle.begin_schedule();
        // A handle that a callback has counts until that callback is gone.
        let calls_in = (sim::choose(4) == 3).then(|| self.timers.clone());
        self.oracle.0.lock().is_captured |= calls_in.is_some();
        let captured = Captured { oracle: self.oracle.clone(), number, calls_in };
        let result = self.timers.schedule_after(delay, move |timers, id| {
            captured.oracle.call(number, id);
            let heap = Heap { timers: timers.clone(), oracle: captured.oracle.clone(), inside: Some(number) };
            plan.perform(&heap, id);
            captured.oracle.returns(number);
            if plan == Plan::Panic {
                captured.oracle.0.lock().panicked += 1;
                // An engine's thread cannot wait while it unwinds.
                drop(captured);
                panic!("on purpose");
            }
        });
        self.oracle.scheduled(number, result);
    }

    /// False if a callback goes on.
    fn close(&self) -> bool {
        self.oracle.begin_close();
        let result = promptly(|| self.timers.close());
        self.oracle.closed(&self.timers, result, self.inside)
    }

    async fn close_awaited(&self) -> bool {
        self.oracle.begin_close();
        let began = Instant::now();
        let result = self.timers.closed().await;
        expect_prompt(began);
        self.oracle.closed(&self.timers, result, self.inside)
    }

    /// How many timers wait.
    pub(crate) fn pending(&self) -> usize {
        self.timers.pending()
    }

    /// Closes the heap, and looks back.
    pub(crate) fn end(self) {
        // Loom's timers come as early as they like, so a deadline may pass while a callback is in its middle.
        let ended = (0..CLOSES_MAX).any(|_| self.close());
        self.look_back(ended);
    }

    /// The same, awaited.
    pub(crate) async fn end_awaited(self) {
        let mut ended = false;
        for _ in 0..CLOSES_MAX {
            ended = self.close_awaited().await;
            if ended {
                break;
            }
        }
        self.look_back(ended);
    }

    fn look_back(&self, ended: bool) {
        invariant!(ended, "the heap was not closed in {CLOSES_MAX} times the deadline");
        let counters = self.timers.counters();
        let known = self.oracle.0.lock();
        let count = |is_so: fn(&Watched) -> bool| known.timers.iter().filter(|timer| is_so(timer)).count() as u64;
        let seen = (count(|timer| !timer.refused), count(|timer| timer.called), count(|timer| timer.prevented));
        let counted = (counters.scheduled, counters.fired, counters.prevented);
        invariant!(seen == counted, "scheduled, fired and prevented: {seen:?} were seen, {counted:?} are counted");
        let (seen, counted) = ((known.refused, known.panicked), (counters.refused, counters.panicked));
        invariant!(seen == counted, "refused and panicked: {seen:?} were seen, {counted:?} are counted");
        invariant!(
            counters.scheduled == counters.fired + counters.prevented + counters.dropped_at_close && self.timers.pending() == 0,
            "a timer neither fired nor was prevented nor was dropped at the end: {counters:?}"
        );
        for (number, timer) in known.timers.iter().enumerate() {
            invariant!(timer.dropped, "what the callback of timer {number} captured is left");
        }
    }

    /// Drops this handle, which is not the last.
    pub(crate) fn drop_handle(self) {
        self.oracle.0.lock().drops_begun += 1;
    }

    /// Drops the last handle but for those that callbacks captured. What is returned says how many callbacks are left; if any captured a
    /// handle, all come in their time.
    pub(crate) fn drop_last_handle(self) -> impl Fn() -> usize {
        let oracle = self.oracle.clone();
        self.drop_handle();
        let known = oracle.0.lock();
        // A callback that goes on, or is about to, is not waited for. What it schedules now is refused, and gets no id.
        // And what another cancels or closes, it may be dropping still.
        let is_left = |timer: &&Watched| !timer.dropped && timer.id.is_some() && (timer.called || timer.cancels_begun == 0);
        let left = known.timers.iter().filter(is_left).count();
        let may_be = left <= 1 || known.is_captured || known.closes_begun > 0;
        invariant!(may_be, "{left} callbacks outlive the last handle of their heap");
        drop(known);
        move || oracle.0.lock().timers.iter().filter(|timer| !timer.dropped).count()
    }
}

impl Plan {
    fn perform(self, heap: &Heap, id: TimerId) {
        let number = heap.inside.unwrap_or(usize::MAX);
        match self {
            Plan::Nothing | Plan::Panic => {}
            Plan::Reschedule => heap.schedule(Duration::ZERO, Plan::Nothing),
            Plan::CancelItself => {
                heap.oracle.0.lock().timers[number].cancels_begun += 1;
                heap.oracle.cancelled(number, heap.timers.cancel(id), heap.inside);
            }
            Plan::CancelItselfAndWait => {
                heap.oracle.0.lock().timers[number].cancels_begun += 1;
                heap.oracle.cancelled_and_waited(number, heap.timers.cancel_and_wait(id), heap.inside);
            }
            Plan::Do(Within::Cancel) => heap.perform(Operation::Cancel),
            Plan::Do(Within::CancelAndWait) => heap.perform(Operation::CancelAndWait),
            Plan::Do(Within::Close) => heap.perform(Operation::Close),
        }
    }
}

impl Oracle {
    fn begin_schedule(&self) -> usize {
        let mut known = self.0.lock();
        let number = known.timers.len();
        known.timers.push(Watched { number, ..Watched::default() });
        number
    }

    fn scheduled(&self, number: usize, result: Result<TimerId, TimerError>) {
        let mut known = self.0.lock();
        let timer = known.timers[number];
        match result {
            Ok(id) => {
                invariant!(timer.id.is_none_or(|called| called == id), "timer {number} was called by an id that is not its own");
                known.timers[number].id = Some(id);
            }
            Err(error) => {
                let may_be = match error {
                    TimerError::Full { .. } => true,
                    TimerError::Closed => known.is_ending(),
                    _ => false,
                };
                invariant!(may_be, "a timer is refused: {error}");
                invariant!(timer.dropped && !timer.called, "the callback of a timer that was refused is left, or was called");
                known.timers[number].refused = true;
                known.refused += 1;
            }
        }
    }

    /// The callback begins.
    fn call(&self, number: usize, id: TimerId) {
        let mut known = self.0.lock();
        let timer = known.timers[number];
        invariant!(!timer.called, "the callback of timer {number} comes twice");
        invariant!(!timer.prevented && !timer.silent, "the callback of timer {number} comes after it was cancelled");
        invariant!(!known.closed, "the callback of timer {number} comes after the heap was closed");
        invariant!(timer.id.is_none_or(|own| own == id), "timer {number} is called by an id that is not its own");
        invariant!(known.running.is_none(), "two callbacks go on at once");
        known.running = Some(number);
        let timer = &mut known.timers[number];
        (timer.called, timer.id) = (true, Some(id));
    }

    fn returns(&self, number: usize) {
        let mut known = self.0.lock();
        known.running = None;
        known.timers[number].returned = true;
    }

    /// Picks a timer, but not the one whose callback this is in.
    fn begin_cancel(&self, inside: Option<usize>) -> Option<(usize, TimerId)> {
        let mut known = self.0.lock();
        let numbers: Vec<usize> = (0..known.timers.len()).filter(|number| inside != Some(*number)).collect();
        if numbers.is_empty() {
            return None;
        }
        let timer = &mut known.timers[one_of(&numbers)];
        // Who schedules it may not have heard yet which it is.
        let id = timer.id?;
        timer.cancels_begun += 1;
        Some((timer.number, id))
    }

    fn cancelled(&self, number: usize, cancelled: Cancelled, inside: Option<usize>) {
        let mut known = self.0.lock();
        let timer = known.timers[number];
        let is_own = inside == Some(number);
        match cancelled {
            Cancelled::Prevented => {
                invariant!(!timer.called && !timer.prevented, "timer {number} was prevented, and ran or was prevented before");
                invariant!(timer.dropped, "what the callback of timer {number} captured is left after it was prevented");
                known.timers[number].prevented = true;
            }
            Cancelled::Running => {
                invariant!(
                    !timer.prevented && inside.is_none(),
                    "the callback of timer {number} is said to run on another thread"
                );
            }
            Cancelled::FromCallback => invariant!(is_own, "timer {number} says that it is cancelled from its own callback"),
            Cancelled::Ended => {
                let ran = timer.returned && timer.dropped;
                let may_be = ran || timer.prevented || timer.cancels_begun > 1 || known.is_ending();
                invariant!(may_be && !is_own, "timer {number} is said to have ended");
            }
            other => sim::violated(format!("an answer that nobody knows: {other:?}")),
        }
    }

    fn cancelled_and_waited(&self, number: usize, result: Result<Cancelled, TimerError>, inside: Option<usize>) {
        match result {
            Ok(cancelled) => {
                self.cancelled(number, cancelled, inside);
                let mut known = self.0.lock();
                let timer = &mut known.timers[number];
                if inside != Some(number) {
                    invariant!(!timer.called || timer.returned, "the callback of timer {number} goes on after it was waited for");
                    invariant!(!timer.called || timer.dropped, "what the callback of timer {number} captured outlives the wait");
                    timer.silent = true;
                }
            }
            Err(error) => accept(&error, inside),
        }
    }

    fn begin_close(&self) {
        self.0.lock().closes_begun += 1;
    }

    fn closed(&self, timers: &Timers, result: Result<Closed, TimerError>, inside: Option<usize>) -> bool {
        match result {
            Ok(Closed::FromCallback) => invariant!(inside.is_some(), "a close says that it came from a callback"),
            Ok(closed) => {
                let mut known = self.0.lock();
                invariant!(inside.is_none(), "a close from a callback says {closed:?}");
                invariant!(known.running.is_none(), "a callback goes on after the heap was closed");
                known.closed = true;
                drop(known);
                let left = timers.pending();
                invariant!(closed != Closed::Closed || left == 0, "{left} timers wait after the heap was closed");
            }
            Err(error) => {
                accept(&error, inside);
                return false;
            }
        }
        true
    }
}

impl Known {
    fn is_ending(&self) -> bool {
        self.closes_begun + self.drops_begun > 0
    }
}

impl Drop for Captured {
    fn drop(&mut self) {
        // Were the heap's lock held, this would wait for it for ever.
        if let Some(timers) = self.calls_in.take() {
            timers.counters();
        }
        let mut known = self.oracle.0.lock();
        let timer = &mut known.timers[self.number];
        invariant!(!timer.dropped, "what the callback of timer {} captured is dropped twice", self.number);
        invariant!(!timer.called || timer.returned, "what the callback of timer {} captured is dropped under it", self.number);
        timer.dropped = true;
    }
}

/// The callbacks here take no time, so neither does waiting for one: a wait that took time was not woken when it could go on, and was
/// saved by its deadline.
fn promptly<T>(wait: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let result = wait();
    expect_prompt(began);
    result
}

fn expect_prompt(began: Instant) {
    let took = began.elapsed();
    invariant!(took.is_zero() || time::has_run_ahead(), "a wait took {took:?} though nothing was slow");
}

/// A callback that is slower than the deadline is an answer, but not to itself. Nothing else is.
fn accept(error: &TimerError, inside: Option<usize>) {
    match error {
        TimerError::CallbackGoesOn { .. } if inside.is_none() && time::has_run_ahead() => {}
        error => sim::violated(format!("the heap says: {error}")),
    }
}
