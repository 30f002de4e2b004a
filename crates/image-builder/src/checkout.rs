//! Checkout of one commit in a temporary folder, from a repository on this machine. The repository
//! itself stays as it is.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::Hint;
use crate::provenance::{Unknown, git, repository};

/// Time limit for git to copy a repository and check a commit out.
const LIMIT: Duration = Duration::from_mins(10);

/// Files of one commit. Deleted when it is dropped.
#[derive(Debug)]
pub struct Checkout {
    _folder: TempDir,
    /// Root folder of the files.
    pub root: PathBuf,
}

/// Reason why a commit cannot be checked out.
#[derive(Debug, thiserror::Error)]
pub enum CheckoutError {
    /// The name is not that of a commit.
    #[error("`{0}` is not a commit")]
    Name(String),
    /// There is no repository, or git does not read it.
    #[error("no repository can be read here: {}", .0.reason())]
    Repository(Unknown),
    /// The repository does not have the commit.
    #[error("this repository does not have the commit {0}")]
    Absent(String),
    /// The temporary folder cannot be created.
    #[error("cannot make a temporary folder")]
    Folder(#[source] io::Error),
    /// Git failed.
    #[error("git cannot check the commit out: {0}")]
    Git(String),
}

impl Hint for CheckoutError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Name(_) => None,
            Self::Repository(unknown) => unknown
                .note()
                .and_then(|note| Some(note.split_once(": ")?.1.to_owned()))
                .or_else(|| Some("run it in a clone of the repository that the image was built from".to_owned())),
            Self::Absent(_) => Some(
                "fetch it: `git fetch --tags`; or run it in a clone of the repository that the image was built from"
                    .to_owned(),
            ),
            Self::Folder(_) => Some("set `TMPDIR` to a folder with room for the sources".to_owned()),
            Self::Git(_) => Some("set `TMPDIR` to a folder with room for the sources, and see what `git fsck` finds".to_owned()),
        }
    }
}

/// Checks out a commit of the repository that contains `folder`.
pub async fn check_out(folder: &Path, commit: &str) -> Result<Checkout, CheckoutError> {
    // It comes from a registry, and must not become an option of git.
    let is_commit =
        matches!(commit.len(), 40 | 64) && commit.bytes().all(|it| it.is_ascii_hexdigit());
    if !is_commit {
        return Err(CheckoutError::Name(commit.to_owned()));
    }
    let top = repository(folder)
        .await
        .map_err(CheckoutError::Repository)?;
    let object = format!("{commit}^{{commit}}");
    git(&top, LIMIT, ["cat-file", "-e", &object])
        .await
        .map_err(|_| CheckoutError::Absent(commit.to_owned()))?;
    let copy = tempfile::Builder::new()
        .prefix("deployer-source-")
        .tempdir()
        .map_err(CheckoutError::Folder)?;
    // Git and cargo resolve symbolic links, so that paths are comparable only without them.
    let root = copy.path().canonicalize().map_err(CheckoutError::Folder)?;
    let failed = |said: String| CheckoutError::Git(last_line(&said));
    let steps: [&[&str]; 3] = [
        // Reads the objects of the repository, and does not copy them.
        &[
            "clone",
            "--quiet",
            "--no-checkout",
            "--shared",
            "--",
            "FROM",
            "TO",
        ],
        &["checkout", "--quiet", "--detach", commit],
        &["submodule", "--quiet", "update", "--init", "--recursive"],
    ];
    for step in steps {
        let arguments = step.iter().map(|argument| match *argument {
            "FROM" => top.as_os_str(),
            "TO" => root.as_os_str(),
            argument => argument.as_ref(),
        });
        git(&root, LIMIT, arguments).await.map_err(failed)?;
    }
    Ok(Checkout {
        _folder: copy,
        root,
    })
}

fn last_line(said: &str) -> String {
    let last = said.lines().rev().find(|line| !line.trim().is_empty());
    last.unwrap_or("it does not say why").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provenance::testing::Repository;

    #[tokio::test]
    async fn an_earlier_commit_is_checked_out_beside_the_repository() {
        let repository = Repository::new().await;
        let first = repository.git(&["rev-parse", "HEAD~1"]).await;
        repository.write("main.rs", "changed");
        let checkout = check_out(&repository.path(), first.trim()).await.unwrap();
        let read = |name: &str| std::fs::read_to_string(checkout.root.join(name)).ok();
        assert_eq!(read("main.rs").as_deref(), Some("one"));
        assert_eq!(read("README.md"), None);
        let changed = std::fs::read_to_string(repository.path().join("main.rs")).unwrap();
        assert_eq!(changed, "changed");
        let root = checkout.root.clone();
        drop(checkout);
        assert!(!root.exists());
    }

    #[tokio::test]
    async fn what_cannot_be_checked_out_is_said() {
        let repository = Repository::new().await;
        let at = |commit: &'static str| {
            let folder = repository.path();
            async move { check_out(&folder, commit).await.unwrap_err() }
        };
        let absent = at("0123456789012345678901234567890123456789").await;
        assert!(absent.hint().unwrap().contains("git fetch"), "{absent}");
        for name in ["", "HEAD", "--upload-pack=x", "main"] {
            assert!(matches!(at(name).await, CheckoutError::Name(_)), "{name}");
        }
        let nowhere = tempfile::tempdir().unwrap();
        let commit = "0123456789012345678901234567890123456789";
        let error = check_out(nowhere.path(), commit).await.unwrap_err();
        assert!(error.hint().unwrap().contains("clone"), "{error}");
    }
}
