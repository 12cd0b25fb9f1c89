//! A session: channels that belong together, the plugins that serve them, and one end for all of it.
//!
//! [`SessionCore`] knows what is asked of which channel, what counts as its answer, and what comes next. It is sans-IO: it is given
//! events and the time, and is asked for calls to make, notices to deliver and the next deadline.
//!
//! A session ends in phases: every channel's media is closed, then every channel's engine, then both are dropped, then the session is
//! released. Each phase ends when each channel has given its *own* answer, or at its deadline. An answer names what it answers (an
//! [`AnswerToken`]), so one that comes twice, late, early, after the end, or for another's channel is told apart from the one that
//! counts; it is counted as what it is, and changes nothing. The shapes that these answers can take are those that ended UniMRCP's
//! sessions under their users (`mrcp_server_session.c`: one count of subrequests for all channels and phases).

//!
//! [`SessionTable`] is the shell: each session's calls into plugins are made by a worker of its own, a thread or a task, and its deadlines
//! by [`Timers`](crate::timer::Timers), so that a plugin which never returns keeps its worker and nothing else.

mod core;
mod handle;
mod id;
mod plugin;
pub mod properties;
mod report;
mod shared;
mod table;
#[cfg(test)]
mod tests;
mod told;
mod worker;

pub use self::core::{Answered, Call, CallEnd, Notice, SessionCore};
pub use handle::{Reply, Session, WaitError};
pub use id::{AnswerToken, Ask, ChannelId, SessionId};
pub use plugin::{Channel, Engine, Line, Media};
pub use report::{AnswerStatus, Called, ChannelEnd, Closed, EndReason, EndReport, Ending, Phase, SessionCounters};
pub use table::{CreateError, NoSuchSession, SessionTable, TableConfig, TableCounters};
pub use worker::{Driven, Driver};

use crate::buffer::pool::PoolError;
use std::time::Duration;

/// What a session allows itself and its channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionConfig {
    /// How many channels it has at the most.
    pub channels_max: u16,
    /// How many requests wait to be dispatched at the most.
    pub inbox_max: usize,
    /// How many requests a channel has in progress at the most.
    pub requests_max: u8,
    /// How long a request may be in progress.
    pub request_deadline: Duration,
    /// How long a call into a plugin may take while the session is active. It has its answer to give later; the call itself is to
    /// return soon.
    pub call_deadline: Duration,
    /// How long the media of all channels have to be closed.
    pub media_deadline: Duration,
    /// How long the engines of all channels have to be closed.
    pub engine_deadline: Duration,
    /// How long media and engines have to be dropped.
    pub drop_deadline: Duration,
}

impl SessionConfig {
    /// How long an end takes at the most, from the first word of it to the release.
    pub fn end_max(&self) -> Duration {
        self.media_deadline.saturating_add(self.engine_deadline).saturating_add(self.drop_deadline)
    }
}

impl Default for SessionConfig {
    /// 16 channels with 8 requests each; two minutes for a request, as a caller may speak for as long; two seconds for a call, for the
    /// media and for dropping; five for the engines, which may be on another machine.
    fn default() -> Self {
        SessionConfig {
            channels_max: 16,
            inbox_max: 64,
            requests_max: 8,
            request_deadline: Duration::from_secs(120),
            call_deadline: Duration::from_secs(2),
            media_deadline: Duration::from_secs(2),
            engine_deadline: Duration::from_secs(5),
            drop_deadline: Duration::from_secs(2),
        }
    }
}

/// A session that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// More channels than the configuration allows.
    #[error("expected {channels_max} channels at the most, got {got}")]
    Channels {
        /// The limit.
        channels_max: u16,
        /// What was given.
        got: usize,
    },
    /// A limit of nothing: no request could ever be served.
    #[error("expected {what} above 0")]
    Zero {
        /// Which limit.
        what: &'static str,
    },
}

/// Why a request was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PostError {
    /// So many requests wait already.
    #[error("expected room in the inbox, got {inbox_max} requests that wait")]
    Full {
        /// The limit.
        inbox_max: usize,
    },
    /// The session ends, or has ended.
    #[error("expected an active session, got one that ends: {reason}")]
    Ends {
        /// Why it ends.
        reason: EndReason,
    },
    /// The session's pool has no room for it.
    #[error(transparent)]
    Memory(PoolError),
    /// The table has no such session.
    #[error(transparent)]
    NoSuchSession(#[from] NoSuchSession),
}

/// Why a request has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The session has no such channel.
    #[error("expected one of {channels} channels, got {got}")]
    NoSuchChannel {
        /// How many there are.
        channels: u16,
        /// Which was asked for.
        got: ChannelId,
    },
    /// The channel has as many requests in progress as it may.
    #[error("expected a request less in progress, got {requests_max}")]
    Busy {
        /// The limit.
        requests_max: u8,
    },
    /// The channel has not answered in time.
    #[error("expected an answer within {within:?}, got none")]
    Deadline {
        /// How long was waited.
        within: Duration,
    },
    /// The session ended first.
    #[error("expected an answer, and the session ended: {reason}")]
    Ended {
        /// Why it ended.
        reason: EndReason,
    },
}
