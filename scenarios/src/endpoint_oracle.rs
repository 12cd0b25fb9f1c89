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
    EndpointConfig, Held, Input, Turn, Usage, UsageId,
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
}

impl Operation {
    pub(crate) const ALL: [Operation; 7] = [
        Operation::Read,
        Operation::Make,
        Operation::HangUp,
        Operation::State,
        Operation::Usage,
        Operation::Input,
        Operation::Close,
    ];
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
}

impl Known {
    fn state(&self) -> CallState {
        self.state.unwrap_or(CallState::Calling)
    }

    fn is_over(&self) -> bool {
        self.state() == CallState::Disconnected && self.usages.is_empty()
    }
}

struct User(Arc<Oracle>);

impl Application for User {
    fn on_call(&self, event: CallEvent, _callback: &mut Callback<'_>) {
        {
            let mut calls = self.0.calls.lock();
            let known = calls.known.entry(event.call).or_default();
            invariant!(!known.called, "two callbacks of {} at once", event.call);
            invariant!(known.told < Some(event.state), "{} is told {:?} after {:?}", event.call, event.state, known.told);
            known.called = true;
            known.told = Some(event.state);
        }
        drop(self.0.application.lock());
        self.0.calls.lock().known.entry(event.call).or_default().called = false;
    }

    fn send(&self, _dialog: &DialogId, message: &[u8]) {
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
        let id = DialogId { call_id: number.to_string(), local_tag: "ours".to_owned(), remote_tag: String::new() };
        let is_new = |dialog: &mut Held<'_>| {
            let known = Known { dialog: number, ..Known::default() };
            let known = self.oracle.calls.lock().known.insert(dialog.call(), known);
            invariant!(known.is_none(), "{} is the name of an earlier call", dialog.call());
        };
        match self.endpoint.make_call(&mut root, id, |dialog, _| is_new(dialog)) {
            Ok(_) | Err(CreateError::Exists { .. } | CreateError::Full { .. } | CreateError::Closed) => {}
            Err(error) => sim::violated(format!("the endpoint says: {error}")),
        }
    }

    /// Does something to a call, under its dialog's lock, with what is known of it.
    fn with<R>(&self, call: CallHandle, f: impl FnOnce(&mut Held<'_>, &mut Known) -> R) -> Option<R> {
        let mut root = self.endpoint.enter().expect("a thread of the driver is outside");
        let result = self.endpoint.with_call(&mut root, call, |dialog, _| {
            let mut calls = self.oracle.calls.lock();
            let closing = calls.closing;
            let known = calls.known.entry(call).or_default();
            let is = (dialog.call(), &dialog.id().call_id);
            invariant!(is == (call, &known.dialog.to_string()), "{call} of dialog {} is {is:?}", known.dialog);
            if closing && dialog.state() == CallState::Disconnected {
                known.state = Some(CallState::Disconnected);
            }
            let is_known = (known.state(), known.usages.len());
            invariant!((dialog.state(), dialog.usages()) == is_known, "{call} is {dialog:?}, and was {is_known:?}");
            f(dialog, known)
        });
        self.had(call, result)
    }

    /// What is acceptable of an acquisition.
    fn had<R>(&self, call: CallHandle, result: Result<R, AcquireError>) -> Option<R> {
        match result {
            Ok(value) => return Some(value),
            Err(AcquireError::Stale(_)) => {
                let calls = self.oracle.calls.lock();
                let is_over =
                    |known: &Known| known.usages.is_empty() && (known.state() == CallState::Disconnected || calls.closing);
                invariant!(calls.known.get(&call).is_some_and(is_over), "{call} is said to be over, and goes on");
            }
            Err(AcquireError::TimedOut { deadline }) => {
                let is_slow = time::has_run_ahead() || self.oracle.calls.lock().holding;
                invariant!(is_slow, "{call} was not had in {deadline:?}, though nothing was slow");
            }
            Err(error) => sim::violated(format!("the endpoint says: {error}")),
        }
        None
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
        let Some(call) = any.filter(|_| !matches!(operation, Operation::Make | Operation::Close)) else {
            return match operation {
                Operation::Close => self.close(),
                // On loom, where nothing is drawn, the one that is not there yet.
                _ => self.make((below(CALLS_MAX) + 1) % CALLS_MAX),
            };
        };
        match operation {
            Operation::Make | Operation::Close => {}
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
                self.with(call, |dialog, known| {
                    let Some(usage) = known.usages.pop() else { return };
                    let given = dialog.input(usage, Input::Message(b"200 OK"), Instant::now());
                    invariant!(given == Ok(()), "{call}: {given:?}");
                });
            }
        }
    }

    /// Has the dialog of this call for long.
    pub(crate) fn hold(&self, call: CallHandle, duration: Duration) {
        self.oracle.calls.lock().holding = true;
        let mut root = self.endpoint.enter().expect("a thread of the driver is outside");
        let held = self.endpoint.with_call(&mut root, call, |_, _| {
            let _operation = sim::operation("call.held", None);
            time::sleep(duration);
        });
        self.had(call, held);
    }

    /// Every call that there ever was.
    pub(crate) fn calls(&self) -> Vec<CallHandle> {
        self.oracle.calls.lock().known.keys().copied().collect()
    }

    pub(crate) fn hang_up(&self, call: CallHandle) {
        // Known beforehand, as the callback comes before it returns.
        let before = self.with(call, |dialog, known| {
            let goes_on = dialog.hang_up();
            invariant!(goes_on == (known.state() != CallState::Disconnected), "{call} was hung up: {goes_on}");
            known.state = Some(CallState::Disconnected);
        });
        if before.is_some() {
            let mut root = self.endpoint.enter().expect("a thread of the driver is outside");
            let again = self.endpoint.hang_up(&mut root, call);
            invariant!(self.had(call, again) != Some(true), "{call} was hung up twice");
        }
    }

    fn close(&self) {
        self.oracle.calls.lock().closing = true;
        let mut root = self.endpoint.enter().expect("a thread of the driver is outside");
        self.endpoint.close(&mut root);
    }

    /// After all threads have ended: every call ends, and what was told and counted is what happened.
    pub(crate) fn end(&self) {
        for call in self.calls() {
            self.hang_up(call);
            for _ in 0..2 {
                self.with(call, |dialog, known| known.usages.pop().map(|usage| dialog.end_usage(usage)));
            }
        }
        let mut root = self.endpoint.enter().expect("a thread of the driver is outside");
        let left = self.endpoint.close(&mut root);
        let counters = self.endpoint.calls(&mut root).0.counters();
        let calls = &self.oracle.calls.lock().known;
        invariant!(left == 0 && counters.ended == counters.made, "{left} calls are left: {counters:?}");
        invariant!(counters.made == calls.len() as u64, "made {}, known {}", counters.made, calls.len());
        for (call, known) in calls.iter() {
            invariant!(known.told == Some(CallState::Disconnected), "{call} was told {:?} last", known.told);
        }
        invariant!(counters.callback_panics == 0, "a callback panicked");
        invariant!(self.endpoint.dialogs(&mut root).0.ids().count() == 0, "the user agent knows a dialog of no call");
        let id = DialogId { call_id: "late".to_owned(), local_tag: "ours".to_owned(), remote_tag: String::new() };
        let late = self.endpoint.make_call(&mut root, id, |_, _| ());
        invariant!(late == Err(CreateError::Closed), "a call is made after the end: {late:?}");
    }
}
