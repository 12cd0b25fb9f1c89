//! When RTCP is sent: the timer rules of RFC 3550 section 6.3, for a session of two, and early feedback as RFC 4585 section 3.5.2 has it.

use super::RtcpConfig;
use super::draws::Draws;
use sim::time::Instant;
use std::time::Duration;

/// RTCP's part of the session's bandwidth, and e - 3/2, by which reconsideration makes intervals longer (RFC 3550 section 6.3.1).
const RTCP_PART: u32 = 20;
const COMPENSATION_PER_MILLE: u64 = 1_218;
/// UDP and IPv4, which count as bandwidth.
const UDP_IP_LEN: u32 = 28;

/// Says when the next report is due.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    config: RtcpConfig,
    draws: Draws,
    last: Instant,
    next: Instant,
    is_initial: bool,
    /// Scaled by 16, in bytes.
    mean_len_scaled: u64,
    members_before: u32,
    /// Whether feedback may go before its time: once between two reports.
    may_be_early: bool,
}

impl Schedule {
    pub(super) fn new(config: RtcpConfig, now: Instant, len: usize, draws: Draws) -> Self {
        let mean_len_scaled = 16 * (len as u64 + u64::from(UDP_IP_LEN));
        let mut schedule = Schedule {
            config,
            draws,
            last: now,
            next: now,
            is_initial: true,
            mean_len_scaled,
            members_before: 1,
            may_be_early: true,
        };
        schedule.next = now + schedule.interval(1);
        schedule
    }

    /// When [`Schedule::expires`] is to be asked.
    pub(super) fn next_due(&self) -> Instant {
        self.next
    }

    /// Whether a report is to be sent now; if not, it has been put off (timer reconsideration, section 6.3.6).
    pub(super) fn expires(&mut self, now: Instant, members: u32) -> bool {
        if now < self.next {
            return false;
        }
        let at = self.last + self.interval(members);
        self.members_before = members;
        if at > now {
            self.next = at;
            return false;
        }
        true
    }

    /// A report of so many bytes was sent.
    pub(super) fn sent(&mut self, now: Instant, len: usize, members: u32) {
        self.heard(len);
        (self.last, self.is_initial, self.may_be_early) = (now, false, true);
        self.next = now + self.interval(members);
    }

    /// A compound packet of so many bytes came: it counts for the mean (section 6.3.3).
    pub(super) fn heard(&mut self, len: usize) {
        let len = len as u64 + u64::from(UDP_IP_LEN);
        self.mean_len_scaled = self.mean_len_scaled - self.mean_len_scaled / 16 + len;
    }

    /// Somebody has left: what is due comes sooner (reverse reconsideration, section 6.3.4).
    pub(super) fn left(&mut self, now: Instant, members: u32) {
        let before = self.members_before.max(1);
        if members < before {
            let shrink = |duration: Duration| duration * members / before;
            self.next = now + shrink(self.next.saturating_duration_since(now));
            self.members_before = members;
        }
    }

    /// Whether feedback may be sent now. After that the next report is put off by as much as it came early (RFC 4585 section 3.5.2).
    pub(super) fn take_early(&mut self, now: Instant) -> bool {
        if !std::mem::take(&mut self.may_be_early) {
            return false;
        }
        self.next = self.next.max(now + self.next.saturating_duration_since(self.last));
        true
    }

    /// The interval of section 6.3.1, of which 0.5 to 1.5 times is taken.
    fn interval(&mut self, members: u32) -> Duration {
        let bytes_per_s = u64::from(self.config.session_bits_per_s / 8 / RTCP_PART).max(1);
        // With two members or fewer no part is set aside for senders.
        let by_bandwidth_us = u64::from(members.max(1)) * self.mean_len_scaled / 16 * 1_000_000 / bytes_per_s;
        let least = if self.is_initial { self.config.interval_min / 2 } else { self.config.interval_min };
        let least_us = u64::try_from(least.as_micros()).unwrap_or(u64::MAX);
        let mean_us = by_bandwidth_us.max(least_us);
        let drawn_us = mean_us / 2 + mean_us * self.draws.below(1_000_001) / 1_000_000;
        Duration::from_micros(drawn_us * 1_000 / COMPENSATION_PER_MILLE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_origin(Duration::from_millis(1_000_000 + ms))
    }

    #[test]
    fn the_first_report_comes_after_half_of_the_least_interval_and_later_ones_after_the_whole() {
        // Between 0.5 and 1.5 times, divided by e - 3/2.
        let bounds = |ms: u64| (ms * 500 / 1_218, ms * 1_500 / 1_218 + 1);
        for seed in 0..500 {
            let mut schedule = Schedule::new(RtcpConfig::default(), at(0), 60, Draws::new(seed));
            let first = schedule.next_due().saturating_duration_since(at(0)).as_millis() as u64;
            let (least, most) = bounds(2_500);
            assert!((least..=most).contains(&first), "{first}");
            let sent = schedule.next_due();
            schedule.sent(sent, 60, 2);
            let second = schedule.next_due().saturating_duration_since(sent).as_millis() as u64;
            let (least, most) = bounds(5_000);
            assert!((least..=most).contains(&second), "{second}");
        }
    }

    #[test]
    fn little_bandwidth_makes_reports_rare() {
        let config = RtcpConfig { session_bits_per_s: 1_600, ..RtcpConfig::default() };
        for seed in 0..100 {
            // Ten bytes a second, 100 bytes with the headers, two members: 20 s in the mean.
            let mut schedule = Schedule::new(config, at(0), 72, Draws::new(seed));
            schedule.sent(at(0), 72, 2);
            let wait = schedule.next_due().saturating_duration_since(at(0)).as_millis() as u64;
            assert!((20_000 * 500 / 1_218..=20_000 * 1_500 / 1_218 + 1).contains(&wait), "{wait}");
        }
    }

    #[test]
    fn a_report_that_is_reconsidered_is_put_off_or_sent_and_never_before_its_interval() {
        let (mut put_off, mut sent) = (0, 0);
        for seed in 0..500 {
            let mut schedule = Schedule::new(RtcpConfig::default(), at(0), 60, Draws::new(seed));
            let due = schedule.next_due();
            assert!(!schedule.expires(at(0), 1));
            match schedule.expires(due, 2) {
                true => sent += 1,
                false => {
                    assert!(schedule.next_due() > due);
                    put_off += 1;
                }
            }
        }
        assert!(put_off > 50 && sent > 50, "{put_off} put off, {sent} sent");
    }

    #[test]
    fn feedback_is_early_once_between_two_reports() {
        let mut schedule = Schedule::new(RtcpConfig::default(), at(0), 60, Draws::new(1));
        let due = schedule.next_due();
        assert!(schedule.take_early(at(10)));
        assert!(schedule.next_due() > due, "the report after early feedback is put off");
        assert!(!schedule.take_early(at(20)));
        schedule.sent(schedule.next_due(), 60, 2);
        assert!(schedule.take_early(schedule.last));
    }

    #[test]
    fn who_leaves_brings_the_next_report_nearer() {
        let mut schedule = Schedule::new(RtcpConfig::default(), at(0), 60, Draws::new(1));
        schedule.sent(at(0), 60, 2);
        schedule.members_before = 2;
        let wait = schedule.next_due().saturating_duration_since(at(0));
        schedule.left(at(0), 1);
        assert_eq!(schedule.next_due(), at(0) + wait / 2);
    }
}
