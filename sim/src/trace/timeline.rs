//! The timeline as text.

use super::{Event, Op, Trace};
use crate::run::NETWORK_LANE;
use std::fmt::Write as _;

impl Trace {
    /// The timeline as text: a lane per thread, a line per step, at most `lines_max` of them (the middle is left out).
    pub fn timeline(&self, lines_max: usize) -> String {
        let mut lanes: Vec<(u32, &str)> =
            self.threads.iter().enumerate().map(|(lane, name)| (lane as u32, name.as_str())).collect();
        if !self.packets.is_empty() {
            lanes.push((NETWORK_LANE, "network"));
        }
        let width = lanes.iter().map(|(_, name)| name.chars().count()).max().unwrap_or(4).clamp(4, 18);
        let mut out = String::new();
        let _ = write!(out, "{:>12}  ", "time");
        for (_, name) in &lanes {
            let _ = write!(out, "{:<width$} ", name.chars().take(width).collect::<String>());
        }
        out.push('\n');
        let mut left_out = 0;
        for (line, is_shown) in self.lines().into_iter().zip(shown(&self.lines(), lines_max)) {
            let (event, verb) = match line {
                Line::Step(event, verb) if is_shown => (event, verb),
                Line::Again { lines, times } if is_shown => {
                    let _ = writeln!(out, "{:>12}  ... the last {lines} lines {times} more times ...", "");
                    continue;
                }
                _ => {
                    left_out += 1;
                    continue;
                }
            };
            if std::mem::take(&mut left_out) > 0 {
                let _ = writeln!(out, "{:>12}  ...", "");
            }
            let _ = write!(out, "{:>9}.{:02} ", event.now_ns / 1_000_000, event.now_ns / 10_000 % 100);
            out.push(' ');
            let mut name = "?";
            for (lane, its_name) in &lanes {
                let is_its = *lane == event.thread;
                let mark = if is_its { "*" } else { "|" };
                let _ = write!(out, "{mark:<width$} ");
                if is_its {
                    name = its_name;
                }
            }
            let space = if event.object.is_empty() { "" } else { " " };
            let _ = writeln!(out, "{name} {verb}{space}{}  ({})", event.object, event.site);
        }
        out
    }

    /// What is shown: a lock that is had at once is one line, and so is one that is given back before anything else happens.
    fn lines(&self) -> Vec<Line<'_>> {
        self.lines_from(0)
    }

    /// As [`Trace::lines`], of what comes after the first `step` steps.
    pub(super) fn lines_from(&self, step: usize) -> Vec<Line<'_>> {
        let mut lines = Vec::new();
        let mut rest = &self.events[step.min(self.events.len())..];
        while let Some((event, after)) = rest.split_first() {
            let goes_on = |index: usize, op: Op| {
                after.get(index).is_some_and(|next| next.op == op && next.thread == event.thread && next.object == event.object)
            };
            let is_sent = |next: &Event| next.op == Op::PacketSent && next.thread == event.thread;
            if event.op == Op::Send && after.first().is_some_and(is_sent) {
                // The packet's own line says more.
                rest = after;
                continue;
            }
            let (verb, taken) = match event.op {
                Op::Lock | Op::TryLock if goes_on(0, Op::Locked) && goes_on(1, Op::Unlock) => ("takes and gives back", 2),
                Op::Lock | Op::TryLock if goes_on(0, Op::Locked) => ("takes", 1),
                Op::TryLock => ("tries in vain", 0),
                Op::TimedOut if event.object.is_empty() => ("wakes up", 0),
                Op::Woken if event.object.is_empty() => ("goes on", 0),
                op => (op.verb(), 0),
            };
            lines.push((event, verb));
            rest = &after[taken..];
        }
        fold_repetitions(lines)
    }
}

/// A line of a timeline.
#[derive(Clone, Copy)]
pub(super) enum Line<'a> {
    /// A step, and what is said of it.
    Step(&'a Event, &'static str),
    /// So many lines before this one came again so many times.
    Again { lines: usize, times: usize },
}

/// A loop that goes round and round is told once.
fn fold_repetitions<'a>(steps: Vec<(&'a Event, &'static str)>) -> Vec<Line<'a>> {
    let same = |a: &(&Event, &str), b: &(&Event, &str)| {
        (a.0.thread, a.1, &a.0.object, &a.0.site) == (b.0.thread, b.1, &b.0.object, &b.0.site)
    };
    let mut lines = Vec::new();
    let mut at = 0;
    while at < steps.len() {
        let comes_again = |length: &usize| {
            let (block, after) = (&steps[at..at + length], steps.get(at + length..at + 2 * length));
            after.is_some_and(|after| block.iter().zip(after).all(|(a, b)| same(a, b)))
        };
        let longest = REPETITION_LINES_MAX.min((steps.len() - at) / 2);
        let Some(length) = (1..=longest).find(comes_again) else {
            lines.push(Line::Step(steps[at].0, steps[at].1));
            at += 1;
            continue;
        };
        let block = &steps[at..at + length];
        lines.extend(block.iter().map(|(event, verb)| Line::Step(event, verb)));
        let times =
            steps[at + length..].chunks_exact(length).take_while(|chunk| chunk.iter().zip(block).all(|(a, b)| same(a, b)));
        let times = times.count();
        lines.push(Line::Again { lines: length, times });
        at += length * (times + 1);
    }
    lines
}

/// Loops with longer rounds are told round by round.
const REPETITION_LINES_MAX: usize = 12;

/// Which lines are shown where there are too many: the first third, the end, and what happened to packets between.
fn shown(lines: &[Line<'_>], lines_max: usize) -> Vec<bool> {
    if lines.len() <= lines_max {
        return vec![true; lines.len()];
    }
    let tells_fate =
        |line: &Line<'_>| matches!(line, Line::Step(event, _) if matches!(event.op, Op::PacketLost | Op::PacketHarmed));
    let head = lines_max / 3;
    // Lines that say what was left out take their places too.
    let fates = lines[head..].iter().filter(|line| tells_fate(line)).count().min(lines_max / 6);
    let tail = lines_max.saturating_sub(head + 2 * fates + 1);
    let mut left = fates;
    let mut shown = vec![false; lines.len()];
    for (index, line) in lines.iter().enumerate() {
        let is_fate = index >= head && left > 0 && tells_fate(line);
        left -= usize::from(is_fate);
        shown[index] = index < head || index + tail >= lines.len() || is_fate;
    }
    shown
}
