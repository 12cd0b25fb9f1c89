//! Why a transport refuses a packet, or what it is given.

use super::Peer;
use crate::dtls::{DemuxError, DtlsError};
use crate::srtp::SrtpError;
use std::net::SocketAddr;
use thiserror::Error;

/// Why a transport refuses a packet, or what it is given. Nothing has changed but for its counters.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TransportError {
    /// It was closed.
    #[error("expected an open transport, got one that was closed")]
    Closed,
    /// A datagram came from somebody else.
    #[error("expected a datagram from {} or {}, got one from {got}", expected.rtp, expected.rtcp)]
    Stranger {
        /// Whom media was agreed with.
        expected: Peer,
        /// Who sent it.
        got: SocketAddr,
    },
    /// A datagram is of no protocol.
    #[error(transparent)]
    Demux(#[from] DemuxError),
    /// SRTP refuses the packet, or the keys. [`SrtpError::NotKeyed`] where there are none.
    #[error(transparent)]
    Srtp(#[from] SrtpError),
    /// A policy would leave in clear what was protected before, or what is to be protected.
    #[error("expected a policy that encrypts what is to be, got {got}")]
    Clear {
        /// The policy, as it is told.
        got: String,
    },
    /// DTLS needs RTP and RTCP on one port: a second association for RTCP (RFC 5764 section 4.1) is not made.
    #[error("expected RTP and RTCP on one port for DTLS, got {} and {}", got.rtp, got.rtcp)]
    NotMuxed {
        /// The peer's addresses.
        got: Peer,
    },
    /// Only the client of an association begins a handshake.
    #[error("expected to be the client of the association, got that we are its server")]
    NotClient,
    /// The handshake has failed.
    #[error(transparent)]
    Dtls(#[from] DtlsError),
}
