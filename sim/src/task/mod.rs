//! Tasks: futures that run on their own, as tokio's.
//!
//! In production a task is tokio's. On shuttle each task is a thread of its own that polls one future, so every order of steps that a
//! runtime with many workers could have is explored; tasks of one [`spawn_local`] share a thread there too. On turmoil tasks are
//! those of its hosts' runtimes. Loom and the engine for inputs have no tasks.

#[cfg(feature = "model")]
mod handle;
#[cfg(feature = "model")]
mod threads;
#[cfg(feature = "turmoil")]
pub(crate) mod turmoil;

#[cfg(feature = "model")]
use crate::engine::Engine;
use crate::engine::{Primitive, Unsupported, current};
#[cfg(feature = "turmoil")]
use crate::kernel;
#[cfg(feature = "model")]
pub(crate) use handle::Control;

use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Runs `future` as a task. This needs a runtime around it: tokio's, or [`block_on`]. The task ends when its runtime does.
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
/// Outside of a runtime.
#[track_caller]
pub fn try_spawn<F>(name: &str, future: F) -> Result<JoinHandle<F::Output>, Unsupported>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    current().supports(Primitive::Task)?;
    #[cfg(feature = "model")]
    match current() {
        Engine::Real => {}
        #[cfg(feature = "turmoil")]
        Engine::Turmoil => return Ok(turmoil::spawn(name, future)),
        _ => return Ok(threads::spawn(None, name, future, Location::caller())),
    }
    let _ = (name, Location::caller());
    Ok(JoinHandle { raw: RawHandle::Real(tokio::spawn(future)) })
}

/// Runs `future` as a task of a host of the run.
#[cfg(feature = "model")]
#[track_caller]
pub(crate) fn spawn_on<F>(host: u32, name: &str, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    #[cfg(feature = "turmoil")]
    if current() == Engine::Turmoil {
        return turmoil::spawn_on(host, name, future);
    }
    threads::spawn(Some(host), name, future, Location::caller())
}

/// Whether the current task is to end where it waits: what it does now nobody will see.
#[cfg(feature = "model")]
pub(crate) fn is_ending() -> bool {
    crate::run::with(|run| run.threads[crate::run::me() as usize].control.as_ref().is_some_and(|control| control.is_aborted()))
}

/// Runs `future`, which need not be `Send`, as a task on the thread of the [`block_on`] around it: it takes turns with that one's own
/// future and with its other local tasks, and changes places with them only where it waits.
///
/// # Panics
/// Anywhere but in the future of [`block_on`] or in a local task, or where the engine has no tasks.
#[track_caller]
pub fn spawn_local<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    if let Err(error) = current().supports(Primitive::LocalTask) {
        panic!("{error}");
    }
    #[cfg(feature = "model")]
    match current() {
        Engine::Real => {}
        #[cfg(feature = "turmoil")]
        Engine::Turmoil => return turmoil::spawn("local task", future),
        _ => return threads::spawn_local(future, Location::caller()),
    }
    JoinHandle { raw: RawHandle::Real(tokio::task::spawn_local(future)) }
}

/// Runs `future` to its end, and then ends the tasks that it has left: in production on a tokio runtime of its own, with a worker a
/// core.
///
/// # Panics
/// Inside another runtime; if the system gives no runtime; on an engine without tasks.
#[track_caller]
pub fn block_on<F: Future>(future: F) -> F::Output {
    if let Err(error) = current().supports(Primitive::Task) {
        panic!("{error}");
    }
    #[cfg(feature = "model")]
    match current() {
        Engine::Real => {}
        #[cfg(feature = "turmoil")]
        Engine::Turmoil => return crate::explore::turmoil::block_on(future),
        _ => return threads::block_on(future, Location::caller()),
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("the system gives a runtime");
    tokio::task::LocalSet::new().block_on(&runtime, future)
}

/// Runs `f` in a task, though it may block. In production a worker of tokio's keeps the task that was woken last for itself, until it has
/// done with the one that it polls; here another thread goes on in its place. A runtime of one thread waits all the same.
///
/// # Panics
/// In production, in a future of a [`tokio::task::LocalSet`].
pub fn block_in_place<R>(f: impl FnOnce() -> R) -> R {
    #[cfg(feature = "model")]
    if current() != Engine::Real {
        return f();
    }
    match tokio::runtime::Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(tokio::runtime::RuntimeFlavor::MultiThread) => tokio::task::block_in_place(f),
        _ => f(),
    }
}

/// Lets other tasks run first.
#[track_caller]
pub fn yield_now() -> impl Future<Output = ()> {
    YieldNow {
        site: Location::caller(),
        yielded: false,
        #[cfg(feature = "turmoil")]
        pause: None,
    }
}

struct YieldNow {
    site: &'static Location<'static>,
    yielded: bool,
    #[cfg(feature = "turmoil")]
    pause: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Future for YieldNow {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.yielded, true) {
            return Poll::Ready(());
        }
        #[cfg(feature = "model")]
        match current() {
            Engine::Real => {}
            #[cfg(feature = "turmoil")]
            Engine::Turmoil => {
                kernel::point(crate::trace::Op::Yield, None, self.site);
                if turmoil::time_must_pass() {
                    // Time stands still there while a task runs: one that yields until a time would never see it.
                    let pause = std::time::Duration::from_millis(1);
                    let _ = self.pause.insert(Box::pin(tokio::time::sleep(pause))).as_mut().poll(context);
                    return Poll::Pending;
                }
            }
            _ => {
                threads::yield_now(self.site);
                return Poll::Ready(());
            }
        }
        let _ = self.site;
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
    Modelled(handle::Handle<T>),
}

/// Why a task has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// It was aborted, or its runtime or host has ended.
    #[error("the task was aborted")]
    Aborted,
    /// It panicked. Under an engine that ends the run instead.
    #[error("the task panicked")]
    Panicked,
}

impl From<tokio::task::JoinError> for JoinError {
    fn from(error: tokio::task::JoinError) -> Self {
        if error.is_cancelled() { JoinError::Aborted } else { JoinError::Panicked }
    }
}

impl<T> JoinHandle<T> {
    /// Has the task end where it next waits, its future dropped there. A task that has ended keeps its value.
    #[track_caller]
    pub fn abort(&self) {
        match &self.raw {
            RawHandle::Real(handle) => handle.abort(),
            #[cfg(feature = "model")]
            RawHandle::Modelled(handle) => handle.abort(Location::caller()),
        }
    }

    /// Whether the task has ended.
    #[track_caller]
    pub fn is_finished(&self) -> bool {
        match &self.raw {
            RawHandle::Real(handle) => handle.is_finished(),
            #[cfg(feature = "model")]
            RawHandle::Modelled(handle) => handle.is_finished(Location::caller()),
        }
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    /// # Panics
    /// If it is polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.raw {
            RawHandle::Real(handle) => Pin::new(handle).poll(context).map_err(JoinError::from),
            #[cfg(feature = "model")]
            RawHandle::Modelled(handle) => handle.poll(context),
        }
    }
}
