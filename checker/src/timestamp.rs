//! The service's timestamp, together with how finely it was written: the resolution widens what a sample can prove.

use chrono::{DateTime, Datelike, Timelike, Utc};

use crate::units::{Nanoseconds, SECOND};

/// Years outside of this are mistakes (epoch milliseconds read as seconds give the year 58552), not clocks that are off.
const PLAUSIBLE_YEARS: std::ops::RangeInclusive<i32> = 2000..=2200;
/// Where the fraction's dot is in `2026-11-22T10:04:05.1Z`.
const FRACTION_AT: usize = "2026-11-22T10:04:05".len();

/// A point in time as a service wrote it: the true value lies in `nanoseconds ..= nanoseconds + resolution`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timestamp {
    /// Nanoseconds since 1970-01-01T00:00:00Z.
    pub nanoseconds: Nanoseconds,
    /// Nanoseconds: 10⁻ⁿ s for n fraction digits, 1 s without a fraction and for one of zeros only.
    pub resolution: Nanoseconds,
}

/// Why a text is not a timestamp that can be judged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimestampError {
    /// Not RFC 3339, without a zone, or a second 60 where no leap second can be.
    #[error("`{text}` is not an RFC 3339 time with a zone")]
    Malformed {
        /// The text, shortened.
        text: String,
    },
    /// A second 60 at 23:59 UTC: right, perhaps, but nothing to judge a clock by.
    #[error("`{text}` is within a leap second")]
    LeapSecond {
        /// The text.
        text: String,
    },
    /// Well formed, but outside of the years 2000 to 2200.
    #[error("the year {year} is implausible")]
    ImplausibleYear {
        /// The year in UTC.
        year: i32,
    },
}

impl Timestamp {
    /// Reads an RFC 3339 timestamp with a zone, and its resolution.
    pub fn parse(text: &str) -> Result<Self, TimestampError> {
        let excerpt = || text.chars().take(64).collect::<String>();
        let malformed = || TimestampError::Malformed { text: excerpt() };
        let parsed = DateTime::parse_from_rfc3339(text)
            .map_err(|_| malformed())?
            .with_timezone(&Utc);
        // chrono takes a second 60 in any minute and keeps it as a subsecond part of a second or more.
        if i128::from(parsed.nanosecond()) >= SECOND {
            return Err(if (parsed.hour(), parsed.minute()) == (23, 59) {
                TimestampError::LeapSecond { text: excerpt() }
            } else {
                malformed()
            });
        }
        if !PLAUSIBLE_YEARS.contains(&parsed.year()) {
            return Err(TimestampError::ImplausibleYear {
                year: parsed.year(),
            });
        }
        Ok(Self {
            nanoseconds: i128::from(parsed.timestamp()) * SECOND
                + i128::from(parsed.timestamp_subsec_nanos()),
            resolution: resolution(text),
        })
    }
}

/// Nanoseconds that the last written digit stands for.
fn resolution(text: &str) -> Nanoseconds {
    let fraction = text
        .get(FRACTION_AT..)
        .and_then(|rest| rest.strip_prefix('.'))
        .unwrap_or_default();
    let digits = fraction.bytes().take_while(u8::is_ascii_digit);
    if digits.clone().all(|digit| digit == b'0') {
        // Either no fraction, or a clock that shows whole seconds with zeros behind them.
        return SECOND;
    }
    // More than nine digits say nothing more to us: what is beyond was cut off, which is worth one nanosecond.
    digits.take(9).fold(SECOND, |resolution, _| resolution / 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIDNIGHT_2026_11_22: Nanoseconds = 1_795_305_600 * SECOND;

    #[test]
    fn resolution_is_what_the_last_digit_stands_for() {
        let table = [
            ("2026-11-22T00:00:05.123456Z", 5_123_456_000, 1_000),
            ("2026-11-22T00:00:05.123Z", 5_123_000_000, 1_000_000),
            ("2026-11-22T00:00:05.1Z", 5_100_000_000, 100_000_000),
            ("2026-11-22T00:00:05.120Z", 5_120_000_000, 1_000_000),
            ("2026-11-22T00:00:05Z", 5_000_000_000, SECOND),
            ("2026-11-22T00:00:05.000000Z", 5_000_000_000, SECOND),
            ("2026-11-22T02:00:05.5+02:00", 5_500_000_000, 100_000_000),
            ("2026-11-21T19:00:05-05:00", 5_000_000_000, SECOND),
            ("2026-11-22T00:00:05.123456789Z", 5_123_456_789, 1),
            ("2026-11-22T00:00:05.123456789123Z", 5_123_456_789, 1),
        ];
        for (text, after_midnight, resolution) in table {
            let expected = Timestamp {
                nanoseconds: MIDNIGHT_2026_11_22 + after_midnight,
                resolution,
            };
            assert_eq!(Timestamp::parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_timestamp_is_refused() {
        let malformed = [
            "",
            "now",
            "1795305600",
            "2026-11-22T10:04:05",
            "2026-11-22",
            "2026-11-22T10:04:60Z",
            "2026-11-22T25:00:00Z",
            "Sun, 22 Nov 2026 10:04:05 GMT",
            "\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}",
        ];
        for text in malformed {
            let result = Timestamp::parse(text);
            assert!(
                matches!(result, Err(TimestampError::Malformed { .. })),
                "{text}: {result:?}"
            );
        }
        assert_eq!(
            Timestamp::parse("1999-12-31T23:59:59Z"),
            Err(TimestampError::ImplausibleYear { year: 1999 })
        );
        assert_eq!(
            Timestamp::parse("2201-01-01T00:00:00Z"),
            Err(TimestampError::ImplausibleYear { year: 2201 })
        );
        assert!(matches!(
            Timestamp::parse("2016-12-31T23:59:60.5Z"),
            Err(TimestampError::LeapSecond { .. })
        ));
        assert!(matches!(
            Timestamp::parse("2017-01-01T01:59:60+02:00"),
            Err(TimestampError::LeapSecond { .. })
        ));
    }
}
