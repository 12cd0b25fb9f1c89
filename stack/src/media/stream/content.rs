//! What a stream carries: the application's sources and sinks, and the codecs between them and packets.

use super::core::{Payload, Play};
use super::report::StreamReport;
use crate::media::codec::{AudioCodec, CodecError};
use crate::media::sound::{Sink, Source};
use crate::rtp::jitter::Popped;
use std::collections::VecDeque;
use std::fmt;

/// What a stream carries, in both directions. Whoever ticks the stream has it for its own, so it needs no lock, and what it calls of
/// the application's may call the stream.
pub struct Content(Inner);

enum Inner {
    Sound(Box<Sound>),
    Payloads { source: Box<dyn PayloadSource>, sink: Box<dyn PayloadSink> },
}

struct Sound {
    encoder: Box<dyn AudioCodec>,
    decoder: Box<dyn AudioCodec>,
    source: Box<dyn Source>,
    sink: Box<dyn Sink>,
    frame: Vec<i16>,
    /// What was played last.
    played: Vec<i16>,
}

/// Where the payloads of a stream come from that is no sound.
pub trait PayloadSource: Send {
    /// The payloads of the frame of this tick, in their order, each for one packet. None if there is no frame. The last packet has the
    /// marker.
    fn frame(&mut self, wants_key_frame: bool) -> Vec<Vec<u8>>;
}

/// Where the payloads of a stream go that is no sound.
pub trait PayloadSink: Send {
    /// Takes a payload, in the order of arrival.
    fn take(&mut self, payload: Payload);
}

/// What was played at a tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Played {
    undecoded: u64,
    concealed: u64,
}

impl Played {
    pub(super) fn count(self, report: &mut StreamReport) {
        report.undecoded += self.undecoded;
        report.concealed += self.concealed;
    }
}

/// Payloads, each with its marker where the frame says so.
pub(super) type Frame = Vec<(Vec<u8>, Option<bool>)>;

impl Content {
    /// Sound of one frame a tick.
    pub fn sound(
        samples_per_tick: usize,
        [encoder, decoder]: [Box<dyn AudioCodec>; 2],
        source: Box<dyn Source>,
        sink: Box<dyn Sink>,
    ) -> Self {
        let silence = || vec![0; samples_per_tick * encoder.channels()];
        let (frame, played) = (silence(), silence());
        Content(Inner::Sound(Box::new(Sound { encoder, decoder, source, sink, frame, played })))
    }

    /// Payloads that somebody else makes and reads: video, text, data.
    pub fn payloads(source: Box<dyn PayloadSource>, sink: Box<dyn PayloadSink>) -> Self {
        Content(Inner::Payloads { source, sink })
    }

    /// Whether it is sound.
    pub fn is_sound(&self) -> bool {
        matches!(self.0, Inner::Sound(_))
    }

    pub(super) fn play(&mut self, play: Play) -> Played {
        match (&mut self.0, play) {
            (Inner::Sound(sound), Play::Sound(popped)) => sound.play(popped),
            (Inner::Payloads { sink, .. }, Play::Payloads(payloads)) => {
                hand_over(&mut **sink, payloads);
                Played::default()
            }
            _ => Played::default(),
        }
    }

    pub(super) fn frame(&mut self, wants_key_frame: bool) -> Result<Frame, CodecError> {
        match &mut self.0 {
            Inner::Sound(sound) => sound.frame(),
            Inner::Payloads { source, .. } => {
                let payloads = source.frame(wants_key_frame);
                let last = payloads.len().saturating_sub(1);
                Ok(payloads.into_iter().enumerate().map(|(at, payload)| (payload, Some(at == last))).collect())
            }
        }
    }
}

fn hand_over(sink: &mut dyn PayloadSink, payloads: VecDeque<Payload>) {
    payloads.into_iter().for_each(|payload| sink.take(payload));
}

impl Sound {
    fn play(&mut self, popped: Popped<Vec<u8>>) -> Played {
        let len = self.played.len();
        let mut played = Played::default();
        match popped {
            Popped::Packet { packet, .. } => {
                self.played.clear();
                if self.decoder.decode(&packet, &mut self.played).is_err() {
                    played.undecoded = 1;
                    self.played.resize(len, 0);
                }
            }
            // What was played is stretched.
            Popped::Held => played.concealed = 1,
            Popped::Missing | Popped::Empty => {
                played.concealed = 1;
                self.played.clear();
                self.decoder.conceal(len / self.decoder.channels().max(1), &mut self.played);
            }
            Popped::Silence | Popped::Buffering => self.played.fill(0),
        }
        self.sink.play(&self.played);
        if self.played.len() != len {
            self.played.resize(len, 0);
        }
        played
    }

    fn frame(&mut self) -> Result<Frame, CodecError> {
        self.source.fill(&mut self.frame);
        let mut payload = Vec::with_capacity(self.frame.len());
        self.encoder.encode(&self.frame, &mut payload)?;
        Ok(vec![(payload, None)])
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_sound() { "Content::Sound" } else { "Content::Payloads" })
    }
}
