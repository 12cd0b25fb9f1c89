//! Our clock on a task, under a driver of tasks: the production code itself.

use super::production::{InCallback, accept, accept_at_once, expect_prompt};
use super::{DESTROYS_MAX, Probe, TICK};
use crate::exhibit::{Expected, On, Sequential, Subject};
use sim::task;
use sim::time::{self, Instant};
use stack::buffer::pool::Pool;
use stack::media::clock::{ClockConfig, ClockError, Stopped, TaskClock};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// What a task of the driver does to the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    /// Nothing, until the next tick is due.
    Pause,
    Start,
    Stop,
    /// Stops, and leaves before the stop has ended.
    StopAndLeave,
    RequestStop,
    Destroy,
    RequestDestroy,
}

impl Operation {
    const ALL: [Operation; 7] = [
        Operation::Pause,
        Operation::Start,
        Operation::Stop,
        Operation::StopAndLeave,
        Operation::RequestStop,
        Operation::Destroy,
        Operation::RequestDestroy,
    ];

    fn any() -> Self {
        Operation::ALL[sim::choose(Operation::ALL.len() as u64) as usize]
    }
}

fn open(plan: InCallback, probe: Probe) -> TaskClock {
    let pool = Pool::new("clock pool", 4096);
    let clock = TaskClock::new(ClockConfig::default(), pool, move |clock, _tick| {
        probe.ticked();
        match plan {
            InCallback::Nothing => {}
            InCallback::Stop => accept_at_once(at_once(clock.stop())),
            InCallback::Restart => {
                clock.request_stop();
                accept(clock.start());
            }
            InCallback::Destroy => accept_at_once(at_once(clock.destroy())),
        }
    });
    clock.expect("the default configuration is one that a clock can run")
}

/// The callback cannot await, and need not.
fn at_once(stop: impl Future<Output = Result<Stopped, ClockError>>) -> Result<Stopped, ClockError> {
    match pin!(stop).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => sim::violated("a stop from the callback waits".to_owned()),
    }
}

/// What the stop says, which is to take no time.
async fn promptly<T>(stop: impl Future<Output = T>) -> T {
    let began = Instant::now();
    let result = stop.await;
    expect_prompt(began);
    result
}

async fn perform(clock: &TaskClock, operation: Operation) {
    match operation {
        Operation::Pause => time::sleep_for(TICK).await,
        Operation::Start => accept(clock.start()),
        Operation::Stop => accept(promptly(clock.stop()).await),
        Operation::StopAndLeave => {
            let mut stop = pin!(clock.stop());
            if let Poll::Ready(result) = poll_fn(|context| Poll::Ready(stop.as_mut().poll(context))).await {
                accept(result);
            }
        }
        Operation::RequestStop => drop(clock.request_stop()),
        Operation::Destroy => accept(promptly(clock.destroy()).await),
        Operation::RequestDestroy => drop(clock.request_destroy()),
    }
}

/// The driver: the clock runs, the application and the socket do their operations at once, and the clock is destroyed.
fn drive(plan: InCallback, application: &[Operation], socket: &[Operation]) {
    let socket = socket.to_vec();
    task::block_on(async {
        let probe = Probe::new();
        let clock = open(plan, probe.clone());
        accept(clock.start());
        let theirs = clock.clone();
        let work = async move {
            for operation in socket {
                perform(&theirs, operation).await;
            }
        };
        let worker = task::try_spawn("socket", work).expect("the engine has tasks");
        for &operation in application {
            perform(&clock, operation).await;
        }
        worker.await.expect("nobody aborts it");
        end(&clock, &probe).await;
    });
}

async fn end(clock: &TaskClock, probe: &Probe) {
    let mut destroys = 0;
    // A slow processor may take the deadline while a callback is in its middle.
    while let Err(ClockError::CallbackGoesOn { .. }) = promptly(clock.destroy()).await {
        destroys += 1;
        sim::invariant!(destroys < DESTROYS_MAX, "the clock was not destroyed in {DESTROYS_MAX} times the deadline");
    }
    probe.close();
    // A clock task that is still there would call back now.
    time::sleep_for(TICK + TICK).await;
}

/// The rows of our clock on a task.
pub(super) fn subjects() -> Vec<Subject> {
    fn stop_stop() {
        drive(InCallback::Nothing, &[Operation::Stop], &[Operation::Stop]);
    }
    fn stop_destroy() {
        drive(InCallback::Nothing, &[Operation::Destroy], &[Operation::Stop]);
    }
    fn stop_start() {
        drive(InCallback::Nothing, &[Operation::Start], &[Operation::Stop]);
    }
    fn restart_stop() {
        drive(InCallback::Restart, &[Operation::Pause, Operation::Stop], &[]);
    }
    fn any() {
        let plan = InCallback::ALL[sim::choose(InCallback::ALL.len() as u64) as usize];
        let (application, socket) = ([(); 3].map(|()| Operation::any()), [(); 3].map(|()| Operation::any()));
        drive(plan, &application, &socket);
    }
    let subject = |name, about, schedules, body| Subject {
        name,
        about,
        on: vec![On::shuttle(Expected::Clean).schedules(schedules)],
        fewest_preemptions: None,
        sequential: Sequential::Clean,
        body,
        in_sequence: None,
        must_see: None,
    };
    vec![
        subject("stack-task-stop-stop", "our clock on a task: stop || stop", 3_000, stop_stop as fn()),
        subject("stack-task-stop-destroy", "our clock on a task: destroy || stop", 3_000, stop_destroy),
        subject("stack-task-stop-start", "our clock on a task: start || stop", 3_000, stop_start),
        subject(
            "stack-task-restart-stop",
            "our clock on a task: stop || a stop and a start from the callback",
            3_000,
            restart_stop,
        ),
        Subject {
            must_see: Some(super::MUST_SEE),
            ..subject(
                "stack-task",
                "our clock on a task: any three operations of each of two tasks, and any of the callback",
                20_000,
                any,
            )
        },
    ]
}
