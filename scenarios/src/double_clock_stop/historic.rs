//! The transport and its clock as they were, rewritten small. A version says which of upstream's habits it has.

use super::{Probe, STOP_DEADLINE, TICK, Transport};
use sim::cell::CheckedCell;
use sim::ledger::{self, ResourceId};
use sim::sync::atomic::{AtomicBool, Ordering::SeqCst};
use sim::sync::{Arc, Condvar, Mutex, ReentrantMutex, Weak};
use sim::thread::{self, JoinHandle, ThreadId};
use sim::time;
use std::cell::Cell;

/// A version of the code: what it does where the versions differ.
#[derive(Clone, Copy)]
pub(super) struct Version {
    tick: Tick,
    lock: Lock,
    /// A stop from the callback, whose join fails, takes back that the thread is to end.
    self_stop_revives: bool,
    /// `nego_completed` is a plain flag.
    plain_flag: bool,
    /// Whether a second join of one thread is an error, as on POSIX, or waits too, as on Windows.
    joins: Joins,
    /// Stop and destroy take a lock that lies in this pool.
    destroy_lock: Option<LockLiesIn>,
    /// The mended version of `shipped-join`.
    takes_thread: bool,
    /// The mended version of `shipped-destroy`.
    excludes_stops: bool,
    /// The mended version of `restart`.
    joins_leftovers: bool,
    /// The mended versions of 86b7dd4.
    tries_again: bool,
}

/// What a tick does, beside asking whether the handshake is done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tick {
    Nothing,
    /// A flight is due again: it is sent, and then the lock is wanted for what the library left to send.
    Retransmits,
    /// The handshake completes on the clock's own thread, which then stops its clock.
    Completes,
    /// As `Completes`, and then the lock is wanted for the key material.
    CompletesAndTakesKeys,
}

/// What the transport's lock is held across.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lock {
    /// Dropped before the clock is stopped.
    DroppedBeforeStop,
    /// Held while the clock is stopped: 86b7dd4 and c0de1a4.
    HeldAcrossStop,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Joins {
    Posix,
    Windows,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum LockLiesIn {
    ClockPool,
    CallersPool,
}

const BASE: Version = Version {
    tick: Tick::Nothing,
    lock: Lock::DroppedBeforeStop,
    self_stop_revives: false,
    plain_flag: false,
    joins: Joins::Posix,
    destroy_lock: None,
    takes_thread: false,
    excludes_stops: false,
    joins_leftovers: false,
    tries_again: false,
};

pub(super) const SHIPPED_JOIN: Version = BASE;
pub(super) const SHIPPED_DESTROY: Version = Version { joins: Joins::Windows, ..BASE };
pub(super) const BEFORE_950081C: Version =
    Version { tick: Tick::Completes, self_stop_revives: true, joins: Joins::Windows, ..BASE };
pub(super) const PATCHED_969BEC9: Version = Version { plain_flag: true, ..BASE };
pub(super) const PATCHED_86B7DD4_FLUSH: Version = Version { tick: Tick::Retransmits, lock: Lock::HeldAcrossStop, ..BASE };
pub(super) const PATCHED_86B7DD4_COMPLETION: Version =
    Version { tick: Tick::CompletesAndTakesKeys, lock: Lock::HeldAcrossStop, ..BASE };
pub(super) const PATCHED_86B7DD4_HANGUP: Version = PATCHED_86B7DD4_FLUSH;
pub(super) const PATCHED_DAD6E1D: Version = Version { destroy_lock: Some(LockLiesIn::ClockPool), ..BASE };
/// The transport's lock, held across both, keeps start and the stop from the callback apart; the clock itself has none.
pub(super) const RESTART: Version = Version { tick: Tick::Completes, lock: Lock::HeldAcrossStop, ..BASE };

impl Version {
    pub(super) const fn taking_the_thread(self) -> Self {
        Version { takes_thread: true, ..self }
    }

    pub(super) const fn excluding_stops(self) -> Self {
        Version { excludes_stops: true, ..self }
    }

    pub(super) const fn quitting_for_good(self) -> Self {
        Version { self_stop_revives: false, ..self }
    }

    pub(super) const fn with_atomic_flag(self) -> Self {
        Version { plain_flag: false, ..self }
    }

    pub(super) const fn trying_again(self) -> Self {
        Version { tries_again: true, ..self }
    }

    pub(super) const fn with_lock_outside(self) -> Self {
        Version { destroy_lock: Some(LockLiesIn::CallersPool), ..self }
    }

    pub(super) const fn joining_leftovers(self) -> Self {
        Version { joins_leftovers: true, ..self }
    }
}

thread_local! {
    static VERSION: Cell<Version> = const { Cell::new(BASE) };
}

/// Which version the next transport is.
pub(super) fn choose(version: Version) {
    VERSION.set(version);
}

/// The DTLS transport.
pub(super) struct Historic {
    version: Version,
    /// The group lock: recursive.
    lock: ReentrantMutex<()>,
    /// Upstream's pointer, which destroy sets to null.
    clock: Mutex<Option<Arc<Clock>>>,
    negotiated: Flag,
    probe: Probe,
}

/// `nego_completed`.
enum Flag {
    Plain(CheckedCell<bool>),
    Atomic(AtomicBool),
}

impl Flag {
    fn is_set(&self) -> bool {
        match self {
            Flag::Plain(flag) => flag.get(),
            Flag::Atomic(flag) => flag.load(SeqCst),
        }
    }

    fn set(&self) {
        match self {
            Flag::Plain(flag) => flag.set(true),
            Flag::Atomic(flag) => flag.store(true, SeqCst),
        }
    }
}

impl Transport for Historic {
    fn open(probe: Probe) -> Arc<Self> {
        let version = VERSION.get();
        let flag = if version.plain_flag { Flag::Plain(CheckedCell::new(false)) } else { Flag::Atomic(AtomicBool::new(false)) };
        let clock = Mutex::new(None);
        let transport = Arc::new(Historic { version, lock: ReentrantMutex::new(()), clock, negotiated: flag, probe });
        *transport.clock.lock() = Some(Clock::new(version, Arc::downgrade(&transport)));
        transport
    }

    fn start(&self) {
        let _held = (self.version.lock == Lock::HeldAcrossStop).then(|| self.lock.lock());
        if let Some(clock) = self.clock() {
            clock.start();
        }
    }

    fn stop(&self) {
        let _held = (self.version.lock == Lock::HeldAcrossStop).then(|| self.lock.lock());
        if let Some(clock) = self.clock() {
            clock.stop();
        }
    }

    fn destroy(&self) -> bool {
        let _operation = sim::operation("transport.destroy", STOP_DEADLINE);
        // c0de1a4 and later hold the lock here too, but by then the clock has nothing left to want it for.
        if let Some(clock) = self.clock() {
            clock.destroy();
        }
        self.clock.lock().take();
        true
    }

    fn on_datagram(&self) {
        let held = self.lock.lock();
        if self.version.tick == Tick::CompletesAndTakesKeys && !self.negotiated.is_set() {
            // Not the last flight: the clock's thread will complete.
            return;
        }
        self.negotiated.set();
        let _held = match self.version.lock {
            Lock::DroppedBeforeStop => {
                drop(held);
                None
            }
            Lock::HeldAcrossStop => Some(held),
        };
        if let Some(clock) = self.clock() {
            clock.stop();
        }
    }
}

impl Historic {
    fn clock(&self) -> Option<Arc<Clock>> {
        self.clock.lock().clone()
    }

    /// The clock calls back.
    fn on_tick(&self, clock: &Clock) {
        self.probe.ticked();
        if self.version.tick == Tick::Nothing && !self.version.plain_flag {
            return;
        }
        if self.negotiated.is_set() {
            return;
        }
        let Some(held) = self.lock.try_lock() else { return };
        match self.version.tick {
            Tick::Nothing => {}
            Tick::Retransmits => {
                drop(held);
                // The flight is sent, and flush takes the lock for the rest. Only the entry of the callback tries.
                let _again = match self.version.tries_again {
                    true => self.lock.try_lock(),
                    false => Some(self.lock.lock()),
                };
            }
            Tick::Completes => {
                self.negotiated.set();
                let _held = (self.version.lock == Lock::HeldAcrossStop).then_some(held);
                clock.stop();
            }
            Tick::CompletesAndTakesKeys => {
                self.negotiated.set();
                clock.stop();
                drop(held);
                let _keys = match self.version.tries_again {
                    true => self.lock.try_lock(),
                    false => Some(self.lock.lock()),
                };
            }
        }
    }
}

/// `pjmedia_clock`.
struct Clock {
    version: Version,
    transport: Weak<Historic>,
    running: AtomicBool,
    quitting: AtomicBool,
    thread: Mutex<Option<Thread>>,
    pool: PjPool,
    callers_pool: PjPool,
    destroy_lock: Option<(ReentrantMutex<()>, ResourceId)>,
    /// The mended version of `shipped-destroy`.
    exclusion: ReentrantMutex<()>,
    this: Weak<Clock>,
}

impl Clock {
    fn new(version: Version, transport: Weak<Historic>) -> Arc<Clock> {
        Arc::new_cyclic(|this| {
            let (pool, callers_pool) = (PjPool::new("clock pool"), PjPool::new("caller's pool"));
            let destroy_lock = version.destroy_lock.map(|lies_in| {
                let from = if lies_in == LockLiesIn::ClockPool { &pool } else { &callers_pool };
                (ReentrantMutex::new(()), from.allocate("destroy_lock"))
            });
            Clock {
                version,
                transport,
                running: AtomicBool::new(false),
                quitting: AtomicBool::new(false),
                thread: Mutex::new(None),
                pool,
                callers_pool,
                destroy_lock,
                exclusion: ReentrantMutex::new(()),
                this: Weak::clone(this),
            }
        })
    }

    /// No version takes a lock here.
    fn start(&self) {
        if self.running.load(SeqCst) {
            return;
        }
        self.running.store(true, SeqCst);
        self.quitting.store(false, SeqCst);
        let leftover = self.thread.lock().take();
        if let Some(leftover) = leftover {
            if self.version.joins_leftovers {
                self.quitting.store(true, SeqCst);
                let _ = leftover.join(self.version.joins);
                self.quitting.store(false, SeqCst);
            } else {
                // `pj_thread_destroy` on POSIX neither joins nor detaches.
                leftover.forget();
            }
        }
        if self.version.destroy_lock.is_some() {
            // The descriptor of the new thread comes from the clock's pool, wherever that begins now.
            self.pool.allocate("thread descriptor");
        }
        let Some(this) = self.this.upgrade() else { return };
        *self.thread.lock() = Some(Thread::spawn(move || this.work()));
    }

    /// False for a stop from the callback (PJ_EBUSY).
    fn stop(&self) -> bool {
        let _excluded = self.version.excludes_stops.then(|| self.exclusion.lock());
        let _destroy_lock = self.take_destroy_lock();
        self.running.store(false, SeqCst);
        self.quitting.store(true, SeqCst);
        let thread = match self.version.takes_thread {
            true => self.thread.lock().take(),
            false => self.thread.lock().clone(),
        };
        let Some(thread) = thread else { return true };
        match thread.join(self.version.joins) {
            Ok(()) => {
                self.thread.lock().take();
                self.pool.reset();
                true
            }
            Err(JoinsItself) => {
                if self.version.self_stop_revives {
                    self.quitting.store(false, SeqCst);
                }
                if self.version.takes_thread {
                    *self.thread.lock() = Some(thread);
                }
                false
            }
        }
    }

    fn destroy(&self) {
        let _excluded = self.version.excludes_stops.then(|| self.exclusion.lock());
        let destroy_lock = self.take_destroy_lock();
        self.running.store(false, SeqCst);
        self.quitting.store(true, SeqCst);
        let thread = self.thread.lock().clone();
        if let Some(thread) = thread {
            let _ = thread.join(self.version.joins);
            self.thread.lock().take();
        }
        drop(destroy_lock);
        self.pool.release();
        self.callers_pool.release();
    }

    fn take_destroy_lock(&self) -> Option<sim::sync::ReentrantMutexGuard<'_, ()>> {
        self.destroy_lock.as_ref().map(|(lock, memory)| {
            ledger::touch(*memory);
            lock.lock()
        })
    }

    /// The clock's thread. Its sleep cannot be interrupted, and it does not look at `quitting` after it.
    fn work(&self) {
        let Some(transport) = self.transport.upgrade() else { return };
        transport.probe.began();
        while !self.quitting.load(SeqCst) {
            time::sleep(TICK);
            if !self.running.load(SeqCst) {
                continue;
            }
            transport.on_tick(self);
        }
        transport.probe.ended();
    }
}

/// `pj_thread_t`.
#[derive(Clone)]
struct Thread {
    resource: ResourceId,
    id: ThreadId,
    handle: Arc<Mutex<Option<JoinHandle<()>>>>,
    /// What Windows waits for: any number may.
    ended: Arc<(Mutex<bool>, Condvar)>,
}

/// A thread was to join itself (PJ_ECANCELLED).
struct JoinsItself;

impl Thread {
    fn spawn(work: impl FnOnce() + Send + 'static) -> Self {
        let resource = ledger::register("clock thread");
        let ended = Arc::new((Mutex::new(false), Condvar::new()));
        let ends = Arc::clone(&ended);
        let work = move || {
            work();
            *ends.0.lock() = true;
            ends.1.notify_all();
        };
        let handle = thread::Builder::new().name("clock").spawn(work).expect("the engine makes threads");
        Thread { resource, id: handle.id(), handle: Arc::new(Mutex::new(Some(handle))), ended }
    }

    fn join(&self, joins: Joins) -> Result<(), JoinsItself> {
        if self.id == thread::id() {
            return Err(JoinsItself);
        }
        match joins {
            Joins::Posix => {
                ledger::release(self.resource);
                let handle = self.handle.lock().take();
                if let Some(handle) = handle {
                    handle.join().expect("a panic ends the run");
                }
            }
            Joins::Windows => {
                let mut ended = self.ended.0.lock();
                while !*ended {
                    self.ended.1.wait(&mut ended);
                }
                drop(ended);
                self.forget();
            }
        }
        Ok(())
    }

    /// Nobody will join it.
    fn forget(&self) {
        if self.handle.lock().take().is_some() {
            ledger::release(self.resource);
        }
    }
}

/// `pj_pool_t`: what it gave out is gone when something else is put in its place.
pub(super) struct PjPool {
    resource: ResourceId,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    live: Vec<ResourceId>,
    /// From before the last reset, and not written over yet.
    rewound: Vec<ResourceId>,
}

impl PjPool {
    pub(super) fn new(name: &'static str) -> Self {
        PjPool { resource: ledger::register(name), memory: Mutex::new(Memory::default()) }
    }

    fn allocate(&self, name: &'static str) -> ResourceId {
        ledger::touch(self.resource);
        let mut memory = self.memory.lock();
        if !memory.rewound.is_empty() {
            ledger::release(memory.rewound.remove(0));
        }
        let allocated = ledger::register(name);
        memory.live.push(allocated);
        allocated
    }

    pub(super) fn reset(&self) {
        ledger::touch(self.resource);
        let mut memory = self.memory.lock();
        let live = std::mem::take(&mut memory.live);
        memory.rewound.extend(live);
    }

    pub(super) fn release(&self) {
        ledger::release(self.resource);
        let memory = std::mem::take(&mut *self.memory.lock());
        memory.live.into_iter().chain(memory.rewound).for_each(ledger::release);
    }
}
