//! How packets fare from one host to another: latency, loss, and everything else that goes wrong on the way.

use std::time::Duration;

/// How packets fare from one host to another, in one direction. Every decision is a choice of the run.
///
/// [`Link::any_order`] and [`Link::in_order`] have no latency: which packet arrives next is explored, and on turmoil enumerated. The
/// others are timed. What a setting gives for sure is what is measured: a loss of 0.1 loses one packet in ten.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    pub(crate) arrivals: Arrivals,
    pub(crate) latency_ns: u64,
    /// How many steps of delay there can be beyond the latency.
    pub(crate) jitter_steps: u64,
    pub(crate) loss: Loss,
    pub(crate) duplicate: Chance,
    pub(crate) reorder: Chance,
    pub(crate) corrupt: Chance,
    pub(crate) truncate: Chance,
    pub(crate) outage: Chance,
    pub(crate) outage_ns: u64,
    pub(crate) mtu_bytes: u32,
    pub(crate) bandwidth_bits_per_s: Option<u64>,
    pub(crate) queue_bytes: u64,
}

/// When packets arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrivals {
    /// Whenever the run chooses.
    AnyOrder,
    /// Whenever the run chooses, but never before one that was sent earlier over the same link.
    InOrder,
    /// After latency, jitter and the bottleneck's queue; in order unless a packet is chosen to be overtaken.
    Timed,
}

/// A probability: so many of 2^32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) const NEVER: Chance = Chance(0);
    const ONE: f64 = 4_294_967_296.0;

    fn of(probability: f64) -> Self {
        // Out of range and NaN are refused where the setting is made.
        Chance((probability * Chance::ONE) as u64)
    }

    pub(crate) fn is_possible(self) -> bool {
        self.0 > 0
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Loss {
    /// Each packet by itself.
    Each(Chance),
    /// Gilbert and Elliott: two states with a chance each to go to the other, and a chance to lose a packet in each.
    Bursts { to_bad: Chance, stay_bad: Chance, in_good: Chance, in_bad: Chance },
}

/// A setting that no link can have.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// Not a probability.
    #[error("expected a probability of {what} between 0 and 1, got {got}")]
    Probability {
        /// Of what.
        what: &'static str,
        /// What was given.
        got: f64,
    },
    /// A burst has at least one packet, and losses as frequent as asked need gaps between bursts.
    #[error("expected bursts of at least one packet and a loss below 1, got bursts of {mean_packets} at a loss of {loss}")]
    Bursts {
        /// The loss that was asked for.
        loss: f64,
        /// The length that was asked for.
        mean_packets: f64,
    },
    /// The latest arrival lies before the earliest, or a time is longer than a day.
    #[error("expected a latency from shortest to longest, up to a day, got {shortest:?} to {longest:?}")]
    Latency {
        /// The shortest that was asked for.
        shortest: Duration,
        /// The longest that was asked for.
        longest: Duration,
    },
    /// Less than the smallest that IPv4 knows, or more than the largest.
    #[error("expected an MTU of 68 to 65,535 bytes (RFC 791), got {got}")]
    Mtu {
        /// What was given.
        got: u32,
    },
    /// No bandwidth at all is a partition.
    #[error("expected a bandwidth above 0 and a queue for at least one packet, got {bits_per_s} bit/s and {queue_bytes} bytes")]
    Bandwidth {
        /// What was given.
        bits_per_s: u64,
        /// What was given.
        queue_bytes: u64,
    },
}

/// The step of jitter: a run chooses one of a number of steps, so that a choice stays a small number.
const JITTER_STEP_NS: u64 = 100_000;
const DAY: Duration = Duration::from_secs(86_400);
/// Ethernet's.
const MTU_BYTES: u32 = 1500;
/// What a bottleneck keeps unless said otherwise: a second at 2 Mbit/s.
const QUEUE_BYTES: u64 = 250_000;

impl Link {
    /// Packets arrive in any order, as UDP allows, and nothing else happens to them. Which arrives next is explored.
    pub const fn any_order() -> Link {
        Link {
            arrivals: Arrivals::AnyOrder,
            latency_ns: 0,
            jitter_steps: 0,
            loss: Loss::Each(Chance::NEVER),
            duplicate: Chance::NEVER,
            reorder: Chance::NEVER,
            corrupt: Chance::NEVER,
            truncate: Chance::NEVER,
            outage: Chance::NEVER,
            outage_ns: 0,
            mtu_bytes: MTU_BYTES,
            bandwidth_bits_per_s: None,
            queue_bytes: QUEUE_BYTES,
        }
    }

    /// As [`Link::any_order`], but packets of one link arrive in the order in which they were sent. Those of different links cross in
    /// every way.
    pub const fn in_order() -> Link {
        Link { arrivals: Arrivals::InOrder, ..Link::any_order() }
    }

    /// A timed link with this latency and nothing else.
    ///
    /// # Errors
    /// [`LinkError::Latency`].
    pub fn timed(shortest: Duration, longest: Duration) -> Result<Link, LinkError> {
        Link { arrivals: Arrivals::Timed, ..Link::any_order() }.latency(shortest, longest)
    }

    /// An office network: 0.2 to 0.5 ms, 1 Gbit/s, no loss.
    pub const fn lan() -> Link {
        Link {
            arrivals: Arrivals::Timed,
            latency_ns: 200_000,
            jitter_steps: 3,
            bandwidth_bits_per_s: Some(1_000_000_000),
            ..Link::any_order()
        }
    }

    /// A busy wireless network: 2 to 12 ms, 50 Mbit/s, 1 % lost in bursts of 3, few duplicates, some reordering.
    pub fn wifi() -> Link {
        Link {
            arrivals: Arrivals::Timed,
            latency_ns: 2_000_000,
            jitter_steps: 100,
            loss: bursts(0.01, 3.0),
            duplicate: Chance::of(0.001),
            reorder: Chance::of(0.005),
            bandwidth_bits_per_s: Some(50_000_000),
            ..Link::any_order()
        }
    }

    /// A mobile network: 40 to 120 ms, 5 Mbit/s behind a deep queue, MTU 1400, 2 % lost in bursts of 5, 1 % reordered.
    pub fn cellular() -> Link {
        Link {
            arrivals: Arrivals::Timed,
            latency_ns: 40_000_000,
            jitter_steps: 800,
            loss: bursts(0.02, 5.0),
            reorder: Chance::of(0.01),
            mtu_bytes: 1400,
            bandwidth_bits_per_s: Some(5_000_000),
            queue_bytes: 1_000_000,
            ..Link::any_order()
        }
    }

    /// A geostationary satellite: 270 to 300 ms, 2 Mbit/s, 1 % lost in bursts of 8.
    pub fn satellite() -> Link {
        Link {
            arrivals: Arrivals::Timed,
            latency_ns: 270_000_000,
            jitter_steps: 300,
            loss: bursts(0.01, 8.0),
            bandwidth_bits_per_s: Some(2_000_000),
            ..Link::any_order()
        }
    }

    /// All that can go wrong at once: 5 to 205 ms, 30 % lost in bursts of 4, 10 % duplicated, 10 % reordered, 5 % corrupted, 5 % cut
    /// short, MTU 576, 1 Mbit/s, and one packet in a thousand finds the link dark for a second.
    pub fn hostile() -> Link {
        Link {
            arrivals: Arrivals::Timed,
            latency_ns: 5_000_000,
            jitter_steps: 2_000,
            loss: bursts(0.3, 4.0),
            duplicate: Chance::of(0.1),
            reorder: Chance::of(0.1),
            corrupt: Chance::of(0.05),
            truncate: Chance::of(0.05),
            outage: Chance::of(0.001),
            outage_ns: 1_000_000_000,
            mtu_bytes: 576,
            bandwidth_bits_per_s: Some(1_000_000),
            queue_bytes: 64_000,
        }
    }

    /// The profile of this name: `lan`, `wifi`, `cellular`, `satellite` or `hostile`.
    pub fn profile(name: &str) -> Option<Link> {
        Link::PROFILES.iter().find(|(known, _)| *known == name).map(|(_, link)| link())
    }

    /// Every profile by its name.
    pub const PROFILES: [(&'static str, fn() -> Link); 5] = [
        ("lan", Link::lan),
        ("wifi", Link::wifi),
        ("cellular", Link::cellular),
        ("satellite", Link::satellite),
        ("hostile", Link::hostile),
    ];

    /// Makes the link a timed one: each packet takes between `shortest` and `longest`, every time between them as likely.
    ///
    /// # Errors
    /// [`LinkError::Latency`].
    pub fn latency(mut self, shortest: Duration, longest: Duration) -> Result<Link, LinkError> {
        let jitter = longest.checked_sub(shortest).filter(|_| longest <= DAY);
        let jitter = jitter.ok_or(LinkError::Latency { shortest, longest })?;
        self.arrivals = Arrivals::Timed;
        // Both fit: a day has 8.64e13 ns.
        self.latency_ns = shortest.as_nanos() as u64;
        self.jitter_steps = jitter.as_nanos() as u64 / JITTER_STEP_NS;
        Ok(self)
    }

    /// Loses this share of the packets, each by itself.
    ///
    /// # Errors
    /// [`LinkError::Probability`].
    pub fn loss(mut self, probability: f64) -> Result<Link, LinkError> {
        self.loss = Loss::Each(chance("loss", probability)?);
        Ok(self)
    }

    /// Loses this share of the packets in bursts of this mean length: the model of Gilbert, in which a link in its bad state loses
    /// everything.
    ///
    /// # Errors
    /// [`LinkError::Bursts`], also where so much loss would need the link to turn bad after every good packet and more.
    pub fn loss_in_bursts(mut self, loss: f64, mean_packets: f64) -> Result<Link, LinkError> {
        let gap = (1.0 - loss) * mean_packets;
        let possible = (0.0..1.0).contains(&loss) && mean_packets.is_finite() && mean_packets >= 1.0 && loss <= gap;
        if !possible {
            return Err(LinkError::Bursts { loss, mean_packets });
        }
        self.loss = bursts(loss, mean_packets);
        Ok(self)
    }

    /// The model of Gilbert and Elliott with all its parameters: the probability to turn bad and to turn good again before each packet,
    /// and to lose a packet in each state.
    ///
    /// # Errors
    /// [`LinkError::Probability`].
    pub fn loss_by_state(mut self, to_bad: f64, to_good: f64, in_good: f64, in_bad: f64) -> Result<Link, LinkError> {
        self.loss = Loss::Bursts {
            to_bad: chance("turning bad", to_bad)?,
            stay_bad: Chance((1 << 32) - chance("turning good", to_good)?.0),
            in_good: chance("loss in the good state", in_good)?,
            in_bad: chance("loss in the bad state", in_bad)?,
        };
        Ok(self)
    }

    /// Has this share of the packets arrive twice.
    ///
    /// # Errors
    /// [`LinkError::Probability`].
    pub fn duplicate(mut self, probability: f64) -> Result<Link, LinkError> {
        self.duplicate = chance("duplication", probability)?;
        Ok(self)
    }

    /// Has this share of the packets be overtaken by the next that is not itself overtaken, as RFC 4737 counts reordering. A packet
    /// that none follows arrives late. Without effect where orders are explored anyway.
    ///
    /// # Errors
    /// [`LinkError::Probability`].
    pub fn reorder(mut self, probability: f64) -> Result<Link, LinkError> {
        self.reorder = chance("reordering", probability)?;
        Ok(self)
    }

    /// Flips one bit in this share of the packets. The checksum is taken to fit, as it does when somebody else wrote the packet.
    ///
    /// # Errors
    /// [`LinkError::Probability`].
    pub fn corrupt(mut self, probability: f64) -> Result<Link, LinkError> {
        self.corrupt = chance("corruption", probability)?;
        Ok(self)
    }

    /// Cuts this share of the packets short, to any length from nothing.
    ///
    /// # Errors
    /// [`LinkError::Probability`].
    pub fn truncate(mut self, probability: f64) -> Result<Link, LinkError> {
        self.truncate = chance("truncation", probability)?;
        Ok(self)
    }

    /// Has the link go dark for `duration` before a packet, with this probability for each.
    ///
    /// # Errors
    /// [`LinkError::Probability`].
    pub fn outage(mut self, probability: f64, duration: Duration) -> Result<Link, LinkError> {
        self.outage = chance("an outage", probability)?;
        self.outage_ns = duration.min(DAY).as_nanos() as u64;
        Ok(self)
    }

    /// The largest IP packet, headers included. A longer datagram goes in fragments, and is lost if one is; a socket that does not let
    /// its packets be fragmented gets `EMSGSIZE`.
    ///
    /// # Errors
    /// [`LinkError::Mtu`].
    pub fn mtu_bytes(mut self, bytes: u32) -> Result<Link, LinkError> {
        if !(68..=65_535).contains(&bytes) {
            return Err(LinkError::Mtu { got: bytes });
        }
        self.mtu_bytes = bytes;
        Ok(self)
    }

    /// A bottleneck: so many bits a second (headers count), with a queue before it that drops what does not fit.
    ///
    /// # Errors
    /// [`LinkError::Bandwidth`].
    pub fn bandwidth(mut self, bits_per_s: u64, queue_bytes: u64) -> Result<Link, LinkError> {
        if bits_per_s == 0 || queue_bytes < u64::from(self.mtu_bytes) {
            return Err(LinkError::Bandwidth { bits_per_s, queue_bytes });
        }
        self.bandwidth_bits_per_s = Some(bits_per_s);
        self.queue_bytes = queue_bytes;
        Ok(self)
    }

    pub(crate) fn delay_ns(&self, step: u64) -> u64 {
        self.latency_ns + step * JITTER_STEP_NS
    }

    /// When a packet that is to be overtaken arrives if none follows: once more the longest time that one takes, and a tenth of a second.
    pub(crate) fn patience_ns(&self) -> u64 {
        2 * self.delay_ns(self.jitter_steps) + 100_000_000
    }

    /// How long the bottleneck takes for so many bytes.
    pub(crate) fn serialisation_ns(&self, bytes: u64) -> u64 {
        self.bandwidth_bits_per_s.map_or(0, |rate| (u128::from(bytes) * 8_000_000_000 / u128::from(rate)) as u64)
    }

    /// How many fragments a datagram of so many bytes makes: all but the last carry a multiple of eight (RFC 791).
    pub(crate) fn fragments(&self, datagram_bytes: usize) -> u64 {
        let payload = datagram_bytes as u64 + UDP_HEADER_BYTES;
        let room = (u64::from(self.mtu_bytes) - IP_HEADER_BYTES) & !7;
        if payload <= u64::from(self.mtu_bytes) - IP_HEADER_BYTES { 1 } else { payload.div_ceil(room) }
    }

    /// All that a datagram of so many bytes puts on the link.
    pub(crate) fn wire_bytes(&self, datagram_bytes: usize) -> u64 {
        datagram_bytes as u64 + UDP_HEADER_BYTES + IP_HEADER_BYTES * self.fragments(datagram_bytes)
    }
}

/// IPv4 without options.
pub(crate) const IP_HEADER_BYTES: u64 = 20;
/// UDP.
pub(crate) const UDP_HEADER_BYTES: u64 = 8;

fn chance(what: &'static str, probability: f64) -> Result<Chance, LinkError> {
    if !(0.0..=1.0).contains(&probability) {
        return Err(LinkError::Probability { what, got: probability });
    }
    Ok(Chance::of(probability))
}

/// Turning good ends a burst, so its length is geometric with the mean 1 / P(good); the share of bad packets follows.
fn bursts(loss: f64, mean_packets: f64) -> Loss {
    let to_good = 1.0 / mean_packets;
    Loss::Bursts {
        to_bad: Chance::of(to_good * loss / (1.0 - loss)),
        stay_bad: Chance::of(1.0 - to_good),
        in_good: Chance::NEVER,
        in_bad: Chance(1 << 32),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_link_can_have_is_refused() {
        for wrong in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert!(matches!(Link::lan().loss(wrong), Err(LinkError::Probability { .. })));
            assert!(matches!(Link::lan().duplicate(wrong), Err(LinkError::Probability { .. })));
            assert!(matches!(Link::lan().reorder(wrong), Err(LinkError::Probability { .. })));
            assert!(matches!(Link::lan().corrupt(wrong), Err(LinkError::Probability { .. })));
            assert!(matches!(Link::lan().truncate(wrong), Err(LinkError::Probability { .. })));
            assert!(matches!(Link::lan().outage(wrong, Duration::ZERO), Err(LinkError::Probability { .. })));
            assert!(matches!(Link::lan().loss_in_bursts(wrong, 3.0), Err(LinkError::Bursts { .. })));
            assert!(matches!(Link::lan().loss_by_state(0.1, wrong, 0.0, 1.0), Err(LinkError::Probability { .. })));
        }
        for length in [0.0, 0.9, f64::NAN, f64::INFINITY] {
            assert!(matches!(Link::lan().loss_in_bursts(0.1, length), Err(LinkError::Bursts { .. })));
        }
        assert!(Link::lan().loss_in_bursts(0.9, 1.0).is_err(), "so many bursts of one leave no gaps");
        let ms = Duration::from_millis;
        assert!(matches!(Link::timed(ms(2), ms(1)), Err(LinkError::Latency { .. })));
        assert!(matches!(Link::timed(ms(2), Duration::MAX), Err(LinkError::Latency { .. })));
        assert!(matches!(Link::lan().mtu_bytes(67), Err(LinkError::Mtu { got: 67 })));
        assert!(matches!(Link::lan().bandwidth(0, 5000), Err(LinkError::Bandwidth { .. })));
        assert!(matches!(Link::lan().bandwidth(1, 10), Err(LinkError::Bandwidth { .. })));
    }

    #[test]
    fn fragments_are_counted_as_ipv4_makes_them() {
        let link = Link::any_order().mtu_bytes(576).unwrap();
        // 576 - 20 - 8 = 548 bytes fit one packet; fragments carry 552 each, the UDP header once.
        for (bytes, fragments) in [(0, 1), (548, 1), (549, 2), (552 * 2 - 8, 2), (552 * 2 - 7, 3), (65_507, 119)] {
            assert_eq!(link.fragments(bytes), fragments, "{bytes}");
        }
        assert_eq!(link.wire_bytes(549), 549 + 8 + 40);
    }

    #[test]
    fn every_profile_has_its_name() {
        for (name, link) in Link::PROFILES {
            assert_eq!(Link::profile(name), Some(link()));
        }
        assert_eq!(Link::profile("carrier-pigeon"), None);
    }
}
