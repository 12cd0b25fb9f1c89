//! What can be wrong with RTCP, and how often it was.

/// Why a compound packet was not taken or not written. It is refused as a whole: none of its packets counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RtcpError {
    /// It ends before this part of it does.
    #[error("{part}: expected {expected} bytes, got {got}")]
    Truncated {
        /// What is cut off.
        part: &'static str,
        /// How many bytes it takes, at the least.
        expected: usize,
        /// How many there are.
        got: usize,
    },
    /// A part is longer than what is in it, or there is more in it than its length or count field can say.
    #[error("{part}: expected at most {expected_max}, got {got}")]
    TooLong {
        /// What is too long.
        part: &'static str,
        /// The limit, in the bytes or elements that the part is counted in.
        expected_max: usize,
        /// How much there is.
        got: usize,
    },
    /// Bytes that are not whole words, where RTCP counts words.
    #[error("{part}: expected a multiple of 4 bytes, got {got}")]
    Words {
        /// What it is.
        part: &'static str,
        /// How many bytes there are.
        got: usize,
    },
    /// Another protocol, or none.
    #[error("expected RTCP version 2, got {got}")]
    Version {
        /// The first two bits.
        got: u8,
    },
    /// The padding counts itself, so there is at least one byte of it, and it is no longer than what follows the common header.
    #[error("expected 1 to {expected_max} bytes of padding, got {got}")]
    Padding {
        /// How many bytes follow the common header.
        expected_max: usize,
        /// The last byte.
        got: u8,
    },
    /// Only the last packet may be padded (RFC 3550 section 6.4.1).
    #[error("expected padding in the last packet only, got it in one that ends at byte {got} of {expected}")]
    PaddingNotLast {
        /// How long the compound packet is, in bytes.
        expected: usize,
        /// Where the packet with padding ends.
        got: usize,
    },
    /// A compound packet begins with a report (RFC 3550 section 6.1).
    #[error("expected packet type 200 or 201 first, got {got}")]
    FirstPacket {
        /// The packet type.
        got: u8,
    },
    /// A value that its field cannot hold, or that the RFC forbids there.
    #[error("{part}: expected {expected_min} to {expected_max}, got {got}")]
    Range {
        /// Which field.
        part: &'static str,
        /// The smallest value that is allowed.
        expected_min: i64,
        /// The largest value that is allowed.
        expected_max: i64,
        /// The value.
        got: i64,
    },
    /// Something to be written as unknown that would be read as a packet, message or block that is known here.
    #[error("{part}: expected one that is unknown, got {got}")]
    Known {
        /// Which field.
        part: &'static str,
        /// The value.
        got: u8,
    },
    /// Transport-wide feedback with the reserved status symbol, 0b11.
    #[error("expected status symbols 0 to 2, got 3 for packet {packet} of the feedback")]
    StatusSymbol {
        /// Which of the packets that are reported on, from 0.
        packet: usize,
    },
    /// The caller's buffer is too small.
    #[error("expected room for {expected} bytes, got {got}")]
    Room {
        /// How much is written.
        expected: usize,
        /// How much there is.
        got: usize,
    },
}

/// What was received so far, and what was refused for which kind of error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RtcpCounters {
    /// Compound packets that were taken.
    pub compounds: u64,
    /// Packets in them.
    pub packets: u64,
    /// Packets among these whose type is unknown here.
    pub unknown: u64,
    /// Compound packets refused: [`RtcpError::Truncated`].
    pub truncated: u64,
    /// Compound packets refused: [`RtcpError::TooLong`].
    pub too_long: u64,
    /// Compound packets refused: [`RtcpError::Words`].
    pub words: u64,
    /// Compound packets refused: [`RtcpError::Version`].
    pub version: u64,
    /// Compound packets refused: [`RtcpError::Padding`] and [`RtcpError::PaddingNotLast`].
    pub padding: u64,
    /// Compound packets refused: [`RtcpError::FirstPacket`].
    pub first_packet: u64,
    /// Compound packets refused: [`RtcpError::Range`].
    pub range: u64,
    /// Compound packets refused: [`RtcpError::StatusSymbol`].
    pub status_symbol: u64,
}

impl RtcpCounters {
    /// How many compound packets were refused.
    pub fn refused(&self) -> u64 {
        self.truncated
            + self.too_long
            + self.words
            + self.version
            + self.padding
            + self.first_packet
            + self.range
            + self.status_symbol
    }

    /// Counts a compound packet that was refused.
    pub fn refuse(&mut self, error: &RtcpError) {
        *match error {
            RtcpError::Truncated { .. } | RtcpError::Room { .. } => &mut self.truncated,
            RtcpError::TooLong { .. } => &mut self.too_long,
            RtcpError::Words { .. } => &mut self.words,
            RtcpError::Version { .. } => &mut self.version,
            RtcpError::Padding { .. } | RtcpError::PaddingNotLast { .. } => &mut self.padding,
            RtcpError::FirstPacket { .. } => &mut self.first_packet,
            RtcpError::Range { .. } | RtcpError::Known { .. } => &mut self.range,
            RtcpError::StatusSymbol { .. } => &mut self.status_symbol,
        } += 1;
    }
}
