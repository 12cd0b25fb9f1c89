//! What is found is shrunk until nothing of it can go.

#![cfg(all(feature = "loom", feature = "shuttle"))]

use sim::explore::{Check, Report};
use sim::sync::{Arc, Mutex};
use sim::token::RunId;
use sim::verdict::Verdict;
use sim::{Bounds, Engine, StrategyName, thread};

fn reason(verdict: &Verdict) -> Option<&str> {
    match verdict {
        Verdict::Caught(finding) => Some(&finding.reason),
        _ => None,
    }
}

/// No choice that is not 0 can be left out: the run fails no more, or otherwise.
fn assert_minimal(check: &Check, report: &Report, body: fn()) {
    let shrinking = report.shrinking.expect("what is caught is shrunk");
    assert!(shrinking.is_minimal, "{shrinking:?}");
    for left_out in 0..report.deviations.len() {
        let mut choices = report.deviations.clone();
        choices.remove(left_out);
        let without = check.replay_deviations(&choices, body).expect("it ends");
        assert_ne!(reason(&without.verdict), reason(&report.verdict), "{:?} without number {left_out}", report.deviations);
    }
}

/// Forty inputs, of which these must not be 0; what they are does not matter, and neither do the others.
fn needs<const N: usize>(places: [u64; N]) {
    let inputs: Vec<u64> = (0..40).map(|_| sim::choose(100)).collect();
    assert!(!places.iter().all(|place| inputs[*place as usize] > 3), "all of them");
}

#[test]
fn what_a_failure_does_not_need_is_left_out() {
    fn body<const A: u64, const B: u64, const C: u64>() {
        needs([A, B, C]);
    }
    let bodies: [(fn(), Vec<u64>); 4] = [
        (body::<0, 0, 0>, vec![0]),
        (body::<0, 39, 20>, vec![0, 20, 39]),
        (body::<38, 39, 39>, vec![38, 39]),
        (body::<3, 4, 5>, vec![3, 4, 5]),
    ];
    for (body, places) in bodies {
        for seed in 0..10 {
            let check = Check::new("shrinking", "needs", Engine::Shuttle).seed(seed).strategy(StrategyName::Random);
            let report = check.run(body);
            let wanted: Vec<(u64, u64)> = places.iter().map(|place| (*place, 4)).collect();
            assert_eq!(report.deviations, wanted, "seed {seed}");
            assert_minimal(&check, &report, body);
        }
    }
}

/// Up to sixty rounds; in each something may go wrong, and what does later is the same.
fn rounds() {
    for _ in 0..60 {
        let (goes_wrong, _) = (sim::choose(12) == 11, sim::choose(9));
        assert!(!goes_wrong, "a round went wrong");
    }
}

#[test]
fn rounds_in_which_nothing_goes_wrong_are_left_out() {
    let mut late = 0;
    for seed in 0..20 {
        let check = Check::new("shrinking", "rounds", Engine::Shuttle).seed(seed);
        let as_found = check.clone().shrink(false).run(rounds);
        late += u32::from(as_found.deviations.last().is_some_and(|(place, _)| *place > 10));
        assert_eq!(check.run(rounds).deviations, [(0, 11)], "seed {seed}");
    }
    assert!(late > 5, "{late}: most must be found late, for this to say something");
}

/// Two threads that add to one number, which is read and written for each addition.
fn lost_addition() {
    let number = Arc::new(Mutex::new(0));
    let adds = |number: &Mutex<i32>| {
        for _ in 0..2 {
            let before = *number.lock();
            *number.lock() = before + 1;
        }
    };
    let theirs = Arc::clone(&number);
    let other = thread::spawn(move || adds(&theirs));
    adds(&number);
    other.join().expect("it does not panic");
    assert!(*number.lock() == 4, "an addition was lost");
}

#[test]
fn a_race_needs_one_preemption_whoever_found_it() {
    for strategy in StrategyName::ALL {
        for seed in 0..5 {
            let check = Check::new("shrinking", "lost", Engine::Shuttle).seed(seed).strategy(strategy);
            let report = check.run(lost_addition);
            assert_eq!(report.preemptions, Some(1), "{strategy}, seed {seed}: {}", report.verdict);
            assert_minimal(&check, &report, lost_addition);
        }
    }
}

#[test]
fn loom_explores_again_within_fewer_preemptions() {
    for within in [Some(1), Some(3), None] {
        let check = Check::new("shrinking", "lost", Engine::Loom).bounds(Bounds { preemptions: within, ..Bounds::default() });
        let report = check.run(lost_addition);
        let Some(RunId::Iteration { bounds, .. }) = report.token.as_ref().map(|token| &token.run) else { panic!("{report:?}") };
        assert_eq!((bounds.preemptions, report.preemptions), (Some(1), Some(1)));
        let replayed = check.replay(&report.token.clone().expect("it has one"), false, lost_addition).expect("it replays");
        assert_eq!(replayed.verdict, report.verdict);
    }
}

/// How much longer a round is that is lost.
const LONGER: u64 = 37;

/// A round is lost, and later one goes wrong that is not lost: one loss is enough. What is chosen in a lost round mends everything, so that a loss cannot
/// be moved into the round of another.
fn lost_then_wrong() {
    let (mut was_lost, mut is_mended) = (false, false);
    for _ in 0..10 {
        let (is_lost, goes_wrong) = (sim::choose(5) == 4, sim::choose(5) == 3);
        let is_wrong = was_lost && goes_wrong && !is_lost && !is_mended;
        assert!(!is_wrong, "wrong after a loss");
        was_lost |= is_lost;
        if is_lost {
            is_mended |= (0..LONGER).any(|_| sim::choose(5) != 0);
        }
    }
}

#[test]
fn a_round_is_left_out_with_all_that_is_chosen_in_it() {
    let check = Check::new("shrinking", "lost", Engine::Shuttle);
    let (round, lost) = (2, 2 + LONGER);
    // Rounds before the losses, between them and after them.
    for [before, between, after] in (0..27).map(|n| [n / 9, n / 3 % 3, n % 3]) {
        let first = before * round;
        let second = first + lost + between * round;
        let wrong = second + lost + after * round + 1;
        let report = check.run_deviations(&[(first, 4), (second, 4), (wrong, 3)], lost_then_wrong).expect("it ends");
        assert_eq!(report.deviations, [(0, 4), (lost + 1, 3)], "{before}, {between}, {after}");
        assert_minimal(&check, &report, lost_then_wrong);
    }
}

/// In which order two threads took their turns in the run before.
static TURNS: std::sync::Mutex<String> = std::sync::Mutex::new(String::new());
/// The orders that are wrong.
static WRONG: std::sync::Mutex<Vec<String>> = std::sync::Mutex::new(Vec::new());

fn turns() {
    let taken = Arc::new(Mutex::new(String::new()));
    let theirs = Arc::clone(&taken);
    let other = thread::spawn(move || (0..12).for_each(|_| theirs.lock().push('o')));
    (0..12).for_each(|_| taken.lock().push('m'));
    other.join().expect("it does not panic");
    let taken = taken.lock().clone();
    TURNS.lock().expect("nobody panics").clone_from(&taken);
    let is_wrong = WRONG.lock().expect("nobody panics").contains(&taken);
    assert!(!is_wrong, "a wrong order");
}

#[test]
fn a_failure_with_fewer_preemptions_is_looked_for_beside_the_one_that_was_found() {
    let check = Check::new("shrinking", "turns", Engine::Shuttle).strategy(StrategyName::Random);
    let turns_of = |choices: &[(u64, u64)]| {
        check.replay_deviations(choices, turns).expect("it ends");
        TURNS.lock().expect("nobody panics").clone()
    };
    // No part of the first is the second, and neither is the first with a part of it left out or sooner.
    let (found, beside) = ([(3, 1), (5, 1)], [(8, 1)]);
    let wrong = [turns_of(&found), turns_of(&beside)];
    for part in [&[][..], &found, &found[..1], &found[1..], &[(2, 1)]] {
        assert_ne!(turns_of(part), wrong[1], "{part:?}");
    }
    WRONG.lock().expect("nobody panics").extend(wrong);
    let report = check.run_deviations(&found, turns).expect("it ends");
    assert_eq!((report.preemptions, report.deviations.len()), (Some(1), 1), "{:?}", report.deviations);
    assert_eq!(check.clone().shrink(false).run_deviations(&found, turns).expect("it ends").preemptions, Some(2));
}
