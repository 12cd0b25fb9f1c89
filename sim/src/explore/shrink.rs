//! Shrinking: turns choices to 0 while the same detector fires for the same reason.

use super::carrier::{Body, Learnt, Plan};
use super::parallel::Share;
use super::{Check, Ended, deviations};
use crate::choice::preemptions;
use crate::run::{Detectors, Found, Progress};
use crate::strategy::{Bounds, Strategy, StrategyName};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Each try leaves an OS thread behind if it fails as wanted, so they are counted.
const TRIES_MAX: u32 = 400;
/// How many preemptions a short failure is looked for with, and in how many schedules.
const SEARCH_PREEMPTIONS_MAX: u32 = 2;
const SEARCH_SCHEDULES_MAX: u64 = 20_000;
const TIME_MAX: Duration = Duration::from_secs(8);

pub(super) fn shrink(check: &Check, body: &Body, found: Found, learnt: Learnt) -> Found {
    let mut shrinker = Shrinker { check, body, learnt, best: found, tries: 0, until: Instant::now() + TIME_MAX };
    shrinker.remove_chunks();
    shrinker.search_below();
    shrinker.lower_answers();
    shrinker.best
}

struct Shrinker<'a> {
    check: &'a Check,
    body: &'a Body,
    learnt: Learnt,
    best: Found,
    tries: u32,
    until: Instant,
}

impl Shrinker<'_> {
    /// Runs with these choices; keeps the run if it fails in the same way with fewer choices that are not 0.
    fn attempt(&mut self, candidate: Vec<(u64, u64)>) -> bool {
        if self.is_over() {
            return false;
        }
        self.tries += 1;
        let Ok(found) = self.check.replay_choices(self.body, candidate, false, self.learnt.clone()) else { return false };
        let same = self.is_the_same(&found);
        let (before, after) = (deviations(&self.best.choices), deviations(&found.choices));
        let better = (after.len(), sum(&after), found.choices.len()) < (before.len(), sum(&before), self.best.choices.len());
        if same && better {
            self.best = found;
            return true;
        }
        false
    }

    /// A run may have a million choices: without more tries not even their places are to be gone through.
    fn is_over(&self) -> bool {
        self.tries >= TRIES_MAX || Instant::now() >= self.until
    }

    /// Delta debugging: leaves out ever smaller chunks until none can go.
    fn remove_chunks(&mut self) {
        let mut chunk = deviations(&self.best.choices).len();
        while chunk > 0 && !self.is_over() {
            let mut from = 0;
            loop {
                let current = deviations(&self.best.choices);
                if from >= current.len() || self.is_over() {
                    break;
                }
                let mut candidate = current.clone();
                candidate.drain(from..(from + chunk).min(current.len()));
                if !self.attempt(candidate) {
                    from += chunk;
                }
            }
            chunk = match chunk {
                1 => 0,
                _ => chunk.div_ceil(2),
            };
        }
        // A choice left out can make another needless.
        if !self.is_over() {
            let mut index = 0;
            while !self.is_over() && index < deviations(&self.best.choices).len() {
                let mut candidate = deviations(&self.best.choices);
                candidate.remove(index);
                index = if self.attempt(candidate) { 0 } else { index + 1 };
            }
        }
    }

    /// Leaving out choices moves the later ones to other places, so a short failure can hide beside a longer one. With few
    /// preemptions it can be looked for outright.
    fn search_below(&mut self) {
        for bound in 0..preemptions(&self.best.choices).min(SEARCH_PREEMPTIONS_MAX + 1) {
            let bounds = Bounds { preemptions: Some(bound), firings: 1, faults: self.faults().max(1) };
            let plan = Plan::Explore { schedules: Some(SEARCH_SCHEDULES_MAX), until: Some(self.until), share: Share::whole() };
            let strategy = Strategy::new(StrategyName::Dfs, 0, bounds);
            let check = Check { detectors: Detectors { determinism: false, ..self.check.detectors }, ..self.check.clone() };
            if let Ended::Found(found) =
                check.launch(plan, strategy, Arc::clone(self.body), &Arc::new(Progress::default()), self.learnt.clone())
                && self.is_the_same(&found)
            {
                self.best = *found;
                return self.remove_chunks();
            }
        }
    }

    /// How many packets the best run so far harms.
    fn faults(&self) -> u32 {
        self.best.choices.iter().filter(|choice| choice.kind.is_fault() && choice.value != 0).count() as u32
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
}

fn sum(deviations: &[(u64, u64)]) -> u64 {
    deviations.iter().fold(0, |sum, (_, answer)| sum.saturating_add(*answer))
}
