//! What a dialog does to the world: messages and callbacks, in the order in which they came to be, and never under its lock.

use super::calls::CallHandle;
use super::dialog::CallState;
use super::error::DialogError;
use sim::sync::Mutex;
use std::any::Any;
use std::collections::VecDeque;
use std::fmt;

/// What is told to the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallEvent {
    /// The call, of the generation that it happened to.
    pub call: CallHandle,
    /// How far it is now. Events of one call come in order, one at a time.
    pub state: CallState,
}

/// One thing to do.
pub(super) enum Outgoing {
    Event(CallEvent),
    Message(Vec<u8>),
}

/// The things to do of one dialog. Whoever gives the dialog's lock back does them, if nobody is at it: then that one goes on with these.
pub(super) struct Outbox {
    queue: Mutex<Queue>,
    entries_max: usize,
}

#[derive(Default)]
struct Queue {
    entries: VecDeque<Outgoing>,
    /// What the application made, and nobody needs any more.
    remains: Vec<Remains>,
    /// Somebody is at it.
    delivering: bool,
}

/// Something whose drop is the application's code.
pub(super) type Remains = Box<dyn Any + Send>;

impl Outbox {
    pub(super) fn new(entries_max: usize) -> Self {
        Outbox { queue: Mutex::new(Queue::default()), entries_max }
    }

    /// Puts it at the end. An event that says that the call is over always finds room: there is one in a call's life.
    pub(super) fn push(&self, outgoing: Outgoing) -> Result<(), DialogError> {
        let is_last = matches!(outgoing, Outgoing::Event(CallEvent { state: CallState::Disconnected, .. }));
        let mut queue = self.queue.lock();
        if queue.entries.len() >= self.entries_max && !is_last {
            return Err(DialogError::OutboxFull { entries_max: self.entries_max });
        }
        queue.entries.push_back(outgoing);
        Ok(())
    }

    /// Keeps what is to be dropped without the dialog's lock.
    pub(super) fn keep(&self, remains: Remains) {
        self.queue.lock().remains.push(remains);
    }

    /// What is to be dropped, and then the next thing to do, for who is not at it yet (`begins`) or has done the last one. Who is not at
    /// it drops too: what is left would grow while a callback takes its time.
    pub(super) fn next(&self, begins: bool) -> (Vec<Remains>, Option<Outgoing>) {
        let mut queue = self.queue.lock();
        let next = if begins && queue.delivering {
            None
        } else {
            let next = queue.entries.pop_front();
            queue.delivering = next.is_some();
            next
        };
        (std::mem::take(&mut queue.remains), next)
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queue = self.queue.lock();
        f.debug_struct("Outbox")
            .field("entries", &queue.entries.len())
            .field("delivering", &queue.delivering)
            .finish_non_exhaustive()
    }
}
