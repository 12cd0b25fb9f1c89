//! The objects of a thread loop are used without its lock, and it is stopped with the lock held.
//!
//! Upstream: baresip, `modules/pipewire`; #3064, #3084 (06d5432), which is incomplete. PipeWire, `thread-loop.h` and
//! `spa/plugins/support/loop.c`: `loop_check` (74831aa, from 0.3.68 on).
//!
//! Threads: *main* loads the module, which starts the loop, connects and scans the registry; the *loop* polls, and has the lock while it
//! dispatches; the *server* tells of devices; the *data* thread calls a stream's process. Lock: the loop's, which is recursive. The rule:
//! whoever calls an object of the loop is the loop's thread, or has the lock; whoever stops the loop has it not, as that joins a
//! thread that needs it. `loop_check` looks for the first: called from elsewhere while the loop runs, and nobody had the lock, it is
//! "operation not permitted"; another had it, "device or resource busy".
//!
//! The failing interleavings. `shipped`: main starts the loop; the loop enters; main connects without the lock. `-errors`, `-params`: an error
//! path returns with the lock held, and closing the module joins the loop, which wants it: no race is needed. `-destructor`, `-list`: main
//! flushes, or reads, the plain list of devices while the loop's listener adds one. `-process`: the data thread's early return keeps its
//! buffer; after as many as there are the device has none to fill, and who reads waits for ever.
//!
//! The driver gives main its operations, beside the server's. The property: no call comes from the wrong context, what is plain is ordered,
//! closing ends, and a stream is heard.

mod historic;
mod production;
mod starved;
mod world;

use crate::exhibit::{Exhibit, Expected, MustSee, On, Sequential, Subject, Timers};
use historic::{Module, Version};
use sim::sync::Arc;
use sim::time::Duration;
use sim::verdict::Detector;
use sim::{Bounds, thread};
use starved::Capture;

/// From one call of a process to the next.
const PERIOD: Duration = Duration::from_millis(20);
/// The device that the server tells of.
const DEVICE: u32 = 31;

/// What main does with the module between its loading and its unloading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Scan,
    Play,
    Find,
}

fn perform(module: &Module, operation: Operation) {
    match operation {
        // Who is told of an error unloads the module.
        Operation::Scan => _ = module.scan(),
        Operation::Play => _ = module.play(),
        Operation::Find => _ = module.find(DEVICE),
    }
}

/// The driver: main loads the module, does its operations and unloads it; the server tells of a device meanwhile.
fn drive(version: Version, operations: &[Operation], has_server: bool) {
    let module = Module::alloc(version);
    let server = has_server.then(|| {
        let module = Arc::clone(&module);
        thread::Builder::new().name("server").spawn(move || module.on_server(DEVICE)).expect("the engine makes threads")
    });
    operations.iter().for_each(|operation| perform(&module, *operation));
    module.close();
    if let Some(server) = server {
        server.join().expect("a panic ends the run");
    }
}

/// The same, and the server tells of its device at a time of its own, of which the listener is through before main goes on.
fn drive_in_sequence(version: Version, operations: &[Operation], has_server: bool) {
    let module = Module::alloc(version);
    let at = if has_server { sim::choose(operations.len() as u64 + 1) as usize } else { usize::MAX };
    for (number, operation) in operations.iter().enumerate() {
        if number == at {
            module.on_server(DEVICE);
            module.wait_until_told(1);
        }
        perform(&module, *operation);
    }
    if at == operations.len() {
        module.on_server(DEVICE);
        module.wait_until_told(1);
    }
    module.close();
}

macro_rules! pair {
    ($name:literal, $about:literal, $version:ident, $twin:literal, $mended:literal, $change:ident, [$($operation:ident),*], server $server:literal,
     $detector:ident, fewest $fewest:literal, $sequential:expr) => {{
        fn body() {
            drive(historic::$version, &[$(Operation::$operation),*], $server);
        }
        fn in_sequence() {
            drive_in_sequence(historic::$version, &[$(Operation::$operation),*], $server);
        }
        fn twin() {
            drive(historic::$change, &[$(Operation::$operation),*], $server);
        }
        fn twin_in_sequence() {
            drive_in_sequence(historic::$change, &[$(Operation::$operation),*], $server);
        }
        let caught = Expected::Caught(Detector::$detector);
        let clean = vec![On::loom(Expected::Clean), On::shuttle(Expected::Clean)];
        [
            Subject {
                fewest_preemptions: Some($fewest),
                sequential: $sequential,
                in_sequence: Some(in_sequence),
                ..Subject::new($name, $about, vec![On::loom(caught), On::shuttle(caught)], body)
            },
            Subject { in_sequence: Some(twin_in_sequence), ..Subject::new($twin, $mended, clean, twin) },
        ]
    }};
}

/// A stream whose application is ready some periods after it was opened, or before.
fn starved(requeues: bool, is_late: bool) {
    let prepared = if is_late { 3 * PERIOD } else { Duration::ZERO };
    Capture::open(requeues).drive(prepared);
}

fn process_pair() -> [Subject; 2] {
    const NO_RACE: &str = "as many periods without a handler as there are buffers are enough";
    [
        Subject {
            fewest_preemptions: Some(0),
            sequential: Sequential::Fails(NO_RACE),
            in_sequence: Some(|| starved(false, sim::choose(2) == 1)),
            ..Subject::new(
                "patched-06d5432-process",
                "an early return of the process keeps its buffer, until the device has none",
                vec![On::shuttle(Expected::Caught(Detector::Hang))],
                || starved(false, true),
            )
        },
        Subject {
            in_sequence: Some(|| starved(true, sim::choose(2) == 1)),
            ..Subject::new(
                "patched-06d5432-process-twin",
                "the early return queues its buffer again",
                vec![On::shuttle(Expected::Clean)],
                || starved(true, true),
            )
        },
    ]
}

/// The exhibit.
pub fn exhibit() -> Exhibit {
    let mut subjects = Vec::new();
    subjects.extend(pair!(
        "shipped", "the context is connected without the lock, and the scan takes it too late", SHIPPED,
        "shipped-twin", "both have it before their first call", SHIPPED_TWIN,
        [Scan], server false, Invariant, fewest 1, Sequential::Clean
    ));
    subjects.extend(pair!(
        "shipped-scan", "connected with the lock, and the scan takes it after its first call", SHIPPED_SCAN,
        "shipped-scan-twin", "the scan has it before its first call", SHIPPED_TWIN,
        [Scan], server false, Invariant, fewest 1, Sequential::Clean
    ));
    subjects.extend(pair!(
        "patched-06d5432-errors", "the scan returns an error and keeps the lock, unloading joins the loop", ERRORS,
        "patched-06d5432-errors-twin", "the error path gives the lock back", ERRORS_TWIN,
        [Scan], server false, Deadlock, fewest 0,
        Sequential::Fails("an error is enough: whenever the loop's thread runs next it wants the lock")
    ));
    subjects.extend(pair!(
        "patched-06d5432-params", "a player without parameters skips the unlock, unloading joins the loop", PARAMS,
        "patched-06d5432-params-twin", "that path gives the lock back", PARAMS_TWIN,
        [Scan, Play], server false, Deadlock, fewest 0,
        Sequential::Fails("an error is enough: whenever the loop's thread runs next it wants the lock")
    ));
    subjects.extend(pair!(
        "patched-06d5432-destructor", "the list of devices is flushed without the lock, and the loop still runs", DESTRUCTOR,
        "patched-06d5432-destructor-twin", "it is flushed under the lock", DESTRUCTOR_TWIN,
        [Scan], server true, Race, fewest 2, Sequential::Clean
    ));
    subjects.extend(pair!(
        "patched-06d5432-list", "the list of devices is read without the lock", LIST,
        "patched-06d5432-list-twin", "it is read under the lock", LIST_TWIN,
        [Scan, Find], server true, Race, fewest 2, Sequential::Clean
    ));
    subjects.extend(process_pair());
    subjects.extend(production::pairs());
    subjects.push(Subject::new(
        "stack-invoke-restart",
        "ours: invoke || stop and start, where time is up only if nothing else can happen",
        vec![On::loom(Expected::Clean).within(Bounds { firings: 0, ..Bounds::default() })],
        production::invoke_beside_restart,
    ));
    subjects.push(Subject {
        must_see: Some(MUST_SEE),
        ..Subject::new(
            "stack",
            "our loop: eight threads, each with any two operations, and any in its callbacks",
            vec![On::loom(Expected::Clean).body(production::connect_scan_close), On::shuttle(Expected::Clean)],
            production::any,
        )
    });
    Exhibit {
        name: "thread-loop",
        story: "a thread loop's objects used without its lock, and the loop stopped with it (baresip #3084, PipeWire)",
        subjects,
    }
}

/// What the schedules of our loop must have seen. It has one thread, so one callback at a time.
const MUST_SEE: MustSee = MustSee {
    operations: &[
        "loop.callback",
        "loop.start",
        "loop.stop",
        "loop.destroy",
        "loop.wait",
        "loop.signal_and_wait",
        "loop.invoke",
        "loop.post",
        "stream.process",
        "user.lock",
        "user.nested",
        "user.signal",
        "user.accept",
        "user.devices",
        "user.enumerate",
        "user.stream",
    ],
    never: &[["loop.callback", "loop.callback"]],
    not_driven: &[],
    timers: Timers::Both,
};
