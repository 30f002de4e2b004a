//! External check of the service, repeated until it passes.

use async_trait::async_trait;
use clock::{Kind, Reason, Report, Settings, Verdict};
use probe::Target;
use url::Url;

use crate::pollers::ServiceNames;
use aws::remote::{Remote, World};
use deployment::event::{Checked, Event, Sampled, Sink};
use deployment::names::Digest;
use deployment::rollout::all_healthy;

/// Source of external checks and probes.
#[async_trait]
pub trait ExternalCheck: Send + Sync {
    /// Runs one check.
    async fn check(&self, target: &Target, settings: &Settings) -> Report;

    /// Sends one request on a new connection. Returns the reason if it fails.
    async fn knock(&self, target: &Target, settings: &Settings) -> Result<(), clock::Failure>;
}

/// External check over the network.
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

/// Public URL of the service, for checks and for display.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    /// URL as a user can open it from this host.
    pub shown: String,
    /// Target of the check.
    pub target: Target,
}

/// One way to check the service from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// URL to request.
    pub url: PublicUrl,
    /// Settings of the check, except for the expected number of instances.
    pub settings: Settings,
}

impl Check {
    /// Returns the kind of the check, which decides what it proves.
    pub fn kind(&self) -> Kind {
        self.settings.kind
    }

    /// Returns the settings for a service with `tasks` tasks. Only a clock check can tell one task
    /// from another.
    pub fn expecting(&self, tasks: u32) -> Settings {
        let is_told = tasks > 0 && self.kind() == Kind::Clock;
        Settings {
            expect_instances: is_told.then_some(tasks),
            ..self.settings.clone()
        }
    }
}

/// Returns whether the service rejects this check permanently.
pub(crate) fn is_refused(report: &Report) -> bool {
    let failure = report.failure.as_ref();
    failure.is_some_and(clock::Failure::is_lasting)
}

/// Checks once, with the first check that the service does not reject, or else the last one.
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
    /// Returns the same service at another path of the settings.
    pub(crate) fn at(&self, path: &str) -> Self {
        // Neither step fails: paths are validated when the settings are read.
        let shown = Url::parse(&self.shown).and_then(|url| url.join(path));
        Self {
            shown: shown.map_or_else(|_| self.shown.clone(), String::from),
            target: self.target.at(path).unwrap_or_else(|_| self.target.clone()),
        }
    }
}

/// Number of consecutive reports that prove a clock wrong. A single one may coincide with a step of
/// the local clock.
const REPORTS_THAT_PROVE: u32 = 2;
/// Number of consecutive rejections after which the next check is tried.
const REFUSALS_THAT_COUNT: u32 = 2;
/// Number of consecutive rejections of the last check after which waiting ends.
const REFUSALS_THAT_PROVE: u32 = 3;

/// Result of polling the external check.
#[derive(Debug, Clone)]
pub enum Verified {
    /// The service responds as expected.
    Working(Box<Working>),
    /// All responses come from our image, and a clock is proven wrong. Waiting cannot change that.
    ProvenWrong(Checked),
    /// The targets are healthy, and the service rejects the check. Waiting cannot change that.
    Refused(Refusal),
}

/// Service that responds as expected.
#[derive(Debug, Clone)]
pub struct Working {
    /// Findings of the last check.
    pub checked: Checked,
    /// Check that the service passed.
    pub check: Check,
    /// Evidence relied on besides the check, and the rest that is unproven. Without a clock,
    /// responses do not identify tasks.
    pub unproven: Option<String>,
}

/// Service that rejects the check.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// Findings of the last check.
    pub checked: Checked,
    /// Response of the service to the check.
    pub failure: clock::Failure,
    /// Target health, as the load balancer reports it.
    pub health: String,
}

/// Poller that checks the service from outside until it passes or is proven wrong.
pub struct Verification<'a> {
    sink: &'a Sink,
    outside: &'a dyn ExternalCheck,
    /// Checks to try, the most conclusive first.
    checks: Vec<Check>,
    /// Index of the current check.
    current: usize,
    /// Set once the current check is known to suit the service, or no other is left.
    is_chosen: bool,
    digest: Digest,
    /// Number of tasks that the service runs.
    tasks: u32,
    last: Option<Checked>,
    /// Number of consecutive reports that proved a clock of our image wrong.
    proofs: u32,
    /// Number of consecutive responses that rejected the check.
    refusals: u32,
    world: &'a dyn World,
    names: ServiceNames,
}

impl<'a> Verification<'a> {
    /// Creates a poller that waits until `tasks` tasks respond from the image with this digest. It
    /// uses the first of `checks` that the service accepts.
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

    /// Updates the expected number of instances if some were missing. Auto scaling may have changed
    /// it.
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
        // On an error, keep the old number: the next check decides.
        if let Ok(Some(service)) = self.world.service(&names.cluster, &names.service).await
            && let Some(tasks) = service.tasks_of(names.task_definition.as_str())
        {
            self.tasks = tasks;
        }
    }

    /// Returns the findings of the last check.
    pub fn last(&self) -> Option<&Checked> {
        self.last.as_ref()
    }

    /// Returns the current check.
    pub fn check(&self) -> Option<&Check> {
        self.checks.get(self.current)
    }

    /// Compares the version that passed with the public way, if there is one. `share` is what the
    /// version gets of the public requests, percent.
    pub(super) async fn compare(&self, share: Option<f64>) -> (Sampled, Option<Sampled>) {
        match self.check() {
            Some(check) => super::sample::compare(self.outside, check, share).await,
            None => Default::default(),
        }
    }

    /// Keeps the current check for good, and reports it if there were others to choose from.
    fn choose(&mut self, check: &Check, because: Option<String>) {
        if !std::mem::replace(&mut self.is_chosen, true) {
            self.sink.send(&Event::CheckChosen {
                kind: check.kind(),
                url: check.url.shown.clone(),
                because,
            });
        }
    }

    /// Returns the target health if the load balancer reports all targets as healthy.
    async fn health(&self) -> Option<String> {
        let targets = self.names.targets(self.world).await;
        targets.ok().as_deref().and_then(all_healthy)
    }

    /// Returns the reason why an expected response does not prove our version yet.
    async fn objection(&self, kind: Kind, report: &Report) -> Option<String> {
        let versions = report.instances.iter();
        let mut versions = versions.filter_map(|instance| instance.version.as_deref());
        let foreign = versions.find(|version| match kind {
            Kind::Clock => !is_of(version, &self.digest),
            // Other programs use version strings of their own, so only a foreign image digest
            // counts.
            Kind::Http => names_an_image(version) && !is_of(version, &self.digest),
        });
        if let Some(version) = foreign {
            let ours = self.digest.short();
            return Some(format!(
                "version {version} answers, which is not of image {ours}"
            ));
        }
        // An HTTP check cannot tell tasks apart, so all targets have to be healthy as well.
        let targets = match kind {
            Kind::Clock => return None,
            Kind::Http => self.names.targets(self.world).await.ok()?,
        };
        let healthy = targets.iter().filter(|target| target.is_healthy()).count();
        all_healthy(&targets)
            .is_none()
            .then(|| format!("{healthy} of {} targets are healthy", targets.len()))
    }

    /// Describes what remains unproven if responses do not identify tasks.
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

/// Converts a report into the form that events use.
pub fn checked(report: &Report) -> Checked {
    // The instance with the largest offset stands for all of them.
    let furthest = report
        .instances
        .iter()
        .filter(|instance| instance.offset_ms.is_some())
        .max_by(|one, other| {
            let off = |offset: Option<f64>| offset.unwrap_or_default().abs();
            off(one.offset_ms).total_cmp(&off(other.offset_ms))
        });
    // An instance without a version may run any version. It is kept as `None`, so that the version
    // counts as mixed.
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

/// Returns whether no request reached the service.
fn is_unreachable(report: &Report) -> bool {
    let failure = report.failure.as_ref();
    failure.is_some_and(clock::Failure::never_arrived)
}

/// Returns whether the version belongs to the image. The service appends the first digits of its
/// image digest to its version.
fn is_of(version: &str, digest: &Digest) -> bool {
    version
        .rsplit_once('+')
        .is_some_and(|(_, build)| build == digest.short())
}

/// Returns whether the version ends in an image digest, as those of our services do.
fn names_an_image(version: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    version
        .rsplit_once('+')
        .is_some_and(|(_, build)| build.len() == 12 && build.bytes().all(is_digit))
}

/// Returns whether every instance that responded names this image.
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

/// Returns whether the findings differ from the previous ones. The offset of a clock varies
/// slightly each time and is ignored.
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
                // Another path that may serve a clock is tried immediately. The plain HTTP check
                // proves less, so it needs a second rejection.
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
        // A response with instances shows that this check suits the service.
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
        // Healthy targets are required: without them, the service may only be starting.
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
        // The previous version may still respond, and its clock says nothing about ours.
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
