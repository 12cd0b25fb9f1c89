//! Associations of two endpoints in one process, over a link that loses, doubles, reorders and harms, in a time of the test's own.

use sim::time::{Duration, Instant};
use stack::dtls::{
    Action, Association, Certificate, DtlsConfig, DtlsError, Fingerprint, FingerprintHash, Fingerprints, Keys, Role, Settings,
    Versions,
};
use stack::srtp::Profile;
use std::collections::BTreeMap;

const LATENCY: Duration = Duration::from_millis(20);

/// A generator of the test's own, so that a seed says everything.
struct Rng(u64);

impl Rng {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % n
    }
}

/// What the link does, in percent.
#[derive(Clone, Copy, Default)]
struct Link {
    loss: u64,
    duplicates: u64,
    reorders: u64,
    corrupts: u64,
}

/// One of the two, and what it has said.
struct End {
    association: Association,
    keys: Vec<Keys>,
    failed: Option<DtlsError>,
    rekey_failed: Vec<DtlsError>,
    closed: bool,
}

impl End {
    fn new(association: Association) -> Self {
        End { association, keys: Vec::new(), failed: None, rekey_failed: Vec::new(), closed: false }
    }
}

struct Call {
    ends: [End; 2],
    now: Instant,
    rng: Rng,
    link: Link,
    in_flight: BTreeMap<(Instant, u64), (usize, Vec<u8>)>,
    sent: u64,
    lens: Vec<usize>,
}

fn certificate() -> Certificate {
    Certificate::generate().unwrap()
}

fn fingerprint(certificate: &Certificate) -> Fingerprints {
    certificate.fingerprint(FingerprintHash::Sha256).into()
}

fn config(settings: Settings) -> DtlsConfig {
    DtlsConfig::new(certificate(), settings).unwrap()
}

fn settings(versions: Versions) -> Settings {
    let mut settings = Settings::default();
    settings.versions = versions;
    settings
}

impl Call {
    fn new(client: &DtlsConfig, server: &DtlsConfig, link: Link, seed: u64) -> Self {
        let expected = [fingerprint(server.certificate()), fingerprint(client.certificate())];
        Call::expecting([client, server], expected, link, seed)
    }

    fn expecting(configs: [&DtlsConfig; 2], [of_server, of_client]: [Fingerprints; 2], link: Link, seed: u64) -> Self {
        let now = Instant::from_origin(Duration::from_secs(1));
        let ends = [
            End::new(Association::new(configs[0], Role::Client, of_server, 1, now)),
            End::new(Association::new(configs[1], Role::Server, of_client, 2, now)),
        ];
        let mut call = Call { ends, now, rng: Rng(seed), link, in_flight: BTreeMap::new(), sent: 0, lens: Vec::new() };
        (0..2).for_each(|end| call.collect(end));
        call
    }

    fn collect(&mut self, from: usize) {
        while let Some(action) = self.ends[from].association.poll() {
            let end = &mut self.ends[from];
            assert!(end.failed.is_none() && !end.closed, "an action after the last one");
            match action {
                Action::Transmit(datagram) => self.transmit(1 - from, datagram),
                Action::Keyed(keys) => end.keys.push(keys),
                Action::Failed(error) => end.failed = Some(error),
                Action::RekeyFailed(error) => end.rekey_failed.push(error),
                Action::Closed => end.closed = true,
                other => panic!("{other:?}"),
            }
        }
    }

    fn transmit(&mut self, to: usize, mut datagram: Vec<u8>) {
        self.lens.push(datagram.len());
        if self.rng.below(100) < self.link.loss {
            return;
        }
        if self.rng.below(100) < self.link.corrupts {
            let place = self.rng.below(datagram.len() as u64) as usize;
            datagram[place] ^= 1 << self.rng.below(8);
        }
        let copies = 1 + u64::from(self.rng.below(100) < self.link.duplicates);
        for _ in 0..copies {
            let late = if self.rng.below(100) < self.link.reorders { self.rng.below(60) } else { 0 };
            self.sent += 1;
            let at = self.now + LATENCY + Duration::from_millis(late);
            self.in_flight.insert((at, self.sent), (to, datagram.clone()));
        }
    }

    /// Lets the next thing happen, unless that is after `until`.
    fn step(&mut self, until: Instant) -> bool {
        let due = [0, 1].map(|end| self.ends[end].association.next_due());
        let arrival = self.in_flight.first_key_value().map(|((at, _), _)| *at);
        let Some(next) = due.into_iter().flatten().chain(arrival).min().filter(|next| *next <= until) else { return false };
        self.now = self.now.max(next);
        if arrival == Some(next) {
            let (_, (to, datagram)) = self.in_flight.pop_first().unwrap();
            self.ends[to].association.handle_datagram(&datagram, self.now);
            self.collect(to);
        } else {
            let end = usize::from(due[0] != Some(next));
            self.ends[end].association.handle_timeout(self.now);
            self.collect(end);
        }
        true
    }

    fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        let mut steps = 0;
        while self.step(until) {
            steps += 1;
            assert!(steps < 20_000, "{time:?} never end");
        }
        self.now = until;
    }

    /// Each is keyed, or says why not.
    fn expect_an_end(&self) {
        assert!(self.ends.iter().all(|end| end.keys.is_empty() == end.failed.is_some()));
        if self.ends.iter().all(|end| end.failed.is_none()) {
            self.expect_keys();
        }
    }

    fn expect_keys(&self) {
        let [client, server] = &self.ends;
        assert_eq!((&client.failed, &server.failed), (&None, &None));
        let (Some(ours), Some(theirs)) = (client.keys.last(), server.keys.last()) else { panic!("no keys") };
        assert_eq!(ours.profile(), theirs.profile());
        for (sending, receiving) in [(ours.sending(), theirs.receiving()), (theirs.sending(), ours.receiving())] {
            assert!(sending.is_same_key(receiving), "one side's key for sending is the other's for receiving");
        }
        assert!(!ours.sending().is_same_key(ours.receiving()), "each direction has its own");
    }
}

/// Every two versions that have one in common.
fn pairs_of_versions() -> Vec<[Versions; 2]> {
    let all = [Versions::Any, Versions::Dtls12, Versions::Dtls13];
    let pairs = all.into_iter().flat_map(|client| all.into_iter().map(move |server| [client, server]));
    pairs.filter(|[client, server]| client == server || [client, server].contains(&&Versions::Any)).collect()
}

#[test]
fn every_two_versions_and_every_cookie_give_the_same_keys() {
    let pairs = pairs_of_versions();
    assert_eq!(pairs.len(), 7);
    for [client, server] in pairs {
        for asks_for_cookie in [false, true] {
            let mut asking = settings(server);
            asking.asks_for_cookie = asks_for_cookie;
            let mut call = Call::new(&config(settings(client)), &config(asking), Link::default(), 1);
            call.run_for(Duration::from_secs(2));
            call.expect_keys();
            assert_eq!(call.ends[0].keys[0].profile(), Profile::AeadAes256Gcm, "the best that both have");
            assert_eq!(call.ends.each_ref().map(|end| end.association.counters().attempts), [1, 1]);
        }
    }
}

#[test]
fn a_link_that_loses_a_third_and_does_worse_only_takes_longer() {
    let links = [
        Link { loss: 30, ..Link::default() },
        Link { reorders: 40, duplicates: 30, ..Link::default() },
        Link { loss: 20, reorders: 30, duplicates: 20, corrupts: 5 },
    ];
    for versions in [Versions::Any, Versions::Dtls12, Versions::Dtls13] {
        for mtu_bytes in [1150, 548] {
            for link in links {
                let mut settings = settings(versions);
                settings.mtu_bytes = mtu_bytes;
                let (client, server) = (config(settings), config(settings));
                for seed in 0..20 {
                    let mut call = Call::new(&client, &server, link, seed);
                    call.run_for(Duration::from_secs(40));
                    match link.corrupts {
                        0 => call.expect_keys(),
                        // A client of DTLS 1.3 is done before its server is: what it said last may be harmed, which ends the server's
                        // attempt, and nothing has the client begin anew.
                        _ => call.expect_an_end(),
                    }
                    assert!(call.lens.iter().all(|len| *len <= mtu_bytes), "an MTU of {mtu_bytes}");
                }
            }
        }
    }
}

#[test]
fn a_certificate_that_was_not_signalled_is_refused_before_anything_is_said_to_it() {
    for versions in [Versions::Any, Versions::Dtls12, Versions::Dtls13] {
        let (client, server, stranger) = (config(settings(versions)), config(settings(versions)), certificate());
        for wrong in 0..2 {
            let mut expected = [fingerprint(server.certificate()), fingerprint(client.certificate())];
            expected[wrong] = fingerprint(&stranger);
            let mut call = Call::expecting([&client, &server], expected, Link::default(), 1);
            call.run_for(Duration::from_secs(31));
            let of_peer: Fingerprint = [&server, &client][wrong].certificate().fingerprint(FingerprintHash::Sha256);
            let error = DtlsError::Fingerprint { expected: fingerprint(&stranger), got: of_peer };
            assert_eq!(call.ends[wrong].failed, Some(error));
            assert!(call.ends[wrong].keys.is_empty() && call.ends[wrong].association.has_ended());
        }
    }
}

#[test]
fn a_peer_that_says_nothing_is_given_up_at_the_deadline() {
    for versions in [Versions::Any, Versions::Dtls12, Versions::Dtls13] {
        let mut settings = settings(versions);
        settings.deadline = Duration::from_secs(12);
        let mut call = Call::new(&config(settings), &config(settings), Link { loss: 100, ..Link::default() }, 1);
        let began = call.now;
        call.run_for(Duration::from_secs(60));
        for end in &call.ends {
            let Some(DtlsError::Deadline { expected, .. }) = end.failed else { panic!("{:?}", end.failed) };
            assert_eq!(expected, settings.deadline);
            assert!(end.association.next_due().is_none());
        }
        assert!(call.lens.len() > 3, "it was asked more than once");
        assert!(call.now.saturating_duration_since(began) >= settings.deadline);
    }
}

#[test]
fn other_versions_are_a_typed_end() {
    for [client, server] in [[Versions::Dtls12, Versions::Dtls13], [Versions::Dtls13, Versions::Dtls12]] {
        let mut call = Call::new(&config(settings(client)), &config(settings(server)), Link::default(), 1);
        call.run_for(Duration::from_secs(40));
        for end in &call.ends {
            assert!(matches!(end.failed, Some(DtlsError::Deadline { .. })), "{:?}", end.failed);
        }
    }
}

#[test]
fn a_close_is_told_to_the_peer_and_is_the_end() {
    for versions in [Versions::Any, Versions::Dtls12, Versions::Dtls13] {
        for closes in 0..2 {
            let mut call = Call::new(&config(settings(versions)), &config(settings(versions)), Link::default(), 1);
            call.run_for(Duration::from_secs(2));
            call.expect_keys();
            let now = call.now;
            call.ends[closes].association.close(now);
            call.collect(closes);
            call.run_for(Duration::from_secs(2));
            assert!(call.ends[1 - closes].closed && !call.ends[closes].closed, "{versions:?}");
            assert!(call.ends.iter().all(|end| end.association.has_ended() && end.association.next_due().is_none()));
        }
    }
}

#[test]
fn new_keys_come_from_a_new_association_beside_the_old_one() {
    for versions in [Versions::Any, Versions::Dtls12, Versions::Dtls13] {
        for link in [Link::default(), Link { loss: 25, reorders: 20, duplicates: 20, corrupts: 0 }] {
            let mut call = Call::new(&config(settings(versions)), &config(settings(versions)), link, 7);
            call.run_for(Duration::from_secs(35));
            call.expect_keys();
            let before = call.ends.each_ref().map(|end| end.keys.len());
            let now = call.now;
            call.ends[0].association.rekey(now);
            call.collect(0);
            assert!(call.ends[0].association.is_keyed(), "the keys before are good meanwhile");
            call.run_for(Duration::from_secs(35));
            call.expect_keys();
            let [client, server] = &call.ends;
            assert!(client.keys.len() > before[0] && server.keys.len() > before[1], "{versions:?}");
            assert!(!client.keys[0].sending().is_same_key(client.keys.last().unwrap().sending()), "they are others");
        }
    }
}

#[test]
fn new_keys_that_nobody_answers_leave_the_old_ones() {
    let mut call = Call::new(&config(Settings::default()), &config(Settings::default()), Link::default(), 1);
    call.run_for(Duration::from_secs(2));
    call.link.loss = 100;
    let now = call.now;
    call.ends[0].association.rekey(now);
    call.collect(0);
    call.run_for(Duration::from_secs(60));
    assert!(matches!(call.ends[0].rekey_failed[..], [DtlsError::Deadline { .. }]), "{:?}", call.ends[0].rekey_failed);
    assert!(call.ends[0].association.is_keyed() && !call.ends[0].association.has_ended());
    call.expect_keys();
}

#[test]
fn a_hello_of_another_client_first_does_not_keep_the_right_one_out() {
    for versions in [Versions::Any, Versions::Dtls12, Versions::Dtls13] {
        for asks_for_cookie in [false, true] {
            let mut asking = settings(versions);
            asking.asks_for_cookie = asks_for_cookie;
            let (client, server, stranger) = (config(settings(versions)), config(asking), config(settings(versions)));
            let mut call = Call::new(&client, &server, Link::default(), 1);
            let mut other = Association::new(&stranger, Role::Client, fingerprint(server.certificate()), 9, call.now);
            // At the same moment, and again and again.
            for n in 0..20 {
                while let Some(action) = other.poll() {
                    if let Action::Transmit(datagram) = action {
                        call.sent += 1;
                        let at = call.now + Duration::from_millis(1);
                        call.in_flight.insert((at, call.sent), (1, datagram));
                    }
                }
                call.run_for(Duration::from_millis(7 * n));
                other = Association::new(&stranger, Role::Client, fingerprint(server.certificate()), 10 + n, call.now);
            }
            call.run_for(Duration::from_secs(30));
            call.expect_keys();
        }
    }
}

#[test]
fn a_flood_of_hellos_is_bounded() {
    let server = config(Settings::default());
    let now = Instant::from_origin(Duration::from_secs(1));
    let peer = certificate();
    let mut association = Association::new(&server, Role::Server, fingerprint(&peer), 1, now);
    let stranger = config(settings(Versions::Dtls12));
    let mut transmitted = 0;
    for n in 0..2_000u32 {
        let at = now + Duration::from_millis(u64::from(n));
        let mut other = Association::new(&stranger, Role::Client, fingerprint(server.certificate()), u64::from(n), at);
        while let Some(action) = other.poll() {
            if let Action::Transmit(hello) = action {
                association.handle_datagram(&hello, at);
            }
        }
        while let Some(action) = association.poll() {
            assert!(matches!(action, Action::Transmit(_)), "{action:?}");
            transmitted += 1;
        }
    }
    let counters = association.counters();
    assert_eq!(counters.received, 2_000);
    assert!(counters.attempts <= 21 && counters.hellos_dropped >= 1_900, "{counters:?}");
    assert!(transmitted < 200, "{transmitted}");
}

#[test]
fn any_bytes_at_any_time_end_nothing_that_was_keyed() {
    for versions in [Versions::Any, Versions::Dtls12, Versions::Dtls13] {
        let mut call = Call::new(&config(settings(versions)), &config(settings(versions)), Link::default(), 1);
        call.run_for(Duration::from_secs(2));
        call.expect_keys();
        for n in 0..3_000 {
            let len = call.rng.below(200) as usize;
            let mut datagram: Vec<u8> = (0..len).map(|_| call.rng.below(256) as u8).collect();
            if let Some(first) = datagram.first_mut() {
                *first = 20 + (n % 44) as u8;
            }
            let now = call.now;
            call.ends[n % 2].association.handle_datagram(&datagram, now);
            call.collect(n % 2);
        }
        assert!(call.ends.iter().all(|end| end.association.is_keyed() && !end.association.has_ended()));
        call.expect_keys();
    }
}

#[test]
fn settings_are_held_to_their_bounds() {
    let wrong: [fn(&mut Settings); 8] = [
        |settings| settings.mtu_bytes = 299,
        |settings| settings.mtu_bytes = 2_049,
        |settings| settings.deadline = Duration::from_millis(99),
        |settings| settings.deadline = Duration::from_secs(601),
        |settings| settings.attempt = Duration::from_millis(99),
        |settings| settings.attempt = Duration::MAX,
        |settings| settings.retransmit_after = Duration::from_millis(19),
        |settings| settings.retransmit_after = Duration::from_secs(11),
    ];
    for change in wrong {
        let mut settings = Settings::default();
        change(&mut settings);
        let refused = DtlsConfig::new(certificate(), settings).map(drop);
        assert!(matches!(refused, Err(DtlsError::Setting { .. })), "{refused:?}");
    }
}
