//! Where two runs part: what they have in common, the choice that they answer differently, and how each goes on.

use super::Trace;
use super::timeline::Line;
use crate::choice::{Choice, Kind};
use crate::explore::Replay;
use crate::run::NETWORK_LANE;
use crate::verdict::Verdict;
use std::fmt::Write as _;

/// How many lines a difference has at the most.
pub const DIFFERENCE_LINES: usize = 59;
/// So many steps are shown before the runs part.
const BEFORE: usize = 5;
/// How wide each of the two continuations is, in characters.
const COLUMN: usize = 76;
/// A verdict has so many lines of particulars.
const DETAILS_MAX: usize = 4;
/// The columns have so many lines at the least.
const COLUMN_LINES_MIN: usize = 4;

/// Where two runs of one body part, as text of `lines_max` lines at the most (40 are enough): the end of what they have in common,
/// the choice at which they part and who was chosen in each, then both continuations side by side, and what came of each.
///
/// The runs are compared step by step: who does what, to what, and where. On loom, and where the engines differ, there is no choice
/// to name. Each run comes with what it is called in the heading of its column.
pub fn difference(first: (&str, &Replay), second: (&str, &Replay), lines_max: usize) -> String {
    let empty = Trace::default();
    let traces = [first, second].map(|(_, replay)| replay.trace.as_ref().unwrap_or(&empty));
    let common = common_steps(traces[0], traces[1]);
    let mut out = Vec::new();
    if traces.iter().all(|trace| trace.events.len() == common) && first.1.choices == second.1.choices {
        out.push(format!("the two runs are the same: {common} steps"));
        out.extend(verdict("both", first.1));
        return text(&out);
    }
    out.push(format!("{common} steps are common to both runs{}", if common > BEFORE { "; the last of them:" } else { ":" }));
    let from = common - BEFORE.min(common);
    for (index, event) in traces[0].events[from..common].iter().enumerate() {
        let thread = traces[0].lane_name(event.thread);
        out.push(format!(
            "{:>7} {:>9}  {}",
            from + index,
            milliseconds(event.now_ns),
            told(thread, event.op.verb(), &event.object, &event.site)
        ));
    }
    out.push(String::new());
    out.extend(parting(first, second));
    out.push(String::new());
    let verdicts: Vec<String> = [verdict("left", first.1), verdict("right", second.1)].concat();
    let room = lines_max.saturating_sub(out.len() + verdicts.len() + 2).max(COLUMN_LINES_MIN);
    let columns = traces.map(|trace| continuation(trace, common, room));
    let headings = [("left", first.0), ("right", second.0)].map(|(side, name)| cut(&format!("{side}: {name}"), COLUMN));
    out.push(format!("{:<COLUMN$} | {}", headings[0], headings[1]));
    for row in 0..columns[0].len().max(columns[1].len()) {
        let cell = |column: &Vec<String>| column.get(row).cloned().unwrap_or_default();
        out.push(format!("{:<COLUMN$} | {}", cell(&columns[0]), cell(&columns[1])).trim_end().to_owned());
    }
    out.push(String::new());
    out.extend(verdicts);
    text(&out)
}

fn text(lines: &[String]) -> String {
    lines.iter().fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "{line}");
        text
    })
}

/// How many steps both runs begin with.
fn common_steps(first: &Trace, second: &Trace) -> usize {
    // Threads are told by their numbers, which say who spawned whom: names may come twice.
    let steps = first.events.iter().zip(&second.events);
    steps.take_while(|(a, b)| (a.thread, a.op, &a.object, &a.site) == (b.thread, b.op, &b.object, &b.site)).count()
}

/// The choice that the runs answer differently, and both answers.
fn parting(first: (&str, &Replay), second: (&str, &Replay)) -> Vec<String> {
    let choices = [&first.1.choices, &second.1.choices];
    if choices.iter().any(|choices| choices.is_empty()) {
        return vec![
            "they part here; there is no choice to name, as an engine chose by itself or nothing was to be chosen".to_owned(),
        ];
    }
    let Some(place) = (0..choices[0].len().max(choices[1].len())).find(|&at| choices[0].get(at) != choices[1].get(at)) else {
        return vec![
            "they make the same choices and part all the same: the body depends on something that is no choice".to_owned(),
        ];
    };
    let (Some(left), Some(right)) = (choices[0].get(place), choices[1].get(place)) else {
        return vec![format!("they part where one of them has ended, after {place} choices")];
    };
    if (left.kind, left.arity) != (right.kind, right.arity) {
        let tell = |choice: &Choice| format!("{} among {}", choice.kind.name(), choice.arity);
        let (left, right) = (tell(left), tell(right));
        return vec![format!("they part before choice {place}, which is {left} on the left and {right} on the right")];
    }
    let preempts = if left.preempts { ", where the current thread could go on" } else { "" };
    let mut lines = vec![format!(
        "they part at choice {place} of {} and {}: {} among {}{preempts}",
        choices[0].len(),
        choices[1].len(),
        left.kind.name(),
        left.arity
    )];
    for (side, (_, replay), choice) in [("left", first, left), ("right", second, right)] {
        let trace = replay.trace.as_ref();
        lines.push(format!("  {side}: {}", answer(choice, place as u64, trace)));
    }
    lines
}

/// A choice's answer in words.
pub(super) fn answer(choice: &Choice, place: u64, trace: Option<&Trace>) -> String {
    let value = choice.value;
    let happens = |what: &str, not: &str| if value == 0 { not.to_owned() } else { what.to_owned() };
    match choice.kind {
        Kind::Schedule => {
            let name = trace.and_then(|trace| {
                let picks = &trace.picks;
                let found = picks.binary_search_by_key(&place, |pick| pick.choice).ok()?;
                let thread = picks[found].options.get(usize::try_from(value).ok()?)?;
                Some(trace.lane_name(*thread).to_owned())
            });
            let name = name.unwrap_or_else(|| format!("number {value}"));
            match (choice.preempts, value) {
                (true, 0) => format!("{name} goes on"),
                (true, _) => format!("{name} goes on instead (a preemption)"),
                (false, _) => format!("{name} is next"),
            }
        }
        Kind::Timer => happens("the earliest timer fires though something could run", "no timer fires ahead"),
        Kind::Notify => format!("waiter number {value} is woken, from 0, the one that has waited longest"),
        Kind::Random => format!("the random number is {value}"),
        Kind::Input => format!("the input is {value}"),
        Kind::Delivery => {
            let next = trace.and_then(|trace| {
                let step = trace.events.partition_point(|event| event.choices <= place);
                trace.events.get(step).filter(|event| event.thread == NETWORK_LANE && event.choices == place + 1)
            });
            next.map_or("no packet arrives now".to_owned(), |event| format!("the network {} {}", event.op.verb(), event.object))
        }
        Kind::Delay => format!("the packet takes {value} steps of jitter"),
        Kind::Loss => happens("the packet is lost", "the packet is not lost"),
        Kind::Burst => happens("the link is in a burst of losses", "the link is in no burst of losses"),
        Kind::Duplicate => happens("the packet is duplicated", "the packet is not duplicated"),
        Kind::Reorder => happens("the packet will be overtaken", "the packet is not overtaken"),
        Kind::Corrupt => match value.checked_sub(1) {
            Some(bit) => format!("bit {bit} of the packet is flipped"),
            None => "the packet is not corrupted".to_owned(),
        },
        Kind::Truncate => happens(&format!("{value} bytes are cut off the packet"), "the packet is not cut"),
        Kind::Outage => happens("the link goes dark", "the link stays up"),
    }
}

/// What a run does after the steps that it has in common with the other, in so many lines: the beginning, and the end.
fn continuation(trace: &Trace, common: usize, room: usize) -> Vec<String> {
    let lines: Vec<String> = trace.lines_from(common).iter().map(|line| cell(trace, line)).collect();
    if lines.is_empty() {
        return vec!["(it ends here)".to_owned()];
    }
    if lines.len() <= room {
        return lines;
    }
    let head = room.div_ceil(2);
    let tail = room - head - 1;
    let left_out = format!("... {} lines ...", lines.len() - head - tail);
    [&lines[..head], &[left_out][..], &lines[lines.len() - tail..]].concat()
}

fn cell(trace: &Trace, line: &Line<'_>) -> String {
    match line {
        Line::Step(event, verb) => {
            let thread = if event.thread == NETWORK_LANE { "network" } else { trace.lane_name(event.thread) };
            let object = if event.object_id.is_some() { without_folder(&event.object) } else { event.object.clone() };
            let told = told(thread, verb, &object, &without_folder(&event.site));
            cut(&format!("{:>9} {told}", milliseconds(event.now_ns)), COLUMN)
        }
        Line::Again { lines, times } => format!("{:>9} ... the last {lines} lines {times} more times ...", ""),
    }
}

/// A place, or a name that ends with one, without the folder of its file: two columns have little room.
fn without_folder(text: &str) -> String {
    let words = text.split(' ').map(|word| word.rsplit('/').next().unwrap_or(word));
    words.collect::<Vec<_>>().join(" ")
}

fn told(thread: &str, verb: &str, object: &str, site: &str) -> String {
    let space = if object.is_empty() { "" } else { " " };
    format!("{thread} {verb}{space}{object} ({site})")
}

fn milliseconds(ns: u64) -> String {
    format!("{}.{:02}", ns / 1_000_000, ns / 10_000 % 100)
}

/// Not more than so many characters.
fn cut(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        None => text.to_owned(),
        Some(_) => text.chars().take(characters - 1).chain(['…']).collect(),
    }
}

fn verdict(side: &str, replay: &Replay) -> Vec<String> {
    let mut lines = match &replay.verdict {
        Verdict::Caught(finding) => {
            let mut lines = vec![format!("{side}: caught: {}: {}", finding.detector, finding.reason)];
            lines.extend(finding.details.iter().take(DETAILS_MAX).map(|detail| format!("  {detail}")));
            if let Some(more @ 1..) = finding.details.len().checked_sub(DETAILS_MAX) {
                lines.push(format!("  ... and {more} more"));
            }
            lines
        }
        verdict => vec![format!("{side}: {verdict}")],
    };
    // A reason is the program's own text.
    lines.iter_mut().for_each(|line| *line = line.replace('\n', " "));
    lines
}
