//! Records of DTLS, as far as one must know them to hand a datagram on: where each ends, and what a hello says that nobody has
//! authenticated yet.

/// The header of a record that is not encrypted, or of DTLS 1.2 (RFC 6347 section 4.1): type, version, epoch, sequence number, length.
const HEADER_LEN: usize = 13;
/// The header of a handshake message (RFC 6347 section 4.2.2).
const HANDSHAKE_HEADER_LEN: usize = 12;
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const SUPPORTED_VERSIONS: u16 = 43;
/// The longest handshake message that is taken before anything is authenticated, in bytes.
const HELLO_LEN_MAX: usize = 16 * 1024;
/// So many messages a handshake has at the most before its keys.
const MESSAGES_MAX: u16 = 16;

/// What a client's hello is known by.
pub(super) type HelloRandom = [u8; 32];

/// The records of a datagram, one after another. What cannot be told apart is one piece.
pub(super) fn records(mut datagram: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (record, rest) = datagram.split_at(record_len(datagram)?.min(datagram.len()));
        datagram = rest;
        Some(record)
    })
}

fn record_len(bytes: &[u8]) -> Option<usize> {
    let first = *bytes.first()?;
    // RFC 9147 section 4: the fixed bits 001 of the header of an encrypted record, then whether it has a connection id, a long sequence
    // number and a length. No id was agreed on.
    let (header_len, has_length) = match first {
        0x20..=0x3f if first & 0x10 != 0 => (1, false),
        0x20..=0x3f => (if first & 0x08 != 0 { 5 } else { 4 }, first & 0x04 != 0),
        _ => (HEADER_LEN, true),
    };
    let length = bytes.get(..header_len).and_then(|header| header.last_chunk::<2>());
    match length {
        Some(length) if has_length => Some(header_len + usize::from(u16::from_be_bytes(*length))),
        _ => Some(bytes.len()),
    }
}

/// A handshake message that is not encrypted.
struct Handshake<'a> {
    message_type: u8,
    message_seq: u16,
    total_len: usize,
    offset: usize,
    fragment: &'a [u8],
}

/// The first handshake message of a record of epoch 0; `None` if the record is another, `Some(None)` if the message is malformed.
fn handshake(record: &[u8]) -> Option<Option<Handshake<'_>>> {
    if record.first() != Some(&HANDSHAKE) || record.get(3..5) != Some(&[0, 0]) {
        return None;
    }
    let parse = || {
        let body = record.get(HEADER_LEN..)?;
        let (header, rest) = body.split_first_chunk::<HANDSHAKE_HEADER_LEN>()?;
        let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte));
        let (total_len, offset, fragment_len) = (number(&header[1..4]), number(&header[6..9]), number(&header[9..12]));
        Some(Handshake {
            message_type: header[0],
            message_seq: u16::from_be_bytes([header[4], header[5]]),
            total_len,
            offset,
            fragment: rest.get(..fragment_len).filter(|_| offset + fragment_len <= total_len)?,
        })
    };
    Some(parse())
}

/// Whether a record may be handed on while nothing is authenticated: no handshake message in clear that no handshake has. One that is not
/// may be anybody's, and the library would take it for the end.
pub(super) fn is_plausible(record: &[u8]) -> bool {
    let Some(message) = handshake(record) else { return true };
    message.is_some_and(|message| {
        // RFC 5246, RFC 6347 and RFC 8446: the types that there are before encryption.
        let is_known = matches!(message.message_type, 0..=4 | 8 | 11..=16 | 20);
        is_known && message.total_len <= HELLO_LEN_MAX && message.message_seq < MESSAGES_MAX && message.is_sound_server_hello()
    })
}

/// What the hello of a client is known by, if this record begins one.
pub(super) fn client_hello_random(record: &[u8]) -> Option<HelloRandom> {
    let message = handshake(record)??;
    let is_first = message.message_type == CLIENT_HELLO && message.offset == 0;
    // After the version.
    message.fragment.get(2..34).filter(|_| is_first)?.try_into().ok()
}

impl Handshake<'_> {
    /// True for anything but a server's hello of which an extension says that it has what it has not.
    fn is_sound_server_hello(&self) -> bool {
        self.message_type != SERVER_HELLO
            || self.offset != 0
            || self.fragment.len() != self.total_len
            || self.extensions_are_whole().is_some()
    }

    fn extensions_are_whole(&self) -> Option<()> {
        // Version and random; session id; suite and compression.
        let (_, rest) = self.fragment.split_at_checked(34)?;
        let (id_len, rest) = rest.split_first()?;
        let rest = rest.get(usize::from(*id_len) + 3..)?;
        if rest.is_empty() {
            return Some(());
        }
        let (length, mut extensions) = rest.split_first_chunk::<2>()?;
        if usize::from(u16::from_be_bytes(*length)) != extensions.len() {
            return None;
        }
        while !extensions.is_empty() {
            let (header, after) = extensions.split_first_chunk::<4>()?;
            let (kind, length) = (u16::from_be_bytes([header[0], header[1]]), u16::from_be_bytes([header[2], header[3]]));
            let (data, next) = after.split_at_checked(usize::from(length))?;
            if kind == SUPPORTED_VERSIONS && data.len() != 2 {
                return None;
            }
            extensions = next;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(message: &[u8]) -> Vec<u8> {
        let mut record = vec![HANDSHAKE, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0];
        record.extend((message.len() as u16).to_be_bytes());
        record.extend(message);
        record
    }

    fn message(kind: u8, seq: u16, body: &[u8]) -> Vec<u8> {
        let length = &(body.len() as u32).to_be_bytes()[1..];
        [&[kind], length, &seq.to_be_bytes(), &[0; 3], length, body].concat()
    }

    fn server_hello(extensions: &[u8]) -> Vec<u8> {
        let length = (extensions.len() as u16).to_be_bytes();
        message(SERVER_HELLO, 0, &[&[0xfe, 0xfd], &[7; 32][..], &[0], &[0x13, 1, 0], &length, extensions].concat())
    }

    #[test]
    fn every_datagram_comes_apart_and_nothing_is_lost() {
        let kinds: [&[u8]; 5] =
            [&plain(b"abc"), &[0x2c, 0, 9, 0, 3, 1, 2, 3], &[0x24, 9, 0, 2, 1, 2], &plain(b""), &[0x2c, 0, 9, 0, 0]];
        for first in kinds {
            for second in kinds {
                // A record whose header has no length goes to the end.
                for third in [&[0x28, 0, 9, 1, 2][..], &[0x20, 9, 1], &[22, 1, 2], &[0x30, 5, 5], b""] {
                    let datagram = [first, second, third].concat();
                    let apart: Vec<&[u8]> = records(&datagram).collect();
                    let expected: Vec<&[u8]> = [first, second, third].into_iter().filter(|record| !record.is_empty()).collect();
                    assert_eq!(apart, expected);
                    for len in 0..datagram.len() {
                        let joined: Vec<u8> = records(&datagram[..len]).flatten().copied().collect();
                        assert_eq!(joined, datagram[..len]);
                    }
                }
            }
        }
    }

    #[test]
    fn a_clients_hello_is_known_by_its_random() {
        let body = [&[0xfe, 0xfd], &[9; 32][..], &[0]].concat();
        let hello = plain(&message(CLIENT_HELLO, 0, &body));
        assert_eq!(client_hello_random(&hello), Some([9; 32]));
        assert!(is_plausible(&hello));
        for len in 0..HEADER_LEN + HANDSHAKE_HEADER_LEN + body.len() {
            assert_eq!(client_hello_random(&hello[..len]), None, "{len}");
        }
        assert_eq!(client_hello_random(&plain(&message(SERVER_HELLO, 0, &body))), None);
        let mut encrypted = hello.clone();
        encrypted[4] = 1;
        assert_eq!(client_hello_random(&encrypted), None);
    }

    #[test]
    fn what_no_handshake_has_is_not_plausible() {
        for kind in 0..=255 {
            let known = [0, 1, 3, 4, 8, 11, 12, 13, 14, 15, 16, 20];
            assert_eq!(is_plausible(&plain(&message(kind, 0, b"x"))), known.contains(&kind), "{kind}");
        }
        assert!(!is_plausible(&plain(&message(CLIENT_HELLO, MESSAGES_MAX, b"x"))));
        assert!(!is_plausible(&plain(&message(CLIENT_HELLO, 0, &[0; HELLO_LEN_MAX + 1]))));
        let hello = plain(&message(CLIENT_HELLO, 0, &[1; 40]));
        for len in 5..hello.len() {
            assert!(!is_plausible(&hello[..len]), "{len}");
        }
        // A fragment that goes past its message.
        let mut beyond = hello.clone();
        beyond[HEADER_LEN + 8] = 1;
        assert!(!is_plausible(&beyond));
        // Not a handshake, or not in clear.
        assert!(is_plausible(&[20, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 1]));
        assert!(is_plausible(&[22, 0xfe, 0xfd, 0, 1, 0]));
    }

    #[test]
    fn a_servers_hello_has_what_it_says() {
        let versions = [0, 43, 0, 2, 0xfe, 0xfc];
        let share = [0, 51, 0, 3, 1, 2, 3];
        for extensions in
            [&[][..], &versions, &share, &[versions.as_slice(), &share].concat(), &[share.as_slice(), &versions].concat()]
        {
            let sound = server_hello(extensions);
            assert!(is_plausible(&plain(&sound)), "{extensions:?}");
            for len in 1..extensions.len() {
                let is_whole = len == versions.len() && extensions.starts_with(&versions)
                    || len == share.len() && extensions.starts_with(&share);
                assert_eq!(is_plausible(&plain(&server_hello(&extensions[..len]))), is_whole, "{len} of {extensions:?}");
            }
        }
        assert!(!is_plausible(&plain(&server_hello(&[0, 43, 0, 0]))));
        assert!(!is_plausible(&plain(&server_hello(&[0, 43, 0, 3, 1, 2, 3]))));
    }
}
