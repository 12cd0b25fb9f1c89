//! A datagram of the handshake is lost, the clock sends it again, and the socket joins the clock while it holds the lock that the
//! clock wants next.
//!
//! Upstream: pjproject, `pjmedia/src/pjmedia/transport_srtp_dtls.c` as of 86b7dd4 (#3905), and `clock_thread.c`.
//!
//! Threads of the client: the *clock* ticks four times a second and sends the flight that has no answer again when its time has come;
//! the *socket* worker gives each datagram to the handshake, and the one that completes it stops the clock. The lock guards the
//! handshake. 86b7dd4 holds it while the clock is stopped, which joins its thread; the clock tries for it at the door of its
//! callback, but takes it plainly once it has sent.
//!
//! The failing interleaving: the client's last flight, or its answer, is lost; a second later the clock takes the lock, lets it go and
//! sends again; before it has the lock back the peer's answer is there, the socket takes the lock, sees the handshake complete, and
//! joins the clock, which waits for the lock.
//!
//! The driver does one handshake over a network that loses, with no latency, as on one machine: one with nothing in it, or of our own
//! stack a real one, in which it is the client that sends its last flight until the peer says that it has it. The property: it ends within its
//! deadline and every thread with it. It takes all three: with nothing lost, or no timer, or one thread, nothing happens.

mod handshake;
mod historic;
mod production;

use crate::exhibit::{Exhibit, Expected, MustSee, On, Sequential, Subject, Timers};
use sim::Bounds;
use sim::StrategyName;
use sim::net::blocking::UdpSocket;
use sim::net::{self, Host, Link};
use sim::sync::{Arc, channel};
use sim::thread;
use sim::time::{self, Duration};
use sim::verdict::Detector;
use std::net::SocketAddr;

/// pjmedia's clock for DTLS ticks four times a second.
const TICK: Duration = Duration::from_millis(250);
/// What a handshake allows itself: fifteen sends of a flight, as the timeout doubles up to a minute. At the driver's loss all of them
/// are lost once in 10^10 handshakes.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(600);
/// Ends the peer.
const OVER: &[u8] = b"over";
const PORT: u16 = 5_004;
const DATAGRAM_LEN_MAX: usize = 2048;

/// The client of a handshake: every version of the code.
trait Transport: Send + Sync + 'static {
    /// Makes one that sends through `socket`, which is connected to its peer; the first flight is sent, and its clock runs.
    fn open(socket: Arc<UdpSocket>, peer: SocketAddr) -> Arc<Self>;
    /// A datagram of the peer has come. True when the handshake is complete.
    fn on_datagram(&self, datagram: &[u8]) -> bool;
    /// The peer: answers until it is over.
    fn serve(socket: &UdpSocket);
}

/// How often a network without latency loses a datagram.
fn lossy() -> Link {
    Link::timed(Duration::ZERO, Duration::ZERO).and_then(|link| link.loss(0.1)).expect("a link can be so")
}

fn lossless() -> Link {
    Link::timed(Duration::ZERO, Duration::ZERO).expect("a link can be so")
}

/// The driver: one handshake.
fn drive<T: Transport>(link: &Link) {
    net::set_link(link).expect("the engine has links");
    // A machine that stands still for longer may miss the handshake's deadline.
    time::bound_slowness(TICK);
    let peer = Host::new("peer");
    let at = SocketAddr::new(peer.address(), PORT);
    let (ready, is_ready) = channel::bounded(1);
    let server = peer.thread("peer", move || {
        let socket = UdpSocket::bind(at).expect("nobody else has this port");
        ready.send(()).expect("the driver waits for it");
        T::serve(&socket);
    });
    is_ready.recv().expect("the peer binds its port");
    let here = SocketAddr::new(Host::current().address(), PORT);
    let socket = Arc::new(UdpSocket::bind(here).expect("nobody else has this port"));
    socket.connect(at).expect("the peer has an address");
    let worker = {
        let socket = Arc::clone(&socket);
        thread::Builder::new().name("socket").spawn(move || {
            let _operation = sim::operation("handshake", HANDSHAKE_DEADLINE);
            let transport = T::open(Arc::clone(&socket), at);
            let mut buffer = [0; DATAGRAM_LEN_MAX];
            loop {
                // What was refused is sent again by the clock.
                let Ok((length, _)) = socket.recv_from(&mut buffer) else { continue };
                if transport.on_datagram(&buffer[..length]) {
                    break;
                }
            }
        })
    };
    worker.expect("the engine makes threads").join().expect("a panic ends the run");
    // From the peer's own host, as nothing is lost there.
    let over = peer.thread("over", move || {
        let socket = UdpSocket::bind(SocketAddr::new(at.ip(), 0))?;
        socket.send_to(OVER, at)
    });
    over.expect("the engine has threads").join().expect("a panic ends the run").expect("the peer's port is bound");
    server.expect("the engine has threads").join().expect("a panic ends the run");
}

fn patched() {
    historic::choose(historic::Again::Locks);
    drive::<historic::Historic>(&lossy());
}

fn patched_lossless() {
    historic::choose(historic::Again::Locks);
    drive::<historic::Historic>(&lossless());
}

fn twin() {
    historic::choose(historic::Again::Tries);
    drive::<historic::Historic>(&lossy());
}

fn stack() {
    drive::<production::Production>(&lossy());
}

/// Every run in which one datagram at the most is lost, one wait ends early at the most, and so many times a thread is preempted.
fn within(preemptions: u32) -> Bounds {
    Bounds { preemptions: Some(preemptions), firings: 1, faults: 1 }
}

/// The exhibit.
pub fn exhibit() -> Exhibit {
    let subject = |name, about, on, body| Subject {
        name,
        about,
        on: vec![on],
        fewest_preemptions: None,
        sequential: Sequential::Clean,
        body,
        in_sequence: None,
        must_see: None,
    };
    Exhibit {
        name: "retransmit-join",
        story: "a lost datagram, a timer and two threads: the clock is joined under the lock that it wants (pjproject 86b7dd4)",
        subjects: vec![
            Subject {
                fewest_preemptions: Some(1),
                in_sequence: Some(patched),
                ..subject(
                    "patched-86b7dd4",
                    "the clock wants the lock again after it has sent a flight again, the socket joins it holding the lock",
                    On::shuttle(Expected::Caught(Detector::Deadlock)).within(within(1)),
                    patched,
                )
            },
            subject(
                "patched-86b7dd4-lossless",
                "the same code on a network that loses nothing",
                On::shuttle(Expected::Clean).strategy(StrategyName::Dfs).within(within(1)),
                patched_lossless,
            ),
            subject(
                "patched-86b7dd4-twin",
                "the clock tries for the lock again and goes without",
                On::shuttle(Expected::Clean),
                twin,
            ),
            Subject {
                // One thread starts the clock, and ends it.
                must_see: Some(MustSee {
                    operations: &["clock.callback", "clock.destroy"],
                    never: &[["clock.callback", "clock.callback"]],
                    not_driven: &[["clock.destroy", "clock.destroy"]],
                    // However slow the processor, the clock is gone within its deadline.
                    timers: Timers::BothBut(&["clock/thread.rs"]),
                }),
                ..subject(
                    "stack",
                    "our transport, whose clock sends again and is stopped with no lock held: a real handshake at both ends",
                    On::shuttle(Expected::Clean).schedules(1_000),
                    stack,
                )
            },
        ],
    }
}
