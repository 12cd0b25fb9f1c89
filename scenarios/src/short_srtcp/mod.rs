//! An SRTCP packet of eight bytes has a payload of negative length.
//!
//! Upstream: baresip, `modules/gzrtp/srtp.cpp`, `unprotectCtrl`; found beside #3408.
//!
//! What is encrypted of an SRTCP packet lies between its header and what protection adds: an index of four bytes, the MKI and the tag.
//! As it shipped, the length of that part is what is left when the others are subtracted, and nothing looks whether they are there:
//! an RTCP header, eight bytes that anyone can send, is enough. With a tag of ten bytes -14 are left, which become an unsigned length.
//!
//! The failing case: eight bytes.
//!
//! The driver gives a receiver packets of every length up to the first that could be a whole one, between two reports that are
//! authentic. The property: each is refused with what was expected and what came, and the second report is still taken.

mod historic;
mod production;

use crate::exhibit::{Exhibit, Expected, Subject};
use crate::inputs::{below, one_of};
use sim::invariant;
use sim::verdict::Detector;
use stack::buffer::Mbuf;

const HEADER_LEN: usize = 8;
/// Past the shortest packet that could be a whole one, so many lengths more.
const LENGTHS_PAST: usize = 4;
/// Every length below this is tried, however short a whole packet is.
const LENGTHS_MIN: usize = 41;

/// A receiver of SRTCP, and a sender whose packets it takes: every version of the code.
trait Stream {
    /// One of the profiles and MKI lengths that this version has.
    fn any() -> Self;
    /// How many bytes are added to a report.
    fn overhead(&self) -> usize;
    fn protect(&mut self, report: &mut Mbuf);
    fn unprotect(&mut self, packet: &mut Mbuf) -> Answer;
    /// How many packets were taken.
    fn taken(&self) -> u64;
}

/// What a receiver says of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Taken,
    TooShort {
        expected: usize,
        got: usize,
    },
    /// For another reason.
    Refused,
}

/// What the short packet is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bytes {
    /// The beginning of an authentic packet.
    CutOff,
    /// A header, and ones after it: the index says that it is encrypted.
    Ones,
    /// A header, and zeros after it.
    Zeros,
}

impl Bytes {
    const ALL: [Bytes; 3] = [Bytes::CutOff, Bytes::Ones, Bytes::Zeros];
}

fn report() -> Vec<u8> {
    let mut report = vec![0x80, 201, 0, 1, 0, 0, 0, 7];
    // An APP packet, so that there is something to cut off.
    report.extend([0x80, 204, 0, 11, 0, 0, 0, 7]);
    report.extend([b'a'; 40]);
    report
}

/// The driver: a short packet between two reports.
fn drive<T: Stream>() {
    let mut stream = T::any();
    let shortest = HEADER_LEN + stream.overhead();
    take_report(&mut stream);
    let mut authentic = Mbuf::copy_of(&report(), 0, 0);
    stream.protect(&mut authentic);
    let (bytes, len) = (one_of(&Bytes::ALL), below(LENGTHS_MIN.max(shortest + LENGTHS_PAST)));
    let made = match bytes {
        Bytes::CutOff => authentic.bytes()[..len.min(authentic.left() - 1)].to_vec(),
        Bytes::Ones => [&report()[..HEADER_LEN], &[0xff; 160]].concat()[..len].to_vec(),
        Bytes::Zeros => [&report()[..HEADER_LEN], &[0; 160]].concat()[..len].to_vec(),
    };
    let before = stream.taken();
    let mut packet = Mbuf::copy_of(&made, 0, 0);
    let answer = stream.unprotect(&mut packet);
    let got = made.len();
    let wanted = if got < shortest { Answer::TooShort { expected: shortest, got } } else { Answer::Refused };
    invariant!(answer == wanted, "{got} bytes ({bytes:?}) are {answer:?} instead of {wanted:?}");
    invariant!(packet.left() == got && stream.taken() == before, "{got} bytes ({bytes:?}) were refused, and moved something");
    let taken = stream.unprotect(&mut authentic);
    invariant!(taken == Answer::Taken, "after {got} bytes ({bytes:?}) an authentic report is {taken:?}");
    take_report(&mut stream);
}

fn take_report<T: Stream>(stream: &mut T) {
    let mut packet = Mbuf::copy_of(&report(), 0, 0);
    stream.protect(&mut packet);
    let answer = stream.unprotect(&mut packet);
    invariant!(answer == Answer::Taken && packet.bytes() == report(), "an authentic report is {answer:?}");
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
        name: "short-srtcp",
        story: "an SRTCP packet of eight bytes has a payload of negative length (baresip gzrtp)",
        subjects: vec![
            Subject::of_inputs("shipped", "lengths are subtracted and not looked at", Expected::Caught(Detector::Panic), shipped),
            Subject::of_inputs("shipped-twin", "the length is looked at first", Expected::Clean, twin),
            Subject::of_inputs("stack", "our SRTCP: every length under every profile and MKI", Expected::Clean, stack),
        ],
    }
}
