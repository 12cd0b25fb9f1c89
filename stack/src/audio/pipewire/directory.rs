//! What is known of the daemon, under the loop's lock.

use super::super::stream::{End, Strand};
use super::super::thread_loop::{Listeners, LoopGuard, Shared};
use super::super::{AudioError, DeviceEvent, DeviceId, DeviceInfo, Direction, StreamConfig};
use super::{Connection, PipeWireCounters};
use sim::sync::Arc;

/// How many nodes are devices at the most.
pub(super) const NODES_MAX: usize = 256;
/// How many streams a node takes.
pub(super) const STREAMS_MAX: usize = 16;

pub(super) struct Directory {
    pub(super) connection: Connection,
    next_id: u32,
    nodes: Vec<Node>,
    pub(super) listeners: Listeners<DeviceEvent>,
    /// Streams on their way to the loop thread; as many as the nodes take.
    pub(super) opening: Vec<Opening>,
    pub(super) counters: PipeWireCounters,
}

/// A node of the daemon that plays or records.
#[derive(Clone, Debug)]
struct Node {
    target: Target,
    devices: Vec<DeviceInfo>,
    streams: usize,
}

/// How the daemon names a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Its number among those that there are now: another may have it later.
    pub(super) global: u32,
    /// What session managers know it by.
    pub(super) name: String,
}

/// What the daemon says of a node.
#[derive(Clone, Debug)]
pub(super) struct NodeFacts {
    pub(super) target: Target,
    pub(super) class: String,
    pub(super) description: String,
}

/// A stream on its way to the loop thread.
pub(super) struct Opening {
    pub(super) device: DeviceId,
    pub(super) direction: Direction,
    pub(super) config: StreamConfig,
    pub(super) strand: Strand,
}

/// Ends a stream when it is dropped: without the loop's lock.
pub(super) struct Dying {
    strand: Strand,
    why: End,
}

impl Dying {
    /// Has a stream end once the lock is given back.
    pub(super) fn later(guard: &LoopGuard<'_>, strand: Strand, why: Ending) {
        let why = match why {
            Ending::As(end) => end,
            Ending::Because(why) => {
                strand.stream().fails_because(guard, &why);
                End::Failed
            }
        };
        guard.let_go_later(Dying { strand, why });
    }
}

impl Drop for Dying {
    fn drop(&mut self) {
        self.strand.end(self.why);
    }
}

/// Why a stream ends.
#[derive(Clone, Debug)]
pub(super) enum Ending {
    As(End),
    /// The daemon's reason, or ours.
    Because(String),
}

impl Directory {
    pub(super) fn new(of: &Arc<Shared>) -> Self {
        Directory {
            connection: Connection::Absent { why: "the loop was not started".to_owned() },
            next_id: 0,
            nodes: Vec::new(),
            listeners: Listeners::new(of),
            opening: Vec::new(),
            counters: PipeWireCounters::default(),
        }
    }

    pub(super) fn devices(&self) -> Vec<DeviceInfo> {
        self.nodes.iter().flat_map(|node| &node.devices).cloned().collect()
    }

    /// A node has come. False if nobody is to be told.
    pub(super) fn add(&mut self, facts: NodeFacts) -> bool {
        let NodeFacts { target, class, description } = facts;
        let sink = self.next_id;
        let device = |id, direction, of: Option<u32>| DeviceInfo {
            id: DeviceId(id),
            name: if of.is_some() { format!("Monitor of {description}") } else { description.clone() },
            direction,
            monitor_of: of.map(DeviceId),
        };
        let devices = match class.as_str() {
            "Audio/Sink" => {
                vec![device(sink, Direction::Playback, None), device(sink + 1, Direction::Capture, Some(sink))]
            }
            "Audio/Source" | "Audio/Source/Virtual" => vec![device(sink, Direction::Capture, None)],
            "Audio/Duplex" => vec![device(sink, Direction::Playback, None), device(sink + 1, Direction::Capture, None)],
            _ => return false,
        };
        if self.nodes.len() >= NODES_MAX {
            self.counters.nodes_ignored += 1;
            return false;
        }
        self.next_id += devices.len() as u32;
        let tells = self.tell(devices.iter().cloned().map(DeviceEvent::Added));
        self.nodes.push(Node { target, devices, streams: 0 });
        tells
    }

    /// What was a node's has gone. Returns its devices, and whether somebody is to be told.
    pub(super) fn remove(&mut self, global: u32) -> (Vec<DeviceId>, bool) {
        let Some(position) = self.nodes.iter().position(|node| node.target.global == global) else { return (Vec::new(), false) };
        let node = self.nodes.remove(position);
        let tells = self.tell(node.devices.iter().rev().cloned().map(DeviceEvent::Removed));
        (node.devices.iter().map(|device| device.id).collect(), tells)
    }

    /// Nothing is known any more. True if somebody is to be told.
    pub(super) fn clear(&mut self, why: String) -> bool {
        self.connection = Connection::Absent { why };
        let gone: Vec<_> = self.nodes.drain(..).rev().flat_map(|node| node.devices.into_iter().rev()).collect();
        self.tell(gone.into_iter().map(DeviceEvent::Removed))
    }

    /// Whether a stream may be opened.
    pub(super) fn check(&self, device: DeviceId, direction: Direction) -> Result<(), AudioError> {
        if let Connection::Absent { why } = &self.connection {
            return Err(AudioError::Disconnected { why: why.clone() });
        }
        let (node, info) = self.find(device).ok_or(AudioError::NoSuchDevice { got: device })?;
        if info.direction != direction {
            return Err(AudioError::WrongDirection { device, expected: direction, got: info.direction });
        }
        if node.streams >= STREAMS_MAX {
            return Err(AudioError::TooManyStreams { max: STREAMS_MAX });
        }
        Ok(())
    }

    /// The node of a device, and whether the device is its monitor.
    pub(super) fn target(&self, device: DeviceId) -> Option<(Target, bool)> {
        self.find(device).map(|(node, info)| (node.target.clone(), info.monitor_of.is_some()))
    }

    /// A stream was opened.
    pub(super) fn count(&mut self, opening: Opening) {
        let device = opening.device;
        self.nodes.iter_mut().filter(|node| node.has(device)).for_each(|node| node.streams += 1);
        self.opening.push(opening);
    }

    /// A stream has ended. Its node may have gone before.
    pub(super) fn uncount(&mut self, device: DeviceId) {
        self.nodes.iter_mut().filter(|node| node.has(device)).for_each(|node| node.streams -= 1);
    }

    fn find(&self, device: DeviceId) -> Option<(&Node, &DeviceInfo)> {
        let mut all = self.nodes.iter().flat_map(|node| node.devices.iter().map(move |info| (node, info)));
        all.find(|(_, info)| info.id == device)
    }

    fn tell(&mut self, events: impl Iterator<Item = DeviceEvent>) -> bool {
        events.fold(false, |tells, event| self.listeners.tell(event) | tells)
    }
}

impl Node {
    fn has(&self, device: DeviceId) -> bool {
        self.devices.iter().any(|info| info.id == device)
    }
}
