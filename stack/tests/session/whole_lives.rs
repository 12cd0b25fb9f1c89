//! From beginning to end, and every way to end.

use crate::plugins::{Log, act, channel, ignores, panics, right, sound};
use crate::{LONG, config, create, expect_served, hasty, on_both, patient, pool, timers, wait_until};
use stack::session::{
    Called, ChannelEnd, ChannelId, Closed, CreateError, Driven, EndReason, Ending, Failure, Phase, Session, SessionTable,
    TableConfig, WaitError,
};
use stack::timer::{TimerConfig, Timers};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

#[test]
fn a_session_serves_and_ends_media_first() {
    on_both(config(patient()), |table| {
        let (log, pool) = (Log::default(), pool());
        let without_media = stack::session::Channel { media: None, ..channel(&log, vec![]) };
        let session = table.create(pool.clone(), vec![channel(&log, vec![]), without_media, channel(&log, vec![])]).unwrap();
        for _ in 0..10 {
            expect_served(&session);
        }
        assert_eq!(pool.used_bytes(), Ok(0), "what was answered is given back");
        assert_eq!(session.bye(), Ending::Begun);
        assert!(matches!(session.terminate(), Ending::AlreadyEnding(EndReason::Bye) | Ending::Ended(EndReason::Bye)));
        let report = session.wait(LONG).unwrap();
        assert_eq!(session.terminate(), Ending::Ended(EndReason::Bye));
        let ends =
            [Closed::Answered, Closed::Absent, Closed::Answered].map(|media| ChannelEnd { media, engine: Closed::Answered });
        assert_eq!((report.reason, &report.channels[..], report.left_in), (EndReason::Bye, &ends[..], None));
        assert!(pool.used_bytes().is_err(), "its pool is released");
        assert!(table.get(session.id()).is_err() && table.is_empty());
        let mut expected = vec![Called::DropMedia];
        expected.extend([Called::Request; 10]);
        expected.extend([Called::CloseMedia; 2]);
        expected.extend([Called::CloseEngine; 3]);
        expected.extend([Called::DropMedia; 2]);
        expected.extend([Called::DropEngine; 3]);
        assert_eq!(log.calls(), expected);
    });
}

#[test]
fn a_plugin_may_end_its_session_and_cannot_wait_for_that() {
    on_both(config(patient()), |table| {
        let session_of_call: Arc<OnceLock<(Session, SessionTable)>> = Arc::default();
        let said = Arc::new(Mutex::new(Vec::new()));
        let (its, says) = (Arc::clone(&session_of_call), Arc::clone(&said));
        let ends = act(move |line, token, body| {
            let (session, table) = its.get().unwrap();
            assert_eq!(session.id(), line.of().0);
            assert_eq!(session.terminate(), Ending::Begun);
            says.lock().unwrap().extend([session.wait(LONG).unwrap_err(), table.close().unwrap_err()]);
            right(line, token.unwrap(), body);
        });
        let session = create(table, vec![channel(&Log::default(), vec![(Called::Request, ends)])]);
        let other = create(table, vec![sound()]);
        session_of_call.set((session.clone(), table.clone())).unwrap();
        let mut reply = session.post(ChannelId(0), b"end").unwrap();
        let reason = EndReason::Terminated;
        assert_eq!(reply.wait(LONG).unwrap().unwrap_err(), Failure::Ended { reason });
        assert_eq!(session.wait(LONG).unwrap().reason, reason);
        assert_eq!(*said.lock().unwrap(), [WaitError::FromCall, WaitError::FromCall]);
        assert_eq!(other.report().unwrap().reason, EndReason::TableClosed, "close waits for the others");
        assert_eq!(session.counters().late, 1, "what it answered nobody waited for any more");
    });
}

#[test]
fn the_last_table_ends_its_sessions() {
    let log = Log::default();
    let table = SessionTable::on_threads(TableConfig::default(), timers());
    let session = create(&table, vec![channel(&log, vec![])]);
    drop(table.clone());
    expect_served(&session);
    drop(table);
    assert_eq!(session.wait(LONG).unwrap().reason, EndReason::TableClosed);
}

#[test]
fn a_wait_that_is_too_short_says_so() {
    on_both(config(patient()), |table| {
        let session = create(table, vec![sound()]);
        let within = Duration::from_millis(5);
        assert_eq!(session.wait(within).unwrap_err(), WaitError::GoesOn { within });
        assert_eq!(session.report(), None);
    });
}

#[test]
fn a_session_without_timers_ends_and_says_so() {
    let timers: Timers = timers();
    let table = SessionTable::on_threads(TableConfig::default(), timers.clone());
    let (ends_by_request, ends_by_end) = (create(&table, vec![sound()]), create(&table, vec![sound()]));
    timers.close().unwrap();
    let mut reply = ends_by_request.post(ChannelId(0), b"?").unwrap();
    assert_eq!(reply.wait(LONG).unwrap().unwrap_err(), Failure::Ended { reason: EndReason::NoTimer });
    assert_eq!(ends_by_request.wait(LONG).unwrap().reason, EndReason::NoTimer);
    ends_by_end.terminate();
    assert_eq!(ends_by_end.wait(LONG).unwrap().reason, EndReason::Terminated);
    wait_until(|| table.is_empty());
}

#[test]
fn a_session_whose_timers_end_while_it_waits_ends_and_says_so() {
    for is_lost in [false, true] {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let timers = match is_lost {
            true => runtime.block_on(async { Timers::on_task(TimerConfig::default()).unwrap() }),
            false => timers(),
        };
        let table = SessionTable::on_threads(config(patient()), timers.clone());
        let of = |called| create(&table, vec![channel(&Log::default(), vec![(called, ignores())])]);
        let [waits, closes_media, closes_engines] = [Called::Request, Called::CloseMedia, Called::CloseEngine].map(of);
        let served = create(&table, vec![sound()]);
        expect_served(&served);
        let mut reply = waits.post(ChannelId(0), b"?").unwrap();
        closes_media.terminate();
        closes_engines.terminate();
        wait_until(|| closes_media.phase() == Phase::Media && closes_engines.phase() == Phase::Engines);
        // Deadlines are known by now.
        wait_until(|| timers.pending() >= 4);
        match is_lost {
            true => drop(runtime),
            false => _ = timers.close().unwrap(),
        }
        assert_eq!(reply.wait(LONG).unwrap().unwrap_err(), Failure::Ended { reason: EndReason::NoTimer });
        assert_eq!(waits.wait(LONG).unwrap().reason, EndReason::NoTimer);
        assert_eq!(served.report(), None, "it waits for nothing");
        let mut late = served.post(ChannelId(0), b"?").unwrap();
        assert_eq!(late.wait(LONG).unwrap().unwrap_err(), Failure::Ended { reason: EndReason::NoTimer });
        assert_eq!(closes_media.wait(LONG).unwrap().reason, EndReason::Terminated);
        assert_eq!(closes_engines.wait(LONG).unwrap().reason, EndReason::Terminated);
        wait_until(|| table.is_empty());
    }
}

#[test]
fn a_session_that_ends_for_want_of_a_timer_makes_no_call_after_its_end() {
    let timers = Timers::on_thread(TimerConfig { timers_max: 0, ..TimerConfig::default() }).unwrap();
    let table = SessionTable::on_threads(TableConfig::default(), timers);
    let log = Log::default();
    let session = create(&table, vec![channel(&log, vec![])]);
    let mut reply = session.post(ChannelId(0), b"?").unwrap();
    assert_eq!(reply.wait(LONG).unwrap().unwrap_err(), Failure::Ended { reason: EndReason::NoTimer });
    let report = session.wait(LONG).unwrap();
    assert_eq!((report.reason, report.left_in), (EndReason::NoTimer, None));
    wait_until(|| log.calls().contains(&Called::DropEngine));
    assert_eq!(log.calls(), [Called::DropMedia, Called::DropEngine]);
    assert_eq!(table.counters().workers_left, 0);
}

#[test]
fn a_runtime_that_ends_ends_its_sessions() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let log = Log::default();
    let (table, session) = runtime.block_on(async {
        let table = SessionTable::on_tasks(TableConfig::default(), timers());
        let session = create(&table, vec![channel(&log, vec![])]);
        (table, session)
    });
    expect_served(&session);
    drop(runtime);
    let report = session.wait(LONG).unwrap();
    let end = ChannelEnd { media: Closed::NotAsked, engine: Closed::NotAsked };
    assert_eq!((report.reason, &report.channels[..]), (EndReason::WorkerLost, &[end][..]));
    assert_eq!(log.calls(), [Called::Request, Called::DropMedia, Called::DropEngine], "its plugins are dropped with it");
    assert!(table.is_empty());
}

#[test]
fn tasks_wait_for_replies_and_ends() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        for table in
            [SessionTable::on_tasks(TableConfig::default(), timers()), SessionTable::on_threads(TableConfig::default(), timers())]
        {
            let session = create(&table, vec![sound()]);
            let mut reply = session.post(ChannelId(0), b"hello").unwrap();
            assert_eq!(reply.recv(LONG).await.unwrap().unwrap().unwrap().bytes(), b"HELLO");
            let within = Duration::from_millis(1);
            assert_eq!(session.ended(within).await, Err(WaitError::GoesOn { within }));
            let ends = session.ended(LONG);
            session.terminate();
            assert_eq!(ends.await.unwrap().reason, EndReason::Terminated);
            let last = create(&table, vec![sound()]);
            table.closed().await.unwrap();
            assert_eq!(last.report().unwrap().reason, EndReason::TableClosed);
        }
    });
}

#[test]
fn many_threads_do_everything_at_once() {
    on_both(config(patient()), |table| {
        let threads: Vec<_> = (0..8)
            .map(|thread| {
                let table = table.clone();
                let runtime = tokio::runtime::Handle::try_current();
                std::thread::spawn(move || {
                    let _entered = runtime.as_ref().map(|runtime| runtime.enter());
                    for round in 0..50 {
                        let session = create(&table, vec![sound(), sound()]);
                        let mut replies: Vec<_> =
                            (0..5).filter_map(|n| table.post(session.id(), ChannelId(n % 3), b"x").ok()).collect();
                        if round % 2 == 0 {
                            expect_served(&session);
                        }
                        let ender = {
                            let session = session.clone();
                            std::thread::spawn(move || session.bye())
                        };
                        let mine = if (thread + round) % 3 == 0 { session.bye() } else { session.terminate() };
                        let theirs = ender.join().unwrap();
                        assert_eq!([mine, theirs].iter().filter(|ending| **ending == Ending::Begun).count(), 1);
                        let report = session.wait(LONG).unwrap();
                        assert_eq!(report.counters.posted, report.counters.answered + report.counters.failed);
                        assert!(replies.iter_mut().all(|reply| reply.take().is_some()), "each is answered by the end");
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(table.is_empty());
        assert_eq!((table.counters().created, table.counters().ended), (400, 400));
    });
}

#[test]
fn no_timer_is_left_of_a_session_that_has_ended() {
    let timers = timers();
    let table = SessionTable::on_threads(TableConfig { session: patient(), ..TableConfig::default() }, timers.clone());
    for _ in 0..10 {
        let session = create(&table, vec![sound()]);
        expect_served(&session);
        assert!(timers.pending() <= 1, "a session has one timer");
        session.terminate();
        session.wait(LONG).unwrap();
    }
    wait_until(|| timers.pending() == 0);
    assert!(timers.counters().scheduled >= 10);
}

#[test]
fn a_driven_session_is_called_where_it_is_driven_and_its_deadlines_pass_there() {
    let table = SessionTable::driven(config(hasty()));
    assert!(matches!(table.create(pool(), vec![sound()]), Err(CreateError::Worker { .. })));
    assert!(table.is_empty());
    let log = Log::default();
    let (session, mut driver) = table.create_driven(pool(), vec![channel(&log, vec![(Called::CloseEngine, ignores())])]).unwrap();
    assert_eq!(driver.drive(), Driven::Waits(None));
    let mut reply = session.post(ChannelId(0), b"a").unwrap();
    assert!(reply.take().is_none() && log.calls().is_empty(), "nobody else calls");
    assert_eq!(driver.drive(), Driven::Waits(None));
    assert_eq!(reply.take().unwrap().unwrap().unwrap().bytes(), b"A");
    session.terminate();
    wait_until(|| driver.drive() == Driven::Ended);
    let report = session.report().unwrap();
    let end = ChannelEnd { media: Closed::Answered, engine: Closed::Expired };
    assert_eq!((report.reason, &report.channels[..]), (EndReason::Terminated, &[end][..]));
    assert_eq!(log.calls().len(), 5);
    assert_eq!(driver.drive(), Driven::Ended);
    let (session, driver) = table.create_driven(pool(), vec![sound()]).unwrap();
    drop(driver);
    assert_eq!(session.report().unwrap().reason, EndReason::WorkerLost);
    assert!(table.is_empty());
}

#[test]
fn the_time_may_be_said_from_elsewhere() {
    let table = SessionTable::driven(config(hasty()));
    let (session, _driver) = table.create_driven(pool(), vec![sound()]).unwrap();
    assert_eq!(session.on_time(), None);
    session.terminate();
    wait_until(|| session.on_time().is_none());
    assert_eq!(session.report().unwrap().channels, [ChannelEnd { media: Closed::NotAsked, engine: Closed::NotAsked }]);
}

#[test]
fn one_thread_has_sessions_that_are_always_called_and_others_too() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let table = SessionTable::on_tasks(config(patient()), timers());
        let again = {
            let table = table.clone();
            act(move |line, token, body| {
                right(line, token.unwrap(), body);
                let _ = table.post(line.of().0, ChannelId(0), b"again");
            })
        };
        let session = create(&table, vec![channel(&Log::default(), vec![(Called::Request, again)])]);
        session.post(ChannelId(0), b"first").unwrap();
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let within = Duration::from_millis(1);
        // Its calls are made on this thread, and this is from none of them.
        assert_eq!(session.wait(within), Err(WaitError::GoesOn { within }));
        assert!(session.counters().answered > 10);
        table.closed().await.unwrap();
    });
}

#[test]
fn what_panics_when_it_is_dropped_late_leaves_no_worker() {
    on_both(TableConfig { workers_max: 1, sessions_max: 1, session: hasty() }, |table| {
        let (blocks, mut door) = crate::plugins::blocks();
        let log = Log::default();
        let script = vec![(Called::CloseMedia, blocks), (Called::DropMedia, panics()), (Called::DropEngine, panics())];
        let session = create(table, vec![channel(&log, script)]);
        session.terminate();
        door.wait();
        session.wait(LONG).unwrap();
        assert!(table.create(pool(), vec![]).is_err());
        door.open();
        wait_until(|| table.create(pool(), vec![]).is_ok());
        assert!(log.calls().contains(&Called::DropEngine));
    });
}
