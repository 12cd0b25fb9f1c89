//! What is said and what is heard, as the arguments have it. Files are seen from outside while the call goes on, and nobody waits for them
//! there: whoever plays may be waiting for a disk.

use super::arguments::HowArguments;
use crate::program::Failure;
use stack::media::codec::{AudioCodec, G711};
use stack::media::sound::{EchoSink, Silence, Sink, SoundError, Source, Tone, WavSink, WavSource, echo};
use stack::media::stream::Content;
use std::fs::{self, File};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

/// G.711.
const RATE_HZ: u32 = 8000;
/// 20 ms.
pub(super) const SAMPLES_PER_TICK: u32 = 160;
/// What is sent if nothing is said, and how loud: a quarter of what there is.
const TONE_HZ: u32 = 440;
const AMPLITUDE: i16 = 8000;
/// So much of an echo waits at the most: 200 ms.
const ECHO_SAMPLES: usize = 1600;

/// The files of a call.
#[derive(Clone)]
pub(super) struct Files {
    recorder: Option<Recorder>,
    player: Option<Player>,
}

/// The sound of a call, and its files.
pub(super) fn content(how: &HowArguments) -> Result<(Content, Files), Failure> {
    let (mut ear, mut player) = (Ear::default(), None);
    let source: Box<dyn Source> = if how.silence {
        Box::new(Silence)
    } else if how.echo {
        let (sink, source) = echo(ECHO_SAMPLES);
        ear.echo = Some(sink);
        Box::new(source)
    } else if let Some(path) = &how.file {
        let played = Player::open(path)?;
        player = Some(played.clone());
        Box::new(played)
    } else {
        let tone = Tone::new(how.tone.unwrap_or(TONE_HZ), AMPLITUDE, RATE_HZ);
        Box::new(tone.map_err(|error| Failure::Usage(format!("--tone: {error}")))?)
    };
    if let Some(path) = &how.record {
        // What is created is emptied.
        if how.file.as_ref().is_some_and(|file| is_same(file, path)) {
            return Err(Failure::Usage(format!("expected another file for --record than for --file, got {}", path.display())));
        }
        ear.recorder = Some(Recorder::create(path)?);
    }
    let files = Files { recorder: ear.recorder.clone(), player };
    let codec = || Box::new(G711::new(how.codec.law())) as Box<dyn AudioCodec>;
    Ok((Content::sound(SAMPLES_PER_TICK as usize, [codec(), codec()], source, Box::new(ear)), files))
}

fn is_same(one: &Path, other: &Path) -> bool {
    matches!((fs::canonicalize(one), fs::canonicalize(other)), (Ok(one), Ok(other)) if one == other)
}

impl Files {
    /// What is heard from now on is recorded: while nobody has come there is nothing but silence.
    pub(super) fn begin(&self) {
        if let Some(recorder) = &self.recorder {
            recorder.has_begun.store(true, Ordering::Relaxed);
        }
    }

    /// What has gone wrong with them since it was asked.
    pub(super) fn troubles(&self) -> Vec<SoundError> {
        let (recorder, player) = (self.recorder.as_ref(), self.player.as_ref());
        recorder.and_then(Recorder::trouble).into_iter().chain(player.and_then(Player::trouble)).collect()
    }

    /// Keeps what has not been kept yet, when the stream has stopped. What went wrong.
    pub(super) fn finish(&self) -> Vec<SoundError> {
        let recording = self.recorder.as_ref().and_then(|recorder| look(&recorder.recording));
        let last = recording.and_then(|mut recording| recording.sink.finish().err());
        last.into_iter().chain(self.player.as_ref().and_then(Player::trouble)).collect()
    }

    /// Samples that were recorded, and those that were lost.
    pub(super) fn recorded(&self) -> Option<(u64, u64)> {
        let recording = look(&self.recorder.as_ref()?.recording)?;
        Some((recording.sink.written(), recording.sink.lost()))
    }
}

/// What is heard goes here.
#[derive(Default)]
struct Ear {
    recorder: Option<Recorder>,
    echo: Option<EchoSink>,
}

impl Sink for Ear {
    fn play(&mut self, samples: &[i16]) {
        if let Some(recorder) = &self.recorder {
            recorder.play(samples);
        }
        if let Some(echo) = &mut self.echo {
            echo.play(samples);
        }
    }
}

/// The file of what is heard. Clones are the same file.
#[derive(Clone)]
struct Recorder {
    has_begun: Arc<AtomicBool>,
    recording: Arc<Mutex<Recording>>,
}

struct Recording {
    sink: WavSink<File>,
    /// How many samples were written when it was told last that some are lost.
    told: Option<u64>,
}

impl Recorder {
    fn create(path: &Path) -> Result<Self, Failure> {
        let refused = |why: String| Failure::System(format!("{} was not written: {why}", path.display()));
        let file = File::create(path).map_err(|error| refused(error.to_string()))?;
        let sink = WavSink::new(file, RATE_HZ).map_err(|error| refused(error.to_string()))?;
        Ok(Recorder { has_begun: Arc::default(), recording: Arc::new(Mutex::new(Recording { sink, told: None })) })
    }

    fn play(&self, samples: &[i16]) {
        if self.has_begun.load(Ordering::Relaxed) {
            let play = || self.recording.lock().unwrap_or_else(PoisonError::into_inner).sink.play(samples);
            // As the player does.
            sim::task::block_in_place(play);
        }
    }

    /// What could not be kept, if that is news: it is, when something was kept since it was told last.
    fn trouble(&self) -> Option<SoundError> {
        let mut recording = look(&self.recording)?;
        let written = recording.sink.written();
        if recording.sink.lost() == 0 || recording.told == Some(written) {
            return None;
        }
        let error = recording.sink.finish().err()?;
        // What was pending may have been kept.
        recording.told = Some(recording.sink.written());
        Some(error)
    }
}

/// What is behind a lock, unless whoever plays has it.
fn look<T>(lock: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match lock.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

/// The file that is sent. Clones are the same file.
#[derive(Clone)]
struct Player(Arc<Mutex<WavSource<File>>>);

impl Player {
    fn open(path: &Path) -> Result<Self, Failure> {
        let refused = |why: String| Failure::Usage(format!("{}: {why}", path.display()));
        let file = File::open(path).map_err(|error| refused(format!("expected a file that can be read, got: {error}")))?;
        let source = WavSource::new(file, RATE_HZ).map_err(|error| refused(error.to_string()))?;
        Ok(Player(Arc::new(Mutex::new(source))))
    }

    fn lock(&self) -> MutexGuard<'_, WavSource<File>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn trouble(&self) -> Option<SoundError> {
        look(&self.0)?.finish().err()
    }
}

impl Source for Player {
    fn fill(&mut self, samples: &mut [i16]) -> usize {
        // A disk that is slow must not keep the runtime's worker, which may be the one that looks after time.
        sim::task::block_in_place(|| self.lock().fill(samples))
    }

    fn has_ended(&self) -> bool {
        self.lock().has_ended()
    }
}
