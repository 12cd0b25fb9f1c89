//! A buffer goes back before the process returns.

use stack::audio::Cycle;

pub fn process(cycle: &mut Cycle<'_>, kept: &mut Option<Vec<i16>>) {
    *kept = cycle.dequeue().map(|mut buffer| buffer.samples().to_vec());
}

fn main() {}
