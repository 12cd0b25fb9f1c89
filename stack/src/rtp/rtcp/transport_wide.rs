//! Transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01): when which packets came, all streams together.

use super::RtcpError;
use super::list::{List, Out, at_end, in_range, split, u16_at, u32_at};
use rtcp_types::prelude::RtcpPacketWriter;
use rtcp_types::{TwccBuilder, TwccPacketStatus};

/// Feedback about consecutive packets, by their transport-wide sequence numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransportWide<'a> {
    base_sequence_number: u16,
    packet_count: u16,
    reference_time: i32,
    feedback_count: u8,
    chunks: List<'a, StatusChunk>,
    deltas: &'a [u8],
}

/// What became of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It has not come.
    Missing,
    /// It came so long after the one before it that has come, or after the reference time, in units of 250 microseconds.
    Received {
        /// May be negative.
        delta_250us: i16,
    },
}

/// How the status symbols of some packets are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct StatusChunk(u16);

super::list::fixed_element!(
    StatusChunk,
    "packet status chunk",
    2,
    |bytes| StatusChunk(u16::from_be_bytes(*bytes)),
    |_| Ok(()),
    |this| this.0.to_be_bytes()
);

/// How long the feedback control information is before the chunks, in bytes.
const FIXED_LEN: usize = 8;
/// With a chunk of seven packets and their deltas, of which none is split.
const SURE_LEN: usize = FIXED_LEN + 2 + 7 * 2;

impl StatusChunk {
    /// For how many packets there are symbols in it.
    fn capacity(self) -> usize {
        match self.0 >> 14 {
            0 | 1 => usize::from(self.0 & 0x1fff),
            2 => 14,
            _ => 7,
        }
    }

    /// The symbol of its `index`th packet: the bytes of its delta, or 3, which is reserved.
    fn symbol(self, index: usize) -> u8 {
        let shifted = match self.0 >> 14 {
            0 | 1 => self.0 >> 13,
            2 => self.0 >> (13 - index) & 1,
            _ => self.0 >> (12 - 2 * index),
        };
        // Two bits.
        (shifted & 3) as u8
    }

    /// The first reserved symbol, or how many bytes of deltas the first `count` packets have.
    fn deltas_len(self, count: usize) -> Result<usize, usize> {
        if self.0 >> 14 < 2 {
            return match usize::from(self.symbol(0)) {
                3 if count > 0 => Err(0),
                symbol => Ok(symbol * count),
            };
        }
        (0..count).try_fold(0, |len, index| match self.symbol(index) {
            3 => Err(index),
            symbol => Ok(len + usize::from(symbol)),
        })
    }
}

impl<'a> TransportWide<'a> {
    /// Feedback about the packets from `base_sequence_number` on, as many of `arrivals` as fit in `room`, where it is written:
    /// the result borrows it. [`TransportWide::packet_count`] says how many that are.
    ///
    /// The reference time is in units of 64 ms, 24 bits with a sign; the feedback count goes up by one for each feedback.
    ///
    /// # Errors
    /// [`RtcpError::Range`] for the reference time, [`RtcpError::Room`] if not even the fixed part fits, or none of the arrivals: 24
    /// bytes are always enough for one.
    pub fn pack(
        base_sequence_number: u16,
        reference_time: i32,
        feedback_count: u8,
        arrivals: &[Arrival],
        room: &'a mut [u8],
    ) -> Result<Self, RtcpError> {
        in_range("TWCC reference time", -0x80_0000, 0x7f_ffff, reference_time.into())?;
        let room_len = room.len() / 4 * 4;
        if room_len < FIXED_LEN {
            return Err(RtcpError::Room { expected: FIXED_LEN, got: room_len });
        }
        let status = |arrival: &Arrival| match *arrival {
            Arrival::Missing => TwccPacketStatus::NotReceived,
            Arrival::Received { delta_250us } => TwccPacketStatus::Received { delta: delta_250us },
        };
        let statuses: Vec<_> = arrivals.iter().take(u16::MAX.into()).map(status).collect();
        let reference = reference_time as u32 & 0xff_ffff;
        let builder = TwccBuilder::new(base_sequence_number, reference, feedback_count, &statuses, Some(room_len));
        // Only a reference time above 24 bits is an error, and that has been masked.
        let len = builder.calculate_size().unwrap_or(room_len + 1);
        let got = room.len();
        let Some(fci) = room.get_mut(..len) else { return Err(RtcpError::Room { expected: len, got }) };
        fci.fill(0);
        builder.write_into_unchecked(fci);
        let packed = Self::parse(fci)?;
        // Whoever packs the rest until nothing is left would never end.
        if packed.packet_count == 0 && !arrivals.is_empty() {
            return Err(RtcpError::Room { expected: SURE_LEN, got: room_len });
        }
        Ok(packed)
    }

    /// The sequence number of the first packet that it is about.
    pub fn base_sequence_number(&self) -> u16 {
        self.base_sequence_number
    }

    /// How many packets it is about.
    pub fn packet_count(&self) -> u16 {
        self.packet_count
    }

    /// When the first delta begins, in units of 64 ms, from a moment that the sender of the feedback chooses.
    pub fn reference_time(&self) -> i32 {
        self.reference_time
    }

    /// Goes up by one for each feedback, to tell lost ones.
    pub fn feedback_count(&self) -> u8 {
        self.feedback_count
    }

    /// The packets and what became of them, in the order of their sequence numbers.
    pub fn arrivals(&self) -> impl Iterator<Item = (u16, Arrival)> + use<'a> {
        let TransportWide { base_sequence_number, mut deltas, chunks, packet_count, .. } = *self;
        let symbols = chunks.iter().flat_map(|chunk| (0..chunk.capacity()).map(move |index| chunk.symbol(index)));
        symbols.take(packet_count.into()).enumerate().map(move |(index, symbol)| {
            // The symbol is the length of the delta, and all lengths have been added up.
            let (delta, rest) = deltas.split_at(symbol.into());
            deltas = rest;
            let arrival = match *delta {
                [low] => Arrival::Received { delta_250us: low.into() },
                [high, low] => Arrival::Received { delta_250us: i16::from_be_bytes([high, low]) },
                _ => Arrival::Missing,
            };
            // Below `packet_count`, which has 16 bits.
            (base_sequence_number.wrapping_add(index as u16), arrival)
        })
    }

    pub(super) fn parse(fci: &'a [u8]) -> Result<Self, RtcpError> {
        let (fixed, rest) = split::<FIXED_LEN>("TWCC feedback", fci)?;
        let packet_count = u16_at(fixed, 2);
        let (mut at, mut deltas_len, mut packets) = (0, 0, 0);
        while packets < usize::from(packet_count) {
            let Some(chunk) = rest[at..].first_chunk() else {
                return Err(RtcpError::Truncated { part: "packet status chunks", expected: at + 2, got: rest.len() });
            };
            let chunk = StatusChunk(u16::from_be_bytes(*chunk));
            let count = chunk.capacity().min(usize::from(packet_count) - packets);
            deltas_len += chunk.deltas_len(count).map_err(|index| RtcpError::StatusSymbol { packet: packets + index })?;
            packets += count;
            at += 2;
        }
        let (chunks, rest) = rest.split_at(at);
        let Some((deltas, padding)) = rest.split_at_checked(deltas_len) else {
            return Err(RtcpError::Truncated { part: "receive deltas", expected: deltas_len, got: rest.len() });
        };
        // Up to three bytes fill the last word, whether the padding bit says so or not.
        at_end("after the receive deltas", padding.get(3..).unwrap_or_default())?;
        Ok(TransportWide {
            base_sequence_number: u16_at(fixed, 0),
            packet_count,
            // 24 bits with a sign.
            reference_time: u32_at(fixed, 4) as i32 >> 8,
            feedback_count: fixed[7],
            chunks: List::parse(chunks)?,
            deltas,
        })
    }

    pub(super) fn wire_len(&self) -> Result<usize, RtcpError> {
        Ok((FIXED_LEN + self.chunks.wire_len()? + self.deltas.len()).next_multiple_of(4))
    }

    pub(super) fn write(&self, out: &mut Out<'_>) {
        out.put(&self.base_sequence_number.to_be_bytes());
        out.put(&self.packet_count.to_be_bytes());
        out.put(&((self.reference_time << 8) as u32 | u32::from(self.feedback_count)).to_be_bytes());
        self.chunks.write(out);
        out.put(self.deltas);
        out.put_to_word();
    }
}
