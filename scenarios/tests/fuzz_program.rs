//! `glare fuzz` as its users meet it: findings, wrong usage, and a run that is killed. A script stands in for cargo-fuzz and libFuzzer, so
//! that this is tested where neither is; with cargo-fuzz, `ci/fuzz-killed` does the same for real.

#![cfg(unix)]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// What stands in for `cargo fuzz build`: it puts the stand-in for the target into the place of the binary.
const CARGO: &str = r##"#!/bin/sh
host=$(rustc -vV | sed -n 's/^host: //p')
while [ $# -gt 1 ]; do
  case $1 in --target-dir) folder=$2 ;; esac
  shift
done
mkdir -p "$folder/$host/release"
cp "$FAKE_FUZZER" "$folder/$host/release/$1"
"##;

/// What stands in for a target: it says what libFuzzer says, and leaves entries, each some time after the one before; asked to, it
/// also leaves what it found.
const FUZZER: &str = r##"#!/bin/sh
# That nobody hears it any more does not end it.
trap '' PIPE
folders=
for argument in "$@"; do
  case $argument in
    -artifact_prefix=*) prefix=${argument#*=} ;;
    -merge=1) merge=yes ;;
    -*) ;;
    *) folders="$folders $argument" ;;
  esac
done
set -- $folders
if [ -n "$merge" ]; then
  cp "$2"/* "$1"/
  echo '#9 DONE cov: 10 ft: 20 corp: 9/9b exec/s: 0 rss: 10Mb' >&2
  exit 0
fi
echo '#1 INITED cov: 10 ft: 20 corp: 1/1b exec/s: 0 rss: 10Mb' >&2
n=1
while [ $n -lt ${FAKE_ENTRIES:-12} ]; do
  n=$((n + 1))
  echo $n >"$1/entry-$$-$n"
  echo "#$n NEW cov: 10 ft: 20 corp: 1/1b exec/s: 0 rss: 10Mb" >&2
  sleep 0.05
done
if [ -n "$FAKE_CRASH" ]; then
  printf '\000' >"${prefix}crash-$$"
  echo 'SUMMARY: libFuzzer: deadly signal' >&2
fi
echo "stat::number_of_executed_units: $n" >&2
[ -z "$FAKE_CRASH" ] || exit 77
"##;

/// A folder of a test's own, with the stand-ins in it.
struct Place {
    folder: PathBuf,
}

impl Place {
    fn new(name: &str) -> Place {
        let folder = std::env::temp_dir().join(format!("glare-fuzz-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("bin")).unwrap();
        fs::create_dir_all(folder.join("fuzz/corpus")).unwrap();
        fs::write(folder.join("fuzz/Cargo.toml"), "").unwrap();
        for (file, text) in [("bin/cargo", CARGO), ("bin/fuzzer", FUZZER)] {
            fs::write(folder.join(file), text).unwrap();
            fs::set_permissions(folder.join(file), fs::Permissions::from_mode(0o755)).unwrap();
        }
        Place { folder }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let path = format!("{}:{}", self.folder.join("bin").display(), std::env::var("PATH").unwrap_or_default());
        let mut command = Command::new(env!("CARGO_BIN_EXE_glare"));
        command.arg("fuzz").args(arguments).current_dir(&self.folder);
        command.env("PATH", path).env("FAKE_FUZZER", self.folder.join("bin/fuzzer"));
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn entries(&self) -> BTreeSet<PathBuf> {
        let targets = fs::read_dir(self.folder.join("glare-fuzz/corpus")).into_iter().flatten().flatten();
        targets.flat_map(|target| fs::read_dir(target.path()).unwrap().map(|entry| entry.unwrap().path())).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn wrong_usage_is_exit_2_and_says_what_is_expected() {
    let place = Place::new("usage");
    for (arguments, says) in [
        (&["sesion_close"][..], "did you mean session_close"),
        (&["token", "--for", "10"], "expected a time such as"),
        (&["token", "--fuzz-dir", "elsewhere"], "expected the targets' elsewhere/Cargo.toml"),
    ] {
        let output = place.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(says), "{arguments:?}: {}", stderr(&output));
    }
    fs::write(place.folder.join("bin/cargo"), "#!/bin/sh\nexit 101\n").unwrap();
    let output = place.run(&["token", "--for", "1s"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("is cargo-fuzz there (cargo install cargo-fuzz)?"), "{}", stderr(&output));
}

#[test]
fn every_target_has_a_turn_and_the_summary_says_what_came_of_it() {
    let place = Place::new("turns");
    let output = place.run(&["token", "mbuf", "rtcp", "--for", "4s", "--turn", "1s", "--jobs", "2", "--json", "summary.json"]);
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
    let summary: serde_json::Value = serde_json::from_slice(&fs::read(place.folder.join("summary.json")).unwrap()).unwrap();
    let lines = summary["targets"].as_array().unwrap();
    assert_eq!(lines.len(), 3);
    for line in lines {
        assert!(line["turns"].as_u64() >= Some(1) && line["executions"].as_u64() >= Some(12), "{line}");
        assert!(line["corpus"].as_u64() >= Some(11), "{line}");
    }
    // A run that follows counts on.
    let before: u64 = lines.iter().map(|line| line["executions"].as_u64().unwrap()).sum();
    let again = place.run(&["token", "mbuf", "rtcp", "--for", "1s"]);
    assert!(stdout(&again).contains(&format!("{before} runs and ")), "{}", stdout(&again));
}

#[test]
fn what_is_found_is_told_once_with_a_token_that_replays() {
    let place = Place::new("found");
    // What the file stands for fails in truth: a mutex that is taken twice, in any schedule.
    let mut command = place.command(&["canary", "--for", "5s", "--turn", "1s", "--jobs", "1", "--json", "summary.json"]);
    let output = command.env("FAKE_CRASH", "yes").env("GLARE_FUZZ_SUBJECT", "self-deadlock").output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}{}", stdout(&output), stderr(&output));
    let summary: serde_json::Value = serde_json::from_slice(&fs::read(place.folder.join("summary.json")).unwrap()).unwrap();
    let findings = summary["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(findings[0]["times"].as_u64() >= Some(2), "several files, one cause: {findings:?}");
    assert_eq!(findings[0]["detector"], "deadlock");
    let token = findings[0]["token"].as_str().unwrap();
    assert_eq!(stdout(&output).matches("found by canary: deadlock").count(), 1, "{}", stdout(&output));
    let replayed = Command::new(env!("CARGO_BIN_EXE_glare")).args(["replay", token]).output().unwrap();
    assert!(stdout(&replayed).contains("caught: deadlock"), "{}", stdout(&replayed));
}

/// What fails in the fuzzer alone is a finding all the same.
#[test]
fn what_does_not_fail_again_is_told_with_its_file() {
    let place = Place::new("alone");
    let output = place.command(&["token", "--for", "1s"]).env("FAKE_CRASH", "yes").output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}{}", stdout(&output), stderr(&output));
    assert!(stdout(&output).contains("only in the fuzzer: SUMMARY: libFuzzer: deadly signal"), "{}", stdout(&output));
    assert!(stdout(&output).contains("glare-fuzz/artifacts/token/crash-"), "{}", stdout(&output));
}

/// Whether anybody runs in this place.
fn somebody_fuzzes(place: &Path) -> bool {
    let place = place.canonicalize().unwrap();
    let mut processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.any(|process| fs::read_link(process.path().join("cwd")).is_ok_and(|folder| folder == place))
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_run_that_is_killed_loses_no_entry_and_leaves_nobody_behind() {
    let place = Place::new("killed");
    let start = |entries: &str| -> Child {
        let mut command = place.command(&["token", "mbuf", "rtcp", "--for", "60s", "--turn", "1s"]);
        command.env("FAKE_ENTRIES", entries).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let mut had = BTreeSet::new();
    // In turns that would go on for long, early and later, and after a few that ended.
    for (more, entries) in [(3, "2000"), (17, "2000"), (60, "12")] {
        let mut run = start(entries);
        wait_for("it finds something", || place.entries().len() >= had.len() + more);
        assert!(cfg!(not(target_os = "linux")) || somebody_fuzzes(&place.folder));
        run.kill().unwrap();
        run.wait().unwrap();
        wait_for("who fuzzes ends with it", || !somebody_fuzzes(&place.folder));
        let has = place.entries();
        assert!(has.is_superset(&had), "lost: {:?}", had.difference(&has).collect::<Vec<_>>());
        had = has;
    }
    let output = place.run(&["token", "mbuf", "rtcp", "--for", "2s", "--turn", "1s"]);
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
    assert!(!stdout(&output).contains("; 0 runs"), "it goes on: {}", stdout(&output));
    assert!(place.entries().is_superset(&had), "minimising by the stand-in keeps all");
}
