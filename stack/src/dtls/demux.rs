//! What shares a media socket (RFC 7983).

use crate::rtp::RtpError;
use crate::rtp::demux::{self, Kind};
use thiserror::Error;

/// The protocol of a datagram that came on a media socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// STUN (RFC 8489).
    Stun,
    /// ZRTP (RFC 6189).
    Zrtp,
    /// DTLS (RFC 6347, RFC 9147).
    Dtls,
    /// A TURN channel (RFC 8656).
    TurnChannel,
    /// RTP or SRTP.
    Rtp,
    /// RTCP or SRTCP.
    Rtcp,
}

/// Why a datagram is of no protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DemuxError {
    /// It has no byte.
    #[error("expected a datagram, got none of its bytes")]
    Empty,
    /// Its first byte is of none.
    #[error(
        "expected a first byte of STUN (0-3), ZRTP (16-19), DTLS (20-63), a TURN channel (64-79) or RTP (128-191), got {got}"
    )]
    Reserved {
        /// The first byte.
        got: u8,
    },
    /// It is said to be RTP or RTCP, and is not.
    #[error(transparent)]
    Rtp(#[from] RtpError),
}

/// Tells a datagram's protocol by its first byte (RFC 7983 section 7), and RTP from RTCP by its second.
///
/// # Errors
/// [`DemuxError`]: the datagram is to be dropped and counted.
#[inline]
pub fn classify(datagram: &[u8]) -> Result<Protocol, DemuxError> {
    match datagram.first() {
        None => Err(DemuxError::Empty),
        Some(0..=3) => Ok(Protocol::Stun),
        Some(16..=19) => Ok(Protocol::Zrtp),
        Some(20..=63) => Ok(Protocol::Dtls),
        Some(64..=79) => Ok(Protocol::TurnChannel),
        Some(128..=191) => match demux::classify(datagram)? {
            Kind::Rtp => Ok(Protocol::Rtp),
            Kind::Rtcp => Ok(Protocol::Rtcp),
        },
        Some(&got) => Err(DemuxError::Reserved { got }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_first_byte_is_of_one_protocol() {
        // The table of RFC 7983 section 7, row by row.
        let rows: [(std::ops::RangeInclusive<u8>, Option<Protocol>); 9] = [
            (0..=3, Some(Protocol::Stun)),
            (4..=15, None),
            (16..=19, Some(Protocol::Zrtp)),
            (20..=63, Some(Protocol::Dtls)),
            (64..=79, Some(Protocol::TurnChannel)),
            (80..=127, None),
            (128..=191, Some(Protocol::Rtp)),
            (192..=254, None),
            (255..=255, None),
        ];
        let mut seen = 0;
        for (first_bytes, protocol) in rows {
            for first in first_bytes {
                let mut datagram = [0; 12];
                datagram[0] = first;
                assert_eq!(classify(&datagram), protocol.ok_or(DemuxError::Reserved { got: first }), "{first}");
                seen += 1;
            }
        }
        assert_eq!(seen, 256);
        assert_eq!(classify(&[]), Err(DemuxError::Empty));
    }

    #[test]
    fn rtcp_is_told_from_rtp_and_what_is_too_short_for_either_is_an_error() {
        let mut datagram = [0; 12];
        datagram[..2].copy_from_slice(&[0x80, 200]);
        assert_eq!(classify(&datagram), Ok(Protocol::Rtcp));
        assert!(matches!(classify(&datagram[..7]), Err(DemuxError::Rtp(_))));
        datagram[1] = 0;
        assert!(matches!(classify(&datagram[..11]), Err(DemuxError::Rtp(_))));
    }
}
