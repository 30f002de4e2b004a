//! Timestamp of a service, together with its resolution, which widens what a sample can prove.

use chrono::{DateTime, Datelike, NaiveDateTime, Timelike, Utc};
use serde::{Deserialize, Serialize};

use crate::excerpt::excerpt;
use crate::units::{MICROSECOND, MILLISECOND, Nanoseconds, SECOND, as_i64};

/// Plausible years of a number. The unit is not written: epoch milliseconds read as seconds give
/// the year 58552.
const PLAUSIBLE_YEARS: std::ops::RangeInclusive<i32> = 2000..=2200;
/// Position of the fraction's dot in `2026-11-22T10:04:05.1Z`.
const FRACTION_AT: usize = "2026-11-22T10:04:05".len();
/// Maximum length of a number. No time in a plausible year is longer, with nanoseconds behind the
/// point.
const LONGEST_EPOCH: usize = 32;

/// Timestamp as a service wrote it. The true value lies in
/// `nanoseconds ..= nanoseconds + resolution`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timestamp {
    /// Nanoseconds since 1970-01-01T00:00:00Z.
    #[serde(rename = "now_ns", with = "as_i64")]
    pub nanoseconds: Nanoseconds,
    /// Resolution in nanoseconds: 10⁻ⁿ s for n fraction digits, 1 s without a fraction. Trailing
    /// zeros do not count, because some services write milliseconds with six digits, or seconds
    /// with three.
    #[serde(rename = "resolution_ns", with = "as_i64")]
    pub resolution: Nanoseconds,
}

/// Reason that a text is not a usable timestamp.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "timestamp", rename_all = "snake_case")]
pub enum TimestampError {
    /// Neither RFC 3339 nor seconds, milliseconds, microseconds or nanoseconds since 1970. Includes
    /// a second 60 where no leap second is possible.
    #[error("`{text}` is neither an RFC 3339 time with a zone nor one since 1970")]
    Malformed {
        /// Text, shortened.
        text: String,
    },
    /// Second 60 at 23:59 UTC at the end of a half-year: possibly correct, but useless for judging
    /// a clock.
    #[error("`{text}` is within a leap second")]
    LeapSecond {
        /// Text, shortened.
        text: String,
    },
    /// Number that is no time of the years 2000 to 2200 in seconds, milliseconds, microseconds or
    /// nanoseconds.
    #[error("`{text}` is no plausible time since 1970 in s, ms, µs or ns")]
    ImplausibleNumber {
        /// Number as written.
        text: String,
    },
}

impl Timestamp {
    /// Parses an RFC 3339 timestamp with a zone, or a number since 1970 in seconds, milliseconds,
    /// microseconds or nanoseconds. Returns it with its resolution.
    pub fn parse(text: &str) -> Result<Self, TimestampError> {
        if let Some(epoch) = Self::since_1970(text) {
            return epoch;
        }
        let text_shown = || excerpt(text);
        let malformed = || TimestampError::Malformed { text: text_shown() };
        let parsed = DateTime::parse_from_rfc3339(text)
            .map_err(|_| malformed())?
            .with_timezone(&Utc);
        // chrono accepts a second 60 in any minute and keeps it as a subsecond part of a second or
        // more.
        if i128::from(parsed.nanosecond()) >= SECOND {
            // Leap seconds are inserted at the end of a half-year.
            let day = (parsed.month(), parsed.day());
            let may_leap = matches!(day, (6, 30) | (12, 31));
            return Err(
                if may_leap && (parsed.hour(), parsed.minute()) == (23, 59) {
                    TimestampError::LeapSecond { text: text_shown() }
                } else {
                    malformed()
                },
            );
        }
        Ok(Self {
            nanoseconds: i128::from(parsed.timestamp()) * SECOND
                + i128::from(parsed.timestamp_subsec_nanos()),
            resolution: resolution(
                text.get(FRACTION_AT..)
                    .and_then(|rest| rest.strip_prefix('.'))
                    .unwrap_or_default(),
                SECOND,
            ),
        })
    }

    /// Parses the value of a `Date` header, whose resolution is a second. RFC 9110 has three forms;
    /// two are obsolete but must be accepted.
    pub fn parse_date_header(text: &str) -> Result<Self, TimestampError> {
        const FORMS: [&str; 3] = [
            "%a, %d %b %Y %H:%M:%S GMT",
            "%A, %d-%b-%y %H:%M:%S GMT",
            "%a %b %e %H:%M:%S %Y",
        ];
        let parsed = FORMS
            .iter()
            .find_map(|form| NaiveDateTime::parse_from_str(text.trim(), form).ok())
            // A leap second, which chrono keeps as a subsecond part of a second or more.
            .filter(|parsed| parsed.nanosecond() < 1_000_000_000)
            .ok_or_else(|| TimestampError::Malformed {
                text: excerpt(text),
            })?;
        Ok(Self {
            nanoseconds: Nanoseconds::from(parsed.and_utc().timestamp()) * SECOND,
            resolution: SECOND,
        })
    }

    /// Parses a number; `None` if the text is none. The unit follows from its size: no number is a
    /// plausible time in two units.
    fn since_1970(text: &str) -> Option<Result<Self, TimestampError>> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let is_number = |digits: &str| digits.bytes().all(|digit| digit.is_ascii_digit());
        let has_point = whole.len() < text.len();
        if whole.is_empty()
            || text.len() > LONGEST_EPOCH
            || !is_number(whole)
            || !is_number(fraction)
            || (has_point && fraction.is_empty())
        {
            return None;
        }
        let number: Nanoseconds = whole.parse().ok()?;
        for unit in [SECOND, MILLISECOND, MICROSECOND, 1] {
            let fraction_value = fraction
                .bytes()
                // Nine digits reach a billionth of the unit. Further ones are below a nanosecond.
                .take(9)
                .fold((0, unit), |(sum, place), digit| {
                    let place = place / 10;
                    (sum + Nanoseconds::from(digit - b'0') * place, place)
                })
                .0;
            let nanoseconds = number.checked_mul(unit)?.checked_add(fraction_value)?;
            let year = i64::try_from(nanoseconds.div_euclid(SECOND))
                .ok()
                .and_then(|seconds| DateTime::from_timestamp(seconds, 0))
                .map(|time| time.year());
            if year.is_some_and(|year| PLAUSIBLE_YEARS.contains(&year)) {
                return Some(Ok(Self {
                    nanoseconds,
                    resolution: epoch_resolution(nanoseconds, fraction, unit),
                }));
            }
        }
        Some(Err(TimestampError::ImplausibleNumber {
            text: text.to_owned(),
        }))
    }
}

/// Returns the nanoseconds that the last digit of a fraction of `unit` stands for.
fn resolution(fraction: &str, unit: Nanoseconds) -> Nanoseconds {
    // Digits beyond the ninth are cut off; the error is below one nanosecond, the finest
    // resolution.
    let digits = fraction
        .bytes()
        .take_while(u8::is_ascii_digit)
        .take(9)
        .count();
    let fraction = fraction.get(..digits).unwrap_or_default();
    let counted = fraction.trim_end_matches('0').len();
    (0..counted).fold(unit, |resolution, _| (resolution / 10).max(1))
}

/// Returns the resolution of a number since 1970. Places before the point may be filled with zeros,
/// too.
fn epoch_resolution(nanoseconds: Nanoseconds, fraction: &str, unit: Nanoseconds) -> Nanoseconds {
    let written = resolution(fraction, unit);
    if written < unit {
        return written;
    }
    // Zeros at the end do not count as precision, up to whole seconds.
    std::iter::successors(Some(written), |digit| Some(digit * 10))
        .take_while(|digit| *digit <= SECOND && nanoseconds % digit == 0)
        .last()
        .unwrap_or(written)
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
            ("2026-11-22T00:00:05.120Z", 5_120_000_000, 10_000_000),
            ("2026-11-22T00:00:05Z", 5_000_000_000, SECOND),
            ("2026-11-22T00:00:05.000000Z", 5_000_000_000, SECOND),
            ("2026-11-22T02:00:05.5+02:00", 5_500_000_000, 100_000_000),
            ("2026-11-21T19:00:05-05:00", 5_000_000_000, SECOND),
            ("2026-11-22T00:00:05.123000Z", 5_123_000_000, MILLISECOND),
            ("2026-11-22T00:00:05.123456000Z", 5_123_456_000, MICROSECOND),
            ("2026-11-22T00:00:05.100000Z", 5_100_000_000, 100_000_000),
            ("2026-11-22T00:00:05.123450Z", 5_123_450_000, 10_000),
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
    fn a_clock_of_another_century_is_a_clock() {
        for (text, seconds) in [
            ("1970-01-01T00:00:05Z", 5),
            ("1999-12-31T23:59:59Z", 946_684_799),
            ("2201-01-01T00:00:00Z", 7_289_654_400),
        ] {
            let read = Timestamp::parse(text).unwrap();
            assert_eq!(read.nanoseconds, seconds * SECOND, "{text}");
        }
    }

    #[test]
    fn what_is_no_timestamp_is_refused() {
        let malformed = [
            "",
            "now",
            "-1795305600",
            "1795305600.",
            ".5",
            "1795305600.5.5",
            "1.7953056e9",
            "0x6b0259c0",
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
        // No leap second is inserted then.
        assert!(matches!(
            Timestamp::parse("2026-11-22T23:59:60Z"),
            Err(TimestampError::Malformed { .. })
        ));
        for number in ["0", "5", "99999999999", "1795305600179530560017953"] {
            let result = Timestamp::parse(number);
            assert!(
                matches!(result, Err(TimestampError::ImplausibleNumber { .. })),
                "{number}: {result:?}"
            );
        }
        assert!(matches!(
            Timestamp::parse("2016-12-31T23:59:60.5Z"),
            Err(TimestampError::LeapSecond { .. })
        ));
        assert!(matches!(
            Timestamp::parse("2017-01-01T01:59:60+02:00"),
            Err(TimestampError::LeapSecond { .. })
        ));
    }

    #[test]
    fn the_unit_of_a_number_shows_in_its_size() {
        let table = [
            ("1795305605", 5 * SECOND, SECOND),
            ("1795305605.000", 5 * SECOND, SECOND),
            ("1795305605.5", 5_500_000_000, 100_000_000),
            ("1795305605.123456", 5_123_456_000, MICROSECOND),
            ("1795305605123", 5_123_000_000, MILLISECOND),
            ("1795305605123.5", 5_123_500_000, 100_000),
            // A clock of whole seconds in disguise.
            ("1795305605000", 5 * SECOND, SECOND),
            ("1795305605123456", 5_123_456_000, MICROSECOND),
            ("1795305605123000", 5_123_000_000, MILLISECOND),
            ("1795305605100000000", 5_100_000_000, 100_000_000),
            ("1795305605123456789", 5_123_456_789, 1),
            ("1795305605000000000", 5 * SECOND, SECOND),
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
    fn a_date_header_is_good_to_the_second() {
        let expected = Timestamp {
            nanoseconds: MIDNIGHT_2026_11_22 + 5 * SECOND,
            resolution: SECOND,
        };
        for header in [
            "Sun, 22 Nov 2026 00:00:05 GMT",
            "Sunday, 22-Nov-26 00:00:05 GMT",
            "Sun Nov 22 00:00:05 2026",
        ] {
            assert_eq!(
                Timestamp::parse_date_header(header),
                Ok(expected),
                "{header}"
            );
        }
        for text in [
            "",
            "Mon, 22 Nov 2026 00:00:05 GMT",
            "Sun, 22 Nov 2026 00:00:60 GMT",
            "Sun, 22 Nov 2026 00:00:05 CET",
            "2026-11-22T00:00:05Z",
        ] {
            assert!(Timestamp::parse_date_header(text).is_err(), "{text}");
        }
        let epoch = Timestamp::parse_date_header("Thu, 01 Jan 1970 00:00:00 GMT").unwrap();
        assert_eq!(epoch.nanoseconds, 0);
    }
}
