//! Our endpoint under the same users: the production code itself.

use crate::endpoint_oracle::{Operation, World};
use crate::inputs::one_of;
use sim::sync::Arc;
use sim::thread;

/// The exhibit's own interleaving: a hang-up beside a response with a transaction that comes and ends.
pub(super) fn hang_up_and_response() {
    drive(&[&[Operation::HangUp], &[Operation::Usage, Operation::Input]]);
}

/// Three users of one dialog, with any two operations each.
pub(super) fn any() {
    const OPERATIONS: [Operation; 4] = [Operation::Read, Operation::HangUp, Operation::Usage, Operation::Input];
    let operations = [(); 6].map(|()| one_of(&OPERATIONS));
    drive(&[&operations[..2], &operations[2..4], &operations[4..]]);
}

fn drive(users: &[&[Operation]]) {
    let world = World::open();
    world.make(0);
    let threads: Vec<_> = users[1..]
        .iter()
        .map(|operations| {
            let (world, operations) = (Arc::clone(&world), operations.to_vec());
            let work = move || operations.into_iter().for_each(|operation| world.perform(operation));
            thread::Builder::new().name("user").spawn(work).expect("the engine makes threads")
        })
        .collect();
    users[0].iter().for_each(|operation| world.perform(*operation));
    for thread in threads {
        thread.join().expect("a panic ends the run");
    }
    world.end();
}
