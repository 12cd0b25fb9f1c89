//! SRTP keys from a handshake (RFC 5764 section 4.2).

use super::DtlsError;
use super::setup::Role;
use crate::srtp::{MasterKey, Policy, Profile, SrtpError};
use dimpl::SrtpProfile;
use std::fmt;

/// The profiles that there are to agree on, as [`super::DtlsError::NoCommonProfile`] tells them.
pub(super) const PROFILES: &str = "SRTP_AEAD_AES_256_GCM, SRTP_AEAD_AES_128_GCM, SRTP_AES128_CM_HMAC_SHA1_80";

/// What a handshake gives to [`crate::srtp::Session`]. The memory of the keys is zeroised when they are dropped.
#[derive(Clone)]
pub struct Keys {
    profile: Profile,
    sending: MasterKey,
    receiving: MasterKey,
}

impl Keys {
    /// Takes apart what was exported: the client's key, the server's, the client's salt, the server's.
    pub(super) fn new(profile: SrtpProfile, role: Role, exported: &[u8]) -> Result<Keys, DtlsError> {
        let profile = match profile {
            SrtpProfile::AES128_CM_SHA1_80 => Profile::AesCm128HmacSha1_80,
            SrtpProfile::AEAD_AES_128_GCM => Profile::AeadAes128Gcm,
            SrtpProfile::AEAD_AES_256_GCM => Profile::AeadAes256Gcm,
            _ => return Err(DtlsError::NoCommonProfile { expected: PROFILES }),
        };
        let (key_len, salt_len) = (profile.key_len(), profile.salt_len());
        let part = |from: usize, len: usize| exported.get(from..from + len).unwrap_or_default();
        let key = |key: &[u8], salt: &[u8]| {
            MasterKey::new(profile, key, salt).map_err(|error| DtlsError::Handshake { why: error.to_string() })
        };
        let client = key(part(0, key_len), part(2 * key_len, salt_len))?;
        let server = key(part(key_len, key_len), part(2 * key_len + salt_len, salt_len))?;
        let (sending, receiving) = match role {
            Role::Client => (client, server),
            Role::Server => (server, client),
        };
        Ok(Keys { profile, sending, receiving })
    }

    /// The profile that both sides agreed on.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// The profile's policy with all defaults.
    ///
    /// # Errors
    /// None: the profiles that are agreed on have one.
    pub fn policy(&self) -> Result<Policy, SrtpError> {
        Policy::new(self.profile)
    }

    /// The key for what is sent.
    pub fn sending(&self) -> &MasterKey {
        &self.sending
    }

    /// The key for what is received.
    pub fn receiving(&self) -> &MasterKey {
        &self.receiving
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("profile", &self.profile).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sides_keys_are_where_the_rfc_has_them() {
        let all = [
            (SrtpProfile::AES128_CM_SHA1_80, 16, 14),
            (SrtpProfile::AEAD_AES_128_GCM, 16, 12),
            (SrtpProfile::AEAD_AES_256_GCM, 32, 12),
        ];
        for (library, key_len, salt_len) in all {
            let exported: Vec<u8> = (0..2 * (key_len + salt_len) as u8).collect();
            let (keys, salts) = exported.split_at(2 * key_len);
            for role in [Role::Client, Role::Server] {
                let made = Keys::new(library, role, &exported).unwrap();
                let of = |side: usize| {
                    MasterKey::new(made.profile(), &keys[side * key_len..][..key_len], &salts[side * salt_len..][..salt_len])
                        .unwrap()
                };
                let ours = usize::from(role == Role::Server);
                assert!(made.sending().is_same_key(&of(ours)) && made.receiving().is_same_key(&of(1 - ours)));
                assert!(made.policy().is_ok());
            }
            for len in 0..exported.len() {
                assert!(Keys::new(library, Role::Client, &exported[..len]).is_err(), "{len}");
            }
        }
    }
}
