//! Tick length of a remote clock, estimated from the timestamps it sends.
//!
//! The digits of a timestamp overstate the precision. Windows ticks every 15.625 ms,
//! `CLOCK_REALTIME_COARSE` every 4 or 10 ms, nginx with `timer_resolution` every 100 ms; all of
//! them write more digits.
//!
//! A clock with a regular tick shows multiples of it, apart from a constant. Two different values
//! prove that the tick is at most their difference. Several differences prove more: the tick is a
//! common divisor of all of them. Values are only compared within one connection, where one process
//! answers: several workers behind one name tick at different moments.

use crate::timestamp::Timestamp;
use crate::units::{MILLISECOND, Nanoseconds, SECOND};

/// Longest tick assumed before anything is learned.
const UNKNOWN: Nanoseconds = 250 * MILLISECOND;
/// Longest tick assumed of a clock that was seen to stand still. nginx is told whole seconds, and
/// timers are late.
const STANDING: Nanoseconds = SECOND + SECOND / IRREGULAR;
/// Coarsest digit that a clock is not expected to repeat from one answer to the next.
const FINE: Nanoseconds = 10 * MILLISECOND;
/// Longest pause for a value to change.
const LONGEST_PAUSE: Nanoseconds = 500 * MILLISECOND;
/// Irregularity of timers: a tick is early or late by up to a sixteenth of its length.
const IRREGULAR: Nanoseconds = 16;
/// Maximum number of differences kept.
const KEPT: usize = 32;

/// Estimate of one clock's tick.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tick {
    /// The finest digit that was written, nanoseconds.
    written: Option<Nanoseconds>,
    /// Differences between consecutive values on one connection, nanoseconds, without zeros.
    differences: Vec<Nanoseconds>,
    /// Set if two answers on one connection were compared, and whether they had the same value.
    compared: bool,
    repeated: bool,
    /// The longest time for which the clock certainly showed one value.
    still: Nanoseconds,
    /// The first and the last sample with the value that was shown last.
    last: Option<Shown>,
    /// Set if the values contradict the estimate.
    contradicted: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shown {
    value: Nanoseconds,
    connection: u64,
    /// Monotonic time at which the first answer with this value had arrived.
    since: Nanoseconds,
}

impl Tick {
    /// Adds a value that was requested at `sent` and had arrived at `received` (monotonic).
    pub(crate) fn add(
        &mut self,
        timestamp: Timestamp,
        (sent, received): (Nanoseconds, Nanoseconds),
        connection: u64,
    ) {
        let digit = timestamp.resolution;
        self.written = Some(self.written.map_or(digit, |known| known.min(digit)));
        let value = timestamp.nanoseconds;
        let previous = self.last.filter(|last| last.connection == connection);
        self.compared |= previous.is_some();
        match previous {
            Some(last) if last.value == value => {
                self.repeated = true;
                // Counts from the first arrival to the last send: both lie within the time the
                // value was shown, whatever the network delay.
                self.still = self.still.max(sent - last.since);
                return;
            }
            // A clock that was set back proves nothing about its tick.
            Some(last) if last.value < value && self.differences.len() < KEPT => {
                self.differences.push(value - last.value);
            }
            Some(_) | None => {}
        }
        self.last = Some(Shown {
            value,
            connection,
            since: received,
        });
    }

    /// Marks the estimate as unreliable: samples contradict each other by less than a tick may
    /// explain.
    pub(crate) fn contradict(&mut self) {
        self.contradicted = true;
    }

    /// Returns the finest digit that was written, nanoseconds.
    pub(crate) fn written(&self) -> Nanoseconds {
        self.written.unwrap_or(UNKNOWN)
    }

    /// Returns an upper bound for the tick, nanoseconds.
    pub(crate) fn longest(&self) -> Nanoseconds {
        let written = self.written();
        let assumed = if self.repeated && written <= FINE {
            STANDING
        } else {
            UNKNOWN
        };
        // A value shown for longer than assumed disproves the default. The real tick may be longer
        // still, because only part of it was observed.
        let unknown = if self.still > written.max(assumed) {
            2 * self.still + assumed
        } else {
            assumed
        };
        let learned = match self.divisor() {
            Some(divisor) if !self.contradicted => divisor + divisor / IRREGULAR,
            Some(_) | None => unknown,
        };
        written.max(learned.min(unknown)).max(self.still)
    }

    /// Returns by how much the estimate may grow with the next answer, nanoseconds: only two answers
    /// on one connection show whether the clock stands still.
    pub(crate) fn reserve(&self) -> Nanoseconds {
        if self.compared || self.written() > FINE {
            0
        } else {
            (STANDING - self.longest()).max(0)
        }
    }

    /// Returns the pause before the next request that reveals most about the tick; `None` if the
    /// tick does not matter.
    pub(crate) fn pause(&self) -> Option<Nanoseconds> {
        const WORTHWHILE: Nanoseconds = MILLISECOND;
        let longest = self.longest();
        if longest <= self.written() || longest < WORTHWHILE {
            return None;
        }
        Some(match self.divisor() {
            // Half a tick off the known multiples, which would reveal nothing new.
            Some(divisor) if !self.contradicted => divisor / 2,
            // Doubles the time observed, until the value changes.
            Some(_) | None => (2 * self.still).clamp(2 * MILLISECOND, LONGEST_PAUSE),
        })
    }

    /// Returns the longest tick of which all differences are multiples, within the irregularity;
    /// `None` without a difference.
    fn divisor(&self) -> Option<Nanoseconds> {
        /// Finest tick tried, as a fraction of the shortest difference.
        const PARTS: Nanoseconds = 64;
        let shortest = *self.differences.iter().min()?;
        let fits = |parts: &Nanoseconds| {
            self.differences.iter().all(|difference| {
                // Distance to the next multiple, in sixteenths of a tick.
                let sixteenths = difference * parts * IRREGULAR / shortest;
                let off = (sixteenths + IRREGULAR / 2) % IRREGULAR - IRREGULAR / 2;
                // The estimated tick carries the irregularity of the shortest difference, which
                // grows with the number of ticks.
                off.abs() <= 2 + difference / shortest
            })
        };
        let parts = (1..=PARTS).find(fits).unwrap_or(PARTS);
        Some((shortest / parts).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks a clock that ticks every `tick` µs after these pauses, in µs; each request takes `trip` µs.
    fn learned(tick: Nanoseconds, trip: Nanoseconds, pauses: &[Nanoseconds]) -> Tick {
        let mut known = Tick::default();
        let mut now = 7_654_321_987;
        for pause in pauses {
            now += pause * 1_000;
            let shown = (now + trip * 500).div_euclid(tick * 1_000) * tick * 1_000;
            let timestamp = Timestamp {
                nanoseconds: shown,
                resolution: 1_000,
            };
            known.add(timestamp, (now, now + trip * 1_000), 1);
            now += trip * 1_000;
        }
        known
    }

    #[test]
    fn two_values_bound_the_tick_and_more_do_so_better() {
        assert_eq!(learned(1, 1_000, &[0]).longest(), UNKNOWN);
        let two = learned(1, 1_000, &[0, 0]).longest();
        assert!((1_000_000..1_100_000).contains(&two), "{two}");
        // Halving pauses show that it is no tick of 40 ms.
        let several = learned(1, 40_000, &[0, 0, 20_000, 10_000, 5_000]).longest();
        assert!(several < 8 * MILLISECOND, "{several}");
    }

    #[test]
    fn a_tick_is_never_thought_to_be_shorter_than_it_is() {
        for tick in [4_000, 10_000, 15_625, 100_000, 250_000] {
            for trip in [100, 900, 7_300, 40_000, 130_000] {
                let mut pauses = vec![0];
                for _ in 0..12 {
                    let known = learned(tick, trip, &pauses);
                    assert!(known.longest() >= tick * 1_000, "{tick} {trip} {known:?}");
                    pauses.push(known.pause().unwrap_or_default() / 1_000);
                }
            }
        }
    }

    #[test]
    fn a_value_that_stays_is_waited_for() {
        let mut pauses = vec![0];
        for _ in 0..7 {
            pauses.push(learned(100_000, 500, &pauses).pause().unwrap_or_default() / 1_000);
        }
        let known = learned(100_000, 500, &pauses);
        let longest = known.longest() / MILLISECOND;
        assert!((100..=110).contains(&longest), "{longest} {pauses:?}");
        // A clock that stands still for longer than any tick that is assumed.
        let still = learned(90_000_000, 500, &[0, 2_000_000]);
        assert!(still.longest() > 4_000 * MILLISECOND, "{still:?}");
    }

    #[test]
    fn other_connections_may_lead_to_other_workers() {
        let mut known = Tick::default();
        for (connection, value) in [(1, 100), (2, 103), (3, 106)] {
            let timestamp = Timestamp {
                nanoseconds: value * MILLISECOND,
                resolution: 1_000,
            };
            known.add(timestamp, (0, 0), connection);
        }
        assert_eq!(known.longest(), UNKNOWN);
    }
}
