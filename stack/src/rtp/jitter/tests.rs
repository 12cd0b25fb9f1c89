use super::*;

#[test]
fn the_corpus_holds() {
    crate::corpus::each("jitter", properties::any_arrivals);
}

proptest::proptest! {
    #[test]
    fn any_arrivals_hold(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..600)) {
        properties::any_arrivals(&bytes);
    }
}

const FRAME_US: u64 = 20_000;

fn at(micros: u64) -> Instant {
    Instant::from_origin(Duration::from_micros(micros))
}

fn buffer(config: JitterConfig) -> JitterBuffer<u16> {
    JitterBuffer::new(config).unwrap()
}

fn insert(buffer: &mut JitterBuffer<u16>, now_us: u64, number: u32) -> Result<Inserted, Refused<u16>> {
    buffer.insert(at(now_us), number as u16, number.wrapping_mul(160), number as u16)
}

fn played(popped: Popped<u16>) -> u16 {
    match popped {
        Popped::Packet { packet, sequence_number, timestamp } => {
            assert_eq!((sequence_number, timestamp as u16), (packet, packet.wrapping_mul(160)));
            packet
        }
        other => panic!("{other:?}"),
    }
}

fn reason(result: Result<Inserted, Refused<u16>>) -> Refusal {
    result.unwrap_err().reason
}

/// A call: frames sent every 20 ms of the sender's clock, each with its own delay; a tick every 20 ms of ours.
struct Call {
    buffer: JitterBuffer<u16>,
    frames: u64,
    drift_ppm: i64,
    first: u32,
    /// How long a frame is under way; none if it is lost.
    delay_us: fn(u64) -> Option<u64>,
}

/// What the listener had.
#[derive(Debug, Default)]
struct Heard {
    played: u64,
    missing: u64,
    held: u64,
    empty: u64,
    /// The longest and the shortest time in the buffer, after the first minute.
    longest_us: u64,
    shortest_us: u64,
    len_max: usize,
}

impl Call {
    fn new(frames: u64, delay_us: fn(u64) -> Option<u64>) -> Self {
        Call { buffer: buffer(JitterConfig::default()), frames, drift_ppm: 0, first: 0, delay_us }
    }

    fn run(&mut self) -> Heard {
        let mut heard = Heard { shortest_us: u64::MAX, ..Heard::default() };
        // What is under way: arrival, number.
        let mut way: Vec<(u64, u64)> = Vec::new();
        let mut arrived = std::collections::BTreeMap::new();
        let mut sent = 0;
        for tick in 0..self.frames {
            let now_us = 1_000_000 + 7_000 + tick * FRAME_US;
            loop {
                let sent_us =
                    1_000_000 + (i128::from(sent * FRAME_US) * (1_000_000 + i128::from(self.drift_ppm)) / 1_000_000) as u64;
                if sent_us > now_us {
                    break;
                }
                way.extend((self.delay_us)(sent).map(|delay_us| (sent_us + delay_us, sent)));
                sent += 1;
            }
            way.sort_unstable();
            let due = way.partition_point(|(arrival_us, _)| *arrival_us <= now_us);
            for (arrival_us, number) in way.drain(..due) {
                let number = self.first.wrapping_add(number as u32);
                if insert(&mut self.buffer, arrival_us, number).is_ok() {
                    arrived.insert(number as u16, arrival_us);
                }
            }
            heard.len_max = heard.len_max.max(self.buffer.len());
            match self.buffer.pop(at(now_us)) {
                Popped::Packet { packet, .. } => {
                    heard.played += 1;
                    let waited_us = now_us - arrived[&packet];
                    if tick > 3000 {
                        heard.longest_us = heard.longest_us.max(waited_us);
                        heard.shortest_us = heard.shortest_us.min(waited_us);
                    }
                }
                Popped::Missing => heard.missing += 1,
                Popped::Held => heard.held += 1,
                Popped::Empty => heard.empty += 1,
                Popped::Silence => panic!("the sender does not pause"),
                Popped::Buffering => assert!(tick < 20, "{tick}"),
            }
        }
        let counters = self.buffer.counters();
        let fates = counters.played + counters.late + counters.duplicate + counters.jump;
        let dropped = counters.overflow + counters.skipped + counters.reset;
        assert_eq!(counters.received, fates + dropped + self.buffer.len() as u64);
        heard
    }
}

/// Up to 40 ms, most far less: a number's digits, stirred.
fn stirred(number: u64) -> u64 {
    let bits = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    bits % 200 * (bits / 1000 % 200)
}

#[test]
fn a_steady_stream_is_played_without_a_gap() {
    let mut call = Call::new(10_000, |_| Some(30_000));
    let heard = call.run();
    assert_eq!((heard.missing, heard.held, heard.empty), (0, 0, 0), "{heard:?}");
    assert!(heard.shortest_us == heard.longest_us && (20_000..=40_000).contains(&heard.longest_us), "{heard:?}");
    assert_eq!(call.buffer.target_delay(), Duration::from_millis(20));
    assert_eq!((call.buffer.jitter(), call.buffer.drift_ppm()), (Duration::ZERO, 0));
}

#[test]
fn numbers_wrap_unnoticed() {
    // Sequence numbers wrap after 36 packets, timestamps (and sequence numbers) after 46.
    for first in [65_500, (1u64 << 32).div_ceil(160) as u32 - 46] {
        let mut call = Call::new(2000, |_| Some(0));
        call.first = first;
        let heard = call.run();
        assert_eq!((heard.missing, heard.held, heard.empty, heard.played), (0, 0, 0, 1999), "{heard:?}");
    }
    let mut call = Call::new(140_000, |_| Some(0));
    let heard = call.run();
    assert_eq!((heard.missing, heard.held, heard.empty), (0, 0, 0), "{heard:?}");
}

#[test]
fn the_delay_grows_with_the_jitter_and_shrinks_after_it() {
    let mut call = Call::new(30_000, |number| Some(if number < 15_000 { stirred(number) } else { 0 }));
    call.frames = 15_000;
    let heard = call.run();
    let target = call.buffer.target_delay();
    assert!(target > Duration::from_millis(25) && target < Duration::from_millis(50), "{target:?}");
    assert!(heard.missing + heard.empty < 200, "under 1.4 % come too late: {heard:?}");
    let mut call = Call::new(30_000, call.delay_us);
    let heard = call.run();
    assert!(call.buffer.target_delay() <= Duration::from_millis(21), "{:?}", call.buffer.target_delay());
    assert!(heard.missing + heard.empty < 200, "{heard:?}");
    let counters = call.buffer.counters();
    assert!(counters.skipped >= 1, "{counters:?}");
}

#[test]
fn loss_is_concealed_in_its_place() {
    let mut call = Call::new(10_000, |number| (number % 10 != 3).then_some(0));
    let heard = call.run();
    assert_eq!((heard.missing, heard.held, heard.empty), (1000, 0, 0), "{heard:?}");
    assert_eq!(call.buffer.counters().lost, 1000);
}

#[test]
fn clocks_that_differ_for_hours_neither_run_dry_nor_pile_up() {
    // Six hours.
    let frames = 6 * 3600 * 50;
    for (drift_ppm, jitter) in [(200, false), (-200, false), (200, true), (-200, true), (50, false)] {
        let mut call = Call::new(frames, if jitter { |number| Some(stirred(number)) } else { |_| Some(10_000) });
        call.drift_ppm = drift_ppm;
        let heard = call.run();
        let counters = call.buffer.counters();
        let slips = frames as i64 * drift_ppm / 1_000_000;
        let net = heard.held as i64 - counters.skipped as i64;
        if jitter {
            assert!(heard.empty + heard.missing < frames / 50, "{drift_ppm}: {heard:?}");
            assert!(heard.longest_us < 110_000 && heard.len_max <= 7, "{drift_ppm}: {heard:?}");
        } else {
            assert_eq!((heard.empty, heard.missing), (0, 0), "{drift_ppm}: {heard:?}");
            assert!((net - slips).abs() <= 2, "{drift_ppm}: {net} of {slips} frames, {counters:?}");
            assert!(heard.longest_us < 60_000 && heard.len_max <= 4, "{drift_ppm}: {heard:?}");
            assert!((i64::from(call.buffer.drift_ppm()) - drift_ppm).abs() <= 2, "{}", call.buffer.drift_ppm());
        }
        assert_eq!((counters.restarts, counters.overflow), (0, 0));
    }
}

#[test]
fn packets_are_put_in_order_and_each_is_played_once() {
    let mut buffer = buffer(JitterConfig { delay_min_ms: 60, ..JitterConfig::default() });
    for number in [2, 1, 4, 3, 4, 0] {
        let result = insert(&mut buffer, 1_000_000 + u64::from(number) * FRAME_US, number);
        assert_eq!(result.is_ok() as u64, 1 - buffer.counters().duplicate, "{number}");
        buffer.counters.duplicate = 0;
    }
    for number in 0..5 {
        assert_eq!(played(buffer.pop(at(1_060_000 + number * FRAME_US))), number as u16);
    }
    assert_eq!(buffer.pop(at(1_160_000)), Popped::Empty);
    assert_eq!(reason(insert(&mut buffer, 1_160_000, 4)), Refusal::Late);
    assert_eq!(buffer.counters().late, 1);
}

#[test]
fn nothing_is_played_before_its_delay_has_passed() {
    let mut buffer = buffer(JitterConfig { delay_min_ms: 100, ..JitterConfig::default() });
    assert_eq!(buffer.pop(at(0)), Popped::Buffering);
    insert(&mut buffer, 1_000_000, 9).unwrap();
    assert_eq!(buffer.pop(at(1_099_000)), Popped::Buffering);
    assert_eq!(played(buffer.pop(at(1_100_000))), 9);
}

#[test]
fn a_missing_packet_that_comes_after_its_turn_is_late() {
    let mut buffer = buffer(JitterConfig::default());
    for number in [0, 2] {
        insert(&mut buffer, 1_000_000 + u64::from(number) * FRAME_US, number).unwrap();
    }
    assert_eq!(played(buffer.pop(at(1_040_000))), 0);
    assert_eq!(buffer.pop(at(1_060_000)), Popped::Missing);
    assert_eq!(buffer.counters().lost, 1);
    let refused = insert(&mut buffer, 1_061_000, 1).unwrap_err();
    assert_eq!(refused, Refused { reason: Refusal::Late, sequence_number: 1, packet: 1 });
    assert_eq!(played(buffer.pop(at(1_080_000))), 2);
    assert_eq!(buffer.counters().lost, 1, "it is lost once");
}

#[test]
fn what_comes_after_the_buffer_ran_dry_is_still_played() {
    let mut buffer = buffer(JitterConfig::default());
    insert(&mut buffer, 1_000_000, 0).unwrap();
    assert_eq!(played(buffer.pop(at(1_020_000))), 0);
    assert_eq!(buffer.pop(at(1_040_000)), Popped::Empty);
    assert_eq!(buffer.pop(at(1_060_000)), Popped::Empty);
    // Due at 1,040,000.
    insert(&mut buffer, 1_061_000, 1).unwrap();
    assert_eq!(played(buffer.pop(at(1_080_000))), 1);
}

#[test]
fn what_comes_late_is_not_held_on_top_of_that() {
    let mut buffer = buffer(JitterConfig::default());
    let mut tick = 1;
    for number in 0..12 {
        insert(&mut buffer, 1_000_000 + u64::from(number) * FRAME_US, number).unwrap();
        assert_eq!(played(buffer.pop(at(1_000_000 + tick * FRAME_US))), number as u16);
        tick += 1;
    }
    for _ in 0..4 {
        assert_eq!(buffer.pop(at(1_000_000 + tick * FRAME_US)), Popped::Empty);
        tick += 1;
    }
    // Under way for 100 ms, so the target grows; this packet has waited long enough.
    insert(&mut buffer, 1_340_000, 12).unwrap();
    assert!(buffer.target_delay() > Duration::from_millis(50));
    assert_eq!(played(buffer.pop(at(1_000_000 + tick * FRAME_US))), 12);
}

#[test]
fn timestamps_that_shift_by_less_than_half_a_frame_are_no_pause() {
    let mut buffer = buffer(JitterConfig::default());
    for (number, timestamp) in [(0, 0), (1, 230), (2, 460), (3, 620)] {
        buffer.insert(at(1_000_000 + u64::from(timestamp) * 125), number, timestamp, number).unwrap();
    }
    for number in 0..4 {
        let popped = buffer.pop(at(1_020_000 + u64::from(number) * FRAME_US));
        assert!(matches!(popped, Popped::Packet { packet, .. } if packet == number), "{popped:?}");
    }
}

#[test]
fn a_pause_is_silence_and_not_loss() {
    let mut buffer = buffer(JitterConfig::default());
    insert(&mut buffer, 1_000_000, 0).unwrap();
    assert_eq!(played(buffer.pop(at(1_020_000))), 0);
    // The next packet in number, three frames later in time.
    assert!(buffer.insert(at(1_041_000), 1, 3 * 160, 1).is_ok());
    let mut heard = Vec::new();
    for tick in 2..6 {
        heard.push(buffer.pop(at(1_000_000 + tick * FRAME_US)));
    }
    let packet = Popped::Packet { packet: 1, sequence_number: 1, timestamp: 480 };
    assert!(heard.contains(&packet) && !heard.contains(&Popped::Missing), "{heard:?}");
    assert_eq!(heard[0], Popped::Silence);
    assert_eq!(buffer.counters().lost, 0);
}

#[test]
fn the_oldest_make_room() {
    let mut buffer = buffer(JitterConfig { capacity_packets: 4, ..JitterConfig::default() });
    for number in 0..4 {
        assert_eq!(insert(&mut buffer, 1_000_000, number), Ok(Inserted::default()));
    }
    assert_eq!(insert(&mut buffer, 1_000_000, 6), Ok(Inserted { evicted: 3, reset: None }));
    assert_eq!((buffer.len(), buffer.counters().overflow), (2, 3));
    assert_eq!(reason(insert(&mut buffer, 1_000_000, 6)), Refusal::Duplicate);
    assert_eq!(reason(insert(&mut buffer, 1_000_000, 2)), Refusal::Late);
    assert_eq!(insert(&mut buffer, 1_000_000, 20), Ok(Inserted { evicted: 2, reset: None }));
    assert_eq!((buffer.len(), buffer.counters().overflow, buffer.counters().lost), (1, 5, 12));
}

#[test]
fn a_packet_that_waits_too_long_is_left_out() {
    let mut buffer = buffer(JitterConfig { delay_max_ms: 100, ..JitterConfig::default() });
    for number in 0..20 {
        insert(&mut buffer, 1_000_000 + u64::from(number) * FRAME_US, number).unwrap();
    }
    // Nobody asked for 380 ms.
    let first = played(buffer.pop(at(1_380_000)));
    assert!((12..=14).contains(&first), "{first}");
    assert_eq!(buffer.counters().skipped, u64::from(first));
}

#[test]
fn a_source_that_begins_anew_is_believed_after_three_packets() {
    let mut buffer = buffer(JitterConfig::default());
    for number in 0..5 {
        insert(&mut buffer, 1_000_000 + u64::from(number) * FRAME_US, number).unwrap();
    }
    // One that strays, and a source that goes on.
    assert_eq!(reason(insert(&mut buffer, 1_100_000, 30_000)), Refusal::Jump);
    insert(&mut buffer, 1_100_000, 5).unwrap();
    assert_eq!(reason(insert(&mut buffer, 1_100_000, 30_001)), Refusal::Jump);
    assert_eq!(reason(insert(&mut buffer, 1_100_000, 40_000)), Refusal::Jump, "not in a row");
    assert_eq!(reason(insert(&mut buffer, 1_120_000, 40_001)), Refusal::Jump);
    assert_eq!(insert(&mut buffer, 1_140_000, 40_002), Ok(Inserted { evicted: 0, reset: Some(6) }));
    assert_eq!(played(buffer.pop(at(1_160_000))), 40_002);
    let counters = buffer.counters();
    assert_eq!((counters.jump, counters.reset, counters.restarts, counters.lost), (4, 6, 1, 0));
}

#[test]
fn strays_among_the_packets_of_a_source_are_no_beginning() {
    let mut buffer = buffer(JitterConfig::default());
    for number in 0..5 {
        insert(&mut buffer, 1_000_000 + u64::from(number) * FRAME_US, number).unwrap();
        assert_eq!(reason(insert(&mut buffer, 1_000_000, 30_000 + number)), Refusal::Jump);
    }
}

#[test]
fn other_timestamps_are_another_source_too() {
    let mut buffer = buffer(JitterConfig::default());
    insert(&mut buffer, 1_000_000, 0).unwrap();
    // The limit is a second and twice the longest delay, 1.4 s: 11,200 in time.
    assert!(buffer.insert(at(1_000_000), 1, 11_200, 1).is_ok());
    buffer.clear();
    insert(&mut buffer, 1_000_000, 0).unwrap();
    assert_eq!(reason(buffer.insert(at(1_000_000), 1, 11_240, 1)), Refusal::Jump);
    assert_eq!(reason(buffer.insert(at(1_000_000), 2, 0x8000_0000, 1)), Refusal::Jump);
    assert_eq!(reason(buffer.insert(at(1_020_000), 3, 0x8000_00a0, 1)), Refusal::Jump);
    assert_eq!(buffer.insert(at(1_040_000), 4, 0x8000_0140, 1).unwrap().reset, Some(1));
}

#[test]
fn slow_packets_that_are_not_in_a_row_are_no_longer_way() {
    let mut buffer = buffer(JitterConfig::default());
    insert(&mut buffer, 1_000_000, 0).unwrap();
    let floor = |buffer: &JitterBuffer<u16>| buffer.stream.as_ref().unwrap().transit.floor_us();
    // 400 ms later than the first, one after the other, with one in time among them.
    for (number, late_ms) in [(1, 400), (2, 400), (22, 0), (23, 400), (24, 400)] {
        insert(&mut buffer, 1_000_000 + u64::from(number) * FRAME_US + late_ms * 1000, number).unwrap();
        assert_eq!((floor(&buffer), buffer.counters().skipped), (1_000_000, 0), "{number}");
    }
    insert(&mut buffer, 1_000_000 + 25 * FRAME_US + 390_000, 25).unwrap();
    assert_eq!((floor(&buffer), buffer.len(), buffer.counters().skipped), (1_390_000, 1, 6));
}

#[test]
fn a_configuration_without_sense_is_an_error() {
    let refused = |config: JitterConfig| JitterBuffer::<()>::new(config).unwrap_err();
    let error = |field, expected_min, expected_max, got| JitterConfigError { field, expected_min, expected_max, got };
    let good = JitterConfig::default();
    assert_eq!(refused(JitterConfig { rate_hz: 0, ..good }), error("rate_hz", 1, u32::MAX, 0));
    assert_eq!(refused(JitterConfig { samples_per_frame: 0, ..good }), error("samples_per_frame", 1, 8000, 0));
    assert_eq!(refused(JitterConfig { delay_max_ms: 4001, ..good }), error("delay_max_ms", 0, 4000, 4001));
    assert_eq!(refused(JitterConfig { delay_min_ms: 201, ..good }), error("delay_min_ms", 0, 200, 201));
    assert_eq!(refused(JitterConfig { capacity_packets: 1025, ..good }), error("capacity_packets", 1, 1024, 1025));
    assert_eq!(refused(JitterConfig { restart_packets: 0, ..good }), error("restart_packets", 1, 255, 0));
}

#[test]
fn the_ends_of_time_are_no_overflow() {
    for rate_hz in [1, 90_000, u32::MAX] {
        let config = JitterConfig { rate_hz, samples_per_frame: 1, ..JitterConfig::default() };
        let mut buffer = buffer(config);
        let end = Instant::from_origin(Duration::MAX);
        for now in [at(0), end, end, end, end, at(0), at(0), at(0), end] {
            for timestamp in [0, u32::MAX, 0x8000_0000] {
                let sequence_number = buffer.counters().received as u16;
                let _ = buffer.insert(now, sequence_number, timestamp, 0);
                buffer.pop(now);
            }
        }
        assert_eq!(buffer.counters().received, 27);
    }
}

#[test]
fn time_that_goes_back_by_ages_is_no_overflow() {
    for rate_hz in [90_000, 1_000_000, u32::MAX] {
        let mut buffer = buffer(JitterConfig { rate_hz, samples_per_frame: 1, delay_min_ms: 0, ..JitterConfig::default() });
        let end = Instant::from_origin(Duration::MAX);
        buffer.insert(end, 0, 0, 0).unwrap();
        assert!(matches!(buffer.pop(end), Popped::Packet { packet: 0, .. }));
        buffer.insert(end, 1, 1, 1).unwrap();
        let held = (0..20).filter(|_| buffer.pop(at(0)) == Popped::Held).count();
        assert!(held > 0, "it is far from due");
    }
}
