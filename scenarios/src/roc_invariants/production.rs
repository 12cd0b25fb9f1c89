//! Our SRTP under the same packets: the production code itself.

use super::{SSRC, Stream};
use crate::inputs::one_of;
use crate::srtp_setup::pair;
use stack::buffer::Mbuf;
use stack::srtp::{Profile, Receiver, Sender, SrtpError};

/// With RTP tags shorter than RTCP's and as long, and an AEAD.
const PROFILES: [Profile; 3] = [Profile::AesCm128HmacSha1_32, Profile::AesCm128HmacSha1_80, Profile::AeadAes128Gcm];

pub(super) struct Production {
    sender: Sender,
    receiver: Receiver,
}

impl Stream for Production {
    type Refused = SrtpError;

    fn any() -> Self {
        let (sender, receiver) = pair(one_of(&PROFILES), one_of(&[0, 4]));
        Production { sender, receiver }
    }

    fn announce(&mut self, roc: u32) {
        self.sender.set_roc(SSRC, roc).expect("there is no lower one in use");
        self.receiver.set_roc(SSRC, roc).expect("there is no lower one in use");
    }

    fn protect(&mut self, packet: &mut Mbuf) -> Result<(), SrtpError> {
        self.sender.protect(packet)
    }

    fn unprotect(&mut self, packet: &mut Mbuf) -> Result<(), SrtpError> {
        self.receiver.unprotect(packet)
    }

    fn protect_report(&mut self, report: &mut Mbuf) -> Result<(), SrtpError> {
        self.sender.protect(report)
    }

    fn unprotect_report(&mut self, report: &mut Mbuf) -> Result<(), SrtpError> {
        self.receiver.unprotect(report)
    }

    fn rocs(&self) -> (u32, u32) {
        (self.sender.roc(SSRC).unwrap_or(0), self.receiver.roc(SSRC).unwrap_or(0))
    }
}
