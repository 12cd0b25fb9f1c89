//! A reference to a guard on another thread would prove what is not so.

use stack::audio::thread_loop::{LoopCell, LoopConfig, ThreadLoop};

pub fn main() {
    let thread_loop = ThreadLoop::new(LoopConfig::default());
    let count = LoopCell::new(&thread_loop.handle(), 0);
    std::thread::scope(|scope| {
        scope.spawn(|| count.with(&thread_loop.lock(), |count| *count += 1));
    });
}
