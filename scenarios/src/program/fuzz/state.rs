//! What is counted over all runs: a file that is replaced whole after each turn.

use super::finding::Finding;
use super::slice::Turn;
use crate::program::Failure;
use crate::program::whole_file::WholeFile;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What is counted.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) targets: BTreeMap<String, Counted>,
    pub(super) findings: Vec<Finding>,
    /// Files of artifacts that were looked at.
    pub(super) seen: BTreeSet<PathBuf>,
}

/// What is counted of a target.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Counted {
    pub(super) executions: u64,
    pub(super) seconds: f64,
    pub(super) turns: u64,
    pub(super) coverage: u64,
    pub(super) features: u64,
    /// How many entries its corpus had when it was last minimised.
    pub(super) minimised_to: usize,
    /// How much it found of late: what weighs its turns.
    pub(super) interest: f64,
    /// How much time it has had by its weight: who has least comes next.
    pub(super) pass: f64,
}

fn file(dir: &Path) -> PathBuf {
    dir.join("state.json")
}

impl State {
    /// What the runs before counted, if there were any.
    pub(super) fn load(dir: &Path) -> Result<State, Failure> {
        let path = file(dir);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(State::default()),
            Err(error) => return Err(Failure::System(format!("{} was not read: {error}", path.display()))),
        };
        let wrong = |error| Failure::System(format!("{} is of another version or damaged: {error}", path.display()));
        serde_json::from_slice(&text).map_err(wrong)
    }

    pub(super) fn save(&self, dir: &Path) -> Result<(), Failure> {
        WholeFile::create(&file(dir))?.write_json(self)
    }
}

impl Counted {
    /// Takes a turn into account.
    pub(super) fn add(&mut self, turn: &Turn) {
        self.executions += turn.executions;
        self.seconds += turn.seconds;
        self.turns += 1;
        if turn.features > 0 {
            (self.coverage, self.features) = (turn.coverage, turn.features);
        }
        self.pass += turn.seconds / self.weight();
        self.interest = self.interest / 2.0 + turn.new_entries as f64;
    }

    /// How much more time it is given than who finds nothing: up to eight times.
    pub(super) fn weight(&self) -> f64 {
        (1.0 + self.interest.sqrt()).min(8.0)
    }

    pub(super) fn executions_per_s(&self) -> f64 {
        if self.seconds > 0.0 { self.executions as f64 / self.seconds } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_finds_more_has_more_turns_and_everybody_has_some() {
        let mut targets: Vec<Counted> = vec![Counted::default(); 3];
        for _ in 0..900 {
            let next = (0..3).min_by(|a, b| targets[*a].pass.total_cmp(&targets[*b].pass)).unwrap();
            let new_entries = [0, 2, 200][next];
            targets[next].add(&Turn { executions: 10, seconds: 1.0, new_entries, ..Turn::default() });
        }
        let turns: Vec<u64> = targets.iter().map(|target| target.turns).collect();
        assert!(turns[0] > 60 && turns[0] * 2 < turns[1] && turns[1] < turns[2], "{turns:?}");
        assert!(turns[2] <= 8 * (turns[0] + 1), "{turns:?}");
    }
}
