//! The same bug across a network: the user's command to hang up crosses a re-INVITE.
//!
//! The signalling task has the dialog from the re-INVITE to its ACK, and calls the application back, which wants its mutex. The command's
//! task takes the application's mutex and wants the dialog.

use crate::call_crossing::{Call, Command, drive};
use crate::endpoint_oracle::{Operation, World};
use crate::exhibit::{Expected, On, Subject};
use sim::sync::Arc;
use sim::sync::asynchronous::Mutex;
use std::future::Future;

/// As upstream would have it with tasks: who re-invites has the dialog, and the application is called back with it.
struct Inverted<const MENDED: bool> {
    application: Mutex<u32>,
    dialog: Mutex<()>,
}

impl<const MENDED: bool> Call for Inverted<MENDED> {
    fn open() -> Arc<Self> {
        Arc::new(Inverted { application: Mutex::new(0), dialog: Mutex::new(()) })
    }

    async fn on_invite(&self, answered: impl Future<Output = ()> + Send) {
        let _dialog = self.dialog.lock().await;
        answered.await;
        *self.application.lock().await += 1;
    }

    async fn on_command(&self) {
        let application = self.application.lock().await;
        if MENDED {
            drop(application);
            let _dialog = self.dialog.lock().await;
        } else {
            let _dialog = self.dialog.lock().await;
        }
    }
}

/// Our endpoint: the production code itself. Its locks are held for moments, and never while a task awaits.
impl Call for World {
    fn open() -> Arc<Self> {
        let world = World::open();
        world.make(0);
        world
    }

    async fn on_invite(&self, answered: impl Future<Output = ()> + Send) {
        self.perform(Operation::Usage);
        answered.await;
        self.perform(Operation::State);
        self.perform(Operation::Input);
    }

    async fn on_command(&self) {
        self.perform_inverted(Operation::HangUp);
    }

    fn close(&self) {
        self.end();
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
    inverted: Inverted<false>, Crosses;
    inverted_in_turn: Inverted<false>, InTurn;
    inverted_twin: Inverted<true>, Crosses;
    quiet: Inverted<false>, MuchLater;
    quiet_twin: Inverted<true>, MuchLater;
}

/// Our endpoint under every command.
pub(super) fn stack() {
    let command = [Command::Crosses, Command::InTurn][sim::choose(2) as usize];
    drive::<World>(command);
}

/// With the crossing taken away.
pub(super) fn in_turn() -> Subject {
    let on = vec![On::shuttle(Expected::Clean), On::turmoil(Expected::Clean)];
    Subject::new("inverted-in-turn", "the command comes when the re-INVITE is over", on, inverted_in_turn)
}
