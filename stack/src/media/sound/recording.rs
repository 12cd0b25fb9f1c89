//! A sink that remembers, to be looked at: for tests.

use super::Sink;
use sim::sync::{Arc, Mutex};

/// What was played into its sinks, up to a limit. Clones are the same recording.
///
/// Every method, and each sink's, takes the recording's own lock, for a moment, and calls nothing while it has it: safe from any thread,
/// under any lock of the caller's.
#[derive(Clone, Debug)]
pub struct Recording {
    shared: Arc<Shared>,
}

/// What plays into a [`Recording`].
#[derive(Debug)]
pub struct RecordingSink {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    limit_samples: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    samples: Vec<i16>,
    dropped: u64,
}

impl Recording {
    /// An empty one that keeps the first samples, so many of them.
    #[track_caller]
    pub fn new(limit_samples: usize) -> Self {
        Recording { shared: Arc::new(Shared { limit_samples, state: Mutex::new(State::default()) }) }
    }

    /// Something that plays into it.
    pub fn sink(&self) -> RecordingSink {
        RecordingSink { shared: Arc::clone(&self.shared) }
    }

    /// All that it has.
    pub fn samples(&self) -> Vec<i16> {
        self.shared.state.lock().samples.clone()
    }

    /// All that it has. It is empty then, with room for as much again.
    pub fn take(&self) -> Vec<i16> {
        std::mem::take(&mut self.shared.state.lock().samples)
    }

    /// How many samples it has.
    pub fn len(&self) -> usize {
        self.shared.state.lock().samples.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many samples came when there was no room.
    pub fn dropped(&self) -> u64 {
        self.shared.state.lock().dropped
    }
}

impl Sink for RecordingSink {
    fn play(&mut self, samples: &[i16]) {
        let mut state = self.shared.state.lock();
        let room = self.shared.limit_samples.saturating_sub(state.samples.len());
        let (kept, dropped) = samples.split_at(room.min(samples.len()));
        state.samples.extend_from_slice(kept);
        state.dropped += dropped.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_samples_are_kept_and_the_others_counted() {
        let recording = Recording::new(5);
        let (mut one, mut other) = (recording.sink(), recording.sink());
        one.play(&[1, 2]);
        other.play(&[3]);
        assert_eq!((recording.samples(), recording.dropped()), (vec![1, 2, 3], 0));
        one.play(&[4, 5, 6]);
        other.play(&[7]);
        assert_eq!((recording.len(), recording.dropped()), (5, 2));
        assert_eq!(recording.take(), [1, 2, 3, 4, 5]);
        assert!(recording.is_empty());
        one.play(&[8]);
        assert_eq!((recording.samples(), recording.dropped()), (vec![8], 2));
    }
}
