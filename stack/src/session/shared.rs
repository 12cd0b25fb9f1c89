//! A session as its users, its plugins, its worker and its deadlines share it: the core behind one lock, and what follows from it.

use super::table::Registry;
use super::told::Told;
use super::{Call, CallEnd, EndReason, EndReport, Failure, Notice, Phase, SessionCore, SessionCounters, SessionId};
use crate::buffer::pool::{Block, Pool};
use crate::timer::{TimerId, Timers};
use sim::ledger::{self, ResourceId};
use sim::sync::asynchronous::Notify;
use sim::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};
use sim::thread::{self, ThreadId};
use sim::time::Instant;

/// What a requester is told: a response, which may be of nothing, or why there is none.
pub(super) type Outcome = Result<Option<Block>, Failure>;

/// A request that was posted.
#[derive(Debug)]
pub(super) struct Request {
    /// Until its call is made.
    pub(super) body: Option<Block>,
    pub(super) reply: Arc<Told<Outcome>>,
}

/// A session.
pub(super) struct Shared {
    id: SessionId,
    pool: Pool,
    pub(super) registry: Arc<Registry>,
    state: Mutex<State>,
    /// The worker waits here for a call to make, or its end.
    due: Due,
    /// How it ended.
    pub(super) ended: Told<Arc<EndReport>>,
}

/// What the worker waits on. It alone does.
pub(super) enum Due {
    Thread(Condvar),
    Task(Notify),
    /// The worker is the caller, who looks when it likes.
    Caller,
}

struct State {
    core: SessionCore<Request>,
    /// Until the release.
    owned: Option<Owned>,
    /// The timer for the next deadline, which may be for an earlier one that has gone.
    armed: Option<(Instant, TimerId)>,
    is_worker_asleep: bool,
    /// The thread that carries the call that goes on.
    calling_on: Option<ThreadId>,
}

/// What the session holds on to.
struct Owned {
    resource: ResourceId,
    /// None if somebody else says the time.
    timers: Option<Timers>,
}

/// What is to be done without the lock.
#[derive(Default)]
struct Aftermath {
    wakes: bool,
    /// They have their outcomes, and nobody was woken.
    told: Vec<Request>,
    cancels: Option<(Timers, TimerId)>,
    released: Option<Released>,
    /// What was counted after the end.
    late: Option<SessionCounters>,
}

struct Released {
    report: Arc<EndReport>,
    timers: Option<Timers>,
    armed: Option<TimerId>,
}

/// What the worker does next.
pub(super) enum Next {
    Call(Call, Option<Block>),
    Sleep,
    End,
}

impl Shared {
    pub(super) fn new(core: SessionCore<Request>, pool: Pool, registry: Arc<Registry>, timers: Option<Timers>, due: Due) -> Self {
        let owned = Owned { resource: ledger::register("session"), timers };
        let state = State { owned: Some(owned), armed: None, is_worker_asleep: false, calling_on: None, core };
        let id = state.core.id();
        Shared { id, pool, registry, state: Mutex::new(state), due, ended: Told::new() }
    }

    pub(super) fn id(&self) -> SessionId {
        self.id
    }

    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }

    pub(super) fn due(&self) -> &Due {
        &self.due
    }

    pub(super) fn phase(&self) -> Phase {
        self.state.lock().core.phase()
    }

    pub(super) fn counters(&self) -> SessionCounters {
        self.state.lock().core.counters()
    }

    /// Whether this is called from one of the session's own calls.
    pub(super) fn is_in_call(&self) -> bool {
        self.state.lock().calling_on == Some(thread::id())
    }

    /// Something happens to the session, and what follows from it is done, all but calls.
    pub(super) fn event<R>(self: &Arc<Self>, happen: impl FnOnce(&mut SessionCore<Request>, Instant) -> R) -> R {
        let mut state = self.state.lock();
        let result = self.happen(&mut state, happen);
        let aftermath = result.1;
        drop(state);
        self.follow(aftermath);
        result.0
    }

    fn happen<R>(
        self: &Arc<Self>,
        state: &mut State,
        happen: impl FnOnce(&mut SessionCore<Request>, Instant) -> R,
    ) -> (R, Aftermath) {
        let now = Instant::now();
        let before = match &state.owned {
            Some(owned) => {
                ledger::touch(owned.resource);
                None
            }
            None => Some(state.core.counters()),
        };
        let result = happen(&mut state.core, now);
        let mut aftermath = Aftermath::default();
        let late = before.map(|before| state.core.counters().since(&before));
        aftermath.late = late.filter(|late| *late != SessionCounters::default());
        aftermath.cancels = self.arm(state);
        while let Some(notice) = state.core.next_notice() {
            match notice {
                Notice::Failed(request, failure) => {
                    request.reply.set(Err(failure));
                    aftermath.told.push(request);
                }
                Notice::Released => aftermath.released = state.release(&self.pool),
            }
        }
        let is_worker_due = state.core.has_call() || state.core.phase() == Phase::Released;
        aftermath.wakes = is_worker_due && std::mem::take(&mut state.is_worker_asleep);
        (result, aftermath)
    }

    /// Has a timer come for the next deadline. One that comes too early asks for the next; one that comes too late is cancelled.
    fn arm(self: &Arc<Self>, state: &mut State) -> Option<(Timers, TimerId)> {
        let due = state.core.next_deadline()?;
        let owned = state.owned.as_ref().filter(|_| state.armed.is_none_or(|(at, _)| due < at))?;
        let weak = Arc::downgrade(self);
        let timers = owned.timers.as_ref()?;
        let also_weak = Weak::clone(&weak);
        let on_time = move |id| {
            if let Some(shared) = weak.upgrade() {
                shared.on_timer(id);
            }
        };
        let on_lost = move || {
            if let Some(shared) = also_weak.upgrade() {
                shared.on_timer_lost();
            }
        };
        let armed = timers.schedule_or_lose(due, move |_, id| on_time(id), on_lost);
        match armed {
            Ok(id) => state.armed.replace((due, id)).map(|(_, id)| (timers.clone(), id)),
            Err(_) => {
                // Nobody would end what never answers. A call that was to be made just now is not.
                if state.calling_on.is_none() {
                    state.core.call_off();
                }
                state.core.abandon(EndReason::NoTimer);
                None
            }
        }
    }

    fn on_timer(self: &Arc<Self>, id: TimerId) {
        let _operation = sim::operation("session.deadline", None);
        let mut state = self.state.lock();
        if state.armed.is_some_and(|(_, armed)| armed == id) {
            state.armed = None;
        }
        let ((), aftermath) = self.happen(&mut state, |core, now| core.on_time(now));
        drop(state);
        self.follow(aftermath);
    }

    /// The timers have ended, and the one that was armed with them.
    fn on_timer_lost(self: &Arc<Self>) {
        let _operation = sim::operation("session.deadline", None);
        let mut state = self.state.lock();
        state.armed = None;
        // Where there is a deadline, no timer is to be had for it, and the session ends.
        let ((), aftermath) = self.happen(&mut state, |_, _| ());
        drop(state);
        self.follow(aftermath);
    }

    /// The time is looked at. When to do so next, if somebody is to.
    pub(super) fn on_time(self: &Arc<Self>) -> Option<Instant> {
        self.event(|core, now| {
            core.on_time(now);
            core.next_deadline()
        })
    }

    fn follow(&self, aftermath: Aftermath) {
        if aftermath.wakes {
            self.due.wake();
        }
        for request in aftermath.told {
            request.reply.wake();
        }
        if let Some((timers, id)) = aftermath.cancels {
            timers.cancel(id);
        }
        if let Some(late) = aftermath.late {
            self.registry.count_late(&late);
        }
        if let Some(Released { report, timers, armed }) = aftermath.released {
            let _operation = sim::operation("session.release", None);
            if let Some((timers, id)) = timers.zip(armed) {
                timers.cancel(id);
            }
            self.registry.remove(&report);
            // Who has waited for this finds the session gone.
            self.ended.tell(report);
            self.registry.forget(self.id);
        }
    }

    /// The worker looks for what to do, and is woken if there is nothing yet.
    pub(super) fn next(self: &Arc<Self>) -> Next {
        let mut state = self.state.lock();
        let (next, aftermath) = self.next_locked(&mut state);
        drop(state);
        self.follow(aftermath);
        next
    }

    /// As [`Shared::next`], and waits on a thread until there is something.
    pub(super) fn next_waiting(self: &Arc<Self>, due: &Condvar) -> Next {
        let mut state = self.state.lock();
        loop {
            let (next, aftermath) = self.next_locked(&mut state);
            if matches!(next, Next::Sleep) && aftermath.is_nothing() {
                due.wait(&mut state);
                continue;
            }
            drop(state);
            self.follow(aftermath);
            if !matches!(next, Next::Sleep) {
                return next;
            }
            state = self.state.lock();
        }
    }

    fn next_locked(self: &Arc<Self>, state: &mut MutexGuard<'_, State>) -> (Next, Aftermath) {
        state.is_worker_asleep = false;
        let ((call, body), aftermath) = self.happen(state, |core, now| {
            let call = core.next_call(now);
            let body = match call {
                Some(Call::Request(token)) => core.requester(token).and_then(|request| request.body.take()),
                _ => None,
            };
            (call, body)
        });
        let is_released = state.core.phase() == Phase::Released;
        let next = match call {
            // There was no timer for it.
            _ if is_released => Next::End,
            Some(call) => {
                state.calling_on = Some(thread::id());
                Next::Call(call, body)
            }
            None => {
                state.is_worker_asleep = true;
                Next::Sleep
            }
        };
        (next, aftermath)
    }

    /// The worker's call has ended.
    pub(super) fn returned(self: &Arc<Self>, end: CallEnd) {
        let mut state = self.state.lock();
        state.calling_on = None;
        let ((), aftermath) = self.happen(&mut state, |core, now| core.returned(end, now));
        drop(state);
        self.follow(aftermath);
    }
}

impl State {
    /// What the session owns ends here, once: it is taken.
    fn release(&mut self, pool: &Pool) -> Option<Released> {
        let Owned { resource, timers } = self.owned.take()?;
        pool.release();
        ledger::release(resource);
        let report = Arc::new(self.core.report()?.clone());
        Some(Released { report, timers, armed: self.armed.take().map(|(_, id)| id) })
    }
}

impl Aftermath {
    fn is_nothing(&self) -> bool {
        self.told.is_empty() && self.cancels.is_none() && self.released.is_none() && self.late.is_none()
    }
}

impl Due {
    fn wake(&self) {
        match self {
            Due::Thread(condvar) => condvar.notify_one(),
            Due::Task(notify) => notify.notify_one(),
            Due::Caller => {}
        }
    }
}
