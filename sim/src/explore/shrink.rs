//! Shrinking: of the runs in which the same detector fires for the same reason, one with as few and as small choices as can be.

use super::carrier::{Body, Learnt, Plan};
use super::parallel::Share;
use super::{Check, Ended, deviations};
use crate::choice::preemptions;
use crate::engine::Engine;
use crate::run::{Detectors, Found, Progress};
use crate::strategy::{Bounds, Strategy, StrategyName};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What shrinking came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shrinking {
    /// How many runs were tried.
    pub tries: u64,
    /// How long it took.
    pub wall: Duration,
    /// Whether it ended by itself: no choice of the run can be left out, answered lower or come sooner without losing the failure. If
    /// not, its limits ended it.
    pub is_minimal: bool,
}

/// How long shrinking may take.
const TIME_MAX: Duration = Duration::from_secs(8);
/// Each run that fails leaves an OS thread behind, so they are counted.
const FAILURES_MAX: u32 = 1_000;
/// A round of a loop that has more choices is not looked for by its length.
const ROUND_MAX: u64 = 16;
/// How many preemptions a short failure is looked for with, and in how many schedules.
const SEARCH_PREEMPTIONS_MAX: u32 = 2;
const SEARCH_SCHEDULES_MAX: u64 = 20_000;

/// Shrinks what was found. On loom, where a run is its place in an exploration, the bounds come with it that it was found within.
pub(super) fn shrink(check: &Check, body: &Body, found: Found, learnt: Learnt) -> (Found, Bounds, Shrinking) {
    let began = Instant::now();
    let until = began + TIME_MAX;
    let mut shrinker = Shrinker { check, body, learnt, best: found, bounds: check.bounds, tries: 0, failures: 0, until };
    let is_minimal = match check.engine {
        Engine::Loom => shrinker.explore_within_less(),
        _ => shrinker.shrink_choices(),
    };
    let shrinking = Shrinking { tries: shrinker.tries, wall: began.elapsed(), is_minimal };
    (shrinker.best, shrinker.bounds, shrinking)
}

struct Shrinker<'a> {
    check: &'a Check,
    body: &'a Body,
    learnt: Learnt,
    best: Found,
    bounds: Bounds,
    tries: u64,
    failures: u32,
    until: Instant,
}

/// What is less is better, the first first: choices that are not 0 and preemptions; the sum of the answers; the choices in all; where
/// those that are not 0 stand.
type Cost = (usize, u64, usize, u64);

fn cost(found: &Found) -> Cost {
    let choices = deviations(&found.choices);
    let sum = |numbers: &mut dyn Iterator<Item = u64>| numbers.fold(0, u64::saturating_add);
    let answers = sum(&mut choices.iter().map(|(_, answer)| *answer));
    let places = sum(&mut choices.iter().map(|(place, _)| *place));
    (choices.len() + preemptions(&found.choices) as usize, answers, found.choices.len(), places)
}

/// Leaves these out, and all that was chosen since the one before them: what comes after comes as much sooner, as in a loop of which a
/// round is left out.
fn cut(choices: &[(u64, u64)], from: usize, to: usize) -> Vec<(u64, u64)> {
    let place_of = |index: usize| index.checked_sub(1).map_or(0, |before| choices[before].0);
    let sooner = place_of(to) - place_of(from);
    let after = choices[to..].iter().map(|(place, answer)| (place - sooner, *answer));
    choices[..from].iter().copied().chain(after).collect()
}

impl Shrinker<'_> {
    /// Until nothing helps any more. False if the limits came first.
    fn shrink_choices(&mut self) -> bool {
        self.remove_chunks();
        self.search_below();
        loop {
            let before = cost(&self.best);
            self.remove_chunks();
            self.lower_answers();
            self.close_gaps();
            if self.is_over() {
                return false;
            }
            if cost(&self.best) == before {
                return true;
            }
        }
    }

    /// Runs with these choices; keeps the run if it fails in the same way and costs less.
    fn attempt(&mut self, candidate: Vec<(u64, u64)>) -> bool {
        if self.is_over() {
            return false;
        }
        self.tries += 1;
        let Ok(found) = self.check.replay_choices(self.body, candidate, false, self.learnt.clone()) else { return false };
        self.failures += u32::from(found.is_a_failure());
        let is_better = self.is_the_same(&found) && cost(&found) < cost(&self.best);
        if is_better {
            self.best = found;
        }
        is_better
    }

    /// A run may have a million choices: without more tries not even their places are to be gone through.
    fn is_over(&self) -> bool {
        self.failures >= FAILURES_MAX || Instant::now() >= self.until
    }

    /// Delta debugging: leaves out ever smaller chunks until none can go, alone or with all the dull choices before each.
    fn remove_chunks(&mut self) {
        let mut chunk = deviations(&self.best.choices).len();
        while chunk > 0 && !self.is_over() {
            let mut from = 0;
            // A choice left out can make an earlier one needless.
            let mut has_removed = false;
            loop {
                let mut candidate = deviations(&self.best.choices);
                if from >= candidate.len() || self.is_over() {
                    break;
                }
                let to = (from + chunk).min(candidate.len());
                let round = cut(&candidate, from, to);
                candidate.drain(from..to);
                if self.attempt(candidate) || self.attempt(round) {
                    has_removed = true;
                } else {
                    from += chunk;
                }
            }
            chunk = match chunk {
                1 if has_removed => 1,
                1 => 0,
                _ => chunk.div_ceil(2),
            };
        }
    }

    /// Leaving out choices moves the later ones to other places, so a short failure can hide beside a longer one. With few preemptions, or
    /// fewer packets that are harmed, it can be looked for outright.
    fn search_below(&mut self) {
        let (preemptions, faults) = (preemptions(&self.best.choices), self.faults());
        let fewer_preemptions = (0..preemptions.min(SEARCH_PREEMPTIONS_MAX + 1)).map(|fewer| (fewer, faults.max(1)));
        let fewer_faults = (1..faults).map(|fewer| (preemptions, fewer)).filter(|_| preemptions <= SEARCH_PREEMPTIONS_MAX);
        for (preemptions, faults) in fewer_preemptions.chain(fewer_faults) {
            let bounds = Bounds { preemptions: Some(preemptions), firings: 1, faults };
            let strategy = Strategy::new(StrategyName::Dfs, 0, bounds);
            if let Some(found) = self.explore(bounds, Some(SEARCH_SCHEDULES_MAX), strategy)
                && cost(&found) < cost(&self.best)
            {
                self.best = found;
                return;
            }
        }
    }

    /// How many packets the best run so far harms.
    fn faults(&self) -> u32 {
        self.best.choices.iter().filter(|choice| choice.kind.is_fault() && choice.value != 0).count() as u32
    }

    /// Explores anew within these bounds: a run that fails in the same way, if there is one.
    fn explore(&mut self, bounds: Bounds, schedules: Option<u64>, strategy: Strategy) -> Option<Found> {
        let check = Check { bounds, detectors: Detectors { determinism: false, ..self.check.detectors }, ..self.check.clone() };
        let plan = Plan::Explore { schedules, until: Some(self.until), share: Share::whole() };
        let progress = Arc::new(Progress::default());
        let ended = check.launch(plan, strategy, Arc::clone(self.body), &progress, self.learnt.clone());
        self.tries += progress.schedules();
        match ended {
            Ended::Found(found) => Some(*found).filter(|found| self.is_the_same(found)),
            Ended::Done(done) => done.potentials.into_iter().find(|potential| self.is_the_same(potential)),
            Ended::Crashed(_) => None,
        }
    }

    /// On loom: the same failure within none, one or two preemptions, if that is less than the bound that it was found within.
    fn explore_within_less(&mut self) -> bool {
        let found_within = self.check.bounds.preemptions.unwrap_or(u32::MAX);
        for preemptions in 0..found_within.min(SEARCH_PREEMPTIONS_MAX + 1) {
            let bounds = Bounds { preemptions: Some(preemptions), ..self.check.bounds };
            if let Some(found) = self.explore(bounds, None, Strategy::none()) {
                (self.best, self.bounds) = (found, bounds);
                return true;
            }
            if Instant::now() >= self.until {
                return false;
            }
        }
        found_within <= SEARCH_PREEMPTIONS_MAX + 1
    }

    fn is_the_same(&self, found: &Found) -> bool {
        let (got, wanted) = (&found.finding, &self.best.finding);
        got.detector == wanted.detector && got.reason == wanted.reason && !found.inconclusive
    }

    fn lower_answers(&mut self) {
        let mut index = 0;
        while let Some(&(_, answer)) = deviations(&self.best.choices).get(index) {
            if self.is_over() {
                break;
            }
            let lowered = [1, answer / 2, answer.saturating_sub(1)].into_iter().filter(|lower| *lower > 0 && *lower < answer);
            let mut done = true;
            for lower in lowered {
                let mut candidate = deviations(&self.best.choices);
                candidate[index].1 = lower;
                if self.attempt(candidate) {
                    done = false;
                    break;
                }
            }
            index += usize::from(done);
        }
    }

    /// Shortens the run: a choice that is not 0 comes sooner, and all after it as much, so that rounds in which nothing goes wrong are
    /// left out.
    fn close_gaps(&mut self) {
        let mut index = 0;
        while index < deviations(&self.best.choices).len() && !self.is_over() {
            let choices = deviations(&self.best.choices);
            let from = index.checked_sub(1).map_or(0, |before| choices[before].0 + 1);
            let gap = choices[index].0 - from;
            let halves = std::iter::successors(Some(gap), |sooner| Some(sooner / 2)).take_while(|sooner| *sooner > ROUND_MAX);
            // The length of a round is not known.
            let rounds = (1..=ROUND_MAX.min(gap)).rev();
            let comes_sooner = halves.chain(rounds).any(|sooner| {
                let mut candidate = choices.clone();
                candidate[index..].iter_mut().for_each(|(place, _)| *place -= sooner);
                self.attempt(candidate)
            });
            // It may come sooner yet.
            index += usize::from(!comes_sooner);
        }
    }
}
