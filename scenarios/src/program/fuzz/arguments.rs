//! The arguments of `glare fuzz`.

use super::super::arguments::duration;
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

pub(crate) const FUZZ_HELP: &str = "Examples:
  glare fuzz --for 8h                     every target, all cores, overnight
  glare fuzz session_close rtcp --for 10m --json summary.json
  glare fuzz --list

Run it in the repository. It takes cargo-fuzz (cargo install cargo-fuzz). Targets that read bytes are built with AddressSanitizer, which
takes a nightly compiler or RUSTC_BOOTSTRAP=1 (set where the compiler is stable); those that drive schedules without, as it warns of
coroutines. Kill it when you like: the next run goes on where this one was. Exit 1 if anything was found.";

#[derive(Clone, Debug, Args)]
pub(crate) struct FuzzArguments {
    /// The targets to fuzz; all of them if none is named.
    #[arg(value_name = "TARGET")]
    pub(crate) targets: Vec<String>,
    /// How long to fuzz, as 10m or 8h. Building comes before, and minimising after.
    #[arg(long = "for", value_parser = duration, value_name = "TIME", default_value = "10m")]
    pub(crate) time: Duration,
    /// How many targets are fuzzed at once; as many as there are cores if not said.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256), value_name = "N")]
    pub(crate) jobs: Option<u16>,
    /// How long a target's turn is; as long as lets each have one, and 30 s at the most, if not said.
    #[arg(long, value_parser = duration, value_name = "TIME")]
    pub(crate) turn: Option<Duration>,
    /// Where corpora, what is found, and what is counted are kept.
    #[arg(long, value_name = "FOLDER", default_value = "glare-fuzz")]
    pub(crate) dir: PathBuf,
    /// Where the targets are.
    #[arg(long, value_name = "FOLDER", default_value = "fuzz")]
    pub(crate) fuzz_dir: PathBuf,
    /// Where libFuzzer's randomness begins.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u32,
    /// Also those that read bytes without AddressSanitizer.
    #[arg(long)]
    pub(crate) no_asan: bool,
    /// Only says which targets there are.
    #[arg(long)]
    pub(crate) list: bool,
    /// Writes the summary to this file too.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}
