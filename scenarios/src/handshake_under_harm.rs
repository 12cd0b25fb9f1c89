//! What holds for a handshake whatever happens to its datagrams: a fuzz target, a property test and a corpus test share this body.

use crate::dtls_crypto::{Seeded, certificate};
use sim::time::{Duration, Instant};
use stack::dtls::{Action, Association, DtlsConfig, DtlsError, FingerprintHash, Keys, Role, Settings, Versions};
use std::collections::VecDeque;
use std::sync::{Arc, LazyLock};

const LATENCY: Duration = Duration::from_millis(20);
const DEADLINE: Duration = Duration::from_secs(10);
/// So many things happen in a handshake at the most, in all of its attempts. More would be one that never rests.
const STEPS_MAX: u32 = 5_000;

/// The first byte says which versions there are. Each after it says what becomes of the next datagram: it comes, is lost, comes twice, is
/// late, is cut or harmed at a place that the next bytes say, or somebody else's comes before it, of the next bytes. When there are no
/// more bytes the link is good.
///
/// Nobody panics or goes on for ever; who is keyed has the other's keys, if the other is keyed at all; who is not says why, within the
/// deadline; and bytes that nobody has authenticated never make anybody say that the peer is another.
pub fn any_harm(bytes: &[u8]) {
    let (first, rest) = bytes.split_first().unwrap_or((&0, &[]));
    let versions = [Versions::Any, Versions::Dtls12, Versions::Dtls13][usize::from(first % 3)];
    let mut handshake = Handshake::new(versions, rest);
    handshake.run();
    handshake.expect_an_end();
}

struct Handshake<'a> {
    ends: [End; 2],
    now: Instant,
    harm: &'a [u8],
    /// When it comes, to whom, and what.
    in_flight: VecDeque<(Instant, usize, Vec<u8>)>,
}

struct End {
    association: Association,
    keys: Option<Keys>,
    failed: Option<DtlsError>,
}

/// Certificates, and what the library makes of them: the same for all.
static CONFIGS: LazyLock<[[DtlsConfig; 2]; 3]> = LazyLock::new(|| {
    [Versions::Any, Versions::Dtls12, Versions::Dtls13].map(|versions| {
        [Role::Client, Role::Server].map(|role| {
            let mut settings = Settings::default();
            settings.versions = versions;
            settings.deadline = DEADLINE;
            DtlsConfig::with_crypto(certificate(role), settings, Arc::new(Seeded))
                .expect("these settings are within their bounds")
        })
    })
});

impl<'a> Handshake<'a> {
    fn new(versions: Versions, harm: &'a [u8]) -> Self {
        let place = [Versions::Any, Versions::Dtls12, Versions::Dtls13].iter().position(|known| *known == versions);
        let [client, server] = &CONFIGS[place.expect("there are three")];
        let now = Instant::from_origin(Duration::from_secs(1));
        let expected = |config: &DtlsConfig| config.certificate().fingerprint(FingerprintHash::Sha256).into();
        let end = |association| End { association, keys: None, failed: None };
        Handshake {
            ends: [
                end(Association::new(client, Role::Client, expected(server), 1, now)),
                end(Association::new(server, Role::Server, expected(client), 2, now)),
            ],
            now,
            harm,
            in_flight: VecDeque::new(),
        }
    }

    fn run(&mut self) {
        for _ in 0..STEPS_MAX {
            (0..2).for_each(|from| self.collect(from));
            let due = self.ends.each_ref().map(|end| end.association.next_due());
            let arrival = (0..self.in_flight.len()).min_by_key(|index| self.in_flight[*index].0);
            let arrival_at = arrival.map(|index| self.in_flight[index].0);
            let Some(next) = due.into_iter().flatten().chain(arrival_at).min() else { return };
            self.now = self.now.max(next);
            match arrival.filter(|_| arrival_at == Some(next)).and_then(|index| self.in_flight.remove(index)) {
                Some((_, to, datagram)) => self.ends[to].association.handle_datagram(&datagram, self.now),
                None => self.ends.iter_mut().for_each(|end| end.association.handle_timeout(self.now)),
            }
        }
        panic!("expected a rest within {STEPS_MAX} steps, got none: {:?}", self.ends.each_ref().map(|end| &end.association));
    }

    fn collect(&mut self, from: usize) {
        while let Some(action) = self.ends[from].association.poll() {
            let end = &mut self.ends[from];
            assert!(end.failed.is_none(), "{action:?} after the last action");
            match action {
                Action::Transmit(datagram) => self.transmit(1 - from, datagram),
                Action::Keyed(keys) => end.keys = Some(keys),
                Action::Failed(error) => end.failed = Some(error),
                // A harmed hello looks like one of a client that begins anew.
                Action::RekeyFailed(_) => assert!(end.keys.is_some()),
                other => panic!("nobody has closed it: {other:?}"),
            }
        }
    }

    fn take(&mut self) -> Option<u8> {
        let (first, rest) = self.harm.split_first()?;
        self.harm = rest;
        Some(*first)
    }

    fn transmit(&mut self, to: usize, mut datagram: Vec<u8>) {
        let at = self.now + LATENCY;
        let what = self.take().unwrap_or(0);
        match what % 8 {
            0 | 1 => {}
            2 => return,
            3 => self.in_flight.push_back((at, to, datagram.clone())),
            4 => return self.in_flight.push_back((at + Duration::from_millis(u64::from(what)), to, datagram)),
            5 => {
                let len = usize::from(self.take().unwrap_or(0)) * datagram.len() / 256;
                datagram.truncate(len);
            }
            6 => {
                // Near the front are the headers.
                let place = [self.take(), self.take()].map(|byte| usize::from(byte.unwrap_or(0)));
                let place = if place[0] < 128 { place[1] } else { (place[0] - 128) << 8 | place[1] } % datagram.len();
                datagram[place] ^= self.take().unwrap_or(1).max(1);
            }
            _ => {
                let len = usize::from(self.take().unwrap_or(0)).min(self.harm.len());
                let (stranger, rest) = self.harm.split_at(len);
                self.harm = rest;
                self.in_flight.push_back((at, to, stranger.to_vec()));
            }
        }
        self.in_flight.push_back((at, to, datagram));
    }

    fn expect_an_end(&self) {
        for end in &self.ends {
            assert!(end.keys.is_some() != end.failed.is_some(), "keys: {:?}, failed: {:?}", end.keys, end.failed);
        }
        if let [Some(ours), Some(theirs)] = self.ends.each_ref().map(|end| end.keys.as_ref()) {
            // An attempt of the client's that only the server has finished leaves the server with newer keys, until the client's next.
            let is_same = ours.sending().is_same_key(theirs.receiving()) && theirs.sending().is_same_key(ours.receiving());
            assert!(is_same, "both are keyed, and not with the same keys");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_holds_for_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            any_harm(&bytes);
        }

        /// Bytes of which most do nothing, as too much harm ends all handshakes alike.
        #[test]
        fn it_holds_where_a_little_is_harmed(
            versions in 0..3u8,
            harm in proptest::collection::vec(prop_oneof![6 => 0..2u8, 1 => any::<u8>()], 0..60),
        ) {
            any_harm(&[&[versions], harm.as_slice()].concat());
        }
    }

    #[test]
    fn the_corpus_holds() {
        crate::corpus::each("handshake_under_harm", any_harm);
    }

    #[test]
    fn without_harm_both_are_keyed_and_with_nothing_but_loss_both_say_so() {
        for versions in 0..3 {
            let mut good = Handshake::new([Versions::Any, Versions::Dtls12, Versions::Dtls13][versions], &[]);
            good.run();
            good.expect_an_end();
            assert!(good.ends.iter().all(|end| end.keys.is_some()));
            let loss = vec![2; 10_000];
            let mut lost = Handshake::new([Versions::Any, Versions::Dtls12, Versions::Dtls13][versions], &loss);
            lost.run();
            assert!(lost.ends.iter().all(|end| matches!(end.failed, Some(DtlsError::Deadline { .. }))));
        }
    }
}
