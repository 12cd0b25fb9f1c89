//! *The call*: two endpoints with media, from their first offer until both hang up at once. No historic bug: what our stack does as a whole,
//! in production, on turmoil and under shuttle, and what its figures are of.
//!
//! Threads and tasks of each side: the application's, which offers, answers, holds and hangs up; of each stream a clock, which has sound
//! or pictures made and played, and a line, which reads the socket, does what is due and sends reports.
//!
//! The driver: an offer and its answer, handed over in memory as the bytes of SDP; a handshake (or keys of the signalling); 1 s of
//! G.711; pictures for 0.5 s, as a second line of a second offer; a hold; new keys; the end, from both sides at the same moment.
//! The weather is drawn for each run.
//!
//! The property: the call ends keyed and talking, or with a typed reason, within its deadlines; no datagram carries in clear what was to be
//! protected; nothing is left when it has ended, and nothing hangs.

pub mod call;

use crate::exhibit::{Exhibit, Expected, MustSee, On, Subject, Timers};
use call::{Keying, Setting, Weather, call, call_tapped};
use sim::StrategyName;
use std::net::SocketAddr;

/// The call of the figures: DTLS, in fair weather.
pub fn fair() {
    call(Setting { keying: Keying::Dtls, weather: Weather::Fair });
}

/// The same, with `tap` called for each datagram: from where, to where, and its bytes.
pub fn fair_tapped(tap: impl Fn(SocketAddr, SocketAddr, &[u8]) + 'static) {
    call_tapped(Setting { keying: Keying::Dtls, weather: Weather::Fair }, tap);
}

fn fair_sdes() {
    call(Setting { keying: Keying::Sdes, weather: Weather::Fair });
}

fn any_sdes() {
    call(Setting { keying: Keying::Sdes, weather: Weather::Any });
}

/// In any weather.
pub fn any() {
    call(Setting { keying: Keying::Dtls, weather: Weather::Any });
}

/// The exhibit.
pub fn exhibit() -> Exhibit {
    let sampled = |schedules| On::turmoil(Expected::Clean).strategy(StrategyName::Random).schedules(schedules);
    Exhibit {
        name: "media-call",
        story: "a whole call: handshake, sound, pictures, hold, new keys, and both hang up at once",
        subjects: vec![
            Subject::new(
                "stack-sdes",
                "keys of the signalling, in any weather",
                vec![On::shuttle(Expected::Clean).schedules(100), sampled(5)],
                any_sdes,
            ),
            Subject::new(
                "stack-fair",
                "DTLS, where the network does nothing but take 1 to 5 ms",
                vec![On::shuttle(Expected::Clean).schedules(100), sampled(5), On::real(Expected::Clean).schedules(1)],
                fair,
            ),
            Subject::new(
                "stack-sdes-fair",
                "keys of the signalling, in fair weather",
                vec![On::real(Expected::Clean).schedules(1)],
                fair_sdes,
            ),
            Subject {
                must_see: Some(MustSee {
                    operations: &["clock.callback", "stream.stop"],
                    never: &[],
                    not_driven: &[],
                    // A handshake that takes too long fails before the wait for it does.
                    timers: Timers::BothBut(&["stream/task.rs"]),
                }),
                ..Subject::new(
                    "stack",
                    "DTLS, in any weather",
                    // A processor that is slow all along: a swarm's is slow so often only, which is seldom in a run as long as this.
                    vec![On::shuttle(Expected::Clean).strategy(StrategyName::Random).schedules(200), sampled(10)],
                    any,
                )
            },
        ],
    }
}
