//! The endpoint: calls, the dialogs that they live in, and the application that is told of them.
//!
//! Four kinds of locks, in one order that the compiler checks: [dialog](Held), [user agent](Endpoint::dialogs), [endpoint](Endpoint::calls),
//! [application](ApplicationMutex). A thread [enters](Endpoint::enter) and is given the root [`Permit`]; each lock wants a permit of a
//! level above its own and gives one that only goes further down (`order.rs`).
//!
//! Going up, from a call's slot or the set of dialogs to a dialog, is not locking: the lower lock gives a reference and is given back, the
//! thread stands in the dialog's line, first come first served, until a deadline on monotonic time, and then sees whether it is still
//! the call that it meant. Nobody waits for a dialog without a reference to it, and one ends only when the last who stands in its line
//! gives it back with nothing left to do.
//!
//! What happens in a dialog is told when its lock is free: messages and callbacks wait in its outbox, and whoever gives the lock back
//! delivers them in order. Transactions and messages plug in as [`Usage`]s, under the dialog's lock, with none of their own.
//!
//! The order is PJSUA-LIB's (dialog, user agent, PJSUA, application). What is not: there a callback comes with locks held.
//!
//! ```
//! use stack::endpoint::*;
//!
//! struct Phone {
//!     told: ApplicationMutex<Vec<CallState>>,
//! }
//!
//! impl Application for Phone {
//!     fn on_call(&self, event: CallEvent, callback: &mut Callback<'_>) {
//!         self.told.lock(callback.permit()).push(event.state);
//!         if event.state == CallState::Early {
//!             // Done when this has returned. A call into the endpoint from here does not compile.
//!             let _ = callback.hang_up(event.call);
//!         }
//!     }
//!
//!     fn send(&self, _dialog: &DialogId, _message: &[u8], _callback: &mut Callback<'_>) {}
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let endpoint = Endpoint::new(EndpointConfig::default(), Phone { told: ApplicationMutex::default() });
//! let mut root = endpoint.enter()?;
//! let id = DialogId { call_id: "a84b4c76e66710".into(), local_tag: "1928301774".into(), remote_tag: "a6c85cf".into() };
//! let (call, ()) = endpoint.make_call(&mut root, id, |_dialog, _permit| ())?;
//! endpoint.with_call(&mut root, call, |dialog, _permit| dialog.set_state(CallState::Early))??;
//! assert!(endpoint.hang_up(&mut root, call).is_err(), "the callback has hung it up, and this is no other call's handle");
//! # Ok(())
//! # }
//! ```

mod application;
mod calls;
mod dialog;
mod error;
mod gate;
mod order;
mod outbox;
pub mod properties;
mod requests;

pub use application::{Application, Callback};
pub use calls::CallHandle;
pub use dialog::{CallState, Dialog, DialogId, Held, Input, Turn, Usage, UsageId};
pub use error::{AcquireError, CreateError, DialogError, EnterError, RequestsFull, StaleCall};
pub use order::{ApplicationGuard, ApplicationMutex, LockBefore, Permit, level};
pub use outbox::CallEvent;

use calls::Slots;
use gate::{Gate, Inside, Refusal};
use outbox::{Outbox, Outgoing};
use requests::Delivering;
use sim::sync::{Arc, Mutex, MutexGuard};
use sim::time::{Duration, Instant};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// How an endpoint is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointConfig {
    /// How many calls there may be at once.
    pub calls_max: usize,
    /// How many usages a dialog may have.
    pub usages_max: usize,
    /// How many may have or want one dialog at once.
    pub waiters_max: usize,
    /// How many messages and events of one dialog may wait to be delivered. The event that a call is over has a place of its own.
    pub outbox_max: usize,
    /// How many requests of its callbacks a thread may have to do.
    pub requests_max: usize,
    /// How long who wants a dialog waits for it.
    pub acquire_deadline: Duration,
}

impl Default for EndpointConfig {
    /// 1,024 calls; 32 usages, 64 who wait, 64 in the outbox for each; 16 requests of a thread's callbacks; two seconds for a dialog.
    fn default() -> Self {
        EndpointConfig {
            calls_max: 1024,
            usages_max: 32,
            waiters_max: 64,
            outbox_max: 64,
            requests_max: 16,
            acquire_deadline: Duration::from_secs(2),
        }
    }
}

/// What an endpoint has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointCounters {
    /// Calls made.
    pub made: u64,
    /// Calls that were refused.
    pub refused: u64,
    /// Calls whose dialog has ended.
    pub ended: u64,
    /// Handles and ids of calls that were over.
    pub stale: u64,
    /// Dialogs that were not had by the deadline, or as too many wanted them.
    pub not_acquired: u64,
    /// Callbacks that panicked.
    pub callback_panics: u64,
}

/// The call slots, the set of dialogs, and who is told.
///
/// To be called from any thread that has [entered](Endpoint::enter) it, with any lock of its own held that is not wanted by who has a
/// dialog; what comes of such a lock is an acquisition that ends at its deadline. The locks of the set and of the slots are held for
/// moments; a dialog's for as long as what it was acquired for takes. No lock is held across a callback, a message that is sent, a
/// request, or the drop of what is the application's.
pub struct Endpoint {
    config: EndpointConfig,
    application: Box<dyn Application>,
    /// Before `calls` in the order.
    dialogs: Mutex<BTreeMap<DialogId, Arc<Shared>>>,
    calls: Mutex<Calls>,
}

struct Calls {
    slots: Slots<Shared>,
    counters: EndpointCounters,
    closed: bool,
}

/// A dialog, for all who have a reference.
struct Shared {
    id: DialogId,
    gate: Gate<Dialog>,
    outbox: Outbox,
}

sim::thread_local! {
    /// This thread has a root permit.
    static INSIDE: Cell<bool> = Cell::new(false);
}

/// A thread that is inside: what gives it the root permit, until it is dropped. It stays on its thread; a task that has one must not
/// await.
#[derive(Debug)]
pub struct Entered<'a> {
    permit: Permit<'a, level::Root>,
}

impl Endpoint {
    /// An endpoint without calls.
    pub fn new(config: EndpointConfig, application: impl Application) -> Self {
        Endpoint {
            config,
            application: Box::new(application),
            dialogs: Mutex::new(BTreeMap::new()),
            calls: Mutex::new(Calls {
                slots: Slots::new(config.calls_max),
                counters: EndpointCounters::default(),
                closed: false,
            }),
        }
    }

    /// The root of the order, for this thread.
    ///
    /// # Errors
    /// [`EnterError::Inside`]: the thread has a permit, or is in a callback, of this endpoint or another.
    pub fn enter(&self) -> Result<Entered<'_>, EnterError> {
        match INSIDE.with(|inside| inside.replace(true)) {
            true => Err(EnterError::Inside),
            false => Ok(Entered { permit: Permit::root() }),
        }
    }

    /// Makes a call and its dialog. Nobody else sees either before `f` has returned: it has the dialog's lock from the beginning.
    ///
    /// # Errors
    /// [`CreateError`]. `f` was not called.
    ///
    /// # Panics
    /// As `f` does. The call is hung up then.
    pub fn make_call<L, R>(
        &self,
        permit: &mut Permit<'_, L>,
        id: DialogId,
        f: impl FnOnce(&mut Held<'_>, &mut Permit<'_, level::Dialog>) -> R,
    ) -> Result<(CallHandle, R), CreateError>
    where
        L: LockBefore<level::Dialog>,
    {
        let _operation = sim::operation("endpoint.make_call", None);
        let shared = Arc::new(Shared {
            id,
            gate: Gate::new("dialog", Dialog::new(self.config.usages_max)),
            outbox: Outbox::new(self.config.outbox_max),
        });
        // Before anybody can find it, so that the first who does waits until it is made (pjproject #3714).
        let mut inside = match shared.gate.enter(Instant::now(), 1) {
            Ok(inside) => inside,
            Err(refusal) => unreachable!("nobody else knows this dialog: {refusal:?}"),
        };
        let mut permit = permit.below();
        match self.publish(&shared, &mut permit) {
            Ok(call) => {
                inside.get().name(call);
                let makes = |dialog: &mut Held<'_>, permit: &mut Permit<'_, level::Dialog>| {
                    catch_unwind(AssertUnwindSafe(|| f(dialog, permit))).unwrap_or_else(|payload| {
                        dialog.hang_up();
                        resume_unwind(payload)
                    })
                };
                Ok((call, self.hold(&shared, inside, &mut permit, makes)))
            }
            Err(error) => {
                inside.leave(true);
                Err(error)
            }
        }
    }

    /// Gives the dialog of a call to `f`, under its lock. Events and messages that come of it are delivered before this returns, unless
    /// another thread is at it.
    ///
    /// # Errors
    /// [`AcquireError`]. `f` was not called.
    ///
    /// # Panics
    /// As `f` does; the lock is given back, and what was said before is delivered.
    pub fn with_call<L, R>(
        &self,
        permit: &mut Permit<'_, L>,
        call: CallHandle,
        f: impl FnOnce(&mut Held<'_>, &mut Permit<'_, level::Dialog>) -> R,
    ) -> Result<R, AcquireError>
    where
        L: LockBefore<level::Dialog>,
    {
        let shared = self.find(call)?;
        self.acquire(&shared, permit, self.config.acquire_deadline, f)
            .map_err(|refusal| self.refused(refusal, || self.stale(call).into()))
    }

    /// As [`Endpoint::with_call`], for who knows the dialog's id: what a message names.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Panics
    /// As there.
    pub fn with_dialog<L, R>(
        &self,
        permit: &mut Permit<'_, L>,
        id: &DialogId,
        f: impl FnOnce(&mut Held<'_>, &mut Permit<'_, level::Dialog>) -> R,
    ) -> Result<R, AcquireError>
    where
        L: LockBefore<level::Dialog>,
    {
        let none = || {
            self.calls.lock().counters.stale += 1;
            AcquireError::NoSuchDialog { id: id.clone() }
        };
        let found = self.dialogs.lock().get(id).map(Arc::clone);
        let shared = found.ok_or_else(none)?;
        self.acquire(&shared, permit, self.config.acquire_deadline, f).map_err(|refusal| self.refused(refusal, none))
    }

    /// Ends a call. True if it went on; its dialog goes when its last usage has ended.
    ///
    /// # Errors
    /// [`AcquireError`]: [`AcquireError::Stale`] if the call is over.
    pub fn hang_up<L>(&self, permit: &mut Permit<'_, L>, call: CallHandle) -> Result<bool, AcquireError>
    where
        L: LockBefore<level::Dialog>,
    {
        // No deadline: it has one for the dialog, and then is the application's, whose callbacks take the time that they take.
        let _operation = sim::operation("endpoint.hang_up", None);
        self.with_call(permit, call, |dialog, _| dialog.hang_up())
    }

    /// Takes no calls any more, and ends those that there are. How many are left: those whose usages have not ended, and those
    /// whose dialog was not had. It waits for all of them together as long as it would for one, and may be called again.
    pub fn close<L>(&self, permit: &mut Permit<'_, L>) -> usize
    where
        L: LockBefore<level::Dialog>,
    {
        let _operation = sim::operation("endpoint.close", None);
        let calls: Vec<CallHandle> = {
            let mut calls = self.calls.lock();
            calls.closed = true;
            calls.slots.handles().collect()
        };
        let mut patience = self.config.acquire_deadline;
        for call in calls {
            // One that is over by now is what is wanted.
            let Ok(shared) = self.find(call) else { continue };
            let _operation = sim::operation("endpoint.hang_up", None);
            let (began, mut had) = (Instant::now(), None);
            let hung_up = self.acquire(&shared, permit, patience, |dialog, _| {
                had = Some(Instant::now());
                dialog.hang_up()
            });
            patience = patience.saturating_sub(had.unwrap_or_else(Instant::now).saturating_duration_since(began));
            // One that is not had is left, and counted.
            let _ = hung_up.map_err(|refusal| self.refused(refusal, || self.stale(call).into()));
        }
        self.calls.lock().slots.len()
    }

    /// The user agent: the set of dialogs, under its lock.
    pub fn dialogs<'a, L>(&'a self, permit: &'a mut Permit<'_, L>) -> (Dialogs<'a>, Permit<'a, level::UserAgent>)
    where
        L: LockBefore<level::UserAgent>,
    {
        (Dialogs { dialogs: self.dialogs.lock() }, permit.below())
    }

    /// The endpoint: the call slots, under their lock.
    pub fn calls<'a, L>(&'a self, permit: &'a mut Permit<'_, L>) -> (CallSlots<'a>, Permit<'a, level::Endpoint>)
    where
        L: LockBefore<level::Endpoint>,
    {
        (CallSlots { calls: self.calls.lock() }, permit.below())
    }

    /// Puts a dialog into the set and a slot, or neither.
    fn publish(&self, shared: &Arc<Shared>, permit: &mut Permit<'_, level::Dialog>) -> Result<CallHandle, CreateError> {
        let (mut set, mut permit) = self.dialogs(permit);
        let (mut slots, _) = self.calls(&mut permit);
        let calls = &mut *slots.calls;
        let free = match () {
            () if calls.closed => Err(CreateError::Closed),
            () if set.dialogs.contains_key(&shared.id) => Err(CreateError::Exists { id: shared.id.clone() }),
            () => calls.slots.next().ok_or(CreateError::Full { calls_max: self.config.calls_max }),
        };
        match free {
            Ok(call) => {
                calls.slots.put(call, Arc::clone(shared));
                calls.counters.made += 1;
                set.dialogs.insert(shared.id.clone(), Arc::clone(shared));
            }
            Err(_) => calls.counters.refused += 1,
        }
        free
    }

    /// The dialog of a call. The reference keeps it, and not the call from its end.
    fn find(&self, call: CallHandle) -> Result<Arc<Shared>, StaleCall> {
        let mut calls = self.calls.lock();
        let found = calls.slots.find(call).map(Arc::clone);
        calls.counters.stale += u64::from(found.is_err());
        found
    }

    /// Stands in the dialog's line, and gives it to `f`.
    fn acquire<L, R>(
        &self,
        shared: &Arc<Shared>,
        permit: &mut Permit<'_, L>,
        patience: Duration,
        f: impl FnOnce(&mut Held<'_>, &mut Permit<'_, level::Dialog>) -> R,
    ) -> Result<R, Refusal>
    where
        L: LockBefore<level::Dialog>,
    {
        let inside = {
            let _operation = sim::operation("endpoint.acquire", self.config.acquire_deadline);
            shared.gate.enter(Instant::now() + patience, self.config.waiters_max)?
        };
        Ok(self.hold(shared, inside, &mut permit.below(), f))
    }

    /// Gives the dialog to `f`, gives it back, and does what came of it.
    fn hold<R>(
        &self,
        shared: &Arc<Shared>,
        mut inside: Inside<'_, Dialog>,
        permit: &mut Permit<'_, level::Dialog>,
        f: impl FnOnce(&mut Held<'_>, &mut Permit<'_, level::Dialog>) -> R,
    ) -> R {
        let mut held = Held { id: &shared.id, dialog: inside.get(), outbox: &shared.outbox };
        let result = catch_unwind(AssertUnwindSafe(|| f(&mut held, permit)));
        let (call, is_idle) = (inside.get().call(), inside.get().is_idle());
        if inside.leave(is_idle) {
            self.forget(shared, call, permit);
        }
        self.deliver(shared);
        result.unwrap_or_else(|payload| resume_unwind(payload))
    }

    /// Takes a dialog that was closed out of the set and its slot.
    fn forget(&self, shared: &Arc<Shared>, call: CallHandle, permit: &mut Permit<'_, level::Dialog>) {
        let (mut set, mut permit) = self.dialogs(permit);
        let (mut slots, _) = self.calls(&mut permit);
        set.dialogs.remove(&shared.id);
        slots.calls.slots.remove(call);
        slots.calls.counters.ended += 1;
    }

    /// Does what waits in the outbox. No lock is held here, and what is called is the application's.
    fn deliver(&self, shared: &Shared) {
        let delivering = Delivering::begin(self);
        let mut begins = true;
        loop {
            while let Some(request) = delivering.next() {
                self.survive(|| request(self, &mut Permit::root()));
            }
            let (remains, next) = shared.outbox.next(begins);
            // One by one: where two panic in the drop of one list, that is the end of the process.
            remains.into_iter().for_each(|remains| self.survive(|| drop(remains)));
            let Some(outgoing) = next else { return };
            let _operation = sim::operation("endpoint.callback", None);
            let mut root = Permit::root();
            let mut callback = Callback::new(root.below(), delivering.waiting(), self.config.requests_max);
            self.survive(|| match outgoing {
                Outgoing::Message(message) => self.application.send(&shared.id, &message, &mut callback),
                Outgoing::Event(event) => self.application.on_call(event, &mut callback),
            });
            delivering.ask(callback.into_requests());
            begins = false;
        }
    }

    /// Calls the application. A panic is counted; the panic's value is the application's too, and one whose drop panics is left where it
    /// is.
    fn survive(&self, call: impl FnOnce()) {
        let Err(payload) = catch_unwind(AssertUnwindSafe(call)) else { return };
        if let Err(again) = catch_unwind(AssertUnwindSafe(move || drop(payload))) {
            std::mem::forget(again);
        }
        self.calls.lock().counters.callback_panics += 1;
    }

    fn stale(&self, call: CallHandle) -> StaleCall {
        let mut calls = self.calls.lock();
        calls.counters.stale += 1;
        match calls.slots.find(call) {
            Err(stale) => stale,
            // It is closed, and on its way out of its slot.
            Ok(_) => StaleCall { call, generation: Some(call.generation()) },
        }
    }

    fn refused(&self, refusal: Refusal, over: impl FnOnce() -> AcquireError) -> AcquireError {
        let error = match refusal {
            Refusal::Closed => return over(),
            Refusal::Crowded => AcquireError::Crowded { waiters_max: self.config.waiters_max },
            Refusal::TimedOut => AcquireError::TimedOut { deadline: self.config.acquire_deadline },
        };
        self.calls.lock().counters.not_acquired += 1;
        error
    }
}

/// The set of dialogs, under the user agent's lock until it is dropped.
#[must_use = "the lock is given back at once"]
pub struct Dialogs<'a> {
    dialogs: MutexGuard<'a, BTreeMap<DialogId, Arc<Shared>>>,
}

impl Dialogs<'_> {
    /// The ids of all dialogs, in order.
    pub fn ids(&self) -> impl Iterator<Item = &DialogId> {
        self.dialogs.keys()
    }

    /// Whether there is a dialog of this id.
    pub fn contains(&self, id: &DialogId) -> bool {
        self.dialogs.contains_key(id)
    }
}

/// The call slots, under the endpoint's lock until it is dropped.
#[must_use = "the lock is given back at once"]
pub struct CallSlots<'a> {
    calls: MutexGuard<'a, Calls>,
}

impl CallSlots<'_> {
    /// The calls that there are, by slot.
    pub fn handles(&self) -> impl Iterator<Item = CallHandle> + '_ {
        self.calls.slots.handles()
    }

    /// The dialog of a call.
    ///
    /// # Errors
    /// [`StaleCall`].
    pub fn dialog_id(&self, call: CallHandle) -> Result<&DialogId, StaleCall> {
        self.calls.slots.find(call).map(|shared| &shared.id)
    }

    /// What the endpoint has seen.
    pub fn counters(&self) -> EndpointCounters {
        self.calls.counters
    }
}

impl<'a> Deref for Entered<'a> {
    type Target = Permit<'a, level::Root>;

    fn deref(&self) -> &Self::Target {
        &self.permit
    }
}

impl DerefMut for Entered<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.permit
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        INSIDE.with(|inside| inside.set(false));
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("config", &self.config)
            .field("calls", &self.calls.lock().slots.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Dialogs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.ids()).finish()
    }
}

impl fmt::Debug for CallSlots<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.handles()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nobody;

    impl Application for Nobody {
        fn on_call(&self, _: CallEvent, _: &mut Callback<'_>) {}

        fn send(&self, _: &DialogId, _: &[u8], _: &mut Callback<'_>) {}
    }

    struct Idle;

    impl Usage for Idle {
        fn on_input(&mut self, _: Input<'_>, _: Instant, _: &mut Turn<'_>) {}
    }

    fn id(number: usize) -> DialogId {
        DialogId { call_id: number.to_string(), local_tag: String::new(), remote_tag: String::new() }
    }

    /// A dialog may be closed between being found and being entered. Its call is in its slot still, or is not, or another is.
    #[test]
    fn who_comes_just_as_a_dialog_closes_is_told_that_its_call_is_over() {
        let endpoint = Endpoint::new(EndpointConfig::default(), Nobody);
        let mut root = endpoint.enter().unwrap();
        let mut handles = Vec::new();
        for round in 0..20 {
            let (call, ()) = endpoint.make_call(&mut root, id(0), |_, _| ()).unwrap();
            handles.push(call);
            for (old, call) in handles.iter().enumerate() {
                let before = endpoint.calls(&mut root).0.counters();
                let refused = endpoint.refused(Refusal::Closed, || endpoint.stale(*call).into());
                let generation = Some(round);
                assert_eq!(refused, AcquireError::Stale(StaleCall { call: *call, generation }), "round {round}, call {old}");
                let expected = EndpointCounters { stale: before.stale + 1, ..before };
                assert_eq!(endpoint.calls(&mut root).0.counters(), expected);
            }
            for (refusal, error) in [
                (Refusal::Crowded, AcquireError::Crowded { waiters_max: 64 }),
                (Refusal::TimedOut, AcquireError::TimedOut { deadline: Duration::from_secs(2) }),
            ] {
                let before = endpoint.calls(&mut root).0.counters();
                assert_eq!(endpoint.refused(refusal, || unreachable!("it is not closed")), error);
                let expected = EndpointCounters { not_acquired: before.not_acquired + 1, ..before };
                assert_eq!(endpoint.calls(&mut root).0.counters(), expected);
            }
            assert_eq!(endpoint.hang_up(&mut root, call), Ok(true));
        }
    }

    #[test]
    fn a_dialog_that_has_ended_takes_no_usage_and_one_that_ends_does() {
        let endpoint = Endpoint::new(EndpointConfig { usages_max: 4, ..EndpointConfig::default() }, Nobody);
        let mut root = endpoint.enter().unwrap();
        for (before, is_over) in (0..5).flat_map(|before| [(before, false), (before, true)]) {
            let added = endpoint.make_call(&mut root, id(before), |dialog, _| {
                let mut usages: Vec<UsageId> = (0..before).map(|_| dialog.add_usage(Idle).unwrap()).collect();
                if is_over {
                    assert!(dialog.hang_up());
                }
                let added = dialog.add_usage(Idle).map(|usage| usages.push(usage));
                for (left, usage) in usages.iter().enumerate().rev() {
                    assert_eq!(dialog.usages(), left + 1);
                    drop(dialog.end_usage(*usage).expect("it is there"));
                }
                dialog.hang_up();
                added
            });
            let expected = match (before, is_over) {
                (0, true) => Err(DialogError::Ended),
                (4, _) => Err(DialogError::UsagesFull { usages_max: 4 }),
                _ => Ok(()),
            };
            assert_eq!(added.unwrap().1, expected, "{before} usages");
        }
    }
}
