//! The OS thread that carries a run, and how each engine starts and ends the threads of the body.

use super::parallel::Share;
use super::watchdog::Watched;
use crate::engine::{Engine, enter};
use crate::hook;
use crate::kernel;
use crate::run::{self, Detectors, Done, Message, Progress, Run, Site, set_me, with};
use crate::strategy::{Bounds, Strategy};
use crate::trace::{Op, Trace};
use crate::verdict::{Detector, Finding};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::time::Instant;

pub(super) type Body = Arc<dyn Fn() + Send + Sync>;

/// What an OS thread is to run.
#[derive(Clone)]
pub(super) enum Plan {
    /// Schedules by the strategy, until so many, or so long.
    Explore { schedules: Option<u64>, until: Option<Instant>, share: Share },
    /// One run by its choices.
    Replay { deviations: Vec<(u64, u64)>, record: bool },
    /// On loom: up to this iteration.
    Iteration { iteration: u64, record: bool },
}

#[derive(Clone, Copy)]
pub(super) struct Settings {
    pub(super) engine: Engine,
    pub(super) bounds: Bounds,
    pub(super) detectors: Detectors,
    #[cfg_attr(not(feature = "shuttle"), expect(dead_code, reason = "loom's threads have stacks of one size"))]
    pub(super) stack_size_bytes: usize,
    pub(super) reduction: bool,
    pub(super) seed: u64,
}

/// What earlier runs of a check have shown.
#[derive(Clone, Default)]
pub(super) struct Learnt {
    /// Creation sites of mutexes that guard conditions.
    pub(super) condition_sites: Vec<Site>,
    /// On loom: creation sites of mutexes that somebody tries for.
    pub(super) tried_sites: Vec<Site>,
    /// On loom: the body looks whether threads have ended.
    pub(super) shows_ends: bool,
    /// Where a run that does not return is to leave its choices.
    pub(super) mirror: Option<Arc<parking_lot::Mutex<Vec<crate::choice::Choice>>>>,
}

/// One schedule in so many is run twice.
const RECHECK_EVERY: u64 = 100;
/// The OS thread's own stack: what drives the engine, and the body on the engine `cases`.
const CARRIER_STACK_BYTES: usize = 4 << 20;

/// Starts an OS thread that carries out the plan and reports to `outbox`.
pub(super) fn launch(
    settings: Settings,
    plan: Plan,
    strategy: Strategy,
    body: Body,
    outbox: Sender<Message>,
    progress: &Arc<Progress>,
    learnt: Learnt,
) -> std::io::Result<Watched> {
    hook::install();
    let progress = Arc::clone(progress);
    let (said, path) = mpsc::channel();
    std::thread::Builder::new().name("glare-run".to_owned()).stack_size(CARRIER_STACK_BYTES).spawn(move || {
        let _ = said.send(stat_path());
        // Current for this whole thread, which is this run's alone: a guard inside the engine's closure would be lost with a
        // coroutine that a failure leaves behind.
        enter(settings.engine);
        let mut run = Run::new(settings.engine, strategy, settings.bounds, settings.detectors, outbox.clone(), progress);
        run.seed = settings.seed;
        run.mirror = learnt.mirror;
        run.tried_sites = learnt.tried_sites;
        run.shows_ends = learnt.shows_ends;
        run.condition_sites = learnt.condition_sites;
        if settings.reduction && settings.engine == Engine::Shuttle && run.strategy.reduces() {
            run.keep_history();
        }
        if matches!(run.strategy, Strategy::Bytes(_)) {
            run.keep_orders();
        }
        run::install(run);
        let driver = Driver::new(plan);
        let explored = catch_unwind(AssertUnwindSafe(|| match settings.engine {
            #[cfg(feature = "shuttle")]
            Engine::Shuttle => shuttle_engine_run(driver, settings, body),
            #[cfg(feature = "loom")]
            Engine::Loom => super::loom::explore(driver, settings, body),
            // On turmoil what the body blocks on brings its own.
            _ => explore_alone(driver, body),
        }));
        match explored {
            Ok(()) => send_done(outbox),
            // Not the body, whose panics end in `carry`: the engine, or ours.
            Err(_) => {
                let _ = outbox.send(Message::Broke(hook::last_panic()));
            }
        }
    })?;
    Ok(Watched { stat_path: path.recv().ok().flatten() })
}

fn send_done(outbox: Sender<Message>) {
    let done = run::uninstall().map(|run| run.done()).unwrap_or_default();
    // The receiver may have given up on us; then nobody wants to know.
    let _ = outbox.send(Message::Done(Box::new(done)));
}

/// Reports that exploring ended, from the middle of an engine that cannot be told to, and goes no further.
#[cfg(feature = "loom")]
pub(super) fn stop_here() -> ! {
    if let Some(outbox) = with(|run| run.outbox.take()) {
        send_done(outbox);
    }
    loop {
        std::thread::park();
    }
}

/// Where Linux tells of the thread that asks.
fn stat_path() -> Option<String> {
    let link = std::fs::read_link("/proc/thread-self").ok()?;
    Some(format!("/proc/{}/stat", link.to_str()?))
}

/// Decides from run to run what comes next.
pub(super) struct Driver {
    plan: Plan,
    index: u64,
    stage: Stage,
    parked: Option<Strategy>,
}

enum Stage {
    /// Before the first run.
    New,
    /// After a run by the strategy.
    Explored,
    /// After a second run of the same choices, which should have had this hash.
    Rechecked { hash: u64 },
    /// After a recorded run of the same choices, to name the step that differs.
    Compared { deviations: Vec<(u64, u64)>, first: Option<Box<Trace>>, left: u32 },
}

impl Driver {
    fn new(plan: Plan) -> Self {
        Driver { plan, index: 0, stage: Stage::New, parked: None }
    }

    /// Looks at the run that ended, and prepares the next. False if there is none.
    pub(super) fn advance(&mut self) -> bool {
        match std::mem::replace(&mut self.stage, Stage::Explored) {
            Stage::New => {
                with(|run| run.strategy.begin(0));
                self.begin(self.records_first());
                return true;
            }
            Stage::Explored => {
                if !matches!(self.plan, Plan::Iteration { iteration, .. } if self.index + 1 != iteration) {
                    with(Run::keep_potential);
                }
                let recheck = matches!(self.plan, Plan::Explore { .. })
                    && self.index.is_multiple_of(RECHECK_EVERY)
                    && with(|run| {
                        run.detectors.determinism && matches!(run.engine, Engine::Shuttle | Engine::Turmoil | Engine::Cases)
                    });
                if recheck {
                    let (hash, deviations) = with(|run| (run.hash, super::deviations(&run.choices)));
                    self.replay(deviations);
                    self.stage = Stage::Rechecked { hash };
                    self.begin(false);
                    return true;
                }
            }
            Stage::Rechecked { hash } => {
                let (same, deviations) = with(|run| (run.hash == hash, super::deviations(&run.choices)));
                if !same {
                    self.replay(deviations.clone());
                    self.stage = Stage::Compared { deviations, first: None, left: 20 };
                    self.begin(true);
                    return true;
                }
                self.unpark();
            }
            Stage::Compared { deviations, first, left } => {
                let trace = with(Run::take_trace);
                let difference = first.as_ref().and_then(|first| first.first_difference(&trace));
                if difference.is_some() || left == 0 {
                    let step = difference.unwrap_or_else(|| "the step did not show again".to_owned());
                    run::fail(Finding::new(Detector::Nondeterminism, format!("the same choices gave another run; {step}")));
                }
                self.replay(deviations.clone());
                self.stage = Stage::Compared { deviations, first: Some(Box::new(trace)), left: left - 1 };
                self.begin(true);
                return true;
            }
        }
        let next = match &self.plan {
            Plan::Explore { share, .. } => share.after(self.index),
            _ => self.index + 1,
        };
        let more = match &self.plan {
            Plan::Explore { schedules, until, share } => {
                schedules.is_none_or(|wanted| next < wanted)
                    && until.is_none_or(|until| Instant::now() < until)
                    && !share.is_over(next)
            }
            Plan::Replay { .. } => false,
            Plan::Iteration { iteration, .. } => next < *iteration,
        };
        if !more {
            return false;
        }
        self.index = next;
        let index = self.index;
        if !with(|run| run.strategy.begin(index)) {
            with(|run| run.exhausted = run.strategy.was_exhaustive());
            return false;
        }
        let record = matches!(self.plan, Plan::Iteration { iteration, record } if record && index + 1 == iteration);
        self.begin(record);
        true
    }

    fn records_first(&self) -> bool {
        match self.plan {
            Plan::Explore { .. } => false,
            Plan::Replay { record, .. } => record,
            Plan::Iteration { iteration, record } => record && iteration == 1,
        }
    }

    fn begin(&self, record: bool) {
        with(|run| run.begin(self.index, record));
    }

    fn replay(&mut self, deviations: Vec<(u64, u64)>) {
        let replay = Strategy::Replay(crate::strategy::Replay::new(deviations));
        let before = with(|run| std::mem::replace(&mut run.strategy, replay));
        if self.parked.is_none() {
            self.parked = Some(before);
        }
    }

    fn unpark(&mut self) {
        if let Some(strategy) = self.parked.take() {
            with(|run| run.strategy = strategy);
        }
    }
}

fn explore_alone(mut driver: Driver, body: Body) {
    while driver.advance() {
        let body = Arc::clone(&body);
        carry(0, move || body());
    }
}

#[cfg(feature = "shuttle")]
fn shuttle_engine_run(driver: Driver, settings: Settings, body: Body) {
    let mut config = shuttle::Config::new();
    config.stack_size = settings.stack_size_bytes;
    config.failure_persistence = shuttle::FailurePersistence::None;
    config.max_steps = shuttle::MaxSteps::None;
    config.silence_warnings = true;
    shuttle::Runner::new(Conductor { driver }, config).run(move || {
        let body = Arc::clone(&body);
        set_me(0);
        carry(0, move || body());
    });
}

/// Shuttle's scheduler, as far as it is shuttle's: the run's state has picked the thread before shuttle asks.
#[cfg(feature = "shuttle")]
struct Conductor {
    driver: Driver,
}

#[cfg(feature = "shuttle")]
impl shuttle::scheduler::Scheduler for Conductor {
    fn new_execution(&mut self) -> Option<shuttle::scheduler::Schedule> {
        self.driver.advance().then(|| shuttle::scheduler::Schedule::new(0))
    }

    fn next_task(
        &mut self,
        runnable: &[&shuttle::scheduler::Task],
        current: Option<shuttle::scheduler::TaskId>,
        _is_yielding: bool,
    ) -> Option<shuttle::scheduler::TaskId> {
        let picked = with(|run| run.next.take().map(|thread| run.threads[thread as usize].task));
        match (picked, current) {
            (Some(task), _) => Some(task.into()),
            (None, Some(current)) if runnable.iter().any(|task| task.id() == current) => Some(current),
            _ => runnable.first().map(|task| task.id()),
        }
    }

    fn next_u64(&mut self) -> u64 {
        // The facade's randomness are choices of its own; nothing of ours asks here.
        0
    }
}

/// Runs a thread of the body to its end, on that thread.
pub(crate) fn carry(thread: u32, f: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(f)).is_err() {
        run::fail(Finding::new(Detector::Panic, hook::last_panic()));
    }
    let site = Location::caller();
    // What the thread leaves to be dropped it drops as itself.
    drop(with(|run| std::mem::take(&mut run.threads[thread as usize].locals)));
    set_me(thread);
    #[cfg(feature = "loom")]
    super::loom::make_end_visible(thread, true);
    let last = with(|run| {
        run.record(thread, Op::End, None, site);
        run.finish(thread)
    });
    kernel::deliver_wakes();
    kernel::fire_if_quiet();
    #[cfg(feature = "loom")]
    kernel::fail_if_stuck();
    if last {
        if let Some(leak) = with(|run| run.leftovers()) {
            run::fail(leak);
        }
        #[cfg(feature = "loom")]
        super::loom::end_timers();
        return;
    }
    if with(|run| run.engine) == Engine::Shuttle
        && let Err(finding) = with(|run| run.pick_ready(thread))
    {
        run::fail(finding);
    }
}

/// The engine's own handle of a thread.
pub(crate) enum Native {
    #[cfg(feature = "shuttle")]
    Shuttle(#[allow(dead_code, reason = "held so that shuttle waits for the thread")] shuttle::thread::JoinHandle<()>),
    #[cfg(feature = "loom")]
    Loom(loom::thread::JoinHandle<()>),
    /// The engine has no threads.
    #[allow(dead_code, reason = "what remains in a build without engines that have threads")]
    None,
}

impl std::fmt::Debug for Native {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Native")
    }
}

/// Has the engine start a thread of the body.
pub(crate) fn start(thread: u32, stack_size_bytes: Option<usize>, body: Box<dyn FnOnce() + Send>) -> Native {
    match crate::engine::current() {
        #[cfg(feature = "shuttle")]
        Engine::Shuttle => {
            let me = run::me();
            let mut builder = shuttle::thread::Builder::new();
            if let Some(bytes) = stack_size_bytes {
                builder = builder.stack_size(bytes);
            }
            let handle = builder.spawn(body).expect("shuttle makes threads without fail");
            set_me(me);
            with(|run| run.threads[thread as usize].task = usize::from(handle.thread().id()));
            Native::Shuttle(handle)
        }
        #[cfg(feature = "loom")]
        Engine::Loom => super::loom::start(thread, stack_size_bytes, body),
        _ => {
            let _ = (thread, stack_size_bytes, body);
            Native::None
        }
    }
}

impl Native {
    /// Waits for the thread's end in the engine, where the engine must know of that. False where the run's state does it.
    pub(crate) fn join_engine(self) -> bool {
        match self {
            #[cfg(feature = "loom")]
            Native::Loom(handle) => {
                kernel::fire_if_quiet();
                let _ = kernel::in_loom(|| handle.join());
                with(|run| run.had_lock(run::me()));
                true
            }
            _ => false,
        }
    }
}

impl Run {
    fn done(mut self: Box<Self>) -> Done {
        let index = self.index;
        let last = self.found(Finding::new(Detector::Invariant, ""));
        Done {
            schedules: index + 1,
            exhausted: self.exhausted,
            coverage: last.coverage.clone(),
            potentials: std::mem::take(&mut self.potentials),
            condition_sites: std::mem::take(&mut self.condition_sites),
            last: Some(Box::new(last)),
        }
    }
}
