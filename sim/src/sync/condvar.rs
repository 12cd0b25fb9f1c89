use super::MutexGuard;
use super::ReentrantMutexGuard;
#[cfg(feature = "model")]
use super::raw::RawGuard;
#[cfg(feature = "model")]
use crate::choice::Kind;
#[cfg(feature = "model")]
use crate::kernel::{self, Gate};
#[cfg(feature = "model")]
use crate::run::{Nature, Obj, Site, WaitFor, Wake, me, nanos, with};
use crate::time::Instant;
#[cfg(feature = "model")]
use crate::trace::Op;
#[cfg(feature = "model")]
use std::panic::Location;
use std::time::Duration;

/// Waits until another thread says that a condition may have changed. Always wait in a loop that looks at the condition.
#[derive(Debug)]
pub struct Condvar {
    raw: RawCondvar,
}

#[derive(Debug)]
enum RawCondvar {
    Real(parking_lot::Condvar),
    #[cfg(feature = "model")]
    Modelled(Obj, Gate),
}

/// How a timed wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    /// Whether the time ended the wait, and not a notification.
    pub fn timed_out(&self) -> bool {
        self.0
    }
}

impl Condvar {
    /// A condition that nobody waits for.
    #[track_caller]
    #[inline]
    pub fn new() -> Self {
        #[cfg(feature = "model")]
        if crate::engine::current() != crate::engine::Engine::Real {
            let site = Location::caller();
            let obj = with(|run| run.create("Condvar", Nature::Primitive, site));
            return Condvar { raw: RawCondvar::Modelled(obj, Gate::new()) };
        }
        Condvar { raw: RawCondvar::Real(parking_lot::Condvar::new()) }
    }

    /// Gives the lock back, waits for a notification, and takes the lock again.
    #[track_caller]
    #[inline]
    pub fn wait<T: ?Sized>(&self, guard: &mut MutexGuard<'_, T>) {
        match &self.raw {
            RawCondvar::Real(condvar) => condvar.wait(&mut guard.data),
            #[cfg(feature = "model")]
            RawCondvar::Modelled(obj, gate) => {
                let site = Location::caller();
                kernel::point(Op::Wait, Some(*obj), site);
                let raw = &mut guard.raw;
                parking_lot::MutexGuard::unlocked(&mut guard.data, || wait_unlocked(*obj, gate, raw, None, site));
            }
        }
    }

    /// Like [`Condvar::wait`], for `timeout` at most.
    #[track_caller]
    #[inline]
    pub fn wait_for<T: ?Sized>(&self, guard: &mut MutexGuard<'_, T>, timeout: Duration) -> WaitTimeoutResult {
        match &self.raw {
            RawCondvar::Real(condvar) => WaitTimeoutResult(condvar.wait_for(&mut guard.data, timeout).timed_out()),
            #[cfg(feature = "model")]
            RawCondvar::Modelled(obj, gate) => {
                let (site, deadline_ns) = (Location::caller(), deadline_ns(timeout));
                kernel::point(Op::Wait, Some(*obj), site);
                let raw = &mut guard.raw;
                let wait = || wait_unlocked(*obj, gate, raw, Some(deadline_ns), site);
                WaitTimeoutResult(parking_lot::MutexGuard::unlocked(&mut guard.data, wait) == Wake::TimedOut)
            }
        }
    }

    /// Waits until `condition` is false.
    #[track_caller]
    #[inline]
    pub fn wait_while<T: ?Sized>(&self, guard: &mut MutexGuard<'_, T>, mut condition: impl FnMut(&mut T) -> bool) {
        while condition(&mut **guard) {
            self.wait(guard);
        }
    }

    /// Waits until `condition` is false, for `timeout` at most. `timed_out`: it is still true.
    #[track_caller]
    pub fn wait_while_for<T: ?Sized>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        mut condition: impl FnMut(&mut T) -> bool,
        timeout: Duration,
    ) -> WaitTimeoutResult {
        let deadline = Instant::now() + timeout;
        while condition(&mut **guard) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || self.wait_for(guard, left).timed_out() {
                return WaitTimeoutResult(condition(&mut **guard));
            }
        }
        WaitTimeoutResult(false)
    }

    /// Wakes one waiter. A notification that nobody waits for is lost.
    #[track_caller]
    #[inline]
    pub fn notify_one(&self) {
        match &self.raw {
            RawCondvar::Real(condvar) => {
                condvar.notify_one();
            }
            #[cfg(feature = "model")]
            RawCondvar::Modelled(obj, gate) => notify_modelled(*obj, gate, false, Location::caller()),
        }
    }

    /// Wakes every waiter.
    #[track_caller]
    #[inline]
    pub fn notify_all(&self) {
        match &self.raw {
            RawCondvar::Real(condvar) => {
                condvar.notify_all();
            }
            #[cfg(feature = "model")]
            RawCondvar::Modelled(obj, gate) => notify_modelled(*obj, gate, true, Location::caller()),
        }
    }
}

impl Default for Condvar {
    #[track_caller]
    fn default() -> Self {
        Condvar::new()
    }
}

/// Waits until another thread says that a condition may have changed, with a [`super::ReentrantMutex`]. Always wait in a loop that looks
/// at the condition.
///
/// A wait gives the lock back. Where its owner holds it more than once, the frames below the wait do not know that, so such a wait is
/// refused.
#[derive(Debug)]
pub struct ReentrantCondvar {
    raw: RawReentrantCondvar,
}

#[derive(Debug)]
enum RawReentrantCondvar {
    /// parking_lot's condition wants parking_lot's plain mutex: who waits has that from before the lock is given back, so that nobody
    /// notifies in between.
    Real(parking_lot::Mutex<()>, parking_lot::Condvar),
    #[cfg(feature = "model")]
    Modelled(Obj, Gate),
}

/// The lock that a wait would give back is held more than once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a lock that is held once, got one that is held {depth} times")]
pub struct HeldAgain {
    /// How often it is held.
    pub depth: u32,
}

impl ReentrantCondvar {
    /// A condition that nobody waits for.
    #[track_caller]
    #[inline]
    pub fn new() -> Self {
        #[cfg(feature = "model")]
        if crate::engine::current() != crate::engine::Engine::Real {
            let site = Location::caller();
            let obj = with(|run| run.create("ReentrantCondvar", Nature::Primitive, site));
            return ReentrantCondvar { raw: RawReentrantCondvar::Modelled(obj, Gate::new()) };
        }
        ReentrantCondvar { raw: RawReentrantCondvar::Real(parking_lot::Mutex::new(()), parking_lot::Condvar::new()) }
    }

    /// Gives the lock back, waits for a notification, and takes the lock again.
    ///
    /// # Errors
    /// [`HeldAgain`]: nothing was waited for, and the lock is held as it was.
    #[track_caller]
    pub fn wait<T: ?Sized>(&self, guard: &mut ReentrantMutexGuard<'_, T>) -> Result<(), HeldAgain> {
        held_once(guard)?;
        match &self.raw {
            RawReentrantCondvar::Real(gate, condvar) => {
                let mut entered = gate.lock();
                ReentrantMutexGuard::unlocked(guard, |_| {
                    condvar.wait(&mut entered);
                    drop(entered);
                });
            }
            #[cfg(feature = "model")]
            RawReentrantCondvar::Modelled(obj, gate) => {
                let site = Location::caller();
                kernel::point(Op::Wait, Some(*obj), site);
                ReentrantMutexGuard::unlocked(guard, |raw| wait_unlocked(*obj, gate, raw, None, site));
            }
        }
        Ok(())
    }

    /// Like [`ReentrantCondvar::wait`], for `timeout` at most.
    ///
    /// # Errors
    /// [`HeldAgain`].
    #[track_caller]
    pub fn wait_for<T: ?Sized>(
        &self,
        guard: &mut ReentrantMutexGuard<'_, T>,
        timeout: Duration,
    ) -> Result<WaitTimeoutResult, HeldAgain> {
        held_once(guard)?;
        match &self.raw {
            RawReentrantCondvar::Real(gate, condvar) => {
                let mut entered = gate.lock();
                Ok(ReentrantMutexGuard::unlocked(guard, |_| {
                    let timed_out = condvar.wait_for(&mut entered, timeout).timed_out();
                    drop(entered);
                    WaitTimeoutResult(timed_out)
                }))
            }
            #[cfg(feature = "model")]
            RawReentrantCondvar::Modelled(obj, gate) => {
                let (site, deadline_ns) = (Location::caller(), deadline_ns(timeout));
                kernel::point(Op::Wait, Some(*obj), site);
                let wait = |raw: &mut RawGuard<'_>| wait_unlocked(*obj, gate, raw, Some(deadline_ns), site);
                Ok(WaitTimeoutResult(ReentrantMutexGuard::unlocked(guard, wait) == Wake::TimedOut))
            }
        }
    }

    /// Wakes one waiter. A notification that nobody waits for is lost.
    #[track_caller]
    pub fn notify_one(&self) {
        match &self.raw {
            RawReentrantCondvar::Real(gate, condvar) => {
                let _entered = gate.lock();
                condvar.notify_one();
            }
            #[cfg(feature = "model")]
            RawReentrantCondvar::Modelled(obj, gate) => notify_modelled(*obj, gate, false, Location::caller()),
        }
    }

    /// Wakes every waiter.
    #[track_caller]
    pub fn notify_all(&self) {
        match &self.raw {
            RawReentrantCondvar::Real(gate, condvar) => {
                let _entered = gate.lock();
                condvar.notify_all();
            }
            #[cfg(feature = "model")]
            RawReentrantCondvar::Modelled(obj, gate) => notify_modelled(*obj, gate, true, Location::caller()),
        }
    }
}

impl Default for ReentrantCondvar {
    #[track_caller]
    fn default() -> Self {
        ReentrantCondvar::new()
    }
}

fn held_once<T: ?Sized>(guard: &ReentrantMutexGuard<'_, T>) -> Result<(), HeldAgain> {
    match ReentrantMutexGuard::depth(guard) {
        1 => Ok(()),
        depth => Err(HeldAgain { depth }),
    }
}

#[cfg(feature = "model")]
fn deadline_ns(timeout: Duration) -> u64 {
    with(|run| run.now(me())).saturating_add(nanos(timeout))
}

/// Waits on `obj` with the lock's data given back: gives the lock itself back, and takes it again.
#[cfg(feature = "model")]
fn wait_unlocked(obj: Obj, gate: &Gate, raw: &mut RawGuard<'_>, deadline_ns: Option<u64>, site: Site) -> Wake {
    let me = me();
    {
        // Between `block` and `park` nothing may block inside loom: a wake-up would let it go on from there.
        let _gate = gate.enter();
        with(|run| {
            run.queue_for(obj, me);
            if let Some(mutex) = raw.obj() {
                run.guards_condition(mutex);
            }
        });
        raw.suspend();
        #[cfg(feature = "loom")]
        if let Some(deadline_ns) = deadline_ns {
            crate::explore::loom::arm_timer(gate, me, deadline_ns, site);
        }
        kernel::block(WaitFor::Wakeup(obj), deadline_ns, site);
    }
    let wake = kernel::park();
    if wake == Wake::TimedOut {
        let _gate = gate.enter();
        with(|run| run.leave_queue(obj, me));
    }
    raw.resume();
    wake
}

#[cfg(feature = "model")]
fn notify_modelled(obj: Obj, gate: &Gate, all: bool, site: Site) {
    kernel::point(Op::Notify, Some(obj), site);
    let _gate = gate.enter();
    with(|run| {
        run.note_notifier(me(), obj);
        while run.queue_len(obj) > 0 {
            let waiters = run.queue_len(obj);
            let position = if all || run.engine == crate::engine::Engine::Loom { 0 } else { run.choose(Kind::Notify, waiters) };
            let waiter = run.leave_queue_at(obj, position);
            run.inform(waiter);
            run.wake(waiter, Wake::Notified);
            if !all {
                break;
            }
        }
    });
    kernel::deliver_wakes();
}
