//! Somebody else's event loop on the loop thread.

use super::{FOR_EVER, Notes, config, wait_until};
use stack::audio::thread_loop::{LoopGuard, LoopHandle, Source, Stopped, ThreadLoop, Wake};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Condvar, Mutex};

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
