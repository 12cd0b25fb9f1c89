//! What is sent: RTP and RTCP packets of several streams, whose sequence numbers now and then jump, come twice or come late.

use super::random::Random;
use super::{Limits, Protocol};

/// A packet before it is protected.
#[derive(Clone, Debug)]
pub(crate) struct Plain {
    pub(crate) protocol: Protocol,
    /// Under which master key it goes out.
    pub(crate) key: usize,
    pub(crate) bytes: Vec<u8>,
    pub(crate) stream: usize,
    /// Its sequence number, counted on past rollovers; of an RTCP packet, that of the RTP packet to come.
    pub(crate) position: u64,
    /// A stream's first packet, or one far from the one before: if receivers missed it they might lose the rollover counter, and
    /// nothing would be accepted any more.
    pub(crate) essential: bool,
    step: Step,
}

/// How a packet's sequence number follows from the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Next,
    /// The stream goes on from there.
    Jump,
    /// It goes on from where it was.
    Once,
}

pub(crate) struct Traffic {
    streams: Vec<Stream>,
    limits: Limits,
    window_packets: u32,
    keys: usize,
    key: usize,
    rtcp_per_mille: usize,
}

struct Stream {
    ssrc: u32,
    /// Sequence numbers are the low 16 bits.
    next: u64,
    /// Where a packet that went far away went.
    stray: Option<u64>,
    has_sent_rtp: bool,
    has_sent_rtcp: bool,
}

impl Traffic {
    pub(crate) fn new(random: &mut Random, limits: Limits, window_packets: u32, keys: usize) -> Self {
        let streams = random.between(1, 6);
        let streams = (0..streams).map(|_| {
            let next = match random.below(4) {
                0 => random.below(1 << 16),
                1 => 65_400 + random.below(136),
                2 => 32_700 + random.below(136),
                _ => random.below(3),
            };
            let next = if limits.goes_half_way_round { next } else { next.max(2 * window_packets as usize) };
            let next = next as u64 | 1 << 32;
            Stream { ssrc: random.next() as u32, next, stray: None, has_sent_rtp: false, has_sent_rtcp: false }
        });
        let streams = streams.collect();
        let rtcp_per_mille = *random.pick(&[50, 150, 500]);
        Self { streams, limits, window_packets, keys, key: 0, rtcp_per_mille }
    }

    pub(crate) fn ssrcs(&self) -> impl Iterator<Item = u32> + '_ {
        self.streams.iter().map(|stream| stream.ssrc)
    }

    pub(crate) fn next(&mut self, random: &mut Random) -> Plain {
        if self.keys > 1 && random.chance(30) {
            self.key = random.below(self.keys);
        }
        let stream = random.below(self.streams.len());
        if random.chance(self.rtcp_per_mille) {
            let essential = !std::mem::replace(&mut self.streams[stream].has_sent_rtcp, true);
            let bytes = rtcp(random, self.streams[stream].ssrc);
            let position = self.streams[stream].next;
            return Plain { protocol: Protocol::Rtcp, key: self.key, bytes, stream, position, essential, step: Step::Next };
        }
        let (position, step) = self.position(random, stream);
        let essential = !std::mem::replace(&mut self.streams[stream].has_sent_rtp, true) || step == Step::Jump;
        let bytes = rtp(random, position as u16, self.streams[stream].ssrc);
        Plain { protocol: Protocol::Rtp, key: self.key, bytes, stream, position, essential, step }
    }

    fn position(&mut self, random: &mut Random, stream: usize) -> (u64, Step) {
        let window = self.window_packets as usize;
        let Limits { jump_max, goes_half_way_round, .. } = self.limits;
        let stream = &mut self.streams[stream];
        let roll = if stream.has_sent_rtp { random.below(1000) } else { 999 };
        match roll {
            0..10 => {
                stream.next += random.between(1, 2 * window) as u64;
                (take(&mut stream.next), Step::Next)
            }
            10..16 => {
                stream.next += random.between(1, jump_max) as u64;
                (take(&mut stream.next), Step::Jump)
            }
            // Late: used, or skipped, or before the window.
            16..31 => (stream.next - random.between(1, window + 40) as u64, Step::Once),
            31..34 => (stream.next - random.between(window - 1, window + 2) as u64, Step::Once),
            34..39 => (stream.next - 1, Step::Once),
            39 if goes_half_way_round => {
                let far = stream.next + random.between(0x7f00, 0x8100) as u64;
                stream.stray = Some(far);
                (far, Step::Jump)
            }
            40 if goes_half_way_round => {
                let far = stream.next + random.between(0x7ffd, 0x8002) as u64;
                stream.stray = Some(far);
                (far, Step::Jump)
            }
            _ => (take(&mut stream.next), Step::Next),
        }
    }

    /// Tells which packets were protected. A stream of which a packet went so far ahead that it is late now goes on from there.
    pub(crate) fn settle(&mut self, sent: &[Plain], is_protected: &[bool]) {
        for (plain, is_protected) in sent.iter().zip(is_protected) {
            if plain.step == Step::Next && plain.protocol == Protocol::Rtp && !is_protected {
                let stream = &mut self.streams[plain.stream];
                if let Some(stray) = stream.stray.take() {
                    stream.next = stray + 1;
                }
            }
        }
    }
}

fn take(next: &mut u64) -> u64 {
    *next += 1;
    *next - 1
}

fn rtp(random: &mut Random, sequence_number: u16, ssrc: u32) -> Vec<u8> {
    let csrcs = if random.chance(100) { random.between(1, 15) } else { 0 };
    let has_extension = random.chance(200);
    // Not 64 to 95, which with the marker bit would be RTCP.
    let payload_type = *random.pick(&[0, 8, 9, 63, 96, 111, 127]);
    let marker = random.next() as u8 & 0x80;
    // The padding bit says nothing of the header, and neither side looks at the padding.
    let padding = if random.chance(20) { 0x20 } else { 0 };
    let mut packet = vec![0x80 | padding | u8::from(has_extension) << 4 | csrcs as u8, marker | payload_type];
    packet.extend(sequence_number.to_be_bytes());
    packet.extend(random.bytes(4));
    packet.extend(ssrc.to_be_bytes());
    packet.extend(random.bytes(4 * csrcs));
    if has_extension {
        extension(random, &mut packet);
    }
    let payload = payload_len(random);
    packet.extend(random.bytes(payload));
    packet
}

/// A header extension that those can read who look into it, as webrtc-srtp does: of the one-byte form (RFC 8285), or opaque.
fn extension(random: &mut Random, packet: &mut Vec<u8>) {
    if random.chance(500) {
        let words = random.below(9);
        packet.extend([0x12, 0x34, 0, words as u8]);
        packet.extend(random.bytes(4 * words));
    } else {
        // Elements of three bytes of data, each a word.
        let elements = random.between(1, 4);
        packet.extend([0xbe, 0xde, 0, elements as u8]);
        for id in 1..=elements {
            packet.push((id as u8) << 4 | 2);
            packet.extend(random.bytes(3));
        }
    }
}

fn rtcp(random: &mut Random, ssrc: u32) -> Vec<u8> {
    let words = match random.below(10) {
        0 => 0,
        1 => random.below(345),
        _ => random.between(1, 30),
    };
    let mut packet = vec![0x80 | random.below(32) as u8, random.between(192, 223) as u8];
    packet.extend((1 + words as u16).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend(random.bytes(4 * words));
    packet
}

fn payload_len(random: &mut Random) -> usize {
    match random.below(10) {
        0 => random.below(4),
        1 => random.between(0, 1400),
        2 => random.between(1000, 1400),
        3 => 16 * random.below(16),
        _ => random.between(4, 220),
    }
}
