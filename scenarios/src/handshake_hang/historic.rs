//! The handshake as it was, rewritten small.

use super::Transport;
use sim::sync::channel::{self, Receiver, Sender};
use sim::sync::{Arc, Condvar, Mutex};
use sim::task::{self, JoinHandle};

/// The peer's flights: the last comes twice, as ours was late.
const FLIGHTS: [Flight; 3] = [Flight::Hello, Flight::Finished, Flight::Finished];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flight {
    Hello,
    Finished,
}

/// A flight, and how to say that it was handled.
type Handed = (Flight, Sender<()>);

/// So many flights are in the channel that nobody has taken: 1 as it was, and none in the mended version.
pub(super) struct Historic<const ROOM: usize> {
    to_handshake: Sender<Handed>,
    shared: Arc<Shared>,
    handshake: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Shared {
    is_complete: Mutex<bool>,
    completed: Condvar,
}

impl<const ROOM: usize> Transport for Historic<ROOM> {
    async fn open() -> Arc<Self> {
        let (to_handshake, flights) = channel::bounded(ROOM);
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let handshake = task::try_spawn("handshake", async move { theirs.work(flights) }).expect("the engine has tasks");
        Arc::new(Historic { to_handshake, shared, handshake: Mutex::new(Some(handshake)) })
    }

    async fn read(&self) {
        for flight in FLIGHTS {
            let (done, is_done) = channel::bounded(1);
            // A handshake that has gone wants none.
            if self.to_handshake.send((flight, done)).is_ok() {
                let _ = is_done.recv();
            }
        }
    }

    async fn opened(&self) {
        let mut is_complete = self.shared.is_complete.lock();
        while !*is_complete {
            self.shared.completed.wait(&mut is_complete);
        }
    }

    async fn stop(&self) {
        let handshake = self.handshake.lock().take();
        if let Some(handshake) = handshake {
            handshake.await.expect("nobody aborts it");
        }
    }
}

impl Shared {
    /// Its own tasks block where upstream's await: here each has a thread.
    fn work(&self, flights: Receiver<Handed>) {
        while let Ok((flight, done)) = flights.recv() {
            done.send(()).expect("who has handed it over waits");
            if flight == Flight::Finished {
                break;
            }
        }
        *self.is_complete.lock() = true;
        self.completed.notify_all();
    }
}
