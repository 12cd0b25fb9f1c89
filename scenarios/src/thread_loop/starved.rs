//! A capture stream of baresip's module as it was: its process on the data thread, and the buffers between it and the device.

use super::PERIOD;
use sim::ledger;
use sim::sync::{Arc, Condvar, Mutex};
use sim::thread;
use sim::time::{self, Duration};
use std::collections::VecDeque;

/// How many buffers the device and the stream share.
const BUFFERS: u32 = 2;
/// What the driver gives the device until it must have heard something.
const HEARD_DEADLINE: Duration = Duration::from_secs(2);

pub(super) struct Capture {
    /// The mended version.
    requeues: bool,
    state: Mutex<State>,
    heard: Condvar,
}

#[derive(Default)]
struct State {
    /// Those that the device may fill, and those that it has filled.
    free: VecDeque<u32>,
    filled: VecDeque<u32>,
    /// `st->rh`: the application has said where its samples go.
    has_handler: bool,
    frames: u32,
    closes: bool,
}

impl Capture {
    /// Opens the stream: its periods begin.
    pub(super) fn open(requeues: bool) -> Arc<Self> {
        let state = State { free: (0..BUFFERS).collect(), ..State::default() };
        Arc::new(Capture { requeues, state: Mutex::new(state), heard: Condvar::new() })
    }

    /// The application says where its samples go, `prepared` after it has opened the stream, and waits for the first.
    pub(super) fn drive(self: &Arc<Self>, prepared: Duration) {
        let (data, resource) = (Arc::clone(self), ledger::register("data thread"));
        let data = thread::Builder::new().name("data").spawn(move || data.work()).expect("the engine makes threads");
        time::sleep(prepared);
        self.state.lock().has_handler = true;
        {
            let _operation = sim::operation("stream.read", HEARD_DEADLINE);
            let mut state = self.state.lock();
            while state.frames == 0 {
                self.heard.wait(&mut state);
            }
        }
        self.state.lock().closes = true;
        data.join().expect("a panic ends the run");
        ledger::release(resource);
    }

    /// The data thread: a period after the other.
    fn work(&self) {
        loop {
            time::sleep(PERIOD);
            let mut state = self.state.lock();
            if state.closes {
                return;
            }
            if let Some(buffer) = state.free.pop_front() {
                state.filled.push_back(buffer);
            }
            drop(state);
            self.on_process();
        }
    }

    fn on_process(&self) {
        let mut state = self.state.lock();
        let Some(buffer) = state.filled.pop_front() else { return };
        if !state.has_handler {
            if self.requeues {
                state.free.push_back(buffer);
            }
            return;
        }
        state.frames += 1;
        state.free.push_back(buffer);
        self.heard.notify_all();
    }
}
