//! The same across a network. On turmoil, which has no threads, this is how the exhibit is told: the receiver has looked for the object
//! before it awaits a datagram, and a BYE that overtakes the datagram destroys it. *In turn* the peer hangs up when its datagram was
//! answered.

use super::Receiver;
use super::historic::Historic;
use crate::srtp_setup::{key, policy};
use crate::stream_setup::{self, TICK, Unheard};
use crate::task_stream_setup::stop;
use sim::ledger::{self, ResourceId};
use sim::net::{self, Host, Link, UdpSocket};
use sim::sync::Arc;
use sim::task;
use sim::time::{self, Instant};
use stack::media::description::Direction;
use stack::media::stream::{Payload, PayloadSink, Sockets, Stream, StreamConfig, TaskStream};
use stack::media::transport::{Peer, SdesTransport};
use stack::srtp::Profile;
use std::net::{IpAddr, SocketAddr};

const SIGNALLING: u16 = 5_060;
const MEDIA: u16 = 5_004;
const BYE: &[u8] = b"BYE";
const FLIGHT: &[u8] = b"Finished";
const PROFILE: Profile = Profile::AesCm128HmacSha1_80;
/// How many frames the peer sends, more or less, before it hangs up.
const FRAMES: u32 = 2;

/// Whether the peer's two datagrams may be in flight together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Datagrams {
    Cross,
    InTurn,
}

pub(super) fn shipped() {
    drive::<false>(Datagrams::Cross);
}

pub(super) fn shipped_in_turn() {
    drive::<false>(Datagrams::InTurn);
}

pub(super) fn twin() {
    drive::<true>(Datagrams::Cross);
}

async fn bind(address: IpAddr, port: u16) -> UdpSocket {
    UdpSocket::bind(SocketAddr::new(address, port)).await.expect("nobody else has this port")
}

async fn expect(socket: &UdpSocket, wanted: &[u8]) -> SocketAddr {
    let mut buffer = [0; 64];
    let (length, from) = socket.recv_from(&mut buffer).await.expect("its host is up");
    sim::invariant!(&buffer[..length] == wanted, "expected {wanted:?}, got {:?}", &buffer[..length]);
    from
}

fn drive<const EXCLUDES: bool>(datagrams: Datagrams) {
    net::set_link(&Link::any_order()).expect("the engine has links");
    task::block_on(async move {
        let here = Host::current().address();
        let (signalling, media) = (bind(here, SIGNALLING).await, bind(here, MEDIA).await);
        let transport = Historic::<EXCLUDES>::open();
        let peer = Host::new("peer");
        let hang_up = peer.spawn("peer", hang_up(peer.address(), here, datagrams));
        let its = Arc::clone(&transport);
        let receives = task::try_spawn("media", async move {
            // Who has no lock to look under again goes by what it has seen.
            let object = its.object().filter(|_| !EXCLUDES);
            let from = expect(&media, FLIGHT).await;
            match object {
                Some(object) => ledger::touch(object),
                None => its.receive(),
            }
            media.send_to(FLIGHT, from).await.expect("the peer has an address");
        });
        let its = Arc::clone(&transport);
        let ends = task::try_spawn("signalling", async move {
            expect(&signalling, BYE).await;
            its.destroy();
        });
        for task in [receives, ends] {
            task.expect("the engine has tasks").await.expect("nobody aborts it");
        }
        hang_up.await.expect("nobody aborts it");
    });
}

async fn hang_up(here: IpAddr, callee: IpAddr, datagrams: Datagrams) {
    let (signalling, media) = (bind(here, SIGNALLING).await, bind(here, MEDIA).await);
    media.send_to(FLIGHT, SocketAddr::new(callee, MEDIA)).await.expect("the callee has an address");
    if datagrams == Datagrams::InTurn {
        expect(&media, FLIGHT).await;
    }
    signalling.send_to(BYE, SocketAddr::new(callee, SIGNALLING)).await.expect("the callee has an address");
    if datagrams == Datagrams::Cross {
        expect(&media, FLIGHT).await;
    }
}

/// Hears what comes until it is released.
struct Ear(ResourceId);

impl PayloadSink for Ear {
    fn take(&mut self, _payload: Payload) {
        ledger::touch(self.0);
    }
}

/// A stream from here to the peer, or the other way.
async fn start(here: IpAddr, peer: IpAddr, direction: Direction, sink: impl PayloadSink + 'static) -> TaskStream {
    let transport = SdesTransport::new(Peer::muxed(SocketAddr::new(peer, MEDIA)));
    let keys = [key(PROFILE, 1, 0)];
    transport.set_keys(&policy(PROFILE), &keys, &keys).expect("the keys are for the policy");
    let content = stream_setup::content(sink);
    let ssrc = if direction == Direction::SendOnly { 1 } else { 2 };
    let config = StreamConfig { direction, ssrc, ..stream_setup::config() };
    let stream = Stream::new(config, &content, Arc::new(transport), Instant::now()).expect("it is a configuration");
    TaskStream::start(stream, content, Sockets::muxed(bind(here, MEDIA).await)).expect("the engine has tasks")
}

/// Our streams: the peer sends, and hangs up while its packets arrive.
pub(super) fn stack() {
    net::set_link(&Link::in_order()).expect("the engine has links");
    task::block_on(async move {
        let (peer, here) = (Host::new("peer"), Host::current().address());
        let signalling = bind(here, SIGNALLING).await;
        let ear = ledger::register("ear");
        let stream = start(here, peer.address(), Direction::ReceiveOnly, Ear(ear)).await;
        let from = peer.address();
        let sends = peer.spawn("peer", async move {
            let stream = start(from, here, Direction::SendOnly, Unheard).await;
            time::sleep_for(TICK * FRAMES).await;
            let signalling = bind(from, SIGNALLING).await;
            signalling.send_to(BYE, SocketAddr::new(here, SIGNALLING)).await.expect("the callee has an address");
            // What it sends now comes to a stream that ends.
            time::sleep_for(TICK).await;
            stop(&stream).await;
        });
        expect(&signalling, BYE).await;
        stop(&stream).await;
        // Nobody calls it any more.
        ledger::release(ear);
        let received = stream.report().received_packets;
        sends.await.expect("nobody aborts it");
        time::sleep_for(TICK).await;
        sim::invariant!(stream.report().received_packets == received, "a stream that was stopped takes packets");
    });
}
