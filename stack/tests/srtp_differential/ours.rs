//! Our side: the same packets through single calls and through batches, as the seed will have it.

use super::delivery::Delivery;
use super::random::Random;
use super::traffic::Plain;
use super::{Protocol, Setup};
use stack::buffer::Mbuf;
use stack::srtp::{MasterKey, Policy, Receiver, Sender, SrtpError};

/// More than the lanes that a batch works in, so that some are full and some are not.
const BATCH_MAX: usize = 13;

pub(crate) struct Ours {
    sender: Sender,
    receiver: Receiver,
    mkis: Vec<Vec<u8>>,
    keeps_refused: bool,
}

impl Ours {
    pub(crate) fn new(setup: &Setup) -> Self {
        let policy = Policy::new(setup.profile).and_then(|policy| policy.window_packets(setup.window_packets)).unwrap();
        let keys: Vec<_> = setup.keys.iter().map(|key| master_key(setup, key)).collect();
        let (sender, receiver) = (Sender::new(policy.clone(), &keys).unwrap(), Receiver::new(policy, &keys).unwrap());
        let mkis = setup.keys.iter().map(|key| key.mki.clone()).collect();
        Self { sender, receiver, mkis, keeps_refused: !setup.profile.is_aead() }
    }

    /// Sends an RTCP packet that nobody gets: our first SRTCP index is 0, the peers' is 1, and RFC 3711 allows both.
    pub(crate) fn skip_first_rtcp_index(&mut self, ssrc: u32) {
        let mut packet = Mbuf::copy_of(&[&[0x80, 201, 0, 1][..], &ssrc.to_be_bytes()].concat(), 0, 0);
        self.sender.protect_rtcp(&mut packet).unwrap();
    }

    pub(crate) fn protect(&mut self, random: &mut Random, packets: &[Plain]) -> Vec<Result<Vec<u8>, SrtpError>> {
        let mut results = Vec::new();
        let mut left = packets;
        while let Some(first) = left.first() {
            let under_one_key = left.iter().take_while(|packet| packet.key == first.key).count();
            let (now, later) = left.split_at(calls(random, under_one_key));
            left = later;
            if !self.mkis[first.key].is_empty() {
                self.sender.select_key(&self.mkis[first.key]).unwrap();
            }
            let mut mbufs: Vec<_> = now.iter().map(|packet| mbuf(random, &packet.bytes)).collect();
            let mut said = Vec::new();
            match (now, &mut mbufs[..]) {
                ([packet], [mbuf]) if random.chance(700) => said.push(match packet.protocol {
                    _ if random.chance(500) => self.sender.protect(mbuf),
                    Protocol::Rtp => self.sender.protect_rtp(mbuf),
                    Protocol::Rtcp => self.sender.protect_rtcp(mbuf),
                }),
                (_, mbufs) => self.sender.protect_batch(mbufs, &mut said),
            }
            assert_eq!(said.len(), now.len(), "a result for each packet of a batch");
            for ((packet, mbuf), said) in now.iter().zip(&mbufs).zip(said) {
                if said.is_err() {
                    assert_eq!(mbuf.bytes(), packet.bytes, "a packet that is not protected is as it was: {said:?}");
                }
                results.push(said.map(|()| mbuf.bytes().to_vec()));
            }
        }
        results
    }

    pub(crate) fn unprotect(&mut self, random: &mut Random, packets: &[Delivery]) -> Vec<Result<Vec<u8>, SrtpError>> {
        let mut results = Vec::new();
        let mut left = packets;
        while !left.is_empty() {
            let (now, later) = left.split_at(calls(random, left.len()));
            left = later;
            let mut mbufs: Vec<_> = now.iter().map(|packet| mbuf(random, &packet.bytes)).collect();
            let mut said = Vec::new();
            match (now, &mut mbufs[..]) {
                ([packet], [mbuf]) if random.chance(700) => said.push(match packet.protocol {
                    _ if random.chance(500) => self.receiver.unprotect(mbuf),
                    Protocol::Rtp => self.receiver.unprotect_rtp(mbuf),
                    Protocol::Rtcp => self.receiver.unprotect_rtcp(mbuf),
                }),
                (_, mbufs) => self.receiver.unprotect_batch(mbufs, &mut said),
            }
            assert_eq!(said.len(), now.len(), "a result for each packet of a batch");
            for ((packet, mbuf), said) in now.iter().zip(&mbufs).zip(said) {
                if said.is_err() && self.keeps_refused {
                    assert_eq!(mbuf.bytes(), packet.bytes, "a packet that is refused is as it was: {said:?}");
                }
                results.push(said.map(|()| mbuf.bytes().to_vec()));
            }
        }
        results
    }

    /// How often the sequence number of a stream that was sent began anew.
    pub(crate) fn rollovers(&self, ssrc: u32) -> usize {
        self.sender.roc(ssrc).unwrap_or_default() as usize
    }

    /// Packets protected and unprotected, by our own count.
    pub(crate) fn accepted(&self) -> (u64, u64) {
        (self.sender.counters().accepted, self.receiver.counters().accepted)
    }
}

fn master_key(setup: &Setup, key: &super::Key) -> MasterKey {
    MasterKey::from_concatenated(setup.profile, &key.key_and_salt).and_then(|made| made.with_mki(&key.mki)).unwrap()
}

/// How many packets go into the next call: half of the calls are for one.
fn calls(random: &mut Random, packets: usize) -> usize {
    let wanted = if random.chance(500) { 1 } else { random.between(1, BATCH_MAX) };
    wanted.min(packets)
}

/// With room for what is added, or too little of it: then it grows.
fn mbuf(random: &mut Random, bytes: &[u8]) -> Mbuf {
    Mbuf::copy_of(bytes, *random.pick(&[0, 3, 64]), *random.pick(&[0, 9, 160]))
}
