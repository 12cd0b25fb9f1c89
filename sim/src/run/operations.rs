//! Operations that go on: their coverage and their deadlines.

use super::{ActiveOperation, Run, Site, nanos};
use crate::engine::Engine;
use crate::trace::Op;
use std::time::Duration;

impl Run {
    pub(crate) fn enter_operation(&mut self, me: u32, name: &'static str, allowed: Option<Duration>, site: Site) {
        for other in &self.operations {
            if other.thread != me {
                self.coverage.overlapped(name, other.name);
            }
        }
        self.coverage.entered(name);
        let now_ns = self.now(me);
        // Loom has no time that passes by itself, so an operation cannot be late there.
        let deadline_ns = allowed.filter(|_| self.engine != Engine::Loom).map(|allowed| now_ns.saturating_add(nanos(allowed)));
        self.operations.push(ActiveOperation { thread: me, name, deadline_ns, allowed: allowed.unwrap_or_default(), site });
        self.record(me, Op::OperationBegin, None, site);
        self.name_last_event(name);
    }

    pub(crate) fn leave_operation(&mut self, me: u32, name: &'static str) {
        if let Some(position) = self.operations.iter().rposition(|operation| operation.thread == me && operation.name == name) {
            let operation = self.operations.remove(position);
            self.record(me, Op::OperationEnd, None, operation.site);
            self.name_last_event(name);
        }
    }

    /// The last event concerns this thread.
    pub(crate) fn name_last_event_after(&mut self, thread: u32) {
        if self.trace.is_some() {
            let name = self.thread_name(thread);
            self.name_last_event(&name);
            if let Some(event) = self.trace.as_mut().and_then(|trace| trace.events.last_mut()) {
                event.other = Some(thread);
            }
        }
    }

    /// The last event concerns this datagram.
    pub(super) fn name_last_event_of_packet(&mut self, number: u64, name: &str) {
        self.name_last_event(name);
        if let Some(event) = self.trace.as_mut().and_then(|trace| trace.events.last_mut()) {
            event.packet = Some(number);
        }
    }

    pub(crate) fn name_last_event(&mut self, name: &str) {
        if let Some(event) = self.trace.as_mut().and_then(|trace| trace.events.last_mut()) {
            event.object = name.to_owned();
        }
    }
}
