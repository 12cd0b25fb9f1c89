//! The thread that waits for a run, and notices one that no longer moves.

use crate::run::{Message, Progress};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// So long without a step, and the run is looked at.
const STILL_MAX: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(250);

pub(super) enum Heard {
    Message(Message),
    /// The run's thread ended without a word.
    Gone,
    /// A step has not returned, and its thread sleeps: something outside the facade blocks it.
    Sleeping(String),
    /// A step has not returned, and its thread computes.
    Spinning(String),
}

/// How to look at the OS thread of a run.
#[derive(Debug, Default)]
pub(super) struct Watched {
    /// Its folder under /proc, where there is one.
    pub(super) stat_path: Option<String>,
}

impl Progress {
    pub(super) fn schedules(&self) -> u64 {
        self.schedules.load(Ordering::Relaxed)
    }

    pub(super) fn reset(&self) {
        self.schedules.store(0, Ordering::Relaxed);
    }

    fn mark(&self) -> (u64, u64) {
        (self.schedules(), self.steps.load(Ordering::Relaxed))
    }
}

pub(super) fn wait(inbox: &Receiver<Message>, progress: &Progress, watched: &Watched) -> Heard {
    let mut last = (progress.mark(), Instant::now());
    loop {
        match inbox.recv_timeout(LOOK_EVERY) {
            Ok(message) => return Heard::Message(message),
            Err(RecvTimeoutError::Disconnected) => return Heard::Gone,
            Err(RecvTimeoutError::Timeout) => {}
        }
        let mark = progress.mark();
        if mark != last.0 {
            last = (mark, Instant::now());
        } else if last.1.elapsed() >= STILL_MAX {
            let still = format!("no step for {} s in schedule {}", last.1.elapsed().as_secs(), mark.0);
            match watched.is_computing() {
                Some(true) => return Heard::Spinning(format!("{still}: it computes without an end")),
                Some(false) => return Heard::Sleeping(format!("{still}, and its thread sleeps")),
                None => return Heard::Sleeping(format!("{still}; this system does not say whether its thread sleeps")),
            }
        }
    }
}

impl Watched {
    /// Whether the thread used its processor within a short while. None where the system does not say.
    fn is_computing(&self) -> Option<bool> {
        let path = self.stat_path.as_deref()?;
        let ticks = || {
            let stat = std::fs::read_to_string(path).ok()?;
            // After the name, which stands in parentheses and may hold anything: state is field 1, user and system time 12 and 13.
            let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
            Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
        };
        let before = ticks()?;
        std::thread::sleep(Duration::from_millis(300));
        Some(ticks()? > before)
    }
}
