//! The transport as it was, rewritten small.

use super::Change;
use crate::toy_cipher;
use sim::sync::{Arc, Mutex};

const HEADER_LEN: usize = 8;

/// `KEEPS` is the mended version.
pub(super) struct Historic<const KEEPS: bool>(Mutex<State>);

/// How packets are protected: the number of a key.
type Policy = u8;

#[derive(Default)]
struct State {
    /// What was agreed on.
    policy: Option<Policy>,
    running: Option<Running>,
}

#[derive(Clone, Copy)]
enum Running {
    Keyed(Policy),
    /// Nothing was agreed on: packets pass.
    Bypassing,
}

impl State {
    fn start<const KEEPS: bool>(&mut self) {
        if self.running.is_some() {
            self.stop::<KEEPS>();
        }
        self.running = Some(self.policy.map_or(Running::Bypassing, Running::Keyed));
    }

    fn stop<const KEEPS: bool>(&mut self) {
        self.running = None;
        if !KEEPS {
            self.policy = None;
        }
    }
}

impl<const KEEPS: bool> super::Stream for Historic<KEEPS> {
    fn open() -> Arc<Self> {
        let stream = Historic(Mutex::new(State { policy: Some(0), running: None }));
        stream.0.lock().start::<KEEPS>();
        Arc::new(stream)
    }

    fn change(&self, change: Change, number: u8) {
        let mut state = self.0.lock();
        match change {
            Change::Key => {
                state.policy = Some(number);
                state.start::<KEEPS>();
            }
            Change::Forget | Change::Close => state.stop::<KEEPS>(),
            // Nothing that upstream was asked.
            _ => {}
        }
    }

    fn protect(&self, packet: &[u8]) -> Option<Vec<u8>> {
        let mut packet = packet.to_vec();
        if let Running::Keyed(key) = self.0.lock().running? {
            // Key 0 for packet 0 would be a keystream of zeros.
            toy_cipher::apply_keystream(key.into(), 1, &mut packet[HEADER_LEN..]);
        }
        Some(packet)
    }
}
