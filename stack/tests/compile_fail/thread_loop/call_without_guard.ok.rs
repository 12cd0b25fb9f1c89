//! A call on an object of a loop wants the loop's guard.

use stack::audio::Backend;
use stack::audio::null::NullBackend;
use stack::audio::thread_loop::{LoopConfig, ThreadLoop};

pub fn main() {
    let thread_loop = ThreadLoop::new(LoopConfig::default());
    let backend = NullBackend::new(&thread_loop.handle());
    let _devices = backend.devices(&thread_loop.lock());
}
