//! Start, stop and destroy: twice, crossed, late, from within, with the lock held.

use super::{A_MOMENT, FOR_EVER, Notes, config, running, told, wait_until};
use stack::audio::thread_loop::{LoopConfig, LoopError, Stopped, ThreadLoop};
use std::sync::mpsc;
use std::time::{Duration, Instant};

#[test]
fn it_starts_stops_and_starts_again() {
    let (mut thread_loop, handle) = running("lives");
    for _ in 0..50 {
        thread_loop.start().unwrap();
        assert!(handle.is_running());
        assert_eq!(handle.invoke(FOR_EVER, |guard| guard.is_on_loop_thread()), Ok(true));
        assert_eq!(thread_loop.stop(), Ok(Stopped::Stopped));
        assert_eq!(thread_loop.stop(), Ok(Stopped::NotRunning));
        assert!(!handle.is_running());
        assert_eq!(handle.invoke(FOR_EVER, |_| ()), Err(LoopError::NotRunning));
    }
    assert_eq!(handle.request_stop(), Stopped::NotRunning);
    thread_loop.start().unwrap();
    assert_eq!(thread_loop.destroy(), Ok(Stopped::Stopped));
    assert_eq!(thread_loop.destroy(), Ok(Stopped::NotRunning));
    assert_eq!(thread_loop.stop(), Ok(Stopped::NotRunning));
    assert_eq!(thread_loop.start(), Err(LoopError::Destroyed));
    assert_eq!(handle.post(|_| ()), Err(LoopError::Destroyed));
    assert_eq!(handle.lock().wait(FOR_EVER, |_| false), Err(LoopError::Destroyed));
    assert_eq!(handle.lock().depth(), 1, "a lock is there even so");
}

#[test]
fn who_holds_the_lock_is_refused_and_nothing_has_changed() {
    let (_thread_loop, handle) = running("held");
    let guard = handle.lock();
    assert_eq!(handle.stop(), Err(LoopError::LockHeld));
    assert_eq!(handle.destroy(), Err(LoopError::LockHeld));
    let again = handle.lock();
    drop(guard);
    assert_eq!(handle.stop(), Err(LoopError::LockHeld), "once is held still");
    assert!(handle.is_running());
    drop(again);
    assert_eq!(handle.stop(), Ok(Stopped::Stopped));
    let guard = handle.lock();
    assert_eq!(handle.stop(), Err(LoopError::LockHeld), "even where there is nothing to wait for");
    drop(guard);
}

#[test]
fn the_owner_is_refused_through_a_guard_of_a_handle() {
    let (mut thread_loop, handle) = running("owner");
    let guard = handle.lock();
    assert_eq!(thread_loop.stop(), Err(LoopError::LockHeld));
    assert_eq!(thread_loop.destroy(), Err(LoopError::LockHeld));
    drop(guard);
    assert_eq!(thread_loop.destroy(), Ok(Stopped::Stopped));
}

#[test]
fn a_request_is_for_those_who_hold_the_lock() {
    let (mut thread_loop, handle) = running("request");
    let guard = handle.lock();
    assert_eq!(handle.request_stop(), Stopped::Requested);
    assert!(!handle.is_running());
    assert_eq!(handle.start(), Ok(()), "the thread has not ended yet, and goes on");
    assert_eq!(handle.request_destroy(), Stopped::Requested);
    assert_eq!(handle.request_destroy(), Stopped::NotRunning);
    drop(guard);
    assert_eq!(thread_loop.destroy(), Ok(Stopped::NotRunning));
}

#[test]
fn from_a_task_it_is_a_request_that_is_served_when_the_task_returns() {
    for destroys in [false, true] {
        let (mut thread_loop, handle) = running("within");
        let within = handle.clone();
        let said = handle.invoke(FOR_EVER, move |guard| {
            let first = if destroys { within.destroy() } else { within.stop() };
            (first, within.stop(), guard.handle().is_running(), within.post(|_| ()))
        });
        let (first, again, is_running, posted) = said.unwrap();
        assert_eq!((first, again, is_running), (Ok(Stopped::Requested), Ok(Stopped::Requested), false));
        assert_eq!(posted, Err(if destroys { LoopError::Destroyed } else { LoopError::NotRunning }));
        assert_eq!(thread_loop.stop(), Ok(Stopped::NotRunning));
        assert_eq!(thread_loop.start(), if destroys { Err(LoopError::Destroyed) } else { Ok(()) });
    }
}

#[test]
fn stops_and_starts_cross() {
    let (mut thread_loop, handle) = running("crossed");
    let threads: Vec<_> = (0..4)
        .map(|number| {
            let handle = handle.clone();
            std::thread::spawn(move || {
                for turn in 0..200 {
                    match (turn + number) % 4 {
                        0 => handle.start().unwrap(),
                        1 => drop(handle.stop().unwrap()),
                        2 => drop(handle.invoke(FOR_EVER, |_| ())),
                        _ => _ = handle.post(|guard| _ = guard.signal()),
                    }
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let destroyers: Vec<_> = (0..4)
        .map(|_| {
            let handle = handle.clone();
            std::thread::spawn(move || handle.destroy().unwrap())
        })
        .collect();
    let said: Vec<_> = destroyers.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert!(said.iter().filter(|said| **said == Stopped::Stopped).count() <= 1, "{said:?}");
    assert_eq!(thread_loop.destroy(), Ok(Stopped::NotRunning));
    let counters = handle.counters();
    assert_eq!(counters.posted, counters.ran + counters.discarded, "{counters:?}");
}

#[test]
fn a_slow_callback_is_waited_for_until_the_deadline() {
    let thread_loop = ThreadLoop::new(LoopConfig { stop_deadline: A_MOMENT, ..config("slow") });
    let handle = thread_loop.handle();
    thread_loop.start().unwrap();
    let (release, released) = mpsc::channel::<()>();
    let (begun, has_begun) = mpsc::channel();
    handle
        .post(move |_| {
            begun.send(()).unwrap();
            released.recv().unwrap();
        })
        .unwrap();
    has_begun.recv().unwrap();
    assert_eq!(handle.stop(), Err(LoopError::CallbackGoesOn { deadline: A_MOMENT }));
    assert!(!handle.is_running(), "it has stopped all the same");
    assert_eq!(handle.stop(), Err(LoopError::CallbackGoesOn { deadline: A_MOMENT }));
    release.send(()).unwrap();
    wait_until(|| handle.stop() == Ok(Stopped::NotRunning));
}

#[test]
fn tasks_that_wait_when_the_run_ends_are_dropped_without_the_lock_and_counted() {
    let (_thread_loop, handle) = running("discarded");
    let notes = Notes::default();
    let (release, released) = mpsc::channel::<()>();
    handle.post(move |_| released.recv().unwrap()).unwrap();
    wait_until(|| handle.counters().ran == 1);
    let task = told(&handle, &notes, "task");
    handle.post(move |_| task.notes.add("ran")).unwrap();
    let stopper = {
        let handle = handle.clone();
        std::thread::spawn(move || handle.stop())
    };
    wait_until(|| handle.counters().discarded == 1);
    release.send(()).unwrap();
    assert_eq!(stopper.join().unwrap(), Ok(Stopped::Stopped));
    assert_eq!(notes.all(), ["task dropped without the lock"]);
}

#[test]
fn a_stop_under_the_lock_drops_the_tasks_when_the_lock_is_given_back() {
    let (_thread_loop, handle) = running("request-drops");
    let notes = Notes::default();
    handle.invoke(FOR_EVER, |_| ()).unwrap();
    let guard = handle.lock();
    // The loop thread takes the first and waits for the lock.
    handle.post(|_| ()).unwrap();
    wait_until(|| handle.counters().ran == 2);
    let task = told(&handle, &notes, "task");
    handle.post(move |_| drop(task)).unwrap();
    assert_eq!(handle.request_stop(), Stopped::Requested);
    assert_eq!(notes.all().len(), 0);
    drop(guard);
    assert_eq!(notes.all(), ["task dropped without the lock"]);
}

#[test]
fn a_dropped_owner_destroys_its_loop() {
    let (thread_loop, handle) = running("dropped");
    drop(thread_loop);
    assert_eq!(handle.start(), Err(LoopError::Destroyed));
    assert_eq!(handle.destroy(), Ok(Stopped::NotRunning));
}

#[test]
fn a_thread_that_ends_a_run_tells_who_waits_in_it() {
    let (_thread_loop, handle) = running("waits");
    let waiters: Vec<_> = (0..3)
        .map(|number| {
            let handle = handle.clone();
            std::thread::spawn(move || match number {
                0 => handle.lock().wait(FOR_EVER, |_| false),
                1 => handle.lock().signal_and_wait(FOR_EVER),
                _ => handle
                    .invoke(FOR_EVER, |guard| {
                        // It gives the lock back, and the run ends while it waits.
                        guard.signal_and_wait(Duration::from_millis(200))
                    })
                    .map(|said| assert_eq!(said, Err(LoopError::DeadlinePassed { within: Duration::from_millis(200) }))),
            })
        })
        .collect();
    wait_until(|| handle.counters().ran == 1);
    std::thread::sleep(A_MOMENT);
    assert_eq!(handle.stop(), Ok(Stopped::Stopped));
    let said: Vec<_> = waiters.into_iter().map(|waiter| waiter.join().unwrap()).collect();
    assert_eq!(said[..2], [Err(LoopError::Stopped), Err(LoopError::Stopped)]);
    assert!(matches!(said[2], Ok(()) | Err(LoopError::Stopped)), "{:?}", said[2]);
}

#[test]
fn who_waits_in_a_run_that_the_loop_thread_never_came_to_is_told_of_its_end() {
    let (_thread_loop, handle) = running("skipped");
    handle.post(|guard| _ = guard.signal_and_wait(FOR_EVER)).unwrap();
    wait_until(|| handle.counters().ran == 1);
    // The loop thread is in a callback of the first run, and has given the lock back.
    handle.lock();
    handle.request_stop();
    handle.start().unwrap();
    let waiters = [false, true].map(|invokes| {
        let handle = handle.clone();
        std::thread::spawn(move || {
            let mut guard = handle.lock();
            if invokes { guard.invoke(FOR_EVER, |_| ()) } else { guard.wait(FOR_EVER, |_| false) }
        })
    });
    wait_until(|| handle.lock().signal() == 2);
    handle.request_stop();
    handle.start().unwrap();
    handle.lock().accept().unwrap();
    let began = Instant::now();
    assert_eq!(waiters.map(|waiter| waiter.join().unwrap()), [Err(LoopError::Stopped), Err(LoopError::Stopped)]);
    assert!(began.elapsed() < FOR_EVER);
    assert_eq!(handle.invoke(FOR_EVER, |guard| guard.depth()), Ok(1), "the last run goes on");
}

#[test]
fn each_task_that_panics_when_it_is_dropped_is_counted_and_the_others_are_dropped() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("when dropped");
        }
    }
    let (_thread_loop, handle) = running("panicking-drops");
    let notes = Notes::default();
    let guard = handle.lock();
    for task in 0..3 {
        let (panics, told) = (Panics, told(&handle, &notes, "task"));
        handle.post(move |_| drop((panics, told))).unwrap_or_else(|error| panic!("{task}: {error}"));
    }
    handle.request_stop();
    drop(guard);
    wait_until(|| handle.counters().panics == 3);
    assert_eq!(notes.count("task dropped without the lock"), 3);
}
