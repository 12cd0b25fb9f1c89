//! Feedback to senders: RFC 4585, RFC 5104, and REMB.

use super::RtcpError;
use super::list::{List, Out, at_end, fixed_element, in_range, not_known, split, u16_at, u32_at, whole_words};
use super::transport_wide::TransportWide;

/// Feedback about the transport, packet type 205.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransportFeedback<'a> {
    /// Who sends it.
    pub sender_ssrc: u32,
    /// Whose packets it is about; 0 where the message names its sources itself.
    pub media_ssrc: u32,
    /// What it says.
    pub message: TransportMessage<'a>,
}

/// What transport feedback says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransportMessage<'a> {
    /// These packets are missing, at least one (RFC 4585 section 6.2.1).
    Nack(List<'a, Nack>),
    /// Send no more than this: requests, at least one (RFC 5104 section 4.2.1).
    Tmmbr(List<'a, BitrateLimit>),
    /// The limits that bind, maybe none (RFC 5104 section 4.2.2).
    Tmmbn(List<'a, BitrateLimit>),
    /// When which packets came (draft-holmer-rmcat-transport-wide-cc-extensions-01).
    TransportWide(TransportWide<'a>),
    /// Another message.
    Unknown {
        /// Its format, 0 to 31, none of those above.
        format: u8,
        /// Its feedback control information, whole words.
        fci: &'a [u8],
    },
}

/// Feedback about the payload, packet type 206.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadFeedback<'a> {
    /// Who sends it.
    pub sender_ssrc: u32,
    /// Whose media it is about; 0 where the message names its sources itself.
    pub media_ssrc: u32,
    /// What it says.
    pub message: PayloadMessage<'a>,
}

/// What payload feedback says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PayloadMessage<'a> {
    /// Pictures were lost (RFC 4585 section 6.3.1).
    PictureLoss,
    /// Slices were lost, at least one (RFC 4585 section 6.3.2).
    SliceLoss(List<'a, SliceLoss>),
    /// A picture to refer to (RFC 4585 section 6.3.3).
    ReferencePicture(ReferencePicture<'a>),
    /// A whole picture is wanted, of at least one source (RFC 5104 section 4.3.1).
    FullIntraRequest(List<'a, FullIntraRequest>),
    /// The receiver's estimate of the bandwidth (draft-alvestrand-rmcat-remb-03).
    Remb(Remb<'a>),
    /// Another message of the application layer (RFC 4585 section 6.4): whole words, which do not begin with REMB.
    Application(&'a [u8]),
    /// Another message.
    Unknown {
        /// Its format, 0 to 31, none of those above.
        format: u8,
        /// Its feedback control information, whole words.
        fci: &'a [u8],
    },
}

/// Up to 17 packets that are missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nack {
    /// The first of them.
    pub sequence_number: u16,
    /// Which of the 16 after it are missing too, the lowest bit being the next.
    pub following: u16,
}

/// A limit of a source's bitrate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BitrateLimit {
    /// Whom it binds, or who owns it.
    pub ssrc: u32,
    /// The bitrate is the mantissa times 2 to the power of this, 0 to 63.
    pub exponent: u8,
    /// 17 bits.
    pub mantissa: u32,
    /// What each packet costs beyond its RTP payload, 9 bits, in bytes.
    pub overhead_bytes: u16,
}

/// Macroblocks that were lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SliceLoss {
    /// The first of them, 13 bits.
    pub first: u16,
    /// How many there are, 13 bits.
    pub count: u16,
    /// The lowest 6 bits of the picture's identifier.
    pub picture_id: u8,
}

/// A picture that a codec has decoded, in the codec's own terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReferencePicture<'a> {
    /// The codec, 0 to 127.
    pub payload_type: u8,
    /// The codec's bits.
    pub bit_string: &'a [u8],
    /// How many of the last byte's bits are not among them, 0 to 7.
    pub unused_bits: u8,
}

/// A request for a whole picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FullIntraRequest {
    /// Of which source.
    pub ssrc: u32,
    /// Tells a new request from a repeated one.
    pub sequence_number: u8,
}

/// How much a receiver can take, in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remb<'a> {
    /// The bitrate is the mantissa times 2 to the power of this, 0 to 63.
    pub exponent: u8,
    /// 18 bits.
    pub mantissa: u32,
    /// The sources that share it, 255 at the most.
    pub ssrcs: List<'a, u32>,
}

fixed_element!(
    Nack,
    "generic NACK",
    4,
    |bytes| Nack { sequence_number: u16_at(bytes, 0), following: u16_at(bytes, 2) },
    |_| Ok(()),
    |this| (u32::from(this.sequence_number) << 16 | u32::from(this.following)).to_be_bytes()
);

fixed_element!(
    BitrateLimit,
    "TMMBR entry",
    8,
    |bytes| BitrateLimit {
        ssrc: u32_at(bytes, 0),
        exponent: bytes[4] >> 2,
        mantissa: u32_at(bytes, 4) >> 9 & 0x1_ffff,
        overhead_bytes: u16_at(bytes, 6) & 0x1ff,
    },
    |this| in_range("TMMBR exponent", 0, 63, this.exponent.into())
        .and(in_range("TMMBR mantissa", 0, 0x1_ffff, this.mantissa.into()))
        .and(in_range("TMMBR overhead", 0, 0x1ff, this.overhead_bytes.into())),
    |this| {
        let limit = u32::from(this.exponent) << 26 | this.mantissa << 9 | u32::from(this.overhead_bytes);
        (u64::from(this.ssrc) << 32 | u64::from(limit)).to_be_bytes()
    }
);

fixed_element!(
    SliceLoss,
    "SLI entry",
    4,
    |bytes| {
        let word = u32::from_be_bytes(*bytes);
        // 13, 13 and 6 bits.
        SliceLoss { first: (word >> 19) as u16, count: (word >> 6 & 0x1fff) as u16, picture_id: (word & 0x3f) as u8 }
    },
    |this| in_range("first macroblock", 0, 0x1fff, this.first.into())
        .and(in_range("count of macroblocks", 0, 0x1fff, this.count.into()))
        .and(in_range("picture identifier", 0, 0x3f, this.picture_id.into())),
    |this| (u32::from(this.first) << 19 | u32::from(this.count) << 6 | u32::from(this.picture_id)).to_be_bytes()
);

fixed_element!(
    FullIntraRequest,
    "FIR entry",
    8,
    |bytes| FullIntraRequest { ssrc: u32_at(bytes, 0), sequence_number: bytes[4] },
    |_| Ok(()),
    |this| (u64::from(this.ssrc) << 32 | u64::from(this.sequence_number) << 24).to_be_bytes()
);

impl Nack {
    /// The packets, in their order.
    pub fn sequence_numbers(self) -> impl Iterator<Item = u16> {
        let following = (0..16).filter(move |bit| self.following >> bit & 1 == 1);
        std::iter::once(self.sequence_number).chain(following.map(move |bit| self.sequence_number.wrapping_add(bit + 1)))
    }

    /// Fills `nacks` with these packets, which come in their order, and says how many it filled and how many packets are in them:
    /// it ends where `nacks` does.
    pub fn pack(sequence_numbers: &[u16], nacks: &mut [Nack]) -> (usize, usize) {
        let (mut filled, mut packed) = (0usize, 0);
        for sequence_number in sequence_numbers {
            // 0 for the same packet once more, 1 to 16 for one that has a bit.
            let distance = filled.checked_sub(1).map(|last| sequence_number.wrapping_sub(nacks[last].sequence_number));
            match distance {
                Some(0) => {}
                Some(distance @ 1..=16) => nacks[filled - 1].following |= 1 << (distance - 1),
                _ if filled == nacks.len() => break,
                _ => {
                    nacks[filled] = Nack { sequence_number: *sequence_number, following: 0 };
                    filled += 1;
                }
            }
            packed += 1;
        }
        (filled, packed)
    }
}

impl BitrateLimit {
    /// The bitrate, in bits per second. 80 bits can be said.
    pub fn bitrate_bps(&self) -> u128 {
        // Six bits, as on the wire: what cannot be written is no overflow.
        u128::from(self.mantissa) << (self.exponent & 63)
    }
}

impl Remb<'_> {
    /// The bitrate, in bits per second. 81 bits can be said.
    pub fn bitrate_bps(&self) -> u128 {
        // Six bits, as on the wire: what cannot be written is no overflow.
        u128::from(self.mantissa) << (self.exponent & 63)
    }
}

const NACK: u8 = 1;
const TMMBR: u8 = 3;
const TMMBN: u8 = 4;
const TRANSPORT_WIDE: u8 = 15;
const PICTURE_LOSS: u8 = 1;
const SLICE_LOSS: u8 = 2;
const REFERENCE_PICTURE: u8 = 3;
const FULL_INTRA_REQUEST: u8 = 4;
const APPLICATION: u8 = 15;
const REMB_NAME: &[u8] = b"REMB";

impl<'a> TransportFeedback<'a> {
    pub(super) fn parse(format: u8, body: &'a [u8]) -> Result<Self, RtcpError> {
        let (ssrcs, fci) = split::<8>("transport feedback", body)?;
        let message = match format {
            NACK => TransportMessage::Nack(at_least_one("generic NACK", 4, fci)?),
            TMMBR => TransportMessage::Tmmbr(at_least_one("TMMBR entry", 8, fci)?),
            TMMBN => TransportMessage::Tmmbn(List::parse(fci)?),
            TRANSPORT_WIDE => TransportMessage::TransportWide(TransportWide::parse(fci)?),
            _ => {
                whole_words("transport feedback", fci)?;
                TransportMessage::Unknown { format, fci }
            }
        };
        Ok(TransportFeedback { sender_ssrc: u32_at(ssrcs, 0), media_ssrc: u32_at(ssrcs, 4), message })
    }

    pub(super) fn format(&self) -> Result<u8, RtcpError> {
        Ok(match &self.message {
            TransportMessage::Nack(_) => NACK,
            TransportMessage::Tmmbr(_) => TMMBR,
            TransportMessage::Tmmbn(_) => TMMBN,
            TransportMessage::TransportWide(_) => TRANSPORT_WIDE,
            TransportMessage::Unknown { format, .. } => {
                in_range("feedback format", 0, 31, (*format).into())?;
                not_known(
                    "format of unknown transport feedback",
                    matches!(*format, NACK | TMMBR | TMMBN | TRANSPORT_WIDE),
                    *format,
                )?;
                *format
            }
        })
    }

    pub(super) fn body_len(&self) -> Result<usize, RtcpError> {
        let fci_len = match &self.message {
            TransportMessage::Nack(list) => not_empty("generic NACK", 4, list.wire_len()?)?,
            TransportMessage::Tmmbr(list) => not_empty("TMMBR entry", 8, list.wire_len()?)?,
            TransportMessage::Tmmbn(list) => list.wire_len()?,
            TransportMessage::TransportWide(feedback) => feedback.wire_len()?,
            TransportMessage::Unknown { fci, .. } => {
                whole_words("transport feedback", fci)?;
                fci.len()
            }
        };
        Ok(8 + fci_len)
    }

    pub(super) fn write(&self, out: &mut Out<'_>) {
        out.put(&self.sender_ssrc.to_be_bytes());
        out.put(&self.media_ssrc.to_be_bytes());
        match &self.message {
            TransportMessage::Nack(list) => list.write(out),
            TransportMessage::Tmmbr(list) | TransportMessage::Tmmbn(list) => list.write(out),
            TransportMessage::TransportWide(feedback) => feedback.write(out),
            TransportMessage::Unknown { fci, .. } => out.put(fci),
        }
    }
}

impl<'a> PayloadFeedback<'a> {
    pub(super) fn parse(format: u8, body: &'a [u8]) -> Result<Self, RtcpError> {
        let (ssrcs, fci) = split::<8>("payload feedback", body)?;
        let message = match format {
            PICTURE_LOSS => {
                at_end("picture loss indication", fci)?;
                PayloadMessage::PictureLoss
            }
            SLICE_LOSS => PayloadMessage::SliceLoss(at_least_one("SLI entry", 4, fci)?),
            REFERENCE_PICTURE => PayloadMessage::ReferencePicture(ReferencePicture::parse(fci)?),
            FULL_INTRA_REQUEST => PayloadMessage::FullIntraRequest(at_least_one("FIR entry", 8, fci)?),
            APPLICATION if fci.starts_with(REMB_NAME) => PayloadMessage::Remb(Remb::parse(fci)?),
            _ => {
                whole_words("payload feedback", fci)?;
                if format == APPLICATION { PayloadMessage::Application(fci) } else { PayloadMessage::Unknown { format, fci } }
            }
        };
        Ok(PayloadFeedback { sender_ssrc: u32_at(ssrcs, 0), media_ssrc: u32_at(ssrcs, 4), message })
    }

    pub(super) fn format(&self) -> Result<u8, RtcpError> {
        Ok(match &self.message {
            PayloadMessage::PictureLoss => PICTURE_LOSS,
            PayloadMessage::SliceLoss(_) => SLICE_LOSS,
            PayloadMessage::ReferencePicture(_) => REFERENCE_PICTURE,
            PayloadMessage::FullIntraRequest(_) => FULL_INTRA_REQUEST,
            PayloadMessage::Remb(_) => APPLICATION,
            PayloadMessage::Application(fci) => {
                not_known("first byte of another application's feedback", fci.starts_with(REMB_NAME), REMB_NAME[0])?;
                APPLICATION
            }
            PayloadMessage::Unknown { format, .. } => {
                in_range("feedback format", 0, 31, (*format).into())?;
                not_known(
                    "format of unknown payload feedback",
                    matches!(*format, PICTURE_LOSS..=FULL_INTRA_REQUEST | APPLICATION),
                    *format,
                )?;
                *format
            }
        })
    }

    pub(super) fn body_len(&self) -> Result<usize, RtcpError> {
        let fci_len = match &self.message {
            PayloadMessage::PictureLoss => 0,
            PayloadMessage::SliceLoss(list) => not_empty("SLI entry", 4, list.wire_len()?)?,
            PayloadMessage::ReferencePicture(picture) => picture.fci_len()?,
            PayloadMessage::FullIntraRequest(list) => not_empty("FIR entry", 8, list.wire_len()?)?,
            PayloadMessage::Remb(remb) => remb.fci_len()?,
            PayloadMessage::Application(fci) | PayloadMessage::Unknown { fci, .. } => {
                whole_words("payload feedback", fci)?;
                fci.len()
            }
        };
        Ok(8 + fci_len)
    }

    pub(super) fn write(&self, out: &mut Out<'_>) {
        out.put(&self.sender_ssrc.to_be_bytes());
        out.put(&self.media_ssrc.to_be_bytes());
        match &self.message {
            PayloadMessage::PictureLoss => {}
            PayloadMessage::SliceLoss(list) => list.write(out),
            PayloadMessage::ReferencePicture(picture) => picture.write(out),
            PayloadMessage::FullIntraRequest(list) => list.write(out),
            PayloadMessage::Remb(remb) => remb.write(out),
            PayloadMessage::Application(fci) | PayloadMessage::Unknown { fci, .. } => out.put(fci),
        }
    }
}

impl<'a> ReferencePicture<'a> {
    fn parse(fci: &'a [u8]) -> Result<Self, RtcpError> {
        let ([padding_bits, payload_type], bits) = split("reference picture selection", fci)?;
        let unused = usize::from(*padding_bits);
        let Some(used_bits) = (8 * bits.len()).checked_sub(unused) else {
            let (expected, got) = (2 + unused.div_ceil(8), fci.len());
            return Err(RtcpError::Truncated { part: "reference picture selection", expected, got });
        };
        // Below 8.
        let unused_bits = (unused % 8) as u8;
        Ok(ReferencePicture { payload_type: payload_type & 0x7f, bit_string: &bits[..used_bits.div_ceil(8)], unused_bits })
    }

    fn fci_len(&self) -> Result<usize, RtcpError> {
        in_range("payload type", 0, 0x7f, self.payload_type.into())?;
        let unused_max = if self.bit_string.is_empty() { 0 } else { 7 };
        in_range("unused bits", 0, unused_max, self.unused_bits.into())?;
        Ok((2 + self.bit_string.len()).next_multiple_of(4))
    }

    fn write(&self, out: &mut Out<'_>) {
        let len = 2 + self.bit_string.len();
        // 31 at the most: three bytes and seven bits.
        let padding_bits = (8 * (len.next_multiple_of(4) - len)) as u8 + self.unused_bits;
        out.put(&[padding_bits, self.payload_type]);
        out.put(self.bit_string);
        out.put_to_word();
    }
}

impl<'a> Remb<'a> {
    fn parse(fci: &'a [u8]) -> Result<Self, RtcpError> {
        let (fixed, rest) = split::<8>("REMB", fci)?;
        let (ssrcs, rest) = List::parse_count(rest, fixed[4].into())?;
        at_end("after the REMB", rest)?;
        Ok(Remb { exponent: fixed[5] >> 2, mantissa: u32_at(fixed, 4) & 0x3_ffff, ssrcs })
    }

    fn fci_len(&self) -> Result<usize, RtcpError> {
        in_range("REMB exponent", 0, 63, self.exponent.into())?;
        in_range("REMB mantissa", 0, 0x3_ffff, self.mantissa.into())?;
        let got = self.ssrcs.count();
        if got > 255 {
            return Err(RtcpError::TooLong { part: "REMB sources", expected_max: 255, got });
        }
        Ok(8 + 4 * got)
    }

    fn write(&self, out: &mut Out<'_>) {
        out.put(REMB_NAME);
        let count = self.ssrcs.count() as u32;
        out.put(&(count << 24 | u32::from(self.exponent) << 18 | self.mantissa).to_be_bytes());
        self.ssrcs.write(out);
    }
}

fn at_least_one<'a, T: super::list::Element<'a>>(
    part: &'static str,
    len: usize,
    fci: &'a [u8],
) -> Result<List<'a, T>, RtcpError> {
    not_empty(part, len, fci.len())?;
    List::parse(fci)
}

fn not_empty(part: &'static str, expected: usize, got: usize) -> Result<usize, RtcpError> {
    if got < expected { Err(RtcpError::Truncated { part, expected, got }) } else { Ok(got) }
}
