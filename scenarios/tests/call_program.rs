//! `glare call` and `glare answer` as two processes on loopback: keys of every kind, tones both ways, signals, and what fails.

use stack::dtls::{Fingerprint, FingerprintHash};
use stack::media::sound::{Sink, Source, WavSink, WavSource, has_tone};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const RATE_HZ: u32 = 8000;
/// A call takes seconds. This only turns a hang into a failure.
const HANG: Duration = Duration::from_secs(60);
const ONE: &str = "AES_CM_128_HMAC_SHA1_80 inline:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const OTHER: &str = "AES_CM_128_HMAC_SHA1_80 inline:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB";
const THIRD: &str = "AES_CM_128_HMAC_SHA1_80 inline:CCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCC";

/// One of the two programs. It is killed with this, unless it has ended.
struct Side {
    arguments: Vec<String>,
    program: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    said: Vec<String>,
    errors: Option<JoinHandle<String>>,
}

/// How a program ended.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Side {
    fn start(arguments: &[&str]) -> Self {
        let mut program = Command::new(env!("CARGO_BIN_EXE_glare"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdin, stdout, mut stderr) = (program.stdin.take(), program.stdout.take().unwrap(), program.stderr.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let errors = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = stderr.read_to_string(&mut text);
            text
        });
        let arguments = arguments.iter().map(ToString::to_string).collect();
        Side { arguments, program, stdin, lines, said: Vec::new(), errors: Some(errors) }
    }

    /// What follows `begins` in the first line that begins so.
    fn line(&mut self, begins: &str) -> String {
        let until = Instant::now() + HANG;
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => self.said.push(line),
                Err(_) => {
                    let ended = self.program.try_wait();
                    panic!("{:?}: no line begins with `{begins}` ({ended:?}): {:#?}", self.arguments, self.said)
                }
            }
            if let Some(rest) = self.said.last().and_then(|line| line.strip_prefix(begins)) {
                return rest.to_owned();
            }
        }
    }

    fn is_told(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.program.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    fn end(mut self) -> Ended {
        let until = Instant::now() + HANG;
        let code = loop {
            match self.program.try_wait().unwrap() {
                Some(status) => break status.code(),
                None if Instant::now() > until => {
                    self.said.extend(self.lines.try_iter());
                    panic!("{:?} has not ended: {:#?}", self.arguments, self.said)
                }
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        // The pipes have ended with the program.
        self.said.extend(self.lines.iter());
        let stderr = self.errors.take().unwrap().join().unwrap();
        Ended { code, stdout: self.said.join("\n"), stderr }
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

impl Ended {
    fn expect(&self, code: i32, says: &str) {
        assert_eq!(self.code, Some(code), "{self:#?}");
        let said = if code == 0 { &self.stdout } else { &self.stderr };
        assert!(said.contains(says), "expected `{says}`: {self:#?}");
    }
}

/// A folder of a test's own, which is gone after it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("glare-call-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Two addresses that were free, and the ones above them too.
fn addresses() -> [String; 2] {
    let mut held = Vec::new();
    for _ in 0..200 {
        let rtp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = rtp.local_addr().unwrap().port();
        if let Some(rtcp) = port.checked_add(1).and_then(|port| UdpSocket::bind(("127.0.0.1", port)).ok()) {
            held.push((rtp, rtcp));
        }
        if let [one, other] = &held[..] {
            return [one, other].map(|(rtp, _)| rtp.local_addr().unwrap().to_string());
        }
    }
    panic!("no two pairs of neighbouring ports");
}

/// The whole of a recording, whose header says how long it is.
fn samples(path: &str) -> Vec<i16> {
    let mut file = WavSource::new(File::open(path).unwrap(), RATE_HZ).unwrap();
    let mut all = Vec::new();
    while !file.has_ended() {
        let mut frame = [0; 800];
        let own = file.fill(&mut frame);
        all.extend(&frame[..own]);
    }
    file.finish().unwrap();
    assert_eq!(fs::metadata(Path::new(path)).unwrap().len(), 44 + 2 * all.len() as u64, "the header says how long it is");
    all
}

/// Looks for a tone in short pieces: a frame that is held or left out turns its phase.
fn expect_tone(path: &str, hz: u32) {
    let samples = samples(path);
    let pieces = samples.chunks_exact(400);
    let (all, with_tone) = (pieces.len(), pieces.filter(|piece| has_tone(piece, hz, RATE_HZ)).count());
    assert!(2 * with_tone > all && all > 8, "{path}: {with_tone} of {all} pieces have a tone of {hz} Hz");
}

/// A certificate and its key in files, and its fingerprint.
fn identity(folder: &Folder) -> (String, String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap();
    let (certificate_file, key_file) = (folder.path("certificate.der"), folder.path("key.der"));
    fs::write(&certificate_file, certificate.der()).unwrap();
    fs::write(&key_file, key.serialize_der()).unwrap();
    (certificate_file, key_file, Fingerprint::of(FingerprintHash::Sha256, certificate.der()).to_string())
}

#[test]
fn with_dtls_and_fingerprints_that_each_is_told() {
    let (folder, [a, b]) = (Folder::new("dtls"), addresses());
    let (certificate, key, fingerprint) = identity(&folder);
    let (heard_by_call, heard_by_answer, json) = (folder.path("call.wav"), folder.path("answer.wav"), folder.path("call.json"));
    let mut answer = Side::start(
        &[&["answer", "--local", &b, "--media", &a, "--dtls", "passive", "--tone", "550", "--record", &heard_by_answer][..]]
            .concat(),
    );
    let of_answer = answer.line("our fingerprint: ");
    let mut call = Side::start(
        &[
            &["call", "--local", &a, "--media", &b, "--dtls", "active", "--tone", "440", "--record", &heard_by_call][..],
            &["--certificate", &certificate, "--key", &key, "--fingerprint", &of_answer, "--for", "1500ms", "--json", &json],
        ]
        .concat(),
    );
    assert_eq!(call.line("our fingerprint: "), fingerprint);
    // As it stands in a description.
    answer.is_told(&format!("a=fingerprint:{}", fingerprint.to_lowercase()));
    let (call, answer) = (call.end(), answer.end());
    call.expect(0, "ended as its time was over");
    answer.expect(0, "ended by the peer");
    for ended in [&call, &answer] {
        assert!(ended.stdout.contains("keys of AEAD_AES_256_GCM\ntalking with 127.0.0.1:"), "{ended:#?}");
        // Statistics, as lines where there is no terminal.
        assert!(ended.stdout.contains("B lost 0 jitter ") && !ended.stdout.contains('\r'), "{ended:#?}");
        assert_eq!(ended.stderr, "");
    }
    expect_tone(&heard_by_call, 550);
    expect_tone(&heard_by_answer, 440);
    let sum: serde_json::Value = serde_json::from_slice(&fs::read(json).unwrap()).unwrap();
    assert_eq!((&sum["side"], &sum["ended_well"]), (&"call".into(), &true.into()), "{sum:#}");
    assert_eq!((&sum["keys"], &sum["peer"]), (&"AEAD_AES_256_GCM".into(), &b.into()), "{sum:#}");
    assert!(sum["received_packets"].as_u64().unwrap() > 40 && sum["recorded_samples"].as_u64().unwrap() > 8000, "{sum:#}");
}

#[test]
fn with_sdes_whoever_has_the_keys_is_answered() {
    for ports in [&[][..], &["--no-rtcp-mux"]] {
        let (folder, [b, _]) = (Folder::new(if ports.is_empty() { "sdes" } else { "sdes-ports" }), addresses());
        let (heard_by_call, heard_by_answer) = (folder.path("call.wav"), folder.path("answer.wav"));
        let answering = ["answer", "--local", &b, "--sdes", "--tone", "550", "--record", &heard_by_answer];
        let mut answer = Side::start(&[&answering[..], ports].concat());
        let line = answer.line("our SDES line: ");
        let calling = ["call", "--local", "127.0.0.1:0", "--media", &b, "--sdes", "--peer-sdes", &line, "--for", "1200ms"];
        let mut call = Side::start(&[&calling[..], &["--tone", "440", "--record", &heard_by_call], ports].concat());
        answer.is_told(&call.line("our SDES line: "));
        let at = call.said[0].rsplit(' ').next().unwrap().to_owned();
        assert_eq!(answer.line("talking with "), at, "it has learnt where the caller is");
        call.end().expect(0, "AES_CM_128_HMAC_SHA1_80; ended as its time was over");
        answer.end().expect(0, "ended by the peer");
        expect_tone(&heard_by_call, 550);
        expect_tone(&heard_by_answer, 440);
    }
}

#[test]
fn in_clear_a_file_is_heard_and_an_echo_says_it_again() {
    let (folder, [a, b]) = (Folder::new("clear"), addresses());
    // What one call records the next one plays.
    let (first, second, third) = (folder.path("first.wav"), folder.path("second.wav"), folder.path("third.wav"));
    for (says, hears, hears_there) in [(&["--tone", "700"][..], &first, &second), (&["--file", &first], &second, &third)] {
        let common = ["--clear", "--codec", "pcma"];
        let answering = ["answer", "--local", &b, "--media", &a, "--echo", "--record", hears_there];
        let answer = Side::start(&[&answering[..], &common].concat());
        let calling = ["call", "--local", &a, "--media", &b, "--for", "1200ms", "--record", hears];
        let call = Side::start(&[&calling[..], &common, says].concat());
        call.end().expect(0, "in clear; ended as its time was over");
        answer.end().expect(0, "in clear; ended by the peer");
        expect_tone(hears, 700);
        expect_tone(hears_there, 700);
    }
}

#[cfg(unix)]
#[test]
fn a_signal_ends_both_sides_well_and_recordings_are_whole() {
    for (signal, keys) in [("-INT", "dtls"), ("-TERM", "sdes")] {
        let (folder, [a, b]) = (Folder::new(keys), addresses());
        let (heard_by_call, heard_by_answer) = (folder.path("call.wav"), folder.path("answer.wav"));
        let (of_call, of_answer): (&[&str], &[&str]) = match keys {
            "dtls" => (&["--dtls", "active"], &["--dtls", "passive"]),
            _ => (&["--sdes", ONE, "--peer-sdes", OTHER], &["--sdes", OTHER, "--peer-sdes", ONE]),
        };
        let calling = ["call", "--local", &a, "--media", &b, "--record", &heard_by_call];
        let answering = ["answer", "--local", &b, "--media", &a, "--record", &heard_by_answer];
        let (mut call, mut answer) =
            (Side::start(&[&calling[..], of_call].concat()), Side::start(&[&answering[..], of_answer].concat()));
        if keys == "dtls" {
            let (of_call, of_answer) = (call.line("our fingerprint: "), answer.line("our fingerprint: "));
            call.is_told(&of_answer);
            answer.is_told(&of_call);
        }
        for side in [&mut call, &mut answer] {
            side.line("talking with ");
        }
        std::thread::sleep(Duration::from_millis(900));
        call.signal(signal);
        let (call, answer) = (call.end(), answer.end());
        call.expect(0, "ended by a signal");
        answer.expect(0, "ended by the peer");
        expect_tone(&heard_by_call, 440);
        expect_tone(&heard_by_answer, 440);
    }
}

#[cfg(unix)]
#[test]
fn a_signal_before_anybody_came_is_exit_1() {
    for keys in [&["--sdes", ONE, "--peer-sdes", OTHER][..], &["--sdes"]] {
        let mut answer = Side::start(&[&["answer", "--local", "127.0.0.1:0"][..], keys].concat());
        let what = if keys.len() == 1 { "the peer's SDES line is read" } else { "answer at " };
        answer.line(what);
        answer.signal("-INT");
        answer.end().expect(1, "expected a packet of the peer's before the end, got a signal first");
    }
}

/// A file that stops in the middle, as one on a disk that is gone: a pipe that nobody writes to any more.
#[cfg(target_os = "linux")]
#[test]
fn a_file_that_hangs_does_not_hang_the_end_and_a_second_signal_ends_at_once() {
    for signals in [1, 2] {
        let (folder, [a, b]) = (Folder::new(&format!("hang-{signals}")), addresses());
        let (whole, pipe) = (folder.path("whole.wav"), folder.path("pipe.wav"));
        WavSink::new(File::create(&whole).unwrap(), RATE_HZ).unwrap().play(&[1000; 8000]);
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let mut writer = File::options().read(true).write(true).open(&pipe).unwrap();
        writer.write_all(&fs::read(&whole).unwrap()[..8000]).unwrap();
        let mut answer = Side::start(&["answer", "--local", &b, "--media", &a, "--clear"]);
        let mut call = Side::start(&["call", "--local", &a, "--media", &b, "--clear", "--file", &pipe]);
        for side in [&mut call, &mut answer] {
            side.line("talking with ");
        }
        // By its statistics it goes on when the file does not.
        call.line("00:02 ");
        let began = Instant::now();
        for _ in 0..signals {
            call.signal("-INT");
            std::thread::sleep(Duration::from_millis(100));
        }
        let says = ["expected the callback to return within 2s", "expected the call to end by itself, got a second signal"];
        call.end().expect(1, says[signals - 1]);
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        answer.signal("-INT");
        answer.end();
    }
}

#[test]
fn a_wrong_fingerprint_is_exit_1_and_says_whose_it_is() {
    let [a, b] = addresses();
    let mut answer = Side::start(&["answer", "--local", &b, "--media", &a, "--dtls", "passive", "--wait", "3s"]);
    let right = answer.line("our fingerprint: ");
    let wrong = format!("sha-256 {}", ["AB"; 32].join(":"));
    let wait = ["--wait", "10s", "--fingerprint", &wrong];
    let mut call = Side::start(&[&["call", "--local", &a, "--media", &b, "--dtls", "active"][..], &wait].concat());
    answer.is_told(&call.line("our fingerprint: "));
    let (call, answer) = (call.end(), answer.end());
    call.expect(1, &format!("expected a certificate whose fingerprint is {wrong}, got {right}"));
    assert!(!call.stdout.contains("talking with"), "{call:#?}");
    assert_eq!(answer.code, Some(1), "{answer:#?}");
    assert!(answer.stderr.starts_with("glare: expected "), "{answer:#?}");
}

#[test]
fn without_a_peer_it_ends_in_time_and_says_so() {
    let (folder, [a, b]) = (Folder::new("nobody"), addresses());
    let json = folder.path("sum.json");
    let pinned = format!("sha-256 {}", ["AB"; 32].join(":"));
    let call = ["call", "--local", &a, "--media", &b, "--wait", "400ms"];
    for (keys, says) in [
        (&["--clear"][..], "expected a packet of the peer's within 400ms, got none"),
        (&["--sdes", ONE, "--peer-sdes", OTHER], "expected a packet of the peer's within 400ms, got none"),
        (&["--dtls", "active", "--fingerprint", &pinned], "expected a handshake within 400ms, got none in 1 attempts"),
        (&["--dtls", "passive", "--fingerprint", &pinned], "expected a handshake within 400ms, got none in 0 attempts"),
    ] {
        let began = Instant::now();
        let ended = Side::start(&[&call[..], keys, &["--json", &json]].concat()).end();
        ended.expect(1, says);
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        let sum: serde_json::Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
        assert_eq!((&sum["ended_well"], &sum["end"]), (&false.into(), &says.into()), "{sum:#}");
    }
    // Nobody else is taken for the peer: what answers there has another key.
    let stranger = Side::start(&["call", "--media", &b, "--sdes", ONE, "--peer-sdes", OTHER, "--wait", "1s"]);
    let answer = ["answer", "--local", &b, "--sdes", OTHER, "--wait", "1s"];
    let answer = Side::start(&[&answer[..], &["--peer-sdes", THIRD]].concat());
    answer.end().expect(1, "expected a packet of the peer's within 1s, got none");
    stranger.end().expect(1, "expected a packet of the peer's within 1s, got none");
}

#[test]
fn wrong_usage_is_exit_2_and_says_what_was_expected() {
    let folder = Folder::new("usage");
    let not_wav = folder.path("not.wav");
    fs::write(&not_wav, b"OggS and more").unwrap();
    let wav = folder.path("good.wav");
    drop(WavSink::new(File::create(&wav).unwrap(), RATE_HZ).unwrap());
    let call = &["call", "--media", "127.0.0.1:5004", "--local", "127.0.0.1:0"][..];
    let answer = &["answer", "--local", "127.0.0.1:0"][..];
    for (side, arguments, says) in [
        (call, &[][..], "<--dtls <ROLE>|--sdes [<LINE>]|--clear>"),
        (call, &["--clear", "--dtls", "active"], "cannot be used with"),
        (call, &["--dtls", "actpass"], "possible values: active, passive"),
        (call, &["--dtls", "active", "--no-rtcp-mux"], "cannot be used with"),
        (
            call,
            &["--dtls", "active", "--fingerprint", "sha-1 AB"],
            "--fingerprint: expected sha-256, sha-384 or sha-512, got sha-1",
        ),
        (call, &["--dtls", "active", "--certificate", "c.pem"], "--key <FILE>"),
        (call, &["--dtls", "active", "--certificate", "/nowhere", "--key", "/nowhere"], "/nowhere: expected a certificate, got"),
        (call, &["--clear", "--fingerprint", "sha-256 AB"], "cannot be used with"),
        (call, &["--clear", "--peer-sdes", ONE], "cannot be used with"),
        (call, &["--sdes", ONE, "--certificate", "c.pem", "--key", "k.pem"], "cannot be used with"),
        (
            call,
            &["--sdes", "AES_CM_128_HMAC_SHA1_80 inline:AAAA"],
            "--sdes: AES_CM_128_HMAC_SHA1_80: expected a key and salt of 30",
        ),
        (call, &["--sdes", ONE, "--peer-sdes", ONE], "expected another key in the peer's SDES line, got our own"),
        (call, &["--clear", "--for", "25h"], "expected a time up to 24h, got `25h`"),
        (call, &["--clear", "--wait", "11m"], "expected a time from 100ms to 10m, got `11m`"),
        (call, &["--clear", "--tone", "4001"], "4001 is not in 1..=4000"),
        (call, &["--clear", "--tone", "440", "--echo"], "cannot be used with"),
        (call, &["--clear", "--codec", "opus"], "possible values: pcmu, pcma"),
        (call, &["--clear", "--file", &not_wav], "not.wav: expected RIFF, got \"OggS\""),
        (call, &["--clear", "--file", &wav, "--record", &wav], "expected another file for --record than for --file, got"),
        (answer, &["--dtls", "passive"], "expected --media HOST:PORT with --dtls and --clear, got none"),
        (answer, &["--clear"], "expected --media HOST:PORT with --dtls and --clear, got none"),
        (&["answer", "--clear"], &[], "--local <IP:PORT>"),
        (&["call", "--clear"], &[], "--media <HOST:PORT>"),
        (&["call", "--media", "127.0.0.1", "--clear"], &[], "expected --media HOST:PORT, got `127.0.0.1`"),
    ] {
        let ended = Side::start(&[side, arguments].concat()).end();
        assert_eq!(ended.code, Some(2), "{arguments:?}: {ended:#?}");
        assert!(ended.stderr.contains(says), "{arguments:?}: expected `{says}`: {ended:#?}");
    }
    // What standard input says is the command's, too.
    for (keys, line, says) in [
        (
            &["--sdes"][..],
            "AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0",
            "the peer's SDES line: AES_CM_128_HMAC_SHA1_80: expected a key",
        ),
        (&["--dtls", "active"], "AB:CD", "the peer's fingerprint: expected a hash, a space and a digest"),
    ] {
        let mut side = Side::start(&[call, keys].concat());
        side.is_told(line);
        let ended = side.end();
        ended.expect(2, says);
        assert!(!ended.stderr.contains("c2VjcmV0"), "a key is not told: {ended:#?}");
    }
    let mut side = Side::start(&[call, &["--sdes"]].concat());
    side.stdin = None;
    side.end().expect(2, "expected the peer's SDES line on standard input, got its end");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told_and_the_call_goes_on() {
    let (folder, [a, b]) = (Folder::new("full"), addresses());
    let call = ["call", "--local", &a, "--media", &b, "--clear", "--for", "2500ms", "--record"];
    Side::start(&[&call[..], &["/dev/full"]].concat())
        .end()
        .expect(1, "/dev/full was not written: expected room for all samples");
    Side::start(&[&call[..], &["/nowhere/at/all"]].concat()).end().expect(1, "/nowhere/at/all was not written");
    // A file system with room for a quarter of a second.
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4k", "tmpfs"]).arg(&folder.0).output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        _ = writeln!(std::io::stderr(), "SKIPPED a full file system: it could not be mounted");
        return;
    }
    let heard = folder.path("heard.wav");
    let answer = Side::start(&["answer", "--local", &b, "--media", &a, "--clear"]);
    let call = Side::start(&[&call[..], &[&heard]].concat());
    let (call, answer) = (call.end(), answer.end());
    let kept = fs::read(&heard);
    assert!(Command::new("umount").arg(&folder.0).status().unwrap().success());
    call.expect(0, "ended as its time was over");
    answer.expect(0, "ended by the peer");
    assert!(call.stdout.contains("error: expected room for all samples, "), "{call:#?}");
    assert!(call.stdout.contains("; expected room for all samples, "), "the last error stands behind statistics: {call:#?}");
    // What there is, is a whole WAV.
    let kept = kept.unwrap();
    let stated = u32::from_le_bytes(kept[40..44].try_into().unwrap());
    assert!(stated > 0 && 44 + stated as usize <= kept.len(), "{stated} of {}", kept.len());
}
