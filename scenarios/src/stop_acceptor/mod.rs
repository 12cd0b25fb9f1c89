//! A transport is stopped under its lock while its reader hands over a stream, and who would take that wants the lock.
//!
//! Upstream: pion/webrtc, #1430 and #1448, mended in #1453; the session is pion/srtp's.
//!
//! Threads: the *reader* reads packets, and hands a stream over for each source that was not heard before, which waits until somebody takes
//! it; the *acceptor* takes streams, and looks at the transport, under whose keys each is; the *application* stops the transport. Lock: the
//! transport's, to read or to write. Stop takes it to write, closes the connection, and waits for `closed`, which the reader closes as it
//! ends.
//!
//! The failing interleaving: the acceptor has taken a stream and not the lock yet; the reader has seen the connection open and hands over
//! another; stop takes the lock, and waits for the reader, which waits for the acceptor, which waits for the lock.
//!
//! The driver hears so many sources, and stops beside them. The property: stop ends within its deadline, and reader and acceptor with it.

mod historic;
mod production;
mod production_task;

use crate::exhibit::{Exhibit, Expected, MustSee, On, Sequential, Subject, Timers};
use historic::Historic;
use production::Production;
use sim::Bounds;
use sim::sync::Arc;
use sim::thread;
use sim::time::Duration;
use sim::verdict::Detector;

/// What a stop allows itself.
const DEADLINE: Duration = Duration::from_secs(2);

/// A session with a reader of its own: every version of the code.
trait Session: Send + Sync + 'static {
    /// Opens one that hears so many sources.
    fn open(sources: u32) -> Arc<Self>;
    /// Takes what is new. False when there will be nothing more.
    fn accept(&self) -> bool;
    fn stop(&self);
    /// Reader and acceptor have ended.
    fn finish(&self);
}

/// The driver: the acceptor accepts, and main stops.
fn drive<T: Session>(sources: u32) {
    let session = T::open(sources);
    let theirs = Arc::clone(&session);
    let accepts = thread::Builder::new().name("acceptor").spawn(move || accept_all(&*theirs)).expect("the engine makes threads");
    stop(&*session);
    accepts.join().expect("a panic ends the run");
    session.finish();
}

/// The same, and nothing is stopped before all was accepted.
fn drive_in_sequence<T: Session>(sources: u32) {
    let session = T::open(sources);
    accept_all(&*session);
    stop(&*session);
    session.finish();
}

fn accept_all<T: Session>(session: &T) {
    let mut goes_on = true;
    while goes_on {
        let _operation = sim::operation("session.accept", None);
        goes_on = session.accept();
    }
}

fn stop<T: Session>(session: &T) {
    let _operation = sim::operation("session.stop", DEADLINE);
    session.stop();
}

/// One that was accepted, and one that is handed over.
const SOURCES: u32 = 2;

fn shipped() {
    drive::<Historic<true>>(SOURCES);
}

fn shipped_in_sequence() {
    drive_in_sequence::<Historic<true>>(SOURCES);
}

fn twin() {
    drive::<Historic<false>>(SOURCES);
}

fn twin_in_sequence() {
    drive_in_sequence::<Historic<false>>(SOURCES);
}

fn stack() {
    drive::<Production>(SOURCES);
}

fn stack_in_sequence() {
    drive_in_sequence::<Production>(SOURCES);
}

/// Our stream with whoever has a thread, or with tasks.
fn any() {
    match sim::choose(2) {
        0 => drive::<Production>(2 * SOURCES),
        _ => production_task::drive(SOURCES),
    }
}

/// Loom has three threads of these in seconds within two preemptions, and the story needs no more.
fn both(expected: Expected) -> Vec<On> {
    let on = On::loom(expected);
    let bounds = Bounds { preemptions: Some(2), ..on.bounds };
    vec![on.within(bounds), On::shuttle(expected)]
}

/// The exhibit.
pub fn exhibit() -> Exhibit {
    let subject = Subject::new;
    let caught = both(Expected::Caught(Detector::Deadlock));
    let on_stack = both(Expected::Clean).into_iter().map(|on| if on.engine == sim::Engine::Loom { on.body(stack) } else { on });
    Exhibit {
        name: "stop-acceptor",
        story: "a transport waits under its lock for a reader, who waits for an acceptor, who wants that lock (pion/webrtc #1453)",
        subjects: vec![
            Subject {
                fewest_preemptions: Some(0),
                in_sequence: Some(shipped_in_sequence),
                ..subject("1453", "stop holds the transport's lock until the session is closed", caught, shipped)
            },
            Subject {
                in_sequence: Some(twin_in_sequence),
                ..subject("1453-twin", "the lock is given back before the wait", both(Expected::Clean), twin)
            },
            Subject {
                sequential: Sequential::Clean,
                in_sequence: Some(stack_in_sequence),
                must_see: Some(MustSee {
                    operations: &["session.accept", "session.stop"],
                    never: &[["session.accept", "session.accept"], ["session.stop", "session.stop"]],
                    not_driven: &[],
                    // It is over before a tick or a report is due, and no end comes late.
                    timers: Timers::BothBut(&["clock/task.rs", "stream/task.rs"]),
                }),
                ..subject(
                    "stack",
                    "our streams: a full queue of events drops the oldest, and the end waits for nobody under a lock",
                    on_stack.collect(),
                    any,
                )
            },
        ],
    }
}
