//! Bodies that are right, though they look like ones that are not: no detector may speak.

use super::bodies::{join, other, publish, two_locks};
use sim::cell::CheckedCell;
use sim::sync::asynchronous;
use sim::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use sim::sync::channel;
use sim::sync::{Arc, Condvar, Mutex, OnceLock, ReentrantMutex, RwLock};
use sim::task;
use sim::thread;
use sim::time::{self, Duration};

pub(super) fn gate() {
    let (a, b) = two_locks();
    let gate = Arc::new(Mutex::new(()));
    let theirs = (Arc::clone(&a), Arc::clone(&b), Arc::clone(&gate));
    let handle = other(move || {
        let _gate = theirs.2.lock();
        let _b = theirs.1.lock();
        let _a = theirs.0.lock();
    });
    {
        let _gate = gate.lock();
        let _a = a.lock();
        let _b = b.lock();
    }
    join(handle);
}

pub(super) fn joined() {
    let (a, b) = two_locks();
    let first = (Arc::clone(&a), Arc::clone(&b));
    join(other(move || {
        let _a = first.0.lock();
        let _b = first.1.lock();
    }));
    join(other(move || {
        let _b = b.lock();
        let _a = a.lock();
    }));
}

pub(super) fn handed_over() {
    let (a, b) = two_locks();
    let pair = Arc::new((Mutex::new(false), Condvar::new()));
    let theirs = (Arc::clone(&a), Arc::clone(&b), Arc::clone(&pair));
    let handle = other(move || {
        let mut over = theirs.2.0.lock();
        while !*over {
            theirs.2.1.wait(&mut over);
        }
        drop(over);
        let _b = theirs.1.lock();
        let _a = theirs.0.lock();
    });
    {
        let _a = a.lock();
        let _b = b.lock();
    }
    *pair.0.lock() = true;
    pair.1.notify_one();
    join(handle);
}

pub(super) fn sent() {
    let (a, b) = two_locks();
    let (sender, receiver) = channel::bounded(1);
    let theirs = (Arc::clone(&a), Arc::clone(&b));
    let handle = other(move || {
        if receiver.recv().is_ok() {
            let _b = theirs.1.lock();
            let _a = theirs.0.lock();
        }
    });
    {
        let _a = a.lock();
        let _b = b.lock();
    }
    sender.send(()).expect("the receiver waits");
    join(handle);
}

pub(super) fn flagged() {
    let (a, b) = two_locks();
    let over = Arc::new(AtomicBool::new(false));
    let theirs = (Arc::clone(&a), Arc::clone(&b), Arc::clone(&over));
    let handle = other(move || {
        if theirs.2.load(Ordering::Acquire) {
            let _b = theirs.1.lock();
            let _a = theirs.0.lock();
        }
    });
    {
        let _a = a.lock();
        let _b = b.lock();
    }
    over.store(true, Ordering::Release);
    join(handle);
}

pub(super) fn reentrant_again() {
    let outer = Arc::new(ReentrantMutex::new(()));
    let inner = Arc::new(Mutex::new(()));
    let theirs = (Arc::clone(&outer), Arc::clone(&inner));
    let handle = other(move || {
        let _outer = theirs.0.lock();
        let _inner = theirs.1.lock();
    });
    {
        let _outer = outer.lock();
        let _inner = inner.lock();
        let _again = outer.lock();
    }
    join(handle);
}

pub(super) fn failed_exchange() {
    const EMPTY: u32 = 0;
    const READY: u32 = 1;
    let cell = Arc::new(CheckedCell::new(0));
    let state = Arc::new(AtomicU32::new(EMPTY));
    let theirs = (Arc::clone(&cell), Arc::clone(&state));
    let handle = other(move || {
        theirs.0.set(7);
        theirs.1.store(READY, Ordering::Release);
    });
    if state.compare_exchange(EMPTY, EMPTY, Ordering::Relaxed, Ordering::Acquire) == Err(READY) {
        sim::invariant!(cell.get() == 7, "who sees that it is ready sees what is");
    }
    join(handle);
}

pub(super) fn cell_asked_under_lock() {
    let lock = Arc::new(Mutex::new(()));
    let cell = Arc::new(OnceLock::new());
    let theirs = (Arc::clone(&lock), Arc::clone(&cell));
    let handle = other(move || {
        theirs.1.get_or_init(|| drop(theirs.0.lock()));
    });
    {
        let _held = lock.lock();
        let _ = cell.get();
    }
    join(handle);
}

pub(super) fn slow_processor() {
    let handle = other(|| time::sleep(Duration::from_secs(1)));
    {
        let _operation = sim::operation("answer", Duration::from_millis(500));
        time::sleep(Duration::from_millis(1));
    }
    join(handle);
}

pub(super) fn patient_poller() {
    const TICKS: u32 = 2_500;
    let ticks = Arc::new(AtomicU32::new(0));
    let theirs = Arc::clone(&ticks);
    let handle = other(move || {
        for _ in 0..TICKS {
            time::sleep(Duration::from_millis(20));
            theirs.fetch_add(1, Ordering::SeqCst);
        }
    });
    while ticks.load(Ordering::SeqCst) < TICKS {
        thread::yield_now();
    }
    join(handle);
}

pub(super) fn readers() {
    let a = Arc::new(RwLock::new(()));
    let b = Arc::new(RwLock::new(()));
    let theirs = (Arc::clone(&a), Arc::clone(&b));
    let handle = other(move || {
        let _b = theirs.1.read();
        let _a = theirs.0.read();
    });
    {
        let _a = a.read();
        let _b = b.read();
    }
    join(handle);
}

pub(super) fn tried() {
    let (a, b) = two_locks();
    let theirs = (Arc::clone(&a), Arc::clone(&b));
    let handle = other(move || {
        let _b = theirs.1.lock();
        let _a = theirs.0.try_lock();
    });
    {
        let _a = a.lock();
        let _b = b.lock();
    }
    join(handle);
}

pub(super) fn one_site() {
    fn cross(first: &Mutex<u32>, second: &Mutex<u32>) {
        let _first = first.lock();
        let _second = second.lock();
    }
    // Four locks made at one place. Both threads go up the list, so no pair is taken in both orders.
    let locks: Arc<Vec<Mutex<u32>>> = Arc::new((0..4).map(Mutex::new).collect());
    let theirs = Arc::clone(&locks);
    let handle = other(move || {
        cross(&theirs[0], &theirs[1]);
        cross(&theirs[2], &theirs[3]);
    });
    cross(&locks[1], &locks[2]);
    cross(&locks[0], &locks[3]);
    join(handle);
}

pub(super) fn timeout_fires() {
    let pair = (Mutex::new(()), Condvar::new());
    let mut guard = pair.0.lock();
    let result = pair.1.wait_for(&mut guard, Duration::from_millis(20));
    sim::invariant!(result.timed_out(), "nobody notifies");
}

pub(super) fn released_publication() {
    publish(Ordering::Release, Ordering::Acquire);
}

pub(super) fn patient_holder() {
    let lock = Arc::new(Mutex::new(()));
    let theirs = Arc::clone(&lock);
    let handle = other(move || {
        let _held = theirs.lock();
        time::sleep(Duration::from_millis(10));
    });
    while lock.try_lock().is_none() {
        thread::yield_now();
    }
    join(handle);
}

pub(super) fn cases_clean() {
    let (a, b, c) = (sim::choose(7), sim::choose(11), sim::choose(13));
    sim::invariant!((a + b) + c == a + (b + c), "addition is associative for {a}, {b}, {c}");
}

pub(super) fn async_in_order() {
    task::block_on(async {
        let count = Arc::new(asynchronous::Mutex::new(0));
        let (sender, mut receiver) = asynchronous::mpsc::channel(1);
        let workers: Vec<_> = (0..2)
            .map(|number| {
                let (count, sender) = (Arc::clone(&count), sender.clone());
                task::spawn(async move {
                    let mut count = count.lock().await;
                    let before = *count;
                    // An async lock may be held while its task waits.
                    task::yield_now().await;
                    *count = before + 1;
                    drop(count);
                    sender.send(number).await.expect("the receiver stays");
                })
            })
            .collect();
        drop(sender);
        let mut received = 0;
        while receiver.recv().await.is_some() {
            received += 1;
        }
        for worker in workers {
            worker.await.expect("nothing aborts it");
        }
        let total = *count.lock().await;
        sim::invariant!(received == 2 && total == 2, "{received} messages, {total} counted");
    });
}

pub(super) fn async_abba_timed() {
    task::block_on(async {
        let locks = Arc::new((asynchronous::Mutex::new(()), asynchronous::Mutex::new(())));
        let gate = Arc::new(asynchronous::Mutex::new(()));
        let (theirs, their_gate) = (Arc::clone(&locks), Arc::clone(&gate));
        let other = task::spawn(async move {
            let _gate = their_gate.lock().await;
            let _second = theirs.1.lock().await;
            let _first = theirs.0.lock().await;
        });
        {
            // Without the gate this would be a deadlock that did not happen.
            let _gate = gate.lock().await;
            let _first = locks.0.lock().await;
            let second = time::timeout(Duration::from_millis(1), locks.1.lock()).await;
            sim::invariant!(second.is_ok(), "the gate keeps the other away");
        }
        other.await.expect("nothing aborts it");
    });
}

pub(super) fn async_either() {
    task::block_on(async {
        let lock = Arc::new(asynchronous::Mutex::new(()));
        let (sender, mut receiver) = asynchronous::mpsc::channel::<()>(1);
        let held = lock.lock().await;
        let theirs = Arc::clone(&lock);
        // Awaits the lock that we hold, and would go on with a message just as well: no cycle, though we await its end.
        let other = task::spawn(async move {
            sim::select! {
                _wanted = theirs.lock() => {}
                _message = receiver.recv() => {}
            }
        });
        let sends = task::spawn(async move {
            time::sleep_for(Duration::from_millis(5)).await;
            sender.send(()).await.expect("the other awaits it");
        });
        other.await.expect("nothing aborts it");
        sends.await.expect("nothing aborts it");
        drop(held);
    });
}
