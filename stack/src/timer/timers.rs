//! The heap that calls back, as its users see it, whichever worker it has.

use super::heap::TimerId;
use super::state::{Awaited, Callback, GoesOn, Lost, State, Timer, caught};
use super::{Cancelled, Closed, TimerConfig, TimerCounters, TimerError, task, thread};
use sim::sync::asynchronous::Notify;
use sim::sync::{Arc, Condvar, Mutex};
use sim::time::{self, Instant};
use std::fmt;
use std::future::{Future, poll_fn};
use std::task::Poll;
use std::time::Duration;

/// Calls back at given times, one callback after the other, from a thread ([`Timers::on_thread`]) or from a task
/// ([`Timers::on_task`]).
///
/// Clones are the same heap. Everything may be called from any thread, the callbacks included, and crossed. The heap's one lock is
/// held for moments and never while a callback goes on, is dropped, or is waited for, so the caller may hold any lock of its own,
/// with one rule: **who waits for a callback while holding a lock must not have a callback that waits for that lock**. Then the wait
/// gives up at [`TimerConfig::wait_deadline`].
///
/// What a callback captured is alive until it has returned or was prevented, and is dropped once, without the heap's lock. So its
/// drop may call back in. What cancels or closes and drops it is who did that. A callback that panics, called or dropped, is counted,
/// and the heap goes on.
///
/// The heap ends when it is closed or when its last clone is dropped, which waits for nothing. The heap that a callback is given, and
/// clones made of that one, do not count; a clone that a callback captured counts until that callback is gone.
#[derive(Clone)]
pub struct Timers {
    handle: Arc<Handle>,
}

/// The users' side: when it goes, the heap ends.
struct Handle {
    shared: Arc<Shared>,
    /// The worker's own handle does not keep the heap open.
    keeps_open: bool,
}

pub(super) struct Shared {
    pub(super) config: TimerConfig,
    pub(super) state: Mutex<State>,
    /// The worker waits here for the next timer, or its end.
    pub(super) due: Due,
    /// Threads wait here for a callback to return.
    quiet: Condvar,
    /// Tasks wait here for a callback to return. There may be many, so all are notified and nothing is kept: each looks at the state
    /// once it is in the line, and not before.
    quiet_tasks: Notify,
}

/// What the worker waits on.
pub(super) enum Due {
    Thread(Condvar),
    /// The task alone waits here, so a notification that comes before it waits is kept.
    Task(Notify),
}

impl Timers {
    /// An empty heap that calls back from a thread of its own, which ends with the heap.
    ///
    /// # Errors
    /// [`TimerError::Worker`].
    pub fn on_thread(config: TimerConfig) -> Result<Self, TimerError> {
        let timers = Timers::of_users(config, Due::Thread(Condvar::new()));
        thread::start(Arc::clone(&timers.handle.shared))?;
        Ok(timers)
    }

    /// An empty heap that calls back from a task, which ends with the heap. When the task's runtime ends, the heap does.
    ///
    /// Until a callback returns it keeps one of the runtime's threads, which may be the one that all of the runtime's timers wait for,
    /// the deadlines of who waits for a callback among them. After [`TimerConfig::burst_max`] callbacks in a row the task lets others
    /// run. Callbacks come as exactly as the runtime's timers: tokio's round up to a millisecond.
    ///
    /// # Errors
    /// [`TimerError::Worker`].
    ///
    /// # Panics
    /// In production, outside of a runtime. In a runtime without timers the task panics at its first wait, which ends the heap.
    pub fn on_task(config: TimerConfig) -> Result<Self, TimerError> {
        let timers = Timers::of_users(config, Due::Task(Notify::new()));
        task::start(Arc::clone(&timers.handle.shared))?;
        match timers.is_closed() {
            true => Err(TimerError::Worker { why: "the runtime has ended".to_owned() }),
            false => Ok(timers),
        }
    }

    fn of_users(config: TimerConfig, due: Due) -> Self {
        let (state, quiet, quiet_tasks) = (Mutex::new(State::new(&config)), Condvar::new(), Notify::new());
        let shared = Arc::new(Shared { config, state, due, quiet, quiet_tasks });
        Timers { handle: Arc::new(Handle { shared, keeps_open: true }) }
    }

    /// The worker's own, for the callbacks.
    pub(super) fn of_worker(shared: Arc<Shared>) -> Self {
        Timers { handle: Arc::new(Handle { shared, keeps_open: false }) }
    }

    /// Has `callback` called at `at`, or as soon as can be if that has passed. It is given the heap and its own id. Callbacks come in
    /// the order of their times, and at equal times in the order in which they were scheduled; every time that has passed is equal to
    /// now.
    ///
    /// # Errors
    /// [`TimerError::Full`], [`TimerError::Closed`], [`TimerError::WorkerLost`]. The callback was dropped.
    pub fn schedule_at(
        &self,
        at: Instant,
        callback: impl FnOnce(&Timers, TimerId) + Send + 'static,
    ) -> Result<TimerId, TimerError> {
        let _operation = sim::operation("timer.schedule", None);
        self.handle.shared.schedule(at, Box::new(callback), None)
    }

    /// As [`Timers::schedule_at`]; where the heap ends before that, `lost` is called in its place by whoever ends the heap. It is not
    /// where the timer is cancelled, or is refused.
    pub(crate) fn schedule_or_lose(
        &self,
        at: Instant,
        callback: impl FnOnce(&Timers, TimerId) + Send + 'static,
        lost: impl FnOnce() + Send + 'static,
    ) -> Result<TimerId, TimerError> {
        let _operation = sim::operation("timer.schedule", None);
        self.handle.shared.schedule(at, Box::new(callback), Some(Box::new(lost)))
    }

    /// Has `callback` called when `delay` has passed; otherwise as [`Timers::schedule_at`].
    ///
    /// # Errors
    /// As [`Timers::schedule_at`].
    pub fn schedule_after(
        &self,
        delay: Duration,
        callback: impl FnOnce(&Timers, TimerId) + Send + 'static,
    ) -> Result<TimerId, TimerError> {
        self.schedule_at(Instant::now() + delay, callback)
    }

    /// Cancels a timer and does not wait. What it returns says whether the callback will still run: it will not, it does now, or it
    /// has. A callback that was prevented is dropped before this returns.
    pub fn cancel(&self, id: TimerId) -> Cancelled {
        let _operation = sim::operation("timer.cancel", None);
        let shared = &self.handle.shared;
        let (cancelled, prevented) = shared.state.lock().cancel(id);
        shared.let_go(prevented);
        cancelled
    }

    /// Cancels a timer, and if its callback runs on another thread, waits until it has returned: then that callback does not go on,
    /// unless this is called from it. The wait is blocking; tasks have [`Timers::cancelled`].
    ///
    /// # Errors
    /// [`TimerError::CallbackGoesOn`] after [`TimerConfig::wait_deadline`].
    pub fn cancel_and_wait(&self, id: TimerId) -> Result<Cancelled, TimerError> {
        let shared = &self.handle.shared;
        let _operation = sim::operation("timer.cancel_and_wait", shared.config.wait_deadline);
        let deadline = Instant::now() + shared.config.wait_deadline;
        let (cancelled, prevented) = shared.state.lock().cancel(id);
        shared.let_go(prevented);
        if cancelled == Cancelled::Running {
            shared.wait(Awaited::This(id), deadline)?;
        }
        Ok(cancelled)
    }

    /// As [`Timers::cancel_and_wait`], for tasks: the timer is cancelled by the call, and what is returned waits. Dropped before it is
    /// ready, only the wait is lost. The future is no user of the heap: it keeps nothing open.
    ///
    /// # Errors
    /// [`TimerError::CallbackGoesOn`] at [`TimerConfig::wait_deadline`] from the call.
    ///
    /// # Panics
    /// In production, where it is to wait outside of a runtime with timers.
    pub fn cancelled(&self, id: TimerId) -> impl Future<Output = Result<Cancelled, TimerError>> + Send + use<> {
        let shared = Arc::clone(&self.handle.shared);
        let deadline = Instant::now() + shared.config.wait_deadline;
        let cancelled = self.cancel(id);
        async move {
            if cancelled == Cancelled::Running {
                let _operation = sim::operation("timer.cancel_and_wait", shared.config.wait_deadline);
                // It may be polled from the callback, wherever it was made.
                if shared.quiet(Awaited::This(id), deadline).await? == GoesOn::Here {
                    return Ok(Cancelled::FromCallback);
                }
            }
            Ok(cancelled)
        }
    }

    /// Ends the heap: timers that wait are dropped without a call, and if a callback goes on it is waited for, unless this is called
    /// from it. When it returns no callback goes on and none will come. What another thread is dropping, as it cancels or closes, it
    /// may be dropping still. The wait is blocking; tasks have [`Timers::closed`].
    ///
    /// # Errors
    /// [`TimerError::CallbackGoesOn`] after [`TimerConfig::wait_deadline`]: the heap has ended all the same.
    pub fn close(&self) -> Result<Closed, TimerError> {
        let shared = &self.handle.shared;
        let _operation = sim::operation("timer.close", shared.config.wait_deadline);
        let deadline = Instant::now() + shared.config.wait_deadline;
        let was_open = shared.end();
        Ok(told(was_open, shared.wait(Awaited::Any, deadline)?))
    }

    /// As [`Timers::close`], for tasks: the heap ends with the call, and what is returned waits for the callback that goes on.
    ///
    /// # Errors
    /// As [`Timers::close`].
    ///
    /// # Panics
    /// In production, where it is to wait outside of a runtime with timers.
    pub fn closed(&self) -> impl Future<Output = Result<Closed, TimerError>> + Send + use<> {
        let shared = Arc::clone(&self.handle.shared);
        let deadline = Instant::now() + shared.config.wait_deadline;
        let was_open = shared.end();
        async move {
            let _operation = sim::operation("timer.close", shared.config.wait_deadline);
            Ok(told(was_open, shared.quiet(Awaited::Any, deadline).await?))
        }
    }

    /// Whether the heap has ended.
    pub fn is_closed(&self) -> bool {
        self.handle.shared.state.lock().has_ended()
    }

    /// How many timers wait.
    pub fn pending(&self) -> usize {
        self.handle.shared.state.lock().pending()
    }

    /// What has happened so far.
    pub fn counters(&self) -> TimerCounters {
        self.handle.shared.state.lock().counters()
    }
}

/// What to tell who closed.
fn told(was_open: bool, goes_on: GoesOn) -> Closed {
    match (goes_on, was_open) {
        (GoesOn::Here, _) => Closed::FromCallback,
        (_, true) => Closed::Closed,
        (_, false) => Closed::Already,
    }
}

impl Shared {
    fn schedule(&self, at: Instant, callback: Callback, lost: Option<Lost>) -> Result<TimerId, TimerError> {
        let (id, wakes) = {
            let mut state = self.state.lock();
            match state.schedule(at, Instant::now(), callback, lost) {
                Ok(scheduled) => scheduled,
                Err((error, callback)) => {
                    drop(state);
                    if !caught(|| drop(callback)) {
                        self.state.lock().count_panic();
                    }
                    return Err(error);
                }
            }
        };
        if wakes {
            self.due.wake();
        }
        Ok(id)
    }

    /// Ends the heap, and drops the timers that it prevents. False if it had ended.
    fn end(&self) -> bool {
        let (was_open, wakes) = {
            let mut state = self.state.lock();
            (state.close(), state.wakes())
        };
        if wakes {
            self.due.wake();
        }
        self.drop_left();
        was_open
    }

    /// Drops the timers that the end of the heap prevents, one by one: each drop may be another's call.
    pub(super) fn drop_left(&self) {
        loop {
            let left = self.state.lock().next_left();
            let Some(left) = left else { return };
            if !left.lose() {
                self.state.lock().count_panic();
            }
        }
    }

    /// Drops a timer's callback, without the lock.
    fn let_go(&self, timer: Option<Timer>) {
        if timer.is_some_and(|timer| !timer.let_go()) {
            self.state.lock().count_panic();
        }
    }

    /// Calls back. `timers` is the worker's own.
    pub(super) fn call(&self, timers: &Timers, id: TimerId, timer: Timer) {
        let returned = timer.call(timers, id);
        let waiting = self.state.lock().called(returned);
        if waiting.threads {
            self.quiet.notify_all();
        }
        if waiting.tasks {
            self.quiet_tasks.notify_waiters();
        }
    }

    /// Blocks until the callback has returned. It may be the caller's own, which is not waited for.
    fn wait(&self, awaited: Awaited, deadline: Instant) -> Result<GoesOn, TimerError> {
        let mut state = self.state.lock();
        loop {
            let goes_on = state.goes_on(awaited);
            if goes_on != GoesOn::Elsewhere {
                return Ok(goes_on);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                state.count_given_up();
                return Err(TimerError::CallbackGoesOn { deadline: self.config.wait_deadline });
            }
            state.waiting_threads += 1;
            self.quiet.wait_for(&mut state, left);
            state.waiting_threads -= 1;
        }
    }

    /// Waits until the callback has returned. It may be what polls this, which is not waited for.
    async fn quiet(&self, awaited: Awaited, deadline: Instant) -> Result<GoesOn, TimerError> {
        self.state.lock().waiting_tasks += 1;
        let _waiting = WaitingTask { shared: self };
        let look = || {
            let mut state = self.state.lock();
            match state.goes_on(awaited) {
                GoesOn::Elsewhere if Instant::now() < deadline => Poll::Pending,
                GoesOn::Elsewhere => {
                    state.count_given_up();
                    Poll::Ready(Err(TimerError::CallbackGoesOn { deadline: self.config.wait_deadline }))
                }
                goes_on => Poll::Ready(Ok(goes_on)),
            }
        };
        loop {
            // In this order: what comes before the look is seen by it, and what comes after finds this one in the line.
            sim::select! {
                () = self.quiet_tasks.notified() => {}
                result = poll_fn(|_| look()) => return result,
                () = async { time::sleep_until(deadline).await } => {}
            }
        }
    }
}

/// A task that waits for a callback, until it does no more.
struct WaitingTask<'a> {
    shared: &'a Shared,
}

impl Drop for WaitingTask<'_> {
    fn drop(&mut self) {
        self.shared.state.lock().waiting_tasks -= 1;
    }
}

impl Due {
    fn wake(&self) {
        match self {
            Due::Thread(condvar) => condvar.notify_one(),
            Due::Task(notify) => notify.notify_one(),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.keeps_open {
            self.shared.end();
        }
    }
}

impl fmt::Debug for Timers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.handle.shared.state.lock();
        f.debug_struct("Timers")
            .field("config", &self.handle.shared.config)
            .field("pending", &state.pending())
            .field("closed", &state.has_ended())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_who_has_waited_counts_as_waiting() {
        for (threads, tasks) in [(1, 0), (0, 1), (3, 0), (0, 3), (2, 2)] {
            let timers = Timers::on_thread(TimerConfig::default()).unwrap();
            let waiting = |shared: &Shared| {
                let state = shared.state.lock();
                (state.waiting_threads, state.waiting_tasks)
            };
            // It goes on until all of them wait for it.
            let callback = move |timers: &Timers, _: TimerId| {
                while waiting(&timers.handle.shared) != (threads, tasks) {
                    sim::thread::yield_now();
                }
            };
            let id = timers.schedule_after(Duration::ZERO, callback).unwrap();
            while timers.handle.shared.state.lock().goes_on(Awaited::This(id)) == GoesOn::No {
                sim::thread::yield_now();
            }
            let waits = (0..threads + tasks).map(|number| {
                let timers = timers.clone();
                sim::thread::spawn(move || match number < threads {
                    true => timers.cancel_and_wait(id),
                    false => sim::task::block_on(timers.cancelled(id)),
                })
            });
            for wait in waits.collect::<Vec<_>>() {
                assert_eq!(wait.join().unwrap(), Ok(Cancelled::Running));
            }
            assert_eq!(waiting(&timers.handle.shared), (0, 0));
        }
    }
}
