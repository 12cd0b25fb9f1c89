//! Where the parts of SRTP and SRTCP packets are (RFC 3711 sections 3.1 and 3.4, RFC 7714 sections 8.2 and 9.2).

use super::SrtpError;
use super::profile::Profile;
use crate::rtp::RtpError;
use std::ops::Range;

/// The longest packet that is protected, in bytes: counter mode counts its blocks in 16 bits, and a block more would have the
/// keystream of the stream's next packet (RFC 3711 section 4.1.1).
pub(super) const PACKET_LEN_MAX: usize = 1 << 20;

/// What of an RTCP packet is never encrypted: header and SSRC.
pub(super) const RTCP_HEADER_LEN: usize = 8;
/// The E flag and the SRTCP index.
pub(super) const INDEX_LEN: usize = 4;
/// The E flag.
pub(super) const ENCRYPTED: u32 = 1 << 31;

/// The end of the protected packets of one protocol, under keys whose MKIs have one length: what protection adds, counted from where
/// the data ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trailer {
    kind: &'static str,
    header_len: usize,
    len: usize,
    tag_at: usize,
    tag_len: usize,
    mki_at: usize,
    mki_len: usize,
    index_at: usize,
}

impl Trailer {
    /// Of SRTP packets: an AEAD's tag is the end of its ciphertext, and HMAC stands last.
    pub(super) fn of_rtp(profile: Profile, mki_len: usize) -> Self {
        let tag_len = profile.rtp_tag_len();
        let (tag_at, mki_at) = if profile.is_aead() { (0, tag_len) } else { (mki_len, 0) };
        let header_len = crate::rtp::header::FIXED_HEADER_LEN;
        Trailer { kind: "SRTP", header_len, len: tag_len + mki_len, tag_at, tag_len, mki_at, mki_len, index_at: 0 }
    }

    /// Of SRTCP packets, in which the index stands before HMAC's MKI and tag, and after an AEAD's tag.
    pub(super) fn of_rtcp(profile: Profile, mki_len: usize) -> Self {
        let tag_len = profile.rtcp_tag_len();
        let (tag_at, index_at, mki_at) =
            if profile.is_aead() { (0, tag_len, tag_len + INDEX_LEN) } else { (INDEX_LEN + mki_len, 0, INDEX_LEN) };
        let len = INDEX_LEN + tag_len + mki_len;
        Trailer { kind: "SRTCP", header_len: RTCP_HEADER_LEN, len, tag_at, tag_len, mki_at, mki_len, index_at }
    }

    /// How many bytes are added.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// How long a packet is without it.
    ///
    /// # Errors
    /// [`SrtpError::Short`] if there is not so much after the shortest header, [`SrtpError::TooLong`].
    #[inline]
    pub(super) fn data_len(&self, packet: &[u8]) -> Result<usize, SrtpError> {
        let got = packet.len();
        expect_len_within(PACKET_LEN_MAX + self.len, self.kind, packet)?;
        match got.checked_sub(self.len).filter(|data_len| *data_len >= self.header_len) {
            Some(data_len) => Ok(data_len),
            None => Err(SrtpError::Short { kind: self.kind, expected: self.header_len + self.len, got }),
        }
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
    #[inline]
    pub(super) fn index(&self) -> Range<usize> {
        self.index_at..self.index_at + INDEX_LEN
    }
}

/// # Errors
/// [`SrtpError::TooLong`].
#[inline]
pub(super) fn expect_len_within(expected_max: usize, kind: &'static str, packet: &[u8]) -> Result<(), SrtpError> {
    match packet.len() <= expected_max {
        true => Ok(()),
        false => Err(SrtpError::TooLong { kind, expected_max, got: packet.len() }),
    }
}

/// The SSRC of an RTCP packet.
///
/// # Errors
/// [`SrtpError::Short`], and [`SrtpError::Malformed`] if it is not of version 2.
pub(super) fn rtcp_ssrc(packet: &[u8]) -> Result<u32, SrtpError> {
    let Some(header) = packet.first_chunk::<RTCP_HEADER_LEN>() else {
        return Err(SrtpError::Short { kind: "RTCP", expected: RTCP_HEADER_LEN, got: packet.len() });
    };
    match header[0] >> 6 {
        2 => Ok(u32::from_be_bytes([header[4], header[5], header[6], header[7]])),
        got => Err(RtpError::Version { got }.into()),
    }
}
