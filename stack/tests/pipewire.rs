//! Audio on a real PipeWire daemon, which each test starts for itself: null sinks, no hardware, no session manager.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "the test stands outside of what is tested")]

#[path = "peers/pipewire.rs"]
mod peer;

use peer::{Daemon, SAMPLES_PER_PERIOD, is_installed, sink};
use stack::audio::pipewire::{Connection, Links, PipeWireBackend, PipeWireConfig};
use stack::audio::thread_loop::{LoopConfig, LoopError, LoopGuard, LoopHandle, Stopped, ThreadLoop};
use stack::audio::{
    AudioError, Backend, Cycle, DeviceEvent, DeviceId, DeviceInfo, Direction, Stream, StreamConfig, StreamFailure, StreamState,
};
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// It takes seconds. This only turns a hang into a failure.
const FOR_EVER: Duration = Duration::from_secs(60);

const FORMAT: StreamConfig = StreamConfig { rate_hz: 48_000, channels: 1, samples_per_period: SAMPLES_PER_PERIOD };

/// A second of a ramp: no sample comes twice, and none is silence.
const SIGNAL_SAMPLES: u16 = 48_000;

fn signal(at: u16) -> i16 {
    (at + 1) as i16
}

fn say(what: &str) {
    // Not by print!, which a test that passes keeps to itself.
    let _ = writeln!(std::io::stderr(), "{what}");
}

/// A loop on a daemon. The loop is stopped before the daemon goes, whatever happens.
struct Rig {
    thread_loop: ThreadLoop,
    handle: LoopHandle,
    backend: PipeWireBackend,
    daemon: Daemon,
}

impl Rig {
    fn start(sinks: &[&str]) -> Option<Rig> {
        let daemon = is_installed().then(|| Daemon::start(sinks))?;
        let (thread_loop, backend) = backend(&daemon.socket());
        thread_loop.start().unwrap();
        let handle = thread_loop.handle();
        let rig = Rig { thread_loop, handle, backend, daemon };
        rig.wait_until_ready();
        Some(rig)
    }

    fn wait_until_ready(&self) {
        let mut guard = self.handle.lock();
        guard.wait(FOR_EVER, |guard| self.backend.connection(guard) == Ok(Connection::Ready)).unwrap();
    }

    /// The sink and its monitor.
    fn pair(&self, name: &str) -> (DeviceId, DeviceId) {
        pair(&self.backend.devices(&self.handle.lock()).unwrap(), name).expect("the sink is there")
    }
}

fn is_absent(backend: &PipeWireBackend, guard: &LoopGuard<'_>) -> bool {
    matches!(backend.connection(guard).unwrap(), Connection::Absent { .. })
}

fn backend(remote: &str) -> (ThreadLoop, PipeWireBackend) {
    let loop_config = LoopConfig { name: "pipewire".to_owned(), stop_deadline: FOR_EVER, ..LoopConfig::default() };
    PipeWireBackend::with_loop(loop_config, PipeWireConfig { remote: Some(remote.to_owned()), links: Links::Backend }).unwrap()
}

fn pair(devices: &[DeviceInfo], name: &str) -> Option<(DeviceId, DeviceId)> {
    let sink = devices.iter().find(|device| device.name == name && device.direction == Direction::Playback)?;
    let monitor = devices.iter().find(|device| device.monitor_of == Some(sink.id))?;
    Some((sink.id, monitor.id))
}

#[track_caller]
fn wait_for(guard: &mut LoopGuard<'_>, stream: &Stream, is_it: impl Fn(&StreamState) -> bool) -> StreamState {
    let waited = guard.wait(FOR_EVER, |guard| is_it(&stream.state(guard).unwrap()));
    let state = stream.state(guard).unwrap();
    assert_eq!(waited, Ok(()), "{state:?}");
    state
}

fn fill(cycle: &mut Cycle<'_>) {
    if let Some(mut buffer) = cycle.dequeue() {
        buffer.samples().fill(1);
    }
}

#[test]
fn what_is_played_into_a_null_sink_is_recorded_from_its_monitor_sample_for_sample() {
    let Some(mut rig) = Rig::start(&["first", "second"]) else { return };
    let guard = rig.handle.lock();
    let devices = rig.backend.devices(&guard).unwrap();
    drop(guard);
    for device in &devices {
        say(&format!("pipewire: {}: {:?}, {}, monitor of {:?}", device.id, device.name, device.direction, device.monitor_of));
    }
    assert_eq!(devices.len(), 4, "two sinks and their monitors: {devices:?}");
    let (second, monitor) = rig.pair("second");
    assert_ne!(rig.pair("first"), (second, monitor));

    let recorded: Arc<Mutex<Vec<i16>>> = Arc::new(Mutex::new(Vec::with_capacity(1 << 20)));
    let listens = Arc::new(AtomicBool::new(false));
    let played = Arc::new(AtomicU64::new(0));
    let record = {
        let (recorded, listens) = (Arc::clone(&recorded), Arc::clone(&listens));
        move |cycle: &mut Cycle<'_>| {
            while let Some(mut buffer) = cycle.dequeue() {
                recorded.lock().unwrap().extend_from_slice(buffer.samples());
                listens.store(true, SeqCst);
            }
        }
    };
    let play = {
        let (listens, played, mut at) = (Arc::clone(&listens), Arc::clone(&played), 0);
        move |cycle: &mut Cycle<'_>| {
            let Some(mut buffer) = cycle.dequeue() else { return };
            if !listens.load(SeqCst) {
                return;
            }
            for sample in buffer.samples() {
                if at < SIGNAL_SAMPLES {
                    *sample = signal(at);
                    at += 1;
                }
            }
            played.store(u64::from(at), SeqCst);
        }
    };
    let mut guard = rig.handle.lock();
    let recorder = rig.backend.open_capture(&guard, monitor, FORMAT, Box::new(record)).unwrap();
    let player = rig.backend.open_playback(&guard, second, FORMAT, Box::new(play)).unwrap();
    wait_for(&mut guard, &player, |state| *state == StreamState::Streaming);
    wait_for(&mut guard, &recorder, |state| *state == StreamState::Streaming);
    drop(guard);
    let began = std::time::Instant::now();
    let last = signal(SIGNAL_SAMPLES - 1);
    while !recorded.lock().unwrap().contains(&last) {
        let state = (player.state(&rig.handle.lock()), recorder.state(&rig.handle.lock()));
        assert!(began.elapsed() < FOR_EVER, "{state:?} {:?} {:?}", player.counters(), recorder.counters());
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut guard = rig.handle.lock();
    for stream in [&player, &recorder] {
        stream.close(&guard).unwrap();
        assert_eq!(wait_for(&mut guard, stream, StreamState::is_last), StreamState::Closed);
    }
    drop(guard);
    let recorded = recorded.lock().unwrap();
    let first = recorded.iter().position(|sample| *sample != 0).unwrap();
    let aligned = &recorded[first..][..usize::from(SIGNAL_SAMPLES)];
    let wrong = (0..SIGNAL_SAMPLES).find(|at| aligned[usize::from(*at)] != signal(*at));
    say(&format!(
        "pipewire: {} devices; {} samples played, {} recorded, {} compared after {first} of silence; player {:?}; recorder {:?}",
        devices.len(),
        played.load(SeqCst),
        recorded.len(),
        aligned.len(),
        player.counters(),
        recorder.counters(),
    ));
    assert_eq!(wrong.map(|at| (at, signal(at), aligned[usize::from(at)])), None, "sample, played, recorded");
    assert!(recorded[first + aligned.len()..].iter().all(|sample| *sample == 0), "and silence after it");
    assert_eq!((player.counters().reclaimed, recorder.counters().reclaimed), (0, 0));
    assert_eq!(rig.thread_loop.destroy(), Ok(Stopped::Stopped));
}

#[test]
fn buffers_come_back_whatever_the_process_does_with_them() {
    let Some(rig) = Rig::start(&["sink"]) else { return };
    let (sink, monitor) = rig.pair("sink");
    let keeps = |cycle: &mut Cycle<'_>| {
        if let Some(buffer) = cycle.dequeue() {
            std::mem::forget(buffer);
        }
    };
    let heard = Arc::new(AtomicU64::new(0));
    let other = {
        let heard = Arc::clone(&heard);
        move |cycle: &mut Cycle<'_>| _ = heard.fetch_add(u64::from(cycle.dequeue().is_some()), SeqCst)
    };
    let mut guard = rig.handle.lock();
    let keeper = rig.backend.open_playback(&guard, sink, FORMAT, Box::new(keeps)).unwrap();
    let recorder = rig.backend.open_capture(&guard, monitor, FORMAT, Box::new(other)).unwrap();
    let idle = rig.backend.open_capture(&guard, monitor, FORMAT, Box::new(keeps)).unwrap();
    drop(guard);
    // More than a stream has buffers, which are 64 at the most.
    let began = std::time::Instant::now();
    while keeper.counters().reclaimed < 80 || idle.counters().reclaimed < 80 || heard.load(SeqCst) < 80 {
        assert!(began.elapsed() < FOR_EVER, "{:?} {:?} {:?}", keeper.counters(), idle.counters(), recorder.counters());
        std::thread::sleep(Duration::from_millis(20));
    }
    say(&format!("pipewire: keeper {:?}; recorders {:?}, {:?}", keeper.counters(), idle.counters(), recorder.counters()));
    guard = rig.handle.lock();
    drop(keeper);
    drop(idle);
    recorder.close(&guard).unwrap();
    wait_for(&mut guard, &recorder, StreamState::is_last);
}

#[test]
fn devices_that_come_and_go_are_told() {
    let Some(rig) = Rig::start(&["stays"]) else { return };
    let events: Arc<Mutex<Vec<DeviceEvent>>> = Arc::default();
    let guard = rig.handle.lock();
    let told = Arc::clone(&events);
    let listener = Box::new(move |guard: &mut LoopGuard<'_>, event: &DeviceEvent| {
        assert!(guard.is_on_loop_thread());
        told.lock().unwrap().push(event.clone());
        guard.signal();
    });
    rig.backend.subscribe(&guard, listener).unwrap();
    drop(guard);
    let is_told = |expected: usize| {
        let mut guard = rig.handle.lock();
        guard.wait(FOR_EVER, |_| events.lock().unwrap().len() >= expected).unwrap();
    };
    for turn in 0..3 {
        if !rig.daemon.tell(&["create-node", "adapter", &sink("comes")]) {
            return;
        }
        is_told(turn * 4 + 2);
        let (sink, monitor) = rig.pair("comes");
        let mut guard = rig.handle.lock();
        let stream = rig.backend.open_playback(&guard, sink, FORMAT, Box::new(fill)).unwrap();
        wait_for(&mut guard, &stream, |state| *state == StreamState::Streaming);
        drop(guard);
        assert!(rig.daemon.tell(&["destroy", "comes"]));
        is_told(turn * 4 + 4);
        let mut guard = rig.handle.lock();
        let failed = wait_for(&mut guard, &stream, StreamState::is_last);
        assert_eq!(failed, StreamState::Failed(StreamFailure::DeviceRemoved));
        let late = rig.backend.open_playback(&guard, sink, FORMAT, Box::new(fill)).map(drop);
        assert_eq!(late, Err(AudioError::NoSuchDevice { got: sink }));
        let ids: Vec<_> = events.lock().unwrap()[turn * 4..]
            .iter()
            .map(|event| match event {
                DeviceEvent::Added(device) => ("added", device.id),
                DeviceEvent::Removed(device) => ("removed", device.id),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(ids, [("added", sink), ("added", monitor), ("removed", monitor), ("removed", sink)]);
    }
}

#[test]
fn a_daemon_that_dies_ends_its_streams_and_the_next_run_finds_another() {
    let Some(mut rig) = Rig::start(&["sink"]) else { return };
    for turn in 0..3 {
        let (sink, monitor) = rig.pair("sink");
        let mut guard = rig.handle.lock();
        let player = rig.backend.open_playback(&guard, sink, FORMAT, Box::new(fill)).unwrap();
        let recorder = rig.backend.open_capture(&guard, monitor, FORMAT, Box::new(fill)).unwrap();
        wait_for(&mut guard, &player, |state| *state == StreamState::Streaming);
        drop(guard);
        rig.daemon.kill();
        let mut guard = rig.handle.lock();
        guard.wait(FOR_EVER, |guard| is_absent(&rig.backend, guard)).unwrap();
        let Ok(Connection::Absent { why }) = rig.backend.connection(&guard) else { panic!("there is no daemon") };
        for stream in [&player, &recorder] {
            let failed = wait_for(&mut guard, stream, StreamState::is_last);
            assert_eq!(failed, StreamState::Failed(StreamFailure::Backend { why: why.clone() }));
        }
        assert_eq!(rig.backend.devices(&guard), Ok(vec![]));
        let late = rig.backend.open_playback(&guard, sink, FORMAT, Box::new(fill)).map(drop);
        assert!(matches!(&late, Err(AudioError::Disconnected { .. })), "{late:?}");
        say(&format!("pipewire: {}; {:?}", late.unwrap_err(), player.state(&guard)));
        drop(guard);
        assert_eq!(rig.thread_loop.stop(), Ok(Stopped::Stopped), "turn {turn}");
        rig.daemon.restart(&["sink"]);
        rig.thread_loop.start().unwrap();
        rig.wait_until_ready();
    }
    // And one that dies while the loop is destroyed.
    let (sink, _) = rig.pair("sink");
    let mut guard = rig.handle.lock();
    let player = rig.backend.open_playback(&guard, sink, FORMAT, Box::new(fill)).unwrap();
    wait_for(&mut guard, &player, |state| *state == StreamState::Streaming);
    drop(guard);
    rig.daemon.kill();
    assert_eq!(rig.thread_loop.destroy(), Ok(Stopped::Stopped));
    let state = player.state(&rig.handle.lock()).unwrap();
    assert!(matches!(state, StreamState::Failed(StreamFailure::LoopDestroyed | StreamFailure::Backend { .. })), "{state:?}");
    assert_eq!(rig.thread_loop.start(), Err(LoopError::Destroyed));
}

#[test]
fn streams_end_with_the_run_and_with_the_loop() {
    let Some(mut rig) = Rig::start(&["sink"]) else { return };
    for destroys in [false, true] {
        let (sink, monitor) = rig.pair("sink");
        let mut guard = rig.handle.lock();
        let calls = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&calls);
        let count = move |cycle: &mut Cycle<'_>| {
            counted.fetch_add(1, SeqCst);
            fill(cycle);
        };
        let player = rig.backend.open_playback(&guard, sink, FORMAT, Box::new(count)).unwrap();
        let panics = rig.backend.open_capture(&guard, monitor, FORMAT, Box::new(|_| panic!("in a process"))).unwrap();
        let failed = wait_for(&mut guard, &panics, StreamState::is_last);
        assert_eq!(failed, StreamState::Failed(StreamFailure::ProcessPanicked));
        wait_for(&mut guard, &player, |state| *state == StreamState::Streaming);
        // Processes need no lock: this thread has it, and they go on.
        let before = calls.load(SeqCst);
        let began = std::time::Instant::now();
        while calls.load(SeqCst) < before + 3 {
            assert!(began.elapsed() < FOR_EVER, "no process while the lock is held");
            std::thread::sleep(Duration::from_millis(1));
        }
        // On its way to the loop thread, or just there.
        let late = rig.backend.open_playback(&guard, sink, FORMAT, Box::new(fill)).unwrap();
        drop(guard);
        let stopped = if destroys { rig.thread_loop.destroy() } else { rig.thread_loop.stop() };
        assert_eq!(stopped, Ok(Stopped::Stopped));
        let called = calls.load(SeqCst);
        assert!(called > 0 && Arc::strong_count(&calls) == 1, "its process was dropped");
        let guard = rig.handle.lock();
        let expected = match destroys {
            true => StreamFailure::LoopDestroyed,
            false => StreamFailure::Backend { why: "the loop was stopped".to_owned() },
        };
        for stream in [&player, &late] {
            assert_eq!(stream.state(&guard), Ok(StreamState::Failed(expected.clone())));
        }
        drop(guard);
        if !destroys {
            rig.thread_loop.start().unwrap();
            rig.wait_until_ready();
        }
    }
}

#[test]
fn a_process_that_does_not_return_holds_nobody_up_but_the_stop() {
    let Some(mut rig) = Rig::start(&["sink"]) else { return };
    let (sink, _) = rig.pair("sink");
    let (runs, goes) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let blocks = {
        let (runs, goes) = (Arc::clone(&runs), Arc::clone(&goes));
        move |_: &mut Cycle<'_>| {
            runs.store(true, SeqCst);
            let began = std::time::Instant::now();
            while !goes.load(SeqCst) && began.elapsed() < FOR_EVER {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    };
    let mut guard = rig.handle.lock();
    let stream = rig.backend.open_playback(&guard, sink, FORMAT, Box::new(blocks)).unwrap();
    drop(guard);
    let began = std::time::Instant::now();
    while !runs.load(SeqCst) {
        assert!(began.elapsed() < FOR_EVER);
        std::thread::sleep(Duration::from_millis(1));
    }
    guard = rig.handle.lock();
    assert_eq!(stream.close(&guard), Ok(stack::audio::Closing::ProcessGoesOn));
    // The loop thread has looked at the stream when it has run this, and is not held up.
    assert_eq!(guard.invoke(FOR_EVER, |guard| guard.depth()), Ok(1));
    assert_eq!(guard.invoke(FOR_EVER, |guard| guard.depth()), Ok(1));
    assert!(!stream.state(&guard).unwrap().is_last(), "its process goes on");
    goes.store(true, SeqCst);
    assert_eq!(wait_for(&mut guard, &stream, StreamState::is_last), StreamState::Closed);
    drop(guard);
    assert_eq!(rig.thread_loop.destroy(), Ok(Stopped::Stopped));
}

#[test]
fn without_a_daemon_there_are_no_devices_and_a_reason() {
    let (mut thread_loop, backend) = backend("/nowhere/at/all");
    let handle = thread_loop.handle();
    thread_loop.start().unwrap();
    let mut guard = handle.lock();
    let before = Connection::Absent { why: "the loop was not started".to_owned() };
    guard.wait(FOR_EVER, |guard| backend.connection(guard).unwrap() != before).unwrap();
    assert!(is_absent(&backend, &guard), "{:?}", backend.connection(&guard));
    assert_eq!(backend.devices(&guard), Ok(vec![]));
    drop(guard);
    assert_eq!(handle.invoke(FOR_EVER, |guard| guard.depth()), Ok(1), "the loop runs all the same");
    assert_eq!(thread_loop.destroy(), Ok(Stopped::Stopped));
}
