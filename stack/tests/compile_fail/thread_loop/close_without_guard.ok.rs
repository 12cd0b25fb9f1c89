//! A stream is closed with the loop's guard.

use stack::audio::Stream;
use stack::audio::thread_loop::LoopHandle;

pub fn close(stream: &Stream, handle: &LoopHandle) {
    let _guard = handle.lock();
    let _closing = stream.close(&_guard);
}
