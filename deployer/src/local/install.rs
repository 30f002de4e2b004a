//! Installation of the pinned emulator in its own virtual environment, and of the addition.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::{ADDITION, EMULATOR_VERSION, REQUIREMENTS, unwritable};
use crate::lock;
use deployment::error::Failure;
use deployment::event::{Event, Sink};
use process::{Line, Program};
use support::private;

/// Oldest Python version that the emulator supports.
const OLDEST_PYTHON: (u32, u32) = (3, 10);

/// Time limit for short Python scripts.
const PYTHON_LIMIT: Duration = Duration::from_secs(20);
/// Time limit for each step: creating the virtual environment, and installing the packages.
const LIMIT: Duration = Duration::from_mins(10);
/// Part of the name of an unfinished installation.
const PARTIAL: &str = "-partial-";

/// Installs the emulator under `cache` unless it is installed; returns the Python that runs it. One that
/// came with the deployer needs neither a network nor a Python of the system.
///
/// The folder's name contains the hash of the pinned requirements, so different requirements use
/// different folders. The folder gets its name only when it is complete. Concurrent runs therefore
/// see a complete installation or none.
pub(super) async fn ensure(cache: &Path, sink: &Sink) -> Result<PathBuf, Failure> {
    let name = format!("emulator-{EMULATOR_VERSION}-{}", short_hash(REQUIREMENTS));
    let folder = cache.join(&name);
    let prefix = std::env::current_exe()
        .ok()
        .and_then(|program| prefix_of(&program));
    if let Some(packaged) = prefix.as_deref().map(|prefix| packaged(prefix, &name)) {
        match trusted(&packaged, prefix.as_deref()) {
            Ok(true) => match usable(&packaged).await {
                Some(python) => return Ok(python),
                None => not_used(&packaged, "it does not run here", sink),
            },
            Ok(false) => not_used(&packaged, "others may change it", sink),
            // Not installed.
            Err(_) => {}
        }
    }
    if let Some(python) = usable(&folder).await {
        return Ok(python);
    }
    private::folder(cache).map_err(|error| unwritable(cache, &error))?;
    let lock = cache.join("install.lock");
    let _only_one = lock::take(&lock, "installing the emulator", super::LOCK_LIMIT, sink).await?;
    // Another run may have installed it while this one waited for the lock.
    if let Some(python) = usable(&folder).await {
        return Ok(python);
    }
    sink.send(&Event::EmulatorInstalling {
        version: EMULATOR_VERSION,
    });
    require_python(prefix.as_deref()).await?;
    remove_partial(cache);
    // The name is unique: the pip of a killed run may still be writing to the previous one.
    let partial = cache.join(format!("{name}{PARTIAL}{:08x}", rand::random::<u32>()));
    fill(cache, &partial).await?;
    // A rename cannot replace a folder that is not empty.
    if folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(|error| unwritable(&folder, &error))?;
    }
    std::fs::rename(&partial, &folder).map_err(|error| unwritable(&folder, &error))?;
    // Removes again, because such a pip may have written to its folder until now.
    remove_partial(cache);
    Ok(python_in(&folder))
}

/// Writes the addition to the emulator; returns the path of its entry point.
///
/// The folder's name contains the hash of its content, so that different versions of the deployer
/// do not share one. The folder gets that name only when it is complete.
pub(super) fn write_addition(cache: &Path) -> Result<PathBuf, Failure> {
    let content: String = ADDITION
        .iter()
        .flat_map(|(path, text)| [*path, *text])
        .collect();
    let folder = cache.join(format!("addition-{}", short_hash(&content)));
    if !is_addition(&folder) {
        let partial = cache.join(format!("addition{PARTIAL}{:08x}", rand::random::<u32>()));
        let written = write_files(&partial).and_then(|()| {
            if folder.exists() {
                std::fs::remove_dir_all(&folder)?;
            }
            std::fs::rename(&partial, &folder)
        });
        if let Err(error) = written {
            // A leftover folder does no harm, because the next run uses another name.
            let _ = std::fs::remove_dir_all(&partial);
            // Another run may have written the same content first.
            if !is_addition(&folder) {
                return Err(unwritable(&folder, &error));
            }
        }
    }
    Ok(folder.join(ADDITION[0].0))
}

fn write_files(folder: &Path) -> io::Result<()> {
    ADDITION.iter().try_for_each(|(path, text)| {
        let path = folder.join(path);
        private::folder(path.parent().unwrap_or(folder))?;
        private::create(&path)?.write_all(text.as_bytes())
    })
}

/// Returns whether the folder contains the complete addition.
fn is_addition(folder: &Path) -> bool {
    ADDITION.iter().all(|(path, text)| {
        std::fs::read_to_string(folder.join(path)).is_ok_and(|existing| existing == *text)
    })
}

/// Returns the folder that this program was installed into, if it is in a folder `bin`.
fn prefix_of(program: &Path) -> Option<PathBuf> {
    // A link to the program may be anywhere.
    let program = program.canonicalize().ok()?;
    let folder = program.parent()?;
    (folder.file_name()? == "bin").then(|| folder.parent().map(Path::to_path_buf))?
}

/// Returns the folder of an emulator that a release has installed there.
fn packaged(prefix: &Path, name: &str) -> PathBuf {
    prefix.join("lib/deployer").join(name)
}

/// Returns whether nobody else may change what is run in this folder, or a folder that it is in, up to
/// the prefix. Fails if it is not there.
fn trusted(folder: &Path, prefix: Option<&Path>) -> io::Result<bool> {
    let python = python_in(folder);
    let parts = python.ancestors().take_while(|part| prefix != Some(part));
    let mut parts = parts.map(private::is_own);
    parts.try_fold(true, |all, part| part.map(|is_own| all && is_own))
}

fn not_used(folder: &Path, cause: &str, sink: &Sink) {
    sink.note(format!(
        "the emulator in `{}` is not used: {cause}",
        folder.display()
    ));
}

fn python_in(folder: &Path) -> PathBuf {
    folder.join("bin/python")
}

/// Returns the path of the marker file, which is written last.
fn marker_in(folder: &Path) -> PathBuf {
    folder.join(".complete")
}

/// Returns the Python of a complete installation that still works.
async fn usable(folder: &Path) -> Option<PathBuf> {
    let python = python_in(folder);
    if !marker_in(folder).exists() {
        return None;
    }
    // The virtual environment links to the system's Python. A system upgrade removes that Python or
    // replaces it by another version, which finds no packages: their folder has the version in its
    // name.
    let question = "from importlib.metadata import version; print(version('ministack'))";
    let answer = Program::new(&python)
        .args(["-c", question])
        .output(PYTHON_LIMIT)
        .await
        .ok()?;
    (answer.stdout.trim() == EMULATOR_VERSION).then_some(python)
}

/// Removes the leftovers of interrupted runs. Whatever cannot be removed is left to the next run.
fn remove_partial(cache: &Path) {
    for entry in std::fs::read_dir(cache).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("emulator-") && name.contains(PARTIAL) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Creates the virtual environment and installs the emulator in it.
async fn fill(cache: &Path, folder: &Path) -> Result<(), Failure> {
    // A file, because pip reads requirements with hashes from files only.
    let list = cache.join(format!("requirements-{}.txt", short_hash(REQUIREMENTS)));
    private::create(&list)
        .and_then(|mut file| file.write_all(REQUIREMENTS.as_bytes()))
        .map_err(|error| unwritable(&list, &error))?;
    private::folder(folder).map_err(|error| unwritable(folder, &error))?;
    let environment = Program::new("python3").args(["-m", "venv"]).arg(folder);
    run(&environment).await.map_err(|error| {
        Failure::preflight("cannot make a virtual environment for the emulator")
            .because(error.cause)
            .with_evidence(error.tail)
            .hint("on Debian and Ubuntu: `sudo apt-get install python3-venv`, or `make bootstrap`")
    })?;
    let pip = Program::new(python_in(folder))
        // Index URLs in these variables may contain a password. Installing packages is what they
        // are for.
        .allow(["PIP_*"])
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--require-hashes",
            "--requirement",
        ])
        .arg(&list);
    run(&pip).await.map_err(|error| {
        Failure::preflight("cannot install the emulator")
            .because(error.cause)
            .with_evidence(error.tail)
            .hint("the first `--local` needs the network (and pip's own settings, if it is behind a proxy) and 200 MB on disk")
    })?;
    let marker = marker_in(folder);
    std::fs::write(&marker, EMULATOR_VERSION).map_err(|error| unwritable(&marker, &error))
}

/// Returns the first 12 hexadecimal digits of the SHA-256 hash.
fn short_hash(text: &str) -> String {
    use std::fmt::Write as _;

    let mut digits = String::new();
    for byte in Sha256::digest(text.as_bytes()).iter().take(6) {
        let _ = write!(digits, "{byte:02x}");
    }
    digits
}

async fn require_python(prefix: Option<&Path>) -> Result<(), Failure> {
    let hint = "the emulator is a Python program: on Debian and Ubuntu `sudo apt-get install python3 python3-venv`, or `make bootstrap`";
    let other = prefix.map(|prefix| {
        format!(
            "or install the emulator of this program's release, which brings its own: `sh install.sh --prefix {} emulator`",
            prefix.display()
        )
    });
    let question = "import sys; print(sys.version_info[0], sys.version_info[1])";
    let answer = Program::new("python3")
        .args(["-c", question])
        .output(PYTHON_LIMIT)
        .await
        .map_err(|error| {
            Failure::preflight("cannot run Python")
                .because(error)
                .hint(hint)
                .maybe_hint(other.clone())
        })?;
    let mut numbers = answer.stdout.split_whitespace().map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= OLDEST_PYTHON => Ok(()),
        (Some(Ok(major)), Some(Ok(minor))) => Err(Failure::preflight(format!(
            "Python {major}.{minor} is too old for the emulator"
        ))
        .hint("install Python 3.10 or newer as `python3`")
        .maybe_hint(other)),
        _ => Err(Failure::preflight("`python3` does not work")
            .because(answer.stderr.trim())
            .hint(hint)
            .maybe_hint(other)),
    }
}

/// Failure of a program, with the last lines of its output on both streams.
#[derive(Debug)]
struct Failed {
    cause: String,
    tail: Vec<String>,
}

/// Maximum number of output lines in a report of a failed installation.
const TAIL: usize = 15;

async fn run(program: &Program) -> Result<(), Failed> {
    let mut tail: Vec<String> = Vec::new();
    let keep = |line: Line<'_>| {
        let (Line::Output(text) | Line::Error(text)) = line;
        if tail.len() == TAIL {
            tail.remove(0);
        }
        tail.push(text.to_owned());
    };
    let cause = match tokio::time::timeout(LIMIT, program.run(keep)).await {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) => error.to_string(),
        // Dropping the future has ended the program.
        Err(_elapsed) => format!("it did not end within {} min", LIMIT.as_secs() / 60),
    };
    Err(Failed { cause, tail })
}

#[cfg(test)]
mod tests {
    use super::*;
    use support::private::mode;

    /// An environment as pip leaves it, with a distribution that says it is the emulator; returns the folder of packages.
    async fn environment(folder: &Path) -> PathBuf {
        let made = Program::new("python3")
            .args(["-m", "venv", "--without-pip"])
            .arg(folder);
        run(&made).await.unwrap();
        let lib = std::fs::read_dir(folder.join("lib"))
            .unwrap()
            .next()
            .unwrap();
        let packages = lib.unwrap().path();
        let metadata = packages.join(format!(
            "site-packages/ministack-{EMULATOR_VERSION}.dist-info"
        ));
        std::fs::create_dir_all(&metadata).unwrap();
        let text = format!("Metadata-Version: 2.1\nName: ministack\nVersion: {EMULATOR_VERSION}\n");
        std::fs::write(metadata.join("METADATA"), text).unwrap();
        packages
    }

    #[tokio::test]
    async fn a_complete_installation_is_usable() {
        let cache = tempfile::tempdir().unwrap();
        let folder = cache.path().join("emulator");
        environment(&folder).await;
        assert_eq!(usable(&folder).await, None);
        std::fs::write(marker_in(&folder), EMULATOR_VERSION).unwrap();
        assert_eq!(usable(&folder).await, Some(python_in(&folder)));
    }

    #[tokio::test]
    async fn an_upgrade_of_python_makes_an_installation_unusable() {
        let cache = tempfile::tempdir().unwrap();
        let folder = cache.path().join("emulator");
        let packages = environment(&folder).await;
        std::fs::write(marker_in(&folder), EMULATOR_VERSION).unwrap();
        // To a new Python, the packages of the old one are in a folder of another name.
        std::fs::rename(&packages, packages.with_file_name("python3.0")).unwrap();
        assert_eq!(usable(&folder).await, None);
        // And the old Python may be gone, so that the link leads nowhere.
        std::fs::remove_file(python_in(&folder)).unwrap();
        std::os::unix::fs::symlink("/usr/bin/python3.0", python_in(&folder)).unwrap();
        assert_eq!(usable(&folder).await, None);
    }

    #[test]
    fn an_emulator_that_came_with_the_program_is_beside_it() {
        let prefix = tempfile::tempdir().unwrap();
        let prefix = prefix.path().canonicalize().unwrap();
        std::fs::create_dir_all(prefix.join("bin")).unwrap();
        let program = prefix.join("bin/deployer");
        std::fs::write(&program, "").unwrap();
        assert_eq!(prefix_of(&program).as_deref(), Some(&*prefix));
        // As Homebrew does, or a user.
        let link = prefix.join("link");
        std::os::unix::fs::symlink(&program, &link).unwrap();
        assert_eq!(prefix_of(&link).as_deref(), Some(&*prefix));
        // Beside a program that was put anywhere, others may have put anything.
        let elsewhere = prefix.join("elsewhere");
        std::fs::rename(&program, &elsewhere).unwrap();
        assert_eq!(prefix_of(&elsewhere), None);
        assert_eq!(prefix_of(&link), None);
    }

    #[test]
    fn what_others_may_change_is_not_run() {
        use std::fs::{Permissions, set_permissions};
        use std::os::unix::fs::PermissionsExt as _;

        let prefix = tempfile::tempdir().unwrap();
        let folder = packaged(prefix.path(), "emulator-1-a");
        let trusted = || trusted(&folder, Some(prefix.path()));
        assert!(trusted().is_err());
        std::fs::create_dir_all(folder.join("bin")).unwrap();
        std::fs::write(python_in(&folder), "").unwrap();
        for part in [prefix.path().join("lib"), python_in(&folder)] {
            set_permissions(&part, Permissions::from_mode(0o755)).unwrap();
            assert!(trusted().unwrap(), "{}", part.display());
            set_permissions(&part, Permissions::from_mode(0o757)).unwrap();
            assert!(!trusted().unwrap(), "{}", part.display());
            set_permissions(&part, Permissions::from_mode(0o755)).unwrap();
        }
    }

    #[test]
    fn only_what_is_half_installed_is_removed() {
        let cache = tempfile::tempdir().unwrap();
        for name in [
            "emulator-1-a-partial-0",
            "emulator-2-b-partial-1/bin",
            "emulator-1-a",
        ] {
            std::fs::create_dir_all(cache.path().join(name)).unwrap();
        }
        std::fs::write(cache.path().join("requirements-a.txt"), "").unwrap();
        remove_partial(cache.path());
        let mut left: Vec<_> = std::fs::read_dir(cache.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        left.sort();
        assert_eq!(left, ["emulator-1-a", "requirements-a.txt"]);
    }

    #[test]
    fn the_addition_is_written_completely_and_repaired() {
        let cache = tempfile::tempdir().unwrap();
        let path = write_addition(cache.path()).unwrap();
        let folder = path.parent().unwrap();
        assert!(is_addition(folder));
        let guard = folder.join("local_emulator/guard.py");
        for damage in ["half", ""] {
            std::fs::write(&guard, damage).unwrap();
            assert_eq!(write_addition(cache.path()).unwrap(), path);
            assert!(is_addition(folder));
        }
        std::fs::remove_file(&guard).unwrap();
        assert_eq!(write_addition(cache.path()).unwrap(), path);
        assert!(is_addition(folder));
        assert_eq!(std::fs::read_dir(cache.path()).unwrap().count(), 1);
        assert_eq!(mode(folder).unwrap(), 0o700);
        assert_eq!(mode(guard.parent().unwrap()).unwrap(), 0o700);
        assert_eq!(mode(&guard).unwrap(), 0o600);
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_end_is_ended() {
        let failed = run(&Program::new("sleep").arg("3600")).await.unwrap_err();
        assert_eq!(failed.cause, "it did not end within 10 min");
    }
}
