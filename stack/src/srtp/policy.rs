//! What a session is set up with: a policy, and master keys.

use super::SrtpError;
use super::profile::Profile;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// How long an MKI may be, in bytes (RFC 4568 section 6.1).
pub const MKI_LEN_MAX: usize = 128;
/// How many master keys a session may hold at once.
pub const MASTER_KEYS_MAX: usize = 32;
/// The smallest replay window, in packets (RFC 3711 section 3.3.2).
pub const WINDOW_PACKETS_MIN: u32 = 64;
/// The largest replay window, in packets: half of the sequence numbers, past which an index cannot be told.
pub const WINDOW_PACKETS_MAX: u32 = 1 << 15;

/// How packets are protected, and the limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub(super) profile: Profile,
    pub(super) window_packets: u32,
    pub(super) key_derivation_rate: u64,
    pub(super) streams_max: usize,
    pub(super) encrypts_rtp: bool,
    pub(super) encrypts_rtcp: bool,
    pub(super) lifetime: KeyLifetime,
    pub(super) rekey_grace_packets: u32,
}

/// How many packets one master key may protect, over all streams of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyLifetime {
    /// SRTP packets: at most 2^48.
    pub rtp_packets: u64,
    /// SRTCP packets: at most 2^31.
    pub rtcp_packets: u64,
}

impl KeyLifetime {
    /// The most that is allowed (RFC 3711 section 9.2, RFC 7714 section 10).
    pub const MAX: KeyLifetime = KeyLifetime { rtp_packets: 1 << 48, rtcp_packets: 1 << 31 };
}

impl Policy {
    /// The defaults for a profile: a replay window of 128 packets, session keys derived once, 64 streams, everything encrypted, the
    /// longest lifetime, and 1,000 packets of grace for a key that was replaced.
    ///
    /// # Errors
    /// [`SrtpError::NullCipher`].
    pub fn new(profile: Profile) -> Result<Self, SrtpError> {
        if profile.is_null() {
            return Err(SrtpError::NullCipher { profile });
        }
        Ok(Policy::with_null_cipher_for_tests(profile))
    }

    /// The same for any profile, those that leave packets in clear included. Not for production.
    pub fn with_null_cipher_for_tests(profile: Profile) -> Self {
        Policy {
            profile,
            window_packets: 128,
            key_derivation_rate: 0,
            streams_max: 64,
            encrypts_rtp: true,
            encrypts_rtcp: true,
            lifetime: KeyLifetime::MAX,
            rekey_grace_packets: 1000,
        }
    }

    /// The profile.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// Whether RTP is encrypted.
    pub fn encrypts_rtp(&self) -> bool {
        self.encrypts_rtp && !self.profile.is_null()
    }

    /// Whether RTCP is encrypted.
    pub fn encrypts_rtcp(&self) -> bool {
        self.encrypts_rtcp && !self.profile.is_null()
    }

    /// With a replay window of so many packets, for RTP and RTCP each.
    ///
    /// # Errors
    /// [`SrtpError::Window`] unless it is from [`WINDOW_PACKETS_MIN`] to [`WINDOW_PACKETS_MAX`].
    pub fn window_packets(self, window_packets: u32) -> Result<Self, SrtpError> {
        match (WINDOW_PACKETS_MIN..=WINDOW_PACKETS_MAX).contains(&window_packets) {
            true => Ok(Policy { window_packets, ..self }),
            false => Err(SrtpError::Window { got: window_packets }),
        }
    }

    /// With session keys derived anew every so many packets; 0 is once (RFC 3711 section 4.3.1).
    ///
    /// # Errors
    /// [`SrtpError::KeyDerivationRate`] unless it is 0 or a power of two up to 2^24.
    pub fn key_derivation_rate(self, packets: u32) -> Result<Self, SrtpError> {
        match packets == 0 || packets.is_power_of_two() && packets <= 1 << 24 {
            true => Ok(Policy { key_derivation_rate: u64::from(packets), ..self }),
            false => Err(SrtpError::KeyDerivationRate { got: packets }),
        }
    }

    /// With room for so many streams, each an SSRC. A packet of one more is refused: nothing is forgotten to make room.
    pub fn streams_max(self, streams_max: usize) -> Self {
        Policy { streams_max, ..self }
    }

    /// With RTP in clear, authenticated as ever (RFC 4568 section 6.3.3, `UNENCRYPTED_SRTP`).
    pub fn unencrypted_rtp(self) -> Self {
        Policy { encrypts_rtp: false, ..self }
    }

    /// With RTCP in clear, authenticated as ever (RFC 4568 section 6.3.2, `UNENCRYPTED_SRTCP`).
    pub fn unencrypted_rtcp(self) -> Self {
        Policy { encrypts_rtcp: false, ..self }
    }

    /// With a shorter life for each master key.
    ///
    /// # Errors
    /// [`SrtpError::Lifetime`] if it is longer than [`KeyLifetime::MAX`].
    pub fn lifetime(self, lifetime: KeyLifetime) -> Result<Self, SrtpError> {
        let KeyLifetime { rtp_packets, rtcp_packets } = KeyLifetime::MAX;
        match lifetime.rtp_packets <= rtp_packets && lifetime.rtcp_packets <= rtcp_packets {
            true => Ok(Policy { lifetime, ..self }),
            false => Err(SrtpError::Lifetime { got: lifetime }),
        }
    }

    /// With another grace: a receiver whose keys were replaced takes packets under the old ones, which were in flight, until so many
    /// have come under the new ones.
    pub fn rekey_grace_packets(self, packets: u32) -> Self {
        Policy { rekey_grace_packets: packets, ..self }
    }
}

/// A master key with its salt, and the identifier by which packets name it. The memory is zeroised when it is dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct MasterKey {
    #[zeroize(skip)]
    pub(super) profile: Profile,
    pub(super) key: Vec<u8>,
    pub(super) salt: Vec<u8>,
    pub(super) mki: Vec<u8>,
}

impl MasterKey {
    /// A master key for a profile, with no MKI.
    ///
    /// # Errors
    /// [`SrtpError::KeyLength`], [`SrtpError::SaltLength`].
    pub fn new(profile: Profile, key: &[u8], salt: &[u8]) -> Result<Self, SrtpError> {
        if key.len() != profile.key_len() {
            return Err(SrtpError::KeyLength { profile, expected: profile.key_len(), got: key.len() });
        }
        if salt.len() != profile.salt_len() {
            return Err(SrtpError::SaltLength { profile, expected: profile.salt_len(), got: salt.len() });
        }
        Ok(MasterKey { profile, key: key.to_vec(), salt: salt.to_vec(), mki: Vec::new() })
    }

    /// From a key with its salt behind it, as SDES carries it (RFC 4568 section 6.1).
    ///
    /// # Errors
    /// [`SrtpError::KeyLength`] if it is shorter than the key, [`SrtpError::SaltLength`] if what follows is no salt.
    pub fn from_concatenated(profile: Profile, key_and_salt: &[u8]) -> Result<Self, SrtpError> {
        match key_and_salt.split_at_checked(profile.key_len()) {
            Some((key, salt)) => MasterKey::new(profile, key, salt),
            None => Err(SrtpError::KeyLength { profile, expected: profile.key_len(), got: key_and_salt.len() }),
        }
    }

    /// With a master key identifier. Every packet under it carries these bytes.
    ///
    /// # Errors
    /// [`SrtpError::MkiLength`] if it is longer than [`MKI_LEN_MAX`].
    pub fn with_mki(mut self, mki: &[u8]) -> Result<Self, SrtpError> {
        if mki.len() > MKI_LEN_MAX {
            return Err(SrtpError::MkiLength { expected: MKI_LEN_MAX, got: mki.len() });
        }
        self.mki = mki.to_vec();
        Ok(self)
    }

    /// Whether key and salt are the same, whatever they are called.
    pub fn is_same_key(&self, other: &MasterKey) -> bool {
        (self.key.ct_eq(&other.key) & self.salt.ct_eq(&other.salt)).into()
    }
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MasterKey").field("profile", &self.profile).field("mki", &self.mki).finish_non_exhaustive()
    }
}

/// The length of the MKI that all of these share.
///
/// # Errors
/// [`SrtpError::NoMasterKey`], [`SrtpError::TooManyMasterKeys`], and of keys that do not go together [`SrtpError::KeyProfile`],
/// [`SrtpError::MkiLength`], [`SrtpError::MkiTwice`], [`SrtpError::MasterKeyTwice`].
pub(super) fn mki_len_of(profile: Profile, keys: &[MasterKey]) -> Result<usize, SrtpError> {
    let Some(first) = keys.first() else { return Err(SrtpError::NoMasterKey) };
    if keys.len() > MASTER_KEYS_MAX {
        return Err(SrtpError::TooManyMasterKeys { limit: MASTER_KEYS_MAX, got: keys.len() });
    }
    for (at, key) in keys.iter().enumerate() {
        if key.profile != profile {
            return Err(SrtpError::KeyProfile { expected: profile, got: key.profile });
        }
        if key.mki.len() != first.mki.len() {
            return Err(SrtpError::MkiLength { expected: first.mki.len(), got: key.mki.len() });
        }
        // Two keys with one name, of which one could never be meant.
        if keys[..at].iter().any(|other| other.mki == key.mki) {
            return Err(SrtpError::MkiTwice);
        }
        // One key with two names would live twice as long.
        if keys[..at].iter().any(|other| other.is_same_key(key)) {
            return Err(SrtpError::MasterKeyTwice);
        }
    }
    Ok(first.mki.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> impl Iterator<Item = Policy> {
        Profile::ALL.into_iter().map(Policy::with_null_cipher_for_tests)
    }

    #[test]
    fn what_is_left_in_clear_is_said_of_each_protocol() {
        for policy in all() {
            let encrypts = !policy.profile.is_null();
            assert_eq!((policy.encrypts_rtp(), policy.encrypts_rtcp()), (encrypts, encrypts));
            let rtp_in_clear = policy.clone().unencrypted_rtp();
            assert_eq!((rtp_in_clear.encrypts_rtp(), rtp_in_clear.encrypts_rtcp()), (false, encrypts));
            let rtcp_in_clear = policy.clone().unencrypted_rtcp();
            assert_eq!((rtcp_in_clear.encrypts_rtp(), rtcp_in_clear.encrypts_rtcp()), (encrypts, false));
            let both = policy.clone().unencrypted_rtcp().unencrypted_rtp();
            assert_eq!((both.encrypts_rtp(), both.encrypts_rtcp(), both.profile()), (false, false, policy.profile));
        }
    }

    /// Around every power of two.
    #[test]
    fn each_limit_is_taken_as_it_is_given_or_refused() {
        let around = |bits: u32| (0..bits).flat_map(|bit| [-1, 0, 1].map(|by| (1u64 << bit).saturating_add_signed(by)));
        for policy in all() {
            for packets in around(32).map(|packets| packets as u32) {
                let expected = if (64..=32_768).contains(&packets) {
                    Ok(Policy { window_packets: packets, ..policy.clone() })
                } else {
                    Err(SrtpError::Window { got: packets })
                };
                assert_eq!(policy.clone().window_packets(packets), expected);
                let expected = if packets == 0 || packets.count_ones() == 1 && packets <= 16_777_216 {
                    Ok(Policy { key_derivation_rate: packets.into(), ..policy.clone() })
                } else {
                    Err(SrtpError::KeyDerivationRate { got: packets })
                };
                assert_eq!(policy.clone().key_derivation_rate(packets), expected);
                assert_eq!(policy.clone().streams_max(packets as usize).streams_max, packets as usize);
                assert_eq!(policy.clone().rekey_grace_packets(packets).rekey_grace_packets, packets);
            }
            for (rtp_packets, rtcp_packets) in around(50).flat_map(|rtp| around(50).map(move |rtcp| (rtp, rtcp))) {
                let lifetime = KeyLifetime { rtp_packets, rtcp_packets };
                let expected = if rtp_packets <= 281_474_976_710_656 && rtcp_packets <= 2_147_483_648 {
                    Ok(Policy { lifetime, ..policy.clone() })
                } else {
                    Err(SrtpError::Lifetime { got: lifetime })
                };
                assert_eq!(policy.clone().lifetime(lifetime), expected);
            }
        }
    }

    #[test]
    fn keys_are_the_same_if_every_byte_of_key_and_salt_is() {
        for profile in Profile::ALL {
            let bytes = vec![0x5a; profile.key_len() + profile.salt_len()];
            let key = MasterKey::from_concatenated(profile, &bytes).unwrap();
            assert!(key.is_same_key(&key.clone().with_mki(&[1, 2]).unwrap()), "whatever it is called");
            for at in 0..bytes.len() {
                let mut other = bytes.clone();
                other[at] ^= 1 << (at % 8);
                let other = MasterKey::from_concatenated(profile, &other).unwrap();
                assert!(!key.is_same_key(&other) && !other.is_same_key(&key), "{profile}: byte {at}");
            }
            // Neither of them is.
            let other = MasterKey::from_concatenated(profile, &vec![0; bytes.len()]).unwrap();
            assert!(!key.is_same_key(&other));
        }
    }

    #[test]
    fn an_mki_may_have_up_to_128_bytes_and_is_kept() {
        let profile = Profile::AesCm128HmacSha1_80;
        for len in 0..300 {
            let key = MasterKey::new(profile, &[1; 16], &[2; 14]).unwrap().with_mki(&vec![len as u8; len]);
            match key {
                Ok(key) => assert!(len <= 128 && key.mki == vec![len as u8; len]),
                Err(error) => assert!(len > 128 && error == SrtpError::MkiLength { expected: 128, got: len }),
            }
        }
    }
}
