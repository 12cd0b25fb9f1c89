//! How long packets are under way: the floor, how far above it they come, and how the floor drifts.

use std::time::Duration;

/// The floor is the least transit of about so many buckets of time.
const FLOOR_BUCKETS: usize = 4;
/// The drift is seen over so many.
const BUCKETS: usize = 64;
const BUCKET_US: i64 = 2_000_000;

/// What is known of the transit of packets: the time of arrival less the media time, from an unknown origin.
#[derive(Clone, Debug)]
pub(super) struct Transit {
    /// The least transit of each bucket that had a packet, by the bucket's number, the newest last.
    minima: [(i64, i64); BUCKETS],
    minima_len: usize,
    floor_us: i64,
    last_us: i64,
    /// Scaled by 16, as in RFC 3550 section A.8.
    jitter_scaled_us: i64,
    /// A high quantile of how far above the floor packets come. It rises fast and falls slowly.
    spread_us: i64,
}

impl Transit {
    /// With its first packet.
    pub(super) fn new(now_us: i64, transit_us: i64) -> Self {
        let mut minima = [(0, 0); BUCKETS];
        minima[0] = (now_us / BUCKET_US, transit_us);
        Transit { minima, minima_len: 1, floor_us: transit_us, last_us: transit_us, jitter_scaled_us: 0, spread_us: 0 }
    }

    /// Takes a packet that came at `now_us`.
    pub(super) fn update(&mut self, now_us: i64, transit_us: i64) {
        let bucket = now_us / BUCKET_US;
        let (last_bucket, last_minimum) = &mut self.minima[self.minima_len - 1];
        if *last_bucket == bucket {
            *last_minimum = transit_us.min(*last_minimum);
        } else {
            if self.minima_len == BUCKETS {
                self.minima.copy_within(1.., 0);
                self.minima_len -= 1;
            }
            self.minima[self.minima_len] = (bucket, transit_us);
            self.minima_len += 1;
        }
        // A sender whose clock is slower raises the floor, so old minima are left out.
        let last = self.minima_len.saturating_sub(FLOOR_BUCKETS)..self.minima_len;
        let recent = self.minima[last].iter().filter(|(number, _)| bucket - number < FLOOR_BUCKETS as i64);
        self.floor_us = recent.map(|(_, minimum)| *minimum).min().unwrap_or(transit_us);

        let change_us = transit_us.abs_diff(self.last_us) as i64;
        self.last_us = transit_us;
        self.jitter_scaled_us += change_us - ((self.jitter_scaled_us + 8) >> 4);
        let above_us = transit_us - self.floor_us;
        self.spread_us +=
            if above_us > self.spread_us { (above_us - self.spread_us) / 2 } else { (above_us - self.spread_us) / 1024 };
    }

    /// The way has become longer: from now on this is the floor. How far above it packets come stays as it was.
    pub(super) fn move_floor(&mut self, now_us: i64, transit_us: i64) {
        self.minima[0] = (now_us / BUCKET_US, transit_us);
        (self.minima_len, self.floor_us, self.last_us) = (1, transit_us, transit_us);
    }

    /// The least transit of late.
    pub(super) fn floor_us(&self) -> i64 {
        self.floor_us
    }

    /// By how much packets should be delayed so that nearly all of them are there in time.
    pub(super) fn wanted_us(&self) -> i64 {
        self.spread_us + (self.jitter_scaled_us >> 4)
    }

    /// The interarrival jitter.
    pub(super) fn jitter(&self) -> Duration {
        // It is a mean of distances.
        Duration::from_micros((self.jitter_scaled_us >> 4) as u64)
    }

    /// How much slower the sender's clock is than ours, in millionths: the slope of the floor over the last two minutes, by least
    /// squares.
    pub(super) fn drift_ppm(&self) -> i32 {
        let minima = &self.minima[..self.minima_len];
        let count = minima.len() as i128;
        let (time_sum, transit_sum) = minima.iter().fold((0i128, 0i128), |(time, transit), (bucket, minimum)| {
            (time + i128::from(*bucket), transit + i128::from(*minimum))
        });
        // In buckets: in microseconds, the squares of what lies ages apart are more than 128 bits.
        let (mut products, mut squares) = (0i128, 0i128);
        for (bucket, minimum) in minima {
            let time = count * i128::from(*bucket) - time_sum;
            products += time * (count * i128::from(*minimum) - transit_sum);
            squares += time * time;
        }
        // Of one moment there is no slope.
        let ppm = (products * 1_000_000).checked_div(squares * i128::from(BUCKET_US)).unwrap_or(0);
        i32::try_from(ppm).unwrap_or(if ppm < 0 { i32::MIN } else { i32::MAX })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_drift_is_that_of_the_last_two_minutes() {
        let mut transit = Transit::new(0, 0);
        let mut transit_us = 0;
        for second in 1..600 {
            transit_us += if second < 300 { 200 } else { -100 };
            transit.update(second * 1_000_000, transit_us);
            match second {
                250 => assert_eq!(transit.drift_ppm(), 200),
                // The newest bucket is not yet full.
                550 => assert!((-100..=-98).contains(&transit.drift_ppm()), "{}", transit.drift_ppm()),
                _ => {}
            }
        }
    }

    #[test]
    fn the_drift_of_ages_is_no_overflow() {
        let end_us = i64::MAX / 2;
        let mut transit = Transit::new(0, 0);
        for step in 1..200 {
            transit.update(end_us / 200 * step, 0);
            assert_eq!(transit.drift_ppm(), 0);
        }
        transit.update(end_us, 1_000_000_000);
        assert_eq!(transit.drift_ppm(), 0);
    }

    #[test]
    fn the_floor_is_the_least_of_late() {
        let mut transit = Transit::new(0, 50);
        transit.update(1_000_000, 10);
        transit.update(6_000_000, 90);
        assert_eq!(transit.floor_us(), 10);
        transit.update(8_000_000, 90);
        assert_eq!(transit.floor_us(), 90);
        transit.update(9_000_000_000, 500);
        assert_eq!(transit.floor_us(), 500, "after a pause, nothing of before it counts");
    }
}
