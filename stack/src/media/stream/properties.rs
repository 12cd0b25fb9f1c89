//! What holds for a stream whatever comes: fuzz targets, property tests and corpus tests share these bodies.

use super::{Content, PayloadSink, PayloadSource, Stream, StreamConfig};
use crate::buffer::Mbuf;
use crate::dtls::{Certificate, DtlsConfig, FingerprintHash, Protocol, Role, Settings, classify};
use crate::media::clock::Tick;
use crate::media::codec::{G711, Law};
use crate::media::description::Direction;
use crate::media::sound::Silence;
use crate::media::transport::{ClearTransport, DtlsTransport, Peer, Phase, SdesTransport, Transport};
use crate::srtp::{MasterKey, Policy, Profile};
use sim::sync::Arc;
use sim::time::Instant;
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::Duration;

/// The bytes of one datagram: it is of one protocol or of none, as its first byte says, and RTP and RTCP are as long as they must be.
pub fn any_datagram(bytes: &[u8]) {
    match (classify(bytes), bytes.first()) {
        (Ok(Protocol::Stun), Some(0..=3)) | (Ok(Protocol::Zrtp), Some(16..=19)) | (Ok(Protocol::Dtls), Some(20..=63)) => {}
        (Ok(Protocol::TurnChannel), Some(64..=79)) => {}
        (Ok(Protocol::Rtp), Some(128..=191)) => assert!(bytes.len() >= 12 && !(192..=223).contains(&bytes[1])),
        (Ok(Protocol::Rtcp), Some(128..=191)) => assert!(bytes.len() >= 8 && (192..=223).contains(&bytes[1])),
        (Err(_), first) => {
            let is_short = matches!(first, Some(128..=191)) && bytes.len() < 12;
            let is_reserved = !matches!(first, Some(0..=3 | 16..=79 | 128..=191));
            assert!(is_short || is_reserved, "a datagram of {first:?} is of no protocol");
        }
        (Ok(protocol), first) => panic!("a datagram that begins with {first:?} is {protocol:?}"),
    }
}

const OURS: u32 = 0x6f75_7273;

/// The first byte says which transport, content and direction. Then steps, each a byte and what it says: a datagram of the peer's or of a
/// stranger's, a tick, time, a direction, an event taken, the end.
///
/// Nobody panics. Without our keys nothing is taken for RTP or RTCP where there are keys; a stranger gets no answer and is not heard
/// where there are none; what is taken and refused is counted; after the end nothing is sent, and nothing is due, but before it something is, unless the handshake
/// has failed.
pub fn any_steps(bytes: &[u8]) {
    let (first, mut rest) = bytes.split_first().unwrap_or((&0, &[]));
    let (mut now, peer) = (Instant::from_origin(Duration::from_secs(1_000)), address(5_004));
    let is_sound = first & 4 == 0;
    let Rig { stream, mut content, is_secure } = Rig::new(first % 3, is_sound, peer, now);
    let (mut received, mut ended, mut ticks) = (0, false, 0);
    while let Some((step, after)) = rest.split_first() {
        rest = after;
        let mut sent = Vec::new();
        match step % 8 {
            0..=2 => {
                let len = rest.first().map_or(0, |len| usize::from(*len)).min(rest.len().saturating_sub(1));
                let Some(datagram) = rest.get(1..1 + len) else { continue };
                rest = &rest[1 + len..];
                let is_stranger = step % 8 == 2;
                let from = if is_stranger { address(666) } else { peer };
                let mut buffer = Mbuf::copy_of(datagram, 0, 0);
                match stream.receive(from, &mut buffer, now) {
                    Ok(taken) => {
                        let is_media = matches!(classify(datagram), Ok(Protocol::Rtp | Protocol::Rtcp));
                        assert!(!(is_media && (is_secure || is_stranger)), "a packet was taken that nobody sealed");
                        assert!(!is_stranger || taken.outgoing.is_empty(), "a stranger was answered");
                        received += u64::from(classify(datagram) == Ok(Protocol::Rtp));
                        sent = taken.outgoing;
                    }
                    Err(_) if ended => {}
                    Err(_) => assert!(stream.report().refused + stream.report().rtcp.refused() > 0),
                }
            }
            3 | 4 => {
                let timestamp_samples = ticks * 160;
                let tick = Tick { index: ticks, timestamp_samples, due: now, lateness: Duration::ZERO, skipped: 0 };
                sent = stream.tick(&mut content, &tick, now);
                ticks += 1;
                now += Duration::from_millis(20);
            }
            5 => {
                now += Duration::from_millis(10 * u64::from(*step));
                sent = stream.handle_timeout(now);
            }
            6 => stream.set_direction(Direction::ALL[usize::from(step >> 3) % 4], now),
            _ if step & 0x80 != 0 => {
                sent = stream.end(now);
                assert!(!ended || sent.is_empty(), "its last words were said twice");
                ended = true;
                assert!(sent.iter().all(|datagram| datagram.to == peer));
                sent.clear();
            }
            _ => drop(stream.next_event()),
        }
        assert!(!ended || sent.is_empty(), "something is sent after the end");
        assert!(sent.iter().all(|datagram| datagram.to == peer), "something is sent to somebody else");
        let due = stream.next_due();
        assert!(!ended || due.is_none(), "something is due after the end");
        // Without keys, and without a handshake that could bring some, there is nothing to wait for.
        let rests = matches!(stream.transport().phase(), Phase::Failed(_) | Phase::Closed);
        assert!(ended || rests || due.is_some(), "nothing is due before the end");
    }
    let report = stream.report();
    assert_eq!(report.received_packets, received, "what came is counted");
    assert_eq!(report.send_failed, 0);
}

struct Rig {
    stream: Stream,
    content: Content,
    is_secure: bool,
}

impl Rig {
    fn new(which: u8, is_sound: bool, peer: SocketAddr, now: Instant) -> Self {
        let peer = Peer::muxed(peer);
        let transport: Arc<dyn Transport> = match which {
            0 => Arc::new(ClearTransport::new(peer)),
            1 => {
                let transport = SdesTransport::new(peer);
                let profile = Profile::AeadAes128Gcm;
                let key = |byte| MasterKey::new(profile, &[byte; 16], &[byte; 12]).expect("it is as long as the profile's");
                let policy = Policy::new(profile).expect("the profile encrypts");
                transport.set_keys(&policy, &[key(1)], &[key(2)]).expect("the keys are for the policy");
                Arc::new(transport)
            }
            _ => {
                let config = &*SERVER;
                let fingerprint = config.certificate().fingerprint(FingerprintHash::Sha256);
                let made = DtlsTransport::new(config, Role::Server, fingerprint.into(), peer, 0, now);
                Arc::new(made.expect("the peer has one address").0)
            }
        };
        let is_secure = transport.is_secure();
        let content = match is_sound {
            true => {
                let codec = || Box::new(G711::new(Law::Mu));
                Content::sound(160, [codec(), codec()], Box::new(Silence), Box::new(Silence))
            }
            false => Content::payloads(Box::new(Nothing), Box::new(Nothing)),
        };
        let config = StreamConfig { ssrc: OURS, ..StreamConfig::default() };
        let stream = Stream::new(config, &content, transport, now).expect("the configuration is the default");
        Rig { stream, content, is_secure }
    }
}

/// One certificate for all: making one takes longer than all else.
static SERVER: LazyLock<DtlsConfig> = LazyLock::new(|| {
    let certificate = Certificate::generate().expect("the system has randomness");
    DtlsConfig::new(certificate, Settings::default()).expect("the settings are the default")
});

struct Nothing;

impl PayloadSource for Nothing {
    fn frame(&mut self, wants_key_frame: bool) -> Vec<Vec<u8>> {
        vec![vec![7; 20]; 1 + usize::from(wants_key_frame)]
    }
}

impl PayloadSink for Nothing {
    fn take(&mut self, _payload: super::Payload) {}
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A packet of RTP that might be the peer's, as a step.
    fn rtp() -> impl Strategy<Value = Vec<u8>> {
        (0..3u8, 0..4u8, any::<u16>(), any::<u32>(), 0..3u8, proptest::collection::vec(any::<u8>(), 0..40)).prop_map(
            |(step, sources, sequence_number, timestamp, payload_type, payload)| {
                let mut packet = vec![0x80, payload_type / 2 * 8];
                packet.extend(sequence_number.to_be_bytes());
                packet.extend(timestamp.to_be_bytes());
                let ssrc = if sources == 0 { OURS } else { sources.into() };
                packet.extend(ssrc.to_be_bytes());
                packet.extend(payload);
                [vec![step, packet.len() as u8], packet].concat()
            },
        )
    }

    fn steps() -> impl Strategy<Value = Vec<u8>> {
        let step = prop_oneof![
            4 => rtp(),
            2 => Just(vec![3]),
            1 => any::<u8>().prop_map(|step| vec![step | 3]),
            1 => proptest::collection::vec(any::<u8>(), 1..30),
        ];
        let first = any::<u8>().prop_map(|first| vec![first]);
        (first, proptest::collection::vec(step, 0..40)).prop_map(|(first, steps)| [first, steps.concat()].concat())
    }

    proptest! {
        #[test]
        fn any_datagram_is_of_one_protocol_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            any_datagram(&bytes);
        }

        #[test]
        fn a_stream_takes_any_steps(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            any_steps(&bytes);
        }

        #[test]
        fn a_stream_takes_steps_of_which_some_are_packets(bytes in steps()) {
            any_steps(&bytes);
        }
    }

    #[test]
    fn the_corpora_hold() {
        crate::corpus::each("media_demux", any_datagram);
        crate::corpus::each("stream_steps", any_steps);
    }
}
