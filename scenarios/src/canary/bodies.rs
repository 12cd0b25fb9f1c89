//! Bodies that must be caught.

use sim::cell::CheckedCell;
use sim::ledger;
use sim::sync::asynchronous;
use sim::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use sim::sync::{Arc, Condvar, Mutex, RwLock};
use sim::task;
use sim::thread;
use sim::time::{self, Duration};

/// Runs `f` on a thread called `other`.
pub(super) fn other<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> thread::JoinHandle<T> {
    thread::Builder::new().name("other").spawn(f).expect("the engine makes threads")
}

pub(super) fn join<T>(handle: thread::JoinHandle<T>) -> T {
    handle.join().unwrap_or_else(|_| unreachable!("a panic ends the run"))
}

pub(super) fn two_locks() -> (Arc<Mutex<u32>>, Arc<Mutex<u32>>) {
    let a = Arc::new(Mutex::new(0));
    let b = Arc::new(Mutex::new(0));
    (a, b)
}

pub(super) fn invariant() {
    let count = Arc::new(AtomicU32::new(0));
    let add = |count: &AtomicU32| count.store(count.load(Ordering::SeqCst) + 1, Ordering::SeqCst);
    let theirs = Arc::clone(&count);
    let handle = other(move || add(&theirs));
    add(&count);
    join(handle);
    sim::invariant!(count.load(Ordering::SeqCst) == 2, "both additions count");
}

pub(super) fn panic() {
    let flag = Arc::new(AtomicBool::new(false));
    let theirs = Arc::clone(&flag);
    let handle = other(move || assert!(!theirs.load(Ordering::SeqCst), "the flag is not set yet"));
    flag.store(true, Ordering::SeqCst);
    join(handle);
}

pub(super) fn abba() {
    let (a, b) = two_locks();
    let theirs = (Arc::clone(&a), Arc::clone(&b));
    let handle = other(move || {
        let _b = theirs.1.lock();
        let _a = theirs.0.lock();
    });
    {
        let _a = a.lock();
        let _b = b.lock();
    }
    join(handle);
}

pub(super) fn self_deadlock() {
    let lock = Mutex::new(());
    let _first = lock.lock();
    let _second = lock.lock();
}

pub(super) fn join_under_lock() {
    let lock = Arc::new(Mutex::new(()));
    let theirs = Arc::clone(&lock);
    let handle = other(move || drop(theirs.lock()));
    let _held = lock.lock();
    join(handle);
}

pub(super) fn holder_ended() {
    let lock = Arc::new(Mutex::new(()));
    let theirs = Arc::clone(&lock);
    let handle = other(move || std::mem::forget(theirs.lock()));
    join(handle);
    drop(lock.lock());
}

pub(super) fn read_in_read() {
    let lock = Arc::new(RwLock::new(()));
    let theirs = Arc::clone(&lock);
    let handle = other(move || drop(theirs.write()));
    {
        let _outer = lock.read();
        let _inner = lock.read();
    }
    join(handle);
}

pub(super) fn abba_in_turn() {
    let (a, b) = two_locks();
    let done = Arc::new(Mutex::new(false));
    let theirs = (Arc::clone(&a), Arc::clone(&b), Arc::clone(&done));
    let handle = other(move || {
        // Looks once whether the first order is over, and does nothing otherwise: never both at once.
        if *theirs.2.lock() {
            let _b = theirs.1.lock();
            let _a = theirs.0.lock();
        }
    });
    {
        let _a = a.lock();
        let _b = b.lock();
    }
    *done.lock() = true;
    join(handle);
}

pub(super) fn abba_among_others() {
    super::silent::handed_over();
    abba_in_turn();
}

pub(super) fn ended_seen() {
    let handle = other(|| {});
    sim::invariant!(!handle.is_finished(), "a thread that was spawned just now runs");
    join(handle);
}

pub(super) fn lost_wakeup() {
    let pair = Arc::new((Mutex::new(false), Condvar::new()));
    let theirs = Arc::clone(&pair);
    let handle = other(move || {
        theirs.1.notify_one();
        *theirs.0.lock() = true;
    });
    let mut ready = pair.0.lock();
    while !*ready {
        pair.1.wait(&mut ready);
    }
    drop(ready);
    join(handle);
}

pub(super) fn timeout_relied_upon() {
    let pair = Arc::new((Mutex::new(false), Condvar::new()));
    let theirs = Arc::clone(&pair);
    let handle = other(move || {
        *theirs.0.lock() = true;
        theirs.1.notify_one();
    });
    let mut ready = pair.0.lock();
    if !*ready {
        pair.1.wait_for(&mut ready, Duration::from_secs(1));
        sim::invariant!(*ready, "a second is always enough");
    }
    drop(ready);
    join(handle);
}

pub(super) fn relaxed_message() {
    let data = Arc::new(AtomicU32::new(0));
    let flag = Arc::new(AtomicBool::new(false));
    let theirs = (Arc::clone(&data), Arc::clone(&flag));
    let handle = other(move || {
        theirs.0.store(7, Ordering::Relaxed);
        theirs.1.store(true, Ordering::Relaxed);
    });
    if flag.load(Ordering::Relaxed) {
        sim::invariant!(data.load(Ordering::Relaxed) == 7, "who sees the flag sees the data");
    }
    join(handle);
}

pub(super) fn relaxed_publication() {
    publish(Ordering::Relaxed, Ordering::Relaxed);
}

/// Publishes a plain cell by a flag.
pub(super) fn publish(store: Ordering, load: Ordering) {
    let data = Arc::new(CheckedCell::new(0));
    let flag = Arc::new(AtomicBool::new(false));
    let theirs = (Arc::clone(&data), Arc::clone(&flag));
    let handle = other(move || {
        theirs.0.set(7);
        theirs.1.store(true, store);
    });
    if flag.load(load) {
        sim::invariant!(data.get() == 7, "who sees the flag sees the data");
    }
    join(handle);
}

pub(super) fn race() {
    let cell = Arc::new(CheckedCell::new(0));
    let theirs = Arc::clone(&cell);
    let handle = other(move || theirs.set(1));
    cell.set(2);
    join(handle);
}

pub(super) fn double_release() {
    let resource = ledger::register("session");
    let released = Arc::new(AtomicBool::new(false));
    let end = move |released: &AtomicBool| {
        if !released.load(Ordering::SeqCst) {
            ledger::release(resource);
            released.store(true, Ordering::SeqCst);
        }
    };
    let theirs = Arc::clone(&released);
    let handle = other(move || end(&theirs));
    end(&released);
    join(handle);
}

pub(super) fn use_after_release() {
    let resource = ledger::register("session");
    let handle = other(move || ledger::touch(resource));
    ledger::release(resource);
    join(handle);
}

pub(super) fn release_before_use() {
    let resource = ledger::register("session");
    let handle = other(move || ledger::release(resource));
    ledger::touch(resource);
    join(handle);
}

pub(super) fn leak() {
    let resource = ledger::register("session");
    let lock = Arc::new(Mutex::new(()));
    let theirs = Arc::clone(&lock);
    let handle = other(move || {
        // Gives up when somebody else is busy, and nobody else releases it.
        if theirs.try_lock().is_some() {
            ledger::release(resource);
        }
    });
    {
        let mut held = lock.lock();
        thread::yield_now();
        *held = ();
    }
    join(handle);
}

pub(super) fn thread_left() {
    drop(other(|| {
        loop {
            time::sleep(Duration::from_millis(20));
        }
    }));
}

pub(super) fn livelock() {
    let (a, b) = two_locks();
    let theirs = (Arc::clone(&a), Arc::clone(&b));
    fn take_both(first: &Mutex<u32>, second: &Mutex<u32>) {
        let _first = first.lock();
        // Never lets go of the first: each waits politely for the other.
        while second.try_lock().is_none() {
            thread::yield_now();
        }
    }
    let handle = other(move || take_both(&theirs.1, &theirs.0));
    take_both(&a, &b);
    join(handle);
}

pub(super) fn hang() {
    let pair = Arc::new((Mutex::new(false), Condvar::new()));
    let theirs = Arc::clone(&pair);
    drop(other(move || {
        while !*theirs.0.lock() {
            time::sleep(Duration::from_millis(20));
        }
    }));
    let _operation = sim::operation("answer", Duration::from_millis(500));
    let mut ready = pair.0.lock();
    while !*ready {
        pair.1.wait(&mut ready);
    }
}

pub(super) fn foreign_lock() {
    let foreign = Arc::new(std::sync::Mutex::new(()));
    let ours = Arc::new(Mutex::new(0));
    let work = |foreign: &std::sync::Mutex<()>, ours: &Mutex<u32>| {
        let _foreign = foreign.lock();
        *ours.lock() += 1;
    };
    let theirs = (Arc::clone(&foreign), Arc::clone(&ours));
    let handle = other(move || work(&theirs.0, &theirs.1));
    work(&foreign, &ours);
    join(handle);
}

pub(super) fn random_order() {
    let locks: std::collections::HashMap<u32, Mutex<u32>> = (0..8).map(|key| (key, Mutex::new(key))).collect();
    for lock in locks.values() {
        *lock.lock() += 1;
    }
}

pub(super) fn cases_invariant() {
    let (capacity, extra) = (sim::choose(20) + 1, sim::choose(20));
    let grown = if extra == 0 { capacity + 14 } else { capacity };
    sim::invariant!(grown >= capacity.min(7) + extra.min(13), "{grown} bytes hold what is asked of {capacity} and {extra}");
}

pub(super) fn abort() {
    std::process::abort();
}

pub(super) fn stack_overflow() {
    #[inline(never)]
    fn deeper(depth: u64) -> u64 {
        let padding = std::hint::black_box([depth; 64]);
        if depth == u64::MAX { 0 } else { deeper(depth + 1) + padding[3] }
    }
    std::hint::black_box(deeper(0));
}

pub(super) fn endless_step() {
    loop {
        std::hint::spin_loop();
    }
}

pub(super) fn too_large() {
    let count = Arc::new(AtomicU32::new(0));
    let theirs = Arc::clone(&count);
    let handle = other(move || {
        while theirs.load(Ordering::SeqCst) < u32::MAX {
            theirs.fetch_add(1, Ordering::SeqCst);
        }
    });
    join(handle);
}

pub(super) fn alone_panic() {
    let lengths = [3usize, 0, 12];
    let buffer = [0u8; 12];
    let length = lengths[sim::choose(3) as usize];
    assert_eq!(buffer[length - 1], 0);
}

pub(super) fn alone_lost_wakeup() {
    let pair = (Mutex::new(()), Condvar::new());
    pair.1.notify_one();
    let mut guard = pair.0.lock();
    pair.1.wait(&mut guard);
}

pub(super) fn alone_hang() {
    let _operation = sim::operation("answer", Duration::from_millis(500));
    time::sleep(Duration::from_secs(1));
}

pub(super) fn alone_livelock() {
    let lock = Mutex::new(());
    let _held = lock.lock();
    while lock.try_lock().is_none() {
        thread::yield_now();
    }
}

pub(super) fn alone_double_release() {
    let resource = ledger::register("session");
    ledger::release(resource);
    ledger::release(resource);
}

pub(super) fn alone_use_after_release() {
    let resource = ledger::register("session");
    ledger::release(resource);
    ledger::touch(resource);
}

pub(super) fn alone_leak() {
    let resource = ledger::register("session");
    ledger::touch(resource);
}

pub(super) fn too_many_threads() {
    let threads: Vec<_> = (0..6).map(|_| other(|| {})).collect();
    threads.into_iter().for_each(join);
}

pub(super) fn lock_across_await() {
    task::block_on(async {
        let lock = Mutex::new(());
        let _held = lock.lock();
        time::sleep_for(Duration::from_millis(1)).await;
    });
}

pub(super) fn async_abba() {
    task::block_on(async {
        let locks = Arc::new((asynchronous::Mutex::new(()), asynchronous::Mutex::new(())));
        let theirs = Arc::clone(&locks);
        let other = task::spawn(async move {
            let _second = theirs.1.lock().await;
            let _first = theirs.0.lock().await;
        });
        {
            let _first = locks.0.lock().await;
            let _second = locks.1.lock().await;
        }
        other.await.expect("nothing aborts it");
    });
}

pub(super) fn async_lost_wakeup() {
    task::block_on(async {
        let notify = Arc::new(asynchronous::Notify::new());
        let theirs = Arc::clone(&notify);
        let other = task::spawn(async move { theirs.notified().await });
        // Wakes who waits now, and nobody later.
        notify.notify_waiters();
        other.await.expect("nothing aborts it");
    });
}

pub(super) fn async_late_answer() {
    task::block_on(async {
        let (answer, mut asked) = asynchronous::oneshot::channel();
        let other = task::spawn(async move {
            time::sleep_for(Duration::from_millis(50)).await;
            // Nobody may want it any more.
            let _ = answer.send(7);
        });
        let got = time::timeout(Duration::from_millis(50), asked.recv()).await;
        sim::invariant!(got == Ok(Ok(7)), "fifty milliseconds are enough for fifty milliseconds");
        other.await.expect("nothing aborts it");
    });
}

pub(super) fn async_abba_in_turn() {
    task::block_on(async {
        let locks = Arc::new((asynchronous::Mutex::new(()), asynchronous::Mutex::new(())));
        let theirs = Arc::clone(&locks);
        let first = task::spawn(async move {
            let _first = theirs.0.lock().await;
            let _second = theirs.1.lock().await;
        });
        let theirs = Arc::clone(&locks);
        let second = task::spawn(async move {
            // Long after the first has ended, which orders nothing.
            time::sleep_for(Duration::from_secs(60)).await;
            let _second = theirs.1.lock().await;
            let _first = theirs.0.lock().await;
        });
        first.await.expect("nothing aborts it");
        second.await.expect("nothing aborts it");
    });
}

pub(super) fn async_join_under_lock() {
    task::block_on(async {
        let lock = Arc::new(asynchronous::Mutex::new(()));
        let held = lock.lock().await;
        let theirs = Arc::clone(&lock);
        let other = task::spawn(async move {
            let _wanted = theirs.lock().await;
        });
        other.await.expect("nothing aborts it");
        drop(held);
    });
}

pub(super) fn async_foreign_lock() {
    task::block_on(async {
        let lock = std::rc::Rc::new(std::sync::Mutex::new(()));
        let theirs = std::rc::Rc::clone(&lock);
        let holder = task::spawn_local(async move {
            let held = theirs.lock();
            time::sleep_for(Duration::from_millis(10)).await;
            drop(held);
        });
        time::sleep_for(Duration::from_millis(5)).await;
        drop(lock.lock());
        holder.await.expect("nothing aborts it");
    });
}
