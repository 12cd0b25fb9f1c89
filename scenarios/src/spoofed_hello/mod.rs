//! A stranger's hello is taken for the peer's, and the peer finds its server busy with somebody else.
//!
//! Upstream: Asterisk, `res/res_rtp_asterisk.c`, GHSA-hxj9, mended in d7d7764: a ClientHello is handed to DTLS from wherever it comes.
//!
//! There is one task, which reads the media's socket. There are no locks.
//!
//! The failing order: the address of the media's port is in the signalling, or is guessed; before the peer's ClientHello comes that of a
//! *stranger*, with another certificate; the server answers the stranger, and its one association is the stranger's. The hello of the
//! *client*, with whom media was agreed, is one message too many of a handshake that goes on.
//!
//! The driver has a server, its client, and a stranger who sends at any moment. The property: the handshake with the client completes, the
//! stranger is never answered, and the counters say that somebody was turned away.

mod historic;
mod production;

use crate::exhibit::{Exhibit, Expected, MustSee, On, Sequential, Subject, Timers};
use historic::Historic;
use production::Production;
use sim::net::{self, Host, Link, UdpSocket};
use sim::sync::Arc;
use sim::sync::asynchronous::{Notify, oneshot};
use sim::task;
use sim::time::{self, Duration, Instant};
use sim::verdict::Detector;
use sim::{Bounds, Engine, StrategyName, invariant};
use std::future::Future;
use std::net::SocketAddr;

const PORT: u16 = 5_004;
/// What the handshake allows itself.
const DEADLINE: Duration = Duration::from_secs(2);
/// A machine that stands still for longer may miss a handshake.
const SLOWNESS: Duration = Duration::from_millis(20);
/// How long the stranger listens.
const STRANGER_LISTENS: Duration = Duration::from_millis(200);

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    /// With whom media was agreed.
    Client,
    /// With another certificate and another address.
    Stranger,
}

/// The client's side of a handshake, sans-IO.
trait Caller: Send + 'static {
    /// Begins with its hello.
    fn begin(who: Who, now: Instant) -> Self;
    fn poll(&mut self) -> Option<Vec<u8>>;
    fn handle_datagram(&mut self, datagram: &[u8], now: Instant);
    fn handle_timeout(&mut self, now: Instant);
    fn next_due(&self) -> Option<Instant>;
    fn is_complete(&self) -> bool;
}

/// A server whose media was agreed with one client: every version of the code.
trait Server: Send + Sync + Sized + 'static {
    type Caller: Caller;

    fn open(socket: UdpSocket, client: SocketAddr) -> Self;
    /// Waits until its handshake is complete. False if it is not in its time.
    fn completed(&self) -> impl Future<Output = bool> + Send;
    /// Datagrams that it has turned away, as it counts them.
    fn turned_away(&self) -> u64;
    fn end(self) -> impl Future<Output = ()> + Send;
}

/// When the stranger calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Calls {
    AtAnyMoment,
    /// Once the handshake with the client is complete.
    Last,
}

/// The driver: a server, its client, and a stranger.
fn drive<T: Server>(calls: Calls) {
    net::set_link(&link(calls)).expect("the engine has links");
    time::bound_slowness(SLOWNESS);
    task::block_on(async move {
        let (client, stranger) = (Host::new("client"), Host::new("stranger"));
        let [here, from] = [Host::current().address(), client.address()].map(|address| SocketAddr::new(address, PORT));
        let server = T::open(bind(here).await, from);
        let is_done = Arc::new(Notify::new());
        let done = Arc::clone(&is_done);
        let (completed, mut is_completed) = oneshot::channel();
        let client = client.spawn("client", async move {
            let socket = bind(from).await;
            let caller = call::<T::Caller>(Who::Client, &socket, here, DEADLINE).await;
            let _ = completed.send(caller.is_complete());
            // The server may not have heard the last of it.
            serve(caller, &socket, here, &done).await;
        });
        let at = SocketAddr::new(stranger.address(), PORT);
        let wait = (calls == Calls::Last).then(oneshot::channel::<()>);
        let (go, may_go) = wait.map_or((None, None), |(go, may_go)| (Some(go), Some(may_go)));
        let stranger = stranger.spawn("stranger", async move {
            if let Some(mut may_go) = may_go {
                may_go.recv().await.expect("the driver tells it");
            }
            let socket = bind(at).await;
            listen(T::Caller::begin(Who::Stranger, Instant::now()), &socket, here).await
        });
        let by_client = is_completed.recv().await.expect("the client says how it went");
        let by_server = server.completed().await;
        if let Some(go) = go {
            go.send(()).expect("the stranger waits for it");
        }
        let answers = stranger.await.expect("nobody aborts it");
        invariant!(answers == 0, "a stranger was answered {answers} times");
        invariant!(by_client && by_server, "the handshake is complete for the client: {by_client}, for the server: {by_server}");
        // It may still be on its way.
        let until = Instant::now() + DEADLINE;
        while server.turned_away() == 0 {
            invariant!(Instant::now() < until, "a stranger's hello has come, and nothing was turned away");
            time::sleep_for(STRANGER_LISTENS / 10).await;
        }
        is_done.notify_one();
        client.await.expect("nobody aborts it");
        server.end().await;
    });
}

/// Turmoil has every order of arrivals; on shuttle they cross as they may in that time. Who calls in turn crosses with nobody.
fn link(calls: Calls) -> Link {
    let latency_max = if calls == Calls::Last { Duration::ZERO } else { Duration::from_millis(20) };
    match sim::current_engine() {
        Engine::Turmoil => Link::in_order(),
        _ => Link::timed(Duration::ZERO, latency_max).expect("a link can be so"),
    }
}

async fn bind(at: SocketAddr) -> UdpSocket {
    UdpSocket::bind(at).await.expect("nobody else has this port")
}

/// Calls until the handshake is complete or its time is over.
async fn call<C: Caller>(who: Who, socket: &UdpSocket, to: SocketAddr, within: Duration) -> C {
    let _operation = sim::operation("client.calls", within + SLOWNESS);
    let mut caller = C::begin(who, Instant::now());
    let until = Instant::now() + within;
    while step(&mut caller, socket, to, until).await && !caller.is_complete() {}
    caller
}

/// Goes on for a server that has not heard all.
async fn serve<C: Caller>(mut caller: C, socket: &UdpSocket, to: SocketAddr, is_done: &Notify) {
    let until = Instant::now() + DEADLINE;
    loop {
        sim::select! {
            () = is_done.notified() => return,
            goes_on = step(&mut caller, socket, to, until) => if !goes_on {
                return;
            },
        }
    }
}

/// One thing that happens to a caller. False if that is the end of its time.
async fn step<C: Caller>(caller: &mut C, socket: &UdpSocket, to: SocketAddr, until: Instant) -> bool {
    while let Some(datagram) = caller.poll() {
        socket.send_to(&datagram, to).await.expect("the server has an address");
    }
    let mut datagram = [0; 2_048];
    let due = caller.next_due().unwrap_or(until).min(until);
    sim::select! {
        received = socket.recv_from(&mut datagram) => {
            let (len, _) = received.expect("its host is up");
            caller.handle_datagram(&datagram[..len], Instant::now());
        }
        () = time::sleep_until(due) => caller.handle_timeout(Instant::now()),
    }
    // What follows from it is sent though nobody may come back here.
    while let Some(datagram) = caller.poll() {
        socket.send_to(&datagram, to).await.expect("the server has an address");
    }
    due < until || Instant::now() < until
}

/// The stranger: sends its hello, and counts the answers.
async fn listen<C: Caller>(mut caller: C, socket: &UdpSocket, to: SocketAddr) -> usize {
    let _operation = sim::operation("stranger.calls", None);
    while let Some(datagram) = caller.poll() {
        socket.send_to(&datagram, to).await.expect("the server has an address");
    }
    let until = Instant::now() + STRANGER_LISTENS;
    let mut answers = 0;
    let mut datagram = [0; 2_048];
    loop {
        sim::select! {
            received = socket.recv_from(&mut datagram) => {
                let (len, _) = received.expect("its host is up");
                answers += 1;
                caller.handle_datagram(&datagram[..len], Instant::now());
                while let Some(datagram) = caller.poll() {
                    socket.send_to(&datagram, to).await.expect("the server has an address");
                }
            }
            () = time::sleep_until(until) => return answers,
        }
    }
}

fn shipped() {
    historic::choose(historic::Hellos::OfAnybody);
    drive::<Historic>(Calls::AtAnyMoment);
}

fn shipped_last() {
    historic::choose(historic::Hellos::OfAnybody);
    drive::<Historic>(Calls::Last);
}

fn twin() {
    historic::choose(historic::Hellos::OfThePeer);
    drive::<Historic>(Calls::AtAnyMoment);
}

fn twin_last() {
    historic::choose(historic::Hellos::OfThePeer);
    drive::<Historic>(Calls::Last);
}

fn stack() {
    drive::<Production>(Calls::AtAnyMoment);
}

fn stack_last() {
    drive::<Production>(Calls::Last);
}

/// The exhibit.
pub fn exhibit() -> Exhibit {
    // A network that loses nothing: it is the order of the datagrams.
    let within = Bounds { firings: 1, faults: 0, ..Bounds::default() };
    let both = |expected| vec![On::shuttle(expected).schedules(1_000), On::turmoil(expected).within(within)];
    // A handshake of DTLS has too many datagrams for every order of them.
    let sampled = On::turmoil(Expected::Clean).strategy(StrategyName::Random).schedules(200);
    Exhibit {
        name: "spoofed-hello",
        story: "a stranger's ClientHello comes before the peer's, and is answered (Asterisk, GHSA-hxj9, d7d7764)",
        subjects: vec![
            Subject {
                in_sequence: Some(shipped_last),
                ..Subject::new(
                    "d7d7764",
                    "a hello begins the handshake, from wherever it comes",
                    both(Expected::Caught(Detector::Invariant)),
                    shipped,
                )
            },
            Subject {
                in_sequence: Some(twin_last),
                ..Subject::new("d7d7764-twin", "a hello is taken from where media was agreed", both(Expected::Clean), twin)
            },
            Subject::new(
                "d7d7764-in-turn",
                "the same code, and the stranger calls when the handshake is complete",
                both(Expected::Clean),
                shipped_last,
            ),
            Subject {
                sequential: Sequential::Clean,
                in_sequence: Some(stack_last),
                must_see: Some(MustSee {
                    operations: &["client.calls", "stranger.calls"],
                    never: &[],
                    // There is one of each.
                    not_driven: &[["client.calls", "client.calls"], ["stranger.calls", "stranger.calls"]],
                    // Nobody answers the stranger, nothing is lost, and no end comes late.
                    timers: Timers::BothBut(&["spoofed_hello/mod.rs", "clock/task.rs", "stream/task.rs"]),
                }),
                ..Subject::new(
                    "stack",
                    "our streams keyed by DTLS: a stranger's datagrams are counted, and nothing more",
                    vec![On::shuttle(Expected::Clean).schedules(1_000), sampled],
                    stack,
                )
            },
        ],
    }
}
