//! Our endpoint under the same operations: the production code itself.

use crate::endpoint_oracle::{Operation, World};
use crate::exhibit::Subject;
use crate::inputs::{below, one_of};
use sim::sync::Arc;
use sim::thread;

/// An operation, and whether it is done with the application's mutex held.
type Step = (Operation, bool);

const THREADS: usize = 8;

/// Eight threads, each with any three operations.
pub(super) fn any() {
    run([(); THREADS].map(|()| [(); 3].map(|()| (one_of(&Operation::ALL), below(2) == 1)).to_vec()));
}

/// Each thread does its steps.
fn run(programs: [Vec<Step>; THREADS]) {
    let world = World::open();
    world.make(0);
    let threads = programs.map(|steps| {
        let world = Arc::clone(&world);
        let work = move || {
            for (operation, inverted) in steps {
                if inverted { world.perform_inverted(operation) } else { world.perform(operation) }
            }
        };
        thread::Builder::new().name("user").spawn(work).expect("the engine makes threads")
    });
    for thread in threads {
        thread.join().expect("a panic ends the run");
    }
    world.end();
}

/// Two operations at once, on a call with a transaction.
fn drive_pair(a: Operation, b: Operation) {
    let world = World::open();
    world.make(0);
    if [a, b].contains(&Operation::Input) {
        world.perform(Operation::Usage);
    }
    let theirs = Arc::clone(&world);
    let work = move || theirs.perform_inverted(a);
    let other = thread::Builder::new().name("user").spawn(work).expect("the engine makes threads");
    world.perform(b);
    other.join().expect("a panic ends the run");
    world.end();
}

/// The exhibit's own interleaving: the application hangs up while a response changes the call's state.
pub(super) fn inverted() {
    drive_pair(Operation::HangUp, Operation::State);
}

/// Every two operations at once.
pub(super) fn pairs() -> Vec<Subject> {
    crate::pairs!(drive_pair, [
        "read" => Operation::Read,
        "make" => Operation::Make,
        "hangup" => Operation::HangUp,
        "state" => Operation::State,
        "usage" => Operation::Usage,
        "input" => Operation::Input,
        "close" => Operation::Close,
        "find" => Operation::Find,
        "list" => Operation::List,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::programs::hold;
    use proptest::prelude::{any, proptest};
    use proptest::{array::uniform8, collection::vec, sample::select};

    proptest! {
        #[test]
        fn any_programs_hold(programs in uniform8(vec((select(&Operation::ALL[..]), any::<bool>()), 0..5))) {
            hold("endpoint", programs, run)?;
        }
    }
}
