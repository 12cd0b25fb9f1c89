//! Who makes a session's calls: a thread of its own, or a task. No lock is held meanwhile.

use super::shared::{Due, Next, Shared};
use super::{Call, CallEnd, Called, Channel, ChannelId, CreateError, EndReason, Engine, Line, Media};
use crate::buffer::pool::Block;
use sim::sync::Arc;
use sim::sync::asynchronous::Notify;
use sim::time::Instant;
use sim::{task, thread};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A session's plugins, from before its worker is made. Dropped before its end, it ends the session.
pub(super) struct Worker {
    shared: Arc<Shared>,
    channels: Vec<Plugins>,
    has_ended: bool,
}

struct Plugins {
    line: Line,
    media: Option<Box<dyn Media>>,
    engine: Option<Box<dyn Engine>>,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, channels: Vec<Channel>) -> Self {
        let plugins = |(channel, Channel { media, engine })| {
            let line = Line { shared: Arc::clone(&shared), channel: ChannelId(channel) };
            Plugins { line, media, engine: Some(engine) }
        };
        let channels = (0..).zip(channels).map(plugins).collect();
        Worker { shared, channels, has_ended: false }
    }

    /// Where no thread or task can be made the worker is dropped here, and the session ends.
    pub(super) fn start(self) -> Result<(), CreateError> {
        let made = match self.shared.due() {
            Due::Thread(_) => {
                thread::Builder::new().name("session").spawn(move || self.work()).map(drop).map_err(|e| e.to_string())
            }
            Due::Task(_) => task::try_spawn("session", self.work_awaiting()).map(drop).map_err(|e| e.to_string()),
            Due::Caller => Ok(()),
        };
        made.map_err(|why| CreateError::Worker { why })
    }

    fn work(mut self) {
        let shared = Arc::clone(&self.shared);
        if let Due::Thread(due) = shared.due() {
            while let Next::Call(call, body) = shared.next_waiting(due) {
                self.call(call, body);
            }
        }
        self.end();
    }

    async fn work_awaiting(mut self) {
        let shared = Arc::clone(&self.shared);
        if let Due::Task(due) = shared.due() {
            self.call_until_the_end(due).await;
        }
        task::block_in_place(|| self.end());
    }

    async fn call_until_the_end(&mut self, due: &Notify) {
        loop {
            match self.shared.next() {
                Next::Call(call, body) => {
                    // Whom it wakes must not wait for it.
                    task::block_in_place(|| self.call(call, body));
                    // A session that is always called would never let the runtime go on.
                    task::yield_now().await;
                }
                Next::Sleep => due.notified().await,
                Next::End => return,
            }
        }
    }

    /// Makes a call, and tells the session how it ended.
    fn call(&mut self, call: Call, body: Option<Block>) {
        let (channel, called) = call.called();
        let Some(plugins) = self.channels.get_mut(usize::from(channel.0)) else { return self.shared.returned(CallEnd::Returned) };
        let returned = {
            let _operation = sim::operation(name(called), None);
            caught(|| plugins.call(call, body))
        };
        self.shared.returned(if returned { CallEnd::Returned } else { CallEnd::Panicked });
    }

    /// The session has ended. What it ended without is dropped now.
    fn end(&mut self) {
        if !std::mem::replace(&mut self.has_ended, true) {
            self.leave();
        }
    }

    fn leave(&mut self) {
        for plugins in &mut self.channels {
            plugins.drop_all();
        }
        self.shared.registry.worker_ended();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if !self.has_ended {
            self.shared.event(|core, _| core.abandon(EndReason::WorkerLost));
            self.leave();
        }
    }
}

/// Makes a session's calls where and when its caller likes: for an event loop that turns anyway. Dropped before the session has ended, it
/// ends it.
#[derive(Debug)]
pub struct Driver {
    worker: Worker,
}

/// What driving a session came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driven {
    /// There is no call to make now. There may be one at this moment, if any is given, or when the session was posted to, answered or
    /// ended.
    Waits(Option<Instant>),
    /// It has ended, and its plugins were dropped.
    Ended,
}

impl Driver {
    pub(super) fn new(worker: Worker) -> Self {
        Driver { worker }
    }

    /// Sees to the session's deadlines, and makes the calls that there are to make, with no lock held.
    pub fn drive(&mut self) -> Driven {
        loop {
            let deadline = self.worker.shared.on_time();
            match self.worker.shared.next() {
                Next::Call(call, body) => self.worker.call(call, body),
                Next::Sleep => return Driven::Waits(deadline),
                Next::End => {
                    self.worker.end();
                    return Driven::Ended;
                }
            }
        }
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("session", &self.shared.id()).finish_non_exhaustive()
    }
}

impl Plugins {
    fn call(&mut self, call: Call, body: Option<Block>) {
        match (call, &mut self.media, &mut self.engine) {
            (Call::Request(token), _, Some(engine)) => {
                if let Some(body) = body {
                    engine.request(&self.line, token, body);
                }
            }
            (Call::CloseMedia(token), Some(media), _) => media.close(&self.line, token),
            (Call::CloseEngine(token), _, Some(engine)) => engine.close(&self.line, token),
            (Call::DropMedia(_), ..) => self.media = None,
            (Call::DropEngine(_), ..) => self.engine = None,
            // The session asks nothing of what is not there.
            (Call::Request(_) | Call::CloseMedia(_) | Call::CloseEngine(_), ..) => {}
        }
    }

    fn drop_all(&mut self) {
        let (media, engine) = (self.media.take(), self.engine.take());
        caught(|| drop(media));
        caught(|| drop(engine));
    }
}

/// What coverage calls it.
const fn name(called: Called) -> &'static str {
    match called {
        Called::Request => "session.dispatch",
        Called::CloseMedia => "session.close_media",
        Called::CloseEngine => "session.close_engine",
        Called::DropMedia => "session.drop_media",
        Called::DropEngine => "session.drop_engine",
    }
}

/// Runs the application's code. False if it panicked. The panic's value is the application's too, whose drop may do anything; it goes
/// here, without a lock, and a value that panics again is left where it is.
fn caught(code: impl FnOnce()) -> bool {
    let Err(value) = catch_unwind(AssertUnwindSafe(code)) else { return true };
    if let Err(again) = catch_unwind(AssertUnwindSafe(move || drop(value))) {
        std::mem::forget(again);
    }
    false
}
