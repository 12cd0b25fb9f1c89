// expect: E0597
//! A guard is not kept beyond its loop.

use stack::audio::thread_loop::{LoopConfig, ThreadLoop};

pub fn main() {
    let guard;
    {
        let thread_loop = ThreadLoop::new(LoopConfig::default());
        guard = thread_loop.lock();
    }
    drop(guard);
}
