//! The state of one run under an engine: its threads, objects, time, choices, and what the detectors know.
//!
//! One OS thread carries a run, and everything here is that thread's. Nothing in this module calls an engine; the callers do,
//! with the state put back first.

use crate::awaiting::Awaited;
use crate::choice::Choice;
use crate::coverage::Coverage;
use crate::engine::Engine;
use crate::happens::VectorClock;
use crate::order::{Held, OrderGraph};
use crate::strategy::{Bounds, Strategy};
use crate::trace::Trace;
use crate::verdict::{Detector, Finding};
mod history;
mod network;
mod objects;
mod operations;
mod orders;
mod schedule;
mod sockets;
mod tasks;
mod threads;
mod transit;
mod waits;

use smallvec::SmallVec;
use std::cell::{Cell, RefCell};
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

pub use network::Counters;
pub(crate) use network::{EDESTADDRREQ, Tap, errno};
#[cfg(feature = "turmoil")]
pub(crate) use network::{Packet, RECEIVE_QUEUE_PACKETS};
pub use orders::{ORDERS, Orders};

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

/// The lane of the network in hashes and traces, beside those of threads.
pub(crate) const NETWORK_LANE: u32 = 0x00FF_FFFF;
/// A step limit for one run: past it the run is taken for a livelock.
pub(crate) const STEPS_MAX: u64 = 1_000_000;
/// So many rounds in which every thread only yielded are a livelock.
const IDLE_ROUNDS_MAX: u32 = 2_000;
/// So many potential deadlocks are kept to be looked at again.
const POTENTIALS_MAX: usize = 64;
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
    /// It waits as a task that awaits nothing but sleeps.
    sleeps_only: bool,
    /// It waits as a task does, between two polls.
    is_parked: bool,
    yielded: bool,
    held: SmallVec<[Held; 4]>,
    /// Its place in vector clocks: its own, or that of a thread whose end its spawner knew of.
    pub(crate) slot: usize,
    pub(crate) clock: VectorClock,
    pub(crate) order_clock: VectorClock,
    /// Causal time: what this thread knows to have passed. On shuttle the run's own time is ahead of it.
    pub(crate) now_ns: u64,
    /// On loom: how often a timed wait ended by its time, by place.
    firings: Vec<(Site, u32)>,
    /// How many random numbers it has drawn on loom.
    pub(crate) draws: u64,
    /// What this thread's task awaits now, and where.
    pub(crate) awaiting: SmallVec<[(Awaited, Site); 2]>,
    /// The sleeps that this thread's task has polled.
    pub(crate) sleeps: Vec<PolledSleep>,
    /// The sockets that this thread's task waits to read, and whom to wake.
    pub(crate) reads: Vec<(u32, std::task::Waker)>,
    /// The host that it runs on.
    pub(crate) host: u32,
    /// The tasks that share one thread with this one's, by number.
    pub(crate) local_set: Option<u32>,
    /// What stops and wakes its task, if it is one's.
    pub(crate) control: Option<Arc<crate::task::Control>>,
    /// The runtime that its task ends with.
    pub(crate) runtime: u32,
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

/// A sleep that a task waits for.
#[derive(Debug)]
pub(crate) struct PolledSleep {
    pub(crate) id: u64,
    pub(crate) deadline_ns: u64,
    pub(crate) waker: std::task::Waker,
}

#[derive(Debug)]
struct Object {
    kind: &'static str,
    /// The number of its place in the code.
    class: u32,
    nature: Nature,
    site: Site,
    owner: Option<u32>,
    /// How often the owner of a reentrant lock holds it.
    depth: u32,
    /// Writers that wait for a read-write lock: new readers wait behind them, as parking_lot's do.
    writers_waiting: u32,
    shared: SmallVec<[u32; 4]>,
    waiters: SmallVec<[u32; 4]>,
    /// Who has notified a condition.
    notifiers: SmallVec<[u32; 2]>,
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
    /// A lock that tasks await, and may hold while they wait.
    AsyncLock,
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
    pub(crate) orders: Option<Box<Orders>>,
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
    /// On loom: the body looks whether threads have ended; to be run again with ends that loom sees.
    #[cfg_attr(not(feature = "loom"), expect(dead_code, reason = "only loom begins again"))]
    AskedForEnd,
    /// Exploration ended.
    Done(Box<Done>),
}

/// How an exploration ended without a failure.
#[derive(Debug, Default)]
pub(crate) struct Done {
    pub(crate) schedules: u64,
    pub(crate) exhausted: bool,
    pub(crate) coverage: Coverage,
    /// Runs whose locks could have closed a cycle: the first for each reason.
    pub(crate) potentials: Vec<Found>,
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
    /// Those that have not ended, in order.
    live: Vec<u32>,
    /// For each place in vector clocks the thread that has it, or had it last.
    slots: Vec<u32>,
    objects: Vec<Object>,
    pub(crate) now_ns: u64,
    pub(crate) wall_offset_ns: i64,
    /// The thread that the scheduler is to run next.
    pub(crate) next: Option<u32>,
    options: Vec<u32>,
    pub(crate) strategy: Strategy,
    /// What has happened before what, where the strategy wants to know.
    history: Option<Box<history::History>>,
    /// In which order threads did what, where a fuzzer wants to know.
    orders: Option<Box<Orders>>,
    /// The places in the code that have made objects, as they were met.
    classes: Vec<Site>,
    pub(crate) choices: Vec<Choice>,
    pub(crate) hash: u64,
    pub(crate) steps: u64,
    timers: u32,
    pub(crate) sleeps_made: u64,
    /// A timer has fired though something could run.
    pub(crate) has_run_ahead: bool,
    /// So far time may pass at once though a thread could run.
    pub(crate) slowness_max_ns: u64,
    yielding: u32,
    idle_rounds: u32,
    main_ended_ns: Option<u64>,
    order: OrderGraph,
    /// On loom: creation sites of mutexes that somebody tries for.
    pub(crate) tried_sites: Vec<Site>,
    /// On loom: the body looks whether threads have ended, so their ends must be seen.
    pub(crate) shows_ends: bool,
    /// Creation sites of mutexes that guard a condition: what such a mutex guards is ordered by it.
    pub(crate) condition_sites: Vec<Site>,
    operations: Vec<ActiveOperation>,
    pub(crate) net: network::Network,
    /// For each set of tasks that share one thread: the task that is being polled.
    pub(crate) local_sets: Vec<Option<u32>>,
    pub(crate) runtimes: u32,
    /// When turmoil's clock began.
    pub(crate) origin_ns: u64,
    /// On turmoil: how often tasks have yielded since time has passed.
    pub(crate) yields: u32,
    /// What an engine's own randomness begins with: the same for every run of a check, as a token names no other.
    pub(crate) seed: u64,
    #[cfg(feature = "loom")]
    last_access: Option<(Obj, bool, Site)>,
    /// A copy of the choices that another OS thread can read while a step does not return.
    pub(crate) mirror: Option<Arc<parking_lot::Mutex<Vec<Choice>>>>,
    pub(crate) coverage: Coverage,
    trace: Option<Trace>,
    pub(crate) potentials: Vec<Found>,
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

/// Where each launch begins to number its runs, so that what a static keeps from one launch is a stranger in another.
static NEXT_EPOCH: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);

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

const NO_RUN: &str =
    "a primitive of a run was used where none goes on: by a thread that is not of `sim::thread::spawn`, or after its run";

/// Looks at the run of this OS thread.
#[inline]
pub(crate) fn with<R>(f: impl FnOnce(&mut Run) -> R) -> R {
    RUN.with_borrow_mut(|run| f(run.as_mut().expect(NO_RUN)))
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
    let site = with(|run| run.object(obj).site);
    begin_again(Message::TriedMutex(site))
}

/// On loom: has the check begin again, knowing what it did not know.
#[cfg(feature = "loom")]
pub(crate) fn begin_again(why: Message) -> ! {
    if let Some(outbox) = with(|run| run.outbox.take()) {
        let _ = outbox.send(why);
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
            epoch: NEXT_EPOCH.fetch_add(1 << 20, Ordering::Relaxed),
            detectors,
            bounds,
            threads: Vec::new(),
            live: Vec::new(),
            slots: Vec::new(),
            objects: Vec::new(),
            now_ns: 0,
            wall_offset_ns: 0,
            next: None,
            options: Vec::new(),
            strategy,
            history: None,
            orders: None,
            classes: Vec::new(),
            choices: Vec::new(),
            hash: 0,
            steps: 0,
            timers: 0,
            sleeps_made: 0,
            has_run_ahead: false,
            slowness_max_ns: u64::MAX,
            yielding: 0,
            idle_rounds: 0,
            main_ended_ns: None,
            order: OrderGraph::default(),
            tried_sites: Vec::new(),
            shows_ends: false,
            condition_sites: Vec::new(),
            operations: Vec::new(),
            net: network::Network::default(),
            local_sets: Vec::new(),
            runtimes: 0,
            origin_ns: 0,
            yields: 0,
            seed: 0,
            #[cfg(feature = "loom")]
            last_access: None,
            mirror: None,
            coverage: Coverage::default(),
            trace: None,
            potentials: Vec::new(),
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
        self.live.clear();
        self.slots.clear();
        self.objects.clear();
        self.now_ns = 0;
        self.wall_offset_ns = 0;
        self.next = None;
        self.clear_history();
        self.clear_orders();
        self.choices.clear();
        self.hash = 0;
        self.steps = 0;
        self.timers = 0;
        self.has_run_ahead = false;
        self.slowness_max_ns = u64::MAX;
        self.sleeps_made = 0;
        self.yielding = 0;
        self.idle_rounds = 0;
        self.main_ended_ns = None;
        self.order.clear();
        self.operations.clear();
        self.net.begin();
        self.local_sets.clear();
        self.runtimes = 0;
        self.origin_ns = 0;
        self.yields = 0;
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
            trace.thread_hosts = self.threads.iter().map(|thread| thread.host).collect();
            trace.hosts = self.net.hosts.iter().map(|host| (host.name.to_string(), host.address)).collect();
            trace.objects = (0..self.objects.len() as u32).map(|id| self.object_name(Obj { run: self.epoch, id })).collect();
        }
        Found {
            finding,
            choices: self.choices.clone(),
            hash: self.hash,
            trace,
            index: self.index,
            coverage: std::mem::take(&mut self.coverage),
            orders: self.orders.clone(),
            inconclusive: false,
            misfit: self.strategy.misfit(),
        }
    }

    /// Keeps a run whose locks could have closed a cycle, the first for each reason. Exploring goes on: it may yet close.
    pub(crate) fn keep_potential(&mut self) {
        if let Some(finding) = self.potential_here.take()
            && self.potentials.len() < POTENTIALS_MAX
            && self.potentials.iter().all(|known| known.finding.reason != finding.reason)
        {
            let coverage = self.coverage.clone();
            let found = self.found(finding);
            self.potentials.push(found);
            self.coverage = coverage;
        }
    }

    pub(crate) fn take_trace(&mut self) -> Trace {
        self.found(Finding::new(Detector::Nondeterminism, "")).trace.unwrap_or_default()
    }
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
