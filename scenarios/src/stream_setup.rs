//! Our own streams, set up for a driver.

use crate::dtls_setup::beginning;
use sim::time::Duration;
use stack::media::clock::Tick;
use stack::media::stream::{Content, Payload, PayloadSink, PayloadSource, StreamConfig};

/// What every packet carries.
pub(crate) const PLAIN: &[u8] = b"plain words, which nobody on the way is to read";
const SSRC: u32 = 7;
const PEERS_SSRC: u32 = 9;

/// A stream of payloads, both ways.
pub(crate) fn config() -> StreamConfig {
    StreamConfig { ssrc: SSRC, seed: Some(0), ..StreamConfig::default() }
}

/// What it carries: the same words at each tick, and what comes goes to `sink`.
pub(crate) fn content(sink: impl PayloadSink + 'static) -> Content {
    Content::payloads(Box::new(Words), Box::new(sink))
}

/// The tick of this number.
pub(crate) fn tick(number: u64) -> Tick {
    let samples = config().samples_per_tick;
    let due = beginning() + TICK * number as u32;
    Tick { index: number, timestamp_samples: number * u64::from(samples), due, lateness: Duration::ZERO, skipped: 0 }
}

struct Words;

impl PayloadSource for Words {
    fn frame(&mut self, _wants_key_frame: bool) -> Vec<Vec<u8>> {
        vec![PLAIN.to_vec()]
    }
}

/// Nobody hears what comes.
pub(crate) struct Unheard;

impl PayloadSink for Unheard {
    fn take(&mut self, _payload: Payload) {}
}

/// The peer's RTP packet of this number.
pub(crate) fn rtp(number: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 0];
    packet.extend(number.to_be_bytes());
    packet.extend((u32::from(number) * config().samples_per_tick).to_be_bytes());
    packet.extend(PEERS_SSRC.to_be_bytes());
    packet.extend(PLAIN);
    packet
}

/// A report of the peer's that carries the words too.
pub(crate) fn rtcp() -> Vec<u8> {
    let mut report = vec![0x80, 201, 0, 1];
    report.extend(PEERS_SSRC.to_be_bytes());
    // An APP packet: header, source and name, and the words.
    let words = PLAIN.len() / 4;
    report.extend([0x80, 204, 0, 2 + words as u8]);
    report.extend(PEERS_SSRC.to_be_bytes());
    report.extend(b"word");
    report.extend(&PLAIN[..4 * words]);
    report
}

/// Whether these bytes carry the words where anyone can read them.
pub(crate) fn is_in_clear(packet: &[u8]) -> bool {
    packet.windows(16).any(|window| window == &PLAIN[..16])
}

/// From one tick to the next.
pub(crate) const TICK: Duration = Duration::from_millis(20);
