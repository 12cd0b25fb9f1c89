//! What a stream draws by chance, from one seed.

/// Numbers of a stream, none of which is a secret: they only have to differ from stream to stream (SplitMix64).
#[derive(Clone, Debug)]
pub(super) struct Draws(u64);

impl Draws {
    pub(super) fn new(seed: u64) -> Self {
        Draws(seed)
    }

    /// A number below `n`, each about as likely, of up to 2^32.
    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (((mixed ^ mixed >> 31) >> 32) * n) >> 32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_says_everything_and_seeds_differ() {
        let of = |seed| {
            let mut draws = Draws::new(seed);
            [0; 8].map(|_: u64| draws.below(1 << 32))
        };
        assert_eq!(of(7), of(7));
        assert!(of(7).iter().zip(of(8)).all(|(one, other)| *one != other));
    }

    #[test]
    fn numbers_are_spread_over_all_that_there_are() {
        let (mut draws, mut counts) = (Draws::new(1), [0_u32; 10]);
        (0..100_000).for_each(|_| counts[draws.below(10) as usize] += 1);
        assert!(counts.iter().all(|count| (9_500..10_500).contains(count)), "{counts:?}");
    }
}
