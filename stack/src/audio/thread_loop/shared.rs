//! What the owner, the handles and the threads of a loop share.

use super::acceptance::Acceptances;
use super::call::{LetGo, let_go};
use super::data_path::DataPath;
use super::source::Served;
use super::state::{Begun, Ending, State};
use super::{LoopConfig, LoopError, LoopGuard, Stopped};
use sim::sync::{Arc, Condvar, Mutex, ReentrantCondvar, ReentrantMutex, Weak};
use sim::thread::{self, ThreadId};
use sim::time::Instant;
use std::cell::{Cell, RefCell};

/// What the loop thread is asked to do: tasks of the application's.
pub(super) type Task = Box<dyn FnOnce(&mut LoopGuard<'_>) + Send>;

/// What the loop thread does for an object of the loop, with the lock: one that is asked for and not done yet is not asked for twice.
pub(crate) trait Duty: Send + Sync {
    /// Does it.
    fn serve(&self, guard: &mut LoopGuard<'_>);
}

/// An object of the loop that has threads of its own, which end when the loop is destroyed.
pub(crate) trait Ends: Send + Sync {
    /// Has them end, and does not wait.
    fn end(&self);
}

/// The lock order: the loop's lock, then an object's, then `state`.
pub(crate) struct Shared {
    pub(super) config: LoopConfig,
    /// The loop's lock.
    pub(super) lock: ReentrantMutex<UnderLock>,
    /// Who waits for a signal waits here.
    pub(super) told: ReentrantCondvar,
    /// Who waits for an acceptance waits here.
    pub(super) accepted: ReentrantCondvar,
    pub(super) state: Mutex<State<Task, Arc<dyn Duty>>>,
    /// The loop thread waits here for something to do.
    pub(super) work: Condvar,
    /// Who stops waits here for the loop thread to end.
    pub(super) quiet: Condvar,
    pub(super) served: Option<Served>,
    ends: Mutex<Vec<Weak<dyn Ends>>>,
}

/// What the loop's lock guards beside the objects of the loop.
pub(super) struct UnderLock {
    pub(super) acceptances: RefCell<Acceptances>,
    /// How many wait for a signal.
    pub(super) waiting: Cell<usize>,
    /// The newest run that is over.
    pub(super) ended_run: Cell<u64>,
    pub(super) loop_thread: Cell<Option<ThreadId>>,
    /// What was let go under the lock.
    pub(super) dead: RefCell<Vec<LetGo>>,
}

impl Shared {
    pub(super) fn new(config: LoopConfig, served: Option<Served>) -> Arc<Shared> {
        let under_lock = UnderLock {
            acceptances: RefCell::default(),
            waiting: Cell::new(0),
            ended_run: Cell::new(0),
            loop_thread: Cell::new(None),
            dead: RefCell::default(),
        };
        Arc::new(Shared {
            state: Mutex::new(State::new(config.queue_capacity)),
            config,
            lock: ReentrantMutex::new(under_lock),
            told: ReentrantCondvar::new(),
            accepted: ReentrantCondvar::new(),
            work: Condvar::new(),
            quiet: Condvar::new(),
            served,
            ends: Mutex::new(Vec::new()),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.config.name
    }

    #[track_caller]
    pub(crate) fn lock<'a>(self: &'a Arc<Self>) -> LoopGuard<'a> {
        assert!(!DataPath::is_here(), "the lock of {} was asked for on the data path, which must not wait for it", self.name());
        LoopGuard::new(self, self.lock.lock())
    }

    #[track_caller]
    pub(super) fn try_lock<'a>(self: &'a Arc<Self>) -> Option<LoopGuard<'a>> {
        Some(LoopGuard::new(self, self.lock.try_lock()?))
    }

    pub(super) fn start(self: &Arc<Self>) -> Result<(), LoopError> {
        let _operation = sim::operation("loop.start", None);
        let mut state = self.state.lock();
        let run = match state.begin()? {
            Begun::AlreadyRuns => return Ok(()),
            Begun::WorkerKept => {
                // Who stops the old run need not wait for its thread any more.
                self.quiet.notify_all();
                return Ok(());
            }
            Begun::WorkerNeeded(run) => run,
        };
        let worker = Arc::clone(self);
        // The thread waits for the state's lock before it looks.
        match thread::Builder::new().name(self.name()).spawn(move || worker.work(run)) {
            Ok(handle) => {
                state.has_begun(handle.id());
                Ok(())
            }
            Err(error) => {
                state.undo();
                Err(LoopError::Thread { why: error.to_string() })
            }
        }
    }

    pub(super) fn stop(&self, destroys: bool) -> Result<Stopped, LoopError> {
        let deadline = self.config.stop_deadline;
        let _operation = sim::operation(if destroys { "loop.destroy" } else { "loop.stop" }, deadline);
        let until = Instant::now() + deadline;
        let inside = DataPath::is_here() || self.state.lock().is_worker(thread::id());
        if !inside && self.lock.is_held() {
            return Err(LoopError::LockHeld);
        }
        let ending = self.end(destroys);
        let mut state = self.state.lock();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if let Some(outcome) = state.outcome(&ending, inside, deadline, !left.is_zero()) {
                return outcome;
            }
            self.quiet.wait_for(&mut state, left);
        }
    }

    /// Ends the run, and does not wait.
    pub(super) fn request(&self, destroys: bool) -> Stopped {
        if self.end(destroys).was_running { Stopped::Requested } else { Stopped::NotRunning }
    }

    fn end(&self, destroys: bool) -> Ending<Task, Arc<dyn Duty>> {
        let mut ending = self.state.lock().end(destroys);
        if ending.was_running {
            self.wake_worker();
        }
        let (tasks, duties) = (std::mem::take(&mut ending.tasks), std::mem::take(&mut ending.duties));
        self.let_go_unlocked(Box::new(tasks));
        self.let_go_unlocked(Box::new(duties));
        if destroys {
            let ends = std::mem::take(&mut *self.ends.lock());
            ends.iter().filter_map(Weak::upgrade).for_each(|object| object.end());
        }
        ending
    }

    /// Drops what is the application's. A caller that holds the loop's lock, as one may that only requests, drops it later.
    fn let_go_unlocked(&self, dead: LetGo) {
        match self.lock.is_held().then(|| self.lock.try_lock()).flatten() {
            Some(held) => held.dead.borrow_mut().push(dead),
            None => {
                if !let_go(dead) {
                    self.state.lock().count_panic();
                }
            }
        }
    }

    /// The worker looks at the state again.
    fn wake_worker(&self) {
        self.work.notify_one();
        if let Some(served) = &self.served {
            served.wake.wake();
        }
    }

    /// Queues a task for the loop thread.
    pub(super) fn post(&self, task: Task) -> Result<(), LoopError> {
        let _operation = sim::operation("loop.post", None);
        let posted = self.state.lock().post(task);
        match posted {
            Ok(()) => {
                self.wake_worker();
                Ok(())
            }
            Err((error, task)) => {
                self.let_go_unlocked(Box::new(task));
                Err(error)
            }
        }
    }

    /// Has the loop thread do a duty, in this run or the next.
    pub(crate) fn rouse(&self, duty: Arc<dyn Duty>) {
        let is_same = |a: &Arc<dyn Duty>, b: &Arc<dyn Duty>| Arc::ptr_eq(a, b);
        let wakes = self.state.lock().rouse(duty, is_same);
        if wakes {
            self.wake_worker();
        }
    }

    /// A thread of the data path is about to be made, for an object that ends when the loop is destroyed.
    pub(crate) fn data_thread_begins(&self, object: Weak<dyn Ends>) -> Result<(), LoopError> {
        {
            let mut ends = self.ends.lock();
            ends.retain(|known| known.strong_count() > 0 && !known.ptr_eq(&object));
            ends.push(object);
        }
        self.state.lock().data_thread_begins()
    }

    /// The thread ends, and uses nothing of the loop any more; or it was not made.
    pub(crate) fn data_thread_ends(&self) {
        self.state.lock().data_thread_ends();
        self.quiet.notify_all();
    }
}
