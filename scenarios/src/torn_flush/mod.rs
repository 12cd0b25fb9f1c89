//! A flight is put into the transport's buffer under the lock and sent when the lock is gone: another flush puts its own there meanwhile.
//!
//! Upstream: pjproject, `pjmedia/src/pjmedia/transport_srtp_dtls.c`, `ssl_flush_wbio`.
//!
//! Threads: the *socket* worker gives the handshake what has come and flushes what the library answers; the *clock* flushes what is to be
//! sent again. A flush takes the lock, moves what the library has to send into a buffer that the transport has for all, drops the lock,
//! sends from the buffer, and looks under the lock for more.
//!
//! The failing interleaving: one has filled the buffer and dropped the lock; the other fills it; what the first one sends is the other's
//! flight, or the beginning of one and the end of the other, and its own flight is never sent.
//!
//! The driver gives each thread its operations. The property: every datagram that is handed out is whole records of DTLS, and each is
//! handed out once.

mod historic;
mod production;

use crate::dtls_setup::{STACK_BYTES, expect_whole};
use crate::exhibit::{Exhibit, Expected, MustSee, On, Subject, Timers};
use crate::inputs::one_of;
use historic::Historic;
use production::Production;
use sim::invariant;
use sim::sync::Arc;
use sim::thread;
use sim::time::Duration;
use sim::verdict::Detector;

/// What any operation allows itself.
const DEADLINE: Duration = Duration::from_secs(2);

/// What a thread of the driver does to the transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    /// A flight of the peer's comes.
    Receive,
    /// The time has come to send the last flight again.
    Timeout,
    /// Another handshake begins.
    Rekey,
    /// The call is over.
    Close,
}

impl Operation {
    const ALL: [Operation; 4] = [Operation::Receive, Operation::Timeout, Operation::Rekey, Operation::Close];

    const fn name(self) -> &'static str {
        match self {
            Operation::Receive => "transport.receive",
            Operation::Timeout => "transport.handle_timeout",
            Operation::Rekey => "transport.rekey",
            Operation::Close => "transport.close",
        }
    }
}

/// How far the handshake is when the threads begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begun {
    /// The first flight was sent.
    Helloed,
    /// There are keys, and the peer has not heard of it.
    Keyed,
}

/// A transport: every version of the code.
trait Transport: Send + Sync + Sized + 'static {
    /// One that is so far, and what it has sent.
    fn open(begun: Begun) -> (Arc<Self>, Vec<Vec<u8>>);
    /// Returns what was sent.
    fn perform(&self, operation: Operation) -> Vec<Vec<u8>>;
}

fn perform<T: Transport>(transport: &T, operation: Operation) -> Vec<Vec<u8>> {
    let _operation = sim::operation(operation.name(), DEADLINE);
    transport.perform(operation)
}

/// The driver: one thread does its operations, and each other its own at once.
fn drive<T: Transport>(begun: Begun, threads: Vec<Vec<Operation>>) {
    let work = move || {
        let (transport, mut sent) = T::open(begun);
        let spawn = |operations: &Vec<Operation>| {
            let (transport, operations) = (Arc::clone(&transport), operations.clone());
            let work = move || operations.into_iter().flat_map(|operation| perform(&*transport, operation)).collect::<Vec<_>>();
            thread::Builder::new().name("socket").stack_size(STACK_BYTES).spawn(work).expect("the engine makes threads")
        };
        let others: Vec<_> = threads[1..].iter().map(spawn).collect();
        sent.extend(threads[0].iter().flat_map(|operation| perform(&*transport, *operation)));
        for other in others {
            sent.extend(other.join().expect("a panic ends the run"));
        }
        expect_each_whole_and_once(&sent);
    };
    let clock = thread::Builder::new().name("clock").stack_size(STACK_BYTES).spawn(work);
    clock.expect("the engine makes threads").join().expect("a panic ends the run");
}

/// The same operations one after the other, in an order that shuttle enumerates.
fn drive_in_sequence<T: Transport>(begun: Begun, threads: &[&[Operation]]) {
    let (transport, mut sent) = T::open(begun);
    let mut left: Vec<_> = threads.iter().map(|operations| operations.iter().peekable()).collect();
    loop {
        let mut waiting: Vec<_> = left.iter_mut().filter_map(|next| next.peek().is_some().then_some(next)).collect();
        if waiting.is_empty() {
            break;
        }
        let picked = sim::choose(waiting.len() as u64) as usize;
        sent.extend(waiting[picked].next().map(|operation| perform(&*transport, *operation)).unwrap_or_default());
    }
    expect_each_whole_and_once(&sent);
}

fn expect_each_whole_and_once(sent: &[Vec<u8>]) {
    for (at, datagram) in sent.iter().enumerate() {
        expect_whole(datagram);
        // What is sent again has other record numbers.
        invariant!(!sent[..at].contains(datagram), "a datagram of {} bytes is handed out twice", datagram.len());
    }
}

macro_rules! historic {
    ($name:literal, $about:literal, $copies:literal, $expected:expr, $fewest:expr) => {{
        fn body() {
            drive::<Historic<$copies>>(Begun::Helloed, vec![vec![Operation::Timeout], vec![Operation::Receive]]);
        }
        fn in_sequence() {
            drive_in_sequence::<Historic<$copies>>(Begun::Helloed, &[&[Operation::Timeout], &[Operation::Receive]]);
        }
        let subject = Subject::new($name, $about, vec![On::loom($expected), On::shuttle($expected)], body);
        Subject { fewest_preemptions: $fewest, in_sequence: Some(in_sequence), ..subject }
    }};
}

macro_rules! production {
    ($name:literal, $about:literal, $begun:ident, [$($first:ident),*], [$($second:ident),*]) => {{
        fn body() {
            drive::<Production>(Begun::$begun, vec![vec![$(Operation::$first),*], vec![$(Operation::$second),*]]);
        }
        Subject::new($name, $about, vec![On::loom(Expected::Clean), On::shuttle(Expected::Clean).schedules(500)], body)
    }};
}

/// The exhibit.
pub fn exhibit() -> Exhibit {
    fn any() {
        let begun = one_of(&[Begun::Helloed, Begun::Keyed]);
        let two = || [(); 2].map(|()| one_of(&Operation::ALL)).to_vec();
        drive::<Production>(begun, vec![two(), two(), two()]);
    }
    Exhibit {
        name: "torn-flush",
        story: "a flight is put into a buffer under the lock and sent after it, and another flush fills the buffer (pjproject)",
        subjects: vec![
            historic!(
                "shipped",
                "the buffer is filled under the lock, and sent from when it is gone",
                false,
                Expected::Caught(Detector::Race),
                Some(1)
            ),
            historic!("shipped-twin", "what is sent is the sender's own copy", true, Expected::Clean, None),
            production!(
                "stack-receive-timeout",
                "our transport: the peer's flight || the first flight again",
                Helloed,
                [Timeout],
                [Receive, Receive]
            ),
            production!("stack-receive-close", "our transport: the peer's flight again || close", Keyed, [Close], [Receive]),
            production!("stack-rekey-receive", "our transport: rekey || the peer's flight again", Keyed, [Rekey], [Receive]),
            production!(
                "stack-rekey-timeout",
                "our transport: rekey || the last flight again",
                Keyed,
                [Rekey],
                [Timeout, Timeout]
            ),
            production!("stack-rekey-close", "our transport: rekey || close", Keyed, [Rekey], [Close]),
            Subject {
                must_see: Some(MustSee {
                    operations: &["transport.receive", "transport.handle_timeout", "transport.rekey", "transport.close"],
                    never: &[],
                    not_driven: &[],
                    timers: Timers::None,
                }),
                ..Subject::new(
                    "stack",
                    "our transport with a real handshake: any two operations of each of three threads",
                    vec![On::shuttle(Expected::Clean).schedules(2_000)],
                    any,
                )
            },
        ],
    }
}
