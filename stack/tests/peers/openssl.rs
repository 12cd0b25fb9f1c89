//! openssl as a peer: its programs `s_client` and `s_server`, which print the keys that they export.

use sim::sync::channel::{Receiver, bounded};
use sim::thread;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

/// Whether there is an openssl 3 that knows DTLS 1.2, or a visible line that says why not.
pub(crate) fn is_installed() -> bool {
    let why = match Command::new("openssl").arg("version").stdin(Stdio::null()).output() {
        Err(error) => format!("it does not start: {error}"),
        Ok(said) => match String::from_utf8_lossy(&said.stdout).split(' ').nth(1) {
            Some(version) if version.starts_with('3') => return true,
            version => format!("expected version 3, got {}", version.unwrap_or("none")),
        },
    };
    // Not by print!, which a test that passes keeps to itself.
    let _ = writeln!(io::stderr(), "SKIPPED openssl: {why}");
    false
}

/// A certificate and its key, in files of their own that go with this.
pub(crate) struct Identity {
    folder: PathBuf,
    pub(crate) certificate_der: Vec<u8>,
}

impl Identity {
    pub(crate) fn new(algorithm: &'static rcgen::SignatureAlgorithm, name: &str) -> Self {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let certificate = rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap();
        let folder = std::env::temp_dir().join(format!("glare-openssl-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("certificate"), certificate.der()).unwrap();
        fs::write(folder.join("key"), key.serialize_der()).unwrap();
        Identity { folder, certificate_der: certificate.der().to_vec() }
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// So many lines it is ahead of who reads them.
const LINES_MAX: usize = 64;

/// openssl at work. It is killed with this.
pub(crate) struct Openssl {
    program: Child,
    /// At its end the program would end too, before any handshake.
    _stdin: ChildStdin,
    lines: Receiver<String>,
}

/// What it says of a handshake.
#[derive(Debug)]
pub(crate) struct Exported {
    /// Nothing where no profile was agreed on.
    pub(crate) profile: Option<String>,
    pub(crate) keys: Vec<u8>,
}

impl Openssl {
    /// A client of `server`, or a server at `listens`.
    pub(crate) fn start(is_client: bool, at: SocketAddr, identity: &Identity, profile: &str, export_len: usize) -> Self {
        let (what, address) = if is_client { ("s_client", "-connect") } else { ("s_server", "-accept") };
        let mut command = Command::new("openssl");
        command.args([what, "-dtls1_2", address, &at.to_string(), "-use_srtp", profile]);
        command.args(["-cert", "certificate", "-certform", "DER", "-key", "key", "-keyform", "DER"]);
        command.args(["-keymatexport", "EXTRACTOR-dtls_srtp", "-keymatexportlen", &export_len.to_string()]);
        if !is_client {
            // It asks for our certificate, and takes any.
            command.args(["-Verify", "1"]);
        }
        command.current_dir(&identity.folder).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut program = command.spawn().unwrap();
        let (sender, lines) = bounded(LINES_MAX);
        let said = BufReader::new(program.stdout.take().unwrap());
        thread::spawn(move || said.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let openssl = Openssl { _stdin: program.stdin.take().unwrap(), program, lines };
        if !is_client {
            openssl.line(|line| line.contains("ACCEPT").then_some(())).expect("it listens");
        }
        openssl
    }

    /// What it exported, once it has.
    pub(crate) fn exported(&self) -> Option<Exported> {
        let mut profile = None;
        self.line(|line| {
            if let Some((_, name)) = line.split_once("SRTP Extension negotiated, profile=") {
                profile = Some(name.trim().to_owned());
            }
            let hex = line.trim().strip_prefix("Keying material: ")?;
            let keys = (0..hex.len() / 2).map(|byte| u8::from_str_radix(&hex[2 * byte..][..2], 16).unwrap()).collect();
            Some(Exported { profile: profile.take(), keys })
        })
    }

    /// The first of its lines that is wanted, if it comes in ten seconds.
    fn line<T>(&self, mut wanted: impl FnMut(&str) -> Option<T>) -> Option<T> {
        std::iter::from_fn(|| self.lines.recv_timeout(Duration::from_secs(10)).ok()).find_map(|line| wanted(&line))
    }
}

impl Drop for Openssl {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}
