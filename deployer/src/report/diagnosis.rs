//! Text form of a diagnosis.

use std::fmt::Write as _;

use crate::commands::doctor::{Diagnosis, Level};

/// Formats one line per check, with remedies below.
pub(super) fn diagnosis(diagnosis: &Diagnosis) -> String {
    let mut text = String::new();
    for finding in &diagnosis.findings {
        let found = finding.found.replace('\n', "\n    ");
        let level = finding.level.title();
        let _ = writeln!(text, "{level:<7}  {:<13}  {found}", finding.check);
        for remedy in &finding.remedies {
            let _ = writeln!(text, "           remedy: {remedy}");
        }
    }
    let count = |level: Level, what: &str| match diagnosis.count(level) {
        1 => format!("1 {what}"),
        many => format!("{many} {what}s"),
    };
    let (errors, warnings) = (
        count(Level::Error, "error"),
        count(Level::Warning, "warning"),
    );
    let verdict = if diagnosis.ready {
        "ready"
    } else {
        "not ready"
    };
    let _ = writeln!(text, "{verdict} to be deployed: {errors}, {warnings}");
    text
}
