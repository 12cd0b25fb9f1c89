//! Calls that cannot be: each ends with a typed error within its deadline.

use super::rig::{Side, offer};
use sim::net::UdpSocket;
use sim::task;
use sim::time::{Duration, Instant};
use stack::dtls::{Certificate, DtlsError, FingerprintHash};
use stack::media::call::CallError;
use stack::media::description::Security;
use stack::media::stream::StreamError;
use stack::media::transport::TransportError;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// What a handshake is given here, and longer than any of these takes.
const HANDSHAKE: Duration = Duration::from_millis(1_500);
const OPEN: Duration = Duration::from_secs(60);
/// ClientHellos of a flood.
const HELLOS: u32 = 2_000;

fn dtls_error(error: CallError) -> DtlsError {
    match error {
        CallError::Stream(StreamError::Transport(TransportError::Dtls(error))) => error,
        other => panic!("expected an error of DTLS, got {other:?}"),
    }
}

#[test]
fn a_certificate_that_was_not_signalled() {
    task::block_on(async {
        let (alice, bob) = (Side::with_handshake(440, HANDSHAKE), Side::with_handshake(550, HANDSHAKE));
        alice.add_audio(Security::dtls(alice.fingerprint())).await;
        // Bob's signalling tells of another certificate than the one he has.
        let other = Certificate::generate().unwrap().fingerprint(FingerprintHash::Sha256);
        bob.add_audio(Security::dtls(other.clone())).await;
        offer(&alice, &bob);
        let at_alice = alice.call.opened(OPEN).await;
        match dtls_error(at_alice.unwrap_err()) {
            DtlsError::Fingerprint { expected, got } => {
                assert!(expected.iter().any(|expected| *expected == other) && got == bob.fingerprint())
            }
            error => panic!("{error:?}"),
        }
        // Of DTLS 1.3, Bob as the client is done when he has said who he is; what he sends Alice does not take.
        for report in alice.call.hang_up().await {
            let report = report.unwrap();
            assert_eq!((report.sent_packets, report.received_packets), (0, 0), "nothing goes or comes without keys");
        }
        drop(bob.call.hang_up().await);
    });
}

#[test]
fn a_peer_that_never_answers() {
    task::block_on(async {
        let (alice, bob) = (Side::with_handshake(440, HANDSHAKE), Side::with_handshake(550, HANDSHAKE));
        for side in [&alice, &bob] {
            side.add_audio(Security::dtls(side.fingerprint())).await;
        }
        let began = Instant::now();
        // Alice is never told of the answer, so she never listens.
        let offered = alice.call.offer().unwrap();
        drop(bob.call.answer(&offered).unwrap());
        let error = dtls_error(bob.call.opened(OPEN).await.unwrap_err());
        assert!(matches!(error, DtlsError::Deadline { expected: HANDSHAKE, .. }), "{error:?}");
        assert!(began.elapsed() >= HANDSHAKE);
        drop((alice.call.hang_up().await, bob.call.hang_up().await));
    });
}

#[test]
fn a_wait_that_is_shorter_than_the_handshake() {
    task::block_on(async {
        let (alice, bob) = (Side::new(440), Side::new(550));
        for side in [&alice, &bob] {
            side.add_audio(Security::dtls(side.fingerprint())).await;
        }
        drop(bob.call.answer(&alice.call.offer().unwrap()).unwrap());
        let within = Duration::from_millis(50);
        let error = bob.call.opened(within).await.unwrap_err();
        assert!(matches!(error, CallError::Stream(StreamError::Deadline { .. })), "{error:?}");
        drop(bob.call.hang_up().await);
    });
}

#[test]
fn no_way_that_both_allow() {
    task::block_on(async {
        let (alice, bob) = (Side::new(440), Side::new(550));
        alice.add_audio(Security::clear()).await;
        bob.add_audio(Security::dtls(bob.fingerprint())).await;
        offer(&alice, &bob);
        assert!(alice.call.streams().is_empty() && bob.call.streams().is_empty(), "the line is refused");
        drop((alice.call.hang_up().await, bob.call.hang_up().await));
    });
}

#[test]
fn a_flood_of_hellos_of_strangers_is_counted_and_answered_by_nothing() {
    task::block_on(async {
        let (alice, bob) = (Side::new(440), Side::new(550));
        for side in [&alice, &bob] {
            side.add_audio(Security::dtls(side.fingerprint())).await;
        }
        offer(&alice, &bob);
        for side in [&alice, &bob] {
            side.call.opened(OPEN).await.unwrap();
        }
        let stranger = UdpSocket::bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0)).await.unwrap();
        // As long as a hello, and enough like one for the demultiplexer.
        let mut hello = vec![22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 200, 1];
        hello.resize(213, 7);
        let at = alice.local_addr();
        for number in 0..HELLOS {
            hello[10] = number as u8;
            // A socket's buffer may be full; then they are lost as on any way.
            let _ = stranger.send_to(&hello, at).await;
            if number % 50 == 0 {
                task::yield_now().await;
            }
        }
        alice.hears(550).await;
        let report = alice.report();
        assert!(report.transport.strangers > 0, "{report:?}");
        assert!(report.refused >= report.transport.strangers);
        let mut wire = [0; 64];
        assert!(stranger.try_recv_from(&mut wire).is_err(), "a stranger was answered");
        drop((alice.call.hang_up().await, bob.call.hang_up().await));
    });
}
