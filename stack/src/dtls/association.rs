//! One association: from the first hello to keys, and on to the end.

use super::config::DtlsConfig;
use super::fingerprint::Fingerprints;
use super::keys::{Keys, PROFILES};
use super::record::{self, HelloRandom};
use super::setup::Role;
use super::{DtlsError, certificate};
use dimpl::{Dtls, Output};
use sim::time::Instant;
use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;
use zeroize::Zeroizing;

/// What whoever drives an association is to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum Action {
    /// Send this datagram to the peer.
    Transmit(Vec<u8>),
    /// The peer is who it was said to be, and these are the keys. They come again, others, when the association was made anew.
    Keyed(Keys),
    /// There are no keys, and there will be none: this is the last action. An association that was keyed stays so: see
    /// [`Action::RekeyFailed`].
    Failed(DtlsError),
    /// There are no new keys; the ones before are still good.
    RekeyFailed(DtlsError),
    /// The peer has closed it: this is the last action.
    Closed,
}

/// What an association has counted. Counters stay at their last value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Datagrams that came.
    pub received: u64,
    /// Datagrams to be sent.
    pub transmitted: u64,
    /// Datagrams that are too long to be looked at, or came when nothing was expected.
    pub dropped: u64,
    /// Records that no handshake has: nobody has authenticated them, and they change nothing.
    pub implausible: u64,
    /// Hellos of a client that came too soon after another.
    pub hellos_dropped: u64,
    /// Handshakes that were begun.
    pub attempts: u64,
}

/// The longest datagram that is looked at, in bytes.
pub const DATAGRAM_LEN_MAX: usize = 2048;
/// So many handshakes an association begins, the first and those anew of one exchange of keys.
pub const ATTEMPTS_MAX: u32 = 64;
/// What the library may say at once: a certificate of any length that its queue holds.
const OUTPUT_LEN: usize = 64 * DATAGRAM_LEN_MAX;
/// Once there are keys nothing is long.
const OUTPUT_KEYED_LEN: usize = 2 * DATAGRAM_LEN_MAX;
/// The library may ask for a timer at once, again and again (dimpl 0.9, an acknowledgement of DTLS 1.3): it gets one so often.
const TIMER_LEAST: Duration = Duration::from_millis(20);
/// How long a client waits before it begins anew, and how long a server takes no other hello.
const RESTART_AFTER: Duration = Duration::from_millis(100);
const DOUBLINGS_MAX: u32 = 4;

/// A DTLS-SRTP association (RFC 5764), sans-IO: datagrams and the time in, [`Action`]s out. It takes no locks and knows no sockets.
///
/// The caller gives it only datagrams that came from the address that media was agreed with, [told](super::demux::classify) to be
/// DTLS, and calls [`Association::handle_timeout`] when [`Association::next_due`] has come. After each call it takes all
/// [actions](Association::poll).
///
/// A handshake that dies is begun anew until the deadline of its settings, as nobody has authenticated what it died of. What a peer that
/// proved who it is does not have is told at once. Of a server, a client that begins anew, with another hello, has its new association;
/// the keys before it are good until there are new ones.
pub struct Association {
    config: DtlsConfig,
    role: Role,
    peer: Fingerprints,
    state: State,
    /// The handshake that goes on.
    attempt: Option<Attempt>,
    /// The one that gave the keys: it answers a peer that has not heard the last of it.
    keyed: Option<Attempt>,
    number: u64,
    actions: VecDeque<Action>,
    counters: Counters,
}

#[derive(Clone, Debug, PartialEq)]
enum State {
    /// A server that waits for a client, or for a client that is keyed to begin anew.
    Waiting,
    Handshaking(Exchange),
    Ended,
}

/// One exchange of keys, through all its attempts.
#[derive(Clone, Debug, PartialEq)]
struct Exchange {
    until: Instant,
    attempts: u32,
    /// When the next attempt may begin; a client's does.
    next_at: Instant,
    /// What an attempt died of, if not of silence.
    last: Option<DtlsError>,
}

struct Attempt {
    dtls: Dtls,
    /// Of a server: the hello that it answers.
    hello: Option<HelloRandom>,
    due: Option<Instant>,
    fired_at: Option<Instant>,
    is_known: bool,
    is_connected: bool,
    keys: Option<Keys>,
    /// The keys were handed out.
    has_keyed: bool,
    output: Vec<u8>,
}

/// What an attempt is made with, and when it is.
#[derive(Clone, Copy)]
struct At<'a> {
    config: &'a DtlsConfig,
    role: Role,
    peer: &'a Fingerprints,
    now: Instant,
}

/// The [`At`] of an association, of which the rest may be borrowed otherwise.
macro_rules! at {
    ($association:ident, $now:expr) => {
        At { config: &$association.config, role: $association.role, peer: &$association.peer, now: $now }
    };
}

/// What became of an attempt that was given something.
enum Outcome {
    GoesOn,
    Keyed(Keys),
    /// Nobody knows whose doing it was.
    Died(DtlsError),
    /// In silence.
    Starved,
    /// A certificate came that is not to be accepted, from whomever.
    Refused(DtlsError),
    /// The peer has proved who it is, and cannot go on.
    Failed(DtlsError),
    Closed,
}

impl Association {
    /// An association with a peer whose certificate has this fingerprint. A client begins at once. A server waits for the client for as
    /// long as it is given from now on.
    pub fn new(config: &DtlsConfig, role: Role, peer: Fingerprints, number: u64, now: Instant) -> Self {
        let mut association = Association {
            config: config.clone(),
            role,
            peer,
            state: State::Waiting,
            attempt: None,
            keyed: None,
            number,
            actions: VecDeque::new(),
            counters: Counters::default(),
        };
        association.begin_exchange(now);
        association
    }

    /// Has new keys made, by an association beside this one. Only a client can; nothing happens if it is at it already, or has ended.
    pub fn rekey(&mut self, now: Instant) {
        if self.role == Role::Client && self.state == State::Waiting {
            self.begin_exchange(now);
        }
    }

    /// Takes a datagram of the peer's.
    pub fn handle_datagram(&mut self, datagram: &[u8], now: Instant) {
        count(&mut self.counters.received);
        if self.state == State::Ended || datagram.len() > DATAGRAM_LEN_MAX {
            return count(&mut self.counters.dropped);
        }
        self.handle_timeout(now);
        // One by one: of a datagram whose first message it has, the library would take none of the others.
        for record in record::records(datagram) {
            self.handle_record(record, now);
        }
    }

    /// Does what is due. Nothing happens before that.
    pub fn handle_timeout(&mut self, now: Instant) {
        for is_keyed in [true, false] {
            let of = if is_keyed { &mut self.keyed } else { &mut self.attempt };
            if let Some(attempt) = of
                && attempt.due.is_some_and(|due| due <= now)
            {
                let outcome = attempt.fire(at!(self, now), &mut self.actions);
                self.settle(outcome, is_keyed, now);
            }
        }
        let State::Handshaking(exchange) = &self.state else { return };
        if exchange.until <= now {
            let exchange = exchange.clone();
            return self.fail(exchange.deadline_error(self.config.settings().deadline));
        }
        if self.role == Role::Client && self.attempt.is_none() && exchange.next_at <= now {
            self.begin_attempt(None, now);
        }
    }

    /// When [`Association::handle_timeout`] is to be called at the latest.
    pub fn next_due(&self) -> Option<Instant> {
        let exchange = match &self.state {
            State::Handshaking(exchange) => {
                let begins = self.role == Role::Client && self.attempt.is_none();
                Some(if begins { exchange.next_at.min(exchange.until) } else { exchange.until })
            }
            State::Waiting => None,
            State::Ended => return None,
        };
        let attempts = [&self.attempt, &self.keyed].into_iter().flatten().filter_map(|attempt| attempt.due);
        attempts.chain(exchange).min()
    }

    /// The next thing to do. Take all before anything else is given.
    pub fn poll(&mut self) -> Option<Action> {
        let action = self.actions.pop_front();
        if matches!(action, Some(Action::Transmit(_))) {
            count(&mut self.counters.transmitted);
        }
        action
    }

    /// Tells the peer that it is over. What that takes is among the actions; there are none after them.
    pub fn close(&mut self, now: Instant) {
        if let Some(keyed) = &mut self.keyed {
            // An association that the library cannot close any more is closed.
            let _ = keyed.dtls.handle_timeout(at!(self, now).to_library()).and_then(|()| keyed.dtls.close());
            let _ = keyed.drain(at!(self, now), &mut self.actions);
        }
        self.end();
    }

    /// Whether there are keys.
    pub fn is_keyed(&self) -> bool {
        self.keyed.is_some()
    }

    /// Whether it has failed, or was closed by either side.
    pub fn has_ended(&self) -> bool {
        self.state == State::Ended
    }

    /// Our role.
    pub fn role(&self) -> Role {
        self.role
    }

    /// What was counted.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    fn handle_record(&mut self, record: &[u8], now: Instant) {
        if self.state == State::Ended {
            return count(&mut self.counters.dropped);
        }
        if !record::is_plausible(record) {
            return count(&mut self.counters.implausible);
        }
        if self.role == Role::Server
            && let Some(random) = record::client_hello_random(record)
            && !self.takes_hello(random, now)
        {
            return count(&mut self.counters.hellos_dropped);
        }
        let is_keyed = self.attempt.is_none();
        let of = if is_keyed { &mut self.keyed } else { &mut self.attempt };
        let Some(attempt) = of else { return count(&mut self.counters.dropped) };
        let outcome = attempt.handle_record(record, at!(self, now), &mut self.actions);
        self.settle(outcome, is_keyed, now);
    }

    /// A client's hello: it is the one that is being answered, or another handshake begins with it. False if it is not to be answered.
    fn takes_hello(&mut self, random: HelloRandom, now: Instant) -> bool {
        let answers = |attempt: &Option<Attempt>| attempt.as_ref().is_some_and(|attempt| attempt.hello == Some(random));
        if answers(&self.attempt) || self.attempt.is_none() && answers(&self.keyed) {
            return true;
        }
        if self.state == State::Waiting {
            self.begin_exchange(now);
        }
        let State::Handshaking(exchange) = &self.state else { return false };
        // What goes on has a moment to get on: a flood of hellos would never let it.
        let may_begin = self.attempt.is_none() || exchange.next_at <= now;
        may_begin && self.begin_attempt(Some(random), now)
    }

    fn begin_exchange(&mut self, now: Instant) {
        let until = now + self.config.settings().deadline;
        self.state = State::Handshaking(Exchange { until, attempts: 0, next_at: now, last: None });
        if self.role == Role::Client {
            self.begin_attempt(None, now);
        }
    }

    /// False if there were as many as may be.
    fn begin_attempt(&mut self, hello: Option<HelloRandom>, now: Instant) -> bool {
        let State::Handshaking(exchange) = &mut self.state else { return false };
        if exchange.attempts >= ATTEMPTS_MAX {
            exchange.next_at = exchange.until;
            return false;
        }
        exchange.attempts += 1;
        exchange.next_at = now + RESTART_AFTER;
        // Each attempt is the library's own association, with numbers of its own.
        let number = self.number.wrapping_mul(u64::from(ATTEMPTS_MAX) + 1).wrapping_add(self.counters.attempts);
        count(&mut self.counters.attempts);
        let mut attempt = match self.config.begin(self.role, number, now) {
            Ok(dtls) => Attempt::new(dtls, hello),
            Err(error) => {
                self.fail(error);
                return false;
            }
        };
        let outcome = attempt.fire(at!(self, now), &mut self.actions);
        self.attempt = Some(attempt);
        self.settle(outcome, false, now);
        true
    }

    fn settle(&mut self, outcome: Outcome, is_keyed: bool, now: Instant) {
        match (outcome, is_keyed) {
            (Outcome::GoesOn, _) | (Outcome::Keyed(_), true) => {}
            (Outcome::Keyed(keys), false) => {
                // What it replaces has nothing to say any more.
                self.keyed = self.attempt.take();
                if let Some(keyed) = &mut self.keyed {
                    keyed.has_keyed = true;
                    keyed.output = vec![0; OUTPUT_KEYED_LEN];
                }
                self.state = State::Waiting;
                self.actions.push_back(Action::Keyed(keys));
            }
            (Outcome::Closed, true) => {
                self.actions.push_back(Action::Closed);
                self.end();
            }
            // What a client said last was never confirmed: the server may have no keys.
            (Outcome::Starved, true) if self.role == Role::Client && self.state == State::Waiting => {
                self.keep_quiet();
                self.begin_exchange(now);
            }
            // The keys are good all the same; it says no more.
            (Outcome::Died(_) | Outcome::Starved | Outcome::Refused(_) | Outcome::Failed(_), true) => {
                self.keep_quiet();
            }
            (Outcome::Failed(error), false) => self.fail(error),
            // Once, it may have been harmed on its way, or be anybody's.
            (Outcome::Refused(error), false) if self.has_died_of(&error) => self.fail(error),
            (Outcome::Refused(error) | Outcome::Died(error), false) => self.lose_attempt(Some(error), now),
            (Outcome::Starved, false) => self.lose_attempt(None, now),
            // Before anybody is known: it may be anybody's.
            (Outcome::Closed, false) => self.lose_attempt(Some(DtlsError::Closed), now),
        }
    }

    /// The association that gave the keys is not called any more by itself.
    fn keep_quiet(&mut self) {
        if let Some(keyed) = &mut self.keyed {
            keyed.due = None;
        }
    }

    fn has_died_of(&self, error: &DtlsError) -> bool {
        matches!(&self.state, State::Handshaking(exchange) if exchange.last.as_ref() == Some(error))
    }

    fn lose_attempt(&mut self, why: Option<DtlsError>, now: Instant) {
        self.attempt = None;
        if let State::Handshaking(exchange) = &mut self.state {
            exchange.last = why.or_else(|| exchange.last.take());
            // A client that is refused again and again asks less and less often.
            let doublings = if self.role == Role::Client { exchange.attempts.min(DOUBLINGS_MAX) } else { 0 };
            exchange.next_at = exchange.next_at.max(now + RESTART_AFTER * (1 << doublings));
        }
    }

    fn fail(&mut self, error: DtlsError) {
        self.attempt = None;
        if self.keyed.is_some() {
            self.state = State::Waiting;
            self.actions.push_back(Action::RekeyFailed(error));
        } else {
            self.actions.push_back(Action::Failed(error));
            self.end();
        }
    }

    fn end(&mut self) {
        self.state = State::Ended;
        self.attempt = None;
        self.keyed = None;
    }
}

impl At<'_> {
    #[expect(clippy::disallowed_types, reason = "the library's time is std's")]
    fn to_library(self) -> std::time::Instant {
        self.config.clock().to_library(self.now)
    }
}

impl Exchange {
    fn deadline_error(self, expected: Duration) -> DtlsError {
        self.last.unwrap_or(DtlsError::Deadline { expected, attempts: self.attempts })
    }
}

impl Outcome {
    fn died(error: dimpl::Error) -> Self {
        match error {
            dimpl::Error::Timeout(_) => Outcome::Starved,
            error => Outcome::Died(DtlsError::Handshake { why: error.to_string() }),
        }
    }
}

impl Attempt {
    fn new(dtls: Dtls, hello: Option<HelloRandom>) -> Self {
        Attempt {
            dtls,
            hello,
            due: None,
            fired_at: None,
            is_known: false,
            is_connected: false,
            keys: None,
            has_keyed: false,
            output: vec![0; OUTPUT_LEN],
        }
    }

    fn fire(&mut self, at: At<'_>, actions: &mut VecDeque<Action>) -> Outcome {
        self.fired_at = Some(at.now);
        match self.dtls.handle_timeout(at.to_library()) {
            Ok(()) => self.drain(at, actions),
            Err(error) => Outcome::died(error),
        }
    }

    fn handle_record(&mut self, record: &[u8], at: At<'_>, actions: &mut VecDeque<Action>) -> Outcome {
        // The time goes in by a timeout alone.
        let given = self.dtls.handle_timeout(at.to_library()).and_then(|()| self.dtls.handle_packet(record));
        let drained = self.drain(at, actions);
        match (drained, given) {
            // What it has said before it died may say why.
            (Outcome::GoesOn, Err(error)) => Outcome::died(error),
            (outcome, _) => outcome,
        }
    }

    fn drain(&mut self, at: At<'_>, actions: &mut VecDeque<Action>) -> Outcome {
        let mut is_closed = false;
        loop {
            match self.dtls.poll_output(&mut self.output) {
                Output::Packet(datagram) => actions.push_back(Action::Transmit(datagram.to_vec())),
                Output::BufferTooSmall { needed } => self.output = vec![0; needed.max(self.output.len())],
                Output::Connected => self.is_connected = true,
                Output::PeerCert(der) => match certificate::check(der, at.peer) {
                    Ok(()) => self.is_known = true,
                    // Before anything that ours would say to a stranger.
                    Err(error) => return Outcome::Refused(error),
                },
                Output::KeyingMaterial(exported, profile) => {
                    let exported = Zeroizing::new(exported.to_vec());
                    match Keys::new(profile, at.role, &exported) {
                        Ok(keys) => self.keys = Some(keys),
                        Err(error) => return Outcome::Died(error),
                    }
                }
                Output::CloseNotify => is_closed = true,
                Output::Timeout(due) => {
                    let floor = self.fired_at.map(|fired_at| fired_at + TIMER_LEAST);
                    let due = at.config.clock().to_ours(due, at.now);
                    self.due = due.map(|due| floor.map_or(due, |floor| due.max(floor)));
                    break;
                }
                // No data is asked for, and none is taken.
                _ => {}
            }
        }
        match self.keys.take() {
            Some(keys) if self.is_known && self.is_connected => Outcome::Keyed(keys),
            Some(keys) => {
                self.keys = Some(keys);
                Outcome::GoesOn
            }
            None if is_closed => {
                // DTLS 1.3 has each side close its own half; the answer goes out with what else there is.
                let _ = self.dtls.close();
                while let Output::Packet(datagram) = self.dtls.poll_output(&mut self.output) {
                    actions.push_back(Action::Transmit(datagram.to_vec()));
                }
                Outcome::Closed
            }
            None if self.is_connected && !self.has_keyed => Outcome::Failed(DtlsError::NoCommonProfile { expected: PROFILES }),
            None => Outcome::GoesOn,
        }
    }
}

impl fmt::Debug for Association {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Association");
        debug.field("role", &self.role).field("state", &self.state).field("is_keyed", &self.is_keyed());
        debug.field("counters", &self.counters).finish_non_exhaustive()
    }
}

fn count(counter: &mut u64) {
    *counter = counter.saturating_add(1);
}
