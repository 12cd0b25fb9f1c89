//! Our SRTCP under the same reports: the production code itself.

use super::Protection;
use crate::inputs::one_of;
use crate::srtp_setup::{MKI_LENS, pair};
use stack::buffer::Mbuf;
use stack::srtp::{Profile, Receiver, Sender, SrtpError};

pub(super) struct Production {
    sender: Sender,
    receiver: Receiver,
}

impl Production {
    pub(super) fn of(profile: Profile, mki_len: usize) -> Self {
        let (sender, receiver) = pair(profile, mki_len);
        Production { sender, receiver }
    }
}

impl Protection for Production {
    type Refused = SrtpError;

    fn any() -> Self {
        Production::of(one_of(&Profile::ALL), one_of(&MKI_LENS))
    }

    fn overhead(&self) -> usize {
        self.sender.overheads().1
    }

    fn protect(&mut self, report: &mut Mbuf) -> Result<(), SrtpError> {
        self.sender.protect(report)
    }

    fn unprotect(&mut self, report: &mut Mbuf) -> Result<(), SrtpError> {
        self.receiver.unprotect(report)
    }
}
