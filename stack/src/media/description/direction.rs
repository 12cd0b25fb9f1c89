//! Who sends (RFC 8866 section 6.7). A call is held with it: RFC 3264 section 8.4.

use std::fmt;

/// Who sends, from the side that says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Both.
    #[default]
    SendReceive,
    /// It does, and wants nothing: it holds the other.
    SendOnly,
    /// The other does.
    ReceiveOnly,
    /// Nobody.
    Inactive,
}

impl Direction {
    /// Every direction.
    pub const ALL: [Direction; 4] = [Direction::SendReceive, Direction::SendOnly, Direction::ReceiveOnly, Direction::Inactive];

    /// Of whether it sends, and whether it receives.
    pub const fn of(sends: bool, receives: bool) -> Direction {
        match (sends, receives) {
            (true, true) => Direction::SendReceive,
            (true, false) => Direction::SendOnly,
            (false, true) => Direction::ReceiveOnly,
            (false, false) => Direction::Inactive,
        }
    }

    /// Whether this side sends.
    pub const fn sends(self) -> bool {
        matches!(self, Direction::SendReceive | Direction::SendOnly)
    }

    /// Whether this side receives.
    pub const fn receives(self) -> bool {
        matches!(self, Direction::SendReceive | Direction::ReceiveOnly)
    }

    /// What is left for one side that wants this, when the other says that.
    pub const fn with_peer(self, theirs: Direction) -> Direction {
        Direction::of(self.sends() && theirs.receives(), self.receives() && theirs.sends())
    }

    /// The attribute.
    pub const fn name(self) -> &'static str {
        match self {
            Direction::SendReceive => "sendrecv",
            Direction::SendOnly => "sendonly",
            Direction::ReceiveOnly => "recvonly",
            Direction::Inactive => "inactive",
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
