//! Our loop under the same operations and more: the production code itself.

use super::world::{InCallback, Operation, World};
use crate::exhibit::Subject;
use crate::inputs::one_of;
use sim::sync::Arc;
use sim::{invariant, thread};
use stack::audio::thread_loop::LoopError;

/// Eight threads, each with any two operations.
pub(super) fn any() {
    let world = World::open(one_of(&InCallback::ALL), true);
    world.start();
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

/// A stop and a start in the middle of an invoke: who invoked is told, and does not wait until its time is up. For bounds in which
/// time is up only where nothing else can happen.
pub(super) fn invoke_beside_restart() {
    let world = World::open(InCallback::Nothing, false);
    world.start();
    let theirs = Arc::clone(&world);
    let other = thread::Builder::new().name("user").spawn(move || theirs.restart()).expect("the engine makes threads");
    let said = world.invoke();
    invariant!(!matches!(said, Err(LoopError::DeadlinePassed { .. })), "nobody told who invoked that it will not be");
    other.join().expect("a panic ends the run");
    world.end_by_request();
}

/// Two operations at once, on a loop that runs if they have to do with that: loom has five threads, and each of its own makes much to
/// explore. A process is at once with what main does: it has a thread of its own.
fn drive_pair(a: Operation, b: Operation) {
    let is_of_the_lock_alone = |operation| {
        use Operation::{Accept, Enumerate, Lock, Nested, Signal, Stream};
        matches!(operation, Accept | Enumerate | Lock | Nested | Signal | Stream)
    };
    let needs_run = !(is_of_the_lock_alone(a) && is_of_the_lock_alone(b));
    let operations = [a, b].into_iter().filter(|operation| *operation != Operation::Stream);
    let (operations, processes) = (operations.clone().collect::<Vec<_>>(), 2 - operations.count());
    // Where the lock is all that there is, processes try for it.
    let world = World::open(InCallback::Nothing, !needs_run && processes == 1);
    if needs_run {
        world.start();
    }
    if operations.contains(&Operation::Device) {
        world.listen();
    }
    world.add_sinks(processes.min(1));
    let streams: Vec<_> = (0..processes).filter_map(|_| world.open_stream(0)).collect();
    let other = (operations.len() == 2).then(|| {
        let (theirs, operation) = (Arc::clone(&world), operations[0]);
        let work = move || theirs.perform(operation);
        thread::Builder::new().name("user").spawn(work).expect("the engine makes threads")
    });
    if let Some(operation) = operations.last() {
        world.perform(*operation);
    }
    match needs_run {
        // Dropped, they are closed.
        true => drop(streams),
        false => streams.into_iter().for_each(|stream| world.close_stream(stream)),
    }
    if let Some(other) = other {
        other.join().expect("a panic ends the run");
    }
    world.end_by_request();
}

/// Every two operations at once.
pub(super) fn pairs() -> Vec<Subject> {
    crate::pairs!(drive_pair, [
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
    ])
}
