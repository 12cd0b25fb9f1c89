//! The lock-order graph: deadlocks that did not happen, in a run that went well.
//!
//! An edge says that a thread took lock `to` while it held `from`. Two threads with edges that close a cycle could have waited
//! for each other, unless a gate lock held by both keeps them apart, or one of them had ended its part before the other could
//! begin (a spawn, a join, a message, a wake-up; the locks of the cycle themselves order nothing). Shared holds on both sides and
//! try-locks wait for nobody. The graph is kept per lock, never per creation site.

use crate::happens::VectorClock;
use std::panic::Location;

#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) lock: u32,
    pub(crate) shared: bool,
    pub(crate) site: &'static Location<'static>,
}

#[derive(Clone, Debug)]
struct Edge {
    thread: u32,
    /// The thread's place in clocks.
    slot: usize,
    from: Held,
    to: Held,
    gates: Vec<u32>,
    /// When `from` was held and `to` was asked for, on the clock that ignores locks.
    clock: VectorClock,
    count: u32,
}

/// The edges of one run.
#[derive(Debug, Default)]
pub(crate) struct OrderGraph {
    edges: Vec<Edge>,
}

/// Two or more edges that could have closed.
#[derive(Debug)]
pub(crate) struct Cycle {
    /// For each thread: who, what it held and what it asked for.
    pub(crate) steps: Vec<(u32, Held, Held)>,
}

impl OrderGraph {
    pub(crate) fn clear(&mut self) {
        self.edges.clear();
    }

    /// A thread that holds `held` asks for `to` and is ready to wait for it. Returns the first cycle that this closes.
    pub(crate) fn ask(&mut self, thread: u32, slot: usize, held: &[Held], to: &Held, clock: &VectorClock) -> Option<Cycle> {
        let mut found = None;
        for (position, from) in held.iter().enumerate() {
            let known = |edge: &Edge| {
                edge.thread == thread
                    && edge.from.lock == from.lock
                    && edge.to.lock == to.lock
                    && edge.from.shared == from.shared
                    && edge.to.shared == to.shared
                    && edge.gates.iter().all(|gate| held.iter().any(|held| held.lock == *gate))
                    && edge.count == clock.of(slot)
            };
            if from.lock == to.lock || self.edges.iter().any(known) || self.edges.len() >= EDGES_MAX {
                continue;
            }
            let gates = held.iter().enumerate().filter(|(other, _)| *other != position).map(|(_, held)| held.lock).collect();
            self.edges.push(Edge {
                thread,
                slot,
                from: from.clone(),
                to: to.clone(),
                gates,
                clock: clock.clone(),
                count: clock.of(slot),
            });
            if found.is_none() {
                let mut path = vec![self.edges.len() - 1];
                if self.close(&mut path) {
                    found = Some(Cycle {
                        steps: path
                            .into_iter()
                            .map(|index| {
                                let edge = &self.edges[index];
                                (edge.thread, edge.from.clone(), edge.to.clone())
                            })
                            .collect(),
                    });
                }
            }
        }
        found
    }

    /// Extends `path` until its last edge leads back to its first.
    fn close(&self, path: &mut Vec<usize>) -> bool {
        let (first, last) = (&self.edges[path[0]], &self.edges[path[path.len() - 1]]);
        if path.len() > 1 && last.to.lock == first.from.lock && conflicts(&last.to, &first.from) {
            return true;
        }
        if path.len() >= CYCLE_MAX {
            return false;
        }
        for next in 0..self.edges.len() {
            let edge = &self.edges[next];
            let fits = edge.from.lock == last.to.lock
                && conflicts(&last.to, &edge.from)
                && path.iter().all(|&index| concurrent(&self.edges[index], edge));
            if fits {
                path.push(next);
                if self.close(path) {
                    return true;
                }
                path.pop();
            }
        }
        false
    }
}

/// A run that takes more lock pairs than this is no longer recorded.
const EDGES_MAX: usize = 4096;
/// The longest cycle that is looked for.
const CYCLE_MAX: usize = 4;

fn conflicts(asked: &Held, held: &Held) -> bool {
    !(asked.shared && held.shared)
}

fn concurrent(a: &Edge, b: &Edge) -> bool {
    let ordered = b.clock.knows(a.slot, a.count) || a.clock.knows(b.slot, b.count);
    a.thread != b.thread && !ordered && a.gates.iter().all(|gate| !b.gates.contains(gate))
}
