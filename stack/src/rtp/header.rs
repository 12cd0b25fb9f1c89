//! The RTP header alone, for packets whose payload may still be encrypted.

use super::{Part, RtpError};

/// How long the fixed header is, in bytes (RFC 3550 section 5.1).
pub const FIXED_HEADER_LEN: usize = 12;

/// What the header of an RTP packet says: fixed header, CSRC count, and where the header extension is.
///
/// The padding is not checked: its length is the packet's last byte, which in an SRTP packet is ciphertext or tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes from the start of the packet to its payload: fixed header, CSRCs and header extension.
    pub len: usize,
    /// The padding bit.
    pub padding: bool,
    /// The extension bit. If set, the extension begins at [`Header::extension_offset`].
    pub extension: bool,
    /// How many contributing sources there are, 0 to 15.
    pub csrc_count: u8,
    /// The marker bit.
    pub marker: bool,
    /// The payload type, 0 to 127.
    pub payload_type: u8,
    /// The sequence number.
    pub sequence_number: u16,
    /// The timestamp, in units of the payload's clock rate.
    pub timestamp: u32,
    /// The synchronization source.
    pub ssrc: u32,
}

/// Parses the header of the RTP packet `bytes` (RFC 3550 sections 5.1 and 5.3.1). Does not look past it.
///
/// # Errors
/// [`RtpError::Truncated`] with the length that the packet would need, or [`RtpError::Version`].
#[inline]
pub fn parse(bytes: &[u8]) -> Result<Header, RtpError> {
    let Some(fixed) = bytes.first_chunk::<FIXED_HEADER_LEN>() else {
        return Err(RtpError::Truncated { part: Part::FixedHeader, expected: FIXED_HEADER_LEN, got: bytes.len() });
    };
    if fixed[0] >> 6 != 2 {
        return Err(RtpError::Version { got: fixed[0] >> 6 });
    }
    let (csrc_count, extension) = (fixed[0] & 0x0f, fixed[0] & 0x10 != 0);
    let mut len = FIXED_HEADER_LEN + 4 * usize::from(csrc_count);
    if bytes.len() < len {
        return Err(RtpError::Truncated { part: Part::Csrcs, expected: len, got: bytes.len() });
    }
    if extension {
        let Some(start) = bytes[len..].first_chunk::<4>() else {
            return Err(RtpError::Truncated { part: Part::Extension, expected: len + 4, got: bytes.len() });
        };
        len += 4 + 4 * usize::from(u16::from_be_bytes([start[2], start[3]]));
        if bytes.len() < len {
            return Err(RtpError::Truncated { part: Part::Extension, expected: len, got: bytes.len() });
        }
    }
    Ok(Header {
        len,
        padding: fixed[0] & 0x20 != 0,
        extension,
        csrc_count,
        marker: fixed[1] & 0x80 != 0,
        payload_type: fixed[1] & 0x7f,
        sequence_number: u16::from_be_bytes([fixed[2], fixed[3]]),
        timestamp: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
        ssrc: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
    })
}

impl Header {
    /// Where the CSRCs end, in bytes from the start of the packet: there the header extension begins, if there is one.
    #[inline]
    pub fn extension_offset(&self) -> usize {
        FIXED_HEADER_LEN + 4 * usize::from(self.csrc_count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two CSRCs, an extension of two words, five bytes of payload.
    const PACKET: [u8; 37] = [
        0xb2, 0xe0, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 1, 1, 1, 1, 2, 2, 2, 2, 0xbe, 0xde, 0, 2, 3, 3,
        3, 3, 4, 4, 4, 4, 9, 9, 9, 9, 200,
    ];

    #[test]
    fn every_field_is_read() {
        let expected = Header {
            len: 32,
            padding: true,
            extension: true,
            csrc_count: 2,
            marker: true,
            payload_type: 96,
            sequence_number: 0x0102,
            timestamp: 0x0304_0506,
            ssrc: 0x0708_090a,
        };
        assert_eq!(parse(&PACKET), Ok(expected), "the padding, 200, is not looked at");
        assert_eq!(expected.extension_offset(), 20);
        let mut plain = PACKET;
        (plain[0], plain[1]) = (0x80, 0x08);
        let header = parse(&plain).unwrap();
        assert_eq!((header.len, header.padding, header.extension, header.csrc_count), (12, false, false, 0));
        assert_eq!((header.marker, header.payload_type), (false, 8));
    }

    #[test]
    fn each_short_length_says_what_is_missing() {
        for got in 0..32 {
            let (part, expected) = match got {
                0..12 => (Part::FixedHeader, 12),
                12..20 => (Part::Csrcs, 20),
                20..24 => (Part::Extension, 24),
                _ => (Part::Extension, 32),
            };
            assert_eq!(parse(&PACKET[..got]), Err(RtpError::Truncated { part, expected, got }));
        }
        assert_eq!(parse(&PACKET[..32]).unwrap().len, 32, "a packet may end with its header");
    }

    #[test]
    fn only_version_2_is_rtp() {
        for first in 0..=255u8 {
            let mut packet = [0; 12 + 60 + 4];
            packet[0] = first;
            let got = first >> 6;
            match parse(&packet) {
                Ok(header) => assert!(got == 2 && header.csrc_count == first & 15),
                Err(error) => assert!(got != 2 && error == RtpError::Version { got }),
            }
        }
    }
}
