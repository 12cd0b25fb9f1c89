//! `--junit`: the rows as the XML that CI servers read, a suite for each exhibit.

use super::{Failure, Row};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use std::time::Duration;

/// The whole file. `missing`: so many checks were not come to.
pub(crate) fn report(rows: &[Row], missing: usize, took: Duration) -> Result<Vec<u8>, Failure> {
    let mut report = Report::new("glare");
    report.set_time(took);
    let mut suites: Vec<TestSuite> = Vec::new();
    for row in rows {
        if suites.last().is_none_or(|suite| suite.name.as_str() != row.exhibit) {
            suites.push(TestSuite::new(row.exhibit.as_str()));
        }
        if let Some(suite) = suites.last_mut() {
            suite.add_test_case(case(row));
        }
    }
    if missing > 0 {
        let mut suite = TestSuite::new("not run");
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status.set_message(format!("the run was interrupted, and {missing} checks were not come to"));
        suite.add_test_case(TestCase::new("interrupted", status));
        suites.push(suite);
    }
    report.add_test_suites(suites);
    let mut text = Vec::new();
    report.serialize(&mut text).map_err(|error| Failure::System(error.to_string()))?;
    Ok(text)
}

fn case(row: &Row) -> TestCase {
    let came_to = row.detector.as_deref().or(row.verdict.as_deref());
    let status = match came_to {
        None => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(row.detail.as_deref().unwrap_or_default());
            status
        }
        Some(_) if row.is_as_expected() => TestCaseStatus::success(),
        Some(came_to) => {
            let wanted = row.expected_detector.as_deref().unwrap_or(&row.expected);
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_type(came_to).set_message(format!("expected {wanted}, got {came_to}"));
            let token = row.token.as_deref().map(|token| format!("\nglare replay '{token}'")).unwrap_or_default();
            status.set_description(format!("{}{token}", row.detail.as_deref().unwrap_or_default()));
            status
        }
    };
    let mut case = TestCase::new(format!("{} on {}", row.subject, row.engine), status);
    case.set_classname(row.exhibit.as_str()).set_time(Duration::from_millis(row.wall_ms));
    case
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(verdict: Option<&str>, expected: &str) -> Row {
        Row {
            exhibit: "an-exhibit".into(),
            subject: "<stack>".into(),
            engine: "loom".into(),
            expected: expected.into(),
            verdict: verdict.map(str::to_owned),
            detail: Some("found & shown".into()),
            token: Some("glare1:x".into()),
            ..Row::default()
        }
    }

    #[test]
    fn what_is_not_as_expected_fails_and_what_was_not_run_is_skipped() {
        let rows = [row(Some("clean"), "clean"), row(Some("caught"), "clean"), row(None, "not run")];
        let text = report(&rows, 2, Duration::from_secs(1)).expect("rows are text");
        let text = String::from_utf8(text).expect("XML is text");
        for part in [
            r#"<testsuite name="an-exhibit" tests="3" skipped="1" errors="0" failures="1""#,
            r#"name="&lt;stack&gt; on loom" classname="an-exhibit""#,
            r#"message="expected clean, got caught" type="caught""#,
            "found &amp; shown\nglare replay &apos;glare1:x&apos;",
            "2 checks were not come to",
        ] {
            assert!(text.contains(part), "expected {part} in:\n{text}");
        }
    }
}
