//! Codecs: samples to payloads and back.

mod g711;
#[cfg(feature = "opus")]
mod opus;
mod opus_parameters;

#[cfg(feature = "opus")]
pub use self::opus::Opus;
pub use g711::{G711, Law};
pub use opus_parameters::{OPUS_BITRATES_BPS, OPUS_PLAYBACK_RATES_HZ, OpusParameters};
use thiserror::Error;

/// A codec of sound, in one direction or both: what it remembers of one stream is its own.
pub trait AudioCodec: Send {
    /// What `a=rtpmap` calls it (RFC 8866 section 6.6).
    fn encoding_name(&self) -> &'static str;

    /// The rate of its RTP timestamps, in Hz. Where a codec has samples of another rate, it resamples itself.
    fn clock_rate_hz(&self) -> u32;

    /// How many samples belong to one moment, one after another.
    fn channels(&self) -> usize;

    /// How many channels `a=rtpmap` says it has, whatever it has.
    fn described_channels(&self) -> u8 {
        // No codec here has more than a few.
        self.channels() as u8
    }

    /// How many samples of each channel a packet has if nobody asks for more or less: 20 ms.
    fn frame_samples(&self) -> usize {
        self.clock_rate_hz() as usize / 50
    }

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

    /// Appends what is to be heard where packets were lost: so many samples of each channel. Silence, unless a codec knows better.
    fn conceal(&mut self, samples: usize, out: &mut Vec<i16>) {
        out.resize(out.len() + samples * self.channels(), 0);
    }

    /// The same where the packet that follows is there already: a codec may send each packet once more, less well, in the next one. That
    /// packet is decoded afterwards all the same.
    fn recover(&mut self, following: &[u8], samples: usize, out: &mut Vec<i16>) {
        let _ = following;
        self.conceal(samples, out);
    }
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
    /// The library that a codec is made with cannot do it.
    #[error("expected {codec}, its library says: {what}")]
    Library {
        /// The codec's name.
        codec: &'static str,
        /// What the library says.
        what: &'static str,
    },
}
