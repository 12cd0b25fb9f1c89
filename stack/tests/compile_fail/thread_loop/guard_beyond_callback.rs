// expect: E0521
//! A callback's guard ends with the callback.

use stack::audio::thread_loop::LoopGuard;

pub fn callback(guard: &mut LoopGuard<'_>, kept: &mut Option<&'static LoopGuard<'static>>) {
    *kept = Some(guard);
}

fn main() {}
