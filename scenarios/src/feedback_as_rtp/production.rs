//! Our SRTP under the same packets: the production code itself. Its own receiver is the peer.

use super::Line;
use crate::inputs::one_of;
use crate::srtp_setup::pair;
use stack::buffer::Mbuf;
use stack::srtp::{Profile, Receiver, Sender, SrtpError};

pub(super) struct Production {
    sender: Sender,
    receiver: Receiver,
}

impl Line for Production {
    type Refused = SrtpError;

    fn any() -> Self {
        let (sender, receiver) = pair(one_of(&Profile::ALL), 0);
        Production { sender, receiver }
    }

    fn overheads(&self) -> (usize, usize) {
        self.sender.overheads()
    }

    fn protect(&mut self, packet: &mut Mbuf) -> Result<(), SrtpError> {
        self.sender.protect(packet)
    }

    fn peer_takes_rtp(&mut self, packet: &mut Mbuf) -> Result<(), SrtpError> {
        // In clear it would not do.
        let mut plain = Mbuf::copy_of(&packet.bytes()[..packet.left() - self.sender.overheads().0], 0, 0);
        sim::invariant!(self.receiver.unprotect(&mut plain).is_err(), "the peer takes a packet that has no tag");
        self.receiver.unprotect_rtp(packet)
    }

    fn peer_takes_rtcp(&mut self, packet: &mut Mbuf) -> Result<(), SrtpError> {
        self.receiver.unprotect_rtcp(packet)
    }
}
