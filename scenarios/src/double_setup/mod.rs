//! Negotiation and receiving both set SRTP up, and the old one is freed before there is another.
//!
//! Upstream: Asterisk, ASTERISK-28472 (b805e12): `res_srtp` and `res_rtp_asterisk`.
//!
//! Threads: *negotiation* sets SRTP up when media are agreed on anew; the *receiver* takes packets, and sets SRTP up when the last flight
//! of a handshake comes. A set-up frees the SRTP that there is, makes another, and lets the instance point to it. Where the making fails
//! the instance points to what is gone for good.
//!
//! The failing interleavings: negotiation has freed the old one; the receiver takes a packet, and uses it. And: both have read where the
//! old one is; both free it.
//!
//! The driver gives each thread its operations. The property: no SRTP is used after its release, none is released twice or left; a packet
//! under keys that both sides have passes; and the last keys that were set up are those of both sides.

mod historic;
mod production;

use crate::dtls_setup::STACK_BYTES;
use crate::exhibit::{Exhibit, Expected, MustSee, On, Subject, Timers};
use crate::inputs::one_of;
use historic::Historic;
use production::{OfDtls, OfSdes};
use sim::sync::Arc;
use sim::thread;
use sim::time::Duration;
use sim::verdict::Detector;

/// What any operation allows itself.
const DEADLINE: Duration = Duration::from_secs(2);

/// What a thread of the driver does to the instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    /// Media are agreed on anew.
    Negotiate,
    /// The last flight of a handshake comes.
    Finish,
    /// A packet comes that was protected under the first keys.
    Unprotect,
    /// A packet is to be sent.
    Protect,
}

impl Operation {
    const ALL: [Operation; 4] = [Operation::Negotiate, Operation::Finish, Operation::Unprotect, Operation::Protect];

    const fn name(self) -> &'static str {
        match self {
            Operation::Negotiate => "instance.negotiate",
            Operation::Finish => "instance.finish",
            Operation::Unprotect => "instance.unprotect",
            Operation::Protect => "instance.protect",
        }
    }
}

/// A step of a run: an operation, and a number that no other has.
#[derive(Clone, Copy, Debug)]
struct Step {
    operation: Operation,
    number: u8,
    /// How often the run sets up: the keys before the last are known, and those before them are not.
    set_ups: usize,
}

/// An instance with its first keys: every version of the code.
trait Instance: Send + Sync + Sized + 'static {
    fn open() -> Arc<Self>;
    fn perform(&self, step: Step);
    /// The threads have ended.
    fn end(&self, steps: &[Step]);
}

fn perform<T: Instance>(instance: &T, step: Step) {
    let _operation = sim::operation(step.operation.name(), DEADLINE);
    instance.perform(step);
}

fn steps(threads: &[&[Operation]]) -> Vec<Vec<Step>> {
    let is_set_up = |operation: &&Operation| matches!(operation, Operation::Negotiate | Operation::Finish);
    let set_ups = threads.iter().copied().flatten().filter(is_set_up).count();
    let mut number = 1;
    let mut step = |operation: &Operation| {
        number += 1;
        Step { operation: *operation, number, set_ups }
    };
    threads.iter().map(|operations| operations.iter().map(&mut step).collect()).collect()
}

/// The driver: one thread does its operations, and each other its own at once.
fn drive<T: Instance>(threads: &[&[Operation]]) {
    let threads = steps(threads);
    let work = move || {
        let instance = T::open();
        let spawn = |steps: &Vec<Step>| {
            let (instance, steps) = (Arc::clone(&instance), steps.clone());
            let work = move || steps.into_iter().for_each(|step| perform(&*instance, step));
            thread::Builder::new().name("receiver").stack_size(STACK_BYTES).spawn(work).expect("the engine makes threads")
        };
        let others: Vec<_> = threads[1..].iter().map(spawn).collect();
        threads[0].iter().for_each(|step| perform(&*instance, *step));
        others.into_iter().for_each(|other| other.join().expect("a panic ends the run"));
        instance.end(&threads.concat());
    };
    let negotiation = thread::Builder::new().name("negotiation").stack_size(STACK_BYTES).spawn(work);
    negotiation.expect("the engine makes threads").join().expect("a panic ends the run");
}

/// The same operations one after the other, in an order that shuttle enumerates.
fn drive_in_sequence<T: Instance>(threads: &[&[Operation]]) {
    let (instance, threads) = (T::open(), steps(threads));
    let mut left: Vec<_> = threads.iter().map(|steps| steps.iter().peekable()).collect();
    loop {
        let mut waiting: Vec<_> = left.iter_mut().filter_map(|next| next.peek().is_some().then_some(next)).collect();
        if waiting.is_empty() {
            break;
        }
        let picked = sim::choose(waiting.len() as u64) as usize;
        waiting[picked].next().into_iter().for_each(|step| perform(&*instance, *step));
    }
    instance.end(&threads.concat());
}

macro_rules! historic {
    ($name:literal, $about:literal, $excludes:literal, $other:ident, $expected:expr, $fewest:expr) => {{
        fn body() {
            drive::<Historic<$excludes>>(&[&[Operation::Negotiate], &[Operation::$other]]);
        }
        fn in_sequence() {
            drive_in_sequence::<Historic<$excludes>>(&[&[Operation::Negotiate], &[Operation::$other]]);
        }
        let subject = Subject::new($name, $about, vec![On::loom($expected), On::shuttle($expected)], body);
        Subject { fewest_preemptions: $fewest, in_sequence: Some(in_sequence), ..subject }
    }};
}

macro_rules! production {
    ($name:literal, $about:literal, $of:ident, [$($first:ident),*], [$($second:ident),*]) => {{
        fn body() {
            drive::<$of>(&[&[$(Operation::$first),*], &[$(Operation::$second),*]]);
        }
        // With three preemptions a packet beside two set-ups takes half a minute.
        let bounds = sim::Bounds { preemptions: Some(2), ..sim::Bounds::default() };
        Subject::new($name, $about, vec![On::loom(Expected::Clean).within(bounds), On::shuttle(Expected::Clean).schedules(200)], body)
    }};
}

/// The exhibit.
pub fn exhibit() -> Exhibit {
    fn any() {
        let operations = [(); 6].map(|()| one_of(&Operation::ALL));
        let threads = [&operations[..2], &operations[2..4], &operations[4..]];
        match one_of(&[false, true]) {
            false => drive::<OfDtls>(&threads),
            true => drive::<OfSdes>(&threads),
        }
    }
    let caught = |detector| Expected::Caught(detector);
    Exhibit {
        name: "double-setup",
        story: "negotiation and receiving both set SRTP up, and free the old one first (ASTERISK-28472)",
        subjects: vec![
            historic!(
                "b805e12",
                "negotiation frees SRTP before there is another, and a packet comes",
                false,
                Unprotect,
                caught(Detector::UseAfterRelease),
                Some(1)
            ),
            historic!("b805e12-twin", "a set-up and a packet have the instance's lock", true, Unprotect, Expected::Clean, None),
            historic!(
                "b805e12-both",
                "negotiation and the receiver set SRTP up at once",
                false,
                Finish,
                caught(Detector::DoubleRelease),
                Some(1)
            ),
            historic!("b805e12-both-twin", "each set-up has the instance's lock", true, Finish, Expected::Clean, None),
            production!(
                "stack-dtls-finish-unprotect",
                "our DTLS: the last flight || packets",
                OfDtls,
                [Finish],
                [Unprotect, Unprotect]
            ),
            production!(
                "stack-dtls-finish-protect",
                "our DTLS: the last flight || packets to send",
                OfDtls,
                [Finish],
                [Protect, Protect]
            ),
            production!("stack-dtls-finish-negotiate", "our DTLS: the last flight || renegotiate", OfDtls, [Negotiate], [Finish]),
            production!(
                "stack-dtls-negotiate-unprotect",
                "our DTLS: renegotiate || packets",
                OfDtls,
                [Negotiate],
                [Unprotect, Protect]
            ),
            production!("stack-sdes-unprotect", "our SDES: new keys || packets", OfSdes, [Negotiate], [Unprotect, Protect]),
            production!("stack-sdes-both", "our SDES: new keys || new keys", OfSdes, [Negotiate], [Finish]),
            Subject {
                must_see: Some(MustSee {
                    operations: &["instance.negotiate", "instance.finish", "instance.unprotect", "instance.protect"],
                    never: &[],
                    not_driven: &[],
                    timers: Timers::None,
                }),
                ..Subject::new(
                    "stack",
                    "our DTLS and our SDES: any two operations of each of three threads",
                    vec![On::shuttle(Expected::Clean).schedules(1_500)],
                    any,
                )
            },
        ],
    }
}
