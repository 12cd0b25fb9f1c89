//! Our transport under the same operations: the production code itself, with a real handshake.

use super::{Begun, Operation};
use crate::dtls_setup::{Far, PAST_TIMEOUT, beginning, client, give, keyed_client};
use sim::sync::Arc;
use sim::time::Instant;
use stack::dtls::Role;
use stack::media::transport::{DtlsTransport, Transport};

/// Of the association, and its peer.
const NUMBER: u64 = 1;

pub(super) struct Production {
    transport: DtlsTransport,
    /// What the peer sends, as often as it likes.
    flight: Vec<Vec<u8>>,
    /// When a flight is sent again: before the first of a retransmission it is too early, and after it the second is due.
    now: Instant,
}

impl super::Transport for Production {
    fn open(begun: Begun) -> (Arc<Self>, Vec<Vec<u8>>) {
        let now = beginning() + PAST_TIMEOUT;
        match begun {
            Begun::Helloed => {
                let (transport, hello) = client(NUMBER);
                let flight = Far::new(Role::Server, NUMBER).hear(&hello.datagrams);
                (Arc::new(Production { transport, flight, now }), hello.datagrams)
            }
            Begun::Keyed => {
                let (transport, mut far) = keyed_client(NUMBER, false);
                (Arc::new(Production { transport, flight: far.wait(), now }), Vec::new())
            }
        }
    }

    fn perform(&self, operation: Operation) -> Vec<Vec<u8>> {
        match operation {
            Operation::Receive => give(&self.transport, NUMBER, &self.flight).datagrams,
            Operation::Timeout => self.transport.handle_timeout(self.now).datagrams,
            // There may be nothing to begin again, or no more.
            Operation::Rekey => self.transport.rekey(self.now).map(|reaction| reaction.datagrams).unwrap_or_default(),
            Operation::Close => self.transport.close(self.now).datagrams,
        }
    }
}
