//! Test of the method with a million simulated checks: the true offset always lies within the
//! bounds, and no verdict is false. The code under test runs against a simulated network and
//! simulated clocks; waits only advance the simulated time.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::answer::Answer;
use crate::evidence::{Evidence, Next};
use crate::exchange::{Exchange, Received};
use crate::failure::Failure;
use crate::owner::Owner;
use crate::reading::Reading;
use crate::settings::Settings;
use crate::timestamp::Timestamp;
use crate::units::{MILLISECOND, Nanoseconds, SECOND, nanoseconds};
use crate::verdict::Verdict;

const TRIALS: u64 = 1_000_000;
const SEED: u64 = 20_261_122;
const START: Nanoseconds = 1_795_305_600 * SECOND;
/// Clock precisions under test.
const KINDS: [Kind; 9] = [
    Kind::exact(6),
    Kind::exact(3),
    Kind::exact(1),
    Kind::exact(0),
    Kind::coarse(4_000_000),
    Kind::coarse(10_000_000),
    // Windows.
    Kind::coarse(15_625_000),
    // nginx, `timer_resolution 100ms`.
    Kind::coarse(100_000_000),
    Kind::coarse(250_000_000),
];

/// Precision of a simulated clock: digits written and tick length.
#[derive(Debug, Clone, Copy)]
struct Kind {
    /// Number of fraction digits.
    digits: u32,
    tick: Nanoseconds,
}

impl Kind {
    /// Returns a clock whose tick is as fine as its last digit.
    const fn exact(digits: u32) -> Self {
        Self { digits, tick: 1 }
    }

    /// Returns a clock that writes microseconds but ticks more coarsely.
    const fn coarse(tick: Nanoseconds) -> Self {
        Self { digits: 6, tick }
    }
}

/// A remote clock that is off, and runs a little too fast or too slow.
#[derive(Debug, Clone, Copy)]
struct Remote {
    offset: Nanoseconds,
    parts_per_million: Nanoseconds,
}

impl Remote {
    fn random(random: &mut StdRng, limit: Nanoseconds) -> Self {
        let offset = match random.random_range(0..5) {
            0 => random.random_range(-limit / 10..limit / 10),
            1 => random.random_range(-limit * 3..limit * 3),
            // Verdicts are most easily wrong near the limit.
            2 => limit + random.random_range(-20 * MILLISECOND..20 * MILLISECOND),
            3 => limit + random.random_range(-limit / 3..limit / 3),
            // A clock that started in 1970, without a battery.
            4 if random.random_range(0..50) == 0 => START,
            _ => random.random_range(-3_600 * SECOND..3_600 * SECOND),
        };
        Self {
            offset: if random.random() { offset } else { -offset },
            parts_per_million: random.random_range(-400..=400),
        }
    }

    /// Remote minus true time.
    fn offset_at(&self, time: Nanoseconds) -> Nanoseconds {
        self.offset + time * self.parts_per_million / 1_000_000
    }

    /// Formats the time that the clock shows at a true moment.
    fn shown_at(&self, time: Nanoseconds, Kind { digits, tick }: Kind) -> String {
        // Shifts the ticks, so that clocks do not all tick at the same moments.
        let phase = self.offset % 997;
        let now = (START + time + self.offset_at(time) - phase).div_euclid(tick) * tick + phase;
        let unit = 10_i128.pow(9 - digits);
        let shown = now.div_euclid(unit) * unit;
        let time = DateTime::from_timestamp(
            i64::try_from(shown.div_euclid(SECOND)).unwrap(),
            u32::try_from(shown.rem_euclid(SECOND)).unwrap(),
        )
        .unwrap();
        if digits == 1 {
            let tenth = time.timestamp_subsec_millis() / 100;
            return format!("{}.{tenth}Z", time.format("%Y-%m-%dT%H:%M:%S"));
        }
        let format = match digits {
            0 => SecondsFormat::Secs,
            3 => SecondsFormat::Millis,
            _ => SecondsFormat::Micros,
        };
        time.to_rfc3339_opts(format, true)
    }
}

/// Local clocks of the checker's host. The wall clock is true time plus `set`.
#[derive(Debug, Clone, Copy, Default)]
struct Local {
    time: Nanoseconds,
    set: Nanoseconds,
    suspended: Nanoseconds,
}

impl Local {
    fn read(&self) -> Reading {
        Reading {
            wall: START + self.time + self.set,
            monotonic: self.time - self.suspended,
            suspended: self.suspended,
        }
    }

    /// Advances time; occasionally sets the wall clock or suspends the host.
    fn pass(&mut self, time: Nanoseconds, random: &mut StdRng) {
        self.time += time;
        match random.random_range(0..200) {
            0 => self.set += random.random_range(-2 * SECOND..2 * SECOND),
            1 => {
                let asleep = random.random_range(0..3_600 * SECOND);
                self.time += asleep;
                self.suspended += asleep;
            }
            _ => {}
        }
    }
}

/// Returns a delay from 10 µs to about 3 s, uniform on a logarithmic scale.
fn delay(random: &mut StdRng) -> Nanoseconds {
    (10_000 << random.random_range(0..18)) + random.random_range(0..10_000)
}

/// Confusion matrix of one way of judging: verdicts on right and on wrong clocks.
#[derive(Debug, Clone, Copy, Default)]
struct Score {
    right: u64,
    right_called_wrong: u64,
    wrong: u64,
    wrong_called_right: u64,
    undecided: u64,
}

impl Score {
    fn add(&mut self, truth_is_right: bool, called_right: Option<bool>) {
        let (of, errors) = if truth_is_right {
            (&mut self.right, &mut self.right_called_wrong)
        } else {
            (&mut self.wrong, &mut self.wrong_called_right)
        };
        *of += 1;
        match called_right {
            Some(called) if called != truth_is_right => *errors += 1,
            Some(_) => {}
            None => self.undecided += 1,
        }
    }

    fn merge(&mut self, other: Self) {
        self.right += other.right;
        self.right_called_wrong += other.right_called_wrong;
        self.wrong += other.wrong;
        self.wrong_called_right += other.wrong_called_right;
        self.undecided += other.undecided;
    }

    #[expect(clippy::cast_precision_loss, reason = "for people")]
    fn row(&self) -> String {
        let percent = |part: u64, whole: u64| part as f64 * 100.0 / whole.max(1) as f64;
        format!(
            "{:>9.3} % {:>9.3} % {:>9.1} %",
            percent(self.right_called_wrong, self.right),
            percent(self.wrong_called_right, self.wrong),
            percent(self.undecided, self.right + self.wrong)
        )
    }
}

/// Pair of whether all instances that answered were right, and the verdict on them (`None`:
/// undecided).
type Judged = (bool, Option<bool>);

/// Address of an instance without a name. The port is its number.
fn address(instance: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], u16::try_from(instance).unwrap()))
}

fn number(owner: &Owner) -> usize {
    match owner {
        Owner::Named(name) => name.parse().unwrap_or_else(|_| {
            LONG_NAMES.with(|names| names.iter().position(|long| long == name).unwrap())
        }),
        Owner::Nameless(address) => address.unwrap().port().into(),
    }
}

/// Returns the instance's name; a long one exceeds the characters that are shown.
fn name(number: usize, long: bool) -> String {
    if !long {
        return number.to_string();
    }
    let rest = "c".repeat(200);
    format!("arn:aws:ecs:eu:1:task/{rest}/{number}/{rest}")
}

thread_local! {
    /// Long names as reports show them, shortened with a digest.
    static LONG_NAMES: [String; 3] = [0, 1, 2].map(|number| {
        let body = format!(r#"{{"now":0,"instance":"{}"}}"#, name(number, true));
        let now = Timestamp { nanoseconds: 0, resolution: 1 };
        Answer::without_time(body.as_bytes(), now).instance.unwrap()
    });
}

/// Simulated path from the check to the instances. Either a load balancer leads to any of them and
/// each gives its name, or each has an address and no name.
struct Line {
    instances: usize,
    nameless: bool,
    /// Names that differ in the middle of a long text.
    long_names: bool,
    warm: bool,
    /// Number of addresses not yet asked. All of them are asked once at the start.
    unasked: usize,
    /// The one that the connection leads to.
    connected: usize,
}

impl Line {
    fn random(random: &mut StdRng, instances: usize) -> Self {
        let nameless = random.random_range(0..3) == 0;
        Self {
            instances,
            nameless,
            long_names: random.random_range(0..20) == 0,
            warm: false,
            unasked: if nameless { instances } else { 0 },
            connected: 0,
        }
    }

    /// Returns the instance that answers the next request.
    fn instance(&self, random: &mut StdRng) -> usize {
        match self.unasked {
            0 if self.nameless => self.connected,
            0 => random.random_range(0..self.instances),
            last => last - 1,
        }
    }

    fn body(&self, shown: &str, instance: usize, nonce: &str) -> String {
        if self.nameless {
            format!(r#"{{"now":"{shown}","nonce":"{nonce}"}}"#)
        } else {
            let name = name(instance, self.long_names);
            format!(r#"{{"now":"{shown}","instance":"{name}","nonce":"{nonce}"}}"#)
        }
    }

    /// Follows the advice as the loop around a check does.
    fn next(&mut self, advice: Next, evidence: &mut Evidence<'_>, random: &mut StdRng) -> Next {
        let advice = match self.unasked {
            0 => advice,
            1 => {
                self.unasked = 0;
                self.connected = random.random_range(0..self.instances);
                evidence.turn_to(Some(address(self.connected)));
                evidence.next()
            }
            _ => {
                self.unasked -= 1;
                return Next::NewConnection;
            }
        };
        self.warm = advice != Next::NewConnection;
        if !self.warm {
            let doubtful: Vec<_> = evidence.doubtful().into_iter().collect();
            self.connected = match doubtful.len() {
                0 => random.random_range(0..self.instances),
                several => usize::from(doubtful[random.random_range(0..several)].port()),
            };
        }
        advice
    }
}

/// Runs one check. Returns the verdict by bounds, and by the midpoint of the first answer; each is
/// paired with its own truth.
fn trial(random: &mut StdRng, kind: Kind) -> (Judged, Option<Judged>) {
    let settings = Settings {
        max_skew: Duration::from_millis([1_000, 1_000, 250][random.random_range(0..3)]),
        ..Settings::default()
    };
    let limit = nanoseconds(settings.max_skew);
    let instances: Vec<Remote> = (0..random.random_range(1..=3))
        .map(|_| Remote::random(random, limit))
        .collect();
    // Whole lines are slow or fast, and each way differs from the other.
    let mut line = Line::random(random, instances.len());
    // Varnish says that it has everything from its cache.
    let always_aged = random.random_range(0..4) == 0;
    let mut evidence = Evidence::new(&settings);
    let mut local = Local::default();
    let mut midpoint = None;
    loop {
        let instance = line.instance(random);
        let remote = instances[instance];
        let sent = local.read();
        local.pass(delay(random), random);
        let shown = remote.shown_at(local.time, kind);
        let truth = (remote.offset_at(local.time) - local.set).abs() <= limit;
        local.pass(delay(random), random);
        let received = local.read();
        // Now and then a cache answers, with what it had for somebody else.
        let nonce = if random.random_range(0..50) == 0 {
            "other"
        } else {
            "n"
        };
        let aged = always_aged || random.random_range(0..50) == 0;
        let shown = if nonce == "other" {
            remote.shown_at(-random.random_range(0..60 * SECOND), kind)
        } else {
            shown
        };
        // Now and then this machine loses its network, or its resolver.
        let lost = (random.random_range(0..200) == 0).then(|| Failure::NoRoute {
            peer: address(instance).to_string(),
        });
        let exchange = Exchange {
            sent,
            received,
            stall: Duration::ZERO,
            warm: line.warm,
            address: line.nameless.then(|| address(instance)),
            nonce: "n".to_owned(),
            result: match lost {
                Some(failure) => Err(failure),
                None => Ok(Received {
                    age: aged.then_some(0),
                    body: line.body(&shown, instance, nonce).into_bytes(),
                    ..Received::default()
                }),
            },
        };
        let observation = exchange.observe(&settings);
        if let Ok(answered) = &observation.result
            && midpoint.is_none()
            && nonce == "n"
        {
            let served = answered.now.unwrap().nanoseconds;
            let offset = served - i128::midpoint(sent.wall, received.wall);
            midpoint = Some((truth, Some(offset.abs() <= limit)));
        }
        let next = evidence.add(&observation);
        for (owner, known) in &evidence.instances {
            let Some(bounds) = evidence.interval_of(known) else {
                continue;
            };
            let offset = instances[number(owner)].offset_at(local.time) - local.set;
            assert!(
                bounds.lo <= offset && offset <= bounds.hi,
                "{offset} is not in {bounds:?} of {owner:?}"
            );
        }
        match line.next(next, &mut evidence, random) {
            Next::SameConnection(pause) => local.time += nanoseconds(pause),
            Next::NewConnection => {}
            Next::Stop => break,
        }
        // Between two requests the clock may be set, too.
        if random.random_range(0..100) == 0 {
            local.pass(delay(random), random);
        }
    }
    let all_right = evidence
        .instances
        .keys()
        .all(|owner| (instances[number(owner)].offset_at(local.time) - local.set).abs() <= limit);
    let said = match evidence.verdict() {
        Verdict::Ok => Some(true),
        Verdict::Skewed => Some(false),
        Verdict::Indeterminate { .. } => None,
        Verdict::Down => unreachable!("nothing but local faults"),
    };
    ((all_right, said), midpoint)
}

type Scores = [(Score, Score); KINDS.len()];

fn run(thread: u64, trials: u64) -> Scores {
    let mut scores = Scores::default();
    let mut random = StdRng::seed_from_u64(SEED + thread);
    for _ in 0..trials {
        let kind = random.random_range(0..KINDS.len());
        let ((truth, said), midpoint) = trial(&mut random, KINDS[kind]);
        let (method, naive) = &mut scores[kind];
        method.add(truth, said);
        if let Some((truth, said)) = midpoint {
            naive.add(truth, said);
        }
    }
    scores
}

/// Prints the table, also if the test passes and its output is captured.
#[expect(clippy::disallowed_methods, reason = "around the harness, on purpose")]
fn show(table: &str) {
    let _ = std::io::stderr().write_all(table.as_bytes());
}

#[test]
fn no_verdict_is_false_in_a_million_checks() {
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let all = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|thread| {
                let trials = TRIALS / threads + u64::from(thread < TRIALS % threads);
                scope.spawn(move || run(thread, trials))
            })
            .collect();
        let mut all = Scores::default();
        for worker in workers {
            for (sum, part) in all.iter_mut().zip(worker.join().unwrap()) {
                sum.0.merge(part.0);
                sum.1.merge(part.1);
            }
        }
        all
    });
    let mut table = format!(
        "{TRIALS} simulated checks; rates of errors, by the resolution of the timestamps, or the tick behind six digits\n\
         \x20                    right clock   wrong clock    undecided\n\
         \x20                    called wrong  called right\n"
    );
    let mut decided = 0;
    for (kind, (method, naive)) in KINDS.into_iter().zip(all) {
        let shown = match kind.tick {
            1 => format!("10^-{} s", kind.digits),
            tick => format!("{:.3} ms", crate::units::milliseconds(tick)),
        };
        let _ = writeln!(table, "{shown:<10} bounds   {}", method.row());
        let _ = writeln!(table, "           midpoint {}", naive.row());
        assert_eq!(
            (method.right_called_wrong, method.wrong_called_right),
            (0, 0)
        );
        decided += method.right + method.wrong - method.undecided;
        // The midpoint is wrong now and then: else the trials would be too easy.
        assert!(naive.right_called_wrong > 0 && naive.wrong_called_right > 0);
    }
    show(&table);
    // Caution alone would pass the test: most trials have to be decided.
    assert!(decided > TRIALS / 2, "{decided} of {TRIALS} decided");
}
