//! A packet buffer: one packet, with headroom before it and tailroom after it, so that headers and tags are added in place.

use super::packet_pool::Home;
use std::fmt;

/// The most bytes that a buffer grows to, unless it was made with another limit: a UDP datagram with ample room around it.
pub const CAPACITY_BYTES_MAX: usize = 1 << 17;

/// One packet in memory of its own, or in memory lent by a [`PacketPool`](super::PacketPool).
///
/// As in re's `mbuf`, `position` and `end` count from the start of the memory. The packet is what lies between them; before
/// `position` is headroom, after `end` is tailroom. Reading and writing go on at `position` and move it; `prepend` and `append`
/// work at the packet's two ends and leave the other alone. Numbers are in network byte order.
///
/// Growth is complete: after [`Mbuf::reserve_tailroom`] of n bytes there are n, whatever there was before. A call that fails
/// changes nothing.
///
/// Source: re, `include/re_mbuf.h`.
pub struct Mbuf {
    /// All of it is initialised: the capacity is its length.
    memory: Vec<u8>,
    position: usize,
    end: usize,
    capacity_bytes_max: usize,
    home: Option<Home>,
}

/// Why a buffer did not do what it was asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MbufError {
    /// Less is left than was to be read, taken or kept.
    #[error("buffer: expected {expected_bytes} bytes left, got {got_bytes}")]
    Underrun {
        /// What was asked for.
        expected_bytes: usize,
        /// What is left between position and end.
        got_bytes: usize,
    },
    /// The headroom is smaller than what the position was to be moved back by.
    #[error("buffer: expected {expected_bytes} bytes of headroom, got {got_bytes}")]
    Headroom {
        /// What was asked for.
        expected_bytes: usize,
        /// What lies before the position.
        got_bytes: usize,
    },
    /// It would grow past its limit.
    #[error("buffer: expected at most {limit_bytes} bytes of capacity, got a demand for {demanded_bytes}")]
    Limit {
        /// The capacity that was needed.
        demanded_bytes: usize,
        /// The capacity it may have.
        limit_bytes: usize,
    },
}

impl Mbuf {
    /// An empty buffer with so much room before and after its packet. It may grow to [`CAPACITY_BYTES_MAX`], or is as large as
    /// asked for and does not grow.
    pub fn new(headroom_bytes: usize, tailroom_bytes: usize) -> Self {
        let capacity_bytes = headroom_bytes + tailroom_bytes;
        Mbuf::of_memory(vec![0; capacity_bytes], headroom_bytes, CAPACITY_BYTES_MAX.max(capacity_bytes), None)
    }

    /// A buffer that holds a copy of `bytes`, with so much room around it.
    pub fn copy_of(bytes: &[u8], headroom_bytes: usize, tailroom_bytes: usize) -> Self {
        let mut mbuf = Mbuf::new(headroom_bytes, bytes.len() + tailroom_bytes);
        mbuf.memory[headroom_bytes..headroom_bytes + bytes.len()].copy_from_slice(bytes);
        mbuf.end += bytes.len();
        mbuf
    }

    /// The same, and it does not grow past `capacity_bytes_max`, or past what it has.
    pub fn limited_to(mut self, capacity_bytes_max: usize) -> Self {
        self.capacity_bytes_max = capacity_bytes_max.max(self.memory.len());
        self
    }

    pub(super) fn of_memory(memory: Vec<u8>, headroom_bytes: usize, capacity_bytes_max: usize, home: Option<Home>) -> Self {
        Mbuf { memory, position: headroom_bytes, end: headroom_bytes, capacity_bytes_max, home }
    }

    /// Where reading and writing go on, from the start of the memory.
    #[inline]
    pub fn position(&self) -> usize {
        self.position
    }

    /// Where the packet ends, from the start of the memory.
    #[inline]
    pub fn end(&self) -> usize {
        self.end
    }

    /// Bytes from position to end.
    #[inline]
    pub fn left(&self) -> usize {
        self.end - self.position
    }

    /// Bytes of memory, all in all.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.memory.len()
    }

    /// Bytes before the position.
    #[inline]
    pub fn headroom(&self) -> usize {
        self.position
    }

    /// Bytes after the end that can be had without growing.
    #[inline]
    pub fn tailroom(&self) -> usize {
        self.memory.len() - self.end
    }

    /// The packet, from position to end.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.memory[self.position..self.end]
    }

    /// The packet, to change.
    #[inline]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.position..self.end]
    }

    /// Empties it, and leaves so much headroom.
    ///
    /// # Errors
    /// [`MbufError::Limit`].
    pub fn reset(&mut self, headroom_bytes: usize) -> Result<(), MbufError> {
        self.grow_to(headroom_bytes)?;
        (self.position, self.end) = (headroom_bytes, headroom_bytes);
        Ok(())
    }

    /// Sees to it that there are at least so many bytes of tailroom.
    ///
    /// # Errors
    /// [`MbufError::Limit`].
    #[inline]
    pub fn reserve_tailroom(&mut self, bytes: usize) -> Result<(), MbufError> {
        match bytes <= self.tailroom() {
            true => Ok(()),
            false => self.grow_to(self.end.saturating_add(bytes)),
        }
    }

    /// Sees to it that there are at least so many bytes of headroom. The packet may move.
    ///
    /// # Errors
    /// [`MbufError::Limit`].
    pub fn reserve_headroom(&mut self, bytes: usize) -> Result<(), MbufError> {
        let Some(missing) = bytes.checked_sub(self.position).filter(|missing| *missing > 0) else { return Ok(()) };
        self.grow_to(self.end.saturating_add(missing))?;
        self.memory.copy_within(self.position..self.end, self.position + missing);
        self.position += missing;
        self.end += missing;
        Ok(())
    }

    /// Moves the position forward, past bytes that were dealt with: they become headroom.
    ///
    /// # Errors
    /// [`MbufError::Underrun`].
    pub fn advance(&mut self, bytes: usize) -> Result<(), MbufError> {
        self.expect_left(bytes)?;
        self.position += bytes;
        Ok(())
    }

    /// Moves the position back: headroom becomes part of the packet.
    ///
    /// # Errors
    /// [`MbufError::Headroom`].
    pub fn rewind(&mut self, bytes: usize) -> Result<(), MbufError> {
        match self.position.checked_sub(bytes) {
            Some(position) => self.position = position,
            None => return Err(MbufError::Headroom { expected_bytes: bytes, got_bytes: self.position }),
        }
        Ok(())
    }

    /// Shortens the packet to `left` bytes: what lay behind becomes tailroom.
    ///
    /// # Errors
    /// [`MbufError::Underrun`].
    #[inline]
    pub fn truncate(&mut self, left: usize) -> Result<(), MbufError> {
        self.expect_left(left)?;
        self.end = self.position + left;
        Ok(())
    }

    /// Writes at the position, over what is there and past the end, and moves the position behind it.
    ///
    /// # Errors
    /// [`MbufError::Limit`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), MbufError> {
        let position = self.position.saturating_add(bytes.len());
        self.grow_to(position)?;
        self.memory[self.position..position].copy_from_slice(bytes);
        self.position = position;
        self.end = self.end.max(position);
        Ok(())
    }

    /// Writes a byte, as [`Mbuf::write`] does.
    ///
    /// # Errors
    /// [`MbufError::Limit`].
    pub fn write_u8(&mut self, value: u8) -> Result<(), MbufError> {
        self.write(&[value])
    }

    /// Writes 16 bits, as [`Mbuf::write`] does.
    ///
    /// # Errors
    /// [`MbufError::Limit`].
    pub fn write_u16(&mut self, value: u16) -> Result<(), MbufError> {
        self.write(&value.to_be_bytes())
    }

    /// Writes 32 bits, as [`Mbuf::write`] does.
    ///
    /// # Errors
    /// [`MbufError::Limit`].
    pub fn write_u32(&mut self, value: u32) -> Result<(), MbufError> {
        self.write(&value.to_be_bytes())
    }

    /// Writes 64 bits, as [`Mbuf::write`] does.
    ///
    /// # Errors
    /// [`MbufError::Limit`].
    pub fn write_u64(&mut self, value: u64) -> Result<(), MbufError> {
        self.write(&value.to_be_bytes())
    }

    /// Reads so many bytes as `destination` has, and moves the position behind them.
    ///
    /// # Errors
    /// [`MbufError::Underrun`].
    pub fn read(&mut self, destination: &mut [u8]) -> Result<(), MbufError> {
        self.expect_left(destination.len())?;
        destination.copy_from_slice(&self.memory[self.position..self.position + destination.len()]);
        self.position += destination.len();
        Ok(())
    }

    /// Reads a byte, as [`Mbuf::read`] does.
    ///
    /// # Errors
    /// [`MbufError::Underrun`].
    pub fn read_u8(&mut self) -> Result<u8, MbufError> {
        self.read_array().map(u8::from_be_bytes)
    }

    /// Reads 16 bits, as [`Mbuf::read`] does.
    ///
    /// # Errors
    /// [`MbufError::Underrun`].
    pub fn read_u16(&mut self) -> Result<u16, MbufError> {
        self.read_array().map(u16::from_be_bytes)
    }

    /// Reads 32 bits, as [`Mbuf::read`] does.
    ///
    /// # Errors
    /// [`MbufError::Underrun`].
    pub fn read_u32(&mut self) -> Result<u32, MbufError> {
        self.read_array().map(u32::from_be_bytes)
    }

    /// Reads 64 bits, as [`Mbuf::read`] does.
    ///
    /// # Errors
    /// [`MbufError::Underrun`].
    pub fn read_u64(&mut self) -> Result<u64, MbufError> {
        self.read_array().map(u64::from_be_bytes)
    }

    /// Adds bytes behind the packet. The position stays.
    ///
    /// # Errors
    /// [`MbufError::Limit`].
    #[inline]
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), MbufError> {
        self.append_space(bytes.len())?.copy_from_slice(bytes);
        Ok(())
    }

    /// Makes the packet longer by so many bytes and gives them, to be written: they hold what was in the memory before. The position
    /// stays.
    ///
    /// # Errors
    /// [`MbufError::Limit`].
    #[inline]
    pub fn append_space(&mut self, bytes: usize) -> Result<&mut [u8], MbufError> {
        self.reserve_tailroom(bytes)?;
        let start = self.end;
        self.end += bytes;
        Ok(&mut self.memory[start..self.end])
    }

    /// Adds bytes before the packet: the position moves back over them, or the packet moves where the headroom is too small.
    ///
    /// # Errors
    /// [`MbufError::Limit`].
    pub fn prepend(&mut self, bytes: &[u8]) -> Result<(), MbufError> {
        self.reserve_headroom(bytes.len())?;
        let start = self.position - bytes.len();
        self.memory[start..self.position].copy_from_slice(bytes);
        self.position = start;
        Ok(())
    }

    fn read_array<const N: usize>(&mut self) -> Result<[u8; N], MbufError> {
        let mut bytes = [0; N];
        self.read(&mut bytes)?;
        Ok(bytes)
    }

    #[inline]
    fn expect_left(&self, expected_bytes: usize) -> Result<(), MbufError> {
        match expected_bytes <= self.left() {
            true => Ok(()),
            false => Err(MbufError::Underrun { expected_bytes, got_bytes: self.left() }),
        }
    }

    /// Has at least this capacity. It grows to twice what it had, so that many small demands cost few moves.
    fn grow_to(&mut self, demanded_bytes: usize) -> Result<(), MbufError> {
        let had_bytes = self.memory.len();
        if demanded_bytes <= had_bytes {
            return Ok(());
        }
        let limit_bytes = self.capacity_bytes_max;
        if demanded_bytes > limit_bytes {
            return Err(MbufError::Limit { demanded_bytes, limit_bytes });
        }
        let grown_bytes = demanded_bytes.max(2 * had_bytes).min(limit_bytes);
        // A vector by itself would take twice what it had, past the limit and past what is accounted.
        self.memory.reserve_exact(grown_bytes - had_bytes);
        self.memory.resize(grown_bytes, 0);
        if let Some(home) = &self.home {
            home.account_growth(self.memory.len() - had_bytes);
        }
        Ok(())
    }
}

/// Its measures alone: what it holds may be what nobody else is to hear, and so may what it held before.
impl fmt::Debug for Mbuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Mbuf");
        debug.field("position", &self.position).field("end", &self.end).field("capacity", &self.capacity());
        debug.field("capacity_bytes_max", &self.capacity_bytes_max).finish_non_exhaustive()
    }
}

impl Drop for Mbuf {
    fn drop(&mut self) {
        if let Some(home) = self.home.take() {
            home.take_back(std::mem::take(&mut self.memory));
        }
    }
}

/// What holds of any sequence of calls: fuzz target, property test and corpus test share this body.
pub mod properties {
    use super::{Mbuf, MbufError};

    const LIMIT_BYTES: usize = 600;

    /// The same packet as a vector, which knows nothing of room: what lies before the position, and what lies after.
    struct Model {
        before: usize,
        packet: Vec<u8>,
    }

    /// The first two bytes are the room at the start; after them, each call is a byte and its operand the next one.
    pub fn against_a_vector(bytes: &[u8]) {
        let [headroom, tailroom, calls @ ..] = bytes else { return };
        let mut mbuf = Mbuf::new(usize::from(*headroom), usize::from(*tailroom)).limited_to(LIMIT_BYTES);
        let mut model = Model { before: usize::from(*headroom), packet: Vec::new() };
        for (step, call) in calls.chunks_exact(2).enumerate() {
            let (capacity, operand) = (mbuf.capacity(), usize::from(call[1]));
            let made: Vec<u8> = (0..operand).map(|at| (at + step) as u8).collect();
            let result = perform(&mut mbuf, &mut model, call[0], &made);
            assert_eq!(mbuf.bytes(), model.packet, "call {step}: {call:?}");
            assert_eq!((mbuf.headroom(), mbuf.left()), (model.before, model.packet.len()), "call {step}: {call:?}");
            assert!(mbuf.capacity() <= LIMIT_BYTES.max(capacity) && mbuf.capacity() >= capacity);
            assert_eq!(mbuf.end() + mbuf.tailroom(), mbuf.capacity());
            match result {
                // The limit is the only reason for which there is no room, and it is a true one.
                Err(MbufError::Limit { demanded_bytes, limit_bytes }) => {
                    assert!(limit_bytes == LIMIT_BYTES && demanded_bytes > limit_bytes);
                    assert_eq!(mbuf.capacity(), capacity);
                }
                Err(MbufError::Underrun { expected_bytes, got_bytes } | MbufError::Headroom { expected_bytes, got_bytes }) => {
                    assert!(expected_bytes > got_bytes);
                }
                Ok(()) => {}
            }
        }
    }

    fn perform(mbuf: &mut Mbuf, model: &mut Model, call: u8, made: &[u8]) -> Result<(), MbufError> {
        let count = made.len();
        match call % 13 {
            0 => {
                mbuf.append(made)?;
                model.packet.extend_from_slice(made);
            }
            1 => {
                mbuf.prepend(made)?;
                model.packet.splice(0..0, made.iter().copied());
                model.before = model.before.max(count) - count;
            }
            2 => {
                mbuf.write(made)?;
                model.before += count;
                model.packet.drain(..count.min(model.packet.len()));
                assert_eq!(mbuf.memory[mbuf.position - count..mbuf.position], *made);
            }
            3 => {
                let mut read = vec![0; count];
                mbuf.read(&mut read)?;
                assert_eq!(model.packet.drain(..count).collect::<Vec<u8>>(), read);
                model.before += count;
            }
            4 => {
                mbuf.reserve_tailroom(count)?;
                assert!(mbuf.tailroom() >= count, "after asking for {count} bytes there are {}", mbuf.tailroom());
            }
            5 => {
                mbuf.reserve_headroom(count)?;
                assert!(mbuf.headroom() >= count, "after asking for {count} bytes there are {}", mbuf.headroom());
                model.before = model.before.max(count);
            }
            6 => {
                mbuf.truncate(count)?;
                model.packet.truncate(count);
            }
            7 => {
                mbuf.advance(count)?;
                model.packet.drain(..count);
                model.before += count;
            }
            8 => {
                // What lies in the headroom is the buffer's to say.
                mbuf.rewind(count)?;
                model.before -= count;
                model.packet.splice(0..0, mbuf.bytes()[..count].iter().copied());
            }
            9 => {
                mbuf.reset(count)?;
                *model = Model { before: count, packet: Vec::new() };
            }
            10 => {
                mbuf.append_space(count)?.copy_from_slice(made);
                model.packet.extend_from_slice(made);
            }
            11 => {
                let value = u64::from_be_bytes([count as u8; 8]);
                let mut numbers = Mbuf::new(0, 0);
                let written = numbers
                    .write_u8(count as u8)
                    .and_then(|()| numbers.write_u16(value as u16))
                    .and_then(|()| numbers.write_u32(value as u32))
                    .and_then(|()| numbers.write_u64(value))
                    .and_then(|()| numbers.rewind(15));
                assert_eq!(written, Ok(()), "it has no limit that is so near, and has what was written");
                mbuf.append(numbers.bytes())?;
                model.packet.extend_from_slice(&[count as u8; 15]);
            }
            _ => {
                let (width, number) = match count % 4 {
                    0 => (1, mbuf.read_u8()?.into()),
                    1 => (2, mbuf.read_u16()?.into()),
                    2 => (4, mbuf.read_u32()?.into()),
                    _ => (8, mbuf.read_u64()?),
                };
                assert_eq!(model.packet.drain(..width).collect::<Vec<u8>>(), number.to_be_bytes()[8 - width..]);
                model.before += width;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpus_holds() {
        crate::corpus::each("mbuf", properties::against_a_vector);
    }

    proptest::proptest! {
        #[test]
        fn it_is_what_a_vector_is(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
            properties::against_a_vector(&bytes);
        }
    }

    /// Every demand on every room: after asking for n bytes there are n.
    #[test]
    fn growth_is_complete_whatever_there_was_before() {
        for headroom in 0..12 {
            for tailroom in 0..70 {
                for demand in 0..70 {
                    let mut mbuf = Mbuf::copy_of(b"packet", headroom, tailroom);
                    mbuf.reserve_tailroom(demand).unwrap();
                    assert!(mbuf.tailroom() >= demand, "{headroom} {tailroom} {demand}");
                    mbuf.reserve_headroom(demand).unwrap();
                    assert!(mbuf.headroom() >= demand && mbuf.tailroom() == mbuf.capacity() - mbuf.end());
                    assert_eq!(mbuf.bytes(), b"packet");
                }
            }
        }
    }

    #[test]
    fn many_small_demands_cost_few_moves() {
        for (room, piece) in [(0, 1), (1, 1), (7, 3), (100, 1), (64, 16)] {
            let mut mbuf = Mbuf::new(0, room);
            let (mut grown, mut capacity) = (0, mbuf.capacity());
            for _ in 0..5000 {
                mbuf.append(&vec![1; piece]).unwrap();
                grown += usize::from(mbuf.capacity() != capacity);
                capacity = mbuf.capacity();
            }
            assert!(grown <= 18, "{piece} at a time, from {room}: it has moved {grown} times");
            assert!(capacity <= 2 * 5000 * piece, "it has taken {capacity} bytes for {} bytes", 5000 * piece);
        }
    }

    #[test]
    fn a_buffer_shows_its_measures_and_nothing_of_what_it_holds() {
        for (headroom, tailroom) in [(0, 0), (3, 0), (2, 5)] {
            let mbuf = Mbuf::copy_of(&[211; 8], headroom, tailroom).limited_to(100);
            let (end, capacity) = (headroom + 8, headroom + 8 + tailroom);
            let expected =
                format!("Mbuf {{ position: {headroom}, end: {end}, capacity: {capacity}, capacity_bytes_max: 100, .. }}");
            assert_eq!(format!("{mbuf:?}"), expected);
        }
    }

    #[test]
    fn a_demand_past_the_limit_changes_nothing_and_says_both_figures() {
        let mut mbuf = Mbuf::copy_of(b"packet", 2, 0).limited_to(10);
        assert_eq!(mbuf.reserve_tailroom(3), Err(MbufError::Limit { demanded_bytes: 11, limit_bytes: 10 }));
        assert_eq!(mbuf.reserve_tailroom(usize::MAX), Err(MbufError::Limit { demanded_bytes: usize::MAX, limit_bytes: 10 }));
        assert_eq!((mbuf.bytes(), mbuf.capacity(), mbuf.position()), (&b"packet"[..], 8, 2));
        mbuf.append(b"!!").unwrap();
        assert_eq!((mbuf.bytes(), mbuf.capacity(), mbuf.tailroom()), (&b"packet!!"[..], 10, 0));
        assert_eq!(mbuf.rewind(3), Err(MbufError::Headroom { expected_bytes: 3, got_bytes: 2 }));
        assert_eq!(mbuf.advance(9), Err(MbufError::Underrun { expected_bytes: 9, got_bytes: 8 }));
        assert_eq!(mbuf.read_u64(), Ok(u64::from_be_bytes(*b"packet!!")));
        assert_eq!(mbuf.read_u8(), Err(MbufError::Underrun { expected_bytes: 1, got_bytes: 0 }));
    }
}
