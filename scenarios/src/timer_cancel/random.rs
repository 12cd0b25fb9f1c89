//! Our timers under operations drawn at random, from eight threads and from eight tasks.

use super::{DELAY, MUST_SEE};
use crate::exhibit::{Expected, On, Sequential, Subject};
use crate::inputs::{below, one_of};
use crate::timer_oracle::{Heap, Operation, Plan, Within};
use sim::invariant;
use sim::task;
use sim::thread;
use sim::time::{self, Duration};
use stack::timer::TimerConfig;

const THREADS: usize = 8;
const OPERATIONS_EACH: usize = 2;
/// How often a heap is looked at until its timers are gone: a worker that lets others run lets time pass as well.
const WAITS_MAX: u32 = 64;

/// So few timers that some are refused, and so few callbacks in a row that the worker must let others run.
const CONFIG: TimerConfig =
    TimerConfig { timers_max: 5, wait_deadline: Duration::from_secs(2), burst_max: 2, late_after: Duration::from_millis(10) };

const PLANS: [Plan; 8] = [
    Plan::Nothing,
    Plan::Reschedule,
    Plan::CancelItself,
    Plan::CancelItselfAndWait,
    Plan::Panic,
    Plan::Do(Within::Cancel),
    Plan::Do(Within::CancelAndWait),
    Plan::Do(Within::Close),
];
const DELAYS: [Duration; 3] = [Duration::ZERO, DELAY, Duration::from_millis(10)];

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Close,
    /// When every timer has had its time.
    CloseLater,
    /// The last handle is dropped.
    Drop,
}

const ENDS: [End; 3] = [End::Close, End::CloseLater, End::Drop];

fn any_operation() -> Operation {
    match below(10) {
        0..=3 => Operation::Schedule(one_of(&DELAYS), one_of(&PLANS)),
        4 | 5 => Operation::Cancel,
        6 | 7 => Operation::CancelAndWait,
        8 => Operation::Pause(DELAY),
        // Not often, as little happens afterwards.
        _ if below(3) == 0 => Operation::Close,
        _ => Operation::Schedule(Duration::ZERO, Plan::Nothing),
    }
}

fn any_programs(operation: fn() -> Operation) -> [Vec<Operation>; THREADS] {
    [(); THREADS].map(|()| (0..OPERATIONS_EACH).map(|_| operation()).collect())
}

/// Any two operations for each thread, and any end.
pub(crate) fn on_threads(operation: fn() -> Operation) {
    run_on_threads((any_programs(operation), one_of(&ENDS)));
}

fn on_tasks(operation: fn() -> Operation) {
    run_on_tasks((any_programs(operation), one_of(&ENDS)));
}

/// Each thread does its operations.
fn run_on_threads((programs, end): ([Vec<Operation>; THREADS], End)) {
    let heap = Heap::on_thread(CONFIG);
    let threads = programs.map(|operations| {
        let heap = heap.clone();
        thread::spawn(move || operations.into_iter().for_each(|operation| heap.perform(operation)))
    });
    threads.into_iter().for_each(|thread| thread.join().expect("a panic ends the run"));
    let all_went = |left: &dyn Fn() -> usize| {
        let all_went = (0..WAITS_MAX).any(|_| {
            time::sleep(DELAY);
            left() == 0
        });
        // A worker that was not woken for a timer would sleep past it.
        invariant!(all_went, "{} timers wait past their times", left());
    };
    match end {
        End::Close => heap.end(),
        End::CloseLater => {
            all_went(&|| heap.pending());
            heap.end();
        }
        End::Drop => all_went(&heap.drop_last_handle()),
    }
}

/// Each task does its operations.
fn run_on_tasks((programs, end): ([Vec<Operation>; THREADS], End)) {
    task::block_on(async {
        let heap = Heap::on_task(CONFIG);
        let tasks = programs.map(|operations| {
            let heap = heap.clone();
            task::spawn(async move {
                for operation in operations {
                    heap.perform_awaited(operation).await;
                }
            })
        });
        for task in tasks {
            task.await.expect("nobody aborts it");
        }
        match end {
            End::Close => heap.end_awaited().await,
            End::CloseLater => {
                all_went(|| heap.pending()).await;
                heap.end_awaited().await;
            }
            End::Drop => all_went(heap.drop_last_handle()).await,
        }
    });
}

/// Two tasks with one operation each on a heap that has a timer, as turmoil enumerates them.
fn two_tasks() {
    const OPERATIONS: [Operation; 5] = [
        Operation::Schedule(Duration::ZERO, Plan::Reschedule),
        Operation::Schedule(DELAY, Plan::CancelItself),
        Operation::Cancel,
        Operation::CancelAndWait,
        Operation::Close,
    ];
    let (first, second) = (one_of(&OPERATIONS), one_of(&OPERATIONS));
    task::block_on(async {
        let heap = Heap::on_task(CONFIG);
        heap.perform(Operation::Schedule(DELAY, Plan::Nothing));
        let theirs = heap.clone();
        let other = task::spawn(async move { theirs.perform_awaited(first).await });
        time::sleep_for(one_of(&[Duration::ZERO, DELAY])).await;
        heap.perform_awaited(second).await;
        other.await.expect("nobody aborts it");
        all_went(|| heap.pending()).await;
        heap.end_awaited().await;
    });
}

async fn all_went(left: impl Fn() -> usize) {
    let mut waits = 0;
    while left() > 0 {
        waits += 1;
        invariant!(waits <= WAITS_MAX, "{} timers wait past their times", left());
        time::sleep_for(DELAY).await;
    }
}

/// The last rows of the exhibit.
pub(super) fn subjects() -> [Subject; 2] {
    let subject = |name, about, body| Subject {
        name,
        about,
        on: vec![On::shuttle(Expected::Clean).schedules(10_000)],
        fewest_preemptions: None,
        sequential: Sequential::Clean,
        body,
        in_sequence: None,
        must_see: Some(MUST_SEE),
    };
    let tasks: fn() = || on_tasks(any_operation);
    [
        Subject {
            on: vec![On::shuttle(Expected::Clean).schedules(10_000), On::turmoil(Expected::Clean).body(two_tasks)],
            ..subject(
                "stack-task",
                "our timers on a task: any two operations of each of eight tasks, and any of the callbacks",
                tasks,
            )
        },
        subject("stack", "our timers on a thread: any two operations of each of eight threads, and any of the callbacks", || {
            on_threads(any_operation);
        }),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::programs::hold;
    use proptest::prelude::{Strategy, prop_oneof, proptest};
    use proptest::strategy::Just;
    use proptest::{array::uniform8, collection::vec, sample::select};

    fn operation() -> impl Strategy<Value = Operation> {
        prop_oneof![
            5 => (select(&DELAYS[..]), select(&PLANS[..])).prop_map(|(delay, plan)| Operation::Schedule(delay, plan)),
            2 => Just(Operation::Cancel),
            2 => Just(Operation::CancelAndWait),
            1 => select(&DELAYS[..]).prop_map(Operation::Pause),
            1 => Just(Operation::Close),
        ]
    }

    proptest! {
        #[test]
        fn any_programs_hold_on_threads(programs in (uniform8(vec(operation(), 0..5)), select(&ENDS[..]))) {
            hold("timers", programs, run_on_threads)?;
        }

        #[test]
        fn any_programs_hold_on_tasks(programs in (uniform8(vec(operation(), 0..5)), select(&ENDS[..]))) {
            hold("timers-task", programs, run_on_tasks)?;
        }
    }
}
