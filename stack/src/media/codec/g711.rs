//! G.711: eight bits a sample (ITU-T G.711, RFC 3551 section 4.5.14).

use super::{AudioCodec, CodecError};

/// Which of the two laws.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Law {
    /// Mu-law, PCMU: North America and Japan.
    Mu,
    /// A-law, PCMA: everywhere else.
    A,
}

/// G.711 as a codec. It has no state: every byte is a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct G711 {
    law: Law,
}

impl G711 {
    /// The codec of this law.
    pub const fn new(law: Law) -> Self {
        G711 { law }
    }
}

impl AudioCodec for G711 {
    fn encoding_name(&self) -> &'static str {
        match self.law {
            Law::Mu => "PCMU",
            Law::A => "PCMA",
        }
    }

    fn clock_rate_hz(&self) -> u32 {
        8000
    }

    fn channels(&self) -> usize {
        1
    }

    fn encode(&mut self, samples: &[i16], payload: &mut Vec<u8>) -> Result<(), CodecError> {
        let law = self.law;
        payload.extend(samples.iter().map(|sample| law.encode(*sample)));
        Ok(())
    }

    fn decode(&mut self, payload: &[u8], samples: &mut Vec<i16>) -> Result<(), CodecError> {
        let law = self.law;
        samples.extend(payload.iter().map(|byte| law.decode(*byte)));
        Ok(())
    }
}

/// What is added to a sample of the mu-law, so that its segments begin at powers of two.
const BIAS: i32 = 0x84;
/// The largest sample that the mu-law tells from others.
const MU_MAX: i32 = 0x7fff - BIAS;

impl Law {
    /// Eight bits for a sample.
    #[inline]
    pub fn encode(self, sample: i16) -> u8 {
        match self {
            Law::Mu => encode_mu(sample),
            Law::A => encode_a(sample),
        }
    }

    /// The sample that eight bits stand for.
    #[inline]
    pub fn decode(self, byte: u8) -> i16 {
        match self {
            Law::Mu => decode_mu(byte),
            Law::A => decode_a(byte),
        }
    }
}

fn encode_mu(sample: i16) -> u8 {
    let sample = i32::from(sample);
    let magnitude = sample.abs().min(MU_MAX) + BIAS;
    // The segment: how far the highest bit is above the bias's, which is bit 7.
    let segment = magnitude.ilog2() - 7;
    let step = (magnitude >> (segment + 3)) & 0xf;
    let sign = if sample < 0 { 0x80 } else { 0 };
    // Sent with all bits turned, so that silence has many ones.
    !(sign | (segment as u8) << 4 | step as u8)
}

fn decode_mu(byte: u8) -> i16 {
    let bits = !byte;
    let (segment, step) = (u32::from(bits >> 4 & 7), i32::from(bits & 0xf));
    let magnitude = (((step << 3) + BIAS) << segment) - BIAS;
    // At most 32,124.
    (if bits & 0x80 == 0 { magnitude } else { -magnitude }) as i16
}

fn encode_a(sample: i16) -> u8 {
    // Thirteen bits; a negative sample is one less than nothing away from nothing, so that both signs have as many steps.
    let sample = i32::from(sample) >> 3;
    let (sign, magnitude) = if sample < 0 { (0, !sample) } else { (0x80, sample) };
    let segment = if magnitude < 32 { 0 } else { magnitude.ilog2() - 4 };
    let step = if segment == 0 { magnitude >> 1 } else { magnitude >> segment };
    // Sent with every second bit turned.
    (sign | (segment as u8) << 4 | (step as u8 & 0xf)) ^ 0x55
}

fn decode_a(byte: u8) -> i16 {
    let bits = byte ^ 0x55;
    let (segment, step) = (u32::from(bits >> 4 & 7), i32::from(bits & 0xf));
    // The middle of the step.
    let magnitude = match segment {
        0 => (step << 4) + 8,
        _ => ((step << 4) + 0x108) << (segment - 1),
    };
    // At most 32,256.
    (if bits & 0x80 == 0 { -magnitude } else { magnitude }) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAWS: [Law; 2] = [Law::Mu, Law::A];

    #[test]
    fn every_byte_comes_back() {
        for law in LAWS {
            for byte in 0..=255 {
                let again = law.encode(law.decode(byte));
                // The mu-law has two bytes for nothing.
                let expected = if law == Law::Mu && byte == 0x7f { 0xff } else { byte };
                assert_eq!(again, expected, "{law:?} {byte:#x}");
            }
        }
    }

    #[test]
    fn every_sample_goes_to_its_own_step_and_louder_is_never_quieter() {
        for law in LAWS {
            let mut levels: Vec<i32> = (0..=255).map(|byte| i32::from(law.decode(byte))).collect();
            levels.sort_unstable();
            levels.dedup();
            assert_eq!(levels.len(), if law == Law::Mu { 255 } else { 256 });
            let mut last = i32::MIN;
            for sample in i16::MIN..=i16::MAX {
                let heard = i32::from(law.decode(law.encode(sample)));
                assert!(heard >= last, "{law:?} {sample}");
                last = heard;
                // No level is nearer by more than the step's own rounding.
                let near = levels.partition_point(|level| *level < i32::from(sample));
                let between = [near.saturating_sub(1), near.min(levels.len() - 1)].map(|index| levels[index]);
                assert!(between.contains(&heard), "{law:?} {sample} is heard as {heard}, not as one of {between:?}");
            }
        }
    }

    /// It knows nothing of what was lost: silence, after what is there.
    #[test]
    fn what_is_lost_is_silent() {
        let mut codec: Box<dyn AudioCodec> = Box::new(G711::new(Law::A));
        assert_eq!((codec.frame_samples(), codec.described_channels()), (160, 1));
        let mut samples = vec![7];
        codec.conceal(3, &mut samples);
        codec.recover(&[1, 2], 2, &mut samples);
        assert_eq!(samples, [7, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn the_recommendation_says_these() {
        // G.711 tables 1a, 1b, 2a and 2b: the largest, the smallest, nothing, and the first of each segment, in 16 bits.
        assert_eq!([0x80, 0x00, 0xff, 0x7f].map(|byte| Law::Mu.decode(byte)), [32_124, -32_124, 0, 0]);
        let segments = [0x8f_u8, 0x9f, 0xaf, 0xbf, 0xcf, 0xdf, 0xef].map(|byte| Law::Mu.decode(byte));
        assert_eq!(segments, [16_764, 8_316, 4_092, 1_980, 924, 396, 132]);
        assert_eq!([0xaa, 0x2a, 0xd5, 0x55].map(|byte| Law::A.decode(byte)), [32_256, -32_256, 8, -8]);
        let segments = [0xa5_u8, 0xb5, 0x85, 0x95, 0xe5, 0xf5, 0xc5].map(|byte| Law::A.decode(byte));
        assert_eq!(segments, [16_896, 8_448, 4_224, 2_112, 1_056, 528, 264]);
    }
}
