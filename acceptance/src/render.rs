//! The report as Markdown.

use std::fmt::Write as _;

use crate::report::{MadeOn, Report, Step, Verdict};

/// Renders a report.
pub(crate) fn markdown(report: &Report) -> String {
    let mut text = String::from("# Acceptance report\n\n");
    let made_on = match report.made_on {
        MadeOn::Aws => "Made on AWS.",
        MadeOn::Emulator => {
            "**Made on the emulator**, on one machine, without an AWS account: its times are not those of AWS, and it proves nothing about AWS."
        }
        MadeOn::Unknown => "The run ended before anything was deployed.",
    };
    let region = report.region.as_deref().unwrap_or("none");
    let _ = writeln!(text, "{made_on}\n");
    let _ = writeln!(
        text,
        "| | |\n|---|---|\n| Verdict | {} |\n| Started | {} |\n| Duration | {} |\n| Deployer | {} |\n| Region | {region} |\n| Left behind | {} |",
        report.verdict.name(),
        report.started,
        duration(report.seconds),
        report.version,
        left(report),
    );
    for (network, cost) in &report.cost_per_hour {
        let cost = cost.map_or_else(|| "unknown".to_owned(), |cost| format!("${cost:.3}"));
        let _ = writeln!(text, "| Cost an hour, {network} tasks | {cost} |");
    }
    if let Some(why) = &report.ended_early {
        let _ = writeln!(text, "\nThe run ended early: {}", cell(why));
    }
    steps(&mut text, report);
    claims(&mut text, report);
    differences(&mut text, report);
    text
}

fn left(report: &Report) -> String {
    match (&report.left, report.nothing_is_left) {
        (_, true) => "nothing".to_owned(),
        (Some(stack), false) => format!("**perhaps stack `{stack}`**"),
        (None, false) => "**perhaps something**".to_owned(),
    }
}

fn steps(text: &mut String, report: &Report) {
    text.push_str(
        "\n## Steps\n\n| Step | Verdict | Time | Requests | Failed |\n|---|---|---|---|---|\n",
    );
    for step in &report.steps {
        let (sent, failed) = step.requests.map_or_else(Default::default, |requests| {
            (requests.sent.to_string(), requests.failed.to_string())
        });
        let time = if step.verdict == Verdict::NotRun {
            String::new()
        } else {
            duration(step.seconds)
        };
        let _ = writeln!(
            text,
            "| `{}` {} | {} | {time} | {sent} | {failed} |",
            step.name,
            step.title,
            step.verdict.name()
        );
    }
    text.push_str("\n## Evidence\n");
    for step in report.steps.iter().filter(|step| !step.evidence.is_empty()) {
        let _ = writeln!(text, "\n### {}\n", step.title);
        for line in &step.evidence {
            let _ = writeln!(text, "- {}", cell(line));
        }
        if !step.phases.is_empty() {
            let _ = writeln!(text, "- Phases: {}", phases(step));
        }
    }
}

fn phases(step: &Step) -> String {
    let phases = step.phases.iter();
    let phases: Vec<_> = phases
        .map(|phase| format!("{} {:.1} s", phase.phase, phase.seconds))
        .collect();
    phases.join(", ")
}

fn claims(text: &mut String, report: &Report) {
    text.push_str(
        "\n## What only an AWS account can prove\n\n| Statement | Verdict | Why |\n|---|---|---|\n",
    );
    for claim in &report.claims {
        let _ = writeln!(
            text,
            "| {} | {} | {} |",
            cell(&claim.statement),
            claim.verdict.name(),
            cell(&claim.why)
        );
    }
}

fn differences(text: &mut String, report: &Report) {
    let Some(differences) = &report.differences else {
        return;
    };
    text.push_str("\n## Differences to the reference\n\n");
    if differences.is_empty() {
        text.push_str("None, in verdicts and observations.\n");
        return;
    }
    text.push_str("| Step | | Reference | Here |\n|---|---|---|---|\n");
    for difference in differences {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} |",
            difference.step,
            difference.what,
            cell(&difference.reference),
            cell(&difference.here)
        );
    }
}

/// Makes others' text safe within a table and a list.
fn cell(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.replace('|', "\\|").replace('<', "&lt;")
}

/// Renders seconds.
fn duration(seconds: f64) -> String {
    if seconds < 120.0 {
        format!("{seconds:.1} s")
    } else {
        format!("{:.1} min", seconds / 60.0)
    }
}

/// Replaces what only this machine or account knows: the project's folder and account ids.
pub(crate) fn redact(text: &str, root: &str) -> String {
    let text = text.replace(root, ".");
    let mut result = String::with_capacity(text.len());
    let mut digits = String::new();
    for character in text.chars().chain(std::iter::once('\0')) {
        if character.is_ascii_digit() {
            digits.push(character);
            continue;
        }
        result.push_str(if digits.len() == 12 {
            "ACCOUNT"
        } else {
            &digits
        });
        digits.clear();
        if character != '\0' {
            result.push(character);
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::report;
    use crate::report::{Difference, Requests};

    #[test]
    fn a_report_of_the_emulator_says_so() {
        let text = markdown(&report(MadeOn::Emulator, &["create"]));
        assert!(text.contains("**Made on the emulator**"));
        assert!(!markdown(&report(MadeOn::Aws, &[])).contains("emulator"));
    }

    #[test]
    fn steps_show_requests_and_others_text_breaks_no_table() {
        let mut report = report(MadeOn::Aws, &["change"]);
        report.steps[0].requests = Some(Requests {
            sent: 80,
            failed: 1,
        });
        report.steps[0].evidence = vec!["a | b\n<script>".to_owned()];
        report.differences = Some(vec![Difference {
            step: "change".to_owned(),
            what: "kind".to_owned(),
            reference: "a|b".to_owned(),
            here: "c".to_owned(),
        }]);
        let text = markdown(&report);
        assert!(text.contains("| passed | 0.0 s | 80 | 1 |"), "{text}");
        assert!(text.contains("- a \\| b &lt;script>\n"), "{text}");
        assert!(text.contains("| change | kind | a\\|b | c |"), "{text}");
    }

    #[test]
    fn what_may_be_left_is_named() {
        let mut report = report(MadeOn::Aws, &[]);
        report.nothing_is_left = false;
        report.left = Some("acceptance-1".to_owned());
        assert!(markdown(&report).contains("**perhaps stack `acceptance-1`**"));
    }

    #[test]
    fn accounts_and_folders_are_not_told() {
        let told = redact(
            "/src/project/app in 123456789012: 1234567890123, 12",
            "/src/project",
        );
        assert_eq!(told, "./app in ACCOUNT: 1234567890123, 12");
        assert_eq!(redact("123456789012", "/x"), "ACCOUNT");
    }
}
