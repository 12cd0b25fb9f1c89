//! Any events, against a model that keeps plain lists.

use crate::session::{
    AnswerStatus, AnswerToken, Ask, Call, CallEnd, Called, ChannelId, EndReason, Ending, Failure, Notice, Phase, PostError,
    SessionConfig, SessionCore, SessionId,
};
use sim::time::Instant;
use std::collections::VecDeque;
use std::time::Duration;

const CONFIG: SessionConfig = SessionConfig {
    channels_max: 3,
    inbox_max: 3,
    requests_max: 2,
    request_deadline: Duration::from_millis(50),
    call_deadline: Duration::from_millis(20),
    media_deadline: Duration::from_millis(30),
    engine_deadline: Duration::from_millis(40),
    drop_deadline: Duration::from_millis(30),
};
const ID: SessionId = SessionId::new(5, 9);
const ANOTHER: SessionId = SessionId::new(5, 8);

/// What became of something that a channel was asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Waiting,
    Answered,
    Over,
}

/// A request in progress.
#[derive(Clone, Copy)]
struct InProgress {
    number: u32,
    token: AnswerToken,
    until: Instant,
}

/// The session as lists: who was asked what, who is still to be asked, to answer or to be dropped.
struct Model {
    phase: Phase,
    until: Instant,
    reason: Option<EndReason>,
    channels: u16,
    asked: Vec<(AnswerToken, Fate)>,
    /// Media and engines that panicked and are not to be asked.
    spared: Vec<(ChannelId, Ask)>,
    to_ask: VecDeque<(ChannelId, Ask)>,
    to_drop: VecDeque<Call>,
    inbox: VecDeque<(ChannelId, u32)>,
    in_progress: Vec<InProgress>,
    calling: Option<(Call, Instant)>,
    is_left: bool,
    told: Vec<(u32, Failure)>,
    releases: u32,
    posted: u32,
    answered: u32,
}

impl Model {
    fn new(has_media: &[bool]) -> Self {
        let channels = || (0..has_media.len() as u16).map(ChannelId);
        let with_media = || channels().filter(|channel| has_media[usize::from(channel.0)]);
        let media = with_media().map(|channel| (channel, Ask::CloseMedia));
        let engines = channels().map(|channel| (channel, Ask::CloseEngine));
        Model {
            phase: Phase::Active,
            until: Instant::from_origin(Duration::ZERO),
            reason: None,
            channels: has_media.len() as u16,
            asked: Vec::new(),
            spared: Vec::new(),
            to_ask: media.chain(engines).collect(),
            to_drop: with_media().map(Call::DropMedia).chain(channels().map(Call::DropEngine)).collect(),
            inbox: VecDeque::new(),
            in_progress: Vec::new(),
            calling: None,
            is_left: false,
            told: Vec::new(),
            releases: 0,
            posted: 0,
            answered: 0,
        }
    }

    fn ask_of(&self) -> Option<Ask> {
        match self.phase {
            Phase::Media => Some(Ask::CloseMedia),
            Phase::Engines => Some(Ask::CloseEngine),
            Phase::Active | Phase::Dropping | Phase::Released => None,
        }
    }

    fn next_phase(&mut self, now: Instant) {
        let (phase, lasts) = match self.phase {
            Phase::Active => (Phase::Media, CONFIG.media_deadline),
            Phase::Media => (Phase::Engines, CONFIG.engine_deadline),
            Phase::Engines => (Phase::Dropping, CONFIG.drop_deadline),
            Phase::Dropping | Phase::Released => {
                self.phase = Phase::Released;
                self.is_left = self.calling.take().is_some();
                self.releases += 1;
                return;
            }
        };
        self.phase = phase;
        self.until = now + lasts;
    }

    fn settle(&mut self, now: Instant) {
        while self.calling.is_none() && !matches!(self.phase, Phase::Active | Phase::Released) {
            let is_done = match self.ask_of() {
                Some(ask) => {
                    let is_waited_for = |(token, fate): &(AnswerToken, Fate)| token.ask == ask && *fate == Fate::Waiting;
                    self.to_ask.front().is_none_or(|(_, next)| *next != ask) && !self.asked.iter().any(is_waited_for)
                }
                None => self.to_drop.is_empty(),
            };
            if !is_done {
                break;
            }
            self.next_phase(now);
        }
    }

    fn end(&mut self, reason: EndReason, now: Instant) -> Ending {
        match self.reason {
            Some(first) if self.phase == Phase::Released => Ending::Ended(first),
            Some(first) => Ending::AlreadyEnding(first),
            None => {
                self.stop_requests(reason);
                self.next_phase(now);
                self.settle(now);
                Ending::Begun
            }
        }
    }

    fn stop_requests(&mut self, reason: EndReason) {
        self.reason = Some(reason);
        let in_progress: Vec<InProgress> = self.in_progress.drain(..).collect();
        for request in in_progress {
            self.over(request.token);
            self.told.push((request.number, Failure::Ended { reason }));
        }
        self.told.extend(self.inbox.drain(..).map(|(_, number)| (number, Failure::Ended { reason })));
    }

    fn over(&mut self, token: AnswerToken) {
        for (_, fate) in self.asked.iter_mut().filter(|(asked, fate)| *asked == token && *fate == Fate::Waiting) {
            *fate = Fate::Over;
        }
    }

    fn post(&mut self, channel: ChannelId) -> Result<u32, PostError> {
        if let Some(reason) = self.reason {
            return Err(PostError::Ends { reason });
        }
        if self.inbox.len() == CONFIG.inbox_max {
            return Err(PostError::Full { inbox_max: CONFIG.inbox_max });
        }
        self.posted += 1;
        self.inbox.push_back((channel, self.posted));
        Ok(self.posted)
    }

    fn next_call(&mut self, now: Instant) -> Option<Call> {
        if self.calling.is_some() {
            return None;
        }
        let call = match self.phase {
            Phase::Active => self.next_request(now),
            Phase::Media | Phase::Engines => {
                let (channel, ask) = self.to_ask.front().copied().filter(|(_, ask)| Some(*ask) == self.ask_of())?;
                self.to_ask.pop_front();
                let token = AnswerToken { session: ID, channel, ask };
                self.asked.push((token, Fate::Waiting));
                Some(if ask == Ask::CloseMedia { Call::CloseMedia(token) } else { Call::CloseEngine(token) })
            }
            // What it goes to is gone when it returns.
            Phase::Dropping => self.to_drop.front().copied(),
            Phase::Released => None,
        }?;
        self.calling = Some((call, now + CONFIG.call_deadline));
        Some(call)
    }

    fn next_request(&mut self, now: Instant) -> Option<Call> {
        loop {
            let (channel, number) = self.inbox.pop_front()?;
            if channel.0 >= self.channels {
                self.told.push((number, Failure::NoSuchChannel { channels: self.channels, got: channel }));
                continue;
            }
            let takes = |place: u8| {
                let is_it = |request: &InProgress| {
                    request.token.channel == channel
                        && matches!(request.token.ask, Ask::Request { place: its, .. } if its == place)
                };
                !self.in_progress.iter().any(is_it)
            };
            let Some(place) = (0..CONFIG.requests_max).find(|place| takes(*place)) else {
                self.told.push((number, Failure::Busy { requests_max: CONFIG.requests_max }));
                continue;
            };
            let token = AnswerToken { session: ID, channel, ask: Ask::Request { place, turn: self.turns(channel, place) + 1 } };
            self.asked.push((token, Fate::Waiting));
            self.in_progress.push(InProgress { number, token, until: now + CONFIG.request_deadline });
            return Some(Call::Request(token));
        }
    }

    /// How often a place was used.
    fn turns(&self, channel: ChannelId, place: u8) -> u32 {
        let is_of = |token: &AnswerToken| {
            token.channel == channel && matches!(token.ask, Ask::Request { place: its, .. } if its == place)
        };
        self.asked.iter().filter(|(token, _)| is_of(token)).count() as u32
    }

    fn returned(&mut self, end: CallEnd, now: Instant) {
        let Some((call, _)) = self.calling.take() else {
            self.is_left = false;
            return;
        };
        let (channel, called) = call.called();
        if self.to_drop.front() == Some(&call) {
            self.to_drop.pop_front();
        }
        if end == CallEnd::Panicked {
            let ask = match called {
                Called::CloseMedia | Called::DropMedia => Ask::CloseMedia,
                Called::Request | Called::CloseEngine | Called::DropEngine => Ask::CloseEngine,
            };
            let before = self.to_ask.len();
            self.to_ask.retain(|left| *left != (channel, ask));
            if self.to_ask.len() < before {
                self.spared.push((channel, ask));
            }
            self.over(AnswerToken { session: ID, channel, ask });
            if self.reason.is_none() {
                self.end(EndReason::Panicked { channel, called }, now);
            }
        }
        self.settle(now);
    }

    /// What an answer is, by what was asked.
    fn answer(&mut self, from: ChannelId, token: AnswerToken, now: Instant) -> (AnswerStatus, Option<u32>) {
        if from.0 >= self.channels {
            return (AnswerStatus::UnknownChannel, None);
        }
        if token.session != ID || token.channel != from {
            if self.reason.is_none() {
                self.end(EndReason::ForeignAnswer { channel: from }, now);
            }
            return (AnswerStatus::Foreign, None);
        }
        if self.phase == Phase::Released {
            return (AnswerStatus::AfterEnd, None);
        }
        let is_reused = match token.ask {
            Ask::Request { place, turn } => self.turns(from, place) > turn,
            Ask::CloseMedia | Ask::CloseEngine => false,
        };
        let Some((_, fate)) = self.asked.iter_mut().find(|(asked, _)| *asked == token) else {
            let is_spared = self.spared.contains(&(from, token.ask));
            return (if is_spared { AnswerStatus::Late } else { AnswerStatus::Early }, None);
        };
        match *fate {
            Fate::Waiting => {
                *fate = Fate::Answered;
                let position = self.in_progress.iter().position(|request| request.token == token);
                let number = position.map(|position| self.in_progress.remove(position).number);
                self.answered += u32::from(number.is_some());
                self.settle(now);
                (AnswerStatus::Accepted, number)
            }
            Fate::Answered if !is_reused => (AnswerStatus::Twice, None),
            Fate::Answered | Fate::Over => (AnswerStatus::Late, None),
        }
    }

    fn on_time(&mut self, now: Instant) {
        if self.phase == Phase::Active {
            let (due, left) = self.in_progress.drain(..).partition(|request| request.until <= now);
            self.in_progress = left;
            let due: Vec<InProgress> = due;
            for request in due {
                self.over(request.token);
                self.told.push((request.number, Failure::Deadline { within: CONFIG.request_deadline }));
            }
            if let Some((call, until)) = self.calling
                && until <= now
            {
                let (channel, called) = call.called();
                self.end(EndReason::Blocked { channel, called, within: CONFIG.call_deadline }, now);
            }
            return;
        }
        while self.phase != Phase::Released && self.until <= now {
            self.give_up();
            self.next_phase(now);
            self.settle(now);
        }
    }

    /// Nobody of this phase is asked or waited for any more.
    fn give_up(&mut self) {
        let Some(ask) = self.ask_of() else { return };
        self.to_ask.retain(|(_, left)| *left != ask);
        for (_, fate) in self.asked.iter_mut().filter(|(token, fate)| token.ask == ask && *fate == Fate::Waiting) {
            *fate = Fate::Over;
        }
    }

    fn abandon(&mut self) {
        if self.phase == Phase::Released {
            return;
        }
        if self.reason.is_none() {
            self.stop_requests(EndReason::WorkerLost);
        }
        // Whatever is left to ask, to hear or to drop.
        self.phase = Phase::Dropping;
        self.next_phase(self.until);
    }

    fn next_deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Active => {
                let call = self.calling.map(|(_, until)| until);
                self.in_progress.iter().map(|request| request.until).chain(call).min()
            }
            Phase::Released => None,
            Phase::Media | Phase::Engines | Phase::Dropping => Some(self.until),
        }
    }
}

/// The first byte says which channels there are, each pair of bytes after it is an event. The session does what the model does; in the
/// end every request was told once, and the session is released once, by its deadlines if by nothing else.
pub fn any_events(bytes: &[u8]) {
    let [channels, events @ ..] = bytes else { return };
    let has_media: Vec<bool> = (0..channels % 4).map(|channel| (channels >> (2 + channel)) & 1 == 1).collect();
    let core = SessionCore::new(ID, CONFIG, &has_media).expect("three channels are within the limit");
    let now = Instant::from_origin(Duration::ZERO);
    let mut both = Both { core, model: Model::new(&has_media), now, told: Vec::new(), releases: 0 };
    for event in events.chunks_exact(2) {
        both.perform(event[0], event[1]);
        both.compare();
    }
    both.end(EndReason::Terminated);
    both.compare();
    let began = both.now;
    while let Some(until) = both.core.next_deadline() {
        assert!(until <= began + CONFIG.end_max(), "an end takes {:?} at the most", CONFIG.end_max());
        both.at(until);
        both.compare();
    }
    let counters = both.core.counters();
    assert_eq!((counters.posted, counters.failed), (both.model.posted.into(), both.told.len() as u64));
    assert_eq!(counters.posted, counters.answered + counters.failed, "every request is answered once");
    assert_eq!(both.releases, 1, "a session is released once");
    assert!(both.core.next_call(both.now).is_none() && both.core.report().is_some());
}

/// The session and its model.
struct Both {
    core: SessionCore<u32>,
    model: Model,
    now: Instant,
    /// Requests by their numbers, and why they have no answer.
    told: Vec<(u32, Failure)>,
    releases: u32,
}

impl Both {
    fn perform(&mut self, event: u8, detail: u8) {
        let channel = ChannelId(u16::from(detail % 4));
        match event % 12 {
            0 => {
                let number = self.model.post(channel);
                let posted = self.core.post(channel, number.unwrap_or_default());
                assert_eq!(posted.map_err(|(error, _)| error), number.map(|_| ()));
            }
            1..=3 => self.call(),
            4 | 5 => {
                // Nobody returns who was not called.
                if self.model.calling.is_some() || self.model.is_left {
                    let end = if detail < 200 { CallEnd::Returned } else { CallEnd::Panicked };
                    self.core.returned(end, self.now);
                    self.model.returned(end, self.now);
                }
            }
            6 | 7 => {
                let Some(last) = self.model.asked.len().checked_sub(1) else { return };
                let token = self.model.asked[last - usize::from(detail / 4).min(last)].0;
                let from = if detail % 4 == 3 { ChannelId(u16::from(detail) % 5) } else { token.channel };
                self.answer(from, token);
            }
            8 => {
                let ask = match (detail >> 2) % 4 {
                    0 => Ask::CloseMedia,
                    1 => Ask::CloseEngine,
                    _ => Ask::Request { place: (detail >> 4) % 3, turn: u32::from(detail >> 6) },
                };
                let session = if detail > 250 { ANOTHER } else { ID };
                self.answer(channel, AnswerToken { session, channel, ask });
            }
            9 => self.at(match self.core.next_deadline() {
                Some(until) if detail < 128 => until,
                _ => self.now + Duration::from_millis(u64::from(detail % 16)),
            }),
            10 => {
                // Most sessions are to live for a while.
                if detail > 180 || self.model.reason.is_some() {
                    self.end(if detail.is_multiple_of(2) { EndReason::Terminated } else { EndReason::Bye });
                }
            }
            _ => {
                if detail > 240 {
                    self.core.abandon(EndReason::WorkerLost);
                    self.model.abandon();
                }
            }
        }
    }

    fn call(&mut self) {
        let has_call = self.core.has_call();
        let waits = !self.model.inbox.is_empty();
        let call = self.core.next_call(self.now);
        assert_eq!(call, self.model.next_call(self.now));
        assert!(has_call == call.is_some() || (has_call && waits), "{has_call} {call:?}");
        if let Some(Call::Request(token)) = call {
            let expected = self.model.in_progress.iter().find(|request| request.token == token).map(|request| request.number);
            assert_eq!(self.core.requester(token).copied(), expected, "a call has its request");
        }
    }

    fn answer(&mut self, from: ChannelId, token: AnswerToken) {
        assert_eq!(AnswerToken::from_bits(token.to_bits()), Some(token));
        let expected = self.model.answer(from, token, self.now);
        let answered = self.core.answer(from, token, self.now);
        assert_eq!((answered.status, answered.request), expected, "{from} answers {token:?}");
    }

    fn end(&mut self, reason: EndReason) {
        assert_eq!(self.core.end(reason, self.now), self.model.end(reason, self.now));
    }

    fn at(&mut self, now: Instant) {
        self.now = now;
        self.core.on_time(now);
        self.model.on_time(now);
    }

    fn compare(&mut self) {
        while let Some(notice) = self.core.next_notice() {
            match notice {
                Notice::Failed(number, failure) => self.told.push((number, failure)),
                Notice::Released => self.releases += 1,
            }
        }
        self.told.sort_by_key(|(number, _)| *number);
        self.model.told.sort_by_key(|(number, _)| *number);
        assert_eq!(self.told, self.model.told, "each requester is told once, and what happened");
        assert_eq!((self.core.phase(), self.releases), (self.model.phase, self.model.releases));
        assert_eq!(self.core.next_deadline(), self.model.next_deadline());
        assert_eq!(self.core.counters().answered, u64::from(self.model.answered));
    }
}
