//! PipeWire's thread loop, and baresip's module on it, as they were: rewritten small. A version says which of upstream's habits it has.

use sim::cell::CheckedCell;
use sim::invariant;
use sim::ledger::{self, ResourceId};
use sim::sync::{Arc, Condvar, Mutex, ReentrantMutex, ReentrantMutexGuard, Weak};
use sim::thread::{self, JoinHandle, ThreadId};
use std::collections::VecDeque;

/// A version of the module, and of the library under it.
#[derive(Clone, Copy)]
pub(super) struct Version {
    /// From 0.3.68 on every call on an object of the loop looks whether it may come.
    library_checks: bool,
    /// `pw_stat_alloc` connects with the lock held.
    locks_connect: bool,
    /// `pw_start_registry_scan` takes the lock before its first call.
    locks_scan_first: bool,
    /// The server gives no registry.
    registry_fails: bool,
    /// An error path of the scan, or of a player, gives the lock back.
    unlocks_on_error: bool,
    /// A player has no parameters, and `goto out` skips the unlock.
    params_fail: bool,
    /// The destructor takes the lock for the flush.
    locks_flush: bool,
    /// The device list is read under the lock.
    locks_list: bool,
}

const MENDED: Version = Version {
    library_checks: true,
    locks_connect: true,
    locks_scan_first: true,
    registry_fails: false,
    unlocks_on_error: true,
    params_fail: false,
    locks_flush: true,
    locks_list: true,
};

pub(super) const SHIPPED: Version = Version { locks_connect: false, locks_scan_first: false, ..MENDED };
pub(super) const SHIPPED_TWIN: Version = MENDED;
pub(super) const SHIPPED_SCAN: Version = Version { locks_scan_first: false, ..MENDED };
pub(super) const ERRORS: Version = Version { registry_fails: true, unlocks_on_error: false, ..MENDED };
pub(super) const ERRORS_TWIN: Version = Version { unlocks_on_error: true, ..ERRORS };
pub(super) const PARAMS: Version = Version { params_fail: true, unlocks_on_error: false, ..MENDED };
pub(super) const PARAMS_TWIN: Version = Version { unlocks_on_error: true, ..PARAMS };
/// Under a library before 0.3.68, which says nothing.
pub(super) const DESTRUCTOR: Version = Version { library_checks: false, locks_flush: false, ..MENDED };
pub(super) const DESTRUCTOR_TWIN: Version = Version { locks_flush: true, ..DESTRUCTOR };
pub(super) const LIST: Version = Version { locks_list: false, ..MENDED };
pub(super) const LIST_TWIN: Version = MENDED;

/// `pw_thread_loop`.
struct PwThreadLoop {
    library_checks: bool,
    lock: ReentrantMutex<()>,
    /// The loop's thread, from its entering to its leaving: what `loop_check` calls running.
    entered: Mutex<Option<ThreadId>>,
    inbox: Mutex<Inbox>,
    arrived: Condvar,
}

/// What makes the loop's descriptors readable.
#[derive(Default)]
struct Inbox {
    globals: VecDeque<u32>,
    quits: bool,
}

impl PwThreadLoop {
    /// `loop_check`, of every call on an object of the loop.
    fn check(&self, call: &str) {
        if !self.library_checks {
            return;
        }
        let entered = *self.entered.lock();
        let Some(thread) = entered else { return };
        if thread == thread::id() {
            return;
        }
        let why = match self.lock.try_lock() {
            Some(held) if ReentrantMutexGuard::depth(&held) > 1 => return,
            Some(_) => "operation not permitted",
            None => "device or resource busy",
        };
        sim::violated(format!("{call} called from wrong context, check thread and locking: {why}"));
    }

    /// The loop's thread: it has the lock except where it polls.
    fn work(&self, module: &Weak<Module>) {
        *self.entered.lock() = Some(thread::id());
        loop {
            let global = {
                let mut inbox = self.inbox.lock();
                while inbox.globals.is_empty() && !inbox.quits {
                    self.arrived.wait(&mut inbox);
                }
                inbox.globals.pop_front()
            };
            let _held = self.lock.lock();
            let Some(global) = global else { break };
            if let Some(module) = module.upgrade() {
                module.on_global(global);
            }
        }
        *self.entered.lock() = None;
    }
}

/// `pw_stat` and the lists of the module.
pub(super) struct Module {
    version: Version,
    pw: Arc<PwThreadLoop>,
    thread: Mutex<Option<(JoinHandle<()>, ResourceId)>>,
    /// A plain list, which the registry's listener fills.
    devices: CheckedCell<Vec<u32>>,
    /// Who was told so far, for a driver that has one operation after the other.
    told: Mutex<u32>,
    heard: Condvar,
}

/// `EINVAL`, or `ENOMEM`.
pub(super) struct Errno;

impl Module {
    /// `pw_stat_alloc`.
    pub(super) fn alloc(version: Version) -> Arc<Module> {
        let pw = Arc::new(PwThreadLoop {
            library_checks: version.library_checks,
            lock: ReentrantMutex::new(()),
            entered: Mutex::new(None),
            inbox: Mutex::new(Inbox::default()),
            arrived: Condvar::new(),
        });
        let module = Arc::new(Module {
            version,
            pw,
            thread: Mutex::new(None),
            devices: CheckedCell::new(Vec::new()),
            told: Mutex::new(0),
            heard: Condvar::new(),
        });
        module.start();
        {
            let _held = version.locks_connect.then(|| module.pw.lock.lock());
            module.pw.check("pw_context_connect");
        }
        module
    }

    /// `pw_thread_loop_start`.
    fn start(self: &Arc<Self>) {
        let (pw, module) = (Arc::clone(&self.pw), Arc::downgrade(self));
        let resource = ledger::register("loop thread");
        let spawned = thread::Builder::new().name("loop").spawn(move || pw.work(&module));
        *self.thread.lock() = Some((spawned.expect("the engine makes threads"), resource));
    }

    /// `pw_start_registry_scan`.
    pub(super) fn scan(&self) -> Result<(), Errno> {
        let first = self.version.locks_scan_first.then(|| self.pw.lock.lock());
        self.pw.check("pw_core_get_registry");
        if self.version.registry_fails {
            return self.leave(first);
        }
        let _held = first.unwrap_or_else(|| self.pw.lock.lock());
        self.pw.check("pw_registry_add_listener");
        Ok(())
    }

    /// A player is made: `pw_playback_alloc`.
    pub(super) fn play(&self) -> Result<(), Errno> {
        let held = self.pw.lock.lock();
        self.pw.check("pw_stream_new");
        if self.version.params_fail {
            return self.leave(Some(held));
        }
        self.pw.check("pw_stream_connect");
        Ok(())
    }

    /// An error path.
    fn leave(&self, held: Option<ReentrantMutexGuard<'_, ()>>) -> Result<(), Errno> {
        if !self.version.unlocks_on_error {
            std::mem::forget(held);
        }
        Err(Errno)
    }

    /// The server tells of a device.
    pub(super) fn on_server(&self, global: u32) {
        self.pw.inbox.lock().globals.push_back(global);
        self.pw.arrived.notify_one();
    }

    /// The registry's listener, on the loop's thread.
    fn on_global(&self, global: u32) {
        self.devices.with_mut(|devices| devices.push(global));
        *self.told.lock() += 1;
        self.heard.notify_all();
    }

    /// Waits until the listener was told so often.
    pub(super) fn wait_until_told(&self, times: u32) {
        let mut told = self.told.lock();
        while *told < times {
            self.heard.wait(&mut told);
        }
    }

    /// Another part of the program looks for its device.
    pub(super) fn find(&self, global: u32) -> bool {
        let _held = self.version.locks_list.then(|| self.pw.lock.lock());
        self.devices.with(|devices| devices.contains(&global))
    }

    /// The destructor: `mem_deref` of the lists, and then the loop.
    pub(super) fn close(&self) {
        {
            let _held = self.version.locks_flush.then(|| self.pw.lock.lock());
            self.devices.with_mut(Vec::clear);
        }
        // `pw_thread_loop_stop`.
        self.pw.inbox.lock().quits = true;
        self.pw.arrived.notify_one();
        let thread = self.thread.lock().take();
        if let Some((handle, resource)) = thread {
            handle.join().expect("a panic ends the run");
            ledger::release(resource);
        }
        invariant!(self.pw.entered.lock().is_none(), "the loop's thread is in its loop after it was joined");
    }
}
