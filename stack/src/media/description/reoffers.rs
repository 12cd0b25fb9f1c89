//! What goes on from one offer to the next: roles and associations of DTLS, keys of SDES. Whoever offers, whatever changes.

use super::*;
use crate::buffer::Mbuf;
use crate::dtls::{Fingerprint, FingerprintHash, Role, Setup};
use crate::srtp::{Profile, Session};
use proptest::prelude::*;
use std::net::{Ipv4Addr, SocketAddr};

const SUITES: [Profile; 3] = [Profile::AeadAes256Gcm, Profile::AesCm128HmacSha1_80, Profile::AesCm256HmacSha1_32];

fn address(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn fingerprint(of: &str) -> Fingerprint {
    Fingerprint::of(FingerprintHash::Sha256, of.as_bytes())
}

fn side(port: u16, security: Security) -> Local {
    let stream = LocalStream::new(Kind::Audio, address(port), vec![Format::pcmu()], security).unwrap();
    Local::new(1, Ipv4Addr::LOCALHOST.into(), vec![stream]).unwrap()
}

fn stream(side: &mut Local) -> &mut LocalStream {
    side.streams_mut().next().unwrap()
}

/// Over a wire that may change the text.
fn sent(description: &Description, wire: &dyn Fn(String) -> String) -> Description {
    let text = String::from_utf8(description.write().to_vec()).unwrap();
    Description::read(wire(text).as_bytes()).unwrap()
}

fn without_names(text: String) -> String {
    text.split_inclusive("\r\n").filter(|line| !line.starts_with("a=tls-id:")).collect()
}

/// One side offers, the other answers, both settle. What each has, the offerer first.
fn exchange(offerer: &mut Local, answerer: &mut Local, wire: &dyn Fn(String) -> String) -> (Transport, Transport) {
    let offer = offerer.offer().unwrap();
    let (answered, of_answerer) = answer(&sent(&offer, wire), answerer).unwrap();
    let of_offerer = accept_answer(&offer, &sent(&answered, wire), offerer).unwrap();
    answerer.settle(&of_answerer);
    offerer.settle(&of_offerer);
    let transport = |negotiated: &Negotiated| negotiated.streams().next().unwrap().transport().clone();
    (transport(&of_offerer), transport(&of_answerer))
}

fn dtls(transport: &Transport) -> (Role, bool) {
    let Transport::Dtls { role, is_new, .. } = transport else { panic!("expected DTLS, got {transport:?}") };
    (*role, *is_new)
}

fn change(transport: &Transport) -> KeyChange {
    let Transport::Sdes { change, .. } = transport else { panic!("expected SDES, got {transport:?}") };
    *change
}

/// What happens to a side before an exchange.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Event {
    Nothing,
    Held,
    Renewed,
    Certified,
    /// Off for an exchange, and back.
    Away,
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![3 => Just(Event::Nothing), 1 => Just(Event::Held), 1 => Just(Event::Renewed), 1 => Just(Event::Certified), 1 => Just(Event::Away)]
}

/// One more exchange of a call: whether the first side offers, and what happened to each side before.
fn any_exchanges() -> impl Strategy<Value = Vec<(bool, Event, Event)>> {
    proptest::collection::vec((any::<bool>(), any_event(), any_event()), 1..8)
}

/// Does to a side what happens to it. Away is the exchange's.
fn happen(side: &mut Local, event: Event, certificates: &mut u32) {
    match event {
        Event::Nothing | Event::Away => {}
        Event::Held => stream(side).set_direction(Direction::Inactive),
        Event::Renewed => stream(side).renew_keys(),
        Event::Certified => {
            *certificates += 1;
            stream(side).set_security(Security::dtls(fingerprint(&certificates.to_string())));
        }
    }
}

/// An exchange in which the line is off, as this side has it.
fn away(a: &mut Local, b: &mut Local) {
    stream(a).set_off(true);
    let offer = a.offer().unwrap();
    let (answered, of_b) = answer(&offer, b).unwrap();
    let of_a = accept_answer(&offer, &answered, a).unwrap();
    assert!(of_a.streams().next().is_none() && of_b.streams().next().is_none());
    a.settle(&of_a);
    b.settle(&of_b);
    stream(a).set_off(false);
}

/// Every order of who offers in four exchanges, with names of associations and without: the roles are those of the first, and it is one
/// association.
#[test]
fn roles_stay_whoever_offers() {
    for orders in 0..16_u8 {
        for wire in [&(|text| text) as &dyn Fn(String) -> String, &without_names] {
            let mut a = side(4000, Security::dtls(fingerprint("a")));
            let mut b = side(5000, Security::dtls(fingerprint("b")));
            let mut first = None;
            for at in 0..4 {
                let of_a = match orders >> at & 1 {
                    0 => dtls(&exchange(&mut a, &mut b, wire).0),
                    _ => dtls(&exchange(&mut b, &mut a, wire).1),
                };
                assert_eq!(of_a, (*first.get_or_insert(of_a.0), at == 0), "{orders:04b}, exchange {at}");
            }
            // Who answered the first offer began the handshake.
            assert_eq!(first, Some(if orders & 1 == 0 { Role::Server } else { Role::Client }));
        }
    }
}

proptest! {
    /// Any exchanges: the roles are opposite, both sides agree whether it is a new association, and it is one exactly if something asked for
    /// it that the other side could see. While it goes on, so do the roles.
    #[test]
    fn both_sides_know_which_association_it_is(exchanges in any_exchanges(), names: [bool; 8]) {
        let mut certificates = 1;
        let mut a = side(4000, Security::dtls(fingerprint("0")));
        let mut b = side(5000, Security::dtls(fingerprint("1")));
        let mut before: Option<Role> = None;
        // Whether names were said of this association, and whether somebody asks for another: that is not forgotten without names.
        let (mut is_named, mut is_asked) = (false, false);
        for ((is_offered_by_a, of_a, of_b), has_names) in exchanges.into_iter().zip(names) {
            let wire: &dyn Fn(String) -> String = if has_names { &|text| text } else { &without_names };
            for (side, event) in [(&mut a, of_a), (&mut b, of_b)] {
                stream(side).set_direction(Direction::SendReceive);
                happen(side, event, &mut certificates);
            }
            let events = [of_a, of_b];
            if events.contains(&Event::Away) && before.is_some() {
                away(&mut a, &mut b);
                before = None;
            }
            let (in_a, in_b) = if is_offered_by_a {
                exchange(&mut a, &mut b, wire)
            } else {
                let (in_b, in_a) = exchange(&mut b, &mut a, wire);
                (in_a, in_b)
            };
            let ((role, is_new), (other, is_new_too)) = (dtls(&in_a), dtls(&in_b));
            prop_assert_ne!(role, other);
            prop_assert_eq!(is_new, is_new_too);
            is_asked |= events.contains(&Event::Renewed);
            let is_wanted = events.contains(&Event::Certified) || has_names && is_named && is_asked;
            prop_assert_eq!(is_new, before.is_none() || is_wanted);
            (is_named, is_asked) = if is_new { (has_names, false) } else { (is_named || has_names, is_asked) };
            if !is_new {
                prop_assert_eq!(Some(role), before);
            }
            before = Some(role);
            let Transport::Dtls { fingerprints, .. } = &in_a else { unreachable!("it was one") };
            prop_assert!(fingerprints.is_same_set(&b.streams_mut().next().unwrap().security.dtls.clone().unwrap().into()));
        }
    }

    /// Any exchanges: after each of them, both sides hear each other with the sessions that they had, treated as they were told; keys change
    /// exactly if somebody asked for it, and no key of a session that begins was ever sent under before.
    #[test]
    fn keys_stay_until_they_are_renewed(
        exchanges in any_exchanges(),
        ours in proptest::sample::subsequence(&SUITES[..], 1..=3).prop_shuffle(),
        theirs in Just(SUITES.to_vec()).prop_shuffle(),
    ) {
        let (mut a, mut b) = (side(4000, Security::sdes(&ours)), side(5000, Security::sdes(&theirs)));
        let (mut near, mut far) = (Session::new(), Session::new());
        let (mut is_first, mut number) = (true, 0);
        let mut used: Vec<crate::srtp::MasterKey> = Vec::new();
        for (is_offered_by_a, of_a, of_b) in exchanges {
            for (side, event) in [(&mut a, of_a), (&mut b, of_b)] {
                stream(side).set_direction(Direction::SendReceive);
                happen(side, if event == Event::Certified { Event::Renewed } else { event }, &mut 0);
            }
            let events = [of_a, of_b];
            if events.contains(&Event::Away) && !is_first {
                away(&mut a, &mut b);
                (near, far, is_first) = (Session::new(), Session::new(), true);
            }
            let (in_a, in_b) = if is_offered_by_a {
                exchange(&mut a, &mut b, &|text| text)
            } else {
                let (in_b, in_a) = exchange(&mut b, &mut a, &|text| text);
                (in_a, in_b)
            };
            prop_assert_eq!(change(&in_a), change(&in_b));
            let is_renewed = events.contains(&Event::Renewed) || events.contains(&Event::Certified);
            let expected = match (is_first, is_renewed) {
                (true, _) => KeyChange::Begins,
                (false, true) => KeyChange::Rekeyed,
                (false, false) => KeyChange::Unchanged,
            };
            // With other keys another suite may be the first that both have.
            let is_expected = change(&in_a) == expected || expected == KeyChange::Rekeyed && change(&in_a) == KeyChange::Begins;
            prop_assert!(is_expected, "{:?} for {:?}", change(&in_a), expected);
            is_first = false;
            for (session, transport, event) in [(&near, &in_a, of_a), (&far, &in_b, of_b)] {
                let asked = matches!(event, Event::Renewed | Event::Certified);
                let Transport::Sdes { policy, sending, receiving, change } = transport else { unreachable!("it was one") };
                let is_used = |key: &crate::srtp::MasterKey| used.iter().any(|before| before.is_same_key(key));
                match change {
                    KeyChange::Begins => prop_assert!(!sending.iter().any(is_used)),
                    // Who answers and asks changes its own.
                    KeyChange::Rekeyed => prop_assert!(!asked || !sending.iter().any(is_used)),
                    KeyChange::Unchanged => prop_assert!(sending.iter().all(is_used)),
                }
                match change {
                    KeyChange::Begins => session.key(policy, sending, receiving).unwrap(),
                    KeyChange::Rekeyed => session.rekey(sending, receiving).unwrap(),
                    KeyChange::Unchanged => {}
                }
            }
            for transport in [&in_a, &in_b] {
                let Transport::Sdes { sending, .. } = transport else { unreachable!("it was one") };
                used.extend(sending.iter().cloned());
            }
            number += 1;
            for (from, to) in [(&near, &far), (&far, &near)] {
                let plain = [0x80, 0, 0, number, 0, 0, 0, 0, 0, 0, 0, 7, 1, 2, 3, 4];
                let mut packet = Mbuf::copy_of(&plain, 0, 0);
                from.protect(&mut packet).unwrap();
                prop_assert!(to.unprotect(&mut packet).is_ok() && packet.bytes() == plain);
            }
        }
    }
}

/// The two sides after a first exchange that we offered.
fn called(ours: Security, theirs: Security) -> (Local, Local) {
    let (mut a, mut b) = (side(4000, ours), side(5000, theirs));
    exchange(&mut a, &mut b, &|text| text);
    (a, b)
}

/// An offer that leaves us only the other role, and an answer that turns the roles round: each is a new association.
#[test]
fn other_roles_are_another_association() {
    let names = [true, false];
    for (setup, has_names) in [Setup::Active, Setup::Passive].into_iter().flat_map(|setup| names.map(|has| (setup, has))) {
        let wire = |text: String| {
            let text = text.replace("a=setup:actpass", &format!("a=setup:{setup}"));
            if has_names { text } else { without_names(text) }
        };
        let (mut a, mut b) = (side(4000, Security::dtls(fingerprint("a"))), side(5000, Security::dtls(fingerprint("b"))));
        exchange(&mut a, &mut b, &|text| if has_names { text } else { without_names(text) });
        // It was begun by the answerer: an offerer that is passive keeps its role.
        let keeps = setup == Setup::Passive;
        let (answered, negotiated) = answer(&sent(&a.offer().unwrap(), &wire), &b).unwrap();
        let role = if keeps { Role::Client } else { Role::Server };
        assert_eq!(dtls(negotiated.streams().next().unwrap().transport()), (role, !keeps));
        let Line::Stream(line) = &answered.lines()[0] else { panic!("it was taken") };
        assert_eq!(line.setup(), Some(if keeps { Setup::Active } else { Setup::Passive }));
    }
    for (says, role, is_new) in [("active", Role::Server, false), ("passive", Role::Client, true)] {
        let (a, b) = called(Security::dtls(fingerprint("a")), Security::dtls(fingerprint("b")));
        let offer = a.offer().unwrap();
        let (answered, _) = answer(&offer, &b).unwrap();
        let turned = sent(&answered, &|text| text.replace("a=setup:active", &format!("a=setup:{says}")));
        let negotiated = accept_answer(&offer, &turned, &a).unwrap();
        assert_eq!(dtls(negotiated.streams().next().unwrap().transport()), (role, is_new));
    }
}

/// A side that names no associations says by its address that it wants another; one that does not is where it likes. A hold is nowhere.
#[test]
fn another_address_is_another_association_without_names() {
    for (has_names, held) in [(true, false), (false, false), (true, true), (false, true)] {
        let wire = |text: String| if has_names { text } else { without_names(text) };
        let moved = |text: String| match held {
            true => wire(text.replace("c=IN IP4 127.0.0.1", "c=IN IP4 0.0.0.0")),
            false => wire(text.replace("m=audio 4000", "m=audio 4444")),
        };
        let (mut a, mut b) = (side(4000, Security::dtls(fingerprint("a"))), side(5000, Security::dtls(fingerprint("b"))));
        exchange(&mut a, &mut b, &wire);
        let is_new = |offer: &Description, b: &Local| {
            let (_, negotiated) = answer(offer, b).unwrap();
            dtls(negotiated.streams().next().unwrap().transport()).1
        };
        assert_eq!(is_new(&sent(&a.offer().unwrap(), &moved), &b), !has_names && !held);
        // After the hold it is where it was.
        let (_, negotiated) = answer(&sent(&a.offer().unwrap(), &moved), &b).unwrap();
        b.settle(&negotiated);
        if held {
            assert!(!is_new(&sent(&a.offer().unwrap(), &wire), &b));
            // A call that begins with a hold has a place later.
            let mut b = side(5000, Security::dtls(fingerprint("b")));
            exchange(&mut a, &mut b, &moved);
            assert!(!is_new(&sent(&a.offer().unwrap(), &wire), &b));
        }
    }
}

#[test]
fn a_name_is_answered_with_a_name_and_nothing_with_nothing() {
    let (a, b) = (side(4000, Security::dtls(fingerprint("a"))), side(5000, Security::dtls(fingerprint("b"))));
    let name = |description: &Description| {
        let Line::Stream(line) = &description.lines()[0] else { panic!("it was taken") };
        line.tls_id().cloned()
    };
    let offer = a.offer().unwrap();
    let (answered, _) = answer(&offer, &b).unwrap();
    let (ours, theirs) = (name(&offer).unwrap(), name(&answered).unwrap());
    assert!(ours != theirs && ours != name(&a.offer().unwrap()).unwrap(), "each name is new");
    assert_eq!(name(&answer(&sent(&offer, &without_names), &b).unwrap().0), None);
    for security in [Security::clear(), Security::sdes(&SUITES)] {
        assert_eq!(name(&side(4000, security).offer().unwrap()), None);
    }
    let read = |value: &str| {
        let text = String::from_utf8(offer.write().to_vec()).unwrap().replace(&format!("a=tls-id:{ours}"), value);
        Description::read(text.as_bytes()).map(|read| name(&read).map(|name| name.to_string()))
    };
    for value in ["x".repeat(20), "-_+/".repeat(63) + "abc"] {
        assert_eq!(read(&format!("a=tls-id:{value}")), Ok(Some(value)));
    }
    let malformed = DescriptionError::Malformed { line: 0, what: "a=tls-id of 20 to 255 letters and digits" };
    for value in ["".into(), "x".repeat(19), "x".repeat(256), "x".repeat(20) + "=", "x".repeat(20) + "é"] {
        assert_eq!(read(&format!("a=tls-id:{value}")), Err(malformed.clone()), "{value}");
    }
    assert_eq!(read(&format!("a=tls-id:{ours}\r\na=tls-id:{ours}")), Err(DescriptionError::Twice { line: 0, what: "a=tls-id" }));
}

/// Asked of a side that names no associations, it is asked again until there is something to see.
#[test]
fn what_cannot_be_renewed_yet_is_asked_again() {
    let (mut a, mut b) = (side(4000, Security::dtls(fingerprint("a"))), side(5000, Security::dtls(fingerprint("b"))));
    exchange(&mut a, &mut b, &without_names);
    stream(&mut a).renew_keys();
    for _ in 0..2 {
        assert!(!dtls(&exchange(&mut a, &mut b, &without_names).0).1);
        assert!(!dtls(&exchange(&mut b, &mut a, &without_names).0).1);
    }
    // The first names are of the association that there is.
    for is_new in [false, true, false] {
        let (of_a, of_b) = exchange(&mut a, &mut b, &|text| text);
        assert_eq!((dtls(&of_a).1, dtls(&of_b).1), (is_new, is_new));
    }
}

/// A peer that sends our key back as its own gets another one of ours, and one that uses our key otherwise gets nothing.
#[test]
fn our_key_is_nobody_elses_and_used_one_way() {
    let key = |description: &Description| {
        let Line::Stream(line) = &description.lines()[0] else { panic!("it was taken") };
        line.crypto()[0].value().split_once("inline:").unwrap().1.to_owned()
    };
    let suite = Security::sdes(&SUITES[..1]);
    let (a, mut b) = (side(4000, suite.clone()), side(5000, suite.clone()));
    let offer = a.offer().unwrap();
    let (answered, negotiated) = answer(&offer, &b).unwrap();
    b.settle(&negotiated);
    let own = key(&answered);
    let back = sent(&offer, &|text| text.replace(&key(&offer), &own));
    let (again, negotiated) = answer(&back, &b).unwrap();
    assert!(key(&again) != own);
    assert_eq!(change(negotiated.streams().next().unwrap().transport()), KeyChange::Rekeyed);
    // What a session has for both directions is not to change under a key that is kept.
    let (a, b) = called(suite.clone(), suite);
    let offer = a.offer().unwrap();
    let (answered, _) = answer(&offer, &b).unwrap();
    let shorter = sent(&answered, &|text| text.replace(&key(&answered), &format!("{}|2^20", key(&answered))));
    let error = DescriptionError::Crypto { line: 0, error: CryptoError::KeyKept };
    assert_eq!(accept_answer(&offer, &shorter, &a).unwrap_err(), error);
    // An offerer that does so has a key that begins.
    let shorter = sent(&offer, &|text| text.replace(&key(&offer), &format!("{}|2^20", key(&offer))));
    let (again, negotiated) = answer(&shorter, &b).unwrap();
    assert_eq!(change(negotiated.streams().next().unwrap().transport()), KeyChange::Begins);
    assert!(key(&again) != key(&answered));
}
