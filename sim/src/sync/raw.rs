//! The lock behind the locks: an enum over engines, without data.

#[cfg(feature = "model")]
use crate::engine::{Engine, current};
#[cfg(feature = "model")]
use crate::kernel;
#[cfg(feature = "loom")]
use crate::kernel::Gate;
#[cfg(feature = "model")]
use crate::run::{Nature, Obj, Site, WaitFor, me, nanos, with};
#[cfg(feature = "model")]
use crate::trace::Op;
use std::marker::PhantomData;
use std::panic::Location;
use std::time::Duration;

/// Who may have the lock beside its holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Exclusive,
    Shared,
}

/// Excludes threads under the engines. Under [`RawLock::Real`] the data's own parking_lot lock does that alone.
#[derive(Debug)]
pub(crate) enum RawLock {
    Real,
    /// Shuttle and cases: the run's state is the lock.
    #[cfg(feature = "model")]
    Simulated(Obj),
    /// Loom's own mutex, so that its partial-order reduction knows a lock from an access.
    #[cfg(feature = "loom")]
    Loom(Obj, loom::sync::Mutex<()>),
    /// On loom, the kinds that its mutex cannot be: the run's state, seen through a gate.
    #[cfg(feature = "loom")]
    LoomQueued(Obj, Gate),
}

impl RawLock {
    /// A lock that its owner must not take again.
    pub(crate) fn mutex(site: &'static Location<'static>) -> RawLock {
        #[cfg(feature = "model")]
        match current() {
            Engine::Real => {}
            #[cfg(feature = "loom")]
            Engine::Loom => {
                let (obj, tried) = with(|run| {
                    let tried = run.tried_sites.contains(&site);
                    (run.create("Mutex", Nature::Primitive, site), tried)
                });
                return match tried {
                    true => RawLock::LoomQueued(obj, Gate::new()),
                    false => RawLock::Loom(obj, loom::sync::Mutex::new(())),
                };
            }
            _ => return RawLock::Simulated(with(|run| run.create("Mutex", Nature::Primitive, site))),
        }
        let _ = site;
        RawLock::Real
    }

    pub(crate) fn reentrant(site: &'static Location<'static>) -> RawLock {
        #[cfg(feature = "model")]
        return RawLock::queued("ReentrantMutex", Nature::Reentrant, site);
        #[cfg(not(feature = "model"))]
        {
            let _ = site;
            RawLock::Real
        }
    }

    pub(crate) fn read_write(site: &'static Location<'static>) -> RawLock {
        #[cfg(feature = "model")]
        return RawLock::queued("RwLock", Nature::Primitive, site);
        #[cfg(not(feature = "model"))]
        {
            let _ = site;
            RawLock::Real
        }
    }

    #[cfg(feature = "model")]
    fn queued(kind: &'static str, nature: Nature, site: Site) -> RawLock {
        match current() {
            Engine::Real => RawLock::Real,
            #[cfg(feature = "loom")]
            Engine::Loom => RawLock::LoomQueued(with(|run| run.create(kind, nature, site)), Gate::new()),
            _ => RawLock::Simulated(with(|run| run.create(kind, nature, site))),
        }
    }

    /// Waits for the lock.
    #[inline]
    pub(crate) fn lock(&self, mode: Mode, site: &'static Location<'static>) -> RawGuard<'_> {
        #[cfg(feature = "model")]
        if !matches!(self, RawLock::Real) {
            return self.lock_modelled(mode, site);
        }
        #[cfg(feature = "model")]
        super::refuse_if_in_a_run("a lock", site);
        let _ = (mode, site);
        RawGuard::REAL
    }

    /// Takes the lock if that needs no waiting.
    #[inline]
    pub(crate) fn try_lock(&self, mode: Mode, site: &'static Location<'static>) -> Option<RawGuard<'_>> {
        #[cfg(feature = "model")]
        if !matches!(self, RawLock::Real) {
            return self.try_lock_modelled(mode, site);
        }
        #[cfg(feature = "model")]
        super::refuse_if_in_a_run("a lock", site);
        let _ = (mode, site);
        Some(RawGuard::REAL)
    }

    /// Waits for the lock for a time.
    #[inline]
    pub(crate) fn try_lock_for(&self, mode: Mode, timeout: Duration, site: &'static Location<'static>) -> Option<RawGuard<'_>> {
        #[cfg(feature = "model")]
        if !matches!(self, RawLock::Real) {
            return self.try_lock_for_modelled(mode, timeout, site);
        }
        #[cfg(feature = "model")]
        super::refuse_if_in_a_run("a lock", site);
        let _ = (mode, timeout, site);
        Some(RawGuard::REAL)
    }
}

#[cfg(feature = "model")]
impl RawLock {
    pub(crate) fn obj(&self) -> Option<Obj> {
        match self {
            RawLock::Real => None,
            RawLock::Simulated(obj) => Some(*obj),
            #[cfg(feature = "loom")]
            RawLock::Loom(obj, _) | RawLock::LoomQueued(obj, _) => Some(*obj),
        }
    }

    fn expect_obj(&self) -> Obj {
        self.obj().expect("a modelled lock has an object")
    }

    fn gate(&self) -> kernel::GateGuard<'_> {
        match self {
            #[cfg(feature = "loom")]
            RawLock::LoomQueued(_, gate) => gate.enter(),
            #[cfg(feature = "loom")]
            _ => None,
            #[cfg(not(feature = "loom"))]
            _ => kernel::NO_GATE,
        }
    }

    fn guard(&self, mode: Mode, site: Site) -> RawGuard<'_> {
        RawGuard {
            held: Some(HeldLock {
                lock: self,
                mode,
                site,
                #[cfg(feature = "loom")]
                native: None,
            }),
            lock: PhantomData,
        }
    }

    fn lock_modelled(&self, mode: Mode, site: Site) -> RawGuard<'_> {
        let (me, obj, shared) = (me(), self.expect_obj(), mode == Mode::Shared);
        #[cfg(feature = "loom")]
        if let RawLock::Loom(_, native) = self {
            // Loom blocks inside its lock, so the wait is noted first: the state of a deadlock is read from the notes.
            kernel::ask_in_loom(obj, site);
            let native = kernel::in_loom(|| native.lock().expect("loom's locks are not poisoned: a panic ends the run"));
            with(|run| {
                run.had_lock(me);
                run.locked(me, obj, shared, site);
            });
            let mut guard = self.guard(mode, site);
            guard.hold_native(native);
            return guard;
        }
        kernel::point(Op::Lock, Some(obj), site);
        with(|run| run.ask_lock(me, obj, shared, site));
        let mut waits = false;
        loop {
            {
                let _gate = self.gate();
                let free = with(|run| {
                    let free = run.lock_is_free_after(me, obj, shared, waits);
                    if free {
                        if waits && !shared {
                            run.writer_waits(obj, false);
                        }
                        run.locked(me, obj, shared, site);
                    } else {
                        if !waits && !shared {
                            run.writer_waits(obj, true);
                        }
                        run.queue_for(obj, me);
                    }
                    free
                });
                if free {
                    return self.guard(mode, site);
                }
                waits = true;
                kernel::block(WaitFor::Lock(obj), None, site);
            }
            kernel::park();
        }
    }

    fn try_lock_modelled(&self, mode: Mode, site: Site) -> Option<RawGuard<'_>> {
        let (me, obj, shared) = (me(), self.expect_obj(), mode == Mode::Shared);
        kernel::point(Op::TryLock, Some(obj), site);
        #[cfg(feature = "loom")]
        if matches!(self, RawLock::Loom(..)) {
            // Loom blocks a thread that is about to try a mutex which another takes meanwhile, and then sees deadlocks that are none.
            crate::run::begin_again_with_tried(obj);
        }
        let _gate = self.gate();
        let free = with(|run| {
            let free = run.lock_is_free_after(me, obj, shared, false);
            if free {
                run.locked(me, obj, shared, site);
            }
            free
        });
        free.then(|| self.guard(mode, site))
    }

    fn try_lock_for_modelled(&self, mode: Mode, timeout: Duration, site: Site) -> Option<RawGuard<'_>> {
        let (me, obj, shared) = (me(), self.expect_obj(), mode == Mode::Shared);
        if current() == Engine::Loom {
            // Loom has no time. Any number of tries may come before the time is up, so the bounds say how many are made.
            let tries = with(|run| run.bounds.firings) + 1;
            for _ in 0..tries {
                if let Some(guard) = self.try_lock_modelled(mode, site) {
                    return Some(guard);
                }
                kernel::yield_now(site);
            }
            return None;
        }
        kernel::point(Op::Lock, Some(obj), site);
        let deadline_ns = with(|run| run.now_ns).saturating_add(nanos(timeout));
        let mut waits = false;
        loop {
            let free = with(|run| {
                let free = run.lock_is_free_after(me, obj, shared, waits);
                let late = !free && run.now_ns >= deadline_ns;
                if !shared && waits && (free || late) {
                    run.writer_waits(obj, false);
                }
                if free {
                    run.locked(me, obj, shared, site);
                    return Some(true);
                }
                if late {
                    run.leave_queue(obj, me);
                    return Some(false);
                }
                if !shared && !waits {
                    run.writer_waits(obj, true);
                }
                run.queue_for(obj, me);
                None
            });
            if let Some(free) = free {
                return free.then(|| self.guard(mode, site));
            }
            waits = true;
            kernel::block(WaitFor::Lock(obj), Some(deadline_ns), site);
            kernel::park();
        }
    }
}

/// Holds a [`RawLock`] until it is dropped.
#[derive(Debug)]
pub(crate) struct RawGuard<'a> {
    #[cfg(feature = "model")]
    held: Option<HeldLock<'a>>,
    lock: PhantomData<&'a RawLock>,
}

#[cfg(feature = "model")]
#[derive(Debug)]
struct HeldLock<'a> {
    lock: &'a RawLock,
    mode: Mode,
    site: Site,
    #[cfg(feature = "loom")]
    native: Option<loom::sync::MutexGuard<'a, ()>>,
}

impl<'a> RawGuard<'a> {
    const REAL: RawGuard<'a> = RawGuard {
        #[cfg(feature = "model")]
        held: None,
        lock: PhantomData,
    };

    #[cfg(feature = "loom")]
    fn hold_native(&mut self, native: loom::sync::MutexGuard<'a, ()>) {
        if let Some(held) = &mut self.held {
            held.native = Some(native);
        }
    }

    /// The lock's object, unless it is a real one.
    #[cfg(feature = "model")]
    pub(crate) fn obj(&self) -> Option<Obj> {
        self.held.as_ref().and_then(|held| held.lock.obj())
    }

    /// Gives the lock back for a wait; [`RawGuard::resume`] takes it again.
    #[cfg(feature = "model")]
    pub(crate) fn suspend(&mut self) {
        if let Some(held) = &mut self.held {
            held.release();
        }
    }

    #[cfg(feature = "model")]
    pub(crate) fn resume(&mut self) {
        if let Some(held) = self.held.take() {
            *self = held.lock.lock_modelled(held.mode, held.site);
        }
    }
}

#[cfg(feature = "model")]
impl HeldLock<'_> {
    fn release(&mut self) {
        let obj = self.lock.expect_obj();
        {
            let _gate = self.lock.gate();
            with(|run| run.unlocked(me(), obj, self.mode == Mode::Shared));
            kernel::deliver_wakes();
        }
        #[cfg(feature = "loom")]
        drop(self.native.take());
    }
}

#[cfg(feature = "model")]
impl Drop for RawGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(held) = &mut self.held {
            held.release();
        }
    }
}
