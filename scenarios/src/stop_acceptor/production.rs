//! Our stream in the same place: the production code itself. It waits for nobody: its events are in a queue that drops the oldest, and
//! its one lock is not held while anybody works. Who wakes the acceptor here is the driver's, as a stream has no threads.

use super::Session;
use crate::task_stream_setup;
use sim::invariant;
use sim::sync::channel::{self, Receiver, Sender};
use sim::sync::{Arc, Mutex};
use sim::thread::{self, JoinHandle};
use sim::time::Instant;
use stack::buffer::Mbuf;
use stack::media::stream::{EVENTS_MAX, Stream, StreamError, StreamEvent};
use stack::media::transport::{ClearTransport, Peer, Phase, Reaction, TransportError, TransportEvent};
use stack::rtp::packet::Fields;
use stack::rtp::rtcp::{self, Bye, Rules};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The event queue is full of what nobody has asked for yet.
pub(super) fn fill(stream: &Stream) {
    let events = vec![TransportEvent::ClosedByPeer; EVENTS_MAX];
    let nothing = stream.react(Reaction { events, ..Reaction::default() });
    invariant!(nothing.is_empty(), "an event sends {nothing:?}");
}

/// A packet of this source.
pub(super) fn packet(ssrc: u32) -> Vec<u8> {
    let fields = Fields { ssrc, payload: b"payload", ..Fields::default() };
    let mut packet = vec![0; fields.packet_len().expect("a short packet has a length")];
    fields.write(&mut packet).expect("there is as much room as was asked for");
    packet
}

/// The source leaves, and gives way to another at once.
pub(super) fn bye(ssrc: u32) -> Vec<u8> {
    let ssrcs = [ssrc];
    let mut room = [0; 16];
    let bye = rtcp::Packet::Bye(Bye { ssrcs: (&ssrcs).into(), reason: None });
    let len = rtcp::write(&[bye], Rules::ReducedSize, &mut room).expect("a BYE of one source has eight bytes");
    room[..len].to_vec()
}

pub(super) struct Production {
    stream: Stream,
    news: Receiver<()>,
    reader: Mutex<Option<JoinHandle<u64>>>,
    /// Sources that were heard, and events that were taken.
    seen: Mutex<(u64, u64)>,
}

const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5_004);

impl Session for Production {
    fn open(sources: u32) -> Arc<Self> {
        let (stream, _content) = task_stream_setup::stream(Arc::new(ClearTransport::new(Peer::muxed(PEER))));
        fill(&stream);
        let (tell, news) = channel::bounded(1);
        let theirs = stream.clone();
        let reader = thread::Builder::new().name("reader").spawn(move || read(&theirs, &tell, sources));
        let reader = Mutex::new(Some(reader.expect("the engine makes threads")));
        Arc::new(Production { stream, news, reader, seen: Mutex::new((0, 0)) })
    }

    fn accept(&self) -> bool {
        let goes_on = self.news.recv().is_ok();
        let mut taken = 0;
        while let Some(event) = self.stream.next_event() {
            taken += 1;
            if let StreamEvent::Source { .. } = event {
                let phase = self.stream.transport().phase();
                invariant!(matches!(phase, Phase::Open | Phase::Closed), "a transport in clear is {phase:?}");
            }
        }
        self.seen.lock().1 += taken;
        goes_on
    }

    fn stop(&self) {
        drop(self.stream.end(Instant::now()));
        let reader = self.reader.lock().take();
        let told = reader.map(JoinHandle::join).transpose().expect("a panic ends the run");
        self.seen.lock().0 += told.unwrap_or_default();
    }

    fn finish(&self) {
        let (told, taken) = *self.seen.lock();
        let lost = self.stream.report().events_lost;
        let all = EVENTS_MAX as u64 + told;
        invariant!(taken + lost == all, "of {all} events {taken} were taken and {lost} are said to be lost");
        let again = self.stream.end(Instant::now());
        invariant!(again.is_empty(), "a stream ends twice and says {again:?}");
        let late = self.stream.receive(PEER, &mut Mbuf::copy_of(&packet(0), 0, 0), Instant::now());
        invariant!(matches!(late, Err(StreamError::Ended)), "a stream that has ended takes a packet: {late:?}");
    }
}

/// Each packet is of a source that was not heard before, which leaves then. Returns how many events that makes.
fn read(stream: &Stream, tell: &Sender<()>, sources: u32) -> u64 {
    let mut told = 0;
    for datagram in (0..sources).flat_map(|ssrc| [packet(ssrc), bye(ssrc)]) {
        match stream.receive(PEER, &mut Mbuf::copy_of(&datagram, 0, 0), Instant::now()) {
            Ok(taken) => {
                invariant!(taken.has_news, "what makes an event says that there are none");
                told += 1;
                // Where it is full the acceptor will look.
                let _ = tell.try_send(());
            }
            // The end closes the transport once the stream has ended.
            Err(StreamError::Ended | StreamError::Transport(TransportError::Closed)) => break,
            Err(error) => sim::violated(format!("a packet is refused: {error}")),
        }
    }
    told
}
