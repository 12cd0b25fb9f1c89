//! Reading a description: the lines by `sdp-types`, and what they say by our own rules.

use super::crypto::{Crypto, CryptoError};
use super::direction::Direction;
use super::error::DescriptionError;
use super::format::Format;
use super::inline_key::read_number;
use super::line::{Kind, Line, OtherLine, Protocol, Source, Stream, UnknownCrypto};
use super::tls_id::TlsId;
use super::{CRYPTO_LINES_MAX, DESCRIPTION_LEN_MAX, Description, FORMATS_MAX, MEDIA_MAX, SOURCES_MAX, TEXT_LINES_MAX};
use crate::dtls::{Fingerprints, Setup};
use sdp_types::{Attribute, Media, RtpMap, Session};
use std::net::{IpAddr, SocketAddr};
use zeroize::{Zeroize, Zeroizing};

/// How long a name in a line may be, in bytes.
const NAME_LEN_MAX: usize = 64;

impl Description {
    /// Reads a description. Attributes that nobody here knows are passed over.
    ///
    /// # Errors
    /// [`DescriptionError`], of what is wrong with it or more than is read.
    pub fn read(bytes: &[u8]) -> Result<Self, DescriptionError> {
        check_limits(bytes)?;
        let mut session = Session::parse(bytes)
            .map_err(|error| DescriptionError::Syntax { what: error.to_string().chars().take(NAME_LEN_MAX).collect() })?;
        let lines: Result<Vec<Line>, _> =
            session.medias.iter().enumerate().map(|(at, media)| read_line(at, media, &session)).collect();
        wipe(&mut session);
        Ok(Description { origin: session.origin, lines: lines? })
    }
}

/// Before the reader is given it, which has no limits.
fn check_limits(bytes: &[u8]) -> Result<(), DescriptionError> {
    if bytes.len() > DESCRIPTION_LEN_MAX {
        return Err(DescriptionError::TooLong { limit: DESCRIPTION_LEN_MAX, got: bytes.len() });
    }
    let lines = || bytes.split(|byte| *byte == b'\n');
    if lines().count() > TEXT_LINES_MAX {
        return Err(DescriptionError::TooMany { what: "lines of text", limit: TEXT_LINES_MAX });
    }
    if lines().filter(|line| line.starts_with(b"m=")).count() > MEDIA_MAX {
        return Err(DescriptionError::TooMany { what: "lines of media", limit: MEDIA_MAX });
    }
    Ok(())
}

/// Zeroises the keys, which the reader has copied.
pub(super) fn wipe(session: &mut Session) {
    for media in &mut session.medias {
        for attribute in media.attributes.iter_mut().filter(|attribute| attribute.attribute.eq_ignore_ascii_case("crypto")) {
            attribute.value.zeroize();
        }
    }
}

fn read_line(line: usize, media: &Media, session: &Session) -> Result<Line, DescriptionError> {
    let is_name = |name: &str| !name.is_empty() && name.len() <= NAME_LEN_MAX && name.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_name(&media.media) || !is_name(&media.proto) {
        return Err(DescriptionError::Malformed { line, what: "a medium and a protocol" });
    }
    let other = || {
        let (formats, protocol) = (media.fmt.clone(), media.proto.clone());
        Line::Other(OtherLine { media: media.media.clone(), port: media.port, protocol, formats })
    };
    let protocol = Protocol::ALL.into_iter().find(|protocol| protocol.name() == media.proto);
    let (Some(kind), Some(protocol), 1..) = (Kind::read(&media.media), protocol, media.port) else { return Ok(other()) };
    if media.num_ports.is_some_and(|ports| ports != 1) {
        return Err(DescriptionError::Malformed { line, what: "one port" });
    }
    let formats = read_formats(line, kind, media)?;
    if formats.is_empty() {
        return Ok(other());
    }
    let rtp = SocketAddr::new(read_address(line, media, session)?, media.port);
    let (crypto, unknown_crypto) = read_crypto(line, media)?;
    Ok(Line::Stream(Box::new(Stream {
        kind,
        protocol,
        rtp,
        rtcp: read_rtcp(line, media, rtp)?,
        rtcp_mux: media.has_attribute("rtcp-mux"),
        formats,
        direction: read_direction(line, media, session)?,
        crypto,
        unknown_crypto,
        fingerprints: read_fingerprints(line, media, session)?,
        setup: read_setup(line, media, session)?,
        tls_id: read_tls_id(line, media)?,
        sources: read_sources(line, media)?,
    })))
}

fn read_address(line: usize, media: &Media, session: &Session) -> Result<IpAddr, DescriptionError> {
    if media.connections.len() > 1 {
        return Err(DescriptionError::Twice { line, what: "c=" });
    }
    let connection = media.connections.first().or(session.connection.as_ref());
    let address = connection.and_then(|connection| connection.connection_address.parse::<IpAddr>().ok());
    address
        .filter(|address| !address.is_multicast())
        .ok_or(DescriptionError::Malformed { line, what: "c= with a unicast address" })
}

/// The port above, unless `a=rtcp` says another (RFC 3605).
fn read_rtcp(line: usize, media: &Media, rtp: SocketAddr) -> Result<SocketAddr, DescriptionError> {
    let malformed = DescriptionError::Malformed { line, what: "a port for RTCP" };
    let Some(rtcp) = media.get_first_attribute_typed::<sdp_types::Rtcp>() else {
        return match rtp.port().checked_add(1) {
            Some(port) => Ok(SocketAddr::new(rtp.ip(), port)),
            None => Err(malformed),
        };
    };
    let Ok(sdp_types::Rtcp { port: port @ 1.., connection_address, .. }) = rtcp else { return Err(malformed) };
    let address = match connection_address {
        Some(address) => address.parse().map_err(|_| malformed)?,
        None => rtp.ip(),
    };
    Ok(SocketAddr::new(address, port))
}

fn read_formats(line: usize, kind: Kind, media: &Media) -> Result<Vec<Format>, DescriptionError> {
    let numbers: Vec<&str> = media.fmt.split(' ').filter(|number| !number.is_empty()).take(FORMATS_MAX + 1).collect();
    if numbers.len() > FORMATS_MAX {
        return Err(DescriptionError::TooMany { what: "formats", limit: FORMATS_MAX });
    }
    let maps: Result<Vec<RtpMap>, _> = media.attributes_typed::<RtpMap>().collect();
    let maps = maps.map_err(|_| DescriptionError::Malformed { line, what: "a=rtpmap of RFC 8866" })?;
    let mut formats: Vec<Format> = Vec::new();
    for (at, number) in numbers.iter().enumerate() {
        let Some(got) = read_number(number) else { return Err(DescriptionError::Malformed { line, what: "payload types" }) };
        let payload_type = u8::try_from(got).map_err(|_| DescriptionError::PayloadType { got })?;
        if numbers[..at].contains(number) {
            return Err(DescriptionError::Twice { line, what: "a payload type" });
        }
        let mut of_number = maps.iter().filter(|map| map.payload_type == payload_type);
        let format = match (of_number.next(), of_number.next()) {
            (Some(_), Some(_)) => return Err(DescriptionError::Twice { line, what: "a=rtpmap of a payload type" }),
            (Some(map), None) => Some(read_map(line, kind, map)?),
            (None, _) => Format::of_static(kind, payload_type),
        };
        // Of a number that nobody explains nothing can be said.
        let Some(format) = format else { continue };
        formats.push(match read_parameters(line, media, number)? {
            Some(parameters) => format.with_parameters(parameters)?,
            None => format,
        });
    }
    Ok(formats)
}

fn read_map(line: usize, kind: Kind, map: &RtpMap) -> Result<Format, DescriptionError> {
    let channels = match (kind, map.encoding_params.as_deref().map(str::trim_end)) {
        (Kind::Audio, Some(channels)) => match read_number(channels).and_then(|channels| u8::try_from(channels).ok()) {
            Some(channels) => channels,
            None => return Err(DescriptionError::Malformed { line, what: "a number of channels" }),
        },
        _ => 1,
    };
    Format::new(map.payload_type, &map.encoding_name, map.clock_rate, channels)
}

/// The reader's own type takes them apart, at marks that not every format has.
fn read_parameters<'a>(line: usize, media: &'a Media, number: &str) -> Result<Option<&'a str>, DescriptionError> {
    let mut of_number = media.get_attribute_values("fmtp").flatten().filter_map(|value| value.split_once(' '));
    let mut of_number = of_number.by_ref().filter(|(of, _)| *of == number).map(|(_, parameters)| parameters);
    match (of_number.next(), of_number.next()) {
        (Some(_), Some(_)) => Err(DescriptionError::Twice { line, what: "a=fmtp of a payload type" }),
        (parameters, _) => Ok(parameters),
    }
}

fn read_direction(line: usize, media: &Media, session: &Session) -> Result<Direction, DescriptionError> {
    let of = |attributes: &[Attribute]| {
        let named = |attribute: &Attribute| {
            let is_named = |direction: &Direction| direction.name().eq_ignore_ascii_case(&attribute.attribute);
            Direction::ALL.into_iter().find(is_named)
        };
        let mut said = attributes.iter().filter_map(named);
        match (said.next(), said.next()) {
            (Some(_), Some(_)) => Err(DescriptionError::Twice { line, what: "a direction" }),
            (direction, _) => Ok(direction),
        }
    };
    Ok(match of(&media.attributes)? {
        Some(direction) => direction,
        None => of(&session.attributes)?.unwrap_or_default(),
    })
}

fn read_crypto(line: usize, media: &Media) -> Result<(Vec<Crypto>, Vec<UnknownCrypto>), DescriptionError> {
    let (mut known, mut unknown) = (Vec::<Crypto>::new(), Vec::new());
    for value in media.get_attribute_values("crypto") {
        if known.len() + unknown.len() == CRYPTO_LINES_MAX {
            return Err(DescriptionError::TooMany { what: "a=crypto lines", limit: CRYPTO_LINES_MAX });
        }
        let value = value.unwrap_or_default();
        match value.parse::<Crypto>() {
            Ok(crypto) if known.iter().any(|before| before.tag() == crypto.tag()) => {
                return Err(DescriptionError::TagTwice { line, tag: crypto.tag() });
            }
            Ok(crypto) => known.push(crypto),
            Err(CryptoError::Suite { .. }) => unknown.push(UnknownCrypto(Zeroizing::new(value.to_owned()))),
            Err(error) => return Err(DescriptionError::Crypto { line, error }),
        }
    }
    Ok((known, unknown))
}

/// The line's own, or those of all lines.
fn values<'a>(media: &'a Media, session: &'a Session, name: &'static str) -> Vec<&'a str> {
    let own: Vec<_> = media.get_attribute_values(name).map(Option::unwrap_or_default).collect();
    match own.is_empty() {
        true => session.get_attribute_values(name).map(Option::unwrap_or_default).collect(),
        false => own,
    }
}

fn read_fingerprints(line: usize, media: &Media, session: &Session) -> Result<Option<Fingerprints>, DescriptionError> {
    let values = values(media, session, "fingerprint");
    if values.is_empty() {
        return Ok(None);
    }
    Fingerprints::read(values).map(Some).map_err(|error| DescriptionError::Fingerprint { line, error })
}

fn read_setup(line: usize, media: &Media, session: &Session) -> Result<Option<Setup>, DescriptionError> {
    match values(media, session, "setup")[..] {
        [] => Ok(None),
        [value] => value.parse().map(Some).map_err(|error| DescriptionError::Setup { line, error }),
        _ => Err(DescriptionError::Twice { line, what: "a=setup" }),
    }
}

/// Unlike fingerprints it is a line's own (RFC 8842 section 4).
fn read_tls_id(line: usize, media: &Media) -> Result<Option<TlsId>, DescriptionError> {
    let mut values = media.get_attribute_values("tls-id").map(Option::unwrap_or_default);
    match (values.next(), values.next()) {
        (Some(_), Some(_)) => Err(DescriptionError::Twice { line, what: "a=tls-id" }),
        (Some(value), None) => match TlsId::read(value) {
            Some(id) => Ok(Some(id)),
            None => Err(DescriptionError::Malformed { line, what: "a=tls-id of 20 to 255 letters and digits" }),
        },
        (None, _) => Ok(None),
    }
}

fn read_sources(line: usize, media: &Media) -> Result<Vec<Source>, DescriptionError> {
    let mut sources: Vec<Source> = Vec::new();
    for value in media.get_attribute_values("ssrc") {
        let value = value.unwrap_or_default();
        let (number, attribute) = value.split_once(' ').unwrap_or((value, ""));
        let ssrc = read_number(number).and_then(|ssrc| u32::try_from(ssrc).ok());
        let ssrc = ssrc.ok_or(DescriptionError::Malformed { line, what: "an SSRC" })?;
        let cname = attribute.strip_prefix("cname:").map(str::to_owned);
        if let Some(source) = sources.iter_mut().find(|source| source.ssrc == ssrc) {
            source.cname = source.cname.take().or(cname);
            continue;
        }
        if sources.len() == SOURCES_MAX {
            return Err(DescriptionError::TooMany { what: "sources", limit: SOURCES_MAX });
        }
        sources.push(Source { ssrc, cname });
    }
    Ok(sources)
}
