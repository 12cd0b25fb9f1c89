//! `unprotectCtrl` as it was, rewritten small.

use super::{Answer, HEADER_LEN, Stream};
use crate::inputs::one_of;
use crate::toy_cipher;
use stack::buffer::Mbuf;

const INDEX_LEN: usize = 4;
/// HS32 and HS80.
const TAG_LENS: [usize; 2] = [10, 4];
const KEY: u64 = 0x7372_7463;

/// Both sides. `LOOKS` is the mended version.
pub(super) struct Historic<const LOOKS: bool> {
    tag_len: usize,
    next_index: u32,
    taken: u64,
}

impl<const LOOKS: bool> Stream for Historic<LOOKS> {
    fn any() -> Self {
        Historic { tag_len: one_of(&TAG_LENS), next_index: 0, taken: 0 }
    }

    fn overhead(&self) -> usize {
        INDEX_LEN + self.tag_len
    }

    fn protect(&mut self, report: &mut Mbuf) {
        const ROOM: &str = "it may grow";
        toy_cipher::apply_keystream(KEY, self.next_index.into(), &mut report.bytes_mut()[HEADER_LEN..]);
        let tag = toy_cipher::tag(KEY, self.next_index.into(), report.bytes());
        report.append(&self.next_index.to_be_bytes()).expect(ROOM);
        report.append(&tag[..self.tag_len]).expect(ROOM);
        self.next_index += 1;
    }

    fn unprotect(&mut self, packet: &mut Mbuf) -> Answer {
        let length = packet.left();
        // Who calls has looked for a header: the packet would not be RTCP without. The mended version looks for the rest.
        let expected = HEADER_LEN + self.overhead();
        if length < if LOOKS { expected } else { HEADER_LEN } {
            return Answer::TooShort { expected, got: length };
        }
        let payload_len = length as i32 - HEADER_LEN as i32 - self.overhead() as i32;
        // A negative length widens to a great one.
        let (head, rest) = packet.bytes_mut().split_at_mut(HEADER_LEN);
        let payload = &mut rest[..payload_len as usize];
        let signed = [&head[..], &payload[..]].concat();
        let index_at = payload.len();
        let word: [u8; INDEX_LEN] = std::array::from_fn(|at| rest[index_at + at]);
        let index = u32::from_be_bytes(word);
        if rest[index_at + INDEX_LEN..] != toy_cipher::tag(KEY, index.into(), &signed)[..self.tag_len] {
            return Answer::Refused;
        }
        toy_cipher::apply_keystream(KEY, index.into(), &mut rest[..index_at]);
        packet.truncate(HEADER_LEN + index_at).expect("it is shorter");
        self.taken += 1;
        Answer::Taken
    }

    fn taken(&self) -> u64 {
        self.taken
    }
}
