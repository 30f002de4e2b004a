//! A copy of the project, as a fresh clone would have it, so that the test can change it.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// The copy; removed at the end.
pub(crate) struct Copy {
    folder: TempDir,
}

impl Copy {
    pub(crate) fn of_the_project() -> Self {
        let root = project();
        let folder = tempfile::Builder::new()
            .prefix("deployer-e2e-")
            .tempdir()
            .expect("a temporary folder");
        copy_folder(&root, folder.path());
        Self { folder }
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.root().join(name).to_string_lossy().into_owned()
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.root().join(name)).expect("a readable file")
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.root().join(name), text).expect("a writable file");
    }

    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.root().join(name)).expect("a removable file");
    }

    pub(crate) fn replace(&self, name: &str, old: &str, new: &str) {
        let text = self.read(name);
        assert!(text.contains(old), "`{old}` is not in {name}");
        self.write(name, &text.replace(old, new));
    }
}

/// The folder of the workspace.
pub(crate) fn project() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package
        .parent()
        .expect("the package is in a workspace")
        .to_owned()
}

/// All but what is made: the target folder and git's own.
fn copy_folder(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("a readable folder") {
        let entry = entry.expect("an entry");
        let name = entry.file_name();
        if name == "target" || name == ".git" {
            continue;
        }
        let target = to.join(&name);
        if entry.file_type().expect("a file type").is_dir() {
            fs::create_dir(&target).expect("a new folder");
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).expect("a copy");
        }
    }
}
