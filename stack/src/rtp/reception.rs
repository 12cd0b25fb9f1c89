//! What a receiver knows of a source: RFC 3550 sections 6.4.1, A.1, A.3 and A.8.

use super::rtcp::ReportBlock;
use super::rtcp::report::CUMULATIVE_LOST;
use sim::time::Instant;

/// Packets in a row before a new source is believed.
pub const PROBATION_PACKETS: u8 = 2;
/// A jump forward of this many sequence numbers is a restart.
pub const DROPOUT_MAX: u16 = 3000;
/// A packet this much older than the newest, or more, is from before a restart.
pub const MISORDER_MAX: u16 = 100;

/// What became of a packet's sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// It is counted. Its sequence number, with the count of cycles in the upper bits.
    Valid {
        /// As extended.
        extended_sequence_number: u64,
    },
    /// The source has not yet sent [`PROBATION_PACKETS`] in a row. Not counted.
    Probation,
    /// It jumps, by more than loss and reordering explain. Not counted; if the next packet follows it, the source has restarted.
    Jump,
}

/// The statistics of one source.
#[derive(Clone, Copy, Debug)]
pub struct Reception {
    ssrc: u32,
    rate_hz: u32,
    /// Packets that must still come in a row.
    probation: u8,
    highest: u16,
    cycles: u64,
    base: u64,
    /// The sequence number that, coming next, shows a restart.
    restart_at: Option<u16>,
    received: u64,
    expected_prior: u64,
    received_prior: u64,
    /// The last packet's time of arrival, in timestamp units, and its timestamp.
    last: Option<(u32, u32)>,
    /// Scaled by 16.
    jitter_scaled: u64,
    last_sr: Option<(u32, Instant)>,
    refused: u64,
    restarts: u64,
}

impl Reception {
    /// Of the source `ssrc`, whose timestamps count at `rate_hz`. It begins on probation, at its first packet.
    pub fn new(ssrc: u32, rate_hz: u32) -> Self {
        Reception {
            ssrc,
            rate_hz,
            probation: PROBATION_PACKETS,
            highest: 0,
            cycles: 0,
            base: 0,
            restart_at: None,
            received: 0,
            expected_prior: 0,
            received_prior: 0,
            last: None,
            jitter_scaled: 0,
            last_sr: None,
            refused: 0,
            restarts: 0,
        }
    }

    /// Takes a packet that came at `now`. In SRTP, call it only after the packet is authenticated.
    pub fn receive(&mut self, now: Instant, sequence_number: u16, timestamp: u32) -> Validity {
        let validity = self.validate(sequence_number);
        match validity {
            Validity::Valid { .. } => self.measure(now, timestamp),
            _ => self.refused += 1,
        }
        validity
    }

    /// Takes a sender report that came at `now`.
    pub fn sender_report(&mut self, now: Instant, ntp_timestamp: u64) {
        // The middle 32 bits.
        self.last_sr = Some(((ntp_timestamp >> 16) as u32, now));
    }

    /// The report block to be sent at `now`. The fraction lost is of the time since the last one, so call it once for each
    /// report.
    pub fn report(&mut self, now: Instant) -> ReportBlock {
        let (expected, lost) = (self.expected(), self.lost());
        let expected_interval = expected - self.expected_prior;
        let received_interval = self.received - self.received_prior;
        (self.expected_prior, self.received_prior) = (expected, self.received);
        let lost_interval = expected_interval.saturating_sub(received_interval);
        // Nothing expected, nothing lost; everything lost is 256, which does not fit.
        let fraction = (u128::from(lost_interval) << 8).checked_div(expected_interval.into()).unwrap_or(0);
        let (last_sr, delay_since_last_sr) = self.last_sr.map_or((0, 0), |(middle, at)| {
            let delay = (now - at).as_nanos() * 65_536 / 1_000_000_000;
            (middle, u32::try_from(delay).unwrap_or(u32::MAX))
        });
        ReportBlock {
            ssrc: self.ssrc,
            fraction_lost: u8::try_from(fraction).unwrap_or(u8::MAX),
            cumulative_lost: lost.clamp(CUMULATIVE_LOST.0.into(), CUMULATIVE_LOST.1.into()) as i32,
            // The lower 32 bits: RFC 3550 has no more.
            highest_sequence_number: (self.cycles + u64::from(self.highest)) as u32,
            jitter: self.jitter(),
            last_sr,
            delay_since_last_sr,
        }
    }

    /// Packets that should have come since the source was believed.
    pub fn expected(&self) -> u64 {
        if self.probation > 0 { 0 } else { self.cycles + u64::from(self.highest) + 1 - self.base }
    }

    /// Packets that came and were counted.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Packets that did not come, less those that came again.
    pub fn lost(&self) -> i64 {
        // Both are far below 2^63: a packet takes longer than a nanosecond.
        self.expected() as i64 - self.received as i64
    }

    /// The interarrival jitter, in timestamp units.
    pub fn jitter(&self) -> u32 {
        u32::try_from(self.jitter_scaled >> 4).unwrap_or(u32::MAX)
    }

    /// Packets that were not counted: on probation, or jumping.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// How often the source has begun anew.
    pub fn restarts(&self) -> u64 {
        self.restarts
    }

    fn validate(&mut self, sequence_number: u16) -> Validity {
        if self.probation > 0 {
            let follows = self.probation < PROBATION_PACKETS && sequence_number == self.highest.wrapping_add(1);
            self.probation = if follows { self.probation - 1 } else { PROBATION_PACKETS - 1 };
            self.highest = sequence_number;
            if self.probation > 0 {
                return Validity::Probation;
            }
            self.begin(sequence_number);
        } else {
            let ahead = sequence_number.wrapping_sub(self.highest);
            if ahead < DROPOUT_MAX {
                if sequence_number < self.highest {
                    self.cycles += 1 << 16;
                }
                self.highest = sequence_number;
                // The RFC's code keeps it, so that two strays are a restart with any number of good packets between them.
                self.restart_at = None;
            } else if ahead <= u16::MAX - MISORDER_MAX + 1 {
                if self.restart_at != Some(sequence_number) {
                    self.restart_at = Some(sequence_number.wrapping_add(1));
                    return Validity::Jump;
                }
                self.restarts += 1;
                self.highest = sequence_number;
                self.begin(sequence_number);
            }
        }
        self.received += 1;
        // A late packet that was sent before the counter wrapped is of the cycle before; before the first, there is none.
        let behind = self.highest.wrapping_sub(sequence_number);
        let extended = (self.cycles + u64::from(self.highest)).saturating_sub(behind.into());
        Validity::Valid { extended_sequence_number: extended }
    }

    /// The source is believed from here on.
    fn begin(&mut self, sequence_number: u16) {
        self.base = sequence_number.into();
        (self.cycles, self.received, self.expected_prior, self.received_prior) = (0, 0, 0, 0);
        (self.restart_at, self.last, self.jitter_scaled) = (None, None, 0);
    }

    /// RFC 3550 section A.8.
    fn measure(&mut self, now: Instant, timestamp: u32) {
        // 128 bits: at 90 kHz a 64-bit product of nanoseconds and rate is full after two days.
        let arrival = now.since_origin().as_nanos() * u128::from(self.rate_hz) / 1_000_000_000;
        // Only differences count, and those modulo 2^32.
        let arrival = arrival as u32;
        if let Some((last_arrival, last_timestamp)) = self.last {
            // In 32 bits as the RFC has it: in a pause of hours timestamps wrap, and what has elapsed must wrap with them.
            let elapsed = arrival.wrapping_sub(last_arrival);
            let change = (elapsed.wrapping_sub(timestamp.wrapping_sub(last_timestamp)) as i32).unsigned_abs();
            self.jitter_scaled = self.jitter_scaled - ((self.jitter_scaled + 8) >> 4) + u64::from(change);
        }
        self.last = Some((arrival, timestamp));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const DAY_S: u64 = 86_400;

    fn at(micros: u64) -> Instant {
        Instant::from_origin(Duration::from_micros(micros))
    }

    /// A source that is believed, its packets up to `highest` received.
    fn believed(highest: u16) -> Reception {
        let mut reception = Reception::new(1, 8000);
        assert_eq!(reception.receive(at(0), highest.wrapping_sub(1), 0), Validity::Probation);
        assert_eq!(reception.receive(at(0), highest, 0), valid(highest.into()));
        reception
    }

    fn valid(extended_sequence_number: u64) -> Validity {
        Validity::Valid { extended_sequence_number }
    }

    #[test]
    fn a_source_is_on_probation_until_two_packets_come_in_a_row() {
        let mut reception = Reception::new(1, 8000);
        for sequence_number in [9, 11, 10, 20, 22, 65_535] {
            assert_eq!(reception.receive(at(0), sequence_number, 0), Validity::Probation);
            assert_eq!((reception.expected(), reception.received(), reception.lost()), (0, 0, 0));
        }
        assert_eq!(reception.receive(at(0), 0, 0), valid(0));
        assert_eq!((reception.expected(), reception.received(), reception.refused()), (1, 1, 6));
        let mut first = Reception::new(1, 8000);
        assert_eq!(first.receive(at(0), 1, 0), Validity::Probation, "there was no packet 0 before it");
    }

    #[test]
    fn sequence_numbers_are_extended_over_cycles_and_reordering() {
        let mut reception = believed(65_533);
        let steps = [(65_535, 65_535), (1, 65_537), (65_534, 65_534), (0, 65_536), (3, 65_539), (65_500, 65_500), (3, 65_539)];
        for (sequence_number, extended) in steps {
            assert_eq!(reception.receive(at(0), sequence_number, 0), valid(extended));
        }
        assert_eq!((reception.expected(), reception.received()), (7, 8));
        assert_eq!(reception.lost(), -1, "one came twice, one is from before the beginning, one is missing");
        let block = reception.report(at(0));
        assert_eq!((block.highest_sequence_number, block.cumulative_lost, block.fraction_lost), (65_539, -1, 0));
    }

    #[test]
    fn every_jump_is_told_from_loss_and_reordering() {
        for jump in 0..=u16::MAX {
            let mut reception = believed(40_000);
            let validity = reception.receive(at(0), 40_000u16.wrapping_add(jump), 0);
            // RFC 3550 section A.1: ahead by less than MAX_DROPOUT, or behind by less than MAX_MISORDER.
            let expected = match jump {
                0..3000 => valid(40_000 + u64::from(jump)),
                65_437.. => valid(40_000 - (65_536 - u64::from(jump))),
                _ => Validity::Jump,
            };
            assert_eq!(validity, expected, "{jump}");
        }
    }

    #[test]
    fn two_packets_in_a_row_after_a_jump_are_a_restart() {
        let mut reception = believed(100);
        assert_eq!(reception.receive(at(0), 30_000, 0), Validity::Jump);
        assert_eq!(reception.receive(at(0), 101, 0), valid(101), "it was one stray packet");
        assert_eq!(reception.receive(at(0), 50_000, 0), Validity::Jump);
        assert_eq!(reception.receive(at(0), 50_002, 0), Validity::Jump);
        assert_eq!(reception.receive(at(0), 50_003, 0), valid(50_003));
        assert_eq!((reception.expected(), reception.received(), reception.restarts(), reception.refused()), (1, 1, 1, 4));
        assert_eq!(reception.report(at(0)).cumulative_lost, 0);
    }

    #[test]
    fn after_a_restart_nothing_is_left_of_what_came_before() {
        let mut reception = believed(65_535);
        // Over the wrap, with a loss, and with jitter.
        for (number, timestamp) in [(0, 5000), (2, 160), (3, 9000)] {
            reception.receive(at(0), number, timestamp);
        }
        assert!(reception.jitter() > 0 && reception.lost() == 1);
        assert_eq!(reception.report(at(0)).highest_sequence_number, 0x1_0003);
        assert_eq!(reception.receive(at(0), 50_000, 0x8000_0000), Validity::Jump);
        assert_eq!(reception.receive(at(0), 50_001, 0x8000_00a0), valid(50_001));
        let block = reception.report(at(0));
        let expected = ReportBlock { ssrc: 1, highest_sequence_number: 50_001, ..ReportBlock::default() };
        assert_eq!((block, reception.lost()), (expected, 0), "the first that counts has nothing to differ from");
    }

    #[test]
    fn strays_among_the_packets_of_a_source_are_no_restart() {
        let mut reception = believed(100);
        for number in 101..200 {
            assert_eq!(reception.receive(at(0), number + 30_000, 0), Validity::Jump);
            assert_eq!(reception.receive(at(0), number, 0), valid(number.into()));
        }
        assert_eq!((reception.restarts(), reception.refused(), reception.received()), (0, 100, 100));
    }

    #[test]
    fn the_fraction_lost_is_of_the_interval() {
        let mut reception = believed(0);
        reception.report(at(0));
        let mut receive = |numbers: std::ops::Range<u16>, every| {
            for number in numbers.filter(|number| number % every != 0) {
                reception.receive(at(0), number, 0);
            }
            let block = reception.report(at(0));
            (block.fraction_lost, block.cumulative_lost)
        };
        assert_eq!(receive(1..102, 4), (63, 25), "25 of 101");
        assert_eq!(receive(102..202, 1000), (0, 25));
        assert_eq!(receive(1301..1302, 1000), (255, 1124), "1099 of 1100 are 255.77 of 256");
        let block = reception.report(at(0));
        assert_eq!((block.fraction_lost, block.cumulative_lost), (0, 1124), "nothing was expected since");
        for number in 1..3000 {
            reception.receive(at(0), 1301 + number, 0);
            reception.receive(at(0), 1301 + number, 0);
        }
        let block = reception.report(at(0));
        assert_eq!((block.fraction_lost, block.cumulative_lost), (0, 1124 - 2999), "duplicates are no negative loss");
    }

    #[test]
    fn the_count_of_lost_packets_stays_in_its_24_bits() {
        for (number_of, expected) in [(2999u16, 0x7f_ffff), (0, -0x80_0000)] {
            let mut reception = believed(0);
            let mut sequence_number = 0u16;
            for _ in 0..8_400_000 / u32::from(number_of.max(1)) + 1 {
                sequence_number = sequence_number.wrapping_add(number_of);
                reception.receive(at(0), sequence_number, 0);
            }
            assert_eq!(reception.report(at(0)).cumulative_lost, expected);
            assert!(reception.lost().abs() > 0x7f_ffff, "{}", reception.lost());
        }
    }

    #[test]
    fn jitter_is_what_the_rfc_computes() {
        let mut reception = believed(0);
        let mut expected = 0.0f64;
        let mut last = 0i64;
        for number in 1..2000u16 {
            // Up to 16 ms late, and not in a simple pattern.
            let late_us = i64::from(number) * 7919 % 16_000;
            reception.receive(at(20_000 * u64::from(number) + late_us as u64), number, 160 * u32::from(number));
            let change = (late_us - last).unsigned_abs() as f64 * 8000.0 / 1e6;
            expected += (change - expected) / 16.0;
            last = late_us;
            assert!((f64::from(reception.jitter()) - expected).abs() < 2.0, "{number}: {} {expected}", reception.jitter());
        }
        assert!(reception.jitter() > 20);
    }

    #[test]
    fn years_at_90_khz_do_not_overflow_and_timestamps_wrap() {
        for rate_hz in [8000, 90_000, 192_000, u32::MAX] {
            let mut reception = Reception::new(1, rate_hz);
            // 27 hours and a little, so that at 90 kHz the timestamp wraps twice between packets.
            for number in 0..1000u64 {
                let seconds = number * 2 * DAY_S * 10;
                let now = Instant::from_origin(Duration::from_secs(seconds));
                reception.receive(now, number as u16, (seconds as u128 * u128::from(rate_hz)) as u32);
            }
            assert_eq!((reception.received(), reception.jitter()), (999, 0), "{rate_hz}");
            let mut steady = Reception::new(1, rate_hz);
            for number in 0..1000u64 {
                // Three years on, a packet every 20 ms, exactly.
                let nanos = 1100 * DAY_S as u128 * 1_000_000_000 + u128::from(number) * 20_000_000;
                let timestamp = (nanos * u128::from(rate_hz) / 1_000_000_000) as u32;
                steady.receive(Instant::from_origin(Duration::from_nanos(nanos as u64)), number as u16, timestamp);
            }
            assert!(steady.jitter() <= 1, "{rate_hz}: {}", steady.jitter());
        }
    }

    #[test]
    fn an_absurd_timestamp_is_forgotten() {
        let mut reception = believed(0);
        reception.receive(at(u64::MAX / 2), 1, 0x8000_0000);
        for number in 2..1000u64 {
            let timestamp = 0x8000_0000u32.wrapping_add(160 * number as u32);
            reception.receive(at(u64::MAX / 2 + 20_000 * number), number as u16, timestamp);
        }
        assert!(reception.jitter() < 10, "{}", reception.jitter());
        let mut leaping = Reception::new(1, u32::MAX);
        for number in 0..200u16 {
            leaping.receive(at(0), number, u32::from(number % 2) << 31);
        }
        assert!((0x7fff_0000..=0x8000_0000).contains(&leaping.jitter()), "half of all timestamps: {}", leaping.jitter());
    }

    #[test]
    fn the_delay_since_the_last_sender_report_is_in_65536ths() {
        let mut reception = believed(0);
        assert_eq!((reception.report(at(5)).last_sr, reception.report(at(5)).delay_since_last_sr), (0, 0));
        reception.sender_report(at(1_000_000), 0x0123_4567_89ab_cdef);
        let block = reception.report(at(3_500_000));
        assert_eq!((block.last_sr, block.delay_since_last_sr), (0x4567_89ab, 163_840));
        let days = reception.report(at(30 * DAY_S * 1_000_000));
        assert_eq!(days.delay_since_last_sr, u32::MAX, "18 hours is what 32 bits can say");
    }
}
