// expect: E0502
//! A loop is not destroyed with its guard held: that waits for the loop thread, which needs the lock.

use stack::audio::thread_loop::{LoopConfig, ThreadLoop};

pub fn main() {
    let mut thread_loop = ThreadLoop::new(LoopConfig::default());
    let guard = thread_loop.lock();
    let _ended = thread_loop.destroy();
    drop(guard);
}
