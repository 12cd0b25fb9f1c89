//! The `glare` program: its commands and exit codes.

mod arguments;
mod call;
mod capture;
mod fuzz;
mod hashes;
mod junit;
mod names;
mod replay;
mod row;
mod run;
mod select;
mod shrink;
mod table;
mod whole_file;
pub mod worker;

pub use row::Row;

use arguments::{Arguments, Command};
use clap::Parser;
use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

/// Everything was as expected.
const AS_EXPECTED: u8 = 0;
/// Something was not.
const NOT_AS_EXPECTED: u8 = 1;
/// The command was wrong.
const WRONG_USAGE: u8 = 2;

/// Where the choices of a token that is too long for a line are kept.
pub(crate) fn choices_folder() -> PathBuf {
    PathBuf::from("glare-choices")
}

/// Set by Ctrl-C.
pub(crate) fn interrupted_flag() -> Result<&'static AtomicBool, Failure> {
    static INTERRUPTED: AtomicBool = AtomicBool::new(false);
    ctrlc::set_handler(|| INTERRUPTED.store(true, Ordering::SeqCst))
        .map_err(|error| Failure::System(format!("Ctrl-C could not be waited for: {error}")))?;
    Ok(&INTERRUPTED)
}

/// Why a command did not do what it was to do.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command itself was wrong.
    Usage(String),
    /// The system was in the way.
    System(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Usage(why) | Failure::System(why) => f.write_str(why),
        }
    }
}

/// The program, from its arguments to its exit code.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.command.unwrap_or_default() {
        Command::List { json } => run::list(json.as_deref()),
        Command::Run(wanted) => run::run(&wanted),
        Command::Replay(wanted) => replay::replay(&wanted),
        Command::Fuzz(wanted) => fuzz::fuzz(&wanted),
        Command::Guard { program, arguments } => return fuzz::guard(&program, &arguments),
        Command::Triage { target, file } => fuzz::triage(&target, &file),
        Command::Shrink { token } => shrink::shrink(&token),
        Command::Token { file, target } => shrink::token(&file, target.as_deref()),
        Command::Call(arguments) => call::call(&arguments),
        Command::Answer(arguments) => call::answer(&arguments),
        Command::Check(check) => worker::work(&check),
        Command::Hashes { exhibit, subject, engine, seeds } => hashes::hashes(&exhibit, &subject, engine, seeds),
    };
    match result {
        Ok(true) => ExitCode::from(AS_EXPECTED),
        Ok(false) => ExitCode::from(NOT_AS_EXPECTED),
        Err(failure) => {
            eprintln!("glare: {failure}");
            ExitCode::from(match failure {
                Failure::Usage(_) => WRONG_USAGE,
                Failure::System(_) => NOT_AS_EXPECTED,
            })
        }
    }
}
