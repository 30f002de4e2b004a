//! Integer nanoseconds inside, milliseconds for readers: the only place that converts.

use std::time::Duration;

/// Nanoseconds, signed. Wide enough that no sum or difference of timestamps overflows.
pub type Nanoseconds = i128;

/// One second.
pub(crate) const SECOND: Nanoseconds = 1_000_000_000;
/// One millisecond.
pub(crate) const MILLISECOND: Nanoseconds = 1_000_000;
/// One microsecond.
pub(crate) const MICROSECOND: Nanoseconds = 1_000;

/// Milliseconds with microsecond precision, for reports.
#[expect(
    clippy::cast_precision_loss,
    reason = "microseconds below 2^53 (285 years) are exact, and reports need no more"
)]
pub(crate) fn milliseconds(nanoseconds: Nanoseconds) -> f64 {
    (nanoseconds / MICROSECOND) as f64 / 1000.0
}

/// A duration as signed nanoseconds.
pub(crate) fn nanoseconds(duration: Duration) -> Nanoseconds {
    // At most 2^64 seconds: 94 bits.
    Nanoseconds::try_from(duration.as_nanos()).unwrap_or(Nanoseconds::MAX)
}

/// `1.099 s`, `12.5 ms`: a magnitude for people.
pub(crate) fn magnitude(milliseconds: f64) -> String {
    if milliseconds.abs() >= 1000.0 {
        format!("{:.3} s", milliseconds / 1000.0)
    } else {
        format!("{milliseconds:.1} ms")
    }
}

/// `+1.099 s`, `-12.5 ms`: an offset for people.
pub(crate) fn signed(milliseconds: f64) -> String {
    if milliseconds.abs() >= 1000.0 {
        format!("{:+.3} s", milliseconds / 1000.0)
    } else {
        format!("{milliseconds:+.1} ms")
    }
}

/// `5 s`, `500 ms`, `2 min`: a setting for people.
pub(crate) fn setting(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    if milliseconds > 0 && milliseconds.is_multiple_of(60_000) {
        format!("{} min", milliseconds / 60_000)
    } else if milliseconds.is_multiple_of(1000) {
        format!("{} s", milliseconds / 1000)
    } else {
        format!("{milliseconds} ms")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_well() {
        assert_eq!(signed(milliseconds(400_000)), "+0.4 ms");
        assert_eq!(signed(milliseconds(-3_600 * SECOND)), "-3600.000 s");
        assert_eq!(magnitude(milliseconds(1_099_000_000)), "1.099 s");
        assert_eq!(setting(Duration::from_millis(500)), "500 ms");
        assert_eq!(setting(Duration::from_secs(5)), "5 s");
        assert_eq!(setting(Duration::from_mins(2)), "2 min");
        assert_eq!(setting(Duration::ZERO), "0 s");
    }
}
