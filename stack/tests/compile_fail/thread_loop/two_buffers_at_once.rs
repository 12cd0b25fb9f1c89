// expect: E0499
//! One buffer is lent at a time, so that each is queued before the next.

use stack::audio::Cycle;

pub fn process(cycle: &mut Cycle<'_>) {
    let first = cycle.dequeue();
    let second = cycle.dequeue();
    drop((first, second));
}
