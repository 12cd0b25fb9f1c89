//! Our endpoint beside a model of its calls: what the exhibits of locks and lifetimes drive.
//!
//! The application is the worst that there may be: a recursive mutex of its own, which the types know nothing of, held around calls in
//! and taken in every callback. The oracle is a model of each call, which is changed under the dialog's lock and compared there.

use crate::inputs::{below, one_of};
use sim::invariant;
use sim::sync::{Arc, Mutex, ReentrantMutex};
use sim::time::{self, Duration, Instant};
use stack::endpoint::{
    AcquireError, Application, CallEvent, CallHandle, CallState, Callback, CreateError, DialogError, DialogId, Endpoint,
    EndpointConfig, Held, Input, Permit, Turn, Usage, UsageId, level,
};
use std::collections::BTreeMap;

/// What a thread does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Looks at a call.
    Read,
    /// Makes one, of one of a few dialogs.
    Make,
    HangUp,
    /// Brings it forward, of which the application is told.
    State,
    /// Plugs a transaction in.
    Usage,
    /// A transaction's last input.
    Input,
    /// Ends all calls, and takes no more.
    Close,
    /// Looks at a dialog by its id, as a message comes to it.
    Find,
    /// Holds the user agent's lock and then the endpoint's.
    List,
}

impl Operation {
    pub(crate) const ALL: [Operation; 9] = [
        Operation::Read,
        Operation::Make,
        Operation::HangUp,
        Operation::State,
        Operation::Usage,
        Operation::Input,
        Operation::Close,
        Operation::Find,
        Operation::List,
    ];

    fn is_of_no_call(self) -> bool {
        matches!(self, Operation::Make | Operation::Close | Operation::Find | Operation::List)
    }
}

const CALLS_MAX: usize = 3;
const STATES: [CallState; 3] = [CallState::Early, CallState::Connecting, CallState::Confirmed];

/// The endpoint, and what must be true of it.
pub(crate) struct World {
    pub(crate) endpoint: Endpoint,
    oracle: Arc<Oracle>,
}

struct Oracle {
    /// The application's own, which upstream's users have around everything.
    application: ReentrantMutex<()>,
    calls: Mutex<Calls>,
}

#[derive(Default)]
struct Calls {
    known: BTreeMap<CallHandle, Known>,
    /// Somebody has a dialog for longer than others wait for it.
    holding: bool,
    /// The endpoint was told to close, and hangs up what it finds: the model learns that when it looks.
    closing: bool,
    /// Callbacks take their time, some of them.
    slow: Option<Duration>,
    /// How often a call or a dialog was said to be over.
    stale: u64,
}

/// A call as its operations have it.
#[derive(Default)]
struct Known {
    dialog: usize,
    state: Option<CallState>,
    usages: Vec<UsageId>,
    told: Option<CallState>,
    /// A callback of it goes on.
    called: bool,
    /// It is being hung up by who does not have the dialog: the model learns that when it looks.
    ending: bool,
}

impl Known {
    fn state(&self) -> CallState {
        self.state.unwrap_or(CallState::Calling)
    }

    fn is_over(&self) -> bool {
        self.state() == CallState::Disconnected && self.usages.is_empty()
    }
}

impl Oracle {
    /// As [`World::with`], from any permit.
    fn with<R>(
        &self,
        endpoint: &Endpoint,
        root: &mut Permit<'_, level::Root>,
        call: CallHandle,
        f: impl FnOnce(&mut Held<'_>, &mut Known) -> R,
    ) -> Option<R> {
        let result = endpoint.with_call(root, call, |dialog, _| {
            invariant!(dialog.call() == call, "{call} is {}", dialog.call());
            self.known(dialog, f)
        });
        self.had(Some(call), result)
    }

    /// What is known of the dialog that is held is how it is.
    fn known<R>(&self, dialog: &mut Held<'_>, f: impl FnOnce(&mut Held<'_>, &mut Known) -> R) -> R {
        let mut calls = self.calls.lock();
        let (call, closing) = (dialog.call(), calls.closing);
        let known = calls.known.entry(call).or_default();
        let number = &dialog.id().call_id;
        invariant!(*number == known.dialog.to_string(), "{call} of dialog {} is of {number}", known.dialog);
        if (closing || known.ending) && dialog.state() == CallState::Disconnected {
            known.state = Some(CallState::Disconnected);
        }
        let is_known = (known.state(), known.usages.len());
        invariant!((dialog.state(), dialog.usages()) == is_known, "{call} is {dialog:?}, and was {is_known:?}");
        f(dialog, known)
    }

    /// What is acceptable of an acquisition.
    fn had<R>(&self, call: Option<CallHandle>, result: Result<R, AcquireError>) -> Option<R> {
        let mut calls = self.calls.lock();
        match result {
            Ok(value) => return Some(value),
            Err(AcquireError::Stale(stale)) => {
                calls.stale += 1;
                let is_over = |known: &Known| {
                    known.usages.is_empty() && (known.state() == CallState::Disconnected || known.ending || calls.closing)
                };
                invariant!(call == Some(stale.call), "{call:?} was asked for, and {} is said to be over", stale.call);
                invariant!(calls.known.get(&stale.call).is_some_and(is_over), "{} is said to be over, and goes on", stale.call);
            }
            Err(AcquireError::TimedOut { deadline }) => {
                let is_slow = time::has_run_ahead() || calls.holding;
                invariant!(is_slow, "{call:?} was not had in {deadline:?}, though nothing was slow");
            }
            Err(error) => sim::violated(format!("the endpoint says: {error}")),
        }
        None
    }

    fn hang_up(&self, endpoint: &Endpoint, root: &mut Permit<'_, level::Root>, call: CallHandle) {
        if below(2) == 1 {
            self.calls.lock().known.entry(call).or_default().ending = true;
            let ended = endpoint.hang_up(root, call);
            self.had(Some(call), ended);
            return;
        }
        // Known beforehand, as the callback comes before it returns.
        let before = self.with(endpoint, root, call, |dialog, known| {
            let goes_on = dialog.hang_up();
            invariant!(goes_on == (known.state() != CallState::Disconnected), "{call} was hung up: {goes_on}");
            known.state = Some(CallState::Disconnected);
        });
        if before.is_some() {
            let again = endpoint.hang_up(root, call);
            invariant!(self.had(Some(call), again) != Some(true), "{call} was hung up twice");
        }
    }
}

fn dialog_id(number: usize) -> DialogId {
    DialogId { call_id: number.to_string(), local_tag: "ours".to_owned(), remote_tag: String::new() }
}

struct User(Arc<Oracle>);

impl Application for User {
    fn on_call(&self, event: CallEvent, callback: &mut Callback<'_>) {
        {
            let mut calls = self.0.calls.lock();
            let known = calls.known.entry(event.call).or_default();
            invariant!(!known.called, "two callbacks of {} at once", event.call);
            invariant!(known.told < Some(event.state), "{} is told {:?} after {:?}", event.call, event.state, known.told);
            known.called = true;
            known.told = Some(event.state);
        }
        drop(self.0.application.lock());
        let slow = self.0.calls.lock().slow;
        if let Some(duration) = slow.filter(|_| below(2) == 1) {
            time::sleep(duration);
        }
        // Gives the call up, or not.
        if event.state != CallState::Disconnected && below(2) == 0 {
            let oracle = Arc::clone(&self.0);
            let asked = callback.then(move |endpoint, root| {
                let _operation = sim::operation("call.request", None);
                oracle.hang_up(endpoint, root, event.call);
            });
            invariant!(asked == Ok(()), "a request of {} was refused: {asked:?}", event.call);
        }
        self.0.calls.lock().known.entry(event.call).or_default().called = false;
    }

    fn send(&self, _dialog: &DialogId, message: &[u8], _: &mut Callback<'_>) {
        invariant!(message == b"ACK", "a message that nobody sent: {message:?}");
    }
}

/// Ends with its first input, which it answers.
struct Transaction;

impl Usage for Transaction {
    fn on_input(&mut self, _input: Input<'_>, _now: Instant, turn: &mut Turn<'_>) {
        // Refused where the outbox is full: a response that is lost.
        let _ = turn.send(b"ACK".to_vec());
        turn.end();
    }
}

impl World {
    pub(crate) fn open() -> Arc<Self> {
        let config = EndpointConfig { calls_max: CALLS_MAX, usages_max: 2, outbox_max: 4, ..EndpointConfig::default() };
        let oracle = Arc::new(Oracle { application: ReentrantMutex::new(()), calls: Mutex::default() });
        Arc::new(World { endpoint: Endpoint::new(config, User(Arc::clone(&oracle))), oracle })
    }

    /// Makes a call of this dialog, if there is room.
    pub(crate) fn make(&self, number: usize) {
        let mut root = self.endpoint.enter().expect("a thread of the driver is outside");
        let is_new = |dialog: &mut Held<'_>| {
            let known = Known { dialog: number, ..Known::default() };
            let known = self.oracle.calls.lock().known.insert(dialog.call(), known);
            invariant!(known.is_none(), "{} is the name of an earlier call", dialog.call());
        };
        match self.endpoint.make_call(&mut root, dialog_id(number), |dialog, _| is_new(dialog)) {
            Ok(_) | Err(CreateError::Exists { .. } | CreateError::Full { .. } | CreateError::Closed) => {}
            Err(error) => sim::violated(format!("the endpoint says: {error}")),
        }
    }

    /// Does something to a call, under its dialog's lock, with what is known of it.
    fn with<R>(&self, call: CallHandle, f: impl FnOnce(&mut Held<'_>, &mut Known) -> R) -> Option<R> {
        let mut root = self.endpoint.enter().expect("a thread of the driver is outside");
        self.oracle.with(&self.endpoint, &mut root, call, f)
    }

    /// Looks at the dialog of this number.
    fn find(&self, number: usize) {
        let mut root = self.endpoint.enter().expect("a thread of the driver is outside");
        let id = dialog_id(number);
        let found = self.endpoint.with_dialog(&mut root, &id, |dialog, _| {
            invariant!(*dialog.id() == id, "{id} is {}", dialog.id());
            self.oracle.known(dialog, |_, _| ());
        });
        match found {
            Err(AcquireError::NoSuchDialog { .. }) => self.oracle.calls.lock().stale += 1,
            // What it is of is not known here, and what is acceptable is the same.
            other => _ = self.oracle.had(None, other),
        }
    }

    /// The set and the slots hold the same dialogs, whoever looks.
    fn list(&self) {
        let mut root = self.endpoint.enter().expect("a thread of the driver is outside");
        let (set, mut permit) = self.endpoint.dialogs(&mut root);
        let (slots, _) = self.endpoint.calls(&mut permit);
        let mut of_calls: Vec<&DialogId> = slots.handles().filter_map(|call| slots.dialog_id(call).ok()).collect();
        of_calls.sort();
        invariant!(set.ids().eq(of_calls.iter().copied()), "the set has {set:?}, the slots {of_calls:?}");
        invariant!(of_calls.len() <= CALLS_MAX, "{} calls of {CALLS_MAX}", of_calls.len());
    }

    /// As it must not be: with the application's mutex around the call in.
    pub(crate) fn perform_inverted(&self, operation: Operation) {
        let _application = self.oracle.application.lock();
        self.perform(operation);
    }

    pub(crate) fn perform(&self, operation: Operation) {
        let any = {
            let calls = self.oracle.calls.lock();
            match calls.known.len() {
                0 => None,
                count => calls.known.keys().nth(below(count)).copied(),
            }
        };
        let Some(call) = any.filter(|_| !operation.is_of_no_call()) else {
            return match operation {
                Operation::Close => self.close(),
                Operation::Find => self.find(below(CALLS_MAX)),
                Operation::List => self.list(),
                // On loom, where nothing is drawn, the one that is not there yet.
                _ => self.make((below(CALLS_MAX) + 1) % CALLS_MAX),
            };
        };
        match operation {
            Operation::Make | Operation::Close | Operation::Find | Operation::List => {}
            Operation::Read => _ = self.with(call, |_, _| ()),
            Operation::HangUp => self.hang_up(call),
            Operation::State => {
                let _operation = sim::operation("call.set_state", None);
                self.with(call, |dialog, known| {
                    let to = one_of(&STATES);
                    match dialog.set_state(to) {
                        Ok(()) => {
                            invariant!(known.state() < to, "{call} went from {:?} to {to:?}", known.state());
                            known.state = Some(to);
                        }
                        Err(DialogError::Backward { from, .. }) => invariant!(from >= to, "{call} went back"),
                        Err(error) => invariant!(matches!(error, DialogError::OutboxFull { .. }), "{call}: {error}"),
                    }
                });
            }
            Operation::Usage => {
                self.with(call, |dialog, known| match dialog.add_usage(Transaction) {
                    Ok(usage) => {
                        // Who waited for a dialog that is over has it, and cannot bring it back.
                        invariant!(!known.is_over(), "{call} is over, and takes a usage");
                        known.usages.push(usage);
                    }
                    Err(DialogError::Ended) => invariant!(known.is_over(), "{call} goes on, and takes no usage"),
                    Err(error) => invariant!(known.usages.len() == 2, "{call}: {error}"),
                });
            }
            Operation::Input => {
                let _operation = sim::operation("call.input", None);
                let ended = self.with(call, |dialog, known| {
                    let usage = known.usages.pop()?;
                    if below(2) == 1 {
                        let ended = dialog.end_usage(usage);
                        invariant!(ended.is_some(), "{call} has lost a transaction");
                        return ended;
                    }
                    let given = dialog.input(usage, Input::Message(b"200 OK"), Instant::now());
                    invariant!(given == Ok(()), "{call}: {given:?}");
                    None
                });
                drop(ended);
            }
        }
    }

    /// From now on some callbacks take so long.
    pub(crate) fn call_slowly(&self, duration: Duration) {
        self.oracle.calls.lock().slow = Some(duration);
    }

    /// Has the dialog of this call for long.
    pub(crate) fn hold(&self, call: CallHandle, duration: Duration) {
        self.oracle.calls.lock().holding = true;
        let mut root = self.endpoint.enter().expect("a thread of the driver is outside");
        let held = self.endpoint.with_call(&mut root, call, |_, _| {
            let _operation = sim::operation("call.held", None);
            time::sleep(duration);
        });
        self.oracle.had(Some(call), held);
    }

    /// Every call that there ever was.
    pub(crate) fn calls(&self) -> Vec<CallHandle> {
        self.oracle.calls.lock().known.keys().copied().collect()
    }

    pub(crate) fn hang_up(&self, call: CallHandle) {
        let mut root = self.endpoint.enter().expect("a thread of the driver is outside");
        self.oracle.hang_up(&self.endpoint, &mut root, call);
    }

    fn close(&self) {
        self.oracle.calls.lock().closing = true;
        let mut root = self.endpoint.enter().expect("a thread of the driver is outside");
        self.endpoint.close(&mut root);
    }

    /// After all threads have ended: every call ends, and what was told and counted is what happened.
    pub(crate) fn end(&self) {
        self.oracle.calls.lock().slow = None;
        for call in self.calls() {
            self.hang_up(call);
            for _ in 0..2 {
                self.with(call, |dialog, known| known.usages.pop().map(|usage| dialog.end_usage(usage)));
            }
        }
        let mut root = self.endpoint.enter().expect("a thread of the driver is outside");
        let left = self.endpoint.close(&mut root);
        let counters = self.endpoint.calls(&mut root).0.counters();
        let known = std::mem::take(&mut self.oracle.calls.lock().known);
        invariant!(left == 0 && counters.ended == counters.made, "{left} calls are left: {counters:?}");
        invariant!(counters.made == known.len() as u64, "made {}, known {}", counters.made, known.len());
        for (call, known) in &known {
            invariant!(known.told == Some(CallState::Disconnected), "{call} was told {:?} last", known.told);
        }
        invariant!(counters.callback_panics == 0, "a callback panicked");
        let calls = self.oracle.calls.lock();
        // What the endpoint's own close found to be over is not known here.
        let is_counted = if calls.closing { counters.stale >= calls.stale } else { counters.stale == calls.stale };
        invariant!(is_counted, "{} handles and ids were stale, and {} were counted", calls.stale, counters.stale);
        drop(calls);
        invariant!(self.endpoint.dialogs(&mut root).0.ids().count() == 0, "the user agent knows a dialog of no call");
        let id = DialogId { call_id: "late".to_owned(), local_tag: "ours".to_owned(), remote_tag: String::new() };
        let late = self.endpoint.make_call(&mut root, id, |_, _| ());
        invariant!(late == Err(CreateError::Closed), "a call is made after the end: {late:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sim::Engine;
    use sim::explore::Check;
    use sim::verdict::Verdict;

    #[test]
    fn an_endpoint_that_goes_with_calls_in_it_leaves_nothing() {
        for engine in [Engine::Shuttle, Engine::Loom] {
            let check = Check::new("endpoint_oracle", "calls-left", engine).schedules(10);
            let report = check.run(|| (0..2).for_each(|number| World::open().make(number)));
            assert_eq!(report.verdict, Verdict::Clean, "{engine}: {}", report.verdict);
        }
    }
}
