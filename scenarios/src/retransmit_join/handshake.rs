//! A handshake of four flights, as DTLS 1.2 has them (RFC 6347 section 4.2.4), with nothing in them: who sends what, when it is sent
//! again, and when it is done. What upstream's code needs of a handshake, and no more; our own stack does a real one.

use sim::time::{Duration, Instant};

/// RFC 6347 section 4.2.4.1: a second, doubled each time.
const FIRST_TIMEOUT: Duration = Duration::from_secs(1);
const TIMEOUT_MAX: Duration = Duration::from_secs(60);

/// What a datagram carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flight {
    ClientHello,
    ServerHello,
    ClientFinished,
    ServerFinished,
}

impl Flight {
    const ALL: [(Flight, &'static [u8]); 4] = [
        (Flight::ClientHello, b"ClientHello"),
        (Flight::ServerHello, b"ServerHello, ServerHelloDone"),
        (Flight::ClientFinished, b"ClientKeyExchange, Finished"),
        (Flight::ServerFinished, b"Finished"),
    ];

    pub(super) fn bytes(self) -> &'static [u8] {
        Flight::ALL[self as usize].1
    }

    pub(super) fn read(datagram: &[u8]) -> Option<Flight> {
        Flight::ALL.iter().find(|(_, bytes)| *bytes == datagram).map(|(flight, _)| *flight)
    }
}

/// The client's side.
#[derive(Debug)]
pub(super) struct Client {
    /// The flight that has no answer, and when it is sent again.
    waits_with: Option<(Flight, Instant)>,
    timeout: Duration,
    pub(super) is_done: bool,
}

impl Client {
    /// Begins; [`Flight::ClientHello`] is to be sent now.
    pub(super) fn new(now: Instant) -> Self {
        Client { waits_with: Some((Flight::ClientHello, now + FIRST_TIMEOUT)), timeout: FIRST_TIMEOUT, is_done: false }
    }

    /// A flight has come: what is to be sent in answer.
    pub(super) fn on_flight(&mut self, flight: Flight, now: Instant) -> Option<Flight> {
        match (flight, self.waits_with) {
            (Flight::ServerHello, Some((Flight::ClientHello, _))) => {
                self.timeout = FIRST_TIMEOUT;
                self.waits_with = Some((Flight::ClientFinished, now + self.timeout));
                Some(Flight::ClientFinished)
            }
            (Flight::ServerFinished, Some((Flight::ClientFinished, _))) => {
                self.waits_with = None;
                self.is_done = true;
                None
            }
            // A flight sent again by a peer that has not heard; the timer answers it.
            _ => None,
        }
    }

    /// The flight to send again now, if its time has come.
    pub(super) fn on_time(&mut self, now: Instant) -> Option<Flight> {
        let (flight, due) = self.waits_with?;
        if now < due {
            return None;
        }
        self.timeout = (self.timeout * 2).min(TIMEOUT_MAX);
        self.waits_with = Some((flight, now + self.timeout));
        Some(flight)
    }
}

/// The server's side: answers each flight of the client, as often as it comes.
pub(super) fn answer(flight: Flight) -> Option<Flight> {
    match flight {
        Flight::ClientHello => Some(Flight::ServerHello),
        Flight::ClientFinished => Some(Flight::ServerFinished),
        Flight::ServerHello | Flight::ServerFinished => None,
    }
}
