//! The `a=crypto` line (RFC 4568, with the suites of RFC 6188 and RFC 7714): a tag, a suite, keys and session parameters.

use super::inline_key::{InlineKey, read_number};
use super::session_parameter::SessionParameter;
use crate::srtp::{KeyLifetime, MASTER_KEYS_MAX, MasterKey, Policy, Profile, SrtpError};
use std::fmt;
use std::str::FromStr;
use zeroize::Zeroizing;

/// How many session parameters a line may have.
pub const SESSION_PARAMETERS_MAX: usize = 16;
/// The highest tag: nine digits (RFC 4568 section 9.1).
pub const TAG_MAX: u32 = 999_999_999;
/// How large a replay window is where nobody asks for more, in packets.
pub(super) const WINDOW_PACKETS: u32 = 128;

/// A line of a suite that is known: all of it is as the RFCs have it. Whether it may be used is what [`Crypto::policy`] says.
#[derive(Clone, PartialEq, Eq)]
pub struct Crypto {
    tag: u32,
    profile: Profile,
    keys: Vec<InlineKey>,
    parameters: Vec<SessionParameter>,
}

impl Crypto {
    /// A line with these keys, which are all for one profile.
    ///
    /// # Errors
    /// Those of [`Crypto`] as a text, of what the parts can have wrong.
    pub fn new(tag: u32, profile: Profile, keys: Vec<InlineKey>, parameters: Vec<SessionParameter>) -> Result<Self, CryptoError> {
        if tag > TAG_MAX {
            return Err(CryptoError::Tag);
        }
        if profile.is_null() {
            return Err(CryptoError::Suite { got: profile.name().into() });
        }
        if let Some(other) = keys.iter().find(|key| key.profile() != profile) {
            return Err(CryptoError::Srtp(SrtpError::KeyProfile { expected: profile, got: other.profile() }));
        }
        check_keys(&keys)?;
        if parameters.len() > SESSION_PARAMETERS_MAX {
            return Err(CryptoError::TooManyParameters { limit: SESSION_PARAMETERS_MAX });
        }
        for (at, parameter) in parameters.iter().enumerate() {
            parameter.check(profile)?;
            if parameters[..at].iter().any(|before| before.name() == parameter.name()) {
                return Err(CryptoError::ParameterTwice { name: parameter.name() });
            }
        }
        Ok(Crypto { tag, profile, keys, parameters })
    }

    /// A line with one new key.
    ///
    /// # Errors
    /// [`CryptoError::Tag`], and [`CryptoError::Suite`] of a profile that leaves packets in clear.
    #[track_caller]
    pub fn random(tag: u32, profile: Profile) -> Result<Self, CryptoError> {
        Crypto::new(tag, profile, vec![InlineKey::random(profile)], Vec::new())
    }

    /// The tag, by which the answer says which line it takes.
    pub fn tag(&self) -> u32 {
        self.tag
    }

    /// The suite.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// The keys, of which there is at least one.
    pub fn keys(&self) -> &[InlineKey] {
        &self.keys
    }

    /// The session parameters.
    pub fn parameters(&self) -> &[SessionParameter] {
        &self.parameters
    }

    /// The keys, as [`Session`](crate::srtp::Session) takes them.
    ///
    /// # Errors
    /// Those of [`MasterKey`], which keys that were checked do not give.
    pub fn master_keys(&self) -> Result<Vec<MasterKey>, SrtpError> {
        self.keys.iter().map(InlineKey::master_key).collect()
    }

    /// Those of its parameters that hold for both directions, since a session has one for both: the rate of deriving keys.
    pub(super) fn shared_parameters(&self) -> Vec<SessionParameter> {
        let is_shared = |parameter: &&SessionParameter| matches!(parameter, SessionParameter::KeyDerivationRate { .. });
        self.parameters.iter().filter(is_shared).cloned().collect()
    }

    /// Whether any key is in both.
    pub(super) fn shares_key_with(&self, other: &Crypto) -> bool {
        let is_same = |key: &InlineKey, other: &InlineKey| key.profile() == other.profile() && key.is_same_key(other);
        self.keys.iter().any(|key| other.keys.iter().any(|other| is_same(key, other)))
    }

    /// The shortest lifetime of the keys, if one says so.
    pub fn lifetime_packets(&self) -> Option<u64> {
        self.keys.iter().filter_map(InlineKey::lifetime_packets).min()
    }

    /// What a session has to be set up with to be the other end of this line.
    ///
    /// # Errors
    /// [`CryptoError::Weakens`] if it asks for packets in clear or without authentication, and [`CryptoError::Unsupported`] if it
    /// asks for what is not done here: forward error correction, or something that nobody knows and that is not marked as optional.
    pub fn policy(&self) -> Result<Policy, CryptoError> {
        let mut policy = Policy::new(self.profile).map_err(CryptoError::Srtp)?;
        for parameter in &self.parameters {
            policy = match parameter {
                SessionParameter::KeyDerivationRate { exponent: 0 } => policy,
                SessionParameter::KeyDerivationRate { exponent } => {
                    policy.key_derivation_rate(1 << exponent).map_err(CryptoError::Srtp)?
                }
                // A hint of the least that the sender wants; more is no harm.
                SessionParameter::WindowSizeHint { packets } => {
                    policy.window_packets(WINDOW_PACKETS.max((*packets).into())).map_err(CryptoError::Srtp)?
                }
                SessionParameter::Extension { is_optional: true, .. } => policy,
                SessionParameter::UnencryptedSrtp
                | SessionParameter::UnencryptedSrtcp
                | SessionParameter::UnauthenticatedSrtp => {
                    return Err(CryptoError::Weakens { name: parameter.name() });
                }
                SessionParameter::FecOrder(_) | SessionParameter::FecKey(_) | SessionParameter::Extension { .. } => {
                    return Err(CryptoError::Unsupported { name: parameter.name() });
                }
            };
        }
        let rtp_packets = self.lifetime_packets().unwrap_or(KeyLifetime::MAX.rtp_packets);
        let rtcp_packets = rtp_packets.min(KeyLifetime::MAX.rtcp_packets);
        policy.lifetime(KeyLifetime { rtp_packets, rtcp_packets }).map_err(CryptoError::Srtp)
    }

    /// The value of the line, keys included.
    pub fn value(&self) -> Zeroizing<String> {
        // Room for all of it, so that no key is left behind where a string was before it grew.
        let mut value = Zeroizing::new(String::with_capacity(64 + self.keys.len() * 512 + self.parameters.len() * 512));
        value.push_str(&format!("{} {} ", self.tag, self.profile));
        write_keys(&self.keys, &mut value);
        for parameter in &self.parameters {
            value.push(' ');
            parameter.write(&mut value);
        }
        value
    }
}

impl FromStr for Crypto {
    type Err = CryptoError;

    fn from_str(value: &str) -> Result<Self, CryptoError> {
        let mut parts = value.split(' ');
        let tag = parts.next().and_then(read_number).and_then(|tag| u32::try_from(tag).ok()).ok_or(CryptoError::Tag)?;
        let suite = parts.next().ok_or(CryptoError::Malformed { part: "the suite" })?;
        let known = Profile::ALL.into_iter().find(|profile| !profile.is_null() && profile.name().eq_ignore_ascii_case(suite));
        let Some(profile) = known else {
            let got = suite.chars().filter(char::is_ascii_graphic).take(32).collect();
            return Err(CryptoError::Suite { got });
        };
        let keys = read_keys(profile, parts.next().ok_or(CryptoError::Malformed { part: "the keys" })?)?;
        let mut parameters = Vec::new();
        // A space too many, or one at the end, is written by some.
        for part in parts.filter(|part| !part.is_empty()) {
            if parameters.len() == SESSION_PARAMETERS_MAX {
                return Err(CryptoError::TooManyParameters { limit: SESSION_PARAMETERS_MAX });
            }
            parameters.push(SessionParameter::read(profile, part)?);
        }
        Crypto::new(tag, profile, keys, parameters)
    }
}

impl fmt::Debug for Crypto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Crypto");
        shown.field("tag", &self.tag).field("profile", &self.profile).field("keys", &self.keys);
        shown.field("parameters", &self.parameters).finish()
    }
}

pub(super) fn read_keys(profile: Profile, text: &str) -> Result<Vec<InlineKey>, CryptoError> {
    let mut keys = Vec::new();
    for key in text.split(';') {
        if keys.len() == MASTER_KEYS_MAX {
            return Err(CryptoError::TooManyKeys { limit: MASTER_KEYS_MAX });
        }
        keys.push(InlineKey::read(profile, key)?);
    }
    check_keys(&keys)?;
    Ok(keys)
}

pub(super) fn write_keys(keys: &[InlineKey], to: &mut Zeroizing<String>) {
    for (at, key) in keys.iter().enumerate() {
        if at > 0 {
            to.push(';');
        }
        key.write(to);
    }
}

/// RFC 4568 section 6.1: several keys need a name each, all of one length; a key with two names would live twice as long.
fn check_keys(keys: &[InlineKey]) -> Result<(), CryptoError> {
    let Some(first) = keys.first() else { return Err(CryptoError::Malformed { part: "the keys" }) };
    if keys.len() > MASTER_KEYS_MAX {
        return Err(CryptoError::TooManyKeys { limit: MASTER_KEYS_MAX });
    }
    for (at, key) in keys.iter().enumerate() {
        if key.mki_len() != first.mki_len() || keys.len() > 1 && key.mki_len() == 0 {
            return Err(CryptoError::MkiLengths { expected: first.mki_len(), got: key.mki_len() });
        }
        if keys[..at].iter().any(|before| before.mki() == key.mki() || before.is_same_key(key)) {
            return Err(CryptoError::KeyTwice);
        }
    }
    Ok(())
}

/// Why an `a=crypto` line was not taken. No part of a key is in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CryptoError {
    /// Not as the grammar has it.
    #[error("expected {part} of RFC 4568 section 9, got something else")]
    Malformed {
        /// What of it.
        part: &'static str,
    },
    /// Not a number of up to nine digits.
    #[error("expected a tag of 0 to {TAG_MAX}, got another")]
    Tag,
    /// A suite that nobody here has.
    #[error("expected a suite of RFC 4568, 6188 or 7714, got {got}")]
    Suite {
        /// The beginning of its name.
        got: String,
    },
    /// A key that is not in the line itself.
    #[error("expected a key as inline:, got another method")]
    KeyMethod,
    /// No base64.
    #[error("expected a key in base64, got something else")]
    Base64,
    /// A key and salt of another suite.
    #[error("{profile}: expected a key and salt of {expected} bytes, got {got}")]
    KeyLength {
        /// The suite.
        profile: Profile,
        /// What it needs.
        expected: usize,
        /// What there is.
        got: usize,
    },
    /// A lifetime that is none, or longer than is safe.
    #[error("expected a lifetime of 1 to 2^48 packets, got another")]
    Lifetime,
    /// An MKI that is too long, or nothing.
    #[error("expected an MKI of 1 to {expected_max} bytes, got {got}")]
    MkiLength {
        /// The limit.
        expected_max: usize,
        /// Its length.
        got: usize,
    },
    /// An MKI that does not fit its own length.
    #[error("expected an MKI of {length} bytes, got a larger number")]
    MkiNumber {
        /// The length.
        length: usize,
    },
    /// Keys with MKIs of different lengths, or several with none.
    #[error("expected MKIs of one length, the first has {expected} bytes, got {got}")]
    MkiLengths {
        /// That of the first key.
        expected: usize,
        /// That of another.
        got: usize,
    },
    /// Two keys with one name, or one with two.
    #[error("expected different keys with different MKIs, got one twice")]
    KeyTwice,
    /// More keys than a session holds.
    #[error("expected at most {limit} keys, got more")]
    TooManyKeys {
        /// The limit.
        limit: usize,
    },
    /// More parameters than are read.
    #[error("expected at most {limit} session parameters, got more")]
    TooManyParameters {
        /// The limit.
        limit: usize,
    },
    /// A parameter that is there already.
    #[error("expected {name} once, got it again")]
    ParameterTwice {
        /// Its name.
        name: String,
    },
    /// A parameter with a value that it cannot have.
    #[error("{name}: expected {expected}, got another value")]
    Parameter {
        /// Its name.
        name: &'static str,
        /// What it can have.
        expected: &'static str,
    },
    /// A parameter that leaves packets in clear, or without authentication.
    #[error("expected packets encrypted and authenticated, got {name}")]
    Weakens {
        /// Its name.
        name: String,
    },
    /// A parameter of what is not done here.
    #[error("expected no parameter of what is not done here, got {name}")]
    Unsupported {
        /// Its name.
        name: String,
    },
    /// Our key was kept, and is to be used otherwise: under another lifetime or rate. Its keystream would be used twice.
    #[error("expected a key to be used as it was before, got other parameters for it")]
    KeyKept,
    /// What SRTP says of it.
    #[error(transparent)]
    Srtp(SrtpError),
}
