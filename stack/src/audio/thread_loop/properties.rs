//! What holds for a loop's queue and life, and for its acceptances, against models: fuzz targets, property tests and corpus tests share
//! these bodies.

use super::acceptance::{Acceptances, Ticket};
use super::state::{Begun, State, Step};
use super::{LoopError, Stopped};
use std::collections::VecDeque;
use std::time::Duration;

/// Each byte is an operation: a signal begins to wait, the oldest is accepted, or one gives up. Against a list of those that wait:
/// each accept is of the oldest, a stray one changes nothing, and no signal is accepted twice or after it gave up.
pub fn any_acceptances(bytes: &[u8]) {
    let mut acceptances = Acceptances::default();
    let mut asked: Vec<Ticket> = Vec::new();
    let mut model: VecDeque<Ticket> = VecDeque::new();
    for byte in bytes {
        match byte % 3 {
            0 => {
                let ticket = acceptances.ask();
                assert!(!asked.contains(&ticket), "each has its own ticket");
                asked.push(ticket);
                model.push_back(ticket);
            }
            1 => assert_eq!(acceptances.accept(), model.pop_front().ok_or(LoopError::NothingToAccept)),
            _ => {
                let Some(ticket) = asked.get(usize::from(byte / 3) % asked.len().max(1)).copied() else { continue };
                let waited = model.contains(&ticket);
                assert_eq!(acceptances.withdraw(ticket), waited);
                model.retain(|waiting| *waiting != ticket);
            }
        }
        for ticket in &asked {
            assert_eq!(acceptances.waits(*ticket), model.contains(ticket));
        }
    }
}

/// How many tasks the loop of [`any_life`] takes.
const CAPACITY: usize = 3;
/// What its stops are told that they may take.
const DEADLINE: Duration = Duration::from_secs(1);

/// What a loop must be.
#[derive(Default)]
struct Model {
    run: u64,
    running: bool,
    /// The run that the worker works for, if there is one.
    worker: Option<u64>,
    calling: bool,
    destroyed: bool,
    data_threads: u32,
    tasks: VecDeque<u64>,
    duties: VecDeque<u8>,
    posted: u64,
    ran: u64,
    refused: u64,
    discarded: u64,
}

/// Each byte is an operation on a loop's state: of its users, of its worker, or of a thread of the data path. Against a model: tasks run
/// in order, once, in the run in which they were posted; as many wait as may; one worker at a time; a stop says what there is to say.
pub fn any_life(bytes: &[u8]) {
    let mut state: State<u64, u8> = State::new(CAPACITY);
    let mut model = Model::default();
    for byte in bytes {
        match byte % 10 {
            0 => start(&mut state, &mut model),
            1 => end(&mut state, &mut model, byte / 10 == 0),
            2 | 3 => post(&mut state, &mut model),
            4 => rouse(&mut state, &mut model, byte / 10 % 3),
            5 | 6 => step(&mut state, &mut model),
            7 => returned(&mut state, &mut model),
            8 => match state.data_thread_begins() {
                Ok(()) => {
                    assert!(!model.destroyed);
                    model.data_threads += 1;
                }
                Err(error) => assert_eq!((error, model.destroyed), (LoopError::Destroyed, true)),
            },
            _ if model.data_threads > 0 => {
                state.data_thread_ends();
                model.data_threads -= 1;
            }
            _ => {}
        }
        let counters = state.counters();
        assert_eq!(
            (counters.posted, counters.ran, counters.refused, counters.discarded),
            (model.posted, model.ran, model.refused, model.discarded)
        );
        assert_eq!(model.posted, model.ran + model.discarded + model.tasks.len() as u64, "every task is accounted for");
        assert_eq!(state.running_run(), model.running_run());
        assert_eq!(state.is_destroyed(), model.destroyed);
    }
}

impl Model {
    fn running_run(&self) -> Result<u64, LoopError> {
        match (self.destroyed, self.running) {
            (true, _) => Err(LoopError::Destroyed),
            (_, false) => Err(LoopError::NotRunning),
            _ => Ok(self.run),
        }
    }
}

fn start(state: &mut State<u64, u8>, model: &mut Model) {
    let begun = state.begin();
    if model.destroyed {
        return assert_eq!(begun, Err(LoopError::Destroyed));
    }
    if model.running {
        return assert_eq!(begun, Ok(Begun::AlreadyRuns));
    }
    model.run += 1;
    model.running = true;
    match model.worker {
        Some(_) => assert_eq!(begun, Ok(Begun::WorkerKept)),
        None => {
            assert_eq!(begun, Ok(Begun::WorkerNeeded(model.run)));
            model.worker = Some(model.run);
        }
    }
}

fn end(state: &mut State<u64, u8>, model: &mut Model, destroys: bool) {
    let ending = state.end(destroys);
    model.destroyed |= destroys;
    assert_eq!(ending.was_running, model.running);
    assert_eq!(ending.tasks, model.tasks, "what never runs is given back");
    assert_eq!(ending.duties.is_empty(), !model.destroyed || model.duties.is_empty());
    model.running = false;
    model.discarded += model.tasks.len() as u64;
    model.tasks.clear();
    if model.destroyed {
        model.duties.clear();
    }
    let outcome = |inside, is_time_left| state.outcome(&ending, inside, DEADLINE, is_time_left);
    assert_eq!(outcome(true, true), Some(Ok(Stopped::Requested)));
    let is_called = model.calling || (destroys && model.data_threads > 0);
    let waits = is_called || model.worker.is_some();
    assert_eq!(outcome(false, true).is_none(), waits, "it waits for what goes on, and for nothing else");
    let said = match (is_called, ending.was_running) {
        (true, _) => Err(LoopError::CallbackGoesOn { deadline: DEADLINE }),
        (_, true) => Ok(Stopped::Stopped),
        (_, false) => Ok(Stopped::NotRunning),
    };
    assert_eq!(outcome(false, false), Some(said), "at its deadline it says what there is");
}

fn post(state: &mut State<u64, u8>, model: &mut Model) {
    let task = model.posted + model.refused;
    let result = state.post(task);
    match model.running_run() {
        Err(error) => assert_eq!(result, Err((error, task))),
        Ok(_) if model.tasks.len() == CAPACITY => {
            assert_eq!(result, Err((LoopError::QueueFull { capacity: CAPACITY }, task)));
            model.refused += 1;
        }
        Ok(_) => {
            assert_eq!(result, Ok(model.run));
            model.posted += 1;
            model.tasks.push_back(task);
        }
    }
}

fn rouse(state: &mut State<u64, u8>, model: &mut Model, duty: u8) {
    let is_new = !model.destroyed && !model.duties.contains(&duty);
    assert_eq!(state.rouse(duty, u8::eq), if is_new { Ok(model.running) } else { Err(duty) });
    if is_new {
        model.duties.push_back(duty);
    }
}

/// The worker looks, if it is not in a call.
fn step(state: &mut State<u64, u8>, model: &mut Model) {
    let Some(run) = model.worker.filter(|_| !model.calling) else { return };
    match state.step(run) {
        Some(Step::EndRun) => {
            assert!(!model.running || model.run != run, "a run that goes on does not end");
            model.worker = state.leave();
            assert_eq!(model.worker, model.running.then_some(model.run));
            assert_eq!(state.ended_run(), if model.running { model.run - 1 } else { model.run });
        }
        Some(Step::Task(task)) => {
            assert_eq!(Some(task), model.tasks.pop_front(), "tasks run in order");
            model.ran += 1;
            model.calling = true;
        }
        Some(Step::Duty(duty)) => {
            assert_eq!(Some(duty), model.duties.pop_front());
            model.calling = true;
        }
        None => {
            assert!(model.running && model.tasks.is_empty() && model.duties.is_empty(), "it waits when there is nothing to do")
        }
    }
}

fn returned(state: &mut State<u64, u8>, model: &mut Model) {
    if std::mem::take(&mut model.calling) {
        state.returned();
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_corpus_holds() {
        crate::corpus::each("loop_acceptances", super::any_acceptances);
        crate::corpus::each("loop_life", super::any_life);
    }

    proptest::proptest! {
        #[test]
        fn any_acceptances_hold(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            super::any_acceptances(&bytes);
        }

        #[test]
        fn any_life_holds(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
            super::any_life(&bytes);
        }
    }
}
