//! Every exhibit: a test for each subject and engine, with small budgets, in a process of its own each; and what the exhibits state
//! of themselves. `ci/deep` runs the same with large budgets.

use libtest_mimic::{Arguments, Failed, Trial};
use scenarios::exhibit::{Exhibit, Expected, MustSee, On, Sequential, Subject, Timers};
use scenarios::program::worker::run_one;
use sim::explore::Check;
use sim::token::{RunId, Token};
use sim::verdict::{Detector, Verdict};
use sim::{Bounds, Engine, StrategyName};
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    // The program's own path, so that a check runs in the program and not in this test.
    if std::env::var_os("GLARE_PROGRAM").is_none() {
        // A child of ours says the same to its children.
        return match Command::new(std::env::current_exe().expect("a test knows itself"))
            .args(std::env::args_os().skip(1))
            .env("GLARE_PROGRAM", env!("CARGO_BIN_EXE_glare"))
            .status()
        {
            Ok(status) if status.success() => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        };
    }
    if std::env::var_os("GLARE_OTHER_BUILD").is_none() {
        println!("SKIPPED replays by a build of the other profile: GLARE_OTHER_BUILD names none (ci/check does)");
    }
    let mut trials = Vec::new();
    for exhibit in scenarios::exhibits() {
        for subject in &exhibit.subjects {
            for on in &subject.on {
                let name = |what: &str| format!("{}::{}::{}::{what}", exhibit.name, subject.name, on.engine);
                let (exhibit, subject, on) = (exhibit.clone(), subject.clone(), on.clone());
                // What an engine cannot run is a row of the program's table, which counts it.
                if !matches!(on.expected, Expected::NotRun(_)) {
                    trials.push(Trial::test(name("verdict"), move || verdict(&exhibit, &subject, &on)));
                }
            }
            if let Some(must_see) = subject.must_see {
                let (exhibit, subject) = (exhibit.clone(), subject.clone());
                let name = format!("{}::{}::coverage", exhibit.name, subject.name);
                trials.push(Trial::test(name, move || coverage(&exhibit, &subject, &must_see)));
            }
            if let Some(in_sequence) = subject.in_sequence {
                let (exhibit, subject) = (exhibit.clone(), subject.clone());
                trials.push(Trial::test(format!("{}::{}::in-sequence", exhibit.name, subject.name), move || {
                    sequential(&exhibit, &subject, in_sequence)
                }));
            }
            if let (Some(fewest), Some(on)) = (subject.fewest_preemptions, subject.on(Engine::Loom).or(subject.on.first())) {
                let (exhibit, subject, on) = (exhibit.clone(), subject.clone(), on.clone());
                trials.push(Trial::test(format!("{}::{}::fewest-preemptions", exhibit.name, subject.name), move || {
                    fewest_preemptions(&exhibit, &subject, &on, fewest)
                }));
            }
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// The bounds of a pair here.
const PAIR_BOUNDS: Bounds = Bounds { preemptions: Some(1), firings: 1, faults: 0 };

/// The check comes to what it must, and its token replays in a new process to the same verdict, detector and trace hash.
fn verdict(exhibit: &Exhibit, subject: &Subject, on: &On) -> Result<(), Failed> {
    // `ci/deep` has the pairs within their own bounds.
    let bounds = on.is_pair.then_some(PAIR_BOUNDS);
    let row = run_one(exhibit.name, subject.name, on.engine, bounds).ok_or("the check was not run")?;
    if !row.is_as_expected() {
        return Err(format!("expected {}, got {:?}: {:?}", on.expected, row.verdict, row.detail).into());
    }
    let Expected::Caught(detector) = on.expected else { return Ok(()) };
    if let (Some(preemptions), Some(fewest)) = (row.preemptions, row.fewest_preemptions)
        && preemptions > fewest + 1
    {
        return Err(format!("shrunk to {preemptions} preemptions, where {fewest} are enough").into());
    }
    let token = row.token.as_deref().ok_or("what was caught has no token")?;
    if token.len() > sim::token::TOKEN_LEN_MAX {
        return Err(format!("the token has {} characters", token.len()).into());
    }
    // A body of random order has no run to replay: that is what was found.
    if detector == Detector::Nondeterminism {
        return Ok(());
    }
    let hash = row.trace_hash.ok_or("what was caught has no trace hash")?;
    let wanted = [format!("caught: {detector}: "), format!("trace hash {hash}")];
    replay(env!("CARGO_BIN_EXE_glare"), token, &wanted)?;
    // `ci/check` names a build of the other profile.
    match std::env::var("GLARE_OTHER_BUILD") {
        Ok(other) => replay(&other, token, &wanted),
        Err(_) => Ok(()),
    }
}

/// The token replays in a new process, and the program says all of this.
fn replay(program: &str, token: &str, wanted: &[String]) -> Result<(), Failed> {
    let replayed = Command::new(program).args(["replay", token]).output()?;
    let text = String::from_utf8_lossy(&replayed.stdout).into_owned();
    for wanted in wanted {
        if !text.contains(wanted) {
            let errors = String::from_utf8_lossy(&replayed.stderr).into_owned();
            return Err(format!("the replay of {token} by {program} does not say `{wanted}`:\n{text}{errors}").into());
        }
    }
    let lines = text.lines().count();
    if lines >= 60 {
        return Err(format!("the replay of {token} has {lines} lines").into());
    }
    Ok(())
}

/// A clean row of our own stack says something only if every two operations overlapped, as far as the driver has them at once, and
/// every timer fired and was beaten.
fn coverage(exhibit: &Exhibit, subject: &Subject, must_see: &MustSee) -> Result<(), Failed> {
    let on = subject.on(Engine::Shuttle).ok_or("it says what it must see on shuttle, and does not run there")?;
    let report = on.run(exhibit, subject);
    let summary = report.coverage.summary();
    let is_among = |pairs: &[[&str; 2]], a: &str, b: &str| pairs.contains(&[a, b]) || pairs.contains(&[b, a]);
    for (index, a) in must_see.operations.iter().enumerate() {
        for b in &must_see.operations[index..] {
            let overlapped = report.coverage.pairs().any(|(x, y, _)| (x, y) == (*a, *b) || (x, y) == (*b, *a));
            let may_be_missing = is_among(must_see.not_driven, a, b);
            if overlapped == is_among(must_see.never, a, b) && !may_be_missing {
                return Err(format!("{a} and {b}: overlapped {overlapped}; {summary}").into());
            }
        }
    }
    let timers: Vec<(String, u64, u64)> = report.coverage.timers().collect();
    let one_sided = if let Timers::BothBut(files) = must_see.timers { files } else { &[] };
    let is_one_sided = |place: &str| one_sided.iter().any(|file| place.starts_with(&format!("{file}:")));
    // An exception that nothing needs any more would hide the next timer of its file.
    let is_needed = |file: &str| {
        let prefix = format!("{file}:");
        timers.iter().any(|(place, fired, beaten)| place.starts_with(&prefix) && (*fired == 0 || *beaten == 0))
    };
    if let Some(file) = one_sided.iter().find(|file| !is_needed(file)) {
        return Err(format!("the timers of {file} need no exception; {summary}").into());
    }
    let missing = timers.iter().find(|(place, fired, beaten)| (*fired == 0 || *beaten == 0) && !is_one_sided(place));
    match missing {
        _ if timers.is_empty() != (must_see.timers == Timers::None) => {
            Err(format!("expected timers: {:?}; {summary}", must_see.timers).into())
        }
        Some((place, ..)) => Err(format!("the timer of {place} was not both fired and beaten; {summary}").into()),
        None => Ok(()),
    }
}

/// A race is no bug of any sequential order, nor of the run that makes only dull choices.
fn sequential(exhibit: &Exhibit, subject: &Subject, body: fn()) -> Result<(), Failed> {
    let orders = Check::new(exhibit.name, subject.name, Engine::Shuttle)
        .strategy(StrategyName::Dfs)
        .bounds(Bounds { preemptions: Some(0), firings: 0, ..Bounds::default() })
        .run(body);
    let dull = Check::new(exhibit.name, subject.name, Engine::Shuttle).replay_deviations(&[], subject.body);
    let dull = dull.map_err(|error| error.to_string())?.verdict;
    match subject.sequential {
        Sequential::Clean | Sequential::Foreseen => {
            if orders.verdict != Verdict::Clean || !orders.exhaustive {
                return Err(format!("in sequence: {} (exhaustive: {})", orders.verdict, orders.exhaustive).into());
            }
            if !is_harmless(subject, &dull) {
                return Err(format!("with dull choices: {dull}").into());
            }
        }
        Sequential::Fails(why) => {
            if orders.verdict == Verdict::Clean || dull == Verdict::Clean {
                return Err(format!("it is said to fail in sequence ({why}): {}, {dull}", orders.verdict).into());
            }
        }
    }
    Ok(())
}

/// Nothing was found, or what the subject says is foreseen.
fn is_harmless(subject: &Subject, verdict: &Verdict) -> bool {
    match subject.sequential {
        Sequential::Foreseen => verdict.detector() == Some(Detector::PotentialDeadlock),
        _ => *verdict == Verdict::Clean,
    }
}

/// A search within so many preemptions finds it, and one within one fewer finds nothing.
fn fewest_preemptions(exhibit: &Exhibit, subject: &Subject, on: &On, fewest: u32) -> Result<(), Failed> {
    let within = |preemptions| {
        let on = match on.engine {
            Engine::Loom => on.clone(),
            // Ahead of its time one timer at most: every run in which time passes of itself is in any case.
            _ => on.clone().strategy(StrategyName::Dfs).within(Bounds { firings: 1, ..on.bounds }),
        };
        let bounds = Bounds { preemptions: Some(preemptions), ..on.bounds };
        on.check(exhibit, subject).bounds(bounds).run(on.body_of(subject))
    };
    let found = within(fewest);
    if !on.expected.is_met_by(&found.verdict) {
        return Err(format!("with {fewest} preemptions: {}", found.verdict).into());
    }
    if fewest > 0 {
        let fewer = within(fewest - 1);
        if !is_harmless(subject, &fewer.verdict) || !(fewer.exhaustive || subject.sequential == Sequential::Foreseen) {
            return Err(format!("with {} preemptions: {}", fewest - 1, fewer.verdict).into());
        }
    }
    let token: Option<Token> = found.token;
    match token.map(|token| token.run) {
        Some(RunId::Iteration { bounds, .. }) if bounds.preemptions == Some(fewest) => Ok(()),
        Some(RunId::Choices { .. }) if found.preemptions == Some(fewest) => Ok(()),
        other => Err(format!("the token does not state its bounds: {other:?}").into()),
    }
}
