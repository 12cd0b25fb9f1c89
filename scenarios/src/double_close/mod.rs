//! Two close a connection at once, and both find it open.
//!
//! Upstream: webrtc-rs, #611 (7d5ee0a): `dtls`, `DTLSConn::close`: whether it is closed is loaded, and then stored.
//!
//! Threads: the *application* hangs up, and the *reader* has seen the peer's end; each closes. A close looks whether the connection is
//! closed, says that it is, sends the last words and gives the connection's resources back.
//!
//! The failing interleaving: one has looked; the other looks, and closes; the first closes what is closed.
//!
//! The driver has two threads close at once. The property: the last words are said once, and nothing is given back twice; when both have
//! closed nothing more is said or taken.

mod historic;
mod production;

use crate::dtls_setup::STACK_BYTES;
use crate::exhibit::{Exhibit, Expected, MustSee, On, Subject, Timers};
use historic::Historic;
use production::{OfStream, OfTransport};
use sim::invariant;
use sim::sync::Arc;
use sim::thread;
use sim::time::Duration;
use sim::verdict::Detector;

/// What a close allows itself.
const DEADLINE: Duration = Duration::from_secs(2);

/// Something with an end: every version of the code.
trait Connection: Send + Sync + Sized + 'static {
    /// What is said at the end, and to be sent.
    type Words: Send + 'static;
    /// One that is open.
    fn open() -> Arc<Self>;
    fn close(&self) -> Vec<Self::Words>;
    /// Both have closed, and this was said.
    fn end(&self, words: Vec<Self::Words>);
}

fn close<T: Connection>(connection: &T) -> Vec<T::Words> {
    let _operation = sim::operation("connection.close", DEADLINE);
    connection.close()
}

/// The driver.
fn drive<T: Connection>() {
    let work = || {
        let connection = T::open();
        let theirs = Arc::clone(&connection);
        let reader = thread::Builder::new().name("reader").stack_size(STACK_BYTES).spawn(move || close(&*theirs));
        let mut words = close(&*connection);
        words.extend(reader.expect("the engine makes threads").join().expect("a panic ends the run"));
        connection.end(words);
    };
    let application = thread::Builder::new().name("application").stack_size(STACK_BYTES).spawn(work);
    application.expect("the engine makes threads").join().expect("a panic ends the run");
}

fn drive_in_sequence<T: Connection>() {
    let connection = T::open();
    let mut words = close(&*connection);
    words.extend(close(&*connection));
    connection.end(words);
}

/// The exhibit.
pub fn exhibit() -> Exhibit {
    let both = |expected| vec![On::loom(expected), On::shuttle(expected)];
    let caught = both(Expected::Caught(Detector::DoubleRelease));
    Exhibit {
        name: "double-close",
        story: "whether a connection is closed is loaded and then stored, and two close it at once (webrtc-rs #611)",
        subjects: vec![
            Subject {
                // Loom lets a load be stale, so that it takes none there.
                fewest_preemptions: Some(0),
                in_sequence: Some(drive_in_sequence::<Historic<false>>),
                ..Subject::new("7d5ee0a", "closed is loaded, and then stored", caught, drive::<Historic<false>>)
            },
            Subject {
                in_sequence: Some(drive_in_sequence::<Historic<true>>),
                ..Subject::new("7d5ee0a-twin", "closed is exchanged", both(Expected::Clean), drive::<Historic<true>>)
            },
            Subject::new(
                "stack-transport",
                "our transport: close || close, with a peer that hears of it",
                vec![On::loom(Expected::Clean), On::shuttle(Expected::Clean).schedules(500)],
                drive::<OfTransport>,
            ),
            Subject {
                must_see: Some(MustSee { operations: &["connection.close"], never: &[], not_driven: &[], timers: Timers::None }),
                ..Subject::new(
                    "stack",
                    "our stream on such a transport: end || end",
                    vec![On::loom(Expected::Clean), On::shuttle(Expected::Clean).schedules(1_000)],
                    drive::<OfStream>,
                )
            },
        ],
    }
}

/// What is said at the end is said by one of them.
fn expect_once(what: &str, times: usize) {
    invariant!(times == 1, "{what} is said {times} times");
}
