//! What holds of any bytes: fuzz targets, property tests and corpus tests share these bodies.

use super::{
    Crypto, DESCRIPTION_LEN_MAX, Description, DescriptionError, Direction, Format, KeyChange, Kind, Local, LocalStream, Security,
    Transport, answer,
};
use crate::dtls::{Fingerprint, FingerprintHash};
use crate::srtp::{Profile, Session};
use std::net::{Ipv4Addr, SocketAddr};

/// An offer from anyone: it is refused, or reads back as it was written; and its answer has its lines, in their order, none of them
/// less protected than what was asked for. The same offer once more changes no key and no role.
pub fn offer(bytes: &[u8]) {
    let Ok(offer) = Description::read(bytes) else { return };
    reads_back(&offer);
    let mut us = everything();
    let Ok((answered, negotiated)) = answer(&offer, &us) else { panic!("a first offer has an answer") };
    reads_back(&answered);
    assert_eq!((answered.lines().len(), negotiated.lines().len()), (offer.lines().len(), offer.lines().len()));
    for (line, agreed) in offer.lines().iter().zip(negotiated.lines()) {
        let (super::Line::Stream(stream), Ok(agreed)) = (line, agreed.agreed()) else { continue };
        assert_eq!(stream.protocol().is_secure(), agreed.transport().is_secure());
        assert_eq!(stream.kind(), agreed.kind());
        assert!(!agreed.direction().sends() || stream.direction().receives());
        match agreed.transport() {
            Transport::Sdes { policy, sending, receiving, change } => {
                Session::new().key(policy, sending, receiving).expect("keys that were agreed on");
                assert_eq!(*change, KeyChange::Begins);
            }
            Transport::Dtls { is_new, .. } => assert!(is_new),
            Transport::Clear => {}
        }
    }
    us.settle(&negotiated);
    let Ok((_, again)) = answer(&offer, &us) else { panic!("what was answered once has an answer") };
    for (before, now) in negotiated.lines().iter().zip(again.lines()) {
        let (Ok(before), Ok(now)) = (before.agreed(), now.agreed()) else {
            assert!(before.agreed().is_err() && now.agreed().is_err());
            continue;
        };
        match (before.transport(), now.transport()) {
            (Transport::Dtls { role: before, .. }, Transport::Dtls { role, is_new, .. }) => {
                assert_eq!((role, *is_new), (before, false))
            }
            (Transport::Sdes { sending: before, .. }, Transport::Sdes { sending, change, .. }) => {
                assert_eq!(*change, KeyChange::Unchanged);
                assert!(before.iter().zip(sending).all(|(before, now)| before.is_same_key(now)));
            }
            (Transport::Clear, Transport::Clear) => {}
            pair => panic!("another way than before: {pair:?}"),
        }
    }
}

/// The value of any `a=crypto` line: it is refused, or reads back as it was written, and where its policy is one of ours, its keys are
/// for it.
pub fn crypto(bytes: &[u8]) {
    let Ok(value) = std::str::from_utf8(bytes) else { return };
    let Ok(crypto) = value.parse::<Crypto>() else { return };
    let written = crypto.value();
    assert_eq!(written.parse().as_ref(), Ok(&crypto));
    assert!(written.len() <= 2 * value.len() + 64, "what is written grows past what was read");
    let keys = crypto.master_keys().expect("lengths that were checked");
    if let Ok(policy) = crypto.policy() {
        Session::new().key(&policy, &keys, &keys).expect("a policy and the keys of its line");
    }
}

/// Unless it grew past what is read: an attribute of all lines is written with each of them.
fn reads_back(description: &Description) {
    let written = description.write();
    let read = Description::read(&written);
    match read {
        Err(DescriptionError::TooLong { .. }) => assert!(written.len() > DESCRIPTION_LEN_MAX),
        Err(DescriptionError::TooMany { what: "lines of text", limit }) => {
            assert!(written.split(|byte| *byte == b'\n').count() > limit);
        }
        read => assert_eq!(read.as_ref(), Ok(description), "{}", String::from_utf8_lossy(&written)),
    }
}

/// A side that takes whatever can be taken.
fn everything() -> Local {
    let fingerprint = Fingerprint::of(FingerprintHash::Sha256, b"a certificate");
    let security = Security::dtls(fingerprint).or_sdes(&Profile::ALL).or_clear();
    let opus = Format::new(111, "opus", 48_000, 2).and_then(|opus| opus.with_parameters("useinbandfec=1"));
    let audio = vec![opus.expect("opus as RFC 7587 has it"), Format::pcmu(), Format::pcma()];
    let video = vec![Format::new(96, "VP8", 90_000, 1).expect("VP8 as RFC 7741 has it")];
    let stream = |kind, port, formats| {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut stream = LocalStream::new(kind, address, formats, security.clone()).expect("a port and formats");
        stream.set_direction(Direction::SendReceive);
        stream
    };
    let streams = vec![stream(Kind::Audio, 4000, audio), stream(Kind::Video, 4002, video)];
    Local::new(1, Ipv4Addr::LOCALHOST.into(), streams).expect("two streams")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn corpus(name: &str) -> Vec<Vec<u8>> {
        let files = std::cell::RefCell::default();
        crate::corpus::each(name, |bytes| Vec::push(&mut *files.borrow_mut(), bytes.to_vec()));
        files.into_inner()
    }

    #[test]
    fn the_corpora_hold() {
        crate::corpus::each("sdp_offer", offer);
        crate::corpus::each("sdes_attribute", crypto);
    }

    /// What is in the corpora is read, so that what is drawn from it goes deep.
    #[test]
    fn the_corpora_are_descriptions() {
        crate::corpus::each("sdp_offer", |bytes| {
            let offer = Description::read(bytes).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(bytes)));
            assert!(!offer.lines().is_empty());
        });
    }

    /// A corpus's file with some of its bytes written over, cut out or doubled, or others' pieces put in.
    fn harmed(name: &'static str) -> impl Strategy<Value = Vec<u8>> {
        let files = corpus(name);
        let edit = (any::<prop::sample::Index>(), 0..4_u8, any::<u8>(), any::<prop::sample::Index>());
        (proptest::sample::select(files.clone()), proptest::sample::select(files), proptest::collection::vec(edit, 0..6))
            .prop_map(|(mut bytes, other, edits)| {
                for (at, edit, byte, from) in edits {
                    let at = at.index(bytes.len() + 1);
                    let from = from.index(other.len());
                    let piece = &other[from..other.len().min(from + usize::from(byte))];
                    match edit {
                        0 if at < bytes.len() => bytes[at] = byte,
                        1 => drop(bytes.drain(at..(at + usize::from(byte % 16)).min(bytes.len()))),
                        _ => drop(bytes.splice(at..at, piece.iter().copied())),
                    }
                }
                bytes
            })
    }

    proptest! {
        #[test]
        fn an_offer_is_refused_or_answered(bytes in harmed("sdp_offer")) {
            offer(&bytes);
        }

        #[test]
        fn any_bytes_are_refused_or_read_back(bytes: Vec<u8>) {
            offer(&bytes);
            crypto(&bytes);
        }

        #[test]
        fn a_crypto_line_is_refused_or_reads_back(bytes in harmed("sdes_attribute")) {
            crypto(&bytes);
        }
    }
}
