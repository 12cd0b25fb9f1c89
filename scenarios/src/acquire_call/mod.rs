//! An application waits for a dialog by the wall clock, a worker for ever, and a callback comes to another call.
//!
//! Upstream: pjproject, `pjsip/src/pjsua-lib/pjsua_call.c`, `acquire_call` (148c9dd37, #1591) and the slots of its calls (#4995, f86b813);
//! `pjsip/src/pjsip/sip_ua_layer.c`, `mod_ua_on_rx_request`.
//!
//! Threads: the *application* acquires a call, hangs it up or makes one; the *worker* has a dialog for long in a callback, or brings a
//! request in; an *operator* sets the wall clock. Locks: PJSUA's around the slots, the user agent's around its dialogs, and each dialog's.
//!
//! The failing interleavings. `shipped`: `acquire_call` tries the dialog and sleeps, and looks at every tenth try whether two seconds have
//! passed on the wall clock; the operator sets it back meanwhile. `ua-retry`: the worker tries the dialog of a request, gives way and tries
//! again without end; the application has that dialog and waits for an answer, which only this worker can bring. `slot-reuse`: the
//! worker looks a call's slot up and comes back to it when the application has hung up and made another call, which is in the same slot.
//!
//! Across a network the peer's cancel and the user's next call cross; `crossing` tells that, with tasks.
//!
//! The driver gives each thread its operations. The property: each ends by its deadline, and what happens to a call happens to no other.

mod crossing;
mod historic;
mod production;

use crate::exhibit::{Exhibit, Expected, MustSee, On, Subject, Timers};
use historic::{Backoff, Retry, Slots};
use sim::sync::Arc;
use sim::thread;
use sim::time::Duration;
use sim::verdict::Detector;

/// How long upstream waits for a call by its own clock, twice: its last sleeps and a slow processor take their part.
const ACQUIRE_DEADLINE: Duration = Duration::from_secs(4);
/// How long a callback of the application has a dialog, and what it does so often.
const CALLBACK: Duration = Duration::from_secs(10);
const CALLBACK_STEPS: u32 = 100;

/// A version of the code: what each of the driver's threads does to it.
trait Calls: Send + Sync + Sized + 'static {
    /// `in_sequence`: one thread does everything, as where the application polls for itself.
    fn open(in_sequence: bool) -> Arc<Self>;
    /// Main's part.
    fn main(&self);
    fn other(&self);
    /// The operator's part, where there is one.
    fn operator(&self) {}
    /// After all threads have ended.
    fn close(&self) {}
}

/// The driver.
fn drive<C: Calls>() {
    let calls = C::open(false);
    let spawn = |name, work: fn(&C)| {
        let calls = Arc::clone(&calls);
        thread::Builder::new().name(name).spawn(move || work(&calls)).expect("the engine makes threads")
    };
    let others = [spawn("other", C::other), spawn("operator", C::operator)];
    calls.main();
    for other in others {
        other.join().expect("a panic ends the run");
    }
    calls.close();
}

/// One after the other, in any order.
fn drive_in_sequence<C: Calls>() {
    let calls = C::open(true);
    let mut left: Vec<fn(&C)> = vec![C::main, C::other, C::operator];
    while !left.is_empty() {
        let next = left.remove(sim::choose(left.len() as u64) as usize);
        next(&calls);
    }
    calls.close();
}

macro_rules! pair {
    ($name:literal, $about:literal, $twin:literal, $mended:literal, $calls:ident, $detector:ident on [$($engine:ident),*],
     fewest $fewest:literal $(, turmoil $crossing:path, $crossing_twin:path)?) => {{
        let caught = Expected::Caught(Detector::$detector);
        let on = vec![$(On::$engine(caught),)* $(On::turmoil(caught).body($crossing))?];
        let clean = vec![$(On::$engine(Expected::Clean),)* $(On::turmoil(Expected::Clean).body($crossing_twin))?];
        [
            Subject {
                fewest_preemptions: Some($fewest),
                in_sequence: Some(drive_in_sequence::<$calls<false>>),
                ..Subject::new($name, $about, on, drive::<$calls<false>>)
            },
            Subject {
                in_sequence: Some(drive_in_sequence::<$calls<true>>),
                ..Subject::new($twin, $mended, clean, drive::<$calls<true>>)
            },
        ]
    }};
}

/// The exhibit.
pub fn exhibit() -> Exhibit {
    let mut subjects = Vec::new();
    subjects.extend(pair!(
        "shipped", "the back-off ends by the wall clock, which is set back meanwhile",
        "shipped-twin", "it ends by the monotonic clock",
        Backoff, Hang on [shuttle], fewest 1
    ));
    subjects.extend(pair!(
        "ua-retry", "a worker tries a dialog without end, whose holder waits for that worker",
        "ua-retry-twin", "the worker gives up after its time, and answers the request so",
        Retry, Livelock on [shuttle], fewest 1
    ));
    subjects.extend(pair!(
        "slot-reuse", "a callback that was on its way comes to the next call of the slot",
        "slot-reuse-twin", "a slot says which of its calls it has",
        Slots, Invariant on [loom, shuttle], fewest 2,
        turmoil crossing::slot_reuse, crossing::slot_reuse_twin
    ));
    subjects.push(crossing::in_turn());
    subjects.push(Subject {
        must_see: Some(MustSee {
            operations: &["endpoint.acquire", "endpoint.hang_up", "endpoint.make_call", "call.held"],
            never: &[["call.held", "call.held"]],
            not_driven: &[],
            timers: Timers::Both,
        }),
        ..Subject::new(
            "stack",
            "our endpoint: a dialog that is held for long, calls that end and are made, and a wall clock that steps",
            vec![
                On::loom(Expected::Clean).body(production::slot_reuse),
                On::shuttle(Expected::Clean),
                On::turmoil(Expected::Clean).body(crossing::stack),
            ],
            production::any,
        )
    });
    Exhibit {
        name: "acquire-call",
        story: "waiting for a dialog by the wall clock or without end, and a slot that is used again (pjproject #4995)",
        subjects,
    }
}
