//! A dialog is destroyed by two threads, or never unlocked.
//!
//! Upstream: pjproject, `pjsip/src/pjsip/sip_dialog.c`, `pjsip_dlg_inc_lock` and `pjsip_dlg_dec_lock`; #1886, #4064 (cbccd497), #5101
//! (18e80e3).
//!
//! Threads: two users of a dialog, a *response* and a *hang-up*, each of which takes the lock, counts itself as a session of the dialog, does
//! its part, and gives both back. Lock: the dialog's, which is recursive. Who brings the count to zero destroys the dialog.
//!
//! The failing interleavings. `patched-1886`: to destroy, the lock is given back and taken again; the second user has its turn in between,
//! brings the count to zero once more, and destroys too. `patched-18e80e3`: a flag says that somebody destroys, so nobody else does; but the
//! second user adds a transaction in between, destroying is refused as an invalid operation, the caller ignores that, and the lock is
//! never given back.
//!
//! The driver has the two users at once. The property: the dialog ends once, and everybody who wants its lock has it some time.

mod historic;
mod production;

use crate::exhibit::{Exhibit, Expected, MustSee, On, Subject, Timers};
use historic::{Dialog, Version};
use sim::sync::Arc;
use sim::thread;
use sim::verdict::Detector;

/// The driver: a hang-up on main, a response that comes with a transaction of its own on another thread.
fn drive(version: Version) {
    let dialog = Dialog::open(version);
    let theirs = Arc::clone(&dialog);
    let work = move || theirs.on_response();
    let worker = thread::Builder::new().name("worker").spawn(work).expect("the engine makes threads");
    dialog.hang_up();
    worker.join().expect("a panic ends the run");
    dialog.close();
}

/// One after the other, in either order.
fn drive_in_sequence(version: Version) {
    let dialog = Dialog::open(version);
    match sim::choose(2) {
        0 => {
            dialog.hang_up();
            dialog.on_response();
        }
        _ => {
            dialog.on_response();
            dialog.hang_up();
        }
    }
    dialog.close();
}

macro_rules! pair {
    ($name:literal, $about:literal, $version:ident, $twin:literal, $mended:literal, $change:ident, $detector:ident, fewest $fewest:literal) => {{
        fn body() {
            drive(Version::$version);
        }
        fn in_sequence() {
            drive_in_sequence(Version::$version);
        }
        fn twin() {
            drive(Version::$change);
        }
        fn twin_in_sequence() {
            drive_in_sequence(Version::$change);
        }
        let caught = Expected::Caught(Detector::$detector);
        let clean = vec![On::loom(Expected::Clean), On::shuttle(Expected::Clean)];
        [
            Subject {
                fewest_preemptions: Some($fewest),
                in_sequence: Some(in_sequence),
                ..Subject::new($name, $about, vec![On::loom(caught), On::shuttle(caught)], body)
            },
            Subject { in_sequence: Some(twin_in_sequence), ..Subject::new($twin, $mended, clean, twin) },
        ]
    }};
}

/// The exhibit.
pub fn exhibit() -> Exhibit {
    let mut subjects = Vec::new();
    subjects.extend(pair!(
        "patched-1886",
        "the lock is given back and taken again to destroy, and another destroys in between",
        Patched1886,
        "patched-1886-twin",
        "who is the first to destroy says so, and no other does",
        Flagged,
        DoubleRelease,
        fewest 1
    ));
    subjects.extend(pair!(
        "patched-18e80e3",
        "another adds a transaction in between; destroying is refused, and who asked for it keeps the lock",
        Patched18e80e3,
        "patched-18e80e3-twin",
        "who is refused gives the lock back",
        Unlocking,
        Deadlock,
        fewest 1
    ));
    subjects.push(Subject {
        must_see: Some(MustSee {
            operations: &["endpoint.hang_up", "endpoint.acquire", "call.input"],
            never: &[],
            not_driven: &[],
            timers: Timers::Both,
        }),
        ..Subject::new(
            "stack",
            "our endpoint: hang-ups, transactions that come and end, and looks at one dialog",
            vec![On::loom(Expected::Clean).body(production::hang_up_and_response), On::shuttle(Expected::Clean)],
            production::any,
        )
    });
    Exhibit {
        name: "dialog-destroy",
        story: "a dialog's lock is given back in the middle of destroying it (pjproject #1886, #5101)",
        subjects,
    }
}
