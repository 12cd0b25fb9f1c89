//! The devices of a PipeWire daemon.
//!
//! PipeWire's objects are neither `Send` nor `Sync`, so that they live on the loop thread, as a [`Source`] of it: its loop's descriptor is
//! waited for beside our own wakes, and it is iterated with our lock held. What other threads ask for under the lock (a stream, its end)
//! is written down under the lock and done by the loop thread; nobody waits for it, and a stream that could not be set up says so by its
//! state. That costs a stream one turn of the loop thread, and nothing per period.
//!
//! **Processes run on PipeWire's data thread** (`RT_PROCESS`), without our lock. Each stream has two listeners, as a listener of the
//! crate is one object for all its callbacks, and two threads must not be in it at once: one with the process and nothing else, for the
//! data thread, which captures only what is `Send`; one with the states, for the loop thread.
//!
//! PipeWire's loop knows its thread only while it is iterated. What its data thread would hand over to it in between runs on the data
//! thread instead (`loop_invoke`), without us. With `RT_PROCESS` a stream hands over nothing but the end of a drain, and nothing here
//! drains: who adds that needs a thread that never leaves PipeWire's loop, as `enter` is not for safe code.
//!
//! **A run is a connection.** What a stop ends is made anew by the next start: streams fail when the loop stops, devices go, and come back
//! with other names. The same holds when the daemon goes; [`PipeWireBackend::connection`] says so, and the next run tries again.
//!
//! A stop drops PipeWire's objects with the lock held, and that waits for a process which has not returned; so does whoever wants the lock.
//! Closing a stream does not: it is taken apart when its process has returned.

mod bell;
mod directory;
mod port;
mod server;
mod source;
mod stream;

use super::stream::{Attention, Strand, StreamShared};
use super::thread_loop::{
    Duty, Ends, LISTENERS_MAX, LoopCallback, LoopCell, LoopConfig, LoopError, LoopGuard, Shared, Source, ThreadLoop, deliver,
};
use super::{AudioError, Backend, DeviceEvent, DeviceId, DeviceInfo, Direction, ListenerId, Process, Stream, StreamConfig};
use bell::Bell;
use directory::{Directory, NODES_MAX, Opening, STREAMS_MAX};
use sim::sync::atomic::{AtomicBool, Ordering::Acquire, Ordering::Release};
use sim::sync::{Arc, Mutex, Weak};
use std::fmt;

/// Which daemon, and what it has beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PipeWireConfig {
    /// The name of its socket, or the path of it; the user's own daemon if there is none.
    pub remote: Option<String>,
    /// Who links streams to devices.
    pub links: Links,
}

/// Who links streams to devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Links {
    /// A session manager, by the target that a stream states.
    #[default]
    SessionManager,
    /// This backend, port by port: where the daemon has no session manager.
    Backend,
}

/// How a backend stands with its daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Connection {
    /// It does not, in this run.
    Absent {
        /// Why.
        why: String,
    },
    /// The daemon has not named all its devices yet.
    Beginning,
    /// The devices are those that there are.
    Ready,
}

/// What a backend has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PipeWireCounters {
    /// Nodes past the 256th: they are no devices here.
    pub nodes_ignored: u64,
    /// Ports past the 4,096th: a stream that needs one is not linked.
    pub ports_ignored: u64,
    /// What the daemon refused beside streams.
    pub errors: u64,
}

/// The devices of a PipeWire daemon, on a loop of their own.
#[derive(Clone)]
pub struct PipeWireBackend {
    shared: Arc<PipeWireShared>,
}

struct PipeWireShared {
    of: Arc<Shared>,
    config: PipeWireConfig,
    bell: Arc<Bell>,
    directory: LoopCell<Directory>,
    /// The loop was destroyed: no process begins any more.
    over: AtomicBool,
}

impl PipeWireBackend {
    /// A loop that serves PipeWire beside its own tasks, and the devices on it. The daemon is looked for when the loop is started.
    ///
    /// # Errors
    /// [`AudioError::Disconnected`], if the system has no descriptor left.
    pub fn with_loop(loop_config: LoopConfig, config: PipeWireConfig) -> Result<(ThreadLoop, PipeWireBackend), AudioError> {
        let bell = Bell::new().map_err(|error| AudioError::Disconnected { why: error.to_string() })?;
        // The loop must not keep what keeps the loop.
        let place: Arc<Mutex<Weak<PipeWireShared>>> = Arc::new(Mutex::new(Weak::new()));
        let make = {
            let (place, bell) = (Arc::clone(&place), Arc::clone(&bell));
            move || -> Box<dyn Source> {
                let shared = place.lock().upgrade();
                Box::new(source::PipeWireSource::new(shared, &bell))
            }
        };
        let thread_loop = ThreadLoop::serving(loop_config, Arc::clone(&bell), make);
        let of = Arc::clone(thread_loop.handle().shared());
        let directory = LoopCell::of(&of, Directory::new(&of));
        let shared = Arc::new(PipeWireShared { of, config, bell, directory, over: AtomicBool::new(false) });
        *place.lock() = Arc::downgrade(&shared);
        Ok((thread_loop, PipeWireBackend { shared }))
    }

    /// How it stands with its daemon. Whoever [waits](LoopGuard::wait) looks again when that changes.
    ///
    /// # Errors
    /// [`LoopError::WrongLoop`].
    pub fn connection(&self, guard: &LoopGuard<'_>) -> Result<Connection, LoopError> {
        self.shared.directory.with(guard, |directory| directory.connection.clone())
    }

    /// What it has counted.
    ///
    /// # Errors
    /// [`LoopError::WrongLoop`].
    pub fn counters(&self, guard: &LoopGuard<'_>) -> Result<PipeWireCounters, LoopError> {
        self.shared.directory.with(guard, |directory| directory.counters)
    }

    fn open(
        &self,
        guard: &LoopGuard<'_>,
        device: DeviceId,
        direction: Direction,
        config: StreamConfig,
        process: Process,
    ) -> Result<Stream, AudioError> {
        let mut process = Some(process);
        let opened = self.shared.open(guard, device, direction, config, &mut process);
        // The application's, if it was not taken.
        guard.let_go_later(process);
        opened
    }
}

impl Backend for PipeWireBackend {
    /// None while there is no daemon.
    fn devices(&self, guard: &LoopGuard<'_>) -> Result<Vec<DeviceInfo>, AudioError> {
        Ok(self.shared.directory.with(guard, |directory| directory.devices())?)
    }

    fn subscribe(&self, guard: &LoopGuard<'_>, listener: LoopCallback<DeviceEvent>) -> Result<ListenerId, AudioError> {
        let mut listener = Some(listener);
        let added = self.shared.directory.with(guard, |directory| directory.listeners.add(&mut listener).map(ListenerId));
        guard.let_go_later(listener);
        added?.ok_or(AudioError::TooManyListeners { max: LISTENERS_MAX })
    }

    fn unsubscribe(&self, guard: &LoopGuard<'_>, listener: ListenerId) -> Result<bool, AudioError> {
        let removed = self.shared.directory.with(guard, |directory| directory.listeners.remove(listener.0))?;
        let was_there = removed.is_some();
        guard.let_go_later(removed);
        Ok(was_there)
    }

    /// [`AudioError::Disconnected`] while there is no daemon; [`AudioError::TooManyStreams`] past 16 on a sink and its monitor, or a
    /// source. What the daemon refuses later is the stream's failure.
    fn open_playback(
        &self,
        guard: &LoopGuard<'_>,
        device: DeviceId,
        config: StreamConfig,
        process: Process,
    ) -> Result<Stream, AudioError> {
        self.open(guard, device, Direction::Playback, config, process)
    }

    fn open_capture(
        &self,
        guard: &LoopGuard<'_>,
        device: DeviceId,
        config: StreamConfig,
        process: Process,
    ) -> Result<Stream, AudioError> {
        self.open(guard, device, Direction::Capture, config, process)
    }
}

impl PipeWireShared {
    /// Opens a stream, and takes its process if it does.
    fn open(
        self: &Arc<Self>,
        guard: &LoopGuard<'_>,
        device: DeviceId,
        direction: Direction,
        config: StreamConfig,
        process: &mut Option<Process>,
    ) -> Result<Stream, AudioError> {
        config.validate()?;
        let stream = self.directory.with(guard, |directory| {
            directory.check(device, direction)?;
            // The caller has put it there.
            let process = process.take().ok_or(AudioError::NoSuchDevice { got: device })?;
            let shared = StreamShared::new(&self.of, device, direction, config, Arc::clone(self) as Arc<dyn Attention>);
            let stream = StreamShared::handle(&shared);
            directory.count(Opening { device, direction, config, strand: Strand::new(process, shared) });
            Ok::<_, AudioError>(stream)
        })??;
        self.bell.ring();
        Ok(stream)
    }

    fn is_over(&self) -> bool {
        self.over.load(Acquire)
    }

    /// Has the loop thread tell of devices.
    fn rouse(self: &Arc<Self>) {
        self.of.rouse(Arc::clone(self) as Arc<dyn Duty>);
    }
}

impl Attention for PipeWireShared {
    fn attend(&self) {
        self.bell.ring();
    }
}

impl Ends for PipeWireShared {
    fn end(&self) {
        self.over.store(true, Release);
        self.bell.ring();
    }
}

impl Duty for PipeWireShared {
    fn serve(&self, guard: &mut LoopGuard<'_>) -> bool {
        deliver(guard, &self.directory, |directory| &mut directory.listeners, Some(DeviceEvent::Missed))
    }
}

impl fmt::Debug for PipeWireBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PipeWireBackend")
            .field("config", &self.shared.config)
            .field("nodes_max", &NODES_MAX)
            .field("streams_max", &STREAMS_MAX)
            .finish_non_exhaustive()
    }
}
