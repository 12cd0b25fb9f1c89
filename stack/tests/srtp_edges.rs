//! SRTP where things meet: keys that change while packets are in flight, counters that are told, packets that are too long.

use stack::buffer::Mbuf;
use stack::srtp::{KeyLifetime, MasterKey, Policy, Profile, Receiver, Sender, Session, SrtpError};

const SSRC: u32 = 7;

fn key(profile: Profile, number: u8, mki: &[u8]) -> MasterKey {
    let key = MasterKey::new(profile, &vec![number; profile.key_len()], &vec![0x5a; profile.salt_len()]).unwrap();
    key.with_mki(mki).unwrap()
}

fn policy(profile: Profile) -> Policy {
    Policy::with_null_cipher_for_tests(profile)
}

/// With so many words of header extension, and so many bytes of payload.
fn rtp_packet(sequence_number: u16, words: u8, payload_len: usize) -> Mbuf {
    let mut packet = vec![0x80 | u8::from(words > 0) << 4, 96];
    packet.extend(sequence_number.to_be_bytes());
    packet.extend([0; 4]);
    packet.extend(SSRC.to_be_bytes());
    if words > 0 {
        packet.extend([0xbe, 0xde, 0, words]);
        packet.extend(vec![0; 4 * usize::from(words)]);
    }
    packet.resize(packet.len() + payload_len, 0);
    Mbuf::copy_of(&packet, 0, 0)
}

fn rtcp_packet() -> Mbuf {
    let mut packet = vec![0x80, 200, 0, 6];
    packet.extend(SSRC.to_be_bytes());
    packet.extend([9; 20]);
    Mbuf::copy_of(&packet, 0, 0)
}

/// Of any two lengths of MKI, and of a packet that its own keys leave no more than a header: where the new keys look for its
/// parts, there is anything.
#[test]
fn a_packet_in_flight_is_taken_whatever_the_new_keys_make_of_it() {
    let mkis: [&[u8]; 6] = [b"", b"\x00", b"key1", b"\x80\0\0\0", b"\xff\xff\xff\xff\xff", &[3; 128]];
    for profile in Profile::ALL {
        for (old, new) in mkis.iter().flat_map(|old| mkis.iter().map(move |new| (*old, *new))) {
            let mut sender = Sender::new(policy(profile), &[key(profile, 1, old)]).unwrap();
            let mut receiver = Receiver::new(policy(profile), &[key(profile, 1, old)]).unwrap();
            // The window is not empty.
            let mut packets: Vec<Mbuf> = (0..4).map(|_| rtcp_packet()).chain([rtp_packet(0, 0, 20)]).collect();
            for packet in &mut packets {
                sender.protect(packet).unwrap();
                receiver.unprotect(packet).unwrap();
            }
            let plain: Vec<Mbuf> = (0..12)
                .map(|at| match at {
                    0..4 => rtcp_packet(),
                    _ => rtp_packet(at, (at % 3) as u8 * 5, usize::from(at % 2) * 33),
                })
                .collect();
            let mut in_flight: Vec<Mbuf> = plain.iter().map(|packet| Mbuf::copy_of(packet.bytes(), 0, 0)).collect();
            in_flight.iter_mut().for_each(|packet| sender.protect(packet).unwrap());
            receiver.rekey(&[key(profile, 2, new)]).unwrap();
            for (at, (packet, plain)) in in_flight.iter_mut().zip(&plain).enumerate() {
                let again = packet.bytes().to_vec();
                let result = receiver.unprotect(packet);
                assert_eq!(result, Ok(()), "{profile}: packet {at} of keys with MKI {old:02x?} after {new:02x?} came");
                assert_eq!(packet.bytes(), plain.bytes());
                receiver.unprotect(&mut Mbuf::copy_of(&again, 0, 0)).expect_err("it was here");
            }
        }
    }
}

/// The rollover counter that is in use may be told at any time: also when the next packet is past it.
#[test]
fn a_counter_that_is_told_late_stops_nothing() {
    let profile = Profile::AesCm128HmacSha1_80;
    let keys = [key(profile, 1, b"")];
    let (mut sender, mut receiver) =
        (Sender::new(policy(profile), &keys).unwrap(), Receiver::new(policy(profile), &keys).unwrap());
    for sequence_number in [0xfffe, 0xffff, 0, 1] {
        let mut packet = rtp_packet(sequence_number, 0, 20);
        assert_eq!(sender.protect(&mut packet), Ok(()), "{sequence_number}");
        assert_eq!(receiver.unprotect(&mut packet), Ok(()), "{sequence_number}");
        sender.set_roc(SSRC, sender.roc(SSRC).unwrap()).unwrap();
        receiver.set_roc(SSRC, receiver.roc(SSRC).unwrap()).unwrap();
    }
    assert_eq!((sender.roc(SSRC), receiver.roc(SSRC)), (Some(1), Some(1)));
    // Far ahead under the same counter, which nobody would tell without being told.
    sender.set_roc(SSRC, 1).unwrap();
    receiver.set_roc(SSRC, 1).unwrap();
    let mut packet = rtp_packet(0xf000, 0, 20);
    sender.protect(&mut packet).unwrap();
    receiver.unprotect(&mut packet).unwrap();
    assert_eq!((sender.roc(SSRC), receiver.roc(SSRC)), (Some(1), Some(1)));
}

#[test]
fn no_mki_names_no_key_that_has_one() {
    let profile = Profile::AesCm128HmacSha1_80;
    let mut sender = Sender::new(policy(profile), &[key(profile, 1, b"a"), key(profile, 2, b"b")]).unwrap();
    sender.select_key(b"b").unwrap();
    assert_eq!(sender.select_key(b""), Err(SrtpError::UnknownMki { keys: 2 }));
    assert_eq!(sender.select_key(b"bb"), Err(SrtpError::UnknownMki { keys: 2 }));
    let mut packet = rtp_packet(0, 0, 20);
    sender.protect(&mut packet).unwrap();
    assert_eq!(packet.bytes()[32], b'b', "another key was selected");
    let mut sender = Sender::new(policy(profile), &[key(profile, 1, b"")]).unwrap();
    assert_eq!((sender.select_key(b"a"), sender.select_key(b"")), (Err(SrtpError::UnknownMki { keys: 1 }), Ok(())));
}

/// How much one master key protects does not depend on how many names it has.
#[test]
fn one_master_key_has_one_name() {
    for profile in Profile::ALL {
        let once = KeyLifetime { rtp_packets: 1, rtcp_packets: 1 };
        let keys = [key(profile, 1, b"a"), key(profile, 1, b"b")];
        let policy = policy(profile).lifetime(once).unwrap();
        assert_eq!(Sender::new(policy.clone(), &keys).err(), Some(SrtpError::MasterKeyTwice));
        let mut receiver = Receiver::new(policy, &keys[..1]).unwrap();
        assert_eq!(receiver.rekey(&keys), Err(SrtpError::MasterKeyTwice));
    }
}

/// Counter mode has 16 bits for the blocks of a packet: one more, and the next packet's keystream begins.
#[test]
fn a_packet_is_refused_before_its_keystream_is_the_next_ones() {
    const LEN_MAX: usize = 1 << 20;
    for profile in Profile::ALL {
        let keys = [key(profile, 1, b"")];
        let (mut sender, mut receiver) =
            (Sender::new(policy(profile), &keys).unwrap(), Receiver::new(policy(profile), &keys).unwrap());
        let mut results = Vec::new();
        for is_rtcp in [false, true] {
            let of_len = |len: usize| {
                let mut bytes = if is_rtcp { rtcp_packet() } else { rtp_packet(0, 0, 0) }.bytes().to_vec();
                bytes.resize(len, 0);
                Mbuf::copy_of(&bytes, 0, 100)
            };
            let mut long = of_len(LEN_MAX + 1);
            let plain = long.bytes().to_vec();
            let kind = if is_rtcp { "RTCP" } else { "RTP" };
            let too_long = SrtpError::TooLong { kind, expected_max: LEN_MAX, got: LEN_MAX + 1 };
            assert_eq!(sender.protect(&mut long), Err(too_long), "{profile}");
            sender.protect_batch(std::slice::from_mut(&mut long), &mut results);
            assert_eq!(results, [Err(too_long)], "{profile}");
            assert_eq!(long.bytes(), plain);
            let mut longest = of_len(LEN_MAX);
            let plain = longest.bytes().to_vec();
            sender.protect(&mut longest).unwrap();
            let mut protected = longest.bytes().to_vec();
            receiver.unprotect(&mut longest).unwrap();
            assert_eq!(longest.bytes(), plain);
            protected.push(0);
            let mut long = Mbuf::copy_of(&protected, 0, 0);
            let expected_max = protected.len() - 1;
            let kind = if is_rtcp { "SRTCP" } else { "SRTP" };
            let too_long = SrtpError::TooLong { kind, expected_max, got: expected_max + 1 };
            assert_eq!(receiver.unprotect(&mut long), Err(too_long), "{profile}");
            receiver.unprotect_batch(std::slice::from_mut(&mut long), &mut results);
            assert_eq!(results, [Err(too_long)], "{profile}");
        }
        assert_eq!((sender.counters().malformed, receiver.counters().malformed), (4, 4));
    }
}

#[test]
fn keys_of_which_one_side_is_at_fault_change_neither() {
    let profile = Profile::AesCm128HmacSha1_80;
    let [first, second] = [1, 2].map(|number| [key(profile, number, b"m")]);
    let wrong = [key(Profile::AeadAes128Gcm, 3, b"m")];
    let fault = SrtpError::KeyProfile { expected: profile, got: Profile::AeadAes128Gcm };
    let session = Session::new();
    session.key(&policy(profile), &first, &first).unwrap();
    assert_eq!(session.rekey(&wrong, &second), Err(fault));
    assert_eq!(session.rekey(&second, &wrong), Err(fault));
    let takes = |keys: &[MasterKey], sequence_number| {
        let mut packet = rtp_packet(sequence_number, 0, 20);
        Sender::new(policy(profile), keys).unwrap().protect(&mut packet).unwrap();
        session.unprotect(&mut packet)
    };
    assert_eq!(takes(&second, 1), Err(SrtpError::Authentication { ssrc: SSRC }));
    assert_eq!(takes(&first, 1), Ok(()));
    let sends_under = |keys: &[MasterKey], sequence_number| {
        let mut packet = rtp_packet(sequence_number, 0, 20);
        session.protect(&mut packet).unwrap();
        Receiver::new(policy(profile), keys).unwrap().unprotect(&mut packet).is_ok()
    };
    assert!(sends_under(&first, 1));
    session.rekey(&second, &second).unwrap();
    assert!(takes(&second, 2).is_ok() && takes(&first, 3).is_ok() && sends_under(&second, 2));
}

/// The last packets that a master key may protect, in one batch and one after the other: RTP and RTCP each, of more streams than
/// there is room for, into buffers without room.
#[test]
fn limits_hold_within_a_batch() {
    for profile in Profile::ALL {
        let lifetime = KeyLifetime { rtp_packets: 5, rtcp_packets: 1 };
        let policy = policy(profile).lifetime(lifetime).unwrap().streams_max(2);
        let keys = [key(profile, 1, b"k")];
        let packets = || -> Vec<Mbuf> {
            let of_stream = |ssrc: u8, sequence_number| {
                let mut packet = rtp_packet(sequence_number, 0, 20);
                packet.bytes_mut()[11] = ssrc;
                packet
            };
            let tight = |packet: Mbuf| packet.limited_to(0);
            vec![
                of_stream(1, 1),
                tight(of_stream(2, 1)),
                of_stream(1, 1),
                of_stream(2, 2),
                of_stream(3, 1),
                rtcp_packet(),
                of_stream(1, 2),
                of_stream(1, 3),
                of_stream(1, 4),
                of_stream(2, 3),
                of_stream(1, 3),
            ]
        };
        let (mut in_batch, mut in_sequence) =
            (Sender::new(policy.clone(), &keys).unwrap(), Sender::new(policy.clone(), &keys).unwrap());
        let (mut together, mut results) = (packets(), Vec::new());
        in_batch.protect_batch(&mut together, &mut results);
        let mut one_by_one = packets();
        let expected: Vec<_> = one_by_one.iter_mut().map(|packet| in_sequence.protect(packet)).collect();
        assert_eq!(results, expected, "{profile}");
        assert_eq!((in_batch.counters(), in_batch.packets_left()), (in_sequence.counters(), in_sequence.packets_left()));
        let counters = in_batch.counters();
        assert_eq!((counters.accepted, counters.key_expired, counters.stream_limit), (5, 1, 2), "{profile}: {results:?}");
        assert_eq!((counters.no_room, counters.replayed), (1, 2), "{profile}: {results:?}");
        // A receiver of a shorter life is where it ends in the same way.
        let lifetime = KeyLifetime { rtp_packets: 3, rtcp_packets: 0 };
        let policy = policy.lifetime(lifetime).unwrap();
        let (mut in_batch, mut in_sequence) =
            (Receiver::new(policy.clone(), &keys).unwrap(), Receiver::new(policy, &keys).unwrap());
        let mut copies: Vec<Mbuf> = together.iter().map(|packet| Mbuf::copy_of(packet.bytes(), 0, 0)).collect();
        in_batch.unprotect_batch(&mut copies, &mut results);
        let expected: Vec<_> = one_by_one.iter_mut().map(|packet| in_sequence.unprotect(packet)).collect();
        assert_eq!(results, expected, "{profile}");
        assert_eq!(in_batch.counters(), in_sequence.counters());
        assert_eq!(in_batch.counters().accepted, 3);
        assert_eq!(in_batch.counters().accepted + in_batch.counters().refused(), copies.len() as u64);
    }
}

/// A key that stays among the new ones goes on counting on both sides: a rekeying lengthens no life.
#[test]
fn a_key_that_stays_has_no_second_life() {
    for profile in Profile::ALL {
        let policy = policy(profile).lifetime(KeyLifetime { rtp_packets: 3, rtcp_packets: 2 }).unwrap();
        let (stays, comes) = (key(profile, 1, b"a"), key(profile, 2, b"b"));
        let mut sender = Sender::new(policy.clone(), std::slice::from_ref(&stays)).unwrap();
        let mut receiver = Receiver::new(policy, std::slice::from_ref(&stays)).unwrap();
        let exchange = |sender: &mut Sender, receiver: &mut Receiver, mut packet: Mbuf| {
            sender.protect(&mut packet)?;
            receiver.unprotect(&mut packet)
        };
        for sequence_number in 0..2 {
            exchange(&mut sender, &mut receiver, rtp_packet(sequence_number, 0, 9)).unwrap();
        }
        exchange(&mut sender, &mut receiver, rtcp_packet()).unwrap();
        let keys = [stays, comes];
        sender.rekey(&keys).unwrap();
        receiver.rekey(&keys).unwrap();
        assert_eq!(sender.packets_left(), (1, 1));
        exchange(&mut sender, &mut receiver, rtp_packet(2, 0, 9)).unwrap();
        exchange(&mut sender, &mut receiver, rtcp_packet()).unwrap();
        let expired = |limit| Err(SrtpError::KeyExpired { limit });
        assert_eq!(exchange(&mut sender, &mut receiver, rtp_packet(3, 0, 9)), expired(3));
        assert_eq!(exchange(&mut sender, &mut receiver, rtcp_packet()), expired(2));
        sender.select_key(b"b").unwrap();
        exchange(&mut sender, &mut receiver, rtp_packet(3, 0, 9)).unwrap();
    }
}

/// What comes late counts for the keys that it is under, whose session keys may have to be derived yet, and for no others.
#[test]
fn late_packets_count_for_the_keys_that_they_are_under() {
    for (profile, rate) in Profile::ALL.into_iter().flat_map(|profile| [0, 4].map(|rate| (profile, rate))) {
        let lifetime = KeyLifetime { rtp_packets: 9, rtcp_packets: 3 };
        let policy = policy(profile).lifetime(lifetime).unwrap().key_derivation_rate(rate).unwrap();
        let (old, new) = ([key(profile, 1, b"a")], [key(profile, 2, b"b")]);
        let mut sender = Sender::new(policy.clone(), &old).unwrap();
        let mut receiver = Receiver::new(policy.clone(), &old).unwrap();
        let protected = |first: u16, sender: &mut Sender| -> Vec<Mbuf> {
            let rtp = (first..first + 9).map(|sequence_number| rtp_packet(sequence_number, 0, 9));
            let mut packets: Vec<Mbuf> = rtp.chain((0..3).map(|_| rtcp_packet())).collect();
            packets.iter_mut().for_each(|packet| sender.protect(packet).unwrap());
            packets
        };
        let mut late = protected(0, &mut sender);
        sender.rekey(&new).unwrap();
        receiver.rekey(&new).unwrap();
        for packet in late.iter_mut().chain(&mut protected(9, &mut sender)) {
            receiver.unprotect(packet).unwrap_or_else(|error| panic!("{profile}, rate {rate}: {error}"));
        }
        let mut beyond = rtp_packet(30, 0, 9);
        Sender::new(policy, &new).unwrap().protect(&mut beyond).unwrap();
        let expired = Err(SrtpError::KeyExpired { limit: 9 });
        assert_eq!(receiver.unprotect(&mut beyond), expired, "{profile}, rate {rate}: the new key has had all that it may");
        assert_eq!(receiver.counters().accepted, 24, "{profile}, rate {rate}");
    }
}

/// Keys that are derived anew are those of the index divided by the rate, and the first of them those that are derived once (RFC 3711
/// section 4.3.1).
#[test]
fn keys_are_derived_anew_when_the_rate_says() {
    for profile in Profile::ALL.into_iter().filter(|profile| !profile.is_null()) {
        let keys = [key(profile, 1, b"")];
        for rate in [1, 2, 16] {
            let mut sender = Sender::new(policy(profile).key_derivation_rate(rate).unwrap(), &keys).unwrap();
            let mut receiver = Receiver::new(policy(profile), &keys).unwrap();
            for sequence_number in 0..32 {
                let mut packet = rtp_packet(sequence_number, 0, 20);
                sender.protect(&mut packet).unwrap();
                let expected = match u32::from(sequence_number) < rate {
                    true => Ok(()),
                    false => Err(SrtpError::Authentication { ssrc: SSRC }),
                };
                assert_eq!(receiver.unprotect(&mut packet), expected, "{profile}, rate {rate}, packet {sequence_number}");
            }
        }
    }
}

#[test]
fn a_session_takes_batches_as_its_sides_do() {
    for profile in Profile::ALL {
        let packets = || -> Vec<Mbuf> { (0..6).map(|at| if at == 3 { rtcp_packet() } else { rtp_packet(at, 0, 20) }).collect() };
        let [ours, theirs] = [(); 2].map(|()| Session::new());
        let (mut batch, mut results) = (packets(), vec![Ok(()); 2]);
        ours.protect_batch(&mut batch, &mut results);
        assert_eq!(results, [Err(SrtpError::NotKeyed); 6]);
        theirs.unprotect_batch(&mut batch, &mut results);
        assert_eq!(results, [Err(SrtpError::NotKeyed); 6]);
        assert_eq!(batch.iter().map(Mbuf::bytes).collect::<Vec<_>>(), packets().iter().map(Mbuf::bytes).collect::<Vec<_>>());
        let [first, second] = [1, 2].map(|number| [key(profile, number, b"")]);
        ours.key(&policy(profile), &first, &second).unwrap();
        theirs.key(&policy(profile), &second, &first).unwrap();
        ours.protect_batch(&mut batch, &mut results);
        assert_eq!(results, [Ok(()); 6]);
        assert!(batch.iter().zip(packets()).all(|(packet, plain)| packet.bytes().len() > plain.bytes().len()));
        theirs.unprotect_batch(&mut batch, &mut results);
        assert_eq!(results, [Ok(()); 6]);
        assert_eq!(batch.iter().map(Mbuf::bytes).collect::<Vec<_>>(), packets().iter().map(Mbuf::bytes).collect::<Vec<_>>());
    }
}

/// The shortest header and all that is added: what is shorter says how long it should have been.
#[test]
fn every_length_that_is_too_short_says_so() {
    for (profile, mki) in Profile::ALL.into_iter().flat_map(|profile| [&b""[..], b"key"].map(|mki| (profile, mki))) {
        let keys = [key(profile, 1, mki)];
        let (rtp_added, rtcp_added) = Sender::new(policy(profile), &keys).unwrap().overheads();
        let mut receiver = Receiver::new(policy(profile), &keys).unwrap();
        for (is_rtcp, kind, expected) in [(false, "SRTP", 12 + rtp_added), (true, "SRTCP", 8 + rtcp_added)] {
            for got in 0..expected {
                let whole = if is_rtcp { rtcp_packet() } else { rtp_packet(0, 0, 40) };
                let mut packet = Mbuf::copy_of(&[whole.bytes(), &[0; 200]].concat()[..got], 0, 0);
                let result = if is_rtcp { receiver.unprotect_rtcp(&mut packet) } else { receiver.unprotect_rtp(&mut packet) };
                assert_eq!(result, Err(SrtpError::Short { kind, expected, got }), "{profile}");
            }
        }
    }
}

/// Without a grace, or where they are forgotten before it has ended, nothing is taken under the old keys.
#[test]
fn old_keys_without_a_grace_are_no_keys() {
    for (profile, is_forgotten) in Profile::ALL.into_iter().flat_map(|profile| [false, true].map(|how| (profile, how))) {
        let policy = policy(profile).rekey_grace_packets(if is_forgotten { 9 } else { 0 });
        let (old, new) = ([key(profile, 1, b"")], [key(profile, 2, b"")]);
        let mut sender = Sender::new(policy.clone(), &old).unwrap();
        let mut receiver = Receiver::new(policy, &old).unwrap();
        let [mut late, mut under_new, mut next] = [0, 1, 2].map(|sequence_number| rtp_packet(sequence_number, 0, 20));
        sender.protect(&mut late).unwrap();
        sender.rekey(&new).unwrap();
        receiver.rekey(&new).unwrap();
        if is_forgotten {
            receiver.forget_previous_keys();
        }
        for packet in [&mut under_new, &mut next] {
            sender.protect(packet).unwrap();
        }
        assert_eq!(receiver.unprotect(&mut late), Err(SrtpError::Authentication { ssrc: SSRC }), "{profile}");
        assert_eq!([&mut under_new, &mut next].map(|packet| receiver.unprotect(packet)), [Ok(()); 2], "{profile}");
    }
}

#[test]
fn a_session_forgets_previous_keys_when_it_is_told_to() {
    for profile in Profile::ALL {
        let [first, second] = [1, 2].map(|number| [key(profile, number, b"")]);
        let session = Session::new();
        assert_eq!(session.forget_previous_keys(), Err(SrtpError::NotKeyed));
        session.key(&policy(profile), &first, &first).unwrap();
        session.rekey(&second, &second).unwrap();
        let mut old = Sender::new(policy(profile), &first).unwrap();
        let [mut late, mut later] = [0, 1].map(|sequence_number| rtp_packet(sequence_number, 0, 20));
        [&mut late, &mut later].into_iter().for_each(|packet| old.protect(packet).unwrap());
        assert_eq!(session.unprotect(&mut late), Ok(()), "{profile}");
        session.forget_previous_keys().unwrap();
        assert_eq!(session.unprotect(&mut later), Err(SrtpError::Authentication { ssrc: SSRC }), "{profile}");
    }
}

/// The grace is a number of packets under the new keys, and those under the old ones are none of them.
#[test]
fn the_grace_of_old_keys_ends() {
    for profile in Profile::ALL {
        let policy = policy(profile).rekey_grace_packets(2);
        let (old, new) = ([key(profile, 1, b"")], [key(profile, 2, b"")]);
        let mut sender = Sender::new(policy.clone(), &old).unwrap();
        let mut receiver = Receiver::new(policy, &old).unwrap();
        let protected = |range: std::ops::Range<u16>, sender: &mut Sender| -> Vec<Mbuf> {
            let mut packets: Vec<Mbuf> = range.map(|sequence_number| rtp_packet(sequence_number, 0, 20)).collect();
            packets.iter_mut().for_each(|packet| sender.protect(packet).unwrap());
            packets
        };
        let mut before = protected(0..5, &mut sender);
        sender.rekey(&new).unwrap();
        let mut after = protected(5..9, &mut sender);
        receiver.rekey(&new).unwrap();
        for packet in before[..2].iter_mut().chain(&mut after[..1]) {
            receiver.unprotect(packet).unwrap();
        }
        receiver.unprotect(&mut before[2]).expect("one packet has come under the new key, of two");
        receiver.unprotect(&mut after[1]).unwrap();
        assert_eq!(receiver.unprotect(&mut before[3]), Err(SrtpError::Authentication { ssrc: SSRC }), "{profile}");
        receiver.unprotect(&mut after[2]).unwrap();
    }
}

#[test]
fn streams_are_counted_and_forgotten_on_each_side() {
    let profile = Profile::AesCm128HmacSha1_80;
    let keys = [key(profile, 1, b"")];
    let mut sender = Sender::new(policy(profile).streams_max(20), &keys).unwrap();
    let mut receiver = Receiver::new(policy(profile).streams_max(20), &keys).unwrap();
    for streams in 0..=20usize {
        assert_eq!((sender.streams(), receiver.streams()), (streams, streams));
        // The SSRC's last byte.
        let mut packet = rtp_packet(1, 0, 20);
        packet.bytes_mut()[11] = streams as u8;
        let protected = sender.protect(&mut packet);
        if streams == 20 {
            assert_eq!(protected, Err(SrtpError::StreamLimit { ssrc: 20, limit: 20 }));
        } else {
            protected.and_then(|()| receiver.unprotect(&mut packet)).unwrap();
        }
    }
    for left in (0..20usize).rev() {
        assert!(sender.remove_stream(left as u32) && receiver.remove_stream(left as u32));
        assert!(!sender.remove_stream(left as u32) && !receiver.remove_stream(left as u32));
        assert_eq!((sender.streams(), receiver.streams()), (left, left));
    }
}

/// Everything that a session is set up with wrongly is said, with what was expected and what was got.
#[test]
fn each_mistake_in_setting_up_has_its_error() {
    let profile = Profile::AesCm128HmacSha1_80;
    let keys = |numbers: &[u8], mki: fn(u8) -> Vec<u8>| -> Vec<MasterKey> {
        numbers.iter().map(|number| key(profile, *number, &mki(*number))).collect()
    };
    let errors = |keys: &[MasterKey]| {
        let sender = Sender::new(policy(profile), keys).map(|_| ());
        assert_eq!(sender, Receiver::new(policy(profile), keys).map(|_| ()));
        sender
    };
    let many: Vec<u8> = (0..33).collect();
    assert_eq!(errors(&[]), Err(SrtpError::NoMasterKey));
    assert_eq!(errors(&keys(&many, |number| vec![number])), Err(SrtpError::TooManyMasterKeys { limit: 32, got: 33 }));
    assert_eq!(errors(&keys(&many[..32], |number| vec![number])), Ok(()));
    assert_eq!(errors(&keys(&[1, 2], |_| vec![5])), Err(SrtpError::MkiTwice));
    assert_eq!(errors(&keys(&[1, 2], |_| vec![])), Err(SrtpError::MkiTwice));
    assert_eq!(errors(&keys(&[1, 2], |number| vec![0; number.into()])), Err(SrtpError::MkiLength { expected: 1, got: 2 }));
    let other = Profile::AesCm128HmacSha1_32;
    assert_eq!(errors(&[key(other, 1, b"")]), Err(SrtpError::KeyProfile { expected: profile, got: other }));
    let of = |key_len: usize, salt_len: usize| MasterKey::new(profile, &vec![1; key_len], &vec![1; salt_len]).map(|_| ());
    assert_eq!(of(15, 14), Err(SrtpError::KeyLength { profile, expected: 16, got: 15 }));
    assert_eq!(of(16, 12), Err(SrtpError::SaltLength { profile, expected: 14, got: 12 }));
    let concatenated = |len: usize| MasterKey::from_concatenated(profile, &vec![1; len]).map(|_| ());
    assert_eq!(concatenated(9), Err(SrtpError::KeyLength { profile, expected: 16, got: 9 }));
    assert_eq!(concatenated(29), Err(SrtpError::SaltLength { profile, expected: 14, got: 13 }));
    assert_eq!(concatenated(30), Ok(()));
    let long = MasterKey::new(profile, &[1; 16], &[1; 14]).unwrap().with_mki(&[0; 129]);
    assert_eq!(long.map(|_| ()), Err(SrtpError::MkiLength { expected: 128, got: 129 }));
    for got in [0, 63, 32_769, u32::MAX] {
        assert_eq!(policy(profile).window_packets(got), Err(SrtpError::Window { got }));
    }
    for got in [3, 24, (1 << 24) + 1, 1 << 25] {
        assert_eq!(policy(profile).key_derivation_rate(got), Err(SrtpError::KeyDerivationRate { got }));
    }
    let got = KeyLifetime { rtp_packets: (1 << 48) + 1, rtcp_packets: 1 };
    assert_eq!(policy(profile).lifetime(got), Err(SrtpError::Lifetime { got }));
    for profile in Profile::ALL {
        let expected = if profile.is_null() { Err(SrtpError::NullCipher { profile }) } else { Ok(policy(profile)) };
        assert_eq!(Policy::new(profile), expected);
    }
}

/// Keys and salts of which every byte is told from what is shown otherwise.
#[test]
fn what_is_shown_has_no_key_and_no_salt_in_it() {
    for profile in Profile::ALL {
        let key = key(profile, 211, b"\x01\x02");
        let shown = format!("{key:?}");
        assert_eq!(shown, format!("MasterKey {{ profile: {profile:?}, mki: [1, 2], .. }}"));
        let policy = policy(profile);
        let mut sender = Sender::new(policy.clone(), std::slice::from_ref(&key)).unwrap();
        let mut receiver = Receiver::new(policy.clone(), &[key]).unwrap();
        let mut packet = rtp_packet(1, 0, 20);
        assert_eq!(format!("{sender:?}"), format!("Sender {{ policy: {policy:?}, streams: 0, .. }}"));
        sender.protect(&mut packet).unwrap();
        receiver.unprotect(&mut packet).unwrap();
        assert_eq!(format!("{sender:?}"), format!("Sender {{ policy: {policy:?}, streams: 1, .. }}"));
        assert_eq!(format!("{receiver:?}"), format!("Receiver {{ policy: {policy:?}, streams: 1, .. }}"));
        assert_eq!(profile.to_string(), profile.name());
    }
}
