//! The server as it was, rewritten small: a handshake of two flights a side, and one association a socket.

use super::{Caller, Server, Who};
use sim::net::UdpSocket;
use sim::sync::asynchronous::Notify;
use sim::sync::{Arc, Mutex};
use sim::task::{self, JoinHandle};
use sim::time::{self, Duration, Instant};
use std::cell::Cell;
use std::collections::VecDeque;
use std::net::SocketAddr;

/// Whose hellos are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hellos {
    OfAnybody,
    /// The mended version.
    OfThePeer,
}

thread_local! {
    static HELLOS: Cell<Hellos> = const { Cell::new(Hellos::OfAnybody) };
}

/// Which version the next server is.
pub(super) fn choose(hellos: Hellos) {
    HELLOS.set(hellos);
}

const CLIENT_HELLO: u8 = 0;
const SERVER_HELLO: u8 = 1;
const CLIENT_FINISHED: u8 = 2;
const SERVER_FINISHED: u8 = 3;
/// How long an answer is waited for.
const TIMEOUT: Duration = Duration::from_millis(100);

/// A flight, and who has sent it: what a certificate says.
type Flight = [u8; 2];

pub(super) struct ToyCaller {
    who: Who,
    /// The flight that has no answer, and until when it is waited for.
    waits: Option<(u8, Instant)>,
    to_send: VecDeque<Flight>,
}

impl ToyCaller {
    fn send(&mut self, flight: u8, now: Instant) {
        self.to_send.push_back([flight, self.who as u8]);
        self.waits = Some((flight, now + TIMEOUT));
    }
}

impl Caller for ToyCaller {
    fn begin(who: Who, now: Instant) -> Self {
        let mut caller = ToyCaller { who, waits: None, to_send: VecDeque::new() };
        caller.send(CLIENT_HELLO, now);
        caller
    }

    fn poll(&mut self) -> Option<Vec<u8>> {
        self.to_send.pop_front().map(Vec::from)
    }

    fn handle_datagram(&mut self, datagram: &[u8], now: Instant) {
        match (datagram, self.waits) {
            ([SERVER_HELLO, _], Some((CLIENT_HELLO, _))) => self.send(CLIENT_FINISHED, now),
            ([SERVER_FINISHED, _], Some((CLIENT_FINISHED, _))) => self.waits = None,
            _ => {}
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        if let Some((flight, due)) = self.waits
            && due <= now
        {
            self.send(flight, now);
        }
    }

    fn next_due(&self) -> Option<Instant> {
        self.waits.map(|(_, due)| due)
    }

    fn is_complete(&self) -> bool {
        self.waits.is_none()
    }
}

pub(super) struct Historic {
    shared: Arc<Shared>,
    reads: JoinHandle<()>,
}

struct Shared {
    hellos: Hellos,
    client: SocketAddr,
    association: Mutex<Association>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Association {
    /// Whose handshake goes on.
    with: Option<SocketAddr>,
    is_complete: bool,
    turned_away: u64,
}

impl Server for Historic {
    type Caller = ToyCaller;

    fn open(socket: UdpSocket, client: SocketAddr) -> Self {
        let association = Mutex::new(Association::default());
        let shared = Arc::new(Shared { hellos: HELLOS.get(), client, association, changed: Notify::new() });
        let reads = task::try_spawn("reader", read(Arc::clone(&shared), socket)).expect("the engine has tasks");
        Historic { shared, reads }
    }

    async fn completed(&self) -> bool {
        let completes = async {
            while !self.shared.association.lock().is_complete {
                self.shared.changed.notified().await;
            }
        };
        time::timeout(super::DEADLINE, completes).await.is_ok()
    }

    fn turned_away(&self) -> u64 {
        self.shared.association.lock().turned_away
    }

    async fn end(self) {
        self.reads.abort();
    }
}

async fn read(shared: Arc<Shared>, socket: UdpSocket) {
    let mut datagram = [0; 8];
    loop {
        let (len, from) = socket.recv_from(&mut datagram).await.expect("its host is up");
        if let Some(answer) = shared.handle(&datagram[..len], from) {
            socket.send_to(&[answer, 0], from).await.expect("who has sent has an address");
        }
    }
}

impl Shared {
    /// The flight that answers this one.
    fn handle(&self, datagram: &[u8], from: SocketAddr) -> Option<u8> {
        let mut association = self.association.lock();
        if self.hellos == Hellos::OfThePeer && from != self.client {
            association.turned_away += 1;
            return None;
        }
        match datagram {
            [CLIENT_HELLO, _] if association.with.is_none_or(|with| with == from) => {
                association.with = Some(from);
                Some(SERVER_HELLO)
            }
            [CLIENT_FINISHED, _] if association.with == Some(from) => {
                association.is_complete = true;
                self.changed.notify_one();
                Some(SERVER_FINISHED)
            }
            // One message too many.
            _ => {
                association.turned_away += 1;
                None
            }
        }
    }
}
