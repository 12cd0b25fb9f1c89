//! One `m=` line with all that belongs to it.

use super::crypto::Crypto;
use super::direction::Direction;
use super::format::Format;
use super::tls_id::TlsId;
use crate::dtls::{Fingerprints, Setup};
use std::fmt;
use std::net::SocketAddr;
use zeroize::Zeroizing;

/// A line: one that can carry media of ours, or one that cannot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// Audio or video over RTP.
    Stream(Box<Stream>),
    /// One that is off, or of something else. It keeps its place, and is answered with port 0.
    Other(OtherLine),
}

/// What a stream carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Sound.
    Audio,
    /// Pictures.
    Video,
}

impl Kind {
    /// How it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Audio => "audio",
            Kind::Video => "video",
        }
    }

    pub(super) fn read(name: &str) -> Option<Self> {
        [Kind::Audio, Kind::Video].into_iter().find(|kind| kind.name() == name)
    }
}

/// The transport protocol of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// In clear (RFC 3551).
    RtpAvp,
    /// In clear, with early feedback (RFC 4585).
    RtpAvpf,
    /// SRTP (RFC 3711).
    RtpSavp,
    /// SRTP with early feedback (RFC 5124).
    RtpSavpf,
    /// DTLS-SRTP (RFC 5764).
    DtlsSavp,
    /// DTLS-SRTP with early feedback.
    DtlsSavpf,
}

impl Protocol {
    /// Every protocol.
    pub const ALL: [Protocol; 6] =
        [Protocol::RtpAvp, Protocol::RtpAvpf, Protocol::RtpSavp, Protocol::RtpSavpf, Protocol::DtlsSavp, Protocol::DtlsSavpf];

    /// How it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Protocol::RtpAvp => "RTP/AVP",
            Protocol::RtpAvpf => "RTP/AVPF",
            Protocol::RtpSavp => "RTP/SAVP",
            Protocol::RtpSavpf => "RTP/SAVPF",
            Protocol::DtlsSavp => "UDP/TLS/RTP/SAVP",
            Protocol::DtlsSavpf => "UDP/TLS/RTP/SAVPF",
        }
    }

    /// Whether it protects packets.
    pub const fn is_secure(self) -> bool {
        !matches!(self, Protocol::RtpAvp | Protocol::RtpAvpf)
    }

    /// Whether it can only be keyed by DTLS.
    pub const fn is_dtls(self) -> bool {
        matches!(self, Protocol::DtlsSavp | Protocol::DtlsSavpf)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Audio or video over RTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// What it carries.
    pub(super) kind: Kind,
    pub(super) protocol: Protocol,
    /// Where its packets are wanted. With no address (`0.0.0.0`) it is held as RFC 2543 did it.
    pub(super) rtp: SocketAddr,
    /// Where RTCP is wanted, unless it shares the port.
    pub(super) rtcp: SocketAddr,
    pub(super) rtcp_mux: bool,
    /// At least one, the preferred first.
    pub(super) formats: Vec<Format>,
    pub(super) direction: Direction,
    pub(super) crypto: Vec<Crypto>,
    pub(super) unknown_crypto: Vec<UnknownCrypto>,
    pub(super) fingerprints: Option<Fingerprints>,
    pub(super) setup: Option<Setup>,
    pub(super) tls_id: Option<TlsId>,
    pub(super) sources: Vec<Source>,
}

impl Stream {
    /// What it carries.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The transport protocol.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Where its packets are wanted.
    pub fn rtp(&self) -> SocketAddr {
        self.rtp
    }

    /// Where its RTCP is wanted, unless both sides share the port.
    pub fn rtcp(&self) -> SocketAddr {
        self.rtcp
    }

    /// Whether RTP and RTCP may share a port.
    pub fn rtcp_mux(&self) -> bool {
        self.rtcp_mux
    }

    /// Its formats, the preferred first.
    pub fn formats(&self) -> &[Format] {
        &self.formats
    }

    /// Who sends.
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// The keys of SDES, those of unknown suites left out.
    pub fn crypto(&self) -> &[Crypto] {
        &self.crypto
    }

    /// The certificates of DTLS.
    pub fn fingerprints(&self) -> Option<&Fingerprints> {
        self.fingerprints.as_ref()
    }

    /// Who begins with DTLS, if it says so.
    pub fn setup(&self) -> Option<Setup> {
        self.setup
    }

    /// Which DTLS association it is, if it says so.
    pub fn tls_id(&self) -> Option<&TlsId> {
        self.tls_id.as_ref()
    }

    /// Who sends in it, as far as it says.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// Whether anything in it is there for keys.
    pub(super) fn has_keying(&self) -> bool {
        !self.crypto.is_empty() || !self.unknown_crypto.is_empty() || self.fingerprints.is_some()
    }
}

/// An `a=crypto` line of a suite that nobody here has, which is passed over.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct UnknownCrypto(pub(super) Zeroizing<String>);

impl fmt::Debug for UnknownCrypto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnknownCrypto").finish_non_exhaustive()
    }
}

/// Who sends (RFC 5576).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    pub(super) ssrc: u32,
    pub(super) cname: Option<String>,
}

impl Source {
    /// Its number.
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Its name, which stays when the number changes.
    pub fn cname(&self) -> Option<&str> {
        self.cname.as_deref()
    }
}

/// A line that carries nothing of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherLine {
    pub(super) media: String,
    pub(super) port: u16,
    pub(super) protocol: String,
    pub(super) formats: String,
}

impl OtherLine {
    /// What it would carry.
    pub fn media(&self) -> &str {
        &self.media
    }

    /// Its port, which is 0 if it is off.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The same, off.
    pub(super) fn refused(&self) -> Line {
        Line::Other(OtherLine { port: 0, ..self.clone() })
    }
}

impl Stream {
    /// The line that refuses this one.
    pub(super) fn refused(&self) -> Line {
        let formats: Vec<String> = self.formats.iter().map(|format| format.payload_type().to_string()).collect();
        let (media, protocol) = (self.kind.name().to_owned(), self.protocol.name().to_owned());
        Line::Other(OtherLine { media, port: 0, protocol, formats: formats.join(" ") })
    }
}
