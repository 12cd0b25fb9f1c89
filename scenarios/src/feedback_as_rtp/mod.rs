//! Feedback is taken for RTP, and an RTP packet without payload for nothing at all.
//!
//! Upstream: baresip, `modules/gzrtp`, `get_packet_type` and the helper that protects what it names; found beside #3408.
//!
//! RTP and RTCP share a port and are told apart by the second byte (RFC 5761). As it shipped, that byte without its highest bit is RTCP
//! from 72 to 76: SR, RR, SDES, BYE and APP. Transport feedback, payload feedback and extended reports are 77 to 79: they are
//! protected as RTP, with their second half in place of a payload and no SRTCP index, and the peer refuses them. And RTP is what is
//! longer than its header: a packet of exactly twelve bytes is neither, and leaves as it is.
//!
//! The failing cases: a second byte of 205; twelve bytes.
//!
//! The driver sends packets of every second byte and every small length. The property: each leaves protected as what it is, so that a
//! peer who follows the RFCs gets the same bytes, or is refused; a whole packet is not refused, and nothing leaves in clear.

mod historic;
mod production;

use crate::exhibit::{Exhibit, Expected, Subject};
use crate::inputs::below;
use sim::invariant;
use sim::verdict::Detector;
use stack::buffer::Mbuf;
use std::fmt::Display;

const RTP_HEADER_LEN: usize = 12;
const RTCP_HEADER_LEN: usize = 8;
/// Every length below this is tried.
const LENGTHS: usize = 22;
/// Where the enumeration begins, so that the first failure is a telling one: sender reports, and feedback soon after.
const FIRST_SECOND_BYTE: usize = 200;

/// The sender's side, and a peer who follows the RFCs: every version of the code.
trait Line {
    /// Why a packet was refused.
    type Refused: Display;
    /// One of the profiles and MKI lengths that this version has.
    fn any() -> Self;
    /// How many bytes are added to an RTP and to an RTCP packet.
    fn overheads(&self) -> (usize, usize);
    /// What is left in the buffer is sent, unless it is refused.
    fn protect(&mut self, packet: &mut Mbuf) -> Result<(), Self::Refused>;
    fn peer_takes_rtp(&mut self, packet: &mut Mbuf) -> Result<(), Self::Refused>;
    fn peer_takes_rtcp(&mut self, packet: &mut Mbuf) -> Result<(), Self::Refused>;
}

/// What a second byte says that a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Rtp,
    Rtcp,
    /// A payload type that RFC 5761 forbids where RTCP shares the port: either will do.
    Either,
}

impl Kind {
    fn of(second_byte: u8) -> Self {
        match second_byte {
            192..=223 => Kind::Rtcp,
            64..=95 => Kind::Either,
            _ => Kind::Rtp,
        }
    }

    /// A shorter packet is none.
    fn len_min(self) -> usize {
        if self == Kind::Rtcp { RTCP_HEADER_LEN } else { RTP_HEADER_LEN }
    }
}

/// The driver: one packet.
fn drive<T: Line>() {
    let mut line = T::any();
    let second_byte = (FIRST_SECOND_BYTE + below(256)) as u8;
    // From the shortest RTP packet up, and then what is shorter.
    let len = (RTP_HEADER_LEN + below(LENGTHS)) % LENGTHS;
    let plain: Vec<u8> = [0x80, second_byte].into_iter().chain((2..32).map(|at| at * 5)).take(len).collect();
    let kind = Kind::of(second_byte);
    let mut packet = Mbuf::copy_of(&plain, 0, 0);
    if let Err(why) = line.protect(&mut packet) {
        invariant!(len < kind.len_min(), "a whole packet, {len} bytes with second byte {second_byte}, is refused: {why}");
        invariant!(packet.bytes() == plain, "a refused packet of {len} bytes is not as it was");
        return;
    }
    invariant!(packet.bytes() != plain, "{len} bytes with second byte {second_byte} leave in clear");
    let (rtp, rtcp) = line.overheads();
    let added = packet.left() - len;
    let is_rtcp = kind == Kind::Rtcp || kind == Kind::Either && added == rtcp;
    let expected = if is_rtcp { rtcp } else { rtp };
    invariant!(added == expected, "second byte {second_byte} is {kind:?}, and has {added} bytes added instead of {expected}");
    let taken = if is_rtcp { line.peer_takes_rtcp(&mut packet) } else { line.peer_takes_rtp(&mut packet) };
    if let Err(why) = taken {
        sim::violated(format!("the peer refuses {len} bytes with second byte {second_byte}, which are {kind:?}: {why}"));
    }
    invariant!(packet.bytes() == plain, "the peer gets {:02x?} instead of {plain:02x?}", packet.bytes());
}

/// The exhibit.
pub fn exhibit() -> Exhibit {
    use historic::{Historic, MENDED, TWELVE_BYTES, TYPES};
    fn types() {
        drive::<Historic<TYPES>>();
    }
    fn twelve_bytes() {
        drive::<Historic<TWELVE_BYTES>>();
    }
    fn twin() {
        drive::<Historic<MENDED>>();
    }
    fn stack() {
        drive::<production::Production>();
    }
    let caught = Expected::Caught(Detector::Invariant);
    Exhibit {
        name: "feedback-as-rtp",
        story: "feedback is protected as RTP, and twelve bytes of RTP are not protected at all (baresip gzrtp)",
        subjects: vec![
            Subject::of_inputs("shipped-types", "RTCP is 72 to 76, and feedback is 77 and 78", caught, types),
            Subject::of_inputs("shipped-types-twin", "RTCP is all that RFC 5761 keeps for it", Expected::Clean, twin),
            Subject::of_inputs("shipped-twelve-bytes", "RTP is longer than its header, or it is nothing", caught, twelve_bytes),
            Subject::of_inputs("shipped-twelve-bytes-twin", "RTP is as long as its header, or longer", Expected::Clean, twin),
            Subject::of_inputs("stack", "our SRTP: every second byte and small length, every profile", Expected::Clean, stack),
        ],
    }
}
