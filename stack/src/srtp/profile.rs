//! Protection profiles: which cipher, which authentication, and how long each of their parts is.

use std::fmt;

/// A cipher and an authentication, as DTLS-SRTP and SDES name them.
///
/// AES-f8 of RFC 3711 is not among them: nothing negotiates it any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Profile {
    /// AES-128 in counter mode, HMAC-SHA1 cut to 80 bits (RFC 3711).
    AesCm128HmacSha1_80,
    /// AES-128 in counter mode, HMAC-SHA1 cut to 32 bits for RTP; RTCP has 80 (RFC 3711, RFC 4568 section 6.2.2).
    AesCm128HmacSha1_32,
    /// AES-192 in counter mode, 80 bits (RFC 6188).
    AesCm192HmacSha1_80,
    /// AES-192 in counter mode, 32 bits for RTP (RFC 6188).
    AesCm192HmacSha1_32,
    /// AES-256 in counter mode, 80 bits (RFC 6188).
    AesCm256HmacSha1_80,
    /// AES-256 in counter mode, 32 bits for RTP (RFC 6188).
    AesCm256HmacSha1_32,
    /// AES-128 in Galois/counter mode, a tag of 128 bits (RFC 7714).
    AeadAes128Gcm,
    /// AES-256 in Galois/counter mode, a tag of 128 bits (RFC 7714).
    AeadAes256Gcm,
    /// No encryption, HMAC-SHA1 cut to 80 bits (RFC 3711 section 4.1.4). For tests: see
    /// [`Policy::with_null_cipher_for_tests`](super::Policy::with_null_cipher_for_tests).
    NullHmacSha1_80,
    /// No encryption, 32 bits for RTP. For tests.
    NullHmacSha1_32,
}

/// The longest tag of any profile, in bytes.
pub(super) const TAG_LEN_MAX: usize = 16;

impl Profile {
    /// Every profile.
    pub const ALL: [Profile; 10] = [
        Profile::AesCm128HmacSha1_80,
        Profile::AesCm128HmacSha1_32,
        Profile::AesCm192HmacSha1_80,
        Profile::AesCm192HmacSha1_32,
        Profile::AesCm256HmacSha1_80,
        Profile::AesCm256HmacSha1_32,
        Profile::AeadAes128Gcm,
        Profile::AeadAes256Gcm,
        Profile::NullHmacSha1_80,
        Profile::NullHmacSha1_32,
    ];

    /// How it is written in RFC 4568, RFC 5764, RFC 6188 and RFC 7714.
    pub const fn name(self) -> &'static str {
        match self {
            Profile::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Profile::AesCm128HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
            Profile::AesCm192HmacSha1_80 => "AES_192_CM_HMAC_SHA1_80",
            Profile::AesCm192HmacSha1_32 => "AES_192_CM_HMAC_SHA1_32",
            Profile::AesCm256HmacSha1_80 => "AES_256_CM_HMAC_SHA1_80",
            Profile::AesCm256HmacSha1_32 => "AES_256_CM_HMAC_SHA1_32",
            Profile::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Profile::AeadAes256Gcm => "AEAD_AES_256_GCM",
            Profile::NullHmacSha1_80 => "NULL_HMAC_SHA1_80",
            Profile::NullHmacSha1_32 => "NULL_HMAC_SHA1_32",
        }
    }

    /// How long a master key is, and a session's encryption key, in bytes.
    pub const fn key_len(self) -> usize {
        match self {
            Profile::AesCm192HmacSha1_80 | Profile::AesCm192HmacSha1_32 => 24,
            Profile::AesCm256HmacSha1_80 | Profile::AesCm256HmacSha1_32 | Profile::AeadAes256Gcm => 32,
            _ => 16,
        }
    }

    /// How long a master salt is, and a session's salt, in bytes: 14, or 12 for AEAD (RFC 7714 section 12).
    pub const fn salt_len(self) -> usize {
        if self.is_aead() { 12 } else { 14 }
    }

    /// How long the tag of an SRTP packet is, in bytes.
    pub const fn rtp_tag_len(self) -> usize {
        match self {
            Profile::AesCm128HmacSha1_32
            | Profile::AesCm192HmacSha1_32
            | Profile::AesCm256HmacSha1_32
            | Profile::NullHmacSha1_32 => 4,
            _ => self.rtcp_tag_len(),
        }
    }

    /// How long the tag of an SRTCP packet is, in bytes: never as short as 32 bits.
    pub const fn rtcp_tag_len(self) -> usize {
        if self.is_aead() { TAG_LEN_MAX } else { 10 }
    }

    /// Whether cipher and authentication are one.
    pub const fn is_aead(self) -> bool {
        matches!(self, Profile::AeadAes128Gcm | Profile::AeadAes256Gcm)
    }

    /// Whether it leaves packets in clear.
    pub const fn is_null(self) -> bool {
        matches!(self, Profile::NullHmacSha1_80 | Profile::NullHmacSha1_32)
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3711, RFC 6188, RFC 7714: key, salt, and the tags of SRTP and SRTCP.
    #[test]
    fn lengths_are_those_of_the_rfcs_and_names_say_them() {
        let mut names = std::collections::BTreeSet::new();
        for profile in Profile::ALL {
            let name = profile.name();
            assert!(names.insert(name));
            let is_aead = name.starts_with("AEAD_AES_");
            let is_null = name.starts_with("NULL_");
            assert_eq!((profile.is_aead(), profile.is_null()), (is_aead, is_null), "{name}");
            let key_len =
                [("_256_", 32), ("_192_", 24)].into_iter().find(|(bits, _)| name.contains(bits)).map_or(16, |(_, len)| len);
            assert_eq!((profile.key_len(), profile.salt_len()), (key_len, if is_aead { 12 } else { 14 }), "{name}");
            let tags = match name {
                _ if is_aead => (16, 16),
                _ if name.ends_with("_32") => (4, 10),
                _ => (10, 10),
            };
            assert_eq!((profile.rtp_tag_len(), profile.rtcp_tag_len()), tags, "{name}");
        }
    }
}
