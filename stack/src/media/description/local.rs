//! What one side has to offer, and to answer with.

use super::agreement::{Negotiated, NegotiatedLine};
use super::direction::Direction;
use super::error::DescriptionError;
use super::format::Format;
use super::keying::Keying;
use super::line::{Kind, Line, OtherLine, Source};
use super::{FORMATS_MAX, MEDIA_MAX};
use crate::dtls::Fingerprint;
use crate::srtp::Profile;
use sdp_types::Origin;
use std::net::{IpAddr, SocketAddr};

/// One side of a call, through all of its offers and answers.
#[derive(Clone, Debug)]
pub struct Local {
    pub(super) origin: Origin,
    pub(super) lines: Vec<LocalLine>,
    /// How many of the lines have been in a description: those stay in their places (RFC 3264 section 8).
    pub(super) settled: usize,
}

#[derive(Clone, Debug)]
pub(super) enum LocalLine {
    Stream(Box<LocalStream>),
    /// Somebody else's, that nothing here could carry: it keeps its place.
    Off(OtherLine),
}

impl Local {
    /// A side with these streams, and what names its descriptions: a number that nobody else has, and its address.
    ///
    /// # Errors
    /// [`DescriptionError::TooMany`].
    pub fn new(session_id: u64, address: IpAddr, streams: Vec<LocalStream>) -> Result<Self, DescriptionError> {
        if streams.len() > MEDIA_MAX {
            return Err(DescriptionError::TooMany { what: "lines of media", limit: MEDIA_MAX });
        }
        let lines = streams.into_iter().map(|stream| LocalLine::Stream(Box::new(stream))).collect();
        Ok(Local { origin: Origin::with_ip_addr(session_id, 1, address), lines, settled: 0 })
    }

    /// The streams, to change what the next offer or answer says: a direction, or whether one is off.
    pub fn streams_mut(&mut self) -> impl Iterator<Item = &mut LocalStream> {
        self.lines.iter_mut().filter_map(|line| match line {
            LocalLine::Stream(stream) => Some(&mut **stream),
            LocalLine::Off(_) => None,
        })
    }

    /// With one stream more, after the others.
    ///
    /// # Errors
    /// [`DescriptionError::TooMany`].
    pub fn add(&mut self, stream: LocalStream) -> Result<(), DescriptionError> {
        if self.lines.len() >= MEDIA_MAX {
            return Err(DescriptionError::TooMany { what: "lines of media", limit: MEDIA_MAX });
        }
        self.lines.push(LocalLine::Stream(Box::new(stream)));
        Ok(())
    }

    /// Goes on from what was agreed: lines keep their places, and what is protected stays so. The next description has a new version.
    ///
    /// Each line remembers what it is keyed with, and the next exchange goes on with that. Of a line that carries nothing nothing is
    /// remembered but that it was protected: when it comes back it has new keys.
    pub fn settle(&mut self, negotiated: &Negotiated) {
        let mut before: Vec<Option<LocalLine>> = std::mem::take(&mut self.lines).into_iter().map(Some).collect();
        for line in negotiated.lines() {
            let local = line.local.and_then(|at| before.get_mut(at)).and_then(Option::take);
            self.lines.push(match local {
                Some(LocalLine::Stream(mut stream)) => {
                    stream.settle(line);
                    LocalLine::Stream(stream)
                }
                Some(LocalLine::Off(_)) | None => LocalLine::Off(line.off.clone()),
            });
        }
        self.settled = self.lines.len();
        self.lines.extend(before.into_iter().flatten().filter(|line| matches!(line, LocalLine::Stream(_))));
        self.lines.truncate(MEDIA_MAX);
        self.origin.sess_version = self.origin.sess_version.saturating_add(1);
    }

    /// Which of the streams answers a line of the offer: the one in its place, or the first of its kind that has none.
    pub(super) fn stream_for(&self, at: usize, line: &Line, taken: &[Option<usize>]) -> Option<(usize, &LocalStream)> {
        let kind = match line {
            Line::Stream(stream) => stream.kind(),
            Line::Other(other) => Kind::read(other.media())?,
        };
        let stream = |index: usize| match self.lines.get(index) {
            Some(LocalLine::Stream(stream)) if stream.kind == kind => Some((index, &**stream)),
            _ => None,
        };
        if at < self.settled {
            return stream(at);
        }
        (self.settled..self.lines.len()).filter(|index| !taken.contains(&Some(*index))).find_map(stream)
    }
}

/// A stream as one side has it.
#[derive(Clone, Debug)]
pub struct LocalStream {
    pub(super) kind: Kind,
    pub(super) rtp: SocketAddr,
    pub(super) rtcp_mux: bool,
    pub(super) formats: Vec<Format>,
    pub(super) direction: Direction,
    pub(super) security: Security,
    pub(super) sources: Vec<Source>,
    pub(super) is_off: bool,
    /// Whether it was negotiated with protection once.
    pub(super) was_secure: bool,
    /// What it is keyed with.
    pub(super) keying: Option<Keying>,
    /// Whether the next exchange is to bring other keys.
    pub(super) renews: bool,
}

impl LocalStream {
    /// A stream that is received at an address, RTCP at the same port or the one above.
    ///
    /// # Errors
    /// [`DescriptionError::Malformed`] of a port that is 0 or has none above it, [`DescriptionError::TooMany`], and
    /// [`DescriptionError::Twice`] of formats with one number, [`DescriptionError::NoCommonFormat`] of none.
    pub fn new(kind: Kind, rtp: SocketAddr, formats: Vec<Format>, security: Security) -> Result<Self, DescriptionError> {
        if !(1..u16::MAX).contains(&rtp.port()) {
            return Err(DescriptionError::Malformed { line: 0, what: "a port from 1 to 65534" });
        }
        if formats.len() > FORMATS_MAX {
            return Err(DescriptionError::TooMany { what: "formats", limit: FORMATS_MAX });
        }
        if !formats.iter().any(Format::is_media) {
            return Err(DescriptionError::NoCommonFormat { line: 0 });
        }
        for (at, format) in formats.iter().enumerate() {
            if formats[..at].iter().any(|before| before.payload_type() == format.payload_type()) {
                return Err(DescriptionError::Twice { line: 0, what: "a payload type" });
            }
        }
        let (direction, sources) = (Direction::SendReceive, Vec::new());
        let (is_off, was_secure, keying, renews) = (false, false, None, false);
        Ok(LocalStream { kind, rtp, rtcp_mux: true, formats, direction, security, sources, is_off, was_secure, keying, renews })
    }

    /// With RTCP at the port above, whatever the other side says.
    pub fn without_rtcp_mux(self) -> Self {
        LocalStream { rtcp_mux: false, ..self }
    }

    /// With the source that it sends from.
    ///
    /// # Errors
    /// [`DescriptionError::Malformed`] of a name that is empty, long, or not one line of text.
    pub fn with_source(self, ssrc: u32, cname: &str) -> Result<Self, DescriptionError> {
        match (1..=255).contains(&cname.len()) && !cname.contains(['\r', '\n', '\0']) {
            true => Ok(LocalStream { sources: vec![Source { ssrc, cname: Some(cname.to_owned()) }], ..self }),
            false => Err(DescriptionError::Malformed { line: 0, what: "a CNAME of 1 to 255 bytes" }),
        }
    }

    /// Who is to send: how a call is held, and taken back.
    pub fn set_direction(&mut self, direction: Direction) {
        self.direction = direction;
    }

    /// Whether it is off: its line keeps its place, with port 0.
    pub fn set_off(&mut self, is_off: bool) {
        self.is_off = is_off;
    }

    /// How it is to be protected from now on.
    pub fn set_security(&mut self, security: Security) {
        self.security = security;
    }

    /// Asks for other keys: the next offer or answer has new ones of SDES, or the name of a new DTLS association. It is asked until it
    /// has been [settled](Local::settle): where associations have no names, there is a new one only with another certificate, of either
    /// side, and names that were not said before are those of the association that there is.
    pub fn renew_keys(&mut self) {
        self.renews = true;
    }

    /// What it is keyed with, unless that is to change.
    pub(super) fn kept(&self) -> Option<&Keying> {
        self.keying.as_ref().filter(|_| !self.renews)
    }

    fn settle(&mut self, line: &NegotiatedLine) {
        match line.agreed() {
            Ok(agreed) => {
                self.was_secure |= agreed.transport().is_secure();
                self.renews &= !agreed.transport().is_renewed();
                self.keying = Some(agreed.keying.clone());
            }
            Err(_) => (self.keying, self.renews) = (None, false),
        }
    }

    pub(super) fn rtcp(&self) -> SocketAddr {
        SocketAddr::new(self.rtp.ip(), self.rtp.port().saturating_add(1))
    }
}

/// How a stream may be carried. What is not said is refused; of what is said an offer has the strongest.
#[derive(Clone, Debug, Default)]
pub struct Security {
    pub(super) dtls: Option<Fingerprint>,
    /// The preferred first.
    pub(super) sdes: Vec<Profile>,
    pub(super) clear: bool,
}

impl Security {
    /// In clear.
    pub fn clear() -> Self {
        Security { clear: true, ..Security::default() }
    }

    /// With SDES keys for these profiles, the preferred first. Profiles that leave packets in clear are left out.
    pub fn sdes(profiles: &[Profile]) -> Self {
        Security::default().or_sdes(profiles)
    }

    /// With DTLS, under this certificate.
    pub fn dtls(fingerprint: Fingerprint) -> Self {
        Security::default().or_dtls(fingerprint)
    }

    /// In clear too.
    pub fn or_clear(self) -> Self {
        Security { clear: true, ..self }
    }

    /// With SDES too: see [`Security::sdes`].
    pub fn or_sdes(self, profiles: &[Profile]) -> Self {
        let mut sdes: Vec<Profile> = Vec::new();
        for profile in profiles.iter().filter(|profile| !profile.is_null()) {
            if !sdes.contains(profile) {
                sdes.push(*profile);
            }
        }
        Security { sdes, ..self }
    }

    /// With DTLS too.
    pub fn or_dtls(self, fingerprint: Fingerprint) -> Self {
        Security { dtls: Some(fingerprint), ..self }
    }
}
