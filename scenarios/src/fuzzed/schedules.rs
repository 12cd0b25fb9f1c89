//! The schedules of an exhibit as what a fuzzer drives.

use crate::{Exhibit, Expected, On, Subject};
use sim::Engine;
use sim::explore::Report;
use sim::{Detectors, verdict::Verdict};

/// More bytes than this answer no choice.
const MAX_LEN: usize = 4096;

/// Which subject runs, where it is not to be one that is expected to be clean: its name. For looking whether a target finds what there is.
const SUBJECT: &str = "GLARE_FUZZ_SUBJECT";

/// The schedules of an exhibit's subjects under shuttle: the first byte says which subject, each after it answers one choice.
#[derive(Clone, Debug)]
pub struct Schedules {
    /// The exhibit.
    pub exhibit: Exhibit,
    subjects: Vec<(Subject, On)>,
}

/// The schedules of what is expected to be clean under shuttle: our own stack, or, where it has none, all that is. `None` if the exhibit
/// runs there not at all.
pub fn schedules(exhibit: &Exhibit) -> Option<Schedules> {
    schedules_of(exhibit, std::env::var(SUBJECT).ok().as_deref())
}

/// As [`schedules`], of the subject of this name, if one is named.
pub(super) fn schedules_of(exhibit: &Exhibit, named: Option<&str>) -> Option<Schedules> {
    let on_shuttle = |is_wanted: &dyn Fn(&Subject, &On) -> bool| -> Vec<(Subject, On)> {
        let subjects =
            exhibit.subjects.iter().filter_map(|subject| Some((subject.clone(), subject.on(Engine::Shuttle)?.clone())));
        subjects.filter(|(subject, on)| is_wanted(subject, on)).collect()
    };
    let is_clean = |on: &On| on.expected == Expected::Clean;
    let mut subjects = match named {
        Some(name) => on_shuttle(&|subject, _| subject.name == name),
        None => on_shuttle(&|subject, on| subject.name.starts_with("stack") && is_clean(on)),
    };
    if named.is_none() && subjects.is_empty() {
        subjects = on_shuttle(&|_, on| is_clean(on));
    }
    (!subjects.is_empty()).then(|| Schedules { exhibit: exhibit.clone(), subjects })
}

impl Schedules {
    /// The exhibit's name, as a file is named.
    pub fn name(&self) -> String {
        self.exhibit.name.replace('-', "_")
    }

    /// The run that these bytes stand for.
    pub fn report(&self, bytes: &[u8], shrink: bool) -> Report {
        let (first, rest) = bytes.split_first().unwrap_or((&0, &[]));
        let (subject, on) = &self.subjects[usize::from(*first) % self.subjects.len()];
        let check = on.check(&self.exhibit, subject).shrink(shrink);
        // A run is had twice where it is replayed, not here.
        let check = check.detectors(Detectors { determinism: false, ..Detectors::ON });
        check.run_bytes(&rest[..rest.len().min(MAX_LEN)], on.body_of(subject))
    }

    /// Runs the run that these bytes stand for, and hands on in which order threads did what.
    ///
    /// # Panics
    /// If something is found: that is how a fuzzer hears of it.
    pub fn fuzz(&self, bytes: &[u8], orders: impl FnOnce(&[u8])) {
        let report = self.report(bytes, false);
        if let Some(counted) = &report.orders {
            orders(counted.counts());
        }
        let token = report.token.map(|token| token.to_string()).unwrap_or_default();
        assert!(report.verdict == Verdict::Clean, "{}: {token}", report.verdict);
    }
}
