//! A restart reads the policy when the stop before it has wiped it: packets go on in clear.
//!
//! Upstream: pjproject, GHSA-wx5m, CVE-2022-39269 (d2acb9a): `pjmedia/src/pjmedia/transport_srtp.c`.
//!
//! Media are agreed on anew, and the transport is started while it runs: it stops first, which wipes keys and policy, and then reads
//! which policy to start with. There is none, which is how a call without SRTP looks: every packet passes as it is.
//!
//! Threads: *signalling* changes what the transport is keyed with; *media* sends packets meanwhile. No race is needed.
//!
//! The driver begins with a stream that is keyed, changes it in some ways, and sends RTP and RTCP before, between and after them: one
//! after the other, from threads at once, and from tasks to a host that looks at what comes. The property: no packet is in clear.

mod historic;
mod network;
mod production;

use crate::exhibit::{Exhibit, Expected, MustSee, On, Sequential, Subject, Timers};
use crate::inputs::one_of;
use crate::stream_setup::{is_in_clear, rtcp, rtp};
use historic::Historic;
use production::Production;
use sim::invariant;
use sim::sync::Arc;
use sim::thread;
use sim::time::Duration;
use sim::verdict::Detector;

/// What any operation allows itself.
const DEADLINE: Duration = Duration::from_secs(2);

/// What signalling does to the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// Other keys.
    Key,
    /// No keys.
    Forget,
    /// Keys without a cipher.
    KeyWithoutCipher,
    /// Keys whose policy leaves RTP in clear, or RTCP.
    KeyUnencryptedRtp,
    KeyUnencryptedRtcp,
    /// Keys that are not for their policy.
    KeyWrongly,
    /// Another transport, which has no keys yet.
    Replace,
    /// Another transport, which shakes hands.
    ReplaceByDtls,
    /// Another transport, in clear.
    ReplaceByClear,
    /// Another transport, whose keys are those of a policy that leaves packets in clear.
    ReplaceByUnencrypted,
    /// The transport is closed.
    Close,
}

impl Change {
    const ALL: [Change; 11] = [
        Change::Key,
        Change::Forget,
        Change::KeyWithoutCipher,
        Change::KeyUnencryptedRtp,
        Change::KeyUnencryptedRtcp,
        Change::KeyWrongly,
        Change::Replace,
        Change::ReplaceByDtls,
        Change::ReplaceByClear,
        Change::ReplaceByUnencrypted,
        Change::Close,
    ];
}

/// So many changes one after the other the driver enumerates.
const CHANGES: usize = 3;

/// A stream that is keyed: every version of the code.
trait Stream: Send + Sync + Sized + 'static {
    fn open() -> Arc<Self>;
    /// Does what signalling says, or refuses it. `number` is no other change's.
    fn change(&self, change: Change, number: u8);
    /// Protects a packet. None if it must not be sent.
    fn protect(&self, packet: &[u8]) -> Option<Vec<u8>>;
}

fn change<T: Stream>(stream: &T, what: Change, number: u8) {
    let _operation = sim::operation("stream.change", DEADLINE);
    stream.change(what, number);
}

fn send<T: Stream>(stream: &T, number: u16) {
    let _operation = sim::operation("stream.protect", DEADLINE);
    for packet in [rtp(number), rtcp()] {
        let sent = stream.protect(&packet);
        invariant!(!sent.is_some_and(|sent| is_in_clear(&sent)), "a packet of a stream that was keyed is in clear");
    }
}

/// The driver, one thing after the other.
fn drive<T: Stream>(changes: [Change; CHANGES]) {
    let stream = T::open();
    send(&*stream, 0);
    for (number, what) in (1..).zip(changes) {
        change(&*stream, what, number);
        send(&*stream, number.into());
    }
}

/// The driver, with threads: each of the first changes the stream, each of the others sends two packets.
fn drive_threads<T: Stream>(changes: &[[Change; 2]], senders: u16) {
    let stream = T::open();
    send(&*stream, 0);
    let spawn = |name: &str, work: Box<dyn FnOnce(&T) + Send>| {
        let stream = Arc::clone(&stream);
        thread::Builder::new().name(name).spawn(move || work(&stream)).expect("the engine makes threads")
    };
    let signalling = (1..).step_by(2).zip(changes.to_vec()).map(|(number, [first, second])| {
        spawn(
            "signalling",
            Box::new(move |stream| {
                change(stream, first, number);
                change(stream, second, number + 1);
            }),
        )
    });
    let media =
        (1..=senders).map(|sender| spawn("media", Box::new(move |stream| (0..2).for_each(|at| send(stream, 2 * sender + at)))));
    let threads: Vec<_> = signalling.chain(media).collect();
    threads.into_iter().for_each(|thread| thread.join().expect("a panic ends the run"));
    send(&*stream, 100);
}

fn any_change() -> Change {
    one_of(&Change::ALL)
}

macro_rules! historic {
    ($name:literal, $about:literal, $keeps:literal, $expected:expr, $sequential:expr) => {{
        fn threads() {
            drive_threads::<Historic<$keeps>>(&[[Change::Key, Change::Key]], 1);
        }
        fn inputs() {
            drive::<Historic<$keeps>>([Change::Key, any_change(), any_change()]);
        }
        fn in_sequence() {
            drive::<Historic<$keeps>>([Change::Key, Change::Key, Change::Key]);
        }
        fn tasks() {
            network::drive::<Historic<$keeps>>(Some(Change::Key));
        }
        let on = vec![On::shuttle($expected), On::cases($expected).body(inputs), On::turmoil($expected).body(tasks)];
        Subject { sequential: $sequential, in_sequence: Some(in_sequence), ..Subject::new($name, $about, on, threads) }
    }};
}

/// The exhibit.
pub fn exhibit() -> Exhibit {
    fn unchanged() {
        network::drive::<Historic<false>>(None);
    }
    fn threads() {
        drive_threads::<Production>(&[[(); 2].map(|()| any_change()), [(); 2].map(|()| any_change())], 2);
    }
    fn inputs() {
        drive::<Production>([(); CHANGES].map(|()| any_change()));
    }
    fn tasks() {
        network::drive::<Production>(Some(any_change()));
    }
    Exhibit {
        name: "clear-after-secure",
        story: "a restart reads the policy that its stop has wiped, and packets go on in clear (pjproject, CVE-2022-39269)",
        subjects: vec![
            Subject {
                fewest_preemptions: Some(0),
                ..historic!(
                    "d2acb9a",
                    "the stop wipes the policy that the restart reads",
                    false,
                    Expected::Caught(Detector::Invariant),
                    Sequential::Fails("a second start is enough")
                )
            },
            Subject::new(
                "d2acb9a-unchanged",
                "the same code in a call that is not agreed on anew",
                vec![On::turmoil(Expected::Clean)],
                unchanged,
            ),
            historic!("d2acb9a-twin", "the stop leaves the policy", true, Expected::Clean, Sequential::Clean),
            Subject {
                must_see: Some(MustSee {
                    operations: &["stream.change", "stream.protect"],
                    never: &[],
                    not_driven: &[],
                    timers: Timers::None,
                }),
                ..Subject::new(
                    "stack",
                    "our stream with SDES or DTLS: any changes, one after the other, from threads and beside tasks",
                    vec![
                        On::shuttle(Expected::Clean).schedules(2_000),
                        On::cases(Expected::Clean).body(inputs),
                        On::turmoil(Expected::Clean).body(tasks),
                    ],
                    threads,
                )
            },
        ],
    }
}
