//! A session is released while somebody still answers for it, or is not released at all.
//!
//! Upstream: UniMRCP, `libs/mrcp-server/src/mrcp_server_session.c`, `modules/mrcp-sofiasip/src/mrcp_sofiasip_server_agent.c`; 03b8948.
//! One call is one session is one pool, and what is released is the pool, with the session itself in it.
//!
//! Threads: the *SIP* thread posts what the peer wants; the *server task* owns the session, asks its plugins, and counts in
//! `subrequest_count` how many answers are outstanding, whoever's and to whatever; a *plugin* answers when it has done what it was asked,
//! from a thread of its own, with the session's address. At zero the server task goes on to the next phase, and after the last it
//! releases the pool. There are no locks but the queue's.
//!
//! The failing interleavings. `twice`: a plugin's worker and who watches its connection both see that its close has no answer, and both
//! give one; the count is at zero, and the other channel's answer finds the pool gone. `late`: the plugin has answered its close and runs
//! on; meanwhile the pool goes. `early`: the BYE comes while an earlier phase has an answer outstanding, which is forgotten in the count
//! and then counts for the close. `bye-crossing`: the SIP thread looks at its handle's magic, which the server task clears at that moment.
//! `engine-before-media`: the engine is asked to close before the media are taken out, and its file is closed under the media thread. Across
//! a network (`remote`) it is datagrams that cross, and there `never` and `dispatch-fails` are told too: an answer, or a response, that
//! does not come, and nothing that ends the wait.
//!
//! The driver gives each thread its operations. The property: a session that is ended is released, once, within its deadline; nothing
//! uses what it owned after that; and every request has a response.

mod historic;
mod media;
mod orders;
mod pairs;
mod production;
mod production_remote;
mod remote;

use crate::exhibit::{Exhibit, Expected, On, Sequential, Subject};
use crate::inputs::below;
use historic::{Historic, Story, Version};
use media::Recorder;
use sim::Bounds;
use sim::sync::Arc;
use sim::thread;
use sim::time::Duration;
use sim::verdict::Detector;

/// From one frame to the next.
const TICK: Duration = Duration::from_millis(20);

/// What a thread of the driver does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    /// The peer hangs up.
    Bye,
    /// The application ends the session.
    Terminate,
    /// The session is changed: its channels stop what they do, and the peer is told when they have.
    Modify,
    /// Nothing, for as long as the peer is told in as a rule.
    Pause,
    /// Who watches the connection of the first channel's plugin loses it, and answers in its stead.
    LinkLost,
}

/// A server with one session: every version of the code.
trait Server: Send + Sync + 'static {
    fn open() -> Arc<Self>;
    fn perform(&self, operation: Operation);
    /// The session is being changed. Returns when it is, or is gone.
    fn wait_modified(&self);
    /// The session has been ended. Returns when it is gone.
    fn wait_ended(&self);
    /// The session is gone, and everything else ends.
    fn finish(&self);
}

/// The driver: main does its operations, and each other thread its own at once.
fn drive<T: Server>(threads: &[&[Operation]]) {
    let server = T::open();
    let others: Vec<_> = threads[1..]
        .iter()
        .map(|operations| {
            let (server, operations) = (Arc::clone(&server), operations.to_vec());
            let work = move || operations.into_iter().for_each(|operation| server.perform(operation));
            thread::Builder::new().name("other").spawn(work).expect("the engine makes threads")
        })
        .collect();
    threads[0].iter().for_each(|operation| server.perform(*operation));
    for other in others {
        other.join().expect("a panic ends the run");
    }
    server.wait_ended();
    server.finish();
}

/// The same operations one after the other, in an order that shuttle enumerates: what ends the session has ended it before the next.
fn drive_in_sequence<T: Server>(threads: &[&[Operation]]) {
    let server = T::open();
    let mut left: Vec<&[Operation]> = threads.to_vec();
    while left.iter().any(|operations| !operations.is_empty()) {
        left.retain(|operations| !operations.is_empty());
        let picked = below(left.len());
        let (operation, rest) = left[picked].split_first().expect("those without any were taken out");
        left[picked] = rest;
        server.perform(*operation);
        match operation {
            Operation::Bye | Operation::Terminate => server.wait_ended(),
            Operation::Modify => server.wait_modified(),
            Operation::Pause | Operation::LinkLost => {}
        }
    }
    server.finish();
}

macro_rules! pair {
    ($name:literal, $about:literal, $twin:literal, $mended:literal, $story:ident, [$([$($operation:ident),*]),*], $detector:ident, fewest $fewest:expr, turmoil as $crossing:path, $crossing_twin:path) => {{
        const THREADS: &[&[Operation]] = &[$(&[$(Operation::$operation),*]),*];
        fn body() {
            historic::choose(Version { story: Story::$story, is_mended: false });
            drive::<Historic>(THREADS);
        }
        fn in_sequence() {
            historic::choose(Version { story: Story::$story, is_mended: false });
            drive_in_sequence::<Historic>(THREADS);
        }
        fn twin() {
            historic::choose(Version { story: Story::$story, is_mended: true });
            drive::<Historic>(THREADS);
        }
        fn twin_in_sequence() {
            historic::choose(Version { story: Story::$story, is_mended: true });
            drive_in_sequence::<Historic>(THREADS);
        }
        let caught = Expected::Caught(Detector::$detector);
        let crossing = On::turmoil(Expected::Caught(Detector::UseAfterRelease));
        [
            Subject {
                fewest_preemptions: Some($fewest),
                in_sequence: Some(in_sequence),
                ..subject($name, $about, vec![quick(On::loom(caught)), On::shuttle(caught), crossing.body($crossing)], body)
            },
            Subject {
                in_sequence: Some(twin_in_sequence),
                ..subject(
                    $twin,
                    $mended,
                    vec![
                        quick(On::loom(Expected::Clean)),
                        On::shuttle(Expected::Clean),
                        On::turmoil(Expected::Clean).body($crossing_twin),
                    ],
                    twin,
                )
            },
        ]
    }};
}

/// Loom has five threads of these in seconds within two preemptions, and each story needs one at the most.
fn quick(on: On) -> On {
    let bounds = Bounds { preemptions: Some(2), ..on.bounds };
    on.within(bounds)
}

fn subject(name: &'static str, about: &'static str, on: Vec<On>, body: fn()) -> Subject {
    Subject { name, about, on, fewest_preemptions: None, sequential: Sequential::Clean, body, in_sequence: None, must_see: None }
}

/// The exhibit.
pub fn exhibit() -> Exhibit {
    let mut subjects = Vec::new();
    subjects.extend(pair!(
        "twice", "one count for all channels, and one of them answers twice",
        "twice-twin", "each channel's answer counts once",
        Twice, [[Bye, LinkLost]], UseAfterRelease, fewest 2, turmoil as remote::twice, remote::twice_twin
    ));
    subjects.extend(pair!(
        "late", "the plugin answers its close and runs on",
        "late-twin", "its answer is the last thing that it does",
        Late, [[Bye]], UseAfterRelease, fewest 1, turmoil as remote::late, remote::late_twin
    ));
    subjects.extend(pair!(
        "early", "one count for all phases, and an answer of an earlier phase comes in the next",
        "early-twin", "an answer counts in its phase",
        Early, [[Modify, Pause, Bye]], UseAfterRelease, fewest 0, turmoil as remote::early, remote::early_twin
    ));
    subjects.extend(pair!(
        "bye-crossing", "the handle says to another thread that its session is there",
        "bye-crossing-twin", "the handle is asked by the task that owns the session",
        ByeCrossing, [[Bye], [Terminate]], Race, fewest 2, turmoil as remote::bye_crossing, remote::bye_crossing_twin
    ));
    fn recorder() {
        drive::<Recorder<false>>(&[&[Operation::Bye]]);
    }
    fn recorder_in_sequence() {
        drive_in_sequence::<Recorder<false>>(&[&[Operation::Bye]]);
    }
    fn recorder_twin() {
        drive::<Recorder<true>>(&[&[Operation::Bye]]);
    }
    let caught = Expected::Caught(Detector::UseAfterRelease);
    subjects.extend([
        Subject {
            fewest_preemptions: Some(2),
            in_sequence: Some(recorder_in_sequence),
            ..subject(
                "engine-before-media",
                "the engine closes its file, and then the media that write it are taken out",
                vec![On::loom(caught), On::shuttle(caught)],
                recorder,
            )
        },
        subject(
            "engine-before-media-twin",
            "the media are taken out first",
            vec![On::loom(Expected::Clean), On::shuttle(Expected::Clean)],
            recorder_twin,
        ),
    ]);
    subjects.extend(remote::subjects());
    subjects.extend(pairs::subjects());
    subjects.extend(orders::subjects());
    subjects.push(production_remote::subject());
    subjects.extend(production::subjects(production_remote::on_turmoil()));
    Exhibit {
        name: "session-close",
        story: "a session is released under who still answers for it, or never (UniMRCP: one count for all channels and phases)",
        subjects,
    }
}
