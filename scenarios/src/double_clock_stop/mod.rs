//! The media clock of a DTLS-SRTP transport is stopped by two threads at once.
//!
//! Upstream: pjproject, `pjmedia/src/pjmedia/clock_thread.c` and `transport_srtp_dtls.c`; #3298, #3299, #3304 (950081c), #3321
//! (c43af43), #3732 (969bec9), #3898 and #3901 (c0de1a4), #3905 (86b7dd4), #5002 (dad6e1d), #5242.
//!
//! Threads: the *clock* ticks every 20 ms and calls back into the transport, which retransmits and may complete the handshake; the
//! *socket* worker gives the transport each datagram, and the one that completes the handshake stops the clock; the *application*
//! stops the media or destroys the transport when the call ends, and may start it again. Locks: the transport's own, which
//! upstream takes and drops differently in every version, and none in the clock until dad6e1d.
//!
//! The failing interleaving as it shipped: the socket completes the handshake and drops the lock; the application hangs up; both
//! see that the clock has a thread, both join it.
//!
//! Across a network the two are a BYE and a DTLS close that cross; `crossing` tells that, with tasks, on shuttle and on turmoil.
//!
//! The driver gives each thread its operations. The property: the clock has one thread at a time, nothing is called once the
//! transport has ended, every stop ends within its two seconds, and every resource is released once and not used after.

mod crossing;
mod historic;
mod historic_task;
mod production;
mod production_task;

use crate::exhibit::{Exhibit, Expected, MustSee, On, Sequential, Subject, Timers};
use historic::Historic;
use production::Production;
use sim::sync::{Arc, Mutex};
use sim::thread::{self, ThreadId};
use sim::time::{self, Duration};
use sim::verdict::Detector;
use sim::{Bounds, invariant};

/// From one tick of the clock to the next.
const TICK: Duration = Duration::from_millis(20);
/// How often the driver destroys a transport whose callback does not return.
const DESTROYS_MAX: u32 = 8;
/// What stopping allows itself.
const STOP_DEADLINE: Duration = Duration::from_secs(2);

/// What a clean row of our clock must have seen, on a thread and on a task. A clock has one callback at a time.
const MUST_SEE: MustSee = MustSee {
    operations: &["clock.callback", "clock.start", "clock.stop", "clock.destroy"],
    never: &[["clock.callback", "clock.callback"]],
    not_driven: &[],
    timers: Timers::Both,
};

/// What a thread of the driver does to the transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    /// The application starts the media, or starts it again.
    Start,
    /// The application starts it again when the first tick has had its time.
    StartAfterTick,
    /// The application stops the media.
    Stop,
    /// The application destroys the transport.
    Destroy,
    /// Nothing, until the next tick is due.
    Pause,
    /// The socket gets the datagram that completes the handshake.
    Datagram,
}

/// A transport with a clock: every version of the code.
trait Transport: Send + Sync + Sized + 'static {
    /// Makes a transport whose clock does not run yet and reports each callback to `probe`.
    fn open(probe: Probe) -> Arc<Self>;
    fn start(&self);
    fn stop(&self);
    /// False if a callback still goes on, and the transport is to be destroyed again.
    fn destroy(&self) -> bool;
    fn on_datagram(&self);
}

/// Sees what the property is about.
#[derive(Clone)]
struct Probe(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    /// The threads that have called back; only the last may call again.
    callers: Vec<ThreadId>,
    /// The clock threads that are in their loops, where the subject tells.
    alive: Vec<ThreadId>,
    closed: bool,
}

impl Probe {
    fn new() -> Self {
        Probe(Arc::new(Mutex::new(Seen::default())))
    }

    /// The clock calls back.
    fn ticked(&self) {
        let id = thread::id();
        let mut seen = self.0.lock();
        invariant!(!seen.closed, "the clock calls back after its transport was destroyed");
        invariant!(seen.alive.iter().all(|alive| *alive == id), "two clock threads run");
        match seen.callers.iter().position(|caller| *caller == id) {
            None => seen.callers.push(id),
            Some(position) => {
                invariant!(
                    position + 1 == seen.callers.len(),
                    "two clock threads run: an older one calls back after a newer one"
                );
            }
        }
    }

    /// A clock thread enters its loop.
    fn began(&self) {
        self.0.lock().alive.push(thread::id());
    }

    /// A clock thread has left its loop.
    fn ended(&self) {
        let id = thread::id();
        self.0.lock().alive.retain(|alive| *alive != id);
    }

    fn close(&self) {
        self.0.lock().closed = true;
    }
}

fn perform<T: Transport>(transport: &T, operation: Operation) {
    match operation {
        Operation::Start => transport.start(),
        Operation::StartAfterTick => {
            time::sleep(TICK);
            transport.start();
        }
        Operation::Pause => time::sleep(TICK),
        Operation::Stop => {
            let _operation = sim::operation("transport.stop", STOP_DEADLINE);
            transport.stop();
        }
        Operation::Destroy => {
            transport.destroy();
        }
        Operation::Datagram => {
            let _operation = sim::operation("transport.on_datagram", STOP_DEADLINE);
            transport.on_datagram();
        }
    }
}

/// The driver: the clock runs, the application and the socket do their operations at once, and the transport is destroyed.
fn drive<T: Transport>(application: &[Operation], socket: &[Operation]) {
    let probe = Probe::new();
    let transport = T::open(probe.clone());
    transport.start();
    let worker = (!socket.is_empty()).then(|| {
        let (transport, operations) = (Arc::clone(&transport), socket.to_vec());
        let work = move || operations.into_iter().for_each(|operation| perform(&*transport, operation));
        thread::Builder::new().name("socket").spawn(work).expect("the engine makes threads")
    });
    for &operation in application {
        perform(&*transport, operation);
    }
    if let Some(worker) = worker {
        worker.join().expect("a panic ends the run");
    }
    end(&*transport, &probe);
}

/// The same operations one after the other, in an order that the engine `cases` or shuttle enumerates. The clock has time for a
/// tick between two of them.
fn drive_in_sequence<T: Transport>(application: &[Operation], socket: &[Operation]) {
    let probe = Probe::new();
    let transport = T::open(probe.clone());
    transport.start();
    let (mut application, mut socket) = (application.iter().peekable(), socket.iter().peekable());
    while application.peek().is_some() || socket.peek().is_some() {
        let both = application.peek().is_some() && socket.peek().is_some();
        let from_socket = if both { sim::choose(2) == 1 } else { socket.peek().is_some() };
        let operation = if from_socket { socket.next() } else { application.next() };
        if let Some(&operation) = operation {
            perform(&*transport, operation);
        }
        if sim::choose(2) == 1 {
            time::sleep(TICK + TICK / 2);
        }
    }
    end(&*transport, &probe);
}

fn end<T: Transport>(transport: &T, probe: &Probe) {
    // Loom's timers come as early as they like, so the deadline of a destroy may pass while a callback is in its middle.
    let ended = (0..DESTROYS_MAX).any(|_| transport.destroy());
    invariant!(ended, "the transport was not destroyed in {DESTROYS_MAX} times the deadline");
    probe.close();
    // A clock thread that is still there would call back now.
    time::sleep(TICK + TICK);
}

macro_rules! subject {
    ($name:literal, $about:literal, $version:expr, [$($application:ident),*], [$($socket:ident),*], $on:expr, $fewest:expr, $sequential:expr) => {{
        fn body() {
            historic::choose($version);
            drive::<Historic>(&[$(Operation::$application),*], &[$(Operation::$socket),*]);
        }
        fn in_sequence() {
            historic::choose($version);
            drive_in_sequence::<Historic>(&[$(Operation::$application),*], &[$(Operation::$socket),*]);
        }
        Subject {
            name: $name,
            about: $about,
            on: $on,
            fewest_preemptions: $fewest,
            sequential: $sequential,
            body,
            in_sequence: Some(in_sequence),
            must_see: None,
        }
    }};
}

/// A historic subject and its twin: the same with the one change that mends it.
macro_rules! pair {
    ($name:literal, $about:literal, $version:expr, $twin:literal, $mended:literal, $change:expr,
     [$($application:ident),*], [$($socket:ident),*],
     $detector:ident on [$($engine:ident),* $(; turmoil as $crossing:path, $crossing_twin:path)?], fewest $fewest:expr, $sequential:expr) => {
        [
            subject!($name, $about, $version, [$($application),*], [$($socket),*],
                vec![$(On::$engine(Expected::Caught(Detector::$detector)),)* $(On::turmoil(Expected::Caught(Detector::$detector)).body($crossing))?],
                $fewest, $sequential),
            subject!($twin, $mended, $change, [$($application),*], [$($socket),*],
                vec![$(On::$engine(Expected::Clean),)* $(On::turmoil(Expected::Clean).body($crossing_twin))?], None, Sequential::Clean),
        ]
    };
}

/// The exhibit.
pub fn exhibit() -> Exhibit {
    let mut subjects = Vec::new();
    subjects.extend(pair!(
        "shipped-join", "two stops both join the clock's thread", historic::SHIPPED_JOIN,
        "shipped-join-twin", "the thread is taken before it is joined", historic::SHIPPED_JOIN.taking_the_thread(),
        [Stop], [Datagram], DoubleRelease on [loom, shuttle; turmoil as crossing::join, crossing::join_twin], fewest Some(1), Sequential::Clean
    ));
    subjects.extend(pair!(
        "shipped-destroy", "a stop resets the pool that destroy has released", historic::SHIPPED_DESTROY,
        "shipped-destroy-twin", "stop and destroy exclude each other", historic::SHIPPED_DESTROY.excluding_stops(),
        [Destroy], [Datagram], UseAfterRelease on [loom, shuttle; turmoil as crossing::destroy, crossing::destroy_twin], fewest Some(1), Sequential::Clean
    ));
    subjects.extend(pair!(
        "before-950081c", "a stop from the callback lets the thread that is being joined go on", historic::BEFORE_950081C,
        "before-950081c-twin", "a stop from the callback leaves the thread to end", historic::BEFORE_950081C.quitting_for_good(),
        [Stop], [], Hang on [shuttle], fewest Some(2), Sequential::Clean
    ));
    subjects.extend(pair!(
        "patched-969bec9", "the clock reads a plain flag that the socket writes", historic::PATCHED_969BEC9,
        "patched-969bec9-twin", "the flag is atomic", historic::PATCHED_969BEC9.with_atomic_flag(),
        [], [Datagram], Race on [loom, shuttle], fewest Some(1), Sequential::Clean
    ));
    subjects.extend(pair!(
        "patched-86b7dd4-flush", "the clock wants the lock again after a retransmission, the socket joins it holding the lock",
        historic::PATCHED_86B7DD4_FLUSH,
        "patched-86b7dd4-flush-twin", "the clock tries for the lock again and goes without", historic::PATCHED_86B7DD4_FLUSH.trying_again(),
        [], [Datagram], Deadlock on [loom, shuttle], fewest Some(1), Sequential::Clean
    ));
    subjects.extend(pair!(
        "patched-86b7dd4-completion", "the clock completes the handshake and wants the lock for the keys, the socket joins it holding the lock",
        historic::PATCHED_86B7DD4_COMPLETION,
        "patched-86b7dd4-completion-twin", "the clock tries for the lock and leaves the keys to the socket", historic::PATCHED_86B7DD4_COMPLETION.trying_again(),
        [], [Datagram], Deadlock on [loom, shuttle], fewest Some(1), Sequential::Clean
    ));
    subjects.extend(pair!(
        "patched-86b7dd4-hangup", "the clock wants the lock again after a retransmission, the application joins it holding the lock",
        historic::PATCHED_86B7DD4_HANGUP,
        "patched-86b7dd4-hangup-twin", "the clock tries for the lock again and goes without", historic::PATCHED_86B7DD4_HANGUP.trying_again(),
        [Stop], [], Deadlock on [loom, shuttle], fewest Some(2), Sequential::Clean
    ));
    subjects.extend(pair!(
        "patched-dad6e1d", "the lock of stop lies in the pool that stop resets", historic::PATCHED_DAD6E1D,
        "patched-dad6e1d-twin", "the lock lies in the caller's pool", historic::PATCHED_DAD6E1D.with_lock_outside(),
        [Stop, Start, Stop], [], UseAfterRelease on [loom, shuttle], fewest Some(0),
        Sequential::Fails("start, stop, start, stop is enough: the second start puts a thread over the lock")
    ));
    subjects.extend(pair!(
        "restart", "start takes no lock and revives a thread that was to end", historic::RESTART,
        "restart-twin", "start joins the thread that was to end", historic::RESTART.joining_leftovers(),
        [StartAfterTick], [], Invariant on [shuttle], fewest Some(2), Sequential::Clean
    ));
    subjects.extend(production_subjects());
    Exhibit {
        name: "double-clock-stop",
        story: "two threads stop a media clock at once, and each published fix leaves a hole (pjproject, 2022 to 2026)",
        subjects,
    }
}

macro_rules! production_subject {
    ($name:literal, $about:literal, $plan:expr, [$($application:ident),*], [$($socket:ident),*]) => {{
        fn body() {
            production::choose($plan);
            drive::<Production>(&[$(Operation::$application),*], &[$(Operation::$socket),*]);
        }
        Subject {
            name: $name,
            about: $about,
            // With three, which `ci/deep` has, each takes minutes.
            on: vec![On::loom(Expected::Clean).within(Bounds { preemptions: Some(2), ..Bounds::default() }), On::shuttle(Expected::Clean)],
            fewest_preemptions: None,
            sequential: Sequential::Clean,
            body,
            in_sequence: None,
            must_see: None,
        }
    }};
}

fn production_subjects() -> Vec<Subject> {
    use production::InCallback;
    fn any_body() {
        production::choose(InCallback::ALL[sim::choose(InCallback::ALL.len() as u64) as usize]);
        let pick = || match sim::choose(5) {
            0 => Operation::Pause,
            4 => Operation::Stop,
            1 => Operation::Start,
            2 => Operation::Destroy,
            _ => Operation::Datagram,
        };
        let (application, socket) = ([pick(), pick(), pick()], [pick(), pick(), pick()]);
        drive::<Production>(&application, &socket);
    }
    let mut subjects = vec![
        production_subject!("stack-stop-stop", "our clock: stop || stop", InCallback::Nothing, [Stop], [Datagram]),
        production_subject!("stack-stop-destroy", "our clock: destroy || stop", InCallback::Nothing, [Destroy], [Datagram]),
        production_subject!("stack-stop-start", "our clock: start || stop", InCallback::Nothing, [Start], [Datagram]),
        production_subject!("stack-selfstop-stop", "our clock: stop || a stop from the callback", InCallback::Stop, [Stop], []),
        production_subject!(
            "stack-selfstop-destroy",
            "our clock: destroy || a stop from the callback",
            InCallback::Stop,
            [Destroy],
            []
        ),
    ];
    subjects.extend(production_task::subjects());
    subjects.extend(crossing::subjects());
    subjects.push(Subject {
        name: "stack",
        about: "our clock: any three operations of each thread, and any of the callback",
        on: vec![On::shuttle(Expected::Clean).schedules(20_000), On::turmoil(Expected::Clean).body(crossing::stack)],
        fewest_preemptions: None,
        sequential: Sequential::Clean,
        body: any_body,
        in_sequence: None,
        must_see: Some(MUST_SEE),
    });
    subjects
}
