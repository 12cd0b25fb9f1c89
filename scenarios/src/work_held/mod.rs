//! A work queue holds the work's mutex while it calls the application, which calls the queue.
//!
//! Upstream: re, `src/async/async.c`, #857 (7e8bec6), #1503 (6b3b532).
//!
//! Threads: a *worker* runs the handler of a piece of work; the *main* loop calls its callback when that is done; either of them, or
//! another thread of the *application*, may submit more or cancel. Locks: the queue's own mutex, for its lists, and one of each
//! piece of work. Who cancels holds the queue's and takes the work's.
//!
//! 7e8bec6 brought the work's mutex, held across the handler and across the callback. The failing interleaving: main is in the
//! callback, with the work's mutex; the application cancels the work, has the queue's mutex, and waits for the work's; the callback
//! submits more, and waits for the queue's. It needs no second thread if the callback cancels its own work: no mutex here is recursive.
//!
//! 6b3b532 copies the callback and its argument and gives the mutex back before the call. The handler is called with it as before,
//! which is the same deadlock with the worker in main's place. And the argument is still the work's: who cancels while the
//! callback goes on gives it back under the callback, which nothing waits for any more.
//!
//! The driver gives each thread its operations, and says what the handler and the callback do. The property: all come to their end,
//! and the argument is given back once and not used after.

mod historic;
mod production;

use crate::exhibit::{Exhibit, Expected, On, Sequential, Subject};
use historic::Historic;
use sim::sync::Arc;
use sim::thread;
use sim::verdict::Detector;

/// What a thread of the driver does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    /// The worker's turn.
    Work,
    /// The main loop's turn.
    Handle,
    Cancel,
}

/// What the application does when it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Calls {
    Nothing,
    /// It submits more work.
    Submit,
    /// It cancels the work for which it is called.
    CancelItself,
}

/// A piece of work.
#[derive(Clone, Copy, Debug)]
struct Plan {
    handler: Calls,
    callback: Calls,
    has_argument: bool,
}

const PLAN: Plan = Plan { handler: Calls::Nothing, callback: Calls::Nothing, has_argument: false };

/// A queue with one piece of work: every version of the code.
trait Queue: Send + Sync + Sized + 'static {
    fn open(plan: Plan) -> Arc<Self>;
    fn work(&self);
    fn handle(&self);
    fn cancel(&self);
    fn end(&self);
}

fn perform<T: Queue>(queue: &T, operation: Operation) {
    match operation {
        Operation::Work => queue.work(),
        Operation::Handle => queue.handle(),
        Operation::Cancel => queue.cancel(),
    }
}

/// The driver: some has been done before, and then main and another thread do their operations at once.
fn drive<T: Queue>(plan: Plan, before: &[Operation], main: &[Operation], other: &[Operation]) {
    let queue = T::open(plan);
    before.iter().for_each(|operation| perform(&*queue, *operation));
    let thread = {
        let (queue, operations) = (Arc::clone(&queue), other.to_vec());
        let work = move || operations.into_iter().for_each(|operation| perform(&*queue, operation));
        thread::Builder::new().name("other").spawn(work).expect("the engine makes threads")
    };
    main.iter().for_each(|operation| perform(&*queue, *operation));
    thread.join().expect("a panic ends the run");
    queue.end();
}

/// The same operations one after the other, in an order that shuttle enumerates.
fn drive_in_sequence<T: Queue>(plan: Plan, before: &[Operation], main: &[Operation], other: &[Operation]) {
    let queue = T::open(plan);
    before.iter().for_each(|operation| perform(&*queue, *operation));
    let (first, second) = if sim::choose(2) == 0 { (main, other) } else { (other, main) };
    first.iter().chain(second).for_each(|operation| perform(&*queue, *operation));
    queue.end();
}

macro_rules! subject {
    ($name:literal, $about:literal, $version:expr, $plan:expr, $before:expr, $main:expr, $other:expr, $expected:expr, $fewest:expr,
     $sequential:expr) => {{
        fn body() {
            historic::choose($version);
            drive::<Historic>($plan, &$before, &$main, &$other);
        }
        fn in_sequence() {
            historic::choose($version);
            drive_in_sequence::<Historic>($plan, &$before, &$main, &$other);
        }
        Subject {
            name: $name,
            about: $about,
            on: vec![On::loom($expected), On::shuttle($expected)],
            fewest_preemptions: $fewest,
            sequential: $sequential,
            body,
            in_sequence: Some(in_sequence),
            must_see: None,
        }
    }};
}

/// A historic subject and its twin: the same with the one change that mends it.
macro_rules! pair {
    ($name:literal, $about:literal, $version:expr, $twin:literal, $mended:literal, $change:expr, $plan:expr,
     before $before:expr, $main:expr, $other:expr, $detector:ident, fewest $fewest:literal, $sequential:expr) => {
        [
            subject!(
                $name,
                $about,
                $version,
                $plan,
                $before,
                $main,
                $other,
                Expected::Caught(Detector::$detector),
                Some($fewest),
                $sequential
            ),
            subject!($twin, $mended, $change, $plan, $before, $main, $other, Expected::Clean, None, Sequential::Clean),
        ]
    };
}

/// The exhibit.
pub fn exhibit() -> Exhibit {
    use Operation::{Cancel, Handle, Work};
    let mut subjects = Vec::new();
    subjects.extend(pair!(
        "7e8bec6", "the callback submits work with its own work's mutex held, who cancels has the queue's and wants the work's",
        historic::V_7E8BEC6,
        "7e8bec6-twin", "the callback and its argument are taken out, and the mutex is given back before the call",
        historic::V_7E8BEC6.taking_the_callback(),
        Plan { callback: Calls::Submit, ..PLAN }, before [Work], [Handle], [Cancel],
        Deadlock, fewest 1, Sequential::Clean
    ));
    subjects.extend(pair!(
        "7e8bec6-itself", "the callback cancels its own work, whose mutex is held",
        historic::V_7E8BEC6,
        "7e8bec6-itself-twin", "the callback and its argument are taken out, and the mutex is given back before the call",
        historic::V_7E8BEC6.taking_the_callback(),
        Plan { callback: Calls::CancelItself, ..PLAN }, before [Work], [Handle], [],
        Deadlock, fewest 0, Sequential::Fails("a thread waits for a mutex that it has")
    ));
    // What the main loop does follows what the worker does in any case, so one thread has both turns.
    subjects.extend(pair!(
        "patched-6b3b532-handler", "the handler submits work with its own work's mutex held, who cancels has the queue's",
        historic::V_6B3B532,
        "patched-6b3b532-handler-twin", "the mutex is given back before the handler is called",
        historic::V_6B3B532.taking_the_handler(),
        Plan { handler: Calls::Submit, ..PLAN }, before [], [Work, Handle], [Cancel],
        Deadlock, fewest 1, Sequential::Clean
    ));
    subjects.extend(pair!(
        "patched-6b3b532-argument", "who cancels gives back the argument of a callback that goes on",
        historic::V_6B3B532,
        "patched-6b3b532-argument-twin", "the callback has its argument for itself",
        historic::V_6B3B532.taking_the_callback(),
        Plan { has_argument: true, ..PLAN }, before [Work], [Handle], [Cancel],
        UseAfterRelease, fewest 1, Sequential::Clean
    ));
    subjects.extend(production::subjects());
    Exhibit {
        name: "work-held",
        story: "a work queue holds a mutex while it calls the application, which calls the queue (re #857, #1503)",
        subjects,
    }
}
