//! Every primitive does on every engine what it does in production: one body, run on each.

#![cfg(all(feature = "loom", feature = "shuttle", feature = "turmoil"))]

use sim::explore::Check;
use sim::sync::atomic::{AtomicI8, AtomicU32, AtomicUsize, Ordering};
use sim::sync::channel::{self, TryRecvError, TrySendError};
use sim::sync::{Arc, Condvar, HeldAgain, Mutex, Once, OnceLock, ReentrantCondvar, ReentrantMutex, ReentrantMutexGuard, RwLock};
use sim::time::{self, Duration, Instant};
use sim::verdict::Verdict;
use sim::{Engine, StrategyName, invariant, thread};
use std::cell::Cell;

/// Runs `body` for real, on shuttle with each strategy that samples, and on loom.
fn on_each(name: &str, body: fn()) {
    for engine in [Engine::Real, Engine::Shuttle, Engine::Loom] {
        for strategy in [StrategyName::Random, StrategyName::Pct, StrategyName::Urw] {
            if strategy != StrategyName::Random && engine != Engine::Shuttle {
                continue;
            }
            let schedules = match engine {
                Engine::Real => Some(20),
                Engine::Shuttle => Some(500),
                _ => None,
            };
            let report = Check::new(name, "body", engine).strategy(strategy).schedules(schedules).run(body);
            assert_eq!(report.verdict, Verdict::Clean, "{name} on {engine} with {strategy}: {}", report.verdict);
            assert!(report.schedules > 0);
            assert_eq!(report.exhaustive, engine == Engine::Loom, "{name} on {engine}");
        }
    }
}

fn with_other<T: Send + 'static>(other: impl FnOnce() -> T + Send + 'static, here: impl FnOnce()) -> T {
    let handle = thread::spawn(other);
    here();
    handle.join().unwrap()
}

#[test]
fn mutex() {
    on_each("mutex", || {
        let count = Arc::new(Mutex::new(0));
        let add = |count: &Mutex<u32>| {
            let mut guard = count.lock();
            *guard += 1;
        };
        let theirs = Arc::clone(&count);
        with_other(
            move || {
                add(&theirs);
                if let Some(mut guard) = theirs.try_lock() {
                    *guard += 10;
                }
            },
            || add(&count),
        );
        let total = *count.lock();
        invariant!(total == 2 || total == 12, "{total}");
        invariant!(count.try_lock().is_some(), "it is free");
    });
}

#[test]
fn mutex_with_a_time() {
    on_each("mutex_with_a_time", || {
        let lock = Arc::new(Mutex::new(()));
        let theirs = Arc::clone(&lock);
        let held = lock.lock();
        let got = with_other(move || theirs.try_lock_for(Duration::from_millis(1)).is_some(), || drop(held));
        let _ = got;
        invariant!(lock.try_lock_for(Duration::from_millis(1)).is_some(), "nobody has it");
    });
}

#[test]
fn reentrant_mutex() {
    on_each("reentrant_mutex", || {
        let lock = Arc::new(ReentrantMutex::new(AtomicU32::new(0)));
        let add = |lock: &ReentrantMutex<AtomicU32>| {
            let outer = lock.lock();
            let inner = lock.lock();
            drop(outer);
            // Still held: no other thread comes between the two.
            let before = inner.load(Ordering::Relaxed);
            inner.store(before + 1, Ordering::Relaxed);
        };
        let theirs = Arc::clone(&lock);
        with_other(move || add(&theirs), || add(&lock));
        invariant!(lock.lock().load(Ordering::Relaxed) == 2, "both counted");
    });
}

#[test]
fn a_reentrant_lock_knows_its_holder_and_how_often() {
    on_each("reentrant_depth", || {
        let lock = Arc::new(ReentrantMutex::new(()));
        invariant!(!lock.is_held(), "nobody has it");
        let theirs = Arc::clone(&lock);
        let outer = lock.lock();
        with_other(
            move || {
                invariant!(!theirs.is_held(), "another has it");
                drop(theirs.lock());
            },
            || {
                let inner = lock.try_lock().expect("it is mine");
                let third = lock.try_lock_for(Duration::from_millis(1)).expect("it is mine");
                invariant!(lock.is_held() && ReentrantMutexGuard::depth(&third) == 3, "three times");
                drop(outer);
                invariant!(ReentrantMutexGuard::depth(&inner) == 2, "a guard is gone, whichever");
                drop(third);
                drop(inner);
                invariant!(!lock.is_held(), "it was given back");
            },
        );
    });
}

#[test]
fn a_condition_of_a_reentrant_lock() {
    on_each("reentrant_condvar", || {
        let pair = Arc::new((ReentrantMutex::new(Cell::new(0)), ReentrantCondvar::new()));
        let theirs = Arc::clone(&pair);
        with_other(
            move || {
                let outer = theirs.0.lock();
                let inner = theirs.0.lock();
                inner.set(7);
                theirs.1.notify_all();
                drop(outer);
                inner.set(8);
            },
            || {
                let mut guard = pair.0.lock();
                while guard.get() == 0 {
                    pair.1.wait(&mut guard).expect("it is held once");
                }
                invariant!(guard.get() == 8 && ReentrantMutexGuard::depth(&guard) == 1, "the other had given it back");
                invariant!(pair.0.is_held(), "the lock was taken again");
            },
        );
        let mut guard = pair.0.lock();
        let began = Instant::now();
        while !pair.1.wait_for(&mut guard, Duration::from_millis(2)).expect("it is held once").timed_out() {}
        invariant!(began.elapsed() >= Duration::from_millis(2), "{:?}", began.elapsed());
        pair.1.notify_one();
    });
}

#[test]
fn one_of_two_waiters_is_notified() {
    on_each("reentrant_notify_one", || {
        let pair = Arc::new((ReentrantMutex::new(Cell::new(0_u32)), ReentrantCondvar::new()));
        let take = |pair: &(ReentrantMutex<Cell<u32>>, ReentrantCondvar)| {
            let mut guard = pair.0.lock();
            while guard.get() == 0 {
                pair.1.wait(&mut guard).expect("it is held once");
            }
            guard.set(guard.get() - 1);
        };
        let (first, second) = (Arc::clone(&pair), Arc::clone(&pair));
        let waiters = [thread::spawn(move || take(&first)), thread::spawn(move || take(&second))];
        for _ in 0..2 {
            let guard = pair.0.lock();
            guard.set(guard.get() + 1);
            pair.1.notify_one();
        }
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
        invariant!(pair.0.lock().get() == 0, "each took one");
    });
}

#[test]
fn no_notification_falls_between_giving_the_lock_back_and_waiting() {
    // For real, where no engine looks: two threads hand a number to each other.
    const TURNS: u32 = 100_000;
    let pair = Arc::new((ReentrantMutex::new(Cell::new(0)), ReentrantCondvar::new()));
    let play = |pair: &(ReentrantMutex<Cell<u32>>, ReentrantCondvar), parity: u32| {
        let mut guard = pair.0.lock();
        while guard.get() < TURNS {
            if guard.get() % 2 == parity {
                guard.set(guard.get() + 1);
                pair.1.notify_one();
            } else {
                let waited = pair.1.wait_for(&mut guard, Duration::from_secs(5)).expect("it is held once");
                assert!(!waited.timed_out(), "turn {} was not told", guard.get());
            }
        }
    };
    let theirs = Arc::clone(&pair);
    with_other(move || play(&theirs, 1), || play(&pair, 0));
}

#[test]
fn a_wait_on_a_lock_that_is_held_again_is_refused() {
    on_each("reentrant_nested_wait", || {
        let (lock, condition) = (ReentrantMutex::new(()), ReentrantCondvar::new());
        let outer = lock.lock();
        let mut inner = lock.lock();
        invariant!(condition.wait(&mut inner) == Err(HeldAgain { depth: 2 }), "it would be held on");
        let timed = condition.wait_for(&mut inner, Duration::from_millis(1));
        invariant!(timed.is_err_and(|error| error.depth == 2), "{timed:?}");
        invariant!(ReentrantMutexGuard::depth(&inner) == 2, "nothing was given back");
        drop(outer);
        let timed = condition.wait_for(&mut inner, Duration::from_millis(1));
        invariant!(timed.is_ok(), "{timed:?}");
    });
}

#[test]
fn a_cycle_through_a_reentrant_lock_with_a_condition_is_a_deadlock_and_not_a_lost_wakeup() {
    // A loop thread waits for work and wants the lock again; who has the lock joins it.
    fn body(joins_with_lock: bool) {
        let pair = Arc::new((ReentrantMutex::new(Cell::new(false)), ReentrantCondvar::new()));
        let theirs = Arc::clone(&pair);
        let worker = thread::spawn(move || {
            let mut guard = theirs.0.lock();
            while !guard.get() {
                theirs.1.wait(&mut guard).expect("it is held once");
            }
        });
        let guard = pair.0.lock();
        guard.set(true);
        pair.1.notify_one();
        let held = joins_with_lock.then_some(guard);
        worker.join().unwrap();
        drop(held);
    }
    for engine in [Engine::Shuttle, Engine::Loom] {
        let check = Check::new("reentrant", "cycle", engine);
        assert_eq!(check.run(|| body(false)).verdict, Verdict::Clean, "{engine}");
        assert_eq!(check.run(|| body(true)).verdict.detector(), Some(sim::verdict::Detector::Deadlock), "{engine}");
    }
}

#[test]
fn rwlock() {
    on_each("rwlock", || {
        let lock = Arc::new(RwLock::new((0, 0)));
        let theirs = Arc::clone(&lock);
        with_other(
            move || {
                let mut both = theirs.write();
                both.0 += 1;
                both.1 += 1;
            },
            || {
                let both = lock.read();
                invariant!(both.0 == both.1, "a reader sees no half of a write");
            },
        );
        let first = lock.read();
        invariant!(lock.try_read().is_some() && lock.try_write().is_none(), "readers share it, a writer does not");
        drop(first);
        invariant!(lock.try_write().is_some(), "it is free");
    });
}

#[test]
fn condvar() {
    on_each("condvar", || {
        let pair = Arc::new((Mutex::new(0), Condvar::new()));
        let theirs = Arc::clone(&pair);
        with_other(
            move || {
                *theirs.0.lock() = 7;
                theirs.1.notify_all();
            },
            || {
                let mut value = pair.0.lock();
                pair.1.wait_while(&mut value, |value| *value != 7);
                invariant!(*value == 7, "the wait ends when the condition holds");
            },
        );
    });
}

#[test]
fn a_timed_wait_ends_and_time_has_passed() {
    on_each("a_timed_wait_ends", || {
        let pair = (Mutex::new(()), Condvar::new());
        let began = Instant::now();
        let mut guard = pair.0.lock();
        while !pair.1.wait_for(&mut guard, Duration::from_millis(2)).timed_out() {}
        invariant!(began.elapsed() >= Duration::from_millis(2), "{:?}", began.elapsed());
        time::sleep(Duration::from_millis(3));
        invariant!(began.elapsed() >= Duration::from_millis(5), "{:?}", began.elapsed());
    });
}

#[test]
fn bounded_channel() {
    on_each("bounded_channel", || {
        let (sender, receiver) = channel::bounded(1);
        let received = with_other(
            move || {
                let mut received = Vec::new();
                while let Ok(message) = receiver.recv() {
                    received.push(message);
                }
                received
            },
            move || {
                for message in 0..3 {
                    sender.send(message).unwrap();
                }
            },
        );
        invariant!(received == [0, 1, 2], "{received:?}");
    });
}

#[test]
fn rendezvous_channel() {
    on_each("rendezvous_channel", || {
        let (sender, receiver) = channel::bounded(0);
        let taken = Arc::new(AtomicUsize::new(0));
        let theirs = Arc::clone(&taken);
        with_other(
            move || {
                theirs.store(1, Ordering::SeqCst);
                let got = receiver.recv();
                invariant!(got == Ok("message"), "{got:?}");
            },
            || {
                sender.send("message").unwrap();
                invariant!(taken.load(Ordering::SeqCst) == 1, "a send ends when the receiver has come");
            },
        );
        invariant!(sender.send("more").is_err(), "the receiver has gone");
    });
}

#[test]
fn channels_say_why_not() {
    on_each("channels_say_why_not", || {
        let (sender, receiver) = channel::bounded(1);
        invariant!(receiver.try_recv() == Err(TryRecvError::Empty), "nothing was sent");
        invariant!(sender.try_send(1) == Ok(()), "there is room");
        invariant!(sender.try_send(2) == Err(TrySendError::Full(2)), "there is none");
        invariant!(sender.send_timeout(2, Duration::from_millis(1)) == Err(TrySendError::Full(2)), "nor in time");
        let second = sender.clone();
        drop(sender);
        invariant!(receiver.recv() == Ok(1), "what was sent comes");
        invariant!(receiver.recv_timeout(Duration::from_millis(1)) == Err(TryRecvError::Empty), "nothing comes in time");
        drop(second);
        invariant!(receiver.recv().is_err(), "nobody is left to send");
        let (rendezvous, nobody) = channel::bounded(0);
        invariant!(rendezvous.try_send(1) == Err(TrySendError::Full(1)), "nobody waits");
        invariant!(rendezvous.send_timeout(1, Duration::from_millis(1)) == Err(TrySendError::Full(1)), "nobody comes");
        drop(nobody);
        invariant!(rendezvous.try_send(1) == Err(TrySendError::Disconnected(1)), "nobody can come");
    });
}

#[test]
fn a_receiver_is_iterated_until_nobody_is_left_to_send() {
    on_each("channel_iter", || {
        let (sender, receiver) = channel::bounded(1);
        let all = with_other(
            move || {
                let first = (&receiver).into_iter().next();
                first.into_iter().chain(receiver).collect::<Vec<_>>()
            },
            move || (1..=3).for_each(|message| sender.send(message).unwrap()),
        );
        invariant!(all == [1, 2, 3], "{all:?}");
    });
}

#[test]
fn what_a_channel_says_can_be_passed_on() {
    fn say(error: impl std::error::Error) -> String {
        error.to_string()
    }
    assert_eq!(say(channel::SendError(1)), "nobody is left to receive");
    assert_eq!(say(TrySendError::Full(1)), "there is no room for a message");
    assert_eq!(say(channel::RecvError), "nobody is left to send");
    assert_eq!(say(TryRecvError::Empty), "no message has come");
}

#[test]
fn an_atomic_is_updated_by_one_at_a_time() {
    on_each("fetch_update", || {
        let count = Arc::new(AtomicU32::new(7));
        let take_last = |count: &AtomicU32| count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| (n == 7).then_some(8));
        let (theirs, mine) = (Arc::clone(&count), Cell::new(Ok(0)));
        let other = with_other(move || take_last(&theirs), || mine.set(take_last(&count)));
        invariant!(other.is_ok() != mine.get().is_ok(), "one of both: {other:?} and {:?}", mine.get());
        invariant!(other.or(mine.get()) == Ok(7) && other.and(mine.get()) == Err(8), "the other sees what the first has put");
        let signed = AtomicI8::new(-3);
        invariant!(signed.fetch_min(-5, Ordering::SeqCst) == -3 && signed.fetch_max(2, Ordering::SeqCst) == -5, "signed");
        while signed.compare_exchange_weak(2, 1, Ordering::SeqCst, Ordering::SeqCst).is_err() {}
        invariant!(signed.compare_exchange_weak(2, 3, Ordering::SeqCst, Ordering::SeqCst) == Err(1), "it was another");
    });
}

#[test]
fn a_wait_for_a_condition_has_a_time() {
    on_each("wait_while_for", || {
        let pair = Arc::new((Mutex::new(false), Condvar::new()));
        let theirs = Arc::clone(&pair);
        let short = Duration::from_millis(1);
        with_other(
            move || {
                *theirs.0.lock() = true;
                theirs.1.notify_one();
            },
            || {
                let mut came = pair.0.lock();
                let wait = pair.1.wait_while_for(&mut came, |came| !*came, short);
                invariant!(*came != wait.timed_out(), "it has come, or the time was up");
                let (mut looks, wait) = (0, pair.1.wait_while_for(&mut came, |_| false, short));
                invariant!(!wait.timed_out(), "nothing was waited for");
                let wait = pair.1.wait_while_for(
                    &mut came,
                    |_| {
                        looks += 1;
                        true
                    },
                    short,
                );
                invariant!(wait.timed_out() && looks >= 2, "it is looked at once more when the time is up");
            },
        );
    });
}

#[test]
fn moments_are_told_apart() {
    let (early, late) = (Instant::from_origin(Duration::from_secs(2)), Instant::from_origin(Duration::from_secs(5)));
    assert_eq!((late.duration_since(early), early.duration_since(late)), (Duration::from_secs(3), Duration::ZERO));
    assert_eq!((late.checked_duration_since(early), early.checked_duration_since(late)), (Some(Duration::from_secs(3)), None));
    assert_eq!((late.checked_sub(Duration::from_secs(3)), early.checked_sub(Duration::from_secs(3))), (Some(early), None));
}

#[test]
fn a_lock_is_made_from_its_value_and_a_thread_sleeps_under_either_name() {
    on_each("std_names", || {
        let (mutex, rwlock, began) = (Mutex::from(1), RwLock::from(2), Instant::now());
        thread::sleep(Duration::from_millis(1));
        invariant!(*mutex.lock() == 1 && *rwlock.read() == 2, "their values");
        invariant!(began.elapsed() >= Duration::from_millis(1), "time has passed");
    });
}

#[test]
fn once() {
    on_each("once", || {
        let (once, cell, calls) = (Once::new(), OnceLock::new(), AtomicU32::new(0));
        let all = Arc::new((once, cell, calls));
        let init = |all: &(Once, OnceLock<u32>, AtomicU32)| {
            all.0.call_once(|| {
                all.2.fetch_add(1, Ordering::SeqCst);
            });
            *all.1.get_or_init(|| all.2.load(Ordering::SeqCst))
        };
        let theirs = Arc::clone(&all);
        let (first, here) = (with_other(move || init(&theirs), || {}), init(&all));
        invariant!(first == 1 && here == 1 && all.2.load(Ordering::SeqCst) == 1, "it ran once");
        invariant!(all.0.is_completed() && all.1.get() == Some(&1) && all.1.set(2) == Err(2), "it is full");
    });
}

#[test]
fn park() {
    on_each("park", || {
        let flag = Arc::new(AtomicU32::new(0));
        let here = thread::current_thread();
        let theirs = Arc::clone(&flag);
        with_other(
            move || {
                theirs.store(1, Ordering::SeqCst);
                here.unpark();
            },
            || {
                while flag.load(Ordering::SeqCst) == 0 {
                    thread::park();
                }
            },
        );
        thread::current_thread().unpark();
        thread::park();
        thread::park_timeout(Duration::from_millis(1));
    });
}

sim::thread_local! {
    static LOCAL: std::cell::Cell<u32> = std::cell::Cell::new(5);
}

#[test]
fn thread_locals_and_names() {
    on_each("thread_locals_and_names", || {
        let handle = thread::Builder::new().name("worker").spawn(|| {
            LOCAL.with(|local| local.set(local.get() + 1));
            thread::yield_now();
            let name = thread::current_thread().name().map(str::to_owned);
            (LOCAL.with(std::cell::Cell::get), name, thread::id())
        });
        let handle = handle.unwrap();
        let id = handle.id();
        LOCAL.with(|local| local.set(100));
        let (local, name, own) = handle.join().unwrap();
        invariant!(local == 6 && LOCAL.with(std::cell::Cell::get) == 100, "each thread has its own");
        invariant!(name.as_deref() == Some("worker") && own == id && id != thread::id(), "threads are told apart");
        LOCAL.with(|local| local.set(5));
    });
}

#[test]
fn a_read_within_a_read_hangs_only_behind_a_writer() {
    let nested = |writer: bool| {
        move || {
            let lock = Arc::new(RwLock::new(()));
            let theirs = Arc::clone(&lock);
            let here = move || {
                let _outer = lock.read();
                let _inner = lock.read();
            };
            match writer {
                true => with_other(move || drop(theirs.write()), here),
                false => with_other(move || drop(theirs.read()), here),
            }
        }
    };
    for engine in [Engine::Shuttle, Engine::Loom] {
        let check = Check::new("nested", "read", engine);
        assert_eq!(check.run(nested(false)).verdict, Verdict::Clean, "{engine}");
        assert_eq!(check.run(nested(true)).verdict.detector(), Some(sim::verdict::Detector::Deadlock), "{engine}");
    }
}

#[test]
fn the_wall_clock_steps_and_the_monotonic_one_does_not() {
    for engine in [Engine::Shuttle, Engine::Turmoil, Engine::Loom, Engine::Cases] {
        let report = Check::new("wall", "clock", engine).run(|| {
            let (wall, monotonic) = (time::wall_clock(), Instant::now());
            time::step_wall_clock(-3_600_000_000_000);
            invariant!(wall - time::wall_clock() == Duration::from_secs(3600), "an hour back");
            invariant!(Instant::now() == monotonic, "no time has passed");
        });
        assert_eq!(report.verdict, Verdict::Clean, "{engine}");
    }
}

#[test]
fn a_map_has_the_same_order_in_every_run() {
    let report = Check::new("map", "order", Engine::Shuttle).run(|| {
        let map: sim::collections::HashMap<u32, Mutex<u32>> = (0..20).map(|key| (key, Mutex::new(key))).collect();
        map.values().for_each(|value| *value.lock() += 1);
    });
    assert_eq!(report.verdict, Verdict::Clean);
}

#[test]
fn the_engine_for_inputs_has_no_threads_and_says_so() {
    let report = Check::new("cases", "spawn", Engine::Cases).run(|| {
        let error = thread::Builder::new().spawn(|| {}).unwrap_err();
        let unsupported = error.get_ref().and_then(|inner| inner.downcast_ref::<sim::Unsupported>());
        invariant!(unsupported.is_some_and(|error| error.engine == Engine::Cases), "{error}");
    });
    assert_eq!(report.verdict, Verdict::Clean, "{}", report.verdict);
}

#[test]
fn randomness_is_the_runs() {
    let report = Check::new("random", "numbers", Engine::Shuttle).schedules(2_000).run(|| {
        let number = sim::rand::below(50);
        invariant!(number < 50, "{number}");
        invariant!(number != 37, "one of the numbers");
    });
    let token = report.token.expect("one in fifty runs draws it").to_string();
    assert!(token.contains(".0=11~"), "the number is a choice of the token: {token}");
}

#[test]
fn a_race_with_a_thread_that_has_ended_is_a_race() {
    fn body(joins: bool) {
        let cell = sim::sync::Arc::new(sim::cell::CheckedCell::new(0));
        let (first, second) = (sim::sync::Arc::clone(&cell), sim::sync::Arc::clone(&cell));
        let first = sim::thread::spawn(move || first.set(1));
        if joins {
            first.join().unwrap();
        } else {
            // Long over, and nobody knows.
            time::sleep(Duration::from_secs(1));
        }
        sim::thread::spawn(move || second.set(2)).join().unwrap();
    }
    let raced = Check::new("ended", "unknown", Engine::Shuttle).run(|| body(false));
    assert_eq!(raced.verdict.detector(), Some(sim::verdict::Detector::Race), "{}", raced.verdict);
    let ordered = Check::new("ended", "joined", Engine::Shuttle).run(|| body(true));
    assert_eq!(ordered.verdict, Verdict::Clean, "{}", ordered.verdict);
}
