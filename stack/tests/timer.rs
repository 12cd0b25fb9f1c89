//! Timers in production: real threads, tokio, real time. What the engines prove stands in the exhibits.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "the test stands outside of what is tested")]

#[path = "timer/awaited.rs"]
mod awaited;
#[path = "timer/lifetimes.rs"]
mod lifetimes;
#[path = "timer/rig.rs"]
mod rig;

use rig::{HANG, Kind, on_every_kind, patient, soon};
use sim::time::Instant;
use stack::timer::{Cancelled, Closed, TimerConfig, TimerError, TimerId, Timers};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

/// 600 timers at 30 times, in an order that has nothing to do with their times.
#[test]
fn callbacks_come_in_the_order_of_their_times_and_else_of_their_scheduling() {
    on_every_kind(patient(), |timers, kind| {
        let (sent, received) = mpsc::channel();
        let base = Instant::now() + Duration::from_millis(200);
        let mut expected = Vec::new();
        for number in 0..600u64 {
            let due = base + Duration::from_millis(number * 7 % 30);
            let sent = sent.clone();
            let callback = move |_: &Timers, _: TimerId| sent.send((number, Instant::now())).unwrap();
            timers.schedule_at(due, callback).unwrap();
            expected.push((due, number));
        }
        expected.sort();
        for (due, number) in expected {
            let (called, at) = received.recv_timeout(HANG).unwrap();
            assert_eq!(called, number, "{kind:?}");
            assert!(at >= due, "{kind:?}: a timer comes {:?} early", due - at);
        }
        let counters = timers.counters();
        assert_eq!((counters.scheduled, counters.fired, counters.refused), (600, 600, 0));
    });
}

#[test]
fn a_timer_that_is_due_before_those_that_wait_is_not_kept_waiting() {
    on_every_kind(patient(), |timers, kind| {
        let (sent, received) = mpsc::channel();
        // The worker waits for ever, then for an hour, then for a minute.
        for delay in [3600, 60, 0, 3600, 0] {
            let sent = sent.clone();
            timers.schedule_after(Duration::from_secs(delay), move |_, _| sent.send(delay).unwrap()).unwrap();
            if delay == 0 {
                assert_eq!(received.recv_timeout(HANG), Ok(0), "{kind:?}");
            } else {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        assert_eq!(timers.pending(), 3);
    });
}

#[test]
fn no_time_is_too_far_or_too_long_ago() {
    on_every_kind(patient(), |timers, _| {
        let never = |_: &Timers, _: TimerId| panic!("its time has come");
        let ids = [
            timers.schedule_after(Duration::MAX, never).unwrap(),
            timers.schedule_at(Instant::from_origin(Duration::MAX), never).unwrap(),
            timers.schedule_after(Duration::from_secs(1 << 40), never).unwrap(),
        ];
        let (sent, received) = mpsc::channel();
        timers.schedule_at(Instant::from_origin(Duration::ZERO), move |_, _| sent.send(()).unwrap()).unwrap();
        received.recv_timeout(HANG).unwrap();
        assert!(ids.iter().all(|id| timers.cancel(*id) == Cancelled::Prevented));
        // What has passed when it is scheduled is due then.
        assert!(timers.counters().lateness_max < Duration::from_secs(60));
    });
}

#[test]
fn at_the_limit_a_timer_is_refused_counted_and_its_callback_dropped() {
    for timers_max in 0..4 {
        on_every_kind(TimerConfig { timers_max, ..patient() }, |timers, kind| {
            let far = |captured: &Arc<()>| {
                let captured = Arc::clone(captured);
                timers.schedule_after(HANG, move |_, _| drop(captured))
            };
            let captured = Arc::new(());
            let ids: Vec<_> = (0..timers_max).map(|_| far(&captured).unwrap()).collect();
            for refused in 1..3 {
                assert_eq!(far(&captured), Err(TimerError::Full { timers_max }), "{kind:?}");
                assert_eq!(timers.counters().refused, refused);
                assert_eq!((timers.pending(), Arc::strong_count(&captured)), (timers_max, timers_max + 1));
            }
            for id in ids {
                assert_eq!(timers.cancel(id), Cancelled::Prevented);
                let again = far(&captured).unwrap();
                assert_eq!(far(&captured), Err(TimerError::Full { timers_max }));
                assert_eq!(timers.cancel(id), Cancelled::Ended, "a slot that is used again is another timer's");
                assert_eq!(timers.cancel(again), Cancelled::Prevented);
                let another = far(&captured).unwrap();
                assert_ne!(another, again);
            }
        });
    }
}

#[test]
fn a_callback_that_goes_on_leaves_its_place_to_another() {
    on_every_kind(TimerConfig { timers_max: 1, ..patient() }, |timers, kind| {
        let (sent, received) = mpsc::channel();
        fn again(timers: &Timers, left: u32, sent: mpsc::Sender<TimerId>) {
            let next = move |timers: &Timers, id: TimerId| {
                sent.send(id).unwrap();
                if left > 0 {
                    again(timers, left - 1, sent);
                    let one_more = timers.schedule_after(Duration::ZERO, |_, _| {});
                    assert_eq!(one_more, Err(TimerError::Full { timers_max: 1 }));
                }
            };
            timers.schedule_after(Duration::ZERO, next).unwrap();
        }
        again(timers, 99, sent);
        let ids: Vec<_> = received.iter().collect();
        assert_eq!(ids.len(), 100, "{kind:?}");
        assert!((0..100).all(|a| (0..a).all(|b| ids[a] != ids[b])), "every timer has an id of its own");
        soon(|| timers.counters().refused == 99);
        assert_eq!(timers.counters().panicked, 0);
    });
}

#[test]
fn a_callback_is_told_that_it_cancels_itself_and_cancels_others_as_anybody() {
    on_every_kind(patient(), |timers, kind| {
        let (sent, received) = mpsc::channel();
        let ended = timers.schedule_after(Duration::ZERO, |_, _| {}).unwrap();
        let waiting = [(); 2].map(|()| timers.schedule_after(HANG, |_, _| panic!("it was prevented")).unwrap());
        let callback = move |timers: &Timers, id: TimerId| {
            let own = [Ok(timers.cancel(id)), timers.cancel_and_wait(id), timers.cancel_and_wait(id)];
            let others = [
                Ok(timers.cancel(ended)),
                Ok(timers.cancel(waiting[0])),
                timers.cancel_and_wait(waiting[1]),
                timers.cancel_and_wait(waiting[1]),
            ];
            sent.send((id, own, others)).unwrap();
        };
        let id = timers.schedule_after(Duration::from_millis(1), callback).unwrap();
        let (own_id, own, others) = received.recv_timeout(HANG).unwrap();
        assert_eq!(own_id, id, "{kind:?}");
        assert_eq!(own, [Ok(Cancelled::FromCallback), Ok(Cancelled::FromCallback), Ok(Cancelled::FromCallback)]);
        use Cancelled::{Ended, Prevented};
        assert_eq!(others, [Ok(Ended), Ok(Prevented), Ok(Prevented), Ok(Ended)]);
        soon(|| timers.cancel(id) == Ended);
        let counters = timers.counters();
        assert_eq!((counters.scheduled, counters.fired, counters.prevented), (4, 2, 2));
    });
}

#[test]
fn who_waits_is_answered_when_the_callback_has_returned_or_the_deadline_has_come() {
    for kind in Kind::ALL {
        let deadline = Duration::from_millis(20);
        let (rig, gate, id) = rig::gated(kind, TimerConfig { wait_deadline: deadline, ..patient() });
        let timers = &rig.timers;
        assert_eq!(timers.cancel(id), Cancelled::Running, "{kind:?}");
        assert_eq!(timers.cancel_and_wait(id), Err(TimerError::CallbackGoesOn { deadline }), "{kind:?}");
        assert_eq!(timers.close(), Err(TimerError::CallbackGoesOn { deadline }), "{kind:?}");
        assert_eq!(timers.counters().given_up, 2);
        gate.open();
        soon(|| timers.close() == Ok(Closed::Already));
        assert_eq!(timers.cancel_and_wait(id), Ok(Cancelled::Ended));

        let (rig, gate, id) = rig::gated(kind, patient());
        let waiting: Vec<_> = (0..3)
            .map(|number| {
                let timers = rig.timers.clone();
                std::thread::spawn(move || match number {
                    0 => timers.close().map(|closed| assert_eq!(closed, Closed::Closed)),
                    _ => timers.cancel_and_wait(id).map(|cancelled| assert_eq!(cancelled, Cancelled::Running)),
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(20));
        assert!(waiting.iter().all(|thread| !thread.is_finished()), "{kind:?}: the callback goes on");
        gate.open();
        for thread in waiting {
            // Its deadline would not end it in time.
            thread.join().unwrap().unwrap();
        }
    }
}

#[test]
fn a_callback_that_panics_is_counted_and_the_heap_goes_on() {
    struct PanicsWhenDropped;
    impl Drop for PanicsWhenDropped {
        fn drop(&mut self) {
            panic!("on purpose, when dropped");
        }
    }
    on_every_kind(TimerConfig { timers_max: 4, ..patient() }, |timers, kind| {
        let panics = || {
            let captured = PanicsWhenDropped;
            timers.schedule_after(HANG, move |_, _| drop(captured))
        };
        timers.schedule_after(Duration::ZERO, |_, _| panic!("on purpose")).unwrap();
        timers.schedule_after(Duration::ZERO, |_, _| std::panic::panic_any(PanicsWhenDropped)).unwrap();
        soon(|| timers.counters().panicked == 2);
        assert_eq!(timers.cancel(panics().unwrap()), Cancelled::Prevented, "{kind:?}");
        assert_eq!(timers.cancel_and_wait(panics().unwrap()), Ok(Cancelled::Prevented));
        (0..4).for_each(|_| _ = panics().unwrap());
        assert!(panics().is_err());
        assert_eq!(timers.counters().panicked, 5);
        assert_eq!(timers.close(), Ok(Closed::Closed));
        assert!(panics().is_err());
        let counters = timers.counters();
        assert_eq!((counters.panicked, counters.dropped_at_close, counters.refused), (10, 4, 2), "{kind:?}");
        assert_eq!(counters.scheduled, counters.fired + counters.prevented + counters.dropped_at_close);
    });
}

#[test]
fn late_callbacks_are_counted() {
    on_every_kind(TimerConfig { late_after: Duration::from_millis(20), ..patient() }, |timers, kind| {
        let due = Instant::now() + Duration::from_millis(10);
        let (sent, received) = mpsc::channel();
        timers.schedule_at(due, |_, _| std::thread::sleep(Duration::from_millis(60))).unwrap();
        timers.schedule_at(due, move |timers, _| sent.send(timers.counters()).unwrap()).unwrap();
        let counters = received.recv_timeout(HANG).unwrap();
        assert!(counters.late >= 1 && counters.lateness_max >= Duration::from_millis(59), "{kind:?}: {counters:?}");
        assert_eq!(counters.fired, 2);
    });
}

/// A slow machine makes a timer late, and a heap that takes late for early would pass everywhere but here.
#[test]
fn what_comes_in_time_is_not_late() {
    on_every_kind(TimerConfig { late_after: HANG, ..patient() }, |timers, _| {
        let (sent, received) = mpsc::channel();
        timers.schedule_after(Duration::from_millis(5), move |_, _| sent.send(()).unwrap()).unwrap();
        received.recv_timeout(HANG).unwrap();
        assert_eq!(timers.counters().late, 0);
    });
}

/// Eight threads do what they like to the timers of each other.
#[test]
fn threads_that_do_everything_at_once_leave_nothing_behind() {
    on_every_kind(TimerConfig { timers_max: 64, ..patient() }, |timers, kind| {
        let ids = Arc::new(Mutex::new(Vec::new()));
        let captured = Arc::new(());
        let threads: Vec<_> = (0..8u64)
            .map(|thread| {
                let (timers, ids, captured) = (timers.clone(), Arc::clone(&ids), Arc::clone(&captured));
                std::thread::spawn(move || {
                    for step in 0..500u64 {
                        let number = thread * 500 + step;
                        let held = Arc::clone(&captured);
                        let delay = Duration::from_micros(number * 7919 % 400);
                        if let Ok(id) = timers.schedule_after(delay, move |_, _| drop(held)) {
                            ids.lock().unwrap().push(id);
                        }
                        let id = {
                            let ids = ids.lock().unwrap();
                            ids.get(number as usize * 31 % ids.len().max(1)).copied()
                        };
                        match (id, step % 3) {
                            (Some(id), 0) => _ = timers.cancel(id),
                            (Some(id), 1) => _ = timers.cancel_and_wait(id).unwrap(),
                            _ => {}
                        }
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        timers.close().unwrap();
        let counters = timers.counters();
        assert_eq!(counters.scheduled + counters.refused, 4000, "{kind:?}");
        assert_eq!(counters.scheduled, counters.fired + counters.prevented + counters.dropped_at_close, "{kind:?}");
        assert_eq!((Arc::strong_count(&captured), timers.pending()), (1, 0), "{kind:?}");
    });
}

#[test]
fn a_heap_shows_how_it_is_set_up_and_what_waits() {
    on_every_kind(patient(), |timers, kind| {
        for pending in 0..3 {
            let shown = format!("Timers {{ config: {:?}, pending: {pending}, closed: false, .. }}", patient());
            assert_eq!(format!("{timers:?}"), shown, "{kind:?}");
            timers.schedule_after(HANG, |_, _| ()).unwrap();
        }
        timers.close().unwrap();
        assert!(format!("{timers:?}").ends_with("pending: 0, closed: true, .. }"));
    });
}
