// expect: E0521
//! A buffer goes back before the process returns.

use stack::audio::Cycle;

pub fn run(cycle: &mut Cycle<'_>) {
    let mut kept = Vec::new();
    let mut process = |cycle: &mut Cycle<'_>| kept.extend(cycle.dequeue());
    process(cycle);
}
