//! The stream and its receive context as they were, rewritten small.

use super::{FIRST_KEYS, Operation, Session, Step};
use crate::toy_cipher;
use sim::ledger::{self, ResourceId};
use sim::sync::{Arc, Mutex};

const PLAIN: [u8; 12] = *b"twelve bytes";

/// What the stream knows of a sender under one set of keys.
struct Context {
    keys: u8,
    resource: ResourceId,
}

impl Context {
    fn new(keys: u8) -> Arc<Self> {
        Arc::new(Context { keys, resource: ledger::register("receive context") })
    }
}

/// `EXCLUDES` is the mended version.
pub(super) struct Historic<const EXCLUDES: bool> {
    /// Upstream's pointer. That reading it is no race is not what helps: our lock is let go when it is read.
    receiving: Mutex<Option<Arc<Context>>>,
    /// The mended version's lock.
    in_use: Mutex<()>,
}

impl<const EXCLUDES: bool> Historic<EXCLUDES> {
    fn unprotect(&self, keys: u8, number: u8) {
        let mut packet = PLAIN;
        toy_cipher::apply_keystream(keys.into(), number.into(), &mut packet);
        let tag = toy_cipher::tag(keys.into(), number.into(), &packet);
        let _in_use = EXCLUDES.then(|| self.in_use.lock());
        let context = self.receiving.lock().clone();
        let Some(context) = context else { return };
        ledger::touch(context.resource);
        if tag == toy_cipher::tag(context.keys.into(), number.into(), &packet) {
            toy_cipher::apply_keystream(context.keys.into(), number.into(), &mut packet);
            sim::invariant!(packet == PLAIN, "packet {number} decrypts to {packet:02x?}");
        }
    }

    /// Frees the context. Another takes its place, or none.
    fn replace(&self, keys: Option<u8>) {
        let next = keys.map(Context::new);
        let _in_use = EXCLUDES.then(|| self.in_use.lock());
        let previous = std::mem::replace(&mut *self.receiving.lock(), next);
        if let Some(previous) = previous {
            ledger::release(previous.resource);
        }
    }
}

impl<const EXCLUDES: bool> Session for Historic<EXCLUDES> {
    fn open() -> Arc<Self> {
        Arc::new(Historic { receiving: Mutex::new(Some(Context::new(FIRST_KEYS))), in_use: Mutex::new(()) })
    }

    fn perform(&self, step: Step) {
        match step.operation {
            Operation::Unprotect => self.unprotect(FIRST_KEYS, step.number),
            Operation::UnprotectNew => self.unprotect(super::FIRST_STEP, step.number),
            // Sending has a context of its own, which is not what happened.
            Operation::Protect => {}
            Operation::Rekey | Operation::Key => self.replace(Some(step.number)),
            Operation::Stop => self.replace(None),
        }
    }

    fn end(&self, _protects: u64, _unprotects: u64) {
        self.replace(None);
    }
}
