//! The threads of a run: from their spawn to their end, blocked and woken between.

use super::{Nature, Object, Run, Site, State, Thread, WaitFor, Wake, me};
use crate::engine::Engine;
use crate::happens::VectorClock;
use crate::trace::Op;
use crate::trace::place;
use crate::verdict::Detector;
use crate::verdict::Finding;
use smallvec::SmallVec;
use std::sync::Arc;

impl Run {
    pub(crate) fn spawn(&mut self, name: Option<Arc<str>>) -> u32 {
        let id = self.threads.len() as u32;
        let parent_id = (id > 0).then(me);
        let parent = parent_id;
        let slot = self.free_slot(parent);
        match self.slots.get_mut(slot) {
            Some(last) => *last = id,
            None => self.slots.push(id),
        }
        let (mut clock, mut order_clock, mut now_ns) = (VectorClock::default(), VectorClock::default(), 0);
        let (mut host, mut runtime) = (0, 0);
        if let Some(parent) = parent.and_then(|parent| self.threads.get_mut(parent as usize)) {
            clock = parent.clock.clone();
            order_clock = parent.order_clock.clone();
            now_ns = parent.now_ns;
            (host, runtime) = (parent.host, parent.runtime);
            parent.clock.tick(parent.slot);
            parent.order_clock.tick(parent.slot);
        }
        clock.tick(slot);
        order_clock.tick(slot);
        if let Some(parent) = parent_id {
            self.strategy.spawned(parent, id);
            self.history_spawned(parent, id);
        }
        self.live.push(id);
        self.threads.push(Thread {
            name,
            task: id as usize,
            state: State::Ready,
            waiting: None,
            deadline_ns: None,
            wake: None,
            wait_number: 0,
            sleeps_only: false,
            is_parked: false,
            yielded: false,
            held: SmallVec::new(),
            slot,
            clock,
            order_clock,
            now_ns,
            firings: Vec::new(),
            draws: 0,
            awaiting: SmallVec::new(),
            sleeps: Vec::new(),
            reads: Vec::new(),
            host,
            local_set: None,
            control: None,
            runtime,
            locals: Vec::new(),
            #[cfg(feature = "loom")]
            loom: None,
        });
        id
    }

    /// A place in vector clocks: one of a thread that has ended, where the new one's spawner knows all that it did, so that what the
    /// new one does comes after it for everybody; else one of its own. Many short tasks then need few places.
    fn free_slot(&self, parent: Option<u32>) -> usize {
        let Some(parent) = parent.and_then(|parent| self.threads.get(parent as usize)) else { return self.slots.len() };
        let is_free = |slot: &usize| {
            let last = &self.threads[self.slots[*slot] as usize];
            last.state == State::Finished
                && parent.clock.knows(*slot, last.clock.of(*slot))
                && parent.order_clock.knows(*slot, last.order_clock.of(*slot))
        };
        (0..self.slots.len()).find(is_free).unwrap_or(self.slots.len())
    }

    pub(crate) fn thread_name(&self, thread: u32) -> String {
        match self.threads.get(thread as usize).and_then(|thread| thread.name.as_deref()) {
            Some(name) => name.to_owned(),
            None => format!("thread-{thread}"),
        }
    }

    /// Marks `thread` as ended and wakes who waits for that. True if no thread is left.
    pub(crate) fn finish(&mut self, thread: u32) -> bool {
        self.idle_rounds = 0;
        if self.threads[thread as usize].yielded {
            self.threads[thread as usize].yielded = false;
            self.yielding -= 1;
        }
        self.threads[thread as usize].state = State::Finished;
        self.live.retain(|live| *live != thread);
        if let Some(set) = self.threads[thread as usize].local_set {
            self.local_sets[set as usize] = None;
        }
        if thread == 0 {
            self.main_ended_ns = Some(self.now_ns);
        }
        for position in 0..self.live.len() {
            let other = self.live[position];
            if matches!(self.threads[other as usize].waiting, Some((WaitFor::Thread(target), _)) if target == thread) {
                self.wake(other, Wake::Notified);
            }
        }
        self.live.is_empty()
    }

    /// What is wrong with a run that has ended: resources left.
    pub(crate) fn leftovers(&self) -> Option<Finding> {
        let mut left = self.objects.iter().filter(|object| object.nature == Nature::Resource && object.released.is_none());
        let first = left.next()?;
        let tell = |object: &Object| format!("{} registered at {}", object.kind, place(object.site));
        let mut finding = Finding::new(Detector::Leak, format!("{} was never released", tell(first)));
        for object in left {
            finding = finding.with(format!("nor was {}", tell(object)));
        }
        Some(finding)
    }

    /// `other` learns what the current thread knows.
    pub(crate) fn inform(&mut self, other: u32) {
        let from = me() as usize;
        if from == other as usize {
            return;
        }
        if let Ok([from_thread, to]) = self.threads.get_disjoint_mut([from, other as usize]) {
            to.clock.join(&from_thread.clock);
            to.order_clock.join(&from_thread.order_clock);
            to.now_ns = to.now_ns.max(from_thread.now_ns);
            from_thread.clock.tick(from_thread.slot);
            from_thread.order_clock.tick(from_thread.slot);
        }
    }

    /// The current thread learns what `other`, which has ended, knew.
    pub(crate) fn learn_from(&mut self, other: u32) {
        let to = me() as usize;
        if let Ok([from, to]) = self.threads.get_disjoint_mut([other as usize, to]) {
            to.clock.join(&from.clock);
            to.order_clock.join(&from.order_clock);
            to.now_ns = to.now_ns.max(from.now_ns);
        }
    }

    /// The current thread blocks. The caller then lets the engine run another.
    pub(crate) fn block(&mut self, me: u32, wait: WaitFor, deadline_ns: Option<u64>, site: Site) -> Result<(), Finding> {
        let thread = &mut self.threads[me as usize];
        thread.state = State::Blocked;
        thread.waiting = Some((wait, site));
        thread.wake = None;
        thread.wait_number += 1;
        thread.deadline_ns = deadline_ns;
        thread.sleeps_only = false;
        thread.is_parked = false;
        if deadline_ns.is_some() {
            self.timers += 1;
        }
        if self.trace.is_some() {
            self.record_wait(me);
        }
        if deadline_ns.is_none()
            && let Some(cycle) = self.cycle_from(me)
        {
            return Err(self.deadlock(&cycle));
        }
        Ok(())
    }

    /// Makes a blocked thread ready. A wake-up that comes before the thread has run again after its time counts as the wake-up.
    pub(crate) fn wake(&mut self, target: u32, wake: Wake) {
        let thread = &mut self.threads[target as usize];
        if thread.wake != Some(Wake::Notified) {
            thread.wake = Some(wake);
        }
        if thread.state == State::Blocked {
            thread.state = State::Ready;
            if thread.deadline_ns.is_some() {
                self.timers -= 1;
            }
            if wake == Wake::Notified {
                self.idle_rounds = 0;
            }
            #[cfg(feature = "loom")]
            if !matches!(self.threads[target as usize].waiting, Some((WaitFor::Thread(_), _))) {
                // Who joins is blocked inside loom, where an unpark would let it go on without its thread.
                self.to_unpark.extend(self.threads[target as usize].loom.clone());
            }
        }
    }

    /// The current thread runs again after [`Run::block`].
    pub(crate) fn unblocked(&mut self, me: u32) -> Wake {
        let thread = &mut self.threads[me as usize];
        let wake = thread.wake.take().unwrap_or(Wake::Notified);
        let waited = thread.waiting.take();
        let timed = thread.deadline_ns.take();
        if let Some((wait, site)) = waited {
            if let Some(deadline) = timed {
                let fired = wake == Wake::TimedOut;
                if fired {
                    thread.now_ns = thread.now_ns.max(deadline);
                }
                // A sleep has nothing that could beat it, nor has a task's that awaits nothing else.
                if wait != WaitFor::Sleep && !thread.sleeps_only {
                    self.coverage.timer(site, fired);
                }
                if fired && self.engine == Engine::Loom {
                    self.fired(me, site);
                }
            }
            let obj = match wait {
                WaitFor::Lock(obj) | WaitFor::Wakeup(obj) => Some(obj),
                WaitFor::Thread(_) | WaitFor::Sleep => None,
            };
            self.record(me, if wake == Wake::TimedOut { Op::TimedOut } else { Op::Woken }, obj, site);
        }
        wake
    }

    /// On loom: whether a timed wait of this thread at this place may still end by its time, ahead of others.
    pub(crate) fn may_fire(&self, me: u32, site: Site) -> bool {
        let firings = self.threads[me as usize].firings.iter().find(|(place, _)| *place == site);
        firings.map_or(0, |(_, count)| *count) < self.bounds.firings
    }

    /// A timed wait of this thread at this place has ended by its time.
    pub(crate) fn fired(&mut self, me: u32, site: Site) {
        let firings = &mut self.threads[me as usize].firings;
        match firings.iter_mut().find(|(place, _)| *place == site) {
            Some((_, count)) => *count += 1,
            None => firings.push((site, 1)),
        }
    }

    /// Whether no other task of the set that `thread` belongs to is being polled.
    #[inline]
    pub(super) fn may_poll(&self, thread: u32) -> bool {
        match self.threads[thread as usize].local_set {
            None => true,
            Some(set) => self.local_sets[set as usize].is_none_or(|polled| polled == thread),
        }
    }

    pub(crate) fn unfinished(&self) -> impl Iterator<Item = u32> + '_ {
        self.live.iter().copied()
    }
}
