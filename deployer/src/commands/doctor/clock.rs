//! Check of the local clock. AWS rejects requests whose signature time is off by more than five
//! minutes. Pure.

use super::{Finding, Level};

/// Offset that causes a warning, ms. The checker would attribute it to the service.
const WARNING_MS: i64 = 2_000;
/// Offset that causes an error, ms: the limit of AWS (five minutes), less a minute for further
/// drift.
const ERROR_MS: i64 = 240_000;
/// Resolution of an HTTP date, ms. It names a second, not a moment within it.
const RESOLUTION_MS: i64 = 1_000;

/// Time reported by AWS and local times around the request, in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reading {
    /// Local clock before the request.
    pub(super) asked: i64,
    /// Local clock after the response.
    pub(super) answered: i64,
    /// Start of the second that the `Date` header names.
    pub(super) date: i64,
}

impl Reading {
    /// Returns the bounds of AWS's clock minus the local clock, ms.
    const fn interval(self) -> (i64, i64) {
        (
            self.date - self.answered,
            self.date + RESOLUTION_MS - self.asked,
        )
    }

    /// Returns the least possible offset of the local clock, ms.
    fn least_ms(self) -> i64 {
        let (low, high) = self.interval();
        // Neither value is positive if the interval contains zero: the clocks may agree.
        low.max(-high).max(0)
    }
}

/// Judges the local clock.
pub(super) fn judge(reading: &Result<Reading, String>) -> Finding {
    let finding = |level, found, remedies| Finding {
        check: "clock",
        level,
        found,
        remedies,
    };
    let reading = match reading {
        Ok(reading) => *reading,
        Err(cause) => {
            let found = format!("cannot be compared with AWS's: {cause}");
            let remedy = "is the network up, and the region spelled right?".to_owned();
            return finding(Level::Warning, found, vec![remedy]);
        }
    };
    let (low, high) = reading.interval();
    let (middle, half) = (seconds(low + high) / 2.0, seconds(high - low) / 2.0);
    let found = format!("AWS's clock minus this machine's: {middle:+.1} s ± {half:.1} s");
    let level = match reading.least_ms() {
        // Only the least possible offset counts, so that a slow network causes no false alarm.
        least if least > ERROR_MS => Level::Error,
        least if least > WARNING_MS => Level::Warning,
        _ => return finding(Level::Ok, found, Vec::new()),
    };
    let remedies = vec![
        "set it: `sudo timedatectl set-ntp true`".to_owned(),
        "AWS refuses what is signed with a time 5 minutes off".to_owned(),
    ];
    finding(level, found, remedies)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "shown with one digit after the point"
)]
fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A second that begins 2026-11-24T10:00:00Z.
    const DATE_MS: i64 = 1_795_514_400_000;

    /// Our clock is this far ahead of AWS's; the answer came halfway through the second, after 100 ms.
    fn ahead(ms: i64) -> Reading {
        Reading {
            asked: DATE_MS + 450 + ms,
            answered: DATE_MS + 550 + ms,
            date: DATE_MS,
        }
    }

    #[test]
    fn what_is_off_and_what_is_not() {
        let table: Vec<String> = [
            0, 2_500, 2_600, -2_600, 240_500, 240_600, -240_600, -3_600_000,
        ]
        .map(|ms| {
            let finding = judge(&Ok(ahead(ms)));
            format!("{ms:>8} {:<8}{}", finding.level.title(), finding.found)
        })
        .into();
        insta::assert_snapshot!(table.join("\n"), @"
               0 ok      AWS's clock minus this machine's: +0.0 s ± 0.6 s
            2500 ok      AWS's clock minus this machine's: -2.5 s ± 0.6 s
            2600 warning AWS's clock minus this machine's: -2.6 s ± 0.6 s
           -2600 warning AWS's clock minus this machine's: +2.6 s ± 0.6 s
          240500 warning AWS's clock minus this machine's: -240.5 s ± 0.6 s
          240600 error   AWS's clock minus this machine's: -240.6 s ± 0.6 s
         -240600 error   AWS's clock minus this machine's: +240.6 s ± 0.6 s
        -3600000 error   AWS's clock minus this machine's: +3600.0 s ± 0.6 s
        ");
    }

    #[test]
    fn a_slow_answer_proves_less() {
        let slow = Reading {
            asked: DATE_MS - 9_000,
            answered: DATE_MS + 5_000,
            date: DATE_MS,
        };
        assert_eq!(judge(&Ok(slow)).level, Level::Ok);
    }
}
