//! How a jitter buffer works, and what that means in media time.

use super::delay::Transit;

/// How a jitter buffer works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JitterConfig {
    /// The rate of the timestamps.
    pub rate_hz: u32,
    /// The timestamps from one tick to the next: a packet holds one frame.
    pub samples_per_frame: u32,
    /// What a packet is delayed by at the least, if there is room for so many.
    pub delay_min_ms: u32,
    /// What a packet is delayed by at the most, up to [`DELAY_MAX_MS`]; frames are left out to stay below.
    pub delay_max_ms: u32,
    /// For how many consecutive packets there is room, up to [`CAPACITY_MAX`]. The oldest make room for newer ones, and packets are
    /// delayed by three frames less than there is room for, whatever the limits.
    pub capacity_packets: u16,
    /// How many packets in a row show that a source has begun anew, at another sequence number or timestamp, or that the way through
    /// the network has become longer than the longest delay makes up for.
    pub restart_packets: u8,
}

/// The longest delay that can be asked for.
pub const DELAY_MAX_MS: u32 = 4000;
/// The largest capacity that can be asked for, in packets.
pub const CAPACITY_MAX: u16 = 1024;

impl Default for JitterConfig {
    /// 20 ms of 8 kHz audio, delayed by 20 to 200 ms.
    fn default() -> Self {
        JitterConfig {
            rate_hz: 8000,
            samples_per_frame: 160,
            delay_min_ms: 20,
            delay_max_ms: 200,
            capacity_packets: 64,
            restart_packets: 3,
        }
    }
}

/// A configuration that no jitter buffer can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: expected {expected_min} to {expected_max}, got {got}")]
pub struct JitterConfigError {
    /// Which field.
    pub field: &'static str,
    /// The smallest value that is allowed.
    pub expected_min: u32,
    /// The largest value that is allowed.
    pub expected_max: u32,
    /// The value.
    pub got: u32,
}

impl JitterConfig {
    /// That a jitter buffer can have it.
    pub(super) fn check(&self) -> Result<(), JitterConfigError> {
        let fields = [
            ("rate_hz", 1, u32::MAX, self.rate_hz),
            // A frame is a second at the most.
            ("samples_per_frame", 1, self.rate_hz, self.samples_per_frame),
            ("delay_max_ms", 0, DELAY_MAX_MS, self.delay_max_ms),
            ("delay_min_ms", 0, self.delay_max_ms, self.delay_min_ms),
            ("capacity_packets", 1, CAPACITY_MAX.into(), self.capacity_packets.into()),
            ("restart_packets", 1, u8::MAX.into(), self.restart_packets.into()),
        ];
        for (field, expected_min, expected_max, got) in fields {
            if !(expected_min..=expected_max).contains(&got) {
                return Err(JitterConfigError { field, expected_min, expected_max, got });
            }
        }
        Ok(())
    }

    /// 128 bits: at 90 kHz a 64-bit product of microseconds and rate is full after years, and of nanoseconds after days.
    pub(super) fn media_us(&self, media: i64) -> i64 {
        (i128::from(media) * 1_000_000).div_euclid(self.rate_hz.into()) as i64
    }

    pub(super) fn media(&self, micros: i64) -> i64 {
        let media = (i128::from(micros) * i128::from(self.rate_hz)).div_euclid(1_000_000);
        // A sixteenth, so that four times the distance of two, and a few frames more, are no overflow.
        media.clamp(i128::from(i64::MIN / 16), i128::from(i64::MAX / 16)) as i64
    }

    pub(super) fn target_us(&self, transit: &Transit) -> i64 {
        let wanted_us = transit.wanted_us().clamp(1000 * i64::from(self.delay_min_ms), 1000 * i64::from(self.delay_max_ms));
        // What is delayed by more than there is room for is dropped before it is due. Three frames are for the packet that comes
        // and for how far the cursor may be behind.
        let frames = (i64::from(self.capacity_packets) - 3).max(0);
        wanted_us.min(self.media_us(frames * i64::from(self.samples_per_frame)))
    }

    /// A packet that comes so far above the floor may be too old for the longest delay at its first tick.
    pub(super) fn slow_us(&self) -> i64 {
        1000 * i64::from(self.delay_max_ms) + self.media_us(self.samples_per_frame.into())
    }

    /// A packet this much faster or slower than the fastest of late is from another time line.
    pub(super) fn jump_us(&self) -> u64 {
        1_000_000 + 2000 * u64::from(self.delay_max_ms)
    }
}
