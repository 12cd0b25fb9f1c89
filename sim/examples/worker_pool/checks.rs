//! The checks: one body for both versions, sampled on shuttle.

use crate::{Pool, buggy, fixed};
use sim::explore::Check;
use sim::sync::Arc;
use sim::time::{self, Duration};
use sim::verdict::{Detector, Verdict};
use sim::{Engine, invariant, task};

/// None of these numbers takes longer than 10 ms, so on an idle machine every call is in time. A processor can be slow, though.
fn two_callers_of_one_worker<P: Pool>() {
    task::block_on(async {
        let pool = Arc::new(P::new(1));
        let callers: Vec<_> = [[1, 2], [3, 4]]
            .into_iter()
            .map(|numbers| {
                let pool = Arc::clone(&pool);
                task::spawn(async move {
                    for number in numbers {
                        if let Ok(answer) = pool.call(number, Duration::from_millis(50)).await {
                            invariant!(answer == number * number, "an answer is to the question that was asked");
                        }
                    }
                })
            })
            .collect();
        for caller in callers {
            caller.await.unwrap();
        }
    });
}

/// The first caller goes away, as one does whose own client has hung up. The second has all the time that it needs, on a machine that
/// keeps up: no limit is long for a processor that may be slow without one.
fn a_caller_who_goes_away<P: Pool>() {
    time::bound_slowness(Duration::from_secs(1));
    task::block_on(async {
        let pool = Arc::new(P::new(1));
        let theirs = Arc::clone(&pool);
        let caller = task::spawn(async move { theirs.call(1, Duration::from_millis(50)).await.ok() });
        time::sleep_for(Duration::from_millis(5)).await;
        caller.abort();
        // Without this it might still be in the middle of its call when everything ends, and find the workers gone.
        let _ = caller.await;
        let answer = pool.call(2, Duration::from_secs(3600)).await;
        invariant!(answer == Ok(4), "who waits long enough is answered");
    });
}

/// Runs the body with both versions, and the same budget: the buggy one is found out by one of the detectors, and its token replays.
fn only_the_buggy_pool(name: &str, buggy: fn(), detectors: &[Detector], fixed: fn()) {
    let check = Check::new(name, "buggy", Engine::Shuttle);
    let report = check.run(buggy);
    assert!(report.verdict.detector().is_some_and(|detector| detectors.contains(&detector)), "{}", report.verdict);
    let token = report.token.expect("what was caught has a token");
    assert_eq!(check.replay(&token, false, buggy).unwrap().verdict, report.verdict, "{token}");

    let report = Check::new(name, "fixed", Engine::Shuttle).run(fixed);
    assert_eq!(report.verdict, Verdict::Clean, "{}", report.verdict);
    println!("{name}: {} schedules in {:?}", report.schedules, report.wall);
}

#[test]
fn an_answer_that_comes_too_late_is_not_the_next_callers() {
    only_the_buggy_pool(
        "worker_pool_late",
        two_callers_of_one_worker::<buggy::Pool>,
        &[Detector::Invariant],
        two_callers_of_one_worker::<fixed::Pool>,
    );
}

#[test]
fn a_caller_who_goes_away_leaves_the_worker_to_others() {
    only_the_buggy_pool(
        "worker_pool_gone",
        a_caller_who_goes_away::<buggy::Pool>,
        // The worker may end where it answers, or the second caller go without.
        &[Detector::Panic, Detector::Invariant],
        a_caller_who_goes_away::<fixed::Pool>,
    );
}
