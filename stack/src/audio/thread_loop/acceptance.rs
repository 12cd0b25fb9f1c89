//! The signals that wait to be accepted.

use super::LoopError;
use std::collections::VecDeque;

/// Names a signal that waits to be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket(u64);

/// Each acceptance is of the oldest signal that waits, and of no other. There are as many as there are threads in
/// [`super::LoopGuard::signal_and_wait`], so they need no bound of their own.
#[derive(Debug, Default)]
pub(super) struct Acceptances {
    next: u64,
    waiting: VecDeque<Ticket>,
}

impl Acceptances {
    /// A signal begins to wait.
    pub(super) fn ask(&mut self) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        self.waiting.push_back(ticket);
        ticket
    }

    /// Accepts the oldest signal that waits.
    pub(super) fn accept(&mut self) -> Result<Ticket, LoopError> {
        self.waiting.pop_front().ok_or(LoopError::NothingToAccept)
    }

    /// Whether the signal waits still: it was neither accepted nor withdrawn.
    pub(super) fn waits(&self, ticket: Ticket) -> bool {
        self.waiting.contains(&ticket)
    }

    /// The signal waits no longer. False if it was accepted before.
    pub(super) fn withdraw(&mut self, ticket: Ticket) -> bool {
        let position = self.waiting.iter().position(|waiting| *waiting == ticket);
        position.map(|position| self.waiting.remove(position)).is_some()
    }
}
