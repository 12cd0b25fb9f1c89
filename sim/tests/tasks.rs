//! Tasks and what they await: one program, for real on tokio and under shuttle.

#![cfg(all(feature = "shuttle", feature = "turmoil"))]

use sim::explore::Check;
use sim::sync::Arc;
use sim::sync::asynchronous::{Closed, Mutex, Notify, Semaphore, mpsc, oneshot};
use sim::task::{self, JoinError};
use sim::time::{self, Duration, Elapsed, Instant};
use sim::verdict::{Detector, Verdict};
use sim::{Engine, StrategyName, invariant};
use std::io::Write as _;

/// Runs `body` for real, and on shuttle with each strategy that samples.
fn on_each(name: &str, body: fn()) {
    let real = Check::new(name, "body", Engine::Real).schedules(10).run(body);
    assert_eq!(real.verdict, Verdict::Clean, "{name} for real: {}", real.verdict);
    for strategy in [StrategyName::Random, StrategyName::Pct, StrategyName::Urw] {
        let report = Check::new(name, "body", Engine::Shuttle).strategy(strategy).schedules(500).run(body);
        assert_eq!(report.verdict, Verdict::Clean, "{name} with {strategy}: {}", report.verdict);
    }
    let report = Check::new(name, "body", Engine::Turmoil).run(body);
    assert_eq!(report.verdict, Verdict::Clean, "{name} on turmoil: {}", report.verdict);
}

#[test]
fn a_mutex_is_held_across_a_wait_and_excludes() {
    on_each("async_mutex", || {
        task::block_on(async {
            let count = Arc::new(Mutex::new(0));
            let tasks: Vec<_> = (0..3)
                .map(|_| {
                    let count = Arc::clone(&count);
                    task::spawn(async move {
                        let mut count = count.lock().await;
                        let before = *count;
                        task::yield_now().await;
                        *count = before + 1;
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
            let held = count.lock().await;
            invariant!(*held == 3 && count.try_lock().is_none(), "{}", *held);
        });
    });
}

#[test]
fn a_notification_is_kept_for_one() {
    on_each("notify", || {
        task::block_on(async {
            let notify = Arc::new(Notify::new());
            let theirs = Arc::clone(&notify);
            let waits = task::spawn(async move { theirs.notified().await });
            notify.notify_one();
            waits.await.unwrap();
            notify.notify_one();
            notify.notify_one();
            notify.notified().await;
            let second = time::timeout(Duration::from_millis(1), notify.notified()).await;
            invariant!(second.is_err(), "two notifications that nobody waits for are one");
        });
    });
}

#[test]
fn permits_bound_and_a_closed_semaphore_says_so() {
    on_each("semaphore", || {
        task::block_on(async {
            let semaphore = Arc::new(Semaphore::new(1));
            let inside = Arc::new(sim::sync::atomic::AtomicU32::new(0));
            let tasks: Vec<_> = (0..2)
                .map(|_| {
                    let (semaphore, inside) = (Arc::clone(&semaphore), Arc::clone(&inside));
                    task::spawn(async move {
                        let _permit = semaphore.acquire().await.unwrap();
                        let others = inside.fetch_add(1, sim::sync::atomic::Ordering::SeqCst);
                        invariant!(others == 0, "one permit, one inside");
                        task::yield_now().await;
                        inside.fetch_sub(1, sim::sync::atomic::Ordering::SeqCst);
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
            invariant!(semaphore.available_permits() == 1 && semaphore.try_acquire().is_some(), "all were given back");
            semaphore.close();
            invariant!(matches!(semaphore.acquire().await, Err(Closed)), "it is closed");
        });
    });
}

#[test]
fn channels_carry_everything_in_order() {
    on_each("channels", || {
        task::block_on(async {
            let (sender, mut receiver) = mpsc::channel(1);
            let (done, mut ends) = oneshot::channel();
            let sends = task::spawn(async move {
                for number in 0..4 {
                    sender.send(number).await.unwrap();
                }
                done.send("done").unwrap();
            });
            let mut received = Vec::new();
            while let Some(number) = receiver.recv().await {
                received.push(number);
            }
            invariant!(received == [0, 1, 2, 3] && ends.recv().await == Ok("done"), "{received:?}");
            sends.await.unwrap();
            let (nothing, mut never) = oneshot::channel::<()>();
            drop(nothing);
            invariant!(never.recv().await.is_err(), "nobody is left to send");
        });
    });
}

#[test]
fn sleeps_take_their_time_and_timeouts_theirs() {
    on_each("sleeps", || {
        task::block_on(async {
            let began = Instant::now();
            let sleeps = [3u64, 1, 2].map(|ms| task::spawn(time::sleep_for(Duration::from_millis(ms))));
            for sleep in sleeps {
                sleep.await.unwrap();
            }
            invariant!(began.elapsed() >= Duration::from_millis(3), "{:?}", began.elapsed());
            let within = Duration::from_millis(1);
            let never = time::timeout(within, std::future::pending::<()>()).await;
            invariant!(never == Err(Elapsed { within }), "{never:?}");
            let first = time::timeout(Duration::from_secs(3600), async { 7 }).await;
            invariant!(first == Ok(7), "what is ready is not late");
        });
    });
}

#[test]
fn a_biased_select_takes_the_first_that_is_ready() {
    on_each("select", || {
        task::block_on(async {
            let which = sim::select! {
                () = std::future::ready(()) => "first",
                () = std::future::ready(()) => "second",
            };
            invariant!(which == "first", "{which}");
            let which = sim::select! {
                () = time::sleep_for(Duration::from_secs(3600)) => "slow",
                () = time::sleep_for(Duration::from_millis(1)) => "fast",
            };
            invariant!(which == "fast" || time::has_run_ahead(), "{which}");
        });
    });
}

#[test]
fn an_aborted_task_ends_where_it_waits() {
    on_each("abort", || {
        task::block_on(async {
            let task = task::spawn(std::future::pending::<()>());
            task.abort();
            invariant!(task.await == Err(JoinError::Aborted), "it was aborted");
            let ended = task::spawn(async { 7 });
            while !ended.is_finished() {
                task::yield_now().await;
            }
            ended.abort();
            invariant!(ended.await == Ok(7), "what has ended keeps its value");
        });
    });
}

#[test]
fn an_async_deadlock_names_its_cycle_and_its_token_replays() {
    fn abba() {
        task::block_on(async {
            let locks = Arc::new((Mutex::new(()), Mutex::new(())));
            let theirs = Arc::clone(&locks);
            let other = task::try_spawn("other", async move {
                let _second = theirs.1.lock().await;
                let _first = theirs.0.lock().await;
            });
            {
                let _first = locks.0.lock().await;
                let _second = locks.1.lock().await;
            }
            other.unwrap().await.unwrap();
        });
    }
    let check = Check::new("async", "abba", Engine::Shuttle);
    let report = check.run(abba);
    let Verdict::Caught(finding) = &report.verdict else { panic!("{}", report.verdict) };
    assert_eq!(finding.detector, Detector::Deadlock, "{finding}");
    for who in ["main waits for async Mutex", "other waits for async Mutex", "held by other", "held by main"] {
        assert!(finding.reason.contains(who), "{who}: {finding}");
    }
    let replay = check.replay(&report.token.unwrap(), false, abba).unwrap();
    assert_eq!((replay.verdict, Some(replay.trace_hash)), (report.verdict, report.trace_hash));
}

#[test]
fn a_blocking_lock_held_while_a_task_waits_is_found() {
    let report = Check::new("async", "held", Engine::Shuttle).run(|| {
        task::block_on(async {
            let lock = sim::sync::Mutex::new(());
            let _held = lock.lock();
            task::spawn(async {}).await.unwrap();
        });
    });
    assert_eq!(report.verdict.detector(), Some(Detector::LockAcrossAwait), "{}", report.verdict);
}

#[test]
fn an_engine_without_tasks_says_so() {
    for engine in [Engine::Loom, Engine::Cases] {
        if !engine.is_built_in() {
            _ = writeln!(std::io::stderr(), "SKIPPED {engine}: this build does not contain it");
            continue;
        }
        let report = Check::new("async", "unsupported", engine).run(|| {
            let error = task::try_spawn("task", async {}).unwrap_err();
            invariant!(error.primitive == sim::Primitive::Task && error.engine == sim::current_engine(), "{error}");
        });
        assert_eq!(report.verdict, Verdict::Clean, "{engine}: {}", report.verdict);
    }
}

#[test]
fn local_tasks_change_places_only_where_they_wait() {
    on_each("local", || {
        task::block_on(async {
            let count = std::rc::Rc::new(std::cell::Cell::new(0));
            let tasks: Vec<_> = (0..3)
                .map(|_| {
                    let count = std::rc::Rc::clone(&count);
                    task::spawn_local(async move {
                        for _ in 0..2 {
                            let before = count.get();
                            // A point at which a task on another thread could come between.
                            let other = sim::sync::Mutex::new(());
                            drop(other.lock());
                            count.set(before + 1);
                            task::yield_now().await;
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
            invariant!(count.get() == 6, "nobody came between: {}", count.get());
        });
    });
}

#[test]
fn local_tasks_come_in_every_order_at_their_waits() {
    fn body() {
        task::block_on(async {
            let count = std::rc::Rc::new(std::cell::Cell::new(0));
            let theirs = std::rc::Rc::clone(&count);
            let other = task::spawn_local(async move {
                task::yield_now().await;
                theirs.set(1);
            });
            let before = count.get();
            task::yield_now().await;
            invariant!(count.get() == before, "the other came between");
            other.await.unwrap();
        });
    }
    let report = Check::new("local", "orders", Engine::Shuttle).run(body);
    assert_eq!(report.verdict.detector(), Some(Detector::Invariant), "{}", report.verdict);
}

#[test]
fn tasks_end_with_their_runtime() {
    on_each("runtime", || {
        struct Ends(Arc<sim::sync::atomic::AtomicU32>);
        impl Drop for Ends {
            fn drop(&mut self) {
                self.0.fetch_add(1, sim::sync::atomic::Ordering::SeqCst);
            }
        }
        let ended = Arc::new(sim::sync::atomic::AtomicU32::new(0));
        let (first, second) = (Ends(Arc::clone(&ended)), Ends(Arc::clone(&ended)));
        task::block_on(async move {
            let (begun, has_begun) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
            let (mine, theirs) = (Arc::clone(&begun), Arc::clone(&has_begun));
            task::spawn(async move {
                let _ends = first;
                // It has begun, and so has what it spawned.
                task::spawn(async move {
                    let _ends = second;
                    theirs.notify_one();
                    loop {
                        time::sleep_for(Duration::from_secs(1)).await;
                    }
                });
                mine.notify_one();
                std::future::pending::<()>().await;
            });
            begun.notified().await;
            has_begun.notified().await;
        });
        invariant!(ended.load(sim::sync::atomic::Ordering::SeqCst) == 2, "what the runtime ran has ended with it");
    });
}
