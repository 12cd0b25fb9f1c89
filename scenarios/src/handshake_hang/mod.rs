//! A flight is handed over to a handshake that has just completed, and who hands it over waits for ever to hear that it was handled.
//!
//! Upstream: webrtc-rs, #631, mended in c4f4031; the code was carried over from another language, whose channels hand over where these
//! keep.
//!
//! Tasks: the *reader* reads the peer's flights, hands each to the handshake with a channel of its own, and waits there until it was
//! handled, as the answer is to go out before the next is read; the *handshake* takes a flight, handles it, says so, and ends with the last;
//! the *waiters* wait for that. There are no locks but the channels'.
//!
//! The failing interleaving: the peer has not heard our last flight, and sends its own again. The handshake has handled the last flight, and
//! has not gone yet; the reader puts the one that came again into the channel, where there is room for one, and waits. The handshake goes.
//! Nobody will take the flight, and nobody can wake the reader; with it everything that comes after is unread. Where a flight must be taken
//! to be handed over, the reader hears that nobody is there.
//!
//! The driver has the peer's flights come, the last of them twice, beside two who wait for the handshake's end and one who stops. The
//! property: the reader ends, and whoever waits is woken when the handshake is complete, has failed, or was stopped.

mod historic;
mod production;

use crate::exhibit::{Exhibit, Expected, MustSee, On, Sequential, Subject, Timers};
use historic::Historic;
use sim::sync::Arc;
use sim::task;
use sim::verdict::Detector;
use std::future::Future;

/// One side of a handshake: every version of the code.
trait Transport: Send + Sync + 'static {
    fn open() -> impl Future<Output = Arc<Self>> + Send;
    /// The peer's flights come, and the last of them again.
    fn read(&self) -> impl Future<Output = ()> + Send;
    /// Waits until the handshake is over, one way or the other.
    fn opened(&self) -> impl Future<Output = ()> + Send;
    fn stop(&self) -> impl Future<Output = ()> + Send;
}

/// The driver: two wait, the peer's flights come, and then it is stopped.
fn drive<T: Transport>() {
    task::block_on(async {
        let transport = T::open().await;
        let waiters = wait_twice(&transport);
        let theirs = Arc::clone(&transport);
        let reader = task::try_spawn("reader", async move { theirs.read().await }).expect("the engine has tasks");
        for task in waiters.into_iter().chain([reader]) {
            task.await.expect("nobody aborts it");
        }
        transport.stop().await;
    });
}

/// The same one after the other.
fn drive_in_sequence<T: Transport>() {
    task::block_on(async {
        let transport = T::open().await;
        transport.read().await;
        transport.opened().await;
        transport.stop().await;
    });
}

fn wait_twice<T: Transport>(transport: &Arc<T>) -> [task::JoinHandle<()>; 2] {
    [(); 2].map(|()| {
        let theirs = Arc::clone(transport);
        task::try_spawn("waiter", async move { theirs.opened().await }).expect("the engine has tasks")
    })
}

/// `ROOM` of the channel: flights that are in it and were not taken.
fn shipped() {
    drive::<Historic<1>>();
}

fn shipped_in_sequence() {
    drive_in_sequence::<Historic<1>>();
}

fn twin() {
    drive::<Historic<0>>();
}

fn twin_in_sequence() {
    drive_in_sequence::<Historic<0>>();
}

/// The exhibit.
pub fn exhibit() -> Exhibit {
    let subject = |name, about, expected, body: fn(), in_sequence: fn()| Subject {
        sequential: Sequential::Clean,
        in_sequence: Some(in_sequence),
        ..Subject::new(name, about, vec![On::shuttle(expected)], body)
    };
    Exhibit {
        name: "handshake-hang",
        story: "a channel that handed over now keeps, and a flight that nobody takes keeps its reader for ever (webrtc-rs c4f4031)",
        subjects: vec![
            Subject {
                fewest_preemptions: Some(1),
                ..subject(
                    "c4f4031",
                    "flights are handed over through a channel with room for one",
                    Expected::Caught(Detector::LostWakeup),
                    shipped,
                    shipped_in_sequence,
                )
            },
            subject("c4f4031-twin", "the channel has no room: a rendezvous", Expected::Clean, twin, twin_in_sequence),
            Subject {
                in_sequence: Some(production::in_sequence),
                must_see: Some(MustSee {
                    operations: &["stream.opened", "stream.stop", "clock.callback"],
                    never: &[],
                    // Each of the two ends has one clock, and one who stops.
                    not_driven: &[["clock.callback", "clock.callback"], ["stream.stop", "stream.stop"]],
                    timers: Timers::Both,
                }),
                ..Subject::new(
                    "stack",
                    "our streams and calls: who waits is woken by keys, by a failure and by a stop, whichever comes first",
                    vec![On::shuttle(Expected::Clean).schedules(1_500)],
                    production::any,
                )
            },
        ],
    }
}
