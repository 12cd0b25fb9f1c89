//! What can be wrong with a description, and why a line is refused.

use super::crypto::CryptoError;
use super::line::{Kind, Protocol};
use crate::dtls::{FingerprintError, SetupError};

/// Why a description was not taken. Nothing is negotiated then, and what was before stays.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DescriptionError {
    /// Longer than is read.
    #[error("expected at most {limit} bytes, got {got}")]
    TooLong {
        /// The limit.
        limit: usize,
        /// Its length.
        got: usize,
    },
    /// More of something than is read.
    #[error("expected at most {limit} {what}, got more")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// Not a description.
    #[error("expected a description of RFC 8866: {what}")]
    Syntax {
        /// What the reader says.
        what: String,
    },
    /// A line or attribute that is not as its RFC has it.
    #[error("line {line}: expected {what}, got something else")]
    Malformed {
        /// Which of the media.
        line: usize,
        /// What is expected.
        what: &'static str,
    },
    /// An attribute that is there already, and says something of the whole line.
    #[error("line {line}: expected {what} once, got it again")]
    Twice {
        /// Which of the media.
        line: usize,
        /// Which attribute.
        what: &'static str,
    },
    /// A number that no format can have, beside RTCP.
    #[error("expected a payload type of 0 to 63 or 96 to 127, got {got}")]
    PayloadType {
        /// The number.
        got: u64,
    },
    /// The name of an encoding is no name.
    #[error("payload type {payload_type}: expected the name of an encoding")]
    Encoding {
        /// Of which.
        payload_type: u8,
    },
    /// A clock rate that the encoding does not have.
    #[error("payload type {payload_type}: expected a clock rate of {} to {} Hz, got {got_hz}", expected_hz.0, expected_hz.1)]
    ClockRate {
        /// Of which.
        payload_type: u8,
        /// The lowest and the highest that it can have.
        expected_hz: (u32, u32),
        /// What was given.
        got_hz: u32,
    },
    /// Channels that the encoding does not have.
    #[error("payload type {payload_type}: expected {expected} channels, got {got}")]
    Channels {
        /// Of which.
        payload_type: u8,
        /// How many it has.
        expected: u8,
        /// What was given.
        got: u8,
    },
    /// Parameters that are too long, or more than a line.
    #[error("payload type {payload_type}: expected the parameters of a format in one line")]
    Parameters {
        /// Of which.
        payload_type: u8,
    },
    /// An `a=crypto` line that is wrong.
    #[error("line {line}: {error}")]
    Crypto {
        /// Which of the media.
        line: usize,
        /// What is wrong with it.
        error: CryptoError,
    },
    /// Two `a=crypto` lines with one tag.
    #[error("line {line}: expected different tags, got {tag} twice")]
    TagTwice {
        /// Which of the media.
        line: usize,
        /// The tag.
        tag: u32,
    },
    /// Fingerprints that are wrong, or too weak.
    #[error("line {line}: {error}")]
    Fingerprint {
        /// Which of the media.
        line: usize,
        /// What is wrong with them.
        error: FingerprintError,
    },
    /// Nobody can begin with DTLS.
    #[error("line {line}: {error}")]
    Setup {
        /// Which of the media.
        line: usize,
        /// Why.
        error: SetupError,
    },
    /// An answer or a new offer with other lines than those before.
    #[error("expected {expected} lines of media, got {got}")]
    LineCount {
        /// How many there are to be.
        expected: usize,
        /// How many there are.
        got: usize,
    },
    /// An answer with something else in a line's place.
    #[error("line {line}: expected {}, got something else", expected.name())]
    Kind {
        /// Which of the media.
        line: usize,
        /// What was offered.
        expected: Kind,
    },
    /// An answer over another protocol, one in clear among them.
    #[error("line {line}: expected an answer over {expected}, got another protocol")]
    Protocol {
        /// Which of the media.
        line: usize,
        /// What was offered.
        expected: Protocol,
    },
    /// An answer with no format of the offer.
    #[error("line {line}: expected a format that was offered, got none")]
    NoCommonFormat {
        /// Which of the media.
        line: usize,
    },
    /// An answer that shares a port which the offer does not.
    #[error("line {line}: expected no rtcp-mux, since it was not offered")]
    RtcpMux {
        /// Which of the media.
        line: usize,
    },
    /// An answer that takes none of the keys that were offered, or more than one.
    #[error("line {line}: expected an answer with one a=crypto line, got {got}")]
    CryptoCount {
        /// Which of the media.
        line: usize,
        /// How many.
        got: usize,
    },
    /// An answer with keys that were not offered: another tag, or another suite under it.
    #[error("line {line}: expected a tag and suite that were offered, got tag {tag}")]
    CryptoChoice {
        /// Which of the media.
        line: usize,
        /// The tag.
        tag: u32,
    },
    /// A line that was protected, and is now to be in clear.
    #[error("line {line}: expected protection, as it was before, got {got}")]
    ClearAfterSecure {
        /// Which of the media.
        line: usize,
        /// What it is to be.
        got: Protocol,
    },
    /// Nothing that could be offered.
    #[error("line {line}: expected a way to carry it, got none")]
    NoSecurity {
        /// Which of the media.
        line: usize,
    },
}

/// Why a line of an offer carries nothing. The others go on without it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It was off in the offer, or is of something that nobody here knows.
    #[error("expected audio or video over RTP, got another line")]
    Other,
    /// The other side refused it.
    #[error("refused by the other side")]
    ByPeer,
    /// There is nothing here that could carry it.
    #[error("expected no more of its kind than there are here")]
    NoStream,
    /// No format that both have.
    #[error("expected a format that both sides have, got none")]
    NoCommonFormat,
    /// A protocol that is not to be used here.
    #[error("expected another protocol, got {got}")]
    Protocol {
        /// What was offered.
        got: Protocol,
    },
    /// Keys beside a protocol in clear: whoever takes it for protected is wrong.
    #[error("expected no keys beside {got}, got some")]
    KeysInClear {
        /// What was offered.
        got: Protocol,
    },
    /// A protected line with nothing to protect it by.
    #[error("expected keys or a fingerprint, got neither")]
    NoKeys,
    /// No suite that both have.
    #[error("expected a suite that both sides have, got none")]
    NoCommonSuite,
    /// The suites that both have are with parameters that are not taken.
    #[error(transparent)]
    Crypto(CryptoError),
    /// Nobody can begin with DTLS.
    #[error(transparent)]
    Setup(SetupError),
}
