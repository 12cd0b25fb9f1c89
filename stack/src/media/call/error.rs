//! Why a call cannot go on as it was asked to.

use crate::media::description::{DescriptionError, Refusal};
use crate::media::stream::StreamError;
use crate::media::transport::TransportError;
use std::net::SocketAddr;
use std::time::Duration;
use thiserror::Error;

/// Why a call cannot go on as it was asked to. It goes on as it did.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CallError {
    /// Both sides have offered at once (RFC 3264 section 4): who is to wait, the signalling says (RFC 3261 section 14.1).
    #[error("expected no offer while ours has no answer, got one")]
    Glare,
    /// An answer to nothing, or an offer while one is being answered.
    #[error("expected {expected}, got {got}")]
    OutOfTurn {
        /// What may come now.
        expected: &'static str,
        /// What did.
        got: &'static str,
    },
    /// The call has ended.
    #[error("expected a call that goes on, got one that has ended")]
    Ended,
    /// There is no such line.
    #[error("expected one of {expected} lines, got line {got}")]
    NoSuchLine {
        /// How many there are.
        expected: usize,
        /// Which was asked for.
        got: usize,
    },
    /// A line was to be carried, and is not.
    #[error("line {line}: expected a stream, got: {why}")]
    Refused {
        /// Which.
        line: usize,
        /// Why not.
        why: Refusal,
    },
    /// The other side's description, or ours.
    #[error(transparent)]
    Description(#[from] DescriptionError),
    /// A stream.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// A transport.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// A line was agreed to be keyed by DTLS, and the call has nothing to do that with.
    #[error("expected a call that was set up with a certificate, got one without")]
    NoCertificate,
    /// Nothing was made for the format that both sides have.
    #[error("expected a codec for {format}, got none")]
    NoCodec {
        /// The format.
        format: String,
    },
    /// A port that a line cannot have: it needs another above it.
    #[error("expected a port from 1 to 65534, got {got}")]
    Port {
        /// Where the socket is.
        got: SocketAddr,
    },
    /// What was waited for has not come in its time.
    #[error("expected {what} within {expected:?}, got none")]
    Deadline {
        /// What.
        what: &'static str,
        /// How long it was waited for.
        expected: Duration,
    },
}
