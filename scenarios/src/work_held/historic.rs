//! The work queue of re, rewritten small: one piece of work, and whatever that submits. Its lists are as #995 (4bb4a34) left them: what
//! is cancelled while somebody has it stays where it is until the main loop is done with it.

use super::{Calls, Plan, Queue};
use sim::ledger::{self, ResourceId};
use sim::sync::atomic::{AtomicBool, Ordering::SeqCst};
use sim::sync::{Arc, Mutex};
use std::cell::Cell;

/// A version of the code: how it calls the application.
#[derive(Clone, Copy)]
pub(super) struct Version {
    /// The worker's call of the handler.
    handler: Call,
    /// The main loop's call of the callback.
    callback: Call,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Call {
    /// With the work's mutex.
    Held,
    /// Without it. The argument stays with the work.
    Copied,
    /// Without it. The argument is the call's: the mended versions.
    Taken,
}

pub(super) const V_7E8BEC6: Version = Version { handler: Call::Held, callback: Call::Held };
pub(super) const V_6B3B532: Version = Version { handler: Call::Held, callback: Call::Copied };

impl Version {
    pub(super) const fn taking_the_callback(self) -> Self {
        Version { callback: Call::Taken, ..self }
    }

    pub(super) const fn taking_the_handler(self) -> Self {
        Version { handler: Call::Taken, ..self }
    }
}

thread_local! {
    static VERSION: Cell<Version> = const { Cell::new(V_7E8BEC6) };
}

/// Which version the next queue is.
pub(super) fn choose(version: Version) {
    VERSION.set(version);
}

/// `struct re_async`.
pub(super) struct Historic {
    version: Version,
    plan: Plan,
    /// Its mutex, and where the work is.
    list: Mutex<List>,
    work: Mutex<Work>,
    /// To the main loop.
    is_pushed: AtomicBool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum List {
    /// It waits for a worker.
    Work,
    /// A worker has it, or the main loop.
    Current,
    /// It is done with.
    Free,
}

/// `struct async_work`, behind its own mutex.
struct Work {
    has_handler: bool,
    has_callback: bool,
    argument: Option<Arc<Argument>>,
}

/// What the application gave the queue with the work, which the queue or the callback gives back.
struct Argument {
    resource: ResourceId,
    /// What makes a step of giving it back.
    count: Mutex<()>,
}

impl Argument {
    /// `mem_deref`, of the last reference.
    fn give_back(&self) {
        let _count = self.count.lock();
        ledger::touch(self.resource);
        ledger::release(self.resource);
    }
}

impl Queue for Historic {
    fn open(plan: Plan) -> Arc<Self> {
        let argument =
            plan.has_argument.then(|| Arc::new(Argument { resource: ledger::register("argument"), count: Mutex::new(()) }));
        let work = Work { has_handler: true, has_callback: true, argument };
        Arc::new(Historic {
            version: VERSION.get(),
            plan,
            list: Mutex::new(List::Work),
            work: Mutex::new(work),
            is_pushed: AtomicBool::new(false),
        })
    }

    /// A turn of `worker_thread`.
    fn work(&self) {
        {
            let mut list = self.list.lock();
            if *list != List::Work {
                return;
            }
            *list = List::Current;
        }
        let mut work = self.work.lock();
        if std::mem::replace(&mut work.has_handler, false) {
            if self.version.handler == Call::Held {
                self.call(self.plan.handler);
            } else {
                drop(work);
                self.call(self.plan.handler);
                work = self.work.lock();
            }
        }
        drop(work);
        let _list = self.list.lock();
        self.is_pushed.store(true, SeqCst);
    }

    /// `queueh`, when the work was pushed.
    fn handle(&self) {
        if !self.is_pushed.load(SeqCst) {
            return;
        }
        let mut work = self.work.lock();
        let has_callback = std::mem::replace(&mut work.has_callback, false);
        let argument = match self.version.callback {
            Call::Taken => work.argument.take(),
            Call::Held | Call::Copied => work.argument.clone(),
        };
        let _held = match self.version.callback {
            Call::Held => Some(work),
            Call::Copied | Call::Taken => {
                drop(work);
                None
            }
        };
        if has_callback {
            self.call(self.plan.callback);
            argument.iter().for_each(|argument| argument.give_back());
        }
        drop(_held);
        *self.list.lock() = List::Free;
    }

    /// `re_async_cancel`.
    fn cancel(&self) {
        let mut list = self.list.lock();
        if *list == List::Free {
            return;
        }
        let mut work = self.work.lock();
        (work.has_handler, work.has_callback) = (false, false);
        let argument = work.argument.take();
        argument.into_iter().for_each(|argument| argument.give_back());
        if *list == List::Work {
            *list = List::Free;
        }
    }

    fn end(&self) {
        let mut work = self.work.lock();
        let argument = work.argument.take().filter(|_| work.has_callback);
        argument.into_iter().for_each(|argument| argument.give_back());
    }
}

impl Historic {
    /// What the application does when it is called.
    fn call(&self, calls: Calls) {
        match calls {
            Calls::Nothing => {}
            // `re_async`, of other work, which nobody waits for.
            Calls::Submit => drop(self.list.lock()),
            Calls::CancelItself => self.cancel(),
        }
    }
}
