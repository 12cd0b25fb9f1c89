//! A callback's guard ends with the callback.

use stack::audio::thread_loop::{LoopGuard, LoopHandle};

pub fn callback(guard: &mut LoopGuard<'_>, kept: &mut Option<LoopHandle>) {
    *kept = Some(guard.handle());
}

fn main() {}
