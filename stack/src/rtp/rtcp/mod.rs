//! RTCP: compound packets and what is in them (RFC 3550 section 6, RFC 4585, RFC 5104, RFC 3611, transport-wide feedback, REMB).
//!
//! [`Compound::parse`] checks everything in a datagram at once and refuses it as a whole; what it returns is read by iterators
//! that find no error, borrow the datagram and copy nothing. The same types are written: a [`List`] is either a part of a
//! received packet or a slice of the caller's. [`wire_len`] says how much room [`write()`] will need.

mod error;
pub mod extended;
pub mod feedback;
mod list;
pub mod properties;
pub mod report;
pub mod source;
mod transport_wide;

pub use error::{RtcpCounters, RtcpError};
pub use extended::ExtendedReport;
pub use feedback::{PayloadFeedback, PayloadMessage, TransportFeedback, TransportMessage};
pub use list::{Element, List, Out};
pub use report::{ReceiverReport, ReportBlock, SenderInfo, SenderReport};
pub use source::{App, Bye, SourceDescription};
pub use transport_wide::{Arrival, TransportWide};

use list::{in_range, not_known, split, whole_words};

/// The longest datagram that is taken or written, in bytes: more than UDP carries.
pub const COMPOUND_LEN_MAX: usize = 65_535;

/// One packet of a compound packet, received or to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Packet<'a> {
    /// SR, type 200.
    SenderReport(SenderReport<'a>),
    /// RR, type 201.
    ReceiverReport(ReceiverReport<'a>),
    /// SDES, type 202.
    SourceDescription(SourceDescription<'a>),
    /// BYE, type 203.
    Bye(Bye<'a>),
    /// APP, type 204.
    App(App<'a>),
    /// RTPFB, type 205.
    TransportFeedback(TransportFeedback<'a>),
    /// PSFB, type 206.
    PayloadFeedback(PayloadFeedback<'a>),
    /// XR, type 207.
    ExtendedReport(ExtendedReport<'a>),
    /// Another packet, which is to be ignored.
    Unknown {
        /// Its type, none of 200 to 207.
        packet_type: u8,
        /// The five bits that count things in other packets.
        count: u8,
        /// What follows the common header, without padding: whole words.
        body: &'a [u8],
    },
}

/// Which datagrams are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rules {
    /// Those that begin with a sender or receiver report (RFC 3550 section 6.1).
    #[default]
    Compound,
    /// Any packets, where signalling has allowed that (RFC 5506).
    ReducedSize,
}

/// A datagram of RTCP packets, all of them checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compound<'a> {
    bytes: &'a [u8],
}

impl<'a> Compound<'a> {
    /// Parses all of the datagram `bytes`, decrypted, against the rules of RFC 3550 sections 6.1 and A.2.
    ///
    /// # Errors
    /// [`RtcpError`].
    pub fn parse(bytes: &'a [u8], rules: Rules) -> Result<Self, RtcpError> {
        if bytes.len() > COMPOUND_LEN_MAX {
            return Err(RtcpError::TooLong { part: "compound packet", expected_max: COMPOUND_LEN_MAX, got: bytes.len() });
        }
        let mut at = 0;
        // An empty datagram is not even one packet.
        while at < bytes.len() || at == 0 {
            let (common, len) = frame(&bytes[at..])?;
            if at == 0 && rules == Rules::Compound && !matches!(common.packet_type, SENDER_REPORT | RECEIVER_REPORT) {
                return Err(RtcpError::FirstPacket { got: common.packet_type });
            }
            at += len;
            if common.padded && at < bytes.len() {
                return Err(RtcpError::PaddingNotLast { expected: bytes.len(), got: at });
            }
            parse_body(&common)?;
        }
        Ok(Compound { bytes })
    }

    /// [`Compound::parse`], which also counts what it takes or refuses.
    ///
    /// # Errors
    /// [`RtcpError`].
    pub fn parse_counted(bytes: &'a [u8], rules: Rules, counters: &mut RtcpCounters) -> Result<Self, RtcpError> {
        let compound = Self::parse(bytes, rules).inspect_err(|error| counters.refuse(error))?;
        counters.compounds += 1;
        for packet in compound.packets() {
            counters.packets += 1;
            counters.unknown += u64::from(matches!(packet, Packet::Unknown { .. }));
        }
        Ok(compound)
    }

    /// The packets, in their order.
    pub fn packets(&self) -> impl Iterator<Item = Packet<'a>> + use<'a> {
        let mut rest = self.bytes;
        std::iter::from_fn(move || {
            // All of it has been parsed before, so an error is only the end.
            let (common, len) = frame(rest).ok()?;
            rest = &rest[len..];
            parse_body(&common).ok()
        })
    }
}

/// How many bytes these packets take as one datagram.
///
/// # Errors
/// [`RtcpError`], if a packet has a value that cannot be written, or the rules forbid to send these packets so.
pub fn wire_len(packets: &[Packet<'_>], rules: Rules) -> Result<usize, RtcpError> {
    let mut len = 0;
    for (index, packet) in packets.iter().enumerate() {
        let (packet_type, _) = packet.type_and_count()?;
        if index == 0 && rules == Rules::Compound && !matches!(packet_type, SENDER_REPORT | RECEIVER_REPORT) {
            return Err(RtcpError::FirstPacket { got: packet_type });
        }
        len += 4 + packet.body_len()?;
    }
    if len > COMPOUND_LEN_MAX {
        return Err(RtcpError::TooLong { part: "compound packet", expected_max: COMPOUND_LEN_MAX, got: len });
    }
    if len == 0 {
        return Err(RtcpError::Truncated { part: "compound packet", expected: 4, got: 0 });
    }
    Ok(len)
}

/// Writes these packets to the start of `room`, as one datagram without padding, and returns its length. After an error, `room`
/// is as it was. Nothing is allocated.
///
/// # Errors
/// Those of [`wire_len`], and [`RtcpError::Room`].
pub fn write(packets: &[Packet<'_>], rules: Rules, room: &mut [u8]) -> Result<usize, RtcpError> {
    let expected = wire_len(packets, rules)?;
    let got = room.len();
    let Some(room) = room.get_mut(..expected) else { return Err(RtcpError::Room { expected, got }) };
    let mut out = Out::new(room);
    for packet in packets {
        let (packet_type, count) = packet.type_and_count()?;
        // The datagram has fewer bytes than 16 bits can count words.
        let words = (packet.body_len()? / 4) as u16;
        out.put(&[0x80 | count, packet_type]);
        out.put(&words.to_be_bytes());
        packet.write(&mut out);
    }
    debug_assert_eq!(out.written_len(), expected, "what is written is what was measured");
    Ok(expected)
}

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const BYE: u8 = 203;
const APP: u8 = 204;
const TRANSPORT_FEEDBACK: u8 = 205;
const PAYLOAD_FEEDBACK: u8 = 206;
const EXTENDED_REPORT: u8 = 207;

/// What all packets begin with, and what is between that and the padding.
struct Common<'a> {
    count: u8,
    packet_type: u8,
    padded: bool,
    body: &'a [u8],
}

/// The packet at the start of `bytes`, and how many bytes it takes.
fn frame(bytes: &[u8]) -> Result<(Common<'_>, usize), RtcpError> {
    let (&[first, packet_type, high, low], _) = split("RTCP header", bytes)?;
    if first >> 6 != 2 {
        return Err(RtcpError::Version { got: first >> 6 });
    }
    let len = 4 + 4 * usize::from(u16::from_be_bytes([high, low]));
    let Some(packet) = bytes.get(..len) else {
        return Err(RtcpError::Truncated { part: "RTCP packet", expected: len, got: bytes.len() });
    };
    let (mut body, padded) = (&packet[4..], first & 0x20 != 0);
    if padded {
        // Not always whole words: senders of transport-wide feedback fill the last word with it.
        let got = body.last().copied().unwrap_or(0);
        let kept = body.len().checked_sub(got.into()).filter(|_| got > 0);
        body = &body[..kept.ok_or(RtcpError::Padding { expected_max: body.len(), got })?];
    }
    Ok((Common { count: first & 0x1f, packet_type, padded, body }, len))
}

fn parse_body<'a>(common: &Common<'a>) -> Result<Packet<'a>, RtcpError> {
    let Common { count, packet_type, body, .. } = *common;
    Ok(match packet_type {
        SENDER_REPORT => Packet::SenderReport(SenderReport::parse(count.into(), body)?),
        RECEIVER_REPORT => Packet::ReceiverReport(ReceiverReport::parse(count.into(), body)?),
        SOURCE_DESCRIPTION => Packet::SourceDescription(SourceDescription::parse(count.into(), body)?),
        BYE => Packet::Bye(Bye::parse(count.into(), body)?),
        APP => Packet::App(App::parse(count.into(), body)?),
        TRANSPORT_FEEDBACK => Packet::TransportFeedback(TransportFeedback::parse(count, body)?),
        PAYLOAD_FEEDBACK => Packet::PayloadFeedback(PayloadFeedback::parse(count, body)?),
        EXTENDED_REPORT => Packet::ExtendedReport(ExtendedReport::parse(body)?),
        _ => {
            whole_words("RTCP packet", body)?;
            Packet::Unknown { packet_type, count, body }
        }
    })
}

impl Packet<'_> {
    fn type_and_count(&self) -> Result<(u8, u8), RtcpError> {
        Ok(match self {
            Packet::SenderReport(report) => (SENDER_REPORT, list_count("report blocks", report.blocks.count())?),
            Packet::ReceiverReport(report) => (RECEIVER_REPORT, list_count("report blocks", report.blocks.count())?),
            Packet::SourceDescription(description) => {
                (SOURCE_DESCRIPTION, list_count("SDES chunks", description.chunks.count())?)
            }
            Packet::Bye(bye) => (BYE, list_count("BYE sources", bye.ssrcs.count())?),
            Packet::App(app) => {
                in_range("APP subtype", 0, 31, app.subtype.into())?;
                (APP, app.subtype)
            }
            Packet::TransportFeedback(feedback) => (TRANSPORT_FEEDBACK, feedback.format()?),
            Packet::PayloadFeedback(feedback) => (PAYLOAD_FEEDBACK, feedback.format()?),
            Packet::ExtendedReport(_) => (EXTENDED_REPORT, 0),
            Packet::Unknown { packet_type, count, .. } => {
                in_range("count", 0, 31, (*count).into())?;
                not_known("type of an unknown packet", (SENDER_REPORT..=EXTENDED_REPORT).contains(packet_type), *packet_type)?;
                (*packet_type, *count)
            }
        })
    }

    fn body_len(&self) -> Result<usize, RtcpError> {
        match self {
            Packet::SenderReport(report) => report.body_len(),
            Packet::ReceiverReport(report) => report.body_len(),
            Packet::SourceDescription(description) => description.chunks.wire_len(),
            Packet::Bye(bye) => bye.body_len(),
            Packet::App(app) => app.body_len(),
            Packet::TransportFeedback(feedback) => feedback.body_len(),
            Packet::PayloadFeedback(feedback) => feedback.body_len(),
            Packet::ExtendedReport(report) => report.body_len(),
            Packet::Unknown { body, .. } => whole_words("RTCP packet", body).map(|()| body.len()),
        }
    }

    fn write(&self, out: &mut Out<'_>) {
        match self {
            Packet::SenderReport(report) => report.write(out),
            Packet::ReceiverReport(report) => report.write(out),
            Packet::SourceDescription(description) => description.chunks.write(out),
            Packet::Bye(bye) => bye.write(out),
            Packet::App(app) => app.write(out),
            Packet::TransportFeedback(feedback) => feedback.write(out),
            Packet::PayloadFeedback(feedback) => feedback.write(out),
            Packet::ExtendedReport(report) => report.write(out),
            Packet::Unknown { body, .. } => out.put(body),
        }
    }
}

/// That five bits can count them.
fn list_count(part: &'static str, got: usize) -> Result<u8, RtcpError> {
    match u8::try_from(got) {
        Ok(count @ 0..=31) => Ok(count),
        _ => Err(RtcpError::TooLong { part, expected_max: 31, got }),
    }
}

#[cfg(test)]
mod tests;
