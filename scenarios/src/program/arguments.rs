//! The command line.

use super::call::{ANSWER_HELP, AnswerArguments, CALL_HELP, CallArguments};
use super::fuzz::FUZZ_HELP;
use super::fuzz::FuzzArguments;
use clap::{Args, Parser, Subcommand};
use sim::{Engine, StrategyName};
use std::path::PathBuf;
use std::time::Duration;

/// Historic races of VoIP stacks, and the stack that does not have them, under model checkers.
#[derive(Debug, Parser)]
#[command(
    name = "glare",
    version,
    after_help = "Examples:
  glare                                   every exhibit on every engine, in about a minute
  glare list                              what there is, and what is expected
  glare run double-clock-stop --engine shuttle --strategy pct --budget 30s
  glare run --subject stack --schedules 100000 --json report.json
  glare replay 'glare1:canary:abba:shuttle:cdf8a2753.2~8830'
  glare run retransmit-join --engine shuttle
  glare run --partition 2/8 --junit report.xml
  glare replay TOKEN --pcap call.pcapng
  glare replay TOKEN --html run.html --perfetto run.json
  glare replay TOKEN --diff dull
  glare shrink TOKEN
  glare fuzz --for 8h
  glare token fuzz/artifacts/session_close/crash-5f1c
  glare call --media 127.0.0.1:5004 --dtls active --record heard.wav

Exit codes: 0 all as expected, 1 something was not, 2 wrong usage."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Lists exhibits, subjects, engines, and what each must come to.
    List {
        /// Writes the list to this file too, as an array of objects.
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
    /// Runs checks, one process each, and shows what came of them.
    Run(RunArguments),
    /// Runs exactly the run of a token and shows its timeline.
    Replay(ReplayArguments),
    /// Shrinks the run of a token: fewer choices, fewer preemptions, a shorter run. Prints what it came to, and its token last.
    Shrink {
        /// As `glare run` printed it.
        token: String,
    },
    /// Fuzzes every target in turn, and keeps, minimises, de-duplicates and shrinks what comes of it.
    #[command(after_help = FUZZ_HELP)]
    Fuzz(FuzzArguments),
    /// A program that ends with this one's standard input: what `fuzz` starts.
    #[command(hide = true)]
    Guard {
        program: PathBuf,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// What a fuzzer's file comes to, to standard output: what `fuzz` starts.
    #[command(hide = true)]
    Triage { target: String, file: PathBuf },
    /// Turns a file that a fuzzer found into a token, shrunk.
    Token {
        /// As libFuzzer wrote it.
        file: PathBuf,
        /// The target that it was found by; the name of the file's folder if not said.
        #[arg(long, value_name = "TARGET")]
        target: Option<String>,
    },
    /// Calls a real peer: a tone, a file or an echo in, a WAV out; protected by DTLS-SRTP or SDES, or in clear.
    #[command(after_help = CALL_HELP)]
    Call(Box<CallArguments>),
    /// Waits for such a call.
    #[command(after_help = ANSWER_HELP)]
    Answer(Box<AnswerArguments>),
    /// One check in this process, its row to standard output: what `run` starts.
    #[command(hide = true)]
    Check(CheckArguments),
    /// The trace hashes of one run for each seed: what tests of determinism compare.
    #[command(hide = true)]
    Hashes {
        exhibit: String,
        subject: String,
        #[arg(value_parser = engine)]
        engine: Engine,
        #[arg(long, value_name = "N")]
        seeds: u64,
    },
}

impl Default for Command {
    fn default() -> Self {
        Command::Run(RunArguments::default())
    }
}

#[derive(Clone, Debug, Default, Args)]
pub(crate) struct RunArguments {
    /// The exhibits to run; all of them if none is named.
    #[arg(value_name = "EXHIBIT")]
    pub(crate) exhibits: Vec<String>,
    /// The subjects to run.
    #[arg(long = "subject", value_name = "SUBJECT")]
    pub(crate) subjects: Vec<String>,
    /// The engines to run on: loom, shuttle, turmoil, cases, or real for a stress run.
    #[arg(long = "engine", value_name = "ENGINE")]
    pub(crate) engines: Vec<String>,
    /// With the checks of every two operations of our stack at once, on loom.
    #[arg(long)]
    pub(crate) pairs: bool,
    #[command(flatten)]
    pub(crate) effort: Effort,
    /// How long the whole run may take, as 30s, 5m or 8h. What is sampled is sampled for its share of it.
    #[arg(long, value_parser = duration, value_name = "TIME")]
    pub(crate) budget: Option<Duration>,
    /// How many cores explore, with several on one check where there are fewer checks; all there are if not said.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256), value_name = "N")]
    pub(crate) jobs: Option<u16>,
    /// Only part I of N of the checks, for as many machines: every check is in one part.
    #[arg(long, value_parser = partition, value_name = "I/N")]
    pub(crate) partition: Option<Partition>,
    /// Writes the rows to this file too, as JUnit's XML.
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// Writes the rows to this file too, as an array of objects.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ReplayArguments {
    /// As `glare run` printed it.
    pub(crate) token: String,
    /// Writes the run to this file as a page that needs nothing else: lanes, locks, packets and what was found, with filters and zoom.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Writes the run to this file as trace events, for ui.perfetto.dev.
    #[arg(long, value_name = "FILE")]
    pub(crate) perfetto: Option<PathBuf>,
    /// Writes the run's packets to this file, for tshark and Wireshark.
    #[arg(long, value_name = "FILE")]
    pub(crate) pcap: Option<PathBuf>,
    /// Shows where the run parts from this one of the same exhibit and subject, in the place of its timeline: a token, or `dull` for the run
    /// that makes only dull choices (on loom, its first), which of most races is one that passes.
    #[arg(long, value_name = "TOKEN", conflicts_with = "lines")]
    pub(crate) diff: Option<String>,
    /// How many lines the timeline has at the most; the middle is left out. Unless said, what is printed has fewer than 60 in all.
    #[arg(long, value_parser = clap::value_parser!(u32).range(3..=10_000_000), value_name = "N")]
    pub(crate) lines: Option<u32>,
}

#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Effort {
    /// How schedules are picked on shuttle and turmoil: random, pct, urw, pos, surw, swarm or dfs.
    #[arg(long, value_parser = strategy, value_name = "STRATEGY")]
    pub(crate) strategy: Option<StrategyName>,
    /// How many schedules each check that samples runs.
    #[arg(long, value_name = "N")]
    pub(crate) schedules: Option<u64>,
    /// Where randomness begins.
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// How many preemptions loom and dfs allow: a number, or `none` for no bound.
    #[arg(long, value_parser = preemptions, value_name = "N")]
    pub(crate) preemptions: Option<Preemptions>,
    /// How often a timed wait may end by its time on loom, and how often time may pass ahead of what could happen in dfs.
    #[arg(long, value_name = "N")]
    pub(crate) firings: Option<u32>,
    /// How many packets a run of dfs may harm.
    #[arg(long, value_name = "N")]
    pub(crate) faults: Option<u32>,
}

/// One of so many parts, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Partition {
    pub(crate) part: usize,
    pub(crate) of: usize,
}

/// A bound on preemptions, or none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Preemptions(pub(crate) Option<u32>);

#[derive(Clone, Debug, Args)]
pub(crate) struct CheckArguments {
    pub(crate) exhibit: String,
    pub(crate) subject: String,
    #[arg(value_parser = engine)]
    pub(crate) engine: Engine,
    #[command(flatten)]
    pub(crate) effort: Effort,
    #[arg(long)]
    pub(crate) budget_ms: Option<u64>,
    /// How many cores explore.
    #[arg(long, default_value_t = 1)]
    pub(crate) jobs: u32,
    /// Ends when standard input does: with the process that started it.
    #[arg(long)]
    pub(crate) while_stdin: bool,
}

fn engine(text: &str) -> Result<Engine, String> {
    text.parse().map_err(|error: sim::UnknownEngine| error.to_string())
}

fn strategy(text: &str) -> Result<StrategyName, String> {
    text.parse()
}

fn partition(text: &str) -> Result<Partition, String> {
    let wrong = || format!("expected a part and how many there are, such as 1/4, got `{text}`");
    let (part, of) = text.split_once('/').ok_or_else(wrong)?;
    let (part, of): (usize, usize) = (part.parse().map_err(|_| wrong())?, of.parse().map_err(|_| wrong())?);
    if (1..=of).contains(&part) { Ok(Partition { part, of }) } else { Err(wrong()) }
}

fn preemptions(text: &str) -> Result<Preemptions, String> {
    if text == "none" {
        return Ok(Preemptions(None));
    }
    let bound: u8 = text.parse().map_err(|_| format!("expected a number up to 255 or `none`, got `{text}`"))?;
    Ok(Preemptions(Some(bound.into())))
}

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let wrong = || format!("expected a time such as 500ms, 30s, 5m or 8h, got `{text}`");
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let unit_ms: u64 = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    number.checked_mul(unit_ms).filter(|ms| *ms > 0).map(Duration::from_millis).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn parts_count_from_one() {
        assert_eq!(partition("2/8"), Ok(Partition { part: 2, of: 8 }));
        for wrong in ["", "1", "0/2", "3/2", "1/0", "-1/2", "a/b", "1/2/3"] {
            assert!(partition(wrong).is_err_and(|error| error.contains(wrong)), "{wrong}");
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn times_have_units() {
        assert_eq!(duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("8h"), Ok(Duration::from_secs(28_800)));
        for wrong in ["30", "s", "", "-1s", "0s", "1d", "99999999999999999999h"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
