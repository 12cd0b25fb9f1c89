//! One process for each check: an abort is a verdict, and the rest of the run goes on.

use super::arguments::{CheckArguments, Effort, Preemptions};
use super::select::{Selected, find_exhibit, find_on, find_subject};
use super::{Failure, Row, choices_folder};
use sim::{Bounds, StrategyName};
use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// So long after its budget a worker that has not answered is ended.
const GRACE: Duration = Duration::from_secs(30);
/// How long a worker without a budget may take.
const UNBOUNDED: Duration = Duration::from_secs(20 * 60);

/// The worker: runs one check and writes its row to standard output.
pub(crate) fn work(wanted: &CheckArguments) -> Result<bool, Failure> {
    if wanted.while_stdin {
        end_with_stdin();
    }
    let exhibits = crate::exhibits();
    let exhibit = find_exhibit(&exhibits, &wanted.exhibit)?;
    let subject = find_subject(exhibit, &wanted.subject)?;
    let on = find_on(subject, wanted.engine)?;
    let effort = &wanted.effort;
    let mut on = on.clone();
    if let Some(strategy) = effort.strategy
        && matches!(on.engine, sim::Engine::Shuttle | sim::Engine::Turmoil)
    {
        on = on.strategy(strategy);
    }
    if let Some(preemptions) = effort.preemptions {
        on.bounds.preemptions = preemptions.0;
    }
    if let Some(firings) = effort.firings {
        on.bounds.firings = firings;
    }
    if let Some(faults) = effort.faults {
        on.bounds.faults = faults;
    }
    let mut check = on.check(exhibit, subject).budget(wanted.budget_ms.map(Duration::from_millis));
    let samples = matches!(on.engine, sim::Engine::Shuttle | sim::Engine::Turmoil) && on.strategy != StrategyName::Dfs;
    if let Some(schedules) = effort.schedules
        && samples
    {
        check = check.schedules(schedules);
    } else if wanted.budget_ms.is_some() && samples {
        check = check.schedules(None);
    }
    if let Some(seed) = effort.seed {
        check = check.seed(seed);
    }
    let report = check.jobs(wanted.jobs).run(on.body_of(subject));
    let token = match &report.token {
        None => None,
        Some(token) => Some(
            token
                .in_a_line(&choices_folder())
                .map_err(|error| Failure::System(format!("the choices were not kept: {error}")))?
                .to_string(),
        ),
    };
    let row = Row::planned(exhibit, subject, &on).completed(&report, token);
    let text = serde_json::to_string(&row).map_err(|error| Failure::System(error.to_string()))?;
    println!("{text}");
    Ok(row.is_as_expected())
}

/// Ends this process when nobody holds the other end of its standard input any more.
fn end_with_stdin() {
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(1);
    });
}

/// Runs a check in a process of its own, within `bounds` where they are not its own. `None` if there is no such check.
pub fn run_one(exhibit: &str, subject: &str, engine: sim::Engine, bounds: Option<Bounds>) -> Option<Row> {
    let exhibits = crate::exhibits();
    let selected = super::select::all(&exhibits)
        .into_iter()
        .find(|check| check.row.exhibit == exhibit && check.row.subject == subject && check.engine == engine)?;
    let effort = Effort {
        preemptions: bounds.map(|bounds| Preemptions(bounds.preemptions)),
        firings: bounds.map(|bounds| bounds.firings),
        ..Effort::default()
    };
    run_worker(&selected, &effort, 1, None, &AtomicBool::new(false))
}

pub(super) fn run_worker(
    check: &Selected,
    effort: &Effort,
    cores: usize,
    budget: Option<Duration>,
    interrupted: &AtomicBool,
) -> Option<Row> {
    let began = Instant::now();
    let wall_ms = |began: Instant| u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let planned = check.row.clone();
    let mut child = match start(check, effort, cores, budget) {
        Ok(child) => child,
        Err(why) => return Some(planned.crashed(format!("its process could not be started: {why}"), wall_ms(began))),
    };
    // Read beside waiting: a pipe that fills would block the worker.
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let read = |stream: Option<Box<dyn Read + Send>>| {
        std::thread::spawn(move || {
            let mut text = Vec::new();
            if let Some(stream) = stream {
                let _ = stream.take(OUTPUT_BYTES_MAX).read_to_end(&mut text);
            }
            String::from_utf8_lossy(&text).into_owned()
        })
    };
    let stdout = read(stdout.map(|stream| Box::new(stream) as _));
    let stderr = read(stderr.map(|stream| Box::new(stream) as _));
    let until = began + budget.map_or(UNBOUNDED, |budget| budget + GRACE);
    let ended = wait(&mut child, until, interrupted);
    let output = stdout.join().unwrap_or_default();
    let errors = stderr.join().unwrap_or_default();
    match ended {
        Ended::Interrupted => None,
        Ended::TimedOut => {
            Some(planned.crashed(format!("it had not ended after {} s", began.elapsed().as_secs()), wall_ms(began)))
        }
        Ended::Exited(status) => match output.lines().last().and_then(|line| serde_json::from_str::<Row>(line).ok()) {
            Some(row) => Some(Row { expected: planned.expected, expected_detector: planned.expected_detector, ..row }),
            None => {
                let last = errors.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
                let said = if last.is_empty() { String::new() } else { format!(", having said: {last}") };
                Some(planned.crashed(format!("its process ended with {status}{said}"), wall_ms(began)))
            }
        },
    }
}

const OUTPUT_BYTES_MAX: u64 = 16 << 20;

fn start(check: &Selected, effort: &Effort, cores: usize, budget: Option<Duration>) -> std::io::Result<Child> {
    let mut command = Command::new(program()?);
    command.args(["check", &check.row.exhibit, &check.row.subject, check.engine.name()]);
    let mut option = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            command.args([name, &value]);
        }
    };
    option("--strategy", effort.strategy.map(|strategy| strategy.name().to_owned()));
    option("--schedules", effort.schedules.map(|schedules| schedules.to_string()));
    option("--seed", effort.seed.map(|seed| seed.to_string()));
    option("--preemptions", effort.preemptions.map(|bound| bound.0.map_or("none".to_owned(), |bound| bound.to_string())));
    option("--firings", effort.firings.map(|firings| firings.to_string()));
    option("--faults", effort.faults.map(|faults| faults.to_string()));
    option("--jobs", Some(cores.to_string()));
    option("--budget-ms", budget.map(|budget| budget.as_millis().max(1).to_string()));
    // Ctrl-C goes to the whole foreground group; a worker is ended by us, and is no crash then.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    // Its other end is ours until the worker has ended: however we end, it ends with us.
    command.arg("--while-stdin").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
}

/// This program. In a test, which is another program, cargo says where it is.
pub(super) fn program() -> std::io::Result<std::path::PathBuf> {
    match std::env::var_os("GLARE_PROGRAM") {
        Some(path) => Ok(path.into()),
        None => std::env::current_exe(),
    }
}

enum Ended {
    Exited(ExitStatus),
    TimedOut,
    Interrupted,
}

fn wait(child: &mut Child, until: Instant, interrupted: &AtomicBool) -> Ended {
    let mut pause = Duration::from_micros(500);
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ended::Exited(status),
            Ok(None) => {}
            Err(_) => return end(child, Ended::TimedOut),
        }
        if interrupted.load(Ordering::SeqCst) {
            return end(child, Ended::Interrupted);
        }
        if Instant::now() >= until {
            return end(child, Ended::TimedOut);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

fn end(child: &mut Child, how: Ended) -> Ended {
    // It may have ended by itself meanwhile; either way it is gone.
    let _ = child.kill();
    let _ = child.wait();
    how
}
