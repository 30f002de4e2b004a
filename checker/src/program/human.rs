//! Lines for people: pure text.

use crate::program::summary::Summary;
use crate::report::{InstanceReport, Note, Report};
use crate::units::{magnitude, signed};

const SEPARATOR: &str = "   ";

/// One check.
pub(crate) fn check(report: &Report, missed_ticks: u64) -> String {
    let seconds = report.started_at.split('.').next().unwrap_or_default();
    let mut parts = vec![format!("{seconds}Z {:<7}", report.verdict.name())];
    parts.extend(report.cause.clone());
    parts.extend(offset(report));
    parts.extend(
        report
            .latency_ms
            .map(|latency| format!("latency {}", magnitude(latency))),
    );
    match report.instances.len() {
        0 => {}
        1 => parts.push("1 instance".to_owned()),
        several => parts.push(format!("{several} instances")),
    }
    parts.extend(versions(report));
    for note in &report.notes {
        parts.push(
            match note {
                Note::NonceNotEchoed => "no nonce echoed",
                Note::InstanceNotNamed => "no instance named",
            }
            .to_owned(),
        );
    }
    match missed_ticks {
        0 => {}
        1 => parts.push("1 tick missed".to_owned()),
        several => parts.push(format!("{several} ticks missed")),
    }
    parts.push(report.url.clone());
    parts.join(SEPARATOR)
}

/// A series of checks.
pub(crate) fn summary(summary: &Summary) -> String {
    let checks = match summary.checks {
        1 => "1 check".to_owned(),
        several => format!("{several} checks"),
    };
    let mut parts = vec![checks];
    parts.extend(summary.up_percent.map(|up| format!("up {up:.3} %")));
    for (count, name) in [
        (summary.down, "down"),
        (summary.skewed, "skewed"),
        (summary.indeterminate, "indeterminate"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {name}"));
        }
    }
    parts.extend(summary.latency_ms.map(|latency| {
        format!(
            "latency median {}, 95 % {}, max {}",
            magnitude(latency.median),
            magnitude(latency.p95),
            magnitude(latency.max)
        )
    }));
    parts.extend(
        summary
            .offset_ms
            .map(|range| format!("offset {} to {}", signed(range.min), signed(range.max))),
    );
    parts.push(format!("missed ticks {}", summary.missed_ticks));
    parts.join(SEPARATOR)
}

/// Of the clock that is furthest off.
fn offset(report: &Report) -> Option<String> {
    let furthest = |one: &InstanceReport| one.offset_ms.map(f64::abs);
    let worst = report
        .instances
        .iter()
        .filter(|one| one.offset_ms.is_some())
        .max_by(|a, b| {
            let (a, b) = (furthest(a), furthest(b));
            a.unwrap_or_default().total_cmp(&b.unwrap_or_default())
        })?;
    Some(format!(
        "offset {} ± {}",
        signed(worst.offset_ms?),
        magnitude(worst.uncertainty_ms?)
    ))
}

fn versions(report: &Report) -> Option<String> {
    let mut versions: Vec<&str> = report
        .instances
        .iter()
        .filter_map(|one| one.version.as_deref())
        .collect();
    versions.sort_unstable();
    versions.dedup();
    match versions.as_slice() {
        [] => None,
        [version] => Some(format!("version {version}")),
        several => Some(format!("versions {}", several.join(", "))),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::verdict::{Reason, Verdict};

    pub(crate) fn undecided(reason: Reason) -> Verdict {
        Verdict::Indeterminate { reason }
    }

    pub(crate) fn report(verdict: Verdict) -> Report {
        let instance = |name: &str, offset_ms| InstanceReport {
            instance: Some(name.to_owned()),
            version: Some("0.1.0+abc".to_owned()),
            verdict: Verdict::Ok,
            lo_ms: Some(offset_ms - 0.9),
            hi_ms: Some(offset_ms + 0.9),
            offset_ms: Some(offset_ms),
            uncertainty_ms: Some(0.9),
            samples: 1,
        };
        Report {
            started_at: "2026-11-22T10:04:05.678Z".to_owned(),
            url: "http://example.test/now".to_owned(),
            connect_to: None,
            verdict,
            cause: None,
            max_skew_ms: 1000.0,
            latency_ms: Some(1.8),
            connect_latency_ms: Some(2.2),
            requests: 2,
            discarded: 0,
            instances: vec![instance("a", 0.4), instance("b", -0.2)],
            notes: Vec::new(),
        }
    }

    #[test]
    fn a_check_is_one_line() {
        let mut down = report(Verdict::Down);
        down.latency_ms = None;
        down.instances.clear();
        down.cause = Some("connection refused by 127.0.0.1:80".to_owned());
        let mut skewed = report(Verdict::Skewed);
        skewed.cause = Some("the clock of instance `a` is at least 1.099 s ahead".to_owned());
        skewed.instances[0].offset_ms = Some(1100.0);
        skewed.instances[1].version = Some("0.2.0".to_owned());
        let mut doubtful = report(undecided(Reason::Borderline));
        doubtful.cause = Some("too near to the limit of 1 s".to_owned());
        doubtful.notes = vec![Note::NonceNotEchoed, Note::InstanceNotNamed];
        doubtful.instances.truncate(1);
        let lines = [
            check(&report(Verdict::Ok), 0),
            check(&down, 1),
            check(&skewed, 2),
            check(&doubtful, 0),
        ]
        .join("\n");
        insta::assert_snapshot!(lines, @r"
        2026-11-22T10:04:05Z OK        offset +0.4 ms ± 0.9 ms   latency 1.8 ms   2 instances   version 0.1.0+abc   http://example.test/now
        2026-11-22T10:04:05Z DOWN      connection refused by 127.0.0.1:80   1 tick missed   http://example.test/now
        2026-11-22T10:04:05Z SKEWED    the clock of instance `a` is at least 1.099 s ahead   offset +1.100 s ± 0.9 ms   latency 1.8 ms   2 instances   versions 0.1.0+abc, 0.2.0   2 ticks missed   http://example.test/now
        2026-11-22T10:04:05Z UNKNOWN   too near to the limit of 1 s   offset +0.4 ms ± 0.9 ms   latency 1.8 ms   1 instance   version 0.1.0+abc   no nonce echoed   no instance named   http://example.test/now
        ");
    }

    #[test]
    fn a_summary_is_one_line() {
        let mut tally = crate::program::summary::Tally::default();
        assert_eq!(summary(&tally.summary()), "0 checks   missed ticks 0");
        tally.add(&report(Verdict::Ok));
        tally.add(&report(Verdict::Skewed));
        insta::assert_snapshot!(summary(&tally.summary()), @"2 checks   up 100.000 %   1 skewed   latency median 1.8 ms, 95 % 1.8 ms, max 1.8 ms   offset -0.2 ms to +0.4 ms   missed ticks 0");
    }
}
