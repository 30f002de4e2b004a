//! Records of runs: what a run may have left if it is killed.
//!
//! A run holds the lock of its record for as long as it lives. A record that nobody holds belongs
//! to a run that was killed: the next run deletes what that one created, and then the record.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use rand::Rng as _;
use serde::{Deserialize, Serialize};

use crate::place::Place;

/// Account and region that a run created its stack in, from `deployer status`. What a later run is
/// given may lead elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Home {
    pub(crate) account: String,
    pub(crate) region: String,
}

impl Home {
    /// Reads the output of `deployer status`.
    pub(crate) fn read(status: &serde_json::Value) -> Option<Self> {
        let text = |name: &str| status[name].as_str().map(str::to_owned);
        Some(Self {
            account: text("account")?,
            region: text("region")?,
        })
    }
}

/// Content of a record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Run {
    /// Mark of the run's programs.
    pub(crate) mark: String,
    pub(crate) stack: String,
    pub(crate) place: Place,
    /// Set once the name is the run's own: from then on there may be something to delete.
    pub(crate) is_claimed: bool,
    /// Absent on an emulator that did not run.
    pub(crate) home: Option<Home>,
}

impl Run {
    /// Returns whether no other stack can have the name: it is random.
    pub(crate) fn has_name_of_its_own(&self) -> bool {
        self.stack == random_name(&self.mark)
    }

    /// Describes a new run, with a random stack name unless one is given.
    pub(crate) fn new(stack: Option<String>, place: Place) -> Self {
        let random: u32 = rand::rng().random();
        let mark = format!("{random:08x}");
        Self {
            stack: stack.unwrap_or_else(|| random_name(&mark)),
            mark,
            place,
            is_claimed: false,
            home: None,
        }
    }
}

fn random_name(mark: &str) -> String {
    format!("acceptance-{mark}")
}

/// Record that this process holds.
pub(crate) struct Record {
    pub(crate) run: Run,
    path: PathBuf,
    _lock: File,
}

impl Record {
    /// Writes and locks the record of a run.
    pub(crate) fn create(folder: &Path, run: Run) -> Result<Self, String> {
        let path = folder.join(format!("{}.json", run.mark));
        let at = |error: std::io::Error| format!("cannot write `{}`: {error}", path.display());
        fs::create_dir_all(folder).map_err(at)?;
        let text = serde_json::to_string(&run).map_err(|error| error.to_string())?;
        // Locked before it has its name: otherwise another run could take it for one left behind.
        let partial = path.with_extension("partial");
        let mut file = File::create(&partial).map_err(at)?;
        file.lock().map_err(at)?;
        file.write_all(text.as_bytes()).map_err(at)?;
        file.sync_all().map_err(at)?;
        fs::rename(&partial, &path).map_err(at)?;
        Ok(Self {
            run,
            path,
            _lock: file,
        })
    }

    /// Removes the record: nothing is left of the run.
    pub(crate) fn remove(self) -> Result<(), String> {
        fs::remove_file(&self.path)
            .map_err(|error| format!("cannot remove `{}`: {error}", self.path.display()))
    }
}

/// Records in a folder: those left behind, now held by this process, and runs that are alive.
pub(crate) struct Found {
    pub(crate) left_behind: Vec<Record>,
    pub(crate) alive: Vec<Run>,
}

/// Reads all records.
pub(crate) fn find(folder: &Path) -> Result<Found, String> {
    let mut found = Found {
        left_behind: Vec::new(),
        alive: Vec::new(),
    };
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(found);
    };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "json")
    });
    paths.sort();
    for path in paths {
        // Another run may have removed it meanwhile.
        let Ok(lock) = File::open(&path) else {
            continue;
        };
        let is_left_behind = lock.try_lock().is_ok();
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        let run: Run = serde_json::from_str(&text)
            .map_err(|error| format!("`{}` is damaged: {error}", path.display()))?;
        if is_left_behind {
            found.left_behind.push(Record {
                run,
                path,
                _lock: lock,
            });
        } else {
            found.alive.push(run);
        }
    }
    Ok(found)
}

/// Returns the folder of the records.
pub(crate) fn folder() -> Result<PathBuf, String> {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    variable("XDG_STATE_HOME")
        .filter(|folder| folder.is_absolute())
        .or_else(|| variable("HOME").map(|home| home.join(".local/state")))
        .map(|state| state.join("deployer-acceptance"))
        .ok_or_else(|| "set HOME or XDG_STATE_HOME".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> Run {
        let place = Place {
            local: true,
            endpoint_url: None,
            region: None,
            profile: None,
            account: None,
        };
        Run::new(None, place)
    }

    #[test]
    fn a_record_is_left_behind_when_nobody_holds_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let record = Record::create(folder.path(), run()).expect("a record");
        assert!(!record.run.is_claimed);
        let wanted = record.run.clone();
        let found = find(folder.path()).expect("records");
        assert!(found.left_behind.is_empty());
        assert_eq!(found.alive, std::slice::from_ref(&wanted));

        // As the kernel does for a process that is killed.
        drop(record);
        let mut found = find(folder.path()).expect("records");
        assert!(found.alive.is_empty());
        assert_eq!(found.left_behind.len(), 1);
        let left = found.left_behind.remove(0);
        assert_eq!(left.run, wanted);
        // Whoever deletes what is left holds the record meanwhile.
        assert_eq!(find(folder.path()).expect("records").alive, [wanted]);
        left.remove().expect("removed");
        let found = find(folder.path()).expect("records");
        assert!(found.alive.is_empty() && found.left_behind.is_empty());
    }

    #[test]
    fn a_given_name_may_be_that_of_another_stack() {
        assert!(run().has_name_of_its_own());
        let given = Run::new(Some("acceptance".to_owned()), run().place);
        assert!(!given.has_name_of_its_own());
    }

    #[test]
    fn stack_names_are_random_and_valid() {
        let names = [run().stack, run().stack];
        assert_ne!(names[0], names[1]);
        for name in names {
            assert!(name.len() <= 32);
            assert!(
                name.bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            );
        }
    }
}
