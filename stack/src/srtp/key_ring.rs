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
///
/// They stay where they are in memory until others are written over them, which zeroises them: moved, they would leave a copy
/// behind that nothing zeroises.
struct Epochs {
    /// There is always one. If keys are derived anew, there is room for [`EPOCHS_MAX`] that authenticated packets used, and for
    /// one that is spare.
    all: Vec<Epoch>,
    /// How many were confirmed so far.
    confirmations: u64,
}

struct Epoch {
    number: u64,
    keys: SessionKeys,
    /// Which confirmation was its own. The spare one has none: its keys were derived for a packet that is not authenticated yet,
    /// or are the oldest. They are as good as any, and the next to go.
    confirmation: Option<u64>,
}

impl KeyRing {
    /// # Errors
    /// Those of keys that do not fit the policy or each other.
    pub(super) fn new(policy: &Policy, keys: &[MasterKey]) -> Result<Self, SrtpError> {
        let mki_len = mki_len_of(policy.profile, keys)?;
        let epochs_max = if policy.key_derivation_rate == 0 { 1 } else { EPOCHS_MAX + 1 };
        let masters = keys.iter().cloned().map(|key| Master::new(key, epochs_max)).collect();
        Ok(KeyRing {
            masters,
            srtp_trailer: Trailer::of_rtp(policy.profile, mki_len),
            srtcp_trailer: Trailer::of_rtcp(policy.profile, mki_len),
            key_derivation_rate: policy.key_derivation_rate,
            lifetime: policy.lifetime,
        })
    }

    /// Takes over what is known of keys that were in use before: one that stays goes on counting where it was. One that comes
    /// back after others counts from nothing, since keys that are not in use are not remembered.
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
        (master.srtp.all[0].keys, master.srtcp.all[0].keys) = (srtp, srtcp);
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
            epochs.see_to(&master.key, name.protocol, name.epoch);
        }
    }

    /// The keys of this name: [`KeyRing::derive`] was called for it, and for no other since.
    #[inline]
    pub(super) fn keys(&self, name: KeyName) -> &SessionKeys {
        let epochs = self.masters[name.master as usize].epochs(name.protocol);
        if !self.derives_anew() {
            return &epochs.all[0].keys;
        }
        epochs.get(name.epoch).expect("they were derived when the packet was looked at")
    }

    /// The keys of every packet under a master key, if they are derived once.
    #[inline]
    pub(super) fn fixed_keys(&self, master: u32, protocol: Protocol) -> &SessionKeys {
        debug_assert!(!self.derives_anew());
        &self.masters[master as usize].epochs(protocol).all[0].keys
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
            let epochs = match name.protocol {
                Protocol::Srtp => &mut master.srtp,
                Protocol::Srtcp => &mut master.srtcp,
            };
            epochs.confirm(name.epoch);
        }
    }
}

impl Master {
    fn new(key: MasterKey, epochs_max: usize) -> Self {
        let epochs = |protocol| Epochs::new(&key, protocol, epochs_max);
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
    fn new(key: &MasterKey, protocol: Protocol, epochs_max: usize) -> Self {
        let mut all = Vec::with_capacity(epochs_max);
        all.push(Epoch { number: 0, keys: derive::session_keys(key, protocol, 0), confirmation: Some(0) });
        Epochs { all, confirmations: 0 }
    }

    #[inline]
    fn get(&self, number: u64) -> Option<&SessionKeys> {
        self.all.iter().find(|epoch| epoch.number == number).map(|epoch| &epoch.keys)
    }

    /// Has this epoch. None that was confirmed goes for it.
    fn see_to(&mut self, key: &MasterKey, protocol: Protocol, number: u64) {
        if self.get(number).is_some() {
            return;
        }
        let keys = derive::session_keys(key, protocol, number);
        match self.all.iter_mut().find(|epoch| epoch.confirmation.is_none()) {
            Some(spare) => (spare.number, spare.keys) = (number, keys),
            // There is room: with as many as there is room for, one is spare.
            None => self.all.push(Epoch { number, keys, confirmation: None }),
        }
    }

    /// A packet of this epoch is authentic. If now all are confirmed, the oldest is spare.
    fn confirm(&mut self, number: u64) {
        let Some(spare) = self.all.iter_mut().find(|epoch| epoch.number == number && epoch.confirmation.is_none()) else {
            return;
        };
        self.confirmations += 1;
        spare.confirmation = Some(self.confirmations);
        if self.all.len() > EPOCHS_MAX
            && let Some(oldest) = self.all.iter_mut().min_by_key(|epoch| epoch.confirmation)
        {
            oldest.confirmation = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::srtp::Profile;

    /// Any epochs, some of them of packets that turn out to be forged: the latest that were confirmed are there, forged ones push
    /// none of them out, and all stay where they are.
    #[test]
    fn the_last_epochs_that_were_confirmed_stay_where_they_are() {
        let profile = Profile::AesCm128HmacSha1_80;
        let key = MasterKey::new(profile, &[1; 16], &[2; 14]).unwrap();
        let policy = Policy::new(profile).unwrap().key_derivation_rate(1).unwrap();
        let mut ring = KeyRing::new(&policy, &[key]).unwrap();
        let place = ring.masters[0].srtp.all.as_ptr();
        let mut confirmed = vec![0];
        let mut random = 7u64;
        for _ in 0..3000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (epoch, is_forged) = ((random >> 40) % 14, (random >> 60) < 6);
            let name = ring.name(0, Protocol::Srtp, epoch).unwrap();
            ring.derive(name);
            let expected = derive::session_keys(&ring.masters[0].key, Protocol::Srtp, epoch);
            let tag = |keys: &SessionKeys| match keys {
                SessionKeys::Authenticated { auth, .. } => auth.tag(b"any", None),
                SessionKeys::Aead(_) => unreachable!(),
            };
            assert_eq!(tag(ring.keys(name)), tag(&expected), "epoch {epoch}");
            if !is_forged {
                ring.count(name);
                if !confirmed.contains(&epoch) {
                    confirmed.push(epoch);
                }
                if confirmed.len() > EPOCHS_MAX {
                    confirmed.remove(0);
                }
            }
            let epochs = &ring.masters[0].srtp;
            assert!(confirmed.iter().all(|epoch| epochs.get(*epoch).is_some()));
            let mut kept: Vec<_> = epochs.all.iter().filter(|epoch| epoch.confirmation.is_some()).collect();
            kept.sort_by_key(|epoch| epoch.confirmation);
            assert_eq!(kept.iter().map(|epoch| epoch.number).collect::<Vec<_>>(), confirmed);
            assert!(epochs.all.as_ptr() == place && epochs.all.len() <= EPOCHS_MAX + 1);
        }
    }
}
