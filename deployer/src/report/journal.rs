//! Journal of each run that changes something: all of its events, as JSON Lines in a file. It keeps
//! the evidence of a failure after AWS has deleted it.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use super::json;
use super::usual::usual;
use crate::state::journals;
use deployment::error::{Failure, FailureKind};
use deployment::event::{Event, Reporter, Timing};
use support::input;
use support::private;

/// Number of newest journals that are kept for each stack.
const KEPT: usize = 50;
/// Number of newest journals that the usual durations are computed from. Those larger than the
/// limit, in bytes, are skipped.
const TELLING: usize = 9;
const TELLING_LIMIT: u64 = 1024 * 1024;

/// Reporter that writes the journal and passes all events on.
pub(super) struct Journal {
    inner: Box<dyn Reporter>,
    folder: PathBuf,
    file: Option<(PathBuf, File)>,
}

impl Journal {
    pub(super) fn new(inner: Box<dyn Reporter>, folder: PathBuf) -> Self {
        Self {
            inner,
            folder,
            file: None,
        }
    }

    fn write(&mut self, at: DateTime<Utc>, event: &Event) -> io::Result<()> {
        if let Event::Started { command, stack, .. } = event
            && is_journalled(command)
        {
            self.file = Some(open(&self.folder.join(stack.as_str()), at, command)?);
        }
        match &mut self.file {
            // Progress bars produce many events that nobody needs later.
            Some((_, file)) if !matches!(event, Event::PushProgressed { .. }) => {
                file.write_all(json::line(at, event).as_bytes())
            }
            Some(_) | None => Ok(()),
        }
    }
}

impl Reporter for Journal {
    fn report(&mut self, at: DateTime<Utc>, event: &Event) {
        // Written first, so that the journal is complete even if the other reporter panics.
        let written = self.write(at, event);
        match (event, &self.file) {
            (Event::Failed { exit_code, failure }, Some((path, _)))
                if is_worth_reading(failure) =>
            {
                let failure = failure
                    .clone()
                    .hint(format!("all that was seen: `{}`", path.display()));
                let exit_code = *exit_code;
                self.inner.report(at, &Event::Failed { exit_code, failure });
            }
            _ => self.inner.report(at, event),
        }
        if let Err(error) = written {
            // One warning is enough: later events are not written.
            self.file = None;
            let message = format!(
                "cannot keep a journal in `{}`: {error}",
                self.folder.display()
            );
            self.inner.report(at, &Event::Warned { message });
        }
        if let Event::Started {
            command,
            stack,
            local,
            ..
        } = event
            && is_journalled(command)
        {
            let timings = usual_timings(&self.folder.join(stack.as_str()), command, *local);
            if !timings.is_empty() {
                self.inner.report(at, &Event::UsuallyTook { timings });
            }
        }
    }
}

/// Returns the usual durations of this command's phases.
fn usual_timings(folder: &Path, command: &str, local: bool) -> Vec<Timing> {
    let mut journals = journals(folder).unwrap_or_default();
    let of_command = format!("-{}-", in_name(command));
    // The name of a journal contains the command: see `open`.
    journals.retain(|path| path.to_string_lossy().contains(&of_command));
    let read = |path: &PathBuf| input::text(path, TELLING_LIMIT).ok();
    let texts: Vec<String> = journals
        .iter()
        .rev()
        .take(TELLING)
        .filter_map(read)
        .collect();
    usual(texts.iter().map(String::as_str), local)
}

/// Commands that report their start and change neither the stack nor who has access to it. Any
/// other has a journal: a new command that changes something cannot be forgotten.
const WITHOUT_JOURNAL: [&str; 6] = [
    "plan",
    "status",
    "image build",
    "image push",
    "image inspect",
    "image verify",
];

/// Returns whether this command changes something.
fn is_journalled(command: &str) -> bool {
    !WITHOUT_JOURNAL.contains(&command)
}

/// Returns the name of a command as a part of a file name.
fn in_name(command: &str) -> String {
    command.replace(' ', "-")
}

/// Returns whether the journal contains more than the message says.
fn is_worth_reading(failure: &Failure) -> bool {
    match failure.kind {
        FailureKind::RolledBack
        | FailureKind::Stuck
        | FailureKind::CheckFailed
        | FailureKind::Unproven
        | FailureKind::Unexpected => true,
        FailureKind::Usage
        | FailureKind::Preflight
        | FailureKind::Busy
        | FailureKind::Held
        | FailureKind::Interrupted => false,
    }
}

/// Starts a journal, and removes the oldest ones beyond the limit.
fn open(folder: &Path, at: DateTime<Utc>, command: &str) -> io::Result<(PathBuf, File)> {
    // The journal contains log lines of the service, which other users must not read.
    private::folder(folder)?;
    let old = journals(folder)?;
    let surplus = old.len().saturating_sub(KEPT - 1);
    for path in old.iter().take(surplus) {
        // Another run may have removed it first.
        let _ = fs::remove_file(path);
    }
    // The process id separates runs that start in the same second.
    let name = format!(
        "{}-{}-{}.jsonl",
        at.format("%Y%m%dT%H%M%SZ"),
        in_name(command),
        std::process::id()
    );
    let path = folder.join(name);
    let file = private::create(&path)?;
    Ok((path, file))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use clap::CommandFactory as _;

    use super::*;
    use support::private::mode;

    /// Keeps what it is told.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<Event>>>);

    impl Reporter for Kept {
        fn report(&mut self, _: DateTime<Utc>, event: &Event) {
            self.0.lock().unwrap().push(event.clone());
        }
    }

    fn started(command: &'static str) -> Event {
        Event::Started {
            format: 1,
            command,
            stack: "clock".parse().unwrap(),
            local: true,
            version: "0",
        }
    }

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_341_845 + second, 0).unwrap()
    }

    fn journals(folder: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(folder.join("clock")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn what_changes_something_is_written_down() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::default();
        let mut journal = Journal::new(Box::new(kept.clone()), folder.path().to_owned());
        journal.report(at(0), &started("up"));
        journal.report(at(1), &Event::Unchanged);
        let failure = Failure::new(FailureKind::RolledBack, "the update failed");
        let exit_code = 4;
        journal.report(at(2), &Event::Failed { exit_code, failure });
        let [path] = journals(folder.path()).try_into().unwrap();
        assert_eq!(mode(&path).unwrap(), 0o600);
        assert_eq!(mode(path.parent().unwrap()).unwrap(), 0o700);
        let text = fs::read_to_string(&path).unwrap();
        let events: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(events.len(), 3);
        assert_eq!(events[2]["failure"]["message"], "the update failed");
        let told = kept.0.lock().unwrap();
        let Some(Event::Failed { failure, .. }) = told.last() else {
            panic!("{told:?}");
        };
        assert!(failure.hints[0].contains(&path.display().to_string()));
    }

    #[test]
    fn only_so_many_are_kept_and_only_of_what_changes_something() {
        let folder = tempfile::tempdir().unwrap();
        for second in 0..60 {
            let mut journal = Journal::new(Box::new(Kept::default()), folder.path().to_owned());
            journal.report(at(second), &started("down"));
            let mut status = Journal::new(Box::new(Kept::default()), folder.path().to_owned());
            status.report(at(second), &started("status"));
        }
        let journals = journals(folder.path());
        assert_eq!(journals.len(), KEPT);
        let newest = at(59).format("%Y%m%dT%H%M%SZ").to_string();
        assert!(
            journals
                .iter()
                .any(|path| path.display().to_string().contains(&newest))
        );
    }

    #[test]
    fn every_command_that_changes_something_has_a_journal() {
        let all = crate::commands::Cli::command();
        for name in WITHOUT_JOURNAL {
            let found = name
                .split(' ')
                .try_fold(&all, |command, word| command.find_subcommand(word));
            assert!(found.is_some(), "there is no command `{name}`");
        }
        let changing = "up continue down rollback promote reviewer-grant reviewer-revoke";
        for name in changing.split(' ') {
            let folder = tempfile::tempdir().unwrap();
            let mut journal = Journal::new(Box::new(Kept::default()), folder.path().to_owned());
            journal.report(at(0), &started(name.replace('-', " ").leak()));
            let [path] = journals(folder.path()).try_into().unwrap();
            let path = path.display().to_string();
            assert!(path.contains(&format!("-{name}-")), "{path}");
        }
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_a_warning() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let kept = Kept::default();
        let mut journal = Journal::new(Box::new(kept.clone()), file.path().to_owned());
        journal.report(at(0), &started("up"));
        journal.report(at(1), &Event::Unchanged);
        let told = kept.0.lock().unwrap();
        assert!(matches!(told[0], Event::Started { .. }), "{told:?}");
        assert!(matches!(told[1], Event::Warned { .. }), "{told:?}");
        assert_eq!(told.len(), 3, "told once, and everything else passed on");
    }
}
