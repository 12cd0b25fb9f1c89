//! The session parameters of an `a=crypto` line (RFC 4568 section 6.3).

use super::crypto::{CryptoError, read_keys, write_keys};
use super::inline_key::{InlineKey, read_number};
use crate::srtp::{Profile, WINDOW_PACKETS_MIN};
use zeroize::Zeroizing;

/// How long a parameter may be that nobody knows, in bytes.
const EXTENSION_LEN_MAX: usize = 256;

/// What is asked of a session beyond its suite and keys.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionParameter {
    /// `KDR`: session keys are derived anew every 2^exponent packets. The text of section 6.3.1 begins at 1, the grammar at 0; here 0
    /// is never, which is what the parameter's absence is.
    KeyDerivationRate {
        /// Up to 24.
        exponent: u8,
    },
    /// `UNENCRYPTED_SRTP`.
    UnencryptedSrtp,
    /// `UNENCRYPTED_SRTCP`.
    UnencryptedSrtcp,
    /// `UNAUTHENTICATED_SRTP`.
    UnauthenticatedSrtp,
    /// `FEC_ORDER`.
    FecOrder(FecOrder),
    /// `FEC_KEY`.
    FecKey(Vec<InlineKey>),
    /// `WSH`: the least replay window that the sender wants.
    WindowSizeHint {
        /// In packets, from 64.
        packets: u8,
    },
    /// One that nobody here knows.
    Extension {
        /// Whether it begins with `-`: who does not know it may go on without it.
        is_optional: bool,
        /// All of it that follows.
        text: String,
    },
}

/// Which comes first for a sender, forward error correction or SRTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FecOrder {
    /// `FEC_SRTP`: what FEC gave is protected.
    FecFirst,
    /// `SRTP_FEC`: FEC is over what is protected.
    SrtpFirst,
}

impl SessionParameter {
    /// What it is called.
    pub fn name(&self) -> String {
        match self {
            SessionParameter::KeyDerivationRate { .. } => "KDR",
            SessionParameter::UnencryptedSrtp => "UNENCRYPTED_SRTP",
            SessionParameter::UnencryptedSrtcp => "UNENCRYPTED_SRTCP",
            SessionParameter::UnauthenticatedSrtp => "UNAUTHENTICATED_SRTP",
            SessionParameter::FecOrder(_) => "FEC_ORDER",
            SessionParameter::FecKey(_) => "FEC_KEY",
            SessionParameter::WindowSizeHint { .. } => "WSH",
            SessionParameter::Extension { text, .. } => text.split_once('=').map_or(text.as_str(), |(name, _)| name),
        }
        .to_owned()
    }

    pub(super) fn read(profile: Profile, text: &str) -> Result<Self, CryptoError> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        let parameter = match (name.to_ascii_uppercase().as_str(), value) {
            ("KDR", Some(value)) => {
                let exponent = read_number(value).filter(|exponent| *exponent <= 24);
                let exponent = exponent.ok_or(CryptoError::Parameter { name: "KDR", expected: "0 to 24" })?;
                SessionParameter::KeyDerivationRate { exponent: exponent as u8 }
            }
            ("UNENCRYPTED_SRTP", None) => SessionParameter::UnencryptedSrtp,
            ("UNENCRYPTED_SRTCP", None) => SessionParameter::UnencryptedSrtcp,
            ("UNAUTHENTICATED_SRTP", None) => SessionParameter::UnauthenticatedSrtp,
            ("FEC_ORDER", Some(value)) if value.eq_ignore_ascii_case("FEC_SRTP") => {
                SessionParameter::FecOrder(FecOrder::FecFirst)
            }
            ("FEC_ORDER", Some(value)) if value.eq_ignore_ascii_case("SRTP_FEC") => {
                SessionParameter::FecOrder(FecOrder::SrtpFirst)
            }
            ("FEC_ORDER", _) => return Err(CryptoError::Parameter { name: "FEC_ORDER", expected: "FEC_SRTP or SRTP_FEC" }),
            ("FEC_KEY", Some(value)) => SessionParameter::FecKey(read_keys(profile, value)?),
            ("WSH", Some(value)) => {
                let packets = read_number(value).and_then(|packets| u8::try_from(packets).ok());
                let packets = packets.filter(|packets| u32::from(*packets) >= WINDOW_PACKETS_MIN);
                let packets = packets.ok_or(CryptoError::Parameter { name: "WSH", expected: "64 to 255" })?;
                SessionParameter::WindowSizeHint { packets }
            }
            ("KDR" | "WSH" | "FEC_KEY", None) => return Err(CryptoError::Malformed { part: "a session parameter's value" }),
            ("UNENCRYPTED_SRTP" | "UNENCRYPTED_SRTCP" | "UNAUTHENTICATED_SRTP", Some(_)) => {
                return Err(CryptoError::Malformed { part: "a session parameter without a value" });
            }
            _ => return SessionParameter::read_extension(text),
        };
        Ok(parameter)
    }

    /// Whether it is one that could have been read: what is given in a program may have any text and number in it.
    pub(super) fn check(&self, profile: Profile) -> Result<(), CryptoError> {
        let mut written = Zeroizing::new(String::new());
        self.write(&mut written);
        match SessionParameter::read(profile, &written)? == *self {
            true => Ok(()),
            false => Err(CryptoError::Malformed { part: "a session parameter" }),
        }
    }

    fn read_extension(text: &str) -> Result<Self, CryptoError> {
        let (is_optional, text) = match text.strip_prefix('-') {
            Some(text) => (true, text),
            None => (false, text),
        };
        // What stands between parameters, or between lines, is no graphic character.
        let is_token = !text.is_empty() && text.len() <= EXTENSION_LEN_MAX && text.bytes().all(|byte| byte.is_ascii_graphic());
        // A second `-` would read back as the mark of an optional one.
        match is_token && !text.starts_with('-') {
            true => Ok(SessionParameter::Extension { is_optional, text: text.to_owned() }),
            false => Err(CryptoError::Malformed { part: "a session parameter" }),
        }
    }

    pub(super) fn write(&self, to: &mut Zeroizing<String>) {
        to.push_str(match self {
            SessionParameter::Extension { is_optional: true, .. } => "-",
            _ => "",
        });
        match self {
            SessionParameter::Extension { text, .. } => to.push_str(text),
            _ => to.push_str(&self.name()),
        }
        match self {
            SessionParameter::KeyDerivationRate { exponent } => to.push_str(&format!("={exponent}")),
            SessionParameter::WindowSizeHint { packets } => to.push_str(&format!("={packets}")),
            SessionParameter::FecOrder(FecOrder::FecFirst) => to.push_str("=FEC_SRTP"),
            SessionParameter::FecOrder(FecOrder::SrtpFirst) => to.push_str("=SRTP_FEC"),
            SessionParameter::FecKey(keys) => {
                to.push('=');
                write_keys(keys, to);
            }
            _ => {}
        }
    }
}
