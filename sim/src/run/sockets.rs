//! The sockets of a run: bound, sent from, received from, closed, as Linux does it.

#![expect(clippy::vec_box, reason = "packets move from queue to queue, and a box moves as a pointer")]

use super::network::{EADDRINUSE, EADDRNOTAVAIL, ECONNREFUSED, EINVAL, EMSGSIZE, ENETDOWN, EPHEMERAL, Packet, Socket, errno};
use super::{Nature, Run, Site, State, Wake};
use crate::choice::mix;
use crate::engine::Engine;
use crate::net::link::{IP_HEADER_BYTES, UDP_HEADER_BYTES};
use crate::trace::Op;
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::task::Waker;

/// The longest datagram that IPv4 and UDP have.
const DATAGRAM_BYTES_MAX: usize = 65_507;

impl Run {
    /// Binds a socket of `host`.
    ///
    /// # Errors
    /// As Linux: `EADDRINUSE`, `EADDRNOTAVAIL`, `ENETDOWN`.
    pub(crate) fn bind(&mut self, host: u32, mut address: SocketAddr, site: Site) -> io::Result<u32> {
        let own = &self.net.hosts[host as usize];
        if !own.is_up {
            return Err(errno(ENETDOWN, io::ErrorKind::NetworkDown));
        }
        if address.ip() != own.address && !address.ip().is_unspecified() && !address.ip().is_loopback() {
            return Err(errno(EADDRNOTAVAIL, io::ErrorKind::AddrNotAvailable));
        }
        if address.port() == 0 {
            let port = self.ephemeral_port(host).ok_or_else(|| errno(EADDRINUSE, io::ErrorKind::AddrInUse))?;
            address.set_port(port);
        } else if self.is_taken(host, address) {
            return Err(errno(EADDRINUSE, io::ErrorKind::AddrInUse));
        }
        let obj = self.create("UDP socket", Nature::Resource, site);
        self.net.sockets.push(Socket {
            obj,
            host,
            local: address,
            peer: None,
            fragments: true,
            is_open: true,
            queue: VecDeque::new(),
            error: None,
            readers: SmallVec::new(),
            wakers: Vec::new(),
            has_carrier: false,
        });
        Ok(self.net.sockets.len() as u32 - 1)
    }

    pub(super) fn is_taken(&self, host: u32, address: SocketAddr) -> bool {
        self.net.sockets.iter().any(|socket| {
            let (mine, theirs) = (address.ip(), socket.local.ip());
            let overlaps = mine == theirs || mine.is_unspecified() || theirs.is_unspecified();
            socket.is_open && socket.host == host && socket.local.port() == address.port() && overlaps
        })
    }

    pub(super) fn ephemeral_port(&mut self, host: u32) -> Option<u16> {
        for _ in EPHEMERAL {
            let port = self.net.hosts[host as usize].next_port;
            self.net.hosts[host as usize].next_port = if port == *EPHEMERAL.end() { *EPHEMERAL.start() } else { port + 1 };
            if !self.is_taken(host, SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)) {
                return Some(port);
            }
        }
        None
    }

    pub(crate) fn close(&mut self, socket: u32) {
        let socket = &mut self.net.sockets[socket as usize];
        socket.is_open = false;
        socket.queue.clear();
        let obj = socket.obj;
        self.released_by_drop(obj);
    }

    /// Sends a datagram: what becomes of it is chosen here. On turmoil the copies, as they are to arrive, are what its network is
    /// given now.
    ///
    /// # Errors
    /// As Linux: `EMSGSIZE`, `ENETDOWN`, and what an ICMP message said before.
    pub(crate) fn send(
        &mut self,
        me: u32,
        socket: u32,
        mut to: SocketAddr,
        bytes: &[u8],
        site: Site,
    ) -> io::Result<Vec<Box<Packet>>> {
        let own = &mut self.net.sockets[socket as usize];
        if let Some(error) = own.error.take() {
            return Err(errno(ECONNREFUSED, error));
        }
        let (from_host, mut from, fragments, obj) = (own.host, own.local, own.fragments, own.obj);
        let is_open = own.is_open;
        #[cfg(feature = "turmoil")]
        let has_carrier = own.has_carrier;
        let host = &self.net.hosts[from_host as usize];
        if !host.is_up || !is_open {
            return Err(errno(ENETDOWN, io::ErrorKind::NetworkDown));
        }
        let host_address = host.address;
        if from.ip().is_unspecified() {
            from.set_ip(if to.ip().is_loopback() { to.ip() } else { host_address });
        }
        // To no address in particular is to this host.
        if to.ip().is_unspecified() {
            to.set_ip(host_address);
        }
        if to.port() == 0 || from.ip().is_loopback() && !to.ip().is_loopback() && to.ip() != host_address {
            return Err(errno(EINVAL, io::ErrorKind::InvalidInput));
        }
        if bytes.len() > DATAGRAM_BYTES_MAX {
            return Err(errno(EMSGSIZE, io::ErrorKind::InvalidInput));
        }
        let to_host = if to.ip().is_loopback() { Some(from_host) } else { self.net.host_of(to.ip()) };
        let link = to_host.filter(|to_host| *to_host != from_host).map(|to_host| self.net.link(from_host, to_host));
        let whole = bytes.len() as u64 + IP_HEADER_BYTES + UDP_HEADER_BYTES;
        if let Some(link) = &link
            && !fragments
            && whole > u64::from(link.mtu_bytes)
        {
            return Err(errno(EMSGSIZE, io::ErrorKind::InvalidInput));
        }
        self.net.counters.sent += 1;
        self.net.packets += 1;
        let number = self.net.packets;
        self.record(me, Op::PacketSent, Some(obj), site);
        self.hash = mix(self.hash, (number << 24) ^ bytes.len() as u64);
        if self.trace.is_some() {
            self.trace_packet(number, from, to, bytes);
        }
        let clocks = self.detectors.races.then(|| {
            let thread = &mut self.threads[me as usize];
            let clocks = Box::new((thread.clock.clone(), thread.order_clock.clone()));
            thread.clock.tick(thread.slot);
            thread.order_clock.tick(thread.slot);
            clocks
        });
        #[cfg(feature = "turmoil")]
        let is_carried = self.engine == Engine::Turmoil
            && has_carrier
            && to_host.is_some_and(|host| host != from_host && crate::explore::turmoil::knows(host));
        #[cfg(not(feature = "turmoil"))]
        let is_carried = false;
        let packet = |to_host, bytes| {
            Box::new(Packet { number, message: 0, from, to, from_host, to_host, is_carried, site, bytes, clocks })
        };
        match (to_host, link) {
            (None, _) => {
                self.net.counters.unroutable += 1;
                self.note_fate(number, site, Op::PacketLost, "no host has this address");
                Ok(Vec::new())
            }
            // A host's own packets go no way.
            (Some(to_host), None) => Ok(self.launch(packet(to_host, bytes.to_vec()), None, self.now_ns)),
            (Some(to_host), Some(link)) => Ok(self.carry_over(packet(to_host, bytes.to_vec()), &link)),
        }
    }

    /// On turmoil: a packet is let go, and who waits for it is to look.
    #[cfg(feature = "turmoil")]
    pub(crate) fn wake_for(&mut self, packet: &Packet) {
        if let Some(socket) = self.net.socket_at(packet.to_host, packet.to) {
            self.wake_readers(socket);
        }
    }

    pub(super) fn wake_readers(&mut self, socket: u32) {
        let target = &mut self.net.sockets[socket as usize];
        let obj = target.obj;
        self.net.to_wake.append(&mut target.wakers);
        for reader in std::mem::take(&mut target.readers) {
            let thread = &self.threads[reader as usize];
            if thread.state == State::Blocked && thread.is_parked {
                self.wake(reader, Wake::Notified);
            }
        }
        for waiter in std::mem::take(&mut self.objects[obj.id as usize].waiters) {
            self.wake(waiter, Wake::Notified);
        }
    }

    /// No socket has the port: an ICMP message tells a connected sender, and no other (RFC 1122 section 4.1.3.3, as Linux does).
    pub(super) fn refuse(&mut self, packet: &Packet) {
        let connected = |socket: &Socket| {
            socket.is_open
                && socket.host == packet.from_host
                && socket.local.port() == packet.from.port()
                && socket.peer == Some(packet.to)
        };
        if let Some(socket) = self.net.sockets.iter().position(connected) {
            self.net.sockets[socket].error = Some(io::ErrorKind::ConnectionRefused);
            self.wake_readers(socket as u32);
        }
    }

    /// The next packet of a socket, or what an ICMP message said, if there is either.
    pub(crate) fn take_packet(&mut self, me: u32, socket: u32) -> Option<io::Result<Box<Packet>>> {
        let own = &mut self.net.sockets[socket as usize];
        if let Some(error) = own.error.take() {
            return Some(Err(errno(ECONNREFUSED, error)));
        }
        if !self.net.hosts[own.host as usize].is_up || !own.is_open {
            return Some(Err(errno(ENETDOWN, io::ErrorKind::NetworkDown)));
        }
        let packet = own.queue.pop_front()?;
        let (obj, number) = (own.obj, packet.number);
        if let Some(clocks) = &packet.clocks {
            let thread = &mut self.threads[me as usize];
            thread.clock.join(&clocks.0);
            thread.order_clock.join(&clocks.1);
        }
        self.record(me, Op::PacketReceived, Some(obj), packet.site);
        if self.trace.is_some() {
            let name = format!("packet {number}");
            self.name_last_event_of_packet(number, &name);
        }
        Some(Ok(packet))
    }

    /// The current thread's task waits for a packet.
    pub(crate) fn read_later(&mut self, me: u32, socket: u32, waker: &Waker) {
        let target = &mut self.net.sockets[socket as usize];
        if self.engine == Engine::Turmoil {
            target.wakers.retain(|other| !other.will_wake(waker));
            target.wakers.push(waker.clone());
            return;
        }
        if !target.readers.contains(&me) {
            target.readers.push(me);
        }
        let reads = &mut self.threads[me as usize].reads;
        if !reads.iter().any(|(other, known)| *other == socket && known.will_wake(waker)) {
            reads.push((socket, waker.clone()));
        }
    }

    /// The wakers of this thread's reads that have something to read.
    pub(crate) fn take_ready_reads(&mut self, me: u32, ready: &mut Vec<Waker>) {
        let (threads, net) = (&mut self.threads, &mut self.net);
        threads[me as usize].reads.retain(|(socket, waker)| {
            let socket = &mut net.sockets[*socket as usize];
            let is_ready = !socket.queue.is_empty() || socket.error.is_some() || !net.hosts[socket.host as usize].is_up;
            if is_ready {
                ready.push(waker.clone());
            } else if !socket.readers.contains(&me) {
                // It was woken for a packet that somebody else has taken.
                socket.readers.push(me);
            }
            !is_ready
        });
    }

    /// The host is gone, with all that its sockets had received.
    pub(crate) fn crash(&mut self, host: u32) {
        self.net.hosts[host as usize].is_up = false;
        // Whoever else has one of its sockets has a dead one, and its port is free.
        for socket in 0..self.net.sockets.len() {
            if self.net.sockets[socket].host == host && self.net.sockets[socket].is_open {
                self.close(socket as u32);
                self.wake_readers(socket as u32);
            }
        }
    }
}
