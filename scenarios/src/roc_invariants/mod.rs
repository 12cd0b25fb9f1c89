//! The two sides of a stream come to hold its rollover counter for different numbers.
//!
//! Upstream: four stacks, a defect each.
//! - pion/srtp b26587a: the receiver moves its counter by a packet's word, before it has looked at the tag. Anyone moves it.
//! - libre PR 6, and re since: sending 65535, 0, 1, 65534, 2, the late 65534 becomes the newest; 2 then looks like a second rollover.
//! - libsrtp #558 (403cbc6, 54d1d7a): signalling tells the counter of the next packet. With AES-GCM that is never forgotten, and past the
//!   next rollover it is wrong.
//! - libsrtp d7ed43a: the MKI of SRTCP is looked for before a tag of SRTP's length. Where RTP has a shorter tag than RTCP, no report is
//!   taken.
//!
//! The driver sends some packets around a rollover, one of them late, and a report; on the way packets are lost, overtaken, doubled, or
//! preceded by forgeries, and the counter may have been announced. It knows the index of each. The property: the receiver takes what
//! is authentic, once, and refuses the rest; its counter is that of the highest packet that it took, and the sender's that of the highest
//! that it sent.

mod historic;
mod production;

use crate::exhibit::{Exhibit, Expected, Subject};
use crate::inputs::{below, one_of};
use sim::invariant;
use sim::verdict::Detector;
use stack::buffer::Mbuf;
use std::fmt::Display;

const SSRC: u32 = 0x600d_f00d;
/// After the first, which the two sides find each other by.
const PACKETS: usize = 5;
/// How many of them may fare badly in one run.
const MISHAPS_MAX: usize = 2;
/// Which packet is sent late, and behind how many others.
const LATE: [Option<(usize, usize)>; 10] = [
    None,
    Some((0, 3)),
    Some((0, 2)),
    Some((0, 1)),
    Some((1, 3)),
    Some((1, 2)),
    Some((1, 1)),
    Some((2, 2)),
    Some((2, 1)),
    Some((3, 1)),
];

/// A sender and a receiver: every version of the code.
trait Stream {
    /// Why a packet was refused.
    type Refused: Display;
    /// One of the profiles and MKI lengths that this version has.
    fn any() -> Self;
    /// The next packet has this rollover counter: the sender goes on from elsewhere, and signalling tells the receiver.
    fn announce(&mut self, roc: u32);
    fn protect(&mut self, packet: &mut Mbuf) -> Result<(), Self::Refused>;
    fn unprotect(&mut self, packet: &mut Mbuf) -> Result<(), Self::Refused>;
    fn protect_report(&mut self, report: &mut Mbuf) -> Result<(), Self::Refused>;
    fn unprotect_report(&mut self, report: &mut Mbuf) -> Result<(), Self::Refused>;
    /// What sender and receiver hold the rollover counter for.
    fn rocs(&self) -> (u32, u32);
}

/// What becomes of a packet on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Arrives,
    Lost,
    /// Its own bytes with a bit flipped come before it.
    AfterForgery,
    /// A forgery with a sequence number far ahead comes before it.
    AfterForgeryAhead,
    Twice,
    /// The next one comes before it.
    Overtaken,
}

impl Fate {
    const ALL: [Fate; 6] = [Fate::Arrives, Fate::Lost, Fate::AfterForgery, Fate::AfterForgeryAhead, Fate::Twice, Fate::Overtaken];
}

/// What comes at the receiver.
struct Arrival {
    /// Of the packet, by the driver's book.
    index: u64,
    bytes: Vec<u8>,
    is_forged: bool,
}

fn packet(index: u64) -> Vec<u8> {
    let mut packet = vec![0x80, 96];
    packet.extend((index as u16).to_be_bytes());
    packet.extend([0; 4]);
    packet.extend(SSRC.to_be_bytes());
    packet.extend([index as u8; 16]);
    packet
}

fn report() -> Vec<u8> {
    let mut report = vec![0x80, 200, 0, 6];
    report.extend(SSRC.to_be_bytes());
    report.extend([5; 20]);
    report
}

/// The driver.
fn drive<T: Stream>() {
    let mut stream = T::any();
    let roc = one_of(&[0, 3]);
    if roc != 0 {
        stream.announce(roc);
    }
    let first = u64::from(roc) << 16 | (65_533 + below(3)) as u64;
    let (mut sent, mut taken) = (Sent { highest: first }, Taken { indices: Vec::new() });
    let bytes = sent.send(&mut stream, first);
    taken.arrive(&mut stream, &Arrival { index: first, bytes, is_forged: false });

    let mut indices: Vec<u64> = (1..=PACKETS as u64).map(|after| first + after).collect();
    if let Some((late, behind)) = one_of(&LATE) {
        indices[late..=late + behind].rotate_left(1);
    }
    let mut mishaps = 0;
    let mut groups: Vec<(Fate, Vec<Arrival>)> = Vec::new();
    for index in indices {
        let bytes = sent.send(&mut stream, index);
        let fate = if mishaps < MISHAPS_MAX { one_of(&Fate::ALL) } else { Fate::Arrives };
        mishaps += usize::from(fate != Fate::Arrives);
        groups.push((fate, arrivals(fate, index, bytes)));
    }
    for at in 1..groups.len() {
        if groups[at - 1].0 == Fate::Overtaken {
            groups.swap(at - 1, at);
            // It is overtaken once.
            groups[at].0 = Fate::Arrives;
        }
    }
    for arrival in groups.iter().flat_map(|(_, arrivals)| arrivals) {
        taken.arrive(&mut stream, arrival);
    }
    exchange_report(&mut stream);
    let (_, received) = stream.rocs();
    invariant!(received == taken.roc(), "a report moves the receiver's counter to {received}");
}

fn arrivals(fate: Fate, index: u64, bytes: Vec<u8>) -> Vec<Arrival> {
    let authentic = Arrival { index, bytes: bytes.clone(), is_forged: false };
    let forged = |change: fn(&mut [u8])| {
        let mut forged = bytes.clone();
        change(&mut forged);
        Arrival { index, bytes: forged, is_forged: true }
    };
    match fate {
        Fate::Lost => vec![],
        Fate::Arrives | Fate::Overtaken => vec![authentic],
        Fate::AfterForgery => vec![forged(|bytes| bytes[15] ^= 1), authentic],
        // Three eighths of all sequence numbers ahead: a rollover, to who believes it.
        Fate::AfterForgeryAhead => vec![forged(|bytes| bytes[2] = bytes[2].wrapping_add(0x60)), authentic],
        Fate::Twice => vec![authentic, forged(|_| ())],
    }
}

/// What the sender sent, by the driver's book.
struct Sent {
    highest: u64,
}

impl Sent {
    fn send<T: Stream>(&mut self, stream: &mut T, index: u64) -> Vec<u8> {
        let plain = packet(index);
        let mut packet = Mbuf::copy_of(&plain, 0, 0);
        if let Err(why) = stream.protect(&mut packet) {
            sim::violated(format!("packet {index:#x} is not protected: {why}"));
        }
        self.highest = self.highest.max(index);
        let (roc, expected) = (stream.rocs().0, (self.highest >> 16) as u32);
        invariant!(roc == expected, "having sent packet {index:#x}, the sender's counter is {roc} instead of {expected}");
        packet.bytes().to_vec()
    }
}

/// What the receiver took, by the driver's book.
struct Taken {
    indices: Vec<u64>,
}

impl Taken {
    fn roc(&self) -> u32 {
        (self.indices.iter().max().copied().unwrap_or(0) >> 16) as u32
    }

    fn arrive<T: Stream>(&mut self, stream: &mut T, arrival: &Arrival) {
        let Arrival { index, bytes, is_forged } = arrival;
        let mut packet = Mbuf::copy_of(bytes, 0, 0);
        match (stream.unprotect(&mut packet), is_forged) {
            (Ok(()), false) => {
                invariant!(packet.bytes() == self::packet(*index), "packet {index:#x} is not what was sent");
                self.indices.push(*index);
            }
            (Err(_), true) => {}
            (Ok(()), true) => sim::violated(format!("a forgery or a second packet {index:#x} is taken")),
            (Err(why), false) => sim::violated(format!("packet {index:#x} is authentic, and refused: {why}")),
        }
        let (roc, expected) = (stream.rocs().1, self.roc());
        let what = if *is_forged { "a forged" } else { "an authentic" };
        invariant!(roc == expected, "after {what} packet {index:#x} the receiver's counter is {roc} instead of {expected}");
    }
}

fn exchange_report<T: Stream>(stream: &mut T) {
    let mut sent = Mbuf::copy_of(&report(), 0, 0);
    if let Err(why) = stream.protect_report(&mut sent) {
        sim::violated(format!("a report is not protected: {why}"));
    }
    let mut forged = Mbuf::copy_of(sent.bytes(), 0, 0);
    forged.bytes_mut()[9] ^= 1;
    invariant!(stream.unprotect_report(&mut forged).is_err(), "a forged report is taken");
    if let Err(why) = stream.unprotect_report(&mut sent) {
        sim::violated(format!("a report is authentic, and refused: {why}"));
    }
    invariant!(sent.bytes() == report(), "a report is not what was sent");
}

/// The exhibit.
pub fn exhibit() -> Exhibit {
    use historic::{GCM_PENDING, Historic, LATE_IS_NEWEST, MENDED, MKI_BY_RTP_TAG, ROC_BEFORE_TAG};
    fn roc_before_tag() {
        drive::<Historic<ROC_BEFORE_TAG>>();
    }
    fn late_is_newest() {
        drive::<Historic<LATE_IS_NEWEST>>();
    }
    fn gcm_pending() {
        drive::<Historic<GCM_PENDING>>();
    }
    fn mki_by_rtp_tag() {
        drive::<Historic<MKI_BY_RTP_TAG>>();
    }
    // The same code with none of the four.
    fn twin() {
        drive::<Historic<MENDED>>();
    }
    fn stack() {
        drive::<production::Production>();
    }
    let caught = Expected::Caught(Detector::Invariant);
    let mended = |name, about| Subject::of_inputs(name, about, Expected::Clean, twin);
    Exhibit {
        name: "roc-invariants",
        story: "sender and receiver disagree on the rollover counter, in four ways (pion, libre, libsrtp)",
        subjects: vec![
            Subject::of_inputs("b26587a", "the receiver's counter moves before the tag is looked at", caught, roc_before_tag),
            mended("b26587a-twin", "it moves when the packet is authentic"),
            Subject::of_inputs("late-65534", "a packet that is sent late becomes the newest", caught, late_is_newest),
            mended("late-65534-twin", "the newest is the one with the highest index"),
            Subject::of_inputs("gcm-pending", "an announced counter is kept for good, with AES-GCM", caught, gcm_pending),
            mended("gcm-pending-twin", "it is for the next packet"),
            Subject::of_inputs("mki-by-rtp-tag", "the MKI of SRTCP is looked for before a tag of RTP", caught, mki_by_rtp_tag),
            mended("mki-by-rtp-tag-twin", "it is looked for before a tag of RTCP"),
            Subject::of_inputs("stack", "our SRTP: orders, losses and forgeries around a rollover", Expected::Clean, stack),
        ],
    }
}
