//! Every two operations of our endpoint at once.

use super::production::{Operation, drive_pair};
use crate::exhibit::Subject;

pub(super) fn subjects() -> Vec<Subject> {
    crate::pairs!(drive_pair, [
        "read" => Operation::Read,
        "make" => Operation::Make,
        "hangup" => Operation::HangUp,
        "state" => Operation::State,
        "usage" => Operation::Usage,
        "input" => Operation::Input,
        "close" => Operation::Close,
    ])
}
