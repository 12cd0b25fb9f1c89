//! The registry and the queue as they were, rewritten small.

use super::Server;
use sim::sync::channel::{self, Receiver, Sender};
use sim::sync::{Arc, Mutex};
use sim::thread::{self, JoinHandle};

/// The queue's bound.
const QUEUE_MAX: usize = 1;

/// `HOLDS` is as it shipped: the registry's lock is held until the packet is in the queue.
pub(super) struct Historic<const HOLDS: bool> {
    registry: Arc<Mutex<Registry>>,
    drainer: Mutex<Option<JoinHandle<usize>>>,
    received: Mutex<usize>,
}

struct Registry {
    /// The one connection's.
    queue: Sender<Packet>,
    is_registered: bool,
}

#[derive(Debug)]
enum Packet {
    Datagram,
    Last,
}

impl<const HOLDS: bool> Historic<HOLDS> {
    fn push(&self, packet: Packet) {
        let registry = self.registry.lock();
        let queue = registry.queue.clone();
        let _held = HOLDS.then_some(registry);
        queue.send(packet).expect("the drainer ends after the last packet");
    }
}

impl<const HOLDS: bool> Server for Historic<HOLDS> {
    fn open() -> Arc<Self> {
        let (queue, packets) = channel::bounded(QUEUE_MAX);
        let registry = Arc::new(Mutex::new(Registry { queue, is_registered: true }));
        let theirs = Arc::clone(&registry);
        let drainer = thread::Builder::new().name("drainer").spawn(move || drain(&theirs, &packets));
        let drainer = Mutex::new(Some(drainer.expect("the engine makes threads")));
        Arc::new(Historic { registry, drainer, received: Mutex::new(0) })
    }

    fn packet(&self) {
        *self.received.lock() += 1;
        self.push(Packet::Datagram);
    }

    fn finish(&self) {
        let queue = self.registry.lock().queue.clone();
        queue.send(Packet::Last).expect("the drainer ends after the last packet");
        let drainer = self.drainer.lock().take();
        let handled = drainer.map(|drainer| drainer.join().expect("a panic ends the run"));
        let received = *self.received.lock();
        sim::invariant!(handled == Some(received), "of {received} packets {handled:?} were handled");
    }
}

fn drain(registry: &Mutex<Registry>, packets: &Receiver<Packet>) -> usize {
    let mut handled = 0;
    while let Ok(Packet::Datagram) = packets.recv() {
        // Whose it is.
        handled += usize::from(registry.lock().is_registered);
    }
    handled
}
