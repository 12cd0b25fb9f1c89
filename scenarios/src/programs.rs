//! State-machine tests: programs for eight threads, drawn and shrunk by proptest, each under schedules of every strategy. The oracle is the
//! driver's own, as in the exhibits; here the operations are what is drawn, and more of them.

use proptest::test_runner::TestCaseError;
use sim::explore::Check;
use sim::verdict::Verdict;
use sim::{Engine, StrategyName};

/// How many schedules of each strategy a program is run under. `PROPTEST_CASES` says how many programs there are.
fn schedules() -> u64 {
    let asked = std::env::var("GLARE_PROGRAM_SCHEDULES").ok();
    asked.map_or(5, |text| text.parse().unwrap_or_else(|error| panic!("GLARE_PROGRAM_SCHEDULES: {error}, got `{text}`")))
}

/// Nothing is found in `programs`.
pub(crate) fn hold<P: Clone + Send + Sync + 'static>(subject: &str, programs: P, run: fn(P)) -> Result<(), TestCaseError> {
    for strategy in [StrategyName::Random, StrategyName::Pct, StrategyName::Urw] {
        let programs = programs.clone();
        let check = Check::new("programs", subject, Engine::Shuttle).strategy(strategy).schedules(schedules());
        let report = check.run(move || run(programs.clone()));
        if report.verdict != Verdict::Clean {
            return Err(TestCaseError::fail(format!("{strategy}: {}", report.verdict)));
        }
    }
    Ok(())
}
