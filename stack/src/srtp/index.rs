//! The packet index: the rollover counter and the sequence number, which is all of it that a packet carries.

use super::SrtpError;

/// The 48 bits of a packet index: ROC * 2^16 + SEQ.
const INDEX_MAX: u64 = (1 << 48) - 1;

/// Why there is no estimate: the last index was used.
pub(super) const INDICES_USED: SrtpError = SrtpError::KeyExpired { limit: 1 << 48 };

/// The highest index of a stream so far, from which that of the next packet is told (RFC 3711 section 3.3.1).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PacketIndex {
    /// Of authenticated packets only.
    highest: Option<u64>,
    /// What signalling said of the rollover counter: the next packet has no lower one.
    announced_roc: Option<u32>,
}

impl PacketIndex {
    /// The index that a packet with this sequence number has, most likely: of those that end in it, the one next to the highest.
    /// None if every index is used. Changes nothing: until the packet is authenticated, its sequence number is anyone's word.
    #[inline]
    pub(super) fn estimate(&self, sequence_number: u16) -> Option<u64> {
        let with_roc = |roc: u64| (roc << 16) | u64::from(sequence_number);
        let announced = with_roc(self.announced_roc.unwrap_or(0).into());
        let Some(highest) = self.highest else { return Some(announced) };
        // From -2^15 to 2^15 - 1. At 2^15 either way the RFC stays within the rollover.
        let index = match sequence_number.wrapping_sub(highest as u16) as i16 {
            i16::MIN => with_roc(highest >> 16),
            // Before the first rollover there is nothing earlier: it is a jump ahead.
            distance => highest.checked_add_signed(distance.into()).unwrap_or(with_roc(0)),
        };
        // A counter that is told late names a rollover that the packet may already be past.
        let index = index.max(announced);
        (index <= INDEX_MAX).then_some(index)
    }

    /// A packet with this index was authenticated, or is sent.
    #[inline]
    pub(super) fn commit(&mut self, index: u64) {
        self.announced_roc = None;
        if self.highest.is_none_or(|highest| index > highest) {
            self.highest = Some(index);
        }
    }

    /// The rollover counter: of the highest packet, or as it was announced.
    pub(super) fn roc(&self) -> u32 {
        self.announced_roc.unwrap_or_else(|| (self.highest.unwrap_or(0) >> 16) as u32)
    }

    /// The next packet has this rollover counter, or, if it is the one in use, may be the first of the next. Lower than that of
    /// the highest packet it cannot be.
    pub(super) fn announce_roc(&mut self, ssrc: u32, roc: u32) -> Result<(), SrtpError> {
        let expected_min = (self.highest.unwrap_or(0) >> 16) as u32;
        if roc < expected_min {
            return Err(SrtpError::RolloverCounter { ssrc, expected_min, got: roc });
        }
        self.announced_roc = Some(roc);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every distance around every rollover: the estimate is the index itself as long as the packet lies within 2^15 of the highest.
    #[test]
    fn the_estimate_is_the_nearest_index() {
        for base in [0u64, 0x7fff, 0x8000, 0xffff, 0x1_0000, 0x1_7fff, 0x1_8000, 0x2_0001, 0xffff_8000] {
            let index = PacketIndex { highest: Some(base), announced_roc: None };
            for distance in -0x7fff..=0x7fff_i64 {
                let Some(truth) = base.checked_add_signed(distance) else { continue };
                assert_eq!(index.estimate(truth as u16), Some(truth), "{base:#x} {distance}");
            }
        }
    }

    /// Half of all sequence numbers away, both estimates are as near: RFC 3711 section 3.3.1 takes the one with the same counter.
    #[test]
    fn at_equal_distance_the_rollover_counter_stays() {
        for highest in [0x2_7fff_u64, 0x2_8000, 0x2_0000, 0x2_ffff] {
            let index = PacketIndex { highest: Some(highest), announced_roc: None };
            let estimate = index.estimate((highest as u16).wrapping_add(0x8000)).unwrap();
            assert_eq!((estimate >> 16, estimate.abs_diff(highest)), (2, 0x8000), "{highest:#x}");
        }
    }

    #[test]
    fn before_the_first_rollover_nothing_is_earlier() {
        let index = PacketIndex { highest: Some(100), announced_roc: None };
        assert_eq!(index.estimate(65_000), Some(65_000));
        assert_eq!(PacketIndex::default().estimate(65_535), Some(65_535));
    }

    #[test]
    fn the_last_index_is_the_last() {
        let index = PacketIndex { highest: Some(INDEX_MAX), announced_roc: None };
        assert_eq!(index.estimate(0xffff), Some(INDEX_MAX));
        assert_eq!(index.estimate(0), None);
    }

    #[test]
    fn an_announced_counter_is_used_once_and_never_goes_back() {
        let mut index = PacketIndex::default();
        index.announce_roc(7, 3).unwrap();
        assert_eq!((index.roc(), index.estimate(9)), (3, Some(0x3_0009)));
        index.commit(0x3_0009);
        assert_eq!(index.announce_roc(7, 2), Err(SrtpError::RolloverCounter { ssrc: 7, expected_min: 3, got: 2 }));
        assert_eq!((index.roc(), index.estimate(8)), (3, Some(0x3_0008)));
        index.commit(0x3_0008);
        assert_eq!(index.estimate(10), Some(0x3_000a), "a late packet moves nothing back");
    }
}
