//! A source that plays a file.

use super::super::{SoundError, Source, check_rate};
use super::{BITS, EXTENSIBLE, LINEAR};
use std::fmt;
use std::io::{self, BufReader, ErrorKind, Read};

/// How much of a file is looked at before its samples begin, in bytes: pictures and names may stand there.
pub const WAV_HEADER_LEN_MAX: u64 = 16 << 20;
/// How much of a format is looked at. What is longer is skipped.
const FORMAT_LEN: usize = 26;

/// A source that plays a WAV, once. It reads ahead a few kilobytes at a time, on the thread that asks for samples: a disk that is slow
/// makes a frame late.
///
/// A file that ends in the middle, or cannot be read on, is played as far as it goes; [`Source::finish`] says so.
pub struct WavSource<R> {
    reader: BufReader<R>,
    /// How long its samples are, in bytes.
    len: u64,
    read: u64,
    has_ended: bool,
    error: Option<SoundError>,
    /// The bytes of one frame, kept for the next one.
    bytes: Vec<u8>,
}

impl<R: Read + Send> WavSource<R> {
    /// Plays a file, of which all up to its samples is read here. Its rate has to be the one that is said: nothing is resampled.
    ///
    /// # Errors
    /// [`SoundError::NotWav`] of another kind of file, [`SoundError::Encoding`], [`SoundError::Channels`], [`SoundError::Bits`] and
    /// [`SoundError::Rate`] of other samples, [`SoundError::Cut`] of a file that ends before them, [`SoundError::HeaderTooLong`] of one
    /// without them, [`SoundError::Read`].
    pub fn new(reader: R, rate_hz: u32) -> Result<Self, SoundError> {
        check_rate(rate_hz)?;
        let mut header = Header { reader: BufReader::new(reader), at: 0 };
        header.expect_tag("RIFF")?;
        // How long the file is follows, which a program that was killed has not written: the samples have a length of their own.
        header.take("the header", &mut [0; 4])?;
        header.expect_tag("WAVE")?;
        let mut is_known = false;
        loop {
            let (mut name, mut len) = ([0; 4], [0; 4]);
            header.take("the header", &mut name)?;
            header.take("the header", &mut len)?;
            let len = u32::from_le_bytes(len);
            match &name {
                b"fmt " => {
                    header.read_format(len, rate_hz)?;
                    is_known = true;
                }
                b"data" if is_known => {
                    // A program that wrote into a pipe could not know it: all that there is.
                    let len = if len == u32::MAX { u64::MAX } else { len.into() };
                    return Ok(WavSource {
                        reader: header.reader,
                        len,
                        read: 0,
                        has_ended: len < 2,
                        error: None,
                        bytes: Vec::new(),
                    });
                }
                b"data" => return Err(not_wav("a format before samples", &name)),
                _ => header.skip("a chunk", padded(len))?,
            }
        }
    }

    fn end(&mut self, error: Option<SoundError>) {
        self.has_ended = true;
        self.error = self.error.take().or(error);
    }
}

impl<R: Read + Send> Source for WavSource<R> {
    fn fill(&mut self, samples: &mut [i16]) -> usize {
        let mut own = 0;
        if !self.has_ended {
            // An odd byte at the end is no sample.
            let left = usize::try_from((self.len - self.read) / 2).unwrap_or(usize::MAX);
            let expected = 2 * samples.len().min(left);
            self.bytes.resize(expected, 0);
            let (got, result) = read_all(&mut self.reader, &mut self.bytes);
            self.read += got as u64;
            own = got / 2;
            for (sample, bytes) in samples.iter_mut().zip(self.bytes[..2 * own].as_chunks::<2>().0) {
                *sample = i16::from_le_bytes(*bytes);
            }
            match result {
                Err(error) => self.end(Some(SoundError::read(&error))),
                Ok(()) if got < expected && self.len < u64::MAX => {
                    self.end(Some(SoundError::Cut { what: "the samples", expected: self.len, got: self.read }));
                }
                Ok(()) if got < expected || self.len - self.read < 2 => self.end(None),
                Ok(()) => {}
            }
        }
        samples[own..].fill(0);
        own
    }

    fn has_ended(&self) -> bool {
        self.has_ended
    }

    fn finish(&mut self) -> Result<(), SoundError> {
        self.error.take().map_or(Ok(()), Err)
    }
}

impl<R> fmt::Debug for WavSource<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("WavSource");
        shown.field("len", &self.len).field("read", &self.read).field("error", &self.error).finish_non_exhaustive()
    }
}

/// What stands before the samples.
struct Header<R> {
    reader: BufReader<R>,
    /// How much of it was read.
    at: u64,
}

impl<R: Read> Header<R> {
    /// Reads so many bytes, all of them.
    fn take(&mut self, what: &'static str, bytes: &mut [u8]) -> Result<(), SoundError> {
        self.at += bytes.len() as u64;
        if self.at > WAV_HEADER_LEN_MAX {
            return Err(SoundError::HeaderTooLong { limit: WAV_HEADER_LEN_MAX });
        }
        let (got, result) = read_all(&mut self.reader, bytes);
        result.map_err(|error| SoundError::read(&error))?;
        match got == bytes.len() {
            true => Ok(()),
            false => Err(SoundError::Cut { what, expected: bytes.len() as u64, got: got as u64 }),
        }
    }

    fn skip(&mut self, what: &'static str, len: u64) -> Result<(), SoundError> {
        self.at += len;
        if self.at > WAV_HEADER_LEN_MAX {
            return Err(SoundError::HeaderTooLong { limit: WAV_HEADER_LEN_MAX });
        }
        let skipped = io::copy(&mut (&mut self.reader).take(len), &mut io::sink());
        match skipped.map_err(|error| SoundError::read(&error))? {
            got if got < len => Err(SoundError::Cut { what, expected: len, got }),
            _ => Ok(()),
        }
    }

    fn expect_tag(&mut self, expected: &'static str) -> Result<(), SoundError> {
        let mut tag = [0; 4];
        self.take("the header", &mut tag)?;
        if tag == expected.as_bytes() { Ok(()) } else { Err(not_wav(expected, &tag)) }
    }

    fn read_format(&mut self, len: u32, rate_hz: u32) -> Result<(), SoundError> {
        let mut format = [0; FORMAT_LEN];
        let known = FORMAT_LEN.min(len as usize);
        // The shortest that says what has to be known.
        if known < 16 {
            return Err(SoundError::Cut { what: "the format", expected: 16, got: len.into() });
        }
        self.take("the format", &mut format[..known])?;
        self.skip("the format", padded(len) - known as u64)?;
        let word = |at: usize| u16::from_le_bytes([format[at], format[at + 1]]);
        let tag = match word(0) {
            EXTENSIBLE if known == FORMAT_LEN => word(24),
            tag => tag,
        };
        if tag != LINEAR {
            return Err(SoundError::Encoding { expected: LINEAR, got: tag });
        }
        if word(2) != 1 {
            return Err(SoundError::Channels { expected: 1, got: word(2) });
        }
        if word(14) != BITS {
            return Err(SoundError::Bits { expected: BITS, got: word(14) });
        }
        let got_hz = u32::from(word(4)) | u32::from(word(6)) << 16;
        match got_hz == rate_hz {
            true => Ok(()),
            false => Err(SoundError::Rate { expected_hz: (rate_hz, rate_hz), got_hz }),
        }
    }
}

/// As many bytes as there are, up to the buffer's, and what went wrong after them.
fn read_all(reader: &mut impl Read, bytes: &mut [u8]) -> (usize, io::Result<()>) {
    let mut got = 0;
    while got < bytes.len() {
        match reader.read(&mut bytes[got..]) {
            Ok(0) => break,
            Ok(more) => got += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return (got, Err(error)),
        }
    }
    (got, Ok(()))
}

/// A chunk ends at an even place.
fn padded(len: u32) -> u64 {
    u64::from(len).next_multiple_of(2)
}

fn not_wav(expected: &'static str, got: &[u8; 4]) -> SoundError {
    SoundError::NotWav { expected, got: got.escape_ascii().to_string() }
}
