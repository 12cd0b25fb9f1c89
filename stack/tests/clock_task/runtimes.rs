//! The clock's task and the runtimes that carry it, or cease to.

use super::{another, counting, fast, idle, in_time, on_a_thread, poll, pool, until};
use sim::{task, time};
use stack::media::clock::{ClockError, Stopped, TaskClock};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;
use tokio::runtime::Builder;

#[test]
fn a_runtime_that_ends_ends_the_run_and_another_takes_the_clock_up() {
    let pool = pool();
    let (clock, ticks) = counting(&pool);
    for _ in 0..5 {
        let before = ticks.load(Ordering::SeqCst);
        task::block_on(async {
            clock.start().unwrap();
            until(|| ticks.load(Ordering::SeqCst) > before).await;
        });
        assert!(!clock.is_running());
        assert_eq!(pool.used_bytes(), Ok(0), "the run's memory is given back");
        assert_eq!(poll(pin!(clock.stop())), Poll::Ready(Ok(Stopped::NotRunning)), "nothing is waited for");
    }
    task::block_on(async {
        clock.start().unwrap();
        assert_eq!(in_time(clock.stop()).await, Ok(Stopped::Stopped));
        clock.start().unwrap();
    });
    assert_eq!(poll(pin!(clock.destroy())), Poll::Ready(Ok(Stopped::NotRunning)));
    assert!(pool.used_bytes().is_err());
}

#[test]
fn who_waits_for_a_task_is_woken_when_its_runtime_ends() {
    // Before the task's first step, and after it.
    for steps in [false, true] {
        let pool = pool();
        let (clock, _) = counting(&pool);
        let runtime = idle();
        runtime.block_on(async {
            clock.start().unwrap();
            if steps {
                task::yield_now().await;
            }
        });
        task::block_on(async {
            let mut stops = [clock.stop(), clock.stop()].map(Box::pin);
            stops.iter_mut().for_each(|stop| assert!(poll(stop.as_mut()).is_pending(), "the task has not ended"));
            let [first, second] = stops.map(task::spawn);
            let ends = std::thread::spawn(move || drop(runtime));
            assert_eq!(in_time(first).await.unwrap(), Ok(Stopped::Stopped));
            assert_eq!(in_time(second).await.unwrap(), Ok(Stopped::NotRunning));
            ends.join().unwrap();
            assert_eq!(pool.used_bytes(), Ok(0));
            clock.start().unwrap();
            assert_eq!(in_time(clock.stop()).await, Ok(Stopped::Stopped));
        });
    }
}

#[test]
fn a_clock_that_is_destroyed_and_whose_runtime_ends_releases_its_pool() {
    let pool = pool();
    let (clock, _) = counting(&pool);
    let runtime = idle();
    runtime.block_on(async { clock.start() }).unwrap();
    assert!(clock.request_destroy());
    assert!(pool.used_bytes().is_ok(), "its task has not ended");
    drop(runtime);
    assert!(pool.used_bytes().is_err());
}

#[test]
fn where_no_task_can_be_made_start_says_so_and_the_clock_starts_elsewhere() {
    on_a_thread(|| {
        let pool = pool();
        let (clock, ticks) = counting(&pool);
        let ended = another();
        let handle = ended.handle().clone();
        drop(ended);
        {
            let _inside = handle.enter();
            let error = clock.start().unwrap_err();
            assert!(matches!(&error, ClockError::Task { why } if why.contains("runtime")), "{error}");
        }
        assert!(!clock.is_running());
        let outside = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| clock.start()));
        assert!(outside.is_err(), "as tokio's own");
        assert!(!clock.is_running());
        let without_timers = Builder::new_current_thread().build().unwrap();
        without_timers.block_on(async {
            clock.start().unwrap();
            task::yield_now().await;
        });
        assert!(!clock.is_running());
        assert_eq!(pool.used_bytes(), Ok(0));
        task::block_on(async {
            clock.start().unwrap();
            until(|| ticks.load(Ordering::SeqCst) > 0).await;
            assert_eq!(in_time(clock.stop()).await, Ok(Stopped::Stopped));
        });
    });
}

#[test]
fn runtimes_that_end_while_others_start_and_stop_leave_a_clock_that_works() {
    let pool = pool();
    let (clock, ticks) = counting(&pool);
    for round in 0..30 {
        let runtime = another();
        let goes_on = Arc::new(AtomicBool::new(true));
        let users: Vec<_> = (0..2)
            .map(|_| {
                let (clock, handle, goes_on) = (clock.clone(), runtime.handle().clone(), Arc::clone(&goes_on));
                std::thread::spawn(move || {
                    let _inside = handle.enter();
                    while goes_on.load(Ordering::SeqCst) {
                        match clock.start() {
                            Ok(()) | Err(ClockError::Task { .. }) => {}
                            Err(error) => panic!("{error}"),
                        }
                        drop(clock.stop());
                    }
                })
            })
            .collect();
        std::thread::sleep(Duration::from_micros(100 * (round % 10)));
        drop(runtime);
        goes_on.store(false, Ordering::SeqCst);
        users.into_iter().for_each(|user| user.join().unwrap());
        task::block_on(async {
            in_time(clock.stop()).await.unwrap();
            assert_eq!(pool.used_bytes(), Ok(0));
            let before = ticks.load(Ordering::SeqCst);
            clock.start().unwrap();
            until(|| ticks.load(Ordering::SeqCst) > before).await;
            assert_eq!(in_time(clock.stop()).await, Ok(Stopped::Stopped));
        });
    }
}

#[test]
fn a_callback_that_is_slower_than_its_clock_lets_its_only_thread_go_on() {
    on_a_thread(|| {
        idle().block_on(async {
            let slow = |_: &TaskClock, _| std::thread::sleep(Duration::from_millis(2));
            let clock = TaskClock::new(fast(), pool(), slow).unwrap();
            clock.start().unwrap();
            time::sleep_for(Duration::from_millis(10)).await;
            assert_eq!(clock.stop().await, Ok(Stopped::Stopped));
        });
    });
}
