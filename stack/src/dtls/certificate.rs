//! Certificates: our own, and what is looked at in a peer's beside its fingerprint.

use super::DtlsError;
use super::fingerprint::{Fingerprint, FingerprintHash, Fingerprints};
use dimpl::DtlsCertificate;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SerialNumber};
use sim::time;
use std::fmt;
use x509_cert::der::Decode;
use x509_cert::der::asn1::ObjectIdentifier;
use zeroize::Zeroizing;

/// The longest certificate that is taken, ours or the peer's, in bytes. A handshake carries it in fragments, whose number is bounded.
pub const CERTIFICATE_LEN_MAX: usize = 2048;

const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
/// How long a certificate that is made here holds, and how long it has held already, as peers' clocks differ.
const HOLDS_DAYS: i64 = 30;
const HELD_DAYS: i64 = 1;

/// A certificate and its private key, of P-256 or P-384. The key's memory is zeroised when it is dropped.
#[derive(Clone)]
pub struct Certificate {
    der: Vec<u8>,
    private_key: Zeroizing<Vec<u8>>,
}

impl Certificate {
    /// A certificate in DER, with its private key as PKCS#8 or SEC1 in DER.
    ///
    /// # Errors
    /// [`DtlsError::Certificate`], [`DtlsError::CertificateLength`], [`DtlsError::CertificateKey`], [`DtlsError::PrivateKey`]. Whether the
    /// two belong together shows in a handshake.
    pub fn new(certificate_der: &[u8], private_key_der: &[u8]) -> Result<Self, DtlsError> {
        parse(certificate_der)?;
        let key = dimpl::crypto::aws_lc_rs::default_provider().key_provider.load_private_key(private_key_der);
        key.map_err(|error| DtlsError::PrivateKey { why: error.to_string() })?;
        Ok(Certificate { der: certificate_der.to_vec(), private_key: Zeroizing::new(private_key_der.to_vec()) })
    }

    /// A new key of P-256 and a certificate for it, signed by itself, that holds for a month. It says nothing of who has it: peers know
    /// it by its fingerprint.
    ///
    /// # Errors
    /// [`DtlsError::PrivateKey`], [`DtlsError::Certificate`] if the machine has no randomness, or no date.
    pub fn generate() -> Result<Self, DtlsError> {
        let refused = |why: rcgen::Error| DtlsError::Certificate { len: 0, why: why.to_string() };
        let key = KeyPair::generate().map_err(|error| DtlsError::PrivateKey { why: error.to_string() })?;
        let mut params = CertificateParams::new(Vec::new()).map_err(refused)?;
        let mut serial = [0; 16];
        sim::rand::fill(&mut serial);
        // RFC 5280 section 4.1.2.2: positive.
        serial[0] &= 0x7f;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "DTLS-SRTP");
        let now_s = i64::try_from(time::wall_clock().as_secs()).unwrap_or(i64::MAX);
        let moment = |days: i64| {
            let moment = ::time::OffsetDateTime::from_unix_timestamp(now_s.saturating_add(days * 86_400));
            moment.map_err(|error| DtlsError::Certificate { len: 0, why: error.to_string() })
        };
        params.not_before = moment(-HELD_DAYS)?;
        params.not_after = moment(HOLDS_DAYS)?;
        let certificate = params.self_signed(&key).map_err(refused)?;
        Certificate::new(certificate.der(), &key.serialize_der())
    }

    /// What peers are told that they will see (RFC 8122).
    pub fn fingerprint(&self, hash: FingerprintHash) -> Fingerprint {
        Fingerprint::of(hash, &self.der)
    }

    /// The certificate, in DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    pub(super) fn to_library(&self) -> DtlsCertificate {
        DtlsCertificate { certificate: self.der.clone(), private_key: self.private_key.to_vec() }
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("fingerprint", &self.fingerprint(FingerprintHash::Sha256)).finish_non_exhaustive()
    }
}

/// Looks at a peer's certificate: that it is the one that was signalled, that it holds now, and that its key is of a kind that can be
/// checked. That the peer has the private key shows later.
pub(super) fn check(der: &[u8], expected: &Fingerprints) -> Result<(), DtlsError> {
    if !expected.matches(der) {
        let hash = expected.iter().next().map_or(FingerprintHash::Sha256, Fingerprint::hash);
        return Err(DtlsError::Fingerprint { expected: expected.clone(), got: Fingerprint::of(hash, der) });
    }
    let (from_s, until_s) = parse(der)?;
    let now_s = time::wall_clock().as_secs();
    match now_s {
        now_s if now_s < from_s => Err(DtlsError::CertificateNotYet { from_s, now_s }),
        now_s if now_s > until_s => Err(DtlsError::CertificateExpired { until_s, now_s }),
        _ => Ok(()),
    }
}

/// From when and until when it holds, in seconds since 1970.
fn parse(der: &[u8]) -> Result<(u64, u64), DtlsError> {
    if der.len() > CERTIFICATE_LEN_MAX {
        return Err(DtlsError::CertificateLength { expected: CERTIFICATE_LEN_MAX, got: der.len() });
    }
    let refused = |error: x509_cert::der::Error| DtlsError::Certificate { len: der.len(), why: error.to_string() };
    let certificate = x509_cert::Certificate::from_der(der).map_err(refused)?;
    let signed = certificate.tbs_certificate();
    let algorithm = &signed.subject_public_key_info().algorithm;
    let curve = algorithm.parameters.as_ref().and_then(|curve| curve.decode_as::<ObjectIdentifier>().ok());
    let got = match (algorithm.oid, curve) {
        (EC_PUBLIC_KEY, Some(P256 | P384)) => {
            let validity = signed.validity();
            return Ok((validity.not_before.to_unix_duration().as_secs(), validity.not_after.to_unix_duration().as_secs()));
        }
        (EC_PUBLIC_KEY, Some(curve)) => format!("the curve {curve}"),
        (EC_PUBLIC_KEY, None) => "an unnamed curve".to_owned(),
        (RSA, _) => "RSA".to_owned(),
        (ED25519, _) => "Ed25519".to_owned(),
        (other, _) => other.to_string(),
    };
    Err(DtlsError::CertificateKey { got })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn made(algorithm: &'static rcgen::SignatureAlgorithm, from_s: i64, until_s: i64, names: usize) -> (Vec<u8>, Vec<u8>) {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let mut params = CertificateParams::new(vec!["a.name.of.some.length.example".to_owned(); names]).unwrap();
        params.not_before = ::time::OffsetDateTime::from_unix_timestamp(from_s).unwrap();
        params.not_after = ::time::OffsetDateTime::from_unix_timestamp(until_s).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        (certificate.der().to_vec(), key.serialize_der())
    }

    fn said(der: &[u8]) -> Fingerprints {
        Fingerprint::of(FingerprintHash::Sha256, der).into()
    }

    #[test]
    fn only_keys_that_can_be_checked_are_taken() {
        let now_s = time::wall_clock().as_secs() as i64;
        let kinds = [
            (&rcgen::PKCS_ECDSA_P256_SHA256, None),
            (&rcgen::PKCS_ECDSA_P384_SHA384, None),
            (&rcgen::PKCS_ECDSA_P521_SHA512, Some("the curve 1.3.132.0.35")),
            (&rcgen::PKCS_ED25519, Some("Ed25519")),
            (&rcgen::PKCS_RSA_SHA256, Some("RSA")),
        ];
        for (algorithm, refused) in kinds {
            let (der, key) = made(algorithm, now_s - 60, now_s + 60, 0);
            let expected = refused.map_or(Ok(()), |got| Err(DtlsError::CertificateKey { got: got.to_owned() }));
            assert_eq!(check(&der, &said(&der)), expected);
            assert_eq!(Certificate::new(&der, &key).map(drop), expected);
        }
    }

    #[test]
    fn a_certificate_holds_from_its_first_second_to_its_last() {
        let now_s = time::wall_clock().as_secs() as i64;
        // The clock goes on meanwhile, so no nearer than this.
        for (from, until) in [(-60, 60), (60, 120), (-120, -60), (-now_s, 4_000_000_000 - now_s)] {
            let (der, _) = made(&rcgen::PKCS_ECDSA_P256_SHA256, now_s + from, now_s + until, 0);
            match (check(&der, &said(&der)), from > 0, until < 0) {
                (Ok(()), false, false) => {}
                (Err(DtlsError::CertificateNotYet { from_s, .. }), true, _) => assert_eq!(from_s as i64, now_s + from),
                (Err(DtlsError::CertificateExpired { until_s, .. }), _, true) => assert_eq!(until_s as i64, now_s + until),
                other => panic!("{from} to {until}: {other:?}"),
            }
        }
    }

    #[test]
    fn length_and_fingerprint_have_their_own_errors() {
        let now_s = time::wall_clock().as_secs() as i64;
        let (long, key) = made(&rcgen::PKCS_ECDSA_P256_SHA256, now_s - 60, now_s + 60, 100);
        let error = DtlsError::CertificateLength { expected: CERTIFICATE_LEN_MAX, got: long.len() };
        assert_eq!(Certificate::new(&long, &key).map(drop), Err(error.clone()));
        assert_eq!(check(&long, &said(&long)), Err(error));
        let ours = Certificate::generate().unwrap();
        let other = Certificate::generate().unwrap();
        assert_ne!(ours.der(), other.der());
        let got = ours.fingerprint(FingerprintHash::Sha384);
        let expected: Fingerprints = other.fingerprint(FingerprintHash::Sha384).into();
        assert_eq!(check(ours.der(), &expected), Err(DtlsError::Fingerprint { expected, got }));
        assert!(matches!(Certificate::new(ours.der(), b"no key"), Err(DtlsError::PrivateKey { .. })));
        let told = format!("{ours:?}");
        assert!(told.contains("Sha256") && !told.contains("private_key"), "{told}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(parse(&bytes).is_err());
        }
    }
}
