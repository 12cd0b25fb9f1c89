//! A thread holds the registry's lock and waits for room in a queue, and who would make room wants the registry.
//!
//! Upstream: libdatachannel, #1538: the poll thread dispatches what a socket has received while it holds the mutex of the registry of
//! sockets, and the queue that it pushes to is bounded.
//!
//! Threads: *poll* threads look a connection up for each packet and push the packet to its queue; the *drainer* takes packets out of the
//! queue, and looks each one's connection up before it handles it. Lock: the registry's, which poll holds from the look-up until the
//! packet is in the queue.
//!
//! The failing interleaving: the drainer has taken a packet and not the lock yet; the queue is full again; poll takes the lock, and waits
//! for room, which the drainer would make when it has had the lock.
//!
//! The driver gives each poll thread its packets. The property: every packet is handled, or refused at once, within the deadline.

mod historic;
mod production;

use crate::exhibit::{Exhibit, Expected, MustSee, On, Sequential, Subject, Timers};
use historic::Historic;
use production::{Driven, Threaded};
use sim::Bounds;
use sim::sync::Arc;
use sim::thread;
use sim::time::{self, Duration};
use sim::verdict::Detector;

/// What a packet allows itself.
const DEADLINE: Duration = Duration::from_secs(2);
/// From one packet of a socket to the next, as a rule.
const GAP: Duration = Duration::from_millis(20);

/// Connections with queues: every version of the code.
trait Server: Send + Sync + 'static {
    fn open() -> Arc<Self>;
    /// A packet has come.
    fn packet(&self);
    /// The poll threads have ended.
    fn finish(&self);
}

/// The driver: each thread polls so many packets.
fn drive<T: Server>(threads: &[usize]) {
    let server = T::open();
    let poll = |server: &T, packets: usize| {
        for number in 0..packets {
            if number > 0 {
                time::sleep(GAP);
            }
            let _operation = sim::operation("poll.packet", DEADLINE);
            server.packet();
        }
    };
    let others: Vec<_> = threads[1..]
        .iter()
        .map(|packets| {
            let (server, packets) = (Arc::clone(&server), *packets);
            thread::Builder::new().name("poll").spawn(move || poll(&server, packets)).expect("the engine makes threads")
        })
        .collect();
    poll(&server, threads[0]);
    for other in others {
        other.join().expect("a panic ends the run");
    }
    server.finish();
}

/// The same packets one after the other, each when the one before was handled.
fn drive_in_sequence<T: Server>(threads: &[usize]) {
    let server = T::open();
    for _ in 0..threads.iter().sum() {
        server.packet();
        time::sleep(GAP);
    }
    server.finish();
}

/// Three packets: one that is being handled, one that fills the queue, one that waits.
const THREADS: &[usize] = &[2, 1];

fn shipped() {
    drive::<Historic<true>>(THREADS);
}

fn shipped_in_sequence() {
    drive_in_sequence::<Historic<true>>(THREADS);
}

fn twin() {
    drive::<Historic<false>>(THREADS);
}

fn twin_in_sequence() {
    drive_in_sequence::<Historic<false>>(THREADS);
}

fn driven() {
    drive::<Driven>(THREADS);
}

fn threaded() {
    drive::<Threaded>(&[3, 2, 2]);
}

/// The exhibit.
pub fn exhibit() -> Exhibit {
    let subject = |name, about, on, body| Subject {
        name,
        about,
        on,
        fewest_preemptions: None,
        sequential: Sequential::Clean,
        body,
        in_sequence: None,
        must_see: None,
    };
    // Loom has a channel's every order in seconds within two preemptions, and the story needs fewer.
    let both = |expected| {
        let on = On::loom(expected);
        let bounds = Bounds { preemptions: Some(2), ..on.bounds };
        vec![on.within(bounds), On::shuttle(expected)]
    };
    Exhibit {
        name: "queue-full",
        story: "the registry's lock is held until there is room in a queue, and who makes room wants that lock (libdatachannel #1538)",
        subjects: vec![
            Subject {
                fewest_preemptions: Some(1),
                in_sequence: Some(shipped_in_sequence),
                ..subject(
                    "1538",
                    "poll pushes to a bounded queue and holds the registry's lock",
                    both(Expected::Caught(Detector::Deadlock)),
                    shipped,
                )
            },
            Subject {
                in_sequence: Some(twin_in_sequence),
                ..subject("1538-twin", "the lock is given back before the push", both(Expected::Clean), twin)
            },
            Subject {
                must_see: Some(MustSee {
                    operations: &["session.post", "session.dispatch", "session.lookup"],
                    // One session has one call at a time.
                    never: &[["session.dispatch", "session.dispatch"]],
                    not_driven: &[],
                    timers: Timers::Both,
                }),
                ..subject(
                    "stack",
                    "our sessions: posting refuses when the inbox is full, and holds no lock of the table",
                    vec![On::loom(Expected::Clean).body(driven), On::shuttle(Expected::Clean)],
                    threaded,
                )
            },
        ],
    }
}
