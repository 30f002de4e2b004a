//! Timing of requests to a coarse clock, so that each answer proves as much as possible. Pure.
//!
//! A clock of whole seconds reveals nothing within a second, but its moment of change reveals the
//! offset. Each request is timed so that the answer shows whether the clock has changed yet, which
//! cuts the bounds at a chosen offset. A cut beside the limit decides sooner than halving. Without
//! a limit in between, the middle is best.

use crate::interval::{OffsetInterval, drift};
use crate::units::{MICROSECOND, MILLISECOND, Nanoseconds};

/// Finest resolution that is worth waiting for.
const COARSE: Nanoseconds = 100 * MILLISECOND;
/// Slack for a request that is sent late.
const SLACK: Nanoseconds = 2 * MILLISECOND;

/// Knowledge of the clock that is asked next, in nanoseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known {
    pub(crate) bounds: OffsetInterval,
    pub(crate) resolution: Nanoseconds,
    /// Shortest time from sending to the answer.
    pub(crate) round_trip: Nanoseconds,
}

/// Returns the pause at `wall` before the next request, nanoseconds; `None` if waiting is useless.
pub(crate) fn wait(known: Known, wall: Nanoseconds, max_skew: Nanoseconds) -> Option<Nanoseconds> {
    if known.resolution < COARSE || known.bounds.is_empty() {
        return None;
    }
    let cut = cut(known, max_skew)?;
    let way = known.round_trip / 2;
    // The service reads its clock at local time t and shows t + offset, which changes at multiples
    // of its resolution. The cut lies at those t for which t + cut is such a multiple.
    let soonest = wall + way + SLACK;
    let until = (-(soonest + cut)).rem_euclid(known.resolution);
    Some(soonest + until - way - wall)
}

/// Returns the offset at which the answer cuts the bounds.
fn cut(known: Known, max_skew: Nanoseconds) -> Option<Nanoseconds> {
    let OffsetInterval { lo, hi } = known.bounds;
    // Largest distance of a proven bound from the cut.
    let blur = known.round_trip + MICROSECOND + drift(known.round_trip) + SLACK;
    let worth = |cut: &Nanoseconds| lo + blur < *cut && *cut < hi - blur;
    let in_doubt = |limit: Nanoseconds| lo <= limit && limit < hi;
    let beside = match (in_doubt(-max_skew), in_doubt(max_skew)) {
        // The inner side of the limit first, because most clocks are right.
        (false, true) => vec![max_skew - blur, max_skew + blur],
        (true, false) => vec![-max_skew + blur, -max_skew - blur],
        (true, true) => vec![max_skew - blur, -max_skew + blur],
        (false, false) => Vec::new(),
    };
    beside
        .into_iter()
        .chain([i128::midpoint(lo, hi)])
        .find(worth)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::SECOND;

    fn known(lo: i128, hi: i128) -> Known {
        Known {
            bounds: OffsetInterval {
                lo: lo * MILLISECOND,
                hi: hi * MILLISECOND,
            },
            resolution: SECOND,
            round_trip: 10 * MILLISECOND,
        }
    }

    #[test]
    fn fine_clocks_are_not_waited_for() {
        let fine = Known {
            resolution: MILLISECOND,
            ..known(600, 1_600)
        };
        assert_eq!(wait(fine, 0, SECOND), None);
        // What cannot be cut any more is not either.
        assert_eq!(wait(known(995, 1_005), 0, SECOND), None);
        assert_eq!(wait(known(1_005, 995), 0, SECOND), None);
    }

    #[test]
    fn the_request_arrives_as_the_clock_changes_if_it_is_off_by_the_cut() {
        for wall in [0, 1_234_567_891, 77 * SECOND + 999_999_999] {
            for bounds in [known(600, 1_600), known(-1_400, -400), known(-300, 700)] {
                let limit = if bounds.bounds.lo == -300 * MILLISECOND {
                    250 * MILLISECOND
                } else {
                    SECOND
                };
                let waited = wait(bounds, wall, limit).unwrap();
                assert!((0..=SECOND + SLACK).contains(&waited), "{waited}");
                let served = wall + waited + 5 * MILLISECOND;
                let cut = cut(bounds, limit).unwrap();
                assert_eq!((served + cut).rem_euclid(SECOND), 0);
                assert!(bounds.bounds.lo < cut && cut < bounds.bounds.hi);
            }
        }
    }

    /// A clock of whole seconds over a symmetric line of 10 ms.
    fn requests_until_decided(offset: Nanoseconds, max_skew: Nanoseconds) -> Option<u32> {
        let mut bounds: Option<OffsetInterval> = None;
        let mut now = 1_000 * SECOND + 345 * MILLISECOND;
        for request in 1..=8 {
            if let Some(bounds) = bounds {
                let known = Known {
                    bounds,
                    ..known(0, 0)
                };
                now += wait(known, now, max_skew).unwrap_or_default();
            }
            let shown = (now + 5 * MILLISECOND + offset).div_euclid(SECOND) * SECOND;
            let fresh = OffsetInterval {
                lo: shown - now - 10 * MILLISECOND,
                hi: shown + SECOND - now,
            };
            now += 10 * MILLISECOND;
            let all = bounds.map_or(fresh, |bounds| bounds.intersection(&fresh));
            assert!(all.lo <= offset && offset <= all.hi);
            if all.lo > max_skew
                || all.hi < -max_skew
                || (-max_skew <= all.lo && all.hi <= max_skew)
            {
                return Some(request);
            }
            bounds = Some(all);
        }
        None
    }

    #[test]
    fn few_requests_decide_on_whole_seconds() {
        for offset in [
            0, 500, -500, 900, -900, 950, -950, 1_050, -1_050, 1_100, -1_100, 1_900,
        ] {
            let needed = requests_until_decided(offset * MILLISECOND, SECOND);
            assert!(
                needed.is_some_and(|needed| needed <= 4),
                "{offset}: {needed:?}"
            );
        }
        // Even a limit far below the resolution can be decided upon.
        for offset in [0, 100, -200, 300, -300, 700] {
            let needed = requests_until_decided(offset * MILLISECOND, 250 * MILLISECOND);
            assert!(
                needed.is_some_and(|needed| needed <= 6),
                "{offset}: {needed:?}"
            );
        }
        assert_eq!(requests_until_decided(SECOND, SECOND), None);
    }
}
