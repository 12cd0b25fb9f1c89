//! What the clean runs of a check saw: which operations overlapped, and which timers fired or were beaten.

use crate::trace::place;
use std::panic::Location;

/// What was seen over all runs of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    operations: Vec<(&'static str, u64)>,
    pairs: Vec<([&'static str; 2], u64)>,
    timers: Vec<(&'static Location<'static>, u64, u64)>,
}

impl Coverage {
    pub(crate) fn entered(&mut self, name: &'static str) {
        match self.operations.iter_mut().find(|(known, _)| *known == name) {
            Some((_, count)) => *count += 1,
            None => self.operations.push((name, 1)),
        }
    }

    pub(crate) fn overlapped(&mut self, a: &'static str, b: &'static str) {
        let pair = if a <= b { [a, b] } else { [b, a] };
        match self.pairs.iter_mut().find(|(known, _)| *known == pair) {
            Some((_, count)) => *count += 1,
            None => self.pairs.push((pair, 1)),
        }
    }

    pub(crate) fn timer(&mut self, site: &'static Location<'static>, fired: bool) {
        let entry = match self.timers.iter().position(|(known, ..)| *known == site) {
            Some(position) => &mut self.timers[position],
            None => {
                self.timers.push((site, 0, 0));
                self.timers.last_mut().expect("it was pushed just now")
            }
        };
        if fired {
            entry.1 += 1;
        } else {
            entry.2 += 1;
        }
    }

    /// What another thread that explored has seen.
    pub(crate) fn add(&mut self, other: &Coverage) {
        for (name, count) in &other.operations {
            match self.operations.iter_mut().find(|(known, _)| known == name) {
                Some((_, known)) => *known += count,
                None => self.operations.push((name, *count)),
            }
        }
        for (pair, count) in &other.pairs {
            match self.pairs.iter_mut().find(|(known, _)| known == pair) {
                Some((_, known)) => *known += count,
                None => self.pairs.push((*pair, *count)),
            }
        }
        for (site, fired, beaten) in &other.timers {
            match self.timers.iter_mut().find(|(known, ..)| known == site) {
                Some((_, known_fired, known_beaten)) => {
                    *known_fired += fired;
                    *known_beaten += beaten;
                }
                None => self.timers.push((site, *fired, *beaten)),
            }
        }
    }

    /// How often each two operations overlapped, on different threads.
    pub fn pairs(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> + '_ {
        self.pairs.iter().map(|([a, b], count)| (*a, *b, *count))
    }

    /// How often an operation was entered.
    pub fn operations(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.operations.iter().copied()
    }

    /// For each timed wait, as `file:line`: how often its time ended it, and how often something came first.
    pub fn timers(&self) -> impl Iterator<Item = (String, u64, u64)> + '_ {
        self.timers.iter().map(|(site, fired, beaten)| (place(site), *fired, *beaten))
    }

    /// One line: the pairs and the timers with their counts.
    pub fn summary(&self) -> String {
        let mut pairs: Vec<String> = self.pairs().map(|(a, b, count)| format!("{a}||{b} {count}")).collect();
        pairs.sort();
        let mut timers: Vec<String> =
            self.timers().map(|(site, fired, beaten)| format!("{site} fired {fired}, beaten {beaten}")).collect();
        timers.sort();
        format!("overlaps: {}; timers: {}", or_none(&pairs), or_none(&timers))
    }
}

fn or_none(items: &[String]) -> String {
    if items.is_empty() { "none".to_owned() } else { items.join(", ") }
}
