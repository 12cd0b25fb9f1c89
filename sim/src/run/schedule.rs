//! Steps and choices, and who runs next: scheduling and virtual time on shuttle and cases.

use super::{AFTERLIFE_NS, ActiveOperation, IDLE_ROUNDS_MAX, Obj, Run, STEPS_MAX, Site, State, Thread, Wake, me};
use crate::choice::Choice;
use crate::choice::Kind;
use crate::choice::mix;
use crate::engine::Engine;
use crate::net::link::Chance;
use crate::strategy::Step;
use crate::trace::Event;
use crate::trace::Op;
use crate::trace::Pick;
use crate::trace::place;
use crate::verdict::{Deed, Detector, Finding, Involved};
use std::sync::atomic::Ordering;

impl Run {
    /// `thread` has come to a step, and makes it when it goes on.
    #[inline]
    pub(crate) fn come_to(&mut self, thread: u32, op: Op, obj: Option<Obj>, site: Site) {
        self.note(thread, op, obj, site);
        let step = Step::new(op, obj.map(|obj| obj.id), obj.map(|obj| self.class_of(obj)));
        self.strategy.arrived(thread, step);
        self.history_arrived(thread, op as u8, step);
    }

    /// `thread` makes a step.
    #[inline]
    pub(crate) fn record(&mut self, thread: u32, op: Op, obj: Option<Obj>, site: Site) {
        self.note(thread, op, obj, site);
        self.history_did(thread, op as u8, obj);
    }

    /// The step that `thread` has come to happens.
    #[inline]
    fn happens(&mut self, thread: u32) {
        self.strategy.happens(thread);
        self.history_happens(thread);
    }

    #[inline]
    fn note(&mut self, thread: u32, op: Op, obj: Option<Obj>, site: Site) {
        let id = obj.map_or(u64::from(u32::MAX), |obj| u64::from(obj.id));
        self.hash = mix(self.hash, (id << 32) | (u64::from(thread) << 8) | op as u64);
        self.steps += 1;
        self.progress.steps.store(self.steps, Ordering::Relaxed);
        if self.trace.is_some() {
            self.record_event(thread, op, obj, site);
        }
        self.note_order(thread, op, obj, site);
    }

    #[cold]
    pub(super) fn record_event(&mut self, thread: u32, op: Op, obj: Option<Obj>, site: Site) {
        let object = obj.map(|obj| self.object_name(obj)).unwrap_or_default();
        let now_ns = self.now(thread);
        let choices = self.choices.len() as u64;
        if let Some(trace) = &mut self.trace {
            trace.events.push(Event {
                thread,
                now_ns,
                op,
                object,
                site: place(site),
                choices,
                object_id: obj.map(|obj| obj.id),
                other: None,
                packet: None,
            });
        }
    }

    /// The time that `thread` sees.
    pub(crate) fn now(&self, thread: u32) -> u64 {
        match self.engine {
            Engine::Loom => self.threads[thread as usize].now_ns,
            _ => self.now_ns,
        }
    }

    /// A choice of the program or of a primitive.
    pub(crate) fn choose(&mut self, kind: Kind, arity: u64) -> u64 {
        if arity <= 1 {
            return 0;
        }
        let value = self.strategy.choose(kind, arity);
        self.push_choice(Choice { kind, arity, value, preempts: false });
        value
    }

    /// A choice whose answers other than 0 have this chance together.
    #[inline]
    pub(crate) fn choose_with_odds(&mut self, kind: Kind, arity: u64, chance: Chance) -> u64 {
        if arity <= 1 {
            return 0;
        }
        let value = self.strategy.choose_with_odds(kind, arity, chance);
        self.push_choice(Choice { kind, arity, value, preempts: false });
        value
    }

    /// Which of so many packets arrives next, or, one further, that time passes first.
    pub(crate) fn choose_delivery(&mut self, packets: u64, time_may_pass: bool) -> u64 {
        let arity = packets + u64::from(time_may_pass);
        if arity <= 1 {
            return 0;
        }
        let value = self.strategy.choose_delivery(packets, time_may_pass);
        self.push_choice(Choice { kind: Kind::Delivery, arity, value, preempts: false });
        value
    }

    #[inline]
    fn push_choice(&mut self, choice: Choice) {
        self.hash = mix(self.hash, (u64::from(choice.kind.code()) << 56) ^ (choice.arity << 24) ^ choice.value);
        self.choices.push(choice);
        match choice.kind {
            // Who goes on is told by what happens then.
            Kind::Schedule => {}
            Kind::Random | Kind::Input => self.history_did(me(), choice.value as u8 | 0x80, None),
            // Nothing has happened.
            kind if choice.value == 0 && (kind == Kind::Timer || kind.is_fault()) => {}
            kind => self.history_of_all(u64::from(kind.code()) << 56 ^ choice.value),
        }
        if let Some(mirror) = &self.mirror {
            mirror.lock().push(choice);
        }
    }

    /// A point at which another thread may run: true if one is to.
    #[inline]
    pub(crate) fn point(&mut self, me: u32, progresses: bool) -> Result<bool, Finding> {
        if self.steps > STEPS_MAX {
            return Err(self.endless());
        }
        if progresses {
            self.idle_rounds = 0;
            if self.yielding > 0 {
                self.stop_yielding();
            }
        }
        if self.has_timed_events() {
            self.fire_early();
        }
        if self.net.has_waiting() {
            self.arrive_early();
        }
        if self.threads.len() == 1 {
            self.happens(me);
            return Ok(false);
        }
        self.options.clear();
        self.options.push(me);
        for &id in &self.live {
            let thread = &self.threads[id as usize];
            if thread.state == State::Ready && id != me && !thread.yielded && self.may_poll(id) {
                self.options.push(id);
            }
        }
        Ok(self.pick(true) != me)
    }

    /// On turmoil, where a task goes on until it waits.
    #[inline]
    pub(crate) fn hosted_point(&mut self) -> Result<bool, Finding> {
        if self.steps > STEPS_MAX { Err(self.endless()) } else { Ok(false) }
    }

    /// The current thread lets others run first: true if one is to.
    pub(crate) fn yield_point(&mut self, me: u32) -> Result<bool, Finding> {
        if self.steps > STEPS_MAX {
            return Err(self.endless());
        }
        if !self.threads[me as usize].yielded {
            self.threads[me as usize].yielded = true;
            self.yielding += 1;
        }
        self.pick_ready(me).map(|picked| picked != me)
    }

    /// The current thread has blocked or ended: picks who runs. It may be the current thread, if its time came.
    pub(crate) fn pick_ready(&mut self, me: u32) -> Result<u32, Finding> {
        if self.has_timed_events() && self.alive().any(|thread| thread.state == State::Ready && !thread.yielded) {
            self.fire_early();
        }
        loop {
            self.options.clear();
            for &id in &self.live {
                let thread = &self.threads[id as usize];
                if thread.state == State::Ready && !thread.yielded && self.may_poll(id) {
                    self.options.push(id);
                }
            }
            if !self.options.is_empty() {
                // The dull answer is the current thread, where it can run.
                if let Some(position) = self.options.iter().position(|&id| id == me) {
                    self.options[..=position].rotate_right(1);
                }
                return Ok(self.pick(false));
            }
            if self.net.has_waiting() && self.arrive_next(self.has_timed_events()) {
                continue;
            }
            if self.yielding > 0 {
                self.idle_rounds += 1;
                if self.idle_rounds > IDLE_ROUNDS_MAX {
                    return Err(self.livelock());
                }
                // Who only yields could run, and time passes all the same: else who waits so for its time would wait for ever.
                self.has_run_ahead = true;
                if self.has_timed_events() {
                    self.advance()?;
                } else {
                    self.now_ns += 1_000_000;
                    self.check_deadlines(self.now_ns)?;
                }
                self.stop_yielding();
            } else if self.has_timed_events() {
                self.advance()?;
            } else {
                return Err(self.stuck());
            }
        }
    }

    #[inline]
    fn pick(&mut self, preempts: bool) -> u32 {
        let me = me();
        let picked = match self.options.len() {
            1 => self.options[0],
            _ => {
                let state = self.state(me);
                let value = self.strategy.schedule(&self.options, preempts, state);
                if let Some(trace) = &mut self.trace {
                    trace.picks.push(Pick { choice: self.choices.len() as u64, options: self.options.clone() });
                }
                let arity = self.options.len() as u64;
                self.push_choice(Choice { kind: Kind::Schedule, arity, value: value as u64, preempts });
                self.options[value]
            }
        };
        if let Some(set) = self.threads[picked as usize].local_set {
            self.local_sets[set as usize] = Some(picked);
        }
        // Set for a switch only: an answer that nobody collects would be taken for the next one.
        self.next = (picked != me).then_some(picked);
        self.happens(picked);
        picked
    }

    fn alive(&self) -> impl Iterator<Item = &Thread> {
        self.live.iter().map(|&id| &self.threads[id as usize])
    }

    pub(super) fn stop_yielding(&mut self) {
        self.threads.iter_mut().for_each(|thread| thread.yielded = false);
        self.yielding = 0;
    }

    /// Whether somebody waits whose time may end the wait.
    #[cfg(feature = "loom")]
    pub(crate) fn has_timers(&self) -> bool {
        self.timers > 0
    }

    /// Whether time ends somebody's wait, or brings a packet.
    #[inline]
    fn has_timed_events(&self) -> bool {
        self.timers > 0 || self.net.next_arrival_ns().is_some()
    }

    fn fire_early(&mut self) {
        if self.choose(Kind::Timer, 2) == 1
            && let Some(earliest) = self.earliest_deadline()
        {
            let jump_ns = earliest.saturating_sub(self.now_ns);
            if jump_ns > self.slowness_max_ns {
                return;
            }
            self.has_run_ahead = true;
            // The processor was slow, not the operations: their time is theirs still.
            for operation in &mut self.operations {
                operation.deadline_ns = operation.deadline_ns.map(|deadline| deadline.saturating_add(jump_ns));
            }
            self.fire(earliest);
        }
    }

    fn earliest_deadline(&self) -> Option<u64> {
        let blocked = self.alive().filter(|thread| thread.state == State::Blocked);
        let waits = blocked.filter_map(|thread| thread.deadline_ns).min();
        [waits, self.net.next_arrival_ns()].into_iter().flatten().min()
    }

    /// Nothing can run: time passes to the next timer.
    fn advance(&mut self) -> Result<(), Finding> {
        let Some(earliest) = self.earliest_deadline() else { return Err(self.stuck()) };
        self.check_deadlines(earliest)?;
        if let Some(ended) = self.main_ended_ns
            && earliest > ended.saturating_add(AFTERLIFE_NS)
        {
            let alive: Vec<String> = self.unfinished().map(|thread| self.thread_name(thread)).collect();
            let reason = format!("{} still ran 60 s after the body had ended", alive.join(", "));
            return Err(Finding::new(Detector::Leak, reason));
        }
        self.fire(earliest);
        Ok(())
    }

    fn fire(&mut self, until_ns: u64) {
        self.now_ns = self.now_ns.max(until_ns);
        self.hash = mix(self.hash, self.now_ns);
        self.history_of_all(self.now_ns);
        for position in 0..self.live.len() {
            let id = self.live[position];
            let thread = &self.threads[id as usize];
            if thread.state == State::Blocked && thread.deadline_ns.is_some_and(|deadline| deadline <= self.now_ns) {
                self.wake(id, Wake::TimedOut);
            }
        }
        self.arrive_due();
    }

    /// Every thread is blocked and time is about to pass to `until_ns`: is that past what an operation allows itself?
    pub(crate) fn check_deadlines(&self, until_ns: u64) -> Result<(), Finding> {
        let is_late = |operation: &&ActiveOperation| operation.deadline_ns.is_some_and(|deadline| deadline < until_ns);
        let Some(operation) = self.operations.iter().find(is_late) else { return Ok(()) };
        // All that go on with a deadline, as which of them is late first is a matter of the schedule.
        let timed = self.operations.iter().filter(|operation| operation.deadline_ns.is_some());
        let mut reason: Vec<String> = timed
            .map(|operation| {
                format!("{} of {} (within {:?})", operation.name, self.thread_name(operation.thread), operation.allowed)
            })
            .collect();
        reason.sort();
        let mut finding = Finding::new(Detector::Hang, format!("{} did not end", reason.join(" and ")))
            .with(format!("entered at {}", place(operation.site)))
            .involving(Involved {
                thread: operation.thread,
                name: self.thread_name(operation.thread),
                deed: Deed::Operates,
                what: operation.name.to_owned(),
                object: None,
                other: None,
                site: place(operation.site),
            });
        for line in self.tell_waits() {
            finding = finding.with(line);
        }
        Err(self.involve(finding, self.unfinished()))
    }
}
