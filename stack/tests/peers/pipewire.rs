//! A PipeWire daemon of our own: no hardware, no session manager, its sockets in a folder of its own.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// It takes a moment. This only turns a hang into a failure.
const HANG: Duration = Duration::from_secs(60);

/// The period of all sinks: long, as a machine that runs tests gives no thread the processor in time.
pub(crate) const SAMPLES_PER_PERIOD: u32 = 4_096;

/// Whether there is a daemon to start; says so if there is none.
pub(crate) fn is_installed() -> bool {
    match Command::new("pipewire").arg("--version").output() {
        Ok(output) if output.status.success() => true,
        other => {
            let why = other.map_or_else(|error| error.to_string(), |output| output.status.to_string());
            // Not by print!, which a test that passes keeps to itself, and in one piece, as tests write at once.
            let _ = io::stderr().write_all(format!("SKIPPED pipewire: {why}\n").as_bytes());
            false
        }
    }
}

/// A daemon at work. It is killed with this, and its folder goes.
pub(crate) struct Daemon {
    program: Child,
    folder: PathBuf,
}

impl Daemon {
    /// Starts one, with null sinks of these names, and waits until it listens.
    pub(crate) fn start(sinks: &[&str]) -> Daemon {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        // Not below the target folder: the path of a socket has 107 bytes at the most.
        let folder = std::env::temp_dir().join(format!("glare-pipewire-{}-{number}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        Daemon::start_in(folder, sinks)
    }

    fn start_in(folder: PathBuf, sinks: &[&str]) -> Daemon {
        let config = folder.join("glare.conf");
        fs::write(&config, configuration(sinks)).unwrap();
        let errors = fs::File::create(folder.join("errors")).unwrap();
        let program = command("pipewire", &folder).arg("-c").arg(&config).stderr(errors).spawn().unwrap();
        let mut daemon = Daemon { program, folder };
        let began = Instant::now();
        while !Path::new(&daemon.socket()).exists() {
            let ended = daemon.program.try_wait().unwrap();
            assert!(ended.is_none() && began.elapsed() < HANG, "{ended:?}: {}", daemon.errors());
            std::thread::sleep(Duration::from_millis(5));
        }
        daemon
    }

    /// The path of its socket.
    pub(crate) fn socket(&self) -> String {
        self.folder.join("pipewire-0").into_os_string().into_string().unwrap()
    }

    pub(crate) fn kill(&mut self) {
        self.program.kill().unwrap();
        self.program.wait().unwrap();
    }

    /// Another one in the place of one that was killed.
    pub(crate) fn restart(&mut self, sinks: &[&str]) {
        let _ = fs::remove_file(self.socket());
        let _ = fs::remove_file(format!("{}.lock", self.socket()));
        let another = Daemon::start_in(self.folder.clone(), sinks);
        // What is dropped here is the one that was killed; the folder stays the other's.
        let mut old = std::mem::replace(self, another);
        old.folder = PathBuf::new();
    }

    /// Has the daemon do something; false where there is no pw-cli.
    pub(crate) fn tell(&self, arguments: &[&str]) -> bool {
        match command("pw-cli", &self.folder).args(arguments).output() {
            Ok(output) => {
                assert!(output.status.success(), "{output:?}");
                true
            }
            Err(error) => {
                let _ = writeln!(io::stderr(), "SKIPPED a device that comes and goes: pw-cli: {error}");
                false
            }
        }
    }

    fn errors(&self) -> String {
        fs::read_to_string(self.folder.join("errors")).unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
        if self.folder.exists() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

fn command(program: &str, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.env("XDG_RUNTIME_DIR", folder).env_remove("PIPEWIRE_RUNTIME_DIR").env_remove("PIPEWIRE_REMOTE");
    command.env_remove("DBUS_SESSION_BUS_ADDRESS").stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// The arguments of a null sink.
pub(crate) fn sink(name: &str) -> String {
    format!(
        "{{ factory.name = support.null-audio-sink node.name = \"{name}\" node.description = \"{name}\" media.class = \"Audio/Sink\" \
         audio.position = \"MONO\" adapter.auto-port-config = {{ mode = dsp monitor = true position = preserve }} object.linger = true }}"
    )
}

fn configuration(sinks: &[&str]) -> String {
    let sinks: String = sinks.iter().map(|name| format!("    {{ factory = adapter args = {} }}\n", sink(name))).collect();
    format!(
        "context.properties = {{
    core.daemon = true
    core.name = pipewire-0
    support.dbus = false
    mem.allow-mlock = false
    default.clock.rate = 48000
    default.clock.quantum = {SAMPLES_PER_PERIOD}
    default.clock.min-quantum = {SAMPLES_PER_PERIOD}
    default.clock.max-quantum = {SAMPLES_PER_PERIOD}
}}
context.spa-libs = {{
    audio.convert.* = audioconvert/libspa-audioconvert
    support.* = support/libspa-support
}}
context.modules = [
    {{ name = libpipewire-module-protocol-native }}
    {{ name = libpipewire-module-spa-node-factory }}
    {{ name = libpipewire-module-client-node }}
    {{ name = libpipewire-module-access }}
    {{ name = libpipewire-module-adapter }}
    {{ name = libpipewire-module-link-factory }}
]
context.objects = [
{sinks}]
"
    )
}
