//! Loom: its threads, its timers, and what it must be shown.
//!
//! Loom has no time. A thread of ours, made when a run first waits with a time, ends such waits: whenever loom lets it run, the wait
//! with the earliest time, as its thread knows the time. It can come at any moment, so a notification is explored before it and after
//! it; it ends each thread's wait at each place only so often as the bounds say, as a periodic timer would never end. After that a timed wait ends by its
//! time only where nothing else can run.

use super::carrier::{Body, Driver, Native, Settings, carry};
use crate::engine::Engine;
use crate::kernel::{self, Gate};
use crate::run::{Obj, Site, State, Wake, set_me, with};
use std::cell::RefCell;
use std::sync::Arc;

/// Loom's own limit.
const THREADS_MAX: usize = 5;
const BRANCHES_MAX: usize = 20_000;
/// What loom gives a thread unless asked otherwise is 32 KiB, which formatting alone can fill.
const STACK_BYTES: usize = 128 * 1024;
/// The timer thread's number, which is no thread's of the body.
const TIMER_THREAD: u32 = 63;

pub(super) fn explore(driver: Driver, settings: Settings, body: Body) {
    let mut builder = loom::model::Builder::new();
    builder.max_threads = THREADS_MAX;
    builder.max_branches = BRANCHES_MAX;
    builder.preemption_bound = settings.bounds.preemptions.map(|bound| bound.min(u32::from(u8::MAX)) as usize);
    // Our own limits count, and the environment must not change what a token means.
    builder.max_duration = None;
    builder.max_permutations = None;
    builder.checkpoint_file = None;
    builder.location = false;
    builder.log = false;
    let driver = parking_lot::Mutex::new(driver);
    builder.check(move || {
        TIMERS.set(None);
        TRACKS.set(Vec::new());
        if !driver.lock().advance() {
            // Loom knows no way to be told to stop, so the OS thread reports from here and goes no further.
            super::carrier::stop_here();
        }
        let body = Arc::clone(&body);
        set_me(0);
        with(|run| run.threads[0].loom = Some(loom::thread::current()));
        carry(0, move || body());
    });
    // The last run, as `advance` has not looked at it.
    with(|run| {
        run.keep_potential();
        run.exhausted = true;
    });
}

pub(super) fn start(thread: u32, stack_size_bytes: Option<usize>, body: Box<dyn FnOnce() + Send>) -> Native {
    if with(|run| run.shows_ends) {
        track(END_OF_THREAD | thread);
    }
    let builder = loom::thread::Builder::new().stack_size(stack_size_bytes.unwrap_or(STACK_BYTES));
    let handle = kernel::in_loom(|| builder.spawn(body).expect("loom makes threads without fail"));
    with(|run| run.threads[thread as usize].loom = Some(handle.thread().clone()));
    Native::Loom(handle)
}

thread_local! {
    static TIMERS: RefCell<Option<Timers>> = const { RefCell::new(None) };
    static TRACKS: RefCell<Vec<Track>> = const { RefCell::new(Vec::new()) };
}

/// What loom sees of one thread's looks at something of ours. Loom remembers the last access alone: had all threads one track, a look
/// would hide those before it from the change that they all must be explored after.
struct Track {
    id: u32,
    thread: u32,
    seen: Arc<loom::sync::atomic::AtomicUsize>,
}

struct Timers {
    gate: Gate,
    armed: Vec<Armed>,
    thread: Option<loom::thread::Thread>,
    parked: bool,
    ended: bool,
}

struct Armed {
    deadline_ns: u64,
    thread: u32,
    /// Which of the thread's waits.
    wait_number: u32,
    gate: Gate,
}

/// The current thread, inside the gate of what it will wait on, is about to wait until `deadline_ns` at the latest.
pub(crate) fn arm_timer(target: &Gate, me: u32, deadline_ns: u64, site: Site) {
    if crate::engine::current() != Engine::Loom || !with(|run| run.may_fire(me, site)) {
        return;
    }
    if TIMERS.with_borrow(Option::is_none) {
        let timers = Timers { gate: Gate::new(), armed: Vec::new(), thread: None, parked: false, ended: false };
        TIMERS.set(Some(timers));
        let handle = kernel::in_loom(|| loom::thread::spawn(fire_timers));
        with_timers(|timers| timers.thread = Some(handle.thread().clone()));
    }
    let gate = with_timers(|timers| timers.gate.clone());
    let _gate = gate.enter();
    let wait_number = with(|run| run.threads[me as usize].wait_number) + 1;
    let wake = with_timers(|timers| {
        timers.armed.push(Armed { deadline_ns, thread: me, wait_number, gate: target.clone() });
        timers.take_parked()
    });
    if let Some(thread) = wake {
        thread.unpark();
    }
}

/// The last thread of the body has ended.
pub(super) fn end_timers() {
    let wake = TIMERS.with_borrow_mut(|timers| {
        timers.as_mut().and_then(|timers| {
            timers.ended = true;
            timers.take_parked()
        })
    });
    if let Some(thread) = wake {
        thread.unpark();
    }
}

/// Whether the timer thread has nothing to fire.
pub(crate) fn timers_are_idle() -> bool {
    TIMERS.with_borrow(|timers| timers.as_ref().is_none_or(|timers| timers.parked))
}

impl Timers {
    /// The timer thread, if it is parked. It must not be unparked while loom has it blocked elsewhere: it would go on from there.
    fn take_parked(&mut self) -> Option<loom::thread::Thread> {
        if std::mem::take(&mut self.parked) { self.thread.clone() } else { None }
    }
}

fn with_timers<R>(f: impl FnOnce(&mut Timers) -> R) -> R {
    TIMERS.with_borrow_mut(|timers| f(timers.as_mut().expect("they were made when the first timer was armed")))
}

/// The timer thread.
fn fire_timers() {
    set_me(TIMER_THREAD);
    loop {
        let gate = with_timers(|timers| timers.gate.clone());
        let (armed, ended) = {
            let _gate = gate.enter();
            with_timers(|timers| {
                timers.armed.retain(Armed::still_waits_or_will);
                let earliest = (0..timers.armed.len()).min_by_key(|&index| timers.armed[index].deadline_ns);
                (earliest.map(|index| timers.armed.swap_remove(index)), timers.ended)
            })
        };
        match armed {
            _ if ended => return,
            Some(armed) => {
                let _gate = armed.gate.enter();
                if armed.waits() {
                    with(|run| run.wake(armed.thread, Wake::TimedOut));
                    kernel::deliver_wakes();
                }
            }
            None => {
                with_timers(|timers| timers.parked = true);
                kernel::fire_if_quiet();
                while with_timers(|timers| timers.parked) {
                    kernel::in_loom(loom::thread::park);
                }
            }
        }
    }
}

impl Armed {
    /// Whether the wait goes on.
    fn waits(&self) -> bool {
        with(|run| {
            let thread = &run.threads[self.thread as usize];
            thread.state == State::Blocked && thread.wait_number == self.wait_number
        })
    }

    /// Whether the wait goes on or is about to begin.
    fn still_waits_or_will(&self) -> bool {
        self.waits() || with(|run| run.threads[self.thread as usize].wait_number < self.wait_number)
    }
}

/// Gives a ledger entry something that loom sees, so that it explores the orders of its uses and its release.
pub(crate) fn make_visible(obj: Obj) {
    track(obj.id);
}

/// Shows loom a use or a release.
pub(crate) fn make_visible_access(obj: Obj, releases: bool) {
    show(obj.id, releases);
}

/// Shows loom a thread's end, or a look at whether it has ended. Few bodies look, so ends are shown only to those that do.
pub(crate) fn make_end_visible(thread: u32, ends: bool) {
    if !with(|run| run.shows_ends) && crate::engine::current() == Engine::Loom {
        if ends {
            return;
        }
        crate::run::begin_again(crate::run::Message::AskedForEnd);
    }
    show(END_OF_THREAD | thread, ends);
}

/// Tells threads from ledger entries.
const END_OF_THREAD: u32 = 1 << 31;

fn track(id: u32) {
    if crate::engine::current() == Engine::Loom {
        add_track(id, crate::run::me());
    }
}

fn add_track(id: u32, thread: u32) -> Arc<loom::sync::atomic::AtomicUsize> {
    let seen = Arc::new(loom::sync::atomic::AtomicUsize::new(0));
    TRACKS.with_borrow_mut(|tracks| tracks.push(Track { id, thread, seen: Arc::clone(&seen) }));
    seen
}

fn show(id: u32, changes: bool) {
    let me = crate::run::me();
    let tracks: Vec<(u32, Arc<loom::sync::atomic::AtomicUsize>)> = TRACKS.with_borrow(|tracks| {
        let of_it = tracks.iter().filter(|track| track.id == id);
        of_it.map(|track| (track.thread, Arc::clone(&track.seen))).collect()
    });
    if tracks.is_empty() {
        return;
    }
    // Relaxed: what is noted here must not order what the program leaves unordered.
    kernel::in_loom(|| {
        if changes {
            for (_, track) in tracks {
                track.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        } else {
            let own = tracks.into_iter().find(|(thread, _)| *thread == me).map(|(_, track)| track);
            own.unwrap_or_else(|| add_track(id, me)).load(std::sync::atomic::Ordering::Relaxed);
        }
    });
}
