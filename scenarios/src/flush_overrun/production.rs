//! Our associations under the same lengths: the production code itself.

use super::{Sent, Transport};
use crate::dtls_crypto::{Seeded, certificate};
use crate::dtls_setup::{PAST_TIMEOUT, beginning};
use crate::inputs::one_of;
use sim::invariant;
use stack::dtls::{
    Action, Association, CERTIFICATE_LEN_MAX, Certificate, DtlsConfig, DtlsError, FingerprintHash, Role, Settings, Versions,
};
use std::sync::Arc;

/// Of both sides' certificates, in bytes: around the rows of the exhibit, and around our limit and past it.
const CERTIFICATE_LENS: [usize; 17] =
    [700, 1_000, 1_100, 1_149, 1_150, 1_151, 1_400, 1_499, 1_500, 1_501, 1_750, 2_000, 2_047, 2_048, 2_049, 3_000, 3_001];
/// From the least to the most that our settings have.
const MTUS: [usize; 8] = [300, 301, 548, 1_150, 1_280, 1_500, 2_047, 2_048];
/// How often both wait before it is no handshake.
const WAITS_MAX: usize = 8;
/// A tag and a length of two bytes.
const HEADER_LEN: usize = 4;

pub(super) struct Production;

impl Transport for Production {
    fn handshake() -> Option<Sent> {
        let is_12 = one_of(&[false, true]);
        handshake(one_of(&CERTIFICATE_LENS), one_of(&MTUS), is_12)
    }
}

/// A handshake between two whose certificates have this length.
pub(super) fn handshake(certificate_len: usize, mtu: usize, is_12: bool) -> Option<Sent> {
    let config = |role| {
        let mut settings = Settings::default();
        (settings.versions, settings.mtu_bytes) = (if is_12 { Versions::Dtls12 } else { Versions::Dtls13 }, mtu);
        let made = DtlsConfig::with_crypto(padded(role, certificate_len)?, settings, Arc::new(Seeded));
        let is_refused = made.is_err();
        invariant!(
            is_refused == (certificate_len > 3 * mtu),
            "{certificate_len} bytes in datagrams of {mtu}: refused is {is_refused}"
        );
        made.ok()
    };
    let configs = [config(Role::Client)?, config(Role::Server)?];
    let expected = |of: usize| configs[of].certificate().fingerprint(FingerprintHash::Sha256).into();
    let mut now = beginning();
    let mut ends = [
        Association::new(&configs[0], Role::Client, expected(1), 1, now),
        Association::new(&configs[1], Role::Server, expected(0), 1, now),
    ];
    let (mut datagrams, mut waits) = (Vec::new(), 0);
    while waits < WAITS_MAX {
        let sent = datagrams.len();
        for from in 0..2 {
            while let Some(action) = ends[from].poll() {
                match action {
                    Action::Transmit(datagram) => {
                        ends[1 - from].handle_datagram(&datagram, now);
                        datagrams.push(datagram);
                    }
                    Action::Keyed(_) => {}
                    other => sim::violated(format!("a handshake that nobody harms says {other:?}")),
                }
            }
        }
        if datagrams.len() > sent {
            continue;
        }
        if ends.iter().all(Association::is_keyed) {
            break;
        }
        waits += 1;
        now += PAST_TIMEOUT;
        ends.iter_mut().for_each(|end| end.handle_timeout(now));
    }
    // Nothing was lost, so nothing is to be sent again.
    let is_complete = waits == 0 && ends.iter().all(Association::is_keyed);
    Some(Sent { limit: mtu, datagrams, is_complete })
}

/// How long the element of DER is that these bytes begin with, its header included: its length is in one byte, or in those that follow.
fn element_len(bytes: &[u8]) -> usize {
    match bytes[1] {
        0x82 => 4 + usize::from(u16::from_be_bytes([bytes[2], bytes[3]])),
        0x81 => 3 + usize::from(bytes[2]),
        len => 2 + usize::from(len),
    }
}

/// The certificate of the fixtures with a signature of its own that is as long as it must be: nobody looks at that, as it is the
/// fingerprint that vouches for a certificate. None of one that is refused as too long.
fn padded(role: Role, len: usize) -> Option<Certificate> {
    let key: &[u8] = match role {
        Role::Client => include_bytes!("../dtls_crypto/client.key.der"),
        Role::Server => include_bytes!("../dtls_crypto/server.key.der"),
    };
    let fixture = certificate(role);
    let content = &fixture.der()[HEADER_LEN..];
    let signed_len = element_len(content);
    // The name of the algorithm is short.
    let algorithm_len = 2 + usize::from(content[signed_len + 1]);
    let kept = &content[..signed_len + algorithm_len];
    let header = |tag: u8, len: usize| [&[tag, 0x82][..], &(len as u16).to_be_bytes()].concat();
    let signature = vec![0; len - 2 * HEADER_LEN - kept.len()];
    let der = [&header(0x30, len - HEADER_LEN), kept, &header(0x03, signature.len()), &signature].concat();
    match Certificate::new(&der, key) {
        Ok(certificate) => Some(certificate),
        Err(error) => {
            let expected = DtlsError::CertificateLength { expected: CERTIFICATE_LEN_MAX, got: len };
            invariant!(len > CERTIFICATE_LEN_MAX && error == expected, "a certificate of {len} bytes is refused: {error}");
            None
        }
    }
}
