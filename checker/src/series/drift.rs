//! Rate of a clock as bounds: any two offset intervals bound the rate between them.

use std::collections::VecDeque;

use clock::OffsetInterval;
use clock::units::{Nanoseconds, SECOND, milliseconds};
use serde::Serialize;

/// Maximum number of points per clock. Beyond it every second one is dropped; the bounds they
/// proved remain.
const KEPT: usize = 64;
/// Time, in nanoseconds, for which a rate has to hold before a forecast. Two points alone always
/// have a rate.
const STEADY: Nanoseconds = 300 * SECOND;
/// Length of a forecast, as a multiple of the time the rate has held. A disciplined clock
/// oscillates within hours.
const REACH: f64 = 10.0;
/// Fraction of the limit (one in 20) by which a clock has to move before a forecast.
const EXCURSION: Nanoseconds = 20;

/// Bounds of one clock's rate against the local clock, as long as a constant rate explains all
/// points.
#[derive(Debug, Clone, Default)]
pub(crate) struct Drift {
    points: VecDeque<Point>,
    rate: Option<Rate>,
}

#[derive(Debug, Clone, Copy)]
struct Point {
    /// Monotonic time, nanoseconds.
    at: Nanoseconds,
    bounds: OffsetInterval,
}

/// Bounds of a rate, parts per million.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Rate {
    lo: f64,
    hi: f64,
}

/// Rate of a clock, and its forecast.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub(crate) struct Trend {
    /// Instance name.
    pub(crate) instance: Option<String>,
    /// Lower bound of the rate against the local clock, parts per million.
    pub(crate) lo_ppm: f64,
    /// Upper bound of the rate.
    pub(crate) hi_ppm: f64,
    /// Forecast of the limit's crossing at this rate; `None` if it is uncertain or far ahead.
    pub(crate) crosses: Option<Crossing>,
}

/// Forecast of the moment at which a limit is crossed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, schemars::JsonSchema)]
pub(crate) struct Crossing {
    /// Limit, milliseconds: +Θ or −Θ.
    pub(crate) limit_ms: f64,
    /// Earliest crossing, seconds from now.
    pub(crate) soonest_s: f64,
    /// Latest crossing, seconds from now.
    pub(crate) latest_s: f64,
}

impl Drift {
    /// Adds the bounds that a check has proven at a monotonic moment.
    pub(crate) fn add(&mut self, at: Nanoseconds, bounds: OffsetInterval) {
        if bounds.is_empty() {
            *self = Self::default();
            return;
        }
        let fresh = Point { at, bounds };
        let rates = self
            .points
            .iter()
            // Points within a second bound a rate poorly, and rounding dominates.
            .filter(|known| at - known.at >= SECOND)
            .map(|known| between(known, &fresh));
        let rate = rates.chain(self.rate).reduce(|a, b| Rate {
            lo: a.lo.max(b.lo),
            hi: a.hi.min(b.hi),
        });
        if rate.is_some_and(|rate| rate.lo > rate.hi) {
            // No constant rate explains the points: the clock was set, or its rate corrected.
            // Starts again from this point.
            *self = Self::default();
        } else {
            self.rate = rate;
        }
        self.points.push_back(fresh);
        if self.points.len() > KEPT {
            let mut index = 0;
            self.points.retain(|_| {
                // The oldest point stays, because a long time between two points bounds the rate
                // best.
                index += 1;
                index % 2 == 1
            });
        }
    }

    /// Returns the rate and, from it, the forecast for the limit (nanoseconds).
    pub(crate) fn trend(&self, instance: Option<String>, max_skew: Nanoseconds) -> Option<Trend> {
        let rate = self.rate?;
        let now = self.points.back()?.bounds;
        Some(Trend {
            instance,
            lo_ppm: rounded(rate.lo),
            hi_ppm: rounded(rate.hi),
            crosses: crossing(rate, now, max_skew).filter(|it| self.is_certain(it, max_skew)),
        })
    }

    /// Returns whether the rate has held for long enough, and the clock has moved far enough, for a
    /// forecast.
    fn is_certain(&self, crossing: &Crossing, max_skew: Nanoseconds) -> bool {
        let Some((first, last)) = self.points.front().zip(self.points.back()) else {
            return false;
        };
        let held = last.at - first.at;
        let moved = last.bounds.estimate() - first.bounds.estimate();
        held >= STEADY
            && moved.abs() * EXCURSION >= max_skew
            && crossing.latest_s <= REACH * to_f64(held) / 1e9
    }
}

fn between(earlier: &Point, later: &Point) -> Rate {
    let elapsed = to_f64(later.at - earlier.at);
    Rate {
        lo: to_f64(later.bounds.lo - earlier.bounds.hi) / elapsed * 1e6,
        hi: to_f64(later.bounds.hi - earlier.bounds.lo) / elapsed * 1e6,
    }
}

fn crossing(rate: Rate, now: OffsetInterval, max_skew: Nanoseconds) -> Option<Crossing> {
    // Mirrors a clock that falls behind, so that only one direction has to be computed.
    let (sign, rate, now) = if rate.lo > 0.0 {
        (1.0, rate, now)
    } else if rate.hi < 0.0 {
        let mirrored = Rate {
            lo: -rate.hi,
            hi: -rate.lo,
        };
        let now = OffsetInterval {
            lo: -now.hi,
            hi: -now.lo,
        };
        (-1.0, mirrored, now)
    } else {
        // The rate may be zero, and the limit may never be reached.
        return None;
    };
    // Beyond the limit already, so there is nothing to forecast.
    if now.lo > max_skew {
        return None;
    }
    let seconds = |distance: Nanoseconds, rate: f64| to_f64(distance.max(0)) / 1e9 / (rate * 1e-6);
    let latest_s = seconds(max_skew - now.lo, rate.lo);
    Some(Crossing {
        limit_ms: sign * milliseconds(max_skew),
        soonest_s: seconds(max_skew - now.hi, rate.hi).round(),
        latest_s: latest_s.round(),
    })
}

fn rounded(ppm: f64) -> f64 {
    (ppm * 1e3).round() / 1e3
}

#[expect(
    clippy::cast_precision_loss,
    reason = "of a month in nanoseconds the last bit is half a nanosecond"
)]
fn to_f64(nanoseconds: Nanoseconds) -> f64 {
    nanoseconds as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use clock::units::MILLISECOND;

    /// A clock that gains `ppm`, measured to ±1 ms every 30 s.
    fn measured(ppm: f64, start: Nanoseconds, checks: i32) -> Drift {
        let mut drift = Drift::default();
        for check in 0..checks {
            let at = Nanoseconds::from(check) * 30 * SECOND;
            #[expect(clippy::cast_possible_truncation, reason = "small")]
            let offset = start + (f64::from(check) * 30.0 * ppm * 1000.0) as Nanoseconds;
            // Anywhere within the bounds.
            let shift = Nanoseconds::from(check % 7 - 3) * MILLISECOND / 4;
            let bounds = OffsetInterval {
                lo: offset + shift - MILLISECOND,
                hi: offset + shift + MILLISECOND,
            };
            drift.add(at, bounds);
        }
        drift
    }

    #[test]
    fn the_true_rate_lies_within_the_bounds() {
        for ppm in [0.0, 3.0, -3.0, 50.0, -200.0] {
            let trend = measured(ppm, 0, 1_000).trend(None, SECOND).unwrap();
            assert!(trend.lo_ppm <= ppm && ppm <= trend.hi_ppm, "{trend:?}");
            assert!(trend.hi_ppm - trend.lo_ppm < 0.2, "{trend:?}");
        }
    }

    #[test]
    fn a_forecast_is_bounded_and_only_given_when_certain() {
        let month = 30.0 * 86_400.0;
        for sign in [1.0, -1.0] {
            let trend = measured(sign * 3.0, 0, 2_000).trend(None, SECOND).unwrap();
            let crossing = trend.crosses.unwrap();
            assert!((crossing.limit_ms - sign * 1_000.0).abs() < 1e-9);
            // 1 s at 3 ppm, less the 60 000 s that have passed.
            let truth = 1.0 / 3e-6 - 60_000.0;
            // After a tenth of the time too little has happened.
            let early = measured(sign * 3.0, 0, 200).trend(None, SECOND).unwrap();
            assert_eq!(early.crosses, None);
            assert!(crossing.soonest_s < truth && truth < crossing.latest_s);
            assert!(crossing.latest_s < month);
        }
        assert_eq!(
            measured(0.0, 0, 1_000).trend(None, SECOND).unwrap().crosses,
            None
        );
        // It has passed already.
        let beyond = measured(5.0, 2 * SECOND, 1_000)
            .trend(None, SECOND)
            .unwrap();
        assert_eq!(beyond.crosses, None);
    }

    #[test]
    fn two_points_are_no_forecast() {
        // Set by 10 ms between two checks: a rate of 333 ppm, if it were one.
        let mut drift = Drift::default();
        for (at, offset) in [(0, 0), (30, 10)] {
            let bounds = OffsetInterval {
                lo: offset * MILLISECOND - 1_000,
                hi: offset * MILLISECOND + 1_000,
            };
            drift.add(at * SECOND, bounds);
        }
        let trend = drift.trend(None, SECOND).unwrap();
        assert!(trend.lo_ppm > 333.0);
        assert_eq!(trend.crosses, None);
        assert!(
            measured(3.0, 0, 2_000)
                .trend(None, SECOND)
                .unwrap()
                .crosses
                .is_some()
        );
    }

    #[test]
    fn a_disciplined_clock_that_wanders_has_no_forecast() {
        // 0.4 ms ± 2 ms within 6.3 hours, as a steered clock does; measured to ±1 ms for a day.
        let mut drift = Drift::default();
        for check in 0..2_880 {
            let seconds = f64::from(check) * 30.0;
            let wander = 0.4 + 2.0 * (seconds / 22_680.0 * std::f64::consts::TAU).sin();
            let offset = clock::units::nanoseconds_of(wander);
            let bounds = OffsetInterval {
                lo: offset - MILLISECOND,
                hi: offset + MILLISECOND,
            };
            drift.add(Nanoseconds::from(check) * 30 * SECOND, bounds);
            let trend = drift.trend(None, SECOND);
            assert!(trend.is_none_or(|it| it.crosses.is_none()), "{check}");
        }
    }

    #[test]
    fn a_clock_that_is_set_starts_again() {
        let mut drift = measured(3.0, 0, 1_000);
        let at = 40_000 * SECOND;
        let set = OffsetInterval {
            lo: -MILLISECOND,
            hi: MILLISECOND,
        };
        drift.add(at, set);
        assert_eq!(drift.trend(None, SECOND), None);
        drift.add(at + 30 * SECOND, set);
        let trend = drift.trend(None, SECOND).unwrap();
        assert!(trend.lo_ppm < 0.0 && trend.hi_ppm > 0.0);
    }

    #[test]
    fn memory_is_bounded() {
        assert!(measured(1.0, 0, 5_000).points.len() <= KEPT);
    }
}
