//! Packets of the sizes that media has, for benchmarks that set implementations side by side.

/// Sequence number and everything else of RTP packet number `number` of one stream, with a payload of so many bytes.
pub fn rtp_packet(number: u64, payload_bytes: usize) -> Vec<u8> {
    let mut packet = vec![0x80, 0x60];
    packet.extend_from_slice(&(number as u16).to_be_bytes());
    packet.extend_from_slice(&(number as u32).wrapping_mul(160).to_be_bytes());
    packet.extend_from_slice(&0x0a0b_0c0du32.to_be_bytes());
    packet.extend((0..payload_bytes).map(|at| (at as u64 ^ number) as u8));
    packet
}
