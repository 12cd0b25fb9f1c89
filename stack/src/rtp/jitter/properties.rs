//! What holds of any arrivals and ticks: fuzz targets, property tests and corpus tests share these bodies.

use super::{CAPACITY_MAX, JitterBuffer, JitterConfig, JitterCounters, Popped, Refusal, Refused};
use sim::time::Instant;
use std::time::Duration;

/// The first four bytes are the configuration, the others arrivals and ticks. Every packet that was inserted is played, dropped,
/// refused or in the buffer, once; packets are played in the order of their numbers, never twice, never much later than the
/// longest delay.
pub fn any_arrivals(bytes: &[u8]) {
    let [rate, delay, capacity, restart, steps @ ..] = bytes else { return };
    let config = JitterConfig {
        rate_hz: [8000, 48_000, 90_000, 1, u32::MAX, 44_100, 0, 16_000][usize::from(rate % 8)],
        samples_per_frame: [160, 960, 3003, 1, 1 << 30, 441, 160, 320][usize::from(rate % 8)],
        delay_min_ms: u32::from(delay & 15) * 10,
        delay_max_ms: u32::from(delay >> 4) * 60,
        capacity_packets: u16::from(*capacity),
        restart_packets: *restart,
    };
    let Ok(buffer) = JitterBuffer::new(config) else {
        let allowed = |value: u32, max: u32| (1..=max).contains(&value);
        let sizes = allowed(config.capacity_packets.into(), CAPACITY_MAX.into()) && allowed(config.restart_packets.into(), 255);
        assert!(!sizes || config.rate_hz == 0 || config.delay_min_ms > config.delay_max_ms);
        return;
    };
    let mut run = Run { buffer, config, now_us: 0, inserted: Vec::new(), sent: 0, last: None, largest_step_us: 0, ticks: 0 };
    let mut steps = steps.iter().copied();
    while let Some(step) = steps.next() {
        run.step(step, &mut steps);
        run.conserve();
    }
    let left = run.buffer.len() as u32;
    assert_eq!(run.buffer.clear(), left);
    run.conserve();
    let counters = run.buffer.counters();
    let count = |fate| run.inserted.iter().filter(|inserted| inserted.fate == Some(fate)).count() as u64;
    assert_eq!(count(Fate::Played), counters.played);
    assert_eq!(count(Fate::Refused), counters.late + counters.duplicate + counters.jump);
}

/// A packet is its index into `Run::inserted`.
struct Packet {
    at_us: u64,
    sequence_number: u16,
    timestamp: u32,
    fate: Option<Fate>,
}

#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Played,
    Refused,
}

struct Run {
    buffer: JitterBuffer<usize>,
    config: JitterConfig,
    now_us: u64,
    inserted: Vec<Packet>,
    /// How many packets the model's sender has sent.
    sent: u32,
    /// The last packet played since the source began.
    last: Option<u16>,
    largest_step_us: u64,
    ticks: u64,
}

impl Run {
    fn step(&mut self, step: u8, more: &mut impl Iterator<Item = u8>) {
        match step {
            // Most packets come in their order, some are lost.
            0..100 => {
                self.sent = self.sent.wrapping_add(1 + u32::from(step >= 95));
                self.insert(self.sent as u16, self.sent.wrapping_mul(self.config.samples_per_frame));
            }
            // Some are late or come again.
            100..130 => {
                let sent = self.sent.wrapping_sub(u32::from(step - 100));
                self.insert(sent as u16, sent.wrapping_mul(self.config.samples_per_frame));
            }
            // The sender pauses, or begins anew: near the wrap of both numbers, too.
            130..134 => self.sent = self.sent.wrapping_add(u32::from(step - 129) << 16),
            134..138 => self.sent = [u32::MAX - 3, 65_530, 0x8000_0000, 1000][usize::from(step - 134)],
            // Anything.
            138..142 => {
                let mut word = || u16::from_be_bytes([more.next().unwrap_or(0), more.next().unwrap_or(0)]);
                let (sequence_number, timestamp) = (word(), u32::from(word()) << 16 | u32::from(word()));
                self.insert(sequence_number, timestamp);
            }
            142 => {
                self.last = None;
                let left = self.buffer.len() as u32;
                assert_eq!(self.buffer.clear(), left);
            }
            143..150 => self.pass(1 << (4 * (u32::from(step) - 140))),
            150..180 => self.pass(u64::from(step - 150) * 1000),
            180.. => {
                self.pass(u64::from(step & 1) * self.frame_us());
                self.pop();
            }
        }
    }

    fn frame_us(&self) -> u64 {
        u64::from(self.config.samples_per_frame) * 1_000_000 / u64::from(self.config.rate_hz)
    }

    fn pass(&mut self, micros: u64) {
        self.now_us += micros;
        self.largest_step_us = self.largest_step_us.max(micros);
    }

    fn now(&self) -> Instant {
        Instant::from_origin(Duration::from_micros(self.now_us))
    }

    fn insert(&mut self, sequence_number: u16, timestamp: u32) {
        let index = self.inserted.len();
        self.inserted.push(Packet { at_us: self.now_us, sequence_number, timestamp, fate: None });
        let before = self.buffer.counters();
        match self.buffer.insert(self.now(), sequence_number, timestamp, index) {
            Ok(inserted) => {
                if let Some(reset) = inserted.reset {
                    assert_eq!(self.buffer.len(), 1, "a source that begins anew has one packet");
                    assert_eq!(self.buffer.counters().reset, before.reset + u64::from(reset));
                    self.last = None;
                }
                assert_eq!(self.buffer.counters().overflow, before.overflow + u64::from(inserted.evicted));
            }
            Err(Refused { reason, packet, .. }) => {
                assert_eq!(packet, index, "what is refused is given back");
                self.inserted[index].fate = Some(Fate::Refused);
                let counters = self.buffer.counters();
                let expected = match reason {
                    Refusal::Late => JitterCounters { late: before.late + 1, ..before },
                    Refusal::Duplicate => JitterCounters { duplicate: before.duplicate + 1, ..before },
                    Refusal::Jump => JitterCounters { jump: before.jump + 1, ..before },
                };
                assert_eq!(counters, JitterCounters { received: before.received + 1, ..expected }, "no state moves");
            }
        }
    }

    fn pop(&mut self) {
        self.ticks += 1;
        let Popped::Packet { packet, sequence_number, timestamp } = self.buffer.pop(self.now()) else { return };
        // What is under way for longer than the floor is remembered is measured against another floor.
        let sample_us = 1_000_000 / u64::from(self.config.rate_hz);
        let older_floor_us = if self.largest_step_us > 1_000_000 { self.config.jump_us() } else { 10 };
        // Two frames for the tick, and what rounding to whole samples adds.
        let slack_us = 2 * (self.frame_us() + sample_us) + older_floor_us;
        let inserted = &mut self.inserted[packet];
        assert!(inserted.fate.is_none(), "no packet is given twice, or after it was refused");
        inserted.fate = Some(Fate::Played);
        assert_eq!((inserted.sequence_number, inserted.timestamp), (sequence_number, timestamp));
        if let Some(last) = self.last {
            assert!((sequence_number.wrapping_sub(last) as i16) > 0, "packets are played in their order");
        }
        self.last = Some(sequence_number);
        let waited_us = self.now_us - inserted.at_us;
        assert!(waited_us <= 1000 * u64::from(self.config.delay_max_ms) + slack_us, "waited {waited_us} us");
    }

    fn conserve(&self) {
        let counters = self.buffer.counters();
        let dropped = counters.overflow + counters.skipped + counters.reset;
        let refused = counters.late + counters.duplicate + counters.jump;
        assert_eq!(counters.received, self.inserted.len() as u64);
        assert_eq!(counters.received, counters.played + refused + dropped + self.buffer.len() as u64);
        assert!(self.buffer.len() <= usize::from(self.config.capacity_packets));
        assert!(counters.played + counters.held + counters.empty <= self.ticks);
        let target = self.buffer.target_delay().as_millis();
        assert!(target <= u128::from(self.config.delay_max_ms));
    }
}
