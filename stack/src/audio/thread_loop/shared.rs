//! What the owner, the handles and the threads of a loop share.

use super::acceptance::Acceptances;
use super::call::{LetGo, let_go};
use super::data_path::DataPath;
use super::source::Served;
use super::state::{Begun, Ending, State};
use super::{LoopConfig, LoopError, LoopGuard, Stopped};
use sim::sync::{Arc, Condvar, Mutex, MutexGuard, ReentrantCondvar, ReentrantMutex, Weak};
use sim::thread::{self, ThreadId};
use sim::time::Instant;
use std::cell::{Cell, RefCell};

/// What the loop thread is asked to do: tasks of the application's.
pub(super) type Task = Box<dyn FnOnce(&mut LoopGuard<'_>) + Send>;

/// What the loop thread does for an object of the loop, with the lock: one that is asked for and not done yet is not asked for twice.
pub(crate) trait Duty: Send + Sync {
    /// Does it. False if the run ended first: then it is done in the next.
    fn serve(&self, guard: &mut LoopGuard<'_>) -> bool;
}

/// An object of the loop that has threads of its own, which end when the loop is destroyed.
pub(crate) trait Ends: Send + Sync {
    /// Has them end, and does not wait.
    fn end(&self);
}

/// The lock order: the loop's lock, then an object's, then `life`.
pub(crate) struct Shared {
    pub(super) config: LoopConfig,
    /// The loop's lock.
    pub(super) lock: ReentrantMutex<UnderLock>,
    /// Who waits for a signal waits here.
    pub(super) told: ReentrantCondvar,
    /// Who waits for an acceptance waits here.
    pub(super) accepted: ReentrantCondvar,
    pub(super) life: Mutex<Life>,
    /// The loop thread waits here for something to do.
    pub(super) work: Condvar,
    /// Who stops waits here for the loop thread to end.
    pub(super) quiet: Condvar,
    pub(super) served: Option<Served>,
}

/// The loop's life, under a lock of its own that is held for moments.
pub(super) struct Life {
    pub(super) state: State<Task, Arc<dyn Duty>>,
    /// Those that have threads of their own.
    ends: Vec<Weak<dyn Ends>>,
    /// How many wait for the loop thread to end.
    stopping: usize,
}

/// What the loop's lock guards beside the objects of the loop.
pub(super) struct UnderLock {
    pub(super) acceptances: RefCell<Acceptances>,
    /// How many wait for a signal, and for an acceptance.
    pub(super) waiting: Cell<usize>,
    pub(super) asking: Cell<usize>,
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
            asking: Cell::new(0),
            ended_run: Cell::new(0),
            loop_thread: Cell::new(None),
            dead: RefCell::default(),
        };
        Arc::new(Shared {
            life: Mutex::new(Life { state: State::new(config.queue_capacity), ends: Vec::new(), stopping: 0 }),
            config,
            lock: ReentrantMutex::new(under_lock),
            told: ReentrantCondvar::new(),
            accepted: ReentrantCondvar::new(),
            work: Condvar::new(),
            quiet: Condvar::new(),
            served,
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.config.name
    }

    #[cfg(feature = "pipewire")]
    pub(crate) fn is_destroyed(&self) -> bool {
        self.life.lock().state.is_destroyed()
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
        let mut life = self.life.lock();
        let run = match life.state.begin()? {
            Begun::AlreadyRuns => return Ok(()),
            Begun::WorkerKept => {
                // Who stops the old run need not wait for its thread any more.
                self.tell_stopping(&life);
                return Ok(());
            }
            Begun::WorkerNeeded(run) => run,
        };
        let worker = Arc::clone(self);
        // The thread waits for this lock before it looks.
        match thread::Builder::new().name(self.name()).spawn(move || worker.work(run)) {
            Ok(handle) => {
                life.state.has_begun(handle.id());
                Ok(())
            }
            Err(error) => {
                life.state.undo();
                Err(LoopError::Thread { why: error.to_string() })
            }
        }
    }

    pub(super) fn stop(&self, destroys: bool) -> Result<Stopped, LoopError> {
        let deadline = self.config.stop_deadline;
        let _operation = sim::operation(if destroys { "loop.destroy" } else { "loop.stop" }, deadline);
        let until = Instant::now() + deadline;
        let life = self.life.lock();
        let inside = DataPath::is_here() || life.state.is_worker(thread::id());
        if !inside && self.lock.is_held() {
            return Err(LoopError::LockHeld);
        }
        let (ending, mut life) = self.end(life, destroys);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if let Some(outcome) = life.state.outcome(&ending, inside, deadline, !left.is_zero()) {
                return outcome;
            }
            life.stopping += 1;
            self.quiet.wait_for(&mut life, left);
            life.stopping -= 1;
        }
    }

    /// Ends the run, and does not wait.
    pub(super) fn request(&self, destroys: bool) -> Stopped {
        let (ending, _) = self.end(self.life.lock(), destroys);
        if ending.was_running { Stopped::Requested } else { Stopped::NotRunning }
    }

    fn end<'a>(&'a self, mut life: MutexGuard<'a, Life>, destroys: bool) -> (Ending<Task, Arc<dyn Duty>>, MutexGuard<'a, Life>) {
        let mut ending = life.state.end(destroys);
        if ending.was_running {
            self.work.notify_one();
        }
        // That is somebody else's, and not called under the lock.
        let served = self.served.as_ref().filter(|_| ending.was_running);
        let ends = if destroys { std::mem::take(&mut life.ends) } else { Vec::new() };
        let (tasks, duties) = (std::mem::take(&mut ending.tasks), std::mem::take(&mut ending.duties));
        if served.is_some() || !(ends.is_empty() && tasks.is_empty() && duties.is_empty()) {
            drop(life);
            if let Some(served) = served {
                served.wake.wake();
            }
            ends.iter().filter_map(Weak::upgrade).for_each(|object| object.end());
            // One by one: each may panic.
            tasks.into_iter().for_each(|task| self.let_go_unlocked(Box::new(task)));
            duties.into_iter().for_each(|duty| self.let_go_unlocked(Box::new(duty)));
            life = self.life.lock();
        }
        (ending, life)
    }

    /// Drops what is the application's. A caller that holds the loop's lock, as one may that only requests, drops it later.
    pub(super) fn let_go_unlocked(&self, dead: LetGo) {
        match self.lock.is_held().then(|| self.lock.try_lock()).flatten() {
            Some(held) => held.dead.borrow_mut().push(dead),
            None => {
                if !let_go(dead) {
                    self.count_panic();
                }
            }
        }
    }

    pub(crate) fn count_panic(&self) {
        self.life.lock().state.count_panic();
    }

    /// Whoever stops the loop looks again.
    pub(super) fn tell_stopping(&self, life: &Life) {
        if life.stopping > 0 {
            self.quiet.notify_all();
        }
    }

    /// The worker looks at the state again.
    fn wake_worker(&self) {
        self.work.notify_one();
        if let Some(served) = &self.served {
            served.wake.wake();
        }
    }

    /// Queues a task for the loop thread, and says in which run: if that ends first, the task never begins.
    pub(super) fn post(&self, task: Task) -> Result<u64, LoopError> {
        let _operation = sim::operation("loop.post", None);
        let posted = self.life.lock().state.post(task);
        match posted {
            Ok(run) => {
                self.wake_worker();
                Ok(run)
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
        let roused = self.life.lock().state.rouse(duty, is_same);
        // One that is not needed may be the last that has its object: not dropped under the lock above.
        if roused.is_ok_and(|wakes| wakes) {
            self.wake_worker();
        }
    }

    /// A thread of the data path is about to be made, for an object that ends when the loop is destroyed.
    pub(crate) fn data_thread_begins(&self, object: Weak<dyn Ends>) -> Result<(), LoopError> {
        let mut life = self.life.lock();
        life.state.data_thread_begins()?;
        life.ends.retain(|known| known.strong_count() > 0 && !known.ptr_eq(&object));
        life.ends.push(object);
        Ok(())
    }

    /// The thread ends, and uses nothing of the loop any more; or it was not made.
    pub(crate) fn data_thread_ends(&self) {
        let mut life = self.life.lock();
        life.state.data_thread_ends();
        self.tell_stopping(&life);
    }
}
