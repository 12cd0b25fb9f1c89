//! How a packet is acknowledged.

/// How a packet is acknowledged.
pub(crate) trait Acks: Send + 'static {
    /// What the receiver says when it has packet `number`.
    fn of(number: u32) -> Vec<u8>;

    /// Whether this says that the receiver has packet `number`.
    fn says(datagram: &[u8], number: u32) -> bool;
}

/// The acknowledgement with the bug: there is one packet at a time, so which one is meant seems plain. But a packet that was sent again is
/// acknowledged twice, and the second comes while the next packet is on its way.
pub(crate) struct Bare;

impl Acks for Bare {
    fn of(_number: u32) -> Vec<u8> {
        b"ack".to_vec()
    }

    fn says(datagram: &[u8], _number: u32) -> bool {
        datagram == b"ack"
    }
}

/// The acknowledgement without the bug: it says which packet it means.
pub(crate) struct Numbered;

impl Acks for Numbered {
    fn of(number: u32) -> Vec<u8> {
        [b"ack".as_slice(), &number.to_be_bytes()].concat()
    }

    fn says(datagram: &[u8], number: u32) -> bool {
        datagram == Numbered::of(number)
    }
}
