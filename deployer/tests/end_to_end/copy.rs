//! A copy of the project, as a fresh clone would have it, so that the test can change it.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// The copy.
pub(crate) struct Copy {
    root: PathBuf,
    /// Removed, or left to the next one.
    _folder: Folder,
}

#[expect(dead_code, reason = "they are held")]
enum Folder {
    Own(TempDir),
    Shared(File),
}

impl Copy {
    /// The copy that all tests use, one after the other: what does not change between them is compiled once.
    pub(crate) fn of_the_project() -> Self {
        let folder = target().join("copy");
        let root = folder.join("project");
        fs::create_dir_all(&root).expect("a folder");
        let lock = File::create(folder.join("lock")).expect("a file to lock");
        lock.lock().expect("the folder for this test alone");
        make_equal(&project(), &root);
        Self {
            root,
            _folder: Folder::Shared(lock),
        }
    }

    /// A copy in a folder of its own; removed at the end.
    pub(crate) fn elsewhere() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("deployer-e2e-")
            .tempdir()
            .expect("a temporary folder");
        make_equal(&project(), folder.path());
        Self {
            root: folder.path().to_owned(),
            _folder: Folder::Own(folder),
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
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

/// Where cargo puts what it makes; that of the build that made this test.
pub(crate) fn target() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| project().join("target"), PathBuf::from);
    target
        .canonicalize()
        .expect("the target folder exists: this test is in it")
}

/// Makes one folder like the other, but for what is made: the target folder and git's own.
///
/// What is equal stays as it is, with its time, by which cargo sees what it has to compile.
fn make_equal(from: &Path, to: &Path) {
    let mut names: BTreeSet<OsString> = names_in(from);
    names.remove(&OsString::from("target"));
    names.remove(&OsString::from(".git"));
    for name in names_in(to).difference(&names) {
        remove(&to.join(name));
    }
    for name in names {
        let (source, copy) = (from.join(&name), to.join(&name));
        if source.is_dir() {
            if !copy.is_dir() {
                fs::create_dir(&copy).expect("a new folder");
            }
            make_equal(&source, &copy);
            continue;
        }
        let content = fs::read(&source).expect("a readable file");
        if fs::read(&copy).ok().as_ref() != Some(&content) {
            // With its mode: some are programs.
            fs::copy(&source, &copy).expect("a copy");
        }
    }
}

fn names_in(folder: &Path) -> BTreeSet<OsString> {
    fs::read_dir(folder)
        .expect("a readable folder")
        .map(|entry| entry.expect("an entry").file_name())
        .collect()
}

fn remove(path: &Path) {
    let is_folder = fs::symlink_metadata(path).is_ok_and(|found| found.is_dir());
    if is_folder {
        fs::remove_dir_all(path).expect("a removable folder");
    } else {
        fs::remove_file(path).expect("a removable file");
    }
}
