//! Certificate fingerprints (RFC 8122): what binds a handshake to the description that it was agreed in.

use aws_lc_rs::digest;
use std::fmt;
use std::str::FromStr;
use subtle::ConstantTimeEq;

/// How many fingerprints one side may state.
pub const FINGERPRINTS_MAX: usize = 16;

/// A hash that fingerprints are made with, from the weakest to the strongest. Those that can be collided are none of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FingerprintHash {
    /// SHA-256, which RFC 8122 section 5 prefers.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

/// The hashes that RFC 8122 names, or its predecessor, and that are refused: too weak to stand for a certificate.
const WEAK: [&str; 4] = ["md2", "md5", "sha-1", "sha-224"];

impl FingerprintHash {
    /// Every hash, the weakest first.
    pub const ALL: [FingerprintHash; 3] = [FingerprintHash::Sha256, FingerprintHash::Sha384, FingerprintHash::Sha512];

    /// How it is written.
    pub const fn name(self) -> &'static str {
        match self {
            FingerprintHash::Sha256 => "sha-256",
            FingerprintHash::Sha384 => "sha-384",
            FingerprintHash::Sha512 => "sha-512",
        }
    }

    /// How many bytes it gives.
    pub const fn digest_len(self) -> usize {
        match self {
            FingerprintHash::Sha256 => 32,
            FingerprintHash::Sha384 => 48,
            FingerprintHash::Sha512 => 64,
        }
    }

    fn algorithm(self) -> &'static digest::Algorithm {
        match self {
            FingerprintHash::Sha256 => &digest::SHA256,
            FingerprintHash::Sha384 => &digest::SHA384,
            FingerprintHash::Sha512 => &digest::SHA512,
        }
    }
}

impl fmt::Display for FingerprintHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The hash of a certificate. Written and read as the value of `a=fingerprint`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    hash: FingerprintHash,
    digest: Vec<u8>,
}

impl Fingerprint {
    /// Of a certificate, as it goes over the wire.
    pub fn of(hash: FingerprintHash, certificate_der: &[u8]) -> Self {
        Fingerprint { hash, digest: digest::digest(hash.algorithm(), certificate_der).as_ref().to_vec() }
    }

    /// What it was made with.
    pub fn hash(&self) -> FingerprintHash {
        self.hash
    }

    /// Whether it is this certificate's. Takes the same time for any that is not.
    pub fn matches(&self, certificate_der: &[u8]) -> bool {
        let digest = digest::digest(self.hash.algorithm(), certificate_der);
        self.digest.ct_eq(digest.as_ref()).into()
    }
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    /// The hash's name, in any case, a space, and pairs of hex digits with colons between them. Lower case is no digit of RFC 8122,
    /// and is taken all the same: there are peers that write it.
    fn from_str(value: &str) -> Result<Self, FingerprintError> {
        let Some((name, hex)) = value.split_once(' ') else { return Err(FingerprintError::Malformed) };
        let Some(hash) = FingerprintHash::ALL.into_iter().find(|hash| hash.name().eq_ignore_ascii_case(name)) else {
            let got = name.chars().take(16).collect();
            return Err(match WEAK.iter().any(|weak| weak.eq_ignore_ascii_case(name)) {
                true => FingerprintError::WeakHash { got },
                false => FingerprintError::UnknownHash { got },
            });
        };
        let expected = hash.digest_len();
        // By its length alone, so that no more is read than the longest has.
        if (hex.len() + 1) / 3 != expected || !(hex.len() + 1).is_multiple_of(3) {
            return Err(FingerprintError::Length { hash, expected, got: hex.split(':').count() });
        }
        let mut digest = Vec::with_capacity(expected);
        for (at, pair) in hex.as_bytes().chunks(3).enumerate() {
            let nibble = |digit: u8| char::from(digit).to_digit(16);
            match (nibble(pair[0]), pair.get(1).and_then(|digit| nibble(*digit)), pair.get(2)) {
                (Some(high), Some(low), None | Some(b':')) => digest.push((high << 4 | low) as u8),
                _ => return Err(FingerprintError::Digit { at }),
            }
        }
        Ok(Fingerprint { hash, digest })
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.hash)?;
        for (at, byte) in self.digest.iter().enumerate() {
            write!(f, "{}{byte:02X}", if at == 0 { "" } else { ":" })?;
        }
        Ok(())
    }
}

/// What one side states in all of its `a=fingerprint` lines: at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprints(Vec<Fingerprint>);

impl Fingerprints {
    /// From the values of the lines. Hashes that are weak or unknown are passed over, as RFC 8122 section 5 has it.
    ///
    /// # Errors
    /// [`FingerprintError::TooMany`], whatever is wrong with a line of a hash that is known, and if no line has one, what is wrong with
    /// the last; [`FingerprintError::None`] of no lines.
    pub fn read<'a>(values: impl IntoIterator<Item = &'a str>) -> Result<Self, FingerprintError> {
        let (mut taken, mut passed_over) = (Vec::new(), FingerprintError::None);
        for (at, value) in values.into_iter().enumerate() {
            if at >= FINGERPRINTS_MAX {
                return Err(FingerprintError::TooMany { limit: FINGERPRINTS_MAX });
            }
            match value.parse() {
                Ok(fingerprint) => taken.push(fingerprint),
                Err(error @ (FingerprintError::WeakHash { .. } | FingerprintError::UnknownHash { .. })) => passed_over = error,
                Err(error) => return Err(error),
            }
        }
        if taken.is_empty() { Err(passed_over) } else { Ok(Fingerprints(taken)) }
    }

    /// Whether one of those with the strongest hash is this certificate's. A weaker one does not help a certificate that the strongest
    /// denies (RFC 8122 section 5).
    pub fn matches(&self, certificate_der: &[u8]) -> bool {
        let strongest = self.0.iter().map(Fingerprint::hash).max();
        self.0
            .iter()
            .filter(|fingerprint| Some(fingerprint.hash) == strongest)
            .any(|fingerprint| fingerprint.matches(certificate_der))
    }

    /// Whether both state the same, in whatever order.
    pub fn is_same_set(&self, other: &Fingerprints) -> bool {
        let is_in = |some: &Fingerprints, all: &Fingerprints| some.0.iter().all(|fingerprint| all.0.contains(fingerprint));
        is_in(self, other) && is_in(other, self)
    }

    /// Each of them, in the order of the lines.
    pub fn iter(&self) -> impl Iterator<Item = &Fingerprint> {
        self.0.iter()
    }
}

impl From<Fingerprint> for Fingerprints {
    fn from(only: Fingerprint) -> Self {
        Fingerprints(vec![only])
    }
}

/// Why a fingerprint was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FingerprintError {
    /// Not a hash and a digest.
    #[error("expected a hash, a space and a digest")]
    Malformed,
    /// A hash for which other certificates can be made.
    #[error("expected sha-256, sha-384 or sha-512, got {got}, which is too weak")]
    WeakHash {
        /// Its name.
        got: String,
    },
    /// A hash that nobody here knows.
    #[error("expected sha-256, sha-384 or sha-512, got {got}")]
    UnknownHash {
        /// The beginning of its name.
        got: String,
    },
    /// Not as long as what the hash gives.
    #[error("{hash}: expected {expected} bytes, got {got}")]
    Length {
        /// The hash.
        hash: FingerprintHash,
        /// What it gives.
        expected: usize,
        /// How many pairs of digits there are.
        got: usize,
    },
    /// Something else than two hex digits, and colons between them.
    #[error("expected two hex digits and a colon as byte {at}, got others")]
    Digit {
        /// Which byte of the digest.
        at: usize,
    },
    /// More than one side may state.
    #[error("expected at most {limit} fingerprints, got more")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// No line at all: any certificate would do.
    #[error("expected a fingerprint, got none")]
    None,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_hash() -> impl Strategy<Value = FingerprintHash> {
        proptest::sample::select(&FingerprintHash::ALL[..])
    }

    /// FIPS 180-4: the digests of "abc".
    #[test]
    fn digests_are_those_of_the_standard() {
        let written = Fingerprint::of(FingerprintHash::Sha256, b"abc").to_string();
        let expected = "sha-256 BA:78:16:BF:8F:01:CF:EA:41:41:40:DE:5D:AE:22:23:B0:03:61:A3:96:17:7A:9C:B4:10:FF:61:F2:00:15:AD";
        assert_eq!(written, expected);
        assert!(Fingerprint::of(FingerprintHash::Sha384, b"abc").to_string().starts_with("sha-384 CB:00:75:3F:45:A3:5E:8B"));
        assert!(Fingerprint::of(FingerprintHash::Sha512, b"abc").to_string().starts_with("sha-512 DD:AF:35:A1:93:61:7A:BA"));
    }

    #[test]
    fn what_is_refused_says_why() {
        let refused = |value: &str| value.parse::<Fingerprint>().unwrap_err();
        for weak in WEAK {
            assert_eq!(refused(&format!("{weak} AB:CD")), FingerprintError::WeakHash { got: weak.into() });
            assert_eq!(
                refused(&format!("{} AB:CD", weak.to_uppercase())),
                FingerprintError::WeakHash { got: weak.to_uppercase() }
            );
        }
        assert_eq!(refused("sha-3 AB"), FingerprintError::UnknownHash { got: "sha-3".into() });
        assert_eq!(refused("sha-256"), FingerprintError::Malformed);
        let good = Fingerprint::of(FingerprintHash::Sha256, b"abc").to_string();
        assert_eq!(refused(&good.replace("BA:78", "BA-78")), FingerprintError::Digit { at: 0 });
        assert_eq!(refused(&good.replace(":15:AD", ":15:AG")), FingerprintError::Digit { at: 31 });
        assert_eq!(refused(&good.replace(":15:AD", ":+5:AD")), FingerprintError::Digit { at: 30 });
    }

    /// Every length but the right one, of whole bytes and of half ones.
    #[test]
    fn only_the_hash_s_own_length_is_taken() {
        for hash in FingerprintHash::ALL {
            let good = Fingerprint::of(hash, b"abc").to_string();
            for len in hash.name().len() + 1..good.len() {
                let error = good[..len].parse::<Fingerprint>().unwrap_err();
                assert!(
                    matches!(error, FingerprintError::Length { expected, .. } if expected == hash.digest_len()),
                    "{len}: {error}"
                );
            }
            for more in [":", ":A", ":AB"] {
                assert!(matches!(format!("{good}{more}").parse::<Fingerprint>(), Err(FingerprintError::Length { .. })));
            }
        }
    }

    #[test]
    fn a_list_has_a_limit_and_needs_one_that_is_known() {
        let good = Fingerprint::of(FingerprintHash::Sha256, b"abc").to_string();
        assert_eq!(Fingerprints::read([]), Err(FingerprintError::None));
        assert_eq!(Fingerprints::read(["md5 AB"]), Err(FingerprintError::WeakHash { got: "md5".into() }));
        assert_eq!(Fingerprints::read(["md5 AB", &good, "sha-9 1"]).unwrap().iter().count(), 1);
        assert_eq!(Fingerprints::read(["sha-512 AB", &good]).unwrap_err().to_string(), "sha-512: expected 64 bytes, got 1");
        assert_eq!(Fingerprints::read([&*good; FINGERPRINTS_MAX]).unwrap().iter().count(), FINGERPRINTS_MAX);
        let more = Fingerprints::read([&*good; FINGERPRINTS_MAX + 1]);
        assert_eq!(more, Err(FingerprintError::TooMany { limit: FINGERPRINTS_MAX }));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(hash in any_hash(), certificate: Vec<u8>, lower: bool) {
            let fingerprint = Fingerprint::of(hash, &certificate);
            let written = fingerprint.to_string();
            let read = if lower { written.to_lowercase() } else { written };
            prop_assert_eq!(read.parse(), Ok(fingerprint.clone()));
            prop_assert!(fingerprint.matches(&certificate));
        }

        #[test]
        fn one_bit_is_another_certificate(hash in any_hash(), mut certificate in proptest::collection::vec(any::<u8>(), 1..80), bit: u16) {
            let fingerprint = Fingerprint::of(hash, &certificate);
            let bit = usize::from(bit) % (8 * certificate.len());
            certificate[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!fingerprint.matches(&certificate));
        }

        /// Any list: a certificate passes if and only if one of the strongest hash is its own.
        #[test]
        fn the_strongest_hash_decides(list in proptest::collection::vec((any_hash(), 0..3_u8), 1..FINGERPRINTS_MAX)) {
            let lines: Vec<String> = list.iter().map(|(hash, of)| Fingerprint::of(*hash, &[*of]).to_string()).collect();
            let fingerprints = Fingerprints::read(lines.iter().map(String::as_str)).unwrap();
            let strongest = list.iter().map(|(hash, _)| hash).max().unwrap();
            for certificate in 0..3_u8 {
                prop_assert_eq!(fingerprints.matches(&[certificate]), list.contains(&(*strongest, certificate)));
            }
        }
    }
}
