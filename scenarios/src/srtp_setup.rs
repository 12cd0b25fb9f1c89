//! Our own SRTP, set up for a driver.

use stack::srtp::{MasterKey, Policy, Profile, Receiver, Sender};

/// The lengths of an MKI that are of interest: none, the common ones, and the longest.
pub(crate) const MKI_LENS: [usize; 9] = [0, 1, 2, 4, 8, 16, 32, 64, 128];

/// The policy of a profile, the null ciphers included.
pub(crate) fn policy(profile: Profile) -> Policy {
    Policy::with_null_cipher_for_tests(profile)
}

/// The master key of this number, with an MKI that is made of its number.
pub(crate) fn key(profile: Profile, number: u8, mki_len: usize) -> MasterKey {
    let key = MasterKey::new(profile, &[0x67 ^ number; 32][..profile.key_len()], &[0x6c; 14][..profile.salt_len()]);
    key.and_then(|key| key.with_mki(&vec![number; mki_len])).expect("the lengths are the profile's")
}

/// A sender, and a receiver of the same key.
pub(crate) fn pair(profile: Profile, mki_len: usize) -> (Sender, Receiver) {
    let key = [key(profile, 1, mki_len)];
    let sender = Sender::new(policy(profile), &key).expect("the key is for the policy");
    (sender, Receiver::new(policy(profile), &key).expect("the key is for the policy"))
}
