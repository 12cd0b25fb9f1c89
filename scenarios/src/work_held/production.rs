//! Our timers as the queue: callbacks that do to their heap what threads do to it at once. The production code itself.

use super::{Calls, PLAN, Plan, Queue, drive};
use crate::exhibit::{Expected, On, Sequential, Subject};
use crate::inputs::{below, one_of};
use crate::pairs::pair;
use crate::timer_cancel::{MUST_SEE, on_threads};
use crate::timer_oracle::{CLOSES_MAX, Heap, Operation, Plan as Callback, Within};
use sim::ledger::{self, ResourceId};
use sim::sync::Arc;
use sim::time::{self, Duration};
use stack::timer::{TimerConfig, TimerError, TimerId, Timers};

/// When a timer is due that is there to be cancelled.
const LATER: Duration = Duration::from_millis(20);

/// A heap whose first timer is the work.
struct Production {
    timers: Timers,
    id: TimerId,
}

/// What the callback captures, and gives back when it goes.
struct Argument(ResourceId);

impl Drop for Argument {
    fn drop(&mut self) {
        ledger::release(self.0);
    }
}

impl Queue for Production {
    fn open(plan: Plan) -> Arc<Self> {
        let timers = Timers::on_thread(TimerConfig::default()).expect("the engine makes threads");
        let argument = plan.has_argument.then(|| Argument(ledger::register("argument")));
        let work = timers.schedule_after(Duration::ZERO, move |timers, id| {
            match plan.callback {
                Calls::Nothing => {}
                Calls::Submit => match timers.schedule_after(Duration::ZERO, |_, _| {}) {
                    Ok(_) | Err(TimerError::Closed) => {}
                    Err(error) => sim::violated(format!("the heap says: {error}")),
                },
                Calls::CancelItself => drop(timers.cancel(id)),
            }
            argument.iter().for_each(|argument| ledger::touch(argument.0));
        });
        Arc::new(Production { timers, id: work.expect("the heap is open and empty") })
    }

    /// Its own thread does that.
    fn work(&self) {}

    /// And that.
    fn handle(&self) {
        time::sleep(LATER);
    }

    fn cancel(&self) {
        match self.timers.cancel_and_wait(self.id) {
            Ok(_) | Err(TimerError::CallbackGoesOn { .. }) => {}
            Err(error) => sim::violated(format!("the heap says: {error}")),
        }
    }

    fn end(&self) {
        // Loom's timers come as early as they like, so a deadline may pass while the callback is in its middle.
        let ended = (0..CLOSES_MAX).any(|_| self.timers.close().is_ok());
        sim::invariant!(ended, "the heap was not closed in {CLOSES_MAX} times the deadline");
    }
}

/// The driver of what a callback does while a thread does something.
fn drive_within(callback: Callback, of_main: Operation) {
    let heap = Heap::on_thread(TimerConfig::default());
    // The thread cancels the first, and a callback any but itself.
    heap.perform(Operation::Schedule(Duration::ZERO, callback));
    heap.perform(Operation::Schedule(LATER, Callback::Nothing));
    heap.perform(of_main);
    heap.end();
}

/// Every operation in a callback, while a thread does every operation.
macro_rules! within {
    ([$($inside:literal => $callback:expr),+ $(,)?], $outside:tt) => {{
        let mut subjects = Vec::new();
        $(within!(@one subjects, $inside, $callback, $outside);)+
        subjects
    }};
    (@one $subjects:ident, $inside:literal, $callback:expr, [$($outside:literal => $operation:expr),+ $(,)?]) => {
        $subjects.extend([$(pair(
            concat!("stack-within-", $inside, "-", $outside),
            concat!("our timers: a callback does ", $inside, " || ", $outside),
            || drive_within($callback, $operation),
        )),+]);
    };
}

fn any_callback() -> Callback {
    one_of(&[
        Callback::Reschedule,
        Callback::Do(Within::Cancel),
        Callback::Do(Within::CancelAndWait),
        Callback::Do(Within::Close),
        Callback::CancelItself,
        Callback::CancelItselfAndWait,
    ])
}

fn any_operation() -> Operation {
    match below(8) {
        0..=3 => Operation::Schedule(one_of(&[Duration::ZERO, LATER]), any_callback()),
        4 => Operation::Cancel,
        5 => Operation::CancelAndWait,
        6 => Operation::Pause(LATER),
        _ => Operation::Close,
    }
}

/// The rows of our timers, the last rows of the exhibit.
pub(super) fn subjects() -> Vec<Subject> {
    use super::Operation::{Cancel, Handle};
    const PRODUCTION: Plan = Plan { has_argument: true, ..PLAN };
    let subject = |name, about, on, body| Subject {
        name,
        about,
        on,
        fewest_preemptions: None,
        sequential: Sequential::Clean,
        body,
        in_sequence: None,
        must_see: None,
    };
    let both = || vec![On::loom(Expected::Clean), On::shuttle(Expected::Clean)];
    let mut subjects = vec![
        subject("stack-submit-cancel", "our timers: a callback that schedules || cancel", both(), || {
            drive::<Production>(Plan { callback: Calls::Submit, ..PRODUCTION }, &[], &[Cancel], &[Handle]);
        }),
        subject("stack-itself-cancel", "our timers: a callback that cancels itself || cancel", both(), || {
            drive::<Production>(Plan { callback: Calls::CancelItself, ..PRODUCTION }, &[], &[Cancel], &[Handle]);
        }),
    ];
    subjects.extend(within!(
        [
            "schedule" => Callback::Reschedule,
            "cancel" => Callback::Do(Within::Cancel),
            "cancel-and-wait" => Callback::Do(Within::CancelAndWait),
            "close" => Callback::Do(Within::Close),
        ],
        [
            "schedule" => Operation::Schedule(LATER, Callback::Nothing),
            "cancel" => Operation::Cancel,
            "cancel-and-wait" => Operation::CancelAndWait,
            "close" => Operation::Close,
        ]
    ));
    subjects.push(Subject {
        must_see: Some(MUST_SEE),
        ..subject(
            "stack",
            "our timers: callbacks that do what threads do, and any two operations of each of eight threads",
            vec![On::shuttle(Expected::Clean).schedules(10_000)],
            || on_threads(any_operation),
        )
    });
    subjects
}
