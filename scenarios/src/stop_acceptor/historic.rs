//! The session and its transport as they were, rewritten small.

use super::Session;
use sim::sync::atomic::{AtomicBool, Ordering::SeqCst};
use sim::sync::channel::{self, Receiver, Sender};
use sim::sync::{Arc, Mutex, RwLock};
use sim::thread::{self, JoinHandle};

/// `HOLDS` is as it was: the transport's lock is held until the session is closed.
pub(super) struct Historic<const HOLDS: bool> {
    transport: RwLock<Transport>,
    /// The connection under the session.
    is_closed: Arc<AtomicBool>,
    new_streams: Receiver<u32>,
    reader: Mutex<Option<JoinHandle<()>>>,
}

struct Transport {
    is_started: bool,
}

impl<const HOLDS: bool> Session for Historic<HOLDS> {
    fn open(sources: u32) -> Arc<Self> {
        // A rendezvous: a stream is handed over.
        let (new_stream, new_streams) = channel::bounded(0);
        let is_closed = Arc::new(AtomicBool::new(false));
        let theirs = Arc::clone(&is_closed);
        let reader = thread::Builder::new().name("reader").spawn(move || read(&theirs, &new_stream, sources));
        let reader = Mutex::new(Some(reader.expect("the engine makes threads")));
        Arc::new(Historic { transport: RwLock::new(Transport { is_started: true }), is_closed, new_streams, reader })
    }

    fn accept(&self) -> bool {
        let Ok(_stream) = self.new_streams.recv() else { return false };
        // Under which keys, and whether it goes on.
        let _goes_on = self.transport.read().is_started;
        true
    }

    fn stop(&self) {
        let mut transport = self.transport.write();
        transport.is_started = false;
        self.is_closed.store(true, SeqCst);
        let _held = HOLDS.then_some(transport);
        // `closed`, which the reader closes as the last thing that it does.
        let reader = self.reader.lock().take();
        reader.map(JoinHandle::join).transpose().expect("a panic ends the run");
    }

    fn finish(&self) {}
}

/// Each packet is of a source that was not heard before.
fn read(is_closed: &AtomicBool, new_stream: &Sender<u32>, sources: u32) {
    for ssrc in 0..sources {
        if is_closed.load(SeqCst) || new_stream.send(ssrc).is_err() {
            return;
        }
    }
}
