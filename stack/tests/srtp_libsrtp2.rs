//! Our SRTP beside libsrtp2: 100,000 packets of each conformant profile, or `GLARE_DIFFERENTIAL_PACKETS`.

#[path = "srtp_differential/mod.rs"]
mod differential;
#[path = "peers/libsrtp2.rs"]
mod libsrtp2;

use differential::delivery::Delivery;
use differential::tally::Refusal;
use differential::traffic::Plain;
use differential::{Answer, Limits, Peer, Protocol, Setup, random, run};
use libsrtp2::{Config, Direction, Libsrtp2, MasterKey, Session, Status};
use stack::srtp::Profile;
use std::io::Write;

const PACKETS: usize = 100_000;

const LIMITS: Limits = Limits {
    mki_lens: &[0, 4, 1, 0, 8, 2, 16, 128],
    windows: &[128, 128, 128, 64, 96, 256, 1024],
    rtcp_window_packets: 128,
    jump_max: 0x7fff,
    goes_half_way_round: true,
};

/// libsrtp2 in its program, with the session of now.
struct Beside {
    program: Libsrtp2,
    profile: libsrtp2::Profile,
    session: Option<(Setup, Session, Session)>,
}

impl Peer for Beside {
    fn begin(&mut self, setup: &Setup) {
        if let Some((_, sender, receiver)) = self.session.take() {
            self.program.destroy(sender).unwrap();
            self.program.destroy(receiver).unwrap();
        }
        let keys: Vec<_> = setup.keys.iter().map(|key| MasterKey { mki: &key.mki, key_and_salt: &key.key_and_salt }).collect();
        let sender = Config {
            direction: Direction::Sender,
            profile: self.profile,
            ssrc: None,
            window_packets: setup.window_packets,
            keys: &keys,
        };
        let receiver = Config { direction: Direction::Receiver, ..sender };
        let sessions = (self.program.create(&sender).unwrap(), self.program.create(&receiver).unwrap());
        self.session = Some((setup.clone(), sessions.0, sessions.1));
    }

    fn protect(&mut self, packets: &[Plain], _: &[Result<Vec<u8>, Refusal>]) -> Vec<Answer> {
        let (_, sender, _) = self.session.as_ref().expect("a session has begun");
        let requests = packets.iter().map(|packet| (protocol(packet.protocol), packet.key as u32, &packet.bytes[..]));
        let answers = self.program.protect_each(*sender, requests).expect("libsrtp2 lives");
        answers.into_iter().map(|answer| Some(answer.map_err(refusal))).collect()
    }

    fn unprotect(&mut self, packets: &[Delivery]) -> Vec<Answer> {
        let (setup, _, receiver) = self.session.as_ref().expect("a session has begun");
        let asked: Vec<_> = packets.iter().map(|packet| does_well(setup, packet)).collect();
        let requests = packets.iter().zip(&asked).filter(|(_, asked)| **asked);
        let requests = requests.map(|(packet, _)| (protocol(packet.protocol), &packet.bytes[..]));
        let mut answers = self.program.unprotect_each(*receiver, requests).expect("libsrtp2 lives").into_iter();
        let mut answer = || answers.next().expect("an answer to each request").map_err(refusal);
        asked.into_iter().map(|asked| asked.then(&mut answer)).collect()
    }

    fn may_say(&self, protocol: Protocol, ours: Refusal, theirs: Refusal) -> bool {
        use Refusal::{Authentication, EncryptionFlag, Malformed, Replayed, TooOld, UnknownMki};
        let (setup, ..) = self.session.as_ref().expect("a session has begun");
        match ours {
            // Its window for SRTCP has 128 packets, always.
            _ if protocol == Protocol::Rtcp && setup.window_packets != LIMITS.rtcp_window_packets => true,
            // We look at version and length before anything else, and it does not look at the version.
            Malformed => true,
            // It looks for replays before the MKI.
            UnknownMki => protocol == Protocol::Rtp && matches!(theirs, Replayed | TooOld),
            // With GCM it does not look at the flag but by the tag.
            EncryptionFlag => self.is_aead() && matches!(theirs, Replayed | TooOld | Authentication),
            _ => false,
        }
    }
}

impl Beside {
    fn is_aead(&self) -> bool {
        matches!(self.profile, libsrtp2::Profile::AeadAes128Gcm | libsrtp2::Profile::AeadAes256Gcm)
    }
}

/// Whether libsrtp2 is to be asked: where it is known to be wrong, there is nothing to learn.
fn does_well(setup: &Setup, packet: &Delivery) -> bool {
    let has_mki = setup.mki_len() != 0;
    match packet.protocol {
        // Shorter than any packet, and with an MKI that it knows: it dies.
        Protocol::Rtp => !(setup.profile.is_aead() && has_mki && packet.bytes.len() < 12 + setup.added_len(Protocol::Rtp)),
        // It looks for the MKI where a tag of 32 bits would leave it.
        Protocol::Rtcp => !(has_mki && setup.profile.rtp_tag_len() == 4),
    }
}

fn protocol(protocol: Protocol) -> libsrtp2::Protocol {
    match protocol {
        Protocol::Rtp => libsrtp2::Protocol::Rtp,
        Protocol::Rtcp => libsrtp2::Protocol::Rtcp,
    }
}

fn refusal(status: Status) -> Refusal {
    match status {
        Status::BAD_PARAMETER | Status::PARSE => Refusal::Malformed,
        Status::AUTHENTICATION => Refusal::Authentication,
        Status::REPLAY_SEEN => Refusal::Replayed,
        Status::REPLAY_OLD => Refusal::TooOld,
        Status::BAD_MKI => Refusal::UnknownMki,
        Status::CANT_CHECK => Refusal::EncryptionFlag,
        _ => Refusal::Other,
    }
}

/// The profile, beside libsrtp2.
fn both_do_the_same(ours: Profile, theirs: libsrtp2::Profile) {
    assert!(theirs.is_conformant() && theirs.key_and_salt_bytes() == ours.key_len() + ours.salt_len());
    let Some(program) = Libsrtp2::start() else { return };
    let name = program.version().to_owned();
    let mut peer = Beside { program, profile: theirs, session: None };
    let packets = random::packets(PACKETS);
    let tally = run(&name, ours, packets, &mut peer, LIMITS);
    // It has been everywhere: were it not so, the comparison would show less than it says.
    assert!(tally.sent >= packets && tally.accepted * 10 >= tally.sent * 7, "{tally}");
    if packets >= 10_000 {
        assert!(tally.rollovers > 4, "{tally}");
        let reasons = [Refusal::Malformed, Refusal::Authentication, Refusal::Replayed, Refusal::TooOld, Refusal::UnknownMki];
        assert!(reasons.iter().all(|reason| tally.refused.contains_key(reason)), "{tally}");
        let reasons = [Refusal::Replayed, Refusal::TooOld];
        assert!(reasons.iter().all(|reason| tally.not_protected.contains_key(reason)), "{tally}");
    }
}

#[test]
fn aes_cm_128_hmac_sha1_80() {
    both_do_the_same(Profile::AesCm128HmacSha1_80, libsrtp2::Profile::AesCm128HmacSha1_80);
}

#[test]
fn aes_cm_128_hmac_sha1_32() {
    both_do_the_same(Profile::AesCm128HmacSha1_32, libsrtp2::Profile::AesCm128HmacSha1_32);
}

#[test]
fn aes_256_cm_hmac_sha1_80() {
    both_do_the_same(Profile::AesCm256HmacSha1_80, libsrtp2::Profile::AesCm256HmacSha1_80);
}

#[test]
fn aes_256_cm_hmac_sha1_32() {
    both_do_the_same(Profile::AesCm256HmacSha1_32, libsrtp2::Profile::AesCm256HmacSha1_32);
}

#[test]
fn aead_aes_128_gcm() {
    both_do_the_same(Profile::AeadAes128Gcm, libsrtp2::Profile::AeadAes128Gcm);
}

#[test]
fn aead_aes_256_gcm() {
    both_do_the_same(Profile::AeadAes256Gcm, libsrtp2::Profile::AeadAes256Gcm);
}

/// The published vectors alone speak for these.
#[test]
fn aes_192_has_no_peer() {
    for profile in libsrtp2::Profile::ALL.into_iter().filter(|profile| !profile.is_conformant()) {
        let _ = writeln!(std::io::stderr(), "SKIPPED libsrtp2 {profile:?}: it derives session keys otherwise than RFC 6188 says");
    }
}
