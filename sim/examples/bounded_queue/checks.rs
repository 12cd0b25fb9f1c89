//! The checks: one body for both versions, sampled on shuttle, and exhausted.

use crate::{BoundedQueue, buggy, fixed};
use sim::explore::Check;
use sim::sync::Arc;
use sim::verdict::{Detector, Verdict};
use sim::{Bounds, Engine, StrategyName, invariant, thread};

/// The smallest crowd that shows the bug: two consumers wait, and the producer fills the queue twice.
fn one_producer_and_two_consumers<Q: BoundedQueue>() {
    let queue = Arc::new(Q::new(1));
    let consumers: Vec<_> = (0..2)
        .map(|_| {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                let mut taken = Vec::new();
                while let Some(item) = queue.pop() {
                    taken.push(item);
                }
                taken
            })
        })
        .collect();
    for item in 1..=2 {
        queue.push(item).expect("it is closed after the last item");
    }
    queue.close();
    let mut taken: Vec<u64> = consumers.into_iter().flat_map(|consumer| consumer.join().unwrap()).collect();
    taken.sort_unstable();
    invariant!(taken == [1, 2], "each item is taken once, and none is left");
    invariant!(queue.push(3) == Err(3), "nothing goes into a closed queue");
}

/// The same on each engine and strategy that can run it.
fn checks(subject: &str) -> Vec<Check> {
    let mut checks = vec![
        Check::new("bounded_queue", subject, Engine::Shuttle),
        Check::new("bounded_queue", subject, Engine::Shuttle).strategy(StrategyName::Dfs).bounds(TWO_PREEMPTIONS),
    ];
    if Engine::Loom.is_built_in() {
        checks.push(Check::new("bounded_queue", subject, Engine::Loom).bounds(TWO_PREEMPTIONS));
    }
    checks
}

const TWO_PREEMPTIONS: Bounds = Bounds { preemptions: Some(2), firings: 0, faults: 0 };

#[test]
fn the_lost_wakeup_of_the_buggy_queue_is_found_and_replays() {
    for check in checks("buggy") {
        let report = check.run(one_producer_and_two_consumers::<buggy::Queue>);
        assert_eq!(report.verdict.detector(), Some(Detector::LostWakeup), "{}: {}", report.engine, report.verdict);
        let token = report.token.expect("what was caught has a token");
        let replay = check.replay(&token, false, one_producer_and_two_consumers::<buggy::Queue>).unwrap();
        assert_eq!(replay.verdict, report.verdict, "{token}");
    }
}

#[test]
fn the_fixed_queue_has_every_run_within_the_bounds() {
    for check in checks("fixed") {
        let report = check.run(one_producer_and_two_consumers::<fixed::Queue>);
        assert_eq!(report.verdict, Verdict::Clean, "{}: {}", report.engine, report.verdict);
        assert_eq!(report.exhaustive, report.bounds.is_some(), "what has bounds is exhausted within them");
        println!("{} had {} schedules in {:?}", report.engine, report.schedules, report.wall);
    }
}

/// What a test of one's own looks like: the one line, with what `GLARE_SCHEDULES`, `GLARE_SEED` and `GLARE_REPLAY` say.
#[test]
fn two_producers_and_two_consumers() {
    sim::model(|| {
        let queue = Arc::new(fixed::Queue::new(1));
        let producers: Vec<_> = (0..2)
            .map(|producer| {
                let queue = Arc::clone(&queue);
                thread::spawn(move || (0..2).for_each(|item| queue.push(2 * producer + item).unwrap()))
            })
            .collect();
        let consumers: Vec<_> = (0..2)
            .map(|_| {
                let queue = Arc::clone(&queue);
                thread::spawn(move || std::iter::from_fn(|| queue.pop()).count())
            })
            .collect();
        producers.into_iter().for_each(|producer| producer.join().unwrap());
        queue.close();
        let taken: usize = consumers.into_iter().map(|consumer| consumer.join().unwrap()).sum();
        invariant!(taken == 4, "each item is taken once, and none is left");
    });
}
