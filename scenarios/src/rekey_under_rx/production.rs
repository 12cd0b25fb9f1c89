//! Our session under the same operations: the production code itself.

use super::{FIRST_KEYS, FIRST_STEP, Operation, Step};
use crate::inputs::one_of;
use crate::srtp_setup::{key, policy};
use sim::invariant;
use sim::sync::Arc;
use stack::buffer::Mbuf;
use stack::srtp::{MasterKey, Policy, Profile, Receiver, Sender, Session, SrtpError};

/// The MKI tells under which keys a packet is.
const MKI_LEN: usize = 1;
/// More keys than a run brings.
const KEYS_MAX: u8 = 8;
/// More packets than a run has under any keys: those before are known until then.
const GRACE_PACKETS: u8 = 8;
/// Behind the sequence numbers of a run.
const FIRST_PROBE: u8 = 100;

pub(super) struct Production {
    profile: Profile,
    session: Session,
}

fn packet(number: u8) -> Vec<u8> {
    let mut packet = vec![0x80, 96, 0, number, 0, 0, 0, 0, 0, 0, 0, 9];
    packet.extend([number; 20]);
    packet
}

impl Production {
    fn policy(&self) -> Policy {
        policy(self.profile).rekey_grace_packets(GRACE_PACKETS.into())
    }

    fn keys(&self, number: u8) -> [MasterKey; 1] {
        [key(self.profile, number, MKI_LEN)]
    }

    /// The peer's packet of this number.
    fn protected(&self, number: u8, under: u8) -> Mbuf {
        let mut packet = Mbuf::copy_of(&packet(number), 0, 0);
        let mut peer = Sender::new(self.policy(), &self.keys(under)).expect("the key is for the policy");
        peer.protect(&mut packet).expect("the peer protects a packet");
        packet
    }

    fn unprotect(&self, step: Step, under: u8) {
        let mut received = self.protected(step.number, under);
        let ciphertext = received.bytes().to_vec();
        match self.session.unprotect(&mut received) {
            Ok(()) => invariant!(received.bytes() == packet(step.number), "packet {} is not what was sent", step.number),
            // The keys are gone, or not there yet.
            Err(why @ (SrtpError::NotKeyed | SrtpError::UnknownMki { .. })) => {
                let in_time = step.keeps_first_keys && under == FIRST_KEYS;
                expect_keyed(step, why);
                invariant!(!in_time, "packet {} was in flight while keys changed, and is lost: {why}", step.number);
                invariant!(received.bytes() == ciphertext, "packet {} was refused, and is not as it was", step.number);
            }
            Err(why) => sim::violated(format!("packet {} is refused for no reason that there is: {why}", step.number)),
        }
    }

    fn protect(&self, step: Step) {
        let plain = packet(step.number);
        let mut sent = Mbuf::copy_of(&plain, 0, 0);
        match self.session.protect(&mut sent) {
            Ok(()) => {
                let all: Vec<MasterKey> = (0..KEYS_MAX).flat_map(|number| self.keys(number)).collect();
                let mut peer = Receiver::new(self.policy(), &all).expect("the keys are for the policy");
                let taken = peer.unprotect(&mut sent);
                invariant!(taken == Ok(()) && sent.bytes() == plain, "packet {}: the peer says {taken:?}", step.number);
            }
            Err(why) => {
                invariant!(why == SrtpError::NotKeyed, "packet {} is not protected: {why}", step.number);
                expect_keyed(step, why);
                invariant!(sent.bytes() == plain, "packet {} was refused, and is not as it was", step.number);
            }
        }
    }
}

/// Only a session that was stopped has no keys.
fn expect_keyed(step: Step, why: SrtpError) {
    invariant!(why != SrtpError::NotKeyed || step.may_be_stopped, "nothing stops the session, and it is not keyed");
}

impl super::Session for Production {
    fn open() -> Arc<Self> {
        let profile = one_of(&[Profile::AesCm128HmacSha1_80, Profile::AeadAes128Gcm]);
        let production = Production { profile, session: Session::new() };
        let first = production.keys(FIRST_KEYS);
        production.session.key(&production.policy(), &first, &first).expect("the keys are for the policy");
        Arc::new(production)
    }

    fn perform(&self, step: Step) {
        let next = self.keys(step.number);
        match step.operation {
            Operation::Unprotect => self.unprotect(step, FIRST_KEYS),
            Operation::UnprotectNew => self.unprotect(step, FIRST_STEP),
            Operation::Protect => self.protect(step),
            Operation::Rekey => match self.session.rekey(&next, &next) {
                Ok(()) => {}
                Err(why) => {
                    invariant!(why == SrtpError::NotKeyed, "a rekeying says: {why}");
                    expect_keyed(step, why);
                }
            },
            Operation::Key => self.session.key(&self.policy(), &next, &next).expect("the keys are for the policy"),
            Operation::Stop => _ = self.session.stop(),
        }
    }

    fn end(&self, protects: u64, unprotects: u64) {
        let (sent, received) = self.session.counters();
        let (sent, received) = (sent.accepted + sent.refused(), received.accepted + received.refused());
        invariant!(
            (sent, received) == (protects, unprotects),
            "of {protects} packets to send {sent} were counted, of {unprotects} received {received}"
        );
        self.expect_both_sides_of_one_mind();
        self.session.stop();
        let mut late = Mbuf::copy_of(&packet(0), 0, 0);
        let result = self.session.protect(&mut late);
        invariant!(result == Err(SrtpError::NotKeyed) && late.bytes() == packet(0), "after its end a session says {result:?}");
        invariant!(!self.session.stop(), "a session that has ended says that it was keyed");
    }
}

impl Production {
    /// Every change of keys here is of both sides, so what one side ends with is what the other does.
    fn expect_both_sides_of_one_mind(&self) {
        let takes = |number, under| self.session.unprotect(&mut self.protected(number, under));
        let mut sent = Mbuf::copy_of(&packet(FIRST_PROBE), 0, 0);
        match self.session.protect(&mut sent) {
            Err(_) => {
                let received = takes(FIRST_PROBE, FIRST_KEYS);
                invariant!(received == Err(SrtpError::NotKeyed), "the sending side has no keys, the receiving side has");
            }
            Ok(()) => {
                let names_its_key = |number: &u8| {
                    let mut peer = Receiver::new(self.policy(), &self.keys(*number)).expect("the key is for the policy");
                    peer.unprotect(&mut Mbuf::copy_of(sent.bytes(), 0, 0)).is_ok()
                };
                let Some(keys) = (0..KEYS_MAX).find(names_its_key) else { sim::violated("it sends under no keys".to_owned()) };
                for probe in FIRST_PROBE..FIRST_PROBE + GRACE_PACKETS {
                    let received = takes(probe, keys);
                    invariant!(received == Ok(()), "it sends under keys {keys}, and receives under others: {received:?}");
                }
                // Now the keys before are forgotten, if these were the last.
                for others in (0..KEYS_MAX).filter(|number| *number != keys) {
                    let received = takes(FIRST_PROBE + GRACE_PACKETS, others);
                    invariant!(received.is_err(), "it sends under keys {keys}, and its last to receive under are {others}");
                }
            }
        }
    }
}
