//! Making an offer, and taking its answer (RFC 3264 sections 5 and 7).

use super::Description;
use super::agreement::{Agreed, Negotiated, NegotiatedLine, common};
use super::crypto::{Crypto, CryptoError};
use super::error::{DescriptionError, Refusal};
use super::keying::{DtlsKeying, Keyed, Keying};
use super::line::{Kind, Line, OtherLine, Protocol, Stream};
use super::local::{Local, LocalLine, LocalStream};
use super::session_parameter::SessionParameter;
use super::tls_id::TlsId;
use crate::dtls::{Fingerprints, Setup, role_of};
use crate::srtp::Profile;

impl Local {
    /// An offer of all that we have. A line that was [settled](Local::settle) goes on with its keys; others have new ones, each time.
    ///
    /// # Errors
    /// [`DescriptionError::NoSecurity`] of a stream that no way is allowed for, and [`DescriptionError::ClearAfterSecure`].
    #[track_caller]
    pub fn offer(&self) -> Result<Description, DescriptionError> {
        let mut lines = Vec::new();
        for (at, line) in self.lines.iter().enumerate() {
            lines.push(match line {
                LocalLine::Off(other) => Line::Other(other.clone()),
                LocalLine::Stream(stream) => offer_stream(at, stream)?,
            });
        }
        Ok(Description { origin: self.origin.clone(), lines })
    }
}

#[track_caller]
fn offer_stream(line: usize, local: &LocalStream) -> Result<Line, DescriptionError> {
    let (fingerprints, mut crypto) = (local.security.dtls.clone().map(Fingerprints::from), Vec::new());
    let protocol = if fingerprints.is_some() {
        Protocol::DtlsSavp
    } else if !local.security.sdes.is_empty() {
        crypto = offer_crypto(local).map_err(|error| DescriptionError::Crypto { line, error })?;
        Protocol::RtpSavp
    } else if local.was_secure {
        return Err(DescriptionError::ClearAfterSecure { line, got: Protocol::RtpAvp });
    } else if local.security.clear {
        Protocol::RtpAvp
    } else {
        return Err(DescriptionError::NoSecurity { line });
    };
    let stream = Stream {
        kind: local.kind,
        protocol,
        rtp: local.rtp,
        rtcp: local.rtcp(),
        rtcp_mux: local.rtcp_mux,
        formats: local.formats.clone(),
        direction: local.direction,
        crypto,
        unknown_crypto: Vec::new(),
        setup: protocol.is_dtls().then_some(Setup::OFFERED),
        tls_id: fingerprints.as_ref().map(|fingerprints| offer_id(local, fingerprints)),
        fingerprints,
        sources: local.sources.clone(),
    };
    Ok(if local.is_off { stream.refused() } else { Line::Stream(Box::new(stream)) })
}

/// The name of the association that goes on, if our certificate is the same, or that of a new one.
#[track_caller]
fn offer_id(local: &LocalStream, fingerprints: &Fingerprints) -> TlsId {
    let kept = local.kept().and_then(Keying::dtls).filter(|kept| kept.ours.is_same_set(fingerprints));
    kept.and_then(|kept| kept.our_id.clone()).unwrap_or_else(TlsId::random)
}

/// A line for each profile, the one that goes on before the others: an answerer that takes the first that it has would leave it.
#[track_caller]
fn offer_crypto(local: &LocalStream) -> Result<Vec<Crypto>, CryptoError> {
    let kept = local.kept().and_then(Keying::sdes).map(|kept| kept.ours());
    let is_kept = |profile: &Profile| kept.is_some_and(|kept| kept.profile() == *profile);
    let mut profiles = local.security.sdes.clone();
    // Stable, so that the others stay in their order.
    profiles.sort_by_key(|profile| !is_kept(profile));
    let mut lines = Vec::new();
    for (profile, tag) in profiles.into_iter().zip(1..) {
        lines.push(match kept {
            Some(kept) if is_kept(&profile) => Crypto::new(tag, profile, kept.keys().to_vec(), kept.parameters().to_vec())?,
            _ => Crypto::random(tag, profile)?,
        });
    }
    Ok(lines)
}

/// Takes the answer to an offer of ours.
///
/// # Errors
/// [`DescriptionError`] of an answer that is none to this offer: nothing is negotiated then.
pub fn accept_answer(offer: &Description, answer: &Description, ours: &Local) -> Result<Negotiated, DescriptionError> {
    let expected = offer.lines.len();
    if answer.lines.len() != expected || ours.lines.len() != expected {
        return Err(DescriptionError::LineCount { expected, got: answer.lines.len() });
    }
    let mut lines = Vec::new();
    for (at, (offered, answered)) in offer.lines.iter().zip(&answer.lines).enumerate() {
        let (agreed, off) = match (offered, &ours.lines[at]) {
            (Line::Other(other), _) => (Err(refused_again(at, answered)?), other.clone()),
            (Line::Stream(offered), LocalLine::Stream(local)) => (accept_line(at, offered, answered, local)?, off(offered)),
            (Line::Stream(offered), LocalLine::Off(_)) => (Err(Refusal::NoStream), off(offered)),
        };
        lines.push(NegotiatedLine { agreed, local: Some(at), off });
    }
    Ok(Negotiated { lines })
}

fn off(offered: &Stream) -> OtherLine {
    match offered.refused() {
        Line::Other(other) => other,
        Line::Stream(_) => unreachable!("a line that is refused is no stream"),
    }
}

/// A line that was off in the offer is off in the answer.
fn refused_again(line: usize, answered: &Line) -> Result<Refusal, DescriptionError> {
    match answered {
        Line::Other(other) if other.port() == 0 => Ok(Refusal::Other),
        _ => Err(DescriptionError::Malformed { line, what: "port 0, as it was offered" }),
    }
}

fn accept_line(
    line: usize,
    offered: &Stream,
    answered: &Line,
    local: &LocalStream,
) -> Result<Result<Agreed, Refusal>, DescriptionError> {
    let answered = match answered {
        Line::Stream(answered) => answered,
        Line::Other(other) if Kind::read(other.media()) != Some(offered.kind) => {
            return Err(DescriptionError::Kind { line, expected: offered.kind });
        }
        Line::Other(other) if other.port() == 0 => return Ok(Err(Refusal::ByPeer)),
        Line::Other(other) if other.protocol == offered.protocol.name() => return Err(DescriptionError::NoCommonFormat { line }),
        Line::Other(_) => return Err(DescriptionError::Protocol { line, expected: offered.protocol }),
    };
    if local.was_secure && !offered.protocol.is_secure() {
        return Err(DescriptionError::ClearAfterSecure { line, got: offered.protocol });
    }
    if answered.kind != offered.kind {
        return Err(DescriptionError::Kind { line, expected: offered.kind });
    }
    // Another protocol would be another promise: in clear, or with keys that nobody offered.
    if answered.protocol != offered.protocol {
        return Err(DescriptionError::Protocol { line, expected: offered.protocol });
    }
    if answered.rtcp_mux && !offered.rtcp_mux {
        return Err(DescriptionError::RtcpMux { line });
    }
    let formats = common(&offered.formats, &answered.formats);
    // Others that were not offered may stand beside (RFC 3264 section 6.1); they are not sent.
    if formats.is_empty() {
        return Err(DescriptionError::NoCommonFormat { line });
    }
    let keyed = accept_keys(line, offered, answered, local.keying.as_ref())?;
    let direction = offered.direction.with_peer(answered.direction);
    Ok(Ok(Agreed::new(local, answered, formats, direction, answered.rtcp_mux, keyed)))
}

fn accept_keys(line: usize, offered: &Stream, answered: &Stream, before: Option<&Keying>) -> Result<Keyed, DescriptionError> {
    if !offered.protocol.is_secure() {
        return Ok(Keyed::clear());
    }
    if !offered.protocol.is_dtls() {
        return accept_sdes(line, offered, answered, before);
    }
    let (Some(ours), Some(theirs)) = (&offered.fingerprints, &answered.fingerprints) else {
        return Err(DescriptionError::Fingerprint { line, error: crate::dtls::FingerprintError::None });
    };
    let (offer, answer) = (offered.setup.unwrap_or(Setup::OFFER_DEFAULT), answered.setup.unwrap_or(Setup::ANSWER_DEFAULT));
    let (role, _) = role_of(offer, answer).map_err(|error| DescriptionError::Setup { line, error })?;
    let before = before.and_then(Keying::dtls);
    // An answer that turns the roles round means a new association, whatever else it says.
    let goes_on = |before: &DtlsKeying| before.role == role && before.goes_on(ours, offered.tls_id.as_ref(), answered);
    let kept = before.filter(|before| goes_on(before));
    let keying = DtlsKeying {
        role,
        ours: ours.clone(),
        theirs: theirs.clone(),
        our_id: offered.tls_id.clone(),
        their_id: answered.tls_id.clone(),
        remote: answered.rtp,
    };
    Ok(Keyed::dtls(keying, kept))
}

/// RFC 4568 section 5.1.3: one line, of a tag and suite that were offered, with a key of its own.
fn accept_sdes(line: usize, offered: &Stream, answered: &Stream, before: Option<&Keying>) -> Result<Keyed, DescriptionError> {
    let [theirs] = &answered.crypto[..] else {
        return Err(DescriptionError::CryptoCount { line, got: answered.crypto.len() + answered.unknown_crypto.len() });
    };
    if !answered.unknown_crypto.is_empty() {
        return Err(DescriptionError::CryptoCount { line, got: 1 + answered.unknown_crypto.len() });
    }
    let chosen = offered.crypto.iter().find(|ours| (ours.tag(), ours.profile()) == (theirs.tag(), theirs.profile()));
    let Some(ours) = chosen else { return Err(DescriptionError::CryptoChoice { line, tag: theirs.tag() }) };
    let wrong = |error| DescriptionError::Crypto { line, error };
    // A key that comes back would have both directions use one keystream.
    if theirs.shares_key_with(ours) {
        return Err(wrong(CryptoError::KeyTwice));
    }
    // A session has one rate for both directions, and ours was offered without.
    let rate = |crypto: &Crypto| {
        crypto.parameters().iter().find_map(|parameter| match parameter {
            SessionParameter::KeyDerivationRate { exponent: exponent @ 1.. } => Some(*exponent),
            _ => None,
        })
    };
    if rate(theirs) != rate(ours) {
        return Err(wrong(CryptoError::Unsupported { name: "KDR".into() }));
    }
    Keyed::sdes(ours, theirs, before.and_then(Keying::sdes)).map_err(wrong)
}
