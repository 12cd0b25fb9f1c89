//! Building the targets, by cargo-fuzz.

use super::FuzzArguments;
use crate::fuzzed::Target;
use crate::program::Failure;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A target that is built.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) target: Target,
}

/// Builds the targets: schedules without a sanitizer, bytes with AddressSanitizer.
pub(super) fn build(targets: &[Target], wanted: &FuzzArguments) -> Result<Vec<Program>, Failure> {
    let manifest = wanted.fuzz_dir.join("Cargo.toml");
    if !manifest.is_file() {
        return Err(Failure::Usage(format!(
            "expected the targets' {}, which is not there: run this in the repository, or say --fuzz-dir",
            manifest.display()
        )));
    }
    let compiler = Compiler::ask()?;
    let is_sanitized = |target: &Target| !wanted.no_asan && matches!(target, Target::Bytes(_));
    let mut programs = Vec::new();
    for sanitizer in ["none", "address"] {
        let of_these: Vec<&Target> = targets.iter().filter(|target| is_sanitized(target) == (sanitizer == "address")).collect();
        if of_these.is_empty() {
            continue;
        }
        eprintln!("building {} targets with sanitizer {sanitizer}", of_these.len());
        let folder = wanted.fuzz_dir.join("target").join(sanitizer);
        for target in of_these {
            let path = folder.join(&compiler.host).join("release").join(target.name());
            cargo_fuzz(&target.name(), sanitizer, &folder, wanted, &compiler)?;
            programs.push(Program { name: target.name(), path, target: target.clone() });
        }
    }
    // The order in which they were asked for.
    programs.sort_by_key(|program| targets.iter().position(|target| target.name() == program.name));
    Ok(programs)
}

fn cargo_fuzz(target: &str, sanitizer: &str, folder: &Path, wanted: &FuzzArguments, compiler: &Compiler) -> Result<(), Failure> {
    let mut command = Command::new("cargo");
    command.args(["fuzz", "build", "--sanitizer", sanitizer]).arg("--fuzz-dir").arg(&wanted.fuzz_dir);
    command.arg("--target-dir").arg(folder).arg(target);
    if sanitizer != "none" && !compiler.is_nightly {
        // A sanitizer is an unstable option of the compiler, and these are no programs that anybody ships.
        command.env("RUSTC_BOOTSTRAP", "1");
    }
    let status = command.status().map_err(|error| Failure::System(format!("cargo could not be run: {error}")))?;
    if status.success() {
        return Ok(());
    }
    let hint = match sanitizer {
        "none" => "is cargo-fuzz there (cargo install cargo-fuzz)?",
        _ => "is cargo-fuzz there (cargo install cargo-fuzz)? --no-asan does without the sanitizer",
    };
    Err(Failure::System(format!("cargo fuzz build {target} ended with {status}: {hint}")))
}

struct Compiler {
    host: String,
    is_nightly: bool,
}

impl Compiler {
    fn ask() -> Result<Compiler, Failure> {
        let output = Command::new("rustc").arg("-vV").output();
        let output = output.map_err(|error| Failure::System(format!("rustc could not be run: {error}")))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let host = text.lines().find_map(|line| line.strip_prefix("host: "));
        let host = host.ok_or_else(|| Failure::System(format!("expected rustc -vV to name its host, got: {text}")))?;
        Ok(Compiler { host: host.to_owned(), is_nightly: text.contains("-nightly") || text.contains("-dev") })
    }
}
