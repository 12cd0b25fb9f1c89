//! Inputs that drivers enumerate.

/// One of these, the first being the dull one.
#[track_caller]
pub(crate) fn one_of<T: Copy>(of: &[T]) -> T {
    of[sim::choose(of.len() as u64) as usize]
}

/// A number below `n`, which is at least 1.
#[track_caller]
pub(crate) fn below(n: usize) -> usize {
    sim::choose(n as u64) as usize
}
