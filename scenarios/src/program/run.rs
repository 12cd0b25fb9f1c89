//! `glare run` and `glare list`.

use super::arguments::RunArguments;
use super::select::{self, Selected};
use super::whole_file::WholeFile;
use super::{Failure, Row, interrupted_flag, junit, table, worker};
use sim::Engine;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Lists what there is.
pub(crate) fn list(json: Option<&Path>) -> Result<bool, Failure> {
    let json = json.map(WholeFile::create).transpose()?;
    let exhibits = crate::exhibits();
    let mut out = std::io::stdout().lock();
    for exhibit in &exhibits {
        let mut text = format!("{}: {}\n", exhibit.name, exhibit.story);
        for subject in &exhibit.subjects {
            text.push_str(&format!("  {:<34} {}\n", subject.name, subject.about));
            for on in &subject.on {
                let asked_for = if on.is_pair { " (with --pairs)" } else { "" };
                text.push_str(&format!("  {:<34}   on {}{asked_for}: {}\n", "", on.engine, on.expected));
            }
        }
        // Nobody may read to the end; that is no error of ours.
        if writeln!(out, "{text}").is_err() {
            break;
        }
    }
    if let Some(json) = json {
        let rows: Vec<Row> = select::all(&exhibits).into_iter().map(|check| check.row).collect();
        json.write_json(&rows)?;
    }
    Ok(true)
}

/// Runs what was asked for. True if all was as expected.
pub(crate) fn run(wanted: &RunArguments) -> Result<bool, Failure> {
    let exhibits = crate::exhibits();
    let checks = select::select(&exhibits, wanted)?;
    let json = wanted.json.as_deref().map(WholeFile::create).transpose()?;
    let junit = wanted.junit.as_deref().map(WholeFile::create).transpose()?;
    let cores = wanted.jobs.map_or_else(|| std::thread::available_parallelism().map_or(2, usize::from), usize::from);
    let jobs = cores.min(checks.len().max(1));
    let interrupted = interrupted_flag()?;
    let began = Instant::now();
    let rows = run_all(&checks, wanted, (jobs, cores / jobs), interrupted);
    let done: Vec<Row> = rows.iter().flatten().cloned().collect();
    print!("{}", table::render(&done));
    let missing = rows.iter().filter(|row| row.is_none()).count();
    println!("{}", table::summary(&done, missing, began.elapsed()));
    if let Some(json) = json {
        json.write_json(&done)?;
    }
    if let Some(junit) = junit {
        junit.write(&junit::report(&done, missing, began.elapsed())?)?;
    }
    Ok(missing == 0 && done.iter().all(Row::is_as_expected))
}

/// Runs the checks, `jobs` at once and each on so many cores, the long ones first. A row for each that ended.
fn run_all(
    checks: &[Selected],
    wanted: &RunArguments,
    (jobs, cores_each): (usize, usize),
    interrupted: &AtomicBool,
) -> Vec<Option<Row>> {
    let mut order: Vec<usize> = (0..checks.len()).collect();
    order.sort_by_key(|&index| std::cmp::Reverse(weight(&checks[index])));
    let next = AtomicUsize::new(0);
    let rows: Mutex<Vec<Option<Row>>> = Mutex::new(vec![None; checks.len()]);
    let progress = Progress::new(checks.len());
    let until = wanted.budget.map(|budget| Instant::now() + budget);
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let taken = next.fetch_add(1, Ordering::SeqCst);
                    let Some(&index) = order.get(taken) else { break };
                    if interrupted.load(Ordering::SeqCst) {
                        break;
                    }
                    let check = &checks[index];
                    let row = if check.is_skipped {
                        Some(check.row.clone())
                    } else {
                        progress.begins(check);
                        let share = until.map(|until| share(until, order.len() - taken, jobs));
                        worker::run_worker(check, &wanted.effort, cores_each, share, interrupted)
                    };
                    if let Some(row) = &row {
                        progress.ended(row);
                    }
                    rows.lock().unwrap_or_else(|poisoned| poisoned.into_inner())[index] = row;
                }
            });
        }
    });
    progress.clear();
    rows.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// What is left of the budget, for one of `left` checks.
fn share(until: Instant, left: usize, jobs: usize) -> Duration {
    let remaining = until.saturating_duration_since(Instant::now());
    let rounds = left.div_ceil(jobs).max(1);
    (remaining / u32::try_from(rounds).unwrap_or(u32::MAX)).max(Duration::from_millis(10))
}

/// What loom exhausts of our own stack takes longest.
fn weight(check: &Selected) -> u32 {
    let ours = check.row.subject.starts_with("stack");
    let waits = matches!(check.row.expected_detector.as_deref(), Some("foreign-lock")) || check.row.expected == "crashed";
    u32::from(ours && check.engine == Engine::Loom) * 2 + u32::from(waits)
}

/// What goes on, on standard error: one line that changes on a terminal, a line for each check elsewhere.
struct Progress {
    total: usize,
    on_terminal: bool,
    state: Mutex<(usize, Vec<String>)>,
}

impl Progress {
    fn new(total: usize) -> Self {
        Progress { total, on_terminal: std::io::stderr().is_terminal(), state: Mutex::new((0, Vec::new())) }
    }

    fn begins(&self, check: &Selected) {
        let name = format!("{}/{} on {}", check.row.exhibit, check.row.subject, check.engine);
        self.change(|state| state.1.push(name.clone()), None);
    }

    fn ended(&self, row: &Row) {
        let name = format!("{}/{} on {}", row.exhibit, row.subject, row.engine);
        let verdict = row.detector.as_deref().or(row.verdict.as_deref()).unwrap_or("not run");
        let line = format!("{name}: {verdict}{}", if row.is_as_expected() { "" } else { " (not as expected)" });
        self.change(
            |state| {
                state.0 += 1;
                state.1.retain(|running| *running != name);
            },
            Some(line),
        );
    }

    fn change(&self, change: impl FnOnce(&mut (usize, Vec<String>)), line: Option<String>) {
        let mut state = self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        change(&mut state);
        let mut err = std::io::stderr().lock();
        // Progress that nobody can see is no reason to stop.
        let _ = if self.on_terminal {
            let running: String = state.1.join(", ").chars().take(70).collect();
            write!(err, "\r\x1b[K[{}/{}] {running}", state.0, self.total).and_then(|()| err.flush())
        } else if let Some(line) = line {
            writeln!(err, "[{}/{}] {line}", state.0, self.total)
        } else {
            Ok(())
        };
    }

    fn clear(&self) {
        if self.on_terminal {
            eprint!("\r\x1b[K");
        }
    }
}
