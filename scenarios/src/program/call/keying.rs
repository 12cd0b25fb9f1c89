//! What keys the call: from the arguments, and from what the other side has said.

use super::arguments::HowArguments;
use super::certificate;
use super::learning::Learning;
use super::words::Words;
use crate::program::Failure;
use sim::sync::Arc;
use sim::time::Instant;
use stack::dtls::{Certificate, DtlsConfig, FingerprintHash, Fingerprints, Role, Settings};
use stack::media::description::{Crypto, CryptoError};
use stack::media::transport::{ClearTransport, DtlsTransport, Peer, Reaction, SdesTransport, Transport};
use stack::srtp::{KeyLifetime, Policy, Profile};
use zeroize::Zeroizing;

/// What a fresh key is for: every peer has it (RFC 4568 section 6.2.1).
const PROFILE: Profile = Profile::AesCm128HmacSha1_80;

/// What this side keys the call with.
pub(super) enum Keying {
    Clear,
    Sdes { ours: Crypto, is_new: bool, theirs: Option<Crypto> },
    Dtls { config: DtlsConfig, role: Role, theirs: Option<Fingerprints> },
}

/// What keys a stream, and what is to be sent first.
pub(super) struct Keyed {
    pub(super) transport: Arc<dyn Transport>,
    pub(super) reaction: Reaction,
    /// The profile, where it is known before.
    pub(super) profile: Option<Profile>,
}

impl Keying {
    /// As the arguments have it.
    pub(super) fn new(how: &HowArguments) -> Result<Self, Failure> {
        if let Some(dtls) = how.dtls {
            let certificate = match (&how.certificate, &how.key) {
                (Some(certificate), Some(key)) => certificate::read(certificate, key)?,
                _ => Certificate::generate().map_err(|error| Failure::System(error.to_string()))?,
            };
            let mut settings = Settings::default();
            settings.deadline = how.wait;
            let config = DtlsConfig::new(certificate, settings).map_err(|error| Failure::Usage(error.to_string()))?;
            let theirs = how.fingerprint.as_deref().map(|text| read_fingerprint("--fingerprint", text)).transpose()?;
            return Ok(Keying::Dtls { config, role: dtls.role(), theirs });
        }
        let Some(ours) = &how.sdes else { return Ok(Keying::Clear) };
        let theirs = how.peer_sdes.as_ref().map(|line| read_sdes("--peer-sdes", &line.0)).transpose()?;
        let is_new = ours.is_none();
        let ours = match ours {
            Some(line) => read_sdes("--sdes", &line.0)?,
            // With the peer's suite, if that is known.
            None => Crypto::random(1, theirs.as_ref().map_or(PROFILE, Crypto::profile))
                .map_err(|error| Failure::Usage(format!("--peer-sdes: {error}")))?,
        };
        Ok(Keying::Sdes { ours, is_new, theirs })
    }

    /// Whether the peer has to be known by its address.
    pub(super) fn needs_address(&self) -> bool {
        !matches!(self, Keying::Sdes { .. })
    }

    /// What the peer must be given.
    pub(super) fn told(&self) -> Option<Zeroizing<String>> {
        match self {
            Keying::Dtls { config, .. } => {
                let fingerprint = config.certificate().fingerprint(FingerprintHash::Sha256);
                Some(Zeroizing::new(format!("our fingerprint: {fingerprint}")))
            }
            Keying::Sdes { ours, is_new: true, .. } => {
                let value = ours.value();
                // Without its tag, which is the business of descriptions.
                let line = value.split_once(' ').map_or(value.as_str(), |(_, line)| line);
                Some(Zeroizing::new(format!("our SDES line: {line}")))
            }
            Keying::Clear | Keying::Sdes { .. } => None,
        }
    }

    /// What is to be asked for on standard input, if the arguments did not say it.
    pub(super) fn missing(&self) -> Option<&'static str> {
        match self {
            Keying::Dtls { theirs: None, .. } => Some("the peer's fingerprint"),
            Keying::Sdes { theirs: None, .. } => Some("the peer's SDES line"),
            _ => None,
        }
    }

    /// Has what was missing read from standard input. False if the call is to end before it comes.
    pub(super) async fn complete(&mut self, words: &mut Words) -> Result<bool, Failure> {
        let Some(what) = self.missing() else { return Ok(true) };
        let Some(line) = words.line(what).await? else { return Ok(false) };
        match self {
            Keying::Dtls { theirs, .. } => *theirs = Some(read_fingerprint(what, &line)?),
            Keying::Sdes { theirs, .. } => *theirs = Some(read_sdes(what, &line)?),
            Keying::Clear => {}
        }
        Ok(true)
    }

    /// The transport to a peer, which is complete. Without an address, where that [may be](Keying::needs_address), to whoever has the keys.
    pub(super) fn transport(self, peer: Option<Peer>, is_muxed: bool, now: Instant) -> Result<Keyed, Failure> {
        let usage = |error: &dyn std::fmt::Display| Failure::Usage(error.to_string());
        let of = |transport, profile| Keyed { transport, reaction: Reaction::default(), profile };
        match (self, peer) {
            (Keying::Clear, Some(peer)) => Ok(of(Arc::new(ClearTransport::new(peer)), None)),
            (Keying::Sdes { ours, theirs: Some(theirs), .. }, peer) => {
                let policy = agree(&ours, &theirs)?;
                let keys = |crypto: &Crypto| crypto.master_keys().map_err(|error| usage(&error));
                let key = |transport: &SdesTransport| {
                    transport.set_keys(&policy, &keys(&ours)?, &keys(&theirs)?).map_err(|error| usage(&error))
                };
                let transport: Arc<dyn Transport> = match peer {
                    Some(peer) => {
                        let transport = SdesTransport::new(peer);
                        key(&transport)?;
                        Arc::new(transport)
                    }
                    None => {
                        let transport = Learning::new(is_muxed);
                        key(transport.keyed())?;
                        Arc::new(transport)
                    }
                };
                Ok(of(transport, Some(policy.profile())))
            }
            (Keying::Dtls { config, role, theirs: Some(theirs) }, Some(peer)) => {
                let made = DtlsTransport::new(&config, role, theirs, peer, 0, now).map_err(|error| usage(&error))?;
                Ok(Keyed { transport: Arc::new(made.0), reaction: made.1, profile: None })
            }
            (keying, _) => Err(Failure::Usage(format!("expected {}, got none", keying.missing().unwrap_or("--media HOST:PORT")))),
        }
    }
}

/// What a session has to be set up with for both lines: there is one policy for both directions, so keys live as long as the shortest may.
fn agree(ours: &Crypto, theirs: &Crypto) -> Result<Policy, Failure> {
    let refused = |error: CryptoError| Failure::Usage(format!("two SDES lines: {error}"));
    let lifetimes = [ours, theirs].into_iter().filter_map(Crypto::lifetime_packets);
    let rtp_packets = lifetimes.min().unwrap_or(KeyLifetime::MAX.rtp_packets);
    let lifetime = KeyLifetime { rtp_packets, rtcp_packets: rtp_packets.min(KeyLifetime::MAX.rtcp_packets) };
    let policy_of = |line: &Crypto| {
        let policy = line.policy().map_err(refused)?;
        policy.lifetime(lifetime).map_err(|error| refused(CryptoError::Srtp(error)))
    };
    let (policy, other) = (policy_of(theirs)?, policy_of(ours)?);
    if policy != other {
        let (expected, got) = (ours.profile(), theirs.profile());
        return Err(Failure::Usage(format!(
            "expected two SDES lines of one suite with the same parameters, got {expected} and {got} with {:?} and {:?}",
            ours.parameters(),
            theirs.parameters()
        )));
    }
    let keys = |line: &Crypto| line.master_keys().map_err(|error| refused(CryptoError::Srtp(error)));
    let (of_ours, of_theirs) = (keys(ours)?, keys(theirs)?);
    if of_ours.iter().any(|key| of_theirs.iter().any(|other| other.is_same_key(key))) {
        // RFC 4568 section 6.1, and the likeliest mistake.
        return Err(Failure::Usage("expected another key in the peer's SDES line, got our own".to_owned()));
    }
    Ok(policy)
}

fn read_fingerprint(what: &str, text: &str) -> Result<Fingerprints, Failure> {
    // As it stands in a description, too.
    let text = text.trim().trim_start_matches("a=fingerprint:");
    Fingerprints::read([text]).map_err(|error| Failure::Usage(format!("{what}: {error}")))
}

/// A line as it stands in a description, or without its tag.
fn read_sdes(what: &str, text: &str) -> Result<Crypto, Failure> {
    let text = text.trim().trim_start_matches("a=crypto:");
    let has_tag = text.starts_with(|first: char| first.is_ascii_digit());
    let tagged = Zeroizing::new(if has_tag { text.to_owned() } else { format!("1 {text}") });
    tagged.parse().map_err(|error: CryptoError| Failure::Usage(format!("{what}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "AES_CM_128_HMAC_SHA1_80 inline:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    const OTHER: &str = "AES_CM_128_HMAC_SHA1_80 inline:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB";

    fn line(text: &str) -> Crypto {
        read_sdes("--sdes", text).unwrap()
    }

    #[test]
    fn a_line_is_read_as_people_have_it() {
        for written in [ONE.to_owned(), format!("1 {ONE}"), format!("a=crypto:1 {ONE}\n"), format!(" {ONE} ")] {
            assert_eq!(line(&written), line(ONE), "{written}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_line_is_said_without_its_key() {
        for (text, says) in [
            ("AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0", "expected a key and salt of 30 bytes, got 6"),
            ("NULL_HMAC_SHA1_80 inline:c2VjcmV0", "expected a suite of RFC 4568, 6188 or 7714"),
            ("c2VjcmV0", "expected the keys of RFC 4568 section 9"),
        ] {
            let error = read_sdes("--peer-sdes", text).unwrap_err().to_string();
            assert!(error.starts_with("--peer-sdes: "), "{error}");
            assert!(!error.contains("inline:c2"), "{error}");
            assert!(error.contains(says) || text == "c2VjcmV0", "{error}");
        }
    }

    #[test]
    fn two_lines_must_fit_and_be_two() {
        assert!(agree(&line(ONE), &line(OTHER)).is_ok());
        let living = line(&format!("{OTHER}|2^20"));
        let expected = KeyLifetime { rtp_packets: 1 << 20, rtcp_packets: 1 << 20 };
        let policy = Policy::new(PROFILE).unwrap().lifetime(expected).unwrap();
        assert_eq!(agree(&line(ONE), &living).unwrap(), agree(&living, &line(ONE)).unwrap());
        assert_eq!(agree(&line(ONE), &living).unwrap().profile(), policy.profile());
        let refusal = |theirs: &str| agree(&line(ONE), &line(theirs)).unwrap_err().to_string();
        assert!(refusal(ONE).contains("got our own"));
        assert!(refusal(&OTHER.replace("_80 ", "_32 ")).contains("got AES_CM_128_HMAC_SHA1_80 and AES_CM_128_HMAC_SHA1_32"));
        assert!(refusal(&format!("{OTHER} KDR=5")).contains("KeyDerivationRate"));
        assert!(refusal(&format!("{OTHER} UNENCRYPTED_SRTP")).contains("UNENCRYPTED_SRTP"));
    }
}
