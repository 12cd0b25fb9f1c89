//! A whole stream with ffmpeg on loopback, keyed by descriptions (SDES): offer and answer are ours, media and RTCP go both ways.

#[path = "peers/ffmpeg.rs"]
mod ffmpeg;

use ffmpeg::{Ffmpeg, Folder, is_installed};
use sim::sync::Arc;
use sim::time::{Duration, Instant};
use sim::{task, time};
use stack::media::codec::{AudioCodec, G711, Law};
use stack::media::description::{
    Agreed, Description, Format, Kind, Local, LocalStream, Security, Transport, accept_answer, answer,
};
use stack::media::sound::{Recording, Sink, Source, Tone, WavSource, has_tone};
use stack::media::stream::{Content, RtcpConfig, Sockets, Stream, StreamConfig, StreamEvent, TaskStream};
use stack::media::transport::{Peer, SdesTransport};
use stack::srtp::Profile;
use std::fs::{self, File};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};

const RATE_HZ: u32 = 8000;
const SAMPLES_PER_TICK: u32 = 160;
/// The names by which ffmpeg keeps 80 bits for SRTCP, as RFC 4568 says; by its AES_CM_128_HMAC_SHA1_32 it does not.
const SUITES: [(Profile, &str); 2] =
    [(Profile::AesCm128HmacSha1_80, "AES_CM_128_HMAC_SHA1_80"), (Profile::AesCm128HmacSha1_32, "SRTP_AES128_CM_HMAC_SHA1_32")];
/// What ffmpeg sends, from which source, and what we do.
const SPEAKER_HZ: u32 = 600;
const SPEAKER: u32 = 305_419_896;
const OUR_HZ: u32 = 1000;
/// It takes seconds. This only turns a hang into a failure.
const HANG: Duration = Duration::from_secs(60);

/// An offer of ours, and an answer that our own code makes for ffmpeg, which negotiates nothing.
struct Agreement {
    sockets: Sockets,
    offer: Description,
    answer: Description,
    /// What follows for our side.
    ours: Agreed,
}

async fn agree(profile: Profile) -> Agreement {
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let sockets = Sockets::pair(address).await.unwrap();
    // Free now, and nobody else's before ffmpeg has them, as far as one can tell.
    let of_ffmpeg = Sockets::pair(address).await.unwrap();
    let (rtp, of_ffmpeg) = (sockets.rtp.local_addr().unwrap(), of_ffmpeg.rtp.local_addr().unwrap());
    let side = |id, at| {
        let stream = LocalStream::new(Kind::Audio, at, vec![Format::pcmu()], Security::sdes(&[profile])).unwrap();
        Local::new(id, address, vec![stream.without_rtcp_mux()]).unwrap()
    };
    let (us, them) = (side(1, rtp), side(2, of_ffmpeg));
    let offer = us.offer().unwrap();
    let (answer, _) = answer(&Description::read(&offer.write()).unwrap(), &them).unwrap();
    let negotiated = accept_answer(&offer, &Description::read(&answer.write()).unwrap(), &us).unwrap();
    let ours = negotiated.streams().next().expect("both sides have PCMU and the suite").clone();
    assert_eq!((ours.remote_rtp(), ours.rtcp_mux()), (of_ffmpeg, false));
    Agreement { sockets, offer, answer, ours }
}

/// The first `a=crypto` line's key as ffmpeg's option has it: key and salt in base64.
fn inline_key(description: &Description) -> String {
    let text = String::from_utf8(description.write().to_vec()).unwrap();
    let (_, key) = text.split_once("inline:").expect("a key");
    key.chars().take_while(|letter| letter.is_ascii_alphanumeric() || ['+', '/', '='].contains(letter)).collect()
}

/// Our stream, as agreed.
fn start(agreement: &Agreement, source: Box<dyn Source>, sink: Box<dyn Sink>) -> TaskStream {
    let agreed = &agreement.ours;
    let Transport::Sdes { policy, sending, receiving, .. } = agreed.transport() else { panic!("{agreed:?}") };
    let transport = SdesTransport::new(Peer { rtp: agreed.remote_rtp(), rtcp: agreed.remote_rtcp() });
    transport.set_keys(policy, sending, receiving).unwrap();
    let codec = || Box::new(G711::new(Law::Mu)) as Box<dyn AudioCodec>;
    let content = Content::sound(SAMPLES_PER_TICK as usize, [codec(), codec()], source, sink);
    // More often than the RFC's five seconds, so that there are reports within the test's.
    let rtcp = RtcpConfig { session_bits_per_s: 640_000, interval_min: Duration::from_millis(400) };
    let config = StreamConfig { ssrc: 7, direction: agreed.direction(), rtcp, ..StreamConfig::default() };
    let stream = Stream::new(config, &content, Arc::new(transport), Instant::now()).unwrap();
    TaskStream::start(stream, content, agreement.sockets.clone()).unwrap()
}

/// How many pieces of 50 ms have the tone, of how many.
fn pieces_with(samples: &[i16], hz: u32) -> (usize, usize) {
    let pieces = samples.chunks_exact(400);
    (pieces.clone().filter(|piece| has_tone(piece, hz, RATE_HZ)).count(), pieces.count())
}

#[test]
fn a_stream_hears_ffmpeg_and_ffmpeg_hears_it() {
    if !is_installed() {
        return;
    }
    for (profile, suite) in SUITES {
        task::block_on(async {
            time::timeout(HANG, call(profile, suite)).await.expect("it has not ended in a minute");
        });
    }
}

async fn call(profile: Profile, suite: &str) {
    let (folder, agreement) = (Folder::new("call"), agree(profile).await);
    let mut listener = start_listener(&folder, &agreement, profile, suite).await;
    let heard = Recording::new(20 * RATE_HZ as usize);
    let tone = Tone::new(OUR_HZ, 8_000, RATE_HZ).unwrap();
    let stream = start(&agreement, Box::new(tone), Box::new(heard.sink()));
    let mut speaker = start_speaker(&folder, &agreement, suite);

    let (mut has_come, deadline) = (false, Instant::now() + HANG);
    loop {
        match stream.event(deadline).await.unwrap_or_else(|| panic!("no BYE: {}", speaker.log())) {
            StreamEvent::Source { ssrc } => has_come |= ssrc == SPEAKER,
            StreamEvent::SourceLeft { ssrc } => break assert_eq!((ssrc, has_come), (SPEAKER, true)),
            other => panic!("{other:?}"),
        }
    }
    assert!(speaker.end().await.success(), "{}", speaker.log());
    let report = stream.stop().await.unwrap();
    // It would end without the BYE too, five seconds later: so the BYE was taken.
    let ended = time::timeout(Duration::from_secs(4), listener.end()).await;
    assert!(ended.is_ok_and(|status| status.success()), "{suite}: {}", listener.log());

    let (here, of_here) = pieces_with(&heard.samples(), SPEAKER_HZ);
    assert!(here >= 30 && report.received_packets >= 95, "{here} of {of_here} pieces of {suite}: {report:?}");
    assert_eq!((report.undecoded, report.send_failed), (0, 0), "{suite}: {report:?}");
    // A sender report, and one more with the BYE; all of them authentic.
    assert!(report.rtcp.compounds >= 2, "{suite}: {report:?}");
    assert_eq!(report.refused, 0, "{suite}: {report:?}");
    let (there, of_there) = pieces_with(&played(&folder), OUR_HZ);
    assert!(there >= 30 && 10 * there >= 9 * of_there, "{there} of {of_there} pieces of {suite}: {}", listener.log());
    tell(format_args!(
        "ffmpeg and a stream, {suite}: {} RTP and {} RTCP packets from it, {SPEAKER_HZ} Hz in {here} of {of_here} pieces; {} RTP and {} RTCP \
         packets to it, {OUR_HZ} Hz in {there} of {of_there} pieces",
        report.received_packets, report.rtcp.compounds, report.sent_packets, report.reports_sent
    ));
}

/// An ffmpeg that records what we send. It is told by our own offer, as written, whose port it takes for the one where it is to listen.
async fn start_listener(folder: &Folder, agreement: &Agreement, profile: Profile, suite: &str) -> Ffmpeg {
    let (ours, listens) = (agreement.sockets.rtp.local_addr().unwrap().port(), agreement.ours.remote_rtp().port());
    let offer = String::from_utf8(agreement.offer.write().to_vec()).unwrap();
    let (line, told) = (format!("m=audio {ours} RTP/SAVP 0"), format!("m=audio {listens} RTP/SAVP 0"));
    assert!(offer.contains(&line) && offer.contains(profile.name()), "{profile}");
    fs::write(folder.path().join("session.sdp"), offer.replace(&line, &told).replace(profile.name(), suite)).unwrap();
    let mut listener = Ffmpeg::start(
        folder.path(),
        &[
            ["-protocol_whitelist", "file,crypto,udp,rtp,srtp", "-listen_timeout", "5"].as_slice(),
            &["-i", "session.sdp", "-c:a", "pcm_s16le", "played.wav"],
        ]
        .concat(),
    );
    listener.listens(listens).await;
    listener.listens(listens + 1).await;
    listener
}

/// An ffmpeg that sends us a tone, with the key of the answer.
fn start_speaker(folder: &Folder, agreement: &Agreement, suite: &str) -> Ffmpeg {
    let port = agreement.sockets.rtp.local_addr().unwrap().port();
    let (sine, ssrc) = (format!("sine=frequency={SPEAKER_HZ}:sample_rate={RATE_HZ}:duration=2"), SPEAKER.to_string());
    // ffmpeg reserves 14 bytes for a tag besides those of the header.
    let url = format!("srtp://127.0.0.1:{port}?pkt_size={}", 12 + SAMPLES_PER_TICK + 14);
    Ffmpeg::start_as(
        "speaker",
        folder.path(),
        &[
            ["-re", "-f", "lavfi", "-i", &sine, "-c:a", "pcm_mulaw"].as_slice(),
            &["-rtpflags", "send_bye", "-ssrc", &ssrc, "-payload_type", "0", "-f", "rtp"],
            &["-srtp_out_suite", suite, "-srtp_out_params", &inline_key(&agreement.answer), &url],
        ]
        .concat(),
    )
}

/// What ffmpeg has recorded.
fn played(folder: &Folder) -> Vec<i16> {
    let mut file = WavSource::new(File::open(folder.path().join("played.wav")).unwrap(), RATE_HZ).unwrap();
    let mut all = Vec::new();
    while !file.has_ended() {
        let mut samples = [0; 1000];
        let own = file.fill(&mut samples);
        all.extend(&samples[..own]);
    }
    all
}

fn tell(what: std::fmt::Arguments<'_>) {
    // Not by print!, which a test that passes keeps to itself.
    let _ = writeln!(std::io::stderr(), "{what}");
}
