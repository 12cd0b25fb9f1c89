//! A handshake has timed out, nobody hears of it, and its driver is asked to call again at a time that has passed.
//!
//! Upstream: str0m, 98d3b40; the handshake is sans-IO, and whoever drives it calls it at the time that it asks for.
//!
//! There is one thread, the *driving loop*: it sends what there is to be sent, waits for a datagram until the time that the handshake asks
//! for, and then calls it. There are no locks.
//!
//! What fails: the peer never answers. After its last flight the handshake's timeout is an error, which the loop's caller ignores, as a
//! timeout is no error elsewhere; the deadline stays where it was, so the handshake asks to be called at a time that has passed, is called
//! at once, has timed out again, and so for ever.
//!
//! The driver is that loop, with a peer that answers or does not. The property: the loop rests. A handshake ends one way or the other within
//! its deadline, then asks for no time any more, and at no moment of it for one that has passed.

mod historic;
mod production;

use crate::exhibit::{Exhibit, Expected, MustSee, On, Sequential, Subject, Timers};
use historic::{Historic, Timeout};
use sim::net::{self, Host, Link, UdpSocket};
use sim::sync::asynchronous::oneshot;
use sim::task;
use sim::time::{self, Duration, Instant};
use sim::verdict::Detector;
use sim::{Bounds, StrategyName, invariant};
use std::net::SocketAddr;

const PORT: u16 = 5_004;
/// What a handshake allows itself, and with it what comes after: the last flight again for a peer that has not heard it.
const LASTS: Duration = Duration::from_secs(20);

/// One end of a handshake, sans-IO: every version of the code.
trait End: Send + 'static {
    fn begin(side: Side, now: Instant) -> Self;
    /// What is to be sent next.
    fn poll(&mut self) -> Option<Vec<u8>>;
    fn handle_datagram(&mut self, datagram: &[u8], now: Instant);
    fn handle_timeout(&mut self, now: Instant);
    /// When it wants to be called.
    fn next_due(&self) -> Option<Instant>;
    /// What it has come to.
    fn outcome(&self) -> Option<Outcome>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Complete,
    TimedOut,
}

/// Who is on the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Peer {
    Answers,
    Silent,
}

/// A machine that stands still for longer may miss a deadline, and not only the peer's.
const SLOWNESS: Duration = Duration::from_millis(20);

/// The driver: one end on this machine, and its peer on another.
fn drive<T: End>(side: Side, peer: Peer, link: Link) {
    net::set_link(&link).expect("the engine has links");
    time::bound_slowness(SLOWNESS);
    task::block_on(async move {
        let other = Host::new("peer");
        let [here, there] = [Host::current().address(), other.address()].map(|address| SocketAddr::new(address, PORT));
        let (ready, mut is_ready) = oneshot::channel();
        let answers = other.spawn("peer", async move {
            let socket = bind(there).await;
            ready.send(()).expect("the driver waits for it");
            match (peer, side) {
                (Peer::Silent, _) => std::future::pending().await,
                (Peer::Answers, Side::Client) => work::<T>(Side::Server, &socket, here).await,
                (Peer::Answers, Side::Server) => work::<T>(Side::Client, &socket, here).await,
            }
        });
        let socket = bind(here).await;
        is_ready.recv().await.expect("the peer binds its port");
        let outcome = work::<T>(side, &socket, there).await;
        match peer {
            Peer::Silent => {
                invariant!(outcome == Outcome::TimedOut, "with nobody there the handshake is {outcome:?}");
                answers.abort();
            }
            Peer::Answers => _ = answers.await.expect("nobody aborts it"),
        }
    });
}

async fn bind(at: SocketAddr) -> UdpSocket {
    UdpSocket::bind(at).await.expect("nobody else has this port")
}

/// The driving loop: until the end asks for no time any more, or what it has come to has lasted.
async fn work<T: End>(side: Side, socket: &UdpSocket, peer: SocketAddr) -> Outcome {
    let _operation = sim::operation("handshake.work", LASTS);
    let until = Instant::now() + LASTS;
    let mut end = T::begin(side, Instant::now());
    let mut datagram = [0; 2_048];
    loop {
        while let Some(datagram) = end.poll() {
            socket.send_to(&datagram, peer).await.expect("the peer has an address");
        }
        if end.outcome() == Some(Outcome::TimedOut) && end.next_due().is_none() {
            return Outcome::TimedOut;
        }
        let due = end.next_due().unwrap_or(until).min(until);
        sim::select! {
            received = socket.recv_from(&mut datagram) => {
                // A peer that is not there yet, or not any more.
                let Ok((len, _)) = received else { continue };
                end.handle_datagram(&datagram[..len], Instant::now());
            }
            () = time::sleep_until(due) => {
                if due == until {
                    let Some(outcome) = end.outcome() else { sim::violated(format!("after {LASTS:?} it goes on")) };
                    return outcome;
                }
                end.handle_timeout(Instant::now());
            }
        }
    }
}

fn in_time() -> Link {
    Link::timed(Duration::from_millis(10), Duration::from_millis(10)).expect("a link can be so")
}

fn lossy() -> Link {
    in_time().loss(0.2).expect("a link can be so")
}

fn shipped() {
    historic::choose(Timeout::Ignored);
    drive::<Historic>(Side::Client, Peer::Silent, in_time());
}

fn shipped_answered() {
    historic::choose(Timeout::Ignored);
    drive::<Historic>(Side::Client, Peer::Answers, in_time());
}

fn twin() {
    historic::choose(Timeout::Ends);
    drive::<Historic>(Side::Client, Peer::Silent, in_time());
}

fn twin_answered() {
    historic::choose(Timeout::Ends);
    drive::<Historic>(Side::Client, Peer::Answers, lossy());
}

fn stack() {
    match sim::choose(4) {
        0 => drive::<production::Production>(Side::Client, Peer::Answers, lossy()),
        1 => drive::<production::Production>(Side::Client, Peer::Silent, in_time()),
        2 => drive::<production::Production>(Side::Server, Peer::Silent, in_time()),
        _ => production::drive_stream(),
    }
}

/// The exhibit.
pub fn exhibit() -> Exhibit {
    let both = |expected| vec![On::shuttle(expected).schedules(1_000), in_each_order(expected)];
    // A handshake of DTLS has too many datagrams for every order of them.
    let sampled = On::turmoil(Expected::Clean).strategy(StrategyName::Random).schedules(200);
    Exhibit {
        name: "expired-deadline",
        story: "a timeout that ends a handshake is ignored, and asks to be called again at a time that has passed (str0m 98d3b40)",
        subjects: vec![
            Subject {
                sequential: Sequential::Fails("nobody answers, and one thread is enough"),
                in_sequence: Some(shipped),
                ..Subject::new(
                    "98d3b40",
                    "the last timeout is an error that nobody looks at, and leaves the deadline where it was",
                    both(Expected::Caught(Detector::Livelock)),
                    shipped,
                )
            },
            Subject {
                in_sequence: Some(shipped_answered),
                ..Subject::new(
                    "98d3b40-answered",
                    "the same code with a peer that answers",
                    both(Expected::Clean),
                    shipped_answered,
                )
            },
            Subject {
                in_sequence: Some(twin),
                ..Subject::new("98d3b40-twin", "who has timed out asks for no time any more", both(Expected::Clean), twin)
            },
            Subject::new(
                "98d3b40-twin-answered",
                "the same with a peer and a link that loses",
                both(Expected::Clean),
                twin_answered,
            ),
            Subject {
                must_see: Some(MustSee {
                    operations: &["handshake.work"],
                    never: &[],
                    not_driven: &[], // Each end comes within its deadline.
                    timers: Timers::BothBut(&["clock/task.rs", "stream/task.rs"]),
                }),
                ..Subject::new(
                    "stack",
                    "our associations and streams: they fail with their deadline, and rest",
                    vec![On::shuttle(Expected::Clean).schedules(1_000), sampled],
                    stack,
                )
            },
        ],
    }
}

/// One datagram is lost, and time passes once before a datagram that could arrive.
fn in_each_order(expected: Expected) -> On {
    On::turmoil(expected).within(Bounds { firings: 1, faults: 1, ..Bounds::default() })
}
