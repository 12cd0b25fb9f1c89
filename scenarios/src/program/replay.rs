//! `glare replay`.

use super::arguments::ReplayArguments;
use super::select::{find_exhibit, find_on, find_subject, replayable};
use super::whole_file::WholeFile;
use super::{Failure, capture, choices_folder};
use crate::exhibit::{Exhibit, Subject};
use sim::Engine;
use sim::choice::deviating;
use sim::explore::{Replay, ReplayError};
use sim::token::Token;
use sim::trace::{self, DIFFERENCE_LINES};

/// What is printed has so many lines at the most, unless the user says how many the timeline has.
const LINES_MAX: usize = 59;
/// Such a timeline has so many lines at the least.
const TIMELINE_LINES_MIN: usize = 20;
/// The token of the run that makes only dull choices.
const DULL: &str = "dull";

/// Runs the token's run, shows its timeline or where it parts from another, and says what came of it.
pub(crate) fn replay(wanted: &ReplayArguments) -> Result<bool, Failure> {
    let token: Token = wanted.token.parse().map_err(usage)?;
    let exhibits = replayable();
    let exhibit = find_exhibit(&exhibits, &token.exhibit)?;
    let subject = find_subject(exhibit, &token.subject)?;
    let other = wanted.diff.as_deref().map(|text| Other::of(text, &token)).transpose()?;
    // A path that cannot be written is known before anything runs.
    let html = wanted.html.as_deref().map(WholeFile::create).transpose()?;
    let perfetto = wanted.perfetto.as_deref().map(WholeFile::create).transpose()?;
    let replay = run(exhibit, subject, &token)?;
    if let Some(file) = html {
        file.write(trace::page(&token, &replay).as_bytes())?;
    }
    if let Some(file) = perfetto {
        file.write(trace::perfetto(&token, &replay).as_bytes())?;
    }
    let mut written = String::new();
    if let (Some(path), Some(trace)) = (&wanted.pcap, &replay.trace) {
        written = format!("{} packets in {}\n\n", capture::write(trace, path)?, path.display());
    }
    if let Some(other) = other {
        let (name, other) = match other {
            Other::Dull => {
                let on = find_on(subject, token.engine)?;
                let dull = on.check(exhibit, subject).replay_dull(on.body_of(subject)).map_err(failure)?;
                ("the run of dull choices".to_owned(), dull)
            }
            Other::Token(other) => (other.to_string(), run(exhibit, subject, &other)?),
        };
        print!("{written}{}", trace::difference((&wanted.token, &replay), (&name, &other), DIFFERENCE_LINES));
        return Ok(true);
    }
    let before = format!("{}: {}\n{}: {}\n\n", exhibit.name, exhibit.story, subject.name, subject.about);
    let after = format!("{written}{}\ntrace hash {:016x}\n{}\n", replay.verdict, replay.trace_hash, had(&token, &replay));
    print!("{before}");
    if let Some(trace) = &replay.trace {
        // Two more: what stands above its lanes, and the empty line below.
        let taken = before.lines().count() + after.lines().count() + 2;
        let lines = wanted.lines.map_or(LINES_MAX.saturating_sub(taken).max(TIMELINE_LINES_MIN), |lines| lines as usize);
        println!("{}", trace.timeline(lines));
    }
    print!("{after}");
    Ok(true)
}

/// What the run is compared with.
enum Other {
    Dull,
    Token(Token),
}

impl Other {
    fn of(text: &str, token: &Token) -> Result<Other, Failure> {
        if text == DULL {
            return Ok(Other::Dull);
        }
        let other: Token = text.parse().map_err(usage)?;
        if (&other.exhibit, &other.subject) != (&token.exhibit, &token.subject) {
            return Err(Failure::Usage(format!(
                "expected `{DULL}` or another token of {} {}, got one of {} {}",
                token.exhibit, token.subject, other.exhibit, other.subject
            )));
        }
        Ok(Other::Token(other))
    }
}

fn run(exhibit: &Exhibit, subject: &Subject, token: &Token) -> Result<Replay, Failure> {
    let token = token.clone().resolve(&choices_folder()).map_err(usage)?;
    let on = find_on(subject, token.engine)?;
    on.check(exhibit, subject).replay(&token, true, on.body_of(subject)).map_err(failure)
}

pub(super) fn usage(error: impl std::error::Error) -> Failure {
    Failure::Usage(error.to_string())
}

/// What a run that is not had again says of it: a stale token is the user's, all else the system's.
pub(super) fn failure(error: ReplayError) -> Failure {
    match error {
        ReplayError::Changed { .. } | ReplayError::NeedsFile { .. } => usage(error),
        _ => Failure::System(error.to_string()),
    }
}

/// What ran.
fn had(token: &Token, replay: &Replay) -> String {
    match token.engine {
        Engine::Loom => format!("loom counted up to iteration {} and ran it", replay.schedules),
        _ => format!("one schedule, {} choices, {} of them not 0", replay.choices.len(), deviating(&replay.choices)),
    }
}
