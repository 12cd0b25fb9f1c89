//! Start and stop as they were, rewritten small.

use super::{FIRST_PEER, Operation, Step};
use sim::cell::CheckedCell;
use sim::invariant;
use sim::sync::{Arc, Mutex};

/// `UNDER_LOCK` is the mended version.
pub(super) struct Historic<const UNDER_LOCK: bool> {
    lock: Mutex<()>,
    /// Whose fingerprint, and whether we are the active side of the handshake.
    fingerprint: CheckedCell<Option<u64>>,
    is_active: CheckedCell<bool>,
}

impl<const UNDER_LOCK: bool> Historic<UNDER_LOCK> {
    fn start(&self, peer: u64) {
        let _locked = self.lock.lock();
        self.is_active.set(true);
        self.fingerprint.set(Some(peer));
        let (is_active, fingerprint) = (self.is_active.get(), self.fingerprint.get());
        invariant!(is_active && fingerprint == Some(peer), "a handshake with {peer} is held against {fingerprint:?}");
    }

    fn stop(&self) {
        let locked = self.lock.lock();
        // The handshake ends here.
        let _locked = UNDER_LOCK.then_some(locked);
        self.is_active.set(false);
        self.fingerprint.set(None);
    }
}

impl<const UNDER_LOCK: bool> super::Transport for Historic<UNDER_LOCK> {
    type Sent = ();

    fn open() -> Arc<Self> {
        let transport =
            Historic { lock: Mutex::new(()), fingerprint: CheckedCell::new(None), is_active: CheckedCell::new(false) };
        transport.start(FIRST_PEER);
        Arc::new(transport)
    }

    fn perform(&self, step: Step) -> Option<()> {
        match step.operation {
            Operation::Renegotiate => self.start(step.number),
            Operation::Close => self.stop(),
            Operation::Receive | Operation::SetPeer => {}
        }
        None
    }

    fn end(&self, _steps: &[Step], _sent: Vec<()>) {}
}
