//! A guard is not kept beyond its loop.

use stack::audio::thread_loop::{LoopConfig, ThreadLoop};

pub fn main() {
    let thread_loop = ThreadLoop::new(LoopConfig::default());
    let guard;
    {
        guard = thread_loop.lock();
    }
    drop(guard);
}
