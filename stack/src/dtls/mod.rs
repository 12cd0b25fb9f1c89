//! DTLS-SRTP (RFC 5764): keys for [`crate::srtp`] from a handshake whose certificates the signalling vouches for.
//!
//! The handshake is the library `dimpl`'s, DTLS 1.2 and 1.3. Here is what a call needs around it, sans-IO: an [`Association`] takes
//! datagrams and the time, and says what to send, when it wants to be called, and which keys there are. [`classify`] tells what else
//! comes on its socket (RFC 7983), [`Fingerprint`] and [`Setup`] are what the signalling says (RFC 8122, RFC 4145, RFC 5763).
//!
//! # What the library takes
//! Certificates of P-256 or P-384, not RSA; of DTLS 1.2, ECDHE-ECDSA with AES-GCM or ChaCha20, and extended master secrets; of SRTP, the
//! profiles `SRTP_AEAD_AES_256_GCM`, `SRTP_AEAD_AES_128_GCM` and `SRTP_AES128_CM_HMAC_SHA1_80`, which it offers in this order. A peer that wants
//! others gets a typed error: [`DtlsError`].

mod association;
mod certificate;
mod clock;
mod config;
mod demux;
mod error;
mod fingerprint;
mod keys;
mod record;
mod setup;

pub use association::{ATTEMPTS_MAX, Action, Association, Counters, DATAGRAM_LEN_MAX};
pub use certificate::{CERTIFICATE_LEN_MAX, Certificate};
pub use config::{Crypto, DtlsConfig, Settings, Versions};
pub use demux::{DemuxError, Protocol, classify};
pub use error::DtlsError;
pub use fingerprint::{FINGERPRINTS_MAX, Fingerprint, FingerprintError, FingerprintHash, Fingerprints};
pub use keys::Keys;
pub use setup::{Role, Setup, SetupError, role_of};
