//! The clock in production: real threads, real time. What the engines prove stands in the exhibits.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "the test stands outside of what is tested")]

use stack::buffer::pool::Pool;
use stack::media::clock::{ClockConfig, ClockError, Stopped, ThreadClock};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

fn fast() -> ClockConfig {
    ClockConfig { samples_per_tick: 8, stop_deadline: Duration::from_secs(20), ..ClockConfig::default() }
}

/// Real time has no deadline that a slow machine keeps, so this one only turns a hang into a failure.
fn wait_until(mut condition: impl FnMut() -> bool) {
    let began = std::time::Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_secs(60), "what was waited for has not come in a minute");
        std::thread::yield_now();
    }
}

#[test]
fn it_ticks_until_it_is_stopped_and_starts_again() {
    let ticks = Arc::new(AtomicU64::new(0));
    let pool = Pool::new("clock", 4096);
    let counted = Arc::clone(&ticks);
    let clock = ThreadClock::new(fast(), pool.clone(), move |_, _| {
        counted.fetch_add(1, Ordering::SeqCst);
    })
    .unwrap();
    assert_eq!(clock.stop(), Ok(Stopped::NotRunning));
    for _ in 0..20 {
        let before = ticks.load(Ordering::SeqCst);
        clock.start().unwrap();
        clock.start().unwrap();
        assert!(pool.used_bytes().unwrap() > 0);
        wait_until(|| ticks.load(Ordering::SeqCst) >= before + 2);
        assert!(clock.is_running() && clock.recent_lateness().len() >= 2 && clock.counters().ticks >= 2);
        assert_eq!(clock.stop(), Ok(Stopped::Stopped));
        let after = ticks.load(Ordering::SeqCst);
        assert_eq!(pool.used_bytes(), Ok(0), "stop resets the pool");
        assert_eq!(clock.stop(), Ok(Stopped::NotRunning));
        std::thread::sleep(Duration::from_millis(3));
        assert_eq!(ticks.load(Ordering::SeqCst), after, "no callback after stop");
    }
    clock.destroy().unwrap();
    assert!(pool.used_bytes().is_err(), "destroy releases the pool");
    assert_eq!(clock.start(), Err(ClockError::Destroyed));
    assert_eq!(clock.destroy(), Ok(Stopped::NotRunning));
}

#[test]
fn the_callback_may_stop_start_and_destroy_its_clock() {
    let pool = Pool::new("clock", 4096);
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let clock = ThreadClock::new(fast(), pool.clone(), move |clock, _| {
        match counted.fetch_add(1, Ordering::SeqCst) {
            0 => {
                assert_eq!(clock.stop(), Ok(Stopped::FromCallback));
                assert_eq!(clock.start(), Ok(()));
            }
            1 => assert_eq!(clock.destroy(), Ok(Stopped::FromCallback)),
            _ => panic!("called after destroy"),
        };
    })
    .unwrap();
    clock.start().unwrap();
    wait_until(|| pool.used_bytes().is_err());
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[test]
fn a_callback_that_does_not_return_is_an_error_at_the_deadline() {
    let (release, gate) = std::sync::mpsc::channel::<()>();
    let (entered, inside) = std::sync::mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let deadline = Duration::from_millis(20);
    let config = ClockConfig { stop_deadline: deadline, ..fast() };
    let pool = Pool::new("clock", 4096);
    let clock = ThreadClock::new(config, pool.clone(), move |_, _| {
        entered.send(()).unwrap();
        let _ = gate.lock().unwrap().recv();
    })
    .unwrap();
    clock.start().unwrap();
    inside.recv().unwrap();
    assert_eq!(clock.stop(), Err(ClockError::CallbackGoesOn { deadline }));
    assert_eq!(clock.destroy(), Err(ClockError::CallbackGoesOn { deadline }));
    release.send(()).unwrap();
    wait_until(|| pool.used_bytes().is_err());
}

#[test]
fn a_callback_that_panics_stops_its_clock_and_nothing_else() {
    let clock = ThreadClock::new(fast(), Pool::new("clock", 4096), |_, _| panic!("on purpose")).unwrap();
    clock.start().unwrap();
    wait_until(|| !clock.is_running());
    assert_eq!(clock.stop(), Err(ClockError::CallbackPanicked));
    assert_eq!(clock.start(), Err(ClockError::CallbackPanicked));
}

#[test]
fn the_last_handle_ends_the_clock() {
    let pool = Pool::new("clock", 4096);
    let clock = ThreadClock::new(fast(), pool.clone(), |_, _| {}).unwrap();
    clock.start().unwrap();
    drop(clock.clone());
    assert!(clock.is_running());
    drop(clock);
    wait_until(|| pool.used_bytes().is_err());
}

#[test]
fn a_pool_that_is_too_small_is_an_error_and_the_clock_stays_stopped() {
    let clock = ThreadClock::new(fast(), Pool::new("clock", 100), |_, _| {}).unwrap();
    assert!(matches!(clock.start(), Err(ClockError::Pool(_))));
    assert!(!clock.is_running());
    assert_eq!(clock.stop(), Ok(Stopped::NotRunning));
}
