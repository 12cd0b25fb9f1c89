//! A plugin that panics, blocks for ever, or answers for another's channel ends its own session and harms no other.

use crate::plugins::{Log, act, blocks, channel, ignores, panics, right, sound};
use crate::{LONG, config, create, expect_served, hasty, on_both, patient, wait_until};
use stack::session::{
    AnswerStatus, AnswerToken, Ask, Called, ChannelEnd, ChannelId, Closed, EndReason, EndReport, Failure, Session, SessionConfig,
    SessionTable,
};
use std::sync::{Arc, Mutex};

const CALLS: [Called; 5] = [Called::Request, Called::CloseMedia, Called::CloseEngine, Called::DropMedia, Called::DropEngine];
const BAD: ChannelId = ChannelId(1);
const SOUND: ChannelEnd = ChannelEnd { media: Closed::Answered, engine: Closed::Answered };

/// Has the bad channel make its call: by a request, or by the session's end.
fn provoke(session: &Session, called: Called) {
    match called {
        Called::Request => _ = session.post(BAD, b"now").unwrap(),
        _ => _ = session.terminate(),
    }
}

fn expect_unharmed(others: &[Session]) {
    for other in others {
        expect_served(other);
        assert_eq!(other.report(), None);
    }
}

fn expect_ended(others: &[Session], table: &SessionTable) {
    table.close().unwrap();
    for other in others {
        let report = other.report().unwrap();
        assert_eq!((report.reason, &report.channels[..], report.left_in), (EndReason::TableClosed, &[SOUND][..], None));
        assert_eq!((report.counters.panics, report.counters.expired, report.counters.foreign), (0, 0, 0));
    }
    assert!(table.is_empty());
}

#[test]
fn a_plugin_that_panics_in_any_call_ends_its_own_session() {
    for called in CALLS {
        on_both(config(patient()), |table| {
            let others: Vec<Session> = (0..3).map(|_| create(table, vec![sound()])).collect();
            let log = Log::default();
            let session = create(table, vec![sound(), channel(&log, vec![(called, panics())]), sound()]);
            provoke(&session, called);
            let report = session.wait(LONG).unwrap();
            let (reason, bad) = match called {
                Called::Request => {
                    (EndReason::Panicked { channel: BAD, called }, ChannelEnd { engine: Closed::Panicked, ..SOUND })
                }
                Called::CloseMedia => (EndReason::Terminated, ChannelEnd { media: Closed::Panicked, ..SOUND }),
                Called::CloseEngine => (EndReason::Terminated, ChannelEnd { engine: Closed::Panicked, ..SOUND }),
                Called::DropMedia | Called::DropEngine => (EndReason::Terminated, SOUND),
            };
            assert_eq!((report.reason, &report.channels[..]), (reason, &[SOUND, bad, SOUND][..]), "{called:?}");
            assert_eq!((report.counters.panics, report.left_in), (1, None));
            let drops = log.calls().into_iter().filter(|call| matches!(call, Called::DropMedia | Called::DropEngine)).count();
            assert_eq!(drops, 2, "what panicked is dropped all the same: {:?}", log.calls());
            expect_unharmed(&others);
            expect_ended(&others, table);
        });
    }
}

#[test]
fn a_plugin_that_waits_for_another_session_does_not_keep_that_one_waiting() {
    on_both(config(patient()), |table| {
        for _ in 0..30 {
            let other = create(table, vec![sound()]);
            let asked = other.clone();
            let asks = act(move |line, token, body| {
                expect_served(&asked);
                right(line, token.unwrap(), body);
            });
            let session = create(table, vec![channel(&Log::default(), vec![(Called::Request, asks)])]);
            expect_served(&session);
            expect_served(&other);
            session.terminate();
            other.terminate();
        }
        table.close().unwrap();
    });
}

#[test]
fn a_request_that_panics_is_answered() {
    on_both(config(patient()), |table| {
        let session = create(table, vec![channel(&Log::default(), vec![(Called::Request, panics())])]);
        let mut reply = session.post(ChannelId(0), b"?").unwrap();
        let reason = EndReason::Panicked { channel: ChannelId(0), called: Called::Request };
        assert_eq!(reply.wait(LONG).unwrap().unwrap_err(), Failure::Ended { reason });
        session.wait(LONG).unwrap();
    });
}

#[test]
fn a_plugin_that_blocks_for_ever_in_any_call_keeps_its_own_worker() {
    for called in CALLS {
        // Each session has its own deadlines by its table: those of the others are not to pass on a slow machine.
        on_both(config(patient()), |others_table| {
            let others: Vec<Session> = (0..3).map(|_| create(others_table, vec![sound()])).collect();
            on_both(config(hasty()), |table| blocks_for_ever(table, called));
            expect_unharmed(&others);
            expect_ended(&others, others_table);
        });
    }
}

fn blocks_for_ever(table: &SessionTable, called: Called) {
    let (act, mut door) = blocks();
    let log = Log::default();
    let session = create(table, vec![channel(&log, vec![(called, act)])]);
    let mut reply = None;
    match called {
        Called::Request => reply = Some(session.post(ChannelId(0), b"now").unwrap()),
        _ => _ = session.terminate(),
    }
    door.wait();
    let report: Arc<EndReport> = session.wait(LONG).unwrap();
    let in_call = (ChannelId(0), called);
    assert_eq!(report.left_in, Some(in_call), "{called:?}");
    let (reason, end) = match called {
        Called::Request => (
            EndReason::Blocked { channel: ChannelId(0), called, within: crate::SHORT },
            ChannelEnd { media: Closed::NotAsked, engine: Closed::NotAsked },
        ),
        Called::CloseMedia => (EndReason::Terminated, ChannelEnd { media: Closed::Expired, engine: Closed::NotAsked }),
        Called::CloseEngine => (EndReason::Terminated, ChannelEnd { media: Closed::Answered, engine: Closed::Expired }),
        Called::DropMedia | Called::DropEngine => (EndReason::Terminated, SOUND),
    };
    assert_eq!((report.reason, &report.channels[..]), (reason, &[end][..]), "{called:?}");
    if let Some(mut reply) = reply {
        assert_eq!(reply.take().unwrap().unwrap_err(), Failure::Ended { reason });
    }
    assert!(table.is_empty(), "the table goes on without it");
    assert_eq!((table.counters().workers_left, table.counters().workers_left_now()), (1, 1));
    // It returns after all, and answers what nobody waits for.
    door.open();
    wait_until(|| table.counters().workers_left_now() == 0);
    let late = table.counters().of_ended;
    let answers = u64::from(matches!(called, Called::Request | Called::CloseMedia | Called::CloseEngine));
    assert_eq!((late.late_returns, late.after_end), (1, answers), "{called:?}");
    wait_until(|| log.calls().ends_with(&[Called::DropMedia, Called::DropEngine]));
    assert_eq!(session.counters().late_returns, 1);
}

#[test]
fn what_never_answers_ends_at_its_deadline_and_its_late_answer_is_harmless() {
    on_both(config(hasty()), |table| {
        for called in [Called::CloseMedia, Called::CloseEngine] {
            let kept = Arc::new(Mutex::new(None));
            let keeps = Arc::clone(&kept);
            let keep = act(move |line, token, _| *keeps.lock().unwrap() = Some((line.clone(), token.unwrap())));
            let session = create(table, vec![channel(&Log::default(), vec![(called, keep)])]);
            session.bye();
            let report = session.wait(LONG).unwrap();
            let expected = match called {
                Called::CloseMedia => ChannelEnd { media: Closed::Expired, ..SOUND },
                _ => ChannelEnd { engine: Closed::Expired, ..SOUND },
            };
            assert_eq!((report.reason, &report.channels[..], report.left_in), (EndReason::Bye, &[expected][..], None));
            let (line, token) = kept.lock().unwrap().take().unwrap();
            let before = table.counters().of_ended.after_end;
            assert_eq!(line.answer(token, None), AnswerStatus::AfterEnd);
            assert!(line.allocate(1).is_err());
            assert_eq!(table.counters().of_ended.after_end, before + 1);
        }
    });
}

#[test]
fn a_request_that_is_never_answered_fails_at_its_deadline_and_the_session_goes_on() {
    let config = config(SessionConfig { request_deadline: crate::SHORT, ..patient() });
    on_both(config, |table| {
        let session = create(table, vec![sound(), channel(&Log::default(), vec![(Called::Request, ignores())])]);
        let mut reply = session.post(BAD, b"?").unwrap();
        assert_eq!(reply.wait(LONG).unwrap().unwrap_err(), Failure::Deadline { within: crate::SHORT });
        assert_eq!(session.counters().expired, 1);
        assert_eq!(session.report(), None);
    });
}

#[test]
fn a_plugin_that_answers_for_another_session_ends_its_own() {
    for asks in [Called::Request, Called::CloseMedia, Called::CloseEngine] {
        on_both(config(patient()), |table| {
            // The victim is asked something, and its token gets into the wrong hands.
            let stolen: Arc<Mutex<Option<(stack::session::Line, AnswerToken)>>> = Arc::default();
            let keeps = Arc::clone(&stolen);
            let keep = act(move |line, token, _| *keeps.lock().unwrap() = Some((line.clone(), token.unwrap())));
            let victim = create(table, vec![channel(&Log::default(), vec![(asks, keep)])]);
            let thief = {
                let stolen = Arc::clone(&stolen);
                act(move |line, token, body| {
                    let theirs = stolen.lock().unwrap().as_ref().unwrap().1;
                    // As a number, as if it had come from another process.
                    let theirs = AnswerToken::from_bits(theirs.to_bits()).unwrap();
                    assert_eq!(line.answer(theirs, None), AnswerStatus::Foreign);
                    right(line, token.unwrap(), body);
                })
            };
            let culprit = create(table, vec![channel(&Log::default(), vec![(Called::Request, thief)])]);
            let mut reply = None;
            match asks {
                Called::Request => reply = Some(victim.post(ChannelId(0), b"victim").unwrap()),
                _ => _ = victim.terminate(),
            }
            wait_until(|| stolen.lock().unwrap().is_some());
            let phase = victim.phase();
            let mut theirs = culprit.post(ChannelId(0), b"culprit").unwrap();
            let report = culprit.wait(LONG).unwrap();
            let reason = EndReason::ForeignAnswer { channel: ChannelId(0) };
            assert_eq!((report.reason, report.counters.foreign), (reason, 1));
            assert_eq!(theirs.wait(LONG).unwrap().unwrap_err(), Failure::Ended { reason });
            // The victim has noticed nothing: what it was asked still wants its own answer, and takes it.
            assert_eq!((victim.phase(), victim.counters().accepted), (phase, u64::from(asks == Called::CloseEngine)));
            let (line, token) = stolen.lock().unwrap().take().unwrap();
            assert_eq!(line.answer(token, None), AnswerStatus::Accepted);
            if let Some(mut reply) = reply {
                assert!(reply.wait(LONG).unwrap().unwrap().is_none());
                victim.terminate();
            }
            let report = victim.wait(LONG).unwrap();
            assert_eq!((report.reason, &report.channels[..]), (EndReason::Terminated, &[SOUND][..]));
        });
    }
}

#[test]
fn a_plugin_that_answers_for_another_channel_of_its_session_ends_it() {
    on_both(config(patient()), |table| {
        let wrong = act(|line, _, _| {
            let token = AnswerToken { session: line.of().0, channel: ChannelId(0), ask: Ask::CloseMedia };
            assert_eq!(line.answer(token, None), AnswerStatus::Foreign);
        });
        let session = create(table, vec![sound(), channel(&Log::default(), vec![(Called::Request, wrong)])]);
        session.post(BAD, b"?").unwrap();
        let report = session.wait(LONG).unwrap();
        assert_eq!((report.reason, &report.channels[..]), (EndReason::ForeignAnswer { channel: BAD }, &[SOUND, SOUND][..]));
    });
}
