//! Why a call failed.

use stack::dtls::DtlsError;
use stack::media::stream::StreamError;
use std::time::Duration;
use thiserror::Error;

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum CallFailure {
    /// There are no keys, and there will be none.
    #[error(transparent)]
    Keys(#[from] DtlsError),
    /// There were keys, or none are needed, and nobody came.
    #[error("expected a packet of the peer's within {expected:?}, got none")]
    NoPeer {
        /// How long it was waited for.
        expected: Duration,
    },
    /// The call was ended before both sides talked.
    #[error("expected a packet of the peer's before the end, got {got} first")]
    EndedEarly {
        /// What ended it.
        got: &'static str,
    },
    /// The peer has sent nothing for long.
    #[error("expected packets of the peer's until its BYE, got none for {got:?}")]
    Silent {
        /// For how long.
        got: Duration,
    },
    /// The socket is gone.
    #[error("expected a socket that can be read, got: {why}")]
    Socket {
        /// What the system says.
        why: String,
    },
    /// The stream cannot be had, or not be ended.
    #[error(transparent)]
    Stream(#[from] StreamError),
}
