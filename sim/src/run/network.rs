//! The network of a run: hosts, sockets, what is in flight between them, and what happens to it on the way.
//!
//! Sans-IO: who calls says what was sent and what time it is. On shuttle packets arrive here; on turmoil, which carries the bytes,
//! what is decided here is when the carrier lets each message go.

#![expect(clippy::vec_box, reason = "packets move from queue to queue, and a box moves as a pointer")]

use super::{Obj, Site};
use crate::happens::VectorClock;
use crate::net::link::{Arrivals, Link};
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::task::Waker;

/// So many hosts have addresses.
const HOSTS_MAX: usize = 250;
/// So many packets wait in a socket; what comes then is dropped, as by a system's receive buffer.
pub(crate) const RECEIVE_QUEUE_PACKETS: usize = 256;
/// Linux's range of ephemeral ports.
pub(super) const EPHEMERAL: std::ops::RangeInclusive<u16> = 32_768..=60_999;

/// What has happened to the packets of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Datagrams sent.
    pub sent: u64,
    /// Datagrams, copies included, that came into a socket's queue.
    pub arrived: u64,
    /// Datagrams lost by the link's own loss.
    pub lost: u64,
    /// Datagrams lost to an outage, a partition, or a host that was down.
    pub dark: u64,
    /// Datagrams dropped by a bottleneck's queue.
    pub dropped: u64,
    /// Datagrams that arrived twice.
    pub duplicated: u64,
    /// Datagrams chosen to be overtaken.
    pub reordered: u64,
    /// Datagrams with a bit flipped.
    pub corrupted: u64,
    /// Datagrams cut short.
    pub truncated: u64,
    /// Datagrams that found the receiver's queue full.
    pub overflowed: u64,
    /// Datagrams for a port that no socket had.
    pub refused: u64,
    /// Datagrams to an address that no host has.
    pub unroutable: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Network {
    pub(crate) hosts: Vec<Host>,
    pub(crate) sockets: Vec<Socket>,
    pub(super) paths: Vec<((u32, u32), Path)>,
    pub(super) links: Vec<((u32, u32), Arc<Link>)>,
    pub(super) default_link: Option<Arc<Link>>,
    /// What arrives at its time, the next one last. The key: when, and in which order.
    pub(super) in_flight: Vec<((u64, u64), Box<Packet>)>,
    /// What arrives when the run chooses, in the order of sending.
    pub(super) waiting: VecDeque<Box<Packet>>,
    pub(super) orders: u64,
    pub(super) packets: u64,
    pub(crate) counters: Counters,
    /// Who looks at every datagram that is sent.
    pub(crate) tap: Option<Tap>,
    /// On turmoil: what has arrived, to be let go by the carrier.
    pub(crate) to_let_go: Vec<Box<Packet>>,
    /// On turmoil: tasks that have something to read, to be woken when the run's state is put back.
    pub(crate) to_wake: Vec<Waker>,
}

/// Called with where a datagram comes from, where it goes, and its bytes.
#[derive(Clone)]
pub(crate) struct Tap(pub(crate) Arc<dyn Fn(SocketAddr, SocketAddr, &[u8])>);

impl std::fmt::Debug for Tap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tap")
    }
}

#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) name: Arc<str>,
    pub(crate) address: IpAddr,
    pub(crate) is_up: bool,
    pub(super) next_port: u16,
}

#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) obj: Obj,
    pub(crate) host: u32,
    pub(crate) local: SocketAddr,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) fragments: bool,
    pub(crate) is_open: bool,
    pub(crate) queue: VecDeque<Box<Packet>>,
    /// What an ICMP message has said.
    pub(crate) error: Option<io::ErrorKind>,
    /// The threads whose tasks wait for a packet here.
    pub(super) readers: SmallVec<[u32; 2]>,
    /// On turmoil: who waits for an error.
    pub(crate) wakers: Vec<Waker>,
    /// On turmoil: whether its network brings this one's packets.
    pub(crate) has_carrier: bool,
}

/// What one direction between two hosts is like now.
#[derive(Debug, Default)]
pub(super) struct Path {
    pub(super) is_bad: bool,
    pub(super) is_partitioned: bool,
    pub(super) dark_until_ns: u64,
    pub(super) busy_until_ns: u64,
    pub(super) last_arrival_ns: u64,
    /// Keys of packets that wait to be overtaken.
    pub(super) overtaken: Vec<(u64, u64)>,
}

/// A datagram on its way.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    /// Counts the datagrams of a run; copies share it.
    pub(crate) number: u64,
    /// On turmoil: which of the messages that its network holds.
    pub(crate) message: u64,
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(super) from_host: u32,
    pub(super) to_host: u32,
    /// On turmoil: whether its network carries it. It carries none within a host, nor to a host that was made in the same step.
    pub(crate) is_carried: bool,
    pub(super) site: Site,
    pub(crate) bytes: Vec<u8>,
    /// What its sender knew.
    pub(super) clocks: Option<Box<(VectorClock, VectorClock)>>,
}

impl Network {
    /// Forgets the last run.
    pub(super) fn begin(&mut self) {
        self.hosts.clear();
        self.sockets.clear();
        self.paths.clear();
        self.links.clear();
        self.default_link = None;
        self.in_flight.clear();
        self.waiting.clear();
        self.orders = 0;
        self.packets = 0;
        self.counters = Counters::default();
        self.tap = None;
        self.to_let_go.clear();
        self.to_wake.clear();
        self.add_host("main".into());
    }

    /// Nothing is in flight any more.
    #[cfg(feature = "turmoil")]
    pub(super) fn end(&mut self) {
        self.tap = None;
        self.in_flight.clear();
        self.waiting.clear();
        self.to_let_go.clear();
        self.to_wake.clear();
    }

    /// The host's number. `None` if there are too many.
    pub(crate) fn add_host(&mut self, name: Arc<str>) -> Option<u32> {
        let number = self.hosts.len();
        if number >= HOSTS_MAX {
            return None;
        }
        let address = IpAddr::V4(Ipv4Addr::new(192, 168, 0, number as u8 + 1));
        self.hosts.push(Host { name, address, is_up: true, next_port: *EPHEMERAL.start() });
        Some(number as u32)
    }

    pub(super) fn host_of(&self, address: IpAddr) -> Option<u32> {
        self.hosts.iter().position(|host| host.address == address).map(|number| number as u32)
    }

    pub(crate) fn set_link(&mut self, from: u32, to: u32, link: Link) {
        self.links.retain(|(ends, _)| *ends != (from, to));
        self.links.push(((from, to), Arc::new(link)));
    }

    pub(crate) fn set_default_link(&mut self, link: Link) {
        self.default_link = Some(Arc::new(link));
    }

    pub(super) fn link(&mut self, from: u32, to: u32) -> Arc<Link> {
        match self.links.iter().find(|(ends, _)| *ends == (from, to)) {
            Some((_, link)) => Arc::clone(link),
            None => Arc::clone(self.default_link.get_or_insert_with(|| Arc::new(Link::any_order()))),
        }
    }

    pub(super) fn path(&mut self, from: u32, to: u32) -> &mut Path {
        let position = self.paths.iter().position(|(ends, _)| *ends == (from, to)).unwrap_or_else(|| {
            self.paths.push(((from, to), Path::default()));
            self.paths.len() - 1
        });
        &mut self.paths[position].1
    }

    /// When the next packet arrives by its time.
    pub(crate) fn next_arrival_ns(&self) -> Option<u64> {
        self.in_flight.last().map(|((at_ns, _), _)| *at_ns)
    }

    /// Where in the order of arrivals this key is, or would be.
    pub(super) fn place_of(&self, key: (u64, u64)) -> Result<usize, usize> {
        self.in_flight.binary_search_by(|(other, _)| key.cmp(other))
    }

    pub(super) fn schedule(&mut self, key: (u64, u64), packet: Box<Packet>) {
        let (Ok(place) | Err(place)) = self.place_of(key);
        self.in_flight.insert(place, (key, packet));
    }

    /// Whether a packet waits for the run to choose it.
    pub(crate) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Which of the waiting packets can be next: of a link in order, only the first.
    pub(super) fn eligible(&mut self) -> SmallVec<[usize; 8]> {
        let mut eligible = SmallVec::new();
        let mut blocked: SmallVec<[(u32, u32); 4]> = SmallVec::new();
        for index in 0..self.waiting.len() {
            let ends = (self.waiting[index].from_host, self.waiting[index].to_host);
            if blocked.contains(&ends) {
                continue;
            }
            eligible.push(index);
            if self.link(ends.0, ends.1).arrivals == Arrivals::InOrder {
                blocked.push(ends);
            }
        }
        eligible
    }

    pub(crate) fn socket_at(&self, host: u32, address: SocketAddr) -> Option<u32> {
        let serves = |socket: &Socket| {
            socket.is_open
                && socket.host == host
                && socket.local.port() == address.port()
                && (socket.local.ip() == address.ip() || socket.local.ip().is_unspecified())
        };
        self.sockets.iter().position(serves).map(|number| number as u32)
    }

    /// `host:port`, or the address where no host has it.
    pub(super) fn tell_address(&self, address: SocketAddr) -> String {
        match self.host_of(address.ip()) {
            Some(host) => format!("{}:{}", self.hosts[host as usize].name, address.port()),
            None => address.to_string(),
        }
    }
}

impl Packet {
    /// Its link as turmoil names it.
    #[cfg(feature = "turmoil")]
    pub(crate) fn link(&self) -> (IpAddr, IpAddr) {
        let (a, b) = (self.from.ip(), self.to.ip());
        (a.min(b), a.max(b))
    }
}

pub(crate) const EDESTADDRREQ: i32 = 89;
pub(super) const EINVAL: i32 = 22;
pub(super) const EADDRINUSE: i32 = 98;
pub(super) const EADDRNOTAVAIL: i32 = 99;
pub(super) const ENETDOWN: i32 = 100;
pub(super) const EMSGSIZE: i32 = 90;
pub(super) const ECONNREFUSED: i32 = 111;

/// The error that Linux gives; elsewhere its kind, as the numbers differ.
pub(crate) fn errno(number: i32, kind: io::ErrorKind) -> io::Error {
    if cfg!(target_os = "linux") { io::Error::from_raw_os_error(number) } else { kind.into() }
}
