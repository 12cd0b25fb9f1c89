//! A guard stays on the thread that has the lock.

use stack::audio::thread_loop::{LoopConfig, ThreadLoop};

pub fn main() {
    let thread_loop = ThreadLoop::new(LoopConfig::default());
    std::thread::scope(|scope| {
        scope.spawn(|| drop(thread_loop.lock()));
    });
}
