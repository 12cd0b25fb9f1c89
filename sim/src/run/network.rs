//! The network of a run: hosts, sockets, what is in flight between them, and what happens to it on the way.
//!
//! Sans-IO: who calls says what was sent and what time it is. On shuttle packets arrive here; on turmoil, which carries the bytes,
//! what is decided here is when the carrier lets each message go.

#![expect(clippy::vec_box, reason = "packets move from queue to queue, and a box moves as a pointer")]

use super::{NETWORK_LANE, Nature, Obj, Run, Site, State, WaitFor, Wake};
use crate::choice::{Kind, mix};
use crate::engine::Engine;
use crate::happens::VectorClock;
use crate::net::link::{Arrivals, Chance, IP_HEADER_BYTES, Link, Loss, UDP_HEADER_BYTES};
use crate::trace::{Arrival, Op, Packet as TracedPacket};
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
/// So many packets may be in flight; what is sent then is dropped, as by an interface's queue.
const IN_FLIGHT_MAX: usize = 65_536;
/// The longest datagram that IPv4 and UDP have.
pub(crate) const DATAGRAM_BYTES_MAX: usize = 65_507;
/// Linux's range of ephemeral ports.
const EPHEMERAL: std::ops::RangeInclusive<u16> = 32_768..=60_999;
/// At a scheduling point one packet in so many arrives though something could run.
const EARLY_ARRIVAL_ODDS: Chance = Chance((1 << 32) / 8);

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
    paths: Vec<((u32, u32), Path)>,
    links: Vec<((u32, u32), Arc<Link>)>,
    default_link: Option<Arc<Link>>,
    /// What arrives at its time, the next one last. The key: when, and in which order.
    in_flight: Vec<((u64, u64), Box<Packet>)>,
    /// What arrives when the run chooses, in the order of sending.
    waiting: VecDeque<Box<Packet>>,
    orders: u64,
    packets: u64,
    pub(crate) counters: Counters,
    /// On turmoil: what has arrived, to be let go by the carrier.
    pub(crate) to_let_go: Vec<Box<Packet>>,
    /// On turmoil: tasks that have something to read, to be woken when the run's state is put back.
    pub(crate) to_wake: Vec<Waker>,
}

#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) name: Arc<str>,
    pub(crate) address: IpAddr,
    pub(crate) is_up: bool,
    next_port: u16,
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
    readers: SmallVec<[u32; 2]>,
    /// On turmoil: who waits for an error.
    pub(crate) wakers: Vec<Waker>,
}

/// What one direction between two hosts is like now.
#[derive(Debug, Default)]
struct Path {
    is_bad: bool,
    is_partitioned: bool,
    dark_until_ns: u64,
    busy_until_ns: u64,
    last_arrival_ns: u64,
    /// Keys of packets that wait to be overtaken.
    overtaken: Vec<(u64, u64)>,
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
    from_host: u32,
    to_host: u32,
    /// On turmoil: whether its network carries it. It carries none within a host, nor to a host that was made in the same step.
    pub(crate) is_carried: bool,
    site: Site,
    pub(crate) bytes: Vec<u8>,
    /// What its sender knew.
    clocks: Option<Box<(VectorClock, VectorClock)>>,
}

/// What a receiver is given.
pub(crate) struct Received {
    pub(crate) packet: Box<Packet>,
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
        self.to_let_go.clear();
        self.to_wake.clear();
        self.add_host("main".into());
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

    fn host_of(&self, address: IpAddr) -> Option<u32> {
        self.hosts.iter().position(|host| host.address == address).map(|number| number as u32)
    }

    pub(crate) fn set_link(&mut self, from: u32, to: u32, link: Link) {
        self.links.retain(|(ends, _)| *ends != (from, to));
        self.links.push(((from, to), Arc::new(link)));
    }

    pub(crate) fn set_default_link(&mut self, link: Link) {
        self.default_link = Some(Arc::new(link));
    }

    pub(crate) fn partition(&mut self, from: u32, to: u32, is_partitioned: bool) {
        self.path(from, to).is_partitioned = is_partitioned;
    }

    fn link(&mut self, from: u32, to: u32) -> Arc<Link> {
        match self.links.iter().find(|(ends, _)| *ends == (from, to)) {
            Some((_, link)) => Arc::clone(link),
            None => Arc::clone(self.default_link.get_or_insert_with(|| Arc::new(Link::any_order()))),
        }
    }

    fn path(&mut self, from: u32, to: u32) -> &mut Path {
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
    fn place_of(&self, key: (u64, u64)) -> Result<usize, usize> {
        self.in_flight.binary_search_by(|(other, _)| key.cmp(other))
    }

    fn schedule(&mut self, key: (u64, u64), packet: Box<Packet>) {
        let (Ok(place) | Err(place)) = self.place_of(key);
        self.in_flight.insert(place, (key, packet));
    }

    /// Whether a packet waits for the run to choose it.
    pub(crate) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Which of the waiting packets can be next: of a link in order, only the first.
    fn eligible(&mut self) -> SmallVec<[usize; 8]> {
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
    fn tell_address(&self, address: SocketAddr) -> String {
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
        });
        Ok(self.net.sockets.len() as u32 - 1)
    }

    fn is_taken(&self, host: u32, address: SocketAddr) -> bool {
        self.net.sockets.iter().any(|socket| {
            let (mine, theirs) = (address.ip(), socket.local.ip());
            let overlaps = mine == theirs || mine.is_unspecified() || theirs.is_unspecified();
            socket.is_open && socket.host == host && socket.local.port() == address.port() && overlaps
        })
    }

    fn ephemeral_port(&mut self, host: u32) -> Option<u16> {
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
        to: SocketAddr,
        bytes: &[u8],
        site: Site,
    ) -> io::Result<Vec<Box<Packet>>> {
        let own = &mut self.net.sockets[socket as usize];
        if let Some(error) = own.error.take() {
            return Err(errno(ECONNREFUSED, error));
        }
        let (from_host, mut from, fragments, obj) = (own.host, own.local, own.fragments, own.obj);
        let host = &self.net.hosts[from_host as usize];
        if !host.is_up {
            return Err(errno(ENETDOWN, io::ErrorKind::NetworkDown));
        }
        let host_address = host.address;
        if from.ip().is_unspecified() {
            from.set_ip(if to.ip().is_loopback() { to.ip() } else { host_address });
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
            && to_host.is_some_and(|host| host != from_host && crate::explore::turmoil::knows(host));
        #[cfg(not(feature = "turmoil"))]
        let is_carried = false;
        let packet = |to_host, bytes| {
            Box::new(Packet { number, message: 0, from, to, from_host, to_host, is_carried, site, bytes, clocks })
        };
        match (to_host, link) {
            (None, _) => {
                self.net.counters.unroutable += 1;
                self.note_fate(number, obj, site, Op::PacketLost, "no host has this address");
                Ok(Vec::new())
            }
            // A host's own packets go no way.
            (Some(to_host), None) => Ok(self.launch(packet(to_host, bytes.to_vec()), None, self.now_ns)),
            (Some(to_host), Some(link)) => Ok(self.carry_over(packet(to_host, bytes.to_vec()), &link, obj)),
        }
    }

    /// What the link does to a packet.
    fn carry_over(&mut self, mut packet: Box<Packet>, link: &Link, obj: Obj) -> Vec<Box<Packet>> {
        let (number, site, ends) = (packet.number, packet.site, (packet.from_host, packet.to_host));
        let now_ns = self.now_ns;
        if link.outage.is_possible() && self.choose_with_odds(Kind::Outage, 2, link.outage) == 1 {
            let path = self.net.path(ends.0, ends.1);
            path.dark_until_ns = path.dark_until_ns.max(now_ns + link.outage_ns);
        }
        if self.is_dark(ends) {
            self.net.counters.dark += 1;
            self.note_fate(number, obj, site, Op::PacketLost, "the link is dark");
            return Vec::new();
        }
        if self.is_lost(link, ends, link.fragments(packet.bytes.len())) {
            self.net.counters.lost += 1;
            self.note_fate(number, obj, site, Op::PacketLost, "the link lost it");
            return Vec::new();
        }
        let Some(departure_ns) = self.pass_bottleneck(link, ends, packet.bytes.len()) else {
            self.net.counters.dropped += 1;
            self.note_fate(number, obj, site, Op::PacketLost, "dropped by a full queue");
            return Vec::new();
        };
        let copy = link.duplicate.is_possible() && self.choose_with_odds(Kind::Duplicate, 2, link.duplicate) == 1;
        // A copy is the packet as it was sent: what is done to one is not done to the other.
        let copy = copy.then(|| packet.clone());
        let bits = packet.bytes.len() as u64 * 8;
        if link.corrupt.is_possible() {
            let bit = self.choose_with_odds(Kind::Corrupt, bits + 1, link.corrupt);
            if let Some(bit) = bit.checked_sub(1) {
                packet.bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
                self.net.counters.corrupted += 1;
                self.note_fate(number, obj, site, Op::PacketHarmed, &format!("bit {bit} is flipped"));
            }
        }
        if link.truncate.is_possible() {
            let cut = self.choose_with_odds(Kind::Truncate, packet.bytes.len() as u64 + 1, link.truncate);
            if cut > 0 {
                packet.bytes.truncate(packet.bytes.len() - cut as usize);
                self.net.counters.truncated += 1;
                self.note_fate(number, obj, site, Op::PacketHarmed, &format!("{cut} bytes are cut off"));
            }
        }
        let is_timed = link.arrivals == Arrivals::Timed;
        let mut arrival_ns = departure_ns;
        let mut waits = false;
        if is_timed {
            let step = self.choose(Kind::Delay, link.jitter_steps + 1);
            waits = link.reorder.is_possible() && self.choose_with_odds(Kind::Reorder, 2, link.reorder) == 1;
            let path = self.net.path(ends.0, ends.1);
            arrival_ns = (departure_ns + link.delay_ns(step)).max(path.last_arrival_ns);
            if waits {
                arrival_ns += link.patience_ns();
            } else {
                path.last_arrival_ns = arrival_ns;
            }
        }
        let mut launched = self.launch(packet, is_timed.then_some(link), arrival_ns);
        if waits {
            self.net.counters.reordered += 1;
            self.note_fate(number, obj, site, Op::PacketHarmed, "it will be overtaken");
            let key = (arrival_ns, self.net.orders);
            self.net.path(ends.0, ends.1).overtaken.push(key);
        } else if is_timed {
            self.overtake(ends, arrival_ns);
        }
        if let Some(copy) = copy {
            self.net.counters.duplicated += 1;
            self.note_fate(number, obj, site, Op::PacketHarmed, "it is duplicated");
            launched.extend(self.launch(copy, is_timed.then_some(link), arrival_ns));
            if waits {
                let key = (arrival_ns, self.net.orders);
                self.net.path(ends.0, ends.1).overtaken.push(key);
            }
        }
        launched
    }

    /// Puts a packet on its way: to arrive at a time, or when the run chooses. A packet to its own host has a time.
    fn launch(&mut self, mut packet: Box<Packet>, link: Option<&Link>, arrival_ns: u64) -> Vec<Box<Packet>> {
        if self.net.in_flight.len() + self.net.waiting.len() >= IN_FLIGHT_MAX {
            self.net.counters.dropped += 1;
            return Vec::new();
        }
        self.net.orders += 1;
        packet.message = self.net.orders;
        let given = if self.engine == Engine::Turmoil { vec![packet.clone()] } else { Vec::new() };
        let has_time = link.is_some() || packet.from_host == packet.to_host;
        if !has_time {
            self.net.waiting.push_back(packet);
        } else if self.engine == Engine::Shuttle && arrival_ns <= self.now_ns {
            self.arrive(packet);
        } else {
            self.net.schedule((arrival_ns, self.net.orders), packet);
        }
        given
    }

    /// Has the packets that were to be overtaken on this path arrive right after `arrival_ns`.
    fn overtake(&mut self, ends: (u32, u32), arrival_ns: u64) {
        for key in std::mem::take(&mut self.net.path(ends.0, ends.1).overtaken) {
            // One that has arrived by its patience is gone.
            if let Ok(place) = self.net.place_of(key) {
                let (key, packet) = self.net.in_flight.remove(place);
                self.net.orders += 1;
                self.net.schedule((arrival_ns.min(key.0), self.net.orders), packet);
            }
        }
    }

    fn is_dark(&mut self, ends: (u32, u32)) -> bool {
        let now_ns = self.now_ns;
        let path = self.net.path(ends.0, ends.1);
        path.is_partitioned || path.dark_until_ns > now_ns
    }

    fn is_lost(&mut self, link: &Link, ends: (u32, u32), fragments: u64) -> bool {
        let mut lost = false;
        for _ in 0..fragments {
            let chance = match link.loss {
                Loss::Each(chance) => chance,
                Loss::Bursts { to_bad, stay_bad, in_good, in_bad } => {
                    let turns = if self.net.path(ends.0, ends.1).is_bad { stay_bad } else { to_bad };
                    let is_bad = turns.is_possible() && self.choose_with_odds(Kind::Burst, 2, turns) == 1;
                    self.net.path(ends.0, ends.1).is_bad = is_bad;
                    if is_bad { in_bad } else { in_good }
                }
            };
            // What is certain is no choice.
            lost |= chance.0 >= 1 << 32 || chance.is_possible() && self.choose_with_odds(Kind::Loss, 2, chance) == 1;
        }
        lost
    }

    /// When a packet has left the bottleneck; `None` if its queue has no room.
    fn pass_bottleneck(&mut self, link: &Link, ends: (u32, u32), datagram_bytes: usize) -> Option<u64> {
        let now_ns = self.now_ns;
        let Some(rate) = link.bandwidth_bits_per_s else { return Some(now_ns) };
        let wire_bytes = link.wire_bytes(datagram_bytes);
        let path = self.net.path(ends.0, ends.1);
        let backlog_ns = path.busy_until_ns.saturating_sub(now_ns);
        let backlog_bytes = (u128::from(backlog_ns) * u128::from(rate) / 8_000_000_000) as u64;
        if backlog_bytes + wire_bytes > link.queue_bytes {
            return None;
        }
        path.busy_until_ns = path.busy_until_ns.max(now_ns) + link.serialisation_ns(wire_bytes);
        Some(path.busy_until_ns)
    }

    /// On turmoil: it is this late, and what was to arrive by now arrives.
    #[cfg(feature = "turmoil")]
    pub(crate) fn arrive_at(&mut self, now_ns: u64) {
        self.now_ns = now_ns;
        self.arrive_due();
    }

    /// On turmoil: when time ends somebody's wait, or brings a packet.
    #[cfg(feature = "turmoil")]
    pub(crate) fn next_event_ns(&self) -> Option<u64> {
        let sleeps = self.threads.iter().filter(|thread| thread.state != State::Finished).flat_map(|thread| &thread.sleeps);
        [sleeps.map(|sleep| sleep.deadline_ns).min(), self.net.next_arrival_ns()].into_iter().flatten().min()
    }

    /// Packets whose time has come arrive.
    pub(super) fn arrive_due(&mut self) {
        let now_ns = self.now_ns;
        while let Some((_, packet)) = self.net.in_flight.pop_if(|((at_ns, _), _)| *at_ns <= now_ns) {
            self.arrive(packet);
        }
    }

    /// At a scheduling point: whether a packet whose arrival is explored arrives though something could run.
    pub(super) fn arrive_early(&mut self) {
        let eligible = self.net.eligible();
        let chosen = self.choose_with_odds(Kind::Delivery, eligible.len() as u64 + 1, EARLY_ARRIVAL_ODDS);
        if let Some(index) = chosen.checked_sub(1) {
            self.arrive_waiting(eligible[index as usize]);
        }
    }

    /// Nothing can run: chooses the packet that arrives next. False if time is to pass first.
    pub(crate) fn arrive_next(&mut self, time_may_pass: bool) -> bool {
        let eligible = self.net.eligible();
        let chosen = self.choose_delivery(eligible.len() as u64, time_may_pass);
        match eligible.get(chosen as usize) {
            Some(&index) => {
                self.arrive_waiting(index);
                true
            }
            None => false,
        }
    }

    fn arrive_waiting(&mut self, index: usize) {
        if let Some(packet) = self.net.waiting.remove(index) {
            self.arrive(packet);
        }
    }

    /// A packet reaches its host.
    fn arrive(&mut self, packet: Box<Packet>) {
        let ends = (packet.from_host, packet.to_host);
        let (number, site) = (packet.number, packet.site);
        let Some(obj) = self.net.sockets.first().map(|socket| socket.obj) else { return };
        if !self.net.hosts[ends.1 as usize].is_up || ends.0 != ends.1 && self.is_dark(ends) {
            self.net.counters.dark += 1;
            return self.note_fate(number, obj, site, Op::PacketLost, "it finds the link dark or the host down");
        }
        let Some(socket) = self.net.socket_at(ends.1, packet.to) else {
            self.net.counters.refused += 1;
            self.note_fate(number, obj, site, Op::PacketLost, "no socket has this port");
            return self.refuse(&packet);
        };
        let target = &mut self.net.sockets[socket as usize];
        let obj = target.obj;
        if target.peer.is_some_and(|peer| peer != packet.from) {
            self.net.counters.refused += 1;
            return self.note_fate(number, obj, site, Op::PacketLost, "the socket is connected to another");
        }
        if target.queue.len() >= RECEIVE_QUEUE_PACKETS {
            self.net.counters.overflowed += 1;
            return self.note_fate(number, obj, site, Op::PacketLost, "the receiver's queue is full");
        }
        self.net.counters.arrived += 1;
        self.record(NETWORK_LANE, Op::PacketArrived, Some(obj), site);
        self.hash = mix(self.hash, (number << 24) ^ packet.bytes.len() as u64);
        if self.trace.is_some() {
            self.trace_arrival(&packet);
        }
        let target = &mut self.net.sockets[socket as usize];
        if self.engine == Engine::Turmoil {
            self.net.to_let_go.push(packet.clone());
            let bytes = if packet.is_carried { Vec::new() } else { packet.bytes.clone() };
            target.queue.push_back(Box::new(Packet { bytes, ..*packet }));
            return;
        }
        target.queue.push_back(packet);
        self.idle_rounds = 0;
        self.wake_readers(socket);
    }

    /// On turmoil: a packet is let go, and who waits for it is to look.
    #[cfg(feature = "turmoil")]
    pub(crate) fn wake_for(&mut self, packet: &Packet) {
        if let Some(socket) = self.net.socket_at(packet.to_host, packet.to) {
            self.wake_readers(socket);
        }
    }

    fn wake_readers(&mut self, socket: u32) {
        let target = &mut self.net.sockets[socket as usize];
        let obj = target.obj;
        self.net.to_wake.append(&mut target.wakers);
        for reader in std::mem::take(&mut target.readers) {
            let thread = &self.threads[reader as usize];
            if thread.state == State::Blocked && matches!(thread.waiting, Some((WaitFor::Wakeup(_), _))) {
                self.wake(reader, Wake::Notified);
            }
        }
        for waiter in std::mem::take(&mut self.objects[obj.id as usize].waiters) {
            self.wake(waiter, Wake::Notified);
        }
    }

    /// No socket has the port: an ICMP message tells a connected sender, and no other (RFC 1122 section 4.1.3.3, as Linux does).
    fn refuse(&mut self, packet: &Packet) {
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
    pub(crate) fn take_packet(&mut self, me: u32, socket: u32) -> Option<io::Result<Received>> {
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
            let name = self.tell_packet(number);
            self.name_last_event(&name);
        }
        Some(Ok(Received { packet }))
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
        match reads.iter_mut().find(|(other, _)| *other == socket) {
            Some((_, known)) => known.clone_from(waker),
            None => reads.push((socket, waker.clone())),
        }
    }

    /// The wakers of this thread's reads that have something to read.
    pub(crate) fn take_ready_reads(&mut self, me: u32, ready: &mut Vec<Waker>) {
        let (threads, net) = (&mut self.threads, &self.net);
        threads[me as usize].reads.retain(|(socket, waker)| {
            let socket = &net.sockets[*socket as usize];
            let is_ready = !socket.queue.is_empty() || socket.error.is_some() || !net.hosts[socket.host as usize].is_up;
            if is_ready {
                ready.push(waker.clone());
            }
            !is_ready
        });
    }

    /// The host is gone, with all that its sockets had received.
    pub(crate) fn crash(&mut self, host: u32) {
        self.net.hosts[host as usize].is_up = false;
        for socket in 0..self.net.sockets.len() {
            if self.net.sockets[socket].host == host {
                self.net.sockets[socket].queue.clear();
                self.wake_readers(socket as u32);
            }
        }
    }

    fn trace_packet(&mut self, number: u64, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let name = format!("packet {number}, {} bytes, to {}", bytes.len(), self.net.tell_address(to));
        self.name_last_event(&name);
        let hosts: Vec<(String, IpAddr)> = self.net.hosts.iter().map(|host| (host.name.to_string(), host.address)).collect();
        let sent_ns = self.now_ns;
        if let Some(trace) = &mut self.trace {
            trace.hosts = hosts;
            trace.packets.push(TracedPacket {
                number,
                from,
                to,
                sent_ns,
                bytes: bytes.to_vec(),
                fate: Vec::new(),
                arrivals: Vec::new(),
            });
        }
    }

    fn trace_arrival(&mut self, packet: &Packet) {
        let name = format!("packet {} at {}", packet.number, self.net.tell_address(packet.to));
        self.name_last_event(&name);
        let at_ns = self.now_ns;
        if let Some(traced) = self.traced(packet.number) {
            traced.arrivals.push(Arrival { at_ns, bytes: packet.bytes.clone() });
        }
    }

    fn traced(&mut self, number: u64) -> Option<&mut TracedPacket> {
        self.trace.as_mut()?.packets.iter_mut().rfind(|packet| packet.number == number)
    }

    fn tell_packet(&self, number: u64) -> String {
        format!("packet {number}")
    }

    /// What became of a packet, other than that it arrived.
    fn note_fate(&mut self, number: u64, obj: Obj, site: Site, op: Op, fate: &str) {
        self.record(NETWORK_LANE, op, Some(obj), site);
        self.hash = mix(self.hash, number);
        if self.trace.is_some() {
            let name = format!("packet {number}: {fate}");
            self.name_last_event(&name);
            if let Some(traced) = self.traced(number) {
                traced.fate.push(fate.to_owned());
            }
        }
    }
}

pub(crate) const EDESTADDRREQ: i32 = 89;
const EADDRINUSE: i32 = 98;
const EADDRNOTAVAIL: i32 = 99;
const ENETDOWN: i32 = 100;
const EMSGSIZE: i32 = 90;
const ECONNREFUSED: i32 = 111;

/// The error that Linux gives; elsewhere its kind, as the numbers differ.
pub(crate) fn errno(number: i32, kind: io::ErrorKind) -> io::Error {
    if cfg!(target_os = "linux") { io::Error::from_raw_os_error(number) } else { kind.into() }
}
