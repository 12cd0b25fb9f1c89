//! DTLS-SRTP with BoringSSL in one process, DTLS 1.2 and 1.3, each side as client and as server: both know each other by fingerprint,
//! export the same keys and understand each other's media, or we say why not.
//!
//! `cargo test -p glare-stack --features boring --test dtls_boring`; BoringSSL takes minutes to build.

#[path = "peers/boringssl.rs"]
mod boringssl;
#[path = "peers/exported_keys.rs"]
mod exported_keys;

use boring::ssl::SslVersion;
use boringssl::{Boringssl, Identity, Progress, Setup};
use exported_keys::{exported_len, keys_of};
use sim::time::{Duration, Instant};
use stack::buffer::Mbuf;
use stack::dtls::{
    Action, Association, Certificate, DtlsConfig, DtlsError, Fingerprint, FingerprintHash, Fingerprints, Keys, Role, Settings,
    Versions,
};
use stack::srtp::{Profile, Session};
use std::collections::BTreeSet;

/// The profiles as BoringSSL calls them.
const PROFILES: [(&str, Profile); 3] = [
    ("SRTP_AES128_CM_SHA1_80", Profile::AesCm128HmacSha1_80),
    ("SRTP_AEAD_AES_128_GCM", Profile::AeadAes128Gcm),
    ("SRTP_AEAD_AES_256_GCM", Profile::AeadAes256Gcm),
];

const ROLES: [Role; 2] = [Role::Client, Role::Server];

/// What BoringSSL may speak, what we may, and what comes of it.
const VERSIONS: [([SslVersion; 2], Versions, SslVersion); 8] = [
    ([SslVersion::DTLS1_2, SslVersion::DTLS1_2], Versions::Dtls12, SslVersion::DTLS1_2),
    ([SslVersion::DTLS1_2, SslVersion::DTLS1_2], Versions::Any, SslVersion::DTLS1_2),
    ([SslVersion::DTLS1_2, SslVersion::DTLS1_3], Versions::Dtls12, SslVersion::DTLS1_2),
    ([SslVersion::DTLS1_2, SslVersion::DTLS1_3], Versions::Dtls13, SslVersion::DTLS1_3),
    ([SslVersion::DTLS1_2, SslVersion::DTLS1_3], Versions::Any, SslVersion::DTLS1_3),
    ([SslVersion::DTLS1_3, SslVersion::DTLS1_3], Versions::Dtls13, SslVersion::DTLS1_3),
    ([SslVersion::DTLS1_3, SslVersion::DTLS1_3], Versions::Any, SslVersion::DTLS1_3),
    ([SslVersion::DTLS1, SslVersion::DTLS1_3], Versions::Any, SslVersion::DTLS1_3),
];

const DEADLINE: Duration = Duration::from_secs(30);

/// The two, and a link that loses nothing but what it is told to.
struct Call {
    association: Association,
    boringssl: Boringssl,
    now: Instant,
    /// Which of our datagrams are lost, by their number.
    lost: BTreeSet<usize>,
    /// Datagrams of ours and of BoringSSL's.
    sent: [usize; 2],
    outcome: Option<Result<Keys, DtlsError>>,
}

/// One call's setup, from our side.
struct Pair<'a> {
    role: Role,
    versions: Versions,
    theirs: [SslVersion; 2],
    identity: &'a Identity,
    profiles: &'a str,
    groups: Option<&'a str>,
    /// The fingerprint that we expect, and the one that BoringSSL does, where they are wrong.
    wrong: [Option<Fingerprint>; 2],
}

impl<'a> Pair<'a> {
    fn new(role: Role, versions: Versions, theirs: [SslVersion; 2], identity: &'a Identity, profiles: &'a str) -> Self {
        Pair { role, versions, theirs, identity, profiles, groups: None, wrong: [None, None] }
    }

    fn call(self, lost: &[usize]) -> Call {
        let mut settings = Settings::default();
        settings.versions = self.versions;
        settings.deadline = DEADLINE;
        let config = DtlsConfig::new(Certificate::generate().unwrap(), settings).unwrap();
        let [ours, theirs] = self.wrong;
        let expected: Fingerprints = ours.unwrap_or_else(|| sha256(&self.identity.certificate_der)).into();
        let fingerprint = theirs.unwrap_or_else(|| sha256(config.certificate().der())).to_string();
        let is_client = self.role == Role::Server;
        let Pair { theirs: versions, identity, profiles, groups, .. } = self;
        let setup = Setup { is_client, versions, identity, profiles, groups, fingerprint };
        let now = Instant::from_origin(Duration::from_secs(1));
        Call {
            association: Association::new(&config, self.role, expected, 1, now),
            boringssl: Boringssl::new(setup),
            now,
            lost: lost.iter().copied().collect(),
            sent: [0, 0],
            outcome: None,
        }
    }
}

impl Call {
    /// Until nobody has anything to say at this moment.
    fn exchange(&mut self) {
        loop {
            let mut is_quiet = true;
            while let Some(action) = self.association.poll() {
                is_quiet = false;
                match action {
                    Action::Transmit(datagram) => {
                        self.sent[0] += 1;
                        if !self.lost.contains(&(self.sent[0] - 1)) {
                            self.boringssl.handle_datagram(datagram);
                        }
                    }
                    Action::Keyed(keys) => self.outcome = Some(Ok(keys)),
                    Action::Failed(error) => self.outcome = Some(Err(error)),
                    other => panic!("{other:?}"),
                }
            }
            while let Some(datagram) = self.boringssl.poll() {
                is_quiet = false;
                self.sent[1] += 1;
                self.association.handle_datagram(&datagram, self.now);
            }
            if is_quiet {
                return;
            }
        }
    }

    /// Until both have ended their handshakes, or the deadline has passed. Time passes only where nothing else can happen.
    fn run(&mut self) {
        let until = self.now + DEADLINE;
        loop {
            self.exchange();
            if self.outcome.is_some() && *self.boringssl.progress() != Progress::Handshaking {
                return;
            }
            let Some(due) = self.association.next_due().filter(|due| *due <= until) else { return };
            self.now = self.now.max(due);
            self.association.handle_timeout(self.now);
        }
    }

    /// Both have the same keys of this profile, and media goes both ways with what each side exported by itself.
    fn expect_media(&self, role: Role, version: SslVersion, (name, profile): (&str, Profile)) {
        assert_eq!(*self.boringssl.progress(), Progress::Done);
        let Some(Ok(keys)) = &self.outcome else { panic!("no keys: {:?}", self.outcome) };
        assert_eq!((self.boringssl.version(), self.boringssl.profile()), (Some(version), Some(name)));
        assert_eq!(keys.profile(), profile);
        let their_role = if role == Role::Client { Role::Server } else { Role::Client };
        let (sending, receiving) = keys_of(their_role, profile, &self.boringssl.exported(exported_len(profile)));
        assert!(keys.sending().is_same_key(&receiving) && keys.receiving().is_same_key(&sending));
        let (ours, theirs) = (Session::new(), Session::new());
        let policy = keys.policy().unwrap();
        ours.key(&policy, std::slice::from_ref(keys.sending()), std::slice::from_ref(keys.receiving())).unwrap();
        theirs.key(&policy, &[sending], &[receiving]).unwrap();
        for (from, to) in [(&ours, &theirs), (&theirs, &ours)] {
            for plain in [rtp_packet(), rtcp_packet()] {
                let mut packet = Mbuf::copy_of(&plain, 0, 0);
                from.protect(&mut packet).unwrap();
                let content = &plain[plain.len() - 16..];
                assert!(!packet.bytes().windows(16).any(|bytes| bytes == content), "nothing goes in clear");
                to.unprotect(&mut packet).unwrap();
                assert_eq!(packet.bytes(), plain);
            }
        }
    }
}

fn sha256(certificate_der: &[u8]) -> Fingerprint {
    Fingerprint::of(FingerprintHash::Sha256, certificate_der)
}

/// 20 ms of something that is not all the same.
fn rtp_packet() -> Vec<u8> {
    let header = [0x80, 0, 0x12, 0x34, 0, 0, 0, 160, 0xde, 0xad, 0xbe, 0xef];
    header.into_iter().chain((0..160u8).map(|at| at.wrapping_mul(37))).collect()
}

/// A sender's report without blocks.
fn rtcp_packet() -> Vec<u8> {
    let header = [0x80, 200, 0, 6, 0xde, 0xad, 0xbe, 0xef];
    header.into_iter().chain((0..20u8).map(|at| at.wrapping_mul(53))).collect()
}

#[test]
fn both_sides_have_the_same_keys_and_media_goes_both_ways() {
    for (curve, algorithm) in [("P-256", &rcgen::PKCS_ECDSA_P256_SHA256), ("P-384", &rcgen::PKCS_ECDSA_P384_SHA384)] {
        let identity = Identity::new(algorithm);
        for (theirs, ours, version) in VERSIONS {
            for role in ROLES {
                for (name, profile) in PROFILES {
                    let mut call = Pair::new(role, ours, theirs, &identity, name).call(&[]);
                    call.run();
                    let [sent, received] = call.sent;
                    println!(
                        "{version:?}, {curve}, we are the {role:?} ({ours:?}), {name}: {sent} datagrams to, {received} from"
                    );
                    call.expect_media(role, version, (name, profile));
                    assert_eq!(call.association.counters().attempts, 1);
                }
            }
        }
    }
}

#[test]
fn whatever_groups_boringssl_has_we_find_one() {
    let identity = Identity::new(&rcgen::PKCS_ECDSA_P256_SHA256);
    // P-256 is in each, as BoringSSL takes certificates of DTLS 1.2 only of groups that it has. The last are a browser's.
    for groups in ["P-256", "X25519:P-256", "P-384:P-256", "X25519MLKEM768:X25519:P-256:P-384"] {
        for (theirs, ours, version) in VERSIONS {
            for role in ROLES {
                let mut pair = Pair::new(role, ours, theirs, &identity, PROFILES[2].0);
                pair.groups = Some(groups);
                let mut call = pair.call(&[]);
                call.run();
                let [sent, received] = call.sent;
                println!("{version:?}, groups {groups}, we are the {role:?} ({ours:?}): {sent} datagrams to, {received} from");
                if groups.contains("MLKEM") && role == Role::Server && theirs[1] == SslVersion::DTLS1_3 {
                    assert_eq!(received, 3, "a hello of two datagrams, and one that ends the handshake");
                }
                call.expect_media(role, version, PROFILES[2]);
            }
        }
    }
}

#[test]
fn of_several_common_profiles_both_take_the_same() {
    let identity = Identity::new(&rcgen::PKCS_ECDSA_P256_SHA256);
    let all = "SRTP_AES128_CM_SHA1_80:SRTP_AES128_CM_SHA1_32:SRTP_AEAD_AES_128_GCM:SRTP_AEAD_AES_256_GCM";
    for (theirs, ours, version) in VERSIONS {
        for role in ROLES {
            let mut call = Pair::new(role, ours, theirs, &identity, all).call(&[]);
            call.run();
            // A server chooses. Our library's takes its own best in DTLS 1.2, and what the client likes best in 1.3.
            let chosen = if role == Role::Server && version == SslVersion::DTLS1_2 { PROFILES[2] } else { PROFILES[0] };
            call.expect_media(role, version, chosen);
        }
    }
}

#[test]
fn what_is_lost_of_ours_once_is_sent_again() {
    let identity = Identity::new(&rcgen::PKCS_ECDSA_P256_SHA256);
    for (theirs, ours, version) in VERSIONS {
        for role in ROLES {
            let call = |lost: &[usize]| {
                let mut call = Pair::new(role, ours, theirs, &identity, PROFILES[1].0).call(lost);
                call.run();
                call
            };
            let [sent, _] = call(&[]).sent;
            // The last flight of DTLS 1.2 is its server's, and nothing tells it to send that again but its client, which has no timer
            // here.
            let waits_for_client = role == Role::Server && version == SslVersion::DTLS1_2;
            for lost in 0..sent - usize::from(waits_for_client) {
                println!("{version:?}, we are the {role:?} ({ours:?}), lost is datagram {lost} of {sent}");
                call(&[lost]).expect_media(role, version, PROFILES[1]);
            }
        }
    }
}

#[test]
fn without_a_common_profile_there_are_no_keys_and_the_error_says_so() {
    let identity = Identity::new(&rcgen::PKCS_ECDSA_P256_SHA256);
    for (theirs, ours, version) in VERSIONS {
        for role in ROLES {
            let mut call = Pair::new(role, ours, theirs, &identity, "SRTP_AES128_CM_SHA1_32").call(&[]);
            call.run();
            assert!(matches!(call.outcome, Some(Err(DtlsError::NoCommonProfile { .. }))), "{version:?}: {:?}", call.outcome);
            assert_eq!(call.boringssl.profile(), None);
        }
    }
}

#[test]
fn a_certificate_of_boringssl_that_was_not_signalled_is_refused() {
    let identity = Identity::new(&rcgen::PKCS_ECDSA_P256_SHA256);
    let other = sha256(Certificate::generate().unwrap().der());
    for (theirs, ours, version) in VERSIONS {
        for role in ROLES {
            let mut pair = Pair::new(role, ours, theirs, &identity, PROFILES[0].0);
            pair.wrong[0] = Some(other.clone());
            let mut call = pair.call(&[]);
            call.run();
            let error = DtlsError::Fingerprint { expected: other.clone().into(), got: sha256(&identity.certificate_der) };
            assert_eq!(call.outcome.map(|outcome| outcome.map(drop)), Some(Err(error)), "{version:?}, {role:?}");
        }
    }
}

#[test]
fn that_boringssl_refuses_our_certificate_is_a_typed_end() {
    let identity = Identity::new(&rcgen::PKCS_ECDSA_P256_SHA256);
    let other = sha256(Certificate::generate().unwrap().der());
    for (theirs, ours, version) in VERSIONS {
        for role in ROLES {
            let mut pair = Pair::new(role, ours, theirs, &identity, PROFILES[0].0);
            pair.wrong[1] = Some(other.clone());
            let mut call = pair.call(&[]);
            call.run();
            let outcome = call.outcome.map(|outcome| outcome.map(drop));
            println!("{version:?} refuses us, the {role:?} ({ours:?}): {:?}, {outcome:?}", call.boringssl.progress());
            assert!(matches!(call.boringssl.progress(), Progress::Failed(_)));
            match outcome {
                // A client of DTLS 1.3 is done before its server has seen its certificate: what it hears then is too late.
                Some(Ok(())) => assert_eq!((role, version), (Role::Client, SslVersion::DTLS1_3)),
                Some(Err(DtlsError::Handshake { why })) => assert!(why.contains("alert"), "{why}"),
                other => panic!("{other:?}"),
            }
        }
    }
}
