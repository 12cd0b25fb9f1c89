//! Tasks on turmoil: its hosts' own, each poll of which is a step that the run sees.

use super::handle::{Control, Handle};
use super::{JoinError, JoinHandle, RawHandle};
use crate::explore::turmoil::run_on;
use crate::hook;
use crate::run::{self, Nature, me, set_me, with};
use crate::trace::Op;
use crate::verdict::{Detector, Finding};
use std::future::Future;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// A task on the host that this runs on.
#[track_caller]
pub(super) fn spawn<F>(name: &str, future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    spawn_on(with(|run| run.threads[me() as usize].host), name, future)
}

/// A task on another host.
#[track_caller]
pub(crate) fn spawn_on<F>(host: u32, name: &str, future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let site = Location::caller();
    let number = with(|run| {
        let number = run.spawn(Some(name.into()));
        run.threads[number as usize].host = host;
        run.record(me(), Op::Spawn, None, site);
        run.name_last_event_after(number);
        number
    });
    let (handle, task) = Tracked::new(number, future, site);
    run_on(host, Box::pin(task));
    JoinHandle { raw: RawHandle::Modelled(handle) }
}

/// A future that is polled as a task of the run.
pub(crate) struct Tracked<F: Future> {
    number: u32,
    /// Taken when it has ended.
    future: Option<Pin<Box<F>>>,
    own: Handle<F::Output>,
    noting: Arc<Noting>,
}

/// Wakes a task, and knows that it was woken.
pub(crate) struct Noting {
    number: u32,
    waker: parking_lot::Mutex<Waker>,
    woken: AtomicBool,
}

impl Noting {
    pub(crate) fn new(number: u32) -> Arc<Noting> {
        Arc::new(Noting { number, waker: parking_lot::Mutex::new(Waker::noop().clone()), woken: AtomicBool::new(false) })
    }
}

impl Wake for Noting {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::SeqCst);
        // It waits for nobody any more. A waker may be kept beyond its run.
        run::try_with(|run| run.is_woken(self.number));
        let waker = self.waker.lock().clone();
        waker.wake();
    }
}

/// So many yields at one moment, and time passes before the next.
const YIELDS_MAX: u32 = 1_000;

/// The current task yields: whether time is to pass before it goes on.
pub(super) fn time_must_pass() -> bool {
    with(|run| {
        run.yields += 1;
        run.yields > YIELDS_MAX
    })
}

impl<F: Future> Tracked<F> {
    pub(super) fn new(number: u32, future: F, site: &'static Location<'static>) -> (Handle<F::Output>, Self) {
        let obj = with(|run| run.create("task", Nature::Primitive, site));
        let (handle, own) = Handle::pair(Arc::new(Control::new(obj, site, number)));
        with(|run| run.threads[number as usize].control = Some(Arc::clone(&handle.control)));
        (handle, Tracked { number, future: Some(Box::pin(future)), own, noting: Noting::new(number) })
    }

    /// Ends as this task: what its future drops it drops itself.
    fn end(&mut self, value: Result<F::Output, JoinError>) {
        let before = me();
        set_me(self.number);
        drop(self.future.take());
        // After the run there is nobody to tell, as when a run has failed and is left where it stands.
        run::try_with(|run| {
            run.record(self.number, Op::End, None, Location::caller());
            run.finish(self.number);
            run.threads[self.number as usize].control = None;
        });
        self.own.end_with(value);
        set_me(before);
    }
}

impl<F: Future> Future for Tracked<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let Some(future) = &mut this.future else { return Poll::Ready(()) };
        if this.own.control.is_aborted() {
            this.end(Err(JoinError::Aborted));
            return Poll::Ready(());
        }
        *this.own.control.waker.lock() = Some(context.waker().clone());
        match poll_as(this.number, &this.own.control, &this.noting, future.as_mut(), context) {
            Poll::Ready(value) => {
                this.end(Ok(value));
                Poll::Ready(())
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<F: Future> Drop for Tracked<F> {
    fn drop(&mut self) {
        if self.future.is_some() {
            self.end(Err(JoinError::Aborted));
        }
    }
}

/// Polls as task `number`, and looks at what it waits for.
pub(crate) fn poll_as<F: Future + ?Sized>(
    number: u32,
    control: &Control,
    noting: &Arc<Noting>,
    future: Pin<&mut F>,
    context: &mut Context<'_>,
) -> Poll<F::Output> {
    let before = me();
    noting.waker.lock().clone_from(context.waker());
    noting.woken.store(false, Ordering::SeqCst);
    let waker = Waker::from(Arc::clone(noting));
    let mut context = Context::from_waker(&waker);
    set_me(number);
    crate::explore::turmoil::count_poll();
    with(|run| run.begins_poll(number));
    let polled = match catch_unwind(AssertUnwindSafe(|| future.poll(&mut context))) {
        Ok(polled) => polled,
        Err(_) => run::fail(Finding::new(Detector::Panic, hook::last_panic())),
    };
    if polled.is_pending() {
        // One that was woken meanwhile does not wait.
        let waits = !noting.woken.load(Ordering::SeqCst);
        let found = with(|run| {
            run.lock_across_await(number).or_else(|| if waits { run.waits_after_poll(number, control.obj) } else { None })
        });
        if let Some(finding) = found {
            run::fail(finding);
        }
    }
    set_me(before);
    polled
}
