//! What callbacks ask for: done by the outermost delivery of their thread, one after the other, so that calls that end calls that end
//! calls take no stack.

use super::Endpoint;
use super::order::{Permit, level};
use std::cell::RefCell;
use std::collections::VecDeque;

/// Something to do from the root, when a callback has returned.
pub(super) type Request = Box<dyn FnOnce(&Endpoint, &mut Permit<'_, level::Root>) + Send>;

/// What this thread is to do for one endpoint.
struct Waiting {
    /// The endpoint's address, which stands still while it is borrowed by a delivery.
    endpoint: usize,
    requests: VecDeque<Request>,
}

sim::thread_local! {
    static WAITING: RefCell<Vec<Waiting>> = RefCell::new(Vec::new());
}

/// A delivery of this thread.
pub(super) struct Delivering<'a> {
    endpoint: &'a Endpoint,
    is_outermost: bool,
}

impl<'a> Delivering<'a> {
    pub(super) fn begin(endpoint: &'a Endpoint) -> Self {
        let is_outermost = WAITING.with(|waiting| {
            let mut waiting = waiting.borrow_mut();
            let is_outermost = waiting.iter().all(|other| other.endpoint != address(endpoint));
            if is_outermost {
                waiting.push(Waiting { endpoint: address(endpoint), requests: VecDeque::new() });
            }
            is_outermost
        });
        Delivering { endpoint, is_outermost }
    }

    /// How many requests wait.
    pub(super) fn waiting(&self) -> usize {
        self.with(|requests| requests.len())
    }

    /// Puts what a callback asked for behind what was asked for before.
    pub(super) fn ask(&self, asked: Vec<Request>) {
        self.with(|requests| requests.extend(asked));
    }

    /// The next request, for the outermost delivery alone.
    pub(super) fn next(&self) -> Option<Request> {
        self.is_outermost.then(|| self.with(VecDeque::pop_front)).flatten()
    }

    fn with<R>(&self, f: impl FnOnce(&mut VecDeque<Request>) -> R) -> R {
        WAITING.with(|waiting| {
            let mut waiting = waiting.borrow_mut();
            let own = waiting.iter_mut().find(|own| own.endpoint == address(self.endpoint));
            f(&mut own.expect("the outermost delivery keeps it until its end").requests)
        })
    }
}

impl Drop for Delivering<'_> {
    fn drop(&mut self) {
        if self.is_outermost {
            // What a request is dropped with is the application's, so not under the borrow. There are none unless this unwinds.
            let own = WAITING.with(|waiting| {
                let mut waiting = waiting.borrow_mut();
                let position = waiting.iter().position(|own| own.endpoint == address(self.endpoint))?;
                Some(waiting.remove(position))
            });
            drop(own);
        }
    }
}

fn address(endpoint: &Endpoint) -> usize {
    std::ptr::from_ref(endpoint).addr()
}
