use super::extended::{Block, Dlrr, Rle, RleChunk, Statistics, Voip};
use super::feedback::{BitrateLimit, FullIntraRequest, Nack, ReferencePicture, Remb, SliceLoss};
use super::source::{CNAME, Chunk, Item, PRIV};
use super::*;

#[test]
fn the_corpora_hold() {
    crate::corpus::each("rtcp", properties::reading);
    crate::corpus::each("rtcp_building", properties::building);
}

proptest::proptest! {
    #[test]
    fn reading_holds(
        mut bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..120),
        packet_type in 199..209u8,
        words in 0..32u8,
    ) {
        // Most random bytes are another version or of another length.
        if bytes.len() >= 4 {
            let first = 0x80 | bytes[0] & 0x3f;
            bytes[..4].copy_from_slice(&[first, packet_type, 0, words]);
            bytes.truncate(4 + 4 * usize::from(words));
        }
        properties::reading(&bytes);
    }

    #[test]
    fn building_holds(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..900)) {
        properties::building(&bytes);
    }
}

fn corpus(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/../fuzz/corpus/rtcp/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn packets(bytes: &[u8]) -> Vec<Packet<'_>> {
    Compound::parse(bytes, Rules::Compound).unwrap().packets().collect()
}

fn refused(bytes: &[u8]) -> RtcpError {
    Compound::parse(bytes, Rules::ReducedSize).unwrap_err()
}

const RR: [u8; 8] = [0x80, 201, 0, 1, 0, 0, 0, 1];

#[test]
fn a_report_with_description_and_bye() {
    let bytes = corpus("sr-sdes-bye");
    let blocks = [ReportBlock {
        ssrc: 2,
        fraction_lost: 0x40,
        cumulative_lost: -1,
        highest_sequence_number: 0x1_ffff,
        jitter: 7,
        last_sr: 0x7e80_8000,
        delay_since_last_sr: 65_536,
    }];
    let info = SenderInfo { ntp_timestamp: 0x83aa_7e80_8000_0000, rtp_timestamp: 160, packet_count: 5, octet_count: 800 };
    let items = [Item { kind: CNAME, value: b"glar" }];
    let chunks = [Chunk { ssrc: 1, items: (&items).into() }];
    let expected = [
        Packet::SenderReport(SenderReport { ssrc: 1, info, blocks: (&blocks).into(), extension: &[] }),
        Packet::SourceDescription(SourceDescription { chunks: (&chunks).into() }),
        Packet::Bye(Bye { ssrcs: (&[1]).into(), reason: Some(b"gone!!") }),
    ];
    let parsed = packets(&bytes);
    assert_eq!(parsed, expected);
    let Packet::SourceDescription(description) = parsed[1] else { panic!("{parsed:?}") };
    assert_eq!((description.cname(1), description.cname(2)), (Some(&b"glar"[..]), None));
    let mut room = [0; 200];
    let len = write(&expected, Rules::Compound, &mut room).unwrap();
    assert_eq!(&room[..len], &bytes[..]);
}

#[test]
fn all_feedback_about_the_payload() {
    let bytes = corpus("psfb-all");
    let payload = |media_ssrc, message| Packet::PayloadFeedback(PayloadFeedback { sender_ssrc: 1, media_ssrc, message });
    let slices = [SliceLoss { first: 0x1234, count: 0x987, picture_id: 0x25 }];
    let requests = [FullIntraRequest { ssrc: 0xfedc_ba98, sequence_number: 0x30 }];
    let remb = Remb { exponent: 2, mantissa: 0x3_d090, ssrcs: (&[2]).into() };
    assert_eq!(remb.bitrate_bps(), 1_000_000);
    let picture = ReferencePicture { payload_type: 96, bit_string: &[0xf0], unused_bits: 4 };
    let expected = [
        Packet::ReceiverReport(ReceiverReport { ssrc: 1, blocks: List::EMPTY, extension: &[] }),
        payload(2, PayloadMessage::PictureLoss),
        payload(2, PayloadMessage::SliceLoss((&slices).into())),
        payload(2, PayloadMessage::ReferencePicture(picture)),
        payload(0, PayloadMessage::FullIntraRequest((&requests).into())),
        payload(0, PayloadMessage::Remb(remb)),
    ];
    assert_eq!(packets(&bytes), expected);
    let mut room = [0; 200];
    let len = write(&expected, Rules::Compound, &mut room).unwrap();
    assert_eq!(&room[..len], &bytes[..]);
}

#[test]
fn feedback_about_the_transport() {
    let bytes = corpus("nack-tmmbr");
    let parsed = packets(&bytes);
    let Packet::TransportFeedback(TransportFeedback { message: TransportMessage::Nack(nacks), .. }) = parsed[1] else {
        panic!("{parsed:?}")
    };
    let lost: Vec<u16> = nacks.iter().flat_map(Nack::sequence_numbers).collect();
    assert_eq!(lost, [0xfffe, 0xffff, 14]);
    let limit = BitrateLimit { ssrc: 2, exponent: 5, mantissa: 0x51e0, overhead_bytes: 40 };
    assert_eq!(limit.bitrate_bps(), 670_720);
    let Packet::TransportFeedback(TransportFeedback { message: TransportMessage::Tmmbr(limits), .. }) = parsed[2] else {
        panic!("{parsed:?}")
    };
    assert!(limits.iter().eq([limit]));
    let mut room = [0; 200];
    let len = write(&parsed, Rules::Compound, &mut room).unwrap();
    assert_eq!(&room[..len], &bytes[..]);
}

#[test]
fn nacks_are_packed_across_the_wrap_and_as_far_as_there_is_room() {
    let lost = [65_530, 65_530, 65_535, 10, 11, 27, 28, 100];
    let mut nacks = [Nack::default(); 3];
    assert_eq!(Nack::pack(&lost, &mut nacks), (3, 7));
    assert_eq!(nacks[0], Nack { sequence_number: 65_530, following: 1 << 4 | 1 << 15 });
    assert_eq!(nacks[1], Nack { sequence_number: 11, following: 1 << 15 });
    assert_eq!(nacks[2], Nack { sequence_number: 28, following: 0 });
    assert_eq!(Nack::pack(&lost, &mut []), (0, 0));
}

#[test]
fn transport_wide_feedback_is_read_symbol_by_symbol() {
    let bytes = corpus("twcc");
    let parsed = packets(&bytes);
    let Packet::TransportFeedback(TransportFeedback { message: TransportMessage::TransportWide(feedback), .. }) = parsed[1]
    else {
        panic!("{parsed:?}")
    };
    // A run of three with short deltas; then of seven symbols of two bits: short, missing, long, missing and so on.
    let received = |delta_250us| Arrival::Received { delta_250us };
    let expected = [
        (5, received(1)),
        (6, received(2)),
        (7, received(3)),
        (8, received(4)),
        (9, Arrival::Missing),
        (10, received(-200)),
        (11, Arrival::Missing),
        (12, Arrival::Missing),
        (13, Arrival::Missing),
    ];
    assert_eq!((feedback.base_sequence_number(), feedback.packet_count(), feedback.feedback_count()), (5, 9, 2));
    assert_eq!(feedback.reference_time(), 241);
    let arrivals: Vec<_> = feedback.arrivals().collect();
    assert_eq!(arrivals, expected);
}

#[test]
fn transport_wide_feedback_takes_any_padding_and_no_reserved_symbol() {
    let chrome = corpus("twcc-chrome-padding");
    assert_eq!(Compound::parse(&chrome, Rules::ReducedSize).unwrap().packets().count(), 1);
    assert_eq!(refused(&corpus("twcc-reserved-symbol")), RtcpError::StatusSymbol { packet: 6 });
    let feedback = |count: u8, rest: [u8; 4]| {
        let mut bytes = vec![0x8f, 205, 0, 5, 0, 0, 0, 1, 0, 0, 0, 2, 0, 5, 0, count, 0, 0, 0, 0];
        bytes.extend(rest);
        bytes
    };
    assert_eq!(refused(&feedback(1, [0x60, 1, 0, 0])), RtcpError::StatusSymbol { packet: 0 }, "in a run");
    assert!(Compound::parse(&feedback(1, [0xd3, 0, 1, 0]), Rules::ReducedSize).is_ok(), "beyond the packets, nobody's");
    let deltas = |expected, got| RtcpError::Truncated { part: "receive deltas", expected, got };
    assert_eq!(refused(&feedback(3, [0x20, 3, 1, 2])), deltas(3, 2));
    assert_eq!(refused(&feedback(2, [0x40, 2, 1, 2])), deltas(4, 2));
    // Three bytes may fill the last word; a word more is not filled by anything.
    let mut longer = feedback(1, [0x20, 1, 7, 0]);
    assert!(Compound::parse(&longer, Rules::ReducedSize).is_ok());
    longer.extend([0; 4]);
    longer[3] += 1;
    assert_eq!(refused(&longer), RtcpError::TooLong { part: "after the receive deltas", expected_max: 0, got: 2 });
    let chunks = RtcpError::Truncated { part: "packet status chunks", expected: 6, got: 4 };
    assert_eq!(refused(&feedback(15, [0x80, 0, 0, 0])), chunks);
}

#[test]
fn transport_wide_feedback_is_packed_as_far_as_there_is_room() {
    let arrivals = [Arrival::Received { delta_250us: 1 }; 100];
    let mut room = [0xff; 62];
    let feedback = TransportWide::pack(65_500, -1, 9, &arrivals, &mut room).unwrap();
    let count = usize::from(feedback.packet_count());
    assert!((44..100).contains(&count), "{count}");
    assert_eq!((feedback.reference_time(), feedback.feedback_count()), (-1, 9));
    let read: Vec<u16> = feedback.arrivals().map(|(sequence_number, _)| sequence_number).collect();
    let expected: Vec<u16> = (0..count).map(|index| 65_500u16.wrapping_add(index as u16)).collect();
    assert_eq!(read, expected);
    let far = [Arrival::Received { delta_250us: -1 }; 7];
    for len in 8..40 {
        let (mut room, room_len) = ([0; 40], len / 4 * 4);
        let packed = TransportWide::pack(0, 0, 0, &far, &mut room[..len]).map(|feedback| feedback.packet_count());
        assert_eq!(packed, if len < 24 { Err(RtcpError::Room { expected: 24, got: room_len }) } else { Ok(7) });
        let none = TransportWide::pack(0, 0, 0, &[], &mut room[..len]).map(|feedback| feedback.packet_count());
        assert_eq!(none, Ok(0));
    }
    assert_eq!(TransportWide::pack(0, 0, 0, &arrivals, &mut [0; 7]), Err(RtcpError::Room { expected: 8, got: 4 }));
    let range =
        RtcpError::Range { part: "TWCC reference time", expected_min: -0x80_0000, expected_max: 0x7f_ffff, got: 0x80_0000 };
    assert_eq!(TransportWide::pack(0, 0x80_0000, 0, &arrivals, &mut [0; 99]), Err(range));
}

#[test]
fn all_extended_reports() {
    let bytes = corpus("xr-all");
    let loss = [
        RleChunk::Run { bit: true, length: 9 },
        RleChunk::Vector(0x123),
        RleChunk::Run { bit: false, length: 3 },
        RleChunk::Null,
    ];
    let duplicates = [RleChunk::Run { bit: true, length: 3 }, RleChunk::Null];
    let rle = Rle { thinning: 0, ssrc: 2, begin: 5, end: 20, chunks: (&loss).into() };
    let statistics = Statistics {
        has_lost: true,
        has_duplicates: true,
        has_jitter: true,
        ttl_or_hop_limit: 1,
        ssrc: 2,
        begin: 5,
        end: 20,
        lost: 1,
        duplicates: 2,
        jitter: [3, 4, 5, 6],
        ttl: [1, 2, 3, 4],
    };
    let voip = Voip {
        ssrc: 2,
        loss_rate: 1,
        discard_rate: 2,
        burst_density: 3,
        gap_density: 4,
        burst_duration_ms: 100,
        gap_duration_ms: 101,
        round_trip_delay_ms: 102,
        end_system_delay_ms: 103,
        signal_level_dbm0: -48,
        noise_level_dbm0: -80,
        residual_echo_return_loss_db: 31,
        gmin: 16,
        r_factor: 93,
        external_r_factor: 94,
        mos_lq: 43,
        mos_cq: 44,
        receiver_configuration: 0xa0,
        jitter_buffer_nominal_ms: 40,
        jitter_buffer_maximum_ms: 80,
        jitter_buffer_absolute_maximum_ms: 150,
    };
    let answers = [
        Dlrr { ssrc: 2, last_rr: 0x7e80_8000, delay_since_last_rr: 65_536 },
        Dlrr { ssrc: 3, last_rr: 0x7e80_8001, delay_since_last_rr: 131_072 },
    ];
    let times = extended::ReceiptTimes { thinning: 1, ssrc: 2, begin: 4, end: 8, times: (&[1, 2]).into() };
    let blocks = [
        Block::LossRle(rle),
        Block::DuplicateRle(Rle { thinning: 2, chunks: (&duplicates).into(), ..rle }),
        Block::ReceiptTimes(times),
        Block::ReferenceTime(0x83aa_7e80_8000_0000),
        Block::Dlrr((&answers).into()),
        Block::Statistics(statistics),
        Block::Voip(voip),
        Block::Unknown { block_type: 99, type_specific: 255, data: &[0xde, 0xad, 0xbe, 0xef] },
        Block::Dlrr(List::EMPTY),
    ];
    let expected = Packet::ExtendedReport(ExtendedReport { ssrc: 1, blocks: (&blocks).into() });
    let parsed = packets(&bytes);
    assert_eq!(parsed[1], expected);
    let mut room = [0; 300];
    let len = write(&parsed[..1], Rules::Compound, &mut room).unwrap();
    assert_eq!(&room[..len], &RR);
    let len = write(&[expected], Rules::ReducedSize, &mut room).unwrap();
    assert_eq!(&room[..len], &bytes[8..]);
}

#[test]
fn a_run_length_encoding_says_which_packets() {
    let chunks = [RleChunk::Run { bit: true, length: 3 }, RleChunk::Vector(0b101 << 12), RleChunk::Null, RleChunk::Vector(1)];
    let rle = Rle { thinning: 0, ssrc: 2, begin: 65_534, end: 4, chunks: (&chunks).into() };
    let bits: Vec<_> = rle.bits().collect();
    assert_eq!(bits, [(65_534, true), (65_535, true), (0, true), (1, true), (2, false), (3, true)]);
    let thin: Vec<_> = Rle { thinning: 2, begin: 65_531, end: 9, ..rle }.bits().collect();
    assert_eq!(thin, [(65_532, true), (0, true), (4, true), (8, true)]);
    let all = Rle { begin: 7, end: 6, ..rle };
    assert_eq!(all.bits().count(), 18, "a null chunk ends it");
}

#[test]
fn padding_is_stripped_from_the_last_packet_only() {
    let padded = |padding: u8| [0xa0, 201, 0, 2, 0, 0, 0, 1, 0, 0, 0, padding];
    assert_eq!(packets(&padded(4)), packets(&RR));
    for got in [0, 9, 255] {
        assert_eq!(refused(&padded(got)), RtcpError::Padding { expected_max: 8, got });
    }
    assert_eq!(refused(&padded(8)), RtcpError::Truncated { part: "receiver report", expected: 4, got: 0 });
    assert_eq!(refused(&padded(3)), RtcpError::Words { part: "profile extension", got: 1 });
    assert_eq!(refused(&[0xa0, 203, 0, 0]), RtcpError::Padding { expected_max: 0, got: 0 });
    assert_eq!(refused(&corpus("padding-not-last")), RtcpError::PaddingNotLast { expected: 28, got: 12 });
    // What `rtcp-types` panics on: padding longer than the packet's data.
    let app = [0xa0, 204, 0, 3, 0, 0, 0, 1, b'g', b'l', b'a', b'r', 0, 0, 0, 16];
    assert_eq!(refused(&app), RtcpError::Padding { expected_max: 12, got: 16 });
}

#[test]
fn what_a_compound_packet_begins_with() {
    for packet_type in 0..=255 {
        let bytes = [0x80, packet_type, 0, 1, 0, 0, 0, 1];
        let result = Compound::parse(&bytes, Rules::Compound);
        match packet_type {
            // A sender report is longer.
            200 => assert!(matches!(result, Err(RtcpError::Truncated { expected: 24, got: 4, .. }))),
            201 => assert!(result.is_ok()),
            got => assert_eq!(result, Err(RtcpError::FirstPacket { got })),
        }
    }
    let bye = [Packet::Bye(Bye { ssrcs: List::EMPTY, reason: None })];
    assert_eq!(wire_len(&bye, Rules::Compound), Err(RtcpError::FirstPacket { got: 203 }));
    assert_eq!(wire_len(&bye, Rules::ReducedSize), Ok(4));
    assert_eq!(wire_len(&[], Rules::ReducedSize), Err(RtcpError::Truncated { part: "compound packet", expected: 4, got: 0 }));
    assert_eq!(refused(&[]), RtcpError::Truncated { part: "RTCP header", expected: 4, got: 0 });
    assert_eq!(refused(&[0x40, 201, 0, 0]), RtcpError::Version { got: 1 });
    let second = [&RR[..], &[0xc0, 201, 0, 0]].concat();
    assert_eq!(refused(&second), RtcpError::Version { got: 3 }, "of the second packet");
}

/// What was over-read elsewhere: BYE reasons, cut reports, extended report blocks.
#[test]
fn lengths_are_checked_before_they_are_used() {
    let truncated = |part, expected, got| RtcpError::Truncated { part, expected, got };
    assert_eq!(refused(&corpus("bye-reason-too-long")), truncated("BYE reason", 255, 3));
    assert_eq!(refused(&corpus("truncated-rr")), truncated("report block", 24, 0));
    assert_eq!(refused(&corpus("xr-block-past-the-end")), truncated("XR block", 8, 0));
    let bye = [0x81, 203, 0, 3, 0, 0, 0, 1, 2, b'o', b'k', 0, 0, 0, 0, 0];
    assert_eq!(refused(&bye), RtcpError::TooLong { part: "after the BYE reason", expected_max: 0, got: 4 });
    for count in 1..=31 {
        let bye = [0x80 | count, 203, 0, 0];
        assert_eq!(refused(&bye), truncated("32 bits", 4, 0));
    }
    for (block_type, words, part, need) in [
        (1, 1, "RLE block", 8),
        (2, 1, "RLE block", 8),
        (3, 1, "packet receipt times block", 8),
        (4, 1, "receiver reference time block", 8),
        (5, 2, "DLRR sub-block", 12),
        (6, 8, "statistics summary block", 36),
        (7, 7, "VoIP metrics block", 32),
    ] {
        let xr = |words: u8| {
            let mut bytes = vec![0; 12 + 4 * usize::from(words)];
            bytes[..4].copy_from_slice(&[0x80, 207, 0, 2 + words]);
            (bytes[8], bytes[11]) = (block_type, words);
            bytes
        };
        assert_eq!(refused(&xr(words)), truncated(part, need, 4 * usize::from(words)), "{block_type}");
        assert!(Compound::parse(&xr(words + 1), Rules::ReducedSize).is_ok(), "{block_type}");
        if matches!(block_type, 4 | 6 | 7) {
            let got = 4 * usize::from(words) + 8;
            assert_eq!(refused(&xr(words + 2)), RtcpError::TooLong { part, expected_max: need, got });
        }
    }
    // Every prefix of a good compound packet is an error, or ends with a whole packet.
    for name in ["sr-sdes-bye", "psfb-all", "nack-tmmbr", "twcc", "xr-all"] {
        let bytes = corpus(name);
        let mut ends = vec![];
        while ends.last() != Some(&bytes.len()) {
            let at = ends.last().copied().unwrap_or(0);
            ends.push(at + 4 + 4 * usize::from(bytes[at + 3]));
        }
        for len in 0..bytes.len() {
            assert_eq!(Compound::parse(&bytes[..len], Rules::Compound).is_ok(), ends.contains(&len), "{name} {len}");
        }
    }
}

#[test]
fn source_descriptions_end_where_they_say() {
    let sdes = |count: u8, body: &[u8]| [&[0x80 | count, 202, 0, (body.len() / 4) as u8], body].concat();
    // The item ends with a word, so the zero takes another one.
    let chunk = [0, 0, 0, 1, 1, 2, b'a', b'b', 0, 0, 0, 0];
    assert!(Compound::parse(&sdes(1, &chunk), Rules::ReducedSize).is_ok());
    let truncated = |part, expected, got| RtcpError::Truncated { part, expected, got };
    assert_eq!(refused(&sdes(1, &chunk[..8])), truncated("SDES chunk", 12, 8));
    assert_eq!(refused(&sdes(2, &chunk)), truncated("SDES chunk", 4, 0));
    assert_eq!(refused(&sdes(0, &chunk)), RtcpError::TooLong { part: "after the last SDES chunk", expected_max: 0, got: 12 });
    assert_eq!(refused(&sdes(1, &[0, 0, 0, 1, 1, 3, b'a', b'b'])), truncated("SDES item", 3, 2));
    assert_eq!(refused(&sdes(1, &[0, 0, 0, 1, PRIV, 2, 2, b'b', 0, 0, 0, 0])), truncated("SDES PRIV item", 3, 2));
    let private = Item { kind: PRIV, value: &[1, b'x', b'y', b'z'] };
    assert_eq!(private.private(), Some((&b"x"[..], &b"yz"[..])));
    // A source of number 0 after the zeros of another one.
    let two = [&chunk[..], &[0, 0, 0, 0, 2, 1, b'c', 0]].concat();
    let two = sdes(2, &two);
    let Some(Packet::SourceDescription(two)) = Compound::parse(&two, Rules::ReducedSize).unwrap().packets().next() else {
        panic!("no description")
    };
    assert!(two.chunks.iter().map(|chunk| (chunk.ssrc, chunk.items.count())).eq([(1, 1), (0, 1)]));
}

#[test]
fn what_no_packet_can_say_is_not_written() {
    let refused = |packet: Packet<'_>| wire_len(&[packet], Rules::ReducedSize).unwrap_err();
    let too_long = |part, expected_max, got| RtcpError::TooLong { part, expected_max, got };
    let range = |part, expected_min, expected_max, got| RtcpError::Range { part, expected_min, expected_max, got };
    let blocks = [ReportBlock::default(); 32];
    let report = ReceiverReport { ssrc: 1, blocks: (&blocks).into(), extension: &[] };
    assert_eq!(refused(Packet::ReceiverReport(report)), too_long("report blocks", 31, 32));
    for got in [-0x80_0001, 0x80_0000] {
        let blocks = [ReportBlock { cumulative_lost: got, ..ReportBlock::default() }];
        let report = ReceiverReport { ssrc: 1, blocks: (&blocks).into(), extension: &[] };
        assert_eq!(refused(Packet::ReceiverReport(report)), range("cumulative lost", -0x80_0000, 0x7f_ffff, got.into()));
    }
    let report = ReceiverReport { ssrc: 1, blocks: List::EMPTY, extension: &[1, 2] };
    assert_eq!(refused(Packet::ReceiverReport(report)), RtcpError::Words { part: "profile extension", got: 2 });
    assert_eq!(refused(Packet::Bye(Bye { ssrcs: (&[0; 32]).into(), reason: None })), too_long("BYE sources", 31, 32));
    let reason = Some(&[b'x'; 256][..]);
    assert_eq!(refused(Packet::Bye(Bye { ssrcs: List::EMPTY, reason })), too_long("BYE reason", 255, 256));
    let app = App { subtype: 32, ssrc: 1, name: *b"glar", data: &[] };
    assert_eq!(refused(Packet::App(app)), range("APP subtype", 0, 31, 32));
    let items = [Item { kind: 0, value: &[] }, Item { kind: 1, value: &[0; 256] }];
    let expected = [range("SDES item type", 1, 255, 0), too_long("SDES item", 255, 256)];
    for (item, error) in items.iter().zip(expected) {
        let chunk = [Chunk { ssrc: 1, items: std::slice::from_ref(item).into() }];
        assert_eq!(refused(Packet::SourceDescription(SourceDescription { chunks: (&chunk).into() })), error);
    }
    let transport = |message| Packet::TransportFeedback(TransportFeedback { sender_ssrc: 1, media_ssrc: 2, message });
    let empty = RtcpError::Truncated { part: "generic NACK", expected: 4, got: 0 };
    assert_eq!(refused(transport(TransportMessage::Nack(List::EMPTY))), empty);
    assert_eq!(refused(transport(TransportMessage::Unknown { format: 32, fci: &[] })), range("feedback format", 0, 31, 32));
    let limit = [BitrateLimit { mantissa: 0x2_0000, ..BitrateLimit::default() }];
    assert_eq!(refused(transport(TransportMessage::Tmmbr((&limit).into()))), range("TMMBR mantissa", 0, 0x1_ffff, 0x2_0000));
    let payload = |message| Packet::PayloadFeedback(PayloadFeedback { sender_ssrc: 1, media_ssrc: 2, message });
    let picture = ReferencePicture { payload_type: 1, bit_string: &[], unused_bits: 1 };
    assert_eq!(refused(payload(PayloadMessage::ReferencePicture(picture))), range("unused bits", 0, 0, 1));
    let chunks = [RleChunk::Run { bit: false, length: 0 }];
    let rle = Rle { thinning: 0, ssrc: 1, begin: 0, end: 1, chunks: (&chunks).into() };
    let xr = |blocks: &[Block<'_>]| refused(Packet::ExtendedReport(ExtendedReport { ssrc: 1, blocks: blocks.into() }));
    assert_eq!(xr(&[Block::LossRle(rle)]), range("run length", 1, 0x3fff, 0));
    let large = vec![0; COMPOUND_LEN_MAX + 1];
    let unknown = Packet::Unknown { packet_type: 210, count: 0, body: &large };
    assert_eq!(refused(unknown), too_long("compound packet", COMPOUND_LEN_MAX, COMPOUND_LEN_MAX + 5));
    assert_eq!(
        Compound::parse(&large, Rules::Compound),
        Err(too_long("compound packet", COMPOUND_LEN_MAX, COMPOUND_LEN_MAX + 1))
    );
}

#[test]
fn what_is_written_as_unknown_is_read_as_unknown() {
    let read_again = |packet: Packet<'_>, known: bool| {
        let mut room = [0; 64];
        match write(&[packet], Rules::ReducedSize, &mut room) {
            Ok(len) => {
                let again = Compound::parse(&room[..len], Rules::ReducedSize).map(|compound| compound.packets().eq([packet]));
                assert!(!known && again == Ok(true), "{packet:?}");
            }
            Err(error) => assert!(known && matches!(error, RtcpError::Known { .. }), "{error} {packet:?}"),
        }
    };
    let body = &[0, 0, 0, 7];
    for packet_type in 0..=255 {
        read_again(Packet::Unknown { packet_type, count: 3, body }, (200..=207).contains(&packet_type));
        let blocks = [Block::Unknown { block_type: packet_type, type_specific: 9, data: body }];
        let report = ExtendedReport { ssrc: 1, blocks: (&blocks).into() };
        read_again(Packet::ExtendedReport(report), (1..=7).contains(&packet_type));
    }
    let payload = |message| Packet::PayloadFeedback(PayloadFeedback { sender_ssrc: 1, media_ssrc: 2, message });
    for format in 0..32 {
        let message = TransportMessage::Unknown { format, fci: body };
        let transport = Packet::TransportFeedback(TransportFeedback { sender_ssrc: 1, media_ssrc: 2, message });
        read_again(transport, matches!(format, 1 | 3 | 4 | 15));
        read_again(payload(PayloadMessage::Unknown { format, fci: body }), matches!(format, 1..=4 | 15));
    }
    for (fci, known) in [(&b"REMB\0\0\0\0"[..], true), (b"REMC", false), (b"", false)] {
        read_again(payload(PayloadMessage::Application(fci)), known);
    }
}

#[test]
fn a_bitrate_that_cannot_be_written_is_no_overflow() {
    for exponent in 0..=255 {
        let expected = 3 << (exponent & 63);
        assert_eq!(BitrateLimit { exponent, mantissa: 3, ..BitrateLimit::default() }.bitrate_bps(), expected);
        assert_eq!(Remb { exponent, mantissa: 3, ssrcs: List::EMPTY }.bitrate_bps(), expected);
    }
}

#[test]
fn each_refusal_is_counted_once_and_nothing_else() {
    let mut counters = RtcpCounters::default();
    let mut take = |bytes: &[u8]| {
        let _ = Compound::parse_counted(bytes, Rules::Compound, &mut counters);
    };
    let unknown = [&RR[..], &[0x80, 210, 0, 0]].concat();
    let symbol = [&RR[..], &corpus("twcc-reserved-symbol")].concat();
    take(&RR);
    take(&unknown);
    take(&RR[..7]);
    take(&[0x80, 204, 0, 0]);
    take(&[0x00, 201, 0, 0]);
    take(&corpus("padding-not-last"));
    take(&[0xa0, 201, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0]);
    take(&[0xa0, 201, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3]);
    take(&symbol);
    take(&vec![0; COMPOUND_LEN_MAX + 1]);
    let expected = RtcpCounters {
        compounds: 2,
        packets: 3,
        unknown: 1,
        truncated: 1,
        too_long: 1,
        words: 1,
        version: 1,
        padding: 2,
        first_packet: 1,
        range: 0,
        status_symbol: 1,
    };
    assert_eq!(counters, expected);
    assert_eq!(counters.refused(), 8);
}
