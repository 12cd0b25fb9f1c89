//! Streams: their processes on the data path, their states, and their ends.

use super::{A_MOMENT, FOR_EVER, Notes, config, running, told, wait_until};
use stack::audio::null::NullBackend;
use stack::audio::thread_loop::{LoopConfig, LoopError, LoopGuard, LoopHandle, Stopped, ThreadLoop};
use stack::audio::{AudioError, Backend, Closing, Cycle, DeviceId, Process, Stream, StreamConfig, StreamFailure, StreamState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};

fn fast() -> StreamConfig {
    StreamConfig { rate_hz: 48_000, channels: 1, samples_per_period: 48 }
}

fn sink(handle: &LoopHandle) -> (NullBackend, DeviceId, DeviceId) {
    let backend = NullBackend::new(handle);
    let (sink, monitor) = backend.add_sink(&handle.lock(), "null").unwrap();
    (backend, sink, monitor)
}

fn play(handle: &LoopHandle, process: impl FnMut(&mut Cycle<'_>) + Send + 'static) -> Stream {
    let (backend, sink, _) = sink(handle);
    backend.open_playback(&handle.lock(), sink, fast(), Box::new(process)).unwrap()
}

#[test]
fn the_data_path_never_waits_for_the_lock() {
    let (_thread_loop, handle) = running("data-path");
    let said = Arc::new(Mutex::new(Vec::new()));
    let (within, noted) = (handle.clone(), Arc::clone(&said));
    let stream = play(&handle, move |cycle| {
        let mut said = noted.lock().unwrap();
        if cycle.index() > 0 || !said.is_empty() {
            return;
        }
        let Some(mut guard) = within.try_lock() else { return };
        said.push(guard.wait(FOR_EVER, |_| true));
        said.push(guard.signal_and_wait(FOR_EVER));
        said.push(guard.invoke(FOR_EVER, |_| ()));
        said.push(guard.accept());
        drop(guard);
        said.push(within.post(|_| ()));
    });
    wait_until(|| stream.counters().cycles > 1);
    let refused = Err(LoopError::OnDataPath);
    assert_eq!(*said.lock().unwrap(), [refused.clone(), refused.clone(), refused, Err(LoopError::NothingToAccept), Ok(())]);
    // It runs on while somebody has the lock.
    let guard = handle.lock();
    let before = stream.counters().cycles;
    wait_until(|| stream.counters().cycles > before + 2);
    drop(guard);
}

#[test]
fn a_process_that_asks_for_the_lock_ends_its_stream_and_no_other() {
    let (_thread_loop, handle) = running("asks");
    let (backend, sink, monitor) = sink(&handle);
    let (within, guard) = (handle.clone(), handle.lock());
    let asks = backend.open_playback(&guard, sink, fast(), Box::new(move |_: &mut Cycle<'_>| drop(within.lock()))).unwrap();
    let other = backend.open_capture(&guard, monitor, fast(), Box::new(|_: &mut Cycle<'_>| ())).unwrap();
    let notes = Notes::default();
    let noted = notes.clone();
    asks.subscribe(&guard, Box::new(move |guard, state| noted.add(format!("{state:?} {}", guard.depth())))).unwrap();
    drop(guard);
    wait_until(|| notes.count("Failed(ProcessPanicked) 1") == 1);
    assert_eq!(notes.all().first().map(String::as_str), Some("Streaming 1"));
    assert_eq!(asks.state(&handle.lock()), Ok(StreamState::Failed(StreamFailure::ProcessPanicked)));
    let before = other.counters().cycles;
    wait_until(|| other.counters().cycles > before + 2);
    assert_eq!(other.state(&handle.lock()), Ok(StreamState::Streaming));
    assert_eq!(asks.subscribe(&handle.lock(), Box::new(|_, _| ())), Err(AudioError::StreamEnded));
}

#[test]
fn what_is_dequeued_is_queued_whichever_way_the_process_leaves() {
    let (_thread_loop, handle) = running("requeued");
    let (backend, sink, monitor) = sink(&handle);
    let recorded: Arc<Mutex<Vec<i16>>> = Arc::default();
    let into = Arc::clone(&recorded);
    let recorder: Process = Box::new(move |cycle: &mut Cycle<'_>| {
        while let Some(mut buffer) = cycle.dequeue() {
            into.lock().unwrap().push(buffer.samples()[0]);
        }
    });
    let player: Process = Box::new(|cycle: &mut Cycle<'_>| {
        let index = cycle.index();
        let Some(mut buffer) = cycle.dequeue() else { panic!("no buffer is lost, so there is always one") };
        buffer.samples()[0] = index as i16 + 1;
        match index % 3 {
            // An early return.
            0 => return,
            1 => std::mem::forget(buffer),
            _ => drop(buffer),
        }
        if index == 100 {
            panic!("in the middle");
        }
    });
    let guard = handle.lock();
    let capture = backend.open_capture(&guard, monitor, fast(), recorder).unwrap();
    let playback = backend.open_playback(&guard, sink, fast(), player).unwrap();
    drop(guard);
    wait_until(|| playback.state(&handle.lock()) == Ok(StreamState::Failed(StreamFailure::ProcessPanicked)));
    let played: Vec<i16> = (1..=101).collect();
    wait_until(|| recorded.lock().unwrap().windows(101).any(|window| window == played));
    let counters = playback.counters();
    assert_eq!((counters.cycles, counters.reclaimed, counters.underruns), (101, 34, 0), "{counters:?}");
    assert_eq!(capture.counters().overruns, 0);
}

#[test]
fn a_close_is_the_last_that_the_process_sees() {
    let (_thread_loop, handle) = running("close");
    for _ in 0..50 {
        let closed = Arc::new(AtomicBool::new(false));
        let late = Arc::new(AtomicBool::new(false));
        let (is_closed, is_late) = (Arc::clone(&closed), Arc::clone(&late));
        let notes = Notes::default();
        let process = told(&handle, &notes, "process");
        let stream = play(&handle, move |_| {
            let _process = &process;
            if is_closed.load(Ordering::SeqCst) {
                is_late.store(true, Ordering::SeqCst);
            }
        });
        wait_until(|| stream.counters().cycles > 0);
        let mut guard = handle.lock();
        let said = stream.close(&guard).unwrap();
        if said == Closing::Quiet {
            closed.store(true, Ordering::SeqCst);
        }
        guard.wait(FOR_EVER, |guard| stream.state(guard) == Ok(StreamState::Closed)).unwrap();
        assert_eq!(stream.close(&guard), Ok(Closing::Quiet), "again, late");
        drop(guard);
        assert!(!late.load(Ordering::SeqCst), "no process begins after a quiet close");
        assert_eq!(notes.all(), ["process dropped without the lock"]);
    }
}

#[test]
fn a_process_that_goes_on_is_told_to_who_closes() {
    let (_thread_loop, handle) = running("goes-on");
    let (release, released) = mpsc::channel::<()>();
    let (begun, has_begun) = mpsc::channel();
    let stream = play(&handle, move |_| {
        begun.send(()).unwrap();
        released.recv().unwrap();
    });
    has_begun.recv().unwrap();
    let mut guard = handle.lock();
    assert_eq!(stream.close(&guard), Ok(Closing::ProcessGoesOn));
    assert!(guard.wait(A_MOMENT, |guard| stream.state(guard) == Ok(StreamState::Closed)).is_err());
    release.send(()).unwrap();
    guard.wait(FOR_EVER, |guard| stream.state(guard) == Ok(StreamState::Closed)).unwrap();
    assert_eq!(stream.counters().cycles, 1);
}

#[test]
fn a_stop_does_not_wait_for_a_process_and_a_destroy_does() {
    let mut thread_loop = ThreadLoop::new(LoopConfig { stop_deadline: A_MOMENT * 50, ..config("slow-process") });
    let handle = thread_loop.handle();
    thread_loop.start().unwrap();
    let (release, released) = mpsc::channel::<()>();
    let (begun, has_begun) = mpsc::channel();
    let stream = play(&handle, move |_| {
        let _ = begun.send(());
        let _ = released.recv();
    });
    has_begun.recv().unwrap();
    assert_eq!(thread_loop.stop(), Ok(Stopped::Stopped));
    assert_eq!(thread_loop.destroy(), Err(LoopError::CallbackGoesOn { deadline: A_MOMENT * 50 }));
    assert_eq!(thread_loop.destroy(), Err(LoopError::CallbackGoesOn { deadline: A_MOMENT * 50 }));
    release.send(()).unwrap();
    wait_until(|| thread_loop.destroy() == Ok(Stopped::NotRunning));
    assert_eq!(stream.state(&handle.lock()), Ok(StreamState::Failed(StreamFailure::LoopDestroyed)));
    assert_eq!(stream.counters().cycles, 1);
    let (backend, guard) = (NullBackend::new(&handle), handle.lock());
    let (sink, _) = backend.add_sink(&guard, "late").unwrap();
    let refused = backend.open_playback(&guard, sink, fast(), Box::new(|_: &mut Cycle<'_>| ())).unwrap_err();
    assert_eq!(refused, AudioError::Loop(LoopError::Destroyed));
}

#[test]
fn from_a_process_stop_and_destroy_are_requests() {
    for destroys in [false, true] {
        let (mut thread_loop, handle) = running("from-process");
        let within = handle.clone();
        let (say, said) = mpsc::channel();
        let stream = play(&handle, move |cycle| {
            if cycle.index() == 0 {
                say.send(if destroys { within.destroy() } else { within.stop() }).unwrap();
            }
        });
        assert_eq!(said.recv().unwrap(), Ok(Stopped::Requested));
        assert_eq!(thread_loop.stop(), Ok(Stopped::NotRunning));
        assert_eq!(thread_loop.destroy(), Ok(Stopped::NotRunning));
        wait_until(|| stream.state(&handle.lock()) == Ok(StreamState::Failed(StreamFailure::LoopDestroyed)));
    }
}

#[test]
fn a_stream_that_is_dropped_is_closed_even_by_its_own_process() {
    let (_thread_loop, handle) = running("own");
    let (backend, sink, _) = sink(&handle);
    let notes = Notes::default();
    let (give, given) = mpsc::channel::<Stream>();
    let process = told(&handle, &notes, "process");
    let stream = backend
        .open_playback(
            &handle.lock(),
            sink,
            fast(),
            Box::new(move |_: &mut Cycle<'_>| {
                let _process = &process;
                drop(given.try_recv());
            }),
        )
        .unwrap();
    give.send(stream).unwrap();
    wait_until(|| notes.all() == ["process dropped without the lock"]);
    // The device takes another format, so it has no streams.
    let other = StreamConfig { channels: 2, ..fast() };
    wait_until(|| backend.open_playback(&handle.lock(), sink, other, Box::new(|_: &mut Cycle<'_>| ())).is_ok());
}

#[test]
fn states_wait_for_the_loop_and_come_in_order() {
    let (mut thread_loop, handle) = running("states");
    thread_loop.stop().unwrap();
    let notes = Notes::default();
    let stream = play(&handle, |_| ());
    let noted = notes.clone();
    let listener = told(&handle, &notes, "listener");
    stream
        .subscribe(
            &handle.lock(),
            Box::new(move |_, state| {
                let _listener = &listener;
                noted.add(format!("{state:?}"))
            }),
        )
        .unwrap();
    let unheard = stream.subscribe(&handle.lock(), Box::new(|_, _| panic!("it was unsubscribed"))).unwrap();
    assert_eq!(stream.unsubscribe(&handle.lock(), unheard), Ok(true));
    assert_eq!(stream.unsubscribe(&handle.lock(), unheard), Ok(false));
    wait_until(|| stream.counters().cycles > 0);
    assert_eq!(stream.state(&handle.lock()), Ok(StreamState::Streaming));
    stream.close(&handle.lock()).unwrap();
    wait_until(|| stream.state(&handle.lock()) == Ok(StreamState::Closed));
    assert_eq!(notes.all().len(), 0);
    thread_loop.start().unwrap();
    wait_until(|| notes.all().len() == 3);
    assert_eq!(notes.all(), ["Streaming", "Closed", "listener dropped without the lock"]);
}

#[test]
fn listeners_that_go_with_their_object_are_dropped_without_the_lock() {
    let (_thread_loop, handle) = running("listeners-go");
    let notes = Notes::default();
    let (backend, sink, _) = sink(&handle);
    let guard = handle.lock();
    let stream = backend.open_playback(&guard, sink, fast(), Box::new(|_: &mut Cycle<'_>| ())).unwrap();
    for _ in 0..2 {
        let (of_stream, of_backend) = (told(&handle, &notes, "listener"), told(&handle, &notes, "listener"));
        stream.subscribe(&guard, Box::new(move |_, _| _ = &of_stream)).unwrap();
        backend.subscribe(&guard, Box::new(move |_, _| _ = &of_backend)).unwrap();
    }
    drop(guard);
    // Nobody is told of anything any more.
    handle.destroy().unwrap();
    let guard = handle.lock();
    drop((stream, backend));
    assert_eq!(notes.all().len(), 0);
    drop(guard);
    wait_until(|| notes.all().len() == 4);
    assert_eq!(notes.count("listener dropped without the lock"), 4, "{:?}", notes.all());
}

struct Panics;

impl Drop for Panics {
    fn drop(&mut self) {
        panic!("when dropped");
    }
}

#[test]
fn listeners_that_panic_when_they_are_dropped_do_not_end_the_data_path() {
    let (_thread_loop, handle) = running("listeners-panic");
    let notes = Notes::default();
    let (release, released) = mpsc::channel::<()>();
    let stream = play(&handle, move |_| _ = released.recv());
    wait_until(|| stream.state(&handle.lock()) == Ok(StreamState::Streaming));
    for _ in 0..2 {
        let (panics, noted) = (Panics, notes.clone());
        let listener = move |_: &mut LoopGuard<'_>, _: &StreamState| {
            let _panics = &panics;
            noted.add("told");
        };
        stream.subscribe(&handle.lock(), Box::new(listener)).unwrap();
    }
    // What was to be told was told, and the process goes on: what it leaves is let go on the data path.
    handle.invoke(FOR_EVER, |_| ()).unwrap();
    drop(stream);
    handle.request_destroy();
    drop(release);
    assert_eq!(handle.destroy(), Ok(Stopped::NotRunning));
    assert_eq!(handle.counters().panics, 2);
}

#[test]
fn listeners_that_panic_when_they_are_told_and_dropped_are_counted() {
    let (_thread_loop, handle) = running("listeners-told");
    let stream = play(&handle, |_| ());
    for _ in 0..2 {
        let panics = Panics;
        stream.subscribe(&handle.lock(), Box::new(move |_, _| _ = &panics)).unwrap();
    }
    let mut guard = handle.lock();
    stream.close(&guard).unwrap();
    guard.wait(FOR_EVER, |guard| stream.state(guard) == Ok(StreamState::Closed)).unwrap();
    drop(guard);
    wait_until(|| handle.counters().panics == 2);
    assert_eq!(handle.invoke(FOR_EVER, |guard| guard.depth()), Ok(1), "the loop goes on");
}

#[test]
fn what_a_process_panicked_with_is_dropped_on_the_data_path() {
    struct Stops(LoopHandle, mpsc::Sender<Result<Stopped, LoopError>>);
    impl Drop for Stops {
        fn drop(&mut self) {
            self.1.send(self.0.stop()).unwrap();
        }
    }
    let (_thread_loop, handle) = running("payload");
    let (said, says) = mpsc::channel();
    let within = handle.clone();
    let _stream = play(&handle, move |_| std::panic::resume_unwind(Box::new(Stops(within.clone(), said.clone()))));
    assert_eq!(says.recv_timeout(FOR_EVER), Ok(Ok(Stopped::Requested)), "the data path waits for nobody");
}

#[test]
fn a_process_that_panics_when_it_is_dropped_is_counted() {
    let (_thread_loop, handle) = running("process-drops");
    let panics = Panics;
    let stream = play(&handle, move |_| _ = &panics);
    let mut guard = handle.lock();
    stream.close(&guard).unwrap();
    guard.wait(FOR_EVER, |guard| stream.state(guard) == Ok(StreamState::Closed)).unwrap();
    assert_eq!(handle.counters().panics, 1);
}
