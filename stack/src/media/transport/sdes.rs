//! SRTP with keys from the signalling.

use super::counters::count;
use super::{Peer, Phase, Reaction, Received, Transport, TransportCounters, TransportError};
use crate::buffer::Mbuf;
use crate::dtls::{Protocol, classify};
use crate::srtp::{MasterKey, Policy, Session};
use sim::sync::Mutex;
use sim::time::Instant;
use std::net::SocketAddr;

/// SRTP with keys from the signalling (RFC 4568).
///
/// Packets are taken from wherever they come: their tag says whose they are. Keys and the end are taken under its one lock, and under
/// that the session's; packets take the session's alone. So a key that comes beside the end finds it open or ended, and never opens
/// it again.
#[derive(Debug)]
pub struct SdesTransport {
    session: Session,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    peer: Peer,
    /// Under what it is keyed; nothing before the first key and after a stop.
    policy: Option<Policy>,
    /// Whether RTP, and RTCP, were encrypted once.
    has_encrypted: [bool; 2],
    is_closed: bool,
    counters: TransportCounters,
}

impl SdesTransport {
    /// A transport to a peer, without keys: packets are refused until there are some.
    pub fn new(peer: Peer) -> Self {
        let state =
            State { peer, policy: None, has_encrypted: [false; 2], is_closed: false, counters: TransportCounters::default() };
        SdesTransport { session: Session::new(), state: Mutex::new(state) }
    }

    /// Goes on with the peer at other addresses.
    pub fn set_peer(&self, peer: Peer) {
        self.state.lock().peer = peer;
    }

    /// Gives it keys: the first, or new ones, after which packets under those before are still taken for a while. Under another policy
    /// streams begin anew.
    ///
    /// # Errors
    /// [`TransportError::Clear`] of a policy without a cipher, or one that leaves in clear what was encrypted before, be that before
    /// keys were forgotten; [`TransportError::Srtp`] of keys that are not for it, [`TransportError::Closed`]. The keys before, if there
    /// are any, go on.
    #[track_caller]
    pub fn set_keys(&self, policy: &Policy, sending: &[MasterKey], receiving: &[MasterKey]) -> Result<(), TransportError> {
        let mut state = self.state.lock();
        if state.is_closed {
            return Err(TransportError::Closed);
        }
        if policy.profile().is_null() || falls_back(state.has_encrypted, policy) {
            return Err(TransportError::Clear { got: tell(policy) });
        }
        match &state.policy {
            Some(before) if before == policy => self.session.rekey(sending, receiving)?,
            _ => self.session.key(policy, sending, receiving)?,
        }
        state.policy = Some(policy.clone());
        remember(&mut state.has_encrypted, encrypts(policy));
        Ok(())
    }

    /// Forgets the keys: packets are refused until there are others.
    pub fn forget_keys(&self) {
        let mut state = self.state.lock();
        state.policy = None;
        self.session.stop();
    }
}

impl Transport for SdesTransport {
    fn is_secure(&self) -> bool {
        true
    }

    fn has_encrypted(&self) -> [bool; 2] {
        self.state.lock().has_encrypted
    }

    fn require_encryption(&self, of: [bool; 2]) -> Result<(), TransportError> {
        let mut state = self.state.lock();
        if let Some(policy) = state.policy.as_ref().filter(|policy| falls_back(of, policy)) {
            return Err(TransportError::Clear { got: tell(policy) });
        }
        remember(&mut state.has_encrypted, of);
        Ok(())
    }

    fn phase(&self) -> Phase {
        let state = self.state.lock();
        match &state.policy {
            _ if state.is_closed => Phase::Closed,
            Some(_) => Phase::Open,
            None => Phase::Keying,
        }
    }

    fn peer(&self) -> Peer {
        self.state.lock().peer
    }

    fn protect(&self, packet: &mut Mbuf) -> Result<(), TransportError> {
        Ok(self.session.protect(packet)?)
    }

    fn receive(&self, _from: SocketAddr, datagram: &mut Mbuf, _now: Instant) -> Result<Received, TransportError> {
        let received = match classify(datagram.bytes()) {
            Ok(Protocol::Rtp) => Received::Rtp,
            Ok(Protocol::Rtcp) => Received::Rtcp,
            Ok(other) => return Ok(Received::Other(other)),
            Err(error) => {
                count(&mut self.state.lock().counters.malformed);
                return Err(error.into());
            }
        };
        self.session.unprotect(datagram)?;
        Ok(received)
    }

    fn handle_timeout(&self, _now: Instant) -> Reaction {
        Reaction::default()
    }

    fn next_due(&self) -> Option<Instant> {
        None
    }

    fn close(&self, _now: Instant) -> Reaction {
        let mut state = self.state.lock();
        if !std::mem::replace(&mut state.is_closed, true) {
            state.policy = None;
            self.session.stop();
        }
        Reaction::default()
    }

    fn counters(&self) -> TransportCounters {
        let counters = self.state.lock().counters;
        TransportCounters { srtp: self.session.counters(), ..counters }
    }
}

fn encrypts(policy: &Policy) -> [bool; 2] {
    [policy.encrypts_rtp(), policy.encrypts_rtcp()]
}

/// Whether a policy leaves in clear what was encrypted before.
fn falls_back(before: [bool; 2], policy: &Policy) -> bool {
    before.into_iter().zip(encrypts(policy)).any(|(before, now)| before && !now)
}

fn remember(before: &mut [bool; 2], now: [bool; 2]) {
    before.iter_mut().zip(now).for_each(|(before, now)| *before |= now);
}

fn tell(policy: &Policy) -> String {
    let [rtp, rtcp] = encrypts(policy).map(|encrypts| if encrypts { "encrypted" } else { "in clear" });
    format!("one of {} with RTP {rtp} and RTCP {rtcp}", policy.profile())
}
