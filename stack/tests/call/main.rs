//! Whole media calls of two endpoints in one process, on loopback: offer and answer are handed over in memory.

mod rig;

use rig::{Side, offer, opened};
use sim::task;
use stack::media::call::CallError;
use stack::media::description::{Direction, Security};
use stack::srtp::Profile;
use std::time::Duration;

/// Long enough for a handshake on a machine that does other things too.
const OPEN: Duration = Duration::from_secs(20);

fn call(of: impl Fn(&Side) -> Security) {
    task::block_on(async {
        let (alice, bob) = (Side::new(440), Side::new(550));
        for side in [&alice, &bob] {
            side.add_audio(of(side)).await;
        }
        offer(&alice, &bob);
        opened(&alice, &bob, OPEN).await;
        sim::time::sleep_for(Duration::from_millis(600)).await;
        alice.expect_heard(550);
        bob.expect_heard(440);
        let (at_alice, at_bob) = (alice.call.hang_up(), bob.call.hang_up());
        for report in [at_alice.await, at_bob.await].into_iter().flatten() {
            let report = report.unwrap();
            assert!(report.sent_packets > 20 && report.received_packets > 20, "{report:?}");
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
            // What was on its way.
            sim::time::sleep_for(Duration::from_millis(100)).await;
            let before = holds.report().received_packets;
            sim::time::sleep_for(Duration::from_millis(300)).await;
            assert_eq!(holds.report().received_packets, before, "who is held sends nothing");
            holds.call.set_direction(0, Direction::SendReceive).unwrap();
            offer(holds, held);
            sim::time::sleep_for(Duration::from_millis(300)).await;
            assert!(holds.report().received_packets > before, "who was held sends again");
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
        sim::time::sleep_for(Duration::from_millis(200)).await;
        // One of them is the client, which the handshake needs.
        assert_eq!(alice.call.rekey().unwrap() + bob.call.rekey().unwrap(), 1);
        for side in [&alice, &bob] {
            side.wait_for_rekey(OPEN).await;
        }
        let before = [alice.report().received_packets, bob.report().received_packets];
        sim::time::sleep_for(Duration::from_millis(400)).await;
        for (side, before) in [&alice, &bob].into_iter().zip(before) {
            let report = side.report();
            assert!(report.received_packets > before + 10, "{report:?}");
            assert_eq!((report.lost, report.transport.srtp.1.refused()), (0, 0), "{report:?}");
        }
        drop((alice.call.hang_up().await, bob.call.hang_up().await));
    });
}
