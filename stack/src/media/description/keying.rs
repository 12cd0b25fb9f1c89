//! What a line is keyed with, and whether that goes on in the next description (RFC 8842 section 3, RFC 4568 section 7.1).

use super::agreement::Transport;
use super::crypto::{Crypto, CryptoError, WINDOW_PACKETS};
use super::line::Stream;
use super::tls_id::TlsId;
use crate::dtls::{Fingerprints, Role, Setup};
use crate::srtp::{KeyLifetime, Policy};
use std::net::SocketAddr;

/// What an exchange does to the keys of SDES.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyChange {
    /// The first, or under another policy: [`Session::key`](crate::srtp::Session::key). None of our keys was sent under before.
    Begins,
    /// Others under the same policy, of one side or of both: [`Session::rekey`](crate::srtp::Session::rekey).
    Rekeyed,
    /// The same: a session is to go on as it is. Keyed anew, it would use keystreams twice.
    Unchanged,
}

/// How packets of a line go, and what is remembered of it.
#[derive(Clone, Debug)]
pub(super) struct Keyed {
    pub(super) transport: Transport,
    pub(super) keying: Keying,
}

/// What one side remembers of how a line was keyed.
#[derive(Clone, Debug)]
pub(super) enum Keying {
    Clear,
    Sdes(Box<SdesKeying>),
    Dtls(Box<DtlsKeying>),
}

impl Keying {
    pub(super) fn sdes(&self) -> Option<&SdesKeying> {
        match self {
            Keying::Sdes(keying) => Some(keying),
            _ => None,
        }
    }

    pub(super) fn dtls(&self) -> Option<&DtlsKeying> {
        match self {
            Keying::Dtls(keying) => Some(keying),
            _ => None,
        }
    }
}

impl Keyed {
    pub(super) fn clear() -> Self {
        Keyed { transport: Transport::Clear, keying: Keying::Clear }
    }

    /// The keys of two lines, one of each side.
    ///
    /// A key of ours that was sent under before may only go on under the same policy: a session with another policy begins anew.
    pub(super) fn sdes(ours: &Crypto, theirs: &Crypto, before: Option<&SdesKeying>) -> Result<Self, CryptoError> {
        let mut policy = policy_of(ours, theirs)?;
        let change = match before {
            Some(before) if before.is_under(&policy) => {
                policy = before.policy.clone();
                let is_same = ours.keys() == before.ours.keys() && theirs.keys() == before.theirs.keys();
                if is_same { KeyChange::Unchanged } else { KeyChange::Rekeyed }
            }
            Some(before) if before.ours.shares_key_with(ours) => return Err(CryptoError::KeyKept),
            _ => KeyChange::Begins,
        };
        let sending = ours.master_keys().map_err(CryptoError::Srtp)?;
        let receiving = theirs.master_keys().map_err(CryptoError::Srtp)?;
        let keying = SdesKeying { ours: ours.clone(), theirs: theirs.clone(), policy: policy.clone() };
        let transport = Transport::Sdes { policy, sending, receiving, change };
        Ok(Keyed { transport, keying: Keying::Sdes(Box::new(keying)) })
    }

    pub(super) fn dtls(keying: DtlsKeying, before: Option<&DtlsKeying>) -> Self {
        let is_new = before.is_none();
        let keying = before.map_or(keying.clone(), |before| keying.going_on(before));
        let transport = Transport::Dtls { role: keying.role, fingerprints: keying.theirs.clone(), is_new };
        Keyed { transport, keying: Keying::Dtls(Box::new(keying)) }
    }
}

/// The lines that keys came from.
#[derive(Clone, Debug)]
pub(super) struct SdesKeying {
    ours: Crypto,
    theirs: Crypto,
    policy: Policy,
}

impl SdesKeying {
    pub(super) fn ours(&self) -> &Crypto {
        &self.ours
    }

    /// Whether this is the line that the other side's keys came from.
    pub(super) fn is_of(&self, theirs: &Crypto) -> bool {
        self.theirs.profile() == theirs.profile() && self.theirs.keys() == theirs.keys()
    }

    /// Our line to one of theirs, with our keys as they are: if their keys are too, if they have none of ours, and if our keys are to be
    /// used as they were.
    pub(super) fn go_on_with(&self, theirs: &Crypto) -> Option<Crypto> {
        if !self.is_of(theirs) || self.ours.shares_key_with(theirs) {
            return None;
        }
        let parameters = theirs.shared_parameters();
        let ours = Crypto::new(theirs.tag(), theirs.profile(), self.ours.keys().to_vec(), parameters).ok()?;
        policy_of(&ours, theirs).is_ok_and(|policy| self.is_under(&policy)).then_some(ours)
    }

    /// Whether it is the policy, but for how large a replay window each side would like: that is not what keys are used with.
    fn is_under(&self, policy: &Policy) -> bool {
        let plain = |policy: &Policy| policy.clone().window_packets(WINDOW_PACKETS);
        plain(&self.policy) == plain(policy)
    }
}

/// A session has one policy for both directions, so keys live as long as the shortest may.
fn policy_of(ours: &Crypto, theirs: &Crypto) -> Result<Policy, CryptoError> {
    let policy = theirs.policy()?;
    let lifetimes = [ours.lifetime_packets(), theirs.lifetime_packets()].into_iter().flatten();
    let rtp_packets = lifetimes.min().unwrap_or(KeyLifetime::MAX.rtp_packets);
    let rtcp_packets = rtp_packets.min(KeyLifetime::MAX.rtcp_packets);
    policy.lifetime(KeyLifetime { rtp_packets, rtcp_packets }).map_err(CryptoError::Srtp)
}

/// An association, as descriptions tell it from others.
#[derive(Clone, Debug)]
pub(super) struct DtlsKeying {
    pub(super) role: Role,
    pub(super) ours: Fingerprints,
    pub(super) theirs: Fingerprints,
    pub(super) our_id: Option<TlsId>,
    pub(super) their_id: Option<TlsId>,
    /// Where the other side was.
    pub(super) remote: SocketAddr,
}

impl DtlsKeying {
    /// The value of `a=setup` that keeps our role.
    pub(super) fn setup(&self) -> Setup {
        match self.role {
            Role::Client => Setup::Active,
            Role::Server => Setup::Passive,
        }
    }

    /// Whether what both sides say is of this association, whatever roles they say. `our_id` is none if we have not said it yet.
    ///
    /// A side that does not name associations says by being at another address that it wants a new one (RFC 8842 section 4); that it is
    /// nowhere is a hold.
    pub(super) fn goes_on(&self, ours: &Fingerprints, our_id: Option<&TlsId>, theirs: &Stream) -> bool {
        let is_held = theirs.rtp.ip().is_unspecified() || self.remote.ip().is_unspecified();
        let is_in_place = is_held || theirs.rtp == self.remote;
        let are_names_kept = match (&theirs.tls_id, &self.their_id) {
            (Some(id), Some(before)) => id == before && our_id.is_none_or(|id| self.our_id.as_ref() == Some(id)),
            // One that says no names does not know that ours has changed, and one that says its first had not heard ours before.
            (None, _) | (_, None) => is_in_place,
        };
        let are_theirs_kept = theirs.fingerprints.as_ref().is_some_and(|theirs| theirs.is_same_set(&self.theirs));
        are_names_kept && are_theirs_kept && ours.is_same_set(&self.ours)
    }

    /// The same, if it is the association that there was: it keeps its names, though they are not said each time. One that is held is
    /// where it was.
    pub(super) fn going_on(mut self, before: &DtlsKeying) -> Self {
        self.our_id = before.our_id.clone().or(self.our_id);
        self.their_id = before.their_id.clone().or(self.their_id);
        if self.remote.ip().is_unspecified() {
            self.remote = before.remote;
        }
        self
    }
}
