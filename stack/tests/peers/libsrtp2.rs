//! libsrtp2 as a peer: `libsrtp2.c`, compiled when a test asks for it and driven over its stdin and stdout.
//!
//! What a differential test must know of libsrtp2 2.5.0, each point tried against an independent implementation of the RFCs:
//! - The first check that fails gives the status. SRTP: header, replay, MKI, room for the tag, tag. SRTCP: MKI, length, E flag
//!   (counter mode), replay, tag. So a replayed packet with a wrong tag is `REPLAY_SEEN`. A refused packet changes nothing.
//! - SRTP: a stream's first packet has rollover counter 0, whatever its sequence number. Up to index 0x8000 every sequence
//!   number counts as of rollover counter 0; past it, the guess is RFC 3711's. The window is rounded up to a multiple of 32.
//! - SRTCP: the first index sent is 1, index 0 is accepted, the window is 128 and not configurable. In counter mode a packet
//!   with E = 0 is `CANT_CHECK`; with GCM it is accepted if its tag is right.
//! - It looks at neither the version nor padding nor RTCP's length field, and it goes on past the last index, 2^48 - 1.
//! - `set_roc` needs a stream, so a specific SSRC or a packet before. A counter that does not advance the index by more than
//!   32768 sticks: the stream then refuses the next rollover (`INDEX_OLD`). 0 cannot be set.
//!
//! Where it is wrong, so that no test compares it there:
//! - AES-192: it derives with AES-256, from the master key followed by eight bytes of the master salt; RFC 6188 says AES-192.
//! - MKI with a 32-bit SRTP tag: it looks for the MKI of SRTCP packets at the wrong place (`BAD_MKI`).
//! - MKI with GCM: an SRTP packet of 12 to 15 bytes that ends in a four-byte MKI kills the process ([`Died`]).
//! - GCM as Debian builds it (NSS): associated data is limited to 2048 bytes (`CIPHER`), and an SRTCP packet with E = 0 of 2045
//!   to 2048 bytes before its tag, right or wrong, ends SRTCP for the session.

#![allow(dead_code, reason = "each test uses a part")]

#[path = "libsrtp2_program.rs"]
mod program;

use std::fmt;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// How much goes out before the answers are read. The program takes batches of 256 KiB, and a packet has at most 64 KiB.
const BATCH_BYTES: usize = 32 * 1024;

/// How many the program has room for.
const SESSIONS: u32 = 1024;

/// What libsrtp2 says of a packet or of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Status(pub(crate) u8);

impl Status {
    pub(crate) const BAD_PARAMETER: Self = Self(2);
    pub(crate) const AUTHENTICATION: Self = Self(7);
    pub(crate) const CIPHER: Self = Self(8);
    pub(crate) const REPLAY_SEEN: Self = Self(9);
    pub(crate) const REPLAY_OLD: Self = Self(10);
    pub(crate) const NO_STREAM: Self = Self(13);
    pub(crate) const CANT_CHECK: Self = Self(14);
    pub(crate) const KEY_EXPIRED: Self = Self(15);
    pub(crate) const PARSE: Self = Self(21);
    pub(crate) const BAD_MKI: Self = Self(25);
    pub(crate) const INDEX_OLD: Self = Self(26);
    /// Of the program, not of libsrtp2: a request that it cannot read.
    pub(crate) const BAD_REQUEST: Self = Self(128);
    /// Of the program, not of libsrtp2: no such session.
    pub(crate) const NO_SESSION: Self = Self(129);
}

impl fmt::Debug for Status {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match *self {
            Self::BAD_PARAMETER => "BAD_PARAMETER",
            Self::AUTHENTICATION => "AUTHENTICATION",
            Self::CIPHER => "CIPHER",
            Self::REPLAY_SEEN => "REPLAY_SEEN",
            Self::REPLAY_OLD => "REPLAY_OLD",
            Self::NO_STREAM => "NO_STREAM",
            Self::CANT_CHECK => "CANT_CHECK",
            Self::KEY_EXPIRED => "KEY_EXPIRED",
            Self::PARSE => "PARSE",
            Self::BAD_MKI => "BAD_MKI",
            Self::INDEX_OLD => "INDEX_OLD",
            Self::BAD_REQUEST => "BAD_REQUEST",
            Self::NO_SESSION => "NO_SESSION",
            Self(other) => return write!(out, "Status({other})"),
        })
    }
}

/// The program ended within an exchange: libsrtp2 crashed, or was asked what it cannot read.
#[derive(Debug)]
pub(crate) struct Died(pub(crate) io::Error);

/// In the program's numbering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    AesCm128HmacSha1_80 = 0,
    AesCm128HmacSha1_32 = 1,
    AesCm192HmacSha1_80 = 2,
    AesCm192HmacSha1_32 = 3,
    AesCm256HmacSha1_80 = 4,
    AesCm256HmacSha1_32 = 5,
    AeadAes128Gcm = 6,
    AeadAes256Gcm = 7,
}

impl Profile {
    pub(crate) const ALL: [Self; 8] = [
        Self::AesCm128HmacSha1_80,
        Self::AesCm128HmacSha1_32,
        Self::AesCm192HmacSha1_80,
        Self::AesCm192HmacSha1_32,
        Self::AesCm256HmacSha1_80,
        Self::AesCm256HmacSha1_32,
        Self::AeadAes128Gcm,
        Self::AeadAes256Gcm,
    ];

    /// The master key and the master salt together.
    pub(crate) fn key_and_salt_bytes(self) -> usize {
        match self {
            Self::AesCm128HmacSha1_80 | Self::AesCm128HmacSha1_32 => 16 + 14,
            Self::AesCm192HmacSha1_80 | Self::AesCm192HmacSha1_32 => 24 + 14,
            Self::AesCm256HmacSha1_80 | Self::AesCm256HmacSha1_32 => 32 + 14,
            Self::AeadAes128Gcm => 16 + 12,
            Self::AeadAes256Gcm => 32 + 12,
        }
    }

    /// Whether libsrtp2 derives its session keys as the RFCs say.
    pub(crate) fn is_conformant(self) -> bool {
        !matches!(self, Self::AesCm192HmacSha1_80 | Self::AesCm192HmacSha1_32)
    }
}

/// Which packets a session is for. libsrtp2 takes it for the streams that it makes itself, of any SSRC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Sender = 0,
    Receiver = 1,
}

/// Which of the two protocols a packet is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Rtp = 0,
    Rtcp = 1,
}

/// A master key and how packets name it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MasterKey<'a> {
    /// Empty: the session has no MKI.
    pub(crate) mki: &'a [u8],
    /// The master key, then the master salt.
    pub(crate) key_and_salt: &'a [u8],
}

/// What a session is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Config<'a> {
    pub(crate) direction: Direction,
    pub(crate) profile: Profile,
    /// `None`: every SSRC has a stream, from its first packet on.
    pub(crate) ssrc: Option<u32>,
    /// Of SRTP's replay window, in packets: 64 to 32767, or 0 for 128.
    pub(crate) window_packets: u32,
    /// At least one, at most 16.
    pub(crate) keys: &'a [MasterKey<'a>],
}

/// A session in the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Session(u32);

/// The program, running. It ends with this.
#[derive(Debug)]
pub(crate) struct Libsrtp2 {
    program: Child,
    input: ChildStdin,
    output: ChildStdout,
    version: String,
    /// Numbers that no session has.
    free: Vec<u32>,
}

enum Request<'a> {
    Version,
    Create(&'a Config<'a>),
    Protect { protocol: Protocol, key: u32, packet: &'a [u8] },
    Unprotect { protocol: Protocol, packet: &'a [u8] },
    SetRoc { ssrc: u32, roc: u32 },
    Roc { ssrc: u32 },
    Destroy,
}

impl Libsrtp2 {
    /// The peer, or a visible line that says why there is none.
    pub(crate) fn start() -> Option<Self> {
        match program::program().and_then(|program| Self::run(&program)) {
            Ok(peer) => Some(peer),
            Err(why) => {
                // Not by print!, which a test that passes keeps to itself.
                let _ = writeln!(io::stderr(), "SKIPPED libsrtp2: {why}");
                None
            }
        }
    }

    fn run(program: &Path) -> Result<Self, String> {
        let mut program = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{} does not start: {error}", program.display()))?;
        let (input, output) = (program.stdin.take().unwrap(), program.stdout.take().unwrap());
        let mut peer = Self { program, input, output, version: String::new(), free: (0..SESSIONS).rev().collect() };
        let answers = peer.exchange(0, [Request::Version]).map_err(|Died(error)| format!("it ended when it began: {error}"))?;
        let Ok(version) = &answers[0] else { return Err(format!("it does not tell its version: {answers:?}")) };
        peer.version = String::from_utf8_lossy(version).into_owned();
        Ok(peer)
    }

    /// Such as `libsrtp2 2.5.0`.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// A new session, until it is destroyed. There is room for 1024.
    pub(crate) fn create(&mut self, config: &Config<'_>) -> Result<Session, Status> {
        let session = Session(self.free.pop().expect("at most 1024 sessions live at once"));
        match self.one(session, Request::Create(config)) {
            Ok(_) => Ok(session),
            Err(status) => {
                self.free.push(session.0);
                Err(status)
            }
        }
    }

    /// Each packet protected with the key of that number, or why not.
    pub(crate) fn protect_many<P: AsRef<[u8]>>(
        &mut self,
        session: Session,
        protocol: Protocol,
        key: u32,
        packets: &[P],
    ) -> Result<Vec<Result<Vec<u8>, Status>>, Died> {
        self.protect_each(session, packets.iter().map(|packet| (protocol, key, packet.as_ref())))
    }

    /// The same for packets of both protocols and under several keys, in this order.
    pub(crate) fn protect_each<'a>(
        &mut self,
        session: Session,
        packets: impl IntoIterator<Item = (Protocol, u32, &'a [u8])>,
    ) -> Result<Vec<Result<Vec<u8>, Status>>, Died> {
        let requests = packets.into_iter().map(|(protocol, key, packet)| Request::Protect { protocol, key, packet });
        self.exchange(session.0, requests)
    }

    /// Each packet with its protection taken off, or why not.
    pub(crate) fn unprotect_many<P: AsRef<[u8]>>(
        &mut self,
        session: Session,
        protocol: Protocol,
        packets: &[P],
    ) -> Result<Vec<Result<Vec<u8>, Status>>, Died> {
        self.unprotect_each(session, packets.iter().map(|packet| (protocol, packet.as_ref())))
    }

    /// The same for packets of both protocols, in this order.
    pub(crate) fn unprotect_each<'a>(
        &mut self,
        session: Session,
        packets: impl IntoIterator<Item = (Protocol, &'a [u8])>,
    ) -> Result<Vec<Result<Vec<u8>, Status>>, Died> {
        let requests = packets.into_iter().map(|(protocol, packet)| Request::Unprotect { protocol, packet });
        self.exchange(session.0, requests)
    }

    /// The rollover counter of a stream from its next packet on.
    pub(crate) fn set_roc(&mut self, session: Session, ssrc: u32, roc: u32) -> Result<(), Status> {
        self.one(session, Request::SetRoc { ssrc, roc }).map(|_| ())
    }

    /// The rollover counter of a stream.
    pub(crate) fn roc(&mut self, session: Session, ssrc: u32) -> Result<u32, Status> {
        self.one(session, Request::Roc { ssrc }).map(|roc| u32::from_be_bytes(roc.try_into().expect("a counter has four bytes")))
    }

    /// Ends a session.
    pub(crate) fn destroy(&mut self, session: Session) -> Result<(), Status> {
        self.one(session, Request::Destroy)?;
        self.free.push(session.0);
        Ok(())
    }

    fn one(&mut self, session: Session, request: Request<'_>) -> Result<Vec<u8>, Status> {
        self.exchange(session.0, [request]).expect("libsrtp2 lives").remove(0)
    }

    /// The answers to all requests, in order. They go in batches, so that the program works while few switches happen.
    fn exchange<'a>(
        &mut self,
        session: u32,
        requests: impl IntoIterator<Item = Request<'a>>,
    ) -> Result<Vec<Result<Vec<u8>, Status>>, Died> {
        let mut answers = Vec::new();
        let mut batch = Batch::new();
        for request in requests {
            batch.add(session, &request);
            if batch.bytes.len() >= BATCH_BYTES {
                self.send(&mut batch, &mut answers).map_err(Died)?;
            }
        }
        self.send(&mut batch, &mut answers).map_err(Died)?;
        Ok(answers)
    }

    fn send(&mut self, batch: &mut Batch, answers: &mut Vec<Result<Vec<u8>, Status>>) -> io::Result<()> {
        if batch.requests == 0 {
            return Ok(());
        }
        let mut output = io::BufReader::with_capacity(BATCH_BYTES, &mut self.output);
        self.input.write_all(batch.framed())?;
        for _ in 0..batch.requests {
            let mut head = [0; 5];
            output.read_exact(&mut head)?;
            let [a, b, c, d, status] = head;
            // The length counts the status too.
            let mut body = vec![0; u32::from_be_bytes([a, b, c, d]) as usize - 1];
            output.read_exact(&mut body)?;
            answers.push(if status == 0 { Ok(body) } else { Err(Status(status)) });
        }
        // The program says nothing more until it is asked again, so the reader's buffer loses nothing.
        assert!(output.buffer().is_empty(), "expected one answer for each request, got more");
        *batch = Batch::new();
        Ok(())
    }
}

impl Drop for Libsrtp2 {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

struct Batch {
    /// The first four are for the batch's own length.
    bytes: Vec<u8>,
    requests: usize,
}

impl Batch {
    fn new() -> Self {
        Self { bytes: vec![0; 4], requests: 0 }
    }

    fn add(&mut self, session: u32, request: &Request<'_>) {
        let begin = self.bytes.len();
        self.bytes.extend([0; 4]);
        let command = match request {
            Request::Version => 0,
            Request::Create(_) => 1,
            Request::Protect { protocol, .. } => 2 + *protocol as u8,
            Request::Unprotect { protocol, .. } => 4 + *protocol as u8,
            Request::SetRoc { .. } => 6,
            Request::Roc { .. } => 7,
            Request::Destroy => 8,
        };
        self.bytes.push(command);
        self.bytes.extend(session.to_be_bytes());
        match request {
            Request::Version | Request::Destroy => {}
            Request::Create(config) => self.add_config(config),
            Request::Protect { key, packet, .. } => {
                self.bytes.extend(key.to_be_bytes());
                self.bytes.extend_from_slice(packet);
            }
            Request::Unprotect { packet, .. } => self.bytes.extend_from_slice(packet),
            Request::SetRoc { ssrc, roc } => {
                self.bytes.extend(ssrc.to_be_bytes());
                self.bytes.extend(roc.to_be_bytes());
            }
            Request::Roc { ssrc } => self.bytes.extend(ssrc.to_be_bytes()),
        }
        self.fill_length(begin);
        self.requests += 1;
    }

    fn add_config(&mut self, config: &Config<'_>) {
        self.bytes.extend([config.direction as u8, config.profile as u8, u8::from(config.ssrc.is_some())]);
        self.bytes.extend(config.ssrc.unwrap_or(0).to_be_bytes());
        self.bytes.extend(config.window_packets.to_be_bytes());
        // Whether an index may be sent twice: never.
        self.bytes.push(0);
        self.bytes.push(u8::try_from(config.keys.len()).expect("a session has at most 16 keys"));
        for key in config.keys {
            for part in [key.mki, key.key_and_salt] {
                self.bytes.push(u8::try_from(part.len()).expect("keys and MKIs are short"));
                self.bytes.extend_from_slice(part);
            }
        }
    }

    fn framed(&mut self) -> &[u8] {
        self.fill_length(0);
        &self.bytes
    }

    /// The length at `begin` of all that follows it.
    fn fill_length(&mut self, begin: usize) {
        let length = u32::try_from(self.bytes.len() - begin - 4).expect("a batch is short");
        self.bytes[begin..begin + 4].copy_from_slice(&length.to_be_bytes());
    }
}
