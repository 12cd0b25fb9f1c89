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

#[cfg(test)]
mod tests {
    use super::super::Profile;
    use super::*;
    use crate::buffer::MbufError;
    use crate::rtp::RtpError;

    /// An error of each kind that a packet may have, and how often it has been counted.
    fn kinds() -> [(SrtpError, fn(&Counters) -> u64); 14] {
        let (ssrc, expected, got, limit, profile) = (1, 2, 3, 4, Profile::AesCm128HmacSha1_80);
        [
            (SrtpError::Short { kind: "RTP", expected, got }, |counters| counters.malformed),
            (SrtpError::TooLong { kind: "RTP", expected_max: 2, got }, |counters| counters.malformed),
            (SrtpError::Malformed(RtpError::Version { got: 1 }), |counters| counters.malformed),
            (SrtpError::Authentication { ssrc }, |counters| counters.authentication),
            (SrtpError::Replayed { ssrc, index: 3 }, |counters| counters.replayed),
            (SrtpError::TooOld { ssrc, index: 3, expected_min: 4 }, |counters| counters.too_old),
            (SrtpError::UnknownMki { keys: 1 }, |counters| counters.unknown_mki),
            (SrtpError::EncryptionFlag { ssrc, expected: true }, |counters| counters.encryption_flag),
            (SrtpError::KeyExpired { limit: 1 }, |counters| counters.key_expired),
            (SrtpError::StreamLimit { ssrc, limit }, |counters| counters.stream_limit),
            (MbufError::Underrun { expected_bytes: 1, got_bytes: 0 }.into(), |counters| counters.no_room),
            (SrtpError::NotKeyed, |counters| counters.not_keyed),
            (SrtpError::NoMasterKey, |counters| counters.other),
            (SrtpError::NullCipher { profile }, |counters| counters.other),
        ]
    }

    proptest::proptest! {
        #[test]
        fn every_packet_is_counted_once_for_what_became_of_it(results in proptest::collection::vec(0usize..16, 0..100)) {
            let mut counters = Counters::default();
            let mut times = [0; 14];
            for (at, result) in results.iter().enumerate() {
                let before = counters;
                match kinds().into_iter().nth(*result) {
                    Some((error, counted)) => {
                        counters.count(&Err(error));
                        assert_eq!(counted(&counters), counted(&before) + 1);
                        times[*result] += 1;
                    }
                    None => {
                        counters.count(&Ok(()));
                        assert_eq!(counters.accepted, before.accepted + 1);
                    }
                }
                let refused: u64 = times.iter().sum();
                assert_eq!((counters.refused(), counters.accepted), (refused, at as u64 + 1 - refused));
            }
            let mut twice = Counters::default();
            (0..2).for_each(|_| twice.add(&counters));
            assert_eq!((twice.refused(), twice.accepted), (2 * counters.refused(), 2 * counters.accepted));
            for (_, counted) in kinds() {
                assert_eq!(counted(&twice), 2 * counted(&counters));
            }
        }
    }
}
