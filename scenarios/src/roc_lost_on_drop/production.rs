//! Our SRTP under the same packets: the production code itself.

use super::{SSRC, Stream};
use crate::inputs::one_of;
use crate::srtp_setup::pair;
use stack::buffer::Mbuf;
use stack::srtp::{Profile, Receiver, Sender, SrtpError};

/// A profile of each cipher and each tag length of its RTP.
const PROFILES: [Profile; 5] = [
    Profile::AesCm128HmacSha1_32,
    Profile::AesCm128HmacSha1_80,
    Profile::AesCm256HmacSha1_80,
    Profile::AeadAes128Gcm,
    Profile::AeadAes256Gcm,
];

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

    fn overhead(&self) -> usize {
        self.sender.overheads().0
    }

    fn protect(&mut self, packet: &mut Mbuf) -> Result<(), SrtpError> {
        self.sender.protect(packet)
    }

    fn unprotect(&mut self, packet: &mut Mbuf) -> Result<(), SrtpError> {
        self.receiver.unprotect(packet)
    }

    fn rocs(&self) -> (u32, u32) {
        (self.sender.roc(SSRC).unwrap_or(0), self.receiver.roc(SSRC).unwrap_or(0))
    }
}
