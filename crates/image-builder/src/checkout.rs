//! Checkout of one commit in a temporary folder, from a repository on this machine. The repository
//! itself stays as it is.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use process::Program;
use tempfile::TempDir;

use crate::Hint;
use crate::provenance::{Unknown, git, output, program, repository};

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

/// Commit of a repository on this machine.
#[derive(Debug)]
pub struct Commit {
    repository: PathBuf,
    name: String,
    /// URL of the remote `origin`.
    origin: Option<String>,
}

impl Commit {
    /// Finds a commit of the repository that contains `folder`. Nothing of it is used yet.
    pub async fn find(folder: &Path, name: &str) -> Result<Self, CheckoutError> {
        // It comes from a registry, and must not become an option of git.
        let is_commit =
            matches!(name.len(), 40 | 64) && name.bytes().all(|it| it.is_ascii_hexdigit());
        if !is_commit {
            return Err(CheckoutError::Name(name.to_owned()));
        }
        let top = repository(folder)
            .await
            .map_err(CheckoutError::Repository)?;
        let object = format!("{name}^{{commit}}");
        git(&top, LIMIT, ["cat-file", "-e", &object])
            .await
            .map_err(|_| CheckoutError::Absent(name.to_owned()))?;
        Ok(Self {
            origin: origin(&top).await,
            repository: top,
            name: name.to_owned(),
        })
    }

    /// Checks the commit out in a temporary folder, with its submodules.
    pub async fn check_out(&self) -> Result<Checkout, CheckoutError> {
        let copy = tempfile::Builder::new()
            .prefix("deployer-source-")
            .tempdir()
            .map_err(CheckoutError::Folder)?;
        // Git and cargo resolve symbolic links, so that paths are comparable only without them.
        let root = copy.path().canonicalize().map_err(CheckoutError::Folder)?;
        // Reads the objects of the repository, and does not copy them.
        let clone = ["clone", "--quiet", "--no-checkout", "--shared", "--"].map(OsStr::new);
        let clone = [&clone[..], &[self.repository.as_os_str(), root.as_os_str()]].concat();
        let within = |arguments: &[&str]| program(&root, arguments);
        let steps = [
            program(&root, clone),
            within(&["checkout", "--quiet", "--detach", &self.name]),
            // Relative URLs of submodules are relative to the origin, those of their submodules are not.
            self.with_origin(within(&["submodule", "--quiet", "init"])),
            within(&["submodule", "--quiet", "update", "--init", "--recursive"]),
        ];
        for step in steps {
            let said = output(&step, LIMIT).await;
            said.map_err(|said| CheckoutError::Git(last_line(&said)))?;
        }
        Ok(Checkout {
            _folder: copy,
            root,
        })
    }

    /// Has git take the clone for one of the origin. As a variable, since the URL may have a
    /// password, and the arguments of a process are public.
    fn with_origin(&self, git: Program) -> Program {
        let Some(origin) = &self.origin else {
            return git;
        };
        // The caller's own settings stay.
        let given = std::env::var("GIT_CONFIG_COUNT").ok();
        let given = given.and_then(|count| count.parse().ok()).unwrap_or(0_u32);
        git.env("GIT_CONFIG_COUNT", (given + 1).to_string())
            .env(format!("GIT_CONFIG_KEY_{given}"), "remote.origin.url")
            .env(format!("GIT_CONFIG_VALUE_{given}"), origin)
    }

    /// Returns whether a branch of the remote `origin` contains the commit. Without that remote, it is
    /// a branch of this repository.
    ///
    /// Other commits can get into a clone as well: those of pull requests, and of forks, whose tags
    /// git fetches into the clone's own.
    pub async fn is_published(&self) -> bool {
        let branches = match self.origin {
            Some(_) => "refs/remotes/origin",
            None => "refs/heads",
        };
        let contains = format!("--contains={}", self.name);
        let question = ["for-each-ref", &contains, "--format=%(refname)", branches];
        let refs = git(&self.repository, LIMIT, question).await;
        let fetched = ["config", "--get-all", "remote.origin.fetch"];
        let fetched = git(&self.repository, LIMIT, fetched)
            .await
            .unwrap_or_default();
        // `+refs/pull/*:refs/remotes/origin/pull/*`, for instance.
        let others: Vec<&str> = fetched
            .lines()
            .filter_map(|it| it.trim_start_matches('+').split_once(':'))
            .filter(|(source, _)| !source.starts_with("refs/heads/"))
            .filter_map(|(_, target)| target.split('*').next())
            .collect();
        refs.unwrap_or_default()
            .lines()
            .any(|name| !others.iter().any(|other| name.starts_with(other)))
    }
}

/// Returns the URL of the remote `origin`. A relative path is made absolute.
async fn origin(top: &Path) -> Option<String> {
    let url = git(top, LIMIT, ["config", "--get", "remote.origin.url"]).await;
    let url = url.ok()?.trim_end_matches('\n').to_owned();
    let is_relative = ["./", "../"].iter().any(|start| url.starts_with(start));
    Some(if is_relative {
        top.join(url).to_string_lossy().into_owned()
    } else {
        url
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

    async fn check_out(folder: &Path, commit: &str) -> Result<Checkout, CheckoutError> {
        Commit::find(folder, commit).await?.check_out().await
    }

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

    #[tokio::test]
    async fn a_submodule_is_found_beside_the_origin() {
        let folder = tempfile::tempdir().unwrap();
        let library = Repository::new().await;
        let bare = folder.path().join("library.git");
        let (from, to) = (library.path(), bare.display().to_string());
        git(&from, LIMIT, ["clone", "--quiet", "--bare", ".", &to])
            .await
            .unwrap();
        let repository = Repository::new().await;
        let commit = library.git(&["rev-parse", "HEAD"]).await;
        let modules = "[submodule \"library\"]\n\tpath = library\n\turl = ../library.git\n";
        repository.write(".gitmodules", modules);
        std::fs::create_dir(repository.path().join("library")).unwrap();
        let link = format!("160000,{},library", commit.trim());
        repository
            .git(&["update-index", "--add", "--cacheinfo", &link])
            .await;
        repository.commit(1_200_000_000).await;
        let head = repository.git(&["rev-parse", "HEAD"]).await;
        // Git refuses submodules in folders, so it has to be a server.
        let port = serve(folder.path()).await;
        let origin = format!("git://127.0.0.1:{port}/application.git");
        repository.git(&["remote", "add", "origin", &origin]).await;
        let checkout = check_out(&repository.path(), head.trim()).await.unwrap();
        let read = std::fs::read_to_string(checkout.root.join("library/README.md"));
        assert_eq!(read.unwrap(), "two");
    }

    /// Starts `git daemon` with the repositories of a folder; returns its port. It ends with the
    /// test's runtime, which drops it.
    async fn serve(folder: &Path) -> u16 {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let arguments = [
            "daemon".to_owned(),
            "--export-all".to_owned(),
            "--reuseaddr".to_owned(),
            "--listen=127.0.0.1".to_owned(),
            format!("--port={port}"),
            format!("--base-path={}", folder.display()),
            folder.display().to_string(),
        ];
        let daemon = program(folder, arguments);
        tokio::spawn(async move { daemon.run(|_| ()).await });
        let connected = async || tokio::net::TcpStream::connect(("127.0.0.1", port)).await;
        let until = std::time::Instant::now() + Duration::from_mins(1);
        while connected().await.is_err() {
            assert!(std::time::Instant::now() < until);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        port
    }

    #[tokio::test]
    async fn a_commit_of_a_pull_request_is_not_published() {
        let upstream = Repository::new().await;
        let first = upstream.git(&["rev-parse", "HEAD"]).await;
        let is_published = |repository: &Repository, commit: &str| {
            let (folder, commit) = (repository.path(), commit.trim().to_owned());
            async move {
                let commit = Commit::find(&folder, &commit).await.unwrap();
                commit.is_published().await
            }
        };
        // Without a remote, it is the branches of this repository.
        assert!(is_published(&upstream, &first).await);
        upstream.git(&["checkout", "--quiet", "--detach"]).await;
        upstream.write("main.rs", "of a stranger");
        upstream.commit(1_200_000_000).await;
        let strange = upstream.git(&["rev-parse", "HEAD"]).await;
        assert!(!is_published(&upstream, &strange).await);
        let pull = ["update-ref", "refs/pull/1/head", "HEAD"];
        upstream.git(&pull).await;

        let clone = Repository::new().await;
        let path = upstream.path().display().to_string();
        clone.git(&["remote", "add", "origin", &path]).await;
        let fetch = |spec: &'static str| {
            let clone = &clone;
            async move {
                let key = "remote.origin.fetch";
                clone.git(&["config", "--add", key, spec]).await;
                clone.git(&["fetch", "--quiet", "origin"]).await;
            }
        };
        fetch("+refs/pull/*:refs/remotes/origin/pull/*").await;
        assert!(is_published(&clone, &first).await);
        assert!(!is_published(&clone, &strange).await);
        // A local branch does not publish it, a branch of the remote does.
        clone.git(&["branch", "own", strange.trim()]).await;
        assert!(!is_published(&clone, &strange).await);
        upstream.git(&["branch", "taken", strange.trim()]).await;
        clone.git(&["fetch", "--quiet", "origin"]).await;
        assert!(is_published(&clone, &strange).await);

        // Git fetches the tags of a fork, too.
        let fork = Repository::new().await;
        fork.write("main.rs", "of another stranger");
        fork.commit(1_300_000_000).await;
        fork.git(&["tag", "v9"]).await;
        let strange = fork.git(&["rev-parse", "HEAD"]).await;
        let path = fork.path().display().to_string();
        clone.git(&["remote", "add", "fork", &path]).await;
        clone.git(&["fetch", "--quiet", "--tags", "fork"]).await;
        assert!(!is_published(&clone, &strange).await);
    }
}
