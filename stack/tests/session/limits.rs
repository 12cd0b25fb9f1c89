//! What happens at each limit.

use crate::plugins::{Log, blocks, channel, sound};
use crate::{LONG, SHORT, config, create, expect_served, hasty, on_both, patient, pool, wait_until};
use stack::buffer::pool::{Pool, PoolError};
use stack::session::{
    Called, ChannelId, ConfigError, CreateError, EndReason, Failure, NoSuchSession, PostError, SessionConfig, TableConfig,
};

#[test]
fn sessions_are_limited_and_an_end_makes_room() {
    let config = TableConfig { sessions_max: 3, ..config(patient()) };
    on_both(config, |table| {
        let sessions: Vec<_> = (0..3).map(|_| create(table, vec![sound()])).collect();
        let refused = pool();
        let error = table.create(refused.clone(), vec![sound()]).unwrap_err();
        assert_eq!(error, CreateError::TooManySessions { sessions_max: 3 });
        assert!(refused.used_bytes().is_err(), "what is refused is released");
        sessions[1].terminate();
        sessions[1].wait(LONG).unwrap();
        let next = create(table, vec![sound()]);
        assert_ne!(next.id(), sessions[1].id(), "a name is never another session's");
        assert_eq!(table.get(sessions[1].id()).unwrap_err(), NoSuchSession { session: sessions[1].id() });
        assert_eq!(table.get(next.id()).unwrap().id(), next.id());
        let counters = table.counters();
        assert_eq!((counters.created, counters.refused, counters.ended, counters.unknown), (4, 1, 1, 1));
        assert_eq!(table.len(), 3);
        expect_served(&next);
        table.close().unwrap();
        assert_eq!(table.create(pool(), vec![]).unwrap_err(), CreateError::Closed);
    });
}

/// Its worker has nothing to do from beginning to end, and sleeps when that comes.
#[test]
fn a_session_without_channels_gives_its_worker_back() {
    on_both(TableConfig { workers_max: 1, ..config(patient()) }, |table| {
        for _ in 0..3 {
            let mut made = None;
            wait_until(|| {
                made = match table.create(pool(), vec![]) {
                    Err(CreateError::TooManyWorkers { workers_max: 1, left: 0 }) => return false,
                    created => Some(created.unwrap()),
                };
                true
            });
            let session = made.expect("it was waited for");
            std::thread::sleep(SHORT);
            session.terminate();
            session.wait(LONG).unwrap();
        }
        table.close().unwrap();
    });
}

#[test]
fn channels_are_limited() {
    let config = config(SessionConfig { channels_max: 2, ..patient() });
    on_both(config, |table| {
        let refused = pool();
        let error = table.create(refused.clone(), vec![sound(), sound(), sound()]).unwrap_err();
        assert_eq!(error, CreateError::Config(ConfigError::Channels { channels_max: 2, got: 3 }));
        assert!(refused.used_bytes().is_err() && table.is_empty());
        create(table, vec![sound(), sound()]);
        table.close().unwrap();
    });
}

#[test]
fn a_full_inbox_refuses_at_once_and_counts() {
    let config = config(SessionConfig { inbox_max: 2, ..patient() });
    on_both(config, |table| {
        let (act, mut door) = blocks();
        let session = create(table, vec![channel(&Log::default(), vec![(Called::Request, act)])]);
        let mut replies = vec![table.post(session.id(), ChannelId(0), b"first").unwrap()];
        door.wait();
        for _ in 0..2 {
            replies.push(session.post(ChannelId(0), b"waits").unwrap());
        }
        for _ in 0..3 {
            assert_eq!(session.post(ChannelId(0), b"?").unwrap_err(), PostError::Full { inbox_max: 2 });
        }
        assert_eq!(session.counters().refused_full, 3);
        door.open();
        for reply in &mut replies {
            assert!(reply.wait(LONG).unwrap().is_ok());
        }
        session.terminate();
        let report = session.wait(LONG).unwrap();
        assert_eq!((report.counters.posted, report.counters.answered, report.counters.refused_full), (3, 3, 3));
        assert_eq!(session.post(ChannelId(0), b"?").unwrap_err(), PostError::Ends { reason: EndReason::Terminated });
        assert!(matches!(table.post(session.id(), ChannelId(0), b"?"), Err(PostError::NoSuchSession(_))));
    });
}

#[test]
fn a_channel_that_is_busy_or_is_not_there_says_so() {
    let config = config(SessionConfig { requests_max: 2, ..patient() });
    on_both(config, |table| {
        let busy = channel(&Log::default(), vec![(Called::Request, crate::plugins::ignores())]);
        let session = create(table, vec![sound(), busy]);
        let _in_progress: Vec<_> = (0..2).map(|_| session.post(ChannelId(1), b"?").unwrap()).collect();
        let mut one_too_many = session.post(ChannelId(1), b"?").unwrap();
        assert_eq!(one_too_many.wait(LONG).unwrap().unwrap_err(), Failure::Busy { requests_max: 2 });
        let mut nobody = session.post(ChannelId(7), b"?").unwrap();
        assert_eq!(nobody.wait(LONG).unwrap().unwrap_err(), Failure::NoSuchChannel { channels: 2, got: ChannelId(7) });
        expect_served(&session);
    });
}

#[test]
fn a_pool_without_room_refuses_and_has_room_again() {
    on_both(config(patient()), |table| {
        let (act, mut door) = blocks();
        let session = table.create(Pool::new("small", 10), vec![channel(&Log::default(), vec![(Called::Request, act)])]).unwrap();
        let mut first = session.post(ChannelId(0), &[b'a'; 8]).unwrap();
        door.wait();
        let exhausted = PoolError::Exhausted { name: "small", expected_bytes: 3, free_bytes: 2, capacity_bytes: 10 };
        assert_eq!(session.post(ChannelId(0), b"abc").unwrap_err(), PostError::Memory(exhausted));
        door.open();
        assert_eq!(first.wait(LONG).unwrap().unwrap().unwrap().bytes(), [b'A'; 8]);
        wait_until(|| session.post(ChannelId(0), b"abc").is_ok());
    });
}

#[test]
fn workers_that_are_stuck_are_limited() {
    let config = TableConfig { sessions_max: 2, workers_max: 3, ..config(hasty()) };
    on_both(config, |table| {
        let mut doors = Vec::new();
        for _ in 0..3 {
            let (act, door) = blocks();
            let session = create(table, vec![channel(&Log::default(), vec![(Called::CloseEngine, act)])]);
            session.terminate();
            door.wait();
            session.wait(LONG).unwrap();
            doors.push(door);
        }
        assert!(table.is_empty());
        assert_eq!(table.create(pool(), vec![]).unwrap_err(), CreateError::TooManyWorkers { workers_max: 3, left: 3 });
        doors[1].open();
        wait_until(|| table.create(pool(), vec![sound()]).is_ok());
        assert_eq!(table.counters().workers_left_now(), 2);
    });
}
