//! A selectively uniform random walk (Zhao, Wolff, Mathur and Roychoudhury, ASPLOS 2025): for each run some steps are of interest, here
//! those on the objects that one place in the code makes, and the orders of these are drawn evenly, as each thread is drawn in
//! proportion to how many of them it has left. Steps of no interest go as they like between.

use super::step::Step;
use super::stream::Stream;
use super::urw::draw;

#[derive(Debug, Default)]
pub(super) struct Surw {
    /// How many steps on objects of a class each thread made, in a run that ended: the mean, by class and thread.
    mean: Vec<Vec<f64>>,
    /// The same of the run that goes on.
    done: Vec<Vec<u32>>,
    /// Who spawned each thread, in the last run that had it.
    parents: Vec<Option<u32>>,
    runs: u64,
    of_interest: Option<u32>,
    /// For each thread: steps of interest that are left, with those of the threads that it has yet to spawn.
    left: Vec<f64>,
    next: Vec<Step>,
    /// Whose step of interest comes next.
    intended: Option<u32>,
}

impl Surw {
    /// `has_learnt`: the run that ended is one to learn from.
    pub(super) fn begin(&mut self, has_learnt: bool, stream: &mut Stream) {
        if has_learnt {
            self.runs += 1;
            self.learn();
        }
        self.done.iter_mut().for_each(|threads| threads.iter_mut().for_each(|count| *count = 0));
        self.next.clear();
        self.intended = None;
        let shared: Vec<u32> = (0..self.mean.len() as u32)
            .filter(|class| self.mean[*class as usize].iter().filter(|count| **count > 0.0).count() > 1)
            .collect();
        self.of_interest = (!shared.is_empty()).then(|| stream.one_of(&shared));
        self.left = self.of_interest.map(|class| self.mean[class as usize].clone()).unwrap_or_default();
        self.left.resize(self.left.len().max(self.parents.len()), 0.0);
        // A thread is spawned after its parent, so has the higher number.
        for thread in (0..self.parents.len()).rev() {
            if let Some(parent) = self.parents[thread] {
                self.left[parent as usize] += self.left[thread];
            }
        }
    }

    fn learn(&mut self) {
        self.mean.resize(self.mean.len().max(self.done.len()), Vec::new());
        for (class, mean) in self.mean.iter_mut().enumerate() {
            let done = self.done.get(class).map_or(&[][..], Vec::as_slice);
            mean.resize(mean.len().max(done.len()), 0.0);
            for (thread, mean) in mean.iter_mut().enumerate() {
                *mean += (f64::from(done.get(thread).copied().unwrap_or(0)) - *mean) / self.runs as f64;
            }
        }
    }

    pub(super) fn spawned(&mut self, parent: u32, child: u32) {
        if self.parents.len() <= child as usize {
            self.parents.resize(child as usize + 1, None);
        }
        self.parents[child as usize] = Some(parent);
        let theirs = self.left.get(child as usize).copied().unwrap_or(0.0);
        if let Some(left) = self.left.get_mut(parent as usize) {
            *left = (*left - theirs).max(0.0);
        }
    }

    pub(super) fn arrived(&mut self, thread: u32, step: Step) {
        fill(&mut self.next, thread, Step::LOCAL);
        self.next[thread as usize] = step;
        if let Some(class) = step.class {
            fill(&mut self.done, class, Vec::new());
            let threads = &mut self.done[class as usize];
            fill(threads, thread, 0);
            threads[thread as usize] += 1;
        }
    }

    pub(super) fn schedule(&mut self, threads: &[u32], stream: &mut Stream) -> usize {
        if self.of_interest.is_none() {
            return stream.below(threads.len() as u64) as usize;
        }
        let intended = match self.intended {
            Some(thread) if threads.contains(&thread) => thread,
            _ => {
                // A thread of which nothing is expected may still have something left.
                let left = |thread: &u32| (self.left.get(*thread as usize).copied().unwrap_or(0.0) * 16.0) as u64 + 1;
                threads[draw(threads, left, stream)]
            }
        };
        self.intended = Some(intended);
        let may_go = |thread: &u32| u64::from(*thread == intended || !self.is_of_interest(*thread));
        draw(threads, may_go, stream)
    }

    /// The next step of `thread` happens.
    pub(super) fn happens(&mut self, thread: u32) {
        if self.is_of_interest(thread) {
            if let Some(left) = self.left.get_mut(thread as usize) {
                *left = (*left - 1.0).max(0.0);
            }
            self.intended = None;
        }
    }

    fn is_of_interest(&self, thread: u32) -> bool {
        self.of_interest.is_some() && self.next.get(thread as usize).is_some_and(|step| step.class == self.of_interest)
    }
}

/// Makes room for number `at`.
fn fill<T: Clone>(items: &mut Vec<T>, at: u32, with: T) {
    if items.len() <= at as usize {
        items.resize(at as usize + 1, with);
    }
}
