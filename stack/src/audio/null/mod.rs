//! Devices that are not there: a sink swallows what is played, and its monitor gives it back; a source gives silence.
//!
//! Every sink and source has a clock of its own, paced by [`sim::time`]: a thread that runs while a stream is open on it. In a period it
//! first has every playing stream give its samples, adds them up, and then gives the sum to every stream that records.

mod driver;
mod node;

use super::thread_loop::{Duty, LISTENERS_MAX, Listeners, LoopCallback, LoopCell, LoopGuard, LoopHandle, Shared, deliver};
use super::{AudioError, Backend, DeviceEvent, DeviceId, DeviceInfo, Direction, ListenerId, Process, Stream, StreamConfig};
use node::{Node, STREAMS_MAX};
use sim::sync::Arc;
use std::fmt;

/// How many sinks and sources there are at the most.
const NODES_MAX: usize = 64;

/// Null devices, on a loop.
#[derive(Clone)]
pub struct NullBackend {
    shared: Arc<NullShared>,
}

struct NullShared {
    of: Arc<Shared>,
    registry: LoopCell<Registry>,
}

struct Registry {
    next_id: u32,
    nodes: Vec<Arc<Node>>,
    listeners: Listeners<DeviceEvent>,
}

impl NullBackend {
    /// No devices yet.
    pub fn new(handle: &LoopHandle) -> Self {
        let of = Arc::clone(handle.shared());
        let registry = Registry { next_id: 0, nodes: Vec::new(), listeners: Listeners::new(&of) };
        NullBackend { shared: Arc::new(NullShared { registry: LoopCell::of(&of, registry), of }) }
    }

    /// A sink, which swallows what is played, and its monitor, which gives the sum of it. Returns both names.
    ///
    /// # Errors
    /// [`AudioError::TooManyDevices`], [`AudioError::Loop`].
    pub fn add_sink(&self, guard: &LoopGuard<'_>, name: &str) -> Result<(DeviceId, DeviceId), AudioError> {
        let node = self.add(guard, |next| {
            let sink = DeviceId(next);
            let monitor = DeviceId(next + 1);
            let monitor = DeviceInfo {
                id: monitor,
                name: format!("Monitor of {name}"),
                direction: Direction::Capture,
                monitor_of: Some(sink),
            };
            vec![DeviceInfo { id: sink, name: name.to_owned(), direction: Direction::Playback, monitor_of: None }, monitor]
        })?;
        Ok((node[0], node[1]))
    }

    /// A source, which gives silence.
    ///
    /// # Errors
    /// As [`NullBackend::add_sink`].
    pub fn add_source(&self, guard: &LoopGuard<'_>, name: &str) -> Result<DeviceId, AudioError> {
        let source =
            |next| DeviceInfo { id: DeviceId(next), name: name.to_owned(), direction: Direction::Capture, monitor_of: None };
        Ok(self.add(guard, |next| vec![source(next)])?[0])
    }

    /// Takes a device away, a sink with its monitor: their streams fail.
    ///
    /// # Errors
    /// [`AudioError::NoSuchDevice`], [`AudioError::Loop`].
    pub fn remove(&self, guard: &LoopGuard<'_>, device: DeviceId) -> Result<(), AudioError> {
        let node = self.shared.registry.with(guard, |registry| {
            let position = registry.nodes.iter().position(|node| node.has(device))?;
            let node = registry.nodes.remove(position);
            let tells = registry.tell(node.devices().iter().rev().cloned().map(DeviceEvent::Removed));
            Some((node, tells))
        })?;
        let (node, tells) = node.ok_or(AudioError::NoSuchDevice { got: device })?;
        node.remove();
        if tells {
            self.shared.rouse();
        }
        Ok(())
    }

    fn add(&self, guard: &LoopGuard<'_>, devices: impl FnOnce(u32) -> Vec<DeviceInfo>) -> Result<Vec<DeviceId>, AudioError> {
        let added = self.shared.registry.with(guard, |registry| {
            if registry.nodes.len() >= NODES_MAX {
                return Err(AudioError::TooManyDevices { max: NODES_MAX });
            }
            let devices = devices(registry.next_id);
            registry.next_id += devices.len() as u32;
            let tells = registry.tell(devices.iter().cloned().map(DeviceEvent::Added));
            let names = devices.iter().map(|device| device.id).collect();
            registry.nodes.push(Node::new(&self.shared.of, devices));
            Ok((names, tells))
        })?;
        let (names, tells) = added?;
        if tells {
            self.shared.rouse();
        }
        Ok(names)
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
        let opened =
            self.find(guard, device, direction, config).and_then(|node| node.open(device, direction, config, &mut process));
        // The application's, if it was not taken.
        guard.let_go_later(process);
        opened
    }

    fn find(
        &self,
        guard: &LoopGuard<'_>,
        device: DeviceId,
        direction: Direction,
        config: StreamConfig,
    ) -> Result<Arc<Node>, AudioError> {
        config.validate()?;
        let node = self.shared.registry.with(guard, |registry| registry.nodes.iter().find(|node| node.has(device)).cloned())?;
        let node = node.ok_or(AudioError::NoSuchDevice { got: device })?;
        match node.direction(device) {
            Some(got) if got == direction => Ok(node),
            Some(got) => Err(AudioError::WrongDirection { device, expected: direction, got }),
            None => Err(AudioError::NoSuchDevice { got: device }),
        }
    }
}

impl Backend for NullBackend {
    fn devices(&self, guard: &LoopGuard<'_>) -> Result<Vec<DeviceInfo>, AudioError> {
        let list = |registry: &mut Registry| registry.nodes.iter().flat_map(|node| node.devices()).cloned().collect();
        Ok(self.shared.registry.with(guard, list)?)
    }

    fn subscribe(&self, guard: &LoopGuard<'_>, listener: LoopCallback<DeviceEvent>) -> Result<ListenerId, AudioError> {
        let mut listener = Some(listener);
        let added = self.shared.registry.with(guard, |registry| registry.listeners.add(&mut listener).map(ListenerId));
        guard.let_go_later(listener);
        added?.ok_or(AudioError::TooManyListeners { max: LISTENERS_MAX })
    }

    fn unsubscribe(&self, guard: &LoopGuard<'_>, listener: ListenerId) -> Result<bool, AudioError> {
        let removed = self.shared.registry.with(guard, |registry| registry.listeners.remove(listener.0))?;
        let was_there = removed.is_some();
        guard.let_go_later(removed);
        Ok(was_there)
    }

    /// [`AudioError::FormatMismatch`] if the device runs with another format; [`AudioError::TooManyStreams`] past 16 on a sink and its
    /// monitor, or a source.
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

impl Registry {
    /// Has listeners told. False if there are none.
    fn tell(&mut self, events: impl Iterator<Item = DeviceEvent>) -> bool {
        events.fold(false, |tells, event| self.listeners.tell(event) | tells)
    }
}

impl NullShared {
    fn rouse(self: &Arc<Self>) {
        self.of.rouse(Arc::clone(self) as Arc<dyn Duty>);
    }
}

impl Duty for NullShared {
    fn serve(&self, guard: &mut LoopGuard<'_>) -> bool {
        deliver(guard, &self.registry, |registry| &mut registry.listeners, Some(DeviceEvent::Missed))
    }
}

impl fmt::Debug for NullBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NullBackend").field("streams_max", &STREAMS_MAX).finish_non_exhaustive()
    }
}
