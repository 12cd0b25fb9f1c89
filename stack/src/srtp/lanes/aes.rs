//! AES in counter mode, four blocks to a vector of 512 bits and four vectors at a time.

use super::AesLanes;
use std::arch::x86_64::*;

/// Blocks in a vector.
const WIDTH: usize = 4;
/// As many vectors are under way together as hide how long a round takes.
const VECTORS: usize = 4;

/// FIPS 197 section 5.2: the round keys of a key of 16, 24 or 32 bytes.
#[target_feature(enable = "aes,sse2")]
pub(super) fn expand(key: &[u8]) -> AesLanes {
    let key_words = key.len() / 4;
    let rounds = key_words + 6;
    let mut words = [0u32; 4 * 15];
    for (word, bytes) in words.iter_mut().zip(key.as_chunks().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    let mut round_constant = 1u8;
    for at in key_words..4 * (rounds + 1) {
        let mut word = words[at - 1];
        if at % key_words == 0 {
            word = substitute(word).rotate_right(8) ^ u32::from(round_constant);
            // Doubling in AES's field.
            round_constant = (round_constant << 1) ^ ((round_constant >> 7) * 0x1b);
        } else if key_words > 6 && at % key_words == 4 {
            word = substitute(word);
        }
        words[at] = words[at - key_words] ^ word;
    }
    let mut lanes = AesLanes { round_keys: [[0; 16]; 15], rounds };
    for (bytes, word) in lanes.round_keys.as_flattened_mut().as_chunks_mut().0.iter_mut().zip(&mut words) {
        *bytes = std::mem::take(word).to_le_bytes();
    }
    // The copy is as good as the key.
    std::hint::black_box(&mut words);
    lanes
}

/// The S-box on each byte, in the processor: a table in memory would tell by its cache lines what was looked up.
#[target_feature(enable = "aes,sse2")]
#[inline]
fn substitute(word: u32) -> u32 {
    _mm_cvtsi128_si32(_mm_aeskeygenassist_si128::<0>(_mm_set1_epi32(word as i32))) as u32
}

#[target_feature(enable = "avx512f,avx512bw,vaes")]
pub(super) fn apply_keystream(lanes: &AesLanes, initial_counter: &[u8; 16], data: &mut [u8]) {
    match lanes.rounds {
        10 => apply::<10>(lanes, initial_counter, data),
        12 => apply::<12>(lanes, initial_counter, data),
        _ => apply::<14>(lanes, initial_counter, data),
    }
}

#[target_feature(enable = "avx512f,avx512bw,vaes")]
#[inline]
fn apply<const ROUNDS: usize>(lanes: &AesLanes, initial_counter: &[u8; 16], data: &mut [u8]) {
    let mut keys = [_mm512_setzero_si512(); 15];
    for (key, bytes) in keys[..=ROUNDS].iter_mut().zip(&lanes.round_keys) {
        *key = _mm512_broadcast_i32x4(bytemuck::cast(*bytes));
    }
    let initial_counter = _mm512_broadcast_i32x4(bytemuck::cast(*initial_counter));
    // The number of each block, in the last word of its place.
    let mut count = _mm512_set_epi32(3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0);
    let (quads, rest) = data.as_chunks_mut::<{ 16 * WIDTH * VECTORS }>();
    for quad in quads {
        let (vectors, _) = quad.as_chunks_mut::<{ 16 * WIDTH }>();
        let keystream = keystream::<ROUNDS, VECTORS>(&keys, initial_counter, &mut count);
        for (data, keystream) in vectors.iter_mut().zip(keystream) {
            *data = bytemuck::cast(_mm512_xor_si512(bytemuck::cast(*data), keystream));
        }
    }
    match rest.len().div_ceil(16 * WIDTH) {
        0 => {}
        1 => xor(rest, keystream::<ROUNDS, 1>(&keys, initial_counter, &mut count)),
        2 => xor(rest, keystream::<ROUNDS, 2>(&keys, initial_counter, &mut count)),
        3 => xor(rest, keystream::<ROUNDS, 3>(&keys, initial_counter, &mut count)),
        _ => xor(rest, keystream::<ROUNDS, 4>(&keys, initial_counter, &mut count)),
    }
}

/// The keystream of the next `N` vectors of blocks.
#[target_feature(enable = "avx512f,avx512bw,vaes")]
#[inline]
fn keystream<const ROUNDS: usize, const N: usize>(
    keys: &[__m512i; 15],
    initial_counter: __m512i,
    count: &mut __m512i,
) -> [__m512i; N] {
    let big_endian = _mm512_broadcast_i32x4(_mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3));
    let mut blocks = [initial_counter; N];
    for block in &mut blocks {
        // The initial counter ends in 16 zero bits and there are no more blocks than those can count, so adding is exclusive-or.
        *block = _mm512_xor_si512(*block, _mm512_shuffle_epi8(*count, big_endian));
        *block = _mm512_xor_si512(*block, keys[0]);
        *count = _mm512_add_epi32(*count, _mm512_broadcast_i32x4(_mm_set_epi32(WIDTH as i32, 0, 0, 0)));
    }
    for key in &keys[1..ROUNDS] {
        for block in &mut blocks {
            *block = _mm512_aesenc_epi128(*block, *key);
        }
    }
    for block in &mut blocks {
        *block = _mm512_aesenclast_epi128(*block, keys[ROUNDS]);
    }
    blocks
}

/// Exclusive-ors what is there of the vectors.
#[target_feature(enable = "avx512f,avx512bw,vaes")]
#[inline]
fn xor<const N: usize>(data: &mut [u8], keystream: [__m512i; N]) {
    let (vectors, rest) = data.as_chunks_mut::<{ 16 * WIDTH }>();
    let (whole, last) = keystream.split_at(vectors.len());
    for (data, keystream) in vectors.iter_mut().zip(whole) {
        *data = bytemuck::cast(_mm512_xor_si512(bytemuck::cast(*data), *keystream));
    }
    let Some(last) = last.first() else { return };
    let keystream: [u8; 16 * WIDTH] = bytemuck::cast(*last);
    let (blocks, rest) = rest.as_chunks_mut::<16>();
    for (data, keystream) in blocks.iter_mut().zip(keystream.as_chunks::<16>().0) {
        *data = (u128::from_ne_bytes(*data) ^ u128::from_ne_bytes(*keystream)).to_ne_bytes();
    }
    let used = 16 * blocks.len();
    rest.iter_mut().zip(&keystream[used..]).for_each(|(data, keystream)| *data ^= keystream);
}
