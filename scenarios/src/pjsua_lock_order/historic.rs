//! The versions as upstream had them, on locks that are seen.

use super::{Application, Call};
use sim::ledger::{self, ResourceId};
use sim::sync::{Arc, Mutex, ReentrantMutex};

/// The application calls in with its mutex held; mended, it gives it back first.
pub(super) struct Inverted<const MENDED: bool> {
    application: Arc<Application>,
    /// Upstream's is recursive.
    dialog: ReentrantMutex<()>,
}

impl<const MENDED: bool> Call for Inverted<MENDED> {
    fn open(application: Arc<Application>) -> Arc<Self> {
        Arc::new(Inverted { application, dialog: ReentrantMutex::new(()) })
    }

    fn hang_up(&self) {
        let mut told = self.application.mutex.lock();
        told.hung_up = true;
        if MENDED {
            drop(told);
            let _dialog = self.dialog.lock();
        } else {
            let _dialog = self.dialog.lock();
        }
    }

    fn on_response(&self) {
        let _dialog = self.dialog.lock();
        self.application.on_state();
    }

    fn on_timeout(&self) {}

    fn close(&self) {}
}

/// Dialog and transaction have a lock each, and each comes in from its own side.
pub(super) struct Transactions<const MENDED: bool> {
    application: Arc<Application>,
    dialog: ReentrantMutex<()>,
    transaction: ReentrantMutex<()>,
}

impl<const MENDED: bool> Call for Transactions<MENDED> {
    fn open(application: Arc<Application>) -> Arc<Self> {
        Arc::new(Transactions { application, dialog: ReentrantMutex::new(()), transaction: ReentrantMutex::new(()) })
    }

    fn hang_up(&self) {}

    /// The dialog's usage terminates its transaction.
    fn on_response(&self) {
        let _dialog = self.dialog.lock();
        let _transaction = self.transaction.lock();
        self.application.on_state();
    }

    /// The transaction tells its dialog.
    fn on_timeout(&self) {
        if MENDED {
            let _dialog = self.dialog.lock();
            let _transaction = self.transaction.lock();
        } else {
            let _transaction = self.transaction.lock();
            let _dialog = self.dialog.lock();
        }
    }

    fn close(&self) {}
}

/// A transaction's group lock: its own, and before it those that are chained to it.
pub(super) struct Chain<const MENDED: bool> {
    application: Arc<Application>,
    chain: Mutex<Vec<Arc<Node>>>,
    own: ReentrantMutex<()>,
    dialog: Arc<Node>,
}

/// A place of the chain.
struct Node {
    lock: ReentrantMutex<()>,
    resource: ResourceId,
    /// The chain, and who goes along it with a reference.
    references: Mutex<u32>,
}

impl Node {
    fn hold(&self) {
        *self.references.lock() += 1;
    }

    fn drop_reference(&self) {
        let mut references = self.references.lock();
        *references -= 1;
        let is_last = *references == 0;
        drop(references);
        if is_last {
            ledger::release(self.resource);
        }
    }
}

impl<const MENDED: bool> Chain<MENDED> {
    /// Goes along the chain: each lock, then the next.
    fn acquire(&self, then: impl FnOnce()) {
        let first = {
            let chain = self.chain.lock();
            let first = chain.first().map(Arc::clone);
            if let Some(first) = first.as_ref().filter(|_| MENDED) {
                first.hold();
            }
            first
        };
        let Some(node) = first else {
            let _own = self.own.lock();
            return then();
        };
        ledger::touch(node.resource);
        {
            let _node = node.lock.lock();
            // The next place is read from this one.
            ledger::touch(node.resource);
            let _own = self.own.lock();
            then();
        }
        if MENDED {
            node.drop_reference();
        }
    }

    /// The dialog leaves the transaction's chain.
    fn unchain(&self) {
        let position = self.chain.lock().pop();
        if let Some(node) = position {
            node.drop_reference();
        }
    }
}

impl<const MENDED: bool> Call for Chain<MENDED> {
    fn open(application: Arc<Application>) -> Arc<Self> {
        let dialog = Arc::new(Node {
            lock: ReentrantMutex::new(()),
            resource: ledger::register("chained lock"),
            references: Mutex::new(1),
        });
        let chain = Mutex::new(vec![Arc::clone(&dialog)]);
        Arc::new(Chain { application, chain, own: ReentrantMutex::new(()), dialog })
    }

    fn hang_up(&self) {}

    /// A final response ends the dialog's part in the transaction.
    fn on_response(&self) {
        let _dialog = self.dialog.lock.lock();
        self.unchain();
        self.application.on_state();
    }

    fn on_timeout(&self) {
        self.acquire(|| {});
    }

    fn close(&self) {
        self.unchain();
    }
}
