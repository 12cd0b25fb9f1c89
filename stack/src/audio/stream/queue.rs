use super::cycle::Port;
use super::{super::Direction, StreamConfig};
use std::collections::VecDeque;

/// How many buffers a stream has.
const BUFFERS: usize = 4;

/// The buffers of a stream that has no device to give them.
#[derive(Debug)]
pub(in super::super) struct BufferQueue {
    direction: Direction,
    empty: VecDeque<Vec<i16>>,
    full: VecDeque<Vec<i16>>,
    lent: Option<Vec<i16>>,
}

impl BufferQueue {
    pub(in super::super) fn new(direction: Direction, config: StreamConfig) -> Self {
        let empty = (0..BUFFERS).map(|_| vec![0; config.buffer_samples()]).collect();
        BufferQueue { direction, empty, full: VecDeque::with_capacity(BUFFERS), lent: None }
    }

    /// Has the oldest buffer played, if there is one.
    pub(in super::super) fn play(&mut self, into: impl FnOnce(&[i16])) -> bool {
        let Some(buffer) = self.full.pop_front() else { return false };
        into(&buffer);
        self.empty.push_back(buffer);
        true
    }

    /// Has a free buffer filled, if there is one.
    pub(in super::super) fn record(&mut self, from: &[i16]) -> bool {
        let Some(mut buffer) = self.empty.pop_front() else { return false };
        buffer.copy_from_slice(from);
        self.full.push_back(buffer);
        true
    }
}

impl Port for BufferQueue {
    fn dequeue(&mut self) -> bool {
        self.lent = match self.direction {
            Direction::Playback => self.empty.pop_front(),
            Direction::Capture => self.full.pop_front(),
        };
        if let (Direction::Playback, Some(buffer)) = (self.direction, &mut self.lent) {
            buffer.fill(0);
        }
        self.lent.is_some()
    }

    fn samples(&mut self) -> &mut [i16] {
        self.lent.as_deref_mut().unwrap_or_default()
    }

    fn queue(&mut self) -> bool {
        let Some(buffer) = self.lent.take() else { return false };
        match self.direction {
            Direction::Playback => self.full.push_back(buffer),
            Direction::Capture => self.empty.push_back(buffer),
        }
        true
    }
}
