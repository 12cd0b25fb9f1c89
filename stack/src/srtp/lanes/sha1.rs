//! SHA-1 of several messages at once. A round waits for the one before it, and the processor could do others meanwhile: so the rounds of
//! several messages take turns.

#![allow(clippy::needless_range_loop, reason = "a lane is the same place in several arrays")]

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
