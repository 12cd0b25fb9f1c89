//! What a session does next: sans-IO.

use super::{
    AnswerStatus, AnswerToken, Ask, Called, ChannelEnd, ChannelId, Closed, ConfigError, EndReason, EndReport, Ending, Failure,
    Phase, PostError, SessionConfig, SessionCounters, SessionId,
};
use sim::time::Instant;
use std::collections::VecDeque;

/// A session without its plugins: given events and the time, it says which call to make next, whom to tell what, and when to be asked
/// again. `Q` stands for a request: what a requester gives, and is told the outcome by.
///
/// After each event, look at [`SessionCore::next_call`], [`SessionCore::next_notice`] and [`SessionCore::next_deadline`]. One call is
/// made at a time: the next comes when [`SessionCore::returned`] was told of the one before. Whoever makes the calls may stay in one
/// for ever, so notices and deadlines are for somebody else to see to.
#[derive(Debug)]
pub struct SessionCore<Q> {
    id: SessionId,
    config: SessionConfig,
    phase: Phase,
    /// Until when the phase may last; none while the session is active or when it has ended.
    phase_until: Option<Instant>,
    reason: Option<EndReason>,
    channels: Vec<Channel<Q>>,
    inbox: VecDeque<(ChannelId, Q)>,
    calling: Option<Calling>,
    /// The call that goes on since before the release.
    left_in: Option<(ChannelId, Called)>,
    notices: VecDeque<Notice<Q>>,
    counters: SessionCounters,
    report: Option<EndReport>,
}

/// A call to make into a plugin. It may return when it likes within its deadline, and its answer may come before or after that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// To an engine: a request. [`SessionCore::requester`] has it.
    Request(AnswerToken),
    /// To media: close.
    CloseMedia(AnswerToken),
    /// To an engine: close.
    CloseEngine(AnswerToken),
    /// Drop the channel's media. There is nothing to answer.
    DropMedia(ChannelId),
    /// Drop the channel's engine.
    DropEngine(ChannelId),
}

impl Call {
    /// Whose plugin is called, and what for.
    pub const fn called(self) -> (ChannelId, Called) {
        match self {
            Call::Request(token) => (token.channel, Called::Request),
            Call::CloseMedia(token) => (token.channel, Called::CloseMedia),
            Call::CloseEngine(token) => (token.channel, Called::CloseEngine),
            Call::DropMedia(channel) => (channel, Called::DropMedia),
            Call::DropEngine(channel) => (channel, Called::DropEngine),
        }
    }
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallEnd {
    /// It returned.
    Returned,
    /// It panicked. What panicked is not called again but to be dropped.
    Panicked,
}

/// Something to tell, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice<Q> {
    /// A request has no answer, for this reason.
    Failed(Q, Failure),
    /// The session has ended: what it owns is to be released, now and this once.
    Released,
}

/// What an answer came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered<Q> {
    /// What it counted as.
    pub status: AnswerStatus,
    /// The request that it was accepted for; none if it was not, or was to a close.
    pub request: Option<Q>,
}

#[derive(Clone, Copy, Debug)]
struct Calling {
    call: Call,
    until: Instant,
}

#[derive(Debug)]
struct Channel<Q> {
    media: Part,
    engine: Part,
    places: Vec<Place<Q>>,
}

/// Media or an engine.
#[derive(Clone, Copy, Debug)]
struct Part {
    state: PartState,
    dropped: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PartState {
    Open,
    /// It was asked to close.
    Asked,
    Ended(Closed),
}

impl Part {
    fn new(is_there: bool) -> Self {
        let state = if is_there { PartState::Open } else { PartState::Ended(Closed::Absent) };
        Part { state, dropped: !is_there }
    }

    fn has_ended(&self) -> bool {
        matches!(self.state, PartState::Ended(_))
    }

    fn closed(&self) -> Closed {
        match self.state {
            PartState::Ended(closed) => closed,
            PartState::Asked => Closed::Expired,
            PartState::Open => Closed::NotAsked,
        }
    }

    /// Its time is up. True if it was still to be closed.
    fn expire(&mut self) -> bool {
        let ends = !self.has_ended();
        self.state = PartState::Ended(self.closed());
        ends
    }

    fn answer(&mut self) -> AnswerStatus {
        match self.state {
            PartState::Asked => {
                self.state = PartState::Ended(Closed::Answered);
                AnswerStatus::Accepted
            }
            PartState::Ended(Closed::Answered) => AnswerStatus::Twice,
            PartState::Ended(Closed::Expired | Closed::Panicked) => AnswerStatus::Late,
            PartState::Open | PartState::Ended(Closed::Absent | Closed::NotAsked) => AnswerStatus::Early,
        }
    }
}

/// A place for a request in progress.
#[derive(Debug)]
struct Place<Q> {
    turn: u32,
    state: PlaceState<Q>,
}

#[derive(Debug)]
enum PlaceState<Q> {
    Waiting {
        request: Q,
        until: Instant,
    },
    Answered,
    /// The requester was told otherwise.
    Failed,
}

impl<Q> SessionCore<Q> {
    /// An active session. Each element is a channel, and says whether it has media beside its engine.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn new(id: SessionId, config: SessionConfig, has_media: &[bool]) -> Result<Self, ConfigError> {
        if has_media.len() > usize::from(config.channels_max) {
            return Err(ConfigError::Channels { channels_max: config.channels_max, got: has_media.len() });
        }
        for (what, is_zero) in [("inbox_max", config.inbox_max == 0), ("requests_max", config.requests_max == 0)] {
            if is_zero {
                return Err(ConfigError::Zero { what });
            }
        }
        let channel = |has_media: &bool| Channel { media: Part::new(*has_media), engine: Part::new(true), places: Vec::new() };
        Ok(SessionCore {
            id,
            config,
            phase: Phase::Active,
            phase_until: None,
            reason: None,
            channels: has_media.iter().map(channel).collect(),
            inbox: VecDeque::new(),
            calling: None,
            left_in: None,
            notices: VecDeque::new(),
            counters: SessionCounters::default(),
            report: None,
        })
    }

    /// Its name.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// How far it is.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// What it has counted.
    pub fn counters(&self) -> SessionCounters {
        self.counters
    }

    /// How it ended, if it has.
    pub fn report(&self) -> Option<&EndReport> {
        self.report.as_ref()
    }

    /// Takes a request for a channel. It is dispatched by [`SessionCore::next_call`], and answered whatever happens.
    ///
    /// # Errors
    /// [`PostError`], with the request, which was not taken.
    pub fn post(&mut self, channel: ChannelId, request: Q) -> Result<(), (PostError, Q)> {
        if let Some(error) = self.refuse() {
            return Err((error, request));
        }
        self.counters.posted += 1;
        self.inbox.push_back((channel, request));
        Ok(())
    }

    /// Why a request is not taken now, if it is not; that is counted.
    pub fn refuse(&mut self) -> Option<PostError> {
        if let Some(reason) = self.reason {
            self.counters.refused_ended += 1;
            return Some(PostError::Ends { reason });
        }
        if self.inbox.len() >= self.config.inbox_max {
            self.counters.refused_full += 1;
            return Some(PostError::Full { inbox_max: self.config.inbox_max });
        }
        None
    }

    /// The session ends, if it does not yet: requests are told so, and then the channels are closed.
    pub fn end(&mut self, reason: EndReason, now: Instant) -> Ending {
        let before = self.reason;
        if let Some(first) = before {
            self.counters.ends_again += 1;
            return if self.phase == Phase::Released { Ending::Ended(first) } else { Ending::AlreadyEnding(first) };
        }
        self.fail_requests(reason);
        self.enter(Phase::Media, now);
        self.advance(now);
        Ending::Begun
    }

    /// The plugin of the channel `from` answers what `token` names.
    pub fn answer(&mut self, from: ChannelId, token: AnswerToken, now: Instant) -> Answered<Q> {
        let mut request = None;
        let is_own = token.session == self.id && token.channel == from;
        let status = match self.channels.get_mut(usize::from(from.0)) {
            None => AnswerStatus::UnknownChannel,
            Some(_) if !is_own => AnswerStatus::Foreign,
            Some(_) if self.phase == Phase::Released => AnswerStatus::AfterEnd,
            Some(channel) => match token.ask {
                Ask::CloseMedia => channel.media.answer(),
                Ask::CloseEngine => channel.engine.answer(),
                Ask::Request { place, turn } => {
                    let (status, answered) = channel.answer(place, turn);
                    request = answered;
                    status
                }
            },
        };
        let counter = match status {
            AnswerStatus::Accepted => &mut self.counters.accepted,
            AnswerStatus::Twice => &mut self.counters.twice,
            AnswerStatus::Late => &mut self.counters.late,
            AnswerStatus::Early => &mut self.counters.early,
            AnswerStatus::AfterEnd => &mut self.counters.after_end,
            AnswerStatus::UnknownChannel => &mut self.counters.unknown_channel,
            AnswerStatus::Foreign => &mut self.counters.foreign,
        };
        *counter += 1;
        self.counters.answered += u64::from(request.is_some());
        if status == AnswerStatus::Foreign && self.reason.is_none() {
            self.end(EndReason::ForeignAnswer { channel: from }, now);
        }
        self.advance(now);
        Answered { status, request }
    }

    /// The next call to make, unless one goes on.
    pub fn next_call(&mut self, now: Instant) -> Option<Call> {
        if self.calling.is_some() {
            return None;
        }
        let call = match self.phase {
            Phase::Active => self.dispatch(now),
            Phase::Media => self.next_to_close(|channel| &mut channel.media).map(|channel| self.close(channel, Ask::CloseMedia)),
            Phase::Engines => {
                self.next_to_close(|channel| &mut channel.engine).map(|channel| self.close(channel, Ask::CloseEngine))
            }
            Phase::Dropping => self.next_to_drop(),
            Phase::Released => None,
        }?;
        self.calling = Some(Calling { call, until: now + self.config.call_deadline });
        Some(call)
    }

    /// Whether [`SessionCore::next_call`] would look for one: the worker is to be woken.
    pub fn has_call(&self) -> bool {
        let mut channels = self.channels.iter();
        self.calling.is_none()
            && match self.phase {
                Phase::Active => !self.inbox.is_empty(),
                Phase::Media => channels.any(|channel| channel.media.state == PartState::Open),
                Phase::Engines => channels.any(|channel| channel.engine.state == PartState::Open),
                Phase::Dropping => true,
                Phase::Released => false,
            }
    }

    /// The request of a call, or one in progress.
    pub fn requester(&mut self, token: AnswerToken) -> Option<&mut Q> {
        let Ask::Request { place, turn } = token.ask else { return None };
        let channel = self.channels.get_mut(usize::from(token.channel.0))?;
        match channel.places.get_mut(usize::from(place)) {
            Some(Place { turn: current, state: PlaceState::Waiting { request, .. } }) if *current == turn => Some(request),
            _ => None,
        }
    }

    /// The call that went on has ended.
    pub fn returned(&mut self, end: CallEnd, now: Instant) {
        self.counters.panics += u64::from(end == CallEnd::Panicked);
        let Some(Calling { call, .. }) = self.calling.take() else {
            self.counters.late_returns += u64::from(self.left_in.take().is_some());
            return;
        };
        let (id, called) = call.called();
        if let Some(channel) = self.channels.get_mut(usize::from(id.0)) {
            let part = match called {
                Called::CloseMedia | Called::DropMedia => &mut channel.media,
                Called::Request | Called::CloseEngine | Called::DropEngine => &mut channel.engine,
            };
            part.dropped |= matches!(called, Called::DropMedia | Called::DropEngine);
            if end == CallEnd::Panicked && !part.has_ended() {
                part.state = PartState::Ended(Closed::Panicked);
            }
        }
        if end == CallEnd::Panicked && self.reason.is_none() {
            self.end(EndReason::Panicked { channel: id, called }, now);
        }
        self.advance(now);
    }

    /// Time has passed.
    pub fn on_time(&mut self, now: Instant) {
        if self.phase == Phase::Active {
            self.expire_requests(now);
            if let Some(Calling { call, .. }) = self.calling.filter(|calling| calling.until <= now) {
                let ((channel, called), within) = (call.called(), self.config.call_deadline);
                self.end(EndReason::Blocked { channel, called, within }, now);
            }
            return;
        }
        while self.phase_until.is_some_and(|until| until <= now) {
            self.expire_phase();
            self.enter_next(now);
            self.advance(now);
        }
    }

    /// When to be told the time next, if at all.
    pub fn next_deadline(&self) -> Option<Instant> {
        if self.phase != Phase::Active {
            return self.phase_until;
        }
        let requests = self.channels.iter().flat_map(|channel| &channel.places).filter_map(|place| match place.state {
            PlaceState::Waiting { until, .. } => Some(until),
            PlaceState::Answered | PlaceState::Failed => None,
        });
        requests.chain(self.calling.map(|calling| calling.until)).min()
    }

    /// A call that [`SessionCore::next_call`] has given is not made.
    pub fn call_off(&mut self) {
        self.calling = None;
    }

    /// Nobody makes calls any more, or nobody says the time: the session ends here and now, whatever has not been answered. A call
    /// that goes on is left behind.
    pub fn abandon(&mut self, reason: EndReason) {
        if self.phase == Phase::Released {
            return;
        }
        if self.reason.is_none() {
            self.fail_requests(reason);
        }
        for channel in &mut self.channels {
            self.counters.expired += u64::from(channel.media.expire()) + u64::from(channel.engine.expire());
        }
        self.release();
    }

    /// Something to tell, if there is something.
    pub fn next_notice(&mut self) -> Option<Notice<Q>> {
        self.notices.pop_front()
    }

    /// The next request that a channel can take. Those before it that none can take are failed.
    fn dispatch(&mut self, now: Instant) -> Option<Call> {
        while let Some((id, request)) = self.inbox.pop_front() {
            let channels = self.channels.len() as u16;
            let requests_max = self.config.requests_max;
            let Some(channel) = self.channels.get_mut(usize::from(id.0)) else {
                self.fail(request, Failure::NoSuchChannel { channels, got: id });
                continue;
            };
            let until = now + self.config.request_deadline;
            match channel.take(request, until, requests_max) {
                Ok(ask) => return Some(Call::Request(AnswerToken { session: self.id, channel: id, ask })),
                Err(request) => self.fail(request, Failure::Busy { requests_max }),
            }
        }
        None
    }

    fn next_to_close(&mut self, part: impl Fn(&mut Channel<Q>) -> &mut Part) -> Option<ChannelId> {
        let position = self.channels.iter_mut().position(|channel| part(channel).state == PartState::Open)?;
        part(&mut self.channels[position]).state = PartState::Asked;
        Some(ChannelId(position as u16))
    }

    fn close(&self, channel: ChannelId, ask: Ask) -> Call {
        let token = AnswerToken { session: self.id, channel, ask };
        if ask == Ask::CloseMedia { Call::CloseMedia(token) } else { Call::CloseEngine(token) }
    }

    /// Media first: an engine may be what they write to.
    fn next_to_drop(&self) -> Option<Call> {
        let media =
            self.channels.iter().position(|channel| !channel.media.dropped).map(|at| Call::DropMedia(ChannelId(at as u16)));
        let engine = || self.channels.iter().position(|channel| !channel.engine.dropped);
        media.or_else(|| engine().map(|at| Call::DropEngine(ChannelId(at as u16))))
    }

    fn fail(&mut self, request: Q, failure: Failure) {
        self.counters.failed += 1;
        self.notices.push_back(Notice::Failed(request, failure));
    }

    /// The session ends for this reason, and whoever waits for an answer is told.
    fn fail_requests(&mut self, reason: EndReason) {
        self.reason = Some(reason);
        let in_progress = self.channels.iter_mut().flat_map(|channel| &mut channel.places).filter_map(Place::fail);
        let waiting: Vec<Q> = in_progress.chain(self.inbox.drain(..).map(|(_, request)| request)).collect();
        for request in waiting {
            self.fail(request, Failure::Ended { reason });
        }
    }

    fn expire_requests(&mut self, now: Instant) {
        let places = self.channels.iter_mut().flat_map(|channel| &mut channel.places);
        let is_due = |place: &&mut Place<Q>| matches!(&place.state, PlaceState::Waiting { until, .. } if *until <= now);
        let expired: Vec<Q> = places.filter(is_due).filter_map(Place::fail).collect();
        for request in expired {
            self.counters.expired += 1;
            self.fail(request, Failure::Deadline { within: self.config.request_deadline });
        }
    }

    fn expire_phase(&mut self) {
        for channel in &mut self.channels {
            let part = match self.phase {
                Phase::Media => &mut channel.media,
                Phase::Engines => &mut channel.engine,
                Phase::Active | Phase::Dropping | Phase::Released => continue,
            };
            self.counters.expired += u64::from(part.expire());
        }
    }

    /// Goes on as far as all channels have answered. What is still called is waited for: a plugin that has answered and not returned
    /// may yet use what it was lent.
    fn advance(&mut self, now: Instant) {
        while self.calling.is_none() && self.is_phase_done() {
            self.enter_next(now);
        }
    }

    fn is_phase_done(&self) -> bool {
        match self.phase {
            Phase::Active | Phase::Released => false,
            Phase::Media => self.channels.iter().all(|channel| channel.media.has_ended()),
            Phase::Engines => self.channels.iter().all(|channel| channel.engine.has_ended()),
            Phase::Dropping => self.channels.iter().all(|channel| channel.media.dropped && channel.engine.dropped),
        }
    }

    fn enter_next(&mut self, now: Instant) {
        match self.phase {
            Phase::Active | Phase::Released => {}
            Phase::Media => self.enter(Phase::Engines, now),
            Phase::Engines => self.enter(Phase::Dropping, now),
            Phase::Dropping => self.release(),
        }
    }

    fn enter(&mut self, phase: Phase, now: Instant) {
        let allowed = match phase {
            Phase::Media => self.config.media_deadline,
            Phase::Engines => self.config.engine_deadline,
            Phase::Active | Phase::Dropping | Phase::Released => self.config.drop_deadline,
        };
        self.phase = phase;
        self.phase_until = Some(now + allowed);
    }

    fn release(&mut self) {
        self.phase = Phase::Released;
        self.phase_until = None;
        self.left_in = self.calling.take().map(|calling| calling.call.called());
        let end = |channel: &Channel<Q>| ChannelEnd { media: channel.media.closed(), engine: channel.engine.closed() };
        self.report = Some(EndReport {
            session: self.id,
            reason: self.reason.unwrap_or(EndReason::WorkerLost),
            channels: self.channels.iter().map(end).collect(),
            left_in: self.left_in,
            counters: self.counters,
        });
        self.notices.push_back(Notice::Released);
    }
}

impl<Q> Channel<Q> {
    /// Puts a request in a place that is free, or gives it back.
    fn take(&mut self, request: Q, until: Instant, requests_max: u8) -> Result<Ask, Q> {
        let is_free = |place: &Place<Q>| !matches!(place.state, PlaceState::Waiting { .. }) && place.turn < u32::MAX;
        let position = match self.places.iter().position(is_free) {
            Some(position) => position,
            None if self.places.len() < usize::from(requests_max) => {
                self.places.push(Place { turn: 0, state: PlaceState::Failed });
                self.places.len() - 1
            }
            None => return Err(request),
        };
        let place = &mut self.places[position];
        place.turn += 1;
        place.state = PlaceState::Waiting { request, until };
        Ok(Ask::Request { place: position as u8, turn: place.turn })
    }

    fn answer(&mut self, place: u8, turn: u32) -> (AnswerStatus, Option<Q>) {
        let Some(place) = self.places.get_mut(usize::from(place)).filter(|place| (1..=place.turn).contains(&turn)) else {
            return (AnswerStatus::Early, None);
        };
        if turn < place.turn {
            return (AnswerStatus::Late, None);
        }
        match std::mem::replace(&mut place.state, PlaceState::Answered) {
            PlaceState::Waiting { request, .. } => (AnswerStatus::Accepted, Some(request)),
            PlaceState::Answered => (AnswerStatus::Twice, None),
            PlaceState::Failed => {
                place.state = PlaceState::Failed;
                (AnswerStatus::Late, None)
            }
        }
    }
}

impl<Q> Place<Q> {
    /// Takes a request that waits out of it.
    fn fail(&mut self) -> Option<Q> {
        match std::mem::replace(&mut self.state, PlaceState::Failed) {
            PlaceState::Waiting { request, .. } => Some(request),
            PlaceState::Answered => {
                self.state = PlaceState::Answered;
                None
            }
            PlaceState::Failed => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_whose_turns_are_used_up_is_left() {
        let now = Instant::now();
        let mut channel = Channel { media: Part::new(false), engine: Part::new(true), places: Vec::new() };
        for place in 0..2 {
            assert!(matches!(channel.take((), now, 2), Ok(Ask::Request { place: taken, turn: 1 }) if taken == place));
            channel.places[usize::from(place)] = Place { turn: u32::MAX - 1, state: PlaceState::Answered };
            assert!(matches!(channel.take((), now, 2), Ok(Ask::Request { place: taken, turn: u32::MAX }) if taken == place));
            channel.places[usize::from(place)].state = PlaceState::Answered;
        }
        assert_eq!(channel.take((), now, 2).err(), Some(()), "an answer to an old request would be one to a new one");
    }
}
