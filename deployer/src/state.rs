//! State directory for data that outlives a run: `$XDG_STATE_HOME/deployer`, usually
//! `~/.local/state/deployer`.
//!
//! It holds a journal of each run and a lock file for each stack. All of it is optional: the
//! directory may be deleted at any time.

use std::path::{Path, PathBuf};
use std::time::Duration;

use etcetera::BaseStrategy as _;

use crate::lock::{self, Lock};
use deployment::error::{Failure, FailureKind};
use deployment::event::Sink;
use deployment::names::StackName;
use support::input;
use support::private;

/// Number of newest journals that versions are looked up in. Those larger than the limit, in bytes,
/// are skipped.
const MOST_JOURNALS: usize = 50;
const JOURNAL_LIMIT: u64 = 1024 * 1024;

/// Returns the state directory, if the user has a home directory.
pub fn folder() -> Option<PathBuf> {
    let strategy = etcetera::choose_base_strategy().ok()?;
    // macOS conventions, for example, have no state directory.
    let state = strategy.state_dir().unwrap_or_else(|| strategy.cache_dir());
    Some(state.join("deployer"))
}

/// Returns the journals of a stack, the oldest first.
pub(crate) fn journals(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "jsonl")
        })
        .collect();
    // Names begin with the time, so that their order is chronological.
    found.sort();
    Ok(found)
}

/// Returns the names of stacks that have journals.
pub(crate) fn deployed_stacks() -> Vec<String> {
    let folders = folder().and_then(|folder| std::fs::read_dir(folder).ok());
    let folders = folders.into_iter().flatten().flatten();
    let stacks = folders.filter(|entry| journals(&entry.path()).is_ok_and(|it| !it.is_empty()));
    let mut names: Vec<String> = stacks
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

/// Returns the first digits of the digests that journals of all stacks name as deployed, the newest
/// first.
pub(crate) fn deployed_versions() -> Vec<String> {
    let state = folder().unwrap_or_default();
    let of_stacks = deployed_stacks().into_iter().map(|name| state.join(name));
    let mut found: Vec<PathBuf> = of_stacks
        .filter_map(|it| journals(&it).ok())
        .flatten()
        .collect();
    found.sort_by(|one, other| other.file_name().cmp(&one.file_name()));
    let mut versions: Vec<String> = Vec::new();
    let read = |path: &PathBuf| input::text(path, JOURNAL_LIMIT).ok();
    for text in found.iter().take(MOST_JOURNALS).filter_map(read) {
        let Some(line) = text
            .lines()
            .find(|line| line.contains(r#""event":"succeeded""#))
        else {
            continue;
        };
        let event: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
        let image = event["summary"]["image"].as_str().unwrap_or_default();
        let digits = image
            .split_once("@sha256:")
            .and_then(|(_, digits)| digits.get(..12));
        if let Some(digits) = digits.filter(|digits| !versions.iter().any(|it| it == digits)) {
            versions.push(digits.to_owned());
        }
    }
    versions
}

/// Waits until no other run on this machine deploys the same stack.
///
/// CloudFormation only locks a stack during an operation. Between two operations of one deployment,
/// another run could start and undo its work.
///
/// A directory that cannot be used is a warning, not a failure. Without one, there is no lock.
pub(crate) async fn only_one(deployment: &Deployment<'_>) -> Result<Option<Lock>, Failure> {
    match folder() {
        Some(folder) => only_one_in(&folder, deployment).await,
        None => Ok(None),
    }
}

/// Deployment that must be the only one of its stack on this machine.
pub(crate) struct Deployment<'a> {
    /// `ACCOUNT-REGION`, or the endpoint of the emulator.
    pub(crate) place: String,
    pub(crate) stack: &'a StackName,
    /// Name of the deploying command, shown to other runs that wait.
    pub(crate) command: &'a str,
    /// Longest time to wait for another run.
    pub(crate) limit: Duration,
    pub(crate) sink: &'a Sink,
}

async fn only_one_in(folder: &Path, deployment: &Deployment<'_>) -> Result<Option<Lock>, Failure> {
    let Deployment {
        place,
        stack,
        command,
        limit,
        sink,
    } = deployment;
    let path = folder.join(format!("{}-{stack}.lock", simplified(place)));
    let doing = format!("deploying this stack (`deployer {command}`)");
    let taken = match private::folder(folder) {
        Ok(()) => lock::take(&path, &doing, *limit, sink).await,
        Err(error) => Err(Failure::preflight("no folder to lock in").because(error)),
    };
    match taken {
        Ok(lock) => Ok(Some(lock)),
        // Only a lock that is held stops the run. A read-only home directory does not.
        Err(failure) if failure.kind == FailureKind::Busy => Err(failure),
        Err(failure) => {
            sink.warn(format!(
                "cannot make sure that no other run is at work: {failure}"
            ));
            Ok(None)
        }
    }
}

/// Converts an address to a part of a file name.
fn simplified(endpoint: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let text: String = endpoint.chars().map(plain).collect();
    text.trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use deployment::event::Silent;
    use support::private::mode;

    #[tokio::test]
    async fn a_second_run_does_not_begin_while_the_first_is_at_work() {
        let state = tempfile::tempdir().unwrap();
        let folder = state.path().join("deployer");
        let deployment = Deployment {
            place: "123456789012-eu-central-1".to_owned(),
            stack: &"clock".parse().unwrap(),
            command: "up",
            limit: Duration::ZERO,
            sink: &Sink::new(Box::new(Silent)),
        };
        let take = || only_one_in(&folder, &deployment);
        let first = take().await.unwrap();
        assert!(first.is_some());
        let failure = take().await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Busy);
        drop(first);
        assert!(take().await.unwrap().is_some());
        assert_eq!(mode(&folder).unwrap(), 0o700);
        let locks: Vec<_> = std::fs::read_dir(&folder).unwrap().flatten().collect();
        assert_eq!(locks.len(), 1);
        assert_eq!(mode(&locks[0].path()).unwrap(), 0o600);
    }

    #[test]
    fn addresses_become_file_names() {
        assert_eq!(
            simplified("http://127.0.0.1:4566/"),
            "http---127-0-0-1-4566"
        );
    }
}
