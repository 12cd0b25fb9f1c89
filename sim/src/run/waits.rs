//! Who waits for whom: deadlocks, lost wake-ups, and how they are told.

use super::{IDLE_ROUNDS_MAX, Nature, Obj, Run, STEPS_MAX, Site, State, WaitFor};
#[cfg(feature = "loom")]
use super::{Thread, Wake};
use crate::awaiting::Awaited;
use crate::trace::{Wait, WaitedFor, place};
use crate::verdict::{Deed, Detector, Finding, Involved};
use smallvec::SmallVec;

impl Run {
    /// Whom `thread` waits for, if its wait has no time and can be ended by particular threads only.
    fn blockers(&self, thread: u32) -> SmallVec<[u32; 4]> {
        let waiter = &self.threads[thread as usize];
        if waiter.state == State::Ready
            && let Some(polled) = waiter.local_set.and_then(|set| self.local_sets[set as usize])
            && polled != thread
        {
            return SmallVec::from_slice(&[polled]);
        }
        if waiter.state != State::Blocked || waiter.deadline_ns.is_some() {
            return SmallVec::new();
        }
        match waiter.waiting {
            Some((WaitFor::Lock(obj), _)) => {
                // A reader behind a waiting writer waits for the readers that the writer waits for.
                let object = &self.objects[obj.id as usize];
                let mut blockers: SmallVec<[u32; 4]> = object.shared.clone();
                blockers.extend(object.owner);
                blockers
            }
            Some((WaitFor::Thread(target), _)) => SmallVec::from_slice(&[target]),
            // A task that awaits one lock waits for its holder, one that joins waits for that task. One that awaits several things could
            // go on with any.
            Some((WaitFor::Wakeup(_), _)) => match waiter.awaiting[..] {
                [(Awaited::Object(obj), _)] => self.objects[obj.id as usize].owner.into_iter().collect(),
                [(Awaited::End(task), _)] => SmallVec::from_slice(&[task]),
                _ => SmallVec::new(),
            },
            _ => SmallVec::new(),
        }
    }

    /// A cycle of threads from `start` back to it, or a chain that ends at a lock whose holder has ended.
    pub(super) fn cycle_from(&self, start: u32) -> Option<Vec<u32>> {
        let mut path = vec![start];
        self.extend_cycle(start, &mut path).then_some(path)
    }

    fn extend_cycle(&self, start: u32, path: &mut Vec<u32>) -> bool {
        let last = path[path.len() - 1];
        let holds_lock = matches!(self.threads[last as usize].waiting, Some((WaitFor::Lock(_), _)));
        for blocker in self.blockers(last) {
            if blocker == start || (holds_lock && self.threads[blocker as usize].state == State::Finished) {
                return true;
            }
            if !path.contains(&blocker) {
                path.push(blocker);
                if self.extend_cycle(start, path) {
                    return true;
                }
                path.pop();
            }
        }
        false
    }

    /// A cycle that goes through a condition: `start` waits for one, and a thread that has notified that condition before waits for a lock,
    /// itself or through others: for one of the waiter's, or for one of somebody who waits for the waiter's end. Where no lock is wanted
    /// the wake-up was lost.
    fn cycle_through_condition(&self, start: u32) -> Option<Vec<u32>> {
        let waiter = &self.threads[start as usize];
        let Some((WaitFor::Wakeup(obj), _)) = waiter.waiting else { return None };
        if waiter.state != State::Blocked || waiter.deadline_ns.is_some() || !waiter.awaiting.is_empty() {
            return None;
        }
        let notifiers = self.objects[obj.id as usize].notifiers.iter().filter(|notifier| **notifier != start);
        notifiers.into_iter().find_map(|&notifier| {
            let mut path = vec![start, notifier];
            self.extend_back_to(start, &mut path, false).then_some(path)
        })
    }

    fn extend_back_to(&self, start: u32, path: &mut Vec<u32>, wanted_lock: bool) -> bool {
        let last = path[path.len() - 1];
        let wants_lock = wanted_lock || matches!(self.threads[last as usize].waiting, Some((WaitFor::Lock(_), _)));
        for blocker in self.blockers(last) {
            if blocker == start && wants_lock {
                return true;
            }
            if !path.contains(&blocker) {
                path.push(blocker);
                if self.extend_back_to(start, path, wants_lock) {
                    return true;
                }
                path.pop();
            }
        }
        false
    }

    pub(super) fn deadlock(&self, cycle: &[u32]) -> Finding {
        let mut reason: Vec<String> = cycle.iter().map(|&thread| self.tell_wait(thread, false)).collect();
        reason.sort();
        let mut finding = Finding::new(Detector::Deadlock, reason.join("; "));
        for &thread in cycle {
            finding = finding.with(self.tell_wait(thread, true));
        }
        self.involve(finding, cycle.iter().copied())
    }

    /// Nothing can run and no time can end a wait.
    pub(crate) fn stuck(&self) -> Finding {
        if let Some(cycle) = self.unfinished().find_map(|thread| self.cycle_from(thread)) {
            return self.deadlock(&cycle);
        }
        if let Some(cycle) = self.unfinished().find_map(|thread| self.cycle_through_condition(thread)) {
            return self.deadlock(&cycle);
        }
        let mut reason: Vec<String> = self.unfinished().map(|thread| self.tell_wait(thread, false)).collect();
        reason.sort();
        let mut finding = Finding::new(Detector::LostWakeup, reason.join("; "));
        for line in self.tell_waits() {
            finding = finding.with(line);
        }
        self.involve(finding, self.unfinished())
    }

    /// On loom: ends the earliest timed wait if no thread can run.
    #[cfg(feature = "loom")]
    pub(crate) fn fire_if_quiet(&mut self) {
        if !self.is_quiet() {
            return;
        }
        let timed = (0..self.threads.len()).filter(|&id| self.threads[id].state == State::Blocked);
        let earliest = timed.filter_map(|id| self.threads[id].deadline_ns.map(|deadline| (deadline, id))).min();
        if let Some((_, id)) = earliest {
            self.wake(id as u32, Wake::TimedOut);
        }
    }

    /// On loom: no thread of the body can run.
    #[cfg(feature = "loom")]
    pub(crate) fn is_quiet(&self) -> bool {
        let can_run = |thread: &Thread| match thread.state {
            State::Finished => false,
            State::Ready => true,
            // Noted as blocked before it asks loom for the lock: free, it will have it.
            State::Blocked => match thread.waiting {
                Some((WaitFor::Lock(obj), _)) => {
                    let object = &self.objects[obj.id as usize];
                    object.owner.is_none() && object.shared.is_empty()
                }
                _ => false,
            },
        };
        !self.threads.iter().any(can_run)
    }

    pub(super) fn livelock(&self) -> Finding {
        let mut names: Vec<String> = self.unfinished().map(|thread| self.thread_name(thread)).collect();
        names.sort();
        let mut finding = Finding::new(Detector::Livelock, format!("nobody gets anywhere among {}", names.join(", ")))
            .with(format!("in {IDLE_ROUNDS_MAX} rounds every thread that could run only yielded"));
        for line in self.tell_waits() {
            finding = finding.with(line);
        }
        self.involve(finding, self.unfinished())
    }

    pub(super) fn endless(&self) -> Finding {
        Finding::new(Detector::Livelock, format!("the run had not ended after {STEPS_MAX} steps"))
    }

    pub(super) fn tell_waits(&self) -> Vec<String> {
        self.unfinished().map(|thread| self.tell_wait(thread, true)).collect()
    }

    /// What `thread` waits for, and where. A task that awaits a lock is told as one that waits for it.
    fn wait_of(&self, thread: u32) -> Option<(WaitFor, Site)> {
        let thread = &self.threads[thread as usize];
        let (wait, site) = thread.waiting?;
        Some(match (wait, &thread.awaiting[..]) {
            (WaitFor::Wakeup(_), [(Awaited::Object(obj), site)]) => (WaitFor::Lock(*obj), *site),
            (WaitFor::Wakeup(_), [(Awaited::End(task), site)]) => (WaitFor::Thread(*task), *site),
            _ => (wait, site),
        })
    }

    /// Keeps for whoever looks at the run that `thread` stops here.
    #[cold]
    pub(super) fn record_wait(&mut self, thread: u32) {
        let Some((wait, site)) = self.wait_of(thread) else { return };
        let awaits = matches!(self.threads[thread as usize].waiting, Some((WaitFor::Wakeup(_), _)));
        let what = match wait {
            // A task may await what is no lock.
            WaitFor::Lock(obj) if awaits && self.objects[obj.id as usize].nature != Nature::AsyncLock => {
                WaitedFor::Wakeup(obj.id)
            }
            WaitFor::Lock(obj) => WaitedFor::Lock(obj.id),
            WaitFor::Thread(target) => WaitedFor::End(target),
            WaitFor::Wakeup(obj) => WaitedFor::Wakeup(obj.id),
            WaitFor::Sleep => WaitedFor::Time,
        };
        let deadline_ns = self.threads[thread as usize].deadline_ns;
        if let Some(trace) = &mut self.trace {
            trace.waits.push(Wait { thread, step: trace.events.len(), what, deadline_ns, site: place(site) });
        }
    }

    /// Who has to do with a finding on an object.
    pub(super) fn involved(&self, thread: u32, deed: Deed, obj: Obj, site: Site) -> Involved {
        Involved {
            thread,
            name: self.thread_name(thread),
            deed,
            what: self.object_name(obj),
            object: Some(obj.id),
            other: None,
            site: place(site),
        }
    }

    /// Adds what each of `threads` waits for, and who holds the locks among that.
    pub(super) fn involve(&self, mut finding: Finding, threads: impl Iterator<Item = u32>) -> Finding {
        for thread in threads {
            let Some((wait, site)) = self.wait_of(thread) else { continue };
            match wait {
                WaitFor::Lock(obj) => {
                    let object = &self.objects[obj.id as usize];
                    for &holder in object.owner.iter().chain(&object.shared) {
                        let taken = self.threads[holder as usize].held.iter().rfind(|held| held.lock == obj.id);
                        if let Some(held) = taken {
                            finding = finding.involving(self.involved(holder, Deed::Holds, obj, held.site));
                        }
                    }
                    finding = finding.involving(self.involved(thread, Deed::WaitsFor, obj, site));
                }
                WaitFor::Wakeup(obj) => finding = finding.involving(self.involved(thread, Deed::WaitsOn, obj, site)),
                WaitFor::Thread(target) => finding = finding.involving(self.involved_in_end(thread, target, site)),
                // Time alone is nobody's fault.
                WaitFor::Sleep => {}
            }
        }
        finding
    }

    fn involved_in_end(&self, thread: u32, target: u32, site: Site) -> Involved {
        Involved {
            thread,
            name: self.thread_name(thread),
            deed: Deed::Joins,
            what: self.thread_name(target),
            object: None,
            other: Some(target),
            site: place(site),
        }
    }

    /// Adds the lock that `thread` holds while its task waits, and what it waits for.
    pub(super) fn involve_holder(&self, mut finding: Finding, thread: u32) -> Finding {
        let waiter = &self.threads[thread as usize];
        if let Some(held) = self.blocking_held(thread) {
            finding = finding.involving(self.involved(thread, Deed::Holds, Obj { run: self.epoch, id: held.lock }, held.site));
        }
        match waiter.awaiting.last() {
            Some((Awaited::Object(obj), site)) => finding.involving(self.involved(thread, Deed::WaitsOn, *obj, site)),
            Some((Awaited::End(task), site)) => finding.involving(self.involved_in_end(thread, *task, site)),
            None => finding,
        }
    }

    fn tell_wait(&self, thread: u32, particulars: bool) -> String {
        let name = self.thread_name(thread);
        let Some((wait, site)) = self.wait_of(thread) else { return format!("{name} can run") };
        let at = if particulars { format!(" at {}", place(site)) } else { String::new() };
        match wait {
            WaitFor::Lock(obj) => {
                let mut line = format!("{name} waits for {}{at}", self.object_name(obj));
                let object = &self.objects[obj.id as usize];
                for holder in object.owner.iter().chain(&object.shared).take(if particulars { 4 } else { 1 }) {
                    line.push_str(&format!(", held by {}", self.thread_name(*holder)));
                    let taken = self.threads[*holder as usize].held.iter().rfind(|held| held.lock == obj.id);
                    if particulars && let Some(held) = taken {
                        line.push_str(&format!(" (taken at {})", place(held.site)));
                    }
                }
                line
            }
            WaitFor::Thread(target) => format!("{name} waits for the end of {}{at}", self.thread_name(target)),
            WaitFor::Wakeup(obj) => format!("{name} waits on {}{at}", self.object_name(obj)),
            WaitFor::Sleep => format!("{name} sleeps{at}"),
        }
    }
}
