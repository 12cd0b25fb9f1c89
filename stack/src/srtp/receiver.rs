//! The receiving side of a session: packets are authenticated and decrypted in place.

use super::SrtpError;
use super::counters::Counters;
use super::derive::Protocol;
use super::history::{History, roc_of};
use super::hmac_sha1::{self, Job, TAG_LEN};
use super::key_ring::{KeyName, KeyRing};
use super::lanes::LANES;
use super::packet::{ENCRYPTED, INDEX_LEN, RTCP_HEADER_LEN, rtcp_ssrc};
use super::policy::{MasterKey, Policy};
use super::replay::ReplayWindow;
use super::session_keys::SessionKeys;
use super::streams::Streams;
use crate::buffer::Mbuf;
use crate::rtp::{self, header};

/// Unprotects the packets of any number of streams, under any of its master keys. Sans-IO, and for one thread at a time: see
/// [`Session`](super::Session) for several.
///
/// A packet that is refused leaves everything as it was, but for a counter: no rollover counter moves, no stream is made, no key
/// is used up before a packet is authenticated. Its bytes are as they were, or, if an AEAD refused it, of no use behind the
/// header. In steady state nothing is allocated: a stream's first packet makes its state, and where there is a key derivation
/// rate, keys are set up now and then.
pub struct Receiver {
    policy: Policy,
    ring: KeyRing,
    /// The keys before the last rekeying, for packets that were in flight.
    previous: Option<Previous>,
    streams: Streams<Stream>,
    counters: Counters,
    /// What an AEAD would spoil of a packet that is to be tried under other keys after.
    ciphertext: Vec<u8>,
}

struct Previous {
    ring: KeyRing,
    grace_packets: u32,
}

struct Stream {
    seen: History,
    seen_rtcp: ReplayWindow,
}

/// Which keys a packet is tried under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ring {
    Current,
    Previous,
}

/// What a packet is by its own word, before it is authenticated.
struct Claimed {
    name: KeyName,
    ssrc: u32,
    index: u64,
    /// Where it ends to be in clear.
    header_len: u32,
    /// How long it is without what was added.
    data_len: u32,
}

impl Receiver {
    /// A receiver that knows these master keys.
    ///
    /// # Errors
    /// Those of keys that do not fit the policy or each other: [`SrtpError::NoMasterKey`], [`SrtpError::TooManyMasterKeys`],
    /// [`SrtpError::KeyProfile`], [`SrtpError::MkiLength`], [`SrtpError::MkiTwice`], [`SrtpError::MasterKeyTwice`].
    pub fn new(policy: Policy, keys: &[MasterKey]) -> Result<Self, SrtpError> {
        let ring = KeyRing::new(&policy, keys)?;
        let streams = Streams::new(policy.streams_max);
        Ok(Receiver { policy, ring, previous: None, streams, counters: Counters::default(), ciphertext: Vec::new() })
    }

    /// Goes on with other master keys. Rollover counters and replay windows go on as they were (RFC 3711 section 3.3.1). Packets under
    /// the old keys, which were in flight, are taken until the policy's grace has ended or [`Receiver::forget_previous_keys`].
    ///
    /// # Errors
    /// As [`Receiver::new`]; then everything is as it was.
    pub fn rekey(&mut self, keys: &[MasterKey]) -> Result<(), SrtpError> {
        self.go_on_with(KeyRing::new(&self.policy, keys)?);
        Ok(())
    }

    /// [`Receiver::rekey`], with keys that were set up before.
    pub(super) fn go_on_with(&mut self, mut ring: KeyRing) {
        ring.inherit(&self.ring);
        let ring = std::mem::replace(&mut self.ring, ring);
        let grace_packets = self.policy.rekey_grace_packets;
        self.previous = (grace_packets > 0).then_some(Previous { ring, grace_packets });
    }

    /// Takes no packets under the keys before the last rekeying any more.
    pub fn forget_previous_keys(&mut self) {
        self.previous = None;
    }

    /// What became of the packets.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How many streams there are.
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// The rollover counter of a stream.
    pub fn roc(&self, ssrc: u32) -> Option<u32> {
        self.streams.get(ssrc).map(|stream| stream.seen.roc())
    }

    /// Sets the rollover counter of the stream's next packet, for a receiver that joins late (RFC 3711 section 3.3.1).
    /// The one that is in use may be told at any time: a packet that rolls over is taken for what it is, and only one that comes late
    /// from before it is refused, until another has been taken.
    ///
    /// # Errors
    /// [`SrtpError::RolloverCounter`] if it is lower than that of an authenticated packet, [`SrtpError::StreamLimit`].
    pub fn set_roc(&mut self, ssrc: u32, roc: u32) -> Result<(), SrtpError> {
        self.streams.expect_room(ssrc)?;
        let policy = &self.policy;
        self.streams.get_or_make(ssrc, || Stream::new(policy)).seen.announce_roc(ssrc, roc)
    }

    /// Forgets a stream, and with it which of its packets were here: they would be taken again. Returns whether there was one.
    pub fn remove_stream(&mut self, ssrc: u32) -> bool {
        self.streams.remove(ssrc)
    }

    /// Unprotects an SRTP or SRTCP packet in place, told apart as RFC 5761 says.
    ///
    /// # Errors
    /// Those of [`Receiver::unprotect_rtp`] and [`Receiver::unprotect_rtcp`].
    pub fn unprotect(&mut self, packet: &mut Mbuf) -> Result<(), SrtpError> {
        match rtp::classify(packet.bytes()) {
            Ok(rtp::Kind::Rtp) => self.unprotect_rtp(packet),
            Ok(rtp::Kind::Rtcp) => self.unprotect_rtcp(packet),
            Err(error) => self.counted(Err(error.into())),
        }
    }

    /// Unprotects an SRTP packet in place: what is left is the RTP packet.
    ///
    /// # Errors
    /// [`SrtpError::Short`], [`SrtpError::TooLong`], [`SrtpError::Malformed`], [`SrtpError::UnknownMki`],
    /// [`SrtpError::Replayed`], [`SrtpError::TooOld`], [`SrtpError::Authentication`], [`SrtpError::KeyExpired`],
    /// [`SrtpError::StreamLimit`].
    pub fn unprotect_rtp(&mut self, packet: &mut Mbuf) -> Result<(), SrtpError> {
        let result = self.under_any_keys(packet, Receiver::try_unprotect_rtp);
        self.counted(result)
    }

    /// Unprotects an SRTCP packet in place: what is left is the compound RTCP packet.
    ///
    /// # Errors
    /// Those of [`Receiver::unprotect_rtp`], and [`SrtpError::EncryptionFlag`].
    pub fn unprotect_rtcp(&mut self, packet: &mut Mbuf) -> Result<(), SrtpError> {
        let result = self.under_any_keys(packet, Receiver::try_unprotect_rtcp);
        self.counted(result)
    }

    /// Unprotects several SRTP or SRTCP packets in place, in this order, and says of each what [`Receiver::unprotect`] would. `results`
    /// is emptied first.
    ///
    /// It is faster than one after the other where tags are HMACs and the processor has SHA instructions: those of four SRTP packets
    /// are taken at once, whatever their lengths.
    pub fn unprotect_batch(&mut self, packets: &mut [Mbuf], results: &mut Vec<Result<(), SrtpError>>) {
        results.clear();
        if self.policy.profile.is_aead() || self.ring.derives_anew() || self.previous.is_some() {
            results.extend(packets.iter_mut().map(|packet| self.unprotect(packet)));
            return;
        }
        for packets in packets.chunks_mut(LANES) {
            let mut claims = [const { None }; LANES];
            let mut jobs = [None; LANES];
            for ((packet, claimed), job) in packets.iter().map(Mbuf::bytes).zip(&mut claims).zip(&mut jobs) {
                if let Ok(rtp::Kind::Rtp) = rtp::classify(packet)
                    && let Ok(claim) = self.claim_rtp(Ring::Current, packet)
                    && let SessionKeys::Authenticated { auth, .. } = self.ring.fixed_keys(claim.name.master, Protocol::Srtp)
                {
                    let data = &packet[..claim.data_len as usize];
                    *job = Some(Job { key: auth, data, trailer: Some(roc_of(claim.index)) });
                    *claimed = Some(claim);
                }
            }
            let tags = hmac_sha1::tags(&jobs);
            for ((packet, claimed), tag) in packets.iter_mut().zip(claims).zip(&tags) {
                // The packets before it may have moved the index that it was taken to have, or be the same packet.
                match claimed {
                    Some(claimed) if self.still_holds(&claimed) => {
                        match self.admit_rtp(Ring::Current, &claimed, Some(tag), packet) {
                            Ok(()) => {
                                self.counters.accepted += 1;
                                results.push(Ok(()));
                            }
                            Err(error) => results.push(self.counted(Err(error))),
                        }
                    }
                    _ => results.push(self.unprotect(packet)),
                }
            }
        }
    }

    #[cfg(test)]
    pub(super) fn ring_mut(&mut self) -> &mut KeyRing {
        &mut self.ring
    }

    #[inline]
    fn counted(&mut self, result: Result<(), SrtpError>) -> Result<(), SrtpError> {
        self.counters.count(&result);
        result
    }

    #[inline]
    fn under_any_keys(
        &mut self,
        packet: &mut Mbuf,
        try_unprotect: fn(&mut Receiver, Ring, &mut Mbuf) -> Result<(), SrtpError>,
    ) -> Result<(), SrtpError> {
        if self.previous.is_none() {
            return try_unprotect(self, Ring::Current, packet);
        }
        let spoils = self.policy.profile.is_aead();
        if spoils {
            self.ciphertext.clear();
            self.ciphertext.extend_from_slice(packet.bytes());
        }
        let result = try_unprotect(self, Ring::Current, packet);
        match (&result, &mut self.previous) {
            (Ok(()), Some(previous)) => {
                previous.grace_packets -= 1;
                if previous.grace_packets == 0 {
                    self.previous = None;
                }
                result
            }
            // Other keys may have MKIs of another length, so that what was taken for MKI, index, E flag or the end of the header
            // may have been anything: whatever is wrong with the packet may be so only under these keys.
            (Err(_), Some(_)) => {
                if spoils {
                    packet.bytes_mut().copy_from_slice(&self.ciphertext);
                }
                match try_unprotect(self, Ring::Previous, packet) {
                    Ok(()) => Ok(()),
                    // What is wrong under the keys that are in use is what is wrong.
                    Err(_) => result,
                }
            }
            _ => result,
        }
    }

    #[inline]
    fn ring(&mut self, ring: Ring) -> &mut KeyRing {
        match (ring, &mut self.previous) {
            (Ring::Previous, Some(previous)) => &mut previous.ring,
            _ => &mut self.ring,
        }
    }

    #[inline]
    fn ring_ref(&self, ring: Ring) -> &KeyRing {
        match (ring, &self.previous) {
            (Ring::Previous, Some(previous)) => &previous.ring,
            _ => &self.ring,
        }
    }

    /// What an SRTP packet claims to be, and whether such a packet may be taken. Changes nothing.
    #[inline]
    fn claim_rtp(&self, ring: Ring, packet: &[u8]) -> Result<Claimed, SrtpError> {
        let ring = self.ring_ref(ring);
        let trailer = ring.trailer(Protocol::Srtp);
        let (data, added) = packet.split_at(trailer.data_len(packet)?);
        let header = header::parse(data)?;
        let ssrc = header.ssrc;
        let master = ring.find(&added[trailer.mki()])?;
        let index = self.streams.index_of(ssrc, header.sequence_number)?;
        let name = ring.name(master, Protocol::Srtp, index)?;
        let header_len = if self.policy.encrypts_rtp { header.len } else { data.len() };
        // A packet has little more than `PACKET_LEN_MAX` bytes, or it had no `data_len`.
        Ok(Claimed { name, ssrc, index, header_len: header_len as u32, data_len: data.len() as u32 })
    }

    /// Whether the claim of a packet would be the same now.
    #[inline]
    fn still_holds(&self, claimed: &Claimed) -> bool {
        let &Claimed { name, ssrc, index, .. } = claimed;
        let may_be_taken = self.streams.index_of(ssrc, index as u16).is_ok_and(|now| now == index);
        may_be_taken && self.ring.name(name.master, Protocol::Srtp, index).is_ok()
    }

    #[inline]
    fn try_unprotect_rtp(&mut self, ring: Ring, packet: &mut Mbuf) -> Result<(), SrtpError> {
        let claimed = self.claim_rtp(ring, packet.bytes())?;
        self.ring(ring).derive(claimed.name);
        self.admit_rtp(ring, &claimed, None, packet)
    }

    /// Takes the packet if it is authentic. `tag` is the one it should have, if that is known already.
    #[inline]
    fn admit_rtp(
        &mut self,
        ring: Ring,
        claimed: &Claimed,
        tag: Option<&[u8; TAG_LEN]>,
        packet: &mut Mbuf,
    ) -> Result<(), SrtpError> {
        let &Claimed { name, ssrc, index, header_len, data_len } = claimed;
        let forged = SrtpError::Authentication { ssrc };
        let keys = self.ring_ref(ring);
        let (data, added) = packet.bytes_mut().split_at_mut(data_len as usize);
        let sent_tag = &added[keys.trailer(Protocol::Srtp).tag()];
        match keys.keys(name) {
            SessionKeys::Authenticated { cipher, auth } => {
                let is_authentic = match tag {
                    Some(tag) => hmac_sha1::begins_with(tag, sent_tag),
                    None => hmac_sha1::begins_with(&auth.tag(data, Some(roc_of(claimed.index))), sent_tag),
                };
                if !is_authentic {
                    return Err(forged);
                }
                if let Some(cipher) = cipher {
                    cipher.apply_keystream(&cipher.initial_counter(ssrc, index), &mut data[header_len as usize..]);
                }
            }
            SessionKeys::Aead(gcm) => {
                let (clear, payload) = data.split_at_mut(header_len as usize);
                gcm.open(gcm.nonce(ssrc, index), clear, payload, sent_tag).map_err(|_| forged)?;
            }
        }
        packet.truncate(data_len as usize).expect("the trailer lies within the packet");
        self.commit_rtp(ring, claimed);
        Ok(())
    }

    /// The packet is authentic: it counts.
    #[inline]
    fn commit_rtp(&mut self, ring: Ring, claimed: &Claimed) {
        self.ring(ring).count(claimed.name);
        let stream = self.streams.get_or_make(claimed.ssrc, || Stream::new(&self.policy));
        stream.seen.commit(claimed.index);
    }

    fn try_unprotect_rtcp(&mut self, ring: Ring, packet: &mut Mbuf) -> Result<(), SrtpError> {
        let keys = self.ring_ref(ring);
        let trailer = *keys.trailer(Protocol::Srtcp);
        let data_len = trailer.data_len(packet.bytes())?;
        let ssrc = rtcp_ssrc(packet.bytes())?;
        let added = &packet.bytes()[data_len..];
        let master = keys.find(&added[trailer.mki()])?;
        let index_word: [u8; INDEX_LEN] = added[trailer.index()].try_into().expect("the index has four bytes");
        let word = u32::from_be_bytes(index_word);
        let expected = self.policy.encrypts_rtcp && !self.policy.profile.is_null();
        if (word & ENCRYPTED != 0) != expected {
            return Err(SrtpError::EncryptionFlag { ssrc, expected });
        }
        let index = u64::from(word & !ENCRYPTED);
        match self.streams.get(ssrc) {
            Some(stream) => stream.seen_rtcp.check(ssrc, index)?,
            None => self.streams.expect_room(ssrc)?,
        }
        let name = keys.name(master, Protocol::Srtcp, index)?;
        self.ring(ring).derive(name);
        let forged = SrtpError::Authentication { ssrc };
        match self.ring_ref(ring).keys(name) {
            SessionKeys::Authenticated { cipher, auth } => {
                let tag = auth.tag(&packet.bytes()[..data_len + INDEX_LEN], None);
                let sent_tag = &packet.bytes()[data_len..][trailer.tag()];
                if !hmac_sha1::begins_with(&tag, sent_tag) {
                    return Err(forged);
                }
                if let Some(cipher) = cipher.as_ref().filter(|_| expected) {
                    let payload = &mut packet.bytes_mut()[RTCP_HEADER_LEN..data_len];
                    cipher.apply_keystream(&cipher.initial_counter(ssrc, index), payload);
                }
            }
            SessionKeys::Aead(gcm) => {
                let (data, added) = packet.bytes_mut().split_at_mut(data_len);
                let (tag, after) = added.split_at_mut(trailer.tag().len());
                if expected {
                    let (clear, payload) = data.split_at_mut(RTCP_HEADER_LEN);
                    let mut associated = [0; RTCP_HEADER_LEN + INDEX_LEN];
                    associated[..RTCP_HEADER_LEN].copy_from_slice(clear);
                    associated[RTCP_HEADER_LEN..].copy_from_slice(&after[..INDEX_LEN]);
                    gcm.open(gcm.nonce(ssrc, index), &associated, payload, tag).map_err(|_| forged)?;
                } else {
                    // Associated are packet and index, which the tag stands between: it makes way for a moment.
                    let mut sent_tag = [0; super::profile::TAG_LEN_MAX];
                    sent_tag.copy_from_slice(tag);
                    packet.bytes_mut()[data_len..data_len + INDEX_LEN].copy_from_slice(&index_word);
                    let associated = &packet.bytes()[..data_len + INDEX_LEN];
                    let opened = gcm.open(gcm.nonce(ssrc, index), associated, &mut [], &sent_tag);
                    packet.bytes_mut()[data_len..][trailer.tag()].copy_from_slice(&sent_tag);
                    opened.map_err(|_| forged)?;
                }
            }
        }
        packet.truncate(data_len).expect("the trailer lies within the packet");
        self.ring(ring).count(name);
        self.streams.get_or_make(ssrc, || Stream::new(&self.policy)).seen_rtcp.commit(index);
        Ok(())
    }
}

impl std::fmt::Debug for Receiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let streams = self.streams.len();
        f.debug_struct("Receiver").field("policy", &self.policy).field("streams", &streams).finish_non_exhaustive()
    }
}

impl AsRef<History> for Stream {
    #[inline]
    fn as_ref(&self) -> &History {
        &self.seen
    }
}

impl Stream {
    fn new(policy: &Policy) -> Self {
        Stream { seen: History::new(policy.window_packets), seen_rtcp: ReplayWindow::new(policy.window_packets) }
    }
}
