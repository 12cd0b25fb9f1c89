//! What serves a channel, and how it answers.

use super::shared::Shared;
use super::{AnswerStatus, AnswerToken, ChannelId, SessionId};
use crate::buffer::pool::{Block, PoolError};
use sim::sync::Arc;
use std::fmt;

/// A channel's engine: recognises, synthesises, records.
///
/// The session's worker calls it, one call at a time, with no lock held, so it may call the session, its table and other sessions. Each
/// call is to return soon; what it is asked it answers in its own time, from any thread, through its [`Line`]. A call that panics, or does
/// not return within its deadline, ends the session; one that never returns keeps the worker and nothing else. It is dropped by the
/// worker too.
pub trait Engine: Send {
    /// Serves a request, and answers `token` when it has.
    fn request(&mut self, line: &Line, token: AnswerToken, body: Block);

    /// Closes, and answers `token` when it has. Nothing is asked of it after that.
    fn close(&mut self, line: &Line, token: AnswerToken);
}

/// A channel's media: what plays, captures and sends. It is called as an [`Engine`] is. The media of all channels are closed before an
/// engine is asked to.
pub trait Media: Send {
    /// Closes, and answers `token` when it has. Nothing is asked of it after that.
    fn close(&mut self, line: &Line, token: AnswerToken);
}

/// A channel to be.
pub struct Channel {
    /// Its media, if it has any.
    pub media: Option<Box<dyn Media>>,
    /// Its engine.
    pub engine: Box<dyn Engine>,
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("has_media", &self.media.is_some()).finish_non_exhaustive()
    }
}

/// A channel's line to its session. Clones are the same line; it may outlive the session, and keeps nothing of it but its counters.
#[derive(Clone)]
pub struct Line {
    pub(super) shared: Arc<Shared>,
    pub(super) channel: ChannelId,
}

impl Line {
    /// Which channel of which session this is.
    pub fn of(&self) -> (SessionId, ChannelId) {
        (self.shared.id(), self.channel)
    }

    /// Answers what `token` names: a request with a response, or nothing to say; a close with nothing. What it returns is what the
    /// answer counted as; only [`AnswerStatus::Accepted`] has an effect, and [`AnswerStatus::Foreign`] ends this line's session.
    ///
    /// It takes the session's lock for a moment, waits for nothing, and may be called under any lock of the caller's.
    pub fn answer(&self, token: AnswerToken, response: Option<Block>) -> AnswerStatus {
        let _operation = sim::operation("session.answer", None);
        let answered = self.shared.event(|core, now| {
            let answered = core.answer(self.channel, token, now);
            if let Some(request) = &answered.request {
                // Before anybody can hear that the session has ended.
                request.reply.set(Ok(response));
            }
            answered
        });
        if let Some(request) = answered.request {
            request.reply.wake();
        }
        answered.status
    }

    /// Zeroed memory of the session's pool, for a response.
    ///
    /// # Errors
    /// [`PoolError`].
    pub fn allocate(&self, len: usize) -> Result<Block, PoolError> {
        self.shared.pool().allocate(len)
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Line({}/{})", self.shared.id(), self.channel)
    }
}
