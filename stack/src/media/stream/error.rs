//! Why a stream refuses what it is given.

use crate::media::clock::ClockError;
use crate::media::transport::TransportError;
use crate::rtp::RtpError;
use crate::rtp::jitter::JitterConfigError;
use crate::rtp::rtcp::RtcpError;
use std::time::Duration;
use thiserror::Error;

/// Why a stream refuses what it is given, or cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StreamError {
    /// It has ended.
    #[error("expected a stream that goes on, got one that has ended")]
    Ended,
    /// A stream that was protected is to go on in clear.
    #[error("expected a transport that protects, as the one before did, got one in clear")]
    ClearAfterSecure,
    /// A configuration has a number that no stream can have.
    #[error("expected {what} from {least} to {most}, got {got}")]
    Config {
        /// Which.
        what: &'static str,
        /// The least.
        least: u64,
        /// The most.
        most: u64,
        /// What was asked for.
        got: u64,
    },
    /// The jitter buffer cannot be had so.
    #[error(transparent)]
    Jitter(#[from] JitterConfigError),
    /// The transport refuses it.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// A packet is no RTP.
    #[error(transparent)]
    Rtp(#[from] RtpError),
    /// A packet is no RTCP.
    #[error(transparent)]
    Rtcp(#[from] RtcpError),
    /// A packet has a payload type that was not agreed.
    #[error("expected payload type {expected}, got {got}")]
    PayloadType {
        /// What was agreed.
        expected: u8,
        /// The packet's.
        got: u8,
    },
    /// Packets come though nobody is to send, as was agreed.
    #[error("expected no packets, as the stream does not receive, got one")]
    Direction,
    /// A packet has our own SSRC.
    #[error("expected a packet of another source, got one with our own SSRC {ssrc:#010x}")]
    OwnSsrc {
        /// Ours.
        ssrc: u32,
    },
    /// One source more than a stream remembers, or one beside that which is played.
    #[error("expected packets of {expected:#010x}, got one of {got:#010x}")]
    OtherSource {
        /// Whose packets are played.
        expected: u32,
        /// Whose it is.
        got: u32,
    },
    /// The clock cannot run.
    #[error(transparent)]
    Clock(#[from] ClockError),
    /// A socket cannot be had, or is gone.
    #[error("expected a socket at {address}, got: {why}")]
    Socket {
        /// Where.
        address: String,
        /// What the system says.
        why: String,
    },
    /// No task can be had.
    #[error("expected a task, got: {why}")]
    Task {
        /// What the engine says.
        why: String,
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
