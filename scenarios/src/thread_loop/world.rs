//! Our loop, its devices and streams, under operations of any thread; and the oracle, a model that the loop's lock guards.

use super::PERIOD;
use crate::inputs::below;
use sim::invariant;
use sim::sync::atomic::{AtomicBool, Ordering::SeqCst};
use sim::sync::{Arc, Mutex};
use sim::time::{self, Duration, Instant};
use stack::audio::null::NullBackend;
use stack::audio::thread_loop::{LoopCell, LoopConfig, LoopError, LoopGuard, LoopHandle, Stopped, ThreadLoop};
use stack::audio::{AudioError, Backend, Closing, Cycle, DeviceEvent, DeviceId, Stream, StreamConfig};
use std::collections::VecDeque;

/// How long an operation waits for what it waits for.
const WAIT: Duration = Duration::from_millis(50);
/// How long stopping waits for a callback. None here takes so long.
const STOP_DEADLINE: Duration = Duration::from_secs(2);
/// What any operation allows itself, whatever it waits for and whoever has the lock meanwhile.
const DEADLINE: Duration = Duration::from_secs(20);
/// How often a loop is destroyed whose callback does not return.
const DESTROYS_MAX: u32 = 8;
/// How many tasks may wait for the loop.
const QUEUE_CAPACITY: usize = 2;

/// What a thread does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// Takes the lock and calls an object.
    Lock,
    /// Takes it twice, calls, and is refused what waits.
    Nested,
    /// Waits for somebody's signal.
    Wait,
    /// Changes what is waited for, and signals.
    Signal,
    /// Signals and waits to be accepted.
    SignalAndWait,
    /// Accepts.
    Accept,
    /// Runs something on the loop's thread and waits for it.
    Invoke,
    /// Runs something on the loop's thread.
    Post,
    Start,
    Stop,
    Destroy,
    /// Adds or takes away a device: the listener is called back.
    Device,
    /// Opens a stream, whose process runs, and closes it.
    Stream,
    /// Lists the devices.
    Enumerate,
}

impl Operation {
    pub(super) const ALL: [Operation; 14] = [
        Operation::Lock,
        Operation::Nested,
        Operation::Wait,
        Operation::Signal,
        Operation::SignalAndWait,
        Operation::Accept,
        Operation::Invoke,
        Operation::Post,
        Operation::Start,
        Operation::Stop,
        Operation::Destroy,
        Operation::Device,
        Operation::Stream,
        Operation::Enumerate,
    ];
}

/// What the listener and the tasks do besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InCallback {
    Nothing,
    Stop,
    Destroy,
    SignalAndWait,
}

impl InCallback {
    pub(super) const ALL: [InCallback; 4] =
        [InCallback::Nothing, InCallback::SignalAndWait, InCallback::Stop, InCallback::Destroy];
}

pub(super) struct World {
    owner: Mutex<Option<ThreadLoop>>,
    handle: LoopHandle,
    backend: NullBackend,
    model: Arc<LoopCell<Model>>,
    in_callback: InCallback,
    /// Whether processes try for the lock.
    tries_lock: bool,
    /// A destroy has said that nothing goes on.
    is_over: Arc<AtomicBool>,
}

/// What the loop's lock guards.
#[derive(Default)]
struct Model {
    /// Counts everything that was done with the lock held, so that who waits has something to wait for.
    changes: u64,
    /// Who waits to be accepted, oldest first, and who was.
    asking: VecDeque<u64>,
    accepted: Vec<u64>,
    asked: u64,
    /// Invoked functions whose caller has given up: they never begin.
    abandoned: Vec<u64>,
    invoked: u64,
    /// The sinks, by their names, and those that the listener was told of.
    sinks: Vec<(DeviceId, DeviceId)>,
    told: Vec<DeviceId>,
    has_missed: bool,
}

impl World {
    /// A loop that does not run yet.
    pub(super) fn open(in_callback: InCallback, tries_lock: bool) -> Arc<World> {
        let config = LoopConfig { name: "loop".to_owned(), queue_capacity: QUEUE_CAPACITY, stop_deadline: STOP_DEADLINE };
        let thread_loop = ThreadLoop::new(config);
        let handle = thread_loop.handle();
        let world = World {
            backend: NullBackend::new(&handle),
            model: Arc::new(LoopCell::new(&handle, Model::default())),
            owner: Mutex::new(Some(thread_loop)),
            handle,
            in_callback,
            tries_lock,
            is_over: Arc::new(AtomicBool::new(false)),
        };
        Arc::new(world)
    }

    pub(super) fn start(&self) {
        accept(self.handle.start());
    }

    /// Adds sinks, for streams.
    pub(super) fn add_sinks(&self, count: usize) {
        let guard = self.handle.lock();
        (0..count).for_each(|_| self.add_sink(&guard));
    }

    /// Has the listener told of devices.
    pub(super) fn listen(&self) {
        let guard = self.handle.lock();
        let (model, is_over, plan) = (Arc::clone(&self.model), Arc::clone(&self.is_over), self.in_callback);
        let listener = move |guard: &mut LoopGuard<'_>, event: &DeviceEvent| {
            invariant!(guard.is_on_loop_thread() && guard.depth() == 1, "the listener has not the lock that it is to have");
            invariant!(!is_over.load(SeqCst), "the listener is called after the loop was destroyed");
            with(&model, guard, |model| {
                model.changes += 1;
                match event {
                    DeviceEvent::Added(device) => model.told.push(device.id),
                    DeviceEvent::Removed(device) => model.told.retain(|told| *told != device.id),
                    _ => model.has_missed = true,
                }
            });
            act_in_callback(plan, &model, guard);
        };
        if let Err(error) = self.backend.subscribe(&guard, Box::new(listener)) {
            sim::violated(format!("a listener is refused: {error}"));
        }
    }

    fn add_sink(&self, guard: &LoopGuard<'_>) {
        match self.backend.add_sink(guard, "sink") {
            Ok(sink) => with(&self.model, guard, |model| model.sinks.push(sink)),
            Err(error) => sim::violated(format!("a sink is refused: {error}")),
        }
    }

    pub(super) fn perform(&self, operation: Operation) {
        match operation {
            Operation::Lock => self.lock(),
            Operation::Nested => self.nested(),
            Operation::Wait => self.wait(),
            Operation::Signal => self.signal(),
            Operation::SignalAndWait => self.signal_and_wait(),
            Operation::Accept => self.accept(),
            Operation::Invoke => _ = self.invoke(),
            Operation::Post => self.post(),
            Operation::Start => self.start(),
            Operation::Stop => accept(self.handle.stop()),
            Operation::Destroy => _ = self.destroy(),
            Operation::Device => self.device(),
            Operation::Stream => self.stream(),
            Operation::Enumerate => self.enumerate(),
        }
    }

    fn lock(&self) {
        let _operation = sim::operation("user.lock", DEADLINE);
        let guard = self.handle.lock();
        with(&self.model, &guard, |model| model.changes += 1);
        invariant!(
            guard.depth() == 1 && !guard.is_on_loop_thread(),
            "a lock that was taken once is held {} times",
            guard.depth()
        );
    }

    fn nested(&self) {
        let _operation = sim::operation("user.nested", DEADLINE);
        let outer = self.handle.lock();
        let before = with(&self.model, &outer, |model| model.changes);
        let mut inner = self.handle.lock();
        let refused = LoopError::Nested { depth: 2 };
        let waited = inner.wait(WAIT, |_| false);
        invariant!(waited == Err(refused.clone()), "a nested wait says {waited:?}");
        let invoked = inner.invoke(WAIT, |_| ());
        invariant!(invoked == Err(refused), "a nested invoke says {invoked:?}");
        let stopped = self.handle.stop();
        invariant!(stopped == Err(LoopError::LockHeld), "a stop with the lock held says {stopped:?}");
        drop(outer);
        let after = with(&self.model, &inner, |model| model.changes);
        invariant!(before == after, "somebody had the lock in the middle of a nested one");
    }

    fn wait(&self) {
        let mut guard = self.handle.lock();
        let wanted = with(&self.model, &guard, |model| model.changes) + 1;
        let began = Instant::now();
        let waited = guard.wait(WAIT, |guard| with(&self.model, guard, |model| model.changes) >= wanted);
        let is_met = with(&self.model, &guard, |model| model.changes) >= wanted;
        match waited {
            Ok(()) => invariant!(is_met, "a wait ends before it is met"),
            Err(LoopError::DeadlinePassed { .. }) => {
                invariant!(!is_met && began.elapsed() >= WAIT, "a wait gives up after {:?}, met: {is_met}", began.elapsed());
            }
            Err(LoopError::Stopped | LoopError::NotRunning | LoopError::Destroyed) => {
                invariant!(!is_met, "what is met is said to be stopped")
            }
            Err(error) => sim::violated(format!("a wait says: {error}")),
        }
    }

    fn signal(&self) {
        let _operation = sim::operation("user.signal", DEADLINE);
        let guard = self.handle.lock();
        with(&self.model, &guard, |model| model.changes += 1);
        guard.signal();
    }

    fn signal_and_wait(&self) {
        let mut guard = self.handle.lock();
        signal_and_wait(&self.model, &mut guard);
    }

    fn accept(&self) {
        let _operation = sim::operation("user.accept", DEADLINE);
        let guard = self.handle.lock();
        let oldest = with(&self.model, &guard, |model| model.asking.pop_front());
        let said = guard.accept();
        match oldest {
            None => invariant!(said == Err(LoopError::NothingToAccept), "a stray accept says {said:?}"),
            Some(oldest) => {
                invariant!(said == Ok(()), "a signal waits, and an accept says {said:?}");
                with(&self.model, &guard, |model| model.accepted.push(oldest));
            }
        }
    }

    pub(super) fn restart(&self) {
        // Twice, so that a run begins and ends while the worker still ends the one before it.
        for _ in 0..2 {
            self.handle.request_stop();
            self.start();
        }
    }

    pub(super) fn invoke(&self) -> Result<(), LoopError> {
        let mut guard = self.handle.lock();
        let number = with(&self.model, &guard, |model| {
            model.invoked += 1;
            model.invoked
        });
        let (model, is_over) = (Arc::clone(&self.model), Arc::clone(&self.is_over));
        let said = guard.invoke(WAIT, move |guard| {
            invariant!(guard.is_on_loop_thread() && guard.depth() == 1, "what was invoked has not the lock, or not the thread");
            invariant!(!is_over.load(SeqCst), "something is invoked after the loop was destroyed");
            with(&model, guard, |model| {
                invariant!(!model.abandoned.contains(&number), "what was given up runs");
                model.changes += 1;
                number
            })
        });
        match &said {
            Ok(returned) => invariant!(*returned == number, "{number} was invoked, and {returned} came back"),
            Err(LoopError::QueueFull { capacity }) => invariant!(*capacity == QUEUE_CAPACITY, "{capacity}"),
            Err(LoopError::DeadlinePassed { .. } | LoopError::Stopped | LoopError::NotRunning | LoopError::Destroyed) => {
                with(&self.model, &guard, |model| model.abandoned.push(number))
            }
            Err(error) => sim::violated(format!("an invoke says: {error}")),
        }
        said.map(drop)
    }

    fn post(&self) {
        let (model, is_over, plan) = (Arc::clone(&self.model), Arc::clone(&self.is_over), self.in_callback);
        let posted = self.handle.post(move |guard| {
            invariant!(guard.is_on_loop_thread() && guard.depth() == 1, "a task has not the lock, or not the thread");
            invariant!(!is_over.load(SeqCst), "a task begins after the loop was destroyed");
            with(&model, guard, |model| model.changes += 1);
            guard.signal();
            act_in_callback(plan, &model, guard);
        });
        match posted {
            Ok(()) | Err(LoopError::QueueFull { .. } | LoopError::NotRunning | LoopError::Destroyed) => {}
            Err(error) => sim::violated(format!("a post says: {error}")),
        }
    }

    /// False if something still goes on, and the loop is to be destroyed again.
    fn destroy(&self) -> bool {
        let said = self.handle.destroy();
        let is_over = matches!(said, Ok(Stopped::Stopped | Stopped::NotRunning));
        if is_over {
            self.is_over.store(true, SeqCst);
        }
        accept(said);
        is_over
    }

    fn device(&self) {
        let _operation = sim::operation("user.devices", DEADLINE);
        let guard = self.handle.lock();
        let taken = with(&self.model, &guard, |model| if model.sinks.len() > 1 { model.sinks.pop() } else { None });
        match taken {
            None => self.add_sink(&guard),
            Some((sink, monitor)) => {
                let which = if sim::choose(2) == 0 { sink } else { monitor };
                let removed = self.backend.remove(&guard, which);
                invariant!(removed == Ok(()), "a sink is not removed: {removed:?}");
            }
        }
    }

    fn enumerate(&self) {
        let _operation = sim::operation("user.enumerate", DEADLINE);
        let guard = self.handle.lock();
        let listed = self.backend.devices(&guard).map(|listed| listed.into_iter().map(|device| device.id).collect());
        let known: Vec<DeviceId> =
            with(&self.model, &guard, |model| model.sinks.iter().flat_map(|(sink, monitor)| [*sink, *monitor]).collect());
        invariant!(listed.as_ref() == Ok(&known), "{listed:?} are listed, and there are {known:?}");
    }

    /// Opens a stream on a sink, lets it run for a period, and closes it.
    fn stream(&self) {
        let _operation = sim::operation("user.stream", DEADLINE);
        let sinks = with(&self.model, &self.handle.lock(), |model| model.sinks.len());
        let Some(stream) = self.open_stream(below(sinks.max(1))) else { return };
        time::sleep(PERIOD + PERIOD / 2);
        self.close_stream(stream);
    }

    /// A stream on this sink, and the flag that says that it was closed and nothing went on.
    pub(super) fn open_stream(&self, sink: usize) -> Option<(Stream, Arc<AtomicBool>)> {
        let is_closed = Arc::new(AtomicBool::new(false));
        let guard = self.handle.lock();
        let (sink, _) = with(&self.model, &guard, |model| model.sinks.get(sink).copied())?;
        let (closed, is_over, handle) = (Arc::clone(&is_closed), Arc::clone(&self.is_over), self.handle.clone());
        let tries_lock = self.tries_lock;
        let process = move |cycle: &mut Cycle<'_>| {
            invariant!(!closed.load(SeqCst), "a process is called after its stream was closed");
            invariant!(!is_over.load(SeqCst), "a process is called after the loop was destroyed");
            invariant!(cycle.dequeue().is_some(), "a stream has lost its buffers");
            if tries_lock && let Some(mut guard) = handle.try_lock() {
                let refused = guard.wait(WAIT, |_| true);
                invariant!(refused == Err(LoopError::OnDataPath), "a wait on the data path says {refused:?}");
            }
        };
        let config = StreamConfig { rate_hz: 8000, channels: 1, samples_per_period: 160 };
        match self.backend.open_playback(&guard, sink, config, Box::new(process)) {
            Ok(stream) => Some((stream, is_closed)),
            Err(AudioError::Loop(LoopError::Destroyed)) => None,
            // Destroyed in between.
            Err(AudioError::NoSuchDevice { .. }) if self.handle.start() == Err(LoopError::Destroyed) => None,
            Err(error) => sim::violated(format!("a stream is refused: {error}")),
        }
    }

    pub(super) fn close_stream(&self, (stream, is_closed): (Stream, Arc<AtomicBool>)) {
        let guard = self.handle.lock();
        match stream.close(&guard) {
            Ok(Closing::Quiet) => is_closed.store(true, SeqCst),
            Ok(Closing::ProcessGoesOn) => {}
            Err(error) => sim::violated(format!("a close says: {error}")),
        }
    }

    /// All threads have ended: the loop is destroyed, and nothing goes on.
    pub(super) fn end(&self) {
        // Loom's timers come as early as they like, so the deadline of a destroy may pass while a callback is in its middle.
        let is_over = (0..DESTROYS_MAX).any(|_| self.destroy());
        invariant!(is_over, "the loop was not destroyed in {DESTROYS_MAX} times the deadline");
        self.expect_accounts();
        invariant!(self.handle.start() == Err(LoopError::Destroyed), "a loop starts after it was destroyed");
        drop(self.owner.lock().take());
    }

    /// All threads have ended: the loop ends when it comes to that. This takes no time, which is much to explore.
    pub(super) fn end_by_request(&self) {
        self.expect_accounts();
        drop(self.owner.lock().take());
    }

    /// Everything is as the model has it.
    fn expect_accounts(&self) {
        let guard = self.handle.lock();
        let stray = guard.accept();
        invariant!(stray == Err(LoopError::NothingToAccept), "all have ended, and an accept says {stray:?}");
        with(&self.model, &guard, |model| {
            invariant!(model.asking.is_empty(), "somebody still waits to be accepted");
            invariant!(model.accepted.is_empty(), "somebody was accepted, and was not told");
        });
        drop(guard);
        let counters = self.handle.counters();
        invariant!(counters.posted >= counters.ran + counters.discarded, "a task ran twice: {counters:?}");
        invariant!(counters.panics == 0, "something has panicked: {counters:?}");
        let is_over = self.is_over.load(SeqCst);
        invariant!(!is_over || counters.posted == counters.ran + counters.discarded, "a task is lost: {counters:?}");
    }
}

fn signal_and_wait(model: &LoopCell<Model>, guard: &mut LoopGuard<'_>) {
    let ticket = with(model, guard, |model| {
        model.asked += 1;
        model.asking.push_back(model.asked);
        model.asked
    });
    let said = guard.signal_and_wait(WAIT);
    with(model, guard, |model| {
        model.asking.retain(|asking| *asking != ticket);
        let accepted = model.accepted.iter().position(|accepted| *accepted == ticket);
        let was_accepted = accepted.map(|position| model.accepted.remove(position)).is_some();
        match said {
            Ok(()) => invariant!(was_accepted, "signal {ticket} goes on, and nobody has accepted it"),
            Err(LoopError::DeadlinePassed { .. } | LoopError::Stopped | LoopError::NotRunning | LoopError::Destroyed) => {
                invariant!(!was_accepted, "signal {ticket} was accepted, and is told {said:?}");
            }
            Err(error) => sim::violated(format!("a signal says: {error}")),
        }
    });
}

/// What a callback does besides.
fn act_in_callback(plan: InCallback, model: &LoopCell<Model>, guard: &mut LoopGuard<'_>) {
    let handle = guard.handle();
    let said = match plan {
        InCallback::Nothing => return,
        InCallback::SignalAndWait => return signal_and_wait(model, guard),
        InCallback::Stop => handle.stop(),
        InCallback::Destroy => handle.destroy(),
    };
    invariant!(said == Ok(Stopped::Requested), "a stop from a callback says {said:?}");
}

/// The model is used by one call at a time, and every guard here is of its loop.
fn with<R>(model: &LoopCell<Model>, guard: &LoopGuard<'_>, f: impl FnOnce(&mut Model) -> R) -> R {
    match model.with(guard, f) {
        Ok(result) => result,
        Err(error) => sim::violated(format!("the model: {error}")),
    }
}

/// A loop that was destroyed says so, and one whose callback is slower than the deadline too: both are answers. Nothing else is.
fn accept<T>(said: Result<T, LoopError>) {
    match said {
        Ok(_) | Err(LoopError::Destroyed | LoopError::CallbackGoesOn { .. }) => {}
        Err(error) => sim::violated(format!("the loop says: {error}")),
    }
}
