//! SRTP beside its peers: nanoseconds for a packet, in groups `srtp/<profile>/<payload bytes>/<direction>/<implementation>`.
//!
//! `cargo bench -p glare-benches-production --bench srtp`; with `--features libsrtp2` libsrtp2 is among them. `ci/srtp-ratios` runs it and
//! prints one table. Before anything is timed, every implementation has to give the bytes that ours gives.

#[cfg(feature = "libsrtp2")]
mod libsrtp2;

use bytes::{Bytes, BytesMut};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use glare_benches_production::rtp_packet;
use stack::buffer::Mbuf;
use stack::srtp::{MasterKey, Policy, Profile, Receiver, Sender};
use std::time::{Duration, Instant};

/// Packets that are made, protected, timed and checked together: few enough to stay in the cache.
const ROUND: usize = 64;
/// Packets of one batch call: what a system call for many datagrams brings.
const BATCH: usize = 32;
/// Long enough for any profile.
const KEY_AND_SALT: [u8; 64] = [0x5a; 64];

/// One implementation, keyed.
trait Implementation {
    /// A packet as the implementation holds it.
    type Packet;
    fn packet(&self, bytes: &[u8]) -> Self::Packet;
    fn protect(&mut self, packets: &mut [Self::Packet]);
    fn unprotect(&mut self, packets: &mut [Self::Packet]);
    fn bytes(packet: &Self::Packet) -> &[u8];
}

struct Ours {
    sender: Sender,
    receiver: Receiver,
    batched: bool,
    results: Vec<Result<(), stack::srtp::SrtpError>>,
}

impl Ours {
    fn new(profile: Profile, batched: bool) -> Self {
        let key = MasterKey::from_concatenated(profile, &KEY_AND_SALT[..profile.key_len() + profile.salt_len()]).unwrap();
        let policy = Policy::new(profile).unwrap();
        let sender = Sender::new(policy.clone(), std::slice::from_ref(&key)).unwrap();
        Ours { sender, receiver: Receiver::new(policy, &[key]).unwrap(), batched, results: Vec::new() }
    }

    fn accept(&self) {
        assert!(self.results.iter().all(Result::is_ok));
    }
}

impl Implementation for Ours {
    type Packet = Mbuf;

    fn packet(&self, bytes: &[u8]) -> Mbuf {
        Mbuf::copy_of(bytes, 0, 32)
    }

    fn protect(&mut self, packets: &mut [Mbuf]) {
        if !self.batched {
            return packets.iter_mut().for_each(|packet| self.sender.protect(packet).unwrap());
        }
        for packets in packets.chunks_mut(BATCH) {
            self.sender.protect_batch(packets, &mut self.results);
            self.accept();
        }
    }

    fn unprotect(&mut self, packets: &mut [Mbuf]) {
        if !self.batched {
            return packets.iter_mut().for_each(|packet| self.receiver.unprotect(packet).unwrap());
        }
        for packets in packets.chunks_mut(BATCH) {
            self.receiver.unprotect_batch(packets, &mut self.results);
            self.accept();
        }
    }

    fn bytes(packet: &Mbuf) -> &[u8] {
        packet.bytes()
    }
}

/// The two peers of the registry have the same calls, which give new memory.
macro_rules! peer {
    ($name:ident, $krate:ident, $bytes:ty $(, $crypto:expr)?) => {
        struct $name {
            sender: $krate::context::Context,
            receiver: $krate::context::Context,
        }

        impl $name {
            fn new(profile: Profile) -> Self {
                use $krate::protection_profile::ProtectionProfile;
                let theirs = match profile {
                    Profile::AesCm128HmacSha1_80 => ProtectionProfile::Aes128CmHmacSha1_80,
                    Profile::AeadAes128Gcm => ProtectionProfile::AeadAes128Gcm,
                    _ => ProtectionProfile::AeadAes256Gcm,
                };
                let (key, salt) = KEY_AND_SALT[..profile.key_len() + profile.salt_len()].split_at(profile.key_len());
                let context = || $krate::context::Context::new(key, salt, theirs, None, None $(, $crypto.crypto())?).unwrap();
                $name { sender: context(), receiver: context() }
            }
        }

        impl Implementation for $name {
            type Packet = $bytes;

            fn packet(&self, bytes: &[u8]) -> Self::Packet {
                BytesMut::from(bytes).into()
            }

            fn protect(&mut self, packets: &mut [Self::Packet]) {
                for packet in packets {
                    *packet = self.sender.encrypt_rtp(packet).unwrap().into();
                }
            }

            fn unprotect(&mut self, packets: &mut [Self::Packet]) {
                for packet in packets {
                    *packet = self.receiver.decrypt_rtp(packet).unwrap().into();
                }
            }

            fn bytes(packet: &Self::Packet) -> &[u8] {
                packet
            }
        }
    };
}

peer!(WebrtcSrtp, webrtc_srtp, Bytes);
peer!(RtcSrtp, rtc_srtp, BytesMut, rtc_crypto::default_provider().unwrap());

/// Fresh packets with the numbers that come next.
fn round<I: Implementation>(implementation: &I, number: &mut u64, payload_bytes: usize) -> Vec<I::Packet> {
    let packets = *number..*number + ROUND as u64;
    *number = packets.end;
    packets.map(|number| implementation.packet(&rtp_packet(number, payload_bytes))).collect()
}

fn time<I: Implementation>(criterion: &mut Criterion, profile: Profile, name: &str, payload_bytes: usize, make: impl Fn() -> I) {
    agree(profile, payload_bytes, make());
    for direction in ["protect", "unprotect"] {
        let mut group = criterion.benchmark_group(format!("srtp/{profile}/{payload_bytes}/{direction}"));
        group.throughput(Throughput::Elements(1));
        let (mut implementation, mut number) = (make(), 0);
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|iterations| {
                let mut elapsed = Duration::ZERO;
                for round_iterations in (0..iterations).step_by(ROUND).map(|done| ROUND.min((iterations - done) as usize)) {
                    let mut packets = round(&implementation, &mut number, payload_bytes);
                    let timed = &mut packets[..round_iterations];
                    let began = Instant::now();
                    implementation.protect(timed);
                    let protected = Instant::now();
                    implementation.unprotect(timed);
                    elapsed += if direction == "protect" { protected - began } else { protected.elapsed() };
                }
                elapsed
            });
        });
    }
}

/// What is timed does the same work: the bytes of every implementation are those of ours.
fn agree<I: Implementation>(profile: Profile, payload_bytes: usize, mut theirs: I) {
    let mut ours = Ours::new(profile, false);
    let (mut expected, mut got) = (round(&ours, &mut 0, payload_bytes), round(&theirs, &mut 0, payload_bytes));
    ours.protect(&mut expected);
    theirs.protect(&mut got);
    assert!(
        expected.iter().zip(&got).all(|(expected, got)| expected.bytes() == I::bytes(got)),
        "{profile}, {payload_bytes} bytes"
    );
    theirs.unprotect(&mut got);
    for (number, got) in got.iter().enumerate() {
        assert_eq!(I::bytes(got), rtp_packet(number as u64, payload_bytes));
    }
}

fn benches(criterion: &mut Criterion) {
    for profile in [Profile::AesCm128HmacSha1_80, Profile::AeadAes128Gcm, Profile::AeadAes256Gcm] {
        for payload_bytes in [160, 1200] {
            time(criterion, profile, "ours", payload_bytes, || Ours::new(profile, false));
            time(criterion, profile, "ours-batched", payload_bytes, || Ours::new(profile, true));
            time(criterion, profile, "webrtc-srtp", payload_bytes, || WebrtcSrtp::new(profile));
            time(criterion, profile, "rtc-srtp", payload_bytes, || RtcSrtp::new(profile));
            #[cfg(feature = "libsrtp2")]
            time(criterion, profile, "libsrtp2", payload_bytes, || libsrtp2::Libsrtp2::new(profile));
        }
    }
}

criterion_group! {
    name = srtp;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2)).sample_size(40);
    targets = benches
}
criterion_main!(srtp);
