//! What became of the packets, and that both sides agree on it.

use super::delivery::Delivery;
use super::{Answer, Peer, Protocol};
use stack::srtp::SrtpError;
use std::collections::BTreeMap;
use std::fmt;

/// Why a packet is refused, as far as implementations tell it in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Refusal {
    Malformed,
    Authentication,
    Replayed,
    TooOld,
    UnknownMki,
    EncryptionFlag,
    /// What neither side is expected to say here.
    Other,
}

impl From<SrtpError> for Refusal {
    fn from(error: SrtpError) -> Self {
        match error {
            SrtpError::Short { .. } | SrtpError::Malformed(_) => Self::Malformed,
            SrtpError::Authentication { .. } => Self::Authentication,
            SrtpError::Replayed { .. } => Self::Replayed,
            SrtpError::TooOld { .. } => Self::TooOld,
            SrtpError::UnknownMki { .. } => Self::UnknownMki,
            SrtpError::EncryptionFlag { .. } => Self::EncryptionFlag,
            _ => Self::Other,
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) sessions: usize,
    pub(crate) rollovers: usize,
    pub(crate) sent: usize,
    pub(crate) protected: usize,
    pub(crate) not_protected: BTreeMap<Refusal, usize>,
    pub(crate) arrived: usize,
    pub(crate) accepted: usize,
    pub(crate) refused: BTreeMap<Refusal, usize>,
    /// Protected or arrived, but the peer was not asked: it does not do it, or not well.
    pub(crate) not_asked: usize,
}

impl Tally {
    pub(crate) fn compare_protected(
        &mut self,
        peer: &impl Peer,
        protocol: Protocol,
        ours: &Result<Vec<u8>, Refusal>,
        theirs: Answer,
        packet: impl Fn() -> String,
    ) {
        self.sent += 1;
        self.agree(peer, protocol, ours, theirs, &packet);
        match ours {
            Ok(_) => self.protected += 1,
            Err(refusal) => {
                let expected = matches!(refusal, Refusal::Replayed | Refusal::TooOld);
                assert!(expected, "a packet is not protected for no good reason, {refusal:?}: {}", packet());
                *self.not_protected.entry(*refusal).or_default() += 1;
            }
        }
    }

    pub(crate) fn compare_unprotected(
        &mut self,
        peer: &impl Peer,
        delivery: &Delivery,
        ours: Result<Vec<u8>, Refusal>,
        theirs: Answer,
        packet: impl Fn() -> String,
    ) {
        self.arrived += 1;
        self.agree(peer, delivery.protocol, &ours, theirs, &packet);
        match &ours {
            Ok(bytes) => {
                let plain = delivery.plain.as_deref();
                assert!(plain.is_some(), "a damaged packet is accepted: {}", packet());
                assert!(plain == Some(bytes), "expected what was sent, got {bytes:02x?}: {}", packet());
                self.accepted += 1;
            }
            Err(refusal) => *self.refused.entry(*refusal).or_default() += 1,
        }
    }

    fn agree(
        &mut self,
        peer: &impl Peer,
        protocol: Protocol,
        ours: &Result<Vec<u8>, Refusal>,
        theirs: Answer,
        packet: impl Fn() -> String,
    ) {
        match (ours, theirs) {
            (_, None) => self.not_asked += 1,
            (Ok(ours), Some(Ok(theirs))) => {
                assert!(*ours == theirs, "the bytes differ\n ours {ours:02x?}\n theirs {theirs:02x?}\n{}", packet());
            }
            (Err(ours), Some(Err(theirs))) => {
                let agree = *ours == theirs || peer.may_say(protocol, *ours, theirs);
                assert!(agree, "refused by us as {ours:?}, by them as {theirs:?}: {}", packet());
            }
            (Ok(_), Some(Err(theirs))) => panic!("accepted by us, refused by them as {theirs:?}: {}", packet()),
            (Err(ours), Some(Ok(_))) => panic!("refused by us as {ours:?}, accepted by them: {}", packet()),
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { sessions, rollovers, sent, protected, not_protected, arrived, accepted, refused, not_asked } = self;
        write!(out, "{sessions} sessions, {rollovers} rollovers; of {sent} packets {protected} protected")?;
        reasons(out, not_protected)?;
        write!(out, "; of {arrived} arrived {accepted} accepted")?;
        reasons(out, refused)?;
        write!(out, "; peer not asked {not_asked}")
    }
}

fn reasons(out: &mut fmt::Formatter<'_>, refused: &BTreeMap<Refusal, usize>) -> fmt::Result {
    refused.iter().try_for_each(|(refusal, packets)| write!(out, ", {refusal:?} {packets}"))
}
