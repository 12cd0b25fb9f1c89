//! How loud samples are, and which tone is in them.

use super::SAMPLE_RATE_HZ_MAX;
use super::tone::{ONE_BITS, sine_of};

/// Less than this is not heard: a tone of G.711's lowest steps.
const AMPLITUDE_LEAST: u64 = 64;

/// How loud samples are: the root of their mean square. That of a tone is its amplitude by the root of 2; that of nothing is 0.
pub fn level(samples: &[i16]) -> u16 {
    if samples.is_empty() {
        return 0;
    }
    // At most 2^15, as that is the most that any sample has.
    (energy(samples) / samples.len() as u128).isqrt() as u16
}

/// How large the part of samples is that is a tone of so many Hz: its amplitude, whatever its phase. Other tones are told from it from
/// one period of their difference on: 20 ms tell 50 Hz apart. 0 of no samples, and of a rate of
/// 0 or past [`SAMPLE_RATE_HZ_MAX`].
pub fn tone_amplitude(samples: &[i16], hz: u32, rate_hz: u32) -> u16 {
    if samples.is_empty() || !(1..=SAMPLE_RATE_HZ_MAX).contains(&rate_hz) {
        return 0;
    }
    let (mut sines, mut cosines, mut phase) = (0_i128, 0_i128, 0);
    let turn = 4 * rate_hz;
    for sample in samples {
        // In quarters of the rate's parts, so that a quarter turn further is a whole number of them.
        let of = |quarters: u32| i128::from(i64::from(*sample) * sine_of((phase * 4 + quarters * rate_hz) % turn, turn));
        (sines, cosines) = (sines + of(0), cosines + of(1));
        phase = (phase + hz % rate_hz) % rate_hz;
    }
    let (sines, cosines) = ((sines >> ONE_BITS).unsigned_abs(), (cosines >> ONE_BITS).unsigned_abs());
    let sum = (sines * sines + cosines * cosines).isqrt();
    // Half a sine's square is the mean of it.
    (2 * sum / samples.len() as u128).min(u16::MAX.into()) as u16
}

/// Whether a tone of so many Hz is what is heard in samples: it can be heard, and more than half of the power of all that sounds
/// is this tone's. That is so of a tone that goes on; one that stops half way, or begins anew with another phase, is none.
pub fn has_tone(samples: &[i16], hz: u32, rate_hz: u32) -> bool {
    let amplitude = u64::from(tone_amplitude(samples, hz, rate_hz));
    let energy_of_tone = u128::from(amplitude * amplitude) * samples.len() as u128 / 2;
    amplitude >= AMPLITUDE_LEAST && 2 * energy_of_tone > energy(samples)
}

fn energy(samples: &[i16]) -> u128 {
    samples.iter().map(|sample| u128::from(u32::from(sample.unsigned_abs()).pow(2))).sum()
}

#[cfg(test)]
mod tests {
    use super::super::{Source, Tone};
    use super::*;

    const RATE_HZ: u32 = 8000;

    fn tone(hz: u32, amplitude: i16, skip: usize) -> Vec<i16> {
        let mut samples = vec![0; 1600 + skip];
        Tone::new(hz, amplitude, RATE_HZ).unwrap().fill(&mut samples);
        samples.split_off(skip)
    }

    fn sum(a: &[i16], b: &[i16]) -> Vec<i16> {
        a.iter().zip(b).map(|(a, b)| a + b).collect()
    }

    #[test]
    fn a_tone_has_its_amplitude_from_wherever_it_is_heard() {
        for hz in [50, 440, 1000, 3000] {
            for amplitude in [100, 5000, i16::MAX, i16::MIN] {
                for skip in [0, 1, 7, 100] {
                    let samples = tone(hz, amplitude, skip);
                    let near = |got: u16, expected: f64| (f64::from(got) - expected).abs() <= 2.0;
                    let loud = f64::from(amplitude.unsigned_abs());
                    let got = (tone_amplitude(&samples, hz, RATE_HZ), level(&samples));
                    assert!(near(got.0, loud) && near(got.1, loud / 2_f64.sqrt()), "{hz} Hz, {amplitude}: {got:?}");
                    assert!(has_tone(&samples, hz, RATE_HZ));
                    assert!(tone_amplitude(&samples, hz + 50, RATE_HZ) <= 1 && !has_tone(&samples, hz + 50, RATE_HZ));
                }
            }
        }
    }

    /// Of two tones the louder is the one that is heard, and each has its amplitude.
    #[test]
    fn tones_are_told_apart() {
        let both = sum(&tone(440, 10_000, 0), &tone(1000, 5000, 3));
        assert!(tone_amplitude(&both, 440, RATE_HZ).abs_diff(10_000) <= 2);
        assert!(tone_amplitude(&both, 1000, RATE_HZ).abs_diff(5000) <= 2);
        assert_eq!((has_tone(&both, 440, RATE_HZ), has_tone(&both, 1000, RATE_HZ)), (true, false));
    }

    #[test]
    fn what_is_no_tone_is_none() {
        assert_eq!((level(&[]), tone_amplitude(&[], 440, RATE_HZ), has_tone(&[], 440, RATE_HZ)), (0, 0, false));
        assert_eq!((tone_amplitude(&[1], 440, 0), tone_amplitude(&[1], 440, SAMPLE_RATE_HZ_MAX + 1)), (0, 0));
        assert_eq!(level(&[i16::MIN; 9]), 1 << 15);
        assert!(!has_tone(&[0; 1600], 440, RATE_HZ) && !has_tone(&tone(440, 60, 0), 440, RATE_HZ));
        // A frame of it, and then nothing.
        let mut stops = tone(440, 10_000, 0);
        stops[600..].fill(0);
        assert!(!has_tone(&stops, 440, RATE_HZ));
    }
}
