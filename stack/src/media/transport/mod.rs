//! Transports: how the packets of one stream are protected, and what keys that. Three behind one trait: [`ClearTransport`] for plain RTP,
//! [`SdesTransport`] with keys from the signalling (RFC 4568), [`DtlsTransport`] with keys from a handshake (RFC 5764).
//!
//! A transport is shared by all who handle a stream's packets and may be called from any thread at any time, its end included. It is
//! sans-IO: it is given datagrams and the time, and gives back what to send. What it gives back is the caller's own: nobody changes it
//! while it is sent. It calls nobody, so it may be called under any lock.
//!
//! **Never in clear after secure.** A transport that protects has no state in which a packet passes in clear: without keys, before them
//! or after its end, packets are refused and counted. A policy that leaves packets in clear is refused when it is given. Which
//! transport a stream has is guarded by the stream: [`Stream::set_transport`](super::stream::Stream::set_transport).

mod clear;
mod counters;
mod dtls;
mod error;
mod sdes;

pub use clear::ClearTransport;
pub use counters::TransportCounters;
pub use dtls::DtlsTransport;
pub use error::TransportError;
pub use sdes::SdesTransport;

use crate::buffer::Mbuf;
use crate::dtls::{DtlsError, Protocol};
use crate::srtp::Profile;
use sim::time::Instant;
use std::fmt;
use std::net::SocketAddr;

/// Where a peer's packets come from and go to, as media was agreed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    /// For RTP, and for DTLS.
    pub rtp: SocketAddr,
    /// For RTCP; the same where they share a port.
    pub rtcp: SocketAddr,
}

impl Peer {
    /// A peer with one address for both.
    pub fn muxed(address: SocketAddr) -> Self {
        Peer { rtp: address, rtcp: address }
    }

    /// Whether RTP and RTCP share a port (RFC 5761).
    pub fn is_muxed(&self) -> bool {
        self.rtp == self.rtcp
    }

    /// Whether a packet from there is one of the peer's.
    pub fn has(&self, address: SocketAddr) -> bool {
        self.rtp == address || self.rtcp == address
    }
}

/// How far a transport is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// There are no keys yet.
    Keying,
    /// Packets pass.
    Open,
    /// There are no keys and there will be none.
    Failed(DtlsError),
    /// It was closed, by us or by the peer. Packets are refused.
    Closed,
}

/// What came with a datagram.
#[derive(Debug)]
pub enum Received {
    /// An RTP packet: in the buffer, decrypted.
    Rtp,
    /// RTCP packets: in the buffer, decrypted.
    Rtcp,
    /// Something of the transport's own, and what follows from it.
    Handled(Reaction),
    /// Something for somebody else who shares the socket: in the buffer, untouched.
    Other(Protocol),
}

/// What follows from what a transport was given.
#[derive(Debug, Default)]
#[must_use = "datagrams are to be sent, and events told"]
pub struct Reaction {
    /// To be sent to [`Reaction::to`], in this order.
    pub datagrams: Vec<Vec<u8>>,
    /// Where they go, if there are any.
    pub to: Option<SocketAddr>,
    /// What has become of the transport.
    pub events: Vec<TransportEvent>,
}

/// What has become of a transport.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransportEvent {
    /// There are keys: the first, or new ones.
    Keyed {
        /// For which profile.
        profile: Profile,
        /// Whether it was keyed before.
        is_rekey: bool,
    },
    /// There are no new keys; the ones before are still good.
    RekeyFailed(DtlsError),
    /// There are no keys and there will be none.
    Failed(DtlsError),
    /// The peer has closed it.
    ClosedByPeer,
}

/// How the packets of one stream are protected. See the [module](self) for what all of them promise.
pub trait Transport: Send + Sync + fmt::Debug {
    /// Whether packets are protected, or else refused.
    fn is_secure(&self) -> bool;

    /// Whether RTP, and RTCP, is encrypted or was once.
    fn has_encrypted(&self) -> [bool; 2];

    /// Has it encrypt RTP, and RTCP, from now on, as the transport did that it takes the place of.
    ///
    /// # Errors
    /// [`TransportError::Clear`] of one that does not. Nothing has changed.
    fn require_encryption(&self, of: [bool; 2]) -> Result<(), TransportError>;

    /// How far it is.
    fn phase(&self) -> Phase;

    /// Where packets go.
    fn peer(&self) -> Peer;

    /// Protects an RTP or RTCP packet that is to be sent, in place.
    ///
    /// # Errors
    /// [`TransportError`]: the packet must not be sent, and is counted.
    fn protect(&self, packet: &mut Mbuf) -> Result<(), TransportError>;

    /// Takes a datagram that came `from` there.
    ///
    /// # Errors
    /// [`TransportError`]: it is to be dropped, and is counted. Nothing has changed.
    fn receive(&self, from: SocketAddr, datagram: &mut Mbuf, now: Instant) -> Result<Received, TransportError>;

    /// Does what is due. Nothing happens before that.
    fn handle_timeout(&self, now: Instant) -> Reaction;

    /// When [`Transport::handle_timeout`] is to be called at the latest. What else is called may change it.
    fn next_due(&self) -> Option<Instant>;

    /// Ends it: keys are forgotten, and packets refused from now on. The second time nothing happens.
    fn close(&self, now: Instant) -> Reaction;

    /// What was counted.
    fn counters(&self) -> TransportCounters;
}
