//! The lock, waiting and signalling, tasks, and what panics.

use super::{A_MOMENT, FOR_EVER, Notes, config, running, told, wait_until};
use stack::audio::thread_loop::{LoopCell, LoopError, ThreadLoop};
use std::sync::mpsc;
use std::time::{Duration, Instant};

#[test]
fn the_lock_is_recursive_and_knows_how_deep() {
    let (thread_loop, handle) = running("depth");
    let outer = thread_loop.lock();
    let inner = handle.lock();
    assert_eq!((outer.depth(), handle.try_lock().unwrap().depth()), (2, 3));
    let other = handle.clone();
    assert!(std::thread::spawn(move || other.try_lock().is_none()).join().unwrap());
    drop(outer);
    let other = handle.clone();
    assert!(std::thread::spawn(move || other.try_lock().is_none()).join().unwrap(), "once is held still");
    drop(inner);
    let other = handle.clone();
    assert!(std::thread::spawn(move || other.try_lock().is_some()).join().unwrap());
}

#[test]
fn an_object_wants_a_guard_of_its_own_loop() {
    let (thread_loop, handle) = running("one");
    let (other, _) = running("other");
    let cell = LoopCell::new(&handle, 1);
    assert_eq!(cell.with(&thread_loop.lock(), |value| std::mem::replace(value, 2)), Ok(1));
    let wrong = cell.with(&other.lock(), |value| *value = 3);
    assert_eq!(wrong, Err(LoopError::WrongLoop { expected: "one".to_owned(), got: "other".to_owned() }));
    assert_eq!(cell.into_inner(), Some(2));
}

#[test]
fn an_object_is_in_one_call_at_a_time_and_survives_a_panic() {
    let (thread_loop, handle) = running("cells");
    let (cell, second) = (LoopCell::new(&handle, vec![1]), LoopCell::new(&handle, 0));
    let guard = thread_loop.lock();
    let reentered = cell.with(&guard, |value| {
        value.push(2);
        assert_eq!(second.with(&guard, |second| *second = 7), Ok(()), "another object is another");
        cell.with(&guard, Vec::clear)
    });
    assert_eq!(reentered, Ok(Err(LoopError::Reentered)));
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        cell.with(&guard, |value| {
            value.push(3);
            panic!("within a call");
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(cell.with(&guard, |value| value.clone()), Ok(vec![1, 2, 3]));
}

#[test]
fn a_wait_ends_when_it_is_met() {
    let (_thread_loop, handle) = running("wait");
    let count = std::sync::Arc::new(LoopCell::new(&handle, 0));
    let counted = std::sync::Arc::clone(&count);
    let counter = {
        let handle = handle.clone();
        std::thread::spawn(move || {
            let mut waited = 0;
            for _ in 0..1000 {
                let guard = handle.lock();
                counted.with(&guard, |count| *count += 1).unwrap();
                waited += guard.signal();
                drop(guard);
                std::thread::yield_now();
            }
            waited
        })
    };
    let mut guard = handle.lock();
    for wanted in [1, 10, 500, 1000] {
        assert_eq!(guard.wait(FOR_EVER, |guard| count.with(guard, |count| *count >= wanted) == Ok(true)), Ok(()));
    }
    drop(guard);
    counter.join().unwrap();
    assert_eq!(handle.lock().signal(), 0, "nobody waits");
}

#[test]
fn a_wait_has_a_deadline() {
    let (_thread_loop, handle) = running("deadline");
    let mut guard = handle.lock();
    let began = Instant::now();
    assert_eq!(guard.wait(A_MOMENT, |_| false), Err(LoopError::DeadlinePassed { within: A_MOMENT }));
    assert!(began.elapsed() >= A_MOMENT);
    assert_eq!(guard.wait(Duration::ZERO, |_| true), Ok(()), "what is met needs no time");
    assert_eq!(guard.signal_and_wait(A_MOMENT), Err(LoopError::DeadlinePassed { within: A_MOMENT }));
    assert_eq!(guard.accept(), Err(LoopError::NothingToAccept), "who gave up is not accepted");
}

#[test]
fn a_wait_may_have_all_the_time_there_is() {
    let (_thread_loop, handle) = running("all-the-time");
    let mut guard = handle.lock();
    assert_eq!(guard.wait(Duration::MAX, |_| true), Ok(()));
    assert_eq!(guard.invoke(Duration::MAX, |guard| guard.depth()), Ok(1));
    let accepts = handle.clone();
    let accepting = std::thread::spawn(move || wait_until(|| accepts.lock().accept().is_ok()));
    assert_eq!(guard.signal_and_wait(Duration::MAX), Ok(()));
    accepting.join().unwrap();
}

#[test]
fn a_nested_wait_is_refused_and_the_lock_is_held_as_it_was() {
    let (_thread_loop, handle) = running("nested");
    let outer = handle.lock();
    let mut inner = handle.lock();
    let nested = LoopError::Nested { depth: 2 };
    assert_eq!(inner.wait(FOR_EVER, |_| true), Err(nested.clone()), "even where it is met");
    assert_eq!(inner.signal_and_wait(FOR_EVER), Err(nested.clone()));
    assert_eq!(inner.invoke(FOR_EVER, |_| ()), Err(nested.clone()));
    assert_eq!(handle.invoke(FOR_EVER, |_| ()), Err(LoopError::Nested { depth: 3 }));
    assert_eq!(inner.depth(), 2);
    drop(outer);
    assert_eq!(inner.invoke(FOR_EVER, |guard| guard.depth()), Ok(1));
}

#[test]
fn a_wait_on_the_loop_thread_is_refused() {
    let (_thread_loop, handle) = running("on-loop");
    let said = handle.invoke(FOR_EVER, |guard| guard.wait(FOR_EVER, |_| true));
    assert_eq!(said, Ok(Err(LoopError::OnLoopThread)));
}

#[test]
fn without_a_run_nothing_is_waited_for() {
    let thread_loop = ThreadLoop::new(config("not-running"));
    let mut guard = thread_loop.lock();
    assert_eq!(guard.wait(FOR_EVER, |_| true), Err(LoopError::NotRunning));
    assert_eq!(guard.signal_and_wait(FOR_EVER), Err(LoopError::NotRunning));
    assert_eq!(guard.invoke(FOR_EVER, |_| ()), Err(LoopError::NotRunning));
    assert_eq!(guard.accept(), Err(LoopError::NothingToAccept));
    assert_eq!(thread_loop.handle().post(|_| ()), Err(LoopError::NotRunning));
}

#[test]
fn each_accept_is_of_the_oldest_signal_and_a_stray_one_changes_nothing() {
    let (_thread_loop, handle) = running("accept");
    let notes = Notes::default();
    assert_eq!(handle.lock().accept(), Err(LoopError::NothingToAccept));
    let mut signallers = Vec::new();
    for name in ["first", "second", "third"] {
        let (theirs, noted) = (handle.clone(), notes.clone());
        signallers.push(std::thread::spawn(move || {
            let mut guard = theirs.lock();
            noted.add(format!("{name} signals"));
            let said = guard.signal_and_wait(FOR_EVER);
            noted.add(format!("{name} goes on"));
            said
        }));
        wait_until(|| handle.lock().depth() == 1 && notes.count(&format!("{name} signals")) == 1);
    }
    for name in ["first", "second", "third"] {
        assert_eq!(notes.count(&format!("{name} goes on")), 0);
        assert_eq!(handle.lock().accept(), Ok(()));
        wait_until(|| notes.count(&format!("{name} goes on")) == 1);
    }
    assert_eq!(handle.lock().accept(), Err(LoopError::NothingToAccept));
    signallers.into_iter().for_each(|signaller| assert_eq!(signaller.join().unwrap(), Ok(())));
    // A stray accept is not kept for the next signal.
    assert_eq!(handle.lock().signal_and_wait(A_MOMENT), Err(LoopError::DeadlinePassed { within: A_MOMENT }));
}

#[test]
fn the_loop_thread_waits_for_who_waited_for_it() {
    let (_thread_loop, handle) = running("handshake");
    let ready = std::sync::Arc::new(LoopCell::new(&handle, false));
    let (set, notes) = (std::sync::Arc::clone(&ready), Notes::default());
    let noted = notes.clone();
    let mut guard = handle.lock();
    handle
        .post(move |guard| {
            set.with(guard, |ready| *ready = true).unwrap();
            let said = guard.signal_and_wait(FOR_EVER);
            noted.add(format!("accepted: {said:?}"));
        })
        .unwrap();
    guard.wait(FOR_EVER, |guard| ready.with(guard, |ready| *ready) == Ok(true)).unwrap();
    assert_eq!(notes.all().len(), 0, "it has not gone on");
    guard.accept().unwrap();
    drop(guard);
    wait_until(|| notes.all() == ["accepted: Ok(())"]);
}

#[test]
fn an_invoked_function_has_the_lock_and_its_result_comes_back() {
    let (_thread_loop, handle) = running("invoke");
    let cell = std::sync::Arc::new(LoopCell::new(&handle, 0));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (handle, cell) = (handle.clone(), std::sync::Arc::clone(&cell));
            std::thread::spawn(move || {
                let mut done = 0;
                while done < 50 {
                    let cell = std::sync::Arc::clone(&cell);
                    let add = move |guard: &mut stack::audio::thread_loop::LoopGuard<'_>| {
                        assert!(guard.is_on_loop_thread() && guard.depth() == 1);
                        // From within, at once, with the lock that is held.
                        let nested = guard.invoke(FOR_EVER, |guard| guard.depth());
                        assert_eq!(nested, Ok(1));
                        cell.with(guard, |count| *count += 1)
                    };
                    match handle.invoke(FOR_EVER, add) {
                        Ok(added) => added.unwrap(),
                        Err(error) => {
                            assert_eq!(error, LoopError::QueueFull { capacity: 4 });
                            continue;
                        }
                    }
                    done += 1;
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(cell.with(&handle.lock(), |count| *count), Ok(200));
}

#[test]
fn an_invoke_that_gives_up_leaves_nothing_behind() {
    let (_thread_loop, handle) = running("gives-up");
    let notes = Notes::default();
    // A task that has given the lock back keeps the loop thread.
    let kept = handle.clone();
    handle.post(move |guard| drop(guard.signal_and_wait(FOR_EVER))).unwrap();
    wait_until(|| kept.counters().ran == 1);
    let late = told(&handle, &notes, "late");
    let said = handle.invoke(A_MOMENT, move |_| late.notes.add("ran"));
    assert_eq!(said, Err(LoopError::DeadlinePassed { within: A_MOMENT }));
    // One that has begun goes on, and what it returns is dropped without the lock.
    wait_until(|| handle.lock().accept().is_ok());
    let result = told(&handle, &notes, "result");
    let said = handle.invoke(A_MOMENT, move |guard| {
        let _ = guard.signal_and_wait(FOR_EVER);
        result
    });
    assert!(matches!(said, Err(LoopError::DeadlinePassed { .. })));
    wait_until(|| handle.lock().accept().is_ok());
    wait_until(|| notes.all().len() == 2);
    assert_eq!(notes.all(), ["late dropped without the lock", "result dropped without the lock"]);
}

#[test]
fn a_full_queue_refuses_and_counts() {
    let (_thread_loop, handle) = running("full");
    let notes = Notes::default();
    let (release, released) = mpsc::channel::<()>();
    handle.post(move |_| released.recv().unwrap()).unwrap();
    wait_until(|| handle.counters().ran == 1);
    for number in 0..4 {
        let noted = notes.clone();
        assert_eq!(handle.post(move |_| noted.add(number.to_string())), Ok(()));
    }
    let refused = told(&handle, &notes, "refused");
    assert_eq!(handle.post(move |_| drop(refused)), Err(LoopError::QueueFull { capacity: 4 }));
    assert_eq!(notes.all(), ["refused dropped without the lock"]);
    assert_eq!((handle.counters().posted, handle.counters().refused), (5, 1));
    release.send(()).unwrap();
    wait_until(|| handle.counters().ran == 5);
    handle.invoke(FOR_EVER, |_| ()).unwrap();
    assert_eq!(notes.all()[1..], ["0", "1", "2", "3"], "in order");
    assert_eq!(handle.post(|_| ()), Ok(()), "there is room again");
}

#[test]
fn a_task_that_panics_harms_no_other() {
    let (mut thread_loop, handle) = running("panics");
    struct Again;
    impl Drop for Again {
        fn drop(&mut self) {
            panic!("again, as the panic's value is dropped");
        }
    }
    let inner = handle.clone();
    let said: Result<(), _> = handle.invoke(FOR_EVER, move |_| {
        let _held_again = inner.lock();
        panic!("in a task")
    });
    assert_eq!(said, Err(LoopError::Panicked));
    handle.post(|_| std::panic::panic_any(Again)).unwrap();
    let dropped_on_panic = Again;
    handle
        .post(move |_| std::mem::drop(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(dropped_on_panic)))))
        .unwrap();
    assert_eq!(handle.invoke(FOR_EVER, |guard| guard.depth()), Ok(1), "the lock was given back");
    wait_until(|| handle.counters().panics == 3);
    assert_eq!(thread_loop.stop(), Ok(stack::audio::thread_loop::Stopped::Stopped));
}

#[test]
fn a_panic_under_the_lock_gives_it_back() {
    let (_thread_loop, handle) = running("unwinds");
    let other = handle.clone();
    let panicked = std::thread::spawn(move || {
        let _outer = other.lock();
        let _inner = other.lock();
        panic!("with the lock held");
    });
    assert!(panicked.join().is_err());
    assert_eq!(handle.lock().depth(), 1);
}
