//! The jitter buffer: takes packets as the network brings them, gives them at the pace of the media.
//!
//! It is made for a receiver with a tick: once a frame it asks [`JitterBuffer::pop`], which gives a packet or says why there is
//! none. A packet is played so long after the fastest way through the network as the measured jitter asks for, between two
//! limits. Where the sender's clock and ours differ, a frame is left out or held now and then.

mod config;
mod delay;
pub mod properties;

pub use config::{CAPACITY_MAX, DELAY_MAX_MS, JitterConfig, JitterConfigError};

use delay::Transit;
use sim::time::Instant;
use std::time::Duration;

/// A packet was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inserted {
    /// How many older packets were dropped for want of room.
    pub evicted: u32,
    /// How many packets were dropped because the source has begun anew with this one.
    pub reset: Option<u32>,
}

/// A packet was not taken: here it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("packet {sequence_number}: {reason}")]
pub struct Refused<P> {
    /// Why.
    pub reason: Refusal,
    /// Its sequence number.
    pub sequence_number: u16,
    /// The packet.
    pub packet: P,
}

/// Why a packet was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Its time, or that of one after it, has passed.
    #[error("expected one that is not yet due, got one whose time has passed")]
    Late,
    /// It is in the buffer.
    #[error("expected a new packet, got one that is in the buffer")]
    Duplicate,
    /// Its sequence number or its timestamp is far from those before it. If more packets follow it, the source has begun anew.
    #[error("expected a packet near those before it, got one far from them")]
    Jump,
}

/// What there is for this tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Popped<P> {
    /// A packet: play it.
    Packet {
        /// The packet.
        packet: P,
        /// Its sequence number.
        sequence_number: u16,
        /// Its timestamp.
        timestamp: u32,
    },
    /// A packet should be played now and has not come, though later ones have: conceal the loss.
    Missing,
    /// The next packet is kept for a later tick, to be delayed by more: stretch what was played.
    Held,
    /// The source has paused, as the timestamps say: play silence or comfort noise.
    Silence,
    /// The buffer has run dry: conceal, then fall silent.
    Empty,
    /// It has not begun: the first packet is still to come, or is being delayed.
    Buffering,
}

/// What has become of all packets. [`JitterCounters::received`] is the sum of the others up to [`JitterCounters::reset`], and of
/// those in the buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JitterCounters {
    /// Packets inserted, taken or not.
    pub received: u64,
    /// Packets given to be played.
    pub played: u64,
    /// Packets refused: [`Refusal::Late`].
    pub late: u64,
    /// Packets refused: [`Refusal::Duplicate`].
    pub duplicate: u64,
    /// Packets refused: [`Refusal::Jump`].
    pub jump: u64,
    /// Packets dropped for want of room.
    pub overflow: u64,
    /// Packets left out to delay the others by less.
    pub skipped: u64,
    /// Packets dropped because the source began anew, or by [`JitterBuffer::clear`].
    pub reset: u64,
    /// Sequence numbers that were passed without a packet. One that comes later is also [`JitterCounters::late`].
    pub lost: u64,
    /// Ticks at which the next packet was held.
    pub held: u64,
    /// Ticks at which the buffer had run dry.
    pub empty: u64,
    /// How often the source has begun anew.
    pub restarts: u64,
}

/// A jitter buffer for packets `P`: whatever owns a packet. It allocates when it is made, and then no more.
#[derive(Debug)]
pub struct JitterBuffer<P> {
    config: JitterConfig,
    /// By extended sequence number, modulo the capacity. All are from `next` up to `next` and the capacity.
    slots: Box<[Option<Slot<P>>]>,
    len: usize,
    stream: Option<Stream>,
    trial: Option<Trial>,
    counters: JitterCounters,
}

#[derive(Debug)]
struct Slot<P> {
    extended: i64,
    /// Extended, in timestamp units.
    media: i64,
    packet: P,
}

/// What is known of the source.
#[derive(Debug)]
struct Stream {
    transit: Transit,
    /// The newest packet's extended sequence number and timestamp.
    newest: i64,
    newest_media: i64,
    /// The least extended sequence number that can still be played.
    next: i64,
    /// The extended timestamp of the next frame, once playing has begun.
    cursor: Option<i64>,
    /// Ticks since a frame was held or left out.
    since_adjusted: u32,
    /// How many of the newest packets, one after the other, came too late for the longest delay.
    slow_packets: u8,
}

/// Packets far from the stream, which may be the beginning of a new one.
#[derive(Clone, Copy, Debug)]
struct Trial {
    sequence_number: u16,
    media: i64,
    transit_us: i64,
    packets: u8,
}

/// A sequence number so far ahead is no loss, and one so far behind is no reordering: those of RFC 3550 section A.1.
const AHEAD_MAX: i64 = super::reception::DROPOUT_MAX as i64;
const BEHIND_MAX: i64 = super::reception::MISORDER_MAX as i64;

/// Delays are adjusted every so many ticks, or faster if they are off by more than [`FAR_FRAMES`].
const ADJUST_TICKS: u32 = 10;
const ADJUST_FAR_TICKS: u32 = 2;
const FAR_FRAMES: i64 = 4;

impl<P> JitterBuffer<P> {
    /// An empty buffer.
    ///
    /// # Errors
    /// [`JitterConfigError`].
    pub fn new(config: JitterConfig) -> Result<Self, JitterConfigError> {
        config.check()?;
        let slots = (0..config.capacity_packets).map(|_| None).collect();
        Ok(JitterBuffer { config, slots, len: 0, stream: None, trial: None, counters: JitterCounters::default() })
    }

    /// Takes a packet that came at `now`. In SRTP, call it only after the packet is authenticated.
    ///
    /// # Errors
    /// [`Refused`], with the packet. It is counted.
    pub fn insert(&mut self, now: Instant, sequence_number: u16, timestamp: u32, packet: P) -> Result<Inserted, Refused<P>> {
        self.counters.received += 1;
        let now_us = micros(now);
        let Some(stream) = &mut self.stream else {
            self.begin(now_us, sequence_number, timestamp, packet);
            return Ok(Inserted::default());
        };
        let extended = stream.newest + i64::from(sequence_number.wrapping_sub(stream.newest as u16) as i16);
        let media = stream.newest_media + i64::from(timestamp.wrapping_sub(stream.newest_media as u32) as i32);
        let transit_us = now_us.saturating_sub(self.config.media_us(media));
        let ahead = extended - stream.newest;
        let off_us = transit_us.abs_diff(stream.transit.floor_us());
        if !(-BEHIND_MAX < ahead && ahead < AHEAD_MAX) || off_us > self.config.jump_us() {
            return self.try_restart(now_us, sequence_number, timestamp, packet);
        }
        self.trial = None;
        // Before the beginning nothing has passed, so a packet may come before the first.
        let room = i64::from(self.config.capacity_packets);
        if stream.cursor.is_none() && extended < stream.next && stream.newest - extended < room {
            stream.next = extended;
        }
        let reason = match &self.slots[slot_of(extended, &self.config)] {
            _ if extended < stream.next => Some(Refusal::Late),
            Some(slot) if slot.extended == extended => Some(Refusal::Duplicate),
            _ => None,
        };
        let slow = ahead > 0 && transit_us - stream.transit.floor_us() > self.config.slow_us();
        if ahead > 0 {
            stream.slow_packets = if slow { stream.slow_packets + 1 } else { 0 };
        }
        let longer_way = stream.slow_packets >= self.config.restart_packets;
        if longer_way {
            // By the old floor all that comes would be left out until it is forgotten, for seconds.
            stream.transit.move_floor(now_us, transit_us);
            stream.slow_packets = 0;
        } else if !slow && reason != Some(Refusal::Duplicate) {
            // A late packet tells of the network too; a duplicate's time is not that of its way. No delay that is allowed would have
            // helped a slow one, so it says nothing of what to delay by.
            stream.transit.update(now_us, transit_us);
        }
        if let Some(reason) = reason {
            *if reason == Refusal::Late { &mut self.counters.late } else { &mut self.counters.duplicate } += 1;
            return Err(Refused { reason, sequence_number, packet });
        }
        if ahead > 0 {
            (stream.newest, stream.newest_media) = (extended, media);
        }
        let evicted = if longer_way {
            // What is in the buffer would wait for the new floor, and has waited too long by the old one.
            self.counters.skipped += u64::from(self.pass(extended));
            0
        } else if extended - stream.next >= room {
            self.pass(extended - room + 1)
        } else {
            0
        };
        self.counters.overflow += u64::from(evicted);
        self.put(Slot { extended, media, packet });
        Ok(Inserted { evicted, reset: None })
    }

    /// What there is for the tick at `now`. Call it once a frame.
    pub fn pop(&mut self, now: Instant) -> Popped<P> {
        let popped = self.pop_due(micros(now));
        match &popped {
            Popped::Packet { .. } => self.counters.played += 1,
            Popped::Held => self.counters.held += 1,
            Popped::Empty => self.counters.empty += 1,
            _ => {}
        }
        popped
    }

    /// Drops all packets and forgets the source. Returns how many there were.
    pub fn clear(&mut self) -> u32 {
        let dropped = self.len as u32;
        self.slots.iter_mut().for_each(|slot| *slot = None);
        self.len = 0;
        self.counters.reset += u64::from(dropped);
        (self.stream, self.trial) = (None, None);
        dropped
    }

    /// How many packets are in the buffer.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// By how much packets are to be delayed now, beyond the fastest way through the network.
    pub fn target_delay(&self) -> Duration {
        let target_us = self.stream.as_ref().map_or(0, |stream| self.config.target_us(&stream.transit));
        // Between two limits that are not negative.
        Duration::from_micros(target_us as u64)
    }

    /// The interarrival jitter.
    pub fn jitter(&self) -> Duration {
        self.stream.as_ref().map_or(Duration::ZERO, |stream| stream.transit.jitter())
    }

    /// By how many millionths the sender's clock is slower than ours, as the last two minutes show it. Negative if it is faster.
    pub fn drift_ppm(&self) -> i32 {
        self.stream.as_ref().map_or(0, |stream| stream.transit.drift_ppm())
    }

    /// What has become of all packets.
    pub fn counters(&self) -> JitterCounters {
        self.counters
    }

    fn pop_due(&mut self, now_us: i64) -> Popped<P> {
        let Some(stream) = &mut self.stream else { return Popped::Buffering };
        let frame = i64::from(self.config.samples_per_frame);
        // The media time that is due now, and the oldest that may still be played.
        let due_us = now_us.saturating_sub(stream.transit.floor_us());
        let due = self.config.media(due_us.saturating_sub(self.config.target_us(&stream.transit)));
        let oldest =
            self.config.media(due_us.saturating_sub(1000 * i64::from(self.config.delay_max_ms))).saturating_sub(2 * frame);
        stream.since_adjusted = stream.since_adjusted.saturating_add(1);
        let head = self.leave_out_before(oldest);
        let stream = self.stream.as_mut().expect("it was there, and leaving packets out does not end it");
        let Some((extended, media)) = head else {
            let Some(cursor) = &mut stream.cursor else { return Popped::Buffering };
            // Nothing is left out if it is behind, for there is nothing: in a long pause the clocks drift apart.
            *cursor = due.max(*cursor) + frame;
            return Popped::Empty;
        };
        // Whatever is in the buffer may be played, if need be later than it should.
        let cursor = match stream.cursor {
            None if media > due => return Popped::Buffering,
            None => media,
            // Before a packet that follows the last one there is silence, of which leaving out costs nothing either.
            Some(cursor) if extended == stream.next => cursor.max(due).min(media).max(oldest),
            Some(cursor) => cursor.min(media).max(oldest),
        };
        stream.cursor = Some(cursor);
        let ahead = cursor - due;
        let far = ahead.abs() > FAR_FRAMES * frame;
        let may_adjust = stream.since_adjusted >= if far { ADJUST_FAR_TICKS } else { ADJUST_TICKS };
        // A cursor between a quarter of a frame ahead and a frame and a quarter behind is left alone.
        if may_adjust && 4 * ahead > frame {
            stream.since_adjusted = 0;
            return Popped::Held;
        }
        if may_adjust && 4 * ahead < -5 * frame && (media >= cursor + frame || self.len > 1) {
            stream.since_adjusted = 0;
            stream.cursor = Some(cursor + frame);
            // Where a packet is missing, leaving out its frame costs nothing. The only packet is not left out: then there were
            // none.
            if media < cursor + frame {
                self.skip(extended);
                // The next one's timestamp may be before it, if the sender is odd.
                self.leave_out_before(oldest);
            } else if extended > stream.next {
                let passed = stream.next + 1;
                self.pass(passed);
            }
            return self.play(frame);
        }
        self.play(frame)
    }

    /// The head if the cursor has come to it.
    fn play(&mut self, frame: i64) -> Popped<P> {
        let (head, stream) = (self.head(), self.stream.as_mut().expect("only what has a stream is played"));
        let cursor = stream.cursor.get_or_insert(0);
        let Some((extended, media)) = head else {
            *cursor += frame;
            return Popped::Empty;
        };
        // Half a frame, since timestamps need not be multiples of frames.
        if 2 * (media - *cursor) > frame {
            *cursor += frame;
            if extended == stream.next {
                return Popped::Silence;
            }
            let passed = stream.next + 1;
            self.pass(passed);
            return Popped::Missing;
        }
        *cursor = media + frame;
        self.pass(extended);
        let slot = self.take(extended).expect("the head is in its slot");
        self.stream.as_mut().expect("as above").next = extended + 1;
        // The lower bits are those on the wire.
        Popped::Packet { packet: slot.packet, sequence_number: extended as u16, timestamp: slot.media as u32 }
    }

    /// The extended sequence number and timestamp of the first packet.
    fn head(&self) -> Option<(i64, i64)> {
        let next = self.stream.as_ref().filter(|_| self.len > 0)?.next;
        let found = |extended| self.slots[slot_of(extended, &self.config)].as_ref();
        (next..next + i64::from(self.config.capacity_packets)).find_map(found).map(|slot| (slot.extended, slot.media))
    }

    /// Leaves out heads that are older than `oldest`, and returns the next one.
    fn leave_out_before(&mut self, oldest: i64) -> Option<(i64, i64)> {
        loop {
            match self.head() {
                Some((extended, media)) if media < oldest => self.skip(extended),
                head => return head,
            }
        }
    }

    /// Leaves out the head, which is `extended`.
    fn skip(&mut self, extended: i64) {
        let dropped = self.pass(extended + 1);
        self.counters.skipped += u64::from(dropped);
    }

    /// From now on only `next` and what is after it can be played. Returns how many packets that drops; the others were lost.
    fn pass(&mut self, next: i64) -> u32 {
        let stream = self.stream.as_mut().expect("only what has a stream is passed");
        let (from, passed) = (stream.next, next - stream.next);
        stream.next = next;
        let slots = passed.min(i64::from(self.config.capacity_packets));
        let dropped = (from..from + slots).filter(|extended| self.take(*extended).is_some()).count() as u32;
        self.counters.lost += passed as u64 - u64::from(dropped);
        dropped
    }

    fn put(&mut self, slot: Slot<P>) {
        let index = slot_of(slot.extended, &self.config);
        self.slots[index] = Some(slot);
        self.len += 1;
    }

    fn take(&mut self, extended: i64) -> Option<Slot<P>> {
        let slot = self.slots[slot_of(extended, &self.config)].take_if(|slot| slot.extended == extended)?;
        self.len -= 1;
        Some(slot)
    }

    /// A packet far from the stream: refused, until enough of them are near each other.
    fn try_restart(&mut self, now_us: i64, sequence_number: u16, timestamp: u32, packet: P) -> Result<Inserted, Refused<P>> {
        let mut media = i64::from(timestamp);
        let mut packets = 1;
        if let Some(trial) = self.trial {
            let near = trial.media + i64::from(timestamp.wrapping_sub(trial.media as u32) as i32);
            let off_us = now_us.saturating_sub(self.config.media_us(near)).abs_diff(trial.transit_us);
            if sequence_number == trial.sequence_number.wrapping_add(1) && off_us <= self.config.jump_us() {
                (media, packets) = (near, trial.packets + 1);
            }
        }
        if packets < self.config.restart_packets {
            let transit_us = now_us.saturating_sub(self.config.media_us(media));
            self.trial = Some(Trial { sequence_number, media, transit_us, packets });
            self.counters.jump += 1;
            return Err(Refused { reason: Refusal::Jump, sequence_number, packet });
        }
        let dropped = self.clear();
        self.counters.restarts += 1;
        self.begin(now_us, sequence_number, timestamp, packet);
        Ok(Inserted { evicted: 0, reset: Some(dropped) })
    }

    fn begin(&mut self, now_us: i64, sequence_number: u16, timestamp: u32, packet: P) {
        // Far from 0, so that nothing before it is negative.
        let (extended, media) = (i64::from(sequence_number) + (1 << 32), i64::from(timestamp));
        let transit = Transit::new(now_us, now_us.saturating_sub(self.config.media_us(media)));
        let stream = Stream {
            transit,
            newest: extended,
            newest_media: media,
            next: extended,
            cursor: None,
            since_adjusted: 0,
            slow_packets: 0,
        };
        self.stream = Some(stream);
        self.put(Slot { extended, media, packet });
    }
}

fn slot_of(extended: i64, config: &JitterConfig) -> usize {
    // Below the capacity.
    extended.rem_euclid(config.capacity_packets.into()) as usize
}

/// Ends at 146,000 years, so that sums stay within 64 bits.
fn micros(now: Instant) -> i64 {
    i64::try_from(now.since_origin().as_micros()).unwrap_or(i64::MAX).min(i64::MAX / 2)
}

#[cfg(test)]
mod tests;
