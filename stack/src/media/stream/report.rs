//! What a stream says of itself.

use crate::media::transport::{TransportCounters, TransportEvent};
use crate::rtp::jitter::JitterCounters;
use crate::rtp::rtcp::{ReportBlock, RtcpCounters};
use std::time::Duration;

/// What has become of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamEvent {
    /// Of its transport.
    Transport(TransportEvent),
    /// Somebody sends whom nobody heard before, or who was silent: its packets are played from now on.
    Source {
        /// Who.
        ssrc: u32,
    },
    /// The source that was played has left (RTCP BYE).
    SourceLeft {
        /// Who.
        ssrc: u32,
    },
    /// Nothing has come for so long as the configuration says. It is told again when something came and stopped coming.
    PeerSilent {
        /// For how long.
        since: Duration,
    },
}

/// What a stream has counted and measured. Counters stay at their last value.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct StreamReport {
    /// RTP packets that were sent.
    pub sent_packets: u64,
    /// Their payloads, in bytes.
    pub sent_bytes: u64,
    /// RTP packets that could not be sent: the transport or the system refused them.
    pub send_failed: u64,
    /// RTP packets that came and were taken.
    pub received_packets: u64,
    /// Their payloads, in bytes.
    pub received_bytes: u64,
    /// Packets that came and were refused, for any reason.
    pub refused: u64,
    /// Payloads that no codec could decode, or that nobody took in time.
    pub undecoded: u64,
    /// Frames that no codec could encode.
    pub unencoded: u64,
    /// Frames of sound that were played though nothing had come: concealed.
    pub concealed: u64,
    /// RTCP datagrams that were sent.
    pub reports_sent: u64,
    /// RTCP that came.
    pub rtcp: RtcpCounters,
    /// What became of the packets that are played.
    pub jitter_buffer: JitterCounters,
    /// What the peer said last of what we send.
    pub peer: Option<ReportBlock>,
    /// The way there and back, as the last report of the peer's shows it.
    pub round_trip: Option<Duration>,
    /// Packets of the source that is played which did not come.
    pub lost: i64,
    /// The interarrival jitter of the source that is played.
    pub interarrival_jitter: Duration,
    /// Key frames that the peer asked for.
    pub key_frames_asked: u64,
    /// Events that nobody took in time.
    pub events_lost: u64,
    /// Of the transport.
    pub transport: TransportCounters,
}
