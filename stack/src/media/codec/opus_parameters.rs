//! What `a=fmtp` says of Opus (RFC 7587 section 6.1).

use std::fmt;

/// The average rates that Opus has, in bits a second.
pub const OPUS_BITRATES_BPS: (u32, u32) = (6000, 510_000);
/// The rates that sound may be played at, in Hz: half of one is the highest tone that is worth sending.
pub const OPUS_PLAYBACK_RATES_HZ: (u32, u32) = (8000, 48_000);

/// What one side wants to receive. They are wishes: a number that is out of its range counts as the nearest in it, and what nobody here
/// knows, or is no number, as not said, so that no call fails by them. Written and read as the parameters of a
/// [`Format`](crate::media::description::Format).
///
/// Left out are `usedtx`, as nothing here leaves packets away, the times of `a=ptime`, and what a sender says of itself (`sprop-`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpusParameters {
    /// `maxplaybackrate`, in Hz: nothing above half of it is heard.
    pub playback_rate_hz_max: u32,
    /// `maxaveragebitrate`, in bits a second; the sender's choice if there is none.
    pub bitrate_bps_max: Option<u32>,
    /// `stereo`: two channels are better than one.
    pub prefers_stereo: bool,
    /// `cbr`: each packet is to be as long as the others, as the lengths of packets tell what is said in them.
    pub wants_constant_rate: bool,
    /// `useinbandfec`: packets may carry the one before them once more.
    pub uses_fec: bool,
}

impl Default for OpusParameters {
    /// What RFC 7587 has for who says nothing.
    fn default() -> Self {
        OpusParameters {
            playback_rate_hz_max: OPUS_PLAYBACK_RATES_HZ.1,
            bitrate_bps_max: None,
            prefers_stereo: false,
            wants_constant_rate: false,
            uses_fec: false,
        }
    }
}

impl OpusParameters {
    /// From what a format says, or does not say.
    pub fn read(parameters: Option<&str>) -> Self {
        let mut read = OpusParameters::default();
        for parameter in parameters.unwrap_or_default().split(';') {
            let Some((name, value)) = parameter.split_once('=') else { continue };
            let (name, value) = (name.trim(), value.trim());
            let is = |known: &str| name.eq_ignore_ascii_case(known);
            let number = |(least, most): (u32, u32)| {
                let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
                // One that is longer than any number of ours is large.
                is_number.then(|| value.parse().unwrap_or(u32::MAX).clamp(least, most))
            };
            if is("maxplaybackrate") {
                read.playback_rate_hz_max = number(OPUS_PLAYBACK_RATES_HZ).unwrap_or(read.playback_rate_hz_max);
            } else if is("maxaveragebitrate") {
                read.bitrate_bps_max = number(OPUS_BITRATES_BPS).or(read.bitrate_bps_max);
            } else if is("stereo") {
                read.prefers_stereo = value == "1";
            } else if is("cbr") {
                read.wants_constant_rate = value == "1";
            } else if is("useinbandfec") {
                read.uses_fec = value == "1";
            }
        }
        read
    }
}

impl fmt::Display for OpusParameters {
    /// Only what is not understood without being said.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = Vec::new();
        if self.playback_rate_hz_max != OPUS_PLAYBACK_RATES_HZ.1 {
            said.push(format!("maxplaybackrate={}", self.playback_rate_hz_max));
        }
        said.extend(self.bitrate_bps_max.map(|bps| format!("maxaveragebitrate={bps}")));
        let wishes = [("stereo", self.prefers_stereo), ("cbr", self.wants_constant_rate), ("useinbandfec", self.uses_fec)];
        said.extend(wishes.into_iter().filter(|(_, is_wished)| *is_wished).map(|(name, _)| format!("{name}=1")));
        f.write_str(&said.join(";"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_wish_is_passed_over() {
        let read = |text: &str| OpusParameters::read(Some(text));
        assert_eq!(OpusParameters::read(None), OpusParameters::default());
        for text in ["", ";;", "stereo", "stereo=2", "cbr=01", "usedtx=1;x=y", "maxaveragebitrate=-1", "maxplaybackrate=", "0-15"]
        {
            assert_eq!(read(text), OpusParameters::default(), "{text}");
        }
        let expected = OpusParameters {
            playback_rate_hz_max: 16_000,
            bitrate_bps_max: Some(20_000),
            prefers_stereo: true,
            wants_constant_rate: true,
            uses_fec: true,
        };
        assert_eq!(read(" maxplaybackrate=16000; MaxAverageBitrate=20000;stereo=1; cbr=1 ;useinbandfec=1;usedtx=0"), expected);
        let bitrate = |text: &str| read(text).bitrate_bps_max;
        for (text, expected) in [("5999", 6000), ("0", 6000), ("510001", 510_000), ("99999999999999999999", 510_000)] {
            assert_eq!(bitrate(&format!("maxaveragebitrate={text}")), Some(expected));
        }
        assert_eq!(
            (read("maxplaybackrate=1").playback_rate_hz_max, read("maxplaybackrate=96000").playback_rate_hz_max),
            (8000, 48_000)
        );
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(
            playback_rate_hz_max in OPUS_PLAYBACK_RATES_HZ.0..=OPUS_PLAYBACK_RATES_HZ.1,
            bitrate_bps_max in proptest::option::of(OPUS_BITRATES_BPS.0..=OPUS_BITRATES_BPS.1),
            (prefers_stereo, wants_constant_rate, uses_fec) in any::<(bool, bool, bool)>(),
        ) {
            let wishes =
                OpusParameters { playback_rate_hz_max, bitrate_bps_max, prefers_stereo, wants_constant_rate, uses_fec };
            let format = crate::media::description::Format::new(96, "opus", 48_000, 2).unwrap();
            let format = format.with_parameters(&wishes.to_string()).unwrap();
            prop_assert_eq!(OpusParameters::read(format.parameters()), wishes);
        }

        /// Any text with numbers of any length where numbers are expected.
        #[test]
        fn any_text_is_read(before: String, rate in "[-+0-9]{0,12}", after: String) {
            let text = format!("{before};maxplaybackrate={rate};maxaveragebitrate={rate};{after}");
            let read = OpusParameters::read(Some(&text));
            prop_assert!((OPUS_PLAYBACK_RATES_HZ.0..=OPUS_PLAYBACK_RATES_HZ.1).contains(&read.playback_rate_hz_max));
            prop_assert!(read.bitrate_bps_max.is_none_or(|bps| (OPUS_BITRATES_BPS.0..=OPUS_BITRATES_BPS.1).contains(&bps)));
        }
    }
}
