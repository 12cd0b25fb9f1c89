//! Our transport under the same operations: the production code itself, with real handshakes.

use super::{FIRST_PEER, Operation, Step};
use crate::dtls_setup::{Far, address, beginning, client, fingerprints, give, is_keyed};
use crate::stream_setup::rtp;
use sim::invariant;
use sim::sync::Arc;
use stack::buffer::Mbuf;
use stack::dtls::Role;
use stack::media::transport::{DtlsTransport, Peer, Phase, Reaction, Received, Transport, TransportError};

pub(super) struct Production {
    transport: DtlsTransport,
    first_hello: Vec<Vec<u8>>,
    /// What the first peer answers.
    flight: Vec<Vec<u8>>,
}

/// A first flight, and the number of the association.
pub(super) struct Hello(u64, Vec<Vec<u8>>);

impl super::Transport for Production {
    type Sent = Hello;

    fn open() -> Arc<Self> {
        let (transport, hello) = client(FIRST_PEER);
        let flight = Far::new(Role::Server, FIRST_PEER).hear(&hello.datagrams);
        Arc::new(Production { transport, first_hello: hello.datagrams, flight })
    }

    fn perform(&self, step: Step) -> Option<Hello> {
        match step.operation {
            Operation::Close => _ = self.transport.close(beginning()),
            Operation::Renegotiate => return self.renegotiate(step.number),
            Operation::Receive => self.receive(),
            Operation::SetPeer => {
                self.transport.set_peer(Peer::muxed(address(step.number))).expect("the peer has one port");
            }
        }
        None
    }

    fn end(&self, steps: &[Step], mut sent: Vec<Hello>) {
        let has = |operation| steps.iter().any(|step| step.operation == operation);
        let phase = self.transport.phase();
        invariant!((phase == Phase::Closed) == has(Operation::Close), "whether it was closed and how far it is: {phase:?}");
        if phase == Phase::Closed {
            return self.expect_closed();
        }
        if has(Operation::SetPeer) {
            return;
        }
        sent.push(Hello(FIRST_PEER, self.first_hello.clone()));
        let peer = self.transport.peer();
        let begun = sent.into_iter().find(|Hello(number, _)| peer == Peer::muxed(address(*number)));
        let Some(Hello(number, hello)) = begun else {
            sim::violated(format!("it talks to {peer:?}, with whom nothing was begun"))
        };
        let was_keyed = phase == Phase::Open;
        // The association is the one that was begun with this peer: their handshake ends with keys of theirs.
        let mut far = Far::new(Role::Server, number);
        let flight = far.hear(&hello);
        let reaction = give(&self.transport, number, &flight);
        invariant!(is_keyed(&reaction) || was_keyed, "the handshake that was begun with {peer:?} is not the one that goes on");
        far.hear(&reaction.datagrams);
        self.expect_keys_of(&far, number, is_keyed(&reaction));
    }
}

impl Production {
    fn renegotiate(&self, number: u64) -> Option<Hello> {
        let peer = Peer::muxed(address(number));
        match self.transport.renegotiate(Role::Client, fingerprints(Role::Server), peer, number, beginning()) {
            Ok(reaction) => {
                invariant!(reaction.to == Some(peer.rtp), "the first flight to {peer:?} goes to {:?}", reaction.to);
                Some(Hello(number, reaction.datagrams))
            }
            Err(error) => {
                let is_closed = error == TransportError::Closed && self.transport.phase() == Phase::Closed;
                invariant!(is_closed, "a transport that is open says {error}");
                None
            }
        }
    }

    fn receive(&self) {
        for datagram in &self.flight {
            let from = address(FIRST_PEER);
            match self.transport.receive(from, &mut Mbuf::copy_of(datagram, 0, 0), beginning()) {
                Ok(Received::Handled(Reaction { to, .. })) => {
                    invariant!(to.is_none_or(|to| to == from), "an answer to the first peer goes to {to:?}");
                }
                Err(TransportError::Closed | TransportError::Stranger { .. }) => {}
                other => sim::violated(format!("a flight of the first peer's is {other:?}")),
            }
        }
    }

    fn expect_closed(&self) {
        let again = self.renegotiate(FIRST_PEER).is_some();
        let protected = self.transport.protect(&mut Mbuf::copy_of(&rtp(1), 0, 0)).is_ok();
        let reaction = give(&self.transport, FIRST_PEER, &self.flight);
        invariant!(!again && !protected && reaction.datagrams.is_empty(), "what was closed goes on");
    }

    /// It sends under the keys of this handshake if that gave any.
    fn expect_keys_of(&self, far: &Far, number: u64, has_keyed: bool) {
        let mut packet = Mbuf::copy_of(&rtp(1), 0, 0);
        let protected = self.transport.protect(&mut packet);
        invariant!(protected.is_ok(), "what is keyed sends nothing: {protected:?}");
        let taken = far.unprotects(packet.bytes());
        invariant!(!has_keyed || taken == Some(rtp(1)), "keys of {number} are not those that it sends under");
    }
}
