//! A uniform random walk: a thread is drawn in proportion to the steps it is expected to have left.

use super::stream::Stream;

#[derive(Debug, Default)]
pub(super) struct Urw {
    done: Vec<u64>,
    /// The mean number of steps of each thread over the runs so far.
    mean: Vec<f64>,
    runs: u64,
}

impl Urw {
    /// `has_learnt`: the run that ended is one to learn from.
    pub(super) fn begin(&mut self, has_learnt: bool) {
        if has_learnt {
            self.runs += 1;
            self.mean.resize(self.mean.len().max(self.done.len()), 0.0);
            for (thread, mean) in self.mean.iter_mut().enumerate() {
                let done = self.done.get(thread).copied().unwrap_or(0) as f64;
                *mean += (done - *mean) / self.runs as f64;
            }
        }
        self.done.iter_mut().for_each(|done| *done = 0);
    }

    #[inline]
    pub(super) fn arrived(&mut self, thread: u32) {
        let thread = thread as usize;
        if self.done.len() <= thread {
            self.done.resize(thread + 1, 0);
        }
        self.done[thread] += 1;
    }

    pub(super) fn schedule(&mut self, threads: &[u32], stream: &mut Stream) -> usize {
        let left = |thread: &u32| {
            let thread = *thread as usize;
            let mean = self.mean.get(thread).copied().unwrap_or(1.0) as u64;
            mean.saturating_sub(self.done.get(thread).copied().unwrap_or(0)).max(1)
        };
        draw(threads, left, stream)
    }
}

/// Draws one of `threads`, each in proportion to its weight, of which one at least is above 0.
pub(super) fn draw(threads: &[u32], weight: impl Fn(&u32) -> u64, stream: &mut Stream) -> usize {
    let mut ticket = stream.below(threads.iter().map(&weight).sum());
    for (position, thread) in threads.iter().enumerate() {
        let weight = weight(thread);
        if ticket < weight {
            return position;
        }
        ticket -= weight;
    }
    threads.len() - 1
}
