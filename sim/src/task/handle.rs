//! What the engines keep of a task: how to stop it, and what it came to.

use super::JoinError;
use crate::awaiting::{Awaited, Awaiting};
use crate::kernel;
use crate::run::{Obj, Site, with};
use crate::trace::Op;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};

/// What stops and wakes a task.
#[derive(Debug)]
pub(crate) struct Control {
    pub(super) obj: Obj,
    site: Site,
    /// Its number in the run.
    pub(super) number: AtomicU32,
    aborted: AtomicBool,
    pub(super) waker: parking_lot::Mutex<Option<Waker>>,
}

impl Control {
    pub(crate) fn new(obj: Obj, site: Site, number: u32) -> Self {
        let (number, aborted) = (AtomicU32::new(number), AtomicBool::new(false));
        Control { obj, site, number, aborted, waker: parking_lot::Mutex::new(None) }
    }

    pub(crate) fn abort(&self) {
        self.aborted.store(true, Ordering::SeqCst);
        let waker = self.waker.lock().clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(crate) fn is_aborted(&self) -> bool {
        self.aborted.load(Ordering::SeqCst)
    }

    fn number(&self) -> u32 {
        self.number.load(Ordering::SeqCst)
    }
}

/// The handle of a task, and, with the task itself, the place where it leaves its value.
pub(super) struct Handle<T> {
    pub(super) control: Arc<Control>,
    end: Arc<parking_lot::Mutex<End<T>>>,
    awaiting: Option<Awaiting>,
}

struct End<T> {
    ended: bool,
    value: Option<Result<T, JoinError>>,
    joiner: Option<Waker>,
}

impl<T> Handle<T> {
    /// One handle for who spawned the task, and one for the task.
    pub(super) fn pair(control: Arc<Control>) -> (Self, Self) {
        let end = Arc::new(parking_lot::Mutex::new(End { ended: false, value: None, joiner: None }));
        let own = Handle { control: Arc::clone(&control), end: Arc::clone(&end), awaiting: None };
        (Handle { control, end, awaiting: None }, own)
    }

    pub(super) fn abort(&self, site: Site) {
        kernel::point(Op::Store, Some(self.control.obj), site);
        self.control.abort();
    }

    pub(super) fn is_finished(&self, site: Site) -> bool {
        kernel::point(Op::Load, Some(self.control.obj), site);
        self.has_ended()
    }

    pub(super) fn has_ended(&self) -> bool {
        self.end.lock().ended
    }

    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<T, JoinError>> {
        let mut end = self.end.lock();
        if !end.ended {
            end.joiner = Some(context.waker().clone());
            let task = self.control.number();
            self.awaiting.get_or_insert_with(|| Awaiting::new(Awaited::End(task), self.control.site));
            return Poll::Pending;
        }
        self.awaiting = None;
        with(|run| run.learn_from(self.control.number()));
        Poll::Ready(end.value.take().expect("a join is polled until it is ready, and not after"))
    }

    /// The task has ended.
    pub(super) fn end_with(&self, value: Result<T, JoinError>) {
        let joiner = {
            let mut end = self.end.lock();
            end.ended = true;
            end.value = Some(value);
            end.joiner.take()
        };
        if let Some(joiner) = joiner {
            joiner.wake();
        }
    }
}

impl<T> fmt::Debug for Handle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("number", &self.control.number()).finish_non_exhaustive()
    }
}
