//! HTML page around the charts. Pure text; everything from a log is escaped.

use std::fmt::Write as _;

use chrono::DateTime;
use clock::Kind;
use clock::units::{magnitude, signed};

use crate::human::span;
use crate::page::chart::{Chart, Charts};
use crate::page::escape::escaped;
use crate::page::svg;
use crate::series::{State, Summary, Trend};

const STYLE: &str = include_str!("style.css");
/// Hash of the style sheet for the Content-Security-Policy, which blocks everything else that a log
/// could inject.
const STYLE_HASH: &str = "sha256-nXGVMAaYqpKFoRAqkU+CY5IpaCbrSwAY1kyDiKBGh4U=";
/// Maximum number of outages listed.
const OUTAGES: usize = 50;

/// Renders the whole page.
pub(crate) fn page(charts: &Charts, slo: Option<f64>) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src '{STYLE_HASH}'; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Checks of {}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{}\n",
        escaped(&title(charts)),
        svg::patterns()
    );
    let summaries = charts.summaries();
    if charts.targets().len() > 1 {
        overview(&mut page, charts.targets(), &summaries);
    }
    // Both lists are in the order in which the targets appeared, so their entries match.
    for (number, (chart, summary)) in charts.targets().iter().zip(&summaries).enumerate() {
        target(&mut page, number, (chart, summary), slo);
    }
    // Writing to a `String` cannot fail, so results of `write!` are ignored in this file.
    let _ = write!(
        page,
        "<footer>{} checks, drawn by checker {}. Times are UTC. Downtime is a range: nobody looked between two checks. The offset \
         is a band as well: what is within has not been ruled out.</footer>\n</body>\n</html>\n",
        charts.checks(),
        env!("CARGO_PKG_VERSION")
    );
    page
}

fn title(charts: &Charts) -> String {
    match charts.targets() {
        [one] => one.name.clone(),
        several => format!("{} targets", several.len()),
    }
}

fn overview(page: &mut String, charts: &[Chart], summaries: &[Summary]) {
    page.push_str("<h1>Checks</h1>\n<table class=\"overview\"><tr><th>State</th><th class=\"whole\">Target</th><th>Up</th><th>Outages</th><th>Latency</th></tr>\n");
    for (number, (chart, summary)) in charts.iter().zip(summaries).enumerate() {
        let _ = writeln!(
            page,
            "<tr><td>{}</td><td class=\"whole\"><a href=\"#t{number}\">{}</a></td><td>{}</td><td>{}</td><td>{}</td></tr>",
            badge(chart.state),
            escaped(&chart.name),
            uptime(summary),
            summary.outages,
            summary
                .latency_ms
                .map_or_else(|| "-".to_owned(), |latency| magnitude(latency.median)),
        );
    }
    page.push_str("</table>\n");
}

fn target(
    page: &mut String,
    number: usize,
    (chart, summary): (&Chart, &Summary),
    slo: Option<f64>,
) {
    let _ = write!(
        page,
        "<section id=\"t{number}\">\n<h2>{} {}</h2>\n",
        badge(chart.state),
        escaped(&chart.name)
    );
    if let Some(cause) = &chart.cause {
        let _ = writeln!(page, "<p class=\"cause\">{}</p>", escaped(cause));
    }
    figures(page, chart, summary, slo);
    let _ = writeln!(
        page,
        "<h3>State</h3>\n{}\n{}",
        svg::states(chart),
        states_key(chart)
    );
    if chart.kind == Kind::Clock {
        let limit = magnitude(chart.max_skew_ms);
        let _ = writeln!(
            page,
            "<h3>Offset of the clock, limit ±{limit}</h3>\n{}\n{}<p class=\"note\">The scale is even up to about 0.1 ms and \
             logarithmic beyond.</p>",
            svg::offsets(chart),
            key(chart),
        );
    }
    let _ = writeln!(
        page,
        "<h3>Latency</h3>\n{}\n<p class=\"note\">From the fastest to the slowest check, and their mean.</p>",
        svg::latency(chart)
    );
    outages(page, chart, summary);
    versions(page, chart);
    page.push_str("</section>\n");
}

/// Renders the legend of the bands, if there are several.
fn key(chart: &Chart) -> String {
    if chart.offsets.len() < 2 {
        return String::new();
    }
    let names = chart.offsets.keys().enumerate();
    legend(names.map(|(number, name)| {
        let name = escaped(name.as_deref().unwrap_or("all others"));
        (format!("c{number}"), name)
    }))
}

/// Renders the legend of the states that occurred.
fn states_key(chart: &Chart) -> String {
    let occurred = |state: &&State| chart.states.known().any(|(_, known)| known == *state);
    let states = State::ALL.iter().filter(occurred);
    legend(states.map(|state| (state.word().to_owned(), state.name().to_owned())))
}

fn legend(entries: impl Iterator<Item = (String, String)>) -> String {
    let entries =
        entries.map(|(pattern, name)| format!("<span>{}{name}</span>", svg::key(&pattern)));
    format!("<p class=\"legend\">{}</p>\n", entries.collect::<String>())
}

fn figures(page: &mut String, chart: &Chart, summary: &Summary, slo: Option<f64>) {
    let mut figures = vec![
        (
            "Time",
            format!("{} to {}", moment(chart.begin), moment(chart.end)),
        ),
        ("Checks", summary.checks.to_string()),
        ("Up", uptime(summary)),
    ];
    figures.extend(slo.map(|slo| ("SLO", objective(summary, slo))));
    figures.push((
        "Not OK",
        format!(
            "{} down, {} skewed, {} undecided, {} with warnings",
            summary.down, summary.skewed, summary.indeterminate, summary.warnings
        ),
    ));
    if let Some(latency) = summary.latency_ms {
        figures.push((
            "Latency",
            format!(
                "median {}, 95 % {}, 99 % {}, max {}",
                magnitude(latency.median),
                magnitude(latency.p95),
                magnitude(latency.p99),
                magnitude(latency.max)
            ),
        ));
    }
    if let Some(offset) = summary.offset_ms {
        figures.push((
            "Offset",
            format!("{} to {}", signed(offset.min), signed(offset.max)),
        ));
    }
    figures.extend(
        chart
            .trends
            .iter()
            .map(|trend| ("Drift", escaped(&drift(trend)))),
    );
    figures.push(("Missed ticks", summary.missed_ticks.to_string()));
    page.push_str("<dl>\n");
    for (name, value) in figures {
        let _ = writeln!(page, "<div><dt>{name}</dt><dd>{value}</dd></div>");
    }
    page.push_str("</dl>\n");
}

/// Describes the availability against an objective in percent: whether it is met, and the remaining
/// error budget.
fn objective(summary: &Summary, slo: f64) -> String {
    // The error budget is the downtime that the objective allows for the observed time.
    let budget = summary.observed_ms * (100.0 - slo) / 100.0;
    let (proven, possible) = (summary.downtime.proven_ms, summary.downtime.possible_ms);
    let seconds = |milliseconds: f64| span(milliseconds.max(0.0) / 1000.0);
    // Only bounds of the downtime are known, so a budget between them decides nothing.
    let holds = if possible <= budget {
        "met"
    } else if proven > budget {
        "missed"
    } else {
        "met or missed: nobody looked between two checks"
    };
    format!(
        "{slo} %: {holds}; error budget {}, {} to {} left",
        seconds(budget),
        seconds(budget - possible),
        seconds(budget - proven)
    )
}

fn drift(trend: &Trend) -> String {
    let whose = trend
        .instance
        .as_ref()
        .map_or_else(String::new, |name| format!("{name}: "));
    let forecast = trend.crosses.map_or_else(String::new, |crossing| {
        format!(
            ", passes {} in {} to {}",
            signed(crossing.limit_ms),
            span(crossing.soonest_s),
            span(crossing.latest_s)
        )
    });
    format!(
        "{whose}{:+.2} to {:+.2} ppm{forecast}",
        trend.lo_ppm, trend.hi_ppm
    )
}

fn outages(page: &mut String, chart: &Chart, summary: &Summary) {
    if summary.outages == 0 {
        return;
    }
    page.push_str("<h3>Outages</h3>\n<table class=\"outages\"><tr><th>First found</th><th>Last found</th><th>At least</th><th>At most</th><th>Failed checks</th><th class=\"whole\">Cause</th></tr>\n");
    let mut row = |began: &str, rest: [&str; 4], cause: Option<&str>| {
        let cells: String = rest.map(|cell| format!("<td>{cell}</td>")).concat();
        let _ = writeln!(
            page,
            "<tr><td>{}</td>{cells}<td class=\"whole\">{}</td></tr>",
            plain(began),
            escaped(cause.unwrap_or_default())
        );
    };
    if let Some(since) = &summary.down_since {
        row(since, ["goes on", "", "", ""], chart.cause.as_deref());
    }
    // Newest first.
    for outage in summary.last_outages.iter().rev().take(OUTAGES) {
        let seconds = |milliseconds: f64| span(milliseconds / 1000.0);
        let cells = [
            &*plain(&outage.ended),
            &*seconds(outage.downtime.proven_ms),
            &*seconds(outage.downtime.possible_ms),
            &*outage.checks.to_string(),
        ];
        row(&outage.began, cells, outage.cause.as_deref());
    }
    page.push_str("</table>\n");
}

/// Returns an RFC 3339 time of a log in the page's own format.
fn plain(time: &str) -> String {
    let known = DateTime::parse_from_rfc3339(time);
    known.map_or_else(|_| escaped(time), |time| moment(time.timestamp_millis()))
}

fn versions(page: &mut String, chart: &Chart) {
    if chart.versions.is_empty() {
        return;
    }
    page.push_str(
        "<h3>Versions</h3>\n<table class=\"versions\"><tr><th>From</th><th class=\"whole\">Version</th></tr>\n",
    );
    for (at, version) in &chart.versions {
        let _ = writeln!(
            page,
            "<tr><td>{}</td><td class=\"whole\">{}</td></tr>",
            moment(*at),
            escaped(version)
        );
    }
    page.push_str("</table>\n");
}

fn badge(state: State) -> String {
    format!(
        "<span class=\"badge {}\">{}</span>",
        state.word(),
        state.name()
    )
}

fn uptime(summary: &Summary) -> String {
    summary.uptime_percent.map_or_else(
        || "-".to_owned(),
        |bounds| {
            // Equal once rounded to three decimals.
            if bounds.at_most - bounds.at_least < 0.000_5 {
                format!("{:.3} %", bounds.at_least)
            } else {
                format!("{:.3} to {:.3} %", bounds.at_least, bounds.at_most)
            }
        },
    )
}

fn moment(at: i64) -> String {
    DateTime::from_timestamp_millis(at)
        .unwrap_or_default()
        // A day would be broken at its hyphens.
        .format("<span class=\"day\">%Y-%m-%d</span> %H:%M:%S")
        .to_string()
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use sha2::{Digest as _, Sha256};

    use super::*;

    #[test]
    fn the_policy_knows_the_style() {
        let hash = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(STYLE));
        assert_eq!(
            STYLE_HASH,
            format!("sha256-{hash}"),
            "after a change, write this"
        );
    }

    #[test]
    fn nothing_from_a_log_is_markup() {
        assert_eq!(
            escaped("<script>\"a\" & 'b'"),
            "&lt;script&gt;&quot;a&quot; &amp; &#39;b&#39;"
        );
    }
}
