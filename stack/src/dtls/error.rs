//! What may go wrong with an association.

use super::fingerprint::{Fingerprint, Fingerprints};
use std::time::Duration;
use thiserror::Error;

/// Why an association, or what it is made with, is of no use.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DtlsError {
    /// The private key does not parse, or is of no curve that there is.
    #[error("expected a private key of P-256 or P-384 as PKCS#8 or SEC1, got one that is refused: {why}")]
    PrivateKey {
        /// What the library says.
        why: String,
    },
    /// A certificate does not parse.
    #[error("expected a certificate in DER, got {len} bytes that are none: {why}")]
    Certificate {
        /// Its length in bytes.
        len: usize,
        /// What the parser says.
        why: String,
    },
    /// A certificate is longer than a handshake takes.
    #[error("expected a certificate of at most {expected} bytes, got {got}")]
    CertificateLength {
        /// The limit, in bytes.
        expected: usize,
        /// Its length in bytes.
        got: usize,
    },
    /// A certificate's key is of a kind that the library cannot check. RSA is one.
    #[error("expected a certificate with a key of P-256 or P-384, got {got}")]
    CertificateKey {
        /// The kind's name, or its object identifier.
        got: String,
    },
    /// A certificate does not hold yet.
    #[error("expected a certificate that holds now, {now_s} s after 1970, got one from {from_s} s on")]
    CertificateNotYet {
        /// The moment from which it holds, in seconds since 1970.
        from_s: u64,
        /// The wall clock's second.
        now_s: u64,
    },
    /// A certificate holds no more.
    #[error("expected a certificate that holds now, {now_s} s after 1970, got one until {until_s} s")]
    CertificateExpired {
        /// The last moment at which it held, in seconds since 1970.
        until_s: u64,
        /// The wall clock's second.
        now_s: u64,
    },
    /// The peer's certificate is not the one that the signalling named (RFC 8122 section 5).
    #[error("expected a certificate whose fingerprint is {}, got {got}", one_of(expected))]
    Fingerprint {
        /// What was signalled.
        expected: Fingerprints,
        /// What came, by the same hash.
        got: Fingerprint,
    },
    /// A setting is out of its bounds.
    #[error("expected {what} from {least} to {most}, got {got}")]
    Setting {
        /// Which.
        what: &'static str,
        /// The least.
        least: u64,
        /// The most.
        most: u64,
        /// What was asked for.
        got: u64,
    },
    /// Both sides know each other, and no SRTP profile is common to both.
    #[error("expected a peer that takes one of {expected}, got one that takes none of them")]
    NoCommonProfile {
        /// Our profiles, as RFC 5764 and RFC 7714 name them.
        expected: &'static str,
    },
    /// The library cannot go on with this peer.
    #[error(
        "expected a peer with DTLS 1.2 or 1.3, a certificate of P-256 or P-384 (not RSA), and extended master secrets, got: {why}"
    )]
    Handshake {
        /// What the library says.
        why: String,
    },
    /// The handshake has not ended in its time, and nothing says why.
    #[error("expected a handshake within {expected:?}, got none in {attempts} attempts")]
    Deadline {
        /// What it was given.
        expected: Duration,
        /// How many were begun.
        attempts: u32,
    },
    /// The peer has closed the association.
    #[error("expected an association, got its close by the peer")]
    Closed,
}

fn one_of(fingerprints: &Fingerprints) -> String {
    let told: Vec<String> = fingerprints.iter().map(Fingerprint::to_string).collect();
    told.join(" or ")
}
