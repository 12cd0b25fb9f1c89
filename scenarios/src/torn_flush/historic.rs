//! The flush as it was, rewritten small.

use super::{Begun, Operation};
use sim::cell::CheckedCell;
use sim::sync::{Arc, Mutex};
use std::collections::VecDeque;

/// `COPIES` is the mended version.
pub(super) struct Historic<const COPIES: bool> {
    /// Guards the library's side: what it has to send, and how many flights it has made.
    library: Mutex<Library>,
    /// Upstream's `buf`.
    buffer: CheckedCell<Vec<u8>>,
}

#[derive(Default)]
struct Library {
    to_send: VecDeque<Vec<u8>>,
    flights: u8,
}

impl Library {
    /// A record of the handshake, of a length of its own.
    fn make_flight(&mut self) {
        self.flights += 1;
        let body = vec![self.flights; 20 * usize::from(self.flights)];
        let header = [22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, self.flights, 0, body.len() as u8];
        self.to_send.push_back([&header[..], &body].concat());
    }
}

impl<const COPIES: bool> Historic<COPIES> {
    fn flush(&self) -> Vec<Vec<u8>> {
        let mut sent = Vec::new();
        loop {
            let mut library = self.library.lock();
            let Some(flight) = library.to_send.pop_front() else { return sent };
            self.buffer.set(flight);
            let copy = COPIES.then(|| self.buffer.with(Vec::clone));
            drop(library);
            sent.push(copy.unwrap_or_else(|| self.buffer.with(Vec::clone)));
        }
    }
}

impl<const COPIES: bool> super::Transport for Historic<COPIES> {
    fn open(_begun: Begun) -> (Arc<Self>, Vec<Vec<u8>>) {
        let transport = Historic { library: Mutex::default(), buffer: CheckedCell::new(Vec::new()) };
        transport.library.lock().make_flight();
        let sent = transport.flush();
        (Arc::new(transport), sent)
    }

    /// Whatever happens, the library has something to say.
    fn perform(&self, _operation: Operation) -> Vec<Vec<u8>> {
        self.library.lock().make_flight();
        self.flush()
    }
}
