//! The result of a check, as data: what the program prints and what other crates read. Times in milliseconds.

use chrono::{DateTime, SecondsFormat};
use serde::Serialize;

use crate::cause::cause;
use crate::clock::Reading;
use crate::evidence::{Evidence, Instance};
use crate::settings::Settings;
use crate::target::Target;
use crate::units::{Nanoseconds, SECOND, milliseconds, nanoseconds};
use crate::verdict::Verdict;

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// When the check began, by the local clock: RFC 3339, UTC.
    pub started_at: String,
    /// What was asked, without the nonce.
    pub url: String,
    /// Where the connection went instead of the URL's host and port.
    pub connect_to: Option<String>,
    /// The verdict; in JSON `verdict` and, if indeterminate, `reason`.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// One sentence on why it is not OK.
    pub cause: Option<String>,
    /// Milliseconds: Θ.
    pub max_skew_ms: f64,
    /// Milliseconds from sending to the whole answer: the median of the requests on a used connection, or else that of the others.
    pub latency_ms: Option<f64>,
    /// The same for requests that had to connect first (TCP, TLS; not resolving).
    pub connect_latency_ms: Option<f64>,
    /// Requests sent.
    pub requests: u32,
    /// Answers that proved nothing about a clock.
    pub discarded: u32,
    /// Every instance that answered, by name.
    pub instances: Vec<InstanceReport>,
    /// What weakens the result.
    pub notes: Vec<Note>,
}

/// One instance.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InstanceReport {
    /// Its name; `None` for answers that name none.
    pub instance: Option<String>,
    /// The version it named last.
    pub version: Option<String>,
    /// On its clock alone: OK, skewed, or indeterminate.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Milliseconds: its clock is at least this far ahead of the local one (negative: behind).
    pub lo_ms: Option<f64>,
    /// Milliseconds: and at most this far.
    pub hi_ms: Option<f64>,
    /// Milliseconds: the middle. `None` without valid samples, or when they contradict each other.
    pub offset_ms: Option<f64>,
    /// Milliseconds: the offset is `offset_ms ± uncertainty_ms`.
    pub uncertainty_ms: Option<f64>,
    /// Valid samples.
    pub samples: u32,
}

/// What weakens a result without making it wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Note {
    /// The service does not echo the nonce: a cache that hides its `Age` would go unnoticed.
    NonceNotEchoed,
    /// The service does not name its instances: several behind one address are taken for one.
    InstanceNotNamed,
}

/// The first axis of a verdict: does the service answer?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    /// With a timestamp.
    Up,
    /// It does not.
    Down,
    /// The check could not find out.
    Unknown,
}

impl Report {
    /// Whether the service answered, whatever its clock.
    pub fn availability(&self) -> Availability {
        match self.verdict {
            Verdict::Down => Availability::Down,
            Verdict::Ok | Verdict::Skewed => Availability::Up,
            Verdict::Indeterminate { .. } if self.latency_ms.is_some() => Availability::Up,
            Verdict::Indeterminate { .. } => Availability::Unknown,
        }
    }

    pub(crate) fn new(
        target: &Target,
        settings: &Settings,
        started: Reading,
        evidence: &Evidence,
    ) -> Self {
        let connect_latency = median(&evidence.cold_latencies);
        Self {
            started_at: rfc3339(started.wall),
            url: target.url().to_string(),
            connect_to: target.connect_to().map(ToString::to_string),
            verdict: evidence.verdict(),
            cause: cause(evidence, settings),
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
                .map(|(name, instance)| InstanceReport::new(name.as_ref(), instance, evidence))
                .collect(),
            notes: evidence.notes.iter().copied().collect(),
        }
    }
}

impl InstanceReport {
    fn new(name: Option<&String>, instance: &Instance, evidence: &Evidence) -> Self {
        let interval = evidence.interval_of(instance);
        let possible = interval.filter(|interval| !interval.is_empty());
        Self {
            instance: name.cloned(),
            version: instance.version.clone(),
            verdict: evidence.verdict_on(instance),
            lo_ms: interval.map(|interval| milliseconds(interval.lo)),
            hi_ms: interval.map(|interval| milliseconds(interval.hi)),
            offset_ms: possible.map(|interval| milliseconds(interval.estimate())),
            uncertainty_ms: possible.map(|interval| milliseconds(interval.uncertainty())),
            samples: instance.clock.samples(),
        }
    }
}

fn median(values: &[Nanoseconds]) -> Option<Nanoseconds> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied()
}

/// Local wall time as text, with milliseconds.
fn rfc3339(wall: Nanoseconds) -> String {
    i64::try_from(wall.div_euclid(SECOND))
        .ok()
        .zip(u32::try_from(wall.rem_euclid(SECOND)).ok())
        .and_then(|(seconds, nanoseconds)| DateTime::from_timestamp(seconds, nanoseconds))
        .unwrap_or_default()
        .to_rfc3339_opts(SecondsFormat::Millis, true)
}
