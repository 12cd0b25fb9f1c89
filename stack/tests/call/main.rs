//! Whole media calls of two endpoints in one process, on loopback: offer and answer are handed over in memory.

mod bad_input;
mod rig;

use rig::{Side, offer, opened};
use sim::task;
use stack::media::call::CallError;
use stack::media::description::{Direction, Security};
use stack::srtp::Profile;
use std::time::Duration;

/// Long enough for a handshake on a machine that does other things too.
const OPEN: Duration = Duration::from_secs(60);

fn call(of: impl Fn(&Side) -> Security) {
    task::block_on(async {
        let (alice, bob) = (Side::new(440), Side::new(550));
        for side in [&alice, &bob] {
            side.add_audio(of(side)).await;
        }
        offer(&alice, &bob);
        opened(&alice, &bob, OPEN).await;
        alice.hears(550).await;
        bob.hears(440).await;
        let (at_alice, at_bob) = (alice.call.hang_up(), bob.call.hang_up());
        for report in [at_alice.await, at_bob.await].into_iter().flatten() {
            let report = report.unwrap();
            assert!(report.sent_packets > 4 && report.received_packets > 4, "{report:?}");
            assert_eq!((report.send_failed, report.undecoded), (0, 0), "{report:?}");
        }
        assert_eq!(alice.call.offer(), Err(CallError::Ended));
    });
}

#[test]
fn in_clear() {
    call(|_| Security::clear());
}

#[test]
fn with_sdes_keys_of_every_profile() {
    for profile in Profile::ALL.into_iter().filter(|profile| !profile.is_null()) {
        call(|_| Security::sdes(&[profile]));
    }
}

#[test]
fn with_dtls() {
    call(|side| Security::dtls(side.fingerprint()));
}

#[test]
fn held_and_taken_back_by_either_side() {
    task::block_on(async {
        let (alice, bob) = (Side::new(440), Side::new(550));
        for side in [&alice, &bob] {
            side.add_audio(Security::dtls(side.fingerprint())).await;
        }
        offer(&alice, &bob);
        opened(&alice, &bob, OPEN).await;
        for (holds, held) in [(&alice, &bob), (&bob, &alice)] {
            holds.call.set_direction(0, Direction::SendOnly).unwrap();
            offer(holds, held);
            holds.receives_no_more().await;
            held.receives(5).await;
            holds.call.set_direction(0, Direction::SendReceive).unwrap();
            offer(holds, held);
            holds.receives(5).await;
        }
        drop((alice.call.hang_up().await, bob.call.hang_up().await));
    });
}

#[test]
fn an_offer_that_meets_another_is_glare_and_an_answer_to_nothing_is_out_of_turn() {
    task::block_on(async {
        let (alice, bob) = (Side::new(440), Side::new(550));
        for side in [&alice, &bob] {
            side.add_audio(Security::clear()).await;
        }
        let (from_alice, from_bob) = (alice.call.offer().unwrap(), bob.call.offer().unwrap());
        assert_eq!(alice.call.answer(&from_bob), Err(CallError::Glare));
        assert_eq!(bob.call.answer(&from_alice), Err(CallError::Glare));
        assert!(matches!(alice.call.offer(), Err(CallError::OutOfTurn { .. })));
        bob.call.take_back_offer();
        let answer = bob.call.answer(&from_alice).unwrap();
        assert!(matches!(bob.call.accept(&answer), Err(CallError::OutOfTurn { .. })));
        alice.call.accept(&answer).unwrap();
        opened(&alice, &bob, OPEN).await;
        drop((alice.call.hang_up().await, bob.call.hang_up().await));
    });
}

#[test]
fn new_keys_do_not_interrupt() {
    task::block_on(async {
        let (alice, bob) = (Side::new(440), Side::new(550));
        for side in [&alice, &bob] {
            side.add_audio(Security::dtls(side.fingerprint())).await;
        }
        offer(&alice, &bob);
        opened(&alice, &bob, OPEN).await;
        alice.receives(5).await;
        // One of them is the client, which the handshake needs.
        assert_eq!(alice.call.rekey().unwrap() + bob.call.rekey().unwrap(), 1);
        for side in [&alice, &bob] {
            side.wait_for_rekey(OPEN).await;
        }
        for side in [&alice, &bob] {
            side.receives(10).await;
            let report = side.report();
            assert_eq!((report.lost, report.transport.srtp.1.refused()), (0, 0), "{report:?}");
        }
        drop((alice.call.hang_up().await, bob.call.hang_up().await));
    });
}
