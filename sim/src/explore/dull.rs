//! The run that makes only dull choices.

use super::carrier::{Body, Learnt, Plan};
use super::{Check, Replay, ReplayError};
use crate::engine::Engine;
use crate::run::Progress;
use crate::strategy::Strategy;
use std::sync::Arc;

impl Check {
    /// Runs the run in which every choice has the dull answer, and returns it with every step, whatever comes of it: what a failing run
    /// is compared with. On loom, which chooses by itself, it is the first iteration.
    ///
    /// # Errors
    /// [`ReplayError::Crashed`] if it did not end.
    pub fn replay_dull(&self, body: impl Fn() + Send + Sync + 'static) -> Result<Replay, ReplayError> {
        let body: Body = Arc::new(body);
        let found = if self.engine == Engine::Loom {
            let plan = Plan::Iteration { iteration: 1, record: true };
            let progress = Arc::new(Progress::default());
            self.launch(plan, Strategy::none(), body, &progress, Learnt::default()).one_run()?
        } else {
            self.replay_choices(&body, Vec::new(), true, Learnt::default())?
        };
        Ok(Replay::of(found, 1))
    }
}
