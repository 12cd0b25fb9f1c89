//! The media clock: calls back once an interval, for as long as it is started.
//!
//! [`ClockCore`] knows when the next tick is due and what to do about late ones. It is sans-IO: it is given the time. Two shells
//! drive it and make the same promises: [`ThreadClock`] on a thread of its own, [`TaskClock`] on a task.

mod state;
mod task;
mod thread;

pub use state::{ClockError, Stopped};
pub use task::TaskClock;
pub use thread::ThreadClock;

use sim::time::Instant;
use std::time::Duration;

/// What a clock does with ticks whose time has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CatchUp {
    /// Leaves out every tick but the newest: for a source that cannot be made up for, such as a live microphone.
    Skip,
    /// Gives late ticks at once, up to `ticks_max` of them after the one that is due, and leaves out older ones: for a sink that
    /// must have every sample, such as a file.
    Burst {
        /// How many late ticks are made up for at the most.
        ticks_max: u32,
    },
}

/// How a clock runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockConfig {
    /// Samples a second.
    pub rate_hz: u32,
    /// Samples from one tick to the next.
    pub samples_per_tick: u32,
    /// What happens to late ticks.
    pub catch_up: CatchUp,
    /// How long stop and destroy wait for a callback to return.
    pub stop_deadline: Duration,
}

impl Default for ClockConfig {
    /// 20 ms of 8 kHz audio; up to five ticks made up for; two seconds for a callback to return.
    fn default() -> Self {
        ClockConfig {
            rate_hz: 8000,
            samples_per_tick: 160,
            catch_up: CatchUp::Burst { ticks_max: 5 },
            stop_deadline: Duration::from_secs(2),
        }
    }
}

/// A configuration that no clock can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// No samples, or none a second.
    #[error("expected a rate and samples per tick above 0, got {samples_per_tick} at {rate_hz} Hz")]
    Zero {
        /// The rate that was given.
        rate_hz: u32,
        /// The samples that were given.
        samples_per_tick: u32,
    },
}

/// One call of the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick {
    /// Which tick this is since the start, from 0; ticks that were left out are counted.
    pub index: u64,
    /// The media time since the start, in samples.
    pub timestamp_samples: u64,
    /// When it was due.
    pub due: Instant,
    /// How late it comes.
    pub lateness: Duration,
    /// How many ticks before it were left out.
    pub skipped: u64,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockPoll {
    /// Nothing before this moment.
    Wait(Instant),
    /// Give this tick, then ask again.
    Tick(Tick),
}

/// What has happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockCounters {
    /// Ticks given.
    pub ticks: u64,
    /// Ticks left out.
    pub skipped: u64,
    /// Ticks that came an interval or more after their time.
    pub late: u64,
    /// The latest tick.
    pub lateness_max: Duration,
    /// How much the lateness changes from tick to tick, smoothed as RFC 3550 section 6.4.1 smooths interarrival jitter.
    pub jitter: Duration,
}

/// When ticks are due. The n-th is due at the start plus n intervals, worked out afresh each time, so nothing drifts.
#[derive(Clone, Debug)]
pub struct ClockCore {
    config: ClockConfig,
    origin: Instant,
    next: u64,
    last_lateness_ns: u64,
    /// RFC 3550 keeps its jitter scaled by 16.
    jitter_scaled_ns: u64,
    counters: ClockCounters,
}

impl ClockCore {
    /// A clock that starts now; its first tick is due an interval later.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn new(config: ClockConfig, now: Instant) -> Result<Self, ConfigError> {
        if config.rate_hz == 0 || config.samples_per_tick == 0 {
            return Err(ConfigError::Zero { rate_hz: config.rate_hz, samples_per_tick: config.samples_per_tick });
        }
        let counters = ClockCounters::default();
        Ok(ClockCore { config, origin: now, next: 0, last_lateness_ns: 0, jitter_scaled_ns: 0, counters })
    }

    /// What is to be done at `now`.
    pub fn poll(&mut self, now: Instant) -> ClockPoll {
        let due = self.due(self.next);
        if now < due {
            return ClockPoll::Wait(due);
        }
        let behind = self.last_due(now).saturating_sub(self.next);
        let made_up = match self.config.catch_up {
            CatchUp::Skip => 0,
            CatchUp::Burst { ticks_max } => u64::from(ticks_max),
        };
        let skipped = behind.saturating_sub(made_up);
        let index = self.next + skipped;
        self.next = index + 1;
        let due = self.due(index);
        let lateness = now.saturating_duration_since(due);
        self.count(lateness, skipped);
        let timestamp_samples = index.saturating_mul(u64::from(self.config.samples_per_tick));
        ClockPoll::Tick(Tick { index, timestamp_samples, due, lateness, skipped })
    }

    /// What has happened so far.
    pub fn counters(&self) -> ClockCounters {
        self.counters
    }

    /// When tick `index` is due. 128 bits: at 90 kHz a 64-bit product of time and rate is full after two days.
    fn due(&self, index: u64) -> Instant {
        let samples = (u128::from(index) + 1) * u128::from(self.config.samples_per_tick);
        let nanos = samples * 1_000_000_000 / u128::from(self.config.rate_hz);
        self.origin + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// The newest tick that is due at `now`. Call it only when one is.
    fn last_due(&self, now: Instant) -> u64 {
        let nanos = now.saturating_duration_since(self.origin).as_nanos();
        let ticks = nanos * u128::from(self.config.rate_hz) / (1_000_000_000 * u128::from(self.config.samples_per_tick));
        let last = u64::try_from(ticks).unwrap_or(u64::MAX).saturating_sub(1);
        // `due` rounds down, so the tick after may be due within that nanosecond.
        if self.due(last + 1) <= now { last + 1 } else { last }
    }

    fn count(&mut self, lateness: Duration, skipped: u64) {
        let lateness_ns = u64::try_from(lateness.as_nanos()).unwrap_or(u64::MAX);
        let change = lateness_ns.abs_diff(self.last_lateness_ns);
        self.last_lateness_ns = lateness_ns;
        self.jitter_scaled_ns = (self.jitter_scaled_ns - ((self.jitter_scaled_ns + 8) >> 4)).saturating_add(change);
        let interval_ns = u64::from(self.config.samples_per_tick) * 1_000_000_000 / u64::from(self.config.rate_hz);
        self.counters.ticks += 1;
        self.counters.skipped += skipped;
        self.counters.late += u64::from(lateness_ns >= interval_ns);
        self.counters.lateness_max = self.counters.lateness_max.max(lateness);
        self.counters.jitter = Duration::from_nanos(self.jitter_scaled_ns >> 4);
    }
}

/// What holds at any pace of time: fuzz targets, property tests and corpus tests share these bodies.
pub mod properties {
    use super::{CatchUp, ClockConfig, ClockCore, ClockPoll};
    use sim::time::Instant;
    use std::time::Duration;

    /// The first bytes are the configuration, the others how far time goes from poll to poll. Ticks come in order, never early, never
    /// twice; what is skipped is counted; what is due is given at once as far as the policy makes up for it.
    pub fn any_pace(bytes: &[u8]) {
        let [rate, samples, policy, steps @ ..] = bytes else { return };
        let config = ClockConfig {
            rate_hz: [1, 8000, 11_025, 44_100, 48_000, 90_000, u32::MAX, 0][usize::from(rate % 8)],
            samples_per_tick: [1, 80, 160, 441, 960, 3003, u32::MAX, 0][usize::from(samples % 8)],
            catch_up: if *policy == 0 { CatchUp::Skip } else { CatchUp::Burst { ticks_max: u32::from(*policy) } },
            ..ClockConfig::default()
        };
        let Ok(mut core) = ClockCore::new(config, Instant::from_origin(Duration::ZERO)) else {
            assert!(config.rate_hz == 0 || config.samples_per_tick == 0);
            return;
        };
        let (mut now, mut next, mut given, mut skipped) = (Instant::from_origin(Duration::ZERO), 0, 0, 0);
        for step in steps {
            now += Duration::from_nanos(1u64.checked_shl(u32::from(*step) % 50).unwrap_or(1));
            // At most what the policy makes up for, the tick that is due, and then a wait.
            for _ in 0..usize::from(*policy) + 2 {
                match core.poll(now) {
                    ClockPoll::Wait(until) => {
                        assert!(until > now, "a wait is for later");
                        break;
                    }
                    ClockPoll::Tick(tick) => {
                        assert_eq!(tick.index, next + tick.skipped, "ticks come in order, and what is left out is counted");
                        assert!(tick.due <= now && now - tick.due == tick.lateness, "no tick is early");
                        assert_eq!(tick.timestamp_samples, tick.index * u64::from(config.samples_per_tick));
                        next = tick.index + 1;
                        given += 1;
                        skipped += tick.skipped;
                    }
                }
            }
        }
        assert_eq!((core.counters().ticks, core.counters().skipped), (given, skipped));
        assert_eq!(given + skipped, next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::pool::Pool;

    #[test]
    fn the_corpus_holds() {
        crate::corpus::each("clock_core", properties::any_pace);
    }

    proptest::proptest! {
        #[test]
        fn any_pace_holds(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            properties::any_pace(&bytes);
        }
    }

    fn at(nanos: u64) -> Instant {
        Instant::from_origin(Duration::from_nanos(nanos))
    }

    fn tick(core: &mut ClockCore, now: Instant) -> Tick {
        match core.poll(now) {
            ClockPoll::Tick(tick) => tick,
            ClockPoll::Wait(until) => panic!("waits until {until:?} at {now:?}"),
        }
    }

    #[test]
    fn nothing_drifts_at_any_rate() {
        for rate_hz in [8000, 11_025, 16_000, 44_100, 48_000, 90_000, 1, u32::MAX] {
            for samples_per_tick in [1, 3, 160, 441, 1024, 3003] {
                let config = ClockConfig { rate_hz, samples_per_tick, ..ClockConfig::default() };
                let mut core = ClockCore::new(config, at(5)).unwrap();
                let mut now = at(5);
                for index in 0..1000 {
                    if let ClockPoll::Wait(until) = core.poll(now) {
                        assert!(until > now);
                        now = until;
                        let tick = tick(&mut core, now);
                        let exact = 1_000_000_000 * u128::from(index + 1u64) * u128::from(samples_per_tick) / u128::from(rate_hz);
                        assert_eq!(
                            (tick.index, tick.skipped, tick.lateness),
                            (index, 0, Duration::ZERO),
                            "{rate_hz} {samples_per_tick}"
                        );
                        assert_eq!(tick.due.since_origin().as_nanos(), 5 + exact);
                        assert_eq!(tick.timestamp_samples, index * u64::from(samples_per_tick));
                    } else {
                        assert!(
                            u64::from(rate_hz) > 1_000_000_000 * u64::from(samples_per_tick),
                            "only where ticks are under a nanosecond apart"
                        );
                        break;
                    }
                }
            }
        }
    }

    #[test]
    fn late_ticks_are_made_up_for_as_far_as_the_policy_says() {
        for ticks_max in 0..8 {
            for behind in 0..12u64 {
                for catch_up in [CatchUp::Skip, CatchUp::Burst { ticks_max }] {
                    let config = ClockConfig { catch_up, ..ClockConfig::default() };
                    let mut core = ClockCore::new(config, at(0)).unwrap();
                    let now = at(20_000_000 * (behind + 1) + 1);
                    let made_up = if catch_up == CatchUp::Skip { 0 } else { u64::from(ticks_max) };
                    let skipped = behind.saturating_sub(made_up);
                    let first = tick(&mut core, now);
                    assert_eq!((first.skipped, first.index), (skipped, skipped), "{catch_up:?} {behind}");
                    for index in skipped + 1..=behind {
                        assert_eq!((tick(&mut core, now).index, first.skipped), (index, skipped));
                    }
                    assert_eq!(core.poll(now), ClockPoll::Wait(at(20_000_000 * (behind + 2))));
                    assert_eq!(core.counters().skipped, skipped);
                    assert_eq!(core.counters().ticks, behind + 1 - skipped);
                    assert_eq!(core.counters().lateness_max, first.lateness);
                }
            }
        }
    }

    #[test]
    fn the_newest_tick_is_the_one_that_is_due_now_at_any_rate_however_many_were_missed() {
        for rate_hz in [8000, 11_025, 44_100, 48_000, 90_000, 7, 999_999_937] {
            for samples_per_tick in [1, 3, 160, 441, 1024, 3003] {
                let config = ClockConfig { rate_hz, samples_per_tick, catch_up: CatchUp::Skip, ..ClockConfig::default() };
                let due = |index: u64| {
                    let exact = 1_000_000_000 * u128::from(index + 1) * u128::from(samples_per_tick) / u128::from(rate_hz);
                    u64::try_from(exact).unwrap()
                };
                for missed in 0..200 {
                    let mut core = ClockCore::new(config, at(0)).unwrap();
                    let tick = tick(&mut core, at(due(missed)));
                    // Where ticks are less than a nanosecond apart a later one may be due as well.
                    assert!(tick.index >= missed && due(tick.index) == due(missed) && due(tick.index + 1) > due(missed));
                    assert_eq!((tick.skipped, tick.lateness), (tick.index, Duration::ZERO), "{rate_hz} {samples_per_tick}");
                    let mut core = ClockCore::new(config, at(0)).unwrap();
                    match core.poll(at(due(missed) - 1)) {
                        ClockPoll::Tick(tick) => assert!(due(tick.index) < due(missed) && due(tick.index + 1) >= due(missed)),
                        ClockPoll::Wait(until) => assert_eq!(until, at(due(0))),
                    }
                }
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn a_tick_counts_as_late_from_an_interval_after_its_time_on(
            rate_hz in 1u32..100_000,
            samples_per_tick in 1u32..5000,
            abouts in proptest::collection::vec(0u64..3, 1..50),
        ) {
            let config = ClockConfig { rate_hz, samples_per_tick, ..ClockConfig::default() };
            let interval_ns = u64::from(samples_per_tick) * 1_000_000_000 / u64::from(rate_hz);
            let mut core = ClockCore::new(config, at(0)).unwrap();
            let mut late = 0;
            for (index, about) in abouts.into_iter().enumerate() {
                // A nanosecond before an interval has passed, just then, or a nanosecond after.
                let lateness_ns = interval_ns + about - 1;
                let due = core.due(index as u64);
                let tick = tick(&mut core, due + Duration::from_nanos(lateness_ns));
                assert_eq!((tick.index, tick.lateness), (index as u64, Duration::from_nanos(lateness_ns)));
                late += u64::from(about > 0);
                assert_eq!(core.counters().late, late);
            }
        }
    }

    #[test]
    fn days_at_90_khz_do_not_overflow() {
        let config = ClockConfig { rate_hz: 90_000, samples_per_tick: 3003, catch_up: CatchUp::Skip, ..ClockConfig::default() };
        let mut core = ClockCore::new(config, at(0)).unwrap();
        for days in [1u64, 3, 30, 3650] {
            let now = at(days * 86_400 * 1_000_000_000);
            let tick = tick(&mut core, now);
            let media = Duration::from_nanos((u128::from(tick.timestamp_samples) * 1_000_000_000 / 90_000) as u64);
            assert!(now.since_origin() - media < Duration::from_millis(70), "{days} days: {media:?}");
        }
    }

    #[test]
    fn steady_lateness_is_no_jitter_and_changing_lateness_is() {
        let jitter = |late: [u64; 2]| {
            let mut core = ClockCore::new(ClockConfig::default(), at(0)).unwrap();
            for index in 0..500u64 {
                tick(&mut core, at(20_000_000 * (index + 1) + late[(index % 2) as usize]));
            }
            core.counters().jitter
        };
        assert!(jitter([3_000_000, 3_000_000]) < Duration::from_micros(1));
        let changing = jitter([0, 4_000_000]);
        assert!(changing > Duration::from_micros(3900) && changing <= Duration::from_millis(4), "{changing:?}");
    }

    #[test]
    fn a_clock_shows_how_it_is_set_up_and_whether_it_runs() {
        let config = ClockConfig { rate_hz: 11_025, ..ClockConfig::default() };
        let clock = ThreadClock::new(config, Pool::new("clock", 1024), |_, _| {}).unwrap();
        assert_eq!(format!("{clock:?}"), format!("ThreadClock {{ config: {config:?}, running: false, destroyed: false, .. }}"));
        clock.destroy().unwrap();
        assert!(format!("{clock:?}").ends_with("running: false, destroyed: true, .. }"));
        let clock = TaskClock::new(config, Pool::new("clock", 1024), |_, _| {}).unwrap();
        assert_eq!(format!("{clock:?}"), format!("TaskClock {{ config: {config:?}, running: false, destroyed: false, .. }}"));
    }

    #[test]
    fn a_clock_without_samples_is_an_error() {
        let config = ClockConfig { rate_hz: 0, ..ClockConfig::default() };
        assert_eq!(ClockCore::new(config, at(0)).unwrap_err(), ConfigError::Zero { rate_hz: 0, samples_per_tick: 160 });
    }
}
