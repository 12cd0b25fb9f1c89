//! A session as its users see it, and what they wait for.

use super::shared::{Outcome, Request, Shared};
use super::told::Told;
use super::{ChannelId, EndReason, EndReport, Ending, Phase, PostError, SessionCounters, SessionId};
use sim::sync::Arc;
use sim::time::Instant;
use std::fmt;
use std::future::Future;
use std::time::Duration;

/// A session, from any thread or task, its plugins' calls included. Clones are the same session. It belongs to its table: it ends when
/// it is ended, and not when the last of these is dropped.
///
/// Calls take the session's lock for moments, and never while a plugin is called, so the caller may hold any lock of its own. What
/// waits says so.
#[derive(Clone)]
pub struct Session {
    pub(super) shared: Arc<Shared>,
}

/// Why a wait had no end to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WaitError {
    /// It has not come in time.
    #[error("expected an end within {within:?}, and it goes on")]
    GoesOn {
        /// How long was waited.
        within: Duration,
    },
    /// It was waited for from one of the session's own calls, which must return first.
    #[error("expected a wait from outside of the session's calls, got one from inside")]
    FromCall,
}

impl Session {
    /// Its name, by which its table knows it until it has ended.
    pub fn id(&self) -> SessionId {
        self.shared.id()
    }

    /// How far it is.
    pub fn phase(&self) -> Phase {
        self.shared.phase()
    }

    /// What it has counted.
    pub fn counters(&self) -> SessionCounters {
        self.shared.counters()
    }

    /// Posts a request for a channel, and waits for nothing. The body is copied into the session's pool. The worker dispatches the
    /// request, and whatever happens to it, the reply says so.
    ///
    /// # Errors
    /// [`PostError`]: the request was not taken.
    pub fn post(&self, channel: ChannelId, body: &[u8]) -> Result<Reply, PostError> {
        let _operation = sim::operation("session.post", None);
        let mut block = match self.shared.pool().allocate(body.len()) {
            Ok(block) => block,
            Err(error) => return Err(self.shared.event(|core, _| core.refuse().unwrap_or(PostError::Memory(error)))),
        };
        block.bytes_mut().copy_from_slice(body);
        let reply = Arc::new(Told::new());
        let request = Request { body: Some(block), reply: Arc::clone(&reply) };
        let posted = self.shared.event(|core, _| core.post(channel, request));
        // What was not taken is dropped here, without the lock.
        posted.map(|()| Reply { reply }).map_err(|(error, _)| error)
    }

    /// Ends the session, and waits for nothing. May be called twice, crossed, late, or from a plugin's call.
    pub fn terminate(&self) -> Ending {
        let _operation = sim::operation("session.terminate", None);
        self.end(EndReason::Terminated)
    }

    /// The peer has hung up: ends the session as [`Session::terminate`] does.
    pub fn bye(&self) -> Ending {
        let _operation = sim::operation("session.bye", None);
        self.end(EndReason::Bye)
    }

    pub(super) fn end(&self, reason: EndReason) -> Ending {
        self.shared.event(|core, now| core.end(reason, now))
    }

    /// Has the session look at the time, and says when to do so next, if its deadlines do not come from timers. Harmless at any time.
    pub fn on_time(&self) -> Option<Instant> {
        let _operation = sim::operation("session.deadline", None);
        self.shared.on_time()
    }

    /// How it ended, if it has. By then all that it owned is released and its table does not know it.
    pub fn report(&self) -> Option<Arc<EndReport>> {
        self.shared.ended.look().clone()
    }

    /// Blocks until the session has ended. It does so within [`SessionConfig::end_max`](super::SessionConfig::end_max) of being ended.
    ///
    /// # Errors
    /// [`WaitError`].
    pub fn wait(&self, within: Duration) -> Result<Arc<EndReport>, WaitError> {
        let _operation = sim::operation("session.wait", within);
        if self.shared.is_in_call() {
            return Err(WaitError::FromCall);
        }
        self.shared.ended.wait(Instant::now() + within, |ended| ended.clone()).ok_or(WaitError::GoesOn { within })
    }

    /// As [`Session::wait`], for tasks. Dropped before it is ready, only the wait is lost.
    ///
    /// # Errors
    /// [`WaitError::GoesOn`].
    ///
    /// # Panics
    /// In production, where it is to wait outside of a runtime with timers.
    pub fn ended(&self, within: Duration) -> impl Future<Output = Result<Arc<EndReport>, WaitError>> + Send + use<> {
        let shared = Arc::clone(&self.shared);
        let until = Instant::now() + within;
        async move {
            let _operation = sim::operation("session.wait", within);
            shared.ended.waited(until, |ended| ended.clone()).await.ok_or(WaitError::GoesOn { within })
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("id", &self.id()).field("phase", &self.phase()).finish_non_exhaustive()
    }
}

/// What will have been the answer to a request. There is always one, by the request's deadline or the session's end.
#[derive(Debug)]
pub struct Reply {
    reply: Arc<Told<Outcome>>,
}

impl Reply {
    /// The outcome, if it is there: a response, which may be of nothing, or why there is none. It is had once.
    pub fn take(&mut self) -> Option<Outcome> {
        self.reply.look().take()
    }

    /// Blocks until the outcome is there, for `within` at most. It is had once.
    pub fn wait(&mut self, within: Duration) -> Option<Outcome> {
        let _operation = sim::operation("session.reply", within);
        self.reply.wait(Instant::now() + within, Option::take)
    }

    /// As [`Reply::wait`], for tasks.
    ///
    /// # Panics
    /// In production, where it is to wait outside of a runtime with timers.
    pub async fn recv(&mut self, within: Duration) -> Option<Outcome> {
        let _operation = sim::operation("session.reply", within);
        self.reply.waited(Instant::now() + within, Option::take).await
    }
}
