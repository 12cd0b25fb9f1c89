//! The same bug across a network: the user's next call crosses the peer's cancel.
//!
//! The signalling task looks the call's slot up, answers, and calls the application back when the peer has acknowledged. The command's task
//! hangs up and makes the next call.

use super::historic::{FIRST, SECOND, Slots};
use super::production::Reuse;
use crate::call_crossing::{Call, Command, drive};
use crate::exhibit::{Expected, On, Subject};
use sim::sync::Arc;
use std::future::Future;

impl<const MENDED: bool> Call for Slots<MENDED> {
    fn open() -> Arc<Self> {
        <Self as super::Calls>::open(false)
    }

    async fn on_invite(&self, answered: impl Future<Output = ()> + Send) {
        let call = self.find(FIRST);
        answered.await;
        if let Some(call) = call {
            self.on_disconnected(call);
        }
    }

    async fn on_command(&self) {
        self.hang_up(FIRST);
        self.make_call(SECOND);
    }

    fn close(&self) {
        super::Calls::close(self);
    }
}

macro_rules! bodies {
    ($($name:ident: $call:ty, $command:ident;)*) => {
        $(pub(super) fn $name() {
            drive::<$call>(Command::$command);
        })*
    };
}

bodies! {
    slot_reuse: Slots<false>, Crosses;
    slot_reuse_in_turn: Slots<false>, InTurn;
    slot_reuse_twin: Slots<true>, Crosses;
}

/// Our endpoint under every command.
pub(super) fn stack() {
    let command = [Command::Crosses, Command::InTurn][sim::choose(2) as usize];
    drive::<Reuse>(command);
}

/// With the crossing taken away.
pub(super) fn in_turn() -> Subject {
    let on = vec![On::shuttle(Expected::Clean), On::turmoil(Expected::Clean)];
    Subject::new("slot-reuse-in-turn", "the next call is made when the cancel is over", on, slot_reuse_in_turn)
}
