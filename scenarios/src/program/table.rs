//! The table of rows.

use super::Row;
use std::time::Duration;

const HEADINGS: [&str; 9] = ["exhibit", "subject", "engine", "bounds", "verdict", "detector", "schedules", "time", "token"];

/// The rows under each other. What is not as expected is marked and explained below.
pub(crate) fn render(rows: &[Row]) -> String {
    let cells: Vec<[String; 9]> = rows.iter().map(cells).collect();
    let mut widths = HEADINGS.map(str::len);
    for row in &cells {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = line(&HEADINGS.map(str::to_owned), &widths);
    for row in &cells {
        out.push_str(&line(row, &widths));
    }
    let wrong: Vec<&Row> = rows.iter().filter(|row| !row.is_as_expected()).collect();
    if !wrong.is_empty() {
        out.push_str("\nnot as expected:\n");
    }
    for row in wrong {
        let detector = row.expected_detector.as_ref().map(|detector| format!(" by {detector}")).unwrap_or_default();
        let got = row.detail.as_deref().or(row.verdict.as_deref()).unwrap_or("nothing");
        out.push_str(&format!(
            "  {}/{} on {}: expected {}{detector}, got {got}\n",
            row.exhibit, row.subject, row.engine, row.expected
        ));
    }
    let covered: Vec<&Row> = rows.iter().filter(|row| row.subject.starts_with("stack") && row.coverage.is_some()).collect();
    if !covered.is_empty() {
        out.push_str("\ncoverage of our own stack:\n");
    }
    for row in covered {
        let coverage = row.coverage.as_deref().unwrap_or_default();
        out.push_str(&format!("  {}/{} on {}: {coverage}\n", row.exhibit, row.subject, row.engine));
    }
    out
}

/// How many were as expected, and how many were not run.
pub(crate) fn summary(rows: &[Row], interrupted: usize, wall: Duration) -> String {
    let skipped = rows.iter().filter(|row| row.verdict.is_none()).count();
    let wrong = rows.iter().filter(|row| !row.is_as_expected()).count();
    let right = rows.len() - wrong - skipped;
    let mut text = format!("{right} as expected, {wrong} not as expected, {skipped} skipped, in {:.1} s", wall.as_secs_f64());
    if interrupted > 0 {
        text.push_str(&format!("; interrupted before {interrupted} more"));
    }
    text
}

fn cells(row: &Row) -> [String; 9] {
    let verdict = match (&row.verdict, row.expected.as_str()) {
        (None, _) => "not run".to_owned(),
        (Some(_), "unseen") if row.is_as_expected() => "unseen".to_owned(),
        (Some(verdict), _) if row.is_as_expected() => verdict.clone(),
        (Some(verdict), _) => format!("{verdict} (!)"),
    };
    let strategy = row.strategy.as_deref().unwrap_or_default();
    let bounds = match (&row.bounds, row.exhaustive) {
        (Some(bounds), true) => format!("exhaustive: {bounds}"),
        (Some(bounds), false) => bounds.clone(),
        (None, _) => strategy.to_owned(),
    };
    [
        row.exhibit.clone(),
        row.subject.clone(),
        row.engine.clone(),
        bounds,
        verdict,
        row.detector.clone().unwrap_or_default(),
        row.schedules.to_string(),
        format!("{:.2}s", row.wall_ms as f64 / 1000.0),
        match &row.token {
            Some(token) => token.clone(),
            None if matches!(row.expected.as_str(), "unseen" | "not run") => {
                format!("({})", row.detail.as_deref().unwrap_or_default())
            }
            None => String::new(),
        },
    ]
}

fn line(cells: &[String; 9], widths: &[usize; 9]) -> String {
    let padded: Vec<String> = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
    format!("{}\n", padded.join("  ").trim_end())
}
