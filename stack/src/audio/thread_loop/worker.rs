//! The loop thread.

use super::call::{call, forget_panic, let_go};
use super::shared::Shared;
use super::state::Step;
use super::{LoopGuard, Source};
use sim::sync::Arc;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What the worker does next, besides what the state gives it.
enum Next {
    Step(Step<super::shared::Task, Arc<dyn super::Duty>>),
    /// It waits for its source, and serves it.
    Source,
}

impl Shared {
    /// Works for the run of this number, and for those that begin before it has ended.
    pub(super) fn work(self: Arc<Self>, mut run: u64) {
        let mut make = self.served.as_ref().and_then(|served| served.make.lock().take());
        loop {
            self.lock().begin_run();
            let source = make.as_mut().and_then(|make| catch(&self, make));
            self.work_for(run, source);
            let next = {
                let mut state = self.state.lock();
                let next = state.leave();
                if next.is_none() {
                    if let Some(served) = &self.served {
                        // Before the state is given back: the next worker may begin then.
                        *served.make.lock() = make.take();
                    }
                    self.quiet.notify_all();
                }
                next
            };
            match next {
                Some(next) => run = next,
                None => return,
            }
        }
    }

    fn work_for(self: &Arc<Self>, run: u64, mut source: Option<Box<dyn Source>>) {
        loop {
            match self.next(run, source.is_some()) {
                Next::Step(Step::Task(task)) => {
                    let mut guard = self.lock();
                    call(&mut guard, task);
                    // A queue that is never empty must not keep the source waiting.
                    serve(&mut source, &mut guard);
                    self.returned(guard);
                }
                Next::Step(Step::Duty(duty)) => {
                    let mut guard = self.lock();
                    duty.serve(&mut guard);
                    serve(&mut source, &mut guard);
                    // It may be the last that has its object, with all that the application left there.
                    guard.let_go_later(duty);
                    self.returned(guard);
                }
                Next::Source => {
                    if source.as_mut().is_some_and(|source| catch(self, || source.wait()).is_none()) {
                        // It waits no more, so it is no more.
                        let guard = self.lock();
                        end_source(&mut source, &guard);
                    }
                    if self.state.lock().begin_call(run) {
                        let mut guard = self.lock();
                        serve(&mut source, &mut guard);
                        self.returned(guard);
                    }
                }
                Next::Step(Step::EndRun) => {
                    let guard = self.lock();
                    end_source(&mut source, &guard);
                    guard.end_run(run);
                    return;
                }
            }
        }
    }

    fn next(&self, run: u64, has_source: bool) -> Next {
        let mut state = self.state.lock();
        loop {
            if let Some(step) = state.step(run) {
                return Next::Step(step);
            }
            if has_source {
                return Next::Source;
            }
            self.work.wait(&mut state);
        }
    }

    /// The call has returned: the lock is given back, what was let go is dropped, and who waits for the call goes on.
    fn returned(&self, guard: LoopGuard<'_>) {
        drop(guard);
        self.state.lock().returned();
        self.quiet.notify_all();
    }
}

/// Has the source do what is due. One that panics is served no more.
fn serve(source: &mut Option<Box<dyn Source>>, guard: &mut LoopGuard<'_>) {
    if source.as_mut().is_some_and(|source| call(guard, |guard| source.dispatch(guard)).is_none()) {
        end_source(source, guard);
    }
}

/// A source ends on its thread with the lock held, as its objects may.
fn end_source(source: &mut Option<Box<dyn Source>>, guard: &LoopGuard<'_>) {
    if !let_go(source.take()) {
        guard.count_panic();
    }
}

/// Calls what is not to have the lock; nothing if it panicked.
fn catch<R>(shared: &Shared, f: impl FnOnce() -> R) -> Option<R> {
    let result = catch_unwind(AssertUnwindSafe(f));
    result.inspect_err(|_| shared.state.lock().count_panic()).map_err(forget_panic).ok()
}
