//! DTLS-SRTP (RFC 5763, RFC 5764): what two sides say of it in their descriptions.

mod fingerprint;
mod setup;

pub use fingerprint::{FINGERPRINTS_MAX, Fingerprint, FingerprintError, FingerprintHash, Fingerprints};
pub use setup::{Role, Setup, SetupError, role_of};
