//! The sessions that there are.

use super::handle::{Session, WaitError};
use super::shared::{Due, Shared};
use super::worker::{Driver, Worker};
use super::{
    Channel, ChannelId, ConfigError, EndReason, EndReport, Ending, PostError, Reply, SessionConfig, SessionCore, SessionCounters,
    SessionId,
};
use crate::buffer::pool::Pool;
use crate::timer::Timers;
use sim::sync::asynchronous::Notify;
use sim::sync::{Arc, Condvar, Mutex};
use sim::time::Instant;
use std::fmt;
use std::future::Future;

/// What a table allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableConfig {
    /// How many sessions there are at the most.
    pub sessions_max: usize,
    /// How many workers there are at the most, those that were left behind in a call included. Fewer than sessions make no sense.
    pub workers_max: usize,
    /// What each session allows.
    pub session: SessionConfig,
}

impl Default for TableConfig {
    /// 1,024 sessions; 64 workers more, which may be stuck in plugins.
    fn default() -> Self {
        TableConfig { sessions_max: 1_024, workers_max: 1_088, session: SessionConfig::default() }
    }
}

/// Why there is no new session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// There are as many as may be.
    #[error("expected fewer than {sessions_max} sessions, got one more")]
    TooManySessions {
        /// The limit.
        sessions_max: usize,
    },
    /// There are as many workers as may be: some are left in calls that do not return.
    #[error("expected fewer than {workers_max} workers, got one more, with {left} left in calls")]
    TooManyWorkers {
        /// The limit.
        workers_max: usize,
        /// How many serve no session any more.
        left: u64,
    },
    /// The table was closed.
    #[error("expected an open table, got one that was closed")]
    Closed,
    /// No session can be so.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No thread or task could be made.
    #[error("a session's worker could not be made: {why}")]
    Worker {
        /// The system's reason, or the engine's.
        why: String,
    },
}

/// No session has this name: it has ended, or never was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a session, got {session}, which has ended or never was")]
pub struct NoSuchSession {
    /// The name.
    pub session: SessionId,
}

/// What a table has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableCounters {
    /// Sessions made.
    pub created: u64,
    /// Sessions refused, by a limit or after the end.
    pub refused: u64,
    /// Sessions ended.
    pub ended: u64,
    /// Names looked up that no session has.
    pub unknown: u64,
    /// Workers that were left behind in a call.
    pub workers_left: u64,
    /// What the sessions that have ended have counted, before and after.
    pub of_ended: SessionCounters,
}

impl TableCounters {
    /// How many workers that were left behind in a call are there still.
    pub fn workers_left_now(&self) -> u64 {
        // One may return before it is counted as left.
        self.workers_left.saturating_sub(self.of_ended.late_returns)
    }
}

/// Sessions by their names.
///
/// Clones are the same table. Everything may be called from any thread or task, plugins' calls included. The table's one lock is held
/// for moments, and never while a session is posted to, ended, released or waited for, or while anything of the application's runs.
///
/// A table whose last clone is dropped is closed, which waits for nothing.
#[derive(Clone)]
pub struct SessionTable {
    handle: Arc<Handle>,
}

/// The users' side: when it goes, the sessions end.
struct Handle {
    registry: Arc<Registry>,
    /// None if who drives the sessions says the time too.
    timers: Option<Timers>,
    works_on: WorksOn,
}

#[derive(Clone, Copy)]
enum WorksOn {
    Threads,
    Tasks,
    Callers,
}

/// What the sessions know of their table.
pub(super) struct Registry {
    config: TableConfig,
    state: Mutex<State>,
}

struct State {
    slots: Vec<Slot>,
    /// Those that have been released, until who waits for that has been told.
    leaving: Vec<Arc<Shared>>,
    /// Slots that are free and not used up.
    free: Vec<u32>,
    sessions: usize,
    workers: usize,
    is_closed: bool,
    counters: TableCounters,
}

struct Slot {
    generation: u32,
    /// Not there while it is being made.
    session: Option<Arc<Shared>>,
}

impl SessionTable {
    /// An empty table whose sessions have a thread each for their calls, and their deadlines from `timers`.
    pub fn on_threads(config: TableConfig, timers: Timers) -> Self {
        SessionTable::new(config, Some(timers), WorksOn::Threads)
    }

    /// An empty table whose sessions have a task each for their calls, and their deadlines from `timers`.
    ///
    /// A call into a plugin keeps one of the runtime's threads until it returns; on a runtime with several, another does what that one
    /// had to do besides. Where plugins may block, `timers` are to be a thread's, or another runtime's; the deadlines that are to end
    /// such a session may wait for that thread otherwise. A runtime that ends ends the sessions that it carries.
    pub fn on_tasks(config: TableConfig, timers: Timers) -> Self {
        SessionTable::new(config, Some(timers), WorksOn::Tasks)
    }

    /// An empty table whose sessions are driven by who creates them, with [`SessionTable::create_driven`]. Nobody else says the time: a
    /// plugin that never returns keeps who drives it, and [`Session::on_time`] from elsewhere still ends the session.
    pub fn driven(config: TableConfig) -> Self {
        SessionTable::new(config, None, WorksOn::Callers)
    }

    fn new(config: TableConfig, timers: Option<Timers>, works_on: WorksOn) -> Self {
        let state = State {
            slots: Vec::new(),
            leaving: Vec::new(),
            free: Vec::new(),
            sessions: 0,
            workers: 0,
            is_closed: false,
            counters: TableCounters::default(),
        };
        let registry = Arc::new(Registry { config, state: Mutex::new(state) });
        SessionTable { handle: Arc::new(Handle { registry, timers, works_on }) }
    }

    /// A new session that owns `pool` and `channels` from here on: the pool is released by the session's end, the channels' plugins
    /// are dropped by its worker.
    ///
    /// # Errors
    /// [`CreateError`]. The pool is released, and the channels are dropped.
    ///
    /// # Panics
    /// In production, where a task is to be made outside of a runtime.
    pub fn create(&self, pool: Pool, channels: Vec<Channel>) -> Result<Session, CreateError> {
        let due = match self.handle.works_on {
            WorksOn::Threads => Due::Thread(Condvar::new()),
            WorksOn::Tasks => Due::Task(Notify::new()),
            WorksOn::Callers => {
                pool.release();
                return Err(CreateError::Worker { why: "the sessions of this table are driven by who creates them".to_owned() });
            }
        };
        let (session, worker) = self.make(pool, channels, due)?;
        worker.start()?;
        Ok(session)
    }

    /// As [`SessionTable::create`]; the calls are made where the caller drives the session. Its deadlines come from the table's timers,
    /// if it has any, and whenever it is driven.
    ///
    /// # Errors
    /// As [`SessionTable::create`].
    pub fn create_driven(&self, pool: Pool, channels: Vec<Channel>) -> Result<(Session, Driver), CreateError> {
        let (session, worker) = self.make(pool, channels, Due::Caller)?;
        Ok((session, Driver::new(worker)))
    }

    fn make(&self, pool: Pool, channels: Vec<Channel>, due: Due) -> Result<(Session, Worker), CreateError> {
        let _operation = sim::operation("session.create", None);
        let registry = &self.handle.registry;
        let id = match registry.reserve() {
            Ok(id) => id,
            Err(error) => {
                pool.release();
                return Err(error);
            }
        };
        let has_media: Vec<bool> = channels.iter().map(|channel| channel.media.is_some()).collect();
        let core = match SessionCore::new(id, registry.config.session, &has_media) {
            Ok(core) => core,
            Err(error) => {
                registry.unreserve(id);
                pool.release();
                return Err(CreateError::Config(error));
            }
        };
        let shared = Arc::new(Shared::new(core, pool, Arc::clone(registry), self.handle.timers.clone(), due));
        let worker = Worker::new(Arc::clone(&shared), channels);
        let session = Session { shared };
        if !registry.publish(&session) {
            session.shared.event(|core, _| core.abandon(EndReason::TableClosed));
            return Err(CreateError::Closed);
        }
        Ok((session, worker))
    }

    /// The session of this name.
    ///
    /// # Errors
    /// [`NoSuchSession`], which is counted.
    pub fn get(&self, session: SessionId) -> Result<Session, NoSuchSession> {
        let _operation = sim::operation("session.lookup", None);
        self.handle.registry.get(session)
    }

    /// Posts a request to a session, as [`Session::post`]. The table's lock is not held meanwhile.
    ///
    /// # Errors
    /// [`PostError`].
    pub fn post(&self, session: SessionId, channel: ChannelId, body: &[u8]) -> Result<Reply, PostError> {
        self.get(session)?.post(channel, body)
    }

    /// Ends a session, as [`Session::terminate`].
    ///
    /// # Errors
    /// [`NoSuchSession`].
    pub fn terminate(&self, session: SessionId) -> Result<Ending, NoSuchSession> {
        Ok(self.get(session)?.terminate())
    }

    /// Ends a session, as [`Session::bye`].
    ///
    /// # Errors
    /// [`NoSuchSession`].
    pub fn bye(&self, session: SessionId) -> Result<Ending, NoSuchSession> {
        Ok(self.get(session)?.bye())
    }

    /// How many sessions there are, those that are being made included.
    pub fn len(&self) -> usize {
        self.handle.registry.state.lock().sessions
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What has been counted.
    pub fn counters(&self) -> TableCounters {
        self.handle.registry.state.lock().counters
    }

    /// Closes the table and waits for nothing: there are no new sessions, and those that there are end. Returns how many those are, with
    /// those that are on their way out.
    pub fn request_close(&self) -> usize {
        self.handle.registry.close().len()
    }

    /// Closes the table and blocks until its sessions have ended: all of them, unless it is called from a call of one of them.
    ///
    /// # Errors
    /// [`WaitError::FromCall`]: that one goes on until its call has returned, and the others have ended. [`WaitError::GoesOn`] after
    /// [`SessionConfig::end_max`], and as much again: nothing says the time any more.
    pub fn close(&self) -> Result<(), WaitError> {
        let within = self.close_max();
        let _operation = sim::operation("session.close_table", within);
        let until = Instant::now() + within;
        let mut is_in_call = false;
        for session in self.handle.registry.close() {
            if session.shared.is_in_call() {
                is_in_call = true;
            } else if session.shared.ended.wait(until, |ended| ended.clone()).is_none() {
                return Err(WaitError::GoesOn { within });
            }
        }
        if is_in_call { Err(WaitError::FromCall) } else { Ok(()) }
    }

    /// As [`SessionTable::close`], for tasks: the table is closed by the call, and what is returned waits. The future is no user of the
    /// table.
    ///
    /// # Errors
    /// [`WaitError::GoesOn`], as [`SessionTable::close`].
    ///
    /// # Panics
    /// In production, where it is to wait outside of a runtime with timers.
    pub fn closed(&self) -> impl Future<Output = Result<(), WaitError>> + Send + use<> {
        let within = self.close_max();
        let until = Instant::now() + within;
        let sessions = self.handle.registry.close();
        async move {
            let _operation = sim::operation("session.close_table", within);
            for session in sessions {
                let ended = session.shared.ended.waited(until, |ended| ended.clone()).await;
                ended.ok_or(WaitError::GoesOn { within })?;
            }
            Ok(())
        }
    }

    fn close_max(&self) -> std::time::Duration {
        self.handle.registry.config.session.end_max().saturating_mul(2)
    }
}

impl Registry {
    /// A name for a session to be, and a worker for it.
    fn reserve(&self) -> Result<SessionId, CreateError> {
        let mut state = self.state.lock();
        let TableConfig { sessions_max, workers_max, .. } = self.config;
        let refused = if state.is_closed {
            Some(CreateError::Closed)
        } else if state.sessions >= sessions_max {
            Some(CreateError::TooManySessions { sessions_max })
        } else if state.workers >= workers_max {
            Some(CreateError::TooManyWorkers { workers_max, left: state.counters.workers_left_now() })
        } else {
            None
        };
        if let Some(error) = refused {
            state.counters.refused += 1;
            return Err(error);
        }
        state.sessions += 1;
        state.workers += 1;
        let slot = state.free.pop().unwrap_or_else(|| {
            state.slots.push(Slot { generation: 0, session: None });
            (state.slots.len() - 1) as u32
        });
        let place = &mut state.slots[slot as usize];
        place.generation += 1;
        Ok(SessionId { slot, generation: place.generation })
    }

    /// It was not made.
    fn unreserve(&self, id: SessionId) {
        let mut state = self.state.lock();
        state.counters.refused += 1;
        state.workers -= 1;
        state.free_slot(id);
    }

    /// From here on it can be found. False if the table was closed meanwhile.
    fn publish(&self, session: &Session) -> bool {
        let mut state = self.state.lock();
        if state.is_closed {
            state.counters.refused += 1;
            return false;
        }
        state.counters.created += 1;
        state.slots[session.id().slot as usize].session = Some(Arc::clone(&session.shared));
        true
    }

    fn get(&self, id: SessionId) -> Result<Session, NoSuchSession> {
        let mut state = self.state.lock();
        let slot = state.slots.get(id.slot as usize).filter(|slot| slot.generation == id.generation);
        match slot.and_then(|slot| slot.session.clone()) {
            Some(shared) => Ok(Session { shared }),
            None => {
                state.counters.unknown += 1;
                Err(NoSuchSession { session: id })
            }
        }
    }

    /// The session has been released, and its name is nobody's.
    pub(super) fn remove(&self, report: &EndReport) {
        let mut state = self.state.lock();
        state.counters.workers_left += u64::from(report.left_in.is_some());
        state.counters.of_ended += report.counters;
        if let Some(session) = state.free_slot(report.session) {
            state.counters.ended += 1;
            state.leaving.push(session);
        }
    }

    /// Who has waited for its end has been told.
    pub(super) fn forget(&self, id: SessionId) {
        let forgotten = {
            let mut state = self.state.lock();
            let position = state.leaving.iter().position(|session| session.id() == id);
            position.map(|position| state.leaving.swap_remove(position))
        };
        drop(forgotten);
    }

    /// Something was counted by a session that has been released.
    pub(super) fn count_late(&self, late: &SessionCounters) {
        self.state.lock().counters.of_ended += *late;
    }

    pub(super) fn worker_ended(&self) {
        self.state.lock().workers -= 1;
    }

    /// There are no new sessions, and those that there are end.
    fn close(&self) -> Vec<Session> {
        let sessions: Vec<Session> = {
            let mut state = self.state.lock();
            state.is_closed = true;
            let live = state.slots.iter().filter_map(|slot| slot.session.clone());
            live.chain(state.leaving.iter().cloned()).map(|shared| Session { shared }).collect()
        };
        for session in &sessions {
            session.end(EndReason::TableClosed);
        }
        sessions
    }
}

impl State {
    fn free_slot(&mut self, id: SessionId) -> Option<Arc<Shared>> {
        self.sessions -= 1;
        let slot = &mut self.slots[id.slot as usize];
        // One whose generations are used up is left: a name never comes to mean another session.
        if slot.generation < u32::MAX {
            self.free.push(id.slot);
        }
        slot.session.take()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.registry.close();
    }
}

impl fmt::Debug for SessionTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionTable")
            .field("config", &self.handle.registry.config)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{AnswerToken, Driven, Engine, Failure, Line, Media, Phase};
    use super::*;
    use crate::buffer::pool::Block;
    use crate::timer::TimerConfig;

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
            let plugins = channels.iter().map(|has_media| Channel {
                media: has_media.then(|| Box::new(Prompt) as Box<dyn Media>),
                engine: Box::new(Prompt),
            });
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
                    let (id, reason) =
                        (model.known[at].session.id(), [EndReason::Bye, EndReason::Terminated][usize::from(how % 2)]);
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
    struct Left(SessionTable);

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
        let table = SessionTable::driven(TableConfig::default());
        for (round, body) in [&b"go"[..], b"go", b"go", b"close"].into_iter().enumerate() {
            let left = Channel { media: None, engine: Box::new(Left(table.clone())) };
            let (session, mut driver) = table.create_driven(Pool::new("session", 100), vec![left]).unwrap();
            let mut reply = session.post(ChannelId(0), body).unwrap();
            assert_eq!(driver.drive(), Driven::Ended);
            assert!(matches!(reply.take(), Some(Err(Failure::Ended { .. }))));
            let counters = table.counters();
            assert_eq!((counters.workers_left, counters.of_ended.late_returns), (round as u64 + 1, round as u64 + 1));
            assert_eq!(counters.workers_left_now(), 0);
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
}
