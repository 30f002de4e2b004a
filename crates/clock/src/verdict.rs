//! Verdict, decided from intervals alone. A clock is only called right or wrong if every offset in
//! the interval agrees.

use serde::{Deserialize, Serialize};

use crate::interval::OffsetInterval;
use crate::units::Nanoseconds;

/// Verdict on the service after a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "verdict", rename_all = "snake_case")]
#[must_use]
pub enum Verdict {
    /// Up, every clock proven within ±Θ, and all that was expected was found.
    Ok,
    /// Not up: no connection, no answer in time, no success status, or no timestamp in the answer.
    Down,
    /// Up, but a clock is proven to be more than Θ off.
    Skewed,
    /// Up as far as known, with no proof that the clocks are right or wrong.
    Indeterminate {
        /// Reason that nothing is proven.
        reason: Reason,
    },
}

/// Reason for an indeterminate verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Answers took too long for the limit.
    RttTooLong,
    /// The timestamps are written too coarsely for the limit.
    CoarseResolution,
    /// Offset measured well, but too near to the limit.
    Borderline,
    /// The local clock was set during the check.
    LocalStep,
    /// Suspension of the checker's host during the check.
    Suspended,
    /// Cached responses, which were not made for the request.
    Stale,
    /// Delay of the checker, which was not scheduled in time to measure.
    CheckerOverloaded,
    /// The service answered from within a leap second.
    LeapWindow,
    /// Contradicting answers of one instance: its clock was set during the check, or two instances
    /// share a name.
    Inconsistent,
    /// No answer that could be judged.
    NoSample,
    /// An answer came from another version than the expected one.
    UnexpectedVersion,
    /// Fewer instances answered than expected.
    MissingInstances,
    /// No network on this host, or no route to any of the addresses.
    NoNetwork,
    /// The resolver does not answer, or reports a temporary failure.
    Resolver,
    /// The certificates to trust cannot be read.
    CertificateStore,
    /// The service's certificate is refused by a local clock that a time server proves wrong.
    LocalClock,
    /// The checker itself is broken.
    InternalError,
}

/// Problem that gives a warning although the verdict is OK.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Warning {
    /// A clock is proven to be further off than the limit for warnings.
    Skew,
    /// One of the service's addresses does not answer.
    AddressDead,
    /// The service's certificate expires soon.
    Certificate,
}

impl Verdict {
    /// Returns the verdict on one clock. `resolution` (of its timestamps) and `max_skew` (Θ) are in
    /// nanoseconds.
    pub fn of_interval(
        interval: OffsetInterval,
        resolution: Nanoseconds,
        max_skew: Nanoseconds,
    ) -> Self {
        // Checked before emptiness: a single sample proved the bounds beyond the limit, whatever
        // others say.
        if interval.lo > max_skew || interval.hi < -max_skew {
            return Self::Skewed;
        }
        if interval.is_empty() {
            return Self::Indeterminate {
                reason: Reason::Inconsistent,
            };
        }
        if -max_skew <= interval.lo && interval.hi <= max_skew {
            return Self::Ok;
        }
        // An interval this narrow is well measured: the offset is merely too near to the limit.
        let reason = if interval.width() <= max_skew / 2 {
            Reason::Borderline
        } else if resolution >= interval.width() / 2 {
            Reason::CoarseResolution
        } else {
            Reason::RttTooLong
        };
        Self::Indeterminate { reason }
    }

    /// Combines the verdicts on the instances' clocks: skewed if one is, OK only if all are.
    pub fn of_instances(instances: impl IntoIterator<Item = Self>) -> Self {
        instances
            .into_iter()
            .reduce(Self::graver)
            .unwrap_or(Self::Indeterminate {
                reason: Reason::NoSample,
            })
    }

    /// Returns the name shown to people and used by monitoring plugins.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Down => "DOWN",
            Self::Skewed => "SKEWED",
            Self::Indeterminate { .. } => "UNKNOWN",
        }
    }

    /// Returns the graver verdict. Of equals the first wins, so that the first reason is reported.
    fn graver(self, other: Self) -> Self {
        if other.rank() > self.rank() {
            other
        } else {
            self
        }
    }

    fn rank(self) -> u8 {
        match self {
            Self::Ok => 0,
            // One undecided clock is enough to keep the check from being OK.
            Self::Indeterminate { .. } => 1,
            Self::Skewed => 2,
            Self::Down => 3,
        }
    }

    /// Returns whether waiting may change the verdict. A starting service may recover; a clock that
    /// is off does not.
    pub fn may_pass(self) -> bool {
        match self {
            Self::Ok | Self::Skewed => false,
            Self::Down => true,
            Self::Indeterminate { reason } => match reason {
                // Expected while a deployment replaces instances, or while this host or its network
                // recovers.
                Reason::UnexpectedVersion
                | Reason::MissingInstances
                | Reason::NoNetwork
                | Reason::Resolver
                | Reason::CheckerOverloaded => true,
                Reason::RttTooLong
                | Reason::CoarseResolution
                | Reason::Borderline
                | Reason::LocalStep
                | Reason::Suspended
                | Reason::Stale
                | Reason::LeapWindow
                | Reason::Inconsistent
                | Reason::NoSample
                | Reason::CertificateStore
                | Reason::LocalClock
                | Reason::InternalError => false,
            },
        }
    }
}

/// Returns the minimum distance of two clocks in nanoseconds; negative if they may agree. More than
/// 2Θ means that one of them is wrong even if the local clock is.
pub(crate) fn separation(a: OffsetInterval, b: OffsetInterval) -> Nanoseconds {
    (a.lo - b.hi).max(b.lo - a.hi)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{MICROSECOND, MILLISECOND, SECOND};

    const fn undecided(reason: Reason) -> Verdict {
        Verdict::Indeterminate { reason }
    }

    /// Milliseconds, Θ = 1 s.
    fn judge(lo: i128, hi: i128, resolution: Nanoseconds) -> Verdict {
        let interval = OffsetInterval {
            lo: lo * MILLISECOND,
            hi: hi * MILLISECOND,
        };
        Verdict::of_interval(interval, resolution, SECOND)
    }

    #[test]
    fn both_signs_are_judged_alike() {
        let table = [
            (899, 901, Verdict::Ok),
            (1_099, 1_101, Verdict::Skewed),
            (3_599_999, 3_600_001, Verdict::Skewed),
            (-1_000, 1_000, Verdict::Ok),
            (998, 1_000, Verdict::Ok),
            (999, 1_001, undecided(Reason::Borderline)),
            (1_000, 1_000, Verdict::Ok),
            (1_000, 1_002, undecided(Reason::Borderline)),
            (1_001, 1_002, Verdict::Skewed),
            (400, 1_600, undecided(Reason::RttTooLong)),
            (-2_000, 2_000, undecided(Reason::RttTooLong)),
            (600, 500, undecided(Reason::Inconsistent)),
            (1_001, 900, Verdict::Skewed),
        ];
        for (lo, hi, expected) in table {
            assert_eq!(judge(lo, hi, MICROSECOND), expected, "[{lo}, {hi}]");
            assert_eq!(judge(-hi, -lo, MICROSECOND), expected, "[{}, {}]", -hi, -lo);
        }
    }

    #[test]
    fn what_made_the_interval_wide_is_the_reason() {
        assert_eq!(
            judge(500, 1_510, SECOND),
            undecided(Reason::CoarseResolution)
        );
        assert_eq!(judge(500, 3_500, SECOND), undecided(Reason::RttTooLong));
    }

    #[test]
    fn the_bounds_between_reasons_belong_to_the_better_measurement() {
        // Half of the limit wide.
        assert_eq!(judge(750, 1_250, SECOND), undecided(Reason::Borderline));
        assert_eq!(
            judge(750, 1_251, SECOND),
            undecided(Reason::CoarseResolution)
        );
        // Half of the interval is what the resolution explains.
        let half = 500 * MILLISECOND;
        assert_eq!(judge(500, 1_500, half), undecided(Reason::CoarseResolution));
        assert_eq!(judge(500, 1_500, half - 1), undecided(Reason::RttTooLong));
    }

    #[test]
    fn a_single_wrong_instance_condemns_the_service() {
        let (ok, skewed) = (Verdict::Ok, Verdict::Skewed);
        let (borderline, stale) = (undecided(Reason::Borderline), undecided(Reason::Stale));
        assert_eq!(Verdict::of_instances([ok, ok]), ok);
        assert_eq!(Verdict::of_instances([ok, borderline, skewed]), skewed);
        assert_eq!(Verdict::of_instances([ok, borderline, stale]), borderline);
        assert_eq!(Verdict::of_instances([]), undecided(Reason::NoSample));
    }

    #[test]
    fn instances_more_than_twice_the_limit_apart_are_never_both_right() {
        let at = |offset: i128| OffsetInterval {
            lo: (offset - 1) * MILLISECOND,
            hi: (offset + 1) * MILLISECOND,
        };
        assert_eq!(separation(at(0), at(2_100)), 2_098 * MILLISECOND);
        assert_eq!(separation(at(2_100), at(0)), 2_098 * MILLISECOND);
        assert!(separation(at(0), at(1)) < 0);
        // Whatever the local clock's own error: one of two clocks that far apart is beyond the limit.
        for local_error in (-5_000..5_000).step_by(50) {
            let verdicts = [local_error, local_error + 2_003]
                .map(|offset| Verdict::of_interval(at(offset), MICROSECOND, SECOND));
            assert_eq!(Verdict::of_instances(verdicts), Verdict::Skewed);
        }
    }
}
