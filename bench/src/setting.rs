//! Setting of the benchmark: folders, programs, processor cores and rounds.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::process::Error;

/// Folders, programs, processor cores and rounds.
pub(crate) struct Setting {
    /// Folder of the project.
    pub(crate) root: PathBuf,
    /// Folder for what is kept: compiled programs, the report.
    pub(crate) kept: PathBuf,
    /// Deployer, compiled beside this program.
    pub(crate) deployer: PathBuf,
    /// Cores that client and server are pinned to; the same one if there is only one.
    pub(crate) client_core: usize,
    pub(crate) server_core: usize,
    /// Number of rounds instead of each part's default.
    pub(crate) only_rounds: Option<usize>,
    scratch: TempDir,
}

impl Setting {
    /// Detects the setting.
    pub(crate) fn find(only_rounds: Option<usize>) -> Result<Self, Error> {
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = package.parent().unwrap_or(package).to_owned();
        let this_program = std::env::current_exe().map_err(Error::at("cannot find myself"))?;
        let programs = this_program.parent().unwrap_or(Path::new("."));
        let deployer = programs.join("deployer");
        if !deployer.is_file() {
            let reason = format!("`{}` is missing: `make bench` makes it", deployer.display());
            return Err(Error::Failed(reason));
        }
        let target = std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| root.join("target"), |folder| root.join(folder));
        let kept = target.join("bench");
        std::fs::create_dir_all(&kept).map_err(Error::at(kept.display()))?;
        // nginx's worker runs as another user, who cannot read a folder below root's home.
        let scratch = tempfile::Builder::new()
            .prefix("bench-")
            .tempdir()
            .map_err(Error::at("cannot make a temporary folder"))?;
        let cores = cores()?;
        Ok(Self {
            root,
            kept,
            deployer,
            client_core: cores.last().copied().unwrap_or_default(),
            server_core: cores.first().copied().unwrap_or_default(),
            only_rounds,
            scratch,
        })
    }

    /// Returns a folder that is removed at the end.
    pub(crate) fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// Returns the number of rounds, `usual` by default.
    pub(crate) fn rounds(&self, usual: usize) -> usize {
        self.only_rounds.unwrap_or(usual)
    }
}

/// Returns the cores that this process may use.
fn cores() -> Result<Vec<usize>, Error> {
    let status = std::fs::read_to_string("/proc/self/status").map_err(Error::at("/proc"))?;
    let list = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
        .unwrap_or("0");
    Ok(parse_cores(list))
}

/// Parses a list of Linux, such as `0-3,8`.
fn parse_cores(text: &str) -> Vec<usize> {
    let mut cores = Vec::new();
    for part in text.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse::<usize>(), last.parse()) {
            cores.extend(first..=last);
        }
    }
    cores
}

#[cfg(test)]
mod tests {
    #[test]
    fn lists_of_cores() {
        assert_eq!(super::parse_cores("\t0-2,5\n"), [0, 1, 2, 5]);
        assert_eq!(super::parse_cores("3"), [3]);
    }
}
