//! What a task awaits, for as long as it does: so that deadlocks among tasks name their cycles.

use crate::run::{Obj, Site, me, try_with, with};

/// What is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Awaited {
    /// A lock, or something that others signal.
    Object(Obj),
    /// The end of another task, by its number.
    End(u32),
}

/// Says that the current task awaits something, until it is dropped. A task that awaits several things could go on with any.
#[derive(Debug)]
pub(crate) struct Awaiting {
    what: Awaited,
    task: u32,
}

impl Awaiting {
    pub(crate) fn new(what: Awaited, site: Site) -> Self {
        let task = me();
        with(|run| run.threads[task as usize].awaiting.push((what, site)));
        Awaiting { what, task }
    }
}

impl Drop for Awaiting {
    fn drop(&mut self) {
        try_with(|run| {
            if let Some(thread) = run.threads.get_mut(self.task as usize)
                && let Some(position) = thread.awaiting.iter().rposition(|(what, _)| *what == self.what)
            {
                thread.awaiting.remove(position);
            }
        });
    }
}
