//! A stop forgets what the peer had agreed to when its lock is gone already, beside a start that reads it.
//!
//! Upstream: pjproject, `pjmedia/src/pjmedia/transport_srtp_dtls.c`, `dtls_media_stop`.
//!
//! Threads: *signalling* starts media with what the peer's description says, a role and a fingerprint, which it writes and reads under the
//! lock; the *application* stops media, which takes the lock for the handshake's end, drops it, and then resets role and fingerprint.
//!
//! The failing interleaving: the stop has dropped the lock; the start writes what the peer says now; the stop resets it, and the
//! handshake that was started takes no certificate, or any.
//!
//! The driver gives each thread its operations. The property: what a start has been told is what its handshake is held against; what
//! one operation says goes to the peer that it was said of; and what has been stopped stays so.

mod historic;
mod production;

use crate::dtls_setup::STACK_BYTES;
use crate::exhibit::{Exhibit, Expected, MustSee, On, Subject, Timers};
use crate::inputs::one_of;
use historic::Historic;
use production::Production;
use sim::sync::Arc;
use sim::thread;
use sim::time::Duration;
use sim::verdict::Detector;

/// What any operation allows itself.
const DEADLINE: Duration = Duration::from_secs(2);

/// What a thread of the driver does to the transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    /// Media stop.
    Close,
    /// Media start with another peer.
    Renegotiate,
    /// A flight of the first peer's comes.
    Receive,
    /// The peer has moved.
    SetPeer,
}

impl Operation {
    const ALL: [Operation; 4] = [Operation::Renegotiate, Operation::Close, Operation::Receive, Operation::SetPeer];

    const fn name(self) -> &'static str {
        match self {
            Operation::Close => "transport.close",
            Operation::Renegotiate => "transport.renegotiate",
            Operation::Receive => "transport.receive",
            Operation::SetPeer => "transport.set_peer",
        }
    }
}

/// A step of a run: an operation, and a number that no other has. The first peer has 1.
#[derive(Clone, Copy, Debug)]
struct Step {
    operation: Operation,
    number: u64,
}

/// The number of the peer that there is before any step.
const FIRST_PEER: u64 = 1;

/// A transport: every version of the code.
trait Transport: Send + Sync + Sized + 'static {
    /// What was sent, if anything: the first flight to the peer of a number.
    type Sent: Send + 'static;
    fn open() -> Arc<Self>;
    fn perform(&self, step: Step) -> Option<Self::Sent>;
    /// The threads have ended.
    fn end(&self, steps: &[Step], sent: Vec<Self::Sent>);
}

fn perform<T: Transport>(transport: &T, step: Step) -> Option<T::Sent> {
    let _operation = sim::operation(step.operation.name(), DEADLINE);
    transport.perform(step)
}

fn steps(threads: &[&[Operation]]) -> Vec<Vec<Step>> {
    let mut number = FIRST_PEER;
    let mut step = |operation: &Operation| {
        number += 1;
        Step { operation: *operation, number }
    };
    threads.iter().map(|operations| operations.iter().map(&mut step).collect()).collect()
}

/// The driver: one thread does its operations, and each other its own at once.
fn drive<T: Transport>(threads: &[&[Operation]]) {
    let threads = steps(threads);
    let work = move || {
        let transport = T::open();
        let spawn = |steps: &Vec<Step>| {
            let (transport, steps) = (Arc::clone(&transport), steps.clone());
            let work = move || steps.into_iter().filter_map(|step| perform(&*transport, step)).collect::<Vec<_>>();
            thread::Builder::new().name("application").stack_size(STACK_BYTES).spawn(work).expect("the engine makes threads")
        };
        let others: Vec<_> = threads[1..].iter().map(spawn).collect();
        let mut sent: Vec<_> = threads[0].iter().filter_map(|step| perform(&*transport, *step)).collect();
        for other in others {
            sent.extend(other.join().expect("a panic ends the run"));
        }
        transport.end(&threads.concat(), sent);
    };
    let signalling = thread::Builder::new().name("signalling").stack_size(STACK_BYTES).spawn(work);
    signalling.expect("the engine makes threads").join().expect("a panic ends the run");
}

/// The same operations one after the other, in an order that shuttle enumerates.
fn drive_in_sequence<T: Transport>(threads: &[&[Operation]]) {
    let (transport, threads) = (T::open(), steps(threads));
    let mut left: Vec<_> = threads.iter().map(|steps| steps.iter().peekable()).collect();
    let mut sent = Vec::new();
    loop {
        let mut waiting: Vec<_> = left.iter_mut().filter_map(|next| next.peek().is_some().then_some(next)).collect();
        if waiting.is_empty() {
            break;
        }
        let picked = sim::choose(waiting.len() as u64) as usize;
        sent.extend(waiting[picked].next().and_then(|step| perform(&*transport, *step)));
    }
    transport.end(&threads.concat(), sent);
}

const STOP_AND_START: &[&[Operation]] = &[&[Operation::Renegotiate], &[Operation::Close]];

macro_rules! production {
    ($name:literal, $about:literal, [$($first:ident),*], [$($second:ident),*]) => {{
        fn body() {
            drive::<Production>(&[&[$(Operation::$first),*], &[$(Operation::$second),*]]);
        }
        Subject::new($name, $about, vec![On::loom(Expected::Clean), On::shuttle(Expected::Clean).schedules(200)], body)
    }};
}

/// The exhibit.
pub fn exhibit() -> Exhibit {
    fn any() {
        let operations = [(); 5].map(|()| one_of(&Operation::ALL));
        drive::<Production>(&[&operations[..2], &operations[2..4], &operations[4..]]);
    }
    let both = |expected| vec![On::loom(expected), On::shuttle(expected)];
    Exhibit {
        name: "reset-after-unlock",
        story: "a stop resets role and fingerprint when its lock is gone, beside a start that reads them (pjproject)",
        subjects: vec![
            Subject {
                fewest_preemptions: Some(1),
                in_sequence: Some(|| drive_in_sequence::<Historic<false>>(STOP_AND_START)),
                ..Subject::new("shipped", "the stop resets them after the lock", both(Expected::Caught(Detector::Race)), || {
                    drive::<Historic<false>>(STOP_AND_START)
                })
            },
            Subject {
                in_sequence: Some(|| drive_in_sequence::<Historic<true>>(STOP_AND_START)),
                ..Subject::new("shipped-twin", "the stop resets them under the lock", both(Expected::Clean), || {
                    drive::<Historic<true>>(STOP_AND_START)
                })
            },
            production!("stack-renegotiate-close", "our transport: renegotiate || close", [Renegotiate], [Close]),
            production!("stack-receive-close", "our transport: the peer's flight || close", [Receive], [Close]),
            production!("stack-set-peer-close", "our transport: another address || close", [SetPeer], [Close]),
            production!(
                "stack-renegotiate-receive",
                "our transport: renegotiate || the first peer's flight",
                [Renegotiate],
                [Receive]
            ),
            production!(
                "stack-renegotiate-renegotiate",
                "our transport: renegotiate || renegotiate",
                [Renegotiate],
                [Renegotiate]
            ),
            production!("stack-set-peer-renegotiate", "our transport: another address || renegotiate", [SetPeer], [Renegotiate]),
            production!(
                "stack-set-peer-receive",
                "our transport: another address || the first peer's flight",
                [SetPeer],
                [Receive]
            ),
            Subject {
                must_see: Some(MustSee {
                    operations: &["transport.close", "transport.renegotiate", "transport.receive", "transport.set_peer"],
                    never: &[],
                    not_driven: &[],
                    timers: Timers::None,
                }),
                ..Subject::new(
                    "stack",
                    "our transport: any five operations of three threads; all that was begun comes to its end",
                    vec![On::shuttle(Expected::Clean).schedules(1_000)],
                    any,
                )
            },
        ],
    }
}
