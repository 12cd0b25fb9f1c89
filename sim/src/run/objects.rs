//! The objects of a run: locks, conditions and atomics, checked cells, and the ledger's resources.

#[cfg(feature = "loom")]
use super::State;
use super::{Nature, Obj, Object, Run, Site, Wake};
use crate::happens::VectorClock;
use crate::order::Held;
use crate::trace::Op;
use crate::trace::place;
use crate::verdict::{Deed, Detector, Finding};
use smallvec::SmallVec;

impl Run {
    pub(crate) fn create(&mut self, kind: &'static str, nature: Nature, site: Site) -> Obj {
        let id = self.objects.len() as u32;
        let class = self.class(site);
        self.history_created(super::me(), id);
        self.objects.push(Object {
            kind,
            class,
            nature,
            site,
            owner: None,
            depth: 0,
            writers_waiting: 0,
            shared: SmallVec::new(),
            waiters: SmallVec::new(),
            notifiers: SmallVec::new(),
            clock: VectorClock::default(),
            order_clock: VectorClock::default(),
            now_ns: 0,
            write: None,
            reads: SmallVec::new(),
            released: None,
        });
        Obj { run: self.epoch, id }
    }

    fn class(&mut self, site: Site) -> u32 {
        let known = self.classes.iter().position(|known| std::ptr::eq(*known, site) || *known == site);
        known.unwrap_or_else(|| {
            self.classes.push(site);
            self.classes.len() - 1
        }) as u32
    }

    /// The number of the place in the code that made it.
    pub(super) fn class_of(&self, obj: Obj) -> u32 {
        self.objects.get(obj.id as usize).map_or(0, |object| object.class)
    }

    /// `me` notifies a condition, whether anybody waits for it or not.
    pub(crate) fn note_notifier(&mut self, me: u32, obj: Obj) {
        let notifiers = &mut self.object(obj).notifiers;
        if !notifiers.contains(&me) {
            notifiers.push(me);
        }
    }

    /// Whether the object is of this run, and not of one before.
    pub(crate) fn is_current(&self, obj: Obj) -> bool {
        obj.run == self.epoch
    }

    /// A lock that `thread` holds and that blocks others' threads: what it is, and where it was taken.
    pub(crate) fn blocking_lock_of(&self, thread: u32) -> Option<(String, String)> {
        let held = self.blocking_held(thread)?;
        Some((self.object_name(Obj { run: self.epoch, id: held.lock }), place(held.site)))
    }

    pub(super) fn blocking_held(&self, thread: u32) -> Option<&Held> {
        let blocks = |held: &&Held| self.objects[held.lock as usize].nature != Nature::AsyncLock;
        self.threads[thread as usize].held.iter().find(blocks)
    }

    #[track_caller]
    pub(super) fn object(&mut self, obj: Obj) -> &mut Object {
        assert!(
            obj.run == self.epoch,
            "a primitive made in one run was used in another: a static outlives its run and carries state from one to the next"
        );
        &mut self.objects[obj.id as usize]
    }

    pub(crate) fn object_name(&self, obj: Obj) -> String {
        let object = &self.objects[obj.id as usize];
        format!("{} of {}", object.kind, place(object.site))
    }

    /// The current thread is about to ask for a lock that it is ready to wait for.
    pub(crate) fn ask_lock(&mut self, me: u32, obj: Obj, shared: bool, site: Site) {
        // Its owner need not wait to take a reentrant lock again; one that is not, it waits for itself, which is found elsewhere.
        if self.object(obj).owner == Some(me) {
            return;
        }
        if self.detectors.lock_order && !self.threads[me as usize].held.is_empty() {
            let to = Held { lock: obj.id, shared, site };
            let thread = &self.threads[me as usize];
            if let Some(cycle) = self.order.ask(me, thread.slot, &thread.held, &to, &thread.order_clock)
                && self.potential_here.is_none()
            {
                let lock = |id: u32| self.object_name(Obj { run: self.epoch, id });
                let mut locks: Vec<String> = cycle.steps.iter().map(|(_, from, _)| lock(from.lock)).collect();
                locks.sort();
                let mut finding = Finding::new(
                    Detector::PotentialDeadlock,
                    format!("these locks are taken in both orders: {}", locks.join(", ")),
                );
                for (thread, from, to) in &cycle.steps {
                    finding = finding.with(format!(
                        "{} holds {} (taken at {}) and asks for {} at {}",
                        self.thread_name(*thread),
                        lock(from.lock),
                        place(from.site),
                        lock(to.lock),
                        place(to.site)
                    ));
                    let involved =
                        |deed, held: &Held| self.involved(*thread, deed, Obj { run: self.epoch, id: held.lock }, held.site);
                    finding = finding.involving(involved(Deed::Holds, from)).involving(involved(Deed::WaitsFor, to));
                }
                self.potential_here = Some(finding);
            }
        }
    }

    /// Whether `thread` holds the lock alone.
    pub(crate) fn holds(&mut self, thread: u32, obj: Obj) -> bool {
        self.object(obj).owner == Some(thread)
    }

    /// Whether a lock can be had now by `me`, which may already stand in line (`waits`).
    pub(crate) fn lock_is_free_after(&mut self, me: u32, obj: Obj, shared: bool, waits: bool) -> bool {
        let object = self.object(obj);
        if shared {
            // A reader that was let through the line when it was woken does not stand behind later writers.
            return object.owner.is_none() && (waits || object.writers_waiting == 0);
        }
        let mine = |owner| owner == me && object.nature == Nature::Reentrant;
        object.owner.is_none_or(mine) && object.shared.is_empty()
    }

    /// Loom gave the current thread the lock that it had blocked for.
    #[cfg(feature = "loom")]
    pub(crate) fn had_lock(&mut self, me: u32) {
        let thread = &mut self.threads[me as usize];
        thread.state = State::Ready;
        thread.waiting = None;
        thread.wake = None;
    }

    /// The current thread has the lock.
    pub(crate) fn locked(&mut self, me: u32, obj: Obj, shared: bool, site: Site) {
        let races = self.detectors.races;
        let orders = self.detectors.lock_order && !self.condition_sites.is_empty() && {
            let made = self.objects[obj.id as usize].site;
            self.condition_sites.contains(&made)
        };
        let object = self.object(obj);
        if shared {
            object.shared.push(me);
        } else {
            object.owner = Some(me);
            object.depth += 1;
            if object.depth > 1 {
                return;
            }
        }
        let object = &self.objects[obj.id as usize];
        let thread = &mut self.threads[me as usize];
        if races {
            thread.clock.join(&object.clock);
        }
        if orders {
            thread.order_clock.join(&object.order_clock);
        }
        thread.now_ns = thread.now_ns.max(object.now_ns);
        thread.held.push(Held { lock: obj.id, shared, site });
        if self.trace.is_some() {
            self.record_event(me, Op::Locked, Some(obj), site);
        }
    }

    /// The current thread gives a lock back; who waited for it may try again.
    pub(crate) fn unlocked(&mut self, me: u32, obj: Obj, shared: bool) {
        let (races, lock_order) = (self.detectors.races, self.detectors.lock_order);
        let object = &mut self.objects[obj.id as usize];
        if shared {
            if let Some(position) = object.shared.iter().position(|&reader| reader == me) {
                object.shared.swap_remove(position);
            }
        } else {
            object.depth -= 1;
            if object.depth > 0 {
                return;
            }
            object.owner = None;
        }
        let thread = &mut self.threads[me as usize];
        if let Some(position) = thread.held.iter().rposition(|held| held.lock == obj.id) {
            let held = thread.held.remove(position);
            if self.trace.is_some() {
                self.record_event(me, Op::Unlock, Some(obj), held.site);
            }
        }
        let thread = &mut self.threads[me as usize];
        let object = &mut self.objects[obj.id as usize];
        if races {
            object.clock.join(&thread.clock);
            thread.clock.tick(thread.slot);
        }
        if lock_order {
            object.order_clock.join(&thread.order_clock);
            thread.order_clock.tick(thread.slot);
        }
        object.now_ns = object.now_ns.max(thread.now_ns);
        self.history_did(me, Op::Unlock as u8, Some(obj));
        for waiter in std::mem::take(&mut self.objects[obj.id as usize].waiters) {
            self.wake(waiter, Wake::Notified);
        }
    }

    /// `waiter` stands in line at `obj`.
    pub(crate) fn queue_for(&mut self, obj: Obj, waiter: u32) {
        let object = self.object(obj);
        if !object.waiters.contains(&waiter) {
            object.waiters.push(waiter);
        }
    }

    pub(crate) fn leave_queue(&mut self, obj: Obj, waiter: u32) {
        self.object(obj).waiters.retain(|other| *other != waiter);
    }

    /// How many stand in line at `obj`.
    pub(crate) fn queue_len(&mut self, obj: Obj) -> u64 {
        self.object(obj).waiters.len() as u64
    }

    /// Takes the one at `position` out of the line at `obj`.
    pub(crate) fn leave_queue_at(&mut self, obj: Obj, position: u64) -> u32 {
        self.object(obj).waiters.remove(position as usize)
    }

    /// A writer began or ended waiting for a read-write lock. When none waits any more the readers behind may try again.
    pub(crate) fn writer_waits(&mut self, obj: Obj, waits: bool) {
        let object = self.object(obj);
        if waits {
            object.writers_waiting += 1;
            return;
        }
        object.writers_waiting -= 1;
        if object.writers_waiting == 0 && object.owner.is_none() {
            for waiter in std::mem::take(&mut object.waiters) {
                self.wake(waiter, Wake::Notified);
            }
        }
    }

    /// A mutex is used with a condition variable.
    pub(crate) fn guards_condition(&mut self, obj: Obj) {
        let site = self.object(obj).site;
        if !self.condition_sites.contains(&site) {
            self.condition_sites.push(site);
        }
    }

    /// The current thread enters or leaves a primitive's own critical section, or does an atomic access.
    pub(crate) fn acquire(&mut self, me: u32, obj: Obj, orders: bool) {
        self.object(obj);
        let object = &self.objects[obj.id as usize];
        let thread = &mut self.threads[me as usize];
        if self.detectors.races {
            thread.clock.join(&object.clock);
        }
        if orders {
            thread.order_clock.join(&object.order_clock);
        }
        thread.now_ns = thread.now_ns.max(object.now_ns);
    }

    pub(crate) fn release(&mut self, me: u32, obj: Obj, orders: bool) {
        let object = &mut self.objects[obj.id as usize];
        let thread = &mut self.threads[me as usize];
        if self.detectors.races {
            object.clock.join(&thread.clock);
            thread.clock.tick(thread.slot);
        }
        if orders {
            object.order_clock.join(&thread.order_clock);
            thread.order_clock.tick(thread.slot);
        }
        object.now_ns = object.now_ns.max(thread.now_ns);
    }

    /// An access to a checked cell: the race that it makes, if any.
    pub(crate) fn access(&mut self, me: u32, obj: Obj, writes: bool, site: Site) -> Option<Finding> {
        if !self.detectors.races {
            return None;
        }
        self.object(obj);
        let object = &mut self.objects[obj.id as usize];
        let (threads, thread) = (&self.threads, &self.threads[me as usize]);
        let now = (me, thread.clock.of(thread.slot), site);
        let unordered =
            |&(other, count, _): &(u32, u32, Site)| other != me && !thread.clock.knows(threads[other as usize].slot, count);
        let racing = object.write.filter(unordered).map(|access| (access, "write"));
        let racing = racing.or_else(|| {
            let read = if writes { object.reads.iter().copied().find(unordered) } else { None };
            read.map(|access| (access, "read"))
        });
        if writes {
            object.write = Some(now);
            object.reads.clear();
        } else {
            object.reads.retain(|(reader, ..)| *reader != me);
            object.reads.push(now);
        }
        let ((other, _, other_site), what) = racing?;
        let mine = if writes { "write" } else { "read" };
        let mut pair = [format!("{mine} at {}", place(site)), format!("{what} at {}", place(other_site))];
        pair.sort();
        Some(
            Finding::new(Detector::Race, format!("{}: {} and {} are not ordered", self.object_name(obj), pair[0], pair[1]))
                .with(format!("the {mine} is by {}, the {what} by {}", self.thread_name(me), self.thread_name(other)))
                .involving(self.involved(other, Deed::of_access(what == "write"), obj, other_site))
                .involving(self.involved(me, Deed::of_access(writes), obj, site)),
        )
    }

    /// On loom, which finds races itself: who accessed a cell, and where.
    #[cfg(feature = "loom")]
    pub(crate) fn note_access(&mut self, me: u32, obj: Obj, writes: bool, site: Site) {
        self.object(obj);
        self.last_access = Some((obj, writes, site));
        let object = &mut self.objects[obj.id as usize];
        object.reads.retain(|(reader, ..)| *reader != me);
        object.reads.push((me, u32::from(writes), site));
    }

    /// The race that loom has seen at the access noted last.
    #[cfg(feature = "loom")]
    pub(crate) fn loom_race(&self) -> Finding {
        let Some((obj, writes, site)) = self.last_access else {
            return Finding::new(Detector::Race, "loom saw a race outside the facade");
        };
        let tell = |writes, site| format!("{} at {}", if writes { "write" } else { "read" }, place(site));
        let others = self.objects[obj.id as usize]
            .reads
            .iter()
            .filter(|(_, other_writes, other_site)| *other_site != site && (writes || *other_writes == 1));
        let mut pair = vec![tell(writes, site)];
        pair.extend(others.map(|(_, writes, site)| tell(*writes == 1, site)));
        pair.sort();
        let mut finding =
            Finding::new(Detector::Race, format!("{}: {} are not ordered", self.object_name(obj), pair.join(" and ")));
        let accesses = self.objects[obj.id as usize].reads.iter();
        for &(thread, other_writes, other_site) in accesses.filter(|access| access.2 == site || writes || access.1 == 1) {
            finding = finding.involving(self.involved(thread, Deed::of_access(other_writes == 1), obj, other_site));
        }
        finding
    }

    pub(crate) fn register(&mut self, kind: &'static str, site: Site) -> Obj {
        self.create(kind, Nature::Resource, site)
    }

    /// What its owner has dropped is released, and nobody can have used it since.
    pub(crate) fn released_by_drop(&mut self, obj: Obj) {
        let me = super::me();
        let object = self.object(obj);
        object.released = Some((me, object.site));
    }

    pub(crate) fn use_resource(&mut self, me: u32, obj: Obj, releases: bool, site: Site) -> Result<(), Finding> {
        let name = self.object_name(obj);
        let user = self.thread_name(me);
        let dead = self.object(obj).released;
        match dead {
            Some((by, at)) => {
                let (detector, what) = match releases {
                    true => (Detector::DoubleRelease, "released again"),
                    false => (Detector::UseAfterRelease, "used"),
                };
                Err(Finding::new(detector, format!("{name} was {what} at {} after its release at {}", place(site), place(at)))
                    .with(format!("released by {}, then {what} by {user}", self.thread_name(by)))
                    .involving(self.involved(by, Deed::Releases, obj, at))
                    .involving(self.involved(me, if releases { Deed::Releases } else { Deed::Uses }, obj, site)))
            }
            None => {
                if releases {
                    self.object(obj).released = Some((me, site));
                }
                Ok(())
            }
        }
    }
}
