//! Dfs with its reduction and without comes to the same ends, in fewer runs.

#![cfg(feature = "shuttle")]

use proptest::prelude::*;
use sim::explore::{Check, Report};
use sim::sync::atomic::{AtomicU32, Ordering::SeqCst};
use sim::sync::{Condvar, Mutex};
use sim::time::Duration;
use sim::verdict::Verdict;
use sim::{Bounds, Engine, StrategyName, thread};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What a thread does next.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Takes a lock, notes that it was there, and gives it back.
    Lock(usize),
    /// Takes the first lock and then the second, or the other way round.
    LockBoth(bool),
    TryLock(usize),
    Load(usize),
    Store(usize),
    Add(usize),
    /// Waits for a notification, and not for long.
    Wait,
    Notify,
    Yield,
    Sleep,
    /// A choice of its own.
    Choose,
    Spawn,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..2_usize).prop_map(Step::Lock),
        2 => any::<bool>().prop_map(Step::LockBoth),
        1 => (0..2_usize).prop_map(Step::TryLock),
        2 => (0..2_usize).prop_map(Step::Load),
        2 => (0..2_usize).prop_map(Step::Store),
        2 => (0..2_usize).prop_map(Step::Add),
        1 => Just(Step::Wait),
        1 => Just(Step::Notify),
        1 => Just(Step::Yield),
        1 => Just(Step::Sleep),
        1 => Just(Step::Choose),
        1 => Just(Step::Spawn),
    ]
}

struct Shared {
    locks: [Mutex<Vec<u32>>; 2],
    atomics: [AtomicU32; 2],
    waits: (Mutex<u32>, Condvar),
}

impl Shared {
    fn new() -> Self {
        Shared {
            locks: [(); 2].map(|()| Mutex::new(Vec::new())),
            atomics: [(); 2].map(|()| AtomicU32::new(0)),
            waits: (Mutex::new(0), Condvar::new()),
        }
    }

    /// What the thread has seen.
    fn run(self: &Arc<Self>, id: u32, steps: &[Step]) -> Vec<u32> {
        let mut seen = Vec::new();
        for (place, step) in steps.iter().enumerate() {
            match *step {
                Step::Lock(lock) => {
                    let mut lock = self.locks[lock].lock();
                    lock.push(id);
                    seen.push(lock.len() as u32);
                }
                Step::LockBoth(turned) => {
                    let mut first = self.locks[usize::from(turned)].lock();
                    let mut second = self.locks[usize::from(!turned)].lock();
                    first.push(id);
                    second.push(id);
                }
                Step::TryLock(lock) => match self.locks[lock].try_lock() {
                    Some(mut lock) => lock.push(id),
                    None => seen.push(100),
                },
                Step::Load(atomic) => seen.push(self.atomics[atomic].load(SeqCst)),
                Step::Store(atomic) => self.atomics[atomic].store(10 * id + place as u32, SeqCst),
                Step::Add(atomic) => seen.push(self.atomics[atomic].fetch_add(1, SeqCst)),
                Step::Wait => {
                    let mut count = self.waits.0.lock();
                    let timed_out = self.waits.1.wait_for(&mut count, Duration::from_millis(5)).timed_out();
                    seen.push(200 + *count + 10 * u32::from(timed_out));
                }
                Step::Notify => {
                    *self.waits.0.lock() += 1;
                    self.waits.1.notify_one();
                }
                Step::Yield => thread::yield_now(),
                Step::Sleep => sim::time::sleep(Duration::from_millis(5)),
                Step::Choose => seen.push(300 + sim::choose(2) as u32),
                Step::Spawn => {
                    let theirs = Arc::clone(self);
                    let child = thread::spawn(move || theirs.run(10 + id, &[Step::Add(0)]));
                    seen.extend(child.join().expect("it does not panic"));
                }
            }
        }
        seen
    }
}

/// Every end that the program comes to within the bounds, and what the check said.
fn ends(program: &[Vec<Step>], bounds: Bounds, reduction: bool) -> (BTreeSet<String>, Report) {
    let ends = Arc::new(std::sync::Mutex::new(BTreeSet::new()));
    let (kept, program) = (Arc::clone(&ends), program.to_vec());
    let body = move || {
        let shared = Arc::new(Shared::new());
        let threads: Vec<_> = program
            .iter()
            .enumerate()
            .map(|(id, steps)| {
                let (theirs, steps) = (Arc::clone(&shared), steps.clone());
                thread::spawn(move || theirs.run(id as u32, &steps))
            })
            .collect();
        let seen: Vec<Vec<u32>> = threads.into_iter().map(|thread| thread.join().expect("it does not panic")).collect();
        let locks = shared.locks.each_ref().map(|lock| lock.lock().clone());
        let atomics = shared.atomics.each_ref().map(|atomic| atomic.load(SeqCst));
        kept.lock().expect("nobody panics").insert(format!("{seen:?} {locks:?} {atomics:?} {:?}", sim::time::Instant::now()));
    };
    let check = Check::new("reduction", "program", Engine::Shuttle).strategy(StrategyName::Dfs).bounds(bounds);
    let report = check.schedules(Some(200_000)).reduction(reduction).shrink(false).run(body);
    let ends = ends.lock().expect("nobody panics").clone();
    (ends, report)
}

/// Within the same bounds nothing is lost. Where something is caught the searches end early, and both catch the same.
fn nothing_is_lost(program: &[Vec<Step>], bounds: Bounds) -> Result<(), TestCaseError> {
    let (whole, all) = ends(program, bounds, false);
    let (reduced, fewer) = ends(program, bounds, true);
    if matches!(all.verdict, Verdict::Inconclusive(_)) {
        return Ok(());
    }
    prop_assert_eq!(all.verdict.detector(), fewer.verdict.detector(), "{} and {}", all.verdict, fewer.verdict);
    prop_assert!(fewer.schedules <= all.schedules);
    if all.verdict == Verdict::Clean {
        prop_assert!(fewer.exhaustive);
        prop_assert_eq!(whole, reduced);
    }
    Ok(())
}

/// `ci/deep` has more of them.
fn cases() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(24);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn nothing_is_lost_without_a_bound_on_preemptions(
        program in prop::collection::vec(prop::collection::vec(step(), 1..4), 2..3),
    ) {
        nothing_is_lost(&program, Bounds { preemptions: None, firings: 1, faults: 0 })?;
    }

    #[test]
    fn nothing_is_lost_within_a_bound(
        program in prop::collection::vec(prop::collection::vec(step(), 1..4), 2..4),
        preemptions in 0..3_u32,
    ) {
        nothing_is_lost(&program, Bounds { preemptions: Some(preemptions), firings: 1, faults: 0 })?;
    }
}

/// Two threads, each with locks of its own and one that both take: only the order of the last matters.
#[test]
fn private_locks_cost_little() {
    let runs = |private: usize, reduction| {
        let body = move || {
            let shared = Arc::new(Mutex::new(0));
            let threads = [(); 2].map(|()| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    for _ in 0..private {
                        *Mutex::new(0).lock() += 1;
                    }
                    *shared.lock() += 1;
                })
            });
            for thread in threads {
                thread.join().expect("it does not panic");
            }
        };
        let bounds = Bounds { preemptions: None, firings: 0, faults: 0 };
        let check = Check::new("reduction", "private", Engine::Shuttle).strategy(StrategyName::Dfs).bounds(bounds);
        let report = check.reduction(reduction).run(body);
        assert!(report.exhaustive, "{}", report.verdict);
        report.schedules
    };
    let (with, without) = ([1, 2, 3].map(|private| runs(private, true)), [1, 2].map(|private| runs(private, false)));
    println!("private locks 1, 2, 3: {with:?} runs with the reduction, 1 and 2: {without:?} without");
    assert!(with[2] < 1_000 && without[1] > 10_000, "{with:?} and {without:?}");
}
