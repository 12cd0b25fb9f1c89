//! Our SRTP beside another implementation: the same packets to both, and both must do the same with them.
//!
//! Both senders protect the same packets: they refuse the same ones, and of the others the bytes are equal. What was sent then arrives
//! at both receivers, some of it late, twice, damaged or forged: they accept the same packets, and of those the bytes are equal, and
//! equal to what was sent. Where the order of checks leaves no choice, they also refuse for the same reason. Since nothing is
//! begun anew in between, a packet that moved something in one of them shows in those after it.

#![allow(dead_code, reason = "each test uses a part")]

pub(crate) mod delivery;
pub(crate) mod ours;
pub(crate) mod random;
pub(crate) mod tally;
pub(crate) mod traffic;

use delivery::{Delivery, Network};
use ours::Ours;
use random::Random;
use stack::srtp::Profile;
use std::io::Write;
use std::ops::Range;
use tally::{Refusal, Tally};
use traffic::{Plain, Traffic};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Rtp,
    Rtcp,
}

/// What a peer takes, and where it does what RFC 3711 leaves open in the way that we do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) mki_lens: &'static [usize],
    pub(crate) windows: &'static [u32],
    /// The peer's window for RTCP; ours is the one for RTP.
    pub(crate) rtcp_window_packets: u32,
    /// How far a sequence number jumps.
    pub(crate) jump_max: usize,
    /// Whether some jump by about 2^15, ahead of which is late, and some come before the one that a stream began with, which is ahead
    /// too if there was no rollover.
    pub(crate) goes_half_way_round: bool,
}

/// A session: it has the same keys on both sides.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) profile: Profile,
    pub(crate) window_packets: u32,
    pub(crate) keys: Vec<Key>,
}

#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) mki: Vec<u8>,
    pub(crate) key_and_salt: Vec<u8>,
}

/// The other implementation. `None` of a packet: it was not asked.
pub(crate) trait Peer {
    /// A new session in place of the one before.
    fn begin(&mut self, setup: &Setup);

    /// Protects packets, of which we said what is in `ours`.
    fn protect(&mut self, packets: &[Plain], ours: &[Result<Vec<u8>, Refusal>]) -> Vec<Answer>;

    fn unprotect(&mut self, packets: &[Delivery]) -> Vec<Answer>;

    /// Whether it may say `theirs` of a packet of which we say `ours`, though these differ: its checks have another order.
    fn may_say(&self, protocol: Protocol, ours: Refusal, theirs: Refusal) -> bool;
}

pub(crate) type Answer = Option<Result<Vec<u8>, Refusal>>;

/// Runs at least so many packets through both, in sessions with keys, windows and streams of their own, and prints what became of them.
pub(crate) fn run(name: &str, profile: Profile, packets: usize, peer: &mut impl Peer, limits: Limits) -> Tally {
    let seed = random::seed();
    // Each profile has a run of its own, whichever others there are.
    let number = Profile::ALL.iter().position(|other| *other == profile).expect("it is one of all");
    let mut random = Random::new(seed ^ (number as u64) << 56);
    let mut tally = Tally::default();
    while tally.sent < packets {
        let at = Place { name, profile, seed, session: tally.sessions };
        session(&mut random, &at, packets, peer, limits, &mut tally);
    }
    // Not by print!, which a test that passes keeps to itself.
    let _ = writeln!(std::io::stderr(), "{name} {profile}, seed {seed}: {tally}");
    tally
}

/// Where a run is, for messages: the seed makes it again.
struct Place<'a> {
    name: &'a str,
    profile: Profile,
    seed: u64,
    session: usize,
}

impl std::fmt::Display for Place<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Place { name, profile, seed, session } = self;
        write!(out, "{name} {profile}, GLARE_SEED={seed}, session {session}")
    }
}

fn session(random: &mut Random, at: &Place<'_>, packets: usize, peer: &mut impl Peer, limits: Limits, tally: &mut Tally) {
    let setup = Setup::new(random, at.profile, limits, at.session);
    peer.begin(&setup);
    let mut ours = Ours::new(&setup);
    let mut traffic = Traffic::new(random, limits, setup.window_packets, setup.keys.len());
    traffic.ssrcs().for_each(|ssrc| ours.skip_first_rtcp_index(ssrc));
    let (primed, before) = (ours.accepted().0, (tally.protected, tally.accepted));
    let mut network = Network::new(&setup, limits);
    let packets_left = random.between(500, 5000).min(packets - tally.sent);
    let end = tally.sent + packets_left;
    while tally.sent < end {
        let round = random.between(1, 300).min(end - tally.sent);
        let sent: Vec<_> = (0..round).map(|_| traffic.next(random)).collect();
        let said: Vec<_> = ours.protect(random, &sent).into_iter().map(|said| said.map_err(Refusal::from)).collect();
        let theirs = peer.protect(&sent, &said);
        assert_eq!((said.len(), theirs.len()), (sent.len(), sent.len()), "{at}: an answer for each packet");
        let mut arrived = Vec::new();
        for ((plain, said), theirs) in sent.iter().zip(&said).zip(theirs) {
            let packet = || format!("{at}, {setup}: protecting {plain:02x?}");
            tally.compare_protected(peer, plain.protocol, said, theirs, packet);
            if let Ok(protected) = said {
                network.send(random, plain, protected, &mut arrived);
            }
        }
        traffic.settle(&sent, &said.iter().map(Result::is_ok).collect::<Vec<_>>());

        let said = ours.unprotect(random, &arrived);
        let theirs = peer.unprotect(&arrived);
        assert_eq!((said.len(), theirs.len()), (arrived.len(), arrived.len()), "{at}: an answer for each packet");
        for ((delivery, said), theirs) in arrived.iter().zip(said).zip(theirs) {
            let packet = || format!("{at}, {setup}: unprotecting {delivery:02x?}");
            tally.compare_unprotected(peer, delivery, said.map_err(Refusal::from), theirs, packet);
        }
    }
    let counted = ((tally.protected - before.0) as u64 + primed, (tally.accepted - before.1) as u64);
    assert_eq!(ours.accepted(), counted, "{at}: what was accepted is counted");
    tally.rollovers += traffic.ssrcs().map(|ssrc| ours.rollovers(ssrc)).sum::<usize>();
    tally.sessions += 1;
}

impl std::fmt::Display for Setup {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "a window of {} packets, {:02x?}", self.window_packets, self.keys)
    }
}

impl Setup {
    fn new(random: &mut Random, profile: Profile, limits: Limits, session: usize) -> Self {
        // Every length comes, however few sessions there are.
        let mki_len = limits.mki_lens[session % limits.mki_lens.len()];
        let keys = if mki_len == 0 { 1 } else { random.between(1, 5) };
        let key_and_salt_len = profile.key_len() + profile.salt_len();
        let mut made = Vec::<Key>::new();
        while made.len() < keys {
            let mut mki = random.bytes(mki_len);
            // Often alike but for the last byte.
            if let Some(first) = made.first().filter(|_| random.chance(500)) {
                mki[..mki_len - 1].copy_from_slice(&first.mki[..mki_len - 1]);
            }
            if made.iter().all(|key| key.mki != mki) {
                made.push(Key { mki, key_and_salt: random.bytes(key_and_salt_len) });
            }
        }
        Self { profile, window_packets: *random.pick(limits.windows), keys: made }
    }

    pub(crate) fn mki_len(&self) -> usize {
        self.keys[0].mki.len()
    }

    fn tag_len(&self, protocol: Protocol) -> usize {
        match (self.profile, protocol) {
            (profile, _) if profile.is_aead() => 16,
            (profile, Protocol::Rtp) if profile.name().ends_with("_32") => 4,
            _ => 10,
        }
    }

    /// How much protection adds.
    pub(crate) fn added_len(&self, protocol: Protocol) -> usize {
        let index_len = if protocol == Protocol::Rtcp { 4 } else { 0 };
        self.mki_len() + self.tag_len(protocol) + index_len
    }

    /// Where a protected packet of this length has the MKI: before an HMAC, or at the very end.
    pub(crate) fn mki_range(&self, protocol: Protocol, len: usize) -> Range<usize> {
        let end = if self.profile.is_aead() { len } else { len - self.tag_len(protocol) };
        end - self.mki_len()..end
    }
}
