//! The null devices: their list, their events, their limits, and what is played and recorded.

use super::{FOR_EVER, Notes, running, told, wait_until};
use stack::audio::null::NullBackend;
use stack::audio::thread_loop::{LoopError, LoopGuard, Stopped};
use stack::audio::{AudioError, Backend, Cycle, DeviceEvent, Direction, Process, Stream, StreamConfig, StreamState};
use std::sync::{Arc, Mutex};

fn fast() -> StreamConfig {
    StreamConfig { rate_hz: 48_000, channels: 2, samples_per_period: 48 }
}

fn idle() -> Process {
    Box::new(|_: &mut Cycle<'_>| ())
}

/// Plays `signal`, a buffer a period, and then silence.
fn player(signal: Vec<i16>) -> Process {
    let mut at = 0;
    Box::new(move |cycle: &mut Cycle<'_>| {
        let Some(mut buffer) = cycle.dequeue() else { return };
        for sample in buffer.samples() {
            *sample = signal.get(at).copied().unwrap_or(0);
            at += 1;
        }
    })
}

fn recorder(into: &Arc<Mutex<Vec<i16>>>) -> Process {
    let into = Arc::clone(into);
    Box::new(move |cycle: &mut Cycle<'_>| {
        while let Some(mut buffer) = cycle.dequeue() {
            into.lock().unwrap().extend_from_slice(buffer.samples());
        }
    })
}

/// Numbers none of which is 0, so that silence tells nothing.
fn signal(samples: usize, seed: u32) -> Vec<i16> {
    let mut state = seed;
    (0..samples)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (((state >> 17) as i16 & 0x3FFF) - 0x2000) | 1
        })
        .collect()
}

#[track_caller]
fn found_in(recorded: &[i16], played: &[i16]) -> bool {
    recorded.windows(played.len()).any(|window| window == played)
}

#[test]
fn what_is_played_is_recorded() {
    let (_thread_loop, handle) = running("loopback");
    let backend = NullBackend::new(&handle);
    let recorded = Arc::default();
    let (played, capture, playback): (Vec<i16>, Stream, Stream) = {
        let guard = handle.lock();
        let (sink, monitor) = backend.add_sink(&guard, "null").unwrap();
        let played = signal(96 * 40, 7);
        let capture = backend.open_capture(&guard, monitor, fast(), recorder(&recorded)).unwrap();
        let playback = backend.open_playback(&guard, sink, fast(), player(played.clone())).unwrap();
        assert_eq!((capture.direction(), playback.direction()), (Direction::Capture, Direction::Playback));
        assert_eq!((capture.device(), playback.device(), playback.config()), (monitor, sink, fast()));
        (played, capture, playback)
    };
    wait_until(|| playback.counters().cycles > 42);
    let guard = handle.lock();
    capture.close(&guard).unwrap();
    playback.close(&guard).unwrap();
    drop(guard);
    wait_until(|| capture.state(&handle.lock()) == Ok(StreamState::Closed));
    assert!(found_in(&recorded.lock().unwrap(), &played), "bit for bit, in order");
    assert_eq!((playback.counters().underruns, capture.counters().overruns), (0, 0));
}

#[test]
fn streams_are_added_up_and_saturate() {
    let (_thread_loop, handle) = running("mix");
    let backend = NullBackend::new(&handle);
    let recorded = Arc::default();
    let guard = handle.lock();
    let (sink, monitor) = backend.add_sink(&guard, "null").unwrap();
    let constant = |value: i16| -> Process {
        Box::new(move |cycle: &mut Cycle<'_>| {
            if let Some(mut buffer) = cycle.dequeue() {
                let channels = [value, i16::MIN];
                buffer.samples().iter_mut().zip(channels.iter().cycle()).for_each(|(sample, value)| *sample = *value);
            }
        })
    };
    let streams: Vec<Stream> =
        [30_000, 20_000, -1].map(|value| backend.open_playback(&guard, sink, fast(), constant(value)).unwrap()).into();
    let capture = backend.open_capture(&guard, monitor, fast(), recorder(&recorded)).unwrap();
    drop(guard);
    wait_until(|| capture.counters().cycles > 3);
    drop(streams);
    wait_until(|| recorded.lock().unwrap().ends_with(&[0; 96]));
    let recorded = recorded.lock().unwrap();
    assert!(found_in(&recorded, &[i16::MAX, i16::MIN, i16::MAX, i16::MIN]), "as loud as it goes");
}

#[test]
fn a_source_is_silent() {
    let (_thread_loop, handle) = running("silence");
    let backend = NullBackend::new(&handle);
    let recorded: Arc<Mutex<Vec<i16>>> = Arc::default();
    let guard = handle.lock();
    let source = backend.add_source(&guard, "silence").unwrap();
    let _capture = backend.open_capture(&guard, source, fast(), recorder(&recorded)).unwrap();
    drop(guard);
    wait_until(|| recorded.lock().unwrap().len() >= 960);
    assert!(recorded.lock().unwrap().iter().all(|sample| *sample == 0));
}

#[test]
fn a_player_that_gives_nothing_plays_silence_and_a_slow_recorder_loses_the_rest() {
    let (_thread_loop, handle) = running("xruns");
    let backend = NullBackend::new(&handle);
    let guard = handle.lock();
    let (sink, monitor) = backend.add_sink(&guard, "null").unwrap();
    let playback = backend.open_playback(&guard, sink, fast(), idle()).unwrap();
    let capture = backend.open_capture(&guard, monitor, fast(), idle()).unwrap();
    drop(guard);
    wait_until(|| capture.counters().cycles >= 20);
    drop(handle.lock());
    let (playback, capture) = (playback.counters(), capture.counters());
    assert!(playback.underruns + 1 >= playback.cycles && playback.underruns <= playback.cycles + 1, "{playback:?}");
    // Four buffers were filled, and none was read.
    assert!(capture.overruns + 4 + 1 >= capture.cycles && capture.overruns + 4 <= capture.cycles + 1, "{capture:?}");
}

#[test]
fn listeners_are_told_on_the_loop_thread_with_the_lock() {
    let (_thread_loop, handle) = running("events");
    let backend = NullBackend::new(&handle);
    let notes = Notes::default();
    let guard = handle.lock();
    let (noted, lister) = (notes.clone(), backend.clone());
    let listener = backend
        .subscribe(
            &guard,
            Box::new(move |guard, event| {
                assert!(guard.is_on_loop_thread() && guard.depth() == 1);
                let listed = lister.devices(guard).unwrap();
                let (what, device) = match event {
                    DeviceEvent::Added(device) => ("added", device),
                    DeviceEvent::Removed(device) => ("removed", device),
                    _ => return noted.add("missed"),
                };
                noted.add(format!("{what} {}, listed: {}", device.name, listed.contains(device)));
            }),
        )
        .unwrap();
    let (sink, monitor) = backend.add_sink(&guard, "speaker").unwrap();
    let names: Vec<_> = backend.devices(&guard).unwrap().into_iter().map(|device| (device.name, device.monitor_of)).collect();
    assert_eq!(names, [("speaker".to_owned(), None), ("Monitor of speaker".to_owned(), Some(sink))]);
    assert_eq!(notes.all().len(), 0, "the loop thread has not had the lock");
    drop(guard);
    wait_until(|| notes.all().len() == 2);
    assert_eq!(notes.all(), ["added speaker, listed: true", "added Monitor of speaker, listed: true"]);
    backend.remove(&handle.lock(), monitor).unwrap();
    wait_until(|| notes.all().len() == 4);
    assert_eq!(notes.all()[2..], ["removed Monitor of speaker, listed: false", "removed speaker, listed: false"]);
    let guard = handle.lock();
    assert_eq!(backend.devices(&guard), Ok(vec![]));
    assert_eq!(backend.unsubscribe(&guard, listener), Ok(true));
    assert_eq!(backend.unsubscribe(&guard, listener), Ok(false));
    backend.add_source(&guard, "unheard").unwrap();
    drop(guard);
    handle.invoke(FOR_EVER, |_| ()).unwrap();
    handle.invoke(FOR_EVER, |_| ()).unwrap();
    assert_eq!(notes.all().len(), 4);
}

#[test]
fn a_listener_may_do_anything_to_listeners_and_is_dropped_without_the_lock() {
    let (_thread_loop, handle) = running("listeners");
    let backend = NullBackend::new(&handle);
    let notes = Notes::default();
    let guard = handle.lock();
    let (within, noted, own) = (backend.clone(), notes.clone(), Arc::new(Mutex::new(None)));
    let (told_first, own_name) = (told(&handle, &notes, "first"), Arc::clone(&own));
    let first = backend
        .subscribe(
            &guard,
            Box::new(move |guard, _| {
                let own = own_name.lock().unwrap().unwrap();
                assert_eq!(within.unsubscribe(guard, own), Ok(true));
                let (noted_too, told) = (noted.clone(), told(&guard.handle(), &noted, "second"));
                within
                    .subscribe(
                        guard,
                        Box::new(move |_, _| {
                            let _told = &told;
                            noted_too.add("second")
                        }),
                    )
                    .unwrap();
                told_first.notes.add("first");
            }),
        )
        .unwrap();
    *own.lock().unwrap() = Some(first);
    let panics = told(&handle, &notes, "panics");
    backend
        .subscribe(
            &guard,
            Box::new(move |_, _| {
                panics.notes.add("panics");
                panic!("a listener")
            }),
        )
        .unwrap();
    backend.add_source(&guard, "one").unwrap();
    backend.add_source(&guard, "two").unwrap();
    drop(guard);
    wait_until(|| notes.count("panics dropped without the lock") == 1);
    handle.invoke(FOR_EVER, |_| ()).unwrap();
    assert_eq!(notes.count("second"), 0, "both have happened before it listened");
    backend.add_source(&handle.lock(), "three").unwrap();
    wait_until(|| notes.count("second") == 1);
    assert_eq!((notes.count("first"), notes.count("panics"), handle.counters().panics), (1, 1, 1));
    assert_eq!(notes.count("first dropped without the lock"), 1);
    assert_eq!(notes.count("panics dropped without the lock"), 1);
    drop(backend);
}

#[test]
fn events_wait_for_the_loop_and_the_oldest_make_room() {
    let (mut thread_loop, handle) = running("missed");
    thread_loop.stop().unwrap();
    let backend = NullBackend::new(&handle);
    let notes = Notes::default();
    let guard = handle.lock();
    let noted = notes.clone();
    backend
        .subscribe(
            &guard,
            Box::new(move |_, event| match event {
                DeviceEvent::Added(device) => noted.add(device.name.clone()),
                DeviceEvent::Missed(missed) => noted.add(format!("missed {missed}")),
                _ => {}
            }),
        )
        .unwrap();
    for number in 0..36 {
        backend.add_sink(&guard, &number.to_string()).unwrap();
    }
    drop(guard);
    thread_loop.start().unwrap();
    wait_until(|| notes.all().len() == 65);
    assert_eq!(notes.all()[..3], ["missed 8", "4", "Monitor of 4"]);
    assert_eq!(notes.all()[64], "Monitor of 35");
}

#[test]
fn a_stop_in_the_middle_of_telling_leaves_the_rest_for_the_next_run() {
    let (mut thread_loop, handle) = running("middle");
    let backend = NullBackend::new(&handle);
    let notes = Notes::default();
    let guard = handle.lock();
    for number in 0..3 {
        let (noted, within) = (notes.clone(), handle.clone());
        let listener = move |_: &mut LoopGuard<'_>, event: &DeviceEvent| {
            let DeviceEvent::Added(device) = event else { return };
            noted.add(format!("{} {number}", device.name));
            if device.name == "one" && number == 1 {
                assert_eq!(within.stop(), Ok(Stopped::Requested));
            }
        };
        backend.subscribe(&guard, Box::new(listener)).unwrap();
    }
    backend.add_source(&guard, "one").unwrap();
    backend.add_source(&guard, "two").unwrap();
    drop(guard);
    wait_until(|| !handle.is_running());
    thread_loop.stop().unwrap();
    assert_eq!(notes.all(), ["one 0", "one 1"]);
    thread_loop.start().unwrap();
    wait_until(|| notes.all().len() == 6);
    assert_eq!(notes.all()[2..], ["one 2", "two 0", "two 1", "two 2"]);
}

#[test]
fn every_refusal_is_typed_and_drops_the_process_without_the_lock() {
    let (_thread_loop, handle) = running("refusals");
    let (other, _) = running("other");
    let backend = NullBackend::new(&handle);
    let notes = Notes::default();
    let guard = handle.lock();
    let (sink, monitor) = backend.add_sink(&guard, "null").unwrap();
    let process = || -> Process {
        let told = told(&handle, &notes, "process");
        Box::new(move |_: &mut Cycle<'_>| _ = &told)
    };
    let wrong = |error: AudioError| matches!(error, AudioError::Loop(LoopError::WrongLoop { .. }));
    {
        let guard = other.lock();
        assert!(wrong(backend.devices(&guard).unwrap_err()));
        assert!(wrong(backend.open_playback(&guard, sink, fast(), idle()).unwrap_err()));
        assert!(wrong(backend.subscribe(&guard, Box::new(|_, _| ())).unwrap_err()));
        assert!(wrong(backend.add_source(&guard, "source").unwrap_err()));
        assert!(wrong(backend.remove(&guard, sink).unwrap_err()));
    }
    let nowhere = backend.add_source(&guard, "gone").unwrap();
    backend.remove(&guard, nowhere).unwrap();
    assert_eq!(backend.open_playback(&guard, nowhere, fast(), process()).unwrap_err(), AudioError::NoSuchDevice { got: nowhere });
    assert_eq!(
        backend.open_playback(&guard, monitor, fast(), process()).unwrap_err(),
        AudioError::WrongDirection { device: monitor, expected: Direction::Playback, got: Direction::Capture }
    );
    for bad in [
        StreamConfig { rate_hz: 0, ..fast() },
        StreamConfig { rate_hz: u32::MAX, ..fast() },
        StreamConfig { channels: 0, ..fast() },
        StreamConfig { channels: u16::MAX, ..fast() },
        StreamConfig { samples_per_period: 0, ..fast() },
        StreamConfig { samples_per_period: u32::MAX, ..fast() },
    ] {
        assert!(matches!(backend.open_playback(&guard, sink, bad, process()), Err(AudioError::Config { got, .. }) if got == bad));
    }
    let kept = backend.open_playback(&guard, sink, fast(), idle()).unwrap();
    let else_ = StreamConfig { channels: 1, ..fast() };
    assert_eq!(
        backend.open_capture(&guard, monitor, else_, process()).unwrap_err(),
        AudioError::FormatMismatch { expected: fast(), got: else_ }
    );
    let others: Vec<_> = (1..16).map(|_| backend.open_capture(&guard, monitor, fast(), idle()).unwrap()).collect();
    assert_eq!(backend.open_playback(&guard, sink, fast(), process()).unwrap_err(), AudioError::TooManyStreams { max: 16 });
    for number in 1..64 {
        backend.add_source(&guard, &number.to_string()).unwrap();
    }
    assert_eq!(backend.add_sink(&guard, "one more").unwrap_err(), AudioError::TooManyDevices { max: 64 });
    for _ in 0..64 {
        backend.subscribe(&guard, Box::new(|_, _| ())).unwrap();
    }
    assert_eq!(backend.subscribe(&guard, Box::new(|_, _| ())).unwrap_err(), AudioError::TooManyListeners { max: 64 });
    assert_eq!(notes.all().len(), 0, "nothing is dropped under the lock");
    drop(guard);
    assert_eq!(notes.count("process dropped without the lock"), 10);
    assert_eq!(notes.all().len(), 10);
    drop((kept, others));
    wait_until(|| backend.open_capture(&handle.lock(), monitor, else_, idle()).is_ok());
}

#[test]
fn a_device_that_is_taken_away_fails_its_streams() {
    let (_thread_loop, handle) = running("removed");
    let backend = NullBackend::new(&handle);
    let guard = handle.lock();
    let (sink, monitor) = backend.add_sink(&guard, "null").unwrap();
    let playback = backend.open_playback(&guard, sink, fast(), idle()).unwrap();
    let capture = backend.open_capture(&guard, monitor, fast(), idle()).unwrap();
    drop(guard);
    wait_until(|| capture.counters().cycles > 1);
    let mut guard = handle.lock();
    backend.remove(&guard, sink).unwrap();
    let failed = |stream: &Stream, guard: &stack::audio::thread_loop::LoopGuard<'_>| {
        stream.state(guard) == Ok(StreamState::Failed(stack::audio::StreamFailure::DeviceRemoved))
    };
    guard.wait(FOR_EVER, |guard| failed(&playback, guard) && failed(&capture, guard)).unwrap();
    assert_eq!(backend.open_playback(&guard, sink, fast(), idle()).unwrap_err(), AudioError::NoSuchDevice { got: sink });
    assert_eq!(backend.remove(&guard, sink), Err(AudioError::NoSuchDevice { got: sink }));
}
