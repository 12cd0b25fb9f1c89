//! What holds for any order of operations: fuzz targets, property tests and corpus tests share this body.

use super::*;
use sim::collections::HashMap;

const CONFIG: EndpointConfig = EndpointConfig {
    calls_max: 3,
    usages_max: 2,
    waiters_max: 4,
    outbox_max: 3,
    requests_max: 1,
    acquire_deadline: Duration::from_secs(1),
};

/// What was called, in order.
type Told = Arc<Mutex<Vec<Heard>>>;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Heard {
    Event(CallHandle, CallState),
    Message(Vec<u8>),
    Dropped(u8),
}

struct Recorder(Told);

impl Application for Recorder {
    fn on_call(&self, event: CallEvent, callback: &mut Callback<'_>) {
        self.0.lock().push(Heard::Event(event.call, event.state));
        // A call that is early is given up by its callback: the next event comes of that.
        if event.state == CallState::Early {
            assert_eq!(callback.hang_up(event.call), Ok(()));
            assert_eq!(callback.hang_up(event.call), Err(RequestsFull { requests_max: 1 }));
        }
    }

    fn send(&self, _dialog: &DialogId, message: &[u8], _: &mut Callback<'_>) {
        self.0.lock().push(Heard::Message(message.to_vec()));
    }
}

/// A usage that does what its input says.
struct Scripted {
    name: u8,
    told: Told,
}

impl Usage for Scripted {
    fn on_input(&mut self, input: Input<'_>, _now: Instant, turn: &mut Turn<'_>) {
        match input {
            Input::Timer(_) => turn.end(),
            Input::Message([0, ..]) => panic!("as its message says"),
            Input::Message(message) => {
                let _ = turn.send(message.to_vec());
                let _ = turn.send(message.to_vec());
            }
        }
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.told.lock().push(Heard::Dropped(self.name));
    }
}

/// The endpoint as a plain list of calls, and what was told so far.
#[derive(Default)]
struct Model {
    calls: HashMap<u8, Call>,
    generations: [u32; CONFIG.calls_max],
    /// The slots that were used before, and are free.
    free: Vec<u32>,
    fresh: u32,
    told: Vec<Heard>,
    closed: bool,
    names: u8,
}

struct Call {
    handle: CallHandle,
    state: CallState,
    usages: Vec<(UsageId, u8)>,
}

impl Model {
    fn tell(&mut self, id: u8, state: CallState) {
        if let Some(call) = self.calls.get_mut(&id) {
            call.state = state;
            self.told.push(Heard::Event(call.handle, state));
        }
    }

    /// A call with nothing left goes, and its slot is free for the next generation.
    fn settle(&mut self, id: u8) {
        if self.calls.get(&id).is_some_and(|call| call.state == CallState::Disconnected && call.usages.is_empty()) {
            let call = self.calls.remove(&id).expect("it was there just now");
            self.generations[call.handle.slot() as usize] += 1;
            self.free.push(call.handle.slot());
        }
    }

    fn hang_up(&mut self, id: u8) -> bool {
        let goes_on = self.calls.get(&id).is_some_and(|call| call.state != CallState::Disconnected);
        if goes_on {
            self.tell(id, CallState::Disconnected);
        }
        self.settle(id);
        goes_on
    }
}

fn dialog_id(id: u8) -> DialogId {
    DialogId { call_id: format!("call-{id}"), local_tag: "ours".to_owned(), remote_tag: String::new() }
}

/// Two bytes are an operation and what it is done to. The endpoint does and tells what the model does: who is called and in which order,
/// which handles are good, which calls are refused, and what is dropped when. Nothing is dropped under a lock.
pub fn any_operations(bytes: &[u8]) {
    let told: Told = Arc::default();
    let endpoint = Endpoint::new(CONFIG, Recorder(Arc::clone(&told)));
    let mut root = endpoint.enter().expect("this thread has not entered");
    let mut model = Model::default();
    let mut handles: Vec<(u8, CallHandle)> = Vec::new();
    for operation in bytes.chunks_exact(2).take(100) {
        let [what, to] = [operation[0] % 9, operation[1]];
        let id = to % 4;
        let known = model.calls.get(&id).map(|call| (call.handle, call.state));
        match what {
            0 | 1 => {
                let made = endpoint.make_call(&mut root, dialog_id(id), |dialog, _| dialog.call());
                match (model.closed, known, model.calls.len()) {
                    (true, ..) => assert_eq!(made, Err(CreateError::Closed)),
                    (_, Some(_), _) => assert_eq!(made, Err(CreateError::Exists { id: dialog_id(id) })),
                    (_, _, 3..) => assert_eq!(made, Err(CreateError::Full { calls_max: 3 })),
                    _ => {
                        let (handle, seen) = made.expect("there is room");
                        let slot = model.free.pop().unwrap_or_else(|| {
                            model.fresh += 1;
                            model.fresh - 1
                        });
                        assert_eq!((handle.slot(), handle.generation()), (slot, model.generations[slot as usize]));
                        assert_eq!(handle, seen, "it has its name before anybody has the dialog");
                        handles.push((id, handle));
                        model.calls.insert(id, Call { handle, state: CallState::Calling, usages: Vec::new() });
                    }
                }
            }
            // Any handle that there ever was.
            2 if !handles.is_empty() => {
                let (id, handle) = handles[usize::from(to) % handles.len()];
                let is_good = model.calls.get(&id).is_some_and(|call| call.handle == handle);
                let ended = endpoint.hang_up(&mut root, handle);
                match is_good {
                    true => assert_eq!(ended, Ok(model.hang_up(id))),
                    false => assert!(matches!(ended, Err(AcquireError::Stale(StaleCall { call, .. })) if call == handle)),
                }
            }
            3 => {
                let state =
                    [CallState::Calling, CallState::Early, CallState::Connecting, CallState::Confirmed, CallState::Disconnected]
                        [usize::from(to / 4) % 5];
                let set = endpoint.with_dialog(&mut root, &dialog_id(id), |dialog, _| dialog.set_state(state));
                match known {
                    None => assert_eq!(set, Err(AcquireError::NoSuchDialog { id: dialog_id(id) })),
                    Some((_, from)) if state <= from => assert_eq!(set, Ok(Err(DialogError::Backward { from, to: state }))),
                    Some(_) => {
                        assert_eq!(set, Ok(Ok(())));
                        model.tell(id, state);
                        if state == CallState::Early {
                            model.tell(id, CallState::Disconnected);
                        }
                        model.settle(id);
                    }
                }
            }
            4 => {
                let name = model.names;
                model.names = model.names.wrapping_add(1);
                let usage = Scripted { name, told: Arc::clone(&told) };
                let mut usage = Some(usage);
                let added = endpoint
                    .with_dialog(&mut root, &dialog_id(id), |dialog, _| usage.take().map(|usage| dialog.add_usage(usage)));
                drop(usage);
                match model.calls.get_mut(&id) {
                    None => {
                        assert!(added.is_err());
                        model.told.push(Heard::Dropped(name));
                    }
                    Some(call) if call.usages.len() == 2 => {
                        assert_eq!(added, Ok(Some(Err(DialogError::UsagesFull { usages_max: 2 }))));
                        model.told.push(Heard::Dropped(name));
                    }
                    Some(call) => match added {
                        Ok(Some(Ok(usage))) => call.usages.push((usage, name)),
                        other => panic!("{other:?}"),
                    },
                }
            }
            5..=7 => {
                let Some((usage, name)) = model.calls.get(&id).and_then(|call| call.usages.get(usize::from(to / 4) % 2)).copied()
                else {
                    continue;
                };
                let message = [u8::from(what == 6), to];
                let input = if what == 5 { Input::Timer(0) } else { Input::Message(&message) };
                let given =
                    endpoint.with_dialog(&mut root, &dialog_id(id), |dialog, _| dialog.input(usage, input, Instant::now()));
                let call = model.calls.get_mut(&id).expect("it was there just now");
                match what {
                    // Two messages go; the usage stays.
                    6 => {
                        assert_eq!(given, Ok(Ok(())));
                        model.told.extend([Heard::Message(message.to_vec()), Heard::Message(message.to_vec())]);
                    }
                    _ => {
                        call.usages.retain(|(other, _)| *other != usage);
                        model.told.push(Heard::Dropped(name));
                        if what == 7 {
                            assert_eq!(given, Ok(Err(DialogError::UsagePanicked)));
                            model.hang_up(id);
                        } else {
                            assert_eq!(given, Ok(Ok(())));
                        }
                        model.settle(id);
                    }
                }
            }
            8 if to == 255 => {
                let left = endpoint.close(&mut root);
                model.closed = true;
                let mut calls: Vec<(CallHandle, u8)> = model.calls.iter().map(|(id, call)| (call.handle, *id)).collect();
                calls.sort();
                for (_, id) in calls {
                    model.hang_up(id);
                }
                assert_eq!(left, model.calls.len());
            }
            _ => {}
        }
        assert_eq!(*told.lock(), model.told);
        let mut there: Vec<CallHandle> = model.calls.values().map(|call| call.handle).collect();
        there.sort();
        assert_eq!(endpoint.calls(&mut *root).0.handles().collect::<Vec<_>>(), there);
        assert_eq!(endpoint.dialogs(&mut *root).0.ids().count(), there.len());
    }
    assert_eq!(endpoint.enter().map(drop), Err(EnterError::Inside));
    let counters = endpoint.calls(&mut *root).0.counters();
    assert_eq!(counters.made - counters.ended, model.calls.len() as u64);
    assert_eq!((counters.callback_panics, counters.not_acquired), (0, 0));
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_corpus_holds() {
        crate::corpus::each("endpoint", super::any_operations);
    }

    proptest::proptest! {
        #[test]
        fn any_operations_hold(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            super::any_operations(&bytes);
        }
    }
}
