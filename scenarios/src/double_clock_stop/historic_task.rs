//! The clock as it shipped, as tasks would have it: the same steps in the same order, awaited where upstream blocked.

use super::crossing::Transport;
use super::historic::PjPool;
use super::{Probe, TICK};
use sim::ledger::{self, ResourceId};
use sim::sync::asynchronous::{self, Semaphore};
use sim::sync::atomic::{AtomicBool, Ordering::SeqCst};
use sim::sync::{Arc, Mutex};
use sim::{task, time};

/// What upstream did, or does since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// Two stops both join; a second join of one thread is an error, as on POSIX.
    ShippedJoin,
    /// The mended version: who takes the thread joins it.
    TakesThread,
    /// Any number may join, as on Windows, and stop resets the pool that destroy has released.
    ShippedDestroy,
    /// The mended version: stop and destroy exclude each other.
    ExcludesStops,
}

pub(super) struct Historic {
    version: Version,
    probe: Probe,
    /// Upstream's pointer, which destroy sets to null.
    clock: Mutex<Option<Arc<Clock>>>,
}

struct Clock {
    is_quitting: AtomicBool,
    thread: Mutex<Option<Thread>>,
    pool: PjPool,
    is_destroyed: AtomicBool,
    exclusion: asynchronous::Mutex<()>,
}

/// The clock's task, as its creator knows it.
#[derive(Clone)]
struct Thread {
    resource: ResourceId,
    /// Closed when it ends.
    ended: Arc<Semaphore>,
}

impl Thread {
    async fn join(&self, version: Version) {
        if matches!(version, Version::ShippedJoin | Version::TakesThread) {
            ledger::release(self.resource);
        }
        // It has no permits, so this waits for the end.
        let _ = self.ended.acquire().await;
    }
}

impl Transport for Historic {
    type Plan = Version;

    fn open(version: Version, probe: Probe) -> Arc<Self> {
        let clock = Clock {
            is_quitting: AtomicBool::new(false),
            thread: Mutex::new(None),
            pool: PjPool::new("clock pool"),
            is_destroyed: AtomicBool::new(false),
            exclusion: asynchronous::Mutex::new(()),
        };
        Arc::new(Historic { version, probe, clock: Mutex::new(Some(Arc::new(clock))) })
    }

    fn start(&self) {
        let Some(clock) = self.clock() else { return };
        let joins_once = matches!(self.version, Version::ShippedJoin | Version::TakesThread);
        // On Windows a thread is a handle that goes with its last user.
        let resource = ledger::register("clock thread");
        let ended = Arc::new(Semaphore::new(0));
        let (its, ends, probe) = (Arc::clone(&clock), Arc::clone(&ended), self.probe.clone());
        let work = async move {
            probe.began();
            while !its.is_quitting.load(SeqCst) {
                probe.ticked();
                time::sleep_for(TICK).await;
            }
            probe.ended();
            if !joins_once {
                ledger::release(resource);
            }
            ends.close();
        };
        task::try_spawn("clock", work).expect("the engine has tasks");
        *clock.thread.lock() = Some(Thread { resource, ended });
    }

    async fn stop(&self) {
        if let Some(clock) = self.clock() {
            clock.stop(self.version).await;
        }
    }

    async fn destroy(&self) {
        if let Some(clock) = self.clock() {
            clock.destroy(self.version).await;
        }
        self.clock.lock().take();
    }
}

impl Historic {
    fn clock(&self) -> Option<Arc<Clock>> {
        self.clock.lock().clone()
    }
}

impl Clock {
    async fn stop(&self, version: Version) {
        let _excluded = match version {
            Version::ExcludesStops => Some(self.exclusion.lock().await),
            _ => None,
        };
        if version == Version::ExcludesStops && self.is_destroyed.load(SeqCst) {
            return;
        }
        self.end(version).await;
    }

    async fn destroy(&self, version: Version) {
        let _excluded = match version {
            Version::ExcludesStops => Some(self.exclusion.lock().await),
            _ => None,
        };
        if self.is_destroyed.swap(true, SeqCst) {
            return;
        }
        self.end(version).await;
        self.pool.release();
    }

    async fn end(&self, version: Version) {
        self.is_quitting.store(true, SeqCst);
        let thread = match version {
            Version::TakesThread => self.thread.lock().take(),
            _ => self.thread.lock().clone(),
        };
        let Some(thread) = thread else { return };
        thread.join(version).await;
        *self.thread.lock() = None;
        self.pool.reset();
    }
}
