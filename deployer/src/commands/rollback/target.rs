//! Choice of the image to roll back to. Pure.

use std::str::FromStr;

use crate::commands::history::Deployment;
use deployment::error::{Failure, FailureKind};
use deployment::names::Digest;
use deployment::stack::past::End;

/// Minimum number of digits of a digest prefix. A shorter number is a revision.
const FEWEST_DIGITS: usize = 7;

/// Target of a rollback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RollbackTarget {
    /// Revision, as listed by `history`.
    Revision(u64),
    /// Image with this digest, whether it was deployed before or not.
    Image(Digest),
    /// Image whose digest starts with these digits.
    Prefix(String),
}

impl FromStr for RollbackTarget {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        if let Ok(digest) = format!("sha256:{digits}").parse() {
            return Ok(Self::Image(digest));
        }
        let hexadecimal = !digits.is_empty()
            && digits
                .bytes()
                .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        // `sha256:` marks a digest, however short.
        let prefixed = digits.len() < text.len();
        if hexadecimal && (prefixed || digits.len() >= FEWEST_DIGITS) {
            return Ok(Self::Prefix(digits.to_owned()));
        }
        text.parse().map(Self::Revision).map_err(|_| {
            Failure::new(
                FailureKind::Usage,
                format!("`{text}` is neither a digest nor a revision"),
            )
            .hint("`deployer history` lists both")
        })
    }
}

/// Returns the digest to roll back to. `deployments` are sorted newest first, and `running` is the
/// current image.
pub(super) fn choose(
    deployments: &[Deployment],
    running: Option<&Digest>,
    target: Option<&RollbackTarget>,
) -> Result<Digest, Failure> {
    let unknown =
        |what: String| Failure::preflight(what).hint("see what was deployed: `deployer history`");
    match target {
        Some(RollbackTarget::Image(digest)) => Ok(digest.clone()),
        Some(RollbackTarget::Revision(number)) => deployments
            .iter()
            .find(|deployment| deployment.revision == Some(*number))
            .and_then(Deployment::digest)
            .ok_or_else(|| unknown(format!("no image is known of revision {number}"))),
        Some(RollbackTarget::Prefix(digits)) => {
            let begins = |digest: &Digest| {
                digest
                    .as_str()
                    .trim_start_matches("sha256:")
                    .starts_with(digits.as_str())
            };
            let mut found: Vec<Digest> = deployments
                .iter()
                .filter_map(Deployment::digest)
                .filter(begins)
                .collect();
            found.dedup();
            match found.as_slice() {
                [] => Err(unknown(format!(
                    "no image was deployed whose digest begins with {digits}"
                ))),
                [only] => Ok(only.clone()),
                // `dedup` removes only neighbours: an image may have been deployed again after
                // another.
                [first, others @ ..] if others.iter().all(|other| other == first) => {
                    Ok(first.clone())
                }
                _ => Err(unknown(format!(
                    "the digests of several images begin with {digits}"
                ))),
            }
        }
        None => deployments
            .iter()
            // By default, only a version whose deployment succeeded.
            .filter(|deployment| matches!(deployment.end, End::Replaced | End::InPlace))
            .filter_map(Deployment::digest)
            .find(|digest| Some(digest) != running)
            .ok_or_else(|| {
                unknown("there is nothing to go back to: no other version ran before".to_owned())
            }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(first: char) -> Digest {
        format!("sha256:{}", first.to_string().repeat(64))
            .parse()
            .unwrap()
    }

    fn deployment(revision: u64, first: char, end: End) -> Deployment {
        Deployment {
            revision: Some(revision),
            image: Some(format!("registry.example/clock@{}", digest(first))),
            at: String::new(),
            purpose: None,
            end,
        }
    }

    fn past() -> Vec<Deployment> {
        vec![
            deployment(5, 'd', End::InPlace),
            deployment(4, 'c', End::TakenBack),
            deployment(3, 'd', End::Replaced),
            deployment(2, 'b', End::Replaced),
            deployment(1, 'a', End::Replaced),
        ]
    }

    #[test]
    fn without_a_wish_it_is_the_last_other_one_that_worked() {
        let running = digest('d');
        assert_eq!(choose(&past(), Some(&running), None), Ok(digest('b')));
        let alone = [deployment(1, 'd', End::InPlace)];
        let failure = choose(&alone, Some(&running), None).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Preflight);
    }

    #[test]
    fn wishes() {
        let cancelled = |text: &str| {
            let target: RollbackTarget = text.parse()?;
            choose(&past(), Some(&digest('d')), Some(&target))
        };
        assert_eq!(cancelled("1"), Ok(digest('a')));
        assert_eq!(cancelled("4"), Ok(digest('c')));
        assert_eq!(cancelled("ccccccc"), Ok(digest('c')));
        assert_eq!(cancelled("sha256:ddd"), Ok(digest('d')));
        assert_eq!(cancelled(digest('e').as_str()), Ok(digest('e')));
        for (text, kind) in [
            ("9", FailureKind::Preflight),
            ("eeeeeee", FailureKind::Preflight),
            ("latest", FailureKind::Usage),
            ("", FailureKind::Usage),
            ("-1", FailureKind::Usage),
        ] {
            assert_eq!(cancelled(text).unwrap_err().kind, kind, "{text}");
        }
    }
}
