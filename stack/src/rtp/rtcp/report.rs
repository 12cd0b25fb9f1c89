//! Sender and receiver reports (RFC 3550 sections 6.4.1 and 6.4.2).

use super::RtcpError;
use super::list::{List, Out, fixed_element, in_range, split, u32_at, whole_words};

/// A sender report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderReport<'a> {
    /// Who reports.
    pub ssrc: u32,
    /// What it has sent.
    pub info: SenderInfo,
    /// What it has received, 31 at the most.
    pub blocks: List<'a, ReportBlock>,
    /// Whatever a profile adds: whole words.
    pub extension: &'a [u8],
}

/// A receiver report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiverReport<'a> {
    /// Who reports.
    pub ssrc: u32,
    /// What it has received, 31 at the most.
    pub blocks: List<'a, ReportBlock>,
    /// Whatever a profile adds: whole words.
    pub extension: &'a [u8],
}

/// What a sender says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SenderInfo {
    /// When the report was sent: seconds since 1900, 32.32 fixed point.
    pub ntp_timestamp: u64,
    /// The same moment on the media's clock.
    pub rtp_timestamp: u32,
    /// Packets sent since the start.
    pub packet_count: u32,
    /// Bytes of payload sent since the start.
    pub octet_count: u32,
}

/// What was received from one source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportBlock {
    /// The source.
    pub ssrc: u32,
    /// The part of its packets that was lost since the last report, in 256ths.
    pub fraction_lost: u8,
    /// Packets lost since the start, 24 bits with a sign: duplicates make it negative.
    pub cumulative_lost: i32,
    /// The highest sequence number received, with the count of its cycles in the upper 16 bits.
    pub highest_sequence_number: u32,
    /// The interarrival jitter, in timestamp units.
    pub jitter: u32,
    /// The middle 32 bits of the NTP timestamp of the last sender report; 0 if there was none.
    pub last_sr: u32,
    /// The time since that report came, in 65536ths of a second.
    pub delay_since_last_sr: u32,
}

/// The range of a 24-bit number with a sign.
pub(crate) const CUMULATIVE_LOST: (i32, i32) = (-0x80_0000, 0x7f_ffff);

fixed_element!(
    ReportBlock,
    "report block",
    24,
    |bytes| ReportBlock {
        ssrc: u32_at(bytes, 0),
        fraction_lost: bytes[4],
        // The sign is the uppermost of 24 bits.
        cumulative_lost: (u32_at(bytes, 4) << 8) as i32 >> 8,
        highest_sequence_number: u32_at(bytes, 8),
        jitter: u32_at(bytes, 12),
        last_sr: u32_at(bytes, 16),
        delay_since_last_sr: u32_at(bytes, 20),
    },
    |this| in_range("cumulative lost", CUMULATIVE_LOST.0.into(), CUMULATIVE_LOST.1.into(), this.cumulative_lost.into()),
    |this| {
        let lost = u32::from(this.fraction_lost) << 24 | this.cumulative_lost as u32 & 0xff_ffff;
        let words = [this.ssrc, lost, this.highest_sequence_number, this.jitter, this.last_sr, this.delay_since_last_sr];
        let mut bytes = [0; 24];
        bytes.as_chunks_mut().0.iter_mut().zip(words).for_each(|(bytes, word)| *bytes = word.to_be_bytes());
        bytes
    }
);

impl<'a> SenderReport<'a> {
    pub(super) fn parse(count: usize, body: &'a [u8]) -> Result<Self, RtcpError> {
        let (fixed, rest) = split::<24>("sender report", body)?;
        let info = SenderInfo {
            ntp_timestamp: u64::from(u32_at(fixed, 4)) << 32 | u64::from(u32_at(fixed, 8)),
            rtp_timestamp: u32_at(fixed, 12),
            packet_count: u32_at(fixed, 16),
            octet_count: u32_at(fixed, 20),
        };
        let (blocks, extension) = List::parse_count(rest, count)?;
        whole_words("profile extension", extension)?;
        Ok(SenderReport { ssrc: u32_at(fixed, 0), info, blocks, extension })
    }

    pub(super) fn body_len(&self) -> Result<usize, RtcpError> {
        whole_words("profile extension", self.extension)?;
        Ok(24 + self.blocks.wire_len()? + self.extension.len())
    }

    pub(super) fn write(&self, out: &mut Out<'_>) {
        out.put(&self.ssrc.to_be_bytes());
        out.put(&self.info.ntp_timestamp.to_be_bytes());
        for word in [self.info.rtp_timestamp, self.info.packet_count, self.info.octet_count] {
            out.put(&word.to_be_bytes());
        }
        self.blocks.write(out);
        out.put(self.extension);
    }
}

impl<'a> ReceiverReport<'a> {
    pub(super) fn parse(count: usize, body: &'a [u8]) -> Result<Self, RtcpError> {
        let (ssrc, rest) = split("receiver report", body)?;
        let (blocks, extension) = List::parse_count(rest, count)?;
        whole_words("profile extension", extension)?;
        Ok(ReceiverReport { ssrc: u32::from_be_bytes(*ssrc), blocks, extension })
    }

    pub(super) fn body_len(&self) -> Result<usize, RtcpError> {
        whole_words("profile extension", self.extension)?;
        Ok(4 + self.blocks.wire_len()? + self.extension.len())
    }

    pub(super) fn write(&self, out: &mut Out<'_>) {
        out.put(&self.ssrc.to_be_bytes());
        self.blocks.write(out);
        out.put(self.extension);
    }
}
