//! Timers in production: real threads, tokio, real time. What the engines prove stands in the exhibits.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "the test stands outside of what is tested")]

use stack::timer::{Cancelled, Closed, TimerConfig, TimerError, Timers};
use std::sync::mpsc;
use std::time::Duration;

/// Real time has no deadline that a slow machine keeps, so this one only turns a hang into a failure.
const HANG: Duration = Duration::from_secs(60);

#[test]
fn timers_come_in_order_and_a_cancelled_one_does_not() {
    let timers = Timers::on_thread(TimerConfig::default()).unwrap();
    let (sent, received) = mpsc::channel();
    let mut ids = Vec::new();
    for delay_ms in [30, 10, 20, 10] {
        let sent = sent.clone();
        let place = ids.len();
        ids.push(timers.schedule_after(Duration::from_millis(delay_ms), move |_, id| sent.send((place, id)).unwrap()).unwrap());
    }
    assert_eq!(timers.cancel(ids[2]), Cancelled::Prevented);
    assert_eq!(timers.cancel(ids[2]), Cancelled::Ended);
    for place in [1, 3, 0] {
        assert_eq!(received.recv_timeout(HANG).unwrap(), (place, ids[place]));
    }
    assert_eq!(timers.close(), Ok(Closed::Closed));
    assert_eq!(timers.close(), Ok(Closed::Already));
    assert_eq!(timers.schedule_after(Duration::ZERO, |_, _| {}), Err(TimerError::Closed));
}
