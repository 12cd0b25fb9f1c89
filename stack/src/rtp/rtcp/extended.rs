//! Extended reports (RFC 3611).

use super::RtcpError;
use super::list::{Element, List, Out, fixed_element, in_range, not_known, split, u16_at, u32_at, whole_words};

/// An extended report, packet type 207.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtendedReport<'a> {
    /// Who reports.
    pub ssrc: u32,
    /// What it reports.
    pub blocks: List<'a, Block<'a>>,
}

/// A report block (RFC 3611 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Block<'a> {
    /// Which packets were received (section 4.1).
    LossRle(Rle<'a>),
    /// Which packets were received once, and not more often (section 4.2).
    DuplicateRle(Rle<'a>),
    /// When packets were received (section 4.3).
    ReceiptTimes(ReceiptTimes<'a>),
    /// The receiver's NTP timestamp, 32.32 fixed point (section 4.4).
    ReferenceTime(u64),
    /// The answers to such timestamps (section 4.5).
    Dlrr(List<'a, Dlrr>),
    /// A summary of many packets (section 4.6).
    Statistics(Statistics),
    /// How a call sounds (section 4.7).
    Voip(Voip),
    /// Another block, which is skipped by its length.
    Unknown {
        /// Its type, none of 1 to 7.
        block_type: u8,
        /// The byte after the type.
        type_specific: u8,
        /// What follows its header: whole words.
        data: &'a [u8],
    },
}

/// A bit for each of many packets, run-length encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rle<'a> {
    /// The packets reported on are those with multiples of 2 to the power of this, 0 to 15.
    pub thinning: u8,
    /// Whose packets they are.
    pub ssrc: u32,
    /// The first sequence number.
    pub begin: u16,
    /// The last sequence number, and one.
    pub end: u16,
    /// The bits, an even count of chunks: a null chunk fills the last word.
    pub chunks: List<'a, RleChunk>,
}

/// A part of a run-length encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RleChunk {
    /// The same bit many times.
    Run {
        /// The bit.
        bit: bool,
        /// How many times, 14 bits; a run of 0 clear bits is [`RleChunk::Null`].
        length: u16,
    },
    /// 15 bits, the uppermost first.
    Vector(u16),
    /// No bits: the end.
    Null,
}

/// When packets were received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiptTimes<'a> {
    /// The packets reported on are those with multiples of 2 to the power of this, 0 to 15.
    pub thinning: u8,
    /// Whose packets they are.
    pub ssrc: u32,
    /// The first sequence number.
    pub begin: u16,
    /// The last sequence number, and one.
    pub end: u16,
    /// The times, on the media's clock.
    pub times: List<'a, u32>,
}

/// The answer to a receiver's reference time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dlrr {
    /// The receiver.
    pub ssrc: u32,
    /// The middle 32 bits of its timestamp.
    pub last_rr: u32,
    /// The time since it came, in 65536ths of a second.
    pub delay_since_last_rr: u32,
}

/// A summary of many packets. What is not reported is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Whether the count of lost packets is reported.
    pub has_lost: bool,
    /// Whether the count of duplicates is reported.
    pub has_duplicates: bool,
    /// Whether the jitter is reported.
    pub has_jitter: bool,
    /// Which the TTL fields are: 0 not reported, 1 the TTL of IPv4, 2 the hop limit of IPv6; 3 is reserved.
    pub ttl_or_hop_limit: u8,
    /// Whose packets they are.
    pub ssrc: u32,
    /// The first sequence number.
    pub begin: u16,
    /// The last sequence number, and one.
    pub end: u16,
    /// Packets lost.
    pub lost: u32,
    /// Packets received again.
    pub duplicates: u32,
    /// Jitter: least, most, mean and standard deviation, in timestamp units.
    pub jitter: [u32; 4],
    /// TTL or hop limit: least, most, mean and standard deviation.
    pub ttl: [u8; 4],
}

/// How a call sounds. RFC 3611 section 4.7 says of each field what it means; 127 is "not available" where a score is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Voip {
    /// Whose packets they are.
    pub ssrc: u32,
    /// The part of the packets that was lost, in 256ths.
    pub loss_rate: u8,
    /// The part of the packets that came too late or too early, in 256ths.
    pub discard_rate: u8,
    /// The part of packets in bursts that was lost or discarded, in 256ths.
    pub burst_density: u8,
    /// The part of packets in gaps that was lost or discarded, in 256ths.
    pub gap_density: u8,
    /// How long bursts are in the mean.
    pub burst_duration_ms: u16,
    /// How long gaps are in the mean.
    pub gap_duration_ms: u16,
    /// The last round trip between the RTP interfaces.
    pub round_trip_delay_ms: u16,
    /// What this end adds to it.
    pub end_system_delay_ms: u16,
    /// Voice over 0 dBm0.
    pub signal_level_dbm0: i8,
    /// Silence over 0 dBm0.
    pub noise_level_dbm0: i8,
    /// The residual echo return loss.
    pub residual_echo_return_loss_db: u8,
    /// How many packets without a loss end a burst.
    pub gmin: u8,
    /// The quality of the call, 0 to 100.
    pub r_factor: u8,
    /// The quality of a segment on another network, 0 to 100.
    pub external_r_factor: u8,
    /// The listening quality, in tenths.
    pub mos_lq: u8,
    /// The conversational quality, in tenths.
    pub mos_cq: u8,
    /// How loss is concealed, and how the jitter buffer behaves: bits.
    pub receiver_configuration: u8,
    /// What the jitter buffer delays a packet by that comes in time.
    pub jitter_buffer_nominal_ms: u16,
    /// What it delays the earliest packet by.
    pub jitter_buffer_maximum_ms: u16,
    /// What it may ever delay a packet by.
    pub jitter_buffer_absolute_maximum_ms: u16,
}

const LOSS_RLE: u8 = 1;
const DUPLICATE_RLE: u8 = 2;
const RECEIPT_TIMES: u8 = 3;
const REFERENCE_TIME: u8 = 4;
const DLRR: u8 = 5;
const STATISTICS: u8 = 6;
const VOIP: u8 = 7;
const STATISTICS_LEN: usize = 36;
const VOIP_LEN: usize = 32;

fixed_element!(
    Dlrr,
    "DLRR sub-block",
    12,
    |bytes| Dlrr { ssrc: u32_at(bytes, 0), last_rr: u32_at(bytes, 4), delay_since_last_rr: u32_at(bytes, 8) },
    |_| Ok(()),
    |this| {
        let words = u128::from(this.ssrc) << 64 | u128::from(this.last_rr) << 32 | u128::from(this.delay_since_last_rr);
        let mut bytes = [0; 12];
        bytes.copy_from_slice(&words.to_be_bytes()[4..]);
        bytes
    }
);

fixed_element!(
    RleChunk,
    "run-length chunk",
    2,
    |bytes| match u16::from_be_bytes(*bytes) {
        0 => RleChunk::Null,
        chunk @ 0x8000.. => RleChunk::Vector(chunk & 0x7fff),
        chunk => RleChunk::Run { bit: chunk & 0x4000 != 0, length: chunk & 0x3fff },
    },
    |this| match *this {
        RleChunk::Null => Ok(()),
        RleChunk::Vector(bits) => in_range("bit vector", 0, 0x7fff, bits.into()),
        RleChunk::Run { bit, length } => in_range("run length", i64::from(!bit), 0x3fff, length.into()),
    },
    |this| match *this {
        RleChunk::Null => [0; 2],
        RleChunk::Vector(bits) => (0x8000 | bits).to_be_bytes(),
        RleChunk::Run { bit, length } => (u16::from(bit) << 14 | length).to_be_bytes(),
    }
);

impl Rle<'_> {
    /// The packets reported on, in their order, each with its bit. Ends with the chunks or with the range, whichever is first.
    pub fn bits(&self) -> impl Iterator<Item = (u16, bool)> {
        let step = 1u32 << (self.thinning & 15);
        // The first multiple from the beginning of the range on.
        let offset = u32::from(self.begin).next_multiple_of(step) - u32::from(self.begin);
        let (begin, length) = (self.begin, u32::from(self.end.wrapping_sub(self.begin)));
        let bits = self.chunks.iter().take_while(|chunk| *chunk != RleChunk::Null).flat_map(|chunk| {
            let count = if let RleChunk::Run { length, .. } = chunk { length } else { 15 };
            (0..count).map(move |index| match chunk {
                RleChunk::Run { bit, .. } => bit,
                RleChunk::Vector(bits) => bits >> (14 - index) & 1 == 1,
                RleChunk::Null => false,
            })
        });
        // Below `length`, which has 16 bits.
        (offset..length).step_by(step as usize).map(move |offset| begin.wrapping_add(offset as u16)).zip(bits)
    }

    fn body_len(&self) -> Result<usize, RtcpError> {
        in_range("thinning", 0, 15, self.thinning.into())?;
        let chunks_len = self.chunks.wire_len()?;
        // A word is never half a chunk, so what is left is one chunk.
        Ok(8 + chunks_len.next_multiple_of(4))
    }

    fn write(&self, out: &mut Out<'_>) {
        write_range(self.ssrc, self.begin, self.end, out);
        self.chunks.write(out);
        out.put_to_word();
    }
}

fn write_range(ssrc: u32, begin: u16, end: u16, out: &mut Out<'_>) {
    out.put(&ssrc.to_be_bytes());
    out.put(&begin.to_be_bytes());
    out.put(&end.to_be_bytes());
}

impl<'a> ExtendedReport<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, RtcpError> {
        let (ssrc, blocks) = split("extended report", body)?;
        Ok(ExtendedReport { ssrc: u32::from_be_bytes(*ssrc), blocks: List::parse(blocks)? })
    }

    pub(super) fn body_len(&self) -> Result<usize, RtcpError> {
        Ok(4 + self.blocks.wire_len()?)
    }

    pub(super) fn write(&self, out: &mut Out<'_>) {
        out.put(&self.ssrc.to_be_bytes());
        self.blocks.write(out);
    }
}

impl<'a> Element<'a> for Block<'a> {
    fn parse(bytes: &'a [u8]) -> Result<(Self, usize), RtcpError> {
        let (&[block_type, type_specific, high, low], rest) = split("XR block", bytes)?;
        let len = 4 * usize::from(u16::from_be_bytes([high, low]));
        let body = rest.get(..len).ok_or(RtcpError::Truncated { part: "XR block", expected: len, got: rest.len() })?;
        let block = match block_type {
            LOSS_RLE => Block::LossRle(parse_rle(type_specific, body)?),
            DUPLICATE_RLE => Block::DuplicateRle(parse_rle(type_specific, body)?),
            RECEIPT_TIMES => {
                let (range, times) = split::<8>("packet receipt times block", body)?;
                Block::ReceiptTimes(ReceiptTimes {
                    thinning: type_specific & 0x0f,
                    ssrc: u32_at(range, 0),
                    begin: u16_at(range, 4),
                    end: u16_at(range, 6),
                    times: List::parse(times)?,
                })
            }
            REFERENCE_TIME => Block::ReferenceTime(u64::from_be_bytes(*exactly("receiver reference time block", body)?)),
            DLRR => Block::Dlrr(List::parse(body)?),
            STATISTICS => Block::Statistics(Statistics::parse(type_specific, exactly("statistics summary block", body)?)),
            VOIP => Block::Voip(Voip::parse(exactly("VoIP metrics block", body)?)),
            _ => Block::Unknown { block_type, type_specific, data: body },
        };
        Ok((block, 4 + len))
    }

    fn wire_len(&self) -> Result<usize, RtcpError> {
        let body_len = match self {
            Block::LossRle(rle) | Block::DuplicateRle(rle) => rle.body_len()?,
            Block::ReceiptTimes(receipt) => {
                in_range("thinning", 0, 15, receipt.thinning.into())?;
                8 + receipt.times.wire_len()?
            }
            Block::ReferenceTime(_) => 8,
            Block::Dlrr(list) => list.wire_len()?,
            Block::Statistics(statistics) => {
                in_range("TTL or hop limit", 0, 3, statistics.ttl_or_hop_limit.into())?;
                STATISTICS_LEN
            }
            Block::Voip(_) => VOIP_LEN,
            Block::Unknown { block_type, data, .. } => {
                not_known("type of an unknown XR block", (LOSS_RLE..=VOIP).contains(block_type), *block_type)?;
                whole_words("XR block", data)?;
                data.len()
            }
        };
        let expected_max = 4 * usize::from(u16::MAX);
        if body_len > expected_max {
            return Err(RtcpError::TooLong { part: "XR block", expected_max, got: body_len });
        }
        Ok(4 + body_len)
    }

    fn write(&self, out: &mut Out<'_>) {
        // It has been measured, so this is no error, and the words fit in 16 bits.
        let words = (self.wire_len().unwrap_or_default() / 4).saturating_sub(1) as u16;
        let (block_type, type_specific) = match self {
            Block::LossRle(rle) => (LOSS_RLE, rle.thinning),
            Block::DuplicateRle(rle) => (DUPLICATE_RLE, rle.thinning),
            Block::ReceiptTimes(receipt) => (RECEIPT_TIMES, receipt.thinning),
            Block::ReferenceTime(_) => (REFERENCE_TIME, 0),
            Block::Dlrr(_) => (DLRR, 0),
            Block::Statistics(statistics) => (STATISTICS, statistics.flags()),
            Block::Voip(_) => (VOIP, 0),
            Block::Unknown { block_type, type_specific, .. } => (*block_type, *type_specific),
        };
        out.put(&[block_type, type_specific]);
        out.put(&words.to_be_bytes());
        match self {
            Block::LossRle(rle) | Block::DuplicateRle(rle) => rle.write(out),
            Block::ReceiptTimes(receipt) => {
                write_range(receipt.ssrc, receipt.begin, receipt.end, out);
                receipt.times.write(out);
            }
            Block::ReferenceTime(ntp_timestamp) => out.put(&ntp_timestamp.to_be_bytes()),
            Block::Dlrr(list) => list.write(out),
            Block::Statistics(statistics) => statistics.write(out),
            Block::Voip(voip) => voip.write(out),
            Block::Unknown { data, .. } => out.put(data),
        }
    }
}

fn parse_rle(type_specific: u8, body: &[u8]) -> Result<Rle<'_>, RtcpError> {
    let (range, chunks) = split::<8>("RLE block", body)?;
    let (begin, end) = (u16_at(range, 4), u16_at(range, 6));
    Ok(Rle { thinning: type_specific & 0x0f, ssrc: u32_at(range, 0), begin, end, chunks: List::parse(chunks)? })
}

/// A block whose length is fixed.
fn exactly<'a, const N: usize>(part: &'static str, body: &'a [u8]) -> Result<&'a [u8; N], RtcpError> {
    match split::<N>(part, body)? {
        (exact, []) => Ok(exact),
        _ => Err(RtcpError::TooLong { part, expected_max: N, got: body.len() }),
    }
}

impl Statistics {
    fn parse(flags: u8, body: &[u8; STATISTICS_LEN]) -> Self {
        Statistics {
            has_lost: flags & 0x80 != 0,
            has_duplicates: flags & 0x40 != 0,
            has_jitter: flags & 0x20 != 0,
            ttl_or_hop_limit: flags >> 3 & 3,
            ssrc: u32_at(body, 0),
            begin: u16_at(body, 4),
            end: u16_at(body, 6),
            lost: u32_at(body, 8),
            duplicates: u32_at(body, 12),
            jitter: [16, 20, 24, 28].map(|at| u32_at(body, at)),
            ttl: [body[32], body[33], body[34], body[35]],
        }
    }

    fn flags(&self) -> u8 {
        u8::from(self.has_lost) << 7
            | u8::from(self.has_duplicates) << 6
            | u8::from(self.has_jitter) << 5
            | (self.ttl_or_hop_limit & 3) << 3
    }

    fn write(&self, out: &mut Out<'_>) {
        write_range(self.ssrc, self.begin, self.end, out);
        for word in [self.lost, self.duplicates].into_iter().chain(self.jitter) {
            out.put(&word.to_be_bytes());
        }
        out.put(&self.ttl);
    }
}

impl Voip {
    fn parse(body: &[u8; VOIP_LEN]) -> Self {
        Voip {
            ssrc: u32_at(body, 0),
            loss_rate: body[4],
            discard_rate: body[5],
            burst_density: body[6],
            gap_density: body[7],
            burst_duration_ms: u16_at(body, 8),
            gap_duration_ms: u16_at(body, 10),
            round_trip_delay_ms: u16_at(body, 12),
            end_system_delay_ms: u16_at(body, 14),
            signal_level_dbm0: body[16] as i8,
            noise_level_dbm0: body[17] as i8,
            residual_echo_return_loss_db: body[18],
            gmin: body[19],
            r_factor: body[20],
            external_r_factor: body[21],
            mos_lq: body[22],
            mos_cq: body[23],
            receiver_configuration: body[24],
            jitter_buffer_nominal_ms: u16_at(body, 26),
            jitter_buffer_maximum_ms: u16_at(body, 28),
            jitter_buffer_absolute_maximum_ms: u16_at(body, 30),
        }
    }

    fn write(&self, out: &mut Out<'_>) {
        out.put(&self.ssrc.to_be_bytes());
        out.put(&[self.loss_rate, self.discard_rate, self.burst_density, self.gap_density]);
        for ms in [self.burst_duration_ms, self.gap_duration_ms, self.round_trip_delay_ms, self.end_system_delay_ms] {
            out.put(&ms.to_be_bytes());
        }
        out.put(&[self.signal_level_dbm0 as u8, self.noise_level_dbm0 as u8, self.residual_echo_return_loss_db, self.gmin]);
        out.put(&[self.r_factor, self.external_r_factor, self.mos_lq, self.mos_cq, self.receiver_configuration, 0]);
        for ms in [self.jitter_buffer_nominal_ms, self.jitter_buffer_maximum_ms, self.jitter_buffer_absolute_maximum_ms] {
            out.put(&ms.to_be_bytes());
        }
    }
}
