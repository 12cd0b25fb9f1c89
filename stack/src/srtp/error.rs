//! What can be wrong with a packet, or with what a session is set up with.

use super::policy::{KeyLifetime, WINDOW_PACKETS_MAX, WINDOW_PACKETS_MIN};
use super::profile::Profile;
use crate::buffer::MbufError;
use crate::rtp::RtpError;

/// Why a packet was refused, or a session not set up. Nothing has changed in the session, but for its counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SrtpError {
    /// Shorter than any packet of its kind under this policy.
    #[error("{kind}: expected at least {expected} bytes, got {got}")]
    Short {
        /// SRTP or SRTCP.
        kind: &'static str,
        /// Header, tag, MKI and, in SRTCP, index.
        expected: usize,
        /// How long it is.
        got: usize,
    },
    /// Longer than what is protected: counter mode counts no more than 2^16 blocks in a packet.
    #[error("{kind}: expected at most {expected_max} bytes, got {got}")]
    TooLong {
        /// RTP or RTCP, or SRTP or SRTCP.
        kind: &'static str,
        /// The limit, with what is added to packets if they are protected.
        expected_max: usize,
        /// How long it is.
        got: usize,
    },
    /// Not an RTP or RTCP packet.
    #[error(transparent)]
    Malformed(#[from] RtpError),
    /// There is no room for what is added.
    #[error(transparent)]
    Buffer(#[from] MbufError),
    /// The tag does not fit the packet: it was forged, damaged, or protected under another key.
    #[error("SSRC {ssrc:#010x}: expected a tag that fits, got another")]
    Authentication {
        /// Whose packet it claims to be.
        ssrc: u32,
    },
    /// A packet with this index was here before. A sender that went on would use a keystream twice.
    #[error("SSRC {ssrc:#010x}: expected an index that was not used before, got {index}")]
    Replayed {
        /// Whose packet it is.
        ssrc: u32,
        /// The packet index: 48 bits in SRTP, 31 in SRTCP.
        index: u64,
    },
    /// So old that nobody knows whether it was here before.
    #[error("SSRC {ssrc:#010x}: expected an index from {expected_min}, got {index}")]
    TooOld {
        /// Whose packet it is.
        ssrc: u32,
        /// The packet index.
        index: u64,
        /// Where the replay window begins.
        expected_min: u64,
    },
    /// No master key has this identifier.
    #[error("expected the MKI of one of {keys} master keys, got another")]
    UnknownMki {
        /// How many there are.
        keys: usize,
    },
    /// An SRTCP packet in clear where the policy wants it encrypted, or the reverse.
    #[error("SSRC {ssrc:#010x}: expected the SRTCP E flag {expected}, got {}", !expected)]
    EncryptionFlag {
        /// Whose packet it claims to be.
        ssrc: u32,
        /// What the policy says.
        expected: bool,
    },
    /// The master key has protected all that it may: the session needs a new one. Or the stream has used all of its indices, 2^48
    /// in RTP and 2^31 in RTCP, which go on under a new key: it needs another SSRC.
    #[error("expected at most {limit} packets under one master key")]
    KeyExpired {
        /// How many those are.
        limit: u64,
    },
    /// One stream more than the policy has room for.
    #[error("SSRC {ssrc:#010x}: expected at most {limit} streams")]
    StreamLimit {
        /// Whose packet it is.
        ssrc: u32,
        /// The limit.
        limit: usize,
    },
    /// A rollover counter that lies behind what was authenticated: going back would let old packets in again.
    #[error("SSRC {ssrc:#010x}: expected a rollover counter from {expected_min}, got {got}")]
    RolloverCounter {
        /// Whose.
        ssrc: u32,
        /// The one that is in use.
        expected_min: u32,
        /// The one that was given.
        got: u32,
    },
    /// The session was stopped, or not keyed yet. It does not let a packet by in clear.
    #[error("expected a keyed session, got one that is not")]
    NotKeyed,
    /// A master key of the wrong length.
    #[error("{profile}: expected a master key of {expected} bytes, got {got}")]
    KeyLength {
        /// For what.
        profile: Profile,
        /// Its length.
        expected: usize,
        /// The length that was given.
        got: usize,
    },
    /// A master salt of the wrong length.
    #[error("{profile}: expected a master salt of {expected} bytes, got {got}")]
    SaltLength {
        /// For what.
        profile: Profile,
        /// Its length.
        expected: usize,
        /// The length that was given.
        got: usize,
    },
    /// An MKI that is too long, or of another length than the others of the session.
    #[error("expected an MKI of {expected} bytes, got {got}")]
    MkiLength {
        /// The limit, or the length of the others.
        expected: usize,
        /// Its length.
        got: usize,
    },
    /// Two master keys of one session have the same MKI, or none.
    #[error("expected a different MKI for each master key, got one twice")]
    MkiTwice,
    /// Two master keys of one session are the same key with the same salt.
    #[error("expected different master keys, got one twice")]
    MasterKeyTwice,
    /// A session needs a master key.
    #[error("expected a master key, got none")]
    NoMasterKey,
    /// More master keys than a session holds.
    #[error("expected at most {limit} master keys, got {got}")]
    TooManyMasterKeys {
        /// The limit.
        limit: usize,
        /// How many were given.
        got: usize,
    },
    /// A master key that was made for another profile.
    #[error("expected a master key for {expected}, got one for {got}")]
    KeyProfile {
        /// The session's.
        expected: Profile,
        /// The key's.
        got: Profile,
    },
    /// A profile that encrypts nothing, asked for without saying that it is a test.
    #[error("expected a profile that encrypts, got {profile}")]
    NullCipher {
        /// The profile.
        profile: Profile,
    },
    /// A replay window that is too small or too large.
    #[error("expected a replay window of {WINDOW_PACKETS_MIN} to {WINDOW_PACKETS_MAX} packets, got {got}")]
    Window {
        /// What was asked for.
        got: u32,
    },
    /// A key derivation rate that RFC 3711 does not know.
    #[error("expected a key derivation rate of 0 or a power of two up to 2^24, got {got}")]
    KeyDerivationRate {
        /// What was asked for.
        got: u32,
    },
    /// A key lifetime that is longer than is safe.
    #[error("expected a key lifetime within {:?}, got {got:?}", KeyLifetime::MAX)]
    Lifetime {
        /// What was asked for.
        got: KeyLifetime,
    },
}
