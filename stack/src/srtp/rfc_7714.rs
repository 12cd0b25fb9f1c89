//! The packets of RFC 7714 sections 16 and 17, through sender and receiver.

use super::gcm::Gcm;
use super::session_keys::SessionKeys;
use super::vectors::{Kind, Protection, RFC_7714_PACKETS, Rfc7714Packet, hex};
use super::{MasterKey, Policy, Profile, Receiver, Sender, SrtpError};
use crate::buffer::Mbuf;

/// The RFC gives session keys, so these take the place of those that are derived.
fn contexts(vector: &Rfc7714Packet, policy: &Policy) -> (Sender, Receiver) {
    let profile = policy.profile();
    let unused = MasterKey::new(profile, &vec![0; profile.key_len()], &vec![0; profile.salt_len()]).unwrap();
    let mut sender = Sender::new(policy.clone(), std::slice::from_ref(&unused)).unwrap();
    let mut receiver = Receiver::new(policy.clone(), std::slice::from_ref(&unused)).unwrap();
    let keys = || SessionKeys::Aead(Gcm::new(&hex(vector.session_key), hex(vector.session_salt).try_into().unwrap()));
    sender.ring_mut().replace_session_keys(keys(), keys());
    receiver.ring_mut().replace_session_keys(keys(), keys());
    (sender, receiver)
}

#[test]
fn every_packet_is_protected_and_unprotected_as_published() {
    let mut count = 0;
    for vector in RFC_7714_PACKETS {
        let key_len = hex(vector.session_key).len();
        let profile = if key_len == 16 { Profile::AeadAes128Gcm } else { Profile::AeadAes256Gcm };
        let encrypted = Policy::new(profile).unwrap();
        let policy = match vector.protection {
            Protection::Encrypted => encrypted.clone(),
            Protection::TaggedOnly => encrypted.clone().unencrypted_rtp().unencrypted_rtcp(),
        };
        let (mut sender, mut receiver) = contexts(vector, &policy);
        let mut packet = Mbuf::copy_of(&hex(vector.plain_packet), 0, 0);
        match vector.kind {
            Kind::Srtp => {
                sender.set_roc(vector.ssrc, (vector.index >> 16) as u32).unwrap();
                sender.protect(&mut packet).unwrap();
            }
            Kind::Srtcp => {
                sender.set_rtcp_index(vector.ssrc, vector.index as u32);
                sender.protect(&mut packet).unwrap();
            }
        }
        assert_eq!(packet.bytes(), hex(vector.protected_packet), "RFC 7714 section {}", vector.section);
        // A receiver with the other policy refuses it.
        let other = match vector.protection {
            Protection::Encrypted => policy.clone().unencrypted_rtp().unencrypted_rtcp(),
            Protection::TaggedOnly => encrypted,
        };
        let (_, mut mistaken) = contexts(vector, &other);
        let mut refused = Mbuf::copy_of(packet.bytes(), 0, 0);
        match mistaken.unprotect(&mut refused).unwrap_err() {
            SrtpError::Authentication { .. } if vector.kind == Kind::Srtp => {}
            SrtpError::EncryptionFlag { expected, .. } => assert_eq!(expected, vector.protection == Protection::TaggedOnly),
            error => panic!("RFC 7714 section {}: {error}", vector.section),
        }
        receiver.unprotect(&mut packet).unwrap();
        assert_eq!(packet.bytes(), hex(vector.plain_packet), "RFC 7714 section {}", vector.section);
        count += 1;
    }
    assert!(count >= 8, "two protocols, two ciphers, encrypted or tagged: {count}");
}

#[test]
fn the_aead_alone_gives_what_is_published() {
    for vector in RFC_7714_PACKETS {
        let gcm = Gcm::new(&hex(vector.session_key), hex(vector.session_salt).try_into().unwrap());
        let nonce = || gcm.nonce(vector.ssrc, vector.index);
        assert_eq!(nonce().as_ref()[..], hex(vector.iv), "RFC 7714 section {}", vector.section);
        let mut data = hex(vector.plain_text);
        let tag = gcm.seal(nonce(), &hex(vector.aad), &mut data).unwrap();
        assert_eq!((&data, &tag[..]), (&hex(vector.cipher_text), &hex(vector.tag)[..]), "RFC 7714 section {}", vector.section);
        gcm.open(nonce(), &hex(vector.aad), &mut data, &tag).unwrap();
        assert_eq!(data, hex(vector.plain_text), "RFC 7714 section {}", vector.section);
    }
}
