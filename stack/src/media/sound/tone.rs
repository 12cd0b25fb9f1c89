//! A tone, and none.

use super::{Sink, SoundError, Source, check_rate};

/// A sine. It is the same on every machine and in every build, and a second of it is the same as any other: its phase is counted in parts
/// of the rate, which nothing rounds.
#[derive(Clone, Debug)]
pub struct Tone {
    hz: u32,
    amplitude: i16,
    rate_hz: u32,
    /// How far into a turn the next sample is, in parts of the rate.
    phase: u32,
    /// How many samples are left, if it ends.
    left: Option<u64>,
}

impl Tone {
    /// A tone of so many Hz, which goes as far from nothing as the amplitude says, at a rate of so many samples a second. It begins at
    /// nothing and rises; with a negative amplitude it falls.
    ///
    /// # Errors
    /// [`SoundError::Rate`] of 0 or more than [`SAMPLE_RATE_HZ_MAX`](super::SAMPLE_RATE_HZ_MAX), [`SoundError::Frequency`] of more than
    /// half the rate.
    pub fn new(hz: u32, amplitude: i16, rate_hz: u32) -> Result<Self, SoundError> {
        check_rate(rate_hz)?;
        let expected_max_hz = rate_hz / 2;
        match hz <= expected_max_hz {
            true => Ok(Tone { hz, amplitude, rate_hz, phase: 0, left: None }),
            false => Err(SoundError::Frequency { expected_max_hz, got_hz: hz }),
        }
    }

    /// One that ends after so many samples.
    pub fn lasting(self, samples: u64) -> Self {
        Tone { left: Some(samples), ..self }
    }

    fn next(&mut self) -> i16 {
        let sine = sine_of(self.phase, self.rate_hz);
        // Both are below the rate, which is far below what the type holds.
        self.phase = (self.phase + self.hz) % self.rate_hz;
        let scaled = (i64::from(self.amplitude) * sine + (ONE >> 1)) >> ONE_BITS;
        // Only the lowest amplitude goes further down than up.
        scaled.min(i16::MAX.into()) as i16
    }
}

impl Source for Tone {
    fn fill(&mut self, samples: &mut [i16]) -> usize {
        let own = self.left.map_or(samples.len(), |left| samples.len().min(usize::try_from(left).unwrap_or(usize::MAX)));
        let (sounding, silent) = samples.split_at_mut(own);
        sounding.fill_with(|| self.next());
        silent.fill(0);
        if let Some(left) = &mut self.left {
            *left -= own as u64;
        }
        own
    }

    fn has_ended(&self) -> bool {
        self.left == Some(0)
    }
}

/// Nothing. As a source it never ends, and all of its silence is its own; as a sink it keeps nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Silence;

impl Source for Silence {
    fn fill(&mut self, samples: &mut [i16]) -> usize {
        samples.fill(0);
        samples.len()
    }
}

impl Sink for Silence {
    fn play(&mut self, _: &[i16]) {}
}

/// How many bits of a fraction there are in fixed point.
pub(super) const ONE_BITS: u32 = 30;
/// One, in fixed point.
const ONE: i64 = 1 << ONE_BITS;

/// Taylor's series of the sine, over quarters of a circle, in fixed point. What is left out would change less than a hundredth of a sample's
/// smallest step.
const SERIES: [i64; 7] = [1_686_629_713, -693_598_668, 85_569_306, -5_026_995, 172_272, -3_864, 61];

/// The sine of `phase` of `turn` parts of a circle, in fixed point. The phase is less than the turn.
pub(super) fn sine_of(phase: u32, turn: u32) -> i64 {
    // In quarters of a circle.
    let angle = ((u64::from(phase) << (ONE_BITS + 2)) / u64::from(turn)) as i64;
    let (quarter, within) = (angle >> ONE_BITS, angle & (ONE - 1));
    let rising = if quarter & 1 == 0 { within } else { ONE - within };
    let square = (rising * rising) >> ONE_BITS;
    let sum = SERIES.iter().rev().fold(0, |sum, factor| factor + ((sum * square) >> ONE_BITS));
    let sine = ((sum * rising) >> ONE_BITS).min(ONE);
    if quarter < 2 { sine } else { -sine }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every rate that codecs have, and tones up to half of it: no sample is off by more than its rounding.
    #[test]
    fn a_tone_is_a_sine() {
        for rate_hz in [8000, 11_025, 16_000, 44_100, 48_000] {
            for hz in [1, 50, 440, 697, 1000, 3999, rate_hz / 2] {
                for amplitude in [1, 1000, i16::MAX, i16::MIN] {
                    let mut samples = vec![0; rate_hz as usize];
                    assert_eq!(Tone::new(hz, amplitude, rate_hz).unwrap().fill(&mut samples), samples.len());
                    for (at, sample) in samples.iter().enumerate() {
                        let turns = at as f64 * f64::from(hz) / f64::from(rate_hz);
                        let exact = f64::from(amplitude) * (turns.fract() * std::f64::consts::TAU).sin();
                        assert!(
                            (exact.min(32_767.0) - f64::from(*sample)).abs() < 0.51,
                            "{hz} Hz, sample {at}: {sample} for {exact}"
                        );
                    }
                }
            }
        }
    }

    /// These numbers were computed once and are the same wherever this runs.
    #[test]
    fn a_tone_is_the_same_everywhere() {
        let mut samples = [0; 12];
        Tone::new(440, 10_000, 8000).unwrap().fill(&mut samples);
        assert_eq!(samples, [0, 3387, 6374, 8607, 9823, 9877, 8763, 6613, 3681, 314, -3090, -6129]);
    }

    /// In frames of any length it is the tone that it is in one, and each second is the first.
    #[test]
    fn frames_do_not_change_it() {
        let tone = Tone::new(441, 9000, 8000).unwrap();
        let mut whole = vec![0; 24_000];
        tone.clone().fill(&mut whole);
        assert_eq!((&whole[..8000], &whole[8000..16_000]), (&whole[8000..16_000], &whole[16_000..]));
        for frame in [1, 7, 160, 961] {
            let mut pieces = vec![0; whole.len()];
            let mut tone = tone.clone();
            pieces.chunks_mut(frame).for_each(|samples| assert_eq!(tone.fill(samples), samples.len()));
            assert_eq!(pieces, whole);
        }
    }

    #[test]
    fn what_ends_is_silent_from_then_on() {
        for (length, frame) in [(0, 160), (100, 160), (160, 160), (161, 160), (500, 160)] {
            let mut tone = Tone::new(440, i16::MAX, 8000).unwrap().lasting(length);
            let mut own = 0;
            for _ in 0..6 {
                assert_eq!(tone.has_ended(), own == length);
                let mut samples = vec![7; frame];
                let filled = tone.fill(&mut samples);
                assert!(samples[filled..].iter().all(|sample| *sample == 0));
                own += filled as u64;
            }
            assert_eq!((own, tone.has_ended()), (length, true));
        }
        let mut samples = [7; 4];
        assert_eq!((Silence.fill(&mut samples), samples, Silence.has_ended()), (4, [0; 4], false));
    }

    #[test]
    fn what_cannot_be_carried_is_refused() {
        let refused = |hz, rate_hz| Tone::new(hz, 1, rate_hz).unwrap_err();
        for rate_hz in [0, super::super::SAMPLE_RATE_HZ_MAX + 1] {
            assert_eq!(
                refused(1, rate_hz),
                SoundError::Rate { expected_hz: (1, super::super::SAMPLE_RATE_HZ_MAX), got_hz: rate_hz }
            );
        }
        assert_eq!(refused(4001, 8000), SoundError::Frequency { expected_max_hz: 4000, got_hz: 4001 });
        assert!(Tone::new(0, 1, 1).is_ok());
    }
}
