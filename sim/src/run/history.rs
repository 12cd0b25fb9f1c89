//! What has happened before what, as one number: runs in which steps that conflict came in the same order have the same.

use super::{Obj, Run};
use crate::choice::mix;
use crate::strategy::Step;

/// The happens-before relation of a run so far, for a search that leaves out what it has had in another order. Threads and objects are
/// called by what led to them, as their numbers are those of one order.
#[derive(Debug, Default)]
pub(crate) struct History {
    threads: Vec<Past>,
    objects: Vec<Object>,
    /// The last thing that concerned everybody.
    barrier: u64,
}

/// What has led a thread to where it is.
#[derive(Clone, Copy, Debug, Default)]
struct Past {
    name: u64,
    /// Its last step, with all that came before that.
    last: u64,
    /// Threads and objects that it has made.
    made: u64,
    /// The step that it is about to make.
    next: Option<(u8, Step)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Object {
    name: u64,
    /// Its last change.
    change: u64,
    /// The looks at it since, in no order.
    looks: u64,
}

impl History {
    fn clear(&mut self) {
        self.threads.clear();
        self.objects.clear();
        self.barrier = 0;
    }

    /// What `thread` makes now is called this.
    fn make(&mut self, thread: u32) -> u64 {
        fill(&mut self.threads, thread);
        let past = &mut self.threads[thread as usize];
        past.made += 1;
        mix(mix(past.name, past.last), past.made)
    }

    fn spawned(&mut self, parent: u32, child: u32) {
        let name = self.make(parent);
        fill(&mut self.threads, child);
        self.threads[child as usize] = Past { name, last: self.threads[parent as usize].last, ..Past::default() };
        self.did(parent, 0, Step::LOCAL);
    }

    fn created(&mut self, thread: u32, object: u32) {
        let name = self.make(thread);
        fill(&mut self.objects, object);
        self.objects[object as usize].name = name;
    }

    fn arrived(&mut self, thread: u32, op: u8, step: Step) {
        fill(&mut self.threads, thread);
        self.threads[thread as usize].next = Some((op, step));
    }

    fn happens(&mut self, thread: u32) {
        if let Some((op, step)) = self.threads.get_mut(thread as usize).and_then(|past| past.next.take()) {
            self.did(thread, op, step);
        }
    }

    fn did(&mut self, thread: u32, op: u8, step: Step) {
        fill(&mut self.threads, thread);
        let mut last = mix(self.threads[thread as usize].last, u64::from(op));
        if let Some(id) = step.object {
            fill(&mut self.objects, id);
            let object = &mut self.objects[id as usize];
            last = mix(mix(last, object.name), object.change);
            if step.writes {
                last = mix(last, object.looks);
                (object.change, object.looks) = (last, 0);
            } else {
                object.looks = object.looks.wrapping_add(last);
            }
        }
        self.threads[thread as usize].last = last;
    }

    fn everybody(&mut self, what: u64) {
        self.barrier = mix(mix(self.barrier, what), self.name());
    }

    fn name(&self) -> u64 {
        self.threads.iter().fold(self.barrier, |name, past| name.wrapping_add(mix(past.name, past.last)))
    }

    fn object_name(&self, id: u32) -> u64 {
        self.objects.get(id as usize).map_or(0, |object| object.name)
    }

    fn thread_name(&self, id: u32) -> u64 {
        self.threads.get(id as usize).map_or(0, |past| past.name)
    }
}

impl Run {
    /// From the next run on the history is kept.
    pub(crate) fn keep_history(&mut self) {
        self.history = Some(Box::default());
    }

    pub(super) fn clear_history(&mut self) {
        self.history.iter_mut().for_each(|history| history.clear());
    }

    /// `thread` is about to make a step.
    #[inline]
    pub(super) fn history_arrived(&mut self, thread: u32, op: u8, step: Step) {
        if let Some(history) = &mut self.history {
            history.arrived(thread, op, step);
        }
    }

    /// The step that `thread` was about to make happens.
    #[inline]
    pub(super) fn history_happens(&mut self, thread: u32) {
        if let Some(history) = &mut self.history {
            history.happens(thread);
        }
    }

    /// `thread` makes a step that it was not waited with.
    #[inline]
    pub(super) fn history_did(&mut self, thread: u32, op: u8, obj: Option<Obj>) {
        if let Some(history) = &mut self.history {
            let step = Step { object: obj.map(|obj| obj.id), writes: true, class: None };
            // What the network does concerns everybody.
            match thread {
                super::NETWORK_LANE => history.everybody(u64::from(op)),
                _ => history.did(thread, op, step),
            }
        }
    }

    pub(super) fn history_spawned(&mut self, parent: u32, child: u32) {
        if let Some(history) = &mut self.history {
            history.spawned(parent, child);
        }
    }

    pub(super) fn history_created(&mut self, thread: u32, object: u32) {
        if let Some(history) = &mut self.history {
            history.created(thread, object);
        }
    }

    /// Something concerns everybody: time has passed, a packet was harmed.
    #[inline]
    pub(super) fn history_of_all(&mut self, what: u64) {
        if let Some(history) = &mut self.history {
            history.everybody(what);
        }
    }

    /// A name of all that the run has come to, while `me` is the one that goes on: the same for runs that differ only in the order of
    /// steps that do not conflict. `None` where no history is kept.
    pub(super) fn state(&self, me: u32) -> Option<u64> {
        let history = self.history.as_ref()?;
        let mut name = mix(history.name(), history.thread_name(me));
        for &id in &self.live {
            let thread = &self.threads[id as usize];
            let waits = thread.waiting.map_or(0, |(wait, _)| match wait {
                super::WaitFor::Lock(obj) => mix(1, history.object_name(obj.id)),
                super::WaitFor::Thread(other) => mix(2, history.thread_name(other)),
                super::WaitFor::Wakeup(obj) => mix(3, history.object_name(obj.id)),
                super::WaitFor::Sleep => 4,
            });
            let next = history.threads.get(id as usize).and_then(|past| past.next);
            let next = next.map_or(0, |(op, step)| mix(u64::from(op), step.object.map_or(1, |id| history.object_name(id))));
            let flags = u64::from(thread.yielded) | u64::from(thread.wake.is_some()) << 1 | (thread.state as u64) << 2;
            let parts = [waits, next, flags, thread.deadline_ns.unwrap_or_default()];
            name = name.wrapping_add(parts.into_iter().fold(history.thread_name(id), mix));
        }
        let polled =
            self.local_sets.iter().fold(0, |hash, polled| mix(hash, polled.map_or(0, |task| mix(1, history.thread_name(task)))));
        for part in [polled, self.now_ns, self.wall_offset_ns as u64, self.net.next_arrival_ns().unwrap_or_default()] {
            name = mix(name, part);
        }
        Some(name)
    }
}

/// Makes room for number `at`.
fn fill<T: Clone + Default>(items: &mut Vec<T>, at: u32) {
    if items.len() <= at as usize {
        items.resize(at as usize + 1, T::default());
    }
}
