//! Parser for `HEALTHCHECK`. ECS ignores it, but Docker and other runtimes do not.

use serde_json::{Value, json};

use super::error::Problem;
use super::words;

/// Health check in the format of image configurations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck(pub(crate) Value);

impl HealthCheck {
    /// Parses the arguments of the instruction.
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        let wrong = || Problem::HealthCheck(text.to_owned());
        let mut check = json!({});
        let mut rest = text;
        while let Some(flag) = rest.strip_prefix("--") {
            let (flag, behind) = flag.split_once(char::is_whitespace).ok_or_else(wrong)?;
            let (name, value) = flag.split_once('=').ok_or_else(wrong)?;
            let field = match name {
                "interval" => "Interval",
                "timeout" => "Timeout",
                "start-period" => "StartPeriod",
                "start-interval" => "StartInterval",
                "retries" => "Retries",
                _ => return Err(wrong()),
            };
            let number = match (field, value) {
                (_, "" | "0") => 0,
                ("Retries", _) => value
                    .parse::<i32>()
                    .ok()
                    .and_then(|it| it.try_into().ok())
                    .ok_or_else(wrong)?,
                _ => nanoseconds(value).ok_or_else(wrong)?,
            };
            // As in Docker, zero means the default and is left out.
            if number > 0 {
                check[field] = json!(number);
            }
            rest = behind.trim_start();
        }
        let (kind, command) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let command = command.trim();
        check["Test"] = match (kind.to_ascii_uppercase().as_str(), command) {
            ("NONE", "") => json!(["NONE"]),
            ("CMD", command) if !command.is_empty() => match words::json_array(command) {
                Some(words) if !words.is_empty() => {
                    let words: Vec<_> = ["CMD".to_owned()].into_iter().chain(words).collect();
                    json!(words)
                }
                // As in Docker, an empty or invalid array is a shell command.
                Some(_) | None => json!(["CMD-SHELL", command]),
            },
            _ => return Err(wrong()),
        };
        Ok(Self(check))
    }
}

/// Parses a duration in Go's format: `1m30s`, `1.5h` or `500ms`. Returns nanoseconds.
fn nanoseconds(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut sum = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, behind) = rest.split_at(end);
        let end = behind
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(end);
        let unit = match unit {
            "ns" => 1.0,
            "us" | "µs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        sum += number.parse::<f64>().ok()? * unit;
        rest = behind;
    }
    // Zero, or at least a millisecond as Docker requires, and at most 292 years, the range of Go's
    // `time.Duration`.
    let is_in_range = (1e6..9.2e18).contains(&sum) || sum == 0.0;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole nanoseconds in range"
    )]
    (!text.is_empty() && is_in_range).then_some(sum as u64)
}
