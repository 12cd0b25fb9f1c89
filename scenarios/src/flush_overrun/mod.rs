//! A flight is read into a row of a buffer, and as much of it as the whole buffer holds.
//!
//! Upstream: pjproject, `pjmedia/src/pjmedia/transport_srtp_dtls.c`, `ssl_flush_wbio`: two rows of 1,500 bytes, one for RTP and one for
//! RTCP, and what is read into a row is bounded by the size of both.
//!
//! What the library has to send is a run of bytes with no bounds between datagrams. A flight with a certificate of some length, or with a
//! chain of them, is longer than a row: what does not fit lands in the other row, or behind the buffer.
//!
//! The failing case: a flight of 1,501 bytes.
//!
//! The driver does the flights of a handshake, of every length and, where the version has one, under every limit of a datagram. The
//! property: every datagram is whole records and no longer than the limit, and the flights come over.

mod historic;
mod production;

use crate::dtls_setup::expect_whole;
use crate::exhibit::{Exhibit, Expected, Subject};
use sim::invariant;
use sim::verdict::Detector;

/// What was sent in a handshake.
struct Sent {
    /// The longest datagram that may be sent.
    limit: usize,
    datagrams: Vec<Vec<u8>>,
    /// Whether all that was to be said was heard.
    is_complete: bool,
}

/// A transport: every version of the code.
trait Transport {
    /// A handshake of one of the lengths that this version has. None if a length is refused by its name, before anything is sent.
    fn handshake() -> Option<Sent>;
}

/// The driver.
fn drive<T: Transport>() {
    let Some(sent) = T::handshake() else { return };
    for datagram in &sent.datagrams {
        expect_whole(datagram);
        invariant!(datagram.len() <= sent.limit, "a datagram has {} bytes, of {} at the most", datagram.len(), sent.limit);
    }
    let lengths: Vec<usize> = sent.datagrams.iter().map(Vec::len).collect();
    invariant!(sent.is_complete, "within {} bytes each, datagrams of {lengths:?} bytes are no handshake", sent.limit);
}

/// The exhibit.
pub fn exhibit() -> Exhibit {
    fn shipped() {
        drive::<historic::Historic<false>>();
    }
    fn twin() {
        drive::<historic::Historic<true>>();
    }
    fn stack() {
        drive::<production::Production>();
    }
    Exhibit {
        name: "flush-overrun",
        story: "3,000 bytes of a flight may be read into a row of 1,500 (pjproject)",
        subjects: vec![
            Subject::of_inputs("shipped", "a row is filled by the size of both", Expected::Caught(Detector::Panic), shipped),
            Subject::of_inputs("shipped-twin", "a row takes the records that it has room for", Expected::Clean, twin),
            Subject::of_inputs(
                "stack",
                "our associations: every length of certificate, every MTU, DTLS 1.2 and 1.3",
                Expected::Clean,
                stack,
            ),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Lengths between those that the driver has.
        #[test]
        fn any_certificate_fits_any_mtu(len in 700..=stack::dtls::CERTIFICATE_LEN_MAX, mtu in 300..=stack::dtls::DATAGRAM_LEN_MAX, is_12 in any::<bool>()) {
            // A certificate too long for the MTU is refused, as the body says.
            let Some(sent) = production::handshake(len, mtu, is_12) else { return Ok(()) };
            sent.datagrams.iter().for_each(|datagram| expect_whole(datagram));
            prop_assert!(sent.datagrams.iter().all(|datagram| datagram.len() <= mtu));
            prop_assert!(sent.is_complete, "no handshake within datagrams of {mtu} bytes");
        }
    }
}
