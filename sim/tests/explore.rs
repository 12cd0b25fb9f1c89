//! Exploring, replaying and shrinking.

#![cfg(all(feature = "loom", feature = "shuttle"))]

use sim::choice::Kind;
use sim::explore::{Check, ReplayError};
use sim::sync::asynchronous::{self, Notify};
use sim::sync::atomic::{AtomicU32, Ordering};
use sim::sync::{Arc, Condvar, Mutex};
use sim::time::{self, Duration};
use sim::token::{RunId, Token};
use sim::verdict::{Detector, Verdict};
use sim::{Bounds, Detectors, Engine, StrategyName, thread};
use std::process::Command;

/// Two workers, a timed wait, and a sleep: choices of several kinds.
fn busy() {
    let pair = Arc::new((Mutex::new(0), Condvar::new()));
    let workers: Vec<_> = (0..2)
        .map(|_| {
            let pair = Arc::clone(&pair);
            thread::spawn(move || {
                *pair.0.lock() += 1;
                time::sleep(Duration::from_millis(5));
                pair.1.notify_one();
            })
        })
        .collect();
    let mut count = pair.0.lock();
    while *count < 2 {
        pair.1.wait_for(&mut count, Duration::from_millis(3));
    }
    drop(count);
    let _ = sim::choose(3);
    workers.into_iter().for_each(|worker| worker.join().unwrap());
}

fn abba() {
    let locks = Arc::new((Mutex::new(()), Mutex::new(())));
    let theirs = Arc::clone(&locks);
    let other = thread::spawn(move || {
        let _second = theirs.1.lock();
        let _first = theirs.0.lock();
    });
    {
        let _first = locks.0.lock();
        let _second = locks.1.lock();
    }
    other.join().unwrap();
}

#[test]
fn changing_any_one_choice_changes_the_trace_hash() {
    let check = Check::new("flip", "busy", Engine::Shuttle);
    let mut flipped = 0;
    for seed in 0..20u64 {
        // Some run that is not all dull.
        let deviations: Vec<(u64, u64)> = (0..6).map(|n| (n * 5 + seed % 5, 1)).collect();
        let base = check.replay_deviations(&deviations, busy).unwrap();
        let answers: Vec<(u64, u64)> = base.choices.iter().map(|choice| (choice.arity, choice.value)).collect();
        for (place, &(arity, value)) in answers.iter().enumerate() {
            for other in (0..arity).filter(|other| *other != value) {
                let mut changed: Vec<(u64, u64)> =
                    (0u64..).zip(&answers).map(|(place, (_, value))| (place, *value)).filter(|(_, value)| *value != 0).collect();
                changed.retain(|(at, _)| *at != place as u64);
                if other != 0 {
                    changed.push((place as u64, other));
                    changed.sort_unstable();
                }
                let run = check.replay_deviations(&changed, busy).unwrap();
                let what = format!("choice {place} from {value} to {other} of {deviations:?}");
                assert_ne!(run.trace_hash, base.trace_hash, "{what}");
                // The hash covers the answers themselves; the steps must differ too, but for an input that the body does not use.
                if base.choices[place].kind != Kind::Input {
                    assert_ne!(run.trace, base.trace, "{what}");
                }
                flipped += 1;
            }
        }
        let again = check.replay_deviations(&deviations, busy).unwrap();
        assert_eq!((again.trace_hash, again.choices), (base.trace_hash, base.choices), "the same choices are the same run");
    }
    assert!(flipped > 200, "{flipped} choices were changed");
}

#[test]
fn every_strategy_finds_it_and_its_token_replays() {
    for strategy in StrategyName::ALL {
        for seed in 0..10 {
            let check = Check::new("abba", "two", Engine::Shuttle).strategy(strategy).seed(seed);
            let report = check.run(abba);
            assert_eq!(report.verdict.detector(), Some(Detector::Deadlock), "{strategy} {seed}");
            let token = report.token.expect("what was caught has a token");
            let replay = check.replay(&token.to_string().parse().unwrap(), true, abba).unwrap();
            assert_eq!(replay.verdict, report.verdict);
            assert_eq!(Some(replay.trace_hash), report.trace_hash);
            assert_eq!(replay.schedules, 1);
            assert!(!replay.trace.unwrap().events.is_empty());
            let RunId::Choices { deviations, .. } = &token.run else { panic!("{token}") };
            assert!(deviations.len() <= 2, "{strategy} {seed}: {token}");
        }
    }
}

#[test]
fn the_same_seed_is_the_same_exploration() {
    for strategy in StrategyName::ALL {
        let run = || Check::new("abba", "two", Engine::Shuttle).strategy(strategy).seed(5).shrink(false).run(abba);
        let (first, second) = (run(), run());
        assert_eq!((first.schedules, first.trace_hash), (second.schedules, second.trace_hash), "{strategy}");
    }
}

#[test]
fn loom_replays_its_iteration() {
    let check = Check::new("abba", "two", Engine::Loom).bounds(Bounds { preemptions: None, firings: 2, ..Bounds::default() });
    let report = check.run(abba);
    let token = report.token.unwrap();
    let replay = check.replay(&token, true, abba).unwrap();
    assert_eq!((replay.verdict, Some(replay.trace_hash)), (report.verdict, report.trace_hash));
    assert_eq!(replay.schedules, report.schedules);
}

#[test]
fn a_token_of_code_that_has_changed_says_so() {
    for engine in [Engine::Shuttle, Engine::Loom] {
        let check = Check::new("abba", "two", engine);
        let token: Token = check.run(abba).token.unwrap();
        let changed = check.replay(&token, false, || {
            drop(Mutex::new(()).lock());
            busy();
        });
        assert!(matches!(changed, Err(ReplayError::Changed { .. })), "{engine}: {changed:?}");
    }
}

#[test]
fn dfs_has_every_schedule_within_its_bounds() {
    for preemptions in [Some(0), Some(1), None] {
        let bounds = Bounds { preemptions, firings: 1, ..Bounds::default() };
        let report = Check::new("two", "adders", Engine::Shuttle).strategy(StrategyName::Dfs).bounds(bounds).run(|| {
            let count = Arc::new(Mutex::new(0));
            let theirs = Arc::clone(&count);
            let other = thread::spawn(move || *theirs.lock() += 1);
            *count.lock() += 1;
            other.join().unwrap();
        });
        assert!(report.exhaustive && report.verdict == Verdict::Clean);
        assert_eq!(report.bounds, Some(bounds));
    }
}

#[test]
fn a_budget_that_ended_is_never_called_clean() {
    let short = Check::new("busy", "body", Engine::Shuttle).schedules(u64::MAX).budget(Duration::from_millis(50)).run(busy);
    assert_eq!(short.verdict.name(), "inconclusive", "{}", short.verdict);
    let loom = Check::new("busy", "body", Engine::Loom).bounds(Bounds { preemptions: None, firings: 2, ..Bounds::default() });
    let short = loom.budget(Duration::from_millis(50)).run(busy);
    assert_eq!((short.verdict.name(), short.exhaustive), ("inconclusive", false), "{}", short.verdict);
}

#[test]
fn what_lives_longer_than_its_run_is_an_error_that_says_so() {
    static LEFT: std::sync::Mutex<Option<Arc<Mutex<u32>>>> = std::sync::Mutex::new(None);
    let report = Check::new("static", "lock", Engine::Shuttle).run(|| {
        let left = LEFT.lock().unwrap().take();
        if let Some(left) = left {
            *left.lock() += 1;
        }
        *LEFT.lock().unwrap() = Some(Arc::new(Mutex::new(0)));
    });
    let Verdict::Caught(finding) = &report.verdict else { panic!("{}", report.verdict) };
    assert!(finding.detector == Detector::Panic && finding.reason.contains("a static outlives its run"), "{finding}");
}

#[test]
fn detectors_can_be_off() {
    let race = || {
        let cell = Arc::new(sim::cell::CheckedCell::new(0));
        let theirs = Arc::clone(&cell);
        let other = thread::spawn(move || theirs.set(1));
        cell.set(2);
        other.join().unwrap();
    };
    let check = Check::new("race", "cell", Engine::Shuttle);
    assert_eq!(check.run(race).verdict.detector(), Some(Detector::Race));
    assert_eq!(check.detectors(Detectors::OFF).run(race).verdict, Verdict::Clean);
}

#[test]
fn a_tokens_choices_that_are_too_many_go_to_a_file() {
    let folder = std::env::temp_dir().join(format!("glare-choices-{}", std::process::id()));
    let deviations = (0..500).map(|n| (n * 3, 2)).collect();
    let token =
        Token { exhibit: "e".into(), subject: "s".into(), engine: Engine::Shuttle, run: RunId::Choices { shape: 7, deviations } };
    let line = token.in_a_line(&folder).unwrap();
    assert!(line.fits_a_line() && matches!(line.run, RunId::Digest(_)));
    let read: Token = line.to_string().parse().unwrap();
    assert_eq!(read.clone().resolve(&folder), Ok(token));
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(read.resolve(&folder).is_err());
}

/// Fails by itself only where the next test runs it so.
#[test]
fn a_model_that_fails_where_asked() {
    if std::env::var_os("GLARE_TEST_MODEL_FAILS").is_some() {
        sim::model(abba);
    }
}

#[test]
fn a_model_prints_a_token_that_replays_just_that_run() {
    let run = |replay: Option<&str>| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "a_model_that_fails_where_asked", "--nocapture"]).env("GLARE_TEST_MODEL_FAILS", "1");
        command.env_remove("GLARE_REPLAY");
        if let Some(token) = replay {
            command.env("GLARE_REPLAY", token);
        }
        let output = command.output().unwrap();
        assert!(!output.status.success(), "it fails");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let text = run(None);
    let token = text.split("GLARE_REPLAY='").nth(1).and_then(|rest| rest.split('\'').next());
    let token = token.unwrap_or_else(|| panic!("no token in {text}"));
    assert!(text.contains("deadlock"), "{text}");
    let again = run(Some(token));
    assert!(again.contains("deadlock") && again.contains(&format!("replayed {token}")), "{again}");
    let others = Token { exhibit: "another".to_owned(), ..token.parse().unwrap() };
    let others = run(Some(&others.to_string()));
    assert!(others.contains("GLARE_REPLAY is of `another`") && others.contains("deadlock"), "{others}");
    let damaged = run(Some(&token.replace("glare1", "glare9")));
    assert!(damaged.contains("expected a token of version glare1"), "{damaged}");
}

/// Two locks whose orders a condition keeps apart, and two that nothing keeps apart.
fn innocent_and_guilty() {
    let cross = |first: &Mutex<()>, second: &Mutex<()>| {
        let _first = first.lock();
        let _second = second.lock();
    };
    let innocent = Arc::new((Mutex::new(()), Mutex::new(()), Mutex::new(false), Condvar::new()));
    let theirs = Arc::clone(&innocent);
    let other = thread::spawn(move || {
        let mut over = theirs.2.lock();
        while !*over {
            theirs.3.wait(&mut over);
        }
        drop(over);
        cross(&theirs.1, &theirs.0);
    });
    cross(&innocent.0, &innocent.1);
    *innocent.2.lock() = true;
    innocent.3.notify_one();
    other.join().unwrap();
    let guilty = Arc::new((Mutex::new(()), Mutex::new(()), Mutex::new(false)));
    let theirs = Arc::clone(&guilty);
    let other = thread::spawn(move || {
        if *theirs.2.lock() {
            cross(&theirs.1, &theirs.0);
        }
    });
    cross(&guilty.0, &guilty.1);
    *guilty.2.lock() = true;
    other.join().unwrap();
}

#[test]
fn an_innocent_potential_deadlock_hides_no_guilty_one() {
    let mut innocent_first = 0;
    for seed in 0..40 {
        let check = Check::new("potential", "two", Engine::Shuttle).schedules(200).seed(seed);
        let report = check.run(innocent_and_guilty);
        assert_eq!(report.verdict.detector(), Some(Detector::PotentialDeadlock), "seed {seed}: {}", report.verdict);
        let replay = check.replay(&report.token.unwrap(), false, innocent_and_guilty).unwrap();
        assert_eq!(replay.verdict.detector(), Some(Detector::PotentialDeadlock), "seed {seed}");
        innocent_first += u32::from(check.clone().schedules(1).run(innocent_and_guilty).verdict.detector().is_some());
    }
    assert!(innocent_first > 0, "in some first run the condition is not known yet");
    let report = Check::new("potential", "two", Engine::Loom)
        .bounds(Bounds { preemptions: Some(1), firings: 0, ..Bounds::default() })
        .run(innocent_and_guilty);
    assert_eq!(report.verdict.detector(), Some(Detector::PotentialDeadlock), "{}", report.verdict);
}

#[test]
fn loom_has_every_use_after_the_release_though_others_use_it_in_between() {
    // Who releases uses it first, which is the last that loom remembers of it.
    let report = Check::new("uses", "three", Engine::Loom).run(|| {
        let resource = sim::ledger::register("session");
        let (sender, receiver) = sim::sync::channel::bounded(1);
        let user = thread::spawn(move || {
            sender.send(()).unwrap();
            sim::ledger::touch(resource);
        });
        receiver.recv().unwrap();
        sim::ledger::touch(resource);
        sim::ledger::release(resource);
        user.join().unwrap();
    });
    assert_eq!(report.verdict.detector(), Some(Detector::UseAfterRelease));
}

/// One waits for room with a lock that the other wants before it makes room; `holds` says whether it still has it by then.
fn full(holds: bool) {
    let (sender, receiver) = sim::sync::channel::bounded(1);
    let registry = Arc::new(Mutex::new(()));
    let theirs = Arc::clone(&registry);
    let drainer = thread::spawn(move || {
        while receiver.recv() == Ok(true) {
            drop(theirs.lock());
        }
    });
    for _ in 0..3 {
        let held = registry.lock();
        let _held = holds.then_some(held);
        sender.send(true).unwrap();
    }
    sender.send(false).unwrap();
    drainer.join().unwrap();
}

#[test]
fn who_holds_a_lock_and_waits_for_a_condition_of_who_wants_it_is_in_a_deadlock() {
    for engine in [Engine::Loom, Engine::Shuttle] {
        let report = Check::new("full", "holds", engine).run(|| full(true));
        assert_eq!(report.verdict.detector(), Some(Detector::Deadlock), "{engine}");
        let report = Check::new("full", "gives back", engine).schedules(Some(2_000)).run(|| full(false));
        assert_eq!(report.verdict, Verdict::Clean, "{engine}");
    }
}

#[test]
fn a_wake_up_is_lost_where_nobody_wants_a_lock_of_who_waits() {
    for engine in [Engine::Loom, Engine::Shuttle] {
        let report = Check::new("lost", "two", engine).run(|| {
            let pair = Arc::new((Mutex::new(()), Condvar::new()));
            let theirs = Arc::clone(&pair);
            let waiter = thread::spawn(move || theirs.1.wait(&mut theirs.0.lock()));
            pair.1.notify_one();
            waiter.join().unwrap();
        });
        assert_eq!(report.verdict.detector(), Some(Detector::LostWakeup), "{engine}");
    }
}

#[test]
fn without_firings_a_timed_wait_ends_by_its_time_only_where_nothing_else_can_run() {
    let body = || {
        let pair = Arc::new((Mutex::new(false), Condvar::new()));
        let theirs = Arc::clone(&pair);
        let other = thread::spawn(move || {
            *theirs.0.lock() = true;
            theirs.1.notify_one();
        });
        let mut told = pair.0.lock();
        while !*told {
            let waited = pair.1.wait_for(&mut told, Duration::from_millis(1));
            assert!(!waited.timed_out());
        }
        drop(told);
        // Nobody is left who could end this one.
        let gone = other.join();
        assert!(gone.is_ok() && pair.1.wait_for(&mut pair.0.lock(), Duration::from_millis(1)).timed_out());
    };
    let check = |firings| Check::new("firings", "one", Engine::Loom).bounds(Bounds { firings, ..Bounds::default() }).run(body);
    assert_eq!(check(0).verdict, Verdict::Clean);
    assert_eq!(check(1).verdict.detector(), Some(Detector::Panic));
}

#[test]
fn several_cores_find_what_one_finds() {
    let found = |jobs, body: fn()| {
        let check = Check::new("jobs", "body", Engine::Shuttle).strategy(StrategyName::Random).schedules(5_000);
        let report = check.jobs(jobs).run(body);
        assert!(report.token.is_some(), "{}", report.verdict);
        (report.schedules, report.token, report.trace_hash)
    };
    let rare: fn() = || sim::invariant!(sim::rand::below(700) != 37, "one of the numbers");
    // In one of so many runs two locks are taken in both orders, never at once.
    let potential: fn() = || {
        let (a, b) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(0)));
        let done = Arc::new(Mutex::new(false));
        let theirs = (Arc::clone(&a), Arc::clone(&b), Arc::clone(&done));
        let other = thread::spawn(move || {
            if *theirs.2.lock() && sim::rand::below(100) == 37 {
                let _b = theirs.1.lock();
                let _a = theirs.0.lock();
            }
        });
        {
            let _a = a.lock();
            let _b = b.lock();
        }
        *done.lock() = true;
        other.join().unwrap();
    };
    for body in [rare, potential] {
        let alone = found(1, body);
        for jobs in 2..5 {
            assert_eq!(found(jobs, body), alone, "{jobs} jobs");
        }
    }
}

#[test]
fn a_foreign_thread_is_told_what_it_lacks() {
    let report = Check::new("foreign_thread", "body", Engine::Shuttle).schedules(1).run(|| {
        let lock = Arc::new(Mutex::new(()));
        let payload = std::thread::spawn(move || drop(lock.lock())).join().unwrap_err();
        let message = payload.downcast_ref::<String>().map(String::as_str).or(payload.downcast_ref::<&str>().copied());
        sim::invariant!(message.is_some_and(|message| message.contains("`sim::thread::spawn`")), "it says what to use");
    });
    assert_eq!(report.verdict, Verdict::Clean, "{}", report.verdict);
}

#[test]
fn what_was_made_outside_of_the_run_is_refused() {
    let told = |engine, used: fn(&Primitives)| {
        let primitives = Arc::new(Primitives::default());
        Check::new("outside", "body", engine).schedules(1).run(move || used(&primitives)).verdict
    };
    let uses: [fn(&Primitives); 5] = [
        |of| drop(of.lock.lock()),
        |of| drop(of.lock.try_lock()),
        |of| _ = of.atomic.load(Ordering::Relaxed),
        |of| of.notify.notify_one(),
        |of| drop(of.async_lock.try_lock()),
    ];
    for used in uses {
        for engine in [Engine::Shuttle, Engine::Loom] {
            let told = told(engine, used).to_string();
            assert!(told.contains("outside of the run") && told.contains("used at tests/explore.rs"), "{engine}: {told}");
        }
        // For real there is no run.
        let verdict = told(Engine::Real, used);
        assert_eq!(verdict, Verdict::Clean, "{verdict}");
    }
    let awaited = told(Engine::Shuttle, |of| drop(sim::task::block_on(of.async_lock.lock()))).to_string();
    assert!(awaited.contains("outside of the run"), "{awaited}");
}

/// What a user may make in a static, or in a test around its body.
struct Primitives {
    lock: Mutex<()>,
    atomic: AtomicU32,
    notify: Notify,
    async_lock: asynchronous::Mutex<()>,
}

impl Default for Primitives {
    fn default() -> Self {
        Primitives {
            lock: Mutex::new(()),
            atomic: AtomicU32::new(0),
            notify: Notify::new(),
            async_lock: asynchronous::Mutex::new(()),
        }
    }
}

/// Two threads that each write twice, and one at a time.
fn turns() {
    let number = Arc::new(Mutex::new(0));
    let theirs = Arc::clone(&number);
    let other = thread::spawn(move || (0..2).for_each(|_| *theirs.lock() += 1));
    (0..2).for_each(|_| *number.lock() += 1);
    other.join().unwrap();
}

#[test]
fn bytes_are_told_the_order_of_steps_on_what_threads_share() {
    let check = Check::new("orders", "turns", Engine::Shuttle);
    let orders = |bytes: &[u8]| check.run_bytes(bytes, turns).orders.expect("it is told").counts().to_vec();
    let mut seen = std::collections::BTreeSet::new();
    for first in 0..8 {
        for second in 0..4 {
            let bytes: Vec<u8> = (0..8).map(|place| u8::from(place == first || place == second)).collect();
            assert_eq!(orders(&bytes), orders(&bytes));
            seen.insert(orders(&bytes));
        }
    }
    assert!(seen.len() > 3, "{}", seen.len());
    let alone = check.run_bytes(&[1; 9], || (0..5).for_each(|_| *Arc::new(Mutex::new(0)).lock() += 1));
    assert!(alone.orders.expect("it is told").counts().iter().all(|count| *count == 0));
    // Who comes first matters, and not who that is.
    let dull = orders(&[]);
    assert!(dull.iter().any(|count| *count != 0) && !seen.iter().all(|seen| *seen == dull));
    assert!(check.run(turns).orders.is_none(), "nobody else pays for it");
}

#[test]
fn a_token_is_shrunk_as_what_was_just_found_is() {
    for engine in [Engine::Shuttle, Engine::Loom] {
        let check = Check::new("abba", "two", engine)
            .strategy(StrategyName::Random)
            .detectors(Detectors { lock_order: false, ..Detectors::ON });
        let as_found = check.clone().shrink(false).run(abba);
        let (token, again) = (as_found.token.unwrap(), check.run(abba));
        let shrunk = check.shrink_token(&token, abba).unwrap();
        assert_eq!((shrunk.verdict.detector(), shrunk.preemptions), (Some(Detector::Deadlock), Some(1)), "{engine}");
        assert_eq!((shrunk.token, shrunk.verdict), (again.token, again.verdict), "{engine}");
    }
    let check = Check::new("abba", "two", Engine::Shuttle).detectors(Detectors { lock_order: false, ..Detectors::ON });
    assert_eq!(check.run_deviations(&[], abba).unwrap().verdict, Verdict::Clean);
}

#[test]
fn what_runs_as_in_production_is_caught_when_it_panics() {
    fn body() {
        let n = sim::choose(10);
        sim::in_production(|| {
            // It outlives no run, and nobody registers it with one.
            let number = Mutex::new(0);
            *number.lock() += n;
            let _left = sim::ledger::register("left");
            assert!(*number.lock() < 7, "too large");
        });
        assert_eq!(sim::current_engine(), Engine::Cases);
    }
    let report = Check::new("production", "body", Engine::Cases).run(body);
    assert_eq!((report.verdict.detector(), report.deviations), (Some(Detector::Panic), vec![(0, 7)]));
}

/// What the body does depends on how often it has run.
fn differs(body: fn(bool)) -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static RUNS: AtomicU64 = AtomicU64::new(0);
    let check = Check::new("differs", "body", Engine::Shuttle).schedules(300);
    match check.run(move || body(RUNS.fetch_add(1, Ordering::Relaxed).is_multiple_of(2))).verdict {
        Verdict::Caught(finding) if finding.detector == Detector::Nondeterminism => finding.reason,
        verdict => panic!("{verdict}"),
    }
}

#[test]
fn nondeterminism_names_the_first_step_that_differs() {
    let here = |line: u32| format!("explore.rs:{line}");
    let base = line!();
    let reason = differs(|even| {
        let locks = [0, 1].map(Mutex::new);
        locks.iter().for_each(|lock| *lock.lock() += 1);
        *locks[usize::from(even)].lock() += 1;
    });
    // One place makes both, so what tells them apart is said.
    assert!(reason.contains("main asks for Mutex") && reason.contains(&here(base + 4)), "{reason}");
    assert_ne!(reason.split("first ").nth(1).unwrap().split(", then ").next(), reason.split(", then ").nth(1), "{reason}");
    let base = line!();
    let reason = differs(|even| {
        if even {
            time::sleep(Duration::from_millis(3));
        }
        let _ = thread::Builder::new().name("named".to_owned()).spawn(|| {}).map(|thread| thread.join());
    });
    let (first, then) = reason.split_once(", then ").unwrap();
    assert!(reason.contains("main sleeps") && reason.contains("main spawns named"), "{reason}");
    assert!([first, then].iter().any(|side| side.contains(&here(base + 3))), "{reason}");
    assert!([first, then].iter().any(|side| side.contains(&here(base + 5))), "{reason}");
    let reason = differs(|even| {
        for millis in [1, if even { 5 } else { 6 }] {
            time::sleep(Duration::from_millis(millis));
        }
    });
    assert!(reason.contains("at 6000000 ns") && reason.contains("at 7000000 ns"), "{reason}");
}
