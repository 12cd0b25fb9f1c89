//! AES in counter mode (RFC 3711 section 4.1.1, RFC 6188).

use super::lanes::AesLanes;
use aes::cipher::consts::U16;
use aes::cipher::{BlockCipher, BlockEncrypt, BlockSizeUser, InnerIvInit, KeyInit, StreamCipher, StreamCipherCoreWrapper};
use aes::{Aes128, Aes192, Aes256};
use ctr::CtrCore;
use ctr::flavors::Ctr128BE;
use zeroize::Zeroize;

const BLOCK_LEN: usize = 16;

/// A cipher with its key schedule made, and the session's salt. Both are zeroised when they are dropped.
pub(super) struct CounterMode {
    /// Where the processor has instructions for several blocks: at the size of a packet they take a third of the library's time.
    lanes: Option<AesLanes>,
    cipher: Cipher,
    /// The salt in the place that it has in the initial counter block.
    salt: u128,
}

impl Drop for CounterMode {
    fn drop(&mut self) {
        self.salt.zeroize();
    }
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
        CounterMode { lanes: AesLanes::new(key), cipher, salt: u128::from_be_bytes(block) }
    }

    /// The initial counter block of a packet. The index has 48 bits in SRTP and 31 in SRTCP.
    #[inline]
    pub(super) fn initial_counter(&self, ssrc: u32, index: u64) -> [u8; BLOCK_LEN] {
        (self.salt ^ u128::from(ssrc) << 64 ^ u128::from(index) << 16).to_be_bytes()
    }

    /// Exclusive-ors the keystream that begins at this counter block. Its last 16 bits are zeros that count the blocks: `PACKET_LEN_MAX`
    /// sees to it that no packet has more.
    #[inline]
    pub(super) fn apply_keystream(&self, initial_counter: &[u8; BLOCK_LEN], data: &mut [u8]) {
        if self.lanes.as_ref().is_some_and(|lanes| lanes.apply_keystream(initial_counter, data)) {
            return;
        }
        match &self.cipher {
            Cipher::Aes128(aes) => apply(aes, initial_counter, data),
            Cipher::Aes192(aes) => apply(aes, initial_counter, data),
            Cipher::Aes256(aes) => apply(aes, initial_counter, data),
        }
    }
}

/// The cipher is borrowed: its key schedule was made once.
#[inline]
fn apply<C>(aes: &C, initial_counter: &[u8; BLOCK_LEN], data: &mut [u8])
where
    C: BlockEncrypt + BlockCipher + BlockSizeUser<BlockSize = U16>,
{
    let core = CtrCore::<&C, Ctr128BE>::inner_iv_init(aes, initial_counter.into());
    StreamCipherCoreWrapper::from_core(core).apply_keystream(data);
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

    /// Every length, key length and counter, beside the library alone.
    #[test]
    fn lanes_give_what_the_library_gives() {
        for key_len in [16, 24, 32] {
            for seed in 0..20u8 {
                let key: Vec<u8> = (0..key_len).map(|at| (at as u8).wrapping_mul(seed).wrapping_add(seed)).collect();
                let mut alone = CounterMode::new(&key, [seed.wrapping_mul(37); 14]);
                if alone.lanes.is_none() {
                    println!("SKIPPED lanes of AES: this processor has not the instructions; the library is tested");
                    return;
                }
                let with_lanes = CounterMode::new(&key, [seed.wrapping_mul(37); 14]);
                alone.lanes = None;
                let counter = alone.initial_counter(u32::MAX >> seed, u64::MAX >> 16 >> seed);
                for len in (0..530).chain([1023, 1200, 4097]).chain((seed == 0).then_some((1 << 20) + 16)) {
                    let (mut expected, mut got) = (vec![seed; len], vec![seed; len]);
                    alone.apply_keystream(&counter, &mut expected);
                    with_lanes.apply_keystream(&counter, &mut got);
                    assert!(expected == got, "key of {key_len} bytes, {len} bytes");
                }
            }
        }
    }
}
