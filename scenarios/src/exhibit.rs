//! What an exhibit is made of.

use sim::explore::{Check, Report};
use sim::verdict::{Detector, Verdict};
use sim::{Bounds, Engine, StrategyName};
use std::fmt;

/// A historic bug, and the versions of its code.
#[derive(Clone, Debug)]
pub struct Exhibit {
    /// Its name.
    pub name: &'static str,
    /// What happened, in a line.
    pub story: &'static str,
    /// The versions, our own stack last.
    pub subjects: Vec<Subject>,
}

/// One version of the code under the exhibit's driver.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Its name.
    pub name: &'static str,
    /// What it is, in a line.
    pub about: &'static str,
    /// The engines it runs on, and what each must say.
    pub on: Vec<On>,
    /// The fewest preemptions that show the bug: as loom counts them, or dfs on shuttle where it does not run on loom.
    pub fewest_preemptions: Option<u32>,
    /// What the bug does when nothing runs at once.
    pub sequential: Sequential,
    /// One run.
    pub body: fn(),
    /// One run in which one operation ends before the next begins, in the order that [`sim::choose`] gives.
    pub in_sequence: Option<fn()>,
    /// What its runs on shuttle must have seen, for a clean row that claims to have had everything at once.
    pub must_see: Option<MustSee>,
}

/// What the runs of a clean row must have seen to say something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MustSee {
    /// Operations of which every two overlapped, and each with itself.
    pub operations: &'static [&'static str],
    /// Pairs of them that must never overlap, as that is the property.
    pub never: &'static [[&'static str; 2]],
    /// Pairs of them that the driver does not have at once.
    pub not_driven: &'static [[&'static str; 2]],
    /// What became of its timers.
    pub timers: Timers,
}

/// What must have become of a subject's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timers {
    /// There are none.
    None,
    /// Each was fired and beaten.
    Both,
    /// Each was fired and beaten, but those of these files, as `clock/task.rs`: the driver only lets them fire, or only be beaten.
    BothBut(&'static [&'static str]),
}

/// What a subject does when its operations come one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sequential {
    /// Every order is clean: the bug is a race.
    Clean,
    /// Every order is clean, and the run that makes only dull choices is one in which locks were taken in both orders: the deadlock that
    /// did not happen is seen there, as a potential one.
    Foreseen,
    /// Some order fails, for the reason given: the bug needs no race.
    Fails(&'static str),
}

/// A subject on an engine.
#[derive(Clone, Debug)]
pub struct On {
    /// The engine.
    pub engine: Engine,
    /// What it must say.
    pub expected: Expected,
    /// The bounds, on loom and in dfs.
    pub bounds: Bounds,
    /// How schedules are picked unless the command line says otherwise.
    pub strategy: StrategyName,
    /// How many schedules are run unless the command line says otherwise, on engines that sample.
    pub schedules: Option<u64>,
    /// One run here, where the engine tells the story in its own way: turmoil has tasks and no threads.
    pub body: Option<fn()>,
    /// One of the many pairs of operations: it runs where its subject is named or pairs are asked for, and not in a run of everything.
    pub is_pair: bool,
}

/// What a check must come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Nothing is found.
    Clean,
    /// This detector, and no other, finds something.
    Caught(Detector),
    /// The check crashes, and the rest of the run goes on.
    Crashed,
    /// A bound ends the check.
    Inconclusive,
    /// The bug is there and the engine finds nothing: it cannot see it, for this reason.
    Unseen(&'static str),
    /// The engine cannot run it, for this reason: the check is skipped and counted.
    NotRun(&'static str),
}

impl Expected {
    /// The name that tables and JSON use.
    pub const fn name(self) -> &'static str {
        match self {
            Expected::Clean => "clean",
            Expected::Caught(_) => "caught",
            Expected::Crashed => "crashed",
            Expected::Inconclusive => "inconclusive",
            Expected::Unseen(_) => "unseen",
            Expected::NotRun(_) => "not run",
        }
    }

    /// The detector that must see it.
    pub const fn detector(self) -> Option<Detector> {
        match self {
            Expected::Caught(detector) => Some(detector),
            _ => None,
        }
    }

    /// Whether this is what a check came to.
    pub fn is_met_by(self, verdict: &Verdict) -> bool {
        let name = if matches!(self, Expected::Unseen(_)) { "clean" } else { self.name() };
        name == verdict.name() && self.detector() == verdict.detector()
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expected::Caught(detector) => write!(f, "caught by {detector}"),
            Expected::Unseen(why) | Expected::NotRun(why) => write!(f, "{}: {why}", self.name()),
            _ => f.write_str(self.name()),
        }
    }
}

impl On {
    /// On loom, exhaustive within the default bounds (three preemptions, two firings).
    pub fn loom(expected: Expected) -> Self {
        On {
            engine: Engine::Loom,
            expected,
            bounds: Bounds::default(),
            strategy: StrategyName::Swarm,
            schedules: None,
            body: None,
            is_pair: false,
        }
    }

    /// On shuttle, 3,000 schedules as a swarm draws them.
    pub fn shuttle(expected: Expected) -> Self {
        On { engine: Engine::Shuttle, schedules: Some(3_000), ..On::loom(expected) }
    }

    /// On turmoil, every order of deliveries within the default bounds (two firings, one fault).
    pub fn turmoil(expected: Expected) -> Self {
        On { engine: Engine::Turmoil, strategy: StrategyName::Dfs, ..On::loom(expected) }
    }

    /// For real, again and again: a stress run.
    pub fn real(expected: Expected) -> Self {
        On { engine: Engine::Real, schedules: Some(20), ..On::loom(expected) }
    }

    /// On the engine for inputs, exhaustive.
    pub fn cases(expected: Expected) -> Self {
        On { engine: Engine::Cases, strategy: StrategyName::Dfs, ..On::loom(expected) }
    }

    /// With a body of its own.
    pub fn body(mut self, body: fn()) -> Self {
        self.body = Some(body);
        self
    }

    /// As one of the pairs.
    pub fn as_pair(mut self) -> Self {
        self.is_pair = true;
        self
    }

    /// One run of `subject` here.
    pub fn body_of(&self, subject: &Subject) -> fn() {
        self.body.unwrap_or(subject.body)
    }

    /// With other bounds.
    pub fn within(mut self, bounds: Bounds) -> Self {
        self.bounds = bounds;
        self
    }

    /// With another number of schedules.
    pub fn schedules(mut self, schedules: u64) -> Self {
        self.schedules = Some(schedules);
        self
    }

    /// With another strategy.
    pub fn strategy(mut self, strategy: StrategyName) -> Self {
        self.strategy = strategy;
        if strategy == StrategyName::Dfs {
            self.schedules = None;
        }
        self
    }

    /// The check of `subject` here.
    pub fn check(&self, exhibit: &Exhibit, subject: &Subject) -> Check {
        Check::new(exhibit.name, subject.name, self.engine).bounds(self.bounds).strategy(self.strategy).schedules(self.schedules)
    }

    /// Runs the check.
    pub fn run(&self, exhibit: &Exhibit, subject: &Subject) -> Report {
        self.check(exhibit, subject).run(self.body_of(subject))
    }
}

impl Exhibit {
    /// The subject of this name.
    pub fn subject(&self, name: &str) -> Option<&Subject> {
        self.subjects.iter().find(|subject| subject.name == name)
    }
}

impl Subject {
    /// A version of the code, of which nothing else is stated.
    pub fn new(name: &'static str, about: &'static str, on: Vec<On>, body: fn()) -> Self {
        Subject {
            name,
            about,
            on,
            fewest_preemptions: None,
            sequential: Sequential::Clean,
            body,
            in_sequence: None,
            must_see: None,
        }
    }

    /// A version of code in which nothing runs at once: every input is tried.
    pub fn of_inputs(name: &'static str, about: &'static str, expected: Expected, body: fn()) -> Self {
        Subject::new(name, about, vec![On::cases(expected)], body)
    }

    /// Where it runs on `engine`, if it does.
    pub fn on(&self, engine: Engine) -> Option<&On> {
        self.on.iter().find(|on| on.engine == engine)
    }
}
