//! A dialog is locked after the application's mutex, a transaction before its dialog.
//!
//! Upstream: pjproject, `pjsip/src/pjsua-lib/pjsua_call.c`, `pjsip/src/pjsip/sip_dialog.c` and `sip_transaction.c`, `pjlib/src/pj/lock.c`; the
//! order of PJSUA-LIB's locks as its documentation has it; #4755, #4759 (reverted by #4797), #4893.
//!
//! Threads: the *application* hangs up; the *worker* brings a response into a dialog, whose state the application is called back about; the
//! *timer* ends a transaction of that dialog. Locks: the dialog's, the transaction's, and the application's own mutex, which comes
//! last in the order.
//!
//! The failing interleavings. `inverted`: the application takes its mutex and calls in, which wants the dialog; the worker has the dialog
//! and calls back, which wants the mutex. `shipped-4755`: the worker has the dialog and wants the transaction, the timer has the
//! transaction and wants the dialog. `patched-4759`: the transaction's group lock takes the dialog's first, as a node of its chain; the
//! timer waits for it in the middle of the chain, and the worker, who has it, takes the node out and frees it.
//!
//! Across a network the response and the user's command cross; `crossing` tells that, with tasks.
//!
//! The driver gives each thread its operations. The property: every operation ends, the application is told once that its call is over,
//! and nothing is used after its end.

mod crossing;
mod historic;
mod production;

use crate::exhibit::{Exhibit, Expected, MustSee, On, Sequential, Subject, Timers};
use historic::{Chain, Inverted, Transactions};
use sim::Bounds;
use sim::sync::{Arc, Mutex};
use sim::thread;
use sim::time::Duration;
use sim::verdict::Detector;

/// What an operation allows itself.
const DEADLINE: Duration = Duration::from_secs(5);

/// What a thread of the driver does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    /// The application hangs up.
    HangUp,
    /// The worker brings a response in.
    Response,
    /// The worker looks whether the response to the BYE has come, and brings it in.
    ByeResponse,
    /// The transaction's timer fires.
    Timeout,
}

/// A call with its dialog and transaction: every version of the code.
trait Call: Send + Sync + Sized + 'static {
    fn open(application: Arc<Application>) -> Arc<Self>;
    fn hang_up(&self);
    fn on_response(&self);
    fn on_timeout(&self);
    /// After all threads have ended.
    fn close(&self);
}

/// The user's side: its own mutex, around what it was told.
#[derive(Default)]
struct Application {
    mutex: Mutex<Told>,
    /// The BYE was sent, and is answered some time.
    bye_sent: Mutex<bool>,
}

#[derive(Default)]
struct Told {
    states: u32,
    hung_up: bool,
}

impl Application {
    /// The callback.
    fn on_state(&self) {
        self.mutex.lock().states += 1;
    }
}

fn perform<C: Call>(call: &C, application: &Application, operation: Operation) {
    match operation {
        Operation::HangUp => {
            let _operation = sim::operation("call.hang_up", DEADLINE);
            call.hang_up();
            *application.bye_sent.lock() = true;
        }
        Operation::Response => {
            let _operation = sim::operation("call.on_response", DEADLINE);
            call.on_response();
        }
        Operation::ByeResponse => {
            if *application.bye_sent.lock() {
                call.on_response();
            }
        }
        Operation::Timeout => {
            let _operation = sim::operation("call.on_timeout", DEADLINE);
            call.on_timeout();
        }
    }
}

/// The driver: main does the first operation, another thread the second.
fn drive<C: Call>(main: Operation, other: Operation) {
    let application = Arc::new(Application::default());
    let call = C::open(Arc::clone(&application));
    let (theirs, its) = (Arc::clone(&call), Arc::clone(&application));
    let work = move || perform(&*theirs, &its, other);
    let worker = thread::Builder::new().name("worker").spawn(work).expect("the engine makes threads");
    perform(&*call, &application, main);
    worker.join().expect("a panic ends the run");
    call.close();
}

/// The same operations one after the other, in either order.
fn drive_in_sequence<C: Call>(main: Operation, other: Operation) {
    let application = Arc::new(Application::default());
    let call = C::open(Arc::clone(&application));
    let order = if sim::choose(2) == 0 { [main, other] } else { [other, main] };
    for operation in order {
        perform(&*call, &application, operation);
    }
    call.close();
}

macro_rules! pair {
    ($name:literal, $about:literal, $twin:literal, $mended:literal, $call:ident, [$main:ident, $other:ident],
     $detector:ident, fewest $fewest:literal, $sequential:ident $(, turmoil $crossing:expr, $crossing_twin:expr)?) => {{
        fn body() {
            drive::<$call<false>>(Operation::$main, Operation::$other);
        }
        fn in_sequence() {
            drive_in_sequence::<$call<false>>(Operation::$main, Operation::$other);
        }
        fn twin() {
            drive::<$call<true>>(Operation::$main, Operation::$other);
        }
        fn twin_in_sequence() {
            drive_in_sequence::<$call<true>>(Operation::$main, Operation::$other);
        }
        let caught = Expected::Caught(Detector::$detector);
        let on = vec![On::loom(caught), On::shuttle(caught), $($crossing)?];
        let mended = vec![On::loom(Expected::Clean), On::shuttle(Expected::Clean), $($crossing_twin)?];
        [
            Subject {
                fewest_preemptions: Some($fewest),
                sequential: Sequential::$sequential,
                in_sequence: Some(in_sequence),
                ..Subject::new($name, $about, on, body)
            },
            Subject { in_sequence: Some(twin_in_sequence), ..Subject::new($twin, $mended, mended, twin) },
        ]
    }};
}

/// The exhibit.
pub fn exhibit() -> Exhibit {
    let never_early = Bounds { firings: 0, ..Bounds::default() };
    let mut subjects = Vec::new();
    subjects.extend(pair!(
        "inverted", "the application takes its mutex and calls in, the worker has the dialog and calls back",
        "inverted-twin", "the application gives its mutex back before it calls in",
        Inverted, [HangUp, Response], Deadlock, fewest 1, Foreseen,
        turmoil On::turmoil(Expected::Caught(Detector::Deadlock)).body(crossing::inverted),
        On::turmoil(Expected::Clean).body(crossing::inverted_twin)
    ));
    subjects.push(crossing::in_turn());
    subjects.extend(pair!(
        "inverted-quiet", "the same, and the two are never at it at once: the response answers the BYE",
        "inverted-quiet-twin", "the application gives its mutex back before it calls in",
        Inverted, [HangUp, ByeResponse], PotentialDeadlock, fewest 0, Foreseen,
        turmoil On::turmoil(Expected::Caught(Detector::PotentialDeadlock)).within(never_early).body(crossing::quiet),
        On::turmoil(Expected::Clean).within(never_early).body(crossing::quiet_twin)
    ));
    subjects.extend(pair!(
        "shipped-4755", "a response locks the dialog and then its transaction, a timeout the other way round",
        "shipped-4755-twin", "the timeout takes the dialog first (#4893)",
        Transactions, [Response, Timeout], Deadlock, fewest 1, Foreseen
    ));
    subjects.extend(pair!(
        "patched-4759", "the dialog leaves the chain of a group lock in whose middle another thread waits",
        "patched-4759-twin", "who goes along the chain has a reference to each node",
        Chain, [Response, Timeout], UseAfterRelease, fewest 1, Clean
    ));
    subjects.extend(production::pairs());
    subjects.push(Subject {
        must_see: Some(MUST_SEE),
        ..Subject::new(
            "stack",
            "our endpoint: eight threads, each with any three operations, under an application that calls in with its mutex held",
            vec![
                On::loom(Expected::Clean).body(production::inverted),
                On::shuttle(Expected::Clean),
                On::turmoil(Expected::Clean).body(crossing::stack),
            ],
            production::any,
        )
    });
    Exhibit {
        name: "pjsua-lock-order",
        story: "locks taken against PJSUA-LIB's order: by the application, and between dialog and transaction (pjproject #4755 to #4893)",
        subjects,
    }
}

/// What the schedules of our endpoint must have seen.
const MUST_SEE: MustSee = MustSee {
    operations: &[
        "endpoint.make_call",
        "endpoint.hang_up",
        "endpoint.acquire",
        "endpoint.callback",
        "endpoint.close",
        "call.input",
        "call.set_state",
        "call.request",
    ],
    never: &[],
    not_driven: &[],
    timers: Timers::Both,
};
