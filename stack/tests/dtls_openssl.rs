//! DTLS-SRTP with openssl 3 on loopback, each side as client and as server: both have the same keys, or we say why there are none.

#[path = "peers/exported_keys.rs"]
mod exported_keys;
#[path = "peers/openssl.rs"]
mod openssl;

use exported_keys::{exported_len, keys_of};
use openssl::{Identity, Openssl, is_installed};
use sim::net::UdpSocket;
use sim::time::{Duration, Instant};
use sim::{task, time};
use stack::buffer::Mbuf;
use stack::dtls::{
    Action, Association, Certificate, DtlsConfig, DtlsError, Fingerprint, FingerprintHash, Keys, Role, Settings, Versions,
};
use stack::srtp::{Profile, Session};
use std::net::SocketAddr;
use webrtc_srtp::context::Context;
use webrtc_srtp::protection_profile::ProtectionProfile;

/// The profiles as openssl calls them.
const PROFILES: [(&str, Profile); 3] = [
    ("SRTP_AES128_CM_SHA1_80", Profile::AesCm128HmacSha1_80),
    ("SRTP_AEAD_AES_128_GCM", Profile::AeadAes128Gcm),
    ("SRTP_AEAD_AES_256_GCM", Profile::AeadAes256Gcm),
];

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn config(versions: Versions) -> DtlsConfig {
    let mut settings = Settings::default();
    settings.versions = versions;
    settings.deadline = Duration::from_secs(5);
    DtlsConfig::new(Certificate::generate().unwrap(), settings).unwrap()
}

/// Drives an association until it has keys or fails. A server learns of its peer by the first datagram.
async fn drive(socket: &UdpSocket, mut peer: Option<SocketAddr>, association: &mut Association) -> Result<Keys, DtlsError> {
    let mut datagram = [0; 2048];
    let mut outcome = None;
    loop {
        while let Some(action) = association.poll() {
            match action {
                Action::Transmit(datagram) => {
                    if let Some(peer) = peer {
                        socket.send_to(&datagram, peer).await.unwrap();
                    }
                }
                Action::Keyed(keys) => outcome = Some(Ok(keys)),
                Action::Failed(error) => outcome = Some(Err(error)),
                other => panic!("{other:?}"),
            }
        }
        // Not before all was sent that goes with it.
        if let Some(outcome) = outcome {
            return outcome;
        }
        let wait = association.next_due().map_or(Duration::from_secs(1), |due| due.saturating_duration_since(Instant::now()));
        match time::timeout(wait.max(Duration::from_millis(1)), socket.recv_from(&mut datagram)).await {
            Ok(Ok((len, from))) => {
                peer = Some(from);
                association.handle_datagram(&datagram[..len], Instant::now());
            }
            // Nobody listens yet, or no more.
            Ok(Err(_)) => time::sleep_for(Duration::from_millis(5)).await,
            Err(_) => association.handle_timeout(Instant::now()),
        }
    }
}

/// A handshake with openssl in the other role.
async fn handshake(
    role: Role,
    versions: Versions,
    identity: &Identity,
    profile: &str,
    export_len: usize,
) -> (Result<Keys, DtlsError>, Openssl) {
    let socket = UdpSocket::bind(loopback(0)).await.unwrap();
    let ours = socket.local_addr().unwrap();
    let config = config(versions);
    let expected = Fingerprint::of(FingerprintHash::Sha256, &identity.certificate_der).into();
    let free = UdpSocket::bind(loopback(0)).await.unwrap().local_addr().unwrap();
    let (openssl, peer) = match role {
        Role::Client => (Openssl::start(false, free, identity, profile, export_len), Some(free)),
        Role::Server => (Openssl::start(true, ours, identity, profile, export_len), None),
    };
    let mut association = Association::new(&config, role, expected, 1, Instant::now());
    let outcome = drive(&socket, peer, &mut association).await;
    (outcome, openssl)
}

#[test]
fn both_sides_have_the_same_keys() {
    if !is_installed() {
        return;
    }
    for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384] {
        let identity = Identity::new(algorithm, "keys");
        for (name, profile) in PROFILES {
            for role in [Role::Client, Role::Server] {
                for versions in [Versions::Any, Versions::Dtls12] {
                    let (keys, openssl) = task::block_on(handshake(role, versions, &identity, name, exported_len(profile)));
                    let keys = keys.unwrap_or_else(|error| panic!("{name}, {role:?}, {versions:?}: {error}"));
                    let exported = openssl.exported().expect("openssl prints its keys");
                    assert_eq!((keys.profile(), exported.profile.as_deref()), (profile, Some(name)));
                    let (sending, receiving) = keys_of(role, profile, &exported.keys);
                    assert!(keys.sending().is_same_key(&sending) && keys.receiving().is_same_key(&receiving), "{name}, {role:?}");
                    media_goes_both_ways(role, profile, &keys, &exported.keys);
                }
            }
        }
    }
}

/// openssl has no SRTP: another implementation of it has the keys that openssl exported.
fn media_goes_both_ways(role: Role, profile: Profile, keys: &Keys, exported: &[u8]) {
    let theirs = match profile {
        Profile::AesCm128HmacSha1_80 => ProtectionProfile::Aes128CmHmacSha1_80,
        Profile::AeadAes128Gcm => ProtectionProfile::AeadAes128Gcm,
        _ => ProtectionProfile::AeadAes256Gcm,
    };
    let (key_len, salt_len) = (profile.key_len(), profile.salt_len());
    let context = |side: usize| {
        let (key, salt) = (&exported[side * key_len..][..key_len], &exported[2 * key_len + side * salt_len..][..salt_len]);
        Context::new(key, salt, theirs, None, None).unwrap()
    };
    // The client's are the first.
    let (mut hears_us, mut talks_to_us) = match role {
        Role::Client => (context(0), context(1)),
        Role::Server => (context(1), context(0)),
    };
    let session = Session::new();
    let one = std::slice::from_ref;
    session.key(&keys.policy().unwrap(), one(keys.sending()), one(keys.receiving())).unwrap();
    for number in 0..20 {
        let mut plain = vec![0x80, 0, 0, number, 0, 0, 0, 0, 0, 0, 0, 7];
        plain.extend([number; 160]);
        let mut packet = Mbuf::copy_of(&plain, 0, 64);
        session.protect(&mut packet).unwrap();
        assert_eq!(hears_us.decrypt_rtp(packet.bytes()).unwrap(), plain);
        let mut packet = Mbuf::copy_of(&talks_to_us.encrypt_rtp(&plain).unwrap(), 0, 0);
        session.unprotect(&mut packet).unwrap();
        assert_eq!(packet.bytes(), plain);
    }
}

#[test]
fn without_a_common_profile_there_are_no_keys_and_the_error_says_so() {
    if !is_installed() {
        return;
    }
    let identity = Identity::new(&rcgen::PKCS_ECDSA_P256_SHA256, "profile");
    for role in [Role::Client, Role::Server] {
        let (keys, _openssl) = task::block_on(handshake(role, Versions::Any, &identity, "SRTP_AES128_CM_SHA1_32", 60));
        assert!(matches!(keys, Err(DtlsError::NoCommonProfile { .. })), "{role:?}: {keys:?}");
    }
}

#[test]
fn a_peer_with_an_rsa_certificate_is_refused_by_a_typed_error() {
    if !is_installed() {
        return;
    }
    let identity = Identity::new(&rcgen::PKCS_RSA_SHA256, "rsa");
    for role in [Role::Client, Role::Server] {
        let (keys, _openssl) = task::block_on(handshake(role, Versions::Any, &identity, PROFILES[0].0, 60));
        let error = keys.map(drop).unwrap_err();
        assert!(matches!(error, DtlsError::Handshake { .. } | DtlsError::CertificateKey { .. }), "{role:?}: {error}");
        println!("openssl with RSA, we are the {role:?}: {error}");
    }
}
