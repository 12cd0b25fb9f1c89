//! What a transport has counted.

use crate::srtp;

/// What a transport has counted. Counters stay at their last value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransportCounters {
    /// Datagrams of DTLS, or in clear of RTP and RTCP, that came from an address that media was not agreed with.
    pub strangers: u64,
    /// Datagrams that are of no protocol.
    pub malformed: u64,
    /// Packets that came or were to go when it was closed.
    pub closed: u64,
    /// Packets that passed in clear, as was agreed: sent and received.
    pub clear: (u64, u64),
    /// SRTP packets, sent and received.
    pub srtp: (srtp::Counters, srtp::Counters),
    /// Of the handshakes.
    pub dtls: Option<crate::dtls::Counters>,
}

impl TransportCounters {
    /// Packets that were to be sent and were not.
    pub fn send_refused(&self) -> u64 {
        self.srtp.0.refused()
    }
}

pub(super) fn count(counter: &mut u64) {
    *counter = counter.saturating_add(1);
}
