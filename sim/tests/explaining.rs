//! How a run is told: who is involved in a finding, the page, Perfetto's file, and where two runs part.

#![cfg(all(feature = "loom", feature = "shuttle", feature = "turmoil"))]

use serde_json::Value;
use sim::cell::CheckedCell;
use sim::explore::{Check, Replay};
use sim::net::{self, Host, Link, UdpSocket};
use sim::sync::atomic::{AtomicU32, Ordering};
use sim::sync::{Arc, Condvar, Mutex};
use sim::time::{self, Duration};
use sim::token::Token;
use sim::trace::{self, DIFFERENCE_LINES};
use sim::verdict::{Deed, Detector, Finding, Verdict};
use sim::{Engine, StrategyName, ledger, task, thread};
use std::collections::{BTreeMap, BTreeSet};

fn other<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> thread::JoinHandle<T> {
    thread::Builder::new().name("other").spawn(f).unwrap()
}

fn abba() {
    let locks = Arc::new((Mutex::new(()), Mutex::new(())));
    let theirs = Arc::clone(&locks);
    let handle = other(move || {
        let _second = theirs.1.lock();
        let _first = theirs.0.lock();
    });
    {
        let _first = locks.0.lock();
        let _second = locks.1.lock();
    }
    handle.join().unwrap();
}

fn abba_in_turn() {
    let locks = Arc::new((Mutex::new(()), Mutex::new(()), Mutex::new(false)));
    let theirs = Arc::clone(&locks);
    let handle = other(move || {
        if *theirs.2.lock() {
            let _second = theirs.1.lock();
            let _first = theirs.0.lock();
        }
    });
    {
        let _first = locks.0.lock();
        let _second = locks.1.lock();
    }
    *locks.2.lock() = true;
    handle.join().unwrap();
}

fn race() {
    let cell = Arc::new(CheckedCell::new(0));
    let theirs = Arc::clone(&cell);
    let handle = other(move || theirs.set(1));
    let _ = cell.get();
    handle.join().unwrap();
}

fn lost_wakeup() {
    let pair = Arc::new((Mutex::new(()), Condvar::new()));
    let theirs = Arc::clone(&pair);
    let handle = other(move || theirs.1.notify_one());
    pair.1.wait(&mut pair.0.lock());
    handle.join().unwrap();
}

fn join_under_lock() {
    let lock = Arc::new(Mutex::new(()));
    let theirs = Arc::clone(&lock);
    let handle = other(move || drop(theirs.lock()));
    let _held = lock.lock();
    handle.join().unwrap();
}

fn hang() {
    let pair = Arc::new((Mutex::new(false), Condvar::new()));
    drop(other(|| {
        loop {
            time::sleep(Duration::from_millis(20));
        }
    }));
    let _operation = sim::operation("answer", Duration::from_millis(500));
    let mut ready = pair.0.lock();
    while !*ready {
        pair.1.wait(&mut ready);
    }
}

fn use_after_release() {
    let resource = ledger::register("session");
    let handle = other(move || ledger::touch(resource));
    ledger::release(resource);
    handle.join().unwrap();
}

fn double_release() {
    let resource = ledger::register("session");
    let handle = other(move || ledger::release(resource));
    ledger::release(resource);
    handle.join().unwrap();
}

fn lock_across_await() {
    task::block_on(async {
        let lock = Mutex::new(());
        let _held = lock.lock();
        time::sleep_for(Duration::from_millis(1)).await;
    });
}

/// Six questions to a host on a link that loses, doubles and damages; then what is lost is missed.
fn harmed_questions() {
    task::block_on(async {
        let link = Link::timed(Duration::from_millis(2), Duration::from_millis(9)).unwrap();
        net::set_link(&link.loss(0.2).unwrap().duplicate(0.2).unwrap().corrupt(0.2).unwrap()).unwrap();
        let peer = Host::new("peer");
        let to = (peer.address(), 5004).into();
        let echo = peer.spawn("echo", async move {
            let socket = UdpSocket::bind(to).await.unwrap();
            let mut buffer = [0; 64];
            for _ in 0..2 {
                let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
                socket.send_to(&buffer[..length], from).await.unwrap();
            }
        });
        let socket = UdpSocket::bind((Host::current().address(), 5004).into()).await.unwrap();
        for question in 0..6u8 {
            socket.send_to(&[question; 20], to).await.unwrap();
            time::sleep_for(Duration::from_millis(1)).await;
        }
        let mut buffer = [0; 64];
        let answered = time::timeout(Duration::from_secs(1), socket.recv_from(&mut buffer)).await;
        drop(echo);
        sim::invariant!(answered.is_err(), "nothing is answered");
    });
}

/// Explores `body` until it is caught, and replays what was found with every step.
fn caught(name: &str, engine: Engine, body: fn()) -> (Token, Replay, Finding) {
    let check = Check::new(name, "body", engine);
    let report = check.run(body);
    let Verdict::Caught(finding) = report.verdict else { panic!("{name} on {engine}: {}", report.verdict) };
    let token = report.token.unwrap();
    let replay = check.replay(&token, true, body).unwrap();
    assert_eq!(replay.verdict, Verdict::Caught(finding.clone()), "{name} on {engine}");
    (token, replay, finding)
}

fn deeds(finding: &Finding) -> Vec<(&str, Deed)> {
    finding.involved.iter().map(|involved| (involved.name.as_str(), involved.deed)).collect()
}

#[test]
fn a_finding_says_who_did_what_to_what_and_where() {
    use Deed::{Holds, Joins, Operates, Reads, Releases, Uses, WaitsFor, WaitsOn, Writes};
    let both = [("main", Holds), ("main", WaitsFor), ("other", Holds), ("other", WaitsFor)];
    let cases: [(&str, fn(), Detector, &[Engine], &[(&str, Deed)]); 9] = [
        ("abba", abba, Detector::Deadlock, &[Engine::Loom, Engine::Shuttle], &both),
        ("abba_in_turn", abba_in_turn, Detector::PotentialDeadlock, &[Engine::Loom, Engine::Shuttle], &both),
        ("race", race, Detector::Race, &[Engine::Loom, Engine::Shuttle], &[("main", Reads), ("other", Writes)]),
        (
            "join",
            join_under_lock,
            Detector::Deadlock,
            &[Engine::Loom, Engine::Shuttle],
            &[("main", Holds), ("main", Joins), ("other", WaitsFor)],
        ),
        ("lost_wakeup", lost_wakeup, Detector::LostWakeup, &[Engine::Loom, Engine::Shuttle], &[("main", WaitsOn)]),
        ("hang", hang, Detector::Hang, &[Engine::Shuttle], &[("main", WaitsOn), ("main", Operates)]),
        (
            "use",
            use_after_release,
            Detector::UseAfterRelease,
            &[Engine::Loom, Engine::Shuttle],
            &[("main", Releases), ("other", Uses)],
        ),
        (
            "release",
            double_release,
            Detector::DoubleRelease,
            &[Engine::Loom, Engine::Shuttle],
            &[("main", Releases), ("other", Releases)],
        ),
        ("across", lock_across_await, Detector::LockAcrossAwait, &[Engine::Shuttle, Engine::Turmoil], &[("main", Holds)]),
    ];
    for (name, body, detector, engines, wanted) in cases {
        for &engine in engines {
            let (_, replay, finding) = caught(name, engine, body);
            assert_eq!(finding.detector, detector, "{name} on {engine}: {finding}");
            let mut found = deeds(&finding);
            found.sort_by_key(|(name, deed)| (*name, deed.verb()));
            let mut wanted = wanted.to_vec();
            wanted.sort_by_key(|(name, deed)| (*name, deed.verb()));
            assert_eq!(found, wanted, "{name} on {engine}: {finding}");
            let trace = replay.trace.unwrap();
            for part in &finding.involved {
                assert_eq!(trace.threads[part.thread as usize], part.name);
                assert!(part.site.starts_with("tests/explaining.rs:"), "{part:?}");
                // What it names is the object that the steps name so.
                if let Some(object) = part.object {
                    assert_eq!(trace.objects[object as usize], part.what, "{name} on {engine}");
                }
            }
        }
    }
}

#[test]
fn what_is_waited_for_is_recorded_with_the_steps() {
    let (_, replay, _) = caught("waits", Engine::Shuttle, join_under_lock);
    let trace = replay.trace.unwrap();
    let last = &trace.waits[trace.waits.len() - 2..];
    let what: BTreeSet<String> = last.iter().map(|wait| format!("{} {:?}", wait.thread, wait.what)).collect();
    assert_eq!(what, ["0 End(1)".to_owned(), "1 Lock(0)".to_owned()].into(), "{:?}", trace.waits);
    assert_eq!(trace.objects.len(), 1);
    assert_eq!((trace.thread_hosts, trace.hosts.len()), (vec![0, 0], 1));
}

/// What a file of Perfetto's must keep to. Returns how many events of each kind it has.
fn check_perfetto(text: &str) -> BTreeMap<String, usize> {
    let file: Value = serde_json::from_str(text).unwrap();
    let mut counts = BTreeMap::new();
    let mut slices: BTreeMap<(u64, u64), Vec<(u64, u64)>> = BTreeMap::new();
    let mut flows: BTreeMap<u64, Vec<(String, u64, (u64, u64))>> = BTreeMap::new();
    let ns = |value: &Value| (value.as_f64().unwrap() * 1_000.0).round() as u64;
    for event in file["traceEvents"].as_array().unwrap() {
        let ph = event["ph"].as_str().unwrap().to_owned();
        let track = (event["pid"].as_u64().unwrap(), event["tid"].as_u64().unwrap());
        let at = ns(&event["ts"]);
        assert!(event["name"].as_str().is_some_and(|name| !name.is_empty()), "{event}");
        match ph.as_str() {
            "M" => assert!(event["args"]["name"].is_string(), "{event}"),
            "i" => assert_eq!(event["s"], "t", "{event}"),
            "X" => slices.entry(track).or_default().push((at, at + ns(&event["dur"]))),
            "s" | "t" | "f" => {
                assert!(ph != "f" || event["bp"] == "e", "{event}");
                flows.entry(event["id"].as_u64().unwrap()).or_default().push((ph.clone(), at, track));
            }
            _ => panic!("no such kind: {event}"),
        }
        *counts.entry(ph).or_default() += 1;
    }
    for (track, slices) in &mut slices {
        // Slices of a track lie inside each other or apart.
        slices.sort_by_key(|(from, to)| (*from, std::cmp::Reverse(*to)));
        let mut open: Vec<u64> = Vec::new();
        for &(from, to) in slices.iter() {
            assert!(from < to, "{track:?}: a slice of no time at {from}");
            while open.pop_if(|end| *end <= from).is_some() {}
            assert!(open.last().is_none_or(|end| to <= *end), "{track:?}: {from} to {to} crosses {open:?}");
            open.push(to);
        }
    }
    for (id, steps) in &flows {
        let kinds: String = steps.iter().map(|(ph, ..)| ph.as_str()).collect();
        assert!(kinds == "sf" || kinds == "stf", "{id}: {kinds}");
        assert!(steps.is_sorted_by_key(|(_, at, _)| *at), "{id}: {steps:?}");
        for (_, at, track) in steps {
            let is_around = |(from, to): &(u64, u64)| from <= at && at < to;
            assert!(slices.get(track).is_some_and(|slices| slices.iter().any(is_around)), "{id}: an end in no slice");
        }
    }
    counts
}

#[test]
fn perfetto_gets_tracks_slices_and_arrows() {
    for engine in [Engine::Loom, Engine::Shuttle] {
        let (token, replay, _) = caught("abba", engine, abba);
        let text = trace::perfetto(&token, &replay);
        let counts = check_perfetto(&text);
        assert!(counts["X"] >= 4 && counts["i"] > 4 && !counts.contains_key("s"), "{engine}: {counts:?}");
        for says in ["waits for Mutex of tests/explaining.rs", "holds Mutex of tests/explaining.rs", "\"other\"", "lock-wait"] {
            assert!(text.contains(says), "{engine}: {says}: {text}");
        }
    }
    for engine in [Engine::Shuttle, Engine::Turmoil] {
        let (token, replay, _) = caught("harmed", engine, harmed_questions);
        let counts = check_perfetto(&trace::perfetto(&token, &replay));
        let arrivals: usize = replay.trace.unwrap().packets.iter().map(|packet| packet.arrivals.len()).sum();
        assert!(arrivals > 0 && counts["s"] == arrivals && counts["f"] == arrivals, "{engine}: {arrivals} arrive, {counts:?}");
    }
}

/// Many runs with locks that are given back in any order and waits of every kind.
#[test]
fn perfetto_slices_never_cross() {
    fn crossing() {
        let locks = Arc::new((Mutex::new(()), Mutex::new(()), Mutex::new(())));
        let theirs = Arc::clone(&locks);
        let handle = other(move || {
            let first = theirs.0.lock();
            let second = theirs.1.lock();
            drop(first);
            let third = theirs.2.lock();
            drop(second);
            let first = theirs.0.try_lock();
            drop(third);
            drop(first);
        });
        let third = locks.2.try_lock();
        time::sleep(Duration::from_millis(1));
        let first = locks.0.try_lock();
        drop(third);
        drop(locks.1.try_lock());
        drop(first);
        handle.join().unwrap();
    }
    let check = Check::new("crossing", "body", Engine::Shuttle);
    let token =
        Token { exhibit: "crossing".into(), subject: "body".into(), engine: Engine::Shuttle, run: sim::token::RunId::Digest(0) };
    let mut layers = 0;
    for run in 0..200u64 {
        let deviations: Vec<(u64, u64)> =
            (0..20).filter(|place| (run * 7919) >> (place % 11) & 1 == 1).map(|place| (place, 1)).collect();
        let replay = check.replay_deviations(&deviations, crossing).unwrap();
        let text = trace::perfetto(&token, &replay);
        check_perfetto(&text);
        layers += usize::from(text.contains("other (2)"));
    }
    assert!(layers > 0, "some lock must have been given back before one that was taken later");
}

/// The data in a page.
fn data(page: &str) -> Value {
    let (_, rest) = page.split_once("id=\"run\">").unwrap();
    let (data, _) = rest.split_once("</script>").unwrap();
    assert!(!data.contains('<') && !data.contains('&'), "{data}");
    serde_json::from_str(data).unwrap()
}

#[test]
fn a_page_stands_alone_and_no_name_is_markup() {
    fn hostile_names() {
        let lock = Arc::new(Mutex::new(()));
        let theirs = Arc::clone(&lock);
        let name = "</script><b onload=\"x\">&amp;{{data}}'";
        let handle = thread::Builder::new().name(name).spawn(move || drop(theirs.lock())).unwrap();
        let _held = lock.lock();
        handle.join().unwrap();
    }
    let (token, replay, _) = caught("a<b>&\"c", Engine::Shuttle, hostile_names);
    let page = trace::page(&token, &replay);
    let data = data(&page);
    assert_eq!(data["threads"][1][0], "</script><b onload=\"x\">&amp;{{data}}'");
    assert_eq!(page.matches("</script>").count(), 2, "the data's end and the script's");
    assert!(!page.contains("<b onload"), "a name is markup");
    assert!(page.contains("a&lt;b&gt;&amp;&quot;c"), "the exhibit's name is there as text");
    // Nothing is loaded: the only address is the name of SVG, and what is linked is nothing.
    let addresses: Vec<&str> = page.match_indices("://").map(|(at, _)| &page[at..(at + 30).min(page.len())]).collect();
    assert!(addresses.iter().all(|address| address.starts_with("://www.w3.org/2000/svg")), "{addresses:?}");
    assert!(!page.contains("src=") && !page.contains("@import") && page.matches("href=").count() == 1, "{page}");
    // Without scripts there is the timeline.
    let text = page.split_once("<noscript>").unwrap().1.split_once("</noscript>").unwrap().0;
    assert!(text.contains("main joins &lt;/script&gt;"), "{text}");
}

#[test]
fn the_data_of_a_page_says_what_lasts_and_where_what_was_found_is() {
    for engine in [Engine::Loom, Engine::Shuttle] {
        let (token, replay, _) = caught("abba", engine, abba);
        let data = data(&trace::page(&token, &replay));
        let unfinished =
            |what: &str| data["spans"].as_array().unwrap().iter().filter(|span| span[1] == what && span[4].is_null()).count();
        assert_eq!((unfinished("held"), unfinished("lock")), (2, 2), "{engine}: {}", data["spans"]);
        for part in data["involved"].as_array().unwrap() {
            let event = &data["events"][part["step"].as_u64().unwrap() as usize];
            assert_eq!((&event[0], &event[5]), (&part["thread"], &part["object"]), "{engine}: {part} is at {event}");
        }
        assert_eq!(data["deviations"].as_array().unwrap().is_empty(), engine == Engine::Loom);
    }
}

#[test]
fn a_long_run_has_a_page_of_its_beginning_and_its_end() {
    fn long() {
        let count = AtomicU32::new(0);
        for _ in 0..70_000 {
            count.fetch_add(1, Ordering::Relaxed);
        }
        sim::invariant!(false, "the end");
    }
    let (token, replay, _) = caught("long", Engine::Shuttle, long);
    let page = trace::page(&token, &replay);
    let data = data(&page);
    assert_eq!(data["events"].as_array().unwrap().len(), 50_000);
    assert_eq!((&data["gap"][0], &data["gap"][1]), (&10_000.into(), &20_000.into()));
    assert!(page.len() < 4_000_000, "{} bytes", page.len());
    println!("a page of {} bytes of {} steps", page.len(), data["total"]);
}

fn lines(text: &str) -> usize {
    text.lines().count()
}

#[test]
fn a_failing_run_parts_from_the_dull_one_at_a_choice_that_is_named() {
    let check = Check::new("lost", "body", Engine::Shuttle);
    let (_, failing, _) = caught("lost", Engine::Shuttle, lost_wakeup);
    let dull = check.replay_dull(lost_wakeup).unwrap();
    assert_eq!(dull.verdict, Verdict::Clean, "{}", dull.verdict);
    let text = trace::difference(("failing", &failing), ("dull", &dull), DIFFERENCE_LINES);
    let place = failing.choices.iter().position(|choice| choice.value != 0).unwrap();
    for says in [
        format!("they part at choice {place} of {} and {}: schedule among 2", failing.choices.len(), dull.choices.len()),
        "  left: other goes on instead (a preemption)".to_owned(),
        "  right: main goes on".to_owned(),
        "left: failing".to_owned(),
        "left: caught: lost-wakeup: ".to_owned(),
        "right: clean".to_owned(),
        "other notifies Condvar of".to_owned(),
    ] {
        assert!(text.contains(&says), "{says}:\n{text}");
    }
    assert!(lines(&text) < 60, "{text}");
    let same = trace::difference(("a", &failing), ("b", &failing), DIFFERENCE_LINES);
    assert!(same.starts_with("the two runs are the same"), "{same}");
}

#[test]
fn runs_of_loom_and_of_two_engines_part_at_a_step() {
    let (_, on_loom, _) = caught("abba", Engine::Loom, abba);
    let (_, on_shuttle, _) = caught("abba", Engine::Shuttle, abba);
    let dull = Check::new("abba", "body", Engine::Loom).replay_dull(abba).unwrap();
    for (left, right) in [(&on_loom, &dull), (&on_loom, &on_shuttle)] {
        let text = trace::difference(("left", left), ("right", right), DIFFERENCE_LINES);
        assert!(text.contains("there is no choice to name") || text.starts_with("the two runs are the same"), "{text}");
        assert!(lines(&text) < 60, "{text}");
    }
}

#[test]
fn the_difference_of_long_runs_is_short() {
    for engine in [Engine::Shuttle, Engine::Turmoil] {
        let check = Check::new("harmed", "body", engine);
        let failing = caught("harmed", engine, harmed_questions).1;
        // In the other the first packet is lost and another thing happens at each choice that there is.
        let deviations: Vec<(u64, u64)> = (0..400).map(|place| (place * 2, 1)).collect();
        let other = check.replay_deviations(&deviations, harmed_questions).unwrap();
        let text = trace::difference(("a", &failing), ("b", &other), DIFFERENCE_LINES);
        assert!(lines(&text) < 60 && text.contains("they part"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() < 170), "{text}");
    }
}

/// With `GLARE_HTML` a replay in a test leaves its page.
#[test]
fn a_model_leaves_its_page() {
    const NAME: &str = "a_model_leaves_its_page";
    if std::env::var_os("GLARE_REPLAY").is_some() {
        return sim::model(abba);
    }
    let file = std::env::temp_dir().join(format!("glare-page-{}.html", std::process::id()));
    let report = Check::new(NAME, "model", Engine::Shuttle).strategy(StrategyName::Swarm).run(abba);
    let again = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", NAME])
        .env("GLARE_REPLAY", report.token.unwrap().to_string())
        .env("GLARE_HTML", &file)
        .output()
        .unwrap();
    assert!(!again.status.success(), "the replay fails as the run did");
    let page = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    assert_eq!(data(&page)["caught"], "deadlock");
}
