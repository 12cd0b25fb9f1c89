//! One buffer is lent at a time, so that each is queued before the next.

use stack::audio::Cycle;

pub fn process(cycle: &mut Cycle<'_>) {
    let first = cycle.dequeue();
    drop(first);
    let second = cycle.dequeue();
    drop(second);
}
