//! RTP and RTCP on one port (RFC 5761).

use super::header::FIXED_HEADER_LEN;
use super::{Part, RtpError};

/// What a datagram is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An RTP or SRTP packet.
    Rtp,
    /// An RTCP or SRTCP packet.
    Rtcp,
}

/// The shortest RTCP datagram that is taken, in bytes: a header and an SSRC, the part of an SRTCP packet that is never encrypted.
/// The SDES and BYE of four bytes that RFC 3550 calls valid but useless are told apart only inside of a compound packet.
pub const RTCP_LEN_MIN: usize = 8;

/// Tells RTP from RTCP by the second byte, 192 to 223 being RTCP (RFC 5761 section 4): all packet types that are in use and all
/// that may come, for which the RTP payload types 64 to 95 are given up, with the marker bit set or not.
///
/// # Errors
/// [`RtpError::Version`] if it is neither (RFC 7983 tells what else may share the port), [`RtpError::Truncated`] if it is shorter
/// than the shortest of its kind.
#[inline]
pub fn classify(bytes: &[u8]) -> Result<Kind, RtpError> {
    let Some([first, second]) = bytes.first_chunk::<2>() else {
        return Err(RtpError::Truncated { part: Part::RtcpHeader, expected: RTCP_LEN_MIN, got: bytes.len() });
    };
    if first >> 6 != 2 {
        return Err(RtpError::Version { got: first >> 6 });
    }
    let (kind, part, expected) = match second {
        192..=223 => (Kind::Rtcp, Part::RtcpHeader, RTCP_LEN_MIN),
        _ => (Kind::Rtp, Part::FixedHeader, FIXED_HEADER_LEN),
    };
    if bytes.len() < expected {
        return Err(RtpError::Truncated { part, expected, got: bytes.len() });
    }
    Ok(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_second_byte_is_told() {
        for second in 0..=255u8 {
            let expected = if second & 0x80 != 0 && (64..=95).contains(&(second & 0x7f)) { Kind::Rtcp } else { Kind::Rtp };
            let mut packet = [0; 12];
            (packet[0], packet[1]) = (0x80, second);
            assert_eq!(classify(&packet), Ok(expected), "{second}");
        }
        // What baresip's gzrtp took for RTP: transport feedback, payload feedback and extended reports.
        for packet_type in [205, 206, 207] {
            assert_eq!(classify(&[0x81, packet_type, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2]), Ok(Kind::Rtcp));
        }
    }

    #[test]
    fn every_short_length_is_an_error() {
        for second in 0..=255u8 {
            let mut packet = [0; 16];
            (packet[0], packet[1]) = (0x80, second);
            let rtcp = (192..=223).contains(&second);
            for got in 0..packet.len() {
                let (part, expected) = if rtcp || got < 2 { (Part::RtcpHeader, 8) } else { (Part::FixedHeader, 12) };
                let error = RtpError::Truncated { part, expected, got };
                let expected = if got < expected { Err(error) } else { Ok(if rtcp { Kind::Rtcp } else { Kind::Rtp }) };
                assert_eq!(classify(&packet[..got]), expected);
            }
        }
    }

    #[test]
    fn other_versions_are_other_protocols() {
        for first in 0..=255u8 {
            let packet = [first, 200, 0, 1, 0, 0, 0, 1];
            let expected = if first >> 6 == 2 { Ok(Kind::Rtcp) } else { Err(RtpError::Version { got: first >> 6 }) };
            assert_eq!(classify(&packet), expected);
        }
    }
}
