//! What a check, or a run that was had again, came to.

use super::{Orders, Shrinking};
use crate::choice::Choice;
use crate::coverage::Coverage;
use crate::engine::Engine;
use crate::run::Found;
use crate::strategy::{Bounds, StrategyName};
use crate::token::Token;
use crate::trace::Trace;
use crate::verdict::Verdict;
use std::time::Duration;

/// What a check came to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// Where it ran.
    pub engine: Engine,
    /// The outcome.
    pub verdict: Verdict,
    /// How many schedules ran.
    pub schedules: u64,
    /// Whether every run within the bounds was had.
    pub exhaustive: bool,
    /// The bounds, where the engine has them.
    pub bounds: Option<Bounds>,
    /// The strategy, where the engine has one.
    pub strategy: Option<StrategyName>,
    /// What replays the failure.
    pub token: Option<Token>,
    /// The hash of every step of the failing run.
    pub trace_hash: Option<u64>,
    /// How often the failing run took the processor from a thread that could go on. On loom: the bound that it takes, if that is known.
    pub preemptions: Option<u32>,
    /// The failing run's choices that are not 0.
    pub deviations: Vec<(u64, u64)>,
    /// How the failing run was shrunk, if it was.
    pub shrinking: Option<Shrinking>,
    /// What all the runs together saw.
    pub coverage: Coverage,
    /// In which order threads did what to what they share, for [`Check::run_bytes`](super::Check::run_bytes).
    pub orders: Option<Box<Orders>>,
    /// How long it took.
    pub wall: Duration,
}

/// What a replayed run came to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Replay {
    /// The outcome.
    pub verdict: Verdict,
    /// The hash of every step.
    pub trace_hash: u64,
    /// Every choice of the run. Empty on loom.
    pub choices: Vec<Choice>,
    /// How many schedules ran to get there: 1, or on loom the iteration that it counted up to.
    pub schedules: u64,
    /// The steps, if they were recorded.
    pub trace: Option<Trace>,
}

impl Replay {
    pub(super) fn of(found: Found, schedules: u64) -> Replay {
        Replay {
            verdict: if found.is_a_failure() { Verdict::Caught(found.finding) } else { Verdict::Clean },
            trace_hash: found.hash,
            choices: found.choices,
            schedules,
            trace: found.trace,
        }
    }
}

/// A token that does not replay.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The code makes other choices than when the token was printed.
    #[error("the code has changed since the token was printed: {why}")]
    Changed {
        /// What differs.
        why: String,
    },
    /// The token names a file of choices.
    #[error("the token names a file of choices, {digest:016x}.choices, which was not found")]
    NeedsFile {
        /// The digest that names the file.
        digest: u64,
    },
    /// The run did not end.
    #[error("the run did not end: {why}")]
    Crashed {
        /// How far it came.
        why: String,
    },
}
