//! What a check says in the end: a verdict, and what found it.

use crate::engine::Engine;
use std::fmt;
use std::str::FromStr;

/// What saw the failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Detector {
    /// A property of the program did not hold ([`crate::invariant!`]).
    Invariant,
    /// A panic that nothing caught.
    Panic,
    /// A cycle of threads that wait for each other, or for one that has ended.
    Deadlock,
    /// Two locks taken in both orders, though nothing hung.
    PotentialDeadlock,
    /// Everything is blocked, and nobody is left who could wake anyone.
    LostWakeup,
    /// An operation passed the virtual deadline that it states.
    Hang,
    /// Threads run, and none gets anywhere.
    Livelock,
    /// Two accesses to one cell, not ordered, one of them a write.
    Race,
    /// A released resource was used.
    UseAfterRelease,
    /// A released resource was released again.
    DoubleRelease,
    /// A resource or thread was left when the run ended.
    Leak,
    /// A task waited while it held a lock that blocks its thread.
    LockAcrossAwait,
    /// A lock from outside the facade blocked the run.
    ForeignLock,
    /// The same choices gave another run.
    Nondeterminism,
}

impl Detector {
    /// Every detector.
    pub const ALL: [Detector; 14] = [
        Detector::Invariant,
        Detector::Panic,
        Detector::Deadlock,
        Detector::PotentialDeadlock,
        Detector::LostWakeup,
        Detector::Hang,
        Detector::Livelock,
        Detector::Race,
        Detector::UseAfterRelease,
        Detector::DoubleRelease,
        Detector::Leak,
        Detector::LockAcrossAwait,
        Detector::ForeignLock,
        Detector::Nondeterminism,
    ];

    /// The name that tables and JSON use.
    pub const fn name(self) -> &'static str {
        match self {
            Detector::Invariant => "invariant",
            Detector::Panic => "panic",
            Detector::Deadlock => "deadlock",
            Detector::PotentialDeadlock => "potential-deadlock",
            Detector::LostWakeup => "lost-wakeup",
            Detector::Hang => "hang",
            Detector::Livelock => "livelock",
            Detector::Race => "race",
            Detector::UseAfterRelease => "use-after-release",
            Detector::DoubleRelease => "double-release",
            Detector::Leak => "leak",
            Detector::LockAcrossAwait => "lock-across-await",
            Detector::ForeignLock => "foreign-lock",
            Detector::Nondeterminism => "nondeterminism",
        }
    }
}

impl Detector {
    /// Why this detector sees nothing on `engine`; `None` where it sees.
    pub const fn blind_on(self, engine: Engine) -> Option<&'static str> {
        match (engine, self) {
            (Engine::Real, Detector::Panic) => None,
            (Engine::Real, _) => Some("production is not watched; a stress run sees panics, and what does not hold is one"),
            (Engine::Loom | Engine::Cases, Detector::LockAcrossAwait) => Some("there are no tasks; use shuttle"),
            (Engine::Loom, Detector::Hang) => Some("time does not pass by itself there; use shuttle"),
            (Engine::Loom, Detector::Livelock) => Some("loom takes an endless loop for a body too large; use shuttle"),
            (Engine::Loom, Detector::ForeignLock) => {
                Some("loom runs on when such a lock is free again, and its runs are too many to watch; use shuttle")
            }
            (Engine::Loom, Detector::Nondeterminism) => Some("loom does not run a schedule twice; use shuttle"),
            (Engine::Turmoil, Detector::Race) => Some("there is one thread; use shuttle or loom"),
            (Engine::Cases, Detector::PotentialDeadlock | Detector::Race | Detector::ForeignLock) => Some("there is one thread"),
            _ => None,
        }
    }
}

impl fmt::Display for Detector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Detector {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Detector::ALL
            .into_iter()
            .find(|detector| detector.name() == name)
            .ok_or_else(|| format!("expected a detector's name, got `{name}`"))
    }
}

/// One failure: which detector, why, and the particulars.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What saw it.
    pub detector: Detector,
    /// Why, in a form that stays the same when the schedule is shortened: shrinking keeps it.
    pub reason: String,
    /// The particulars of this run: who holds what, taken where.
    pub details: Vec<String>,
    /// The same as data: the cycle, the racing pair, who used what was released.
    pub involved: Vec<Involved>,
}

/// What one thread has to do with a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Involved {
    /// The thread, by number of spawning; 0 is the body.
    pub thread: u32,
    /// Its name.
    pub name: String,
    /// What it does, or did.
    pub deed: Deed,
    /// To what: the name of a lock, a cell, a resource, an operation, or a thread.
    pub what: String,
    /// Which object it is, as [`crate::trace::Trace::objects`] counts them.
    pub object: Option<u32>,
    /// The thread whose end is waited for.
    pub other: Option<u32>,
    /// Where, as `file:line`.
    pub site: String,
}

/// What a thread does that is part of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Deed {
    /// It holds a lock.
    Holds,
    /// It waits for a lock, or asks for one.
    WaitsFor,
    /// It waits for a thread's end.
    Joins,
    /// It waits for somebody to wake it.
    WaitsOn,
    /// It reads a cell.
    Reads,
    /// It writes a cell.
    Writes,
    /// It uses a resource.
    Uses,
    /// It releases a resource.
    Releases,
    /// It is within an operation.
    Operates,
}

impl Deed {
    pub(crate) const fn of_access(writes: bool) -> Deed {
        if writes { Deed::Writes } else { Deed::Reads }
    }

    /// The words between a thread and what it concerns.
    pub const fn verb(self) -> &'static str {
        match self {
            Deed::Holds => "holds",
            Deed::WaitsFor => "waits for",
            Deed::Joins => "waits for the end of",
            Deed::WaitsOn => "waits on",
            Deed::Reads => "reads",
            Deed::Writes => "writes",
            Deed::Uses => "uses",
            Deed::Releases => "releases",
            Deed::Operates => "is in",
        }
    }
}

impl Finding {
    /// A finding without particulars.
    pub fn new(detector: Detector, reason: impl Into<String>) -> Self {
        Finding { detector, reason: reason.into(), details: Vec::new(), involved: Vec::new() }
    }

    /// Adds a line of particulars.
    pub fn with(mut self, detail: impl Into<String>) -> Self {
        self.details.push(detail.into());
        self
    }

    /// Adds what a thread has to do with it, once.
    pub(crate) fn involving(mut self, involved: Involved) -> Self {
        if !self.involved.contains(&involved) {
            self.involved.push(involved);
        }
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.detector, self.reason)?;
        for detail in &self.details {
            write!(f, "\n  {detail}")?;
        }
        Ok(())
    }
}

/// The outcome of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// Nothing was found, within the bounds or the number of schedules that the report states.
    Clean,
    /// A detector found something.
    Caught(Finding),
    /// The budget or a bound ended the check. Never called clean.
    Inconclusive(String),
    /// The check itself ended badly: an abort, a stack overflow, a step that never returned.
    Crashed(String),
}

impl Verdict {
    /// The name that tables and JSON use.
    pub const fn name(&self) -> &'static str {
        match self {
            Verdict::Clean => "clean",
            Verdict::Caught(_) => "caught",
            Verdict::Inconclusive(_) => "inconclusive",
            Verdict::Crashed(_) => "crashed",
        }
    }

    /// The detector, if something was caught.
    pub fn detector(&self) -> Option<Detector> {
        match self {
            Verdict::Caught(finding) => Some(finding.detector),
            _ => None,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Clean => f.write_str("clean"),
            Verdict::Caught(finding) => write!(f, "caught: {finding}"),
            Verdict::Inconclusive(why) => write!(f, "inconclusive: {why}"),
            Verdict::Crashed(why) => write!(f, "crashed: {why}"),
        }
    }
}
