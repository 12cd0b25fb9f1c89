//! Names: of sessions, of their channels, and of what a channel is asked.

use std::fmt;

/// Names a session: a place in its table, and how often that place has been used. A name never comes to mean another session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId {
    pub(super) slot: u32,
    pub(super) generation: u32,
}

impl SessionId {
    /// The `generation`-th use of a `slot`: for a core without a table.
    pub const fn new(slot: u32, generation: u32) -> Self {
        SessionId { slot, generation }
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.slot, self.generation)
    }
}

/// Names a channel of a session, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelId(pub u16);

impl fmt::Display for ChannelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a channel is asked, and answers in its own time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ask {
    /// A request. It occupies one of the channel's places, and each use of a place has a turn of its own.
    Request {
        /// The place.
        place: u8,
        /// How often the place has been used, this time included.
        turn: u32,
    },
    /// To close its media.
    CloseMedia,
    /// To close its engine.
    CloseEngine,
}

/// What an answer names: which session and channel was asked what. Each is asked once, and its first answer in time counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AnswerToken {
    /// Whose channel.
    pub session: SessionId,
    /// Which.
    pub channel: ChannelId,
    /// What it was asked.
    pub ask: Ask,
}

const KIND_REQUEST: u8 = 0;
const KIND_MEDIA: u8 = 1;
const KIND_ENGINE: u8 = 2;

impl AnswerToken {
    /// As a number, for a plugin that is not in this process, or is not written in Rust.
    pub const fn to_bits(self) -> u128 {
        let (kind, place, turn) = match self.ask {
            Ask::Request { place, turn } => (KIND_REQUEST, place, turn),
            Ask::CloseMedia => (KIND_MEDIA, 0, 0),
            Ask::CloseEngine => (KIND_ENGINE, 0, 0),
        };
        (self.session.slot as u128) << 96
            | (self.session.generation as u128) << 64
            | (self.channel.0 as u128) << 48
            | (kind as u128) << 40
            | (place as u128) << 32
            | turn as u128
    }

    /// The token of this number. `None` if no token has it.
    pub const fn from_bits(bits: u128) -> Option<Self> {
        let (place, turn) = ((bits >> 32) as u8, bits as u32);
        let ask = match ((bits >> 40) as u8, place, turn) {
            (KIND_REQUEST, place, turn) => Ask::Request { place, turn },
            (KIND_MEDIA, 0, 0) => Ask::CloseMedia,
            (KIND_ENGINE, 0, 0) => Ask::CloseEngine,
            _ => return None,
        };
        let session = SessionId { slot: (bits >> 96) as u32, generation: (bits >> 64) as u32 };
        Some(AnswerToken { session, channel: ChannelId((bits >> 48) as u16), ask })
    }
}
