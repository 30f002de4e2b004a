//! The one way the service writes a time.

use chrono::{DateTime, Datelike, Timelike, Utc};

/// Of `2026-11-22T10:04:05.123456Z`.
pub(crate) const LENGTH: usize = 27;

/// RFC 3339 in UTC with exactly six fraction digits and `Z`, as in `2026-11-22T10:04:05.123456Z`.
///
/// The width never varies, so a reader can take the resolution from any single answer, and HEAD can
/// tell the length that GET will have. Digits beyond the sixth are cut, not rounded: a timestamp is
/// never ahead of the clock. Written here rather than by chrono's formatter, which takes ten times
/// the instructions and an allocation, in every answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timestamp([u8; LENGTH]);

impl Timestamp {
    /// Writes `time`. A year that has not four digits, which no clock shows, becomes one that has.
    pub(crate) fn new(time: DateTime<Utc>) -> Self {
        // Taken apart once: the fields of a time with a zone are each computed from the start.
        let time = time.naive_utc();
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        let year = u32::try_from(time.year()).unwrap_or(0);
        write_digits(&mut text[0..4], year);
        write_digits(&mut text[5..7], time.month());
        write_digits(&mut text[8..10], time.day());
        write_digits(&mut text[11..13], time.hour());
        write_digits(&mut text[14..16], time.minute());
        write_digits(&mut text[17..19], time.second());
        write_digits(&mut text[20..26], time.nanosecond() / 1000);
        Self(text)
    }

    /// The text.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The same as text.
    pub(crate) fn as_str(&self) -> &str {
        // Never the default: the bytes are digits and ASCII signs.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// The numbers from 0 to 99, two digits each.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[b'0'; 2]; 100];
    let mut number = 0_u8;
    while number < 100 {
        pairs[number as usize] = [b'0' + number / 10, b'0' + number % 10];
        number += 1;
    }
    pairs
};

/// Writes the last digits of `number` into all of `place`, which has an even number of them.
fn write_digits(place: &mut [u8], mut number: u32) {
    for pair in place.rchunks_exact_mut(2) {
        pair.copy_from_slice(&PAIRS[(number % 100) as usize]);
        number /= 100;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(time: DateTime<Utc>) -> String {
        Timestamp::new(time).as_str().to_owned()
    }

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
    fn it_is_what_chrono_writes() {
        // A prime number of microseconds, so that all digits vary; some three days apart, to 2100.
        for step in 0..16_000 {
            let time = DateTime::from_timestamp_micros(step * 256_203_221_009).unwrap();
            let expected = time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
            assert_eq!(format(time), expected);
        }
    }

    #[test]
    fn a_reader_gets_the_same_microsecond_back() {
        let time = DateTime::from_timestamp(1_795_341_845, 123_456_000).unwrap();
        assert_eq!(DateTime::parse_from_rfc3339(&format(time)).unwrap(), time);
    }
}
