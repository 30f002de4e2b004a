//! Cause of a verdict that is not OK, as one sentence for people. Pure text.

use crate::evidence::{Contact, DAY, Evidence};
use crate::failure::Failure;
use crate::interval::OffsetInterval;
use crate::owner::Owner;
use crate::settings::Settings;
use crate::units::{Nanoseconds, magnitude, milliseconds, nanoseconds, setting, signed};
use crate::verdict::{Reason, Verdict, Warning};

/// Returns the sentence; `None` if the verdict is OK without warnings.
pub(crate) fn cause(evidence: &Evidence, settings: &Settings) -> Option<String> {
    match evidence.verdict() {
        Verdict::Ok => warning(evidence),
        Verdict::Down => evidence.failure().map(ToString::to_string),
        Verdict::Skewed => Some(skew(evidence, settings)),
        Verdict::Indeterminate { reason } => Some(doubt(evidence, settings, reason)),
    }
}

fn warning(evidence: &Evidence) -> Option<String> {
    let sentence = |warning: &Warning| match warning {
        Warning::Skew => evidence
            .settings
            .warn_skew
            .map(nanoseconds)
            .map(|limit| skews(evidence, limit).join("; ")),
        Warning::AddressDead => evidence
            .addresses
            .values()
            .filter_map(Contact::failure)
            // No route from this host is the host's fault, not the address's.
            .find(|failure| !matches!(failure, Failure::NoRoute { .. }))
            .map(ToString::to_string),
        Warning::Certificate => evidence.certificate_left().map(expiry),
    };
    let sentences: Vec<_> = evidence.warnings().iter().filter_map(sentence).collect();
    Some(sentences.join("; ")).filter(|text| !text.is_empty())
}

fn expiry(left: i64) -> String {
    match left / DAY {
        // Days alone are too coarse near the end.
        ..2 => format!("the certificate expires in {} h", left.div_euclid(3_600)),
        days => format!("the certificate expires in {days} days"),
    }
}

fn named(evidence: &Evidence, owner: &Owner) -> String {
    match owner {
        Owner::Named(name) => format!("the clock of instance `{name}`"),
        Owner::Nameless(Some(address)) if evidence.has_several_nameless() => {
            format!("the clock at {address}")
        }
        Owner::Nameless(_) => "the clock".to_owned(),
    }
}

/// Describes every clock that is proven to be off, and instances that are too far apart.
fn skew(evidence: &Evidence, settings: &Settings) -> String {
    let limit = nanoseconds(settings.max_skew);
    let mut sentences = skews(evidence, limit);
    if let Some(spread) = evidence.spread().filter(|spread| spread.lo > 2 * limit) {
        sentences.push(format!(
            "two instances are at least {} apart",
            magnitude(milliseconds(spread.lo))
        ));
    }
    sentences.join("; ")
}

/// Returns a sentence on each clock that is proven to be beyond the limit.
fn skews(evidence: &Evidence, limit: Nanoseconds) -> Vec<String> {
    evidence
        .instances
        .iter()
        .filter_map(|(owner, instance)| {
            let interval = evidence.interval_of(instance)?;
            one_skew(&named(evidence, owner), interval, limit)
        })
        .collect()
}

fn one_skew(name: &str, interval: OffsetInterval, limit: Nanoseconds) -> Option<String> {
    let (amount, direction) = if interval.lo > limit {
        (interval.lo, "ahead")
    } else if interval.hi < -limit {
        (-interval.hi, "behind")
    } else {
        return None;
    };
    Some(format!(
        "{name} is at least {} {direction}",
        magnitude(milliseconds(amount))
    ))
}

fn doubt(evidence: &Evidence, settings: &Settings, reason: Reason) -> String {
    let limit = setting(settings.max_skew);
    match reason {
        Reason::RttTooLong => format!(
            "answers take too long to tell{}, limit {limit}",
            bounds(evidence)
        ),
        Reason::CoarseResolution => format!(
            "timestamps are too coarse to tell{}, limit {limit}",
            bounds(evidence)
        ),
        Reason::Borderline => format!("too near to the limit of {limit}{}", bounds(evidence)),
        Reason::LocalStep => "the local clock was set during the check".to_owned(),
        Reason::Suspended => "this machine slept during the check".to_owned(),
        Reason::Stale => {
            "cached responses (an `Age` header and no nonce, or the nonce of another request)"
                .to_owned()
        }
        Reason::CheckerOverloaded => {
            "the checker was delayed and cannot tell its own delays from the service's".to_owned()
        }
        Reason::LeapWindow => "the service answers from within a leap second".to_owned(),
        Reason::Inconsistent => {
            "answers of one instance contradict each other: its clock was set, or two share a name"
                .to_owned()
        }
        Reason::NoSample => "no answer could be judged".to_owned(),
        Reason::UnexpectedVersion => {
            let expected = settings.expect_version.as_deref().unwrap_or_default();
            match evidence.unexpected_version.as_deref() {
                // An answer without a version is recorded as an empty one.
                None | Some("") => {
                    format!("expected version {expected}, an answer named none")
                }
                Some(version) => format!("expected version {expected}, version {version} answered"),
            }
        }
        Reason::MissingInstances => format!(
            "expected {} instances, {} answered in {} requests",
            settings.expect_instances.unwrap_or_default(),
            evidence.distinct_instances(),
            evidence.requests
        ),
        // Replaced by the report, which knows the time server's answer.
        Reason::LocalClock => String::new(),
        Reason::NoNetwork | Reason::Resolver | Reason::CertificateStore | Reason::InternalError => {
            evidence
                .failure()
                .map_or_else(|| "internal error".to_owned(), ToString::to_string)
        }
    }
}

/// Describes the bounds of the first undecided clock.
fn bounds(evidence: &Evidence) -> String {
    let undecided = evidence
        .instances
        .iter()
        .find(|(_, instance)| evidence.verdict_on(instance) != Verdict::Ok);
    undecided
        .and_then(|(owner, instance)| Some((owner, evidence.interval_of(instance)?)))
        .map_or_else(String::new, |(owner, interval)| {
            format!(
                ": {} is between {} and {} off",
                named(evidence, owner),
                signed(milliseconds(interval.lo)),
                signed(milliseconds(interval.hi))
            )
        })
}
