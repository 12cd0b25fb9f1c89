//! From when to when: locks that are held, and waits.

use super::{Op, Trace, WaitedFor};

/// Something that lasts from one step to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) thread: u32,
    pub(super) what: Lasting,
    /// The step with which it begins.
    pub(super) from: usize,
    /// The step with which it ends. `None` if the run ended before.
    pub(super) to: Option<usize>,
    /// Which of the thread's held locks it is drawn as: the lowest that is free then.
    pub(super) slot: usize,
    /// When time ends a wait.
    pub(super) deadline_ns: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lasting {
    Held(u32),
    Waiting(WaitedFor),
}

impl Trace {
    /// Every lock that was held and every wait, by their beginnings.
    pub(super) fn spans(&self) -> Vec<Span> {
        let mut spans = self.held();
        let steps = self.steps_of_threads();
        for wait in &self.waits {
            let of_thread = steps.get(wait.thread as usize).map_or(&[][..], Vec::as_slice);
            let next = of_thread.partition_point(|step| *step < wait.step);
            spans.push(Span {
                thread: wait.thread,
                what: Lasting::Waiting(wait.what),
                from: next.checked_sub(1).map_or(wait.step.min(self.events.len().saturating_sub(1)), |last| of_thread[last]),
                to: of_thread.get(next).copied(),
                slot: 0,
                deadline_ns: wait.deadline_ns,
            });
        }
        spans.sort_by_key(|span| span.from);
        spans
    }

    fn held(&self) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        // The spans that have not ended, by place.
        let mut open: Vec<usize> = Vec::new();
        for (step, event) in self.events.iter().enumerate() {
            let Some(object) = event.object_id else { continue };
            match event.op {
                Op::Locked => {
                    let is_free = |slot: &usize| {
                        open.iter().all(|place| spans[*place].thread != event.thread || spans[*place].slot != *slot)
                    };
                    // There are no more taken than there are open ones, so one among these is free.
                    let slot = (0..=open.len()).find(is_free).unwrap_or(open.len());
                    open.push(spans.len());
                    let what = Lasting::Held(object);
                    spans.push(Span { thread: event.thread, what, from: step, to: None, slot, deadline_ns: None });
                }
                Op::Unlock => {
                    let is_it =
                        |place: &usize| spans[*place].thread == event.thread && spans[*place].what == Lasting::Held(object);
                    if let Some(position) = open.iter().rposition(is_it) {
                        spans[open.remove(position)].to = Some(step);
                    }
                }
                _ => {}
            }
        }
        spans
    }

    /// For each thread the steps that it made.
    fn steps_of_threads(&self) -> Vec<Vec<usize>> {
        let mut steps = vec![Vec::new(); self.threads.len()];
        for (step, event) in self.events.iter().enumerate() {
            if let Some(of_thread) = steps.get_mut(event.thread as usize) {
                of_thread.push(step);
            }
        }
        steps
    }

    /// For each datagram where it was sent, where its copies arrived, where they were taken, and where something happened to it.
    pub(super) fn ways(&self) -> Vec<Way> {
        let mut ways: Vec<Way> = Vec::new();
        for (step, event) in self.events.iter().enumerate() {
            let Some(number) = event.packet else { continue };
            if event.op == Op::PacketSent {
                ways.push(Way { number, sent: step, ..Way::default() });
                continue;
            }
            // The one that was sent last of this number, as of packets.
            let Some(way) = ways.iter_mut().rfind(|way| way.number == number) else { continue };
            match event.op {
                Op::PacketArrived => way.arrived.push(step),
                Op::PacketReceived => way.received.push(step),
                Op::PacketLost => way.lost.push(step),
                _ => way.harmed.push(step),
            }
        }
        ways
    }
}

/// The steps of a datagram's way.
#[derive(Clone, Debug, Default)]
pub(super) struct Way {
    pub(super) number: u64,
    pub(super) sent: usize,
    pub(super) arrived: Vec<usize>,
    /// Copies are taken in the order in which they arrived.
    pub(super) received: Vec<usize>,
    pub(super) lost: Vec<usize>,
    pub(super) harmed: Vec<usize>,
}
