//! How a stream is set up.

use super::StreamError;
use crate::media::description::Direction;
use crate::rtp::jitter::JitterConfig;
use std::time::Duration;

/// The longest CNAME, in bytes: what an SDES item holds (RFC 3550 section 6.5).
pub const CNAME_LEN_MAX: usize = 255;

/// How a stream is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamConfig {
    /// Our source.
    pub ssrc: u32,
    /// Our canonical name, 1 to [`CNAME_LEN_MAX`] bytes (RFC 7022).
    pub cname: String,
    /// Who sends.
    pub direction: Direction,
    /// The payload type that the peer wants.
    pub sending_payload_type: u8,
    /// The payload type that we want.
    pub receiving_payload_type: u8,
    /// The rate of the timestamps, in Hz.
    pub rate_hz: u32,
    /// The timestamps from one tick to the next. Each tick sends one frame and plays one.
    pub samples_per_tick: u32,
    /// How sound that comes is delayed. What it says of rate and frame is set to what is said above.
    pub jitter: JitterConfig,
    /// What RTCP is allowed.
    pub rtcp: RtcpConfig,
    /// What the first sequence number and timestamp and the times of reports are drawn from; the system's randomness unless said. For
    /// streams that are to do the same again.
    pub seed: Option<u64>,
    /// How long the peer may send nothing at all before [`StreamEvent::PeerSilent`](super::StreamEvent::PeerSilent) is told.
    pub silence: Duration,
    /// How long the end waits for a callback to return, and for the stream's task to end.
    pub stop_deadline: Duration,
}

/// What RTCP is allowed (RFC 3550 section 6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtcpConfig {
    /// What the session's media take, in bits a second: RTCP has a twentieth of it.
    pub session_bits_per_s: u32,
    /// The least time between two reports, in the mean. Five seconds, as the RFC has it, unless signalling allows less.
    pub interval_min: Duration,
}

impl Default for RtcpConfig {
    fn default() -> Self {
        RtcpConfig { session_bits_per_s: 64_000, interval_min: Duration::from_secs(5) }
    }
}

impl Default for StreamConfig {
    /// G.711 of the mu-law in frames of 20 ms, both ways. SSRC and CNAME are to be set.
    fn default() -> Self {
        StreamConfig {
            ssrc: 0,
            cname: "glare".to_owned(),
            direction: Direction::SendReceive,
            sending_payload_type: 0,
            receiving_payload_type: 0,
            rate_hz: 8000,
            samples_per_tick: 160,
            jitter: JitterConfig::default(),
            rtcp: RtcpConfig::default(),
            seed: None,
            silence: Duration::from_secs(10),
            stop_deadline: Duration::from_secs(2),
        }
    }
}

impl StreamConfig {
    pub(super) fn check(&self) -> Result<(), StreamError> {
        let within = |what, least: u64, most: u64, got: u64| match (least..=most).contains(&got) {
            true => Ok(()),
            false => Err(StreamError::Config { what, least, most, got }),
        };
        within("a CNAME in bytes", 1, CNAME_LEN_MAX as u64, self.cname.len() as u64)?;
        within("a payload type", 0, 127, self.sending_payload_type.into())?;
        within("a payload type", 0, 127, self.receiving_payload_type.into())?;
        within("a rate in Hz", 1, 1_000_000, self.rate_hz.into())?;
        within("samples a tick", 1, self.rate_hz.into(), self.samples_per_tick.into())?;
        within("bits a second", 1_000, u32::MAX.into(), self.rtcp.session_bits_per_s.into())?;
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        within("RTCP's least interval in ms", 100, 60_000, ms(self.rtcp.interval_min))?;
        within("a silence in ms", 100, 86_400_000, ms(self.silence))?;
        within("a stop's deadline in ms", 1, 60_000, ms(self.stop_deadline))
    }

    pub(super) fn jitter(&self) -> JitterConfig {
        JitterConfig { rate_hz: self.rate_hz, samples_per_frame: self.samples_per_tick, ..self.jitter }
    }
}
