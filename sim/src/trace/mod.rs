//! What happened in a run: its steps, recorded while replaying, and how they are shown: as text ([`Trace::timeline`]), as a page
//! ([`page`]), to Perfetto ([`perfetto`]), and beside another run ([`difference`]).

mod difference;
mod page;
mod perfetto;
mod spans;
mod timeline;

pub use difference::{DIFFERENCE_LINES, difference};
pub use page::page;
pub use perfetto::perfetto;

use crate::run::NETWORK_LANE;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::panic::Location;

/// One step of one thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Op {
    /// A thread began.
    Begin = 1,
    /// A thread ended.
    End,
    /// A thread was spawned.
    Spawn,
    /// A thread waits for another's end.
    Join,
    /// A lock is asked for.
    Lock,
    /// A lock was had.
    Locked,
    /// A lock was given back.
    Unlock,
    /// A lock was tried for.
    TryLock,
    /// A wait on a condition, a channel or a park.
    Wait,
    /// A wait ended because somebody woke it.
    Woken,
    /// A wait ended by its time.
    TimedOut,
    /// A notification.
    Notify,
    /// A message went into a channel.
    Send,
    /// A message was asked of a channel.
    Recv,
    /// An atomic was read.
    Load,
    /// An atomic was written.
    Store,
    /// An atomic was read and written at once.
    ReadModifyWrite,
    /// A checked cell was read.
    CellRead,
    /// A checked cell was written.
    CellWrite,
    /// A sleep.
    Sleep,
    /// A yield, or a sleep of nothing.
    Yield,
    /// A resource was registered.
    Register,
    /// A resource was used.
    Use,
    /// A resource was released.
    Release,
    /// An operation began.
    OperationBegin,
    /// An operation ended.
    OperationEnd,
    /// A `Once` was entered.
    Once,
    /// A choice of the program's own.
    Choose,
    /// A packet was sent.
    PacketSent,
    /// A packet came into a socket's queue.
    PacketArrived,
    /// A packet was taken from a socket's queue.
    PacketReceived,
    /// A packet will not arrive.
    PacketLost,
    /// Something happened to a packet on its way.
    PacketHarmed,
}

impl Op {
    /// Whether the step may let others get on. Looking again at what did not change does not.
    pub(crate) const fn progresses(self) -> bool {
        !matches!(self, Op::TryLock | Op::Load | Op::CellRead | Op::Yield)
    }

    /// What it is about, as the page's filter has it: `locks`, `packets` and so on.
    pub const fn family(self) -> &'static str {
        match self {
            Op::Begin | Op::End | Op::Spawn | Op::Join => "threads",
            Op::Lock | Op::Locked | Op::Unlock | Op::TryLock | Op::Once => "locks",
            Op::Wait | Op::Woken | Op::TimedOut | Op::Notify | Op::Sleep | Op::Yield => "waits",
            Op::Send | Op::Recv => "channels and sockets",
            Op::Load | Op::Store | Op::ReadModifyWrite => "atomics",
            Op::CellRead | Op::CellWrite => "cells",
            Op::Register | Op::Use | Op::Release => "resources",
            Op::OperationBegin | Op::OperationEnd => "operations",
            Op::Choose => "choices",
            Op::PacketSent | Op::PacketArrived | Op::PacketReceived | Op::PacketLost | Op::PacketHarmed => "packets",
        }
    }

    const fn verb(self) -> &'static str {
        match self {
            Op::Begin => "begins",
            Op::End => "ends",
            Op::Spawn => "spawns",
            Op::Join => "joins",
            Op::Lock => "asks for",
            Op::Locked => "has",
            Op::Unlock => "gives back",
            Op::TryLock => "tries",
            Op::Wait => "waits on",
            Op::Woken => "is woken from",
            Op::TimedOut => "times out on",
            Op::Notify => "notifies",
            Op::Send => "sends to",
            Op::Recv => "asks",
            Op::Load => "reads",
            Op::Store => "writes",
            Op::ReadModifyWrite => "updates",
            Op::CellRead => "reads",
            Op::CellWrite => "writes",
            Op::Sleep => "sleeps",
            Op::Yield => "yields",
            Op::Register => "registers",
            Op::Use => "uses",
            Op::Release => "releases",
            Op::OperationBegin => "enters",
            Op::OperationEnd => "leaves",
            Op::Once => "initialises",
            Op::Choose => "chooses",
            Op::PacketSent => "sends",
            Op::PacketArrived => "brings",
            Op::PacketReceived => "receives",
            Op::PacketLost => "loses",
            Op::PacketHarmed => "harms",
        }
    }
}

/// A recorded step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The thread, by number of spawning; 0 is the body.
    pub thread: u32,
    /// Virtual time since the run began, in nanoseconds.
    pub now_ns: u64,
    /// What it did.
    pub op: Op,
    /// To what: a lock's, thread's or operation's name.
    pub object: String,
    /// Where, as `file:line`.
    pub site: String,
    /// How many choices had been made before.
    pub choices: u64,
    /// Which object it was, as [`Trace::objects`] counts them: names are not unique.
    pub object_id: Option<u32>,
    /// The other thread that it concerns: the one that is spawned or joined.
    pub other: Option<u32>,
    /// The number of the datagram that it concerns.
    pub packet: Option<u64>,
}

impl Event {
    /// What tells it from a step that reads the same.
    fn what_else(&self, other: &Event) -> String {
        let mut more = String::new();
        if self.object == other.object && self.object_id != other.object_id {
            let number = self.object_id.map_or("none".to_owned(), |id| id.to_string());
            let _ = write!(more, ", object number {number}");
        }
        if self.now_ns != other.now_ns {
            let _ = write!(more, ", at {} ns", self.now_ns);
        }
        if self.choices != other.choices {
            let _ = write!(more, ", after {} choices", self.choices);
        }
        more
    }
}

/// The steps of one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// The threads' names.
    pub threads: Vec<String>,
    /// The steps, in order.
    pub events: Vec<Event>,
    /// The hosts' names and addresses.
    pub hosts: Vec<(String, IpAddr)>,
    /// The datagrams, in the order of sending.
    pub packets: Vec<Packet>,
    /// For each thread its host, by number.
    pub thread_hosts: Vec<u32>,
    /// The names of locks, conditions, cells, resources and sockets, in the order in which they were made.
    pub objects: Vec<String>,
    /// When threads stopped to wait, in order.
    pub waits: Vec<Wait>,
    /// Among whom it was chosen who goes on, in order. Empty on loom, which chooses by itself.
    pub picks: Vec<Pick>,
}

/// A thread stopped to wait; its next step ends that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Who waits.
    pub thread: u32,
    /// How many steps there had been before.
    pub step: usize,
    /// For what.
    pub what: WaitedFor,
    /// When time ends the wait, in nanoseconds since the run began.
    pub deadline_ns: Option<u64>,
    /// Where, as `file:line`.
    pub site: String,
}

/// What a thread waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitedFor {
    /// This lock, as [`Trace::objects`] counts.
    Lock(u32),
    /// The end of this thread.
    End(u32),
    /// That somebody wakes it from this condition, channel or task.
    Wakeup(u32),
    /// Time alone.
    Time,
}

/// A choice of who goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pick {
    /// Which of the run's choices it was, from 0.
    pub choice: u64,
    /// Who could go on, by number; the answer says which of these did.
    pub options: Vec<u32>,
}

/// A datagram of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Counts the datagrams of a run, from 1.
    pub number: u64,
    /// Whence.
    pub from: SocketAddr,
    /// Whither.
    pub to: SocketAddr,
    /// When it was sent, in nanoseconds since the run began.
    pub sent_ns: u64,
    /// What was sent.
    pub bytes: Vec<u8>,
    /// What happened to it on the way.
    pub fate: Vec<String>,
    /// When it arrived, and as what: not at all, once, or as often as it was duplicated.
    pub arrivals: Vec<Arrival>,
}

/// A datagram's arrival.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// When, in nanoseconds since the run began.
    pub at_ns: u64,
    /// What arrived.
    pub bytes: Vec<u8>,
}

pub(crate) fn place(site: &Location<'_>) -> String {
    // Only the last folder: a path of the machine that built it says nothing to the reader.
    let file = site.file();
    let mut parts: Vec<&str> = file.rsplit(['/', '\\']).take(2).collect();
    parts.reverse();
    format!("{}:{}", parts.join("/"), site.line())
}

impl Trace {
    fn lane_name(&self, lane: u32) -> &str {
        match self.threads.get(lane as usize) {
            Some(name) => name,
            None if lane == NETWORK_LANE => "network",
            None => "?",
        }
    }

    /// The first step at which two runs differ, as a sentence.
    pub fn first_difference(&self, other: &Trace) -> Option<String> {
        let longest = self.events.len().max(other.events.len());
        (0..longest).find_map(|index| {
            let (mine, theirs) = (self.events.get(index), other.events.get(index));
            if mine == theirs {
                return None;
            }
            let tell = |trace: &Trace, event: Option<&Event>, other: Option<&Event>| match event {
                None => "nothing more".to_owned(),
                Some(event) => format!(
                    "{} {} {} at {}{}",
                    trace.lane_name(event.thread),
                    event.op.verb(),
                    event.object,
                    event.site,
                    other.map(|other| event.what_else(other)).unwrap_or_default()
                ),
            };
            Some(format!("step {index}: first {}, then {}", tell(self, mine, theirs), tell(other, theirs, mine)))
        })
    }
}
