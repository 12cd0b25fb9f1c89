//! One side of a call, and how two of them are joined.

use sim::time::{Duration, Instant};
use stack::dtls::{Certificate, DtlsConfig, Fingerprint, FingerprintHash, Settings};
use stack::media::call::{CallSetup, LineSetup, MediaCall, built_in_codec};
use stack::media::description::{Description, Direction, Format, Kind, Security};
use stack::media::sound::{Recording, Tone, has_tone};
use stack::media::stream::{Content, StreamEvent, StreamReport};
use stack::media::transport::TransportEvent;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

const RATE_HZ: u32 = 8000;
/// It takes less than a second. This only turns a hang into a failure.
const HANG: Duration = Duration::from_secs(60);
/// So many packets would have come in it.
const QUIET: Duration = Duration::from_millis(300);

pub(crate) struct Side {
    pub(crate) call: MediaCall,
    dtls: DtlsConfig,
    tone_hz: u32,
    heard: Recording,
}

impl Side {
    pub(crate) fn new(tone_hz: u32) -> Self {
        Side::with_handshake(tone_hz, Settings::default().deadline)
    }

    /// One whose handshakes may take so long.
    pub(crate) fn with_handshake(tone_hz: u32, deadline: Duration) -> Self {
        let mut settings = Settings::default();
        settings.deadline = deadline;
        let dtls = DtlsConfig::new(Certificate::generate().unwrap(), settings).unwrap();
        let setup = CallSetup { dtls: Some(dtls.clone()), ..CallSetup::default() };
        let call = MediaCall::new(setup, tone_hz.into(), IpAddr::V4(Ipv4Addr::LOCALHOST)).unwrap();
        Side { call, dtls, tone_hz, heard: Recording::new(10 * RATE_HZ as usize) }
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        self.dtls.certificate().fingerprint(FingerprintHash::Sha256)
    }

    pub(crate) async fn add_audio(&self, security: Security) {
        let line = LineSetup {
            kind: Kind::Audio,
            formats: vec![Format::pcmu(), Format::pcma()],
            security,
            samples_per_tick: 160,
            direction: Direction::SendReceive,
            port: 0,
        };
        let (tone_hz, sink) = (self.tone_hz, self.heard.sink());
        let maker = move |_, format: &_, samples_per_tick: u32| {
            let tone = Tone::new(tone_hz, 8_000, RATE_HZ).unwrap();
            let codecs = [built_in_codec(format)?, built_in_codec(format)?];
            Ok(Content::sound(samples_per_tick as usize, codecs, Box::new(tone), Box::new(sink)))
        };
        self.call.add(line, Box::new(maker)).await.unwrap();
    }

    /// Waits until pieces of a tone are heard: a frame that is held or left out turns the phase, so pieces are short.
    pub(crate) async fn hears(&self, tone_hz: u32) {
        until("the tone is heard", || {
            let heard = self.heard.samples();
            heard.chunks_exact(400).filter(|piece| has_tone(piece, tone_hz, RATE_HZ)).count() >= 5
        })
        .await;
    }

    /// Waits until so many more packets have come.
    pub(crate) async fn receives(&self, packets: u64) {
        let before = self.report().received_packets;
        until("packets come", || self.report().received_packets >= before + packets).await;
    }

    /// Waits until packets have stopped coming.
    pub(crate) async fn receives_no_more(&self) {
        let (mut last, mut since) = (self.report().received_packets, Instant::now());
        until("packets stop coming", || {
            let now = self.report().received_packets;
            if now != last {
                (last, since) = (now, Instant::now());
            }
            since.elapsed() >= QUIET
        })
        .await;
    }

    /// Where its one stream listens.
    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.call.streams()[0].local_addr().unwrap()
    }

    pub(crate) fn report(&self) -> StreamReport {
        self.call.streams()[0].report()
    }

    pub(crate) async fn wait_for_rekey(&self, within: Duration) {
        let deadline = Instant::now() + within;
        let stream = &self.call.streams()[0];
        loop {
            let event = stream.event(deadline).await.expect("no new keys");
            if matches!(event, StreamEvent::Transport(TransportEvent::Keyed { is_rekey: true, .. })) {
                return;
            }
        }
    }
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + HANG;
    while !is_so() {
        assert!(Instant::now() < deadline, "expected that {what} within {HANG:?}");
        sim::time::sleep_for(Duration::from_millis(5)).await;
    }
}

/// What is handed over is what would go over the wire.
pub(crate) fn offer(offerer: &Side, answerer: &Side) {
    let offer = Description::read(&offerer.call.offer().unwrap().write()).unwrap();
    let answer = answerer.call.answer(&offer).unwrap();
    offerer.call.accept(&Description::read(&answer.write()).unwrap()).unwrap();
}

pub(crate) async fn opened(one: &Side, other: &Side, within: Duration) {
    one.call.opened(within).await.unwrap();
    other.call.opened(within).await.unwrap();
}
