//! A run as Chrome's trace events, which ui.perfetto.dev opens: a track for each thread, on a process for each host.

use super::spans::{Lasting, Span};
use super::{Event, Op, Trace, WaitedFor};
use crate::explore::Replay;
use crate::run::NETWORK_LANE;
use crate::token::Token;
use serde_json::{Value, json};

/// So far apart are two steps at the least, in nanoseconds: what happens at one moment of virtual time still has an order.
const STEP_NS: u64 = 1_000;
/// How long a step that others point at is drawn.
const MARK_NS: u64 = 500;
/// The track of a host's network.
const NETWORK_TRACK: u64 = 1_000_000;
/// Spans that overlap without one being inside the other are drawn on tracks that are so far apart.
const LAYERS: u64 = 100_000;

/// The run for ui.perfetto.dev, as JSON in Chrome's trace event format: hosts are processes, threads are tracks, locks that are held
/// and waits are slices, packets are slices that arrows join, and every other step is an instant.
///
/// Two steps at one moment of virtual time are a microsecond apart, so the axis runs ahead of virtual time by so much; what
/// virtual time it was stands with each step, in nanoseconds. A run whose steps were not recorded has no events.
pub fn perfetto(token: &Token, replay: &Replay) -> String {
    let empty = Trace::default();
    let trace = replay.trace.as_ref().unwrap_or(&empty);
    let drawing = Drawing { trace, at_ns: moments(&trace.events) };
    let mut events = drawing.names();
    events.extend(drawing.spans());
    events.extend(drawing.steps());
    events.extend(drawing.flows());
    let file = json!({
        "traceEvents": events,
        "displayTimeUnit": "ns",
        "otherData": {
            "exhibit": token.exhibit,
            "subject": token.subject,
            "engine": token.engine.name(),
            "token": token.to_string(),
            "verdict": replay.verdict.to_string(),
            "trace hash": format!("{:016x}", replay.trace_hash),
            "axis": "steps at one moment of virtual time are 1 us apart",
        },
    });
    format!("{file}\n")
}

struct Drawing<'a> {
    trace: &'a Trace,
    /// When each step is drawn.
    at_ns: Vec<u64>,
}

/// When each step is drawn: at its time, and after the one before it.
fn moments(events: &[Event]) -> Vec<u64> {
    let mut next_ns = 0;
    let moment = |event: &Event| {
        let at_ns = event.now_ns.max(next_ns);
        next_ns = at_ns + STEP_NS;
        at_ns
    };
    events.iter().map(moment).collect()
}

/// Nanoseconds as the format's microseconds.
fn us(ns: u64) -> Value {
    json!(ns as f64 / 1_000.0)
}

impl Drawing<'_> {
    fn process(&self, thread: u32) -> u64 {
        self.trace.thread_hosts.get(thread as usize).map_or(0, |host| u64::from(*host)) + 1
    }

    /// Process and track of a step. What the network does is drawn beside its host's threads.
    fn track(&self, event: &Event) -> (u64, u64) {
        if event.thread != NETWORK_LANE {
            return (self.process(event.thread), u64::from(event.thread) + 1);
        }
        let packet = event.packet.and_then(|number| self.trace.packets.iter().rfind(|packet| packet.number == number));
        let end = packet.map(|packet| if event.op == Op::PacketArrived { packet.to.ip() } else { packet.from.ip() });
        let host = self.trace.hosts.iter().position(|(_, address)| Some(*address) == end);
        (host.unwrap_or(0) as u64 + 1, NETWORK_TRACK)
    }

    /// What processes and tracks are called.
    fn names(&self) -> Vec<Value> {
        let name = |what: &str, pid: u64, tid: u64, name: &str| json!({ "ph": "M", "name": what, "pid": pid, "tid": tid, "ts": 0, "args": { "name": name } });
        let mut names = Vec::new();
        for (host, (its_name, address)) in self.trace.hosts.iter().enumerate() {
            let pid = host as u64 + 1;
            names.push(name("process_name", pid, 0, &format!("{its_name} ({address})")));
            if !self.trace.packets.is_empty() {
                names.push(name("thread_name", pid, NETWORK_TRACK, "network"));
            }
        }
        for (thread, its_name) in self.trace.threads.iter().enumerate() {
            let thread = thread as u32;
            names.push(name("thread_name", self.process(thread), u64::from(thread) + 1, its_name));
        }
        names
    }

    /// Held locks and waits. A track's slices must lie inside each other or apart, and locks may be given back in any order: what does
    /// not fit a thread's track goes to a further one of its own.
    fn spans(&self) -> Vec<Value> {
        let mut slices = Vec::new();
        let mut layers: Vec<Vec<Vec<u64>>> = vec![Vec::new(); self.trace.threads.len()];
        let end_ns = self.at_ns.last().map_or(0, |last| last + STEP_NS);
        for span in self.trace.spans() {
            let from_ns = self.at_ns[span.from] + if matches!(span.what, Lasting::Waiting(_)) { MARK_NS + 100 } else { 0 };
            let until_ns = span.to.map_or(end_ns, |to| self.at_ns[to]);
            let Some(layers) = layers.get_mut(span.thread as usize) else { continue };
            // The ends of the slices around this one, the innermost last.
            let fits = |open: &mut Vec<u64>| {
                while open.pop_if(|end| *end <= from_ns).is_some() {}
                open.last().is_none_or(|end| until_ns <= *end)
            };
            let layer = layers.iter_mut().position(fits).unwrap_or_else(|| {
                layers.push(Vec::new());
                layers.len() - 1
            });
            layers[layer].push(until_ns);
            let (pid, thread) = (self.process(span.thread), u64::from(span.thread) + 1);
            let tid = thread + layer as u64 * LAYERS;
            if layer > 0 && layers[layer].len() == 1 {
                let its_name = format!("{} ({})", self.trace.lane_name(span.thread), layer + 1);
                slices.push(
                    json!({ "ph": "M", "name": "thread_name", "pid": pid, "tid": tid, "ts": 0, "args": { "name": its_name } }),
                );
            }
            let (category, name) = self.tell(&span);
            let site = &self.trace.events[span.from].site;
            slices.push(json!({
                "ph": "X", "cat": category, "name": name, "pid": pid, "tid": tid, "ts": us(from_ns), "dur": us(until_ns - from_ns),
                "args": { "at": site, "ended": span.to.is_some() },
            }));
        }
        slices
    }

    fn tell(&self, span: &Span) -> (&'static str, String) {
        let object = |id: u32| self.trace.objects.get(id as usize).map_or("?", String::as_str);
        match span.what {
            Lasting::Held(id) => ("lock-held", format!("holds {}", object(id))),
            Lasting::Waiting(WaitedFor::Lock(id)) => ("lock-wait", format!("waits for {}", object(id))),
            Lasting::Waiting(WaitedFor::Wakeup(id)) => ("wait", format!("waits on {}", object(id))),
            Lasting::Waiting(WaitedFor::End(thread)) => {
                ("wait", format!("waits for the end of {}", self.trace.lane_name(thread)))
            }
            Lasting::Waiting(WaitedFor::Time) => ("wait", "sleeps".to_owned()),
        }
    }

    fn steps(&self) -> Vec<Value> {
        let step = |(index, event): (usize, &Event)| {
            let (pid, tid) = self.track(event);
            let space = if event.object.is_empty() { "" } else { " " };
            let mut step = json!({
                "cat": event.op.family(), "name": format!("{}{space}{}", event.op.verb(), event.object), "pid": pid, "tid": tid,
                "ts": us(self.at_ns[index]),
                "args": { "at": event.site, "step": index, "virtual time (ns)": event.now_ns },
            });
            // Arrows begin and end at slices.
            if matches!(event.op, Op::PacketSent | Op::PacketArrived | Op::PacketReceived) {
                step["ph"] = json!("X");
                step["dur"] = us(MARK_NS);
            } else {
                step["ph"] = json!("i");
                step["s"] = json!("t");
            }
            step
        };
        self.trace.events.iter().enumerate().map(step).collect()
    }

    /// The arrows: from where a datagram is sent to where each copy arrives, and on to who takes it.
    fn flows(&self) -> Vec<Value> {
        let mut flows = Vec::new();
        let mut id = 0;
        for way in self.trace.ways() {
            for (copy, &arrived) in way.arrived.iter().enumerate() {
                id += 1;
                let mut steps = vec![way.sent, arrived];
                steps.extend(way.received.get(copy));
                for (place, &step) in steps.iter().enumerate() {
                    let (pid, tid) = self.track(&self.trace.events[step]);
                    let mut flow = json!({
                        "cat": "packets", "name": format!("packet {}", way.number), "id": id, "pid": pid, "tid": tid,
                        "ts": us(self.at_ns[step]),
                    });
                    if place == 0 {
                        flow["ph"] = json!("s");
                    } else if place + 1 < steps.len() {
                        flow["ph"] = json!("t");
                    } else {
                        flow["ph"] = json!("f");
                        flow["bp"] = json!("e");
                    }
                    flows.push(flow);
                }
            }
        }
        flows
    }
}
