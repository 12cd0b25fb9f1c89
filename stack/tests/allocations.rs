//! The packet path allocates nothing: from the pool through protection, a socket, its peer, authentication and the jitter buffer back to
//! the pool. The allocator counts.

use sim::time::Instant;
use stack::buffer::{Mbuf, PacketPool, PacketPoolConfig};
use stack::rtp::jitter::{JitterBuffer, JitterConfig, Popped};
use stack::rtp::{self, Fields};
use stack::srtp::{MasterKey, Policy, Profile, Receiver, Sender, Session};
use std::net::Ipv4Addr;
use std::time::Duration;

const PACKETS: u16 = 300;
const PAYLOAD: [u8; 160] = [0xd5; 160];
/// Longer than any packet here is under way.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

fn contexts(profile: Profile) -> (Sender, Receiver) {
    let key = MasterKey::new(profile, &vec![1; profile.key_len()], &vec![2; profile.salt_len()]).unwrap();
    let key = key.with_mki(b"key1").unwrap();
    let policy = Policy::with_null_cipher_for_tests(profile);
    (Sender::new(policy.clone(), std::slice::from_ref(&key)).unwrap(), Receiver::new(policy, &[key]).unwrap())
}

fn fill(packet: &mut Mbuf, sequence_number: u16) {
    let timestamp = u32::from(sequence_number) * 160;
    let fields = Fields { payload_type: 0, sequence_number, timestamp, ssrc: 7, payload: &PAYLOAD, ..Fields::default() };
    let len = fields.packet_len().unwrap();
    fields.write(packet.append_space(len).unwrap()).unwrap();
}

/// A first packet makes a stream's state and a second shows that nothing else was to be made; everything after is counted.
fn counted(what: &str, warm_up: u16, mut step: impl FnMut(u16)) {
    (0..warm_up).for_each(&mut step);
    let info = allocation_counter::measure(|| (warm_up..PACKETS).for_each(&mut step));
    assert_eq!((info.count_total, info.bytes_total), (0, 0), "{what}: {info:?} for {} packets", PACKETS - warm_up);
}

#[test]
fn the_counter_counts() {
    let info = allocation_counter::measure(|| drop(std::hint::black_box(vec![1u8; 100])));
    assert_eq!((info.count_total, info.bytes_total), (1, 100));
}

#[test]
fn protect_send_receive_unprotect_and_jitter() {
    for profile in Profile::ALL {
        let (mut sender, mut receiver) = contexts(profile);
        let pool = PacketPool::new("packets", PacketPoolConfig { buffers: 32, ..PacketPoolConfig::default() });
        let from = sim::net::blocking::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let to = sim::net::blocking::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        to.set_read_timeout(Some(READ_TIMEOUT)).unwrap();
        let address = to.local_addr().unwrap();
        let mut jitter = JitterBuffer::new(JitterConfig::default()).unwrap();
        let (mut played, begin) = (0, Instant::now());
        counted(profile.name(), 20, |sequence_number| {
            let mut packet = pool.take().unwrap();
            fill(&mut packet, sequence_number);
            sender.protect(&mut packet).unwrap();
            from.send_to(packet.bytes(), address).unwrap();
            drop(packet);

            let mut packet = pool.take().unwrap();
            let (len, _) = to.recv_from(packet.append_space(1500).unwrap()).unwrap();
            packet.truncate(len).unwrap();
            receiver.unprotect(&mut packet).unwrap();
            let parsed = rtp::Packet::parse(packet.bytes()).unwrap();
            let timestamp = parsed.header().timestamp;
            assert_eq!(parsed.payload(), PAYLOAD);
            let now = begin + Duration::from_millis(20) * u32::from(sequence_number);
            jitter.insert(now, sequence_number, timestamp, packet).unwrap();
            if let Popped::Packet { .. } = jitter.pop(now) {
                played += 1;
            }
        });
        assert!(played > PACKETS / 2, "{profile}: {played} packets came out of the jitter buffer");
        drop(jitter);
        assert_eq!(pool.lent(), 0);
    }
}

#[test]
fn a_refused_packet() {
    for profile in Profile::ALL {
        let (mut sender, mut receiver) = contexts(profile);
        let mut packet = Mbuf::new(0, 400);
        counted(profile.name(), 2, |sequence_number| {
            packet.reset(0).unwrap();
            fill(&mut packet, sequence_number);
            sender.protect(&mut packet).unwrap();
            let middle = packet.left() / 2;
            packet.bytes_mut()[middle] ^= 1;
            receiver.unprotect(&mut packet).unwrap_err();
        });
    }
}

#[test]
fn batches_and_shared_sessions() {
    for profile in Profile::ALL {
        let key = MasterKey::new(profile, &vec![1; profile.key_len()], &vec![2; profile.salt_len()]).unwrap();
        let keys = std::slice::from_ref(&key);
        let (session, peer) = (Session::new(), Session::new());
        session.key(&Policy::with_null_cipher_for_tests(profile), keys, keys).unwrap();
        peer.key(&Policy::with_null_cipher_for_tests(profile), keys, keys).unwrap();
        let mut packets: Vec<Mbuf> = (0..7).map(|_| Mbuf::new(0, 400)).collect();
        let mut results = Vec::new();
        counted(profile.name(), 2, |batch| {
            for (place, packet) in packets.iter_mut().enumerate() {
                packet.reset(0).unwrap();
                fill(packet, batch * 7 + place as u16);
            }
            session.protect_batch(&mut packets, &mut results);
            assert!(results.iter().all(Result::is_ok));
            peer.unprotect_batch(&mut packets, &mut results);
            assert!(results.iter().all(Result::is_ok));
        });
    }
}
