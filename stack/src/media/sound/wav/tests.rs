//! Files of ours beside another library's, files of every length, and disks that are full.

use super::super::{Sink, SoundError, Source};
use super::*;
use proptest::prelude::*;
use sim::sync::{Arc, Mutex};
use std::io::{self, Cursor, ErrorKind, Seek, SeekFrom, Write};

const RATE_HZ: u32 = 8000;

fn noise(len: usize) -> Vec<i16> {
    (0..len as u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48) as i16).collect()
}

fn written(samples: &[i16]) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    WavSink::new(&mut file, RATE_HZ).unwrap().play(samples);
    file.into_inner()
}

/// All samples, asked for in frames, and what was said in the end.
fn played(file: &[u8], frame: usize) -> Result<(Vec<i16>, Result<(), SoundError>), SoundError> {
    let mut source = WavSource::new(file, RATE_HZ)?;
    let mut all = Vec::new();
    while !source.has_ended() {
        let mut samples = vec![7; frame];
        let own = source.fill(&mut samples);
        assert!(samples[own..].iter().all(|sample| *sample == 0));
        all.extend(&samples[..own]);
    }
    let mut after = [7; 3];
    assert_eq!((source.fill(&mut after), after), (0, [0; 3]));
    let finished = source.finish();
    assert_eq!(source.finish(), Ok(()), "it is said once");
    Ok((all, finished))
}

fn heard(file: &[u8]) -> Vec<i16> {
    let (samples, finished) = played(file, 160).unwrap();
    finished.unwrap();
    samples
}

fn refusal(file: &[u8]) -> SoundError {
    WavSource::new(file, RATE_HZ).unwrap_err()
}

/// A disk that has room for so many bytes, seen from outside while it is written.
#[derive(Clone)]
struct Disk {
    inner: Arc<Mutex<Room>>,
}

struct Room {
    file: Cursor<Vec<u8>>,
    limit: usize,
}

impl Disk {
    fn new(limit: usize) -> Self {
        Disk { inner: Arc::new(Mutex::new(Room { file: Cursor::new(Vec::new()), limit })) }
    }

    fn bytes(&self) -> Vec<u8> {
        self.inner.lock().file.get_ref().clone()
    }

    fn set_limit(&self, limit: usize) {
        self.inner.lock().limit = limit;
    }
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut room = self.inner.lock();
        let taken = bytes.len().min(room.limit.saturating_sub(room.file.position() as usize));
        if taken == 0 && !bytes.is_empty() {
            return Err(ErrorKind::StorageFull.into());
        }
        room.file.write(&bytes[..taken])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Disk {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.lock().file.seek(to)
    }
}

#[test]
fn another_library_reads_what_is_written() {
    for len in [0, 1, 160, 7999, 8000, 8001, 20_000] {
        let samples = noise(len);
        let mut reader = hound::WavReader::new(Cursor::new(written(&samples))).unwrap();
        let spec =
            hound::WavSpec { channels: 1, sample_rate: RATE_HZ, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
        assert_eq!(reader.spec(), spec);
        assert_eq!(reader.samples::<i16>().collect::<Result<Vec<_>, _>>().unwrap(), samples);
    }
}

#[test]
fn what_another_library_writes_is_read_or_refused() {
    let file = |channels, sample_rate, bits_per_sample, sample_format| {
        let mut file = Cursor::new(Vec::new());
        let spec = hound::WavSpec { channels, sample_rate, bits_per_sample, sample_format };
        let mut writer = hound::WavWriter::new(&mut file, spec).unwrap();
        for sample in noise(2000) {
            match sample_format {
                hound::SampleFormat::Int => writer.write_sample(sample >> (16 - bits_per_sample.min(16))).unwrap(),
                hound::SampleFormat::Float => writer.write_sample(f32::from(sample)).unwrap(),
            }
        }
        writer.finalize().unwrap();
        file.into_inner()
    };
    use hound::SampleFormat::{Float, Int};
    assert_eq!(heard(&file(1, RATE_HZ, 16, Int)), noise(2000));
    assert_eq!(refusal(&file(2, RATE_HZ, 16, Int)), SoundError::Channels { expected: 1, got: 2 });
    for bits in [8, 24, 32] {
        assert_eq!(refusal(&file(1, RATE_HZ, bits, Int)), SoundError::Bits { expected: 16, got: bits });
    }
    assert_eq!(refusal(&file(1, RATE_HZ, 32, Float)), SoundError::Encoding { expected: 1, got: 3 });
    assert_eq!(refusal(&file(1, 16_000, 16, Int)), SoundError::Rate { expected_hz: (RATE_HZ, RATE_HZ), got_hz: 16_000 });
}

/// Our file with other bytes at a place.
fn with(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut file = written(&noise(100));
    file[at..at + bytes.len()].copy_from_slice(bytes);
    file
}

#[test]
fn what_is_no_wav_says_what_it_is() {
    let not_wav = |expected, got: &str| SoundError::NotWav { expected, got: got.into() };
    assert_eq!(refusal(&with(0, b"OggS")), not_wav("RIFF", "OggS"));
    assert_eq!(refusal(&with(8, b"AVI ")), not_wav("WAVE", "AVI "));
    assert_eq!(refusal(&with(12, b"data")), not_wav("a format before samples", "data"));
    assert_eq!(refusal(&with(16, &[15, 0, 0, 0])), SoundError::Cut { what: "the format", expected: 16, got: 15 });
    for tag in [0, 6, 7, 0x55, EXTENSIBLE] {
        assert_eq!(refusal(&with(20, &tag.to_le_bytes())), SoundError::Encoding { expected: 1, got: tag });
    }
    assert_eq!(refusal(&with(22, &[0, 0])), SoundError::Channels { expected: 1, got: 0 });
    assert_eq!(WavSource::new(&written(&[])[..], 0).unwrap_err(), WavSink::new(Cursor::new(vec![]), 0).unwrap_err());
    // Chunks that nobody knows, one after another, or one that says it is long.
    let unknown = |len: u32, count: usize| {
        let mut file = b"RIFF\0\0\0\0WAVE".to_vec();
        for _ in 0..count {
            file.extend(b"LIST");
            file.extend(len.to_le_bytes());
            file.resize(file.len() + len.min(1 << 20) as usize, 0);
        }
        file.extend(&written(&[1, 2, 3])[12..]);
        file
    };
    assert_eq!(heard(&unknown(0, 3)), [1, 2, 3]);
    assert_eq!(heard(&unknown(1 << 20, 15)), [1, 2, 3]);
    for (len, count) in [(1 << 20, 16), (u32::MAX, 1)] {
        assert_eq!(refusal(&unknown(len, count)), SoundError::HeaderTooLong { limit: WAV_HEADER_LEN_MAX });
    }
    assert!(matches!(refusal(&unknown(1 << 23, 1)), SoundError::Cut { what: "a chunk", .. }));
}

/// The longer format, with another tag behind it, and a chunk of an odd length, which ends at an even place.
#[test]
fn a_longer_format_and_odd_chunks_are_read() {
    let file = |tag: u16, odd: &[u8]| {
        let mut file = written(&[1, -2])[..36].to_vec();
        file[16] = 40;
        file[20..22].copy_from_slice(&EXTENSIBLE.to_le_bytes());
        file.extend([22, 0, 16, 0, 4, 0, 0, 0]);
        file.extend(tag.to_le_bytes());
        file.extend([0; 14]);
        file.extend(odd);
        file.extend(b"data\x04\0\0\0\x01\0\xfe\xff");
        file
    };
    let odd = b"note\x03\0\0\0abc\0";
    assert_eq!(heard(&file(1, odd)), [1, -2]);
    assert_eq!(heard(&file(1, b"")), [1, -2]);
    assert_eq!(refusal(&file(3, odd)), SoundError::Encoding { expected: 1, got: 3 });
}

/// Every length that a file can be cut to: it is refused before its samples, and played as far as it goes after that.
#[test]
fn a_file_that_is_cut_is_played_as_far_as_it_goes() {
    let (samples, file) = (noise(50), written(&noise(50)));
    for len in 0..=file.len() {
        let result = played(&file[..len], 7);
        if len < 44 {
            assert!(matches!(result.unwrap_err(), SoundError::Cut { .. }), "{len}");
            continue;
        }
        let (heard, finished) = result.unwrap();
        assert_eq!(heard, samples[..(len - 44) / 2]);
        let cut = SoundError::Cut { what: "the samples", expected: 100, got: len as u64 - 44 };
        assert_eq!(finished, if len == file.len() { Ok(()) } else { Err(cut) }, "{len}");
    }
    // What was written into a pipe has as many samples as there are.
    assert_eq!(heard(&with(40, &[0xff; 4])), noise(100));
    // The last byte of an odd length is no sample, and what follows samples is none either.
    assert_eq!(heard(&with(40, &[21, 0, 0, 0])), noise(10));
}

#[test]
fn a_file_that_cannot_be_read_on_says_so() {
    struct Broken;
    impl io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::new(ErrorKind::TimedOut, "gone"))
        }
    }
    let gone = SoundError::Read { kind: ErrorKind::TimedOut, what: "gone".into() };
    assert_eq!(WavSource::new(Broken, RATE_HZ).unwrap_err(), gone);
    let file = written(&noise(100));
    let mut source = WavSource::new(io::Read::chain(&file[..64], Broken), RATE_HZ).unwrap();
    let mut samples = [7; 20];
    assert_eq!((source.fill(&mut samples), source.has_ended(), source.finish()), (10, true, Err(gone)));
    assert_eq!((&samples[..10], &samples[10..]), (&noise(10)[..], &[0; 10][..]));
}

/// Whenever the program is killed, there is a whole file, of all but the last second.
#[test]
fn a_file_is_whole_at_any_time() {
    let (disk, samples) = (Disk::new(usize::MAX), noise(30_000));
    let mut sink = WavSink::new(disk.clone(), RATE_HZ).unwrap();
    for (at, frame) in samples.chunks(170).enumerate() {
        sink.play(frame);
        let so_far = at * 170 + frame.len();
        assert_eq!(heard(&disk.bytes()), samples[..so_far - so_far % RATE_HZ as usize]);
    }
    assert_eq!((sink.finish(), heard(&disk.bytes())), (Ok(()), samples.clone()));
    sink.play(&[1, 2, 3]);
    drop(sink);
    assert_eq!(heard(&disk.bytes()), [&samples[..], &[1, 2, 3]].concat());
}

/// Longer than a WAV can be, with a limit that a test reaches.
#[test]
fn a_file_has_a_limit() {
    let (disk, samples) = (Disk::new(usize::MAX), noise(200));
    let mut sink = WavSink::new(disk.clone(), RATE_HZ).unwrap().with_limit(120);
    sink.play(&samples[..100]);
    assert_eq!(sink.finish(), Ok(()));
    sink.play(&samples[100..]);
    assert_eq!(sink.finish(), Err(SoundError::Full { limit_samples: 120, lost_samples: 80 }));
    assert_eq!((sink.finish(), sink.written(), sink.lost()), (Ok(()), 120, 80));
    assert_eq!(heard(&disk.bytes()), samples[..120]);
    assert!(2 * WAV_SAMPLES_MAX + 36 <= u64::from(u32::MAX) && 2 * (WAV_SAMPLES_MAX + 1) + 36 > u64::from(u32::MAX));
}

#[test]
fn a_disk_with_no_room_for_a_header_is_told_at_once() {
    let Err(SoundError::Write { lost_samples: 0, kind, .. }) = WavSink::new(Disk::new(43), RATE_HZ).map(drop) else {
        panic!("a file without a header")
    };
    assert_eq!(kind, ErrorKind::StorageFull);
}

proptest! {
    /// A disk of any size, filled in frames of any length, on which there is room again later: the file is whole, has the first samples as
    /// far as there was room and later ones behind them, each sample was written or counted, and it was said once.
    #[test]
    fn a_full_disk_ends_no_call(room in 44..90_000_usize, frame in 1..2000_usize, seconds in 1..5_usize) {
        let disk = Disk::new(room);
        let mut sink = WavSink::new(disk.clone(), RATE_HZ).unwrap();
        let samples = noise(seconds * RATE_HZ as usize);
        samples.chunks(frame).for_each(|frame| sink.play(frame));
        let finished = sink.finish();
        let fits = samples.len().min((room - 44) / 2);
        prop_assert_eq!((sink.written(), sink.lost()), (fits as u64, (samples.len() - fits) as u64));
        match finished {
            Ok(()) => prop_assert_eq!(fits, samples.len()),
            Err(SoundError::Write { lost_samples, kind, .. }) => {
                prop_assert_eq!((lost_samples, kind), ((samples.len() - fits) as u64, ErrorKind::StorageFull));
            }
            other => prop_assert!(false, "{:?}", other),
        }
        prop_assert_eq!(sink.finish(), Ok(()));
        prop_assert_eq!(&heard(&disk.bytes()), &samples[..fits]);
        disk.set_limit(usize::MAX);
        sink.play(&[5, 6, 7]);
        prop_assert_eq!(sink.finish(), Ok(()));
        prop_assert_eq!(heard(&disk.bytes()), [&samples[..fits], &[5, 6, 7]].concat());
    }

    /// Any bytes, and any harm to a file: it is refused or it ends, with no more samples than there are bytes.
    #[test]
    fn any_file_is_refused_or_ends(any: Vec<u8>, at in 0..44_usize, harm: [u8; 4], frame in 1..300_usize) {
        let _ = played(&any, frame);
        let mut file = written(&noise(100));
        file.splice(at..(at + 4).min(44), harm);
        if let Ok((samples, _)) = played(&file, frame) {
            prop_assert!(samples.len() <= file.len() / 2);
        }
    }
}
