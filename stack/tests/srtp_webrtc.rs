//! Our SRTP beside the crate webrtc-srtp: 100,000 packets of each profile that it has, or `GLARE_DIFFERENTIAL_PACKETS`.
//!
//! Where webrtc-srtp 0.17.2 does something else than RFC 3711 and RFC 7714 say, so that it is not asked:
//! - An SRTCP packet with E = 0 is taken in counter mode without a look at its tag: anyone forges one. With GCM the flag is not
//!   authenticated, so that a packet is taken with it turned over. Ours refuses both.
//! - It panics on an SRTCP packet that is shorter than its trailer, and on a header extension of the forms of RFC 8285 whose elements
//!   go past the packet's end, before it looks at the tag.
//! - A sender of its own does not refuse to use an index twice.
//! - The first packet of an SSRC sets the replay window before it is authenticated, so that a forged one decides what is late.
//! - The replay window knows sequence numbers and not indices, and a late packet moves the index back. So jumps of about 2^15 and the
//!   start of a stream come out otherwise, and a packet is taken again when about 2^15 others have come after it.
//!
//! It has no MKI. Its first SRTCP index is 1.

#[path = "srtp_differential/mod.rs"]
mod differential;

use differential::delivery::Delivery;
use differential::tally::Refusal;
use differential::traffic::Plain;
use differential::{Answer, Limits, Peer, Protocol, Setup, random, run};
use stack::srtp::Profile;
use webrtc_srtp::Error;
use webrtc_srtp::context::Context;
use webrtc_srtp::option::{srtcp_replay_protection, srtp_replay_protection};
use webrtc_srtp::protection_profile::ProtectionProfile;

const PACKETS: usize = 100_000;

const LIMITS: Limits =
    Limits { mki_lens: &[0], windows: &[128], rtcp_window_packets: 128, jump_max: 0x6000, goes_half_way_round: false };

struct Beside {
    profile: ProtectionProfile,
    session: Option<Contexts>,
}

struct Contexts {
    setup: Setup,
    sender: Context,
    receiver: Context,
}

impl Peer for Beside {
    fn begin(&mut self, setup: &Setup) {
        let (key, salt) = setup.keys[0].key_and_salt.split_at(self.profile.key_len());
        let window = setup.window_packets as usize;
        let context = || {
            let options = (srtp_replay_protection(window), srtcp_replay_protection(window));
            Context::new(key, salt, self.profile, Some(options.0), Some(options.1)).unwrap()
        };
        self.session = Some(Contexts { setup: setup.clone(), sender: context(), receiver: context() });
    }

    fn protect(&mut self, packets: &[Plain], ours: &[Result<Vec<u8>, Refusal>]) -> Vec<Answer> {
        let Contexts { sender, .. } = self.session.as_mut().expect("a session has begun");
        let mut protect = |packet: &Plain| match packet.protocol {
            Protocol::Rtp => sender.encrypt_rtp(&packet.bytes),
            Protocol::Rtcp => sender.encrypt_rtcp(&packet.bytes),
        };
        let asked = packets.iter().zip(ours);
        asked.map(|(packet, ours)| ours.is_ok().then(|| said(protect(packet)))).collect()
    }

    fn unprotect(&mut self, packets: &[Delivery]) -> Vec<Answer> {
        let Contexts { setup, receiver, .. } = self.session.as_mut().expect("a session has begun");
        let mut unprotect = |packet: &Delivery| match packet.protocol {
            Protocol::Rtp => receiver.decrypt_rtp(&packet.bytes),
            Protocol::Rtcp => receiver.decrypt_rtcp(&packet.bytes),
        };
        packets.iter().map(|packet| does_well(setup, packet).then(|| said(unprotect(packet)))).collect()
    }

    fn may_say(&self, _: Protocol, ours: Refusal, theirs: Refusal) -> bool {
        use Refusal::{Authentication, Malformed, Replayed, TooOld};
        match ours {
            // It looks at the lengths when it needs them.
            Malformed => true,
            // It has one word for both, and takes what is 2^15 packets old for new.
            TooOld => matches!(theirs, Replayed | Authentication),
            Authentication => theirs == Replayed,
            _ => false,
        }
    }
}

fn said(said: Result<impl AsRef<[u8]>, Error>) -> Result<Vec<u8>, Refusal> {
    match said {
        Ok(bytes) => Ok(bytes.as_ref().to_vec()),
        Err(Error::SrtpSsrcDuplicated(..) | Error::SrtcpSsrcDuplicated(..)) => Err(Refusal::Replayed),
        Err(_) => Err(Refusal::Authentication),
    }
}

fn does_well(setup: &Setup, packet: &Delivery) -> bool {
    let bytes = &packet.bytes;
    match packet.protocol {
        Protocol::Rtp => bytes.len() >= 12 && extension_is_sound(bytes),
        Protocol::Rtcp => {
            let trailer_len = setup.added_len(Protocol::Rtcp);
            let flag_at = if setup.profile.is_aead() { 4 } else { trailer_len };
            bytes.len() >= 8 + trailer_len && bytes[bytes.len() - flag_at] & 0x80 != 0
        }
    }
}

/// Whether the elements of a header extension, if it says that it has any, fill it.
fn extension_is_sound(packet: &[u8]) -> bool {
    let start = 12 + 4 * usize::from(packet[0] & 15);
    let Some(&[form, form_low, words, words_low]) = packet.get(start..start + 4).filter(|_| packet[0] & 0x10 != 0) else {
        return true;
    };
    let len = 4 * usize::from(u16::from_be_bytes([words, words_low]));
    let Some(mut elements) = packet.get(start + 4..start + 4 + len) else { return true };
    match u16::from_be_bytes([form, form_low]) {
        0xbede => {}
        0x1000 => return false,
        _ => return true,
    }
    while let Some((first, rest)) = elements.split_first() {
        let len = match first {
            0 => 0,
            0xf0.. => return false,
            _ => usize::from(first & 15) + 1,
        };
        let Some(rest) = rest.get(len..) else { return false };
        elements = rest;
    }
    true
}

fn both_do_the_same(ours: Profile, theirs: ProtectionProfile) {
    let packets = random::packets(PACKETS);
    let mut peer = Beside { profile: theirs, session: None };
    let tally = run("webrtc-srtp", ours, packets, &mut peer, LIMITS);
    assert!(tally.sent >= packets && tally.accepted * 10 >= tally.sent * 7, "{tally}");
    assert!(tally.not_asked * 20 <= tally.sent, "{tally}");
    if packets >= 10_000 {
        assert!(tally.rollovers > 4, "{tally}");
        let reasons = [Refusal::Malformed, Refusal::Authentication, Refusal::Replayed, Refusal::TooOld];
        assert!(reasons.iter().all(|reason| tally.refused.contains_key(reason)), "{tally}");
    }
}

#[test]
fn aes_cm_128_hmac_sha1_80() {
    both_do_the_same(Profile::AesCm128HmacSha1_80, ProtectionProfile::Aes128CmHmacSha1_80);
}

#[test]
fn aes_cm_128_hmac_sha1_32() {
    both_do_the_same(Profile::AesCm128HmacSha1_32, ProtectionProfile::Aes128CmHmacSha1_32);
}

#[test]
fn aes_256_cm_hmac_sha1_80() {
    both_do_the_same(Profile::AesCm256HmacSha1_80, ProtectionProfile::Aes256CmHmacSha1_80);
}

#[test]
fn aes_256_cm_hmac_sha1_32() {
    both_do_the_same(Profile::AesCm256HmacSha1_32, ProtectionProfile::Aes256CmHmacSha1_32);
}

#[test]
fn aead_aes_128_gcm() {
    both_do_the_same(Profile::AeadAes128Gcm, ProtectionProfile::AeadAes128Gcm);
}

#[test]
fn aead_aes_256_gcm() {
    both_do_the_same(Profile::AeadAes256Gcm, ProtectionProfile::AeadAes256Gcm);
}
