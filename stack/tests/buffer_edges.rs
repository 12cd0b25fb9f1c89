//! What a buffer costs, and what it shows of itself.

use stack::buffer::{Mbuf, PacketPool, PacketPoolConfig};

/// What a buffer says that it has is what it has of the allocator, also where its limit cuts its growth short.
#[test]
fn a_buffer_takes_what_it_says_and_no_more() {
    for limit_bytes in 100..260 {
        let mut mbuf = Mbuf::new(0, 100).limited_to(limit_bytes);
        let info = allocation_counter::measure(|| _ = mbuf.reserve_tailroom(101));
        let taken = if limit_bytes > 100 { mbuf.capacity() as u64 } else { 0 };
        assert!(mbuf.capacity() <= limit_bytes);
        assert_eq!(info.bytes_total, taken, "limited to {limit_bytes}, {}", mbuf.capacity());
    }
}

/// A packet in a log is a packet overheard, and those before it were in the same memory.
#[test]
fn debug_output_shows_no_packets() {
    let pool = PacketPool::new("packets", PacketPoolConfig { buffers: 3, ..PacketPoolConfig::default() });
    let mut packets: Vec<Mbuf> = (0..2).map(|_| pool.take().unwrap()).collect();
    packets.iter_mut().for_each(|packet| packet.append(&[177; 900]).unwrap());
    drop(packets.pop());
    for output in [format!("{:?}", packets[0]), format!("{pool:?}")] {
        assert!(!output.contains("177") && output.len() < 1000, "{} characters: {output:.300}", output.len());
    }
    pool.release();
}
