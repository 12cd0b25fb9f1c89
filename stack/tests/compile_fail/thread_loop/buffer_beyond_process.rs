// expect: E0521
//! A buffer goes back before the process returns.

use stack::audio::{Cycle, StreamBuffer};

pub fn process(cycle: &mut Cycle<'_>, kept: &mut Option<StreamBuffer<'static>>) {
    *kept = cycle.dequeue();
}

fn main() {}
