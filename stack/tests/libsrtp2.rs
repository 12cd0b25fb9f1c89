//! The peer libsrtp2 by itself: what it protects it takes back, quickly, and what is damaged or old it refuses.

#[path = "peers/libsrtp2.rs"]
mod libsrtp2;

use libsrtp2::{Config, Direction, Libsrtp2, MasterKey, Profile, Protocol, Session, Status};

const SSRC: u32 = 0x1122_3344;

fn rtp(sequence_number: u16, payload_bytes: usize) -> Vec<u8> {
    let mut packet = vec![0x80, 0];
    packet.extend(sequence_number.to_be_bytes());
    packet.extend((u32::from(sequence_number) * 160).to_be_bytes());
    packet.extend(SSRC.to_be_bytes());
    packet.extend((0..payload_bytes).map(|at| at as u8 ^ sequence_number as u8));
    packet
}

/// An empty receiver report.
fn rtcp() -> Vec<u8> {
    let mut packet = vec![0x80, 201, 0, 1];
    packet.extend(SSRC.to_be_bytes());
    packet
}

fn sessions(peer: &mut Libsrtp2, profile: Profile, mki: &[u8]) -> (Session, Session) {
    let key: Vec<u8> = (1..).take(profile.key_and_salt_bytes()).collect();
    let keys = [MasterKey { mki, key_and_salt: &key }];
    let sender = Config { direction: Direction::Sender, profile, ssrc: None, window_packets: 128, keys: &keys };
    let receiver = Config { direction: Direction::Receiver, ..sender };
    (peer.create(&sender).unwrap(), peer.create(&receiver).unwrap())
}

#[test]
fn it_takes_back_what_it_protects() {
    let Some(mut peer) = Libsrtp2::start() else { return };
    assert!(peer.version().starts_with("libsrtp2 2."), "{}", peer.version());
    for profile in Profile::ALL {
        let (sender, receiver) = sessions(&mut peer, profile, &[]);
        // Past a rollover, and more than one batch.
        let packets: Vec<_> = (0..1000).map(|at| rtp(65_000_u16.wrapping_add(at), 160)).collect();
        let protected = peer.protect_many(sender, Protocol::Rtp, 0, &packets).unwrap();
        let protected: Vec<_> = protected.into_iter().map(|packet| packet.unwrap()).collect();
        assert!(protected.iter().zip(&packets).all(|(after, before)| after[12..172] != before[12..]), "{profile:?}");
        let plain = peer.unprotect_many(receiver, Protocol::Rtp, &protected).unwrap();
        assert!(plain.iter().zip(&packets).all(|(after, before)| after.as_ref() == Ok(before)), "{profile:?}");
        assert_eq!(peer.roc(receiver, SSRC), Ok(1));

        let protected = peer.protect_many(sender, Protocol::Rtcp, 0, &[rtcp()]).unwrap().remove(0).unwrap();
        assert_eq!(peer.unprotect_many(receiver, Protocol::Rtcp, &[protected]).unwrap(), [Ok(rtcp())]);
        peer.destroy(sender).unwrap();
        assert_eq!(peer.protect_many(sender, Protocol::Rtcp, 0, &[rtcp()]).unwrap(), [Err(Status::NO_SESSION)]);
    }
}

#[test]
fn it_refuses_what_is_damaged_or_old() {
    let Some(mut peer) = Libsrtp2::start() else { return };
    for profile in Profile::ALL {
        let (sender, receiver) = sessions(&mut peer, profile, b"mki");
        let protected = peer.protect_many(sender, Protocol::Rtp, 0, &[rtp(1000, 20), rtp(1128, 20)]).unwrap();
        let [first, second] = <[_; 2]>::try_from(protected).unwrap().map(Result::unwrap);
        let damaged = [&first[..20], &[!first[20]], &first[21..]].concat();
        let other_mki = [&first[..], b"!"].concat();
        let packets = [&damaged, &other_mki, &second, &second, &first, &first[..11].to_vec()];
        assert_eq!(
            peer.unprotect_many(receiver, Protocol::Rtp, &packets).unwrap(),
            [
                Err(Status::AUTHENTICATION),
                Err(Status::BAD_MKI),
                Ok(rtp(1128, 20)),
                Err(Status::REPLAY_SEEN),
                Err(Status::REPLAY_OLD),
                Err(Status::BAD_PARAMETER)
            ],
            "{profile:?}"
        );
    }
}

#[test]
fn a_rollover_counter_is_set() {
    let Some(mut peer) = Libsrtp2::start() else { return };
    let key = [7; 30];
    let keys = [MasterKey { mki: &[], key_and_salt: &key }];
    let profile = Profile::AesCm128HmacSha1_80;
    let config = Config { direction: Direction::Sender, profile, ssrc: Some(SSRC), window_packets: 0, keys: &keys };
    let sender = peer.create(&config).unwrap();
    let receiver = peer.create(&Config { direction: Direction::Receiver, ..config }).unwrap();
    peer.set_roc(sender, SSRC, 5).unwrap();
    let protected = peer.protect_many(sender, Protocol::Rtp, 0, &[rtp(9, 20)]).unwrap().remove(0).unwrap();
    assert_eq!(peer.roc(sender, SSRC), Ok(5));
    assert_eq!(peer.unprotect_many(receiver, Protocol::Rtp, &[&protected]).unwrap(), [Err(Status::AUTHENTICATION)]);
    peer.set_roc(receiver, SSRC, 5).unwrap();
    assert_eq!(peer.unprotect_many(receiver, Protocol::Rtp, &[&protected]).unwrap(), [Ok(rtp(9, 20))]);
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let Some(mut peer) = Libsrtp2::start() else { return };
    let key = [7; 29];
    let keys = [MasterKey { mki: &[], key_and_salt: &key }];
    let profile = Profile::AesCm128HmacSha1_80;
    let config = Config { direction: Direction::Sender, profile, ssrc: None, window_packets: 0, keys: &keys };
    assert_eq!(peer.create(&config), Err(Status::BAD_REQUEST), "a key that is too short");
    assert_eq!(peer.create(&Config { keys: &[], ..config }), Err(Status::BAD_REQUEST), "no key");
    let keys = [MasterKey { mki: &[], key_and_salt: &[7; 30] }];
    assert_eq!(peer.create(&Config { keys: &keys, window_packets: 63, ..config }), Err(Status::BAD_PARAMETER));
    let sender = peer.create(&Config { keys: &keys, ..config }).unwrap();
    // The longest that the program takes, and one byte more.
    let lengths = peer.protect_many(sender, Protocol::Rtp, 0, &[rtp(1, 65_524), rtp(2, 65_525)]).unwrap();
    assert_eq!(lengths[0].as_ref().map(Vec::len), Ok(65_536 + 10));
    assert_eq!(lengths[1], Err(Status::BAD_REQUEST));
    // Numbers of sessions are used again.
    for _ in 0..2000 {
        let session = peer.create(&Config { keys: &keys, ..config }).unwrap();
        peer.destroy(session).unwrap();
    }
}
