//! The program as its users meet it: wrong names, damaged tokens, a full disk, Ctrl-C.

use scenarios::program::Row;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

fn glare(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_glare")).args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A folder of this test's own.
fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("glare-test-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn wrong_usage_is_exit_2_and_says_what_is_near() {
    for (arguments, says) in [
        (&["run", "double-clok-stop"][..], "did you mean double-clock-stop?"),
        (&["run", "--subject", "shiped-join"], "did you mean shipped-join"),
        (&["run", "--engine", "loon"], "did you mean loom?"),
        (&["run", "retransmit-join", "--engine", "real"], "none of what was asked for runs on real"),
        (&["run", "--engine", "turmoi"], "did you mean turmoil?"),
        (&["run", "--budget", "30"], "expected a time such as"),
        (&["run", "--strategy", "best"], "expected a strategy"),
        (&["run", "--jobs", "0"], "0 is not in 1..=256"),
        (&["frobnicate"], "unrecognized subcommand"),
        (&["replay", "nonsense"], "the token is damaged"),
        (&["replay", "glare2:a:b:loom:x~0000"], "expected a token of version glare1"),
        (&["replay", "glare1:canary:abba:shuttle:cdf8a2753.2~0000"], "its last four digits"),
    ] {
        let output = glare(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(says), "{arguments:?}: {}", stderr(&output));
    }
}

/// A token with its check digits put right.
fn token(exhibit: &str, subject: &str, engine: sim::Engine) -> String {
    let run = sim::token::RunId::Choices { shape: 1, deviations: vec![(3, 1)] };
    sim::token::Token { exhibit: exhibit.into(), subject: subject.into(), engine, run }.to_string()
}

#[test]
fn a_token_of_what_is_not_here_any_more_is_exit_2() {
    for (token, says) in [
        (token("canari", "abba", sim::Engine::Shuttle), "did you mean canary?"),
        (token("canary", "abbba", sim::Engine::Shuttle), "did you mean abba"),
        (token("canary", "abba", sim::Engine::Cases), "does not run on cases"),
        (token("canary", "abba", sim::Engine::Shuttle), "the code has changed since the token was printed"),
    ] {
        let output = glare(&["replay", &token]);
        assert_eq!(output.status.code(), Some(2), "{token}: {}", stderr(&output));
        assert!(stderr(&output).contains(says), "{token}: {}", stderr(&output));
    }
}

#[test]
fn the_list_names_everything_and_its_json_parses() {
    let folder = folder("list");
    let file = folder.join("list.json");
    let output = glare(&["list", "--json", file.to_str().unwrap()]);
    assert!(output.status.success(), "{}", stderr(&output));
    let rows: Vec<Row> = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert!(rows.len() > 90 && rows.iter().all(|row| row.verdict.is_none()), "{}", rows.len());
    for exhibit in scenarios::exhibits() {
        for subject in exhibit.subjects {
            assert!(stdout(&output).contains(subject.name), "{}", subject.name);
        }
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_run_writes_its_rows_and_exit_0_means_all_as_expected() {
    let folder = folder("run");
    let file = folder.join("rows.json");
    let arguments = ["run", "canary", "--subject", "abba", "--subject", "abba-gate", "--json", file.to_str().unwrap()];
    let output = glare(&arguments);
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    let rows: Vec<Row> = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(rows.len(), 4);
    assert!(rows.iter().all(Row::is_as_expected));
    assert!(rows.iter().all(|row| (row.detector.as_deref() == Some("deadlock")) == row.token.is_some()));
    // Within no preemptions the deadlock does not happen, and what could have happened is not what is expected of the canary.
    let output = glare(&["run", "canary", "--subject", "abba", "--engine", "loom", "--preemptions", "0"]);
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    assert!(stdout(&output).contains("expected caught by deadlock, got caught: potential-deadlock"), "{}", stdout(&output));
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_budget_bounds_the_whole_run() {
    let began = Instant::now();
    let output = glare(&["run", "double-clock-stop", "--engine", "loom", "--budget", "2s"]);
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    assert_eq!(output.status.code(), Some(1), "not all of it ends in two seconds");
    assert!(stdout(&output).contains("inconclusive (!)"), "{}", stdout(&output));
}

#[test]
fn what_crashes_is_a_verdict_and_the_rest_goes_on() {
    let output = glare(&["run", "canary", "--subject", "abort", "--subject", "stack-overflow", "--subject", "abba"]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    assert_eq!(stdout(&output).matches("crashed").count(), 2, "{}", stdout(&output));
}

#[test]
fn a_full_disk_is_an_error_and_leaves_no_half_file() {
    let run = ["run", "canary", "--subject", "abba", "--json"];
    let output = glare(&[&run[..], &["/nowhere/at/all.json"]].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("was not written"), "{}", stderr(&output));
    if !std::path::Path::new("/dev/full").exists() {
        _ = writeln!(std::io::stderr(), "SKIPPED a full disk: this system has no /dev/full");
        return;
    }
    let output = glare(&[&run[..], &["/dev/full"]].concat());
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    assert!(stderr(&output).contains("/dev/full was not written: No space left"), "{}", stderr(&output));
    assert!(stdout(&output).contains("2 as expected"), "the table is there all the same: {}", stdout(&output));
    // On a file system of a few bytes: the part beside goes too.
    let folder = folder("full");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4k", "tmpfs"]).arg(&folder).output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        _ = writeln!(std::io::stderr(), "SKIPPED a full file system: it could not be mounted");
        return;
    }
    let file = folder.join("rows.json");
    let everything = ["list", "--json", file.to_str().unwrap()];
    let output = glare(&everything);
    let left: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    Command::new("umount").arg(&folder).status().unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(left.is_empty(), "{left:?}");
}

#[cfg(unix)]
#[test]
fn ctrl_c_leaves_a_table_of_what_was_done() {
    use std::io::{BufRead, BufReader};
    use std::os::unix::process::CommandExt;
    use std::process::Stdio;
    // In a group of its own, which gets the signal whole, as from a terminal.
    let mut child = Command::new(env!("CARGO_BIN_EXE_glare"))
        .process_group(0)
        .args(["run", "canary", "double-clock-stop", "--jobs", "1", "--schedules", "300000", "--engine", "shuttle"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut progress = BufReader::new(child.stderr.take().unwrap()).lines();
    // After the first checks have ended.
    for _ in 0..3 {
        progress.next().unwrap().unwrap();
    }
    let interrupted = Command::new("kill").args(["-INT", "--", &format!("-{}", child.id())]).status().unwrap();
    assert!(interrupted.success());
    let drained = std::thread::spawn(move || progress.map_while(Result::ok).count());
    let output = child.wait_with_output().unwrap();
    drained.join().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    assert!(stdout(&output).contains("; interrupted before"), "{}", stdout(&output));
    assert!(!stdout(&output).contains("(!)"), "what was interrupted is no crash: {}", stdout(&output));
    assert!(stdout(&output).lines().filter(|line| line.starts_with("canary")).count() >= 3, "{}", stdout(&output));
}

/// The hashes of a thousand runs, one for each seed.
fn hashes(program: &str, subject: &str, engine: &str, seeds: &str) -> std::process::Child {
    let mut command = Command::new(program);
    command.args(["hashes", "canary", subject, engine, "--seeds", seeds]);
    command.stdout(std::process::Stdio::piped()).spawn().unwrap()
}

#[test]
fn a_thousand_seeds_give_the_same_hashes_in_two_processes_at_once_and_in_both_builds() {
    let own = env!("CARGO_BIN_EXE_glare");
    let other = std::env::var("GLARE_OTHER_BUILD");
    if other.is_err() {
        _ = writeln!(std::io::stderr(), "SKIPPED the build of the other profile: GLARE_OTHER_BUILD names none (ci/check does)");
    }
    for engine in ["shuttle", "turmoil"] {
        let mut runs = vec![hashes(own, "exchange", engine, "1000"), hashes(own, "exchange", engine, "1000")];
        runs.extend(other.iter().map(|other| hashes(other, "exchange", engine, "1000")));
        let outputs: Vec<Output> = runs.into_iter().map(|run| run.wait_with_output().unwrap()).collect();
        let first = stdout(&outputs[0]);
        assert_eq!(first.lines().count(), 1000, "{engine}: {first}");
        let mut different: Vec<&str> = first.lines().filter_map(|line| line.split(' ').nth(1)).collect();
        different.sort_unstable();
        different.dedup();
        assert!(different.len() > 300, "{} different runs among a thousand on {engine}", different.len());
        for output in &outputs {
            assert!(output.status.success(), "{engine}: a run does not replay to its hash: {}", stdout(output));
            assert_eq!(stdout(output), first, "{engine}");
        }
    }
}

#[test]
fn a_replay_writes_its_packets_and_tshark_reads_them() {
    let table = stdout(&glare(&["run", "retransmit-join", "--subject", "patched-86b7dd4"]));
    let token = table.split_whitespace().find(|word| word.starts_with("glare1:")).expect("it is caught").to_owned();
    let file = folder("pcap").join("packets.pcapng");
    let path = file.to_str().unwrap();
    let output = glare(&["replay", &token, "--pcap", path, "--lines", "500"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    // Six were sent, the one that is lost never arrives, and the last may be on its way.
    for says in ["network loses packet", "sends packet 5", "network brings packet 5", "packets in "] {
        assert!(text.contains(says), "{says}: {text}");
    }
    let wrong = glare(&["replay", &token, "--pcap", "/nowhere/at/all"]);
    assert_eq!(wrong.status.code(), Some(1), "{}", stderr(&wrong));
    assert!(stderr(&wrong).contains("the packets were not written to /nowhere/at/all"), "{}", stderr(&wrong));
    let fields = ["-T", "fields", "-e", "frame.interface_name", "-e", "udp.srcport", "-e", "udp.payload", "-e", "frame.comment"];
    match Command::new("tshark").args(["-r", path]).args(fields).output() {
        Err(error) => _ = writeln!(std::io::stderr(), "SKIPPED tshark: it was not run ({error})"),
        Ok(read) => {
            let lines = stdout(&read);
            assert!(read.status.success() && lines.lines().count() >= 10, "{lines}{}", stderr(&read));
            assert!(lines.lines().any(|line| line.contains("the link lost it")), "{lines}");
            assert!(lines.lines().all(|line| line.contains("5004")), "{lines}");
            println!("tshark read {} packets", lines.lines().count());
        }
    }
    std::fs::remove_dir_all(file.parent().unwrap()).unwrap();
}

/// The processes whose parent this one is.
#[cfg(target_os = "linux")]
fn children_of(parent: u32) -> Vec<u32> {
    let mut children = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(number) = entry.file_name().to_string_lossy().parse() else { continue };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        // After the name: the state, and then the parent.
        let its = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
        if its == Some(parent) {
            children.push(number);
        }
    }
    children
}

#[cfg(target_os = "linux")]
#[test]
fn workers_end_with_a_run_that_is_killed() {
    let mut run = Command::new(env!("CARGO_BIN_EXE_glare"))
        .args(["run", "canary", "--subject", "exchange", "--engine", "shuttle", "--budget", "100s"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let began = Instant::now();
    let mut workers = Vec::new();
    while workers.is_empty() && began.elapsed() < Duration::from_secs(60) {
        workers = children_of(run.id());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(!workers.is_empty(), "it starts a worker");
    run.kill().unwrap();
    run.wait().unwrap();
    let lives =
        |worker: &u32| std::fs::read_to_string(format!("/proc/{worker}/cmdline")).is_ok_and(|line| line.contains("exchange"));
    while workers.iter().any(lives) {
        assert!(began.elapsed() < Duration::from_secs(60), "a worker lives on: {workers:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The last line of what `glare shrink` and `glare token` say.
fn last_token(output: &Output) -> sim::token::Token {
    let text = stdout(output);
    let line = text.lines().last().unwrap_or_else(|| panic!("nothing was said: {}", stderr(output)));
    line.parse().unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn a_token_is_shrunk_by_hand_and_fails_as_before() {
    let exhibits = scenarios::exhibits();
    let mut shorter = 0;
    for (exhibit, subject, engine) in [
        ("canary", "abba", sim::Engine::Shuttle),
        ("canary", "abba", sim::Engine::Loom),
        ("double-clock-stop", "restart", sim::Engine::Shuttle),
    ] {
        let exhibit = exhibits.iter().find(|known| known.name == exhibit).unwrap();
        let subject = exhibit.subject(subject).unwrap();
        let on = subject.on(engine).unwrap();
        let check = on.check(exhibit, subject).strategy(sim::StrategyName::Random).schedules(100_000).shrink(false);
        let report = check.run(on.body_of(subject));
        let (token, detector) = (report.token.expect("it is found"), report.verdict.detector().unwrap());
        let output = glare(&["shrink", &token.to_string()]);
        assert!(output.status.success(), "{}", stderr(&output));
        let shrunk = last_token(&output);
        let size = |token: &sim::token::Token| match &token.run {
            sim::token::RunId::Choices { deviations, .. } => deviations.len() as u64,
            sim::token::RunId::Iteration { bounds, .. } => u64::from(bounds.preemptions.unwrap()),
            other => panic!("{other:?}"),
        };
        assert!(size(&shrunk) <= size(&token), "{token} became {shrunk}");
        shorter += u32::from(size(&shrunk) < size(&token));
        let replayed = glare(&["replay", &shrunk.to_string()]);
        assert!(stdout(&replayed).contains(&format!("caught: {detector}: ")), "{}", stdout(&replayed));
    }
    assert!(shorter >= 2, "{shorter}");
}

#[test]
fn what_does_not_fail_is_not_shrunk() {
    let exhibits = scenarios::exhibits();
    let exhibit = exhibits.iter().find(|known| known.name == "canary").unwrap();
    let subject = exhibit.subject("invariant").unwrap();
    let on = subject.on(sim::Engine::Shuttle).unwrap();
    let found = on.check(exhibit, subject).run(on.body_of(subject)).token.unwrap();
    let dull = |shape| {
        let run = sim::token::RunId::Choices { shape, deviations: vec![] };
        sim::token::Token { run, ..found.clone() }.to_string()
    };
    // A token of a run that does not fail is never printed, but its shape is told to who has another.
    let stale = glare(&["shrink", &dull(0)]);
    assert_eq!(stale.status.code(), Some(2), "{}", stdout(&stale));
    let told = stderr(&stale);
    let shape = told.trim_end().rsplit("got ").next().and_then(|shape| u32::from_str_radix(shape, 16).ok());
    let clean = glare(&["shrink", &dull(shape.unwrap_or_else(|| panic!("{told}")))]);
    assert_eq!((clean.status.code(), stdout(&clean).as_str()), (Some(1), "clean\n"), "{}", stderr(&clean));
}

#[test]
fn a_fuzzers_file_becomes_a_token() {
    let place = folder("token").join("canary");
    std::fs::create_dir_all(&place).unwrap();
    let file = place.join("crash-1");
    std::fs::write(&file, [0, 1, 2, 3]).unwrap();
    let path = file.to_str().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_glare"));
    let output = command.args(["token", path]).env("GLARE_FUZZ_SUBJECT", "self-deadlock").output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let token = last_token(&output);
    assert_eq!((token.exhibit.as_str(), token.subject.as_str()), ("canary", "self-deadlock"));
    assert!(stdout(&glare(&["replay", &token.to_string()])).contains("caught: deadlock: "));
    // What any bytes may be is clean, and a target's name may be said.
    let clean = glare(&["token", path, "--target", "token"]);
    assert_eq!((clean.status.code(), stdout(&clean).as_str()), (Some(1), "clean\n"));
    for (arguments, says) in [
        (&["token", path, "--target", "canery"][..], "did you mean canary?"),
        (&["token", "crash-1"], "expected a file in its target's folder, or --target"),
        (&["token", "/nowhere/canary/crash-1"], "was not read"),
    ] {
        let output = glare(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(says), "{arguments:?}: {}", stderr(&output));
    }
    std::fs::remove_dir_all(place.parent().unwrap()).unwrap();
}
