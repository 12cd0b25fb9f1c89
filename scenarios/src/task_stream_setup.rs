//! The streams of those exhibits that drive some: what they carry is nobody's, and their DTLS is the same bytes in every run.

use crate::dtls_crypto::{Seeded, certificate};
use sim::net::UdpSocket;
use sim::time::{self, Duration, Instant};
use stack::dtls::{DtlsConfig, FingerprintHash, Fingerprints, Role, Settings, Versions};
use stack::media::description::Direction;
use stack::media::stream::{
    Content, Payload, PayloadSink, PayloadSource, Sockets, Stream, StreamConfig, StreamError, TaskStream,
};
use stack::media::transport::{DtlsTransport, Peer, Transport};
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

/// How long a handshake may take.
pub(crate) const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(2);

/// How often a stop that a slow processor has kept from its end is asked for again.
const STOPS_MAX: usize = 50;

/// What a stream carries that nobody listens to.
struct Nothing;

impl PayloadSource for Nothing {
    fn frame(&mut self, _wants_key_frame: bool) -> Vec<Vec<u8>> {
        Vec::new()
    }
}

impl PayloadSink for Nothing {
    fn take(&mut self, _payload: Payload) {}
}

/// A stream that sends nothing of its own. It has a tick a second, and no more of them than it needs.
pub(crate) fn stream(transport: Arc<dyn Transport>) -> (Stream, Content) {
    let config = StreamConfig {
        ssrc: u32::MAX,
        seed: Some(0),
        direction: Direction::ReceiveOnly,
        samples_per_tick: 8_000,
        stop_deadline: Duration::from_secs(1),
        ..StreamConfig::default()
    };
    let content = Content::payloads(Box::new(Nothing), Box::new(Nothing));
    let stream = Stream::new(config, &content, transport, Instant::now());
    (stream.expect("the configuration is one that a stream can have"), content)
}

/// Such a stream on tasks, which does its side of a handshake from here.
pub(crate) async fn start_dtls(role: Role, here: SocketAddr, there: SocketAddr) -> TaskStream {
    let other = if role == Role::Client { Role::Server } else { Role::Client };
    let socket = UdpSocket::bind(here).await.expect("nobody else has this port");
    let made = DtlsTransport::new(dtls(role), role, fingerprint(other), Peer::muxed(there), 1, Instant::now());
    let (transport, first) = made.expect("the peer has one address for all");
    let (stream, content) = stream(Arc::new(transport));
    let stream = TaskStream::start(stream, content, Sockets::muxed(socket)).expect("the engine has tasks");
    stream.react(first);
    stream
}

/// Stops it, however slow the processor.
pub(crate) async fn stop(stream: &TaskStream) {
    for _ in 0..STOPS_MAX {
        match stream.stop().await {
            Ok(_) => return,
            Err(StreamError::Deadline { .. } | StreamError::Clock(_)) if time::has_run_ahead() => {}
            Err(error) => sim::violated(format!("a stream does not stop: {error}")),
        }
    }
    sim::violated(format!("a stream has not stopped in {STOPS_MAX} times its deadline"));
}

/// The DTLS of either side.
pub(crate) fn dtls(role: Role) -> &'static DtlsConfig {
    static CONFIGS: LazyLock<[DtlsConfig; 2]> = LazyLock::new(|| {
        [Role::Client, Role::Server].map(|role| {
            let mut settings = Settings::default();
            settings.versions = Versions::Dtls13;
            settings.deadline = HANDSHAKE_DEADLINE;
            settings.attempt = HANDSHAKE_DEADLINE / 2;
            settings.retransmit_after = Duration::from_millis(100);
            DtlsConfig::with_crypto(certificate(role), settings, Arc::new(Seeded))
                .expect("these settings are within their bounds")
        })
    });
    &CONFIGS[usize::from(role == Role::Server)]
}

/// Whom the other side expects in this role.
pub(crate) fn fingerprint(role: Role) -> Fingerprints {
    dtls(role).certificate().fingerprint(FingerprintHash::Sha256).into()
}
