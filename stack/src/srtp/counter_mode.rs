//! AES in counter mode (RFC 3711 section 4.1.1, RFC 6188).

use aes::cipher::{BlockEncrypt, KeyInit};
use aes::{Aes128, Aes192, Aes256, Block};

/// Blocks that are encrypted in one go: twice what the cipher's hardware backends work on at once, so that the ten of 20 ms of G.711
/// are one call.
const BLOCKS: usize = 16;
const BLOCK_LEN: usize = 16;

/// A cipher with its key schedule made, and the session's salt. The key schedule is zeroised when it is dropped.
pub(super) struct CounterMode {
    cipher: Cipher,
    /// The salt in the place that it has in the initial counter block.
    salt: u128,
}

enum Cipher {
    Aes128(Aes128),
    Aes192(Aes192),
    Aes256(Aes256),
}

impl CounterMode {
    /// # Panics
    /// If the key has not 16, 24 or 32 bytes: keys are checked where they come in.
    pub(super) fn new(key: &[u8], salt: [u8; 14]) -> Self {
        let cipher = match key.len() {
            16 => Cipher::Aes128(Aes128::new(key.into())),
            24 => Cipher::Aes192(Aes192::new(key.into())),
            32 => Cipher::Aes256(Aes256::new(key.into())),
            len => unreachable!("expected a key of 16, 24 or 32 bytes, got {len}"),
        };
        let mut block = [0; BLOCK_LEN];
        block[..14].copy_from_slice(&salt);
        CounterMode { cipher, salt: u128::from_be_bytes(block) }
    }

    /// The initial counter block of a packet. The index has 48 bits in SRTP and 31 in SRTCP.
    #[inline]
    pub(super) fn initial_counter(&self, ssrc: u32, index: u64) -> [u8; BLOCK_LEN] {
        (self.salt ^ u128::from(ssrc) << 64 ^ u128::from(index) << 16).to_be_bytes()
    }

    /// Exclusive-ors the keystream that begins at this counter block. The last 16 bits count, so there is keystream for 2^20 bytes:
    /// no packet is as long.
    #[inline]
    pub(super) fn apply_keystream(&self, initial_counter: &[u8; BLOCK_LEN], data: &mut [u8]) {
        match &self.cipher {
            Cipher::Aes128(aes) => apply(aes, initial_counter, data),
            Cipher::Aes192(aes) => apply(aes, initial_counter, data),
            Cipher::Aes256(aes) => apply(aes, initial_counter, data),
        }
    }
}

#[inline]
fn apply<C>(aes: &C, initial_counter: &[u8; BLOCK_LEN], data: &mut [u8])
where
    C: BlockEncrypt<BlockSize = aes::cipher::consts::U16>,
{
    let mut counter = u128::from_be_bytes(*initial_counter);
    let mut keystream = [Block::default(); BLOCKS];
    for part in data.chunks_mut(BLOCKS * BLOCK_LEN) {
        let blocks = part.len().div_ceil(BLOCK_LEN);
        for block in &mut keystream[..blocks] {
            *block = counter.to_be_bytes().into();
            counter = counter.wrapping_add(1);
        }
        aes.encrypt_blocks(&mut keystream[..blocks]);
        let mut whole = part.chunks_exact_mut(BLOCK_LEN);
        let mut keys = keystream.iter();
        for (data, key) in (&mut whole).zip(&mut keys) {
            // The slices are of one block each.
            let data: &mut [u8; BLOCK_LEN] = data.try_into().expect("chunks_exact gives whole blocks");
            *data = (u128::from_ne_bytes(*data) ^ u128::from_ne_bytes((*key).into())).to_ne_bytes();
        }
        if let Some(key) = keys.next() {
            whole.into_remainder().iter_mut().zip(key).for_each(|(data, key)| *data ^= key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::vectors::{KEYSTREAMS, hex};
    use super::*;

    /// RFC 3711 B.2, RFC 6188 7.1 and 7.3: each block of keystream, both as the first and far behind it.
    #[test]
    fn keystreams_are_those_of_the_rfcs() {
        for vector in KEYSTREAMS {
            let salt: [u8; 14] = hex(vector.session_salt).try_into().unwrap();
            let mode = CounterMode::new(&hex(vector.session_key), salt);
            let mut stream = vec![0; BLOCK_LEN << 16];
            mode.apply_keystream(&mode.initial_counter(0, 0), &mut stream);
            for (counter, keystream) in vector.blocks {
                let at = usize::from(counter) * BLOCK_LEN;
                assert_eq!(stream[at..at + BLOCK_LEN], hex(keystream), "RFC section {}, block {counter:#x}", vector.section);
            }
        }
    }

    #[test]
    fn every_length_is_a_prefix_of_the_longest() {
        for key_len in [16, 24, 32] {
            let mode = CounterMode::new(&vec![7; key_len], [9; 14]);
            let counter = mode.initial_counter(0x0102_0304, 0x0506_0708_090a);
            let mut longest = [0; 600];
            mode.apply_keystream(&counter, &mut longest);
            for len in 0..longest.len() {
                let mut data = vec![0; len];
                mode.apply_keystream(&counter, &mut data);
                assert_eq!(data, longest[..len]);
            }
        }
    }
}
