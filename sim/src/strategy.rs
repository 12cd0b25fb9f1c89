//! Who answers `choose`: the strategies over the choice sequence.

use crate::choice::{Kind, mix};
use crate::engine::Engine;
use crate::net::link::Chance;
use std::fmt;
use std::str::FromStr;

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
    /// Every sequence of answers, depth first. For kernels.
    Dfs,
}

impl StrategyName {
    /// Every strategy.
    pub const ALL: [StrategyName; 4] = [StrategyName::Random, StrategyName::Pct, StrategyName::Urw, StrategyName::Dfs];

    /// The name that tables and the command line use.
    pub const fn name(self) -> &'static str {
        match self {
            StrategyName::Random => "random",
            StrategyName::Pct => "pct",
            StrategyName::Urw => "urw",
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
            .ok_or_else(|| format!("expected a strategy (random, pct, urw or dfs), got `{name}`"))
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

/// SplitMix64: the stream that a seed stands for, the same in every build for all time.
#[derive(Clone, Debug)]
pub(crate) struct Stream(u64);

impl Stream {
    pub(crate) fn new(seed: u64) -> Self {
        Stream(seed)
    }

    #[inline]
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `n`, for an `n` above 0.
    #[inline]
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
    }
}

/// One timer in this many scheduling points fires though something else could run: a slow processor.
const EARLY_TIMER_ODDS: u64 = 24;
/// Time passes before one in this many arrivals whose order is explored.
const LATE_PACKETS_ODDS: u64 = 8;
/// PCT's bug depth: one less than this many priority changes a run.
const PCT_DEPTH: usize = 3;
/// Data with more answers than this is not enumerated by dfs.
const DFS_ARITY_MAX: u64 = 65_536;

#[derive(Debug)]
pub(crate) enum Strategy {
    Random(Random),
    Pct(Pct),
    Urw(Urw),
    Dfs(Dfs),
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
            StrategyName::Random => Strategy::Random(Random { seed, stream: Stream::new(seed) }),
            StrategyName::Pct => Strategy::Pct(Pct {
                seed,
                stream: Stream::new(seed),
                priorities: Vec::new(),
                changes: Vec::new(),
                steps: 0,
                steps_max: 64,
            }),
            StrategyName::Urw => {
                Strategy::Urw(Urw { seed, stream: Stream::new(seed), done: Vec::new(), mean: Vec::new(), runs: 0 })
            }
            StrategyName::Dfs => Strategy::Dfs(Dfs {
                bounds,
                stack: Vec::new(),
                position: 0,
                preemptions: 0,
                early: 0,
                faults: 0,
                started: false,
                cut: false,
            }),
        }
    }

    /// Prepares for run number `index`. False when every run has been had.
    pub(crate) fn begin(&mut self, index: u64) -> bool {
        match self {
            Strategy::Random(random) => random.stream = Stream::new(mix(random.seed, index)),
            Strategy::Pct(pct) => pct.begin(index),
            Strategy::Urw(urw) => urw.begin(index),
            Strategy::Dfs(dfs) => return dfs.begin(),
            Strategy::Replay(replay) => {
                replay.next = 0;
                replay.index = 0;
            }
            Strategy::Bytes(bytes) => bytes.next = 0,
        }
        true
    }

    /// Picks among `threads`, the first of which is the dull answer.
    #[inline]
    pub(crate) fn schedule(&mut self, threads: &[u32], preempts: bool) -> usize {
        match self {
            Strategy::Random(random) => random.stream.below(threads.len() as u64) as usize,
            Strategy::Pct(pct) => pct.schedule(threads),
            Strategy::Urw(urw) => urw.schedule(threads),
            Strategy::Dfs(dfs) => dfs.schedule(threads.len() as u64, preempts) as usize,
            Strategy::Replay(replay) => replay.answer(threads.len() as u64) as usize,
            Strategy::Bytes(bytes) => bytes.answer(threads.len() as u64) as usize,
        }
    }

    #[inline]
    pub(crate) fn choose(&mut self, kind: Kind, arity: u64) -> u64 {
        let stream = match self {
            Strategy::Random(Random { stream, .. }) | Strategy::Pct(Pct { stream, .. }) | Strategy::Urw(Urw { stream, .. }) => {
                stream
            }
            Strategy::Dfs(dfs) => return dfs.choose(kind, arity),
            Strategy::Replay(replay) => return replay.answer(arity),
            Strategy::Bytes(bytes) if kind == Kind::Timer => return bytes.answer_rarely(arity),
            Strategy::Bytes(bytes) => return bytes.answer(arity),
        };
        match kind {
            Kind::Timer => u64::from(stream.below(EARLY_TIMER_ODDS) == 0),
            _ => stream.below(arity),
        }
    }

    /// An answer other than 0 has this chance, and all of them the same; `arity` is above 1.
    #[inline]
    pub(crate) fn choose_with_odds(&mut self, kind: Kind, arity: u64, chance: Chance) -> u64 {
        let stream = match self {
            Strategy::Random(Random { stream, .. }) | Strategy::Pct(Pct { stream, .. }) | Strategy::Urw(Urw { stream, .. }) => {
                stream
            }
            Strategy::Dfs(dfs) => return dfs.choose(kind, arity),
            Strategy::Replay(replay) => return replay.answer(arity),
            Strategy::Bytes(bytes) => return bytes.answer_rarely(arity),
        };
        if stream.below(1 << 32) >= chance.0 {
            return 0;
        }
        if arity == 2 { 1 } else { 1 + stream.below(arity - 1) }
    }

    /// Which of `packets` arrives next; one more answer, if `time_may_pass`, lets time pass first.
    pub(crate) fn choose_delivery(&mut self, packets: u64, time_may_pass: bool) -> u64 {
        let arity = packets + u64::from(time_may_pass);
        let stream = match self {
            Strategy::Random(Random { stream, .. }) | Strategy::Pct(Pct { stream, .. }) | Strategy::Urw(Urw { stream, .. }) => {
                stream
            }
            Strategy::Dfs(dfs) => return dfs.choose_delivery(packets, time_may_pass),
            Strategy::Replay(replay) => return replay.answer(arity),
            Strategy::Bytes(bytes) => return bytes.answer(arity),
        };
        match time_may_pass && stream.below(LATE_PACKETS_ODDS) == 0 {
            true => packets,
            false => stream.below(packets),
        }
    }

    /// Told of every step that a thread takes.
    #[inline]
    pub(crate) fn stepped(&mut self, thread: u32) {
        if let Strategy::Urw(urw) = self {
            urw.stepped(thread);
        }
    }

    /// Whether every run within the bounds has been had, after [`Strategy::begin`] said false.
    pub(crate) fn was_exhaustive(&self) -> bool {
        matches!(self, Strategy::Dfs(dfs) if !dfs.cut)
    }

    /// For a replay: the first recorded answer that the run had no use for.
    pub(crate) fn misfit(&self) -> Option<String> {
        match self {
            Strategy::Replay(replay) => replay.misfit.clone().or_else(|| {
                (replay.next < replay.deviations.len())
                    .then(|| format!("the run ended after {} choices, before the last of the token", replay.index))
            }),
            _ => None,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Random {
    seed: u64,
    stream: Stream,
}

#[derive(Debug)]
pub(crate) struct Pct {
    seed: u64,
    stream: Stream,
    priorities: Vec<u64>,
    changes: Vec<u64>,
    steps: u64,
    steps_max: u64,
}

impl Pct {
    fn begin(&mut self, index: u64) {
        self.stream = Stream::new(mix(self.seed, index));
        self.steps_max = self.steps_max.max(self.steps);
        self.steps = 0;
        self.priorities.clear();
        self.changes.clear();
        for _ in 1..PCT_DEPTH {
            let at = self.stream.below(self.steps_max);
            self.changes.push(at);
        }
    }

    fn schedule(&mut self, threads: &[u32]) -> usize {
        let highest = self.highest(threads);
        let change = self.changes.iter().position(|at| *at == self.steps);
        self.steps += 1;
        match change {
            Some(change) => {
                // Change points give the lowest priorities, the first change point the lowest of all.
                self.priorities[threads[highest] as usize] = change as u64;
                self.highest(threads)
            }
            None => highest,
        }
    }

    fn highest(&mut self, threads: &[u32]) -> usize {
        let mut best = 0;
        for (position, &thread) in threads.iter().enumerate() {
            while self.priorities.len() <= thread as usize {
                let priority = PCT_DEPTH as u64 + self.stream.below(1 << 32);
                self.priorities.push(priority);
            }
            if self.priorities[thread as usize] > self.priorities[threads[best] as usize] {
                best = position;
            }
        }
        best
    }
}

#[derive(Debug)]
pub(crate) struct Urw {
    seed: u64,
    stream: Stream,
    done: Vec<u64>,
    /// The mean number of steps of each thread over the runs so far.
    mean: Vec<f64>,
    runs: u64,
}

impl Urw {
    fn begin(&mut self, index: u64) {
        if self.runs > 0 {
            self.mean.resize(self.mean.len().max(self.done.len()), 0.0);
            for (thread, mean) in self.mean.iter_mut().enumerate() {
                let done = self.done.get(thread).copied().unwrap_or(0) as f64;
                *mean += (done - *mean) / self.runs as f64;
            }
        }
        self.runs += 1;
        self.done.iter_mut().for_each(|done| *done = 0);
        self.stream = Stream::new(mix(self.seed, index));
    }

    #[inline]
    fn stepped(&mut self, thread: u32) {
        let thread = thread as usize;
        if self.done.len() <= thread {
            self.done.resize(thread + 1, 0);
        }
        self.done[thread] += 1;
    }

    fn schedule(&mut self, threads: &[u32]) -> usize {
        let left = |thread: &u32| {
            let thread = *thread as usize;
            let mean = self.mean.get(thread).copied().unwrap_or(1.0) as u64;
            mean.saturating_sub(self.done.get(thread).copied().unwrap_or(0)).max(1)
        };
        let total = threads.iter().map(left).sum();
        // The stream is taken apart from the counts, so a copy serves the closure above.
        let mut ticket = self.stream.clone().below(total);
        let mut picked = threads.len() - 1;
        for (position, thread) in threads.iter().enumerate() {
            let left = left(thread);
            if ticket < left {
                picked = position;
                break;
            }
            ticket -= left;
        }
        self.stream.next();
        picked
    }
}

#[derive(Debug)]
pub(crate) struct Dfs {
    bounds: Bounds,
    /// For each choice of the run: how many answers, and the one taken now.
    stack: Vec<(u64, u64)>,
    position: usize,
    preemptions: u32,
    early: u32,
    faults: u32,
    started: bool,
    /// Data was met that is too wide to enumerate.
    cut: bool,
}

impl Dfs {
    fn begin(&mut self) -> bool {
        self.position = 0;
        self.preemptions = 0;
        self.early = 0;
        self.faults = 0;
        if !self.started {
            self.started = true;
            return true;
        }
        while let Some((arity, value)) = self.stack.pop() {
            if value + 1 < arity {
                self.stack.push((arity, value + 1));
                return true;
            }
        }
        false
    }

    fn schedule(&mut self, arity: u64, preempts: bool) -> u64 {
        let exhausted = preempts && self.bounds.preemptions.is_some_and(|bound| self.preemptions >= bound);
        let value = self.answer(if exhausted { 1 } else { arity });
        self.preemptions += u32::from(preempts && value != 0);
        value
    }

    fn choose(&mut self, kind: Kind, arity: u64) -> u64 {
        let arity = match kind {
            Kind::Timer | Kind::Delivery if self.early >= self.bounds.firings => 1,
            kind if kind.is_fault() && self.faults >= self.bounds.faults => 1,
            _ if arity > DFS_ARITY_MAX => {
                self.cut = true;
                1
            }
            _ => arity,
        };
        let value = self.answer(arity);
        self.early += u32::from(matches!(kind, Kind::Timer | Kind::Delivery) && value != 0);
        self.faults += u32::from(kind.is_fault() && value != 0);
        value
    }

    fn choose_delivery(&mut self, packets: u64, time_may_pass: bool) -> u64 {
        let may_wait = time_may_pass && self.early < self.bounds.firings;
        let value = self.answer(packets + u64::from(may_wait));
        self.early += u32::from(value == packets);
        value
    }

    fn answer(&mut self, arity: u64) -> u64 {
        if self.position == self.stack.len() {
            self.stack.push((arity, 0));
        }
        let value = self.stack[self.position].1;
        self.position += 1;
        value
    }
}

/// Answers 0, except at the recorded places.
#[derive(Debug)]
pub(crate) struct Replay {
    deviations: Vec<(u64, u64)>,
    next: usize,
    index: u64,
    misfit: Option<String>,
}

impl Replay {
    /// `deviations`: places, ascending, and the answers there.
    pub(crate) fn new(deviations: Vec<(u64, u64)>) -> Self {
        Replay { deviations, next: 0, index: 0, misfit: None }
    }

    #[inline]
    fn answer(&mut self, arity: u64) -> u64 {
        let at = self.index;
        self.index += 1;
        match self.deviations.get(self.next) {
            Some(&(place, value)) if place == at => {
                self.next += 1;
                if value < arity {
                    return value;
                }
                self.misfit.get_or_insert_with(|| format!("choice {at} has {arity} answers, the token wants number {value}"));
                0
            }
            _ => 0,
        }
    }
}

/// Each byte answers one choice: what a fuzzer changes. After the last one every answer is the dull one.
#[derive(Debug)]
pub(crate) struct Bytes {
    bytes: Vec<u8>,
    next: usize,
}

/// A byte from here on lets happen what happens rarely: one in sixteen.
const RARE: u8 = 240;

impl Bytes {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        Bytes { bytes: bytes.to_vec(), next: 0 }
    }

    fn take(&mut self) -> u8 {
        let byte = self.bytes.get(self.next).copied().unwrap_or_default();
        self.next += 1;
        byte
    }

    /// Of more answers than a byte tells apart, those that it says are spread over all.
    fn answer(&mut self, arity: u64) -> u64 {
        let byte = u64::from(self.take());
        if arity <= 256 { byte % arity } else { ((u128::from(byte) * u128::from(arity)) >> 8) as u64 }
    }

    fn answer_rarely(&mut self, arity: u64) -> u64 {
        match self.take().checked_sub(RARE) {
            Some(over) if arity > 1 => 1 + u64::from(over) % (arity - 1),
            _ => 0,
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
        assert_eq!(bytes.choose_with_odds(Kind::Input, 3, Chance::NEVER), 2);
        assert_eq!(bytes.choose(Kind::Input, 1 << 32), 1 << 31);
        assert_eq!([bytes.choose(Kind::Input, 9), bytes.choose(Kind::Timer, 2)], [0, 0]);
        assert_eq!(bytes.schedule(&[3, 4], true), 0);
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
                            dfs.schedule(&[0, 1], true);
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
        for name in [StrategyName::Random, StrategyName::Pct, StrategyName::Urw] {
            let answers = || {
                let mut strategy = Strategy::new(name, 7, Bounds::default());
                let mut answers = Vec::new();
                for index in 0..5 {
                    assert!(strategy.begin(index));
                    for _ in 0..50 {
                        let thread = strategy.schedule(&[0, 1, 2], true);
                        strategy.stepped(thread as u32);
                        answers.push(thread as u64 + 10 * strategy.choose(Kind::Random, 100));
                    }
                }
                answers
            };
            assert_eq!(answers(), answers(), "{name}");
        }
    }
}
