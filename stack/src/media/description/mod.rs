//! Session descriptions (SDP, RFC 8866): what media two sides agree on, by offer and answer (RFC 3264).
//!
//! [`Local`] is what one side has; [`Local::offer`] makes an offer of it, [`answer`] answers one, and [`accept_answer`] takes the
//! answer to one's own. Both sides then have a [`Negotiated`]: for each line where media goes, in which formats, and with which keys
//! or certificates. All of it is sans-IO, and keys come from [`sim::rand`].
//!
//! What is promised: an answer has the lines of the offer, in their order; a line that asks for protection is answered with
//! protection or refused, one that mixes keys with a profile in clear is refused, and one that was protected once is not negotiated
//! to clear again; no key is in what `Debug` or an error says. What was read can be written, and reads back the same.
//!
//! A line that was keyed goes on in later offers, whoever makes them ([`Local::settle`]): SDES keys stay as they are, and a DTLS
//! association keeps its roles and names (RFC 5763 section 6.6, RFC 8842), until a certificate changes or one side
//! [asks](LocalStream::renew_keys) for new keys. [`Transport`] tells both sides which of the two it is.
//!
//! The crate `sdp-types` reads the lines, and has no limits: they are looked at before. Keys are read by our own code, which
//! zeroises them. Left out are ICE, bundles, simulcast, multicast, domain names as addresses, and RFC 8643's keys for a profile in clear.

mod agreement;
mod answer;
mod crypto;
mod direction;
mod error;
mod format;
mod inline_key;
mod keying;
mod line;
mod local;
mod offer;
pub mod properties;
mod read;
#[cfg(test)]
mod reoffers;
mod session_parameter;
#[cfg(test)]
mod tests;
mod tls_id;
mod write;

pub use agreement::{Agreed, AgreedFormat, Negotiated, NegotiatedLine, Transport};
pub use answer::answer;
pub use crypto::{Crypto, CryptoError, SESSION_PARAMETERS_MAX, TAG_MAX};
pub use direction::Direction;
pub use error::{DescriptionError, Refusal};
pub use format::{CLOCK_RATE_HZ_MAX, Format};
pub use inline_key::InlineKey;
pub use keying::KeyChange;
pub use line::{Kind, Line, OtherLine, Protocol, Source, Stream};
pub use local::{Local, LocalStream, Security};
pub use offer::accept_answer;
pub use session_parameter::{FecOrder, SessionParameter};
pub use tls_id::{TLS_ID_LENS, TlsId};

/// How long a description may be, in bytes.
pub const DESCRIPTION_LEN_MAX: usize = 64 << 10;
/// How many lines of text it may have, attributes among them.
pub const TEXT_LINES_MAX: usize = 2048;
/// How many media it may describe.
pub const MEDIA_MAX: usize = 16;
/// How many formats one of them may have.
pub const FORMATS_MAX: usize = 64;
/// How many `a=crypto` lines one of them may have.
pub const CRYPTO_LINES_MAX: usize = 32;
/// How many sources one of them may name.
pub const SOURCES_MAX: usize = 32;

/// An offer or an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    origin: sdp_types::Origin,
    lines: Vec<Line>,
}

impl Description {
    /// One line for each of the media, in their order.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }
}
