//! A sink that writes a file.

use super::super::{Sink, SoundError, check_rate};
use super::{BITS, LINEAR};
use std::fmt;
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};

/// How many samples a WAV can have: its lengths are numbers of 32 bits.
pub const WAV_SAMPLES_MAX: u64 = (u32::MAX as u64 - RIFF_LEN_MORE as u64) / 2;
/// How long what stands before the samples is, in bytes.
const HEADER_LEN: u64 = 44;
/// How much longer the file says it is than its samples are.
const RIFF_LEN_MORE: u32 = HEADER_LEN as u32 - 8;

/// A sink that writes a WAV. Once a second of samples it writes what it has and says in the header how much there is, on the thread that
/// plays: a disk that is slow makes a frame late. So of a program that is killed there is a whole file, without the last second.
///
/// What the disk does not take is left out: it is counted, said by [`Sink::finish`], and the next second is tried again behind what there
/// is. The file ends when the sink is dropped; who wants to know whether all of it was written asks before.
pub struct WavSink<W: Write + Seek> {
    writer: W,
    /// What is not written yet.
    pending: Vec<u8>,
    /// So much is written at once.
    second_len: usize,
    written: u64,
    /// So many samples the header speaks of.
    stated: u64,
    lost: u64,
    limit_samples: u64,
    trouble: Option<Trouble>,
}

/// What went wrong first.
#[derive(Clone, Debug)]
enum Trouble {
    Write { kind: ErrorKind, what: String },
    Full,
}

impl<W: Write + Seek + Send> WavSink<W> {
    /// Begins a file at the writer's start, whose samples are of this rate.
    ///
    /// # Errors
    /// [`SoundError::Rate`] of 0 or more than [`SAMPLE_RATE_HZ_MAX`](super::super::SAMPLE_RATE_HZ_MAX), [`SoundError::Write`].
    pub fn new(mut writer: W, rate_hz: u32) -> Result<Self, SoundError> {
        check_rate(rate_hz)?;
        let begin = |writer: &mut W| {
            writer.rewind()?;
            write_all(writer, &header(rate_hz)).1
        };
        begin(&mut writer).map_err(|error| Trouble::of(&error).told(WAV_SAMPLES_MAX, 0))?;
        let second_len = 2 * rate_hz as usize;
        let (pending, limit_samples) = (Vec::with_capacity(second_len), WAV_SAMPLES_MAX);
        Ok(WavSink { writer, pending, second_len, written: 0, stated: 0, lost: 0, limit_samples, trouble: None })
    }
}

impl<W: Write + Seek> WavSink<W> {
    /// With another limit than a file's, for a test that is to reach it.
    #[cfg(test)]
    pub(super) fn with_limit(mut self, limit_samples: u64) -> Self {
        self.limit_samples = limit_samples;
        self
    }

    /// How many samples are in the file.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// How many samples are lost: the disk did not take them, or the file is as long as it can be.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Writes what is pending, or loses it.
    fn write_pending(&mut self) {
        let samples = self.pending.len() as u64 / 2;
        let room = samples.min(self.limit_samples - self.written);
        // To the place that is known: a write that failed may have left the writer anywhere.
        let (taken, result) = match self.writer.seek(SeekFrom::Start(HEADER_LEN + 2 * self.written)) {
            Ok(_) => write_all(&mut self.writer, &self.pending[..2 * room as usize]),
            Err(error) => (0, Err(error)),
        };
        let taken = taken as u64 / 2;
        self.pending.clear();
        self.written += taken;
        self.lost += samples - taken;
        let result = result.and(if self.stated < self.written { self.write_lengths() } else { Ok(()) });
        match result {
            Err(error) => self.note(Trouble::of(&error)),
            Ok(()) if taken < samples => self.note(Trouble::Full),
            Ok(()) => {}
        }
    }

    /// After the samples, so that the header never says more than there is.
    fn write_lengths(&mut self) -> io::Result<()> {
        // The limit sees to it that these are numbers of 32 bits.
        let data_len = (2 * self.written) as u32;
        for (at, len) in [(4, data_len + RIFF_LEN_MORE), (HEADER_LEN - 4, data_len)] {
            self.writer.seek(SeekFrom::Start(at))?;
            write_all(&mut self.writer, &len.to_le_bytes()).1?;
        }
        self.stated = self.written;
        Ok(())
    }

    fn note(&mut self, trouble: Trouble) {
        self.trouble.get_or_insert(trouble);
    }
}

impl<W: Write + Seek + Send> Sink for WavSink<W> {
    fn play(&mut self, mut samples: &[i16]) {
        while !samples.is_empty() {
            let room = (self.second_len - self.pending.len()) / 2;
            let (now, later) = samples.split_at(room.min(samples.len()));
            self.pending.extend(now.iter().flat_map(|sample| sample.to_le_bytes()));
            samples = later;
            if self.pending.len() == self.second_len {
                self.write_pending();
            }
        }
    }

    fn finish(&mut self) -> Result<(), SoundError> {
        self.write_pending();
        if let Err(error) = self.writer.flush() {
            self.note(Trouble::of(&error));
        }
        self.trouble.take().map_or(Ok(()), |trouble| Err(trouble.told(self.limit_samples, self.lost)))
    }
}

impl<W: Write + Seek> Drop for WavSink<W> {
    fn drop(&mut self) {
        self.write_pending();
        // Nobody is left who could be told.
        let _ = self.writer.flush();
    }
}

impl<W: Write + Seek> fmt::Debug for WavSink<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("WavSink");
        shown.field("written", &self.written).field("lost", &self.lost).field("trouble", &self.trouble).finish_non_exhaustive()
    }
}

impl Trouble {
    fn of(error: &io::Error) -> Self {
        Trouble::Write { kind: error.kind(), what: error.to_string() }
    }

    fn told(self, limit_samples: u64, lost_samples: u64) -> SoundError {
        match self {
            Trouble::Write { kind, what } => SoundError::Write { lost_samples, kind, what },
            Trouble::Full => SoundError::Full { limit_samples, lost_samples },
        }
    }
}

/// Of a file without samples.
fn header(rate_hz: u32) -> [u8; HEADER_LEN as usize] {
    let mut header = [0; HEADER_LEN as usize];
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        header[at..at + bytes.len()].copy_from_slice(bytes);
        at += bytes.len();
    };
    put(b"RIFF");
    put(&RIFF_LEN_MORE.to_le_bytes());
    put(b"WAVEfmt ");
    put(&16_u32.to_le_bytes());
    put(&LINEAR.to_le_bytes());
    // One channel.
    put(&1_u16.to_le_bytes());
    put(&rate_hz.to_le_bytes());
    // Bytes a second, and of one moment.
    put(&(2 * rate_hz).to_le_bytes());
    put(&2_u16.to_le_bytes());
    put(&BITS.to_le_bytes());
    put(b"data");
    put(&0_u32.to_le_bytes());
    header
}

/// As many bytes as the writer takes, and why it took no more.
fn write_all(writer: &mut impl Write, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut taken = 0;
    while taken < bytes.len() {
        match writer.write(&bytes[taken..]) {
            Ok(0) => return (taken, Err(ErrorKind::WriteZero.into())),
            Ok(more) => taken += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return (taken, Err(error)),
        }
    }
    (taken, Ok(()))
}
