//! The flush as it was, rewritten small.

use super::{Sent, Transport};
use crate::inputs::one_of;

const ROW_LEN: usize = 1_500;
const RECORD_HEADER_LEN: usize = 13;
/// No record is longer, as the library knows what the network takes.
const RECORD_LEN_MAX: usize = 1_200;
/// Of flights, in bytes.
const FLIGHT_LENS: [usize; 10] = [100, 1_400, 1_499, 1_500, 1_501, 2_000, 2_999, 3_000, 3_001, 4_500];

/// `LOOKS` is the mended version.
pub(super) struct Historic<const LOOKS: bool> {
    /// What the library has to send.
    pending: Vec<u8>,
    rows: [[u8; ROW_LEN]; 2],
}

impl<const LOOKS: bool> Historic<LOOKS> {
    /// How much goes into a row.
    fn room(&self) -> usize {
        if !LOOKS {
            return size_of_val(&self.rows);
        }
        let mut room = 0;
        while let Some(header) = self.pending[room..].first_chunk::<RECORD_HEADER_LEN>() {
            let record_len = RECORD_HEADER_LEN + usize::from(u16::from_be_bytes([header[11], header[12]]));
            if room + record_len > ROW_LEN {
                break;
            }
            room += record_len;
        }
        room
    }

    fn flush(&mut self) -> Vec<Vec<u8>> {
        let mut sent = Vec::new();
        while !self.pending.is_empty() {
            let len = self.pending.len().min(self.room());
            let row = &mut self.rows[0];
            row[..len].copy_from_slice(&self.pending[..len]);
            sent.push(row[..len].to_vec());
            self.pending.drain(..len);
        }
        sent
    }
}

/// Records of so many bytes in all.
fn flight(mut len: usize) -> Vec<u8> {
    let mut flight = Vec::new();
    while len > 0 {
        let record_len = match len {
            0..=RECORD_LEN_MAX => len,
            // What is left must have room for a header.
            _ => RECORD_LEN_MAX.min(len - RECORD_HEADER_LEN),
        };
        let body_len = record_len - RECORD_HEADER_LEN;
        flight.extend([22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0]);
        flight.extend((body_len as u16).to_be_bytes());
        flight.extend(vec![7; body_len]);
        len -= record_len;
    }
    flight
}

impl<const LOOKS: bool> Transport for Historic<LOOKS> {
    fn handshake() -> Option<Sent> {
        let flight = flight(one_of(&FLIGHT_LENS));
        let mut transport = Historic::<LOOKS> { pending: flight.clone(), rows: [[0; ROW_LEN]; 2] };
        let datagrams = transport.flush();
        let is_complete = datagrams.concat() == flight;
        Some(Sent { limit: ROW_LEN, datagrams, is_complete })
    }
}
