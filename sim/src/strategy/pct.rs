//! Random thread priorities with a few random change points (PCT, Burckhardt et al., ASPLOS 2010).

use super::stream::Stream;

/// PCT's bug depth unless said otherwise: one less than this many priority changes a run.
pub(super) const DEPTH: usize = 3;

/// Priorities let who is low starve while time gives who is high always more to do; past so many choices each is as likely.
const FAIR_AFTER: u64 = 20_000;

#[derive(Debug)]
pub(super) struct Pct {
    priorities: Vec<u64>,
    changes: Vec<u64>,
    depth: usize,
    steps: u64,
    /// How often the longest run that it has learnt from asked who goes on.
    steps_max: u64,
}

impl Pct {
    pub(super) fn new() -> Self {
        Pct { priorities: Vec::new(), changes: Vec::new(), depth: DEPTH, steps: 0, steps_max: 1 }
    }

    /// A run ended. `has_learnt`: it is one to learn from.
    pub(super) fn end(&mut self, has_learnt: bool) {
        if has_learnt {
            self.steps_max = self.steps_max.max(self.steps);
        }
        self.steps = 0;
    }

    pub(super) fn begin(&mut self, depth: usize, stream: &mut Stream) {
        self.depth = depth;
        self.priorities.clear();
        self.changes.clear();
        for _ in 1..depth {
            let at = stream.below(self.steps_max);
            self.changes.push(at);
        }
    }

    /// The run asks who goes on.
    #[inline]
    pub(super) fn count(&mut self) {
        self.steps += 1;
    }

    pub(super) fn schedule(&mut self, threads: &[u32], stream: &mut Stream) -> usize {
        if self.steps > FAIR_AFTER {
            return stream.below(threads.len() as u64) as usize;
        }
        let highest = self.highest(threads, stream);
        // The run has asked once more already.
        let change = self.changes.iter().position(|at| *at + 1 == self.steps);
        match change {
            Some(change) => {
                // Change points give the lowest priorities, the first change point the lowest of all.
                self.priorities[threads[highest] as usize] = change as u64;
                self.highest(threads, stream)
            }
            None => highest,
        }
    }

    fn highest(&mut self, threads: &[u32], stream: &mut Stream) -> usize {
        let mut best = 0;
        for (position, &thread) in threads.iter().enumerate() {
            while self.priorities.len() <= thread as usize {
                let priority = self.depth as u64 + stream.below(1 << 32);
                self.priorities.push(priority);
            }
            if self.priorities[thread as usize] > self.priorities[threads[best] as usize] {
                best = position;
            }
        }
        best
    }
}
