//! A transport that learns where the peer is.

use sim::time::Instant;
use stack::buffer::Mbuf;
use stack::media::transport::{Peer, Phase, Reaction, Received, SdesTransport, Transport, TransportCounters, TransportError};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};

/// SDES with a peer whose address nobody has said: the first packet that is authentic tells it, and it stays the same from then on, so
/// that a packet which somebody holds back and sends from elsewhere moves nothing later. Until then nothing can be sent, and the phase says
/// so. What somebody else could do is to send that first packet on from another address before it comes: then the call is mute, and
/// what goes to that address is encrypted.
#[derive(Debug)]
pub(super) struct Learning {
    inner: SdesTransport,
    is_muxed: bool,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    rtp: Option<SocketAddr>,
    rtcp: Option<SocketAddr>,
}

/// Where nobody is.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

impl Learning {
    /// A transport without keys, to nobody.
    pub(super) fn new(is_muxed: bool) -> Self {
        Learning { inner: SdesTransport::new(Peer::muxed(NOWHERE)), is_muxed, known: Mutex::default() }
    }

    /// What holds the keys.
    pub(super) fn keyed(&self) -> &SdesTransport {
        &self.inner
    }

    /// A packet that is authentic came from there.
    fn learn(&self, from: SocketAddr, is_rtcp: bool) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let place = if is_rtcp && !self.is_muxed { &mut known.rtcp } else { &mut known.rtp };
        if place.is_some() {
            return;
        }
        *place = Some(from);
        if let Some(rtp) = known.rtp {
            // RFC 3550 section 11: the port above, until a packet of RTCP says where it is.
            let above = SocketAddr::new(rtp.ip(), rtp.port().saturating_add(1));
            let rtcp = if self.is_muxed { rtp } else { known.rtcp.unwrap_or(above) };
            self.inner.set_peer(Peer { rtp, rtcp });
        }
    }

    fn is_known(&self) -> bool {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).rtp.is_some()
    }
}

impl Transport for Learning {
    fn is_secure(&self) -> bool {
        self.inner.is_secure()
    }

    fn has_encrypted(&self) -> [bool; 2] {
        self.inner.has_encrypted()
    }

    fn require_encryption(&self, of: [bool; 2]) -> Result<(), TransportError> {
        self.inner.require_encryption(of)
    }

    fn phase(&self) -> Phase {
        match self.inner.phase() {
            Phase::Open if !self.is_known() => Phase::Keying,
            phase => phase,
        }
    }

    fn peer(&self) -> Peer {
        self.inner.peer()
    }

    fn protect(&self, packet: &mut Mbuf) -> Result<(), TransportError> {
        self.inner.protect(packet)
    }

    fn receive(&self, from: SocketAddr, datagram: &mut Mbuf, now: Instant) -> Result<Received, TransportError> {
        let received = self.inner.receive(from, datagram, now)?;
        match received {
            Received::Rtp => self.learn(from, false),
            Received::Rtcp => self.learn(from, true),
            _ => {}
        }
        Ok(received)
    }

    fn handle_timeout(&self, now: Instant) -> Reaction {
        self.inner.handle_timeout(now)
    }

    fn next_due(&self) -> Option<Instant> {
        self.inner.next_due()
    }

    fn close(&self, now: Instant) -> Reaction {
        self.inner.close(now)
    }

    fn counters(&self) -> TransportCounters {
        self.inner.counters()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stack::rtp::packet::Fields;
    use stack::srtp::{MasterKey, Policy, Profile};

    const PROFILE: Profile = Profile::AesCm128HmacSha1_80;
    /// A receiver report about nobody (RFC 3550 section 6.4.2).
    const REPORT: [u8; 8] = [0x80, 201, 0, 1, 0, 0, 0, 7];

    fn keyed(of: &SdesTransport, sending: u8, receiving: u8) {
        let key = |byte: u8| [MasterKey::from_concatenated(PROFILE, &[byte; 30]).unwrap()];
        of.set_keys(&Policy::new(PROFILE).unwrap(), &key(sending), &key(receiving)).unwrap();
    }

    fn at(port: u16) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, port).into()
    }

    /// What a peer with these keys sends.
    fn rtp(peer: &SdesTransport, sequence_number: u16) -> Mbuf {
        let fields = Fields { sequence_number, ssrc: 7, payload: &[0; 20], ..Fields::default() };
        let mut bytes = vec![0; fields.packet_len().unwrap()];
        fields.write(&mut bytes).unwrap();
        let mut packet = Mbuf::copy_of(&bytes, 0, 64);
        peer.protect(&mut packet).unwrap();
        packet
    }

    fn rtcp(peer: &SdesTransport) -> Mbuf {
        let mut packet = Mbuf::copy_of(&REPORT, 0, 64);
        peer.protect(&mut packet).unwrap();
        packet
    }

    #[test]
    fn the_first_packet_that_is_authentic_tells_and_no_other() {
        let (learning, peer, stranger) =
            (Learning::new(true), SdesTransport::new(Peer::muxed(at(1))), SdesTransport::new(Peer::muxed(at(1))));
        keyed(learning.keyed(), 1, 2);
        keyed(&peer, 2, 1);
        keyed(&stranger, 3, 1);
        let now = Instant::now();
        assert_eq!(learning.phase(), Phase::Keying, "nobody is known");
        assert!(learning.receive(at(66), &mut rtp(&stranger, 1), now).is_err());
        assert_eq!(learning.phase(), Phase::Keying, "what is not authentic tells nothing");
        assert!(matches!(learning.receive(at(2), &mut rtp(&peer, 1), now), Ok(Received::Rtp)));
        assert_eq!((learning.phase(), learning.peer()), (Phase::Open, Peer::muxed(at(2))));
        assert!(matches!(learning.receive(at(3), &mut rtp(&peer, 2), now), Ok(Received::Rtp)), "its tag says whose it is");
        assert!(matches!(learning.receive(at(4), &mut rtcp(&peer), now), Ok(Received::Rtcp)));
        assert_eq!(learning.peer(), Peer::muxed(at(2)), "it stays where it was first");
        let _ = learning.close(now);
        assert_eq!(learning.phase(), Phase::Closed);
    }

    #[test]
    fn of_two_ports_each_is_told_by_its_own_packets() {
        let (learning, peer) = (Learning::new(false), SdesTransport::new(Peer::muxed(at(1))));
        keyed(learning.keyed(), 1, 2);
        keyed(&peer, 2, 1);
        let now = Instant::now();
        let _ = learning.receive(at(2), &mut rtp(&peer, 1), now).unwrap();
        assert_eq!(learning.peer(), Peer { rtp: at(2), rtcp: at(3) }, "the port above, until it is known");
        let _ = learning.receive(at(9), &mut rtcp(&peer), now).unwrap();
        let _ = learning.receive(at(10), &mut rtcp(&peer), now).unwrap();
        assert_eq!(learning.peer(), Peer { rtp: at(2), rtcp: at(9) });
        // The other way round.
        let learning = Learning::new(false);
        keyed(learning.keyed(), 1, 2);
        let _ = learning.receive(at(9), &mut rtcp(&peer), now).unwrap();
        assert_eq!(learning.phase(), Phase::Keying, "RTCP alone does not say where RTP is");
        let _ = learning.receive(at(2), &mut rtp(&peer, 2), now).unwrap();
        assert_eq!((learning.phase(), learning.peer()), (Phase::Open, Peer { rtp: at(2), rtcp: at(9) }));
    }
}
