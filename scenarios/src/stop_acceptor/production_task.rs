//! Our stream on tasks: packets come over a network, its task is the reader, and who accepts awaits its events.

use super::production::{bye, fill, packet};
use crate::task_stream_setup;
use sim::invariant;
use sim::net::{self, Host, Link, UdpSocket};
use sim::sync::Arc;
use sim::task;
use sim::time::{self, Duration, Instant};
use stack::media::stream::{EVENTS_MAX, Sockets, TaskStream};
use stack::media::transport::{ClearTransport, Peer};
use std::net::SocketAddr;

const PORT: u16 = 5_004;
/// How long the acceptor waits at a time.
const PATIENCE: Duration = Duration::from_millis(40);
/// On a machine that stands still for longer the peer is taken for silent, which is one more event.
const SLOWNESS: Duration = Duration::from_millis(5);

pub(super) fn drive(sources: u32) {
    net::set_link(&Link::in_order()).expect("the engine has links");
    time::bound_slowness(SLOWNESS);
    task::block_on(async move {
        let peer = Host::new("peer");
        let (here, there) = (SocketAddr::new(Host::current().address(), PORT), SocketAddr::new(peer.address(), PORT));
        let (stream, content) = task_stream_setup::stream(Arc::new(ClearTransport::new(Peer::muxed(there))));
        // Where it is empty the acceptor waits soon.
        let events = if sim::choose(2) == 0 { EVENTS_MAX as u64 } else { 0 };
        if events > 0 {
            fill(&stream);
        }
        let socket = UdpSocket::bind(here).await.expect("nobody else has this port");
        let stream = TaskStream::start(stream, content, Sockets::muxed(socket)).expect("the engine has tasks");
        let sends = peer.spawn("peer", async move {
            let socket = UdpSocket::bind(there).await.expect("nobody else has this port");
            for datagram in (0..sources).flat_map(|ssrc| [packet(ssrc), bye(ssrc)]) {
                socket.send_to(&datagram, here).await.expect("the stream's host has an address");
            }
        });
        let theirs = stream.clone();
        let accepts = task::try_spawn("acceptor", accept_all(theirs)).expect("the engine has tasks");
        time::sleep_for(Duration::from_millis(sim::choose(3) * 20)).await;
        stop(&stream).await;
        let taken = accepts.await.expect("nobody aborts it");
        sends.await.expect("nobody aborts it");
        let report = stream.report();
        let (all, heard) = (taken + report.events_lost, report.received_packets);
        // A source that was heard has left, or the end has come first.
        let is_all = (events + heard..=events + 2 * heard).contains(&all);
        invariant!(is_all, "{heard} sources were heard, and {taken} events were taken: {report:?}");
    });
}

/// Until the stream has ended and all was told. Returns how much that was.
async fn accept_all(stream: TaskStream) -> u64 {
    let mut taken = 0;
    loop {
        let _operation = sim::operation("session.accept", None);
        let event = stream.event(Instant::now() + PATIENCE).await;
        // Whose it is.
        let _phase = stream.stream().transport().phase();
        taken += u64::from(event.is_some());
        if event.is_none() && stream.stream().has_ended() {
            // What came between the last look and the end.
            return taken + std::iter::from_fn(|| stream.stream().next_event()).count() as u64;
        }
    }
}

async fn stop(stream: &TaskStream) {
    let _operation = sim::operation("session.stop", super::DEADLINE);
    task_stream_setup::stop(stream).await;
}
