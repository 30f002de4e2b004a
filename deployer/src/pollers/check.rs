//! The check from outside, repeated until it is satisfied.

use async_trait::async_trait;
use clock::{Reason, Report, Settings, Verdict};
use probe::Target;

use crate::pollers::ServiceNames;
use aws::remote::{Remote, World};
use deployment::event::{Checked, Event, Sink};
use deployment::names::Digest;

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

/// Reports in a row that have to prove a clock wrong: a single one may have met a step of the local clock.
const REPORTS_THAT_PROVE: u32 = 2;

/// How following the service from outside ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Verified {
    /// Every instance answers from our image with the right time.
    Working(Checked),
    /// Only instances of our image answer, and a clock is proven wrong: waiting cannot change that.
    ProvenWrong(Checked),
}

/// Follows the service, seen from outside, until it answers as it should or is proven wrong.
pub struct Verification<'a> {
    sink: &'a Sink,
    outside: &'a dyn ExternalCheck,
    target: &'a Target,
    settings: Settings,
    digest: &'a Digest,
    last: Option<Checked>,
    /// Reports in a row that proved a clock of our image wrong.
    proofs: u32,
    /// Who knows how many tasks there are by now.
    service: Option<(&'a dyn World, &'a ServiceNames)>,
}

impl<'a> Verification<'a> {
    /// Prepares to check that all instances answer from the image with this digest.
    pub fn new(
        sink: &'a Sink,
        outside: &'a dyn ExternalCheck,
        target: &'a Target,
        settings: Settings,
        digest: &'a Digest,
    ) -> Self {
        Self {
            sink,
            outside,
            target,
            settings,
            digest,
            last: None,
            proofs: 0,
            service: None,
        }
    }

    /// Follows the number of tasks, which may change with the load.
    #[must_use]
    pub fn of_tasks(self, world: &'a dyn World, names: &'a ServiceNames) -> Self {
        let service = Some((world, names));
        Self { service, ..self }
    }

    /// Expects as many instances as the service runs by now, where some were missing.
    async fn count_again(&mut self) {
        let missing = Verdict::Indeterminate {
            reason: Reason::MissingInstances,
        };
        let is_missing = self
            .last
            .as_ref()
            .is_some_and(|last| last.verdict == missing);
        let Some((world, names)) = self.service.filter(|_| is_missing) else {
            return;
        };
        // What cannot be read stays as it was.
        if let Ok(Some(service)) = world.service(&names.cluster, &names.service).await
            && let Some(tasks) = service.tasks_of(names.task_definition.as_str())
        {
            self.settings.expect_instances = Some(tasks).filter(|tasks| *tasks > 0);
        }
    }

    /// What was found last.
    pub fn last(&self) -> Option<&Checked> {
        self.last.as_ref()
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
        self.count_again().await;
        let report = self.outside.check(self.target, &self.settings).await;
        let mut found = checked(&report);
        let foreign = report
            .instances
            .iter()
            .filter_map(|instance| instance.version.as_deref())
            .find(|version| !is_of(version, self.digest));
        let satisfied = report.verdict == Verdict::Ok && foreign.is_none();
        if let (Verdict::Ok, Some(version)) = (report.verdict, foreign) {
            found.cause = Some(format!(
                "version {version} answers, which is not of image {}",
                self.digest.short()
            ));
        }
        let news = self.last.as_ref().is_none_or(|last| is_news(last, &found));
        if news || satisfied {
            self.sink.send(&Event::Checked {
                check: found.clone(),
            });
        }
        self.last = Some(found.clone());
        if satisfied {
            return Ok(Some(Verified::Working(found)));
        }
        // The version before may still answer, and its clock says nothing about ours.
        let is_proof = report.verdict == Verdict::Skewed && only_ours(&report, self.digest);
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
