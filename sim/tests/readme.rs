//! What the crate page shows of a failure is what is printed.

#![cfg(feature = "shuttle")]

use sim::sync::{Arc, Condvar, Mutex};
use sim::thread;

/// The page's own program, with its bug.
struct Gate {
    is_open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn new() -> Gate {
        Gate { is_open: Mutex::new(false), opened: Condvar::new() }
    }

    fn open(&self) {
        *self.is_open.lock() = true;
        self.opened.notify_all();
    }

    fn wait(&self) {
        if !*self.is_open.lock() {
            self.opened.wait(&mut self.is_open.lock());
        }
    }
}

fn whoever_waits_goes_through() {
    sim::model(|| {
        let gate = Arc::new(Gate::new());
        let theirs = Arc::clone(&gate);
        let waiter = thread::spawn(move || theirs.wait());
        gate.open();
        waiter.join().unwrap();
    });
}

/// The page with `failure` in the block of its section 4, and the last line of that in the block of section 5.
fn with_failure(page: &str, failure: &str) -> String {
    let mut page = page.to_owned();
    let replay = failure.lines().last().unwrap_or_default();
    for (section, shown) in [("\n## 4. ", failure), ("\n## 5. ", replay)] {
        const FENCE: &str = "```text\n";
        let section = page.find(section).expect("the section is there");
        let begin = section + page[section..].find(FENCE).expect("it has a block") + FENCE.len();
        let end = begin + page[begin..].find("\n```").expect("the block has an end");
        page.replace_range(begin..end, shown);
    }
    page
}

#[test]
fn the_page_shows_what_is_printed() {
    if std::env::vars().any(|(name, _)| ["GLARE_REPLAY", "GLARE_SEED", "GLARE_SCHEDULES"].contains(&name.as_str())) {
        // What is shown is what the reader has without them.
        return;
    }
    // The name of the thread is the test's, which stands in the token.
    let test = std::thread::Builder::new().name("whoever_waits_goes_through".to_owned()).spawn(whoever_waits_goes_through);
    let payload = test.unwrap().join().expect_err("the bug is found");
    let printed = payload.downcast_ref::<String>().expect("a message with its particulars");
    let failure: Vec<&str> = printed.lines().map(str::trim_end).collect();
    let page = include_str!("../README.md");
    let in_step = with_failure(page, &failure.join("\n"));
    // Write it anew with GLARE_WRITE_README=1.
    if std::env::var_os("GLARE_WRITE_README").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md"), in_step).unwrap();
        return;
    }
    assert_eq!(page, in_step);
}
