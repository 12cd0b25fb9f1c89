//! The program as its users meet it: wrong names, damaged tokens, a full disk, Ctrl-C.

use scenarios::program::Row;
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
        (&["run", "--engine", "real"], "none of what was asked for runs on real"),
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
        println!("SKIPPED a full disk: this system has no /dev/full");
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
        println!("SKIPPED a full file system: it could not be mounted");
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
