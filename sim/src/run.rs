//! The state of one run under an engine: its threads, objects, time, choices, and what the detectors know.
//!
//! One OS thread carries a run, and everything here is that thread's. Nothing in this module calls an engine; the callers do,
//! with the state put back first.

use crate::choice::{Choice, Kind, mix};
use crate::coverage::Coverage;
use crate::engine::Engine;
use crate::happens::VectorClock;
use crate::order::{Held, OrderGraph};
use crate::strategy::{Bounds, Strategy};
use crate::trace::{Event, Op, Trace, place};
use crate::verdict::{Detector, Finding};
use smallvec::SmallVec;
use std::cell::{Cell, RefCell};
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

pub(crate) type Site = &'static Location<'static>;

/// Which of the costlier detectors look on. The others are part of scheduling itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Detectors {
    /// The lock-order graph (`potential-deadlock`).
    pub lock_order: bool,
    /// Happens-before between threads (`race` on shuttle; loom has its own).
    pub races: bool,
    /// One schedule in a hundred is run twice and compared (`nondeterminism`).
    pub determinism: bool,
}

impl Detectors {
    /// All of them.
    pub const ON: Detectors = Detectors { lock_order: true, races: true, determinism: true };
    /// None of them.
    pub const OFF: Detectors = Detectors { lock_order: false, races: false, determinism: false };
}

/// A step limit for one run: past it the run is taken for a livelock.
pub(crate) const STEPS_MAX: u64 = 1_000_000;
/// So many rounds in which every thread only yielded are a livelock.
const IDLE_ROUNDS_MAX: u32 = 2_000;
/// How long threads may outlive the body, in virtual time.
const AFTERLIFE_NS: u64 = 60_000_000_000;

/// Names an object of a run. Using it in another run is an error that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Obj {
    run: u32,
    pub(crate) id: u32,
}

/// What a thread is blocked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitFor {
    Lock(Obj),
    Thread(u32),
    Wakeup(Obj),
    Sleep,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    Notified,
    TimedOut,
}

#[derive(Debug)]
pub(crate) struct Thread {
    pub(crate) name: Option<Arc<str>>,
    /// Its number in shuttle.
    #[cfg_attr(not(feature = "shuttle"), expect(dead_code, reason = "only shuttle numbers tasks of its own"))]
    pub(crate) task: usize,
    pub(crate) state: State,
    pub(crate) waiting: Option<(WaitFor, Site)>,
    pub(crate) deadline_ns: Option<u64>,
    pub(crate) wake: Option<Wake>,
    /// Counts this thread's waits, so that a late timer does not end a later one.
    pub(crate) wait_number: u32,
    yielded: bool,
    held: SmallVec<[Held; 4]>,
    pub(crate) clock: VectorClock,
    pub(crate) order_clock: VectorClock,
    /// Causal time: what this thread knows to have passed. On shuttle the run's own time is ahead of it.
    pub(crate) now_ns: u64,
    /// On loom: how often a timed wait ended by its time, by place.
    firings: Vec<(Site, u32)>,
    pub(crate) locals: Vec<(usize, std::rc::Rc<dyn std::any::Any>)>,
    #[cfg(feature = "loom")]
    pub(crate) loom: Option<loom::thread::Thread>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Ready,
    Blocked,
    Finished,
}

#[derive(Debug)]
struct Object {
    kind: &'static str,
    nature: Nature,
    site: Site,
    owner: Option<u32>,
    /// How often the owner of a reentrant lock holds it.
    depth: u32,
    /// Writers that wait for a read-write lock: new readers wait behind them, as parking_lot's do.
    writers_waiting: u32,
    shared: SmallVec<[u32; 4]>,
    waiters: SmallVec<[u32; 4]>,
    clock: VectorClock,
    order_clock: VectorClock,
    now_ns: u64,
    /// For checked cells: the last write, and each thread's last read.
    write: Option<(u32, u32, Site)>,
    reads: SmallVec<[(u32, u32, Site); 2]>,
    /// For ledger entries.
    released: Option<(u32, Site)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nature {
    /// A lock, a condition, an atomic, a cell.
    Primitive,
    /// A lock that its owner may take again.
    Reentrant,
    /// A resource in the ledger.
    Resource,
}

#[derive(Debug)]
struct ActiveOperation {
    thread: u32,
    name: &'static str,
    deadline_ns: Option<u64>,
    allowed: Duration,
    site: Site,
}

/// A failure, with all that replays and explains it.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) finding: Finding,
    pub(crate) choices: Vec<Choice>,
    pub(crate) hash: u64,
    pub(crate) trace: Option<Trace>,
    pub(crate) index: u64,
    pub(crate) coverage: Coverage,
    /// A bound ended this run: nothing was found, and nothing is clean.
    pub(crate) inconclusive: bool,
    pub(crate) misfit: Option<String>,
}

/// What an engine's OS thread tells the thread that waits for it.
pub(crate) enum Message {
    /// A failure. The OS thread that sent it stays where it is for ever: unwinding a run in the middle of an engine runs
    /// destructors that lock and panic again.
    Found(Box<Found>),
    /// The engine itself panicked.
    Broke(String),
    /// On loom: mutexes made at this place are tried, which loom's own cannot bear; to be run again with ours.
    #[cfg_attr(not(feature = "loom"), expect(dead_code, reason = "only loom begins again"))]
    TriedMutex(Site),
    /// Exploration ended.
    Done(Box<Done>),
}

/// How an exploration ended without a failure.
#[derive(Debug, Default)]
pub(crate) struct Done {
    pub(crate) schedules: u64,
    pub(crate) exhausted: bool,
    pub(crate) coverage: Coverage,
    pub(crate) potential: Option<Box<Found>>,
    /// The last run, for replays.
    pub(crate) last: Option<Box<Found>>,
    /// What was learnt of which mutexes guard conditions.
    pub(crate) condition_sites: Vec<Site>,
}

pub(crate) struct Run {
    pub(crate) engine: Engine,
    epoch: u32,
    pub(crate) detectors: Detectors,
    pub(crate) bounds: Bounds,
    pub(crate) threads: Vec<Thread>,
    objects: Vec<Object>,
    pub(crate) now_ns: u64,
    pub(crate) wall_offset_ns: i64,
    /// The thread that the scheduler is to run next.
    pub(crate) next: Option<u32>,
    options: Vec<u32>,
    pub(crate) strategy: Strategy,
    pub(crate) choices: Vec<Choice>,
    pub(crate) hash: u64,
    pub(crate) steps: u64,
    timers: u32,
    yielding: u32,
    idle_rounds: u32,
    main_ended_ns: Option<u64>,
    order: OrderGraph,
    /// On loom: creation sites of mutexes that somebody tries for.
    pub(crate) tried_sites: Vec<Site>,
    /// Creation sites of mutexes that guard a condition: what such a mutex guards is ordered by it.
    pub(crate) condition_sites: Vec<Site>,
    operations: Vec<ActiveOperation>,
    #[cfg(feature = "loom")]
    last_access: Option<(Obj, bool, Site)>,
    /// A copy of the choices that another OS thread can read while a step does not return.
    pub(crate) mirror: Option<Arc<parking_lot::Mutex<Vec<Choice>>>>,
    pub(crate) coverage: Coverage,
    trace: Option<Trace>,
    pub(crate) potential: Option<Box<Found>>,
    pub(crate) potential_here: Option<Finding>,
    /// On loom: threads that were woken and are to be unparked once the state is put back.
    #[cfg(feature = "loom")]
    pub(crate) to_unpark: Vec<loom::thread::Thread>,
    pub(crate) index: u64,
    pub(crate) exhausted: bool,
    pub(crate) progress: Arc<Progress>,
    pub(crate) outbox: Option<Sender<Message>>,
}

/// What the waiting thread may look at while a run goes on.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    pub(crate) schedules: AtomicU64,
    pub(crate) steps: AtomicU64,
}

thread_local! {
    static RUN: RefCell<Option<Box<Run>>> = const { RefCell::new(None) };
    static CURRENT: Cell<u32> = const { Cell::new(0) };
}

/// The facade thread that runs now on this OS thread.
#[inline]
pub(crate) fn me() -> u32 {
    CURRENT.get()
}

#[inline]
pub(crate) fn set_me(thread: u32) {
    CURRENT.set(thread);
}

/// Looks at the run of this OS thread.
#[inline]
pub(crate) fn with<R>(f: impl FnOnce(&mut Run) -> R) -> R {
    RUN.with_borrow_mut(|run| f(run.as_mut().expect("a modelled primitive is used only while a run goes on")))
}

pub(crate) fn try_with<R>(f: impl FnOnce(&mut Run) -> R) -> Option<R> {
    RUN.try_with(|run| run.try_borrow_mut().ok().and_then(|mut run| run.as_mut().map(|run| f(run)))).ok().flatten()
}

pub(crate) fn install(run: Run) {
    RUN.set(Some(Box::new(run)));
}

pub(crate) fn uninstall() -> Option<Box<Run>> {
    RUN.take()
}

/// Ends the check with a failure: tells the waiting thread, and never returns.
pub(crate) fn fail(finding: Finding) -> ! {
    let (outbox, found) = with(|run| (run.outbox.take(), run.found(finding)));
    report(outbox, found)
}

/// Ends the check because a bound was met.
#[cfg(feature = "loom")]
pub(crate) fn give_up(why: String) -> ! {
    let (outbox, found) = with(|run| {
        let mut found = run.found(Finding::new(Detector::Invariant, why));
        found.inconclusive = true;
        (run.outbox.take(), found)
    });
    report(outbox, found)
}

/// On loom: has the check begin again, with a mutex of ours in the place of loom's own.
#[cfg(feature = "loom")]
pub(crate) fn begin_again_with_tried(obj: Obj) -> ! {
    let (outbox, site) = with(|run| (run.outbox.take(), run.object(obj).site));
    if let Some(outbox) = outbox {
        let _ = outbox.send(Message::TriedMutex(site));
    }
    loop {
        std::thread::park();
    }
}

fn report(outbox: Option<Sender<Message>>, found: Found) -> ! {
    if let Some(outbox) = outbox {
        // The receiver may have given up on us; then nobody wants to know.
        let _ = outbox.send(Message::Found(Box::new(found)));
    }
    loop {
        std::thread::park();
    }
}

impl Run {
    pub(crate) fn new(
        engine: Engine,
        strategy: Strategy,
        bounds: Bounds,
        detectors: Detectors,
        outbox: Sender<Message>,
        progress: Arc<Progress>,
    ) -> Run {
        Run {
            engine,
            epoch: 0,
            detectors,
            bounds,
            threads: Vec::new(),
            objects: Vec::new(),
            now_ns: 0,
            wall_offset_ns: 0,
            next: None,
            options: Vec::new(),
            strategy,
            choices: Vec::new(),
            hash: 0,
            steps: 0,
            timers: 0,
            yielding: 0,
            idle_rounds: 0,
            main_ended_ns: None,
            order: OrderGraph::default(),
            tried_sites: Vec::new(),
            condition_sites: Vec::new(),
            operations: Vec::new(),
            #[cfg(feature = "loom")]
            last_access: None,
            mirror: None,
            coverage: Coverage::default(),
            trace: None,
            potential: None,
            potential_here: None,
            #[cfg(feature = "loom")]
            to_unpark: Vec::new(),
            index: 0,
            exhausted: false,
            progress,
            outbox: Some(outbox),
        }
    }

    /// Forgets the last run and begins another.
    pub(crate) fn begin(&mut self, index: u64, record: bool) {
        self.index = index;
        self.epoch = self.epoch.wrapping_add(1);
        self.threads.clear();
        self.objects.clear();
        self.now_ns = 0;
        self.wall_offset_ns = 0;
        self.next = None;
        self.choices.clear();
        self.hash = 0;
        self.steps = 0;
        self.timers = 0;
        self.yielding = 0;
        self.idle_rounds = 0;
        self.main_ended_ns = None;
        self.order.clear();
        self.operations.clear();
        self.potential_here = None;
        self.trace = record.then(Trace::default);
        if let Some(mirror) = &self.mirror {
            mirror.lock().clear();
        }
        self.progress.schedules.fetch_add(1, Ordering::Relaxed);
        set_me(0);
        self.spawn(Some("main".into()));
    }

    /// What the run was, after it ended.
    pub(crate) fn found(&mut self, finding: Finding) -> Found {
        let mut trace = self.trace.take();
        if let Some(trace) = &mut trace {
            trace.threads = (0..self.threads.len() as u32).map(|thread| self.thread_name(thread)).collect();
        }
        Found {
            finding,
            choices: self.choices.clone(),
            hash: self.hash,
            trace,
            index: self.index,
            coverage: std::mem::take(&mut self.coverage),
            inconclusive: false,
            misfit: self.strategy.misfit(),
        }
    }

    /// Keeps the first run whose locks could have closed a cycle. Exploring goes on: it may yet close.
    pub(crate) fn keep_potential(&mut self) {
        if let Some(finding) = self.potential_here.take()
            && self.potential.is_none()
        {
            let coverage = self.coverage.clone();
            self.potential = Some(Box::new(self.found(finding)));
            self.coverage = coverage;
        }
    }

    pub(crate) fn take_trace(&mut self) -> Trace {
        self.found(Finding::new(Detector::Nondeterminism, "")).trace.unwrap_or_default()
    }

    // Threads.

    pub(crate) fn spawn(&mut self, name: Option<Arc<str>>) -> u32 {
        let id = self.threads.len() as u32;
        let (mut clock, mut order_clock, mut now_ns) = (VectorClock::default(), VectorClock::default(), 0);
        if let Some(parent) = self.threads.get_mut(if id == 0 { usize::MAX } else { me() as usize }) {
            clock = parent.clock.clone();
            order_clock = parent.order_clock.clone();
            now_ns = parent.now_ns;
            parent.clock.tick(me() as usize);
            parent.order_clock.tick(me() as usize);
        }
        clock.tick(id as usize);
        order_clock.tick(id as usize);
        self.threads.push(Thread {
            name,
            task: id as usize,
            state: State::Ready,
            waiting: None,
            deadline_ns: None,
            wake: None,
            wait_number: 0,
            yielded: false,
            held: SmallVec::new(),
            clock,
            order_clock,
            now_ns,
            firings: Vec::new(),
            locals: Vec::new(),
            #[cfg(feature = "loom")]
            loom: None,
        });
        id
    }

    pub(crate) fn thread_name(&self, thread: u32) -> String {
        match self.threads.get(thread as usize).and_then(|thread| thread.name.as_deref()) {
            Some(name) => name.to_owned(),
            None => format!("thread-{thread}"),
        }
    }

    /// Marks `thread` as ended and wakes who waits for that. True if no thread is left.
    pub(crate) fn finish(&mut self, thread: u32) -> bool {
        self.idle_rounds = 0;
        if self.threads[thread as usize].yielded {
            self.threads[thread as usize].yielded = false;
            self.yielding -= 1;
        }
        self.threads[thread as usize].state = State::Finished;
        if thread == 0 {
            self.main_ended_ns = Some(self.now_ns);
        }
        for other in 0..self.threads.len() as u32 {
            if matches!(self.threads[other as usize].waiting, Some((WaitFor::Thread(target), _)) if target == thread) {
                self.wake(other, Wake::Notified);
            }
        }
        self.threads.iter().all(|thread| thread.state == State::Finished)
    }

    /// What is wrong with a run that has ended: resources left.
    pub(crate) fn leftovers(&self) -> Option<Finding> {
        let mut left = self.objects.iter().filter(|object| object.nature == Nature::Resource && object.released.is_none());
        let first = left.next()?;
        let tell = |object: &Object| format!("{} registered at {}", object.kind, place(object.site));
        let mut finding = Finding::new(Detector::Leak, format!("{} was never released", tell(first)));
        for object in left {
            finding = finding.with(format!("nor was {}", tell(object)));
        }
        Some(finding)
    }

    /// `other` learns what the current thread knows.
    pub(crate) fn inform(&mut self, other: u32) {
        let from = me() as usize;
        if from == other as usize {
            return;
        }
        if let Ok([from_thread, to]) = self.threads.get_disjoint_mut([from, other as usize]) {
            to.clock.join(&from_thread.clock);
            to.order_clock.join(&from_thread.order_clock);
            to.now_ns = to.now_ns.max(from_thread.now_ns);
            from_thread.clock.tick(from);
            from_thread.order_clock.tick(from);
        }
    }

    /// The current thread learns what `other`, which has ended, knew.
    pub(crate) fn learn_from(&mut self, other: u32) {
        let to = me() as usize;
        if let Ok([from, to]) = self.threads.get_disjoint_mut([other as usize, to]) {
            to.clock.join(&from.clock);
            to.order_clock.join(&from.order_clock);
            to.now_ns = to.now_ns.max(from.now_ns);
        }
    }

    // Objects.

    pub(crate) fn create(&mut self, kind: &'static str, nature: Nature, site: Site) -> Obj {
        let id = self.objects.len() as u32;
        self.objects.push(Object {
            kind,
            nature,
            site,
            owner: None,
            depth: 0,
            writers_waiting: 0,
            shared: SmallVec::new(),
            waiters: SmallVec::new(),
            clock: VectorClock::default(),
            order_clock: VectorClock::default(),
            now_ns: 0,
            write: None,
            reads: SmallVec::new(),
            released: None,
        });
        Obj { run: self.epoch, id }
    }

    #[track_caller]
    fn object(&mut self, obj: Obj) -> &mut Object {
        assert!(
            obj.run == self.epoch,
            "a primitive made in one run was used in another: a static outlives its run and carries state from one to the next"
        );
        &mut self.objects[obj.id as usize]
    }

    pub(crate) fn object_name(&self, obj: Obj) -> String {
        let object = &self.objects[obj.id as usize];
        format!("{} of {}", object.kind, place(object.site))
    }

    // Steps.

    /// Notes a step of `thread`.
    #[inline]
    pub(crate) fn record(&mut self, thread: u32, op: Op, obj: Option<Obj>, site: Site) {
        let id = obj.map_or(u64::from(u32::MAX), |obj| u64::from(obj.id));
        self.hash = mix(self.hash, (id << 32) | (u64::from(thread) << 8) | op as u64);
        self.steps += 1;
        if self.steps & 0xff == 0 {
            self.progress.steps.fetch_add(1, Ordering::Relaxed);
        }
        if self.trace.is_some() {
            self.record_event(thread, op, obj, site);
        }
    }

    #[cold]
    fn record_event(&mut self, thread: u32, op: Op, obj: Option<Obj>, site: Site) {
        let object = obj.map(|obj| self.object_name(obj)).unwrap_or_default();
        let now_ns = self.now(thread);
        let choices = self.choices.len() as u64;
        if let Some(trace) = &mut self.trace {
            trace.events.push(Event { thread, now_ns, op, object, site: place(site), choices });
        }
    }

    /// The time that `thread` sees.
    pub(crate) fn now(&self, thread: u32) -> u64 {
        match self.engine {
            Engine::Loom => self.threads[thread as usize].now_ns,
            _ => self.now_ns,
        }
    }

    /// A choice of the program or of a primitive.
    pub(crate) fn choose(&mut self, kind: Kind, arity: u64) -> u64 {
        if arity <= 1 {
            return 0;
        }
        let value = self.strategy.choose(kind, arity);
        self.push_choice(Choice { kind, arity, value, preempts: false });
        value
    }

    #[inline]
    fn push_choice(&mut self, choice: Choice) {
        self.hash = mix(self.hash, (u64::from(choice.kind.code()) << 56) ^ (choice.arity << 24) ^ choice.value);
        self.choices.push(choice);
        if let Some(mirror) = &self.mirror {
            mirror.lock().push(choice);
        }
    }

    // Scheduling (shuttle and cases).

    /// A point at which another thread may run: true if one is to.
    #[inline]
    pub(crate) fn point(&mut self, me: u32, progresses: bool) -> Result<bool, Finding> {
        self.strategy.stepped(me);
        if self.steps > STEPS_MAX {
            return Err(self.endless());
        }
        if progresses && self.yielding > 0 {
            self.stop_yielding();
        }
        if self.timers > 0 {
            self.fire_early();
        }
        if self.threads.len() == 1 {
            return Ok(false);
        }
        self.options.clear();
        self.options.push(me);
        for (id, thread) in self.threads.iter().enumerate() {
            if thread.state == State::Ready && id as u32 != me && !thread.yielded {
                self.options.push(id as u32);
            }
        }
        Ok(self.pick(true) != me)
    }

    /// The current thread lets others run first: true if one is to.
    pub(crate) fn yield_point(&mut self, me: u32) -> Result<bool, Finding> {
        self.strategy.stepped(me);
        if self.steps > STEPS_MAX {
            return Err(self.endless());
        }
        if !self.threads[me as usize].yielded {
            self.threads[me as usize].yielded = true;
            self.yielding += 1;
        }
        self.pick_ready(me).map(|picked| picked != me)
    }

    /// The current thread has blocked or ended: picks who runs. It may be the current thread, if its time came.
    pub(crate) fn pick_ready(&mut self, me: u32) -> Result<u32, Finding> {
        if self.timers > 0 && self.threads.iter().any(|thread| thread.state == State::Ready && !thread.yielded) {
            self.fire_early();
        }
        loop {
            self.options.clear();
            for (id, thread) in self.threads.iter().enumerate() {
                if thread.state == State::Ready && !thread.yielded {
                    self.options.push(id as u32);
                }
            }
            if !self.options.is_empty() {
                // The dull answer is the current thread, where it can run.
                if let Some(position) = self.options.iter().position(|&id| id == me) {
                    self.options[..=position].rotate_right(1);
                }
                return Ok(self.pick(false));
            }
            if self.yielding > 0 {
                self.idle_rounds += 1;
                if self.idle_rounds > IDLE_ROUNDS_MAX {
                    return Err(self.livelock());
                }
                if self.timers > 0 {
                    self.advance()?;
                } else {
                    self.now_ns += 1_000_000;
                    self.check_deadlines(self.now_ns)?;
                }
                self.stop_yielding();
            } else if self.timers > 0 {
                self.advance()?;
            } else {
                return Err(self.stuck());
            }
        }
    }

    #[inline]
    fn pick(&mut self, preempts: bool) -> u32 {
        let me = me();
        if self.options.len() == 1 {
            let picked = self.options[0];
            self.next = (picked != me).then_some(picked);
            return picked;
        }
        let value = self.strategy.schedule(&self.options, preempts);
        let arity = self.options.len() as u64;
        self.push_choice(Choice { kind: Kind::Schedule, arity, value: value as u64, preempts });
        let picked = self.options[value];
        // Set for a switch only: an answer that nobody collects would be taken for the next one.
        self.next = (picked != me).then_some(picked);
        picked
    }

    fn stop_yielding(&mut self) {
        self.threads.iter_mut().for_each(|thread| thread.yielded = false);
        self.yielding = 0;
    }

    // Time.

    fn fire_early(&mut self) {
        if self.choose(Kind::Timer, 2) == 1
            && let Some(earliest) = self.earliest_deadline()
        {
            self.fire(earliest);
        }
    }

    fn earliest_deadline(&self) -> Option<u64> {
        self.threads.iter().filter(|thread| thread.state == State::Blocked).filter_map(|thread| thread.deadline_ns).min()
    }

    /// Nothing can run: time passes to the next timer.
    fn advance(&mut self) -> Result<(), Finding> {
        let Some(earliest) = self.earliest_deadline() else { return Err(self.stuck()) };
        self.check_deadlines(earliest)?;
        if let Some(ended) = self.main_ended_ns
            && earliest > ended.saturating_add(AFTERLIFE_NS)
        {
            let alive: Vec<String> = self.unfinished().map(|thread| self.thread_name(thread)).collect();
            let reason = format!("{} still ran 60 s after the body had ended", alive.join(", "));
            return Err(Finding::new(Detector::Leak, reason));
        }
        self.fire(earliest);
        Ok(())
    }

    fn fire(&mut self, until_ns: u64) {
        self.now_ns = self.now_ns.max(until_ns);
        for id in 0..self.threads.len() {
            let thread = &self.threads[id];
            if thread.state == State::Blocked && thread.deadline_ns.is_some_and(|deadline| deadline <= self.now_ns) {
                self.wake(id as u32, Wake::TimedOut);
            }
        }
    }

    /// Every thread is blocked and time is about to pass to `until_ns`: is that past what an operation allows itself?
    fn check_deadlines(&self, until_ns: u64) -> Result<(), Finding> {
        let is_late = |operation: &&ActiveOperation| operation.deadline_ns.is_some_and(|deadline| deadline < until_ns);
        let Some(operation) = self.operations.iter().find(is_late) else { return Ok(()) };
        // All that go on with a deadline, as which of them is late first is a matter of the schedule.
        let timed = self.operations.iter().filter(|operation| operation.deadline_ns.is_some());
        let mut reason: Vec<String> = timed
            .map(|operation| {
                format!("{} of {} (within {:?})", operation.name, self.thread_name(operation.thread), operation.allowed)
            })
            .collect();
        reason.sort();
        let mut finding = Finding::new(Detector::Hang, format!("{} did not end", reason.join(" and ")))
            .with(format!("entered at {}", place(operation.site)));
        for line in self.tell_waits() {
            finding = finding.with(line);
        }
        Err(finding)
    }

    // Blocking.

    /// The current thread blocks. The caller then lets the engine run another.
    pub(crate) fn block(&mut self, me: u32, wait: WaitFor, deadline_ns: Option<u64>, site: Site) -> Result<(), Finding> {
        let thread = &mut self.threads[me as usize];
        thread.state = State::Blocked;
        thread.waiting = Some((wait, site));
        thread.wake = None;
        thread.wait_number += 1;
        thread.deadline_ns = deadline_ns;
        if deadline_ns.is_some() {
            self.timers += 1;
        } else if let Some(cycle) = self.cycle_from(me) {
            return Err(self.deadlock(&cycle));
        }
        Ok(())
    }

    /// Makes a blocked thread ready. A wake-up that comes before the thread has run again after its time counts as the wake-up.
    pub(crate) fn wake(&mut self, target: u32, wake: Wake) {
        let thread = &mut self.threads[target as usize];
        if thread.wake != Some(Wake::Notified) {
            thread.wake = Some(wake);
        }
        if thread.state == State::Blocked {
            thread.state = State::Ready;
            if thread.deadline_ns.is_some() {
                self.timers -= 1;
            }
            if wake == Wake::Notified {
                self.idle_rounds = 0;
            }
            #[cfg(feature = "loom")]
            if !matches!(self.threads[target as usize].waiting, Some((WaitFor::Thread(_), _))) {
                // Who joins is blocked inside loom, where an unpark would let it go on without its thread.
                self.to_unpark.extend(self.threads[target as usize].loom.clone());
            }
        }
    }

    /// The current thread runs again after [`Run::block`].
    pub(crate) fn unblocked(&mut self, me: u32) -> Wake {
        let thread = &mut self.threads[me as usize];
        let wake = thread.wake.take().unwrap_or(Wake::Notified);
        let waited = thread.waiting.take();
        let timed = thread.deadline_ns.take();
        if let Some((wait, site)) = waited {
            if let Some(deadline) = timed {
                let fired = wake == Wake::TimedOut;
                if fired {
                    thread.now_ns = thread.now_ns.max(deadline);
                }
                self.coverage.timer(site, fired);
            }
            let obj = match wait {
                WaitFor::Lock(obj) | WaitFor::Wakeup(obj) => Some(obj),
                WaitFor::Thread(_) | WaitFor::Sleep => None,
            };
            self.record(me, if wake == Wake::TimedOut { Op::TimedOut } else { Op::Woken }, obj, site);
        }
        wake
    }

    /// On loom: whether a timed wait of this thread at this place may still end by its time.
    pub(crate) fn may_fire(&mut self, me: u32, site: Site) -> bool {
        let bound = self.bounds.firings;
        let thread = &mut self.threads[me as usize];
        let count = match thread.firings.iter().position(|(place, _)| std::ptr::eq(*place, site)) {
            Some(position) => &mut thread.firings[position].1,
            None => {
                thread.firings.push((site, 0));
                &mut thread.firings.last_mut().expect("it was pushed just now").1
            }
        };
        let may = *count < bound;
        *count += 1;
        may
    }

    fn unfinished(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.threads.len() as u32).filter(|&thread| self.threads[thread as usize].state != State::Finished)
    }

    // Locks.

    /// The current thread is about to ask for a lock that it is ready to wait for.
    pub(crate) fn ask_lock(&mut self, me: u32, obj: Obj, shared: bool, site: Site) {
        self.object(obj);
        if self.detectors.lock_order && !self.threads[me as usize].held.is_empty() {
            let to = Held { lock: obj.id, shared, site };
            let thread = &self.threads[me as usize];
            if let Some(cycle) = self.order.ask(me, &thread.held, &to, &thread.order_clock)
                && self.potential_here.is_none()
            {
                let lock = |id: u32| self.object_name(Obj { run: self.epoch, id });
                let mut locks: Vec<String> = cycle.steps.iter().map(|(_, from, _)| lock(from.lock)).collect();
                locks.sort();
                let mut finding = Finding::new(
                    Detector::PotentialDeadlock,
                    format!("these locks are taken in both orders: {}", locks.join(", ")),
                );
                for (thread, from, to) in &cycle.steps {
                    finding = finding.with(format!(
                        "{} holds {} (taken at {}) and asks for {} at {}",
                        self.thread_name(*thread),
                        lock(from.lock),
                        place(from.site),
                        lock(to.lock),
                        place(to.site)
                    ));
                }
                self.potential_here = Some(finding);
            }
        }
    }

    /// Whether a lock can be had now by `me`, which may already stand in line (`waits`).
    pub(crate) fn lock_is_free_after(&mut self, me: u32, obj: Obj, shared: bool, waits: bool) -> bool {
        let object = self.object(obj);
        if shared {
            // A reader that was let through the line when it was woken does not stand behind later writers.
            return object.owner.is_none() && (waits || object.writers_waiting == 0);
        }
        let mine = |owner| owner == me && object.nature == Nature::Reentrant;
        object.owner.is_none_or(mine) && object.shared.is_empty()
    }

    /// Loom gave the current thread the lock that it had blocked for.
    #[cfg(feature = "loom")]
    pub(crate) fn had_lock(&mut self, me: u32) {
        let thread = &mut self.threads[me as usize];
        thread.state = State::Ready;
        thread.waiting = None;
        thread.wake = None;
    }

    /// The current thread has the lock.
    pub(crate) fn locked(&mut self, me: u32, obj: Obj, shared: bool, site: Site) {
        let races = self.detectors.races;
        let orders = self.detectors.lock_order && !self.condition_sites.is_empty() && {
            let made = self.objects[obj.id as usize].site;
            self.condition_sites.iter().any(|site| std::ptr::eq(*site, made))
        };
        let object = self.object(obj);
        if shared {
            object.shared.push(me);
        } else {
            object.owner = Some(me);
            object.depth += 1;
            if object.depth > 1 {
                return;
            }
        }
        let object = &self.objects[obj.id as usize];
        let thread = &mut self.threads[me as usize];
        if races {
            thread.clock.join(&object.clock);
        }
        if orders {
            thread.order_clock.join(&object.order_clock);
        }
        thread.now_ns = thread.now_ns.max(object.now_ns);
        thread.held.push(Held { lock: obj.id, shared, site });
        if self.trace.is_some() {
            self.record_event(me, Op::Locked, Some(obj), site);
        }
    }

    /// The current thread gives a lock back; who waited for it may try again.
    pub(crate) fn unlocked(&mut self, me: u32, obj: Obj, shared: bool) {
        let (races, lock_order) = (self.detectors.races, self.detectors.lock_order);
        let object = &mut self.objects[obj.id as usize];
        if shared {
            if let Some(position) = object.shared.iter().position(|&reader| reader == me) {
                object.shared.swap_remove(position);
            }
        } else {
            object.depth -= 1;
            if object.depth > 0 {
                return;
            }
            object.owner = None;
        }
        let thread = &mut self.threads[me as usize];
        if let Some(position) = thread.held.iter().rposition(|held| held.lock == obj.id) {
            let held = thread.held.remove(position);
            if self.trace.is_some() {
                self.record_event(me, Op::Unlock, Some(obj), held.site);
            }
        }
        let thread = &mut self.threads[me as usize];
        let object = &mut self.objects[obj.id as usize];
        if races {
            object.clock.join(&thread.clock);
            thread.clock.tick(me as usize);
        }
        if lock_order {
            object.order_clock.join(&thread.order_clock);
            thread.order_clock.tick(me as usize);
        }
        object.now_ns = object.now_ns.max(thread.now_ns);
        for waiter in std::mem::take(&mut self.objects[obj.id as usize].waiters) {
            self.wake(waiter, Wake::Notified);
        }
    }

    /// `waiter` stands in line at `obj`.
    pub(crate) fn queue_for(&mut self, obj: Obj, waiter: u32) {
        let object = self.object(obj);
        if !object.waiters.contains(&waiter) {
            object.waiters.push(waiter);
        }
    }

    pub(crate) fn leave_queue(&mut self, obj: Obj, waiter: u32) {
        self.object(obj).waiters.retain(|other| *other != waiter);
    }

    /// How many stand in line at `obj`.
    pub(crate) fn queue_len(&mut self, obj: Obj) -> u64 {
        self.object(obj).waiters.len() as u64
    }

    /// Takes the one at `position` out of the line at `obj`.
    pub(crate) fn leave_queue_at(&mut self, obj: Obj, position: u64) -> u32 {
        self.object(obj).waiters.remove(position as usize)
    }

    /// A writer began or ended waiting for a read-write lock. When none waits any more the readers behind may try again.
    pub(crate) fn writer_waits(&mut self, obj: Obj, waits: bool) {
        let object = self.object(obj);
        if waits {
            object.writers_waiting += 1;
            return;
        }
        object.writers_waiting -= 1;
        if object.writers_waiting == 0 && object.owner.is_none() {
            for waiter in std::mem::take(&mut object.waiters) {
                self.wake(waiter, Wake::Notified);
            }
        }
    }

    /// A mutex is used with a condition variable.
    pub(crate) fn guards_condition(&mut self, obj: Obj) {
        let site = self.object(obj).site;
        if !self.condition_sites.iter().any(|known| std::ptr::eq(*known, site)) {
            self.condition_sites.push(site);
        }
    }

    /// The current thread enters or leaves a primitive's own critical section, or does an atomic access.
    pub(crate) fn acquire(&mut self, me: u32, obj: Obj, orders: bool) {
        self.object(obj);
        let object = &self.objects[obj.id as usize];
        let thread = &mut self.threads[me as usize];
        if self.detectors.races {
            thread.clock.join(&object.clock);
        }
        if orders {
            thread.order_clock.join(&object.order_clock);
        }
        thread.now_ns = thread.now_ns.max(object.now_ns);
    }

    pub(crate) fn release(&mut self, me: u32, obj: Obj, orders: bool) {
        let object = &mut self.objects[obj.id as usize];
        let thread = &mut self.threads[me as usize];
        if self.detectors.races {
            object.clock.join(&thread.clock);
            thread.clock.tick(me as usize);
        }
        if orders {
            object.order_clock.join(&thread.order_clock);
            thread.order_clock.tick(me as usize);
        }
        object.now_ns = object.now_ns.max(thread.now_ns);
    }

    // Checked cells.

    /// An access to a checked cell: the race that it makes, if any.
    pub(crate) fn access(&mut self, me: u32, obj: Obj, writes: bool, site: Site) -> Option<Finding> {
        if !self.detectors.races {
            return None;
        }
        self.object(obj);
        let object = &mut self.objects[obj.id as usize];
        let thread = &self.threads[me as usize];
        let now = (me, thread.clock.of(me as usize), site);
        let unordered = |&(other, count, _): &(u32, u32, Site)| other != me && !thread.clock.knows(other as usize, count);
        let racing = object.write.filter(unordered).map(|access| (access, "write"));
        let racing = racing.or_else(|| {
            let read = if writes { object.reads.iter().copied().find(unordered) } else { None };
            read.map(|access| (access, "read"))
        });
        if writes {
            object.write = Some(now);
            object.reads.clear();
        } else {
            object.reads.retain(|(reader, ..)| *reader != me);
            object.reads.push(now);
        }
        let ((other, _, other_site), what) = racing?;
        let mine = if writes { "write" } else { "read" };
        let mut pair = [format!("{mine} at {}", place(site)), format!("{what} at {}", place(other_site))];
        pair.sort();
        Some(
            Finding::new(Detector::Race, format!("{}: {} and {} are not ordered", self.object_name(obj), pair[0], pair[1]))
                .with(format!("the {mine} is by {}, the {what} by {}", self.thread_name(me), self.thread_name(other))),
        )
    }

    /// On loom, which finds races itself: who accessed a cell, and where.
    #[cfg(feature = "loom")]
    pub(crate) fn note_access(&mut self, me: u32, obj: Obj, writes: bool, site: Site) {
        self.object(obj);
        self.last_access = Some((obj, writes, site));
        let object = &mut self.objects[obj.id as usize];
        object.reads.retain(|(reader, ..)| *reader != me);
        object.reads.push((me, u32::from(writes), site));
    }

    /// The race that loom has seen at the access noted last.
    #[cfg(feature = "loom")]
    pub(crate) fn loom_race(&self) -> Finding {
        let Some((obj, writes, site)) = self.last_access else {
            return Finding::new(Detector::Race, "loom saw a race outside the facade");
        };
        let tell = |writes, site| format!("{} at {}", if writes { "write" } else { "read" }, place(site));
        let others = self.objects[obj.id as usize]
            .reads
            .iter()
            .filter(|(_, other_writes, other_site)| !std::ptr::eq(*other_site, site) && (writes || *other_writes == 1));
        let mut pair = vec![tell(writes, site)];
        pair.extend(others.map(|(_, writes, site)| tell(*writes == 1, site)));
        pair.sort();
        Finding::new(Detector::Race, format!("{}: {} are not ordered", self.object_name(obj), pair.join(" and ")))
    }

    // The ledger.

    pub(crate) fn register(&mut self, kind: &'static str, site: Site) -> Obj {
        self.create(kind, Nature::Resource, site)
    }

    pub(crate) fn use_resource(&mut self, me: u32, obj: Obj, releases: bool, site: Site) -> Result<(), Finding> {
        let name = self.object_name(obj);
        let user = self.thread_name(me);
        let dead = self.object(obj).released;
        match dead {
            Some((by, at)) => {
                let (detector, what) = match releases {
                    true => (Detector::DoubleRelease, "released again"),
                    false => (Detector::UseAfterRelease, "used"),
                };
                Err(Finding::new(detector, format!("{name} was {what} at {} after its release at {}", place(site), place(at)))
                    .with(format!("released by {}, then {what} by {user}", self.thread_name(by))))
            }
            None => {
                if releases {
                    self.object(obj).released = Some((me, site));
                }
                Ok(())
            }
        }
    }

    // Operations.

    pub(crate) fn enter_operation(&mut self, me: u32, name: &'static str, allowed: Option<Duration>, site: Site) {
        for other in &self.operations {
            if other.thread != me {
                self.coverage.overlapped(name, other.name);
            }
        }
        self.coverage.entered(name);
        let now_ns = self.now(me);
        // Loom has no time that passes by itself, so an operation cannot be late there.
        let deadline_ns = allowed.filter(|_| self.engine != Engine::Loom).map(|allowed| now_ns.saturating_add(nanos(allowed)));
        self.operations.push(ActiveOperation { thread: me, name, deadline_ns, allowed: allowed.unwrap_or_default(), site });
        self.record(me, Op::OperationBegin, None, site);
        self.name_last_event(name);
    }

    pub(crate) fn leave_operation(&mut self, me: u32, name: &'static str) {
        if let Some(position) = self.operations.iter().rposition(|operation| operation.thread == me && operation.name == name) {
            let operation = self.operations.remove(position);
            self.record(me, Op::OperationEnd, None, operation.site);
            self.name_last_event(name);
        }
    }

    pub(crate) fn name_last_event(&mut self, name: &str) {
        if let Some(event) = self.trace.as_mut().and_then(|trace| trace.events.last_mut()) {
            event.object = name.to_owned();
        }
    }

    // Waits.

    /// Whom `thread` waits for, if its wait has no time and can be ended by particular threads only.
    fn blockers(&self, thread: u32) -> SmallVec<[u32; 4]> {
        let waiter = &self.threads[thread as usize];
        if waiter.state != State::Blocked || waiter.deadline_ns.is_some() {
            return SmallVec::new();
        }
        match waiter.waiting {
            Some((WaitFor::Lock(obj), _)) => {
                // A reader behind a waiting writer waits for the readers that the writer waits for.
                let object = &self.objects[obj.id as usize];
                let mut blockers: SmallVec<[u32; 4]> = object.shared.clone();
                blockers.extend(object.owner);
                blockers
            }
            Some((WaitFor::Thread(target), _)) => SmallVec::from_slice(&[target]),
            _ => SmallVec::new(),
        }
    }

    /// A cycle of threads from `start` back to it, or a chain that ends at a lock whose holder has ended.
    fn cycle_from(&self, start: u32) -> Option<Vec<u32>> {
        let mut path = vec![start];
        self.extend_cycle(start, &mut path).then_some(path)
    }

    fn extend_cycle(&self, start: u32, path: &mut Vec<u32>) -> bool {
        let last = path[path.len() - 1];
        let holds_lock = matches!(self.threads[last as usize].waiting, Some((WaitFor::Lock(_), _)));
        for blocker in self.blockers(last) {
            if blocker == start || (holds_lock && self.threads[blocker as usize].state == State::Finished) {
                return true;
            }
            if !path.contains(&blocker) {
                path.push(blocker);
                if self.extend_cycle(start, path) {
                    return true;
                }
                path.pop();
            }
        }
        false
    }

    fn deadlock(&self, cycle: &[u32]) -> Finding {
        let mut reason: Vec<String> = cycle.iter().map(|&thread| self.tell_wait(thread, false)).collect();
        reason.sort();
        let mut finding = Finding::new(Detector::Deadlock, reason.join("; "));
        for &thread in cycle {
            finding = finding.with(self.tell_wait(thread, true));
        }
        finding
    }

    /// Nothing can run and no time can end a wait.
    pub(crate) fn stuck(&self) -> Finding {
        if let Some(cycle) = self.unfinished().find_map(|thread| self.cycle_from(thread)) {
            return self.deadlock(&cycle);
        }
        let mut reason: Vec<String> = self.unfinished().map(|thread| self.tell_wait(thread, false)).collect();
        reason.sort();
        let mut finding = Finding::new(Detector::LostWakeup, reason.join("; "));
        for line in self.tell_waits() {
            finding = finding.with(line);
        }
        finding
    }

    /// On loom: ends the earliest timed wait if no thread can run.
    #[cfg(feature = "loom")]
    pub(crate) fn fire_if_quiet(&mut self) {
        let can_run = |thread: &Thread| match thread.state {
            State::Finished => false,
            State::Ready => true,
            // Noted as blocked before it asks loom for the lock: free, it will have it.
            State::Blocked => match thread.waiting {
                Some((WaitFor::Lock(obj), _)) => {
                    let object = &self.objects[obj.id as usize];
                    object.owner.is_none() && object.shared.is_empty()
                }
                _ => false,
            },
        };
        if self.threads.iter().any(can_run) {
            return;
        }
        let timed = (0..self.threads.len()).filter(|&id| self.threads[id].state == State::Blocked);
        let earliest = timed.filter_map(|id| self.threads[id].deadline_ns.map(|deadline| (deadline, id))).min();
        if let Some((_, id)) = earliest {
            self.wake(id as u32, Wake::TimedOut);
        }
    }

    fn livelock(&self) -> Finding {
        let mut names: Vec<String> = self.unfinished().map(|thread| self.thread_name(thread)).collect();
        names.sort();
        let mut finding = Finding::new(Detector::Livelock, format!("nobody gets anywhere among {}", names.join(", ")))
            .with(format!("in {IDLE_ROUNDS_MAX} rounds every thread that could run only yielded"));
        for line in self.tell_waits() {
            finding = finding.with(line);
        }
        finding
    }

    fn endless(&self) -> Finding {
        Finding::new(Detector::Livelock, format!("the run had not ended after {STEPS_MAX} steps"))
    }

    fn tell_waits(&self) -> Vec<String> {
        self.unfinished().map(|thread| self.tell_wait(thread, true)).collect()
    }

    fn tell_wait(&self, thread: u32, particulars: bool) -> String {
        let name = self.thread_name(thread);
        let Some((wait, site)) = self.threads[thread as usize].waiting else { return format!("{name} can run") };
        let at = if particulars { format!(" at {}", place(site)) } else { String::new() };
        match wait {
            WaitFor::Lock(obj) => {
                let mut line = format!("{name} waits for {}{at}", self.object_name(obj));
                let object = &self.objects[obj.id as usize];
                for holder in object.owner.iter().chain(&object.shared).take(if particulars { 4 } else { 1 }) {
                    line.push_str(&format!(", held by {}", self.thread_name(*holder)));
                    let taken = self.threads[*holder as usize].held.iter().rfind(|held| held.lock == obj.id);
                    if particulars && let Some(held) = taken {
                        line.push_str(&format!(" (taken at {})", place(held.site)));
                    }
                }
                line
            }
            WaitFor::Thread(target) => format!("{name} waits for the end of {}{at}", self.thread_name(target)),
            WaitFor::Wakeup(obj) => format!("{name} waits on {}{at}", self.object_name(obj)),
            WaitFor::Sleep => format!("{name} sleeps{at}"),
        }
    }
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
