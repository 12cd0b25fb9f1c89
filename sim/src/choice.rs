//! The choice sequence: every nondeterministic decision of a run, whatever the engine.

/// What a choice decides. In each kind, 0 is the dull answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// Which thread runs next; 0 keeps the current one.
    Schedule,
    /// Whether the earliest timer fires though something else could run; 0 does not.
    Timer,
    /// Which waiter a notification wakes; 0 is the one that has waited longest.
    Notify,
    /// A random number of the program; 0 is 0.
    Random,
    /// An input that the body enumerates with [`crate::choose`].
    Input,
    /// Which packet in flight arrives next, where the order of arrivals is explored; 0 is the one sent first, the last answer lets
    /// time pass first.
    Delivery,
    /// How long a packet takes beyond its link's latency, in steps of the link's jitter; 0 is not at all.
    Delay,
    /// Whether a packet is lost.
    Loss,
    /// Whether the link is in a burst of losses (the bad state of Gilbert and Elliott) when it carries the packet.
    Burst,
    /// Whether a packet arrives twice.
    Duplicate,
    /// Whether a packet is overtaken by the next.
    Reorder,
    /// Whether a packet is corrupted, and which of its bits flips.
    Corrupt,
    /// Whether a packet is cut short, and by how much.
    Truncate,
    /// Whether the link goes dark for a while.
    Outage,
}

impl Kind {
    /// How many codes there are, with 0, which none has.
    pub(crate) const CODES: usize = 15;

    pub(crate) const fn code(self) -> u8 {
        match self {
            Kind::Schedule => 1,
            Kind::Timer => 2,
            Kind::Notify => 3,
            Kind::Random => 4,
            Kind::Input => 5,
            Kind::Delivery => 6,
            Kind::Delay => 7,
            Kind::Loss => 8,
            Kind::Burst => 9,
            Kind::Duplicate => 10,
            Kind::Reorder => 11,
            Kind::Corrupt => 12,
            Kind::Truncate => 13,
            Kind::Outage => 14,
        }
    }

    /// Whether an answer other than 0 harms a packet.
    pub(crate) const fn is_fault(self) -> bool {
        matches!(self, Kind::Loss | Kind::Burst | Kind::Duplicate | Kind::Reorder | Kind::Corrupt | Kind::Truncate | Kind::Outage)
    }

    /// The name that timelines use.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Schedule => "schedule",
            Kind::Timer => "timer",
            Kind::Notify => "notify",
            Kind::Random => "random",
            Kind::Input => "input",
            Kind::Delivery => "delivery",
            Kind::Delay => "delay",
            Kind::Loss => "loss",
            Kind::Burst => "burst",
            Kind::Duplicate => "duplicate",
            Kind::Reorder => "reorder",
            Kind::Corrupt => "corrupt",
            Kind::Truncate => "truncate",
            Kind::Outage => "outage",
        }
    }
}

/// One decision of a run: of which kind, among how many, and the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// What was decided.
    pub kind: Kind,
    /// How many answers there were.
    pub arity: u64,
    /// The answer, below `arity`.
    pub value: u64,
    /// For [`Kind::Schedule`]: whether an answer other than 0 takes the processor from a thread that could go on.
    pub preempts: bool,
}

/// Mixes a value into a hash: one multiplication per value, as the hash is kept for every step of every run.
#[inline]
pub(crate) const fn mix(hash: u64, value: u64) -> u64 {
    (hash.rotate_left(5) ^ value).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// The hash of the kinds and arities of a run's choices: what a token carries to notice that the exhibit has changed.
pub(crate) fn shape(choices: &[Choice]) -> u32 {
    let hash = choices.iter().fold(0x676c_6172, |hash, choice| mix(mix(hash, u64::from(choice.kind.code())), choice.arity));
    (hash ^ (hash >> 32)) as u32
}

/// How many choices of a run were not dull.
pub fn deviating(choices: &[Choice]) -> usize {
    choices.iter().filter(|choice| choice.value != 0).count()
}

/// How often a run took the processor from a thread that could go on.
pub fn preemptions(choices: &[Choice]) -> u32 {
    choices.iter().filter(|choice| choice.preempts && choice.value != 0).count() as u32
}
