//! The receiver is in a context that is freed under it.
//!
//! Upstream: baresip, #3012 (c3fb484): `modules/srtp`; and `modules/gzrtp`, `Stream::stop` and `srtpSecretsOff`.
//!
//! Threads: *media* receives packets and unprotects each in the stream's receive context; *main* handles signalling, and gives the
//! stream new keys or stops it. As it shipped, main frees the context and makes another; media has read where the first one was.
//! gzrtp unlinks its receiver before it frees the context, which waits for nobody that is in it already.
//!
//! The failing interleaving: media reads where the context is; main frees it; media uses it.
//!
//! The driver gives each thread its operations. The property: no context is used after its release, none is released twice, and none
//! is left at the end; a packet decrypts to what was sent, or is refused for a reason that there is; what is protected under whichever
//! keys, their receiver takes; a packet that was in flight while keys changed is not lost.

mod historic;
mod production;

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

/// What a thread of the driver does to the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    /// A packet comes that was protected under the first keys.
    Unprotect,
    /// A packet comes that was protected under the keys that `main` brings first.
    UnprotectNew,
    /// A packet is to be sent.
    Protect,
    /// The session goes on under other keys.
    Rekey,
    /// The session begins anew under other keys.
    Key,
    /// The session ends.
    Stop,
}

impl Operation {
    const ALL: [Operation; 6] =
        [Operation::Unprotect, Operation::UnprotectNew, Operation::Protect, Operation::Rekey, Operation::Key, Operation::Stop];

    const fn name(self) -> &'static str {
        match self {
            Operation::Unprotect | Operation::UnprotectNew => "session.unprotect",
            Operation::Protect => "session.protect",
            Operation::Rekey => "session.rekey",
            Operation::Key => "session.key",
            Operation::Stop => "session.stop",
        }
    }
}

/// A step of a run: an operation, and its number, which names a packet's sequence number or the keys that it brings.
#[derive(Clone, Copy, Debug)]
struct Step {
    operation: Operation,
    number: u8,
    /// Nothing in this run takes the first keys away: a packet under them is in time.
    keeps_first_keys: bool,
    /// The run stops the session somewhere: it may be without keys.
    may_be_stopped: bool,
}

/// The keys that a session begins with.
const FIRST_KEYS: u8 = 0;
/// The number of the first step of `main`.
const FIRST_STEP: u8 = 1;

/// A session that is keyed when it is opened: every version of the code.
trait Session: Send + Sync + Sized + 'static {
    fn open() -> Arc<Self>;
    fn perform(&self, step: Step);
    /// The threads have ended; so many packets were given to be protected and unprotected. The session ends.
    fn end(&self, protects: u64, unprotects: u64);
}

fn steps(threads: &[&[Operation]]) -> Vec<Vec<Step>> {
    let count = |wanted: &[Operation]| threads.iter().copied().flatten().filter(|operation| wanted.contains(operation)).count();
    // The keys before the last are known, and those before them are not.
    let keeps_first_keys = count(&[Operation::Key, Operation::Stop]) == 0 && count(&[Operation::Rekey]) <= 1;
    let may_be_stopped = count(&[Operation::Stop]) > 0;
    let mut number = FIRST_STEP - 1;
    let mut step = |operation: &Operation| {
        number += 1;
        Step { operation: *operation, number, keeps_first_keys, may_be_stopped }
    };
    threads.iter().map(|operations| operations.iter().map(&mut step).collect()).collect()
}

fn perform<T: Session>(session: &T, step: Step) {
    let _operation = sim::operation(step.operation.name(), DEADLINE);
    session.perform(step);
}

fn end<T: Session>(session: &T, threads: &[Vec<Step>]) {
    let count = |name: &str| threads.iter().flatten().filter(|step| step.operation.name() == name).count() as u64;
    session.end(count("session.protect"), count("session.unprotect"));
}

/// The driver: main does its operations, and each other thread its own at once.
fn drive<T: Session>(threads: &[&[Operation]]) {
    let session = T::open();
    let threads = steps(threads);
    let others: Vec<_> = threads[1..]
        .iter()
        .map(|steps| {
            let (session, steps) = (Arc::clone(&session), steps.clone());
            let work = move || steps.into_iter().for_each(|step| perform(&*session, step));
            thread::Builder::new().name("media").spawn(work).expect("the engine makes threads")
        })
        .collect();
    threads[0].iter().for_each(|step| perform(&*session, *step));
    for other in others {
        other.join().expect("a panic ends the run");
    }
    end(&*session, &threads);
}

/// The same operations one after the other, in an order that shuttle enumerates.
fn drive_in_sequence<T: Session>(threads: &[&[Operation]]) {
    let session = T::open();
    let threads = steps(threads);
    let mut left: Vec<_> = threads.iter().map(|steps| steps.iter().peekable()).collect();
    loop {
        let mut waiting: Vec<_> = left.iter_mut().filter_map(|steps| steps.peek().is_some().then_some(steps)).collect();
        if waiting.is_empty() {
            break;
        }
        let picked = sim::choose(waiting.len() as u64) as usize;
        if let Some(step) = waiting[picked].next() {
            perform(&*session, *step);
        }
    }
    end(&*session, &threads);
}

macro_rules! pair {
    ($name:literal, $about:literal, $twin:literal, $mended:literal, $main:ident) => {{
        fn body() {
            drive::<Historic<false>>(&[&[Operation::$main], &[Operation::Unprotect]]);
        }
        fn in_sequence() {
            drive_in_sequence::<Historic<false>>(&[&[Operation::$main], &[Operation::Unprotect]]);
        }
        fn twin() {
            drive::<Historic<true>>(&[&[Operation::$main], &[Operation::Unprotect]]);
        }
        fn twin_in_sequence() {
            drive_in_sequence::<Historic<true>>(&[&[Operation::$main], &[Operation::Unprotect]]);
        }
        let caught = Expected::Caught(Detector::UseAfterRelease);
        let historic = Subject::new($name, $about, vec![On::loom(caught), On::shuttle(caught)], body);
        let mended = Subject::new($twin, $mended, vec![On::loom(Expected::Clean), On::shuttle(Expected::Clean)], twin);
        [
            // Main is interrupted before it has done anything, and media where it has read.
            Subject { fewest_preemptions: Some(2), in_sequence: Some(in_sequence), ..historic },
            Subject { in_sequence: Some(twin_in_sequence), ..mended },
        ]
    }};
}

macro_rules! production {
    ($name:literal, $about:literal, [$($main:ident),*], [$($media:ident),*]) => {{
        fn body() {
            drive::<Production>(&[&[$(Operation::$main),*], &[$(Operation::$media),*]]);
        }
        Subject::new($name, $about, vec![On::loom(Expected::Clean), On::shuttle(Expected::Clean)], body)
    }};
}

/// The exhibit.
pub fn exhibit() -> Exhibit {
    fn any() {
        let operations = [(); 6].map(|()| one_of(&Operation::ALL));
        drive::<Production>(&[&operations[..2], &operations[2..4], &operations[4..]]);
    }
    let mut subjects = Vec::new();
    subjects.extend(pair!(
        "shipped-rekey",
        "main frees the context and makes another while media is in it",
        "shipped-rekey-twin",
        "they exchange and use the context under a lock",
        Rekey
    ));
    subjects.extend(pair!(
        "shipped-stop",
        "main unlinks and frees the context while media is in it",
        "shipped-stop-twin",
        "they unlink and use the context under a lock",
        Stop
    ));
    subjects.extend([
        production!("stack-rekey-unprotect", "our session: rekey || packets under both keys", [Rekey], [Unprotect, UnprotectNew]),
        production!("stack-key-unprotect", "our session: key || packets under both keys", [Key], [Unprotect, UnprotectNew]),
        production!("stack-stop-unprotect", "our session: stop || two packets", [Stop], [Unprotect, Unprotect]),
        production!("stack-rekey-protect", "our session: rekey || two packets to send", [Rekey], [Protect, Protect]),
        production!("stack-key-protect", "our session: key || two packets to send", [Key], [Protect, Protect]),
        production!("stack-stop-protect", "our session: stop || two packets to send", [Stop], [Protect, Protect]),
        production!("stack-protect-unprotect", "our session: packets both ways", [Protect, Unprotect], [Unprotect, Protect]),
        production!("stack-rekey-rekey", "our session: rekey || rekey", [Rekey], [Rekey]),
        production!("stack-rekey-key", "our session: rekey || key", [Rekey], [Key]),
        production!("stack-rekey-stop", "our session: rekey || stop", [Rekey], [Stop]),
        production!("stack-key-key", "our session: key || key", [Key], [Key]),
        production!("stack-key-stop", "our session: key || stop", [Key], [Stop]),
        production!("stack-stop-stop", "our session: stop || stop", [Stop], [Stop]),
        Subject {
            must_see: Some(MustSee {
                operations: &["session.unprotect", "session.protect", "session.rekey", "session.key", "session.stop"],
                never: &[],
                not_driven: &[],
                timers: Timers::None,
            }),
            ..Subject::new(
                "stack",
                "our session: any two operations of each of three threads",
                vec![On::shuttle(Expected::Clean).schedules(5_000)],
                any,
            )
        },
    ]);
    Exhibit {
        name: "rekey-under-rx",
        story: "the receive context is freed while the receiver is in it (baresip #3012, and gzrtp)",
        subjects,
    }
}
