//! What the page's script draws, as JSON. Names and places come again and again, so they stand in one list.

use crate::choice::{Choice, Kind};
use crate::explore::Replay;
use crate::run::NETWORK_LANE;
use crate::trace::difference::answer;
use crate::trace::spans::Lasting;
use crate::trace::{Event, Op, Trace, WaitedFor};
use crate::verdict::{Deed, Involved, Verdict};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// So many steps a page has: the first ones and the last ones.
const STEPS_MAX: usize = 50_000;
const STEPS_FIRST: usize = 10_000;
/// So many bytes of each datagram are shown.
const PACKET_BYTES_MAX: usize = 64;

/// The data of the page. `script` is the other side: `lanes.js` says what each list holds.
pub(super) fn data(trace: &Trace, replay: &Replay) -> Value {
    let kept = Kept::of(trace.events.len());
    let mut strings = Strings::default();
    let mut ops: Vec<Op> = Vec::new();
    let steps = || kept.steps().map(|step| &trace.events[step]);
    let events: Vec<Value> = steps().map(|event| tell_event(event, &mut strings, &mut ops)).collect();
    let spans = trace.spans();
    let spans: Vec<Value> = spans
        .iter()
        .filter_map(|span| {
            let (from, to) = kept.span(span.from, span.to)?;
            let (what, object) = match span.what {
                Lasting::Held(object) => ("held", object),
                Lasting::Waiting(WaitedFor::Lock(object)) => ("lock", object),
                Lasting::Waiting(WaitedFor::Wakeup(object)) => ("wakeup", object),
                Lasting::Waiting(WaitedFor::End(thread)) => ("end", thread),
                Lasting::Waiting(WaitedFor::Time) => ("time", 0),
            };
            Some(json!([span.thread, what, object, from, to, span.slot, span.deadline_ns]))
        })
        .collect();
    // The objects that somebody sees.
    let mut objects = BTreeMap::new();
    for object in steps().filter_map(|event| event.object_id) {
        objects.insert(object, trace.objects.get(object as usize).map_or("", String::as_str));
    }
    for wait in &trace.waits {
        if let WaitedFor::Lock(object) | WaitedFor::Wakeup(object) = wait.what {
            objects.insert(object, trace.objects.get(object as usize).map_or("", String::as_str));
        }
    }
    let finding = match &replay.verdict {
        Verdict::Caught(finding) => Some(finding),
        _ => None,
    };
    let involved = finding.map_or(&[][..], |finding| &finding.involved);
    let network = if trace.hosts.len() > 1 || !trace.packets.is_empty() { NETWORK_LANE } else { u32::MAX };
    json!({
        "caught": finding.map(|finding| finding.detector.name()),
        "reason": finding.map(|finding| finding.reason.as_str()),
        "network": network,
        "threads": trace.threads.iter().enumerate().map(|(thread, name)| {
            json!([name, trace.thread_hosts.get(thread).copied().unwrap_or(0)])
        }).collect::<Vec<_>>(),
        "hosts": trace.hosts.iter().map(|(name, address)| json!([name, address.to_string()])).collect::<Vec<_>>(),
        "objects": objects.into_iter().map(|(object, name)| json!([object, name])).collect::<Vec<_>>(),
        "ops": ops.iter().map(|op| json!([op.verb(), op.family(), format!("{op:?}")])).collect::<Vec<_>>(),
        "total": trace.events.len(),
        "gap": kept.gap(),
        "events": events,
        "spans": spans,
        "packets": packets(trace, &kept),
        "involved": involved.iter().map(|involved| tell_involved(involved, trace, &kept)).collect::<Vec<_>>(),
        "deviations": deviations(&replay.choices, trace, &kept),
        "strings": strings.list,
    })
}

/// The steps that a page has.
struct Kept {
    all: usize,
    first: usize,
    left_out: usize,
}

impl Kept {
    fn of(all: usize) -> Kept {
        let left_out = all.saturating_sub(STEPS_MAX);
        Kept { all, first: if left_out > 0 { STEPS_FIRST } else { all }, left_out }
    }

    fn steps(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.first).chain(self.first + self.left_out..self.all)
    }

    /// The first step that is left out, and how many are.
    fn gap(&self) -> Value {
        json!([self.first, self.left_out])
    }

    /// Where the page has this step. What is left out is where the page goes on.
    fn place(&self, step: usize) -> usize {
        if step < self.first { step } else { step.saturating_sub(self.left_out).max(self.first) }
    }

    fn has(&self, step: usize) -> bool {
        step < self.first || step >= self.first + self.left_out
    }

    fn span(&self, from: usize, to: Option<usize>) -> Option<(usize, Option<usize>)> {
        let is_in_gap = !self.has(from) && to.is_some_and(|to| !self.has(to));
        (!is_in_gap).then(|| (self.place(from), to.map(|to| self.place(to))))
    }
}

/// Each string once.
#[derive(Default)]
struct Strings {
    list: Vec<String>,
    places: BTreeMap<String, usize>,
}

impl Strings {
    fn place(&mut self, text: &str) -> usize {
        if let Some(place) = self.places.get(text) {
            return *place;
        }
        self.places.insert(text.to_owned(), self.list.len());
        self.list.push(text.to_owned());
        self.list.len() - 1
    }
}

fn tell_event(event: &Event, strings: &mut Strings, ops: &mut Vec<Op>) -> Value {
    let op = ops.iter().position(|op| *op == event.op).unwrap_or_else(|| {
        ops.push(event.op);
        ops.len() - 1
    });
    let (object, site) = (strings.place(&event.object), strings.place(&event.site));
    json!([event.thread, event.now_ns, op, object, site, event.object_id, event.packet, event.other])
}

fn packets(trace: &Trace, kept: &Kept) -> Vec<Value> {
    let ways = trace.ways();
    let told = ways.iter().filter_map(|way| {
        let found = trace.packets.binary_search_by_key(&way.number, |packet| packet.number).ok()?;
        let packet = &trace.packets[found];
        let steps =
            |steps: &[usize]| steps.iter().filter(|step| kept.has(**step)).map(|step| kept.place(*step)).collect::<Vec<_>>();
        let to_host = trace.hosts.iter().position(|(_, address)| *address == packet.to.ip());
        let bytes: String = packet.bytes.iter().take(PACKET_BYTES_MAX).map(|byte| format!("{byte:02x}")).collect();
        kept.has(way.sent).then(|| {
            json!({
                "number": way.number, "from": packet.from.to_string(), "to": packet.to.to_string(), "toHost": to_host,
                "length": packet.bytes.len(), "bytes": bytes, "fate": packet.fate, "sent": kept.place(way.sent),
                "arrived": steps(&way.arrived), "received": steps(&way.received), "lost": steps(&way.lost),
                "harmed": steps(&way.harmed),
            })
        })
    });
    told.collect()
}

/// A part of the finding, with the last step that it was.
fn tell_involved(involved: &Involved, trace: &Trace, kept: &Kept) -> Value {
    let is_it = |event: &&Event| {
        let op = match involved.deed {
            Deed::Holds => event.op == Op::Locked,
            Deed::WaitsFor => matches!(event.op, Op::Lock | Op::Recv | Op::Send | Op::Wait),
            Deed::Joins => event.op == Op::Join,
            Deed::WaitsOn => matches!(event.op, Op::Wait | Op::Recv | Op::Send | Op::Lock),
            Deed::Reads => event.op == Op::CellRead,
            Deed::Writes => event.op == Op::CellWrite,
            Deed::Uses => event.op == Op::Use,
            Deed::Releases => event.op == Op::Release,
            Deed::Operates => event.op == Op::OperationBegin,
        };
        let same_object = involved.object.is_none() || event.object_id == involved.object;
        op && event.thread == involved.thread && event.site == involved.site && same_object
    };
    // One who waits is where it made its last step, where no step says that it waits.
    let waits = matches!(involved.deed, Deed::WaitsFor | Deed::WaitsOn | Deed::Joins);
    let last = || trace.events.iter().rposition(|event| event.thread == involved.thread).filter(|_| waits);
    let step = trace.events.iter().rposition(|event| is_it(&event)).or_else(last);
    let step = step.filter(|step| kept.has(*step)).map(|step| kept.place(step));
    json!({
        "thread": involved.thread, "name": involved.name, "deed": format!("{:?}", involved.deed), "verb": involved.deed.verb(),
        "what": involved.what, "object": involved.object, "other": involved.other, "site": involved.site, "step": step,
    })
}

/// The choices that were not dull, each at the step that came after it.
fn deviations(choices: &[Choice], trace: &Trace, kept: &Kept) -> Vec<Value> {
    let not_dull = choices.iter().enumerate().filter(|(_, choice)| choice.value != 0);
    let told = not_dull.filter_map(|(place, choice)| {
        let step = trace.events.partition_point(|event| event.choices <= place as u64);
        let preempts = choice.preempts && choice.kind == Kind::Schedule;
        let text = answer(choice, place as u64, Some(trace));
        let step = step.min(trace.events.len().saturating_sub(1));
        kept.has(step).then(|| json!([kept.place(step), place, choice.kind.name(), text, preempts]))
    });
    told.collect()
}
