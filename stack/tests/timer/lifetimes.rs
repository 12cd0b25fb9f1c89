//! How a heap ends, and what its callbacks captured goes with it.

use super::rig::{self, HANG, Kind, on_every_kind, patient, rig, soon};
use stack::timer::{Cancelled, Closed, TimerConfig, TimerError, TimerId, Timers};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

#[test]
fn a_heap_that_is_closed_drops_what_waits_and_takes_no_more() {
    on_every_kind(patient(), |timers, kind| {
        let captured = Arc::new(());
        let far = || {
            let captured = Arc::clone(&captured);
            timers.schedule_after(HANG, move |_, _| drop(captured))
        };
        let ids = [(); 3].map(|()| far().unwrap());
        assert!(!timers.is_closed());
        assert_eq!(timers.close(), Ok(Closed::Closed), "{kind:?}");
        assert!(timers.is_closed());
        assert_eq!((Arc::strong_count(&captured), timers.pending()), (1, 0), "{kind:?}");
        assert_eq!(timers.close(), Ok(Closed::Already));
        assert_eq!(far(), Err(TimerError::Closed));
        assert_eq!(Arc::strong_count(&captured), 1, "the callback of a timer that is refused is dropped");
        assert!(ids.iter().all(|id| timers.cancel(*id) == Cancelled::Ended));
        let counters = timers.counters();
        assert_eq!((counters.dropped_at_close, counters.prevented, counters.refused), (3, 0, 1));
    });
}

#[test]
fn a_callback_may_close_its_heap() {
    on_every_kind(patient(), |timers, kind| {
        let (sent, received) = mpsc::channel();
        let captured = Arc::new(());
        let held = Arc::clone(&captured);
        timers.schedule_after(HANG, move |_, _| drop(held)).unwrap();
        let callback = move |timers: &Timers, id: TimerId| {
            let closed = [timers.close(), timers.close()];
            let after = (timers.pending(), timers.cancel(id), timers.schedule_after(Duration::ZERO, |_, _| {}));
            sent.send((closed, after)).unwrap();
        };
        timers.schedule_after(Duration::ZERO, callback).unwrap();
        let (closed, after) = received.recv_timeout(HANG).unwrap();
        assert_eq!(closed, [Ok(Closed::FromCallback), Ok(Closed::FromCallback)], "{kind:?}");
        assert_eq!(after, (0, Cancelled::FromCallback, Err(TimerError::Closed)));
        assert_eq!(timers.close(), Ok(Closed::Already));
        assert_eq!(Arc::strong_count(&captured), 1);
    });
}

#[test]
fn the_last_handle_closes_the_heap_and_a_callbacks_own_does_not_count() {
    for kind in Kind::ALL {
        let heap = rig(kind, patient());
        let (sent, received) = mpsc::channel();
        let callback = move |timers: &Timers, _: TimerId| sent.send(timers.clone()).unwrap();
        heap.timers.schedule_after(Duration::ZERO, callback).unwrap();
        let theirs = received.recv_timeout(HANG).unwrap();
        let captured = Arc::new(());
        let held = Arc::clone(&captured);
        theirs.schedule_after(HANG, move |_, _| drop(held)).unwrap();
        let clone = heap.timers.clone();
        let rig::Rig { timers, carrier } = heap;
        drop(timers);
        assert!(!theirs.is_closed() && Arc::strong_count(&captured) == 2, "{kind:?}: a clone is left");
        drop(clone);
        assert!(theirs.is_closed() && Arc::strong_count(&captured) == 1, "{kind:?}");
        assert_eq!(theirs.schedule_after(Duration::ZERO, |_, _| {}), Err(TimerError::Closed));
        drop(carrier);
    }
}

#[test]
fn a_handle_that_a_callback_captured_counts_until_it_is_gone() {
    for kind in Kind::ALL {
        let heap = rig(kind, patient());
        let (sent, received) = mpsc::channel();
        let captured = heap.timers.clone();
        let callback = move |timers: &Timers, _: TimerId| {
            sent.send((timers.is_closed(), timers.clone())).unwrap();
            drop(captured);
        };
        heap.timers.schedule_after(Duration::from_millis(20), callback).unwrap();
        let rig::Rig { timers, carrier } = heap;
        drop(timers);
        let (was_closed, theirs) = received.recv_timeout(HANG).unwrap();
        assert!(!was_closed, "{kind:?}");
        soon(|| theirs.is_closed());
        drop(carrier);
    }
}

#[test]
fn the_last_handle_does_not_wait_for_a_callback() {
    for kind in Kind::ALL {
        let (heap, gate, _) = rig::gated(kind, patient());
        let rig::Rig { timers, carrier } = heap;
        drop(timers);
        gate.open();
        drop(carrier);
    }
}

/// It does every call there is when it is dropped. Under the heap's lock none would return.
struct CallsIn {
    timers: Timers,
    other: TimerId,
    drops: Arc<AtomicU32>,
}

impl Drop for CallsIn {
    fn drop(&mut self) {
        let _ = (self.timers.counters(), self.timers.pending(), self.timers.is_closed(), format!("{:?}", self.timers));
        let _ = self.timers.schedule_after(HANG, |_, _| {});
        let _ = self.timers.cancel(self.other);
        let _ = self.timers.cancel_and_wait(self.other);
        self.drops.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn what_a_callback_captured_is_dropped_once_and_not_under_the_lock() {
    // By a cancel, by one that waits, when it has run, when it is refused, by a close, by a close that its own drop does.
    for case in 0..6 {
        on_every_kind(TimerConfig { timers_max: 3, ..patient() }, |timers, kind| {
            let drops = Arc::new(AtomicU32::new(0));
            let other = timers.schedule_after(HANG, |_, _| {}).unwrap();
            let captured = CallsIn { timers: timers.clone(), other, drops: Arc::clone(&drops) };
            let delay = if case == 2 { Duration::ZERO } else { HANG };
            if case == 3 {
                (0..2).for_each(|_| _ = timers.schedule_after(HANG, |_, _| {}).unwrap());
            }
            let closes = (case == 5).then(|| ClosesWhenDropped(timers.clone()));
            let scheduled = timers.schedule_after(delay, move |_, _| drop((closes, captured)));
            match case {
                0 => assert_eq!(timers.cancel(scheduled.unwrap()), Cancelled::Prevented),
                1 => assert_eq!(timers.cancel_and_wait(scheduled.unwrap()), Ok(Cancelled::Prevented)),
                2 => soon(|| drops.load(Ordering::SeqCst) == 1),
                3 => assert_eq!(scheduled, Err(TimerError::Full { timers_max: 3 })),
                4 => assert_eq!(timers.close(), Ok(Closed::Closed)),
                _ => assert_eq!(timers.cancel(scheduled.unwrap()), Cancelled::Prevented),
            }
            assert_eq!(drops.load(Ordering::SeqCst), 1, "case {case}, {kind:?}");
            assert_eq!(timers.is_closed(), case >= 4, "case {case}, {kind:?}");
            let _ = timers.close();
            assert_eq!((drops.load(Ordering::SeqCst), timers.pending()), (1, 0), "case {case}, {kind:?}");
        });
    }
}

struct ClosesWhenDropped(Timers);

impl Drop for ClosesWhenDropped {
    fn drop(&mut self) {
        self.0.close().unwrap();
    }
}

/// A callback that schedules itself again at once, for ever.
fn for_ever(timers: &Timers, calls: Arc<AtomicU32>) {
    let again = move |timers: &Timers, _: TimerId| {
        calls.fetch_add(1, Ordering::SeqCst);
        for_ever(timers, calls);
    };
    match timers.schedule_after(Duration::ZERO, again) {
        Ok(_) | Err(TimerError::Closed) => {}
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn callbacks_without_end_keep_nobody_from_anything() {
    on_every_kind(patient(), |timers, kind| {
        let calls = Arc::new(AtomicU32::new(0));
        for_ever(timers, Arc::clone(&calls));
        for_ever(timers, Arc::clone(&calls));
        soon(|| calls.load(Ordering::SeqCst) > 1000);
        let (sent, received) = mpsc::channel();
        timers.schedule_after(Duration::from_millis(5), move |_, _| sent.send(()).unwrap()).unwrap();
        received.recv_timeout(HANG).unwrap();
        assert_eq!(timers.close(), Ok(Closed::Closed), "{kind:?}");
        let after = calls.load(Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(5));
        assert_eq!(calls.load(Ordering::SeqCst), after, "{kind:?}: no callback comes after a close");
    });
}

#[test]
fn every_id_that_was_ever_given_stays_that_of_its_timer() {
    on_every_kind(TimerConfig { timers_max: 2, ..patient() }, |timers, kind| {
        let mut old: Vec<TimerId> = Vec::new();
        for _ in 0..50 {
            let called = Arc::new(Mutex::new(None));
            let tells = Arc::clone(&called);
            let fires = timers.schedule_after(Duration::ZERO, move |_, id| *tells.lock().unwrap() = Some(id)).unwrap();
            soon(|| called.lock().unwrap().is_some());
            assert_eq!(*called.lock().unwrap(), Some(fires), "{kind:?}");
            assert_eq!(timers.cancel_and_wait(fires).map(|_| ()), Ok(()));
            let waits = timers.schedule_after(HANG, |_, _| {}).unwrap();
            for id in &old {
                assert_eq!(timers.cancel(*id), Cancelled::Ended, "{kind:?}");
            }
            assert_eq!(timers.cancel(waits), Cancelled::Prevented, "{kind:?}");
            old.extend([fires, waits]);
        }
    });
}

#[test]
fn to_another_heap_an_id_is_the_name_of_nothing() {
    for kind in Kind::ALL {
        let (heap, gate, running) = rig::gated(kind, patient());
        let other = rig(kind, patient());
        let waits = heap.timers.schedule_after(HANG, |_, _| {}).unwrap();
        let theirs = [(); 2].map(|()| other.timers.schedule_after(HANG, |_, _| {}).unwrap());
        for id in [running, waits] {
            assert_eq!(other.timers.cancel(id), Cancelled::Ended, "{kind:?}");
            assert_eq!(other.timers.cancel_and_wait(id), Ok(Cancelled::Ended), "{kind:?}");
        }
        assert_eq!(theirs.map(|id| heap.timers.cancel(id)), [Cancelled::Ended; 2], "{kind:?}");
        assert_eq!((heap.timers.pending(), other.timers.pending()), (1, 2));
        gate.open();
    }
}
