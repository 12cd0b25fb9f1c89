//! UDP sockets that are awaited: tokio's, a run's, or turmoil's.

#[cfg(feature = "model")]
use crate::awaiting::{Awaited, Awaiting};
#[cfg(feature = "model")]
use crate::engine::Engine;
use crate::engine::{Primitive, Unsupported, current};
#[cfg(feature = "model")]
use crate::kernel;
#[cfg(feature = "model")]
use crate::run::{EDESTADDRREQ, errno, me, with};
#[cfg(feature = "model")]
use crate::trace::Op;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::panic::Location;
#[cfg(feature = "model")]
use std::pin::Pin;
#[cfg(feature = "model")]
use std::task::{Context, Poll};

/// A UDP socket. Any number of tasks may send and receive at once; a datagram goes to one of those that receive.
///
/// Errors are the system's, and on simulating engines those that Linux gives. Dropped, it gives its port back.
#[derive(Debug)]
pub struct UdpSocket(Raw);

#[derive(Debug)]
enum Raw {
    Real(tokio::net::UdpSocket),
    #[cfg(feature = "model")]
    Simulated(Simulated),
}

/// A socket of a run.
#[cfg(feature = "model")]
#[derive(Debug)]
pub(super) struct Simulated {
    number: u32,
    obj: crate::run::Obj,
    #[cfg(feature = "turmoil")]
    carrier: Option<crate::explore::turmoil::Carried>,
}

impl UdpSocket {
    /// A socket at `address`, which is one of the host that this runs on, or unspecified; port 0 asks for any free one.
    ///
    /// # Errors
    /// The system's: the port is taken (`EADDRINUSE`), the address is not this host's (`EADDRNOTAVAIL`), the host is down
    /// (`ENETDOWN`); [`crate::Unsupported`] inside an `io::Error` where the engine has no network.
    #[track_caller]
    pub fn bind(address: SocketAddr) -> impl Future<Output = io::Result<UdpSocket>> {
        let site = Location::caller();
        async move {
            current().supports(Primitive::Host).map_err(io::Error::other)?;
            #[cfg(feature = "model")]
            if current() != Engine::Real {
                let bound = Simulated::bind(address, site);
                end_here_if_ending().await;
                return bound.map(Raw::Simulated).map(UdpSocket);
            }
            let _ = site;
            Ok(UdpSocket(Raw::Real(tokio::net::UdpSocket::bind(address).await?)))
        }
    }

    /// Where it is bound.
    ///
    /// # Errors
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            Raw::Real(socket) => socket.local_addr(),
            #[cfg(feature = "model")]
            Raw::Simulated(socket) => Ok(socket.local_addr()),
        }
    }

    /// From now on sends to, and receives from, `peer` only, and learns when that one has no such port.
    ///
    /// # Errors
    /// The system's.
    pub async fn connect(&self, peer: SocketAddr) -> io::Result<()> {
        match &self.0 {
            Raw::Real(socket) => socket.connect(peer).await,
            #[cfg(feature = "model")]
            Raw::Simulated(socket) => {
                socket.connect(peer);
                Ok(())
            }
        }
    }

    /// Sends a datagram, and returns its length. That it was sent says nothing of its arrival.
    ///
    /// # Errors
    /// The system's: the datagram is longer than one can be, or than the link takes where it must not be fragmented (`EMSGSIZE`); on
    /// a connected socket, what was refused before (`ECONNREFUSED`).
    #[track_caller]
    pub fn send_to(&self, bytes: &[u8], to: SocketAddr) -> impl Future<Output = io::Result<usize>> {
        let site = Location::caller();
        async move {
            match &self.0 {
                Raw::Real(socket) => socket.send_to(bytes, to).await,
                #[cfg(feature = "model")]
                Raw::Simulated(socket) => {
                    let sent = socket.send_to(bytes, to, site);
                    end_here_if_ending().await;
                    sent
                }
            }
            .inspect_err(|_| _ = site)
        }
    }

    /// Sends a datagram at once, or not at all.
    ///
    /// # Errors
    /// `WouldBlock` in production if the system's buffer is full; else as [`UdpSocket::send_to`].
    #[track_caller]
    pub fn try_send_to(&self, bytes: &[u8], to: SocketAddr) -> io::Result<usize> {
        match &self.0 {
            // tokio's would not, until it has been told that the socket can be written to, which it is not at first.
            Raw::Real(socket) => socket2::SockRef::from(socket).send_to(bytes, &to.into()),
            #[cfg(feature = "model")]
            Raw::Simulated(socket) => socket.send_to(bytes, to, Location::caller()),
        }
    }

    /// Sends to the peer that the socket is connected to.
    ///
    /// # Errors
    /// As [`UdpSocket::send_to`]; not connected.
    #[track_caller]
    pub fn send(&self, bytes: &[u8]) -> impl Future<Output = io::Result<usize>> {
        let site = Location::caller();
        async move {
            match &self.0 {
                Raw::Real(socket) => socket.send(bytes).await,
                #[cfg(feature = "model")]
                Raw::Simulated(socket) => socket.send_to(bytes, socket.peer()?, site),
            }
            .inspect_err(|_| _ = site)
        }
    }

    /// Waits for a datagram: its length and where it came from. What does not fit the buffer is cut off. Dropped while it waits, it
    /// has taken nothing.
    ///
    /// # Errors
    /// The system's: what was refused (`ECONNREFUSED`), the host went down (`ENETDOWN`).
    #[track_caller]
    pub fn recv_from(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<(usize, SocketAddr)>> {
        let site = Location::caller();
        async move {
            match &self.0 {
                Raw::Real(socket) => socket.recv_from(buffer).await,
                #[cfg(feature = "model")]
                Raw::Simulated(socket) => Receive { socket, buffer, site, awaiting: None }.await,
            }
            .inspect_err(|_| _ = site)
        }
    }

    /// Waits for a datagram of the peer that the socket is connected to, or on an unconnected socket for any.
    ///
    /// # Errors
    /// As [`UdpSocket::recv_from`].
    #[track_caller]
    pub fn recv(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
        let received = self.recv_from(buffer);
        async move { received.await.map(|(length, _)| length) }
    }

    /// A datagram, if one is there.
    ///
    /// # Errors
    /// `WouldBlock` if none is there; else as [`UdpSocket::recv_from`].
    #[track_caller]
    pub fn try_recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        match &self.0 {
            Raw::Real(socket) => socket.try_recv_from(buffer),
            #[cfg(feature = "model")]
            Raw::Simulated(socket) => {
                socket.point(Op::Recv, Location::caller());
                socket.take(buffer).unwrap_or_else(|| Err(io::ErrorKind::WouldBlock.into()))
            }
        }
    }

    /// Says whether a datagram longer than its link takes is sent in fragments, as is so at first, or refused with `EMSGSIZE` (Linux's
    /// `IP_PMTUDISC_DO`).
    ///
    /// # Errors
    /// [`crate::Unsupported`] in production.
    pub fn set_fragments(&self, fragments: bool) -> Result<(), Unsupported> {
        current().supports(Primitive::SetFragments)?;
        match &self.0 {
            Raw::Real(_) => {}
            #[cfg(feature = "model")]
            Raw::Simulated(socket) => socket.set_fragments(fragments),
        }
        let _ = fragments;
        Ok(())
    }
}

#[cfg(feature = "model")]
impl Simulated {
    pub(super) fn bind(address: SocketAddr, site: &'static Location<'static>) -> io::Result<Simulated> {
        let number = with(|run| {
            let host = run.threads[me() as usize].host;
            run.bind(host, address, site)
        })?;
        let obj = with(|run| run.net.sockets[number as usize].obj);
        kernel::point(Op::Register, Some(obj), site);
        #[cfg(feature = "turmoil")]
        let carrier = crate::explore::turmoil::bind(with(|run| run.net.sockets[number as usize].local));
        #[cfg(feature = "turmoil")]
        with(|run| run.net.sockets[number as usize].has_carrier = carrier.is_some());
        Ok(Simulated {
            number,
            obj,
            #[cfg(feature = "turmoil")]
            carrier,
        })
    }

    pub(super) fn local_addr(&self) -> SocketAddr {
        with(|run| run.net.sockets[self.number as usize].local)
    }

    pub(super) fn connect(&self, peer: SocketAddr) {
        with(|run| {
            let socket = &mut run.net.sockets[self.number as usize];
            socket.peer = Some(peer);
            if socket.local.ip().is_unspecified() {
                let own = run.net.hosts[socket.host as usize].address;
                socket.local.set_ip(if peer.ip().is_loopback() { peer.ip() } else { own });
            }
            // Whatever others had sent is not for a connected socket, which Linux too no longer gives.
            socket.error = None;
        });
    }

    pub(super) fn peer(&self) -> io::Result<SocketAddr> {
        with(|run| run.net.sockets[self.number as usize].peer).ok_or_else(|| errno(EDESTADDRREQ, io::ErrorKind::NotConnected))
    }

    pub(super) fn set_fragments(&self, fragments: bool) {
        with(|run| run.net.sockets[self.number as usize].fragments = fragments);
    }

    pub(super) fn obj(&self) -> crate::run::Obj {
        self.obj
    }

    pub(super) fn point(&self, op: Op, site: &'static Location<'static>) {
        kernel::point(op, Some(self.obj()), site);
    }

    pub(super) fn send_to(&self, bytes: &[u8], to: SocketAddr, site: &'static Location<'static>) -> io::Result<usize> {
        self.point(Op::Send, site);
        let tapped = with(|run| run.net.tap.clone().map(|tap| (tap, run.net.sockets[self.number as usize].local)));
        // What it finds ends the run, which nobody may be in the middle of.
        if let Some((tap, from)) = tapped {
            (tap.0)(from, to, bytes);
        }
        let _given = with(|run| run.send(me(), self.number, to, bytes, site))?;
        #[cfg(feature = "turmoil")]
        if let Some(carrier) = &self.carrier {
            crate::explore::turmoil::hand_over(carrier, _given);
        }
        Ok(bytes.len())
    }

    /// What the socket has, if it has anything.
    pub(super) fn take(&self, buffer: &mut [u8]) -> Option<io::Result<(usize, SocketAddr)>> {
        #[cfg(feature = "turmoil")]
        if self.carrier.as_ref().is_some_and(|carrier| !crate::explore::turmoil::has_brought_next(carrier, self.number)) {
            return None;
        }
        let taken = with(|run| run.take_packet(me(), self.number))?;
        Some(taken.map(|packet| {
            let length = packet.bytes.len().min(buffer.len());
            buffer[..length].copy_from_slice(&packet.bytes[..length]);
            (length, packet.from)
        }))
    }
}

#[cfg(feature = "model")]
impl Drop for Simulated {
    fn drop(&mut self) {
        // It may be dropped after its run, with what a static kept.
        crate::run::try_with(|run| {
            if run.is_current(self.obj) {
                run.close(self.number);
            }
        });
        #[cfg(feature = "turmoil")]
        if let Some(carrier) = self.carrier.take() {
            crate::explore::turmoil::close(carrier);
        }
    }
}

/// A task that is to end goes no further, and is not told of what its host's end has done to its sockets.
#[cfg(feature = "model")]
async fn end_here_if_ending() {
    if crate::task::is_ending() {
        std::future::pending::<()>().await;
    }
}

/// A wait for a datagram.
#[cfg(feature = "model")]
struct Receive<'a> {
    socket: &'a Simulated,
    buffer: &'a mut [u8],
    site: &'static Location<'static>,
    awaiting: Option<Awaiting>,
}

#[cfg(feature = "model")]
impl Future for Receive<'_> {
    type Output = io::Result<(usize, SocketAddr)>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if this.awaiting.is_none() {
            this.socket.point(Op::Recv, this.site);
        }
        if crate::task::is_ending() {
            // Its host has crashed, say: it ends here, and is told nothing.
            return Poll::Pending;
        }
        if let Some(received) = this.socket.take(this.buffer) {
            this.awaiting = None;
            return Poll::Ready(received);
        }
        with(|run| run.read_later(me(), this.socket.number, context.waker()));
        let obj = this.socket.obj();
        this.awaiting.get_or_insert_with(|| Awaiting::new(Awaited::Object(obj), this.site));
        Poll::Pending
    }
}
