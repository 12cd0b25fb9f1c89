use super::super::thread_loop::{Duty, LISTENERS_MAX, Listeners, LoopCallback, LoopCell, LoopError, LoopGuard, Shared, deliver};
use super::super::{AudioError, DeviceId, Direction, ListenerId};
use super::flow::{Done, End, Flow};
use super::{StreamConfig, StreamCounters, StreamFailure, StreamState};
use sim::ledger::{self, ResourceId};
use sim::sync::Arc;
use sim::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::fmt;

/// A stream, as the application holds it. Dropped, it is closed, without waiting.
pub struct Stream {
    shared: Arc<StreamShared>,
}

/// What a close found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// The process is not called now, and not any more.
    Quiet,
    /// The process goes on until it returns, and is not called any more.
    ProcessGoesOn,
}

impl Stream {
    /// What it does. Once it is closed that is what the data path last did, until the process was dropped.
    ///
    /// # Errors
    /// [`LoopError::WrongLoop`]; [`LoopError::Reentered`] never.
    pub fn state(&self, guard: &LoopGuard<'_>) -> Result<StreamState, LoopError> {
        self.shared.state(guard)
    }

    /// Has `listener` told, on the loop thread with the lock held, of each state that the stream comes to. After the last it is dropped.
    ///
    /// # Errors
    /// [`AudioError::StreamEnded`], [`AudioError::TooManyListeners`], [`AudioError::Loop`].
    pub fn subscribe(&self, guard: &LoopGuard<'_>, listener: LoopCallback<StreamState>) -> Result<ListenerId, AudioError> {
        let mut listener = Some(listener);
        let done = self.shared.flow.watch();
        let added = self.shared.record.with(guard, |record| {
            if now(record, &done).is_last() {
                return Err(AudioError::StreamEnded);
            }
            let added = record.listeners.add(&mut listener);
            added.map(ListenerId).ok_or(AudioError::TooManyListeners { max: LISTENERS_MAX })
        });
        guard.let_go_later(listener);
        if done == Done::Began {
            // It is told of that, if it was not told yet.
            StreamShared::rouse(&self.shared);
        }
        added?
    }

    /// Tells a listener nothing more; see [`super::super::Backend::unsubscribe`].
    ///
    /// # Errors
    /// [`LoopError::WrongLoop`].
    pub fn unsubscribe(&self, guard: &LoopGuard<'_>, listener: ListenerId) -> Result<bool, LoopError> {
        let removed = self.shared.record.with(guard, |record| record.listeners.remove(listener.0))?;
        let was_there = removed.is_some();
        guard.let_go_later(removed);
        Ok(was_there)
    }

    /// Closes it, and does not wait: no call of the process begins after this. The process is dropped on the data path, and then the
    /// stream's state is [`StreamState::Closed`]; who wants that [waits for it](LoopGuard::wait). Again and late it says what there is.
    ///
    /// # Errors
    /// [`LoopError::WrongLoop`].
    pub fn close(&self, guard: &LoopGuard<'_>) -> Result<Closing, LoopError> {
        guard.expect_of(&self.shared.of)?;
        Ok(self.shared.close())
    }

    /// The device that it was opened on.
    pub fn device(&self) -> DeviceId {
        self.shared.device
    }

    /// Which way its samples go.
    pub fn direction(&self) -> Direction {
        self.shared.direction
    }

    /// What it carries.
    pub fn config(&self) -> StreamConfig {
        self.shared.config
    }

    /// What it has counted.
    pub fn counters(&self) -> StreamCounters {
        self.shared.counters.read()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shared = &self.shared;
        f.debug_struct("Stream")
            .field("device", &shared.device)
            .field("direction", &shared.direction)
            .field("config", &shared.config)
            .finish_non_exhaustive()
    }
}

/// Has a data path look at its streams again.
pub(in super::super) trait Attention: Send + Sync {
    /// Does not wait for it.
    fn attend(&self);
}

/// A stream, for both its sides.
pub(in super::super) struct StreamShared {
    of: Arc<Shared>,
    device: DeviceId,
    direction: Direction,
    config: StreamConfig,
    flow: Flow,
    counters: Counters,
    resource: ResourceId,
    record: LoopCell<Record>,
    data_path: Arc<dyn Attention>,
}

/// What the loop's lock guards.
struct Record {
    state: StreamState,
    /// Why the backend cannot go on with it, if it cannot.
    why: String,
    listeners: Listeners<StreamState>,
}

impl StreamShared {
    pub(in super::super) fn new(
        of: &Arc<Shared>,
        device: DeviceId,
        direction: Direction,
        config: StreamConfig,
        data_path: Arc<dyn Attention>,
    ) -> Arc<Self> {
        let record = Record { state: StreamState::Connecting, why: String::new(), listeners: Listeners::new(of) };
        Arc::new(StreamShared {
            of: Arc::clone(of),
            device,
            direction,
            config,
            flow: Flow::new(),
            counters: Counters::default(),
            resource: ledger::register("audio stream"),
            record: LoopCell::of(of, record),
            data_path,
        })
    }

    /// The application's side.
    pub(in super::super) fn handle(shared: &Arc<Self>) -> Stream {
        Stream { shared: Arc::clone(shared) }
    }

    #[cfg(feature = "pipewire")]
    pub(in super::super) fn device(&self) -> DeviceId {
        self.device
    }

    #[cfg(feature = "pipewire")]
    pub(in super::super) fn direction(&self) -> Direction {
        self.direction
    }

    #[cfg(feature = "pipewire")]
    pub(in super::super) fn config(&self) -> StreamConfig {
        self.config
    }

    pub(in super::super) fn is_closing(&self) -> bool {
        self.flow.is_closing()
    }

    pub(in super::super) fn count_underrun(&self) {
        self.counters.underruns.fetch_add(1, Relaxed);
    }

    pub(in super::super) fn count_overrun(&self) {
        self.counters.overruns.fetch_add(1, Relaxed);
    }

    pub(super) fn count_cycle(&self, reclaimed: u64) {
        self.counters.cycles.fetch_add(1, Relaxed);
        if reclaimed > 0 {
            self.counters.reclaimed.fetch_add(reclaimed, Relaxed);
        }
    }

    /// The process panicked when it was dropped.
    pub(super) fn count_panic(&self) {
        self.of.count_panic();
    }

    pub(super) fn flow(&self) -> &Flow {
        &self.flow
    }

    pub(super) fn resource(&self) -> ResourceId {
        self.resource
    }

    /// Has the loop thread tell what has changed.
    pub(in super::super) fn rouse(shared: &Arc<Self>) {
        shared.of.rouse(Arc::clone(shared) as Arc<dyn Duty>);
    }

    /// The process was dropped.
    pub(super) fn ended(shared: &Arc<Self>, why: End) {
        ledger::release(shared.resource);
        if shared.flow.end(why) {
            Self::rouse(shared);
        }
    }

    /// Says why the stream is about to be ended with [`End::Failed`].
    #[cfg(feature = "pipewire")]
    pub(in super::super) fn fails_because(&self, guard: &LoopGuard<'_>, why: &str) {
        // Of the loop whose thread does this, and nobody is in a call on it.
        let _ = self.record.with(guard, |record| why.clone_into(&mut record.why));
    }

    fn close(&self) -> Closing {
        let found = self.flow.close();
        if !found.was_closing {
            self.data_path.attend();
        }
        if found.calls { Closing::ProcessGoesOn } else { Closing::Quiet }
    }

    fn state(&self, guard: &LoopGuard<'_>) -> Result<StreamState, LoopError> {
        let done = self.flow.watch();
        self.record.with(guard, |record| now(record, &done))
    }

    /// The stream comes to a state: whoever waits looks again.
    pub(in super::super) fn come_to(&self, guard: &LoopGuard<'_>, state: StreamState) {
        let is_new = self.record.with(guard, |record| {
            let is_new = !record.state.is_last() && record.state != state;
            if is_new {
                record.state = state.clone();
                let _ = record.listeners.tell(state);
            }
            is_new
        });
        if is_new == Ok(true) {
            guard.signal();
        }
    }

    /// Whoever listens is told. False if the run ended first.
    fn tell(&self, guard: &mut LoopGuard<'_>) -> bool {
        if !deliver(guard, &self.record, |record| &mut record.listeners, None) {
            return false;
        }
        let unwanted = self.record.with(guard, |record| {
            record.state.is_last().then(|| std::mem::replace(&mut record.listeners, Listeners::new(&self.of)))
        });
        guard.let_go_later(unwanted);
        true
    }
}

impl Duty for StreamShared {
    fn serve(&self, guard: &mut LoopGuard<'_>) -> bool {
        let done = self.flow.watch();
        if let Ok(now) = self.record.with(guard, |record| now(record, &done)) {
            // One that began and ended since it was looked at last has been through both.
            if matches!(done, Done::Ended { has_begun: true, .. }) {
                self.come_to(guard, StreamState::Streaming);
            }
            self.come_to(guard, now);
        }
        self.tell(guard)
    }
}

/// What the stream does, by what is told and what the data path has done since.
fn now(record: &Record, done: &Done) -> StreamState {
    match (&record.state, done) {
        (told, _) if told.is_last() => told.clone(),
        (_, Done::Ended { failure: None, .. }) => StreamState::Closed,
        (_, Done::Ended { failure: Some(StreamFailure::Backend { .. }), .. }) => {
            StreamState::Failed(StreamFailure::Backend { why: record.why.clone() })
        }
        (_, Done::Ended { failure: Some(failure), .. }) => StreamState::Failed(failure.clone()),
        (StreamState::Connecting, Done::Began) => StreamState::Streaming,
        (told, _) => told.clone(),
    }
}

#[derive(Default)]
struct Counters {
    cycles: AtomicU64,
    underruns: AtomicU64,
    overruns: AtomicU64,
    reclaimed: AtomicU64,
}

impl Counters {
    fn read(&self) -> StreamCounters {
        StreamCounters {
            cycles: self.cycles.load(Relaxed),
            underruns: self.underruns.load(Relaxed),
            overruns: self.overruns.load(Relaxed),
            reclaimed: self.reclaimed.load(Relaxed),
        }
    }
}
