//! What was found: a file of libFuzzer's, its cause, and its token.

use crate::program::select::find_target;
use crate::program::{Failure, choices_folder, worker};
use serde::{Deserialize, Serialize};
use sim::verdict::Verdict;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Something that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Finding {
    pub(super) target: String,
    /// Who saw it; `none` if its run fails only in the fuzzer.
    pub(super) detector: String,
    /// Why, shrunk.
    pub(super) reason: String,
    /// What replays it.
    pub(super) token: Option<String>,
    /// The file that it was found in first.
    pub(super) file: PathBuf,
    /// In how many files it was found.
    pub(super) times: u64,
}

impl Finding {
    /// What two findings of one cause have in common: who saw it and why, whatever the numbers.
    pub(super) fn cause(&self) -> (String, String) {
        let mut reason = String::new();
        for letter in self.reason.chars() {
            match letter.is_ascii_digit() {
                true if reason.ends_with('#') => {}
                true => reason.push('#'),
                false => reason.push(letter),
            }
        }
        (self.detector.clone(), reason)
    }
}

/// Adds a finding, unless its cause is known. True if it is new.
pub(super) fn add(findings: &mut Vec<Finding>, finding: Finding) -> bool {
    match findings.iter_mut().find(|known| known.cause() == finding.cause()) {
        Some(known) => {
            known.times += 1;
            false
        }
        None => {
            findings.push(finding);
            true
        }
    }
}

/// Looks at a file that libFuzzer left, in a process of its own: what it does there may end that one too.
pub(super) fn look_at(target: &str, file: &Path, last_words: &str) -> Finding {
    let unknown = |why: String| Finding {
        target: target.to_owned(),
        detector: "none".to_owned(),
        reason: why,
        file: file.to_owned(),
        times: 1,
        ..Finding::default()
    };
    let output = worker::program().and_then(|program| {
        Command::new(program).args(["triage", target]).arg(file).stdin(Stdio::null()).stderr(Stdio::null()).output()
    });
    let output = match output {
        Ok(output) => output,
        Err(error) => return unknown(format!("it could not be looked at: {error}")),
    };
    match String::from_utf8_lossy(&output.stdout).lines().last().map(serde_json::from_str::<Finding>) {
        Some(Ok(finding)) if finding.detector != "none" => finding,
        Some(Ok(_)) => unknown(format!("only in the fuzzer: {last_words}")),
        _ => unknown(format!("its process ended with {}: {last_words}", output.status)),
    }
}

/// The other side of [`look_at`]: runs the file's run, shrinks it, and writes the finding to standard output.
pub(crate) fn triage(target: &str, file: &Path) -> Result<bool, Failure> {
    let system = |error: &dyn std::fmt::Display| Failure::System(error.to_string());
    let known = find_target(target)?;
    let bytes = std::fs::read(file).map_err(|error| system(&error))?;
    let report = known.report(&bytes).map_err(|error| system(&error))?;
    let (detector, reason) = match &report.verdict {
        Verdict::Caught(finding) => (finding.detector.name().to_owned(), finding.reason.clone()),
        Verdict::Clean => ("none".to_owned(), "clean".to_owned()),
        verdict => ("crashed".to_owned(), verdict.to_string()),
    };
    let token = report.token.map(|token| token.in_a_line(&choices_folder())).transpose().map_err(|error| system(&error))?;
    let token = token.map(|token| token.to_string());
    let finding = Finding { target: target.to_owned(), detector, reason, token, file: file.to_owned(), times: 1 };
    println!("{}", serde_json::to_string(&finding).map_err(|error| system(&error))?);
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_cause_is_one_finding() {
        let finding = |detector: &str, reason: &str| Finding {
            detector: detector.to_owned(),
            reason: reason.to_owned(),
            times: 1,
            ..Finding::default()
        };
        let mut findings = Vec::new();
        assert!(add(&mut findings, finding("panic", "left: 12, right: 7 (at a.rs:3)")));
        assert!(!add(&mut findings, finding("panic", "left: 9, right: 130 (at a.rs:3)")));
        assert!(add(&mut findings, finding("panic", "index out of bounds (at a.rs:3)")));
        assert!(add(&mut findings, finding("leak", "left: 12, right: 7 (at a.rs:3)")));
        assert_eq!(findings.iter().map(|finding| finding.times).collect::<Vec<_>>(), [2, 1, 1]);
    }
}
