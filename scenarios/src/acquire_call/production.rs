//! Our endpoint under the same operations: the production code itself.

use super::CALLBACK;
use crate::call_crossing::Call;
use crate::endpoint_oracle::{Operation, World};
use crate::inputs::one_of;
use sim::sync::Arc;
use sim::thread;
use sim::time;
use stack::endpoint::CallHandle;
use std::future::Future;

/// An endpoint with a call, and its handle, which outlives it.
pub(super) struct Reuse {
    world: Arc<World>,
    first: CallHandle,
}

impl Reuse {
    fn new() -> Arc<Self> {
        let world = World::open();
        world.make(0);
        let first = world.calls()[0];
        Arc::new(Reuse { world, first })
    }

    /// The user hangs up and makes the next call, which has the slot of the first.
    fn next_call(&self) {
        self.world.hang_up(self.first);
        self.world.make(1);
    }

    /// What was for the first call comes, and does nothing to another: that is the model's part to see.
    fn on_disconnected(&self) {
        self.world.hang_up(self.first);
    }

    fn end(&self) {
        self.world.end();
    }
}

impl Call for Reuse {
    fn open() -> Arc<Self> {
        Reuse::new()
    }

    async fn on_invite(&self, answered: impl Future<Output = ()> + Send) {
        answered.await;
        self.on_disconnected();
    }

    async fn on_command(&self) {
        self.next_call();
    }

    fn close(&self) {
        self.end();
    }
}

/// The exhibit's own interleaving.
pub(super) fn slot_reuse() {
    let calls = Reuse::new();
    let theirs = Arc::clone(&calls);
    let work = move || theirs.on_disconnected();
    let worker = thread::Builder::new().name("worker").spawn(work).expect("the engine makes threads");
    calls.next_call();
    worker.join().expect("a panic ends the run");
    calls.end();
}

/// A user has the first call's dialog for long, callbacks take as long, an operator sets the clock to and fro, and three users do two things each.
pub(super) fn any() {
    const OPERATIONS: [Operation; 3] = [Operation::HangUp, Operation::Make, Operation::Read];
    let calls = Reuse::new();
    calls.world.call_slowly(CALLBACK);
    let spawn = |name, work: Box<dyn FnOnce(&Reuse) + Send>| {
        let calls = Arc::clone(&calls);
        thread::Builder::new().name(name).spawn(move || work(&calls)).expect("the engine makes threads")
    };
    let mut threads = vec![
        spawn("callback", Box::new(|calls| calls.world.hold(calls.first, CALLBACK))),
        spawn(
            "operator",
            Box::new(|_| {
                time::step_wall_clock(-3_600_000_000_000);
                time::step_wall_clock(7_200_000_000_000);
            }),
        ),
    ];
    for _ in 0..3 {
        let operations = [(); 2].map(|()| one_of(&OPERATIONS));
        threads.push(spawn(
            "user",
            Box::new(move |calls| operations.into_iter().for_each(|operation| calls.world.perform(operation))),
        ));
    }
    calls.next_call();
    for thread in threads {
        thread.join().expect("a panic ends the run");
    }
    calls.end();
}
