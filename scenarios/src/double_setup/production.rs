//! Our transports under the same operations: the production code itself.

use super::{Operation, Step};
use crate::dtls_setup::{Far, address, beginning, fingerprints, give, is_keyed, keyed_client};
use crate::srtp_setup::{key, policy};
use crate::stream_setup::rtp;
use sim::invariant;
use sim::sync::{Arc, Mutex};
use stack::buffer::Mbuf;
use stack::dtls::Role;
use stack::media::transport::{DtlsTransport, Peer, SdesTransport, Transport};
use stack::srtp::{Profile, Receiver, Sender};

/// The association that gave the first keys, and the one whose handshake is about to end.
const FIRST: u64 = 1;
const SECOND: u64 = 2;

/// Keyed, and another association was begun with another peer, whose flight is on its way.
pub(super) struct OfDtls {
    transport: DtlsTransport,
    first: Mutex<Far>,
    second: Mutex<Far>,
    flight: Vec<Vec<u8>>,
    /// What was answered to it, by whoever gave it first.
    last: Mutex<Option<Vec<Vec<u8>>>>,
}

fn renegotiate(transport: &DtlsTransport, number: u64) -> Vec<Vec<u8>> {
    let peer = Peer::muxed(address(number));
    let begun = transport.renegotiate(Role::Client, fingerprints(Role::Server), peer, number, beginning());
    begun.expect("it is open").datagrams
}

/// A packet of the peer's, under the first keys, comes.
fn expect_taken(transport: &dyn Transport, protected: &[u8], number: u8) {
    let mut packet = Mbuf::copy_of(protected, 0, 0);
    let taken = transport.receive(address(FIRST), &mut packet, beginning());
    let plain = rtp(number.into());
    invariant!(taken.is_ok() && packet.bytes() == plain, "packet {number} was in flight while keys changed: {:?}", taken.err());
}

fn protect(transport: &dyn Transport, number: u8) -> Vec<u8> {
    let mut packet = Mbuf::copy_of(&rtp(number.into()), 0, 0);
    let protected = transport.protect(&mut packet);
    invariant!(protected.is_ok() && packet.bytes() != rtp(number.into()), "packet {number} is not protected: {protected:?}");
    packet.bytes().to_vec()
}

impl super::Instance for OfDtls {
    fn open() -> Arc<Self> {
        let (transport, first) = keyed_client(FIRST, true);
        let hello = renegotiate(&transport, SECOND);
        let mut second = Far::new(Role::Server, SECOND);
        let flight = second.hear(&hello);
        let (first, second) = (Mutex::new(first), Mutex::new(second));
        Arc::new(OfDtls { transport, first, second, flight, last: Mutex::new(None) })
    }

    fn perform(&self, step: Step) {
        match step.operation {
            Operation::Negotiate => _ = renegotiate(&self.transport, SECOND + u64::from(step.number)),
            Operation::Finish => {
                let reaction = give(&self.transport, SECOND, &self.flight);
                if is_keyed(&reaction) {
                    let before = self.last.lock().replace(reaction.datagrams);
                    invariant!(before.is_none(), "one handshake has given keys twice");
                }
            }
            Operation::Unprotect => {
                let packet = self.first.lock().protect(&rtp(step.number.into()));
                expect_taken(&self.transport, &packet.expect("the first peer has keys"), step.number);
            }
            Operation::Protect => _ = protect(&self.transport, step.number),
        }
    }

    fn end(&self, _steps: &[Step]) {
        let last = self.last.lock().take();
        let mut far = if last.is_some() { self.second.lock() } else { self.first.lock() };
        far.hear(&last.unwrap_or_default());
        let taken = far.unprotects(&protect(&self.transport, 100));
        invariant!(taken == Some(rtp(100)), "the peer of the last handshake that has ended does not have the keys");
        expect_taken(&self.transport, &far.protect(&rtp(101)).expect("it has keys"), 101);
    }
}

/// Keyed by signalling.
pub(super) struct OfSdes(SdesTransport);

const PROFILE: Profile = Profile::AesCm128HmacSha1_80;
const FIRST_KEY: u8 = 1;
/// More keys than a run brings.
const KEYS_MAX: u8 = 12;

impl OfSdes {
    fn set_keys(&self, number: u8) {
        let keys = [key(PROFILE, number, 1)];
        self.0.set_keys(&policy(PROFILE), &keys, &keys).expect("the keys are for the policy");
    }

    fn packet_under(keys: u8, number: u8) -> Vec<u8> {
        let mut packet = Mbuf::copy_of(&rtp(number.into()), 0, 0);
        let mut peer = Sender::new(policy(PROFILE), &[key(PROFILE, keys, 1)]).expect("the key is for the policy");
        peer.protect(&mut packet).expect("a new key protects a packet");
        packet.bytes().to_vec()
    }
}

impl super::Instance for OfSdes {
    fn open() -> Arc<Self> {
        let instance = OfSdes(SdesTransport::new(Peer::muxed(address(FIRST))));
        instance.set_keys(FIRST_KEY);
        Arc::new(instance)
    }

    fn perform(&self, step: Step) {
        match step.operation {
            Operation::Negotiate | Operation::Finish => self.set_keys(step.number),
            Operation::Unprotect if step.set_ups <= 1 => {
                expect_taken(&self.0, &OfSdes::packet_under(FIRST_KEY, step.number), step.number);
            }
            // It may be too late for the first keys.
            Operation::Unprotect => {
                let mut packet = Mbuf::copy_of(&OfSdes::packet_under(FIRST_KEY, step.number), 0, 0);
                let taken = self.0.receive(address(FIRST), &mut packet, beginning());
                invariant!(taken.is_err() || packet.bytes() == rtp(step.number.into()), "a packet is not what was sent");
            }
            Operation::Protect => _ = protect(&self.0, step.number),
        }
    }

    fn end(&self, _steps: &[Step]) {
        let sent = protect(&self.0, 100);
        let takes = |number: &u8| {
            let mut peer = Receiver::new(policy(PROFILE), &[key(PROFILE, *number, 1)]).expect("the key is for the policy");
            peer.unprotect(&mut Mbuf::copy_of(&sent, 0, 0)).is_ok()
        };
        let Some(number) = (FIRST_KEY..KEYS_MAX).find(takes) else { sim::violated("it sends under no keys".to_owned()) };
        expect_taken(&self.0, &OfSdes::packet_under(number, 101), 101);
    }
}
