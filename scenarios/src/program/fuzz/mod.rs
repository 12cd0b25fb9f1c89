//! `glare fuzz`: every fuzz target in turn for as long as it is given, on libFuzzer.
//!
//! Everything stands in one folder: `corpus/TARGET` is what libFuzzer keeps, `artifacts/TARGET` what it found, `state.json` what is
//! counted. Each file is whole or is not there, so that the run may be killed at any moment, and the next one goes on.

mod arguments;
mod build;
mod campaign;
mod corpus;
mod finding;
mod slice;
mod state;

pub(crate) use arguments::{FUZZ_HELP, FuzzArguments};
pub(crate) use finding::triage;
pub(crate) use slice::guard;

use super::select::find_target;
use super::whole_file::WholeFile;
use super::{Failure, interrupted_flag};
use crate::fuzzed::{Target, targets};
use campaign::Campaign;
use corpus::Corpora;
use state::State;

/// Fuzzes. True if nothing was found, in this run or one before.
pub(crate) fn fuzz(wanted: &FuzzArguments) -> Result<bool, Failure> {
    let chosen = choose(&wanted.targets)?;
    if wanted.list {
        chosen.iter().for_each(|target| println!("{}", target.name()));
        return Ok(true);
    }
    let json = wanted.json.as_deref().map(WholeFile::create).transpose()?;
    let corpora = Corpora::open(&wanted.dir, &wanted.fuzz_dir)?;
    let state = State::load(&wanted.dir)?;
    let interrupted = interrupted_flag()?;
    let programs = build::build(&chosen, wanted)?;
    let mut campaign = Campaign::new(programs, corpora, state, wanted, interrupted)?;
    campaign.run()?;
    campaign.minimise()?;
    let summary = campaign.summary();
    print!("{}", summary.table());
    if let Some(json) = json {
        json.write_json(&summary)?;
    }
    Ok(summary.findings.is_empty())
}

/// The targets of these names; all if none is named.
fn choose(wanted: &[String]) -> Result<Vec<Target>, Failure> {
    for name in wanted {
        find_target(name)?;
    }
    Ok(targets().into_iter().filter(|target| wanted.is_empty() || wanted.contains(&target.name())).collect())
}
