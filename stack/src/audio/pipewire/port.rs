//! The data path: PipeWire's own thread, without our lock.

use super::super::Direction;
use super::super::stream::{Attention, Port, Strand};
use super::PipeWireShared;
use ::pipewire as pw;
use pw::buffer::Buffer;
use pw::stream::Stream;
use sim::sync::{Arc, Mutex};

/// Bytes of a sample.
const SAMPLE_BYTES: usize = size_of::<i16>();

/// What PipeWire's data thread and the loop thread share of a stream. Its lock is held for moments, and never while the process runs.
pub(super) struct Slot {
    place: Mutex<Place>,
    shared: Arc<PipeWireShared>,
    direction: Direction,
    channels: usize,
    samples_per_period: usize,
}

struct Place {
    /// Not there while the process runs, nor after [`Slot::halt`].
    strand: Option<Strand>,
    runs: bool,
    halted: bool,
}

/// What a halt found.
pub(super) enum Halt {
    /// No process runs, and none will.
    Quiet(Option<Strand>),
    /// The process runs: the loop thread is roused when it returns.
    Runs,
}

impl Slot {
    pub(super) fn new(shared: &Arc<PipeWireShared>, strand: Strand) -> Arc<Self> {
        let stream = strand.stream();
        let (direction, config) = (stream.direction(), stream.config());
        Arc::new(Slot {
            place: Mutex::new(Place { strand: Some(strand), runs: false, halted: false }),
            shared: Arc::clone(shared),
            direction,
            channels: usize::from(config.channels),
            samples_per_period: config.samples_per_period as usize,
        })
    }

    /// A period.
    pub(super) fn run(&self, stream: &Stream) {
        let Some(mut strand) = self.begin() else { return };
        let mut port = StreamPort { slot: self, stream, lent: None, served: false };
        let goes_on = strand.run(&mut port);
        let served = port.served;
        drop(port);
        if !served && goes_on && self.direction == Direction::Playback {
            strand.stream().count_underrun();
        }
        let mut place = self.place.lock();
        place.strand = Some(strand);
        place.runs = false;
        let attends = place.halted || !goes_on;
        drop(place);
        if attends {
            self.shared.attend();
        }
    }

    /// No process begins after this.
    pub(super) fn halt(&self) -> Halt {
        let mut place = self.place.lock();
        place.halted = true;
        if place.runs { Halt::Runs } else { Halt::Quiet(place.strand.take()) }
    }

    /// No process begins after this. True if none runs now.
    pub(super) fn is_quiet(&self) -> bool {
        let mut place = self.place.lock();
        place.halted = true;
        !place.runs
    }

    fn begin(&self) -> Option<Strand> {
        let mut place = self.place.lock();
        if place.halted || self.shared.is_over() {
            return None;
        }
        let strand = place.strand.take();
        place.runs |= strand.is_some();
        strand
    }
}

/// The buffers of a stream, in a call of its process. PipeWire has a buffer back when it is dropped, wherever that is.
struct StreamPort<'a> {
    slot: &'a Slot,
    stream: &'a Stream,
    lent: Option<Lent<'a>>,
    served: bool,
}

struct Lent<'a> {
    buffer: Buffer<'a>,
    from_byte: usize,
    bytes: usize,
}

impl Port for StreamPort<'_> {
    fn dequeue(&mut self) -> bool {
        self.queue();
        let Some(mut buffer) = self.stream.dequeue_buffer() else { return false };
        let frame_bytes = self.slot.channels * SAMPLE_BYTES;
        let wanted = match usize::try_from(buffer.requested()) {
            Ok(0) | Err(_) => self.slot.samples_per_period,
            Ok(wanted) => wanted,
        };
        // One without memory is given back as it is.
        let Some(data) = buffer.datas_mut().first_mut() else { return false };
        let capacity = data.data().map_or(0, |bytes| bytes.len());
        let (from_byte, bytes) = match self.slot.direction {
            Direction::Playback => {
                let bytes = wanted.min(capacity / frame_bytes) * frame_bytes;
                if let Some(memory) = data.data() {
                    memory[..bytes].fill(0);
                }
                // Now, so that it is silence whatever the process does with it. What fits in a buffer fits in 32 bits.
                let chunk = data.chunk_mut();
                *chunk.offset_mut() = 0;
                *chunk.stride_mut() = frame_bytes as i32;
                *chunk.size_mut() = bytes as u32;
                (0, bytes)
            }
            Direction::Capture => {
                // They are the daemon's, which may be wrong.
                let from_byte = (data.chunk().offset() as usize).min(capacity);
                let bytes = (data.chunk().size() as usize).min(capacity - from_byte);
                (from_byte, bytes / frame_bytes * frame_bytes)
            }
        };
        self.served = true;
        self.lent = Some(Lent { buffer, from_byte, bytes });
        true
    }

    fn samples(&mut self) -> &mut [i16] {
        let Some(lent) = &mut self.lent else { return &mut [] };
        let range = lent.from_byte..lent.from_byte + lent.bytes;
        let bytes = lent.buffer.datas_mut().first_mut().and_then(|data| data.data()).and_then(|bytes| bytes.get_mut(range));
        // Shared memory begins at a page, and whole samples come before an offset.
        bytes.and_then(|bytes| bytemuck::try_cast_slice_mut(bytes).ok()).unwrap_or_default()
    }

    fn queue(&mut self) -> bool {
        self.lent.take().is_some()
    }
}
