//! The checks: one body for both acknowledgements, sampled on shuttle, and every order of deliveries on turmoil.

use crate::acks::{Acks, Bare, Numbered};
use crate::transfer::{receive, send};
use sim::explore::Check;
use sim::net::{self, Host, Link, UdpSocket};
use sim::sync::{Arc, Mutex};
use sim::verdict::{Detector, Verdict};
use sim::{Engine, invariant, task};

/// Two packets over a link that loses some, and brings the others when it likes.
fn two_packets<A: Acks>() {
    task::block_on(async {
        let link = Link::any_order().loss(0.2).unwrap();
        net::set_link(&link).unwrap();
        let receiver = Host::new("receiver");
        let there = (receiver.address(), 4000).into();
        let received = Arc::new(Mutex::new(Vec::new()));
        let theirs = Arc::clone(&received);
        receiver.spawn("receiver", async move {
            let socket = UdpSocket::bind(there).await.unwrap();
            receive::<A>(&socket, &theirs).await;
        });
        let socket = UdpSocket::bind((Host::current().address(), 0).into()).await.unwrap();
        // A link as bad as this may bring nothing at all. Then nothing is claimed.
        if send::<A>(&socket, there, b"ab", 1).await.is_ok() {
            invariant!(*received.lock() == b"ab", "what was acknowledged has arrived");
        }
    });
}

fn checks(subject: &str) -> Vec<Check> {
    let mut checks = vec![Check::new("udp_transfer", subject, Engine::Shuttle)];
    if Engine::Turmoil.is_built_in() {
        checks.push(Check::new("udp_transfer", subject, Engine::Turmoil));
    }
    checks
}

#[test]
fn an_acknowledgement_without_a_number_is_taken_for_another() {
    for check in checks("bare") {
        let report = check.run(two_packets::<Bare>);
        assert_eq!(report.verdict.detector(), Some(Detector::Invariant), "{}: {}", report.engine, report.verdict);
        let token = report.token.expect("what was caught has a token");
        let replay = check.replay(&token, false, two_packets::<Bare>).unwrap();
        assert_eq!(replay.verdict, report.verdict, "{token}");
        println!("{}: {} schedules in {:?}, {token}", report.engine, report.schedules, report.wall);
    }
}

#[test]
fn an_acknowledgement_with_a_number_is_not() {
    for check in checks("numbered") {
        let report = check.run(two_packets::<Numbered>);
        assert_eq!(report.verdict, Verdict::Clean, "{}: {}", report.engine, report.verdict);
        assert_eq!(report.exhaustive, report.bounds.is_some(), "what has bounds is exhausted within them");
        println!("{}: {} schedules in {:?}", report.engine, report.schedules, report.wall);
    }
}
