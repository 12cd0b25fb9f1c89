//! What is remembered of a stream's SRTP packets: the highest index, and which of the newest were here.

use super::SrtpError;
use super::index::{INDICES_USED, PacketIndex};
use super::replay::ReplayWindow;
use super::streams::Streams;

/// The SRTP packets of one stream, as a sender and a receiver both remember them: no index is used twice, and none is taken twice.
pub(super) struct History {
    index: PacketIndex,
    window: ReplayWindow,
}

impl History {
    pub(super) fn new(window_packets: u32) -> Self {
        History { index: PacketIndex::default(), window: ReplayWindow::new(window_packets) }
    }

    /// A packet with this index was authenticated, or is sent.
    #[inline]
    pub(super) fn commit(&mut self, index: u64) {
        self.index.commit(index);
        self.window.commit(index);
    }

    /// [`PacketIndex::roc`].
    pub(super) fn roc(&self) -> u32 {
        self.index.roc()
    }

    /// [`PacketIndex::announce_roc`].
    pub(super) fn announce_roc(&mut self, ssrc: u32, roc: u32) -> Result<(), SrtpError> {
        self.index.announce_roc(ssrc, roc)
    }
}

impl<T: AsRef<History>> Streams<T> {
    /// The index of a packet, and whether it may be new. Changes nothing.
    ///
    /// # Errors
    /// [`SrtpError::Replayed`], [`SrtpError::TooOld`], [`SrtpError::StreamLimit`], or [`SrtpError::KeyExpired`] if every index is used.
    #[inline]
    pub(super) fn index_of(&self, ssrc: u32, sequence_number: u16) -> Result<u64, SrtpError> {
        match self.get(ssrc).map(AsRef::as_ref) {
            Some(History { index, window }) => {
                let index = index.estimate(sequence_number).ok_or(INDICES_USED)?;
                window.check(ssrc, index)?;
                Ok(index)
            }
            None => {
                self.expect_room(ssrc)?;
                PacketIndex::default().estimate(sequence_number).ok_or(INDICES_USED)
            }
        }
    }
}

/// The rollover counter of an index, as HMAC is taken over it.
#[inline]
pub(super) fn roc_of(index: u64) -> [u8; 4] {
    ((index >> 16) as u32).to_be_bytes()
}
