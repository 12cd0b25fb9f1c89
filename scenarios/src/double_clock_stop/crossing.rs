//! The same bug across a network: a BYE and a DTLS close cross while the clock runs, and each of them ends it.
//!
//! Stand-in datagrams until SIP and DTLS land. The peer hangs up: it sends a BYE to the signalling port and, when it has closed its own
//! media a little later, a close to the media port; a BYE that is late crosses it. With the crossing taken away the close comes only
//! when the BYE was answered. Two tasks of ours receive them. On turmoil,
//! which has no threads, this is how the exhibit is told; on shuttle it is told both ways.

use super::historic_task::{Historic, Version};
use super::production::{accept, expect_prompt};
use super::{DESTROYS_MAX, Probe, STOP_DEADLINE, TICK};
use crate::exhibit::{Expected, On, Sequential, Subject};
use sim::net::{self, Host, Link, UdpSocket};
use sim::sync::Arc;
use sim::task;
use sim::time::{self, Instant};
use sim::verdict::Detector;
use stack::buffer::pool::Pool;
use stack::media::clock::{ClockConfig, ClockError, TaskClock};
use std::future::Future;
use std::net::SocketAddr;

const SIGNALLING: u16 = 5_060;
const MEDIA: u16 = 5_004;
const BYE: &[u8] = b"BYE sip:alice@callee SIP/2.0";
const OK: &[u8] = b"SIP/2.0 200 OK";
/// An alert record: close_notify.
const CLOSE: &[u8] = &[21, 254, 253, 0, 1, 0, 0, 0, 0, 0, 1, 0, 2, 1, 0];

/// A transport whose clock runs on a task.
pub(super) trait Transport: Send + Sync + 'static {
    /// What it is made with.
    type Plan: Copy + Send + 'static;
    /// Makes a transport whose clock does not run yet and reports each callback to `probe`.
    fn open(plan: Self::Plan, probe: Probe) -> Arc<Self>;
    fn start(&self);
    fn stop(&self) -> impl Future<Output = ()> + Send;
    fn destroy(&self) -> impl Future<Output = ()> + Send;
}

/// What a BYE does to the transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnBye {
    Stops,
    Destroys,
}

/// Whether the peer's two datagrams may be in flight together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Datagrams {
    Cross,
    InTurn,
}

/// The driver: a call that runs, and is hung up.
fn drive<T: Transport>(plan: T::Plan, on_bye: OnBye, datagrams: Datagrams) {
    net::set_link(&Link::any_order()).expect("the engine has links");
    task::block_on(async move {
        let here = Host::current().address();
        let [signalling, media] = [SIGNALLING, MEDIA].map(|port| SocketAddr::new(here, port));
        let signalling_socket = UdpSocket::bind(signalling).await.expect("nobody else has this port");
        let media_socket = UdpSocket::bind(media).await.expect("nobody else has this port");
        let probe = Probe::new();
        let transport = T::open(plan, probe.clone());
        transport.start();
        let peer = Host::new("peer");
        let hang_up = peer.spawn("peer", hang_up(peer.address(), signalling, media, datagrams));
        let theirs = Arc::clone(&transport);
        let signals = task::try_spawn("signalling", async move {
            let from = expect(&signalling_socket, BYE).await;
            let _operation = sim::operation("transport.on_bye", STOP_DEADLINE);
            match on_bye {
                OnBye::Stops => theirs.stop().await,
                OnBye::Destroys => theirs.destroy().await,
            }
            signalling_socket.send_to(OK, from).await.expect("the peer has an address");
        });
        let theirs = Arc::clone(&transport);
        let alerts = task::try_spawn("media", async move {
            expect(&media_socket, CLOSE).await;
            let _operation = sim::operation("transport.on_close", STOP_DEADLINE);
            theirs.stop().await;
        });
        for task in [signals, alerts] {
            task.expect("the engine has tasks").await.expect("nothing aborts it");
        }
        hang_up.await.expect("nothing aborts it");
        transport.destroy().await;
        probe.close();
        // A clock that is still there would call back now.
        time::sleep_for(TICK + TICK).await;
    });
}

async fn hang_up(here: std::net::IpAddr, signalling: SocketAddr, media: SocketAddr, datagrams: Datagrams) {
    let socket = UdpSocket::bind(SocketAddr::new(here, SIGNALLING)).await.expect("nobody else has this port");
    let dtls = UdpSocket::bind(SocketAddr::new(here, MEDIA)).await.expect("nobody else has this port");
    // The call runs for some ticks of the clock.
    time::sleep_for(TICK + TICK / 2).await;
    socket.send_to(BYE, signalling).await.expect("the callee has an address");
    match datagrams {
        // Time for the callee to stop its clock, unless the BYE is late.
        Datagrams::Cross => time::sleep_for(TICK + TICK / 4).await,
        Datagrams::InTurn => _ = expect(&socket, OK).await,
    }
    dtls.send_to(CLOSE, media).await.expect("the callee has an address");
    if datagrams == Datagrams::Cross {
        expect(&socket, OK).await;
    }
}

/// Waits for this datagram, and says where it came from.
async fn expect(socket: &UdpSocket, wanted: &[u8]) -> SocketAddr {
    let mut buffer = [0; 64];
    let (length, from) = socket.recv_from(&mut buffer).await.expect("its host is up");
    sim::invariant!(&buffer[..length] == wanted, "expected {wanted:?}, got {:?}", &buffer[..length]);
    from
}

/// Our clock: the production code itself.
struct Production {
    clock: TaskClock,
}

impl Transport for Production {
    type Plan = ();

    fn open((): (), probe: Probe) -> Arc<Self> {
        let pool = Pool::new("clock pool", 4096);
        let clock = TaskClock::new(ClockConfig::default(), pool, move |_, _| probe.ticked());
        Arc::new(Production { clock: clock.expect("the default configuration is one that a clock can run") })
    }

    fn start(&self) {
        accept(self.clock.start());
    }

    async fn stop(&self) {
        let began = Instant::now();
        let result = self.clock.stop().await;
        expect_prompt(began);
        accept(result);
    }

    async fn destroy(&self) {
        for _ in 0..DESTROYS_MAX {
            let result = self.clock.destroy().await;
            // A slow processor may take the deadline while a callback is in its middle.
            if !matches!(result, Err(ClockError::CallbackGoesOn { .. })) {
                return accept(result);
            }
        }
        sim::violated(format!("the clock was not destroyed in {DESTROYS_MAX} times the deadline"));
    }
}

macro_rules! bodies {
    ($($name:ident: $transport:ty, $plan:expr, $on_bye:ident, $datagrams:ident;)*) => {
        $(pub(super) fn $name() {
            drive::<$transport>($plan, OnBye::$on_bye, Datagrams::$datagrams);
        })*
    };
}

bodies! {
    join: Historic, Version::ShippedJoin, Stops, Cross;
    join_in_turn: Historic, Version::ShippedJoin, Stops, InTurn;
    join_twin: Historic, Version::TakesThread, Stops, Cross;
    destroy: Historic, Version::ShippedDestroy, Destroys, Cross;
    destroy_in_turn: Historic, Version::ShippedDestroy, Destroys, InTurn;
    destroy_twin: Historic, Version::ExcludesStops, Destroys, Cross;
}

/// Our clock under every hang-up.
pub(super) fn stack() {
    let on_bye = [OnBye::Stops, OnBye::Destroys][sim::choose(2) as usize];
    let datagrams = [Datagrams::Cross, Datagrams::InTurn][sim::choose(2) as usize];
    drive::<Production>((), on_bye, datagrams);
}

/// The rows that shuttle has beside those of threads, and those with the crossing taken away.
pub(super) fn subjects() -> Vec<Subject> {
    let caught = |detector| vec![On::shuttle(Expected::Caught(detector))];
    let clean = || vec![On::shuttle(Expected::Clean), On::turmoil(Expected::Clean)];
    let subject = |name, about, on: Vec<On>, body| {
        // It is a late datagram that shows them, and no preemption.
        let is_caught = matches!(on[0].expected, Expected::Caught(_));
        Subject {
            name,
            about,
            on,
            fewest_preemptions: is_caught.then_some(0),
            sequential: Sequential::Clean,
            body,
            in_sequence: is_caught.then_some(body),
            must_see: None,
        }
    };
    vec![
        subject(
            "shipped-join-crossing",
            "a BYE and a DTLS close cross on the network, and both join the clock",
            caught(Detector::DoubleRelease),
            join as fn(),
        ),
        subject("shipped-join-in-turn", "the close comes after the BYE was answered", clean(), join_in_turn),
        subject("shipped-join-crossing-twin", "the clock is taken before it is joined", clean(), join_twin),
        subject(
            "shipped-destroy-crossing",
            "a BYE destroys the clock, and a DTLS close that crosses it stops it",
            caught(Detector::UseAfterRelease),
            destroy,
        ),
        subject("shipped-destroy-in-turn", "the close comes after the BYE was answered", clean(), destroy_in_turn),
        subject("shipped-destroy-crossing-twin", "stop and destroy exclude each other", clean(), destroy_twin),
        // Turmoil's row is that of the subject `stack`.
        subject(
            "stack-crossing",
            "our clock on a task: a BYE and a DTLS close, crossing or in turn",
            vec![On::shuttle(Expected::Clean)],
            stack,
        ),
    ]
}
