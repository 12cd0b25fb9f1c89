//! The master keys of a session, the session keys derived from them, and how much each has protected.

use super::SrtpError;
use super::derive::{self, Protocol};
use super::packet::Trailer;
use super::policy::{KeyLifetime, MasterKey, Policy, mki_len_of};
use super::session_keys::SessionKeys;

/// Derived keys are kept for so many epochs of each master key and protocol: the streams of a session are in different ones, and
/// late packets in earlier ones. Past that the oldest goes, and is derived again when it is needed.
const EPOCHS_MAX: usize = 8;

/// Master keys that are in use at the same time.
pub(super) struct KeyRing {
    masters: Vec<Master>,
    srtp_trailer: Trailer,
    srtcp_trailer: Trailer,
    key_derivation_rate: u64,
    lifetime: KeyLifetime,
}

/// Names session keys of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyName {
    pub(super) master: u32,
    pub(super) protocol: Protocol,
    epoch: u64,
}

struct Master {
    key: MasterKey,
    srtp: Epochs,
    srtcp: Epochs,
    /// How many packets of each protocol it has protected.
    srtp_packets: u64,
    srtcp_packets: u64,
}

/// The session keys of one master key and one protocol.
struct Epochs {
    /// Those that authenticated packets used, the latest last. There is always one.
    confirmed: Vec<(u64, SessionKeys)>,
    /// Derived for a packet that is not authenticated yet: it pushes nothing out.
    candidate: Option<(u64, SessionKeys)>,
}

impl KeyRing {
    /// # Errors
    /// Those of keys that do not fit the policy or each other.
    pub(super) fn new(policy: &Policy, keys: &[MasterKey]) -> Result<Self, SrtpError> {
        let mki_len = mki_len_of(policy.profile, keys)?;
        let masters = keys.iter().cloned().map(Master::new).collect();
        Ok(KeyRing {
            masters,
            srtp_trailer: Trailer::of_rtp(policy.profile, mki_len),
            srtcp_trailer: Trailer::of_rtcp(policy.profile, mki_len),
            key_derivation_rate: policy.key_derivation_rate,
            lifetime: policy.lifetime,
        })
    }

    /// Takes over what is known of keys that were in use before: one that stays goes on counting where it was. One that comes back after
    /// others counts from nothing, since keys that are not in use are not remembered.
    pub(super) fn inherit(&mut self, previous: &KeyRing) {
        for master in &mut self.masters {
            if let Some(before) = previous.masters.iter().find(|before| before.key.is_same_key(&master.key)) {
                (master.srtp_packets, master.srtcp_packets) = (before.srtp_packets, before.srtcp_packets);
            }
        }
    }

    /// Session keys that the first master key did not give.
    #[cfg(test)]
    pub(super) fn replace_session_keys(&mut self, srtp: SessionKeys, srtcp: SessionKeys) {
        let master = &mut self.masters[0];
        (master.srtp.confirmed[0].1, master.srtcp.confirmed[0].1) = (srtp, srtcp);
    }

    /// What is added to packets.
    #[inline]
    pub(super) fn trailer(&self, protocol: Protocol) -> &Trailer {
        match protocol {
            Protocol::Srtp => &self.srtp_trailer,
            Protocol::Srtcp => &self.srtcp_trailer,
        }
    }

    #[inline]
    pub(super) fn mki(&self, master: u32) -> &[u8] {
        &self.masters[master as usize].key.mki
    }

    /// Whether a packet's session keys may change from one to the next.
    #[inline]
    pub(super) fn derives_anew(&self) -> bool {
        self.key_derivation_rate != 0
    }

    /// # Errors
    /// [`SrtpError::UnknownMki`].
    #[inline]
    pub(super) fn find(&self, mki: &[u8]) -> Result<u32, SrtpError> {
        if mki.is_empty() && self.srtp_trailer.mki().is_empty() {
            // Without MKIs there is one key: two would have the same.
            return Ok(0);
        }
        let found = self.masters.iter().position(|master| master.key.mki == mki);
        found.map(|master| master as u32).ok_or(SrtpError::UnknownMki { keys: self.masters.len() })
    }

    /// Which session keys a packet with this index has under a master key.
    ///
    /// # Errors
    /// [`SrtpError::KeyExpired`] if the master key has protected all that it may.
    #[inline]
    pub(super) fn name(&self, master: u32, protocol: Protocol, index: u64) -> Result<KeyName, SrtpError> {
        let (packets, limit) = self.use_of(master, protocol);
        if packets >= limit {
            return Err(SrtpError::KeyExpired { limit });
        }
        let epoch = if self.derives_anew() { index / self.key_derivation_rate } else { 0 };
        Ok(KeyName { master, protocol, epoch })
    }

    /// How many packets the master key has left.
    pub(super) fn packets_left(&self, master: u32, protocol: Protocol) -> u64 {
        let (packets, limit) = self.use_of(master, protocol);
        limit - packets
    }

    fn use_of(&self, master: u32, protocol: Protocol) -> (u64, u64) {
        let master = &self.masters[master as usize];
        match protocol {
            Protocol::Srtp => (master.srtp_packets, self.lifetime.rtp_packets),
            Protocol::Srtcp => (master.srtcp_packets, self.lifetime.rtcp_packets),
        }
    }

    /// Sees to it that [`KeyRing::keys`] has them.
    #[inline]
    pub(super) fn derive(&mut self, name: KeyName) {
        if self.derives_anew() {
            let master = &mut self.masters[name.master as usize];
            let epochs = match name.protocol {
                Protocol::Srtp => &mut master.srtp,
                Protocol::Srtcp => &mut master.srtcp,
            };
            if epochs.get(name.epoch).is_none() {
                epochs.candidate = Some((name.epoch, derive::session_keys(&master.key, name.protocol, name.epoch)));
            }
        }
    }

    /// The keys of this name: [`KeyRing::derive`] was called for it, and for no other since.
    #[inline]
    pub(super) fn keys(&self, name: KeyName) -> &SessionKeys {
        let epochs = self.masters[name.master as usize].epochs(name.protocol);
        if !self.derives_anew() {
            return &epochs.confirmed[0].1;
        }
        epochs.get(name.epoch).expect("they were derived when the packet was looked at")
    }

    /// The keys of every packet under a master key, if they are derived once.
    #[inline]
    pub(super) fn fixed_keys(&self, master: u32, protocol: Protocol) -> &SessionKeys {
        debug_assert!(!self.derives_anew());
        &self.masters[master as usize].epochs(protocol).confirmed[0].1
    }

    /// A packet was sent with these keys, or authenticated by them.
    #[inline]
    pub(super) fn count(&mut self, name: KeyName) {
        let master = &mut self.masters[name.master as usize];
        match name.protocol {
            Protocol::Srtp => master.srtp_packets += 1,
            Protocol::Srtcp => master.srtcp_packets += 1,
        }
        if self.key_derivation_rate != 0 {
            self.confirm(name);
        }
    }

    fn confirm(&mut self, name: KeyName) {
        let master = &mut self.masters[name.master as usize];
        let epochs = match name.protocol {
            Protocol::Srtp => &mut master.srtp,
            Protocol::Srtcp => &mut master.srtcp,
        };
        if let Some(candidate) = epochs.candidate.take_if(|(epoch, _)| *epoch == name.epoch) {
            if epochs.confirmed.len() == EPOCHS_MAX {
                epochs.confirmed.remove(0);
            }
            epochs.confirmed.push(candidate);
        }
    }
}

impl Master {
    fn new(key: MasterKey) -> Self {
        let epochs = |protocol| Epochs { confirmed: vec![(0, derive::session_keys(&key, protocol, 0))], candidate: None };
        let (srtp, srtcp) = (epochs(Protocol::Srtp), epochs(Protocol::Srtcp));
        Master { key, srtp, srtcp, srtp_packets: 0, srtcp_packets: 0 }
    }

    #[inline]
    fn epochs(&self, protocol: Protocol) -> &Epochs {
        match protocol {
            Protocol::Srtp => &self.srtp,
            Protocol::Srtcp => &self.srtcp,
        }
    }
}

impl Epochs {
    #[inline]
    fn get(&self, epoch: u64) -> Option<&SessionKeys> {
        let mut all = self.confirmed.iter().rev().chain(&self.candidate);
        all.find(|(confirmed, _)| *confirmed == epoch).map(|(_, keys)| keys)
    }
}
