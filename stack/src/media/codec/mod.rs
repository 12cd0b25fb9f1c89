//! Codecs: samples to payloads and back.

mod g711;

pub use g711::{G711, Law};
use thiserror::Error;

/// A codec of sound, in one direction or both: what it remembers of one stream is its own.
pub trait AudioCodec: Send {
    /// What `a=rtpmap` calls it (RFC 8866 section 6.6).
    fn encoding_name(&self) -> &'static str;

    /// The rate of its RTP timestamps, in Hz. Where a codec has samples of another rate, it resamples itself.
    fn clock_rate_hz(&self) -> u32;

    /// How many samples belong to one moment, one after another.
    fn channels(&self) -> usize;

    /// Appends the payload of one packet.
    ///
    /// # Errors
    /// [`CodecError`]: nothing was appended.
    fn encode(&mut self, samples: &[i16], payload: &mut Vec<u8>) -> Result<(), CodecError>;

    /// Appends the samples of one packet.
    ///
    /// # Errors
    /// [`CodecError`]: nothing was appended.
    fn decode(&mut self, payload: &[u8], samples: &mut Vec<i16>) -> Result<(), CodecError>;
}

/// Why samples or a payload are of no use.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CodecError {
    /// A codec that takes only so much at once got something else.
    #[error("expected one of {expected:?} samples, got {got}")]
    SampleCount {
        /// How many it takes.
        expected: Vec<usize>,
        /// How many there were.
        got: usize,
    },
    /// A payload is none of this codec's.
    #[error("expected a payload of {codec}, got {len} bytes that are none")]
    Payload {
        /// The codec's name.
        codec: &'static str,
        /// Its length in bytes.
        len: usize,
    },
}
