//! The jitter buffer where it is used otherwise than in a steady call: with little room, after long pauses, when the way becomes
//! longer. And a packet that is made and taken apart where it lies.

use sim::time::Instant;
use stack::buffer::Mbuf;
use stack::rtp::jitter::{JitterBuffer, JitterConfig, Popped};
use stack::rtp::{Fields, Packet};
use std::time::Duration;

const FRAME_US: u64 = 20_000;
const FRAME: u64 = 160;
/// Ticks lie between arrivals.
const TICK_US: u64 = 1_007_000;

fn at(micros: u64) -> Instant {
    Instant::from_origin(Duration::from_micros(micros))
}

/// A packet on its way.
struct Sent {
    arrival_us: u64,
    timestamp: u64,
}

/// What the listener had: for each tick, how long the packet waited that was played.
struct Heard {
    waited_us: Vec<Option<u64>>,
    buffer: JitterBuffer<u64>,
}

impl Heard {
    fn played(&self) -> usize {
        self.waited_us.iter().flatten().count()
    }

    /// The most ticks in a row in which nothing was played, after the first packet.
    fn longest_gap(&self) -> usize {
        let gaps = self.waited_us.split(Option::is_some).skip(1);
        gaps.map(<[_]>::len).max().unwrap_or(0)
    }

    fn longest_us(&self) -> u64 {
        self.waited_us.iter().flatten().copied().max().unwrap_or(0)
    }
}

/// Plays packets, numbered in their order, for so many ticks.
fn listen(config: JitterConfig, ticks: u64, packets: impl IntoIterator<Item = Sent>) -> Heard {
    let mut heard = Heard { waited_us: Vec::new(), buffer: JitterBuffer::new(config).unwrap() };
    let mut packets = (0u16..=u16::MAX).cycle().zip(packets).peekable();
    for tick in 0..ticks {
        let now_us = TICK_US + tick * FRAME_US;
        while let Some((number, Sent { arrival_us, timestamp })) = packets.next_if(|(_, sent)| sent.arrival_us <= now_us) {
            let _ = heard.buffer.insert(at(arrival_us), number, timestamp as u32, arrival_us);
        }
        heard.waited_us.push(match heard.buffer.pop(at(now_us)) {
            Popped::Packet { packet: arrival_us, .. } => Some(now_us - arrival_us),
            _ => None,
        });
    }
    heard
}

fn steady(delay_us: impl Fn(u64) -> u64) -> impl Iterator<Item = Sent> {
    (0..).map(move |number| Sent { arrival_us: 1_000_000 + number * FRAME_US + delay_us(number), timestamp: number * FRAME })
}

#[test]
fn with_little_room_packets_are_played_sooner() {
    for capacity_packets in 1..12 {
        let config = JitterConfig { capacity_packets, delay_min_ms: 200, ..JitterConfig::default() };
        let heard = listen(config, 1000, steady(|_| 0));
        let counters = heard.buffer.counters();
        assert!(heard.played() >= 989, "{capacity_packets}: {counters:?}");
        assert_eq!((counters.overflow, counters.lost, counters.skipped), (0, 0, 0), "{capacity_packets}");
        let room_ms = 20 * u64::from(capacity_packets).saturating_sub(3);
        assert_eq!(heard.buffer.target_delay(), Duration::from_millis(room_ms));
    }
    // A burst that there is no room for costs what it drops, and no more.
    let config = JitterConfig { capacity_packets: 4, delay_min_ms: 200, ..JitterConfig::default() };
    let heard = listen(config, 1000, steady(|number| if (200..210).contains(&number) { (210 - number) * FRAME_US } else { 0 }));
    let counters = heard.buffer.counters();
    assert!(counters.overflow + counters.skipped <= 10 && heard.played() >= 985, "{counters:?}");
}

/// A second of talk in every ten minutes, the sender's clock faster and slower than ours.
#[test]
fn what_follows_a_long_pause_is_played_as_soon_as_what_came_before_it() {
    for drift_ppm in [-200i64, 0, 200] {
        let packets = (0..20 * 50).map(|number| {
            let frames = number / 50 * 30_000 + number % 50;
            let sent_us = (i128::from(frames * FRAME_US) * i128::from(1_000_000 + drift_ppm) / 1_000_000) as u64;
            Sent { arrival_us: 1_000_000 + sent_us, timestamp: frames * FRAME }
        });
        let heard = listen(JitterConfig::default(), 20 * 30_000, packets);
        let counters = heard.buffer.counters();
        assert_eq!((counters.played, counters.skipped, counters.lost), (1000, 0, 0), "{drift_ppm}: {counters:?}");
        assert!(heard.longest_us() < 50_000, "{drift_ppm}: {} us", heard.longest_us());
    }
}

#[test]
fn after_an_hour_of_sleep_the_next_packet_is_played_at_once() {
    let mut buffer = JitterBuffer::new(JitterConfig::default()).unwrap();
    let mut gap = 0;
    for number in 0..100u16 {
        let now_us = 1_000_000 + u64::from(number) * FRAME_US + if number >= 50 { 3_600_000_000 } else { 0 };
        let timestamp = (now_us / 125) as u32;
        buffer.insert(at(now_us), number, timestamp, ()).unwrap();
        gap += u32::from(number > 0 && !matches!(buffer.pop(at(now_us + 7000)), Popped::Packet { .. }));
    }
    assert!(gap <= 2, "{gap} ticks without a packet, {:?}", buffer.counters());
}

#[test]
fn when_the_way_becomes_longer_the_call_goes_on() {
    for step_ms in (20..2500).step_by(20) {
        let heard = listen(JitterConfig::default(), 3000, steady(|number| if number >= 1000 { step_ms * 1000 } else { 0 }));
        let counters = heard.buffer.counters();
        // Nothing comes for so long; after that, two packets show it and the third is played.
        assert!(heard.longest_gap() <= step_ms as usize / 20 + 3, "{step_ms} ms: {} ticks, {counters:?}", heard.longest_gap());
        let missed = counters.skipped + counters.jump + counters.reset + counters.late;
        assert!(missed <= 12, "{step_ms} ms: {counters:?}");
        // What the longest delay makes up for is taken for jitter at first, which is forgotten in half a minute.
        let target = heard.buffer.target_delay();
        assert!(target <= Duration::from_millis(50), "{step_ms} ms: {target:?}");
    }
    // The network stops for a second, then all comes at once: the newest is played, and soon.
    let stopped = |number: u64| if (1000..1050).contains(&number) { (1050 - number) * FRAME_US } else { 0 };
    let heard = listen(JitterConfig::default(), 3000, steady(stopped));
    assert!(heard.longest_gap() <= 53 && heard.longest_us() <= 250_000, "{} ticks", heard.longest_gap());
    assert_eq!(heard.buffer.counters().restarts, 0);
}

/// A codec encodes into the buffer, the header goes before it; the receiver leaves only the payload. Nothing is copied.
#[test]
fn a_header_goes_before_a_payload_that_is_in_its_place() {
    let mut packet = Mbuf::new(64, 200);
    packet.append_space(160).unwrap().fill(0xd5);
    let payload_at = packet.bytes().as_ptr();
    let extension = Some((0xbede, &[0x10, 7, 0, 0][..]));
    let header =
        Fields { marker: true, payload_type: 8, sequence_number: 9, ssrc: 1, csrcs: &[2, 3], extension, ..Fields::default() };
    let header_len = header.packet_len().unwrap();
    packet.rewind(header_len).unwrap();
    assert_eq!(header.write(packet.bytes_mut()), Ok(28));

    let parsed = Packet::parse(packet.bytes()).unwrap();
    assert_eq!((parsed.header().sequence_number, parsed.extension(), parsed.csrcs().len()), (9, extension, 2));
    let (offset, len) = (parsed.header().len, parsed.payload().len());
    packet.advance(offset).unwrap();
    packet.truncate(len).unwrap();
    assert_eq!((packet.bytes(), packet.bytes().as_ptr()), (&[0xd5; 160][..], payload_at));
}
