//! Our transport and our stream under the same operations: the production code itself.

use super::Operation;
use crate::dtls_setup::{Far, PAST_TIMEOUT, address, beginning, give, keyed_client};
use crate::stream_setup::{self, Unheard, rtp};
use sim::invariant;
use sim::sync::{Arc, Mutex};
use stack::buffer::Mbuf;
use stack::media::stream::{Stream, StreamError};
use stack::media::transport::{DtlsTransport, Phase, Transport, TransportError};
use stack::srtp::SrtpError;

const NUMBER: u64 = 1;
/// Behind the numbers of a run.
const LATE: u16 = 100;

/// Keyed, and its peer has not heard of that: its flight comes again.
pub(super) struct OfTransport {
    transport: DtlsTransport,
    flight: Vec<Vec<u8>>,
    media: Mutex<Far>,
}

/// The peer that is keyed is another with the same keys: one that has heard the last flight.
fn open() -> (DtlsTransport, Vec<Vec<u8>>, Far) {
    let (_, media) = keyed_client(NUMBER, true);
    let (transport, mut far) = keyed_client(NUMBER, false);
    (transport, far.wait(), media)
}

fn protected(media: &Mutex<Far>, number: u16) -> Mbuf {
    let packet = media.lock().protect(&rtp(number));
    Mbuf::copy_of(&packet.expect("the peer has keys"), 0, 0)
}

impl super::Receiver for OfTransport {
    fn open() -> Arc<Self> {
        let (transport, flight, media) = open();
        Arc::new(OfTransport { transport, flight, media: Mutex::new(media) })
    }

    fn perform(&self, operation: Operation, number: u16) {
        match operation {
            Operation::Receive => drop(give(&self.transport, NUMBER, &self.flight)),
            Operation::ReceiveMedia => {
                let mut packet = protected(&self.media, number);
                match self.transport.receive(address(NUMBER), &mut packet, beginning()) {
                    Ok(_) => invariant!(packet.bytes() == rtp(number), "packet {number} is not what was sent"),
                    Err(error) => {
                        let is_gone = error == TransportError::Srtp(SrtpError::NotKeyed);
                        let is_closed = self.transport.phase() == Phase::Closed;
                        invariant!(is_gone && is_closed, "packet {number} is refused for no reason that there is: {error}");
                    }
                }
            }
            Operation::Timeout => drop(self.transport.handle_timeout(beginning() + PAST_TIMEOUT)),
            Operation::Destroy => drop(self.transport.close(beginning())),
        }
    }

    fn end(&self, is_destroyed: bool) {
        if !is_destroyed {
            drop(self.transport.close(beginning()));
        }
        let before = self.transport.counters().srtp.1.accepted;
        let late = self.transport.receive(address(NUMBER), &mut protected(&self.media, LATE), beginning());
        let flight = give(&self.transport, NUMBER, &self.flight);
        let due = self.transport.next_due();
        invariant!(late.is_err() && flight.datagrams.is_empty() && due.is_none(), "after its end it takes what comes");
        invariant!(self.transport.counters().srtp.1.accepted == before, "after its end it counts what comes as taken");
    }
}

pub(super) struct OfStream {
    stream: Stream,
    flight: Vec<Vec<u8>>,
    media: Mutex<Far>,
}

impl super::Receiver for OfStream {
    fn open() -> Arc<Self> {
        let (transport, flight, media) = open();
        let content = stream_setup::content(Unheard);
        let stream =
            Stream::new(stream_setup::config(), &content, Arc::new(transport), beginning()).expect("it is a configuration");
        Arc::new(OfStream { stream, flight, media: Mutex::new(media) })
    }

    fn perform(&self, operation: Operation, number: u16) {
        let receive = |mut datagram: Mbuf| match self.stream.receive(address(NUMBER), &mut datagram, beginning()) {
            Ok(_) => {}
            Err(
                StreamError::Ended | StreamError::Transport(TransportError::Closed | TransportError::Srtp(SrtpError::NotKeyed)),
            ) => {
                invariant!(self.stream.has_ended(), "a stream that goes on says that it has ended");
            }
            Err(error) => sim::violated(format!("datagram {number} is refused for no reason that there is: {error}")),
        };
        match operation {
            Operation::Receive => self.flight.iter().for_each(|datagram| receive(Mbuf::copy_of(datagram, 0, 0))),
            Operation::ReceiveMedia => receive(protected(&self.media, number)),
            Operation::Timeout => drop(self.stream.handle_timeout(beginning() + PAST_TIMEOUT)),
            Operation::Destroy => drop(self.stream.end(beginning())),
        }
    }

    fn end(&self, is_destroyed: bool) {
        if !is_destroyed {
            drop(self.stream.end(beginning()));
        }
        let before = self.stream.report().received_packets;
        let late = self.stream.receive(address(NUMBER), &mut protected(&self.media, LATE), beginning());
        invariant!(matches!(late, Err(StreamError::Ended)), "after its end it says {late:?}");
        invariant!(self.stream.report().received_packets == before, "after its end it counts what comes as taken");
        invariant!(self.stream.transport().phase() == Phase::Closed, "its transport goes on");
    }
}
