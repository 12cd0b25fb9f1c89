//! What becomes of a packet between two hosts: every decision is a choice of the run.

#![expect(clippy::vec_box, reason = "packets move from queue to queue, and a box moves as a pointer")]

#[cfg(feature = "turmoil")]
use super::State;
use super::network::{Packet, RECEIVE_QUEUE_PACKETS};
use super::{NETWORK_LANE, Run, Site};
use crate::choice::{Kind, mix};
use crate::engine::Engine;
use crate::net::link::{Arrivals, Chance, Link, Loss};
use crate::trace::{Arrival, Op, Packet as TracedPacket};
use std::net::SocketAddr;

/// So many packets may be in flight; what is sent then is dropped, as by an interface's queue.
const IN_FLIGHT_MAX: usize = 65_536;
/// At a scheduling point one packet in so many arrives though something could run.
const EARLY_ARRIVAL_ODDS: Chance = Chance((1 << 32) / 8);

impl Run {
    /// What the link does to a packet.
    pub(super) fn carry_over(&mut self, mut packet: Box<Packet>, link: &Link) -> Vec<Box<Packet>> {
        let (number, site, ends) = (packet.number, packet.site, (packet.from_host, packet.to_host));
        let now_ns = self.now_ns;
        if link.outage.is_possible() && self.choose_with_odds(Kind::Outage, 2, link.outage) == 1 {
            let path = self.net.path(ends.0, ends.1);
            path.dark_until_ns = path.dark_until_ns.max(now_ns + link.outage_ns);
        }
        if self.is_dark(ends) {
            self.net.counters.dark += 1;
            self.note_fate(number, site, Op::PacketLost, "the link is dark");
            return Vec::new();
        }
        if self.is_lost(link, ends, link.fragments(packet.bytes.len())) {
            self.net.counters.lost += 1;
            self.note_fate(number, site, Op::PacketLost, "the link lost it");
            return Vec::new();
        }
        let Some(departure_ns) = self.pass_bottleneck(link, ends, packet.bytes.len()) else {
            self.net.counters.dropped += 1;
            self.note_fate(number, site, Op::PacketLost, "dropped by a full queue");
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
                self.note_fate(number, site, Op::PacketHarmed, &format!("bit {bit} is flipped"));
            }
        }
        if link.truncate.is_possible() {
            let cut = self.choose_with_odds(Kind::Truncate, packet.bytes.len() as u64 + 1, link.truncate);
            if cut > 0 {
                packet.bytes.truncate(packet.bytes.len() - cut as usize);
                self.net.counters.truncated += 1;
                self.note_fate(number, site, Op::PacketHarmed, &format!("{cut} bytes are cut off"));
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
            self.note_fate(number, site, Op::PacketHarmed, "it will be overtaken");
            let key = (arrival_ns, self.net.orders);
            self.net.path(ends.0, ends.1).overtaken.push(key);
        } else if is_timed {
            self.overtake(ends, arrival_ns);
        }
        if let Some(copy) = copy {
            self.net.counters.duplicated += 1;
            self.note_fate(number, site, Op::PacketHarmed, "it is duplicated");
            launched.extend(self.launch(copy, is_timed.then_some(link), arrival_ns));
            if waits {
                let key = (arrival_ns, self.net.orders);
                self.net.path(ends.0, ends.1).overtaken.push(key);
            }
        }
        launched
    }

    /// Puts a packet on its way: to arrive at a time, or when the run chooses. A packet to its own host has a time.
    pub(super) fn launch(&mut self, mut packet: Box<Packet>, link: Option<&Link>, arrival_ns: u64) -> Vec<Box<Packet>> {
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
    pub(super) fn overtake(&mut self, ends: (u32, u32), arrival_ns: u64) {
        for key in std::mem::take(&mut self.net.path(ends.0, ends.1).overtaken) {
            // One that has arrived by its patience is gone.
            if let Ok(place) = self.net.place_of(key) {
                let (key, packet) = self.net.in_flight.remove(place);
                self.net.orders += 1;
                self.net.schedule((arrival_ns.min(key.0), self.net.orders), packet);
            }
        }
    }

    /// Closes or opens the way from one host to another. What is on it when it closes is lost.
    pub(crate) fn partition(&mut self, from: u32, to: u32, is_partitioned: bool) {
        self.net.path(from, to).is_partitioned = is_partitioned;
        if !is_partitioned {
            return;
        }
        let is_on_it = |packet: &Packet| (packet.from_host, packet.to_host) == (from, to);
        let mut lost: Vec<(u64, Site)> = Vec::new();
        let mut keep = |packet: &Packet| {
            if is_on_it(packet) {
                lost.push((packet.number, packet.site));
            }
            !is_on_it(packet)
        };
        self.net.in_flight.retain(|(_, packet)| keep(packet));
        self.net.waiting.retain(|packet| keep(packet));
        self.net.counters.dark += lost.len() as u64;
        for (number, site) in lost {
            self.note_fate(number, site, Op::PacketLost, "the way was closed before it arrived");
        }
    }

    pub(super) fn is_dark(&mut self, ends: (u32, u32)) -> bool {
        let now_ns = self.now_ns;
        let path = self.net.path(ends.0, ends.1);
        path.is_partitioned || path.dark_until_ns > now_ns
    }

    pub(super) fn is_lost(&mut self, link: &Link, ends: (u32, u32), fragments: u64) -> bool {
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
    pub(super) fn pass_bottleneck(&mut self, link: &Link, ends: (u32, u32), datagram_bytes: usize) -> Option<u64> {
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
        [sleeps.map(|sleep| sleep.deadline_ns).filter(|deadline| *deadline > self.now_ns).min(), self.net.next_arrival_ns()]
            .into_iter()
            .flatten()
            .min()
    }

    /// On turmoil: what carried the network has ended. Sockets that are left are dead.
    #[cfg(feature = "turmoil")]
    pub(crate) fn end_network(&mut self) {
        for socket in 0..self.net.sockets.len() {
            if self.net.sockets[socket].is_open {
                self.close(socket as u32);
            }
        }
        self.net.end();
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

    pub(super) fn arrive_waiting(&mut self, index: usize) {
        if let Some(packet) = self.net.waiting.remove(index) {
            self.arrive(packet);
        }
    }

    /// A packet reaches its host.
    pub(super) fn arrive(&mut self, packet: Box<Packet>) {
        let ends = (packet.from_host, packet.to_host);
        let (number, site) = (packet.number, packet.site);
        if !self.net.hosts[ends.1 as usize].is_up || ends.0 != ends.1 && self.is_dark(ends) {
            self.net.counters.dark += 1;
            return self.note_fate(number, site, Op::PacketLost, "it finds the link dark or the host down");
        }
        let Some(socket) = self.net.socket_at(ends.1, packet.to) else {
            self.net.counters.refused += 1;
            self.note_fate(number, site, Op::PacketLost, "no socket has this port");
            return self.refuse(&packet);
        };
        let target = &mut self.net.sockets[socket as usize];
        let obj = target.obj;
        if target.peer.is_some_and(|peer| peer != packet.from) {
            self.net.counters.refused += 1;
            self.note_fate(number, site, Op::PacketLost, "the socket is connected to another");
            return self.refuse(&packet);
        }
        if target.queue.len() >= RECEIVE_QUEUE_PACKETS {
            self.net.counters.overflowed += 1;
            return self.note_fate(number, site, Op::PacketLost, "the receiver's queue is full");
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
            let is_carried = packet.is_carried && target.has_carrier;
            target.queue.push_back(Box::new(Packet { is_carried, ..*packet }));
            return;
        }
        target.queue.push_back(packet);
        self.idle_rounds = 0;
        self.wake_readers(socket);
    }

    pub(super) fn trace_packet(&mut self, number: u64, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let name = format!("packet {number}, {} bytes, to {}", bytes.len(), self.net.tell_address(to));
        self.name_last_event_of_packet(number, &name);
        let sent_ns = self.now_ns;
        if let Some(trace) = &mut self.trace {
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

    pub(super) fn trace_arrival(&mut self, packet: &Packet) {
        let name = format!("packet {} at {}", packet.number, self.net.tell_address(packet.to));
        self.name_last_event_of_packet(packet.number, &name);
        let at_ns = self.now_ns;
        if let Some(traced) = self.traced(packet.number) {
            traced.arrivals.push(Arrival { at_ns, bytes: packet.bytes.clone() });
        }
    }

    pub(super) fn traced(&mut self, number: u64) -> Option<&mut TracedPacket> {
        self.trace.as_mut()?.packets.iter_mut().rfind(|packet| packet.number == number)
    }

    /// What became of a packet, other than that it arrived.
    pub(super) fn note_fate(&mut self, number: u64, site: Site, op: Op, fate: &str) {
        self.record(NETWORK_LANE, op, None, site);
        self.hash = mix(self.hash, number);
        if self.trace.is_some() {
            let name = format!("packet {number}: {fate}");
            self.name_last_event_of_packet(number, &name);
            if let Some(traced) = self.traced(number) {
                traced.fate.push(fate.to_owned());
            }
        }
    }
}
