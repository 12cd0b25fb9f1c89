//! Audio in production: real threads, real time. What the engines prove stands in the exhibit `thread-loop`.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "the test stands outside of what is tested")]

#[path = "audio/calls.rs"]
mod calls;
#[path = "audio/lives.rs"]
mod lives;
#[path = "audio/null.rs"]
mod null;
#[path = "audio/source.rs"]
mod source;
#[path = "audio/streams.rs"]
mod streams;

use stack::audio::thread_loop::{LoopConfig, LoopHandle, ThreadLoop};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Real time has no deadline that a slow machine keeps, so this one only turns a hang into a failure.
const FOR_EVER: Duration = Duration::from_secs(60);
/// What is over before it is looked for.
const A_MOMENT: Duration = Duration::from_millis(20);

fn config(name: &str) -> LoopConfig {
    LoopConfig { name: name.to_owned(), queue_capacity: 4, stop_deadline: FOR_EVER }
}

fn running(name: &str) -> (ThreadLoop, LoopHandle) {
    let thread_loop = ThreadLoop::new(config(name));
    thread_loop.start().unwrap();
    let handle = thread_loop.handle();
    (thread_loop, handle)
}

#[track_caller]
fn wait_until(mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < FOR_EVER, "what was waited for has not come in a minute");
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// What callbacks have said, in order.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    fn add(&self, note: impl Into<String>) {
        self.0.lock().unwrap().push(note.into());
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    fn count(&self, note: &str) -> usize {
        self.all().iter().filter(|known| *known == note).count()
    }
}

/// Says, when it is dropped, whether the loop's lock was held by the thread that dropped it.
struct Told {
    handle: LoopHandle,
    notes: Notes,
    name: &'static str,
}

impl Drop for Told {
    fn drop(&mut self) {
        match self.handle.try_lock() {
            Some(guard) if guard.depth() == 1 => self.notes.add(format!("{} dropped without the lock", self.name)),
            Some(_) => self.notes.add(format!("{} dropped under the lock", self.name)),
            // Another thread has it.
            None => self.notes.add(format!("{} dropped without the lock", self.name)),
        }
    }
}

fn told(handle: &LoopHandle, notes: &Notes, name: &'static str) -> Told {
    Told { handle: handle.clone(), notes: notes.clone(), name }
}
