//! WAV files of one channel and 16 bit linear samples, read and written.
//!
//! Not the crate `hound`, of which the last release is from 2023: when a write fails its writer knows no more where in the file it is, past
//! 4 GiB it counts wrongly, and it is unchecked code in places where 44 bytes are to be written. The tests compare with it.

mod read;
#[cfg(test)]
mod tests;
mod write;

pub use read::{WAV_HEADER_LEN_MAX, WavSource};
pub use write::{WAV_SAMPLES_MAX, WavSink};

/// The format tag of linear samples.
const LINEAR: u16 = 1;
/// The tag of a longer format, in which the tag proper comes later.
const EXTENSIBLE: u16 = 0xfffe;
/// How long a sample is.
const BITS: u16 = 16;
