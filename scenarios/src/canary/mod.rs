//! The canaries: a body for each detector that it must see, and for each mistake that it must not make.
//!
//! A run in which one goes wrong fails. Where an engine cannot see what a canary does, the table says so.

mod bodies;
mod silent;

use crate::exhibit::{Exhibit, Expected, On, Sequential, Subject};
use sim::verdict::Detector;

fn canary(name: &'static str, about: &'static str, body: fn(), on: Vec<On>) -> Subject {
    Subject { name, about, on, fewest_preemptions: None, sequential: Sequential::Clean, body, in_sequence: None }
}

fn both(expected: Expected) -> Vec<On> {
    vec![On::loom(expected), On::shuttle(expected)]
}

fn seen(detector: Detector) -> Vec<On> {
    both(Expected::Caught(detector))
}

fn on_shuttle(expected: Expected, why_not_loom: &'static str) -> Vec<On> {
    vec![On::loom(Expected::NotRun(why_not_loom)), On::shuttle(expected)]
}

/// The exhibit.
pub fn exhibit() -> Exhibit {
    let no_time = "loom has no time that passes by itself";
    let subjects = vec![
        canary("invariant", "a property does not hold in one order", bodies::invariant, seen(Detector::Invariant)),
        canary("panic", "a thread panics in one order", bodies::panic, seen(Detector::Panic)),
        canary("abba", "two locks in both orders, at once", bodies::abba, seen(Detector::Deadlock)),
        canary("self-deadlock", "a mutex is taken twice by one thread", bodies::self_deadlock, seen(Detector::Deadlock)),
        canary(
            "join-under-lock",
            "a thread is joined under the lock that it wants",
            bodies::join_under_lock,
            seen(Detector::Deadlock),
        ),
        canary("holder-ended", "a lock is held by a thread that has ended", bodies::holder_ended, seen(Detector::Deadlock)),
        canary("read-in-read", "a reader reads again behind a waiting writer", bodies::read_in_read, seen(Detector::Deadlock)),
        canary(
            "abba-in-turn",
            "two locks in both orders, never at once",
            bodies::abba_in_turn,
            seen(Detector::PotentialDeadlock),
        ),
        canary("abba-gate", "silent: both orders under a gate lock", silent::gate, both(Expected::Clean)),
        canary("abba-joined", "silent: one order ends before the other's thread begins", silent::joined, both(Expected::Clean)),
        canary(
            "abba-handed-over",
            "silent: one order ends before a condition lets the other begin",
            silent::handed_over,
            both(Expected::Clean),
        ),
        canary("abba-sent", "silent: one order ends before a message lets the other begin", silent::sent, both(Expected::Clean)),
        canary("abba-readers", "silent: both orders only read", silent::readers, both(Expected::Clean)),
        canary("abba-try", "silent: one order tries and gives up", silent::tried, both(Expected::Clean)),
        canary(
            "abba-one-site",
            "silent: pairs of locks made at one place, each pair in one order",
            silent::one_site,
            both(Expected::Clean),
        ),
        canary("lost-wakeup", "a notification comes before its wait", bodies::lost_wakeup, seen(Detector::LostWakeup)),
        canary(
            "timeout-fires",
            "silent: nobody notifies, and the time ends the wait",
            silent::timeout_fires,
            both(Expected::Clean),
        ),
        canary(
            "timeout-relied-upon",
            "a wait is trusted not to end by its time",
            bodies::timeout_relied_upon,
            seen(Detector::Invariant),
        ),
        canary(
            "relaxed-message",
            "a flag is written with Relaxed after its data",
            bodies::relaxed_message,
            vec![On::loom(Expected::Caught(Detector::Invariant)), On::shuttle(Expected::Unseen("shuttle has no weak memory"))],
        ),
        canary(
            "relaxed-publication",
            "a plain cell is published by a Relaxed flag",
            bodies::relaxed_publication,
            seen(Detector::Race),
        ),
        canary("race", "a cell is written by two threads", bodies::race, seen(Detector::Race)),
        canary(
            "released-publication",
            "silent: a plain cell is published by a Release flag",
            silent::released_publication,
            both(Expected::Clean),
        ),
        canary("double-release", "two threads release one resource", bodies::double_release, seen(Detector::DoubleRelease)),
        canary(
            "use-after-release",
            "a resource is used by one thread and released by another",
            bodies::use_after_release,
            seen(Detector::UseAfterRelease),
        ),
        canary("leak", "a resource is not released in one order", bodies::leak, seen(Detector::Leak)),
        canary(
            "thread-left",
            "a thread outlives the body and ticks on",
            bodies::thread_left,
            on_shuttle(Expected::Caught(Detector::Leak), no_time),
        ),
        canary(
            "livelock",
            "two threads give way to each other for ever",
            bodies::livelock,
            on_shuttle(Expected::Caught(Detector::Livelock), "loom takes an endless loop for a body too large"),
        ),
        canary(
            "patient-holder",
            "silent: a lock's holder sleeps while another tries and yields",
            silent::patient_holder,
            on_shuttle(Expected::Clean, no_time),
        ),
        canary(
            "hang",
            "an operation passes its deadline while a clock ticks on",
            bodies::hang,
            on_shuttle(Expected::Caught(Detector::Hang), no_time),
        ),
        canary(
            "foreign-lock",
            "a std mutex is held across a switch",
            bodies::foreign_lock,
            on_shuttle(Expected::Caught(Detector::ForeignLock), "loom's threads would block alike"),
        ),
        canary(
            "random-order",
            "a map of random order decides which lock is next",
            bodies::random_order,
            on_shuttle(Expected::Caught(Detector::Nondeterminism), "loom does not run a schedule twice"),
        ),
        canary(
            "cases-invariant",
            "one input of many breaks a property",
            bodies::cases_invariant,
            vec![On::cases(Expected::Caught(Detector::Invariant))],
        ),
        canary(
            "cases-clean",
            "silent: every input is tried, and none breaks it",
            silent::cases_clean,
            vec![On::cases(Expected::Clean)],
        ),
        canary("abort", "the body aborts its process", bodies::abort, vec![On::shuttle(Expected::Crashed)]),
        canary("stack-overflow", "the body overflows its stack", bodies::stack_overflow, vec![On::shuttle(Expected::Crashed)]),
        canary("endless-step", "a step computes for ever", bodies::endless_step, vec![On::shuttle(Expected::Crashed)]),
        canary(
            "too-large",
            "the body has more branches than loom keeps",
            bodies::too_large,
            vec![On::loom(Expected::Inconclusive)],
        ),
    ];
    Exhibit { name: "canary", story: "what the detectors must see, and what they must not", subjects }
}
