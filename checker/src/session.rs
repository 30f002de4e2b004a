//! Session from start to end: one check, a wait, or a series per target on its own grid.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use clock::{Clock, Record};
use futures_util::future::join_all;
use probe::{Server, Witness};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::fan_out::{FanOut, Found};
use crate::grid::Grid;
use crate::notify::Notify;
use crate::plan::{Period, Plan, Subject};
use crate::series::{Hysteresis, Tick, Track};

/// Interval between attempts while waiting.
const ATTEMPTS: Duration = Duration::from_millis(500);
/// Upper bound for the duration of a normal check.
const LONGEST_CHECK: Duration = Duration::from_mins(5);
/// Maximum number of concurrent checks if no grid spreads them.
const AT_ONCE: usize = 64;

/// Run of the program.
pub(crate) struct Session {
    subjects: Vec<Subject>,
    period: Option<Period>,
    wait_up: Option<Duration>,
    hysteresis: Hysteresis,
    checker: Checker,
}

/// Checker of subjects.
#[derive(Clone)]
struct Checker {
    clock: Arc<dyn Clock>,
    /// Time servers shared by all targets, so that they are not asked once per target.
    witnesses: Arc<Mutex<Vec<Witness>>>,
}

impl Checker {
    async fn check(&self, subject: &Subject) -> Record {
        let mut record = probe::record(&subject.target, &subject.settings, &*self.clock).await;
        // Held while asking, so that a concurrent check finds the fresh answer instead of asking
        // again.
        let mut witnesses = self.witnesses.lock().await;
        let asked = witnesses
            .iter_mut()
            .map(|witness| witness.ask(&*self.clock));
        record.references = join_all(asked).await;
        record
    }
}

impl Session {
    pub(crate) fn new(plan: &Plan, clock: Arc<dyn Clock>) -> Self {
        let settings = plan.subjects.first().map(|subject| &subject.settings);
        let witness = |server: &Server| Some(Witness::new(server.clone(), settings?));
        let witnesses = plan.references.iter().filter_map(witness).collect();
        Self {
            subjects: plan.subjects.clone(),
            period: plan.period,
            wait_up: plan.wait_up,
            hysteresis: plan.hysteresis,
            checker: Checker {
                clock,
                witnesses: Arc::new(Mutex::new(witnesses)),
            },
        }
    }

    /// Runs the session. The future may be dropped at any moment.
    pub(crate) async fn run(&self, fan_out: &mut FanOut, notify: &Notify) -> io::Result<()> {
        match (self.period, self.wait_up, self.subjects.as_slice()) {
            (None, Some(patience), [subject, ..]) => {
                let record = self.wait_up(subject, patience, fan_out).await;
                fan_out.tell(found(
                    0,
                    record,
                    subject,
                    Tick::default(),
                    &mut self.track(subject),
                ));
                fan_out.round();
                Ok(())
            }
            (None, ..) => {
                self.once(fan_out).await;
                Ok(())
            }
            (Some(period), ..) => self.repeat(period, fan_out, notify).await,
        }
    }

    fn track(&self, subject: &Subject) -> Track {
        Track::new(self.hysteresis).expecting(subject.settings.expect_instances)
    }

    /// Checks every target once and reports in the order given.
    async fn once(&self, fan_out: &mut FanOut) {
        use futures_util::StreamExt as _;

        let checks = self
            .subjects
            .iter()
            .enumerate()
            .map(async |(index, subject)| {
                let record = self.checker.check(subject).await;
                found(
                    index,
                    record,
                    subject,
                    Tick::default(),
                    &mut self.track(subject),
                )
            });
        // `buffered` keeps the order given, unlike `buffer_unordered`.
        let mut checks = futures_util::stream::iter(checks).buffered(AT_ONCE);
        while let Some(found) = checks.next().await {
            fan_out.tell(found);
        }
        fan_out.round();
    }

    async fn repeat(
        &self,
        period: Period,
        fan_out: &mut FanOut,
        notify: &Notify,
    ) -> io::Result<()> {
        // Room for a finding of every target, so that series do not wait for the outputs.
        let (findings, mut found) = mpsc::channel(self.subjects.len() + AT_ONCE);
        let start = Instant::now();
        // Dropping the set with this future aborts all series.
        let mut series = JoinSet::new();
        let count = u32::try_from(self.subjects.len()).unwrap_or(u32::MAX);
        for (index, subject) in self.subjects.iter().enumerate() {
            let number = u32::try_from(index).unwrap_or(u32::MAX);
            let series_of_one = Series {
                index,
                subject: subject.clone(),
                // Targets are spread evenly over the interval, each with a fixed phase.
                grid: Grid::new(start + period.interval * number / count, period.interval),
                period,
                track: self.track(subject),
                checker: self.checker.clone(),
                findings: findings.clone(),
            };
            series.spawn(series_of_one.run());
        }
        // The series hold the remaining senders, so `recv` returns `None` once all have ended.
        drop(findings);
        // Without findings for longer than the slowest check takes, no watchdog notification is
        // sent, so that the service manager restarts the program.
        let idle = 2 * period.interval + period.jitter + LONGEST_CHECK;
        let mut last = start;
        loop {
            // Created in every round, because each finding restarts the interval.
            let beat = async {
                match notify.period() {
                    Some(beat) => tokio::time::sleep(beat).await,
                    None => std::future::pending().await,
                }
            };
            let found = tokio::select! {
                found = found.recv() => found,
                error = fan_out.failed() => return Err(error),
                () = beat => {
                    if last.elapsed() < idle {
                        notify.alive();
                    }
                    continue;
                }
            };
            last = Instant::now();
            notify.alive();
            let Some(found) = found else {
                return Ok(());
            };
            fan_out.tell(found);
            fan_out.round();
        }
    }

    /// Checks until waiting cannot change the verdict. The first attempt is never cut short, so
    /// that there is always a result.
    async fn wait_up(&self, subject: &Subject, patience: Duration, fan_out: &mut FanOut) -> Record {
        let start = Instant::now();
        let deadline = start + patience;
        let mut grid = Grid::new(start, ATTEMPTS);
        grid.tick(Duration::ZERO).await;
        let mut record = self.checker.check(subject).await;
        loop {
            let report = record.judge(&subject.settings);
            if !report.verdict.may_pass() {
                return record;
            }
            fan_out.waiting(report, patience);
            let next = async {
                grid.tick(Duration::ZERO).await;
                self.checker.check(subject).await
            };
            match timeout_at(deadline, next).await {
                Ok(next) => record = next,
                // The deadline cut this attempt short, so the previous result counts.
                Err(_) => return record,
            }
        }
    }
}

/// Series of one target.
struct Series {
    index: usize,
    subject: Subject,
    grid: Grid,
    period: Period,
    track: Track,
    checker: Checker,
    findings: mpsc::Sender<Found>,
}

impl Series {
    async fn run(mut self) {
        let mut checks = 0;
        let mut in_doubt = false;
        while self.period.count.is_none_or(|count| checks < count) {
            let tick = match self.period.retry.filter(|_| in_doubt) {
                Some(retry) => self.grid.tick_soon(retry).await,
                None => self.grid.tick(self.delay()).await,
            };
            let record = self.checker.check(&self.subject).await;
            let found = found(self.index, record, &self.subject, tick, &mut self.track);
            in_doubt = found.finding.in_doubt;
            if self.findings.send(found).await.is_err() {
                // The session has ended.
                return;
            }
            checks += 1;
        }
    }

    fn delay(&self) -> Duration {
        self.period.jitter.mul_f64(rand::random::<f64>())
    }
}

fn found(target: usize, record: Record, subject: &Subject, tick: Tick, track: &mut Track) -> Found {
    let report = record.judge(&subject.settings);
    let finding = track.add(&record, report, tick);
    let summary = track.summary();
    Found {
        target,
        record,
        finding,
        summary,
    }
}
