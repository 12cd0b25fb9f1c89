//! DTLS handshakes beside openssl's library: both sides in one process, in groups `dtls/<version>/handshake/<implementation>`.
//!
//! `cargo bench -p glare-benches-production --bench handshakes`; with `--features openssl` openssl's library is among them. `ci/dtls-ratios`
//! runs it and prints one table. Before anything is timed, every handshake is seen to agree on the same cipher suite and group, on DTLS
//! 1.2, and on keys.

#[cfg(feature = "openssl")]
mod openssl;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sim::time::Instant;
use stack::dtls::{
    Action, Association, Certificate, DtlsConfig, Fingerprint, FingerprintHash, Fingerprints, Role, Settings, Versions,
};
use stack::srtp::MasterKey;
use std::time::Duration;

/// What DTLS 1.2 is to agree on, as ours prefers it: ECDHE-ECDSA-AES128-GCM-SHA256, and X25519.
const SUITE: u16 = 0xc02b;
const GROUP: u16 = 29;

/// One side of a handshake.
trait Side {
    fn handle_datagram(&mut self, datagram: &[u8]);
    /// The next datagram that it sends.
    fn poll(&mut self) -> Option<Vec<u8>>;
    /// Once it knows the peer: its SRTP keys for sending and for receiving.
    fn keys(&self) -> Option<[MasterKey; 2]>;
}

/// What makes sides, keyed with a certificate each and set up once.
trait Implementation {
    type Side: Side;
    fn side(&self, role: Role) -> Self::Side;
}

/// A certificate of P-256 and its key.
struct Identity {
    certificate_der: Vec<u8>,
    key_der: Vec<u8>,
}

impl Identity {
    fn new() -> Self {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let certificate = rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap();
        Identity { certificate_der: certificate.der().to_vec(), key_der: key.serialize_der() }
    }
}

/// The certificates of the client and of the server, which every implementation has alike.
struct Identities([Identity; 2]);

impl Identities {
    fn of(&self, role: Role) -> &Identity {
        &self.0[usize::from(role == Role::Server)]
    }
}

fn peer_of(role: Role) -> Role {
    if role == Role::Client { Role::Server } else { Role::Client }
}

struct Ours {
    /// For the client and for the server, with what each expects of the other.
    sides: [(DtlsConfig, Fingerprints); 2],
}

impl Ours {
    fn new(identities: &Identities, versions: Versions) -> Self {
        let mut settings = Settings::default();
        settings.versions = versions;
        let sides = [Role::Client, Role::Server].map(|role| {
            let (ours, peer) = (identities.of(role), identities.of(peer_of(role)));
            let certificate = Certificate::new(&ours.certificate_der, &ours.key_der).unwrap();
            let expected = Fingerprint::of(FingerprintHash::Sha256, &peer.certificate_der).into();
            (DtlsConfig::new(certificate, settings).unwrap(), expected)
        });
        Ours { sides }
    }
}

impl Implementation for Ours {
    type Side = OurSide;

    fn side(&self, role: Role) -> OurSide {
        let (config, expected) = &self.sides[usize::from(role == Role::Server)];
        // No datagram is lost, so no time passes.
        let now = Instant::from_origin(Duration::from_secs(1));
        OurSide { association: Association::new(config, role, expected.clone(), 1, now), now, keys: None }
    }
}

struct OurSide {
    association: Association,
    now: Instant,
    keys: Option<[MasterKey; 2]>,
}

impl Side for OurSide {
    fn handle_datagram(&mut self, datagram: &[u8]) {
        self.association.handle_datagram(datagram, self.now);
    }

    fn poll(&mut self) -> Option<Vec<u8>> {
        loop {
            match self.association.poll()? {
                Action::Transmit(datagram) => return Some(datagram),
                Action::Keyed(keys) => self.keys = Some([keys.sending().clone(), keys.receiving().clone()]),
                other => panic!("{other:?}"),
            }
        }
    }

    fn keys(&self) -> Option<[MasterKey; 2]> {
        self.keys.clone()
    }
}

/// A whole handshake: the keys of the client and of the server. What the server says is shown.
fn handshake(client: &mut impl Side, server: &mut impl Side, mut said: impl FnMut(&[u8])) -> [[MasterKey; 2]; 2] {
    loop {
        let mut is_quiet = true;
        while let Some(datagram) = client.poll() {
            is_quiet = false;
            server.handle_datagram(&datagram);
        }
        while let Some(datagram) = server.poll() {
            is_quiet = false;
            said(&datagram);
            client.handle_datagram(&datagram);
        }
        if is_quiet {
            break;
        }
    }
    [client.keys(), server.keys()].map(|keys| keys.expect("a handshake that is done"))
}

/// What is timed does the same work, and does it: both sides have the same keys, of the suite and the group that are to be compared.
fn agree<C: Implementation, S: Implementation>(client: &C, server: &S, versions: Versions) {
    let mut said = Vec::new();
    let [ours, theirs] =
        handshake(&mut client.side(Role::Client), &mut server.side(Role::Server), |datagram| said.push(datagram.to_vec()));
    assert!(ours[0].is_same_key(&theirs[1]) && ours[1].is_same_key(&theirs[0]));
    if versions == Versions::Dtls12 {
        let messages: Vec<(u8, &[u8])> = said.iter().flat_map(|datagram| messages_in_clear(datagram)).collect();
        let body = |wanted: u8| messages.iter().find(|(kind, _)| *kind == wanted).map(|(_, body)| *body).expect("a message");
        let (hello, key_exchange) = (body(2), body(12));
        // RFC 5246 section 7.4.1.3: version, random, the session's id, the suite. RFC 8422 section 5.4: a named curve, and which.
        let suite = &hello[35 + usize::from(hello[34])..];
        assert_eq!(u16::from_be_bytes([suite[0], suite[1]]), SUITE);
        assert_eq!((key_exchange[0], u16::from_be_bytes([key_exchange[1], key_exchange[2]])), (3, GROUP));
    }
}

/// The whole handshake messages in a datagram's records of epoch 0 (RFC 6347 section 4.2.2): their types and their bodies.
fn messages_in_clear(mut datagram: &[u8]) -> Vec<(u8, &[u8])> {
    let mut messages = Vec::new();
    while let Some((header, rest)) = datagram.split_first_chunk::<13>() {
        let (mut record, after) = rest.split_at(usize::from(u16::from_be_bytes([header[11], header[12]])));
        datagram = after;
        while header[0] == 22 && header[3..5] == [0, 0] && record.len() >= 12 {
            let fragment_len = usize::from(u16::from_be_bytes([record[10], record[11]]));
            let (message, next) = record.split_at(12 + fragment_len);
            if message[1..4] == message[9..12] {
                messages.push((message[0], &message[12..]));
            }
            record = next;
        }
    }
    messages
}

fn time<C: Implementation, S: Implementation>(criterion: &mut Criterion, versions: Versions, name: &str, client: &C, server: &S) {
    agree(client, server, versions);
    let version = if versions == Versions::Dtls12 { "1.2" } else { "1.3" };
    let mut group = criterion.benchmark_group(format!("dtls/{version}/handshake"));
    group.throughput(Throughput::Elements(1));
    group.bench_function(name, |bencher| {
        bencher.iter(|| handshake(&mut client.side(Role::Client), &mut server.side(Role::Server), |_| ()));
    });
}

fn benches(criterion: &mut Criterion) {
    let identities = Identities([Identity::new(), Identity::new()]);
    let ours = Ours::new(&identities, Versions::Dtls12);
    time(criterion, Versions::Dtls12, "ours", &ours, &ours);
    #[cfg(feature = "openssl")]
    {
        let openssl = openssl::Openssl::new(&identities);
        time(criterion, Versions::Dtls12, "openssl", &openssl, &openssl);
        // Which side what there is between the two comes from.
        time(criterion, Versions::Dtls12, "ours-to-openssl", &ours, &openssl);
        time(criterion, Versions::Dtls12, "openssl-to-ours", &openssl, &ours);
    }
    let ours = Ours::new(&identities, Versions::Dtls13);
    time(criterion, Versions::Dtls13, "ours", &ours, &ours);
}

criterion_group! {
    name = handshakes;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(4)).sample_size(40);
    targets = benches
}
criterion_main!(handshakes);
