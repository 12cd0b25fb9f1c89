//! The endpoint on real threads: who is called where, what a lock is not held across, and what happens at the limits.

use sim::sync::{Arc, Mutex};
use sim::thread;
use sim::time::Duration;
use stack::endpoint::{
    AcquireError, Application, ApplicationMutex, CallEvent, CallHandle, CallState, Callback, CreateError, DialogError, DialogId,
    Endpoint, EndpointConfig, EnterError, Input, StaleCall, Turn, Usage,
};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Does in its callbacks what a test says.
struct Calls<F>(F);

impl<F: Fn(CallEvent, &mut Callback<'_>) + Send + Sync + 'static> Application for Calls<F> {
    fn on_call(&self, event: CallEvent, callback: &mut Callback<'_>) {
        (self.0)(event, callback);
    }

    fn send(&self, _dialog: &DialogId, _message: &[u8], _: &mut Callback<'_>) {}
}

fn endpoint(config: EndpointConfig, on_call: impl Fn(CallEvent, &mut Callback<'_>) + Send + Sync + 'static) -> Arc<Endpoint> {
    Arc::new(Endpoint::new(config, Calls(on_call)))
}

fn id(number: usize) -> DialogId {
    DialogId { call_id: number.to_string(), local_tag: "ours".to_owned(), remote_tag: "theirs".to_owned() }
}

fn make_call(endpoint: &Endpoint, number: usize) -> CallHandle {
    let mut root = endpoint.enter().unwrap();
    endpoint.make_call(&mut root, id(number), |_, _| ()).unwrap().0
}

const QUICK: EndpointConfig = EndpointConfig {
    calls_max: 4,
    usages_max: 2,
    waiters_max: 2,
    outbox_max: 2,
    requests_max: 2,
    acquire_deadline: Duration::from_millis(50),
};

#[test]
fn a_thread_enters_once_at_a_time() {
    let [one, other] = [(); 2].map(|()| endpoint(QUICK, |_, _| {}));
    let root = one.enter().unwrap();
    assert_eq!(one.enter().err(), Some(EnterError::Inside));
    assert_eq!(other.enter().err(), Some(EnterError::Inside), "the order goes across endpoints");
    let theirs = Arc::clone(&one);
    thread::spawn(move || assert!(theirs.enter().is_ok())).join().unwrap();
    drop(root);
    assert!(other.enter().is_ok());
}

#[test]
fn a_callback_is_called_with_no_lock_held_and_cannot_enter() {
    let own: Arc<Mutex<Option<Arc<Endpoint>>>> = Arc::default();
    let (theirs, told) = (Arc::clone(&own), Arc::new(Mutex::new(Vec::new())));
    let hears = Arc::clone(&told);
    let endpoint = endpoint(QUICK, move |event, _| {
        let endpoint = theirs.lock().clone().unwrap();
        hears.lock().push(event.state);
        assert_eq!(endpoint.enter().err(), Some(EnterError::Inside));
        // Another thread has everything that could be locked, while this one waits for it.
        thread::spawn(move || {
            let mut root = endpoint.enter().unwrap();
            let seen = endpoint.with_call(&mut root, event.call, |dialog, _| dialog.state());
            match event.state {
                CallState::Disconnected => assert!(matches!(seen, Err(AcquireError::Stale(_)))),
                state => assert_eq!(seen, Ok(state)),
            }
            assert_eq!(endpoint.dialogs(&mut root).0.ids().count(), usize::from(event.state != CallState::Disconnected));
        })
        .join()
        .unwrap();
    });
    *own.lock() = Some(Arc::clone(&endpoint));
    let call = make_call(&endpoint, 0);
    let mut root = endpoint.enter().unwrap();
    for state in [CallState::Early, CallState::Confirmed, CallState::Disconnected] {
        assert_eq!(endpoint.with_call(&mut root, call, |dialog, _| dialog.set_state(state)), Ok(Ok(())));
    }
    assert_eq!(*told.lock(), [CallState::Early, CallState::Confirmed, CallState::Disconnected]);
    assert_eq!(endpoint.calls(&mut root).0.counters().callback_panics, 0);
    own.lock().take();
}

#[test]
fn what_a_callback_asks_for_comes_after_it() {
    let told = Arc::new(ApplicationMutex::new(Vec::new()));
    let hears = Arc::clone(&told);
    let endpoint = endpoint(QUICK, move |event, callback| {
        hears.lock(callback.permit()).push((event.state, true));
        match event.state {
            CallState::Early => {
                let call = event.call;
                let confirms = callback.then(move |endpoint, root| {
                    let confirmed = endpoint.with_call(root, call, |dialog, _| dialog.set_state(CallState::Confirmed));
                    assert_eq!(confirmed, Ok(Ok(())));
                });
                assert_eq!((confirms, callback.hang_up(call)), (Ok(()), Ok(())));
                assert_eq!(callback.hang_up(call).unwrap_err().requests_max, 2);
            }
            CallState::Disconnected => assert_eq!(callback.hang_up(event.call), Ok(())),
            _ => {}
        }
        hears.lock(callback.permit()).push((event.state, false));
    });
    let call = make_call(&endpoint, 0);
    let mut root = endpoint.enter().unwrap();
    endpoint.with_call(&mut root, call, |dialog, _| dialog.set_state(CallState::Early)).unwrap().unwrap();
    let expected: Vec<(CallState, bool)> = [CallState::Early, CallState::Confirmed, CallState::Disconnected]
        .into_iter()
        .flat_map(|state| [(state, true), (state, false)])
        .collect();
    assert_eq!(*told.lock(&mut root), expected);
    let counters = endpoint.calls(&mut root).0.counters();
    assert_eq!((counters.ended, counters.stale, counters.callback_panics), (1, 1, 0));
}

/// Holds the dialog of `call` on another thread while `meanwhile` goes on.
fn while_held(endpoint: &Arc<Endpoint>, call: CallHandle, meanwhile: impl FnOnce()) {
    let (held, holds) = sim::sync::channel::bounded::<()>(1);
    let (done, ends) = sim::sync::channel::bounded::<()>(1);
    let theirs = Arc::clone(endpoint);
    let holder = thread::spawn(move || {
        let mut root = theirs.enter().unwrap();
        theirs
            .with_call(&mut root, call, |_, _| {
                held.send(()).unwrap();
                ends.recv().unwrap();
            })
            .unwrap();
    });
    holds.recv().unwrap();
    meanwhile();
    done.send(()).unwrap();
    holder.join().unwrap();
}

#[test]
fn a_dialog_that_is_not_had_in_time_is_an_error_and_others_are_had() {
    let endpoint = endpoint(QUICK, |_, _| {});
    let (call, other) = (make_call(&endpoint, 0), make_call(&endpoint, 1));
    while_held(&endpoint, call, || {
        let mut root = endpoint.enter().unwrap();
        let deadline = QUICK.acquire_deadline;
        assert_eq!(endpoint.hang_up(&mut root, call), Err(AcquireError::TimedOut { deadline }));
        assert_eq!(endpoint.hang_up(&mut root, other), Ok(true));
        assert_eq!(endpoint.close(&mut root), 1, "one that is not had is left");
    });
    let mut root = endpoint.enter().unwrap();
    assert_eq!(endpoint.close(&mut root), 0);
    let counters = endpoint.calls(&mut root).0.counters();
    assert_eq!((counters.not_acquired, counters.ended, counters.made), (2, 2, 2));
}

#[test]
fn so_many_may_want_a_dialog() {
    let endpoint = endpoint(EndpointConfig { waiters_max: 1, ..QUICK }, |_, _| {});
    let call = make_call(&endpoint, 0);
    while_held(&endpoint, call, || {
        let mut root = endpoint.enter().unwrap();
        assert_eq!(endpoint.hang_up(&mut root, call), Err(AcquireError::Crowded { waiters_max: 1 }));
    });
}

#[test]
fn calls_are_refused_at_the_limit_and_after_the_end() {
    let endpoint = endpoint(QUICK, |_, _| {});
    let calls: Vec<CallHandle> = (0..4).map(|number| make_call(&endpoint, number)).collect();
    let mut root = endpoint.enter().unwrap();
    let mut make = |number| endpoint.make_call(&mut root, id(number), |_, _| ()).map(|(call, ())| call);
    assert_eq!(make(0), Err(CreateError::Exists { id: id(0) }));
    assert_eq!(make(4), Err(CreateError::Full { calls_max: 4 }));
    assert_eq!(endpoint.hang_up(&mut root, calls[2]), Ok(true));
    let (again, ()) = endpoint.make_call(&mut root, id(2), |_, _| ()).unwrap();
    assert_eq!((again.slot(), again.generation()), (calls[2].slot(), 1));
    let stale = StaleCall { call: calls[2], generation: Some(1) };
    assert_eq!(endpoint.hang_up(&mut root, calls[2]), Err(AcquireError::Stale(stale)));
    let is_known = |root: &mut _, number| endpoint.dialogs(root).0.contains(&id(number));
    assert_eq!([0, 4].map(|number| is_known(&mut root, number)), [true, false]);
    assert_eq!(endpoint.close(&mut root), 0);
    assert_eq!(endpoint.make_call(&mut root, id(5), |_, _| ()).err(), Some(CreateError::Closed));
    for _ in 0..2 {
        assert_eq!(endpoint.with_dialog(&mut root, &id(0), |_, _| ()), Err(AcquireError::NoSuchDialog { id: id(0) }));
    }
    assert!(!is_known(&mut root, 0));
    let counters = endpoint.calls(&mut root).0.counters();
    assert_eq!((counters.made, counters.refused, counters.stale, counters.ended), (5, 3, 3, 5));
}

/// Ends with its first input; a message makes it panic.
struct Transaction(Arc<Mutex<Vec<&'static str>>>);

impl Usage for Transaction {
    fn on_input(&mut self, input: Input<'_>, _now: sim::time::Instant, turn: &mut Turn<'_>) {
        assert_eq!(input, Input::Timer(7), "a transaction that has no message");
        turn.end();
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        self.0.lock().push("dropped");
    }
}

#[test]
fn a_dialog_lives_until_its_last_usage_has_ended() {
    let endpoint = endpoint(QUICK, |_, _| {});
    let dropped: Arc<Mutex<Vec<&'static str>>> = Arc::default();
    for panics in [false, true] {
        let mut root = endpoint.enter().unwrap();
        let usage = || Transaction(Arc::clone(&dropped));
        let (call, usages) =
            endpoint.make_call(&mut root, id(0), |dialog, _| [(); 3].map(|()| dialog.add_usage(usage()))).unwrap();
        assert_eq!(usages[2], Err(DialogError::UsagesFull { usages_max: 2 }));
        let [first, second] = [0, 1].map(|usage| usages[usage].unwrap());
        assert_eq!(endpoint.hang_up(&mut root, call), Ok(true));
        let late = endpoint.with_call(&mut root, call, |dialog, _| (dialog.state(), dialog.usages(), dialog.hang_up()));
        assert_eq!(late, Ok((CallState::Disconnected, 2, false)));
        let input = if panics { Input::Message(b"") } else { Input::Timer(7) };
        let now = sim::time::Instant::now();
        let result = endpoint.with_call(&mut root, call, |dialog, _| dialog.input(first, input, now)).unwrap();
        assert_eq!(result, if panics { Err(DialogError::UsagePanicked) } else { Ok(()) });
        let twice = endpoint.with_call(&mut root, call, |dialog, _| dialog.input(first, input, now)).unwrap();
        assert_eq!(twice, Err(DialogError::NoSuchUsage));
        let ended = endpoint.with_call(&mut root, call, |dialog, _| dialog.end_usage(second)).unwrap();
        assert!(ended.is_some());
        drop(ended);
        assert!(matches!(endpoint.with_call(&mut root, call, |_, _| ()), Err(AcquireError::Stale(_))));
        assert_eq!(std::mem::take(&mut *dropped.lock()).len(), 3);
    }
}

/// Brings its call forward, as a response does to the dialog that it makes.
struct Answers(Vec<Result<(), DialogError>>);

impl Usage for Answers {
    fn on_input(&mut self, _: Input<'_>, _now: sim::time::Instant, turn: &mut Turn<'_>) {
        for state in [CallState::Early, CallState::Confirmed, CallState::Early] {
            self.0.push(turn.set_state(state));
        }
        let backward = DialogError::Backward { from: CallState::Confirmed, to: CallState::Early };
        assert_eq!((turn.state(), &self.0[..]), (CallState::Confirmed, &[Ok(()), Ok(()), Err(backward)][..]));
    }
}

#[test]
fn a_usage_brings_its_call_forward_and_the_application_is_told() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&told);
    let endpoint = endpoint(QUICK, move |event, _| hears.lock().push(event.state));
    let mut root = endpoint.enter().unwrap();
    let now = sim::time::Instant::now();
    let (_, answered) = endpoint
        .make_call(&mut root, id(0), |dialog, _| {
            let usage = dialog.add_usage(Answers(Vec::new())).unwrap();
            dialog.input(usage, Input::Message(b""), now)
        })
        .unwrap();
    assert_eq!(answered, Ok(()));
    assert_eq!(*told.lock(), [CallState::Early, CallState::Confirmed]);
}

#[test]
fn what_waits_to_be_told_has_a_limit_and_the_end_has_its_place() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&told);
    let endpoint = endpoint(QUICK, move |event, _| hears.lock().push(event.state));
    let call = make_call(&endpoint, 0);
    let mut root = endpoint.enter().unwrap();
    endpoint
        .with_call(&mut root, call, |dialog, _| {
            assert_eq!((dialog.send(vec![1]), dialog.set_state(CallState::Early)), (Ok(()), Ok(())));
            assert_eq!(dialog.set_state(CallState::Confirmed), Err(DialogError::OutboxFull { entries_max: 2 }));
            assert_eq!(dialog.state(), CallState::Early, "what is not told has not happened");
            assert!(dialog.hang_up());
        })
        .unwrap();
    assert_eq!(*told.lock(), [CallState::Early, CallState::Disconnected]);
}

#[test]
fn a_panic_leaves_no_lock_behind() {
    struct PanicsAgain;
    impl Drop for PanicsAgain {
        fn drop(&mut self) {
            panic!("the panic's value panics too");
        }
    }
    let endpoint = endpoint(QUICK, |event, _| match event.state {
        CallState::Early => panic!("the application panics"),
        CallState::Confirmed => std::panic::panic_any(PanicsAgain),
        _ => {}
    });
    let call = make_call(&endpoint, 0);
    let mut root = endpoint.enter().unwrap();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        endpoint.with_call(&mut root, call, |dialog, _| {
            dialog.set_state(CallState::Early).unwrap();
            panic!("the caller panics");
        })
    }));
    assert_eq!(panicked.err().and_then(|value| value.downcast_ref::<&str>().copied()), Some("the caller panics"));
    endpoint.with_call(&mut root, call, |dialog, _| dialog.set_state(CallState::Confirmed)).unwrap().unwrap();
    assert_eq!(endpoint.hang_up(&mut root, call), Ok(true));
    let counters = endpoint.calls(&mut root).0.counters();
    assert_eq!((counters.callback_panics, counters.ended), (2, 1));
    let made = catch_unwind(AssertUnwindSafe(|| endpoint.make_call(&mut root, id(1), |_, _| panic!("its maker panics"))));
    assert!(made.is_err());
    let counters = endpoint.calls(&mut root).0.counters();
    assert_eq!((counters.made, counters.ended), (2, 2), "a call whose maker panicked is hung up");
}

#[test]
fn calls_that_end_calls_take_no_stack() {
    const CALLS: usize = 20_000;
    let next: Arc<Mutex<Vec<CallHandle>>> = Arc::default();
    let left = Arc::clone(&next);
    let config = EndpointConfig { calls_max: CALLS, requests_max: 1, ..QUICK };
    let endpoint = endpoint(config, move |_, callback| {
        if let Some(call) = left.lock().pop() {
            assert_eq!(callback.hang_up(call), Ok(()));
            assert_eq!(callback.hang_up(call).unwrap_err().requests_max, 1);
        }
    });
    let calls: Vec<CallHandle> = (0..CALLS).map(|number| make_call(&endpoint, number)).collect();
    next.lock().extend(&calls[1..]);
    let mut root = endpoint.enter().unwrap();
    assert_eq!(endpoint.hang_up(&mut root, calls[0]), Ok(true));
    let counters = endpoint.calls(&mut root).0.counters();
    assert_eq!((counters.ended, counters.callback_panics), (CALLS as u64, 0));
}

#[test]
fn a_request_may_go_to_another_endpoint() {
    let other = Arc::new(Mutex::new(None::<Arc<Endpoint>>));
    let (theirs, told) = (Arc::clone(&other), Arc::new(Mutex::new(Vec::new())));
    let hears = Arc::clone(&told);
    let first = endpoint(QUICK, move |event, callback| {
        hears.lock().push("first");
        if event.state == CallState::Early {
            let theirs = theirs.lock().clone().unwrap();
            let asks = callback.then(move |_, root| {
                let call = theirs.calls(root).0.handles().next().unwrap();
                assert_eq!(theirs.hang_up(root, call), Ok(true));
            });
            assert_eq!((asks, callback.hang_up(event.call)), (Ok(()), Ok(())));
        }
    });
    let (own, hears) = (Arc::clone(&other), Arc::clone(&told));
    let second = endpoint(QUICK, move |_, callback| {
        let (own, hears) = (Arc::clone(&own), Arc::clone(&hears));
        callback
            .then(move |endpoint, root| {
                let is_own = own.lock().as_deref().is_some_and(|own| std::ptr::eq(own, endpoint));
                hears.lock().push(if is_own && endpoint.close(root) == 0 { "second" } else { "another" });
            })
            .unwrap();
    });
    *other.lock() = Some(Arc::clone(&second));
    let (call, _) = (make_call(&first, 0), make_call(&second, 0));
    let mut root = first.enter().unwrap();
    first.with_call(&mut root, call, |dialog, _| dialog.set_state(CallState::Early)).unwrap().unwrap();
    assert_eq!(*told.lock(), ["first", "second", "first"]);
    other.lock().take();
}

#[test]
fn requests_of_nested_callbacks_share_one_limit() {
    let refused = Arc::new(Mutex::new(Vec::new()));
    let (hears, calls) = (Arc::clone(&refused), Arc::new(Mutex::new(Vec::<CallHandle>::new())));
    let others = Arc::clone(&calls);
    let endpoint = endpoint(QUICK, move |event, callback| {
        // The first asks for two; while the first of those is done the second waits, so what is called meanwhile may ask for one.
        let asked = [0, 1].map(|_| match others.lock().pop() {
            Some(call) => callback.hang_up(call).is_ok(),
            None => callback.hang_up(event.call).is_ok(),
        });
        hears.lock().push(asked);
    });
    let made: Vec<CallHandle> = (0..3).map(|number| make_call(&endpoint, number)).collect();
    calls.lock().extend(&made[1..]);
    let mut root = endpoint.enter().unwrap();
    assert_eq!(endpoint.hang_up(&mut root, made[0]), Ok(true));
    assert_eq!(*refused.lock(), [[true, true], [true, false], [true, false]]);
}

/// Its drop looks whether its dialog can be had.
struct Looks {
    endpoint: Arc<Endpoint>,
    call: CallHandle,
    seen: Arc<Mutex<Vec<Result<(), AcquireError>>>>,
}

impl Usage for Looks {
    fn on_input(&mut self, input: Input<'_>, _now: sim::time::Instant, turn: &mut Turn<'_>) {
        assert_ne!(input, Input::Timer(1), "a usage that panics");
        turn.end();
    }
}

impl Drop for Looks {
    fn drop(&mut self) {
        let (endpoint, call) = (Arc::clone(&self.endpoint), self.call);
        let looks = thread::spawn(move || {
            let mut root = endpoint.enter().unwrap();
            endpoint.with_call(&mut root, call, |_, _| ())
        });
        self.seen.lock().push(looks.join().unwrap());
    }
}

#[test]
fn usages_are_dropped_without_the_lock_of_their_dialog() {
    let endpoint = endpoint(EndpointConfig { usages_max: 1, ..QUICK }, |_, _| {});
    let seen = Arc::default();
    let call = make_call(&endpoint, 0);
    let looks = || Looks { endpoint: Arc::clone(&endpoint), call, seen: Arc::clone(&seen) };
    let mut root = endpoint.enter().unwrap();
    let now = sim::time::Instant::now();
    for how in 0..3 {
        let add = |with: Looks, root: &mut _| endpoint.with_call(root, call, |dialog, _| dialog.add_usage(with)).unwrap();
        let usage = add(looks(), &mut *root).unwrap();
        match how {
            0 => assert_eq!(add(looks(), &mut *root), Err(DialogError::UsagesFull { usages_max: 1 })),
            _ => {
                let input = Input::Timer(how - 1);
                let given = endpoint.with_call(&mut root, call, |dialog, _| dialog.input(usage, input, now)).unwrap();
                assert_eq!(given, if how == 1 { Ok(()) } else { Err(DialogError::UsagePanicked) });
                continue;
            }
        }
        drop(endpoint.with_call(&mut root, call, |dialog, _| dialog.end_usage(usage)).unwrap());
    }
    let seen: Vec<Result<(), AcquireError>> = std::mem::take(&mut *seen.lock());
    assert_eq!(seen[..3], [Ok(()), Ok(()), Ok(())], "refused, given back, ended");
    assert!(matches!(seen[3..], [Err(AcquireError::Stale(_))]), "the panic ended the call: {seen:?}");
}

/// A usage whose drop panics.
struct PanicsAtItsEnd;

impl Usage for PanicsAtItsEnd {
    fn on_input(&mut self, _input: Input<'_>, _now: sim::time::Instant, turn: &mut Turn<'_>) {
        turn.end();
    }
}

impl Drop for PanicsAtItsEnd {
    fn drop(&mut self) {
        panic!("a usage panics at its end");
    }
}

#[test]
fn each_drop_that_panics_is_one_panic() {
    let endpoint = endpoint(EndpointConfig { usages_max: 0, ..QUICK }, |_, _| {});
    let call = make_call(&endpoint, 0);
    let mut root = endpoint.enter().unwrap();
    let refused = endpoint.with_call(&mut root, call, |dialog, _| [(); 3].map(|()| dialog.add_usage(PanicsAtItsEnd)));
    assert_eq!(refused, Ok([Err(DialogError::UsagesFull { usages_max: 0 }); 3]));
    assert_eq!(endpoint.calls(&mut root).0.counters().callback_panics, 3);
}

#[test]
fn what_a_dialog_leaves_is_dropped_though_a_callback_of_it_goes_on() {
    let (called, calls) = sim::sync::channel::bounded::<()>(1);
    let (done, ends) = sim::sync::channel::bounded::<()>(1);
    let ends = Mutex::new(ends);
    let endpoint = endpoint(EndpointConfig { usages_max: 0, ..QUICK }, move |event, _| {
        if event.state == CallState::Early {
            called.send(()).unwrap();
            ends.lock().recv().unwrap();
        }
    });
    let call = make_call(&endpoint, 0);
    let theirs = Arc::clone(&endpoint);
    let in_callback = thread::spawn(move || {
        let mut root = theirs.enter().unwrap();
        theirs.with_call(&mut root, call, |dialog, _| dialog.set_state(CallState::Early)).unwrap()
    });
    calls.recv().unwrap();
    let dropped: Arc<Mutex<Vec<&'static str>>> = Arc::default();
    let mut root = endpoint.enter().unwrap();
    for count in 1..100 {
        let usage = Transaction(Arc::clone(&dropped));
        endpoint.with_call(&mut root, call, |dialog, _| dialog.add_usage(usage)).unwrap().unwrap_err();
        assert_eq!(dropped.lock().len(), count, "there would be as many as come while the callback goes on");
    }
    done.send(()).unwrap();
    assert_eq!(in_callback.join().unwrap(), Ok(()));
}

#[test]
fn a_handle_is_no_call_of_another_endpoint() {
    let [one, other] = [(); 2].map(|()| endpoint(QUICK, |_, _| {}));
    let (call, others) = (make_call(&one, 0), make_call(&other, 0));
    assert_ne!(call, others);
    let mut root = one.enter().unwrap();
    assert_eq!(other.hang_up(&mut root, call), Err(AcquireError::Stale(StaleCall { call, generation: None })));
    assert_eq!(other.hang_up(&mut root, others), Ok(true));
    assert_eq!(one.hang_up(&mut root, call), Ok(true));
}

#[test]
fn all_calls_together_are_waited_for_as_one_is() {
    let deadline = Duration::from_millis(400);
    let endpoint = endpoint(EndpointConfig { acquire_deadline: deadline, ..QUICK }, |_, _| {});
    let calls: Vec<CallHandle> = (0..4).map(|number| make_call(&endpoint, number)).collect();
    let closes = || {
        let mut root = endpoint.enter().unwrap();
        let began = sim::time::Instant::now();
        assert_eq!(endpoint.close(&mut root), 3, "the last one is not held");
        let took = began.elapsed();
        assert!((deadline..2 * deadline).contains(&took), "{took:?}");
    };
    while_held(&endpoint, calls[0], || while_held(&endpoint, calls[1], || while_held(&endpoint, calls[2], closes)));
}

#[test]
fn who_waits_without_end_has_it_some_time() {
    let endpoint = endpoint(EndpointConfig { acquire_deadline: Duration::MAX, ..QUICK }, |_, _| {});
    let call = make_call(&endpoint, 0);
    let mut other = None;
    while_held(&endpoint, call, || {
        let endpoint = Arc::clone(&endpoint);
        other = Some(thread::spawn(move || {
            let mut root = endpoint.enter().unwrap();
            endpoint.hang_up(&mut root, call)
        }));
        sim::time::sleep(Duration::from_millis(20));
    });
    assert_eq!(other.unwrap().join().unwrap(), Ok(true));
}

#[test]
fn a_usage_is_none_of_another_dialog() {
    let endpoint = endpoint(QUICK, |_, _| {});
    let dropped: Arc<Mutex<Vec<&'static str>>> = Arc::default();
    let calls = [make_call(&endpoint, 0), make_call(&endpoint, 1)];
    let mut root = endpoint.enter().unwrap();
    let usages = calls.map(|call| {
        let usage = Transaction(Arc::clone(&dropped));
        endpoint.with_call(&mut root, call, |dialog, _| dialog.add_usage(usage)).unwrap().unwrap()
    });
    let now = sim::time::Instant::now();
    let given = endpoint.with_call(&mut root, calls[0], |dialog, _| {
        (dialog.input(usages[1], Input::Timer(7), now), dialog.end_usage(usages[1]).is_none(), dialog.usages())
    });
    assert_eq!(given, Ok((Err(DialogError::NoSuchUsage), true, 1)));
    assert!(dropped.lock().is_empty());
}

#[test]
fn events_of_a_call_come_one_at_a_time_and_in_order() {
    let (called, calls) = sim::sync::channel::bounded::<()>(1);
    let (done, ends) = sim::sync::channel::bounded::<()>(1);
    let (ends, told) = (Mutex::new(ends), Arc::new(Mutex::new(Vec::new())));
    let hears = Arc::clone(&told);
    let endpoint = endpoint(QUICK, move |event, _| {
        if event.state == CallState::Early {
            called.send(()).unwrap();
            ends.lock().recv().unwrap();
        }
        hears.lock().push(event.state);
    });
    let call = make_call(&endpoint, 0);
    let theirs = Arc::clone(&endpoint);
    let in_callback = thread::spawn(move || {
        let mut root = theirs.enter().unwrap();
        theirs.with_call(&mut root, call, |dialog, _| dialog.set_state(CallState::Early)).unwrap()
    });
    calls.recv().unwrap();
    assert_eq!(endpoint.hang_up(&mut endpoint.enter().unwrap(), call), Ok(true), "the other callback has no lock");
    assert!(told.lock().is_empty(), "one at a time, so the one that goes on is followed by this, on its thread");
    done.send(()).unwrap();
    assert_eq!(in_callback.join().unwrap(), Ok(()));
    assert_eq!(*told.lock(), [CallState::Early, CallState::Disconnected]);
}

/// A usage that keeps what its turn shows.
struct Shown(Arc<Mutex<String>>);

impl Usage for Shown {
    fn on_input(&mut self, _: Input<'_>, _: sim::time::Instant, turn: &mut Turn<'_>) {
        turn.send(b"secret".to_vec()).unwrap();
        *self.0.lock() = format!("{turn:?}");
    }
}

#[test]
fn what_is_shown_are_names_states_and_numbers_and_no_message() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&told);
    let endpoint = endpoint(QUICK, move |event, callback| {
        callback.hang_up(event.call).unwrap();
        hears.lock().push((format!("{callback:?}"), format!("{:?}", callback.permit())));
    });
    let mut root = endpoint.enter().unwrap();
    for number in 0..3 {
        let shown = format!("Endpoint {{ config: {QUICK:?}, calls: {number}, .. }}");
        assert_eq!(format!("{endpoint:?}"), shown);
        let (call, shown) = endpoint.make_call(&mut root, id(number), |dialog, _| format!("{dialog:?}")).unwrap();
        assert_eq!((call.to_string(), format!("{call:?}")), (format!("{number}.0"), format!("CallHandle({number}.0)")));
        assert_eq!(shown, format!("Dialog {{ call: CallHandle({number}.0), state: Calling, usages: 0, .. }}"));
        assert_eq!(id(number).to_string(), format!("{number};local=ours;remote=theirs"));
    }
    assert_eq!(format!("{:?}", endpoint.calls(&mut root).0), "{CallHandle(0.0), CallHandle(1.0), CallHandle(2.0)}");
    assert_eq!(format!("{:?}", endpoint.dialogs(&mut root).0), format!("{{{:?}, {:?}, {:?}}}", id(0), id(1), id(2)));
    assert!(format!("{root:?}").starts_with("Entered { permit: Permit<") && format!("{root:?}").contains("level::Root"));
    let shown: Arc<Mutex<String>> = Arc::default();
    let theirs = Shown(Arc::clone(&shown));
    let dialog = endpoint.with_dialog(&mut root, &id(1), |dialog, _| {
        let usage = dialog.add_usage(theirs).unwrap();
        dialog.input(usage, Input::Timer(0), sim::time::Instant::now()).unwrap();
        format!("{dialog:?}")
    });
    assert_eq!(dialog.unwrap(), "Dialog { call: CallHandle(1.0), state: Calling, usages: 1, .. }");
    let outbox = "Outbox { entries: 1, delivering: false, .. }";
    let turn = format!("Turn {{ outbox: {outbox}, call: CallHandle(1.0), state: Calling, ended: false }}");
    assert_eq!(*shown.lock(), turn);
    endpoint.with_dialog(&mut root, &id(0), |dialog, _| dialog.set_state(CallState::Early)).unwrap().unwrap();
    let told = told.lock();
    assert_eq!(told.len(), 2, "early, and hung up");
    for (callback, permit) in &*told {
        assert_eq!(callback, "Callback { requests: 1, .. }");
        assert!(permit.starts_with("Permit<") && permit.ends_with("level::Endpoint>"), "{permit}");
    }
}
