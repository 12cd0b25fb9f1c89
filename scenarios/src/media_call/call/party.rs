//! One side of the call: its media, and what it hears.

use crate::dtls_crypto::{Seeded, certificate};
use sim::net::Host;
use sim::sync::Arc;
use sim::time::{Duration, Instant};
use stack::dtls::{DtlsConfig, FingerprintHash, Role, Settings, Versions};
use stack::media::call::{CallError, CallSetup, LineSetup, MediaCall, built_in_codec};
use stack::media::description::{Direction, Format, Kind, Security};
use stack::media::sound::{Sink, Source};
use stack::media::stream::{Content, Payload, PayloadSink, PayloadSource, StreamConfig, StreamEvent};
use stack::media::transport::TransportEvent;
use stack::srtp::Profile;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How long a handshake may take in all, and who waits for one waits a little longer.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(30);
/// Nobody talks so loud and so evenly: what is sent in clear is known by it.
pub(super) const LOUD: i16 = 12_345;
pub(super) const PICTURE: u8 = b'V';
/// Its reports are known by it.
pub(super) const CNAME: &str = "the-cname-of-a-call";
/// IPv4 and UDP leave so much of 576 bytes.
const MTU_PAYLOAD_BYTES: usize = 548;
const VIDEO_RATE_HZ: u32 = 90_000;
/// 15 pictures a second.
const VIDEO_TICK: u32 = 6_000;

/// How the call is keyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keying {
    /// By a handshake.
    Dtls,
    /// By the signalling.
    Sdes,
}

/// One side of the call.
#[derive(Clone)]
pub(super) struct Party {
    pub(super) call: MediaCall,
    keying: Keying,
    config: DtlsConfig,
    heard: Arc<Heard>,
}

/// What came, as the application saw it. Nobody decides by it what to do, so no engine need see it.
#[derive(Default)]
struct Heard {
    loud_frames: AtomicU64,
    payloads: AtomicU64,
}

/// Certificates, and what the library makes of them: the same for every run of the process.
static CONFIGS: LazyLock<[DtlsConfig; 2]> = LazyLock::new(|| {
    [Role::Client, Role::Server].map(|role| {
        let mut settings = Settings::default();
        settings.versions = Versions::Dtls13;
        settings.mtu_bytes = MTU_PAYLOAD_BYTES;
        settings.deadline = HANDSHAKE;
        DtlsConfig::with_crypto(certificate(role), settings, std::sync::Arc::new(Seeded)).expect("these settings are in bounds")
    })
});

impl Party {
    /// `number` tells the two apart.
    pub(super) fn new(host: &Host, number: usize, keying: Keying) -> Self {
        let config = CONFIGS[number].clone();
        let stream = StreamConfig { silence: Duration::from_secs(8), ..StreamConfig::default() };
        let setup = CallSetup { cname: CNAME.to_owned(), dtls: Some(config.clone()), stream, first_association: 0 };
        let call = MediaCall::new(setup, number as u64, host.address()).expect("there are no lines yet");
        Party { call, keying, config, heard: Arc::new(Heard::default()) }
    }

    pub(super) async fn add_audio(&self) -> Result<(), CallError> {
        let heard = Arc::clone(&self.heard);
        let maker = move |_, format: &_, samples_per_tick: u32| {
            let codecs = [built_in_codec(format)?, built_in_codec(format)?];
            Ok(Content::sound(samples_per_tick as usize, codecs, Box::new(Loud), Box::new(Ear(heard))))
        };
        self.call.add(self.line(Kind::Audio, vec![Format::pcmu()], 160), Box::new(maker)).await
    }

    pub(super) async fn add_video(&self) -> Result<(), CallError> {
        let format = Format::new(96, "x-pictures", VIDEO_RATE_HZ, 1)?;
        let heard = Arc::clone(&self.heard);
        let maker = move |_, _: &_, _| Ok(Content::payloads(Box::new(Pictures), Box::new(Eye(heard))));
        self.call.add(self.line(Kind::Video, vec![format], VIDEO_TICK), Box::new(maker)).await
    }

    fn line(&self, kind: Kind, formats: Vec<Format>, samples_per_tick: u32) -> LineSetup {
        let security = match self.keying {
            Keying::Dtls => Security::dtls(self.config.certificate().fingerprint(FingerprintHash::Sha256)),
            Keying::Sdes => Security::sdes(&[Profile::AeadAes128Gcm]),
        };
        LineSetup { kind, formats, security, samples_per_tick, direction: Direction::SendReceive, port: 0 }
    }

    /// How many frames of sound were heard, and how many pieces of pictures came.
    pub(super) fn heard(&self) -> (u64, u64) {
        (self.heard.loud_frames.load(Relaxed), self.heard.payloads.load(Relaxed))
    }

    /// Waits for new keys of the first line, or for what is said in their place.
    pub(super) async fn rekeyed(&self, within: Duration) -> Result<(), CallError> {
        let deadline = Instant::now() + within;
        let Some(stream) = self.call.streams().into_iter().next() else { return Err(CallError::Ended) };
        loop {
            match stream.event(deadline).await {
                Some(StreamEvent::Transport(TransportEvent::Keyed { is_rekey: true, .. })) => return Ok(()),
                Some(StreamEvent::Transport(TransportEvent::RekeyFailed(error))) => {
                    return Err(CallError::Transport(error.into()));
                }
                Some(_) => {}
                None => return Err(CallError::Deadline { what: "new keys", expected: within }),
            }
        }
    }
}

struct Loud;

impl Source for Loud {
    fn fill(&mut self, samples: &mut [i16]) -> usize {
        samples.fill(LOUD);
        samples.len()
    }
}

struct Ear(Arc<Heard>);

impl Sink for Ear {
    fn play(&mut self, samples: &[i16]) {
        let is_loud = samples.iter().all(|sample| (LOUD - 500..LOUD + 500).contains(sample));
        self.0.loud_frames.fetch_add(is_loud.into(), Relaxed);
    }
}

/// Two packets each, or four if it is a whole one.
struct Pictures;

impl PayloadSource for Pictures {
    fn frame(&mut self, wants_key_frame: bool) -> Vec<Vec<u8>> {
        vec![vec![PICTURE; 400]; if wants_key_frame { 4 } else { 2 }]
    }
}

struct Eye(Arc<Heard>);

impl PayloadSink for Eye {
    fn take(&mut self, payload: Payload) {
        sim::invariant!(payload.bytes.iter().all(|byte| *byte == PICTURE), "a payload is not what was sent");
        self.0.payloads.fetch_add(1, Relaxed);
    }
}
