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
mod tests;
