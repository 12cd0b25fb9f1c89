//! The clock on a task in production: tokio, real time. What the engines prove stands in the exhibits.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "the test stands outside of what is tested")]

#[path = "clock_task/runtimes.rs"]
mod runtimes;

use sim::task;
use sim::time;
use stack::buffer::pool::Pool;
use stack::media::clock::{ClockConfig, ClockError, Stopped, TaskClock};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// A tick each millisecond. A wait that is not woken is not saved by its deadline.
fn fast() -> ClockConfig {
    ClockConfig { samples_per_tick: 8, stop_deadline: Duration::from_secs(3600), ..ClockConfig::default() }
}

fn pool() -> Pool {
    Pool::new("clock", 4096)
}

/// Real time has no deadline that a slow machine keeps, so this one only turns a hang into a failure.
const HANG: Duration = Duration::from_secs(60);

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    time::timeout(HANG, future).await.expect("what was waited for has not come in a minute")
}

async fn until(mut condition: impl FnMut() -> bool) {
    in_time(async {
        while !condition() {
            time::sleep_for(Duration::from_micros(100)).await;
        }
    })
    .await;
}

/// Runs what may block its thread for ever.
fn on_a_thread(body: impl FnOnce() + Send + 'static) {
    let (done, ends) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        body();
        let _ = done.send(());
    });
    match ends.recv_timeout(HANG) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("it has not ended in a minute"),
        _ => thread.join().unwrap(),
    }
}

/// A runtime that others than the test's own may run in and end.
fn another() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// A runtime of one thread, whose tasks run only while it is told to.
fn idle() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// A waker that tells.
struct Wakes(AtomicBool);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A clock whose every callback waits at a gate: in a runtime of its own, whose timers may have to wait as well.
struct Gated {
    clock: TaskClock,
    inside: mpsc::Receiver<()>,
    open: mpsc::Sender<()>,
    // Dropped after the gate, as that waits for the callback.
    _runtime: Runtime,
}

/// Its callback is inside.
fn gated(config: ClockConfig, pool: &Pool) -> Gated {
    let (entered, inside) = mpsc::channel();
    let (open, opened) = mpsc::channel();
    let opened = std::sync::Mutex::new(opened);
    let clock = TaskClock::new(config, pool.clone(), move |_, _| {
        let _ = entered.send(());
        let _ = opened.lock().unwrap().recv();
    });
    let (clock, runtime) = (clock.unwrap(), another());
    runtime.block_on(async { clock.start() }).unwrap();
    inside.recv().unwrap();
    Gated { clock, inside, open, _runtime: runtime }
}

/// A clock that counts its callbacks.
fn counting(pool: &Pool) -> (TaskClock, Arc<AtomicU64>) {
    let ticks = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&ticks);
    let clock = TaskClock::new(fast(), pool.clone(), move |_, _| {
        counted.fetch_add(1, Ordering::SeqCst);
    });
    (clock.unwrap(), ticks)
}

#[test]
fn it_ticks_until_it_is_stopped_and_starts_again() {
    task::block_on(async {
        let pool = pool();
        let (clock, ticks) = counting(&pool);
        assert_eq!(in_time(clock.stop()).await, Ok(Stopped::NotRunning));
        for _ in 0..20 {
            let before = ticks.load(Ordering::SeqCst);
            clock.start().unwrap();
            clock.start().unwrap();
            assert!(pool.used_bytes().unwrap() > 0);
            until(|| ticks.load(Ordering::SeqCst) >= before + 2).await;
            assert!(clock.is_running() && clock.recent_lateness().len() >= 2 && clock.counters().ticks >= 2);
            let _held = pool.allocate(8).unwrap();
            assert_eq!(in_time(clock.stop()).await, Ok(Stopped::Stopped));
            let after = ticks.load(Ordering::SeqCst);
            assert_eq!(pool.used_bytes(), Ok(0), "stop resets the pool, whoever has something of it");
            assert!(clock.recent_lateness().is_empty() && clock.counters().ticks >= 2, "the counters stay");
            assert_eq!(in_time(clock.stop()).await, Ok(Stopped::NotRunning));
            time::sleep_for(Duration::from_millis(3)).await;
            assert_eq!(ticks.load(Ordering::SeqCst), after, "no callback after stop");
        }
        in_time(clock.destroy()).await.unwrap();
        assert!(pool.used_bytes().is_err(), "destroy releases the pool");
        assert_eq!(clock.start(), Err(ClockError::Destroyed));
        assert_eq!(in_time(clock.destroy()).await, Ok(Stopped::NotRunning));
        assert!(!clock.request_stop() && !clock.request_destroy());
        assert_eq!(in_time(clock.stop()).await, Ok(Stopped::NotRunning));
        assert_eq!(clock.start(), Err(ClockError::Destroyed), "it is so for good");
    });
}

#[test]
fn a_stop_does_not_wait_for_the_next_tick() {
    task::block_on(async {
        let hourly = ClockConfig { rate_hz: 1, samples_per_tick: 3600, ..fast() };
        let clock = TaskClock::new(hourly, pool(), |_, _| {}).unwrap();
        for _ in 0..20 {
            clock.start().unwrap();
            task::yield_now().await;
            assert_eq!(in_time(clock.stop()).await, Ok(Stopped::Stopped));
        }
    });
}

#[test]
fn the_callback_may_stop_start_and_destroy_its_clock() {
    task::block_on(async {
        // Room for one record: the task's next run has the last one's.
        let pool = Pool::new("clock", 512);
        let calls = Arc::new(AtomicUsize::new(0));
        let (counted, tasks) = (Arc::clone(&calls), Arc::new(std::sync::Mutex::new(Vec::new())));
        let seen = Arc::clone(&tasks);
        let clock = TaskClock::new(fast(), pool.clone(), move |clock, _| {
            assert_eq!(clock.counters().ticks, 1, "each of these runs has one tick");
            seen.lock().unwrap().push(tokio::task::id());
            match counted.fetch_add(1, Ordering::SeqCst) {
                0 => {
                    assert!(clock.request_stop() && !clock.request_stop());
                    assert_eq!(clock.start(), Ok(()));
                }
                1 => {
                    let from_callback = Poll::Ready(Ok(Stopped::FromCallback));
                    assert_eq!(poll(pin!(clock.stop())), from_callback, "it does not wait for itself");
                    assert_eq!(poll(pin!(clock.stop())), from_callback);
                    assert_eq!(clock.start(), Ok(()));
                }
                2 => assert!(clock.request_destroy() && clock.start() == Err(ClockError::Destroyed)),
                _ => panic!("called after destroy"),
            }
        })
        .unwrap();
        clock.start().unwrap();
        until(|| pool.used_bytes().is_err()).await;
        assert_eq!(calls.load(Ordering::SeqCst), 3);
        let tasks = tasks.lock().unwrap();
        assert!(tasks.iter().all(|task| *task == tasks[0]), "a start that crosses a stop keeps the task");
    });
}

#[test]
fn a_stop_that_the_callback_hands_on_waits_for_the_callback() {
    let (sender, stops) = mpsc::channel();
    let (open, opened) = mpsc::channel::<()>();
    let opened = std::sync::Mutex::new(opened);
    let runtime = another();
    let clock = TaskClock::new(fast(), pool(), move |clock, _| {
        sender.send(clock.stop()).unwrap();
        let _ = opened.lock().unwrap().recv();
    });
    let clock = clock.unwrap();
    runtime.block_on(async { clock.start() }).unwrap();
    task::block_on(async {
        let mut stop = pin!(stops.recv().unwrap());
        assert!(poll(stop.as_mut()).is_pending(), "the callback goes on");
        open.send(()).unwrap();
        assert_eq!(in_time(stop).await, Ok(Stopped::Stopped));
    });
}

#[test]
fn a_callback_that_does_not_return_is_an_error_at_the_deadline() {
    let deadline = Duration::from_millis(20);
    let pool = pool();
    let Gated { _runtime, clock, inside: _inside, open } = gated(ClockConfig { stop_deadline: deadline, ..fast() }, &pool);
    task::block_on(async {
        assert_eq!(in_time(clock.stop()).await, Err(ClockError::CallbackGoesOn { deadline }));
        assert_eq!(in_time(clock.destroy()).await, Err(ClockError::CallbackGoesOn { deadline }));
        assert!(pool.used_bytes().unwrap() > 0, "the run has its memory until its callback has returned");
        open.send(()).unwrap();
        until(|| pool.used_bytes().is_err()).await;
    });
}

#[test]
fn stops_and_a_destroy_that_wait_at_once_are_all_woken() {
    for _ in 0..20 {
        let pool = pool();
        let gated = gated(fast(), &pool);
        task::block_on(async {
            let (mut a, mut b, mut c) =
                (Box::pin(gated.clock.stop()), Box::pin(gated.clock.stop()), Box::pin(gated.clock.destroy()));
            poll_fn(|context| {
                assert!(a.as_mut().poll(context).is_pending() && b.as_mut().poll(context).is_pending());
                assert!(c.as_mut().poll(context).is_pending());
                Poll::Ready(())
            })
            .await;
            let waits = [task::spawn(a), task::spawn(b), task::spawn(c)];
            gated.open.send(()).unwrap();
            let mut found = Vec::new();
            for wait in waits {
                found.push(in_time(wait).await.unwrap());
            }
            assert_eq!(found, [Ok(Stopped::Stopped), Ok(Stopped::NotRunning), Ok(Stopped::NotRunning)]);
            assert!(pool.used_bytes().is_err());
        });
    }
}

#[test]
fn a_stop_waits_for_the_callbacks_of_its_own_run_and_earlier_ones_alone() {
    let Gated { _runtime, clock, inside, open } = gated(fast(), &pool());
    task::block_on(async {
        let wakes = Arc::new(Wakes(AtomicBool::new(false)));
        let waker = Waker::from(Arc::clone(&wakes));
        let context = &mut Context::from_waker(&waker);
        let mut first = pin!(clock.stop());
        clock.start().unwrap();
        let mut second = pin!(clock.stop());
        clock.start().unwrap();
        assert!(first.as_mut().poll(context).is_pending(), "the callback of the run that it stopped goes on");
        assert!(poll(second.as_mut()).is_pending(), "that of the run before goes on");
        open.send(()).unwrap();
        inside.recv().unwrap();
        assert!(wakes.0.load(Ordering::SeqCst), "a callback has returned");
        // The callback that goes on now is the third run's.
        assert_eq!(first.poll(context), Poll::Ready(Ok(Stopped::Stopped)));
        assert_eq!(poll(second), Poll::Ready(Ok(Stopped::Stopped)));
        let (mut third, mut fourth) = (pin!(clock.stop()), pin!(clock.stop()));
        assert!(poll(third.as_mut()).is_pending() && poll(fourth.as_mut()).is_pending());
        drop(open);
        assert_eq!(in_time(fourth).await, Ok(Stopped::NotRunning));
        assert_eq!(in_time(third).await, Ok(Stopped::Stopped));
    });
}

#[test]
fn a_stop_whose_future_is_dropped_has_stopped_the_clock() {
    task::block_on(async {
        let pool = pool();
        let (clock, ticks) = counting(&pool);
        for is_polled in [false, true] {
            let before = ticks.load(Ordering::SeqCst);
            clock.start().unwrap();
            until(|| ticks.load(Ordering::SeqCst) > before).await;
            {
                let mut stop = pin!(clock.stop());
                if is_polled {
                    let _ = poll(stop.as_mut());
                }
            }
            assert!(!clock.is_running());
            until(|| pool.used_bytes() == Ok(0)).await;
            let after = ticks.load(Ordering::SeqCst);
            time::sleep_for(Duration::from_millis(3)).await;
            assert_eq!((ticks.load(Ordering::SeqCst), clock.stop().await), (after, Ok(Stopped::NotRunning)));
        }
        clock.start().unwrap();
        drop(clock.destroy());
        until(|| pool.used_bytes().is_err()).await;
    });
}

#[test]
fn a_callback_that_panics_stops_its_clock_and_nothing_else() {
    task::block_on(async {
        let clock = TaskClock::new(fast(), pool(), |_, _| panic!("on purpose")).unwrap();
        clock.start().unwrap();
        until(|| !clock.is_running()).await;
        assert_eq!(in_time(clock.stop()).await, Err(ClockError::CallbackPanicked));
        assert_eq!(clock.start(), Err(ClockError::CallbackPanicked));
        assert_eq!(in_time(clock.destroy()).await, Err(ClockError::CallbackPanicked));
    });
}

#[test]
fn the_last_handle_ends_the_clock() {
    task::block_on(async {
        let pool = pool();
        let (clock, _) = counting(&pool);
        clock.start().unwrap();
        drop(clock.clone());
        assert!(clock.is_running());
        let stop = clock.stop();
        clock.start().unwrap();
        drop(clock);
        until(|| pool.used_bytes().is_err()).await;
        assert_eq!(in_time(stop).await, Ok(Stopped::Stopped), "a stop that still waits is no user");
    });
}

#[test]
fn a_clock_that_never_ran_is_released_with_its_last_handle() {
    let (dropped, destroyed, requested) = (pool(), pool(), pool());
    drop(counting(&dropped));
    let (clock, ticks) = counting(&requested);
    assert!(!clock.request_destroy() && requested.used_bytes().is_err());
    assert_eq!(Arc::strong_count(&ticks), 1, "its callback too");
    let (clock, ticks) = counting(&destroyed);
    assert_eq!(poll(pin!(clock.destroy())), Poll::Ready(Ok(Stopped::NotRunning)), "it needs no runtime");
    assert!(destroyed.used_bytes().is_err() && Arc::strong_count(&ticks) == 1);
    assert!(dropped.used_bytes().is_err());
}

#[test]
fn a_callback_whose_drop_uses_the_clock_is_dropped_without_its_lock() {
    struct Looks(Option<TaskClock>);
    impl Drop for Looks {
        fn drop(&mut self) {
            let clock = self.0.take().unwrap();
            assert!(!clock.is_running() && clock.start() == Err(ClockError::Destroyed));
        }
    }
    type Slot = Arc<std::sync::Mutex<Looks>>;
    let clock_that_its_callback_keeps = || {
        let slot: Slot = Arc::new(std::sync::Mutex::new(Looks(None)));
        let held = Arc::clone(&slot);
        let clock = TaskClock::new(fast(), pool(), move |_, _| drop(held.lock().unwrap())).unwrap();
        slot.lock().unwrap().0 = Some(clock.clone());
        clock
    };
    on_a_thread(move || {
        task::block_on(async {
            // By the task, by who destroys, and by the task's own end.
            let clock = clock_that_its_callback_keeps();
            clock.start().unwrap();
            in_time(clock.destroy()).await.unwrap();
            in_time(clock_that_its_callback_keeps().destroy()).await.unwrap();
        });
        let clock = clock_that_its_callback_keeps();
        let runtime = idle();
        runtime.block_on(async { clock.start() }).unwrap();
        clock.request_destroy();
        drop(runtime);
        assert_eq!(clock.start(), Err(ClockError::Destroyed));
    });
}

#[test]
fn a_pool_that_is_too_small_is_an_error_and_the_clock_stays_stopped() {
    task::block_on(async {
        let clock = TaskClock::new(fast(), Pool::new("clock", 100), |_, _| {}).unwrap();
        assert!(matches!(clock.start(), Err(ClockError::Pool(_))));
        assert!(!clock.is_running());
        assert_eq!(in_time(clock.stop()).await, Ok(Stopped::NotRunning));
    });
}
