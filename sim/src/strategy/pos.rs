//! Partial-order sampling (Yuan, Yang and Gu, CAV 2018): every step has a random priority of its own, the highest goes first, and
//! those that conflict with what has just happened draw theirs anew. Each order of steps that conflict is so about as likely, however
//! many steps that concern nobody lie between.

use super::step::Step;
use super::stream::Stream;

#[derive(Debug)]
pub(super) struct Pos {
    /// A thread's next step has a priority of its own once in so many, and else that of the one before: 1 is the strategy as published.
    redraws: u64,
    /// For each thread its next step, and that step's priority.
    next: Vec<(Step, u64)>,
}

impl Pos {
    pub(super) fn new() -> Self {
        Pos { redraws: 1, next: Vec::new() }
    }

    pub(super) fn begin(&mut self, redraws: u64) {
        self.redraws = redraws;
        self.next.clear();
    }

    pub(super) fn arrived(&mut self, thread: u32, step: Step, stream: &mut Stream) {
        self.fill(thread, stream);
        let (next, priority) = &mut self.next[thread as usize];
        *next = step;
        if self.redraws == 1 || stream.below(self.redraws) == 0 {
            *priority = stream.next();
        }
    }

    pub(super) fn schedule(&mut self, threads: &[u32], stream: &mut Stream) -> usize {
        threads.iter().for_each(|thread| self.fill(*thread, stream));
        let priority = |position: &usize| self.next[threads[*position] as usize].1;
        (0..threads.len()).max_by_key(priority).unwrap_or(0)
    }

    /// The next step of `thread` happens.
    pub(super) fn happens(&mut self, thread: u32, stream: &mut Stream) {
        let Some(&(step, _)) = self.next.get(thread as usize) else { return };
        for (other, (next, priority)) in self.next.iter_mut().enumerate() {
            if other != thread as usize && step.conflicts(*next) {
                *priority = stream.next();
            }
        }
    }

    /// A thread that has not come to a step yet begins: with nobody's business.
    fn fill(&mut self, thread: u32, stream: &mut Stream) {
        while self.next.len() <= thread as usize {
            self.next.push((Step::LOCAL, stream.next()));
        }
    }
}
