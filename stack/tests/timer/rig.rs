//! Heaps on every kind of worker, and what tests wait with.

use stack::timer::{TimerConfig, TimerId, Timers};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

/// Real time has no deadline that a slow machine keeps, so this one only turns a hang into a failure.
pub(crate) const HANG: Duration = Duration::from_secs(60);

/// A wait that is not woken is not saved by its deadline.
pub(crate) fn patient() -> TimerConfig {
    TimerConfig { wait_deadline: Duration::from_secs(3600), ..TimerConfig::default() }
}

/// What a heap's worker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Thread,
    /// A task of a tokio runtime with several threads.
    MultiThread,
    /// A task of a tokio runtime with one.
    CurrentThread,
}

impl Kind {
    pub(crate) const ALL: [Kind; 3] = [Kind::Thread, Kind::MultiThread, Kind::CurrentThread];

    /// The runtime of those that have one.
    pub(crate) fn runtime(self) -> Option<Runtime> {
        let runtime = match self {
            Kind::Thread => return None,
            Kind::MultiThread => Builder::new_multi_thread().worker_threads(2).enable_all().build(),
            Kind::CurrentThread => Builder::new_current_thread().enable_all().build(),
        };
        Some(runtime.unwrap())
    }
}

/// A heap and what carries it.
pub(crate) struct Rig {
    pub(crate) timers: Timers,
    pub(crate) carrier: Option<Carrier>,
}

/// A thread that is in a runtime until this is dropped.
pub(crate) struct Carrier {
    end: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

pub(crate) fn rig(kind: Kind, config: TimerConfig) -> Rig {
    let Some(runtime) = kind.runtime() else {
        return Rig { timers: Timers::on_thread(config).unwrap(), carrier: None };
    };
    let (made, heap) = mpsc::channel();
    let (end, ends) = oneshot::channel();
    let thread = std::thread::spawn(move || {
        runtime.block_on(async {
            made.send(Timers::on_task(config).unwrap()).unwrap();
            let _ = ends.await;
        });
    });
    let timers = heap.recv_timeout(HANG).unwrap();
    Rig { timers, carrier: Some(Carrier { end: Some(end), thread: Some(thread) }) }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        drop(self.end.take());
        let ended = self.thread.take().is_none_or(|thread| thread.join().is_ok());
        assert!(ended || std::thread::panicking(), "the runtime panicked");
    }
}

/// Runs `body` with a heap of each kind.
pub(crate) fn on_every_kind(config: TimerConfig, body: impl Fn(&Timers, Kind)) {
    for kind in Kind::ALL {
        let rig = rig(kind, config);
        body(&rig.timers, kind);
    }
}

/// Waits until it is so.
pub(crate) fn soon(mut is_so: impl FnMut() -> bool) {
    let began = std::time::Instant::now();
    while !is_so() {
        assert!(began.elapsed() < HANG, "what was waited for has not come in a minute");
        std::thread::sleep(Duration::from_micros(100));
    }
}

/// Where a callback waits.
#[derive(Clone)]
pub(crate) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub(crate) fn new() -> Self {
        Gate(Arc::new((Mutex::new(false), Condvar::new())))
    }

    pub(crate) fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    pub(crate) fn pass(&self) {
        let waited = self.0.1.wait_timeout_while(self.0.0.lock().unwrap(), HANG, |is_open| !*is_open);
        assert!(!waited.unwrap().1.timed_out(), "the gate was not opened in a minute");
    }
}

/// A heap whose one callback is at the gate.
pub(crate) fn gated(kind: Kind, config: TimerConfig) -> (Rig, Gate, TimerId) {
    let rig = rig(kind, config);
    let gate = Gate::new();
    let (entered, inside) = mpsc::channel();
    let theirs = gate.clone();
    let callback = move |_: &Timers, _: TimerId| {
        entered.send(()).unwrap();
        theirs.pass();
    };
    let id = rig.timers.schedule_after(Duration::ZERO, callback).unwrap();
    inside.recv_timeout(HANG).unwrap();
    (rig, gate, id)
}
