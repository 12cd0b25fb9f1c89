//! SHA-1 of several messages at once, on processors that have instructions for it. The one module of the stack that may be unsafe.
//!
//! A round of SHA-1 waits for the one before it, and the processor could do others meanwhile: so the rounds of several messages take
//! turns. What is unsafe is one call of code that was compiled for those instructions; it is made after asking whether they are
//! there. There are no pointers: blocks become vectors by [`bytemuck::cast`].

#![allow(unsafe_code, reason = "code for instructions that were detected has to be called; see the one SAFETY comment")]

/// Five words: what SHA-1 remembers from block to block.
pub(super) type State = [u32; 5];

/// How many messages are hashed at once.
pub(super) const LANES: usize = 4;

/// Whether this processor can.
#[inline]
pub(super) fn are_available() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("sha") && is_x86_feature_detected!("sse4.1") && is_x86_feature_detected!("ssse3");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Takes as many blocks into each lane's state. Where [`are_available`] says no, one lane after the other.
///
/// # Panics
/// If one lane has another number of blocks than the others.
#[inline]
pub(super) fn compress(states: &mut [State; LANES], blocks: [&[[u8; 64]]; LANES]) {
    assert!(blocks.iter().all(|lane| lane.len() == blocks[0].len()), "the lanes have different numbers of blocks");
    #[cfg(target_arch = "x86_64")]
    if are_available() {
        // SAFETY: the features that the function is compiled for were detected just now.
        unsafe { x86_64::compress(states, blocks) };
        return;
    }
    for (state, blocks) in states.iter_mut().zip(blocks) {
        sha1::block_api::compress(state, blocks);
    }
}

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use super::{LANES, State};
    use std::arch::x86_64::*;

    /// A register of each lane.
    type Lanes = [__m128i; LANES];

    /// FIPS 180-4 section 6.1.2: 80 rounds a block, four to an instruction.
    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    pub(super) fn compress(states: &mut [State; LANES], blocks: [&[[u8; 64]]; LANES]) {
        // a is the highest word, and e stands in the highest word of a register of its own.
        let (mut abcd, mut e) = ([_mm_setzero_si128(); LANES], [_mm_setzero_si128(); LANES]);
        for (lane, [a, b, c, d, last]) in states.iter().enumerate() {
            abcd[lane] = vector([*d, *c, *b, *a]);
            e[lane] = vector([0, 0, 0, *last]);
        }
        #[allow(clippy::needless_range_loop, reason = "it is the same place in every lane")]
        for at in 0..blocks[0].len() {
            let (abcd_before, e_before) = (abcd, e);
            // Not `array::from_fn`: a closure that is compiled for more features than its caller is not inlined there.
            let mut w = [[_mm_setzero_si128(); LANES]; 4];
            for part in 0..4 {
                for lane in 0..LANES {
                    w[part][lane] = words(&blocks[lane][at], part);
                }
            }
            // What `abcd` was four rounds ago: e comes from it.
            let mut earlier = abcd;
            for lane in 0..LANES {
                e[lane] = _mm_add_epi32(e[lane], w[0][lane]);
                abcd[lane] = _mm_sha1rnds4_epu32::<0>(abcd[lane], e[lane]);
            }
            rounds::<0, 1>(&mut abcd, &mut earlier, &mut w);
            rounds::<0, 2>(&mut abcd, &mut earlier, &mut w);
            rounds::<0, 3>(&mut abcd, &mut earlier, &mut w);
            rounds::<0, 4>(&mut abcd, &mut earlier, &mut w);
            rounds::<1, 5>(&mut abcd, &mut earlier, &mut w);
            rounds::<1, 6>(&mut abcd, &mut earlier, &mut w);
            rounds::<1, 7>(&mut abcd, &mut earlier, &mut w);
            rounds::<1, 8>(&mut abcd, &mut earlier, &mut w);
            rounds::<1, 9>(&mut abcd, &mut earlier, &mut w);
            rounds::<2, 10>(&mut abcd, &mut earlier, &mut w);
            rounds::<2, 11>(&mut abcd, &mut earlier, &mut w);
            rounds::<2, 12>(&mut abcd, &mut earlier, &mut w);
            rounds::<2, 13>(&mut abcd, &mut earlier, &mut w);
            rounds::<2, 14>(&mut abcd, &mut earlier, &mut w);
            rounds::<3, 15>(&mut abcd, &mut earlier, &mut w);
            rounds::<3, 16>(&mut abcd, &mut earlier, &mut w);
            rounds::<3, 17>(&mut abcd, &mut earlier, &mut w);
            rounds::<3, 18>(&mut abcd, &mut earlier, &mut w);
            rounds::<3, 19>(&mut abcd, &mut earlier, &mut w);
            for lane in 0..LANES {
                e[lane] = _mm_sha1nexte_epu32(earlier[lane], e_before[lane]);
                abcd[lane] = _mm_add_epi32(abcd[lane], abcd_before[lane]);
            }
        }
        for lane in 0..LANES {
            let [d, c, b, a] = bytemuck::cast::<_, [u32; 4]>(abcd[lane]);
            states[lane] = [a, b, c, d, bytemuck::cast::<_, [u32; 4]>(e[lane])[3]];
        }
    }

    /// The four rounds of which `PART` go before, with the function that `FUNCTION` names: twenty rounds have each.
    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    #[inline]
    fn rounds<const FUNCTION: i32, const PART: usize>(abcd: &mut Lanes, earlier: &mut Lanes, w: &mut [Lanes; 4]) {
        for lane in 0..LANES {
            let words = if PART < 4 {
                w[PART][lane]
            } else {
                // Of the sixteen words before, four new ones.
                let mixed = _mm_sha1msg1_epu32(w[PART % 4][lane], w[(PART + 1) % 4][lane]);
                let mixed = _mm_xor_si128(mixed, w[(PART + 2) % 4][lane]);
                _mm_sha1msg2_epu32(mixed, w[(PART + 3) % 4][lane])
            };
            w[PART % 4][lane] = words;
            let e = _mm_sha1nexte_epu32(earlier[lane], words);
            earlier[lane] = abcd[lane];
            abcd[lane] = _mm_sha1rnds4_epu32::<FUNCTION>(abcd[lane], e);
        }
    }

    /// Four big-endian words of a block, the first in the highest place.
    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    #[inline]
    fn words(block: &[u8; 64], part: usize) -> __m128i {
        let (quarters, _) = block.as_chunks::<16>();
        _mm_shuffle_epi8(bytemuck::cast(quarters[part]), _mm_set_epi64x(0x0001_0203_0405_0607, 0x0809_0a0b_0c0d_0e0f))
    }

    /// The first word in the lowest place.
    fn vector(words: [u32; 4]) -> __m128i {
        bytemuck::cast(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Different blocks and different numbers of them, beside the library's own.
    #[test]
    fn each_lane_is_as_the_library_has_it() {
        if !are_available() {
            println!("SKIPPED lanes of SHA-1: this processor has not the instructions; the fallback is tested");
        }
        for count in 0..9 {
            let blocks: [Vec<[u8; 64]>; LANES] = std::array::from_fn(|lane| {
                (0..count).map(|block| std::array::from_fn(|at| (at * 5 + block * 31 + lane * 77) as u8)).collect()
            });
            let mut states: [State; LANES] = std::array::from_fn(|lane| [lane as u32, 0x89ab_cdef, 3 << lane, u32::MAX, 7]);
            let mut expected = states;
            for (state, blocks) in expected.iter_mut().zip(&blocks) {
                sha1::block_api::compress(state, blocks);
            }
            compress(&mut states, blocks.each_ref().map(|blocks| &blocks[..]));
            assert_eq!(states, expected, "{count} blocks");
        }
    }
}
