//! AES in Galois/counter mode (RFC 7714).

use super::profile::TAG_LEN_MAX;
use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroize;

const NONCE_LEN: usize = 12;

/// A cipher with its key schedule made, and the session's salt. The library keeps the key in memory that it cleanses when it is
/// freed.
pub(super) struct Gcm {
    key: LessSafeKey,
    salt: [u8; NONCE_LEN],
}

impl Drop for Gcm {
    fn drop(&mut self) {
        self.salt.zeroize();
    }
}

/// The AEAD refused: a tag that does not fit, or a packet beyond its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused;

impl Gcm {
    /// # Panics
    /// If the key has not 16 or 32 bytes: keys are checked where they come in.
    pub(super) fn new(key: &[u8], salt: [u8; NONCE_LEN]) -> Self {
        let algorithm = if key.len() == 16 { &AES_128_GCM } else { &AES_256_GCM };
        let key = UnboundKey::new(algorithm, key).expect("expected a key of 16 or 32 bytes");
        Gcm { key: LessSafeKey::new(key), salt }
    }

    /// The nonce of a packet: two zero bytes, the SSRC and the index in 48 bits, of which SRTCP has 31 (RFC 7714 sections 8.1 and
    /// 9.1), exclusive-ored with the salt. The index is unique under a key, and so is the nonce.
    #[inline]
    pub(super) fn nonce(&self, ssrc: u32, index: u64) -> Nonce {
        let mut bytes = self.salt;
        let value = (u128::from(ssrc) << 48 | u128::from(index)).to_be_bytes();
        bytes.iter_mut().zip(&value[4..]).for_each(|(byte, value)| *byte ^= value);
        Nonce::assume_unique_for_key(bytes)
    }

    /// Encrypts in place and gives the tag.
    #[inline]
    pub(super) fn seal(&self, nonce: Nonce, associated: &[u8], data: &mut [u8]) -> Result<[u8; TAG_LEN_MAX], Refused> {
        let tag = self.key.seal_in_place_separate_tag(nonce, Aad::from(associated), data).map_err(|_| Refused)?;
        let mut bytes = [0; TAG_LEN_MAX];
        bytes.copy_from_slice(tag.as_ref());
        Ok(bytes)
    }

    /// Decrypts in place. On an error what `data` holds is of no use.
    #[inline]
    pub(super) fn open(&self, nonce: Nonce, associated: &[u8], data: &mut [u8], tag: &[u8]) -> Result<(), Refused> {
        self.key.open_in_place_separate_tag(nonce, Aad::from(associated), tag, data).map(|_| ()).map_err(|_| Refused)
    }
}
