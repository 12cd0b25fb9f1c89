//! In which order threads did what to what they share: what a fuzzer is told, so that it keeps the schedules that show something new.
//!
//! Code coverage alone does not tell schedules apart, as most reach the same lines. What counts here are steps of different threads that
//! follow each other on one object, two and three in a row, by kind of step and place in the code.

use super::{Obj, Run, Site};
use crate::choice::mix;
use crate::trace::Op;

/// How often each order of steps on a shared object was seen in a run, by a hash of the steps. Two orders may share a counter.
#[derive(Clone, Debug)]
pub struct Orders {
    counts: Vec<u8>,
    /// For each object the last step that another thread can follow.
    last: Vec<Last>,
}

/// How many counters there are.
pub const ORDERS: usize = 1 << 14;

#[derive(Clone, Copy, Debug, Default)]
struct Last {
    /// Who made it; 0 is nobody, the body's thread is 1.
    thread: u32,
    step: u64,
    /// The orders that led to it.
    before: u64,
}

impl Orders {
    fn new() -> Self {
        Orders { counts: vec![0; ORDERS], last: Vec::new() }
    }

    /// How often each order was seen, up to 255: [`ORDERS`] counters, the same for the same choices in any process.
    pub fn counts(&self) -> &[u8] {
        &self.counts
    }

    fn did(&mut self, thread: u32, object: u32, step: u64) {
        if self.last.len() <= object as usize {
            self.last.resize(object as usize + 1, Last::default());
        }
        let last = self.last[object as usize];
        let mut before = last.before;
        if last.thread != 0 && last.thread != thread + 1 {
            let pair = mix(last.step, step);
            self.count(pair);
            self.count(mix(last.before, pair));
            before = pair;
        }
        self.last[object as usize] = Last { thread: thread + 1, step, before };
    }

    fn count(&mut self, order: u64) {
        let counter = &mut self.counts[(order >> 40) as usize % ORDERS];
        *counter = counter.saturating_add(1);
    }

    fn clear(&mut self) {
        self.counts.fill(0);
        self.last.clear();
    }
}

impl Run {
    /// From the next run on orders are counted.
    pub(crate) fn keep_orders(&mut self) {
        self.orders = Some(Box::new(Orders::new()));
    }

    pub(super) fn clear_orders(&mut self) {
        self.orders.iter_mut().for_each(|orders| orders.clear());
    }

    #[inline]
    pub(super) fn note_order(&mut self, thread: u32, op: Op, obj: Option<Obj>, site: Site) {
        if let (Some(orders), Some(obj)) = (&mut self.orders, obj)
            && let Some(object) = self.objects.get(obj.id as usize)
        {
            orders.did(thread, obj.id, mix(mix(place(object.site), place(site)), op as u64));
        }
    }
}

/// A place in the code by what is the same in every process: addresses are not.
fn place(site: Site) -> u64 {
    u64::from(site.line()) << 32 | u64::from(site.column()) << 16 | site.file().len() as u64
}
