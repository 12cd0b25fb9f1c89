//! The strategies that draw: each run anew, from the seed and its number.

use super::StrategyName;
use super::pct::{self, Pct};
use super::pos::Pos;
use super::step::Step;
use super::stream::Stream;
use super::surw::Surw;
use super::urw::Urw;
use crate::choice::{Kind, mix};
use crate::net::link::Chance;

/// What strategies learn of a body they learn from so many runs, so that a later run is the same whatever else was had.
pub(crate) const LEARNING_RUNS: u64 = 16;
/// One timer in this many scheduling points fires though something else could run: a slow processor.
const EARLY_TIMER_ODDS: u64 = 24;
/// Time passes before one in this many arrivals whose order is explored.
const LATE_PACKETS_ODDS: u64 = 8;

#[derive(Debug)]
pub(crate) struct Sampling {
    /// What every run is drawn by, or, for [`StrategyName::Swarm`], what each run draws anew.
    name: StrategyName,
    seed: u64,
    stream: Stream,
    odds: Odds,
    walk: Walk,
    /// Whether the run that goes on is one to learn from.
    learns: bool,
    pct: Pct,
    urw: Urw,
    pos: Pos,
    surw: Surw,
}

/// How threads are drawn in the run that goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Walk {
    Random,
    Pct,
    Urw,
    /// A step has a priority of its own once in so many.
    Pos(u64),
    Surw,
}

/// How likely what is rare is, in the run that goes on.
#[derive(Clone, Copy, Debug)]
struct Odds {
    /// A timer fires early at one point in so many.
    early_timer: u64,
    /// So many may do so yet.
    early_timers_left: u32,
    late_packets: u64,
    /// For each kind of fault: its chance, as eighths of what the link says.
    faults: [u64; Kind::CODES],
}

impl Odds {
    const PLAIN: Odds = Odds {
        early_timer: EARLY_TIMER_ODDS,
        early_timers_left: u32::MAX,
        late_packets: LATE_PACKETS_ODDS,
        faults: [8; Kind::CODES],
    };
}

impl Sampling {
    pub(super) fn new(name: StrategyName, seed: u64) -> Self {
        let walk = match name {
            StrategyName::Pct => Walk::Pct,
            StrategyName::Urw => Walk::Urw,
            StrategyName::Pos => Walk::Pos(1),
            StrategyName::Surw => Walk::Surw,
            StrategyName::Random | StrategyName::Swarm | StrategyName::Dfs => Walk::Random,
        };
        let (pct, urw, pos, surw) = (Pct::new(), Urw::default(), Pos::new(), Surw::default());
        Sampling { name, seed, stream: Stream::new(seed), odds: Odds::PLAIN, walk, learns: false, pct, urw, pos, surw }
    }

    pub(super) fn begin(&mut self, index: u64) {
        self.stream = Stream::new(mix(self.seed, index));
        let mut depth = pct::DEPTH;
        if self.name == StrategyName::Swarm {
            (self.walk, depth) = self.draw_walk();
            self.odds = self.draw_odds();
        }
        // The run before this one was, if it was had.
        let has_learnt = std::mem::replace(&mut self.learns, index < LEARNING_RUNS);
        if self.uses_urw() {
            self.urw.begin(has_learnt);
        }
        if self.uses_surw() {
            self.surw.begin(has_learnt, &mut self.stream);
        }
        self.pct.end(has_learnt);
        if self.walk == Walk::Pct {
            self.pct.begin(depth, &mut self.stream);
        }
        if let Walk::Pos(redraws) = self.walk {
            self.pos.begin(redraws);
        }
    }

    /// Threads that change places rarely find what needs few preemptions, those that do so often what needs many. What helped on the
    /// exhibits is among `benches/benches/strategies.rs`' figures.
    fn draw_walk(&mut self) -> (Walk, usize) {
        let stream = &mut self.stream;
        let walk = stream.one_of(&[
            Walk::Pct,
            Walk::Pct,
            Walk::Pos(1),
            Walk::Pos(2),
            Walk::Pos(2),
            Walk::Pos(4),
            Walk::Pos(4),
            Walk::Pos(8),
            Walk::Pos(16),
            Walk::Surw,
        ]);
        (walk, stream.one_of(&[2, 3, 4]))
    }

    fn draw_odds(&mut self) -> Odds {
        let stream = &mut self.stream;
        let early_timer = stream.one_of(&[2, 4, 8]);
        // A processor that is slow again and again is no longer one that programs wait for: their patience has an end.
        let early_timers_left = stream.one_of(&[2, 4, 8]);
        let late_packets = stream.one_of(&[3, LATE_PACKETS_ODDS, 32]);
        let mut faults = [8; Kind::CODES];
        faults.iter_mut().for_each(|eighths| *eighths = stream.one_of(&[0, 4, 8, 16]));
        Odds { early_timer, early_timers_left, late_packets, faults }
    }

    fn uses_urw(&self) -> bool {
        self.name == StrategyName::Urw
    }

    fn uses_surw(&self) -> bool {
        matches!(self.name, StrategyName::Surw | StrategyName::Swarm)
    }

    #[inline]
    pub(super) fn schedule(&mut self, threads: &[u32]) -> usize {
        self.pct.count();
        let stream = &mut self.stream;
        match self.walk {
            Walk::Random => stream.below(threads.len() as u64) as usize,
            Walk::Pct => self.pct.schedule(threads, stream),
            Walk::Urw => self.urw.schedule(threads, stream),
            Walk::Pos(_) => self.pos.schedule(threads, stream),
            Walk::Surw => self.surw.schedule(threads, stream),
        }
    }

    #[inline]
    pub(super) fn choose(&mut self, kind: Kind, arity: u64) -> u64 {
        match kind {
            Kind::Timer => {
                let fires = self.stream.below(self.odds.early_timer) == 0 && self.odds.early_timers_left > 0;
                self.odds.early_timers_left -= u32::from(fires);
                u64::from(fires)
            }
            _ => self.stream.below(arity),
        }
    }

    #[inline]
    pub(super) fn choose_with_odds(&mut self, kind: Kind, arity: u64, chance: Chance) -> u64 {
        let chance = chance.0 * self.odds.faults[usize::from(kind.code())] / 8;
        if self.stream.below(1 << 32) >= chance {
            return 0;
        }
        if arity == 2 { 1 } else { 1 + self.stream.below(arity - 1) }
    }

    pub(super) fn choose_delivery(&mut self, packets: u64, time_may_pass: bool) -> u64 {
        match time_may_pass && self.stream.below(self.odds.late_packets) == 0 {
            true => packets,
            false => self.stream.below(packets),
        }
    }

    /// `thread` has come to its next step.
    #[inline]
    pub(super) fn arrived(&mut self, thread: u32, step: Step) {
        if self.uses_urw() {
            self.urw.arrived(thread);
        }
        if self.uses_surw() {
            self.surw.arrived(thread, step);
        }
        if matches!(self.walk, Walk::Pos(_)) {
            self.pos.arrived(thread, step, &mut self.stream);
        }
    }

    /// The next step of `thread` happens.
    #[inline]
    pub(super) fn happens(&mut self, thread: u32) {
        match self.walk {
            Walk::Pos(_) => self.pos.happens(thread, &mut self.stream),
            Walk::Surw => self.surw.happens(thread),
            _ => {}
        }
    }

    pub(super) fn spawned(&mut self, parent: u32, child: u32) {
        if self.uses_surw() {
            self.surw.spawned(parent, child);
        }
    }
}
