//! The lock of a dialog: who comes first has it first, nobody waits past a deadline, and who waits has a reference.
//!
//! The line outside is what makes it fair: a ticket each, and the front of the line is who holds the dialog. Its lock is taken for
//! moments. The mutex inside is free when the front of the line takes it; it is there for what it guards, and for the order that
//! checkers see.
//!
//! The upstream that this is to do better than: pjsip's `acquire_call` polls a try-lock, sleeps between its tries, and measures the
//! time with the wall clock (pjproject 148c9dd37); `pjsip_dlg_dec_lock` gives the lock back and takes it again to destroy (#1886, #5101).

use sim::ledger::{self, ResourceId};
use sim::sync::{Condvar, Mutex, MutexGuard};
use sim::time::Instant;
use std::collections::VecDeque;

/// A lock around `T`, with a line before it, that its last user may close for good.
pub(super) struct Gate<T> {
    line: Mutex<Line>,
    /// The line has moved.
    moved: Condvar,
    inside: Mutex<T>,
    resource: ResourceId,
}

struct Line {
    next_ticket: u64,
    /// Who holds the dialog, and then who waits, in the order in which they came. All of them are references: none closes while
    /// another stands here.
    tickets: VecDeque<u64>,
    closed: bool,
}

/// Why nobody was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It was closed.
    Closed,
    /// So many stand in the line.
    Crowded,
    /// The deadline came first.
    TimedOut,
}

impl<T> Gate<T> {
    /// A gate in front of `value`, entered in the ledger as `kind`.
    #[track_caller]
    pub(super) fn new(kind: &'static str, value: T) -> Self {
        Gate {
            line: Mutex::new(Line { next_ticket: 0, tickets: VecDeque::new(), closed: false }),
            moved: Condvar::new(),
            inside: Mutex::new(value),
            resource: ledger::register(kind),
        }
    }

    /// Stands in line, with at most `tickets_max` others, until it is this one's turn or the deadline.
    pub(super) fn enter(&self, deadline: Instant, tickets_max: usize) -> Result<Inside<'_, T>, Refusal> {
        let mut line = self.line.lock();
        if line.closed {
            return Err(Refusal::Closed);
        }
        if line.tickets.len() >= tickets_max {
            return Err(Refusal::Crowded);
        }
        let ticket = line.next_ticket;
        line.next_ticket += 1;
        line.tickets.push_back(ticket);
        while line.tickets.front() != Some(&ticket) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                // Nobody comes to the front for that: the front is who holds it.
                line.tickets.retain(|other| *other != ticket);
                return Err(Refusal::TimedOut);
            }
            self.moved.wait_for(&mut line, left);
        }
        drop(line);
        ledger::touch(self.resource);
        Ok(Inside { gate: self, guard: Some(self.inside.lock()) })
    }
}

/// Holds a [`Gate`] until it leaves, or is dropped.
pub(super) struct Inside<'a, T> {
    gate: &'a Gate<T>,
    /// Given back before the line moves.
    guard: Option<MutexGuard<'a, T>>,
}

impl<T> Inside<'_, T> {
    /// What is guarded.
    pub(super) fn get(&mut self) -> &mut T {
        self.guard.as_mut().expect("the guard is there until this leaves")
    }

    /// Gives it back. Where it is `done` with and nobody else stands in the line it is closed for good, in one step with the leaving: a
    /// thread that waits has its turn first, and one that gives up meanwhile is not waited for. True if this closed it: no other
    /// ever does, and nobody comes in after this one.
    pub(super) fn leave(mut self, done: bool) -> bool {
        self.go(done)
    }

    fn go(&mut self, done: bool) -> bool {
        if self.guard.take().is_none() {
            return false;
        }
        let mut line = self.gate.line.lock();
        line.tickets.pop_front();
        let closes = done && line.tickets.is_empty() && !line.closed;
        line.closed |= closes;
        drop(line);
        match closes {
            true => ledger::release(self.gate.resource),
            false => self.gate.moved.notify_all(),
        }
        closes
    }
}

impl<T> Drop for Inside<'_, T> {
    fn drop(&mut self) {
        self.go(false);
    }
}

impl<T> Drop for Gate<T> {
    fn drop(&mut self) {
        if !self.line.get_mut().closed {
            ledger::release(self.resource);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sim::sync::Arc;
    use sim::thread::{self, JoinHandle};
    use std::time::Duration;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    fn wait_for_tickets(gate: &Gate<Vec<u32>>, tickets: usize) {
        while gate.line.lock().tickets.len() != tickets {
            thread::yield_now();
        }
    }

    /// Another who comes and writes its name. It has come when this returns; on a slow machine it may have gone again.
    fn comes(gate: &Arc<Gate<Vec<u32>>>, name: u32, deadline: Instant) -> JoinHandle<Result<(), Refusal>> {
        let (theirs, before) = (Arc::clone(gate), gate.line.lock().next_ticket);
        let other = thread::spawn(move || theirs.enter(deadline, 10).map(|mut inside| inside.get().push(name)));
        while gate.line.lock().next_ticket == before {
            thread::yield_now();
        }
        other
    }

    #[test]
    fn who_comes_first_has_it_first() {
        let gate = Arc::new(Gate::new("dialog", Vec::new()));
        let inside = gate.enter(soon(), 10).unwrap_or_else(|refusal| panic!("{refusal:?}"));
        let others: Vec<_> = (1..9).map(|name| comes(&gate, name, soon())).collect();
        drop(inside);
        others.into_iter().for_each(|other| assert_eq!(other.join().unwrap(), Ok(())));
        assert_eq!(*gate.inside.lock(), (1..9).collect::<Vec<_>>());
    }

    #[test]
    fn who_gives_up_leaves_the_line_to_the_others() {
        for gives_up in 0..4 {
            let gate = Arc::new(Gate::new("dialog", Vec::new()));
            let inside = gate.enter(soon(), 10).unwrap_or_else(|refusal| panic!("{refusal:?}"));
            let deadline = |name| if name == gives_up { Instant::now() + Duration::from_millis(300) } else { soon() };
            let others: Vec<_> = (0..4).map(|name| comes(&gate, name, deadline(name))).collect();
            // Who gives up has gone, and the three others and this one are in the line.
            wait_for_tickets(&gate, 4);
            drop(inside);
            let results: Vec<_> = others.into_iter().map(|other| other.join().unwrap()).collect();
            for (name, result) in results.into_iter().enumerate() {
                assert_eq!(result, if name as u32 == gives_up { Err(Refusal::TimedOut) } else { Ok(()) });
            }
            assert_eq!(*gate.inside.lock(), (0..4).filter(|name| *name != gives_up).collect::<Vec<_>>());
        }
    }

    #[test]
    fn only_the_last_closes_it_and_nobody_comes_in_after() {
        let gate = Arc::new(Gate::new("dialog", Vec::new()));
        let inside = gate.enter(soon(), 10).unwrap_or_else(|refusal| panic!("{refusal:?}"));
        let other = comes(&gate, 7, soon());
        assert!(!inside.leave(true), "another waits");
        assert_eq!(other.join().unwrap(), Ok(()));
        let inside = gate.enter(soon(), 10).unwrap_or_else(|refusal| panic!("{refusal:?}"));
        assert!(!inside.leave(false), "it is not done with");
        let inside = gate.enter(soon(), 10).unwrap_or_else(|refusal| panic!("{refusal:?}"));
        assert!(inside.leave(true));
        assert_eq!(gate.enter(soon(), 10).err(), Some(Refusal::Closed));
    }

    #[test]
    fn at_the_limit_nobody_waits() {
        for tickets_max in 1..4 {
            let gate = Arc::new(Gate::new("dialog", Vec::new()));
            let inside = gate.enter(soon(), tickets_max).unwrap_or_else(|refusal| panic!("{refusal:?}"));
            let others: Vec<_> = (1..tickets_max).map(|_| comes(&gate, 0, soon())).collect();
            assert_eq!(gate.enter(soon(), tickets_max).err(), Some(Refusal::Crowded));
            drop(inside);
            others.into_iter().for_each(|other| assert_eq!(other.join().unwrap(), Ok(())));
        }
    }
}
