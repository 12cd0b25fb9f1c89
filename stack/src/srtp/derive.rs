//! Key derivation: the session keys that follow from a master key (RFC 3711 section 4.3).

use super::counter_mode::CounterMode;
use super::policy::MasterKey;
use super::session_keys::SessionKeys;
use zeroize::Zeroizing;

/// How long a session's authentication key is, in bytes (RFC 3711 section 5.2).
pub(super) const AUTH_KEY_LEN: usize = 20;

/// What a session key is for. SRTP and SRTCP have keys of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Srtp,
    Srtcp,
}

/// The session keys for all packets whose index divided by the key derivation rate is `epoch`; 0 if they are derived once.
///
/// Also under AEAD the pseudo-random function is AES in counter mode, with the 96 bits of salt followed by 16 zero bits (RFC 7714
/// section 11).
pub(super) fn session_keys(master: &MasterKey, protocol: Protocol, epoch: u64) -> SessionKeys {
    let labels: [u8; 3] = match protocol {
        Protocol::Srtp => [0, 1, 2],
        Protocol::Srtcp => [3, 4, 5],
    };
    let prf = CounterMode::new(&master.key, [0; 14]);
    let derived = |label, len| {
        let mut bytes = Zeroizing::new(vec![0; len]);
        prf.apply_keystream(&prf_input(&master.salt, label, epoch), &mut bytes);
        bytes
    };
    let key = derived(labels[0], master.key.len());
    let auth_key = derived(labels[1], AUTH_KEY_LEN);
    let salt = derived(labels[2], master.salt.len());
    SessionKeys::new(master.profile, &key, &auth_key, &salt)
}

/// x = key_id XOR master_salt, both right-aligned to 112 bits, where key_id is the label before 48 bits of epoch; then 16 zero bits.
/// A master salt of 96 bits has 16 zero bits put behind it first.
pub(super) fn prf_input(master_salt: &[u8], label: u8, epoch: u64) -> [u8; 16] {
    let mut input = [0; 16];
    input[..master_salt.len()].copy_from_slice(master_salt);
    let key_id = (u128::from(label) << 48 | u128::from(epoch)) << 16;
    (u128::from_be_bytes(input) ^ key_id).to_be_bytes()
}
