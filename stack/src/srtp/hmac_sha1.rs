//! HMAC-SHA1 with the key's two blocks hashed once, for one packet or for several at once.

use super::lanes::{self, LANES, State};
use sha1::block_api::compress;
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// How long a whole tag is, in bytes. SRTP sends the first 10 or 4.
pub(super) const TAG_LEN: usize = 20;

const BLOCK_LEN: usize = 64;
const INITIAL: State = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];

/// The states of SHA-1 after the key's inner and outer block (RFC 2104). They are as good as the key, and zeroised when dropped.
pub(super) struct HmacSha1 {
    inner: State,
    outer: State,
}

/// What one packet's tag is made of.
#[derive(Clone, Copy)]
pub(super) struct Job<'a> {
    pub(super) key: &'a HmacSha1,
    pub(super) data: &'a [u8],
    /// What follows the data though it is not sent: SRTP's rollover counter.
    pub(super) trailer: Trailer,
}

/// Nothing, or four bytes.
pub(super) type Trailer = Option<[u8; 4]>;

impl HmacSha1 {
    /// # Panics
    /// If the key is longer than a block: SRTP's have 20 bytes.
    pub(super) fn new(key: &[u8]) -> Self {
        assert!(key.len() <= BLOCK_LEN, "expected at most {BLOCK_LEN} bytes of key, got {}", key.len());
        let state_after = |pad: u8| {
            let mut block = [pad; BLOCK_LEN];
            block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
            let mut state = INITIAL;
            compress(&mut state, &[block]);
            block.zeroize();
            state
        };
        HmacSha1 { inner: state_after(0x36), outer: state_after(0x5c) }
    }

    /// The tag of one packet.
    #[inline]
    pub(super) fn tag(&self, data: &[u8], trailer: Trailer) -> [u8; TAG_LEN] {
        let (whole, _) = data.as_chunks();
        let mut last = LastBlocks::EMPTY;
        last.fill(data, trailer);
        let mut state = self.inner;
        compress(&mut state, whole);
        compress(&mut state, last.blocks());
        let mut outer = self.outer;
        compress(&mut outer, &[lanes::outer_block(&state)]);
        bytes_of(&outer)
    }
}

impl Drop for HmacSha1 {
    fn drop(&mut self) {
        self.inner.zeroize();
        self.outer.zeroize();
    }
}

/// The tags of up to [`LANES`] packets, of any lengths, each in its job's place. One tag alone is bound to wait for each of its rounds;
/// together they fill each other's waits, where the processor has the instructions.
pub(super) fn tags(jobs: &[Option<Job<'_>>; LANES]) -> [[u8; TAG_LEN]; LANES] {
    let Some(first) = jobs.iter().flatten().next() else { return [[0; TAG_LEN]; LANES] };
    if jobs.iter().flatten().count() == 1 || !lanes::have_sha1() {
        return jobs.map(|job| job.map_or([0; TAG_LEN], |job| job.key.tag(job.data, job.trailer)));
    }
    // A lane with no job does the first one's work again: it costs nothing beside the others.
    let mut last = [const { LastBlocks::EMPTY }; LANES];
    let mut states = [INITIAL; LANES];
    let mut rest: [&[[u8; BLOCK_LEN]]; LANES] = [&[]; LANES];
    let mut outer_keys = [&first.key.outer; LANES];
    for lane in 0..LANES {
        let job = jobs[lane].as_ref().unwrap_or(first);
        last[lane].fill(job.data, job.trailer);
        states[lane] = job.key.inner;
        rest[lane] = job.data.as_chunks().0;
        outer_keys[lane] = &job.key.outer;
    }
    let last = [last[0].blocks(), last[1].blocks(), last[2].blocks(), last[3].blocks()];
    let mut tags = [[0; TAG_LEN]; LANES];
    if (1..LANES).all(|lane| rest[lane].len() == rest[0].len() && last[lane].len() == last[0].len()) {
        lanes::hmac_sha1(&mut states, rest, last, outer_keys);
    } else {
        compress_unequal(&mut states, rest);
        compress_unequal(&mut states, last);
        lanes::hmac_sha1(&mut states, [&[]; LANES], [&[]; LANES], outer_keys);
    }
    for (tag, state) in tags.iter_mut().zip(&states) {
        *tag = bytes_of(state);
    }
    tags
}

/// Whether a tag begins with these bytes. Takes the same time whatever they are: no branch looks at them.
#[inline]
pub(super) fn begins_with(tag: &[u8; TAG_LEN], sent: &[u8]) -> bool {
    if let (Some(tag), Ok(sent)) = (tag.first_chunk::<10>(), <&[u8; 10]>::try_from(sent)) {
        // Of the common length: two words take a fifth of the time of ten bytes.
        let words = |[head @ .., a, b]: [u8; 10]| (u64::from_ne_bytes(head), u16::from_ne_bytes([a, b]));
        let ((head, end), (sent_head, sent_end)) = (words(*tag), words(*sent));
        return (head.ct_eq(&sent_head) & end.ct_eq(&sent_end)).into();
    }
    tag[..sent.len()].ct_eq(sent).into()
}

/// Takes each lane's blocks into its state, though some have more than others.
#[inline]
fn compress_unequal(states: &mut [State; LANES], mut rest: [&[[u8; BLOCK_LEN]]; LANES]) {
    loop {
        let lens = rest.map(|rest| rest.len());
        let shortest = lens.into_iter().min().unwrap_or(0);
        if shortest > 0 {
            lanes::sha1_compress(states, rest.map(|rest| &rest[..shortest]));
            rest = rest.map(|rest| &rest[shortest..]);
            continue;
        }
        let mut working = (0..LANES).filter(|lane| lens[*lane] > 0);
        let Some(first) = working.next() else { return };
        if working.next().is_none() {
            compress(&mut states[first], rest[first]);
            return;
        }
        // As far as every lane that has blocks has them. One that has none does another's work, and forgets it.
        let run = lens.into_iter().filter(|len| *len > 0).min().unwrap_or(0);
        let before = *states;
        lanes::sha1_compress(states, rest.map(|own| if own.is_empty() { &rest[first][..run] } else { &own[..run] }));
        for lane in (0..LANES).filter(|lane| lens[*lane] == 0) {
            states[lane] = before[lane];
        }
        rest = rest.map(|rest| rest.get(run..).unwrap_or_default());
    }
}

/// The end of a message: what of it fills no block, the trailer, and SHA-1's padding with the length.
// A block begins with a cache line, so that no load crosses from one to the next.
#[repr(align(64))]
struct LastBlocks {
    bytes: [[u8; BLOCK_LEN]; 2],
    count: usize,
}

impl LastBlocks {
    const EMPTY: LastBlocks = LastBlocks { bytes: [[0; BLOCK_LEN]; 2], count: 0 };

    #[inline]
    fn fill(&mut self, data: &[u8], trailer: Trailer) {
        let (whole, rest) = data.as_chunks::<BLOCK_LEN>();
        let flat = self.bytes.as_flattened_mut();
        let mut len = rest.len();
        // In pieces whose length the compiler knows, of which the last may lie over the one before: a call would take as long again.
        match (rest.last_chunk::<16>(), flat[..len].last_chunk_mut::<16>()) {
            (Some(end), Some(place)) => {
                *place = *end;
                for (place, piece) in flat.as_chunks_mut::<16>().0.iter_mut().zip(rest.as_chunks::<16>().0) {
                    *place = *piece;
                }
            }
            _ => flat[..len].copy_from_slice(rest),
        }
        if let Some(trailer) = trailer {
            flat[len..len + 4].copy_from_slice(&trailer);
            len += 4;
        }
        flat[len] = 0x80;
        // The padding byte and 64 bits of length have to fit.
        let count = if len + 1 + 8 <= BLOCK_LEN { 1 } else { 2 };
        // The key's block comes before the message.
        let len_bits = ((1 + whole.len()) * BLOCK_LEN + len) as u64 * 8;
        flat[count * BLOCK_LEN - 8..count * BLOCK_LEN].copy_from_slice(&len_bits.to_be_bytes());
        self.count = count;
    }

    #[inline]
    fn blocks(&self) -> &[[u8; BLOCK_LEN]] {
        &self.bytes[..self.count]
    }
}

#[inline]
fn bytes_of(state: &State) -> [u8; TAG_LEN] {
    let mut bytes = [0; TAG_LEN];
    for (bytes, word) in bytes.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::super::vectors::hex;
    use super::*;

    /// RFC 2202 section 3, the keys that are no longer than a block.
    #[test]
    fn tags_are_those_of_the_rfc() {
        let cases: [(&[u8], &[u8], &str); 5] = [
            (&[0x0b; 20], b"Hi There", "b617318655057264e28bc0b6fb378c8ef146be00"),
            (b"Jefe", b"what do ya want for nothing?", "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
            (&[0xaa; 20], &[0xdd; 50], "125d7342b9ac11cd91a39af48aa17b4f63f175d3"),
            (&hex("0102030405060708090a0b0c0d0e0f10111213141516171819"), &[0xcd; 50], "4c9007f4026250c6bc8414f9bf50c86c2d7235da"),
            (&[0x0c; 20], b"Test With Truncation", "4c1a03424b55e07fe7f27be1d58bb9324a9a5a04"),
        ];
        for (key, data, tag) in cases {
            assert_eq!(HmacSha1::new(key).tag(data, None)[..], hex(tag));
        }
    }

    /// Lengths of every kind beside each other, with and without a trailer, for every set of jobs.
    #[test]
    fn several_at_once_are_each_as_alone() {
        if !lanes::have_sha1() {
            println!("SKIPPED lanes of SHA-1: this processor has not the instructions; the fallback is tested");
        }
        let bytes: Vec<u8> = (0..400u16).map(|at| at as u8).collect();
        let keys: Vec<HmacSha1> = (0..LANES as u8).map(|key| HmacSha1::new(&[key; 20])).collect();
        for a in (0..140).chain([255, 256, 257, 383, 384]) {
            for b in [0, 1, 50, 51, 55, 56, 59, 60, 63, 64, 65, 119, 120, 128, 172, 300] {
                let lens = [a, b, (a * 7 + b) % 400, (a + 3 * b) % 130];
                let jobs: [Job<'_>; LANES] = std::array::from_fn(|lane| {
                    let trailer = ((a + b + lane) % 2 == 0).then_some([1, 2, 3, lane as u8]);
                    Job { key: &keys[lane], data: &bytes[..lens[lane]], trailer }
                });
                let alone = jobs.map(|job| job.key.tag(job.data, job.trailer));
                for places in 0..1 << LANES {
                    let is_there = |lane: usize| places & (1 << lane) != 0;
                    let together = tags(&std::array::from_fn(|lane| is_there(lane).then_some(jobs[lane])));
                    for lane in (0..LANES).filter(|lane| is_there(*lane)) {
                        assert_eq!(together[lane], alone[lane], "lengths {lens:?}, lane {lane} of {places:#06b}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_tag_begins_with_its_own_bytes_and_with_no_others() {
        let tag: [u8; TAG_LEN] = std::array::from_fn(|at| at as u8);
        for len in 0..=TAG_LEN {
            assert!(begins_with(&tag, &tag[..len]));
            for bit in 0..8 * len {
                let mut sent = tag[..len].to_vec();
                sent[bit / 8] ^= 1 << (bit % 8);
                assert!(!begins_with(&tag, &sent), "{len} bytes, bit {bit}");
            }
        }
    }

    #[test]
    fn a_trailer_is_as_if_it_were_data() {
        let key = HmacSha1::new(&[7; 20]);
        for len in 0..200 {
            let mut data = vec![9; len];
            let tag = key.tag(&data, Some([1, 2, 3, 4]));
            data.extend_from_slice(&[1, 2, 3, 4]);
            assert_eq!(tag, key.tag(&data, None), "{len}");
        }
    }
}
