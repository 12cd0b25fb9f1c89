//! SHA-1 of several messages at once, on processors that have instructions for it. The one module of the stack that may be unsafe.
//!
//! A round of SHA-1 waits for the one before it, and the processor could do others meanwhile: so the rounds of several messages take
//! turns. What is unsafe is two calls of code that was compiled for those instructions; they are made after asking whether they are
//! there. There are no pointers: blocks become vectors by [`bytemuck::cast`].

#![allow(unsafe_code, reason = "code for instructions that were detected has to be called; see the SAFETY comments")]

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
        unsafe { x86_64::take(states, blocks, [&[]; LANES], None) };
        return;
    }
    for (state, blocks) in states.iter_mut().zip(blocks) {
        sha1::block_api::compress(state, blocks);
    }
}

/// What follows the inner hash in the one block that HMAC's outer hash takes: the padding's first word, and its last, the length in bits of
/// the key's block and the hash. Between them are zeros.
const OUTER_PADDING: [u32; 2] = [1 << 31, 8 * (64 + 20)];

/// HMAC's inner and outer hash in one: takes each lane's blocks into its state, `whole` before `last`, and then the result into the state
/// of the outer key, which is what `states` hold in the end.
///
/// # Panics
/// If one lane has another number of blocks than the others, in either.
#[inline]
pub(super) fn hmac(states: &mut [State; LANES], whole: [&[[u8; 64]]; LANES], last: [&[[u8; 64]]; LANES], outer: [&State; LANES]) {
    let are_equal = |blocks: &[&[[u8; 64]]; LANES]| blocks.iter().all(|lane| lane.len() == blocks[0].len());
    assert!(are_equal(&whole) && are_equal(&last), "the lanes have different numbers of blocks");
    #[cfg(target_arch = "x86_64")]
    if are_available() {
        // SAFETY: the features that the function is compiled for were detected just now.
        unsafe { x86_64::take(states, whole, last, Some(outer)) };
        return;
    }
    for (lane, state) in states.iter_mut().enumerate() {
        sha1::block_api::compress(state, whole[lane]);
        sha1::block_api::compress(state, last[lane]);
        let inner = std::mem::replace(state, *outer[lane]);
        sha1::block_api::compress(state, &[outer_block(&inner)]);
    }
}

/// The only block that follows the key's outer one: the inner hash and its padding.
#[inline]
pub(super) fn outer_block(inner: &State) -> [u8; 64] {
    // Its parts are as wide as they are read, since a processor that reads what it has just written in smaller pieces waits until it
    // is in the cache.
    let [a, b, c, d, e] = inner.map(u128::from);
    let [padding, len] = OUTER_PADDING.map(u128::from);
    let parts = [a << 96 | b << 64 | c << 32 | d, e << 96 | padding << 64, 0, len];
    bytemuck::cast(parts.map(u128::to_be_bytes))
}

#[cfg(target_arch = "x86_64")]
#[allow(clippy::needless_range_loop, reason = "a lane is the same place in several arrays")]
mod x86_64 {
    use super::{LANES, OUTER_PADDING, State};
    use std::arch::x86_64::*;

    /// A register of each lane.
    type Lanes = [__m128i; LANES];

    /// The states of the lanes, in registers.
    #[derive(Clone, Copy)]
    struct States {
        /// a is the highest word.
        abcd: Lanes,
        /// In the highest word.
        e: Lanes,
    }

    /// Takes each lane's blocks, `whole` before `last`; and then, with `outer`, goes on in those states with what came out as their block.
    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    pub(super) fn take(
        states: &mut [State; LANES],
        whole: [&[[u8; 64]]; LANES],
        last: [&[[u8; 64]]; LANES],
        outer: Option<[&State; LANES]>,
    ) {
        let mut registers = load(states);
        let (whole_blocks, blocks) = (whole[0].len(), whole[0].len() + last[0].len());
        // One loop for all, so that the rounds stand here once and their states stay in registers.
        for at in 0..blocks + usize::from(outer.is_some()) {
            let mut w = [[_mm_setzero_si128(); LANES]; 4];
            match outer {
                Some(outer) if at == blocks => {
                    // The inner hash's words are the outer's, which is how they stand in the registers.
                    w[0] = registers.abcd;
                    for lane in 0..LANES {
                        w[1][lane] = _mm_or_si128(registers.e[lane], vector([0, 0, OUTER_PADDING[0], 0]));
                        w[3][lane] = vector([OUTER_PADDING[1], 0, 0, 0]);
                        states[lane] = *outer[lane];
                    }
                    registers = load(states);
                }
                _ => {
                    let (lanes, at) = if at < whole_blocks { (&whole, at) } else { (&last, at - whole_blocks) };
                    // Not `array::from_fn`: a closure that is compiled for more features than its caller is not inlined there.
                    for part in 0..4 {
                        for lane in 0..LANES {
                            w[part][lane] = words(&lanes[lane][at], part);
                        }
                    }
                }
            }
            take_words(&mut registers, w);
        }
        store(registers, states);
    }

    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    #[inline]
    fn load(states: &[State; LANES]) -> States {
        let mut registers = States { abcd: [_mm_setzero_si128(); LANES], e: [_mm_setzero_si128(); LANES] };
        for (lane, [a, b, c, d, e]) in states.iter().enumerate() {
            registers.abcd[lane] = vector([*d, *c, *b, *a]);
            registers.e[lane] = vector([0, 0, 0, *e]);
        }
        registers
    }

    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    #[inline]
    fn store(registers: States, states: &mut [State; LANES]) {
        for lane in 0..LANES {
            let [d, c, b, a] = bytemuck::cast::<_, [u32; 4]>(registers.abcd[lane]);
            states[lane] = [a, b, c, d, bytemuck::cast::<_, [u32; 4]>(registers.e[lane])[3]];
        }
    }

    /// FIPS 180-4 section 6.1.2: 80 rounds for the sixteen words of a block, four to an instruction.
    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    #[inline]
    fn take_words(registers: &mut States, mut w: [Lanes; 4]) {
        let before = *registers;
        let States { mut abcd, mut e } = before;
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
            registers.e[lane] = _mm_sha1nexte_epu32(earlier[lane], before.e[lane]);
            registers.abcd[lane] = _mm_add_epi32(abcd[lane], before.abcd[lane]);
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
            let inner = states;
            compress(&mut states, blocks.each_ref().map(|blocks| &blocks[..]));
            assert_eq!(states, expected, "{count} blocks");
            let outer: [State; LANES] = std::array::from_fn(|lane| [7, lane as u32, 9, 1 << 31, 11]);
            for at in 0..=count {
                let (mut states, mut expected) = (inner, outer);
                let halves = blocks.each_ref().map(|blocks| blocks.split_at(at));
                hmac(&mut states, halves.map(|(whole, _)| whole), halves.map(|(_, last)| last), outer.each_ref());
                for (lane, expected) in expected.iter_mut().enumerate() {
                    let mut inner = inner[lane];
                    sha1::block_api::compress(&mut inner, &blocks[lane]);
                    sha1::block_api::compress(expected, &[outer_block(&inner)]);
                }
                assert_eq!(states, expected, "{at} of {count} blocks");
            }
        }
    }
}
