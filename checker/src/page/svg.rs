//! SVG charts. Pure text; only numbers and fixed words are inserted unescaped.

use std::fmt::Write as _;

use chrono::DateTime;
use clock::units::magnitude;

use crate::page::buckets::Buckets;
use crate::page::chart::{Chart, Range, Spread};
use crate::page::escape::escaped;
use crate::page::scale::{Place, Powers, Signed, Time};
use crate::series::State;

/// Width in the drawing's own units. The page stretches the drawing, but not its text, which is
/// beside it.
const WIDTH: f64 = 1_000.0;
/// Heights in pixels, which are not stretched.
const STRIP: f64 = 26.0;
const OFFSET: f64 = 240.0;
const LATENCY: f64 = 140.0;
/// Shortest distance of two labels of an axis, pixels.
const APART: f64 = 16.0;
/// Tile and lines of the patterns that tell series apart without colour.
const PATTERNS: [&str; 7] = [
    "",
    "M0 8L24 0",
    "M0 0L24 8",
    "M0 4H24",
    "M6 0V8M18 0V8",
    "M0 8L24 0M0 0L24 8",
    "M9 2h6v4h-6z",
];

/// Draws the patterns of all series and states, for reference by the other drawings.
pub(crate) fn patterns() -> String {
    let mut svg = "<svg width=\"0\" height=\"0\" aria-hidden=\"true\"><defs>".to_owned();
    let series = (0..PATTERNS.len()).map(|number| format!("c{number}"));
    let states = State::ALL.iter().map(|state| state.word().to_owned());
    for (name, lines) in series.chain(states).zip(PATTERNS.iter().cycle()) {
        let _ = write!(
            svg,
            "<pattern id=\"{name}\" width=\"24\" height=\"8\" patternUnits=\"userSpaceOnUse\">\
             <rect class=\"{name}\" width=\"24\" height=\"8\"/><path class=\"ink\" d=\"{lines}\"/></pattern>"
        );
    }
    svg.push_str("</defs></svg>");
    svg
}

/// Draws the sample of a pattern in a legend.
pub(crate) fn key(name: &str) -> String {
    format!(
        "<svg class=\"key\" width=\"24\" height=\"12\" aria-hidden=\"true\"><rect width=\"24\" height=\"12\" fill=\"url(#{name})\"/></svg>"
    )
}

fn time(chart: &Chart) -> Time {
    Time {
        begin: chart.begin,
        end: chart.end,
        place: Place {
            from: 0.0,
            to: WIDTH,
        },
    }
}

/// Formats a moment as briefly as the span allows: seconds, minutes, or days.
fn moment(at: i64, span: i64) -> String {
    let format = match span {
        0..180_000 => "%H:%M:%S",
        180_000..172_800_000 => "%H:%M",
        172_800_000..31_536_000_000 => "%m-%d",
        _ => "%Y-%m-%d",
    };
    DateTime::from_timestamp_millis(at)
        .unwrap_or_default()
        .format(format)
        .to_string()
}

/// Begins a chart with the labels of its levels, and returns those that have room.
fn begin(svg: &mut String, name: &str, height: f64, levels: Vec<(f64, String)>) {
    let mut shown: Vec<(f64, String)> = Vec::new();
    for (y, label) in levels {
        if shown.iter().all(|(other, _)| (other - y).abs() >= APART) {
            shown.push((y, label));
        }
    }
    let _ = write!(
        svg,
        "<div class=\"chart\"><svg class=\"levels\" height=\"{height}\" aria-hidden=\"true\">"
    );
    for (y, label) in &shown {
        let _ = write!(svg, "<text x=\"56\" y=\"{:.1}\">{label}</text>", y + 4.0);
    }
    let _ = write!(
        svg,
        "</svg><svg role=\"img\" aria-label=\"{name}\" class=\"{name}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" preserveAspectRatio=\"none\">"
    );
    for (y, _) in shown {
        let _ = write!(svg, "<path class=\"grid\" d=\"M0 {y:.1}H{WIDTH}\"/>");
    }
}

/// Ends a chart with the labels of its time axis.
fn end(svg: &mut String, time: &Time, height: f64) {
    let mut labels = String::new();
    for (number, at) in time.marks().into_iter().enumerate() {
        let (x, label) = (time.x(at), moment(at, time.end - time.begin));
        let _ = write!(svg, "<path class=\"grid\" d=\"M{x:.1} 0V{height}\"/>");
        let share = x / WIDTH * 100.0;
        // At the edges, a centred label would be cut.
        let place = match share {
            ..9.0 => " first",
            91.0.. => " last",
            _ => "",
        };
        // Narrow pages have room for half of them.
        let parity = ["", " odd"][number % 2];
        let _ = write!(
            labels,
            "<text class=\"time{place}{parity}\" x=\"{share:.1}%\" y=\"14\">{label}</text>"
        );
    }
    let _ = write!(
        svg,
        "</svg><svg class=\"times\" height=\"20\">{labels}</svg></div>"
    );
}

/// Draws the states as a strip.
pub(crate) fn states(chart: &Chart) -> String {
    let time = time(chart);
    let mut svg = String::new();
    self::begin(&mut svg, "states", STRIP, Vec::new());
    let mut stretches = chart.states.stretches().into_iter().peekable();
    while let Some((begin, mut end, state)) = stretches.next() {
        // Merges neighbours with the same state, which keeps the page small.
        while let Some((_, last, _)) =
            stretches.next_if(|(next, _, other)| *next == end && *other == state)
        {
            end = last;
        }
        let (from, to) = (time.x(begin), time.x(end));
        let _ = write!(
            svg,
            "<rect class=\"{0}\" fill=\"url(#{0})\" x=\"{from:.1}\" y=\"2\" width=\"{1:.1}\" height=\"{2}\"><title>{3} from {4} UTC</title></rect>",
            state.word(),
            // At least one unit wide, so that a single failed check stays visible.
            (to - from).max(1.0),
            STRIP - 4.0,
            state.name(),
            DateTime::from_timestamp_millis(begin)
                .unwrap_or_default()
                .format("%Y-%m-%d %H:%M:%S")
        );
    }
    self::end(&mut svg, &time, STRIP);
    svg
}

/// Draws the bounds of the clocks, and the limit.
pub(crate) fn offsets(chart: &Chart) -> String {
    let time = time(chart);
    let all = chart.offsets.values().flat_map(Buckets::known);
    let furthest = all.fold(0.0_f64, |most, (_, range)| {
        most.max(range.lo.abs()).max(range.hi.abs())
    });
    let scale = Signed {
        // With headroom, so that the limit is always visible.
        most: furthest.max(chart.max_skew_ms) * 1.3,
        place: Place {
            from: 8.0,
            to: OFFSET - 8.0,
        },
    };
    let levels = scale.marks().into_iter();
    let levels = levels.map(|(value, name)| (scale.y(value), name)).collect();
    let mut svg = String::new();
    begin(&mut svg, "offset", OFFSET, levels);
    for limit in [chart.max_skew_ms, -chart.max_skew_ms] {
        let y = scale.y(limit);
        let _ = write!(svg, "<path class=\"limit\" d=\"M0 {y:.1}H{WIDTH}\"/>");
    }
    for (number, (name, ranges)) in chart.offsets.iter().enumerate() {
        let stretches: Vec<_> = ranges
            .stretches()
            .into_iter()
            .map(|(begin, end, range)| (begin, end, *range))
            .collect();
        let _ = write!(
            svg,
            "<path class=\"band\" fill=\"url(#c{number})\" d=\"{}\"><title>{}</title></path>",
            band(&stretches, &time, &|value| scale.y(value)),
            escaped(name.as_deref().unwrap_or("all others")),
        );
    }
    end(&mut svg, &time, OFFSET);
    svg
}

/// Draws the range from the fastest to the slowest check, and the mean.
pub(crate) fn latency(chart: &Chart) -> String {
    let time = time(chart);
    let stretches = chart.latency.stretches();
    let ranges: Vec<_> = stretches
        .iter()
        .map(|(begin, end, spread)| (*begin, *end, spread.range))
        .collect();
    let least = ranges
        .iter()
        .map(|(.., range)| range.lo)
        .fold(f64::INFINITY, f64::min);
    let most = ranges
        .iter()
        .map(|(.., range)| range.hi)
        .fold(0.0, f64::max);
    let place = Place {
        from: 8.0,
        to: LATENCY - 8.0,
    };
    let scale = Powers::over(if least.is_finite() { least } else { 1.0 }, most, place);
    let levels = scale.marks().into_iter();
    let levels = levels.map(|(value, name)| (scale.y(value), name)).collect();
    let mut svg = String::new();
    begin(&mut svg, "latency", LATENCY, levels);
    let _ = write!(
        svg,
        "<path class=\"band\" fill=\"url(#c0)\" d=\"{}\"><title>{} to {}</title></path><path class=\"mean\" d=\"{}\"/>",
        band(&ranges, &time, &|value| scale.y(value)),
        magnitude(if least.is_finite() { least } else { 0.0 }),
        magnitude(most),
        mean(&stretches, &time, &scale)
    );
    end(&mut svg, &time, LATENCY);
    svg
}

/// Returns a path with a box for each stretch of time. Narrow boxes are widened to a visible line.
fn band(stretches: &[(i64, i64, Range)], time: &Time, y: &dyn Fn(f64) -> f64) -> String {
    let mut path = String::new();
    for (begin, end, range) in stretches {
        let (left, right) = (time.x(*begin), time.x(*end));
        let (top, bottom) = (y(range.hi), y(range.lo));
        let missing = (1.0 - (bottom - top)).max(0.0) / 2.0;
        let _ = write!(
            path,
            "M{left:.1} {:.1}h{:.1}v{:.1}h-{:.1}z",
            top - missing,
            (right - left).max(0.6),
            bottom - top + 2.0 * missing,
            (right - left).max(0.6)
        );
    }
    path
}

fn mean(stretches: &[(i64, i64, &Spread)], time: &Time, scale: &Powers) -> String {
    let mut path = String::new();
    let mut last = None;
    for (begin, end, spread) in stretches {
        // The line is interrupted where no check ran.
        let command = if last == Some(*begin) { 'L' } else { 'M' };
        let y = scale.y(spread.mean());
        let _ = write!(path, "{command}{:.1} {y:.1}", time.x(*begin));
        // A line of a single point would be invisible.
        if command == 'M' {
            let _ = write!(
                path,
                "h{:.1}",
                (time.x(*end) - time.x(*begin)).clamp(0.0, 2.0)
            );
        }
        last = Some(*end);
    }
    path
}
