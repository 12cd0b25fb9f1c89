//! BoringSSL as a peer, in this process: datagrams go in and come out one by one. It has no timers here, so that it repeats itself only
//! when it is asked.

use boring::error::ErrorStack;
use boring::hash::MessageDigest;
use boring::pkey::PKey;
use boring::ssl::{
    Ssl, SslAlert, SslContextBuilder, SslMethod, SslOptions, SslRef, SslStream, SslVerifyError, SslVerifyMode, SslVersion,
};
use boring::x509::X509;
use std::collections::VecDeque;
use std::io::{self, Read, Write};

/// BoringSSL in a handshake and past it.
pub(crate) struct Boringssl {
    is_client: bool,
    stream: SslStream<Datagrams>,
    progress: Progress,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Progress {
    Handshaking,
    Done,
    /// What it says of why not.
    Failed(String),
}

/// What it is set up with.
pub(crate) struct Setup<'a> {
    pub(crate) is_client: bool,
    pub(crate) versions: [SslVersion; 2],
    pub(crate) identity: &'a Identity,
    /// Profiles by the names that it has for them, with colons between.
    pub(crate) profiles: &'a str,
    /// Groups for the key exchange by their names, with colons between; those that it has by itself, if there are none.
    pub(crate) groups: Option<&'a str>,
    /// The value of the peer's `a=fingerprint`, with SHA-256.
    pub(crate) fingerprint: String,
}

/// A certificate that BoringSSL shows, and its key.
pub(crate) struct Identity {
    pub(crate) certificate_der: Vec<u8>,
    key_der: Vec<u8>,
}

/// The memory under a stream: each write is a datagram, and so is each read.
#[derive(Default)]
struct Datagrams {
    arrived: VecDeque<Vec<u8>>,
    to_send: VecDeque<Vec<u8>>,
}

/// As browsers have it.
const MTU_BYTES: u32 = 1200;
/// RFC 5764 section 4.2.
const EXPORTER_LABEL: &str = "EXTRACTOR-dtls_srtp";

impl Boringssl {
    pub(crate) fn new(setup: Setup<'_>) -> Self {
        let ssl = setup.ssl().expect("BoringSSL takes its own certificate, versions and profiles");
        let stream = SslStream::new(ssl, Datagrams::default()).expect("a stream over memory");
        let mut boringssl = Boringssl { is_client: setup.is_client, stream, progress: Progress::Handshaking };
        boringssl.go_on();
        boringssl
    }

    pub(crate) fn handle_datagram(&mut self, datagram: Vec<u8>) {
        self.stream.get_mut().arrived.push_back(datagram);
        self.go_on();
    }

    /// The next datagram that it sends.
    pub(crate) fn poll(&mut self) -> Option<Vec<u8>> {
        self.stream.get_mut().to_send.pop_front()
    }

    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }

    pub(crate) fn version(&self) -> Option<SslVersion> {
        self.stream.ssl().version2()
    }

    /// The name of the SRTP profile that was agreed on.
    pub(crate) fn profile(&self) -> Option<&'static str> {
        self.stream.ssl().selected_srtp_profile().map(|profile| profile.name())
    }

    pub(crate) fn exported(&self, len: usize) -> Vec<u8> {
        let mut exported = vec![0; len];
        self.stream.ssl().export_keying_material(&mut exported, EXPORTER_LABEL, None).expect("a handshake that is done");
        exported
    }

    fn go_on(&mut self) {
        while self.progress == Progress::Handshaking {
            let step = if self.is_client { self.stream.connect() } else { self.stream.accept() };
            match step {
                Ok(()) => self.progress = Progress::Done,
                Err(error) if error.would_block() => return,
                Err(error) => self.progress = Progress::Failed(error.to_string()),
            }
        }
        // What comes after the handshake is looked at by reading; media does not come this way.
        while self.progress == Progress::Done {
            match self.stream.ssl_read(&mut [0; 2048]) {
                Ok(_) => {}
                Err(error) if error.would_block() => return,
                Err(error) => self.progress = Progress::Failed(error.to_string()),
            }
        }
    }
}

impl Setup<'_> {
    fn ssl(&self) -> Result<Ssl, ErrorStack> {
        let mut context = SslContextBuilder::new(SslMethod::dtls())?;
        let [least, most] = self.versions;
        context.set_min_proto_version(Some(least))?;
        context.set_max_proto_version(Some(most))?;
        let certificate = X509::from_der(&self.identity.certificate_der)?;
        context.set_certificate(&certificate)?;
        context.set_private_key(PKey::private_key_from_pkcs8(&self.identity.key_der)?.as_ref())?;
        context.set_tlsext_use_srtp(self.profiles)?;
        if let Some(groups) = self.groups {
            context.set_curves_list(groups)?;
        }
        let expected = self.fingerprint.clone();
        let mode = SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT;
        context.set_custom_verify_callback(mode, move |ssl| match fingerprint(ssl) {
            Some(got) if got == expected => Ok(()),
            _ => Err(SslVerifyError::Invalid(SslAlert::BAD_CERTIFICATE)),
        });
        context.set_options(SslOptions::NO_QUERY_MTU);
        let mut ssl = Ssl::new(&context.build())?;
        ssl.set_mtu(MTU_BYTES)?;
        Ok(ssl)
    }
}

impl Identity {
    pub(crate) fn new(algorithm: &'static rcgen::SignatureAlgorithm) -> Self {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let certificate = rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap();
        Identity { certificate_der: certificate.der().to_vec(), key_der: key.serialize_der() }
    }
}

impl Read for Datagrams {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Some(datagram) = self.arrived.pop_front() else { return Err(io::ErrorKind::WouldBlock.into()) };
        // As a socket does, what does not fit is lost.
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

/// By BoringSSL's own hash, written as RFC 8122 has it.
fn fingerprint(ssl: &SslRef) -> Option<String> {
    let digest = ssl.peer_certificate()?.digest(MessageDigest::sha256()).ok()?;
    let pairs: Vec<String> = digest.iter().map(|byte| format!("{byte:02X}")).collect();
    Some(format!("sha-256 {}", pairs.join(":")))
}
