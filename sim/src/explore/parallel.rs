//! Exploring on several cores: each OS thread has its share of the runs, by their numbers, and a run is the same whoever has it.

use super::carrier::{Body, Learnt, Plan};
use super::{Check, Ended};
use crate::run::{Done, Found, Progress};
use crate::strategy::{LEARNING_RUNS, Strategy};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Which runs are one worker's. What strategies learn they learn from the first runs, which all have; the first worker counts them.
#[derive(Clone, Debug)]
pub(super) struct Share {
    worker: u64,
    of: u64,
    /// The lowest number of a run in which something was found. Who is past it stops.
    found: Arc<AtomicU64>,
}

impl Share {
    /// All runs.
    pub(super) fn whole() -> Self {
        Share { worker: 0, of: 1, found: Arc::new(AtomicU64::new(u64::MAX)) }
    }

    /// The run after number `index`.
    pub(super) fn after(&self, index: u64) -> u64 {
        let next = index + 1;
        match next.checked_sub(LEARNING_RUNS) {
            None => next,
            Some(past) => next + (self.worker + self.of - past % self.of) % self.of,
        }
    }

    /// Whether something was found in a run before this one.
    pub(super) fn is_over(&self, index: u64) -> bool {
        self.found.load(Ordering::Relaxed) < index
    }

    /// How many of the runs up to number `last` count as this worker's.
    fn counted(&self, last: u64) -> u64 {
        let learnt = if self.worker == 0 { LEARNING_RUNS.min(last + 1) } else { 0 };
        match (last + 1).checked_sub(LEARNING_RUNS + self.worker) {
            Some(past) => learnt + past.div_ceil(self.of),
            None => learnt,
        }
    }
}

/// Explores with `jobs` OS threads. What is found is what one thread would have found first; also how many runs there were.
pub(super) fn explore(check: &Check, body: &Body, until: Option<Instant>) -> (Ended, u64) {
    let found = Arc::new(AtomicU64::new(u64::MAX));
    let of = u64::from(check.jobs.max(1));
    let ended: Vec<(Share, Ended, u64)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..of)
            .map(|worker| {
                let share = Share { worker, of, found: Arc::clone(&found) };
                scope.spawn(move || {
                    let progress = Arc::new(Progress::default());
                    let plan = Plan::Explore { schedules: check.schedules, until, share: share.clone() };
                    let strategy = Strategy::new(check.strategy, check.seed, check.bounds);
                    let ended = check.launch(plan, strategy, Arc::clone(body), &progress, Learnt::default());
                    if let Ended::Found(run) = &ended {
                        share.found.fetch_min(run.index, Ordering::Relaxed);
                    }
                    (share, ended, progress.schedules())
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().expect("a worker hands what happens to it over")).collect()
    });
    let mut all = Done::default();
    let (mut first, mut crashed, mut begun): (Option<Box<Found>>, _, _) = (None, None, 0);
    for (share, ended, schedules) in ended {
        begun += schedules;
        match ended {
            Ended::Found(run) => {
                if first.as_deref().is_none_or(|first| run.index < first.index) {
                    first = Some(run);
                }
            }
            Ended::Crashed(why) => crashed = crashed.or(Some(why)),
            Ended::Done(done) => {
                all.schedules += share.counted(done.schedules - 1);
                all.coverage.add(&done.coverage);
                all.potentials.extend(done.potentials);
                for site in done.condition_sites {
                    if !all.condition_sites.contains(&site) {
                        all.condition_sites.push(site);
                    }
                }
                all.last = all.last.or(done.last);
            }
        }
    }
    // The first for each reason, as one worker would have kept them.
    all.potentials.sort_by_key(|potential| potential.index);
    let mut reasons = Vec::new();
    all.potentials.retain(|potential| {
        let is_new = !reasons.contains(&potential.finding.reason);
        reasons.push(potential.finding.reason.clone());
        is_new
    });
    match (first, crashed) {
        (Some(run), _) => {
            let schedules = run.index + 1;
            (Ended::Found(run), schedules)
        }
        (None, Some(why)) => (Ended::Crashed(why), begun),
        (None, None) => {
            let schedules = all.schedules;
            (Ended::Done(Box::new(all)), schedules)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_run_is_one_workers_and_the_first_are_everybodys() {
        for of in 1..5 {
            let share = |worker| Share { worker, of, ..Share::whole() };
            let runs = |worker| {
                let share = share(worker);
                std::iter::successors(Some(0), move |index| Some(share.after(*index))).take_while(|index| *index < 100)
            };
            let mut past: Vec<u64> = (0..of).flat_map(runs).filter(|index| *index >= LEARNING_RUNS).collect();
            past.sort_unstable();
            assert_eq!(past, (LEARNING_RUNS..100).collect::<Vec<_>>());
            for worker in 0..of {
                assert_eq!(runs(worker).take(LEARNING_RUNS as usize).collect::<Vec<_>>(), (0..LEARNING_RUNS).collect::<Vec<_>>());
            }
            for last in [0, 5, LEARNING_RUNS, 50, 99] {
                let counted = |worker| {
                    let mine = runs(worker).take_while(|index| *index <= last);
                    mine.filter(|index| worker == 0 || *index >= LEARNING_RUNS).count() as u64
                };
                (0..of).for_each(|worker| assert_eq!(share(worker).counted(last), counted(worker), "{worker} of {of} to {last}"));
            }
        }
    }
}
