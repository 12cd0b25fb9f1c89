//! The loop thread.

use super::call::{call, forget_panic, let_go};
use super::shared::Shared;
use super::source::MakeSource;
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
            let source = make.as_mut().and_then(|make| catch(&self, make));
            self.work_for(run, source);
            match self.leave(&mut make) {
                Some(next) => run = next,
                None => return,
            }
        }
    }

    /// Leaves a run that is over, for the next if there is one. With the lock: a run that began and ended since has those who wait in
    /// it too, and one that ends from here on has another worker, or this one once more.
    fn leave(self: &Arc<Self>, make: &mut Option<MakeSource>) -> Option<u64> {
        loop {
            let guard = self.lock();
            if guard.lets_go() {
                // Here, while who stops the loop waits for this thread still.
                continue;
            }
            let mut life = self.life.lock();
            let next = life.state.leave();
            guard.end_run(life.state.ended_run());
            // Who stops the loop finds it free.
            drop(guard);
            if next.is_none() {
                if let Some(served) = &self.served {
                    // Before that lock is given back: the next worker may begin then.
                    *served.make.lock() = make.take();
                }
                self.tell_stopping(&life);
            }
            return next;
        }
    }

    fn work_for(self: &Arc<Self>, run: u64, mut source: Option<Box<dyn Source>>) {
        let mut has_called = false;
        loop {
            let next = self.next(run, source.is_some(), has_called);
            has_called = true;
            match next {
                Next::Step(Step::Task(task)) => {
                    let mut guard = self.lock().of_the_loop_thread();
                    call(&mut guard, task);
                    // A queue that is never empty must not keep the source waiting.
                    serve(&mut source, &mut guard);
                }
                Next::Step(Step::Duty(duty)) => {
                    let mut guard = self.lock().of_the_loop_thread();
                    if !duty.serve(&mut guard) {
                        self.rouse(Arc::clone(&duty));
                    }
                    serve(&mut source, &mut guard);
                    // It may be the last that has its object, with all that the application left there.
                    guard.let_go_later(duty);
                }
                Next::Source => {
                    let waited = source.as_mut().and_then(|source| catch(self, || source.wait()));
                    if waited.is_none() {
                        // It waits no more, so it is no more.
                        end_source(&mut source, &self.lock().of_the_loop_thread());
                    }
                    has_called = self.life.lock().state.begin_call(run);
                    if has_called {
                        serve(&mut source, &mut self.lock().of_the_loop_thread());
                    }
                }
                Next::Step(Step::EndRun) => {
                    if source.is_some() {
                        end_source(&mut source, &self.lock().of_the_loop_thread());
                    }
                    return;
                }
            }
        }
    }

    /// What is to be done next. What was called before has returned, with all that it let go, so who waits for that goes on.
    fn next(&self, run: u64, has_source: bool, has_called: bool) -> Next {
        let mut life = self.life.lock();
        if has_called {
            life.state.returned();
            self.tell_stopping(&life);
        }
        loop {
            if let Some(step) = life.state.step(run) {
                return Next::Step(step);
            }
            if has_source {
                return Next::Source;
            }
            self.work.wait(&mut life);
        }
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
    result.inspect_err(|_| shared.count_panic()).map_err(forget_panic).ok()
}
