use super::call::{LetGo, call, let_go};
use super::data_path::DataPath;
use super::shared::{Shared, UnderLock};
use super::{LoopCell, LoopError, LoopHandle};
use sim::sync::{Arc, HeldAgain, ReentrantMutexGuard};
use sim::thread;
use sim::time::Instant;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

/// Holds a loop's lock until it is dropped, and proves it to every object of the loop.
///
/// It stays on its thread, and so does every reference to it. The owner of the loop cannot be stopped or destroyed while it is there.
pub struct LoopGuard<'a> {
    shared: &'a Arc<Shared>,
    held: ReentrantMutexGuard<'a, UnderLock>,
    /// What was let go under the lock: dropped after the line above.
    dead: Dead<'a>,
    /// A reference on another thread would prove what is not so.
    stays: PhantomData<*const ()>,
}

struct Dead<'a> {
    shared: &'a Shared,
    dead: Vec<LetGo>,
}

impl<'a> LoopGuard<'a> {
    pub(super) fn new(shared: &'a Arc<Shared>, held: ReentrantMutexGuard<'a, UnderLock>) -> Self {
        LoopGuard { shared, held, dead: Dead { shared, dead: Vec::new() }, stays: PhantomData }
    }

    /// A handle to the loop.
    pub fn handle(&self) -> LoopHandle {
        LoopHandle::of(self.shared)
    }

    /// How often this thread holds the lock.
    pub fn depth(&self) -> u32 {
        ReentrantMutexGuard::depth(&self.held)
    }

    /// Whether this is the loop's own thread: in a callback or a task.
    pub fn is_on_loop_thread(&self) -> bool {
        self.held.loop_thread.get() == Some(thread::id())
    }

    /// Waits until `is_met`, for `within` at most. The lock is given back for the wait, and held again when it returns; `is_met` is asked
    /// with the lock held, at first and then whenever somebody has [signalled](LoopGuard::signal).
    ///
    /// # Errors
    /// The first of these, at once: [`LoopError::OnDataPath`], [`LoopError::OnLoopThread`], [`LoopError::Nested`], whether or not
    /// `is_met`; then [`LoopError::NotRunning`] or [`LoopError::Destroyed`]. Later [`LoopError::Stopped`] or [`LoopError::DeadlinePassed`].
    #[track_caller]
    pub fn wait(&mut self, within: Duration, is_met: impl FnMut(&LoopGuard<'_>) -> bool) -> Result<(), LoopError> {
        let _operation = sim::operation("loop.wait", within.saturating_add(self.shared.config.stop_deadline));
        if self.is_on_loop_thread() {
            return Err(LoopError::OnLoopThread);
        }
        self.expect_to_wait()?;
        let run = self.running_run()?;
        self.wait_on(For::Signal, run, within, is_met)
    }

    /// Has everybody look again who [waits](LoopGuard::wait) or has [invoked](LoopGuard::invoke) something. Returns how many those are.
    #[track_caller]
    pub fn signal(&self) -> usize {
        let waiting = self.held.waiting.get();
        if waiting > 0 {
            self.shared.told.notify_all();
        }
        waiting
    }

    /// As [`LoopGuard::signal`], and then waits until somebody has [accepted](LoopGuard::accept) it, for `within` at most. The lock is
    /// given back for the wait. Signals are accepted in the order in which they were given, one for each accept.
    ///
    /// The loop thread may wait here too, from a callback: nothing else runs on it meanwhile, and a stop waits for it.
    ///
    /// # Errors
    /// As [`LoopGuard::wait`], apart from [`LoopError::OnLoopThread`]. A signal whose wait has ended is accepted no more.
    #[track_caller]
    pub fn signal_and_wait(&mut self, within: Duration) -> Result<(), LoopError> {
        let _operation = sim::operation("loop.signal_and_wait", within.saturating_add(self.shared.config.stop_deadline));
        self.expect_to_wait()?;
        let run = self.running_run()?;
        let ticket = self.held.acceptances.borrow_mut().ask();
        self.signal();
        let waited = self.wait_on(For::Acceptance, run, within, |guard| !guard.held.acceptances.borrow().waits(ticket));
        self.held.acceptances.borrow_mut().withdraw(ticket);
        waited
    }

    /// Accepts the oldest signal that [waits for it](LoopGuard::signal_and_wait): who gave it goes on once the lock is given back.
    ///
    /// # Errors
    /// [`LoopError::NothingToAccept`]; nothing has changed.
    #[track_caller]
    pub fn accept(&self) -> Result<(), LoopError> {
        self.held.acceptances.borrow_mut().accept()?;
        self.tell_asking();
        Ok(())
    }

    /// Runs `f` on the loop thread and waits for what it returns, for `within` at most. The lock is given back for the wait, and `f` has
    /// it meanwhile. On the loop thread `f` runs at once.
    ///
    /// # Errors
    /// [`LoopError::Panicked`]; [`LoopError::QueueFull`]; and as [`LoopGuard::wait`]. After [`LoopError::DeadlinePassed`] and
    /// [`LoopError::Stopped`] an `f` that has not begun never will; one that has given the lock back itself goes on, and what it returns
    /// is dropped.
    #[track_caller]
    pub fn invoke<R: Send + 'static>(
        &mut self,
        within: Duration,
        f: impl FnOnce(&mut LoopGuard<'_>) -> R + Send + 'static,
    ) -> Result<R, LoopError> {
        let _operation = sim::operation("loop.invoke", within.saturating_add(self.shared.config.stop_deadline));
        if self.is_on_loop_thread() {
            return call(self, f).ok_or(LoopError::Panicked);
        }
        self.expect_to_wait()?;
        let answer = Arc::new(LoopCell::of(self.shared, Answer::Awaited));
        let asked = Arc::clone(&answer);
        // The run that it was queued in: one that has begun since knows nothing of it.
        let run = self.shared.post(Box::new(move |guard| Answer::give(&asked, guard, f)))?;
        // Of this loop, and nobody is in a call on it.
        let is_given = |answer: &LoopCell<Answer<R>>, guard: &LoopGuard<'_>| {
            answer.with(guard, |answer| !matches!(answer, Answer::Awaited)).unwrap_or(true)
        };
        let waited = self.wait_on(For::Signal, run, within, |guard| is_given(&answer, guard));
        match (answer.with(self, |answer| std::mem::replace(answer, Answer::Abandoned))?, waited) {
            (Answer::Given(result), _) => result.ok_or(LoopError::Panicked),
            (_, waited) => Err(waited.err().unwrap_or(LoopError::Stopped)),
        }
    }

    /// Whether the guard is of this loop.
    pub(crate) fn expect_of(&self, shared: &Arc<Shared>) -> Result<(), LoopError> {
        match Arc::ptr_eq(self.shared, shared) {
            true => Ok(()),
            false => Err(LoopError::WrongLoop { expected: shared.name().to_owned(), got: self.shared.name().to_owned() }),
        }
    }

    /// Lets go of something of the application's when the lock is given back.
    pub(crate) fn let_go_later(&self, value: impl Send + 'static) {
        self.held.dead.borrow_mut().push(Box::new(value));
    }

    /// On the loop thread: whether the run goes on that calls this.
    pub(super) fn run_goes_on(&self) -> bool {
        self.shared.life.lock().state.goes_on()
    }

    pub(super) fn count_panic(&self) {
        self.shared.count_panic();
    }

    /// The loop thread has the lock.
    pub(super) fn of_the_loop_thread(self) -> Self {
        self.held.loop_thread.set(Some(thread::id()));
        self
    }

    /// Whether something waits to be let go, which the end of this guard does.
    pub(super) fn lets_go(&self) -> bool {
        self.depth() == 1 && !self.held.dead.borrow().is_empty()
    }

    /// This run is over, and all before it: whoever waits in them is told.
    pub(super) fn end_run(&self, run: u64) {
        self.held.loop_thread.set(None);
        self.held.ended_run.set(run);
        self.signal();
        self.tell_asking();
    }

    fn tell_asking(&self) {
        if self.held.asking.get() > 0 {
            self.shared.accepted.notify_all();
        }
    }

    fn running_run(&self) -> Result<u64, LoopError> {
        self.shared.life.lock().state.running_run()
    }

    fn expect_to_wait(&self) -> Result<(), LoopError> {
        if DataPath::is_here() {
            return Err(LoopError::OnDataPath);
        }
        match self.depth() {
            1 => Ok(()),
            depth => Err(LoopError::Nested { depth }),
        }
    }

    fn wait_on(
        &mut self,
        what: For,
        run: u64,
        within: Duration,
        mut is_met: impl FnMut(&LoopGuard<'_>) -> bool,
    ) -> Result<(), LoopError> {
        let until = Instant::now() + within;
        loop {
            if is_met(self) {
                return Ok(());
            }
            if self.held.ended_run.get() >= run {
                return Err(LoopError::Stopped);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(LoopError::DeadlinePassed { within });
            }
            self.sleep(what, left).map_err(|held| LoopError::Nested { depth: held.depth })?;
        }
    }

    fn sleep(&mut self, what: For, left: Duration) -> Result<(), HeldAgain> {
        let condition = match what {
            For::Signal => &self.shared.told,
            For::Acceptance => &self.shared.accepted,
        };
        what.count(&self.held, |count| count + 1);
        let slept = condition.wait_for(&mut self.held, left);
        what.count(&self.held, |count| count - 1);
        slept.map(drop)
    }
}

/// What is waited for.
#[derive(Clone, Copy)]
enum For {
    Signal,
    Acceptance,
}

impl For {
    fn count(self, held: &UnderLock, change: impl FnOnce(usize) -> usize) {
        let count = match self {
            For::Signal => &held.waiting,
            For::Acceptance => &held.asking,
        };
        count.set(change(count.get()));
    }
}

/// What an invoked function has come to.
enum Answer<R> {
    Awaited,
    /// Nothing, if it panicked.
    Given(Option<R>),
    /// Nobody waits for it any more.
    Abandoned,
}

impl<R: Send + 'static> Answer<R> {
    /// The loop thread's part.
    fn give(asked: &LoopCell<Answer<R>>, guard: &mut LoopGuard<'_>, f: impl FnOnce(&mut LoopGuard<'_>) -> R + Send + 'static) {
        if asked.with(guard, |answer| matches!(answer, Answer::Abandoned)).unwrap_or(true) {
            return guard.let_go_later(f);
        }
        let result = call(guard, f);
        let unwanted = asked.with(guard, |answer| match answer {
            Answer::Awaited => {
                *answer = Answer::Given(result);
                None
            }
            _ => Some(result),
        });
        guard.let_go_later(unwanted);
        guard.signal();
    }
}

impl Drop for LoopGuard<'_> {
    fn drop(&mut self) {
        // A panic that unwinds, or the data path, leaves it to whoever has the lock next.
        if self.depth() == 1 && !std::thread::panicking() && !DataPath::is_here() {
            self.dead.dead = std::mem::take(&mut *self.held.dead.borrow_mut());
        }
    }
}

impl Drop for Dead<'_> {
    fn drop(&mut self) {
        for dead in self.dead.drain(..) {
            if !let_go(dead) {
                self.shared.count_panic();
            }
        }
    }
}

impl fmt::Debug for LoopGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoopGuard").field("of", &self.shared.name()).field("depth", &self.depth()).finish_non_exhaustive()
    }
}
