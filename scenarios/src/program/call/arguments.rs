//! The command lines of `glare call` and `glare answer`.

use crate::program::arguments::duration;
use clap::{Args, ValueEnum};
use stack::dtls::Role;
use stack::media::codec::Law;
use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;
use zeroize::Zeroizing;

/// The longest call, and so the longest recording.
const FOR_MAX: Duration = Duration::from_secs(24 * 3600);
/// How long the peer may be waited for: as long as a handshake may take.
const WAIT_MAX: Duration = Duration::from_secs(600);
const WAIT_MIN: Duration = Duration::from_millis(100);

pub(crate) const CALL_HELP: &str = "Examples:
  glare call --media 127.0.0.1:5004 --dtls active --for 10s --record heard.wav
      prints our fingerprint, and reads the peer's from standard input
  glare call --media 192.0.2.7:5004 --sdes --tone 1000
      prints the SDES line that the peer must be given, and reads the peer's
  glare call --media 127.0.0.1:5004 --clear --codec pcma --file hello.wav --json call.json

A key on a command line is seen by everybody on the machine: without --peer-sdes the peer's line is read from standard input, and
--sdes without a value makes a key of our own. Without --fingerprint the peer's is read too: no certificate is taken unseen.

Ctrl-C ends the call with BYE and close_notify; a second one ends the program at once.
Exit codes: 0 both sides talked and the call ended well, 1 it failed, 2 wrong usage.";

pub(crate) const ANSWER_HELP: &str = "Examples:
  glare answer --local 127.0.0.1:5004 --media 127.0.0.1:5006 --dtls passive --echo
      prints our fingerprint, and reads the peer's from standard input
  glare answer --local 192.0.2.7:5004 --sdes --record heard.wav
      prints our SDES line, reads the peer's, and answers whoever has the keys

Who is answered: with --sdes and without --media, the sender of the first packet that is authentic under the peer's key; the address
stays the same from then on. With --dtls or --clear the address must be given, since nothing authenticates a ClientHello or a packet
in clear: a ClientHello is taken from the agreed address alone.

Ctrl-C ends the call with BYE and close_notify; a second one ends the program at once.
Exit codes: 0 both sides talked and the call ended well, 1 it failed, 2 wrong usage.";

#[derive(Debug, Args)]
pub(crate) struct CallArguments {
    /// Where the peer receives, and sends from.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) media: String,
    /// Where we receive, and send from; any port if it is 0.
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) local: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) how: HowArguments,
}

#[derive(Debug, Args)]
pub(crate) struct AnswerArguments {
    /// Where we receive, and send from; any port if it is 0.
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) local: SocketAddr,
    /// Where the peer receives, and sends from. With --sdes it may be left out.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) media: Option<String>,
    #[command(flatten)]
    pub(crate) how: HowArguments,
}

/// What both sides of a call say of it. What belongs to one way of keying conflicts with the others: clap would let `requires` pass beside them.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("keying").args(["dtls", "sdes", "clear"]).required(true)))]
#[command(group(clap::ArgGroup::new("sound").args(["tone", "file", "echo", "silence"])))]
pub(crate) struct HowArguments {
    /// Keys by a DTLS handshake (RFC 5764), which the active side begins.
    #[arg(long, value_name = "ROLE")]
    pub(crate) dtls: Option<DtlsRole>,
    /// The peer's fingerprint, as 'sha-256 AB:CD:...'; read from standard input if it is not said.
    #[arg(long, value_name = "FINGERPRINT", conflicts_with_all = ["sdes", "clear"])]
    pub(crate) fingerprint: Option<String>,
    /// Our certificate, PEM or DER; a new one if it is not said.
    #[arg(long, value_name = "FILE", requires = "key", conflicts_with_all = ["sdes", "clear"])]
    pub(crate) certificate: Option<PathBuf>,
    /// The certificate's private key, PEM or DER.
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub(crate) key: Option<PathBuf>,
    /// SDES (RFC 4568) with our line, as 'AES_CM_128_HMAC_SHA1_80 inline:KEY'; with a new key if no line is said.
    #[arg(long, value_name = "LINE", num_args = 0..=1)]
    pub(crate) sdes: Option<Option<Secret>>,
    /// The peer's SDES line; read from standard input if it is not said.
    #[arg(long, value_name = "LINE", conflicts_with_all = ["dtls", "clear"])]
    pub(crate) peer_sdes: Option<Secret>,
    /// No protection at all.
    #[arg(long)]
    pub(crate) clear: bool,
    /// The codec of both directions.
    #[arg(long, value_enum, default_value_t = Codec::Pcmu, value_name = "CODEC")]
    pub(crate) codec: Codec,
    /// Sends a tone of so many Hz. 440 if nothing else is to be sent.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=4000), value_name = "HZ")]
    pub(crate) tone: Option<u32>,
    /// Sends a WAV of 8000 samples a second, 16 bits, one channel; once, and then silence.
    #[arg(long, value_name = "IN.wav")]
    pub(crate) file: Option<PathBuf>,
    /// Sends what is heard.
    #[arg(long)]
    pub(crate) echo: bool,
    /// Sends silence.
    #[arg(long)]
    pub(crate) silence: bool,
    /// Writes what is heard to this file.
    #[arg(long, value_name = "OUT.wav")]
    pub(crate) record: Option<PathBuf>,
    /// How long to talk, up to 24h; until Ctrl-C or the peer ends it if not said.
    #[arg(long = "for", value_parser = talk, value_name = "TIME")]
    pub(crate) talk: Option<Duration>,
    /// How long to wait for the peer, up to 10m: for keys and the first packet.
    #[arg(long, value_parser = wait, default_value = "60s", value_name = "TIME")]
    pub(crate) wait: Duration,
    /// RTCP on a port of its own, the one above. Not with --dtls.
    #[arg(long, conflicts_with = "dtls")]
    pub(crate) no_rtcp_mux: bool,
    /// Writes what was counted to this file too, as an object.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

/// What `a=setup` calls the two roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DtlsRole {
    /// Sends the ClientHello.
    Active,
    /// Waits for it.
    Passive,
}

impl DtlsRole {
    pub(super) fn role(self) -> Role {
        match self {
            DtlsRole::Active => Role::Client,
            DtlsRole::Passive => Role::Server,
        }
    }
}

/// The codecs that a call can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Codec {
    /// G.711, mu-law.
    Pcmu,
    /// G.711, A-law.
    Pcma,
}

impl Codec {
    pub(super) fn law(self) -> Law {
        match self {
            Codec::Pcmu => Law::Mu,
            Codec::Pcma => Law::A,
        }
    }

    /// RFC 3551 section 6.
    pub(super) fn payload_type(self) -> u8 {
        match self {
            Codec::Pcmu => 0,
            Codec::Pcma => 8,
        }
    }
}

/// A line with a key in it: it is not shown, and its memory is zeroised.
#[derive(Clone)]
pub(crate) struct Secret(pub(super) Zeroizing<String>);

impl FromStr for Secret {
    type Err = Infallible;

    /// Any text: what is wrong with it is said later, without it.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Secret(Zeroizing::new(text.to_owned())))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

fn talk(text: &str) -> Result<Duration, String> {
    within(text, Duration::from_millis(1), FOR_MAX, "a time up to 24h")
}

fn wait(text: &str) -> Result<Duration, String> {
    within(text, WAIT_MIN, WAIT_MAX, "a time from 100ms to 10m")
}

fn within(text: &str, least: Duration, most: Duration, expected: &str) -> Result<Duration, String> {
    let got = duration(text)?;
    if (least..=most).contains(&got) { Ok(got) } else { Err(format!("expected {expected}, got `{text}`")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_limits() {
        assert_eq!(talk("24h"), Ok(FOR_MAX));
        assert_eq!(wait("100ms"), Ok(WAIT_MIN));
        for (result, expected) in [
            (talk("25h"), "expected a time up to 24h, got `25h`"),
            (wait("99ms"), "expected a time from 100ms to 10m, got `99ms`"),
        ] {
            assert_eq!(result.unwrap_err(), expected);
        }
    }

    #[test]
    fn a_key_is_not_shown() {
        let secret: Secret = "AES_CM_128_HMAC_SHA1_80 inline:key".parse().unwrap();
        assert_eq!(format!("{secret:?}"), "Secret");
    }
}
