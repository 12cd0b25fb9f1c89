//! Names that were mistyped: which ones are near.

/// What to say of a name that is none of `known`.
pub(crate) fn unknown<'a>(what: &str, got: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let mut known: Vec<&str> = known.into_iter().collect();
    known.sort_unstable();
    known.dedup();
    let mut near: Vec<(usize, &str)> = known
        .iter()
        .map(|name| (distance(got, name), *name))
        .filter(|(distance, name)| *distance <= 2.max(name.len() / 3) || name.contains(got) && !got.is_empty())
        .collect();
    near.sort_unstable();
    let near: Vec<&str> = near.into_iter().take(5).map(|(_, name)| name).collect();
    match near.is_empty() {
        true => format!("there is no {what} `{got}`; there are: {}", known.join(", ")),
        false => format!("there is no {what} `{got}`; did you mean {}?", near.join(", ")),
    }
}

/// How many letters must be put in, taken out or changed (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_come_first() {
        let known = ["double-clock-stop", "canary", "retransmit-join"];
        assert_eq!(
            unknown("exhibit", "double-clok-stop", known),
            "there is no exhibit `double-clok-stop`; did you mean double-clock-stop?"
        );
        assert_eq!(unknown("exhibit", "clock", known), "there is no exhibit `clock`; did you mean double-clock-stop?");
        assert!(unknown("exhibit", "zzz", known).contains("there are: canary, double-clock-stop"));
    }

    #[test]
    fn distances() {
        for (a, b, expected) in [("", "", 0), ("a", "", 1), ("abc", "abc", 0), ("abc", "acb", 2), ("loom", "loon", 1)] {
            assert_eq!((distance(a, b), distance(b, a)), (expected, expected), "{a} {b}");
        }
    }
}
