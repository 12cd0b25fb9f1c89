//! A buffer goes back before the process returns.

use stack::audio::Cycle;

pub fn run(cycle: &mut Cycle<'_>) {
    let mut kept = Vec::new();
    let mut process = |cycle: &mut Cycle<'_>| kept.extend(cycle.dequeue().map(|mut buffer| buffer.samples().to_vec()));
    process(cycle);
}
