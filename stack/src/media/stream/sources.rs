//! Who sends to us: the sources of a stream, and which of them is played.

use super::StreamError;
use crate::rtp::reception::Reception;
use crate::rtp::rtcp::ReportBlock;
use sim::time::Instant;
use std::time::Duration;

/// So many sources a stream remembers, and reports on.
pub const SOURCES_MAX: usize = 8;
/// A source that has sent nothing for so long gives way to another.
const GIVES_WAY_AFTER: Duration = Duration::from_millis(500);

/// The sources that a stream has heard.
#[derive(Debug, Default)]
pub(super) struct Sources {
    all: Vec<Source>,
    played: Option<u32>,
}

#[derive(Debug)]
struct Source {
    ssrc: u32,
    reception: Reception,
    last: Instant,
    /// Since the last report.
    is_new: bool,
}

/// What a packet's source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// The one that is played.
    Played,
    /// Another that is played from now on.
    Taken,
}

impl Sources {
    /// A packet came.
    pub(super) fn receive(
        &mut self,
        now: Instant,
        rate_hz: u32,
        (ssrc, sequence_number, timestamp): (u32, u16, u32),
    ) -> Result<Heard, StreamError> {
        let played = self.played.and_then(|played| self.all.iter().find(|source| source.ssrc == played));
        let is_other = played.is_some_and(|played| played.ssrc != ssrc);
        let gives_way = played.is_none_or(|played| now.saturating_duration_since(played.last) >= GIVES_WAY_AFTER);
        let expected = self.played.unwrap_or(ssrc);
        let source = match self.all.iter_mut().position(|source| source.ssrc == ssrc) {
            Some(at) => &mut self.all[at],
            None => {
                self.make_room(now).ok_or(StreamError::OtherSource { expected, got: ssrc })?;
                self.all.push(Source { ssrc, reception: Reception::new(ssrc, rate_hz), last: now, is_new: false });
                self.all.last_mut().expect("one was pushed")
            }
        };
        source.reception.receive(now, sequence_number, timestamp);
        (source.last, source.is_new) = (now, true);
        if is_other && !gives_way {
            return Err(StreamError::OtherSource { expected, got: ssrc });
        }
        let was = self.played.replace(ssrc);
        Ok(if was == Some(ssrc) { Heard::Played } else { Heard::Taken })
    }

    /// A source has said that it leaves. True if it is the one that is played.
    pub(super) fn leave(&mut self, ssrc: u32) -> bool {
        self.all.retain(|source| source.ssrc != ssrc);
        let was_played = self.played == Some(ssrc);
        if was_played {
            self.played = None;
        }
        was_played
    }

    pub(super) fn sender_report(&mut self, now: Instant, ssrc: u32, ntp_timestamp: u64) {
        if let Some(source) = self.all.iter_mut().find(|source| source.ssrc == ssrc) {
            source.reception.sender_report(now, ntp_timestamp);
        }
    }

    /// What is to be reported of those that have sent since the last report.
    pub(super) fn report(&mut self, now: Instant) -> Vec<ReportBlock> {
        let report = |source: &mut Source| std::mem::take(&mut source.is_new).then(|| source.reception.report(now));
        self.all.iter_mut().filter_map(report).collect()
    }

    /// The source that is played, and what was received of it.
    pub(super) fn played(&self) -> Option<(u32, &Reception)> {
        let ssrc = self.played?;
        self.all.iter().find(|source| source.ssrc == ssrc).map(|source| (ssrc, &source.reception))
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// The one that was silent for longest makes room, if it was silent for long.
    fn make_room(&mut self, now: Instant) -> Option<()> {
        if self.all.len() < SOURCES_MAX {
            return Some(());
        }
        let (at, oldest) = self.all.iter().enumerate().min_by_key(|(_, source)| source.last)?;
        if now.saturating_duration_since(oldest.last) < GIVES_WAY_AFTER {
            return None;
        }
        let gone = self.all.remove(at);
        if self.played == Some(gone.ssrc) {
            self.played = None;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_origin(Duration::from_millis(1_000 + ms))
    }

    #[test]
    fn another_source_is_taken_when_the_one_that_is_played_is_silent() {
        let mut sources = Sources::default();
        assert_eq!(sources.receive(at(0), 8000, (1, 0, 0)), Ok(Heard::Taken));
        assert_eq!(sources.receive(at(20), 8000, (1, 1, 160)), Ok(Heard::Played));
        let refused = StreamError::OtherSource { expected: 1, got: 2 };
        assert_eq!(sources.receive(at(519), 8000, (2, 0, 0)), Err(refused));
        assert_eq!(sources.receive(at(520), 8000, (2, 1, 160)), Ok(Heard::Taken));
        assert_eq!(sources.played().map(|(ssrc, _)| ssrc), Some(2));
    }

    #[test]
    fn a_source_that_leaves_gives_way_at_once() {
        let mut sources = Sources::default();
        let _ = sources.receive(at(0), 8000, (1, 0, 0));
        assert!(!sources.leave(2));
        assert!(sources.leave(1));
        assert_eq!(sources.receive(at(1), 8000, (2, 0, 0)), Ok(Heard::Taken));
    }

    #[test]
    fn there_are_so_many_sources_and_no_more_until_one_is_silent() {
        let mut sources = Sources::default();
        for ssrc in 1..=SOURCES_MAX as u32 {
            let _ = sources.receive(at(ssrc.into()), 8000, (ssrc, 0, 0));
        }
        assert_eq!(sources.len(), SOURCES_MAX);
        assert!(sources.receive(at(400), 8000, (99, 0, 0)).is_err());
        assert_eq!(sources.len(), SOURCES_MAX);
        assert_eq!(sources.receive(at(501), 8000, (99, 0, 0)), Ok(Heard::Taken));
        assert_eq!(sources.len(), SOURCES_MAX);
    }
}
