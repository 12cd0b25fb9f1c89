//! What a run knows of tasks: who shares a thread, who is due, and who is to end.

use super::{Obj, Run, Site, State, Thread, WaitFor, Wake};
use crate::task::Control;
use crate::verdict::{Detector, Finding};
use std::sync::Arc;
use std::task::Waker;

impl Run {
    /// The tasks that have not ended and are meant.
    pub(crate) fn tasks_of(&self, is_meant: impl Fn(&Thread) -> bool) -> Vec<(u32, Arc<Control>)> {
        let threads = self.threads.iter().enumerate().filter(|(_, thread)| thread.state != State::Finished && is_meant(thread));
        threads.filter_map(|(number, thread)| Some((number as u32, Arc::clone(thread.control.as_ref()?)))).collect()
    }

    /// The task waits, and others of its thread may be polled. True if it shares its thread.
    pub(crate) fn leave_local_set(&mut self, me: u32) -> bool {
        let set = self.threads[me as usize].local_set;
        if let Some(set) = set {
            self.local_sets[set as usize] = None;
        }
        set.is_some()
    }

    /// The task is polled: nobody else of its thread is.
    pub(crate) fn enter_local_set(&mut self, me: u32) {
        if let Some(set) = self.threads[me as usize].local_set {
            self.local_sets[set as usize] = Some(me);
        }
    }

    /// Wakes the thread of a task, if that is where it waits.
    pub(crate) fn wake_task(&mut self, thread: u32, parker: Obj) {
        if !self.is_current(parker) {
            return;
        }
        self.inform(thread);
        let waits = matches!(self.threads[thread as usize].waiting, Some((WaitFor::Wakeup(obj), _)) if obj == parker);
        if waits && self.threads[thread as usize].state == State::Blocked {
            self.wake(thread, Wake::Notified);
        }
    }

    /// The thread of a task blocks until somebody wakes it or the earliest of its sleeps ends.
    pub(crate) fn block_task(&mut self, me: u32, parker: Obj, site: Site) -> Result<(), Finding> {
        let thread = &self.threads[me as usize];
        let earliest = thread.sleeps.iter().map(|sleep| sleep.deadline_ns).min();
        let site = thread.awaiting.last().map_or(site, |(_, site)| *site);
        let sleeps_only = thread.awaiting.is_empty();
        self.block(me, WaitFor::Wakeup(parker), earliest, site)?;
        self.threads[me as usize].sleeps_only = sleeps_only;
        self.threads[me as usize].is_parked = true;
        Ok(())
    }

    /// The wakers of what this thread's task waits for that has come.
    pub(crate) fn take_due(&mut self, thread: u32, due: &mut Vec<Waker>) {
        let now_ns = self.now_ns;
        self.threads[thread as usize].sleeps.retain(|sleep| {
            let is_due = sleep.deadline_ns <= now_ns;
            if is_due {
                due.push(sleep.waker.clone());
            }
            !is_due
        });
        if !self.threads[thread as usize].reads.is_empty() {
            self.take_ready_reads(thread, due);
        }
    }

    /// On turmoil: a task is polled.
    #[cfg(feature = "turmoil")]
    pub(crate) fn begins_poll(&mut self, task: u32) {
        if let Some(elapsed) = turmoil::sim_elapsed() {
            let now_ns = self.origin_ns.saturating_add(super::nanos(elapsed));
            if now_ns != self.now_ns {
                self.yields = 0;
            }
            self.now_ns = now_ns;
        }
        let thread = &mut self.threads[task as usize];
        thread.state = State::Ready;
        thread.waiting = None;
        thread.deadline_ns = None;
    }

    /// On turmoil: a task was woken, and will be polled.
    #[cfg(feature = "turmoil")]
    pub(crate) fn is_woken(&mut self, task: u32) {
        if let Some(thread) = self.threads.get_mut(task as usize)
            && thread.state == State::Blocked
        {
            thread.state = State::Ready;
        }
    }

    /// On turmoil: a poll has ended and the task waits, perhaps in a circle.
    #[cfg(feature = "turmoil")]
    pub(crate) fn waits_after_poll(&mut self, task: u32, obj: Obj) -> Option<Finding> {
        let thread = &mut self.threads[task as usize];
        let site = thread.awaiting.last().map_or_else(|| self.objects[obj.id as usize].site, |(_, site)| *site);
        thread.state = State::Blocked;
        thread.waiting = Some((WaitFor::Wakeup(obj), site));
        let now_ns = self.now_ns;
        thread.deadline_ns = thread.sleeps.iter().map(|sleep| sleep.deadline_ns).filter(|deadline| *deadline > now_ns).min();
        let is_timed = thread.deadline_ns.is_some();
        if self.trace.is_some() {
            self.record_wait(task);
        }
        let cycle = if is_timed { None } else { self.cycle_from(task) };
        cycle.map(|cycle| self.deadlock(&cycle))
    }

    /// On turmoil: a task is about to block the thread that every task needs, the one that could let it go on included.
    #[cfg(feature = "turmoil")]
    pub(crate) fn blocks_every_task(wait: WaitFor) -> Finding {
        use crate::Primitive;
        let primitive = match wait {
            // A lock that another holds was reported where that one began to wait, and its own holder makes a cycle: what is left has a
            // time.
            WaitFor::Lock(_) => Primitive::MutexTryLockFor,
            WaitFor::Sleep => Primitive::Sleep,
            WaitFor::Thread(_) => Primitive::Spawn,
            // Blocking channels and parking are built on conditions.
            WaitFor::Wakeup(_) => Primitive::Condvar,
        };
        let why = crate::Engine::Turmoil.supports(primitive).err().map_or(String::new(), |unsupported| unsupported.to_string());
        Finding::new(Detector::Panic, why)
    }

    /// A task is about to wait: does it hold a lock that blocks?
    pub(crate) fn lock_across_await(&self, thread: u32) -> Option<Finding> {
        let held = self.blocking_lock_of(thread)?;
        Some(
            Finding::new(Detector::LockAcrossAwait, format!("{} waits while it holds {}", self.thread_name(thread), held.0))
                .with(format!("taken at {}", held.1)),
        )
        .map(|finding| self.involve_holder(finding, thread))
    }
}
