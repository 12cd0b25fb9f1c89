//! What a fuzzer drives: schedules, of which each byte answers one choice, and bodies that hold for any bytes.
//!
//! Each target has a thin file in `fuzz/fuzz_targets`. What it finds is a file of bytes; here it becomes a run with a token, so that it is
//! replayed, shrunk and shown as whatever else is found.

mod bodies;
mod schedules;

pub use bodies::{BODIES, Body};
pub use schedules::{Schedules, schedules};
pub use sim::explore::ORDERS;

use crate::{Exhibit, Subject};
use sim::explore::{ReplayError, Report};

/// The exhibit whose subjects are the bodies: its tokens' choices are a file's length and bytes.
pub const EXHIBIT: &str = "fuzz";

/// What a fuzzer drives.
#[derive(Clone, Debug)]
pub enum Target {
    /// The schedules of an exhibit.
    Schedules(Schedules),
    /// What holds for any bytes.
    Bytes(&'static Body),
}

/// Every target, schedules first.
pub fn targets() -> Vec<Target> {
    let schedules = crate::exhibits().iter().filter_map(schedules).map(Target::Schedules).collect::<Vec<_>>();
    schedules.into_iter().chain(BODIES.iter().map(Target::Bytes)).collect()
}

impl Target {
    /// Its name, and that of its file and its corpus.
    pub fn name(&self) -> String {
        match self {
            Target::Schedules(schedules) => schedules.name(),
            Target::Bytes(body) => body.name.to_owned(),
        }
    }

    /// What a fuzzer is to begin with, beside the committed corpus. A schedule's bytes matter as far as its run makes choices, and libFuzzer
    /// takes thousands of runs to make inputs so long out of nothing.
    pub fn first_inputs(&self) -> Vec<Vec<u8>> {
        match self {
            Target::Schedules(_) => vec![drawn(1, 64, 1), drawn(2, 300, 3), drawn(3, 300, 1), drawn(4, 1_000, 10)],
            Target::Bytes(_) => Vec::new(),
        }
    }

    /// The run that these bytes stand for; what it finds is shrunk.
    ///
    /// # Errors
    /// [`ReplayError::Crashed`] if it did not end.
    pub fn report(&self, bytes: &[u8]) -> Result<Report, ReplayError> {
        match self {
            Target::Schedules(schedules) => Ok(schedules.report(bytes, true)),
            Target::Bytes(body) => body.report(bytes),
        }
    }
}

/// So many bytes, the same for a seed, of which one in so many is not 0.
fn drawn(seed: u64, len: usize, one_in: u8) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    (0..len).map(|_| if next() % one_in == 0 { next() } else { 0 }).collect()
}

/// The bodies as an exhibit, so that their tokens replay. It is not among those that `glare run` runs.
pub fn exhibit() -> Exhibit {
    let subjects = BODIES.iter().map(|body| {
        let on = crate::On::cases(crate::Expected::Clean);
        Subject::new(body.name, body.path, vec![on], body.of_choices)
    });
    Exhibit { name: EXHIBIT, story: "what fuzz targets have found", subjects: subjects.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sim::verdict::Verdict;
    use std::collections::BTreeSet;
    use std::fs;

    const FUZZ: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz");

    #[test]
    fn every_target_has_its_file_and_every_file_its_target() {
        let known: BTreeSet<String> = targets().iter().map(Target::name).collect();
        assert_eq!(known.len(), targets().len(), "two targets have one name");
        let manifest = fs::read_to_string(format!("{FUZZ}/Cargo.toml")).unwrap();
        let mut files = BTreeSet::new();
        for entry in fs::read_dir(format!("{FUZZ}/fuzz_targets")).unwrap() {
            files.insert(entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned());
        }
        assert_eq!(known, files);
        for target in targets() {
            let name = target.name();
            let text = fs::read_to_string(format!("{FUZZ}/fuzz_targets/{name}.rs")).unwrap();
            let calls = match &target {
                Target::Schedules(schedules) => format!("scenarios::{}::exhibit", schedules.exhibit.name.replace('-', "_")),
                Target::Bytes(body) => body.path.to_owned(),
            };
            assert!(text.contains(&calls), "{name} does not call {calls}");
            assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is not in the manifest");
            let corpus = fs::read_dir(format!("{FUZZ}/corpus/{name}")).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(corpus.count() > 0, "{name} has nothing to begin with");
        }
    }

    #[test]
    fn every_corpus_holds() {
        for target in targets() {
            crate::corpus::each(&target.name(), |bytes| assert_holds(&target, bytes));
        }
    }

    fn assert_holds(target: &Target, bytes: &[u8]) {
        let report = match target {
            Target::Schedules(schedules) => schedules.report(bytes, false),
            Target::Bytes(_) => target.report(bytes).unwrap(),
        };
        let token = report.token.map(|token| token.to_string()).unwrap_or_default();
        assert!(report.verdict == Verdict::Clean, "{}: {}: {token}", target.name(), report.verdict);
    }

    #[test]
    fn what_a_schedules_bytes_find_has_a_token_that_replays() {
        for (exhibit, subject) in [("canary", "abba"), ("double-clock-stop", "restart"), ("session-close", "twice")] {
            let exhibits = crate::exhibits();
            let exhibit = exhibits.iter().find(|known| known.name == exhibit).unwrap();
            let subject = exhibit.subject(subject).unwrap();
            let schedules = schedules::schedules_of(exhibit, Some(subject.name)).unwrap();
            let found = (0..2_000)
                .map(|seed| schedules.report(&drawn(seed, 400, 3), true))
                .find(|report| report.verdict != Verdict::Clean);
            let report = found.unwrap_or_else(|| panic!("{} was not found", subject.name));
            let on = subject.on(sim::Engine::Shuttle).unwrap();
            assert!(on.expected.is_met_by(&report.verdict), "{}", report.verdict);
            let replayed = on.check(exhibit, subject).replay(&report.token.unwrap(), false, on.body_of(subject)).unwrap();
            assert_eq!(replayed.verdict, report.verdict);
        }
    }

    #[test]
    fn what_bytes_find_is_shrunk_to_the_bytes_that_matter() {
        let body = Body { name: "seven", path: "", of_choices: || bodies::run(|bytes| assert!(!bytes.contains(&7), "a seven")) };
        for len in [1, 2, 30, 500] {
            for at in [0, len / 2, len - 1] {
                let mut bytes = vec![200; len];
                bytes[at] = 7;
                let report = body.report(&bytes).unwrap();
                assert_eq!(report.deviations, [(0, 1), (1, 7)], "{at} of {len}: {}", report.verdict);
            }
        }
        assert_eq!(body.report(&[6; 40]).unwrap().verdict, Verdict::Clean);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

        #[test]
        fn our_stack_holds_in_any_schedule(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
            targets().iter().filter(|target| matches!(target, Target::Schedules(_))).for_each(|target| assert_holds(target, &bytes));
        }

        /// Bytes of which most are dull, so that a run gets far.
        #[test]
        fn our_stack_holds_where_little_happens(
            bytes in proptest::collection::vec(prop_oneof![9 => Just(0), 1 => any::<u8>()], 0..6_000),
        ) {
            targets().iter().filter(|target| matches!(target, Target::Schedules(_))).for_each(|target| assert_holds(target, &bytes));
        }
    }
}
