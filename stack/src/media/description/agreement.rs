//! What an offer and its answer come to.

use super::direction::Direction;
use super::error::Refusal;
use super::format::Format;
use super::keying::{KeyChange, Keyed, Keying};
use super::line::{Kind, OtherLine, Source, Stream};
use super::local::LocalStream;
use crate::dtls::{Fingerprints, Role};
use crate::srtp::{MasterKey, Policy};
use std::net::SocketAddr;

/// What one side has from an offer and its answer: one line for each of theirs.
#[derive(Clone, Debug)]
pub struct Negotiated {
    pub(super) lines: Vec<NegotiatedLine>,
}

impl Negotiated {
    /// Each line, in order.
    pub fn lines(&self) -> &[NegotiatedLine] {
        &self.lines
    }

    /// Those that carry media.
    pub fn streams(&self) -> impl Iterator<Item = &Agreed> {
        self.lines.iter().filter_map(|line| line.agreed().ok())
    }
}

/// What became of one line.
#[derive(Clone, Debug)]
pub struct NegotiatedLine {
    pub(super) agreed: Result<Agreed, Refusal>,
    /// Which of our lines it is.
    pub(in crate::media) local: Option<usize>,
    /// How it is written when it is off.
    pub(super) off: OtherLine,
}

impl NegotiatedLine {
    /// What was agreed.
    ///
    /// # Errors
    /// Why nothing was.
    pub fn agreed(&self) -> Result<&Agreed, &Refusal> {
        self.agreed.as_ref()
    }
}

/// A stream that both sides want.
#[derive(Clone, Debug)]
pub struct Agreed {
    kind: Kind,
    local_rtp: SocketAddr,
    remote_rtp: SocketAddr,
    remote_rtcp: SocketAddr,
    direction: Direction,
    formats: Vec<AgreedFormat>,
    rtcp_mux: bool,
    transport: Transport,
    pub(super) keying: Keying,
    remote_sources: Vec<Source>,
}

/// A format that both sides have. Each side says under which number it wants it (RFC 3264 section 5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgreedFormat {
    /// As it comes in, with our parameters.
    pub receiving: Format,
    /// As it is to be sent, with the other side's parameters.
    pub sending: Format,
}

/// How packets go.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Transport {
    /// In clear.
    Clear,
    /// With keys that are known now.
    Sdes {
        /// For both directions.
        policy: Policy,
        /// Our keys.
        sending: Vec<MasterKey>,
        /// The other side's.
        receiving: Vec<MasterKey>,
        /// What is to be done with them: a session that goes on must not be keyed with the same keys again.
        change: KeyChange,
    },
    /// With keys that a handshake gives.
    Dtls {
        /// Ours in it.
        role: Role,
        /// What the other side's certificate has to match.
        fingerprints: Fingerprints,
        /// Whether it wants an [`Association`](crate::dtls::Association) of its own, the first of the line or another; if not, the
        /// one that there is goes on, and so do its keys.
        is_new: bool,
    },
}

impl Transport {
    /// Whether packets are protected.
    pub fn is_secure(&self) -> bool {
        !matches!(self, Transport::Clear)
    }

    /// Whether keys are others than before, or will be. Of what has no keys there is nothing to renew.
    pub(super) fn is_renewed(&self) -> bool {
        match self {
            Transport::Clear => true,
            Transport::Sdes { change, .. } => *change != KeyChange::Unchanged,
            Transport::Dtls { is_new, .. } => *is_new,
        }
    }
}

impl Agreed {
    pub(super) fn new(
        local: &LocalStream,
        theirs: &Stream,
        formats: Vec<AgreedFormat>,
        direction: Direction,
        rtcp_mux: bool,
        keyed: Keyed,
    ) -> Self {
        let Keyed { transport, keying } = keyed;
        // An address of zeros is a hold of the old kind: there is nowhere to send to (RFC 3264 section 8.4).
        let direction = match theirs.rtp.ip().is_unspecified() {
            true => Direction::of(false, direction.receives()),
            false => direction,
        };
        Agreed {
            kind: local.kind,
            local_rtp: local.rtp,
            remote_rtp: theirs.rtp,
            remote_rtcp: if rtcp_mux { theirs.rtp } else { theirs.rtcp },
            direction,
            formats,
            rtcp_mux,
            transport,
            keying,
            remote_sources: theirs.sources.clone(),
        }
    }

    /// What it carries.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Where packets come in.
    pub fn local_rtp(&self) -> SocketAddr {
        self.local_rtp
    }

    /// Where packets go.
    pub fn remote_rtp(&self) -> SocketAddr {
        self.remote_rtp
    }

    /// Where RTCP goes.
    pub fn remote_rtcp(&self) -> SocketAddr {
        self.remote_rtcp
    }

    /// Who sends, from our side.
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// The formats, the preferred first.
    pub fn formats(&self) -> &[AgreedFormat] {
        &self.formats
    }

    /// Whether RTP and RTCP share a port.
    pub fn rtcp_mux(&self) -> bool {
        self.rtcp_mux
    }

    /// How packets go.
    pub fn transport(&self) -> &Transport {
        &self.transport
    }

    /// Who sends on the other side, as far as it says.
    pub fn remote_sources(&self) -> &[Source] {
        &self.remote_sources
    }
}

/// The formats that both sides have, in the order of one: each number is that side's word for what it receives.
pub(super) fn common(ours: &[Format], theirs: &[Format]) -> Vec<AgreedFormat> {
    let mut left: Vec<&Format> = ours.iter().collect();
    let mut common = Vec::new();
    for sending in theirs {
        if let Some(at) = left.iter().position(|format| format.is_same_encoding(sending)) {
            common.push(AgreedFormat { receiving: left.remove(at).clone(), sending: sending.clone() });
        }
    }
    match common.iter().any(|format| format.sending.is_media()) {
        true => common,
        false => Vec::new(),
    }
}
