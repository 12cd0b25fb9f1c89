//! What the network does to a call: drawn anew for each run, so every run is replayed with its own.

use sim::net::{self, Host, Link, LinkError};
use sim::task;
use sim::time::{self, Duration};

/// How bad it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// 1 to 5 ms, and nothing else: the setting of the figures.
    Fair,
    /// Up to 30 % loss, bursts, duplicates, reordering, damage, an MTU of 576, up to 5 s without a network one way or both.
    Any,
}

const MTU_BYTES: u32 = 576;
/// Within so long after the start a partition begins.
const PARTITION_BEGINS_WITHIN_MS: u64 = 3_000;

/// One of these, the first being the dull one.
fn one_of<const N: usize>(values: [f64; N]) -> f64 {
    values[sim::choose(N as u64) as usize]
}

fn link(weather: Weather) -> Result<Link, LinkError> {
    let ms = Duration::from_millis;
    if weather == Weather::Fair {
        return Link::timed(ms(1), ms(5));
    }
    let (shortest, longest) = [(1, 5), (20, 80), (100, 300)][sim::choose(3) as usize];
    let loss = one_of([0.0, 0.02, 0.1, 0.3]);
    let link = Link::timed(ms(shortest), ms(longest))?.mtu_bytes(MTU_BYTES)?;
    let link = match loss > 0.0 && sim::choose(2) == 1 {
        true => link.loss_in_bursts(loss, 4.0)?,
        false => link.loss(loss)?,
    };
    let link = link.duplicate(one_of([0.0, 0.1]))?.reorder(one_of([0.0, 0.1]))?;
    link.corrupt(one_of([0.0, 0.05]))?.truncate(one_of([0.0, 0.02]))
}

/// Sets the weather between two hosts.
pub(super) fn begin(weather: Weather, one: &Host, other: &Host) {
    for (from, to) in [(one, other), (other, one)] {
        let link = link(weather).expect("each of these is a link");
        // In production the network is what it is.
        if net::set_link_between(from, to, &link).is_err() {
            return;
        }
    }
    if weather == Weather::Fair {
        return;
    }
    let ways = sim::choose(4);
    if ways == 0 {
        return;
    }
    let begins = Duration::from_millis(sim::choose(PARTITION_BEGINS_WITHIN_MS));
    let lasts = [Duration::from_millis(100), Duration::from_secs(1), Duration::from_secs(5)][sim::choose(3) as usize];
    let (one, other) = (one.clone(), other.clone());
    let outage = async move {
        time::sleep_for(begins).await;
        let set = |set: fn(&Host, &Host) -> Result<(), sim::Unsupported>| {
            if ways & 1 != 0 {
                set(&one, &other).expect("it has links");
            }
            if ways & 2 != 0 {
                set(&other, &one).expect("it has links");
            }
        };
        set(net::partition);
        time::sleep_for(lasts).await;
        set(net::heal);
    };
    drop(task::try_spawn("outage", outage).expect("it has tasks"));
}
