//! The canaries: a body for each detector that it must see, and for each mistake that it must not make.
//!
//! A run in which one goes wrong fails. Where an engine cannot see what a canary does, the table says so.

mod bodies;
pub mod exchange;
mod silent;

use crate::exhibit::{Exhibit, Expected, On, Sequential, Subject};
use sim::verdict::Detector;
use sim::{Engine, StrategyName};

fn canary(name: &'static str, about: &'static str, body: fn(), on: Vec<On>) -> Subject {
    Subject { name, about, on, fewest_preemptions: None, sequential: Sequential::Clean, body, in_sequence: None, must_see: None }
}

fn both(expected: Expected) -> Vec<On> {
    vec![On::loom(expected), On::shuttle(expected)]
}

fn seen(detector: Detector) -> Vec<On> {
    both(Expected::Caught(detector))
}

/// What loom is blind to, for the reason that its page of the support matrix gives.
fn on_shuttle(detector: Detector) -> Vec<On> {
    let why_not = detector.blind_on(Engine::Loom).unwrap_or("loom has no time that passes by itself");
    vec![On::loom(Expected::NotRun(why_not)), On::shuttle(Expected::Caught(detector))]
}

/// What a task can do wrong on a network.
fn networked(detector: Detector) -> Vec<On> {
    vec![On::shuttle(Expected::Caught(detector)), On::turmoil(Expected::Caught(detector))]
}

/// The whole program, for real too. Its orders are too many for turmoil to have them all.
fn exchanged() -> Vec<On> {
    let sampled = On::turmoil(Expected::Clean).strategy(StrategyName::Random).schedules(300);
    vec![On::real(Expected::Clean), On::shuttle(Expected::Clean), sampled]
}

/// The flaws of [`exchange`], a body each.
mod flaw {
    use super::exchange::{Flaw, Setting, run};
    use sim::net::Link;

    /// One exchange, small enough for turmoil to have every order of it.
    pub(super) fn alone() {
        let link = Link::any_order().loss(0.05).and_then(|link| link.duplicate(0.05)).expect("these are probabilities");
        run(Setting { flaw: Flaw::None, workers: 1, each: 1 }, Some(link));
    }

    fn with(flaw: Flaw) {
        let link = Link::any_order().loss(0.05).and_then(|link| link.duplicate(0.05)).expect("these are probabilities");
        run(Setting { flaw, workers: 2, each: 1 }, Some(link));
    }

    pub(super) fn none() {
        with(Flaw::None);
    }

    pub(super) fn lost_wakeup() {
        with(Flaw::LostWakeup);
    }

    pub(super) fn lock_across_await() {
        with(Flaw::LockAcrossAwait);
    }

    pub(super) fn not_retransmitted() {
        with(Flaw::NotRetransmitted);
    }

    pub(super) fn duplicate() {
        with(Flaw::DuplicateProcessedTwice);
    }

    pub(super) fn inversion() {
        with(Flaw::LockInversion);
    }
}

/// What one thread can do wrong, on the engine for inputs too.
fn everywhere(detector: Detector) -> Vec<On> {
    let mut on = if detector.blind_on(Engine::Loom).is_some() { on_shuttle(detector) } else { seen(detector) };
    on.extend([On::turmoil(Expected::Caught(detector)), On::cases(Expected::Caught(detector))]);
    on
}

/// As [`everywhere`], for what blocks its thread.
fn everywhere_with_threads(detector: Detector) -> Vec<On> {
    let mut on = everywhere(detector);
    on.retain(|on| on.engine != Engine::Turmoil);
    on
}

/// The exhibit.
pub fn exhibit() -> Exhibit {
    let no_time = "loom has no time that passes by itself";
    let patient = vec![On::loom(Expected::NotRun(no_time)), On::shuttle(Expected::Clean)];
    let subjects = vec![
        canary("invariant", "a property does not hold in one order", bodies::invariant, seen(Detector::Invariant)),
        canary("panic", "a thread panics in one order", bodies::panic, seen(Detector::Panic)),
        canary("abba", "two locks in both orders, at once", bodies::abba, seen(Detector::Deadlock)),
        canary("self-deadlock", "a mutex is taken twice by one thread", bodies::self_deadlock, everywhere(Detector::Deadlock)),
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
        canary(
            "abba-among-others",
            "two locks in both orders, beside two that only look so until their condition is known",
            bodies::abba_among_others,
            seen(Detector::PotentialDeadlock),
        ),
        canary(
            "abba-flagged",
            "silent: one order ends before an atomic flag lets the other begin",
            silent::flagged,
            both(Expected::Clean),
        ),
        canary(
            "reentrant-again",
            "silent: a reentrant lock is taken again under another",
            silent::reentrant_again,
            both(Expected::Clean),
        ),
        canary("ended-seen", "a thread's end is seen in one order", bodies::ended_seen, seen(Detector::Invariant)),
        canary(
            "failed-exchange",
            "silent: a failed exchange acquires what it saw",
            silent::failed_exchange,
            both(Expected::Clean),
        ),
        canary(
            "cell-asked-under-lock",
            "silent: who fills a cell waits for a lock whose holder asks the cell",
            silent::cell_asked_under_lock,
            both(Expected::Clean),
        ),
        canary(
            "slow-processor",
            "silent: time passes ahead of an operation that could run",
            silent::slow_processor,
            vec![On::shuttle(Expected::Clean)],
        ),
        canary(
            "patient-poller",
            "silent: a thread polls and yields while a clock does its work",
            silent::patient_poller,
            vec![On::shuttle(Expected::Clean).schedules(100)],
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
        canary(
            "release-before-use",
            "as before, and the order that fails is not the first that loom has",
            bodies::release_before_use,
            seen(Detector::UseAfterRelease),
        ),
        canary("leak", "a resource is not released in one order", bodies::leak, seen(Detector::Leak)),
        canary("thread-left", "a thread outlives the body and ticks on", bodies::thread_left, on_shuttle(Detector::Leak)),
        canary("livelock", "two threads give way to each other for ever", bodies::livelock, on_shuttle(Detector::Livelock)),
        canary(
            "patient-holder",
            "silent: a lock's holder sleeps while another tries and yields",
            silent::patient_holder,
            patient,
        ),
        canary("hang", "an operation passes its deadline while a clock ticks on", bodies::hang, on_shuttle(Detector::Hang)),
        canary(
            "lock-across-await",
            "a task waits while it holds a lock that blocks",
            bodies::lock_across_await,
            networked(Detector::LockAcrossAwait),
        ),
        canary(
            "async-abba",
            "two tasks await two locks in both orders",
            bodies::async_abba,
            vec![On::shuttle(Expected::Caught(Detector::Deadlock))],
        ),
        canary(
            "async-abba-in-turn",
            "two tasks await two locks in both orders, never at once",
            bodies::async_abba_in_turn,
            // On shuttle a slow processor makes it happen.
            vec![On::turmoil(Expected::Caught(Detector::PotentialDeadlock))],
        ),
        canary(
            "async-join-under-lock",
            "a task is joined under the lock that it awaits",
            bodies::async_join_under_lock,
            networked(Detector::Deadlock),
        ),
        canary(
            "async-abba-timed",
            "silent: two tasks await two locks in both orders, and one gives up in time",
            silent::async_abba_timed,
            vec![On::shuttle(Expected::Clean), On::turmoil(Expected::Clean)],
        ),
        canary(
            "async-either",
            "silent: a task awaits a lock or a message, whichever comes",
            silent::async_either,
            vec![On::shuttle(Expected::Clean), On::turmoil(Expected::Clean)],
        ),
        canary(
            "async-lost-wakeup",
            "a task is notified before it waits",
            bodies::async_lost_wakeup,
            vec![On::shuttle(Expected::Caught(Detector::LostWakeup))],
        ),
        canary(
            "async-late-answer",
            "an answer is trusted to come before its time",
            bodies::async_late_answer,
            vec![On::shuttle(Expected::Caught(Detector::Invariant))],
        ),
        canary(
            "async-in-order",
            "silent: tasks hand over, share, count and end",
            silent::async_in_order,
            vec![On::shuttle(Expected::Clean)],
        ),
        canary("exchange", "silent: requests and answers cross on a network that loses and duplicates", flaw::none, exchanged()),
        canary(
            "exchange-alone",
            "silent: one request and its answer, in every order within the bounds",
            flaw::alone,
            vec![On::turmoil(Expected::Clean)],
        ),
        canary(
            "exchange-lost-wakeup",
            "an answer comes before who waits for it",
            flaw::lost_wakeup,
            networked(Detector::LostWakeup),
        ),
        canary(
            "exchange-lock-across-await",
            "a local task waits while it holds a lock that blocks",
            flaw::lock_across_await,
            networked(Detector::LockAcrossAwait),
        ),
        canary(
            "exchange-not-retransmitted",
            "a lost request is not sent again",
            flaw::not_retransmitted,
            networked(Detector::Hang),
        ),
        canary(
            "exchange-duplicate",
            "a request that comes twice is executed twice",
            flaw::duplicate,
            networked(Detector::Invariant),
        ),
        canary("exchange-inversion", "two tasks await two locks in both orders", flaw::inversion, networked(Detector::Deadlock)),
        canary("foreign-lock", "a std mutex is held across a switch", bodies::foreign_lock, on_shuttle(Detector::ForeignLock)),
        canary(
            "async-foreign-lock",
            "a std mutex is held across an await",
            bodies::async_foreign_lock,
            vec![On::turmoil(Expected::Caught(Detector::ForeignLock))],
        ),
        canary(
            "random-order",
            "a map of random order decides which lock is next",
            bodies::random_order,
            everywhere(Detector::Nondeterminism),
        ),
        canary(
            "alone-panic",
            "one input of many panics",
            bodies::alone_panic,
            vec![On::turmoil(Expected::Caught(Detector::Panic)), On::cases(Expected::Caught(Detector::Panic))],
        ),
        canary(
            "alone-lost-wakeup",
            "a wait that nobody can end",
            bodies::alone_lost_wakeup,
            everywhere_with_threads(Detector::LostWakeup),
        ),
        canary(
            "alone-hang",
            "an operation sleeps past its deadline",
            bodies::alone_hang,
            everywhere_with_threads(Detector::Hang),
        ),
        canary("alone-livelock", "a thread yields for ever", bodies::alone_livelock, everywhere(Detector::Livelock)),
        canary(
            "alone-double-release",
            "a resource is released twice",
            bodies::alone_double_release,
            everywhere(Detector::DoubleRelease),
        ),
        canary(
            "alone-use-after-release",
            "a resource is used after its release",
            bodies::alone_use_after_release,
            everywhere(Detector::UseAfterRelease),
        ),
        canary("alone-leak", "a resource is never released", bodies::alone_leak, everywhere(Detector::Leak)),
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
        canary(
            "too-many-threads",
            "the body has more threads than loom has",
            bodies::too_many_threads,
            vec![On::loom(Expected::Inconclusive), On::shuttle(Expected::Clean)],
        ),
    ];
    Exhibit { name: "canary", story: "what the detectors must see, and what they must not", subjects }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The support matrix and the canaries say the same: what an engine sees, a canary shows there.
    #[test]
    fn every_detector_has_a_canary_on_every_engine_that_sees() {
        let canaries = exhibit();
        for engine in [Engine::Loom, Engine::Shuttle, Engine::Turmoil, Engine::Cases] {
            for detector in Detector::ALL {
                let shown = canaries
                    .subjects
                    .iter()
                    .any(|subject| subject.on(engine).is_some_and(|on| on.expected == Expected::Caught(detector)));
                assert_eq!(shown, detector.blind_on(engine).is_none(), "{detector} on {engine}");
            }
        }
    }
}
