//! The streams of those exhibits that drive some: what they carry is nobody's, and their DTLS is the same bytes in every run.

use crate::dtls_crypto::{Seeded, certificate};
use sim::time::{Duration, Instant};
use stack::dtls::{DtlsConfig, FingerprintHash, Fingerprints, Role, Settings, Versions};
use stack::media::description::Direction;
use stack::media::stream::{Content, Payload, PayloadSink, PayloadSource, Stream, StreamConfig};
use stack::media::transport::Transport;
use std::sync::{Arc, LazyLock};

/// How long a handshake may take.
pub(crate) const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(2);

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
