//! Text output for people. Pure.

use clock::units::{magnitude, signed};
use clock::{InstanceReport, Kind, Note, Report, Utc, Verdict};

use crate::series::{Crossing, Finding, Outage, Summary, Trend};

/// Separator between the parts of a line.
pub(crate) const SEPARATOR: &str = "   ";

/// Formats a check.
pub(crate) fn check(finding: &Finding) -> String {
    let report = &finding.report;
    // Whole seconds are enough for people. JSON output has the milliseconds.
    let seconds = report.started_at.split('.').next().unwrap_or_default();
    // The line shows the check's own result. The confirmed state is added if it differs.
    let single = crate::series::State::of(report);
    let mut parts = vec![format!("{seconds}Z {:<7}", single.name())];
    if single != finding.state {
        parts.push(format!("(still {})", finding.state.name()));
    }
    parts.push(details(report));
    parts.extend(finding.trends.iter().filter_map(forecast));
    parts.extend(finding.outage.as_ref().map(outage));
    match finding.tick.missed {
        0 => {}
        1 => parts.push("1 tick missed".to_owned()),
        several => parts.push(format!("{several} ticks missed")),
    }
    // Last, because names differ in length and would misalign the other columns.
    parts.push(report.name());
    // `details` may be empty, which would double the separator.
    parts.retain(|part| !part.is_empty());
    parts.join(SEPARATOR)
}

/// Formats the findings of a check, without time and target.
pub(crate) fn details(report: &Report) -> String {
    let mut parts = Vec::new();
    parts.extend(report.cause.clone());
    parts.extend(offset(report));
    parts.extend(status(report));
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
                Note::DateHeader => "time of the Date header",
                Note::Cached => "from a cache",
                Note::InstanceNotNamed => "no instance named",
            }
            .to_owned(),
        );
    }
    if let Some(reference) = &report.reference {
        parts.extend(reference.utc.map(|Utc { lo_ms, hi_ms }| {
            format!("against UTC {} to {}", signed(lo_ms), signed(hi_ms))
        }));
        let falsetickers = reference.falsetickers.iter();
        parts.extend(falsetickers.map(|server| format!("{server} is a falseticker")));
    }
    if let Some(failure) = report.reference.as_ref().and_then(|reference| {
        reference
            .failure
            .as_ref()
            .map(|failure| (reference, failure))
    }) {
        let (reference, failure) = failure;
        parts.push(format!("no time from {}: {failure}", reference.server));
    }
    parts.join(SEPARATOR)
}

/// Formats the forecast of a drifting clock.
fn forecast(trend: &Trend) -> Option<String> {
    let Crossing {
        limit_ms,
        soonest_s,
        latest_s,
    } = trend.crosses?;
    let between = match (span(soonest_s), span(latest_s)) {
        // Bounds that round to the same text are shown once.
        (soonest, latest) if soonest == latest => soonest,
        (soonest, latest) => format!("{soonest} to {latest}"),
    };
    let whose = trend
        .instance
        .as_ref()
        .map_or_else(String::new, |name| format!("instance `{name}` "));
    Some(format!("{whose}crosses {} in {between}", signed(limit_ms)))
}

/// Formats a duration for people: `3 days`, `5 h`.
pub(crate) fn span(seconds: f64) -> String {
    let table = [(86_400.0, "days"), (3_600.0, "h"), (60.0, "min")];
    table
        .into_iter()
        // From two of a unit on: `90 min` says more than `2 h`.
        .find(|(unit, _)| seconds >= 2.0 * unit)
        .map_or_else(
            || format!("{seconds:.0} s"),
            |(unit, name)| format!("{:.0} {name}", seconds / unit),
        )
}

fn outage(outage: &Outage) -> String {
    let seconds = |milliseconds: f64| span(milliseconds / 1000.0);
    format!(
        "was down for {} to {}",
        seconds(outage.downtime.proven_ms),
        seconds(outage.downtime.possible_ms)
    )
}

/// Formats the summary of a series.
pub(crate) fn summary(summary: &Summary, with_name: bool) -> String {
    let checks = match summary.checks {
        1 => "1 check".to_owned(),
        several => format!("{several} checks"),
    };
    let mut parts = Vec::new();
    if with_name {
        parts.push(summary.name());
    }
    parts.push(checks);
    if let Some(uptime) = summary.uptime_percent {
        // Equal once rounded to three decimals.
        let same = (uptime.at_least - uptime.at_most).abs() < 0.000_5;
        parts.push(if same {
            format!("up {:.3} %", uptime.at_least)
        } else {
            format!("up {:.3} to {:.3} %", uptime.at_least, uptime.at_most)
        });
    }
    // Counts of zero are left out, so that the summary of a good series stays short.
    for (count, name) in [
        (summary.down, "down"),
        (summary.skewed, "skewed"),
        (summary.indeterminate, "indeterminate"),
        (summary.warnings, "with warnings"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {name}"));
        }
    }
    if summary.outages > 0 {
        let outages = match summary.outages {
            1 => "1 outage".to_owned(),
            several => format!("{several} outages"),
        };
        let seconds = |milliseconds: f64| span(milliseconds / 1000.0);
        parts.push(format!(
            "{outages} of {} to {}",
            seconds(summary.downtime.proven_ms),
            seconds(summary.downtime.possible_ms)
        ));
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

/// Formats the HTTP status of a check without a clock.
pub(crate) fn status(report: &Report) -> Option<String> {
    // With a clock, the offset says more; if the service is down, the cause does.
    let is_told = report.kind == Kind::Http && report.verdict != Verdict::Down;
    let status = report.status.filter(|_| is_told)?;
    Some(format!("HTTP {status}"))
}

/// Returns the instance whose clock is furthest off.
pub(crate) fn furthest(report: &Report) -> Option<&InstanceReport> {
    let distance = |one: &InstanceReport| one.offset_ms.map_or(0.0, f64::abs);
    report
        .instances
        .iter()
        // An instance whose samples contradict each other has no offset.
        .filter(|one| one.offset_ms.is_some())
        // `f64` is not `Ord`, so `max_by_key` does not apply.
        .max_by(|a, b| distance(a).total_cmp(&distance(b)))
}

/// Formats the offset of that instance.
pub(crate) fn offset(report: &Report) -> Option<String> {
    let worst = furthest(report)?;
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
    // Sorted first, because `dedup` only removes neighbours.
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
    use crate::samples::{down, instance, record, report, undecided, without_clock};
    use crate::series::{Downtime, State, Tick};
    use clock::Reason;

    /// A check without a past.
    pub(crate) fn finding(report: Report) -> Finding {
        Finding {
            state: State::of(&report),
            before: None,
            in_doubt: false,
            outage: None,
            trends: Vec::new(),
            tick: Tick::default(),
            uptime: Some((100.0, 100.0)),
            report,
        }
    }

    #[test]
    fn a_check_is_one_line() {
        let mut missed = finding(down());
        missed.tick.missed = 1;
        missed.state = State::Ok;
        let mut skewed = report(Verdict::Skewed);
        skewed.cause = Some("the clock of instance `a` is at least 1.099 s ahead".to_owned());
        skewed.instances = vec![instance("a", 1100.0), instance("b", -0.2)];
        skewed.instances[1].version = Some("0.2.0".to_owned());
        let mut doubtful = report(undecided(Reason::Borderline));
        doubtful.cause = Some("too near to the limit of 1 s".to_owned());
        doubtful.notes = vec![Note::NonceNotEchoed, Note::InstanceNotNamed];
        let mut running_away = finding(report(Verdict::Ok));
        running_away.trends = vec![Trend {
            instance: Some("a".to_owned()),
            lo_ppm: 3.1,
            hi_ppm: 3.4,
            crosses: Some(Crossing {
                limit_ms: 1000.0,
                soonest_s: 259_300.0,
                latest_s: 290_000.0,
            }),
        }];
        running_away.outage = Some(Outage {
            began: String::new(),
            ended: String::new(),
            checks: 2,
            cause: None,
            downtime: Downtime {
                proven_ms: 31_000.0,
                possible_ms: 91_000.0,
            },
        });
        let lines = [
            check(&finding(report(Verdict::Ok))),
            check(&missed),
            check(&finding(skewed)),
            check(&finding(doubtful)),
            check(&running_away),
            check(&finding(without_clock())),
        ];
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn a_summary_is_one_line() {
        use crate::series::{Hysteresis, Track};
        use clock::Reading;

        let mut track = Track::new(Hysteresis::default());
        let mut lines = vec![summary(&track.summary(), false)];
        let at = |seconds: i128| Reading {
            wall: seconds * 1_000_000_000,
            monotonic: seconds * 1_000_000_000,
            suspended: 0,
        };
        for (index, report) in [report(Verdict::Ok), down(), report(Verdict::Skewed)]
            .into_iter()
            .enumerate()
        {
            let index = i128::try_from(index).unwrap();
            let mut record = record(at(index * 30));
            record.finished = at(index * 30 + 1);
            let _ = track.add(&record, report, Tick::default());
        }
        lines.push(summary(&track.summary(), true));
        insta::assert_snapshot!(lines.join("\n"));
    }
}
