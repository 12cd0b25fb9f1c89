//! A network of hosts with UDP: the machine's loopback in production, a virtual one on shuttle, turmoil's on turmoil.
//!
//! A [`Host`] has a name, an address, and tasks of its own; the code that makes hosts and binds sockets to their addresses runs
//! unchanged on all three. On the simulating engines a [`Link`] says what happens to packets between two hosts; unless one is set,
//! nothing does, and packets arrive in every order that the run explores ([`Link::any_order`]).
//!
//! ```
//! # #[cfg(feature = "shuttle")]
//! sim::model(|| {
//!     sim::task::block_on(async {
//!         let (server, here) = (sim::net::Host::new("server"), sim::net::Host::current());
//!         let socket = sim::net::UdpSocket::bind((here.address(), 0).into()).await.unwrap();
//!         let (at, mut port) = sim::sync::asynchronous::oneshot::channel();
//!         let address = server.address();
//!         server.spawn("echo", async move {
//!             let socket = sim::net::UdpSocket::bind((address, 0).into()).await.unwrap();
//!             at.send(socket.local_addr().unwrap()).unwrap();
//!             let mut buffer = [0; 1500];
//!             let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
//!             socket.send_to(&buffer[..length], from).await.unwrap();
//!         });
//!         let server = port.recv().await.unwrap();
//!         socket.send_to(b"hello", server).await.unwrap();
//!         let mut buffer = [0; 1500];
//!         let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
//!         sim::invariant!(&buffer[..length] == b"hello" && from == server, "the echo answers");
//!     });
//! });
//! ```

pub mod blocking;
mod host;
#[cfg_attr(not(feature = "model"), expect(dead_code, reason = "without an engine nothing asks what a link does"))]
pub(crate) mod link;
mod socket;

pub use host::{Host, heal, partition, set_link, set_link_between};
pub use link::{Link, LinkError};
pub use socket::UdpSocket;

#[cfg(feature = "model")]
pub use crate::run::Counters;

/// Has `tap` called with every datagram that is sent from now on in this run: where it comes from, where it goes, and its bytes, before
/// anything happens to it. It may say that a property does not hold ([`crate::invariant!`]); it must not wait, and sends nothing. In
/// production nothing is tapped.
#[cfg(feature = "model")]
pub fn tap(tap: impl Fn(std::net::SocketAddr, std::net::SocketAddr, &[u8]) + 'static) {
    if crate::engine::current() != crate::Engine::Real {
        crate::run::with(|run| run.net.tap = Some(crate::run::Tap(std::sync::Arc::new(tap))));
    }
}

/// What has happened to the packets of this run so far. Nothing in production.
#[cfg(feature = "model")]
pub fn counters() -> Counters {
    match crate::engine::current() {
        crate::Engine::Real => Counters::default(),
        _ => crate::run::with(|run| run.net.counters),
    }
}
