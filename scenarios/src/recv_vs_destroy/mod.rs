//! A datagram is given to a transport that is being destroyed.
//!
//! Upstream: pjproject, GHSA-f76w, CVE-2023-38703 (6dc9b8c): `pjmedia/src/pjmedia/transport_srtp_dtls.c`.
//!
//! Threads: the *socket* worker gives each datagram to the library's object; the *application* destroys the transport, which frees that
//! object. Nothing keeps one from the other: the worker looks whether the object is there, and uses it.
//!
//! The failing interleaving: the worker has looked; the application frees the object; the worker uses it. Across a network a datagram
//! that is late comes to a receiver which has looked long ago.
//!
//! The driver gives each thread its operations; its tasks are in `network.rs`. The property: nothing is used after its release, nothing
//! is released twice or left; and what comes after the end is refused, and changes nothing.

mod historic;
mod network;
mod production;

use crate::dtls_setup::STACK_BYTES;
use crate::exhibit::{Exhibit, Expected, MustSee, On, Subject, Timers};
use crate::inputs::one_of;
use historic::Historic;
use production::{OfStream, OfTransport};
use sim::Bounds;
use sim::sync::Arc;
use sim::thread;
use sim::time::Duration;
use sim::verdict::Detector;

/// What any operation allows itself.
const DEADLINE: Duration = Duration::from_secs(2);

/// What a thread of the driver does to the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    /// A datagram of the handshake comes.
    Receive,
    /// A packet of media comes.
    ReceiveMedia,
    /// What is due is done.
    Timeout,
    /// It ends.
    Destroy,
}

impl Operation {
    const ALL: [Operation; 4] = [Operation::Receive, Operation::ReceiveMedia, Operation::Timeout, Operation::Destroy];

    const fn name(self) -> &'static str {
        match self {
            Operation::Receive | Operation::ReceiveMedia => "receiver.receive",
            Operation::Timeout => "receiver.handle_timeout",
            Operation::Destroy => "receiver.destroy",
        }
    }
}

/// What datagrams are given to: every version of the code.
trait Receiver: Send + Sync + Sized + 'static {
    fn open() -> Arc<Self>;
    /// `number` is no other operation's.
    fn perform(&self, operation: Operation, number: u16);
    /// The threads have ended; whether anybody has destroyed it.
    fn end(&self, is_destroyed: bool);
}

fn perform<T: Receiver>(receiver: &T, operation: Operation, number: u16) {
    let _operation = sim::operation(operation.name(), DEADLINE);
    receiver.perform(operation, number);
}

type Steps = Vec<(Operation, u16)>;

fn steps(threads: &[&[Operation]]) -> Vec<Steps> {
    let mut numbers = 1..;
    threads.iter().map(|operations| operations.iter().copied().zip(&mut numbers).collect()).collect()
}

fn is_destroyed(threads: &[Steps]) -> bool {
    threads.iter().flatten().any(|(operation, _)| *operation == Operation::Destroy)
}

/// The driver: one thread does its operations, and each other its own at once.
fn drive<T: Receiver>(threads: &[&[Operation]]) {
    let threads = steps(threads);
    let work = move || {
        let receiver = T::open();
        let spawn = |steps: &Steps| {
            let (receiver, steps) = (Arc::clone(&receiver), steps.clone());
            let work = move || steps.into_iter().for_each(|(operation, number)| perform(&*receiver, operation, number));
            thread::Builder::new().name("socket").stack_size(STACK_BYTES).spawn(work).expect("the engine makes threads")
        };
        let others: Vec<_> = threads[1..].iter().map(spawn).collect();
        threads[0].iter().for_each(|(operation, number)| perform(&*receiver, *operation, *number));
        others.into_iter().for_each(|other| other.join().expect("a panic ends the run"));
        receiver.end(is_destroyed(&threads));
    };
    let application = thread::Builder::new().name("application").stack_size(STACK_BYTES).spawn(work);
    application.expect("the engine makes threads").join().expect("a panic ends the run");
}

/// The same operations one after the other, in an order that shuttle enumerates.
fn drive_in_sequence<T: Receiver>(threads: &[&[Operation]]) {
    let (receiver, threads) = (T::open(), steps(threads));
    let mut left: Vec<_> = threads.iter().map(|steps| steps.iter().peekable()).collect();
    loop {
        let mut waiting: Vec<_> = left.iter_mut().filter_map(|next| next.peek().is_some().then_some(next)).collect();
        if waiting.is_empty() {
            break;
        }
        let picked = sim::choose(waiting.len() as u64) as usize;
        waiting[picked].next().into_iter().for_each(|(operation, number)| perform(&*receiver, *operation, *number));
    }
    receiver.end(is_destroyed(&threads));
}

const DESTROY_AND_RECEIVE: &[&[Operation]] = &[&[Operation::Destroy], &[Operation::Receive]];

macro_rules! production {
    ($name:literal, $about:literal, $of:ident, [$($first:ident),*], [$($second:ident),*]) => {{
        fn body() {
            drive::<$of>(&[&[$(Operation::$first),*], &[$(Operation::$second),*]]);
        }
        Subject::new($name, $about, vec![On::loom(Expected::Clean), On::shuttle(Expected::Clean).schedules(200)], body)
    }};
}

/// The exhibit.
pub fn exhibit() -> Exhibit {
    fn any() {
        let operations = [(); 6].map(|()| one_of(&Operation::ALL));
        let threads = [&operations[..2], &operations[2..4], &operations[4..]];
        match one_of(&[false, true]) {
            false => drive::<OfTransport>(&threads),
            true => drive::<OfStream>(&threads),
        }
    }
    let all = |expected, tasks| vec![On::loom(expected), On::shuttle(expected), On::turmoil(expected).body(tasks)];
    let on_tasks = On::turmoil(Expected::Clean).body(network::stack);
    // One wait ends early at the most: with two it takes minutes.
    let bounds = Bounds { firings: 1, ..on_tasks.bounds };
    Exhibit {
        name: "recv-vs-destroy",
        story: "a datagram is given to a transport that is being destroyed (pjproject, CVE-2023-38703)",
        subjects: vec![
            Subject {
                // The application is interrupted before it has done anything, and the worker where it has looked.
                fewest_preemptions: Some(2),
                in_sequence: Some(|| drive_in_sequence::<Historic<false>>(DESTROY_AND_RECEIVE)),
                ..Subject::new(
                    "6dc9b8c",
                    "the worker looks, and uses what may be gone",
                    all(Expected::Caught(Detector::UseAfterRelease), network::shipped),
                    || drive::<Historic<false>>(DESTROY_AND_RECEIVE),
                )
            },
            Subject::new(
                "6dc9b8c-in-turn",
                "the same code where the peer hangs up when its datagram was answered",
                vec![On::turmoil(Expected::Clean)],
                network::shipped_in_turn,
            ),
            Subject {
                in_sequence: Some(|| drive_in_sequence::<Historic<true>>(DESTROY_AND_RECEIVE)),
                ..Subject::new("6dc9b8c-twin", "looking and using have a lock", all(Expected::Clean, network::twin), || {
                    drive::<Historic<true>>(DESTROY_AND_RECEIVE)
                })
            },
            production!(
                "stack-transport-receive",
                "our transport: close || the peer's flight",
                OfTransport,
                [Destroy],
                [Receive]
            ),
            production!(
                "stack-transport-media",
                "our transport: close || packets",
                OfTransport,
                [Destroy],
                [ReceiveMedia, ReceiveMedia]
            ),
            production!("stack-transport-timeout", "our transport: close || what is due", OfTransport, [Destroy], [Timeout]),
            production!("stack-stream-receive", "our stream: end || the peer's flight", OfStream, [Destroy], [Receive]),
            production!("stack-stream-media", "our stream: end || packets", OfStream, [Destroy], [ReceiveMedia, ReceiveMedia]),
            Subject::new(
                "stack-tasks",
                "our streams on tasks of two hosts, stopped while packets arrive",
                vec![On::shuttle(Expected::Clean).schedules(500)],
                network::stack,
            ),
            Subject {
                must_see: Some(MustSee {
                    operations: &["receiver.receive", "receiver.handle_timeout", "receiver.destroy"],
                    never: &[],
                    not_driven: &[],
                    timers: Timers::None,
                }),
                ..Subject::new(
                    "stack",
                    "our transport and our stream: any two operations of each of three threads; and streams on tasks",
                    vec![On::shuttle(Expected::Clean).schedules(1_500), on_tasks.within(bounds)],
                    any,
                )
            },
        ],
    }
}
