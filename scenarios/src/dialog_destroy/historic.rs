//! The dialog as upstream counts and locks it.

use sim::ledger::{self, ResourceId};
use sim::sync::{Arc, Mutex, MutexGuard};

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
        Arc::new(Dialog { version, lock: Mutex::new(state), resource: ledger::register("dialog") })
    }

    /// The call ends.
    pub(super) fn hang_up(&self) {
        if let Some(mut state) = self.inc_lock() {
            // The call's own session.
            state.sessions -= 1;
            self.dec_lock(state);
        }
    }

    /// A message of this dialog, which makes a transaction in these versions.
    pub(super) fn on_response(&self) {
        if let Some(mut state) = self.inc_lock() {
            state.transactions += u32::from(self.leaves_transaction());
            self.dec_lock(state);
        }
    }

    fn leaves_transaction(&self) -> bool {
        matches!(self.version, Version::Patched18e80e3 | Version::Unlocking)
    }

    /// Takes the lock and counts its user. Looking the dialog up and taking its lock are one step: the user agent tries the lock with its
    /// own mutex held, under which a destroyed dialog has left it. So who comes after the end finds none; that is not this bug.
    fn inc_lock(&self) -> Option<MutexGuard<'_, State>> {
        let mut state = self.lock.lock();
        if state.is_destroyed {
            return None;
        }
        state.sessions += 1;
        Some(state)
    }

    /// Gives back what was taken; the last one destroys.
    fn dec_lock(&self, mut state: MutexGuard<'_, State>) {
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
        ledger::release(self.resource);
    }

    /// The transaction that was left ends, and with it the dialog.
    pub(super) fn close(&self) {
        let Some(mut state) = self.inc_lock() else { return };
        state.transactions = 0;
        self.dec_lock(state);
    }
}
