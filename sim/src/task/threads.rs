//! Tasks on shuttle: a thread each, which polls one future.

use super::handle::{Control, Handle};
use super::{JoinError, JoinHandle, RawHandle};
use crate::kernel;
use crate::run::{self, Nature, Obj, Site, WaitFor, me, with};
use crate::thread;
use crate::trace::Op;
use std::any::Any;
use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, Wake as WakeTask, Waker};

/// A task on `host`, or on the spawner's.
#[track_caller]
pub(super) fn spawn<F>(host: Option<u32>, name: &str, future: F, site: Site) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let (handle, own, parker) = prepare(site);
    let theirs = Arc::clone(&parker);
    let body = move || {
        let value = drive(future, &own.control, &theirs).ok_or(JoinError::Aborted);
        own.end_with(value);
    };
    // Before its first step: a wake-up, a crash or the runtime's end may come before the spawner goes on.
    thread::Builder::new().name(name).spawn_prepared(body, |run, thread| {
        prepare_thread(run, thread, &handle, &parker);
        if let Some(host) = host {
            run.threads[thread as usize].host = host;
            if !run.net.hosts[host as usize].is_up {
                // A host without power runs nothing.
                handle.control.abort();
            }
        }
    });
    JoinHandle { raw: RawHandle::Modelled(handle) }
}

std::thread_local! {
    /// Futures of local tasks on their way to their own coroutines. All run on this OS thread, so nothing is sent anywhere.
    static HANDED_OVER: RefCell<Vec<(u64, Box<dyn Any>)>> = const { RefCell::new(Vec::new()) };
}

#[track_caller]
pub(super) fn spawn_local<F>(future: F, site: Site) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let set = with(|run| run.threads[me() as usize].local_set);
    let set = set.expect("a local task is spawned from `block_on`'s own future or from a local task");
    let (handle, own, parker) = prepare::<F::Output>(site);
    let ticket = with(|run| {
        run.sleeps_made += 1;
        run.sleeps_made
    });
    let package: Box<dyn Any> = Box::new((future, own, Arc::clone(&parker)));
    HANDED_OVER.with_borrow_mut(|packages| packages.push((ticket, package)));
    let body = move || {
        let package = HANDED_OVER.with_borrow_mut(|packages| {
            let position = packages.iter().position(|(other, _)| *other == ticket);
            packages.swap_remove(position.expect("it was put there before the thread was made")).1
        });
        let package = package.downcast::<(F, Handle<F::Output>, Arc<Parker>)>();
        let (future, own, parker) = *package.expect("the ticket names a package of this type");
        let value = drive(future, &own.control, &parker).ok_or(JoinError::Aborted);
        own.end_with(value);
    };
    let (name, parent) = ("local task", me());
    thread::Builder::new().name(name).spawn_prepared(body, |run, thread| {
        prepare_thread(run, thread, &handle, &parker);
        run.threads[thread as usize].local_set = Some(set);
        // The spawner goes on until it waits.
        run.local_sets[set as usize] = Some(parent);
    });
    JoinHandle { raw: RawHandle::Modelled(handle) }
}

/// The current task lets every other run first, those of its thread too.
pub(super) fn yield_now(site: Site) {
    let me = me();
    if let Some(finding) = with(|run| run.lock_across_await(me)) {
        run::fail(finding);
    }
    with(|run| run.leave_local_set(me));
    kernel::yield_now(site);
    with(|run| run.enter_local_set(me));
}

fn prepare<T>(site: Site) -> (Handle<T>, Handle<T>, Arc<Parker>) {
    let parker = Parker::new(site);
    let (handle, own) = Handle::pair(parker.control(site));
    (handle, own, parker)
}

fn prepare_thread<T>(run: &mut run::Run, thread: u32, handle: &Handle<T>, parker: &Parker) {
    parker.thread.store(thread, Ordering::SeqCst);
    handle.control.number.store(thread, Ordering::SeqCst);
    run.threads[thread as usize].control = Some(Arc::clone(&handle.control));
}

pub(super) fn block_on<F: Future>(future: F, site: Site) -> F::Output {
    let me = me();
    let inside = with(|run| run.threads[me as usize].control.is_some() || run.threads[me as usize].local_set.is_some());
    assert!(!inside, "`block_on` blocks its thread: inside a task or another `block_on` there is nobody to go on");
    let parker = Parker::new(site);
    let control = parker.control(site);
    let before = with(|run| {
        run.runtimes += 1;
        let set = run.local_sets.len() as u32;
        run.local_sets.push(Some(me));
        let thread = &mut run.threads[me as usize];
        (std::mem::replace(&mut thread.runtime, run.runtimes), thread.local_set.replace(set))
    });
    let value = drive(future, &control, &parker).expect("nothing cancels it");
    end_runtime(me, site);
    with(|run| {
        let thread = &mut run.threads[me as usize];
        (thread.runtime, thread.local_set) = before;
    });
    value
}

/// Ends the tasks that are left, as tokio's runtime does when it is dropped, and waits for their ends.
fn end_runtime(me: u32, site: Site) {
    loop {
        let mut left = with(|run| {
            let runtime = run.threads[me as usize].runtime;
            // The tasks that share this thread must have it to end.
            if let Some(set) = run.threads[me as usize].local_set {
                run.local_sets[set as usize] = None;
                run.threads[me as usize].local_set = None;
            }
            run.tasks_of(|thread| thread.runtime == runtime)
        });
        left.retain(|(thread, _)| *thread != me);
        if left.is_empty() {
            return;
        }
        for (_, control) in &left {
            control.abort();
        }
        for (thread, _) in left {
            while with(|run| run.threads[thread as usize].state != run::State::Finished) {
                kernel::block(WaitFor::Thread(thread), None, site);
                kernel::park();
            }
        }
    }
}

/// Polls a future on the current thread until it is ready. `None` if it was aborted.
fn drive<F: Future>(future: F, control: &Control, parker: &Arc<Parker>) -> Option<F::Output> {
    parker.thread.store(me(), Ordering::SeqCst);
    let waker = Waker::from(Arc::clone(parker));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if control.is_aborted() {
            return None;
        }
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return Some(value);
        }
        parker.park();
    }
}

/// Where the thread of a task waits between polls.
#[derive(Debug)]
struct Parker {
    obj: Obj,
    site: Site,
    thread: AtomicU32,
    token: AtomicBool,
    /// The task has woken itself: it wants others to go first.
    yields: AtomicBool,
}

impl Parker {
    fn new(site: Site) -> Arc<Parker> {
        let obj = with(|run| run.create("task", Nature::Primitive, site));
        Arc::new(Parker {
            obj,
            site,
            thread: AtomicU32::new(me()),
            token: AtomicBool::new(false),
            yields: AtomicBool::new(false),
        })
    }

    /// What stops the task that waits here.
    fn control(self: &Arc<Self>, site: Site) -> Arc<Control> {
        let control = Control::new(self.obj, site, self.thread());
        *control.waker.lock() = Some(Waker::from(Arc::clone(self)));
        Arc::new(control)
    }

    fn thread(&self) -> u32 {
        self.thread.load(Ordering::SeqCst)
    }

    /// Waits for a wake-up, or for the time of a sleep that this task has been polling.
    fn park(&self) {
        let me = me();
        let mut due = Vec::new();
        let mut has_waited = false;
        loop {
            let blocked = with(|run| {
                if !has_waited && let Some(finding) = run.lock_across_await(me) {
                    return Err(finding);
                }
                run.take_due(me, &mut due);
                if !due.is_empty() || self.token.load(Ordering::SeqCst) {
                    return Ok(false);
                }
                run.leave_local_set(me);
                run.block_task(me, self.obj, self.site).map(|()| true)
            });
            match blocked {
                Err(finding) => run::fail(finding),
                Ok(true) => {
                    kernel::park();
                    has_waited = true;
                    self.yields.store(false, Ordering::SeqCst);
                }
                Ok(false) => {
                    due.drain(..).for_each(Waker::wake);
                    if self.token.swap(false, Ordering::SeqCst) {
                        let yields = self.yields.swap(false, Ordering::SeqCst);
                        if !has_waited && (with(|run| run.leave_local_set(me)) || yields) {
                            // Woken already, it still lets the others of its thread have their turns; and by itself, all others.
                            match yields {
                                true => kernel::yield_now(self.site),
                                false => kernel::point(Op::Wait, Some(self.obj), self.site),
                            }
                            with(|run| run.enter_local_set(me));
                        }
                        return;
                    }
                }
            }
        }
    }
}

impl WakeTask for Parker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.token.store(true, Ordering::SeqCst);
        if me() == self.thread() {
            self.yields.store(true, Ordering::SeqCst);
        }
        // A waker may be kept beyond its run; there is nothing to wake then.
        run::try_with(|run| run.wake_task(self.thread(), self.obj));
    }
}
