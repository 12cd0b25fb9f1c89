//! RTP parsing beside `rtp-types` alone, and the packet pool beside malloc.

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use glare_benches_production::rtp_packet;
use stack::buffer::{Mbuf, PacketPool, PacketPoolConfig};
use stack::rtp;
use std::hint::black_box;

fn parse(criterion: &mut Criterion) {
    for payload_bytes in [160, 1200] {
        let packet = rtp_packet(7, payload_bytes);
        let mut group = criterion.benchmark_group(format!("rtp/{payload_bytes}/parse"));
        group.bench_function("ours", |bencher| {
            bencher.iter(|| {
                let packet = rtp::Packet::parse(black_box(&packet)).unwrap();
                black_box((packet.ssrc(), packet.sequence_number(), packet.payload().len()))
            });
        });
        group.bench_function("ours-header-only", |bencher| {
            bencher.iter(|| black_box(rtp::header::parse(black_box(&packet)).unwrap()));
        });
        group.bench_function("rtp-types", |bencher| {
            bencher.iter(|| {
                let packet = rtp_types::RtpPacket::parse(black_box(&packet)).unwrap();
                black_box((packet.ssrc(), packet.sequence_number(), packet.payload().len()))
            });
        });
    }
}

fn buffers(criterion: &mut Criterion) {
    let config = PacketPoolConfig::default();
    let pool = PacketPool::new("packets", config);
    let mut group = criterion.benchmark_group("buffer/take-and-return");
    group.bench_function("ours", |bencher| bencher.iter(|| drop(black_box(pool.take().unwrap()))));
    let capacity_bytes = config.headroom_bytes + config.tailroom_bytes;
    group.bench_function("malloc", |bencher| bencher.iter(|| drop(black_box(Vec::<u8>::with_capacity(capacity_bytes)))));
    group.bench_function("malloc-zeroed", |bencher| {
        bencher.iter(|| drop(black_box(Mbuf::new(config.headroom_bytes, config.tailroom_bytes))));
    });
    group.finish();
    // As a jitter buffer has them: many are out at once.
    let mut group = criterion.benchmark_group("buffer/take-and-return-64");
    group.bench_function("ours", |bencher| {
        bencher.iter_batched_ref(
            || Vec::with_capacity(64),
            |out| {
                out.extend((0..64).map(|_| pool.take().unwrap()));
                out.clear();
            },
            BatchSize::SmallInput,
        );
    });
    group.bench_function("malloc", |bencher| {
        bencher.iter_batched_ref(
            || Vec::with_capacity(64),
            |out| {
                out.extend((0..64).map(|_| Vec::<u8>::with_capacity(capacity_bytes)));
                out.clear();
            },
            BatchSize::SmallInput,
        );
    });
}

criterion_group!(packets, parse, buffers);
criterion_main!(packets);
