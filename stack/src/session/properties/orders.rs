//! Every order of answers, against what each channel was made to do.

use crate::session::{
    AnswerStatus, AnswerToken, Ask, Call, CallEnd, ChannelId, Closed, EndReason, Ending, Notice, Phase, SessionConfig,
    SessionCore, SessionCounters, SessionId,
};
use sim::time::Instant;
use std::time::Duration;

/// How a plugin answers to being closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Once, in time.
    Once,
    /// In time, and once more.
    Twice,
    /// Before it was asked, and again when it was.
    Early,
    /// After its deadline.
    Late,
    /// Not at all.
    Never,
}

impl Behaviour {
    /// Each of them.
    pub const ALL: [Behaviour; 5] = [Behaviour::Once, Behaviour::Twice, Behaviour::Early, Behaviour::Late, Behaviour::Never];

    const fn answers(self) -> &'static [Answer] {
        match self {
            Behaviour::Once => &[Answer::InTime],
            Behaviour::Twice => &[Answer::InTime, Answer::Again],
            Behaviour::Early => &[Answer::Before, Answer::InTime],
            Behaviour::Late => &[Answer::After],
            Behaviour::Never => &[],
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Before,
    InTime,
    Again,
    After,
}

/// Media or an engine, and how far its answers are.
struct Plugin {
    token: AnswerToken,
    behaviour: Behaviour,
    left: &'static [Answer],
    is_asked: bool,
}

/// What can happen next.
#[derive(Clone, Copy)]
enum Event {
    End,
    Call,
    Answer(usize),
    /// The deadline of a phase that nothing else can end.
    Deadline,
}

struct Run {
    core: SessionCore<()>,
    now: Instant,
    plugins: Vec<Plugin>,
    expected: SessionCounters,
    releases: u32,
}

/// A session whose channels answer as `choose` has it is ended, and everything happens in an order that `choose` has: `choose(n)` is
/// below `n`, and who has it answer in every way has every order. Each element of `media` and `engines` is a channel's; fewer media
/// than engines leave the last channels without.
///
/// The session is released once, each channel has the end that its own answers give it, and each answer counts as what it is.
pub fn every_order(media: &[Behaviour], engines: &[Behaviour], choose: &mut dyn FnMut(usize) -> usize) {
    let id = SessionId::new(3, 7);
    let has_media: Vec<bool> = (0..engines.len()).map(|channel| channel < media.len()).collect();
    let core = SessionCore::new(id, SessionConfig::default(), &has_media).expect("so few channels are within the limit");
    let plugin = |channel: usize, ask: Ask, behaviour: Behaviour| Plugin {
        token: AnswerToken { session: id, channel: ChannelId(channel as u16), ask },
        behaviour,
        left: behaviour.answers(),
        is_asked: false,
    };
    let media = media.iter().enumerate().map(|(channel, behaviour)| plugin(channel, Ask::CloseMedia, *behaviour));
    let engines = engines.iter().enumerate().map(|(channel, behaviour)| plugin(channel, Ask::CloseEngine, *behaviour));
    let plugins = media.chain(engines).collect();
    let now = Instant::from_origin(Duration::from_secs(1));
    let mut run = Run { core, now, plugins, expected: SessionCounters::default(), releases: 0 };
    loop {
        let events = run.events();
        match events.len() {
            0 => break,
            1 => run.perform(events[0]),
            n => run.perform(events[choose(n)]),
        }
    }
    run.check();
}

impl Run {
    fn phase_of(plugin: &Plugin) -> Phase {
        if plugin.token.ask == Ask::CloseMedia { Phase::Media } else { Phase::Engines }
    }

    /// The next to be asked in this phase.
    fn next_asked(&self) -> Option<usize> {
        self.plugins.iter().position(|plugin| !plugin.is_asked && Run::phase_of(plugin) == self.core.phase())
    }

    /// What can happen now. A plugin is not asked before it has given an answer that is to be early; a phase is not over before the
    /// answers that are to be in time.
    fn events(&self) -> Vec<Event> {
        let mut events = Vec::new();
        let phase = self.core.phase();
        let is_early = |plugin: &Plugin| plugin.left.first() == Some(&Answer::Before);
        if phase == Phase::Active {
            events.push(Event::End);
        } else if matches!(phase, Phase::Media | Phase::Engines) {
            match self.next_asked() {
                Some(next) if is_early(&self.plugins[next]) => {}
                Some(_) => events.push(Event::Call),
                None => {
                    let is_awaited = |plugin: &Plugin| plugin.is_asked && plugin.left.first() == Some(&Answer::InTime);
                    if !self.plugins.iter().any(is_awaited) {
                        events.push(Event::Deadline);
                    }
                }
            }
        } else if phase == Phase::Dropping {
            events.push(Event::Call);
        }
        for (index, plugin) in self.plugins.iter().enumerate() {
            let can_answer = match plugin.left.first() {
                None => false,
                Some(Answer::Before) => true,
                Some(Answer::InTime) => plugin.is_asked,
                Some(Answer::Again) => true,
                Some(Answer::After) => phase > Run::phase_of(plugin),
            };
            if can_answer {
                events.push(Event::Answer(index));
            }
        }
        events
    }

    fn perform(&mut self, event: Event) {
        self.now += Duration::from_millis(1);
        let now = self.now;
        match event {
            Event::End => assert_eq!(self.core.end(EndReason::Bye, now), Ending::Begun),
            Event::Call => {
                let phase = self.core.phase();
                let next = self.next_asked();
                let call = self.core.next_call(now).expect("somebody is to be called");
                match call {
                    Call::CloseMedia(token) | Call::CloseEngine(token) => {
                        let index = next.expect("a close is of this phase");
                        assert_eq!(token, self.plugins[index].token, "channels are closed in their order");
                        self.plugins[index].is_asked = true;
                    }
                    Call::DropMedia(_) | Call::DropEngine(_) => assert_eq!(phase, Phase::Dropping),
                    Call::Request(_) => panic!("nothing was requested"),
                }
                self.core.returned(CallEnd::Returned, now);
            }
            Event::Answer(index) => self.answer(index),
            Event::Deadline => {
                let until = self.core.next_deadline().expect("a phase has a deadline");
                let phase = self.core.phase();
                let late = self.plugins.iter().filter(|plugin| Run::phase_of(plugin) == phase);
                self.expected.expired += late.filter(|plugin| Run::is_expired(plugin)).count() as u64;
                self.now = until;
                self.core.on_time(until);
            }
        }
        while let Some(notice) = self.core.next_notice() {
            assert_eq!(notice, Notice::Released);
            self.releases += 1;
        }
    }

    fn is_expired(plugin: &Plugin) -> bool {
        matches!(plugin.behaviour, Behaviour::Late | Behaviour::Never)
    }

    fn answer(&mut self, index: usize) {
        let plugin = &mut self.plugins[index];
        let (answer, left) = plugin.left.split_first().expect("it has an answer to give");
        plugin.left = left;
        let token = plugin.token;
        let has_ended = self.core.phase() == Phase::Released;
        let (expected, counter) = match answer {
            _ if has_ended => (AnswerStatus::AfterEnd, &mut self.expected.after_end),
            Answer::Before => (AnswerStatus::Early, &mut self.expected.early),
            Answer::InTime => (AnswerStatus::Accepted, &mut self.expected.accepted),
            Answer::Again => (AnswerStatus::Twice, &mut self.expected.twice),
            Answer::After => (AnswerStatus::Late, &mut self.expected.late),
        };
        *counter += 1;
        let answered = self.core.answer(token.channel, token, self.now);
        assert_eq!((answered.status, answered.request), (expected, None), "{token:?}");
    }

    fn check(&self) {
        assert_eq!(self.releases, 1, "a session is released once");
        assert!(self.plugins.iter().all(|plugin| plugin.left.is_empty()), "every answer was given");
        assert_eq!(self.core.counters(), self.expected);
        let report = self.core.report().expect("what was released has a report");
        assert_eq!((report.reason, report.left_in), (EndReason::Bye, None));
        for (channel, end) in report.channels.iter().enumerate() {
            for (ask, closed) in [(Ask::CloseMedia, end.media), (Ask::CloseEngine, end.engine)] {
                let of = |plugin: &&Plugin| usize::from(plugin.token.channel.0) == channel && plugin.token.ask == ask;
                let expected =
                    self.plugins.iter().find(of).map_or(Closed::Absent, |plugin| {
                        if Run::is_expired(plugin) { Closed::Expired } else { Closed::Answered }
                    });
                assert_eq!(closed, expected, "channel {channel}, {ask:?}");
            }
        }
    }
}
