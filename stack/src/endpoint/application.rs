//! What the endpoint calls: the application and the transport, never with a lock held.

use super::dialog::DialogId;
use super::error::RequestsFull;
use super::order::{Permit, level};
use super::outbox::CallEvent;
use super::requests::Request;
use super::{CallHandle, Endpoint};
use std::fmt;

/// Who is told of calls.
///
/// Called from whichever thread gave a dialog's lock back, with no lock of the endpoint's held; one event of a call at a time, in order.
/// A callback that panics is counted, and its call goes on.
pub trait Application: Send + Sync + 'static {
    /// Something happened to a call. The call may be over when this is told.
    fn on_call(&self, event: CallEvent, callback: &mut Callback<'_>);

    /// A message is to be sent to the peer of this dialog. In order with the events of its call. Where it cannot be sent, `callback` may
    /// ask for the call to end.
    fn send(&self, dialog: &DialogId, message: &[u8], callback: &mut Callback<'_>);
}

/// What a callback may do: lock what is the application's, and ask for what is done when it has returned.
pub struct Callback<'a> {
    permit: Permit<'a, level::Endpoint>,
    requests: Vec<Request>,
    /// How many there is room for.
    room: usize,
    requests_max: usize,
}

impl<'a> Callback<'a> {
    /// For a thread that is to do so many requests already.
    pub(super) fn new(permit: Permit<'a, level::Endpoint>, waiting: usize, requests_max: usize) -> Self {
        Callback { permit, requests: Vec::new(), room: requests_max.saturating_sub(waiting), requests_max }
    }

    pub(super) fn into_requests(self) -> Vec<Request> {
        self.requests
    }

    /// For an [`ApplicationMutex`](super::ApplicationMutex): the locks of the endpoint are above.
    pub fn permit(&mut self) -> &mut Permit<'a, level::Endpoint> {
        &mut self.permit
    }

    /// Does this when the callback has returned, on its thread, after what was asked for before. What comes of it may ask for more, which
    /// takes its turn and no stack.
    ///
    /// # Errors
    /// [`RequestsFull`]: it is not done. What other callbacks of this thread have asked for, and is not done yet, counts.
    pub fn then(
        &mut self,
        request: impl FnOnce(&Endpoint, &mut Permit<'_, level::Root>) + Send + 'static,
    ) -> Result<(), RequestsFull> {
        if self.requests.len() >= self.room {
            return Err(RequestsFull { requests_max: self.requests_max });
        }
        self.requests.push(Box::new(request));
        Ok(())
    }

    /// Hangs a call up when the callback has returned. A call that is over by then stays so.
    ///
    /// # Errors
    /// [`RequestsFull`].
    pub fn hang_up(&mut self, call: CallHandle) -> Result<(), RequestsFull> {
        self.then(move |endpoint, permit| {
            // The outcome has nobody to go to: that the call is over is told as an event, and a dialog that is not had is counted.
            let _ = endpoint.hang_up(permit, call);
        })
    }
}

impl fmt::Debug for Callback<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callback").field("requests", &self.requests.len()).finish_non_exhaustive()
    }
}
