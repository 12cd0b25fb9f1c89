//! The replay window: which of the newest indices were here before (RFC 3711 section 3.3.2).

use super::SrtpError;

/// The indices of the last so many packets. The memory is there from the start.
pub(super) struct ReplayWindow {
    /// A bit for each index, at the index modulo their number. There are at least as many as the window has packets.
    seen: Box<[u64]>,
    packets: u64,
    /// One past the highest index that was committed.
    next: u64,
}

impl ReplayWindow {
    pub(super) fn new(packets: u32) -> Self {
        // A power of two, so that finding a place takes no division.
        let words = packets.div_ceil(u64::BITS).next_power_of_two() as usize;
        ReplayWindow { seen: vec![0; words].into_boxed_slice(), packets: u64::from(packets), next: 0 }
    }

    /// Whether a packet with this index may be new.
    ///
    /// # Errors
    /// [`SrtpError::Replayed`], [`SrtpError::TooOld`].
    #[inline]
    pub(super) fn check(&self, ssrc: u32, index: u64) -> Result<(), SrtpError> {
        if index >= self.next {
            return Ok(());
        }
        let expected_min = self.next.saturating_sub(self.packets);
        if index < expected_min {
            return Err(SrtpError::TooOld { ssrc, index, expected_min });
        }
        let (word, bit) = self.place(index);
        match self.seen[word] & bit {
            0 => Ok(()),
            _ => Err(SrtpError::Replayed { ssrc, index }),
        }
    }

    /// A packet with this index was here. [`ReplayWindow::check`] has allowed it.
    #[inline]
    pub(super) fn commit(&mut self, index: u64) {
        if index >= self.next {
            // What slides out makes room for the new, bit by bit unless all of it goes.
            if index - self.next >= self.packets {
                self.seen.fill(0);
            } else {
                for skipped in self.next..index {
                    let (word, bit) = self.place(skipped);
                    self.seen[word] &= !bit;
                }
            }
            self.next = index + 1;
        }
        let (word, bit) = self.place(index);
        self.seen[word] |= bit;
    }

    #[inline]
    fn place(&self, index: u64) -> (usize, u64) {
        let word = (index / u64::from(u64::BITS)) as usize & (self.seen.len() - 1);
        (word, 1 << (index % u64::from(u64::BITS)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// The window beside a set of everything that was ever here.
    fn against_a_set(packets: u32, indices: impl IntoIterator<Item = u64>) {
        let mut window = ReplayWindow::new(packets);
        let mut seen = BTreeSet::new();
        for index in indices {
            let highest = seen.last().copied();
            let expected = match highest {
                Some(highest) if index + u64::from(packets) <= highest => {
                    Err(SrtpError::TooOld { ssrc: 1, index, expected_min: highest + 1 - u64::from(packets) })
                }
                _ if seen.contains(&index) => Err(SrtpError::Replayed { ssrc: 1, index }),
                _ => Ok(()),
            };
            assert_eq!(window.check(1, index), expected, "window {packets}, index {index}, highest {highest:?}");
            if expected.is_ok() {
                window.commit(index);
                seen.insert(index);
            }
        }
    }

    #[test]
    fn every_size_forgets_what_slides_out_and_nothing_else() {
        for packets in 64..=200 {
            let (size, base) = (u64::from(packets), 1 << 20);
            // A jump of each length, and then everything around it, twice.
            for jump in [1, 2, 63, 64, 65, size - 1, size, size + 1, 2 * size + 7] {
                let around = (base + jump).saturating_sub(size + 70)..base + jump + 3;
                against_a_set(packets, (base - 5..base).chain([base + jump]).chain(around.clone()).chain(around));
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn any_order_of_indices(packets in 64u32..300, steps in proptest::collection::vec(-400i64..500, 0..400)) {
            let mut at = 10_000u64;
            against_a_set(packets, steps.into_iter().map(|step| {
                at = at.saturating_add_signed(step);
                at
            }));
        }
    }
}
