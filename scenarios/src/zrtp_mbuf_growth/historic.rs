//! `protect_ctrl` as it was, rewritten small. A version says when its buffer grows.

use super::Protection;
use crate::inputs::one_of;
use crate::toy_cipher;
use stack::buffer::Mbuf;

/// The tags that ZRTP negotiates, in bytes: HS32 and HS80. Its SRTCP has the tag of its SRTP.
pub(super) const TAG_LENS: [usize; 2] = [4, 10];
const INDEX_LEN: usize = 4;
const HEADER_LEN: usize = 8;
/// What the fix grows by.
const GROWTH_BYTES: usize = 64;
const KEY: u64 = 0x7a72_7470;

/// When a buffer grows before it is protected.
pub(super) struct Growth;

impl Growth {
    pub(super) const NEVER: u8 = 0;
    /// 46ffc91.
    pub(super) const WHEN_FULL: u8 = 1;
    /// The mended version of `shipped`.
    pub(super) const BY_NEED: u8 = 2;
    /// The mended version of 46ffc91.
    pub(super) const WHEN_SHORT: u8 = 3;
}

/// Both sides of a stream.
pub(super) struct Historic<const GROWTH: u8> {
    tag_len: usize,
    index: u32,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error("out of memory")]
    NoRoom,
    #[error("the tag does not fit")]
    Forged,
}

impl<const GROWTH: u8> Historic<GROWTH> {
    pub(super) fn of(tag_len: usize) -> Self {
        Historic { tag_len, index: 0 }
    }
}

impl<const GROWTH: u8> Protection for Historic<GROWTH> {
    type Refused = Refused;

    fn any() -> Self {
        Historic::of(one_of(&TAG_LENS))
    }

    fn overhead(&self) -> usize {
        self.tag_len + INDEX_LEN
    }

    fn protect(&mut self, report: &mut Mbuf) -> Result<(), Refused> {
        let (extra, needed) = (report.tailroom(), self.overhead());
        let growth = match GROWTH {
            Growth::WHEN_FULL if extra == 0 => GROWTH_BYTES,
            Growth::WHEN_SHORT if extra < needed => GROWTH_BYTES,
            Growth::BY_NEED => needed,
            _ => 0,
        };
        report.reserve_tailroom(growth).map_err(|_| Refused::NoRoom)?;
        if report.tailroom() < needed {
            return Err(Refused::NoRoom);
        }
        toy_cipher::apply_keystream(KEY, self.index.into(), &mut report.bytes_mut()[HEADER_LEN..]);
        let tag = toy_cipher::tag(KEY, self.index.into(), report.bytes());
        report.append(&self.index.to_be_bytes()).map_err(|_| Refused::NoRoom)?;
        report.append(&tag[..self.tag_len]).map_err(|_| Refused::NoRoom)
    }

    fn unprotect(&mut self, report: &mut Mbuf) -> Result<(), Refused> {
        let data_len = report.left() - self.overhead();
        let (data, added) = report.bytes_mut().split_at_mut(data_len);
        if added[INDEX_LEN..] != toy_cipher::tag(KEY, self.index.into(), data)[..self.tag_len] {
            return Err(Refused::Forged);
        }
        toy_cipher::apply_keystream(KEY, self.index.into(), &mut data[HEADER_LEN..]);
        report.truncate(data_len).map_err(|_| Refused::Forged)
    }
}
