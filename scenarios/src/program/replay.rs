//! `glare replay`.

use super::select::{find_exhibit, find_on, find_subject, replayable};
use super::{Failure, capture, choices_folder};
use sim::Engine;
use sim::explore::{ReplayError, TIMELINE_LINES};
use sim::token::Token;
use std::path::Path;

/// Runs the token's run, shows its timeline and says what came of it.
pub(crate) fn replay(text: &str, pcap: Option<&Path>, lines: Option<u32>) -> Result<bool, Failure> {
    let usage = |error: &dyn std::error::Error| Failure::Usage(error.to_string());
    let token: Token = text.parse().map_err(|error| usage(&error))?;
    let token = token.resolve(&choices_folder()).map_err(|error| usage(&error))?;
    let exhibits = replayable();
    let exhibit = find_exhibit(&exhibits, &token.exhibit)?;
    let subject = find_subject(exhibit, &token.subject)?;
    let on = find_on(subject, token.engine)?;
    let replay = on.check(exhibit, subject).replay(&token, true, on.body_of(subject)).map_err(|error| match error {
        ReplayError::Changed { .. } | ReplayError::NeedsFile { .. } => usage(&error),
        _ => Failure::System(error.to_string()),
    })?;
    println!("{}: {}", exhibit.name, exhibit.story);
    println!("{}: {}\n", subject.name, subject.about);
    if let Some(trace) = &replay.trace {
        println!("{}", trace.timeline(lines.map_or(TIMELINE_LINES, |lines| lines as usize)));
    }
    if let (Some(path), Some(trace)) = (pcap, &replay.trace) {
        let packets = capture::write(trace, path)?;
        println!("{packets} packets in {}\n", path.display());
    }
    println!("{}", replay.verdict);
    println!("trace hash {:016x}", replay.trace_hash);
    match token.engine {
        Engine::Loom => println!("loom counted up to iteration {} and ran it", replay.schedules),
        _ => println!("one schedule, {} choices, {} of them not 0", replay.choices.len(), deviating(&replay.choices)),
    }
    Ok(true)
}

fn deviating(choices: &[sim::choice::Choice]) -> usize {
    choices.iter().filter(|choice| choice.value != 0).count()
}
