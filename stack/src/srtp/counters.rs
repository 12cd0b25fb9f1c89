//! What became of the packets, by number.

use super::SrtpError;

/// How many packets a session has protected or unprotected, and how many it refused, for what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Protected, or authenticated and decrypted.
    pub accepted: u64,
    /// Too short to be what they were given as, too long, or not RTP at all.
    pub malformed: u64,
    /// With a tag that does not fit.
    pub authentication: u64,
    /// Here before.
    pub replayed: u64,
    /// Older than the replay window.
    pub too_old: u64,
    /// Under a master key that the session does not have.
    pub unknown_mki: u64,
    /// With the wrong SRTCP E flag.
    pub encryption_flag: u64,
    /// After the master key had protected all that it may.
    pub key_expired: u64,
    /// Of a stream too many.
    pub stream_limit: u64,
    /// In a buffer without room.
    pub no_room: u64,
    /// Given to a session that is not keyed.
    pub not_keyed: u64,
    /// For any other reason.
    pub other: u64,
}

impl Counters {
    /// Every packet that was refused.
    pub fn refused(&self) -> u64 {
        let mut all = *self;
        all.accepted = 0;
        all.each_mut().into_iter().map(|count| *count).sum()
    }

    pub(super) fn add(&mut self, other: &Counters) {
        let mut other = *other;
        self.each_mut().into_iter().zip(other.each_mut()).for_each(|(count, other)| *count += *other);
    }

    fn each_mut(&mut self) -> [&mut u64; 12] {
        let Counters { accepted, malformed, authentication, replayed, too_old, unknown_mki, .. } = self;
        let Counters { encryption_flag, key_expired, stream_limit, no_room, not_keyed, other, .. } = self;
        [
            accepted,
            malformed,
            authentication,
            replayed,
            too_old,
            unknown_mki,
            encryption_flag,
            key_expired,
            stream_limit,
            no_room,
            not_keyed,
            other,
        ]
    }

    #[inline]
    pub(super) fn count(&mut self, result: &Result<(), SrtpError>) {
        let Err(error) = result else {
            self.accepted += 1;
            return;
        };
        *match error {
            SrtpError::Short { .. } | SrtpError::TooLong { .. } | SrtpError::Malformed(_) => &mut self.malformed,
            SrtpError::Authentication { .. } => &mut self.authentication,
            SrtpError::Replayed { .. } => &mut self.replayed,
            SrtpError::TooOld { .. } => &mut self.too_old,
            SrtpError::UnknownMki { .. } => &mut self.unknown_mki,
            SrtpError::EncryptionFlag { .. } => &mut self.encryption_flag,
            SrtpError::KeyExpired { .. } => &mut self.key_expired,
            SrtpError::StreamLimit { .. } => &mut self.stream_limit,
            SrtpError::Buffer(_) => &mut self.no_room,
            SrtpError::NotKeyed => &mut self.not_keyed,
            _ => &mut self.other,
        } += 1;
    }
}
