//! `glare shrink` and `glare token`: a failing run, as short as it can be, as a token.

use super::replay::{failure, usage};
use super::select::{find_exhibit, find_on, find_subject, find_target, replayable};
use super::{Failure, choices_folder};
use crate::fuzzed::Target;
use sim::explore::Report;
use sim::token::{RunId, Token};
use sim::verdict::Verdict;
use std::path::Path;

/// Shrinks the token's run. False if nothing fails in it.
pub(crate) fn shrink(text: &str) -> Result<bool, Failure> {
    let token: Token = text.parse().map_err(usage)?;
    let token = token.resolve(&choices_folder()).map_err(usage)?;
    let exhibits = replayable();
    let exhibit = find_exhibit(&exhibits, &token.exhibit)?;
    let subject = find_subject(exhibit, &token.subject)?;
    let on = find_on(subject, token.engine)?;
    let report = on.check(exhibit, subject).shrink_token(&token, on.body_of(subject)).map_err(failure)?;
    tell(&report, &size(&token))
}

/// Turns a file that a fuzzer found into a token. False if nothing fails in the run that it stands for.
pub(crate) fn token(file: &Path, target: Option<&str>) -> Result<bool, Failure> {
    let target = target_of(file, target)?;
    let bytes = std::fs::read(file).map_err(|error| Failure::Usage(format!("{} was not read: {error}", file.display())))?;
    let report = target.report(&bytes).map_err(failure)?;
    tell(&report, &format!("{} bytes", bytes.len()))
}

/// The target of this name, or of the folder that the file lies in, as libFuzzer's artifacts and corpora do.
fn target_of(file: &Path, name: Option<&str>) -> Result<Target, Failure> {
    let folder = file.parent().and_then(|folder| folder.file_name()).and_then(|name| name.to_str());
    let Some(wanted) = name.or(folder) else {
        return Err(Failure::Usage(format!("expected a file in its target's folder, or --target, got {}", file.display())));
    };
    find_target(wanted)
}

/// Says what fails, how far it was shrunk, and, alone on the last line, its token.
fn tell(report: &Report, before: &str) -> Result<bool, Failure> {
    println!("{}", report.verdict);
    let (Verdict::Caught(_), Some(token)) = (&report.verdict, &report.token) else {
        return Ok(false);
    };
    if let Some(shrinking) = report.shrinking {
        let end = if shrinking.is_minimal { "nothing more can be left out" } else { "the limit on shrinking ended it" };
        let preemptions = report.preemptions.map(|count| format!(", with {count} preemptions")).unwrap_or_default();
        println!(
            "{before} became {}{preemptions}, in {} runs and {:.2} s; {end}",
            size(token),
            shrinking.tries,
            shrinking.wall.as_secs_f64()
        );
    }
    let kept = token.in_a_line(&choices_folder());
    println!("{}", kept.map_err(|error| Failure::System(format!("the choices were not kept: {error}")))?);
    Ok(true)
}

fn size(token: &Token) -> String {
    match &token.run {
        RunId::Choices { deviations, .. } => format!("{} choices that are not 0", deviations.len()),
        RunId::Iteration { bounds, iteration, .. } => format!("iteration {iteration} within {}", bounds.on(token.engine)),
        _ => "a file of choices".to_owned(),
    }
}
