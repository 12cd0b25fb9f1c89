//! A cipher and a tag for historic subjects.
//!
//! Their bugs are of lengths, orders and lifetimes, for which any function of a key will do: this one is a keyed checksum that anyone
//! could forge. What tells a packet from a damaged one is all that is asked of it. Our own stack never sees it.

/// As long as the longest tag of SRTP.
pub(crate) const TAG_LEN_MAX: usize = 16;

/// Encrypts or decrypts the packet of this index.
pub(crate) fn apply_keystream(key: u64, index: u64, bytes: &mut [u8]) {
    let mut state = mix(key ^ mix(index));
    for block in bytes.chunks_mut(8) {
        state = mix(state);
        block.iter_mut().zip(state.to_be_bytes()).for_each(|(byte, stream)| *byte ^= stream);
    }
}

/// The tag of a packet with this index, of which a profile takes the beginning.
pub(crate) fn tag(key: u64, index: u64, bytes: &[u8]) -> [u8; TAG_LEN_MAX] {
    let start = mix(key.rotate_left(17) ^ mix(index) ^ bytes.len() as u64);
    let state = bytes.iter().fold(start, |state, byte| mix(state ^ u64::from(*byte)));
    let mut tag = [0; TAG_LEN_MAX];
    tag[..8].copy_from_slice(&state.to_be_bytes());
    tag[8..].copy_from_slice(&mix(state).to_be_bytes());
    tag
}

/// A permutation of 64 bits in which every bit of the input reaches every bit of the output.
fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 29)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    value ^ (value >> 32)
}
