//! Output of a monitoring plugin: status, text, and performance data after a `|`. Pure.

use std::cmp::Reverse;
use std::fmt::Write as _;

use clock::{InstanceReport, Kind};

use crate::exit::Exit;
use crate::human;
use crate::series::{Finding, State};

/// Longest line in bytes, but for a note at its end. Nagios cuts output at 8 KiB.
const LONGEST_LINE: usize = 8_000;
/// Maximum number of targets that are named with their problem.
const NAMED: usize = 5;

/// Result of one target.
#[derive(Debug, Clone)]
pub(crate) struct Result {
    state: State,
    text: String,
    name: String,
    figures: Vec<(&'static str, String)>,
}

impl Result {
    pub(crate) fn new(finding: &Finding) -> Self {
        let report = &finding.report;
        let mut figures = Vec::new();
        let seconds = |milliseconds: f64| format!("{:.6}s", milliseconds / 1000.0);
        let worst = human::furthest(report);
        if let Some(offset) = worst.and_then(|one: &InstanceReport| one.offset_ms) {
            let limit = report.max_skew_ms / 1000.0;
            // Performance data is `value;warn;crit;min;max`. `-L:L` is the range that is not
            // critical.
            figures.push(("offset", format!("{};;-{limit}:{limit}", seconds(offset))));
        }
        if let Some(uncertainty) = worst.and_then(|one| one.uncertainty_ms) {
            figures.push(("uncertainty", seconds(uncertainty)));
        }
        if let Some(latency) = report.latency_ms {
            // No thresholds, because no limit exists for the latency; only the minimum of 0.
            figures.push(("latency", format!("{};;;0", seconds(latency))));
        }
        if let Some(certificate) = &report.certificate {
            figures.push(("certificate_days", certificate.days.to_string()));
        }
        if report.kind == Kind::Clock || !report.instances.is_empty() {
            figures.push(("instances", report.instances.len().to_string()));
        }
        let mut text = human::details(report);
        if text.is_empty() {
            "no details".clone_into(&mut text);
        }
        Self {
            state: finding.state,
            // Everything after a `|` would be parsed as performance data.
            text: text.replace('|', "/").replace(human::SEPARATOR, ", "),
            name: report.name(),
            figures,
        }
    }
}

/// Formats one line for all results, with the worst one's text. Includes the target's name unless
/// the results are all targets.
pub(crate) fn line(results: &[Result], are_all: bool) -> String {
    let Some(worst) = results.iter().max_by_key(|result| result.state) else {
        return "CHECKER UNKNOWN - nothing was checked".to_owned();
    };
    let word = match Exit::from(worst.state) {
        Exit::Ok => "OK",
        Exit::Warning => "WARNING",
        Exit::Critical => "CRITICAL",
        Exit::Unknown => "UNKNOWN",
    };
    let several = results.len() > 1;
    let mut line = format!("CHECKER {word} - ");
    if several {
        let good = results
            .iter()
            .filter(|result| result.state == State::Ok)
            .count();
        let _ = write!(line, "{good} of {} targets OK", results.len());
        let mut bad: Vec<_> = results.iter().filter(|it| it.state != State::Ok).collect();
        // A stable sort keeps the order within a state.
        bad.sort_by_key(|result| Reverse(result.state));
        for result in bad.iter().take(NAMED) {
            let _ = write!(line, ", {}: {}", result.name, result.text);
        }
        if bad.len() > NAMED {
            let _ = write!(line, ", and {} more", bad.len() - NAMED);
        }
    } else if are_all {
        line.push_str(&worst.text);
    } else {
        let _ = write!(line, "{}: {}", worst.name, worst.text);
    }
    let mut figures = String::new();
    let mut omitted = 0;
    for result in results {
        // Graphs are kept by label, so a label must not depend on the other targets.
        let of_target = result.figures.iter().map(|(name, figure)| {
            if several {
                let target = result.name.replace(['\'', '='], "_");
                format!(" '{target}::{name}'={figure}")
            } else {
                format!(" {name}={figure}")
            }
        });
        let of_target: String = of_target.collect();
        if omitted > 0 || line.len() + figures.len() + of_target.len() > LONGEST_LINE {
            omitted += 1;
        } else {
            figures.push_str(&of_target);
        }
    }
    if omitted > 0 {
        let _ = write!(line, ", figures of {omitted} targets have no room");
    }
    format!("{line} |{figures}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::human::tests::finding;
    use crate::samples::{down, report, without_clock};
    use clock::Verdict;

    #[test]
    fn a_line_for_one_and_a_line_for_many() {
        let good = Result::new(&finding(report(Verdict::Ok)));
        let mut bad = down();
        bad.cause = Some("answered `a|b`".to_owned());
        let bad = Result::new(&finding(bad));
        let lines = [
            line(std::slice::from_ref(&good), true),
            line(std::slice::from_ref(&bad), true),
            line(std::slice::from_ref(&bad), false),
            line(&[good, bad], true),
            line(&[Result::new(&finding(without_clock()))], true),
            line(&[], true),
        ];
        insta::assert_snapshot!(lines.join("\n"));
    }
}
