//! The one way the service writes a time.

use chrono::{DateTime, SecondsFormat, Utc};

/// RFC 3339 in UTC with exactly six fraction digits and `Z`, as in `2026-11-22T10:04:05.123456Z`.
///
/// The width never varies, so a reader can take the resolution from any single answer, and HEAD can
/// tell the length that GET will have. Digits beyond the sixth are cut, not rounded: a timestamp is
/// never ahead of the clock.
pub(crate) fn format(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_always_six_fraction_digits() {
        let table = [
            (0, 0, "1970-01-01T00:00:00.000000Z"),
            (1_795_341_845, 123_456_789, "2026-11-22T10:04:05.123456Z"),
            (1_795_341_845, 100_000_000, "2026-11-22T10:04:05.100000Z"),
            (1_795_341_845, 1_000, "2026-11-22T10:04:05.000001Z"),
            (1_795_341_845, 999, "2026-11-22T10:04:05.000000Z"),
            (1_795_341_845, 999_999_999, "2026-11-22T10:04:05.999999Z"),
            (951_782_400, 0, "2000-02-29T00:00:00.000000Z"),
            (253_402_300_799, 999_999_999, "9999-12-31T23:59:59.999999Z"),
        ];
        for (seconds, nanoseconds, expected) in table {
            let time = DateTime::from_timestamp(seconds, nanoseconds).unwrap();
            assert_eq!(format(time), expected);
        }
    }

    #[test]
    fn a_reader_gets_the_same_microsecond_back() {
        let time = DateTime::from_timestamp(1_795_341_845, 123_456_000).unwrap();
        assert_eq!(DateTime::parse_from_rfc3339(&format(time)).unwrap(), time);
    }
}
