//! The check from outside, repeated until it is satisfied.

use async_trait::async_trait;
use clock::{Kind, Reason, Report, Settings, Verdict};
use probe::Target;
use url::Url;

use crate::pollers::ServiceNames;
use aws::remote::{Remote, World};
use deployment::event::{Checked, Event, Sink};
use deployment::names::Digest;
use deployment::rollout::all_healthy;

/// Who looks at the service from outside.
#[async_trait]
pub trait ExternalCheck: Send + Sync {
    /// Checks once.
    async fn check(&self, target: &Target, settings: &Settings) -> Report;

    /// Sends one request, on a connection of its own; says why it failed.
    async fn knock(&self, target: &Target, settings: &Settings) -> Result<(), clock::Failure>;
}

/// Looks over the network.
pub struct NetworkCheck;

#[async_trait]
impl ExternalCheck for NetworkCheck {
    async fn check(&self, target: &Target, settings: &Settings) -> Report {
        probe::check(target, settings).await
    }

    async fn knock(&self, target: &Target, settings: &Settings) -> Result<(), clock::Failure> {
        probe::knock(target, settings).await
    }
}

/// Where the service answers, for the check and for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    /// As it can be opened from here.
    pub shown: String,
    /// What the check asks.
    pub target: Target,
}

/// A way to check the service from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What is asked.
    pub url: PublicUrl,
    /// How, whatever the number of instances.
    pub settings: Settings,
}

impl Check {
    /// What it proves.
    pub fn kind(&self) -> Kind {
        self.settings.kind
    }

    /// Its settings where so many tasks run. Without a clock, nothing has to tell one task from another.
    pub fn expecting(&self, tasks: u32) -> Settings {
        let is_told = tasks > 0 && self.kind() == Kind::Clock;
        Settings {
            expect_instances: is_told.then_some(tasks),
            ..self.settings.clone()
        }
    }
}

/// Whether the service refuses to answer this check, and is going to refuse again.
pub(crate) fn is_refused(report: &Report) -> bool {
    let failure = report.failure.as_ref();
    failure.is_some_and(clock::Failure::is_lasting)
}

/// Checks once, in the first way that suits the answers, or else in the last one.
pub(crate) async fn check_once(
    outside: &dyn ExternalCheck,
    checks: &[Check],
    tasks: u32,
) -> Option<(Check, Report)> {
    let mut found = None;
    for check in checks {
        let report = outside
            .check(&check.url.target, &check.expecting(tasks))
            .await;
        let is_refused = is_refused(&report);
        found = Some((check.clone(), report));
        if !is_refused {
            break;
        }
    }
    found
}

impl PublicUrl {
    /// The same service at another path of the settings.
    pub(crate) fn at(&self, path: &str) -> Self {
        // Neither fails: paths are checked as the settings are read.
        let shown = Url::parse(&self.shown).and_then(|url| url.join(path));
        Self {
            shown: shown.map_or_else(|_| self.shown.clone(), String::from),
            target: self.target.at(path).unwrap_or_else(|_| self.target.clone()),
        }
    }
}

/// Reports in a row that have to prove a clock wrong: a single one may have met a step of the local clock.
const REPORTS_THAT_PROVE: u32 = 2;
/// Answers in a row that have to refuse a check before it is not the one that fits.
const REFUSALS_THAT_COUNT: u32 = 2;
/// Answers in a row that have to refuse the last check before waiting is over.
const REFUSALS_THAT_PROVE: u32 = 3;

/// How following the service from outside ended.
#[derive(Debug, Clone)]
pub enum Verified {
    /// It answers as it should.
    Working(Box<Working>),
    /// Only instances of our image answer, and a clock is proven wrong: waiting cannot change that.
    ProvenWrong(Checked),
    /// The targets are healthy, and the service refuses the check: waiting cannot change that.
    Refused(Refusal),
}

/// A service that answers as it should.
#[derive(Debug, Clone)]
pub struct Working {
    /// What was found last.
    pub checked: Checked,
    /// The check that it passed.
    pub check: Check,
    /// What was relied on besides, and what is not proven then: without a clock, answers do not tell the tasks.
    pub unproven: Option<String>,
}

/// A service that refuses the check.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// What was found last.
    pub checked: Checked,
    /// What it answered.
    pub failure: clock::Failure,
    /// What the load balancer says about its targets.
    pub health: String,
}

/// Follows the service, seen from outside, until it answers as it should or is proven wrong.
pub struct Verification<'a> {
    sink: &'a Sink,
    outside: &'a dyn ExternalCheck,
    /// The way that proves most first.
    checks: Vec<Check>,
    /// Number of the one that is tried.
    current: usize,
    /// Whether it suits the answers, or no other one is left.
    is_chosen: bool,
    digest: Digest,
    /// Tasks that the service runs.
    tasks: u32,
    last: Option<Checked>,
    /// Reports in a row that proved a clock of our image wrong.
    proofs: u32,
    /// Answers in a row that refused the check.
    refusals: u32,
    world: &'a dyn World,
    names: ServiceNames,
}

impl<'a> Verification<'a> {
    /// Prepares to check that so many tasks answer from the image with this digest, in the first of these ways that fits.
    pub fn new(
        sink: &'a Sink,
        outside: &'a dyn ExternalCheck,
        checks: Vec<Check>,
        digest: &Digest,
        (world, names, tasks): (&'a dyn World, &ServiceNames, u32),
    ) -> Self {
        Self {
            sink,
            outside,
            current: 0,
            is_chosen: checks.len() < 2,
            checks,
            digest: digest.clone(),
            tasks,
            last: None,
            proofs: 0,
            refusals: 0,
            world,
            names: names.clone(),
        }
    }

    /// Expects as many instances as the service runs by now, where some were missing: their number may change with the load.
    async fn count_again(&mut self) {
        let missing = Verdict::Indeterminate {
            reason: Reason::MissingInstances,
        };
        if self
            .last
            .as_ref()
            .is_none_or(|last| last.verdict != missing)
        {
            return;
        }
        let names = &self.names;
        // What cannot be read stays as it was.
        if let Ok(Some(service)) = self.world.service(&names.cluster, &names.service).await
            && let Some(tasks) = service.tasks_of(names.task_definition.as_str())
        {
            self.tasks = tasks;
        }
    }

    /// What was found last.
    pub fn last(&self) -> Option<&Checked> {
        self.last.as_ref()
    }

    /// The way that is tried.
    pub fn check(&self) -> Option<&Check> {
        self.checks.get(self.current)
    }

    /// Settles on the way that is tried, and says so where there were others.
    fn choose(&mut self, check: &Check, because: Option<String>) {
        if !std::mem::replace(&mut self.is_chosen, true) {
            self.sink.send(&Event::CheckChosen {
                kind: check.kind(),
                url: check.url.shown.clone(),
                because,
            });
        }
    }

    /// What the load balancer says, where it calls all targets healthy.
    async fn health(&self) -> Option<String> {
        let targets = self.names.targets(self.world).await;
        targets.ok().as_deref().and_then(all_healthy)
    }

    /// Why an answer that is as expected proves nothing of our version yet.
    async fn objection(&self, kind: Kind, report: &Report) -> Option<String> {
        let versions = report.instances.iter();
        let mut versions = versions.filter_map(|instance| instance.version.as_deref());
        let foreign = versions.find(|version| match kind {
            Kind::Clock => !is_of(version, &self.digest),
            // Whatever else the service calls its version.
            Kind::Http => names_an_image(version) && !is_of(version, &self.digest),
        });
        if let Some(version) = foreign {
            let ours = self.digest.short();
            return Some(format!(
                "version {version} answers, which is not of image {ours}"
            ));
        }
        let targets = match kind {
            Kind::Clock => return None,
            Kind::Http => self.names.targets(self.world).await.ok()?,
        };
        let healthy = targets.iter().filter(|target| target.is_healthy()).count();
        all_healthy(&targets)
            .is_none()
            .then(|| format!("{healthy} of {} targets are healthy", targets.len()))
    }

    /// What is not proven by answers that do not tell the tasks.
    async fn unproven(&self, check: &Check, report: &Report) -> Option<String> {
        if check.kind() == Kind::Clock {
            return None;
        }
        let health = self.health().await;
        let health = health.unwrap_or_else(|| "the rollout is complete".to_owned());
        let what = if only_ours(report, &self.digest) {
            "that every task answers"
        } else {
            "which version answers, and that every task does"
        };
        Some(format!("{health}. Not proven: {what}"))
    }
}

/// What a report says, in the words of an event.
pub fn checked(report: &Report) -> Checked {
    // The instance that is furthest off speaks for all.
    let furthest = report
        .instances
        .iter()
        .filter(|instance| instance.offset_ms.is_some())
        .max_by(|one, other| {
            let off = |offset: Option<f64>| offset.unwrap_or_default().abs();
            off(one.offset_ms).total_cmp(&off(other.offset_ms))
        });
    // One that names no version may run any.
    let mut versions: Vec<Option<&str>> = report
        .instances
        .iter()
        .map(|instance| instance.version.as_deref())
        .collect();
    versions.sort_unstable();
    versions.dedup();
    let version = match versions.as_slice() {
        [Some(only)] => Some((*only).to_owned()),
        _ => None,
    };
    Checked {
        kind: report.kind,
        status: report.status,
        verdict: report.verdict,
        cause: report.cause.clone(),
        offset_ms: furthest.and_then(|instance| instance.offset_ms),
        uncertainty_ms: furthest.and_then(|instance| instance.uncertainty_ms),
        instances: report.instances.len(),
        version,
        requests: u64::from(report.requests),
        unreachable: is_unreachable(report),
    }
}

/// Whether no request came as far as the service.
fn is_unreachable(report: &Report) -> bool {
    let failure = report.failure.as_ref();
    failure.is_some_and(clock::Failure::never_arrived)
}

/// Does this version belong to the image? The service appends the first digits of its image's digest to its version.
fn is_of(version: &str, digest: &Digest) -> bool {
    version
        .rsplit_once('+')
        .is_some_and(|(_, build)| build == digest.short())
}

/// Does this version name an image as our services do?
fn names_an_image(version: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    version
        .rsplit_once('+')
        .is_some_and(|(_, build)| build.len() == 12 && build.bytes().all(is_digit))
}

/// Whether every instance that answered names this image.
fn only_ours(report: &Report, digest: &Digest) -> bool {
    let names_it = |version: &Option<String>| {
        version
            .as_ref()
            .is_some_and(|version| is_of(version, digest))
    };
    !report.instances.is_empty()
        && report
            .instances
            .iter()
            .all(|instance| names_it(&instance.version))
}

/// Does this say something that the one before did not? How far off a clock is differs a little each time.
fn is_news(last: &Checked, found: &Checked) -> bool {
    last.verdict != found.verdict || (found.verdict != Verdict::Skewed && last.cause != found.cause)
}

#[async_trait]
impl crate::poll::Poller for Verification<'_> {
    type End = Verified;

    async fn poll(&mut self) -> Remote<Option<Verified>> {
        let Some(check) = self.check().cloned() else {
            return Ok(None);
        };
        self.count_again().await;
        let settings = check.expecting(self.tasks);
        let report = self.outside.check(&check.url.target, &settings).await;
        let mut found = checked(&report);
        if let Some(failure) = report.failure.as_ref().filter(|_| is_refused(&report)) {
            self.refusals += 1;
            if !self.is_chosen {
                self.last = Some(found);
                // Another place where a clock may be is tried at once.
                let next = self.checks.get(self.current + 1).map(Check::kind);
                if self.refusals >= REFUSALS_THAT_COUNT || next == Some(Kind::Clock) {
                    self.refusals = 0;
                    self.current += 1;
                    if let Some(last) = self.checks.get(self.current).cloned()
                        && self.current + 1 == self.checks.len()
                    {
                        let path = check.url.target.url().path();
                        self.choose(&last, Some(format!("{path} tells no time ({failure})")));
                    }
                }
                return Ok(None);
            }
        } else {
            self.refusals = 0;
        }
        if !report.instances.is_empty() {
            self.choose(&check, None);
        }
        let mut satisfied = report.verdict == Verdict::Ok;
        if satisfied && let Some(objection) = self.objection(check.kind(), &report).await {
            satisfied = false;
            found.cause = Some(objection);
        }
        let news = self.last.as_ref().is_none_or(|last| is_news(last, &found));
        if news || satisfied {
            self.sink.send(&Event::Checked {
                check: found.clone(),
            });
        }
        self.last = Some(found.clone());
        if satisfied {
            return Ok(Some(Verified::Working(Box::new(Working {
                checked: found,
                unproven: self.unproven(&check, &report).await,
                check,
            }))));
        }
        if self.refusals >= REFUSALS_THAT_PROVE
            && let Some(failure) = report.failure.clone()
            && let Some(health) = self.health().await
        {
            return Ok(Some(Verified::Refused(Refusal {
                checked: found,
                failure,
                health,
            })));
        }
        // The version before may still answer, and its clock says nothing about ours.
        let is_proof = report.verdict == Verdict::Skewed && only_ours(&report, &self.digest);
        self.proofs = if is_proof { self.proofs + 1 } else { 0 };
        let certain = self.proofs >= REPORTS_THAT_PROVE;
        Ok(certain.then_some(Verified::ProvenWrong(found)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_matched_by_the_digest_in_them() {
        let digest: Digest = format!("sha256:{}", "0123456789abcdef".repeat(4))
            .parse()
            .unwrap();
        assert!(is_of("0.1.0+0123456789ab", &digest));
        assert!(is_of("1.0.0-rc.1+0123456789ab", &digest));
        assert!(!is_of("0.1.0+aaaaaaaaaaaa", &digest));
        assert!(!is_of("0.1.0", &digest));
    }
}
