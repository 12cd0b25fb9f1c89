//! The page of a replayed run in a browser: what a reader sees is there, and no script fails.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn glare(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_glare")).args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The token of what is caught first.
fn token(arguments: &[&str]) -> String {
    let table = stdout(&glare(arguments));
    table.split_whitespace().find(|word| word.starts_with("glare1:")).unwrap_or_else(|| panic!("{table}")).to_owned()
}

/// A folder of this test's own, which goes with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("glare-page-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The page of a token's run as a browser has it once its script has run. `None` where there is no browser.
fn rendered(folder: &Folder, token: &str, asked: &str) -> Option<String> {
    let file = folder.0.join("run.html");
    let written = glare(&["replay", token, "--html", file.to_str().unwrap()]);
    assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
    let address = format!("file://{}#{asked}", file.display());
    let profile = format!("--user-data-dir={}", folder.0.join("profile").display());
    let browsers = ["chromium", "chromium-browser", "google-chrome"];
    let arguments = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--window-size=1400,900",
        "--enable-logging=stderr",
        &profile,
        "--dump-dom",
        &address,
    ];
    let started = browsers.iter().find_map(|browser| Command::new(browser).args(arguments).output().ok());
    let Some(output) = started else {
        _ = writeln!(std::io::stderr(), "SKIPPED the page in a browser: none of {} is here", browsers.join(", "));
        return None;
    };
    let errors = String::from_utf8_lossy(&output.stderr);
    let said: Vec<&str> = errors.lines().filter(|line| line.contains("CONSOLE")).collect();
    assert!(said.is_empty(), "the page's script says {said:?}");
    let dom = stdout(&output);
    assert!(dom.contains("</html>"), "{dom}{errors}");
    Some(dom)
}

/// How many elements have this start of a class, and this in their start tag too.
fn elements(dom: &str, class: &str, with: &str) -> usize {
    let starts = dom.match_indices('<').map(|(at, _)| dom[at..].split('>').next().unwrap_or_default());
    starts.filter(|tag| tag.contains(&format!("class=\"{class}")) && tag.contains(with)).count()
}

#[test]
fn a_deadlock_has_lanes_bars_and_its_cycle() {
    let folder = Folder::new("deadlock");
    let token = token(&["run", "canary", "--subject", "abba", "--engine", "shuttle"]);
    let Some(dom) = rendered(&folder, &token, "") else { return };
    for thread in ["main", "other"] {
        assert_eq!(elements(&dom, "lane-name involved", ""), 2, "{thread} in {dom}");
        assert!(dom.contains(&format!("<title>{thread}</title>")), "a lane is called {thread}: {dom}");
    }
    assert_eq!(elements(&dom, "held involved", "<rect"), 2, "each holds a lock of the cycle: {dom}");
    assert_eq!(elements(&dom, "wait wait-lock involved", "<rect"), 2, "each waits for one: {dom}");
    assert_eq!(elements(&dom, "cycle-edge", "data-from=\"main\" data-to=\"other\""), 1, "{dom}");
    assert_eq!(elements(&dom, "cycle-edge", "data-from=\"other\" data-to=\"main\""), 1, "{dom}");
    assert!(dom.contains("canary/bodies.rs:"), "source lines are there");
    assert!(elements(&dom, "diamond", "data-choice") > 0, "the choice that was not dull is marked");
}

#[test]
fn packets_are_arrows_between_the_lanes_of_hosts() {
    let folder = Folder::new("packets");
    let token = token(&["run", "retransmit-join", "--subject", "patched-86b7dd4", "--engine", "shuttle"]);
    let Some(dom) = rendered(&folder, &token, "") else { return };
    assert!(
        elements(&dom, "host-name", "data-host=\"main\"") == 1 && elements(&dom, "host-name", "data-host=\"peer\"") == 1,
        "{dom}"
    );
    assert!(elements(&dom, "packet arrow plain", "data-packet") >= 4, "{dom}");
    let lost = elements(&dom, "packet arrow lost", "data-packet");
    assert!(lost >= 1, "one at the least is lost: {dom}");
    assert_eq!(elements(&dom, "cross", "<line"), 2 * lost + 2, "two lines of each cross, and two of the legend's: {dom}");
    assert_eq!(elements(&dom, "cycle-edge", ""), 2, "{dom}");
    // On virtual time the same run has what time it is.
    let Some(dom) = rendered(&folder, &token, "time") else { return };
    assert!(elements(&dom, "time small", "<text") >= 4 && dom.contains(">1000<"), "{dom}");
    assert!(elements(&dom, "step-text group", "") >= 3, "what happens at one moment is counted: {dom}");
    assert!(elements(&dom, "packet arrow plain", "data-packet") >= 4, "{dom}");
}

#[test]
fn a_race_shows_its_pair() {
    let folder = Folder::new("race");
    for engine in ["shuttle", "loom"] {
        let token = token(&["run", "canary", "--subject", "race", "--engine", engine]);
        let Some(dom) = rendered(&folder, &token, "") else { return };
        assert_eq!(elements(&dom, "race racing-pair", "<line"), 1, "{engine}: {dom}");
        assert_eq!(elements(&dom, "ring", "data-step"), 2, "{engine}: both accesses are ringed: {dom}");
        assert_eq!(elements(&dom, "cycle-edge", ""), 2, "{engine}: {dom}");
    }
}

#[test]
fn what_has_no_parts_has_its_reason_under_the_run() {
    let folder = Folder::new("reason");
    let token = token(&["run", "canary", "--subject", "invariant", "--engine", "shuttle"]);
    let Some(dom) = rendered(&folder, &token, "") else { return };
    let under = dom.split("class=\"finding-zone\"").nth(1).unwrap_or_default();
    assert!(under.contains("both additions count"), "{dom}");
    assert_eq!(elements(&dom, "ring", "data-step"), 0, "{dom}");
}

#[test]
fn filters_leave_what_matches() {
    let folder = Folder::new("filters");
    let token = token(&["run", "retransmit-join", "--subject", "patched-86b7dd4", "--engine", "shuttle"]);
    let Some(all) = rendered(&folder, &token, "") else { return };
    let Some(lost) = rendered(&folder, &token, "text=LOST") else { return };
    let Some(packets) = rendered(&folder, &token, "kind=packets") else { return };
    let steps = |dom: &str| elements(dom, "step-text", "data-step");
    assert!(steps(&all) > 60, "{all}");
    // The step, and the one with the choice that says so.
    assert!((1..=2).contains(&steps(&lost)), "{lost}");
    assert!(steps(&packets) > 10 && steps(&packets) < steps(&all) / 2, "{packets}");
    assert!(packets.contains(&format!(">{} of {} steps<", steps(&packets), steps(&all))), "{packets}");
    assert!(elements(&packets, "held", "<rect") > 0, "locks stay in their lanes");
}

#[test]
fn of_a_long_run_only_what_is_in_view_is_drawn() {
    let folder = Folder::new("long");
    let token = token(&["run", "canary", "--subject", "livelock", "--engine", "shuttle"]);
    let Some(end) = rendered(&folder, &token, "") else { return };
    let texts = elements(&end, "step-text", "data-step");
    assert!((20..200).contains(&texts), "{texts} steps are drawn in a window of 900 pixels");
    // The whole run at once: steps that are too close for a text each are counted.
    let Some(whole) = rendered(&folder, &token, "fit") else { return };
    let groups = elements(&whole, "step-text group", "");
    assert!((20..100).contains(&groups) && elements(&whole, "step-text", "data-step") == 0, "{groups} groups");
    assert!(whole.matches(" steps: ").count() >= groups, "{whole}");
}

#[test]
fn what_cannot_be_written_is_known_before_and_leaves_nothing() {
    let folder = Folder::new("wrong");
    let token = token(&["run", "canary", "--subject", "abba", "--engine", "shuttle"]);
    for option in ["--html", "--perfetto"] {
        let wrong = glare(&["replay", &token, option, "/nowhere/at/all"]);
        assert_eq!(wrong.status.code(), Some(1), "{option}");
        assert!(String::from_utf8_lossy(&wrong.stderr).contains("/nowhere/at/all was not written"), "{option}");
    }
    let file = folder.0.join("run.json");
    let written = glare(&["replay", &token, "--perfetto", file.to_str().unwrap()]);
    assert!(written.status.success());
    let text = std::fs::read(&file).unwrap();
    let parsed: serde_json::Value = serde_json::from_slice(&text).unwrap();
    assert!(parsed["traceEvents"].as_array().unwrap().len() > 10, "{parsed}");
    assert_eq!(left_in(&folder.0), ["run.json"]);
}

fn left_in(folder: &Path) -> Vec<String> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_difference_names_the_choice_and_fits_a_screen() {
    let token = token(&["run", "retransmit-join", "--subject", "patched-86b7dd4", "--engine", "shuttle"]);
    let output = glare(&["replay", &token, "--diff", "dull"]);
    let text = stdout(&output);
    assert!(output.status.success() && text.lines().count() < 60, "{text}");
    for says in ["they part at choice", "the packet is lost", "the packet is not lost", "right: clean", "left: caught: deadlock"]
    {
        assert!(text.contains(says), "{says}: {text}");
    }
    let wrong = glare(&["replay", &token, "--diff", "glare1:canary:abba:shuttle:cdf8a2753.2~8830"]);
    assert_eq!(wrong.status.code(), Some(2));
    let why = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(why.contains("expected `dull` or another token of retransmit-join patched-86b7dd4, got one of canary abba"), "{why}");
}
