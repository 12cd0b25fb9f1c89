//! SRTP with keys from a handshake.

use super::counters::count;
use super::{Peer, Phase, Reaction, Received, Transport, TransportCounters, TransportError, TransportEvent};
use crate::buffer::Mbuf;
use crate::dtls::{Action, Association, DtlsConfig, Fingerprints, Keys, Protocol, Role, classify};
use crate::srtp::{Profile, Session};
use sim::sync::Mutex;
use sim::time::Instant;
use std::net::SocketAddr;

/// DTLS-SRTP (RFC 5764): a handshake on the media's own socket, whose certificates the signalling vouches for.
///
/// Handshakes, keys and the end are taken under its one lock, and under that the session's; RTP and RTCP take the session's alone. So keys
/// of a handshake that ends beside [`DtlsTransport::renegotiate`] or the close are there before it, or never. SRTP is taken from
/// wherever it comes, since its tag says whose it is; DTLS only from the address that media was agreed with, since nothing
/// authenticates a hello (Asterisk GHSA-hxj9).
pub struct DtlsTransport {
    config: DtlsConfig,
    session: Session,
    state: Mutex<State>,
}

struct State {
    peer: Peer,
    association: Association,
    /// For which profile the session is keyed.
    profile: Option<Profile>,
    phase: Phase,
    counters: TransportCounters,
}

impl DtlsTransport {
    /// A transport to a peer whose certificate has this fingerprint. The client's first hello is in the reaction. `number` is this
    /// association's among those of its configuration: see [`Crypto`](crate::dtls::Crypto).
    ///
    /// # Errors
    /// [`TransportError::NotMuxed`].
    pub fn new(
        config: &DtlsConfig,
        role: Role,
        fingerprints: Fingerprints,
        peer: Peer,
        number: u64,
        now: Instant,
    ) -> Result<(Self, Reaction), TransportError> {
        if !peer.is_muxed() {
            return Err(TransportError::NotMuxed { got: peer });
        }
        let association = Association::new(config, role, fingerprints, number, now);
        let counters = TransportCounters::default();
        let state = State { peer, association, profile: None, phase: Phase::Keying, counters };
        let transport = DtlsTransport { config: config.clone(), session: Session::new(), state: Mutex::new(state) };
        let reaction = transport.settle(&mut transport.state.lock());
        Ok((transport, reaction))
    }

    /// Begins a new association, with another peer or another role, as signalling has agreed anew (RFC 5763 section 6.6). The keys that
    /// there are go on until there are new ones; where there are none, packets are refused until then.
    ///
    /// # Errors
    /// [`TransportError::NotMuxed`], [`TransportError::Closed`]: then nothing changes.
    pub fn renegotiate(
        &self,
        role: Role,
        fingerprints: Fingerprints,
        peer: Peer,
        number: u64,
        now: Instant,
    ) -> Result<Reaction, TransportError> {
        if !peer.is_muxed() {
            return Err(TransportError::NotMuxed { got: peer });
        }
        // Not under the lock: a client makes its hello here.
        let association = Association::new(&self.config, role, fingerprints, number, now);
        let mut state = self.state.lock();
        if state.phase == Phase::Closed {
            return Err(TransportError::Closed);
        }
        if state.profile.is_none() {
            state.phase = Phase::Keying;
        }
        (state.peer, state.association) = (peer, association);
        Ok(self.settle(&mut state))
    }

    /// Goes on with the peer at another address: the association is the same.
    ///
    /// # Errors
    /// [`TransportError::NotMuxed`].
    pub fn set_peer(&self, peer: Peer) -> Result<(), TransportError> {
        if !peer.is_muxed() {
            return Err(TransportError::NotMuxed { got: peer });
        }
        self.state.lock().peer = peer;
        Ok(())
    }

    /// Has new keys made by a handshake beside the association that there is. Nothing happens if it is at it already.
    ///
    /// # Errors
    /// [`TransportError::NotClient`], [`TransportError::Closed`], [`TransportError::Dtls`] if there is no association any more.
    pub fn rekey(&self, now: Instant) -> Result<Reaction, TransportError> {
        let mut state = self.state.lock();
        match &state.phase {
            Phase::Closed => return Err(TransportError::Closed),
            Phase::Failed(error) => return Err(error.clone().into()),
            Phase::Keying | Phase::Open => {}
        }
        if state.association.role() == Role::Server {
            return Err(TransportError::NotClient);
        }
        state.association.rekey(now);
        Ok(self.settle(&mut state))
    }

    /// Our role in the association.
    pub fn role(&self) -> Role {
        self.state.lock().association.role()
    }

    /// Takes all that the association says. Under the lock of `state`.
    fn settle(&self, state: &mut State) -> Reaction {
        let mut reaction = Reaction::default();
        while let Some(action) = state.association.poll() {
            match action {
                Action::Transmit(datagram) => reaction.datagrams.push(datagram),
                Action::Keyed(keys) => reaction.events.push(self.take_keys(state, &keys)),
                Action::RekeyFailed(error) => reaction.events.push(TransportEvent::RekeyFailed(error)),
                // An association that was begun anew, of a transport that is keyed: its keys are still good.
                Action::Failed(error) if state.profile.is_some() => reaction.events.push(TransportEvent::RekeyFailed(error)),
                Action::Failed(error) => {
                    state.phase = Phase::Failed(error.clone());
                    reaction.events.push(TransportEvent::Failed(error));
                }
                Action::Closed => {
                    self.end(state);
                    reaction.events.push(TransportEvent::ClosedByPeer);
                }
            }
        }
        reaction.to = (!reaction.datagrams.is_empty()).then_some(state.peer.rtp);
        reaction
    }

    fn take_keys(&self, state: &mut State, keys: &Keys) -> TransportEvent {
        let profile = keys.profile();
        let (sending, receiving) = (std::slice::from_ref(keys.sending()), std::slice::from_ref(keys.receiving()));
        let is_rekey = state.profile.is_some();
        let keyed = match state.profile {
            Some(before) if before == profile => self.session.rekey(sending, receiving),
            _ => keys.policy().and_then(|policy| self.session.key(&policy, sending, receiving)),
        };
        match keyed {
            Ok(()) => {
                (state.profile, state.phase) = (Some(profile), Phase::Open);
                TransportEvent::Keyed { profile, is_rekey }
            }
            // The profiles that DTLS agrees on have policies, and its keys are for them.
            Err(error) => {
                let error = crate::dtls::DtlsError::Handshake { why: error.to_string() };
                if is_rekey {
                    return TransportEvent::RekeyFailed(error);
                }
                state.phase = Phase::Failed(error.clone());
                TransportEvent::Failed(error)
            }
        }
    }

    fn end(&self, state: &mut State) {
        (state.phase, state.profile) = (Phase::Closed, None);
        self.session.stop();
    }
}

impl Transport for DtlsTransport {
    fn is_secure(&self) -> bool {
        true
    }

    fn has_encrypted(&self) -> [bool; 2] {
        // The profiles that DTLS agrees on do, and nothing goes before there is one.
        [true; 2]
    }

    fn require_encryption(&self, _of: [bool; 2]) -> Result<(), TransportError> {
        Ok(())
    }

    fn phase(&self) -> Phase {
        self.state.lock().phase.clone()
    }

    fn peer(&self) -> Peer {
        self.state.lock().peer
    }

    fn protect(&self, packet: &mut Mbuf) -> Result<(), TransportError> {
        Ok(self.session.protect(packet)?)
    }

    fn receive(&self, from: SocketAddr, datagram: &mut Mbuf, now: Instant) -> Result<Received, TransportError> {
        let received = match classify(datagram.bytes()) {
            Ok(Protocol::Rtp) => Received::Rtp,
            Ok(Protocol::Rtcp) => Received::Rtcp,
            Ok(Protocol::Dtls) => return self.handshake(from, datagram.bytes(), now).map(Received::Handled),
            Ok(other) => return Ok(Received::Other(other)),
            Err(error) => {
                count(&mut self.state.lock().counters.malformed);
                return Err(error.into());
            }
        };
        self.session.unprotect(datagram)?;
        Ok(received)
    }

    fn handle_timeout(&self, now: Instant) -> Reaction {
        let mut state = self.state.lock();
        state.association.handle_timeout(now);
        self.settle(&mut state)
    }

    fn next_due(&self) -> Option<Instant> {
        self.state.lock().association.next_due()
    }

    fn close(&self, now: Instant) -> Reaction {
        let mut state = self.state.lock();
        if state.phase == Phase::Closed {
            return Reaction::default();
        }
        state.association.close(now);
        // What it says at its end is among what it says.
        let reaction = self.settle(&mut state);
        self.end(&mut state);
        reaction
    }

    fn counters(&self) -> TransportCounters {
        let (counters, dtls) = {
            let state = self.state.lock();
            (state.counters, state.association.counters())
        };
        TransportCounters { srtp: self.session.counters(), dtls: Some(dtls), ..counters }
    }
}

impl DtlsTransport {
    fn handshake(&self, from: SocketAddr, datagram: &[u8], now: Instant) -> Result<Reaction, TransportError> {
        let mut state = self.state.lock();
        if state.phase == Phase::Closed {
            count(&mut state.counters.closed);
            return Err(TransportError::Closed);
        }
        if state.peer.rtp != from {
            count(&mut state.counters.strangers);
            return Err(TransportError::Stranger { expected: state.peer, got: from });
        }
        state.association.handle_datagram(datagram, now);
        Ok(self.settle(&mut state))
    }
}

impl std::fmt::Debug for DtlsTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.state.lock();
        let mut debug = f.debug_struct("DtlsTransport");
        debug.field("phase", &state.phase).field("peer", &state.peer).field("association", &state.association);
        debug.finish_non_exhaustive()
    }
}
