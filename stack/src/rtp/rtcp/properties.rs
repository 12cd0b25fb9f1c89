//! What holds of any bytes: fuzz targets, property tests and corpus tests share these bodies.

use super::extended::{Block, Dlrr, Rle, RleChunk, Statistics, Voip};
use super::feedback::{BitrateLimit, FullIntraRequest, Nack, ReferencePicture, Remb, SliceLoss};
use super::source::{Chunk, Item, PRIV};
use super::*;
use rtcp_types::prelude::{FciParser, RtcpPacketParser, RtcpPacketParserExt};
use std::array::from_fn;

/// Any bytes parse or are refused; what parses can be read to its end, is what the crate `rtcp-types` reads, and is written to
/// packets that are the same.
pub fn reading(bytes: &[u8]) {
    let mut counters = RtcpCounters::default();
    let strict = Compound::parse_counted(bytes, Rules::Compound, &mut counters);
    assert_eq!((counters.compounds, counters.refused()), if strict.is_ok() { (1, 0) } else { (0, 1) });
    let compound = match (strict, Compound::parse(bytes, Rules::ReducedSize)) {
        (Ok(strict), Ok(reduced)) => {
            assert_eq!(strict, reduced);
            strict
        }
        (Err(RtcpError::FirstPacket { .. }), Ok(reduced)) => reduced,
        (strict, reduced) => {
            assert!(reduced.is_err() && strict.is_err());
            return;
        }
    };
    let packets: Vec<Packet<'_>> = compound.packets().collect();
    packets.iter().for_each(read_to_the_end);
    let mut rest = bytes;
    for packet in &packets {
        let (own, after) = rest.split_at(4 + 4 * usize::from(u16::from_be_bytes([rest[2], rest[3]])));
        agree(packet, own);
        rest = after;
    }
    let mut room = vec![0; bytes.len()];
    let len = write(&packets, Rules::ReducedSize, &mut room).expect("what was read can be written, and is no longer");
    let again = Compound::parse(&room[..len], Rules::ReducedSize).expect("what was written can be read");
    assert!(again.packets().eq(packets.iter().copied()));
}

/// The bytes say which packets to build. They are written and read again; then some of the written bytes are changed, as the rest
/// of the bytes says, and whatever that gives is read.
pub fn building(bytes: &[u8]) {
    let (script, text) = bytes.split_at(bytes.len() / 2);
    let mut script = Script(script);
    with_packets(&mut script, text, |packets, script| {
        let len = wire_len(packets, Rules::Compound).expect("these packets can be written");
        let mut room = vec![0xff; len];
        let short = write(packets, Rules::Compound, &mut room[..len - 1]);
        assert_eq!(short, Err(RtcpError::Room { expected: len, got: len - 1 }));
        assert_eq!(write(packets, Rules::Compound, &mut room), Ok(len));
        let compound = Compound::parse(&room, Rules::Compound).expect("what was written can be read");
        assert!(compound.packets().eq(packets.iter().copied()), "{packets:?} {compound:?}");
        for _ in 0..script.0.len().min(24) / 3 {
            let at = usize::from(script.u16()) % len;
            room[at] ^= script.u8();
        }
        reading(&room);
    });
}

/// All that can be asked of a packet.
fn read_to_the_end(packet: &Packet<'_>) {
    match packet {
        Packet::SourceDescription(description) => {
            for chunk in description.chunks.iter() {
                description.cname(chunk.ssrc);
                assert!(chunk.items.iter().all(|item| item.kind != PRIV || item.private().is_some()));
            }
        }
        Packet::TransportFeedback(TransportFeedback { message, .. }) => match message {
            TransportMessage::Nack(nacks) => assert!(nacks.iter().all(|nack| nack.sequence_numbers().count() <= 17)),
            TransportMessage::TransportWide(feedback) => {
                // A run may be of thousands of packets.
                let read = feedback.arrivals().take(500).count();
                assert_eq!(read, usize::from(feedback.packet_count()).min(500));
            }
            _ => {}
        },
        Packet::ExtendedReport(report) => {
            for block in report.blocks.iter() {
                if let Block::LossRle(rle) | Block::DuplicateRle(rle) = block {
                    let step = 1 << rle.thinning;
                    assert!(rle.bits().take(100).all(|(sequence_number, _)| u32::from(sequence_number) % step == 0));
                }
            }
        }
        _ => {}
    }
}

/// `rtcp-types` reads the same, where it reads what the RFCs say: it takes padding for content, and only some extended reports.
fn agree(packet: &Packet<'_>, bytes: &[u8]) {
    let unpadded = bytes[0] & 0x20 == 0;
    match packet {
        Packet::SenderReport(report) => {
            let peer = rtcp_types::SenderReport::parse(bytes).expect("a sender report");
            assert_eq!((peer.ssrc(), peer.ntp_timestamp()), (report.ssrc, report.info.ntp_timestamp));
            assert_eq!((peer.rtp_timestamp(), peer.packet_count()), (report.info.rtp_timestamp, report.info.packet_count));
            assert!(report.blocks.iter().eq(peer.report_blocks().map(|block| peer_block(&block))));
        }
        Packet::ReceiverReport(report) => {
            let peer = rtcp_types::ReceiverReport::parse(bytes).expect("a receiver report");
            assert_eq!(peer.ssrc(), report.ssrc);
            assert!(report.blocks.iter().eq(peer.report_blocks().map(|block| peer_block(&block))));
        }
        Packet::Bye(bye) if unpadded => {
            let peer = rtcp_types::Bye::parse(bytes).expect("a BYE");
            assert!(bye.ssrcs.iter().eq(peer.ssrcs()));
            assert_eq!(bye.reason, peer.reason());
        }
        Packet::App(app) if unpadded => {
            let peer = rtcp_types::App::parse(bytes).expect("an APP packet");
            assert_eq!((app.subtype, app.ssrc, app.name, app.data), (peer.subtype(), peer.ssrc(), peer.name(), peer.data()));
        }
        Packet::TransportFeedback(feedback) if unpadded => match feedback.message {
            TransportMessage::Nack(nacks) => {
                let peer = rtcp_types::Nack::parse(&bytes[12..]).expect("a NACK");
                assert!(nacks.iter().flat_map(Nack::sequence_numbers).eq(peer.entries()));
            }
            TransportMessage::TransportWide(feedback) => {
                let peer = rtcp_types::Twcc::parse(&bytes[12..]).expect("transport-wide feedback");
                let peers = peer.packets().take(100).map(|packet| match packet.expect("a status") {
                    (sequence_number, rtcp_types::TwccPacketStatus::NotReceived) => (sequence_number, Arrival::Missing),
                    (sequence_number, rtcp_types::TwccPacketStatus::Received { delta }) => {
                        (sequence_number, Arrival::Received { delta_250us: delta })
                    }
                });
                assert!(feedback.arrivals().take(100).eq(peers));
            }
            _ => {}
        },
        Packet::PayloadFeedback(PayloadFeedback { message: PayloadMessage::FullIntraRequest(list), .. }) if unpadded => {
            let peer = rtcp_types::Fir::parse(&bytes[12..]).expect("a FIR");
            let peers = peer.entries().map(|entry| FullIntraRequest { ssrc: entry.ssrc(), sequence_number: entry.sequence() });
            assert!(list.iter().eq(peers));
        }
        _ => {}
    }
}

fn peer_block(block: &rtcp_types::ReportBlock<'_>) -> ReportBlock {
    ReportBlock {
        ssrc: block.ssrc(),
        fraction_lost: block.fraction_lost(),
        // It gives 24 bits without their sign.
        cumulative_lost: (block.cumulative_lost() << 8) as i32 >> 8,
        highest_sequence_number: block.extended_sequence_number(),
        jitter: block.interarrival_jitter(),
        last_sr: block.last_sender_report_timestamp(),
        delay_since_last_sr: block.delay_since_last_sender_report_timestamp(),
    }
}

/// Bytes that are used up; zeros when there are no more.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn u8(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn u16(&mut self) -> u16 {
        u16::from_be_bytes([self.u8(), self.u8()])
    }

    /// Mostly small, and of all bits: one byte, spread.
    fn u32(&mut self) -> u32 {
        u32::from(self.u8()).wrapping_mul(0x0101_0301)
    }

    /// A part of `slice`.
    fn some<'s, T>(&mut self, slice: &'s [T]) -> &'s [T] {
        &slice[..usize::from(self.u8()) % (slice.len() + 1)]
    }

    /// A part of `slice` that is not empty.
    fn at_least_one<'s, T>(&mut self, slice: &'s [T]) -> &'s [T] {
        &slice[..1 + usize::from(self.u8()) % slice.len()]
    }

    fn words<'s>(&mut self, text: &'s [u8]) -> &'s [u8] {
        let some = self.some(text);
        &some[..some.len() / 4 * 4]
    }
}

fn with_packets(script: &mut Script<'_>, text: &[u8], with: impl FnOnce(&[Packet<'_>], &mut Script<'_>)) {
    let ssrcs: [u32; 4] = from_fn(|_| script.u32());
    let short = &text[..text.len().min(200)];
    let blocks: [ReportBlock; 3] = from_fn(|_| ReportBlock {
        ssrc: script.u32(),
        fraction_lost: script.u8(),
        cumulative_lost: (script.u32() << 8) as i32 >> 8,
        highest_sequence_number: script.u32(),
        ..ReportBlock::default()
    });
    let items: [Item<'_>; 3] = from_fn(|_| {
        // Not PRIV, whose value has a form.
        Item { kind: script.u8() | 0x10, value: script.some(short) }
    });
    let chunks: [Chunk<'_>; 2] = from_fn(|_| Chunk { ssrc: script.u32(), items: script.some(&items).into() });
    let nacks: [Nack; 3] = from_fn(|_| Nack { sequence_number: script.u16(), following: script.u16() });
    let limits: [BitrateLimit; 2] = from_fn(|_| BitrateLimit {
        ssrc: script.u32(),
        exponent: script.u8() & 63,
        mantissa: script.u32() & 0x1_ffff,
        overhead_bytes: script.u16() & 0x1ff,
    });
    let slices: [SliceLoss; 2] =
        from_fn(|_| SliceLoss { first: script.u16() & 0x1fff, count: script.u16() & 0x1fff, picture_id: script.u8() & 0x3f });
    let requests: [FullIntraRequest; 2] = from_fn(|_| FullIntraRequest { ssrc: script.u32(), sequence_number: script.u8() });
    let arrivals: [Arrival; 24] = from_fn(|_| match script.u8() {
        0..100 => Arrival::Missing,
        byte @ 100..200 => Arrival::Received { delta_250us: byte.into() },
        byte => Arrival::Received { delta_250us: (i16::from(byte) - 228) * 1000 },
    });
    let runs: [RleChunk; 4] = from_fn(|_| match script.u16() {
        0 => RleChunk::Null,
        chunk @ 0x8000.. => RleChunk::Vector(chunk & 0x7fff),
        chunk => RleChunk::Run { bit: chunk & 0x4000 != 0, length: chunk & 0x3fff },
    });
    let answers: [Dlrr; 2] = from_fn(|_| Dlrr { ssrc: script.u32(), last_rr: script.u32(), delay_since_last_rr: script.u32() });
    let reports: [Block<'_>; 4] = from_fn(|_| {
        let rle = Rle { thinning: script.u8() & 15, ssrc: 1, begin: script.u16(), end: script.u16(), chunks: (&runs).into() };
        match script.u8() % 8 {
            0 => Block::LossRle(rle),
            1 => Block::DuplicateRle(Rle { chunks: runs[..2].into(), ..rle }),
            2 => {
                let (times, thinning) = (script.some(&ssrcs).into(), rle.thinning);
                Block::ReceiptTimes(extended::ReceiptTimes { thinning, ssrc: 1, begin: rle.begin, end: rle.end, times })
            }
            3 => Block::ReferenceTime(script.u32().into()),
            4 => Block::Dlrr(script.some(&answers).into()),
            5 => {
                let (ttl_or_hop_limit, ttl) = (script.u8() & 3, from_fn(|_| script.u8()));
                Block::Statistics(Statistics {
                    has_jitter: true,
                    ttl_or_hop_limit,
                    lost: script.u32(),
                    ttl,
                    ..Statistics::default()
                })
            }
            6 => Block::Voip(Voip { gap_duration_ms: script.u16(), noise_level_dbm0: -1, gmin: script.u8(), ..Voip::default() }),
            _ => Block::Unknown { block_type: script.u8() | 8, type_specific: script.u8(), data: script.words(text) },
        }
    });
    let mut room = [0; 64];
    // Dearer than all others, so not for every input.
    let transport_wide = (script.u8() > 127).then(|| {
        let packed = TransportWide::pack(script.u16(), script.u32() as i32 >> 8, script.u8(), &arrivals, &mut room);
        let transport_wide = packed.expect("there is room");
        assert!(transport_wide.arrivals().map(|(_, arrival)| arrival).eq(arrivals));
        transport_wide
    });

    let mut packets = Vec::with_capacity(8);
    for index in 0..1 + script.u8() % 5 {
        let (sender_ssrc, media_ssrc, subtype) = (script.u32(), script.u32(), script.u8() & 31);
        let transport = |message| Packet::TransportFeedback(TransportFeedback { sender_ssrc, media_ssrc, message });
        let payload = |message| Packet::PayloadFeedback(PayloadFeedback { sender_ssrc, media_ssrc, message });
        packets.push(match if index == 0 { script.u8() % 2 } else { script.u8() % 17 } {
            0 => Packet::ReceiverReport(ReceiverReport {
                ssrc: sender_ssrc,
                blocks: script.some(&blocks).into(),
                extension: script.words(text),
            }),
            1 => Packet::SenderReport(SenderReport {
                ssrc: sender_ssrc,
                info: SenderInfo {
                    ntp_timestamp: script.u32().into(),
                    rtp_timestamp: media_ssrc,
                    packet_count: 3,
                    octet_count: 4,
                },
                blocks: script.some(&blocks).into(),
                extension: &[],
            }),
            2 => Packet::SourceDescription(SourceDescription { chunks: script.some(&chunks).into() }),
            3 => Packet::Bye(Bye { ssrcs: script.some(&ssrcs).into(), reason: (subtype > 15).then(|| script.some(short)) }),
            4 => Packet::App(App { subtype, ssrc: sender_ssrc, name: *b"glar", data: script.words(text) }),
            5 => transport(TransportMessage::Nack(script.at_least_one(&nacks).into())),
            6 => transport(TransportMessage::Tmmbr(script.at_least_one(&limits).into())),
            7 => transport(TransportMessage::Tmmbn(script.some(&limits).into())),
            8 => transport(match transport_wide {
                Some(transport_wide) => TransportMessage::TransportWide(transport_wide),
                None => TransportMessage::Unknown { format: 16 | subtype, fci: script.words(text) },
            }),
            9 => payload(PayloadMessage::PictureLoss),
            10 => payload(PayloadMessage::SliceLoss(script.at_least_one(&slices).into())),
            11 => {
                let bit_string = script.some(short);
                let unused_bits = if bit_string.is_empty() { 0 } else { script.u8() & 7 };
                payload(PayloadMessage::ReferencePicture(ReferencePicture { payload_type: subtype, bit_string, unused_bits }))
            }
            12 => payload(PayloadMessage::FullIntraRequest(script.at_least_one(&requests).into())),
            13 => {
                let (exponent, mantissa) = (script.u8() & 63, script.u32() & 0x3_ffff);
                payload(PayloadMessage::Remb(Remb { exponent, mantissa, ssrcs: script.some(&ssrcs).into() }))
            }
            14 => payload(PayloadMessage::Unknown { format: 16 | subtype, fci: script.words(text) }),
            15 => Packet::ExtendedReport(ExtendedReport { ssrc: sender_ssrc, blocks: script.some(&reports).into() }),
            _ => Packet::Unknown { packet_type: 208 | subtype & 15, count: subtype, body: script.words(text) },
        });
    }
    with(&packets, script);
}
