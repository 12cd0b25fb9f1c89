//! The set-up as it was, rewritten small.

use super::{Operation, Step};
use sim::ledger::{self, ResourceId};
use sim::sync::{Arc, Mutex};

/// `EXCLUDES` is the mended version.
pub(super) struct Historic<const EXCLUDES: bool> {
    /// Upstream's pointer. That reading it is no race is not what helps: our lock is let go when it is read.
    srtp: Mutex<ResourceId>,
    /// The mended version's lock, which is the instance's.
    instance: Mutex<()>,
}

impl<const EXCLUDES: bool> Historic<EXCLUDES> {
    fn set_up(&self) {
        let _instance = EXCLUDES.then(|| self.instance.lock());
        let old = *self.srtp.lock();
        ledger::release(old);
        let new = ledger::register("srtp");
        *self.srtp.lock() = new;
    }

    fn use_it(&self) {
        let _instance = EXCLUDES.then(|| self.instance.lock());
        let srtp = *self.srtp.lock();
        ledger::touch(srtp);
    }
}

impl<const EXCLUDES: bool> super::Instance for Historic<EXCLUDES> {
    fn open() -> Arc<Self> {
        Arc::new(Historic { srtp: Mutex::new(ledger::register("srtp")), instance: Mutex::new(()) })
    }

    fn perform(&self, step: Step) {
        match step.operation {
            Operation::Negotiate | Operation::Finish => self.set_up(),
            Operation::Unprotect | Operation::Protect => self.use_it(),
        }
    }

    fn end(&self, _steps: &[Step]) {
        let last = *self.srtp.lock();
        ledger::release(last);
    }
}
