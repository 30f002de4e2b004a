//! Conversion between integer nanoseconds, used inside, and milliseconds, used in reports.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat};

/// Signed nanoseconds. Wide enough that no sum or difference of timestamps overflows.
pub type Nanoseconds = i128;

/// Serde format: 64-bit integer, which holds moments up to the year 2262. Later ones are clamped.
pub(crate) mod as_i64 {
    use serde::{Deserialize as _, Deserializer, Serializer};

    use super::Nanoseconds;

    pub(crate) fn serialize<S: Serializer>(
        value: &Nanoseconds,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let bounded = (*value).clamp(i64::MIN.into(), i64::MAX.into());
        serializer.serialize_i64(i64::try_from(bounded).unwrap_or_default())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Nanoseconds, D::Error> {
        i64::deserialize(deserializer).map(Into::into)
    }
}

/// Serde format: whole milliseconds, rounded up. A duration beyond a limit of whole milliseconds
/// stays beyond it.
pub(crate) mod as_milliseconds {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(
        value: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let milliseconds = value.as_nanos().div_ceil(1_000_000);
        serializer.serialize_u64(u64::try_from(milliseconds).unwrap_or(u64::MAX))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

/// One second.
pub const SECOND: Nanoseconds = 1_000_000_000;
/// One millisecond.
pub const MILLISECOND: Nanoseconds = 1_000_000;
/// One microsecond.
pub const MICROSECOND: Nanoseconds = 1_000;

/// Converts to milliseconds with microsecond precision, for reports.
#[expect(
    clippy::cast_precision_loss,
    reason = "microseconds below 2^53 (285 years) are exact, and reports need no more"
)]
pub fn milliseconds(nanoseconds: Nanoseconds) -> f64 {
    (nanoseconds / MICROSECOND) as f64 / 1000.0
}

/// Converts a duration to signed nanoseconds.
pub fn nanoseconds(duration: Duration) -> Nanoseconds {
    // At most 2^64 seconds, which is 94 bits.
    Nanoseconds::try_from(duration.as_nanos()).unwrap_or(Nanoseconds::MAX)
}

/// Converts a report's milliseconds back to nanoseconds.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a cast from a double ends at the bounds"
)]
pub fn nanoseconds_of(milliseconds: f64) -> Nanoseconds {
    (milliseconds * 1e6).round() as Nanoseconds
}

/// Converts nanoseconds to a duration; zero for negative values.
pub fn duration(nanoseconds: Nanoseconds) -> Duration {
    Duration::from_nanos(u64::try_from(nanoseconds.max(0)).unwrap_or(u64::MAX))
}

/// Formats local wall time as RFC 3339 with milliseconds, UTC.
pub fn rfc3339(wall: Nanoseconds) -> String {
    // Euclidean, because moments before 1970 would have a negative remainder.
    i64::try_from(wall.div_euclid(SECOND))
        .ok()
        .zip(u32::try_from(wall.rem_euclid(SECOND)).ok())
        .and_then(|(seconds, nanoseconds)| DateTime::from_timestamp(seconds, nanoseconds))
        .unwrap_or_default()
        .to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Formats a magnitude for people: `1.099 s`, `12.5 ms`.
pub fn magnitude(milliseconds: f64) -> String {
    if milliseconds.abs() >= 1000.0 {
        format!("{:.3} s", milliseconds / 1000.0)
    } else {
        format!("{milliseconds:.1} ms")
    }
}

/// Formats an offset for people: `+1.099 s`, `-12.5 ms`.
pub fn signed(milliseconds: f64) -> String {
    // Values that round to zero would otherwise appear as `-0.0 ms`.
    let milliseconds = if milliseconds.abs() < 0.05 {
        0.0
    } else {
        milliseconds
    };
    if milliseconds.abs() >= 1000.0 {
        format!("{:+.3} s", milliseconds / 1000.0)
    } else {
        format!("{milliseconds:+.1} ms")
    }
}

/// Formats a setting for people: `5 s`, `500 ms`, `2 min`.
pub fn setting(duration: Duration) -> String {
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
