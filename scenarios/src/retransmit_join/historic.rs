//! The transport of 86b7dd4, rewritten small.

use super::handshake::{Client, Flight, answer};
use super::{OVER, TICK, Transport};
use sim::net::blocking::UdpSocket;
use sim::sync::atomic::{AtomicBool, Ordering::SeqCst};
use sim::sync::{Arc, Mutex, ReentrantMutex};
use sim::thread::{self, JoinHandle};
use sim::time::{self, Instant};
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;

/// What the clock does after it has sent a flight again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// Takes the lock, whoever has it.
    Locks,
    /// The mended version: tries for it, and goes without.
    Tries,
}

thread_local! {
    static AGAIN: Cell<Again> = const { Cell::new(Again::Locks) };
}

/// Which version the next transport is.
pub(super) fn choose(again: Again) {
    AGAIN.set(again);
}

pub(super) struct Historic {
    again: Again,
    socket: Arc<UdpSocket>,
    /// The group lock, and what it guards.
    lock: ReentrantMutex<RefCell<Client>>,
    /// `nego_completed`.
    is_negotiated: AtomicBool,
    is_quitting: AtomicBool,
    clock: Mutex<Option<JoinHandle<()>>>,
}

impl Transport for Historic {
    fn open(socket: Arc<UdpSocket>, _peer: SocketAddr) -> Arc<Self> {
        let transport = Arc::new(Historic {
            again: AGAIN.get(),
            socket,
            lock: ReentrantMutex::new(RefCell::new(Client::new(Instant::now()))),
            is_negotiated: AtomicBool::new(false),
            is_quitting: AtomicBool::new(false),
            clock: Mutex::new(None),
        });
        transport.send(Flight::ClientHello);
        let its = Arc::clone(&transport);
        let clock = thread::Builder::new().name("clock").spawn(move || its.work());
        *transport.clock.lock() = Some(clock.expect("the engine makes threads"));
        transport
    }

    fn on_datagram(&self, datagram: &[u8]) -> bool {
        let Some(flight) = Flight::read(datagram) else { return false };
        let client = self.lock.lock();
        let answer = client.borrow_mut().on_flight(flight, Instant::now());
        if let Some(answer) = answer {
            self.send(answer);
        }
        let is_done = client.borrow().is_done;
        if is_done {
            self.is_negotiated.store(true, SeqCst);
            // c0de1a4: the lock is held across the stop, so that two cannot stop at once.
            self.stop_clock();
        }
        is_done
    }

    fn serve(socket: &UdpSocket) {
        let mut buffer = [0; 64];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).expect("it is connected to nobody, and its host is up");
            if &buffer[..length] == OVER {
                return;
            }
            if let Some(answer) = Flight::read(&buffer[..length]).and_then(answer) {
                // What is lost is asked for again.
                let _ = socket.send_to(answer.bytes(), from);
            }
        }
    }
}

impl Historic {
    fn send(&self, flight: Flight) {
        // What a peer refused is as lost as the rest.
        let _ = self.socket.send(flight.bytes());
    }

    fn stop_clock(&self) {
        self.is_quitting.store(true, SeqCst);
        let clock = self.clock.lock().take();
        if let Some(clock) = clock {
            clock.join().expect("a panic ends the run");
        }
    }

    /// The clock's thread.
    fn work(&self) {
        while !self.is_quitting.load(SeqCst) {
            time::sleep(TICK);
            self.tick();
        }
    }

    /// `clock_cb`.
    fn tick(&self) {
        if self.is_negotiated.load(SeqCst) {
            return;
        }
        let Some(client) = self.lock.try_lock() else { return };
        let again = client.borrow_mut().on_time(Instant::now());
        drop(client);
        let Some(flight) = again else { return };
        self.send(flight);
        // `ssl_flush_wbio`: what the library has left to send is looked for under the lock.
        match self.again {
            Again::Locks => drop(self.lock.lock()),
            Again::Tries => drop(self.lock.try_lock()),
        }
    }
}
