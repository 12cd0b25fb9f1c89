//! AES in counter mode (RFC 3711 section 4.1.1, RFC 6188).

use super::sha1_lanes::LANES;
use aes::cipher::consts::U16;
use aes::cipher::{BlockCipher, BlockEncrypt, BlockSizeUser, InnerIvInit, KeyInit, StreamCipher, StreamCipherCoreWrapper};
use aes::{Aes128, Aes192, Aes256, Block};
use ctr::CtrCore;
use ctr::flavors::Ctr128BE;
use zeroize::Zeroize;

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

    /// The same for several packets at once, whose blocks fill the cipher's pipeline where those of one would not.
    #[inline]
    pub(super) fn apply_keystreams(&self, payloads: &mut Payloads<'_>, keystream: &mut Keystream) {
        match &self.cipher {
            Cipher::Aes128(aes) => apply_to_all(aes, payloads, keystream),
            Cipher::Aes192(aes) => apply_to_all(aes, payloads, keystream),
            Cipher::Aes256(aes) => apply_to_all(aes, payloads, keystream),
        }
    }

    /// Exclusive-ors the keystream that begins at this counter block. Its last 16 bits are zeros that count the blocks, of which no packet
    /// has as many.
    #[inline]
    pub(super) fn apply_keystream(&self, initial_counter: &[u8; BLOCK_LEN], data: &mut [u8]) {
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

/// Initial counter blocks and payloads of the packets of a batch.
pub(super) type Payloads<'a> = [Option<([u8; BLOCK_LEN], &'a mut [u8])>; LANES];

/// Room for the keystreams of a batch: four packets of 20 ms of G.711 and more. Longer packets fill the pipeline by themselves.
const BLOCKS: usize = 64;

/// 0, 1, 2 and so on in the last 16 bits of a counter block.
static COUNTS: [[u8; BLOCK_LEN]; BLOCKS] = {
    let mut counts = [[0; BLOCK_LEN]; BLOCKS];
    let mut count = 0;
    while count < BLOCKS {
        counts[count][BLOCK_LEN - 1] = count as u8;
        count += 1;
    }
    counts
};

/// Where keystreams are made. It is zeroised when it is dropped.
pub(super) struct Keystream(Box<[Block; BLOCKS]>);

impl Keystream {
    pub(super) fn new() -> Self {
        Keystream(Box::new([Block::default(); BLOCKS]))
    }
}

impl Drop for Keystream {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(|block| block.zeroize());
    }
}

#[inline]
fn apply_to_all<C>(aes: &C, payloads: &mut Payloads<'_>, keystream: &mut Keystream)
where
    C: BlockEncrypt + BlockCipher + BlockSizeUser<BlockSize = U16>,
{
    let blocks: usize = payloads.iter().flatten().map(|(_, payload)| payload.len().div_ceil(BLOCK_LEN)).sum();
    let Some(keystream) = keystream.0.get_mut(..blocks) else {
        for (initial_counter, payload) in payloads.iter_mut().flatten() {
            apply(aes, initial_counter, payload);
        }
        return;
    };
    let mut rest = &mut keystream[..];
    for (initial_counter, payload) in payloads.iter().flatten() {
        let (own, others) = rest.split_at_mut(payload.len().div_ceil(BLOCK_LEN));
        // The last 16 bits of an initial counter block are zeros, so that counting is exclusive-or: all of a block in one piece, which the
        // cipher need not wait for.
        for (block, count) in own.iter_mut().zip(&COUNTS) {
            let mut counter = *initial_counter;
            counter.iter_mut().zip(count).for_each(|(byte, count)| *byte ^= count);
            *block = counter.into();
        }
        rest = others;
    }
    aes.encrypt_blocks(keystream);
    let mut rest = &*keystream;
    for (_, payload) in payloads.iter_mut().flatten() {
        let (own, others) = rest.split_at(payload.len().div_ceil(BLOCK_LEN));
        let (whole, end) = payload.as_chunks_mut::<BLOCK_LEN>();
        for (data, key) in whole.iter_mut().zip(own) {
            *data = (u128::from_ne_bytes(*data) ^ u128::from_ne_bytes((*key).into())).to_ne_bytes();
        }
        if let Some(key) = own.last() {
            end.iter_mut().zip(key).for_each(|(data, key)| *data ^= key);
        }
        rest = others;
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

    /// Lengths that fit together and lengths that do not, with places that have none.
    #[test]
    fn several_at_once_are_each_as_alone() {
        let mode = CounterMode::new(&[7; 16], [9; 14]);
        let mut keystream = Keystream::new();
        for lens in [
            [160; LANES],
            [0, 1, 15, 16],
            [17, 0, 31, 300],
            [1000, 8, 16, 0],
            [1024, 1, 1, 1],
            [256; LANES],
            [257, 256, 256, 256],
        ] {
            for places in 0..1 << LANES {
                let mut together = lens.map(|len| vec![3; len]);
                let mut payloads = [const { None }; LANES];
                for (place, payload) in together.iter_mut().enumerate().filter(|(place, _)| places & (1 << place) != 0) {
                    payloads[place] = Some((mode.initial_counter(place as u32, 5), &mut payload[..]));
                }
                mode.apply_keystreams(&mut payloads, &mut keystream);
                for (place, payload) in together.iter().enumerate() {
                    let mut alone = vec![3; lens[place]];
                    if places & (1 << place) != 0 {
                        mode.apply_keystream(&mode.initial_counter(place as u32, 5), &mut alone);
                    }
                    assert_eq!(*payload, alone, "{lens:?}, place {place} of {places:#06b}");
                }
            }
        }
    }
}
