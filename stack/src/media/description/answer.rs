//! Answering an offer (RFC 3264 section 6).

use super::Description;
use super::agreement::{Agreed, Negotiated, NegotiatedLine, common};
use super::crypto::Crypto;
use super::error::{DescriptionError, Refusal};
use super::inline_key::InlineKey;
use super::keying::{DtlsKeying, Keyed, Keying, SdesKeying};
use super::line::{Line, OtherLine, Stream};
use super::local::{Local, LocalStream};
use super::tls_id::TlsId;
use crate::dtls::{Fingerprint, Fingerprints, Setup, role_of};

/// Answers an offer with what we have: each line of it is taken or refused, in its place. What it comes to is told to
/// [`Local::settle`] when the answer is sent.
///
/// # Errors
/// [`DescriptionError::LineCount`] of an offer with fewer lines than there were, and [`DescriptionError::ClearAfterSecure`].
#[track_caller]
pub fn answer(offer: &Description, ours: &Local) -> Result<(Description, Negotiated), DescriptionError> {
    if offer.lines.len() < ours.settled {
        return Err(DescriptionError::LineCount { expected: ours.settled, got: offer.lines.len() });
    }
    let (mut lines, mut negotiated, mut taken) = (Vec::new(), Vec::<NegotiatedLine>::new(), Vec::new());
    for (at, line) in offer.lines.iter().enumerate() {
        let local = ours.stream_for(at, line, &taken);
        let (refused, result) = match line {
            Line::Other(other) => (other.refused(), Err(Refusal::Other)),
            Line::Stream(stream) => (stream.refused(), answer_line(at, stream, local.map(|(_, local)| local))?),
        };
        let off = off(&refused);
        let (line, agreed) = match result {
            Ok((stream, agreed)) => (Line::Stream(Box::new(stream)), Ok(agreed)),
            Err(refusal) => (refused, Err(refusal)),
        };
        lines.push(line);
        taken.push(local.map(|(index, _)| index));
        negotiated.push(NegotiatedLine { agreed, local: taken[at], off });
    }
    Ok((Description { origin: ours.origin.clone(), lines }, Negotiated { lines: negotiated }))
}

fn off(refused: &Line) -> OtherLine {
    match refused {
        Line::Other(other) => other.clone(),
        Line::Stream(_) => unreachable!("a line that is refused is no stream"),
    }
}

/// The line of the answer and what is agreed with it, or why there is none.
type Answered = Result<(Stream, Agreed), Refusal>;

fn answer_line(line: usize, offered: &Stream, local: Option<&LocalStream>) -> Result<Answered, DescriptionError> {
    let Some(local) = local.filter(|local| !local.is_off) else { return Ok(Err(Refusal::NoStream)) };
    if local.was_secure && !offered.protocol.is_secure() {
        return Err(DescriptionError::ClearAfterSecure { line, got: offered.protocol });
    }
    Ok(answer_stream(offered, local))
}

fn answer_stream(offered: &Stream, local: &LocalStream) -> Answered {
    let mut formats = common(&local.formats, &offered.formats);
    if formats.is_empty() {
        return Err(Refusal::NoCommonFormat);
    }
    // An answer has the offer's numbers (RFC 3264 section 6.1).
    for format in &mut formats {
        format.receiving = format.receiving.numbered(format.sending.payload_type());
    }
    let Keys { crypto, fingerprint, setup, tls_id, keyed } = keys(offered, local)?;
    let direction = local.direction.with_peer(offered.direction);
    let rtcp_mux = offered.rtcp_mux && local.rtcp_mux;
    let answer = Stream {
        kind: local.kind,
        protocol: offered.protocol,
        rtp: local.rtp,
        rtcp: local.rtcp(),
        rtcp_mux,
        formats: formats.iter().map(|format| format.receiving.clone()).collect(),
        direction,
        crypto: crypto.into_iter().collect(),
        unknown_crypto: Vec::new(),
        fingerprints: fingerprint.map(Into::into),
        setup,
        tls_id,
        sources: local.sources.clone(),
    };
    Ok((answer, Agreed::new(local, offered, formats, direction, rtcp_mux, keyed)))
}

/// What a line of the answer says of keys, and what follows from it.
struct Keys {
    crypto: Option<Crypto>,
    fingerprint: Option<Fingerprint>,
    setup: Option<Setup>,
    tls_id: Option<TlsId>,
    keyed: Keyed,
}

impl Keys {
    fn of(keyed: Keyed) -> Self {
        Keys { crypto: None, fingerprint: None, setup: None, tls_id: None, keyed }
    }
}

/// A line that asks for protection gets it or is refused: no path from it leads to [`Keyed::clear`].
fn keys(offered: &Stream, local: &LocalStream) -> Result<Keys, Refusal> {
    let got = offered.protocol;
    if !got.is_secure() {
        return match (offered.has_keying(), local.security.clear) {
            (true, _) => Err(Refusal::KeysInClear { got }),
            (false, false) => Err(Refusal::Protocol { got }),
            (false, true) => Ok(Keys::of(Keyed::clear())),
        };
    }
    // Before RFC 5764 had a protocol of its own, DTLS was offered over that of SDES.
    let may_be_sdes = !got.is_dtls() && !offered.crypto.is_empty();
    match (&local.security.dtls, &offered.fingerprints) {
        _ if may_be_sdes && !local.security.sdes.is_empty() => with_sdes(offered, local),
        (Some(own), Some(theirs)) => with_dtls(offered, local, own, theirs),
        (Some(_), None) if got.is_dtls() || !may_be_sdes => Err(Refusal::NoKeys),
        (None, None) if !may_be_sdes && offered.unknown_crypto.is_empty() => Err(Refusal::NoKeys),
        (None, None) if !local.security.sdes.is_empty() => Err(Refusal::NoCommonSuite),
        _ => Err(Refusal::Protocol { got }),
    }
}

/// An association that goes on keeps our role and its name; that of a new one is new. Who offers no name gets none (RFC 8842 section 5.3).
fn with_dtls(offered: &Stream, local: &LocalStream, own: &Fingerprint, theirs: &Fingerprints) -> Result<Keys, Refusal> {
    let before = local.keying.as_ref().and_then(Keying::dtls);
    let ours = Fingerprints::from(own.clone());
    // Without names, known to both before, there is nothing to ask for a new one with: the other side would go on.
    let has_names = offered.tls_id.is_some() && before.is_some_and(|before| before.their_id.is_some());
    let renews = local.renews && has_names;
    let offer = offered.setup.unwrap_or(Setup::OFFER_DEFAULT);
    let kept = before.filter(|before| !renews && before.goes_on(&ours, None, offered));
    // An offer that leaves us another role means a new association too.
    let kept = kept.filter(|kept| offer.may_be_answered(kept.setup()));
    let setup = kept.map_or(offer.answer(), DtlsKeying::setup);
    let (_, role) = role_of(offer, setup).map_err(Refusal::Setup)?;
    let name = || kept.and_then(|kept| kept.our_id.clone()).unwrap_or_else(TlsId::random);
    let tls_id = offered.tls_id.as_ref().map(|_| name());
    let keying = DtlsKeying {
        role,
        ours,
        theirs: theirs.clone(),
        our_id: tls_id.clone(),
        their_id: offered.tls_id.clone(),
        remote: offered.rtp,
    };
    let keyed = Keyed::dtls(keying, kept);
    Ok(Keys { fingerprint: Some(own.clone()), setup: Some(setup), tls_id, ..Keys::of(keyed) })
}

/// The line whose keys we have, or the first that we can be the other end of: they are in the order in which they are preferred (RFC 4568
/// section 5.1.1).
fn with_sdes(offered: &Stream, local: &LocalStream) -> Result<Keys, Refusal> {
    let before = local.keying.as_ref().and_then(Keying::sdes);
    let kept = local.kept().and_then(Keying::sdes);
    let mut candidates: Vec<&Crypto> = offered.crypto.iter().collect();
    candidates.retain(|theirs| local.security.sdes.contains(&theirs.profile()));
    // Stable, so that the others stay in their order.
    candidates.sort_by_key(|theirs| !kept.is_some_and(|kept| kept.is_of(theirs)));
    let mut refusal = Refusal::NoCommonSuite;
    for theirs in candidates {
        match answer_crypto(theirs, kept).and_then(|ours| Ok((Keyed::sdes(&ours, theirs, before)?, ours))) {
            Ok((keyed, ours)) => return Ok(Keys { crypto: Some(ours), ..Keys::of(keyed) }),
            Err(error) => refusal = Refusal::Crypto(error),
        }
    }
    Err(refusal)
}

/// Our line to theirs: with our key as it is if theirs is too, or one that lives as long as theirs.
fn answer_crypto(theirs: &Crypto, kept: Option<&SdesKeying>) -> Result<Crypto, super::CryptoError> {
    if let Some(ours) = kept.and_then(|kept| kept.go_on_with(theirs)) {
        return Ok(ours);
    }
    let key = InlineKey::random(theirs.profile());
    let key = match theirs.lifetime_packets() {
        Some(packets) => key.with_lifetime(packets)?,
        None => key,
    };
    Crypto::new(theirs.tag(), theirs.profile(), vec![key], theirs.shared_parameters())
}
