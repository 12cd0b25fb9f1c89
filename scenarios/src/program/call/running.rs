//! A call that goes on, until something ends it.

use super::failure::CallFailure;
use super::sound::Files;
use super::statistics::{Board, Going};
use super::words::{Word, Words};
use sim::time::Instant;
use stack::media::stream::{StreamEvent, StreamReport, TaskStream};
use stack::media::transport::{Phase, TransportEvent};
use stack::srtp::Profile;
use std::fmt;
use std::time::Duration;

/// How often statistics are shown.
const SHOWN_EVERY: Duration = Duration::from_secs(1);
/// After its BYE a peer has so long to go on with another source; a DTLS peer's close_notify comes sooner.
const AFTER_BYE: Duration = Duration::from_millis(300);
/// A handshake has the deadline of the wait, and says more than that nobody came.
const AFTER_HANDSHAKE: Duration = Duration::from_millis(500);
/// A call without a limit of its own ends after so long.
const TALK_MAX: Duration = Duration::from_secs(24 * 3600);

/// What ended a call well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Time,
    Signal,
    Peer,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Ending::Time => "ended as its time was over",
            Ending::Signal => "ended by a signal",
            Ending::Peer => "ended by the peer",
        })
    }
}

/// A call that goes on.
pub(super) struct Running<'a> {
    stream: &'a TaskStream,
    files: &'a Files,
    board: &'a mut Board,
    wait: Duration,
    talk: Duration,
    began: Instant,
    /// Since when there are packets of the peer's.
    talking_since: Option<Instant>,
    /// Since when the peer's source has left.
    left: Option<Instant>,
    /// When statistics were shown last.
    shown: Instant,
    profile: Option<Profile>,
    last_error: Option<String>,
}

impl<'a> Running<'a> {
    pub(super) fn new(
        stream: &'a TaskStream,
        files: &'a Files,
        board: &'a mut Board,
        (wait, talk): (Duration, Option<Duration>),
        profile: Option<Profile>,
    ) -> Self {
        let began = Instant::now();
        let talk = talk.unwrap_or(TALK_MAX).min(TALK_MAX);
        let (shown, last_error) = (began, None);
        Running { stream, files, board, wait, talk, began, talking_since: None, left: None, shown, profile, last_error }
    }

    /// Goes on until something ends the call, which is not stopped then.
    pub(super) async fn run(&mut self, words: &mut Words) -> Result<Ending, CallFailure> {
        loop {
            let due = self.due();
            let happened = sim::select! {
                word = words.next() => Happened::Word(word),
                event = self.stream.event(due) => Happened::Event(event),
            };
            let ending = match happened {
                Happened::Word(Word::End) => self.end(Ending::Signal, "a signal").map(Some)?,
                Happened::Word(Word::Line(_)) => None,
                Happened::Event(Some(event)) => self.take(event)?,
                Happened::Event(None) => match self.stream.stream().has_ended() {
                    true => return Err(CallFailure::Socket { why: self.stream.broken().unwrap_or("its end".to_owned()) }),
                    false => None,
                },
            };
            if let Some(ending) = ending {
                return Ok(ending);
            }
            if let Some(ending) = self.look(Instant::now())? {
                return Ok(ending);
            }
        }
    }

    /// How long both sides have talked.
    pub(super) fn talked(&self) -> Duration {
        self.talking_since.map_or(Duration::ZERO, |since| Instant::now().saturating_duration_since(since))
    }

    /// What keys the call.
    pub(super) fn keys(&self) -> String {
        let transport = self.stream.stream().transport();
        match (transport.is_secure(), self.profile) {
            (false, _) => "in clear".to_owned(),
            (true, Some(profile)) => profile.to_string(),
            (true, None) => "no keys".to_owned(),
        }
    }

    pub(super) fn last_error(&self) -> Option<String> {
        self.last_error.clone()
    }

    /// Something that does not end the call.
    pub(super) fn trouble(&mut self, error: impl fmt::Display) {
        self.board.say(format_args!("error: {error}"));
        self.last_error = Some(error.to_string());
    }

    /// When to look again at the latest.
    fn due(&self) -> Instant {
        let limit = match self.talking_since {
            Some(since) => since + self.talk,
            None => self.began + self.wait + AFTER_HANDSHAKE,
        };
        let after_bye = self.left.map_or(limit, |left| left + AFTER_BYE);
        limit.min(after_bye).min(self.shown + SHOWN_EVERY)
    }

    fn take(&mut self, event: StreamEvent) -> Result<Option<Ending>, CallFailure> {
        match event {
            StreamEvent::Transport(TransportEvent::Keyed { profile, is_rekey }) => {
                self.profile = Some(profile);
                self.board.say(format_args!("{}keys of {profile}", if is_rekey { "new " } else { "" }));
            }
            StreamEvent::Transport(TransportEvent::RekeyFailed(error)) => self.trouble(error),
            StreamEvent::Transport(TransportEvent::Failed(error)) => return Err(error.into()),
            StreamEvent::Transport(TransportEvent::ClosedByPeer) => return self.end(Ending::Peer, "its close").map(Some),
            StreamEvent::Source { .. } => self.left = None,
            StreamEvent::SourceLeft { .. } => self.left = Some(Instant::now()),
            StreamEvent::PeerSilent { since } if self.talking_since.is_some() => {
                return Err(CallFailure::Silent { got: since });
            }
            _ => {}
        }
        Ok(None)
    }

    /// Looks at what has become due, and shows what there is.
    fn look(&mut self, now: Instant) -> Result<Option<Ending>, CallFailure> {
        let report = self.stream.report();
        let has_come = report.received_packets > 0 || report.rtcp.compounds > 0;
        if self.talking_since.is_none() && has_come && self.stream.stream().transport().phase() == Phase::Open {
            self.talking_since = Some(now);
            self.files.begin();
            self.board.say(format_args!("talking with {}", self.stream.stream().transport().peer().rtp));
        }
        if self.left.is_some_and(|left| now >= left + AFTER_BYE) {
            return self.end(Ending::Peer, "its BYE").map(Some);
        }
        match self.talking_since {
            Some(since) if now >= since + self.talk => return Ok(Some(Ending::Time)),
            None if now >= self.began + self.wait + AFTER_HANDSHAKE => {
                return Err(CallFailure::NoPeer { expected: self.wait });
            }
            _ => {}
        }
        if now >= self.shown + SHOWN_EVERY {
            self.shown = now;
            self.show(&report);
        }
        Ok(None)
    }

    fn show(&mut self, report: &StreamReport) {
        for error in self.files.troubles() {
            self.trouble(error);
        }
        let (since, keys) = (self.talked(), self.keys());
        self.board.show(&Going { since, report, keys: &keys, last_error: self.last_error.as_deref() });
    }

    /// The call ends well, if it was one.
    fn end(&self, ending: Ending, got: &'static str) -> Result<Ending, CallFailure> {
        self.talking_since.map(|_| ending).ok_or(CallFailure::EndedEarly { got })
    }
}

enum Happened {
    Word(Word),
    Event(Option<StreamEvent>),
}
