//! Our transport and our stream in the same place: the production code itself.

use super::expect_once;
use crate::dtls_setup::{Far, beginning, keyed_client};
use crate::stream_setup;
use sim::invariant;
use sim::sync::{Arc, Mutex};
use stack::buffer::Mbuf;
use stack::media::stream::{Outgoing, Stream, StreamError};
use stack::media::transport::{DtlsTransport, Phase, Transport};

const NUMBER: u64 = 1;
/// RTCP's BYE, as the second byte of a packet of its own.
const BYE: u8 = 203;

pub(super) struct OfTransport {
    transport: DtlsTransport,
    far: Mutex<Far>,
}

impl super::Connection for OfTransport {
    type Words = Vec<u8>;

    fn open() -> Arc<Self> {
        let (transport, far) = keyed_client(NUMBER, true);
        Arc::new(OfTransport { transport, far: Mutex::new(far) })
    }

    fn close(&self) -> Vec<Vec<u8>> {
        self.transport.close(beginning()).datagrams
    }

    fn end(&self, words: Vec<Vec<u8>>) {
        expect_close_notify(&mut self.far.lock(), &words);
        expect_closed(&self.transport);
    }
}

fn expect_close_notify(far: &mut Far, datagrams: &[Vec<u8>]) {
    expect_once("close_notify", datagrams.len());
    far.hear(datagrams);
    invariant!(far.is_closed, "the peer has heard the last datagram, and not that it is over");
}

fn expect_closed(transport: &dyn Transport) {
    let protected = transport.protect(&mut Mbuf::copy_of(&stream_setup::rtp(1), 0, 0));
    invariant!(transport.phase() == Phase::Closed && protected.is_err(), "after its end a packet passes");
    let reaction = transport.close(beginning());
    invariant!(reaction.datagrams.is_empty() && reaction.events.is_empty(), "after its end it says {reaction:?}");
}

pub(super) struct OfStream {
    stream: Stream,
    far: Mutex<Far>,
}

impl super::Connection for OfStream {
    type Words = Outgoing;

    fn open() -> Arc<Self> {
        let (transport, far) = keyed_client(NUMBER, true);
        let mut content = stream_setup::content(stream_setup::Unheard);
        let stream =
            Stream::new(stream_setup::config(), &content, Arc::new(transport), beginning()).expect("it is a configuration");
        // Who has said nothing leaves without a word.
        let sent = stream.tick(&mut content, &stream_setup::tick(0), beginning());
        invariant!(sent.len() == 1, "one frame makes {} packets", sent.len());
        Arc::new(OfStream { stream, far: Mutex::new(far) })
    }

    fn close(&self) -> Vec<Outgoing> {
        self.stream.end(beginning())
    }

    fn end(&self, words: Vec<Outgoing>) {
        let mut far = self.far.lock();
        let (reports, alerts): (Vec<_>, Vec<_>) = words.into_iter().partition(|outgoing| outgoing.is_rtcp);
        expect_once("BYE", reports.len());
        for report in reports {
            let report = far.unprotects(report.bytes.bytes());
            invariant!(report.is_some_and(|report| has_bye(&report)), "the last report has no BYE");
        }
        let alerts: Vec<_> = alerts.iter().map(|alert| alert.bytes.bytes().to_vec()).collect();
        expect_close_notify(&mut far, &alerts);
        expect_closed(&*self.stream.transport());
        let received =
            self.stream.receive(crate::dtls_setup::address(NUMBER), &mut Mbuf::copy_of(&stream_setup::rtp(1), 0, 0), beginning());
        invariant!(matches!(received, Err(StreamError::Ended)), "after its end a stream says {received:?}");
    }
}

fn has_bye(mut compound: &[u8]) -> bool {
    while let Some(header) = compound.first_chunk::<4>() {
        if header[1] == BYE {
            return true;
        }
        compound = compound.get(4 * (1 + usize::from(u16::from_be_bytes([header[2], header[3]])))..).unwrap_or_default();
    }
    false
}
