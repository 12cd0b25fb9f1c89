//! Cryptography for exploring DTLS: real bytes, the same in every run, and cheap.
//!
//! What is random in a handshake comes from the association's number: the ephemeral keys, and through the library's own generator the hellos'
//! randoms, cookies and nonces. Signatures are made as RFC 6979 has it, without randomness. So the schedules of an exploration ask for the
//! same products of curves again and again, and those are remembered by their input: nothing is faked, and a wrong input gives a wrong
//! answer, but a handshake costs what its hashing and its ciphers cost.

use aws_lc_rs::{agreement, digest};
use dimpl::crypto::{
    ActiveKeyExchange, Buf, CryptoProvider, HashAlgorithm, KeyProvider, NamedGroup, SignatureAlgorithm, SignatureVerifier,
    SigningKey, SupportedKxGroup,
};
use dimpl::{Config, CryptoError, CryptoOperation};
use stack::dtls::{Certificate, Crypto, DtlsError, Role, Settings};
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

/// So many products of each kind are remembered; then all are forgotten.
const REMEMBERED_MAX: usize = 4096;
/// So many associations of each role have ephemeral keys of their own; then the first one's come again, as providers are never freed.
const PROVIDERS_MAX: u64 = 1024;

/// The certificates of a simulated call: they hold from 1970 until 2200.
pub fn certificate(role: Role) -> Certificate {
    let (certificate, key): (&[u8], &[u8]) = match role {
        Role::Client => (include_bytes!("client.certificate.der"), include_bytes!("client.key.der")),
        Role::Server => (include_bytes!("server.certificate.der"), include_bytes!("server.key.der")),
    };
    Certificate::new(certificate, key).expect("the fixtures are certificates of P-256")
}

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seeded;

impl Crypto for Seeded {
    fn for_association(&self, role: Role, number: u64) -> (CryptoProvider, u64) {
        static PROVIDERS: Memory<(bool, u64), CryptoProvider> = Memory::new();
        let is_client = role == Role::Client;
        let key = (is_client, number % PROVIDERS_MAX);
        let provider = PROVIDERS.recall(key, || Ok::<_, std::convert::Infallible>(provider(key)));
        let seed = hash(&[b"seed", &[u8::from(is_client)], &number.to_be_bytes()]);
        let Ok(provider) = provider;
        (provider, u64::from_be_bytes(seed[..8].try_into().expect("a digest is longer than eight bytes")))
    }

    fn library_config(
        &self,
        (role, number, settings): (Role, u64, Settings),
        make: &dyn Fn() -> Result<Arc<Config>, DtlsError>,
    ) -> Result<Arc<Config>, DtlsError> {
        static CONFIGS: Memory<(bool, u64, Settings), Arc<Config>> = Memory::new();
        CONFIGS.recall((role == Role::Client, number, settings), make)
    }
}

type Digest = [u8; 32];

fn hash(parts: &[&[u8]]) -> Digest {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    context.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// What was made of an input, for the whole process. Not a lock that an engine sees: nothing switches inside.
struct Memory<K, V>(LazyLock<Mutex<BTreeMap<K, V>>>);

impl<K: Ord, V: Clone> Memory<K, V> {
    const fn new() -> Self {
        Memory(LazyLock::new(Mutex::default))
    }

    fn recall<E>(&self, key: K, make: impl FnOnce() -> Result<V, E>) -> Result<V, E> {
        if let Some(known) = self.map().get(&key) {
            return Ok(known.clone());
        }
        let made = make()?;
        let mut map = self.map();
        if map.len() >= REMEMBERED_MAX {
            map.clear();
        }
        map.insert(key, made.clone());
        Ok(made)
    }

    fn map(&self) -> MutexGuard<'_, BTreeMap<K, V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leaked, as the library wants parts that live for ever: [`PROVIDERS_MAX`] bounds them.
fn provider((is_client, number): (bool, u64)) -> CryptoProvider {
    let groups = [NamedGroup::X25519, NamedGroup::Secp256r1, NamedGroup::Secp384r1];
    let groups = groups.map(|group| &*Box::leak(Box::new(Group { group, is_client, number })) as &dyn SupportedKxGroup);
    CryptoProvider {
        kx_groups: Box::leak(Box::new(groups)),
        key_provider: &Keys,
        signature_verification: &Verifier,
        ..dimpl::crypto::aws_lc_rs::default_provider()
    }
}

/// A group whose ephemeral keys an association's number says.
#[derive(Debug)]
struct Group {
    group: NamedGroup,
    is_client: bool,
    number: u64,
}

#[derive(Debug)]
struct Exchange {
    group: NamedGroup,
    algorithm: &'static agreement::Algorithm,
    scalar: Vec<u8>,
    public: Buf,
}

impl Group {
    fn algorithm(&self) -> &'static agreement::Algorithm {
        match self.group {
            NamedGroup::X25519 => &agreement::X25519,
            NamedGroup::Secp256r1 => &agreement::ECDH_P256,
            _ => &agreement::ECDH_P384,
        }
    }
}

impl SupportedKxGroup for Group {
    fn name(&self) -> NamedGroup {
        self.group
    }

    fn start_exchange(&self, mut public: Buf) -> Result<Box<dyn ActiveKeyExchange>, CryptoError> {
        static PUBLIC: Memory<Digest, Vec<u8>> = Memory::new();
        let group = self.group.as_u16().to_be_bytes();
        let digest = hash(&[b"key", &[u8::from(self.is_client)], &self.number.to_be_bytes(), &group]);
        // P-384 has scalars of 48 bytes.
        let padding = if self.group == NamedGroup::Secp384r1 { 16 } else { 0 };
        let scalar = [&[0; 16][..padding], &digest].concat();
        let algorithm = self.algorithm();
        let known = PUBLIC.recall(hash(&[&scalar, &group]), || {
            let failed = |_| CryptoError::OperationFailed(CryptoOperation::GenerateEphemeralKey);
            let private = agreement::PrivateKey::from_private_key(algorithm, &scalar)
                .map_err(|_| CryptoError::OperationFailed(CryptoOperation::GenerateEphemeralKey))?;
            private.compute_public_key().map(|public| public.as_ref().to_vec()).map_err(failed)
        })?;
        public.clear();
        public.extend_from_slice(&known);
        Ok(Box::new(Exchange { group: self.group, algorithm, scalar, public }))
    }
}

impl ActiveKeyExchange for Exchange {
    fn pub_key(&self) -> &[u8] {
        &self.public
    }

    fn complete(self: Box<Self>, peer: &[u8], secret: &mut Buf) -> Result<(), CryptoError> {
        static AGREED: Memory<Digest, Vec<u8>> = Memory::new();
        let known = AGREED.recall(hash(&[&self.scalar, peer, &self.group.as_u16().to_be_bytes()]), || {
            let refused = CryptoError::InvalidPublicKey(self.group);
            let private = agreement::PrivateKey::from_private_key(self.algorithm, &self.scalar).map_err(|_| refused.clone())?;
            let peer = agreement::UnparsedPublicKey::new(self.algorithm, peer);
            agreement::agree(&private, peer, refused, |secret| Ok(secret.to_vec()))
        })?;
        secret.clear();
        secret.extend_from_slice(&known);
        Ok(())
    }

    fn group(&self) -> NamedGroup {
        self.group
    }
}

/// Private keys whose signatures have no randomness.
#[derive(Debug)]
struct Keys;

#[derive(Debug)]
struct Key {
    der: Vec<u8>,
    hash: [HashAlgorithm; 1],
}

fn load(der: &[u8]) -> Result<Box<dyn SigningKey>, CryptoError> {
    dimpl::crypto::rust_crypto::default_provider().key_provider.load_private_key(der)
}

impl KeyProvider for Keys {
    fn load_private_key(&self, der: &[u8]) -> Result<Box<dyn SigningKey>, CryptoError> {
        static LOADED: Memory<Digest, HashAlgorithm> = Memory::new();
        let algorithm = LOADED.recall(hash(&[der]), || Ok(load(der)?.hash_algorithm()))?;
        Ok(Box::new(Key { der: der.to_vec(), hash: [algorithm] }))
    }
}

impl SigningKey for Key {
    fn sign(&mut self, data: &[u8], algorithm: HashAlgorithm, signature: &mut Buf) -> Result<(), CryptoError> {
        static SIGNED: Memory<Digest, Vec<u8>> = Memory::new();
        let known = SIGNED.recall(hash(&[&self.der, data, &[algorithm.as_u8()]]), || {
            let mut signature = Buf::new();
            load(&self.der)?.sign(data, algorithm, &mut signature)?;
            Ok(signature.into_vec())
        })?;
        signature.clear();
        signature.extend_from_slice(&known);
        Ok(())
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }

    fn hash_algorithm(&self) -> HashAlgorithm {
        self.hash[0]
    }

    fn supported_hash_algorithms(&self) -> &[HashAlgorithm] {
        &self.hash
    }
}

#[derive(Debug)]
struct Verifier;

impl SignatureVerifier for Verifier {
    fn verify_signature(
        &self,
        certificate: &[u8],
        data: &[u8],
        signature: &[u8],
        hash_algorithm: HashAlgorithm,
        signature_algorithm: SignatureAlgorithm,
    ) -> Result<(), CryptoError> {
        static VERIFIED: Memory<Digest, Result<(), CryptoError>> = Memory::new();
        let key = hash(&[certificate, data, signature, &[hash_algorithm.as_u8(), signature_algorithm.as_u8()]]);
        VERIFIED.recall(key, || {
            let verifier = dimpl::crypto::aws_lc_rs::default_provider().signature_verification;
            Ok(verifier.verify_signature(certificate, data, signature, hash_algorithm, signature_algorithm))
        })?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sim::time::{Duration, Instant};
    use stack::dtls::{Action, Association, DtlsConfig, FingerprintHash, Settings, Versions};
    use std::sync::Arc;

    const LATENCY: Duration = Duration::from_millis(20);

    fn config(role: Role, versions: Versions) -> DtlsConfig {
        let mut settings = Settings::default();
        settings.versions = versions;
        DtlsConfig::with_crypto(certificate(role), settings, Arc::new(Seeded)).unwrap()
    }

    /// The digest of all that is sent, and when, in a handshake whose datagrams with these numbers are lost.
    fn transcript(versions: Versions, lost: &[usize], number: u64) -> Digest {
        let configs = [config(Role::Client, versions), config(Role::Server, versions)];
        let mut now = Instant::from_origin(Duration::from_secs(1));
        let expected = |of: usize| configs[of].certificate().fingerprint(FingerprintHash::Sha256).into();
        let mut ends = [
            Association::new(&configs[0], Role::Client, expected(1), number, now),
            Association::new(&configs[1], Role::Server, expected(0), number + 1, now),
        ];
        let (mut sent, mut in_flight, mut said) = (0, BTreeMap::new(), Vec::new());
        while !ends.iter().all(Association::is_keyed) || !in_flight.is_empty() {
            for (from, end) in ends.iter_mut().enumerate() {
                while let Some(action) = end.poll() {
                    let Action::Transmit(datagram) = action else {
                        assert!(matches!(action, Action::Keyed(_)), "{action:?}");
                        continue;
                    };
                    said.extend_from_slice(
                        &[u64::try_from(now.since_origin().as_nanos()).unwrap().to_be_bytes().as_slice(), &datagram].concat(),
                    );
                    sent += 1;
                    if !lost.contains(&sent) {
                        in_flight.insert((now + LATENCY, sent), (1 - from, datagram));
                    }
                }
            }
            let due = ends.each_ref().map(Association::next_due);
            let arrival = in_flight.first_key_value().map(|((at, _), _)| *at);
            now = due.into_iter().flatten().chain(arrival).min().unwrap().max(now);
            if arrival == Some(now) {
                let (_, (to, datagram)) = in_flight.pop_first().unwrap();
                ends[to].handle_datagram(&datagram, now);
            } else {
                ends.iter_mut().for_each(|end| end.handle_timeout(now));
            }
        }
        hash(&[&said])
    }

    #[test]
    fn a_handshake_is_the_same_bytes_again() {
        for versions in [Versions::Any, Versions::Dtls12, Versions::Dtls13] {
            for lost in [&[][..], &[1], &[2], &[3], &[1, 4], &[2, 3, 5]] {
                assert_eq!(transcript(versions, lost, 7), transcript(versions, lost, 7), "{versions:?}, lost {lost:?}");
                assert_ne!(
                    transcript(versions, lost, 7),
                    transcript(versions, lost, 9),
                    "each association has numbers of its own"
                );
            }
        }
    }

    #[test]
    fn a_handshake_is_the_same_bytes_on_every_machine_and_in_every_build() {
        let first_bytes = [Versions::Any, Versions::Dtls12, Versions::Dtls13].map(|versions| {
            let digest = transcript(versions, &[2], 1);
            u32::from_be_bytes(digest[..4].try_into().unwrap())
        });
        assert_eq!(first_bytes, [2_628_628_778, 625_249_541, 1_290_616_457]);
    }
}
