//! Installing the pinned emulator in a virtual environment of its own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::{EMULATOR_VERSION, REQUIREMENTS};
use crate::error::Failure;
use crate::event::{Event, Sink};
use crate::process::{Line, ProcessError, Program};

/// The oldest Python that the emulator runs on.
const OLDEST_PYTHON: (u32, u32) = (3, 10);

/// Makes sure that the emulator is installed under `cache`; returns the Python that runs it.
///
/// The folder's name holds the hash of the pinned requirements: other requirements are another folder. A marker that is
/// written last tells a finished installation from one that was interrupted.
pub(super) async fn ensure(cache: &Path, sink: &Sink) -> Result<PathBuf, Failure> {
    let short = short_hash(REQUIREMENTS);
    let folder = cache.join(format!("emulator-{EMULATOR_VERSION}-{short}"));
    let python = folder.join("bin/python");
    let marker = folder.join(".complete");
    // The marker is not enough: the system's Python, to which the environment points, may be gone.
    if marker.exists() && python.exists() {
        return Ok(python);
    }
    sink.send(&Event::EmulatorInstalling {
        version: EMULATOR_VERSION,
    });
    require_python().await?;
    if folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(|error| unwritable(&folder, &error))?;
    }
    std::fs::create_dir_all(cache).map_err(|error| unwritable(cache, &error))?;
    let list = cache.join(format!("requirements-{short}.txt"));
    std::fs::write(&list, REQUIREMENTS).map_err(|error| unwritable(&list, &error))?;

    let environment = Program::new("python3").args(["-m", "venv"]).arg(&folder);
    run(&environment).await.map_err(|error| {
        Failure::preflight("cannot make a virtual environment for the emulator")
            .because(&error)
            .with_evidence(error.tail)
            .hint("on Debian and Ubuntu: `sudo apt-get install python3-venv`, or `make bootstrap`")
    })?;
    let pip = Program::new(&python)
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
            .because(&error)
            .with_evidence(error.tail)
            .hint("the first `--local` needs the network (and pip's own settings, if it is behind a proxy) and 200 MB on disk")
    })?;
    std::fs::write(&marker, EMULATOR_VERSION).map_err(|error| unwritable(&marker, &error))?;
    Ok(python)
}

/// The first digits of the hash of a text.
fn short_hash(text: &str) -> String {
    use std::fmt::Write as _;

    let mut digits = String::new();
    for byte in Sha256::digest(text.as_bytes()).iter().take(6) {
        let _ = write!(digits, "{byte:02x}");
    }
    digits
}

async fn require_python() -> Result<(), Failure> {
    let hint = "the emulator is a Python program: on Debian and Ubuntu `sudo apt-get install python3 python3-venv`, or `make bootstrap`";
    let question = "import sys; print(sys.version_info[0], sys.version_info[1])";
    let answer = Program::new("python3")
        .args(["-c", question])
        .output(Duration::from_secs(20))
        .await
        .map_err(|error| {
            Failure::preflight("cannot run Python")
                .because(error)
                .hint(hint)
        })?;
    let mut numbers = answer.stdout.split_whitespace().map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= OLDEST_PYTHON => Ok(()),
        (Some(Ok(major)), Some(Ok(minor))) => Err(Failure::preflight(format!(
            "Python {major}.{minor} is too old for the emulator"
        ))
        .hint("install Python 3.10 or newer as `python3`")),
        _ => Err(Failure::preflight("`python3` does not work")
            .because(answer.stderr.trim())
            .hint(hint)),
    }
}

/// A program that failed, with the last lines of what it said on either stream.
struct Failed {
    error: ProcessError,
    tail: Vec<String>,
}

impl std::fmt::Display for Failed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.error.fmt(formatter)
    }
}

/// Most lines of a failed installation that are shown.
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
    match program.run(keep).await {
        Ok(()) => Ok(()),
        Err(error) => Err(Failed { error, tail }),
    }
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::preflight(format!("cannot write `{}`", path.display()))
        .because(error)
        .hint("the emulator is kept in the cache folder: free some space, or set `XDG_CACHE_HOME`")
}
