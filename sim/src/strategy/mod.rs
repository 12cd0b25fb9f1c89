//! Who answers `choose`: the strategies over the choice sequence.

mod dfs;
mod pct;
mod pos;
mod replay;
mod sampling;
mod step;
mod stream;
mod surw;
mod urw;

use crate::choice::Kind;
use crate::engine::Engine;
use crate::net::link::Chance;
use dfs::Dfs;
use std::fmt;
use std::str::FromStr;

pub(crate) use replay::{Bytes, Replay};
pub(crate) use sampling::{LEARNING_RUNS, Sampling};
pub(crate) use step::Step;

/// How schedules are picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StrategyName {
    /// Every answer drawn evenly.
    Random,
    /// Random thread priorities with a few random change points (PCT, Burckhardt et al., ASPLOS 2010).
    Pct,
    /// A uniform random walk: a thread is drawn in proportion to the steps it is expected to have left.
    Urw,
    /// Partial-order sampling: a random priority for each step, drawn anew where steps conflict (Yuan et al., CAV 2018).
    Pos,
    /// A selectively uniform random walk: even over the orders of what happens to some objects (Zhao et al., ASPLOS 2025).
    Surw,
    /// Each run draws which of pct, pos and surw picks it, and in which manner, how likely time and the network are to interfere, and which
    /// faults the network has.
    Swarm,
    /// Every sequence of answers, depth first, but of runs that differ only in the order of steps that do not conflict one. For
    /// kernels.
    Dfs,
}

impl StrategyName {
    /// Every strategy.
    pub const ALL: [StrategyName; 7] = [
        StrategyName::Random,
        StrategyName::Pct,
        StrategyName::Urw,
        StrategyName::Pos,
        StrategyName::Surw,
        StrategyName::Swarm,
        StrategyName::Dfs,
    ];

    /// The name that tables and the command line use.
    pub const fn name(self) -> &'static str {
        match self {
            StrategyName::Random => "random",
            StrategyName::Pct => "pct",
            StrategyName::Urw => "urw",
            StrategyName::Pos => "pos",
            StrategyName::Surw => "surw",
            StrategyName::Swarm => "swarm",
            StrategyName::Dfs => "dfs",
        }
    }
}

impl fmt::Display for StrategyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for StrategyName {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        StrategyName::ALL
            .into_iter()
            .find(|strategy| strategy.name() == name)
            .ok_or_else(|| format!("expected a strategy (random, pct, urw, pos, surw, swarm or dfs), got `{name}`"))
    }
}

/// The bounds within which a search is exhaustive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// How often a run may take the processor from a thread that could go on.
    pub preemptions: Option<u32>,
    /// How often a timed wait may end by its time: on loom for each thread and place, in dfs ahead of time for a whole run. On
    /// turmoil: how often time passes though a packet could arrive.
    pub firings: u32,
    /// How often a dfs harms a packet, in a whole run.
    pub faults: u32,
}

impl Default for Bounds {
    /// Three preemptions, two firings, and one fault.
    fn default() -> Self {
        Bounds { preemptions: Some(3), firings: 2, faults: 1 }
    }
}

impl Bounds {
    /// The bounds that count on `engine`, as tables say them: loom harms no packets, and turmoil takes no processor away.
    pub fn on(&self, engine: Engine) -> String {
        let preemptions = match self.preemptions {
            Some(preemptions) => format!("preemptions<={preemptions}"),
            None => "preemptions unbounded".to_owned(),
        };
        let (firings, faults) = (format!("firings<={}", self.firings), format!("faults<={}", self.faults));
        match engine {
            Engine::Loom => [preemptions, firings].join(", "),
            Engine::Turmoil => [firings, faults].join(", "),
            _ => [preemptions, firings, faults].join(", "),
        }
    }
}

#[derive(Debug)]
pub(crate) enum Strategy {
    Sampling(Box<Sampling>),
    Dfs(Box<Dfs>),
    Replay(Replay),
    Bytes(Bytes),
}

impl Strategy {
    /// For an engine that decides by itself.
    pub(crate) fn none() -> Self {
        Strategy::Replay(Replay::new(Vec::new()))
    }

    pub(crate) fn new(name: StrategyName, seed: u64, bounds: Bounds) -> Self {
        match name {
            StrategyName::Dfs => Strategy::Dfs(Box::new(Dfs::new(bounds))),
            name => Strategy::Sampling(Box::new(Sampling::new(name, seed))),
        }
    }

    /// Prepares for run number `index`. False when every run has been had.
    pub(crate) fn begin(&mut self, index: u64) -> bool {
        match self {
            Strategy::Sampling(sampling) => sampling.begin(index),
            Strategy::Dfs(dfs) => return dfs.begin(),
            Strategy::Replay(replay) => {
                replay.next = 0;
                replay.index = 0;
            }
            Strategy::Bytes(bytes) => bytes.begin(),
        }
        true
    }

    /// Picks among `threads`, the first of which is the dull answer. `state` names all that the steps so far have led to, where that
    /// is known.
    #[inline]
    pub(crate) fn schedule(&mut self, threads: &[u32], preempts: bool, state: Option<u64>) -> usize {
        let arity = threads.len() as u64;
        match self {
            Strategy::Sampling(sampling) => sampling.schedule(threads),
            Strategy::Dfs(dfs) => dfs.schedule(arity, preempts, state) as usize,
            Strategy::Replay(replay) => replay.answer(arity) as usize,
            Strategy::Bytes(bytes) => bytes.answer(arity) as usize,
        }
    }

    #[inline]
    pub(crate) fn choose(&mut self, kind: Kind, arity: u64) -> u64 {
        match self {
            Strategy::Sampling(sampling) => sampling.choose(kind, arity),
            Strategy::Dfs(dfs) => dfs.choose(kind, arity),
            Strategy::Replay(replay) => replay.answer(arity),
            Strategy::Bytes(bytes) => bytes.choose(kind, arity),
        }
    }

    /// An answer other than 0 has this chance, and all of them the same; `arity` is above 1.
    #[inline]
    pub(crate) fn choose_with_odds(&mut self, kind: Kind, arity: u64, chance: Chance) -> u64 {
        match self {
            Strategy::Sampling(sampling) => sampling.choose_with_odds(kind, arity, chance),
            Strategy::Dfs(dfs) => dfs.choose(kind, arity),
            Strategy::Replay(replay) => replay.answer(arity),
            Strategy::Bytes(bytes) => bytes.choose(kind, arity),
        }
    }

    /// Which of `packets` arrives next; one more answer, if `time_may_pass`, lets time pass first.
    pub(crate) fn choose_delivery(&mut self, packets: u64, time_may_pass: bool) -> u64 {
        let arity = packets + u64::from(time_may_pass);
        match self {
            Strategy::Sampling(sampling) => sampling.choose_delivery(packets, time_may_pass),
            Strategy::Dfs(dfs) => dfs.choose_delivery(packets, time_may_pass),
            Strategy::Replay(replay) => replay.answer(arity),
            Strategy::Bytes(bytes) => bytes.answer(arity),
        }
    }

    /// Told of every step that a thread is about to make.
    #[inline]
    pub(crate) fn arrived(&mut self, thread: u32, step: Step) {
        if let Strategy::Sampling(sampling) = self {
            sampling.arrived(thread, step);
        }
    }

    /// Told that the step which a thread was about to make happens.
    #[inline]
    pub(crate) fn happens(&mut self, thread: u32) {
        if let Strategy::Sampling(sampling) = self {
            sampling.happens(thread);
        }
    }

    /// Told of every thread that is spawned.
    pub(crate) fn spawned(&mut self, parent: u32, child: u32) {
        if let Strategy::Sampling(sampling) = self {
            sampling.spawned(parent, child);
        }
    }

    /// Whether it leaves out runs that it has had in another order, and so is to be told of states.
    pub(crate) fn reduces(&self) -> bool {
        matches!(self, Strategy::Dfs(_))
    }

    /// Whether every run within the bounds has been had, after [`Strategy::begin`] said false.
    pub(crate) fn was_exhaustive(&self) -> bool {
        matches!(self, Strategy::Dfs(dfs) if !dfs.cut)
    }

    /// For a replay: the first recorded answer that the run had no use for.
    pub(crate) fn misfit(&self) -> Option<String> {
        match self {
            Strategy::Replay(replay) => replay.misfit(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_answer_one_choice_each_and_then_nothing_happens() {
        let mut bytes = Strategy::Bytes(Bytes::new(&[7, 239, 240, 255, 128]));
        assert!(bytes.begin(0));
        assert_eq!(bytes.choose(Kind::Input, 5), 2);
        assert_eq!([bytes.choose(Kind::Timer, 2), bytes.choose(Kind::Timer, 2)], [0, 1]);
        assert_eq!(bytes.choose_with_odds(Kind::Loss, 3, Chance::NEVER), 2);
        assert_eq!(bytes.choose(Kind::Input, 1 << 32), 1 << 31);
        assert_eq!([bytes.choose(Kind::Input, 9), bytes.choose(Kind::Timer, 2)], [0, 0]);
        assert_eq!(bytes.schedule(&[3, 4], true, None), 0);
    }

    #[test]
    fn bytes_let_rare_things_happen_so_often_only() {
        let mut bytes = Strategy::Bytes(Bytes::new(&[255; 100]));
        for _ in 0..2 {
            assert!(bytes.begin(0));
            let mut happens = |kind| (0..30).map(|_| bytes.choose(kind, 2)).sum::<u64>();
            assert_eq!([happens(Kind::Timer), happens(Kind::Loss), happens(Kind::Corrupt)], [8, 16, 0]);
            assert_eq!(bytes.choose(Kind::Input, 256), 255);
        }
    }

    #[test]
    fn dfs_has_every_sequence_once() {
        let mut dfs = Strategy::new(StrategyName::Dfs, 0, Bounds { preemptions: None, firings: 9, faults: 0 });
        let mut seen = Vec::new();
        for index in 0.. {
            if !dfs.begin(index) {
                break;
            }
            let first = dfs.choose(Kind::Input, 3);
            let second = if first == 1 { dfs.choose(Kind::Input, 2) } else { 9 };
            seen.push((first, second));
        }
        assert_eq!(seen, [(0, 9), (1, 0), (1, 1), (2, 9)]);
        assert!(dfs.was_exhaustive());
    }

    #[test]
    fn dfs_keeps_its_preemption_bound() {
        let count = |bound| {
            let mut dfs = Strategy::new(StrategyName::Dfs, 0, Bounds { preemptions: bound, firings: 0, faults: 0 });
            (0..)
                .take_while(|&index| {
                    let more = dfs.begin(index);
                    if more {
                        (0..4).for_each(|_| {
                            dfs.schedule(&[0, 1], true, None);
                        });
                    }
                    more
                })
                .count()
        };
        assert_eq!([count(Some(0)), count(Some(1)), count(Some(2)), count(None)], [1, 5, 11, 16]);
    }

    #[test]
    fn dfs_keeps_its_bounds_on_faults_and_on_time() {
        let count = |bounds, choose: fn(&mut Strategy)| {
            let mut dfs = Strategy::new(StrategyName::Dfs, 0, bounds);
            (0..)
                .take_while(|&index| {
                    let more = dfs.begin(index);
                    if more {
                        choose(&mut dfs);
                    }
                    more
                })
                .count()
        };
        let faults = |faults| {
            count(Bounds { preemptions: None, firings: 0, faults }, |dfs| {
                for kind in [Kind::Loss, Kind::Duplicate, Kind::Corrupt] {
                    dfs.choose_with_odds(kind, 2, Chance::NEVER);
                }
            })
        };
        assert_eq!([faults(0), faults(1), faults(2), faults(3)], [1, 4, 7, 8]);
        let firings = |firings| {
            count(Bounds { preemptions: None, firings, faults: 0 }, |dfs| {
                (0..2).for_each(|_| _ = dfs.choose_delivery(2, true));
            })
        };
        assert_eq!([firings(0), firings(1), firings(2)], [4, 8, 9]);
    }

    #[test]
    fn the_same_seed_gives_the_same_answers() {
        for name in StrategyName::ALL.into_iter().filter(|name| *name != StrategyName::Dfs) {
            let answers = || {
                let mut strategy = Strategy::new(name, 7, Bounds::default());
                let mut answers = Vec::new();
                for index in 0..5 {
                    assert!(strategy.begin(index));
                    for _ in 0..50 {
                        let thread = strategy.schedule(&[0, 1, 2], true, None);
                        strategy.happens(thread as u32);
                        let object = Some(thread as u32 % 2);
                        strategy.arrived(thread as u32, Step { object, writes: true, class: object });
                        answers.push(thread as u64 + 10 * strategy.choose(Kind::Random, 100));
                    }
                }
                answers
            };
            assert_eq!(answers(), answers(), "{name}");
        }
    }
}
