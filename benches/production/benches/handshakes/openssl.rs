//! openssl's library: DTLS 1.2 over memory, datagram by datagram, set up to do what ours does.

use super::{Identities, Implementation, Role, Side, peer_of};
use openssl::error::ErrorStack;
use openssl::hash::{MessageDigest, hash};
use openssl::pkey::PKey;
use openssl::ssl::{
    ErrorCode, Ssl, SslContext, SslContextBuilder, SslMethod, SslOptions, SslSessionCacheMode, SslStream, SslVerifyMode,
    SslVersion,
};
use openssl::x509::X509;
use stack::srtp::{MasterKey, Profile};
use std::collections::VecDeque;
use std::io::{self, Read, Write};

/// The best that both have, as ours takes it.
const PROFILE: (&str, Profile) = ("SRTP_AEAD_AES_256_GCM", Profile::AeadAes256Gcm);
/// As in our settings' defaults.
const MTU_BYTES: u32 = 1150;

/// A context for the client and one for the server.
pub(super) struct Openssl([SslContext; 2]);

impl Openssl {
    pub(super) fn new(identities: &Identities) -> Self {
        Openssl([Role::Client, Role::Server].map(|role| context(identities, role).expect("openssl 1.1.1 or later")))
    }
}

impl Implementation for Openssl {
    type Side = OpensslSide;

    fn side(&self, role: Role) -> OpensslSide {
        let mut ssl = Ssl::new(&self.0[usize::from(role == Role::Server)]).unwrap();
        ssl.set_mtu(MTU_BYTES).unwrap();
        let mut side = OpensslSide { role, stream: SslStream::new(ssl, Datagrams::default()).unwrap(), is_done: false };
        if role == Role::Client {
            side.go_on();
        }
        side
    }
}

fn context(identities: &Identities, role: Role) -> Result<SslContext, ErrorStack> {
    let (ours, peer) = (identities.of(role), identities.of(peer_of(role)));
    let mut context = SslContextBuilder::new(SslMethod::dtls())?;
    context.set_min_proto_version(Some(SslVersion::DTLS1_2))?;
    context.set_max_proto_version(Some(SslVersion::DTLS1_2))?;
    context.set_cipher_list("ECDHE-ECDSA-AES128-GCM-SHA256")?;
    // P-256 for the certificates, of whose group it wants to have heard; the key exchange takes the first.
    context.set_groups_list("X25519:P-256")?;
    context.set_tlsext_use_srtp(PROFILE.0)?;
    // No handshake is shortened by one before it, and the MTU is the one that it is given.
    context.set_session_cache_mode(SslSessionCacheMode::OFF);
    context.set_options(SslOptions::NO_TICKET | SslOptions::NO_QUERY_MTU);
    context.set_certificate(X509::from_der(&ours.certificate_der)?.as_ref())?;
    context.set_private_key(PKey::private_key_from_pkcs8(&ours.key_der)?.as_ref())?;
    let expected = hash(MessageDigest::sha256(), &peer.certificate_der)?;
    context.set_verify_callback(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT, move |_, chain| {
        let got = chain.current_cert().and_then(|certificate| certificate.digest(MessageDigest::sha256()).ok());
        got.is_some_and(|got| *got == *expected)
    });
    Ok(context.build())
}

pub(super) struct OpensslSide {
    role: Role,
    stream: SslStream<Datagrams>,
    is_done: bool,
}

impl OpensslSide {
    fn go_on(&mut self) {
        if self.is_done {
            return;
        }
        match if self.role == Role::Client { self.stream.connect() } else { self.stream.accept() } {
            Ok(()) => self.is_done = true,
            Err(error) => assert_eq!(error.code(), ErrorCode::WANT_READ, "{error}"),
        }
    }
}

impl Side for OpensslSide {
    fn handle_datagram(&mut self, datagram: &[u8]) {
        self.stream.get_mut().arrived.push_back(datagram.to_vec());
        self.go_on();
    }

    fn poll(&mut self) -> Option<Vec<u8>> {
        self.stream.get_mut().to_send.pop_front()
    }

    fn keys(&self) -> Option<[MasterKey; 2]> {
        if !self.is_done {
            return None;
        }
        let profile = PROFILE.1;
        let (key_len, salt_len) = (profile.key_len(), profile.salt_len());
        let mut exported = vec![0; 2 * (key_len + salt_len)];
        self.stream.ssl().export_keying_material(&mut exported, "EXTRACTOR-dtls_srtp", None).ok()?;
        let (keys, salts) = exported.split_at(2 * key_len);
        let key = |of: Role| {
            let at = usize::from(of == Role::Server);
            MasterKey::new(profile, &keys[at * key_len..][..key_len], &salts[at * salt_len..][..salt_len]).ok()
        };
        Some([key(self.role)?, key(peer_of(self.role))?])
    }
}

/// The memory under a stream: each write is a datagram, and so is each read.
#[derive(Default)]
struct Datagrams {
    arrived: VecDeque<Vec<u8>>,
    to_send: VecDeque<Vec<u8>>,
}

impl Read for Datagrams {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Some(datagram) = self.arrived.pop_front() else { return Err(io::ErrorKind::WouldBlock.into()) };
        let len = datagram.len().min(into.len());
        into[..len].copy_from_slice(&datagram[..len]);
        Ok(len)
    }
}

impl Write for Datagrams {
    fn write(&mut self, datagram: &[u8]) -> io::Result<usize> {
        self.to_send.push_back(datagram.to_vec());
        Ok(datagram.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
