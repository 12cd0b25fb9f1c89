//! What names an association in descriptions (RFC 8842 section 4).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fmt;

/// How long a name may be, in bytes.
pub const TLS_ID_LENS: (usize, usize) = (20, 255);
/// How much chance there is in one of ours, in bytes: 120 bits are the least.
const RANDOM_LEN: usize = 24;

/// One side's name of an association. While both sides say the same names, it is the same association.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsId(String);

impl TlsId {
    /// A new one, from [`sim::rand`].
    #[track_caller]
    pub(super) fn random() -> Self {
        let mut random = [0; RANDOM_LEN];
        sim::rand::fill(&mut random);
        TlsId(URL_SAFE_NO_PAD.encode(random))
    }

    /// From 20 to 255 letters, digits, and any of `+/-_`.
    pub(super) fn read(value: &str) -> Option<Self> {
        let is_id = |byte: u8| byte.is_ascii_alphanumeric() || b"+/-_".contains(&byte);
        let is_long_enough = (TLS_ID_LENS.0..=TLS_ID_LENS.1).contains(&value.len());
        (is_long_enough && value.bytes().all(is_id)).then(|| TlsId(value.to_owned()))
    }
}

impl fmt::Display for TlsId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
