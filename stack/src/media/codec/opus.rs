//! Opus (RFC 6716, RFC 7587), by libopus.
//!
//! The crate `opus` binds it: its calls take slices and are safe, and it brings the library's source (1.6 at the time), so that it is one
//! version wherever it is built. Opus computes with floats, with the instructions that the processor has: payloads are not the same on
//! every machine, and are not for what a run is replayed by. Packets are never left away while nobody speaks (DTX).

use super::{AudioCodec, CodecError, OPUS_BITRATES_BPS, OpusParameters};
use opus::{Application, Bandwidth, Bitrate, Channels, Decoder, Encoder};
use std::fmt;

/// The rate of its samples and timestamps.
const RATE_HZ: u32 = 48_000;
/// The shortest frame, 2.5 ms, in samples. Every other is a multiple of it.
const FRAME_LEAST: usize = 120;
/// The longest packet, 120 ms.
const PACKET_MOST: usize = 5760;
/// The frames that may be encoded, of one channel: 2.5 to 60 ms.
const FRAMES: [usize; 6] = [120, 240, 480, 960, 1920, 2880];
/// Room for a packet: larger ones would not fit the path, and libopus makes do with it.
const PAYLOAD_LEN_MAX: usize = 1275;
/// A loss that the encoder is told of, so that it repeats what it can, in percent.
const EXPECTED_LOSS_PERCENT: i32 = 10;

/// Opus as a codec: one stream each way, of samples at 48 kHz. What it receives may have any number of channels; it is played in its own.
pub struct Opus {
    encoder: Encoder,
    decoder: Decoder,
    channels: usize,
}

impl Opus {
    /// A codec of samples of one channel, which sends as the other side wishes.
    ///
    /// # Errors
    /// [`CodecError::Library`] if there is no memory for it.
    pub fn mono(theirs: &OpusParameters) -> Result<Self, CodecError> {
        Opus::new(Channels::Mono, theirs)
    }

    /// A codec of samples of two channels, left and right in turn.
    ///
    /// # Errors
    /// [`CodecError::Library`] if there is no memory for it.
    pub fn stereo(theirs: &OpusParameters) -> Result<Self, CodecError> {
        Opus::new(Channels::Stereo, theirs)
    }

    fn new(channels: Channels, theirs: &OpusParameters) -> Result<Self, CodecError> {
        let mut encoder = Encoder::new(RATE_HZ, channels, Application::Voip).map_err(library)?;
        let bitrate = theirs.bitrate_bps_max.map(|bps| bps.clamp(OPUS_BITRATES_BPS.0, OPUS_BITRATES_BPS.1) as i32);
        encoder.set_bitrate(bitrate.map_or(Bitrate::Auto, Bitrate::Bits)).map_err(library)?;
        encoder.set_max_bandwidth(bandwidth(theirs.playback_rate_hz_max)).map_err(library)?;
        encoder.set_vbr(!theirs.wants_constant_rate).map_err(library)?;
        encoder.set_inband_fec(theirs.uses_fec).map_err(library)?;
        encoder.set_packet_loss_perc(if theirs.uses_fec { EXPECTED_LOSS_PERCENT } else { 0 }).map_err(library)?;
        let is_mono = channels == Channels::Mono;
        if !is_mono && !theirs.prefers_stereo {
            encoder.set_force_channels(Some(Channels::Mono)).map_err(library)?;
        }
        let decoder = Decoder::new(RATE_HZ, channels).map_err(library)?;
        Ok(Opus { encoder, decoder, channels: if is_mono { 1 } else { 2 } })
    }

    /// What a lost packet held, from what was before it, or from the one after it if there is any.
    fn fill(&mut self, following: &[u8], samples: usize, out: &mut Vec<i16>) {
        let (before, mut left) = (out.len(), samples);
        let until = before + samples * self.channels;
        while left > 0 {
            // Only the last packet before that one is in it.
            let is_last = left <= PACKET_MOST;
            let piece = left.min(PACKET_MOST).next_multiple_of(FRAME_LEAST);
            let at = out.len();
            out.resize(at + piece * self.channels, 0);
            let (payload, is_repeated) = if is_last { (following, !following.is_empty()) } else { (&[][..], false) };
            // What cannot be guessed stays silent.
            if self.decoder.decode(payload, &mut out[at..], is_repeated).is_err() {
                out[at..].fill(0);
            }
            left = left.saturating_sub(piece);
        }
        out.truncate(until);
    }
}

impl AudioCodec for Opus {
    fn encoding_name(&self) -> &'static str {
        "opus"
    }

    fn clock_rate_hz(&self) -> u32 {
        RATE_HZ
    }

    fn channels(&self) -> usize {
        self.channels
    }

    fn described_channels(&self) -> u8 {
        // Whatever is sent (RFC 7587 section 7).
        2
    }

    fn encode(&mut self, samples: &[i16], payload: &mut Vec<u8>) -> Result<(), CodecError> {
        let expected = FRAMES.map(|frame| frame * self.channels);
        if !expected.contains(&samples.len()) {
            return Err(CodecError::SampleCount { expected: expected.to_vec(), got: samples.len() });
        }
        let before = payload.len();
        payload.resize(before + PAYLOAD_LEN_MAX, 0);
        let result = self.encoder.encode(samples, &mut payload[before..]);
        payload.truncate(before + result.as_ref().map_or(0, |len| *len));
        result.map(drop).map_err(library)
    }

    fn decode(&mut self, payload: &[u8], samples: &mut Vec<i16>) -> Result<(), CodecError> {
        let wrong = CodecError::Payload { codec: self.encoding_name(), len: payload.len() };
        // To the library it would be a packet that was lost.
        if payload.is_empty() {
            return Err(wrong);
        }
        let before = samples.len();
        samples.resize(before + PACKET_MOST * self.channels, 0);
        let result = self.decoder.decode(payload, &mut samples[before..], false);
        samples.truncate(before + result.as_ref().map_or(0, |len| len * self.channels));
        result.map(drop).map_err(|_| wrong)
    }

    fn conceal(&mut self, samples: usize, out: &mut Vec<i16>) {
        self.fill(&[], samples, out);
    }

    fn recover(&mut self, following: &[u8], samples: usize, out: &mut Vec<i16>) {
        self.fill(following, samples, out);
    }
}

impl fmt::Debug for Opus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opus").field("channels", &self.channels).finish_non_exhaustive()
    }
}

/// What is worth sending to who plays at this rate.
fn bandwidth(playback_rate_hz: u32) -> Bandwidth {
    let narrower = [
        (8000, Bandwidth::Narrowband),
        (12_000, Bandwidth::Mediumband),
        (16_000, Bandwidth::Wideband),
        (24_000, Bandwidth::Superwideband),
    ];
    let of_rate = narrower.into_iter().find(|(rate_hz, _)| playback_rate_hz <= *rate_hz);
    of_rate.map_or(Bandwidth::Fullband, |(_, bandwidth)| bandwidth)
}

fn library(error: opus::Error) -> CodecError {
    CodecError::Library { codec: "opus", what: error.description() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::sound::{Source, Tone, has_tone, level};
    use proptest::prelude::*;

    fn mono(theirs: &OpusParameters) -> Opus {
        Opus::mono(theirs).unwrap()
    }

    fn tone(hz: u32, samples: usize) -> Vec<i16> {
        let mut tone = vec![0; samples];
        Tone::new(hz, 8000, RATE_HZ).unwrap().fill(&mut tone);
        tone
    }

    /// The packets of these samples.
    fn packets(codec: &mut Opus, samples: &[i16], frame: usize) -> Vec<Vec<u8>> {
        let encode = |samples: &[i16]| {
            let mut payload = Vec::new();
            codec.encode(samples, &mut payload).unwrap();
            payload
        };
        samples.chunks_exact(frame).map(encode).collect()
    }

    /// Every frame that there is, in one channel and in two: as much comes out as went in, and the tone is heard in it.
    #[test]
    fn a_tone_is_heard_through_it() {
        for (frame, channels) in FRAMES.into_iter().flat_map(|frame| [(frame, 1), (frame, 2)]) {
            let new = || match channels {
                1 => mono(&OpusParameters::default()),
                _ => Opus::stereo(&OpusParameters { prefers_stereo: true, ..OpusParameters::default() }).unwrap(),
            };
            let (mut near, mut far) = (new(), new());
            let samples: Vec<i16> = tone(440, 48_000).iter().flat_map(|sample| vec![*sample; channels]).collect();
            let mut heard = Vec::new();
            for packet in packets(&mut near, &samples, frame * channels) {
                let before = heard.len();
                far.decode(&packet, &mut heard).unwrap();
                assert_eq!(heard.len() - before, frame * channels);
            }
            for channel in 0..channels {
                // Not the beginning, in which the encoder learns.
                let heard: Vec<i16> = heard.iter().skip(channel).step_by(channels).skip(9600).copied().collect();
                assert!(has_tone(&heard, 440, RATE_HZ) && !has_tone(&heard, 880, RATE_HZ), "{frame} {channels}");
                assert!((4000..8000).contains(&level(&heard)), "{frame} {channels}: {}", level(&heard));
            }
        }
    }

    #[test]
    fn it_is_described_as_stereo_at_48_khz() {
        let codec = mono(&OpusParameters::default());
        let format =
            crate::media::description::Format::new(111, codec.encoding_name(), codec.clock_rate_hz(), codec.described_channels());
        assert!(format.is_ok());
        assert_eq!((codec.channels(), codec.frame_samples()), (1, 960));
    }

    /// What the other side wishes is what it gets.
    #[test]
    fn wishes_are_heard() {
        // Something of every tone.
        let noise: Vec<i16> = (0..48_000_u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 51) as i16).collect();
        let wishes = OpusParameters::default();
        for bps in [6000, 20_000, 60_000] {
            let wishes = OpusParameters { bitrate_bps_max: Some(bps), ..wishes };
            let bytes: usize = packets(&mut mono(&wishes), &noise, 960).iter().map(Vec::len).sum();
            assert!(bytes * 8 <= bps as usize * 12 / 10, "{bps} b/s: {bytes} bytes a second");
        }
        let constant = OpusParameters { wants_constant_rate: true, bitrate_bps_max: Some(24_000), ..wishes };
        let samples = [&noise[..24_000], &[0; 24_000]].concat();
        let mut lengths: Vec<usize> = packets(&mut mono(&constant), &samples, 960).iter().map(Vec::len).collect();
        lengths.dedup();
        assert_eq!(lengths, [60]);
        for (rate_hz, expected) in
            [(8000, Bandwidth::Narrowband), (16_000, Bandwidth::Wideband), (24_000, Bandwidth::Superwideband)]
        {
            let wishes = OpusParameters { playback_rate_hz_max: rate_hz, ..wishes };
            for packet in packets(&mut mono(&wishes), &noise, 960) {
                let got = opus::packet::get_bandwidth(&packet).unwrap();
                assert!(got as i32 <= expected as i32, "{rate_hz} Hz: {got:?}");
            }
        }
        let mut stereo = Opus::stereo(&wishes).unwrap();
        for packet in packets(&mut stereo, &noise, 1920) {
            assert_eq!(opus::packet::get_nb_channels(&packet).unwrap(), Channels::Mono);
        }
    }

    /// A packet of a tone that is lost is guessed, and known from the next one if that repeats it: the tone that began in it is heard.
    #[test]
    fn a_lost_packet_is_not_silence() {
        // Only what could be speech is repeated: something that was not there all the time, and in a narrow band.
        let samples = [vec![0; 25 * 960], tone(300, 5 * 960), tone(500, 20 * 960)].concat();
        let fec = OpusParameters {
            uses_fec: true,
            bitrate_bps_max: Some(24_000),
            playback_rate_hz_max: 16_000,
            ..OpusParameters::default()
        };
        let packets = packets(&mut mono(&fec), &samples, 960);
        let played = |lose: &dyn Fn(&mut Opus, &mut Vec<i16>)| {
            let (mut far, mut heard) = (mono(&fec), Vec::new());
            for (at, packet) in packets.iter().enumerate() {
                match at {
                    30 => lose(&mut far, &mut heard),
                    _ => far.decode(packet, &mut heard).unwrap(),
                }
            }
            heard
        };
        let whole = played(&|far, heard| far.decode(&packets[30], heard).unwrap());
        let concealed = played(&|far, heard| far.conceal(960, heard));
        let recovered = played(&|far, heard| far.recover(&packets[31], 960, heard));
        assert!(whole.len() == 48_000 && concealed.len() == 48_000 && recovered.len() == 48_000);
        let lost = 30 * 960..31 * 960;
        let error = |heard: &[i16]| {
            let differences: Vec<i16> =
                heard[lost.clone()].iter().zip(&whole[lost.clone()]).map(|(a, b)| a.saturating_sub(*b)).collect();
            level(&differences)
        };
        assert!(level(&concealed[lost.clone()]) > 2000, "{}", level(&concealed[lost.clone()]));
        let (guessed, known) = (error(&concealed), error(&recovered));
        assert!(2 * known < guessed, "{known} and {guessed} of {}", level(&whole[lost.clone()]));
    }

    #[test]
    fn other_frames_and_payloads_are_refused() {
        let mut codec = mono(&OpusParameters::default());
        let mut payload = vec![7];
        for got in (0..3000).filter(|got| !FRAMES.contains(got)) {
            let error = codec.encode(&vec![0; got], &mut payload).unwrap_err();
            assert_eq!(error, CodecError::SampleCount { expected: FRAMES.to_vec(), got });
        }
        let mut samples = vec![7];
        // No packet, two frames of different halves, and one that says it is longer than it is.
        for wrong in [&[][..], &[0xfd, 1], &[0xff, 0x30]] {
            let error = codec.decode(wrong, &mut samples).unwrap_err();
            assert_eq!(error, CodecError::Payload { codec: "opus", len: wrong.len() });
        }
        assert_eq!((payload, samples), (vec![7], vec![7]));
    }

    proptest! {
        /// Any payload is refused and leaves nothing, or has whole frames, 120 ms of them at most.
        #[test]
        fn any_payload_is_refused_or_heard(payload in proptest::collection::vec(any::<u8>(), 0..300), lost in 0..20_000_usize) {
            let mut codec = mono(&OpusParameters::default());
            let mut samples = vec![7];
            match codec.decode(&payload, &mut samples) {
                Ok(()) => prop_assert!((samples.len() - 1) % FRAME_LEAST == 0 && (1..=PACKET_MOST).contains(&(samples.len() - 1))),
                Err(error) => {
                    prop_assert_eq!(error, CodecError::Payload { codec: "opus", len: payload.len() });
                    prop_assert_eq!(samples.len(), 1);
                }
            }
            let before = samples.len();
            codec.conceal(lost, &mut samples);
            prop_assert_eq!(samples.len() - before, lost);
            codec.recover(&payload, lost, &mut samples);
            prop_assert_eq!(samples.len() - before, 2 * lost);
        }
    }
}
