//! What holds of any bytes: fuzz targets, property tests and corpus tests share these bodies.

use super::{MasterKey, Policy, Profile, Receiver, Sender, SrtpError};
use crate::buffer::Mbuf;
use std::collections::BTreeMap;

/// Where a body takes what it decides from: bytes, and zeros when those are used up.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn next(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    fn below(&mut self, n: usize) -> usize {
        usize::from(self.next()) % n
    }

    fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// A policy and its keys.
fn setup(bytes: &mut Bytes<'_>) -> (Policy, Vec<MasterKey>) {
    let profile = Profile::ALL[bytes.below(Profile::ALL.len())];
    let choices = bytes.next();
    let mut policy = Policy::with_null_cipher_for_tests(profile).streams_max(3);
    if choices & 1 != 0 {
        policy = policy.unencrypted_rtp();
    }
    if choices & 2 != 0 {
        policy = policy.unencrypted_rtcp();
    }
    if choices & 4 != 0 {
        policy = policy.key_derivation_rate(16).expect("16 is a power of two");
    }
    let mki_len = [0, 1, 4, 128][usize::from(choices >> 3) % 4];
    let keys = if mki_len == 0 { 1 } else { 1 + usize::from(choices >> 5) % 3 };
    let key = |number: usize| {
        let key = MasterKey::new(
            profile,
            &[0x31, 0x41, 0x59, number as u8].repeat(8)[..profile.key_len()],
            &[7; 14][..profile.salt_len()],
        );
        key.and_then(|key| key.with_mki(&vec![number as u8; mki_len])).expect("the lengths are the profile's")
    };
    (policy, (0..keys).map(key).collect())
}

fn sender(policy: &Policy, keys: &[MasterKey]) -> Sender {
    Sender::new(policy.clone(), keys).expect("the keys are for the policy")
}

fn receiver(policy: &Policy, keys: &[MasterKey]) -> Receiver {
    Receiver::new(policy.clone(), keys).expect("the keys are for the policy")
}

/// An RTP packet with this sequence number, as the bytes will have it.
fn rtp_packet(bytes: &mut Bytes<'_>, sequence_number: u16, ssrc: u32) -> Mbuf {
    let (csrcs, words) = (bytes.below(4), bytes.below(4));
    let extension = bytes.next() & 1;
    let mut packet = vec![0x80 | extension << 4 | csrcs as u8, 96];
    packet.extend_from_slice(&sequence_number.to_be_bytes());
    packet.extend_from_slice(&[0; 4]);
    packet.extend_from_slice(&ssrc.to_be_bytes());
    packet.resize(12 + 4 * csrcs, 5);
    if extension != 0 {
        packet.extend_from_slice(&[0xbe, 0xde, 0, words as u8]);
        packet.resize(packet.len() + 4 * words, 6);
    }
    let payload = bytes.below(256);
    packet.resize(packet.len() + payload, bytes.next());
    Mbuf::copy_of(&packet, 0, 0)
}

fn rtcp_packet(bytes: &mut Bytes<'_>, ssrc: u32) -> Mbuf {
    let mut packet = vec![0x80, 200 + bytes.below(8) as u8, 0, 0];
    packet.extend_from_slice(&ssrc.to_be_bytes());
    packet.resize(8 + 4 * bytes.below(64), 8);
    Mbuf::copy_of(&packet, 0, 0)
}

/// Receivers by the two bytes that choose their session. One that refuses a packet is as it was, so it serves for the next one too, and a
/// session's keys are derived once, not for each packet.
#[derive(Debug, Default)]
pub struct Receivers {
    by_choice: BTreeMap<[u8; 2], Receiver>,
}

impl Receivers {
    /// Bytes that nobody protected, after two that choose the session: never taken as SRTP, and nothing moves.
    pub fn refuse_rtp(&mut self, bytes: &[u8]) {
        self.refuse(bytes, Receiver::unprotect_rtp);
    }

    /// The same for SRTCP.
    pub fn refuse_rtcp(&mut self, bytes: &[u8]) {
        self.refuse(bytes, Receiver::unprotect_rtcp);
    }

    fn refuse(&mut self, bytes: &[u8], unprotect: fn(&mut Receiver, &mut Mbuf) -> Result<(), SrtpError>) {
        let mut bytes = Bytes(bytes);
        let chosen = [bytes.next() % Profile::ALL.len() as u8, bytes.next()];
        let receiver = self.by_choice.entry(chosen).or_insert_with(|| {
            let (policy, keys) = setup(&mut Bytes(&chosen));
            receiver(&policy, &keys)
        });
        let refused = receiver.counters().refused();
        let mut packet = Mbuf::copy_of(bytes.0, 0, 0);
        let result = unprotect(receiver, &mut packet);
        assert!(result.is_err(), "forged under {receiver:?}: {:02x?}", bytes.0);
        assert_eq!(packet.left(), bytes.0.len());
        assert_eq!((receiver.streams(), receiver.counters().accepted, receiver.counters().refused()), (0, 0, refused + 1));
        if !Profile::ALL[usize::from(chosen[0])].is_aead() {
            assert_eq!(packet.bytes(), bytes.0);
        }
    }
}

/// A packet is protected, harmed, refused, and taken as it was: what is harmed never authenticates, and moves nothing.
pub fn mutation(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    let (policy, keys) = setup(&mut bytes);
    let (mut sender, mut receiver) = (sender(&policy, &keys), receiver(&policy, &keys));
    let mut sequence_number = u16::from_be_bytes([bytes.next(), bytes.next()]);
    for _ in 0..1 + bytes.below(4) {
        if keys.len() > 1 {
            let key = bytes.below(keys.len());
            sender.select_key(&keys[key].mki).expect("it is one of the sender's keys");
        }
        let is_rtcp = bytes.next() & 1 != 0;
        let ssrc = 1 + bytes.below(3) as u32;
        let mut packet = if is_rtcp { rtcp_packet(&mut bytes, ssrc) } else { rtp_packet(&mut bytes, sequence_number, ssrc) };
        let plain = packet.bytes().to_vec();
        sender.protect(&mut packet).expect("a new packet of a stream that there is room for");
        let overheads = sender.overheads();
        assert_eq!(packet.left(), plain.len() + if is_rtcp { overheads.1 } else { overheads.0 });
        let protected = packet.bytes().to_vec();
        let mut harmed = Mbuf::copy_of(&harm(&mut bytes, &protected), 0, 0);
        if harmed.bytes() != protected {
            let before = (receiver.streams(), receiver.roc(ssrc), receiver.counters().accepted);
            // As what it is, or as what it is not.
            let result = match bytes.next() % 4 {
                0 => receiver.unprotect_rtp(&mut harmed),
                1 => receiver.unprotect_rtcp(&mut harmed),
                _ => receiver.unprotect(&mut harmed),
            };
            assert!(result.is_err(), "harmed under {policy:?}: {protected:02x?} to {:02x?}", harmed.bytes());
            assert_eq!((receiver.streams(), receiver.roc(ssrc), receiver.counters().accepted), before);
        }
        receiver.unprotect(&mut packet).unwrap_or_else(|error| panic!("{error}: {protected:02x?} under {policy:?}"));
        assert_eq!(packet.bytes(), plain);
        let mut again = Mbuf::copy_of(&protected, 0, 0);
        assert!(matches!(receiver.unprotect(&mut again), Err(SrtpError::Replayed { .. })));
        sequence_number = sequence_number.wrapping_add(1 + u16::from(bytes.next()));
    }
}

/// The bytes with a bit flipped, some bytes written over, cut off, added, moved, or the end swapped.
fn harm(bytes: &mut Bytes<'_>, packet: &[u8]) -> Vec<u8> {
    let mut harmed = packet.to_vec();
    for _ in 0..1 + bytes.below(3) {
        let at = usize::from(u16::from_be_bytes([bytes.next(), bytes.next()])) % harmed.len().max(1);
        match bytes.below(6) {
            0 if !harmed.is_empty() => harmed[at] ^= 1 << bytes.below(8),
            1 => {
                for (byte, over) in harmed[at..].iter_mut().zip(bytes.take(4)) {
                    *byte = *over;
                }
            }
            2 => harmed.truncate(at),
            3 => {
                let len = bytes.below(30);
                harmed.extend_from_slice(bytes.take(len));
            }
            4 => harmed.rotate_left(at),
            _ => {
                let len = harmed.len();
                harmed[at..].reverse();
                harmed.truncate(len);
            }
        }
    }
    harmed
}

/// Packets in one batch, some harmed, twice, late or of other streams: the same bytes and the same results as one after the other.
pub fn batches_are_sequences(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    let (policy, keys) = setup(&mut bytes);
    let (mut in_batch, mut in_sequence) = (sender(&policy, &keys), sender(&policy, &keys));
    let mut sequence_number = u16::from_be_bytes([bytes.next(), bytes.next()]);
    let mut packets = Vec::new();
    for _ in 0..1 + bytes.below(11) {
        let step = u16::from(bytes.next());
        // Mostly the next one, and now and then far ahead, again, or late.
        sequence_number = sequence_number.wrapping_add(if step < 200 { 1 } else { step.wrapping_sub(220).wrapping_mul(700) });
        let ssrc = bytes.below(4) as u32;
        let kind = bytes.next();
        packets.push(match kind {
            0..=15 => Mbuf::copy_of(bytes.take(usize::from(kind)), 0, 0),
            16..=40 => rtcp_packet(&mut bytes, ssrc),
            _ => rtp_packet(&mut bytes, sequence_number, ssrc),
        });
    }
    let copies = |packets: &[Mbuf]| -> Vec<Mbuf> { packets.iter().map(|packet| Mbuf::copy_of(packet.bytes(), 0, 0)).collect() };
    let mut sent = copies(&packets);
    let mut results = Vec::new();
    in_batch.protect_batch(&mut packets, &mut results);
    let expected: Vec<_> = sent.iter_mut().map(|packet| in_sequence.protect(packet)).collect();
    assert_eq!(results, expected);
    assert_eq!(in_batch.counters(), in_sequence.counters());
    for (packet, expected) in packets.iter().zip(&sent) {
        assert_eq!(packet.bytes(), expected.bytes());
    }
    // On their way some are harmed, come twice or change places.
    for _ in 0..bytes.below(4) {
        let (at, to) = (bytes.below(sent.len()), bytes.below(sent.len()));
        match bytes.below(3) {
            0 => sent[at] = Mbuf::copy_of(&harm(&mut bytes, sent[at].bytes()), 0, 0),
            1 => sent[to] = Mbuf::copy_of(sent[at].bytes(), 0, 0),
            _ => sent.swap(at, to),
        }
    }
    let (mut in_batch, mut in_sequence) = (receiver(&policy, &keys), receiver(&policy, &keys));
    let mut received = copies(&sent);
    in_batch.unprotect_batch(&mut received, &mut results);
    let expected: Vec<_> = sent.iter_mut().map(|packet| in_sequence.unprotect(packet)).collect();
    assert_eq!(results, expected);
    assert_eq!(in_batch.counters(), in_sequence.counters());
    for (packet, expected) in received.iter().zip(&sent) {
        assert_eq!(packet.bytes(), expected.bytes());
    }
}

/// A long life: packets of three streams that jump, get lost, come late and are taken twice, new keys with other MKIs while they are in
/// flight, rollover counters that are told again. What was sent under the keys in use or the ones before is taken once and as it was,
/// unless it is older than the window; after each refusal the next packet is taken as if nothing had been.
pub fn life(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    let (policy, keys) = setup(&mut bytes);
    let (profile, window) = (policy.profile(), 64);
    let policy = policy.window_packets(window as u32).expect("64 is the smallest window");
    let (mut sender, mut receiver) = (sender(&policy, &keys), receiver(&policy, &keys));
    // Of each stream: the next index to send, and the highest that was received.
    let mut streams = [(0u64, None::<u64>); 3];
    // What is on its way: its stream, index, number of keys, bytes before and after.
    let mut in_flight: Vec<(usize, u64, u32, Vec<u8>, Vec<u8>)> = Vec::new();
    let mut taken: std::collections::BTreeSet<(usize, u64)> = std::collections::BTreeSet::new();
    // What the receiver was told of a rollover counter since it took a packet: none of an earlier rollover may come before.
    let mut told = [0u64; 3];
    let mut generation = 0u32;
    for _ in 0..24 {
        let stream = bytes.below(3);
        let ssrc = stream as u32 + 1;
        match bytes.next() % 16 {
            0..=6 => {
                let index = streams[stream].0;
                let mut packet = rtp_packet(&mut bytes, index as u16, ssrc);
                let plain = packet.bytes().to_vec();
                sender.protect(&mut packet).unwrap_or_else(|error| panic!("index {index} under {policy:?}: {error}"));
                assert_eq!(sender.roc(ssrc), Some((index >> 16) as u32));
                in_flight.push((stream, index, generation, plain, packet.bytes().to_vec()));
                // Mostly the next one, now and then far ahead: within what a receiver can follow though it lost all of it.
                let step = bytes.next();
                streams[stream].0 += if step < 200 { 1 } else { 1 + u64::from(step - 200) * 290 };
            }
            7..=12 if !in_flight.is_empty() => {
                let at = bytes.below(in_flight.len());
                let again = bytes.next() > 230;
                let (stream, index, sent_under, plain, protected) = in_flight[at].clone();
                if !again {
                    in_flight.swap_remove(at);
                }
                let (_, highest) = streams[stream];
                // A receiver that is behind by half of all sequence numbers cannot tell; one that has nothing takes the counter for 0.
                let can_tell = match highest {
                    Some(highest) => index.abs_diff(highest) < 1 << 15,
                    None => index < 1 << 16,
                };
                let can_tell = can_tell && index >> 16 >= told[stream];
                let is_old = highest.is_some_and(|highest| index + window <= highest);
                let mut packet = Mbuf::copy_of(&protected, 0, 0);
                let result = receiver.unprotect(&mut packet);
                if !can_tell || sent_under + 1 < generation {
                    // It may only be taken for what it is.
                    assert!(result.is_err() || packet.bytes() == plain);
                    if result.is_err() {
                        continue;
                    }
                } else if is_old || taken.contains(&(stream, index)) {
                    let error = result.expect_err("old, or here before");
                    // Of a packet under the keys before, what is said is what is wrong with it under those in use.
                    let says_so = matches!(error, SrtpError::TooOld { .. } | SrtpError::Replayed { .. });
                    assert!(says_so || sent_under < generation, "{error} under {policy:?}");
                    continue;
                } else {
                    result.unwrap_or_else(|error| panic!("index {index}, highest {highest:?} under {policy:?}: {error}"));
                    assert_eq!(packet.bytes(), plain);
                }
                assert!(taken.insert((stream, index)), "index {index} was taken twice");
                told[stream] = 0;
                streams[stream].1 = Some(highest.map_or(index, |highest| highest.max(index)));
            }
            13 => {
                generation += 1;
                let mki = vec![generation as u8; bytes.below(6)];
                let key = [(generation * 16 + 1) as u8; 32];
                let key = MasterKey::new(profile, &key[..profile.key_len()], &[9; 14][..profile.salt_len()])
                    .and_then(|key| key.with_mki(&mki))
                    .expect("the lengths are the profile's");
                receiver.rekey(std::slice::from_ref(&key)).expect("the key is for the policy");
                sender.rekey(std::slice::from_ref(&key)).expect("the key is for the policy");
            }
            14 => {
                // Signalling says what is known already.
                if let Some(roc) = sender.roc(ssrc) {
                    sender.set_roc(ssrc, roc).expect("it is the counter in use");
                }
                if let (Some(roc), true) = (receiver.roc(ssrc), streams[stream].1.is_some()) {
                    receiver.set_roc(ssrc, roc).expect("it is the counter in use");
                    told[stream] = roc.into();
                }
            }
            _ => {
                let forged = bytes.take(40);
                let mut packet = Mbuf::copy_of(forged, 0, 0);
                assert!(receiver.unprotect(&mut packet).is_err(), "forged: {forged:02x?} under {policy:?}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpora_hold() {
        crate::corpus::each("srtp_unprotect", |bytes| Receivers::default().refuse_rtp(bytes));
        crate::corpus::each("srtcp_unprotect", |bytes| Receivers::default().refuse_rtcp(bytes));
        crate::corpus::each("srtp_mutation", mutation);
        crate::corpus::each("srtp_batch", batches_are_sequences);
        crate::corpus::each("srtp_life", life);
    }

    proptest::proptest! {
        #[test]
        fn what_nobody_protected_is_refused(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let mut receivers = Receivers::default();
            receivers.refuse_rtp(&bytes);
            receivers.refuse_rtcp(&bytes);
        }

        #[test]
        fn what_is_harmed_never_authenticates(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..80)) {
            mutation(&bytes);
        }

        #[test]
        fn a_long_life_takes_what_was_sent(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            life(&bytes);
        }

        #[test]
        fn a_batch_is_a_sequence(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..150)) {
            batches_are_sequences(&bytes);
        }
    }
}
