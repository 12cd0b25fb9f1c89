//! Several of a kind at once, on processors that have instructions for it: SHA-1 of several messages, AES of several blocks. The one module
//! of the stack that may be unsafe.
//!
//! What is unsafe is to call code that was compiled for instructions which not every processor has: each call is made after asking
//! whether this one has them. The code itself is safe: there are no pointers, bytes become vectors by [`bytemuck::cast`]. Where the
//! instructions are missing, the libraries do the work.

#![allow(unsafe_code, reason = "code for instructions that were detected has to be called; see the SAFETY comments")]

#[cfg(target_arch = "x86_64")]
mod aes;
#[cfg(target_arch = "x86_64")]
mod sha1;

use super::packet::PACKET_LEN_MAX;
use zeroize::Zeroize;

/// Five words: what SHA-1 remembers from block to block.
pub(super) type State = [u32; 5];

/// How many messages are hashed at once.
pub(super) const LANES: usize = 4;

/// Whether this processor hashes several messages at once.
#[inline]
pub(super) fn have_sha1() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("sha") && is_x86_feature_detected!("sse4.1") && is_x86_feature_detected!("ssse3");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Takes as many blocks into each lane's state. Where [`have_sha1`] says no, one lane after the other.
///
/// # Panics
/// If one lane has another number of blocks than the others.
#[inline]
pub(super) fn sha1_compress(states: &mut [State; LANES], blocks: [&[[u8; 64]]; LANES]) {
    assert!(are_equal(&blocks), "the lanes have different numbers of blocks");
    #[cfg(target_arch = "x86_64")]
    if have_sha1() {
        // SAFETY: the features that the function is compiled for were detected just now.
        unsafe { sha1::take(states, blocks, [&[]; LANES], None) };
        return;
    }
    for (state, blocks) in states.iter_mut().zip(blocks) {
        ::sha1::block_api::compress(state, blocks);
    }
}

/// HMAC's inner and outer hash in one: takes each lane's blocks into its state, `whole` before `last`, and then the result into the state
/// of the outer key, which is what `states` hold in the end.
///
/// # Panics
/// If one lane has another number of blocks than the others, in either.
#[inline]
pub(super) fn hmac_sha1(
    states: &mut [State; LANES],
    whole: [&[[u8; 64]]; LANES],
    last: [&[[u8; 64]]; LANES],
    outer: [&State; LANES],
) {
    assert!(are_equal(&whole) && are_equal(&last), "the lanes have different numbers of blocks");
    #[cfg(target_arch = "x86_64")]
    if have_sha1() {
        // SAFETY: the features that the function is compiled for were detected just now.
        unsafe { sha1::take(states, whole, last, Some(outer)) };
        return;
    }
    for (lane, state) in states.iter_mut().enumerate() {
        ::sha1::block_api::compress(state, whole[lane]);
        ::sha1::block_api::compress(state, last[lane]);
        let inner = std::mem::replace(state, *outer[lane]);
        ::sha1::block_api::compress(state, &[outer_block(&inner)]);
    }
}

fn are_equal(blocks: &[&[[u8; 64]]; LANES]) -> bool {
    blocks.iter().all(|lane| lane.len() == blocks[0].len())
}

/// What follows the inner hash in the one block that HMAC's outer hash takes: the padding's first word, and its last, the length in bits of
/// the key's block and the hash. Between them are zeros.
const OUTER_PADDING: [u32; 2] = [1 << 31, 8 * (64 + 20)];

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

/// AES in counter mode with four blocks to an instruction. The key schedule is zeroised when it is dropped.
pub(super) struct AesLanes {
    /// 11, 13 or 15 of them are used.
    round_keys: [[u8; 16]; 15],
    rounds: usize,
}

impl AesLanes {
    /// None if this processor has not the instructions.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn new(key: &[u8]) -> Option<Self> {
        let have_them = is_x86_feature_detected!("aes")
            && is_x86_feature_detected!("vaes")
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw");
        // SAFETY: the features that the function is compiled for were detected just now.
        have_them.then(|| unsafe { aes::expand(key) })
    }

    /// None: only x86-64 has the instructions.
    #[cfg(not(target_arch = "x86_64"))]
    pub(super) fn new(_key: &[u8]) -> Option<Self> {
        None
    }

    /// Exclusive-ors the keystream that begins at this counter block, whose last 16 bits are zeros. False, and nothing is done, if
    /// they do not suffice to count the blocks.
    #[inline]
    pub(super) fn apply_keystream(&self, initial_counter: &[u8; 16], data: &mut [u8]) -> bool {
        if data.len() > PACKET_LEN_MAX {
            return false;
        }
        // SAFETY: there is a value of this type only where the features that the function is compiled for were detected.
        #[cfg(target_arch = "x86_64")]
        unsafe {
            aes::apply_keystream(self, initial_counter, data);
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = (initial_counter, self.rounds);
        true
    }
}

impl Drop for AesLanes {
    fn drop(&mut self) {
        self.round_keys.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Different blocks and different numbers of them, beside the library's own.
    #[test]
    fn each_lane_of_sha1_is_as_the_library_has_it() {
        if !have_sha1() {
            println!("SKIPPED lanes of SHA-1: this processor has not the instructions; the fallback is tested");
        }
        for count in 0..9 {
            let blocks: [Vec<[u8; 64]>; LANES] = std::array::from_fn(|lane| {
                (0..count).map(|block| std::array::from_fn(|at| (at * 5 + block * 31 + lane * 77) as u8)).collect()
            });
            let mut states: [State; LANES] = std::array::from_fn(|lane| [lane as u32, 0x89ab_cdef, 3 << lane, u32::MAX, 7]);
            let mut expected = states;
            for (state, blocks) in expected.iter_mut().zip(&blocks) {
                ::sha1::block_api::compress(state, blocks);
            }
            let inner = states;
            sha1_compress(&mut states, blocks.each_ref().map(|blocks| &blocks[..]));
            assert_eq!(states, expected, "{count} blocks");
            let outer: [State; LANES] = std::array::from_fn(|lane| [7, lane as u32, 9, 1 << 31, 11]);
            for at in 0..=count {
                let (mut states, mut expected) = (inner, outer);
                let halves = blocks.each_ref().map(|blocks| blocks.split_at(at));
                hmac_sha1(&mut states, halves.map(|(whole, _)| whole), halves.map(|(_, last)| last), outer.each_ref());
                for (lane, expected) in expected.iter_mut().enumerate() {
                    let mut inner = inner[lane];
                    ::sha1::block_api::compress(&mut inner, &blocks[lane]);
                    ::sha1::block_api::compress(expected, &[outer_block(&inner)]);
                }
                assert_eq!(states, expected, "{at} of {count} blocks");
            }
        }
    }

    /// Any one lane with a block more or less than the others.
    #[test]
    fn lanes_of_different_lengths_are_refused() {
        let blocks = [[7; 64]; 3];
        let panics = |call: &dyn Fn()| std::panic::catch_unwind(std::panic::AssertUnwindSafe(call)).is_err();
        let outer = [[1; 5]; LANES];
        for (odd, len) in (0..LANES).flat_map(|odd| (1..=3).map(move |len| (odd, len))) {
            let lanes: [&[[u8; 64]]; LANES] = std::array::from_fn(|lane| &blocks[..if lane == odd { len } else { 2 }]);
            let other = [&blocks[..1]; LANES];
            assert_eq!(panics(&|| sha1_compress(&mut [[0; 5]; LANES], lanes)), len != 2, "lane {odd}");
            assert_eq!(panics(&|| hmac_sha1(&mut [[0; 5]; LANES], lanes, other, outer.each_ref())), len != 2, "lane {odd}");
            assert_eq!(panics(&|| hmac_sha1(&mut [[0; 5]; LANES], other, lanes, outer.each_ref())), len != 2, "lane {odd}");
        }
    }
}
