//! UDP sockets that block their thread: std's, or a run's on shuttle.

#[cfg(feature = "model")]
use super::socket::Simulated;
#[cfg(feature = "model")]
use crate::engine::Engine;
use crate::engine::{Primitive, Unsupported, current};
#[cfg(feature = "model")]
use crate::kernel;
#[cfg(feature = "model")]
use crate::run::{WaitFor, me, nanos, with};
#[cfg(feature = "model")]
use crate::trace::Op;
use std::io;
use std::net::SocketAddr;
#[cfg(feature = "model")]
use std::panic::Location;
use std::time::Duration;

/// A UDP socket for threads. Any number of them may send and receive at once. Errors as those of [`super::UdpSocket`].
#[derive(Debug)]
pub struct UdpSocket(Raw);

#[derive(Debug)]
enum Raw {
    Real(std::net::UdpSocket),
    #[cfg(feature = "model")]
    Simulated(Simulated, parking_lot::Mutex<Option<Duration>>),
}

impl UdpSocket {
    /// A socket at `address`, which is one of the host that this runs on, or unspecified; port 0 asks for any free one.
    ///
    /// # Errors
    /// As [`super::UdpSocket::bind`].
    #[track_caller]
    pub fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
        current().supports(Primitive::BlockingSocket).map_err(io::Error::other)?;
        #[cfg(feature = "model")]
        if current() != Engine::Real {
            let socket = Simulated::bind(address, Location::caller())?;
            return Ok(UdpSocket(Raw::Simulated(socket, parking_lot::Mutex::new(None))));
        }
        std::net::UdpSocket::bind(address).map(Raw::Real).map(UdpSocket)
    }

    /// Where it is bound.
    ///
    /// # Errors
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            Raw::Real(socket) => socket.local_addr(),
            #[cfg(feature = "model")]
            Raw::Simulated(socket, _) => Ok(socket.local_addr()),
        }
    }

    /// From now on sends to, and receives from, `peer` only, and learns when that one has no such port.
    ///
    /// # Errors
    /// The system's.
    pub fn connect(&self, peer: SocketAddr) -> io::Result<()> {
        match &self.0 {
            Raw::Real(socket) => socket.connect(peer),
            #[cfg(feature = "model")]
            Raw::Simulated(socket, _) => {
                socket.connect(peer);
                Ok(())
            }
        }
    }

    /// Sends a datagram, and returns its length.
    ///
    /// # Errors
    /// As [`super::UdpSocket::send_to`].
    #[track_caller]
    pub fn send_to(&self, bytes: &[u8], to: SocketAddr) -> io::Result<usize> {
        match &self.0 {
            Raw::Real(socket) => socket.send_to(bytes, to),
            #[cfg(feature = "model")]
            Raw::Simulated(socket, _) => socket.send_to(bytes, to, Location::caller()),
        }
    }

    /// Sends to the peer that the socket is connected to.
    ///
    /// # Errors
    /// As [`UdpSocket::send_to`]; not connected.
    #[track_caller]
    pub fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        match &self.0 {
            Raw::Real(socket) => socket.send(bytes),
            #[cfg(feature = "model")]
            Raw::Simulated(socket, _) => socket.send_to(bytes, socket.peer()?, Location::caller()),
        }
    }

    /// How long [`UdpSocket::recv_from`] waits; `None`, as at first, for ever.
    ///
    /// # Errors
    /// A time of zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        if timeout.is_some_and(|timeout| timeout.is_zero()) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "expected a timeout above 0, got 0"));
        }
        match &self.0 {
            Raw::Real(socket) => socket.set_read_timeout(timeout),
            #[cfg(feature = "model")]
            Raw::Simulated(_, own) => {
                *own.lock() = timeout;
                Ok(())
            }
        }
    }

    /// Waits for a datagram: its length and where it came from. What does not fit the buffer is cut off.
    ///
    /// # Errors
    /// `WouldBlock` when the time is up (`TimedOut` on Windows); else as [`super::UdpSocket::recv_from`].
    #[track_caller]
    pub fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        match &self.0 {
            Raw::Real(socket) => socket.recv_from(buffer),
            #[cfg(feature = "model")]
            Raw::Simulated(socket, timeout) => {
                let site = Location::caller();
                socket.point(Op::Recv, site);
                let within = *timeout.lock();
                let deadline_ns = within.map(|within| with(|run| run.now(me())).saturating_add(nanos(within)));
                let obj = socket.obj();
                loop {
                    if let Some(received) = socket.take(buffer) {
                        with(|run| run.leave_queue(obj, me()));
                        return received;
                    }
                    if deadline_ns.is_some_and(|deadline| with(|run| run.now(me())) >= deadline) {
                        with(|run| run.leave_queue(obj, me()));
                        return Err(io::ErrorKind::WouldBlock.into());
                    }
                    with(|run| run.queue_for(obj, me()));
                    kernel::block(WaitFor::Wakeup(obj), deadline_ns, site);
                    kernel::park();
                }
            }
        }
    }

    /// As [`super::UdpSocket::set_fragments`].
    ///
    /// # Errors
    /// [`Unsupported`] in production.
    pub fn set_fragments(&self, fragments: bool) -> Result<(), Unsupported> {
        current().supports(Primitive::SetFragments)?;
        match &self.0 {
            Raw::Real(_) => {}
            #[cfg(feature = "model")]
            Raw::Simulated(socket, _) => socket.set_fragments(fragments),
        }
        let _ = fragments;
        Ok(())
    }
}
