//! The same across a network: media are agreed on anew by a datagram, packets go to the peer, and the peer looks at them. On turmoil,
//! which has no threads, this is how the exhibit is told. With the new agreement taken away nothing happens.

use super::{Change, Stream};
use crate::stream_setup::{TICK, is_in_clear, rtcp, rtp};
use sim::net::{self, Host, Link, UdpSocket};
use sim::sync::Arc;
use sim::sync::asynchronous::oneshot;
use sim::{invariant, task, time};
use std::net::SocketAddr;

const SIGNALLING: u16 = 5_060;
const MEDIA: u16 = 5_004;
const INVITE: &[u8] = b"INVITE";
const OVER: &[u8] = b"over";
/// Of each kind.
const PACKETS: u16 = 2;

/// The driver: packets are sent, and media are agreed on anew or not, and more packets are sent.
pub(super) fn drive<T: Stream>(change: Option<Change>) {
    net::set_link(&Link::any_order()).expect("the engine has links");
    task::block_on(async move {
        let (peer, here) = (Host::new("peer"), Host::current().address());
        let media = SocketAddr::new(peer.address(), MEDIA);
        let signalling = UdpSocket::bind(SocketAddr::new(here, SIGNALLING)).await.expect("nobody else has this port");
        let (ready, mut is_ready) = oneshot::channel();
        let hears = peer.spawn("peer", hear(media, ready));
        is_ready.recv().await.expect("it opens its port");
        let invites = peer.spawn("signalling", invite(peer.address(), SocketAddr::new(here, SIGNALLING), change.is_some()));
        let stream = T::open();
        let its = Arc::clone(&stream);
        let answers = task::try_spawn("signalling", async move {
            let mut buffer = [0; 8];
            loop {
                let (length, _) = signalling.recv_from(&mut buffer).await.expect("its host is up");
                match (&buffer[..length], change) {
                    (INVITE, Some(change)) => super::change(&*its, change, 1),
                    _ => return,
                }
            }
        });
        let socket = UdpSocket::bind(SocketAddr::new(here, MEDIA)).await.expect("nobody else has this port");
        for number in 0..PACKETS {
            for packet in [rtp(number), rtcp()] {
                if let Some(sent) = stream.protect(&packet) {
                    socket.send_to(&sent, media).await.expect("the peer has an address");
                }
            }
            time::sleep_for(TICK).await;
        }
        answers.expect("the engine has tasks").await.expect("nobody aborts it");
        invites.await.expect("nobody aborts it");
        // Whatever was sent before is there by now, or comes to nobody.
        super::send(&*stream, PACKETS);
        hears.abort();
    });
}

async fn invite(from: std::net::IpAddr, to: SocketAddr, invites: bool) {
    let socket = UdpSocket::bind(SocketAddr::new(from, SIGNALLING)).await.expect("nobody else has this port");
    if invites {
        socket.send_to(INVITE, to).await.expect("the callee has an address");
    }
    time::sleep_for(TICK * u32::from(PACKETS)).await;
    socket.send_to(OVER, to).await.expect("the callee has an address");
}

async fn hear(at: SocketAddr, ready: oneshot::Sender<()>) {
    let socket = UdpSocket::bind(at).await.expect("nobody else has this port");
    ready.send(()).expect("the driver waits for it");
    let mut buffer = [0; 256];
    loop {
        let (length, _) = socket.recv_from(&mut buffer).await.expect("its host is up");
        invariant!(!is_in_clear(&buffer[..length]), "the peer's host sees a packet in clear");
    }
}
