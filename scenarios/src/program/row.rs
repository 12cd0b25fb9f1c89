//! One row of the table: what a check was to come to, and came to.

use crate::exhibit::{Exhibit, Expected, On, Subject};
use serde::{Deserialize, Serialize};
use sim::explore::Report;
use sim::verdict::Verdict;

/// The bounds of the engine for inputs: nothing but the inputs is chosen.
const EVERY_INPUT: &str = "every input";

/// What `--json` writes of a check.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The exhibit.
    pub exhibit: String,
    /// The subject.
    pub subject: String,
    /// The engine.
    pub engine: String,
    /// How schedules were picked, where that is a question.
    pub strategy: Option<String>,
    /// What it must come to: clean, caught, crashed, inconclusive, unseen (clean, though the bug is there), not run.
    pub expected: String,
    /// The detector that must see it.
    pub expected_detector: Option<String>,
    /// What it came to. Nothing if it was not run.
    pub verdict: Option<String>,
    /// The detector that saw something.
    pub detector: Option<String>,
    /// How many schedules ran.
    pub schedules: u64,
    /// Whether that was every one within the bounds.
    pub exhaustive: bool,
    /// The bounds, where there are any.
    pub bounds: Option<String>,
    /// How long it took, in milliseconds.
    pub wall_ms: u64,
    /// What replays the failure.
    pub token: Option<String>,
    /// How many preemptions the failure has, where that is known.
    pub preemptions: Option<u32>,
    /// The fewest that show it, where the subject states them.
    pub fewest_preemptions: Option<u32>,
    /// How long the failure was shrunk, in milliseconds.
    pub shrink_ms: Option<u64>,
    /// The hash of the failing run's steps, 16 hexadecimal digits.
    pub trace_hash: Option<String>,
    /// What was found, or why nothing was said.
    pub detail: Option<String>,
    /// What the runs of a clean check saw.
    pub coverage: Option<String>,
}

impl Row {
    /// The row of a check that was not run yet.
    pub(crate) fn planned(exhibit: &Exhibit, subject: &Subject, on: &On) -> Row {
        let samples = matches!(on.engine, sim::Engine::Shuttle | sim::Engine::Turmoil | sim::Engine::Cases);
        Row {
            exhibit: exhibit.name.to_owned(),
            subject: subject.name.to_owned(),
            engine: on.engine.name().to_owned(),
            strategy: samples.then(|| on.strategy.name().to_owned()),
            expected: on.expected.name().to_owned(),
            expected_detector: on.expected.detector().map(|detector| detector.name().to_owned()),
            fewest_preemptions: subject.fewest_preemptions,
            bounds: match on.engine {
                engine @ sim::Engine::Loom => Some(on.bounds.on(engine)),
                engine @ sim::Engine::Turmoil if on.strategy == sim::StrategyName::Dfs => Some(on.bounds.on(engine)),
                sim::Engine::Cases => Some(EVERY_INPUT.to_owned()),
                _ => None,
            },
            detail: match on.expected {
                Expected::Unseen(why) | Expected::NotRun(why) => Some(why.to_owned()),
                _ => None,
            },
            ..Row::default()
        }
    }

    /// Fills in what came of the check.
    pub(crate) fn completed(mut self, report: &Report, token: Option<String>) -> Row {
        self.verdict = Some(report.verdict.name().to_owned());
        self.detector = report.verdict.detector().map(|detector| detector.name().to_owned());
        self.schedules = report.schedules;
        self.exhaustive = report.exhaustive;
        if report.engine != sim::Engine::Cases {
            self.bounds = report.bounds.map(|bounds| bounds.on(report.engine));
        }
        self.strategy = report.strategy.map(|strategy| strategy.name().to_owned());
        self.wall_ms = millis(report.wall);
        self.token = token;
        self.preemptions = report.preemptions;
        self.shrink_ms = report.shrinking.map(|shrinking| millis(shrinking.wall));
        self.trace_hash = report.trace_hash.map(|hash| format!("{hash:016x}"));
        match &report.verdict {
            // There is one thread, so nothing overlaps: every input was had, and that is all there is to say.
            Verdict::Clean if report.engine == sim::Engine::Cases => {}
            Verdict::Clean => self.coverage = Some(report.coverage.summary()),
            verdict => self.detail = Some(verdict.to_string()),
        }
        self
    }

    /// Fills in a check whose process ended without a word.
    pub(crate) fn crashed(mut self, why: String, wall_ms: u64) -> Row {
        self.verdict = Some("crashed".to_owned());
        self.detail = Some(format!("crashed: {why}"));
        self.wall_ms = wall_ms;
        self
    }

    /// Whether it came to what it must.
    pub fn is_as_expected(&self) -> bool {
        let expected = if self.expected == "unseen" { "clean" } else { &self.expected };
        match &self.verdict {
            None => self.expected == "not run",
            Some(verdict) => verdict == expected && self.detector == self.expected_detector,
        }
    }
}

fn millis(wall: std::time::Duration) -> u64 {
    u64::try_from(wall.as_millis()).unwrap_or(u64::MAX)
}
