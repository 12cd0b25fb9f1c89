//! The dialog as upstream counts and locks it.

use sim::ledger::{self, ResourceId};
use sim::sync::{Arc, Mutex};

/// What upstream did, or does since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// #1886: give the lock back, take it again, destroy.
    Patched1886,
    /// #5101, and the response ends all that it began, as above.
    Flagged,
    /// #5101, and the response leaves a transaction that ends later: destroying may be refused.
    Patched18e80e3,
    /// The same, and who is refused unlocks.
    Unlocking,
}

pub(super) struct Dialog {
    version: Version,
    /// The user agent's set: whether this dialog is in it.
    is_registered: Mutex<bool>,
    /// Upstream's is recursive, and given back as often as it was taken; nobody here takes it twice.
    lock: Mutex<State>,
    resource: ResourceId,
}

#[derive(Default)]
struct State {
    sessions: u32,
    transactions: u32,
    is_destroying: bool,
    is_destroyed: bool,
}

impl Dialog {
    /// A dialog with a session: the call.
    pub(super) fn open(version: Version) -> Arc<Self> {
        let state = State { sessions: 1, ..State::default() };
        let resource = ledger::register("dialog");
        Arc::new(Dialog { version, is_registered: Mutex::new(true), lock: Mutex::new(state), resource })
    }

    /// The call ends.
    pub(super) fn hang_up(&self) {
        if !*self.is_registered.lock() {
            return;
        }
        self.lock.lock().sessions += 1;
        // The call's own session.
        self.lock.lock().sessions -= 1;
        self.dec_lock();
    }

    /// A message of this dialog, which is looked up, and makes a transaction in these versions.
    pub(super) fn on_response(&self) {
        if !*self.is_registered.lock() {
            return;
        }
        let mut state = self.lock.lock();
        state.sessions += 1;
        if self.leaves_transaction() && !state.is_destroyed {
            state.transactions += 1;
        }
        drop(state);
        self.dec_lock();
    }

    fn leaves_transaction(&self) -> bool {
        matches!(self.version, Version::Patched18e80e3 | Version::Unlocking)
    }

    /// Gives back what was taken; the last one destroys.
    fn dec_lock(&self) {
        let mut state = self.lock.lock();
        state.sessions -= 1;
        if state.sessions > 0 || state.transactions > 0 {
            return;
        }
        if self.version != Version::Patched1886 && std::mem::replace(&mut state.is_destroying, true) {
            return;
        }
        drop(state);
        // The window: upstream gives the lock back so that nothing waits for it while it goes.
        let mut state = self.lock.lock();
        if state.sessions > 0 || state.transactions > 0 {
            // PJ_EINVALIDOP, which the caller ignores: it thinks the lock went with the dialog.
            state.is_destroying = false;
            if self.version == Version::Patched18e80e3 {
                std::mem::forget(state);
            }
            return;
        }
        state.is_destroyed = true;
        *self.is_registered.lock() = false;
        ledger::release(self.resource);
    }

    /// The transaction that was left ends, and with it the dialog.
    pub(super) fn close(&self) {
        let mut state = self.lock.lock();
        let left = std::mem::take(&mut state.transactions);
        if left == 0 || state.is_destroyed {
            return;
        }
        state.sessions += 1;
        drop(state);
        self.dec_lock();
    }
}
