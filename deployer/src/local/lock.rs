//! One run at a time: locks that are waited for without holding up anything else, Ctrl-C above all.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use crate::engine::{self, Followed, Subject, Terms};
use crate::error::{Failure, FailureKind};
use crate::event::Sink;
use crate::remote::Remote;

/// How long to wait for another run: a little more than an installation may take.
const LIMIT: Duration = Duration::from_mins(12);

/// Held until it is dropped, also when this program is killed.
#[must_use]
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

/// Takes the lock; `doing` says what a run that holds it is at ("starting the emulator").
pub(super) async fn take(path: &Path, doing: &str, sink: &Sink) -> Result<Lock, Failure> {
    let file = File::create(path).map_err(|error| super::unwritable(path, &error))?;
    let mut waiting = Waiting {
        file: &file,
        doing,
        sink,
        told: false,
    };
    let deadline = Instant::now() + LIMIT;
    match engine::follow(&mut waiting, Terms::local(deadline), sink).await {
        Ok(Followed::Ended(Ok(()))) => Ok(Lock { _file: file }),
        Ok(Followed::Ended(Err(error))) => Err(super::unwritable(path, &error)),
        Ok(Followed::DeadlinePassed | Followed::Stopped) | Err(_) => Err(Failure::new(
            FailureKind::Busy,
            format!(
                "another run is {doing}, and does not end within {} min",
                LIMIT.as_secs() / 60
            ),
        )
        .hint(format!(
            "it holds `{}`: see what it waits for, or end it, then try again",
            path.display()
        ))),
    }
}

/// A lock that another run may hold.
struct Waiting<'a> {
    file: &'a File,
    doing: &'a str,
    sink: &'a Sink,
    told: bool,
}

#[async_trait]
impl Subject for Waiting<'_> {
    type End = io::Result<()>;

    async fn look(&mut self) -> Remote<Option<io::Result<()>>> {
        match self.file.try_lock() {
            Ok(()) => Ok(Some(Ok(()))),
            Err(TryLockError::Error(error)) => Ok(Some(Err(error))),
            Err(TryLockError::WouldBlock) => {
                if !self.told {
                    self.told = true;
                    self.sink
                        .note(format!("another run is {}: waiting for it", self.doing));
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

    #[tokio::test(start_paused = true)]
    async fn the_second_one_waits_says_so_once_and_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let notes = Notes::default();
        let first = take(&path, "starting the emulator", &notes.sink())
            .await
            .unwrap();
        assert_eq!(notes.all(), Vec::<String>::new());
        let release = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            drop(first);
        };
        let sink = notes.sink();
        let (second, ()) = tokio::join!(take(&path, "starting the emulator", &sink), release);
        drop(second.unwrap());
        assert_eq!(
            notes.all(),
            ["another run is starting the emulator: waiting for it"]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let sink = Notes::default().sink();
        let _first = take(&path, "installing the emulator", &sink).await.unwrap();
        let failure = take(&path, "installing the emulator", &sink)
            .await
            .unwrap_err();
        assert_eq!(failure.kind, FailureKind::Busy);
        assert_eq!(
            failure.message,
            "another run is installing the emulator, and does not end within 12 min"
        );
    }
}
