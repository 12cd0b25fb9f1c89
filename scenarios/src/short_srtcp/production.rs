//! Our SRTCP under the same packets: the production code itself.

use super::{Answer, Stream};
use crate::inputs::one_of;
use crate::srtp_setup::{MKI_LENS, pair};
use stack::buffer::Mbuf;
use stack::srtp::{Profile, Receiver, Sender, SrtpError};

pub(super) struct Production {
    sender: Sender,
    receiver: Receiver,
}

impl Stream for Production {
    fn any() -> Self {
        let (sender, receiver) = pair(one_of(&Profile::ALL), one_of(&MKI_LENS));
        Production { sender, receiver }
    }

    fn overhead(&self) -> usize {
        self.sender.overheads().1
    }

    fn protect(&mut self, report: &mut Mbuf) {
        self.sender.protect_rtcp(report).expect("a report is protected");
    }

    fn unprotect(&mut self, packet: &mut Mbuf) -> Answer {
        let (streams, refused) = (self.receiver.streams(), self.receiver.counters().refused());
        let result = self.receiver.unprotect_rtcp(packet);
        let counted = self.receiver.counters().refused() - refused;
        sim::invariant!(counted == u64::from(result.is_err()), "one packet counts as {counted} refused");
        sim::invariant!(result.is_ok() || self.receiver.streams() == streams, "a refused packet makes a stream");
        match result {
            Ok(()) => Answer::Taken,
            Err(SrtpError::Short { expected, got, .. }) => Answer::TooShort { expected, got },
            Err(_) => Answer::Refused,
        }
    }

    fn taken(&self) -> u64 {
        self.receiver.counters().accepted
    }
}
