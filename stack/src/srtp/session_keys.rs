//! The session keys of SRTP or of SRTCP: a cipher, and the key of its authentication.

use super::counter_mode::CounterMode;
use super::gcm::Gcm;
use super::hmac_sha1::HmacSha1;
use super::profile::Profile;

/// What packets of one protocol are protected with. Its parts zeroise themselves.
#[allow(clippy::large_enum_variant, reason = "there are few, and a box would put a pointer before each packet's key")]
pub(super) enum SessionKeys {
    /// A cipher, and HMAC-SHA1 over what it gave.
    Authenticated {
        /// None leaves packets in clear.
        cipher: Option<CounterMode>,
        auth: HmacSha1,
    },
    /// A cipher that authenticates by itself.
    Aead(Gcm),
}

impl SessionKeys {
    /// # Panics
    /// If a length is not the profile's.
    pub(super) fn new(profile: Profile, key: &[u8], auth_key: &[u8], salt: &[u8]) -> Self {
        const LENGTHS: &str = "key derivation gives salts of the profile's length";
        if profile.is_aead() {
            return SessionKeys::Aead(Gcm::new(key, salt.try_into().expect(LENGTHS)));
        }
        let cipher = (!profile.is_null()).then(|| CounterMode::new(key, salt.try_into().expect(LENGTHS)));
        SessionKeys::Authenticated { cipher, auth: HmacSha1::new(auth_key) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::derive::{AUTH_KEY_LEN, prf_input};
    use super::super::vectors::{DERIVATIONS, hex};
    use super::*;

    /// RFC 3711 B.3, RFC 6188 7.2 and 7.4: the input of the pseudo-random function and all that comes out of it.
    #[test]
    fn derived_keys_are_those_of_the_rfcs() {
        for vector in DERIVATIONS {
            let prf = CounterMode::new(&hex(vector.master_key), [0; 14]);
            for key in &vector.keys {
                let input = prf_input(&hex(vector.master_salt), key.label, 0);
                assert_eq!(input[..], hex(key.prf_input), "RFC section {}, label {}", vector.section, key.label);
                let expected = hex(key.key);
                let mut derived = vec![0; expected.len()];
                prf.apply_keystream(&input, &mut derived);
                assert_eq!(derived, expected, "RFC section {}, label {}", vector.section, key.label);
                assert!(key.label != 1 || expected.len() >= AUTH_KEY_LEN);
            }
        }
    }

    /// RFC 3711 section 4.3.1: with a rate, the index divided by it goes into the key identifier below the label.
    #[test]
    fn an_epoch_goes_below_the_label() {
        let input = prf_input(&[0; 14], 2, 0x0102_0304_0506);
        assert_eq!(input, [0, 0, 0, 0, 0, 0, 0, 2, 1, 2, 3, 4, 5, 6, 0, 0][..]);
        assert_eq!(prf_input(&[0xff; 12], 0, 0)[12..], [0; 4], "a salt of 96 bits has zeros behind it");
    }
}
