//! However loom ends a run, the panic hook stays free: a test program takes it before it exits, and would never end.

#![cfg(feature = "loom")]

use sim::cell::CheckedCell;
use sim::explore::Check;
use sim::sync::atomic::{AtomicU32, Ordering};
use sim::sync::{Arc, Condvar, Mutex};
use sim::time::Duration;
use sim::verdict::{Detector, Verdict};
use sim::{Detectors, Engine, thread};

type Pair = Arc<(Mutex<()>, Condvar)>;

/// Returns when the other can only wait, and nobody will wake it.
fn waits_for_ever(first_for: Option<Duration>) -> thread::JoinHandle<()> {
    let pair = Pair::default();
    let theirs = Arc::clone(&pair);
    let (sender, receiver) = sim::sync::channel::bounded(1);
    let waiter = thread::spawn(move || {
        let mut held = theirs.0.lock();
        sender.send(()).unwrap();
        if let Some(time) = first_for {
            theirs.1.wait_for(&mut held, time);
        }
        theirs.1.wait(&mut held);
    });
    receiver.recv().unwrap();
    drop(pair.0.lock());
    waiter
}

fn finds(name: &str, detector: Detector, body: fn()) {
    let check = Check::new("gives-up", name, Engine::Loom);
    let report = check.detectors(Detectors { lock_order: false, ..Detectors::ON }).run(body);
    assert_eq!(report.verdict.detector(), Some(detector), "{name}: {}", report.verdict);
}

fn gives_up(name: &str, why: &str, body: fn()) {
    let report = Check::new("gives-up", name, Engine::Loom).run(body);
    assert!(matches!(report.verdict, Verdict::Inconclusive { .. }), "{name}: {}", report.verdict);
    assert!(report.verdict.to_string().contains(why), "{name}: {}", report.verdict);
}

#[test]
fn whatever_loom_finds_the_hook_is_free() {
    finds("who joins is last", Detector::LostWakeup, || waits_for_ever(None).join().unwrap());
    finds("who ends is last", Detector::LostWakeup, || drop(waits_for_ever(None)));
    finds("who waited for a time is last", Detector::LostWakeup, || drop(waits_for_ever(Some(Duration::from_millis(1)))));
    finds("a cycle", Detector::Deadlock, || {
        let locks = Arc::new((Mutex::new(()), Mutex::new(())));
        let theirs = Arc::clone(&locks);
        let other = thread::spawn(move || {
            let _second = theirs.1.lock();
            let _first = theirs.0.lock();
        });
        let first = locks.0.lock();
        drop((locks.1.lock(), first));
        other.join().unwrap();
    });
    finds("a race", Detector::Race, || {
        let cell = Arc::new(CheckedCell::new(0));
        let theirs = Arc::clone(&cell);
        let other = thread::spawn(move || theirs.set(1));
        cell.set(2);
        other.join().unwrap();
    });
    gives_up("branches", "branches", || {
        let count = AtomicU32::new(0);
        while count.fetch_add(1, Ordering::Relaxed) < 100_000 {}
    });
    gives_up("threads", "threads", || (0..5).for_each(|_| thread::spawn(|| ()).join().unwrap()));

    let (sender, free) = std::sync::mpsc::channel();
    let asks = std::thread::spawn(move || {
        drop(std::panic::take_hook());
        let _ = sender.send(());
    });
    if free.recv_timeout(Duration::from_secs(10)).is_err() {
        // Not by a panic, as the harness would ask for the hook too.
        eprintln!("expected a free panic hook, got one that a run has not left");
        std::process::exit(1);
    }
    asks.join().unwrap();
}
