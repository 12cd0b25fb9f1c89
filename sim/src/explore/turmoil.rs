//! Turmoil: its hosts carry the tasks and its network the bytes; the run decides what happens to each packet.
//!
//! Every link is held, and each message is let go when the run says that it arrives: at its time, or, where the order of arrivals is
//! explored, when nothing else can happen. Turmoil's own latency, failures and randomness stay out of it. A step of turmoil is a
//! millisecond, so what is let go arrives within one, and each arrival whose order is explored takes one.

#![expect(clippy::vec_box, reason = "packets move from queue to queue, and a box moves as a pointer")]

use crate::run::{self, Packet, RECEIVE_QUEUE_PACKETS, me, with};
use crate::task::Control;
use crate::task::turmoil::{Noting, poll_as};
use crate::time::WALL_ORIGIN;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

/// One step of turmoil: tokio's timers know no shorter time.
const TICK: Duration = Duration::from_millis(1);
/// Our own bounds count, not turmoil's.
const SIMULATION: Duration = Duration::from_secs(u32::MAX as u64);

type Task = Pin<Box<dyn Future<Output = ()>>>;

scoped_tls_hkt::scoped_thread_local!(
    static mut MAIN: for<'a> &'a mut (dyn FnMut(&mut Context<'_>) -> Poll<()> + 'a)
);

thread_local! {
    static CARRIER: RefCell<Carrier> = RefCell::new(Carrier::default());
}

#[derive(Default)]
struct Carrier {
    is_running: bool,
    /// Counts the simulations of this thread.
    simulation: u64,
    /// Sockets of earlier simulations that were dropped in this one.
    of_others: Vec<Carried>,
    /// The body's future is ready.
    has_ended: bool,
    hosts: Vec<Machine>,
    /// Hosts that have crashed, until turmoil is told.
    crashed: Vec<u32>,
    polls: u64,
    /// For each link what turmoil holds of it, in its order.
    held: Vec<((IpAddr, IpAddr), VecDeque<u64>)>,
    /// What has arrived and is to be let go.
    to_let_go: VecDeque<Box<Packet>>,
}

/// A host as turmoil runs it.
#[derive(Default)]
struct Machine {
    is_known: bool,
    is_down: bool,
    /// Tasks for it that have not been started.
    queue: VecDeque<Task>,
    /// Sockets of it that were dropped elsewhere.
    to_close: Vec<Carried>,
    waker: Option<Waker>,
}

fn with_carrier<R>(f: impl FnOnce(&mut Carrier) -> R) -> R {
    CARRIER.with_borrow_mut(f)
}

/// A task of the run was polled: something happened in this step.
pub(crate) fn count_poll() {
    with_carrier(|carrier| carrier.polls += 1);
}

/// A host was made; turmoil learns of it before its next step.
pub(crate) fn add_host(number: u32) {
    with_carrier(|carrier| _ = carrier.machine(number));
}

/// Whether turmoil has the host in its network.
pub(crate) fn knows(number: u32) -> bool {
    with_carrier(|carrier| carrier.machine(number).is_known)
}

/// A host has crashed; turmoil learns of it after this step, the run knows already.
pub(crate) fn crash(number: u32) {
    // What is dropped may come back here.
    let unstarted = with_carrier(|carrier| {
        carrier.crashed.push(number);
        std::mem::take(&mut carrier.machine(number).queue)
    });
    drop(unstarted);
}

/// Starts a task on a host.
pub(crate) fn run_on(host: u32, task: Task) {
    let is_here = with(|run| run.threads[me() as usize].host == host);
    assert!(with_carrier(|carrier| carrier.is_running), "a task is spawned inside `block_on`");
    if !with(|run| run.net.hosts[host as usize].is_up) {
        // A host without power runs nothing.
        return drop(task);
    }
    // One that has crashed in this step and is up again starts with the next.
    let starts_later = with_carrier(|carrier| carrier.crashed.contains(&host));
    if is_here && !starts_later {
        tokio::task::spawn_local(task);
        return;
    }
    let waker = with_carrier(|carrier| {
        let machine = carrier.machine(host);
        machine.queue.push_back(task);
        if starts_later { None } else { machine.waker.take() }
    });
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// Turmoil's socket for one of the run.
#[derive(Debug)]
pub(crate) struct Carried {
    socket: turmoil::net::UdpSocket,
    host: u32,
    /// Which of this thread's simulations it belongs to.
    simulation: u64,
}

/// Turmoil's socket for one of the run, where its network is to bring packets.
pub(crate) fn bind(address: SocketAddr) -> Option<Carried> {
    if crate::engine::current() != crate::Engine::Turmoil || address.ip().is_loopback() {
        // What never leaves its host, turmoil need not carry.
        return None;
    }
    // Turmoil binds no address but the unspecified one; which address a socket answers to is the run's to say.
    let anywhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), address.port());
    let mut bind = std::pin::pin!(turmoil::net::UdpSocket::bind(anywhere));
    match bind.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(socket)) => {
            let (host, simulation) = (with(|run| run.threads[me() as usize].host), with_carrier(|carrier| carrier.simulation));
            Some(Carried { socket, host, simulation })
        }
        // A socket of a host that has crashed is still held by somebody else: turmoil has its port, and carries nothing for ours.
        _ => None,
    }
}

/// Closes turmoil's socket for one of the run, on its own host: turmoil looks for its port where it is dropped.
pub(crate) fn close(carried: Carried) {
    let (its, here) = (carried.host, run::try_with(|run| run.threads[me() as usize].host));
    let (is_running, simulation) = with_carrier(|carrier| (carrier.is_running, carrier.simulation));
    if is_running && carried.simulation != simulation {
        // Turmoil would look for its port in this simulation: it goes when that has ended.
        return with_carrier(|carrier| carrier.of_others.push(carried));
    }
    if here.is_none_or(|here| here == its) || !is_running {
        return drop(carried);
    }
    let waker = with_carrier(|carrier| {
        let machine = carrier.machine(its);
        machine.to_close.push(carried);
        machine.waker.take()
    });
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// Gives turmoil's network the packets as they are to arrive.
pub(crate) fn hand_over(carried: &Carried, given: Vec<Box<Packet>>) {
    for packet in given {
        if !packet.is_carried {
            continue;
        }
        let sent = carried.socket.try_send_to(&packet.bytes, packet.to);
        assert!(sent.is_ok(), "turmoil knows every host of the run: {sent:?}");
        with_carrier(|carrier| carrier.link(packet.link()).push_back(packet.message));
    }
}

/// Whether turmoil has brought the packet that is next in the run's queue, where it is to bring it at all. A message that is not the
/// next one was for a socket that had the port before, and goes.
pub(crate) fn has_brought_next(carried: &Carried, number: u32) -> bool {
    let next = with(|run| {
        let socket = &run.net.sockets[number as usize];
        let is_well = socket.is_open && socket.error.is_none();
        socket.queue.front().filter(|packet| is_well && packet.is_carried).map(|packet| (packet.from, packet.bytes.clone()))
    });
    let Some((from, bytes)) = next else { return true };
    // One more than it has, so that a longer one is known.
    let mut brought = vec![0; bytes.len() + 1];
    while let Ok((length, whence)) = carried.socket.try_recv_from(&mut brought) {
        if whence == from && brought[..length] == bytes[..] {
            return true;
        }
    }
    false
}

/// Runs `future` as the software of the body's host, and turmoil until it has ended.
#[track_caller]
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    assert!(!with_carrier(|carrier| carrier.is_running), "`block_on` inside another has no thread to go on with");
    let site = Location::caller();
    with_carrier(|carrier| *carrier = Carrier { is_running: true, simulation: carrier.simulation + 1, ..Carrier::default() });
    let number = me();
    with(|run| run.origin_ns = run.now_ns);
    let control = Control::new(with(|run| run.create("task", run::Nature::Primitive, site)), site, number);
    let noting = Noting::new(number);
    let mut future = std::pin::pin!(future);
    let mut result = None;
    let mut poll = |context: &mut Context<'_>| {
        if result.is_none() {
            result = Some(std::task::ready!(poll_as(number, &control, &noting, future.as_mut(), context)));
        }
        Poll::Ready(())
    };
    let mut sim = turmoil::Builder::new()
        .tick_duration(TICK)
        .simulation_duration(SIMULATION)
        .udp_capacity(RECEIVE_QUEUE_PACKETS)
        .min_message_latency(Duration::ZERO)
        .max_message_latency(Duration::ZERO)
        .rng_seed(with(|run| run.seed))
        .epoch(SystemTime::UNIX_EPOCH + WALL_ORIGIN)
        .build();
    with_carrier(|carrier| {
        let hosts = with(|run| run.net.hosts.len() as u32);
        (0..hosts).for_each(|number| _ = carrier.machine(number));
        // The body's future may borrow, and what turmoil runs may not: it is polled through a place that is set for each step.
        let main = poll_fn(|context| {
            let polled = MAIN.with(|poll| poll(context));
            if polled.is_ready() {
                with_carrier(|carrier| carrier.has_ended = true);
            }
            polled
        });
        carrier.hosts[0].queue.push_back(Box::pin(main));
    });
    MAIN.set(&mut poll, || drive(&mut sim));
    // Ends every task that is left, as tokio's runtime does.
    drop(sim);
    let unstarted =
        with_carrier(|carrier| carrier.hosts.iter_mut().map(|host| std::mem::take(&mut host.queue)).collect::<Vec<_>>());
    drop(unstarted);
    let ended = with_carrier(|carrier| {
        let simulation = carrier.simulation;
        std::mem::replace(carrier, Carrier { simulation, ..Carrier::default() })
    });
    drop(ended);
    with(|run| {
        run.begins_poll(me());
        run.end_network();
    });
    result.expect("the loop ends when the future has")
}

/// Steps until the body's future has ended.
fn drive(sim: &mut turmoil::Sim<'static>) {
    // Until when time is to pass though packets wait.
    let mut passing_until_ns = 0;
    loop {
        attend(sim);
        let began_ns = now_ns(sim);
        with(|run| run.arrive_at(began_ns));
        let polls = with_carrier(|carrier| carrier.polls);
        let let_go = let_go(sim);
        wake();
        if let Err(error) = sim.step() {
            panic!("turmoil could not go on: {error}");
        }
        if with_carrier(|carrier| carrier.has_ended) {
            return;
        }
        let now_ns = now_ns(sim);
        if let Err(finding) = with(|run| run.check_deadlines(now_ns)) {
            run::fail(finding);
        }
        let is_quiet = !let_go && with_carrier(|carrier| carrier.polls == polls && carrier.is_settled());
        if !is_quiet || now_ns < passing_until_ns {
            continue;
        }
        let next_ns = with(|run| run.next_event_ns());
        if with(|run| run.net.has_waiting()) {
            let arrives = with(|run| {
                run.now_ns = now_ns;
                run.arrive_next(next_ns.is_some())
            });
            passing_until_ns = if arrives { 0 } else { next_ns.unwrap_or(0) };
        } else if next_ns.is_none() {
            run::fail(with(|run| run.stuck()));
        }
    }
}

/// The run's time. A body may block on one thing after another, and its time goes on.
fn now_ns(sim: &turmoil::Sim<'static>) -> u64 {
    with(|run| run.origin_ns).saturating_add(run::nanos(sim.elapsed()))
}

/// Tells turmoil of new hosts and crashes.
fn attend(sim: &mut turmoil::Sim<'static>) {
    let hosts = with_carrier(|carrier| carrier.hosts.len() as u32);
    for number in 0..hosts {
        register(sim, number, hosts);
    }
    for number in with_carrier(|carrier| std::mem::take(&mut carrier.crashed)) {
        with_carrier(|carrier| carrier.machine(number).is_down = true);
        sim.crash(address(number));
        // Its tasks have dropped their sockets; what turmoil holds for it stays held.
    }
    for number in 0..hosts {
        let is_back = with_carrier(|carrier| {
            let machine = carrier.machine(number);
            let is_back = machine.is_down && !machine.queue.is_empty();
            machine.is_down &= !is_back;
            is_back
        });
        if is_back {
            sim.bounce(address(number));
        }
    }
}

/// Makes a host of the run one of turmoil's, with its links to the others held.
fn register(sim: &mut turmoil::Sim<'static>, number: u32, hosts: u32) {
    if with_carrier(|carrier| std::mem::replace(&mut carrier.machine(number).is_known, true)) {
        return;
    }
    sim.host(address(number), move || start_tasks(number));
    for other in 0..hosts {
        if other != number && with_carrier(|carrier| carrier.machine(other).is_known) {
            sim.hold(address(number), address(other));
        }
    }
}

/// The software of every host: starts what it is given to run.
async fn start_tasks(number: u32) -> turmoil::Result {
    poll_fn(move |context| {
        drop(with_carrier(|carrier| std::mem::take(&mut carrier.machine(number).to_close)));
        while let Some(task) = with_carrier(|carrier| carrier.machine(number).queue.pop_front()) {
            tokio::task::spawn_local(task);
        }
        with_carrier(|carrier| carrier.machine(number).waker = Some(context.waker().clone()));
        Poll::<turmoil::Result>::Pending
    })
    .await
}

/// Lets go what has arrived, as far as turmoil brings it in that order within one step: to each host from one link only, and there
/// in the order of sending. True if there was any.
fn let_go(sim: &turmoil::Sim<'static>) -> bool {
    let mut arrived = with(|run| std::mem::take(&mut run.net.to_let_go));
    let mut queue = with_carrier(|carrier| std::mem::take(&mut carrier.to_let_go));
    queue.extend(arrived.drain(..));
    if queue.is_empty() {
        return false;
    }
    let mut chosen: Vec<((IpAddr, IpAddr), Vec<usize>)> = Vec::new();
    let mut hosts: Vec<(IpAddr, (IpAddr, IpAddr), Option<usize>)> = Vec::new();
    let mut later = VecDeque::new();
    for packet in queue {
        let link = packet.link();
        let place = with_carrier(|carrier| carrier.link(link).iter().position(|message| *message == packet.message));
        let fits = match hosts.iter_mut().find(|(host, ..)| *host == packet.to.ip()) {
            None => {
                hosts.push((packet.to.ip(), link, place));
                true
            }
            Some((_, other, last)) => {
                let fits = *other == link && last.is_some() && place > *last;
                // Whatever comes after one that must wait waits too.
                *last = if fits { place } else { None };
                fits
            }
        };
        if !fits {
            later.push_back(packet);
            continue;
        }
        with(|run| run.wake_for(&packet));
        if let Some(place) = place {
            match chosen.iter_mut().find(|(other, _)| *other == link) {
                Some((_, places)) => places.push(place),
                None => chosen.push((link, vec![place])),
            }
        }
    }
    sim.links(|links| {
        for link in links {
            let (a, b) = link.pair();
            let Some((_, places)) = chosen.iter().find(|(ends, _)| *ends == (a, b)) else { continue };
            for (place, message) in link.enumerate() {
                if places.contains(&place) {
                    message.deliver();
                }
            }
        }
    });
    with_carrier(|carrier| {
        for (ends, mut places) in chosen {
            places.sort_unstable();
            for place in places.into_iter().rev() {
                carrier.link(ends).remove(place);
            }
        }
        carrier.to_let_go = later;
    });
    true
}

fn wake() {
    for waker in with(|run| std::mem::take(&mut run.net.to_wake)) {
        waker.wake();
    }
}

fn address(number: u32) -> IpAddr {
    with(|run| run.net.hosts[number as usize].address)
}

impl Carrier {
    fn machine(&mut self, number: u32) -> &mut Machine {
        while self.hosts.len() <= number as usize {
            self.hosts.push(Machine::default());
        }
        &mut self.hosts[number as usize]
    }

    fn link(&mut self, ends: (IpAddr, IpAddr)) -> &mut VecDeque<u64> {
        let place = self.held.iter().position(|(other, _)| *other == ends).unwrap_or_else(|| {
            self.held.push((ends, VecDeque::new()));
            self.held.len() - 1
        });
        &mut self.held[place].1
    }

    /// Whether turmoil knows all that the run does.
    fn is_settled(&self) -> bool {
        self.crashed.is_empty()
            && self.to_let_go.is_empty()
            && self.hosts.iter().all(|machine| machine.is_known && machine.queue.is_empty())
    }
}
