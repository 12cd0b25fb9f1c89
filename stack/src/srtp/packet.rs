//! Where the parts of SRTP and SRTCP packets are (RFC 3711 sections 3.1 and 3.4, RFC 7714 sections 8.2 and 9.2).

use super::SrtpError;
use super::profile::Profile;
use crate::rtp::RtpError;
use std::ops::Range;

/// What of an RTCP packet is never encrypted: header and SSRC.
pub(super) const RTCP_HEADER_LEN: usize = 8;
/// The E flag and the SRTCP index.
pub(super) const INDEX_LEN: usize = 4;
/// The E flag.
pub(super) const ENCRYPTED: u32 = 1 << 31;

/// The end of a protected packet: everything past `data_len` bytes is added by protection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trailer {
    /// How long the packet is without it.
    pub(super) data_len: usize,
    tag_at: usize,
    tag_len: usize,
    mki_at: usize,
    mki_len: usize,
    index_at: usize,
}

impl Trailer {
    /// Of an SRTP packet.
    ///
    /// # Errors
    /// [`SrtpError::Short`] if there is not so much after the shortest header.
    #[inline]
    pub(super) fn of_rtp(packet: &[u8], profile: Profile, mki_len: usize) -> Result<Self, SrtpError> {
        let tag_len = profile.rtp_tag_len();
        let data_len = data_len(packet, "SRTP", crate::rtp::header::FIXED_HEADER_LEN, tag_len + mki_len)?;
        // HMAC stands last; an AEAD's tag is the end of its ciphertext.
        let (tag_at, mki_at) = if profile.is_aead() { (data_len, data_len + tag_len) } else { (data_len + mki_len, data_len) };
        Ok(Trailer { data_len, tag_at, tag_len, mki_at, mki_len, index_at: data_len })
    }

    /// Of an SRTCP packet.
    ///
    /// # Errors
    /// [`SrtpError::Short`] if there is not so much after the shortest header.
    pub(super) fn of_rtcp(packet: &[u8], profile: Profile, mki_len: usize) -> Result<Self, SrtpError> {
        let tag_len = profile.rtcp_tag_len();
        let data_len = data_len(packet, "SRTCP", RTCP_HEADER_LEN, INDEX_LEN + tag_len + mki_len)?;
        let (tag_at, index_at, mki_at) = if profile.is_aead() {
            (data_len, data_len + tag_len, data_len + tag_len + INDEX_LEN)
        } else {
            (data_len + INDEX_LEN + mki_len, data_len, data_len + INDEX_LEN)
        };
        Ok(Trailer { data_len, tag_at, tag_len, mki_at, mki_len, index_at })
    }

    #[inline]
    pub(super) fn tag(&self) -> Range<usize> {
        self.tag_at..self.tag_at + self.tag_len
    }

    #[inline]
    pub(super) fn mki(&self) -> Range<usize> {
        self.mki_at..self.mki_at + self.mki_len
    }

    /// The E flag and the index of an SRTCP packet.
    pub(super) fn index(&self) -> Range<usize> {
        self.index_at..self.index_at + INDEX_LEN
    }
}

#[inline]
fn data_len(packet: &[u8], kind: &'static str, header_len: usize, added: usize) -> Result<usize, SrtpError> {
    let got = packet.len();
    match got.checked_sub(added).filter(|data_len| *data_len >= header_len) {
        Some(data_len) => Ok(data_len),
        None => Err(SrtpError::Short { kind, expected: header_len + added, got }),
    }
}

/// The SSRC of an RTCP packet that has at least `expected` bytes.
///
/// # Errors
/// [`SrtpError::Short`], and [`SrtpError::Malformed`] if it is not of version 2.
pub(super) fn rtcp_ssrc(packet: &[u8], expected: usize) -> Result<u32, SrtpError> {
    let Some(header) = packet.first_chunk::<RTCP_HEADER_LEN>().filter(|_| packet.len() >= expected) else {
        return Err(SrtpError::Short { kind: "RTCP", expected, got: packet.len() });
    };
    match header[0] >> 6 {
        2 => Ok(u32::from_be_bytes([header[4], header[5], header[6], header[7]])),
        got => Err(RtpError::Version { got }.into()),
    }
}
