//! The handshake as it was, rewritten small: two flights of each side, and a timer that sends the last one again.

use super::{End, LASTS, Outcome, Side};
use sim::time::{Duration, Instant};
use std::cell::Cell;
use std::collections::VecDeque;

/// A flight is sent so often, and the time between doubles.
const SENDS_MAX: u32 = 4;
const TIMEOUT: Duration = Duration::from_millis(250);

/// What becomes of the last timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timeout {
    /// It is an error, and nobody looks at it.
    Ignored,
    /// The mended version: it ends the handshake.
    Ends,
}

thread_local! {
    static TIMEOUT_OF: Cell<Timeout> = const { Cell::new(Timeout::Ignored) };
}

/// Which version the next handshakes are.
pub(super) fn choose(timeout: Timeout) {
    TIMEOUT_OF.set(timeout);
}

/// `DtlsError::Timeout`.
#[derive(Debug)]
struct TimedOut;

pub(super) struct Historic {
    timeout: Timeout,
    side: Side,
    /// Of the flights of both sides, the first that has not come.
    expected: u8,
    to_send: VecDeque<Vec<u8>>,
    /// The flight that has no answer, how often it was sent, and until when it is waited for.
    waits: Option<(u8, u32, Instant)>,
    has_timed_out: bool,
}

/// Flights are numbered: those of the client are even.
const LAST: u8 = 3;

impl Historic {
    fn send(&mut self, flight: u8, now: Instant) {
        self.to_send.push_back(vec![flight]);
        // The last one is sent again when its peer asks again.
        self.waits = (flight < LAST).then_some((flight, 1, now + TIMEOUT));
    }

    /// The library's.
    fn time_out(&mut self, now: Instant) -> Result<(), TimedOut> {
        let Some((flight, sends, due)) = self.waits else { return Ok(()) };
        if now < due {
            return Ok(());
        }
        if sends >= SENDS_MAX {
            self.has_timed_out = true;
            return Err(TimedOut);
        }
        self.to_send.push_back(vec![flight]);
        self.waits = Some((flight, sends + 1, now + TIMEOUT * (1 << sends)));
        Ok(())
    }
}

impl End for Historic {
    fn begin(side: Side, now: Instant) -> Self {
        let expected = u8::from(side == Side::Client);
        let mut end =
            Historic { timeout: TIMEOUT_OF.get(), side, expected, to_send: VecDeque::new(), waits: None, has_timed_out: false };
        match side {
            Side::Client => end.send(0, now),
            // Who is never called gives up too.
            Side::Server => end.waits = Some((0, SENDS_MAX, now + LASTS / 2)),
        }
        end
    }

    fn poll(&mut self) -> Option<Vec<u8>> {
        self.to_send.pop_front()
    }

    fn handle_datagram(&mut self, datagram: &[u8], now: Instant) {
        match datagram {
            [flight] if *flight == self.expected => {
                self.expected += 2;
                self.waits = None;
                if *flight < LAST {
                    self.send(flight + 1, now);
                }
            }
            // A peer that has not heard the answer.
            [flight] if flight + 2 == self.expected && self.side == Side::Server => self.to_send.push_back(vec![flight + 1]),
            _ => {}
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        if let Err(TimedOut) = self.time_out(now)
            && self.timeout == Timeout::Ends
        {
            self.waits = None;
        }
    }

    fn next_due(&self) -> Option<Instant> {
        self.waits.map(|(_, _, due)| due)
    }

    fn outcome(&self) -> Option<Outcome> {
        match self.expected > LAST {
            true => Some(Outcome::Complete),
            false => self.has_timed_out.then_some(Outcome::TimedOut),
        }
    }
}
