//! SRTP with one defect, or none, rewritten small.

use super::{SSRC, Stream};
use crate::inputs::one_of;
use crate::toy_cipher;
use stack::buffer::{Mbuf, MbufError};
use std::collections::BTreeSet;

const RTP_HEADER_LEN: usize = 12;
const RTCP_HEADER_LEN: usize = 8;
const INDEX_LEN: usize = 4;
const MKI: [u8; 4] = *b"key1";
const KEY: u64 = SSRC as u64;

/// pion: the receiver's counter moves by any packet's word.
pub(super) const ROC_BEFORE_TAG: u8 = 0;
/// libre: what the sender sends is the newest, however late it is.
pub(super) const LATE_IS_NEWEST: u8 = 1;
/// libsrtp: the path of AES-GCM keeps the announced counter.
pub(super) const GCM_PENDING: u8 = 2;
/// libsrtp: SRTCP takes RTP's tag length to find the MKI.
pub(super) const MKI_BY_RTP_TAG: u8 = 3;
/// None of them.
pub(super) const MENDED: u8 = 4;

#[derive(Clone, Copy)]
struct Profile {
    rtp_tag_len: usize,
    rtcp_tag_len: usize,
    is_gcm: bool,
}

const PROFILES: [Profile; 3] = [
    Profile { rtp_tag_len: 10, rtcp_tag_len: 10, is_gcm: false },
    Profile { rtp_tag_len: 4, rtcp_tag_len: 10, is_gcm: false },
    Profile { rtp_tag_len: 16, rtcp_tag_len: 16, is_gcm: true },
];

/// How RFC 3711 tells an index: by the newest sequence number and its rollover counter.
#[derive(Clone, Copy, Default)]
struct Counter {
    roc: u32,
    newest: Option<u16>,
}

impl Counter {
    /// The rollover counter of this sequence number (RFC 3711, appendix A).
    fn guess(self, sequence_number: u16) -> u32 {
        const HALF: u16 = 1 << 15;
        match self.newest {
            Some(newest) if newest < HALF && sequence_number.saturating_sub(newest) > HALF => self.roc.saturating_sub(1),
            Some(newest) if newest >= HALF && sequence_number < newest - HALF => self.roc + 1,
            _ => self.roc,
        }
    }

    fn commit(&mut self, roc: u32, sequence_number: u16) {
        if self.newest.is_none_or(|newest| (roc, sequence_number) > (self.roc, newest)) {
            (self.roc, self.newest) = (roc, Some(sequence_number));
        }
    }
}

pub(super) struct Historic<const DEFECT: u8> {
    profile: Profile,
    mki: &'static [u8],
    sending: Counter,
    receiving: Counter,
    /// What signalling said.
    pending_roc: Option<u32>,
    seen: BTreeSet<u64>,
    next_rtcp_index: u32,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error(transparent)]
    NoRoom(#[from] MbufError),
    #[error("the tag does not fit")]
    Forged,
    #[error("it was here before")]
    Replayed,
    #[error("its MKI is unknown")]
    UnknownMki,
}

fn sequence_number(packet: &[u8]) -> u16 {
    u16::from_be_bytes([packet[2], packet[3]])
}

fn index(roc: u32, sequence_number: u16) -> u64 {
    u64::from(roc) << 16 | u64::from(sequence_number)
}

impl<const DEFECT: u8> Stream for Historic<DEFECT> {
    type Refused = Refused;

    fn any() -> Self {
        Historic {
            profile: one_of(&PROFILES),
            mki: one_of(&[&[], &MKI]),
            sending: Counter::default(),
            receiving: Counter::default(),
            pending_roc: None,
            seen: BTreeSet::new(),
            next_rtcp_index: 0,
        }
    }

    fn announce(&mut self, roc: u32) {
        self.sending.roc = roc;
        self.pending_roc = Some(roc);
    }

    fn protect(&mut self, packet: &mut Mbuf) -> Result<(), Refused> {
        let sequence_number = sequence_number(packet.bytes());
        let roc = self.sending.guess(sequence_number);
        if DEFECT == LATE_IS_NEWEST {
            self.sending = Counter { roc: self.sending.roc.max(roc), newest: Some(sequence_number) };
        } else {
            self.sending.commit(roc, sequence_number);
        }
        let index = index(roc, sequence_number);
        toy_cipher::apply_keystream(KEY, index, &mut packet.bytes_mut()[RTP_HEADER_LEN..]);
        let tag = toy_cipher::tag(KEY, index, packet.bytes());
        packet.append(self.mki)?;
        Ok(packet.append(&tag[..self.profile.rtp_tag_len])?)
    }

    fn unprotect(&mut self, packet: &mut Mbuf) -> Result<(), Refused> {
        let sequence_number = sequence_number(packet.bytes());
        let roc = self.pending_roc.unwrap_or_else(|| self.receiving.guess(sequence_number));
        let index = index(roc, sequence_number);
        if self.seen.contains(&index) {
            return Err(Refused::Replayed);
        }
        if DEFECT == ROC_BEFORE_TAG {
            self.receiving.commit(roc, sequence_number);
        }
        let data_len = packet.left() - self.profile.rtp_tag_len - self.mki.len();
        let (data, added) = packet.bytes_mut().split_at_mut(data_len);
        if added[..self.mki.len()] != *self.mki {
            return Err(Refused::UnknownMki);
        }
        if added[self.mki.len()..] != toy_cipher::tag(KEY, index, data)[..self.profile.rtp_tag_len] {
            return Err(Refused::Forged);
        }
        toy_cipher::apply_keystream(KEY, index, &mut data[RTP_HEADER_LEN..]);
        packet.truncate(data_len)?;
        self.receiving.commit(roc, sequence_number);
        if !(DEFECT == GCM_PENDING && self.profile.is_gcm) {
            self.pending_roc = None;
        }
        self.seen.insert(index);
        Ok(())
    }

    fn protect_report(&mut self, report: &mut Mbuf) -> Result<(), Refused> {
        let index = self.next_rtcp_index;
        toy_cipher::apply_keystream(!KEY, index.into(), &mut report.bytes_mut()[RTCP_HEADER_LEN..]);
        let tag = toy_cipher::tag(!KEY, index.into(), report.bytes());
        report.append(&index.to_be_bytes())?;
        report.append(self.mki)?;
        report.append(&tag[..self.profile.rtcp_tag_len])?;
        self.next_rtcp_index += 1;
        Ok(())
    }

    fn unprotect_report(&mut self, report: &mut Mbuf) -> Result<(), Refused> {
        let (len, tag_len, mki_len) = (report.left(), self.profile.rtcp_tag_len, self.mki.len());
        let before_mki = if DEFECT == MKI_BY_RTP_TAG { self.profile.rtp_tag_len } else { tag_len };
        let mki_at = len - before_mki - mki_len;
        if report.bytes()[mki_at..mki_at + mki_len] != *self.mki {
            return Err(Refused::UnknownMki);
        }
        let data_len = len - tag_len - mki_len - INDEX_LEN;
        let (data, added) = report.bytes_mut().split_at_mut(data_len);
        let index = u64::from(u32::from_be_bytes([added[0], added[1], added[2], added[3]]));
        if added[INDEX_LEN + mki_len..] != toy_cipher::tag(!KEY, index, data)[..tag_len] {
            return Err(Refused::Forged);
        }
        toy_cipher::apply_keystream(!KEY, index, &mut data[RTCP_HEADER_LEN..]);
        Ok(report.truncate(data_len)?)
    }

    fn rocs(&self) -> (u32, u32) {
        (self.sending.roc, self.receiving.roc)
    }
}
