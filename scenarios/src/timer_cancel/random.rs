//! Our timers under operations drawn at random, from many threads and from many tasks.

use super::{DELAY, MUST_SEE};
use crate::exhibit::{Expected, On, Sequential, Subject};
use crate::inputs::{below, one_of};
use crate::timer_oracle::{Heap, Operation, Plan, Within};
use sim::task;
use sim::thread;
use sim::time::{self, Duration};
use stack::timer::TimerConfig;

const THREADS: usize = 8;
const OPERATIONS_EACH: usize = 2;
/// How often a heap without users is looked at until its timers are gone: a worker that lets others run lets time pass as well.
const WAITS_MAX: u32 = 64;

/// So few timers that some are refused, and so few callbacks in a row that the worker must let others run.
const CONFIG: TimerConfig =
    TimerConfig { timers_max: 5, wait_deadline: Duration::from_secs(2), burst_max: 2, late_after: Duration::from_millis(10) };

fn any_plan() -> Plan {
    one_of(&[
        Plan::Nothing,
        Plan::Reschedule,
        Plan::CancelItself,
        Plan::CancelItselfAndWait,
        Plan::Panic,
        Plan::Do(Within::Cancel),
        Plan::Do(Within::CancelAndWait),
        Plan::Do(Within::Close),
    ])
}

fn any_operation() -> Operation {
    match below(10) {
        0..=3 => Operation::Schedule(one_of(&[Duration::ZERO, DELAY, DELAY / 2]), any_plan()),
        4 | 5 => Operation::Cancel,
        6 | 7 => Operation::CancelAndWait,
        8 => Operation::Pause(DELAY),
        // Not often, as little happens afterwards.
        _ if below(3) == 0 => Operation::Close,
        _ => Operation::Schedule(Duration::ZERO, Plan::Nothing),
    }
}

fn threads() {
    let heap = Heap::on_thread(CONFIG);
    let others: Vec<_> = (1..THREADS)
        .map(|_| {
            let heap = heap.clone();
            thread::spawn(move || (0..OPERATIONS_EACH).for_each(|_| heap.perform(any_operation())))
        })
        .collect();
    (0..OPERATIONS_EACH).for_each(|_| heap.perform(any_operation()));
    others.into_iter().for_each(|other| other.join().expect("a panic ends the run"));
    match below(4) {
        0 => {
            let left = heap.drop_last_handle();
            let all_went = (0..WAITS_MAX).any(|_| {
                time::sleep(DELAY);
                left() == 0
            });
            sim::invariant!(all_went, "{} callbacks are left of a heap whose time has passed", left());
        }
        _ => heap.end(),
    }
}

fn tasks() {
    task::block_on(async {
        let heap = Heap::on_task(CONFIG);
        let others: Vec<_> = (1..THREADS)
            .map(|_| {
                let heap = heap.clone();
                task::spawn(async move {
                    for _ in 0..OPERATIONS_EACH {
                        heap.perform_awaited(any_operation()).await;
                    }
                })
            })
            .collect();
        for _ in 0..OPERATIONS_EACH {
            heap.perform_awaited(any_operation()).await;
        }
        for other in others {
            other.await.expect("nobody aborts it");
        }
        match below(4) {
            0 => {
                let left = heap.drop_last_handle();
                let mut waits = 0;
                while left() > 0 {
                    waits += 1;
                    sim::invariant!(waits <= WAITS_MAX, "{} callbacks are left of a heap whose time has passed", left());
                    time::sleep_for(DELAY).await;
                }
            }
            _ => heap.end_awaited().await,
        }
    });
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
    [
        subject(
            "stack-task",
            "our timers on a task: any two operations of each of eight tasks, and any of the callbacks",
            tasks as fn(),
        ),
        subject(
            "stack",
            "our timers on a thread: any two operations of each of eight threads, and any of the callbacks",
            threads,
        ),
    ]
}
