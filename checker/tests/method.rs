//! The method itself, over many simulated exchanges: the true offset always lies within the bounds, and no verdict is false.
#![expect(
    clippy::unwrap_used,
    reason = "in helpers of tests too, what cannot be is a failed test"
)]

use checker::{InstanceClock, Reading, Sample, Settings, Timestamp, Verdict};
use chrono::{DateTime, SecondsFormat};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

const SECOND: i128 = 1_000_000_000;
const MILLISECOND: i128 = 1_000_000;
const START: i128 = 1_795_305_600 * SECOND;
const TRIALS: u32 = 30_000;

/// A remote clock that is off, and runs a little too fast or too slow.
struct Remote {
    offset: i128,
    parts_per_million: i128,
    format: SecondsFormat,
}

impl Remote {
    fn random(random: &mut StdRng) -> Self {
        let offset = match random.random_range(0..4) {
            0 => random.random_range(-SECOND / 10..SECOND / 10),
            1 => random.random_range(-SECOND * 3..SECOND * 3),
            // Where a verdict is most easily wrong.
            2 => SECOND + random.random_range(-20 * MILLISECOND..20 * MILLISECOND),
            _ => random.random_range(-3_600 * SECOND..3_600 * SECOND),
        };
        let format = [
            SecondsFormat::Micros,
            SecondsFormat::Millis,
            SecondsFormat::Secs,
        ];
        Self {
            offset: if random.random() { offset } else { -offset },
            parts_per_million: random.random_range(-400..=400),
            format: format[random.random_range(0..format.len())],
        }
    }

    fn offset_at(&self, time: i128) -> i128 {
        self.offset + time * self.parts_per_million / 1_000_000
    }

    /// What it writes at a local moment, in the service's own form.
    fn timestamp_at(&self, time: i128) -> Timestamp {
        let now = START + time + self.offset_at(time);
        let seconds = i64::try_from(now.div_euclid(SECOND)).unwrap();
        let nanoseconds = u32::try_from(now.rem_euclid(SECOND)).unwrap();
        let text = DateTime::from_timestamp(seconds, nanoseconds)
            .unwrap()
            .to_rfc3339_opts(self.format, true);
        Timestamp::parse(&text).unwrap()
    }
}

fn reading(time: i128) -> Reading {
    Reading {
        wall: START + time,
        monotonic: time,
    }
}

/// From 10 µs to about 3 s, short ones as frequent as long ones.
fn delay(random: &mut StdRng) -> i128 {
    (10_000 << random.random_range(0..18)) + random.random_range(0..10_000)
}

#[test]
fn bounds_hold_and_no_verdict_is_false() {
    let limit = i128::try_from(Settings::default().max_skew.as_nanos()).unwrap();
    let mut random = StdRng::seed_from_u64(20_261_122);
    let (mut right, mut wrong) = (0, 0);
    for trial in 0..TRIALS {
        let remote = Remote::random(&mut random);
        let mut clock = InstanceClock::default();
        let mut time = 0;
        for _ in 0..random.random_range(1..=8) {
            let sent = time;
            // Nothing is symmetric: each way has a delay of its own.
            let served = sent + delay(&mut random);
            time = served + delay(&mut random);
            let sample = Sample {
                sent: reading(sent),
                received: reading(time),
                timestamp: remote.timestamp_at(served),
            };
            let single = sample.interval();
            let offset = remote.offset_at(time);
            assert!(
                single.lo <= offset && offset <= single.hi,
                "trial {trial}: {offset} is not in {single:?}"
            );
            clock.add(&sample, false);
            time += delay(&mut random);
        }
        let offset = remote.offset_at(time);
        let bounds = clock.interval_at(time).unwrap();
        assert!(
            bounds.lo <= offset && offset <= bounds.hi,
            "trial {trial}: {offset} is not in {bounds:?}"
        );
        match clock.verdict_at(time, limit) {
            Verdict::Ok => {
                right += 1;
                assert!(offset.abs() <= limit, "trial {trial}: {offset} called OK");
            }
            Verdict::Skewed => {
                wrong += 1;
                assert!(
                    offset.abs() > limit,
                    "trial {trial}: {offset} called skewed"
                );
            }
            Verdict::Indeterminate { .. } => {}
            Verdict::Down => unreachable!("no request failed"),
        }
    }
    // Caution alone would pass the test: most trials have to be decided.
    assert!(right > TRIALS / 5, "{right} of {TRIALS} called OK");
    assert!(wrong > TRIALS / 5, "{wrong} of {TRIALS} called skewed");
}
