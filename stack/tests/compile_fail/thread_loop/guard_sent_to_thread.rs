// expect: E0277
//! A guard stays on the thread that has the lock.

use stack::audio::thread_loop::{LoopConfig, ThreadLoop};

pub fn main() {
    let thread_loop = ThreadLoop::new(LoopConfig::default());
    let guard = thread_loop.lock();
    std::thread::scope(|scope| {
        scope.spawn(move || drop(guard));
    });
}
