//! A callback's guard ends with the callback.

use stack::audio::thread_loop::{LoopGuard, LoopHandle};

pub fn invoke(handle: &LoopHandle) {
    let mut kept = Vec::new();
    let mut callback = |guard: &mut LoopGuard<'_>| kept.push(guard.handle());
    callback(&mut handle.lock());
}
