//! Images that the run deploys. They are built before it starts, without credentials.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::output::note;
use crate::process::{command, run, sibling};
use crate::programs::root;

/// Folder of the service with a fault.
const FAULTY: &str = "deployer/tests/end_to_end/faulty";
/// Maximum time of one build.
const LIMIT: Duration = Duration::from_mins(30);

/// Image of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Image {
    /// The service as it is.
    First,
    /// The service with another variable: another version.
    Second,
    /// Exits at its start.
    Exits,
    /// Is healthy, and answers 500 when it is asked for the time.
    Broken,
    /// Is three seconds ahead.
    WrongClock,
}

impl Image {
    const ALL: [Self; 5] = [
        Self::First,
        Self::Second,
        Self::Exits,
        Self::Broken,
        Self::WrongClock,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Second => "second",
            Self::Exits => "exits",
            Self::Broken => "broken",
            Self::WrongClock => "wrong-clock",
        }
    }

    /// Returns the image's archive in a folder.
    pub(crate) fn archive(self, folder: &Path) -> PathBuf {
        folder.join(format!("{}.tar", self.name()))
    }

    /// Returns the other good version.
    pub(crate) fn other(self) -> Self {
        if self == Self::First {
            Self::Second
        } else {
            Self::First
        }
    }
}

/// Returns whether all images are in a folder.
pub(crate) fn are_in(folder: &Path) -> bool {
    Image::ALL
        .iter()
        .all(|image| image.archive(folder).is_file())
}

/// Builds all images into a folder.
pub(crate) async fn build(folder: &Path, mark: &str) -> Result<(), String> {
    let root = root();
    // Below the workspace, because cargo runs in the folder of the configuration.
    let work = root.join("target/acceptance/build");
    for image in Image::ALL {
        let name = image.name();
        note(&format!("building image `{name}`"));
        let config = prepare(image, &root, &work.join(name))
            .map_err(|error| format!("cannot prepare the image `{name}`: {error}"))?;
        let mut build = command(sibling("deployer")?, mark);
        build
            .current_dir(&root)
            .args(["image", "build", "--output", "json", "--config"])
            .arg(config)
            .arg("--archive")
            .arg(image.archive(folder))
            .env("CARGO_TARGET_DIR", target(&root));
        let finished = run(&mut build, LIMIT, |_| None).await?;
        if finished.code != Some(0) {
            return Err(format!(
                "the image `{name}` was not built: {}",
                finished.end()
            ));
        }
    }
    Ok(())
}

/// Returns cargo's target folder, so that what is compiled already is not compiled again.
pub(crate) fn target(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |set| root.join(set))
}

/// Writes what an image is built from, and returns the configuration.
fn prepare(image: Image, root: &Path, work: &Path) -> std::io::Result<PathBuf> {
    fs::create_dir_all(work.join("src"))?;
    let config = work.join("deployer.toml");
    let (package, dockerfile) = match image {
        Image::First => ("app", fs::read_to_string(root.join("Dockerfile"))?),
        Image::Second => {
            let text = fs::read_to_string(root.join("Dockerfile"))?;
            (
                "app",
                format!("{}\nENV ACCEPTANCE=second\n", text.trim_end()),
            )
        }
        Image::Exits | Image::Broken | Image::WrongClock => {
            let faulty = root.join(FAULTY);
            for file in ["Cargo.toml", "Cargo.lock", "src/main.rs"] {
                write_if_changed(&work.join(file), &fs::read_to_string(faulty.join(file))?)?;
            }
            let text = fs::read_to_string(faulty.join("Dockerfile"))?;
            let fault = format!("ENV FAULT={}", image.name());
            ("faulty", text.replace("ENV FAULT=none", &fault))
        }
    };
    write_if_changed(&work.join("Dockerfile"), &dockerfile)?;
    let text = format!("stack = \"acceptance\"\n\n[image]\npackage = \"{package}\"\n");
    write_if_changed(&config, &text)?;
    Ok(config)
}

/// Writes a file unless it has this content: cargo compiles again what is newer.
fn write_if_changed(path: &Path, text: &str) -> std::io::Result<()> {
    if fs::read_to_string(path).is_ok_and(|found| found == text) {
        return Ok(());
    }
    fs::write(path, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_has_its_own_dockerfile() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut dockerfiles = Vec::new();
        for image in Image::ALL {
            let work = folder.path().join(image.name());
            let config = prepare(image, &root(), &work).expect("prepared");
            assert!(config.is_file());
            dockerfiles.push(fs::read_to_string(work.join("Dockerfile")).expect("a Dockerfile"));
        }
        // What is replaced has to be there.
        assert!(dockerfiles[2].contains("ENV FAULT=exits\n"));
        dockerfiles.sort();
        dockerfiles.dedup();
        assert_eq!(dockerfiles.len(), Image::ALL.len());
        assert!(!are_in(folder.path()));
    }
}
