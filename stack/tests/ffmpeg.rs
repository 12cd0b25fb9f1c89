//! Sound over SRTP between ffmpeg and our stack, on loopback, over a rollover of the sequence number: every byte arrives.

#[path = "peers/ffmpeg.rs"]
mod ffmpeg;

use ffmpeg::{Ffmpeg, Folder, is_installed};
use sim::net::UdpSocket;
use sim::{task, time};
use stack::buffer::Mbuf;
use stack::rtp::header;
use stack::srtp::{MasterKey, Policy, Profile, Receiver, Sender};
use std::fs;
use std::future::Future;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// The names by which ffmpeg keeps 80 bits for SRTCP, as RFC 4568 says; by its AES_CM_128_HMAC_SHA1_32 it does not.
const SUITES: [(Profile, &str); 2] =
    [(Profile::AesCm128HmacSha1_80, "AES_CM_128_HMAC_SHA1_80"), (Profile::AesCm128HmacSha1_32, "SRTP_AES128_CM_HMAC_SHA1_32")];

const SSRC: u32 = 305_419_896;
/// Less than 51 packets before the rollover.
const FIRST_SEQUENCE_NUMBER: u16 = 65_500;
/// 20 ms of G.711.
const PAYLOAD_BYTES: usize = 160;
/// A second and a little more, so that the last packet is a short one.
const SOUND_BYTES: usize = 8057;

const KEY_AND_SALT: [u8; 30] = *b"a key of 16 byte, and its salt";

/// It takes a second. This only turns a hang into a failure.
const HANG: Duration = Duration::from_secs(60);

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    time::timeout(HANG, future).await.expect("what was waited for has not come in a minute")
}

fn sound() -> Vec<u8> {
    (0..SOUND_BYTES as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn key(profile: Profile) -> [MasterKey; 1] {
    [MasterKey::from_concatenated(profile, &KEY_AND_SALT).unwrap()]
}

/// Two neighbouring free ports of which the first is even, for RTP and RTCP.
async fn sockets() -> (u16, UdpSocket, UdpSocket) {
    loop {
        let rtp = UdpSocket::bind(loopback(0)).await.unwrap();
        let port = rtp.local_addr().unwrap().port();
        if !port.is_multiple_of(2) || port == u16::MAX - 1 {
            continue;
        }
        if let Ok(rtcp) = UdpSocket::bind(loopback(port + 1)).await {
            return (port, rtp, rtcp);
        }
    }
}

#[test]
fn what_ffmpeg_sends_we_decrypt() {
    if !is_installed() {
        return;
    }
    for (profile, suite) in SUITES {
        task::block_on(in_time(receive(profile, suite)));
    }
}

async fn receive(profile: Profile, suite: &str) {
    let (folder, sound) = (Folder::new("sends"), sound());
    fs::write(folder.path().join("sound"), &sound).unwrap();
    let (port, rtp, rtcp) = sockets().await;
    let mut receiver = Receiver::new(Policy::new(profile).unwrap(), &key(profile)).unwrap();
    let (ssrc, first) = (SSRC.to_string(), FIRST_SEQUENCE_NUMBER.to_string());
    // ffmpeg reserves 14 bytes for a tag besides those of the header.
    let url = format!("srtp://127.0.0.1:{port}?pkt_size={}", 12 + PAYLOAD_BYTES + 14);
    let mut ffmpeg = Ffmpeg::start(
        folder.path(),
        &[
            ["-re", "-f", "mulaw", "-ar", "8000", "-ac", "1", "-i", "sound", "-c:a", "copy"].as_slice(),
            &["-rtpflags", "send_bye", "-ssrc", &ssrc, "-seq", &first, "-payload_type", "0", "-f", "rtp"],
            &["-srtp_out_suite", suite, "-srtp_out_params", &base64(&KEY_AND_SALT), &url],
        ]
        .concat(),
    );

    let (mut heard, mut reports) = (Vec::new(), Vec::new());
    let mut next = FIRST_SEQUENCE_NUMBER;
    let mut wire = [0; 1500];
    // It ends with the file. What it has sent by then is in the sockets.
    let mut ended = None;
    loop {
        let mut is_idle = true;
        while let Ok((len, _)) = rtp.try_recv_from(&mut wire) {
            is_idle = false;
            let mut packet = Mbuf::copy_of(&wire[..len], 0, 0);
            receiver.unprotect(&mut packet).unwrap_or_else(|error| panic!("{suite}, sequence number {next}: {error}"));
            let header = header::parse(packet.bytes()).unwrap();
            assert_eq!((header.ssrc, header.sequence_number, header.payload_type), (SSRC, next, 0));
            next = next.wrapping_add(1);
            heard.extend_from_slice(&packet.bytes()[header.len..]);
        }
        while let Ok((len, _)) = rtcp.try_recv_from(&mut wire) {
            is_idle = false;
            let mut packet = Mbuf::copy_of(&wire[..len], 0, 0);
            receiver.unprotect(&mut packet).unwrap_or_else(|error| panic!("{suite}, SRTCP: {error}"));
            reports.push(packet.bytes().to_vec());
        }
        match ended {
            Some(status) if is_idle => break assert!(std::process::ExitStatus::success(&status), "{}", ffmpeg.log()),
            _ => ended = ffmpeg.ended(),
        }
        time::sleep_for(Duration::from_millis(2)).await;
    }
    assert!(heard == sound, "{suite}: {} of {} bytes, or others: {}", heard.len(), sound.len(), ffmpeg.log());
    assert_eq!(receiver.roc(SSRC), Some(1), "{suite}");
    assert_eq!(receiver.counters().refused(), 0, "{suite}");
    // A sender report, and at the end another with the BYE behind it (RFC 3550 sections 6.4.1 and 6.6).
    let (first, last) = (reports.first().expect("a sender report"), reports.last().expect("a sender report"));
    assert_eq!((first[1], last[1], last[29], &last[32..]), (200, 200, 203, &SSRC.to_be_bytes()[..]), "{suite}: {reports:02x?}");
    let (packets, reports) = (receiver.counters().accepted as usize - reports.len(), reports.len());
    tell(format_args!("ffmpeg sent, {suite}: {packets} SRTP and {reports} SRTCP packets, {} bytes of sound", heard.len()));
}

#[test]
fn what_we_send_ffmpeg_plays() {
    if !is_installed() {
        return;
    }
    for (profile, suite) in SUITES {
        task::block_on(in_time(send(profile, suite)));
    }
}

async fn send(profile: Profile, suite: &str) {
    let (folder, sound) = (Folder::new("receives"), sound());
    let (port, rtp, rtcp) = sockets().await;
    drop((rtp, rtcp));
    let description = format!(
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio {port} RTP/SAVP 0\n\
         a=rtpmap:0 PCMU/8000\na=crypto:1 {suite} inline:{}\n",
        base64(&KEY_AND_SALT)
    );
    fs::write(folder.path().join("session.sdp"), description).unwrap();
    let mut ffmpeg = Ffmpeg::start(
        folder.path(),
        &[
            ["-protocol_whitelist", "file,crypto,udp,rtp,srtp", "-listen_timeout", "5"].as_slice(),
            &["-i", "session.sdp", "-c:a", "copy", "-f", "mulaw", "played"],
        ]
        .concat(),
    );
    ffmpeg.listens(port).await;
    ffmpeg.listens(port + 1).await;

    let mut sender = Sender::new(Policy::new(profile).unwrap(), &key(profile)).unwrap();
    let socket = UdpSocket::bind(loopback(0)).await.unwrap();
    let mut packets: Vec<_> = sound.chunks(PAYLOAD_BYTES).enumerate().map(|(at, payload)| rtp_packet(at, payload)).collect();
    let mut results = Vec::new();
    sender.protect_batch(&mut packets, &mut results);
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    for packet in &packets {
        socket.send_to(packet.bytes(), loopback(port)).await.unwrap();
        time::sleep_for(Duration::from_millis(1)).await;
    }
    assert_eq!(sender.roc(SSRC), Some(1), "{suite}");
    // A BYE ends it at once, before the packets that it has not read yet.
    time::sleep_for(Duration::from_millis(500)).await;
    let mut bye =
        Mbuf::copy_of(&[&[0x80, 201, 0, 1][..], &SSRC.to_be_bytes(), &[0x81, 203, 0, 1], &SSRC.to_be_bytes()].concat(), 0, 0);
    sender.protect(&mut bye).unwrap();
    socket.send_to(bye.bytes(), loopback(port + 1)).await.unwrap();

    // It would end without the BYE too, five seconds later: so the BYE was taken.
    let ended = time::timeout(Duration::from_secs(4), ffmpeg.end()).await;
    assert!(ended.is_ok_and(|status| status.success()), "{suite}: {}", ffmpeg.log());
    // Of its exit status alone nothing follows: it plays what it cannot decrypt, too.
    let played = fs::read(folder.path().join("played")).unwrap();
    assert!(played == sound, "{suite}: {} of {} bytes, or others: {}", played.len(), sound.len(), ffmpeg.log());
    tell(format_args!("ffmpeg played, {suite}: {} SRTP packets, {} bytes of sound", packets.len(), played.len()));
}

fn rtp_packet(at: usize, payload: &[u8]) -> Mbuf {
    let mut packet = vec![0x80, 0];
    packet.extend(FIRST_SEQUENCE_NUMBER.wrapping_add(at as u16).to_be_bytes());
    packet.extend(((at * PAYLOAD_BYTES) as u32).to_be_bytes());
    packet.extend(SSRC.to_be_bytes());
    packet.extend_from_slice(payload);
    Mbuf::copy_of(&packet, 0, 0)
}

fn tell(what: std::fmt::Arguments<'_>) {
    // Not by print!, which a test that passes keeps to itself.
    let _ = writeln!(std::io::stderr(), "{what}");
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// The base64 of RFC 4648, of bytes that need no padding.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    assert!(bytes.len().is_multiple_of(3));
    let of = |group: &[u8]| {
        let number = group.iter().fold(0_usize, |number, byte| number << 8 | usize::from(*byte));
        [18, 12, 6, 0].map(|shift| char::from(ALPHABET[number >> shift & 63]))
    };
    bytes.chunks(3).flat_map(of).collect()
}
