//! `protect_int` as it was, rewritten small: when the sender advances its rollover counter.

use super::{HEADER_LEN, SSRC, Stream};
use crate::toy_cipher;
use stack::buffer::{Mbuf, MbufError};

const TAG_LEN: usize = 4;

/// Both sides. `BY_SEQUENCE` is the mended version.
#[derive(Default)]
pub(super) struct Historic<const BY_SEQUENCE: bool> {
    sender_roc: u32,
    /// Of the last packet that was protected.
    sent: u16,
    receiver_roc: u32,
    /// The highest sequence number under that counter.
    received: u16,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error("out of memory: {0}")]
    NoRoom(#[from] MbufError),
    #[error("the tag does not fit")]
    Forged,
}

fn sequence_number(packet: &[u8]) -> u16 {
    u16::from_be_bytes([packet[2], packet[3]])
}

fn index(roc: u32, sequence_number: u16) -> u64 {
    u64::from(roc) << 16 | u64::from(sequence_number)
}

impl<const BY_SEQUENCE: bool> Stream for Historic<BY_SEQUENCE> {
    type Refused = Refused;

    fn any() -> Self {
        Historic::default()
    }

    fn overhead(&self) -> usize {
        TAG_LEN
    }

    fn protect(&mut self, packet: &mut Mbuf) -> Result<(), Refused> {
        packet.reserve_tailroom(TAG_LEN)?;
        let sequence_number = sequence_number(packet.bytes());
        if BY_SEQUENCE && sequence_number < self.sent && self.sent - sequence_number > 1 << 15 {
            self.sender_roc += 1;
        }
        self.sent = sequence_number;
        let index = index(self.sender_roc, sequence_number);
        toy_cipher::apply_keystream(u64::from(SSRC), index, &mut packet.bytes_mut()[HEADER_LEN..]);
        let tag = toy_cipher::tag(u64::from(SSRC), index, packet.bytes());
        packet.append(&tag[..TAG_LEN])?;
        if !BY_SEQUENCE && sequence_number == u16::MAX {
            self.sender_roc += 1;
        }
        Ok(())
    }

    fn unprotect(&mut self, packet: &mut Mbuf) -> Result<(), Refused> {
        let sequence_number = sequence_number(packet.bytes());
        let begins_anew = sequence_number < self.received && self.received - sequence_number > 1 << 15;
        let roc = self.receiver_roc + u32::from(begins_anew);
        let (data_len, index) = (packet.left() - TAG_LEN, index(roc, sequence_number));
        let (data, tag) = packet.bytes_mut().split_at_mut(data_len);
        if tag[..] != toy_cipher::tag(u64::from(SSRC), index, data)[..TAG_LEN] {
            return Err(Refused::Forged);
        }
        toy_cipher::apply_keystream(u64::from(SSRC), index, &mut data[HEADER_LEN..]);
        packet.truncate(data_len)?;
        (self.receiver_roc, self.received) = (roc, sequence_number);
        Ok(())
    }

    fn rocs(&self) -> (u32, u32) {
        // A counter that has advanced behind 65535 is the next packet's.
        let sent_last = self.sent == u16::MAX && !BY_SEQUENCE;
        (self.sender_roc - u32::from(sent_last), self.receiver_roc)
    }
}
