use super::properties::{Behaviour, any_events, every_order};
use super::*;
use crate::buffer::pool::{Block, Pool};
use sim::time::Instant;
use std::collections::BTreeSet;
use std::time::Duration;

#[test]
fn the_corpus_holds() {
    crate::corpus::each("session_core", any_events);
}

proptest::proptest! {
    #[test]
    fn any_events_hold(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
        any_events(&bytes);
    }
}

/// Runs `body` with every sequence of choices that it can make, and says how many there are.
fn with_every_choice(mut body: impl FnMut(&mut dyn FnMut(usize) -> usize)) -> u64 {
    let mut path: Vec<(usize, usize)> = Vec::new();
    let mut runs = 0;
    loop {
        let mut depth = 0;
        body(&mut |n| {
            if depth == path.len() {
                path.push((0, n));
            }
            depth += 1;
            assert_eq!(path[depth - 1].1, n, "the same choices lead to the same choice");
            path[depth - 1].0
        });
        runs += 1;
        while path.last().is_some_and(|(chosen, n)| chosen + 1 == *n) {
            path.pop();
        }
        match path.last_mut() {
            Some((chosen, _)) => *chosen += 1,
            None => return runs,
        }
    }
}

fn behaviours(channels: usize) -> impl Iterator<Item = Vec<Behaviour>> {
    let all = Behaviour::ALL;
    (0..all.len().pow(channels as u32))
        .map(move |number| (0..channels).map(|channel| all[number / all.len().pow(channel as u32) % all.len()]).collect())
}

#[test]
fn every_order_of_answers_to_the_engines_releases_once() {
    let mut runs = 0;
    for channels in 0..=3 {
        for engines in behaviours(channels) {
            runs += with_every_choice(|choose| every_order(&[], &engines, choose));
        }
    }
    println!("{runs} orders");
}

#[test]
fn every_order_of_answers_to_three_media_releases_once() {
    let mut runs = 0;
    for media in behaviours(3) {
        runs += with_every_choice(|choose| every_order(&media, &[Behaviour::Never; 3], choose));
    }
    println!("{runs} orders");
}

#[test]
fn every_order_of_answers_to_media_and_engines_releases_once() {
    let mut runs = 0;
    for channels in 1..=2 {
        for media in behaviours(channels).chain(behaviours(channels - 1)) {
            for engines in behaviours(channels) {
                runs += with_every_choice(|choose| every_order(&media, &engines, choose));
            }
        }
    }
    println!("{runs} orders");
}

const ID: SessionId = SessionId::new(1, 2);

fn at(millis: u64) -> Instant {
    Instant::from_origin(Duration::from_millis(millis))
}

fn core(config: SessionConfig, channels: usize) -> SessionCore<u32> {
    SessionCore::new(ID, config, &vec![false; channels]).unwrap()
}

fn request(core: &mut SessionCore<u32>, now: Instant) -> Option<AnswerToken> {
    match core.next_call(now)? {
        Call::Request(token) => Some(token),
        other => panic!("expected a request, got {other:?}"),
    }
}

#[test]
fn limits_of_channels_inbox_and_requests() {
    let config = SessionConfig { channels_max: 2, inbox_max: 3, requests_max: 2, ..SessionConfig::default() };
    let too_many = SessionCore::<u32>::new(ID, config, &[false; 3]).unwrap_err();
    assert_eq!(too_many, ConfigError::Channels { channels_max: 2, got: 3 });
    for (what, config) in
        [("inbox_max", SessionConfig { inbox_max: 0, ..config }), ("requests_max", SessionConfig { requests_max: 0, ..config })]
    {
        assert_eq!(SessionCore::<u32>::new(ID, config, &[]).unwrap_err(), ConfigError::Zero { what });
    }
    let mut core = core(config, 2);
    for number in 0..3 {
        assert_eq!(core.post(ChannelId(0), number), Ok(()));
    }
    assert_eq!(core.post(ChannelId(0), 3), Err((PostError::Full { inbox_max: 3 }, 3)));
    assert_eq!(core.counters().refused_full, 1);
    let first = request(&mut core, at(0)).unwrap();
    assert_eq!(core.next_call(at(0)), None, "one call is made at a time");
    core.returned(CallEnd::Returned, at(0));
    request(&mut core, at(0)).unwrap();
    core.returned(CallEnd::Returned, at(0));
    assert_eq!(core.next_call(at(0)), None);
    assert_eq!(core.next_notice(), Some(Notice::Failed(2, Failure::Busy { requests_max: 2 })));
    assert_eq!(core.answer(ChannelId(0), first, at(1)), Answered { status: AnswerStatus::Accepted, request: Some(0) });
    core.post(ChannelId(0), 4).unwrap();
    let again = request(&mut core, at(2)).unwrap();
    assert_eq!((first.ask, again.ask), (Ask::Request { place: 0, turn: 1 }, Ask::Request { place: 0, turn: 2 }));
    assert_eq!(core.answer(ChannelId(0), first, at(3)).status, AnswerStatus::Late, "its place is another's by now");
    assert_eq!(core.requester(first), None);
    assert_eq!(core.requester(again), Some(&mut 4));
}

#[test]
fn a_request_that_cannot_be_dispatched_is_answered_and_those_behind_it_go_on() {
    let mut core = core(SessionConfig::default(), 2);
    for (channel, number) in [(2, 0), (9, 1), (1, 2)] {
        core.post(ChannelId(channel), number).unwrap();
    }
    assert_eq!(request(&mut core, at(0)).unwrap().channel, ChannelId(1));
    for (got, number) in [(2, 0), (9, 1)] {
        let failure = Failure::NoSuchChannel { channels: 2, got: ChannelId(got) };
        assert_eq!(core.next_notice(), Some(Notice::Failed(number, failure)));
    }
    assert_eq!(core.next_notice(), None);
}

#[test]
fn a_call_that_does_not_return_ends_the_session_and_its_late_return_is_counted() {
    let config = SessionConfig::default();
    let mut core = core(config, 2);
    core.post(ChannelId(1), 0).unwrap();
    core.post(ChannelId(0), 1).unwrap();
    let token = request(&mut core, at(0)).unwrap();
    assert_eq!(core.next_deadline(), Some(at(0) + config.call_deadline));
    core.on_time(at(1_999));
    assert_eq!(core.phase(), Phase::Active);
    core.on_time(at(2_000));
    let reason = EndReason::Blocked { channel: ChannelId(1), called: Called::Request, within: config.call_deadline };
    for number in [0, 1] {
        assert_eq!(core.next_notice(), Some(Notice::Failed(number, Failure::Ended { reason })));
    }
    let mut ends = 0;
    while let Some(until) = core.next_deadline() {
        assert_eq!(core.next_call(until), None, "the one who calls is in a call");
        core.on_time(until);
        ends += 1;
    }
    assert_eq!((ends, core.next_notice()), (3, Some(Notice::Released)));
    let report = core.report().unwrap().clone();
    assert_eq!((report.reason, report.left_in), (reason, Some((ChannelId(1), Called::Request))));
    let end = ChannelEnd { media: Closed::Absent, engine: Closed::NotAsked };
    assert_eq!(report.channels, [end, end]);
    core.returned(CallEnd::Returned, at(60_000));
    assert_eq!(core.answer(ChannelId(1), token, at(60_000)).status, AnswerStatus::AfterEnd);
    assert_eq!((core.counters().late_returns, core.next_call(at(60_000))), (1, None));
    assert_eq!(core.end(EndReason::Bye, at(60_000)), Ending::Ended(reason));
}

#[test]
fn each_request_that_expires_is_counted_and_told_so_at_its_own_deadline() {
    let config = SessionConfig { requests_max: 3, request_deadline: Duration::from_millis(100), ..SessionConfig::default() };
    for requests in 0..=9u32 {
        let mut core = core(config, 3);
        // Dispatched 20 ms one after the other.
        for number in 0..requests {
            core.post(ChannelId((number % 3) as u16), number).unwrap();
            request(&mut core, at(20 * u64::from(number))).unwrap();
            core.returned(CallEnd::Returned, at(20 * u64::from(number)));
        }
        for number in 0..requests {
            let until = at(100 + 20 * u64::from(number));
            assert_eq!(core.next_deadline(), Some(until));
            core.on_time(until);
            let failure = Failure::Deadline { within: config.request_deadline };
            assert_eq!((core.next_notice(), core.next_notice()), (Some(Notice::Failed(number, failure)), None));
            let counters = core.counters();
            assert_eq!((counters.expired, counters.failed), (u64::from(number) + 1, u64::from(number) + 1));
        }
        assert_eq!((core.next_deadline(), core.phase()), (None, Phase::Active), "the session goes on");
    }
}

#[test]
fn ends_that_cross_are_one_end_and_each_is_told_its_reason() {
    let mut core = core(SessionConfig::default(), 1);
    assert_eq!(core.end(EndReason::Bye, at(0)), Ending::Begun);
    assert_eq!(core.end(EndReason::Terminated, at(1)), Ending::AlreadyEnding(EndReason::Bye));
    assert_eq!(core.post(ChannelId(0), 1), Err((PostError::Ends { reason: EndReason::Bye }, 1)));
    let until = core.next_deadline().unwrap();
    core.on_time(until);
    let until = core.next_deadline().unwrap();
    core.on_time(until);
    assert_eq!(core.end(EndReason::Terminated, until), Ending::Ended(EndReason::Bye));
    assert_eq!((core.counters().ends_again, core.counters().refused_ended), (2, 1));
}

#[test]
fn an_answer_that_comes_while_its_call_goes_on_ends_the_phase_when_the_call_returns() {
    let mut core = core(SessionConfig::default(), 1);
    core.end(EndReason::Terminated, at(0));
    let Some(Call::CloseEngine(token)) = core.next_call(at(1)) else { panic!("its engine is to be closed") };
    assert_eq!(core.answer(ChannelId(0), token, at(2)).status, AnswerStatus::Accepted);
    assert_eq!(core.phase(), Phase::Engines, "the engine is in its call still");
    core.returned(CallEnd::Returned, at(3));
    assert_eq!(core.next_call(at(3)), Some(Call::DropEngine(ChannelId(0))));
    assert_eq!(core.phase(), Phase::Dropping);
    core.returned(CallEnd::Panicked, at(4));
    assert_eq!((core.phase(), core.counters().panics), (Phase::Released, 1));
    assert_eq!(core.report().unwrap().channels[0].engine, Closed::Answered);
}

#[test]
fn a_session_without_channels_ends_at_once() {
    let mut core = core(SessionConfig::default(), 0);
    assert_eq!(core.end(EndReason::Terminated, at(0)), Ending::Begun);
    assert_eq!((core.phase(), core.next_notice()), (Phase::Released, Some(Notice::Released)));
}

#[test]
fn numbers_that_no_token_has_are_none() {
    let token = AnswerToken { session: ID, channel: ChannelId(3), ask: Ask::CloseEngine };
    let bits = token.to_bits();
    assert_eq!(AnswerToken::from_bits(bits), Some(token));
    for other in [bits | 1, bits | 1 << 32, bits | 1 << 40, bits | 7 << 45] {
        assert_eq!(AnswerToken::from_bits(other), None, "{other:x}");
    }
}

/// Answers what must be answered.
struct Quiet;

impl Engine for Quiet {
    fn request(&mut self, line: &Line, token: AnswerToken, _: Block) {
        assert_eq!(format!("{line:?}"), "Line(0.1/1)");
        line.answer(token, None);
    }

    fn close(&mut self, line: &Line, token: AnswerToken) {
        line.answer(token, None);
    }
}

impl Media for Quiet {
    fn close(&mut self, line: &Line, token: AnswerToken) {
        line.answer(token, None);
    }
}

#[test]
fn what_is_shown_of_a_session_are_names_and_phases() {
    let table = SessionTable::driven(TableConfig::default());
    let channels: Vec<Channel> = [false, true]
        .map(|has_media| Channel { media: has_media.then(|| Box::new(Quiet) as Box<dyn Media>), engine: Box::new(Quiet) })
        .into();
    assert_eq!(format!("{channels:?}"), "[Channel { has_media: false, .. }, Channel { has_media: true, .. }]");
    let shown = |len| format!("SessionTable {{ config: {:?}, len: {len}, .. }}", TableConfig::default());
    assert_eq!(format!("{table:?}"), shown(0));
    let (session, mut driver) = table.create_driven(Pool::new("session", 1024), channels).unwrap();
    assert_eq!(format!("{table:?}"), shown(1));
    let id = "SessionId { slot: 0, generation: 1 }";
    assert_eq!(format!("{session:?}"), format!("Session {{ id: {id}, phase: Active, .. }}"));
    assert_eq!(format!("{driver:?}"), format!("Driver {{ worker: Worker {{ session: {id}, .. }} }}"));
    assert_eq!((session.id().to_string(), ChannelId(7).to_string()), ("0.1".to_owned(), "7".to_owned()));
    let mut reply = session.post(ChannelId(1), b"show").unwrap();
    assert!(matches!(driver.drive(), Driven::Waits(_)));
    assert!(matches!(reply.take(), Some(Ok(None))));
    session.terminate();
    assert_eq!(driver.drive(), Driven::Ended);
    assert_eq!(format!("{session:?}"), format!("Session {{ id: {id}, phase: Released, .. }}"));
}

#[test]
fn each_reason_for_an_end_reads_differently() {
    let (channel, within) = (ChannelId(3), Duration::from_secs(2));
    let calls = [Called::Request, Called::CloseMedia, Called::CloseEngine, Called::DropMedia, Called::DropEngine];
    let mut reasons = vec![
        EndReason::Terminated,
        EndReason::Bye,
        EndReason::TableClosed,
        EndReason::ForeignAnswer { channel },
        EndReason::WorkerLost,
        EndReason::NoTimer,
    ];
    for called in calls {
        reasons.extend([EndReason::Panicked { channel, called }, EndReason::Blocked { channel, called, within }]);
    }
    let texts: BTreeSet<String> = reasons.iter().map(EndReason::to_string).collect();
    assert!(texts.len() == reasons.len() && !texts.contains(""), "{texts:?}");
    for reason in reasons {
        let says_which =
            matches!(reason, EndReason::ForeignAnswer { .. } | EndReason::Panicked { .. } | EndReason::Blocked { .. });
        assert_eq!(reason.to_string().contains("channel 3"), says_which, "{reason}");
    }
}
