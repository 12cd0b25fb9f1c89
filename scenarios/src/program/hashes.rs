//! `glare hashes`, which tests of determinism run in several processes and builds.

use super::Failure;
use super::select::{find_exhibit, find_on, find_subject};
use sim::explore::Check;
use sim::{Engine, StrategyName};

/// Runs one random schedule for each seed, replays what it chose, and prints both hashes' one value, a line a seed.
pub(crate) fn hashes(exhibit: &str, subject: &str, engine: Engine, seeds: u64) -> Result<bool, Failure> {
    let exhibits = crate::exhibits();
    let exhibit = find_exhibit(&exhibits, exhibit)?;
    let subject = find_subject(exhibit, subject)?;
    let body = find_on(subject, engine)?.body_of(subject);
    let mut all_same = true;
    for seed in 0..seeds {
        let check = Check::new(exhibit.name, subject.name, engine).strategy(StrategyName::Random).seed(seed);
        let system = |error: sim::explore::ReplayError| Failure::System(error.to_string());
        let run = check.sample(body).map_err(system)?;
        let deviations: Vec<(u64, u64)> = (0..)
            .zip(&run.choices)
            .filter(|(_, choice)| choice.value != 0)
            .map(|(place, choice)| (place, choice.value))
            .collect();
        let again = check.replay_deviations(&deviations, body).map_err(system)?;
        if again.trace_hash != run.trace_hash {
            println!("{seed} {:016x} replays as {:016x}", run.trace_hash, again.trace_hash);
            all_same = false;
        } else {
            println!("{seed} {:016x} {} choices", run.trace_hash, run.choices.len());
        }
    }
    Ok(all_same)
}
