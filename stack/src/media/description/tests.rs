//! Offers and answers between two sides, and what each refuses of the other.

use super::*;
use crate::buffer::Mbuf;
use crate::dtls::{Fingerprint, FingerprintHash, Role, Setup};
use crate::srtp::{KeyLifetime, Profile, Session};
use proptest::prelude::*;
use std::net::{Ipv4Addr, SocketAddr};

const SUITES: [Profile; 8] = [
    Profile::AesCm128HmacSha1_80,
    Profile::AesCm128HmacSha1_32,
    Profile::AesCm192HmacSha1_80,
    Profile::AesCm192HmacSha1_32,
    Profile::AesCm256HmacSha1_80,
    Profile::AesCm256HmacSha1_32,
    Profile::AeadAes128Gcm,
    Profile::AeadAes256Gcm,
];

/// RFC 4568 section 4: a key with its base64.
const KEY: &str = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";

fn address(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn fingerprint(of: &str) -> Fingerprint {
    Fingerprint::of(FingerprintHash::Sha256, of.as_bytes())
}

fn audio(security: Security) -> LocalStream {
    LocalStream::new(Kind::Audio, address(4000), vec![Format::pcmu(), Format::pcma()], security).unwrap()
}

fn video(security: Security) -> LocalStream {
    LocalStream::new(Kind::Video, address(4002), vec![Format::new(96, "VP8", 90_000, 1).unwrap()], security).unwrap()
}

fn side(streams: Vec<LocalStream>) -> Local {
    Local::new(1, Ipv4Addr::LOCALHOST.into(), streams).unwrap()
}

/// Over the wire and back.
fn sent(description: &Description) -> Description {
    let read = Description::read(&description.write()).unwrap();
    assert_eq!(&read, description);
    read
}

/// An offer, its answer, and what both sides have of it.
fn call(offerer: &Local, answerer: &Local) -> Result<(Negotiated, Negotiated), DescriptionError> {
    let offer = offerer.offer()?;
    let (answer, of_answerer) = answer(&sent(&offer), answerer)?;
    Ok((accept_answer(&offer, &sent(&answer), offerer)?, of_answerer))
}

fn keyed(transport: &Transport) -> Session {
    let Transport::Sdes { policy, sending, receiving, .. } = transport else { panic!("expected keys, got {transport:?}") };
    let session = Session::new();
    session.key(policy, sending, receiving).unwrap();
    session
}

/// Whether what one side protects is what the other takes.
fn hears(from: &Session, to: &Session, number: u8) -> bool {
    let plain = [0x80, 0, 0, number, 0, 0, 0, 0, 0, 0, 0, 7, 1, 2, 3, 4];
    let mut packet = Mbuf::copy_of(&plain, 0, 0);
    from.protect(&mut packet).unwrap();
    to.unprotect(&mut packet).is_ok() && packet.bytes() == plain
}

fn crypto_error(value: &str) -> CryptoError {
    value.parse::<Crypto>().unwrap_err()
}

/// The lines of one description in SDES: `v=` to `t=`, and what follows.
fn text(lines: &[&str]) -> Vec<u8> {
    let mut text = String::from("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n");
    lines.iter().for_each(|line| text.extend([*line, "\r\n"]));
    text.into_bytes()
}

fn read_error(lines: &[&str]) -> DescriptionError {
    Description::read(&text(lines)).unwrap_err()
}

/// Every two sides, each with any of the ways: they talk in the way that the offer has, if the other has it, and in clear only where
/// clear was offered.
#[test]
fn every_two_sides_agree_or_say_why() {
    let ways = |which: u8, name| {
        let mut security = Security::default();
        if which & 1 != 0 {
            security = security.or_clear();
        }
        if which & 2 != 0 {
            security = security.or_sdes(&SUITES);
        }
        if which & 4 != 0 {
            security = security.or_dtls(fingerprint(name));
        }
        security
    };
    for offers in 0..8_u8 {
        for answers in 0..8_u8 {
            let (offerer, answerer) = (side(vec![audio(ways(offers, "a"))]), side(vec![audio(ways(answers, "b"))]));
            let strongest = [4, 2, 1].into_iter().find(|way| offers & way != 0);
            let Some(way) = strongest else {
                assert_eq!(offerer.offer().unwrap_err(), DescriptionError::NoSecurity { line: 0 });
                continue;
            };
            let (of_offerer, of_answerer) = call(&offerer, &answerer).unwrap();
            let pair = (of_offerer.lines()[0].agreed(), of_answerer.lines()[0].agreed());
            let (Ok(ours), Ok(theirs)) = pair else {
                assert_eq!(answers & way, 0, "{pair:?}");
                assert_eq!(pair.0.unwrap_err(), &Refusal::ByPeer);
                continue;
            };
            assert_ne!(answers & way, 0);
            match (ours.transport(), theirs.transport()) {
                (Transport::Clear, Transport::Clear) => assert_eq!(way, 1),
                (Transport::Sdes { .. }, Transport::Sdes { .. }) => {
                    let (a, b) = (keyed(ours.transport()), keyed(theirs.transport()));
                    assert!(hears(&a, &b, 1) && hears(&b, &a, 1) && !hears(&a, &a, 2));
                    assert_eq!(way, 2);
                }
                (
                    Transport::Dtls { role: a, fingerprints: of_b, is_new: true },
                    Transport::Dtls { role: b, fingerprints: of_a, is_new: true },
                ) => {
                    assert_eq!((*a, *b, way), (Role::Server, Role::Client, 4));
                    assert!(of_b.matches(b"b") && of_a.matches(b"a"));
                }
                other => panic!("two sides with two ways: {other:?}"),
            }
        }
    }
}

/// Every two directions: neither side sends what the other does not want, and what both want goes.
#[test]
fn directions_are_each_other_s_mirror() {
    for wanted in Direction::ALL {
        for theirs in Direction::ALL {
            let (mut offerer, mut answerer) = (side(vec![audio(Security::clear())]), side(vec![audio(Security::clear())]));
            offerer.streams_mut().for_each(|stream| stream.set_direction(wanted));
            answerer.streams_mut().for_each(|stream| stream.set_direction(theirs));
            let (a, b) = call(&offerer, &answerer).unwrap();
            let (a, b) = (a.streams().next().unwrap().direction(), b.streams().next().unwrap().direction());
            assert_eq!(a, Direction::of(wanted.sends() && theirs.receives(), wanted.receives() && theirs.sends()));
            assert_eq!((a.sends(), a.receives()), (b.receives(), b.sends()));
        }
    }
}

/// Each way back to clear of a line that was protected: by our offer, by theirs, and by an answer.
#[test]
fn once_secure_never_clear() {
    for secure in [Security::sdes(&SUITES), Security::dtls(fingerprint("a"))] {
        let mut us = side(vec![audio(secure.clone())]);
        let (negotiated, _) = call(&us, &side(vec![audio(secure.clone())])).unwrap();
        us.settle(&negotiated);
        us.streams_mut().for_each(|stream| stream.set_security(secure.clone().or_clear()));
        let clear = side(vec![audio(Security::clear())]);
        let error = DescriptionError::ClearAfterSecure { line: 0, got: Protocol::RtpAvp };
        let in_clear = clear.offer().unwrap();
        assert_eq!(answer(&in_clear, &us).unwrap_err(), error);
        assert_eq!(accept_answer(&in_clear, &in_clear, &us).unwrap_err(), error);
        // It is refused for a while, and does not forget.
        let mut refusing = clear.clone();
        refusing.streams_mut().for_each(|stream| stream.set_off(true));
        let (refused, _) = call(&us, &refusing).unwrap();
        us.settle(&refused);
        us.streams_mut().for_each(|stream| stream.set_security(Security::clear()));
        assert_eq!(us.offer().unwrap_err(), error);
        assert_eq!(answer(&in_clear, &us).unwrap_err(), error);
    }
    let mut us = side(vec![audio(Security::clear())]);
    let (negotiated, _) = call(&us, &us).unwrap();
    us.settle(&negotiated);
    assert!(us.offer().is_ok(), "what was never secure may stay as it is");
}

/// An answer over another protocol than the offer's is none, whichever the two are.
#[test]
fn an_answer_keeps_the_protocol() {
    for security in [Security::clear(), Security::sdes(&SUITES), Security::dtls(fingerprint("a"))] {
        let us = side(vec![audio(security)]);
        let offer = us.offer().unwrap();
        let (answered, _) = answer(&offer, &us).unwrap();
        let Line::Stream(offered) = &offer.lines()[0] else { panic!("a stream was offered") };
        let own = offered.protocol().name();
        for protocol in Protocol::ALL.map(Protocol::name).into_iter().chain(["RTP/X"]) {
            let other =
                String::from_utf8(answered.write().to_vec()).unwrap().replace(&format!(" {own} "), &format!(" {protocol} "));
            let result = accept_answer(&offer, &Description::read(other.as_bytes()).unwrap(), &us);
            assert_eq!(result.is_ok(), own == protocol);
            if let Err(error) = result {
                assert_eq!(error, DescriptionError::Protocol { line: 0, expected: offered.protocol() });
            }
        }
    }
}

/// Answers to an SDES offer that take nothing of it, too much, or something else.
#[test]
fn an_answer_takes_one_line_that_was_offered() {
    let us = side(vec![audio(Security::sdes(&SUITES[..2]))]);
    let offer = us.offer().unwrap();
    let accept = |lines: &[&str]| {
        let lines = [&["m=audio 5000 RTP/SAVP 0"], lines].concat();
        accept_answer(&offer, &Description::read(&text(&lines)).unwrap(), &us).map(|_| ())
    };
    let one = format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}");
    assert_eq!(accept(&[&one]), Ok(()));
    assert_eq!(accept(&[]), Err(DescriptionError::CryptoCount { line: 0, got: 0 }));
    let two = one.replace(":1 ", ":2 ").replace("_80", "_32");
    assert_eq!(accept(&[&one, &two]), Err(DescriptionError::CryptoCount { line: 0, got: 2 }));
    let unknown = "a=crypto:3 F8_128_HMAC_SHA1_80 inline:AA";
    assert_eq!(accept(&[&one, unknown]), Err(DescriptionError::CryptoCount { line: 0, got: 2 }));
    assert_eq!(accept(&[&one.replace(":1 ", ":3 ")]), Err(DescriptionError::CryptoChoice { line: 0, tag: 3 }));
    assert_eq!(accept(&[&one.replace(":1 ", ":2 ")]), Err(DescriptionError::CryptoChoice { line: 0, tag: 2 }));
    let weak = CryptoError::Weakens { name: "UNENCRYPTED_SRTCP".into() };
    assert_eq!(accept(&[&format!("{one} UNENCRYPTED_SRTCP")]), Err(DescriptionError::Crypto { line: 0, error: weak }));
    let rate = CryptoError::Unsupported { name: "KDR".into() };
    assert_eq!(accept(&[&format!("{one} KDR=5")]), Err(DescriptionError::Crypto { line: 0, error: rate }));
    let Line::Stream(stream) = &offer.lines()[0] else { panic!("a stream was offered") };
    let own = format!("a=crypto:{}", stream.crypto()[0].value().as_str());
    assert_eq!(accept(&[&own]), Err(DescriptionError::Crypto { line: 0, error: CryptoError::KeyTwice }));
}

/// Answers with something else in a line's place, on in one that was off, or with none of the formats.
#[test]
fn an_answer_has_the_offer_s_lines() {
    let us = side(vec![audio(Security::clear())]);
    let offer = us.offer().unwrap();
    let accept = |line: &str| accept_answer(&offer, &Description::read(&text(&[line])).unwrap(), &us);
    let negotiated = accept("m=audio 5000 RTP/AVP 9 0").unwrap();
    let formats = negotiated.streams().next().unwrap().formats();
    assert_eq!(formats, [AgreedFormat { receiving: Format::pcmu(), sending: Format::pcmu() }]);
    let error = |line: &str| accept(line).unwrap_err();
    assert_eq!(error("m=audio 5000 RTP/AVP 9"), DescriptionError::NoCommonFormat { line: 0 });
    assert_eq!(error("m=audio 5000 RTP/AVP 99"), DescriptionError::NoCommonFormat { line: 0 });
    for line in ["m=video 5000 RTP/AVP 31", "m=video 0 RTP/AVP 31", "m=text 0 RTP/AVP 31"] {
        assert_eq!(error(line), DescriptionError::Kind { line: 0, expected: Kind::Audio }, "{line}");
    }
    let mut us = us.clone();
    us.streams_mut().for_each(|stream| stream.set_off(true));
    let off = us.offer().unwrap();
    for line in ["m=audio 5000 RTP/AVP 0", "m=audio 5000 RTP/X 0"] {
        let result = accept_answer(&off, &Description::read(&text(&[line])).unwrap(), &us);
        assert_eq!(result.unwrap_err(), DescriptionError::Malformed { line: 0, what: "port 0, as it was offered" });
    }
}

/// What a program puts together is checked as what is read is.
#[test]
fn a_crypto_line_of_ours_is_one_that_can_be_read() {
    let key = InlineKey::random(SUITES[0]);
    let new = |profile, parameter: Option<SessionParameter>| {
        Crypto::new(1, profile, vec![key.clone()], parameter.into_iter().collect()).unwrap_err()
    };
    assert!(matches!(new(SUITES[1], None), CryptoError::Srtp(crate::srtp::SrtpError::KeyProfile { .. })));
    let null = Profile::NullHmacSha1_80;
    assert_eq!(new(null, None), CryptoError::Suite { got: null.name().into() });
    let text = |text: &str| SessionParameter::Extension { is_optional: false, text: text.into() };
    let rate = SessionParameter::KeyDerivationRate { exponent: 25 };
    let window = SessionParameter::WindowSizeHint { packets: 63 };
    for wrong in [rate, window, text("a b"), text("a\r\nb"), text(""), text("-a"), text("WSH=64"), text("UNENCRYPTED_SRTP")] {
        let shown = format!("{wrong:?}");
        assert!(matches!(new(SUITES[0], Some(wrong)), CryptoError::Malformed { .. } | CryptoError::Parameter { .. }), "{shown}");
    }
    let nothing = side(vec![audio(Security::sdes(&[null, Profile::NullHmacSha1_32]))]);
    assert_eq!(nothing.offer().unwrap_err(), DescriptionError::NoSecurity { line: 0 });
}

/// Lines keep their places through refusals, new lines of either side and lines that go.
#[test]
fn lines_keep_their_places() {
    let clear = Security::clear;
    let (mut a, mut b) = (side(vec![video(clear()), audio(clear())]), side(vec![audio(clear())]));
    let (of_a, of_b) = call(&a, &b).unwrap();
    assert_eq!(of_b.lines()[0].agreed().unwrap_err(), &Refusal::NoStream);
    assert_eq!(of_a.streams().map(Agreed::kind).collect::<Vec<_>>(), [Kind::Audio]);
    a.settle(&of_a);
    b.settle(&of_b);
    // The other side adds a line, after the two that there are; the first, which is not its own, stays off.
    b.add(audio(clear())).unwrap();
    a.add(audio(clear())).unwrap();
    let (of_b, of_a) = call(&b, &a).unwrap();
    let taken = |negotiated: &Negotiated| negotiated.lines().iter().map(|line| line.agreed().is_ok()).collect::<Vec<_>>();
    assert_eq!((taken(&of_a), taken(&of_b)), (vec![false, true, true], vec![false, true, true]));
    a.settle(&of_a);
    b.settle(&of_b);
    a.streams_mut().last().unwrap().set_off(true);
    let (of_a, of_b) = call(&a, &b).unwrap();
    assert_eq!((taken(&of_a), taken(&of_b)), (vec![false, true, false], vec![false, true, false]));
    let shorter = side(vec![audio(clear())]).offer().unwrap();
    assert_eq!(answer(&shorter, &a).unwrap_err(), DescriptionError::LineCount { expected: 3, got: 1 });
    let offer = a.offer().unwrap();
    assert_eq!(accept_answer(&offer, &shorter, &a).unwrap_err(), DescriptionError::LineCount { expected: 3, got: 1 });
}

#[test]
fn formats_are_those_that_both_have() {
    let formats = |formats: &[(u8, &str, u32, u8)]| -> Vec<Format> {
        formats.iter().map(|(number, name, rate_hz, channels)| Format::new(*number, name, *rate_hz, *channels).unwrap()).collect()
    };
    let stream = |formats| side(vec![LocalStream::new(Kind::Audio, address(4000), formats, Security::clear()).unwrap()]);
    let offerer = stream(formats(&[(111, "opus", 48_000, 2), (0, "PCMU", 8000, 1), (101, "telephone-event", 8000, 1)]));
    let answerer = stream(formats(&[(0, "PCMU", 8000, 1), (96, "OPUS", 48_000, 2), (97, "telephone-event", 48_000, 1)]));
    let (a, b) = call(&offerer, &answerer).unwrap();
    for side in [a, b] {
        let agreed = side.streams().next().unwrap();
        let numbers = |format: &AgreedFormat| (format.receiving.payload_type(), format.sending.payload_type());
        assert_eq!(agreed.formats().iter().map(numbers).collect::<Vec<_>>(), [(111, 111), (0, 0)]);
    }
    // Key presses alone are no call.
    let other = stream(formats(&[(8, "PCMA", 8000, 1), (101, "telephone-event", 8000, 1)]));
    let (a, b) = call(&offerer, &other).unwrap();
    assert_eq!(b.lines()[0].agreed().unwrap_err(), &Refusal::NoCommonFormat);
    assert_eq!(a.lines()[0].agreed().unwrap_err(), &Refusal::ByPeer);
}

#[test]
fn what_an_offer_asks_too_much_is_refused() {
    let us = side(vec![audio(Security::sdes(&SUITES).or_dtls(fingerprint("a")).or_clear())]);
    let refusal = |lines: &[&str]| {
        let (answered, negotiated) = answer(&Description::read(&text(lines)).unwrap(), &us).unwrap();
        assert!(matches!(&answered.lines()[0], Line::Other(other) if other.port() == 0));
        negotiated.lines()[0].agreed().unwrap_err().clone()
    };
    let (savp, one) = ("m=audio 5000 RTP/SAVP 0", format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}"));
    assert_eq!(refusal(&["m=audio 5000 RTP/AVP 0", &one]), Refusal::KeysInClear { got: Protocol::RtpAvp });
    assert_eq!(refusal(&[savp]), Refusal::NoKeys);
    assert_eq!(refusal(&["m=audio 5000 UDP/TLS/RTP/SAVP 0"]), Refusal::NoKeys);
    assert_eq!(refusal(&["m=audio 5000 UDP/TLS/RTP/SAVP 0", &one]), Refusal::NoKeys);
    for name in ["UNENCRYPTED_SRTP", "UNENCRYPTED_SRTCP", "UNAUTHENTICATED_SRTP"] {
        assert_eq!(refusal(&[savp, &format!("{one} {name}")]), Refusal::Crypto(CryptoError::Weakens { name: name.into() }));
    }
    for (parameter, name) in
        [("FEC_ORDER=FEC_SRTP".to_owned(), "FEC_ORDER"), (format!("FEC_KEY=inline:{KEY}"), "FEC_KEY"), ("X=1".into(), "X")]
    {
        let error = CryptoError::Unsupported { name: name.into() };
        assert_eq!(refusal(&[savp, &format!("{one} {parameter}")]), Refusal::Crypto(error));
    }
    let held = format!("a=fingerprint:{}", fingerprint("b"));
    assert!(matches!(refusal(&["m=audio 5000 UDP/TLS/RTP/SAVP 0", &held, "a=setup:holdconn"]), Refusal::Setup(_)));
}

/// Of several lines the first that can be taken is, with its tag, lifetime and rate; what is optional is no reason to refuse it.
#[test]
fn the_first_line_that_will_do_is_taken() {
    let us = side(vec![audio(Security::sdes(&SUITES[..2]))]);
    let offer = text(&[
        "m=audio 5000 RTP/SAVPF 0",
        "a=crypto:1 F8_128_HMAC_SHA1_80 inline:AA",
        &format!("a=crypto:7 AES_CM_128_HMAC_SHA1_80 inline:{KEY} UNENCRYPTED_SRTP"),
        &format!("a=crypto:5 AES_CM_128_HMAC_SHA1_32 inline:{KEY}|2^20|1:4 KDR=3 WSH=200 -X"),
    ]);
    let (answered, negotiated) = answer(&Description::read(&offer).unwrap(), &us).unwrap();
    let Line::Stream(stream) = &answered.lines()[0] else { panic!("{negotiated:?}") };
    let [crypto] = stream.crypto() else { panic!("one line") };
    assert_eq!((crypto.tag(), crypto.profile(), crypto.lifetime_packets()), (5, SUITES[1], Some(1 << 20)));
    let agreed = negotiated.streams().next().unwrap();
    let Transport::Sdes { policy, .. } = agreed.transport() else { panic!("{agreed:?}") };
    let expected = crate::srtp::Policy::new(SUITES[1]).unwrap().key_derivation_rate(8).unwrap().window_packets(200).unwrap();
    let lifetime = KeyLifetime { rtp_packets: 1 << 20, rtcp_packets: 1 << 20 };
    assert_eq!(policy, &expected.lifetime(lifetime).unwrap());
}

#[test]
fn a_crypto_line_that_is_wrong_says_how() {
    let suite = "AES_CM_128_HMAC_SHA1_80";
    for tag in ["", "-1", "+1", "01", "1000000000", "x"] {
        assert_eq!(crypto_error(&format!("{tag} {suite} inline:{KEY}")), CryptoError::Tag, "{tag}");
    }
    assert_eq!(
        crypto_error(&format!("1 NULL_HMAC_SHA1_80 inline:{KEY}")),
        CryptoError::Suite { got: "NULL_HMAC_SHA1_80".into() }
    );
    assert_eq!(crypto_error(&format!("1 {suite} uri:{KEY}")), CryptoError::KeyMethod);
    assert_eq!(crypto_error(&format!("1 {suite} inline:{}*", &KEY[1..])), CryptoError::Base64);
    for lifetime in ["0", "2^49", "2^64", "2^99999999999", "281474976710657", "020", "2^", "", "-1"] {
        assert_eq!(crypto_error(&format!("1 {suite} inline:{KEY}|{lifetime}")), CryptoError::Lifetime, "{lifetime}");
    }
    for length in [0, 129, 100_000] {
        let error = CryptoError::MkiLength { expected_max: 128, got: length };
        assert_eq!(crypto_error(&format!("1 {suite} inline:{KEY}|1:{length}")), error);
    }
    assert_eq!(crypto_error(&format!("1 {suite} inline:{KEY}|256:1")), CryptoError::MkiNumber { length: 1 });
    assert_eq!(crypto_error(&format!("1 {suite} inline:{KEY}|1:4|x")), CryptoError::Malformed { part: "what follows the MKI" });
    let other = format!("e{}", &KEY[1..]);
    let two = |a: &str, b: &str| crypto_error(&format!("1 {suite} inline:{KEY}{a};inline:{b}"));
    assert_eq!(two("", &other), CryptoError::MkiLengths { expected: 0, got: 0 });
    assert_eq!(two("|1:4", &format!("{other}|2:3")), CryptoError::MkiLengths { expected: 4, got: 3 });
    assert_eq!(two("|1:4", &format!("{other}|1:4")), CryptoError::KeyTwice);
    assert_eq!(two("|1:4", &format!("{KEY}|2:4")), CryptoError::KeyTwice);
    let parameter = |text: &str| crypto_error(&format!("1 {suite} inline:{KEY} {text}"));
    for text in ["KDR=25", "KDR=-1", "WSH=63", "WSH=256", "FEC_ORDER=X", "FEC_ORDER"] {
        assert!(matches!(parameter(text), CryptoError::Parameter { .. }), "{text}");
    }
    assert_eq!(parameter("KDR=1 KDR=2"), CryptoError::ParameterTwice { name: "KDR".into() });
    assert!(matches!(parameter("UNENCRYPTED_SRTP=1"), CryptoError::Malformed { .. }));
    assert_eq!(parameter(&(0..17).map(|n| format!("X{n} ")).collect::<String>()), CryptoError::TooManyParameters { limit: 16 });
    let keys: Vec<String> = (0..33).map(|n| format!("inline:{}{}|{n}:4", char::from(b'A' + n % 26), &KEY[1..])).collect();
    assert_eq!(crypto_error(&format!("1 {suite} {}", keys.join(";"))), CryptoError::TooManyKeys { limit: 32 });
}

/// Each suite with each length of a key but its own.
#[test]
fn a_key_has_its_suite_s_length() {
    use base64::Engine;
    for profile in SUITES {
        let expected = profile.key_len() + profile.salt_len();
        for got in 0..100_usize {
            let key = base64::engine::general_purpose::STANDARD.encode(vec![7; got]);
            let result = format!("1 {profile} inline:{key}").parse::<Crypto>();
            match result {
                Ok(crypto) => assert_eq!((crypto.master_keys().unwrap().len(), got), (1, expected)),
                Err(error) => assert_eq!(error, CryptoError::KeyLength { profile, expected, got }),
            }
        }
    }
}

#[test]
fn a_description_that_is_wrong_says_how() {
    let audio = "m=audio 5000 RTP/AVP 0";
    let malformed = |what| DescriptionError::Malformed { line: 0, what };
    assert_eq!(read_error(&["m=audio 5000 RTP/AVP x"]), malformed("payload types"));
    assert_eq!(read_error(&["m=audio 5000/2 RTP/AVP 0"]), malformed("one port"));
    assert_eq!(read_error(&["m=audio 65535 RTP/AVP 0"]), malformed("a port for RTCP"));
    assert_eq!(read_error(&[audio, "a=rtcp:0"]), malformed("a port for RTCP"));
    for address in ["example.org", "239.1.2.3", "ff02::1", "127.0.0.1/5"] {
        assert_eq!(read_error(&[audio, &format!("c=IN IP4 {address}")]), malformed("c= with a unicast address"));
    }
    assert!(matches!(read_error(&["m=audio 65536 RTP/AVP 0"]), DescriptionError::Syntax { .. }));
    assert_eq!(read_error(&["m=audio 5000 RTP/AVP 0 0"]), DescriptionError::Twice { line: 0, what: "a payload type" });
    assert_eq!(read_error(&["m=audio 5000 RTP/AVP 300"]), DescriptionError::PayloadType { got: 300 });
    assert_eq!(read_error(&["m=audio 5000 RTP/AVP 72", "a=rtpmap:72 X/8000"]), DescriptionError::PayloadType { got: 72 });
    for (map, expected) in [("PCMU/16000", 8000), ("opus/8000/2", 48_000), ("VP8/8000", 90_000)] {
        let error = read_error(&["m=audio 5000 RTP/AVP 96", &format!("a=rtpmap:96 {map}")]);
        assert!(matches!(error, DescriptionError::ClockRate { payload_type: 96, expected_hz, .. } if expected_hz.0 == expected));
    }
    let error = read_error(&["m=audio 5000 RTP/AVP 96", "a=rtpmap:96 X/0"]);
    assert_eq!(error, DescriptionError::ClockRate { payload_type: 96, expected_hz: (1, CLOCK_RATE_HZ_MAX), got_hz: 0 });
    let error = read_error(&["m=audio 5000 RTP/AVP 96", "a=rtpmap:96 opus/48000"]);
    assert_eq!(error, DescriptionError::Channels { payload_type: 96, expected: 2, got: 1 });
    assert!(matches!(read_error(&[audio, "a=fingerprint:sha-256 AB"]), DescriptionError::Fingerprint { line: 0, .. }));
    assert!(matches!(read_error(&[audio, "a=fingerprint:sha-1 AB"]), DescriptionError::Fingerprint { line: 0, .. }));
    assert!(matches!(read_error(&[audio, "a=setup:no"]), DescriptionError::Setup { line: 0, .. }));
    assert_eq!(read_error(&[audio, "a=sendonly", "a=inactive"]), DescriptionError::Twice { line: 0, what: "a direction" });
    let one = format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}");
    assert_eq!(read_error(&[audio, &one, &one]), DescriptionError::TagTwice { line: 0, tag: 1 });
}

/// Each limit: what is at it is read, and one more is not.
#[test]
fn limits_are_where_they_are_said_to_be() {
    let many = |what, limit: usize, lines: &dyn Fn(usize) -> Vec<u8>| {
        Description::read(&lines(limit)).unwrap();
        assert_eq!(Description::read(&lines(limit + 1)).unwrap_err(), DescriptionError::TooMany { what, limit });
    };
    let repeat = |first: &str, line: &dyn Fn(usize) -> String, count: usize| {
        let lines: Vec<String> = std::iter::once(first.to_owned()).chain((0..count).map(line)).collect();
        text(&lines.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let audio = "m=audio 5000 RTP/SAVP 0";
    many("lines of media", MEDIA_MAX, &|count| repeat("a=x", &|_| audio.into(), count));
    many("sources", SOURCES_MAX, &|count| repeat(audio, &|ssrc| format!("a=ssrc:{ssrc}"), count));
    let crypto = |tag| format!("a=crypto:{tag} AES_CM_128_HMAC_SHA1_80 inline:{KEY}");
    many("a=crypto lines", CRYPTO_LINES_MAX, &|count| repeat(audio, &crypto, count));
    let numbers = |count: usize| (0..count).map(|number| format!(" {number}")).collect::<String>();
    many("formats", FORMATS_MAX, &|count| text(&[&format!("m=audio 5000 RTP/AVP{}", numbers(count))]));
    // Six lines stand before, one of them after the last end.
    many("lines of text", TEXT_LINES_MAX, &|count| repeat("a=x", &|_| "a=y".into(), count - 7));
    let long = |len: usize| {
        let rest = len - text(&["a="]).len();
        text(&[&format!("a={}", "x".repeat(rest))])
    };
    assert!(Description::read(&long(DESCRIPTION_LEN_MAX)).is_ok());
    let error = DescriptionError::TooLong { limit: DESCRIPTION_LEN_MAX, got: DESCRIPTION_LEN_MAX + 1 };
    assert_eq!(Description::read(&long(DESCRIPTION_LEN_MAX + 1)).unwrap_err(), error);
}

/// Every two sides of which each shares a port for RTCP or not: they do if both do, and each knows where the other's is.
#[test]
fn rtcp_goes_where_both_say() {
    for (ours, theirs) in [(true, true), (true, false), (false, true), (false, false)] {
        let stream = |shares: bool| if shares { audio(Security::clear()) } else { audio(Security::clear()).without_rtcp_mux() };
        let (a, b) = call(&side(vec![stream(ours)]), &side(vec![stream(theirs)])).unwrap();
        for side in [a, b] {
            let agreed = side.streams().next().unwrap();
            let port = if ours && theirs { 4000 } else { 4001 };
            assert_eq!((agreed.rtcp_mux(), agreed.remote_rtcp()), (ours && theirs, address(port)));
        }
    }
    let us = side(vec![audio(Security::clear()).without_rtcp_mux()]);
    let shares = Description::read(&text(&["m=audio 5000 RTP/AVP 0", "a=rtcp-mux"])).unwrap();
    assert_eq!(accept_answer(&us.offer().unwrap(), &shares, &us).unwrap_err(), DescriptionError::RtcpMux { line: 0 });
    let apart = Description::read(&text(&["m=audio 5000 RTP/AVP 0", "a=rtcp:7000 IN IP4 127.0.0.2"])).unwrap();
    let negotiated = accept_answer(&us.offer().unwrap(), &apart, &us).unwrap();
    assert_eq!(negotiated.streams().next().unwrap().remote_rtcp(), "127.0.0.2:7000".parse().unwrap());
}

/// Both directions have one policy: the shortest life of any key is that of all, in whichever description it stands.
#[test]
fn the_shortest_lifetime_is_that_of_both_directions() {
    let line = |lifetime: Option<u64>| {
        let key = InlineKey::random(SUITES[0]);
        let key = lifetime.map_or(key.clone(), |packets| key.with_lifetime(packets).unwrap());
        Crypto::new(1, SUITES[0], vec![key], Vec::new()).unwrap()
    };
    for (ours, theirs, shortest) in
        [(None, Some(9), 9), (Some(9), None, 9), (Some(9), Some(7), 7), (Some(7), Some(9), 7), (None, None, 1 << 48)]
    {
        let keying::Keyed { transport, .. } = keying::Keyed::sdes(&line(ours), &line(theirs), None).unwrap();
        let (rtp, rtcp) = keyed(&transport).packets_left().unwrap();
        assert_eq!((rtp, rtcp), (shortest, shortest.min(1 << 31)));
    }
}

#[test]
fn an_address_of_zeros_holds() {
    let us = side(vec![audio(Security::clear())]);
    let offer = Description::read(&text(&["m=audio 5000 RTP/AVP 0", "c=IN IP4 0.0.0.0"])).unwrap();
    let (_, negotiated) = answer(&offer, &us).unwrap();
    assert_eq!(negotiated.streams().next().unwrap().direction(), Direction::ReceiveOnly);
}

/// Before there was a protocol for it, and with attributes of all lines.
#[test]
fn dtls_over_the_protocol_of_sdes() {
    let fingerprint_b = format!("a=fingerprint:{}", fingerprint("b"));
    let offer = Description::read(&text(&[&fingerprint_b, "a=setup:passive", "a=recvonly", "m=audio 5000 RTP/SAVPF 0"])).unwrap();
    let us = side(vec![audio(Security::dtls(fingerprint("a")))]);
    let (answered, negotiated) = answer(&offer, &us).unwrap();
    let agreed = negotiated.streams().next().unwrap();
    assert_eq!(agreed.direction(), Direction::SendOnly);
    assert!(matches!(agreed.transport(), Transport::Dtls { role: Role::Client, fingerprints, .. } if fingerprints.matches(b"b")));
    let Line::Stream(stream) = &answered.lines()[0] else { panic!("it is taken") };
    assert_eq!((stream.protocol(), stream.setup()), (Protocol::RtpSavpf, Some(Setup::Active)));
}

#[test]
fn nothing_that_is_shown_has_a_key_in_it() {
    let mut us = side(vec![audio(Security::sdes(&SUITES))]);
    let offer = us.offer().unwrap();
    let (answered, negotiated) = answer(&offer, &us).unwrap();
    us.settle(&negotiated);
    let shown = format!("{offer:?} {answered:?} {negotiated:?} {us:?}");
    for line in offer.lines().iter().chain(answered.lines()) {
        let Line::Stream(stream) = line else { panic!("a stream") };
        for crypto in stream.crypto() {
            let value = crypto.value();
            let key = value.split("inline:").nth(1).unwrap();
            assert!(!shown.contains(key));
            let numbers = format!("{:?}", base64::Engine::decode(&base64::engine::general_purpose::STANDARD, key).unwrap());
            assert!(!shown.contains(numbers.trim_matches(['[', ']'])));
        }
    }
    let unknown = Description::read(&text(&["m=audio 1 RTP/SAVP 0", "a=crypto:1 OTHER inline:hidden"])).unwrap();
    assert!(!format!("{unknown:?}").contains("hidden"));
}

fn any_suite() -> impl Strategy<Value = Profile> {
    proptest::sample::select(&SUITES[..])
}

fn any_lifetime() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![Just(None), (0..=48_u32).prop_map(|power| Some(1 << power)), (1..=1_u64 << 48).prop_map(Some)]
}

proptest! {
    /// All suites, lifetimes and MKIs of every length, one key or several: they read back, and are keys of a session.
    #[test]
    fn any_crypto_line_of_ours_reads_back(
        profile in any_suite(),
        tag in 0..=TAG_MAX,
        lifetimes in proptest::collection::vec(any_lifetime(), 1..4),
        mki in proptest::collection::vec(any::<u8>(), 0..=crate::srtp::MKI_LEN_MAX),
        rate in proptest::option::of(0..=24_u8),
    ) {
        let count = if mki.is_empty() { 1 } else { lifetimes.len() };
        let keys: Vec<InlineKey> = lifetimes[..count].iter().enumerate().map(|(at, lifetime)| {
            let mut key = InlineKey::random(profile);
            if let Some(packets) = lifetime {
                key = key.with_lifetime(*packets).unwrap();
            }
            let mut mki = mki.clone();
            if let Some(last) = mki.last_mut() {
                *last = last.wrapping_add(at as u8);
                key = key.with_mki(&mki).unwrap();
            }
            key
        }).collect();
        let rate = rate.map(|exponent| SessionParameter::KeyDerivationRate { exponent });
        let crypto = Crypto::new(tag, profile, keys, rate.into_iter().collect()).unwrap();
        let value = crypto.value();
        prop_assert_eq!(value.parse::<Crypto>(), Ok(crypto.clone()));
        let keys = crypto.master_keys().unwrap();
        let policy = crypto.policy().unwrap();
        // One session has the keys as they were made, the other as they were read.
        let (near, far) = (Session::new(), Session::new());
        near.key(&policy, &keys, &keys).unwrap();
        let read = value.parse::<Crypto>().unwrap();
        far.key(&read.policy().unwrap(), &read.master_keys().unwrap(), &read.master_keys().unwrap()).unwrap();
        prop_assert!(hears(&near, &far, 1));
        prop_assert_eq!(near.overheads().unwrap().0, profile.rtp_tag_len() + mki.len());
        let shortest = lifetimes[..count].iter().flatten().min();
        prop_assert_eq!(crypto.lifetime_packets(), shortest.copied());
        prop_assert_eq!(near.packets_left().unwrap().1, shortest.copied().unwrap_or(1 << 31).min(1 << 31));
    }

    /// The number of an MKI is as many bytes as its length says.
    #[test]
    fn an_mki_is_a_number_of_its_length(number: u64, length in 8..40_usize) {
        let crypto: Crypto = format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|{number}:{length}").parse().unwrap();
        let mut expected = vec![0; length - 8];
        expected.extend(number.to_be_bytes());
        prop_assert_eq!(crypto.keys()[0].mki(), expected);
    }

    /// Any two sides with SDES suites in any order: they agree on one that both have, the first of the offer, or on nothing.
    #[test]
    fn suites_are_agreed_on(ours in proptest::collection::vec(any_suite(), 1..5), theirs in proptest::collection::vec(any_suite(), 1..5)) {
        let (a, b) = (side(vec![audio(Security::sdes(&ours))]), side(vec![audio(Security::sdes(&theirs))]));
        let (of_a, of_b) = call(&a, &b).unwrap();
        let expected = ours.iter().find(|profile| theirs.contains(profile));
        match (of_a.streams().next(), of_b.streams().next(), expected) {
            (Some(a), Some(b), Some(expected)) => {
                let Transport::Sdes { policy, .. } = a.transport() else { panic!("{a:?}") };
                prop_assert_eq!(policy.profile(), *expected);
                prop_assert!(hears(&keyed(a.transport()), &keyed(b.transport()), 1));
            }
            (None, None, None) => prop_assert_eq!(of_b.lines()[0].agreed().unwrap_err(), &Refusal::NoCommonSuite),
            other => panic!("{other:?}"),
        }
    }
}
