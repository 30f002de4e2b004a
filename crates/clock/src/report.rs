//! Result of a check as data, for output and for other crates. Times are in milliseconds.

use std::net::SocketAddr;

use serde::Serialize;

use crate::cause::cause;
use crate::evidence::{Contact, DAY, Evidence, Instance, Note};
use crate::failure::Failure;
use crate::interval::OffsetInterval;
use crate::observation::STALL;
use crate::owner::Owner;
use crate::record::Record;
use crate::reference::{Agreed, NtpSample, ReferenceReport};
use crate::settings::{Kind, Settings};
use crate::units::{Nanoseconds, SECOND, milliseconds, nanoseconds, nanoseconds_of, rfc3339};
use crate::verdict::{Reason, Verdict, Warning};

/// Result of one check.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Report {
    /// Start of the check by the local clock: RFC 3339, UTC.
    pub started_at: String,
    /// URL that was requested, without the nonce.
    pub url: String,
    /// Host and port connected to instead of the URL's.
    pub connect_to: Option<String>,
    /// Kind of the check.
    pub kind: Kind,
    /// Verdict; in JSON `verdict` and, if indeterminate, `reason`.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// One sentence on why the verdict is not OK, or what the warning is about.
    pub cause: Option<String>,
    /// Failure by which the service counts as down, or that keeps this host from telling.
    #[serde(skip)]
    pub failure: Option<Failure>,
    /// Status code of the last response, if there was one.
    pub status: Option<u16>,
    /// Limit Θ, milliseconds.
    pub max_skew_ms: f64,
    /// Milliseconds from sending to the whole response: the median of requests on a used
    /// connection, or else of the others.
    pub latency_ms: Option<f64>,
    /// Median milliseconds of requests that had to connect first (TCP and TLS, without name
    /// resolution).
    pub connect_latency_ms: Option<f64>,
    /// Requests sent.
    pub requests: u32,
    /// Answers that proved nothing about a clock.
    pub discarded: u32,
    /// Instances that answered, by name.
    pub instances: Vec<InstanceReport>,
    /// Addresses that were asked and are known to answer or not.
    pub addresses: Vec<AddressReport>,
    /// Distance of the two clocks that are farthest apart; `None` for fewer than two instances.
    pub instances_apart_ms: Option<Apart>,
    /// Problems that do not change the verdict.
    pub warnings: Vec<Warning>,
    /// Facts that weaken the result.
    pub notes: Vec<Note>,
    /// Certificate that expires first, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateReport>,
    /// Time server's result, if one was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<ReferenceReport>,
}

/// One of the service's addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct AddressReport {
    /// Address with its port.
    pub address: SocketAddr,
    /// Reason that it does not answer.
    pub failure: Option<String>,
}

/// Validity of a certificate.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct CertificateReport {
    /// Expiry: RFC 3339, UTC.
    pub expires_at: String,
    /// Days until then by the local clock.
    pub days: f64,
}

/// Distance between clocks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Apart {
    /// Lower bound, milliseconds.
    pub at_least: f64,
    /// Upper bound, milliseconds.
    pub at_most: f64,
}

/// Result for one instance.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct InstanceReport {
    /// Name; `None` for responses that give none.
    pub instance: Option<String>,
    /// Address, if the instance has no name and is not the only such one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<SocketAddr>,
    /// Version that it reported last.
    pub version: Option<String>,
    /// Verdict on its clock alone: OK, skewed, or indeterminate.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Milliseconds: lower bound of its clock minus the local one (negative: behind).
    pub lo_ms: Option<f64>,
    /// Milliseconds: upper bound of its clock minus the local one.
    pub hi_ms: Option<f64>,
    /// Milliseconds: the middle of the bounds. `None` without valid samples, or if they contradict
    /// each other.
    pub offset_ms: Option<f64>,
    /// Milliseconds: the offset is `offset_ms ± uncertainty_ms`.
    pub uncertainty_ms: Option<f64>,
    /// Number of valid samples.
    pub samples: u32,
}

/// Availability of a service, whatever its clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    /// The service answers.
    Up,
    /// The service does not answer.
    Down,
    /// The check could not find out.
    Unknown,
}

/// Returns the unique name of a target.
pub fn report_name(url: &str, connect_to: Option<&String>) -> String {
    connect_to.map_or_else(|| url.to_owned(), |there| format!("{url} via {there}"))
}

impl Report {
    /// Returns the name of the target for people.
    pub fn name(&self) -> String {
        report_name(&self.url, self.connect_to.as_ref())
    }

    /// Returns whether the service answered, whatever its clock.
    pub fn availability(&self) -> Availability {
        match self.verdict {
            Verdict::Down => Availability::Down,
            Verdict::Ok | Verdict::Skewed => Availability::Up,
            // A latency exists only if a response arrived.
            Verdict::Indeterminate { .. } if self.latency_ms.is_some() => Availability::Up,
            Verdict::Indeterminate { .. } => Availability::Unknown,
        }
    }

    fn new(record: &Record, settings: &Settings, evidence: &Evidence) -> Self {
        let connect_latency = median(&evidence.cold_latencies);
        let mut report = Self {
            started_at: rfc3339(record.started.wall),
            url: record.url.clone(),
            connect_to: record.connect_to.clone(),
            kind: settings.kind,
            verdict: evidence.verdict(),
            cause: cause(evidence, settings),
            failure: evidence.failure().cloned(),
            status: evidence.status,
            max_skew_ms: milliseconds(nanoseconds(settings.max_skew)),
            latency_ms: median(&evidence.warm_latencies)
                .or(connect_latency)
                .map(milliseconds),
            connect_latency_ms: connect_latency.map(milliseconds),
            requests: evidence.requests,
            discarded: evidence.discarded,
            instances: evidence
                .instances
                .iter()
                .map(|(owner, instance)| InstanceReport::new(owner, instance, evidence))
                .collect(),
            addresses: evidence
                .addresses
                .iter()
                .filter(|(_, contact)| **contact != Contact::Unknown)
                .map(|(address, contact)| AddressReport {
                    address: *address,
                    failure: contact.failure().map(ToString::to_string),
                })
                .collect(),
            instances_apart_ms: evidence.spread().map(|spread| Apart {
                at_least: milliseconds(spread.lo),
                at_most: milliseconds(spread.hi),
            }),
            warnings: evidence.warnings().into_iter().collect(),
            notes: evidence.notes.iter().copied().collect(),
            certificate: CertificateReport::of(evidence),
            reference: None,
        };
        if let Some(agreed) = Agreed::of(&record.references) {
            // A certificate rejected because of a wrong local clock says nothing about the service.
            if report
                .failure
                .as_ref()
                .is_some_and(|it| may_be_valid(it, &agreed.sample))
            {
                report.verdict = Verdict::Indeterminate {
                    reason: Reason::LocalClock,
                };
            }
            let reference =
                ReferenceReport::new(agreed, report.bounds(), nanoseconds(settings.max_skew));
            if let Some(sentence) = reference.sentence() {
                report.cause = Some(match report.cause.take() {
                    Some(cause) => format!("{cause}; {sentence}"),
                    None => sentence,
                });
            }
            report.reference = Some(reference);
        }
        report
    }
}

impl CertificateReport {
    fn of(evidence: &Evidence) -> Option<Self> {
        let left = evidence.certificate_left()?;
        // Hundredths of a day, rounded down, so that the certificate is never reported to be valid
        // for too long.
        let hundredths = i32::try_from(left.div_euclid(DAY / 100)).ok()?;
        Some(Self {
            expires_at: rfc3339(Nanoseconds::from(evidence.expires?) * SECOND),
            days: f64::from(hundredths) / 100.0,
        })
    }
}

impl Report {
    /// Returns the proven bounds of each instance's clock.
    fn bounds(&self) -> impl Iterator<Item = OffsetInterval> {
        let bounds = |one: &InstanceReport| {
            let (lo, hi) = one.lo_ms.zip(one.hi_ms)?;
            Some(OffsetInterval {
                lo: nanoseconds_of(lo),
                hi: nanoseconds_of(hi),
            })
        };
        self.instances.iter().filter_map(bounds)
    }
}

impl Record {
    /// Returns the local cause of a timeout: this host was suspended, or the process was delayed.
    fn excuse(&self) -> Option<Reason> {
        if self.started.slept_until(self.finished) {
            Some(Reason::Suspended)
        } else {
            (self.stall > STALL).then_some(Reason::CheckerOverloaded)
        }
    }

    /// Judges the record by the settings.
    pub fn judge(&self, settings: &Settings) -> Report {
        let mut evidence = Evidence::new(settings);
        for observation in &self.observations {
            // The advice on the next request only matters while the check runs.
            let _ = evidence.add(observation);
        }
        if let Some(failure) = &self.failure {
            match self.excuse().filter(|_| failure.is_timeout()) {
                Some(reason) => evidence.give_up(reason),
                None => evidence.fail(failure.clone()),
            }
        }
        Report::new(self, settings, &evidence)
    }
}

impl InstanceReport {
    /// Returns the label that tells it from other instances: its name, or else its address; `None`
    /// if it is the only one without a name.
    pub fn label(&self) -> Option<String> {
        let address = || self.address.map(|address| address.to_string());
        self.instance.clone().or_else(address)
    }

    fn new(owner: &Owner, instance: &Instance, evidence: &Evidence) -> Self {
        let interval = evidence.interval_of(instance);
        let possible = interval.filter(|interval| !interval.is_empty());
        let estimate = evidence.estimate_of(instance);
        Self {
            instance: owner.name().cloned(),
            address: owner.address().filter(|_| evidence.has_several_nameless()),
            version: instance.version.clone(),
            verdict: evidence.verdict_on(instance),
            lo_ms: interval.map(|interval| milliseconds(interval.lo)),
            hi_ms: interval.map(|interval| milliseconds(interval.hi)),
            offset_ms: possible.and(estimate).map(milliseconds),
            uncertainty_ms: possible
                .zip(estimate)
                .map(|(interval, estimate)| milliseconds(interval.farthest_from(estimate))),
            samples: instance.clock.samples(),
        }
    }
}

/// Returns whether a rejected certificate may be valid by the time server's clock.
fn may_be_valid(failure: &Failure, sample: &NtpSample) -> bool {
    let (
        Failure::Tls {
            expired_s: Some(expired),
            ..
        },
        Ok(bounds),
    ) = (failure, &sample.statement)
    else {
        return false;
    };
    let expired = Nanoseconds::from(*expired) * SECOND;
    // True time minus local time lies within `bounds`. By true time, the certificate has expired by
    // `expired` plus that offset.
    if expired >= 0 {
        expired + bounds.lo <= 0
    } else {
        expired + bounds.hi >= 0
    }
}

fn median(values: &[Nanoseconds]) -> Option<Nanoseconds> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    // For an even count the upper of the two middle values, which is a measured one.
    sorted.get(sorted.len() / 2).copied()
}
