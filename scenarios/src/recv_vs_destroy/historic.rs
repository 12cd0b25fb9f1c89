//! The transport as it was, rewritten small.

use super::Operation;
use sim::ledger::{self, ResourceId};
use sim::sync::{Arc, Mutex};

/// `EXCLUDES` is the mended version.
pub(super) struct Historic<const EXCLUDES: bool> {
    /// Upstream's pointer to the library's object. That reading it is no race is not what helps: our lock is let go when it is read.
    object: Mutex<Option<ResourceId>>,
    /// The mended version's lock.
    lifetime: Mutex<()>,
}

impl<const EXCLUDES: bool> Historic<EXCLUDES> {
    /// Where the object is, if it is there.
    pub(super) fn object(&self) -> Option<ResourceId> {
        *self.object.lock()
    }

    pub(super) fn receive(&self) {
        let _alive = EXCLUDES.then(|| self.lifetime.lock());
        if let Some(object) = self.object() {
            ledger::touch(object);
        }
    }

    pub(super) fn destroy(&self) {
        let _alive = EXCLUDES.then(|| self.lifetime.lock());
        let object = self.object.lock().take();
        if let Some(object) = object {
            ledger::release(object);
        }
    }
}

impl<const EXCLUDES: bool> super::Receiver for Historic<EXCLUDES> {
    fn open() -> Arc<Self> {
        Arc::new(Historic { object: Mutex::new(Some(ledger::register("library object"))), lifetime: Mutex::new(()) })
    }

    fn perform(&self, operation: Operation, _number: u16) {
        match operation {
            Operation::Receive | Operation::ReceiveMedia | Operation::Timeout => self.receive(),
            Operation::Destroy => self.destroy(),
        }
    }

    fn end(&self, _is_destroyed: bool) {
        self.destroy();
    }
}
