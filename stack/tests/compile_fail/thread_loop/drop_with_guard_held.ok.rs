//! A loop's owner does not go while its guard is there.

use stack::audio::thread_loop::{LoopConfig, ThreadLoop};

pub fn main() {
    let thread_loop = ThreadLoop::new(LoopConfig::default());
    let guard = thread_loop.lock();
    drop(guard);
    drop(thread_loop);
}
