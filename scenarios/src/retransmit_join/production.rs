//! Our clock under the same handshake: the production code itself. The stand-in is guarded as our transports are to be: the lock is
//! dropped before anything is sent, stopped or joined.

use super::handshake::{Client, Flight};
use super::{TICK, Transport};
use sim::net::blocking::UdpSocket;
use sim::sync::{Arc, Mutex};
use sim::time::Instant;
use stack::buffer::pool::Pool;
use stack::media::clock::{CatchUp, ClockConfig, ClockError, ThreadClock};

/// Ticks a second, as samples at this rate.
const RATE_HZ: u32 = 1_000;
/// How often a clock whose callback does not return is destroyed.
const DESTROYS_MAX: u32 = 8;

pub(super) struct Production {
    socket: Arc<UdpSocket>,
    client: Arc<Mutex<Client>>,
    clock: ThreadClock,
}

impl Transport for Production {
    fn open(socket: Arc<UdpSocket>) -> Arc<Self> {
        let config = ClockConfig {
            rate_hz: RATE_HZ,
            samples_per_tick: TICK.as_millis() as u32,
            catch_up: CatchUp::Skip,
            ..ClockConfig::default()
        };
        let client = Arc::new(Mutex::new(Client::new(Instant::now())));
        let (theirs, line) = (Arc::clone(&client), Arc::clone(&socket));
        let clock = ThreadClock::new(config, Pool::new("clock pool", 4096), move |_, _| {
            let again = theirs.lock().on_time(Instant::now());
            if let Some(flight) = again {
                let _ = line.send(flight.bytes());
                let left = theirs.lock().on_time(Instant::now());
                sim::invariant!(left.is_none(), "a flight that was just sent again is due again");
            }
        });
        let clock = clock.expect("four ticks a second is a configuration that a clock can run");
        let transport = Arc::new(Production { socket, client, clock });
        let _ = transport.socket.send(Flight::ClientHello.bytes());
        transport.clock.start().expect("a new clock starts");
        transport
    }

    fn on_datagram(&self, datagram: &[u8]) -> bool {
        let Some(flight) = Flight::read(datagram) else { return false };
        let (answer, is_done) = {
            let mut client = self.client.lock();
            (client.on_flight(flight, Instant::now()), client.is_done)
        };
        if let Some(answer) = answer {
            let _ = self.socket.send(answer.bytes());
        }
        if is_done {
            // A slow processor may let a callback outlast the deadline; the clock has stopped all the same.
            let ended = (0..DESTROYS_MAX).any(|_| !matches!(self.clock.destroy(), Err(ClockError::CallbackGoesOn { .. })));
            sim::invariant!(ended, "the clock was not destroyed in {DESTROYS_MAX} times the deadline");
        }
        is_done
    }
}
