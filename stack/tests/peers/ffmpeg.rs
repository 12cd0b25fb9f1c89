//! ffmpeg as a peer: the program, run with a deadline and ended with the test, and what it needs to be told.

use sim::time;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// Whether there is an ffmpeg that knows SRTP, or a visible line that says why not.
pub(crate) fn is_installed() -> bool {
    let why = match Command::new("ffmpeg").args(["-hide_banner", "-protocols"]).stdin(Stdio::null()).output() {
        Err(error) => format!("it does not start: {error}"),
        Ok(said) if !String::from_utf8_lossy(&said.stdout).lines().any(|line| line.trim() == "srtp") => {
            "it has no SRTP".to_owned()
        }
        Ok(_) if !Path::new("/proc/net/udp").exists() => "without /proc/net/udp nobody knows when it listens".to_owned(),
        Ok(_) => return true,
    };
    // Not by print!, which a test that passes keeps to itself.
    let _ = writeln!(io::stderr(), "SKIPPED ffmpeg: {why}");
    false
}

/// ffmpeg at work. It is killed with this, unless it has ended.
pub(crate) struct Ffmpeg {
    program: Child,
    log: PathBuf,
}

impl Ffmpeg {
    /// Runs it in `folder`, where its log goes.
    pub(crate) fn start(folder: &Path, arguments: &[&str]) -> Self {
        Self::start_as("log", folder, arguments)
    }

    /// With a log of this name, for one of several in a folder.
    pub(crate) fn start_as(log: &str, folder: &Path, arguments: &[&str]) -> Self {
        let log = folder.join(log);
        let program = Command::new("ffmpeg")
            .args(["-hide_banner", "-nostdin", "-y", "-loglevel", "info"])
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            // It prints the session description there, with the key.
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Self { program, log }
    }

    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.program.try_wait().unwrap()
    }

    /// Waits until it ends by itself.
    pub(crate) async fn end(&mut self) -> ExitStatus {
        loop {
            match self.ended() {
                Some(status) => return status,
                None => time::sleep_for(Duration::from_millis(5)).await,
            }
        }
    }

    /// Waits until it has bound this UDP port.
    ///
    /// Not by binding it ourselves, which might be just when it tries.
    pub(crate) async fn listens(&mut self, port: u16) {
        let hex = format!(":{port:04X}");
        loop {
            let bound = fs::read_to_string("/proc/net/udp").unwrap();
            if bound.lines().any(|line| line.split_whitespace().nth(1).is_some_and(|local| local.ends_with(&hex))) {
                return;
            }
            assert!(self.ended().is_none(), "it ended before it listened: {}", self.log());
            time::sleep_for(Duration::from_millis(5)).await;
        }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Ffmpeg {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

/// A folder of the test's own, which is gone after it.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("ffmpeg-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
