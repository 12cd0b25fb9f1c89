//! `get_packet_type` and what follows from it, rewritten small. Each version has one of the two defects.

use super::{Line, RTCP_HEADER_LEN, RTP_HEADER_LEN};
use crate::toy_cipher;
use stack::buffer::{Mbuf, MbufError};

const TAG_LEN: usize = 4;
const INDEX_LEN: usize = 4;
const KEY: u64 = 0x0052_5450;

/// Feedback is RTP.
pub(super) const TYPES: u8 = 0;
/// Twelve bytes are nothing.
pub(super) const TWELVE_BYTES: u8 = 1;
/// Neither: the mended version of both.
pub(super) const MENDED: u8 = 2;

pub(super) struct Historic<const DEFECT: u8> {
    next_rtcp_index: u32,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error(transparent)]
    NoRoom(#[from] MbufError),
    #[error("the tag does not fit")]
    Forged,
    #[error("too short")]
    Short,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum PacketType {
    Rtp,
    Rtcp,
    Unknown,
}

impl<const DEFECT: u8> Historic<DEFECT> {
    fn packet_type(packet: &[u8]) -> PacketType {
        let rtcp = if DEFECT == TYPES { 72..=76 } else { 64..=95 };
        let rtp_len_min = if DEFECT == TWELVE_BYTES { RTP_HEADER_LEN + 1 } else { RTP_HEADER_LEN };
        match packet.get(1) {
            Some(second_byte) if rtcp.contains(&(second_byte & 0x7f)) && packet.len() >= RTCP_HEADER_LEN => PacketType::Rtcp,
            Some(_) if packet.len() >= rtp_len_min => PacketType::Rtp,
            _ => PacketType::Unknown,
        }
    }
}

impl<const DEFECT: u8> Line for Historic<DEFECT> {
    type Refused = Refused;

    fn any() -> Self {
        Historic { next_rtcp_index: 0 }
    }

    fn overheads(&self) -> (usize, usize) {
        (TAG_LEN, INDEX_LEN + TAG_LEN)
    }

    fn protect(&mut self, packet: &mut Mbuf) -> Result<(), Refused> {
        // What is too short for a header never comes so far: these versions are about what does.
        if packet.left() < RTCP_HEADER_LEN {
            return Err(Refused::Short);
        }
        match Self::packet_type(packet.bytes()) {
            PacketType::Rtp => {
                let index = u64::from(u16::from_be_bytes([packet.bytes()[2], packet.bytes()[3]]));
                toy_cipher::apply_keystream(KEY, index, &mut packet.bytes_mut()[RTP_HEADER_LEN..]);
                let tag = toy_cipher::tag(KEY, index, packet.bytes());
                packet.append(&tag[..TAG_LEN])?;
            }
            PacketType::Rtcp => {
                let index = self.next_rtcp_index;
                toy_cipher::apply_keystream(!KEY, index.into(), &mut packet.bytes_mut()[RTCP_HEADER_LEN..]);
                let tag = toy_cipher::tag(!KEY, index.into(), packet.bytes());
                packet.append(&index.to_be_bytes())?;
                packet.append(&tag[..TAG_LEN])?;
                self.next_rtcp_index += 1;
            }
            // STUN and ZRTP have others to care for them, and pass. What is shorter than RTP is refused here, so that the one hole
            // is that of twelve bytes.
            PacketType::Unknown if packet.left() < RTP_HEADER_LEN => return Err(Refused::Short),
            PacketType::Unknown => {}
        }
        Ok(())
    }

    fn peer_takes_rtp(&mut self, packet: &mut Mbuf) -> Result<(), Refused> {
        let data_len = packet.left().checked_sub(TAG_LEN).filter(|len| *len >= RTP_HEADER_LEN).ok_or(Refused::Short)?;
        let (data, tag) = packet.bytes_mut().split_at_mut(data_len);
        let index = u64::from(u16::from_be_bytes([data[2], data[3]]));
        if tag[..] != toy_cipher::tag(KEY, index, data)[..TAG_LEN] {
            return Err(Refused::Forged);
        }
        toy_cipher::apply_keystream(KEY, index, &mut data[RTP_HEADER_LEN..]);
        Ok(packet.truncate(data_len)?)
    }

    fn peer_takes_rtcp(&mut self, packet: &mut Mbuf) -> Result<(), Refused> {
        let added = INDEX_LEN + TAG_LEN;
        let data_len = packet.left().checked_sub(added).filter(|len| *len >= RTCP_HEADER_LEN).ok_or(Refused::Short)?;
        let (data, added) = packet.bytes_mut().split_at_mut(data_len);
        let index = u64::from(u32::from_be_bytes([added[0], added[1], added[2], added[3]]));
        if added[INDEX_LEN..] != toy_cipher::tag(!KEY, index, data)[..TAG_LEN] {
            return Err(Refused::Forged);
        }
        toy_cipher::apply_keystream(!KEY, index, &mut data[RTCP_HEADER_LEN..]);
        Ok(packet.truncate(data_len)?)
    }
}
