//! Exploring: runs a body under an engine until something is found or the budget ends, and replays what was found.

mod carrier;
mod dull;
#[cfg(feature = "loom")]
pub(crate) mod loom;
mod model;
mod parallel;
mod report;
mod shrink;
#[cfg(feature = "turmoil")]
pub(crate) mod turmoil;
mod watchdog;

pub use crate::run::{ORDERS, Orders};
pub(crate) use carrier::{Native, carry, start};
pub use model::{TIMELINE_LINES, model};
pub use report::{Replay, ReplayError, Report};
pub use shrink::Shrinking;

use crate::choice::{Choice, preemptions, shape};
use crate::coverage::Coverage;
use crate::engine::Engine;
use crate::run::{Detectors, Done, Found, Message, Progress};
use crate::strategy::{Bounds, Strategy, StrategyName};
use crate::token::{RunId, Token};
use crate::verdict::{Detector, Finding, Verdict};
use carrier::{Body, Learnt, Plan};
use parallel::Share;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// What to check, how, and for how long.
#[derive(Clone, Debug)]
pub struct Check {
    exhibit: String,
    subject: String,
    engine: Engine,
    strategy: StrategyName,
    seed: u64,
    bounds: Bounds,
    schedules: Option<u64>,
    budget: Option<Duration>,
    detectors: Detectors,
    stack_size_bytes: usize,
    shrink: bool,
    reduction: bool,
    jobs: u32,
}

/// What loom's second look at potential deadlocks may take, at the least.
const SECOND_LOOK_MIN: Duration = Duration::from_secs(10);

impl Check {
    /// A check of `subject` of `exhibit` (the names stand in its token) on `engine`: 1,000 schedules as a swarm draws them, seed 0, every
    /// detector, on loom without end within the default bounds.
    pub fn new(exhibit: impl Into<String>, subject: impl Into<String>, engine: Engine) -> Self {
        Check {
            exhibit: exhibit.into(),
            subject: subject.into(),
            engine,
            strategy: if matches!(engine, Engine::Cases | Engine::Turmoil) { StrategyName::Dfs } else { StrategyName::Swarm },
            seed: 0,
            bounds: Bounds::default(),
            schedules: matches!(engine, Engine::Shuttle | Engine::Real).then_some(1_000),
            budget: None,
            detectors: Detectors::ON,
            stack_size_bytes: 1024 * 1024,
            shrink: true,
            reduction: true,
            jobs: 1,
        }
    }

    /// How schedules are picked (shuttle and cases).
    pub fn strategy(mut self, strategy: StrategyName) -> Self {
        self.strategy = strategy;
        match (self.engine, strategy) {
            (_, StrategyName::Dfs) => self.schedules = None,
            (Engine::Turmoil, _) => self.schedules = Some(1_000),
            _ => {}
        }
        self
    }

    /// Where the strategy's randomness begins.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The bounds of loom and dfs.
    pub fn bounds(mut self, bounds: Bounds) -> Self {
        self.bounds = bounds;
        self
    }

    /// How many schedules to run at most. `None`: until the time is up or none is left.
    pub fn schedules(mut self, schedules: impl Into<Option<u64>>) -> Self {
        self.schedules = schedules.into();
        self
    }

    /// How long to explore at most, in real time.
    pub fn budget(mut self, budget: impl Into<Option<Duration>>) -> Self {
        self.budget = budget.into();
        self
    }

    /// Which detectors look on.
    pub fn detectors(mut self, detectors: Detectors) -> Self {
        self.detectors = detectors;
        self
    }

    /// The stack of each thread of the body, in bytes (1 MiB unless said: a handshake of DTLS needs more than 128 KiB).
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size_bytes = bytes;
        self
    }

    /// How many OS threads explore at once (1 unless said), where schedules are drawn. What is found is the same for any number.
    pub fn jobs(mut self, jobs: u32) -> Self {
        self.jobs = jobs;
        self
    }

    /// Whether dfs leaves out runs that differ from one that it has had only in the order of steps that do not conflict (it does unless
    /// said). Nothing that a run may come to is lost.
    pub fn reduction(mut self, reduction: bool) -> Self {
        self.reduction = reduction;
        self
    }

    /// Whether what is found is shortened before it is reported.
    pub fn shrink(mut self, shrink: bool) -> Self {
        self.shrink = shrink;
        self
    }

    /// Explores `body`.
    ///
    /// The body runs once a schedule, on an OS thread of its own; what it shares between its threads it makes itself. A failed
    /// run is left where it stands (its stacks are not unwound), so what the body holds then is never dropped.
    pub fn run(&self, body: impl Fn() + Send + Sync + 'static) -> Report {
        self.run_body(Arc::new(body))
    }

    fn run_body(&self, body: Body) -> Report {
        let began = Instant::now();
        if self.engine == Engine::Real {
            return self.stress(&body, began);
        }
        if !self.engine.is_built_in() {
            let why = format!("this build does not contain the engine {}: enable the feature of that name", self.engine);
            return self.report(Verdict::Inconclusive(why), 0, began);
        }
        let until = self.budget.map(|budget| began + budget);
        let (ended, schedules) = if self.draws() {
            parallel::explore(self, &body, until)
        } else {
            let progress = Arc::new(Progress::default());
            let plan = Plan::Explore { schedules: self.schedules, until, share: Share::whole() };
            let strategy = match self.engine {
                Engine::Loom => Strategy::none(),
                _ => Strategy::new(self.strategy, self.seed, self.bounds),
            };
            (self.launch(plan, strategy, Arc::clone(&body), &progress, Learnt::default()), progress.schedules())
        };
        match ended {
            Ended::Found(found) => self.explain(body, *found, schedules, began, Learnt::default()),
            Ended::Done(done) => self.conclude(body, *done, began),
            Ended::Crashed(why) => self.report(Verdict::Crashed(why), schedules, began),
        }
    }

    /// Whether schedules are drawn, each by its number.
    fn draws(&self) -> bool {
        matches!(self.engine, Engine::Shuttle | Engine::Turmoil) && self.strategy != StrategyName::Dfs
    }

    /// Runs the plan on an OS thread of its own and waits for its end.
    fn launch(&self, plan: Plan, strategy: Strategy, body: Body, progress: &Arc<Progress>, mut learnt: Learnt) -> Ended {
        let mut strategy = Some(strategy);
        loop {
            let (outbox, inbox) = mpsc::channel();
            // Only loom begins again, and it has no use for a strategy.
            let strategy = strategy.take().unwrap_or(Strategy::none());
            let launched =
                carrier::launch(self.settings(), plan.clone(), strategy, Arc::clone(&body), outbox, progress, learnt.clone());
            let watched = match launched {
                Ok(watched) => watched,
                Err(error) => return Ended::Crashed(format!("a thread for the run could not be made: {error}")),
            };
            return match watchdog::wait(&inbox, progress, &watched) {
                watchdog::Heard::Message(Message::Found(found)) => Ended::Found(found),
                watchdog::Heard::Message(Message::Done(done)) => Ended::Done(done),
                watchdog::Heard::Message(Message::Broke(why)) => Ended::Crashed(format!("the engine panicked: {why}")),
                watchdog::Heard::Message(Message::TriedMutex(site)) => {
                    learnt.tried_sites.push(site);
                    progress.reset();
                    continue;
                }
                watchdog::Heard::Message(Message::AskedForEnd) => {
                    learnt.shows_ends = true;
                    progress.reset();
                    continue;
                }
                watchdog::Heard::Gone => Ended::Crashed("the run's thread ended without a word".to_owned()),
                watchdog::Heard::Spinning(why) => Ended::Crashed(why),
                watchdog::Heard::Sleeping(why) => {
                    let finding = Finding::new(Detector::ForeignLock, "something outside the facade blocked the run").with(why);
                    let plan = match plan {
                        Plan::Explore { schedules, share, .. } => Plan::Explore { schedules, until: None, share },
                        plan => plan,
                    };
                    Ended::Found(Box::new(self.blocked_run(finding, plan, body)))
                }
            };
        }
    }

    /// A run that is blocked outside the facade cannot say its choices, so it is run again with a copy that we can read.
    fn blocked_run(&self, finding: Finding, plan: Plan, body: Body) -> Found {
        let mirror = Arc::new(parking_lot::Mutex::new(Vec::new()));
        let progress = Arc::new(Progress::default());
        let (outbox, inbox) = mpsc::channel();
        let strategy = match &plan {
            Plan::Replay { deviations, .. } => Strategy::Replay(crate::strategy::Replay::new(deviations.clone())),
            _ => Strategy::new(self.strategy, self.seed, self.bounds),
        };
        let learnt = Learnt { mirror: Some(Arc::clone(&mirror)), ..Learnt::default() };
        let launched = carrier::launch(self.settings(), plan, strategy, body, outbox, &progress, learnt);
        if let Ok(watched) = launched {
            watchdog::wait(&inbox, &progress, &watched);
        }
        let choices: Vec<Choice> = mirror.lock().clone();
        Found {
            finding,
            hash: choices.iter().fold(0, |hash, choice| crate::choice::mix(hash, choice.value)),
            choices,
            trace: None,
            index: progress.schedules().saturating_sub(1),
            coverage: Coverage::default(),
            orders: None,
            inconclusive: false,
            misfit: None,
        }
    }

    fn settings(&self) -> carrier::Settings {
        carrier::Settings {
            engine: self.engine,
            bounds: self.bounds,
            detectors: self.detectors,
            stack_size_bytes: self.stack_size_bytes,
            reduction: self.reduction,
            seed: self
                .exhibit
                .bytes()
                .chain(self.subject.bytes())
                .fold(0, |seed, byte| crate::choice::mix(seed, u64::from(byte))),
        }
    }

    fn explain(&self, body: Body, mut found: Found, schedules: u64, began: Instant, learnt: Learnt) -> Report {
        if found.inconclusive {
            let mut report = self.report(Verdict::Inconclusive(found.finding.reason), schedules, began);
            report.coverage = found.coverage;
            return report;
        }
        let (coverage, orders) = (std::mem::take(&mut found.coverage), found.orders.take());
        let (mut bounds, mut shrinking) = (self.bounds, None);
        if self.shrink && found.finding.detector != Detector::Nondeterminism {
            let (shrunk, within, tried) = shrink::shrink(self, &body, found, learnt);
            (found, bounds, shrinking) = (shrunk, within, Some(tried));
        }
        let mut report = self.report(Verdict::Caught(found.finding.clone()), schedules, began);
        report.token = Some(self.token(&found, bounds));
        report.shrinking = shrinking;
        report.trace_hash = Some(found.hash);
        report.preemptions = match self.engine {
            // Within fewer nothing like it was found.
            Engine::Loom => bounds.preemptions.filter(|_| shrinking.is_some_and(|shrinking| shrinking.is_minimal)),
            _ => Some(preemptions(&found.choices)),
        };
        report.deviations = deviations(&found.choices);
        (report.coverage, report.orders) = (coverage, orders);
        report
    }

    fn conclude(&self, body: Body, mut done: Done, began: Instant) -> Report {
        if let Some((potential, learnt)) = self.confirm(&body, &mut done, began) {
            return self.explain(body, potential, done.schedules, began, learnt);
        }
        let verdict = match (self.engine, done.exhausted) {
            (Engine::Loom | Engine::Cases, false) => {
                Verdict::Inconclusive("the budget ended before every run within the bounds was had".to_owned())
            }
            (_, false) if self.strategy == StrategyName::Dfs => {
                Verdict::Inconclusive("the budget ended before every run within the bounds was had".to_owned())
            }
            (_, false) if self.schedules.is_some_and(|wanted| done.schedules < wanted) => Verdict::Inconclusive(format!(
                "the time ended after {} of {} schedules",
                done.schedules,
                self.schedules.unwrap_or(0)
            )),
            _ => Verdict::Clean,
        };
        let mut report = self.report(verdict, done.schedules, began);
        report.exhaustive = done.exhausted;
        report.coverage = done.coverage;
        report.orders = done.last.and_then(|last| last.orders);
        report
    }

    /// A potential deadlock that is one with all that is known at the end. What a mutex orders is learnt as runs go on, so what was
    /// found before is looked at again. On loom, where a run is its place in the exploration, that takes another exploration, whose
    /// result replaces the first.
    fn confirm(&self, body: &Body, done: &mut Done, began: Instant) -> Option<(Found, Learnt)> {
        let potentials = std::mem::take(&mut done.potentials);
        let learnt = Learnt { condition_sites: done.condition_sites.clone(), ..Learnt::default() };
        if potentials.is_empty() {
            return None;
        }
        if learnt.condition_sites.is_empty() {
            return potentials.into_iter().next().map(|potential| (potential, learnt));
        }
        if self.engine != Engine::Loom {
            let holds = |potential: &Found| {
                let again = self.replay_choices(body, deviations(&potential.choices), false, learnt.clone());
                again.is_ok_and(|found| found.finding.detector == Detector::PotentialDeadlock)
            };
            return potentials.into_iter().find(holds).map(|potential| (potential, learnt));
        }
        let until = self.budget.map(|budget| (began + budget).max(Instant::now() + SECOND_LOOK_MIN));
        let plan = Plan::Explore { schedules: self.schedules, until, share: Share::whole() };
        match self.launch(plan, Strategy::none(), Arc::clone(body), &Arc::new(Progress::default()), learnt.clone()) {
            Ended::Done(again) => {
                let potential = again.potentials.into_iter().next();
                done.exhausted &= again.exhausted;
                potential.map(|potential| (potential, learnt))
            }
            Ended::Found(found) => Some((*found, learnt)),
            Ended::Crashed(_) => potentials.into_iter().next().map(|potential| (potential, learnt)),
        }
    }

    fn report(&self, verdict: Verdict, schedules: u64, began: Instant) -> Report {
        let bounded = self.engine == Engine::Loom || self.strategy == StrategyName::Dfs;
        Report {
            engine: self.engine,
            verdict,
            schedules,
            exhaustive: false,
            bounds: bounded.then_some(self.bounds),
            strategy: (self.engine != Engine::Loom && self.engine != Engine::Real).then_some(self.strategy),
            token: None,
            trace_hash: None,
            preemptions: None,
            deviations: Vec::new(),
            shrinking: None,
            coverage: Coverage::default(),
            orders: None,
            wall: began.elapsed(),
        }
    }

    fn token(&self, found: &Found, bounds: Bounds) -> Token {
        let token = |run| Token { exhibit: self.exhibit.clone(), subject: self.subject.clone(), engine: self.engine, run };
        if self.engine == Engine::Loom {
            let shape = fold(found.hash);
            return token(RunId::Iteration { shape, bounds, iteration: found.index + 1 });
        }
        token(RunId::Choices { shape: shape(&found.choices), deviations: deviations(&found.choices) })
    }

    /// Runs exactly the run of `token` and says what it was. `record`: with every step, for the timeline.
    ///
    /// # Errors
    /// [`ReplayError`] if the body no longer makes the run that the token was taken from.
    pub fn replay(&self, token: &Token, record: bool, body: impl Fn() + Send + Sync + 'static) -> Result<Replay, ReplayError> {
        let found = self.find_again(token, record, &(Arc::new(body) as Body))?;
        let schedules = match token.run {
            RunId::Iteration { iteration, .. } => iteration,
            _ => 1,
        };
        Ok(Replay::of(found, schedules))
    }

    /// The run of `token`.
    fn find_again(&self, token: &Token, record: bool, body: &Body) -> Result<Found, ReplayError> {
        let (found, wanted) = match &token.run {
            RunId::Choices { shape: wanted, deviations } => {
                let found = self.replay_choices(body, deviations.clone(), record, Learnt::default())?;
                if let Some(misfit) = &found.misfit {
                    return Err(ReplayError::Changed { why: misfit.clone() });
                }
                let got = shape(&found.choices);
                (found, (*wanted, got))
            }
            RunId::Iteration { shape: wanted, bounds, iteration } => {
                let check = Check { bounds: *bounds, ..self.clone() };
                let progress = Arc::new(Progress::default());
                let plan = Plan::Iteration { iteration: *iteration, record };
                let strategy = Strategy::none();
                let found = match check.launch(plan, strategy, Arc::clone(body), &progress, Learnt::default()) {
                    Ended::Found(found) => *found,
                    Ended::Done(done) => match done.potentials.into_iter().next().or(done.last.map(|last| *last)) {
                        Some(last) => last,
                        None => {
                            let why = format!("loom had {} iterations, the token wants number {iteration}", done.schedules);
                            return Err(ReplayError::Changed { why });
                        }
                    },
                    Ended::Crashed(why) => return Err(ReplayError::Crashed { why }),
                };
                if found.index + 1 != *iteration {
                    let why = format!("iteration {} failed, the token wants number {iteration}", found.index + 1);
                    return Err(ReplayError::Changed { why });
                }
                let got = fold(found.hash);
                (found, (*wanted, got))
            }
            RunId::Digest(digest) => return Err(ReplayError::NeedsFile { digest: *digest }),
        };
        if wanted.0 != wanted.1 {
            let why = format!("expected a run of shape {:08x}, got {:08x}", wanted.0, wanted.1);
            return Err(ReplayError::Changed { why });
        }
        Ok(found)
    }

    /// Runs one schedule in which each of `bytes` answers a choice, and every choice after the last is the dull one: what a fuzzer drives.
    /// The report tells in which order threads did what, which is what a fuzzer is to be told.
    pub fn run_bytes(&self, bytes: &[u8], body: impl Fn() + Send + Sync + 'static) -> Report {
        let began = Instant::now();
        let once = Check { schedules: Some(1), ..self.clone() };
        let plan = Plan::Explore { schedules: Some(1), until: None, share: Share::whole() };
        let strategy = Strategy::Bytes(crate::strategy::Bytes::new(bytes));
        let (body, progress): (Body, _) = (Arc::new(body), Arc::new(Progress::default()));
        match once.launch(plan, strategy, Arc::clone(&body), &progress, Learnt::default()) {
            Ended::Found(found) => once.explain(body, *found, 1, began, Learnt::default()),
            Ended::Done(done) => once.conclude(body, *done, began),
            Ended::Crashed(why) => once.report(Verdict::Crashed(why), 1, began),
        }
    }

    /// Runs exactly the run of `token` and reports it as one that was found just now: shrunk, with a token of its own. On loom the body is
    /// explored again within fewer preemptions.
    ///
    /// # Errors
    /// [`ReplayError`] if the body no longer makes the run that the token was taken from.
    pub fn shrink_token(&self, token: &Token, body: impl Fn() + Send + Sync + 'static) -> Result<Report, ReplayError> {
        let (began, body): (_, Body) = (Instant::now(), Arc::new(body));
        let found = self.find_again(token, false, &body)?;
        let bounds = if let RunId::Iteration { bounds, .. } = token.run { bounds } else { self.bounds };
        Ok(Check { bounds, ..self.clone() }.report_run(body, found, began))
    }

    /// Runs the run whose choices are these, and reports it as one that was found just now: shrunk, with a token.
    ///
    /// # Errors
    /// [`ReplayError::Crashed`] if it did not end.
    pub fn run_deviations(
        &self,
        deviations: &[(u64, u64)],
        body: impl Fn() + Send + Sync + 'static,
    ) -> Result<Report, ReplayError> {
        let (began, body): (_, Body) = (Instant::now(), Arc::new(body));
        let found = self.replay_choices(&body, deviations.to_vec(), false, Learnt::default())?;
        Ok(self.report_run(body, found, began))
    }

    fn report_run(&self, body: Body, found: Found, began: Instant) -> Report {
        if found.is_a_failure() {
            return self.explain(body, found, 1, began, Learnt::default());
        }
        self.report(Verdict::Clean, 1, began)
    }

    /// Runs one schedule by the strategy and the seed, and returns it, whatever comes of it: for tests of determinism.
    ///
    /// # Errors
    /// [`ReplayError::Crashed`] if it did not end.
    pub fn sample(&self, body: impl Fn() + Send + Sync + 'static) -> Result<Replay, ReplayError> {
        let once = Check { detectors: Detectors { determinism: false, ..self.detectors }, ..self.clone() };
        let plan = Plan::Explore { schedules: Some(1), until: None, share: Share::whole() };
        let strategy = Strategy::new(self.strategy, self.seed, self.bounds);
        let found = once.launch(plan, strategy, Arc::new(body), &Arc::new(Progress::default()), Learnt::default()).one_run()?;
        Ok(Replay::of(found, 1))
    }

    /// Runs the run whose choices are these, whatever comes of it, and returns it with every step: for tests of determinism.
    ///
    /// # Errors
    /// [`ReplayError::Crashed`] if it did not end.
    pub fn replay_deviations(
        &self,
        deviations: &[(u64, u64)],
        body: impl Fn() + Send + Sync + 'static,
    ) -> Result<Replay, ReplayError> {
        let body: Body = Arc::new(body);
        let found = self.replay_choices(&body, deviations.to_vec(), true, Learnt::default())?;
        Ok(Replay::of(found, 1))
    }

    fn replay_choices(
        &self,
        body: &Body,
        deviations: Vec<(u64, u64)>,
        record: bool,
        learnt: Learnt,
    ) -> Result<Found, ReplayError> {
        let progress = Arc::new(Progress::default());
        let strategy = Strategy::Replay(crate::strategy::Replay::new(deviations.clone()));
        let plan = Plan::Replay { deviations, record };
        self.launch(plan, strategy, Arc::clone(body), &progress, learnt).one_run()
    }

    /// The stress run: no engine, real threads, again and again. Only panics are seen.
    fn stress(&self, body: &Body, began: Instant) -> Report {
        let mut schedules = 0;
        let wanted = self.schedules.unwrap_or(u64::MAX);
        while schedules < wanted && self.budget.is_none_or(|budget| began.elapsed() < budget) {
            schedules += 1;
            if let Err(payload) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| body())) {
                let message = payload.downcast_ref::<String>().map(String::as_str).or(payload.downcast_ref::<&str>().copied());
                let finding = Finding::new(Detector::Panic, message.unwrap_or("a panic without a message"));
                return self.report(Verdict::Caught(finding), schedules, began);
            }
        }
        self.report(Verdict::Clean, schedules, began)
    }
}

impl Found {
    /// A run in which nothing was found comes without a reason.
    fn is_a_failure(&self) -> bool {
        !self.finding.reason.is_empty()
    }
}

enum Ended {
    Found(Box<Found>),
    Done(Box<Done>),
    Crashed(String),
}

impl Ended {
    /// The run, where there was to be one.
    fn one_run(self) -> Result<Found, ReplayError> {
        match self {
            Ended::Found(found) => Ok(*found),
            Ended::Done(done) => match (done.potentials.into_iter().next(), done.last) {
                (Some(potential), _) => Ok(potential),
                (None, Some(last)) => Ok(*last),
                (None, None) => Err(ReplayError::Crashed { why: "the run did not happen".to_owned() }),
            },
            Ended::Crashed(why) => Err(ReplayError::Crashed { why }),
        }
    }
}

fn fold(hash: u64) -> u32 {
    (hash ^ (hash >> 32)) as u32
}

fn deviations(choices: &[Choice]) -> Vec<(u64, u64)> {
    choices
        .iter()
        .enumerate()
        .filter(|(_, choice)| choice.value != 0)
        .map(|(place, choice)| (place as u64, choice.value))
        .collect()
}
