//! What a peer exports from a handshake, taken apart by the tests themselves.

use stack::dtls::Role;
use stack::srtp::{MasterKey, Profile};

/// How much there is to export for a profile, in bytes.
pub(crate) fn exported_len(profile: Profile) -> usize {
    2 * (profile.key_len() + profile.salt_len())
}

/// The keys for sending and for receiving of whoever has this role (RFC 5764 section 4.2).
pub(crate) fn keys_of(role: Role, profile: Profile, exported: &[u8]) -> (MasterKey, MasterKey) {
    let (keys, salts) = exported.split_at(2 * profile.key_len());
    let key = |side: usize| {
        let (key_len, salt_len) = (profile.key_len(), profile.salt_len());
        MasterKey::new(profile, &keys[side * key_len..][..key_len], &salts[side * salt_len..][..salt_len]).unwrap()
    };
    if role == Role::Client { (key(0), key(1)) } else { (key(1), key(0)) }
}
