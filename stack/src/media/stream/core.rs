//! A stream without locks, sockets or callbacks: what is sent, what is played, what is reported.

use super::draws::Draws;
use super::report::{StreamEvent, StreamReport};
use super::schedule::Schedule;
use super::sources::{Heard, Sources};
use super::{StreamConfig, StreamError};
use crate::buffer::Mbuf;
use crate::media::description::Direction;
use crate::rtp::jitter::{JitterBuffer, Popped};
use crate::rtp::packet::{Fields, Packet};
use crate::rtp::rtcp::feedback::{PayloadFeedback, PayloadMessage};
use crate::rtp::rtcp::source::{self, Chunk, Item};
use crate::rtp::rtcp::{self, Bye, Compound, ReceiverReport, ReportBlock, Rules, SenderInfo, SenderReport, SourceDescription};
use sim::time::Instant;
use std::collections::VecDeque;
use std::time::Duration;

/// So many events wait to be taken; then the oldest are lost and counted.
pub const EVENTS_MAX: usize = 64;
/// So many payloads wait for the next tick in a stream that has no jitter buffer.
pub const PAYLOADS_MAX: usize = 256;
/// From 1900 to 1970, in seconds (RFC 3550 section 4).
const NTP_OF_1970_S: u64 = 2_208_988_800;
/// A report: SR with [`super::SOURCES_MAX`] blocks, SDES, feedback and BYE.
const REPORT_LEN_MAX: usize = 1024;
/// What is added to a packet behind it, at the most: SRTCP's index, a tag, an MKI.
pub(super) const TAILROOM_BYTES: usize = 160;

/// What a payload stream was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// Its packet's sequence number.
    pub sequence_number: u16,
    /// Its packet's timestamp.
    pub timestamp: u32,
    /// Its packet's marker: the end of a frame.
    pub marker: bool,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// What a stream is, but for its transport.
#[derive(Debug)]
pub(super) struct StreamCore {
    config: StreamConfig,
    direction: Direction,
    has_ended: bool,
    // What is sent.
    sequence_number: u16,
    timestamp_base: u32,
    /// The last frame's time on both clocks.
    last_frame: (Instant, u32),
    sent_since_report: bool,
    /// A pause before the next packet: it begins a talkspurt (RFC 3551 section 4.1).
    begins_talkspurt: bool,
    key_frame_wanted: bool,
    // What comes.
    sources: Sources,
    inbound: Inbound,
    last_heard: Instant,
    is_silent: bool,
    // What is reported.
    schedule: Schedule,
    /// The wall clock when the stream began, as NTP: it may step later, and reports must not.
    ntp_base: (Instant, u64),
    key_frame_asked: bool,
    events: VecDeque<StreamEvent>,
    report: StreamReport,
}

/// Where packets wait for the next tick.
#[derive(Debug)]
enum Inbound {
    Sound(Box<JitterBuffer<Vec<u8>>>),
    Payloads(VecDeque<Payload>),
}

/// What there is to play.
#[derive(Debug)]
pub(super) enum Play {
    Sound(Popped<Vec<u8>>),
    Payloads(VecDeque<Payload>),
    /// As was agreed.
    Nothing,
}

impl StreamCore {
    pub(super) fn new(config: StreamConfig, is_sound: bool, now: Instant) -> Result<Self, StreamError> {
        config.check()?;
        let inbound = match is_sound {
            true => Inbound::Sound(Box::new(JitterBuffer::new(config.jitter())?)),
            false => Inbound::Payloads(VecDeque::new()),
        };
        // One draw, which is too large for an engine to have every answer of.
        let mut draws = Draws::new(config.seed.unwrap_or_else(|| sim::rand::below(1 << 63)));
        let wall = sim::time::wall_clock();
        let ntp = (wall.as_secs().wrapping_add(NTP_OF_1970_S) << 32) + (u64::from(wall.subsec_nanos()) << 32) / 1_000_000_000;
        // Any timestamp, and a sequence number of the lower half: until the first rollover a receiver cannot lose count of it
        // (RFC 3550 section 5.1, RFC 3711 section 3.3.1).
        let (sequence_number, timestamp_base) = (draws.below(1 << 15) as u16, draws.below(1 << 32) as u32);
        let schedule = Schedule::new(config.rtcp, now, 52 + config.cname.len(), draws);
        Ok(StreamCore {
            direction: config.direction,
            config,
            has_ended: false,
            sequence_number,
            timestamp_base,
            last_frame: (now, timestamp_base),
            sent_since_report: false,
            begins_talkspurt: true,
            key_frame_wanted: false,
            sources: Sources::default(),
            inbound,
            last_heard: now,
            is_silent: false,
            schedule,
            ntp_base: (now, ntp),
            key_frame_asked: false,
            events: VecDeque::new(),
            report: StreamReport::default(),
        })
    }

    pub(super) fn config(&self) -> &StreamConfig {
        &self.config
    }

    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    pub(super) fn direction(&self) -> Direction {
        self.direction
    }

    pub(super) fn set_direction(&mut self, direction: Direction, now: Instant) {
        if direction.receives() && !self.direction.receives() {
            // What was held is not silence, and what comes now is not late.
            (self.last_heard, self.is_silent) = (now, false);
            if let Inbound::Sound(jitter) = &mut self.inbound {
                jitter.clear();
            }
        }
        self.begins_talkspurt |= direction.sends() && !self.direction.sends();
        self.direction = direction;
    }

    /// What is to be played at this tick.
    pub(super) fn play(&mut self, now: Instant) -> Play {
        if self.has_ended || !self.direction.receives() {
            return Play::Nothing;
        }
        match &mut self.inbound {
            Inbound::Sound(jitter) => Play::Sound(jitter.pop(now)),
            Inbound::Payloads(payloads) => Play::Payloads(std::mem::take(payloads)),
        }
    }

    /// Whether a frame is to be made for this tick; of a payload stream, whether a whole picture is wanted.
    pub(super) fn wants_frame(&mut self, now: Instant, timestamp_samples: u64) -> Option<bool> {
        let timestamp = self.timestamp_base.wrapping_add(timestamp_samples as u32);
        self.last_frame = (now, timestamp);
        let wants = !self.has_ended && self.direction.sends();
        wants.then(|| std::mem::take(&mut self.key_frame_wanted))
    }

    /// A frame was not sent: what comes after it begins anew.
    pub(super) fn pause(&mut self, wanted_key_frame: bool) {
        self.begins_talkspurt = true;
        self.key_frame_wanted |= wanted_key_frame;
    }

    /// The packet of a frame's payload. Nothing if the stream has ended meanwhile.
    pub(super) fn packet(&mut self, payload: &[u8], marker: Option<bool>) -> Result<Option<Mbuf>, StreamError> {
        if self.has_ended || !self.direction.sends() {
            return Ok(None);
        }
        let marker = marker.unwrap_or(self.begins_talkspurt);
        let fields = Fields {
            marker,
            payload_type: self.config.sending_payload_type,
            sequence_number: self.sequence_number,
            timestamp: self.last_frame.1,
            ssrc: self.config.ssrc,
            payload,
            ..Fields::default()
        };
        let len = fields.packet_len()?;
        let mut packet = Mbuf::new(0, len + TAILROOM_BYTES);
        // As much room was made as is asked for.
        fields.write(
            packet
                .append_space(len)
                .map_err(crate::srtp::SrtpError::from)
                .map_err(crate::media::transport::TransportError::from)?,
        )?;
        self.sequence_number = self.sequence_number.wrapping_add(1);
        self.begins_talkspurt = false;
        Ok(Some(packet))
    }

    /// A packet was given to the system, or it was not.
    pub(super) fn sent(&mut self, payload_len: Option<usize>) {
        match payload_len {
            Some(len) => {
                self.report.sent_packets += 1;
                self.report.sent_bytes += len as u64;
                self.sent_since_report = true;
            }
            None => self.report.send_failed += 1,
        }
    }

    pub(super) fn count(&mut self, count: impl FnOnce(&mut StreamReport)) {
        count(&mut self.report);
    }

    /// Takes an RTP packet, decrypted.
    pub(super) fn receive_rtp(&mut self, bytes: &[u8], now: Instant) -> Result<(), StreamError> {
        self.receive_rtp_checked(bytes, now).inspect_err(|_| self.report.refused += 1)
    }

    fn receive_rtp_checked(&mut self, bytes: &[u8], now: Instant) -> Result<(), StreamError> {
        if self.has_ended {
            return Err(StreamError::Ended);
        }
        let packet = Packet::parse(bytes)?;
        let header = *packet.header();
        if header.ssrc == self.config.ssrc {
            return Err(StreamError::OwnSsrc { ssrc: header.ssrc });
        }
        if header.payload_type != self.config.receiving_payload_type {
            return Err(StreamError::PayloadType { expected: self.config.receiving_payload_type, got: header.payload_type });
        }
        if !self.direction.receives() {
            return Err(StreamError::Direction);
        }
        let place = (header.ssrc, header.sequence_number, header.timestamp);
        let heard = self.sources.receive(now, self.config.rate_hz, place)?;
        self.hear(now);
        if heard == Heard::Taken {
            if let Inbound::Sound(jitter) = &mut self.inbound {
                jitter.clear();
            }
            self.tell(StreamEvent::Source { ssrc: header.ssrc });
        }
        let payload = packet.payload();
        self.report.received_packets += 1;
        self.report.received_bytes += payload.len() as u64;
        match &mut self.inbound {
            // What it refuses it has counted: a packet twice or late is no fault of the peer's.
            Inbound::Sound(jitter) => {
                let _ = jitter.insert(now, header.sequence_number, header.timestamp, payload.to_vec());
            }
            Inbound::Payloads(payloads) => {
                if payloads.len() >= PAYLOADS_MAX {
                    payloads.pop_front();
                    self.report.undecoded += 1;
                }
                payloads.push_back(Payload {
                    sequence_number: header.sequence_number,
                    timestamp: header.timestamp,
                    marker: header.marker,
                    bytes: payload.to_vec(),
                });
            }
        }
        Ok(())
    }

    /// Takes RTCP, decrypted.
    pub(super) fn receive_rtcp(&mut self, bytes: &[u8], now: Instant) -> Result<(), StreamError> {
        if self.has_ended {
            self.report.refused += 1;
            return Err(StreamError::Ended);
        }
        // RFC 5506's single packets too: what is sent so is allowed to.
        let compound = Compound::parse_counted(bytes, Rules::ReducedSize, &mut self.report.rtcp)?;
        self.schedule.heard(bytes.len());
        self.hear(now);
        for packet in compound.packets() {
            match packet {
                rtcp::Packet::SenderReport(report) => {
                    self.sources.sender_report(now, report.ssrc, report.info.ntp_timestamp);
                    report.blocks.iter().for_each(|block| self.peer_reports(block, now));
                }
                rtcp::Packet::ReceiverReport(report) => report.blocks.iter().for_each(|block| self.peer_reports(block, now)),
                rtcp::Packet::Bye(bye) => {
                    for ssrc in bye.ssrcs.iter() {
                        if self.sources.leave(ssrc) {
                            self.tell(StreamEvent::SourceLeft { ssrc });
                        }
                    }
                    self.schedule.left(now, self.members());
                }
                rtcp::Packet::PayloadFeedback(feedback) => {
                    let asks = match feedback.message {
                        PayloadMessage::PictureLoss => feedback.media_ssrc == self.config.ssrc,
                        PayloadMessage::FullIntraRequest(asked) => asked.iter().any(|asked| asked.ssrc == self.config.ssrc),
                        _ => false,
                    };
                    if asks {
                        self.key_frame_wanted = true;
                        self.report.key_frames_asked += 1;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Asks the peer for a whole picture, with the next report or before it.
    pub(super) fn ask_for_key_frame(&mut self) {
        self.key_frame_asked = true;
    }

    /// When [`StreamCore::handle_timeout`] is to be called at the latest.
    pub(super) fn next_due(&self) -> Option<Instant> {
        if self.has_ended {
            return None;
        }
        let silence = (self.direction.receives() && !self.is_silent).then(|| self.last_heard + self.config.silence);
        Some(silence.map_or(self.schedule.next_due(), |silence| silence.min(self.schedule.next_due())))
    }

    /// Does what is due: the RTCP that is to be sent, if any.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Option<Mbuf> {
        if self.has_ended {
            return None;
        }
        let since = now.saturating_duration_since(self.last_heard);
        if self.direction.receives() && !self.is_silent && since >= self.config.silence {
            self.is_silent = true;
            self.tell(StreamEvent::PeerSilent { since });
        }
        let is_due = self.schedule.expires(now, self.members());
        let is_early = !is_due && self.key_frame_asked && self.schedule.take_early(now);
        if !is_due && !is_early {
            return None;
        }
        let packet = self.write_report(now, None)?;
        self.report.reports_sent += 1;
        if is_due {
            self.schedule.sent(now, packet.left(), self.members());
        }
        Some(packet)
    }

    /// Ends it: what is to be said last (RFC 3550 section 6.6). Nothing if it has ended before.
    pub(super) fn end(&mut self, now: Instant) -> Option<Option<Mbuf>> {
        if std::mem::replace(&mut self.has_ended, true) {
            return None;
        }
        // Who has sent neither RTP nor RTCP leaves without a word.
        let has_spoken = self.report.sent_packets > 0 || self.report.reports_sent > 0;
        let bye = has_spoken.then(|| self.write_report(now, Some(b"the call has ended"))).flatten();
        self.report.reports_sent += u64::from(bye.is_some());
        Some(bye)
    }

    pub(super) fn next_event(&mut self) -> Option<StreamEvent> {
        self.events.pop_front()
    }

    pub(super) fn tell(&mut self, event: StreamEvent) {
        if self.events.len() >= EVENTS_MAX {
            self.events.pop_front();
            self.report.events_lost += 1;
        }
        self.events.push_back(event);
    }

    /// What was counted, but for the transport.
    pub(super) fn report(&self) -> StreamReport {
        let mut report = self.report;
        if let Inbound::Sound(jitter) = &self.inbound {
            report.jitter_buffer = jitter.counters();
        }
        if let Some((_, reception)) = self.sources.played() {
            report.lost = reception.lost();
            let jitter_us = u64::from(reception.jitter()) * 1_000_000 / u64::from(self.config.rate_hz);
            report.interarrival_jitter = Duration::from_micros(jitter_us);
        }
        report
    }

    pub(super) fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// The peer has sent something.
    pub(super) fn hear(&mut self, now: Instant) {
        (self.last_heard, self.is_silent) = (now, false);
    }

    /// Those whom reports are from or about: we and who sends to us.
    fn members(&self) -> u32 {
        1 + self.sources.len() as u32
    }

    fn peer_reports(&mut self, block: ReportBlock, now: Instant) {
        if block.ssrc != self.config.ssrc {
            return;
        }
        self.report.peer = Some(block);
        if block.last_sr != 0 {
            // RFC 3550 section 6.4.1: the middle 32 bits of the time now, less those of our report, less how long it was kept.
            let middle = (self.ntp(now) >> 16) as u32;
            let away = middle.wrapping_sub(block.last_sr).wrapping_sub(block.delay_since_last_sr);
            // A peer that says it kept the report for longer than it was away has a clock that runs fast: no time at all.
            let away = if away > u32::MAX / 2 { 0 } else { away };
            self.report.round_trip = Some(Duration::from_micros(u64::from(away) * 1_000_000 / 65_536));
        }
    }

    fn ntp(&self, now: Instant) -> u64 {
        let (at, base) = self.ntp_base;
        let since = now.saturating_duration_since(at);
        base.wrapping_add(since.as_secs() << 32).wrapping_add((u64::from(since.subsec_nanos()) << 32) / 1_000_000_000)
    }

    fn write_report(&mut self, now: Instant, bye: Option<&[u8]>) -> Option<Mbuf> {
        let blocks = self.sources.report(now);
        let ssrc = self.config.ssrc;
        let (at, timestamp) = self.last_frame;
        let since = now.saturating_duration_since(at).as_micros() * u128::from(self.config.rate_hz) / 1_000_000;
        let head = match std::mem::take(&mut self.sent_since_report) {
            true => rtcp::Packet::SenderReport(SenderReport {
                ssrc,
                info: SenderInfo {
                    ntp_timestamp: self.ntp(now),
                    rtp_timestamp: timestamp.wrapping_add(since as u32),
                    packet_count: self.report.sent_packets as u32,
                    octet_count: self.report.sent_bytes as u32,
                },
                blocks: blocks.as_slice().into(),
                extension: &[],
            }),
            false => rtcp::Packet::ReceiverReport(ReceiverReport { ssrc, blocks: blocks.as_slice().into(), extension: &[] }),
        };
        let items = [Item { kind: source::CNAME, value: self.config.cname.as_bytes() }];
        let chunks = [Chunk { ssrc, items: (&items).into() }];
        let mut packets = vec![head, rtcp::Packet::SourceDescription(SourceDescription { chunks: (&chunks).into() })];
        if let Some((media_ssrc, _)) = self.sources.played().filter(|_| std::mem::take(&mut self.key_frame_asked)) {
            let message = PayloadMessage::PictureLoss;
            packets.push(rtcp::Packet::PayloadFeedback(PayloadFeedback { sender_ssrc: ssrc, media_ssrc, message }));
        }
        let leaving = [ssrc];
        if bye.is_some() {
            packets.push(rtcp::Packet::Bye(Bye { ssrcs: (&leaving).into(), reason: bye }));
        }
        let mut room = [0; REPORT_LEN_MAX];
        // A report of eight blocks, one name and one reason is shorter, and its numbers are in their ranges.
        let len = rtcp::write(&packets, Rules::Compound, &mut room).ok()?;
        Some(Mbuf::copy_of(&room[..len], 0, TAILROOM_BYTES))
    }
}
