//! The sending side of a session: packets are protected in place.

use super::counters::Counters;
use super::derive::Protocol;
use super::gcm::Gcm;
use super::history::{History, roc_of};
use super::hmac_sha1::{self, Job};
use super::key_ring::{KeyName, KeyRing};
use super::lanes::LANES;
use super::packet::{ENCRYPTED, INDEX_LEN, PACKET_LEN_MAX, RTCP_HEADER_LEN, expect_len_within, rtcp_ssrc};
use super::policy::{MasterKey, Policy};
use super::session_keys::SessionKeys;
use super::streams::Streams;
use super::{SrtpError, profile::TAG_LEN_MAX};
use crate::buffer::Mbuf;
use crate::rtp::{self, header};

/// The highest SRTCP index (RFC 3711 section 3.4): there are 31 bits for it.
const RTCP_INDEX_MAX: u32 = (1 << 31) - 1;

/// Protects the packets of any number of streams under the master key that is selected. Sans-IO, and for one thread at a time: see
/// [`Session`](super::Session) for several.
///
/// A packet that is refused leaves everything as it was, but for a counter. In steady state nothing is allocated: a stream's
/// first packet makes its state, a buffer without tailroom grows, and where there is a key derivation rate, keys are set up now
/// and then.
pub struct Sender {
    policy: Policy,
    ring: KeyRing,
    selected: u32,
    streams: Streams<Stream>,
    counters: Counters,
}

struct Stream {
    /// An index that is used twice gives a keystream away.
    sent: History,
    next_rtcp_index: u32,
}

/// An RTP packet that may be protected.
#[derive(Clone, Copy)]
struct Claimed {
    name: KeyName,
    ssrc: u32,
    index: u64,
    /// What of it stays in clear.
    header_len: u32,
}

impl Sender {
    /// A sender that uses the first of these master keys.
    ///
    /// # Errors
    /// Those of keys that do not fit the policy or each other: [`SrtpError::NoMasterKey`], [`SrtpError::TooManyMasterKeys`],
    /// [`SrtpError::KeyProfile`], [`SrtpError::MkiLength`], [`SrtpError::MkiTwice`], [`SrtpError::MasterKeyTwice`].
    pub fn new(policy: Policy, keys: &[MasterKey]) -> Result<Self, SrtpError> {
        let ring = KeyRing::new(&policy, keys)?;
        let streams = Streams::new(policy.streams_max);
        Ok(Sender { policy, ring, selected: 0, streams, counters: Counters::default() })
    }

    /// Goes on with other master keys, of which the first is used. Rollover counters and SRTCP indices go on where they were (RFC 3711
    /// sections 3.3.1 and 3.4), so no keystream is used twice even if a key is among the old and the new.
    /// Such a key goes on counting how much it has protected; one that comes back after others has that forgotten.
    ///
    /// # Errors
    /// As [`Sender::new`]; then everything is as it was.
    pub fn rekey(&mut self, keys: &[MasterKey]) -> Result<(), SrtpError> {
        self.go_on_with(KeyRing::new(&self.policy, keys)?);
        Ok(())
    }

    /// [`Sender::rekey`], with keys that were set up before.
    pub(super) fn go_on_with(&mut self, mut ring: KeyRing) {
        ring.inherit(&self.ring);
        (self.ring, self.selected) = (ring, 0);
    }

    /// Uses the master key with this MKI from now on.
    ///
    /// # Errors
    /// [`SrtpError::UnknownMki`].
    pub fn select_key(&mut self, mki: &[u8]) -> Result<(), SrtpError> {
        self.selected = self.ring.find(mki)?;
        Ok(())
    }

    /// How many SRTP and SRTCP packets the selected master key may still protect. Before it comes to none, the session wants a new one.
    pub fn packets_left(&self) -> (u64, u64) {
        let left = |protocol| self.ring.packets_left(self.selected, protocol);
        (left(Protocol::Srtp), left(Protocol::Srtcp))
    }

    /// How many bytes are added to an RTP packet, and to a compound RTCP packet.
    pub fn overheads(&self) -> (usize, usize) {
        (self.ring.trailer(Protocol::Srtp).len(), self.ring.trailer(Protocol::Srtcp).len())
    }

    /// What became of the packets.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How many streams there are.
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// The rollover counter of a stream: what a receiver that joins late has to be told.
    pub fn roc(&self, ssrc: u32) -> Option<u32> {
        self.streams.get(ssrc).map(|stream| stream.sent.roc())
    }

    /// Sets the rollover counter of the stream's next packet, for a stream that goes on from elsewhere.
    /// The one that is in use may be told at any time: a packet that rolls over is taken for what it is.
    ///
    /// # Errors
    /// [`SrtpError::RolloverCounter`] if it is lower than the one in use, [`SrtpError::StreamLimit`].
    pub fn set_roc(&mut self, ssrc: u32, roc: u32) -> Result<(), SrtpError> {
        self.streams.expect_room(ssrc)?;
        let policy = &self.policy;
        self.streams.get_or_make(ssrc, || Stream::new(policy)).sent.announce_roc(ssrc, roc)
    }

    /// Forgets a stream. If packets of this SSRC were sent again under the same master key, their keystreams would be used twice: only
    /// for an SSRC that has left for good. Returns whether there was one.
    pub fn remove_stream(&mut self, ssrc: u32) -> bool {
        self.streams.remove(ssrc)
    }

    /// Protects an RTP or RTCP packet in place, told apart as RFC 5761 says.
    ///
    /// # Errors
    /// Those of [`Sender::protect_rtp`] and [`Sender::protect_rtcp`].
    pub fn protect(&mut self, packet: &mut Mbuf) -> Result<(), SrtpError> {
        match rtp::classify(packet.bytes()) {
            Ok(rtp::Kind::Rtp) => self.protect_rtp(packet),
            Ok(rtp::Kind::Rtcp) => self.protect_rtcp(packet),
            Err(error) => self.counted(Err(error.into())),
        }
    }

    /// Protects an RTP packet in place: encrypts what follows its header and adds tag and MKI (RFC 3711 section 3.1).
    ///
    /// # Errors
    /// [`SrtpError::Malformed`], [`SrtpError::TooLong`], [`SrtpError::Replayed`] and [`SrtpError::TooOld`] for an index that was
    /// used or may have been, [`SrtpError::KeyExpired`], [`SrtpError::StreamLimit`], [`SrtpError::Buffer`]. The packet is as it
    /// was.
    pub fn protect_rtp(&mut self, packet: &mut Mbuf) -> Result<(), SrtpError> {
        let result = self.try_protect_rtp(packet);
        self.counted(result)
    }

    /// Protects a compound RTCP packet in place: encrypts what follows its first eight bytes and adds index, tag and MKI (RFC 3711
    /// section 3.4).
    ///
    /// # Errors
    /// [`SrtpError::Short`], [`SrtpError::TooLong`], [`SrtpError::Malformed`], [`SrtpError::KeyExpired`],
    /// [`SrtpError::StreamLimit`], [`SrtpError::Buffer`]. The packet is as it was.
    pub fn protect_rtcp(&mut self, packet: &mut Mbuf) -> Result<(), SrtpError> {
        let result = self.try_protect_rtcp(packet);
        self.counted(result)
    }

    /// Protects several RTP or RTCP packets in place, in this order, and says of each what [`Sender::protect`] would. `results` is
    /// emptied first.
    ///
    /// It is faster than one after the other where tags are HMACs and the processor has SHA instructions: those of four RTP packets
    /// are taken at once, whatever their lengths.
    pub fn protect_batch(&mut self, packets: &mut [Mbuf], results: &mut Vec<Result<(), SrtpError>>) {
        results.clear();
        if self.policy.profile.is_aead() || self.ring.derives_anew() {
            results.extend(packets.iter_mut().map(|packet| self.protect(packet)));
            return;
        }
        for packets in packets.chunks_mut(LANES) {
            // All of them have the keys that are selected. What changes does so before the next one is looked at.
            let mut claims = [None; LANES];
            for (packet, claimed) in packets.iter_mut().zip(&mut claims) {
                match rtp::classify(packet.bytes()) {
                    Ok(rtp::Kind::Rtp) => match self.claim_rtp(packet) {
                        Ok(claim) => {
                            *claimed = Some(claim);
                            self.commit_rtp(&claim);
                            self.counters.accepted += 1;
                            results.push(Ok(()));
                        }
                        Err(error) => results.push(self.counted(Err(error))),
                    },
                    _ => results.push(self.protect(packet)),
                }
            }
            let SessionKeys::Authenticated { cipher, auth } = self.ring.fixed_keys(self.selected, Protocol::Srtp) else { return };
            if let Some(cipher) = cipher {
                for (packet, claimed) in packets.iter_mut().zip(&claims) {
                    if let Some(Claimed { ssrc, index, header_len, .. }) = claimed {
                        let payload = &mut packet.bytes_mut()[*header_len as usize..];
                        cipher.apply_keystream(&cipher.initial_counter(*ssrc, *index), payload);
                    }
                }
            }
            let mut jobs = [None; LANES];
            for (job, (packet, claimed)) in jobs.iter_mut().zip(packets.iter().zip(&claims)) {
                *job = claimed.map(|claimed| Job { key: auth, data: packet.bytes(), trailer: Some(roc_of(claimed.index)) });
            }
            let tags = hmac_sha1::tags(&jobs);
            for ((packet, claimed), tag) in packets.iter_mut().zip(&claims).zip(&tags) {
                if claimed.is_some() {
                    self.finish_rtp(self.selected, tag, packet);
                }
            }
        }
    }

    #[cfg(test)]
    pub(super) fn ring_mut(&mut self) -> &mut KeyRing {
        &mut self.ring
    }

    #[cfg(test)]
    pub(super) fn set_rtcp_index(&mut self, ssrc: u32, index: u32) {
        self.streams.get_or_make(ssrc, || Stream::new(&self.policy)).next_rtcp_index = index;
    }

    #[inline]
    fn counted(&mut self, result: Result<(), SrtpError>) -> Result<(), SrtpError> {
        self.counters.count(&result);
        result
    }

    /// Where an RTP packet stands in its stream, and whether it may be protected. Makes room for what is added, and changes nothing else.
    #[inline]
    fn claim_rtp(&self, packet: &mut Mbuf) -> Result<Claimed, SrtpError> {
        let header = header::parse(packet.bytes())?;
        expect_len_within(PACKET_LEN_MAX, "RTP", packet.bytes())?;
        let ssrc = header.ssrc;
        let index = self.streams.index_of(ssrc, header.sequence_number)?;
        let name = self.ring.name(self.selected, Protocol::Srtp, index)?;
        packet.reserve_tailroom(self.ring.trailer(Protocol::Srtp).len())?;
        let header_len = if self.policy.encrypts_rtp { header.len } else { packet.left() };
        // A packet has no more than `PACKET_LEN_MAX` bytes.
        Ok(Claimed { name, ssrc, index, header_len: header_len as u32 })
    }

    /// The packet is sent: its index is used.
    #[inline]
    fn commit_rtp(&mut self, claimed: &Claimed) {
        self.ring.count(claimed.name);
        let stream = self.streams.get_or_make(claimed.ssrc, || Stream::new(&self.policy));
        stream.sent.commit(claimed.index);
    }

    #[inline]
    fn try_protect_rtp(&mut self, packet: &mut Mbuf) -> Result<(), SrtpError> {
        let claimed = self.claim_rtp(packet)?;
        let Claimed { name, ssrc, index, header_len } = claimed;
        self.ring.derive(name);
        let (clear, payload) = packet.bytes_mut().split_at_mut(header_len as usize);
        match self.ring.keys(name) {
            SessionKeys::Authenticated { cipher, auth } => {
                if let Some(cipher) = cipher {
                    cipher.apply_keystream(&cipher.initial_counter(ssrc, index), payload);
                }
                let tag = auth.tag(packet.bytes(), Some(roc_of(claimed.index)));
                self.finish_rtp(name.master, &tag, packet);
            }
            SessionKeys::Aead(gcm) => {
                let tag = seal(gcm, ssrc, index, clear, payload)?;
                self.finish_rtp(name.master, &tag, packet);
            }
        }
        self.commit_rtp(&claimed);
        Ok(())
    }

    /// Adds tag and MKI, of which an AEAD has the tag first (RFC 7714 section 8.2) and HMAC the MKI (RFC 3711 section 3.1).
    #[inline]
    fn finish_rtp(&self, master: u32, tag: &[u8], packet: &mut Mbuf) {
        let trailer = self.ring.trailer(Protocol::Srtp);
        let added = packet.append_space(trailer.len()).expect("room was reserved when the packet was claimed");
        let (mki, tag_range) = (trailer.mki(), trailer.tag());
        if !mki.is_empty() {
            added[mki].copy_from_slice(self.ring.mki(master));
        }
        // With a length that the compiler knows, the copy of the common tag is two moves and no call.
        let place = &mut added[tag_range];
        match (<&mut [u8; 10]>::try_from(&mut *place), tag.first_chunk()) {
            (Ok(place), Some(tag)) => *place = *tag,
            _ => place.copy_from_slice(&tag[..place.len()]),
        }
    }

    fn try_protect_rtcp(&mut self, packet: &mut Mbuf) -> Result<(), SrtpError> {
        const ROOM: &str = "room was reserved before anything changed";
        let ssrc = rtcp_ssrc(packet.bytes())?;
        expect_len_within(PACKET_LEN_MAX, "RTCP", packet.bytes())?;
        self.streams.expect_room(ssrc)?;
        let index = self.streams.get(ssrc).map_or(0, |stream| stream.next_rtcp_index);
        if index > RTCP_INDEX_MAX {
            return Err(SrtpError::KeyExpired { limit: 1 << 31 });
        }
        let name = self.ring.name(self.selected, Protocol::Srtcp, index.into())?;
        packet.reserve_tailroom(self.ring.trailer(Protocol::Srtcp).len())?;
        self.ring.derive(name);
        let encrypts = self.policy.encrypts_rtcp && !self.policy.profile.is_null();
        let index_word = (index | if encrypts { ENCRYPTED } else { 0 }).to_be_bytes();
        let mki = self.ring.mki(name.master);
        match self.ring.keys(name) {
            SessionKeys::Authenticated { cipher, auth } => {
                if let Some(cipher) = cipher.as_ref().filter(|_| encrypts) {
                    let payload = &mut packet.bytes_mut()[RTCP_HEADER_LEN..];
                    cipher.apply_keystream(&cipher.initial_counter(ssrc, index.into()), payload);
                }
                packet.append(&index_word).expect(ROOM);
                let tag = auth.tag(packet.bytes(), None);
                packet.append(mki).expect(ROOM);
                packet.append(&tag[..self.policy.profile.rtcp_tag_len()]).expect(ROOM);
            }
            SessionKeys::Aead(gcm) => {
                // Associated are the bytes in clear and the index (RFC 7714 sections 9.2 and 9.3).
                let tag = if encrypts {
                    let (clear, payload) = packet.bytes_mut().split_at_mut(RTCP_HEADER_LEN);
                    let mut associated = [0; RTCP_HEADER_LEN + INDEX_LEN];
                    associated[..RTCP_HEADER_LEN].copy_from_slice(clear);
                    associated[RTCP_HEADER_LEN..].copy_from_slice(&index_word);
                    seal(gcm, ssrc, index.into(), &associated, payload)?
                } else {
                    let len = packet.left();
                    packet.append(&index_word).expect(ROOM);
                    let tag = seal(gcm, ssrc, index.into(), packet.bytes(), &mut []);
                    packet.truncate(len).expect("it was as long before");
                    tag?
                };
                packet.append(&tag).expect(ROOM);
                packet.append(&index_word).expect(ROOM);
                packet.append(mki).expect(ROOM);
            }
        }
        self.ring.count(name);
        self.streams.get_or_make(ssrc, || Stream::new(&self.policy)).next_rtcp_index = index + 1;
        Ok(())
    }
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let streams = self.streams.len();
        f.debug_struct("Sender").field("policy", &self.policy).field("streams", &streams).finish_non_exhaustive()
    }
}

impl AsRef<History> for Stream {
    #[inline]
    fn as_ref(&self) -> &History {
        &self.sent
    }
}

impl Stream {
    fn new(policy: &Policy) -> Self {
        Stream { sent: History::new(policy.window_packets), next_rtcp_index: 0 }
    }
}

#[inline]
fn seal(gcm: &Gcm, ssrc: u32, index: u64, associated: &[u8], data: &mut [u8]) -> Result<[u8; TAG_LEN_MAX], SrtpError> {
    gcm.seal(gcm.nonce(ssrc, index), associated, data).map_err(|_| SrtpError::Authentication { ssrc })
}

#[cfg(test)]
mod tests {
    use super::super::Profile;
    use super::*;

    /// There are 31 bits: the next index would be the E flag.
    #[test]
    fn the_last_srtcp_index_is_the_last() {
        let profile = Profile::AesCm128HmacSha1_80;
        let key = MasterKey::new(profile, &[1; 16], &[2; 14]).unwrap();
        let mut sender = Sender::new(Policy::new(profile).unwrap(), &[key]).unwrap();
        sender.set_rtcp_index(7, RTCP_INDEX_MAX);
        let report = || Mbuf::copy_of(&[0x80, 200, 0, 1, 0, 0, 0, 7], 0, 0);
        let mut packet = report();
        sender.protect_rtcp(&mut packet).unwrap();
        assert_eq!(packet.bytes()[8..12], u32::MAX.to_be_bytes(), "the E flag and every bit of the index");
        assert_eq!(sender.protect_rtcp(&mut report()), Err(SrtpError::KeyExpired { limit: 1 << 31 }));
    }

    /// 48 bits: what would come next has the first index again.
    #[test]
    fn the_last_srtp_index_is_the_last() {
        for profile in Profile::ALL {
            let key = MasterKey::new(profile, &vec![1; profile.key_len()], &vec![2; profile.salt_len()]).unwrap();
            let mut sender = Sender::new(Policy::with_null_cipher_for_tests(profile), &[key]).unwrap();
            let packet = |sequence_number: u16| {
                let [high, low] = sequence_number.to_be_bytes();
                Mbuf::copy_of(&[0x80, 96, high, low, 0, 0, 0, 0, 0, 0, 0, 7, 1, 2, 3], 0, 0)
            };
            sender.set_roc(7, u32::MAX).unwrap();
            for sequence_number in [0xfff0, 0xffff, 0xfffe] {
                sender.protect_rtp(&mut packet(sequence_number)).unwrap();
            }
            for sequence_number in [0, 1, 0x7ffe] {
                let mut refused = packet(sequence_number);
                assert_eq!(sender.protect_rtp(&mut refused), Err(SrtpError::KeyExpired { limit: 281_474_976_710_656 }));
                assert_eq!(refused.bytes(), packet(sequence_number).bytes());
            }
        }
    }
}
