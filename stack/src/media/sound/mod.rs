//! Sound: where a stream's samples come from, and where they go.
//!
//! A sample is 16 bits, linear, of one channel; at which rate is what whoever joins a source or a sink to a stream has agreed with it.
//! A [`Source`] is asked for one frame after another, a [`Sink`] is given them, each by whoever has it and by nobody else. Neither paces
//! itself: the [clock](super::clock) does. Of what is here only files may wait, for the disk; the page of each says so.
//!
//! [`Tone`], [`tone_amplitude`] and [`level`] count in integers alone: a sine of the C library differs in its last bit from one machine to
//! the next, and so would every packet and every digest of a run.

mod echo;
mod level;
mod recording;
mod tone;
mod wav;

pub use echo::{ECHO_SAMPLES_MAX, EchoSink, EchoSource, echo};
pub use level::{has_tone, level, tone_amplitude};
pub use recording::{Recording, RecordingSink};
pub use tone::{Silence, Tone};
pub use wav::{WAV_HEADER_LEN_MAX, WAV_SAMPLES_MAX, WavSink, WavSource};

use std::io;
use thiserror::Error;

/// The highest rate that is believed, in Hz.
pub const SAMPLE_RATE_HZ_MAX: u32 = 384_000;

/// Where samples come from.
pub trait Source: Send {
    /// Fills one frame; what the source does not have is silence. Returns how many samples are its own, which are the first ones: 0
    /// from the call on after which it [has ended](Source::has_ended).
    fn fill(&mut self, samples: &mut [i16]) -> usize;

    /// Whether there is nothing more to come.
    fn has_ended(&self) -> bool {
        false
    }

    /// Says what could not be read, once. A source may be asked while it goes on.
    ///
    /// # Errors
    /// [`SoundError`], the first since it was asked.
    fn finish(&mut self) -> Result<(), SoundError> {
        Ok(())
    }
}

/// Where samples go.
pub trait Sink: Send {
    /// Takes one frame. What cannot be kept is left out and counted: a call goes on without its recording.
    fn play(&mut self, samples: &[i16]);

    /// Keeps what has not been kept yet, and says what could not be, once. More frames may follow.
    ///
    /// # Errors
    /// [`SoundError`], the first since it was asked.
    fn finish(&mut self) -> Result<(), SoundError> {
        Ok(())
    }
}

impl<S: Source + ?Sized> Source for Box<S> {
    fn fill(&mut self, samples: &mut [i16]) -> usize {
        (**self).fill(samples)
    }

    fn has_ended(&self) -> bool {
        (**self).has_ended()
    }

    fn finish(&mut self) -> Result<(), SoundError> {
        (**self).finish()
    }
}

impl<S: Sink + ?Sized> Sink for Box<S> {
    fn play(&mut self, samples: &[i16]) {
        (**self).play(samples);
    }

    fn finish(&mut self) -> Result<(), SoundError> {
        (**self).finish()
    }
}

/// Why there is no sound, or not all of it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SoundError {
    /// A rate that is none, or another than what was agreed.
    #[error("expected {} to {} samples a second, got {got_hz}", expected_hz.0, expected_hz.1)]
    Rate {
        /// The lowest and the highest that will do.
        expected_hz: (u32, u32),
        /// What there is.
        got_hz: u32,
    },
    /// A tone that so few samples cannot carry.
    #[error("expected a tone of at most {expected_max_hz} Hz, got {got_hz}")]
    Frequency {
        /// Half the rate.
        expected_max_hz: u32,
        /// What was asked for.
        got_hz: u32,
    },
    /// A file that is no WAV.
    #[error("expected {expected}, got {got:?}")]
    NotWav {
        /// What stands there in a WAV.
        expected: &'static str,
        /// What stands there.
        got: String,
    },
    /// A WAV whose samples are not linear: compressed, or floats.
    #[error("expected linear samples, format {expected}, got format {got:#x}")]
    Encoding {
        /// The tag of linear samples.
        expected: u16,
        /// The file's.
        got: u16,
    },
    /// A WAV of several channels, or of none.
    #[error("expected {expected} channel, got {got}")]
    Channels {
        /// How many there have to be.
        expected: u16,
        /// How many there are.
        got: u16,
    },
    /// A WAV of other samples.
    #[error("expected samples of {expected} bits, got {got}")]
    Bits {
        /// How long samples have to be.
        expected: u16,
        /// How long they are.
        got: u16,
    },
    /// A file that ends early.
    #[error("{what}: expected {expected} bytes, got {got}")]
    Cut {
        /// What it ends in.
        what: &'static str,
        /// How long that says it is.
        expected: u64,
        /// How much there is.
        got: u64,
    },
    /// A file with no samples before the limit.
    #[error("expected samples within {limit} bytes, got none")]
    HeaderTooLong {
        /// The limit, in bytes.
        limit: u64,
    },
    /// The file cannot be read.
    #[error("expected a file that can be read: {what}")]
    Read {
        /// What is wrong, for a program.
        kind: io::ErrorKind,
        /// What is wrong, for a person.
        what: String,
    },
    /// The file cannot be written, as when the disk is full.
    #[error("expected room for all samples, {lost_samples} are lost: {what}")]
    Write {
        /// How many samples are lost so far, of the whole file.
        lost_samples: u64,
        /// What was wrong the first time, for a program.
        kind: io::ErrorKind,
        /// What was wrong the first time, for a person.
        what: String,
    },
    /// The file is as long as a WAV can be.
    #[error("expected at most {limit_samples} samples, {lost_samples} more are lost")]
    Full {
        /// The limit.
        limit_samples: u64,
        /// How many samples are lost so far, of the whole file.
        lost_samples: u64,
    },
}

impl SoundError {
    fn read(error: &io::Error) -> Self {
        SoundError::Read { kind: error.kind(), what: error.to_string() }
    }
}

fn check_rate(rate_hz: u32) -> Result<(), SoundError> {
    let expected_hz = (1, SAMPLE_RATE_HZ_MAX);
    match (expected_hz.0..=expected_hz.1).contains(&rate_hz) {
        true => Ok(()),
        false => Err(SoundError::Rate { expected_hz, got_hz: rate_hz }),
    }
}
