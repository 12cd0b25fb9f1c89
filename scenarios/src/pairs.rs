//! Our stack under every two operations at once: a subject for each pair of a list, and for each operation with itself.

use crate::exhibit::{Expected, On, Subject};

/// The subject of one pair: on loom, exhaustive within the default bounds, and only where pairs are asked for.
pub fn pair(name: &'static str, about: &'static str, body: fn()) -> Subject {
    Subject::new(name, about, vec![On::loom(Expected::Clean).as_pair()], body)
}

/// `pairs!(drive, [name => operation, ...])`: the subjects `stack-<a>-<b>` of all pairs, as a vector. `drive(a, b)` is one run. A name is
/// a literal, an operation a constant expression.
#[macro_export]
macro_rules! pairs {
    ($drive:path, [$($name:literal => $operation:expr),+ $(,)?]) => {{
        let mut subjects: Vec<$crate::exhibit::Subject> = Vec::new();
        $crate::pairs!(@rest subjects, $drive, [$($name => $operation),+]);
        subjects
    }};
    (@rest $subjects:ident, $drive:path, []) => {};
    (@rest $subjects:ident, $drive:path, [$name:literal => $operation:expr $(, $names:literal => $operations:expr)*]) => {
        $crate::pairs!(@with $subjects, $drive, $name => $operation, [$name => $operation $(, $names => $operations)*]);
        $crate::pairs!(@rest $subjects, $drive, [$($names => $operations),*]);
    };
    (@with $subjects:ident, $drive:path, $name:literal => $operation:expr, [$($names:literal => $operations:expr),+]) => {
        $subjects.extend([$($crate::pairs::pair(
            concat!("stack-", $name, "-", $names),
            concat!("ours: ", $name, " || ", $names),
            || $drive($operation, $operations),
        )),+]);
    };
}

#[cfg(test)]
mod tests {
    fn drive(a: u8, b: u8) {
        sim::choose(u64::from(a + b));
    }

    #[test]
    fn every_pair_is_there_once() {
        let subjects = crate::pairs!(drive, ["a" => 1, "b" => 2, "c" => 3]);
        let names: Vec<&str> = subjects.iter().map(|subject| subject.name).collect();
        assert_eq!(names, ["stack-a-a", "stack-a-b", "stack-a-c", "stack-b-b", "stack-b-c", "stack-c-c"]);
        assert!(subjects.iter().all(|subject| subject.on.iter().all(|on| on.is_pair)));
    }
}
