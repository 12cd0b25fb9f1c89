//! Our loop under the same operations and more: the production code itself.

use super::world::{InCallback, Operation, World};
use crate::exhibit::Subject;
use crate::inputs::one_of;
use sim::sync::Arc;
use sim::thread;

/// Eight threads, each with any two operations.
pub(super) fn any() {
    let world = World::open(one_of(&InCallback::ALL));
    world.listen();
    world.add_sinks(2);
    let threads: Vec<_> = (0..7)
        .map(|_| {
            let (world, operations) = (Arc::clone(&world), [(); 2].map(|()| one_of(&Operation::ALL)));
            let work = move || operations.into_iter().for_each(|operation| world.perform(operation));
            thread::Builder::new().name("user").spawn(work).expect("the engine makes threads")
        })
        .collect();
    for _ in 0..2 {
        world.perform(one_of(&Operation::ALL));
    }
    for thread in threads {
        thread.join().expect("a panic ends the run");
    }
    world.end();
}

/// The exhibit's own operations: a module connects and scans while devices come, and closes.
pub(super) fn connect_scan_close() {
    drive_pair(Operation::Device, Operation::Enumerate);
}

/// Two operations at once on a loop that runs.
fn drive_pair(a: Operation, b: Operation) {
    let world = World::open(InCallback::Nothing);
    if [a, b].contains(&Operation::Device) {
        world.listen();
    }
    if [a, b].contains(&Operation::Stream) {
        world.add_sinks(1);
    }
    let theirs = Arc::clone(&world);
    let other = thread::Builder::new().name("user").spawn(move || theirs.perform(a)).expect("the engine makes threads");
    world.perform(b);
    other.join().expect("a panic ends the run");
    world.end_by_request();
}

/// Every two operations at once, but for two streams: with their processes and the loop they have more threads than loom. Shuttle has them.
pub(super) fn pairs() -> Vec<Subject> {
    let mut pairs = crate::pairs!(drive_pair, [
        "lock" => Operation::Lock,
        "nested" => Operation::Nested,
        "wait" => Operation::Wait,
        "signal" => Operation::Signal,
        "signal_and_wait" => Operation::SignalAndWait,
        "accept" => Operation::Accept,
        "invoke" => Operation::Invoke,
        "post" => Operation::Post,
        "start" => Operation::Start,
        "stop" => Operation::Stop,
        "destroy" => Operation::Destroy,
        "callback" => Operation::Device,
        "process" => Operation::Stream,
        "enumerate" => Operation::Enumerate,
    ]);
    pairs.retain(|pair| pair.name != "stack-process-process");
    pairs
}
