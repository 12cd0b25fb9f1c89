//! A stream is ended while a callback of it goes on, and the callback goes on with what was the stream's.
//!
//! Upstream: pjproject, #4790, mended in 337a71f: the callback for a packet is called without the lock of its socket's key.
//!
//! Threads: the *worker* polls sockets, and calls the stream back for each packet; the *application* ends the stream. Lock: the key's, which
//! guards whether there is a callback, and how many of them go on. The worker lets it go before it calls.
//!
//! The failing interleavings. `shipped`: the worker has looked the callback up and let the lock go; the application takes the callback
//! away, and releases what it works on; the worker calls. `337a71f`: who ends the stream polls until no callback goes on, and gives up
//! after about a second; a callback that waits for a device for longer is still there, and nobody is told.
//!
//! The driver has packets come, and ends the stream beside them. The callbacks use a *device* of the application's, which goes when the
//! stream has ended. The property: when the end says that it is done, no callback goes on and none will come; one that is not done in its
//! time says so, and may be asked again.

mod historic;
mod production;

use crate::exhibit::{Exhibit, Expected, MustSee, On, Sequential, Subject, Timers};
use crate::inputs::one_of;
use historic::{End, Historic};
use sim::ledger::{self, ResourceId};
use sim::sync::Arc;
use sim::task;
use sim::time::{self, Duration};
use sim::verdict::Detector;
use std::future::Future;

/// From one packet to the next, as a rule.
const GAP: Duration = Duration::from_millis(20);
/// How long a callback waits for the device, where that is long.
const WAITS: Duration = Duration::from_millis(1_500);
/// A device that is at hand, and one that keeps who uses it.
const DEVICES: [Duration; 2] = [Duration::ZERO, WAITS];
/// A machine that stands still for longer lets a callback that waits be done before the end has looked twice.
const SLOWNESS: Duration = Duration::from_millis(5);
/// How often an end that is not done is asked again.
const ENDS_MAX: u32 = 200;

/// What callbacks use.
#[derive(Clone, Copy, Debug)]
struct Device {
    resource: ResourceId,
    /// How long it keeps who uses it.
    waits: Duration,
}

impl Device {
    fn new(waits: Duration) -> Self {
        Device { resource: ledger::register("device"), waits }
    }

    /// In a callback.
    fn play(self) {
        ledger::touch(self.resource);
        if !self.waits.is_zero() {
            time::sleep(self.waits);
            ledger::touch(self.resource);
        }
    }
}

/// A stream that calls back: every version of the code.
trait Media: Send + Sync + 'static {
    fn open(device: Device) -> impl Future<Output = Arc<Self>> + Send;
    /// A packet has come.
    fn packet(&self);
    /// Ends the stream. False if a callback goes on.
    fn end(&self) -> impl Future<Output = bool> + Send;
}

/// The driver: packets come, and main ends the stream when so many gaps are over.
fn drive<T: Media>(waits: Duration, packets: u32) {
    time::bound_slowness(SLOWNESS);
    task::block_on(async move {
        let device = Device::new(waits);
        let media = T::open(device).await;
        let theirs = Arc::clone(&media);
        let worker = task::try_spawn("worker", async move { poll(&*theirs, packets).await }).expect("the engine has tasks");
        time::sleep_for(GAP).await;
        end(&*media, device).await;
        worker.await.expect("nobody aborts it");
    });
}

/// The same, and the stream is ended when the packets are through.
fn drive_in_sequence<T: Media>(waits: Duration, packets: u32) {
    task::block_on(async move {
        let device = Device::new(waits);
        let media = T::open(device).await;
        poll(&*media, packets).await;
        end(&*media, device).await;
    });
}

async fn poll<T: Media>(media: &T, packets: u32) {
    for number in 0..packets {
        if number > 0 {
            time::sleep_for(GAP).await;
        }
        media.packet();
    }
}

async fn end<T: Media>(media: &T, device: Device) {
    let mut ends = 0;
    while !media.end().await {
        ends += 1;
        sim::invariant!(ends < ENDS_MAX, "a stream has not ended though it was asked {ENDS_MAX} times");
    }
    ledger::release(device.resource);
}

const PACKETS: u32 = 2;

fn shipped() {
    historic::choose(End::AtOnce);
    drive::<Historic>(Duration::ZERO, PACKETS);
}

fn shipped_in_sequence() {
    historic::choose(End::AtOnce);
    drive_in_sequence::<Historic>(Duration::ZERO, PACKETS);
}

fn shipped_twin() {
    historic::choose(End::UnderLock);
    drive::<Historic>(Duration::ZERO, PACKETS);
}

fn shipped_twin_in_sequence() {
    historic::choose(End::UnderLock);
    drive_in_sequence::<Historic>(Duration::ZERO, PACKETS);
}

fn patched() {
    historic::choose(End::GivesUp);
    drive::<Historic>(one_of(&DEVICES), PACKETS);
}

fn patched_in_sequence() {
    historic::choose(End::GivesUp);
    drive_in_sequence::<Historic>(one_of(&DEVICES), PACKETS);
}

fn patched_twin() {
    historic::choose(End::SaysSo);
    drive::<Historic>(one_of(&DEVICES), PACKETS);
}

fn patched_twin_in_sequence() {
    historic::choose(End::SaysSo);
    drive_in_sequence::<Historic>(one_of(&DEVICES), PACKETS);
}

/// The exhibit.
pub fn exhibit() -> Exhibit {
    let subject = |name, about, expected, body: fn(), in_sequence: fn()| Subject {
        sequential: Sequential::Clean,
        in_sequence: Some(in_sequence),
        ..Subject::new(name, about, vec![On::shuttle(expected)], body)
    };
    let caught = Expected::Caught(Detector::UseAfterRelease);
    Exhibit {
        name: "callback-outlives-stream",
        story: "a stream is released under a callback of it, and its fix waits for a second and goes on (pjproject #4790, 337a71f)",
        subjects: vec![
            Subject {
                fewest_preemptions: Some(1),
                ..subject(
                    "shipped",
                    "the callback is called without the lock, and the end does not wait for it",
                    caught,
                    shipped,
                    shipped_in_sequence,
                )
            },
            subject(
                "shipped-twin",
                "the callback is called under the lock",
                Expected::Clean,
                shipped_twin,
                shipped_twin_in_sequence,
            ),
            Subject {
                fewest_preemptions: Some(0),
                ..subject(
                    "337a71f",
                    "the end polls until no callback goes on, and gives up after a second",
                    caught,
                    patched,
                    patched_in_sequence,
                )
            },
            subject(
                "337a71f-twin",
                "an end that gives up says so, and what callbacks use is kept",
                Expected::Clean,
                patched_twin,
                patched_twin_in_sequence,
            ),
            Subject {
                in_sequence: Some(production::in_sequence),
                must_see: Some(MustSee {
                    operations: &["clock.callback", "stream.stop"],
                    never: &[["clock.callback", "clock.callback"]],
                    not_driven: &[],
                    timers: Timers::Both,
                }),
                ..Subject::new(
                    "stack",
                    "our streams: any two operations of each of two tasks and any of the callback, beside ticks and packets",
                    vec![On::shuttle(Expected::Clean)],
                    production::any,
                )
            },
        ],
    }
}
