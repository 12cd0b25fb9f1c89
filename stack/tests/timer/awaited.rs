//! What tasks await, and the runtimes that carry a heap, or cease to.

use super::rig::{self, HANG, Kind, patient, soon};
use sim::task;
use sim::time;
use stack::timer::{Cancelled, Closed, TimerConfig, TimerError, TimerId, Timers};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

const RUNTIMES: [Kind; 2] = [Kind::MultiThread, Kind::CurrentThread];

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

fn poll<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// A waker that tells.
struct Wakes(AtomicBool);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn tasks_of_the_heaps_own_runtime_schedule_cancel_and_close() {
    for kind in RUNTIMES {
        kind.runtime().unwrap().block_on(async {
            let timers = Timers::on_task(patient()).unwrap();
            let calls = Arc::new(AtomicU32::new(0));
            for delay_ms in [0, 3, 1] {
                let counted = Arc::clone(&calls);
                let delay = Duration::from_millis(delay_ms);
                timers.schedule_after(delay, move |_, _| _ = counted.fetch_add(1, Ordering::SeqCst)).unwrap();
            }
            let far = timers.schedule_after(HANG, |_, _| {}).unwrap();
            assert_eq!(in_time(timers.cancelled(far)).await, Ok(Cancelled::Prevented));
            assert_eq!(in_time(timers.cancelled(far)).await, Ok(Cancelled::Ended));
            until(|| calls.load(Ordering::SeqCst) == 3).await;
            timers.schedule_after(HANG, |_, _| {}).unwrap();
            assert_eq!(in_time(timers.closed()).await, Ok(Closed::Closed), "{kind:?}");
            assert_eq!(in_time(timers.closed()).await, Ok(Closed::Already));
            let counters = timers.counters();
            assert_eq!((counters.fired, counters.prevented, counters.dropped_at_close), (3, 1, 1), "{kind:?}");
        });
    }
}

#[test]
fn callbacks_without_end_let_the_other_tasks_of_their_runtime_run() {
    fn for_ever(timers: &Timers) {
        let _ = timers.schedule_after(Duration::ZERO, |timers, _| for_ever(timers));
    }
    for kind in RUNTIMES {
        for burst_max in [0, 1, 32] {
            kind.runtime().unwrap().block_on(async {
                let timers = Timers::on_task(TimerConfig { burst_max, ..patient() }).unwrap();
                for_ever(&timers);
                until(|| timers.counters().fired > 1000).await;
                assert_eq!(in_time(timers.closed()).await, Ok(Closed::Closed), "{kind:?}");
            });
        }
    }
}

#[test]
fn what_is_awaited_is_ready_when_the_callback_has_returned_and_is_woken_then() {
    for kind in Kind::ALL {
        let (heap, gate, id) = rig::gated(kind, patient());
        let (cancelled, closed) = (heap.timers.cancelled(id), heap.timers.closed());
        // What they do is done by the call.
        assert!(heap.timers.is_closed());
        Kind::MultiThread.runtime().unwrap().block_on(async {
            let wakes = Arc::new(Wakes(AtomicBool::new(false)));
            let waker = Waker::from(Arc::clone(&wakes));
            let (mut cancelled, mut closed) = (pin!(cancelled), pin!(closed));
            assert!(cancelled.as_mut().poll(&mut Context::from_waker(&waker)).is_pending(), "{kind:?}");
            assert!(poll(closed.as_mut()).is_pending(), "{kind:?}");
            std::thread::sleep(Duration::from_millis(5));
            assert!(!wakes.0.load(Ordering::SeqCst), "{kind:?}");
            gate.open();
            soon(|| wakes.0.load(Ordering::SeqCst));
            assert_eq!(poll(cancelled), Poll::Ready(Ok(Cancelled::Running)), "{kind:?}");
            assert_eq!(poll(closed), Poll::Ready(Ok(Closed::Closed)), "{kind:?}");
        });
    }
}

#[test]
fn what_is_awaited_says_so_at_the_deadline() {
    let deadline = Duration::from_millis(20);
    for kind in Kind::ALL {
        let (heap, gate, id) = rig::gated(kind, TimerConfig { wait_deadline: deadline, ..patient() });
        // Not in the runtime whose thread the callback keeps.
        Kind::CurrentThread.runtime().unwrap().block_on(async {
            let goes_on = TimerError::CallbackGoesOn { deadline };
            assert_eq!(in_time(heap.timers.cancelled(id)).await, Err(goes_on.clone()), "{kind:?}");
            assert_eq!(in_time(heap.timers.closed()).await, Err(goes_on), "{kind:?}");
            assert_eq!(heap.timers.counters().given_up, 2);
        });
        gate.open();
    }
}

#[test]
fn a_wait_that_is_dropped_has_cancelled_and_is_forgotten() {
    for kind in RUNTIMES {
        kind.runtime().unwrap().block_on(async {
            let timers = Timers::on_task(patient()).unwrap();
            let ids = [(); 2].map(|()| timers.schedule_after(HANG, |_, _| {}).unwrap());
            drop(timers.cancelled(ids[0]));
            assert_eq!(timers.cancel(ids[0]), Cancelled::Ended);
            drop(timers.closed());
            assert!(timers.is_closed() && timers.pending() == 0, "{kind:?}");
        });
        let (heap, gate, id) = rig::gated(kind, patient());
        {
            let (mut cancelled, mut closed) = (pin!(heap.timers.cancelled(id)), pin!(heap.timers.closed()));
            Kind::CurrentThread.runtime().unwrap().block_on(poll_fn(|context| {
                assert!(cancelled.as_mut().poll(context).is_pending() && closed.as_mut().poll(context).is_pending());
                Poll::Ready(())
            }));
        }
        gate.open();
        soon(|| heap.timers.close() == Ok(Closed::Already));
    }
}

#[test]
fn a_callback_that_polls_a_wait_for_itself_does_not_wait() {
    for kind in Kind::ALL {
        let heap = rig::rig(kind, patient());
        let (sent, received) = mpsc::channel();
        let made_elsewhere = Arc::new(Mutex::new(None));
        let theirs = Arc::clone(&made_elsewhere);
        let gate = rig::Gate::new();
        let opens = gate.clone();
        let (entered, inside) = mpsc::channel();
        let callback = move |timers: &Timers, id: TimerId| {
            entered.send(()).unwrap();
            gate.pass();
            let mut elsewhere: Pin<Box<dyn Future<Output = _> + Send>> = theirs.lock().unwrap().take().unwrap();
            let answers = [poll(elsewhere.as_mut()), poll(pin!(timers.cancelled(id)))];
            sent.send((answers, poll(pin!(timers.closed())))).unwrap();
        };
        let id = heap.timers.schedule_after(Duration::ZERO, callback).unwrap();
        inside.recv_timeout(HANG).unwrap();
        *made_elsewhere.lock().unwrap() = Some(Box::pin(heap.timers.cancelled(id)) as _);
        opens.open();
        let (answers, closed) = received.recv_timeout(HANG).unwrap();
        assert_eq!(answers, [Poll::Ready(Ok(Cancelled::FromCallback)), Poll::Ready(Ok(Cancelled::FromCallback))], "{kind:?}");
        assert_eq!(closed, Poll::Ready(Ok(Closed::FromCallback)), "{kind:?}");
    }
}

#[test]
fn a_wait_keeps_nothing_open() {
    for kind in Kind::ALL {
        let (heap, gate, id) = rig::gated(kind, patient());
        let captured = Arc::new(());
        let held = Arc::clone(&captured);
        heap.timers.schedule_after(HANG, move |_, _| drop(held)).unwrap();
        let cancelled = heap.timers.cancelled(id);
        let rig::Rig { timers, carrier } = heap;
        drop(timers);
        assert_eq!(Arc::strong_count(&captured), 1, "{kind:?}: the heap has ended");
        gate.open();
        let answer = Kind::CurrentThread.runtime().unwrap().block_on(in_time(cancelled));
        assert_eq!(answer, Ok(Cancelled::Running), "{kind:?}");
        drop(carrier);
    }
}

#[test]
fn a_runtime_that_ends_ends_its_heaps() {
    for kind in RUNTIMES {
        // Before the task's first step, and after it.
        for steps in [false, true] {
            let runtime = kind.runtime().unwrap();
            let captured = Arc::new(());
            let held = Arc::clone(&captured);
            let (timers, id) = runtime.block_on(async {
                let timers = Timers::on_task(patient()).unwrap();
                let id = timers.schedule_after(HANG, move |_, _| drop(held)).unwrap();
                if steps {
                    task::yield_now().await;
                }
                (timers, id)
            });
            assert!(!timers.is_closed());
            drop(runtime);
            assert!(timers.is_closed() && Arc::strong_count(&captured) == 1, "{kind:?}, {steps}");
            assert_eq!(timers.schedule_after(Duration::ZERO, |_, _| {}), Err(TimerError::WorkerLost));
            assert_eq!(timers.cancel_and_wait(id), Ok(Cancelled::Ended));
            assert_eq!(timers.close(), Ok(Closed::Already));
            assert_eq!(timers.counters().dropped_at_close, 1);
        }
    }
}

#[test]
fn where_no_task_can_be_made_there_is_no_heap() {
    let outside = std::panic::catch_unwind(|| Timers::on_task(patient()));
    assert!(outside.is_err(), "there is no runtime here");
    let runtime = Kind::MultiThread.runtime().unwrap();
    let handle = runtime.handle().clone();
    drop(runtime);
    let _inside = handle.enter();
    assert!(matches!(Timers::on_task(patient()), Err(TimerError::Worker { .. })), "the runtime has ended");
}
