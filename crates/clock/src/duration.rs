//! Parser for durations such as `500ms`, `30s`, `2m` and `1h`.

use std::time::Duration;

/// Parses a whole number with a unit, longer than zero and at most a week. The error is a text, as
/// clap expects.
pub fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let milliseconds: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "" => return Err("a unit is missing: write for example `500ms`, `30s` or `2m`".to_owned()),
        _ => return Err("write for example `500ms`, `30s`, `2m` or `1h`".to_owned()),
    };
    let number: u64 = number
        .parse()
        .map_err(|_| "a whole number with a unit is needed, for example `30s`".to_owned())?;
    let total = number
        // A huge number must not wrap around to a valid duration.
        .checked_mul(milliseconds)
        .filter(|total| *total <= LONGEST)
        .ok_or_else(|| "longer than a week".to_owned())?;
    if total == 0 {
        return Err("must be longer than zero".to_owned());
    }
    Ok(Duration::from_millis(total))
}

/// Parses a number of days such as `14d`.
pub fn days(text: &str) -> Result<u32, String> {
    let number = text.strip_suffix('d').and_then(|days| days.parse().ok());
    // `u32::from_str` accepts a leading `+`.
    let is_plain = text.starts_with(|first: char| first.is_ascii_digit());
    number
        .filter(|days| is_plain && (1..=MOST_DAYS).contains(days))
        .ok_or_else(|| format!("write a number of days from 1 to {MOST_DAYS}, for example `14d`"))
}

/// Maximum number of days: ten years, longer than any certificate is valid.
const MOST_DAYS: u32 = 3_650;

/// Maximum in milliseconds: a week. Sums of such durations cannot overflow.
const LONGEST: u64 = 7 * 24 * 3_600_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_units_are_read() {
        for (text, milliseconds) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("2m", 120_000),
            ("2min", 120_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(milliseconds)));
        }
    }

    #[test]
    fn days_are_read() {
        assert_eq!(days("14d"), Ok(14));
        for text in ["", "d", "14", "0d", "+1d", "1.5d", "3651d", "1h"] {
            assert!(days(text).is_err(), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "5",
            "s",
            "1.5s",
            "-1s",
            "0s",
            "1 s",
            "1d",
            "99999999999999999999s",
            "300h",
            "é",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
