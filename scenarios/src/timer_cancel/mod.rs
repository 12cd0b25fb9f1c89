//! A timer is cancelled while its callback runs, or by two threads at once.
//!
//! Upstream: pjproject, `pjlib/src/pj/timer.c`, #2172 (c0687a6), #2176; re, `src/tmr/tmr.c`, #1048 (ba844d9), #1504 (53497dc).
//!
//! pjproject has one heap under one lock. Threads: a *worker* polls it, which takes the entry that is due out of the heap, gives the
//! lock back, and calls the entry; *main* cancels. An entry holds a reference to what its callback uses; poll drops it after the
//! callback, cancel as it takes the entry out. As #2172 reports it, cancel drops it though it found nothing to take out. The failing
//! interleaving: the worker takes the entry out; main cancels, finds nothing, and drops the reference; the callback uses what it
//! refers to, and the worker drops the reference again. (The poll of that day takes the reference from the entry before it gives the
//! lock back, and upstream's own stress test did not see a second drop, #2176. The subject leaves it there until the callback has
//! returned, as the report has it.)
//!
//! re has a list for each thread, with a lock for each list, and a timer says in plain fields which list it is in. Threads: *main*,
//! whose list the timer is in, and a *worker*; both cancel. Who cancels reads the fields to know which lock to take, takes the timer
//! out under that lock, and writes them under the lock of its own list: the two share no lock. The failing interleaving: both
//! have read which list the timer is in when one of them writes it. #1048 put an atomic flag before it, which is read, and then
//! written: both may read that the timer is active. #1504 made the field an atomic one that says which lock to take.
//!
//! The driver gives each thread its operations. The property: a timer is called once or prevented once, and not called after it
//! was prevented or after the heap has ended; its reference is dropped once, and its fields are accessed in order.

mod heap;
mod list;
mod production;
mod random;

use crate::exhibit::{Exhibit, Expected, MustSee, On, Sequential, Subject, Timers};
use crate::timer_oracle::{Heap as Watched, Operation as Do, Plan};
use heap::TimerHeap;
use list::TimerLists;
use production::Production;
pub(crate) use random::on_threads;
use sim::invariant;
use sim::sync::{Arc, Mutex};
use sim::thread;
use sim::time::Duration;
use sim::verdict::Detector;
use stack::timer::TimerConfig;

/// When the timer is due.
const DELAY: Duration = Duration::from_millis(20);

/// What a clean row of our timers must have seen, on a thread and on a task. A heap has one callback at a time.
pub(crate) const MUST_SEE: MustSee = MustSee {
    operations: &["timer.schedule", "timer.cancel", "timer.cancel_and_wait", "timer.close", "timer.callback"],
    never: &[["timer.callback", "timer.callback"]],
    not_driven: &[],
    timers: Timers::Both,
};

/// What a thread of the driver does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Cancel,
    /// The timer is due, and is called if it is there.
    Poll,
}

/// Which thread it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Main,
    Worker,
}

/// A heap with one timer: every version of the code.
trait Heap: Send + Sync + Sized + 'static {
    /// The timer tells `probe` of its call.
    fn open(probe: Probe) -> Arc<Self>;
    /// True if the timer was prevented.
    fn cancel(&self, who: Who) -> bool;
    fn poll(&self);
    fn end(&self);
}

/// Sees what the property is about.
#[derive(Clone)]
struct Probe(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    called: bool,
    cancels: u32,
    prevented: bool,
    ended: bool,
}

impl Probe {
    fn new() -> Self {
        Probe(Arc::new(Mutex::new(Seen::default())))
    }

    fn called(&self) {
        let mut seen = self.0.lock();
        invariant!(!seen.prevented, "the timer is called after it was prevented");
        invariant!(!seen.called, "the timer is called twice");
        invariant!(!seen.ended, "the timer is called after its heap has ended");
        seen.called = true;
    }

    fn cancels(&self) {
        self.0.lock().cancels += 1;
    }

    fn cancelled(&self, prevented: bool) {
        let mut seen = self.0.lock();
        if prevented {
            invariant!(!seen.called, "the timer was called, and is said to be prevented");
            invariant!(!seen.prevented, "the timer is prevented twice");
            seen.prevented = true;
        }
    }

    fn ended(&self) {
        self.0.lock().ended = true;
    }
}

fn perform<T: Heap>(heap: &T, probe: &Probe, who: Who, operation: Operation) {
    match operation {
        Operation::Cancel => {
            probe.cancels();
            let prevented = heap.cancel(who);
            probe.cancelled(prevented);
        }
        Operation::Poll => heap.poll(),
    }
}

/// The driver: main and the worker do their operations at once.
fn drive<T: Heap>(main: Operation, worker: Operation) {
    let probe = Probe::new();
    let heap = T::open(probe.clone());
    let other = {
        let (heap, probe) = (Arc::clone(&heap), probe.clone());
        let work = move || perform(&*heap, &probe, Who::Worker, worker);
        thread::Builder::new().name("worker").spawn(work).expect("the engine makes threads")
    };
    perform(&*heap, &probe, Who::Main, main);
    other.join().expect("a panic ends the run");
    heap.end();
    probe.ended();
}

/// The same operations one after the other, in an order that shuttle enumerates.
fn drive_in_sequence<T: Heap>(main: Operation, worker: Operation) {
    let probe = Probe::new();
    let heap = T::open(probe.clone());
    let mut operations = [(Who::Main, main), (Who::Worker, worker)];
    if sim::choose(2) == 1 {
        operations.reverse();
    }
    for (who, operation) in operations {
        perform(&*heap, &probe, who, operation);
    }
    heap.end();
    probe.ended();
}

macro_rules! pair {
    ($version:ty, $name:literal, $about:literal, $mended:ty, $twin:literal, $about_twin:literal, $main:ident, $worker:ident,
     $detector:ident, fewest $fewest:literal) => {{
        fn body() {
            drive::<$version>(Operation::$main, Operation::$worker);
        }
        fn in_sequence() {
            drive_in_sequence::<$version>(Operation::$main, Operation::$worker);
        }
        fn twin() {
            drive::<$mended>(Operation::$main, Operation::$worker);
        }
        fn twin_in_sequence() {
            drive_in_sequence::<$mended>(Operation::$main, Operation::$worker);
        }
        let caught = Expected::Caught(Detector::$detector);
        [
            Subject {
                fewest_preemptions: Some($fewest),
                in_sequence: Some(in_sequence),
                ..threaded($name, $about, caught, body)
            },
            Subject { in_sequence: Some(twin_in_sequence), ..threaded($twin, $about_twin, Expected::Clean, twin) },
        ]
    }};
}

fn threaded(name: &'static str, about: &'static str, expected: Expected, body: fn()) -> Subject {
    let on = vec![On::loom(expected), On::shuttle(expected)];
    Subject { name, about, on, fewest_preemptions: None, sequential: Sequential::Clean, body, in_sequence: None, must_see: None }
}

/// One of a pair of operations on a heap that has a timer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Paired {
    Do(Do),
    /// Nothing: the thread's handle is dropped.
    Drop,
}

impl Paired {
    const fn schedules(self) -> bool {
        matches!(self, Paired::Do(Do::Schedule(..)))
    }
}

/// The driver of pairs: a worker does the one, main the other, and then both handles go.
fn drive_pair(of_worker: Paired, of_main: Paired) {
    let heap = Watched::on_thread(TimerConfig::default());
    // Where both schedule, there are two without it, and a third would make runs of no other kind.
    if !(of_worker.schedules() && of_main.schedules()) {
        heap.perform(Do::Schedule(DELAY, Plan::Nothing));
    }
    let theirs = heap.clone();
    let work = move || match of_worker {
        Paired::Do(operation) => theirs.perform(operation),
        Paired::Drop => theirs.drop_handle(),
    };
    let worker = thread::Builder::new().name("worker").spawn(work).expect("the engine makes threads");
    match of_main {
        Paired::Do(operation) => {
            heap.perform(operation);
            worker.join().expect("a panic ends the run");
            heap.end();
        }
        Paired::Drop => {
            heap.drop_handle();
            worker.join().expect("a panic ends the run");
        }
    }
}

fn pairs() -> Vec<Subject> {
    const fn schedule(plan: Plan) -> Paired {
        Paired::Do(Do::Schedule(Duration::ZERO, plan))
    }
    crate::pairs!(drive_pair, [
        "schedule" => schedule(Plan::Nothing),
        "reschedule" => schedule(Plan::Reschedule),
        "cancel-itself" => schedule(Plan::CancelItselfAndWait),
        "close-itself" => schedule(Plan::Do(crate::timer_oracle::Within::Close)),
        "cancel" => Paired::Do(Do::Cancel),
        "cancel-and-wait" => Paired::Do(Do::CancelAndWait),
        "close" => Paired::Do(Do::Close),
        "drop" => Paired::Drop,
    ])
}

/// The exhibit.
pub fn exhibit() -> Exhibit {
    let mut subjects = Vec::new();
    subjects.extend(pair!(
        TimerHeap<false>,
        "c0687a6",
        "cancel finds that poll has taken the timer out, and drops its reference all the same",
        TimerHeap<true>,
        "c0687a6-twin",
        "cancel drops the reference of a timer that it has found",
        Cancel,
        Poll,
        DoubleRelease,
        fewest 2
    ));
    subjects.extend(pair!(
        TimerLists<false, false>,
        "ba844d9",
        "two threads cancel a timer, and read which lock guards it from the timer itself",
        TimerLists<false, true>,
        "ba844d9-twin",
        "they take the lock of its list without a look at it",
        Cancel,
        Cancel,
        Race,
        fewest 1
    ));
    subjects.extend(pair!(
        TimerLists<true, false>,
        "patched-ba844d9",
        "an atomic flag says that the timer is active, and both read it before one writes it",
        TimerLists<true, true>,
        "patched-ba844d9-twin",
        "the flag is read and written in one step",
        Cancel,
        Cancel,
        Race,
        fewest 1
    ));
    subjects.extend([
        threaded("stack-cancel-poll", "our timers: cancel || the callback", Expected::Clean, || {
            drive::<Production>(Operation::Cancel, Operation::Poll);
        }),
        threaded("stack-cancel-twice", "our timers: cancel || cancel || the callback", Expected::Clean, || {
            drive::<Production>(Operation::Cancel, Operation::Cancel);
        }),
    ]);
    subjects.extend(pairs());
    subjects.extend(random::subjects());
    Exhibit {
        name: "timer-cancel",
        story: "a timer is cancelled while its callback runs, or by two threads at once (pjproject #2172, re #1048)",
        subjects,
    }
}
