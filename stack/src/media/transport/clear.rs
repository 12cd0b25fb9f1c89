//! Plain RTP.

use super::counters::count;
use super::{Peer, Phase, Reaction, Received, Transport, TransportCounters, TransportError};
use crate::buffer::Mbuf;
use crate::dtls::{Protocol, classify};
use sim::sync::Mutex;
use sim::time::Instant;
use std::net::SocketAddr;

/// RTP and RTCP in clear, as was agreed. It takes packets from the peer's addresses alone. Its one lock is held for moments.
#[derive(Debug)]
pub struct ClearTransport {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    peer: Peer,
    is_closed: bool,
    counters: TransportCounters,
}

impl ClearTransport {
    /// A transport to a peer.
    pub fn new(peer: Peer) -> Self {
        ClearTransport { state: Mutex::new(State { peer, is_closed: false, counters: TransportCounters::default() }) }
    }

    /// Goes on with the peer at other addresses.
    pub fn set_peer(&self, peer: Peer) {
        self.state.lock().peer = peer;
    }
}

impl Transport for ClearTransport {
    fn is_secure(&self) -> bool {
        false
    }

    fn has_encrypted(&self) -> [bool; 2] {
        [false; 2]
    }

    fn require_encryption(&self, of: [bool; 2]) -> Result<(), TransportError> {
        if of == [false; 2] { Ok(()) } else { Err(TransportError::Clear { got: "no policy".to_owned() }) }
    }

    fn phase(&self) -> Phase {
        if self.state.lock().is_closed { Phase::Closed } else { Phase::Open }
    }

    fn peer(&self) -> Peer {
        self.state.lock().peer
    }

    fn protect(&self, _packet: &mut Mbuf) -> Result<(), TransportError> {
        let mut state = self.state.lock();
        if state.is_closed {
            count(&mut state.counters.closed);
            return Err(TransportError::Closed);
        }
        count(&mut state.counters.clear.0);
        Ok(())
    }

    fn receive(&self, from: SocketAddr, datagram: &mut Mbuf, _now: Instant) -> Result<Received, TransportError> {
        let protocol = classify(datagram.bytes());
        let mut state = self.state.lock();
        let received = match protocol {
            _ if state.is_closed => {
                count(&mut state.counters.closed);
                return Err(TransportError::Closed);
            }
            Err(error) => {
                count(&mut state.counters.malformed);
                return Err(error.into());
            }
            Ok(Protocol::Rtp) => Received::Rtp,
            Ok(Protocol::Rtcp) => Received::Rtcp,
            Ok(other) => return Ok(Received::Other(other)),
        };
        if !state.peer.has(from) {
            count(&mut state.counters.strangers);
            return Err(TransportError::Stranger { expected: state.peer, got: from });
        }
        count(&mut state.counters.clear.1);
        Ok(received)
    }

    fn handle_timeout(&self, _now: Instant) -> Reaction {
        Reaction::default()
    }

    fn next_due(&self) -> Option<Instant> {
        None
    }

    fn close(&self, _now: Instant) -> Reaction {
        self.state.lock().is_closed = true;
        Reaction::default()
    }

    fn counters(&self) -> TransportCounters {
        self.state.lock().counters
    }
}
