//! A dialog: what its lock guards. What it does to the world goes to its [`Outbox`], and is done when the lock is free.

use super::calls::CallHandle;
use super::error::DialogError;
use super::outbox::{CallEvent, Outbox, Outgoing};
use sim::time::Instant;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What tells a dialog apart: RFC 3261 section 12. The set of dialogs owns its keys, and none aliases what a message owned.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DialogId {
    /// The Call-ID.
    pub call_id: String,
    /// Our tag.
    pub local_tag: String,
    /// The peer's tag; empty until it has told one.
    pub remote_tag: String,
}

impl fmt::Display for DialogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{};local={};remote={}", self.call_id, self.local_tag, self.remote_tag)
    }
}

/// How far the INVITE session of a call is: RFC 3261 section 13. A call only goes forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum CallState {
    /// An INVITE is about to be sent, or has come.
    Calling,
    /// A provisional response made an early dialog.
    Early,
    /// A final response was sent or came, and no ACK yet.
    Connecting,
    /// The ACK was sent or has come.
    Confirmed,
    /// It is over.
    Disconnected,
}

/// Something that lives in a dialog, under the dialog's lock: a transaction, an INVITE session, a subscription. It is sans-IO: it is
/// given bytes or a timer and the time, and says in its turn what is to be done. It has no lock of its own, so there is none to
/// take in another order than the dialog's (pjproject #4755, #4759, #4893).
pub trait Usage: Send + 'static {
    /// `input` has come at `now`.
    fn on_input(&mut self, input: Input<'_>, now: Instant, turn: &mut Turn<'_>);
}

/// What comes to a usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Input<'a> {
    /// A message from the network.
    Message(&'a [u8]),
    /// A timer of its own, by the name that it gave it.
    Timer(u32),
}

/// Names a usage of one dialog, and none of another. Names are not used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsageId {
    call: CallHandle,
    number: u64,
}

/// What a dialog is, under its lock. It lives while it has usages or its call goes on, and somebody stands before it.
pub struct Dialog {
    call: CallHandle,
    state: CallState,
    usages: Vec<Slot>,
    usages_max: usize,
    next_usage: u64,
}

struct Slot {
    id: UsageId,
    /// Not there while it has its turn.
    usage: Option<Box<dyn Usage>>,
}

/// What a usage may do in its turn.
#[derive(Debug)]
pub struct Turn<'a> {
    outbox: &'a Outbox,
    call: CallHandle,
    state: &'a mut CallState,
    ended: bool,
}

/// A dialog as who has its lock sees it.
pub struct Held<'a> {
    pub(super) id: &'a DialogId,
    pub(super) dialog: &'a mut Dialog,
    pub(super) outbox: &'a Outbox,
}

impl Dialog {
    /// Of no call yet.
    pub(super) fn new(usages_max: usize) -> Self {
        Dialog { call: CallHandle::UNNAMED, state: CallState::Calling, usages: Vec::new(), usages_max, next_usage: 0 }
    }

    pub(super) fn name(&mut self, call: CallHandle) {
        self.call = call;
    }

    pub(super) fn call(&self) -> CallHandle {
        self.call
    }

    /// Nothing needs it any more.
    pub(super) fn is_idle(&self) -> bool {
        self.state == CallState::Disconnected && self.usages.is_empty()
    }
}

impl Held<'_> {
    /// What tells the dialog apart.
    pub fn id(&self) -> &DialogId {
        self.id
    }

    /// The dialog's call.
    pub fn call(&self) -> CallHandle {
        self.dialog.call
    }

    /// How far the call is.
    pub fn state(&self) -> CallState {
        self.dialog.state
    }

    /// Brings the call forward, and tells the application when the lock is free.
    ///
    /// # Errors
    /// [`DialogError::Backward`], [`DialogError::OutboxFull`]. The call is as it was.
    pub fn set_state(&mut self, state: CallState) -> Result<(), DialogError> {
        bring_forward(&mut self.dialog.state, state, self.dialog.call, self.outbox)
    }

    /// Ends the call. True if it went on.
    pub fn hang_up(&mut self) -> bool {
        // Room for the last word is kept, so this is not refused.
        bring_forward(&mut self.dialog.state, CallState::Disconnected, self.dialog.call, self.outbox).is_ok()
    }

    /// Sends a message when the lock is free, after what was sent and told before.
    ///
    /// # Errors
    /// [`DialogError::OutboxFull`]: it is not sent.
    pub fn send(&mut self, message: Vec<u8>) -> Result<(), DialogError> {
        self.outbox.push(Outgoing::Message(message))
    }

    /// Plugs a usage in. The dialog lives until it has ended.
    ///
    /// # Errors
    /// [`DialogError::UsagesFull`], [`DialogError::Ended`]. The usage is dropped when the lock is free.
    pub fn add_usage(&mut self, usage: impl Usage) -> Result<UsageId, DialogError> {
        let Dialog { call, usages, usages_max, state, next_usage } = &mut *self.dialog;
        let refused = match () {
            () if *state == CallState::Disconnected && usages.is_empty() => Some(DialogError::Ended),
            () if usages.len() >= *usages_max => Some(DialogError::UsagesFull { usages_max: *usages_max }),
            () => None,
        };
        if let Some(error) = refused {
            self.outbox.keep(Box::new(usage));
            return Err(error);
        }
        let id = UsageId { call: *call, number: *next_usage };
        *next_usage += 1;
        usages.push(Slot { id, usage: Some(Box::new(usage)) });
        Ok(id)
    }

    /// Ends a usage and gives it back, to be dropped when the lock is free. `None` if it has ended before.
    #[must_use = "it would be dropped with the dialog's lock held"]
    pub fn end_usage(&mut self, id: UsageId) -> Option<Box<dyn Usage>> {
        let position = self.dialog.usages.iter().position(|slot| slot.id == id)?;
        self.dialog.usages.remove(position).usage
    }

    /// How many usages there are.
    pub fn usages(&self) -> usize {
        self.dialog.usages.len()
    }

    /// Gives `input` to a usage.
    ///
    /// # Errors
    /// [`DialogError::NoSuchUsage`]: it has ended, as when a response comes twice. [`DialogError::UsagePanicked`]: it has ended, and
    /// the call with it.
    pub fn input(&mut self, id: UsageId, input: Input<'_>, now: Instant) -> Result<(), DialogError> {
        let slot = self.dialog.usages.iter_mut().find(|slot| slot.id == id).ok_or(DialogError::NoSuchUsage)?;
        let mut usage = slot.usage.take().ok_or(DialogError::NoSuchUsage)?;
        let mut turn = Turn { outbox: self.outbox, call: self.dialog.call, state: &mut self.dialog.state, ended: false };
        let result = catch_unwind(AssertUnwindSafe(|| usage.on_input(input, now, &mut turn)));
        if result.is_ok() && !turn.ended {
            if let Some(slot) = self.dialog.usages.iter_mut().find(|slot| slot.id == id) {
                slot.usage = Some(usage);
            }
            return Ok(());
        }
        self.dialog.usages.retain(|slot| slot.id != id);
        self.outbox.keep(Box::new(usage));
        let Err(payload) = result else { return Ok(()) };
        self.outbox.keep(payload);
        self.hang_up();
        Err(DialogError::UsagePanicked)
    }
}

impl Turn<'_> {
    /// How far the call is.
    pub fn state(&self) -> CallState {
        *self.state
    }

    /// As [`Held::set_state`].
    ///
    /// # Errors
    /// As there.
    pub fn set_state(&mut self, state: CallState) -> Result<(), DialogError> {
        bring_forward(self.state, state, self.call, self.outbox)
    }

    /// As [`Held::send`].
    ///
    /// # Errors
    /// As there.
    pub fn send(&mut self, message: Vec<u8>) -> Result<(), DialogError> {
        self.outbox.push(Outgoing::Message(message))
    }

    /// Ends the usage with this turn.
    pub fn end(&mut self) {
        self.ended = true;
    }
}

fn bring_forward(state: &mut CallState, to: CallState, call: CallHandle, outbox: &Outbox) -> Result<(), DialogError> {
    if to <= *state {
        return Err(DialogError::Backward { from: *state, to });
    }
    outbox.push(Outgoing::Event(CallEvent { call, state: to }))?;
    *state = to;
    Ok(())
}

impl fmt::Debug for Dialog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialog")
            .field("call", &self.call)
            .field("state", &self.state)
            .field("usages", &self.usages.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Held<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.dialog.fmt(f)
    }
}
