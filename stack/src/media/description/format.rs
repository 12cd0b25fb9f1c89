//! Payload formats: what the numbers in packets mean.

use super::DescriptionError;
use super::line::Kind;

/// The highest clock rate that is believed, in Hz.
pub const CLOCK_RATE_HZ_MAX: u32 = 1_000_000;
/// How long the name of an encoding may be, in bytes.
const ENCODING_LEN_MAX: usize = 64;
/// How long the parameters of a format may be, in bytes.
const PARAMETERS_LEN_MAX: usize = 2048;

/// Formats that have a number of their own (RFC 3551 section 6), of which a description need say no more.
const STATIC: [(Kind, u8, &str, u32); 13] = [
    (Kind::Audio, 0, "PCMU", 8000),
    (Kind::Audio, 3, "GSM", 8000),
    (Kind::Audio, 4, "G723", 8000),
    (Kind::Audio, 8, "PCMA", 8000),
    (Kind::Audio, 9, "G722", 8000),
    (Kind::Audio, 13, "CN", 8000),
    (Kind::Audio, 15, "G728", 8000),
    (Kind::Audio, 18, "G729", 8000),
    (Kind::Video, 26, "JPEG", 90_000),
    (Kind::Video, 31, "H261", 90_000),
    (Kind::Video, 32, "MPV", 90_000),
    (Kind::Video, 33, "MP2T", 90_000),
    (Kind::Video, 34, "H263", 90_000),
];

/// Encodings whose rate and channels are fixed: another would be played at the wrong speed. Opus is stereo at 48 kHz in descriptions,
/// whatever it carries (RFC 7587 section 7).
const FIXED: [(&str, u32, u8); 8] = [
    ("PCMU", 8000, 1),
    ("PCMA", 8000, 1),
    ("G722", 8000, 1),
    ("opus", 48_000, 2),
    ("VP8", 90_000, 1),
    ("VP9", 90_000, 1),
    ("H264", 90_000, 1),
    ("AV1", 90_000, 1),
];

/// A payload format, with its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    payload_type: u8,
    encoding: String,
    clock_rate_hz: u32,
    channels: u8,
    parameters: Option<String>,
}

impl Format {
    /// G.711 with the mu law.
    pub fn pcmu() -> Self {
        Format { payload_type: 0, encoding: "PCMU".into(), clock_rate_hz: 8000, channels: 1, parameters: None }
    }

    /// G.711 with the A law.
    pub fn pcma() -> Self {
        Format { payload_type: 8, encoding: "PCMA".into(), clock_rate_hz: 8000, channels: 1, parameters: None }
    }

    /// Any format.
    ///
    /// # Errors
    /// [`DescriptionError::PayloadType`] past 127, or what RTCP would be taken for beside it (RFC 5761 section 4),
    /// [`DescriptionError::Encoding`], [`DescriptionError::ClockRate`], [`DescriptionError::Channels`].
    pub fn new(payload_type: u8, encoding: &str, clock_rate_hz: u32, channels: u8) -> Result<Self, DescriptionError> {
        // From 64 to 95 a packet could be RTCP, whether or not they share a port today.
        if payload_type > 127 || (64..=95).contains(&payload_type) {
            return Err(DescriptionError::PayloadType { got: payload_type.into() });
        }
        let is_token = |byte: u8| byte.is_ascii_graphic() && !b"/\"(),:;<=>?@[\\]".contains(&byte);
        if encoding.is_empty() || encoding.len() > ENCODING_LEN_MAX || !encoding.bytes().all(is_token) {
            return Err(DescriptionError::Encoding { payload_type });
        }
        let fixed = FIXED.into_iter().find(|(name, ..)| name.eq_ignore_ascii_case(encoding));
        let rates_hz = fixed.map_or((1, CLOCK_RATE_HZ_MAX), |(_, rate_hz, _)| (rate_hz, rate_hz));
        if clock_rate_hz < rates_hz.0 || clock_rate_hz > rates_hz.1 {
            return Err(DescriptionError::ClockRate { payload_type, expected_hz: rates_hz, got_hz: clock_rate_hz });
        }
        if let Some((.., expected)) = fixed.filter(|(.., expected)| *expected != channels) {
            return Err(DescriptionError::Channels { payload_type, expected, got: channels });
        }
        if channels == 0 {
            return Err(DescriptionError::Channels { payload_type, expected: 1, got: channels });
        }
        Ok(Format { payload_type, encoding: encoding.to_owned(), clock_rate_hz, channels, parameters: None })
    }

    /// With parameters, as `a=fmtp` has them.
    ///
    /// # Errors
    /// [`DescriptionError::Parameters`] if they are too long, or not one line of text.
    pub fn with_parameters(self, parameters: &str) -> Result<Self, DescriptionError> {
        match parameters.len() <= PARAMETERS_LEN_MAX && !parameters.contains(['\r', '\n', '\0']) {
            true => Ok(Format { parameters: Some(parameters.to_owned()), ..self }),
            false => Err(DescriptionError::Parameters { payload_type: self.payload_type }),
        }
    }

    /// The one that has this number by itself.
    pub(super) fn of_static(kind: Kind, payload_type: u8) -> Option<Self> {
        let (.., encoding, clock_rate_hz) = STATIC.into_iter().find(|(of, number, ..)| (*of, *number) == (kind, payload_type))?;
        Some(Format { payload_type, encoding: encoding.to_owned(), clock_rate_hz, channels: 1, parameters: None })
    }

    /// Its number.
    pub fn payload_type(&self) -> u8 {
        self.payload_type
    }

    /// The name of the encoding.
    pub fn encoding(&self) -> &str {
        &self.encoding
    }

    /// The rate of its timestamps, in Hz.
    pub fn clock_rate_hz(&self) -> u32 {
        self.clock_rate_hz
    }

    /// How many channels it has; 1 for what has none.
    pub fn channels(&self) -> u8 {
        self.channels
    }

    /// Its parameters.
    pub fn parameters(&self) -> Option<&str> {
        self.parameters.as_deref()
    }

    /// Whether it carries media by itself: key presses and comfort noise do not.
    pub fn is_media(&self) -> bool {
        !["telephone-event", "CN", "red", "ulpfec", "rtx"].iter().any(|other| other.eq_ignore_ascii_case(&self.encoding))
    }

    /// Whether it is the same but for its number and parameters.
    pub fn is_same_encoding(&self, other: &Format) -> bool {
        let of_rate = (self.clock_rate_hz, self.channels) == (other.clock_rate_hz, other.channels);
        of_rate && self.encoding.eq_ignore_ascii_case(&other.encoding)
    }

    /// The same under another number.
    pub(super) fn numbered(&self, payload_type: u8) -> Self {
        Format { payload_type, ..self.clone() }
    }
}
