//! Which checks a command line asks for.

use super::arguments::{Partition, RunArguments};
use super::{Failure, Row, names};
use crate::exhibit::{Exhibit, Expected, On, Subject};
use crate::fuzzed::{Target, targets};
use sim::Engine;

/// A check to run.
#[derive(Clone, Debug)]
pub(crate) struct Selected {
    pub(crate) row: Row,
    pub(crate) engine: Engine,
    /// Skipped, and counted: the engine cannot run it.
    pub(crate) is_skipped: bool,
    /// Only where it is asked for.
    pub(crate) is_pair: bool,
}

/// The exhibits, and what fuzz targets find: all that a token can be of.
pub(crate) fn replayable() -> Vec<Exhibit> {
    let mut exhibits = crate::exhibits();
    exhibits.push(crate::fuzzed::exhibit());
    exhibits
}

/// The fuzz target of this name.
pub(crate) fn find_target(name: &str) -> Result<Target, Failure> {
    let known = targets();
    let known_names: Vec<String> = known.iter().map(Target::name).collect();
    let found = known.into_iter().find(|target| target.name() == name);
    found.ok_or_else(|| Failure::Usage(names::unknown("target", name, known_names.iter().map(String::as_str))))
}

/// Every subject on every engine, in order.
pub(crate) fn all(exhibits: &[Exhibit]) -> Vec<Selected> {
    let mut selected = Vec::new();
    for exhibit in exhibits {
        for subject in &exhibit.subjects {
            for on in &subject.on {
                selected.push(Selected {
                    row: Row::planned(exhibit, subject, on),
                    engine: on.engine,
                    is_skipped: matches!(on.expected, Expected::NotRun(_)),
                    is_pair: on.is_pair,
                });
            }
        }
    }
    selected
}

/// What the command line asks for.
pub(crate) fn select(exhibits: &[Exhibit], wanted: &RunArguments) -> Result<Vec<Selected>, Failure> {
    for name in &wanted.exhibits {
        find_exhibit(exhibits, name)?;
    }
    let in_question: Vec<&Exhibit> = exhibits
        .iter()
        .filter(|exhibit| wanted.exhibits.is_empty() || wanted.exhibits.iter().any(|name| name == exhibit.name))
        .collect();
    for name in &wanted.subjects {
        if !in_question.iter().any(|exhibit| exhibit.subject(name).is_some()) {
            let known = in_question.iter().flat_map(|exhibit| exhibit.subjects.iter().map(|subject| subject.name));
            return Err(Failure::Usage(names::unknown("subject", name, known)));
        }
    }
    let mut engines = Vec::new();
    for name in &wanted.engines {
        let engine: Engine = name
            .parse()
            .map_err(|_| Failure::Usage(names::unknown("engine", name, Engine::ALL.iter().map(|engine| engine.name()))))?;
        engines.push(engine);
    }
    let mut selected = all(exhibits);
    selected.retain(|check| {
        in_question.iter().any(|exhibit| exhibit.name == check.row.exhibit)
            && (wanted.subjects.is_empty() || wanted.subjects.contains(&check.row.subject))
            && (engines.is_empty() || engines.contains(&check.engine))
            && (!check.is_pair || wanted.pairs || wanted.subjects.contains(&check.row.subject))
    });
    if selected.is_empty() {
        let wanted: Vec<&str> = engines.iter().map(|engine| engine.name()).collect();
        return Err(Failure::Usage(format!("none of what was asked for runs on {}", wanted.join(" or "))));
    }
    if let Some(Partition { part, of }) = wanted.partition {
        // One of each few in a row, as those of one exhibit take about as long.
        let mut at = 0;
        selected.retain(|_| {
            at += 1;
            at % of == part % of
        });
        if selected.is_empty() {
            return Err(Failure::Usage(format!("expected no more parts than there are checks, got {of} for {at}")));
        }
    }
    Ok(selected)
}

pub(crate) fn find_exhibit<'a>(exhibits: &'a [Exhibit], name: &str) -> Result<&'a Exhibit, Failure> {
    exhibits
        .iter()
        .find(|exhibit| exhibit.name == name)
        .ok_or_else(|| Failure::Usage(names::unknown("exhibit", name, exhibits.iter().map(|exhibit| exhibit.name))))
}

pub(crate) fn find_subject<'a>(exhibit: &'a Exhibit, name: &str) -> Result<&'a Subject, Failure> {
    exhibit.subject(name).ok_or_else(|| {
        let known = exhibit.subjects.iter().map(|subject| subject.name);
        Failure::Usage(names::unknown(&format!("subject of {}", exhibit.name), name, known))
    })
}

pub(crate) fn find_on(subject: &Subject, engine: Engine) -> Result<&On, Failure> {
    subject.on(engine).filter(|on| !matches!(on.expected, Expected::NotRun(_))).ok_or_else(|| {
        let engines: Vec<&str> = subject.on.iter().map(|on| on.engine.name()).collect();
        Failure::Usage(format!("{} does not run on {engine}, but on {}", subject.name, engines.join(" and ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_is_in_one_part() {
        let exhibits = crate::exhibits();
        let names = |partition| {
            let wanted = RunArguments { partition, ..RunArguments::default() };
            let selected = select(&exhibits, &wanted).map_err(|error| error.to_string())?;
            let name = |check: Selected| format!("{}/{} on {}", check.row.exhibit, check.row.subject, check.engine);
            Ok::<Vec<String>, String>(selected.into_iter().map(name).collect())
        };
        let mut all = names(None).expect("everything is something");
        all.sort();
        for of in [1, 2, 3, 7, all.len()] {
            let parts = (1..=of).map(|part| names(Some(Partition { part, of })).expect("there is one for each part"));
            let mut together: Vec<String> = parts.flatten().collect();
            together.sort();
            assert_eq!(together, all, "{of} parts");
        }
        let of = all.len() + 1;
        assert!(names(Some(Partition { part: of, of })).is_err());
    }
}
