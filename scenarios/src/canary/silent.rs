//! Bodies that are right, though they look like ones that are not: no detector may speak.

use super::bodies::{join, other, publish, two_locks};
use sim::sync::atomic::Ordering;
use sim::sync::channel;
use sim::sync::{Arc, Condvar, Mutex, RwLock};
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
