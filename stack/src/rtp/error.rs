//! What can be wrong with an RTP packet.

use std::fmt;

/// Why a packet was not parsed or not written. The bytes it was asked about are as they were.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RtpError {
    /// The packet ends before this part of it does.
    #[error("{part}: expected {expected} bytes, got {got}")]
    Truncated {
        /// What is cut off.
        part: Part,
        /// How long the packet, or the part, would have to be.
        expected: usize,
        /// How long it is.
        got: usize,
    },
    /// The packet, or a part of it, is longer than a length field can say.
    #[error("{part}: expected at most {expected_max} bytes, got {got}")]
    TooLong {
        /// What is too long.
        part: Part,
        /// The limit.
        expected_max: usize,
        /// How long it is.
        got: usize,
    },
    /// Another protocol, or none.
    #[error("expected RTP version 2, got {got}")]
    Version {
        /// The first two bits.
        got: u8,
    },
    /// The padding counts itself, so there is at least one byte of it, and it is no longer than what follows the header.
    #[error("expected 1 to {expected_max} bytes of padding, got {got}")]
    Padding {
        /// How many bytes follow the header.
        expected_max: usize,
        /// The last byte.
        got: u8,
    },
    /// A value that its field cannot hold, or that the RFC forbids there.
    #[error("{part}: expected {expected_min} to {expected_max}, got {got}")]
    Range {
        /// Which field.
        part: Part,
        /// The smallest value that is allowed.
        expected_min: usize,
        /// The largest value that is allowed.
        expected_max: usize,
        /// The value.
        got: usize,
    },
    /// The header extension is of another form than RFC 8285 defines.
    #[error("expected a header extension of profile 0xBEDE or 0x1000 to 0x100F, got {got:#06x}")]
    Profile {
        /// The first 16 bits of the header extension.
        got: u16,
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

/// The parts of an RTP packet that can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// The first 12 bytes.
    FixedHeader,
    /// The list of contributing sources.
    Csrcs,
    /// The header extension.
    Extension,
    /// One element of the header extension (RFC 8285).
    Element,
    /// The identifier of such an element.
    ElementId,
    /// The application bits of the two-byte form (RFC 8285 section 4.3).
    AppBits,
    /// The payload type.
    PayloadType,
    /// The whole packet.
    Packet,
    /// The common header of an RTCP packet and the SSRC after it.
    RtcpHeader,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Part::FixedHeader => "RTP header",
            Part::Csrcs => "CSRC list",
            Part::Extension => "header extension",
            Part::Element => "header extension element",
            Part::ElementId => "identifier of a header extension element",
            Part::AppBits => "appbits",
            Part::PayloadType => "payload type",
            Part::Packet => "packet",
            Part::RtcpHeader => "RTCP header",
        })
    }
}
