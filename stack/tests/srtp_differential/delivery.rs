//! What arrives: most packets as they were sent, some late, twice, not at all, or damaged.

use super::random::Random;
use super::traffic::Plain;
use super::{Limits, Protocol, Setup};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

/// How many packets an attacker remembers.
const HISTORY: usize = 2000;

/// A packet that arrives.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    /// As what it is given to receivers.
    pub(crate) protocol: Protocol,
    pub(crate) bytes: Vec<u8>,
    /// What it was before it was protected, unless it is damaged.
    pub(crate) plain: Option<Rc<[u8]>>,
}

/// A packet that was sent.
#[derive(Clone)]
struct Sent {
    protocol: Protocol,
    stream: usize,
    position: u64,
    protected: Rc<[u8]>,
    plain: Rc<[u8]>,
}

struct Held {
    packet: Sent,
    /// It arrives once so many more of its stream have been sent.
    after: usize,
}

pub(crate) struct Network<'a> {
    setup: &'a Setup,
    limits: Limits,
    history: VecDeque<Sent>,
    held: Vec<Held>,
    /// How far each stream has come.
    newest: BTreeMap<usize, u64>,
}

impl<'a> Network<'a> {
    pub(crate) fn new(setup: &'a Setup, limits: Limits) -> Self {
        Self { setup, limits, history: VecDeque::new(), held: Vec::new(), newest: BTreeMap::new() }
    }

    /// Takes a packet that was sent, and adds what arrives before the next one is.
    pub(crate) fn send(&mut self, random: &mut Random, plain: &Plain, protected: &[u8], arrived: &mut Vec<Delivery>) {
        let sent = Sent {
            protocol: plain.protocol,
            stream: plain.stream,
            position: plain.position,
            protected: protected.into(),
            plain: plain.bytes.as_slice().into(),
        };
        let mut is_lost = false;
        match random.below(1000) {
            _ if plain.essential => arrived.push(intact(&sent)),
            0..15 => is_lost = true,
            15..115 => {
                for _ in 0..random.between(1, 2) {
                    arrived.push(self.harmed(random, &sent));
                }
                is_lost = random.chance(300);
                if !is_lost {
                    arrived.push(intact(&sent));
                }
            }
            115..175 => {
                let after = self.lateness(random, sent.protocol);
                self.held.push(Held { packet: sent.clone(), after });
            }
            175..205 => arrived.extend([intact(&sent), intact(&sent)]),
            205..235 => {
                arrived.push(intact(&sent));
                arrived.push(intact(self.any(random).unwrap_or(&sent)));
            }
            235..255 => {
                let old = self.any(random).unwrap_or(&sent).clone();
                arrived.extend([self.harmed(random, &old), intact(&sent)]);
            }
            _ => arrived.push(intact(&sent)),
        }
        for held in &mut self.held {
            if (held.packet.stream, held.packet.protocol) == (sent.stream, sent.protocol) {
                held.after = held.after.saturating_sub(1);
            }
        }
        let newest = self.newest.entry(sent.stream).or_default();
        *newest = sent.position.max(*newest);
        let due: Vec<_> = self.held.extract_if(.., |held| held.after == 0).collect();
        arrived.extend(due.iter().filter(|held| self.is_remembered(&held.packet)).map(|held| intact(&held.packet)));
        // Lost packets come late, too, and by more than the smaller window.
        if !is_lost || plain.protocol == Protocol::Rtp || !self.rtcp_windows_differ() {
            self.history.push_back(sent);
        }
        if self.history.len() > HISTORY {
            self.history.pop_front();
        }
    }

    /// By how many packets one is late: often about as many as the window has.
    fn lateness(&self, random: &mut Random, protocol: Protocol) -> usize {
        let window = self.setup.window_packets as usize;
        // Nothing is so late that the windows do not agree.
        if protocol == Protocol::Rtcp && self.rtcp_windows_differ() {
            return random.between(1, window.min(self.limits.rtcp_window_packets as usize) / 2);
        }
        match random.below(4) {
            0 => random.between(window - 2, window + 3),
            1 => random.between(1, window + 40),
            _ => random.between(2, 10),
        }
    }

    fn rtcp_windows_differ(&self) -> bool {
        self.setup.window_packets != self.limits.rtcp_window_packets
    }

    fn any(&self, random: &mut Random) -> Option<&Sent> {
        match self.history.len() {
            0 => None,
            packets => self.history.get(random.below(packets)).filter(|packet| self.is_remembered(packet)),
        }
    }

    /// Whether the peer can tell such an old packet from a new one.
    fn is_remembered(&self, packet: &Sent) -> bool {
        let newest = self.newest.get(&packet.stream).copied().unwrap_or_default();
        self.limits.goes_half_way_round || packet.position + 0x7000 > newest
    }

    fn harmed(&self, random: &mut Random, sent: &Sent) -> Delivery {
        let mut bytes = sent.protected.to_vec();
        let mut protocol = sent.protocol;
        let len = bytes.len();
        match random.below(10) {
            0..3 => flip(random, &mut bytes, 0, len),
            3 => flip(random, &mut bytes, 0, 12),
            4 => flip(random, &mut bytes, len - self.setup.added_len(protocol), len),
            5 => bytes.truncate(random.below(len)),
            6 => bytes.truncate(len - random.between(1, len.min(20))),
            7 => {
                let more = *random.pick(&[1, 4, 10, 30]);
                bytes.extend(random.bytes(more));
            }
            8 => {
                let mki = self.setup.mki_range(protocol, len);
                let other = match random.below(3) {
                    0 => random.bytes(mki.len()),
                    _ => random.pick(&self.setup.keys).mki.clone(),
                };
                bytes[mki].copy_from_slice(&other);
            }
            // The header of one packet with the rest of another.
            _ => {
                if let Some(other) = self.any(random) {
                    protocol = other.protocol;
                    let header_len = if protocol == Protocol::Rtp { 12 } else { 8 };
                    bytes.splice(..header_len.min(len), other.protected[..header_len].iter().copied());
                }
            }
        }
        let plain = (bytes[..] == sent.protected[..]).then(|| Rc::clone(&sent.plain));
        // A change that is none: it is given as what it is.
        let protocol = if plain.is_some() { sent.protocol } else { protocol };
        Delivery { protocol: told_apart(protocol, &bytes), bytes, plain }
    }
}

fn intact(sent: &Sent) -> Delivery {
    Delivery { protocol: sent.protocol, bytes: sent.protected.to_vec(), plain: Some(Rc::clone(&sent.plain)) }
}

/// Flips one bit, or a few.
fn flip(random: &mut Random, bytes: &mut [u8], from: usize, to: usize) {
    for _ in 0..*random.pick(&[1, 1, 1, 2, 5]) {
        bytes[random.between(from, to - 1)] ^= 1 << random.below(8);
    }
}

/// Damage may have made RTP of RTCP or the reverse (RFC 5761), which whoever calls libraries for both goes by.
fn told_apart(protocol: Protocol, bytes: &[u8]) -> Protocol {
    match stack::rtp::classify(bytes) {
        Ok(stack::rtp::Kind::Rtp) => Protocol::Rtp,
        Ok(stack::rtp::Kind::Rtcp) => Protocol::Rtcp,
        Err(_) => protocol,
    }
}
