//! Our transport and our clock under the same network: the production code itself, with a real handshake at both ends. No lock is held
//! while anything is sent, stopped or joined.

use super::{HANDSHAKE_DEADLINE, OVER, TICK, Transport};
use crate::dtls_setup::{config, fingerprints};
use sim::invariant;
use sim::net::blocking::UdpSocket;
use sim::sync::Arc;
use sim::time::{Duration, Instant};
use stack::buffer::Mbuf;
use stack::buffer::pool::Pool;
use stack::dtls::{Action, Association, Role};
use stack::media::clock::{CatchUp, ClockConfig, ClockError, ThreadClock};
use stack::media::transport::{DtlsTransport, Peer, Phase, Reaction, Received, Transport as _, TransportEvent};
use std::net::SocketAddr;

/// Ticks a second, as samples at this rate.
const RATE_HZ: u32 = 1_000;
/// How often a clock whose callback does not return is destroyed.
const DESTROYS_MAX: u32 = 8;
const NUMBER: u64 = 1;
/// A peer that has nothing to wait for waits for this long.
const LONG: Duration = Duration::from_secs(3_600);

pub(super) struct Production {
    socket: Arc<UdpSocket>,
    transport: Arc<DtlsTransport>,
    clock: ThreadClock,
}

fn send(socket: &UdpSocket, reaction: &Reaction) {
    // What a peer refused is as lost as the rest.
    reaction.datagrams.iter().for_each(|datagram| _ = socket.send(datagram));
}

impl Transport for Production {
    fn open(socket: Arc<UdpSocket>, peer: SocketAddr) -> Arc<Self> {
        let clock_config = ClockConfig {
            rate_hz: RATE_HZ,
            samples_per_tick: TICK.as_millis() as u32,
            catch_up: CatchUp::Skip,
            ..ClockConfig::default()
        };
        let (role, of) = (Role::Client, fingerprints(Role::Server));
        let made = DtlsTransport::new(config(role), role, of, Peer::muxed(peer), NUMBER, Instant::now());
        let (transport, hello) = made.expect("the peer has one port");
        let transport = Arc::new(transport);
        let (its, line) = (Arc::clone(&transport), Arc::clone(&socket));
        let clock = ThreadClock::new(clock_config, Pool::new("clock pool", 4096), move |_, _| {
            send(&line, &its.handle_timeout(Instant::now()));
        });
        let clock = clock.expect("four ticks a second is a configuration that a clock can run");
        send(&socket, &hello);
        clock.start().expect("a new clock starts");
        Arc::new(Production { socket, transport, clock })
    }

    fn on_datagram(&self, datagram: &[u8]) -> bool {
        let from = self.transport.peer().rtp;
        match self.transport.receive(from, &mut Mbuf::copy_of(datagram, 0, 0), Instant::now()) {
            Ok(Received::Handled(reaction)) => {
                let failed = reaction.events.iter().find(|event| !matches!(event, TransportEvent::Keyed { .. }));
                invariant!(failed.is_none(), "a handshake of which datagrams are lost says {failed:?}");
                send(&self.socket, &reaction);
            }
            other => sim::violated(format!("a flight of the peer's is {other:?}")),
        }
        // Once the peer has said that it has the last flight nothing is to be sent again.
        let is_done = self.transport.phase() == Phase::Open && self.transport.next_due().is_none();
        if is_done {
            // A slow processor may let a callback outlast the deadline; the clock has stopped all the same.
            let ended = (0..DESTROYS_MAX).any(|_| !matches!(self.clock.destroy(), Err(ClockError::CallbackGoesOn { .. })));
            invariant!(ended, "the clock was not destroyed in {DESTROYS_MAX} times the deadline");
        }
        is_done
    }

    fn serve(socket: &UdpSocket) {
        let role = Role::Server;
        let mut association = Association::new(config(role), role, fingerprints(Role::Client), NUMBER, Instant::now());
        let (mut buffer, mut peer) = ([0; 2048], None);
        loop {
            while let Some(action) = association.poll() {
                match (action, peer) {
                    // What is lost is sent again.
                    (Action::Transmit(datagram), Some(peer)) => _ = socket.send_to(&datagram, peer),
                    (Action::Keyed(_), _) => {}
                    (other, _) => sim::violated(format!("the peer of a handshake of which datagrams are lost says {other:?}")),
                }
            }
            let due = association.next_due().map_or(LONG, |due| due.saturating_duration_since(Instant::now()));
            // Zero is no time to wait for.
            let wait = due.clamp(Duration::from_millis(1), HANDSHAKE_DEADLINE);
            socket.set_read_timeout(Some(wait)).expect("it is more than nothing");
            match socket.recv_from(&mut buffer) {
                Ok((length, _)) if &buffer[..length] == OVER => break,
                Ok((length, from)) => {
                    peer = Some(from);
                    association.handle_datagram(&buffer[..length], Instant::now());
                }
                // Its time has come, or the client's host says that nobody listens.
                Err(_) => association.handle_timeout(Instant::now()),
            }
        }
        invariant!(association.is_keyed(), "the client is done, and its peer has no keys");
    }
}
