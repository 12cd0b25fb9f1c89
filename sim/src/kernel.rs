//! Where the facade meets the engine that runs now: points at which others may run, blocking, waking.

use crate::engine::Engine;
use crate::run::{self, Obj, Site, WaitFor, Wake, me, with};
use crate::trace::Op;
use crate::verdict::{Detector, Finding};
use std::thread::panicking;

/// A step of the current thread, before which others may run. On loom the engine's own operation, which follows, is the point.
#[inline]
pub(crate) fn point(op: Op, obj: Option<Obj>, site: Site) {
    let me = me();
    let switch = with(|run| {
        run.come_to(me, op, obj, site);
        run.switches_here(me, op.progresses())
    });
    follow(me, switch);
}

/// A step of the current thread that concerns another.
pub(crate) fn thread_point(op: Op, thread: u32, site: Site) {
    let me = me();
    let switch = with(|run| {
        run.come_to(me, op, None, site);
        run.name_last_event_after(thread);
        run.switches_here(me, op.progresses())
    });
    follow(me, switch);
}

impl run::Run {
    /// Whether another thread is to run at this point.
    #[inline]
    fn switches_here(&mut self, me: u32, progresses: bool) -> Result<bool, Finding> {
        match self.engine {
            Engine::Loom => Ok(false),
            // While a panic unwinds nothing else runs: the flag that says so belongs to the OS thread that all share.
            _ if panicking() => Ok(false),
            Engine::Turmoil => self.hosted_point(),
            _ => self.point(me, progresses),
        }
    }
}

#[inline]
fn follow(me: u32, switch: Result<bool, Finding>) {
    match switch {
        Ok(false) => {}
        Ok(true) => switch_from(me),
        Err(finding) => run::fail(finding),
    }
}

/// Lets every other thread run before the current one does again.
pub(crate) fn yield_now(site: Site) {
    let me = me();
    let switch = with(|run| {
        run.come_to(me, Op::Yield, None, site);
        match run.engine {
            Engine::Loom => Ok(false),
            _ if panicking() => Ok(false),
            Engine::Turmoil => run.hosted_point(),
            _ => run.yield_point(me),
        }
    });
    match switch {
        Ok(true) => switch_from(me),
        Ok(false) => {}
        Err(finding) => run::fail(finding),
    }
    #[cfg(feature = "loom")]
    if crate::engine::current() == Engine::Loom {
        in_loom(loom::thread::yield_now);
    }
}

/// Marks the current thread as blocked. [`park`] then waits; between the two a lock may be given back.
pub(crate) fn block(wait: WaitFor, deadline_ns: Option<u64>, site: Site) {
    let me = me();
    if panicking() {
        run::fail(Finding::new(Detector::Panic, "a destructor blocked while a panic unwound").with(crate::hook::last_panic()));
    }
    if let Err(finding) = with(|run| run.block(me, wait, deadline_ns, site)) {
        run::fail(finding);
    }
    #[cfg(feature = "turmoil")]
    if crate::engine::current() == Engine::Turmoil {
        run::fail(run::Run::blocks_every_task(wait));
    }
}

/// The current thread is about to ask loom for a mutex of its own. A destructor may do so while a panic unwinds.
#[cfg(feature = "loom")]
pub(crate) fn ask_in_loom(obj: Obj, site: Site) {
    let me = me();
    let asked = with(|run| {
        run.record(me, Op::Lock, Some(obj), site);
        run.ask_lock(me, obj, false, site);
        run.block(me, WaitFor::Lock(obj), None, site).map(|()| run.has_timers())
    });
    match asked {
        Ok(false) => {}
        Ok(true) => fire_if_quiet(),
        Err(finding) => run::fail(finding),
    }
}

/// Waits until somebody woke the current thread, or its time came.
pub(crate) fn park() -> Wake {
    let me = me();
    #[cfg(feature = "loom")]
    if crate::engine::current() == Engine::Loom {
        fire_if_quiet();
        while with(|run| run.threads[me as usize].state == run::State::Blocked) {
            in_loom(loom::thread::park);
        }
        return with(|run| run.unblocked(me));
    }
    match with(|run| run.pick_ready(me)) {
        Ok(picked) if picked == me => {}
        Ok(_) => switch_from(me),
        Err(finding) => run::fail(finding),
    }
    with(|run| run.unblocked(me))
}

#[cfg(feature = "loom")]
thread_local! {
    /// A bit for each of the body's threads that is inside loom: all share this OS thread.
    static IN_LOOM: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// An operation of loom's own. Others may run meanwhile, and loom may give the run up: then this ends the check and never returns.
/// It ends here and not in the panic hook, as who stays in there keeps everybody from the hook: a test program that is about to
/// exit wants it.
#[cfg(feature = "loom")]
#[inline]
pub(crate) fn in_loom<R>(f: impl FnOnce() -> R) -> R {
    let me = me();
    IN_LOOM.set(IN_LOOM.get() | 1 << me);
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f));
    IN_LOOM.set(IN_LOOM.get() & !(1 << me));
    run::set_me(me);
    match result {
        Ok(result) => result,
        Err(payload) => {
            crate::hook::fail_if_loom_gave_up();
            std::panic::resume_unwind(payload)
        }
    }
}

/// Whether the current thread is inside an operation of loom's own that this module watches.
#[cfg(feature = "loom")]
pub(crate) fn is_in_loom() -> bool {
    IN_LOOM.get() & 1 << me() != 0
}

/// After threads were woken in the state: has the engine wake them too.
#[inline]
pub(crate) fn deliver_wakes() {
    #[cfg(feature = "loom")]
    if crate::engine::current() == Engine::Loom {
        while let Some(thread) = with(|run| run.to_unpark.pop()) {
            thread.unpark();
        }
    }
}

/// On loom: a timed wait that has ended by its time as often as the bounds let it still ends where otherwise nothing could ever
/// run again. The thread that is about to block or has ended looks for that.
#[inline]
pub(crate) fn fire_if_quiet() {
    #[cfg(feature = "loom")]
    if crate::engine::current() == Engine::Loom && with(|run| run.has_timers()) && crate::explore::loom::timers_are_idle() {
        with(run::Run::fire_if_quiet);
        deliver_wakes();
    }
}

/// On loom, where a thread has ended: loom would find by itself that now nothing can run, but where [`in_loom`] does not see it.
#[cfg(feature = "loom")]
pub(crate) fn fail_if_stuck() {
    if crate::engine::current() == Engine::Loom
        && crate::explore::loom::timers_are_idle()
        && let Some(finding) = with(|run| (run.is_quiet() && run.unfinished().next().is_some()).then(|| run.stuck()))
    {
        run::fail(finding);
    }
}

/// Has the engine run the thread that was picked.
#[inline]
fn switch_from(me: u32) {
    #[cfg(feature = "shuttle")]
    {
        shuttle_engine::runtime::thread::switch();
        run::set_me(me);
    }
    #[cfg(not(feature = "shuttle"))]
    {
        let _ = me;
        unreachable!("only shuttle has more than one thread to pick from");
    }
}

/// A gate that makes a primitive's own critical section visible to loom. The other engines need none: they switch at points only.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate {
    #[cfg(feature = "loom")]
    loom: Option<std::sync::Arc<loom::sync::Mutex<()>>>,
}

#[cfg(feature = "loom")]
pub(crate) type GateGuard<'a> = Option<loom::sync::MutexGuard<'a, ()>>;
#[cfg(not(feature = "loom"))]
pub(crate) struct GateGuard<'a>(std::marker::PhantomData<&'a ()>);
#[cfg(not(feature = "loom"))]
pub(crate) const NO_GATE: GateGuard<'static> = GateGuard(std::marker::PhantomData);

impl Gate {
    pub(crate) fn new() -> Gate {
        Gate {
            #[cfg(feature = "loom")]
            loom: (crate::engine::current() == Engine::Loom).then(|| std::sync::Arc::new(loom::sync::Mutex::new(()))),
        }
    }

    #[inline]
    pub(crate) fn enter(&self) -> GateGuard<'_> {
        #[cfg(feature = "loom")]
        {
            self.loom.as_ref().map(|gate| in_loom(|| gate.lock().expect("loom's locks are not poisoned: a panic ends the run")))
        }
        #[cfg(not(feature = "loom"))]
        GateGuard(std::marker::PhantomData)
    }
}
