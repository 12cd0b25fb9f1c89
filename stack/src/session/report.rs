//! What a session says of itself: how its answers counted, and how it ended.

use super::{ChannelId, SessionId};
use std::fmt;
use std::ops::AddAssign;
use std::time::Duration;

/// How far a session is. It goes through these in order, and skips none but by [`Phase::Released`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// It serves requests.
    Active,
    /// The channels' media are being closed.
    Media,
    /// The channels' engines are being closed.
    Engines,
    /// Media and engines are being dropped.
    Dropping,
    /// It has ended.
    Released,
}

/// Whom a call went to and what for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Called {
    /// An engine, with a request.
    Request,
    /// Media, to close.
    CloseMedia,
    /// An engine, to close.
    CloseEngine,
    /// Media, which were dropped.
    DropMedia,
    /// An engine, which was dropped.
    DropEngine,
}

/// Why a session ended: the first reason that there was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndReason {
    /// It was terminated.
    Terminated,
    /// The peer hung up.
    Bye,
    /// Its table was closed.
    TableClosed,
    /// A plugin panicked in a call.
    Panicked {
        /// The channel that it serves.
        channel: ChannelId,
        /// In which call.
        called: Called,
    },
    /// A call into a plugin did not return in time.
    Blocked {
        /// The channel that it serves.
        channel: ChannelId,
        /// In which call.
        called: Called,
        /// How long was waited.
        within: Duration,
    },
    /// A plugin answered for a channel that is not its own.
    ForeignAnswer {
        /// The channel that it serves.
        channel: ChannelId,
    },
    /// Nothing makes the session's calls any more: its runtime has ended.
    WorkerLost,
    /// No timer could be had, and a session without deadlines does not go on.
    NoTimer,
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EndReason::Terminated => f.write_str("it was terminated"),
            EndReason::Bye => f.write_str("the peer hung up"),
            EndReason::TableClosed => f.write_str("its table was closed"),
            EndReason::Panicked { channel, called } => write!(f, "the plugin of channel {channel} panicked in {called:?}"),
            EndReason::Blocked { channel, called, within } => {
                write!(f, "the plugin of channel {channel} did not return from {called:?} within {within:?}")
            }
            EndReason::ForeignAnswer { channel } => {
                write!(f, "the plugin of channel {channel} answered for a channel that is not its own")
            }
            EndReason::WorkerLost => f.write_str("its worker was lost"),
            EndReason::NoTimer => f.write_str("it could have no timer"),
        }
    }
}

/// What became of media or an engine that was to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Closed {
    /// The channel has none.
    Absent,
    /// It was asked, and answered in time.
    Answered,
    /// It was asked, and had not answered in time.
    Expired,
    /// It panicked, and was not asked, or not waited for.
    Panicked,
    /// It was not asked in time: a call before did not return, or nothing made the calls any more.
    NotAsked,
}

/// How a channel ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChannelEnd {
    /// Its media.
    pub media: Closed,
    /// Its engine.
    pub engine: Closed,
}

/// How a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndReport {
    /// Which.
    pub session: SessionId,
    /// Why.
    pub reason: EndReason,
    /// What became of each channel.
    pub channels: Vec<ChannelEnd>,
    /// The call that had not returned by the last deadline, if one had not: who made it is left behind with what it was called on.
    pub left_in: Option<(ChannelId, Called)>,
    /// What had been counted when it ended.
    pub counters: SessionCounters,
}

/// What ending a session came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ending {
    /// It ends from here on.
    Begun,
    /// It was ending already, for this reason.
    AlreadyEnding(EndReason),
    /// It has ended, for this reason.
    Ended(EndReason),
}

/// What an answer counted as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AnswerStatus {
    /// It was waited for.
    Accepted,
    /// The same was answered before.
    Twice,
    /// It is not waited for any more: its deadline has passed, or its phase.
    Late,
    /// Nothing was asked that it could answer, or not yet.
    Early,
    /// The session has ended.
    AfterEnd,
    /// It came from a channel that the session does not have.
    UnknownChannel,
    /// It names another session, or another channel than the one it came from. That ends the session it came from.
    Foreign,
}

macro_rules! counters {
    ($(#[$of_struct:meta])* $name:ident { $($(#[$of_field:meta])* $field:ident,)* }) => {
        $(#[$of_struct])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name {
            $($(#[$of_field])* pub $field: u64,)*
        }

        impl $name {
            /// What has been counted since `before`, which is of the same session.
            pub(super) fn since(&self, before: &Self) -> Self {
                $name { $($field: self.$field - before.$field,)* }
            }
        }

        impl AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                $(self.$field += other.$field;)*
            }
        }
    };
}

counters! {
    /// What a session has counted. Every request that was posted is answered once, so `posted` is the sum of `answered` and `failed` in
    /// the end; every answer that came is in one of the counters from `accepted` to `foreign`.
    SessionCounters {
        /// Requests that were taken.
        posted,
        /// Requests that were not, as the inbox was full.
        refused_full,
        /// Requests that were not, as the session ended.
        refused_ended,
        /// Requests that a plugin has answered.
        answered,
        /// Requests that nobody has, and whose requesters were told why.
        failed,
        /// Answers that counted, those to a close included.
        accepted,
        /// [`AnswerStatus::Twice`].
        twice,
        /// [`AnswerStatus::Late`].
        late,
        /// [`AnswerStatus::Early`].
        early,
        /// [`AnswerStatus::AfterEnd`].
        after_end,
        /// [`AnswerStatus::UnknownChannel`].
        unknown_channel,
        /// [`AnswerStatus::Foreign`].
        foreign,
        /// Deadlines that passed, each channel of a phase and each request by itself.
        expired,
        /// Calls that panicked.
        panics,
        /// Calls that returned when the session had been released.
        late_returns,
        /// Ends of a session that was ending, or had ended.
        ends_again,
    }
}
