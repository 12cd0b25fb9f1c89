//! What a loop is, whatever its tasks are: its runs, from start to stop, and what waits for its thread.
//!
//! [`super::Shared`] holds the [`State`] behind a lock, and waits and wakes around it. Nothing here
//! waits, calls the application, or drops what is the application's.

use super::{LoopCounters, LoopError, Stopped};
use sim::ledger::{self, ResourceId};
use sim::thread::ThreadId;
use std::collections::VecDeque;
use std::time::Duration;

/// A loop whose tasks are `T` and whose duties are `D`.
pub(super) struct State<T, D> {
    capacity: usize,
    /// Counts starts. The worker works for the newest.
    run: u64,
    running: bool,
    /// From its making to its last look at this state.
    has_worker: bool,
    worker: Option<(ThreadId, ResourceId)>,
    /// The run whose task, callback or source goes on.
    calling: Option<u64>,
    tasks: VecDeque<T>,
    /// One of a kind each, so that they need no bound of their own.
    duties: VecDeque<D>,
    gave_duty: bool,
    data_threads: u32,
    destroyed: bool,
    released: bool,
    loop_resource: ResourceId,
    counters: LoopCounters,
}

/// What a start found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begun {
    /// The loop runs as it did.
    AlreadyRuns,
    /// The last run's worker has not ended yet, and goes on with the new run.
    WorkerKept,
    /// A worker is to be made, or else [`State::undo`] is to be called.
    WorkerNeeded(u64),
}

/// What the worker does next.
#[derive(Debug)]
pub(super) enum Step<T, D> {
    /// It does this, and says so to [`State::returned`].
    Task(T),
    /// As [`Step::Task`].
    Duty(D),
    /// The run is over: the worker cleans up after it, and asks [`State::leave`].
    EndRun,
}

/// A stop, and what it found.
#[derive(Debug)]
pub(super) struct Ending<T, D> {
    pub(super) run: u64,
    pub(super) was_running: bool,
    destroys: bool,
    /// What will never run, to be dropped without the state's lock.
    pub(super) tasks: VecDeque<T>,
    pub(super) duties: VecDeque<D>,
}

impl<T, D> State<T, D> {
    /// A loop that does not run yet.
    pub(super) fn new(capacity: usize) -> Self {
        State {
            capacity,
            run: 0,
            running: false,
            has_worker: false,
            worker: None,
            calling: None,
            tasks: VecDeque::new(),
            duties: VecDeque::new(),
            gave_duty: false,
            data_threads: 0,
            destroyed: false,
            released: false,
            loop_resource: ledger::register("thread loop"),
            counters: LoopCounters::default(),
        }
    }

    /// Begins a run, unless one goes on.
    pub(super) fn begin(&mut self) -> Result<Begun, LoopError> {
        if self.destroyed {
            return Err(LoopError::Destroyed);
        }
        if self.running {
            return Ok(Begun::AlreadyRuns);
        }
        self.run += 1;
        self.running = true;
        if std::mem::replace(&mut self.has_worker, true) {
            return Ok(Begun::WorkerKept);
        }
        Ok(Begun::WorkerNeeded(self.run))
    }

    /// The worker was made.
    pub(super) fn has_begun(&mut self, worker: ThreadId) {
        self.worker = Some((worker, ledger::register("loop thread")));
    }

    /// The worker could not be made, and nobody has looked at the loop since: it is as it was.
    pub(super) fn undo(&mut self) {
        self.run -= 1;
        self.running = false;
        self.has_worker = false;
    }

    /// Ends the run, for good if it `destroys`. The worker is to be woken if it was running.
    pub(super) fn end(&mut self, destroys: bool) -> Ending<T, D> {
        let was_running = std::mem::replace(&mut self.running, false);
        self.destroyed |= destroys;
        let tasks = std::mem::take(&mut self.tasks);
        self.counters.discarded += tasks.len() as u64;
        let duties = if self.destroyed { std::mem::take(&mut self.duties) } else { VecDeque::new() };
        self.release();
        Ending { run: self.run, was_running, destroys, tasks, duties }
    }

    /// What a stop comes to, if it need not wait; `None` only while there is time left. A start that crosses makes a run of its own,
    /// whose callbacks are not waited for. A stop from `inside`, by what the loop calls, does not wait for itself.
    pub(super) fn outcome(
        &self,
        ending: &Ending<T, D>,
        inside: bool,
        deadline: Duration,
        is_time_left: bool,
    ) -> Option<Result<Stopped, LoopError>> {
        if inside {
            return Some(Ok(Stopped::Requested));
        }
        let is_called = self.calling.is_some_and(|run| run <= ending.run) || (ending.destroys && self.data_threads > 0);
        if is_called || (self.has_worker && self.run == ending.run) {
            if is_time_left {
                return None;
            }
            if is_called {
                return Some(Err(LoopError::CallbackGoesOn { deadline }));
            }
            // The worker has not had the processor to end. It will call nothing any more, which is what was promised.
        }
        Some(Ok(if ending.was_running { Stopped::Stopped } else { Stopped::NotRunning }))
    }

    /// Queues a task, and says in which run; or gives it back, to be dropped without the state's lock.
    pub(super) fn post(&mut self, task: T) -> Result<u64, (LoopError, T)> {
        let run = match self.running_run() {
            Ok(run) => run,
            Err(error) => return Err((error, task)),
        };
        if self.tasks.len() >= self.capacity {
            self.counters.refused += 1;
            return Err((LoopError::QueueFull { capacity: self.capacity }, task));
        }
        self.tasks.push_back(task);
        self.counters.posted += 1;
        Ok(run)
    }

    /// Has a duty done, once however often it is asked for before. It waits for the next run if none goes on. Says whether the worker is
    /// to be woken, or gives back what is not needed, to be dropped without the state's lock.
    pub(super) fn rouse(&mut self, duty: D, is_same: impl Fn(&D, &D) -> bool) -> Result<bool, D> {
        if self.destroyed || self.duties.iter().any(|known| is_same(known, &duty)) {
            return Err(duty);
        }
        self.duties.push_back(duty);
        Ok(self.running)
    }

    /// What the worker of this run does next; nothing if it is to wait.
    pub(super) fn step(&mut self, run: u64) -> Option<Step<T, D>> {
        ledger::touch(self.loop_resource);
        if !self.begin_call(run) {
            return Some(Step::EndRun);
        }
        // In turns, so that neither waits for ever behind the other.
        let duty_first = !std::mem::take(&mut self.gave_duty);
        let duty = if duty_first || self.tasks.is_empty() { self.duties.pop_front() } else { None };
        if let Some(duty) = duty {
            self.gave_duty = true;
            return Some(Step::Duty(duty));
        }
        match self.tasks.pop_front() {
            Some(task) => {
                self.counters.ran += 1;
                Some(Step::Task(task))
            }
            None => {
                self.calling = None;
                None
            }
        }
    }

    /// The worker of this run is about to call. False if the run is over.
    pub(super) fn begin_call(&mut self, run: u64) -> bool {
        let goes_on = self.running && self.run == run;
        if goes_on {
            self.calling = Some(run);
        }
        goes_on
    }

    /// Whether what is being called is of a run that goes on.
    pub(super) fn goes_on(&self) -> bool {
        self.running && self.calling == Some(self.run)
    }

    /// What was called has returned.
    pub(super) fn returned(&mut self) {
        self.calling = None;
    }

    /// The worker has cleaned up after its run. It goes on with another that was begun since, or ends: then this was its last look.
    pub(super) fn leave(&mut self) -> Option<u64> {
        if self.running {
            return Some(self.run);
        }
        self.has_worker = false;
        if let Some((_, resource)) = self.worker.take() {
            ledger::release(resource);
        }
        self.release();
        None
    }

    /// The newest run that is over.
    pub(super) fn ended_run(&self) -> u64 {
        if self.running { self.run - 1 } else { self.run }
    }

    /// A thread of the data path begins.
    pub(super) fn data_thread_begins(&mut self) -> Result<(), LoopError> {
        if self.destroyed {
            return Err(LoopError::Destroyed);
        }
        self.data_threads += 1;
        Ok(())
    }

    /// A thread of the data path ends, or was not made.
    pub(super) fn data_thread_ends(&mut self) {
        self.data_threads -= 1;
        self.release();
    }

    /// The run that goes on.
    pub(super) fn running_run(&self) -> Result<u64, LoopError> {
        match (self.destroyed, self.running) {
            (true, _) => Err(LoopError::Destroyed),
            (_, false) => Err(LoopError::NotRunning),
            _ => Ok(self.run),
        }
    }

    /// Whether `thread` is the loop's own.
    pub(super) fn is_worker(&self, thread: ThreadId) -> bool {
        self.worker.is_some_and(|(worker, _)| worker == thread)
    }

    pub(super) fn count_panic(&mut self) {
        self.counters.panics += 1;
    }

    pub(super) fn counters(&self) -> LoopCounters {
        self.counters
    }

    pub(super) fn is_destroyed(&self) -> bool {
        self.destroyed
    }

    /// A destroyed loop ends with the last of its threads, once.
    fn release(&mut self) {
        if self.destroyed && !self.has_worker && self.data_threads == 0 && !std::mem::replace(&mut self.released, true) {
            ledger::release(self.loop_resource);
        }
    }
}
