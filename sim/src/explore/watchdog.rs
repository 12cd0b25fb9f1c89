//! The thread that waits for a run, and notices one that no longer moves.

use crate::run::{Message, Progress};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

/// So many looks without a step between them, and a thread that sleeps is taken for blocked. Looks, not time: while this process
/// was stopped nobody looked.
const STILL_LOOKS_SLEEPING: u32 = 12;
/// A step may compute for longer.
const STILL_LOOKS_COMPUTING: u32 = 40;
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
    let mut last = progress.mark();
    let mut still_looks = 0;
    loop {
        match inbox.recv_timeout(LOOK_EVERY) {
            Ok(message) => return Heard::Message(message),
            Err(RecvTimeoutError::Disconnected) => return Heard::Gone,
            Err(RecvTimeoutError::Timeout) => {}
        }
        let mark = progress.mark();
        still_looks = if mark == last { still_looks + 1 } else { 0 };
        last = mark;
        if still_looks < STILL_LOOKS_SLEEPING || is_debugged() {
            continue;
        }
        let still = format!("no step in {still_looks} looks, {LOOK_EVERY:?} apart, in schedule {}", mark.0);
        match watched.is_computing() {
            Some(true) if still_looks < STILL_LOOKS_COMPUTING => {}
            Some(true) => return Heard::Spinning(format!("{still}: it computes without an end")),
            Some(false) => return Heard::Sleeping(format!("{still}, and its thread sleeps")),
            None => return Heard::Sleeping(format!("{still}; this system does not say whether its thread sleeps")),
        }
    }
}

/// Whether somebody looks at this process with a debugger, who may stop a step for as long as it takes.
fn is_debugged() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().any(|line| line.strip_prefix("TracerPid:").is_some_and(|tracer| tracer.trim() != "0"))
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
