//! Instances whose clock was proven wrong and that no later check has reached.
//!
//! A load balancer leads each check to some of the instances. Answers of others say nothing about
//! the one whose clock is wrong. It stays suspect until its clock is seen right again, or it is
//! known to be gone.

use std::collections::BTreeMap;

use clock::{InstanceReport, Report, Verdict};

/// Number of checks, per known instance, after which an unseen one is gone. With random routing, a
/// live one stays unseen for so long once in 2³¹ times.
const UNSEEN_PER_INSTANCE: u64 = 24;
/// Maximum number of instances remembered.
const KEPT: usize = 64;

/// Known instances of one target.
#[derive(Debug, Default)]
pub(crate) struct Suspects {
    /// Instances by label: the number of the last check that saw it, and whether it was proven
    /// wrong then.
    seen: BTreeMap<Option<String>, (u64, bool)>,
    checks: u64,
}

impl Suspects {
    /// Adds a check. `expected` is the number of instances, if known.
    pub(crate) fn add(&mut self, report: &Report, expected: Option<u32>) {
        if report.instances.is_empty() {
            return;
        }
        self.checks += 1;
        let is_right = |one: &InstanceReport| one.verdict == Verdict::Ok;
        for one in &report.instances {
            let (seen, is_wrong) = self.seen.entry(one.label()).or_default();
            *seen = self.checks;
            // If two clocks contradict each other, either may be the wrong one.
            *is_wrong = match one.verdict {
                Verdict::Ok => report.verdict == Verdict::Skewed && !any_wrong(report),
                Verdict::Skewed | Verdict::Down => true,
                Verdict::Indeterminate { .. } => *is_wrong,
            };
        }
        let right = report.instances.iter().filter(|one| is_right(one)).count();
        let all_seen = expected.is_some_and(|expected| {
            report.verdict == Verdict::Ok && usize::try_from(expected).is_ok_and(|it| right >= it)
        });
        // The more instances, the likelier a check misses any one of them.
        let patience = UNSEEN_PER_INSTANCE * self.seen.len() as u64;
        let checks = self.checks;
        self.seen
            .retain(|_, (seen, _)| *seen == checks || (!all_seen && checks - *seen <= patience));
        while self.seen.len() > KEPT {
            let oldest = self
                .seen
                .iter()
                // Right ones first: a wrong one that is forgotten would count as fixed.
                .min_by_key(|(_, (seen, wrong))| (*wrong, *seen));
            let Some(label) = oldest.map(|(label, _)| label.clone()) else {
                break;
            };
            self.seen.remove(&label);
        }
    }

    /// Returns an instance that was proven wrong and that the last check did not see, with the
    /// number of checks since.
    pub(crate) fn unseen(&self) -> Option<(Option<&str>, u64)> {
        let mut wrong = self.seen.iter().filter(|(_, (_, is_wrong))| *is_wrong);
        let (label, (seen, _)) = wrong.find(|(_, (seen, _))| *seen < self.checks)?;
        Some((label.as_deref(), self.checks - seen))
    }
}

/// Returns whether a clock is proven wrong by its own samples.
fn any_wrong(report: &Report) -> bool {
    let mut instances = report.instances.iter();
    instances.any(|one| one.verdict == Verdict::Skewed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{instance, report};

    fn seen(names: &[(&str, bool)]) -> Report {
        let all_right = names.iter().all(|(_, right)| *right);
        let verdict = |right| if right { Verdict::Ok } else { Verdict::Skewed };
        let mut found = report(verdict(all_right));
        found.instances = names
            .iter()
            .map(|(name, right)| InstanceReport {
                verdict: verdict(*right),
                ..instance(name, 0.0)
            })
            .collect();
        found
    }

    #[test]
    fn who_was_wrong_is_suspect_until_it_is_seen_right() {
        let mut suspects = Suspects::default();
        suspects.add(&seen(&[("a", false)]), None);
        assert_eq!(suspects.unseen(), None);
        for checks in 1..=40 {
            suspects.add(&seen(&[("b", true)]), None);
            assert_eq!(suspects.unseen(), Some((Some("a"), checks)));
        }
        suspects.add(&seen(&[("a", true)]), None);
        assert_eq!(suspects.unseen(), None);
    }

    #[test]
    fn who_is_gone_is_forgotten() {
        let mut suspects = Suspects::default();
        suspects.add(&seen(&[("a", false), ("b", true)]), Some(2));
        suspects.add(&seen(&[("b", true)]), Some(2));
        assert!(suspects.unseen().is_some());
        // As many as there are to be, and it is none of them.
        suspects.add(&seen(&[("b", true), ("c", true)]), Some(2));
        assert_eq!(suspects.unseen(), None);

        suspects.add(&seen(&[("a", false)]), None);
        for _ in 0..100 {
            suspects.add(&seen(&[("b", true)]), None);
        }
        assert_eq!(suspects.unseen(), None);
    }
}
