//! Vector clocks: which step of a run happened before which.

use smallvec::SmallVec;

/// How many steps of each thread are known to have happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct VectorClock(SmallVec<[u32; 6]>);

impl VectorClock {
    #[inline]
    pub(crate) fn of(&self, thread: usize) -> u32 {
        self.0.get(thread).copied().unwrap_or(0)
    }

    #[inline]
    pub(crate) fn tick(&mut self, thread: usize) {
        if self.0.len() <= thread {
            self.0.resize(thread + 1, 0);
        }
        self.0[thread] += 1;
    }

    #[inline]
    pub(crate) fn join(&mut self, other: &VectorClock) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine = (*mine).max(*theirs);
        }
    }

    /// Whether step `count` of `thread` is known here.
    #[inline]
    pub(crate) fn knows(&self, thread: usize, count: u32) -> bool {
        self.of(thread) >= count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_join_knows_what_both_knew() {
        let (mut a, mut b) = (VectorClock::default(), VectorClock::default());
        a.tick(0);
        b.tick(7);
        b.tick(7);
        assert!(!a.knows(7, 1));
        a.join(&b);
        assert!(a.knows(0, 1) && a.knows(7, 2) && !a.knows(7, 3));
        assert!(!b.knows(0, 1));
    }
}
