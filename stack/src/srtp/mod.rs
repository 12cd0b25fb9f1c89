//! SRTP and SRTCP: RFC 3711 with the ciphers of RFC 6188 and RFC 7714.
//!
//! [`Sender`] protects packets in place and [`Receiver`] unprotects them, each for any number of streams; both are sans-IO, and have
//! batch calls that work on several packets at once. [`Session`] is the two of them for several threads, with keys that come and go.
//!
//! What is promised: a packet that is refused moves nothing, and is counted; a sender uses no index twice under a key, unless it
//! is told to forget the stream; nothing passes in clear, keyed or not; tags are compared in constant time; keys are zeroised
//! when they are dropped. What no sender can see is the caller's to keep: that no other has its key and its SSRCs, one of the
//! other direction included.
//!
//! Of RFC 3711, AES-f8 and the `<From, To>` form of key identification are left out; nothing negotiates them any more.

mod counter_mode;
mod counters;
mod derive;
mod error;
mod gcm;
mod history;
mod hmac_sha1;
mod index;
mod key_ring;
mod lanes;
mod packet;
mod policy;
mod profile;
pub mod properties;
mod receiver;
mod replay;
#[cfg(test)]
mod rfc_7714;
mod sender;
mod session;
mod session_keys;
mod streams;
#[cfg(test)]
mod vectors;

pub use counters::Counters;
pub use error::SrtpError;
pub use policy::{KeyLifetime, MASTER_KEYS_MAX, MKI_LEN_MAX, MasterKey, Policy, WINDOW_PACKETS_MAX, WINDOW_PACKETS_MIN};
pub use profile::Profile;
pub use receiver::Receiver;
pub use sender::Sender;
pub use session::Session;
