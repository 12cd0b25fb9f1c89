//! The turns: who comes next, what it found, and what they came to.

use super::FuzzArguments;
use super::build::Program;
use super::corpus::Corpora;
use super::finding::{self, Finding};
use super::slice::{self, Turn};
use super::state::State;
use crate::fuzzed::Target;
use crate::program::Failure;
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The longest turn, unless another is asked for.
const TURN_MAX: Duration = Duration::from_secs(30);
const TURN_MIN: Duration = Duration::from_secs(1);
/// One run of a target may take so long, in seconds, and so much memory, in megabytes.
const RUN_MAX_S: u32 = 60;
const MEMORY_MAX_MB: u32 = 4096;
/// A corpus is minimised between turns when it has this many times the entries that it had when it last was, and so many more.
const GROWTH: usize = 4;
const GROWTH_MIN: usize = 2_000;
/// What minimising one corpus may take.
const MINIMISING_MAX: Duration = Duration::from_secs(120);

/// A run of `glare fuzz`.
pub(super) struct Campaign<'a> {
    programs: Vec<Program>,
    corpora: Corpora,
    wanted: &'a FuzzArguments,
    interrupted: &'a AtomicBool,
    jobs: usize,
    turn: Duration,
    began: Instant,
    shared: Mutex<Shared>,
}

/// What the workers share.
struct Shared {
    state: State,
    /// The programs that somebody runs.
    busy: BTreeSet<usize>,
    turns: u64,
    failure: Option<Failure>,
}

impl<'a> Campaign<'a> {
    pub(super) fn new(
        programs: Vec<Program>,
        corpora: Corpora,
        state: State,
        wanted: &'a FuzzArguments,
        interrupted: &'a AtomicBool,
    ) -> Result<Self, Failure> {
        for program in &programs {
            corpora.prepare(&program.name, &program.target.first_inputs())?;
        }
        let cores = wanted.jobs.map_or_else(|| std::thread::available_parallelism().map_or(2, usize::from), usize::from);
        let jobs = cores.clamp(1, programs.len().max(1));
        let fair = wanted.time.mul_f64(jobs as f64 / programs.len().max(1) as f64);
        let turn = wanted.turn.unwrap_or(fair.clamp(TURN_MIN, TURN_MAX)).min(wanted.time);
        let shared = Mutex::new(Shared { state, busy: BTreeSet::new(), turns: 0, failure: None });
        Ok(Campaign { programs, corpora, wanted, interrupted, jobs, turn, began: Instant::now(), shared })
    }

    /// Turn after turn until the time is up.
    pub(super) fn run(&mut self) -> Result<(), Failure> {
        let (had, entries) = {
            let shared = self.shared();
            let had: u64 = shared.state.targets.values().map(|target| target.executions).sum();
            (had, self.programs.iter().map(|program| self.corpora.entries(&program.name)).sum::<usize>())
        };
        println!(
            "{} targets, {} at once, turns of {:.0?}, seed {}; {had} runs and {entries} entries from before",
            self.programs.len(),
            self.jobs,
            self.turn,
            self.wanted.seed
        );
        self.began = Instant::now();
        std::thread::scope(|scope| (0..self.jobs).for_each(|_| _ = scope.spawn(|| self.work())));
        match self.shared().failure.take() {
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }

    fn work(&self) {
        while let Some((index, number)) = self.next() {
            let done = self.one_turn(index, number);
            let mut shared = self.shared();
            shared.busy.remove(&index);
            if let Err(failure) = done {
                shared.failure = Some(failure);
            }
        }
    }

    /// Who has had least by its weight, of those that nobody runs, and the number of its turn.
    fn next(&self) -> Option<(usize, u64)> {
        let mut shared = self.shared();
        if self.is_over() || shared.failure.is_some() {
            return None;
        }
        let pass = |index: usize| shared.state.targets.get(&self.programs[index].name).map_or(0.0, |target| target.pass);
        let free = (0..self.programs.len()).filter(|index| !shared.busy.contains(index));
        let next = free.min_by(|a, b| pass(*a).total_cmp(&pass(*b)))?;
        shared.busy.insert(next);
        shared.turns += 1;
        Some((next, shared.turns))
    }

    fn is_over(&self) -> bool {
        self.interrupted.load(Ordering::SeqCst) || self.left() < TURN_MIN / 2
    }

    fn left(&self) -> Duration {
        self.wanted.time.saturating_sub(self.began.elapsed())
    }

    fn one_turn(&self, index: usize, number: u64) -> Result<(), Failure> {
        let program = &self.programs[index];
        let name = &program.name;
        let time = self.turn.min(self.left());
        // Else a target that was killed in the middle would have the same turn again.
        let had = self.shared().state.targets.get(name).map_or(0, |target| target.turns);
        let seed = u64::from(self.wanted.seed).wrapping_mul(1_000_003).wrapping_add(had) as u32;
        let mut arguments = vec![
            // libFuzzer takes 0 for a seed of its own choice.
            format!("-seed={}", seed.max(1)),
            format!("-max_total_time={}", time.as_secs().max(1)),
            "-print_final_stats=1".to_owned(),
            format!("-timeout={RUN_MAX_S}"),
            format!("-rss_limit_mb={MEMORY_MAX_MB}"),
            format!("-artifact_prefix={}/", self.corpora.artifacts(name).display()),
            self.corpora.kept(name).display().to_string(),
        ];
        if matches!(program.target, Target::Schedules(_)) {
            // Else it begins with the shortest inputs, and long ones are what get a run far.
            arguments.push("-len_control=0".to_owned());
        }
        if self.corpora.seeds(name).is_dir() {
            arguments.push(self.corpora.seeds(name).display().to_string());
        }
        let turn = slice::run(&program.path, &arguments, time, self.interrupted)
            .map_err(|error| Failure::System(format!("{} was not run: {error}", program.path.display())))?;
        let Some(turn) = turn else { return Ok(()) };
        let new = self.look_at_artifacts(name, &turn);
        let mut shared = self.shared();
        shared.state.targets.entry(name.clone()).or_default().add(&turn);
        shared.state.save(&self.wanted.dir)?;
        drop(shared);
        self.tell_turn(name, number, &turn, &new);
        let (entries, minimised_to) =
            (self.corpora.entries(name), self.shared().state.targets.get(name).map_or(0, |target| target.minimised_to));
        if entries > GROWTH_MIN + GROWTH * minimised_to {
            self.minimise_one(program)?;
        }
        Ok(())
    }

    /// Looks at what libFuzzer left: what is new is told.
    fn look_at_artifacts(&self, name: &str, turn: &Turn) -> Vec<Finding> {
        let files: Vec<PathBuf> = {
            let shared = self.shared();
            self.corpora.found(name).into_iter().filter(|file| !shared.state.seen.contains(file)).collect()
        };
        let mut new = Vec::new();
        for file in files {
            // A run that is merely slow is no failure.
            let is_slow = file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("slow-unit"));
            let finding = (!is_slow).then(|| finding::look_at(name, &file, &turn.last_words));
            let mut shared = self.shared();
            shared.state.seen.insert(file);
            if let Some(finding) = finding
                && finding::add(&mut shared.state.findings, finding.clone())
            {
                new.push(finding);
            }
        }
        new
    }

    fn tell_turn(&self, name: &str, number: u64, turn: &Turn, new: &[Finding]) {
        let left = self.left().as_secs();
        println!(
            "[{number:>4}, {:>2}:{:02}:{:02} left] {name:<26} {:>9} runs {:>8.0}/s  cov {:>6} ft {:>6}  corpus {:>5} (+{})",
            left / 3600,
            left / 60 % 60,
            left % 60,
            turn.executions,
            turn.executions as f64 / turn.seconds.max(0.001),
            turn.coverage,
            turn.features,
            self.corpora.entries(name),
            turn.new_entries
        );
        for finding in new {
            println!("found by {name}: {}: {}", finding.detector, finding.reason);
            match &finding.token {
                Some(token) => println!("  {token}"),
                None => println!("  {}", finding.file.display()),
            }
        }
        if turn.failed && new.is_empty() {
            println!("  {name} ended: {}", turn.last_words);
        }
    }

    /// Leaves out of each corpus what the others of its entries reach.
    pub(super) fn minimise(&mut self) -> Result<(), Failure> {
        if self.interrupted.load(Ordering::SeqCst) {
            println!("interrupted: the corpora are kept as they are");
            return Ok(());
        }
        let next = Mutex::new(self.programs.iter());
        let failure = Mutex::new(None);
        std::thread::scope(|scope| {
            for _ in 0..self.jobs {
                scope.spawn(|| {
                    loop {
                        let Some(program) = next.lock().ok().and_then(|mut programs| programs.next()) else { break };
                        if let Err(error) = self.minimise_one(program)
                            && let Ok(mut failure) = failure.lock()
                        {
                            *failure = Some(error);
                        }
                    }
                });
            }
        });
        match failure.into_inner() {
            Ok(Some(failure)) => Err(failure),
            _ => Ok(()),
        }
    }

    fn minimise_one(&self, program: &Program) -> Result<(), Failure> {
        let name = &program.name;
        let before = self.corpora.entries(name);
        let minimised_to = self.shared().state.targets.get(name).map_or(0, |target| target.minimised_to);
        if before == 0 || before == minimised_to || self.interrupted.load(Ordering::SeqCst) {
            return Ok(());
        }
        let system = |error: std::io::Error| Failure::System(format!("the corpus of {name} was not minimised: {error}"));
        let folder = self.corpora.minimised(name).map_err(system)?;
        let kept = self.corpora.kept(name);
        let arguments = [
            "-merge=1".to_owned(),
            format!("-max_total_time={}", MINIMISING_MAX.as_secs()),
            format!("-timeout={RUN_MAX_S}"),
            format!("-rss_limit_mb={MEMORY_MAX_MB}"),
            format!("-artifact_prefix={}/", self.corpora.artifacts(name).display()),
            folder.display().to_string(),
            kept.display().to_string(),
        ];
        let began = Instant::now();
        let merged = slice::run(&program.path, &arguments, MINIMISING_MAX, self.interrupted).map_err(system)?;
        let is_whole = merged.is_some_and(|turn| !turn.failed) && began.elapsed() < MINIMISING_MAX;
        if !is_whole || std::fs::read_dir(&folder).map_err(system)?.next().is_none() {
            println!("{name}: minimising did not end; its corpus is kept as it is");
            return Ok(());
        }
        self.corpora.replace(name).map_err(system)?;
        let after = self.corpora.entries(name);
        println!("{name}: corpus of {before} minimised to {after}");
        let mut shared = self.shared();
        shared.state.targets.entry(name.clone()).or_default().minimised_to = after;
        shared.state.save(&self.wanted.dir)
    }

    /// What all runs so far came to.
    pub(super) fn summary(&self) -> Summary {
        let shared = self.shared();
        let targets = self.programs.iter().map(|program| {
            let counted = shared.state.targets.get(&program.name).cloned().unwrap_or_default();
            Line {
                target: program.name.clone(),
                executions: counted.executions,
                executions_per_s: counted.executions_per_s().round(),
                seconds: counted.seconds.round(),
                turns: counted.turns,
                coverage: counted.coverage,
                features: counted.features,
                corpus: self.corpora.entries(&program.name),
                findings: shared.state.findings.iter().filter(|finding| finding.target == program.name).count(),
            }
        });
        Summary {
            seconds: self.began.elapsed().as_secs(),
            seed: self.wanted.seed,
            targets: targets.collect(),
            findings: shared.state.findings.clone(),
        }
    }

    fn shared(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// What all runs so far came to.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    /// How long this run took.
    seconds: u64,
    seed: u32,
    targets: Vec<Line>,
    pub(super) findings: Vec<Finding>,
}

/// A target's line.
#[derive(Debug, Serialize)]
struct Line {
    target: String,
    executions: u64,
    executions_per_s: f64,
    seconds: f64,
    turns: u64,
    coverage: u64,
    features: u64,
    corpus: usize,
    findings: usize,
}

impl Summary {
    pub(super) fn table(&self) -> String {
        let mut out = format!(
            "{:<26} {:>12} {:>9} {:>8} {:>6} {:>8} {:>8} {:>7} {:>6}\n",
            "target", "runs", "runs/s", "time", "turns", "coverage", "features", "corpus", "found"
        );
        for line in &self.targets {
            out.push_str(&format!(
                "{:<26} {:>12} {:>9} {:>7}s {:>6} {:>8} {:>8} {:>7} {:>6}\n",
                line.target,
                line.executions,
                line.executions_per_s,
                line.seconds,
                line.turns,
                line.coverage,
                line.features,
                line.corpus,
                line.findings
            ));
        }
        for finding in &self.findings {
            out.push_str(&format!(
                "{}: {}: {} ({} times, first in {})\n",
                finding.target,
                finding.detector,
                finding.reason,
                finding.times,
                finding.file.display()
            ));
            if let Some(token) = &finding.token {
                out.push_str(&format!("  {token}\n"));
            }
        }
        let runs: u64 = self.targets.iter().map(|line| line.executions).sum();
        out.push_str(&format!("{runs} runs of {} targets, {} findings\n", self.targets.len(), self.findings.len()));
        out
    }
}
