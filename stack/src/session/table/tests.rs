//! A table of sessions beside a list of them.

use super::super::{AnswerToken, Driven, Engine, Failure, Line, Media, Phase};
use super::*;
use crate::buffer::pool::Block;
use crate::timer::TimerConfig;
use sim::sync::atomic::{AtomicUsize, Ordering};

const CONFIG: TableConfig = TableConfig {
    sessions_max: 3,
    workers_max: 4,
    session: SessionConfig {
        channels_max: 2,
        inbox_max: 2,
        requests_max: 1,
        request_deadline: LONG,
        call_deadline: LONG,
        media_deadline: LONG,
        engine_deadline: LONG,
        drop_deadline: LONG,
    },
};
const LONG: std::time::Duration = std::time::Duration::from_secs(3600);
const SHORT: std::time::Duration = std::time::Duration::from_micros(1);

/// Answers at once.
struct Prompt;

impl Engine for Prompt {
    fn request(&mut self, line: &Line, token: AnswerToken, body: Block) {
        line.answer(token, Some(body));
    }

    fn close(&mut self, line: &Line, token: AnswerToken) {
        line.answer(token, None);
    }
}

impl Media for Prompt {
    fn close(&mut self, line: &Line, token: AnswerToken) {
        line.answer(token, None);
    }
}

/// A session that there was once, and what is known of it.
struct Known {
    session: Session,
    driver: Option<Driver>,
    pool: Pool,
    /// For each channel, whether it has media.
    channels: Vec<bool>,
    /// Requests that wait, and for which channel.
    waiting: Vec<(Reply, usize)>,
    reason: Option<EndReason>,
    is_gone: bool,
    counters: SessionCounters,
}

impl Known {
    /// Media and engines.
    fn parts(&self) -> u64 {
        self.channels.iter().map(|has_media| 1 + u64::from(*has_media)).sum()
    }

    fn fail_waiting(&mut self, reason: EndReason) {
        for (mut reply, _) in self.waiting.drain(..) {
            assert!(matches!(reply.take(), Some(Err(Failure::Ended { reason: told })) if told == reason));
            self.counters.failed += 1;
        }
    }

    /// It has been ended for this reason. What that comes to.
    fn end(&mut self, reason: EndReason) -> Ending {
        if let Some(first) = self.reason {
            self.counters.ends_again += 1;
            return if self.is_gone { Ending::Ended(first) } else { Ending::AlreadyEnding(first) };
        }
        self.reason = Some(reason);
        self.fail_waiting(reason);
        self.is_gone = self.channels.is_empty();
        Ending::Begun
    }

    fn refused(&mut self) -> Option<PostError> {
        if let Some(reason) = self.reason {
            self.counters.refused_ended += 1;
            return Some(PostError::Ends { reason });
        }
        if self.waiting.len() == 2 {
            self.counters.refused_full += 1;
            return Some(PostError::Full { inbox_max: 2 });
        }
        None
    }

    fn drive(&mut self) {
        let Some(driver) = &mut self.driver else { return };
        let driven = driver.drive();
        if self.reason.is_some() {
            assert_eq!(driven, Driven::Ended);
            self.driver = None;
            if !self.is_gone {
                self.counters.accepted += self.parts();
                self.is_gone = true;
            }
            return;
        }
        assert_eq!(driven, Driven::Waits(None), "it has nothing to wait for");
        for (mut reply, channel) in self.waiting.drain(..) {
            match reply.take() {
                Some(Ok(Some(block))) if channel < self.channels.len() => {
                    assert_eq!(block.bytes(), [channel as u8; 3]);
                    self.counters.accepted += 1;
                    self.counters.answered += 1;
                }
                Some(Err(Failure::NoSuchChannel { .. })) if channel >= self.channels.len() => self.counters.failed += 1,
                other => panic!("{other:?}"),
            }
            assert!(reply.take().is_none(), "an outcome is had once");
        }
    }

    fn lose_driver(&mut self) {
        if self.driver.take().is_none() || self.is_gone {
            return;
        }
        self.counters.expired += self.parts();
        let reason = *self.reason.get_or_insert(EndReason::WorkerLost);
        self.fail_waiting(reason);
        self.is_gone = true;
    }
}

#[derive(Default)]
struct Model {
    known: Vec<Known>,
    generations: Vec<u32>,
    free: Vec<u32>,
    counters: TableCounters,
    is_closed: bool,
}

impl Model {
    fn live(&mut self, id: SessionId) -> Result<&mut Known, NoSuchSession> {
        let found = self.known.iter_mut().find(|known| !known.is_gone && known.session.id() == id);
        self.counters.unknown += u64::from(found.is_none());
        found.ok_or(NoSuchSession { session: id })
    }

    fn create(&mut self, table: &SessionTable, channels: &[bool]) {
        let pool = Pool::new("session", 100);
        let plugins = channels
            .iter()
            .map(|has_media| Channel { media: has_media.then(|| Box::new(Prompt) as Box<dyn Media>), engine: Box::new(Prompt) });
        let made = table.create_driven(pool.clone(), plugins.collect());
        let sessions = self.known.iter().filter(|known| !known.is_gone).count();
        let refused = if self.is_closed {
            CreateError::Closed
        } else if sessions == 3 {
            CreateError::TooManySessions { sessions_max: 3 }
        } else if self.known.iter().filter(|known| known.driver.is_some()).count() == 4 {
            CreateError::TooManyWorkers { workers_max: 4, left: 0 }
        } else {
            let slot = self.free.pop().unwrap_or(self.generations.len() as u32);
            self.generations.resize(self.generations.len().max(slot as usize + 1), 0);
            self.generations[slot as usize] += 1;
            if channels.len() <= 2 {
                self.counters.created += 1;
                let (session, driver) = made.expect("there is room");
                assert_eq!(session.id(), SessionId::new(slot, self.generations[slot as usize]));
                let (driver, channels, counters) = (Some(driver), channels.to_vec(), SessionCounters::default());
                let (waiting, reason, is_gone) = (Vec::new(), None, false);
                self.known.push(Known { session, driver, pool, channels, waiting, reason, is_gone, counters });
                return;
            }
            self.free.push(slot);
            CreateError::Config(ConfigError::Channels { channels_max: 2, got: channels.len() })
        };
        self.counters.refused += 1;
        assert_eq!(made.err(), Some(refused));
        assert!(pool.used_bytes().is_err(), "what is refused is released");
    }

    /// Does something to a session, and its slot is free if that was its end.
    fn to(&mut self, at: usize, does: impl FnOnce(&mut Known)) {
        let was_gone = self.known[at].is_gone;
        does(&mut self.known[at]);
        if self.known[at].is_gone && !was_gone {
            self.free.push(self.known[at].session.id().slot);
            self.counters.ended += 1;
        }
    }
}

/// Each two bytes are what somebody does, and to which session.
fn any_uses(bytes: &[u8]) {
    let table = SessionTable::driven(CONFIG);
    let mut model = Model::default();
    for operation in bytes.chunks_exact(2) {
        let [what, how] = [operation[0] % 16, operation[1]];
        let at = model.known.len().checked_sub(1).map(|last| last - usize::from(how / 32) % (last + 1));
        match (what, at) {
            (0..=3, _) => {
                let channels = usize::from(how % 4);
                model.create(&table, &[how & 4 > 0, how & 8 > 0, false][..channels]);
            }
            (4..=6, Some(at)) => {
                let (id, channel) = (model.known[at].session.id(), usize::from(how % 3));
                let body = [channel as u8; 3];
                let post = |session: &Session| session.post(ChannelId(channel as u16), &body);
                let (posted, expected) = if what == 4 {
                    let posted = table.post(id, ChannelId(channel as u16), &body);
                    (posted, model.live(id).map_or_else(|none| Some(none.into()), Known::refused))
                } else {
                    let known = &mut model.known[at];
                    let posted = post(&known.session);
                    // Its pool is released, which is no reason of its own.
                    (posted, known.refused())
                };
                match expected {
                    Some(error) => assert_eq!(posted.err(), Some(error)),
                    None => {
                        let known = &mut model.known[at];
                        known.waiting.push((posted.expect("there is room"), channel));
                        known.counters.posted += 1;
                    }
                }
            }
            (7..=9, Some(at)) => {
                let (id, reason) = (model.known[at].session.id(), [EndReason::Bye, EndReason::Terminated][usize::from(how % 2)]);
                if what == 7 {
                    let ended = if reason == EndReason::Bye { table.bye(id) } else { table.terminate(id) };
                    match model.live(id).map(|_| ()) {
                        Ok(()) => model.to(at, |known| assert_eq!(ended, Ok(known.end(reason)))),
                        Err(none) => assert_eq!(ended, Err(none)),
                    }
                } else {
                    let session = model.known[at].session.clone();
                    let ended = if reason == EndReason::Bye { session.bye() } else { session.terminate() };
                    model.to(at, |known| assert_eq!(ended, known.end(reason)));
                }
            }
            (10..=12, Some(at)) => model.to(at, Known::drive),
            (13, Some(at)) => model.to(at, Known::lose_driver),
            (14, Some(at)) => {
                let id = model.known[at].session.id();
                let other = SessionId::new(id.slot, id.generation + u32::from(how % 4 == 0));
                let found = table.get(other).map(|session| session.id());
                assert_eq!(found, model.live(other).map(|known| known.session.id()));
            }
            (15, _) if how < 8 => {
                let live: Vec<usize> = (0..model.known.len()).filter(|at| !model.known[*at].is_gone).collect();
                assert_eq!(table.request_close(), live.len());
                model.is_closed = true;
                for at in live {
                    model.to(at, |known| _ = known.end(EndReason::TableClosed));
                }
            }
            _ => {}
        }
        let live = model.known.iter().filter(|known| !known.is_gone).count();
        assert_eq!((table.len(), table.is_empty()), (live, live == 0));
        let mut counters = model.counters;
        for known in &model.known {
            let Known { session, pool, reason, is_gone, .. } = known;
            assert_eq!(session.counters(), known.counters);
            assert_eq!(session.report().map(|report| report.reason), reason.filter(|_| *is_gone));
            assert!(pool.used_bytes().is_err() == *is_gone, "what it owns goes with it");
            let expected = session.report().ok_or(WaitError::GoesOn { within: SHORT });
            assert_eq!(session.wait(SHORT), expected);
            match (reason, is_gone) {
                (_, true) => {
                    counters.of_ended += known.counters;
                    assert_eq!(session.phase(), Phase::Released);
                }
                (Some(_), false) => assert!(Phase::Active < session.phase() && session.phase() < Phase::Released),
                (None, false) => assert_eq!(session.phase(), Phase::Active),
            }
        }
        assert_eq!((table.counters(), table.counters().workers_left_now()), (counters, 0));
    }
    // Who says the time is who drives, and nobody does here.
    drop(table);
    for known in &mut model.known {
        known.end(EndReason::TableClosed);
        known.drive();
        assert!(known.is_gone || known.driver.is_some());
        assert!(!known.is_gone || known.session.report().is_some());
    }
}

proptest::proptest! {
    #[test]
    fn any_uses_of_a_table_are_as_its_list_has_them(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
        any_uses(&bytes);
    }
}

/// Is left behind: its session ends while it is called.
struct Left(SessionTable, Arc<AtomicUsize>);

impl Drop for Left {
    fn drop(&mut self) {
        self.1.fetch_add(1, Ordering::SeqCst);
        panic!("it is told of nothing, and does harm to nobody");
    }
}

impl Engine for Left {
    fn request(&mut self, line: &Line, _: AnswerToken, body: Block) {
        let (session, before) = (Session { shared: Arc::clone(&line.shared) }, self.0.counters());
        assert_eq!(session.wait(SHORT), Err(WaitError::FromCall));
        if body.bytes() == b"close" {
            assert_eq!(self.0.close(), Err(WaitError::FromCall));
        }
        line.shared.event(|core, _| core.abandon(EndReason::WorkerLost));
        let counters = self.0.counters();
        assert_eq!((counters.workers_left, counters.ended), (before.workers_left + 1, before.ended + 1));
        assert_eq!(counters.workers_left_now(), 1);
    }

    fn close(&mut self, _: &Line, _: AnswerToken) {
        panic!("nothing is asked of it any more");
    }
}

#[test]
fn a_worker_that_is_left_in_a_call_is_counted_until_it_returns() {
    let table = SessionTable::driven(TableConfig { workers_max: 1, ..TableConfig::default() });
    let (dropped, mut drivers) = (Arc::new(AtomicUsize::new(0)), Vec::new());
    for (round, body) in [&b"go"[..], b"go", b"go", b"close"].into_iter().enumerate() {
        let left = Channel { media: None, engine: Box::new(Left(table.clone(), Arc::clone(&dropped))) };
        let (session, mut driver) = table.create_driven(Pool::new("session", 100), vec![left]).unwrap();
        let mut reply = session.post(ChannelId(0), body).unwrap();
        assert_eq!(driver.drive(), Driven::Ended);
        assert!(matches!(reply.take(), Some(Err(Failure::Ended { .. }))));
        let counters = table.counters();
        assert_eq!((counters.workers_left, counters.of_ended.late_returns), (round as u64 + 1, round as u64 + 1));
        assert_eq!((counters.workers_left_now(), dropped.load(Ordering::SeqCst)), (0, round + 1));
        // Who has driven it to its end may keep the driver: the plugins are gone, and the worker is free for the next.
        drivers.push(driver);
    }
}

#[test]
fn a_session_of_a_table_that_was_closed_meanwhile_is_refused() {
    let table = SessionTable::driven(CONFIG);
    let (session, _driver) = table.create_driven(Pool::new("session", 100), vec![]).unwrap();
    let registry = &table.handle.registry;
    assert!(registry.publish(&session));
    registry.close();
    for refused in 1..3 {
        assert!(!registry.publish(&session));
        assert_eq!((table.counters().created, table.counters().refused), (2, refused));
    }
}

#[test]
fn who_closes_a_table_waits_as_long_as_two_ends_may_take() {
    for millis in 0..5 {
        let deadline = std::time::Duration::from_millis(millis);
        let session = SessionConfig {
            media_deadline: deadline,
            engine_deadline: deadline,
            drop_deadline: deadline,
            ..SessionConfig::default()
        };
        let table = SessionTable::driven(TableConfig { session, ..TableConfig::default() });
        let prompt = Channel { media: None, engine: Box::new(Prompt) };
        let (_, mut driver) = table.create_driven(Pool::new("session", 100), vec![prompt]).unwrap();
        let began = Instant::now();
        let within = 6 * deadline;
        assert_eq!(table.close(), Err(WaitError::GoesOn { within }), "nobody drives it");
        assert_eq!(sim::task::block_on(table.closed()), Err(WaitError::GoesOn { within }));
        assert!(Instant::now().saturating_duration_since(began) >= 2 * within);
        assert_eq!(driver.drive(), Driven::Ended);
        assert_eq!((table.close(), sim::task::block_on(table.closed())), (Ok(()), Ok(())));
    }
}

/// Never answers a request.
struct Ignores;

impl Engine for Ignores {
    fn request(&mut self, _: &Line, _: AnswerToken, _: Block) {}

    fn close(&mut self, line: &Line, token: AnswerToken) {
        line.answer(token, None);
    }
}

#[test]
fn a_deadline_has_one_timer_however_often_its_session_is_looked_at() {
    let timers = Timers::on_thread(TimerConfig::default()).unwrap();
    let table = SessionTable::new(CONFIG, Some(timers.clone()), WorksOn::Callers);
    for sessions in 1..20 {
        let ignores = Channel { media: None, engine: Box::new(Ignores) };
        let (session, mut driver) = table.create_driven(Pool::new("session", 100), vec![ignores]).unwrap();
        let mut reply = session.post(ChannelId(0), b"?").unwrap();
        for _ in 0..10 {
            let Driven::Waits(Some(until)) = driver.drive() else { panic!("the request is in progress") };
            assert_eq!(session.on_time(), Some(until));
            assert!(reply.take().is_none());
            assert_eq!((timers.counters().scheduled, timers.pending()), (sessions, 1));
        }
        drop(driver);
        assert_eq!((timers.pending(), timers.counters().prevented), (0, sessions), "it has no deadline any more");
    }
}

/// Answers nothing.
struct Silent;

impl Engine for Silent {
    fn request(&mut self, _: &Line, _: AnswerToken, _: Block) {}

    fn close(&mut self, _: &Line, _: AnswerToken) {}
}

#[test]
fn a_deadline_that_comes_sooner_than_the_one_before_has_its_timer() {
    let timers = Timers::on_thread(TimerConfig::default()).unwrap();
    let session = SessionConfig { engine_deadline: LONG / 2, ..CONFIG.session };
    let table = SessionTable::new(TableConfig { session, ..CONFIG }, Some(timers.clone()), WorksOn::Callers);
    let silent = Channel { media: None, engine: Box::new(Silent) };
    let (session, mut driver) = table.create_driven(Pool::new("session", 100), vec![silent]).unwrap();
    let _reply = session.post(ChannelId(0), b"?").unwrap();
    let Driven::Waits(Some(late)) = driver.drive() else { panic!("the request is in progress") };
    assert_eq!((timers.counters().scheduled, timers.pending()), (1, 1));
    session.terminate();
    let Driven::Waits(Some(soon)) = driver.drive() else { panic!("the engine is asked to close") };
    assert!(soon < late);
    assert_eq!((timers.counters().scheduled, timers.pending()), (2, 1), "the timer of the request has no use any more");
}

/// A name never comes to mean another session, so a slot whose names are used up is left.
#[test]
fn the_last_generation_retires_its_slot() {
    let table = SessionTable::new(CONFIG, None, WorksOn::Callers);
    let registry = &table.handle.registry;
    let first = registry.reserve().unwrap();
    registry.state.lock().slots[0].generation = u32::MAX - 1;
    registry.unreserve(first);
    let last = registry.reserve().unwrap();
    assert_eq!(last, SessionId::new(0, u32::MAX));
    registry.unreserve(last);
    for slot in 1..=3 {
        assert_eq!(registry.reserve(), Ok(SessionId::new(slot, 1)), "there is room for as many as before");
    }
}
