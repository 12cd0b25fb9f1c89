use super::super::stream::{Attention, BufferQueue, Strand, StreamShared};
use super::super::thread_loop::{Ends, Shared};
use super::super::{AudioError, DeviceId, DeviceInfo, Direction, Process, Stream, StreamConfig};
use super::driver::Driver;
use sim::sync::{Arc, Condvar, Mutex, Weak};
use sim::thread;

/// How many streams a node takes.
pub(super) const STREAMS_MAX: usize = 16;

/// A sink with its monitor, or a source: what shares a clock.
pub(super) struct Node {
    of: Arc<Shared>,
    devices: Vec<DeviceInfo>,
    pub(super) intake: Mutex<Intake>,
    /// The driver waits here for its next period.
    pub(super) due: Condvar,
    this: Weak<Node>,
}

/// What the driver is told.
#[derive(Default)]
pub(super) struct Intake {
    /// What the node runs with, while it has streams.
    config: Option<StreamConfig>,
    pub(super) joining: Vec<OpenStrand>,
    /// Those that join, and those that the driver has.
    pub(super) streams: usize,
    has_driver: bool,
    /// The driver is to look at its streams.
    pub(super) attention: bool,
    pub(super) gone: Option<Gone>,
}

/// Why a node has no streams any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gone {
    Removed,
    Destroyed,
}

/// A stream on its way to the driver.
pub(super) struct OpenStrand {
    pub(super) direction: Direction,
    pub(super) queue: BufferQueue,
    pub(super) strand: Strand,
}

impl Node {
    pub(super) fn new(of: &Arc<Shared>, devices: Vec<DeviceInfo>) -> Arc<Node> {
        Arc::new_cyclic(|this| Node {
            of: Arc::clone(of),
            devices,
            intake: Mutex::new(Intake::default()),
            due: Condvar::new(),
            this: Weak::clone(this),
        })
    }

    pub(super) fn devices(&self) -> &[DeviceInfo] {
        &self.devices
    }

    pub(super) fn has(&self, device: DeviceId) -> bool {
        self.direction(device).is_some()
    }

    pub(super) fn direction(&self, device: DeviceId) -> Option<Direction> {
        self.devices.iter().find(|known| known.id == device).map(|known| known.direction)
    }

    /// Opens a stream, and takes its process if it does.
    pub(super) fn open(
        self: &Arc<Self>,
        device: DeviceId,
        direction: Direction,
        config: StreamConfig,
        process: &mut Option<Process>,
    ) -> Result<Stream, AudioError> {
        let mut intake = self.intake.lock();
        if intake.gone.is_some() {
            return Err(AudioError::NoSuchDevice { got: device });
        }
        if intake.streams >= STREAMS_MAX {
            return Err(AudioError::TooManyStreams { max: STREAMS_MAX });
        }
        match intake.config {
            Some(expected) if expected != config => return Err(AudioError::FormatMismatch { expected, got: config }),
            _ => {}
        }
        if !intake.has_driver {
            self.make_driver(config)?;
            intake.has_driver = true;
        }
        // The caller has put it there.
        let Some(process) = process.take() else { return Err(AudioError::NoSuchDevice { got: device }) };
        let shared = StreamShared::new(&self.of, device, direction, config, Arc::clone(self) as Arc<dyn Attention>);
        let stream = StreamShared::handle(&shared);
        intake.config = Some(config);
        intake.streams += 1;
        intake.joining.push(OpenStrand {
            direction,
            queue: BufferQueue::new(direction, config),
            strand: Strand::new(process, shared),
        });
        self.due.notify_one();
        Ok(stream)
    }

    /// The device is taken away.
    pub(super) fn remove(&self) {
        self.end_with(Gone::Removed);
    }

    /// The driver has no streams left, and the node's lock: it ends, unless one joins.
    pub(super) fn driver_ends(intake: &mut Intake) {
        intake.config = None;
        intake.has_driver = false;
    }

    /// The thread waits for the node's lock before it looks.
    fn make_driver(self: &Arc<Self>, config: StreamConfig) -> Result<(), AudioError> {
        let object: Weak<dyn Ends> = self.this.clone();
        self.of.data_thread_begins(object)?;
        let node = Arc::clone(self);
        let spawned = thread::Builder::new().name("audio driver").spawn(move || {
            Driver::new(config).run(&node);
            node.of.data_thread_ends();
        });
        spawned.map(drop).map_err(|error| {
            self.of.data_thread_ends();
            AudioError::Thread { why: error.to_string() }
        })
    }

    fn end_with(&self, gone: Gone) {
        let mut intake = self.intake.lock();
        intake.gone.get_or_insert(gone);
        self.due.notify_one();
    }
}

impl Attention for Node {
    fn attend(&self) {
        self.intake.lock().attention = true;
        self.due.notify_one();
    }
}

impl Ends for Node {
    fn end(&self) {
        self.end_with(Gone::Destroyed);
    }
}
