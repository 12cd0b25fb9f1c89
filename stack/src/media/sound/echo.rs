//! What is heard is said again: a sink whose samples are a source's.

use super::{Sink, Source};
use sim::sync::{Arc, Mutex};
use std::collections::VecDeque;

/// How many samples an echo may hold: ten seconds at 48 kHz.
pub const ECHO_SAMPLES_MAX: usize = 480_000;

/// A sink and a source that has what the sink is given, in order, and up to so many samples of it: from 1 to [`ECHO_SAMPLES_MAX`], other
/// limits are taken for the nearest of these. Of what is more the oldest is dropped and counted, so that an echo is never later than that.
///
/// Both ends take the echo's own lock, for a moment, and call nothing while they have it: safe on two threads, under any locks of theirs.
/// Room is made at once; samples that come and go allocate nothing.
#[track_caller]
pub fn echo(limit_samples: usize) -> (EchoSink, EchoSource) {
    let limit_samples = limit_samples.clamp(1, ECHO_SAMPLES_MAX);
    let samples = VecDeque::with_capacity(limit_samples);
    let state = Mutex::new(State { samples, dropped: 0, is_sink_gone: false });
    let shared = Arc::new(Shared { limit_samples, state });
    (EchoSink { shared: Arc::clone(&shared) }, EchoSource { shared })
}

/// The end of an echo that hears.
#[derive(Debug)]
pub struct EchoSink {
    shared: Arc<Shared>,
}

/// The end of an echo that speaks. When the other end is gone, it ends with the last sample.
#[derive(Debug)]
pub struct EchoSource {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    limit_samples: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    samples: VecDeque<i16>,
    dropped: u64,
    is_sink_gone: bool,
}

impl EchoSink {
    /// How many samples were dropped, as there was no room for them.
    pub fn dropped(&self) -> u64 {
        self.shared.state.lock().dropped
    }
}

impl EchoSource {
    /// How many samples were dropped, as there was no room for them.
    pub fn dropped(&self) -> u64 {
        self.shared.state.lock().dropped
    }
}

impl Sink for EchoSink {
    fn play(&mut self, samples: &[i16]) {
        let limit = self.shared.limit_samples;
        let mut state = self.shared.state.lock();
        let newest = &samples[samples.len().saturating_sub(limit)..];
        let excess = (state.samples.len() + newest.len()).saturating_sub(limit);
        state.samples.drain(..excess);
        state.samples.extend(newest);
        state.dropped += (excess + samples.len() - newest.len()) as u64;
    }
}

impl Drop for EchoSink {
    fn drop(&mut self) {
        self.shared.state.lock().is_sink_gone = true;
    }
}

impl Source for EchoSource {
    fn fill(&mut self, samples: &mut [i16]) -> usize {
        let mut state = self.shared.state.lock();
        let own = samples.len().min(state.samples.len());
        let (sounding, silent) = samples.split_at_mut(own);
        sounding.iter_mut().zip(state.samples.drain(..own)).for_each(|(to, sample)| *to = sample);
        silent.fill(0);
        own
    }

    fn has_ended(&self) -> bool {
        let state = self.shared.state.lock();
        state.is_sink_gone && state.samples.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_ends_when_all_is_said() {
        let (mut sink, mut source) = echo(100);
        sink.play(&[1, 2, 3]);
        drop(sink);
        assert!(!source.has_ended());
        let mut samples = [7; 2];
        assert_eq!((source.fill(&mut samples), samples, source.has_ended()), (2, [1, 2], false));
        assert_eq!((source.fill(&mut samples), samples, source.has_ended()), (1, [3, 0], true));
        assert_eq!((source.fill(&mut samples), samples, source.has_ended()), (0, [0, 0], true));
    }

    #[test]
    fn its_limit_is_one_of_those_that_there_are() {
        for (asked, limit) in [(0, 1), (1, 1), (ECHO_SAMPLES_MAX, ECHO_SAMPLES_MAX), (usize::MAX, ECHO_SAMPLES_MAX)] {
            let (mut sink, _source) = echo(asked);
            sink.play(&vec![0; ECHO_SAMPLES_MAX + 1]);
            assert_eq!(sink.dropped(), (ECHO_SAMPLES_MAX + 1 - limit) as u64);
        }
    }

    proptest! {
        /// Beside a list that is told what is played and asked: the newest are there, in order, each once, and what is not was counted.
        #[test]
        fn any_frames_come_back_in_order(limit in 1..40_usize, frames in proptest::collection::vec((any::<bool>(), 0..50_usize), 0..40)) {
            let (mut sink, mut source) = echo(limit);
            let (mut list, mut next, mut dropped) = (Vec::<i16>::new(), 0, 0);
            for (is_played, len) in frames {
                if is_played {
                    let frame: Vec<i16> = (next..).take(len).collect();
                    next += len as i16;
                    sink.play(&frame);
                    list.extend(&frame);
                    while list.len() > limit {
                        list.remove(0);
                        dropped += 1;
                    }
                } else {
                    let mut samples = vec![-1; len];
                    let own = source.fill(&mut samples);
                    let expected: Vec<i16> = list.drain(..len.min(list.len())).collect();
                    prop_assert_eq!(&samples[..own], &expected);
                    prop_assert!(samples[own..].iter().all(|sample| *sample == 0));
                }
                prop_assert_eq!((sink.dropped(), source.dropped()), (dropped, dropped));
            }
        }
    }
}
