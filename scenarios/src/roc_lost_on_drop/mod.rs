//! The packet that would advance the rollover counter is dropped, and the two sides never agree again.
//!
//! Upstream: baresip, `modules/gzrtp/srtp.cpp`, `Srtp::protect_int`; found beside #3408.
//!
//! An SRTP packet carries 16 bits of its index; the rest, the rollover counter, each side counts for itself. As it shipped, the sender
//! advances its counter when sequence number 65535 passes through its protection. The buffer of that packet may have no room for the
//! tag: it is refused, and with it the rollover. The receiver sees sequence numbers begin anew and advances; from there on it wants
//! tags under another counter than the sender's, and refuses every packet.
//!
//! The failing case: 65535 finds no room, and 0 is sent.
//!
//! The driver sends a few packets around the rollover, of which some find no room, once or for good, or are dropped before they are
//! protected. The property: what was sent is what the receiver gets, a refused packet is as it was, and both sides have one counter.

mod historic;
mod production;

use crate::exhibit::{Exhibit, Expected, Subject};
use crate::inputs::{below, one_of};
use sim::invariant;
use sim::verdict::Detector;
use stack::buffer::Mbuf;
use std::fmt::Display;

const SSRC: u32 = 0x0a0b_0c0d;
const HEADER_LEN: usize = 12;
/// How many packets may fail.
const DOUBTFUL_PACKETS: u16 = 5;
/// How many follow that do not.
const SURE_PACKETS: u16 = 2;

/// The sender and the receiver of a stream: every version of the code.
trait Stream {
    /// Why a packet was refused.
    type Refused: Display;
    /// One of the profiles that this version has.
    fn any() -> Self;
    /// How many bytes are added to a packet.
    fn overhead(&self) -> usize;
    fn protect(&mut self, packet: &mut Mbuf) -> Result<(), Self::Refused>;
    fn unprotect(&mut self, packet: &mut Mbuf) -> Result<(), Self::Refused>;
    /// What sender and receiver hold the rollover counter for.
    fn rocs(&self) -> (u32, u32);
}

/// What becomes of a packet before it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Sent,
    /// Its buffer lacks one byte of what is added: the caller drops it.
    NoRoom,
    /// Its buffer is full: the caller protects it again in a larger one.
    NoRoomAtFirst,
    /// It never comes so far.
    DroppedBefore,
}

impl Fate {
    const ALL: [Fate; 4] = [Fate::Sent, Fate::NoRoom, Fate::NoRoomAtFirst, Fate::DroppedBefore];
}

fn packet(sequence_number: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 96];
    packet.extend(sequence_number.to_be_bytes());
    packet.extend([0; 4]);
    packet.extend(SSRC.to_be_bytes());
    packet.extend([sequence_number as u8; 20]);
    packet
}

/// The driver: a few packets around a rollover.
fn drive<T: Stream>() {
    let mut stream = T::any();
    // So that 65535 is the packet before the first, one of the doubtful ones, or the one after them.
    let first = 0_u16.wrapping_sub(below(usize::from(DOUBTFUL_PACKETS) + 1) as u16);
    for number in 0..DOUBTFUL_PACKETS {
        send(&mut stream, first.wrapping_add(number), one_of(&Fate::ALL));
    }
    for number in DOUBTFUL_PACKETS..DOUBTFUL_PACKETS + SURE_PACKETS {
        send(&mut stream, first.wrapping_add(number), Fate::Sent);
    }
    let (sent, received) = stream.rocs();
    invariant!(sent == received, "the sender's rollover counter is {sent}, the receiver's {received}");
}

fn send<T: Stream>(stream: &mut T, sequence_number: u16, fate: Fate) {
    let plain = packet(sequence_number);
    if fate == Fate::DroppedBefore {
        return;
    }
    if matches!(fate, Fate::NoRoom | Fate::NoRoomAtFirst) {
        let room = if fate == Fate::NoRoom { stream.overhead() - 1 } else { 0 };
        let mut tight = Mbuf::copy_of(&plain, 0, 0).limited_to(plain.len() + room);
        let refused = stream.protect(&mut tight).is_err();
        invariant!(refused && tight.bytes() == plain, "packet {sequence_number} has no room: refused {refused}, and as it was");
        if fate == Fate::NoRoom {
            return;
        }
    }
    let mut packet = Mbuf::copy_of(&plain, 0, 0);
    if let Err(why) = stream.protect(&mut packet) {
        sim::violated(format!("packet {sequence_number} is not protected: {why}"));
    }
    invariant!(packet.bytes()[HEADER_LEN..plain.len()] != plain[HEADER_LEN..], "packet {sequence_number} leaves in clear");
    if let Err(why) = stream.unprotect(&mut packet) {
        let (sent, received) = stream.rocs();
        sim::violated(format!("packet {sequence_number} was sent under counter {sent}; the receiver, at {received}: {why}"));
    }
    invariant!(packet.bytes() == plain, "packet {sequence_number} is not what was sent");
}

/// The exhibit.
pub fn exhibit() -> Exhibit {
    fn shipped() {
        drive::<historic::Historic<false>>();
    }
    fn twin() {
        drive::<historic::Historic<true>>();
    }
    fn stack() {
        drive::<production::Production>();
    }
    Exhibit {
        name: "roc-lost-on-drop",
        story: "packet 65535 finds no room, and the rollover is lost with it (baresip gzrtp)",
        subjects: vec![
            Subject::of_inputs(
                "shipped",
                "the counter advances when 65535 has been protected",
                Expected::Caught(Detector::Invariant),
                shipped,
            ),
            Subject::of_inputs("shipped-twin", "it advances when sequence numbers begin anew", Expected::Clean, twin),
            Subject::of_inputs("stack", "our SRTP: every fate of every packet around a rollover", Expected::Clean, stack),
        ],
    }
}
