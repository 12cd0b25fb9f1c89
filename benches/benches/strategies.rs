//! How many schedules each strategy needs to find what the exhibits have: median and worst over seeds, for every subject that shuttle
//! catches; and over those of which plain random needs more than 50, the strategies' geometric means.
//!
//! `cargo bench -p glare-benches --bench strategies`, with `-- --seeds N`, `-- --schedules N` (where it gives a seed up) and
//! `-- --subjects EXHIBIT/SUBJECT,..` and `-- --strategies NAME,..` for a shorter look. `--jobs N` has N columns at once, as many as
//! there are cores unless said. `--json FILE` writes the rows.
//!
//! The last column is libFuzzer on the exhibits' targets, each byte a choice: `--fuzz FOLDER` says where `glare fuzz` has built them
//! (`fuzz/target/none/HOST/release`). Without it the column is empty.
//!
//! Left out is what is not found in a first schedule but by looking at all of them (potential deadlocks), by running one twice
//! (nondeterminism), or by the clock on the wall (locks from outside the facade).

use scenarios::exhibit::Expected;
use sim::verdict::Detector;
use sim::{Detectors, Engine, StrategyName};
use std::collections::VecDeque;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

const COLUMNS: [&str; 7] = ["random", "pct", "urw", "pos", "surw", "swarm", FUZZ];
/// What is drawn by one strategy alone comes first.
const SINGLE: usize = 5;
const SWARM: usize = 5;
const FUZZ: &str = "fuzz";
/// From here on a subject counts in the sums: what plain random finds sooner anything finds.
const HARD: u64 = 50;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let value = |name: &str| arguments.iter().position(|known| known == name).and_then(|at| arguments.get(at + 1)).cloned();
    let number = |name: &str, or| value(name).map_or(or, |text| text.parse().expect("a number"));
    let (seeds, schedules) = (number("--seeds", 100), number("--schedules", 20_000));
    if let Some(name) = value("--one") {
        return one(&name, seeds, schedules);
    }
    let mut names = Vec::new();
    for exhibit in scenarios::exhibits() {
        for subject in &exhibit.subjects {
            let is_caught = subject.on(Engine::Shuttle).is_some_and(|on| !on.is_pair && is_counted(on.expected));
            let name = format!("{}/{}", exhibit.name, subject.name);
            if is_caught && value("--subjects").is_none_or(|wanted| wanted.split(',').any(|wanted| wanted == name)) {
                names.push((exhibit.name, subject.name));
            }
        }
    }
    let fuzzers = value("--fuzz").map(PathBuf::from);
    let is_wanted = |column: &usize| {
        let is_named = value("--strategies").is_none_or(|wanted| wanted.split(',').any(|wanted| wanted == COLUMNS[*column]));
        is_named && (COLUMNS[*column] != FUZZ || fuzzers.is_some())
    };
    let pairs = (0..names.len()).flat_map(|name| (0..COLUMNS.len()).filter(is_wanted).map(move |column| (name, column)));
    let queue: Mutex<VecDeque<(usize, usize)>> = Mutex::new(pairs.collect());
    let results = Mutex::new(vec![[const { Vec::new() }; COLUMNS.len()]; names.len()]);
    let workers = number("--jobs", std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64));
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let Some((name, column)) = queue.lock().expect("nobody panics").pop_front() else { break };
                    let (exhibit, subject) = names[name];
                    let needed = match &fuzzers {
                        Some(folder) if COLUMNS[column] == FUZZ => {
                            (1..=seeds).map(|seed| fuzzed(folder, exhibit, subject, seed, schedules)).collect()
                        }
                        _ => child(&format!("{exhibit} {subject} {}", COLUMNS[column]), seeds, schedules),
                    };
                    results.lock().expect("nobody panics")[name][column] = needed;
                }
            });
        }
    });
    let results = results.into_inner().expect("nobody panics");
    tell(&names, &results, seeds, schedules);
    if let Some(file) = value("--json") {
        std::fs::write(file, json(&names, &results)).expect("the file can be written");
    }
}

fn is_counted(expected: Expected) -> bool {
    match expected {
        Expected::Caught(detector) => {
            !matches!(detector, Detector::PotentialDeadlock | Detector::Nondeterminism | Detector::ForeignLock)
        }
        _ => false,
    }
}

/// libFuzzer's runs to the first failure of a subject, beginning with what `glare fuzz` begins with.
fn fuzzed(folder: &Path, exhibit: &str, subject: &str, seed: u64, schedules: u64) -> Option<u64> {
    let name = exhibit.replace('-', "_");
    let program = folder.join(&name);
    let first = std::env::temp_dir().join(format!("glare-strategies-{}-{exhibit}-{subject}", std::process::id()));
    std::fs::create_dir_all(&first).expect("there is room");
    let target = scenarios::fuzzed::targets().into_iter().find(|target| target.name() == name).expect("it is a target");
    for (number, input) in target.first_inputs().iter().enumerate() {
        std::fs::write(first.join(number.to_string()), input).expect("there is room");
    }
    let kept = first.join("kept");
    let _ = std::fs::remove_dir_all(&kept);
    std::fs::create_dir_all(&kept).expect("there is room");
    let arguments = [format!("-seed={seed}"), format!("-runs={schedules}")];
    let fixed = ["-len_control=0", "-print_final_stats=1", "-exact_artifact_path=/dev/null", "-verbosity=0"];
    let output =
        Command::new(&program).args(arguments).args(fixed).args([&kept, &first]).env("GLARE_FUZZ_SUBJECT", subject).output();
    let _ = std::fs::remove_dir_all(&first);
    let output = output.unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let count: Option<u64> =
        text.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:")?.trim().parse().ok());
    if output.status.success() {
        return None;
    }
    Some(count.unwrap_or_else(|| panic!("{} said no count: {text}", program.display())))
}

/// Each seed's schedules to the first failure of a subject, in a process of its own, as each failure keeps its stacks.
fn child(one: &str, seeds: u64, schedules: u64) -> Vec<Option<u64>> {
    let program = std::env::current_exe().expect("a program knows itself");
    let arguments = ["--one", one, "--seeds", &seeds.to_string(), "--schedules", &schedules.to_string()];
    let output = Command::new(program).args(arguments).output().expect("it starts again");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let needed: Vec<Option<u64>> = text.split_whitespace().map(|word| word.parse().ok()).collect();
    assert_eq!(needed.len() as u64, seeds, "{one}: {}", String::from_utf8_lossy(&output.stderr));
    needed
}

fn one(name: &str, seeds: u64, schedules: u64) {
    let words: Vec<&str> = name.split(' ').collect();
    let exhibits = scenarios::exhibits();
    let exhibit = exhibits.iter().find(|exhibit| exhibit.name == words[0]).expect("it is an exhibit");
    let subject = exhibit.subject(words[1]).expect("it is a subject");
    let on = subject.on(Engine::Shuttle).expect("it runs on shuttle");
    let strategy: StrategyName = words[2].parse().expect("it is a strategy");
    let mut out = std::io::stdout();
    for seed in 0..seeds {
        let check = on.check(exhibit, subject).strategy(strategy).seed(seed).schedules(schedules).shrink(false);
        let report = check.detectors(Detectors { determinism: false, ..Detectors::ON }).run(on.body_of(subject));
        match on.expected.is_met_by(&report.verdict) {
            true => writeln!(out, "{}", report.schedules),
            false => writeln!(out, "-"),
        }
        .expect("who asked reads it");
    }
}

/// What a column has of a subject. A seed that found nothing counts as the bound.
#[derive(Clone, Copy)]
struct Figures {
    median: u64,
    worst: u64,
    /// How many seeds found nothing.
    missing: usize,
}

/// Nothing where the column was not asked for.
fn summed(needed: &[Option<u64>], schedules: u64) -> Option<Figures> {
    let mut counts: Vec<u64> = needed.iter().map(|needed| needed.unwrap_or(schedules)).collect();
    counts.sort_unstable();
    let missing = needed.iter().filter(|needed| needed.is_none()).count();
    Some(Figures { median: *counts.get(counts.len() / 2)?, worst: *counts.last()?, missing })
}

fn tell(names: &[(&str, &str)], results: &[[Vec<Option<u64>>; COLUMNS.len()]], seeds: u64, schedules: u64) {
    println!(
        "schedules to the first failure on shuttle, median / worst of {seeds} seeds; > for seeds that found nothing in {schedules}"
    );
    print!("{:<46}", "subject");
    COLUMNS.iter().for_each(|column| print!(" {column:>15}"));
    println!();
    let mut sums = [const { Some([0.0; 2]) }; COLUMNS.len()];
    let (mut hard, mut halved) = (0_u32, Vec::new());
    for ((exhibit, subject), columns) in names.iter().zip(results) {
        print!("{:<46}", format!("{exhibit}/{subject}"));
        let figures = columns.each_ref().map(|needed| summed(needed, schedules));
        for figures in figures {
            let told = figures.map(|of| format!("{} / {}{}", of.median, if of.missing > 0 { ">" } else { "" }, of.worst));
            print!(" {:>15}", told.as_deref().unwrap_or("-"));
        }
        let is_hard = figures[0].is_some_and(|random| random.median > HARD);
        println!("{}", if is_hard { " *" } else { "" });
        if is_hard {
            hard += 1;
            for (sums, figures) in sums.iter_mut().zip(figures) {
                *sums = sums
                    .zip(figures)
                    .map(|([median, worst], of)| [median + (of.median as f64).ln(), worst + (of.worst as f64).ln()]);
            }
            let best = figures[..SINGLE].iter().flatten().map(|of| of.worst).min();
            halved.extend(figures[SWARM].zip(best).map(|(swarm, best)| swarm.worst as f64 / best as f64));
        }
    }
    if hard == 0 {
        return println!("plain random needs more than {HARD} for none of these, or was not run");
    }
    for (row, what) in ["median", "worst"].iter().enumerate() {
        print!("{:<46}", format!("geometric mean of the {what}, {hard} subjects (*)"));
        for sums in &sums {
            print!(" {:>15}", sums.map_or_else(|| "-".to_owned(), |sums| format!("{:.1}", (sums[row] / f64::from(hard)).exp())));
        }
        println!();
    }
    println!("swarm's worst beside the best single strategy's of each subject: {halved:.2?}");
}

fn json(names: &[(&str, &str)], results: &[[Vec<Option<u64>>; COLUMNS.len()]]) -> String {
    let mut rows = Vec::new();
    for ((exhibit, subject), columns) in names.iter().zip(results) {
        for (strategy, needed) in COLUMNS.iter().zip(columns) {
            let needed: Vec<String> =
                needed.iter().map(|needed| needed.map_or("null".to_owned(), |count| count.to_string())).collect();
            let needed = needed.join(",");
            rows.push(format!(
                r#"{{"exhibit":"{exhibit}","subject":"{subject}","strategy":"{strategy}","schedules":[{needed}]}}"#
            ));
        }
    }
    format!("[{}]\n", rows.join(",\n"))
}
