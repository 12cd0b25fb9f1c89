//! Tasks: futures that run on their own, as tokio's.
//!
//! In production a task is tokio's. On shuttle each task is a thread of its own that polls one future, so every order of steps that a
//! runtime with many workers could have is explored. Loom and the engine for inputs have no tasks.

use crate::engine::{Primitive, Unsupported, current};
#[cfg(feature = "model")]
use crate::{
    engine::Engine,
    kernel,
    run::{self, Nature, Obj, Site, WaitFor, me, with},
    thread,
    trace::Op,
    verdict::{Detector, Finding},
};
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
#[cfg(feature = "model")]
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use std::task::{Context, Poll};
#[cfg(feature = "model")]
use std::task::{Wake as WakeTask, Waker};

/// Runs `future` as a task. In production this needs a runtime around it: tokio's, or [`block_on`].
///
/// # Panics
/// Where there is no runtime, or the engine has no tasks; see [`try_spawn`].
#[track_caller]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    try_spawn("task", future).unwrap_or_else(|error| panic!("{error}"))
}

/// Runs `future` as a task that traces call `name`.
///
/// # Errors
/// [`Unsupported`] where the engine has no tasks.
///
/// # Panics
/// In production, outside of a runtime.
#[track_caller]
pub fn try_spawn<F>(name: &str, future: F) -> Result<JoinHandle<F::Output>, Unsupported>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    current().supports(Primitive::Task)?;
    #[cfg(feature = "model")]
    if current() != Engine::Real {
        return Ok(spawn_modelled(name, future, Location::caller()));
    }
    let _ = (name, Location::caller());
    Ok(JoinHandle { raw: RawHandle::Real(tokio::spawn(future)) })
}

/// Runs `future` to its end on this thread: in production on a tokio runtime of its own, with a worker a core.
///
/// # Panics
/// Inside another runtime; if the system gives no runtime; on an engine without tasks.
#[track_caller]
pub fn block_on<F: Future>(future: F) -> F::Output {
    if let Err(error) = current().supports(Primitive::Task) {
        panic!("{error}");
    }
    #[cfg(feature = "model")]
    if current() != Engine::Real {
        let never = AtomicBool::new(false);
        let parker = Parker::new(Location::caller());
        return drive(future, &parker, &never).expect("nothing cancels it");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("the system gives a runtime");
    runtime.block_on(future)
}

/// Lets other tasks run first.
#[track_caller]
pub fn yield_now() -> impl Future<Output = ()> {
    YieldNow { site: Location::caller(), yielded: false }
}

struct YieldNow {
    site: &'static Location<'static>,
    yielded: bool,
}

impl Future for YieldNow {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        #[cfg(feature = "model")]
        if current() != Engine::Real {
            kernel::yield_now(self.site);
            return Poll::Ready(());
        }
        let _ = self.site;
        if std::mem::replace(&mut self.yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Waits for a task's end: a future of what it returned. Dropping it lets the task go on alone.
#[derive(Debug)]
pub struct JoinHandle<T> {
    raw: RawHandle<T>,
}

#[derive(Debug)]
enum RawHandle<T> {
    Real(tokio::task::JoinHandle<T>),
    #[cfg(feature = "model")]
    Modelled(Arc<Task<T>>),
}

/// Why a task has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JoinError {
    /// It was aborted.
    Aborted,
    /// It panicked. Under an engine that ends the run instead.
    Panicked,
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            JoinError::Aborted => "the task was aborted",
            JoinError::Panicked => "the task panicked",
        })
    }
}

impl std::error::Error for JoinError {}

impl<T> JoinHandle<T> {
    /// Has the task end where it next waits, its future dropped there. A task that has ended keeps its value.
    #[track_caller]
    pub fn abort(&self) {
        match &self.raw {
            RawHandle::Real(handle) => handle.abort(),
            #[cfg(feature = "model")]
            RawHandle::Modelled(task) => {
                kernel::point(Op::Store, Some(task.parker.obj), Location::caller());
                task.aborted.store(true, Ordering::SeqCst);
                task.parker.wake_by_ref();
            }
        }
    }

    /// Whether the task has ended.
    #[track_caller]
    pub fn is_finished(&self) -> bool {
        match &self.raw {
            RawHandle::Real(handle) => handle.is_finished(),
            #[cfg(feature = "model")]
            RawHandle::Modelled(task) => {
                kernel::point(Op::Load, Some(task.parker.obj), Location::caller());
                task.end.lock().ended
            }
        }
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    /// # Panics
    /// If it is polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.raw {
            RawHandle::Real(handle) => Pin::new(handle).poll(context).map_err(|error| match error.is_cancelled() {
                true => JoinError::Aborted,
                false => JoinError::Panicked,
            }),
            #[cfg(feature = "model")]
            RawHandle::Modelled(task) => {
                let mut end = task.end.lock();
                if !end.ended {
                    end.joiner = Some(context.waker().clone());
                    return Poll::Pending;
                }
                with(|run| run.learn_from(task.parker.thread()));
                Poll::Ready(end.value.take().expect("a join is polled until it is ready, and not after"))
            }
        }
    }
}

#[cfg(feature = "model")]
struct Task<T> {
    parker: Arc<Parker>,
    aborted: AtomicBool,
    end: parking_lot::Mutex<End<T>>,
}

#[cfg(feature = "model")]
struct End<T> {
    ended: bool,
    value: Option<Result<T, JoinError>>,
    joiner: Option<Waker>,
}

#[cfg(feature = "model")]
impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").finish_non_exhaustive()
    }
}

#[cfg(feature = "model")]
fn spawn_modelled<F>(name: &str, future: F, site: Site) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let end = parking_lot::Mutex::new(End { ended: false, value: None, joiner: None });
    let task = Arc::new(Task { parker: Parker::new(site), aborted: AtomicBool::new(false), end });
    let own = Arc::clone(&task);
    let body = move || {
        own.parker.thread.store(me(), Ordering::SeqCst);
        let value = drive(future, &own.parker, &own.aborted).ok_or(JoinError::Aborted);
        let joiner = {
            let mut end = own.end.lock();
            end.ended = true;
            end.value = Some(value);
            end.joiner.take()
        };
        if let Some(joiner) = joiner {
            joiner.wake();
        }
    };
    let handle = thread::Builder::new().name(name).spawn(body).expect("an engine that has tasks makes threads");
    // A wake-up may come before the task has taken its first step.
    task.parker.thread.store(handle.number(), Ordering::SeqCst);
    JoinHandle { raw: RawHandle::Modelled(task) }
}

/// Polls a future on the current thread until it is ready. `None` if it was aborted.
#[cfg(feature = "model")]
fn drive<F: Future>(future: F, parker: &Arc<Parker>, aborted: &AtomicBool) -> Option<F::Output> {
    parker.thread.store(me(), Ordering::SeqCst);
    let waker = Waker::from(Arc::clone(parker));
    let mut context = Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        if aborted.load(Ordering::SeqCst) {
            return None;
        }
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return Some(value);
        }
        if let Some(finding) = with(|run| run.lock_across_await(me())) {
            run::fail(finding);
        }
        parker.park();
    }
}

/// Where the thread of a task waits between polls.
#[cfg(feature = "model")]
#[derive(Debug)]
struct Parker {
    obj: Obj,
    site: Site,
    thread: std::sync::atomic::AtomicU32,
    token: AtomicBool,
}

#[cfg(feature = "model")]
impl Parker {
    fn new(site: Site) -> Arc<Parker> {
        let obj = with(|run| run.create("task", Nature::Primitive, site));
        let thread = std::sync::atomic::AtomicU32::new(me());
        Arc::new(Parker { obj, site, thread, token: AtomicBool::new(false) })
    }

    fn thread(&self) -> u32 {
        self.thread.load(Ordering::SeqCst)
    }

    /// Waits for a wake-up, or for the time of a sleep that this task has been polling.
    fn park(&self) {
        let me = me();
        while !self.token.swap(false, Ordering::SeqCst) {
            let earliest = with(|run| run.threads[me as usize].sleeps.iter().map(|sleep| sleep.deadline_ns).min());
            let site = with(|run| run.threads[me as usize].awaiting.last().map(|(_, site)| *site)).unwrap_or(self.site);
            kernel::block(WaitFor::Wakeup(self.obj), earliest, site);
            kernel::park();
            let due = with(|run| run.take_due_sleeps(me));
            due.into_iter().for_each(Waker::wake);
        }
    }
}

#[cfg(feature = "model")]
impl WakeTask for Parker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.token.store(true, Ordering::SeqCst);
        // A waker may be kept beyond its run; there is nothing to wake then.
        run::try_with(|run| run.wake_task(self.thread(), self.obj));
    }
}

#[cfg(feature = "model")]
impl run::Run {
    /// Wakes the thread of a task, if that is where it waits.
    fn wake_task(&mut self, thread: u32, parker: Obj) {
        if !self.is_current(parker) {
            return;
        }
        self.inform(thread);
        let waits = matches!(self.threads[thread as usize].waiting, Some((WaitFor::Wakeup(obj), _)) if obj == parker);
        if waits && self.threads[thread as usize].state == run::State::Blocked {
            self.wake(thread, run::Wake::Notified);
        }
    }

    fn take_due_sleeps(&mut self, thread: u32) -> Vec<Waker> {
        let now_ns = self.now_ns;
        let mut due = Vec::new();
        self.threads[thread as usize].sleeps.retain(|sleep| {
            let is_due = sleep.deadline_ns <= now_ns;
            if is_due {
                due.push(sleep.waker.clone());
            }
            !is_due
        });
        due
    }

    /// A task is about to wait: does it hold a lock that blocks?
    fn lock_across_await(&self, thread: u32) -> Option<Finding> {
        let held = self.blocking_lock_of(thread)?;
        Some(
            Finding::new(Detector::LockAcrossAwait, format!("{} waits while it holds {}", self.thread_name(thread), held.0))
                .with(format!("taken at {}", held.1)),
        )
    }
}
