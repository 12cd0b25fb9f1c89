//! An RTCP report has no room for its tag, and is lost.
//!
//! Upstream: baresip, `modules/gzrtp/srtp.cpp`, `Srtp::protect_int`; #3408 and #3414 (46ffc91). The buffer is that of `rtcp_quick_send`
//! in re: 32 bytes with 4 of headroom, which double while the report is written.
//!
//! Protecting a report adds an index of four bytes, the tag and the MKI behind it: 8 bytes with a tag of 32 bits, 14 with one of 80.
//! As it shipped, a buffer with less room than that was refused as being out of memory: adding video to a call failed, since a report
//! of 60 bytes fills the 64 that the buffer has doubled to. The fix grows a buffer that has no room at all. Reports are multiples of four
//! bytes, so 4 bytes may be left, or 8 or 12, and that is still refused: the length of a user's CNAME decides whose picture freezes.
//!
//! The failing case: a tag of 32 bits, and a CNAME that leaves 0 bytes (as it shipped) or 4 (as it was patched).
//!
//! The driver writes a sender or receiver report, a CNAME of every length and a request for a keyframe, and protects them. The property:
//! what fits a datagram is protected, whatever room there was, and the receiver gets the same bytes.

mod historic;
mod production;

use crate::exhibit::{Exhibit, Expected, Subject};
use crate::inputs::{below, one_of};
use sim::invariant;
use sim::verdict::Detector;
use stack::buffer::{Mbuf, MbufError};
use stack::rtp::rtcp::source::{CNAME, Chunk, Item};
use stack::rtp::rtcp::{
    self, List, PayloadFeedback, PayloadMessage, ReceiverReport, Rules, SenderInfo, SenderReport, SourceDescription,
};
use std::fmt::Display;

/// The payload of a UDP datagram on Ethernet.
const MTU: usize = 1_472;
/// Before each packet, as re leaves it.
const HEADROOM: usize = 4;
/// What a buffer may have at first, headroom included: as in re, and others that double to other places.
const CAPACITIES: [usize; 4] = [32, 64, 5, 38];
const SSRC: u32 = 0x1234_5678;
const CNAME_LEN_MAX: usize = 255;
/// Where the enumeration begins: with this the report of a receiver has the 60 bytes that were reported.
const FIRST_CNAME_LEN: usize = 27;

/// Protects and unprotects reports: every version of the code.
trait Protection {
    /// Why a report was refused.
    type Refused: Display;
    /// One of the profiles and MKI lengths that this version has.
    fn any() -> Self;
    /// How many bytes are added to a report.
    fn overhead(&self) -> usize;
    fn protect(&mut self, report: &mut Mbuf) -> Result<(), Self::Refused>;
    fn unprotect(&mut self, report: &mut Mbuf) -> Result<(), Self::Refused>;
}

/// A compound RTCP packet, and the buffer that it is written to.
#[derive(Clone, Copy, Debug)]
struct Report {
    is_of_sender: bool,
    cname_len: usize,
    capacity: usize,
}

impl Report {
    fn any() -> Self {
        let (capacity, is_of_sender) = (one_of(&CAPACITIES), one_of(&[false, true]));
        let cname_len = (FIRST_CNAME_LEN + below(CNAME_LEN_MAX + 1)) % (CNAME_LEN_MAX + 1);
        Report { is_of_sender, cname_len, capacity }
    }

    /// Written word by word, as re does it, so that the buffer doubles and is not made to measure.
    fn write(self) -> Result<Mbuf, MbufError> {
        let cname = vec![b'c'; self.cname_len];
        let items = [Item { kind: CNAME, value: &cname }];
        let chunks = [Chunk { ssrc: SSRC, items: List::from(&items) }];
        let message = PayloadMessage::PictureLoss;
        let packets = [
            if self.is_of_sender {
                let info = SenderInfo { packet_count: 7, ..SenderInfo::default() };
                rtcp::Packet::SenderReport(SenderReport { ssrc: SSRC, info, blocks: List::EMPTY, extension: &[] })
            } else {
                rtcp::Packet::ReceiverReport(ReceiverReport { ssrc: SSRC, blocks: List::EMPTY, extension: &[] })
            },
            rtcp::Packet::SourceDescription(SourceDescription { chunks: List::from(&chunks) }),
            rtcp::Packet::PayloadFeedback(PayloadFeedback { sender_ssrc: SSRC, media_ssrc: !SSRC, message }),
        ];
        let mut room = [0; MTU];
        let len = rtcp::write(&packets, Rules::Compound, &mut room).expect("a compound packet of that size can be written");
        let mut packet = Mbuf::new(HEADROOM, self.capacity - HEADROOM);
        room[..len].chunks(4).try_for_each(|word| packet.append(word))?;
        Ok(packet)
    }
}

/// The driver: one report.
fn drive<T: Protection>() {
    check(&mut T::any(), Report::any());
}

fn check<T: Protection>(protection: &mut T, report: Report) {
    let mut packet = report.write().expect("the buffer grows while it is written to");
    let (plain, room) = (packet.bytes().to_vec(), packet.tailroom());
    let overhead = protection.overhead();
    if plain.len() + overhead > MTU {
        return;
    }
    if let Err(why) = protection.protect(&mut packet) {
        let len = plain.len();
        sim::violated(format!("a report of {len} bytes with room for {room} and need of {overhead} is refused: {why}"));
    }
    invariant!(packet.left() == plain.len() + overhead, "{overhead} bytes are added, got {}", packet.left() - plain.len());
    if let Err(why) = protection.unprotect(&mut packet) {
        sim::violated(format!("the receiver refuses the report: {why}"));
    }
    invariant!(packet.bytes() == plain, "the receiver gets {:02x?} instead of {plain:02x?}", packet.bytes());
}

/// The exhibit.
pub fn exhibit() -> Exhibit {
    use historic::{Growth, Historic};
    fn shipped() {
        drive::<Historic<{ Growth::NEVER }>>();
    }
    fn shipped_twin() {
        drive::<Historic<{ Growth::BY_NEED }>>();
    }
    fn patched() {
        drive::<Historic<{ Growth::WHEN_FULL }>>();
    }
    fn patched_twin() {
        drive::<Historic<{ Growth::WHEN_SHORT }>>();
    }
    fn stack() {
        drive::<production::Production>();
    }
    let caught = Expected::Caught(Detector::Invariant);
    Exhibit {
        name: "zrtp-mbuf-growth",
        story: "a report finds no room for its tag, and the fix grows only what is full (baresip gzrtp, 46ffc91)",
        subjects: vec![
            Subject::of_inputs("shipped", "the buffer never grows: a report that fills it is refused", caught, shipped),
            Subject::of_inputs("shipped-twin", "it grows by what is needed", Expected::Clean, shipped_twin),
            Subject::of_inputs(
                "patched-46ffc91",
                "it grows when it is full: 4, 8 or 12 bytes are too few, and not none",
                caught,
                patched,
            ),
            Subject::of_inputs("patched-46ffc91-twin", "it grows when it has less than is needed", Expected::Clean, patched_twin),
            Subject::of_inputs("stack", "our SRTCP: every CNAME under every profile and MKI", Expected::Clean, stack),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::historic::{Growth, Historic, TAG_LENS};
    use super::*;
    use std::collections::BTreeSet;

    /// With re's buffer, which room is refused under which tag.
    fn refused<const GROWTH: u8>() -> [Vec<usize>; 2] {
        TAG_LENS.map(|tag_len| {
            let mut rooms = BTreeSet::new();
            for (cname_len, is_of_sender) in (0..=CNAME_LEN_MAX).flat_map(|len| [(len, false), (len, true)]) {
                let mut packet = Report { is_of_sender, cname_len, capacity: CAPACITIES[0] }.write().unwrap();
                let room = packet.tailroom();
                if Historic::<GROWTH>::of(tag_len).protect(&mut packet).is_err() {
                    rooms.insert(room);
                }
            }
            rooms.into_iter().collect()
        })
    }

    #[test]
    fn each_version_refuses_just_what_it_did() {
        assert_eq!(refused::<{ Growth::NEVER }>(), [vec![0, 4], vec![0, 4, 8, 12]]);
        assert_eq!(refused::<{ Growth::WHEN_FULL }>(), [vec![4], vec![4, 8, 12]]);
        assert_eq!(refused::<{ Growth::WHEN_SHORT }>(), [Vec::new(), Vec::<usize>::new()]);
    }

    proptest::proptest! {
        /// Past what the driver enumerates: any capacity with any MKI.
        #[test]
        fn our_stack_never_refuses_for_want_of_room(
            profile in 0..stack::srtp::Profile::ALL.len(),
            mki_len in 0..=stack::srtp::MKI_LEN_MAX,
            is_of_sender in proptest::bool::ANY,
            cname_len in 0..=CNAME_LEN_MAX,
            capacity in HEADROOM..700,
        ) {
            let mut protection = production::Production::of(stack::srtp::Profile::ALL[profile], mki_len);
            check(&mut protection, Report { is_of_sender, cname_len, capacity });
        }
    }
}
