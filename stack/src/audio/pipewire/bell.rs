use super::super::thread_loop::Wake;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fd::{BorrowedFd, OwnedFd};
use sim::sync::Arc;
use std::io;

/// What the loop thread waits for beside PipeWire's own loop.
pub(super) struct Bell(OwnedFd);

impl Bell {
    pub(super) fn new() -> io::Result<Arc<Self>> {
        Ok(Arc::new(Bell(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)))
    }

    /// Ends the wait that goes on, or the next. It does not wait itself: the counter that it adds to is far from full, as each wait
    /// takes it back to nothing.
    pub(super) fn ring(&self) {
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    /// Waits until it rings or `other` has something to read, or a signal comes.
    pub(super) fn wait(&self, other: Option<BorrowedFd<'_>>) {
        let bell = PollFd::new(&self.0, PollFlags::IN);
        let _ = match &other {
            Some(other) => poll(&mut [bell, PollFd::new(other, PollFlags::IN)], None),
            None => poll(&mut [bell], None),
        };
        // A ring after this is for the next wait.
        let _ = rustix::io::read(&self.0, &mut [0; 8]);
    }
}

impl Wake for Arc<Bell> {
    fn wake(&self) {
        self.ring();
    }
}
