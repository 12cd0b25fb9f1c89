//! What strategies know of a step before it happens.

use crate::trace::Op;

/// The next step of a thread: on which object, and whether it changes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) object: Option<u32>,
    pub(crate) writes: bool,
    /// Which place in the code made the object, numbered as the check met them.
    pub(crate) class: Option<u32>,
}

impl Step {
    /// A step that concerns nobody else.
    pub(crate) const LOCAL: Step = Step { object: None, writes: false, class: None };

    pub(crate) const fn new(op: Op, object: Option<u32>, class: Option<u32>) -> Self {
        let writes = !matches!(op, Op::Load | Op::CellRead | Op::Use);
        Step { object, writes, class }
    }

    /// Whether it matters which of the two comes first.
    pub(crate) fn conflicts(self, other: Step) -> bool {
        self.object.is_some() && self.object == other.object && (self.writes || other.writes)
    }
}
