//! SVG charts. Pure text; only numbers and fixed words are inserted unescaped.

use std::fmt::Write as _;

use chrono::DateTime;
use clock::units::magnitude;

use crate::page::buckets::Buckets;
use crate::page::chart::{Chart, Range, Spread};
use crate::page::escape::escaped;
use crate::page::scale::{Place, Powers, Signed, Time};

/// Width in the drawing's own units. The page scales the drawing.
const WIDTH: f64 = 1_000.0;
const LEFT: f64 = 66.0;
const RIGHT: f64 = 10.0;
/// Height of the time labels below a chart.
const FOOT: f64 = 20.0;
const STRIP: f64 = 26.0;
const OFFSET: f64 = 240.0;
const LATENCY: f64 = 140.0;

fn time(chart: &Chart) -> Time {
    Time {
        begin: chart.begin,
        end: chart.end,
        place: Place {
            from: LEFT,
            to: WIDTH - RIGHT,
        },
    }
}

/// Formats a moment as briefly as the span allows: seconds, minutes, or days.
fn moment(at: i64, span: i64) -> String {
    let format = match span {
        0..180_000 => "%H:%M:%S",
        180_000..172_800_000 => "%H:%M",
        _ => "%m-%d",
    };
    DateTime::from_timestamp_millis(at)
        .unwrap_or_default()
        .format(format)
        .to_string()
}

fn begin(name: &str, height: f64) -> String {
    format!(
        "<svg role=\"img\" aria-label=\"{name}\" class=\"{name}\" viewBox=\"0 0 {WIDTH} {}\">",
        height + FOOT
    )
}

fn end(svg: &mut String, time: &Time, height: f64) {
    for at in time.marks() {
        let (x, label) = (time.x(at), moment(at, time.end - time.begin));
        let _ = write!(
            svg,
            "<path class=\"grid\" d=\"M{x:.1} 0V{height}\"/><text class=\"time\" x=\"{x:.1}\" y=\"{:.0}\">{label}</text>",
            height + FOOT - 5.0
        );
    }
    svg.push_str("</svg>");
}

/// Draws the states as a strip.
pub(crate) fn states(chart: &Chart) -> String {
    let time = time(chart);
    let mut svg = begin("states", STRIP);
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
            "<rect class=\"{}\" x=\"{from:.1}\" y=\"2\" width=\"{:.1}\" height=\"{}\"><title>{} from {} UTC</title></rect>",
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
            to: OFFSET - 4.0,
        },
    };
    let mut svg = begin("offset", OFFSET);
    for (value, name) in scale.marks() {
        level(&mut svg, scale.y(value), &name);
    }
    for limit in [chart.max_skew_ms, -chart.max_skew_ms] {
        let y = scale.y(limit);
        let _ = write!(
            svg,
            "<path class=\"limit\" d=\"M{LEFT} {y:.1}H{:.1}\"/>",
            WIDTH - RIGHT
        );
    }
    for (number, (name, ranges)) in chart.offsets.iter().enumerate() {
        let stretches: Vec<_> = ranges
            .stretches()
            .into_iter()
            .map(|(begin, end, range)| (begin, end, *range))
            .collect();
        let _ = write!(
            svg,
            "<path class=\"band c{number}\" d=\"{}\"><title>{}</title></path>",
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
        to: LATENCY - 4.0,
    };
    let scale = Powers::over(if least.is_finite() { least } else { 1.0 }, most, place);
    let mut svg = begin("latency", LATENCY);
    for (value, name) in scale.marks() {
        level(&mut svg, scale.y(value), &name);
    }
    let _ = write!(
        svg,
        "<path class=\"band\" d=\"{}\"><title>{} to {}</title></path><path class=\"mean\" d=\"{}\"/>",
        band(&ranges, &time, &|value| scale.y(value)),
        magnitude(if least.is_finite() { least } else { 0.0 }),
        magnitude(most),
        mean(&stretches, &time, &scale)
    );
    end(&mut svg, &time, LATENCY);
    svg
}

fn level(svg: &mut String, y: f64, name: &str) {
    let _ = write!(
        svg,
        "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{:.1}\"/><text class=\"level\" x=\"{:.0}\" y=\"{:.1}\">{name}</text>",
        WIDTH - RIGHT,
        LEFT - 6.0,
        y + 4.0
    );
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
