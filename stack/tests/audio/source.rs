//! Somebody else's event loop on the loop thread.

use super::{FOR_EVER, Notes, config, wait_until};
use stack::audio::thread_loop::{LoopError, LoopGuard, LoopHandle, Source, Stopped, ThreadLoop, Wake};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Condvar, Mutex, OnceLock, mpsc};

/// Events from elsewhere.
#[derive(Clone, Default)]
struct Mailbox(Arc<(Mutex<(Vec<String>, bool)>, Condvar)>);

impl Mailbox {
    fn send(&self, event: &str) {
        self.0.0.lock().unwrap().0.push(event.to_owned());
        self.0.1.notify_one();
    }
}

impl Wake for Mailbox {
    fn wake(&self) {
        self.0.0.lock().unwrap().1 = true;
        self.0.1.notify_one();
    }
}

struct Events {
    mailbox: Mailbox,
    notes: Notes,
    /// It need not be `Send`.
    here: Rc<RefCell<LoopHandle>>,
}

impl Source for Events {
    fn wait(&mut self) {
        let mut waiting = self.mailbox.0.0.lock().unwrap();
        while waiting.0.is_empty() && !waiting.1 {
            waiting = self.mailbox.0.1.wait(waiting).unwrap();
        }
        waiting.1 = false;
        let panics = waiting.0.iter().any(|event| event == "panic in wait");
        drop(waiting);
        assert!(!panics);
    }

    fn dispatch(&mut self, guard: &mut LoopGuard<'_>) {
        assert!(guard.is_on_loop_thread() && guard.depth() == 1);
        let events = std::mem::take(&mut self.mailbox.0.0.lock().unwrap().0);
        for event in events {
            match event.as_str() {
                "stop" => assert_eq!(self.here.borrow().stop(), Ok(Stopped::Requested)),
                "panic" => panic!("in a source"),
                _ => {}
            }
            self.notes.add(event);
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let guard = self.here.borrow().try_lock().map(|guard| guard.depth());
        self.notes.add(format!("ended with the lock held: {}", guard == Some(2)));
    }
}

fn serving(name: &str) -> (ThreadLoop, Mailbox, Notes) {
    let (mailbox, notes) = (Mailbox::default(), Notes::default());
    let place: Arc<Mutex<Option<LoopHandle>>> = Arc::default();
    let make = {
        let (mailbox, notes, place) = (mailbox.clone(), notes.clone(), Arc::clone(&place));
        move || -> Box<dyn Source> {
            let handle = place.lock().unwrap().clone().expect("it was put there before the start");
            Box::new(Events { mailbox: mailbox.clone(), notes: notes.clone(), here: Rc::new(RefCell::new(handle)) })
        }
    };
    let thread_loop = ThreadLoop::serving(config(name), mailbox.clone(), make);
    *place.lock().unwrap() = Some(thread_loop.handle());
    thread_loop.start().unwrap();
    (thread_loop, mailbox, notes)
}

#[test]
fn a_source_is_served_beside_tasks_and_made_for_each_run() {
    let (mut thread_loop, mailbox, notes) = serving("source");
    let handle = thread_loop.handle();
    for turn in 0..20 {
        mailbox.send("event");
        wait_until(|| notes.count("event") == turn + 1);
        let noted = notes.clone();
        handle.invoke(FOR_EVER, move |_| noted.add("task")).unwrap();
        assert_eq!(notes.count("task"), turn + 1);
        assert_eq!(thread_loop.stop(), Ok(Stopped::Stopped));
        assert_eq!(notes.count("ended with the lock held: true"), turn + 1);
        thread_loop.start().unwrap();
    }
    assert_eq!(notes.count("ended with the lock held: false"), 0);
}

#[test]
fn a_stop_from_a_source_is_a_request() {
    let (mut thread_loop, mailbox, notes) = serving("source-stops");
    mailbox.send("stop");
    wait_until(|| notes.count("ended with the lock held: true") == 1);
    assert_eq!(thread_loop.stop(), Ok(Stopped::NotRunning));
}

#[test]
fn a_source_that_panics_is_served_no_more() {
    for event in ["panic", "panic in wait"] {
        let (mut thread_loop, mailbox, notes) = serving("source-panics");
        let handle = thread_loop.handle();
        mailbox.send(event);
        wait_until(|| notes.count("ended with the lock held: true") == 1);
        assert!(handle.counters().panics >= 1);
        assert_eq!(handle.invoke(FOR_EVER, |guard| guard.depth()), Ok(1), "the loop goes on without it");
        assert_eq!(thread_loop.stop(), Ok(Stopped::Stopped));
    }
}

/// A source of nothing, which does something of its own when it ends.
struct Silent {
    woken: Arc<(Mutex<bool>, Condvar)>,
    at_end: Box<dyn FnMut()>,
}

impl Source for Silent {
    fn wait(&mut self) {
        let mut woken = self.woken.1.wait_while(self.woken.0.lock().unwrap(), |woken| !*woken).unwrap();
        *woken = false;
    }

    fn dispatch(&mut self, _: &mut LoopGuard<'_>) {}
}

impl Drop for Silent {
    fn drop(&mut self) {
        (self.at_end)();
    }
}

/// Wakes, and does something of its own.
struct Bell<F> {
    woken: Arc<(Mutex<bool>, Condvar)>,
    as_well: F,
}

impl<F: Fn() + Send + Sync> Wake for Bell<F> {
    fn wake(&self) {
        *self.woken.0.lock().unwrap() = true;
        self.woken.1.notify_one();
        (self.as_well)();
    }
}

#[test]
fn a_wake_may_use_the_loop() {
    let (woken, place) = (Arc::<(Mutex<bool>, Condvar)>::default(), Arc::<OnceLock<LoopHandle>>::default());
    let looks = {
        let place = Arc::clone(&place);
        move || _ = place.get().map(|handle| handle.counters())
    };
    let bell = Bell { woken: Arc::clone(&woken), as_well: looks };
    let thread_loop = ThreadLoop::serving(config("wake"), bell, move || -> Box<dyn Source> {
        Box::new(Silent { woken: Arc::clone(&woken), at_end: Box::new(|| ()) })
    });
    place.set(thread_loop.handle()).unwrap();
    let (said, says) = mpsc::channel();
    std::thread::spawn(move || {
        let mut thread_loop = thread_loop;
        thread_loop.start().unwrap();
        thread_loop.handle().post(|_| ()).unwrap();
        said.send((thread_loop.stop(), thread_loop.destroy())).unwrap();
    });
    assert_eq!(says.recv_timeout(FOR_EVER), Ok((Ok(Stopped::Stopped), Ok(Stopped::NotRunning))));
}

/// Does something of its own when it is dropped.
struct AtDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for AtDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[test]
fn who_waits_in_a_run_that_began_and_ended_as_the_loop_thread_left_is_told_of_its_end() {
    let (woken, place) = (Arc::<(Mutex<bool>, Condvar)>::default(), Arc::<OnceLock<LoopHandle>>::default());
    let (waiting, waits) = mpsc::channel();
    let bell = Bell { woken: Arc::clone(&woken), as_well: || () };
    let its = Arc::clone(&place);
    let mut thread_loop = ThreadLoop::serving(config("leaves"), bell, move || -> Box<dyn Source> {
        let handle = its.get().unwrap().clone();
        let waiting = waiting.clone();
        let mut is_first = true;
        let at_end = move || {
            if !std::mem::take(&mut is_first) {
                return;
            }
            let (within, waiting) = (handle.clone(), waiting.clone());
            // Dropped by the loop thread when it has given back the lock for the last time in its run.
            let dead = AtDrop(move || {
                within.start().unwrap();
                let waiter = within.clone();
                waiting.send(std::thread::spawn(move || waiter.lock().wait(FOR_EVER, |_| false))).unwrap();
                wait_until(|| within.lock().signal() == 1);
                within.request_stop();
            });
            handle.post(move |_| drop(dead)).unwrap_err();
        };
        Box::new(Silent { woken: Arc::clone(&woken), at_end: Box::new(at_end) })
    });
    place.set(thread_loop.handle()).unwrap();
    thread_loop.start().unwrap();
    thread_loop.stop().unwrap();
    let waiter = waits.recv_timeout(FOR_EVER).unwrap();
    assert_eq!(waiter.join().unwrap(), Err(LoopError::Stopped));
}
