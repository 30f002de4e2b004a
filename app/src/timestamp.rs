//! Text form of a time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// 9999-12-31T23:59:59, since 1970.
const LAST_SECOND: Duration = Duration::from_secs(253_402_300_799);

/// Formats a time as RFC 3339 in UTC with exactly six fraction digits and `Z`, as in
/// `2026-11-22T10:04:05.123456Z`.
///
/// The width never varies, so a reader can take the resolution from any single answer, and HEAD
/// announces the length that GET will have. Further digits are cut off, not rounded: a timestamp is
/// never ahead of the clock.
pub(crate) fn format(time: SystemTime) -> String {
    // humantime panics outside of these years, which only a broken clock shows.
    let time = time.clamp(UNIX_EPOCH, UNIX_EPOCH + LAST_SECOND);
    humantime::format_rfc3339_micros(time).to_string()
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
            (253_402_300_798, 999_999_999, "9999-12-31T23:59:58.999999Z"),
            (253_402_300_800, 0, "9999-12-31T23:59:59.000000Z"),
        ];
        for (seconds, nanoseconds, expected) in table {
            let time = UNIX_EPOCH + Duration::new(seconds, nanoseconds);
            assert_eq!(format(time), expected);
        }
        let before = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(format(before), "1970-01-01T00:00:00.000000Z");
    }
}
