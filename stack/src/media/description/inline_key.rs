//! A key as an `a=crypto` line carries it (RFC 4568 section 6.1): `inline:<key and salt>|<lifetime>|<MKI>:<length>`.

use super::crypto::CryptoError;
use crate::srtp::{KeyLifetime, MKI_LEN_MAX, MasterKey, Profile, SrtpError};
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use std::fmt;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// As it is in RFC 4648, padded. There are peers that leave the padding away, which is read too.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A master key with its salt, how long it lives, and its name in packets. The memory of the key is zeroised when it is dropped.
#[derive(Clone)]
pub struct InlineKey {
    profile: Profile,
    key_and_salt: Zeroizing<Vec<u8>>,
    lifetime_packets: Option<u64>,
    /// As packets carry it; empty if they carry none.
    mki: Vec<u8>,
}

impl InlineKey {
    /// A new one, from [`sim::rand`].
    #[track_caller]
    pub fn random(profile: Profile) -> Self {
        let mut key_and_salt = Zeroizing::new(vec![0; profile.key_len() + profile.salt_len()]);
        sim::rand::fill(&mut key_and_salt);
        InlineKey { profile, key_and_salt, lifetime_packets: None, mki: Vec::new() }
    }

    /// For so many packets of SRTP, or of SRTCP.
    ///
    /// # Errors
    /// [`CryptoError::Lifetime`] unless it is from 1 to 2^48.
    pub fn with_lifetime(self, packets: u64) -> Result<Self, CryptoError> {
        match (1..=KeyLifetime::MAX.rtp_packets).contains(&packets) {
            true => Ok(InlineKey { lifetime_packets: Some(packets), ..self }),
            false => Err(CryptoError::Lifetime),
        }
    }

    /// With a master key identifier, as packets carry it.
    ///
    /// # Errors
    /// [`CryptoError::MkiLength`] unless it has from 1 to [`MKI_LEN_MAX`] bytes.
    pub fn with_mki(self, mki: &[u8]) -> Result<Self, CryptoError> {
        match (1..=MKI_LEN_MAX).contains(&mki.len()) {
            true => Ok(InlineKey { mki: mki.to_vec(), ..self }),
            false => Err(CryptoError::MkiLength { expected_max: MKI_LEN_MAX, got: mki.len() }),
        }
    }

    pub(super) fn profile(&self) -> Profile {
        self.profile
    }

    /// How many packets it may protect, if it says so.
    pub fn lifetime_packets(&self) -> Option<u64> {
        self.lifetime_packets
    }

    /// How long the identifier is in packets; 0 is none.
    pub fn mki_len(&self) -> usize {
        self.mki.len()
    }

    pub(super) fn mki(&self) -> &[u8] {
        &self.mki
    }

    /// What [`Session`](crate::srtp::Session) takes.
    ///
    /// # Errors
    /// Those of [`MasterKey`], which lengths that were checked do not give.
    pub fn master_key(&self) -> Result<MasterKey, SrtpError> {
        MasterKey::from_concatenated(self.profile, &self.key_and_salt)?.with_mki(&self.mki)
    }

    /// Whether key and salt are the same.
    pub(super) fn is_same_key(&self, other: &InlineKey) -> bool {
        self.key_and_salt.ct_eq(&other.key_and_salt).into()
    }

    pub(super) fn read(profile: Profile, text: &str) -> Result<Self, CryptoError> {
        const METHOD: &str = "inline:";
        let of_inline = text.split_at_checked(METHOD.len()).filter(|(method, _)| method.eq_ignore_ascii_case(METHOD));
        let Some((_, text)) = of_inline else { return Err(CryptoError::KeyMethod) };
        let mut parts = text.split('|');
        let key_and_salt = read_key(profile, parts.next().unwrap_or_default())?;
        let mut key = InlineKey { profile, key_and_salt, lifetime_packets: None, mki: Vec::new() };
        let mut next = parts.next();
        if let Some(lifetime) = next.filter(|part| !part.contains(':')) {
            key = key.with_lifetime(read_lifetime(lifetime).ok_or(CryptoError::Lifetime)?)?;
            next = parts.next();
        }
        if let Some(mki) = next {
            key.mki = read_mki(mki)?;
        }
        if parts.next().is_some() { Err(CryptoError::Malformed { part: "what follows the MKI" }) } else { Ok(key) }
    }

    pub(super) fn write(&self, to: &mut Zeroizing<String>) {
        to.push_str("inline:");
        to.push_str(&Zeroizing::new(BASE64.encode(&self.key_and_salt)));
        match self.lifetime_packets {
            Some(packets) if packets.is_power_of_two() => to.push_str(&format!("|2^{}", packets.ilog2())),
            Some(packets) => to.push_str(&format!("|{packets}")),
            None => {}
        }
        if !self.mki.is_empty() {
            to.push_str(&format!("|{}:{}", decimal(&self.mki), self.mki.len()));
        }
    }
}

impl PartialEq for InlineKey {
    fn eq(&self, other: &Self) -> bool {
        let of_key = (self.profile, self.lifetime_packets, &self.mki) == (other.profile, other.lifetime_packets, &other.mki);
        self.is_same_key(other) && of_key
    }
}

impl Eq for InlineKey {}

impl fmt::Debug for InlineKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("InlineKey");
        shown.field("profile", &self.profile).field("lifetime_packets", &self.lifetime_packets).field("mki", &self.mki);
        shown.finish_non_exhaustive()
    }
}

fn read_key(profile: Profile, text: &str) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    let expected = profile.key_len() + profile.salt_len();
    // What is far too long is not decoded first.
    let mut key = Zeroizing::new(Vec::with_capacity(64));
    let estimate = text.trim_end_matches('=').len() * 3 / 4;
    if estimate != expected {
        return Err(CryptoError::KeyLength { profile, expected, got: estimate });
    }
    BASE64.decode_vec(text, &mut key).map_err(|_| CryptoError::Base64)?;
    match key.len() == expected {
        true => Ok(key),
        false => Err(CryptoError::KeyLength { profile, expected, got: key.len() }),
    }
}

/// `2^n`, or a number: no sign, no zero before it (RFC 4568 section 9.2).
fn read_lifetime(text: &str) -> Option<u64> {
    match text.strip_prefix("2^") {
        Some(exponent) => 1_u64.checked_shl(read_number(exponent)?.try_into().ok()?),
        None => read_number(text),
    }
}

pub(super) fn read_number(text: &str) -> Option<u64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    is_plain.then(|| text.parse().ok()).flatten()
}

/// `<number>:<length>`. The number may be as large as so many bytes hold: it is longer than any integer of ours.
fn read_mki(text: &str) -> Result<Vec<u8>, CryptoError> {
    let malformed = CryptoError::Malformed { part: "the MKI" };
    let Some((number, length)) = text.split_once(':') else { return Err(malformed) };
    let got = read_number(length).ok_or_else(|| malformed.clone())?;
    let got = usize::try_from(got).unwrap_or(usize::MAX);
    if !(1..=MKI_LEN_MAX).contains(&got) {
        return Err(CryptoError::MkiLength { expected_max: MKI_LEN_MAX, got });
    }
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(malformed);
    }
    let mut mki = vec![0_u8; got];
    for digit in number.bytes() {
        let mut carry = u16::from(digit - b'0');
        for byte in mki.iter_mut().rev() {
            let product = u16::from(*byte) * 10 + carry;
            (*byte, carry) = (product as u8, product >> 8);
        }
        if carry != 0 {
            return Err(CryptoError::MkiNumber { length: got });
        }
    }
    Ok(mki)
}

/// The number that these bytes are, in decimal.
fn decimal(bytes: &[u8]) -> String {
    let mut rest = bytes.to_vec();
    let mut digits = Vec::new();
    while digits.is_empty() || rest.iter().any(|byte| *byte != 0) {
        let mut remainder = 0_u16;
        for byte in &mut rest {
            let dividend = remainder << 8 | u16::from(*byte);
            (*byte, remainder) = ((dividend / 10) as u8, dividend % 10);
        }
        digits.push(b'0' + remainder as u8);
    }
    digits.iter().rev().map(|digit| char::from(*digit)).collect()
}
