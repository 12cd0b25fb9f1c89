//! A whole RTP packet in cleartext, read and written.

use super::header::{self, Header};
use super::{Part, RtpError};
use rtp_types::RtpPacketBuilder;

/// The longest packet that is taken or written, in bytes: what the length field of RFC 4571's framing can say, and more than UDP
/// carries.
pub const PACKET_LEN_MAX: usize = 65_535;

/// The most contributing sources, which are counted in four bits.
pub const CSRCS_MAX: usize = 15;

/// A parsed RTP packet (RFC 3550 section 5.1), borrowing its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    bytes: &'a [u8],
    header: Header,
    padding_len: u8,
}

impl<'a> Packet<'a> {
    /// Parses the packet that `bytes` is: one whole datagram, decrypted.
    ///
    /// # Errors
    /// Those of [`header::parse`], [`RtpError::Padding`], or [`RtpError::TooLong`] above [`PACKET_LEN_MAX`].
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, RtpError> {
        if bytes.len() > PACKET_LEN_MAX {
            return Err(RtpError::TooLong { part: Part::Packet, expected_max: PACKET_LEN_MAX, got: bytes.len() });
        }
        let header = header::parse(bytes)?;
        let mut padding_len = 0;
        if header.padding {
            let expected_max = bytes.len() - header.len;
            padding_len = if expected_max == 0 { 0 } else { bytes[bytes.len() - 1] };
            if padding_len == 0 || usize::from(padding_len) > expected_max {
                return Err(RtpError::Padding { expected_max, got: padding_len });
            }
        }
        Ok(Packet { bytes, header, padding_len })
    }

    /// The header.
    #[inline]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The contributing sources, in their order, 15 at the most.
    #[inline]
    pub fn csrcs(&self) -> impl ExactSizeIterator<Item = u32> + 'a {
        let list = &self.bytes[header::FIXED_HEADER_LEN..self.header.extension_offset()];
        list.as_chunks::<4>().0.iter().map(|csrc| u32::from_be_bytes(*csrc))
    }

    /// The header extension (RFC 3550 section 5.3.1): the 16 bits that a profile defines, and the data, whole words.
    /// [`Elements`](super::extension::Elements) reads what RFC 8285 puts there.
    #[inline]
    pub fn extension(&self) -> Option<(u16, &'a [u8])> {
        let start = self.header.extension_offset();
        let profile = || u16::from_be_bytes([self.bytes[start], self.bytes[start + 1]]);
        self.header.extension.then(|| (profile(), &self.bytes[start + 4..self.header.len]))
    }

    /// The payload, without padding.
    #[inline]
    pub fn payload(&self) -> &'a [u8] {
        &self.bytes[self.header.len..self.bytes.len() - usize::from(self.padding_len)]
    }

    /// How many bytes of padding follow the payload, counting the one that says so.
    #[inline]
    pub fn padding_len(&self) -> u8 {
        self.padding_len
    }
}

/// A packet to be written. Nothing is allocated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fields<'a> {
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
    /// The contributing sources, [`CSRCS_MAX`] at the most.
    pub csrcs: &'a [u32],
    /// The header extension: the 16 bits that a profile defines, and the data, whole words.
    pub extension: Option<(u16, &'a [u8])>,
    /// The payload.
    pub payload: &'a [u8],
    /// How many bytes of padding follow, counting the one that says so; 0 for none.
    pub padding_len: u8,
}

impl Fields<'_> {
    /// How long the packet will be, in bytes.
    ///
    /// # Errors
    /// [`RtpError::Range`], [`RtpError::TooLong`], or [`RtpError::Truncated`] for an extension that is not whole words.
    pub fn packet_len(&self) -> Result<usize, RtpError> {
        if self.payload_type > 0x7f {
            let got = usize::from(self.payload_type);
            return Err(RtpError::Range { part: Part::PayloadType, expected_min: 0, expected_max: 0x7f, got });
        }
        if self.csrcs.len() > CSRCS_MAX {
            return Err(RtpError::TooLong { part: Part::Csrcs, expected_max: 4 * CSRCS_MAX, got: 4 * self.csrcs.len() });
        }
        let extension_len = self.extension.map_or(0, |(_, data)| 4 + data.len());
        if !extension_len.is_multiple_of(4) {
            let expected = extension_len.next_multiple_of(4);
            return Err(RtpError::Truncated { part: Part::Extension, expected, got: extension_len });
        }
        let len =
            header::FIXED_HEADER_LEN + 4 * self.csrcs.len() + extension_len + self.payload.len() + usize::from(self.padding_len);
        if len > PACKET_LEN_MAX {
            return Err(RtpError::TooLong { part: Part::Packet, expected_max: PACKET_LEN_MAX, got: len });
        }
        Ok(len)
    }

    /// Writes the packet to the start of `room` and returns its length. After an error, `room` is as it was. Without payload and
    /// padding that is the header alone, to be written before a payload that is in its place.
    ///
    /// # Errors
    /// Those of [`Fields::packet_len`], and [`RtpError::Room`].
    pub fn write(&self, room: &mut [u8]) -> Result<usize, RtpError> {
        let expected = self.packet_len()?;
        let got = room.len();
        let Some(room) = room.get_mut(..expected) else { return Err(RtpError::Room { expected, got }) };
        Ok(self.builder().write_into_unchecked(room))
    }

    /// Writes the packet to the end of `bytes`, which grows if it must. After an error, `bytes` is as it was.
    ///
    /// # Errors
    /// Those of [`Fields::packet_len`].
    pub fn append(&self, bytes: &mut Vec<u8>) -> Result<usize, RtpError> {
        let (start, len) = (bytes.len(), self.packet_len()?);
        bytes.resize(start + len, 0);
        Ok(self.builder().write_into_unchecked(&mut bytes[start..]))
    }

    fn builder(&self) -> RtpPacketBuilder<&[u8], &[u8]> {
        let mut builder = RtpPacketBuilder::new()
            .marker_bit(self.marker)
            .payload_type(self.payload_type)
            .sequence_number(self.sequence_number)
            .timestamp(self.timestamp)
            .ssrc(self.ssrc)
            .payload(self.payload)
            .maybe_padding((self.padding_len > 0).then_some(self.padding_len));
        for csrc in self.csrcs {
            builder = builder.add_csrc(*csrc);
        }
        match self.extension {
            Some((profile, data)) => builder.extension(profile, data),
            None => builder,
        }
    }
}

/// What holds of any bytes: fuzz targets, property tests and corpus tests share these bodies.
pub mod properties {
    use super::super::demux::{self, Kind};
    use super::super::extension::properties::elements;
    use super::{CSRCS_MAX, Fields, Packet};
    use crate::rtp::{RtpError, header};
    use rtp_types::RtpPacket;

    /// Any bytes parse or are refused, as the crate `rtp-types` would have it; what parses is written to the same bytes.
    pub fn reading(bytes: &[u8]) {
        let packet = Packet::parse(bytes);
        let peer = RtpPacket::parse(bytes);
        assert_eq!(packet.is_ok(), peer.is_ok(), "{packet:?} {:?}", peer.err());
        let (Ok(packet), Ok(peer)) = (packet, peer) else {
            // A packet of an unknown key still has a header.
            assert!(header::parse(bytes).is_err() || matches!(packet, Err(RtpError::Padding { .. })));
            return;
        };
        let header = *packet.header();
        assert_eq!(header::parse(bytes), Ok(header));
        assert_eq!(demux::classify(bytes), Ok(if (192..224).contains(&bytes[1]) { Kind::Rtcp } else { Kind::Rtp }));
        assert_eq!((header.marker, header.payload_type, header.ssrc), (peer.marker_bit(), peer.payload_type(), peer.ssrc()));
        assert_eq!((header.sequence_number, header.timestamp), (peer.sequence_number(), peer.timestamp()));
        assert_eq!((packet.payload(), packet.extension()), (peer.payload(), peer.extension()));
        assert!(packet.csrcs().eq(peer.csrc()));
        if let Some((profile, data)) = packet.extension() {
            elements(profile, data);
        }
        rewriting(&packet, bytes);
    }

    fn rewriting(packet: &Packet<'_>, bytes: &[u8]) {
        let (mut csrcs, mut count) = ([0; CSRCS_MAX], 0);
        for csrc in packet.csrcs() {
            csrcs[count] = csrc;
            count += 1;
        }
        let header = packet.header();
        let fields = Fields {
            marker: header.marker,
            payload_type: header.payload_type,
            sequence_number: header.sequence_number,
            timestamp: header.timestamp,
            ssrc: header.ssrc,
            csrcs: &csrcs[..count],
            extension: packet.extension(),
            payload: packet.payload(),
            padding_len: packet.padding_len(),
        };
        let mut written = Vec::with_capacity(bytes.len());
        assert_eq!(fields.append(&mut written), Ok(bytes.len()));
        // What the padding holds, but for its length, is nobody's (RFC 3550 section 5.1).
        let end = bytes.len() - usize::from(packet.padding_len());
        assert_eq!((&written[..end], written.last()), (&bytes[..end], bytes.last()));
        let short = bytes.len() - 1;
        assert_eq!(fields.write(&mut written[..short]), Err(RtpError::Room { expected: bytes.len(), got: short }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpus_holds() {
        crate::corpus::each("rtp", properties::reading);
    }

    proptest::proptest! {
        #[test]
        fn reading_holds(mut bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..120), words in 0..4u8, likely in 0..4u8) {
            // Most random bytes are another version, or claim an extension that is longer than they are.
            if likely > 0 && bytes.len() > 40 {
                bytes[0] = bytes[0] & 0x33 | 0x80;
                let extension = 12 + 4 * usize::from(bytes[0] & 3);
                let profile = if likely == 1 { [0xbe, 0xde] } else { [0x10, words] };
                bytes[extension..extension + 4].copy_from_slice(&[profile[0], profile[1], 0, words]);
                let last = bytes.len() - 1;
                bytes[last] &= 0x1f;
            }
            properties::reading(&bytes);
        }
    }

    fn fields<'a>() -> Fields<'a> {
        Fields { payload_type: 8, sequence_number: 7, timestamp: 160, ssrc: 1, payload: b"abc", ..Fields::default() }
    }

    #[test]
    fn a_packet_is_written_as_the_rfc_draws_it() {
        let all = Fields {
            marker: true,
            csrcs: &[0x0102_0304, 0x0506_0708],
            extension: Some((0xbede, &[0x10, 9, 0, 0])),
            padding_len: 3,
            ..fields()
        };
        let mut room = [0xff; 64];
        let len = all.write(&mut room).unwrap();
        #[rustfmt::skip]
        let expected = [
            0xb2, 0x88, 0, 7, 0, 0, 0, 160, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8,
            0xbe, 0xde, 0, 1, 0x10, 9, 0, 0, b'a', b'b', b'c', 0, 0, 3,
        ];
        assert_eq!((&room[..len], room[len]), (&expected[..], 0xff));
        let packet = Packet::parse(&room[..len]).unwrap();
        assert_eq!((packet.payload(), packet.padding_len(), packet.csrcs().len()), (&b"abc"[..], 3, 2));
        assert_eq!(packet.extension(), all.extension);
    }

    #[test]
    fn padding_is_at_least_itself_and_at_most_what_there_is() {
        let mut bytes = Vec::new();
        Fields { padding_len: 4, ..fields() }.append(&mut bytes).unwrap();
        for got in 0..=255 {
            *bytes.last_mut().unwrap() = got;
            match Packet::parse(&bytes) {
                Ok(packet) => assert!((1..=7).contains(&got) && packet.payload().len() == 7 - usize::from(got)),
                Err(error) => assert!(!(1..=7).contains(&got) && error == RtpError::Padding { expected_max: 7, got }),
            }
        }
        bytes.truncate(12);
        assert_eq!(Packet::parse(&bytes), Err(RtpError::Padding { expected_max: 0, got: 0 }), "the last byte is the SSRC's");
    }

    #[test]
    fn what_no_packet_can_say_is_not_written() {
        let mut room = [0xff; 100];
        let mut refused = |fields: Fields<'_>| fields.write(&mut room).unwrap_err();
        let range = RtpError::Range { part: Part::PayloadType, expected_min: 0, expected_max: 127, got: 128 };
        assert_eq!(refused(Fields { payload_type: 128, ..fields() }), range);
        let csrcs = RtpError::TooLong { part: Part::Csrcs, expected_max: 60, got: 64 };
        assert_eq!(refused(Fields { csrcs: &[0; 16], ..fields() }), csrcs);
        let words = RtpError::Truncated { part: Part::Extension, expected: 12, got: 9 };
        assert_eq!(refused(Fields { extension: Some((1, &[0; 5])), ..fields() }), words);
        let large = vec![0; PACKET_LEN_MAX - 11];
        let too_long = RtpError::TooLong { part: Part::Packet, expected_max: PACKET_LEN_MAX, got: PACKET_LEN_MAX + 1 };
        assert_eq!(refused(Fields { payload: &large, ..fields() }), too_long);
        assert_eq!(refused(Fields { payload: &[0; 89], ..fields() }), RtpError::Room { expected: 101, got: 100 });
        assert_eq!(room, [0xff; 100]);
        let mut bytes = vec![0; PACKET_LEN_MAX + 1];
        bytes[0] = 0x80;
        assert_eq!(Packet::parse(&bytes), Err(too_long));
        assert!(Packet::parse(&bytes[1..]).is_err() && Packet::parse(&bytes[..PACKET_LEN_MAX]).is_ok());
    }
}
