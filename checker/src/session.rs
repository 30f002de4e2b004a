//! Session from start to end: one check, a wait, or a series per target on its own grid.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use clock::{Clock, Record};
use futures_util::future::join_all;
use probe::{Server, Witness};
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, timeout_at};

use crate::fan_out::{FanOut, Found};
use crate::grid::Grid;
use crate::log::Terms;
use crate::notify::Notify;
use crate::output::note;
use crate::plan::{Period, Plan, Subject};
use crate::reload::Reload;
use crate::series::{Hysteresis, SharedTrack, Tick, Track, locked};

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
    references: Vec<Server>,
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
            references: plan.references.clone(),
            checker: Checker {
                clock,
                witnesses: Arc::new(Mutex::new(witnesses)),
            },
        }
    }

    /// Runs the session. The future may be dropped at any moment.
    pub(crate) async fn run(
        &self,
        fan_out: &mut FanOut,
        notify: &Notify,
        reload: Option<&mut Reload>,
    ) -> io::Result<()> {
        match (self.period, self.wait_up, self.subjects.as_slice()) {
            (None, Some(patience), [subject, ..]) => {
                let record = self.wait_up(subject, patience, fan_out).await;
                fan_out.tell(found(
                    0,
                    record,
                    subject,
                    Tick::default(),
                    &self.track(subject),
                ));
                fan_out.round();
                Ok(())
            }
            (None, ..) => {
                self.once(fan_out).await;
                Ok(())
            }
            (Some(period), ..) => self.repeat(period, fan_out, notify, reload).await,
        }
    }

    fn track(&self, subject: &Subject) -> SharedTrack {
        let track = Track::new(self.hysteresis).expecting(subject.settings.expect_instances);
        SharedTrack::new(track.into())
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
                    &self.track(subject),
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
        mut reload: Option<&mut Reload>,
    ) -> io::Result<()> {
        // Room for a finding of every target, so that series do not wait for the outputs.
        let (findings, mut found) = mpsc::channel(self.subjects.len() + AT_ONCE);
        let start = Instant::now();
        let mut all = AllSeries {
            session: self,
            period,
            findings: findings.downgrade(),
            tasks: JoinSet::new(),
            running: Vec::new(),
        };
        all.start(self.subjects.clone(), &findings);
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
            let reloaded = async {
                match &mut reload {
                    Some(reload) => reload.plan().await,
                    None => std::future::pending().await,
                }
            };
            let found = tokio::select! {
                found = found.recv() => found,
                plan = reloaded => {
                    note(&all.change(plan, fan_out));
                    continue;
                }
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

/// Series of all targets, by number.
struct AllSeries<'a> {
    session: &'a Session,
    period: Period,
    findings: mpsc::WeakSender<Found>,
    /// Dropping the set aborts all series.
    tasks: JoinSet<()>,
    /// `None` once the target was removed. Its number is not used again.
    running: Vec<Option<Running>>,
}

/// Running series.
struct Running {
    subject: watch::Sender<Arc<Subject>>,
    task: AbortHandle,
}

impl AllSeries<'_> {
    /// Starts series, spread evenly over the interval, each with a fixed phase.
    fn start(&mut self, subjects: Vec<Subject>, findings: &mpsc::Sender<Found>) {
        let now = Instant::now();
        let interval = self.period.interval;
        let count = u32::try_from(subjects.len()).unwrap_or(u32::MAX);
        for (number, subject) in (0..).zip(subjects) {
            let track = self.session.track(&subject);
            let (sender, subject) = watch::channel(Arc::new(subject));
            let series = Series {
                index: self.running.len(),
                subject,
                grid: Grid::new(now + interval * number / count, interval),
                period: self.period,
                track,
                checker: self.session.checker.clone(),
                findings: findings.clone(),
            };
            self.running.push(Some(Running {
                subject: sender,
                task: self.tasks.spawn(series.run()),
            }));
        }
    }

    /// Takes over the targets of another plan, and describes the change. Targets that stay keep
    /// their grid and their state.
    fn change(&mut self, plan: Plan, fan_out: &mut FanOut) -> String {
        // Held from here on: without a sender, the session would end with its last series.
        let Some(findings) = self.findings.upgrade() else {
            return "all series have ended".to_owned();
        };
        let session = self.session;
        let is_same = Some(self.period) == plan.period
            && session.hysteresis == plan.hysteresis
            && session.references == plan.references;
        let mut added: BTreeMap<_, _> = plan
            .subjects
            .into_iter()
            .map(|subject| (subject.key(), subject))
            .collect();
        let (mut changed, mut removed) = (0, 0);
        for (number, slot) in self.running.iter_mut().enumerate() {
            let Some(running) = slot else { continue };
            let known = running.subject.borrow().clone();
            match added.remove(&known.key()) {
                Some(subject) if subject.settings == known.settings => {}
                Some(subject) => {
                    changed += 1;
                    fan_out.set_terms(number, Terms::new(&subject.settings, session.hysteresis));
                    running.subject.send_replace(Arc::new(subject));
                }
                None => {
                    removed += 1;
                    running.task.abort();
                    *slot = None;
                    fan_out.forget(number);
                }
            }
        }
        let first = self.running.len();
        let added: Vec<Subject> = added.into_values().collect();
        for (number, subject) in (first..).zip(&added) {
            fan_out.set_terms(number, Terms::new(&subject.settings, session.hysteresis));
        }
        let told = format!(
            "targets read again: {} added, {changed} changed, {removed} removed",
            added.len()
        );
        self.start(added, &findings);
        if is_same {
            told
        } else {
            format!(
                "{told}; a change of `interval`, `jitter`, `retry_interval`, `rise`, `fall` or `reference` takes a restart"
            )
        }
    }
}

/// Series of one target.
struct Series {
    index: usize,
    subject: watch::Receiver<Arc<Subject>>,
    grid: Grid,
    period: Period,
    track: SharedTrack,
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
            let subject = Arc::clone(&self.subject.borrow());
            locked(&self.track).expect(subject.settings.expect_instances);
            // Boxed, so that a target that waits for its next tick keeps no room for a check.
            let record = Box::pin(self.checker.check(&subject)).await;
            let found = found(self.index, record, &subject, tick, &self.track);
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

fn found(
    target: usize,
    record: Record,
    subject: &Subject,
    tick: Tick,
    track: &SharedTrack,
) -> Found {
    let report = record.judge(&subject.settings);
    let finding = locked(track).add(&record, report, tick);
    Found {
        target,
        record,
        finding,
        track: SharedTrack::clone(track),
    }
}
