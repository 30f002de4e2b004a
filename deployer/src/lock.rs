//! Lock files between runs. Waiting for one does not block the thread, so that Ctrl-C still works.

use std::fs::{File, TryLockError};
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use crate::poll::{self, Outcome, Poller, Terms};
use aws::remote::Remote;
use deployment::error::{Failure, FailureKind};
use deployment::event::Sink;
use support::input;
use support::private;

/// Lock that is held until it is dropped. The operating system releases it if this process is
/// killed.
#[must_use]
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// Takes the lock, waiting for at most `limit`; `doing` names the work of the run that holds it
/// ("starting the emulator").
pub(crate) async fn take(
    path: &Path,
    doing: &str,
    limit: Duration,
    sink: &Sink,
) -> Result<Lock, Failure> {
    let unusable = |error: &io::Error| {
        Failure::preflight(format!("cannot lock `{}`", path.display()))
            .because(error)
            .hint("free some space, or set `XDG_CACHE_HOME` and `XDG_STATE_HOME` to where there is some")
    };
    // The file names the holder, so opening it must not truncate it.
    let mut file = private::open(
        path,
        File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true),
    )
    .map_err(|error| unusable(&error))?;
    let mut waiting = Waiting {
        file: &file,
        path,
        doing,
        sink,
        // Without waiting, the failure itself names the holder.
        told: limit.is_zero(),
    };
    let terms = Terms::local(Instant::now() + limit);
    match poll::to_end(&mut waiting, terms, sink).await {
        Ok(Outcome::Completed(Ok(()))) => {
            let holder = format!(
                "process {} since {}",
                std::process::id(),
                chrono::Utc::now().format("%H:%M:%SZ")
            );
            // The content only informs people, so a failed write does not matter.
            let _ = file
                .set_len(0)
                .and_then(|()| file.write_all(holder.as_bytes()));
            Ok(Lock { _file: file })
        }
        Ok(Outcome::Completed(Err(error))) => Err(unusable(&error)),
        Ok(Outcome::TimedOut | Outcome::Cancelled) | Err(_) => {
            let patience = if limit.is_zero() {
                String::new()
            } else {
                format!(", and does not end within {} min", limit.as_secs() / 60)
            };
            Err(Failure::new(
                FailureKind::Busy,
                format!("another run is {doing}{patience}"),
            )
            .because(holder(path))
            .hint(format!(
                "it holds `{}`: see what it waits for, or end it, then try again",
                path.display()
            )))
        }
    }
}

/// Returns the holder of the lock, as it described itself in the file.
fn holder(path: &Path) -> String {
    let text = input::text(path, input::WRITTEN_BY_HAND).unwrap_or_default();
    if text.is_empty() {
        "a process that is not known".to_owned()
    } else {
        text
    }
}

/// Poller for a lock that another run may hold.
struct Waiting<'a> {
    file: &'a File,
    path: &'a Path,
    doing: &'a str,
    sink: &'a Sink,
    told: bool,
}

#[async_trait]
impl Poller for Waiting<'_> {
    type End = io::Result<()>;

    async fn poll(&mut self) -> Remote<Option<io::Result<()>>> {
        match self.file.try_lock() {
            Ok(()) => Ok(Some(Ok(()))),
            // A `RemoteError` cannot carry it, so that it becomes the result of the poller.
            Err(TryLockError::Error(error)) => Ok(Some(Err(error))),
            Err(TryLockError::WouldBlock) => {
                if !self.told {
                    self.told = true;
                    self.sink.note(format!(
                        "another run is {} ({}): waiting for it",
                        self.doing,
                        holder(self.path)
                    ));
                }
                Ok(None)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::testing::Notes;

    const LIMIT: Duration = Duration::from_mins(12);

    #[tokio::test(start_paused = true)]
    async fn the_second_one_waits_says_so_once_and_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let notes = Notes::default();
        let first = take(&path, "starting the emulator", LIMIT, &notes.sink())
            .await
            .unwrap();
        assert_eq!(notes.all(), Vec::<String>::new());
        let release = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            drop(first);
        };
        let sink = notes.sink();
        let (second, ()) =
            tokio::join!(take(&path, "starting the emulator", LIMIT, &sink), release);
        drop(second.unwrap());
        let [note] = notes.all().try_into().unwrap();
        let who = format!("(process {} since ", std::process::id());
        assert!(
            note.starts_with("another run is starting the emulator "),
            "{note}"
        );
        assert!(note.contains(&who), "{note}");
    }

    #[tokio::test]
    async fn it_names_its_holder_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        // Longer than any holder.
        std::fs::write(&path, "process 4194304 since 23:59:59Z".repeat(3)).unwrap();
        let lock = take(&path, "deploying", LIMIT, &Notes::default().sink())
            .await
            .unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let since = text.strip_prefix(&format!("process {} since ", std::process::id()));
        assert_eq!(since.map(str::len), Some("23:59:59Z".len()), "{text}");
        assert_eq!(support::private::mode(&path).unwrap(), 0o600);
        drop(lock);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let sink = Notes::default().sink();
        let _first = take(&path, "installing the emulator", LIMIT, &sink)
            .await
            .unwrap();
        let failure = take(&path, "installing the emulator", LIMIT, &sink)
            .await
            .unwrap_err();
        assert_eq!(failure.kind, FailureKind::Busy);
        assert_eq!(
            failure.message,
            "another run is installing the emulator, and does not end within 12 min"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_want_to_wait_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let notes = Notes::default();
        let sink = notes.sink();
        let _first = take(&path, "deploying", LIMIT, &sink).await.unwrap();
        let failure = take(&path, "deploying", Duration::ZERO, &sink)
            .await
            .unwrap_err();
        assert_eq!(failure.kind, FailureKind::Busy);
        assert_eq!(failure.message, "another run is deploying");
        assert_eq!(notes.all(), Vec::<String>::new());
    }
}
